//! The whole program in release mode: what a release rests on is so, for every back end of this
//! build.
//!
//! A *witness* stands between the simulation and its learner. In every round, with the coins that
//! the system tossed for it, it also trains the same cohort, by ids, in populations that lack one
//! client, and compares the sums: removing a client moves the sum by at most the clip norm, and by
//! nothing at all where that client was not drawn.

mod toy;

use std::borrow::Cow;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Mutex;

use dp_agg::{
    Aggregator, Clipping, GaussianAggregator, GaussianConfig, Noise, NoiseMode, UpdateRule, Zeroing,
};
use fed_data::{Examples, FederatedData, ShuffleSeed, Split};
use fed_model::{
    Backend, CohortJob, CohortSum, LearnError, Learner, Metrics, MlpSpec, ReferenceLearner,
};
use fed_sim::config::{AggregationConfig, AuditConfig};
use fed_sim::record::Silent;
use fed_sim::{PrivacyStatement, RunConfig, ServerOptimizer, Simulation, plan};
use toy::population;

/// Every learner of this build that claims the guarantee, in every form that it has.
///
/// `wgpu` is left out unless asked for: some software adapters crash the process.
#[expect(clippy::print_stdout, reason = "a test that skips says so")]
fn learners(spec: &MlpSpec) -> Vec<Box<dyn Learner>> {
    let some = |count| NonZeroUsize::new(count).expect("not zero");
    let mut learners: Vec<Box<dyn Learner>> = vec![Box::new(ReferenceLearner::new(spec.clone()))];
    for backend in Backend::ALL.into_iter().filter(|backend| backend.is_compiled_in()) {
        if backend == Backend::Wgpu && std::env::var_os("FED_MODEL_TEST_WGPU").is_none() {
            println!("skipped wgpu: set FED_MODEL_TEST_WGPU=1 where an adapter can be trusted");
            continue;
        }
        learners.push(fed_model::open(backend, spec, some(2)).expect("a back end of this build"));
        if backend != Backend::Cpu {
            let groups = fed_model::open_in_groups(backend, spec, some(1), some(4));
            learners.push(groups.expect("a back end of this build"));
        }
    }
    learners.retain(|learner| learner.keeps_apart());
    assert!(learners.len() > 1, "no back end was tested");
    learners
}

/// The toy population is clipped hard: local steps of this rate give updates far beyond the norm.
fn config() -> RunConfig {
    let mut config = toy::config(0.3, 12.0);
    config.noise = NoiseMode::Release;
    config.rounds = NonZeroU32::new(6).expect("not zero");
    config.client.learning_rate = 0.5;
    config.aggregation = AggregationConfig::Private {
        zeroing: Zeroing::Off,
        clipping: Clipping::Adaptive(dp_agg::AdaptiveClipping::default()),
    };
    config
}

/// A population without one of its clients.
struct Without<'a> {
    all: &'a dyn FederatedData,
    left_out: usize,
}

impl Without<'_> {
    fn there(&self, index: usize) -> usize {
        index + usize::from(index >= self.left_out)
    }

    /// A cohort of all clients as it is here.
    fn cohort(&self, cohort: &[usize]) -> Vec<usize> {
        let here = |&client: &usize| client - usize::from(client > self.left_out);
        cohort.iter().filter(|&&client| client != self.left_out).map(here).collect()
    }
}

impl FederatedData for Without<'_> {
    fn num_clients(&self) -> usize {
        self.all.num_clients() - 1
    }

    fn client_id(&self, index: usize) -> Cow<'_, str> {
        self.all.client_id(self.there(index))
    }

    fn num_examples(&self, index: usize) -> usize {
        self.all.num_examples(self.there(index))
    }

    fn client(&self, index: usize) -> Examples<'_> {
        self.all.client(self.there(index))
    }

    fn width(&self) -> usize {
        self.all.width()
    }

    fn classes(&self) -> usize {
        self.all.classes()
    }
}

/// What the witness saw of one round.
#[derive(Clone, Debug, PartialEq)]
struct Round {
    cohort: Vec<usize>,
    shuffle: Option<ShuffleSeed>,
    params: Vec<u32>,
    /// The furthest that one client moved the sum, in clip norms.
    furthest: f64,
}

struct Witness {
    inner: Box<dyn Learner>,
    rounds: Mutex<Vec<Round>>,
}

impl Witness {
    fn new(inner: Box<dyn Learner>) -> Self {
        Self { inner, rounds: Mutex::new(Vec::new()) }
    }

    /// The sum of a cohort, in single precision, and how many of its clients were not clipped.
    fn sum(&self, job: &CohortJob<'_>) -> (Vec<f32>, u64) {
        let sum = self.inner.train_cohort(job).expect("trained").sum;
        let mut reader = GaussianAggregator::new(GaussianConfig {
            noise_multiplier: 0.0,
            clients_per_round: 1.0,
            zeroing: Zeroing::Off,
            clipping: Clipping::Fixed { clip_norm: clip_norm(job.rule) },
        })
        .expect("in range");
        let none = Noise::none(sum.dim(), job.rule.grid());
        let release = reader.release(sum, none).expect("of this rule");
        (release.mean, release.raw.unclipped)
    }

    /// How far removing a client moves the sum, in clip norms.
    fn distance(&self, job: &CohortJob<'_>, left_out: usize) -> f64 {
        let fewer = Without { all: job.population, left_out };
        let cohort = fewer.cohort(job.cohort);
        let (with, counted) = self.sum(job);
        let (without, fewer_counted) =
            self.sum(&CohortJob { population: &fewer, cohort: &cohort, ..*job });
        let what = format!("{}, without client {left_out}", self.inner.describe());
        if !job.cohort.contains(&left_out) {
            let bits = |sum: &[f32]| sum.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
            assert!(bits(&with) == bits(&without), "{what}, who was not drawn: another sum");
            assert_eq!(counted, fewer_counted, "{what}");
            return 0.0;
        }
        assert!(counted.abs_diff(fewer_counted) <= 1, "{what}: {counted} and {fewer_counted}");
        let norm = |values: &mut dyn Iterator<Item = f64>| {
            values.map(|value| value * value).sum::<f64>().sqrt()
        };
        let difference =
            norm(&mut with.iter().zip(&without).map(|(a, b)| f64::from(*a) - f64::from(*b)));
        // Only reading the sums in single precision rounds.
        let read = norm(&mut with.iter().zip(&without).map(|(a, b)| f64::from(a.abs() + b.abs())));
        let most = clip_norm(job.rule);
        let room = read * 2.0_f64.powi(-24);
        assert!(difference <= most + room, "{what}: the sum moves by {difference}, not {most}");
        difference / most
    }
}

fn clip_norm(rule: &UpdateRule) -> f64 {
    rule.clip_norm.expect("a release clips")
}

impl Learner for Witness {
    fn spec(&self) -> &MlpSpec {
        self.inner.spec()
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }

    fn arithmetic(&self) -> String {
        self.inner.arithmetic()
    }

    fn keeps_apart(&self) -> bool {
        self.inner.keeps_apart()
    }

    fn train_cohort(&self, job: &CohortJob<'_>) -> Result<CohortSum, LearnError> {
        let last = job.population.num_clients() - 1;
        let members = [job.cohort.first(), job.cohort.get(job.cohort.len() / 2), job.cohort.last()];
        let mut left_out: Vec<usize> =
            [Some(&0), Some(&last)].into_iter().chain(members).flatten().copied().collect();
        left_out.sort_unstable();
        left_out.dedup();
        let distances = left_out.iter().map(|&client| self.distance(job, client));
        let furthest = distances.fold(0.0, f64::max);
        self.rounds.lock().expect("nobody panicked").push(Round {
            cohort: job.cohort.to_vec(),
            shuffle: job.shuffle,
            params: job.params.iter().map(|value| value.to_bits()).collect(),
            furthest,
        });
        self.inner.train_cohort(job)
    }

    fn evaluate(&self, params: &[f32], examples: &Examples<'_>) -> Result<Metrics, LearnError> {
        self.inner.evaluate(params, examples)
    }
}

/// A whole run of a release, and what the witness saw of it.
fn release(config: RunConfig, population: &Split, inner: Box<dyn Learner>) -> Vec<Round> {
    let witness = Witness::new(inner);
    let mut run = Simulation::new(config, population, &witness).expect("sound");
    run.run(&population.all_examples(), &mut Silent).expect("trained");
    witness.rounds.into_inner().expect("nobody panicked")
}

/// One client moves the sum of every round by at most the clip norm, and moves nobody else; and
/// one seed gives two runs that have nothing in common but the weights that they begin with.
#[test]
fn one_client_moves_a_release_by_at_most_the_clip_norm() {
    let population = population();
    let spec = MlpSpec::new([6, 8, 3]);
    for (first, second) in learners(&spec).into_iter().zip(learners(&spec)) {
        let name = first.describe();
        let [one, other] = [first, second].map(|learner| release(config(), &population, learner));
        assert_eq!((one.len(), other.len()), (6, 6), "{name}");
        let furthest = one.iter().chain(&other).map(|round| round.furthest).fold(0.0, f64::max);
        assert!(furthest > 0.99, "{name}: nobody was clipped: {furthest}");
        assert_eq!(one[0].params, other[0].params, "{name}: initial weights are of the seed");
        for (round, (one, other)) in one.iter().zip(&other).enumerate() {
            assert!(one.shuffle.is_some() && one.shuffle != other.shuffle, "{name}, {round}");
            assert!(round == 0 || one.params != other.params, "{name}, round {round}");
        }
        // Half the clients are in none of the cohorts of a round or in both: six times alike has a
        // chance of 10^-50.
        let cohorts = |run: &[Round]| run.iter().map(|r| r.cohort.clone()).collect::<Vec<_>>();
        assert_ne!(cohorts(&one), cohorts(&other), "{name}");
    }
}

/// The moves of two runs of one seed without any client are their noise: unrelated, and as large
/// as is written down. In 30,003 dimensions a correlation has a standard error of 0.0058.
#[test]
fn the_noise_of_a_release_is_nobodys_but_its_own() {
    let population = population();
    let spec = MlpSpec::new([6, 3000, 3]);
    let threads = NonZeroUsize::new(2).expect("not zero");
    let learner = fed_model::open(Backend::Cpu, &spec, threads).expect("the CPU back end");
    let mut config = config();
    config.server = ServerOptimizer::Sgd { learning_rate: 1.0, momentum: 0.0, nesterov: false };
    let moves = |config: &RunConfig| -> (Vec<f64>, f64) {
        let mut run = Simulation::new(config.clone(), &population, &*learner).expect("sound");
        let before = run.params().to_vec();
        let (record, _) = run.step_with_cohort(&[]).expect("an empty round");
        let moved = before.iter().zip(run.params()).map(|(a, b)| f64::from(a - b)).collect();
        (moved, record.released.noise_stddev)
    };
    let mut simulated = config.clone();
    simulated.noise = NoiseMode::Simulation;
    let all = [moves(&config), moves(&config), moves(&config), moves(&simulated)];
    for (place, (noise, stddev)) in all.iter().enumerate() {
        let size = (noise.iter().map(|value| value * value).sum::<f64>() / 30_003.0).sqrt();
        assert!((size / stddev - 1.0).abs() < 0.03, "{size} for {stddev}");
        for (other, _) in &all[..place] {
            let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
            let correlation =
                product(noise, other) / (product(noise, noise) * product(other, other)).sqrt();
            assert!(correlation.abs() < 0.035, "{correlation}");
        }
    }
    // A simulation is drawn again from its seed.
    assert_eq!(moves(&simulated), all[3]);
}

/// The coins of an audit come from the system as well, and the directions from the seed.
#[test]
fn the_coins_of_an_audited_release_are_nobodys_but_its_own() {
    let (population, learner) = (population(), toy::learner(1));
    let mut config = config();
    config.audit = Some(AuditConfig { canaries: Some(100), confidence: 0.9 });
    let coins = |config: &RunConfig| {
        let run = Simulation::new(config.clone(), &population, &*learner).expect("sound");
        run.audit().expect("audited").trail().included.clone()
    };
    assert_ne!(coins(&config), coins(&config), "a hundred coins fell alike");
    config.noise = NoiseMode::Simulation;
    assert_eq!(coins(&config), coins(&config));
}

/// What is written of a release says that it is one, and of a simulation that it is none.
#[test]
fn statements_say_where_noise_came_from() {
    for (noise, said) in [
        (NoiseMode::Release, "release noise: exact discrete Gaussian, system entropy"),
        (NoiseMode::Simulation, "simulation noise: not a release"),
    ] {
        let config = RunConfig { noise, ..config() };
        let ledger = plan::planned_ledger(&config, 30).expect("a plan");
        let sampler = plan::sampler(&config, 30).expect("sound");
        let statement = PrivacyStatement::new(&config, &sampler, 30, &ledger, 1).expect("said");
        assert_eq!(statement.noise_source, said);
        let seed = statement.not_covered.iter().any(|gap| gap.contains("whoever knows the seed"));
        assert_eq!(seed, noise == NoiseMode::Simulation, "{statement}");
    }
}
