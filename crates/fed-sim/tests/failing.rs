//! A round whose learner fails: it is paid for, and a release does not write down why.

mod toy;

use std::fs;

use dp_accounting::Ledger;
use dp_agg::NoiseMode;
use fed_data::Examples;
use fed_model::{CohortJob, CohortSum, LearnError, Learner, Metrics, MlpSpec};
use fed_sim::directory::{Resumed, State, cell_name};
use fed_sim::keys::RunKeys;
use fed_sim::{
    Opened, PrivacyStatement, RunConfig, RunDirectory, Schedule, SimError, Simulation, plan,
};
use toy::{learner, population};

/// Fails over one client of every cohort, as long as it is asked to.
struct Picky {
    inner: Box<dyn Learner>,
    fails: bool,
}

impl Learner for Picky {
    fn spec(&self) -> &MlpSpec {
        self.inner.spec()
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }

    fn arithmetic(&self) -> String {
        self.inner.arithmetic()
    }

    fn train_cohort(&self, job: &CohortJob<'_>) -> Result<CohortSum, LearnError> {
        match job.cohort.first() {
            Some(&client) if self.fails => Err(LearnError::Label { client, label: 9, classes: 3 }),
            _ => self.inner.train_cohort(job),
        }
    }

    fn evaluate(&self, params: &[f32], examples: &Examples<'_>) -> Result<Metrics, LearnError> {
        self.inner.evaluate(params, examples)
    }
}

fn config(noise: NoiseMode) -> RunConfig {
    // Everybody in every round: no cohort is empty.
    RunConfig { noise, ..toy::config(0.3, 30.0) }
}

/// A failed round in the middle of a library's run.
#[test]
fn a_round_that_failed_is_on_the_ledger() {
    let population = population();
    let picky = Picky { inner: learner(1), fails: true };
    let mut run = Simulation::new(config(NoiseMode::Release), &population, &picky).expect("sound");
    let before = run.params().to_vec();
    let error = run.step().expect_err("it fails");
    assert!(error.to_string().contains("the label 9"), "{error}");
    assert_eq!((run.round(), run.ledger().len()), (0, 1));
    assert_eq!(run.params(), before);
    let one = run.ledger().clone();
    let planned = plan::planned_ledger(&config(NoiseMode::Release), 30).expect("a plan");
    assert_eq!(one.entries()[0].event, planned.entries()[0].event);
}

#[test]
fn a_failed_round_of_a_directory_stays_paid_for() {
    for (noise, paid, lost) in [(NoiseMode::Release, 5, 1), (NoiseMode::Simulation, 4, 0)] {
        let config = config(noise);
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("run");
        let population = population();
        let schedule = Schedule::for_noise(noise);
        let keys = RunKeys::new(&config, &population, &*learner(1));
        let cell = path.join("cells").join(cell_name(&config));
        let text = |name: &str| fs::read_to_string(cell.join(name)).expect(name);
        {
            let directory = RunDirectory::resume(&path).expect("free");
            let picky = Picky { inner: learner(1), fails: true };
            let Opened::New(mut writer) =
                directory.open_cell(&config, &keys, schedule, false).expect("free")
            else {
                panic!("something was there");
            };
            let mut run = Simulation::new(config.clone(), &population, &picky).expect("sound");
            let error = run.run(&population.all_examples(), &mut *writer).expect_err("it fails");
            assert!(matches!(error, SimError::Learn { round: 0, .. }), "{error}");
            writer.leave(0, State::Failed, &error.for_record(noise)).expect("noted");
        }
        let status = text("status.json");
        // The label of client 0.
        assert_eq!(status.contains("client 0"), noise == NoiseMode::Simulation, "{status}");
        assert_eq!(status.contains("label"), noise == NoiseMode::Simulation, "{status}");
        assert!(status.contains("round 0"), "{status}");
        let (ledger, _) = Ledger::from_json_lines(&text("ledger.jsonl")).expect("a sound chain");
        assert_eq!(ledger.len(), 1);

        // Tried again, with a learner that does not fail.
        let directory = RunDirectory::resume(&path).expect("free");
        let sound = learner(1);
        let Opened::Resumed(resumed) =
            directory.open_cell(&config, &keys, schedule, true).expect("free")
        else {
            panic!("it does not go on");
        };
        let Resumed { mut writer, saved, ledger, .. } = *resumed;
        let mut run = Simulation::resume(config.clone(), &population, &*sound, saved, ledger)
            .expect("its own state");
        run.run(&population.all_examples(), &mut writer).expect("trained");
        let sampler = plan::sampler(&config, 30).expect("sound");
        let statement = PrivacyStatement::new(&config, &sampler, 30, run.ledger(), 1)
            .expect("said")
            .of_a_model_after(run.round());
        assert_eq!((statement.rounds, statement.lost_rounds), (paid, lost), "{noise:?}");
        let (ledger, _) = Ledger::from_json_lines(&text("ledger.jsonl")).expect("a sound chain");
        assert_eq!(ledger.len(), paid);
    }
}
