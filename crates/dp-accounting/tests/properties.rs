//! What must hold for any numbers: monotone, additive, consistent, never a NaN, never a panic.

use dp_accounting::calibrate::{Run, Verdict};
use dp_accounting::rdp::{Conversion, Orders, RdpAccountant};
use dp_accounting::{
    Accountant, Delta, DpEvent, Epsilon, ExactAccountant, Neighboring, NoiseMultiplier,
    SamplingProbability,
};
use proptest::prelude::*;

fn round(q: f64, z: f64) -> DpEvent {
    DpEvent::gaussian(NoiseMultiplier::new(z).expect("in range"))
        .poisson_sampled(SamplingProbability::new(q).expect("in range"))
}

fn delta(value: f64) -> Delta {
    Delta::new(value).expect("in range")
}

fn rdp(q: f64, z: f64, steps: u64, at: f64) -> f64 {
    let mut accountant = RdpAccountant::new(Neighboring::AddOrRemoveOne);
    accountant.compose(&round(q, z), steps).expect("supported");
    accountant.epsilon(delta(at)).expect("no limits").get()
}

fn exact(q: f64, z: f64, steps: u64, at: f64) -> (f64, f64) {
    let mut accountant = ExactAccountant::new(Neighboring::AddOrRemoveOne);
    accountant.compose(&round(q, z), steps).expect("supported");
    let found = accountant.epsilon_interval(delta(at)).expect("reached");
    (found.lower_or_zero().get(), found.upper.get())
}

/// `10^x` for `x` in a range: as likely small as large.
fn decades(range: std::ops::Range<f64>) -> impl Strategy<Value = f64> {
    range.prop_map(|x| 10.0_f64.powf(x))
}

/// So many cases in everyday use; with `FED_DP_CASES=K` in the environment `K` times as many.
fn cases(everyday: u32) -> ProptestConfig {
    let times = std::env::var("FED_DP_CASES")
        .map_or(1, |times| times.parse().expect("FED_DP_CASES is a whole number"));
    let most_rejected = ProptestConfig::default().max_global_rejects * times;
    ProptestConfig {
        max_global_rejects: most_rejected,
        ..ProptestConfig::with_cases(everyday * times)
    }
}

proptest! {
    #![proptest_config(cases(48))]

    /// Less noise, more clients, more rounds or a smaller delta never cost less.
    #[test]
    fn renyi_epsilon_is_monotone(
        q in decades(-5.0..-0.01),
        z in decades(-0.5..2.0),
        steps in 1_u64..100_000,
        at in decades(-12.0..-1.0),
        more in 1.001_f64..3.0,
    ) {
        let base = rdp(q, z, steps, at);
        let slack = 1e-9 * base + 1e-12;
        prop_assert!(base >= 0.0);
        prop_assert!(rdp(q, z * more, steps, at) <= base + slack);
        prop_assert!(rdp((q * more).min(1.0), z, steps, at) >= base - slack);
        prop_assert!(rdp(q, z, steps * 2, at) >= base - slack);
        prop_assert!(rdp(q, z, steps, at / more) >= base - slack);
    }

    /// No list of orders beats the best real order; the classic conversion never beats the other.
    #[test]
    fn the_best_order_is_best(
        q in decades(-4.0..-0.01),
        z in decades(-0.4..1.5),
        steps in 1_u64..100_000,
        at in decades(-12.0..-1.0),
    ) {
        let price = |orders: Orders, conversion| {
            let mut accountant = RdpAccountant::new(Neighboring::AddOrRemoveOne)
                .with_orders(orders)
                .with_conversion(conversion);
            accountant.compose(&round(q, z), steps).expect("supported");
            accountant.epsilon(delta(at)).expect("no limits").get()
        };
        for conversion in [Conversion::Improved, Conversion::Classic] {
            let best = price(Orders::best(), conversion);
            for list in [Orders::tutorial(), Orders::tenths()] {
                let listed = price(list, conversion);
                prop_assert!(best <= listed * (1.0 + 1e-9) + 1e-12, "{best} {listed}");
            }
        }
        let improved = price(Orders::best(), Conversion::Improved);
        let classic = price(Orders::best(), Conversion::Classic);
        prop_assert!(improved <= classic + 1e-12);
    }

    /// In halves or at once, in one order or the other.
    #[test]
    fn composition_is_addition(
        q in decades(-4.0..-0.01),
        z in decades(-0.3..1.5),
        other in decades(-0.3..1.5),
        steps in 1_u64..1000,
        at in decades(-10.0..-1.0),
    ) {
        let (a, b) = (round(q, z), round(q, other));
        let price = |parts: &[(&DpEvent, u64)]| {
            let mut accountant = RdpAccountant::new(Neighboring::AddOrRemoveOne);
            for &(event, count) in parts {
                accountant.compose(event, count).expect("supported");
            }
            accountant.epsilon(delta(at)).expect("no limits").get()
        };
        let once = price(&[(&a, 2 * steps), (&b, 3)]);
        let halves = price(&[(&a, steps), (&b, 3), (&a, steps)]);
        let turned = price(&[(&b, 3), (&a, 2 * steps)]);
        prop_assert!((once - halves).abs() <= 1e-9 * once, "{once} {halves}");
        prop_assert!((once - turned).abs() <= 1e-9 * once, "{once} {turned}");
    }

    /// Epsilon at delta, then delta at that epsilon.
    #[test]
    fn renyi_delta_undoes_epsilon(
        q in decades(-3.0..-0.01),
        z in decades(-0.3..1.0),
        steps in 1_u64..10_000,
        at in decades(-10.0..-2.0),
    ) {
        let mut accountant = RdpAccountant::new(Neighboring::AddOrRemoveOne);
        accountant.compose(&round(q, z), steps).expect("supported");
        let there = accountant.epsilon(delta(at)).expect("no limits");
        let back = accountant.delta(there).expect("no limits").get();
        prop_assert!(back <= at * (1.0 + 1e-6), "{back} for {at}");
        prop_assert!(there.get() <= 0.0 || back >= at * (1.0 - 1e-6), "{back} for {at}");
    }
}

proptest! {
    #![proptest_config(cases(24))]

    /// The exact price lies below the Rényi price, moves the right way, and its interval is as
    /// narrow as promised and contains that of a narrower request.
    #[test]
    fn exact_intervals_are_sound(
        q in decades(-2.5..-0.05),
        z in decades(-0.2..1.0),
        steps in 100_u64..100_000,
        at in decades(-9.0..-2.0),
        more in 1.01_f64..2.0,
    ) {
        // A thousandth of a billionth of ε is what double precision can hold.
        prop_assume!(rdp(q.min(0.5) * 2.0, z, 2 * steps, at / 2.0) < 300.0);
        let (lower, upper) = exact(q, z, steps, at);
        prop_assert!(lower <= upper && upper - lower <= 1e-9, "{lower} {upper}");
        prop_assert!(lower <= rdp(q, z, steps, at));
        prop_assert!(exact(q, z * more, steps, at).0 <= upper);
        prop_assert!(exact((q * more).min(1.0), z, steps, at).1 >= lower);
        prop_assert!(exact(q, z, steps * 2, at).1 >= lower);
        prop_assert!(exact(q, z, steps, at / more).1 >= lower);

        let mut wide = ExactAccountant::new(Neighboring::AddOrRemoveOne)
            .with_width(1e-5)
            .expect("in range");
        wide.compose(&round(q, z), steps).expect("supported");
        let found = wide.epsilon_interval(delta(at)).expect("reached");
        prop_assert!(found.lower_or_zero().get() <= lower && found.upper.get() >= upper, "{found:?}");

        // And back: the truth at the lower end is at least delta, at the upper end at most.
        if lower > 0.0 {
            let end = |epsilon: f64| {
                wide.delta_interval(Epsilon::new(epsilon).expect("in range")).expect("reached")
            };
            prop_assert!(end(lower).upper.get() >= at && end(upper).lower_or_zero().get() <= at);
        }
    }

    /// In halves or at once, in one order or the other, and a rate of one is no sampling.
    #[test]
    fn exact_composition_is_addition(
        q in decades(-2.0..-0.05),
        z in decades(-0.1..1.0),
        other in decades(-0.1..1.0),
        steps in 50_u64..5_000,
        at in decades(-9.0..-2.0),
    ) {
        let (a, b) = (round(q, z), DpEvent::gaussian(NoiseMultiplier::new(30.0 * other).expect("in range")));
        let price = |parts: &[(&DpEvent, u64)]| {
            let mut accountant = ExactAccountant::new(Neighboring::AddOrRemoveOne);
            for &(event, count) in parts {
                accountant.compose(event, count).expect("supported");
            }
            accountant.epsilon_interval(delta(at)).expect("reached")
        };
        prop_assume!(rdp(q, z, 2 * steps, at) < 200.0);
        let once = price(&[(&a, 2 * steps), (&b, 3)]);
        let full = b.clone().poisson_sampled(SamplingProbability::new(1.0).expect("in range"));
        for another in [
            price(&[(&a, steps), (&b, 3), (&a, steps)]),
            price(&[(&b, 2), (&a, 2 * steps), (&full, 1)]),
        ] {
            prop_assert!(once.lower_or_zero() <= another.upper && another.lower_or_zero() <= once.upper);
        }
    }

    /// Replacing a record costs at least as much as removing it and at most as removing at twice
    /// the sensitivity.
    #[test]
    fn relations_are_ordered(
        q in decades(-2.0..-0.05),
        z in decades(0.0..1.0),
        steps in 100_u64..10_000,
    ) {
        let price = |relation, z| {
            let mut accountant = ExactAccountant::new(relation);
            accountant.compose(&round(q, z), steps).expect("supported");
            accountant.epsilon_interval(delta(1e-5)).expect("reached")
        };
        let removed = price(Neighboring::AddOrRemoveOne, z);
        let blanked = price(Neighboring::ZeroOutOne, z);
        let replaced = price(Neighboring::ReplaceOne, z);
        prop_assert_eq!(removed, blanked);
        prop_assert!(replaced.upper >= removed.lower_or_zero(), "{:?} {:?}", replaced, removed);
        let mut rdp = RdpAccountant::new(Neighboring::ReplaceOne);
        rdp.compose(&round(q, z), steps).expect("supported");
        prop_assert!(rdp.epsilon(delta(1e-5)).expect("no limits") >= replaced.lower_or_zero());
    }
}

proptest! {
    // A case takes some thirty exact intervals.
    #![proptest_config(cases(6))]

    /// What calibration answers meets the target, and one step further misses it.
    #[test]
    fn calibration_is_on_the_safe_side_and_sharp(
        clients in 20_u64..400,
        rounds in 50_u64..5_000,
        z in decades(-0.1..0.7),
        target in decades(-1.0..1.3),
        at in decades(-9.0..-3.0),
    ) {
        let run = Run {
            clients,
            population: 4_000,
            noise_multiplier: NoiseMultiplier::new(z).expect("in range"),
            rounds,
            delta: delta(at),
        };
        let target = Epsilon::new(target).expect("in range");
        let exact = || ExactAccountant::new(Neighboring::AddOrRemoveOne);
        let noise = run.smallest_noise(target, 1e-9, exact).expect("priced");
        let Verdict::Met { answer, missed: Some(missed) } = noise else { panic!("{noise:?}") };
        prop_assert!(answer.epsilon <= target && missed.epsilon > target, "{noise:?}");
        prop_assert!(missed.value < answer.value && missed.value >= answer.value * (1.0 - 2e-9));
        let noise_multiplier = NoiseMultiplier::new(answer.value).expect("in range");
        let again = Run { noise_multiplier, ..run }.epsilon(exact()).expect("priced");
        prop_assert_eq!(again, answer.epsilon);

        // At a handful of rounds there may be no interval of this width.
        let add = || RdpAccountant::new(Neighboring::AddOrRemoveOne);
        let rough = run.most_rounds(target, 1 << 40, add).expect("priced").answer();
        prop_assume!(rough.is_some_and(|rough| rough.value > 100));
        let found = run.most_rounds(target, 1 << 40, exact).expect("priced");
        match found {
            Verdict::Met { answer, missed } => {
                prop_assert!(answer.epsilon <= target, "{found:?}");
                let missed = missed.expect("a trillion rounds are dear");
                prop_assert!(missed.epsilon > target && missed.value == answer.value + 1);
            }
            other => prop_assert!(false, "{other:?}"),
        }

        // With the noise that was found, the δ of the target is the one that was given.
        let wide = exact().with_width(1e-6).expect("in range");
        let calibrated = Run { noise_multiplier, ..run };
        let found = calibrated.smallest_delta(target, wide).expect("priced");
        prop_assert!(found.lower_or_zero().get() <= at && at <= found.upper.get() * (1.0 + 1e-5), "{found:?}");
        prop_assert!(found.lower_or_zero().get() >= at * (1.0 - 1e-5), "{found:?} for {at}");
    }
}
