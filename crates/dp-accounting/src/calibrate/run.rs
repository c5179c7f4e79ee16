//! A run of equal rounds, and each of its parameters from a target.

use std::ops::RangeInclusive;

use crate::accountant::{Accountant, DeltaInterval, EpsilonInterval};
use crate::calibrate::quote::{Patience, Quote, Rounds};
use crate::calibrate::search::{Direction, Verdict, real_quoted, whole_quoted};
use crate::error::AccountingError;
use crate::event::DpEvent;
use crate::rdp::RdpAccountant;
use crate::units::{Delta, Epsilon, NoiseMultiplier, SamplingProbability};

/// Rounds of a Poisson-sampled Gaussian, all alike.
///
/// The functions below vary one field and keep the others; each takes the accountant by which
/// to price, as a function that makes an empty one. Where that one cannot give an interval of its
/// width, a grid of losses and Rényi accounting answer in its place, from above: an answer says whose
/// it is.
///
/// ```
/// use dp_accounting::calibrate::Run;
/// use dp_accounting::{Delta, Epsilon, ExactAccountant, Neighboring, NoiseMultiplier};
///
/// let run = Run {
///     clients: 100,
///     population: 10_000,
///     noise_multiplier: NoiseMultiplier::new(1.0)?,
///     rounds: 10_000,
///     delta: Delta::new(1e-5)?,
/// };
/// let exact = || ExactAccountant::new(Neighboring::AddOrRemoveOne);
/// let found = run.smallest_noise(Epsilon::new(2.0)?, 1e-9, exact)?.answer().expect("in reach");
/// assert!((found.value - 2.127_375_434_7).abs() < 1e-8);
/// # Ok::<(), dp_accounting::AccountingError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Run {
    /// Expected clients per round.
    pub clients: u64,
    /// All clients there are.
    pub population: u64,
    /// Noise over the contribution bound of one client.
    pub noise_multiplier: NoiseMultiplier,
    /// Number of rounds.
    pub rounds: u64,
    /// The `δ` at which `ε` is stated.
    pub delta: Delta,
}

impl Run {
    /// One round.
    ///
    /// # Errors
    /// [`AccountingError::Unit`] if more clients are expected than there are.
    pub fn round(&self) -> Result<DpEvent, AccountingError> {
        let rate = SamplingProbability::from_counts(self.clients, self.population)?;
        Ok(DpEvent::gaussian(self.noise_multiplier).poisson_sampled(rate))
    }

    /// The `ε` of the whole run.
    ///
    /// # Errors
    /// Those of the accountant, and as for [`round`](Self::round).
    pub fn epsilon<A: Accountant>(&self, empty: A) -> Result<Epsilon, AccountingError> {
        Ok(self.quote(empty, &Patience::default())?.epsilon)
    }

    fn all(&self) -> Result<Rounds, AccountingError> {
        Ok(Rounds { round: self.round()?, count: self.rounds })
    }

    fn quote<A: Accountant>(
        &self,
        empty: A,
        patience: &Patience,
    ) -> Result<Quote, AccountingError> {
        self.all()?.quote(empty, self.delta, patience)
    }

    /// The `δ` at which the run has a given `ε`.
    ///
    /// # Errors
    /// As for [`epsilon`](Self::epsilon).
    pub fn delta<A: Accountant>(
        &self,
        epsilon: Epsilon,
        empty: A,
    ) -> Result<Delta, AccountingError> {
        Ok(self.smallest_delta(epsilon, empty)?.upper)
    }

    /// The smallest `ε` at the run's `δ`, from both sides: the upper end is the answer on the safe
    /// side, and no `ε` below the lower one is true.
    ///
    /// # Errors
    /// As for [`epsilon`](Self::epsilon).
    pub fn smallest_epsilon<A: Accountant>(
        &self,
        empty: A,
    ) -> Result<EpsilonInterval, AccountingError> {
        self.all()?.epsilon(empty, self.delta)
    }

    /// The smallest `δ` at which the run meets `target`, from both sides: the upper end is the
    /// answer on the safe side, and no `δ` below the lower one is true. The run's own `δ` has no
    /// part in it.
    ///
    /// # Errors
    /// As for [`epsilon`](Self::epsilon).
    pub fn smallest_delta<A: Accountant>(
        &self,
        target: Epsilon,
        empty: A,
    ) -> Result<DeltaInterval, AccountingError> {
        self.all()?.delta(empty, target)
    }

    /// The largest sampling probability for `target`, to a relative `tolerance`, from 1e-9 to 1;
    /// clients and population of the run have no part in it.
    ///
    /// # Errors
    /// As for [`epsilon`](Self::epsilon) and [`real`](super::real).
    pub fn largest_probability<A: Accountant>(
        &self,
        target: Epsilon,
        tolerance: f64,
        make: impl Fn() -> A,
    ) -> Result<Verdict<f64>, AccountingError> {
        let range = 1e-9..=1.0;
        let at = |rate: f64| -> Result<Rounds, AccountingError> {
            let round = DpEvent::gaussian(self.noise_multiplier)
                .poisson_sampled(SamplingProbability::new(rate)?);
            Ok(Rounds { round, count: self.rounds })
        };
        let (relation, patience) = (make().relation(), Patience::default());
        let rough = real_quoted(range.clone(), 0.01, 0.01, Direction::Rising, target, |rate| {
            at(rate)?.quote(RdpAccountant::new(relation), self.delta, &patience)
        })?;
        let start = rough.answer().map_or(1e-9, |rough| rough.value);
        real_quoted(range, start, tolerance, Direction::Rising, target, |rate| {
            at(rate)?.quote(make(), self.delta, &patience)
        })
    }

    /// The smallest noise multiplier for `target`, to a relative `tolerance`, between 1e-3 and
    /// 1e9.
    ///
    /// # Errors
    /// As for [`epsilon`](Self::epsilon) and [`real`](super::real).
    pub fn smallest_noise<A: Accountant>(
        &self,
        target: Epsilon,
        tolerance: f64,
        make: impl Fn() -> A,
    ) -> Result<Verdict<f64>, AccountingError> {
        let at = |value: f64| -> Result<Self, AccountingError> {
            Ok(Self { noise_multiplier: NoiseMultiplier::new(value)?, ..*self })
        };
        let range = 1e-3..=1e9;
        // Rényi accounting is quick and asks for some more: a good place to start from.
        let (relation, patience) = (make().relation(), Patience::default());
        let rough = real_quoted(range.clone(), 1.0, 0.01, Direction::Falling, target, |value| {
            at(value)?.quote(RdpAccountant::new(relation), &patience)
        })?;
        let start = rough.answer().map_or(1e9, |rough| rough.value / 1.03).clamp(1e-3, 1e9);
        real_quoted(range, start, tolerance, Direction::Falling, target, |value| {
            at(value)?.quote(make(), &patience)
        })
    }

    /// The largest number of rounds for `target`, up to `most`.
    ///
    /// # Errors
    /// As for [`epsilon`](Self::epsilon).
    pub fn most_rounds<A: Accountant>(
        &self,
        target: Epsilon,
        most: u64,
        make: impl Fn() -> A,
    ) -> Result<Verdict<u64>, AccountingError> {
        let with = |rounds| Self { rounds, ..*self };
        search(0..=most, Direction::Rising, target, with, make)
    }

    /// The largest number of expected clients for `target` at this noise multiplier.
    ///
    /// # Errors
    /// As for [`epsilon`](Self::epsilon).
    pub fn most_clients<A: Accountant>(
        &self,
        target: Epsilon,
        make: impl Fn() -> A,
    ) -> Result<Verdict<u64>, AccountingError> {
        let with = |clients| Self { clients, ..*self };
        search(0..=self.population, Direction::Rising, target, with, make)
    }

    /// The smallest population, up to `most`, among which as many clients meet `target`.
    ///
    /// # Errors
    /// As for [`epsilon`](Self::epsilon).
    pub fn smallest_population<A: Accountant>(
        &self,
        target: Epsilon,
        most: u64,
        make: impl Fn() -> A,
    ) -> Result<Verdict<u64>, AccountingError> {
        let with = |population| Self { population, ..*self };
        search(self.clients.max(1)..=most, Direction::Falling, target, with, make)
    }
}

/// Searches a whole number from where Rényi accounting has found the target to be met: prices far
/// away can take long or, at a handful of rounds, be out of reach, and do not matter.
fn search<A: Accountant>(
    range: RangeInclusive<u64>,
    direction: Direction,
    target: Epsilon,
    with: impl Fn(u64) -> Run,
    make: impl Fn() -> A,
) -> Result<Verdict<u64>, AccountingError> {
    let (relation, patience) = (make().relation(), Patience::default());
    let rough = whole_quoted(range.clone(), direction, target, |value| {
        with(value).quote(RdpAccountant::new(relation), &patience)
    })?;
    let price = |value| with(value).quote(make(), &patience);
    if let Some(found) = rough.answer() {
        let from = match direction {
            Direction::Falling => *range.start()..=found.value,
            Direction::Rising => found.value..=*range.end(),
        };
        let verdict = whole_quoted(from, direction, target, price)?;
        // By a hair the other accountant may see it differently: then from the beginning.
        if verdict.answer().is_some() {
            return Ok(verdict);
        }
    }
    whole_quoted(range, direction, target, price)
}
