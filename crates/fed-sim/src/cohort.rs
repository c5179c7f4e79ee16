//! Who takes part in a round, and what that does to the price.
//!
//! The sampler that draws the cohort is the one that wraps the round's event: a cohort of fixed
//! size cannot be paid for at the Poisson rate, because no other value knows how to say
//! "Poisson".

mod draw;

use dp_accounting::{DpEvent, Neighboring, SamplingProbability};
use dp_agg::mistake::{Mistake, made};
use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::error::SimError;

/// How cohorts are drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sampling {
    /// Every client on its own with probability `m / N`: the cohort's size varies, and a round
    /// may be empty.
    #[default]
    Poisson,
    /// Exactly `m` clients, all subsets alike. Another mechanism, with another neighbouring
    /// relation (replace one) and a larger price.
    FixedSize,
}

/// Draws cohorts from a population and prices them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum CohortSampler {
    /// See [`Sampling::Poisson`].
    Poisson {
        /// Number of clients `N`.
        population: usize,
        /// Probability `q` of each client in each round.
        probability: SamplingProbability,
    },
    /// See [`Sampling::FixedSize`].
    FixedSize {
        /// Number of clients `N`.
        population: usize,
        /// Number of clients drawn.
        size: usize,
    },
}

impl CohortSampler {
    /// A sampler of `clients_per_round` clients, in expectation (Poisson) or exactly.
    ///
    /// # Errors
    /// [`SimError::Cohort`] if the population is empty or smaller than the cohort, or if a cohort
    /// of fixed size is not a whole number.
    pub fn new(
        sampling: Sampling,
        population: usize,
        clients_per_round: f64,
    ) -> Result<Self, SimError> {
        let refuse = |reason| SimError::Cohort { clients_per_round, population, reason };
        if population == 0 {
            return Err(refuse("the population has no clients"));
        }
        if !(clients_per_round > 0.0 && clients_per_round <= population as f64) {
            return Err(refuse(
                "clients per round must be above 0 and at most the number of clients",
            ));
        }
        match sampling {
            Sampling::Poisson => {
                let probability =
                    SamplingProbability::new(clients_per_round / population as f64)
                        .map_err(|_| refuse("the sampling probability must lie in [0, 1]"))?;
                Ok(Self::Poisson { population, probability })
            }
            Sampling::FixedSize if clients_per_round.fract() > 0.0 => {
                Err(refuse("a cohort of fixed size is a whole number of clients"))
            }
            Sampling::FixedSize => {
                Ok(Self::FixedSize { population, size: clients_per_round as usize })
            }
        }
    }

    /// Indices of the clients of one round, ascending and distinct. The law is exactly the one that
    /// is priced if the generator's bits are uniform; see the module `draw`.
    pub fn sample(&self, rng: &mut impl Rng) -> Vec<usize> {
        match *self {
            Self::Poisson { population, probability } if made(Mistake::PoissonDrawnFixed) => {
                let size = (probability.get() * population as f64).round() as usize;
                draw::fixed_size(population, size, rng)
            }
            Self::Poisson { population, probability } => {
                draw::poisson(population, probability.get(), rng)
            }
            Self::FixedSize { population, size } => draw::fixed_size(population, size, rng),
        }
    }

    /// What a release costs whose cohort this sampler drew.
    #[must_use]
    pub fn amplify(&self, event: DpEvent) -> DpEvent {
        match *self {
            Self::Poisson { probability, .. } => event.poisson_sampled(probability),
            Self::FixedSize { population, size } if made(Mistake::FixedSizeAtPoissonPrice) => {
                match SamplingProbability::new(size as f64 / population as f64) {
                    Ok(probability) => event.poisson_sampled(probability),
                    Err(_) => event,
                }
            }
            Self::FixedSize { population, size } => {
                event.fixed_size_sampled(population as u64, size as u64)
            }
        }
    }

    /// The neighbouring relation that the price speaks of.
    #[must_use]
    pub fn relation(&self) -> Neighboring {
        match self {
            Self::Poisson { .. } => Neighboring::AddOrRemoveOne,
            Self::FixedSize { .. } if made(Mistake::FixedSizeAtPoissonPrice) => {
                Neighboring::AddOrRemoveOne
            }
            Self::FixedSize { .. } => Neighboring::ReplaceOne,
        }
    }

    /// The sampling in words, for a privacy statement.
    #[must_use]
    pub fn describe(&self) -> String {
        match *self {
            Self::Poisson { population, probability } => format!(
                "each of {population} users takes part in each round with probability {:.6}, independently (Poisson sampling)",
                probability.get()
            ),
            Self::FixedSize { population, size } => {
                format!(
                    "exactly {size} of {population} users in each round, drawn without replacement"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha20Rng;

    use super::*;

    fn poisson_sampler(population: usize, clients: f64) -> CohortSampler {
        CohortSampler::new(Sampling::Poisson, population, clients).expect("a sound sampler")
    }

    /// What the sampler gives is what `draw` draws: sizes are binomial, their mean and variance
    /// within five standard errors (a false alarm about once in a million seeds).
    #[test]
    fn cohorts_are_poisson_sampled() {
        for (population, expected) in [(3383, 50.0), (1000, 1.0), (200, 60.0)] {
            let sampler = poisson_sampler(population, expected);
            let mut rng = ChaCha20Rng::seed_from_u64(3);
            let rounds = 4000.0;
            let sizes: Vec<f64> =
                (0..4000).map(|_| sampler.sample(&mut rng).len() as f64).collect();
            let variance = expected * (1.0 - expected / population as f64);
            let mean = sizes.iter().sum::<f64>() / rounds;
            assert!((mean - expected).abs() < 5.0 * (variance / rounds).sqrt(), "{mean}");
            let spread = sizes.iter().map(|size| (size - expected).powi(2)).sum::<f64>() / rounds;
            assert!((spread / variance - 1.0).abs() < 5.0 * (3.0 / rounds).sqrt(), "{spread}");
        }
    }

    #[test]
    fn everybody_takes_part_at_rate_one() {
        let sampler = poisson_sampler(7, 7.0);
        let cohort = sampler.sample(&mut ChaCha20Rng::seed_from_u64(0));
        assert_eq!(cohort, [0, 1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn a_fixed_cohort_has_its_size_and_is_priced_as_such() {
        let sampler = CohortSampler::new(Sampling::FixedSize, 100, 12.0).expect("sound");
        let cohort = sampler.sample(&mut ChaCha20Rng::seed_from_u64(1));
        assert_eq!(cohort.len(), 12);
        assert!(cohort.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(sampler.relation(), Neighboring::ReplaceOne);
        assert_ne!(
            sampler.amplify(DpEvent::NonPrivate),
            poisson_sampler(100, 12.0).amplify(DpEvent::NonPrivate)
        );
    }

    #[test]
    fn impossible_cohorts_are_refused() {
        for (sampling, population, clients) in [
            (Sampling::Poisson, 10, 10.5),
            (Sampling::Poisson, 10, 0.0),
            (Sampling::Poisson, 10, f64::NAN),
            (Sampling::Poisson, 0, 1.0),
            (Sampling::FixedSize, 10, 2.5),
            (Sampling::FixedSize, 10, 11.0),
        ] {
            let error = CohortSampler::new(sampling, population, clients).expect_err("refused");
            assert!(matches!(error, SimError::Cohort { .. }), "{error}");
        }
    }
}
