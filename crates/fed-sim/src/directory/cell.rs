//! One run's folder, as it is read.

use std::path::Path;

use dp_accounting::{Epsilon, Ledger};
use dp_agg::NoiseMode;
use serde::{Deserialize, Serialize};

use super::agree::Files;
use super::{
    CHECKPOINTS, CONFIG, EVALUATIONS, LEDGER, PRIVACY, STATUS, SUMS, cell_name, read_json,
    read_text, seal,
};
use crate::checkpoint::Checkpoints;
use crate::config::RunConfig;
use crate::error::SimError;
use crate::keys;
use crate::record::EvaluationRecord;
use crate::standing::Standing;
use crate::statement::PrivacyStatement;

/// A finished run, as read from its folder; its ledger is the one that its guarantee rests on.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// Everything that decided its numbers.
    pub config: RunConfig,
    /// Its evaluations, in order.
    pub evaluations: Vec<EvaluationRow>,
    /// Its guarantee.
    pub privacy: PrivacyStatement,
    /// What it released.
    pub ledger: Ledger,
    /// The price of that: what tables show.
    pub epsilon: Epsilon,
}

impl Cell {
    /// The run in the folder at `path`, which is over by its `status`.
    pub(super) fn read(path: &Path, status: &Status) -> Result<Self, SimError> {
        if let Err(error) = seal::check(path, status.seal.as_deref()) {
            let SimError::Altered { path: file, .. } = &error else { return Err(error) };
            // Where and how, if that can be said.
            if file.ends_with(LEDGER) {
                expect_ledger(file, &read_json(&path.join(PRIVACY))?)?;
            }
            return Err(error);
        }
        let file = path.join(EVALUATIONS);
        let evaluations: Vec<EvaluationRow> = csv::Reader::from_path(&file)
            .and_then(|mut reader| reader.deserialize().collect())
            .map_err(|error| SimError::config(file.display().to_string(), error.to_string()))?;
        let config = read_config(path)?;
        let privacy: PrivacyStatement = read_json(&path.join(PRIVACY))?;
        let ledger = expect_ledger(&path.join(LEDGER), &privacy)?;
        let altered = |message: String| SimError::Altered { path: file.clone(), message };
        match evaluations.last() {
            Some(last) if last.round == status.rounds => {}
            Some(last) => {
                return Err(altered(format!(
                    "its last evaluation is that after {} rounds, but the run is over after {}",
                    last.round, status.rounds
                )));
            }
            None => return Err(altered("it holds no evaluation, but the run is over".to_owned())),
        }
        let files = Files {
            folder: path,
            config: &config,
            status,
            privacy: &privacy,
            ledger: &ledger,
            evaluations: &evaluations,
        };
        let epsilon = files.agree()?;
        let evaluations = evaluations.into_iter().map(|row| row.standing(&config)).collect();
        Ok(Self { config, evaluations, privacy, ledger, epsilon })
    }
}

/// Refuses the folder of a run that is over if it lacks something that the run ended with; nothing
/// is asked of a run that is not over, or of a folder that holds none.
///
/// # Errors
/// [`SimError`] naming the file.
pub fn expect_whole(folder: &Path) -> Result<(), SimError> {
    match read_status(folder)? {
        Some(status) if status.state.is_over() => Cell::read(folder, &status).map(|_| ()),
        Some(_) => Ok(()),
        None => expect_no_end(folder),
    }
}

/// Refuses a folder that has lost its status, though its run was over.
pub(super) fn expect_no_end(folder: &Path) -> Result<(), SimError> {
    if folder.join(SUMS).exists() || folder.join(PRIVACY).exists() {
        let message = "it is gone, but the run in its folder was over".to_owned();
        return Err(SimError::Altered { path: folder.join(STATUS), message });
    }
    Ok(())
}

/// Refuses a guarantee whose ledger is gone, or is not the one that it was computed from.
fn expect_ledger(path: &Path, privacy: &PrivacyStatement) -> Result<Ledger, SimError> {
    let text = if path.exists() { read_text(path)? } else { String::new() };
    let (ledger, chain) = Ledger::from_json_lines(&text)
        .map_err(|source| SimError::Ledger { path: path.to_owned(), source })?;
    if ledger.len() < privacy.rounds {
        let (found, needed) = (ledger.len(), privacy.rounds);
        return Err(SimError::LedgerShort { path: path.to_owned(), found, needed });
    }
    if !chain.is_empty() && chain.run() != privacy.run_number {
        let message = "it is not of the run that the guarantee beside it speaks of".to_owned();
        return Err(SimError::Altered { path: path.to_owned(), message });
    }
    if chain.head() != privacy.ledger_head {
        let message = "it does not end where the guarantee beside it says that it does".to_owned();
        return Err(SimError::Altered { path: path.to_owned(), message });
    }
    Ok(ledger)
}

/// Refuses a folder of a run directory that does not bear the name of the run in it, such as the
/// copy of another: it would be counted as a run of its own.
///
/// # Errors
/// [`SimError::Config`] naming both.
pub fn expect_name(folder: &Path, config: &RunConfig) -> Result<(), SimError> {
    let expected = cell_name(config);
    if folder.file_name().is_some_and(|name| name == &*expected) {
        return Ok(());
    }
    Err(SimError::config(
        folder.display().to_string(),
        format!(
            "holds the run {expected}, and must bear its name: rename it, or, if it is a copy, \
             move it out of the directory"
        ),
    ))
}

/// The configuration in a run's folder.
pub(super) fn read_config(folder: &Path) -> Result<RunConfig, SimError> {
    let file = folder.join(CONFIG);
    toml::from_str(&read_text(&file)?)
        .map_err(|error| SimError::config(file.display().to_string(), error.to_string()))
}

/// The version of the random keys that the run in a folder was begun with: what its statement says,
/// else its newest checkpoint. Where neither can be read the run has released nothing, or is refused
/// by whoever opens it.
#[must_use]
pub fn keys_of(folder: &Path) -> u32 {
    let statement: Option<PrivacyStatement> = read_json(&folder.join(PRIVACY)).ok();
    let newest = || Checkpoints::new(folder.join(CHECKPOINTS)).newest().ok().flatten();
    statement
        .map(|statement| statement.keys)
        .or_else(|| newest().map(|(checkpoint, _)| checkpoint.header.keys))
        .unwrap_or(keys::VERSION)
}

/// How a run stands: `status.json` in its folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Status {
    /// Digest of the run's configuration.
    pub run: String,
    /// Whether it is over, and how.
    pub state: State,
    /// Rounds finished when this was written.
    pub rounds: u32,
    /// Why it is not finished, if it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// SHA-256 of the list of the digests of its files, where it is over; none in a run that an
    /// older version finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seal: Option<String>,
}

/// Whether a run is over, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is being trained, or the process that trained it came to a sudden end.
    Running,
    /// Somebody asked it to stop.
    Interrupted,
    /// It cannot go on as it is.
    Failed,
    /// Training diverged: all rounds are done, but the model is of no use.
    Diverged,
    /// The privacy budget has no room for another round: the model so far is kept.
    BudgetSpent,
    /// All rounds are done.
    Finished,
}

impl State {
    /// Whether the folder holds a model with its guarantee.
    #[must_use]
    pub fn is_over(self) -> bool {
        matches!(self, Self::BudgetSpent | Self::Finished)
    }
}

/// The status in a run's folder; `None`: it was not even begun.
pub(super) fn read_status(folder: &Path) -> Result<Option<Status>, SimError> {
    let file = folder.join(STATUS);
    if file.exists() { read_json(&file).map(Some) } else { Ok(None) }
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
    /// Where the noise came from; none where a row was written before this was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noise: Option<NoiseMode>,
    /// What ε stands for; none where a row was written before this was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epsilon_is: Option<Standing>,
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
            noise: None,
            epsilon_is: None,
        }
        .standing(config)
    }

    /// The same, saying what its ε stands for.
    #[must_use]
    pub(super) fn standing(self, config: &RunConfig) -> Self {
        Self { noise: Some(config.noise), epsilon_is: Some(Standing::of(config)), ..self }
    }

    /// The same as rows were before they said what their ε stands for.
    #[must_use]
    pub(super) fn without_standing(self) -> Self {
        Self { noise: None, epsilon_is: None, ..self }
    }
}
