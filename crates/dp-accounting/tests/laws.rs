//! Laws that hold for every kind of event, under every relation, with every accountant.
//!
//! A case is an event of one kind and, for each of its arguments, the same event with that argument
//! moved to where it must cost at least as much. `FED_DP_CASES=K` in the environment tries `K` times
//! as many.

use std::num::NonZeroU64;

use dp_accounting::calibrate::{Direction, Verdict, whole};
use dp_accounting::rdp::{Conversion, Orders, RdpAccountant};
use dp_accounting::{
    Accountant, Delta, DpEvent, Epsilon, EpsilonInterval, ExactAccountant, Neighboring,
    NoiseMultiplier, PldAccountant, Repetitions, Rho, SamplingProbability,
};
use proptest::prelude::*;

/// An event, and what costs at least as much: the name of the argument that was moved, and the event.
#[derive(Clone, Debug)]
struct Case {
    event: DpEvent,
    dearer: Vec<(&'static str, DpEvent)>,
}

fn noise(z: f64) -> NoiseMultiplier {
    NoiseMultiplier::new(z).expect("in range")
}

fn rate(q: f64) -> SamplingProbability {
    SamplingProbability::new(q.min(1.0)).expect("in range")
}

fn gaussian(z: f64) -> DpEvent {
    DpEvent::gaussian(noise(z))
}

fn times(event: DpEvent, count: u64) -> DpEvent {
    event.repeated(NonZeroU64::new(count).expect("not zero"))
}

/// `10^x` for `x` in a range: as likely small as large.
fn decades(range: std::ops::Range<f64>) -> impl Strategy<Value = f64> {
    range.prop_map(|x| 10.0_f64.powf(x))
}

/// Noise `z`, a share `q`, a whole number `n` and a factor `more` above 1, turned into cases.
fn case(kind: usize, z: f64, q: f64, n: u64, more: f64) -> Case {
    let pure = |epsilon| DpEvent::PureDp { epsilon: Epsilon::new(epsilon).expect("in range") };
    let participations = |z, steps, most, apart| DpEvent::TreeWithParticipations {
        noise_multiplier: noise(z),
        steps,
        max_participations: NonZeroU64::new(most).expect("not zero"),
        min_separation: NonZeroU64::new(apart).expect("not zero"),
    };
    let best =
        |z, repetitions| DpEvent::RepeatAndSelect { event: Box::new(gaussian(z)), repetitions };
    let binomial = |shape, gamma| Repetitions::TruncatedNegativeBinomial { shape, gamma };
    let (event, dearer) = match kind {
        0 => (gaussian(z), vec![("noise", gaussian(z / more))]),
        1 => (
            gaussian(z).poisson_sampled(rate(q)),
            vec![
                ("noise", gaussian(z / more).poisson_sampled(rate(q))),
                ("rate", gaussian(z).poisson_sampled(rate(q * more))),
            ],
        ),
        2 => {
            // An event tree with one more child, under one sampling.
            let parts =
                |count| vec![gaussian(z), gaussian(2.0 * z), gaussian(3.0 * z)][..count].to_vec();
            let sampled = |count| DpEvent::composed(parts(count)).poisson_sampled(rate(q));
            (sampled(2), vec![("children", sampled(3))])
        }
        3 => {
            let event = |z, sample, population| gaussian(z).fixed_size_sampled(population, sample);
            let all = 10 * n + 10;
            (
                event(z, n, all),
                vec![
                    ("noise", event(z / more, n, all)),
                    ("sample", event(z, n + 1, all)),
                    ("population", event(z, n, all - 1)),
                ],
            )
        }
        4 => {
            let event = |b| DpEvent::Laplace { noise_multiplier: noise(b) };
            (event(3.0 * z), vec![("scale", event(3.0 * z / more))])
        }
        5 => {
            let event = |z| DpEvent::DiscreteGaussian { noise_multiplier: noise(z) };
            (event(z), vec![("noise", event(z / more))])
        }
        6 => {
            let event = |p, buckets| DpEvent::RandomizedResponse { probability: rate(p), buckets };
            (
                event(q, n + 1),
                vec![("chance", event(q / more, n + 1)), ("answers", event(q, n + 2))],
            )
        }
        7 => {
            let event = |z, steps| DpEvent::TreeAggregation { noise_multiplier: noise(z), steps };
            (
                event(4.0 * z, vec![n, 2]),
                vec![
                    ("noise", event(4.0 * z / more, vec![n, 2])),
                    ("steps", event(4.0 * z, vec![3 * n, 2])),
                    ("trees", event(4.0 * z, vec![n, 2, n])),
                ],
            )
        }
        8 => {
            let most = n % 5 + 1;
            (
                participations(9.0 * z, n, most, 3),
                vec![
                    ("noise", participations(9.0 * z / more, n, most, 3)),
                    ("steps", participations(9.0 * z, n + 3, most, 3)),
                    ("participations", participations(9.0 * z, n, most + 1, 3)),
                    ("separation", participations(9.0 * z, n, most, 2)),
                ],
            )
        }
        9 => (pure(1.0 / z), vec![("epsilon", pure(more / z))]),
        10 => {
            let event = |rho| DpEvent::Zcdp { rho: Rho::new(rho).expect("in range") };
            (event(q / z), vec![("rho", event(more * q / z))])
        }
        11 => (
            pure(1.0 / z).poisson_sampled(rate(q)),
            vec![
                ("epsilon", pure(more / z).poisson_sampled(rate(q))),
                ("rate", pure(1.0 / z).poisson_sampled(rate(q * more))),
            ],
        ),
        12 => {
            let all = 10 * n + 10;
            (
                pure(1.0 / z).fixed_size_sampled(all, n),
                vec![("sample", pure(1.0 / z).fixed_size_sampled(all, n + 1))],
            )
        }
        13 => (
            best(z, binomial(q, q)),
            vec![
                ("noise", best(z / more, binomial(q, q))),
                ("gamma", best(z, binomial(q, q / more))),
                ("shape", best(z, binomial(q * more, q))),
            ],
        ),
        14 => (
            best(z, Repetitions::Poisson { mean: 5.0 * q }),
            vec![
                ("noise", best(z / more, Repetitions::Poisson { mean: 5.0 * q })),
                ("mean", best(z, Repetitions::Poisson { mean: 5.0 * q * more })),
            ],
        ),
        15 => {
            let both = DpEvent::composed(vec![gaussian(z), pure(0.1)]);
            let more = DpEvent::composed(vec![both.clone(), gaussian(9.0 * z)]);
            (both, vec![("children", more)])
        }
        _ => {
            let event = |count| times(gaussian(5.0 * z).poisson_sampled(rate(q)), count);
            (event(n), vec![("count", event(n + 1))])
        }
    };
    Case { event, dearer }
}

/// How many kinds there are.
const KINDS: usize = 17;

fn any_case() -> impl Strategy<Value = Case> {
    (0..KINDS, decades(-0.2..1.5), decades(-3.0..-0.02), 1_u64..300, 1.01..3.0_f64)
        .prop_map(|(kind, z, q, n, more)| case(kind, z, q, n, more))
}

const RELATIONS: [Neighboring; 3] =
    [Neighboring::AddOrRemoveOne, Neighboring::ReplaceOne, Neighboring::ZeroOutOne];

/// Names and makers of the accountants, and whether their lower end says anything.
type Maker = (&'static str, bool, fn(Neighboring) -> Box<dyn Accountant>);
const ACCOUNTANTS: [Maker; 4] = [
    ("exact", true, |relation| {
        let exact = ExactAccountant::new(relation).with_width(1e-6).expect("in range");
        Box::new(exact.with_widest(1e-2).expect("in range"))
    }),
    ("grid", true, |relation| {
        let grid = PldAccountant::new(relation).with_step(1e-3).expect("in range");
        Box::new(grid.with_points(1 << 14))
    }),
    ("Rényi", false, |relation| Box::new(RdpAccountant::new(relation))),
    ("classic", false, |relation| {
        let rdp = RdpAccountant::new(relation).with_orders(Orders::tenths());
        Box::new(rdp.with_conversion(Conversion::Classic))
    }),
];

/// The interval of so many parts one after another; nothing where there is no price.
fn price(
    make: fn(Neighboring) -> Box<dyn Accountant>,
    relation: Neighboring,
    parts: &[(&DpEvent, u64)],
    at: f64,
) -> Option<EpsilonInterval> {
    let mut accountant = make(relation);
    for (event, count) in parts {
        accountant.compose(event, *count).ok()?;
    }
    accountant.epsilon_interval(Delta::new(at).expect("in range")).ok()
}

/// That `more` costs at least as much as `less`, as far as is known.
#[track_caller]
fn assert_dearer(less: EpsilonInterval, more: EpsilonInterval, two_sided: bool, what: &str) {
    let before =
        if two_sided { less.lower_or_zero().get() } else { less.upper.get() * (1.0 - 1e-7) - 1e-9 };
    let after = more.upper.get() * (1.0 + 1e-12);
    assert!(before <= after, "{what}: {more:?} after {less:?}");
}

/// That two ways to say the same are priced alike.
#[track_caller]
fn assert_same(one: EpsilonInterval, other: EpsilonInterval, two_sided: bool, what: &str) {
    assert_dearer(one, other, two_sided, what);
    assert_dearer(other, one, two_sided, what);
}

fn cases(everyday: u32) -> ProptestConfig {
    let times = std::env::var("FED_DP_CASES")
        .map_or(1, |times| times.parse().expect("FED_DP_CASES is a whole number"));
    ProptestConfig::with_cases(everyday * times)
}

#[test]
fn every_kind_has_a_price_somewhere_and_something_dearer() {
    for kind in 0..KINDS {
        let case = case(kind, 2.0, 0.3, 7, 1.5);
        let priced = RELATIONS.iter().any(|&relation| {
            ACCOUNTANTS.iter().any(|(_, _, make)| {
                let price = |event| price(*make, relation, &[(event, 1)], 1e-5);
                let Some(base) = price(&case.event) else { return false };
                // Strictly dearer by most arguments, at these numbers.
                case.dearer
                    .iter()
                    .all(|(_, event)| price(event).is_some_and(|more| more.upper >= base.upper))
                    && case
                        .dearer
                        .iter()
                        .any(|(_, event)| price(event).is_some_and(|more| more.upper > base.upper))
            })
        });
        assert!(priced, "kind {kind}: {}", case.event);
    }
}

proptest! {
    #![proptest_config(cases(16))]

    /// Every argument, the number of times, the failure probability, and a further release.
    #[test]
    fn dearer_in_every_argument(
        case in any_case(),
        further in any_case(),
        count in 1_u64..200,
        at in decades(-10.0..-1.5),
    ) {
        for relation in RELATIONS {
            for (name, two_sided, make) in ACCOUNTANTS {
                let price = |parts: &[(&DpEvent, u64)], at| price(make, relation, parts, at);
                let Some(base) = price(&[(&case.event, count)], at) else { continue };
                let check = |what: &str, more: Option<EpsilonInterval>| {
                    if let Some(more) = more {
                        let what = format!("{name} {relation} {what} {count} × {}", case.event);
                        assert_dearer(base, more, two_sided, &what);
                    }
                };
                for (argument, event) in &case.dearer {
                    check(argument, price(&[(event, count)], at));
                }
                check("times", price(&[(&case.event, count + 1)], at));
                check("delta", price(&[(&case.event, count)], at / 3.0));
                check("further", price(&[(&case.event, count), (&further.event, 1)], at));
            }
        }
    }

    /// In halves or at once, in either order, in whichever brackets.
    #[test]
    fn composing_is_adding_up(
        one in any_case(),
        other in any_case(),
        count in 1_u64..100,
        at in decades(-10.0..-1.5),
    ) {
        for relation in RELATIONS {
            for (name, two_sided, make) in ACCOUNTANTS {
                let price = |parts: &[(&DpEvent, u64)]| price(make, relation, parts, at);
                let (a, b) = (&one.event, &other.event);
                let Some(once) = price(&[(a, 2 * count), (b, 3)]) else { continue };
                let tree = DpEvent::composed(vec![
                    times(DpEvent::composed(vec![a.clone(), times(a.clone(), 1)]), count),
                    times(b.clone(), 3),
                ]);
                for (what, parts) in [
                    ("halves", &[(a, count), (b, 3), (a, count)][..]),
                    ("turned", &[(b, 3), (a, 2 * count)]),
                    ("a tree", &[(&tree, 1)]),
                ] {
                    let Some(again) = price(parts) else {
                        panic!("{name} {relation}: {what} of {a} and {b} has no price");
                    };
                    assert_same(once, again, two_sided, &format!("{name} {relation} {what} {a} {b}"));
                }
            }
        }
    }

    /// Everybody sampled is nobody left out, and nobody sampled is nothing released.
    #[test]
    fn sampling_everybody_or_nobody(case in any_case(), count in 1_u64..50) {
        let everybody = case.event.clone().poisson_sampled(rate(1.0));
        let all = case.event.clone().fixed_size_sampled(100, 100);
        let nobody = case.event.clone().poisson_sampled(rate(0.0));
        for relation in RELATIONS {
            for (name, two_sided, make) in ACCOUNTANTS {
                let price = |event: &DpEvent| price(make, relation, &[(event, count)], 1e-5);
                let Some(plain) = price(&case.event) else { continue };
                for sampled in [price(&everybody), price(&all)].into_iter().flatten() {
                    let what = format!("{name} {relation} {}", case.event);
                    assert_same(plain, sampled, two_sided, &what);
                }
                if let Some(nothing) = price(&nobody) {
                    prop_assert_eq!(nothing.upper, Epsilon::ZERO);
                }
            }
        }
    }

    /// `δ` at the `ε` of a `δ` is that `δ`, as far as is known.
    #[test]
    fn delta_undoes_epsilon(
        case in any_case(),
        count in 1_u64..200,
        at in decades(-9.0..-1.5),
    ) {
        for relation in RELATIONS {
            for (name, two_sided, make) in ACCOUNTANTS {
                let mut accountant = make(relation);
                if accountant.compose(&case.event, count).is_err() {
                    continue;
                }
                let delta = Delta::new(at).expect("in range");
                let Ok(found) = accountant.epsilon_interval(delta) else { continue };
                let what = format!("{name} {relation} {count} × {}: {found:?}", case.event);
                if let Ok(back) = accountant.delta_interval(found.upper) {
                    let least = if two_sided { back.lower_or_zero() } else { back.upper };
                    prop_assert!(least.get() <= at * (1.0 + 1e-6), "{what}, back {back:?}");
                }
                let lower = if two_sided { found.lower_or_zero() } else { found.upper };
                // Without a finite ε of its own, pure privacy has a δ of 0 at its own ε.
                if lower.get() > 0.0
                    && let Ok(back) = accountant.delta_interval(lower)
                    && back.upper.get() > 0.0
                    && two_sided
                {
                    prop_assert!(back.upper.get() >= at * (1.0 - 1e-9), "{what}, back {back:?}");
                }
            }
        }
    }

    /// An interval asked to be narrower lies within, or at least meets, the wider one.
    #[test]
    fn narrower_intervals_lie_within(
        case in any_case(),
        count in 20_u64..500,
        at in decades(-9.0..-1.5),
    ) {
        let delta = Delta::new(at).expect("in range");
        for relation in RELATIONS {
            let mut last: Option<EpsilonInterval> = None;
            for width in [1e-2, 1e-4, 1e-7] {
                let mut exact = ExactAccountant::new(relation).with_width(width).expect("in range");
                if exact.compose(&case.event, count).is_err() {
                    break;
                }
                let Ok(found) = exact.epsilon_interval(delta) else { break };
                prop_assert!(found.upper.get() - found.lower_or_zero().get() <= width, "{found:?}");
                if let Some(wider) = last {
                    prop_assert!(wider.lower_or_zero() <= found.lower_or_zero() && found.upper <= wider.upper,
                        "{relation} {count} × {}: {found:?} in {wider:?}", case.event);
                }
                last = Some(found);
            }
            let mut last: Option<EpsilonInterval> = None;
            for step in [1e-1, 1e-2, 1e-3] {
                let mut grid = PldAccountant::new(relation).with_step(step).expect("in range");
                if grid.compose(&case.event, count).is_err() {
                    break;
                }
                let Ok(found) = grid.epsilon_interval(delta) else { break };
                if let Some(wider) = last {
                    prop_assert!(wider.lower_or_zero() <= found.upper && found.lower_or_zero() <= wider.upper,
                        "{relation} {count} × {}: {found:?} and {wider:?}", case.event);
                }
                last = Some(found);
            }
        }
    }

    /// As many repetitions as a target allows: they meet it, and one more misses it.
    #[test]
    fn calibrated_counts_are_sharp(
        case in any_case(),
        target in decades(-1.0..1.5),
        at in decades(-9.0..-1.5),
    ) {
        let delta = Delta::new(at).expect("in range");
        let target = Epsilon::new(target).expect("in range");
        for relation in RELATIONS {
            for (name, _, make) in ACCOUNTANTS {
                let price = |count| {
                    let mut accountant = make(relation);
                    accountant.compose(&case.event, count)?;
                    accountant.epsilon(delta)
                };
                // A price that cannot be had is an error, never an answer.
                let Ok(verdict) = whole(0..=3000, Direction::Rising, target, price) else { continue };
                let what = format!("{name} {relation} {}: {verdict:?}", case.event);
                let Verdict::Met { answer, missed } = verdict else { panic!("nothing is free: {what}") };
                prop_assert!(answer.epsilon <= target, "{what}");
                prop_assert_eq!(price(answer.value), Ok(answer.epsilon), "{}", what);
                match missed {
                    Some(missed) => {
                        prop_assert!(missed.value == answer.value + 1, "{what}");
                        prop_assert!(missed.epsilon > target, "{what}");
                    }
                    None => prop_assert_eq!(answer.value, 3000, "{}", what),
                }
            }
        }
    }
}
