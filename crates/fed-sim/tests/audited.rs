//! Runs that audit themselves, where the truth is known.

mod toy;

use std::num::{NonZeroU32, NonZeroUsize};

use dp_accounting::{Delta, NoiseMultiplier};
use dp_agg::{Clipping, NoiseMode, Zeroing};
use fed_model::{Backend, Learner, MlpSpec};
use fed_sim::audit::{AuditReport, Claim, Normal, epsilon_between};
use fed_sim::config::{AggregationConfig, AuditConfig};
use fed_sim::record::Silent;
use fed_sim::{PrivacyStatement, RunConfig, Sampling, ServerOptimizer, Simulation, plan};
use toy::population;

const DELTA: f64 = 1e-6;

/// A network of 30,003 parameters: many more than there are canaries.
fn learner() -> Box<dyn Learner> {
    let threads = NonZeroUsize::new(2).expect("not zero");
    fed_model::open(Backend::Cpu, &MlpSpec::new([6, 3000, 3]), threads).expect("the CPU back end")
}

/// Everybody in every round, a fixed clip norm, and a server that adds up what it is sent: the
/// model's move is a sum of `rounds` Gaussian releases.
fn config(noise: f64, rounds: u32) -> RunConfig {
    let mut config = toy::config(noise, 30.0);
    config.rounds = NonZeroU32::new(rounds).expect("not zero");
    config.evaluate_every = config.rounds;
    config.aggregation = AggregationConfig::Private {
        zeroing: Zeroing::Off,
        clipping: Clipping::Fixed { clip_norm: 0.1 },
    };
    config.server = ServerOptimizer::Sgd { learning_rate: 1.0, momentum: 0.0, nesterov: false };
    config.delta = Delta::new(DELTA).expect("in range");
    config.audit = Some(AuditConfig { canaries: Some(1000), confidence: 0.99 });
    config
}

fn audited(config: RunConfig) -> AuditReport {
    let (population, learner) = (population(), learner());
    let mut run = Simulation::new(config, &population, &*learner).expect("sound");
    run.run(&population.all_examples(), &mut Silent).expect("trained");
    run.audit_report().expect("a price").expect("audited")
}

/// ε of `rounds` releases of the Gaussian mechanism, exactly.
fn truth(noise: f64, rounds: u32) -> f64 {
    let shifted = Normal { mean: f64::from(rounds).sqrt() / noise, sd: 1.0 };
    epsilon_between(Normal { mean: 0.0, sd: 1.0 }, shifted, DELTA)
}

/// The intervals, at 99 per cent, hold the truth. The estimates themselves tend to be too large by
/// a fifth with 500 canaries in: the tails of two fitted normal laws differ where their fits do.
///
/// One release: the final model and the only round say the same, and both are right. Four releases
/// of twice the noise: the final model, their sum, is as good as one.
#[test]
fn the_estimates_land_on_the_truth() {
    for (noise, rounds) in [(1.3, 1), (2.6, 4), (0.6, 1)] {
        let report = audited(config(noise, rounds));
        let truth = truth(noise, rounds);
        let found = report.final_model.expect("enough canaries");
        let (low, high) = (found.interval[0].get(), found.interval[1].get());
        assert!((low..=high).contains(&truth), "{truth}: {report}");
        assert!((found.epsilon.get() / truth - 1.0).abs() < 0.3, "{truth}: {report}");
        if rounds == 1 {
            let all = report.all_rounds.expect("enough canaries");
            let (low, high) = (all.interval[0].get(), all.interval[1].get());
            assert!((low..=high).contains(&truth), "{truth}: {report}");
            assert!((all.epsilon.get() / truth - 1.0).abs() < 0.5, "{truth}: {report}");
        }
        assert!(report.lower_bound.epsilon < truth, "{truth}: {report}");
        assert!(report.lower_bound.epsilon > 0.1 * truth, "{truth}: {report}");
        assert!(truth < report.proven.get() && report.proven.get() < 1.5 * truth + 1.0);
        assert_eq!((report.canaries, report.rounds), (1000, rounds));
        assert!((430..570).contains(&report.included), "fair coins: {}", report.included);
    }
}

/// What `xtask/tests/mistakes.rs` asks of the audit alone: it refutes a guarantee that is badly
/// broken, and never one that is kept.
#[test]
fn a_guarantee_that_is_kept_is_not_refuted() {
    for noise in [2.5, 2.9] {
        let report = audited(config(noise, 2));
        assert!(!report.refuted && report.alarm().is_none(), "{report}");
    }
}

/// Noise of the sum's scale that is divided by the number of clients twice, say: what is added
/// has a thirtieth of the deviation that was paid for.
#[test]
fn a_guarantee_that_is_broken_is_refuted_and_the_statement_shouts() {
    let (population, learner) = (population(), learner());
    let mut run = Simulation::new(config(2.6 / 30.0, 2), &population, &*learner).expect("sound");
    run.run(&population.all_examples(), &mut Silent).expect("trained");
    let claimed = config(2.6, 2);
    let ledger = plan::planned_ledger(&claimed, 30).expect("a plan");
    let sampler = plan::sampler(&claimed, 30).expect("sound");
    let statement = PrivacyStatement::new(&claimed, &sampler, 30, &ledger, 1).expect("a price");
    let claim = Claim::of(&claimed, sampler.relation(), &ledger).expect("a price");
    let report = run.audit().expect("audited").report(run.params(), &claim);
    assert!(report.refuted && report.lower_bound.epsilon > 4.0, "{report}");
    let statement = statement.with_audit(Some(report));
    assert!(statement.warnings[0].contains("THE GUARANTEE IS REFUTED"), "{statement}");
    assert!(statement.to_string().contains("ALARM"), "{statement}");
    let json = serde_json::to_string(&statement).expect("JSON");
    let back: PrivacyStatement = serde_json::from_str(&json).expect("a statement");
    assert_eq!(back, statement);
}

/// Without noise nothing is claimed, so nothing is refuted, and the estimates see everything.
#[test]
fn without_noise_everything_is_seen_and_nothing_refuted() {
    let report = audited(config(0.0, 1));
    assert!(!report.proven.is_finite() && !report.refuted, "{report}");
    assert!(report.final_model.expect("enough").epsilon.get() > 20.0, "{report}");
    assert!(report.lower_bound.epsilon > 3.0, "{report}");
    assert!(report.to_string().contains("proven       nothing"), "{report}");
    let json = serde_json::to_string(&report).expect("JSON");
    let back: AuditReport = serde_json::from_str(&json).expect("a report");
    assert_eq!(back, report);
}

/// What an audit could have refuted stands beside what it did not, and where it could refute
/// nothing, it says so: without any noise, a claim of ε = 9.9 passes a thousand canaries.
#[test]
fn an_audit_says_what_it_could_have_refuted() {
    let (population, learner) = (population(), learner());
    let audited = |claimed: f64, canaries| {
        let config = |noise| {
            let mut config = config(noise, 1);
            config.delta = Delta::new(1e-5).expect("in range");
            config.audit = Some(AuditConfig { canaries, confidence: 0.95 });
            config
        };
        // No noise, and a claim of some.
        let mut run = Simulation::new(config(0.0), &population, &*learner).expect("sound");
        run.run(&population.all_examples(), &mut Silent).expect("trained");
        let claimed = config(claimed);
        let ledger = plan::planned_ledger(&claimed, 30).expect("a plan");
        let relation = plan::sampler(&claimed, 30).expect("sound").relation();
        let claim = Claim::of(&claimed, relation, &ledger).expect("a price");
        run.audit().expect("audited").report(run.params(), &claim)
    };
    let large = audited(0.5, Some(1000));
    assert!(large.proven.get() > 9.9, "{large}");
    assert!((large.could_refute.expect("said") - 5.28).abs() < 0.01, "{large}");
    assert!(!large.refuted && large.could_refute_the_claim == Some(false), "{large}");
    for text in [large.to_string().replace('\n', " "), large.line()] {
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains("could have refuted at most ε = 5.28"), "{text}");
        assert!(text.contains("can refute nothing here"), "{text}");
    }
    let small = audited(2.0, Some(1000));
    assert!(small.refuted && small.could_refute_the_claim == Some(true), "{small}");
    assert!(!small.line().contains("nothing here"), "{small}");
    // What is read back is what was written, also where an older version did not say it.
    let json = serde_json::to_value(&small).expect("JSON");
    assert_eq!(serde_json::from_value::<AuditReport>(json.clone()).expect("a report"), small);
    let mut old = json;
    let fields = old.as_object_mut().expect("an object");
    for field in ["could_refute", "could_refute_the_claim"] {
        fields.remove(field).expect("there");
    }
    let old: AuditReport = serde_json::from_value(old).expect("readable");
    assert!(!old.line().contains("could have"), "{old}");
}

/// With the audit the clients of a cohort do what they do without it. The first release without
/// noise differs by nothing but the canaries.
#[test]
fn canaries_disturb_no_client() {
    let (population, learner) = (population(), learner());
    let mut sampled = config(0.0, 1);
    sampled.clients_per_round = 10.0;
    let mut plain = sampled.clone();
    plain.audit = None;
    let first = |config: RunConfig| {
        let mut run = Simulation::new(config, &population, &*learner).expect("sound");
        let (record, _) = run.step_with_cohort(&[0, 3, 8, 21]).expect("a round");
        (record, run.params().to_vec())
    };
    let (with, moved) = first(sampled);
    let (without, unmoved) = first(plain);
    assert_eq!(with.diagnostics, without.diagnostics);
    assert_eq!(with.released.clip_norm, without.released.clip_norm);
    // Some 167 canaries of length 0.1, drawn like the ten clients, over ten.
    let apart: f64 =
        moved.iter().zip(&unmoved).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt();
    let expected = 0.1 / 10.0 * (1000.0_f64 / 2.0 / 3.0).sqrt();
    assert!((apart / expected - 1.0).abs() < 0.3, "{apart} for {expected}");
}

/// Neither the audit nor the run depends on the number of threads.
#[test]
fn threads_change_nothing() {
    let population = population();
    let trained = |threads| {
        let learner = toy::learner(threads);
        let mut run = Simulation::new(config(1.0, 3), &population, &*learner).expect("sound");
        run.run(&population.all_examples(), &mut Silent).expect("trained");
        let rows = run.audit().expect("audited").rows(run.params());
        (rows, run.params().to_vec())
    };
    let (rows, params) = trained(1);
    assert_eq!((rows.len(), &rows), (1000, &trained(3).0));
    assert_eq!(params, trained(2).1);
}

/// Release noise: the audit works on it as on any other.
#[test]
fn a_release_can_be_audited() {
    let mut config = config(1.3, 1);
    config.noise = NoiseMode::Release;
    // A false alarm in a hundred thousand runs.
    config.audit = Some(AuditConfig { canaries: Some(1000), confidence: 0.99999 });
    let report = audited(config);
    let found = report.final_model.expect("enough");
    let (low, high) = (found.interval[0].get(), found.interval[1].get());
    assert!((low..=high).contains(&truth(1.3, 1)), "{report}");
    assert!(!report.refuted, "{report}");
}

#[test]
fn what_cannot_be_audited_is_refused() {
    let refused = |change: fn(&mut RunConfig), part: &str| {
        let mut config = config(1.0, 1);
        change(&mut config);
        let error = config.check("c.toml").expect_err("refused").to_string();
        assert!(error.contains("[audit]") && error.contains(part), "{error}");
    };
    refused(
        |config| config.audit = Some(AuditConfig { canaries: Some(19), confidence: 0.9 }),
        "19",
    );
    refused(
        |config| config.audit = Some(AuditConfig { canaries: Some(20), confidence: 1.0 }),
        "(0, 1)",
    );
    refused(
        |config| config.audit = Some(AuditConfig { canaries: Some(20), confidence: f64::NAN }),
        "NaN",
    );
    refused(|config| config.sampling = Sampling::FixedSize, "poisson");
    refused(
        |config| {
            config.noise_multiplier = NoiseMultiplier::new(0.0).expect("in range");
            config.aggregation = AggregationConfig::Mean { weighting: dp_agg::Weighting::Uniform };
        },
        "private",
    );
}
