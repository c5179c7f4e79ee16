//! One root seed, a named stream for every purpose.
//!
//! Switching the noise off must not change who is drawn, and a second setting of a sweep should
//! start from the same weights. So nothing shares a generator: each purpose has a 256-bit ChaCha
//! key of its own, put together from the root seed, the purpose and the round. Two different
//! triples give two different keys, hence unrelated streams.

use dp_agg::NoiseMode;
use dp_agg::mistake::{Mistake, made};
use rand::SeedableRng;
use rand::rngs::SysRng;
use rand_chacha::ChaCha20Rng;
use serde::{Deserialize, Serialize};

use crate::error::SimError;

/// What randomness is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stream {
    /// Initial weights (round 0 of the run alone).
    Init,
    /// Who takes part in a round.
    Cohort,
    /// The order in which clients visit their examples.
    Shuffle,
    /// The noise of a release.
    Noise,
    /// The directions of an audit's canaries (round 0 alone).
    CanaryDirections,
    /// Which canaries of an audit are in (round 0 alone).
    CanaryCoins,
    /// Which canaries take part in a round.
    CanaryCohort,
}

impl Stream {
    /// The number of the purpose inside a key. Never reused for another purpose.
    fn tag(self) -> u64 {
        match self {
            Self::Init => 1,
            Self::Cohort => 2,
            Self::Shuffle => 3,
            Self::Noise => 4,
            Self::CanaryDirections => 5,
            Self::CanaryCoins => 6,
            Self::CanaryCohort => 7,
        }
    }
}

/// The root of every random draw of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seed(pub u64);

impl Seed {
    /// The key of `stream` in `round`.
    #[must_use]
    pub fn key(self, stream: Stream, round: u64) -> [u8; 32] {
        let mut key = *b"________________________fed-dp/1";
        key[..8].copy_from_slice(&self.0.to_le_bytes());
        key[8..16].copy_from_slice(&stream.tag().to_le_bytes());
        key[16..24].copy_from_slice(&round.to_le_bytes());
        key
    }

    /// A generator on [`key`](Self::key).
    #[must_use]
    pub fn rng(self, stream: Stream, round: u64) -> ChaCha20Rng {
        ChaCha20Rng::from_seed(self.key(stream, round))
    }

    /// A generator for what nobody may draw again: who takes part, and which canaries are in. A
    /// cohort that an adversary can draw again amplifies nothing, so where the noise is that of a
    /// release it takes the system's entropy, and the seed says nothing about it.
    ///
    /// # Errors
    /// [`SimError::Io`] if the system gives no entropy.
    pub fn secret_rng(
        self,
        noise: NoiseMode,
        stream: Stream,
        round: u64,
    ) -> Result<ChaCha20Rng, SimError> {
        if noise == NoiseMode::Simulation || made(Mistake::ReleaseCohortSeeded) {
            return Ok(self.rng(stream, round));
        }
        ChaCha20Rng::try_from_rng(&mut SysRng).map_err(|error| {
            SimError::io("system entropy")(std::io::Error::other(error.to_string()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng;

    #[test]
    fn every_purpose_round_and_seed_has_a_key_of_its_own() {
        let mut keys = std::collections::HashSet::new();
        for seed in [0, 1, u64::MAX] {
            for stream in [
                Stream::Init,
                Stream::Cohort,
                Stream::Shuffle,
                Stream::Noise,
                Stream::CanaryDirections,
                Stream::CanaryCoins,
                Stream::CanaryCohort,
            ] {
                for round in 0..50 {
                    assert!(keys.insert(Seed(seed).key(stream, round)));
                }
            }
        }
    }

    /// Changing these numbers changes every recorded run: allowed, and announced.
    #[test]
    fn the_first_draws_are_stable() {
        let draws = |stream| Seed(42).rng(stream, 7).next_u64();
        assert_eq!(
            [draws(Stream::Init), draws(Stream::Cohort), draws(Stream::Noise)],
            [3008099731256858335, 3792994245964932879, 1771758881095542895],
        );
    }
}
