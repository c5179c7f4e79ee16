//! A run is a directory of plain files, readable without us.
//!
//! ```text
//! config.toml          the experiment, every default spelt out
//! provenance.json      version, machine, data: whatever the caller knows
//! evaluations.csv      one line an evaluation, all runs
//! summary.md, .csv     one line a setting
//! figures/             pictures of the above
//! cells/z0.5-m50-s1/   one run:
//!   config.toml          everything that decides its numbers
//!   metrics.jsonl        a line a round: what a server could release, what a simulation knows
//!   evaluations.csv      its evaluations
//!   timing.jsonl         seconds a round, by phase (the only file that two equal runs differ in)
//!   ledger.jsonl         what was released, in order, each line chained to the one before
//!   privacy.json         the guarantee
//!   model.safetensors    the final weights
//! ```

use std::fs;
use std::path::{Path, PathBuf};

use dp_accounting::ledger::Chain;
use fed_model::MlpSpec;
use serde::{Deserialize, Serialize};

use crate::config::{Experiment, RunConfig};
use crate::error::SimError;
use crate::record::{EvaluationRecord, JsonLines, Observer, PhaseTimes, RoundRecord};
use crate::simulation::Simulation;
use crate::statement::PrivacyStatement;
use crate::weights;

/// The directory of an experiment's runs.
#[derive(Clone, Debug)]
pub struct RunDirectory {
    path: PathBuf,
}

impl RunDirectory {
    /// A new directory. Nothing is ever overwritten.
    ///
    /// # Errors
    /// [`SimError::Io`] if `path` exists and is not an empty folder, or cannot be made.
    pub fn create(path: impl Into<PathBuf>) -> Result<Self, SimError> {
        let path = path.into();
        match fs::read_dir(&path) {
            Ok(mut entries) => {
                if entries.next().is_some() {
                    return Err(exists(&path, "exists and is not empty: name another folder"));
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(_) => return Err(exists(&path, "exists and is not a folder: name another")),
        }
        let cells = path.join("cells");
        fs::create_dir_all(&cells).map_err(SimError::io(&cells))?;
        Ok(Self { path })
    }

    /// A directory that a finished or interrupted experiment left.
    ///
    /// # Errors
    /// [`SimError::Config`] if `path` is not such a directory.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, SimError> {
        let path = path.into();
        if path.join("config.toml").is_file() && path.join("cells").is_dir() {
            Ok(Self { path })
        } else {
            let message = "is not a run directory: it needs a config.toml and a folder cells/";
            Err(SimError::config(path.display().to_string(), message))
        }
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the resolved experiment.
    ///
    /// # Errors
    /// [`SimError::Io`] if it cannot be written.
    pub fn write_experiment(&self, experiment: &Experiment) -> Result<(), SimError> {
        self.write("config.toml", &to_toml(experiment, &self.path)?)
    }

    /// Reads the experiment back.
    ///
    /// # Errors
    /// [`SimError`] if it cannot be read.
    pub fn experiment(&self) -> Result<Experiment, SimError> {
        let path = self.path.join("config.toml");
        let text = fs::read_to_string(&path).map_err(SimError::io(&path))?;
        Experiment::parse(&text, &path.display().to_string())
    }

    /// Writes a file of the directory; folders on the way are made.
    ///
    /// # Errors
    /// [`SimError::Io`] if it cannot be written.
    pub fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> Result<(), SimError> {
        let path = self.path.join(name);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(SimError::io(folder))?;
        }
        fs::write(&path, contents).map_err(SimError::io(&path))
    }

    /// A folder of the directory, made if it is not there.
    ///
    /// # Errors
    /// [`SimError::Io`] if it cannot be made.
    pub fn folder(&self, name: &str) -> Result<PathBuf, SimError> {
        let path = self.path.join(name);
        fs::create_dir_all(&path).map_err(SimError::io(&path))?;
        Ok(path)
    }

    /// Writes a value as JSON.
    ///
    /// # Errors
    /// [`SimError::Io`] if it cannot be written.
    pub fn write_json(&self, name: &str, value: &impl Serialize) -> Result<(), SimError> {
        self.write(name, to_json(value, &self.path.join(name))?)
    }

    /// Reads a JSON file of the directory.
    ///
    /// # Errors
    /// [`SimError`] if it cannot be read.
    pub fn read_json<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<T, SimError> {
        read_json(&self.path.join(name))
    }

    /// A folder for one run.
    ///
    /// # Errors
    /// [`SimError::Io`] if it exists or cannot be made.
    pub fn start(&self, config: &RunConfig) -> Result<CellWriter, SimError> {
        let path = self.path.join("cells").join(cell_name(config));
        fs::create_dir(&path).map_err(SimError::io(&path))?;
        let file = path.join("config.toml");
        fs::write(&file, to_toml(config, &file)?).map_err(SimError::io(&file))?;
        Ok(CellWriter {
            metrics: JsonLines::create(&path.join("metrics.jsonl"))?,
            timing: JsonLines::create(&path.join("timing.jsonl"))?,
            config: config.clone(),
            path,
            evaluations: Vec::new(),
        })
    }

    /// The finished runs, in the order of their settings and seeds.
    ///
    /// # Errors
    /// [`SimError`] if a run cannot be read.
    pub fn cells(&self) -> Result<Vec<Cell>, SimError> {
        let folder = self.path.join("cells");
        let mut cells = Vec::new();
        for entry in fs::read_dir(&folder).map_err(SimError::io(&folder))? {
            let path = entry.map_err(SimError::io(&folder))?.path();
            // A run that was interrupted has no statement yet.
            if path.join("privacy.json").is_file() {
                cells.push(Cell::read(&path)?);
            }
        }
        cells.sort_by(|a, b| {
            let key =
                |cell: &Cell| (cell.config.clients_per_round, cell.config.noise_multiplier.get());
            let (a_key, b_key) = (key(a), key(b));
            a_key
                .0
                .total_cmp(&b_key.0)
                .then(a_key.1.total_cmp(&b_key.1))
                .then(a.config.seed.cmp(&b.config.seed))
        });
        Ok(cells)
    }
}

/// The folder name of a run: its setting and seed.
fn cell_name(config: &RunConfig) -> String {
    format!("z{}-m{}-s{}", config.noise_multiplier, config.clients_per_round, config.seed.0)
}

/// A finished run, as read from its folder.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// Everything that decided its numbers.
    pub config: RunConfig,
    /// Its evaluations, in order.
    pub evaluations: Vec<EvaluationRow>,
    /// Its guarantee.
    pub privacy: PrivacyStatement,
}

impl Cell {
    fn read(path: &Path) -> Result<Self, SimError> {
        let file = path.join("config.toml");
        let text = fs::read_to_string(&file).map_err(SimError::io(&file))?;
        let config: RunConfig = toml::from_str(&text)
            .map_err(|error| SimError::config(file.display().to_string(), error.to_string()))?;
        let file = path.join("evaluations.csv");
        let evaluations = csv::Reader::from_path(&file)
            .and_then(|mut reader| reader.deserialize().collect())
            .map_err(|error| SimError::config(file.display().to_string(), error.to_string()))?;
        Ok(Self { config, evaluations, privacy: read_json(&path.join("privacy.json"))? })
    }
}

/// A line of `evaluations.csv`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvaluationRow {
    /// Rounds of training before this evaluation.
    #[serde(rename = "Round")]
    pub round: u32,
    /// The run's noise multiplier.
    #[serde(rename = "NoiseMultiplier")]
    pub noise_multiplier: f64,
    /// Expected clients per round.
    pub clients_per_round: f64,
    /// The run's seed.
    pub seed: u64,
    /// Share of correct test examples.
    pub accuracy: f64,
    /// Mean cross entropy on the test examples, in nats.
    pub loss: f64,
    /// Clip norm that the next round will use.
    pub clip_norm: Option<f64>,
    /// ε spent so far; infinite without noise.
    pub epsilon: f64,
}

impl EvaluationRow {
    /// The line of one evaluation.
    #[must_use]
    pub fn new(config: &RunConfig, record: &EvaluationRecord) -> Self {
        Self {
            round: record.round,
            noise_multiplier: config.noise_multiplier.get(),
            clients_per_round: config.clients_per_round,
            seed: config.seed.0,
            accuracy: record.metrics.accuracy(),
            loss: record.metrics.loss(),
            clip_norm: record.clip_norm,
            epsilon: record.epsilon.get(),
        }
    }
}

/// Writes a run's folder while it trains.
#[derive(Debug)]
pub struct CellWriter {
    path: PathBuf,
    config: RunConfig,
    metrics: JsonLines,
    timing: JsonLines,
    evaluations: Vec<EvaluationRow>,
}

impl CellWriter {
    /// Where the run's folder lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes what is known once the run is over (or was stopped): ledger and weights, and, for a
    /// finished run, its guarantee.
    ///
    /// # Errors
    /// [`SimError::Io`] if a file cannot be written.
    pub fn finish(
        &self,
        simulation: &Simulation<'_>,
        spec: &MlpSpec,
        statement: Option<&PrivacyStatement>,
    ) -> Result<(), SimError> {
        let mut chain = Chain::new();
        let lines = simulation.ledger().entries().iter().map(|entry| chain.line(entry) + "\n");
        let file = self.path.join("ledger.jsonl");
        fs::write(&file, lines.collect::<String>()).map_err(SimError::io(&file))?;
        let file = self.path.join("model.safetensors");
        weights::save(&file, spec, simulation.params())?;
        if let Some(statement) = statement {
            let file = self.path.join("privacy.json");
            fs::write(&file, to_json(statement, &file)?).map_err(SimError::io(&file))?;
        }
        Ok(())
    }
}

impl Observer for CellWriter {
    fn round(&mut self, record: &RoundRecord, times: &PhaseTimes) -> Result<(), SimError> {
        self.metrics.append(record)?;
        self.timing.append(&Timing {
            round: record.round,
            sample: times.sample.as_secs_f64(),
            train: times.train.as_secs_f64(),
            release: times.release.as_secs_f64(),
            server: times.server.as_secs_f64(),
        })
    }

    fn evaluation(&mut self, record: &EvaluationRecord) -> Result<(), SimError> {
        self.evaluations.push(EvaluationRow::new(&self.config, record));
        write_csv(&self.path.join("evaluations.csv"), &self.evaluations)
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

/// Writes rows as CSV.
///
/// # Errors
/// [`SimError::Io`] if the file cannot be written.
pub fn write_csv(path: &Path, rows: &[impl Serialize]) -> Result<(), SimError> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer.serialize(row).map_err(|error| invalid(path, error))?;
    }
    let bytes = writer.into_inner().map_err(|error| invalid(path, error))?;
    fs::write(path, bytes).map_err(SimError::io(path))
}

fn to_toml(value: &impl Serialize, path: &Path) -> Result<String, SimError> {
    toml::to_string_pretty(value).map_err(|error| invalid(path, error))
}

fn to_json(value: &impl Serialize, path: &Path) -> Result<String, SimError> {
    serde_json::to_string_pretty(value)
        .map(|text| text + "\n")
        .map_err(|error| invalid(path, error))
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, SimError> {
    let text = fs::read_to_string(path).map_err(SimError::io(path))?;
    serde_json::from_str(&text)
        .map_err(|error| SimError::config(path.display().to_string(), error.to_string()))
}

/// A value that cannot be written in a format.
fn invalid(path: &Path, error: impl std::fmt::Display) -> SimError {
    SimError::io(path)(std::io::Error::other(error.to_string()))
}

fn exists(path: &Path, what: &str) -> SimError {
    SimError::io(path)(std::io::Error::new(std::io::ErrorKind::AlreadyExists, what))
}
