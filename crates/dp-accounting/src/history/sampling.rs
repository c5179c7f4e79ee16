//! What lies under one sampling, as one mechanism.

use crate::accountant::Neighboring;
use crate::error::AccountingError;
use crate::event::DpEvent;
use crate::history::total::{Kind, Total};
use crate::history::{Bounded, LEAST_RATE, Mechanism, Rounding, Terms, amplified, malformed};

/// `inner` on a Poisson sample with probability `q`.
pub(super) fn poisson(
    q: f64,
    inner: &DpEvent,
    terms: &Terms,
) -> Result<Option<Mechanism>, AccountingError> {
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
    let own = only(inner).and_then(|event| own_pair(event, terms));
    if q >= 1.0 {
        return Ok(own.map_or_else(|| total.alone(terms), |p| Some(Mechanism::Bounded(p))));
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
            let pair = own.unwrap_or(Bounded::Pure { epsilon: total.amount(terms) });
            Ok(Some(Mechanism::SampledBounded { q, pair }))
        }
        // A record that contributes zero is a record left out, as far as a sum is concerned.
        (Some(Kind::Pure), Neighboring::ZeroOutOne) if own.is_some() => {
            Ok(own.map(|pair| Mechanism::SampledBounded { q, pair }))
        }
        // Leaving a record out is not replacing it, so nothing is known of the sampled release.
        (Some(Kind::Pure | Kind::Zcdp), _) => Err(terms.unsupported(inner)),
    }
}

/// The pair of a release with Laplace noise; nothing of any other release, or where
/// there is as good as no noise.
pub(super) fn own_pair(event: &DpEvent, terms: &Terms) -> Option<Bounded> {
    match *event {
        DpEvent::Laplace { noise_multiplier: b } if b.get() > 0.0 => {
            let scale = b.get() / terms.relation.distance();
            scale.recip().is_finite().then_some(Bounded::Laplace { scale })
        }
        DpEvent::DiscreteLaplace { noise_multiplier: b, sensitivity } if b.get() > 0.0 => {
            #[expect(clippy::cast_precision_loss, reason = "the rate is rounded alike")]
            let bound = sensitivity.get() as f64;
            let rate = terms.loss((b.get() * bound).recip(), 3.0);
            let shift = bound * terms.relation.distance();
            // A larger rate is less noise: the product may overflow.
            let rate = rate.max(f64::MIN_POSITIVE);
            (rate * shift).is_finite().then_some(Bounded::DiscreteLaplace { rate, shift })
        }
        _ => None,
    }
}

/// The one release that an event is, if it is one.
fn only(event: &DpEvent) -> Option<&DpEvent> {
    match event {
        DpEvent::Composed { events } => {
            let mut real = events.iter().filter(|event| !matches!(event, DpEvent::NoOp));
            let first = real.next()?;
            real.next().is_none().then(|| only(first)).flatten()
        }
        DpEvent::SelfComposed { count, event } => (count.get() == 1).then(|| only(event)).flatten(),
        one => Some(one),
    }
}

/// `inner` on `sample` of `population` records, drawn without replacement.
pub(super) fn fixed_size(
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
        let own = only(inner).and_then(|event| own_pair(event, terms));
        return Ok(own.map_or_else(|| total.alone(terms), |p| Some(Mechanism::Bounded(p))));
    }
    // Both counts and their quotient are rounded.
    #[expect(clippy::cast_precision_loss, reason = "allowed for")]
    let q = terms.loss(sample as f64 / population as f64, 3.0).min(1.0);
    match total.kind {
        None => Ok(None),
        Some(Kind::NonPrivate) => Ok(Some(Mechanism::NonPrivate)),
        Some(Kind::Pure) => {
            let epsilon = amplified(q, total.amount(terms), terms.rounding);
            Ok(Some(Mechanism::Bounded(Bounded::Pure { epsilon })))
        }
        Some(Kind::Gaussian) => {
            let sigma = total.sigma(terms).map(|sigma| sigma / terms.relation.distance());
            Ok(sigma.map(|sigma| Mechanism::SubsetGaussian { rate: q, sigma }))
        }
        Some(Kind::Zcdp) => Err(terms.unsupported(inner)),
    }
}
