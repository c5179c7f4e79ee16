//! What was released: the mechanism and the sampling, without the data.
//!
//! An event is the whole truth that an accountant is told, so it names the sampling scheme
//! and the noise relative to the contribution bound; the accountant adds the
//! [relation](crate::Neighboring). Events are values: they compare, print and (with the
//! feature `serde`) serialise, tagged by a field `kind`.

use std::fmt;
use std::num::NonZeroU64;

use crate::units::{Epsilon, NoiseMultiplier, Rho, SamplingProbability, UnitError};

/// One release, or several, as accountants see it.
///
/// # Which sensitivity
///
/// A noise multiplier is relative to the *contribution bound* `C`: the largest L2 norm
/// that one record can add to the sum, which is the clip norm. Under add-or-remove and zero-out
/// neighbours the sums differ by at most `C`, under replace-one by at most `2C`, and the
/// accountants here take that doubling into account. Some other libraries do not; see [`Neighboring`](crate::Neighboring).
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
    /// Whole numbers with independent discrete Laplace noise, `P(x) ∝ e^(−|x|/(noise_multiplier × C))`,
    /// where `C = sensitivity`, itself a whole number, bounds the *L1* norm of one record's
    /// contribution.
    DiscreteLaplace {
        /// Scale over the contribution bound; zero releases the sum itself.
        noise_multiplier: NoiseMultiplier,
        /// The contribution bound `C`.
        sensitivity: NonZeroU64,
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
    /// Sums over all prefixes of a stream by one binary tree, each node with its own Gaussian noise
    /// of standard deviation `noise_multiplier × C`. A record takes part in at most
    /// `max_participations` of its steps, any two of them at least `min_separation` apart (1:
    /// anywhere), and contributes at most `C` to each.
    ///
    /// Only meaningful under zero-out and replace-one neighbours, which leave the steps alone. How far
    /// one record moves all nodes is found exactly in small trees, and bounded in large ones. Several
    /// trees with a restart between are [`SelfComposed`](Self::SelfComposed), and cost less than one
    /// tree over all of their steps.
    TreeWithParticipations {
        /// Noise of a node over the contribution bound.
        noise_multiplier: NoiseMultiplier,
        /// Steps of the tree.
        steps: u64,
        /// In how many of them a record takes part at most.
        max_participations: NonZeroU64,
        /// The least distance of two steps in which a record takes part.
        min_separation: NonZeroU64,
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
    /// The truncated negative binomial of this `shape` whose expected number is `mean`, or
    /// insignificantly more.
    ///
    /// # Errors
    /// [`UnitError::OutOfRange`] unless the shape lies in `(−1, 1e6]` and the mean in
    /// `(1, 1e12]`: with at least one repetition always, the mean is above 1.
    pub fn negative_binomial(shape: f64, mean: f64) -> Result<Self, UnitError> {
        if !(shape > -1.0 && shape <= 1e6) {
            let (unit, range) = ("shape of the number of repetitions", "(-1, 1e6]");
            return Err(UnitError::OutOfRange { unit, range, value: shape });
        }
        if !(mean > 1.0 && mean <= 1e12) {
            let (unit, range) = ("mean number of repetitions", "(1, 1e12]");
            return Err(UnitError::OutOfRange { unit, range, value: mean });
        }
        // The mean falls from infinity to 1 as γ rises from 0 to 1: halve in ln γ.
        let at = |ln_gamma: f64| Self::TruncatedNegativeBinomial { shape, gamma: ln_gamma.exp() };
        let (mut low, mut high) = (f64::MIN_POSITIVE.ln(), -f64::EPSILON);
        for _ in 0..200 {
            let middle = 0.5 * (low + high);
            if at(middle).mean() >= mean { low = middle } else { high = middle }
        }
        Ok(at(low))
    }

    /// The Poisson distribution with this mean; with no repetition at all, nothing is published.
    ///
    /// # Errors
    /// [`UnitError::OutOfRange`] unless the mean is positive and at most 1e12.
    pub fn poisson(mean: f64) -> Result<Self, UnitError> {
        if mean > 0.0 && mean <= 1e12 {
            Ok(Self::Poisson { mean })
        } else {
            let (unit, range) = ("mean number of repetitions", "(0, 1e12]");
            Err(UnitError::OutOfRange { unit, range, value: mean })
        }
    }

    /// The expected number of repetitions.
    #[must_use]
    pub fn mean(self) -> f64 {
        match self {
            Self::TruncatedNegativeBinomial { shape, gamma } => {
                let ln_gamma = gamma.ln();
                // Where the product with a logarithm would underflow the limit has every digit.
                if shape.abs() < 1e-300 {
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

/// An event on one line: `100 × (Gaussian(z = 0.5) on a Poisson sample (q = 0.01))`.
impl fmt::Display for DpEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoOp => f.write_str("nothing"),
            Self::NonPrivate => f.write_str("a release without protection"),
            Self::Gaussian { noise_multiplier } => write!(f, "Gaussian(z = {noise_multiplier})"),
            Self::PoissonSampled { probability, event } => {
                write!(f, "{} on a Poisson sample (q = {probability})", Part(event))
            }
            Self::FixedSizeSampled { population, sample, event } => {
                write!(f, "{} on {sample} of {population} drawn without replacement", Part(event))
            }
            Self::Composed { events } if events.is_empty() => f.write_str("nothing"),
            Self::Composed { events } => events.iter().enumerate().try_for_each(|(at, event)| {
                let plus = if at > 0 { " + " } else { "" };
                write!(f, "{plus}{}", Part(event))
            }),
            Self::SelfComposed { count, event } => write!(f, "{count} × {}", Part(event)),
            Self::Laplace { noise_multiplier } => write!(f, "Laplace(b = {noise_multiplier})"),
            Self::DiscreteGaussian { noise_multiplier } => {
                write!(f, "discrete Gaussian(z = {noise_multiplier})")
            }
            Self::DiscreteLaplace { noise_multiplier, sensitivity } => {
                write!(f, "discrete Laplace(b = {noise_multiplier}, sensitivity {sensitivity})")
            }
            Self::RandomizedResponse { probability, buckets } => {
                write!(f, "randomised response(p = {probability}, {buckets} answers)")
            }
            Self::TreeAggregation { noise_multiplier, steps } => {
                write!(f, "tree aggregation(z = {noise_multiplier}, steps {steps:?})")
            }
            Self::TreeWithParticipations {
                noise_multiplier,
                steps,
                max_participations,
                min_separation,
            } => write!(
                f,
                "tree aggregation(z = {noise_multiplier}, {steps} steps, at most \
                 {max_participations} by one record, {min_separation} apart)"
            ),
            Self::RepeatAndSelect { event, repetitions } => {
                write!(f, "the best of {repetitions} of {}", Part(event))
            }
            Self::PureDp { epsilon } => write!(f, "any {epsilon}-DP mechanism"),
            Self::Zcdp { rho } => write!(f, "any {rho}-zCDP mechanism"),
        }
    }
}

/// A part of an event, in brackets where it has parts of its own.
struct Part<'a>(&'a DpEvent);

impl fmt::Display for Part<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            DpEvent::Composed { events } if events.len() == 1 => Part(&events[0]).fmt(f),
            DpEvent::PoissonSampled { .. }
            | DpEvent::FixedSizeSampled { .. }
            | DpEvent::Composed { .. }
            | DpEvent::SelfComposed { .. }
            | DpEvent::RepeatAndSelect { .. } => write!(f, "({})", self.0),
            _ => self.0.fmt(f),
        }
    }
}

impl fmt::Display for Repetitions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mean = (self.mean() * 1e4).round() / 1e4;
        match self {
            Self::TruncatedNegativeBinomial { shape, .. } => {
                write!(f, "about {mean} runs (negative binomial, shape {shape})")
            }
            Self::Poisson { .. } => write!(f, "about {mean} runs (Poisson)"),
        }
    }
}
