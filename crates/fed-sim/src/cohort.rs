//! Who takes part in a round, and what that does to the price.
//!
//! The sampler that draws the cohort is the one that wraps the round's event: a cohort of fixed
//! size cannot be paid for at the Poisson rate, because no other value knows how to say
//! "Poisson".

use dp_accounting::{DpEvent, Neighboring, SamplingProbability};
use dp_agg::mistake::{Mistake, made};
use rand::seq::index;
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use crate::error::SimError;

/// Below this sampling probability gaps are drawn instead of one coin a client.
const GAPS_BELOW: f64 = 0.1;

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

    /// Indices of the clients of one round, ascending and distinct. Costs `O(q·N)` for small
    /// cohorts.
    pub fn sample(&self, rng: &mut impl Rng) -> Vec<usize> {
        match *self {
            Self::Poisson { population, probability } if made(Mistake::PoissonDrawnFixed) => {
                let size = (probability.get() * population as f64).round() as usize;
                let mut cohort = index::sample(rng, population, size).into_vec();
                cohort.sort_unstable();
                cohort
            }
            Self::Poisson { population, probability } => {
                poisson(population, probability.get(), rng)
            }
            Self::FixedSize { population, size } => {
                let mut cohort = index::sample(rng, population, size).into_vec();
                cohort.sort_unstable();
                cohort
            }
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

/// Every index below `population` on its own with probability `q`.
fn poisson(population: usize, q: f64, rng: &mut impl Rng) -> Vec<usize> {
    if q >= 1.0 {
        return (0..population).collect();
    }
    if q <= 0.0 {
        return Vec::new();
    }
    if q >= GAPS_BELOW {
        return (0..population).filter(|_| rng.random::<f64>() < q).collect();
    }
    // The number of clients passed over before the next one taken is geometric.
    let log_skip = (-q).ln_1p();
    let mut cohort = Vec::with_capacity((1.2 * q * population as f64) as usize + 8);
    let mut next = 0_usize;
    loop {
        let uniform = 1.0 - rng.random::<f64>(); // (0, 1]
        let gap = (uniform.ln() / log_skip).floor();
        if gap >= (population - next) as f64 {
            return cohort;
        }
        next += gap as usize;
        cohort.push(next);
        next += 1;
        if next == population {
            return cohort;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::{Seed, Stream};

    fn poisson_sampler(population: usize, clients: f64) -> CohortSampler {
        CohortSampler::new(Sampling::Poisson, population, clients).expect("a sound sampler")
    }

    /// Sizes and single clients are binomial: mean and variance within five standard errors
    /// (a false alarm about once in a million seeds), on both sides of the gap threshold.
    #[test]
    fn cohorts_are_poisson_sampled() {
        for (population, expected) in [(3383, 50.0), (1000, 1.0), (200, 60.0)] {
            let sampler = poisson_sampler(population, expected);
            let q = expected / population as f64;
            let rounds = 4000;
            let mut sizes = Vec::new();
            let mut taken = vec![0_u32; population];
            for round in 0..rounds {
                let cohort = sampler.sample(&mut Seed(3).rng(Stream::Cohort, round));
                assert!(cohort.windows(2).all(|pair| pair[0] < pair[1]));
                assert!(cohort.iter().all(|&client| client < population));
                cohort.iter().for_each(|&client| taken[client] += 1);
                sizes.push(cohort.len() as f64);
            }
            let n = rounds as f64;
            let variance = population as f64 * q * (1.0 - q);
            let mean = sizes.iter().sum::<f64>() / n;
            assert!((mean - expected).abs() < 5.0 * (variance / n).sqrt(), "{mean}");
            let spread = sizes.iter().map(|size| (size - mean).powi(2)).sum::<f64>() / (n - 1.0);
            assert!((spread / variance - 1.0).abs() < 5.0 * (3.0 / n).sqrt(), "{spread}");
            // Chi-square over clients, normal approximation.
            let each = n * q;
            let chi: f64 = taken
                .iter()
                .map(|&count| (f64::from(count) - each).powi(2) / (each * (1.0 - q)))
                .sum();
            let freedom = population as f64;
            assert!((chi - freedom).abs() < 5.0 * (2.0 * freedom).sqrt(), "{chi}");
        }
    }

    #[test]
    fn everybody_takes_part_at_rate_one() {
        let sampler = poisson_sampler(7, 7.0);
        let cohort = sampler.sample(&mut Seed(0).rng(Stream::Cohort, 0));
        assert_eq!(cohort, [0, 1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn a_fixed_cohort_has_its_size_and_is_priced_as_such() {
        let sampler = CohortSampler::new(Sampling::FixedSize, 100, 12.0).expect("sound");
        let cohort = sampler.sample(&mut Seed(1).rng(Stream::Cohort, 0));
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
