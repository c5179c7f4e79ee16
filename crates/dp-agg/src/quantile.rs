//! A running estimate of a quantile, from nothing but counts.
//!
//! Every round tells the estimator which share `b` of the clients had a value at most as large as
//! the estimate `E`; it then moves towards the target share `p` ([ATMR21], Section 2):
//!
//! ```text
//! geometric   E ← E · exp(−r · (b − p))
//! arithmetic  E ← E − r · (b − p),  never below 0
//! ```
//!
//! The share comes from a *centred* count, the sum of `+1/2` for every value at most `E` and
//! `−1/2` for every other: `b = clamp(B / n + 1/2, 0, 1)`. One client moves `B` by only `1/2`,
//! and where `n` is the expected number of clients, those who are missing count as half, so a
//! small cohort hardly moves the estimate. What is reported is `multiplier · E + increment`.
//!
//! Units: the estimate is in those of the values; shares, rate and multiplier are dimensionless.
//!
//! [ATMR21]: https://arxiv.org/abs/1905.03871

use serde::{Deserialize, Serialize};

use crate::error::{AggregateError, in_range};

/// How an estimate moves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuantileUpdate {
    /// By a factor: quick over orders of magnitude; stays at zero once there.
    #[default]
    Geometric,
    /// By an amount; never below zero.
    Arithmetic,
}

/// The settings of an estimator. All are public numbers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuantileConfig {
    /// First estimate `E₀`: finite, `≥ 0`; `> 0` for a geometric update.
    pub initial: f64,
    /// Target share `p` of values at most as large as the estimate, in `[0, 1]`.
    pub target: f64,
    /// Rate `r ≥ 0`, finite: per round, in natural-log units or in units of the values.
    pub learning_rate: f64,
    /// How the estimate moves.
    #[serde(default)]
    pub update: QuantileUpdate,
    /// What the estimate is multiplied with where it is reported, `≥ 0`, finite.
    #[serde(default = "one")]
    pub multiplier: f64,
    /// What is added where it is reported, `≥ 0`, finite.
    #[serde(default)]
    pub increment: f64,
}

fn one() -> f64 {
    1.0
}

impl QuantileConfig {
    /// An estimator of a plain quantile: reported as it is.
    #[must_use]
    pub fn new(initial: f64, target: f64, learning_rate: f64, update: QuantileUpdate) -> Self {
        Self { initial, target, learning_rate, update, multiplier: 1.0, increment: 0.0 }
    }

    /// The same, reported as `multiplier · estimate + increment`.
    #[must_use]
    pub fn reported_as(self, multiplier: f64, increment: f64) -> Self {
        Self { multiplier, increment, ..self }
    }
}

/// A running estimate of a quantile. See the module's page.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QuantileEstimator {
    config: QuantileConfig,
    estimate: f64,
}

/// The largest estimate: what an `f32` holds. It keeps a run with an absurd rate finite.
const LARGEST: f64 = f32::MAX as f64;

impl QuantileEstimator {
    /// An estimator at its initial estimate.
    ///
    /// # Errors
    /// [`AggregateError::OutOfRange`] if a setting is outside the range that its field names.
    pub fn new(config: QuantileConfig) -> Result<Self, AggregateError> {
        let non_negative = |value: f64, what| {
            in_range(value, (0.0..=LARGEST).contains(&value), what, "[0, 3.4e38]")
        };
        let initial = match config.update {
            QuantileUpdate::Geometric => in_range(
                config.initial,
                config.initial > 0.0 && config.initial <= LARGEST,
                "initial estimate of a quantile with geometric updates",
                "(0, 3.4e38]",
            )?,
            QuantileUpdate::Arithmetic => {
                non_negative(config.initial, "initial estimate of a quantile")?
            }
        };
        let target = config.target;
        in_range(target, (0.0..=1.0).contains(&target), "target quantile", "[0, 1]")?;
        non_negative(config.learning_rate, "learning rate of a quantile")?;
        non_negative(config.multiplier, "multiplier of a quantile")?;
        non_negative(config.increment, "increment of a quantile")?;
        Ok(Self { config, estimate: initial })
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &QuantileConfig {
        &self.config
    }

    /// The estimate `E`: finite, `≥ 0`. Values are counted against this.
    #[must_use]
    pub fn estimate(&self) -> f64 {
        self.estimate
    }

    /// What is reported: `multiplier · E + increment`.
    #[must_use]
    pub fn report(&self) -> f64 {
        self.config.multiplier * self.estimate + self.config.increment
    }

    /// Moves after a round in which `within` of the `clients` that took part had a value at most
    /// as large as the estimate. The exact counts are no private statistic. A round without
    /// clients says nothing, so it moves nothing.
    pub fn observe_actual(&mut self, within: u64, clients: u64) {
        if clients > 0 {
            self.advance(within as f64 / clients as f64);
        }
    }

    /// Moves after a round with the centred count `centred` (the sum of `±1/2`, noise included)
    /// and `expected > 0` clients expected; the share `b` that it moved by.
    pub fn observe_expected(&mut self, centred: f64, expected: f64) -> f64 {
        self.advance(centred / expected + 0.5)
    }

    /// Takes up a saved estimate.
    ///
    /// # Errors
    /// [`AggregateError::OutOfRange`] if `estimate` is NaN, negative or above `3.4e38`.
    pub fn restore(&mut self, estimate: f64) -> Result<(), AggregateError> {
        let holds = (0.0..=LARGEST).contains(&estimate);
        self.estimate = in_range(estimate, holds, "saved estimate of a quantile", "[0, 3.4e38]")?;
        Ok(())
    }

    /// One move by the share `b`, clamped to `[0, 1]`; the clamped share.
    fn advance(&mut self, share: f64) -> f64 {
        let share = share.clamp(0.0, 1.0);
        let step = self.config.learning_rate * (share - self.config.target);
        let moved = match self.config.update {
            QuantileUpdate::Geometric => self.estimate * (-step).exp(),
            QuantileUpdate::Arithmetic => self.estimate - step,
        };
        // 0 · ∞ is the only way to a NaN here, and an estimate of zero stays zero.
        self.estimate = if moved.is_nan() { 0.0 } else { moved.clamp(0.0, LARGEST) };
        share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_out_of_range_are_refused() {
        let good = QuantileConfig::new(0.1, 0.5, 0.2, QuantileUpdate::Geometric);
        assert!(QuantileEstimator::new(good).is_ok());
        let bad = [
            QuantileConfig { initial: 0.0, ..good },
            QuantileConfig { initial: f64::INFINITY, ..good },
            QuantileConfig { target: 1.1, ..good },
            QuantileConfig { target: f64::NAN, ..good },
            QuantileConfig { learning_rate: -0.1, ..good },
            QuantileConfig { multiplier: f64::NAN, ..good },
            QuantileConfig { increment: -1.0, ..good },
        ];
        for config in bad {
            assert!(QuantileEstimator::new(config).is_err(), "{config:?}");
        }
        let from_zero = QuantileConfig { update: QuantileUpdate::Arithmetic, initial: 0.0, ..good };
        assert!(QuantileEstimator::new(from_zero).is_ok());
    }

    #[test]
    fn an_empty_round_moves_nothing() {
        let config = QuantileConfig::new(10.0, 0.98, 2.3, QuantileUpdate::Geometric);
        let mut estimator = QuantileEstimator::new(config).expect("in range");
        let before = estimator;
        estimator.observe_actual(0, 0);
        assert_eq!(estimator, before);
    }

    #[test]
    fn absurd_rates_stay_finite() {
        for update in [QuantileUpdate::Geometric, QuantileUpdate::Arithmetic] {
            let config = QuantileConfig::new(1.0, 0.5, 1e300, update);
            assert!(QuantileEstimator::new(config).is_err());
            let config = QuantileConfig { learning_rate: 1e30, ..config };
            let mut estimator = QuantileEstimator::new(config).expect("in range");
            for within in [0, 0, 1, 1, 0, 1] {
                estimator.observe_actual(within, 1);
                assert!(estimator.estimate().is_finite() && estimator.estimate() >= 0.0);
            }
        }
    }
}
