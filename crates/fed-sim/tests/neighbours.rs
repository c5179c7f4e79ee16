//! Whole rounds of neighbouring populations: who is not drawn changes nothing, who is drawn
//! changes the sum by its own clipped update alone, and the clients' shuffles are their own.

mod toy;

use std::borrow::Cow;
use std::sync::Mutex;

use dp_agg::NoiseMode;
use fed_data::{Examples, FederatedData, ShuffleSeed, Split};
use fed_model::{CohortJob, CohortSum, LearnError, Learner, Metrics, MlpSpec, ReferenceLearner};
use fed_sim::{Experiment, RoundRecord, RunConfig, Seed, Simulation};
use toy::{learner, population};

const CLIP: f64 = 0.05;
const CLIENTS: f64 = 6.0;

/// A private run that clips to [`CLIP`]; `more` comes at the end.
fn config(noise_multiplier: f64, more: &str) -> RunConfig {
    let text = format!(
        "name = \"neighbours\"\nseeds = [7]\nrounds = 20\ndelta = 1e-3\n\
         [sweep]\nnoise_multipliers = [{noise_multiplier:?}]\nclients_per_round = [{CLIENTS:?}]\n\
         [aggregation]\nkind = \"private\"\n\
         zeroing = {{ kind = \"off\" }}\nclipping = {{ kind = \"fixed\", clip_norm = {CLIP:?} }}\n\
         [client]\nbatch_size = 3\nlearning_rate = 0.5\nepochs = 2\n{more}"
    );
    Experiment::parse(&text, "neighbours").expect("a sound experiment").runs().remove(0)
}

/// The toy population without some clients.
fn without(removed: &[&str]) -> Split {
    let all = population();
    let kept: Vec<(String, Examples<'_>)> = (0..all.num_clients())
        .map(|index| (all.client_id(index).into_owned(), all.client(index)))
        .filter(|(id, _)| !removed.contains(&id.as_str()))
        .collect();
    Split::from_clients(kept, 3).expect("sound clients")
}

/// The indices of those of `ids` that are in `split`.
fn cohort(split: &Split, ids: &[&str]) -> Vec<usize> {
    ids.iter().filter_map(|id| split.find(id)).collect()
}

/// A learner's parameters that do not depend on a run's seed.
fn start(learner: &dyn Learner) -> Vec<f32> {
    learner.init(&mut Seed(3).rng(fed_sim::Stream::Init, 0))
}

/// Some rounds with these cohorts: the records and the model.
fn rounds(
    config: &RunConfig,
    split: &Split,
    learner: &dyn Learner,
    cohorts: &[&[&str]],
) -> (Vec<RoundRecord>, Vec<f32>) {
    let params = start(learner);
    let mut run = Simulation::with_params(config.clone(), split, learner, params).expect("sound");
    let records =
        cohorts.iter().map(|ids| run.step_with_cohort(&cohort(split, ids)).expect("a round").0);
    (records.collect(), run.params().to_vec())
}

const COHORTS: [&[&str]; 3] = [
    &["client01", "client07", "client08", "client13", "client28"],
    &["client07", "client11", "client20"],
    &["client01", "client02", "client13", "client21", "client22", "client28"],
];

/// Whoever is drawn in no round may as well not be there.
#[test]
fn who_is_not_drawn_changes_no_bit() {
    let config = config(0.0, "");
    for learner in [learner(2), Box::new(ReferenceLearner::new(MlpSpec::new([6, 8, 3])))] {
        let (records, model) = rounds(&config, &population(), &*learner, &COHORTS);
        for removed in [&["client00"][..], &["client10"], &["client29"], &["client00", "client12"]]
        {
            let (others, same) = rounds(&config, &without(removed), &*learner, &COHORTS);
            assert_eq!(records, others, "without {removed:?}");
            assert!(model.iter().zip(&same).all(|(a, b)| a.to_bits() == b.to_bits()));
        }
    }
}

/// Whoever is drawn moves the mean by its own clipped update, so by one clip norm at most, and to
/// the bit by what it sends alone.
#[test]
fn who_is_drawn_moves_the_sum_by_its_own_update_alone() {
    let config = config(0.0, "");
    let learner = learner(2);
    let start = start(&*learner);
    let moved = |split: &Split, ids: &[&str]| {
        let (_, model) = rounds(&config, split, &*learner, &[ids]);
        let moved = start.iter().zip(&model).map(|(a, b)| f64::from(*a) - f64::from(*b));
        moved.map(|moved| moved * CLIENTS).collect::<Vec<f64>>()
    };
    let all = population();
    let ids: Vec<String> =
        (0..all.num_clients()).map(|index| all.client_id(index).into_owned()).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let with = moved(&all, &ids);
    let mut clipped = 0;
    for removed in &ids {
        let without = moved(&without(&[removed]), &ids);
        let alone = moved(&all, &[removed]);
        let (mut squares, mut error) = (0.0, 0.0_f64);
        for ((with, without), alone) in with.iter().zip(&without).zip(&alone) {
            squares += (with - without).powi(2);
            error = error.max((with - without - alone).abs());
        }
        // The server's parameters are single precision.
        assert!(squares.sqrt() <= CLIP * (1.0 + 1e-4), "{removed}: {} of {CLIP}", squares.sqrt());
        assert!(error < 2e-6, "{removed} moves others by {error}");
        clipped += usize::from(squares.sqrt() > CLIP * (1.0 - 1e-4));
    }
    assert!(clipped >= 10, "a clip norm that clips nobody shows nothing: {clipped}");
}

/// Canaries train beside the clients and move none of them, however many there are.
#[test]
fn canaries_move_no_client() {
    let learner = learner(1);
    let first = |audit: &str| {
        let config = config(0.3, audit);
        rounds(&config, &population(), &*learner, &COHORTS[..1]).0.remove(0).diagnostics
    };
    let plain = first("");
    for canaries in [20, 21, 64] {
        assert_eq!(first(&format!("[audit]\ncanaries = {canaries}\n")), plain);
    }
}

/// A learner that notes the shuffles that it is given.
struct Spy {
    inner: ReferenceLearner,
    apart: bool,
    seen: Mutex<Vec<Option<ShuffleSeed>>>,
}

impl Learner for Spy {
    fn spec(&self) -> &MlpSpec {
        self.inner.spec()
    }
    fn describe(&self) -> String {
        "spy".to_owned()
    }
    fn arithmetic(&self) -> String {
        self.inner.arithmetic()
    }
    fn keeps_apart(&self) -> bool {
        self.apart
    }
    fn train_cohort(&self, job: &CohortJob<'_>) -> Result<CohortSum, LearnError> {
        self.seen.lock().expect("no panic").push(job.shuffle);
        self.inner.train_cohort(job)
    }
    fn evaluate(&self, params: &[f32], examples: &Examples<'_>) -> Result<Metrics, LearnError> {
        self.inner.evaluate(params, examples)
    }
}

/// The shuffles of every pass over the clients in three rounds.
fn shuffles(config: &RunConfig, split: &Split) -> Vec<Option<ShuffleSeed>> {
    let inner = ReferenceLearner::new(MlpSpec::new([6, 8, 3]));
    let spy = Spy { inner, apart: true, seen: Mutex::default() };
    rounds(config, split, &spy, &COHORTS);
    spy.seen.into_inner().expect("no panic")
}

#[test]
fn the_seed_decides_the_shuffles_of_a_simulation_alone() {
    let all = population();
    let simulation = config(0.3, "");
    let seen = shuffles(&simulation, &all);
    assert_eq!(seen.len(), 3);
    assert_eq!(seen, shuffles(&simulation, &without(&["client00"])), "and no client does");
    let mut other = simulation.clone();
    other.seed = Seed(8);
    let mut release = simulation.clone();
    release.noise = NoiseMode::Release;
    // Two release runs of one seed, of which nobody may draw the shuffles again.
    let rest = [shuffles(&other, &all), shuffles(&release, &all), shuffles(&release, &all)];
    let together: Vec<_> = seen.iter().chain(rest.iter().flatten()).collect();
    assert_eq!(together.len(), 12);
    for (index, shuffle) in together.iter().enumerate() {
        assert!(shuffle.is_some());
        assert!(!together[..index].contains(shuffle), "two rounds share the shuffle {index}");
    }
    let mut as_they_lie = release;
    as_they_lie.client.shuffle = false;
    assert_eq!(shuffles(&as_they_lie, &all), [None; 3]);
}

/// Both passes of Mime Lite over a client are its own visits of that round.
#[test]
fn both_passes_of_a_round_share_its_shuffle() {
    let mut mime = config(0.0, "");
    mime.aggregation =
        fed_sim::config::AggregationConfig::Mean { weighting: dp_agg::Weighting::Uniform };
    mime.client.algorithm = fed_sim::config::Algorithm::MimeLite;
    mime.client.momentum = 0.9;
    let seen = shuffles(&mime, &population());
    assert_eq!(seen.len(), 6);
    let (passes, _) = seen.as_chunks::<2>();
    assert!(passes.iter().all(|[first, second]| first == second));
    assert!(passes[0] != passes[1] && passes[1] != passes[2]);
}

/// Ids that are empty, odd or nearly alike are as good as others; two alike are refused.
#[test]
fn odd_ids_are_clients_like_others() {
    struct Renamed(Split, fn(usize) -> String);
    impl FederatedData for Renamed {
        fn num_clients(&self) -> usize {
            self.0.num_clients()
        }
        fn client_id(&self, index: usize) -> Cow<'_, str> {
            (self.1)(index).into()
        }
        fn num_examples(&self, index: usize) -> usize {
            self.0.num_examples(index)
        }
        fn client(&self, index: usize) -> Examples<'_> {
            self.0.client(index)
        }
        fn width(&self) -> usize {
            self.0.width()
        }
        fn classes(&self) -> usize {
            self.0.classes()
        }
    }
    let (config, learner) = (config(0.0, ""), learner(1));
    let round = |id: fn(usize) -> String, cohort: &[usize]| {
        let population = Renamed(population(), id);
        let params = start(&*learner);
        let mut run =
            Simulation::with_params(config.clone(), &population, &*learner, params).expect("sound");
        run.step_with_cohort(cohort).map(|_| run.params().to_vec()).map_err(|e| e.to_string())
    };
    let blanks = round(|index| " ".repeat(index), &[0, 1, 2]).expect("a round");
    let zeros = round(|index| "\0".repeat(index), &[0, 1, 2]).expect("a round");
    assert_ne!(blanks, zeros, "the ids decide the orders");
    let error = round(|index| (index / 2).to_string(), &[1, 2, 3]).expect_err("two alike");
    assert!(error.contains("two clients with the id \"1\""), "{error}");
    assert!(round(|index| (index / 2).to_string(), &[1, 2, 4]).is_ok());
    let error = round(|index| index.to_string(), &[4, 4]).expect_err("drawn twice");
    assert!(error.contains("client 4 after client 4"), "{error}");
}

/// Where clients that train side by side may move one another, there are simulations alone.
#[test]
fn a_release_needs_a_learner_that_keeps_clients_apart() {
    let inner = ReferenceLearner::new(MlpSpec::new([6, 8, 3]));
    let mut spy = Spy { inner, apart: false, seen: Mutex::default() };
    let split = population();
    let mut config = config(0.3, "");
    assert!(Simulation::new(config.clone(), &split, &spy).is_ok());
    config.noise = NoiseMode::Release;
    let refused = Simulation::new(config.clone(), &split, &spy).err().expect("refused").to_string();
    assert!(refused.contains("noise") && refused.contains("--backend cpu"), "{refused}");
    spy.apart = true;
    assert!(Simulation::new(config, &split, &spy).is_ok());
}
