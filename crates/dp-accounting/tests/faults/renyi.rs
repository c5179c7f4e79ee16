//! Faults of Rényi accounting: curves, orders and conversions.

use dp_accounting::rdp::{Orders, RdpAccountant};
use dp_accounting::{Accountant, DpEvent, Epsilon, ExactAccountant, Neighboring};

use super::{cell, delta, exact_epsilon, noise, rdp_epsilon, round};

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

/// Binomial coefficients that overflow above order 1029, and an order of 1 that divides by zero.
#[test]
fn orders_of_any_size_have_a_divergence() {
    for order in [1029.0, 1030.5, 5e3, 1e6, 1e9] {
        // Far out only the record's own share counts: ρ(α) → α/(2z²) + ln(q) α/(α − 1).
        let ours = cell(0.01, 3.0, order);
        let truth = order / 18.0 + 0.01_f64.ln() * order / (order - 1.0);
        assert!((ours / truth - 1.0).abs() < 1e-12, "{order}: {ours} for {truth}");
    }
}

/// The best order at the end of a list, with a warning that nobody could act upon.
#[test]
fn the_best_order_may_lie_beyond_every_list() {
    let mut accountant = RdpAccountant::new(Neighboring::AddOrRemoveOne);
    accountant.compose(&DpEvent::gaussian(noise(1e3)), 1).expect("supported");
    let best = accountant.epsilon_and_order(delta(1e-9));
    let listed = accountant.with_orders(Orders::tenths()).epsilon_and_order(delta(1e-9));
    assert_eq!(listed.order, Some(1024.0));
    assert!(best.order.is_some_and(|order| order > 3000.0), "{best:?}");
    assert!(best.epsilon.get() < 0.5 * listed.epsilon.get(), "{best:?} {listed:?}");
}

/// A bound for any sampled mechanism in place of that of the Gaussian: several times too much.
#[test]
fn a_sampled_gaussian_is_priced_as_one() {
    let (_, exact) = exact_epsilon(0.01, 1.0, 1000, 1e-5);
    let ours = rdp_epsilon(0.01, 1.0, 1000, 1e-5, Orders::best());
    assert!(ours < 1.25 * exact, "{ours} for {exact}");
}

/// The central limit theorem in place of a bound: 1.25 for a true 4.81, where steps are few and noise
/// is small.
#[test]
fn few_steps_are_not_a_limit() {
    let (q, z, steps, at) = (0.01_f64, 0.5_f64, 20_u32, 1e-5);
    // Gaussian privacy of that μ by its closed form, as the limit has it.
    let mu = q * (f64::from(steps) * (1.0 / (z * z)).exp_m1()).sqrt();
    let mut limit = ExactAccountant::new(Neighboring::AddOrRemoveOne);
    limit.compose(&DpEvent::gaussian(noise(1.0 / mu)), 1).expect("supported");
    let limit = limit.epsilon(delta(at)).expect("reached").get();
    let (lower, upper) = exact_epsilon(q, z, u64::from(steps), at);
    assert!(limit < 0.5 * lower && lower <= upper, "{limit} against {lower} to {upper}");
    assert!(rdp_epsilon(q, z, u64::from(steps), at, Orders::best()) >= lower);
}

/// A zero, or less, where little is released; here only where the total variation proves it.
#[test]
fn epsilon_is_zero_only_where_that_is_true() {
    for (q, z, steps) in [(1e-6, 1.0, 1), (1e-4, 5.0, 10), (1e-3, 30.0, 100)] {
        let mut accountant = RdpAccountant::new(Neighboring::AddOrRemoveOne);
        accountant.compose(&round(q, z), steps).expect("supported");
        for at in [1e-3, 1e-5, 1e-7, 1e-9] {
            let epsilon = accountant.epsilon(delta(at)).expect("no limits");
            if epsilon == Epsilon::ZERO {
                let wide = ExactAccountant::new(Neighboring::AddOrRemoveOne);
                let mut wide = wide.with_width(1e-6).expect("in range");
                wide.compose(&round(q, z), steps).expect("supported");
                let truth = wide.delta_interval(Epsilon::ZERO).expect("reached");
                assert!(truth.lower_or_zero().get() <= at, "q={q} z={z} at {at:e}: {truth:?}");
            }
        }
    }
}
