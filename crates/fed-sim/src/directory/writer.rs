//! One run's folder, as it is written while the run trains, and as it is taken up again.

use std::fs;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use dp_accounting::ledger::Bits128;
use dp_accounting::{DpEvent, Ledger};
use dp_agg::NoiseMode;
use fed_model::MlpSpec;
use serde::Serialize;

use super::cell::{Cell, EvaluationRow, State, Status, expect_no_end, read_config, read_status};
use super::{
    AUDIT, CANARIES, CHECKPOINTS, CONFIG, EVALUATIONS, LEDGER, METRICS, MODEL, PRIVACY,
    PRIVACY_TEXT, STATUS, TIMING, read_text, seal, to_json, to_toml, write_csv,
};
use crate::checkpoint::{Checkpoint, Checkpoints, Header, Skipped};
use crate::config::{RunConfig, Uncovered, differences};
use crate::durable;
use crate::error::SimError;
use crate::journal::Journal;
use crate::keys::{self, RunKeys};
use crate::ledger_file::{LedgerFile, LedgerMark};
use crate::record::{EvaluationRecord, Observer, PhaseTimes, RoundLine, RoundRecord};
use crate::run_number;
use crate::simulation::Simulation;
use crate::state::{Saved, Snapshot};
use crate::statement::PrivacyStatement;
use crate::weights;

/// When checkpoints are taken, besides before the first round and whenever a run is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// Every so many rounds.
    Rounds(NonZeroU32),
    /// After the first round that ends this long after the last checkpoint.
    Time(Duration),
}

impl Schedule {
    /// What suits the noise. A simulation that crashes repeats its rounds bit for bit, so it
    /// saves every ten seconds. With release noise a lost round is lost privacy, so every round is
    /// saved.
    #[must_use]
    pub fn for_noise(mode: NoiseMode) -> Self {
        match mode {
            NoiseMode::Simulation => Self::Time(Duration::from_secs(10)),
            NoiseMode::Release => Self::Rounds(NonZeroU32::MIN),
        }
    }
}

/// A run's folder, opened to train.
#[derive(Debug)]
pub enum Opened {
    /// Nothing was there: the run starts at round 0.
    New(Box<CellWriter>),
    /// The run goes on from a checkpoint.
    Resumed(Box<Resumed>),
    /// The run is finished: there is nothing to do.
    Finished,
    /// The run failed before, and a retry was not asked for.
    Failed {
        /// Why.
        message: String,
        /// Whether training diverged: the same again ends the same.
        diverged: bool,
    },
}

/// A run that goes on from a checkpoint.
#[derive(Debug)]
pub struct Resumed {
    /// Writes the folder.
    pub writer: CellWriter,
    /// The run's state.
    pub saved: Saved,
    /// The ledger that the run goes on with.
    pub ledger: Ledger,
    /// What a user should be told about how the last attempt ended, a sentence each.
    pub notes: Vec<String>,
}

/// Writes a run's folder while it trains.
#[derive(Debug)]
pub struct CellWriter {
    path: PathBuf,
    config: RunConfig,
    id: String,
    schedule: Schedule,
    metrics: Journal,
    timing: Journal,
    evaluations: Journal,
    /// Whether the evaluations were begun when their rows did not say what ε stands for.
    old_rows: bool,
    ledger: LedgerFile,
    checkpoints: Checkpoints,
    /// Round and time of the last checkpoint.
    last: Option<(u32, Instant)>,
}

/// Opens the folder at `path` for a run: new, or where it stopped.
pub(super) fn open(
    path: PathBuf,
    config: &RunConfig,
    keys: &RunKeys,
    schedule: Schedule,
    retry_failed: bool,
) -> Result<Opened, SimError> {
    let id = config.id()?;
    let status = read_status(&path)?;
    if let Some(status) = &status {
        if status.run != id {
            let recorded = read_config(&path)?;
            let place = path.join(CONFIG).display().to_string();
            let list = differences(&recorded, config)
                .map_err(|message| SimError::config(place.clone(), message))?;
            return Err(changed(&place, &list));
        }
        match status.state {
            State::Finished => {
                // It still has all that it ended with, and claims what its ledger says.
                Cell::read(&path, status)?;
                // A crash may have come between the seal and this.
                Checkpoints::new(path.join(CHECKPOINTS)).remove()?;
                return Ok(Opened::Finished);
            }
            State::Failed | State::Diverged if !retry_failed => {
                let message = status.message.clone().unwrap_or_default();
                return Ok(Opened::Failed { message, diverged: status.state == State::Diverged });
            }
            State::Failed
            | State::Diverged
            | State::Running
            | State::Interrupted
            | State::BudgetSpent => {}
        }
    }
    if status.is_none() {
        expect_no_end(&path)?;
    }
    let checkpoints = Checkpoints::new(path.join(CHECKPOINTS));
    if let Some((checkpoint, skipped)) = checkpoints.newest()? {
        let resumed = resume(path, config, id, schedule, checkpoint, skipped)?;
        return Ok(Opened::Resumed(Box::new(resumed)));
    }
    // The first checkpoint is on the disk before the first round is paid for, so without one
    // there is nothing to lose.
    let ledger = path.join(LEDGER);
    if fs::metadata(&ledger).is_ok_and(|ledger| ledger.len() > 0) {
        return Err(SimError::NoCheckpoint {
            path: path.join(CHECKPOINTS),
            reasons: format!("there is none, but {} has lines", ledger.display()),
        });
    }
    let number = run_number::of(config.noise, keys)?;
    CellWriter::create(path, config, id, number, schedule).map(Box::new).map(Opened::New)
}

/// A configuration that is not the one a directory was begun with.
pub(super) fn changed(place: &str, differences: &[String]) -> SimError {
    SimError::config(
        place,
        format!(
            "the run was begun with another configuration ({}). Resume it with the configuration \
             it has; another configuration is another run, in another folder, with a price of its own",
            differences.join("; ")
        ),
    )
}

fn resume(
    path: PathBuf,
    config: &RunConfig,
    id: String,
    schedule: Schedule,
    checkpoint: Checkpoint,
    skipped: Vec<Skipped>,
) -> Result<Resumed, SimError> {
    let header = checkpoint.header.clone();
    if header.run != id {
        return Err(SimError::Altered {
            path: path.join(CHECKPOINTS),
            message: "its checkpoints are those of a run with another configuration".to_owned(),
        });
    }
    keys::expect_version(header.keys, config)
        .map_err(|message| SimError::config(path.display().to_string(), message))?;
    let ledger_path = path.join(LEDGER);
    let (ledger_file, ledger, beyond) =
        LedgerFile::resume(&ledger_path, config.noise, header.run_number, &header.ledger)?;
    if config.noise == NoiseMode::Release {
        // Every line was confirmed by the disk before its round was written down: beyond the lines
        // that the checkpoint has seen there is one for each round that was recorded since.
        let recorded = count_lines(&path.join(METRICS))?;
        let needed = header.ledger.lines + recorded.saturating_sub(u64::from(header.round));
        if ledger.len() < needed {
            let found = ledger.len();
            return Err(SimError::LedgerShort { path: ledger_path, found, needed });
        }
    }
    let saved = checkpoint
        .into_saved(config.server)
        .map_err(|message| SimError::Altered { path: path.join(CHECKPOINTS), message })?;
    let writer = CellWriter {
        metrics: Journal::resume(&path.join(METRICS), &header.metrics)?,
        timing: Journal::resume(&path.join(TIMING), &header.timing)?,
        evaluations: Journal::resume(&path.join(EVALUATIONS), &header.evaluations)?,
        old_rows: header.evaluations.bytes > 0 && !names_standing(&path.join(EVALUATIONS))?,
        ledger: ledger_file,
        checkpoints: Checkpoints::new(path.join(CHECKPOINTS)),
        // The next checkpoint is to know of the rounds that were lost, so that nobody can take
        // their lines away unseen: it is due before the first round.
        last: (config.noise == NoiseMode::Simulation || beyond.rounds == 0)
            .then(|| (header.round, Instant::now())),
        config: config.clone(),
        id,
        schedule,
        path,
    };
    // Only now is it certain that the run goes on: put the damaged files aside.
    let mut notes = Vec::new();
    for Skipped { path, damage } in skipped {
        let aside = path.with_extension("damaged");
        fs::rename(&path, &aside).map_err(SimError::io(&path))?;
        notes.push(format!(
            "{} cannot be used: {damage}; it was put aside as {}, and the run goes back to \
             round {}",
            path.display(),
            aside.file_name().unwrap_or_default().to_string_lossy(),
            header.round
        ));
    }
    // The checkpoint knows the configuration by its digest, so it can be written again.
    let file = writer.path.join(CONFIG);
    let text = to_toml(config, &file)?;
    if fs::read(&file).ok().as_deref() != Some(text.as_bytes()) {
        durable::replace(&file, text.as_bytes())?;
        notes.push(format!("{} was gone or altered, and was written anew", file.display()));
    }
    notes.extend(beyond.notes(config.noise, header.round));
    writer.write_status(State::Running, header.round, None, None)?;
    seal::lift(&writer.path)?;
    Ok(Resumed { writer, saved, ledger, notes })
}

/// Whether the rows of a table of evaluations say what their ε stands for.
fn names_standing(path: &Path) -> Result<bool, SimError> {
    Ok(read_text(path)?.lines().next().is_some_and(|names| names.ends_with("epsilon_is")))
}

fn count_lines(path: &Path) -> Result<u64, SimError> {
    match fs::read(path) {
        Ok(bytes) => Ok(bytes.iter().filter(|byte| **byte == b'\n').count() as u64),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(SimError::io(path)(error)),
    }
}

impl CellWriter {
    /// A folder for a run that has not begun.
    fn create(
        path: PathBuf,
        config: &RunConfig,
        id: String,
        number: Bits128,
        schedule: Schedule,
    ) -> Result<Self, SimError> {
        durable::make_folder(&path)?;
        let file = path.join(CONFIG);
        durable::replace(&file, to_toml(config, &file)?.as_bytes())?;
        let writer = Self {
            metrics: Journal::create(&path.join(METRICS))?,
            timing: Journal::create(&path.join(TIMING))?,
            evaluations: Journal::create(&path.join(EVALUATIONS))?,
            old_rows: false,
            ledger: LedgerFile::create(&path.join(LEDGER), config.noise, number)?,
            checkpoints: Checkpoints::new(path.join(CHECKPOINTS)),
            last: None,
            config: config.clone(),
            id,
            schedule,
            path,
        };
        writer.write_status(State::Running, 0, None, None)?;
        durable::sync_folder_of(&writer.path)?;
        Ok(writer)
    }

    /// Where the run's folder lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The number of the run; none in a run of an older version.
    #[must_use]
    pub fn run_number(&self) -> Option<Bits128> {
        self.ledger.run()
    }

    /// Where the run's ledger stands: how many lines, and the hash of the last.
    #[must_use]
    pub fn ledger_mark(&self) -> &LedgerMark {
        self.ledger.mark()
    }

    /// Writes the model and its guarantee, in text and JSON, seals all files of the run, and writes
    /// down how it came to its end. A finished run needs its checkpoints no more.
    ///
    /// # Errors
    /// [`SimError::Io`] if a file cannot be written.
    pub fn finish(
        &self,
        simulation: &Simulation<'_>,
        spec: &MlpSpec,
        statement: &PrivacyStatement,
        state: State,
        message: Option<String>,
    ) -> Result<(), SimError> {
        self.sync()?;
        let origin = weights::Origin {
            run_number: self.run_number(),
            rounds: simulation.round(),
            ledger_head: self.ledger_mark().head.clone(),
        };
        weights::save(&self.path.join(MODEL), spec, simulation.params(), &origin)?;
        let file = self.path.join(PRIVACY);
        durable::replace(&file, to_json(statement, &file)?.as_bytes())?;
        durable::replace(&self.path.join(PRIVACY_TEXT), statement.to_string().as_bytes())?;
        if let (Some(audit), Some(report)) = (simulation.audit(), &statement.audit) {
            let file = self.path.join(AUDIT);
            durable::replace(&file, to_json(report, &file)?.as_bytes())?;
            write_csv(&self.path.join(CANARIES), &audit.rows(simulation.params()))?;
        }
        let seal = seal::make(&self.path)?;
        self.write_status(state, simulation.round(), message, Some(seal))?;
        if state == State::Finished { self.checkpoints.remove() } else { Ok(()) }
    }

    /// Notes why the run is left before its end. The last checkpoint is where it will go on.
    ///
    /// # Errors
    /// [`SimError::Io`] if the note cannot be written.
    pub fn leave(&self, round: u32, state: State, message: &str) -> Result<(), SimError> {
        self.write_status(state, round, Some(message.to_owned()), None)
    }

    fn write_status(
        &self,
        state: State,
        rounds: u32,
        message: Option<String>,
        seal: Option<String>,
    ) -> Result<(), SimError> {
        let status = Status { run: self.id.clone(), state, rounds, message, seal };
        let file = self.path.join(STATUS);
        durable::replace(&file, to_json(&status, &file)?.as_bytes())
    }

    /// Has the disk confirm every record, the ledger first.
    fn sync(&self) -> Result<(), SimError> {
        self.ledger.sync()?;
        self.metrics.sync()?;
        self.timing.sync()?;
        self.evaluations.sync()
    }

    fn checkpoint(&mut self, state: &Snapshot<'_>) -> Result<(), SimError> {
        self.sync()?;
        let header = Header {
            run: self.id.clone(),
            keys: keys::VERSION,
            run_number: self.run_number(),
            round: state.round,
            server_steps: state.server.steps(),
            aggregator: state.aggregator,
            ledger: self.ledger.mark().clone(),
            metrics: self.metrics.mark(),
            timing: self.timing.mark(),
            evaluations: self.evaluations.mark(),
            audited: state.audit.map(|trail| trail.rounds),
            health: state.health,
        };
        self.checkpoints.write(&header, state)?;
        self.last = Some((state.round, Instant::now()));
        Ok(())
    }
}

impl Observer for CellWriter {
    fn charge(&mut self, _: u32, event: &DpEvent) -> Result<(), SimError> {
        self.ledger.charge(event)
    }

    fn is_paid(&self) -> bool {
        self.ledger.is_paid()
    }

    fn between(&mut self, state: &Snapshot<'_>, leaving: bool) -> Result<(), SimError> {
        let due = match self.last {
            None => true,
            // Nothing has happened since.
            Some((round, _)) if round == state.round => false,
            Some(_) if leaving => true,
            Some((round, at)) => match self.schedule {
                Schedule::Rounds(every) => state.round - round >= every.get(),
                Schedule::Time(every) => at.elapsed() >= every,
            },
        };
        if due { self.checkpoint(state) } else { Ok(()) }
    }

    fn round(&mut self, record: &RoundRecord, times: &PhaseTimes) -> Result<(), SimError> {
        let noise = self.config.noise;
        // Raw measurements and times are no part of a release.
        let raw = noise == NoiseMode::Simulation
            || self.config.uncovered.contains(&Uncovered::Diagnostics);
        self.metrics.append_json(&RoundLine::new(record, noise, raw))?;
        if !raw {
            return Ok(());
        }
        self.timing.append_json(&Timing {
            round: record.round,
            sample: times.sample.as_secs_f64(),
            train: times.train.as_secs_f64(),
            release: times.release.as_secs_f64(),
            server: times.server.as_secs_f64(),
        })
    }

    fn evaluation(&mut self, record: &EvaluationRecord) -> Result<(), SimError> {
        let row = EvaluationRow::new(&self.config, record);
        self.evaluations.append_csv(&if self.old_rows { row.without_standing() } else { row })
    }
}

/// A line of `timing.jsonl`: seconds.
#[derive(Serialize)]
struct Timing {
    round: u32,
    sample: f64,
    train: f64,
    release: f64,
    server: f64,
}
