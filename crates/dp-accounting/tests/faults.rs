//! Faults that accountants have been seen to have, each as a test that these do not.

use dp_accounting::rdp::subsampled_gaussian::rdp;
use dp_accounting::rdp::{Orders, RdpAccountant};
use dp_accounting::{
    Accountant, Delta, DpEvent, Epsilon, ExactAccountant, Neighboring, NoiseMultiplier,
    SamplingProbability,
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

/// A Poisson price on a cohort that was not drawn so.
#[test]
fn a_fixed_cohort_has_no_price_under_add_or_remove() {
    let event = DpEvent::gaussian(NoiseMultiplier::new(1.0).expect("in range"))
        .fixed_size_sampled(3383, 50);
    assert!(RdpAccountant::new(Neighboring::AddOrRemoveOne).supports(&event).is_err());
    assert!(ExactAccountant::new(Neighboring::AddOrRemoveOne).supports(&event).is_err());
    assert!(RdpAccountant::new(Neighboring::ReplaceOne).supports(&event).is_ok());
}
