//! What went wrong, as text for a person and an exit code for a script.

use std::process::ExitCode;

use fed_data::DataError;
use fed_model::LearnError;
use fed_sim::SimError;

/// Why a command did not do what it was asked to.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    /// A retry may help: a full disk, a network that went away.
    pub(crate) fn failed(message: impl std::fmt::Display) -> Self {
        Self { code: 1, message: message.to_string() }
    }

    /// The command line cannot be followed.
    pub(crate) fn usage(message: impl std::fmt::Display) -> Self {
        Self { code: 2, message: message.to_string() }
    }

    /// A configuration or data that cannot be used.
    pub(crate) fn bad_input(message: impl std::fmt::Display) -> Self {
        Self { code: 3, message: message.to_string() }
    }

    /// Training ran into values that are not finite.
    pub(crate) fn diverged(message: impl std::fmt::Display) -> Self {
        Self { code: 5, message: message.to_string() }
    }

    /// Somebody asked to stop.
    pub(crate) fn interrupted(message: impl std::fmt::Display) -> Self {
        Self { code: 130, message: message.to_string() }
    }

    /// Whoever read the output went away: not worth a word, as other tools do.
    pub(crate) fn output(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            Self { code: 141, message: String::new() }
        } else {
            Self::failed(format_args!("cannot write to standard output: {error}"))
        }
    }

    /// Another process was started in our place and ended with this code.
    pub(crate) fn ended(code: u8) -> Self {
        Self { code, message: String::new() }
    }

    /// Says what happened on standard error; the exit code.
    #[expect(clippy::print_stderr, reason = "errors are talk: they go to standard error")]
    pub(crate) fn report(self) -> ExitCode {
        if !self.message.is_empty() {
            eprintln!("error: {}", self.message);
        }
        ExitCode::from(self.code)
    }
}

/// An error with everything that led to it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

impl From<SimError> for Failure {
    fn from(error: SimError) -> Self {
        let code = match &error {
            SimError::Config { .. }
            | SimError::Cohort { .. }
            | SimError::Aggregation(_)
            | SimError::Accounting(_)
            | SimError::Unreachable(_) => 3,
            SimError::Io { source, .. }
                if matches!(
                    source.kind(),
                    std::io::ErrorKind::NotFound
                        | std::io::ErrorKind::AlreadyExists
                        | std::io::ErrorKind::IsADirectory
                        | std::io::ErrorKind::NotADirectory
                ) =>
            {
                3
            }
            SimError::Interrupted { .. } => 130,
            _ => 1,
        };
        Self { code, message: chain(&error) }
    }
}

impl From<LearnError> for Failure {
    fn from(error: LearnError) -> Self {
        Self { code: 3, message: chain(&error) }
    }
}

impl From<DataError> for Failure {
    fn from(error: DataError) -> Self {
        let code = if error.is_retryable() { 1 } else { 3 };
        Self { code, message: chain(&error) }
    }
}
