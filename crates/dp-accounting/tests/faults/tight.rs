//! Faults of tight accounting: bounds on the wrong side, of no use, out of time or memory.

use dp_accounting::calibrate::{Direction, Run, whole};
use dp_accounting::rdp::Orders;
use dp_accounting::{
    Accountant, Delta, DpEvent, Epsilon, ExactAccountant, Neighboring, NoiseMultiplier,
    PldAccountant,
};

use super::{delta, exact_epsilon, grid_epsilon, noise, rdp_epsilon, round};

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

/// Minutes and gigabytes at small noise.
#[test]
fn small_noise_is_quick() {
    let (lower, upper) = exact_epsilon(0.1, 0.2, 100, 1e-5);
    assert!(lower > 0.0 && upper - lower <= 1e-9, "{lower} {upper}");
    let (lower, upper) = exact_epsilon(0.5, 0.3, 1000, 1e-5);
    assert!(lower > 2000.0 && upper - lower <= 1e-9, "{lower} {upper}");
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

/// Refused, or wrong, below a delta of about 1e-17. The truth is from a contour integral in mpmath,
/// at 60 digits.
#[test]
fn extremely_small_deltas_are_priced() {
    for (at, truth) in [
        (1e-15, 4.854_537_750_604_923),
        (1e-20, 6.361_700_204_079_35),
        (1e-30, 9.341_895_632_705_148),
        (1e-100, 29.598_711_590_805_813),
    ] {
        let (lower, upper) = exact_epsilon(0.01, 1.0, 1000, at);
        assert!(lower <= truth && truth <= upper, "{at:e}: {lower} to {upper} for {truth}");
        assert!(upper - lower <= 1e-9, "{at:e}: {lower} to {upper}");
    }
}

/// A truncation that cannot be chosen, and a lower bound of 10 for a true 4.85.
#[test]
fn a_grid_is_honest_at_a_small_delta() {
    let truth = 4.854_537_750_604_923;
    let (lower, upper) = grid_epsilon(0.01, 1.0, 1000, 1e-15, 1e-15);
    assert!(lower <= truth && truth <= upper, "{lower} to {upper}");
    // At a δ that double precision resolves, a smaller truncation is of use.
    let coarse = grid_epsilon(0.01, 1.0, 1000, 1e-9, 1e-10);
    let fine = grid_epsilon(0.01, 1.0, 1000, 1e-9, 1e-13);
    let (_, exact) = exact_epsilon(0.01, 1.0, 1000, 1e-9);
    assert!(fine.1 < coarse.1 && fine.1 >= exact, "{coarse:?} {fine:?} {exact}");
    assert!(fine.1 < 1.01 * exact, "{fine:?} for {exact}");
}

/// Grids whose lower end is off by half a step a round: 5.69 for 6.19 at ten thousand rounds, 89 for
/// 139 at a million, and 0 for 7.3.
#[test]
fn grids_bound_from_below_at_many_rounds() {
    for (q, z, steps, at, truth, share) in [
        (0.01, 1.0, 10_000, 1e-5, 6.187_712_4, 0.99),
        (0.01, 1.0, 1_000_000, 1e-5, 139.030_272_6, 0.99),
        (0.001, 1.0, 1_000_000, 1e-7, 7.302_589_767, 0.90),
        (1e-4, 0.7, 1_000_000, 1e-7, 1.261_469_127, 0.35),
    ] {
        let (lower, upper) = grid_epsilon(q, z, steps, at, at * 1e-5);
        assert!(lower <= truth && truth <= upper, "{steps} of {q} {z}: {lower} {truth} {upper}");
        assert!(lower >= share * truth, "{steps} of {q} {z}: {lower} for {truth}");
        assert!(upper <= 1.03 * truth, "{steps} of {q} {z}: {upper} for {truth}");
    }
}

/// A grid at next to no noise, and one at an ε of 0.01: tens of gigabytes, here at most 2^20 points.
#[test]
fn a_grid_has_a_limit() {
    for z in [1e-4, 0.01, 0.1, 300.0] {
        let mut grid = PldAccountant::new(Neighboring::AddOrRemoveOne);
        grid.compose(&round(1.0 / 3383.0, z), 100).expect("supported");
        // An answer or a refusal, but soon.
        if let Ok(found) = grid.epsilon_interval(delta(1e-5)) {
            assert!(found.lower_or_zero() <= found.upper, "{z}: {found:?}");
        }
    }
}

/// Bounds below zero.
#[test]
fn neither_end_is_negative() {
    for (q, z, steps) in [(1e-6, 1.0, 1), (1e-4, 10.0, 100), (0.01, 300.0, 1000)] {
        for at in [1e-9, 1e-5, 0.1] {
            for (lower, upper) in
                [exact_epsilon(q, z, steps, at), grid_epsilon(q, z, steps, at, at * 1e-5)]
            {
                assert!(lower >= 0.0 && upper >= lower, "{q} {z} {steps} {at:e}: {lower} {upper}");
            }
        }
    }
}

/// Quadrature that fails, or brackets that do, where ε is large; and a closed form of the Gaussian
/// that is loose there. The truth is from mpmath.
#[test]
fn a_large_epsilon_has_a_price() {
    for (mu, at, truth) in [
        (2.0, 1e-05, 9.9972561464343),
        (20.0, 1e-06, 294.1717862576445),
        (100.0, 1e-09, 5598.809571473025),
        (400.0, 0.1, 80511.62222680975),
    ] {
        let mut exact = ExactAccountant::new(Neighboring::AddOrRemoveOne);
        exact.compose(&DpEvent::gaussian(noise(1.0 / mu)), 1).expect("supported");
        let found = exact.epsilon_interval(delta(at)).expect("reached");
        let (lower, upper) = (found.lower_or_zero().get(), found.upper.get());
        assert!(lower <= truth && truth <= upper, "{mu} {at:e}: {lower} {truth} {upper}");
        assert!(upper - lower <= 1e-9, "{mu} {at:e}: {lower} {upper}");
    }
    // Rounding alone leaves more than 1e-9 of such a number.
    let exact = ExactAccountant::new(Neighboring::AddOrRemoveOne);
    let mut exact = exact.with_widest(1e-6).expect("in range");
    exact.compose(&round(0.9, 0.1), 500).expect("supported");
    let found = exact.epsilon_interval(delta(1e-9)).expect("reached");
    let (lower, upper) = (found.lower_or_zero().get(), found.upper.get());
    assert!(lower > 10_000.0 && upper - lower <= 1e-6, "{lower} {upper}");
}

/// Time that grows with the number of rounds, or with the width asked for.
#[test]
fn a_billion_rounds_take_no_longer() {
    for (q, z, truth) in [(1e-5, 2.0, 0.694_040_820), (1e-4, 3.0, 5.358_165_810)] {
        let (lower, upper) = exact_epsilon(q, z, 1_000_000_000, 1e-6);
        assert!(upper - lower <= 1e-9, "{lower} {upper}");
        assert!((lower - truth).abs() < 1e-8, "{lower} {upper}");
    }
}
