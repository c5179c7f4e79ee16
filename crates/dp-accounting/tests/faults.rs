//! Faults that accountants have been seen to have, each as a test that these do not.

use dp_accounting::calibrate::{Direction, Run, whole};
use dp_accounting::rdp::subsampled_gaussian::rdp;
use dp_accounting::rdp::{Orders, RdpAccountant};
use dp_accounting::{
    Accountant, Delta, DpEvent, Epsilon, ExactAccountant, Neighboring, NoiseMultiplier,
    PldAccountant, Repetitions, SamplingProbability,
};

fn round(q: f64, z: f64) -> DpEvent {
    DpEvent::gaussian(NoiseMultiplier::new(z).expect("in range"))
        .poisson_sampled(SamplingProbability::new(q).expect("in range"))
}

fn delta(value: f64) -> Delta {
    Delta::new(value).expect("in range")
}

fn cell(q: f64, z: f64, order: f64) -> f64 {
    let q = SamplingProbability::new(q).expect("in range");
    rdp(q, NoiseMultiplier::new(z).expect("in range"), order)
}

fn rdp_epsilon(q: f64, z: f64, steps: u64, at: f64, orders: Orders) -> f64 {
    let mut accountant = RdpAccountant::new(Neighboring::AddOrRemoveOne).with_orders(orders);
    accountant.compose(&round(q, z), steps).expect("supported");
    accountant.epsilon(delta(at)).expect("no limits").get()
}

fn exact_epsilon(q: f64, z: f64, steps: u64, at: f64) -> (f64, f64) {
    let mut accountant = ExactAccountant::new(Neighboring::AddOrRemoveOne);
    accountant.compose(&round(q, z), steps).expect("supported");
    let found = accountant.epsilon_interval(delta(at)).expect("reached");
    (found.lower.get(), found.upper.get())
}

/// A series summed with absolute values: 4300 times too much.
#[test]
fn fractional_orders_at_large_noise_are_not_blown_up() {
    let ours = cell(0.3, 100.0, 1.01);
    assert!(ours > 4.4e-6 && ours < 4.6e-6, "{ours}");
}

/// A series given up after a thousand terms, or stopped at the first small one.
#[test]
fn no_order_is_infinite_negative_or_zero() {
    for q in [1e-6, 1e-3, 0.3, 0.5, 0.9] {
        for z in [0.3, 1.0, 20.0, 100.0, 1e4, 1e100] {
            let mut last = 0.0;
            for order in [1.0001, 1.01, 1.5, 2.0, 10.3, 63.9, 1024.0, 1e5] {
                let ours = cell(q, z, order);
                let unsampled = order / (2.0 * z * z) * (1.0 + 1e-12) + 1e-300;
                assert!(ours > 0.0 && ours <= unsampled, "q={q} z={z} order={order}: {ours}");
                assert!(ours >= last * (1.0 - 1e-12), "not rising at {order}: {ours} after {last}");
                last = ours;
            }
        }
    }
    let ours = cell(0.5, 100.0, 63.9);
    assert!(ours > 7.9e-4 && ours < 8.1e-4, "{ours}");
}

/// Everything below 1e-16 lost in the logarithm of 1 + something: wrong after many steps.
#[test]
fn tiny_divergences_keep_their_digits() {
    // At order 2 it is ln(1 + q² (e^(1/z²) − 1)).
    let ours = cell(1e-6, 100.0, 2.0);
    let truth = (1e-12 * 1e-4_f64.exp_m1()).ln_1p();
    assert!((ours / truth - 1.0).abs() < 1e-13, "{ours} for {truth}");
}

/// Best orders that dropped out silently: 1475 for 537, and 631,367 for 175,620.
#[test]
fn small_noise_is_not_overpriced() {
    let ours = rdp_epsilon(0.1, 0.3, 1000, 1e-5, Orders::tenths());
    assert!(ours > 500.0 && ours < 540.0, "{ours}");
    let ours = rdp_epsilon(0.05, 0.3, 1_000_000, 1e-5, Orders::tenths());
    assert!(ours > 170_000.0 && ours < 176_000.0, "{ours}");
    // An ordinary setting: 153.95 elsewhere.
    let ours = rdp_epsilon(0.03, 2.5, 1_000_000, 1e-6, Orders::tenths());
    assert!((ours - 141.40).abs() < 0.01, "{ours}");
}

/// An order just above 1 made epsilon exactly zero.
#[test]
fn an_order_next_to_one_is_harmless() {
    let mut list = Orders::tutorial().as_list().expect("a list").to_vec();
    let without = rdp_epsilon(0.0355, 1.2, 100, 1e-5, Orders::tutorial());
    list.push(1.0 + 1e-8);
    let with = rdp_epsilon(0.0355, 1.2, 100, 1e-5, Orders::list(list).expect("above 1"));
    assert!((with - without).abs() < 1e-12, "{with} {without}");
    assert!(Orders::list(vec![1.0]).is_err());
    assert!(Orders::list(vec![f64::NAN]).is_err());
    assert!(Orders::list(Vec::new()).is_err());
}

/// An upper bound below the truth at many steps: 135.869 for 136.27.
#[test]
fn upper_bounds_stay_upper_at_many_steps() {
    let (lower, upper) = exact_epsilon(0.03, 2.5, 300_000, 1e-6);
    assert!(lower < 55.1306 && upper > 55.1304 && upper - lower < 1e-9, "{lower} {upper}");
    let (lower, upper) = exact_epsilon(0.03, 2.5, 1_000_000, 1e-6);
    assert!(lower < 136.2697 && upper > 136.2695 && upper - lower < 1e-9, "{lower} {upper}");
}

/// Lower bounds that were zero, negative or half of the truth at a million steps.
#[test]
fn lower_bounds_are_of_use_at_a_million_steps() {
    let (lower, upper) = exact_epsilon(0.001, 1.0, 1_000_000, 1e-7);
    assert!((lower - 7.302_589_767).abs() < 1e-8 && upper - lower < 1e-9, "{lower} {upper}");
}

/// Infinite from above and 10 from below, or refused, at a very small delta.
#[test]
fn very_small_deltas_are_priced() {
    let (lower, upper) = exact_epsilon(0.01, 1.0, 1000, 1e-15);
    assert!(lower <= 4.854_537_751 && upper >= 4.854_537_750 && upper - lower < 1e-9);
}

/// A small finite number where only infinity is true.
#[test]
fn delta_zero_is_infinite() {
    let (lower, upper) = exact_epsilon(1e-6, 100.0, 1, 0.0);
    assert!(lower.is_infinite() && upper.is_infinite());
    let mut pld = PldAccountant::new(Neighboring::AddOrRemoveOne);
    pld.compose(&round(1e-6, 100.0), 1).expect("supported");
    assert_eq!(pld.epsilon(Delta::ZERO), Ok(Epsilon::INFINITE));
    assert!(rdp_epsilon(1e-6, 100.0, 1, 0.0, Orders::best()).is_infinite());
}

/// A NaN noise multiplier that came out as perfect privacy.
#[test]
fn nan_does_not_get_in() {
    assert!(NoiseMultiplier::new(f64::NAN).is_err());
    assert!(SamplingProbability::new(f64::NAN).is_err());
    assert!(Delta::new(f64::NAN).is_err());
    assert!(Epsilon::new(f64::NAN).is_err());
}

/// Minutes and gigabytes at small noise.
#[test]
fn small_noise_is_quick() {
    let (lower, upper) = exact_epsilon(0.1, 0.2, 100, 1e-5);
    assert!(lower > 0.0 && upper - lower <= 1e-9, "{lower} {upper}");
    let (lower, upper) = exact_epsilon(0.5, 0.3, 1000, 1e-5);
    assert!(lower > 2000.0 && upper - lower <= 1e-9, "{lower} {upper}");
}

/// Tails that underflow where they are multiplied by a huge number: 708 for 1020.
#[test]
fn one_step_with_hardly_any_noise_is_not_underpriced() {
    let mut accountant = ExactAccountant::new(Neighboring::AddOrRemoveOne);
    accountant.compose(&round(0.254, 0.022), 1).expect("supported");
    if let Ok(found) = accountant.epsilon_interval(delta(0.1)) {
        assert!(found.upper.get() > 1000.0, "{found:?}");
    }
}

/// A count that was forgotten: 0.1035 for 8.08, and 1.0987 for 90.79.
#[test]
fn a_thousand_pure_releases_are_not_one() {
    let event = DpEvent::PureDp { epsilon: Epsilon::new(0.1).expect("in range") };
    let mut accountant = RdpAccountant::new(Neighboring::AddOrRemoveOne);
    accountant.compose(&event, 1000).expect("supported");
    let epsilon = accountant.epsilon(delta(1e-5)).expect("no limits").get();
    assert!(epsilon > 8.0, "{epsilon}");
    let event = DpEvent::RandomizedResponse {
        probability: SamplingProbability::new(0.5).expect("in range"),
        buckets: 2,
    };
    for count in [1, 100] {
        let mut rdp = RdpAccountant::new(Neighboring::ReplaceOne);
        let mut pld = PldAccountant::new(Neighboring::ReplaceOne);
        rdp.compose(&event, count).expect("supported");
        pld.compose(&event, count).expect("supported");
        let rdp = rdp.epsilon(delta(1e-6)).expect("no limits").get();
        let pld = pld.epsilon(delta(1e-6)).expect("a grid").get();
        let enough = if count == 1 { 1.09 } else { 80.0 };
        assert!(rdp > enough && pld > enough, "{count} times: {rdp} and {pld}");
    }
}

/// One accountant doubled the distance of a replaced record and the other did not: 4.73 for 9.997.
#[test]
fn accountants_read_a_noise_multiplier_alike() {
    for (z, truth) in [(1.0, 9.9973), (4.0, 1.9931)] {
        let event = DpEvent::gaussian(NoiseMultiplier::new(z).expect("in range"));
        let accountants: [Box<dyn Accountant>; 3] = [
            Box::new(RdpAccountant::new(Neighboring::ReplaceOne)),
            Box::new(ExactAccountant::new(Neighboring::ReplaceOne)),
            Box::new(PldAccountant::new(Neighboring::ReplaceOne)),
        ];
        for mut accountant in accountants {
            accountant.compose(&event, 1).expect("supported");
            let epsilon = accountant.epsilon(delta(1e-5)).expect("reached").get();
            let name = accountant.name();
            assert!(epsilon > truth - 1e-3 && epsilon < 1.1 * truth, "{name}: {epsilon}");
        }
    }
}

/// Several Gaussians under one sampling, which one accountant took and the other refused.
#[test]
fn what_one_accountant_composes_under_sampling_all_do() {
    let gaussian = |z| DpEvent::gaussian(NoiseMultiplier::new(z).expect("in range"));
    let rate = SamplingProbability::new(0.1).expect("in range");
    let pair = DpEvent::composed(vec![gaussian(3.0), gaussian(4.0)]).poisson_sampled(rate);
    let accountants: [Box<dyn Accountant>; 3] = [
        Box::new(RdpAccountant::new(Neighboring::AddOrRemoveOne)),
        Box::new(ExactAccountant::new(Neighboring::AddOrRemoveOne)),
        Box::new(PldAccountant::new(Neighboring::AddOrRemoveOne)),
    ];
    for mut accountant in accountants {
        accountant.compose(&pair, 100).expect("supported");
        let together = accountant.epsilon(delta(1e-5)).expect("reached").get();
        // The square sum of the two multipliers is that of 2.4.
        let (_, one) = exact_epsilon(0.1, 2.4, 100, 1e-5);
        assert!(together > one - 1e-8 && together < 1.2 * one, "{}", accountant.name());
    }
}

/// A search from a bracket that begins at next to no noise: no answer in 200 s, or 75 GB.
#[test]
fn searches_survive_both_ends_of_their_bracket() {
    let run = Run {
        clients: 1,
        population: 3383,
        noise_multiplier: NoiseMultiplier::new(0.01).expect("in range"),
        rounds: 100,
        delta: delta(1e-5),
    };
    let exact = || ExactAccountant::new(Neighboring::AddOrRemoveOne);
    // The tutorial's noise in proportion, from one client to everybody.
    let price = |clients: u64| {
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let noise_multiplier = NoiseMultiplier::new(0.01 * clients as f64)?;
        Run { clients, noise_multiplier, ..run }.epsilon(exact())
    };
    let two = Epsilon::new(2.0).expect("in range");
    let found = whole(1..=3383, Direction::Falling, two, price).expect("priced");
    assert_eq!(found.answer().map(|found| found.value), Some(104));
    // ε = 0.01.
    let small = Epsilon::new(0.01).expect("in range");
    let run = Run { clients: 100, population: 10_000, rounds: 10_000, ..run };
    let found = run.smallest_noise(small, 1e-9, exact).expect("priced").answer();
    assert!(found.is_some_and(|found| found.value > 100.0), "{found:?}");
}

/// A pessimistic grid that drifts at a million rounds and a tiny rate: 1.2753 for 1.26147.
#[test]
fn a_million_rounds_at_a_tiny_rate() {
    let (lower, upper) = exact_epsilon(1e-4, 0.7, 1_000_000, 1e-7);
    assert!(lower < 1.261_47 && upper > 1.261_469 && upper - lower <= 1e-9, "{lower} {upper}");
}

/// Noise whose square overflows made masses that are no numbers, and those an epsilon of zero: 0 for
/// 1.16. It was our own, found by the property of arbitrary events.
#[test]
fn a_part_with_boundless_noise_does_not_hide_the_others() {
    let gaussian = |z| DpEvent::gaussian(NoiseMultiplier::new(z).expect("in range"));
    let laplace =
        |z| DpEvent::Laplace { noise_multiplier: NoiseMultiplier::new(z).expect("in range") };
    let rate = SamplingProbability::new(0.5).expect("in range");
    let truth = 1.16;
    for boundless in [1e154, 1.684e179, 1e300] {
        for beside in [
            gaussian(boundless),
            gaussian(boundless).poisson_sampled(rate),
            DpEvent::composed(vec![gaussian(boundless); 2]).poisson_sampled(rate),
            laplace(boundless),
        ] {
            for relation in [Neighboring::AddOrRemoveOne, Neighboring::ReplaceOne] {
                let accountants: [Box<dyn Accountant>; 3] = [
                    Box::new(RdpAccountant::new(relation)),
                    Box::new(ExactAccountant::new(relation)),
                    Box::new(PldAccountant::new(relation).with_step(1e-2).expect("in range")),
                ];
                for mut accountant in accountants {
                    let both = DpEvent::composed(vec![beside.clone(), gaussian(1.0)]);
                    if accountant.compose(&both, 1).is_err() {
                        continue;
                    }
                    let Ok(found) = accountant.epsilon(delta(0.1)) else { continue };
                    assert!(found.get() > truth - 1e-3, "{}: {both}: {found}", accountant.name());
                }
            }
        }
    }
}

/// Valleys that the search for the best order passed by: three times the delta that holds, and an
/// epsilon where there need be none.
#[test]
fn a_small_delta_is_found_again() {
    for (z, steps) in [(1.0, 6), (4.511_253_081_668_252, 7)] {
        let mut accountant = RdpAccountant::new(Neighboring::AddOrRemoveOne);
        accountant.compose(&round(0.001_160_398_801_709_072_6, z), steps).expect("supported");
        let at = 0.000_862_315_795_442_073_4;
        let there = accountant.epsilon(delta(at)).expect("no limits");
        let back = accountant.delta(there).expect("no limits").get();
        assert!(back <= at * (1.0 + 1e-6), "{back} for {at}");
        assert!(there.get() <= 0.0 || back >= at * (1.0 - 1e-6), "{there} at {back} for {at}");
    }
}

/// A Poisson price on a cohort that was not drawn so.
#[test]
fn a_fixed_cohort_has_no_price_under_add_or_remove() {
    let event = DpEvent::gaussian(NoiseMultiplier::new(1.0).expect("in range"))
        .fixed_size_sampled(3383, 50);
    assert!(RdpAccountant::new(Neighboring::AddOrRemoveOne).supports(&event).is_err());
    assert!(ExactAccountant::new(Neighboring::AddOrRemoveOne).supports(&event).is_err());
    assert!(RdpAccountant::new(Neighboring::ReplaceOne).supports(&event).is_ok());
}

/// A tree that stood behind a Gaussian under the same sampling was dropped from the price.
#[test]
fn a_tree_beside_a_gaussian_is_paid_for_in_either_order() {
    let z = NoiseMultiplier::new(1.0).expect("in range");
    let tree = DpEvent::TreeAggregation { noise_multiplier: z, steps: vec![4] };
    let price = |parts: Vec<DpEvent>| {
        let event = DpEvent::composed(parts).fixed_size_sampled(1000, 50);
        let mut accountant = RdpAccountant::new(Neighboring::ReplaceOne);
        accountant.compose(&event, 10).expect("supported");
        accountant.epsilon(delta(1e-5)).expect("no limits").get()
    };
    let alone = price(vec![DpEvent::gaussian(z)]);
    let behind = price(vec![DpEvent::gaussian(z), tree.clone()]);
    let before = price(vec![tree, DpEvent::gaussian(z)]);
    assert!(behind > alone, "{behind} against {alone}");
    assert!((behind / before - 1.0).abs() < 1e-12, "{behind} against {before}");
}

/// Far out a density underflowed where the likelihood ratio overflowed, their product was not a
/// number, and a moment that was not a number was taken for a small one: ε came out as that of the
/// other direction, 0.020432. Found by `exact_intervals_are_sound`; the truth was computed by a
/// contour integral in another program (numpy), to 2.291034e-6 at ε = 0.020432148.
#[test]
fn a_moment_that_is_not_a_number_is_not_small() {
    let (q, z, at) = (0.005_478_894_367_131_853, 8.319_672_924_598_363, 1.455_064_616_285_225_7e-6);
    for width in [1e-5, 1e-9] {
        let mut accountant =
            ExactAccountant::new(Neighboring::AddOrRemoveOne).with_width(width).expect("in range");
        accountant.compose(&round(q, z), 100).expect("supported");
        let there = Epsilon::new(0.020_432_148).expect("in range");
        let found = accountant.delta_interval(there).expect("reached");
        let truth = 2.291_033_886_087e-6;
        let slack = 1e-11 * truth;
        assert!(found.lower.get() <= truth + slack && truth - slack <= found.upper.get());
        let found = accountant.epsilon_interval(delta(at)).expect("reached");
        assert!((found.upper.get() / 0.021_294_868 - 1.0).abs() < 1e-3, "{found:?}");
        let back = accountant.delta_interval(found.upper).expect("reached");
        assert!(back.lower.get() <= at, "{back:?}");
        let mut pld =
            PldAccountant::new(Neighboring::AddOrRemoveOne).with_step(1e-4).expect("in range");
        pld.compose(&round(q, z), 100).expect("supported");
        let other = pld.epsilon_interval(delta(at)).expect("reached");
        assert!(found.lower <= other.upper && other.lower <= found.upper, "{found:?} {other:?}");
    }
}

/// A rate whose inverse overflows, and a product of rates that is rounded up from nothing: 0.011 for
/// a sample that nobody enters. It was our own, found by `sampling_everybody_or_nobody`.
#[test]
fn tiny_rates_are_harmless() {
    let gaussian = DpEvent::gaussian(NoiseMultiplier::new(1.0).expect("in range"));
    let rate = |q| SamplingProbability::new(q).expect("in range");
    for relation in [Neighboring::AddOrRemoveOne, Neighboring::ReplaceOne] {
        let accountants = || -> [Box<dyn Accountant>; 3] {
            [
                Box::new(RdpAccountant::new(relation)),
                Box::new(ExactAccountant::new(relation)),
                Box::new(PldAccountant::new(relation)),
            ]
        };
        for (outer, inner) in [(0.0, 0.9), (0.9, 0.0), (1e-320, 1.0), (5e-324, 0.5)] {
            let event = gaussian.clone().poisson_sampled(rate(inner)).poisson_sampled(rate(outer));
            for mut accountant in accountants() {
                accountant.compose(&event, 10).expect("supported");
                let name = accountant.name();
                let found =
                    accountant.epsilon(delta(1e-9)).unwrap_or_else(|e| panic!("{name}: {e}"));
                assert!(found.get() < 1e-12, "{name}: {found} at {outer} of {inner}");
                let nobody = outer <= 0.0 || inner <= 0.0;
                let certain = accountant.epsilon(Delta::ZERO).expect("reached");
                assert_eq!(certain == Epsilon::ZERO, nobody, "{name}: {certain}");
            }
        }
    }
}

/// Orders whose bound is above 1 looked all alike, and a search that started there found none: a `δ`
/// of 1 at the `ε` of a small one. It was our own, found by `delta_undoes_epsilon`.
#[test]
fn a_delta_is_found_where_few_orders_prove_one() {
    let event = DpEvent::RepeatAndSelect {
        event: Box::new(DpEvent::gaussian(NoiseMultiplier::new(1.36).expect("in range"))),
        repetitions: Repetitions::TruncatedNegativeBinomial { shape: 0.05, gamma: 0.05 },
    };
    let mut accountant = RdpAccountant::new(Neighboring::AddOrRemoveOne);
    accountant.compose(&event, 27).expect("supported");
    let there = accountant.epsilon(delta(1e-6)).expect("no limits");
    let back = accountant.delta(there).expect("no limits").get();
    assert!((back / 1e-6 - 1.0).abs() < 1e-4, "{back} at {there}");
}
