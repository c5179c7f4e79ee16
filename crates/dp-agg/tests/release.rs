//! Noise through the aggregator, in both modes: what is drawn is random, enough, and never shared.
//!
//! Bars are at five standard errors or at false-alarm rates of one in a million; release draws
//! cannot be repeated, so a bar that is passed once in a lifetime would be a nuisance.

use std::collections::HashSet;

use dp_agg::{
    AdaptiveClipping, AggregateError, Aggregator, Clipping, GaussianAggregator, GaussianConfig,
    Grid, NoiseSource, NoiseSpec, NoisedZeroing, QuantileUpdate, SecretSum, Zeroing,
};
use proptest::prelude::*;
use statrs::distribution::{ContinuousCDF, Normal};

const CLIENTS: f64 = 100.0;

/// An aggregator with both counts, whose rates of zero keep every round like the first.
fn three_releases() -> GaussianAggregator {
    GaussianAggregator::new(GaussianConfig {
        noise_multiplier: 1.0,
        clients_per_round: CLIENTS,
        zeroing: Zeroing::Noised(NoisedZeroing {
            target: 0.5,
            multiplier: 1.0,
            increment: 0.0,
            ..NoisedZeroing::default()
        }),
        clipping: Clipping::Adaptive(AdaptiveClipping {
            initial: 1.0,
            learning_rate: 0.0,
            ..AdaptiveClipping::default()
        }),
    })
    .expect("in range")
}

/// What a round of nobody releases: noise on two coordinates, on the clip count and on the zeroing
/// count, each in deviations.
fn round_of_nobody(source: &NoiseSource) -> [f64; 4] {
    let mut aggregator = three_releases();
    let split = *aggregator.split();
    let sum = SecretSum::open(&aggregator.rule(), 2);
    let noise = aggregator.noise(2).draw(source).expect("there is randomness");
    let release = aggregator.release(sum, noise).expect("this round's");
    let value = |place: usize| f64::from(release.mean[place]) * CLIENTS / split.values();
    let measured = release.measurements;
    let on_clip_count = (measured.unclipped_share.expect("it moves") - 0.5) * CLIENTS;
    let before = measured.zeroing_threshold.expect("there is one");
    let after = measured.next_zeroing_threshold.expect("there is one");
    // The threshold moves by exp(−0.2 (b − 0.5)).
    let on_zeroing_count = -(after / before).ln() / 0.2 * CLIENTS;
    [
        value(0),
        value(1),
        on_clip_count / split.count_stddev(),
        on_zeroing_count / split.zeroing_stddev(),
    ]
}

/// Sources of 4,000 rounds.
fn sources(release: bool) -> impl Iterator<Item = NoiseSource> {
    (0..4000_u32).map(move |round| {
        if release {
            return NoiseSource::Release;
        }
        let mut key = [17; 32];
        key[..4].copy_from_slice(&round.to_le_bytes());
        NoiseSource::Simulation { key }
    })
}

/// Largest distance of the empirical distribution from the standard normal's.
fn kolmogorov_smirnov(mut draws: Vec<f64>) -> f64 {
    let normal = Normal::standard();
    draws.sort_by(f64::total_cmp);
    let count = draws.len() as f64;
    draws.iter().enumerate().fold(0.0, |largest: f64, (rank, &draw)| {
        let expected = normal.cdf(draw);
        largest.max(expected - rank as f64 / count).max((rank + 1) as f64 / count - expected)
    })
}

/// Every one of the four releases of a round has its noise, of the right deviation and shape, and
/// no two share any of it: neither a draw nor its size.
#[test]
fn updates_and_both_counts_have_independent_gaussian_noise_in_either_mode() {
    let names = ["first coordinate", "second coordinate", "clip count", "zeroing count"];
    for release in [false, true] {
        let rounds: Vec<[f64; 4]> =
            sources(release).map(|source| round_of_nobody(&source)).collect();
        let count = rounds.len() as f64;
        let column = |place: usize| rounds.iter().map(move |round| round[place]);
        for (place, name) in names.iter().enumerate() {
            let distance = kolmogorov_smirnov(column(place).collect());
            let bar = ((2.0_f64 / 1e-6).ln() / 2.0 / count).sqrt();
            assert!(distance < bar, "{name}, release {release}: {distance}");
            // A round must not know the next one.
            let next = column(place).zip(column(place).skip(1)).map(|(a, b)| a * b).sum::<f64>();
            let next = next / count;
            assert!(next.abs() < 5.0 / count.sqrt(), "{name}, release {release}: {next}");
        }
        for (one, other) in [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)] {
            let pairs = || column(one).zip(column(other));
            let together = pairs().map(|(a, b)| a * b).sum::<f64>() / count;
            // The deviation of x²y² − 1 is √8.
            let sizes = pairs().map(|(a, b)| a * a * b * b - 1.0).sum::<f64>() / count;
            let what = format!("{} and {}, release {release}", names[one], names[other]);
            assert!(together.abs() < 5.0 / count.sqrt(), "{what}: {together}");
            assert!(sizes.abs() < 5.0 * 8.0_f64.sqrt() / count.sqrt(), "{what}: sizes {sizes}");
        }
    }
}

/// 20,000 releases, and none as another: of keys with 26 bits some pair would be alike.
#[test]
fn no_two_releases_have_the_same_noise() {
    let aggregator = GaussianAggregator::new(GaussianConfig {
        noise_multiplier: 1.0,
        clients_per_round: 1.0,
        zeroing: Zeroing::Off,
        clipping: Clipping::Fixed { clip_norm: 1.0 },
    })
    .expect("in range");
    let mut seen = HashSet::new();
    for _ in 0..20_000 {
        let sum = SecretSum::open(&aggregator.rule(), 3);
        let noise = aggregator.noise(3).draw(&NoiseSource::Release).expect("there is randomness");
        let release = aggregator.clone().release(sum, noise).expect("this round's");
        let bits: Vec<u32> = release.mean.iter().map(|value| value.to_bits()).collect();
        assert!(seen.insert(bits), "a release came twice");
    }
}

/// 2.4 million coordinates, and no window of three draws comes twice: no stream serves two places.
#[test]
fn no_noise_comes_twice_within_a_release_in_either_mode() {
    for source in [NoiseSource::Simulation { key: [5; 32] }, NoiseSource::Release] {
        let mut aggregator = three_releases();
        let dim = 300 * 8192;
        let sum = SecretSum::open(&aggregator.rule(), dim);
        let noise = aggregator.noise(dim).draw(&source).expect("there is randomness");
        let mean = aggregator.release(sum, noise).expect("this round's").mean;
        let mut seen = HashSet::with_capacity(dim / 3);
        for window in mean.chunks_exact(3) {
            assert!(seen.insert([0, 1, 2].map(|place: usize| window[place].to_bits())));
        }
    }
}

proptest! {
    /// The noise on a sum is never below its multiplier times the clip norm, to the last bit.
    #[test]
    fn noise_is_never_below_its_multiplier(z in 1e-6_f64..60_000.0, clip in 1e-30_f64..1e30) {
        let config = GaussianConfig {
            noise_multiplier: z,
            clients_per_round: 10.0,
            zeroing: Zeroing::Off,
            clipping: Clipping::Fixed { clip_norm: clip },
        };
        let stddev = GaussianAggregator::new(config).expect("in range").noise(1).stddev();
        // Fused, the sign of the difference is exact.
        prop_assert!(z.mul_add(clip, -stddev) <= 0.0, "{stddev} for {z} · {clip}");
        prop_assert!(z.mul_add(clip, -stddev.next_down()) > 0.0, "{stddev} for {z} · {clip}");
    }
}

#[test]
fn release_noise_below_a_thousand_steps_is_refused_and_says_what_to_do() {
    let aggregator = |noise_multiplier: f64, count_stddev: Option<f64>| {
        let clipping = Clipping::Adaptive(AdaptiveClipping {
            initial: 1.0,
            count_stddev,
            update: QuantileUpdate::Geometric,
            ..AdaptiveClipping::default()
        });
        GaussianAggregator::new(GaussianConfig {
            noise_multiplier,
            clients_per_round: CLIENTS,
            zeroing: Zeroing::Off,
            clipping,
        })
        .expect("in range")
    };
    let fine = aggregator(1e-6, None).noise(3);
    assert_eq!(fine.check_release(), Ok(()));
    assert!(fine.draw(&NoiseSource::Release).is_ok());

    for (little, what) in [
        (aggregator(9.5e-7, None), "release noise on the sum would"),
        (aggregator(9.5e-7, Some(1e-6)), "release noise on the count behind the clip norm would"),
        (aggregator(1e-3, Some(9.7e-4)), "release noise on the count behind the clip norm would"),
    ] {
        let spec = little.noise(3);
        let error = spec.draw(&NoiseSource::Release).err().expect("too little");
        assert!(matches!(error, AggregateError::TooLittleNoise { .. }), "{error}");
        assert_eq!(spec.check_release(), Err(error.clone()));
        assert!(error.to_string().starts_with(what), "{error}");
        assert!(error.to_string().contains("raise the"), "{error}");
        // For a simulation any noise will do.
        assert!(spec.draw(&NoiseSource::Simulation { key: [1; 32] }).is_ok());
    }
    let grid = Grid::for_clip(1.0);
    let spec = NoiseSpec::new(1, grid, 1.0, 0.0).and_then(|spec| spec.with_zeroing_count(1e-4));
    let error = spec.expect("in range").check_release().expect_err("too little");
    assert!(error.to_string().contains("the count behind the zeroing threshold"), "{error}");
    // No noise at all is no release noise; that nothing is covered is said elsewhere.
    assert_eq!(NoiseSpec::none(1, grid).check_release(), Ok(()));
}

/// Up to 2^22 clients a sum is exact whatever they send, and a round of one more is refused.
#[test]
fn more_clients_than_a_sum_holds_exactly_are_refused() {
    for (clients, holds) in [(1_u32 << 22, true), ((1 << 22) + 1, false)] {
        let mut aggregator = GaussianAggregator::new(GaussianConfig {
            noise_multiplier: 1.0,
            clients_per_round: CLIENTS,
            zeroing: Zeroing::Off,
            clipping: Clipping::Fixed { clip_norm: 1.0 },
        })
        .expect("in range");
        let mut sum = SecretSum::open(&aggregator.rule(), 1);
        for _ in 0..clients {
            sum.add(&[2.0], 1);
        }
        let noise = aggregator.noise(1).draw(&NoiseSource::Simulation { key: [2; 32] });
        let released = aggregator.release(sum, noise.expect("seeded"));
        match released {
            Ok(_) => assert!(holds, "{clients} clients"),
            Err(AggregateError::TooManyClients { clients: told, most }) => {
                assert!(!holds && told == u64::from(clients) && most == 1 << 22);
            }
            Err(other) => panic!("{other}"),
        }
    }
}
