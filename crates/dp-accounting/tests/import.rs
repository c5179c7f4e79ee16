//! Histories of other libraries: what is read, and how the rest is refused.

use dp_accounting::import::{ImportError, Origin, event_names, ledger};
use dp_accounting::{
    Accountant, Delta, DpEvent, Epsilon, ExactAccountant, Ledger, Neighboring, NoiseMultiplier,
    PldAccountant, RdpAccountant, Repetitions, SamplingProbability,
};

const ADD: Neighboring = Neighboring::AddOrRemoveOne;

fn gaussian(z: f64) -> DpEvent {
    DpEvent::gaussian(NoiseMultiplier::new(z).expect("in range"))
}

fn rate(q: f64) -> SamplingProbability {
    SamplingProbability::new(q).expect("in range")
}

fn read(text: &str) -> Ledger {
    ledger(text, ADD).unwrap_or_else(|error| panic!("{text}: {error}")).0
}

/// One event of `dp_accounting`.
fn one(text: &str) -> DpEvent {
    read(text).total()
}

fn refused(text: &str, parts: &[&str]) -> ImportError {
    let error = ledger(text, ADD).expect_err(text);
    for part in parts {
        assert!(error.to_string().contains(part), "no {part:?} in {error}");
    }
    error
}

const TUTORIAL: &str = r#"{"class_name": "SelfComposedDpEvent", "count": 100, "event":
    {"class_name": "PoissonSampledDpEvent", "sampling_probability": 0.03547147502216967, "event":
      {"module_name": "dp_accounting.dp_event", "class_name": "GaussianDpEvent",
       "noise_multiplier": 1.2}}}"#;

/// What `json.dumps(event.to_named_tuple())` writes.
const POSITIONAL: &str = r#"["dp_accounting.dp_event", "SelfComposedDpEvent",
    ["dp_accounting.dp_event", "PoissonSampledDpEvent", 0.03547147502216967,
      ["dp_accounting.dp_event", "GaussianDpEvent", 1.2]], 100]"#;

#[test]
fn the_tutorial_in_every_form_is_the_same_ledger_and_price() {
    let round = gaussian(1.2).poisson_sampled(rate(120.0 / 3383.0));
    let opacus = "[[1.2, 0.03547147502216967, 60], [1.2, 0.03547147502216967, 40]]";
    let state = format!(r#"{{"history": {opacus}, "mechanism": "rdp"}}"#);
    let own = serde_json::to_string(&round.clone().repeated(100.try_into().expect("not zero")))
        .expect("events have a JSON form");
    for (text, origin) in [
        (TUTORIAL, Origin::DpAccounting),
        (POSITIONAL, Origin::DpAccounting),
        (&format!("[{TUTORIAL}]"), Origin::DpAccounting),
        (&format!("[{POSITIONAL}]"), Origin::DpAccounting),
        (&format!("\u{feff}{TUTORIAL}"), Origin::DpAccounting),
        (opacus, Origin::Opacus),
        (&state, Origin::Opacus),
        (&own, Origin::Own),
    ] {
        let (found, who) = ledger(text, ADD).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(who, origin, "{text}");
        assert_eq!(found.entries().len(), 1, "{text}");
        assert_eq!(found.entries()[0].event, round, "{text}");
        assert_eq!(found.len(), 100, "{text}");
        let mut exact = ExactAccountant::new(ADD);
        found.replay(&mut exact).expect("supported");
        let epsilon = exact.epsilon(Delta::new(1e-5).expect("in range")).expect("reached").get();
        assert!((epsilon - 1.707_470_645).abs() < 2e-9, "{text}: {epsilon}");
    }
}

#[test]
fn a_list_of_positional_events_is_a_composition() {
    let found = read(&format!("[{POSITIONAL}, {POSITIONAL}]"));
    assert_eq!(found.len(), 200);
}

#[test]
fn every_event_with_a_counterpart_is_read() {
    let pure = |epsilon: f64| DpEvent::PureDp { epsilon: Epsilon::new(epsilon).expect("in range") };
    assert_eq!(one(r#"{"class_name": "NoOpDpEvent"}"#), DpEvent::NoOp);
    assert_eq!(one(r#"{"class_name": "NonPrivateDpEvent"}"#), DpEvent::NonPrivate);
    assert_eq!(
        one(r#"{"class_name": "LaplaceDpEvent", "noise_multiplier": 2}"#),
        DpEvent::Laplace { noise_multiplier: NoiseMultiplier::new(2.0).expect("in range") }
    );
    assert_eq!(
        one(
            r#"{"class_name": "RandomizedResponseDpEvent", "noise_parameter": 0.5, "num_buckets": 2}"#
        ),
        DpEvent::RandomizedResponse { probability: rate(0.5), buckets: 2 }
    );
    let tree = |steps: &str| {
        one(&format!(
            r#"{{"class_name": "SingleEpochTreeAggregationDpEvent", "noise_multiplier": 3.0,
                "step_counts": {steps}}}"#
        ))
    };
    let noise_multiplier = NoiseMultiplier::new(3.0).expect("in range");
    assert_eq!(tree("7"), DpEvent::TreeAggregation { noise_multiplier, steps: vec![7] });
    assert_eq!(tree("[7, 1]"), DpEvent::TreeAggregation { noise_multiplier, steps: vec![7, 1] });
    assert_eq!(
        one(r#"{"class_name": "SampledWithoutReplacementDpEvent", "source_dataset_size": 100,
             "sample_size": 10, "event": {"class_name": "GaussianDpEvent", "noise_multiplier": 1}}"#),
        gaussian(1.0).fixed_size_sampled(100, 10)
    );
    assert_eq!(
        one(r#"{"class_name": "ZCDpEvent", "rho": 0.5, "xi": 0.0}"#),
        DpEvent::Zcdp { rho: dp_accounting::Rho::new(0.5).expect("in range") }
    );
    for name in ["ExponentialMechanismDpEvent", "PermuteAndFlipDpEvent"] {
        assert_eq!(one(&format!(r#"{{"class_name": "{name}", "epsilon": 0.5}}"#)), pure(0.5));
    }
    assert_eq!(
        one(r#"{"class_name": "EpsilonDeltaDpEvent", "epsilon": 0.5, "delta": 0}"#),
        pure(0.5)
    );
    let DpEvent::DiscreteGaussian { noise_multiplier } =
        one(r#"{"class_name": "DiscreteGaussianDpEvent", "sigma": 3.0, "sensitivity": 2.0}"#)
    else {
        panic!("a discrete Gaussian")
    };
    assert!(noise_multiplier.get() < 1.5 && noise_multiplier.get() > 1.5 - 1e-15);

    // A sensitivity that is that of one record counts twice where a record is replaced.
    let text =
        r#"{"class_name": "DiscreteLaplaceDpEvent", "noise_parameter": 0.5, "sensitivity": 2}"#;
    for (relation, truth) in [(ADD, 1.0), (Neighboring::ReplaceOne, 2.0)] {
        let total = ledger(text, relation).expect("readable").0.total();
        let mut accountant = PldAccountant::new(relation);
        accountant.compose(&total, 1).expect("supported");
        let epsilon = accountant.epsilon(dp_accounting::Delta::ZERO).expect("bounded").get();
        assert!((truth..truth + 1e-14).contains(&epsilon), "{epsilon}");
    }
}

#[test]
fn the_number_of_repetitions_is_found_from_its_mean() {
    for (shape, mean) in [("1", 20.0), ("0.0", 3.0), ("0.5", 7.0), ("\"inf\"", 4.0)] {
        let event = one(&format!(
            r#"{{"class_name": "RepeatAndSelectDpEvent", "mean": {mean}, "shape": {shape},
                "event": {{"class_name": "GaussianDpEvent", "noise_multiplier": 4.0}}}}"#
        ));
        let DpEvent::RepeatAndSelect { event, repetitions } = event else { panic!("{event:?}") };
        assert_eq!(*event, gaussian(4.0));
        assert!((repetitions.mean() / mean - 1.0).abs() < 1e-12, "{repetitions:?}");
        let mut accountant = RdpAccountant::new(ADD);
        accountant
            .compose(&DpEvent::RepeatAndSelect { event, repetitions }, 1)
            .expect("the parameters are sound");
    }
    assert!(Repetitions::negative_binomial(1.0, 1.0).is_err(), "at least one, always");
    assert!(Repetitions::negative_binomial(-1.0, 2.0).is_err());
    assert!(Repetitions::negative_binomial(f64::NAN, 2.0).is_err());
    assert!(Repetitions::poisson(0.0).is_err());
    refused(
        r#"{"class_name": "RepeatAndSelectDpEvent", "mean": 0.5, "shape": 1,
            "event": {"class_name": "NoOpDpEvent"}}"#,
        &["$.shape", "mean number of repetitions", "0.5"],
    );
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    assert_eq!(ledger(" \n", ADD), Err(ImportError::Empty));
    refused("{", &["line 1", "not JSON"]);
    refused(&format!("{TUTORIAL} tail"), &["trailing characters", "line 4"]);
    refused(r#"{"class_name": "GaussianDpEvent", "noise_multiplier": NaN}"#, &["NaN", "line 1"]);
    refused("[[1.0, 0.5,\n Infinity]]", &["Infinity is not a number", "line 2"]);
    refused("[[-Infinity, 0.5, 3]]", &["line 1"]);
    let error = refused(r#"{"class_name": "GausianDpEvent"}"#, &["$", "GausianDpEvent"]);
    assert!(matches!(error, ImportError::UnknownEvent { .. }), "{error}");
    refused(
        r#"{"class_name": "ComposedDpEvent", "events": [{"class_name": "NoOpDpEvent"},
            {"class_name": "GaussianDpEvent", "noise_multiplier": -1.0}]}"#,
        &["$.events[1].noise_multiplier", "[0, inf)", "-1"],
    );
    refused(
        r#"{"class_name": "GaussianDpEvent", "noise_multiplyer": 1.0}"#,
        &["GaussianDpEvent has no \"noise_multiplyer\"", "it has noise_multiplier"],
    );
    refused(r#"{"class_name": "GaussianDpEvent"}"#, &["lacks its \"noise_multiplier\""]);
    refused(
        r#"{"class_name": "GaussianDpEvent", "noise_multiplier": "1.0"}"#,
        &["$.noise_multiplier", "expected a number"],
    );
    refused(
        r#"{"class_name": "PoissonSampledDpEvent", "sampling_probability": 1.5,
            "event": {"class_name": "NoOpDpEvent"}}"#,
        &["$.sampling_probability", "[0, 1]", "1.5"],
    );
    for count in ["0", "-3", "1.5", "1e300", "null"] {
        refused(
            &format!(
                r#"{{"class_name": "SelfComposedDpEvent", "count": {count},
                    "event": {{"class_name": "NoOpDpEvent"}}}}"#
            ),
            &["count"],
        );
    }
    refused("[]", &["empty"]);
    refused("17", &["expected an event, not 17"]);
    refused("{}", &["class_name"]);
    refused(r#"{"kind": "gaussian", "noise_multiplier": -1}"#, &["noise multiplier", "-1"]);
    refused(r#"["dp_accounting.dp_event", "GaussianDpEvent", 1, 2]"#, &["noise_multiplier"]);
}

#[test]
fn a_bad_opacus_history_names_the_entry() {
    refused("[[1.0, 0.01, 10], [1.0, 0.01]]", &["$[1]", "num_steps"]);
    refused("[[1.0, 0.01, 0]]", &["$[0][2]", "from 1 upwards"]);
    refused("[[1.0, 0.01, 10.5]]", &["$[0][2]", "whole number"]);
    refused("[[1.0, 1.01, 10]]", &["$[0][1]", "sampling probability"]);
    refused("[[-1.0, 0.5, 10]]", &["$[0][0]", "noise multiplier"]);
    refused("[[null, 0.5, 10]]", &["$[0][0]", "expected a number"]);
    refused(r#"{"history": [], "mechanism": "rdp"}"#, &["$.history", "empty"]);
    refused(r#"{"history": 3, "mechanism": "rdp"}"#, &["$.history", "a list of"]);
}

#[test]
fn what_has_no_counterpart_is_refused_by_name() {
    for text in [
        r#"{"class_name": "UnsupportedDpEvent"}"#,
        r#"{"class_name": "EpsilonDeltaDpEvent", "epsilon": 1.0, "delta": 1e-6}"#,
        r#"{"class_name": "ZCDpEvent", "rho": 0.5, "xi": 0.1}"#,
        r#"{"class_name": "SampledWithReplacementDpEvent", "source_dataset_size": 10,
            "sample_size": 2, "event": {"class_name": "NoOpDpEvent"}}"#,
        r#"{"class_name": "MixtureOfGaussiansDpEvent", "standard_deviation": 1.0,
            "sensitivities": [1.0], "sampling_probs": [1.0]}"#,
        r#"{"class_name": "TruncatedSubsampledGaussianDpEvent", "dataset_size": 10,
            "sampling_probability": 0.1, "truncated_batch_size": 3, "noise_multiplier": 1.0}"#,
    ] {
        let error = refused(text, &["no counterpart"]);
        assert!(matches!(error, ImportError::NoCounterpart { .. }), "{error}");
    }
    assert!(event_names().any(|name| name == "GaussianDpEvent"));
}

/// Whatever bytes come in, the answer is a ledger or an error.
#[test]
fn nested_too_deeply_is_an_error() {
    let deep = "[".repeat(100_000);
    refused(&deep, &["recursion limit"]);
    let deep = r#"{"class_name":"ComposedDpEvent","events":["#.repeat(50_000);
    refused(&deep, &["recursion limit"]);
}

/// The second of two equal names once won in silence, and a run of noise 0.5 was priced at 8.
#[test]
fn a_name_that_stands_twice_is_refused() {
    for text in [
        r#"{"class_name": "GaussianDpEvent", "noise_multiplier": 0.5, "noise_multiplier": 8}"#,
        r#"{"kind": "gaussian", "noise_multiplier": 0.5, "noise_multiplier": 8}"#,
        r#"{"history": [[0.5, 0.1, 3]], "history": [[8, 0.1, 3]]}"#,
        r#"[{"class_name": "NoOpDpEvent"}, {"class_name": "NoOpDpEvent", "class_name": "x"}]"#,
    ] {
        refused(text, &["stands twice", "line 1"]);
    }
}

#[test]
fn counts_are_whole_numbers_however_they_are_written() {
    for steps in ["50", "50.0", "5e1", "5.0E+1"] {
        for text in [
            format!("[[1.0, 0.1, {steps}]]"),
            format!(
                r#"{{"class_name": "SelfComposedDpEvent", "count": {steps}, "event":
                    {{"class_name": "GaussianDpEvent", "noise_multiplier": 1}}}}"#
            ),
            format!(
                r#"{{"kind": "self_composed", "count": {steps},
                    "event": {{"kind": "gaussian", "noise_multiplier": 1.0}}}}"#
            ),
        ] {
            assert_eq!(read(&text).entries()[0].count.get(), 50, "{text}");
        }
    }
    for steps in ["50.5", "1e300", "-50.0", "\"50\""] {
        refused(&format!("[[1.0, 0.1, {steps}]]"), &["whole number", "$[0][2]"]);
    }
}

#[test]
fn opacus_checkpoints_are_read() {
    let bare = read("[[1.1, 0.01, 500]]");
    for text in [
        r#"{"privacy_accountant_state_dict": {"history": [[1.1, 0.01, 500]], "mechanism": "rdp"}}"#,
        r#"{"module_state_dict": {"w": [1, 2]},
            "privacy_accountant_state_dict": {"history": [[1.1, 0.01, 500.0]]}}"#,
        r#"{"privacy_accountant_state_dict": [[1.1, 0.01, 500]]}"#,
    ] {
        let (found, origin) = ledger(text, ADD).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!((&found, origin), (&bare, Origin::Opacus));
    }
    refused(
        r#"{"privacy_accountant_state_dict": {"history": [[1.1, 2.0, 5]]}}"#,
        &["$.privacy_accountant_state_dict.history[0][1]"],
    );
}

/// `json.dumps` writes an infinite shape as `Infinity`.
#[test]
fn an_infinite_shape_is_read_as_python_writes_it() {
    let quoted = r#"{"class_name": "RepeatAndSelectDpEvent", "mean": 4.0, "shape": "inf",
        "event": {"class_name": "GaussianDpEvent", "noise_multiplier": 2.0}}"#;
    let bare = quoted.replace("\"inf\"", "Infinity");
    assert_eq!(one(&bare), one(quoted));
    let listed = r#"["dp_accounting.dp_event", "RepeatAndSelectDpEvent",
        ["dp_accounting.dp_event", "GaussianDpEvent", 2.0], 4.0, Infinity]"#;
    assert_eq!(one(listed), one(quoted));
    refused(&bare.replace("4.0", "Infinity"), &["Infinity", "line 1"]);
    refused(&bare.replace("Infinity", "-Infinity"), &["-Infinity", "line 1"]);
}
