//! What `sweep` and `final` share: arguments, data, and the runs themselves.

use std::path::{Path, PathBuf};

use fed_data::{Choice, Dataset, FederatedData, OpenOptions};
use fed_model::Learner;
use fed_sim::directory::RunDirectory;
use fed_sim::{Experiment, Observer, PrivacyStatement, RunConfig, SimError, Simulation, plan};

use crate::backend::BackendArgs;
use crate::failure::Failure;
use crate::interrupt;
use crate::progress::Progress;
use crate::provenance::Provenance;

/// The folder of the workspace that this program was built from.
const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// The same, as a person would write it from here.
pub(crate) fn workspace() -> PathBuf {
    let absolute = Path::new(WORKSPACE).canonicalize().unwrap_or_else(|_| WORKSPACE.into());
    match std::env::current_dir() {
        Ok(here) => absolute.strip_prefix(here).map(Path::to_owned).unwrap_or(absolute),
        Err(_) => absolute,
    }
}

/// Where the clients come from.
#[derive(Debug, clap::Args)]
pub(crate) struct DataArgs {
    /// Take the clients from this file or folder, whatever the configuration says
    #[arg(long, value_name = "PATH")]
    pub(crate) data: Option<PathBuf>,
    /// Look for real data and keep caches here [default: datasets/ of the workspace]
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
}

impl DataArgs {
    /// The data folder.
    pub(crate) fn folder(&self) -> PathBuf {
        self.data_dir.clone().unwrap_or_else(|| workspace().join("datasets"))
    }

    /// Opens the experiment's data, after putting `--data` into the experiment.
    pub(crate) fn open(&self, experiment: &mut Experiment) -> Result<Dataset, Failure> {
        if let Some(path) = &self.data {
            experiment.data.source = Choice::Path(path.clone());
        }
        let options = OpenOptions::new()
            .choice(experiment.data.source.clone())
            .variant(experiment.data.variant)
            .synthetic(experiment.data.synthetic)
            .data_dir(self.folder());
        let dataset = Progress::data(|report| options.open_with(report))?;
        for note in &dataset.notes {
            tracing::warn!("{note}");
        }
        Ok(dataset)
    }
}

/// Where and how a command trains.
#[derive(Debug, clap::Args)]
pub(crate) struct TrainArgs {
    #[command(flatten)]
    pub(crate) backend: BackendArgs,
    #[command(flatten)]
    pub(crate) data: DataArgs,
    /// Write the records here; must not exist [default: runs/NAME-1, -2, ...]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

/// Reads an experiment from a file.
pub(crate) fn read_experiment(path: &Path) -> Result<Experiment, Failure> {
    let place = path.display().to_string();
    if path.is_dir() {
        return Err(Failure::bad_input(format_args!(
            "{place} is a folder; name a TOML file, such as configs/noise_sweep.toml"
        )));
    }
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::bad_input(format_args!("cannot read {place}: {error}")))?;
    Ok(Experiment::parse(&text, &place)?)
}

/// A prepared experiment: data in memory, a learner, a directory for the records.
pub(crate) struct Session {
    pub(crate) experiment: Experiment,
    pub(crate) dataset: Dataset,
    pub(crate) learner: Box<dyn Learner>,
    pub(crate) directory: RunDirectory,
}

impl Session {
    /// Opens learner and directory for data that are open already, and says what will be run on
    /// what. Nothing is written before everything that can be refused was looked at.
    pub(crate) fn open(
        args: &TrainArgs,
        experiment: Experiment,
        dataset: Dataset,
        runs: &[RunConfig],
    ) -> Result<Self, Failure> {
        for run in runs {
            plan::sampler(run, dataset.train.num_clients())?;
        }
        let spec = experiment.model.spec(dataset.train.width(), dataset.train.classes());
        let learner = args.backend.open(&spec)?;
        let directory = create_directory(args.out.as_deref(), &experiment.name)?;
        directory.write_experiment(&experiment)?;
        let provenance = Provenance::new(learner.describe(), dataset.source.clone());
        directory.write_json("provenance.json", &provenance)?;
        Ok(Self { experiment, dataset, learner, directory })
    }

    /// Says which data are used, and why those.
    pub(crate) fn say_data(&self) -> Result<(), Failure> {
        let source = &self.dataset.source;
        crate::say(format_args!("Data: {source} ({})", source.why))
    }

    /// Trains every run, printing the tutorial's lines.
    pub(crate) fn train(&self, runs: &[RunConfig]) -> Result<(), Failure> {
        let total = runs.iter().map(|run| u64::from(run.rounds.get())).sum();
        let progress = Progress::rounds(total);
        let outcome = runs.iter().try_for_each(|run| self.train_one(run, &progress));
        progress.clear();
        outcome
    }

    fn train_one(&self, run: &RunConfig, progress: &Progress) -> Result<(), Failure> {
        if interrupt::asked() {
            return Err(SimError::Interrupted { rounds: 0 }.into());
        }
        progress.say(format_args!(
            "Starting training with noise multiplier: {:?}{}",
            run.noise_multiplier.get(),
            if self.experiment.seeds.len() > 1 {
                format!(" (seed {})", run.seed.0)
            } else {
                String::new()
            }
        ))?;
        let population = &self.dataset.train;
        let mut simulation = Simulation::new(run.clone(), population, &*self.learner)?;
        let mut writer = self.directory.start(run)?;
        let mut screen = progress.run(run);
        let test = self.dataset.test.all_examples();
        let mut observers: (&mut dyn Observer, &mut dyn Observer) = (&mut writer, &mut screen);
        let trained = simulation.run(&test, &mut observers);
        let printed = screen.output();
        let spec = self.learner.spec();
        if let Err(error) = trained {
            // What was paid for is written down, whatever stopped the run.
            writer.finish(&simulation, spec, None)?;
            printed?;
            return Err(error.into());
        }
        let sampler = plan::sampler(run, population.num_clients())?;
        let statement = PrivacyStatement::new(
            run,
            &sampler,
            population.num_clients(),
            simulation.ledger(),
            self.experiment.seeds.len() as u64,
        )?;
        writer.finish(&simulation, spec, Some(&statement))?;
        printed?;
        progress.say("")?;
        if simulation.params().iter().any(|value| !value.is_finite()) {
            return Err(Failure::diverged(format_args!(
                "training with noise multiplier {} ended in a model that is not finite; the \
                 records are in {}",
                run.noise_multiplier,
                writer.path().display()
            )));
        }
        Ok(())
    }
}

/// The directory for a run's records: the one that was asked for, or the next free one.
fn create_directory(out: Option<&Path>, name: &str) -> Result<RunDirectory, Failure> {
    if let Some(out) = out {
        return Ok(RunDirectory::create(out)?);
    }
    let runs = workspace().join("runs");
    for number in 1_u32.. {
        let path = runs.join(format!("{name}-{number}"));
        if !path.exists() {
            return Ok(RunDirectory::create(path)?);
        }
    }
    Err(Failure::failed("runs/ is full"))
}
