//! Whole runs on real handwriting against the learning curves of independent implementations.
//!
//! Takes about half a minute where the 539 writers are there, and says so where they are not.

use std::num::NonZeroUsize;
use std::path::Path;

use fed_data::{Choice, OpenOptions};
use fed_model::{Backend, MlpSpec};
use fed_sim::{EvaluationRecord, Experiment, Observer, SimError, Simulation};

/// A row of `reference/curves.csv`.
#[derive(serde::Deserialize)]
struct Row {
    system: String,
    clients: f64,
    noise_multiplier: f64,
    round: u32,
    accuracy: f64,
    loss: f64,
}

/// Mean and standard deviation of the mean.
fn mean(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0);
    (mean, (variance / count).sqrt())
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

    for (noise, clients) in [(0.5, 50.0), (1.2, 120.0)] {
        let text = format!(
            "name = \"curves\"\nseeds = [1, 2, 3]\nrounds = 100\nevaluate_every = 25\n\
             delta = 1e-5\n[sweep]\nnoise_multipliers = [{noise:?}]\n\
             clients_per_round = [{clients:?}]\n"
        );
        let experiment = Experiment::parse(&text, "curves").expect("sound");
        let mut ours = Vec::new();
        for config in experiment.runs() {
            let mut run = Simulation::new(config, &data.train, &*learner).expect("sound");
            let mut seen = Evaluations::default();
            run.run(&test, &mut seen).expect("trained");
            ours.extend(seen.0);
        }
        for round in [25, 50, 100] {
            let theirs = |column: fn(&Row) -> f64| -> Vec<f64> {
                table
                    .iter()
                    .filter(|row| {
                        row.system == "loop"
                            && row.round == round
                            && (row.clients - clients).abs() < 0.5
                            && (row.noise_multiplier - noise).abs() < 1e-9
                    })
                    .map(column)
                    .collect()
            };
            let now = || ours.iter().filter(|record| record.round == round);
            let columns: [(&str, Vec<f64>, Vec<f64>, f64); 2] = [
                (
                    "accuracy",
                    now().map(|record| record.metrics.accuracy()).collect(),
                    theirs(|row| row.accuracy),
                    0.008,
                ),
                (
                    "loss",
                    now().map(|record| record.metrics.loss()).collect(),
                    theirs(|row| row.loss),
                    0.03,
                ),
            ];
            for (name, ours, theirs, floor) in columns {
                assert_eq!((ours.len(), theirs.len()), (3, 3));
                let ((a, a_error), (b, b_error)) = (mean(&ours), mean(&theirs));
                // Three seeds give a poor estimate of their own spread: never below a floor.
                let allowed = 3.0 * a_error.hypot(b_error).max(floor / 3.0);
                println!(
                    "z {noise}, m {clients}, round {round}, {name}: {a:.4} against {b:.4} (± {allowed:.4})"
                );
                assert!((a - b).abs() <= allowed, "{name} in round {round}: {a} against {b}");
            }
        }
    }
}
