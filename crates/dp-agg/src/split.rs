//! How a total noise multiplier is split between the updates and the count behind the clip norm.
//!
//! A mechanism with an adaptive clip norm releases two things a round: the sum of the updates and
//! the centred count of unclipped clients. One client moves the count by at most `1/2`, so a
//! noise of standard deviation `s_b` on it has the multiplier `2·s_b`. Gaussian releases of
//! multipliers `z_v` and `2·s_b` about the same sample cost exactly as much as one of
//!
//! ```text
//! z = (z_v⁻² + (2·s_b)⁻²)^(−1/2),   so that   z_v = (z⁻² − (2·s_b)⁻²)^(−1/2)
//! ```
//!
//! ([ATMR21], Theorem 1). `z` is what a user asks for; `z_v`, a little above it and rounded up, is
//! what the updates get, so that both releases together cost no more than a Gaussian of `z`.
//!
//! [ATMR21]: https://arxiv.org/abs/1905.03871

use serde::Serialize;

use crate::error::{AggregateError, in_range};
use crate::mistake::{Mistake, made};

/// Largest multiplier: beyond it the noise would no longer be exact on the grid.
pub(crate) const LARGEST_MULTIPLIER: f64 = 65_536.0;

/// A total noise multiplier, split. Dimensionless where nothing else is said.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct NoiseSplit {
    total: f64,
    values: f64,
    count_stddev: f64,
    zeroing_stddev: f64,
}

impl NoiseSplit {
    /// Splits the total multiplier `z` for `clients_per_round = m` expected clients, with
    /// `count_stddev = s_b` clients of noise on the count; by default `m / 20`.
    ///
    /// With `z = 0` the updates get no noise and neither does the count, unless `count_stddev`
    /// is given.
    ///
    /// # Errors
    /// [`AggregateError::OutOfRange`] if `z` or `z_v` is outside `[0, 65536]`, `m` outside
    /// `(0, 2^31]` or `s_b` outside `[0, 2^27]`; [`AggregateError::NothingLeftForValues`] if
    /// `z ≥ 2·s_b`.
    pub fn new(
        noise_multiplier: f64,
        clients_per_round: f64,
        count_stddev: Option<f64>,
    ) -> Result<Self, AggregateError> {
        let total = check_multiplier(noise_multiplier)?;
        let expected = check_clients_per_round(clients_per_round)?;
        if let Some(given) = count_stddev {
            let holds = (0.0..=134_217_728.0).contains(&given);
            in_range(given, holds, "deviation of the clip count", "[0, 2^27]")?;
        }
        if total <= 0.0 {
            let count_stddev = count_stddev.unwrap_or(0.0);
            return Ok(Self { total, values: 0.0, count_stddev, zeroing_stddev: 0.0 });
        }
        let count_stddev = count_stddev.unwrap_or(0.05 * expected);
        let count = count_stddev * if made(Mistake::CountSensitivityOne) { 1.0 } else { 2.0 };
        if total >= count {
            let noise_multiplier = total;
            return Err(AggregateError::NothingLeftForValues { noise_multiplier, count_stddev });
        }
        // z·c/√((c − z)(c + z)) with c = 2·s_b: six roundings, none of them of a difference that
        // was rounded before. Raised by more than they can lower it: together the two releases
        // cost no more than z alone.
        let values = total / ((count - total) * (count + total)).sqrt() * count;
        let values = values * (1.0 + 8.0 * f64::EPSILON);
        let holds = values <= LARGEST_MULTIPLIER;
        in_range(values, holds, "noise multiplier left for the updates", "[0, 65536]")?;
        Ok(Self { total, values, count_stddev, zeroing_stddev: 0.0 })
    }

    /// All noise goes on the updates: the split of a fixed clip norm, which needs no count.
    ///
    /// # Errors
    /// [`AggregateError::OutOfRange`] if `noise_multiplier` is outside `[0, 65536]`.
    pub fn all_on_values(noise_multiplier: f64) -> Result<Self, AggregateError> {
        let total = check_multiplier(noise_multiplier)?;
        Ok(Self { total, values: total, count_stddev: 0.0, zeroing_stddev: 0.0 })
    }

    /// Takes the share of a second count, the one behind a noised zeroing threshold, from the
    /// share of the updates: the total stays what it is. Parameters and errors as in
    /// [`new`](Self::new).
    ///
    /// # Errors
    /// [`AggregateError::NothingLeftAfterCounts`], or as [`new`](Self::new).
    pub fn with_zeroing_count(
        self,
        clients_per_round: f64,
        zeroing_stddev: Option<f64>,
    ) -> Result<Self, AggregateError> {
        // What is left for the updates is split once more, by the same rule.
        let rest =
            Self::new(self.values, clients_per_round, zeroing_stddev).map_err(
                |error| match error {
                    AggregateError::NothingLeftForValues {
                        count_stddev: zeroing_stddev, ..
                    } => {
                        let Self { total: noise_multiplier, count_stddev, .. } = self;
                        AggregateError::NothingLeftAfterCounts {
                            noise_multiplier,
                            count_stddev,
                            zeroing_stddev,
                        }
                    }
                    other => other,
                },
            )?;
        Ok(Self { values: rest.values, zeroing_stddev: rest.count_stddev, ..self })
    }

    /// The total multiplier `z`: what an accountant prices.
    #[must_use]
    pub fn total(&self) -> f64 {
        self.total
    }

    /// The multiplier `z_v ≥ z` on the updates: their noise has the standard deviation `z_v · C`.
    #[must_use]
    pub fn values(&self) -> f64 {
        self.values
    }

    /// Standard deviation `s_b` of the noise on the centred count, in clients.
    #[must_use]
    pub fn count_stddev(&self) -> f64 {
        self.count_stddev
    }

    /// Standard deviation of the noise on the centred count behind a noised zeroing threshold, in
    /// clients; 0 where there is none.
    #[must_use]
    pub fn zeroing_stddev(&self) -> f64 {
        self.zeroing_stddev
    }

    /// Whether the count takes so much that the updates need at least twice the noise asked for:
    /// worth a warning.
    #[must_use]
    pub fn starves_values(&self) -> bool {
        self.total > 0.0 && self.values >= 2.0 * self.total
    }
}

fn check_multiplier(value: f64) -> Result<f64, AggregateError> {
    in_range(value, (0.0..=LARGEST_MULTIPLIER).contains(&value), "noise multiplier", "[0, 65536]")
}

/// The expected number of clients a round: a positive real number.
pub(crate) fn check_clients_per_round(value: f64) -> Result<f64, AggregateError> {
    let holds = value > 0.0 && value <= 2_147_483_648.0;
    in_range(value, holds, "clients per round", "(0, 2^31]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deviation_of_zero_leaves_nothing_for_the_updates() {
        let error = NoiseSplit::new(0.5, 50.0, Some(0.0)).expect_err("nothing left");
        assert!(matches!(error, AggregateError::NothingLeftForValues { .. }), "{error}");
    }

    #[test]
    fn two_counts_may_leave_nothing_either() {
        let split = NoiseSplit::new(0.5, 6.0, None).expect("one count leaves something");
        let error = split.with_zeroing_count(6.0, None).expect_err("two do not");
        assert!(error.to_string().starts_with("noise multiplier 0.5 leaves nothing"), "{error}");
    }

    #[test]
    fn numbers_that_are_none_are_refused() {
        assert!(NoiseSplit::new(f64::NAN, 50.0, None).is_err());
        assert!(NoiseSplit::new(-0.5, 50.0, None).is_err());
        assert!(NoiseSplit::new(0.5, 0.0, None).is_err());
        assert!(NoiseSplit::new(0.5, f64::NAN, None).is_err());
        assert!(NoiseSplit::new(0.5, 50.0, Some(f64::NAN)).is_err());
        assert!(NoiseSplit::new(0.0, 50.0, Some(-1.0)).is_err());
    }

    #[test]
    fn without_noise_a_given_deviation_is_kept() {
        let split = NoiseSplit::new(0.0, 50.0, Some(2.0)).expect("in range");
        assert!((split.count_stddev() - 2.0).abs() < f64::EPSILON);
        assert!(split.values() <= 0.0);
        assert!(!split.starves_values());
    }
}
