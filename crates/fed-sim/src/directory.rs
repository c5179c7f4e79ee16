//! A run is a directory of plain files, readable without us.
//!
//! ```text
//! config.toml          the experiment, every default spelt out
//! provenance.json      version, machine, data: whatever the caller knows
//! budget.json          the ε that no run may pass, if there is one
//! resumes.jsonl        the same for every time that it was taken up again
//! evaluations.csv      one line an evaluation, all runs
//! summary.md, .csv     one line a setting
//! figures/             pictures of the above
//! lock                 held by the process that trains
//! cells/z0.5-m50-s1/   one run:
//!   config.toml          everything that decides its numbers
//!   status.json          whether it is running, over, interrupted or failed, and why
//!   metrics.jsonl        a line a round: what a server could release, what a simulation knows
//!   evaluations.csv      its evaluations
//!   timing.jsonl         seconds a round, by phase (the only file that two equal runs differ in)
//!   ledger.jsonl         a line a release, written before it, each chained to the one before
//!   checkpoints/         the last few states and the first, each with its digest, until the run is
//!                        finished
//!   privacy.json, .txt   the guarantee
//!   model.safetensors    the final weights
//!   audit.json           what an audit found, where the run was audited
//!   canaries.csv         what the releases told about each of its canaries
//!   SHA256SUMS           digests of all of these, once the run is over; status.json vouches for it
//! ```
//!
//! Whatever ends a process, the directory can be taken up again: [`RunDirectory::resume`], then
//! [`RunDirectory::open_cell`] for each run. [`crate::ledger_file`] says in which order things
//! reach the disk, and why nothing that was released can escape the ledger.

mod agree;
mod cell;
mod lock;
mod outcome;
mod seal;
mod writer;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use dp_accounting::Epsilon;
use serde::{Deserialize, Serialize};

pub use cell::{Cell, EvaluationRow, State, Status, expect_name, expect_whole, keys_of};
pub use outcome::Outcome;
pub use writer::{CellWriter, Opened, Resumed, Schedule};

use crate::config::{Experiment, RunConfig, differences};
use crate::durable;
use crate::error::SimError;
use crate::journal::Journal;
use crate::keys::RunKeys;
use crate::plan;
use lock::Lock;

const CONFIG: &str = "config.toml";
const PROVENANCE: &str = "provenance.json";
const BUDGET: &str = "budget.json";
const CELLS: &str = "cells";
const STATUS: &str = "status.json";
const METRICS: &str = "metrics.jsonl";
const EVALUATIONS: &str = "evaluations.csv";
const TIMING: &str = "timing.jsonl";
const LEDGER: &str = "ledger.jsonl";
const CHECKPOINTS: &str = "checkpoints";
const PRIVACY: &str = "privacy.json";
const PRIVACY_TEXT: &str = "privacy.txt";
const AUDIT: &str = "audit.json";
const CANARIES: &str = "canaries.csv";
const MODEL: &str = "model.safetensors";
const SUMS: &str = "SHA256SUMS";

/// `budget.json`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Budget {
    max_epsilon: Epsilon,
}

/// The directory of an experiment's runs.
#[derive(Clone, Debug)]
pub struct RunDirectory {
    path: PathBuf,
    /// Held where the directory was opened to write.
    _lock: Option<Lock>,
}

impl RunDirectory {
    /// A new directory. Nothing is ever overwritten.
    ///
    /// # Errors
    /// [`SimError::Io`] if `path` exists and is not an empty folder, or cannot be made,
    /// [`SimError::Locked`] if another process is making it.
    pub fn create(path: impl Into<PathBuf>) -> Result<Self, SimError> {
        let path = path.into();
        let not_empty =
            || exists(&path, "exists and is not empty: name another folder, or resume it");
        if !contents(&path)?.is_empty() {
            return Err(not_empty());
        }
        let directory = Self::locked(path.clone())?;
        // Another process may have come and gone in between.
        if contents(&path)?.iter().any(|name| name != lock::NAME && name != CELLS) {
            return Err(not_empty());
        }
        Ok(directory)
    }

    /// A directory that a finished or interrupted experiment left, to read.
    ///
    /// # Errors
    /// [`SimError::Config`] if `path` is not such a directory.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, SimError> {
        let path = path.into();
        if path.join(CONFIG).is_file() && path.join(CELLS).is_dir() {
            return Ok(Self { path, _lock: None });
        }
        let message = "not a run directory: it needs a config.toml and a folder cells/";
        Err(SimError::config(path.display().to_string(), message))
    }

    /// A directory to go on in, or to begin in if nothing was written to it yet: see
    /// [`is_begun`](Self::is_begun).
    ///
    /// # Errors
    /// [`SimError::Config`] if `path` holds something else, [`SimError::Locked`] if another
    /// process is writing to it.
    pub fn resume(path: impl Into<PathBuf>) -> Result<Self, SimError> {
        let path = path.into();
        // A process that came to an early end leaves a lock, an empty folder, what is written
        // before the configuration, half a file.
        let ours = |name: &String| {
            [lock::NAME, CELLS, PROVENANCE, BUDGET].contains(&name.as_str())
                || durable::is_partial(name)
        };
        if !path.join(CONFIG).is_file() && !contents(&path)?.iter().all(ours) {
            let message = "not a run directory: it has no config.toml, but other files";
            return Err(SimError::config(path.display().to_string(), message));
        }
        Self::locked(path)
    }

    /// Makes the folder if need be, and takes its lock.
    fn locked(path: PathBuf) -> Result<Self, SimError> {
        durable::make_folder(&path)?;
        let lock = Some(Lock::take(&path)?);
        durable::make_folder(&path.join(CELLS))?;
        Ok(Self { path, _lock: lock })
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether an experiment was written to it.
    #[must_use]
    pub fn is_begun(&self) -> bool {
        self.path.join(CONFIG).is_file()
    }

    /// Writes the resolved experiment: the last thing that makes a directory a run directory.
    ///
    /// # Errors
    /// [`SimError::Io`] if it cannot be written.
    pub fn write_experiment(&self, experiment: &Experiment) -> Result<(), SimError> {
        self.write(CONFIG, to_toml(experiment, &self.path)?)
    }

    /// Writes where the runs' numbers come from, before the experiment.
    ///
    /// # Errors
    /// [`SimError::Io`] if it cannot be written.
    pub fn write_provenance(&self, provenance: &impl Serialize) -> Result<(), SimError> {
        self.write_json(PROVENANCE, provenance)
    }

    /// Reads the provenance back.
    ///
    /// # Errors
    /// [`SimError`] if it cannot be read.
    pub fn provenance<T: serde::de::DeserializeOwned>(&self) -> Result<T, SimError> {
        self.read_json(PROVENANCE)
    }

    /// Writes down the ε that no run of the directory may pass, for whoever takes it up again.
    ///
    /// # Errors
    /// [`SimError::Io`] if it cannot be written.
    pub fn write_budget(&self, most: Epsilon) -> Result<(), SimError> {
        self.write_json(BUDGET, &Budget { max_epsilon: most })
    }

    /// The ε that no run of the directory may pass; `None` if nobody ever set one.
    ///
    /// # Errors
    /// [`SimError`] if it cannot be read.
    pub fn budget(&self) -> Result<Option<Epsilon>, SimError> {
        let path = self.path.join(BUDGET);
        if !path.exists() {
            return Ok(None);
        }
        read_json(&path).map(|Budget { max_epsilon }| Some(max_epsilon))
    }

    /// Reads the experiment back.
    ///
    /// # Errors
    /// [`SimError`] if it cannot be read.
    pub fn experiment(&self) -> Result<Experiment, SimError> {
        let path = self.path.join(CONFIG);
        Experiment::parse_record(&read_text(&path)?, &path.display().to_string())
    }

    /// Refuses an experiment that is not the one that the directory was begun with.
    ///
    /// # Errors
    /// [`SimError::Config`] naming every key that differs.
    pub fn expect_experiment(&self, experiment: &Experiment) -> Result<(), SimError> {
        let place = self.path.join(CONFIG).display().to_string();
        let list = differences(&self.experiment()?, experiment)
            .map_err(|message| SimError::config(place.clone(), message))?;
        if list.is_empty() { Ok(()) } else { Err(writer::changed(&place, &list)) }
    }

    /// Writes a file of the directory, whole or not at all; folders on the way are made.
    ///
    /// # Errors
    /// [`SimError::Io`] if it cannot be written.
    pub fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> Result<(), SimError> {
        let path = self.path.join(name);
        if let Some(folder) = path.parent() {
            durable::make_folder(folder)?;
        }
        durable::replace(&path, contents.as_ref())
    }

    /// A folder of the directory, made if it is not there.
    ///
    /// # Errors
    /// [`SimError::Io`] if it cannot be made.
    pub fn folder(&self, name: &str) -> Result<PathBuf, SimError> {
        let path = self.path.join(name);
        durable::make_folder(&path)?;
        Ok(path)
    }

    /// Writes a value as JSON.
    ///
    /// # Errors
    /// [`SimError::Io`] if it cannot be written.
    pub fn write_json(&self, name: &str, value: &impl Serialize) -> Result<(), SimError> {
        self.write(name, to_json(value, &self.path.join(name))?)
    }

    /// Appends a value as a line of JSON to a file of the directory.
    ///
    /// # Errors
    /// [`SimError::Io`] if it cannot be written.
    pub fn append_json(&self, name: &str, value: &impl Serialize) -> Result<(), SimError> {
        Journal::append_to(&self.path.join(name), value)
    }

    /// Reads a JSON file of the directory.
    ///
    /// # Errors
    /// [`SimError`] if it cannot be read.
    pub fn read_json<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<T, SimError> {
        read_json(&self.path.join(name))
    }

    /// The folder of one run, to train in it: from the start, or from where it stopped. Its keys are
    /// those of the run on the clients and with the learner that train it. A run
    /// that failed is only taken up again with `retry_failed`.
    ///
    /// # Errors
    /// [`SimError`] if the folder holds another run, if its ledger, its records or all of its
    /// checkpoints are damaged, or if it cannot be written.
    pub fn open_cell(
        &self,
        config: &RunConfig,
        keys: &RunKeys,
        schedule: Schedule,
        retry_failed: bool,
    ) -> Result<Opened, SimError> {
        let path = self.path.join(CELLS).join(cell_name(config));
        writer::open(path, config, keys, schedule, retry_failed)
    }

    /// Whether these runs, or what was begun of them here before, may be
    /// [priced together](plan::are_independent).
    #[must_use]
    pub fn are_independent(&self, runs: &[RunConfig]) -> bool {
        let folder = |run| self.path.join(CELLS).join(cell_name(run));
        plan::are_independent(runs.iter().map(|run| (run, keys_of(&folder(run)))))
    }

    /// The runs that are over, in the order of their settings and seeds.
    ///
    /// # Errors
    /// [`SimError`] if a run cannot be read, lacks something that it ended with, or lies in a
    /// folder that does not bear its name.
    pub fn cells(&self) -> Result<Vec<Cell>, SimError> {
        let experiment = if self.is_begun() { Some(self.experiment()?) } else { None };
        let mut cells = Vec::new();
        for (path, config, status) in self.folders()? {
            cell::expect_name(&path, &config)?;
            if status.state.is_over() {
                cells.push(read_cell(&path, &status, experiment.as_ref())?);
            }
        }
        cells.sort_by(|a, b| in_order(&a.config, &b.config));
        Ok(cells)
    }

    /// What became of each run that the experiment asks for, in the order of their settings and
    /// seeds. What a calibration once found is taken from the runs that are there.
    ///
    /// # Errors
    /// As [`cells`](Self::cells), and [`SimError::Config`] if a folder holds another run.
    pub fn outcomes(&self, experiment: &Experiment) -> Result<Vec<Outcome>, SimError> {
        let folders = self.folders()?;
        let mut wanted = experiment.runs();
        if experiment.sweep.is_none() {
            for (_, config, _) in &folders {
                let again =
                    |&seed| experiment.run(config.noise_multiplier, config.clients_per_round, seed);
                wanted.extend(experiment.seeds.iter().map(again));
            }
        }
        wanted.sort_by(in_order);
        wanted.dedup();
        let mut outcomes: Vec<Outcome> = wanted.into_iter().map(Outcome::missing).collect();
        for (path, config, status) in folders {
            cell::expect_name(&path, &config)?;
            let Some(outcome) = outcomes.iter_mut().find(|outcome| outcome.config == config) else {
                return Err(SimError::config(
                    path.display().to_string(),
                    "holds no run of the experiment in config.toml: move it out of the directory",
                ));
            };
            if status.state.is_over() {
                outcome.cell = Some(read_cell(&path, &status, Some(experiment))?);
            }
            outcome.status = Some(status);
        }
        Ok(outcomes)
    }

    /// The folders of runs that were begun.
    fn folders(&self) -> Result<Vec<(PathBuf, RunConfig, Status)>, SimError> {
        let folder = self.path.join(CELLS);
        let mut found = Vec::new();
        for entry in fs::read_dir(&folder).map_err(SimError::io(&folder))? {
            let path = entry.map_err(SimError::io(&folder))?.path();
            match cell::read_status(&path)? {
                Some(status) => found.push((path.clone(), cell::read_config(&path)?, status)),
                None => cell::expect_no_end(&path)?,
            }
        }
        Ok(found)
    }
}

/// A run that is over, held against the experiment that it is part of.
fn read_cell(
    path: &Path,
    status: &Status,
    experiment: Option<&Experiment>,
) -> Result<Cell, SimError> {
    let cell = Cell::read(path, status)?;
    if let Some(experiment) = experiment {
        agree::with_experiment(experiment, &path.join(PRIVACY), &cell.config, &cell.privacy)?;
    }
    Ok(cell)
}

/// Runs by clients a round, noise multiplier and seed.
fn in_order(a: &RunConfig, b: &RunConfig) -> std::cmp::Ordering {
    (a.clients_per_round.total_cmp(&b.clients_per_round))
        .then(a.noise_multiplier.get().total_cmp(&b.noise_multiplier.get()))
        .then(a.seed.cmp(&b.seed))
}

/// The folder name of a run: its setting and seed.
#[must_use]
pub fn cell_name(config: &RunConfig) -> String {
    format!("z{}-m{}-s{}", config.noise_multiplier, config.clients_per_round, config.seed.0)
}

/// The names in a folder; none if it is not there.
fn contents(path: &Path) -> Result<Vec<String>, SimError> {
    match fs::read_dir(path) {
        Ok(entries) => entries
            .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()))
            .collect::<Result<_, _>>()
            .map_err(SimError::io(path)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => {
            Err(exists(path, "exists and is not a folder: name another"))
        }
        Err(error) => Err(SimError::io(path)(error)),
    }
}

/// Writes rows as CSV, whole or not at all.
///
/// # Errors
/// [`SimError::Io`] if the file cannot be written.
pub fn write_csv(path: &Path, rows: &[impl Serialize]) -> Result<(), SimError> {
    durable::replace(path, &to_csv(path, rows)?)
}

/// Rows as CSV, for the file at `path`.
///
/// # Errors
/// [`SimError::Io`] if they have no such form.
pub fn to_csv(path: &Path, rows: &[impl Serialize]) -> Result<Vec<u8>, SimError> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer.serialize(row).map_err(|error| invalid(path, error))?;
    }
    writer.into_inner().map_err(|error| invalid(path, error))
}

/// The rows of a CSV file, by the names of its columns.
///
/// # Errors
/// [`SimError::Config`] if it is none.
pub fn read_csv(path: &Path) -> Result<Vec<BTreeMap<String, String>>, SimError> {
    csv::Reader::from_path(path)
        .and_then(|mut reader| reader.deserialize().collect())
        .map_err(|error| damaged(path, &error))
}

/// The contents of a file; none if it is not there.
///
/// # Errors
/// [`SimError::Io`] if it cannot be read.
pub fn read_file(path: &Path) -> Result<Option<Vec<u8>>, SimError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(SimError::io(path)(error)),
    }
}

fn to_toml(value: &impl Serialize, path: &Path) -> Result<String, SimError> {
    toml::to_string_pretty(value).map_err(|error| invalid(path, error))
}

fn to_json(value: &impl Serialize, path: &Path) -> Result<String, SimError> {
    serde_json::to_string_pretty(value)
        .map(|text| text + "\n")
        .map_err(|error| invalid(path, error))
}

fn read_text(path: &Path) -> Result<String, SimError> {
    fs::read_to_string(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::InvalidData => damaged(path, &"it is not text"),
        std::io::ErrorKind::NotFound => lacking(path, "it is gone"),
        std::io::ErrorKind::IsADirectory => lacking(path, "a folder lies where a file should"),
        _ => SimError::io(path)(error),
    })
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, SimError> {
    serde_json::from_str(&read_text(path)?).map_err(|error| match (error.line(), error.column()) {
        (1, 0) => damaged(path, &"it is empty"),
        (line, column) => damaged(path, &format_args!("line {line}, column {column} is not")),
    })
}

/// A file that nobody but this program writes, and that it did not write like this.
fn damaged(path: &Path, how: &dyn std::fmt::Display) -> SimError {
    let message = format!("not as it was written ({how}): put the file back as it was");
    SimError::config(path.display().to_string(), message)
}

/// A file of a run that is not there.
fn lacking(path: &Path, how: &str) -> SimError {
    let message = format!("{how}: put the file back as it was");
    SimError::config(path.display().to_string(), message)
}

/// A value that cannot be written in a format.
fn invalid(path: &Path, error: impl std::fmt::Display) -> SimError {
    SimError::io(path)(std::io::Error::other(error.to_string()))
}

fn exists(path: &Path, what: &str) -> SimError {
    SimError::io(path)(std::io::Error::new(std::io::ErrorKind::AlreadyExists, what))
}
