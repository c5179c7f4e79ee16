//! Releases about the same sample, added up.

use crate::accountant::Neighboring;
use crate::error::AccountingError;
use crate::event::DpEvent;
use crate::history::{
    Bounded, MOST_REPETITIONS, Mechanism, Rounding, Terms, checked, sampling, tree,
};

/// Releases of one kind about the same sample, added up.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Total {
    pub(super) kind: Option<Kind>,
    /// Sum of `1/z²`, of `ε` or of `ρ`.
    amount: f64,
    /// A bound on the relative error of the sum, in half units in the last place.
    units: f64,
    /// The multiplier itself where a single Gaussian is all there is: no rounding then.
    only: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    NonPrivate,
    Gaussian,
    Pure,
    Zcdp,
}

impl Total {
    /// Adds `count` times `event`; several kinds under one sampling have no price here.
    pub(super) fn add(
        &mut self,
        event: &DpEvent,
        count: f64,
        terms: &Terms,
    ) -> Result<(), AccountingError> {
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
                    // It may be a bound only: as zCDP, nobody takes it for the exact price.
                    squared if z.get() > 0.0 => {
                        let distance = terms.relation.distance() / z.get();
                        units = 4.0;
                        (Kind::Zcdp, 0.5 * squared * distance * distance)
                    }
                    _ => (Kind::NonPrivate, 0.0),
                }
            }
            DpEvent::DiscreteGaussian { .. } => (Kind::NonPrivate, 0.0),
            // Laplace noise is pure; of several under one sampling that is all that is used.
            DpEvent::Laplace { .. } | DpEvent::DiscreteLaplace { .. } => {
                units = 3.0;
                match sampling::own_pair(event, terms) {
                    Some(pair) => (Kind::Pure, pair.greatest()),
                    None => (Kind::NonPrivate, 0.0),
                }
            }
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
    pub(super) fn alone(self, terms: &Terms) -> Option<Mechanism> {
        Some(match self.kind? {
            Kind::NonPrivate => Mechanism::NonPrivate,
            Kind::Gaussian => {
                Mechanism::Gaussian { sigma: self.sigma(terms)? / terms.relation.distance() }
            }
            Kind::Pure => Mechanism::Bounded(Bounded::Pure { epsilon: self.amount(terms) }),
            Kind::Zcdp => Mechanism::Zcdp { rho: self.amount(terms) },
        })
    }

    /// The sum, rounded as `terms` want it.
    pub(super) fn amount(self, terms: &Terms) -> f64 {
        if self.units > 0.0 { terms.loss(self.amount, self.units) } else { self.amount }
    }

    /// The noise multiplier of one Gaussian that tells as much as all of them together; of less
    /// loss than a float holds nothing is left where it is rounded down.
    pub(super) fn sigma(self, terms: &Terms) -> Option<f64> {
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
