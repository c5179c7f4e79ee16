//! Properties of settings, verdicts and measurements.

use dp_agg::{
    Aggregator, Clipping, GaussianAggregator, GaussianConfig, NoiseSource, QuantileConfig,
    QuantileEstimator, QuantileUpdate, SecretSum, Uncovered, UpdateRule, Zeroing,
};
use proptest::prelude::*;

proptest! {
    /// An update within the clip norm keeps its direction and, but for the room that rounding
    /// needs, its length; a longer one is shortened to the clip norm.
    #[test]
    fn a_verdict_scales_to_the_clip_norm(norm in 1e-6_f64..1e6, clip in 1e-3_f64..1e3) {
        let rule = UpdateRule { clip_norm: Some(clip), ..UpdateRule::default() };
        let verdict = rule.judge(norm * norm, norm, 1000);
        prop_assert!(verdict.scale > 0.0 && verdict.scale <= 1.0);
        prop_assert!(verdict.norm * verdict.scale <= clip);
        let kept = norm.min(clip) * (1.0 - 1e-6);
        prop_assert!(verdict.norm * verdict.scale >= kept);
        prop_assert_eq!(verdict.unclipped, verdict.norm <= clip);
    }

    /// More values below the estimate pull it down further, and it never leaves `[0, ∞)`.
    #[test]
    fn an_estimate_falls_with_the_share_below_it(
        initial in 1e-6_f64..1e6,
        target in 0.0_f64..=1.0,
        rate in 0.0_f64..5.0,
        geometric in any::<bool>(),
        within in 0_u64..50,
    ) {
        let update =
            if geometric { QuantileUpdate::Geometric } else { QuantileUpdate::Arithmetic };
        let config = QuantileConfig::new(initial, target, rate, update);
        let mut one = QuantileEstimator::new(config).expect("in range");
        let mut other = one;
        one.observe_actual(within, 50);
        other.observe_actual(within + 1, 50);
        prop_assert!(other.estimate() <= one.estimate());
        prop_assert!(other.estimate() >= 0.0 && one.estimate().is_finite());
    }

    /// With as many clients as expected, both ways of counting agree.
    #[test]
    fn the_centred_count_is_the_plain_one_where_nobody_is_missing(within in 0_u64..=40) {
        let config = QuantileConfig::new(1.0, 0.5, 0.2, QuantileUpdate::Geometric);
        let mut actual = QuantileEstimator::new(config).expect("in range");
        let mut expected = actual;
        actual.observe_actual(within, 40);
        expected.observe_expected(within as f64 - 20.0, 40.0);
        prop_assert!((actual.estimate() / expected.estimate() - 1.0).abs() < 1e-14);
    }
}

fn config() -> GaussianConfig {
    GaussianConfig {
        noise_multiplier: 0.5,
        clients_per_round: 50.0,
        zeroing: Zeroing::Adaptive(Default::default()),
        clipping: Clipping::default(),
    }
}

#[test]
fn settings_out_of_range_are_refused() {
    let constant = |threshold| Zeroing::Constant { threshold, magnitude: Default::default() };
    let fixed = |clip_norm| Clipping::Fixed { clip_norm };
    let bad = [
        GaussianConfig { noise_multiplier: -1.0, ..config() },
        GaussianConfig { noise_multiplier: f64::NAN, ..config() },
        GaussianConfig { noise_multiplier: 1e6, ..config() },
        GaussianConfig { noise_multiplier: 5.0, ..config() }, // twice the count's deviation
        GaussianConfig { clients_per_round: 0.0, ..config() },
        GaussianConfig { clients_per_round: f64::INFINITY, ..config() },
        GaussianConfig { zeroing: constant(f64::NAN), ..config() },
        GaussianConfig { zeroing: constant(-1.0), ..config() },
        GaussianConfig { clipping: fixed(0.0), ..config() },
        GaussianConfig { clipping: fixed(f64::INFINITY), ..config() },
        GaussianConfig { clipping: fixed(1.0), clients_per_round: -3.0, ..config() },
    ];
    for bad in bad {
        assert!(GaussianAggregator::new(bad).is_err(), "{bad:?}");
    }
    assert!(GaussianAggregator::new(config()).is_ok());
}

#[test]
fn a_config_survives_its_text_and_a_typo_does_not() {
    let text = serde_json::to_string(&config()).expect("plain data");
    let back: GaussianConfig = serde_json::from_str(&text).expect("what was written");
    assert_eq!(back, config());

    let short = r#"{"noise_multiplier": 0.5, "clients_per_round": 50,
        "zeroing": {"kind": "adaptive"}, "clipping": {"kind": "adaptive", "initial": 0.1}}"#;
    let back: GaussianConfig = serde_json::from_str(short).expect("the rest has defaults");
    assert_eq!(back, config());

    for (good, bad) in [
        ("\"initial\"", "\"inital\""),
        ("\"noise_multiplier\"", "\"noise_multiplyer\""),
        ("{\"kind\": \"adaptive\"}", "{\"kind\": \"adaptive\", \"treshold\": 1}"),
        ("{\"kind\": \"adaptive\"}", "{\"kind\": \"off\", \"threshold\": 1}"),
    ] {
        let bad = short.replacen(good, bad, 1);
        assert!(serde_json::from_str::<GaussianConfig>(&bad).is_err(), "{bad}");
    }
}

#[test]
fn a_release_says_what_its_guarantee_leaves_out() {
    let uncovered = |noise_multiplier, zeroing, source: &NoiseSource| {
        let config = GaussianConfig { noise_multiplier, zeroing, ..config() };
        let mut aggregator = GaussianAggregator::new(config).expect("in range");
        let sum = SecretSum::open(&aggregator.rule(), 2);
        let noise = aggregator.noise(2).draw(source).expect("there is randomness");
        aggregator.release(sum, noise).expect("all was made for this round").uncovered
    };
    let seeded = NoiseSource::Simulation { key: [1; 32] };
    let constant = Zeroing::Constant { threshold: 1.0, magnitude: Default::default() };
    assert_eq!(uncovered(0.5, constant, &NoiseSource::Release), vec![]);
    assert_eq!(uncovered(0.5, Zeroing::Off, &seeded), vec![Uncovered::SimulationNoise]);
    assert_eq!(
        uncovered(0.5, Zeroing::Adaptive(Default::default()), &NoiseSource::Release),
        vec![Uncovered::AdaptiveZeroing]
    );
    assert_eq!(
        uncovered(0.0, Zeroing::Adaptive(Default::default()), &seeded),
        vec![Uncovered::NoNoise, Uncovered::AdaptiveZeroing]
    );
}
