//! The number of a run: 128 bits that tell it from every other, wherever it is written.
//!
//! It stands in the ledger (every line), the checkpoints, the statement and the model. Under
//! release noise it is drawn from the system, once, before the first round; two runs of one
//! configuration are two releases, and have two numbers. In a simulation it is derived from what
//! decides the run ([`RunKeys`]): the same run, made again or for longer, releases the same bit for
//! bit, and has the same number.
//!
//! Under release noise every line of the ledger also carries fresh bits, so that two *histories*
//! of one run differ: see [`dp_accounting::ledger`] for what that shows, and what nothing inside a
//! directory can show.

use dp_accounting::ledger::Bits128;
use dp_agg::NoiseMode;
use rand::TryRng;
use rand::rngs::SysRng;

use crate::error::SimError;
use crate::keys::RunKeys;

/// The number of a run that has not begun, with such noise and these keys.
///
/// # Errors
/// [`SimError::Io`] if the system gives no entropy.
pub fn of(noise: NoiseMode, keys: &RunKeys) -> Result<Bits128, SimError> {
    match noise {
        NoiseMode::Simulation => Ok(keys.number()),
        NoiseMode::Release => fresh(),
    }
}

/// Bits from the system that nobody has seen.
///
/// # Errors
/// [`SimError::Io`] if the system gives no entropy.
pub(crate) fn fresh() -> Result<Bits128, SimError> {
    let mut bits = [0; 16];
    SysRng.try_fill_bytes(&mut bits).map_err(|error| {
        SimError::io("system entropy")(std::io::Error::other(error.to_string()))
    })?;
    Ok(Bits128::new(bits))
}
