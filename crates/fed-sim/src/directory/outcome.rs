//! What became of a run that an experiment asks for.

use super::cell::{Cell, State, Status};
use crate::config::RunConfig;

/// A run of an experiment, and how far it has come.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// What was asked for.
    pub config: RunConfig,
    /// How it stands; none if it was not begun.
    pub status: Option<Status>,
    /// What it left, if it is over and its model is of use.
    pub cell: Option<Cell>,
}

impl Outcome {
    /// A run that was not begun.
    pub(super) fn missing(config: RunConfig) -> Self {
        Self { config, status: None, cell: None }
    }

    /// How it stands, in a word or two: `finished`, `budget spent`, `diverged`, `failed`,
    /// `unfinished` or `missing`.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self.status.as_ref().map(|status| status.state) {
            None => "missing",
            Some(State::Finished) => "finished",
            Some(State::BudgetSpent) => "budget spent",
            Some(State::Diverged) => "diverged",
            Some(State::Failed) => "failed",
            Some(State::Running | State::Interrupted) => "unfinished",
        }
    }
}
