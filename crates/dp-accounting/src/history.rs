//! Event trees reduced to a flat list of mechanisms, each with a count.
//!
//! Accountants differ in how they price a mechanism, not in what an event tree means, so the
//! tree is taken apart once, here: composition is flattened, counts multiply, nested Poisson
//! sampling multiplies its rates, and what lies under one sampling becomes one mechanism.
//!
//! Numbers that are composed of several, as the noise of two Gaussians about one sample, are
//! rounded, so every event is taken apart twice: with each rounding towards more privacy loss, which
//! is what upper bounds are made of, and with each towards less, for lower bounds. Where nothing is
//! rounded both are the same.

mod bounded;
mod sampling;
mod total;
mod tree;

pub(crate) use bounded::Bounded;
use bounded::amplified;
use total::Total;

use std::collections::HashMap;

use crate::accountant::{DeltaInterval, EpsilonInterval, Neighboring};
use crate::error::AccountingError;
use crate::event::{DpEvent, Repetitions};
use crate::units::{Delta, Epsilon};

/// A mechanism in the form that accountants price. Noise is relative to the contribution
/// bound wherever sampling matters, and to the distance of neighbouring sums where not.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Mechanism {
    /// Releases the data: no guarantee.
    NonPrivate,
    /// `N(0, sigma²)` against `N(1, sigma²)`.
    Gaussian { sigma: f64 },
    /// `N(0, sigma²)` against `(1 − q) N(0, sigma²) + q N(1, sigma²)`, with `0 < q < 1`.
    SampledGaussian { q: f64, sigma: f64 },
    /// `(1 − q) N(0, sigma²) + q N(±1, sigma²)`, one sign against the other, with `0 < q < 1`.
    ReplacedSampledGaussian { q: f64, sigma: f64 },
    /// A Gaussian on a share `rate` of the records, drawn without replacement, under
    /// replace-one; `sigma` relative to the distance of neighbouring sums.
    SubsetGaussian { rate: f64, sigma: f64 },
    /// A pair with a bounded loss.
    Bounded(Bounded),
    /// The same on a Poisson sample, with `0 < q < 1`.
    SampledBounded { q: f64, pair: Bounded },
    /// Randomised response: the truth with probability `truth`, each of `others` with `other`.
    Response { truth: f64, other: f64, others: f64 },
    /// The best of a random number of repetitions of the steps.
    Selected { steps: Vec<(Mechanism, u64)>, repetitions: Repetitions },
    /// Anything that is `rho`-zero-concentrated differentially private.
    Zcdp { rho: f64 },
}

impl Mechanism {
    /// The greatest privacy loss, rounded up, if it is bounded.
    fn greatest_loss(&self) -> Option<f64> {
        match *self {
            Self::Bounded(pair) => Some(pair.greatest()),
            Self::SampledBounded { q, pair } => {
                Some(amplified(q, pair.greatest(), Rounding::Dearer))
            }
            Self::Response { truth, other, .. } => Some((truth / other).next_up().ln().next_up()),
            _ => None,
        }
    }

    /// Equal mechanisms have equal keys, and only they.
    fn key(&self) -> Key {
        let numbers = |kind: u64, numbers: &[f64]| {
            std::iter::once(kind).chain(numbers.iter().map(|x| x.to_bits())).collect()
        };
        let bounded = |kind: u64, q: f64, pair: Bounded| match pair {
            Bounded::Laplace { scale } => numbers(kind, &[q, scale]),
            Bounded::DiscreteLaplace { rate, shift } => numbers(kind + 1, &[q, rate, shift]),
            Bounded::Pure { epsilon } => numbers(kind + 2, &[q, epsilon]),
        };
        match self {
            Self::NonPrivate => numbers(0, &[]),
            Self::Gaussian { sigma } => numbers(1, &[*sigma]),
            Self::SampledGaussian { q, sigma } => numbers(2, &[*q, *sigma]),
            Self::ReplacedSampledGaussian { q, sigma } => numbers(3, &[*q, *sigma]),
            Self::Bounded(pair) => bounded(11, 1.0, *pair),
            Self::SampledBounded { q, pair } => bounded(14, *q, *pair),
            Self::Zcdp { rho } => numbers(5, &[*rho]),
            Self::SubsetGaussian { rate, sigma } => numbers(6, &[*rate, *sigma]),
            Self::Response { truth, other, others } => numbers(8, &[*truth, *other, *others]),
            Self::Selected { steps, repetitions } => {
                let mut key = match *repetitions {
                    Repetitions::TruncatedNegativeBinomial { shape, gamma } => {
                        numbers(9, &[shape, gamma])
                    }
                    Repetitions::Poisson { mean } => numbers(10, &[mean]),
                };
                for (step, count) in steps {
                    let inner = step.key();
                    // With its length in front a part can only be read one way.
                    key.push(inner.len() as u64);
                    key.extend(inner);
                    key.push(*count);
                }
                key
            }
        }
    }
}

/// What identifies a mechanism.
type Key = Vec<u64>;

/// The part of an [`Accountant`](crate::Accountant) that a field `history` answers by itself.
macro_rules! answered_by_history {
    () => {
        fn name(&self) -> &'static str {
            self.history.accountant()
        }

        fn relation(&self) -> $crate::Neighboring {
            self.history.relation()
        }

        fn compose(
            &mut self,
            event: &$crate::DpEvent,
            count: u64,
        ) -> Result<(), $crate::AccountingError> {
            self.history.compose(event, count)
        }

        fn supports(&self, event: &$crate::DpEvent) -> Result<(), $crate::AccountingError> {
            self.history.supports(event)
        }
    };
}
pub(crate) use answered_by_history;

/// A mechanism with its roundings towards more loss and towards less; of the latter nothing
/// remains where the loss is too small for a float.
type Both = (Mechanism, Option<Mechanism>);

/// Mechanisms and how often each was used; equal ones stand together.
///
/// What all accountants do alike is here: taking events apart, refusing what the [`Terms`] do not
/// cover, and the answers that need no mathematics.
#[derive(Clone, Debug)]
pub(crate) struct History {
    terms: Terms,
    steps: Vec<(Mechanism, u64)>,
    /// The same mechanisms, rounded towards less loss.
    least: Vec<Option<Mechanism>>,
    places: HashMap<(Key, Option<Key>), usize>,
}

impl History {
    /// A history in which nothing has happened.
    pub(crate) fn new(
        accountant: &'static str,
        relation: Neighboring,
        supports: fn(&Mechanism) -> bool,
    ) -> Self {
        Self::under(Terms { accountant, relation, supports, rounding: Rounding::Dearer })
    }

    fn under(terms: Terms) -> Self {
        Self { terms, steps: Vec::new(), least: Vec::new(), places: HashMap::new() }
    }

    /// The name of the accountant whose history it is.
    pub(crate) fn accountant(&self) -> &'static str {
        self.terms.accountant
    }

    /// The relation that decides how far neighbouring sums lie apart.
    pub(crate) fn relation(&self) -> Neighboring {
        self.terms.relation
    }

    /// Whether something was composed that releases the data.
    pub(crate) fn is_open(&self) -> bool {
        self.steps.iter().any(|(step, _)| matches!(step, Mechanism::NonPrivate))
    }

    /// The interval for `ε` where it follows from the history alone: nothing was released, any
    /// failure is allowed, or data were released without noise. Of those it is only known that
    /// there is no guarantee, and not how often that happened to the record.
    pub(crate) fn plain_epsilon(&self, delta: f64) -> Option<EpsilonInterval> {
        if self.steps.is_empty() || delta >= 1.0 {
            Some(EpsilonInterval::between(Epsilon::ZERO, Epsilon::ZERO))
        } else {
            self.is_open().then_some(EpsilonInterval::at_most(Epsilon::INFINITE))
        }
    }

    /// The same for `δ`.
    pub(crate) fn plain_delta(&self, epsilon: f64) -> Option<DeltaInterval> {
        if self.is_open() {
            return Some(DeltaInterval::at_most(Delta::ONE));
        }
        let nothing = self.steps.is_empty() || epsilon == f64::INFINITY;
        nothing.then_some(DeltaInterval::between(Delta::ZERO, Delta::ZERO))
    }

    /// The sum of the greatest losses, rounded up, if all of them are bounded: an `ε` that is true
    /// at every `δ`, and at `δ = 0` the least one where [`is_exact`](Self::is_exact).
    pub(crate) fn greatest_loss(&self) -> Option<f64> {
        let mut sum = 0.0;
        for (step, count) in &self.steps {
            #[expect(clippy::cast_precision_loss, reason = "at most 2^53 are composed")]
            let count = *count as f64;
            sum += step.greatest_loss()? * count;
        }
        #[expect(clippy::cast_precision_loss, reason = "a number of different steps")]
        let roundings = 2.0 + self.steps.len() as f64;
        Some(sum * (1.0 + roundings * f64::EPSILON))
    }

    /// Whether every step has a pair of its own, so that what the pairs cost is the price and not
    /// only a bound on it.
    pub(crate) fn is_exact(&self) -> bool {
        self.steps.iter().all(|(step, _)| match step {
            Mechanism::Bounded(pair) | Mechanism::SampledBounded { pair, .. } => pair.is_its_own(),
            Mechanism::Gaussian { .. }
            | Mechanism::SampledGaussian { .. }
            | Mechanism::ReplacedSampledGaussian { .. }
            | Mechanism::Response { .. } => true,
            Mechanism::NonPrivate
            | Mechanism::SubsetGaussian { .. }
            | Mechanism::Selected { .. }
            | Mechanism::Zcdp { .. } => false,
        })
    }

    /// Whether [`compose`](Self::compose) would take the event.
    pub(crate) fn supports(&self, event: &DpEvent) -> Result<(), AccountingError> {
        Self::under(self.terms).visit(event, 1)
    }

    /// The mechanisms in order of first use, each with at least the loss of what was composed.
    pub(crate) fn steps(&self) -> &[(Mechanism, u64)] {
        &self.steps
    }

    /// Mechanisms that have at most the loss of what was composed; nothing if [`steps`](Self::steps)
    /// are free of rounding and serve as well.
    fn least_steps(&self) -> Option<Vec<(Mechanism, u64)>> {
        let both = || self.steps.iter().zip(&self.least);
        if both().all(|((step, _), least)| least.as_ref() == Some(step)) {
            return None;
        }
        let least = both().filter_map(|((_, count), least)| Some((least.clone()?, *count)));
        Some(least.collect())
    }

    /// The lower end of an interval, which is `lower` for the [`steps`](Self::steps), moved to what
    /// `find` says of steps that are rounded towards less loss, if any are rounded.
    pub(crate) fn outward(
        &self,
        lower: f64,
        find: impl FnOnce(&[(Mechanism, u64)]) -> Result<f64, AccountingError>,
    ) -> Result<f64, AccountingError> {
        match self.least_steps() {
            None => Ok(lower),
            Some(steps) if steps.is_empty() => Ok(0.0),
            Some(steps) => Ok(find(&steps)?.min(lower)),
        }
    }

    /// Adds `count` times `event`; either all of it or, on an error, nothing.
    pub(crate) fn compose(&mut self, event: &DpEvent, count: u64) -> Result<(), AccountingError> {
        let mut new = Self::under(self.terms);
        new.visit(event, count)?;
        for (key, at) in &new.places {
            let already = self.places.get(key).map_or(0, |&at| self.steps[at].1);
            checked(already.checked_add(new.steps[*at].1))?;
        }
        for ((mechanism, count), least) in new.steps.into_iter().zip(new.least) {
            self.add((mechanism, least), count)?;
        }
        Ok(())
    }

    fn add(&mut self, (mechanism, least): Both, count: u64) -> Result<(), AccountingError> {
        let key = (mechanism.key(), least.as_ref().map(Mechanism::key));
        let at = *self.places.entry(key).or_insert(self.steps.len());
        if at == self.steps.len() {
            self.steps.push((mechanism, 0));
            self.least.push(least);
        }
        self.steps[at].1 = checked(self.steps[at].1.checked_add(count))?;
        Ok(())
    }

    fn visit(&mut self, event: &DpEvent, count: u64) -> Result<(), AccountingError> {
        let terms = self.terms;
        checked(Some(count))?;
        match event {
            DpEvent::Composed { events } => {
                for event in events {
                    self.visit(event, count)?;
                }
                Ok(())
            }
            DpEvent::SelfComposed { count: times, event } => {
                self.visit(event, checked(count.checked_mul(times.get()))?)
            }
            _ => match single(event, &terms)? {
                Some(mechanism) if count > 0 => {
                    if (terms.supports)(&mechanism) {
                        // Of the best of many runs nobody knows a lower bound.
                        let least = match mechanism {
                            Mechanism::Selected { .. } => Some(mechanism.clone()),
                            _ => single(event, &terms.cheaper())?,
                        };
                        self.add((mechanism, least), count)
                    } else {
                        Err(terms.unsupported(event))
                    }
                }
                _ => Ok(()),
            },
        }
    }
}

/// For whom events are taken apart.
#[derive(Clone, Copy, Debug)]
struct Terms {
    /// Whom to name in an error.
    accountant: &'static str,
    /// The relation that decides how far neighbouring sums lie apart.
    relation: Neighboring,
    /// Which mechanisms the accountant can price.
    supports: fn(&Mechanism) -> bool,
    /// Which way composed numbers are rounded.
    rounding: Rounding,
}

/// Which way a number that is not exact is rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rounding {
    /// So that the privacy loss is rather too large: for what is promised.
    Dearer,
    /// So that it is rather too small: for the lower end of an interval.
    Cheaper,
}

impl Rounding {
    /// A number of which more is dearer, computed with a relative error of at most `units` half
    /// units in the last place.
    fn loss(self, value: f64, units: f64) -> f64 {
        // Twice what is needed, which also pays for rounding the product.
        match self {
            Self::Dearer => value * (1.0 + units.max(1.0) * f64::EPSILON),
            Self::Cheaper => value * (1.0 - units.max(1.0) * f64::EPSILON),
        }
    }
}

impl Terms {
    /// For the lower end of an interval.
    fn cheaper(self) -> Self {
        Self { rounding: Rounding::Cheaper, ..self }
    }

    /// A number of which more is dearer, as of [`Rounding::loss`].
    fn loss(&self, value: f64, units: f64) -> f64 {
        self.rounding.loss(value, units)
    }

    fn unsupported(&self, event: &DpEvent) -> AccountingError {
        AccountingError::Unsupported {
            accountant: self.accountant,
            event: Box::new(event.clone()),
            relation: self.relation,
        }
    }
}

/// The one mechanism that an event without composition at its root is, if it is any.
fn single(event: &DpEvent, terms: &Terms) -> Result<Option<Mechanism>, AccountingError> {
    match event {
        DpEvent::PoissonSampled { probability, event: inner } => {
            sampling::poisson(probability.get(), inner, terms)
        }
        DpEvent::FixedSizeSampled { population, sample, event: inner } => {
            sampling::fixed_size(*population, *sample, event, inner, terms)
        }
        DpEvent::Laplace { .. } | DpEvent::DiscreteLaplace { .. } => {
            let open = Mechanism::NonPrivate;
            Ok(Some(sampling::own_pair(event, terms).map_or(open, Mechanism::Bounded)))
        }
        DpEvent::RandomizedResponse { probability, buckets } => {
            response(probability.get(), *buckets, event, terms)
        }
        DpEvent::RepeatAndSelect { event: inner, repetitions } => {
            if !repetitions.is_sound() {
                return Err(malformed(event, "the distribution of repetitions is out of range"));
            }
            let mut one = History::under(*terms);
            one.visit(inner, 1)?;
            if one.steps.is_empty() {
                // The best of nothing is nothing.
                return Ok(None);
            }
            let selected = Mechanism::Selected { steps: one.steps, repetitions: *repetitions };
            if (terms.supports)(&selected) {
                Ok(Some(selected))
            } else {
                Err(terms.unsupported(event))
            }
        }
        _ => {
            let mut total = Total::default();
            total.add(event, 1.0, terms)?;
            Ok(total.alone(terms))
        }
    }
}

fn malformed(event: &DpEvent, reason: &'static str) -> AccountingError {
    AccountingError::Malformed { event: Box::new(event.clone()), reason }
}

/// Randomised response over so many buckets.
fn response(
    probability: f64,
    buckets: u64,
    event: &DpEvent,
    terms: &Terms,
) -> Result<Option<Mechanism>, AccountingError> {
    if terms.relation != Neighboring::ReplaceOne {
        return Err(terms.unsupported(event));
    }
    #[expect(clippy::cast_precision_loss, reason = "the share of one bucket is rounded alike")]
    let buckets = match buckets {
        0 => return Err(malformed(event, "an answer needs at least one bucket")),
        1 => return Ok(None),
        several => several as f64,
    };
    let other = probability / buckets;
    if other <= 0.0 {
        return Ok(Some(Mechanism::NonPrivate));
    }
    if probability >= 1.0 {
        return Ok(None);
    }
    let truth = 1.0 - probability + other;
    Ok(Some(Mechanism::Response { truth, other, others: buckets - 1.0 }))
}

/// Rates below this, but for none, count as this: its inverse fits a float.
const LEAST_RATE: f64 = 1e-300;

/// Repetitions that a 64-bit float counts exactly.
const MOST_REPETITIONS: u64 = 1 << 53;

fn checked(count: Option<u64>) -> Result<u64, AccountingError> {
    count.filter(|&count| count <= MOST_REPETITIONS).ok_or(AccountingError::TooManyRepetitions)
}

#[cfg(test)]
mod tests;
