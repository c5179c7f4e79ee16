//! The rule that every update must pass before it may enter the sum.
//!
//! A client of a federated system zeroes and clips before it sends; so does ours, where it was
//! trained. The rule is fixed before the round and is a pure function of two numbers of the
//! update, its joint L2 norm and its largest absolute coordinate, so that it can be applied on
//! any device:
//!
//! 1. an update with a coordinate that is not finite becomes all zeros and weighs nothing;
//! 2. an update whose magnitude exceeds the zeroing threshold (strictly) becomes all zeros;
//! 3. what is left is scaled down to the clip norm, all tensors by one factor.
//!
//! A client whose update became zeros still counts as a client, and as one that was not clipped.

use serde::{Deserialize, Serialize};

use crate::grid::Grid;
use crate::mistake::{Mistake, made};

/// By which norm the zeroing threshold measures an update.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Magnitude {
    /// The largest absolute coordinate over all tensors (the default of the field).
    #[default]
    LargestCoordinate,
    /// The joint L2 norm over all tensors.
    L2,
}

/// How much an update counts in a mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Weighting {
    /// Every client counts once: the only form with a bounded sensitivity.
    #[default]
    Uniform,
    /// A client counts as often as it has examples.
    Examples,
}

/// What is applied to every update of a round: zeroing threshold, clip norm, weighting, and what
/// is counted on the way.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct UpdateRule {
    /// Updates of a magnitude strictly above this become zeros; `None`: no zeroing.
    pub zeroing_threshold: Option<f64>,
    /// What the zeroing threshold and the tracked magnitude measure.
    pub magnitude: Magnitude,
    /// Clients whose magnitude (before zeroing) is at most this are counted, for the estimate of
    /// a quantile; `None`: not counted.
    pub magnitude_estimate: Option<f64>,
    /// Joint L2 norm that no update may exceed, `≥ 0`; `None`: no clipping.
    pub clip_norm: Option<f64>,
    /// How much an update counts.
    pub weighting: Weighting,
}

impl Default for UpdateRule {
    /// Only the check for values that are not finite.
    fn default() -> Self {
        Self {
            zeroing_threshold: None,
            magnitude: Magnitude::default(),
            magnitude_estimate: None,
            clip_norm: None,
            weighting: Weighting::default(),
        }
    }
}

/// What the rule says of one update. Only a simulation may look at it: it is raw client data.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// The factor that the update is multiplied with before it is rounded to the grid; 0 where
    /// the update becomes zeros.
    pub scale: f64,
    /// Joint L2 norm as sent (0 where it was not finite).
    pub norm: f64,
    /// Magnitude as sent (0 where it was not finite).
    pub magnitude: f64,
    /// Every coordinate was finite.
    pub finite: bool,
    /// The update was above the zeroing threshold.
    pub zeroed: bool,
    /// The norm that reached the clip was at most the clip norm.
    pub unclipped: bool,
}

impl UpdateRule {
    /// The grid that the sum of this round lives on.
    #[must_use]
    pub fn grid(&self) -> Grid {
        self.clip_norm.map_or_else(Grid::unbounded, Grid::for_clip)
    }

    /// Judges an update over `dim` coordinates from its squared joint L2 norm and its largest
    /// absolute coordinate, both computed in `f64`.
    ///
    /// A sum of squares that is not finite stands for an update that is not finite: squares of
    /// finite `f32` values cannot overflow an `f64` sum.
    #[must_use]
    pub fn judge(&self, squared_norm: f64, largest: f64, dim: usize) -> Verdict {
        if !squared_norm.is_finite() {
            let kept = made(Mistake::ClippedBeforeFiniteCheck);
            return Verdict {
                scale: f64::from(u8::from(kept)),
                norm: 0.0,
                magnitude: 0.0,
                finite: kept,
                zeroed: false,
                unclipped: true,
            };
        }
        let norm = squared_norm.sqrt();
        let magnitude = match self.magnitude {
            Magnitude::LargestCoordinate => largest,
            Magnitude::L2 => norm,
        };
        let zeroed = self.zeroing_threshold.is_some_and(|threshold| magnitude > threshold);
        let (scale, unclipped) = match self.clip_norm {
            _ if zeroed => (0.0, true),
            None => (1.0, true),
            Some(clip) => {
                let radius = self.grid().radius(clip, dim);
                let scale = if norm <= radius { 1.0 } else { radius / norm };
                (scale, norm <= clip)
            }
        };
        Verdict { scale, norm, magnitude, finite: true, zeroed, unclipped }
    }

    /// Whether a client with this verdict counts towards the tracked quantile of magnitudes.
    #[must_use]
    pub fn within_estimate(&self, verdict: &Verdict) -> bool {
        self.magnitude_estimate.is_some_and(|estimate| verdict.magnitude <= estimate)
    }
}
