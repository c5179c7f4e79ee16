//! Exact accounting: the true `ε` and `δ`, between two proven bounds.
//!
//! Rényi accounting adds up moments and converts at the end, which loses 10 to 20 %. The same
//! moments at *complex* orders hold the whole distribution of the privacy loss: one integral
//! along a line gives `δ(ε)` itself, for any number of steps, without a grid over losses and at
//! a cost that does not depend on how often a step is repeated. What is approximated is bounded and
//! widens the interval, so that it errs to neither side.
//!
//! What is covered: Gaussian and Poisson-sampled Gaussian events, composed in any mixture, under
//! every relation. Everything else is refused: ask another accountant.
//!
//! # The worst pairs
//!
//! Relative to the contribution bound, with noise `z` and rate `q`, the two outputs that are hardest
//! to tell apart are
//!
//! ```text
//! remove     (1 − q) N(0, z²) + q N(1, z²)     against    N(0, z²)
//! add        N(0, z²)                          against    (1 − q) N(0, z²) + q N(1, z²)
//! replace    (1 − q) N(0, z²) + q N(1, z²)     against    (1 − q) N(0, z²) + q N(−1, z²)
//! ```
//!
//! the first two for add-or-remove and zero-out neighbours, of which the larger answer counts
//! ([ZDW22], Theorem 11 for Poisson sampling of a dominating pair, Theorem 10 for compositions), the
//! third for replace-one ([LRKS25], Section 5). Under all of them a composition costs what
//! independent draws from its pairs cost, however later steps depend on earlier outputs.
//!
//! # One integral
//!
//! For a pair with privacy loss `L = ln p/q` under `p` and moments `M(s) = E_p[e^(sL)]`,
//!
//! ```text
//! δ(ε) = E_p[(1 − e^(ε−L))₊] = 1/(2πi) ∫ M(s) e^(−sε) / (s (s+1)) ds    on Re s = c > 0
//! ```
//!
//! since the residues at 0 and −1 are 1 and `−e^(ε−L)` where `L > ε`, and the line closes to the
//! other side where not. Losses of independent steps add up, so that `M` is the product of those of
//! the steps, and `T` equal steps are a `T`-th power.
//!
//! The trapezoid rule with step `h` in `Im s` errs by a known sum of positive terms, with `D = 2π/h`
//!
//! ```text
//! δ_h(ε) = δ(ε) + Σ_{m ≠ 0} e^(cmD) δ(ε + mD)
//! ```
//!
//! each of which has a Chernoff bound, `δ(x) ≤ s^s/(1+s)^(1+s) · M(s) e^(−sx)` for every `s ≥ 0`.
//! Nodes that are left out are bounded by the size of `M` on a line in the complex plane of outputs on
//! which it falls; `M` itself is a trapezoid sum over outputs whose error is bounded by its growth off
//! the real line ([TW14], Theorem 5.1). The line `c` runs near the best Rényi order less one, where the
//! integrand is smallest. From bounds on `δ(ε)`, which falls, follow those on `ε`: it is at least any
//! `a` with `δ(a) ≥ δ` for sure, and at most any `b` with `δ(b) ≤ δ` for sure.
//!
//! # A few steps
//!
//! After a handful of sampled steps the moments do not fall, because most outputs tell next to nothing.
//! Outputs are then divided by how much they tell: for a sum above `ε` one loss at least must be above
//! its share, and the rest, which would not fade, cancels out of the integral.
//!
//! # Closed forms
//!
//! One sampled step needs no integral, since its loss moves one way with the output: `δ(ε)` is a sum
//! of two or three tails of the normal distribution. Nor do Gaussians without sampling, which are
//! together one with `μ² = Σ 1/σ²` ([BW18], Theorem 8):
//!
//! ```text
//! δ(ε) = Φ(μ/2 − ε/μ) − e^ε Φ(−μ/2 − ε/μ)
//! ```
//!
//! # What is proven
//!
//! Discretisation and truncation errors are bounded rigorously. Rounding is bounded under the
//! usual model, in which each elementary operation and function is right to a few units in the
//! last place; it is what limits how narrow an interval can be. Steps that are composed of several,
//! as two Gaussians about one sample, have a rounded noise: the upper end is that of a noise rounded
//! down, the lower end that of one rounded up.
//!
//! [ZDW22]: https://arxiv.org/abs/2106.08567
//! [LRKS25]: https://arxiv.org/abs/2405.20769
//! [TW14]: https://doi.org/10.1137/130932132
//! [BW18]: https://arxiv.org/abs/1805.06530

mod contour;
mod few;
mod gaussian;
mod mixture;
mod pair;
mod quadrature;
mod shell;
mod single;
mod solve;

use crate::accountant::{Accountant, DeltaInterval, EpsilonInterval, Neighboring};
use crate::error::AccountingError;
use crate::exact::contour::{Process, Step, Term};
use crate::exact::pair::{Pair, Shape};
use crate::exact::solve::Interval;
use crate::history::{History, Mechanism, answered_by_history};
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
/// let (lower, upper) = (found.lower_or_zero().get(), found.upper.get());
/// assert!(lower <= 1.707_470_644_9 && 1.707_470_644_8 <= upper);
/// assert!(upper - lower <= 1e-9);
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
    fn processes(&self, steps: &[(Mechanism, u64)]) -> Vec<Process> {
        let shapes: &[Shape] = match self.history.relation() {
            Neighboring::AddOrRemoveOne | Neighboring::ZeroOutOne => &[Shape::Remove, Shape::Add],
            Neighboring::ReplaceOne => &[Shape::Replace],
        };
        let sampled = steps.iter().any(|(mechanism, _)| {
            !matches!(mechanism, Mechanism::Gaussian { .. } | Mechanism::NonPrivate)
        });
        // Without sampling both directions are the same Gaussian.
        let shapes = if sampled { shapes } else { &shapes[..1] };
        shapes.iter().map(|&shape| process(steps, shape)).collect()
    }

    /// The `ε` of such steps at `0 < delta < 1`.
    fn epsilon_of(
        &self,
        steps: &[(Mechanism, u64)],
        delta: f64,
    ) -> Result<Interval, AccountingError> {
        let processes = self.processes(steps);
        let at = |width: f64| {
            processes.iter().try_fold(Interval { lower: 0.0, upper: 0.0 }, |so_far, process| {
                if so_far.lower > 0.0 && solve::is_surely_below(process, so_far.lower, delta) {
                    return Some(so_far);
                }
                Some(worst(so_far, solve::epsilon(process, delta, width)?))
            })
        };
        self.widths().find_map(at).ok_or_else(|| self.not_reached())
    }

    /// The `δ` of such steps at a finite `epsilon`.
    fn delta_of(
        &self,
        steps: &[(Mechanism, u64)],
        epsilon: f64,
    ) -> Result<Interval, AccountingError> {
        let processes = self.processes(steps);
        let at = |width: f64| {
            processes.iter().try_fold(Interval { lower: 0.0, upper: 0.0 }, |so_far, process| {
                Some(worst(so_far, solve::delta(process, epsilon, width)?))
            })
        };
        self.widths().find_map(at).ok_or_else(|| self.not_reached())
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

/// What steps are in one direction.
fn process(steps: &[(Mechanism, u64)], shape: Shape) -> Process {
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
    Process { terms: steps.iter().filter_map(term).collect() }
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
    answered_by_history!();

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
            return Ok(EpsilonInterval::between(Epsilon::INFINITE, Epsilon::INFINITE));
        }
        let found = self.epsilon_of(self.history.steps(), delta)?;
        let again = |least: &[_]| Ok(self.epsilon_of(least, delta)?.lower);
        let lower = self.history.outward(found.lower, again)?;
        Ok(EpsilonInterval::between(Epsilon::new(lower)?, Epsilon::new(found.upper)?))
    }

    fn epsilon(&self, delta: Delta) -> Result<Epsilon, AccountingError> {
        let delta = delta.get();
        match self.history.plain_epsilon(delta) {
            Some(found) => Ok(found.upper),
            None if delta <= 0.0 => Ok(Epsilon::INFINITE),
            // The lower end would need a second search.
            None => Ok(Epsilon::new(self.epsilon_of(self.history.steps(), delta)?.upper)?),
        }
    }

    /// Relative to its upper end at most [`width`](ExactAccountant::with_width) wide.
    fn delta_interval(&self, epsilon: Epsilon) -> Result<DeltaInterval, AccountingError> {
        let epsilon = epsilon.get();
        if let Some(found) = self.history.plain_delta(epsilon) {
            return Ok(found);
        }
        let found = self.delta_of(self.history.steps(), epsilon)?;
        let again = |least: &[_]| Ok(self.delta_of(least, epsilon)?.lower);
        let lower = self.history.outward(found.lower, again)?;
        Ok(DeltaInterval::between(Delta::new(lower)?, Delta::new(found.upper)?))
    }

    fn delta(&self, epsilon: Epsilon) -> Result<Delta, AccountingError> {
        let epsilon = epsilon.get();
        match self.history.plain_delta(epsilon) {
            Some(found) => Ok(found.upper),
            None => Ok(Delta::new(self.delta_of(self.history.steps(), epsilon)?.upper)?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::DpEvent;
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
                let process = process(accountant.history.steps(), shape);
                let found = solve::epsilon(&process, row[3], 1e-9).expect(&what);
                let slack = 1e-12 * (1.0 + truth);
                assert!(found.lower <= truth + slack && truth <= found.upper + slack, "{what}");
                assert!(found.upper - found.lower <= 1e-9, "{what}: {found:?}");
                // And δ at that ε, which falls through the row's own.
                let delta =
                    |epsilon: f64| solve::delta(&process, epsilon.max(0.0), 1e-6).expect(&what);
                assert!(delta(truth + slack).lower <= row[3], "{what}");
                assert!(delta(truth - slack).upper >= row[3] || truth < 1e-9, "{what}");
                checked += 1;
            }
        }
        assert_eq!(checked, 96, "an empty table proves nothing");
    }
}
