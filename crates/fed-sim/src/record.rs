//! What a run writes down.
//!
//! What a server could release and what only a simulation knows are kept apart: `released` is
//! what the guarantee covers, `diagnostics` is raw client data. On disk ([`RoundLine`]) the former
//! is called `simulated` unless it was a release, and the latter is left out of a release. A record
//! holds no clock, so the records of two runs with one seed are equal to the last bit; times go to
//! [`PhaseTimes`].

mod line;

use std::path::Path;
use std::time::Duration;

use dp_accounting::{DpEvent, Epsilon};
use fed_model::Metrics;
use serde::{Deserialize, Serialize};

use crate::error::SimError;
use crate::server::Step;
use crate::state::Snapshot;

pub use line::RoundLine;

/// One round, after it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RoundRecord {
    /// Number of the round, from 0.
    pub round: u32,
    /// What a server could release: the guarantee covers it.
    pub released: Released,
    /// What only a simulation knows: raw client data that the guarantee does not cover.
    pub diagnostics: Diagnostics,
}

/// What a server could release of a round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Released {
    /// Clip norm that this round's updates were clipped to; none without clipping.
    pub clip_norm: Option<f64>,
    /// Clip norm of the next round, from the noised count.
    pub next_clip_norm: Option<f64>,
    /// Zeroing threshold of this round, where it is constant or follows a noised count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zeroing_threshold: Option<f64>,
    /// Standard deviation of the noise on each coordinate of the mean.
    pub noise_stddev: f64,
    /// L2 norm of the aggregate, noise included.
    pub aggregate_norm: f64,
    /// Whether the server could use the aggregate.
    pub step: Step,
}

/// What only a simulation knows of a round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Diagnostics {
    /// Clients that took part.
    pub clients: usize,
    /// Examples that were trained on.
    pub examples: u64,
    /// Batches that were trained on.
    pub batches: u64,
    /// Clients whose norm was at most the clip norm.
    pub unclipped: usize,
    /// Clients whose update was above the zeroing threshold.
    pub zeroed: usize,
    /// Zeroing threshold of this round; none without zeroing.
    pub zeroing_threshold: Option<f64>,
    /// Clients whose update was not finite.
    pub non_finite: usize,
    /// Mean of the clients' joint norms before clipping; 0 without clients.
    pub mean_update_norm: f64,
    /// Largest of the clients' joint norms before clipping.
    pub max_update_norm: f64,
    /// Accuracy on the clients' examples before each local step.
    pub train_accuracy: f64,
    /// Loss on the clients' examples before each local step.
    pub train_loss: f64,
}

/// The model after `round` rounds, on the test set.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvaluationRecord {
    /// Rounds of training before this evaluation.
    pub round: u32,
    /// Sums over the test examples.
    pub metrics: Metrics,
    /// Clip norm that the next round will use; none without clipping.
    pub clip_norm: Option<f64>,
    /// ε spent so far, at the run's δ.
    pub epsilon: Epsilon,
}

/// Where the time of a round went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PhaseTimes {
    /// Drawing the cohort.
    pub sample: Duration,
    /// Local training, clipping and summing, and meanwhile drawing the noise.
    pub train: Duration,
    /// Charging the ledger, adding the noise, release.
    pub release: Duration,
    /// Server step and records.
    pub server: Duration,
}

impl PhaseTimes {
    /// The whole round.
    #[must_use]
    pub fn total(&self) -> Duration {
        self.sample + self.train + self.release + self.server
    }
}

/// Listens to a run. Progress bars, records and stop buttons are observers.
pub trait Observer {
    /// A round is about to be released at this price. The release is not computed before this
    /// returns, and not at all if it fails: whoever must not lose the price makes it durable here.
    ///
    /// # Errors
    /// Whatever makes it impossible to go on.
    fn charge(&mut self, round: u32, event: &DpEvent) -> Result<(), SimError> {
        let _ = (round, event);
        Ok(())
    }

    /// A round is over.
    ///
    /// # Errors
    /// Whatever makes it impossible to go on.
    fn round(&mut self, record: &RoundRecord, times: &PhaseTimes) -> Result<(), SimError> {
        let _ = (record, times);
        Ok(())
    }

    /// The model was evaluated.
    ///
    /// # Errors
    /// Whatever makes it impossible to go on.
    fn evaluation(&mut self, record: &EvaluationRecord) -> Result<(), SimError> {
        let _ = record;
        Ok(())
    }

    /// The run is between two rounds, before the evaluation that may stand there: a place to save
    /// it. `leaving` says that no other round follows, whatever the reason.
    ///
    /// # Errors
    /// Whatever makes it impossible to go on.
    fn between(&mut self, state: &Snapshot<'_>, leaving: bool) -> Result<(), SimError> {
        let _ = (state, leaving);
        Ok(())
    }

    /// Asked before each round: whether to stop here.
    fn stop(&self) -> bool {
        false
    }

    /// Asked before each round: whether it was paid for already and is only repeated, with the same
    /// noise. No budget keeps it from that: it costs nothing more, and whoever saw it the first time
    /// is told its price.
    fn is_paid(&self) -> bool {
        false
    }
}

/// An observer that listens to nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {}

/// Two observers as one.
impl<A: Observer + ?Sized, B: Observer + ?Sized> Observer for (&mut A, &mut B) {
    fn charge(&mut self, round: u32, event: &DpEvent) -> Result<(), SimError> {
        self.0.charge(round, event)?;
        self.1.charge(round, event)
    }

    fn between(&mut self, state: &Snapshot<'_>, leaving: bool) -> Result<(), SimError> {
        self.0.between(state, leaving)?;
        self.1.between(state, leaving)
    }

    fn round(&mut self, record: &RoundRecord, times: &PhaseTimes) -> Result<(), SimError> {
        self.0.round(record, times)?;
        self.1.round(record, times)
    }

    fn evaluation(&mut self, record: &EvaluationRecord) -> Result<(), SimError> {
        self.0.evaluation(record)?;
        self.1.evaluation(record)
    }

    fn stop(&self) -> bool {
        self.0.stop() || self.1.stop()
    }

    fn is_paid(&self) -> bool {
        self.0.is_paid() || self.1.is_paid()
    }
}

/// All values of a JSON-lines file.
///
/// # Errors
/// [`SimError::Io`] if the file cannot be read, [`SimError::Config`] naming the line that is not
/// what it should be.
pub fn read_json_lines<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Vec<T>, SimError> {
    let text = std::fs::read_to_string(path).map_err(SimError::io(path))?;
    text.lines()
        .enumerate()
        .map(|(number, line)| {
            serde_json::from_str(line).map_err(|error| {
                SimError::config(format!("{}:{}", path.display(), number + 1), error.to_string())
            })
        })
        .collect()
}
