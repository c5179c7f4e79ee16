//! Keys of what a guarantee rests on: one for every purpose of every round of every run.
//!
//! Runs on the same clients are priced together as if each had drawn cohorts and noise for itself.
//! With keys of seed, purpose and round alone that would be false: of two settings of one seed
//! (noise multipliers 1 and 2, say) `2·d(1) − d(2)` is a mean update without any noise, where `d`
//! is the move of the model in one round. So a key is a hash of everything that decides what it is
//! used for:
//!
//! - a run's: the [setting], seed included, the learner's arithmetic, the data;
//! - a round's: the run's, the number of the round, the parameters that it starts from;
//! - its noise's: the round's, and the secret sum itself ([`SecretSum::noise_key`]).
//!
//! Hence two rounds of whatever runs share their noise only if they are one and the same release:
//! the same sum, the same noise, the same result. And they share a cohort only if they have one
//! setting, arithmetic, data, round and parameters. Until they first differ in a bit two such runs
//! are the same run, which is paid for twice; from then on they share nothing.
//!
//! Of the data the key takes the digest of the content where the population
//! [knows it](FederatedData::content), as every data set does that this workspace opens. Else it
//! takes what can be had without reading examples: ids and numbers of examples. Populations that
//! differ in neither but hold other examples then share cohorts up to the first round in which
//! that shows, but no noise; whoever releases runs on both should give them seeds of their own.
//!
//! What does not decide a run's numbers is in no key: its name and place, threads and jobs, and what
//! only looks at it (δ, accountant, cadence of evaluation, number of rounds). With release noise
//! keys come from the system, and nothing here decides them but the canaries' directions, which
//! are public.
//!
//! [`SecretSum::noise_key`]: dp_agg::SecretSum::noise_key

pub mod setting;

use dp_accounting::ledger::Bits128;
use dp_agg::NoiseMode;
use dp_agg::mistake::{Mistake, made};
use fed_data::FederatedData;
use fed_model::Learner;
use rand::SeedableRng;
use rand::rngs::SysRng;
use rand_chacha::ChaCha20Rng;
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::config::RunConfig;
use crate::error::SimError;

/// The version of the keys. A run goes on under the version that it was begun with, or not at all.
///
/// Version 1 keyed noise and cohorts by seed, purpose and round: runs of one seed shared them.
pub const VERSION: u32 = 2;

/// The first version under which runs that differ share nothing, and may be priced together.
pub const INDEPENDENT: u32 = 2;

/// Parameters that are hashed together, so that all cores share the work.
const CHUNK: usize = 16_384;

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Purpose {
    /// Who takes part in a round.
    Cohort,
    /// The noise of a release.
    Noise,
    /// Which canaries of an audit are in (round 0 alone).
    CanaryCoins,
    /// Which canaries take part in a round.
    CanaryCohort,
}

impl Purpose {
    /// The number of the purpose inside a key. Never reused for another purpose; 5 were the
    /// directions of canaries.
    fn tag(self) -> u64 {
        match self {
            Self::Cohort => 2,
            Self::Noise => 4,
            Self::CanaryCoins => 6,
            Self::CanaryCohort => 7,
        }
    }
}

/// The keys of a run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RunKeys {
    /// Digest of the setting alone.
    setting: [u8; 32],
    /// Digest of everything that decides the run.
    run: [u8; 32],
}

impl RunKeys {
    /// The keys of the run of `config` on these clients with this learner.
    #[must_use]
    pub fn new(config: &RunConfig, population: &dyn FederatedData, learner: &dyn Learner) -> Self {
        let setting = hash("setting", &[setting::encode(config).as_bytes()]);
        let widths: Vec<String> = learner.spec().widths().iter().map(usize::to_string).collect();
        let network = widths.join(" ");
        let arithmetic = learner.arithmetic();
        let data = data(population);
        let parts = [&setting[..], network.as_bytes(), arithmetic.as_bytes(), &data];
        Self { setting, run: hash("run", &parts) }
    }

    /// The keys of a round that starts from these parameters.
    #[must_use]
    pub fn round(&self, round: u32, params: &[f32]) -> RoundKeys {
        let chunks: Vec<[u8; 32]> = params
            .par_chunks(CHUNK)
            .map(|params| {
                let bytes: Vec<u8> = params.iter().flat_map(|value| value.to_le_bytes()).collect();
                Sha256::digest(bytes).into()
            })
            .collect();
        let length = (params.len() as u64).to_le_bytes();
        let parts = [&self.run[..], &round.to_le_bytes(), &length, chunks.as_flattened()];
        RoundKeys(hash("round", &parts))
    }

    /// The number of the run in a simulation ([`crate::run_number`]).
    #[must_use]
    pub fn number(&self) -> Bits128 {
        let digest = hash("number", &[&self.run]);
        let mut bits = [0; 16];
        bits.copy_from_slice(&digest[..16]);
        Bits128::new(bits)
    }

    /// The key of an audit's directions, which an attacker may know: of the setting alone, so that
    /// they are found again wherever the run goes on.
    #[must_use]
    pub fn canary_directions(&self) -> [u8; 32] {
        hash("canary directions", &[&self.setting])
    }
}

/// The keys of one round of a run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RoundKeys([u8; 32]);

impl RoundKeys {
    /// The key for one purpose.
    #[must_use]
    pub fn key(&self, purpose: Purpose) -> [u8; 32] {
        hash("purpose", &[&self.0, &purpose.tag().to_le_bytes()])
    }
}

/// A generator for what nobody may draw again: who takes part, in which order clients visit their
/// examples, and which canaries are in. A cohort that an adversary can draw again amplifies
/// nothing, so where the noise is that of a release it takes the system's entropy, and `key`, which
/// a seed decides, says nothing about it.
///
/// # Errors
/// [`SimError::Io`] if the system gives no entropy.
pub fn secret_rng(noise: NoiseMode, key: [u8; 32]) -> Result<ChaCha20Rng, SimError> {
    if noise == NoiseMode::Simulation || made(Mistake::ReleaseCohortSeeded) {
        return Ok(ChaCha20Rng::from_seed(key));
    }
    ChaCha20Rng::try_from_rng(&mut SysRng)
        .map_err(|error| SimError::io("system entropy")(std::io::Error::other(error.to_string())))
}

/// What is known of the data without reading examples.
fn data(population: &dyn FederatedData) -> [u8; 32] {
    if let Some(content) = population.content() {
        return hash("content", &[content.as_str().as_bytes()]);
    }
    let number = |value: usize| (value as u64).to_le_bytes();
    let mut clients = Sha256::new();
    for index in 0..population.num_clients() {
        let id = population.client_id(index);
        clients.update(number(id.len()));
        clients.update(id.as_bytes());
        clients.update(number(population.num_examples(index)));
    }
    let (width, classes) = (number(population.width()), number(population.classes()));
    hash("clients", &[&width, &classes, &clients.finalize()])
}

/// The hash of parts, each with its length, under a label of its own.
fn hash(label: &str, parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in [b"fed-dp keys 2", label.as_bytes()].into_iter().chain(parts.iter().copied()) {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// Refuses to go on with a run that was begun under other keys. With release noise no key decides
/// anything, unless the run is audited.
///
/// # Errors
/// A sentence.
pub(crate) fn expect_version(version: u32, config: &RunConfig) -> Result<(), String> {
    let seeded = config.noise == NoiseMode::Simulation || config.audit.is_some();
    if version == VERSION || !seeded {
        return Ok(());
    }
    let why =
        if version < INDEPENDENT { ", under which runs of one seed share their noise" } else { "" };
    Err(format!(
        "the run was begun with random keys of version {version}{why}; this program has those of \
         version {VERSION}, and a run does not change its keys half way: finish it with the program \
         that began it, or start it anew in another folder, as a run with a price of its own"
    ))
}

#[cfg(test)]
mod tests;
