//! Simulated runs share no noise, whatever they differ in: no combination of their models is free
//! of it.
//!
//! Each test takes away what a run without noise would have done with the same cohort, and looks
//! at what is left. In 30,003 dimensions the correlation of independent noise has a standard error
//! of 0.0058; six of them are allowed, a false alarm in 500 million seeds a pair.

mod toy;

use std::num::{NonZeroU32, NonZeroUsize};

use dp_accounting::{Delta, NoiseMultiplier};
use dp_agg::{Clipping, Zeroing};
use fed_data::{Examples, FederatedData, Split};
use fed_model::{Backend, Learner, MlpSpec, ReferenceLearner};
use fed_sim::config::{AggregationConfig, AuditConfig};
use fed_sim::{RunConfig, Sampling, Seed, ServerOptimizer, Simulation};
use toy::population;

const DIM: usize = 30_003;

fn spec() -> MlpSpec {
    MlpSpec::new([6, 3000, 3])
}

fn learner() -> Box<dyn Learner> {
    let threads = NonZeroUsize::new(2).expect("not zero");
    fed_model::open(Backend::Cpu, &spec(), threads).expect("the CPU back end")
}

/// A fixed clip norm, and a server that steps by what it is sent: the model's move is a release.
fn config(noise: f64) -> RunConfig {
    let mut config = toy::config(0.3, 10.0);
    config.noise_multiplier = NoiseMultiplier::new(noise).expect("in range");
    config.aggregation = AggregationConfig::Private {
        zeroing: Zeroing::Off,
        clipping: Clipping::Fixed { clip_norm: 0.5 },
    };
    config.server = ServerOptimizer::Sgd { learning_rate: 1.0, momentum: 0.0, nesterov: false };
    config
}

/// How far a run moves the model in its next round.
fn move_of(run: &mut Simulation<'_>, cohort: Option<&[usize]>) -> Vec<f64> {
    let before = run.params().to_vec();
    match cohort {
        Some(cohort) => run.step_with_cohort(cohort),
        None => run.step(),
    }
    .expect("a round");
    before.iter().zip(run.params()).map(|(a, b)| f64::from(a - b)).collect()
}

fn first_move(
    config: &RunConfig,
    population: &dyn FederatedData,
    learner: &dyn Learner,
    cohort: Option<&[usize]>,
) -> Vec<f64> {
    let mut run = Simulation::new(config.clone(), population, learner).expect("sound");
    move_of(&mut run, cohort)
}

/// Something in which a setting differs from another.
type Change = fn(&mut RunConfig);

/// The noise of a run's first round: what it does beyond the same run without noise or canaries.
fn noise_of(
    config: &RunConfig,
    population: &dyn FederatedData,
    learner: &dyn Learner,
    cohort: &[usize],
) -> Vec<f64> {
    let mut silent = config.clone();
    silent.noise_multiplier = NoiseMultiplier::new(0.0).expect("in range");
    silent.audit = None;
    let with = first_move(config, population, learner, Some(cohort));
    let without = first_move(&silent, population, learner, Some(cohort));
    with.iter().zip(without).map(|(with, without)| with - without).collect()
}

fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    product(a, b) / (product(a, a) * product(b, b)).sqrt()
}

const MOST: f64 = 6.0 * 0.005_773;

/// The attack: two runs of one sweep, noise multipliers 1 and 2, one seed and one round. With shared
/// noise `2·d(1) − d(2)` was the mean update to the last digits of single precision.
#[test]
fn no_combination_of_a_sweeps_models_is_free_of_noise() {
    let (population, learner) = (population(), learner());
    let everybody: Vec<usize> = (0..30).collect();
    let truth = first_move(&config(0.0), &population, &*learner, Some(&everybody));
    for cohort in [Some(&everybody[..]), None] {
        let [d1, d2] = [1.0, 2.0].map(|z| first_move(&config(z), &population, &*learner, cohort));
        let residual: Vec<f64> = d1.iter().zip(&d2).map(|(one, two)| 2.0 * one - two).collect();
        let found = correlation(&residual, &truth);
        // The update is in the residual, below noise of √8 deviations: a correlation of 0.02.
        assert!(found.abs() < 0.06, "the residual tells the update: {found}");
        let size = |values: &[f64]| values.iter().map(|value| value * value).sum::<f64>().sqrt();
        let expected = 8.0_f64.sqrt() * 0.5 / 10.0 * (DIM as f64).sqrt();
        assert!((size(&residual) / expected - 1.0).abs() < 0.05, "noise is missing");
    }
}

/// Runs that differ in one thing, in pairs: settings, clients, learners, weights, canaries, cohorts.
#[test]
fn runs_that_differ_share_no_noise() {
    let (population, learner) = (population(), learner());
    let reference = ReferenceLearner::new(spec());
    let cohort = [1, 4, 9];
    let base = config(1.0);
    let mut noises: Vec<(&str, Vec<f64>)> = Vec::new();
    let changes: [(&str, Change); 8] = [
        ("the base", |_| {}),
        ("noise", |c| c.noise_multiplier = NoiseMultiplier::new(2.0).expect("in range")),
        ("seed", |c| c.seed = Seed(8)),
        ("clients", |c| c.clients_per_round = 11.0),
        ("local steps", |c| c.client.learning_rate = 0.2),
        ("sampling", |c| c.sampling = Sampling::FixedSize),
        ("server", |c| {
            let learning_rate = 0.5;
            c.server = ServerOptimizer::Sgd { learning_rate, momentum: 0.0, nesterov: false };
        }),
        ("audit", |c| c.audit = Some(AuditConfig { canaries: Some(20), confidence: 0.9 })),
    ];
    for (what, change) in changes {
        let mut changed = base.clone();
        change(&mut changed);
        noises.push((what, noise_of(&changed, &population, &*learner, &cohort)));
    }
    noises.push(("learner", noise_of(&base, &population, &reference, &cohort)));
    noises.push(("cohort", noise_of(&base, &population, &*learner, &[1, 4])));
    noises.push(("nobody", noise_of(&base, &population, &*learner, &[])));
    // The first client is gone: the same three, by their ids.
    let fewer = without(&population, 0, None);
    noises.push(("one client less", noise_of(&base, &fewer, &*learner, &[0, 3, 8])));
    // Other examples under the same ids and sizes, which no key knows: but the sum is another.
    let altered = without(&population, 30, Some(4));
    noises.push(("other examples", noise_of(&base, &altered, &*learner, &cohort)));
    // Other weights.
    let mut params =
        Simulation::new(base.clone(), &population, &*learner).expect("sound").params().to_vec();
    params[0] += 0.25;
    let moved = |z: f64| {
        let config = config(z);
        let run = Simulation::with_params(config, &population, &*learner, params.clone());
        move_of(&mut run.expect("sound"), Some(&cohort))
    };
    let weights: Vec<f64> = moved(1.0).iter().zip(moved(0.0)).map(|(a, b)| a - b).collect();
    noises.push(("weights", weights));
    assert_eq!(noises.len(), 14);
    for (place, (what, noise)) in noises.iter().enumerate() {
        for (other, second) in &noises[..place] {
            let found = correlation(noise, second);
            assert!(found.abs() < MOST, "{what} and {other}: {found}");
        }
    }
}

/// The population without client `left_out`, and with the features of client `altered` negated.
fn without(population: &Split, left_out: usize, altered: Option<usize>) -> Split {
    let clients = (0..population.num_clients()).filter(|&index| index != left_out).map(|index| {
        let client = population.client(index);
        let sign = if altered == Some(index) { -1.0 } else { 1.0 };
        let mut features = vec![0.0; client.len() * client.width()];
        for (row, out) in features.chunks_exact_mut(client.width()).enumerate() {
            client.copy_row(row, out);
            out.iter_mut().for_each(|value| *value *= sign);
        }
        let labels = client.labels().to_vec();
        (population.client_id(index), Examples::from_floats(features, labels, client.width()))
    });
    Split::from_clients(clients.map(|(id, examples)| (id.into_owned(), examples)), 3)
        .expect("sound clients")
}

/// What only looks at a run is no other run: the same releases, which a price may count twice, and
/// never a second release with the first one's noise.
#[test]
fn what_only_looks_at_a_run_leaves_it_as_it_is() {
    let (population, learner) = (population(), toy::learner(1));
    let trained = |change: fn(&mut RunConfig)| {
        let mut config = config(1.0);
        change(&mut config);
        let mut run = Simulation::new(config, &population, &*learner).expect("sound");
        for _ in 0..2 {
            run.step().expect("a round");
        }
        run.params().iter().map(|value| value.to_bits()).collect::<Vec<_>>()
    };
    let base = trained(|_| {});
    let changes: [Change; 5] = [
        |c| c.name = "final".to_owned(),
        |c| c.rounds = NonZeroU32::new(77).expect("not zero"),
        |c| c.delta = Delta::new(1e-7).expect("in range"),
        |c| c.evaluate_every = NonZeroU32::MIN,
        |c| c.accounting.orders = fed_sim::config::Orders::Best,
    ];
    for change in changes {
        assert!(trained(change) == base, "a second run that shares the first one's noise");
    }
    assert!(trained(|c| c.seed = Seed(8)) != base);
}

/// Two settings draw their cohorts for themselves, and so do two data sets: prices multiply what
/// sampling saves, which takes independent samples.
#[test]
fn runs_that_differ_share_no_cohorts() {
    let (population, learner) = (population(), toy::learner(1));
    let fewer = without(&population, 29, None);
    // A run's first cohorts, as the numbers of their examples.
    let cohorts = |z: f64, population: &Split, audit: bool| -> Vec<u64> {
        let mut config = config(z);
        config.audit = audit.then_some(AuditConfig { canaries: Some(20), confidence: 0.9 });
        let mut run = Simulation::new(config, population, &*learner).expect("sound");
        (0..6).map(|_| run.step().expect("a round").0.diagnostics.examples).collect()
    };
    let all = [
        cohorts(0.0, &population, false),
        cohorts(1.0, &population, false),
        cohorts(2.0, &population, false),
        cohorts(1.0, &population, true),
        cohorts(1.0, &fewer, false),
    ];
    for (place, one) in all.iter().enumerate() {
        for other in &all[..place] {
            let alike = one.iter().zip(other).filter(|(a, b)| a == b).count();
            // Sums of about ten clients of 5 to 14 examples: two are alike once in 70 pairs.
            assert!(alike <= 3, "{one:?} and {other:?}");
        }
    }
}
