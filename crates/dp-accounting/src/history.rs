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

mod tree;

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
    /// Laplace noise around 0 against around 1.
    Laplace { scale: f64 },
    /// Randomised response: the truth with probability `truth`, each of `others` with `other`.
    Response { truth: f64, other: f64, others: f64 },
    /// The best of a random number of repetitions of the steps.
    Selected { steps: Vec<(Mechanism, u64)>, repetitions: Repetitions },
    /// Anything that is `epsilon`-differentially private.
    Pure { epsilon: f64 },
    /// Anything that is `rho`-zero-concentrated differentially private.
    Zcdp { rho: f64 },
}

impl Mechanism {
    /// Equal mechanisms have equal keys, and only they.
    fn key(&self) -> Key {
        let numbers = |kind: u64, numbers: &[f64]| {
            std::iter::once(kind).chain(numbers.iter().map(|x| x.to_bits())).collect()
        };
        match self {
            Self::NonPrivate => numbers(0, &[]),
            Self::Gaussian { sigma } => numbers(1, &[*sigma]),
            Self::SampledGaussian { q, sigma } => numbers(2, &[*q, *sigma]),
            Self::ReplacedSampledGaussian { q, sigma } => numbers(3, &[*q, *sigma]),
            Self::Pure { epsilon } => numbers(4, &[*epsilon]),
            Self::Zcdp { rho } => numbers(5, &[*rho]),
            Self::SubsetGaussian { rate, sigma } => numbers(6, &[*rate, *sigma]),
            Self::Laplace { scale } => numbers(7, &[*scale]),
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
        let upper = if self.steps.is_empty() || delta >= 1.0 {
            Epsilon::ZERO
        } else if self.is_open() {
            Epsilon::INFINITE
        } else {
            return None;
        };
        Some(EpsilonInterval { lower: Epsilon::ZERO, upper })
    }

    /// The same for `δ`.
    pub(crate) fn plain_delta(&self, epsilon: f64) -> Option<DeltaInterval> {
        let upper = if self.is_open() {
            Delta::ONE
        } else if self.steps.is_empty() || epsilon == f64::INFINITY {
            Delta::ZERO
        } else {
            return None;
        };
        Some(DeltaInterval { lower: Delta::ZERO, upper })
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

impl Terms {
    /// For the lower end of an interval.
    fn cheaper(self) -> Self {
        Self { rounding: Rounding::Cheaper, ..self }
    }

    /// A number of which more is dearer, computed with a relative error of at most `units` half
    /// units in the last place.
    fn loss(&self, value: f64, units: f64) -> f64 {
        // Twice what is needed, which also pays for rounding the product.
        match self.rounding {
            Rounding::Dearer => value * (1.0 + units.max(1.0) * f64::EPSILON),
            Rounding::Cheaper => value * (1.0 - units.max(1.0) * f64::EPSILON),
        }
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
            poisson(probability.get(), inner, terms)
        }
        DpEvent::FixedSizeSampled { population, sample, event: inner } => {
            fixed_size(*population, *sample, event, inner, terms)
        }
        DpEvent::Laplace { noise_multiplier: b } if b.get() > 0.0 => {
            Ok(Some(Mechanism::Laplace { scale: b.get() / terms.relation.distance() }))
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

/// `inner` on a Poisson sample with probability `q`.
fn poisson(q: f64, inner: &DpEvent, terms: &Terms) -> Result<Option<Mechanism>, AccountingError> {
    if let DpEvent::PoissonSampled { probability, event } = inner {
        // Thinning a sample is sampling once. A product with 0 or 1 is exact.
        let (outer, inner) = (q, probability.get());
        let product = if outer.min(inner) > 0.0 && outer.max(inner) < 1.0 {
            match terms.rounding {
                Rounding::Dearer => (outer * inner).next_up(),
                Rounding::Cheaper => (outer * inner).next_down().max(0.0),
            }
        } else {
            outer * inner
        };
        return poisson(product.min(1.0), event, terms);
    }
    let mut total = Total::default();
    total.add(inner, 1.0, terms)?;
    if q <= 0.0 {
        return Ok(None);
    }
    if q >= 1.0 {
        return Ok(total.alone(terms));
    }
    if q < LEAST_RATE && terms.rounding == Rounding::Cheaper {
        return Ok(None);
    }
    let q = q.max(LEAST_RATE);
    match (total.kind, terms.relation) {
        (None, _) => Ok(None),
        (Some(Kind::NonPrivate), _) => Ok(Some(Mechanism::NonPrivate)),
        (Some(Kind::Gaussian), Neighboring::AddOrRemoveOne | Neighboring::ZeroOutOne) => {
            Ok(total.sigma(terms).map(|sigma| Mechanism::SampledGaussian { q, sigma }))
        }
        (Some(Kind::Gaussian), Neighboring::ReplaceOne) => {
            Ok(total.sigma(terms).map(|sigma| Mechanism::ReplacedSampledGaussian { q, sigma }))
        }
        (Some(Kind::Pure), Neighboring::AddOrRemoveOne) => {
            let epsilon = amplified(q, total.amount(terms), terms);
            Ok(Some(Mechanism::Pure { epsilon }))
        }
        // Leaving a record out is not replacing it, so nothing is known of the sampled release.
        (Some(Kind::Pure | Kind::Zcdp), _) => Err(terms.unsupported(inner)),
    }
}

/// `inner` on `sample` of `population` records, drawn without replacement.
fn fixed_size(
    population: u64,
    sample: u64,
    event: &DpEvent,
    inner: &DpEvent,
    terms: &Terms,
) -> Result<Option<Mechanism>, AccountingError> {
    if sample > population {
        return Err(malformed(event, "the sample is larger than the population"));
    }
    if terms.relation != Neighboring::ReplaceOne {
        return Err(terms.unsupported(event));
    }
    let mut total = Total::default();
    total.add(inner, 1.0, terms)?;
    if sample == 0 {
        return Ok(None);
    }
    if sample == population {
        return Ok(total.alone(terms));
    }
    // Both counts and their quotient are rounded.
    #[expect(clippy::cast_precision_loss, reason = "allowed for")]
    let q = terms.loss(sample as f64 / population as f64, 3.0).min(1.0);
    match total.kind {
        None => Ok(None),
        Some(Kind::NonPrivate) => Ok(Some(Mechanism::NonPrivate)),
        Some(Kind::Pure) => {
            let epsilon = amplified(q, total.amount(terms), terms);
            Ok(Some(Mechanism::Pure { epsilon }))
        }
        Some(Kind::Gaussian) => {
            let sigma = total.sigma(terms).map(|sigma| sigma / terms.relation.distance());
            Ok(sigma.map(|sigma| Mechanism::SubsetGaussian { rate: q, sigma }))
        }
        Some(Kind::Zcdp) => Err(terms.unsupported(inner)),
    }
}

/// What pure `epsilon` becomes under sampling with rate `q`: `ln(1 + q (e^epsilon − 1))`,
/// [Balle, Barthe and Gaboardi 2018](https://arxiv.org/abs/1807.01647), Theorems 8 and 9.
fn amplified(q: f64, epsilon: f64, terms: &Terms) -> f64 {
    if epsilon <= 700.0 {
        return terms.loss((q * epsilon.exp_m1()).ln_1p(), 16.0);
    }
    // The same without the overflow: with x = epsilon + ln q, ln(1 − q + e^x).
    let x = epsilon + q.ln();
    let value = if x > 0.0 { x + ((1.0 - q) * (-x).exp()).ln_1p() } else { (x.exp() - q).ln_1p() };
    let slack = 8.0 * f64::EPSILON * (epsilon - q.ln());
    match terms.rounding {
        Rounding::Dearer => value + slack,
        Rounding::Cheaper => (value - slack).max(0.0),
    }
}

/// Releases of one kind about the same sample, added up.
#[derive(Clone, Copy, Debug, Default)]
struct Total {
    kind: Option<Kind>,
    /// Sum of `1/z²`, of `ε` or of `ρ`.
    amount: f64,
    /// A bound on the relative error of the sum, in half units in the last place.
    units: f64,
    /// The multiplier itself where a single Gaussian is all there is: no rounding then.
    only: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    NonPrivate,
    Gaussian,
    Pure,
    Zcdp,
}

impl Total {
    /// Adds `count` times `event`; several kinds under one sampling have no price here.
    fn add(&mut self, event: &DpEvent, count: f64, terms: &Terms) -> Result<(), AccountingError> {
        // Whatever joins it, a Gaussian is then no longer alone.
        let mut only = None;
        // Amounts are rounded so many times, below.
        let mut units = 0.0;
        let (kind, amount) = match event {
            DpEvent::NoOp => return Ok(()),
            DpEvent::Composed { events } => {
                return events.iter().try_for_each(|event| self.add(event, count, terms));
            }
            #[expect(clippy::cast_precision_loss, reason = "at most 2^53, checked by the caller")]
            DpEvent::SelfComposed { count: times, event } => {
                checked(Some(times.get()))?;
                let product = count * times.get() as f64;
                let exact = product <= MOST_REPETITIONS as f64;
                let product = if exact { product } else { terms.loss(product, 1.0) };
                return self.add(event, product, terms);
            }
            DpEvent::NonPrivate => (Kind::NonPrivate, 0.0),
            DpEvent::Gaussian { noise_multiplier: z } if z.get() > 0.0 => {
                only = (self.kind.is_none() && count <= 1.0).then(|| z.get());
                units = 2.0;
                (Kind::Gaussian, z.get().powi(-2))
            }
            DpEvent::Gaussian { .. } => (Kind::NonPrivate, 0.0),
            DpEvent::PureDp { epsilon } if epsilon.is_finite() => (Kind::Pure, epsilon.get()),
            DpEvent::PureDp { .. } => (Kind::NonPrivate, 0.0),
            DpEvent::Zcdp { rho } => (Kind::Zcdp, rho.get()),
            DpEvent::DiscreteGaussian { noise_multiplier: z } if z.get() > 0.0 => {
                // Half the squared distance over the variance: Canonne, Kamath and Steinke
                // 2020, Proposition 5, coordinate by coordinate.
                units = 3.0;
                (Kind::Zcdp, 0.5 * (terms.relation.distance() / z.get()).powi(2))
            }
            DpEvent::TreeAggregation { noise_multiplier: z, steps } => {
                let Some(levels) = tree::levels(steps, terms.relation) else {
                    return Err(terms.unsupported(event));
                };
                if levels <= 0.0 {
                    return Ok(());
                }
                if z.get() > 0.0 {
                    units = 2.0;
                    (Kind::Gaussian, levels / (z.get() * z.get()))
                } else {
                    (Kind::NonPrivate, 0.0)
                }
            }
            DpEvent::TreeWithParticipations {
                noise_multiplier: z,
                steps,
                max_participations,
                min_separation,
            } => {
                if terms.relation == Neighboring::AddOrRemoveOne {
                    return Err(terms.unsupported(event));
                }
                let squared =
                    tree::sensitivity(*steps, max_participations.get(), min_separation.get());
                match squared {
                    squared if squared <= 0.0 => return Ok(()),
                    // An upper bound only: as zCDP, nobody takes it for the exact price.
                    squared if z.get() > 0.0 => {
                        let distance = terms.relation.distance() / z.get();
                        units = 4.0;
                        (Kind::Zcdp, 0.5 * squared * distance * distance)
                    }
                    _ => (Kind::NonPrivate, 0.0),
                }
            }
            // Laplace noise is pure; under sampling that is all that is used of it.
            DpEvent::Laplace { noise_multiplier: b } if b.get() > 0.0 => {
                units = 1.0;
                (Kind::Pure, terms.relation.distance() / b.get())
            }
            DpEvent::DiscreteGaussian { .. } | DpEvent::Laplace { .. } => (Kind::NonPrivate, 0.0),
            DpEvent::PoissonSampled { .. }
            | DpEvent::FixedSizeSampled { .. }
            | DpEvent::RandomizedResponse { .. }
            | DpEvent::RepeatAndSelect { .. } => return Err(terms.unsupported(event)),
        };
        self.only = only;
        self.kind = match self.kind {
            None => Some(kind),
            Some(before) if before == kind => Some(kind),
            Some(Kind::NonPrivate) => Some(Kind::NonPrivate),
            Some(_) if kind == Kind::NonPrivate => Some(Kind::NonPrivate),
            Some(_) => return Err(terms.unsupported(event)),
        };
        // A product and a sum are rounded once more each, where there are any.
        let product = if count <= 1.0 { units } else { units + 1.0 };
        self.units = if self.amount <= 0.0 { product } else { self.units.max(product) + 1.0 };
        self.amount += count * amount;
        Ok(())
    }

    /// The total without any sampling around it.
    fn alone(self, terms: &Terms) -> Option<Mechanism> {
        Some(match self.kind? {
            Kind::NonPrivate => Mechanism::NonPrivate,
            Kind::Gaussian => {
                Mechanism::Gaussian { sigma: self.sigma(terms)? / terms.relation.distance() }
            }
            Kind::Pure => Mechanism::Pure { epsilon: self.amount(terms) },
            Kind::Zcdp => Mechanism::Zcdp { rho: self.amount(terms) },
        })
    }

    /// The sum, rounded as `terms` want it.
    fn amount(self, terms: &Terms) -> f64 {
        if self.units > 0.0 { terms.loss(self.amount, self.units) } else { self.amount }
    }

    /// The noise multiplier of one Gaussian that tells as much as all of them together; of less
    /// loss than a float holds nothing is left where it is rounded down.
    fn sigma(self, terms: &Terms) -> Option<f64> {
        let sigma = self.only.unwrap_or_else(|| terms.loss(self.amount(terms).sqrt(), 2.0).recip());
        match terms.rounding {
            Rounding::Dearer => Some(sigma.min(MOST_NOISE)),
            Rounding::Cheaper => (sigma <= MOST_NOISE).then_some(sigma),
        }
    }
}

/// Noise above this counts as this: its square fits a float, and at less noise the price, which is
/// far below every rounding, is rather too large.
const MOST_NOISE: f64 = 1e100;

/// Rates below this, but for none, count as this: its inverse fits a float.
const LEAST_RATE: f64 = 1e-300;

/// Repetitions that a 64-bit float counts exactly.
const MOST_REPETITIONS: u64 = 1 << 53;

fn checked(count: Option<u64>) -> Result<u64, AccountingError> {
    count.filter(|&count| count <= MOST_REPETITIONS).ok_or(AccountingError::TooManyRepetitions)
}

#[cfg(test)]
mod tests;
