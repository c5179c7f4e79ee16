//! Mechanism and price are one object: the event of a release says what its noise does.

use dp_accounting::{
    Accountant, Delta, DpEvent, Epsilon, Neighboring, RdpAccountant, SamplingProbability,
};
use dp_agg::{
    AdaptiveClipping, AggregateError, Aggregator, Clipping, GaussianAggregator, GaussianConfig,
    Measurements, NoiseSource, NoiseSplit, NoisedZeroing, PlainMean, Release, RobustConfig,
    RobustMean, SecretSum, Uncovered, Weighting, Zeroing,
};
use proptest::prelude::*;

fn aggregator(noise_multiplier: f64, m: f64, clipping: Clipping) -> GaussianAggregator {
    let zeroing = Zeroing::Off;
    GaussianAggregator::new(GaussianConfig {
        noise_multiplier,
        clients_per_round: m,
        zeroing,
        clipping,
    })
    .expect("in range")
}

/// A release of nobody: noise alone.
fn noise_alone(aggregator: &mut dyn Aggregator, dim: usize, key: u8) -> Release {
    let sum = SecretSum::open(&aggregator.rule(), dim);
    let source = NoiseSource::Simulation { key: [key; 32] };
    let noise = aggregator.noise(dim).draw(&source).expect("a seeded draw cannot fail");
    aggregator.release(sum, noise).expect("the sum was opened for this round")
}

/// Multipliers of the Gaussian releases in an event.
fn multipliers(event: &DpEvent) -> Vec<f64> {
    match event {
        DpEvent::Gaussian { noise_multiplier } => vec![noise_multiplier.get()],
        DpEvent::Composed { events } => events.iter().flat_map(multipliers).collect(),
        other => panic!("{other:?} is no Gaussian release"),
    }
}

/// `a·b` as a sum of two floats, without error.
fn product(a: f64, b: f64) -> [f64; 2] {
    [a * b, a.mul_add(b, -(a * b))]
}

/// `[a, a']·[b, b']`, right to some 30 digits.
fn product_of_pairs(a: [f64; 2], b: [f64; 2]) -> [f64; 2] {
    let [high, low] = product(a[0], b[0]);
    let low = low + (a[0] * b[1] + a[1] * b[0]);
    [high + low, low - ((high + low) - high)]
}

proptest! {
    /// Not by a unit in the last place do they cost more: z_v²(c² − z²) ≥ z²c² with c = 2·s_b.
    #[test]
    fn the_split_never_costs_more_than_the_total(z in 0.01_f64..20.0, ratio in 1.001_f64..100.0) {
        let split = NoiseSplit::new(z, 50.0, Some(0.5 * z * ratio)).expect("below the bound");
        let (v, c) = (split.values(), 2.0 * split.count_stddev());
        // c² − z² to twice the digits: the two squares, and their difference.
        let ([c_high, c_low], [z_high, z_low]) = (product(c, c), product(z, z));
        let high = c_high - z_high;
        let back = high + z_high;
        let lost = (c_high - back) - (z_high - (back - high));
        let difference = [high, lost + (c_low - z_low)];
        let [left, left_low] = product_of_pairs(product(v, v), difference);
        let [right, right_low] = product_of_pairs([z_high, z_low], [c_high, c_low]);
        let excess = ((left - right) + (left_low - right_low)) / right;
        prop_assert!((0.0..1e-14).contains(&excess), "{excess:e} for {v}, {c}, {z}");
    }

    /// The two releases of an adaptive round cost together what was asked for.
    #[test]
    fn the_split_composes_to_the_total(z in 0.01_f64..20.0, ratio in 1.001_f64..100.0) {
        let count_stddev = 0.5 * z * ratio;
        let split = NoiseSplit::new(z, 50.0, Some(count_stddev)).expect("below the bound");
        let total = (split.values().powi(-2) + (2.0 * split.count_stddev()).powi(-2)).powf(-0.5);
        prop_assert!((total / z - 1.0).abs() < 1e-12, "{total} for {z}");
        prop_assert!(split.values() >= z);
    }
}

#[test]
fn an_adaptive_round_costs_the_total_and_a_fixed_one_too() {
    let rate = SamplingProbability::new(120.0 / 3383.0).expect("in range");
    let delta = Delta::new(1e-5).expect("in range");
    let epsilon = |event: DpEvent| -> Epsilon {
        let mut accountant = RdpAccountant::new(Neighboring::AddOrRemoveOne);
        accountant.compose(&event.poisson_sampled(rate), 100).expect("supported");
        accountant.epsilon(delta).expect("it converges")
    };
    let mut adaptive = aggregator(1.2, 120.0, Clipping::default());
    let mut fixed = aggregator(1.2, 120.0, Clipping::Fixed { clip_norm: 1.0 });
    let adaptive = noise_alone(&mut adaptive, 3, 1).event;
    let fixed = noise_alone(&mut fixed, 3, 1).event;
    assert_eq!(multipliers(&fixed), vec![1.2]);
    assert_eq!(multipliers(&adaptive).len(), 2);
    let (adaptive, fixed) = (epsilon(adaptive).get(), epsilon(fixed).get());
    assert!((adaptive / fixed - 1.0).abs() < 1e-9, "{adaptive} against {fixed}");
    assert!(adaptive > 1.9 && adaptive < 2.0, "{adaptive}");
}

#[test]
fn without_noise_there_is_no_guarantee() {
    let noised_count = AdaptiveClipping { count_stddev: Some(3.0), ..Default::default() };
    for clipping in
        [Clipping::default(), Clipping::Fixed { clip_norm: 1.0 }, Clipping::Adaptive(noised_count)]
    {
        let mut aggregator = aggregator(0.0, 50.0, clipping);
        assert_eq!(noise_alone(&mut aggregator, 3, 1).event, DpEvent::NonPrivate);
    }
    let mut plain = PlainMean::new(Weighting::Uniform);
    assert_eq!(noise_alone(&mut plain, 3, 1).event, DpEvent::NonPrivate);
}

/// The noise that is measured is the noise that is priced, on the updates and on the count.
///
/// Spread over 200,000 coordinates and over 4,000 counts: a deviation is then known to 0.16 and
/// 1.1 per cent (one standard error), so bars of 0.8 and 5.5 per cent are five of those: a false
/// alarm in two million.
#[test]
fn the_noise_that_is_drawn_is_the_noise_that_is_priced() {
    let (dim, m, clip) = (200_000, 40.0, 0.37);
    // Rate zero: the clip norm stays and every round is alike.
    let still =
        AdaptiveClipping { initial: clip, target: 0.5, learning_rate: 0.0, ..Default::default() };
    let mut aggregator = aggregator(1.5, m, Clipping::Adaptive(still));
    let release = noise_alone(&mut aggregator, dim, 9);
    let priced = multipliers(&release.event);

    let squares = release.mean.iter().map(|&mean| f64::from(mean).powi(2)).sum::<f64>();
    let measured = (squares / dim as f64).sqrt() * m / clip;
    assert!((measured / priced[0] - 1.0).abs() < 0.008, "{measured} for {}", priced[0]);

    let counts: Vec<f64> = (0..4000_u32)
        .map(|round| {
            let sum = SecretSum::open(&aggregator.rule(), 0);
            let mut key = [3; 32];
            key[..4].copy_from_slice(&round.to_le_bytes());
            let noise = aggregator
                .noise(0)
                .draw(&NoiseSource::Simulation { key })
                .expect("a seeded draw cannot fail");
            let release = aggregator.release(sum, noise).expect("opened for this round");
            (release.measurements.unclipped_share.expect("it moves") - 0.5) * m
        })
        .collect();
    let measured =
        (counts.iter().map(|count| count * count).sum::<f64>() / counts.len() as f64).sqrt();
    // One client moves the count by one half.
    let measured = measured / 0.5;
    assert!((measured / priced[1] - 1.0).abs() < 0.055, "{measured} for {}", priced[1]);
}

/// A noised zeroing threshold is a third release, priced like the count behind the clip norm: the
/// total stays what was asked for, and the noise that is drawn is the noise that is priced (4,000
/// rounds: 1.1 per cent a standard error, the bar at five).
#[test]
fn a_noised_zeroing_threshold_is_paid_for() {
    let m = 40.0;
    let zeroing = Zeroing::Noised(NoisedZeroing {
        target: 0.5,
        multiplier: 1.0,
        increment: 0.0,
        ..NoisedZeroing::default()
    });
    for clipping in [Clipping::default(), Clipping::Fixed { clip_norm: 1.0 }] {
        let config =
            GaussianConfig { noise_multiplier: 1.5, clients_per_round: m, zeroing, clipping };
        let mut aggregator = GaussianAggregator::new(config).expect("in range");
        let priced = multipliers(&aggregator.event());
        assert_eq!(priced.len(), if clipping == Clipping::default() { 3 } else { 2 });
        let total = priced.iter().map(|multiplier| multiplier.powi(-2)).sum::<f64>().powf(-0.5);
        assert!((total / 1.5 - 1.0).abs() < 1e-12, "{total}");

        let mut squares = 0.0;
        for round in 0..4000_u32 {
            let sum = SecretSum::open(&aggregator.rule(), 0);
            let mut key = [5; 32];
            key[..4].copy_from_slice(&round.to_le_bytes());
            let noise = aggregator.noise(0).draw(&NoiseSource::Simulation { key });
            let release = aggregator.release(sum, noise.expect("seeded")).expect("this round's");
            assert!(release.uncovered.iter().all(|gap| *gap == Uncovered::SimulationNoise));
            let Measurements { zeroing_threshold, next_zeroing_threshold, .. } =
                release.measurements;
            let (before, after) =
                (zeroing_threshold.expect("there is one"), next_zeroing_threshold.expect("too"));
            let share = 0.5 - (after / before).ln() / 0.2;
            squares += ((share - 0.5) * m).powi(2);
        }
        let measured = (squares / 4000.0).sqrt() / 0.5;
        let last = priced.last().expect("a price for the threshold");
        assert!((measured / last - 1.0).abs() < 0.055, "{measured} for {last}");
    }
    let robust = RobustConfig { zeroing, clipping: None, weighting: Weighting::Uniform };
    assert_eq!(RobustMean::new(robust).err(), Some(AggregateError::NoNoiseHere));
}
