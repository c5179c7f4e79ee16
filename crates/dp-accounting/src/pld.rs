//! Privacy loss distributions on a grid: for what has no moments at hand.
//!
//! The [exact accountant](crate::exact) needs moments at complex orders. Many mechanisms do not
//! offer them, or have atoms that make the integral converge slowly: Laplace noise, randomised
//! response, pure guarantees. What they do have is the distribution of their privacy loss.
//! [`PldAccountant`] puts it on a grid of step `h`, composes by Fourier transform and bounds the
//! truth from both sides.
//!
//! Covered: Gaussian, Laplace, discrete Laplace and pure events, all of them also on a Poisson sample,
//! and randomised response, in any mixture, under every relation for which they have a meaning. A
//! pure event is taken for the worst that has its `ε`, which is randomised response on one bit: an
//! upper bound, so that a composition with one of them has no lower end.
//!
//! Sampling makes another pair of a pair `P`, `Q`: `(1 − q) Q + q P` against `Q` with the record, `P`
//! against `(1 − q) P + q Q` without it ([ZDW22], Theorem 11). The larger answer of the two counts.
//!
//! # From above: connecting the dots
//!
//! A loss `X` between neighbouring grid points `a` and `a + h` is moved to the upper one with the
//! probability that keeps `E[e^−X]`, else to the lower one:
//!
//! ```text
//! β = (1 − e^−(X−a)) / (1 − e^−h)
//! ```
//!
//! so that the masses of both outputs stay what they are. The `δ(ε)` of the grid is straight in `e^ε`
//! between its points, touches the true, convex one at each of them, and dominates it in every
//! composition ([DGKKM22]). Losses beyond the range count as infinite.
//!
//! # From below: the same grid, moved
//!
//! Given `X`, what is moved lies in an interval of length `h` and is at most `h²/8` in the mean. By the
//! inequality of Azuma and Hoeffding it adds up, over `T` steps, to at most
//!
//! ```text
//! s = T h²/8 + h √(T ln(1/η)/2)
//! ```
//!
//! but for a probability `η`, and so `δ_grid(ε + s) − η ≤ δ(ε) ≤ δ_grid(ε)`. This narrows with `h √T`,
//! where rounding all losses down would lose `h T/2`: the interval stays of use at a million rounds.
//!
//! Sums beyond the period of the transform, bounded by Chernoff's inequality, and the rounding of the
//! transform, bounded in the mean square, are added to the upper and taken from the lower end. Below a
//! `δ` of about 1e-13 that rounding is all there is, and the upper end is infinite.
//!
//! [DGKKM22]: https://arxiv.org/abs/2207.04380
//! [ZDW22]: https://arxiv.org/abs/2106.08567

mod bounded;
mod grid;
mod tails;

use crate::accountant::{Accountant, DeltaInterval, EpsilonInterval, Neighboring};
use crate::error::AccountingError;
use crate::history::{History, Mechanism, answered_by_history};
use crate::pld::grid::{Composed, Repeated, Settings};
use crate::pld::tails::{Loss, Side};
use crate::units::{Delta, Epsilon, UnitError};

/// Composes privacy losses on a grid, with certified rounding in both directions.
///
/// ```
/// use dp_accounting::{Accountant, Delta, DpEvent, Neighboring, NoiseMultiplier, PldAccountant};
///
/// let mut accountant = PldAccountant::new(Neighboring::AddOrRemoveOne);
/// accountant.compose(&DpEvent::Laplace { noise_multiplier: NoiseMultiplier::new(20.0)? }, 50)?;
/// let found = accountant.epsilon_interval(Delta::new(1e-6)?)?;
/// assert!(found.lower_or_zero() <= found.upper && found.upper.get() < 2.5);
/// # Ok::<(), dp_accounting::AccountingError>(())
/// ```
#[derive(Clone, Debug)]
pub struct PldAccountant {
    settings: Settings,
    history: History,
}

impl PldAccountant {
    /// An empty accountant with steps of 1e-4 (made larger where a grid would exceed 2^20
    /// points) and a truncation of 1e-15.
    #[must_use]
    pub fn new(relation: Neighboring) -> Self {
        let settings = Settings { step: 1e-4, truncation: 1e-15, points: 1 << 20 };
        let supports = |mechanism: &Mechanism| {
            matches!(mechanism, Mechanism::NonPrivate)
                || Loss::of(mechanism, Side::Remove).is_some()
        };
        Self { settings, history: History::new("PLD", relation, supports) }
    }

    /// The same with another distance of grid points, in units of `ε`.
    ///
    /// # Errors
    /// [`AccountingError::Unit`] unless it lies between 1e-9 and 1.
    pub fn with_step(mut self, step: f64) -> Result<Self, AccountingError> {
        if !(1e-9..=1.0).contains(&step) {
            let (unit, range) = ("grid step", "[1e-9, 1]");
            return Err(UnitError::OutOfRange { unit, range, value: step }.into());
        }
        self.settings.step = step;
        Ok(self)
    }

    /// The same with another truncation: the probability that each of the cuts may lose, which
    /// ends up in `δ` a few times over. It should lie well below the `δ` of interest.
    ///
    /// # Errors
    /// [`AccountingError::Unit`] unless it lies between 1e-300 and 0.1.
    pub fn with_truncation(mut self, truncation: f64) -> Result<Self, AccountingError> {
        if !(1e-300..=0.1).contains(&truncation) {
            let (unit, range) = ("truncation", "[1e-300, 0.1]");
            return Err(UnitError::OutOfRange { unit, range, value: truncation }.into());
        }
        self.settings.truncation = truncation;
        Ok(self)
    }

    /// The same with another limit on the points of a grid, at least 1024.
    #[must_use]
    pub fn with_points(mut self, points: usize) -> Self {
        self.settings.points = points.clamp(1024, 1 << 28);
        self
    }

    /// The composed grids whose worst is the answer.
    fn composed(&self, steps: &[(Mechanism, u64)]) -> Result<Vec<Composed>, AccountingError> {
        let two_sided = steps.iter().any(|(step, _)| {
            matches!(step, Mechanism::SampledGaussian { .. } | Mechanism::SampledBounded { .. })
        });
        let sides: &[Side] = if two_sided { &[Side::Remove, Side::Add] } else { &[Side::Remove] };
        sides
            .iter()
            .map(|&side| {
                let steps: Vec<Repeated> = steps
                    .iter()
                    .filter_map(|(mechanism, count)| {
                        #[expect(clippy::cast_precision_loss, reason = "at most 2^53")]
                        let count = *count as f64;
                        Loss::of(mechanism, side).map(|loss| Repeated { loss, count })
                    })
                    .collect();
                Composed::new(&steps, self.settings).ok_or_else(|| self.not_reached())
            })
            .collect()
    }

    fn not_reached(&self) -> AccountingError {
        AccountingError::WidthNotReached {
            accountant: self.name(),
            asked: self.settings.step,
            reason: "a grid of the permitted size would have steps above 1".to_owned(),
        }
    }
}

impl Accountant for PldAccountant {
    answered_by_history!();

    fn epsilon_interval(&self, delta: Delta) -> Result<EpsilonInterval, AccountingError> {
        let delta = delta.get();
        if let Some(found) = self.history.plain_epsilon(delta) {
            return Ok(found);
        }
        let greatest = self.history.greatest_loss();
        let exact = self.history.is_exact();
        if delta <= 0.0 {
            // A grid that cuts tails says nothing about δ = 0, where the greatest loss is all that
            // counts.
            let upper = Epsilon::new(greatest.unwrap_or(f64::INFINITY))?;
            let lower = greatest.map_or(f64::INFINITY, |sum| sum * (1.0 - GREATEST_ROUNDING));
            let lower = exact.then_some(Epsilon::new(lower)?);
            return Ok(EpsilonInterval { lower, upper });
        }
        let (mut lower, mut upper) = (0.0_f64, 0.0_f64);
        let from_below = |grid: &Composed| {
            crossing(grid.last().max(0.0), |epsilon| grid.lower(epsilon) < delta).0
        };
        for grid in self.composed(self.history.steps())? {
            let last = grid.last().max(0.0);
            upper = upper.max(if grid.upper(last) > delta {
                f64::INFINITY
            } else {
                crossing(last, |epsilon| grid.upper(epsilon) <= delta).1
            });
            lower = lower.max(from_below(&grid));
        }
        // A grid does not resolve every δ.
        let upper = upper.min(greatest.unwrap_or(f64::INFINITY));
        if !exact {
            return Ok(EpsilonInterval::at_most(Epsilon::new(upper)?));
        }
        let lower = self.history.outward(lower, |least| {
            Ok(self.composed(least)?.iter().map(from_below).fold(0.0, f64::max))
        })?;
        Ok(EpsilonInterval::between(Epsilon::new(lower.min(upper))?, Epsilon::new(upper)?))
    }

    fn delta_interval(&self, epsilon: Epsilon) -> Result<DeltaInterval, AccountingError> {
        let epsilon = epsilon.get();
        if let Some(found) = self.history.plain_delta(epsilon) {
            return Ok(found);
        }
        if self.history.greatest_loss().is_some_and(|greatest| epsilon >= greatest) {
            return Ok(DeltaInterval::between(Delta::ZERO, Delta::ZERO));
        }
        let (mut lower, mut upper) = (0.0_f64, 0.0_f64);
        for grid in self.composed(self.history.steps())? {
            lower = lower.max(grid.lower(epsilon));
            upper = upper.max(grid.upper(epsilon));
        }
        if !self.history.is_exact() {
            return Ok(DeltaInterval::at_most(Delta::new(upper)?));
        }
        let lower = self.history.outward(lower, |least| {
            Ok(self.composed(least)?.iter().map(|grid| grid.lower(epsilon)).fold(0.0, f64::max))
        })?;
        Ok(DeltaInterval::between(Delta::new(lower)?, Delta::new(upper)?))
    }
}

/// What the sum of the greatest losses may be too large by, relative to itself.
const GREATEST_ROUNDING: f64 = 1e-12;

/// Where a test that is false, then true, turns between 0 and `last`: the last place at which it
/// was seen false (0 if nowhere) and the first at which it was seen true.
fn crossing(last: f64, test: impl Fn(f64) -> bool) -> (f64, f64) {
    if test(0.0) {
        return (0.0, 0.0);
    }
    let (mut low, mut high) = (0.0, last);
    for _ in 0..80 {
        let middle = 0.5 * (low + high);
        if test(middle) { high = middle } else { low = middle }
    }
    (low, high)
}
