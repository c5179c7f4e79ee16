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
    let enough = NUMBERS.into_iter().find(|&count| {
        let ways = Ways::new(count, seen, confidence).in_dimensions(dim, probability.get());
        let bearable = count == CHOICE[0] || count as f64 <= most;
        bearable && ways.could_refute(&claim)
    });
    Ok(enough.unwrap_or(CHOICE[0]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Experiment;

    /// The tutorial's settings: 3,383 clients, 100 rounds, a network of 199,210 parameters.
    #[test]
    fn the_claim_decides_how_many_there_are() {
        let chosen = |noise: f64, clients: f64| {
            let text = format!(
                "name = \"size\"\nseeds = [1]\nrounds = 100\ndelta = 1e-5\n\
                 [sweep]\nnoise_multipliers = [{noise:?}]\nclients_per_round = [{clients}]\n"
            );
            let experiment = Experiment::parse(&text, "size.toml").expect("sound");
            let config = experiment.runs().remove(0);
            let sampler = plan::sampler(&config, 3383).expect("sound");
            let seen = 1.0 - (1.0 - clients / 3383.0_f64).powi(100);
            choose(&config, &sampler, 199_210, seen, 0.95).expect("a price")
        };
        assert_eq!(chosen(1.2, 120.0), CHOICE[0], "ε = 1.99");
        let needed = chosen(0.5, 50.0);
        assert!((4_000..=CHOICE[1]).contains(&needed), "ε = 9.9: {needed}");
        // Out of reach, or nothing claimed: the least will do, and the report says so.
        assert_eq!((chosen(0.2, 50.0), chosen(0.0, 50.0)), (CHOICE[0], CHOICE[0]));
    }
}
