//! What one client can do to a release, and what a release may depend on.
//!
//! The exact statement, in whole steps of the grid, is proven beside the sum itself (`src/sum/`);
//! here it is seen from outside, through releases without noise.

use dp_agg::{
    AdaptiveClipping, Aggregator, Clipping, GaussianAggregator, GaussianConfig, NoiseSource,
    NoisedZeroing, Release, SecretSum, Zeroing,
};
use proptest::prelude::*;

fn aggregator(clipping: Clipping, clients_per_round: f64) -> GaussianAggregator {
    GaussianAggregator::new(GaussianConfig {
        noise_multiplier: 0.0,
        clients_per_round,
        zeroing: Zeroing::Constant { threshold: 1e20, magnitude: Default::default() },
        clipping,
    })
    .expect("in range")
}

fn release(mut aggregator: GaussianAggregator, updates: &[Vec<f32>]) -> Release {
    let dim = updates.first().map_or(5, Vec::len);
    let mut sum = SecretSum::open(&aggregator.rule(), dim);
    for update in updates {
        sum.add(update, 1);
    }
    let source = NoiseSource::Simulation { key: [0; 32] };
    let noise = aggregator.noise(dim).draw(&source).expect("a seeded draw cannot fail");
    aggregator.release(sum, noise).expect("the sum was opened for this round")
}

fn distance(one: &[f32], other: &[f32]) -> f64 {
    let squares = one.iter().zip(other).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2));
    squares.sum::<f64>().sqrt()
}

proptest! {
    /// With one expected client the mean is the sum: leaving out any client moves it by at most
    /// the clip norm, up to the last rounding to `f32`.
    #[test]
    fn removing_any_client_moves_the_sum_by_at_most_the_clip_norm(
        updates in prop::collection::vec(prop::collection::vec(any::<f32>(), 20), 1..8),
        place in any::<usize>(),
        clip_norm in 1e-3_f64..1e3,
    ) {
        let all = release(aggregator(Clipping::Fixed { clip_norm }, 1.0), &updates);
        let mut fewer = updates.clone();
        fewer.remove(place % updates.len());
        if fewer.is_empty() {
            fewer.push(vec![0.0; 20]);
        }
        let without = release(aggregator(Clipping::Fixed { clip_norm }, 1.0), &fewer);
        let moved = distance(&all.mean, &without.mean);
        prop_assert!(moved <= clip_norm * (1.0 + 1e-6 * updates.len() as f64), "{moved}");
    }

    /// The centred count, read off the released share, moves by one half.
    #[test]
    fn removing_any_client_moves_the_centred_count_by_one_half(
        updates in prop::collection::vec(prop::collection::vec(-1.0_f32..1.0, 5), 2..8),
        place in any::<usize>(),
    ) {
        let adaptive = Clipping::Adaptive(AdaptiveClipping { initial: 1.0, ..Default::default() });
        let share = |updates: &[Vec<f32>]| {
            let release = release(aggregator(adaptive, 100.0), updates);
            release.measurements.unclipped_share.expect("the clip norm moves")
        };
        let mut fewer = updates.clone();
        fewer.remove(place % updates.len());
        let moved = (share(&updates) - share(&fewer)).abs() * 100.0;
        prop_assert!((moved - 0.5).abs() < 1e-12, "{moved}");
    }
}

/// Whatever a client sends, it moves the centred count behind a noised zeroing threshold by one
/// half: with target 1/2 and rate 1 the threshold's logarithm moves by that over the expected
/// number of clients.
#[test]
fn removing_any_client_moves_the_zeroing_count_by_one_half() {
    let threshold = |updates: &[Vec<f32>]| {
        let zeroing = Zeroing::Noised(NoisedZeroing {
            initial: 1.0,
            target: 0.5,
            learning_rate: 1.0,
            multiplier: 1.0,
            increment: 0.0,
            ..NoisedZeroing::default()
        });
        let aggregator = GaussianAggregator::new(GaussianConfig {
            noise_multiplier: 0.0,
            clients_per_round: 100.0,
            zeroing,
            clipping: Clipping::Fixed { clip_norm: 1.0 },
        })
        .expect("in range");
        let next = release(aggregator, updates).measurements.next_zeroing_threshold;
        next.expect("it moves").ln() * 100.0
    };
    let updates: Vec<Vec<f32>> =
        [0.0, 0.5, 1.0, 2.0, 1e30, f32::NAN, f32::INFINITY].map(|value| vec![value; 4]).into();
    for place in 0..updates.len() {
        let mut fewer = updates.clone();
        fewer.remove(place);
        let moved = (threshold(&updates) - threshold(&fewer)).abs();
        assert!((moved - 0.5).abs() < 1e-9, "client {place} moves it by {moved}");
    }
}

/// A client with many examples weighs no more than one with few: its influence would grow with
/// its data.
#[test]
fn the_number_of_examples_moves_nothing() {
    let clip = Clipping::Fixed { clip_norm: 1.0 };
    let sum_of = |examples: u64| {
        let mut aggregator = aggregator(clip, 1.0);
        let mut sum = SecretSum::open(&aggregator.rule(), 3);
        sum.add(&[3.0, 0.0, 4.0], examples);
        let noise = aggregator.noise(3).draw(&NoiseSource::Simulation { key: [0; 32] });
        aggregator.release(sum, noise.expect("a seeded draw")).expect("opened for this round").mean
    };
    assert_eq!(sum_of(1), sum_of(1000));
    assert_eq!(sum_of(1), sum_of(0));
}

/// Who was there must not show: the divisor is the expected number, a constant.
#[test]
fn the_divisor_is_the_expected_number_of_clients() {
    let clip = Clipping::Fixed { clip_norm: 10.0 };
    let update = vec![1.0, -2.0, 0.5];
    for present in [1, 3, 40] {
        let updates = vec![update.clone(); present];
        let release = release(aggregator(clip, 10.0), &updates);
        for (mean, value) in release.mean.iter().zip(&update) {
            let expected = value * present as f32 / 10.0;
            assert!((mean - expected).abs() <= 1e-6 * expected.abs(), "{mean} {expected}");
        }
    }
}

/// A round that nobody was drawn for is a round: it releases zeros here, noise elsewhere, and
/// leaves the clip norm where it is.
#[test]
fn an_empty_round_is_a_round() {
    let release = release(aggregator(Clipping::default(), 10.0), &[]);
    assert_eq!(release.mean, vec![0.0; 5]);
    assert_eq!(release.measurements.clip_norm, release.measurements.next_clip_norm);
    assert_eq!(release.measurements.unclipped_share, Some(0.5));
    assert_eq!(release.raw.clients, 0);
}
