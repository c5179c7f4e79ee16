//! The audits on the plain Gaussian mechanism, whose ε is known.

use dp_agg::{
    Aggregator, Clipping, GaussianAggregator, GaussianConfig, NoiseSource, SecretSum, Zeroing,
};
use fed_sim::audit::one_run::Guesses;
use fed_sim::audit::one_shot::{estimate, estimate_from_both};
use fed_sim::audit::{Canaries, Normal, epsilon_between};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha20Rng;

const DELTA: f64 = 1e-5;

/// ε of the Gaussian mechanism with this noise multiplier, exactly.
fn truth(noise_multiplier: f64) -> f64 {
    let shifted = Normal { mean: noise_multiplier.recip(), sd: 1.0 };
    epsilon_between(Normal { mean: 0.0, sd: 1.0 }, shifted, DELTA)
}

/// A key for one purpose.
fn key(seed: u64, purpose: u64) -> [u8; 32] {
    let mut key = *b"________________________fed-dp/1";
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&purpose.to_le_bytes());
    key[16..24].fill(0);
    key
}

/// One release of the sum of the canaries that are in: their cosines with it.
fn cosines(noise_multiplier: f64, dim: usize, included: &[bool], seed: u64) -> Vec<f64> {
    let mut aggregator = GaussianAggregator::new(GaussianConfig {
        noise_multiplier,
        clients_per_round: 1.0,
        zeroing: Zeroing::Off,
        clipping: Clipping::Fixed { clip_norm: 1.0 },
    })
    .expect("in range");
    let canaries = Canaries::new(&key(seed, 3), included.len(), dim);
    let mut sum = SecretSum::open(&aggregator.rule(), dim);
    let mut update = vec![0.0; dim];
    for (canary, _) in included.iter().enumerate().filter(|(_, included)| **included) {
        canaries.write(canary, 1.0, &mut update);
        sum.add(&update, 1);
    }
    let source = NoiseSource::Simulation { key: key(seed, 4) };
    let noise = aggregator.noise(dim).draw(&source).expect("seeded");
    let release = aggregator.release(sum, noise).expect("this round's");
    canaries.cosines(&release.mean)
}

/// The paper's own check (its Section 3 and Table 1): the estimate lands on the true ε, here for
/// ε = 1, 3 and 10 in 60,000 dimensions with 300 canaries. With so many the estimate of a mean has
/// a standard error of 0.058 null deviations, and the interval is asked to hold the truth at a
/// confidence of 99.9 per cent.
#[test]
fn the_one_shot_estimate_lands_on_the_truth() {
    for (noise_multiplier, epsilon) in [(3.7306, 1.0), (1.3906, 3.0), (0.4999, 10.0)] {
        assert!(
            (truth(noise_multiplier) / epsilon - 1.0).abs() < 1e-3,
            "{}",
            truth(noise_multiplier)
        );
        let dim = 60_000;
        let all = cosines(noise_multiplier, dim, &[true; 300], 5);
        let audit = estimate(&all, dim, DELTA, 0.999).expect("enough canaries");
        assert!(
            (audit.interval[0].get()..=audit.interval[1].get()).contains(&epsilon),
            "{audit:?}"
        );
        assert!((audit.epsilon.get() - epsilon).abs() < 0.25 * epsilon + 0.35, "{audit:?}");
    }
}

/// Canaries that were left out show the law without them: the estimate from both sides agrees.
#[test]
fn canaries_that_were_left_out_give_the_same_estimate() {
    let dim = 60_000;
    let included: Vec<bool> = (0..3000).map(|canary| canary % 2 == 0).collect();
    let all = cosines(1.3906, dim, &included, 6);
    let side = |wanted: bool| -> Vec<f64> {
        all.iter().zip(&included).filter(|(_, i)| **i == wanted).map(|(c, _)| *c).collect()
    };
    let known = estimate(&side(true), dim, DELTA, 0.95).expect("enough");
    let fitted = estimate_from_both(&side(true), &side(false), DELTA, 0.95).expect("enough");
    assert!(
        (known.epsilon.get() - fitted.epsilon.get()).abs() < 0.8,
        "{known:?} against {fitted:?}"
    );
    let nothing = estimate(&side(false), dim, DELTA, 0.95).expect("enough");
    assert!(nothing.epsilon.get() < 0.7 && nothing.interval[0].get() < 0.3, "{nothing:?}");
    assert!(estimate(&[0.1, 0.2], dim, DELTA, 0.95).is_none());
}

/// The bound from one run is below the truth, on average far above nothing, and above the truth
/// of a mechanism with ten times the noise: such a claim is refuted.
#[test]
fn the_one_run_bound_stays_below_the_truth_and_refutes_a_false_claim() {
    let (dim, noise_multiplier) = (40_000, 0.5);
    let truth_of_it = truth(noise_multiplier);
    let mut best: f64 = 0.0;
    for seed in 0..3 {
        let mut coins = ChaCha20Rng::from_seed(key(seed, 6));
        let included: Vec<bool> = (0..800).map(|_| coins.random()).collect();
        let scores: Vec<(f64, bool)> = cosines(noise_multiplier, dim, &included, 20 + seed)
            .into_iter()
            .zip(included.iter().copied())
            .collect();
        let guesses = Guesses::by_score(&scores, 100, 100);
        let bound = guesses.lower_bound(DELTA, 0.95);
        assert!(bound < truth_of_it, "{bound} above the truth {truth_of_it}: {guesses:?}");
        best = best.max(bound);
    }
    let claimed = truth(10.0 * noise_multiplier);
    assert!(best > claimed, "{best} does not refute {claimed}");
    assert!(best > 1.5, "{best}");
}
