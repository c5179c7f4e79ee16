//! Every ε comes from the ledger, and the ledger from what was released.

mod toy;

use dp_accounting::{NoiseMultiplier, rdp};
use dp_agg::{Clipping, NoiseMode, Zeroing};
use fed_sim::config::{AccountingConfig, AggregationConfig, Orders};
use fed_sim::{PrivacyStatement, RunConfig, Sampling, Seed, SimError, Simulation, plan};
use toy::{config, learner, population};

#[test]
fn what_was_planned_is_what_is_on_the_ledger() {
    let (population, learner) = (population(), learner(1));
    let config = config(0.3, 6.0);
    let mut run = Simulation::new(config.clone(), &population, &*learner).expect("sound");
    run.run(&population.all_examples(), &mut fed_sim::record::Silent).expect("trained");
    let planned = plan::planned_ledger(&config, 30).expect("a plan");
    assert_eq!(run.ledger().entries(), planned.entries());
    assert_eq!(run.ledger().len(), u64::from(config.rounds.get()));
    let epsilon = run.epsilon().expect("a price").get();
    assert!(epsilon.is_finite() && epsilon > 0.0, "{epsilon}");
}

#[test]
fn an_empty_cohort_still_pays_and_still_steps() {
    let (population, learner) = (population(), learner(1));
    let mut run = Simulation::new(config(0.3, 6.0), &population, &*learner).expect("sound");
    run.step_with_cohort(&[0, 3, 9]).expect("a round");
    let (before, paid) = (run.params().to_vec(), run.epsilon().expect("a price"));
    let (record, _) = run.step_with_cohort(&[]).expect("an empty round");
    assert_eq!(record.diagnostics.clients, 0);
    assert_ne!(run.params(), before, "noise and momentum move the model");
    assert_eq!(run.ledger().len(), 2);
    assert!(run.epsilon().expect("a price") > paid);
}

#[test]
fn no_noise_is_no_guarantee() {
    let (population, learner) = (population(), learner(1));
    let mut run = Simulation::new(config(0.0, 6.0), &population, &*learner).expect("sound");
    assert!(run.epsilon().expect("nothing was released yet").get() <= 0.0);
    run.step().expect("a round");
    assert!(!run.epsilon().expect("a price").is_finite());
    let config = run.config().clone();
    let sampler = plan::sampler(&config, 30).expect("sound");
    let statement = PrivacyStatement::new(&config, &sampler, 30, run.ledger(), 1).expect("said");
    assert!(statement.to_string().starts_with("Simulated guarantee: none"), "{statement}");
    assert!(statement.covered.is_empty() && statement.assumptions.is_empty(), "{statement:?}");
}

/// A Poisson price is never put on a cohort of fixed size: the event says how it was drawn.
#[test]
fn a_fixed_cohort_is_never_priced_as_a_poisson_sample() {
    let mut fixed = config(0.3, 6.0);
    fixed.sampling = Sampling::FixedSize;
    fixed.accounting = AccountingConfig { orders: Orders::Best, ..AccountingConfig::default() };
    let planned = plan::planned_ledger(&fixed, 30).expect("a plan");
    let text = serde_json::to_string(planned.entries()).expect("JSON");
    assert!(text.contains("fixed_size_sampled") && !text.contains("poisson"), "{text}");
    let relation = plan::sampler(&fixed, 30).expect("sound").relation();
    let mut poisson = config(0.3, 6.0);
    poisson.accounting = fixed.accounting.clone();
    let poisson_ledger = plan::planned_ledger(&poisson, 30).expect("a plan");
    let poisson_relation = plan::sampler(&poisson, 30).expect("sound").relation();
    assert_ne!(relation, poisson_relation);
    let cheap = plan::epsilon(&poisson, poisson_relation, &poisson_ledger).expect("a price");
    match plan::epsilon(&fixed, relation, &planned) {
        Ok(epsilon) => assert!(epsilon > cheap, "{epsilon} against {cheap}"),
        Err(error) => assert!(matches!(error, SimError::Accounting(_)), "{error}"),
    }
}

/// The noise multiplier of the accountant is the total one, whatever the split.
#[test]
fn the_price_is_that_of_the_total_noise_multiplier() {
    let config = config(0.3, 6.0);
    let ledger = plan::planned_ledger(&config, 30).expect("a plan");
    let sampler = plan::sampler(&config, 30).expect("sound");
    let split = plan::epsilon(&config, sampler.relation(), &ledger).expect("a price");
    let mut accountant =
        dp_accounting::RdpAccountant::new(sampler.relation()).with_orders(rdp::Orders::tutorial());
    let total = dp_accounting::DpEvent::gaussian(NoiseMultiplier::new(0.3).expect("in range"));
    let rounds = u64::from(config.rounds.get());
    dp_accounting::Accountant::compose(&mut accountant, &sampler.amplify(total), rounds)
        .expect("composed");
    let total = dp_accounting::Accountant::epsilon(&accountant, config.delta).expect("a price");
    assert!((split.get() / total.get() - 1.0).abs() < 1e-12, "{split} against {total}");
}

#[test]
fn a_statement_names_everything_it_must() {
    let (population, learner) = (population(), learner(1));
    let mut run = Simulation::new(config(0.3, 6.0), &population, &*learner).expect("sound");
    run.step().expect("a round");
    let config = run.config().clone();
    let sampler = plan::sampler(&config, 30).expect("sound");
    let statement = PrivacyStatement::new(&config, &sampler, 30, run.ledger(), 3).expect("said");
    assert!(statement.covered.ends_with("the model after every round, the clip norms"));
    let text = statement.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        "covered",
        "one run of training",
        "setting",
        "central",
        "assumed",
        "drawn as they are priced",
        "to verify",
        "fed-dp 0.",
        &statement.ledger_head[..16],
        "unit",
        "neighbours",
        "adding or removing one user",
        "mechanism",
        "sampling",
        "Poisson",
        "rounds",
        "accountant",
        "noise",
        "not a release",
        "not covered",
        "hyper-parameters",
        "releasing all of their runs",
    ] {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
    // δ = 1e-3 is below 1/30; at 0.1 it is not, and the statement says so.
    let mut careless = config;
    careless.delta = dp_accounting::Delta::new(0.1).expect("in range");
    let statement = PrivacyStatement::new(&careless, &sampler, 30, run.ledger(), 1).expect("said");
    assert!(statement.to_string().contains("not below 1/population"), "{statement}");
}

#[test]
fn a_cohort_larger_than_the_population_is_refused() {
    let (population, learner) = (population(), learner(1));
    let error = Simulation::new(config(0.3, 31.0), &population, &*learner).err().expect("refused");
    assert!(error.to_string().contains("31") && error.to_string().contains("30"), "{error}");
}

/// Release noise so small that it is close to none is refused before a round is trained; for a
/// simulation it will do.
#[test]
fn release_noise_close_to_none_is_refused_with_the_configuration() {
    let mut little = config(1e-7, 6.0);
    little.check("c.toml").expect("a simulation may");
    little.noise = dp_agg::NoiseMode::Release;
    let error = little.check("c.toml").expect_err("too little").to_string();
    assert!(error.contains("c.toml") && error.contains("raise the noise multiplier"), "{error}");
    let mut enough = config(0.3, 6.0);
    enough.noise = dp_agg::NoiseMode::Release;
    enough.check("c.toml").expect("enough");
}

/// The same seed gives the same run, bit for bit, with any number of workers; another seed does
/// not.
#[test]
fn runs_are_equal_to_the_bit_on_any_number_of_threads() {
    let population = population();
    let trained = |threads: usize, seed: u64| {
        let learner = learner(threads);
        let mut config = config(0.3, 6.0);
        config.seed = Seed(seed);
        let mut run = Simulation::new(config, &population, &*learner).expect("sound");
        let mut records = Vec::new();
        for _ in 0..4 {
            records.push(run.step().expect("a round").0);
        }
        let bits: Vec<u32> = run.params().iter().map(|value| value.to_bits()).collect();
        (bits, serde_json::to_string(&records).expect("JSON"))
    };
    let one = trained(1, 7);
    assert_eq!(one, trained(1, 7));
    assert_eq!(one, trained(2, 7));
    assert_eq!(one, trained(3, 7));
    assert_ne!(one.0, trained(1, 8).0);
}

/// Switching the noise off changes neither the weights that a run starts from nor, with the same
/// cohort, what its clients do.
#[test]
fn a_sweep_shares_its_first_weights_and_the_orders_of_its_clients() {
    let (population, learner) = (population(), learner(1));
    let first = |noise: f64| {
        let mut run = Simulation::new(config(noise, 6.0), &population, &*learner).expect("sound");
        let start = run.params().to_vec();
        let (record, _) = run.step_with_cohort(&[2, 3, 5, 7, 11]).expect("a round");
        (start, record.diagnostics)
    };
    assert_eq!(first(0.0), first(0.3));
}

/// Zeroing on a noised count is inside the guarantee: named as part of the mechanism, not among
/// what is not covered, at the same total price.
#[test]
fn noised_zeroing_is_part_of_the_mechanism() {
    let said = |zeroing: dp_agg::Zeroing| {
        let mut config = config(0.3, 6.0);
        let clipping = dp_agg::Clipping::default();
        config.aggregation = fed_sim::config::AggregationConfig::Private { zeroing, clipping };
        let ledger = plan::planned_ledger(&config, 30).expect("a plan");
        let sampler = plan::sampler(&config, 30).expect("sound");
        PrivacyStatement::new(&config, &sampler, 30, &ledger, 1).expect("said")
    };
    let noised = said(dp_agg::Zeroing::Noised(dp_agg::NoisedZeroing {
        count_stddev: Some(1.0),
        ..Default::default()
    }));
    let off = said(dp_agg::Zeroing::Off);
    assert!((noised.epsilon.get() / off.epsilon.get() - 1.0).abs() < 1e-9);
    let text = noised.to_string();
    assert!(text.contains("1 on the count that moves the zeroing threshold"), "{text}");
    assert!(!text.contains("adaptive zeroing"), "{text}");
}

/// What two rounds without clients move the model by is their noise: never the same twice.
#[test]
fn every_round_has_noise_of_its_own() {
    let (population, learner) = (population(), learner(1));
    let mut config = config(0.3, 6.0);
    config.server =
        fed_sim::ServerOptimizer::Sgd { learning_rate: 1.0, momentum: 0.0, nesterov: false };
    let fixed = dp_agg::Clipping::Fixed { clip_norm: 1.0 };
    config.aggregation = fed_sim::config::AggregationConfig::Private {
        zeroing: dp_agg::Zeroing::Off,
        clipping: fixed,
    };
    let mut run = Simulation::new(config, &population, &*learner).expect("sound");
    let mut moves = Vec::new();
    for _ in 0..3 {
        let before = run.params().to_vec();
        run.step_with_cohort(&[]).expect("an empty round");
        let moved: Vec<f64> =
            run.params().iter().zip(before).map(|(a, b)| f64::from(a - b)).collect();
        moves.push(moved);
    }
    for (one, other) in [(0, 1), (0, 2), (1, 2)] {
        let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let (a, b) = (&moves[one], &moves[other]);
        let correlation = product(a, b) / (product(a, a) * product(b, b)).sqrt();
        // 83 parameters: seven standard errors.
        assert!(
            correlation.abs() < 7.0 / 83.0_f64.sqrt(),
            "rounds {one} and {other}: {correlation}"
        );
    }
}

/// What is written down of a round's noise is the deviation that was added to the mean, whoever
/// took part: that of the sum over the expected number of clients.
#[test]
fn the_recorded_deviation_does_not_depend_on_the_cohort() {
    let (population, learner) = (population(), learner(1));
    for noise in [NoiseMode::Simulation, NoiseMode::Release] {
        let mut config = config(0.3, 6.0);
        config.noise = noise;
        config.aggregation = AggregationConfig::Private {
            zeroing: Zeroing::Off,
            clipping: Clipping::Fixed { clip_norm: 0.25 },
        };
        let mut run = Simulation::new(config, &population, &*learner).expect("sound");
        for cohort in [&[][..], &[4], &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]] {
            let (record, _) = run.step_with_cohort(cohort).expect("a round");
            let found = record.released.noise_stddev;
            assert!((found / (0.3 * 0.25 / 6.0) - 1.0).abs() < 1e-12, "{found} for {cohort:?}");
        }
    }
}

/// A budget between the price of five rounds and that of six has room for five: what counts is what
/// the next round would bring the price to, not what was spent.
#[test]
fn a_budget_that_lies_between_two_prices_is_not_passed() {
    let (population, learner) = (population(), learner(1));
    let mut config = config(0.3, 6.0);
    config.rounds = std::num::NonZeroU32::new(8).expect("not zero");
    let relation = plan::sampler(&config, 30).expect("sound").relation();
    let price = |rounds: u32| {
        let mut part = config.clone();
        part.rounds = std::num::NonZeroU32::new(rounds).expect("not zero");
        let ledger = plan::planned_ledger(&part, 30).expect("a plan");
        plan::epsilon(&config, relation, &ledger).expect("a price").get()
    };
    for (most, rounds) in [(0.5 * (price(5) + price(6)), 5), (0.5 * price(1), 0), (price(3), 3)] {
        let most = dp_accounting::Epsilon::new(most).expect("in range");
        let mut run = Simulation::new(config.clone(), &population, &*learner)
            .expect("sound")
            .with_budget(Some(most));
        let error = run.run(&population.all_examples(), &mut fed_sim::record::Silent);
        assert!(matches!(error, Err(SimError::Budget { .. })), "{error:?}");
        assert_eq!((run.round(), run.ledger().len()), (rounds, u64::from(rounds)));
        assert!(run.epsilon().expect("a price") <= most);
        // By hand it goes no further either.
        assert!(matches!(run.step(), Err(SimError::Budget { .. })));
        assert!(matches!(run.step_with_cohort(&[]), Err(SimError::Budget { .. })));
    }
}

/// With release noise the cohort comes from the system: the seed, which a record may show, must
/// not tell who was there.
#[test]
fn a_release_draws_cohorts_that_its_seed_does_not_tell() {
    let (population, learner) = (population(), learner(1));
    let first = |noise: NoiseMode| {
        let mut config = config(0.3, 15.0);
        config.noise = noise;
        let mut run = Simulation::new(config, &population, &*learner).expect("sound");
        run.step().expect("a round").0.diagnostics.examples
    };
    let alike = |noise: NoiseMode| (0..8).map(|_| first(noise)).all(|seen| seen == first(noise));
    assert!(!alike(NoiseMode::Release), "eight first cohorts of about 15 of 30, all the same");
    assert!(alike(NoiseMode::Simulation));
}

/// Runs are priced together only where they have nothing in common but their clients: not
/// simulations of one seed under the first keys, which share their noise.
#[test]
fn runs_that_share_their_noise_have_no_price_together() {
    let of = |noise: f64, seed: u64, mode: NoiseMode| {
        let mut config = config(noise, 6.0);
        (config.seed, config.noise) = (Seed(seed), mode);
        config
    };
    let simulated = [0.3, 0.4].map(|z| of(z, 1, NoiseMode::Simulation));
    let seeds = [1, 2].map(|seed| of(0.3, seed, NoiseMode::Simulation));
    let released = [0.3, 0.4].map(|z| of(z, 1, NoiseMode::Release));
    let independent = |runs: &[RunConfig; 2], versions: [u32; 2]| {
        plan::are_independent(runs.iter().zip(versions))
    };
    assert!(!independent(&simulated, [1, 1]));
    assert!(independent(&simulated, [1, 2]) && independent(&simulated, [2, 2]));
    assert!(independent(&seeds, [1, 1]) && independent(&released, [1, 1]));

    // A statement of before says so itself, whatever it was written with.
    let [run, _] = &simulated;
    let sampler = plan::sampler(run, 30).expect("sound");
    let ledger = plan::planned_ledger(run, 30).expect("a plan");
    let statement = PrivacyStatement::new(run, &sampler, 30, &ledger, 1).expect("said");
    let alone = statement.clone().without_tried();
    assert!(alone.tried.is_none() && alone.to_string().contains("no price together"), "{alone}");
    let statement = statement.with_tried(&simulated).expect("a price");
    assert_eq!(statement.keys, fed_sim::keys::VERSION);
    let mut json = serde_json::to_value(&statement).expect("JSON");
    assert!(json.as_object_mut().expect("an object").remove("keys").is_some());
    let old: PrivacyStatement = serde_json::from_value(json).expect("an old statement");
    let flat = |text: String| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (new, old) = (flat(statement.to_string()), flat(old.to_string()));
    assert!(new.contains("releasing them all, and so choosing among them, costs"), "{new}");
    assert!(old.contains("no price together") && !old.contains("releasing them all"), "{old}");
}
