//! An audit while its run trains.

use dp_agg::{SecretSum, UpdateRule};
use rand::{Rng, RngExt};

use super::canaries::{Canaries, norm};
use super::curve::Claim;
use super::one_run::Ways;
use super::report::AuditReport;
use super::size;
use crate::cohort::{CohortSampler, Sampling};
use crate::config::{AuditConfig, RunConfig};
use crate::error::SimError;
use crate::keys::{Purpose, RunKeys, secret_rng};

/// A canary that is to be clipped is so many times as long as the clip norm.
const LONG: f64 = 2.0;

/// Canaries claim to have so many examples: where that counts for anything, they stand out.
const EXAMPLES: u64 = 100;

/// A canary that is not to be clipped is shorter than the clip norm by the room that rounding
/// needs, and a little more.
const SHORT: f64 = 1.0 - 1e-6;

/// The canaries of a run, and how much every release so far has told about each.
///
/// What is kept of a release is a function of the release alone: an audit looks at nothing that a
/// server could not see, but for the coins, at the very end.
pub struct Audit {
    config: AuditConfig,
    delta: f64,
    clients_per_round: f64,
    probability: f64,
    /// Probability that a canary that is in takes part in a round at least.
    seen: f64,
    sampler: CohortSampler,
    /// Decides the directions.
    key: [u8; 32],
    canaries: Canaries,
    trail: Trail,
}

/// What an audit carries from round to round.
#[derive(Clone, Debug, PartialEq)]
pub struct Trail {
    /// Rounds that were looked at.
    pub rounds: u32,
    /// Which canaries are in. Kept, because with release noise these coins cannot be tossed again:
    /// so a checkpoint tells them, as it tells other things that are not for publication. The
    /// guesses look at [`evidence`](Self::evidence) alone, which is made from releases.
    pub included: Vec<bool>,
    /// The model's parameters before the first round.
    pub initial: Vec<f32>,
    /// The largest cosine of each canary with a release.
    pub largest: Vec<f64>,
    /// The logarithm of how many times as likely the releases are with each canary as without.
    pub evidence: Vec<f64>,
}

/// What the releases told about one canary.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct CanaryRow {
    /// Number of the canary.
    pub canary: usize,
    /// Whether it was in.
    pub included: bool,
    /// Cosine with the move of the model from its first to its last weights.
    pub final_cosine: f64,
    /// Largest cosine with the mean of a round.
    pub largest_cosine: f64,
    /// Logarithm of how many times as likely the means are with it as without.
    pub evidence: f64,
}

impl Audit {
    /// The audit of a run before its first round; `None` if its configuration asks for none.
    ///
    /// # Errors
    /// [`SimError`] if canaries cannot be drawn as the run's clients are.
    pub fn new(
        config: &RunConfig,
        sampler: &CohortSampler,
        initial: &[f32],
        keys: &RunKeys,
    ) -> Result<Option<Self>, SimError> {
        let Some(audit) = config.audit else { return Ok(None) };
        let CohortSampler::Poisson { probability, .. } = *sampler else {
            return Err(SimError::config("[audit]", "needs sampling = \"poisson\""));
        };
        let probability = probability.get();
        let seen = 1.0 - (1.0 - probability).powf(f64::from(config.rounds.get()));
        let count = match audit.canaries {
            Some(count) => count as usize,
            None => size::choose(config, sampler, initial.len(), seen, audit.confidence)?,
        };
        // An attacker may know the canaries, so the seed decides their directions. Of the coins
        // the bound's confidence is a probability: with release noise they are tossed anew in
        // every run. Only its checkpoints know them before its end, for it must go on with them.
        let mut coins = secret_rng(config.noise, keys.round(0, initial).key(Purpose::CanaryCoins))?;
        let key = keys.canary_directions();
        Ok(Some(Self {
            config: audit,
            delta: config.delta.get(),
            clients_per_round: config.clients_per_round,
            probability,
            seen,
            sampler: canary_sampler(count, probability)?,
            key,
            canaries: Canaries::new(&key, count, initial.len()),
            trail: Trail {
                rounds: 0,
                included: (0..count).map(|_| coins.random()).collect(),
                initial: initial.to_vec(),
                largest: vec![-1.0; count],
                evidence: vec![0.0; count],
            },
        }))
    }

    /// The canaries of one round, put through the rule and summed: drawn by the same sampler and
    /// with the same probability as the clients.
    ///
    /// Every other canary is a little shorter than the clip norm and the rest are twice as long,
    /// so that together they do not pull at a clip norm that follows the median.
    pub fn sum(&self, rule: &UpdateRule, rng: &mut impl Rng) -> SecretSum {
        let mut sum = SecretSum::open(rule, self.canaries.dim());
        let Some(clip_norm) = rule.clip_norm else { return sum };
        let mut update = vec![0.0; self.canaries.dim()];
        for canary in self.sampler.sample(rng) {
            if self.trail.included[canary] {
                let length = if canary % 2 == 0 { SHORT } else { LONG };
                self.canaries.write(canary, length * clip_norm, &mut update);
                sum.add(&update, EXAMPLES);
            }
        }
        sum
    }

    /// Looks at the mean that a round has released, whose updates were clipped to `clip_norm`.
    ///
    /// A canary that took part stands `clip_norm / clients_per_round` far out in its direction, on
    /// a normal noise whose deviation is that of any direction, `|mean| / √dim`. A mean that is
    /// not finite says nothing; neither does one of zeros.
    pub fn observe(&mut self, mean: &[f32], clip_norm: f64) {
        self.trail.rounds += 1;
        let norm = norm(mean);
        if !(norm > 0.0 && norm.is_finite()) {
            return;
        }
        let root = (self.canaries.dim() as f64).sqrt();
        let shift = clip_norm / self.clients_per_round / norm * root;
        let trail = self.trail.largest.iter_mut().zip(&mut self.trail.evidence);
        for (cosine, (largest, evidence)) in self.canaries.cosines(mean).iter().zip(trail) {
            *largest = largest.max(*cosine);
            *evidence += log_likelihood_ratio(cosine * root, shift, self.probability);
        }
    }

    /// What a checkpoint must keep.
    #[must_use]
    pub fn trail(&self) -> &Trail {
        &self.trail
    }

    /// Takes up a saved trail.
    ///
    /// # Errors
    /// A sentence, if it is not one of such an audit.
    pub fn restore(&mut self, trail: Trail) -> Result<(), String> {
        let Trail { included, initial, largest, evidence, .. } = &trail;
        let count = included.len();
        if self.config.canaries.is_none() && count > 0 && count != self.canaries.count() {
            // How many the claim asks for is decided once: another version may see it otherwise.
            self.sampler =
                canary_sampler(count, self.probability).map_err(|error| error.to_string())?;
            self.canaries = Canaries::new(&self.key, count, self.canaries.dim());
        }
        let counts = [included.len(), largest.len(), evidence.len()];
        if initial.len() != self.canaries.dim() || counts != [self.canaries.count(); 3] {
            return Err("its audit has other canaries".to_owned());
        }
        self.trail = trail;
        Ok(())
    }

    /// What the releases told about every canary, where the model has these parameters now.
    #[must_use]
    pub fn rows(&self, params: &[f32]) -> Vec<CanaryRow> {
        // The server subtracts an update, so a canary pulls the model away from itself.
        let moved: Vec<f32> =
            self.trail.initial.iter().zip(params).map(|(initial, now)| initial - now).collect();
        let finite = norm(&moved).is_finite();
        let cosines =
            if finite { self.canaries.cosines(&moved) } else { vec![0.0; self.canaries.count()] };
        cosines
            .into_iter()
            .enumerate()
            .map(|(canary, final_cosine)| CanaryRow {
                canary,
                included: self.trail.included[canary],
                final_cosine,
                largest_cosine: self.trail.largest[canary],
                evidence: self.trail.evidence[canary],
            })
            .collect()
    }

    /// What the audit found, beside what was proven of the same releases.
    #[must_use]
    pub fn report(&self, params: &[f32], claim: &Claim) -> AuditReport {
        let rows = self.rows(params);
        let Self { config, delta, trail, .. } = self;
        let ways = Ways::new(rows.len(), self.seen, config.confidence)
            .in_dimensions(self.canaries.dim(), self.probability);
        let confidence = config.confidence;
        AuditReport::new(&rows, &ways, trail.rounds, trail.initial.len(), *delta, confidence, claim)
    }
}

/// Draws canaries as the clients are drawn.
fn canary_sampler(count: usize, probability: f64) -> Result<CohortSampler, SimError> {
    CohortSampler::new(Sampling::Poisson, count, probability * count as f64)
}

/// `ln(1 − q + q·exp(s·y − s²/2))`: how much more likely the normal number `y` is if its mean is
/// `s` with probability `q` than if it is 0.
fn log_likelihood_ratio(y: f64, s: f64, q: f64) -> f64 {
    let ratio = s * y - 0.5 * s * s;
    if q >= 1.0 {
        ratio
    } else if ratio > 0.0 {
        ratio + (q + (1.0 - q) * (-ratio).exp()).ln()
    } else {
        (q * ratio.exp_m1()).ln_1p()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_likelihood_ratio_is_that_of_its_formula() {
        for (y, s, q) in [(1.5_f64, 0.8_f64, 0.3_f64), (-2.0, 1.0, 0.01), (0.1, 5.0, 0.5)] {
            let plain = (1.0 - q + q * (s * y - 0.5 * s * s).exp()).ln();
            assert!((log_likelihood_ratio(y, s, q) - plain).abs() < 1e-12);
        }
        assert!((log_likelihood_ratio(3.0, 2.0, 1.0) - 4.0).abs() < 1e-12);
        // Without overflow, however plain the sight.
        let plain = log_likelihood_ratio(1e4, 1e4, 0.01);
        assert!((plain / (0.5e8 + 0.01_f64.ln()) - 1.0).abs() < 1e-9, "{plain}");
        assert!((log_likelihood_ratio(-1e4, 1e4, 0.01) - 0.99_f64.ln()).abs() < 1e-12);
    }
}
