//! Calibration against tables, and from both sides.

use dp_accounting::calibrate::{ClientSearch, ClientVerdict, Direction, Run, Verdict, real, whole};
use dp_accounting::rdp::{Conversion, Orders, RdpAccountant};
use dp_accounting::{Accountant, Delta, Epsilon, ExactAccountant, Neighboring, NoiseMultiplier};
use dp_accounting::{DpEvent, SamplingProbability};
use serde_json::Value;

fn table() -> Value {
    serde_json::from_str(include_str!("reference/calibration.json")).expect("well formed")
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

fn whole_number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no whole number"))
}

fn epsilon(value: f64) -> Epsilon {
    Epsilon::new(value).expect("in range")
}

fn exact() -> ExactAccountant {
    ExactAccountant::new(Neighboring::AddOrRemoveOne)
}

fn rdp() -> RdpAccountant {
    RdpAccountant::new(Neighboring::AddOrRemoveOne)
}

fn priced<A: Accountant>(mut accountant: A, case: &Value, z: f64) -> Epsilon {
    let round = DpEvent::gaussian(NoiseMultiplier::new(z).expect("in range"))
        .poisson_sampled(SamplingProbability::new(number(&case["q"])).expect("in range"));
    accountant.compose(&round, whole_number(&case["steps"])).expect("supported");
    accountant.epsilon(Delta::new(number(&case["delta"])).expect("in range")).expect("reached")
}

#[test]
fn the_smallest_noise_of_the_table() {
    let table = table();
    let orders: Vec<f64> =
        table["rdp_orders"].as_array().expect("a list").iter().map(number).collect();
    let rdp = |conversion| {
        RdpAccountant::new(Neighboring::AddOrRemoveOne)
            .with_orders(Orders::list(orders.clone()).expect("orders above 1"))
            .with_conversion(conversion)
    };
    let cases = table["noise"].as_array().expect("a list");
    assert_eq!(cases.len(), 7, "an empty table proves nothing");
    for case in cases {
        let target = epsilon(number(&case["target_eps"]));
        let find = |price: &dyn Fn(f64) -> Epsilon, truth: f64| {
            let verdict =
                real(0.01..=1e4, 1.0, 1e-10, Direction::Falling, target, |z| Ok(price(z)))
                    .expect("a sound range");
            let Verdict::Met { answer, missed: Some(missed) } = verdict else {
                panic!("{verdict:?}")
            };
            assert!(answer.epsilon <= target && missed.epsilon > target, "{verdict:?}");
            assert!((answer.value / truth - 1.0).abs() < 2e-9, "{} for {truth}", answer.value);
        };
        find(&|z| priced(exact(), case, z), number(&case["sigma_tight"]));
        let improved = number(&case["sigma_rdp_improved"]);
        find(&|z| priced(rdp(Conversion::Improved), case, z), improved);
        let classic = number(&case["sigma_rdp_classic"]);
        find(&|z| priced(rdp(Conversion::Classic), case, z), classic);
    }
}

#[test]
fn the_clients_of_the_table() {
    let table = table();
    let cases = table["clients"].as_array().expect("a list");
    assert_eq!(cases.len(), 4, "an empty table proves nothing");
    for case in cases {
        let search = ClientSearch {
            population: whole_number(&case["population"]),
            base_clients: whole_number(&case["base_clients"]),
            base_noise_multiplier: NoiseMultiplier::new(number(&case["base_noise_multiplier"]))
                .expect("in range"),
            target: epsilon(number(&case["target_eps"])),
        };
        let rounds = whole_number(&case["steps"]);
        let delta = Delta::new(number(&case["delta"])).expect("in range");
        let rdp = |conversion| search.run_rdp(rounds, delta, &Orders::tutorial(), conversion);
        for (name, verdict) in [
            ("classic", rdp(Conversion::Classic)),
            ("improved", rdp(Conversion::Improved)),
            ("tight", search.run_with(rounds, delta, exact)),
        ] {
            let expect = &case[name];
            match verdict.expect("priced") {
                ClientVerdict::Met { answer, one_fewer, .. } => {
                    let clients = answer.proposal.clients;
                    assert_eq!(Some(clients), expect["clients"].as_u64(), "{name} {case}");
                    let near = |ours: Epsilon, theirs: &Value| {
                        let theirs = number(theirs);
                        assert!((ours.get() - theirs).abs() < 2e-9, "{name} {ours} {theirs}");
                    };
                    near(answer.price.epsilon, &expect["eps"]);
                    if let Some(fewer) = one_fewer {
                        near(fewer.price.epsilon, &expect["eps_one_fewer"]);
                    }
                }
                ClientVerdict::OutOfReach { .. } => assert!(expect["clients"].is_null(), "{case}"),
                _ => panic!("an unknown verdict"),
            }
        }
    }
}

#[test]
fn one_round_or_client_more_misses_the_target() {
    let run = Run {
        clients: 50,
        population: 3383,
        noise_multiplier: NoiseMultiplier::new(1.0).expect("in range"),
        rounds: 100,
        delta: Delta::new(1e-5).expect("in range"),
    };
    let target = epsilon(1.5);
    let verdict = run.most_rounds(target, 1_000_000, exact).expect("priced");
    let Verdict::Met { answer, missed: Some(missed) } = verdict else { panic!("{verdict:?}") };
    assert!(
        answer.epsilon <= target && missed.epsilon > target && missed.value == answer.value + 1
    );

    let verdict = run.most_clients(target, exact).expect("priced");
    let Verdict::Met { answer, missed: Some(missed) } = verdict else { panic!("{verdict:?}") };
    assert!(
        answer.epsilon <= target && missed.epsilon > target && missed.value == answer.value + 1
    );

    let verdict = run.smallest_population(target, 1_000_000, exact).expect("priced");
    let Verdict::Met { answer, missed: Some(missed) } = verdict else { panic!("{verdict:?}") };
    assert!(
        answer.epsilon <= target && missed.epsilon > target && missed.value + 1 == answer.value
    );

    let there = run.epsilon(exact()).expect("priced");
    let back = run.delta(there, exact()).expect("priced");
    assert!((back.get() / 1e-5 - 1.0).abs() < 1e-7, "{back}");
}

/// Whatever is left open is found from the rest, and its neighbour misses.
#[test]
fn any_one_parameter_from_the_others() {
    let run = Run {
        clients: 120,
        population: 3383,
        noise_multiplier: NoiseMultiplier::new(1.2).expect("in range"),
        rounds: 100,
        delta: Delta::new(1e-5).expect("in range"),
    };
    let found = run.smallest_epsilon(exact()).expect("priced");
    let truth = 1.707_470_644_854_583_6;
    assert!(found.lower_or_zero().get() <= truth && truth <= found.upper.get(), "{found:?}");
    assert!(found.upper.get() - found.lower_or_zero().get() <= 1e-9, "{found:?}");

    let found = run.smallest_delta(epsilon(truth), exact()).expect("priced");
    assert!(found.lower_or_zero().get() <= 1e-5 * (1.0 + 1e-10), "{found:?}");
    assert!(found.upper.get() >= 1e-5 * (1.0 - 1e-10), "{found:?}");
    assert!(
        found.upper.get() - found.lower_or_zero().get() <= 1e-9 * found.upper.get(),
        "{found:?}"
    );

    let target = epsilon(2.0);
    let verdict = run.largest_probability(target, 1e-10, exact).expect("priced");
    let Verdict::Met { answer, missed: Some(missed) } = verdict else { panic!("{verdict:?}") };
    assert!(answer.epsilon <= target && missed.epsilon > target, "{verdict:?}");
    assert!(missed.value > answer.value && missed.value < answer.value * (1.0 + 2e-10));
    assert!(answer.value > 120.0 / 3383.0, "at 120 clients the target is met");

    // Unreachable: the verdict names the least price of the range.
    let verdict = run.smallest_population(epsilon(1e-3), 10_000, exact).expect("priced");
    let Verdict::OutOfReach { floor } = verdict else { panic!("{verdict:?}") };
    assert_eq!(floor.value, 10_000);
    assert!(floor.epsilon.get() > 1e-3, "{floor:?}");
    let run = Run { noise_multiplier: NoiseMultiplier::new(0.5).expect("in range"), ..run };
    let verdict = run.largest_probability(epsilon(1e-300), 1e-6, rdp).expect("priced");
    assert!(matches!(verdict, Verdict::Met { .. } | Verdict::OutOfReach { .. }), "{verdict:?}");
    let open = Run { noise_multiplier: NoiseMultiplier::new(0.0).expect("in range"), ..run };
    let verdict = open.largest_probability(target, 1e-6, exact).expect("priced");
    let Verdict::OutOfReach { floor } = verdict else { panic!("{verdict:?}") };
    assert_eq!(floor.epsilon, Epsilon::INFINITE);
    assert_eq!(open.smallest_epsilon(exact()).expect("priced").upper, Epsilon::INFINITE);
}

/// A few rounds at a tiny rate once had no interval of the default width, and searches walked around
/// them.
#[test]
fn rounds_are_counted_from_a_handful_on() {
    let run = Run {
        clients: 50,
        population: 3383,
        noise_multiplier: NoiseMultiplier::new(0.5).expect("in range"),
        rounds: 1,
        delta: Delta::new(1e-5).expect("in range"),
    };
    let few = Run { rounds: 3, ..run };
    let found = few.smallest_epsilon(exact()).expect("priced");
    let (lower, upper) = (found.lower_or_zero().get(), found.upper.get());
    assert!(upper - lower <= 1e-9 && lower < 4.273_349 && upper > 4.272_898, "{found:?}");
    let target = epsilon(8.07);
    let verdict = run.most_rounds(target, 1 << 53, exact).expect("priced");
    let Verdict::Met { answer, missed: Some(missed) } = verdict else { panic!("{verdict:?}") };
    assert_eq!((answer.value, missed.value), (100, 101));
}

#[test]
fn verdicts_at_the_ends_of_a_range() {
    let falling = |n: u64| {
        Epsilon::new(100.0 / f64::from(u32::try_from(n).expect("small"))).map_err(Into::into)
    };
    let all = whole(10..=20, Direction::Falling, epsilon(10.0), falling).expect("priced");
    assert!(matches!(all, Verdict::Met { answer, missed: None } if answer.value == 10), "{all:?}");
    let none = whole(10..=20, Direction::Falling, epsilon(4.9), falling).expect("priced");
    assert!(matches!(none, Verdict::OutOfReach { floor } if floor.value == 20), "{none:?}");
    let one = whole(10..=10, Direction::Rising, epsilon(10.0), falling).expect("priced");
    assert!(matches!(one, Verdict::Met { missed: None, .. }), "{one:?}");
    #[expect(clippy::reversed_empty_ranges, reason = "that is the point")]
    let empty = whole(2..=1, Direction::Rising, epsilon(1.0), falling);
    assert!(empty.is_err());

    let rising = |x: f64| Epsilon::new(x).map_err(Into::into);
    let none = real(1.0..=9.0, 3.0, 1e-9, Direction::Rising, epsilon(0.5), rising).expect("priced");
    assert!(matches!(none, Verdict::OutOfReach { floor } if floor.value <= 1.0), "{none:?}");
    let all = real(1.0..=9.0, 3.0, 1e-9, Direction::Rising, epsilon(9.5), rising).expect("priced");
    assert!(matches!(all, Verdict::Met { missed: None, .. }), "{all:?}");
    let some = real(1.0..=9.0, 3.0, 1e-9, Direction::Rising, epsilon(5.0), rising).expect("priced");
    let found = some.answer().expect("in reach").value;
    assert!(found <= 5.0 && found > 5.0 - 1e-8, "{found}");
    assert!(real(-1.0..=9.0, 3.0, 1e-9, Direction::Rising, epsilon(5.0), rising).is_err());
}

/// Targets at both ends of what can be asked: none at all, and less than any noise gives.
#[test]
fn a_target_of_nothing_and_one_beyond_all_noise() {
    let run = Run {
        clients: 50,
        population: 3383,
        noise_multiplier: NoiseMultiplier::new(1.0).expect("in range"),
        rounds: 100,
        delta: Delta::new(1e-5).expect("in range"),
    };
    // ε = 0 is met where the total variation is at most δ, which much noise brings about.
    let verdict = run.smallest_noise(Epsilon::ZERO, 1e-6, rdp).expect("priced");
    let Verdict::Met { answer, missed: Some(missed) } = verdict else { panic!("{verdict:?}") };
    assert_eq!(answer.epsilon, Epsilon::ZERO);
    assert!(missed.epsilon > Epsilon::ZERO && missed.value < answer.value, "{verdict:?}");
    let verdict = run.most_rounds(Epsilon::ZERO, 1000, exact).expect("priced");
    let Verdict::Met { answer, missed: Some(missed) } = verdict else { panic!("{verdict:?}") };
    assert_eq!((answer.value, missed.value), (0, 1));
    let verdict = run.most_clients(Epsilon::ZERO, rdp).expect("priced");
    let Verdict::Met { answer, missed: Some(missed) } = verdict else { panic!("{verdict:?}") };
    assert_eq!((answer.value, missed.value), (0, 1));
    // Whatever is infinite is met by anything.
    let verdict = run.most_clients(Epsilon::INFINITE, rdp).expect("priced");
    let Verdict::Met { answer, missed: None } = verdict else { panic!("{verdict:?}") };
    assert_eq!(answer.value, 3383);

    // Everybody in every one of 2^53 rounds: the noise of the range is not enough.
    let much =
        Run { clients: 3383, rounds: 1 << 53, delta: Delta::new(1e-12).expect("in range"), ..run };
    let verdict = much.smallest_noise(epsilon(0.1), 1e-6, rdp).expect("priced");
    let Verdict::OutOfReach { floor } = verdict else { panic!("{verdict:?}") };
    assert!(floor.value >= 1e9 && floor.epsilon.get() > 0.1, "{floor:?}");
    // More clients than there are, and none at all.
    assert!(Run { clients: 3384, ..run }.epsilon(rdp()).is_err());
    assert_eq!(Run { clients: 0, ..run }.epsilon(rdp()), Ok(Epsilon::ZERO));
    assert_eq!(Run { rounds: 0, ..run }.epsilon(rdp()), Ok(Epsilon::ZERO));
}

/// Where the exact accountant refuses, a search once ended in an error; others answer in its place, on
/// the safe side, and the answer says whose it is. `0.449665` is known from elsewhere.
#[test]
fn a_refused_price_does_not_end_a_search() {
    let run = Run {
        clients: 100,
        population: 1_000_000,
        noise_multiplier: NoiseMultiplier::new(1.0).expect("in range"),
        rounds: 50,
        delta: Delta::new(1e-6).expect("in range"),
    };
    let target = epsilon(1.0);
    let answer =
        run.smallest_noise(target, 1e-6, exact).expect("priced").answer().expect("in reach");
    assert!((answer.value - 0.449_665).abs() < 1e-5, "{answer:?}");
    assert!(answer.epsilon <= target && answer.accountant.is_some(), "{answer:?}");
    // The Rényi bound, always there, is above what stands in.
    let renyi = run.smallest_noise(target, 1e-6, rdp).expect("priced").answer().expect("in reach");
    assert_eq!(renyi.accountant, Some("RDP"));
    assert!(renyi.value >= answer.value, "{renyi:?} {answer:?}");
}
