//! Zeroing: an update far too large becomes zeros before it is clipped.
//!
//! A safeguard against broken clients. Its adaptive form follows the 0.98 quantile of the largest
//! coordinates and zeroes above twice that plus one. That form looks at exact counts of exact
//! values, so no guarantee covers it; the other two are covered.

use serde::{Deserialize, Serialize};

use crate::error::{AggregateError, in_range};
use crate::quantile::{QuantileConfig, QuantileEstimator, QuantileUpdate};
use crate::rule::{Magnitude, UpdateRule};
use crate::sum::Tally;

/// When an update becomes zeros.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", from = "ZeroingText")]
pub enum Zeroing {
    /// Never.
    Off,
    /// Above a threshold that is fixed in advance. Covered by the guarantee.
    Constant {
        /// The threshold `≥ 0`, finite, in the units of the updates.
        threshold: f64,
        /// What is measured.
        #[serde(default)]
        magnitude: Magnitude,
    },
    /// Above a multiple of a running quantile. Not covered by the guarantee.
    Adaptive(AdaptiveZeroing),
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
}

impl From<ZeroingText> for Zeroing {
    fn from(text: ZeroingText) -> Self {
        match text {
            ZeroingText::Off {} => Self::Off,
            ZeroingText::Constant { threshold, magnitude } => {
                Self::Constant { threshold, magnitude }
            }
            ZeroingText::Adaptive(adaptive) => Self::Adaptive(adaptive),
        }
    }
}

impl Default for Zeroing {
    fn default() -> Self {
        Self::Adaptive(AdaptiveZeroing::default())
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

/// Zeroing with its state.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Zeroer {
    Off,
    Constant { threshold: f64, magnitude: Magnitude },
    Adaptive { estimator: QuantileEstimator, magnitude: Magnitude },
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
                let config = QuantileConfig::new(
                    adaptive.initial,
                    adaptive.target,
                    adaptive.learning_rate,
                    QuantileUpdate::Geometric,
                );
                let config = config.reported_as(adaptive.multiplier, adaptive.increment);
                let estimator = QuantileEstimator::new(config)?;
                Self::Adaptive { estimator, magnitude: adaptive.magnitude }
            }
        })
    }

    /// The threshold in force.
    pub(crate) fn threshold(&self) -> Option<f64> {
        match self {
            Self::Off => None,
            Self::Constant { threshold, .. } => Some(*threshold),
            Self::Adaptive { estimator, .. } => Some(estimator.report()),
        }
    }

    /// The running quantile, where there is one.
    pub(crate) fn estimate(&self) -> Option<f64> {
        match self {
            Self::Adaptive { estimator, .. } => Some(estimator.estimate()),
            Self::Off | Self::Constant { .. } => None,
        }
    }

    /// `rule` with this zeroing in it.
    pub(crate) fn apply(&self, rule: UpdateRule) -> UpdateRule {
        let magnitude = match *self {
            Self::Off => Magnitude::default(),
            Self::Constant { magnitude, .. } | Self::Adaptive { magnitude, .. } => magnitude,
        };
        UpdateRule {
            zeroing_threshold: self.threshold(),
            magnitude,
            magnitude_estimate: self.estimate(),
            ..rule
        }
    }

    /// Moves the running quantile by what the rule counted.
    pub(crate) fn observe(&mut self, tally: &Tally) {
        if let Self::Adaptive { estimator, .. } = self {
            estimator.observe_actual(tally.within_estimate, tally.clients);
        }
    }

    /// This zeroing with a saved estimate.
    pub(crate) fn restored(mut self, saved: Option<f64>) -> Result<Self, AggregateError> {
        match (&mut self, saved) {
            (Self::Adaptive { estimator, .. }, Some(estimate)) => estimator.restore(estimate)?,
            (Self::Off | Self::Constant { .. }, None) => {}
            _ => return Err(AggregateError::StateMismatch { what: "zeroing estimate" }),
        }
        Ok(self)
    }
}
