//! A run of equal rounds, and each of its parameters from a target.

use crate::accountant::Accountant;
use crate::calibrate::search::{Direction, Verdict, real, whole};
use crate::error::AccountingError;
use crate::event::DpEvent;
use crate::rdp::RdpAccountant;
use crate::units::{Delta, Epsilon, NoiseMultiplier, SamplingProbability};

/// Rounds of a Poisson-sampled Gaussian, all alike.
///
/// The functions below vary one field and keep the others; each takes the accountant by which
/// to price, as a function that makes an empty one.
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
    pub fn epsilon<A: Accountant>(&self, mut empty: A) -> Result<Epsilon, AccountingError> {
        empty.compose(&self.round()?, self.rounds)?;
        empty.epsilon(self.delta)
    }

    /// The `δ` at which the run has a given `ε`.
    ///
    /// # Errors
    /// As for [`epsilon`](Self::epsilon).
    pub fn delta<A: Accountant>(
        &self,
        epsilon: Epsilon,
        mut empty: A,
    ) -> Result<Delta, AccountingError> {
        empty.compose(&self.round()?, self.rounds)?;
        empty.delta(epsilon)
    }

    /// The smallest noise multiplier for `target`, to a relative `tolerance`, between 1e-3 and
    /// 1e9.
    ///
    /// # Errors
    /// As for [`epsilon`](Self::epsilon) and [`real`].
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
        let relation = make().relation();
        let rough = real(range.clone(), 1.0, 0.01, Direction::Falling, target, |value| {
            at(value)?.epsilon(RdpAccountant::new(relation))
        })?;
        let start = rough.answer().map_or(1e9, |rough| rough.value / 1.03).clamp(1e-3, 1e9);
        real(range, start, tolerance, Direction::Falling, target, |value| {
            at(value)?.epsilon(make())
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
        whole(0..=most, Direction::Rising, target, |rounds| {
            Self { rounds, ..*self }.epsilon(make())
        })
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
        whole(0..=self.population, Direction::Rising, target, |clients| {
            Self { clients, ..*self }.epsilon(make())
        })
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
        // Prices near the dear end take long and do not matter: look from a cheap end that
        // Rényi accounting has found.
        let relation = make().relation();
        let rough = whole(self.clients.max(1)..=most, Direction::Falling, target, |population| {
            Self { population, ..*self }.epsilon(RdpAccountant::new(relation))
        })?;
        let cheap = rough.answer().map_or(most, |found| found.value);
        whole(self.clients.max(1)..=cheap, Direction::Falling, target, |population| {
            Self { population, ..*self }.epsilon(make())
        })
    }
}
