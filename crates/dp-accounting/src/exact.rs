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
mod pair;
mod single;
mod solve;

use crate::accountant::{Accountant, DeltaInterval, EpsilonInterval, Neighboring};
use crate::error::AccountingError;
use crate::event::DpEvent;
use crate::exact::contour::{Process, Step, Term};
use crate::exact::pair::{Pair, Shape};
use crate::exact::solve::Interval;
use crate::history::{History, Mechanism, Terms};
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
    relation: Neighboring,
    width: f64,
    history: History,
}

impl ExactAccountant {
    /// An empty accountant whose intervals are at most 1e-9 wide.
    #[must_use]
    pub fn new(relation: Neighboring) -> Self {
        Self { relation, width: 1e-9, history: History::default() }
    }

    /// The same with another width: absolute for `ε`, relative for `δ`.
    ///
    /// # Errors
    /// [`AccountingError::Unit`] unless the width is positive and at most 1.
    pub fn with_width(self, width: f64) -> Result<Self, AccountingError> {
        if width > 0.0 && width <= 1.0 {
            Ok(Self { width, ..self })
        } else {
            let (unit, range) = ("interval width", "(0, 1]");
            Err(crate::UnitError::OutOfRange { unit, range, value: width }.into())
        }
    }

    /// The processes whose worst is the answer, the likely worst first.
    fn processes(&self) -> Vec<Process> {
        let shapes: &[Shape] = match self.relation {
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

    /// Whether something was composed that releases the data.
    fn is_open(&self) -> bool {
        self.history.steps().iter().any(|(step, _)| matches!(step, Mechanism::NonPrivate))
    }

    fn terms(&self) -> Terms {
        let supports = |mechanism: &Mechanism| {
            matches!(
                mechanism,
                Mechanism::NonPrivate
                    | Mechanism::Gaussian { .. }
                    | Mechanism::SampledGaussian { .. }
                    | Mechanism::ReplacedSampledGaussian { .. }
            )
        };
        Terms { accountant: self.name(), relation: self.relation, supports }
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

impl Accountant for ExactAccountant {
    fn name(&self) -> &'static str {
        "exact"
    }

    fn relation(&self) -> Neighboring {
        self.relation
    }

    fn compose(&mut self, event: &DpEvent, count: u64) -> Result<(), AccountingError> {
        let terms = self.terms();
        self.history.compose(event, count, &terms)
    }

    fn supports(&self, event: &DpEvent) -> Result<(), AccountingError> {
        History::default().compose(event, 1, &self.terms())
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
        if self.history.steps().is_empty() || delta >= 1.0 {
            return Ok(EpsilonInterval { lower: Epsilon::ZERO, upper: Epsilon::ZERO });
        }
        if self.is_open() {
            return Ok(EpsilonInterval { lower: Epsilon::ZERO, upper: Epsilon::INFINITE });
        }
        if delta <= 0.0 {
            // Gaussian losses have no upper bound.
            return Ok(EpsilonInterval { lower: Epsilon::INFINITE, upper: Epsilon::INFINITE });
        }
        let mut worst = Interval { lower: 0.0, upper: 0.0 };
        for process in self.processes() {
            if worst.lower > 0.0 && solve::is_surely_below(&process, worst.lower, delta) {
                continue;
            }
            let found =
                solve::epsilon(&process, delta, self.width).ok_or_else(|| self.not_reached())?;
            worst.lower = worst.lower.max(found.lower);
            worst.upper = worst.upper.max(found.upper);
        }
        Ok(EpsilonInterval { lower: Epsilon::new(worst.lower)?, upper: Epsilon::new(worst.upper)? })
    }

    /// Relative to its upper end at most [`width`](ExactAccountant::with_width) wide.
    fn delta_interval(&self, epsilon: Epsilon) -> Result<DeltaInterval, AccountingError> {
        let epsilon = epsilon.get();
        if self.history.steps().is_empty() || (epsilon.is_infinite() && !self.is_open()) {
            return Ok(DeltaInterval { lower: Delta::ZERO, upper: Delta::ZERO });
        }
        if self.is_open() {
            return Ok(DeltaInterval { lower: Delta::ZERO, upper: Delta::new(1.0)? });
        }
        let mut worst = Interval { lower: 0.0, upper: 0.0 };
        for process in self.processes() {
            let found =
                solve::delta(&process, epsilon, self.width).ok_or_else(|| self.not_reached())?;
            worst.lower = worst.lower.max(found.lower);
            worst.upper = worst.upper.max(found.upper);
        }
        Ok(DeltaInterval { lower: Delta::new(worst.lower)?, upper: Delta::new(worst.upper)? })
    }
}
