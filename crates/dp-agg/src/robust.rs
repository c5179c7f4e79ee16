//! The robust mean: zeroing and clipping against broken clients, without noise or guarantee.
//!
//! The clip norm follows a quantile of the norms on exact counts; the mean is over the clients
//! that took part, uniform or weighted by examples. Neither zeroing nor clipping changes a weight.

use dp_accounting::DpEvent;
use serde::{Deserialize, Serialize};

use crate::aggregator::{
    Aggregator, AggregatorState, Measurements, RawCounts, Release, Uncovered, parts_for,
};
use crate::error::AggregateError;
use crate::noise::{Noise, NoiseSpec};
use crate::plain::mean_over_actual;
use crate::quantile::{QuantileConfig, QuantileEstimator, QuantileUpdate};
use crate::rule::{UpdateRule, Weighting};
use crate::sum::SecretSum;
use crate::zeroing::{Zeroer, Zeroing};

/// The settings of a [`RobustMean`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RobustConfig {
    /// When an update becomes zeros.
    pub zeroing: Zeroing,
    /// How the clip norm moves; `None`: no clipping.
    pub clipping: Option<RobustClipping>,
    /// How much an update counts.
    pub weighting: Weighting,
}

/// A clip norm that follows a quantile of the norms on exact counts. The defaults are those of
/// the field.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RobustClipping {
    /// First clip norm, `> 0`: 1.
    pub initial: f64,
    /// Target share of unclipped clients, in `[0, 1]`: 0.8.
    pub target: f64,
    /// Rate of the geometric update, `≥ 0`: 0.2.
    pub learning_rate: f64,
}

impl Default for RobustClipping {
    fn default() -> Self {
        Self { initial: 1.0, target: 0.8, learning_rate: 0.2 }
    }
}

/// Zeroing, clipping at a running quantile, mean over the clients that took part. See the
/// module's page.
#[derive(Clone, Debug)]
pub struct RobustMean {
    zeroer: Zeroer,
    clip: Option<QuantileEstimator>,
    weighting: Weighting,
}

impl RobustMean {
    /// A mean before its first round.
    ///
    /// # Errors
    /// [`AggregateError::OutOfRange`] if a setting is outside the range that its field names.
    pub fn new(config: RobustConfig) -> Result<Self, AggregateError> {
        let clip = config.clipping.map(|clipping| {
            QuantileEstimator::new(QuantileConfig::new(
                clipping.initial,
                clipping.target,
                clipping.learning_rate,
                QuantileUpdate::Geometric,
            ))
        });
        Ok(Self {
            zeroer: match config.zeroing {
                Zeroing::Noised(_) => return Err(AggregateError::NoNoiseHere),
                other => Zeroer::new(&other)?,
            },
            clip: clip.transpose()?,
            weighting: config.weighting,
        })
    }

    fn clip_norm(&self) -> Option<f64> {
        self.clip.as_ref().map(QuantileEstimator::estimate)
    }
}

impl Aggregator for RobustMean {
    fn rule(&self) -> UpdateRule {
        let rule = UpdateRule { clip_norm: self.clip_norm(), ..UpdateRule::default() };
        self.zeroer.apply(UpdateRule { weighting: self.weighting, ..rule })
    }

    fn noise(&self, dim: usize) -> NoiseSpec {
        NoiseSpec::none(dim, self.rule().grid())
    }

    fn event(&self) -> DpEvent {
        DpEvent::NonPrivate
    }

    fn release(&mut self, sum: SecretSum, noise: Noise) -> Result<Release, AggregateError> {
        let (rule, steps, tally) = parts_for(self, sum, &noise)?;
        let mean = mean_over_actual(&rule, &steps, &tally);

        let clip_norm = self.clip_norm();
        let zeroing_threshold = self.zeroer.threshold();
        if let Some(estimator) = &mut self.clip {
            estimator.observe_actual(tally.unclipped, tally.clients);
        }
        self.zeroer.observe(&tally, 0.0, 1.0);

        Ok(Release {
            mean,
            event: self.event(),
            noise_mode: None,
            measurements: Measurements {
                clip_norm,
                next_clip_norm: self.clip_norm(),
                unclipped_share: None,
                zeroing_threshold,
                next_zeroing_threshold: self.zeroer.threshold(),
            },
            uncovered: vec![Uncovered::NoNoise, Uncovered::NoSensitivityBound],
            raw: RawCounts::from(&tally),
        })
    }

    fn state(&self) -> AggregatorState {
        AggregatorState { clip_norm: self.clip_norm(), zeroing_estimate: self.zeroer.estimate() }
    }

    fn restore(&mut self, state: &AggregatorState) -> Result<(), AggregateError> {
        let zeroer = self.zeroer.restored(state.zeroing_estimate)?;
        let mut clip = self.clip;
        match (&mut clip, state.clip_norm) {
            (Some(estimator), Some(norm)) => estimator.restore(norm)?,
            (None, None) => {}
            _ => return Err(AggregateError::StateMismatch { what: "clip norm" }),
        }
        (self.zeroer, self.clip) = (zeroer, clip);
        Ok(())
    }
}
