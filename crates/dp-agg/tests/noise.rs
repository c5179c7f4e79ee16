//! The simulation noise: its law, its independence, and that it stays what it is.

use std::collections::HashSet;

use dp_agg::{
    AdaptiveClipping, Aggregator, Clipping, GaussianAggregator, GaussianConfig, NoiseMode,
    NoiseSource, Release, SecretSum, Zeroing,
};
use statrs::distribution::{ContinuousCDF, Normal};

/// A release of nobody: noise alone, of deviation 1 where the clip norm is 1 and one client is
/// expected.
fn noise_alone(dim: usize, source: &NoiseSource) -> Release {
    let mut aggregator = GaussianAggregator::new(GaussianConfig {
        noise_multiplier: 1.0,
        clients_per_round: 1.0,
        zeroing: Zeroing::Off,
        clipping: Clipping::Fixed { clip_norm: 1.0 },
    })
    .expect("in range");
    let sum = SecretSum::open(&aggregator.rule(), dim);
    let noise = aggregator.noise(dim).draw(source).expect("there is randomness");
    aggregator.release(sum, noise).expect("the sum was opened for this round")
}

fn seeded(dim: usize, key: u8) -> Vec<f32> {
    noise_alone(dim, &NoiseSource::Simulation { key: [key; 32] }).mean
}

/// Largest distance of the empirical distribution of `draws` from the standard normal's.
fn kolmogorov_smirnov(draws: &[f32]) -> f64 {
    let normal = Normal::standard();
    let mut draws: Vec<f64> = draws.iter().map(|&draw| f64::from(draw)).collect();
    draws.sort_by(f64::total_cmp);
    let count = draws.len() as f64;
    draws.iter().enumerate().fold(0.0, |largest: f64, (rank, &draw)| {
        let expected = normal.cdf(draw);
        let below = expected - rank as f64 / count;
        let above = (rank + 1) as f64 / count - expected;
        largest.max(below).max(above)
    })
}

/// Critical distance at a false-alarm rate of one in a million.
fn critical(count: usize) -> f64 {
    ((2.0_f64 / 1e-6).ln() / 2.0 / count as f64).sqrt()
}

#[test]
fn it_is_gaussian() {
    for key in 0..5 {
        let draws = seeded(200_000, key);
        let distance = kolmogorov_smirnov(&draws);
        assert!(distance < critical(draws.len()), "key {key}: {distance}");
    }
}

#[test]
fn release_noise_is_gaussian_too() {
    let release = noise_alone(200_000, &NoiseSource::Release);
    assert_eq!(release.noise_mode, Some(NoiseMode::Release));
    let distance = kolmogorov_smirnov(&release.mean);
    assert!(distance < critical(release.mean.len()), "{distance}");
}

#[test]
fn release_noise_is_never_the_same_twice() {
    let one = noise_alone(100, &NoiseSource::Release);
    let other = noise_alone(100, &NoiseSource::Release);
    assert!(one.mean.iter().zip(&other.mean).all(|(one, other)| one.to_bits() != other.to_bits()));
}

/// Changing these values is allowed, and is announced in the changelog.
#[test]
fn the_first_draws_stay_what_they_are() {
    let draws = seeded(8194, 42);
    let pinned = vec![draws[0], draws[1], draws[2], draws[8191], draws[8192], draws[8193]];
    assert_eq!(pinned, vec![2.3355715, -0.56007, 0.1251626, 0.7291786, -0.03440804, 0.99000496]);

    let mut aggregator = GaussianAggregator::new(GaussianConfig {
        noise_multiplier: 1.0,
        clients_per_round: 100.0,
        zeroing: Zeroing::Off,
        clipping: Clipping::Adaptive(AdaptiveClipping::default()),
    })
    .expect("in range");
    let sum = SecretSum::open(&aggregator.rule(), 1);
    let source = NoiseSource::Simulation { key: [42; 32] };
    let noise = aggregator.noise(1).draw(&source).expect("a seeded draw cannot fail");
    let release = aggregator.release(sum, noise).expect("opened for this round");
    let count = (release.measurements.unclipped_share.expect("it moves") - 0.5) * 100.0;
    assert!((count + 5.690_114).abs() < 1e-5, "{count}");
}

#[test]
fn any_number_of_threads_draws_the_same() {
    let draw = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        pool.expect("a few threads").install(|| seeded(100_000, 5))
    };
    let one = draw(1);
    assert_eq!(one, draw(2));
    assert_eq!(one, draw(3));
}

/// A longer model begins with the noise of a shorter one: chunks have streams of their own.
#[test]
fn streams_belong_to_chunks() {
    assert_eq!(seeded(30_000, 5)[..10_000], seeded(10_000, 5));
}

/// No stream serves two chunks, two rounds or two keys: a window of four draws never comes again.
#[test]
fn no_stream_is_used_twice() {
    let mut seen = HashSet::new();
    for key in 0..8 {
        let draws = seeded(65_536, key);
        for window in draws.chunks_exact(4) {
            let window: Vec<u32> = window.iter().map(|draw| draw.to_bits()).collect();
            assert!(seen.insert(window), "key {key}");
        }
    }
    assert_eq!(seen.len(), 8 * 65_536 / 4);
}

/// Neighbouring chunks and neighbouring keys are uncorrelated: over 65,536 pairs a correlation
/// has the standard error 0.0039, and five of those are a false alarm in two million.
#[test]
fn neighbouring_streams_are_uncorrelated() {
    let correlation = |one: &[f32], other: &[f32]| {
        let products = one.iter().zip(other).map(|(a, b)| f64::from(*a) * f64::from(*b));
        products.sum::<f64>() / one.len() as f64
    };
    let draws = seeded(65_536 + 8192, 1);
    let other = seeded(65_536, 2);
    for (name, value) in [
        ("next coordinate", correlation(&draws[..65_536], &draws[1..65_537])),
        ("next chunk", correlation(&draws[..65_536], &draws[8192..])),
        ("next key", correlation(&draws[..65_536], &other)),
    ] {
        assert!(value.abs() < 5.0 * 0.0039, "{name}: {value}");
    }
}

/// The noise on the count is none of the noises on the coordinates: else the released clip norm
/// would give one of them away.
#[test]
fn the_count_has_a_stream_of_its_own() {
    for key in 0..20 {
        let mut aggregator = GaussianAggregator::new(GaussianConfig {
            noise_multiplier: 1.0,
            clients_per_round: 100.0,
            zeroing: Zeroing::Off,
            clipping: Clipping::Adaptive(AdaptiveClipping { initial: 1.0, ..Default::default() }),
        })
        .expect("in range");
        let multiplier = aggregator.split().values();
        let deviation = aggregator.split().count_stddev();
        let sum = SecretSum::open(&aggregator.rule(), 20_000);
        let noise = aggregator.noise(20_000).draw(&NoiseSource::Simulation { key: [key; 32] });
        let release = aggregator.release(sum, noise.expect("seeded")).expect("this round's");
        let share = release.measurements.unclipped_share.expect("it moves");
        let on_count = (share - 0.5) * 100.0 / deviation;
        for value in release.mean {
            let on_value = f64::from(value) * 100.0 / multiplier;
            // The grid of the count has steps of 2^-20 clients; two of 400,000 normal draws come
            // this close to a given one about once in two thousand tests.
            assert!((on_value - on_count).abs() > 1e-9, "key {key}: {on_value}");
        }
    }
}
