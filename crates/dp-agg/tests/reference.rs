//! Against the numbers of an independent framework: see `reference/README.md`.

use dp_agg::stats::{client_norm_stats, server_update_stats};
use dp_agg::{
    AdaptiveClipping, AggregateError, Aggregator, Clipping, GaussianAggregator, GaussianConfig,
    Magnitude, NoiseSource, NoiseSplit, QuantileConfig, QuantileEstimator, QuantileUpdate, Release,
    RobustClipping, RobustConfig, RobustMean, SecretSum, Weighting, Zeroing,
};
use serde_json::Value;

/// The cases of one kind, which must be as many as were put there.
fn cases(kind: &str, count: usize) -> Vec<Value> {
    let text = include_str!("reference/aggregation_cases.json");
    let table: Value = serde_json::from_str(text).expect("the table is well formed");
    let all = table["cases"].as_array().expect("a list of cases");
    let cases: Vec<Value> = all.iter().filter(|case| case["kind"] == kind).cloned().collect();
    assert_eq!(cases.len(), count, "an empty table proves nothing: {kind}");
    cases
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("{value} is no list"))
}

fn numbers(value: &Value) -> Vec<f64> {
    list(value).iter().map(number).collect()
}

/// A tensor, a list of tensors or a scalar as one flat vector.
fn flat(value: &Value) -> Vec<f32> {
    match value {
        Value::Array(parts) => parts.iter().flat_map(flat).collect(),
        scalar => vec![number(scalar) as f32],
    }
}

#[track_caller]
fn close(what: &str, ours: f64, theirs: f64, relative: f64, absolute: f64) {
    let error = (ours - theirs).abs();
    assert!(
        error <= absolute.max(relative * theirs.abs()),
        "{what}: {ours} against {theirs}, off by {error:e}"
    );
}

#[track_caller]
fn all_close(what: &str, ours: &[f32], theirs: &[f32], relative: f64, absolute: f64) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    for (ours, theirs) in ours.iter().zip(theirs) {
        close(what, f64::from(*ours), f64::from(*theirs), relative, absolute);
    }
}

/// One round of `aggregator` over `updates`.
fn round(
    aggregator: &mut dyn Aggregator,
    dim: usize,
    updates: &[Vec<f32>],
    weights: Option<&[f64]>,
) -> Release {
    let mut sum = SecretSum::open(&aggregator.rule(), dim);
    for (client, update) in updates.iter().enumerate() {
        let examples = weights.map_or(1, |weights| weights[client] as u64);
        sum.add(update, examples);
    }
    let source = NoiseSource::Simulation { key: [7; 32] };
    let noise = aggregator.noise(dim).draw(&source).expect("a seeded draw cannot fail");
    aggregator.release(sum, noise).expect("the sum was opened for this round")
}

fn update_of(input: &Value) -> QuantileUpdate {
    if input["geometric"] == true { QuantileUpdate::Geometric } else { QuantileUpdate::Arithmetic }
}

fn estimator_of(input: &Value) -> QuantileEstimator {
    let config = QuantileConfig::new(
        number(&input["initial"]),
        number(&input["target"]),
        number(&input["learning_rate"]),
        update_of(input),
    );
    QuantileEstimator::new(config).expect("the cases are in range")
}

/// Moves `estimator` by a round of `records`, over their number or over an expected one.
fn observe(estimator: &mut QuantileEstimator, records: &[f64], denominator: &Value) {
    let within = records.iter().filter(|&&record| record <= estimator.estimate()).count();
    if denominator == "actual" {
        estimator.observe_actual(within as u64, records.len() as u64);
    } else {
        let centred = within as f64 - 0.5 * records.len() as f64;
        estimator.observe_expected(centred, number(denominator));
    }
}

#[test]
fn quantile_estimator() {
    for case in cases("quantile_estimator", 3) {
        let (input, expect) = (&case["input"], &case["expect"]);
        for denominator in list(&input["denominator"]) {
            let mut estimator = estimator_of(input);
            for theirs in numbers(&expect["estimates_after_round"]) {
                observe(&mut estimator, &numbers(&input["records_each_round"]), denominator);
                close(&case["id"].to_string(), estimator.estimate(), theirs, 1e-6, 0.0);
            }
        }
    }
}

#[test]
fn quantile_convergence() {
    let records: Vec<f64> = (0..21).map(|step| 0.5 * f64::from(step)).collect();
    for case in cases("quantile_convergence", 3) {
        let (input, expect) = (&case["input"], &case["expect"]);
        assert_eq!(input["records_each_round"], "21 values equally spaced from 0 to 10 inclusive");
        let last = numbers(&expect["final_rounds"]);
        for denominator in list(&input["denominator"]) {
            let mut estimator = estimator_of(input);
            for index in 0..50 {
                observe(&mut estimator, &records, denominator);
                if (last[0]..=last[1]).contains(&f64::from(index)) {
                    let within = number(&expect["within"]);
                    let near = number(&expect["near"]);
                    close(&case["id"].to_string(), estimator.estimate(), near, 0.0, within);
                }
            }
        }
    }
}

#[test]
fn quantile_affine_rounds() {
    for case in cases("quantile_affine_rounds", 2) {
        let (params, expect) = (&case["input"]["params"], &case["expect"]);
        let config = QuantileConfig::new(
            number(&params["initial_estimate"]),
            number(&params["target_quantile"]),
            number(&params["learning_rate"]),
            QuantileUpdate::Geometric,
        );
        let increment = params["increment"].as_f64().unwrap_or(0.0);
        let config = config.reported_as(number(&params["multiplier"]), increment);
        let mut estimator = QuantileEstimator::new(config).expect("in range");
        let estimates = numbers(&expect["estimates"]);
        let reports = numbers(&expect["reports"]);
        let rounds = list(&case["input"]["records"]);
        assert_eq!(estimates.len(), rounds.len() + 1);
        for index in 0..estimates.len() {
            let what = format!("{} {index}", case["id"]);
            close(&what, estimator.estimate(), estimates[index], 2e-6, 0.0);
            close(&what, estimator.report(), reports[index], 2e-6, 0.0);
            if let Some(records) = rounds.get(index) {
                observe(&mut estimator, &numbers(records), &Value::from("actual"));
            }
        }
    }
}

#[test]
fn adaptive_clip_sum() {
    for case in cases("adaptive_clip_sum", 3) {
        let (input, expect) = (&case["input"], &case["expect"]);
        let expected = number(&input["expected_clients"]);
        let clipping = AdaptiveClipping {
            initial: number(&input["initial_clip"]),
            target: number(&input["target_unclipped_quantile"]),
            learning_rate: number(&input["learning_rate"]),
            update: update_of(input),
            count_stddev: Some(number(&input["clipped_count_stddev"])),
        };
        let mut aggregator = GaussianAggregator::new(GaussianConfig {
            noise_multiplier: number(&input["noise_multiplier"]),
            clients_per_round: expected,
            zeroing: Zeroing::Off,
            clipping: Clipping::Adaptive(clipping),
        })
        .expect("in range");
        let records: Vec<_> = list(&input["records"]).iter().map(flat).collect();
        let clips = numbers(&expect["clip_after_round"]);
        for (index, theirs) in list(&expect["sums_each_round"]).iter().enumerate() {
            let what = format!("{} {index}", case["id"]);
            let release = round(&mut aggregator, 1, &records, None);
            let sum = f64::from(release.mean[0]) * expected;
            close(&what, sum, f64::from(flat(theirs)[0]), 1e-6, 1e-6);
            if let Some(&clip) = clips.get(index) {
                close(&what, aggregator.clip_norm(), clip, 1e-6, 0.0);
            }
        }
    }
}

#[test]
fn l2_clip_sum() {
    for case in cases("l2_clip_sum", 3) {
        let mut aggregator = fixed(number(&case["input"]["clip"]), 1.0, 0.0);
        let records: Vec<_> = list(&case["input"]["records"]).iter().map(flat).collect();
        let release = round(&mut aggregator, records[0].len(), &records, None);
        all_close(&case["id"].to_string(), &release.mean, &flat(&case["expect"]["sum"]), 1e-6, 0.0);
    }
}

/// A fixed clip norm, without zeroing.
fn fixed(clip_norm: f64, clients_per_round: f64, noise_multiplier: f64) -> GaussianAggregator {
    GaussianAggregator::new(GaussianConfig {
        noise_multiplier,
        clients_per_round,
        zeroing: Zeroing::Off,
        clipping: Clipping::Fixed { clip_norm },
    })
    .expect("in range")
}

#[test]
fn zeroing() {
    for case in cases("zeroing", 3) {
        let (input, expect) = (&case["input"], &case["expect"]);
        let weights = input["weights"].as_array().map(|_| numbers(&input["weights"]));
        let magnitude =
            if input["norm_order"] == "inf" { Magnitude::LargestCoordinate } else { Magnitude::L2 };
        let mut aggregator = RobustMean::new(RobustConfig {
            zeroing: Zeroing::Constant { threshold: number(&input["threshold"]), magnitude },
            clipping: None,
            weighting: if weights.is_some() { Weighting::Examples } else { Weighting::Uniform },
        })
        .expect("in range");
        let records: Vec<_> = list(&input["records"]).iter().map(flat).collect();
        let mut release = round(&mut aggregator, records[0].len(), &records, weights.as_deref());
        if weights.is_none() {
            // The case gives the sum.
            release.mean.iter_mut().for_each(|mean| *mean *= records.len() as f32);
        }
        all_close(&case["id"].to_string(), &release.mean, &flat(&expect["result"]), 1e-6, 0.0);
        assert_eq!(Some(release.raw.zeroed), expect["zeroed_count"].as_u64());
    }
}

#[test]
fn noise_split() {
    for case in cases("noise_split", 7) {
        let (input, expect) = (&case["input"], &case["expect"]);
        let split = NoiseSplit::new(
            number(&input["noise_multiplier"]),
            number(&input["expected_clients"]),
            input["clipped_count_stddev"].as_f64(),
        );
        if expect["value_noise_multiplier"] == "error" {
            let error = split.expect_err("the pair must be refused");
            assert!(matches!(error, AggregateError::NothingLeftForValues { .. }), "{error}");
            continue;
        }
        let split = split.expect("in range");
        let what = case["id"].to_string();
        close(&what, split.values(), number(&expect["value_noise_multiplier"]), 1e-12, 0.0);
        close(&what, split.count_stddev(), number(&expect["clipped_count_stddev"]), 1e-12, 0.0);
        assert_eq!(Some(split.starves_values()), expect["warn"].as_bool(), "{what}");
    }
}

#[test]
fn dp_rounds() {
    let mut rounds = 0;
    for case in cases("dp_rounds", 8) {
        let (input, expect) = (&case["input"], &case["expect"]);
        let zeroing = input["zeroing"] == true;
        let mut aggregator = GaussianAggregator::new(GaussianConfig {
            noise_multiplier: number(&input["noise_multiplier"]),
            clients_per_round: number(&input["expected_clients"]),
            zeroing: if zeroing { Zeroing::Adaptive(Default::default()) } else { Zeroing::Off },
            clipping: Clipping::Adaptive(AdaptiveClipping {
                initial: number(&input["initial_clip"]),
                target: number(&input["target_unclipped_quantile"]),
                learning_rate: number(&input["clip_learning_rate"]),
                ..AdaptiveClipping::default()
            }),
        })
        .expect("in range");
        for (index, updates) in list(&input["rounds"]).iter().enumerate() {
            let what = format!("{} {index}", case["id"]);
            let updates: Vec<_> = list(updates).iter().map(flat).collect();
            let release = round(&mut aggregator, 5, &updates, None);
            all_close(&what, &release.mean, &flat(&expect["results"][index]), 2e-6, 2e-6);
            let clip = release.measurements.next_clip_norm.expect("it moves");
            close(&what, clip, number(&expect["clip_after_round"][index]), 2e-6, 0.0);
            if zeroing {
                let ours = release.measurements.zeroing_threshold;
                match &expect["zeroing_threshold_used"][index] {
                    // The fault of the reference, not repeated: an empty round moves nothing.
                    Value::String(nan) => {
                        assert_eq!(nan, "nan");
                        assert_eq!(case["id"], "dp_empty_round_tff_quirk");
                        assert!(ours.expect("zeroing is on").is_finite());
                    }
                    theirs => close(&what, ours.expect("on"), number(theirs), 2e-6, 0.0),
                }
                if updates.is_empty() {
                    assert_eq!(release.measurements.next_zeroing_threshold, ours, "{what}");
                } else {
                    assert_ne!(release.measurements.next_zeroing_threshold, ours, "{what}");
                }
                let zeroed = expect["zeroed_count"][index].as_u64();
                assert_eq!(Some(release.raw.zeroed), zeroed, "{what}");
            }
            rounds += 1;
        }
    }
    assert_eq!(rounds, 10 * 3 + 6 + 4 + 3 + 8 + 6);
}

#[test]
fn dp_fixed_rounds() {
    for case in cases("dp_fixed_rounds", 1) {
        let input = &case["input"];
        let mut aggregator = fixed(
            number(&input["clip"]),
            number(&input["expected_clients"]),
            number(&input["noise_multiplier"]),
        );
        for (index, updates) in list(&input["rounds"]).iter().enumerate() {
            let updates: Vec<_> = list(updates).iter().map(flat).collect();
            let release = round(&mut aggregator, 5, &updates, None);
            let theirs = flat(&case["expect"]["results"][index]);
            all_close(&case["id"].to_string(), &release.mean, &theirs, 0.0, 1e-7);
        }
    }
}

#[test]
fn robust_rounds() {
    let mut rounds = 0;
    for case in cases("robust_rounds", 4) {
        let (input, expect) = (&case["input"], &case["expect"]);
        let weighted = input["weighted"] == true;
        let (zeroing, clipping) = (input["zeroing"] == true, input["clipping"] == true);
        let mut aggregator = RobustMean::new(RobustConfig {
            zeroing: if zeroing { Zeroing::Adaptive(Default::default()) } else { Zeroing::Off },
            clipping: clipping.then(RobustClipping::default),
            weighting: if weighted { Weighting::Examples } else { Weighting::Uniform },
        })
        .expect("in range");
        for (index, updates) in list(&input["rounds"]).iter().enumerate() {
            let what = format!("{} {index}", case["id"]);
            let updates: Vec<_> = list(updates).iter().map(flat).collect();
            let weights = weighted.then(|| numbers(&input["weights"][index]));
            let release = round(&mut aggregator, 5, &updates, weights.as_deref());
            all_close(&what, &release.mean, &flat(&expect["results"][index]), 5e-6, 1e-7);
            let theirs = &expect["per_round"][index];
            if zeroing {
                let ours = release.measurements.zeroing_threshold.expect("zeroing is on");
                close(&what, ours, number(&theirs["zeroing_threshold_used"]), 5e-6, 0.0);
                assert_eq!(Some(release.raw.zeroed), theirs["zeroed_count"].as_u64(), "{what}");
            }
            if clipping {
                let ours = release.measurements.clip_norm.expect("clipping is on");
                close(&what, ours, number(&theirs["clip_used"]), 5e-6, 0.0);
                assert_eq!(Some(release.raw.clipped), theirs["clipped_count"].as_u64(), "{what}");
            }
            rounds += 1;
        }
    }
    assert_eq!(rounds, 4 * 8);
}

#[test]
fn norm_stats() {
    for case in cases("client_norm_stats", 3) {
        let norms: Vec<f64> =
            numbers(&case["input"]["scalar_updates"]).iter().map(|value| value.abs()).collect();
        let stats = client_norm_stats(&norms, &numbers(&case["input"]["weights"]));
        let (what, expect) = (case["id"].to_string(), &case["expect"]);
        close(&what, stats.mean, number(&expect["average_client_norm"]), 1e-12, 0.0);
        close(&what, stats.stddev, number(&expect["std_dev_client_norm"]), 1e-12, 1e-12);
    }
    for case in cases("server_update_stats", 1) {
        let stats = server_update_stats(&flat(&case["input"]["update"]));
        for (name, ours) in [("max", stats.max), ("min", stats.min), ("norm", stats.norm)] {
            close(name, ours, number(&case["expect"][name]), 1e-12, 0.0);
        }
    }
}

#[test]
fn noise_statistics() {
    for case in cases("noise_statistics", 1) {
        let (input, expect) = (&case["input"], &case["expect"]);
        let mut aggregator = GaussianAggregator::new(GaussianConfig {
            noise_multiplier: number(&input["noise_multiplier"]),
            clients_per_round: number(&input["expected_clients"]),
            zeroing: Zeroing::Off,
            clipping: Clipping::Adaptive(AdaptiveClipping {
                initial: number(&input["initial_clip"]),
                ..AdaptiveClipping::default()
            }),
        })
        .expect("in range");
        let dim = number(&input["dimension"]) as usize;
        let updates = vec![vec![0.0; dim]; number(&input["clients"]) as usize];
        let release = round(&mut aggregator, dim, &updates, None);
        let values = || release.mean.iter().map(|&value| f64::from(value));
        let mean = values().sum::<f64>() / dim as f64;
        let variance = values().map(|value| (value - mean).powi(2)).sum::<f64>() / dim as f64;
        close("mean", mean, 0.0, 0.0, number(&expect["mean_within"]));
        close("stddev", variance.sqrt(), number(&expect["std_of_result"]), 0.01, 0.0);
    }
}
