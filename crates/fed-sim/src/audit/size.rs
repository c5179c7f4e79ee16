//! How many canaries a claim asks for.

use std::num::NonZeroU64;

use dp_accounting::Ledger;

use super::curve::Claim;
use super::one_run::Ways;
use crate::cohort::CohortSampler;
use crate::config::RunConfig;
use crate::error::SimError;
use crate::plan;

/// The least and the most that are chosen: `dim / 8` bytes each, and an inner product a round.
pub const CHOICE: [usize; 2] = [1_000, 20_000];

/// Numbers between them, each about a factor √2 above the one before.
const NUMBERS: [usize; 9] = [1_000, 1_400, 2_000, 2_800, 4_000, 5_600, 8_000, 12_000, 20_000];

/// The variance that canaries may add to a mean, as a share of that of the noise.
const DISTURBANCE: f64 = 0.02;

/// The least number of canaries with which the audit of a run in `dim` dimensions could refute what
/// the run is going to claim, if there were no noise at all; the least number of all where that
/// cannot be reached, or would disturb the model. Of the canaries that are in, one is `seen` with
/// this probability.
///
/// # Errors
/// [`SimError`] if the run has no price.
pub(super) fn choose(
    config: &RunConfig,
    sampler: &CohortSampler,
    dim: usize,
    seen: f64,
    confidence: f64,
) -> Result<usize, SimError> {
    let mut ledger = Ledger::new();
    let event = sampler.amplify(plan::aggregator(config)?.event());
    ledger.record_many(event, NonZeroU64::from(config.rounds));
    let claim = Claim::of(config, sampler.relation(), &ledger)?;
    let CohortSampler::Poisson { probability, .. } = *sampler else { return Ok(CHOICE[0]) };
    // Half of the canaries are in, each drawn with the clients' probability, and each adds the
    // square of a clip norm to the square of a sum whose noise is `z·√dim` clip norms long.
    let noise = config.noise_multiplier.get().powi(2) * dim as f64;
    let most = DISTURBANCE * noise / (0.5 * probability.get());
    Ok(least(&claim, most, |count| {
        Ways::new(count, seen, confidence).in_dimensions(dim, probability.get())
    }))
}

/// The least number with which `claim` could be refuted in these ways, if it is at most `most`;
/// else the least of all.
fn least(claim: &Claim, most: f64, ways: impl Fn(usize) -> Ways) -> usize {
    let bearable = |count: usize| count == CHOICE[0] || count as f64 <= most;
    let enough = |count: usize| bearable(count) && ways(count).could_refute(claim);
    NUMBERS.into_iter().find(|&count| enough(count)).unwrap_or(CHOICE[0])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::curve::Curve;
    use dp_accounting::Epsilon;

    /// A Gaussian mechanism of ε = 9.9 at δ = 1e-5, everybody in sight: a thousand right guesses do
    /// not contradict it, two thousand do.
    #[test]
    fn the_claim_decides_how_many_there_are() {
        let phi = |x: f64| 0.5 * statrs::function::erf::erfc(-x / std::f64::consts::SQRT_2);
        let mu = 1.98;
        let pairs = (0..200).map(|i| {
            let epsilon = f64::from(i) * 0.1;
            let far = epsilon.exp() * phi(-0.5 * mu - epsilon / mu);
            (epsilon, (phi(0.5 * mu - epsilon / mu) - far).max(0.0))
        });
        let claim = |curve| Claim { epsilon: Epsilon::new(9.9).expect("in range"), curve };
        let ways = |count| Ways::new(count, 1.0, 0.95);
        let gaussian = claim(Curve::new(pairs));
        let needed = least(&gaussian, f64::INFINITY, ways);
        assert!((1_400..=2_000).contains(&needed), "{needed}");
        // More than the model bears, or out of reach: the least will do, and the report says so.
        assert_eq!(least(&gaussian, needed as f64 - 1.0, ways), CHOICE[0]);
        assert_eq!(least(&claim(Curve::new([(60.0, 0.0)])), f64::INFINITY, ways), CHOICE[0]);
        assert!(!ways(CHOICE[0]).could_refute(&gaussian));
        assert!(ways(needed).could_refute(&gaussian));
    }
}
