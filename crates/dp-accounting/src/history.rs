//! Event trees reduced to a flat list of mechanisms, each with a count.
//!
//! Accountants differ in how they price a mechanism, not in what an event tree means, so the
//! tree is taken apart once, here: composition is flattened, counts multiply, nested Poisson
//! sampling multiplies its rates, and what lies under one sampling becomes one mechanism.

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

/// Mechanisms and how often each was used; equal ones stand together.
///
/// What all accountants do alike is here: taking events apart, refusing what the [`Terms`] do not
/// cover, and the answers that need no mathematics.
#[derive(Clone, Debug)]
pub(crate) struct History {
    terms: Terms,
    steps: Vec<(Mechanism, u64)>,
    places: HashMap<Key, usize>,
}

impl History {
    /// A history in which nothing has happened.
    pub(crate) fn new(
        accountant: &'static str,
        relation: Neighboring,
        supports: fn(&Mechanism) -> bool,
    ) -> Self {
        Self::under(Terms { accountant, relation, supports })
    }

    fn under(terms: Terms) -> Self {
        Self { terms, steps: Vec::new(), places: HashMap::new() }
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

    /// The mechanisms in order of first use.
    pub(crate) fn steps(&self) -> &[(Mechanism, u64)] {
        &self.steps
    }

    /// Adds `count` times `event`; either all of it or, on an error, nothing.
    pub(crate) fn compose(&mut self, event: &DpEvent, count: u64) -> Result<(), AccountingError> {
        let mut new = Self::under(self.terms);
        new.visit(event, count)?;
        for (mechanism, count) in &new.steps {
            let already = self.places.get(&mechanism.key()).map_or(0, |&at| self.steps[at].1);
            checked(already.checked_add(*count))?;
        }
        for (mechanism, count) in new.steps {
            self.add(mechanism, count)?;
        }
        Ok(())
    }

    fn add(&mut self, mechanism: Mechanism, count: u64) -> Result<(), AccountingError> {
        let at = *self.places.entry(mechanism.key()).or_insert(self.steps.len());
        if at == self.steps.len() {
            self.steps.push((mechanism, 0));
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
                        self.add(mechanism, count)
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
}

impl Terms {
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
            Ok(total.alone(terms.relation))
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
        // Thinning a sample is sampling once; the product is rounded up, against us, but for none.
        let (outer, inner) = (q, probability.get());
        let product = if outer > 0.0 && inner > 0.0 { (outer * inner).next_up() } else { 0.0 };
        return poisson(product.min(1.0), event, terms);
    }
    let mut total = Total::default();
    total.add(inner, 1.0, terms)?;
    if q <= 0.0 {
        return Ok(None);
    }
    if q >= 1.0 {
        return Ok(total.alone(terms.relation));
    }
    let q = q.max(LEAST_RATE);
    match (total.kind, terms.relation) {
        (None, _) => Ok(None),
        (Some(Kind::NonPrivate), _) => Ok(Some(Mechanism::NonPrivate)),
        (Some(Kind::Gaussian), Neighboring::AddOrRemoveOne | Neighboring::ZeroOutOne) => {
            Ok(Some(Mechanism::SampledGaussian { q, sigma: total.sigma() }))
        }
        (Some(Kind::Gaussian), Neighboring::ReplaceOne) => {
            Ok(Some(Mechanism::ReplacedSampledGaussian { q, sigma: total.sigma() }))
        }
        (Some(Kind::Pure), Neighboring::AddOrRemoveOne) => {
            Ok(Some(Mechanism::Pure { epsilon: amplified(q, total.amount) }))
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
        return Ok(total.alone(terms.relation));
    }
    #[expect(clippy::cast_precision_loss, reason = "rounded up below")]
    let q = (sample as f64 / population as f64).next_up().min(1.0);
    match total.kind {
        None => Ok(None),
        Some(Kind::NonPrivate) => Ok(Some(Mechanism::NonPrivate)),
        Some(Kind::Pure) => Ok(Some(Mechanism::Pure { epsilon: amplified(q, total.amount) })),
        Some(Kind::Gaussian) => {
            let sigma = total.sigma() / terms.relation.distance();
            Ok(Some(Mechanism::SubsetGaussian { rate: q, sigma }))
        }
        Some(Kind::Zcdp) => Err(terms.unsupported(inner)),
    }
}

/// What pure `epsilon` becomes under sampling with rate `q`: `ln(1 + q (e^epsilon − 1))`,
/// [Balle, Barthe and Gaboardi 2018](https://arxiv.org/abs/1807.01647), Theorems 8 and 9.
fn amplified(q: f64, epsilon: f64) -> f64 {
    if epsilon > 30.0 {
        // The same, without the overflow.
        epsilon + (q + (1.0 - q) * (-epsilon).exp()).ln()
    } else {
        (q * epsilon.exp_m1()).ln_1p()
    }
}

/// Releases of one kind about the same sample, added up.
#[derive(Clone, Copy, Debug, Default)]
struct Total {
    kind: Option<Kind>,
    /// Sum of `1/z²`, of `ε` or of `ρ`.
    amount: f64,
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
        let (kind, amount) = match event {
            DpEvent::NoOp => return Ok(()),
            DpEvent::Composed { events } => {
                return events.iter().try_for_each(|event| self.add(event, count, terms));
            }
            #[expect(clippy::cast_precision_loss, reason = "at most 2^53, checked by the caller")]
            DpEvent::SelfComposed { count: times, event } => {
                checked(Some(times.get()))?;
                return self.add(event, count * times.get() as f64, terms);
            }
            DpEvent::NonPrivate => (Kind::NonPrivate, 0.0),
            DpEvent::Gaussian { noise_multiplier: z } if z.get() > 0.0 => {
                only = (self.kind.is_none() && count <= 1.0).then(|| z.get());
                (Kind::Gaussian, z.get().powi(-2))
            }
            DpEvent::Gaussian { .. } => (Kind::NonPrivate, 0.0),
            DpEvent::PureDp { epsilon } if epsilon.is_finite() => (Kind::Pure, epsilon.get()),
            DpEvent::PureDp { .. } => (Kind::NonPrivate, 0.0),
            DpEvent::Zcdp { rho } => (Kind::Zcdp, rho.get()),
            DpEvent::DiscreteGaussian { noise_multiplier: z } if z.get() > 0.0 => {
                // Half the squared distance over the variance: Canonne, Kamath and Steinke
                // 2020, Proposition 5, coordinate by coordinate.
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
                        (Kind::Zcdp, 0.5 * squared * distance * distance)
                    }
                    _ => (Kind::NonPrivate, 0.0),
                }
            }
            // Laplace noise is pure; under sampling that is all that is used of it.
            DpEvent::Laplace { noise_multiplier: b } if b.get() > 0.0 => {
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
        self.amount += count * amount;
        Ok(())
    }

    /// The total without any sampling around it.
    fn alone(self, relation: Neighboring) -> Option<Mechanism> {
        Some(match self.kind? {
            Kind::NonPrivate => Mechanism::NonPrivate,
            Kind::Gaussian => Mechanism::Gaussian { sigma: self.sigma() / relation.distance() },
            Kind::Pure => Mechanism::Pure { epsilon: self.amount },
            Kind::Zcdp => Mechanism::Zcdp { rho: self.amount },
        })
    }

    /// The noise multiplier of one Gaussian that tells as much as all of them together.
    fn sigma(self) -> f64 {
        self.only.unwrap_or_else(|| self.amount.sqrt().recip()).min(MOST_NOISE)
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
