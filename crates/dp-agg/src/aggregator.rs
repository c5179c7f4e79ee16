//! The seam between a round and its mechanism.

use dp_accounting::DpEvent;
use serde::{Deserialize, Serialize};

use crate::error::AggregateError;
use crate::noise::{Noise, NoiseMode, NoiseSpec};
use crate::rule::UpdateRule;
use crate::sum::{SecretSum, Tally};

/// What one round does to the clients' updates between training and the server's step.
///
/// A round asks for the [`rule`](Self::rule), has every update put through it into a
/// [`SecretSum`], draws the [`noise`](Self::noise) (meanwhile, if it likes), and calls
/// [`release`](Self::release): the only way out, and it adds the noise first.
///
/// Every tenant keeps, and `tests/conformance.rs` checks:
///
/// 1. between two releases rule, noise and event do not change;
/// 2. a release depends on the sum and the noise alone: neither on the order of the updates nor
///    on how they were divided among merged sums;
/// 3. a sum of another rule or a noise for another round is refused, and a refused release
///    changes nothing;
/// 4. [`event`](Self::event) is the event that the release carries;
/// 5. an aggregator that is given a saved [`state`](Self::state) goes on bit for bit as the one
///    that was saved;
/// 6. an update that is not finite changes no coordinate of the mean's numerator.
pub trait Aggregator: Send {
    /// The rule that every update of the coming round must pass.
    fn rule(&self) -> UpdateRule;

    /// The noise that the coming release over `dim` parameters needs.
    fn noise(&self, dim: usize) -> NoiseSpec;

    /// What the coming release costs, before sampling: whoever drew the cohort wraps it.
    fn event(&self) -> DpEvent;

    /// Adds the noise, divides, and moves the state of the mechanism.
    ///
    /// # Errors
    /// [`AggregateError::RuleMismatch`], [`AggregateError::NoiseMismatch`] or
    /// [`AggregateError::TooManyClients`]; the aggregator is then as it was.
    fn release(&mut self, sum: SecretSum, noise: Noise) -> Result<Release, AggregateError>;

    /// What a checkpoint must keep.
    fn state(&self) -> AggregatorState;

    /// Takes up a saved state.
    ///
    /// # Errors
    /// [`AggregateError::StateMismatch`] or [`AggregateError::OutOfRange`] if the state was saved
    /// by an aggregator with other settings or is damaged; the aggregator is then as it was.
    fn restore(&mut self, state: &AggregatorState) -> Result<(), AggregateError>;
}

/// What leaves a round, with its price.
#[derive(Clone, Debug, PartialEq)]
#[must_use = "a release has been paid for"]
pub struct Release {
    /// The noisy mean of the updates (initial minus trained): the server subtracts it. NaN
    /// throughout where a plain mean had no clients; the server must reject that.
    pub mean: Vec<f32>,
    /// What this release costs, before sampling.
    pub event: DpEvent,
    /// What kind of noise it has; `None`: no noise.
    pub noise_mode: Option<NoiseMode>,
    /// What a server sees besides the mean.
    pub measurements: Measurements,
    /// What the guarantee does not cover; to be printed wherever an ε is.
    pub uncovered: Vec<Uncovered>,
    /// Exact counts. Only a simulation may look at them.
    pub raw: RawCounts,
}

/// What a server sees of a round besides the mean.
///
/// Clip norms and the unclipped share are covered by the release's event; so is a constant
/// zeroing threshold. An adaptive one is not ([`Uncovered::AdaptiveZeroing`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Measurements {
    /// The clip norm that clipped this round; `None`: no clipping.
    pub clip_norm: Option<f64>,
    /// The clip norm of the next round.
    pub next_clip_norm: Option<f64>,
    /// Share of unclipped clients as released, noise included, in `[0, 1]`; `None` where the
    /// clip norm does not move or moves on exact counts.
    pub unclipped_share: Option<f64>,
    /// The zeroing threshold of this round; `None`: no zeroing.
    pub zeroing_threshold: Option<f64>,
    /// The zeroing threshold of the next round.
    pub next_zeroing_threshold: Option<f64>,
}

/// Exact counts of a round, which no noise protects: for simulations and tests alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RawCounts {
    /// Clients that took part.
    pub clients: u64,
    /// Clients whose norm was at most the clip norm when it came to clipping.
    pub unclipped: u64,
    /// Clients whose update was shortened to the clip norm.
    pub clipped: u64,
    /// Clients above the zeroing threshold.
    pub zeroed: u64,
    /// Clients whose update was not finite.
    pub non_finite: u64,
    /// Sum of the clients' weights.
    pub weight: f64,
}

impl From<&Tally> for RawCounts {
    fn from(tally: &Tally) -> Self {
        Self {
            clients: tally.clients,
            unclipped: tally.unclipped,
            clipped: tally.clients - tally.unclipped,
            zeroed: tally.zeroed,
            non_finite: tally.non_finite,
            weight: tally.weight,
        }
    }
}

/// Something about a release that no guarantee covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Uncovered {
    /// No noise was added: ε is infinite.
    NoNoise,
    /// Updates are not clipped, or weighted, or divided by an exact count.
    NoSensitivityBound,
    /// The zeroing threshold moves on exact counts of exact values.
    AdaptiveZeroing,
    /// The noise can be drawn again by whoever knows the seed.
    SimulationNoise,
}

impl std::fmt::Display for Uncovered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NoNoise => "no noise was added: epsilon is infinite",
            Self::NoSensitivityBound => {
                "the mean bounds no client's influence: updates are unclipped, weighted or \
                 divided by an exact count"
            }
            Self::AdaptiveZeroing => {
                "the adaptive zeroing threshold moves on exact counts of the clients' values"
            }
            Self::SimulationNoise => {
                "the noise is seeded and can be drawn again: a simulation, not a release"
            }
        })
    }
}

/// What an aggregator carries from round to round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AggregatorState {
    /// The clip norm in force, where it moves.
    pub clip_norm: Option<f64>,
    /// The running quantile behind the zeroing threshold, where it moves.
    pub zeroing_estimate: Option<f64>,
}

/// What `sum` holds, if it was opened for the coming round of `aggregator` and `noise` was drawn
/// for that round too.
pub(crate) fn parts_for(
    aggregator: &impl Aggregator,
    sum: SecretSum,
    noise: &Noise,
) -> Result<(UpdateRule, Vec<f64>, Tally), AggregateError> {
    if *sum.rule() != aggregator.rule() {
        return Err(AggregateError::RuleMismatch);
    }
    noise.check(&aggregator.noise(sum.dim()))?;
    Ok(sum.into_parts())
}
