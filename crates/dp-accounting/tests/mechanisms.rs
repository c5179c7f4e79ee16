//! Mechanisms other than the Poisson-sampled Gaussian: tables and closed forms.

use std::num::NonZeroU64;

use dp_accounting::rdp::RdpAccountant;
use dp_accounting::{
    Accountant, AccountingError, Delta, DpEvent, Epsilon, ExactAccountant, Neighboring,
    NoiseMultiplier, PldAccountant, Repetitions, Rho, SamplingProbability,
};
use serde_json::Value;

fn noise(z: f64) -> NoiseMultiplier {
    NoiseMultiplier::new(z).expect("in range")
}

fn rate(q: f64) -> SamplingProbability {
    SamplingProbability::new(q).expect("in range")
}

fn pure(epsilon: f64) -> DpEvent {
    DpEvent::PureDp { epsilon: Epsilon::new(epsilon).expect("in range") }
}

fn with(relation: Neighboring, event: &DpEvent) -> RdpAccountant {
    let mut accountant = RdpAccountant::new(relation);
    accountant.compose(event, 1).unwrap_or_else(|error| panic!("{error}"));
    accountant
}

fn assert_near(ours: f64, truth: f64, tolerance: f64, what: &str) {
    assert!((ours / truth - 1.0).abs() <= tolerance, "{what}: {ours} for {truth}");
}

/// The noise multipliers of the table are relative to the distance of neighbouring sums.
#[test]
fn subsets_of_fixed_size_as_in_the_table() {
    let mut lines = include_str!("reference/subset.csv").lines();
    let number = |field: &str| field.parse::<f64>().expect("the table holds numbers");
    let orders: Vec<f64> = lines.next().expect("a head").split(',').skip(2).map(number).collect();
    let mut cells = 0;
    for line in lines {
        let row: Vec<f64> = line.split(',').map(number).collect();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below 2^53")]
        let sample = (row[0] * 1e15).round() as u64;
        let event = DpEvent::gaussian(noise(2.0 * row[1]))
            .fixed_size_sampled(1_000_000_000_000_000, sample);
        let accountant = with(Neighboring::ReplaceOne, &event);
        for (&order, &truth) in orders.iter().zip(&row[2..]) {
            let what = format!("q={} sigma={} order={order}", row[0], row[1]);
            // A subset never tells more than everybody: ours takes the smaller of the two.
            let truth = truth.min(order / (2.0 * row[1] * row[1]));
            assert_near(accountant.rdp(order), truth, 1e-10, &what);
            cells += 1;
        }
    }
    assert_eq!(cells, 70, "an empty table proves nothing");
}

#[test]
fn trees_with_restarts_as_in_the_table() {
    let table: Vec<Value> =
        serde_json::from_str(include_str!("reference/trees.json")).expect("well formed");
    assert_eq!(table.len(), 7, "an empty table proves nothing");
    let list = |value: &Value| -> Vec<f64> {
        let numbers = value.as_array().expect("a list").iter();
        numbers.map(|x| x.as_f64().expect("a number")).collect()
    };
    for case in &table {
        let steps = case["steps"].as_array().expect("a list").iter();
        let event = DpEvent::TreeAggregation {
            noise_multiplier: noise(case["sigma"].as_f64().expect("a number")),
            steps: steps.map(|x| x.as_u64().expect("a whole number")).collect(),
        };
        let once = with(Neighboring::ZeroOutOne, &event);
        let twice = with(Neighboring::ReplaceOne, &event);
        for (order, truth) in list(&case["orders"]).into_iter().zip(list(&case["closed_form"])) {
            assert_near(once.rdp(order), truth, 1e-14, "zero out");
            assert_near(twice.rdp(order), 4.0 * truth, 1e-14, "replace");
        }
        assert!(RdpAccountant::new(Neighboring::AddOrRemoveOne).supports(&event).is_err());
    }
}

/// One tree in which a record takes part several times, as tensorflow-privacy 0.9.0 has it.
#[test]
fn trees_with_several_participations_as_elsewhere() {
    let positive = |n: u64| NonZeroU64::new(n).expect("not zero");
    for (z, steps, most, apart, zcdp) in [
        (1.0, 64, 1, 1, 3.5),
        (2.0, 10, 3, 2, 2.5),
        (1.5, 33, 2, 16, 28.0 / 9.0),
        (3.0, 128, 3, 20, 19.0 / 9.0),
    ] {
        let event = DpEvent::TreeWithParticipations {
            noise_multiplier: noise(z),
            steps,
            max_participations: positive(most),
            min_separation: positive(apart),
        };
        for order in [2.0, 8.0, 32.0] {
            let what = format!("{event}");
            assert_near(
                with(Neighboring::ZeroOutOne, &event).rdp(order),
                zcdp * order,
                1e-14,
                &what,
            );
            let replaced = with(Neighboring::ReplaceOne, &event).rdp(order);
            assert_near(replaced, 4.0 * zcdp * order, 1e-14, &what);
        }
        // An upper bound is not the truth, and nobody says so; leaving out a record moves steps.
        let buried = DpEvent::composed(vec![event.clone()]);
        for error in [
            RdpAccountant::new(Neighboring::AddOrRemoveOne).supports(&buried),
            ExactAccountant::new(Neighboring::ZeroOutOne).supports(&buried),
            PldAccountant::new(Neighboring::ZeroOutOne).supports(&buried),
        ] {
            let error = error.expect_err("no proof");
            assert!(
                matches!(&error, AccountingError::Unsupported { event: inner, .. } if **inner == event),
                "{error}"
            );
        }
    }
    // Restarting is cheaper than one tree over everything.
    let (steps, epochs) = (64, 4);
    let one = DpEvent::TreeWithParticipations {
        noise_multiplier: noise(2.0),
        steps: steps * epochs,
        max_participations: positive(epochs),
        min_separation: positive(steps),
    };
    let restarted = DpEvent::TreeAggregation { noise_multiplier: noise(2.0), steps: vec![steps] }
        .repeated(positive(epochs));
    let relation = Neighboring::ZeroOutOne;
    assert!(with(relation, &one).rdp(4.0) > with(relation, &restarted).rdp(4.0));
}

#[test]
fn closed_forms() {
    let add = Neighboring::AddOrRemoveOne;
    let order = 3.5_f64;
    let zcdp = DpEvent::Zcdp { rho: Rho::new(0.125).expect("in range") };
    assert_near(with(add, &zcdp).rdp(order), 0.125 * order, 1e-15, "zCDP");
    let gaussian = with(add, &DpEvent::gaussian(noise(2.0))).rdp(order);
    assert_near(gaussian, order / 8.0, 1e-15, "Gaussian");
    let discrete = DpEvent::DiscreteGaussian { noise_multiplier: noise(2.0) };
    assert_near(with(add, &discrete).rdp(order), order / 8.0, 1e-15, "discrete Gaussian");
    let replaced = with(Neighboring::ReplaceOne, &discrete).rdp(order);
    assert_near(replaced, order / 2.0, 1e-15, "discrete Gaussian, replaced");

    for b in [0.1_f64, 1.0, 3.0, 500.0] {
        let laplace = with(add, &DpEvent::Laplace { noise_multiplier: noise(b) });
        let weight = order / (2.0 * order - 1.0);
        let sum = weight * ((order - 1.0) / b).exp_m1() + (1.0 - weight) * (-order / b).exp_m1();
        let tolerance = if b > 100.0 { 1e-9 } else { 1e-12 };
        assert_near(laplace.rdp(order), sum.ln_1p() / (order - 1.0), tolerance, "Laplace");
        assert_near(laplace.rdp(1e9), 1.0 / b, 1e-6, "Laplace at a large order");
    }

    // One bit, half of the answers random: 3/4 against 1/4.
    let response = DpEvent::RandomizedResponse { probability: rate(0.5), buckets: 2 };
    let curve = with(Neighboring::ReplaceOne, &response);
    let sum = 0.75_f64.powf(order) * 0.25_f64.powf(1.0 - order)
        + 0.25_f64.powf(order) * 0.75_f64.powf(1.0 - order);
    assert_near(curve.rdp(order), sum.ln() / (order - 1.0), 1e-14, "randomised response");
    let same = with(add, &pure(3.0_f64.ln())).rdp(order);
    assert_near(same, curve.rdp(order), 1e-14, "the worst pure mechanism is randomised response");

    let certain = DpEvent::RandomizedResponse { probability: rate(0.0), buckets: 2 };
    assert!(with(Neighboring::ReplaceOne, &certain).rdp(2.0).is_infinite());
    for nothing in [
        DpEvent::RandomizedResponse { probability: rate(1.0), buckets: 9 },
        DpEvent::RandomizedResponse { probability: rate(0.3), buckets: 1 },
        DpEvent::NoOp,
        DpEvent::composed(Vec::new()),
        DpEvent::gaussian(noise(1.0)).poisson_sampled(rate(0.0)),
        DpEvent::NonPrivate.poisson_sampled(rate(0.0)),
    ] {
        let epsilon = with(Neighboring::ReplaceOne, &nothing).epsilon(Delta::ZERO);
        assert_eq!(epsilon, Ok(Epsilon::ZERO), "{nothing:?}");
    }
}

#[test]
fn pure_guarantees_add_up_and_are_amplified() {
    let mut accountant = RdpAccountant::new(Neighboring::AddOrRemoveOne);
    accountant.compose(&pure(0.1), 5).expect("supported");
    let at_zero = accountant.epsilon(Delta::ZERO).expect("no limits").get();
    assert!((at_zero - 0.5).abs() < 1e-15, "{at_zero}");
    accountant.compose(&pure(0.1), 995).expect("supported");
    let many = accountant.epsilon(Delta::new(1e-5).expect("in range")).expect("no limits").get();
    assert!(many < 20.0, "composing a thousand is far below their sum: {many}");

    let sampled = with(Neighboring::AddOrRemoveOne, &pure(1.0).poisson_sampled(rate(0.01)));
    let epsilon = sampled.epsilon(Delta::ZERO).expect("no limits").get();
    assert_near(epsilon, (0.01 * 1.0_f64.exp_m1()).ln_1p(), 1e-14, "amplified");
    // The sampled release of an unknown mechanism under replacement has no such price.
    let refused = RdpAccountant::new(Neighboring::ReplaceOne)
        .supports(&pure(1.0).poisson_sampled(rate(0.01)))
        .expect_err("no proof");
    assert!(matches!(refused, AccountingError::Unsupported { event, .. } if *event == pure(1.0)));
}

#[test]
fn choosing_the_best_of_many_costs_about_twice_one() {
    let run = DpEvent::gaussian(noise(1.2))
        .poisson_sampled(rate(0.0355))
        .repeated(NonZeroU64::new(100).expect("not zero"));
    let delta = Delta::new(1e-5).expect("in range");
    let add = Neighboring::AddOrRemoveOne;
    let one = with(add, &run).epsilon(delta).expect("no limits").get();
    let mut last = one;
    for gamma in [0.5, 0.1, 0.02] {
        let repetitions = Repetitions::TruncatedNegativeBinomial { shape: 1.0, gamma };
        assert_near(repetitions.mean(), 1.0 / gamma, 1e-14, "geometric mean");
        let event = DpEvent::RepeatAndSelect { event: Box::new(run.clone()), repetitions };
        let all = with(add, &event).epsilon(delta).expect("no limits").get();
        assert!(all > last, "more runs cost more: {all} after {last}");
        assert!(all < 4.0 * one, "{all} for {one}, composing would cost {}", one / gamma.sqrt());
        last = all;
    }
    // By hand, at one order, with pure runs: λ̂ → ∞ leaves (1 + η) ε.
    let repetitions = Repetitions::TruncatedNegativeBinomial { shape: 0.0, gamma: 0.1 };
    assert_near(repetitions.mean(), 9.0 / 10.0_f64.ln(), 1e-14, "logarithmic mean");
    let event = DpEvent::RepeatAndSelect { event: Box::new(pure(0.5)), repetitions };
    let bound = with(add, &event).rdp(1e6);
    assert!(bound <= 2.0 * 0.5 + 1e-4 && bound > 0.9, "{bound}");
    let poisson = DpEvent::RepeatAndSelect {
        event: Box::new(run),
        repetitions: Repetitions::Poisson { mean: 20.0 },
    };
    let all = with(add, &poisson).epsilon(delta).expect("no limits").get();
    assert!(all > one && all < 3.0 * one, "{all} for {one}");

    for repetitions in [
        Repetitions::TruncatedNegativeBinomial { shape: -1.0, gamma: 0.5 },
        Repetitions::TruncatedNegativeBinomial { shape: 1.0, gamma: 0.0 },
        Repetitions::TruncatedNegativeBinomial { shape: f64::NAN, gamma: 0.5 },
        Repetitions::Poisson { mean: f64::INFINITY },
        Repetitions::Poisson { mean: 0.0 },
    ] {
        let event = DpEvent::RepeatAndSelect { event: Box::new(pure(0.5)), repetitions };
        let error = RdpAccountant::new(add).supports(&event).expect_err("out of range");
        assert!(matches!(error, AccountingError::Malformed { .. }), "{error}");
    }
}

/// The square of such a noise multiplier overflows: the price is next to nothing, not a panic.
#[test]
fn noise_beyond_every_scale_costs_next_to_nothing() {
    for multiplier in [1e160, 2.75e189, 1e300] {
        let noise = dp_accounting::NoiseMultiplier::new(multiplier).expect("in range");
        let gaussian = dp_accounting::DpEvent::gaussian(noise);
        let rate = dp_accounting::SamplingProbability::new(0.01).expect("in range");
        for event in [
            gaussian.clone(),
            gaussian.clone().poisson_sampled(rate),
            gaussian.fixed_size_sampled(596, 1),
        ] {
            let relation = dp_accounting::Neighboring::ReplaceOne;
            let mut accountant = dp_accounting::RdpAccountant::new(relation);
            if dp_accounting::Accountant::compose(&mut accountant, &event, 1).is_ok() {
                let delta = dp_accounting::Delta::new(1e-5).expect("in range");
                let epsilon =
                    dp_accounting::Accountant::epsilon(&accountant, delta).expect("a price");
                assert!(epsilon.get() < 1e-3, "{event:?}: {epsilon}");
            }
        }
    }
}
