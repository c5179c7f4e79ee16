//! Why an experiment could not be read, planned or run.

use std::path::PathBuf;

use dp_accounting::{AccountingError, Epsilon};
use dp_agg::NoiseMode;
use fed_model::LearnError;

use crate::standing::Standing;

/// What whoever thinks of starting anew should know: nothing that was released is taken back.
const AGAIN: &str = "A run that is started anew, here or elsewhere, is another release on the same \
    clients: its price comes on top of what this one has cost";

/// Why an experiment could not be read, planned or run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SimError {
    /// A configuration that cannot be read, or that asks for something impossible.
    #[error("{place}: {message}")]
    Config {
        /// Which file, or which setting.
        place: String,
        /// What is wrong, where, and what to do about it.
        message: String,
    },
    /// A cohort that cannot be drawn.
    #[error(
        "cannot draw {clients_per_round} clients per round from a population of {population}: {reason}"
    )]
    Cohort {
        /// Clients per round that were asked for.
        clients_per_round: f64,
        /// Clients there are.
        population: usize,
        /// What is wrong.
        reason: &'static str,
    },
    /// The aggregator refused its settings.
    #[error("aggregation: {0}")]
    Aggregation(#[from] dp_agg::AggregateError),
    /// The learner failed in a round.
    #[error("round {round}: {source}")]
    Learn {
        /// The round, from 0.
        round: u32,
        /// What the learner said.
        #[source]
        source: LearnError,
    },
    /// The data are not what they were when they were opened.
    #[error(transparent)]
    Data(#[from] fed_data::DataError),
    /// The accountant has no answer.
    #[error("privacy accounting: {0}")]
    Accounting(#[from] AccountingError),
    /// The target cannot be met at any number of clients.
    #[error("{0}")]
    Unreachable(String),
    /// A record could not be written or read.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A record is not what a checkpoint says it was.
    #[error(
        "{path}: {message}. Put the file back as it was. {AGAIN}",
        path = path.display()
    )]
    Altered {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// The chain of a ledger is broken.
    #[error(
        "{path}: {source}. ε cannot be stated without it: put the file back as it was. {AGAIN}",
        path = path.display()
    )]
    Ledger {
        /// The ledger.
        path: PathBuf,
        /// Where and how.
        #[source]
        source: dp_accounting::ledger::LineError,
    },
    /// A ledger knows fewer rounds than the model has seen.
    #[error(
        "{path}: lines are missing: it has {found}, but the model was paid for with {needed}. Put \
         the file back as it was. {AGAIN}",
        path = path.display()
    )]
    LedgerShort {
        /// The ledger.
        path: PathBuf,
        /// Lines there are.
        found: u64,
        /// Lines there were.
        needed: u64,
    },
    /// A checkpoint was written by another version of the format.
    #[error(
        "{path} was written in version {found} of the checkpoint format, but this program reads \
         versions up to {readable}: resume with the program that wrote it",
        path = path.display()
    )]
    CheckpointVersion {
        /// The checkpoint.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The newest version that can be read.
        readable: u32,
    },
    /// No checkpoint of a run can be read.
    #[error(
        "{path}: no checkpoint can be read ({reasons}); copy one back. {AGAIN}",
        path = path.display()
    )]
    NoCheckpoint {
        /// The folder of the checkpoints.
        path: PathBuf,
        /// What is wrong with each.
        reasons: String,
    },
    /// Another process writes to the same directory.
    #[error(
        "{path} is in use by another process{holder}: wait until it is done, or stop it",
        path = path.display()
    )]
    Locked {
        /// The directory.
        path: PathBuf,
        /// Which process, where it said so.
        holder: String,
    },
    /// The next round would cost more than the budget allows; it was not begun.
    #[error(
        "the privacy budget is spent: after {rounds} rounds {name} = {spent:.6}, and another round \
         would make it {next:.6}, more than {most}",
        name = standing.call("ε")
    )]
    Budget {
        /// Rounds finished.
        rounds: u32,
        /// What ε stands for.
        standing: Standing,
        /// ε so far.
        spent: Epsilon,
        /// ε after another round.
        next: Epsilon,
        /// The budget.
        most: Epsilon,
    },
    /// Somebody asked the run to stop; everything so far is on disk.
    #[error("interrupted after {rounds} rounds")]
    Interrupted {
        /// Rounds finished.
        rounds: u32,
    },
}

impl SimError {
    /// A configuration error at `place`.
    pub fn config(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Config { place: place.into(), message: message.into() }
    }

    /// The message that a run's record may hold. That of a release leaves out what a client's data
    /// may have decided: which client it was, what was wrong with it.
    #[must_use]
    pub fn for_record(&self, noise: NoiseMode) -> String {
        match self {
            Self::Learn { round, .. } if noise == NoiseMode::Release => format!(
                "round {round}: training failed; why is not written down, for it may tell of a \
                 client's data"
            ),
            Self::Aggregation(_) if noise == NoiseMode::Release => {
                "aggregation failed; why is not written down, for it may tell of the clients' data"
                    .to_owned()
            }
            _ => self.to_string(),
        }
    }

    /// For `map_err` on file operations.
    pub fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}
