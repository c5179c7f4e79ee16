//! Faults of meaning: counts, relations, units and sampling schemes taken for others.

use std::num::NonZeroU64;

use dp_accounting::rdp::RdpAccountant;
use dp_accounting::{
    Accountant, AccountingError, Delta, DpEvent, Epsilon, ExactAccountant, Neighboring,
    NoiseMultiplier, PldAccountant, SamplingProbability,
};

use super::{delta, exact_epsilon, round};

/// A NaN noise multiplier that came out as perfect privacy.
#[test]
fn nan_does_not_get_in() {
    assert!(NoiseMultiplier::new(f64::NAN).is_err());
    assert!(SamplingProbability::new(f64::NAN).is_err());
    assert!(Delta::new(f64::NAN).is_err());
    assert!(Epsilon::new(f64::NAN).is_err());
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

/// A Poisson price on a cohort that was not drawn so.
#[test]
fn a_fixed_cohort_has_no_price_under_add_or_remove() {
    let event = DpEvent::gaussian(NoiseMultiplier::new(1.0).expect("in range"))
        .fixed_size_sampled(3383, 50);
    assert!(RdpAccountant::new(Neighboring::AddOrRemoveOne).supports(&event).is_err());
    assert!(ExactAccountant::new(Neighboring::AddOrRemoveOne).supports(&event).is_err());
    assert!(RdpAccountant::new(Neighboring::ReplaceOne).supports(&event).is_ok());
}

/// A noise multiplier, which is relative to a bound, taken for a standard deviation: it is a type of
/// its own here, and the same multiplier costs the same whatever the bound.
#[test]
fn a_noise_multiplier_is_relative() {
    // 2 C of noise for a bound of C is 2, under replace-one half of that.
    let once = |relation, z| {
        let mut accountant = ExactAccountant::new(relation);
        let event = DpEvent::gaussian(NoiseMultiplier::new(z).expect("in range"));
        accountant.compose(&event, 1).expect("supported");
        accountant.epsilon(delta(1e-5)).expect("reached").get()
    };
    let (removed, replaced) =
        (once(Neighboring::AddOrRemoveOne, 2.0), once(Neighboring::ReplaceOne, 4.0));
    assert!((removed - replaced).abs() < 1e-9, "{removed} {replaced}");
}

/// Unsupported relations that came back as a value beside the answer, easily dropped: here nothing
/// is composed, and the innermost event is named.
#[test]
fn what_has_no_proof_is_an_error_and_not_an_answer() {
    let response = DpEvent::RandomizedResponse {
        probability: SamplingProbability::new(0.5).expect("in range"),
        buckets: 2,
    };
    let ten = NonZeroU64::new(10).expect("not zero");
    let buried = DpEvent::composed(vec![round(0.1, 3.0), response.clone()]).repeated(ten);
    let accountants: [Box<dyn Accountant>; 3] = [
        Box::new(RdpAccountant::new(Neighboring::AddOrRemoveOne)),
        Box::new(ExactAccountant::new(Neighboring::AddOrRemoveOne)),
        Box::new(PldAccountant::new(Neighboring::AddOrRemoveOne)),
    ];
    for mut accountant in accountants {
        let error = accountant.compose(&buried, 1).expect_err("no proof");
        let AccountingError::Unsupported { event, .. } = error else { panic!("{error}") };
        assert_eq!(*event, response);
        assert_eq!(accountant.epsilon(Delta::ZERO), Ok(Epsilon::ZERO));
    }
}
