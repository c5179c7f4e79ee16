//! Why an experiment could not be read, planned or run.

use std::path::PathBuf;

use dp_accounting::AccountingError;
use fed_model::LearnError;

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

    /// For `map_err` on file operations.
    pub fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}
