//! A statement's words and numbers, held to exact lists and values.

mod toy;

use std::num::NonZeroU64;

use dp_accounting::{Epsilon, Ledger, NoiseMultiplier};
use dp_agg::{AdaptiveZeroing, Clipping, NoiseMode, Zeroing};
use fed_sim::config::{AggregationConfig, Algorithm, Uncovered};
use fed_sim::record::Silent;
use fed_sim::standing::Gap;
use fed_sim::{Experiment, PrivacyStatement, RunConfig, Simulation, Standing, plan};
use toy::{learner, population};

/// The tutorial's runs with noise multiplier 0.5, or with `noise`.
fn tutorial(noise: &[f64], seeds: &[u64]) -> Vec<RunConfig> {
    let text = format!(
        "name = \"t\"\nseeds = {seeds:?}\nrounds = 100\ndelta = 1e-5\n\
         [sweep]\nnoise_multipliers = {noise:?}\nclients_per_round = [50]\n"
    );
    Experiment::parse(&text, "t").expect("sound").runs()
}

const WRITERS: usize = 3383;

fn adaptive() -> AggregationConfig {
    let zeroing = Zeroing::Adaptive(AdaptiveZeroing::default());
    AggregationConfig::Private { zeroing, clipping: Clipping::default() }
}

/// The statement of a whole run that is one of `runs`.
fn statement(config: &RunConfig, runs: u64) -> PrivacyStatement {
    let ledger = plan::planned_ledger(config, WRITERS).expect("a plan");
    let sampler = plan::sampler(config, WRITERS).expect("sound");
    PrivacyStatement::new(config, &sampler, WRITERS, &ledger, runs).expect("said")
}

#[track_caller]
fn near(epsilon: Epsilon, truth: f64) {
    assert!((epsilon.get() - truth).abs() < 1e-6, "{epsilon} for {truth}");
}

/// The headline, the first line of a statement.
fn headline(statement: &PrivacyStatement) -> String {
    statement.to_string().lines().next().expect("a line").to_owned()
}

/// By composition over all rounds of all seeds, to the digit.
#[test]
fn all_seeds_together_cost_what_their_rounds_cost() {
    let config = &tutorial(&[0.5], &[1])[0];
    for (runs, truth) in [(1, ONE), (2, TWO), (3, THREE)] {
        let statement = statement(config, runs);
        near(statement.epsilon, ONE);
        near(statement.epsilon_of_all_runs, truth);
        // The same releases on one ledger.
        let mut ledger = Ledger::new();
        for entry in plan::planned_ledger(config, WRITERS).expect("a plan").entries() {
            let count = NonZeroU64::new(entry.count.get() * runs).expect("not zero");
            ledger.record_many(entry.event.clone(), count);
        }
        let whole = plan::epsilon(config, statement.neighbours, &ledger).expect("a price");
        near(whole, truth);
        let text = statement.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
        let said = format!(
            "seeds {runs}; releasing all of their runs costs simulated ε = {}",
            whole.rounded_up(4)
        );
        assert_eq!(text.contains(&said), runs > 1, "{text}");
    }
}

// Of one, two and three runs with noise multiplier 0.5: by numerical integration of the moments,
// orders 2.25 and (for three) 2, and the improved conversion.
const ONE: f64 = 9.900_011;
const TWO: f64 = 11.826_213;
const THREE: f64 = 13.618_653;
/// Of two seeds with noise multipliers 0.5, 0.75 and 1.
const SIX: f64 = 12.161_915;

/// No run is left out: neither of the seeds nor of the settings, nor of the ledgers.
#[test]
fn a_joint_price_counts_every_run() {
    let runs = tutorial(&[0.5, 0.75, 1.0], &[1, 2]);
    assert_eq!(runs.len(), 6);
    near(plan::epsilon_of_all(&runs, WRITERS).expect("a price"), SIX);
    near(plan::epsilon_of_all(&runs[..1], WRITERS).expect("a price"), ONE);
    near(plan::epsilon_of_all(&runs[..2], WRITERS).expect("a price"), TWO);
    assert!(plan::epsilon_of_all(&[], WRITERS).expect("nothing").get() <= 0.0);
    let ledgers: Vec<_> =
        runs.iter().map(|run| plan::planned_ledger(run, WRITERS).expect("a plan")).collect();
    let relation = plan::sampler(&runs[0], WRITERS).expect("sound").relation();
    near(plan::epsilon_of_ledgers(&runs[0], relation, &ledgers).expect("a price"), SIX);
    let tried = statement(&runs[0], 2).with_tried(&runs).expect("a price").tried.expect("priced");
    assert_eq!(tried.runs, 6);
    near(tried.epsilon, SIX);
}

const RAW: &str = "raw measurements, for simulations alone: training metrics, update norms, cohort \
                   sizes, counts and times (`diagnostics` in metrics.jsonl, and timing.jsonl)";
const TEST: &str = "test metrics, where they are computed on the users' own held-out examples \
                    (evaluations.csv, summary and figures)";
const FACTS: &str = "facts about the data: their digest and counts (provenance.json, \
                     resumes.jsonl), and errors that name a client (status.json)";
const CHOICE: &str = "the choice of hyper-parameters by looking at other runs on the same users";
const SEED: &str = "whoever knows the seed: cohorts and noise can be drawn again and subtracted";
const KEYED: &str = "whether the data are those of another run, for whoever has digest.key of the \
                     data folder (`keyed_digest` in provenance.json and resumes.jsonl)";
const FAILED: &str = "that a round failed or training diverged, where that depends on clients' data \
                      (status.json, checkpoints, exit code): the round is paid for, but that it \
                      failed shows";
const SHOWN: &str = "what only the terminal shows, such as counts of the data and errors, and how \
                     long rounds take (the times of files)";
const ZEROING: &str = "the model, because of adaptive zeroing: its threshold follows raw update \
                       magnitudes and the raw cohort size, so one client can decide whether the \
                       updates of others count";

/// Exactly what stands outside, in both modes.
#[test]
fn what_is_not_covered_is_named_item_by_item() {
    let mut config = tutorial(&[0.5], &[1]).remove(0);
    let named = |config: &RunConfig| statement(config, 1).not_covered;
    assert_eq!(named(&config), [RAW, TEST, FACTS, CHOICE, SEED]);
    config.noise = NoiseMode::Release;
    assert_eq!(named(&config), [TEST, KEYED, FAILED, SHOWN, CHOICE]);
    config.uncovered = vec![Uncovered::Diagnostics];
    assert_eq!(named(&config), [RAW, TEST, KEYED, FAILED, SHOWN, CHOICE]);
    config.uncovered = vec![Uncovered::AdaptiveZeroing];
    config.aggregation = adaptive();
    assert_eq!(named(&config), [ZEROING, TEST, KEYED, FAILED, SHOWN, CHOICE]);
    config.noise = NoiseMode::Simulation;
    assert_eq!(named(&config), [ZEROING, RAW, TEST, FACTS, CHOICE, SEED]);
}

/// What `tried` gives a price is not said to have none.
#[test]
fn the_choice_among_priced_runs_is_not_called_free_of_a_price() {
    let runs = tutorial(&[0.5, 0.75], &[1]);
    let of = |runs: &[RunConfig]| statement(&runs[0], 1).with_tried(runs).expect("a price");
    let several = of(&runs);
    assert!(!several.not_covered.iter().any(|gap| gap == CHOICE), "{several}");
    let text = several.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        "releasing them all, and so choosing among them, costs simulated ε = ",
        "at the same δ, and not the ε above",
        "among the runs of this experiment it costs the ε under `tried`, by any other run",
    ] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
    assert!(of(&runs[..1]).not_covered.iter().any(|gap| gap == CHOICE));
}

/// N, m and q are public, and said to be.
#[test]
fn what_is_taken_for_granted_is_said() {
    let mut config = tutorial(&[0.5], &[1]).remove(0);
    for noise in [NoiseMode::Simulation, NoiseMode::Release] {
        config.noise = noise;
        let assumed = statement(&config, 1).assumptions;
        let part = "the number of clients N, the clients per round m and the rate m/N are public, \
                    and the same for both neighbours";
        assert!(assumed.contains(part) && assumed.contains("drawn as they are priced"));
    }
}

#[test]
fn a_headline_claims_what_is_so() {
    let mut config = tutorial(&[0.5], &[1]).remove(0);
    let said = "(9.9001, 1e-5)-differential privacy of the final model";
    assert_eq!(headline(&statement(&config, 1)), format!("Simulated guarantee: {said}"));
    config.noise = NoiseMode::Release;
    assert_eq!(headline(&statement(&config, 1)), format!("Guarantee: {said}"));
    config.noise_multiplier = NoiseMultiplier::new(0.0).expect("in range");
    assert_eq!(headline(&statement(&config, 1)), "Guarantee: none (ε = infinity at δ = 1e-5)");
    config.noise = NoiseMode::Simulation;
    let none = "Simulated guarantee: none (ε = infinity at δ = 1e-5)";
    assert_eq!(headline(&statement(&config, 1)), none);
}

/// What moves the model without noise takes the model out of the headline, and out of every other
/// place that claims it.
#[test]
fn a_gap_takes_the_model_out_of_the_headline() {
    let plain = tutorial(&[0.5], &[1]).remove(0);
    let mut zeroing = plain.clone();
    zeroing.aggregation = adaptive();
    let mut mime = plain.clone();
    mime.client.algorithm = Algorithm::MimeLite;
    for (config, gap) in [(zeroing, Gap::AdaptiveZeroing), (mime, Gap::MimeLite)] {
        for noise in [NoiseMode::Simulation, NoiseMode::Release] {
            let config = RunConfig { noise, ..config.clone() };
            assert_eq!(Standing::of(&config), Standing { noise, gap: Some(gap) });
            let statement = statement(&config, 2).with_tried(&tutorial(&[0.5, 1.0], &[1, 2]));
            let statement = statement.expect("a price");
            near(statement.epsilon, ONE);
            assert!(statement.covered.is_empty(), "{statement}");
            let text = statement.to_string();
            let first = headline(&statement);
            assert!(first.ends_with(&format!(
                "none of the final model, for the noise does not cover {gap}"
            )));
            assert_eq!(first.starts_with("Simulated"), noise == NoiseMode::Simulation);
            assert!(!text.contains("-differential privacy"), "{text}");
            let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(words.contains("price ε = 9.9001 at δ = 1e-5 is what the same rounds would"));
            assert!(words.contains(&format!("- the model, because of {gap}:")), "{text}");
            // And so does the record.
            let json = serde_json::to_value(&statement).expect("JSON");
            let said = json["epsilon_is"].as_str().expect("said");
            assert!(said.ends_with(&format!("; not of the model: {gap}")), "{said}");
        }
    }
}

/// Statements that were written before this was said are read, and shown as what they are.
#[test]
fn an_old_statement_is_not_shown_with_a_claim_that_it_cannot_make() {
    let mut config = tutorial(&[0.5], &[1]).remove(0);
    config.noise = NoiseMode::Release;
    let mut old = serde_json::to_value(statement(&config, 1)).expect("JSON");
    old.as_object_mut().expect("an object").remove("epsilon_is");
    let read = |value| serde_json::from_value::<PrivacyStatement>(value).expect("readable");
    assert!(headline(&read(old.clone())).starts_with("Guarantee: (9.9001"));
    old["not_covered"][0] = "adaptive zeroing: its threshold follows raw update magnitudes".into();
    let first = headline(&read(old.clone()));
    assert!(first.starts_with("Guarantee: none of the final model"), "{first}");
    old["noise_source"] = "simulation noise: not a release".into();
    assert!(headline(&read(old)).starts_with("Simulated guarantee: none"));
}

fn parse(lines: &str) -> Result<Experiment, String> {
    let text = format!(
        "name = \"t\"\nseeds = [1]\nrounds = 100\ndelta = 1e-5\n{lines}\
         [sweep]\nnoise_multipliers = [0.5]\nclients_per_round = [50]\n"
    );
    Experiment::parse(&text, "t.toml").map_err(|error| error.to_string())
}

/// Off unless asked for; as a release only by the name of what it is.
#[test]
fn a_release_with_adaptive_zeroing_is_asked_for_by_name() {
    let zeroing = |config: &RunConfig| match config.aggregation {
        AggregationConfig::Private { zeroing, .. } => zeroing,
        _ => panic!("private by default"),
    };
    assert_eq!(zeroing(&parse("").expect("sound").runs()[0]), Zeroing::Off);
    let bare = parse("[aggregation]\nkind = \"private\"\n").expect("sound");
    assert_eq!(zeroing(&bare.runs()[0]), Zeroing::Off);

    let adaptive = "[aggregation]\nkind = \"private\"\nzeroing = { kind = \"adaptive\" }\n";
    let release = "noise = \"release\"\n";
    let named = "uncovered = [\"adaptive_zeroing\"]\n";
    parse(adaptive).expect("a simulation may");
    let error = parse(&format!("{release}{adaptive}")).expect_err("refused");
    for part in [
        "t.toml",
        "noise = \"release\" with adaptive zeroing",
        "no guarantee of the model",
        "zeroing = { kind = \"off\" }",
        "uncovered = [\"adaptive_zeroing\"]",
    ] {
        assert!(error.contains(part), "no {part:?} in {error}");
    }
    let error = parse(&format!("{release}uncovered = [\"diagnostics\"]\n{adaptive}"));
    error.expect_err("another name does not do");
    parse(&format!("{release}{named}{adaptive}")).expect("named");
    let error = parse("uncovered = [\"adaptive_zeroeing\"]\n").expect_err("a typo");
    assert!(error.contains("did you mean \"adaptive_zeroing\"?"), "{error}");
    for zeroing in ["{ kind = \"constant\", threshold = 1.0 }", "{ kind = \"noised\" }"] {
        let text = format!("{release}[aggregation]\nkind = \"private\"\nzeroing = {zeroing}\n");
        parse(&text).expect("covered");
    }

    // The same from a [calibrate], and where no file is read.
    let calibrate = format!(
        "name = \"t\"\nseeds = [1]\nrounds = 9\ndelta = 1e-5\n{release}[calibrate]\n\
         target_epsilon = 2\nbase_noise_multiplier = 0.5\nbase_clients_per_round = 50\n{adaptive}"
    );
    Experiment::parse(&calibrate, "t.toml").expect_err("refused");
    let (population, learner) = (population(), learner(1));
    let mut config = toy::config(0.3, 6.0);
    (config.noise, config.aggregation) = (NoiseMode::Release, self::adaptive());
    let begin = |config: &RunConfig| Simulation::new(config.clone(), &population, &*learner);
    let error = begin(&config).err().expect("refused").to_string();
    assert!(error.contains("adaptive zeroing"), "{error}");
    config.uncovered = vec![Uncovered::AdaptiveZeroing];
    begin(&config).expect("named");
}

/// A default is part of a configuration's digest: naming nothing changes no old one.
#[test]
fn old_configurations_keep_their_digests() {
    let config = tutorial(&[0.5], &[1]).remove(0);
    let text = toml::to_string(&config).expect("TOML");
    assert!(!text.contains("uncovered"), "{text}");
    let mut named = config.clone();
    named.uncovered = vec![Uncovered::Diagnostics];
    assert_ne!(named.id().expect("a digest"), config.id().expect("a digest"));
    let back: RunConfig = toml::from_str(&toml::to_string(&named).expect("TOML")).expect("read");
    assert_eq!(back, named);
}

/// Zeroing is a safeguard against broken clients: without them it changes nothing.
#[test]
fn zeroing_changes_no_run_whose_updates_are_of_a_size() {
    let (population, learner) = (population(), learner(1));
    let trained = |aggregation| {
        // Cohorts and noise are keyed by the setting: with everybody drawn and without noise, only
        // the sums can differ.
        let mut config = toy::config(0.3, 30.0);
        config.aggregation = aggregation;
        config.noise_multiplier = NoiseMultiplier::new(0.0).expect("in range");
        let mut run = Simulation::new(config, &population, &*learner).expect("sound");
        run.run(&population.all_examples(), &mut Silent).expect("trained");
        run.params().to_vec()
    };
    assert_eq!(trained(adaptive()), trained(AggregationConfig::default()));
}
