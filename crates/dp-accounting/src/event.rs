//! What was released: the mechanism and the sampling, without the data.
//!
//! An event is the whole truth that an accountant is told, so it names the sampling scheme
//! and the noise relative to the contribution bound; the accountant adds the
//! [relation](crate::Neighboring). Events are values: they compare, print and (with the
//! feature `serde`) serialise, tagged by a field `kind`.

use std::num::NonZeroU64;

use crate::units::{Epsilon, NoiseMultiplier, Rho, SamplingProbability};

/// One release, or several, as accountants see it.
///
/// # Which sensitivity
///
/// A noise multiplier is relative to the *contribution bound* `C`: the largest L2 norm
/// that one record can add to the sum, which is the clip norm. Under add-or-remove and zero-out neighbours the sums differ by at most
/// `C`, under replace-one by at most `2C`, and the accountants here take that doubling into
/// account. Some other libraries do not; see [`Neighboring`](crate::Neighboring).
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields))]
#[non_exhaustive]
pub enum DpEvent {
    /// Nothing was released.
    NoOp,
    /// Something was released without any protection: epsilon is infinite from here on.
    NonPrivate,
    /// A sum with Gaussian noise of standard deviation `noise_multiplier × C`.
    Gaussian {
        /// Standard deviation over the contribution bound; zero releases the sum itself.
        noise_multiplier: NoiseMultiplier,
    },
    /// `event` on a sample that each record enters on its own with `probability`.
    PoissonSampled {
        /// Chance of each record to take part.
        probability: SamplingProbability,
        /// What is released about the sample.
        event: Box<DpEvent>,
    },
    /// `event` on a uniformly random subset of exactly `sample` of `population` records.
    ///
    /// Only meaningful under replace-one neighbours, which leave both numbers as they are.
    FixedSizeSampled {
        /// Records in all.
        population: u64,
        /// Records drawn, without replacement.
        sample: u64,
        /// What is released about the sample.
        event: Box<DpEvent>,
    },
    /// Several releases about the same records; later ones may depend on earlier outputs.
    Composed {
        /// The parts, in order.
        events: Vec<DpEvent>,
    },
    /// The same release `count` times.
    SelfComposed {
        /// How many times, at least once.
        count: NonZeroU64,
        /// What is repeated.
        event: Box<DpEvent>,
    },
    /// A mechanism of which only pure differential privacy is known.
    PureDp {
        /// Its `ε`, under the relation of whichever accountant is asked.
        epsilon: Epsilon,
    },
    /// A mechanism of which only zero-concentrated differential privacy is known.
    Zcdp {
        /// Its `ρ`: Rényi divergence at most `ρ α` at every order `α > 1`, under the relation
        /// of whichever accountant is asked.
        rho: Rho,
    },
}

impl DpEvent {
    /// Gaussian noise of standard deviation `noise_multiplier` times the contribution bound.
    #[must_use]
    pub fn gaussian(noise_multiplier: NoiseMultiplier) -> Self {
        Self::Gaussian { noise_multiplier }
    }

    /// Several releases in order.
    #[must_use]
    pub fn composed(events: Vec<DpEvent>) -> Self {
        Self::Composed { events }
    }

    /// This event on a Poisson sample.
    #[must_use]
    pub fn poisson_sampled(self, probability: SamplingProbability) -> Self {
        Self::PoissonSampled { probability, event: Box::new(self) }
    }

    /// This event on a random subset of fixed size.
    #[must_use]
    pub fn fixed_size_sampled(self, population: u64, sample: u64) -> Self {
        Self::FixedSizeSampled { population, sample, event: Box::new(self) }
    }

    /// This event `count` times.
    #[must_use]
    pub fn repeated(self, count: NonZeroU64) -> Self {
        Self::SelfComposed { count, event: Box::new(self) }
    }
}
