//! What every accountant must keep; each new one joins the list in `accountants`.

use std::num::NonZeroU64;

use dp_accounting::rdp::{Conversion, Orders, RdpAccountant};
use dp_accounting::{
    Accountant, AccountingError, Delta, DpEvent, Epsilon, EpsilonInterval, ExactAccountant,
    Neighboring, NoiseMultiplier, PldAccountant, Repetitions, Rho, SamplingProbability,
};

const RELATIONS: [Neighboring; 3] =
    [Neighboring::AddOrRemoveOne, Neighboring::ReplaceOne, Neighboring::ZeroOutOne];

fn accountants(relation: Neighboring) -> Vec<Box<dyn Accountant>> {
    let rdp = RdpAccountant::new(relation);
    vec![
        Box::new(rdp.clone()),
        Box::new(rdp.clone().with_orders(Orders::tutorial())),
        Box::new(rdp.with_orders(Orders::tenths()).with_conversion(Conversion::Classic)),
        Box::new(ExactAccountant::new(relation)),
        Box::new(PldAccountant::new(relation).with_step(1e-3).expect("in range")),
    ]
}

fn everybody() -> impl Iterator<Item = Box<dyn Accountant>> {
    RELATIONS.into_iter().flat_map(accountants)
}

fn noise(z: f64) -> NoiseMultiplier {
    NoiseMultiplier::new(z).expect("in range")
}

fn rate(q: f64) -> SamplingProbability {
    SamplingProbability::new(q).expect("in range")
}

fn delta(value: f64) -> Delta {
    Delta::new(value).expect("in range")
}

fn times(event: &DpEvent, count: u64) -> DpEvent {
    event.clone().repeated(NonZeroU64::new(count).expect("not zero"))
}

fn three() -> NonZeroU64 {
    NonZeroU64::new(3).expect("not zero")
}

/// One of each kind.
fn events() -> Vec<DpEvent> {
    let gaussian = DpEvent::gaussian(noise(4.0));
    vec![
        gaussian.clone(),
        gaussian.clone().poisson_sampled(rate(0.1)),
        gaussian.clone().fixed_size_sampled(1000, 30),
        DpEvent::Laplace { noise_multiplier: noise(20.0) },
        DpEvent::Laplace { noise_multiplier: noise(9.0) }.poisson_sampled(rate(0.1)),
        DpEvent::DiscreteLaplace { noise_multiplier: noise(20.0), sensitivity: three() },
        DpEvent::DiscreteGaussian { noise_multiplier: noise(4.0) },
        DpEvent::RandomizedResponse { probability: rate(0.9), buckets: 2 },
        DpEvent::TreeAggregation { noise_multiplier: noise(9.0), steps: vec![100, 7] },
        DpEvent::PureDp { epsilon: Epsilon::new(0.1).expect("in range") },
        DpEvent::Zcdp { rho: Rho::new(0.01).expect("in range") },
        DpEvent::RepeatAndSelect {
            event: Box::new(gaussian),
            repetitions: Repetitions::TruncatedNegativeBinomial { shape: 1.0, gamma: 0.2 },
        },
    ]
}

fn price(accountant: &mut dyn Accountant, event: &DpEvent, count: u64) -> Option<f64> {
    match accountant.compose(event, count) {
        Ok(()) => Some(accountant.epsilon(delta(1e-5)).expect("reached").get()),
        Err(AccountingError::Unsupported { .. }) => None,
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn the_count_is_honoured_for_every_event() {
    let mut priced = 0;
    for event in events() {
        for index in 0..15 {
            let fresh = || everybody().nth(index).expect("fifteen of them");
            let Some(once) = price(fresh().as_mut(), &event, 1) else { continue };
            let counted = price(fresh().as_mut(), &event, 20).expect("supported");
            let repeated = price(fresh().as_mut(), &times(&event, 20), 1).expect("supported");
            let nested = times(&times(&event, 4), 5);
            let nested = price(fresh().as_mut(), &nested, 1).expect("supported");
            let listed = DpEvent::composed(vec![event.clone(); 20]);
            let listed = price(fresh().as_mut(), &listed, 1).expect("supported");
            let mut one_by_one = fresh();
            for _ in 0..20 {
                one_by_one.compose(&event, 1).expect("supported");
            }
            let one_by_one = one_by_one.epsilon(delta(1e-5)).expect("reached").get();
            for other in [repeated, nested, listed, one_by_one] {
                assert!((counted - other).abs() < 1e-8 * counted, "{event:?}: {counted} {other}");
            }
            assert!(counted > 1.5 * once, "{event:?}: {counted} for twenty, {once} for one");
            priced += 1;
        }
    }
    assert!(priced > 70, "only {priced} of the pairs were priced");
}

#[test]
fn a_refusal_names_the_innermost_event_and_changes_nothing() {
    let wrong = DpEvent::gaussian(noise(1.0)).fixed_size_sampled(100, 10);
    let good = DpEvent::gaussian(noise(2.0));
    let buried = times(&DpEvent::composed(vec![good.clone(), wrong.clone()]), 3);
    for mut accountant in accountants(Neighboring::AddOrRemoveOne) {
        accountant.compose(&good, 1).expect("supported");
        let before = accountant.epsilon(delta(1e-5));
        let error = accountant.compose(&buried, 2).expect_err("no proof");
        let AccountingError::Unsupported { event, relation, .. } = error else { panic!("{error}") };
        assert_eq!((*event, relation), (wrong.clone(), Neighboring::AddOrRemoveOne));
        assert_eq!(accountant.epsilon(delta(1e-5)), before, "part of it was composed");
        assert!(accountant.supports(&buried).is_err());
        assert!(accountant.supports(&good).is_ok());
    }
}

#[test]
fn no_noise_is_no_guarantee_and_nothing_is_free() {
    for mut accountant in everybody() {
        assert_eq!(accountant.epsilon(Delta::ZERO), Ok(Epsilon::ZERO));
        assert_eq!(accountant.delta(Epsilon::ZERO), Ok(Delta::ZERO));
        accountant.compose(&DpEvent::NoOp, 7).expect("supported");
        accountant.compose(&DpEvent::gaussian(noise(1.0)), 0).expect("zero times is nothing");
        assert_eq!(accountant.epsilon(Delta::ZERO), Ok(Epsilon::ZERO));
        accountant.compose(&DpEvent::gaussian(noise(1.0)), 1).expect("supported");
        assert_eq!(accountant.epsilon(Delta::ZERO), Ok(Epsilon::INFINITE));
        assert_eq!(accountant.epsilon(delta(1.0)), Ok(Epsilon::ZERO));
        let open = DpEvent::gaussian(noise(0.0)).poisson_sampled(rate(0.5));
        accountant.compose(&open, 1).expect("supported");
        assert_eq!(accountant.epsilon(delta(0.1)), Ok(Epsilon::INFINITE));
        assert_eq!(accountant.delta(Epsilon::new(9.0).expect("in range")), Ok(delta(1.0)));
        let interval = accountant.epsilon_interval(delta(0.1)).expect("reached");
        assert_eq!(interval.upper, Epsilon::INFINITE);
    }
}

#[test]
fn sampling_everybody_is_not_sampling() {
    for relation in RELATIONS {
        for (mut plain, mut sampled) in accountants(relation).into_iter().zip(accountants(relation))
        {
            let event = DpEvent::gaussian(noise(5.0));
            let a = price(plain.as_mut(), &event, 10).expect("supported");
            let b = price(sampled.as_mut(), &event.poisson_sampled(rate(1.0)), 10);
            assert_eq!(Some(a), b);
        }
    }
}

#[test]
fn replacing_is_moving_twice_as_far() {
    let truth = 1.993_091_404_415_119_6;
    let mut accountant = ExactAccountant::new(Neighboring::ReplaceOne);
    let epsilon = price(&mut accountant, &DpEvent::gaussian(noise(4.0)), 1).expect("supported");
    assert!((epsilon - truth).abs() < 1e-9, "{epsilon}");
    let mut rdp = RdpAccountant::new(Neighboring::ReplaceOne);
    let epsilon = price(&mut rdp, &DpEvent::gaussian(noise(4.0)), 1).expect("supported");
    assert!(epsilon > truth && epsilon < 2.2, "{epsilon}");
}

#[test]
fn the_counts_have_a_limit_and_say_so() {
    for mut accountant in everybody() {
        let event = DpEvent::gaussian(noise(1e6));
        accountant.compose(&event, 1 << 53).expect("the limit itself");
        assert_eq!(accountant.compose(&event, 1), Err(AccountingError::TooManyRepetitions));
        let nested = times(&times(&event, u64::MAX), u64::MAX);
        assert_eq!(accountant.compose(&nested, 2), Err(AccountingError::TooManyRepetitions));
        let inside = times(&event, u64::MAX).poisson_sampled(rate(0.5));
        assert_eq!(accountant.compose(&inside, 1), Err(AccountingError::TooManyRepetitions));
    }
}

#[test]
fn contradictions_are_malformed() {
    for mut accountant in accountants(Neighboring::ReplaceOne) {
        let event = DpEvent::gaussian(noise(1.0)).fixed_size_sampled(10, 11);
        let error = accountant.compose(&event, 1).expect_err("eleven of ten");
        assert!(matches!(error, AccountingError::Malformed { .. }), "{error}");
    }
}

#[test]
fn intervals_are_shown_rounded_outwards() {
    let shown = |lower, upper| {
        let [lower, upper] = [lower, upper].map(|end| Epsilon::new(end).expect("in range"));
        EpsilonInterval::between(lower, upper).to_string()
    };
    assert_eq!(
        shown(1.707_470_644_369, 1.707_470_645_349),
        "between 1.70747064436 and 1.70747064535"
    );
    assert_eq!(shown(0.0, 0.25), "between 0.00 and 0.25");
    assert_eq!(shown(0.0, 0.0), "at 0");
    assert!(shown(1.0, f64::INFINITY).starts_with("between 1"));
    // What is only a bound has no lower end that could be taken for one.
    let bound =
        |upper| EpsilonInterval::at_most(Epsilon::new(upper).expect("in range")).to_string();
    assert_eq!(bound(0.25), "at most 0.25000000");
    assert_eq!(bound(1.170_000_000_1), "at most 1.1700001");
    assert_eq!(bound(f64::INFINITY), "without a bound");
}
