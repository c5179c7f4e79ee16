//! What lies on a boundary, and what is said in words: each has one right answer.

use dp_accounting::{DpEvent, NoiseMultiplier};
use dp_agg::stats::client_norm_stats;
use dp_agg::{
    AdaptiveClipping, AdaptiveZeroing, AggregateError, Aggregator, Clipping, GaussianAggregator,
    GaussianConfig, Grid, Magnitude, Noise, NoiseMode, NoiseSource, NoiseSpec, NoiseSplit,
    NoisedZeroing, PlainMean, QuantileConfig, QuantileEstimator, QuantileUpdate, RobustClipping,
    RobustConfig, RobustMean, SecretSum, Uncovered, UpdateRule, Weighting, Zeroing,
};

fn gaussian(noise_multiplier: f64, zeroing: Zeroing, clipping: Clipping) -> GaussianAggregator {
    let config = GaussianConfig { noise_multiplier, clients_per_round: 40.0, zeroing, clipping };
    GaussianAggregator::new(config).expect("in range")
}

const FIXED: Clipping = Clipping::Fixed { clip_norm: 2.0 };

#[track_caller]
fn exactly(found: f64, wanted: f64) {
    assert_eq!(found.to_bits(), wanted.to_bits(), "{found} is not {wanted}");
}

/// One noise is one Gaussian, not a composition of one; two are two.
#[test]
fn an_event_is_exactly_what_was_released() {
    let event = |multiplier| DpEvent::gaussian(NoiseMultiplier::new(multiplier).expect("fine"));
    assert_eq!(gaussian(1.5, Zeroing::Off, FIXED).event(), event(1.5));
    let adaptive = gaussian(1.5, Zeroing::Off, Clipping::default());
    let split = *adaptive.split();
    let two = vec![event(split.values()), event(2.0 * split.count_stddev())];
    assert_eq!(adaptive.event(), DpEvent::composed(two));
    assert_eq!(gaussian(0.0, Zeroing::Off, FIXED).event(), DpEvent::NonPrivate);
    // One client moves either count by one half: 3 clients of noise are a multiplier of 6.
    let zeroing = Zeroing::Noised(NoisedZeroing { count_stddev: Some(3.0), ..Default::default() });
    let clipping = AdaptiveClipping { count_stddev: Some(5.0), ..AdaptiveClipping::default() };
    let three = gaussian(1.5, zeroing, Clipping::Adaptive(clipping));
    let values = event(three.split().values());
    assert_eq!(three.event(), DpEvent::composed(vec![values, event(10.0), event(6.0)]));
}

#[test]
fn an_aggregator_says_what_is_in_force() {
    let adaptive = AdaptiveClipping { initial: 0.7, ..AdaptiveClipping::default() };
    let zeroing = Zeroing::Constant { threshold: 3.0, magnitude: Magnitude::L2 };
    let aggregator = gaussian(1.5, zeroing, Clipping::Adaptive(adaptive));
    exactly(aggregator.clip_norm(), 0.7);
    assert_eq!(aggregator.zeroing_threshold(), Some(3.0));
    exactly(aggregator.config().noise_multiplier, 1.5);
    let rule = aggregator.rule();
    assert_eq!((rule.clip_norm, rule.zeroing_threshold), (Some(0.7), Some(3.0)));
    assert_eq!(rule.magnitude, Magnitude::L2);
    assert_eq!(gaussian(1.5, Zeroing::Off, FIXED).zeroing_threshold(), None);
    let robust = RobustConfig {
        zeroing: Zeroing::Off,
        clipping: Some(RobustClipping { initial: 0.3, ..RobustClipping::default() }),
        weighting: Weighting::Examples,
    };
    let robust = RobustMean::new(robust).expect("in range");
    assert_eq!(robust.rule().clip_norm, Some(0.3));
    assert_eq!(robust.rule().weighting, Weighting::Examples);
    assert_eq!((robust.event(), robust.noise(3).is_none()), (DpEvent::NonPrivate, true));
}

/// Without noise on the updates nothing is drawn for them in release mode either, where a scale of
/// zero would be rounded up; the same for a count.
#[test]
fn where_there_is_no_deviation_nothing_is_drawn() {
    let grid = Grid::for_clip(1.0);
    let counted = AdaptiveClipping { count_stddev: Some(3.0), ..AdaptiveClipping::default() };
    for source in [NoiseSource::Release, NoiseSource::Simulation { key: [1; 32] }] {
        for clipping in [FIXED, Clipping::Adaptive(counted)] {
            let mut aggregator = gaussian(0.0, Zeroing::Off, clipping);
            let mut sum = SecretSum::open(&aggregator.rule(), 20);
            sum.add(&[0.0; 20], 1);
            let noise = aggregator.noise(20).draw(&source).expect("nothing to refuse");
            let release = aggregator.release(sum, noise).expect("this round's");
            assert_eq!(release.mean, vec![0.0; 20]);
            assert_eq!(release.noise_mode, None);
            assert_eq!(release.uncovered, vec![Uncovered::NoNoise]);
        }
        // Noise on the updates alone: the count is exact.
        let spec = NoiseSpec::new(1, grid, 1.0, 0.0).expect("in range");
        let noise = spec.draw(&source).expect("there is randomness");
        assert_eq!((noise.mode(), *noise.spec()), (source.mode(), spec));
        let still = AdaptiveClipping { learning_rate: 0.0, ..AdaptiveClipping::default() };
        let count = AdaptiveClipping { count_stddev: Some(0.0), ..still };
        let mut aggregator = gaussian(0.0, Zeroing::Off, Clipping::Adaptive(count));
        let sum = SecretSum::open(&aggregator.rule(), 1);
        let noise = aggregator.noise(1).draw(&source).expect("nothing to refuse");
        let release = aggregator.release(sum, noise).expect("this round's");
        assert_eq!(release.measurements.unclipped_share, Some(0.5));
    }
    let noised = gaussian(1.0, Zeroing::Off, FIXED);
    let noise = noised.noise(1).draw(&NoiseSource::Release).expect("there is randomness");
    let sum = SecretSum::open(&noised.rule(), 1);
    let release = noised.clone().release(sum, noise).expect("this round's");
    assert_eq!((release.noise_mode, release.uncovered), (Some(NoiseMode::Release), vec![]));
}

#[test]
fn a_spec_says_what_it_is() {
    let grid = Grid::for_clip(1.0);
    let spec = |a, b, c| {
        let spec = NoiseSpec::new(7, grid, a, b).and_then(|spec| spec.with_zeroing_count(c));
        spec.expect("in range")
    };
    assert!(spec(0.0, 0.0, 0.0).is_none() && NoiseSpec::none(7, grid).is_none());
    for one in [spec(1.0, 0.0, 0.0), spec(0.0, 1.0, 0.0), spec(0.0, 0.0, 1.0)] {
        assert!(!one.is_none(), "{one:?}");
        assert_eq!(one.dim(), 7);
        // Noise for one is no noise for another.
        assert_ne!(one, spec(0.0, 0.0, 0.0));
    }
    let all = spec(0.5, 2.0, 3.0);
    assert_eq!((all.stddev(), all.count_stddev()), (0.5, 2.0));
    assert_eq!(Noise::none(7, grid).spec(), &NoiseSpec::none(7, grid));
    assert!(NoiseSpec::new(7, grid, -1.0, 0.0).is_err());
    assert!(NoiseSpec::new(7, grid, 0.0, f64::NAN).is_err());
    assert!(NoiseSpec::new(7, grid, 2.0_f64.powi(17), 0.0).is_ok());
    assert!(NoiseSpec::new(7, grid, 2.0_f64.powi(17).next_up(), 0.0).is_err());
    assert!(all.with_zeroing_count(-1.0).is_err());
    let most = 2.0_f64.powi(27);
    assert!(NoiseSpec::new(7, grid, 0.0, most).is_ok());
    assert!(NoiseSpec::new(7, grid, 0.0, most.next_up()).is_err());
}

#[test]
fn an_exact_product_is_not_raised_and_a_thousand_steps_are_enough() {
    exactly(gaussian(1.5, Zeroing::Off, FIXED).noise(1).stddev(), 3.0);
    let least = |z: f64| gaussian(z, Zeroing::Off, Clipping::Fixed { clip_norm: 1.0 });
    let exactly = 2.0_f64.powi(-20);
    assert_eq!(least(exactly).noise(1).check_release(), Ok(()));
    assert!(least(exactly.next_down()).noise(1).check_release().is_err());
}

#[test]
fn a_noise_for_another_round_is_refused_in_words_that_tell_them_apart() {
    let mut aggregator = gaussian(1.5, Zeroing::Off, FIXED);
    let other = gaussian(1.0, Zeroing::Off, FIXED).noise(2);
    let noise = other.draw(&NoiseSource::Simulation { key: [4; 32] }).expect("seeded");
    let sum = SecretSum::open(&aggregator.rule(), 2);
    let error = aggregator.release(sum, noise).expect_err("another multiplier");
    assert!(matches!(error, AggregateError::NoiseMismatch { .. }));
    let text = error.to_string();
    assert!(text.contains("drawn for 2 coordinates of deviation 2 on steps of"), "{text}");
    assert!(text.contains("needs 2 coordinates of deviation 3 on steps of"), "{text}");
    let other = SecretSum::open(&gaussian(1.5, Zeroing::Off, Clipping::default()).rule(), 2);
    let noise = aggregator.noise(2).draw(&NoiseSource::Simulation { key: [4; 32] });
    let error = aggregator.release(other, noise.expect("seeded")).expect_err("another rule");
    assert_eq!(error, AggregateError::RuleMismatch);
}

#[test]
fn words_for_modes_and_gaps() {
    let texts = [
        (NoiseMode::Simulation.to_string(), "not a release"),
        (NoiseMode::Release.to_string(), "exact discrete Gaussian"),
        (Uncovered::NoNoise.to_string(), "epsilon is infinite"),
        (Uncovered::NoSensitivityBound.to_string(), "bounds no client's influence"),
        (Uncovered::AdaptiveZeroing.to_string(), "exact counts"),
        (Uncovered::SimulationNoise.to_string(), "not a release"),
    ];
    for (text, part) in texts {
        assert!(text.contains(part), "{text}");
    }
}

/// Exactly at a threshold, a norm or an estimate is within it.
#[test]
fn what_lies_exactly_on_a_bound_is_within() {
    let rule = UpdateRule {
        clip_norm: Some(4.0),
        zeroing_threshold: Some(5.0),
        magnitude_estimate: Some(5.0),
        ..UpdateRule::default()
    };
    let at = rule.judge(16.0, 5.0, 1);
    assert!(at.unclipped && !at.zeroed && at.scale > 0.0 && rule.within_estimate(&at));
    let above = rule.judge(16.0_f64.next_up() * (1.0 + 1e-15), 5.0_f64.next_up(), 1);
    assert!(above.zeroed && !rule.within_estimate(&above) && above.scale <= 0.0);
    let above = rule.judge(16.0 * (1.0 + 1e-15), 1.0, 1);
    assert!(!above.unclipped && above.scale < 1.0);
    // What is no longer than the radius is not scaled, to the bit.
    let radius = rule.grid().radius(4.0, 1);
    exactly(rule.judge((radius * (1.0 - 1e-15)).powi(2), 1.0, 1).scale, 1.0);
}

#[test]
fn clients_per_round_are_bounded_on_both_sides() {
    for (clients, holds) in [(1e-3, true), (2_147_483_648.0, true), (2_147_483_649.0, false)] {
        assert_eq!(NoiseSplit::new(0.0, clients, None).is_ok(), holds, "{clients}");
    }
    for clients in [0.0, -1.0, f64::INFINITY, f64::NAN] {
        assert!(NoiseSplit::new(0.0, clients, None).is_err(), "{clients}");
    }
}

#[test]
fn the_updates_are_starved_from_twice_the_noise_on() {
    // c = 2 s: values = z c/√(c² − z²), which is 2z where c² = 4z²/3.
    for (ratio, starves) in [(1.1, true), (1.154, true), (1.156, false), (3.0, false)] {
        let split = NoiseSplit::new(0.5, 50.0, Some(0.25 * ratio)).expect("something is left");
        assert_eq!(split.starves_values(), starves, "{ratio}");
    }
}

#[test]
fn a_round_of_nobody_moves_no_exact_quantile_and_one_client_has_no_spread() {
    let config = QuantileConfig::new(2.0, 0.5, 0.2, QuantileUpdate::Geometric);
    let mut estimator = QuantileEstimator::new(config).expect("in range");
    estimator.observe_actual(0, 0);
    exactly(estimator.estimate(), 2.0);
    estimator.observe_actual(1, 1);
    assert!(estimator.estimate() < 2.0);
    assert_eq!(estimator.config(), &config);
    // As it is written without a factor, a quantile is reported as it is.
    let text = r#"{"initial": 2, "target": 0.5, "learning_rate": 0.2, "update": "geometric"}"#;
    let read: QuantileConfig = serde_json::from_str(text).expect("the other keys have defaults");
    assert_eq!(read, config);
    let reported = QuantileEstimator::new(config.reported_as(3.0, 0.5)).expect("in range");
    exactly(reported.report(), 6.5);

    let one = client_norm_stats(&[3.0], &[2.0]);
    assert_eq!((one.mean, one.stddev), (3.0, 0.0));
    let two = client_norm_stats(&[1.0, 4.0], &[1.0, 1.0]);
    assert!((two.mean - 2.5).abs() < 1e-15 && (two.stddev - 4.5_f64.sqrt()).abs() < 1e-15);
}

/// A saved state of another kind is refused, and one of the same kind is taken up.
#[test]
fn states_fit_their_aggregators_alone() {
    let mut fixed = gaussian(1.0, Zeroing::Off, FIXED);
    let zeroing = Zeroing::Adaptive(AdaptiveZeroing::default());
    let mut adaptive = gaussian(1.0, zeroing, Clipping::default());
    let (without, with) = (fixed.state(), adaptive.state());
    assert_eq!((without.clip_norm, without.zeroing_estimate), (None, None));
    assert_eq!((with.clip_norm, with.zeroing_estimate), (Some(0.1), Some(10.0)));
    assert!(fixed.restore(&without).is_ok() && fixed.restore(&with).is_err());
    assert!(adaptive.restore(&without).is_err());
    let moved = dp_agg::AggregatorState { clip_norm: Some(0.25), zeroing_estimate: Some(4.0) };
    adaptive.restore(&moved).expect("of its kind");
    assert_eq!((adaptive.clip_norm(), adaptive.zeroing_threshold()), (0.25, Some(9.0)));
    let mut plain = PlainMean::new(Weighting::Uniform);
    assert!(plain.restore(&plain.state()).is_ok() && plain.restore(&moved).is_err());
}
