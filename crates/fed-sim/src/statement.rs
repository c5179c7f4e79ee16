//! What a run guarantees, in full: never an ε without the mechanism that earned it.
//!
//! The reporting advice of Ponomareva et al. 2023, "How to DP-fy ML", Section 5.3, and what answers
//! it here:
//!
//! | asked for | answered by |
//! |---|---|
//! | the setting: central, local or between | `setting` |
//! | which accesses to the data are covered: one run, tuning, ... | `covered`, `tried`, `not_covered` |
//! | which outputs are covered: the last model, every one, ... | `covered`, `epsilon_is` |
//! | the unit of privacy | `unit` |
//! | the neighbouring relation | `neighbours` |
//! | the accountant | `accountant`, `exact` |
//! | what accounting assumes and training does not do | `assumptions`, `sampling` |
//! | ε and δ, of the final model and of the tuning | `epsilon`, `delta`, `tried` |
//! | code and records that others can check | `program`, `ledger_head` |
//!
//! Beyond these it says how a round protects its clients (`mechanism`), where noise came from, and how
//! δ compares with one over the population. Its headline claims the final model only where the noise
//! covers it, and calls a simulation a simulation ([`Standing`]).

mod words;

use std::fmt;
use std::num::NonZeroU64;

use dp_accounting::ledger::{Bits128, Chain, Entry};
use dp_accounting::{
    Accountant, Delta, Epsilon, EpsilonInterval, ExactAccountant, Ledger, Neighboring,
};
use dp_agg::NoiseMode;
use serde::{Deserialize, Serialize};

use crate::audit::AuditReport;
use crate::cohort::CohortSampler;
use crate::config::RunConfig;
use crate::error::SimError;
use crate::keys;
use crate::plan;
use crate::standing::{Gap, Standing, shown};
use crate::text::item;

/// The guarantee of one run, or of several on the same clients.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PrivacyStatement {
    /// ε of this run's final model and of everything its server could see on the way, unless
    /// `epsilon_is` says that it is not of the model.
    pub epsilon: Epsilon,
    /// What ε stands for; none in statements that were written before this was said. See
    /// [`standing`](Self::standing).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epsilon_is: Option<Standing>,
    /// δ of the guarantee.
    pub delta: Delta,
    /// Number of clients.
    pub population: usize,
    /// Who is trusted with what.
    #[serde(default)]
    pub setting: String,
    /// Which looks at the data are covered, and which outputs; empty where there is no guarantee.
    #[serde(default)]
    pub covered: String,
    /// Whose data are protected.
    pub unit: String,
    /// Which data sets count as neighbours.
    pub neighbours: Neighboring,
    /// How a round protects them.
    pub mechanism: String,
    /// How cohorts are drawn.
    pub sampling: String,
    /// Rounds that were paid for.
    pub rounds: u64,
    /// How many of them were lost: paid for, but not part of the model (a crash between a round's
    /// payment and the next checkpoint, with release noise).
    pub lost_rounds: u64,
    /// What computed ε.
    pub accountant: String,
    /// Two proven bounds between which the true ε of the same releases lies; none where nothing is
    /// proven, as without noise.
    #[serde(default)]
    pub exact: Option<EpsilonInterval>,
    /// What the price takes for granted; empty where there is no guarantee.
    #[serde(default)]
    pub assumptions: String,
    /// Where the noise came from.
    pub noise_source: String,
    /// Number of runs with this setting on the same clients, each with a seed of its own.
    pub runs: u64,
    /// ε of all those runs together, by composition.
    pub epsilon_of_all_runs: Epsilon,
    /// The version of the [random keys](crate::keys) that the run was made with.
    #[serde(default = "first_keys")]
    pub keys: u32,
    /// All runs of the experiment that this one belongs to; none where only this one is known, or
    /// where they have no price together.
    #[serde(default)]
    pub tried: Option<Tried>,
    /// What made the releases.
    #[serde(default)]
    pub program: String,
    /// The number of the run, as in its ledger and its model; none where nothing has run, and in
    /// statements of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_number: Option<Bits128>,
    /// Hash of the last line of the run's `ledger.jsonl`: a ledger that was altered or shortened
    /// since does not end in it.
    pub ledger_head: String,
    /// What the guarantee does not cover, a sentence each.
    pub not_covered: Vec<String>,
    /// What a reader should be warned of, a sentence each.
    pub warnings: Vec<String>,
    /// What an audit of the run found; none where there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<AuditReport>,
}

/// What a statement does not name that is older than the name.
fn first_keys() -> u32 {
    1
}

/// The runs of an experiment, of all settings and seeds, on the same clients.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tried {
    /// How many there are.
    pub runs: u64,
    /// ε of releasing all of them, which also covers choosing among them; infinite as soon as one
    /// has no noise.
    pub epsilon: Epsilon,
}

impl PrivacyStatement {
    /// The statement of a run whose releases are on `ledger`, one of `runs` equal runs on the
    /// same clients.
    ///
    /// # Errors
    /// [`SimError::Accounting`] if the accountant has no proof for the ledger.
    pub fn new(
        config: &RunConfig,
        sampler: &CohortSampler,
        population: usize,
        ledger: &Ledger,
        runs: u64,
    ) -> Result<Self, SimError> {
        let neighbours = sampler.relation();
        let standing = Standing::of(config);
        let epsilon = plan::epsilon(config, neighbours, ledger)?;
        // The file has a line a round; only the end of its chain is wanted.
        let mut chain = Chain::new();
        for entry in ledger.entries() {
            let round = Entry { event: entry.event.clone(), count: NonZeroU64::MIN };
            for _ in 0..entry.count.get() {
                let _ = chain.line(&round);
            }
        }
        Ok(Self {
            epsilon,
            epsilon_is: Some(standing),
            delta: config.delta,
            population,
            setting: words::SETTING.to_owned(),
            covered: match standing.gap {
                None if epsilon.is_finite() => words::covered(config),
                _ => String::new(),
            },
            unit: "one user: all examples of one client".to_owned(),
            neighbours,
            mechanism: words::mechanism(config),
            sampling: sampler.describe(),
            rounds: ledger.len(),
            lost_rounds: 0,
            accountant: plan::describe_accounting(&config.accounting),
            exact: exact(ledger, neighbours, config.delta),
            assumptions: if epsilon.is_finite() {
                words::assumptions(config.noise)
            } else {
                String::new()
            },
            noise_source: config.noise.to_string(),
            runs,
            epsilon_of_all_runs: plan::epsilon_of_copies(config, neighbours, ledger, runs)?,
            keys: keys::VERSION,
            tried: None,
            program: words::program(),
            run_number: None,
            ledger_head: chain.head().to_owned(),
            not_covered: words::not_covered(config),
            warnings: words::warnings(config, population),
            audit: None,
        })
    }

    /// The same for one of several runs that have no price together, for some
    /// [are not independent](plan::are_independent).
    #[must_use]
    pub fn without_tried(mut self) -> Self {
        self.not_covered.push(format!("other runs of this experiment: {}", words::SHARED));
        self
    }

    /// The same with all runs of the experiment, this one among them; they are
    /// [independent](plan::are_independent).
    ///
    /// # Errors
    /// [`SimError`] if they have no price.
    pub fn with_tried(self, runs: &[RunConfig]) -> Result<Self, SimError> {
        let epsilon = plan::epsilon_of_all(runs, self.population)?;
        Ok(self.told_of(Some(Tried { runs: runs.len() as u64, epsilon })))
    }

    /// The same with all runs of the experiment, priced already.
    #[must_use]
    pub(crate) fn told_of(mut self, tried: Option<Tried>) -> Self {
        if tried.is_some_and(|tried| tried.runs > 1) {
            for gap in self.not_covered.iter_mut().filter(|gap| *gap == words::CHOICE) {
                words::CHOICE_PRICED.clone_into(gap);
            }
        }
        self.tried = tried;
        self
    }

    /// The same with what an audit found. An audit that refutes the guarantee becomes the first of
    /// the warnings.
    #[must_use]
    pub fn with_audit(mut self, audit: Option<AuditReport>) -> Self {
        if let Some(alarm) = audit.as_ref().and_then(AuditReport::alarm) {
            self.warnings.insert(0, alarm);
        }
        self.audit = audit;
        self
    }

    /// What ε stands for. Old statements say it in words alone.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.epsilon_is.unwrap_or_else(|| Standing {
            noise: if self.noise_source.starts_with("release noise") {
                NoiseMode::Release
            } else {
                NoiseMode::Simulation
            },
            gap: (self.not_covered.iter().any(|gap| gap.starts_with("adaptive zeroing")))
                .then_some(Gap::AdaptiveZeroing),
        })
    }

    /// The same for the run with this number, whose ledger ends in the line with this hash.
    #[must_use]
    pub fn of_run(mut self, number: Option<Bits128>, ledger_head: &str) -> Self {
        self.run_number = number;
        ledger_head.clone_into(&mut self.ledger_head);
        self
    }

    /// The same for a model that was trained for only `rounds` of the rounds on the ledger.
    #[must_use]
    pub fn of_a_model_after(mut self, rounds: u32) -> Self {
        self.lost_rounds = self.rounds.saturating_sub(u64::from(rounds));
        self
    }
}

/// Widest interval around the true ε that is worth stating.
const WIDEST: f64 = 1e-3;

/// Where the true ε of a ledger lies, if that is proven.
fn exact(ledger: &Ledger, neighbours: Neighboring, delta: Delta) -> Option<EpsilonInterval> {
    let mut accountant = ExactAccountant::new(neighbours).with_widest(WIDEST).ok()?;
    ledger.replay(&mut accountant).ok()?;
    let found = accountant.epsilon_interval(delta).ok()?;
    found.upper.is_finite().then_some(found)
}

impl fmt::Display for PrivacyStatement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let relation = match self.neighbours {
            Neighboring::AddOrRemoveOne => "data sets that differ by adding or removing one user",
            Neighboring::ReplaceOne => "data sets that differ by replacing one user by another",
            Neighboring::ZeroOutOne => "data sets that differ by blanking one user",
            _ => "see the accountant",
        };
        let standing = self.standing();
        let (epsilon, delta) = (shown(self.epsilon), self.delta.get());
        f.write_str(if standing.is_simulated() { "Simulated guarantee: " } else { "Guarantee: " })?;
        match standing.gap {
            _ if !self.epsilon.is_finite() => {
                writeln!(f, "none (ε = infinity at δ = {delta:e})")?;
            }
            None => {
                writeln!(f, "({epsilon}, {delta:e})-differential privacy of the final model")?;
            }
            Some(gap) => {
                writeln!(f, "none of the final model, for the noise does not cover {gap}")?;
                let price = gap.would_cover();
                item(f, "price", &format!("ε = {epsilon} at δ = {delta:e} is {price}"))?;
            }
        }
        if standing.is_simulated() {
            item(f, "simulated", words::SIMULATED)?;
        }
        // An old statement may claim more than it should.
        let covered = if standing.gap.is_none() { &*self.covered } else { "" };
        for (head, text) in [("covered", covered), ("setting", &self.setting)] {
            if !text.is_empty() {
                item(f, head, text)?;
            }
        }
        item(f, "unit", &self.unit)?;
        item(f, "neighbours", relation)?;
        item(f, "mechanism", &self.mechanism)?;
        item(f, "sampling", &self.sampling)?;
        let rounds = match self.lost_rounds {
            0 => self.rounds.to_string(),
            lost => format!("{}, {lost} of them lost in a crash", self.rounds),
        };
        item(f, "rounds", &rounds)?;
        item(f, "accountant", &self.accountant)?;
        if let Some(interval) = self.exact {
            item(f, "exact", &format!("the true ε lies {interval}"))?;
        }
        if !self.assumptions.is_empty() {
            item(f, "assumed", &self.assumptions)?;
        }
        if self.population > 0 {
            let least = 1.0 / self.population as f64;
            let (delta, share) = (self.delta.get(), self.delta.get() / least);
            item(f, "delta", &format!("{delta:e}, {share:.2} times 1/population = {least:.2e}"))?;
        }
        item(f, "noise", &self.noise_source)?;
        if self.runs > 1 {
            let (runs, all) = (self.runs, standing.show("ε =", self.epsilon_of_all_runs));
            let text = format!("{runs}; releasing all of their runs costs {all} at the same δ");
            item(f, "seeds", &text)?;
        }
        if let Some(Tried { runs, epsilon }) = self.tried {
            let all = standing.show("ε =", epsilon);
            // Those of one setting have seeds of their own.
            let shared = self.keys < keys::INDEPENDENT && standing.is_simulated();
            let text = match runs {
                _ if shared && runs > self.runs => {
                    format!("{runs} runs of this experiment on the same users; {}", words::SHARED)
                }
                1 => "1 run of this experiment; there is no other to pay for".to_owned(),
                _ => format!(
                    "{runs} runs of this experiment on the same users, as planned; releasing them \
                     all, and so choosing among them, costs {all} at the same δ, and not \
                     the ε above"
                ),
            };
            item(f, "tried", &text)?;
        }
        for (position, gap) in self.not_covered.iter().enumerate() {
            item(f, if position == 0 { "not covered" } else { "" }, &format!("- {gap}"))?;
        }
        for warning in &self.warnings {
            item(f, "warning", warning)?;
        }
        if !self.program.is_empty() {
            let head = self.ledger_head.get(..16).unwrap_or(&self.ledger_head);
            let program = &self.program;
            let of_run = self.run_number.map_or_else(String::new, |number| {
                format!(
                    "; the run has the number {number}, and a model or statement with this number \
                     whose hash is not in this ledger is another release, to be paid for beside \
                     this one"
                )
            });
            let text = format!(
                "made by {program}; `cargo xtask account` on the run's directory prices its ledger \
                 again, whose last hash begins with {head}{of_run}"
            );
            item(f, "to verify", &text)?;
        }
        match &self.audit {
            Some(audit) => write!(f, "\n{audit}"),
            None => Ok(()),
        }
    }
}
