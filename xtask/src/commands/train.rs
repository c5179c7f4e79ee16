//! What `sweep` and `final` share: arguments, data, and the runs themselves.

use std::io::Read;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use dp_accounting::Epsilon;
use fed_data::{Choice, Dataset, FederatedData, OpenOptions};
use fed_model::Learner;
use fed_sim::audit::AuditReport;
use fed_sim::config::{AuditConfig, LARGEST_FILE};
use fed_sim::directory::{Opened, Resumed, RunDirectory, Schedule, State, cell_name};
use fed_sim::keys::RunKeys;
use fed_sim::{
    Experiment, Observer, PrivacyStatement, RunConfig, SimError, Simulation, durable, plan,
};

use super::data::Characters;
use crate::backend::{BackendArgs, threads};
use crate::checked::Checked;
use crate::failure::Failure;
use crate::interrupt::{self, Training};
use crate::memory;
use crate::numbers::whole;
use crate::progress::{Progress, RunProgress};
use crate::provenance::{DataRecord, Provenance};

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
    /// Which characters, whatever the configuration says
    #[arg(long, value_enum)]
    pub(crate) variant: Option<Characters>,
    /// Let clients of a file have no examples: they take part with an update of zeros
    #[arg(long)]
    pub(crate) allow_empty_clients: bool,
}

impl DataArgs {
    /// The data folder.
    pub(crate) fn folder(&self) -> PathBuf {
        self.data_dir.clone().unwrap_or_else(|| workspace().join("datasets"))
    }

    /// Opens the experiment's data, after putting `--data`, `--variant` and
    /// `--allow-empty-clients` into the experiment.
    pub(crate) fn open(&self, experiment: &mut Experiment) -> Result<Dataset, Failure> {
        if let Some(path) = &self.data {
            if path.to_str().is_none() {
                return Err(Failure::usage(format_args!(
                    "--data {}: a record of the run could not name this path, for it is no UTF-8 \
                     text: rename the file, or make a link to it",
                    path.display()
                )));
            }
            experiment.data.source = Choice::Path(path.clone());
        }
        if let Some(characters) = self.variant {
            experiment.data.variant = characters.into();
        }
        experiment.data.allow_empty_clients |= self.allow_empty_clients;
        memory::start_helpers()?;
        let options = OpenOptions::new()
            .choice(experiment.data.source.clone())
            .variant(experiment.data.variant)
            .allow_empty_clients(experiment.data.allow_empty_clients)
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
    /// Go on where the runs in this directory stopped, whatever stopped them; begins them if the
    /// directory does not exist yet. CONFIG may be left out, but if given must not have changed
    #[arg(long, value_name = "DIR", conflicts_with = "out")]
    pub(crate) resume: Option<PathBuf>,
    /// Also take up the runs that failed
    #[arg(long, requires = "resume")]
    retry_failed: bool,
    /// Begin no round that would make the ε of its run larger than this; the model so far is kept
    /// with its guarantee, and the exit code is 4. A directory remembers it: --resume keeps to it
    /// until another is named (inf: none)
    #[arg(long, value_name = "EPSILON", value_parser = epsilon, allow_negative_numbers = true)]
    max_epsilon: Option<Epsilon>,
    /// Audit every run while it trains: canaries take part, and how well the releases give them
    /// away is reported beside ε. The same as an `[audit]` in the configuration
    #[arg(long)]
    audit: bool,
    /// Save a checkpoint every so many rounds [default: simulation noise every ten seconds,
    /// release noise every round]
    #[arg(long, value_name = "ROUNDS", value_parser = rounds, allow_negative_numbers = true)]
    checkpoint_every: Option<NonZeroU32>,
    /// Train so many runs side by side, each on its share of the threads; results do not depend
    /// on it [default: what finishes them soonest]
    #[arg(long, value_name = "N", value_parser = threads, allow_negative_numbers = true)]
    jobs: Option<NonZeroUsize>,
}

impl TrainArgs {
    /// Puts `--audit` into an experiment: what decides a run's numbers stands in its configuration.
    pub(crate) fn put_into(&self, experiment: &mut Experiment) {
        if self.audit && experiment.audit.is_none() {
            experiment.audit = Some(AuditConfig::default());
        }
    }

    /// The experiment that the directory to resume was begun with, if it was.
    ///
    /// A directory that was not begun needs a configuration to begin with, `config`.
    pub(crate) fn recorded(
        &self,
        config: Option<&PathBuf>,
    ) -> Result<Option<(Experiment, String)>, Failure> {
        let Some(path) = &self.resume else { return Ok(None) };
        let file = path.join("config.toml");
        if !file.is_file() {
            let here = path.display();
            return match config {
                Some(_) => Ok(None),
                None if path.exists() => Err(Failure::bad_input(format_args!(
                    "{here} holds no run, for it has no config.toml: name a directory that does, \
                     or a configuration to begin with"
                ))),
                None => Err(Failure::bad_input(format_args!(
                    "{here} does not exist, so there is nothing to resume: name a configuration \
                     to begin with"
                ))),
            };
        }
        let place = file.display().to_string();
        Ok(Some((RunDirectory::open(path)?.experiment()?, place)))
    }
}

/// A number of rounds from the command line.
fn rounds(text: &str) -> Result<NonZeroU32, String> {
    let number = whole::<u32>(1, u64::from(u32::MAX))(text)?;
    Ok(NonZeroU32::new(number).expect("at least 1"))
}

/// A bound on ε from the command line.
fn epsilon(text: &str) -> Result<Epsilon, String> {
    let value: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    Epsilon::new(value).map_err(|error| error.to_string())
}

/// Reads an experiment from a file.
pub(crate) fn read_experiment(path: &Path) -> Result<Experiment, Failure> {
    let place = path.display().to_string();
    if path.is_dir() {
        return Err(Failure::bad_input(format_args!(
            "{place} is a folder; name a TOML file, such as configs/noise_sweep.toml"
        )));
    }
    let cannot = |error: &dyn std::fmt::Display| {
        Failure::bad_input(format_args!("cannot read {place}: {error}"))
    };
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(LARGEST_FILE + 1).read_to_end(&mut bytes))
        .map_err(|error| cannot(&error))?;
    if bytes.len() as u64 > LARGEST_FILE {
        return Err(cannot(&format_args!(
            "it is larger than {} MB, as no configuration is",
            LARGEST_FILE >> 20
        )));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let line = error.as_bytes()[..error.utf8_error().valid_up_to()]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count();
        cannot(&format_args!(
            "line {} is not UTF-8 text: save the file as UTF-8 (not UTF-16 or Latin-1)",
            line + 1
        ))
    })?;
    Ok(Experiment::parse(&text, &place)?)
}

/// A prepared experiment: data in memory, a learner, a directory for the records.
pub(crate) struct Session {
    pub(crate) experiment: Experiment,
    pub(crate) dataset: Dataset,
    /// One for each run that trains at the same time.
    learners: Vec<Box<dyn Learner>>,
    pub(crate) directory: RunDirectory,
    schedule: Schedule,
    retry_failed: bool,
    max_epsilon: Option<Epsilon>,
    /// Whether the runs may be priced together.
    independent: bool,
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
        let jobs = args.backend.jobs(runs.len(), args.jobs);
        let spec = experiment.model.spec(dataset.train.width(), dataset.train.classes());
        memory::expect_room(runs, &dataset.train, jobs)?;
        let backend = BackendArgs { threads: Some(jobs.threads), ..args.backend };
        let learners: Vec<_> =
            (0..jobs.count.get()).map(|_| backend.open(&spec)).collect::<Result<_, _>>()?;
        let learner = learners.first().map_or_else(String::new, |learner| learner.describe());
        let data =
            DataRecord::new(dataset.source.clone(), experiment.standing(), &args.data.folder());
        let provenance = Provenance::new(learner, learners.len(), data);
        let directory = match &args.resume {
            Some(path) => RunDirectory::resume(path)?,
            None => create_directory(args.out.as_deref(), &experiment.name)?,
        };
        let begun = directory.is_begun();
        if begun {
            directory.expect_experiment(&experiment)?;
            provenance.resume(&directory, &dataset.source)?;
        } else {
            directory.write_provenance(&provenance)?;
        }
        // Whoever takes the directory up again keeps to its budget without being told.
        let max_epsilon = match args.max_epsilon {
            Some(most) => {
                directory.write_budget(most)?;
                Some(most)
            }
            None => directory.budget()?,
        };
        if !begun {
            // The experiment last: with it the directory is complete.
            directory.write_experiment(&experiment)?;
        }
        let schedule = match args.checkpoint_every {
            Some(rounds) => Schedule::Rounds(rounds),
            None => Schedule::for_noise(experiment.noise),
        };
        Ok(Self {
            experiment,
            dataset,
            learners,
            independent: directory.are_independent(runs),
            directory,
            schedule,
            retry_failed: args.retry_failed,
            max_epsilon,
        })
    }

    /// Says which data are used, and why those, and how much privacy may be spent on them.
    pub(crate) fn say_data(&self) -> Result<(), Failure> {
        let source = &self.dataset.source;
        crate::tell(format_args!("Data: {source} ({})", source.why))?;
        match self.max_epsilon {
            Some(most) if most.is_finite() => {
                let epsilon = self.experiment.standing().call("ε");
                crate::tell(format_args!("Budget: {epsilon} of at most {most} for each run"))
            }
            _ => Ok(()),
        }
    }

    /// Who trains.
    pub(crate) fn describe_learners(&self) -> String {
        describe(&self.learners)
    }

    /// Trains every run that is not finished, printing the tutorial's lines. A run that fails for
    /// reasons of its own does not keep the others from being trained: what became of each is
    /// said at the end, by [`Failures::into_result`].
    pub(crate) fn train(&self, runs: &[RunConfig]) -> Result<Failures, Failure> {
        let total = runs.iter().map(|run| u64::from(run.rounds.get())).sum();
        let progress = Progress::rounds(total, runs.len());
        let next = AtomicUsize::new(0);
        let _training = Training::begin();
        let work = |learner: &dyn Learner| {
            let mut failures = Vec::new();
            while !progress.is_stopped() {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(run) = runs.get(index) else { break };
                let mut screen = progress.run(index, run);
                let trained = self.train_one(run, runs, learner, &mut screen);
                for failure in [trained, screen.over()].into_iter().filter_map(Result::err) {
                    // What is wrong with more than this run stops them all.
                    if !failure.is_of_one_run() {
                        progress.stop();
                    }
                    failures.push((index, failure));
                }
            }
            failures
        };
        let mut failures: Vec<(usize, Failure)> = std::thread::scope(|scope| {
            // Beside the first rounds; whoever would record something waits for it and is told.
            scope.spawn(|| drop(self.dataset.check()));
            let (first, others) = self.learners.split_first().expect("somebody trains");
            // Where the system gives no more threads, those that there are take all runs.
            let others: Vec<_> = others
                .iter()
                .filter_map(|learner| {
                    std::thread::Builder::new().spawn_scoped(scope, || work(&**learner)).ok()
                })
                .collect();
            let ours = work(&**first);
            let theirs = others.into_iter().flat_map(|other| {
                other.join().unwrap_or_else(|cause| std::panic::resume_unwind(cause))
            });
            ours.into_iter().chain(theirs).collect()
        });
        progress.clear();
        failures.sort_by_key(|(index, _)| *index);
        // Runs that were told to stop because of another's failure are not worth a word.
        let stopped = failures
            .iter()
            .position(|(_, failure)| !failure.is_of_one_run() && !failure.is_interruption());
        let stopped =
            stopped.or_else(|| failures.iter().position(|(_, failure)| !failure.is_of_one_run()));
        if let Some(cause) = stopped {
            return Err(failures.swap_remove(cause).1.resumable(self.directory.path()));
        }
        let list = failures.into_iter().map(|(index, failure)| (cell_name(&runs[index]), failure));
        Ok(Failures { list: list.collect(), directory: self.directory.path().into() })
    }

    fn train_one(
        &self,
        run: &RunConfig,
        tried: &[RunConfig],
        learner: &dyn Learner,
        screen: &mut RunProgress<'_>,
    ) -> Result<(), Failure> {
        if interrupt::asked() {
            return Err(SimError::Interrupted { rounds: 0 }.into());
        }
        let title = format!(
            "noise multiplier: {:?}{}",
            run.noise_multiplier.get(),
            if self.experiment.seeds.len() > 1 {
                format!(" (seed {})", run.seed.0)
            } else {
                String::new()
            }
        );
        let (name, population) = (cell_name(run), &self.dataset.train);
        let keys = RunKeys::new(run, population, learner);
        let opened = self.directory.open_cell(run, &keys, self.schedule, self.retry_failed)?;
        let (mut writer, simulation) = match opened {
            Opened::New(writer) => {
                screen.say(format_args!("Starting training with {title}"))?;
                (*writer, Simulation::new(run.clone(), population, learner)?)
            }
            Opened::Resumed(resumed) => {
                let Resumed { writer, saved, ledger, notes } = *resumed;
                notes.iter().for_each(|note| screen.warn(format_args!("{name}: {note}")));
                let round = saved.round;
                screen.skip(u64::from(round));
                screen.say(format_args!("Resuming after round {round} with {title}"))?;
                let simulation =
                    Simulation::resume(run.clone(), population, learner, saved, ledger)?;
                (writer, simulation)
            }
            Opened::Finished => {
                screen.skip(u64::from(run.rounds.get()));
                return screen.say(format_args!("Finished already: training with {title}\n"));
            }
            Opened::Failed { message, diverged } => {
                screen.skip(u64::from(run.rounds.get()));
                return Err(Failure::before(message, diverged));
            }
        };
        let mut simulation = simulation.with_budget(self.max_epsilon);
        let test = self.dataset.test.all_examples();
        let mut recorders: (&mut dyn Observer, &mut dyn Observer) = (&mut writer, screen);
        let mut checked = Checked(&self.dataset);
        let mut observers: (&mut dyn Observer, &mut dyn Observer) = (&mut checked, &mut recorders);
        let trained = simulation.run(&test, &mut observers);
        let printed = screen.output();
        let divergence = simulation.divergence();
        let over = match &trained {
            Ok(()) | Err(SimError::Budget { .. }) if divergence.is_some() => State::Diverged,
            Ok(()) => State::Finished,
            Err(SimError::Budget { .. }) => State::BudgetSpent,
            Err(error) => {
                let state = match error {
                    SimError::Interrupted { .. } => State::Interrupted,
                    _ if Failure::is_of_run(error) => State::Failed,
                    // The run itself is sound: it goes on where it was saved.
                    _ => State::Running,
                };
                let noted = writer.leave(simulation.round(), state, &error.for_record(run.noise));
                printed?;
                // Why the run stopped comes before why that could not be noted.
                trained?;
                return Ok(noted?);
            }
        };
        // What is about to be closed came from the data that its record names.
        self.dataset.check()?;
        let sampler = plan::sampler(run, population.num_clients())?;
        let statement = PrivacyStatement::new(
            run,
            &sampler,
            population.num_clients(),
            simulation.ledger(),
            self.experiment.seeds.len() as u64,
        )?
        .of_run(writer.run_number(), &writer.ledger_mark().head)
        .of_a_model_after(simulation.round());
        let statement = match self.independent {
            true => statement.with_tried(tried)?,
            false => statement.without_tried(),
        }
        .with_audit(simulation.audit_report()?);
        let told = |why: String| {
            format!(
                "training with noise multiplier {} diverged: {why}; the records are in {}",
                run.noise_multiplier,
                writer.path().display()
            )
        };
        let noted = divergence.map(|why| told(why.for_record(run.noise)));
        let diverged = divergence.map(|why| told(why.to_string()));
        let spec = learner.spec();
        writer.finish(&simulation, spec, &statement, over, noted)?;
        printed?;
        if let Some(audit) = &statement.audit {
            let text = format!("{}; {}", audit.line(), statement.standing());
            screen.say(crate::wrapped(text))?;
        }
        screen.say("")?;
        if let Some(alarm) = statement.audit.as_ref().and_then(AuditReport::alarm) {
            screen.alarm(format_args!("{name}: {alarm}"));
        }
        match diverged {
            Some(message) => Err(Failure::diverged(message)),
            None => Ok(trained?),
        }
    }
}

/// Refuses to call a success what holds a guarantee that an audit refutes, in this run or in one
/// before it.
pub(crate) fn heed_audits(directory: &RunDirectory) -> Result<(), Failure> {
    let mut alarms = Vec::new();
    for cell in directory.cells()? {
        if let Some(alarm) = cell.privacy.audit.as_ref().and_then(AuditReport::alarm) {
            alarms.push(format!("{}: {alarm}", cell_name(&cell.config)));
        }
    }
    if alarms.is_empty() { Ok(()) } else { Err(Failure::refuted(alarms.join("\n"))) }
}

/// The runs of a command that did not get to their end, and why.
pub(crate) struct Failures {
    list: Vec<(String, Failure)>,
    directory: PathBuf,
}

impl Failures {
    /// Nothing, if every run got to its end; else what became of those that did not.
    pub(crate) fn into_result(mut self) -> Result<(), Failure> {
        if self.list.len() == 1 {
            let (_, only) = self.list.remove(0);
            return Err(only.retryable(&self.directory));
        }
        let Some((_, first)) = self.list.first() else { return Ok(()) };
        let reasons: Vec<String> =
            self.list.iter().map(|(name, failure)| format!("{name}: {failure}")).collect();
        let text = format!("{} runs did not finish\n  {}", reasons.len(), reasons.join("\n  "));
        Err(first.with_message(text).retryable(&self.directory))
    }
}

/// Who trains, in the words of a record.
fn describe(learners: &[Box<dyn Learner>]) -> String {
    let each = learners.first().map_or_else(String::new, |learner| learner.describe());
    match learners.len() {
        1 => each,
        jobs => format!("{each}, {jobs} runs side by side"),
    }
}

/// The directory for a run's records: the one that was asked for, or the next free one.
fn create_directory(out: Option<&Path>, name: &str) -> Result<RunDirectory, Failure> {
    if let Some(out) = out {
        return Ok(RunDirectory::create(out)?);
    }
    let runs = workspace().join("runs");
    durable::make_folder(&runs)?;
    for number in 1_u32.. {
        let path = runs.join(format!("{name}-{number}"));
        // Whoever makes the folder has its name: another process may be looking for one too.
        match std::fs::create_dir(&path) {
            Ok(()) => return Ok(RunDirectory::create(path)?),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(source) => return Err(SimError::Io { path, source }.into()),
        }
    }
    Err(Failure::failed("runs/ is full"))
}
