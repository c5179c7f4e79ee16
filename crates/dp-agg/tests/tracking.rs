//! The moving clip norm: where it settles, and which one scales the noise.

use dp_agg::{
    AdaptiveClipping, Aggregator, Clipping, GaussianAggregator, GaussianConfig, NoiseSource,
    Release, SecretSum, Zeroing,
};

const CLIENTS: usize = 101;

fn aggregator(noise_multiplier: f64, initial: f64, target: f64) -> GaussianAggregator {
    let clipping = AdaptiveClipping { initial, target, ..Default::default() };
    GaussianAggregator::new(GaussianConfig {
        noise_multiplier,
        clients_per_round: CLIENTS as f64,
        zeroing: Zeroing::Off,
        clipping: Clipping::Adaptive(clipping),
    })
    .expect("in range")
}

fn round(aggregator: &mut GaussianAggregator, dim: usize, norms: &[f32], key: u8) -> Release {
    let mut sum = SecretSum::open(&aggregator.rule(), dim);
    for &norm in norms {
        let mut update = vec![0.0; dim];
        update[0] = norm;
        sum.add(&update, 1);
    }
    let source = NoiseSource::Simulation { key: [key; 32] };
    let noise = aggregator.noise(dim).draw(&source).expect("a seeded draw cannot fail");
    aggregator.release(sum, noise).expect("the sum was opened for this round")
}

/// Norms from `e^-2` to `e^2`, equally spaced in the logarithm: quantile `p` is `e^(4p − 2)`.
fn norms() -> Vec<f32> {
    (0..CLIENTS).map(|place| (4.0 * place as f32 / (CLIENTS - 1) as f32 - 2.0).exp()).collect()
}

#[test]
fn it_settles_at_its_quantile_from_far_above_and_from_far_below() {
    for target in [0.3, 0.5, 0.8] {
        for initial in [1e-4, 1e4] {
            let mut aggregator = aggregator(0.0, initial, target);
            // At most 0.2·p or 0.2·(1 − p) in the logarithm a round, over a way of about 10.
            for _ in 0..400 {
                let _ = round(&mut aggregator, 1, &norms(), 0);
            }
            let off = aggregator.clip_norm().ln() - (4.0 * target - 2.0);
            assert!(off.abs() < 0.06, "target {target} from {initial}: off by {off}");
        }
    }
}

#[test]
fn it_still_does_under_noise() {
    let mut aggregator = aggregator(1.0, 1e-2, 0.5);
    let mut settled = Vec::new();
    for index in 0..250_u8 {
        let _ = round(&mut aggregator, 1, &norms(), index);
        if index >= 150 {
            settled.push(aggregator.clip_norm().ln());
        }
    }
    let mean = settled.iter().sum::<f64>() / settled.len() as f64;
    assert!(mean.abs() < 0.15, "settled at {mean} instead of 0");
}

/// The step of one round is at most `exp(r · max(p, 1 − p))`.
#[test]
fn it_moves_by_no_more_than_a_tenth_a_round() {
    let mut aggregator = aggregator(0.0, 0.1, 0.5);
    let release = round(&mut aggregator, 1, &[9.0; CLIENTS], 0);
    let grown = release.measurements.next_clip_norm.expect("it moves") / 0.1;
    assert!((grown / 0.1_f64.exp() - 1.0).abs() < 1e-12, "{grown}");
}

/// With everybody clipped the norm grows by ten per cent a round; the noise of that round is
/// scaled by the norm before. 200,000 coordinates tell deviations apart to 0.16 per cent.
#[test]
fn noise_is_scaled_by_the_norm_that_clipped() {
    let dim = 200_000;
    let mut aggregator = aggregator(1.0, 0.1, 0.5);
    for key in 0..3 {
        let release = round(&mut aggregator, dim, &[50.0; CLIENTS], key);
        let used = release.measurements.clip_norm.expect("there is one");
        let next = release.measurements.next_clip_norm.expect("it moves");
        assert!(next > 1.08 * used, "the norms must differ for this to tell anything");
        let squares: f64 = release.mean[1..].iter().map(|&mean| f64::from(mean).powi(2)).sum();
        let stddev = (squares / (dim - 1) as f64).sqrt();
        let expected = aggregator.split().values() * used / CLIENTS as f64;
        assert!((stddev / expected - 1.0).abs() < 0.008, "{stddev} instead of {expected}");
    }
}
