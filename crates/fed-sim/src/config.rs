//! What a TOML file may say: one file, one experiment.
//!
//! An [`Experiment`] holds what all its runs share and either a `[sweep]` (a grid of noise
//! multipliers and clients per round) or a `[calibrate]` (a target to meet). It unfolds into
//! [`RunConfig`]s, one a run, which say everything that decides the run's numbers; a run's record
//! stores its config, so a run can be repeated from its record alone.
//!
//! What decides the privacy (noise, clients per round, rounds, δ) has no default. Everything
//! else defaults to the tutorial's value.

mod check;
mod difference;
mod keys;
mod page;
mod parse;
mod schema;
mod sections;
mod split;

#[cfg(test)]
mod held;

use std::num::NonZeroU32;

use dp_accounting::{Delta, Epsilon, NoiseMultiplier};
use dp_agg::{AggregateError, NoiseMode};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use difference::differences;
pub use page::page;
pub use parse::{LARGEST_FILE, nearest};
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
use crate::text::shortened;
use parse::Document;

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
        let (document, experiment) = Self::read(text, place)?;
        experiment
            .sample_run()
            .uncovered_checked()
            .map_err(|refusal| document.refuse_key(refusal.key, &refusal.message))?;
        Ok(experiment)
    }

    /// The same for what a run directory holds. One that was begun before a release had to name
    /// what its guarantee does not cover stays readable: its statement says it.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub(crate) fn parse_record(text: &str, place: &str) -> Result<Self, SimError> {
        Self::read(text, place).map(|(_, experiment)| experiment)
    }

    fn read<'a>(text: &'a str, place: &'a str) -> Result<(Document<'a>, Self), SimError> {
        let document = Document::new(text, place);
        let experiment: Self = document.experiment()?;
        experiment.check().map_err(|refusal| document.refuse_key(refusal.key, &refusal.message))?;
        Ok((document, experiment))
    }

    /// What no single field can know, and what [`parse`](Self::parse) knows of a file before.
    fn check(&self) -> Result<(), Refusal> {
        if !check::is_name(&self.name) {
            return refuse(
                "name",
                format!(
                    "name = \"{}\" becomes a folder: use 1 to 100 letters, digits, '-', '_' and \
                     '.', the first of them no '.'",
                    shortened(&self.name, 40)
                ),
            );
        }
        if self.seeds.is_empty() {
            return refuse("seeds", "seeds = [] leaves nothing to run: give at least one");
        }
        if self.seeds.len() > MOST_RUNS {
            let message = format!(
                "seeds holds {}; an experiment has at most {MOST_RUNS} runs",
                self.seeds.len()
            );
            return refuse("seeds", message);
        }
        if let Some(twice) = twice(&self.seeds, |seed| seed.0) {
            let message = format!("seeds holds {} twice: the runs would be the same", twice.0);
            return refuse("seeds", message);
        }
        if self.sweep.is_none() && self.calibrate.is_none() {
            return refuse(
                "",
                "needs a [sweep] (noise_multipliers, clients_per_round) or a [calibrate] \
                 (target_epsilon, base_noise_multiplier, base_clients_per_round)",
            );
        }
        if let Some(sweep) = &self.sweep {
            if sweep.noise_multipliers.is_empty() || sweep.clients_per_round.is_empty() {
                return refuse("sweep", "[sweep] has an empty list, so there is nothing to run");
            }
            if let Some(twice) = twice(&sweep.noise_multipliers, |noise| noise.get().to_bits()) {
                let message = format!("[sweep] noise_multipliers holds {twice} twice");
                return refuse("sweep.noise_multipliers", message);
            }
            if let Some(twice) = twice(&sweep.clients_per_round, |clients| clients.to_bits()) {
                let message = format!("[sweep] clients_per_round holds {twice} twice");
                return refuse("sweep.clients_per_round", message);
            }
            let grid = sweep.noise_multipliers.len().saturating_mul(sweep.clients_per_round.len());
            let runs = grid.saturating_mul(self.seeds.len());
            if runs > MOST_RUNS {
                let message = format!(
                    "the grid has {runs} runs (noise multipliers times clients per round times \
                     seeds); an experiment has at most {MOST_RUNS}: split it into several files"
                );
                return refuse("sweep", message);
            }
        }
        if let Some(calibrate) = &self.calibrate {
            if calibrate.base_noise_multiplier.get() <= 0.0 {
                return refuse(
                    "calibrate.base_noise_multiplier",
                    "[calibrate] base_noise_multiplier = 0 has no ε to scale: it must be above 0",
                );
            }
            let target = calibrate.target_epsilon;
            if target.get() <= 0.0 || !target.is_finite() {
                let message = format!(
                    "[calibrate] target_epsilon = {target} must be a finite number above 0"
                );
                return refuse("calibrate.target_epsilon", message);
            }
        }
        self.runs().iter().try_for_each(RunConfig::checked)
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
        self.uncovered_checked().map_err(|refusal| SimError::config(place, refusal.message))
    }

    fn uncovered_checked(&self) -> Result<(), Refusal> {
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
        refuse("noise", message)
    }

    /// Checks the values that no single field can know.
    ///
    /// # Errors
    /// [`SimError::Config`] naming the setting and its range.
    pub fn check(&self, place: &str) -> Result<(), SimError> {
        self.checked().map_err(|refusal| SimError::config(place, refusal.message))
    }

    fn checked(&self) -> Result<(), Refusal> {
        let clients = self.clients_per_round;
        if !(clients > 0.0 && clients.is_finite()) {
            let message = format!("clients_per_round = {clients} must be a number above 0");
            return refuse("sweep.clients_per_round", message);
        }
        let section = |key: &'static str, checked: Result<(), String>| {
            checked.or_else(|message| refuse(key, format!("[{key}] {message}")))
        };
        section("data", self.data.check())?;
        section("client", self.client.check())?;
        section("model", self.model.check())?;
        section("server", self.server.check())?;
        section("accounting", self.accounting.check())?;
        let mime = self.client.algorithm == Algorithm::MimeLite;
        if mime && matches!(self.aggregation, AggregationConfig::Private { .. }) {
            return refuse(
                "client.algorithm",
                "[client] algorithm = \"mime_lite\" sends a second, raw gradient that no private \
                 aggregation covers: use it with [aggregation] kind = \"mean\"",
            );
        }
        if !self.aggregation.is_private() && self.noise_multiplier.get() > 0.0 {
            let message = format!(
                "noise_multiplier = {} has no effect with an aggregation that adds no noise: \
                 set it to 0, or [aggregation] kind = \"private\"",
                self.noise_multiplier
            );
            return refuse("sweep.noise_multipliers", message);
        }
        if let Some(audit) = &self.audit {
            section("audit", audit.check())?;
            if self.sampling != Sampling::Poisson || !self.aggregation.is_private() {
                return refuse(
                    "audit",
                    "[audit] needs sampling = \"poisson\" and [aggregation] kind = \"private\": its \
                     canaries are clients that are drawn and clipped like all others",
                );
            }
        }
        // The noise must split between the updates and the counts.
        let refused = |error: AggregateError| split::refusal(self, &error);
        let aggregator = crate::plan::aggregator(self).map_err(refused)?;
        if self.noise == NoiseMode::Release {
            // However many parameters: the noise on each is the same.
            aggregator.noise(1).check_release().map_err(refused)?;
        }
        Ok(())
    }
}

/// Most runs of one experiment.
const MOST_RUNS: usize = 100_000;

/// Why values do not go together, and the key that is best looked at.
struct Refusal {
    /// Dotted; empty for the whole file.
    key: &'static str,
    message: String,
}

fn refuse(key: &'static str, message: impl Into<String>) -> Result<(), Refusal> {
    Err(Refusal { key, message: message.into() })
}

/// A value that stands in the list twice.
fn twice<T, K: Eq + std::hash::Hash>(values: &[T], key: impl Fn(&T) -> K) -> Option<&T> {
    let mut seen = std::collections::HashSet::new();
    values.iter().find(|value| !seen.insert(key(value)))
}
