//! Zeroing: an update far too large becomes zeros before it is clipped.
//!
//! A safeguard against broken clients. Clipping bounds every client with or without it, so it is
//! off unless asked for. Its adaptive form follows the 0.98 quantile of the largest coordinates and
//! zeroes above twice that plus one. As the field does it, that form looks at exact counts of exact
//! values: one client can decide whether everybody else's updates are zeroed in the next round,
//! which moves the sum by as many clip norms as there are clients. So no guarantee covers it, or any
//! model that was trained with it ([`Zeroing::Adaptive`]). The *noised* form follows the same
//! quantile on a noised count: one client moves the centred count by at most one half, and the
//! release is priced like the count behind an adaptive clip norm. It and the constant threshold are
//! covered.

use serde::{Deserialize, Serialize};

use crate::error::{AggregateError, in_range};
use crate::quantile::{QuantileConfig, QuantileEstimator, QuantileUpdate};
use crate::rule::{Magnitude, UpdateRule};
use crate::sum::Tally;

/// When an update becomes zeros.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", from = "ZeroingText")]
pub enum Zeroing {
    /// Never.
    #[default]
    Off,
    /// Above a threshold that is fixed in advance. Covered by the guarantee.
    Constant {
        /// The threshold `≥ 0`, finite, in the units of the updates.
        threshold: f64,
        /// What is measured.
        #[serde(default)]
        magnitude: Magnitude,
    },
    /// Above a multiple of a running quantile, on exact counts. Not covered by the guarantee.
    Adaptive(AdaptiveZeroing),
    /// Above a multiple of a running quantile, on noised counts. Covered by the guarantee, and
    /// paid for.
    Noised(NoisedZeroing),
}

/// [`Zeroing`] as it is read: a variant without fields would let unknown ones pass.
#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
enum ZeroingText {
    Off {},
    Constant {
        threshold: f64,
        #[serde(default)]
        magnitude: Magnitude,
    },
    Adaptive(AdaptiveZeroing),
    Noised(NoisedZeroing),
}

impl From<ZeroingText> for Zeroing {
    fn from(text: ZeroingText) -> Self {
        match text {
            ZeroingText::Off {} => Self::Off,
            ZeroingText::Constant { threshold, magnitude } => {
                Self::Constant { threshold, magnitude }
            }
            ZeroingText::Adaptive(adaptive) => Self::Adaptive(adaptive),
            ZeroingText::Noised(noised) => Self::Noised(noised),
        }
    }
}

/// A zeroing threshold `multiplier · E + increment` that follows a quantile `E` of the clients'
/// magnitudes. The defaults are those of the field.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdaptiveZeroing {
    /// First estimate of the quantile, `> 0`: 10.
    pub initial: f64,
    /// Which quantile, in `[0, 1]`: 0.98.
    pub target: f64,
    /// Rate of the geometric update, `≥ 0`: ln 10, a factor of at most ten a round.
    pub learning_rate: f64,
    /// Factor from quantile to threshold, `≥ 0`: 2.
    pub multiplier: f64,
    /// What is added to the threshold, `≥ 0`: 1.
    pub increment: f64,
    /// What is measured: the largest coordinate.
    pub magnitude: Magnitude,
}

impl Default for AdaptiveZeroing {
    fn default() -> Self {
        Self {
            initial: 10.0,
            target: 0.98,
            learning_rate: std::f64::consts::LN_10,
            multiplier: 2.0,
            increment: 1.0,
            magnitude: Magnitude::LargestCoordinate,
        }
    }
}

impl AdaptiveZeroing {
    fn estimator(&self) -> Result<QuantileEstimator, AggregateError> {
        let config = QuantileConfig::new(
            self.initial,
            self.target,
            self.learning_rate,
            QuantileUpdate::Geometric,
        );
        QuantileEstimator::new(config.reported_as(self.multiplier, self.increment))
    }
}

/// [`AdaptiveZeroing`] on a noised count. The rate is smaller than there, because noise would
/// otherwise throw the threshold about by factors.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NoisedZeroing {
    /// First estimate of the quantile, `> 0`: 10.
    pub initial: f64,
    /// Which quantile, in `[0, 1]`: 0.98.
    pub target: f64,
    /// Rate of the geometric update, `≥ 0`: 0.2.
    pub learning_rate: f64,
    /// Factor from quantile to threshold, `≥ 0`: 2.
    pub multiplier: f64,
    /// What is added to the threshold, `≥ 0`: 1.
    pub increment: f64,
    /// What is measured: the largest coordinate.
    pub magnitude: Magnitude,
    /// Standard deviation of the noise on the count, in clients; by default a twentieth of the
    /// clients per round. Its multiplier is twice that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count_stddev: Option<f64>,
}

impl Default for NoisedZeroing {
    fn default() -> Self {
        let AdaptiveZeroing { initial, target, multiplier, increment, magnitude, .. } =
            AdaptiveZeroing::default();
        let (learning_rate, count_stddev) = (0.2, None);
        Self { initial, target, learning_rate, multiplier, increment, magnitude, count_stddev }
    }
}

impl NoisedZeroing {
    fn quantile(&self) -> AdaptiveZeroing {
        let Self { initial, target, learning_rate, multiplier, increment, magnitude, .. } = *self;
        AdaptiveZeroing { initial, target, learning_rate, multiplier, increment, magnitude }
    }
}

/// Zeroing with its state.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Zeroer {
    Off,
    Constant { threshold: f64, magnitude: Magnitude },
    Adaptive { estimator: QuantileEstimator, magnitude: Magnitude },
    Noised { estimator: QuantileEstimator, magnitude: Magnitude },
}

impl Zeroer {
    pub(crate) fn new(config: &Zeroing) -> Result<Self, AggregateError> {
        Ok(match *config {
            Zeroing::Off => Self::Off,
            Zeroing::Constant { threshold, magnitude } => {
                let holds = (0.0..f64::INFINITY).contains(&threshold);
                let threshold = in_range(threshold, holds, "zeroing threshold", "[0, inf)")?;
                Self::Constant { threshold, magnitude }
            }
            Zeroing::Adaptive(adaptive) => {
                Self::Adaptive { estimator: adaptive.estimator()?, magnitude: adaptive.magnitude }
            }
            Zeroing::Noised(noised) => Self::Noised {
                estimator: noised.quantile().estimator()?,
                magnitude: noised.magnitude,
            },
        })
    }

    /// The threshold in force.
    pub(crate) fn threshold(&self) -> Option<f64> {
        match self {
            Self::Off => None,
            Self::Constant { threshold, .. } => Some(*threshold),
            Self::Adaptive { estimator, .. } | Self::Noised { estimator, .. } => {
                Some(estimator.report())
            }
        }
    }

    /// The running quantile, where there is one.
    pub(crate) fn estimate(&self) -> Option<f64> {
        match self {
            Self::Adaptive { estimator, .. } | Self::Noised { estimator, .. } => {
                Some(estimator.estimate())
            }
            Self::Off | Self::Constant { .. } => None,
        }
    }

    /// `rule` with this zeroing in it.
    pub(crate) fn apply(&self, rule: UpdateRule) -> UpdateRule {
        let magnitude = match *self {
            Self::Off => Magnitude::default(),
            Self::Constant { magnitude, .. }
            | Self::Adaptive { magnitude, .. }
            | Self::Noised { magnitude, .. } => magnitude,
        };
        UpdateRule {
            zeroing_threshold: self.threshold(),
            magnitude,
            magnitude_estimate: self.estimate(),
            ..rule
        }
    }

    /// Moves the running quantile by what the rule counted: exactly where no guarantee is asked
    /// for, else with `noise` (in clients) on the centred count and `expected` as its divisor.
    pub(crate) fn observe(&mut self, tally: &Tally, noise: f64, expected: f64) {
        match self {
            Self::Off | Self::Constant { .. } => {}
            Self::Adaptive { estimator, .. } => {
                estimator.observe_actual(tally.within_estimate, tally.clients);
            }
            Self::Noised { estimator, .. } => {
                let centred = tally.within_estimate as f64 - 0.5 * tally.clients as f64;
                estimator.observe_expected(centred + noise, expected);
            }
        }
    }

    /// This zeroing with a saved estimate.
    pub(crate) fn restored(mut self, saved: Option<f64>) -> Result<Self, AggregateError> {
        match (&mut self, saved) {
            (Self::Adaptive { estimator, .. } | Self::Noised { estimator, .. }, Some(estimate)) => {
                estimator.restore(estimate)?
            }
            (Self::Off | Self::Constant { .. }, None) => {}
            _ => return Err(AggregateError::StateMismatch { what: "zeroing estimate" }),
        }
        Ok(self)
    }
}
