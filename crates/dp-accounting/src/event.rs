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
    /// Coordinates with independent Laplace noise of scale `noise_multiplier × C`, where `C`
    /// bounds the *L1* norm of one record's contribution.
    Laplace {
        /// Scale over the contribution bound; zero releases the sum itself.
        noise_multiplier: NoiseMultiplier,
    },
    /// Whole numbers with discrete Gaussian noise of parameter `noise_multiplier × C`, independent
    /// in each coordinate; `C` bounds the L2 norm of one record's contribution.
    DiscreteGaussian {
        /// The parameter `σ` of the noise over the contribution bound.
        noise_multiplier: NoiseMultiplier,
    },
    /// One record's answer: uniform over all `buckets` with `probability`, else the truth.
    ///
    /// Only meaningful under replace-one neighbours: with the record, its answer disappears.
    RandomizedResponse {
        /// Chance of a random answer, which may be the true one.
        probability: SamplingProbability,
        /// Number of possible answers, at least 1.
        buckets: u64,
    },
    /// Sums over all prefixes of a stream by binary trees, each node with its own Gaussian noise
    /// of standard deviation `noise_multiplier × C`. A record takes part in one step of one tree.
    ///
    /// Only meaningful under zero-out and replace-one neighbours, which leave the steps alone.
    TreeAggregation {
        /// Noise of a node over the contribution bound.
        noise_multiplier: NoiseMultiplier,
        /// Steps of each tree; the tree is restarted after them.
        steps: Vec<u64>,
    },
    /// `event` repeated a random number of times on the same records, of which only the best is
    /// published: the price of choosing hyper-parameters, or a seed.
    RepeatAndSelect {
        /// One of the runs.
        event: Box<DpEvent>,
        /// From which distribution their number is drawn.
        repetitions: Repetitions,
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

/// The distribution of a number of repetitions, [Papernot and Steinke
/// 2022](https://arxiv.org/abs/2110.03620), Section 3.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(tag = "distribution", rename_all = "snake_case"))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub enum Repetitions {
    /// Negative binomial, conditioned on at least one: geometric for `shape` 1, logarithmic
    /// for `shape` 0.
    TruncatedNegativeBinomial {
        /// `η`, finite and above −1.
        shape: f64,
        /// `γ`, strictly between 0 and 1; the smaller, the more repetitions.
        gamma: f64,
    },
    /// Poisson; with no repetition at all, nothing is published.
    Poisson {
        /// The expected number, positive and finite.
        mean: f64,
    },
}

impl Repetitions {
    /// The expected number of repetitions.
    #[must_use]
    pub fn mean(self) -> f64 {
        match self {
            Self::TruncatedNegativeBinomial { shape, gamma } => {
                let ln_gamma = gamma.ln();
                if shape.abs() < 1e-9 {
                    (1.0 - gamma) / (gamma * -ln_gamma)
                } else {
                    shape * (1.0 - gamma) / (gamma * -(shape * ln_gamma).exp_m1())
                }
            }
            Self::Poisson { mean } => mean,
        }
    }

    /// Whether the parameters lie in their ranges.
    pub(crate) fn is_sound(self) -> bool {
        match self {
            Self::TruncatedNegativeBinomial { shape, gamma } => {
                shape > -1.0 && shape.is_finite() && gamma > 0.0 && gamma < 1.0
            }
            Self::Poisson { mean } => mean > 0.0 && mean.is_finite(),
        }
    }
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
