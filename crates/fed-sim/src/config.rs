//! What a TOML file may say: one file, one experiment.
//!
//! An [`Experiment`] holds what all its runs share and either a `[sweep]` (a grid of noise
//! multipliers and clients per round) or a `[calibrate]` (a target to meet). It unfolds into
//! [`RunConfig`]s, one a run, which say everything that decides the run's numbers; a run's record
//! stores its config, so a run can be repeated from its record alone.
//!
//! What decides the privacy (noise, clients per round, rounds, δ) has no default. Everything
//! else defaults to the tutorial's value.

mod difference;
mod parse;
mod sections;

use std::num::NonZeroU32;

use dp_accounting::{Delta, Epsilon, NoiseMultiplier};
use dp_agg::{AggregateError, NoiseMode};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use difference::differences;
pub use parse::nearest;
pub use sections::{
    AccountingConfig, AggregationConfig, Algorithm, AuditConfig, ClientConfig, DataConfig,
    ModelConfig, Orders, Uncovered,
};

use crate::cohort::Sampling;
use crate::error::SimError;
use crate::journal::hex;
use crate::seed::Seed;
use crate::server::ServerOptimizer;
use crate::standing::Standing;

/// One experiment, as written in a TOML file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Experiment {
    /// A name for folders and titles: letters, digits, `-`, `_`, `.`.
    pub name: String,
    /// Root seeds: every setting is run once with each.
    pub seeds: Vec<Seed>,
    /// Rounds of training.
    pub rounds: NonZeroU32,
    /// Failure probability `δ` of the guarantee.
    pub delta: Delta,
    /// Rounds between evaluations; the last round is always evaluated.
    #[serde(default = "every_five_rounds")]
    pub evaluate_every: NonZeroU32,
    /// How cohorts are drawn.
    #[serde(default)]
    pub sampling: Sampling,
    /// Where noise and cohorts come from: seeded and repeatable, or the system's entropy.
    #[serde(default = "simulation")]
    pub noise: NoiseMode,
    /// What a release may use or write down although no noise hides it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uncovered: Vec<Uncovered>,
    /// A grid of settings (`cargo xtask sweep`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sweep: Option<SweepConfig>,
    /// A target to meet (`cargo xtask calibrate`, `cargo xtask final`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibrate: Option<CalibrateConfig>,
    /// Where the clients come from.
    #[serde(default)]
    pub data: DataConfig,
    /// The network.
    #[serde(default)]
    pub model: ModelConfig,
    /// What a client does.
    #[serde(default)]
    pub client: ClientConfig,
    /// What happens to the clients' updates.
    #[serde(default)]
    pub aggregation: AggregationConfig,
    /// What the server does with the aggregate.
    #[serde(default)]
    pub server: ServerOptimizer,
    /// How ε is computed.
    #[serde(default)]
    pub accounting: AccountingConfig,
    /// Whether canaries take part, to audit the runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<AuditConfig>,
}

fn every_five_rounds() -> NonZeroU32 {
    NonZeroU32::new(5).expect("five is not zero")
}

fn simulation() -> NoiseMode {
    NoiseMode::Simulation
}

/// A grid: every noise multiplier with every number of clients.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SweepConfig {
    /// Noise multipliers `z`; 0 is no noise (and no guarantee).
    pub noise_multipliers: Vec<NoiseMultiplier>,
    /// Expected clients per round `m`.
    pub clients_per_round: Vec<f64>,
}

/// The tutorial's search: clients and noise grow together until the target is met.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CalibrateConfig {
    /// The ε to stay at or below.
    pub target_epsilon: Epsilon,
    /// A noise multiplier that still trained well ...
    pub base_noise_multiplier: NoiseMultiplier,
    /// ... with this many clients per round. The noise multiplier is scaled in proportion.
    pub base_clients_per_round: NonZeroU32,
}

/// One training run: everything that decides its numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// The experiment's name.
    pub name: String,
    /// Root of every random draw.
    pub seed: Seed,
    /// Total noise multiplier `z`, the count behind an adaptive clip included.
    pub noise_multiplier: NoiseMultiplier,
    /// Expected clients per round `m`.
    pub clients_per_round: f64,
    /// Rounds of training.
    pub rounds: NonZeroU32,
    /// Failure probability `δ` of the guarantee.
    pub delta: Delta,
    /// Rounds between evaluations; the last round is always evaluated.
    pub evaluate_every: NonZeroU32,
    /// How cohorts are drawn.
    pub sampling: Sampling,
    /// Where noise and cohorts come from: seeded and repeatable, or the system's entropy.
    pub noise: NoiseMode,
    /// What a release may use or write down although no noise hides it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uncovered: Vec<Uncovered>,
    /// Where the clients come from.
    pub data: DataConfig,
    /// The network.
    pub model: ModelConfig,
    /// What a client does.
    pub client: ClientConfig,
    /// What happens to the clients' updates.
    pub aggregation: AggregationConfig,
    /// What the server does with the aggregate.
    pub server: ServerOptimizer,
    /// How ε is computed.
    pub accounting: AccountingConfig,
    /// Whether canaries take part, to audit the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<AuditConfig>,
}

impl Experiment {
    /// Reads and checks an experiment; `place` names the file in messages.
    ///
    /// # Errors
    /// [`SimError::Config`] says which key or value is wrong and on which line, and names the
    /// nearest known key for an unknown one.
    pub fn parse(text: &str, place: &str) -> Result<Self, SimError> {
        let experiment = Self::parse_record(text, place)?;
        experiment.sample_run().check_uncovered(place)?;
        Ok(experiment)
    }

    /// The same for what a run directory holds. One that was begun before a release had to name
    /// what its guarantee does not cover stays readable: its statement says it.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub(crate) fn parse_record(text: &str, place: &str) -> Result<Self, SimError> {
        let experiment: Self = parse::toml(text, place)?;
        experiment.check(place)?;
        Ok(experiment)
    }

    /// What no single field can know.
    fn check(&self, place: &str) -> Result<(), SimError> {
        let refuse = |message: String| Err(SimError::config(place, message));
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if self.name.is_empty() || self.name.starts_with('.') || !self.name.chars().all(plain) {
            return refuse(format!(
                "name = {:?} becomes a folder: use letters, digits, '-', '_' and '.'",
                self.name
            ));
        }
        if self.seeds.is_empty() {
            return refuse("seeds = [] leaves nothing to run: give at least one".to_owned());
        }
        if let Some(twice) = twice(&self.seeds) {
            return refuse(format!("seeds holds {} twice: the runs would be the same", twice.0));
        }
        if self.sweep.is_none() && self.calibrate.is_none() {
            return refuse(
                "needs a [sweep] (noise_multipliers, clients_per_round) or a [calibrate] \
                 (target_epsilon, base_noise_multiplier, base_clients_per_round)"
                    .to_owned(),
            );
        }
        if let Some(sweep) = &self.sweep {
            if sweep.noise_multipliers.is_empty() || sweep.clients_per_round.is_empty() {
                return refuse("[sweep] has an empty list, so there is nothing to run".to_owned());
            }
            if let Some(twice) = twice(&sweep.noise_multipliers) {
                return refuse(format!("[sweep] noise_multipliers holds {twice} twice"));
            }
            if let Some(twice) = twice(&sweep.clients_per_round) {
                return refuse(format!("[sweep] clients_per_round holds {twice} twice"));
            }
        }
        if let Some(calibrate) = &self.calibrate {
            if calibrate.base_noise_multiplier.get() <= 0.0 {
                return refuse(
                    "[calibrate] base_noise_multiplier = 0 has no ε to scale: it must be above 0"
                        .to_owned(),
                );
            }
            let target = calibrate.target_epsilon;
            if target.get() <= 0.0 || !target.is_finite() {
                return refuse(format!(
                    "[calibrate] target_epsilon = {target} must be a finite number above 0"
                ));
            }
        }
        for run in self.runs() {
            run.check(place)?;
        }
        Ok(())
    }

    /// The run of one setting with one seed.
    #[must_use]
    pub fn run(&self, noise: NoiseMultiplier, clients_per_round: f64, seed: Seed) -> RunConfig {
        RunConfig {
            name: self.name.clone(),
            seed,
            noise_multiplier: noise,
            clients_per_round,
            rounds: self.rounds,
            delta: self.delta,
            evaluate_every: self.evaluate_every,
            sampling: self.sampling,
            noise: self.noise,
            uncovered: self.uncovered.clone(),
            data: self.data.clone(),
            model: self.model.clone(),
            client: self.client,
            aggregation: self.aggregation,
            server: self.server,
            accounting: self.accounting.clone(),
            audit: self.audit,
        }
    }

    /// What the ε of every run stands for.
    #[must_use]
    pub fn standing(&self) -> Standing {
        Standing::of(&self.sample_run())
    }

    /// A run with everything that all runs have in common.
    fn sample_run(&self) -> RunConfig {
        let seed = self.seeds.first().copied().unwrap_or(Seed(0));
        let zero = NoiseMultiplier::new(0.0).expect("in range");
        self.run(zero, 1.0, seed)
    }

    /// All runs of the sweep, setting by setting; none without a `[sweep]`.
    #[must_use]
    pub fn runs(&self) -> Vec<RunConfig> {
        let Some(sweep) = &self.sweep else { return Vec::new() };
        let mut runs = Vec::new();
        for &clients in &sweep.clients_per_round {
            for &noise in &sweep.noise_multipliers {
                runs.extend(self.seeds.iter().map(|&seed| self.run(noise, clients, seed)));
            }
        }
        runs
    }
}

impl RunConfig {
    /// A digest of everything that decides the run's numbers: equal configurations, and only
    /// those, have equal digests.
    ///
    /// # Errors
    /// [`SimError::Config`] if the configuration cannot be written down.
    pub fn id(&self) -> Result<String, SimError> {
        let text =
            toml::to_string(self).map_err(|error| SimError::config("run", error.to_string()))?;
        let mut digest = Sha256::new();
        digest.update(text);
        Ok(hex(digest))
    }

    /// Refuses a release that uses what its guarantee does not cover, unless that is named.
    ///
    /// # Errors
    /// [`SimError::Config`] saying what is used, why no guarantee covers it, and how it is named.
    pub fn check_uncovered(&self, place: &str) -> Result<(), SimError> {
        let Some(gap) = Standing::of(self).gap else { return Ok(()) };
        let name = gap.name();
        let named = name.is_some_and(|(uncovered, _)| self.uncovered.contains(&uncovered));
        if self.noise == NoiseMode::Simulation || named {
            return Ok(());
        }
        let or = name.map_or_else(String::new, |(_, key)| {
            format!(", or name what is not covered: uncovered = [\"{key}\"]")
        });
        let message = format!(
            "noise = \"release\" with {gap}: {}, so there would be no guarantee of the model. {}{or}",
            gap.why(),
            gap.instead(),
        );
        Err(SimError::config(place, message))
    }

    /// Checks the values that no single field can know.
    ///
    /// # Errors
    /// [`SimError::Config`] naming the setting and its range.
    pub fn check(&self, place: &str) -> Result<(), SimError> {
        let refuse = |message: String| Err(SimError::config(place, message));
        let clients = self.clients_per_round;
        if !(clients > 0.0 && clients.is_finite()) {
            return refuse(format!("clients_per_round = {clients} must be a number above 0"));
        }
        self.client.check().or_else(|message| refuse(format!("[client] {message}")))?;
        self.model.check().or_else(|message| refuse(format!("[model] {message}")))?;
        self.server.check().or_else(|message| refuse(format!("[server] {message}")))?;
        self.accounting.check().or_else(|message| refuse(format!("[accounting] {message}")))?;
        let mime = self.client.algorithm == Algorithm::MimeLite;
        if mime && matches!(self.aggregation, AggregationConfig::Private { .. }) {
            return refuse(
                "[client] algorithm = \"mime_lite\" sends a second, raw gradient that no private \
                 aggregation covers: use it with [aggregation] kind = \"mean\""
                    .to_owned(),
            );
        }
        if !self.aggregation.is_private() && self.noise_multiplier.get() > 0.0 {
            return refuse(format!(
                "noise_multiplier = {} has no effect with an aggregation that adds no noise: \
                 set it to 0, or [aggregation] kind = \"private\"",
                self.noise_multiplier
            ));
        }
        if let Some(audit) = &self.audit {
            audit.check().or_else(|message| refuse(format!("[audit] {message}")))?;
            if self.sampling != Sampling::Poisson || !self.aggregation.is_private() {
                return refuse(
                    "[audit] needs sampling = \"poisson\" and [aggregation] kind = \"private\": its \
                     canaries are clients that are drawn and clipped like all others"
                        .to_owned(),
                );
            }
        }
        // The noise must split between the updates and the count behind an adaptive clip.
        let refused = |error: AggregateError| SimError::config(place, error.to_string());
        let aggregator = crate::plan::aggregator(self).map_err(refused)?;
        if self.noise == NoiseMode::Release {
            // However many parameters: the noise on each is the same.
            let spec = aggregator.noise(1);
            spec.check_release().map_err(refused)?;
        }
        Ok(())
    }
}

/// A value that stands in the list twice.
fn twice<T: PartialEq>(values: &[T]) -> Option<&T> {
    values.iter().enumerate().find(|(i, value)| values[..*i].contains(value)).map(|(_, v)| v)
}
