//! The fuzz target: any event tree at all, sound or not, is priced or refused, and nothing else.
//!
//! Every accountant is asked about trees of every kind of event, with numbers from the whole range
//! of floats, under every relation. None may panic, answer with what is not a number or with an
//! interval that is upside down, contradict another, or get cheaper by a further release.
//! `FED_DP_CASES=50` in the environment makes it 20,000 trees, and so on.

use std::num::NonZeroU64;

use dp_accounting::rdp::{Conversion, Orders, RdpAccountant};
use dp_accounting::{
    Accountant, Delta, DeltaInterval, DpEvent, Epsilon, EpsilonInterval, ExactAccountant,
    Neighboring, NoiseMultiplier, PldAccountant, Repetitions, Rho, SamplingProbability,
};
use proptest::prelude::*;

/// `10^x` for `x` in a range: as likely small as large.
fn decades(range: std::ops::Range<f64>) -> impl Strategy<Value = f64> {
    range.prop_map(|x| 10.0_f64.powf(x))
}

/// Numbers of repetitions, sound ones and any.
fn repetitions() -> impl Strategy<Value = Repetitions> {
    let binomial = |(shape, gamma)| Repetitions::TruncatedNegativeBinomial { shape, gamma };
    prop_oneof![
        (-0.99..4.0_f64, 0.0..1.0_f64).prop_map(binomial),
        (prop_oneof![Just(0.0), Just(1.0)], decades(-12.0..0.0)).prop_map(binomial),
        (any::<f64>(), any::<f64>()).prop_map(binomial),
        decades(-9.0..6.0).prop_map(|mean| Repetitions::Poisson { mean }),
        any::<f64>().prop_map(|mean| Repetitions::Poisson { mean }),
    ]
}

/// Any event tree, sound or not.
fn events() -> impl Strategy<Value = DpEvent> {
    let noise = || {
        prop_oneof![Just(0.0), decades(-2.0..3.0), decades(-300.0..300.0)]
            .prop_map(|z| NoiseMultiplier::new(z).expect("in range"))
    };
    let share = || {
        prop_oneof![Just(0.0), Just(1.0), decades(-7.0..0.0), decades(-323.0..0.0), 0.0..1.0_f64]
            .prop_map(|q| SamplingProbability::new(q.min(1.0)).expect("in range"))
    };
    let leaf = prop_oneof![
        Just(DpEvent::NoOp),
        Just(DpEvent::NonPrivate),
        noise().prop_map(DpEvent::gaussian),
        noise().prop_map(|noise_multiplier| DpEvent::Laplace { noise_multiplier }),
        noise().prop_map(|noise_multiplier| DpEvent::DiscreteGaussian { noise_multiplier }),
        (share(), 0_u64..5).prop_map(|(probability, buckets)| DpEvent::RandomizedResponse {
            probability,
            buckets
        }),
        (noise(), any::<u64>(), 1..u64::MAX, 1..u64::MAX, any::<bool>()).prop_map(
            |(noise_multiplier, steps, most, apart, few)| {
                let small = |n: u64| if few { n % 50 + 1 } else { n };
                DpEvent::TreeWithParticipations {
                    noise_multiplier,
                    steps: small(steps),
                    max_participations: NonZeroU64::new(small(most)).expect("not zero"),
                    min_separation: NonZeroU64::new(small(apart)).expect("not zero"),
                }
            }
        ),
        (noise(), prop::collection::vec(any::<u64>(), 0..3)).prop_map(
            |(noise_multiplier, steps)| DpEvent::TreeAggregation { noise_multiplier, steps }
        ),
        prop_oneof![Just(f64::INFINITY), decades(-9.0..9.0)].prop_map(|epsilon| DpEvent::PureDp {
            epsilon: Epsilon::new(epsilon).expect("in range")
        }),
        decades(-300.0..300.0)
            .prop_map(|rho| DpEvent::Zcdp { rho: Rho::new(rho).expect("in range") }),
    ];
    leaf.prop_recursive(4, 12, 3, move |inner| {
        prop_oneof![
            (share(), inner.clone()).prop_map(|(q, event)| event.poisson_sampled(q)),
            (0_u64..1000, 0_u64..1000, inner.clone())
                .prop_map(|(all, some, event)| event.fixed_size_sampled(all, some)),
            prop::collection::vec(inner.clone(), 0..3).prop_map(DpEvent::composed),
            (1_u64..u64::MAX, inner.clone())
                .prop_map(|(n, event)| event.repeated(NonZeroU64::new(n).expect("not zero"))),
            (1_u64..1000, inner.clone())
                .prop_map(|(n, event)| event.repeated(NonZeroU64::new(n).expect("not zero"))),
            (repetitions(), inner).prop_map(|(repetitions, event)| {
                DpEvent::RepeatAndSelect { event: Box::new(event), repetitions }
            }),
        ]
    })
}

/// Trees in everyday use; with `FED_DP_CASES=K` in the environment `K` times as many.
fn trees() -> ProptestConfig {
    let times = std::env::var("FED_DP_CASES")
        .map_or(1, |times| times.parse().expect("FED_DP_CASES is a whole number"));
    ProptestConfig::with_cases(400 * times)
}

/// One of each accountant, and of the settings that take other paths.
fn accountants(relation: Neighboring) -> Vec<Box<dyn Accountant>> {
    let exact = ExactAccountant::new(relation).with_width(1e-3).expect("in range");
    let grid = PldAccountant::new(relation).with_points(1 << 13);
    let rdp = RdpAccountant::new(relation);
    vec![
        Box::new(exact),
        Box::new(grid.with_step(1e-2).expect("in range")),
        Box::new(rdp.clone()),
        Box::new(rdp.with_orders(Orders::tutorial()).with_conversion(Conversion::Classic)),
    ]
}

/// What an accountant makes of an event; nothing where it has no answer.
fn answers(
    accountant: &dyn Accountant,
    delta: Delta,
    epsilon: Epsilon,
) -> (Option<EpsilonInterval>, Option<DeltaInterval>) {
    (accountant.epsilon_interval(delta).ok(), accountant.delta_interval(epsilon).ok())
}

proptest! {
    #![proptest_config(trees())]

    /// And what is written comes back.
    #[test]
    fn any_event_is_priced_or_refused(
        event in events(),
        further in events(),
        at in decades(-12.0..-1.0),
        epsilon in prop_oneof![Just(0.0), decades(-6.0..4.0)],
    ) {
        let at = Delta::new(at).expect("in range");
        let epsilon = Epsilon::new(epsilon).expect("in range");
        for relation in
            [Neighboring::AddOrRemoveOne, Neighboring::ReplaceOne, Neighboring::ZeroOutOne]
        {
            let (mut epsilons, mut deltas) = (Vec::new(), Vec::new());
            for mut accountant in accountants(relation) {
                let name = accountant.name();
                let taken = accountant.supports(&event);
                prop_assert_eq!(&taken, &accountant.compose(&event, 1), "{}", name);
                if let Err(error) = taken {
                    prop_assert!(!error.to_string().is_empty());
                    let nothing = (Some(Epsilon::ZERO), Some(Delta::ZERO));
                    let after = answers(accountant.as_ref(), Delta::ZERO, Epsilon::ZERO);
                    let after = (after.0.map(|one| one.upper), after.1.map(|one| one.upper));
                    prop_assert_eq!(after, nothing, "{} composed what it refused", name);
                    continue;
                }
                let (found, failing) = answers(accountant.as_ref(), at, epsilon);
                if let Some(found) = found {
                    prop_assert!(found.lower_or_zero() <= found.upper, "{name}: {found:?}");
                    epsilons.push((name, found));
                }
                if let Some(failing) = failing {
                    prop_assert!(failing.lower_or_zero() <= failing.upper, "{name}: {failing:?}");
                    deltas.push((name, failing));
                }
                // One more release never costs less.
                if accountant.compose(&further, 1).is_ok() {
                    let (more, failing_more) = answers(accountant.as_ref(), at, epsilon);
                    let room = |x: f64| x * (1.0 + 1e-6) + 1e-9;
                    // Of Rényi accounting the upper end is all there is.
                    let only_upper = name == "RDP";
                    if let (Some(less), Some(more)) = (found, more) {
                        let before = if only_upper { less.upper } else { less.lower_or_zero() };
                        let after = room(more.upper.get());
                        prop_assert!(before.get() <= after, "{name}: {less:?}, then {more:?}");
                    }
                    if let (Some(less), Some(more)) = (failing, failing_more) {
                        let before = if only_upper { less.upper } else { less.lower_or_zero() };
                        let after = room(more.upper.get());
                        prop_assert!(before.get() <= after, "{name}: {less:?}, then {more:?}");
                    }
                }
            }
            // The upper end of one lies above the lower end of every other.
            for (a, b) in epsilons.iter().flat_map(|a| epsilons.iter().map(move |b| (a, b))) {
                let upper = b.1.upper.get() * (1.0 + 1e-12);
                prop_assert!(a.1.lower_or_zero().get() <= upper, "{a:?} {b:?}");
            }
            for (a, b) in deltas.iter().flat_map(|a| deltas.iter().map(move |b| (a, b))) {
                let upper = b.1.upper.get() * (1.0 + 1e-12);
                prop_assert!(a.1.lower_or_zero().get() <= upper, "{a:?} {b:?}");
            }
        }
        prop_assert!(!event.to_string().is_empty());
        let text = serde_json::to_string(&event);
        let finite = !text.as_ref().is_ok_and(|text| text.contains("null"));
        if finite {
            let back: DpEvent = serde_json::from_str(&text.expect("JSON")).expect("readable");
            prop_assert_eq!(back, event);
        }
    }
}
