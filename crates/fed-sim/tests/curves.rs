//! Whole runs on real handwriting against the learning curves of independent implementations.
//!
//! The everyday test takes about half a minute where the 539 writers are there, and says so where they are not.

use std::num::NonZeroUsize;
use std::path::Path;

use fed_data::{Choice, OpenOptions};
use fed_model::{Backend, MlpSpec};
use fed_sim::{EvaluationRecord, Experiment, Observer, SimError, Simulation};

/// A row of `reference/curves.csv`.
#[derive(serde::Deserialize)]
struct Row {
    clients: f64,
    noise_multiplier: f64,
    round: u32,
    accuracy: f64,
    loss: f64,
}

/// Mean and its standard error. Three runs give a poor estimate of their own spread: that of a
/// single run is taken to be at least `least`, what many runs at a quiet point of a curve have.
fn mean(values: &[f64], least: f64) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0);
    (mean, variance.sqrt().max(least) / count.sqrt())
}

#[derive(Default)]
struct Evaluations(Vec<EvaluationRecord>);

impl Observer for Evaluations {
    fn evaluation(&mut self, record: &EvaluationRecord) -> Result<(), SimError> {
        self.0.push(*record);
        Ok(())
    }
}

#[test]
fn means_over_seeds_agree_with_independent_implementations() {
    compare(&[(0.5, 50.0), (1.2, 120.0)], 3);
}

#[test]
#[ignore = "several minutes: cargo test -p fed-sim --test curves -- --ignored"]
fn means_of_every_setting_over_many_seeds_agree() {
    compare(&[(0.0, 50.0), (0.5, 50.0), (0.75, 50.0), (1.0, 50.0), (1.2, 120.0)], 8);
}

/// Trains each setting (noise multiplier, clients a round) with this many seeds; the means must
/// lie within three standard errors of those of all reference runs, of both systems.
#[expect(clippy::print_stdout, reason = "what was compared, and why a test is skipped")]
fn compare(settings: &[(f64, f64)], seeds: u64) {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared"));
    let folder = folder.join("data/tff-layout/full");
    if !folder.join("fed_emnist_digitsonly_train.h5").is_file() {
        println!("skipped: the 539 writers are not at {}", folder.display());
        return;
    }
    let data = OpenOptions::new()
        .choice(Choice::Path(folder))
        .cache(false)
        .open()
        .expect("the 539 writers");
    let test = data.test.all_examples();
    let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let learner = fed_model::open(Backend::Cpu, &MlpSpec::emnist(10), threads).expect("cpu");
    let table: Vec<Row> = csv::Reader::from_reader(include_str!("reference/curves.csv").as_bytes())
        .deserialize()
        .map(|row| row.expect("well formed"))
        .collect();

    let mut apart = Vec::new();
    for &(noise, clients) in settings {
        let text = format!(
            "name = \"curves\"\nseeds = {:?}\nrounds = 100\nevaluate_every = 25\n\
             delta = 1e-5\n[sweep]\nnoise_multipliers = [{noise:?}]\n\
             clients_per_round = [{clients:?}]\n",
            (1..=seeds).collect::<Vec<_>>()
        );
        let experiment = Experiment::parse(&text, "curves").expect("sound");
        let mut ours = Evaluations::default();
        for config in experiment.runs() {
            let mut run = Simulation::new(config, &data.train, &*learner).expect("sound");
            run.run(&test, &mut ours).expect("trained");
        }
        for round in [25, 50, 100] {
            let theirs: Vec<&Row> = table
                .iter()
                .filter(|row| {
                    row.round == round
                        && (row.clients - clients).abs() < 0.5
                        && (row.noise_multiplier - noise).abs() < 1e-9
                })
                .collect();
            let ours: Vec<_> = ours.0.iter().filter(|record| record.round == round).collect();
            assert_eq!(ours.len() as u64, seeds);
            assert!(theirs.len() >= 3, "the table has three runs of each setting");
            let accuracies = (
                mean(&ours.iter().map(|one| one.metrics.accuracy()).collect::<Vec<_>>(), 0.008),
                mean(&theirs.iter().map(|row| row.accuracy).collect::<Vec<_>>(), 0.008),
            );
            let losses = (
                mean(&ours.iter().map(|one| one.metrics.loss()).collect::<Vec<_>>(), 0.03),
                mean(&theirs.iter().map(|row| row.loss).collect::<Vec<_>>(), 0.03),
            );
            for (name, ((a, a_error), (b, b_error))) in [("accuracy", accuracies), ("loss", losses)]
            {
                let allowed = 3.0 * a_error.hypot(b_error);
                let line = format!(
                    "z {noise}, m {clients}, round {round}, {name}: {a:.4} against {b:.4} \
                     (± {allowed:.4})"
                );
                println!("{line}");
                if (a - b).abs() > allowed {
                    apart.push(line);
                }
            }
        }
    }
    assert!(apart.is_empty(), "apart:\n{}", apart.join("\n"));
}
