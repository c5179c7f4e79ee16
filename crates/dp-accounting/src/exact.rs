//! Exact accounting: the true `ε` and `δ`, between two proven bounds.
//!
//! Rényi accounting adds up moments and converts at the end, which loses 10 to 20 %. The same
//! moments at *complex* orders hold the whole distribution of the privacy loss: one integral
//! along a line gives `δ(ε)` itself, for any number of steps, without a grid over losses and at
//! a cost that does not depend on how often a step is repeated. [`contour`] derives it,
//! [`pair`] computes the moments; what both approximate is bounded and widens the interval.
//!
//! What is covered: Gaussian and Poisson-sampled Gaussian events, composed in any mixture, under
//! every relation. Under add-or-remove and zero-out neighbours the answer is the larger one of
//! the two directions; the worst pairs are those of [ZDW22] (Poisson sampling of a dominating
//! pair, Theorem 11; composition, Theorem 10), for replace-one those in
//! [`rdp`](crate::rdp) as well. Everything else is refused: ask another accountant.
//!
//! Discretisation and truncation errors are bounded rigorously. Rounding is bounded under the
//! usual model, in which each elementary operation and function is right to a few units in the
//! last place; it is what limits how narrow an interval can be.
//!
//! [ZDW22]: https://arxiv.org/abs/2106.08567
//! [`contour`]: self
//! [`pair`]: self

mod contour;
mod gaussian;
mod mixture;
mod pair;
mod quadrature;
mod single;
mod solve;

use crate::accountant::{Accountant, DeltaInterval, EpsilonInterval, Neighboring};
use crate::error::AccountingError;
use crate::event::DpEvent;
use crate::exact::contour::{Process, Step, Term};
use crate::exact::pair::{Pair, Shape};
use crate::exact::solve::Interval;
use crate::history::{History, Mechanism};
use crate::units::{Delta, Epsilon};

/// Finds the true price of Gaussian and Poisson-sampled Gaussian releases.
///
/// ```
/// use dp_accounting::{
///     Accountant, Delta, DpEvent, ExactAccountant, Neighboring, NoiseMultiplier,
///     SamplingProbability,
/// };
///
/// let round = DpEvent::gaussian(NoiseMultiplier::new(1.2)?)
///     .poisson_sampled(SamplingProbability::from_counts(120, 3383)?);
/// let mut accountant = ExactAccountant::new(Neighboring::AddOrRemoveOne);
/// accountant.compose(&round, 100)?;
/// let found = accountant.epsilon_interval(Delta::new(1e-5)?)?;
/// assert!(found.lower.get() <= 1.707_470_644_9 && 1.707_470_644_8 <= found.upper.get());
/// assert!(found.upper.get() - found.lower.get() <= 1e-9);
/// # Ok::<(), dp_accounting::AccountingError>(())
/// ```
#[derive(Clone, Debug)]
pub struct ExactAccountant {
    width: f64,
    widest: f64,
    history: History,
}

impl ExactAccountant {
    /// An empty accountant whose intervals are at most 1e-9 wide.
    #[must_use]
    pub fn new(relation: Neighboring) -> Self {
        let supports = |mechanism: &Mechanism| {
            matches!(
                mechanism,
                Mechanism::NonPrivate
                    | Mechanism::Gaussian { .. }
                    | Mechanism::SampledGaussian { .. }
                    | Mechanism::ReplacedSampledGaussian { .. }
            )
        };
        Self { width: 1e-9, widest: 1e-9, history: History::new("exact", relation, supports) }
    }

    /// The same with another width: absolute for `ε`, relative for `δ`.
    ///
    /// # Errors
    /// [`AccountingError::Unit`] unless the width is positive and at most 1.
    pub fn with_width(self, width: f64) -> Result<Self, AccountingError> {
        let width = checked(width)?;
        Ok(Self { width, widest: width, ..self })
    }

    /// The same, but where the width cannot be reached, as after a handful of rounds at a tiny
    /// rate, intervals up to this one are taken in its place: each is proven, and its ends say how
    /// wide it is. Without this it is an error.
    ///
    /// # Errors
    /// [`AccountingError::Unit`] unless it is positive and at most 1.
    pub fn with_widest(self, widest: f64) -> Result<Self, AccountingError> {
        Ok(Self { widest: checked(widest)?.max(self.width), ..self })
    }

    /// The width that was asked for, and those that are tried after it.
    fn widths(&self) -> impl Iterator<Item = f64> {
        let widest = self.widest;
        std::iter::successors(Some(self.width), move |width| {
            (*width < widest).then(|| (100.0 * width).min(widest))
        })
    }

    /// The processes whose worst is the answer, the likely worst first.
    fn processes(&self) -> Vec<Process> {
        let shapes: &[Shape] = match self.history.relation() {
            Neighboring::AddOrRemoveOne | Neighboring::ZeroOutOne => &[Shape::Remove, Shape::Add],
            Neighboring::ReplaceOne => &[Shape::Replace],
        };
        let sampled = self.history.steps().iter().any(|(mechanism, _)| {
            !matches!(mechanism, Mechanism::Gaussian { .. } | Mechanism::NonPrivate)
        });
        // Without sampling both directions are the same Gaussian.
        let shapes = if sampled { shapes } else { &shapes[..1] };
        shapes.iter().map(|&shape| self.process(shape)).collect()
    }

    fn process(&self, shape: Shape) -> Process {
        let term = |(mechanism, count): &(Mechanism, u64)| {
            #[expect(clippy::cast_precision_loss, reason = "at most 2^53 repetitions are composed")]
            let count = *count as f64;
            let step = match *mechanism {
                Mechanism::Gaussian { sigma } => Step::Gaussian { sigma },
                Mechanism::SampledGaussian { q, sigma }
                | Mechanism::ReplacedSampledGaussian { q, sigma } => {
                    Step::Sampled(Pair { shape, q, sigma })
                }
                _ => return None,
            };
            Some(Term { step, count })
        };
        Process { terms: self.history.steps().iter().filter_map(term).collect() }
    }

    fn not_reached(&self) -> AccountingError {
        AccountingError::WidthNotReached {
            accountant: self.name(),
            asked: self.width,
            reason: "the bounds on discretisation, truncation and rounding do not get that \
                     small within the limits on nodes and points"
                .to_owned(),
        }
    }
}

/// A width in its range.
fn checked(width: f64) -> Result<f64, AccountingError> {
    if width > 0.0 && width <= 1.0 {
        Ok(width)
    } else {
        let (unit, range) = ("interval width", "(0, 1]");
        Err(crate::UnitError::OutOfRange { unit, range, value: width }.into())
    }
}

/// The larger of two intervals, end by end.
fn worst(a: Interval, b: Interval) -> Interval {
    Interval { lower: a.lower.max(b.lower), upper: a.upper.max(b.upper) }
}

impl Accountant for ExactAccountant {
    fn name(&self) -> &'static str {
        "exact"
    }

    fn relation(&self) -> Neighboring {
        self.history.relation()
    }

    fn compose(&mut self, event: &DpEvent, count: u64) -> Result<(), AccountingError> {
        self.history.compose(event, count)
    }

    fn supports(&self, event: &DpEvent) -> Result<(), AccountingError> {
        self.history.supports(event)
    }

    fn epsilon(&self, delta: Delta) -> Result<Epsilon, AccountingError> {
        Ok(self.epsilon_interval(delta)?.upper)
    }

    fn delta(&self, epsilon: Epsilon) -> Result<Delta, AccountingError> {
        Ok(self.delta_interval(epsilon)?.upper)
    }

    /// At most [`width`](ExactAccountant::with_width) wide. Where data were released without
    /// noise the bounds are zero and infinity: nothing is then said about how often that
    /// happened to the record.
    fn epsilon_interval(&self, delta: Delta) -> Result<EpsilonInterval, AccountingError> {
        let delta = delta.get();
        if let Some(found) = self.history.plain_epsilon(delta) {
            return Ok(found);
        }
        if delta <= 0.0 {
            // Gaussian losses have no upper bound.
            return Ok(EpsilonInterval { lower: Epsilon::INFINITE, upper: Epsilon::INFINITE });
        }
        let processes = self.processes();
        let at = |width: f64| {
            processes.iter().try_fold(Interval { lower: 0.0, upper: 0.0 }, |so_far, process| {
                if so_far.lower > 0.0 && solve::is_surely_below(process, so_far.lower, delta) {
                    return Some(so_far);
                }
                Some(worst(so_far, solve::epsilon(process, delta, width)?))
            })
        };
        let found = self.widths().find_map(at).ok_or_else(|| self.not_reached())?;
        Ok(EpsilonInterval { lower: Epsilon::new(found.lower)?, upper: Epsilon::new(found.upper)? })
    }

    /// Relative to its upper end at most [`width`](ExactAccountant::with_width) wide.
    fn delta_interval(&self, epsilon: Epsilon) -> Result<DeltaInterval, AccountingError> {
        let epsilon = epsilon.get();
        if let Some(found) = self.history.plain_delta(epsilon) {
            return Ok(found);
        }
        let processes = self.processes();
        let at = |width: f64| {
            processes.iter().try_fold(Interval { lower: 0.0, upper: 0.0 }, |so_far, process| {
                Some(worst(so_far, solve::delta(process, epsilon, width)?))
            })
        };
        let found = self.widths().find_map(at).ok_or_else(|| self.not_reached())?;
        Ok(DeltaInterval { lower: Delta::new(found.lower)?, upper: Delta::new(found.upper)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::{NoiseMultiplier, SamplingProbability};

    /// The public answer is the larger of the two directions; each of them is right by itself.
    #[test]
    fn both_directions_hold_the_truth_of_the_table() {
        let mut checked = 0;
        for line in include_str!("../tests/reference/epsilon.csv").lines().skip(1) {
            let row: Vec<f64> =
                line.split(',').map(|field| field.parse().expect("a number")).collect();
            let round = DpEvent::gaussian(NoiseMultiplier::new(row[1]).expect("in range"))
                .poisson_sampled(SamplingProbability::new(row[0]).expect("in range"));
            let mut accountant = ExactAccountant::new(Neighboring::AddOrRemoveOne);
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole")]
            accountant.compose(&round, row[2] as u64).expect("supported");
            for (shape, truth) in [(Shape::Remove, row[4]), (Shape::Add, row[5])] {
                let what = format!("{shape:?} {row:?}");
                let process = accountant.process(shape);
                let found = solve::epsilon(&process, row[3], 1e-9).expect(&what);
                let slack = 1e-12 * (1.0 + truth);
                assert!(found.lower <= truth + slack && truth <= found.upper + slack, "{what}");
                assert!(found.upper - found.lower <= 1e-9, "{what}: {found:?}");
                checked += 1;
            }
        }
        assert_eq!(checked, 96, "an empty table proves nothing");
    }
}
