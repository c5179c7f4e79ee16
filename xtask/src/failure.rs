//! What went wrong, as text for a person and an exit code for a script.

use std::io::ErrorKind;
use std::path::Path;
use std::process::ExitCode;

use fed_data::DataError;
use fed_model::LearnError;
use fed_sim::SimError;

use crate::plot::PlotError;
use crate::{interrupt, screen};

/// Why a command did not do what it was asked to.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    message: String,
    /// It is about one run alone.
    one_run: bool,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl Failure {
    /// A retry may help: a full disk, a network that went away.
    pub(crate) fn failed(message: impl std::fmt::Display) -> Self {
        Self { code: 1, message: message.to_string(), one_run: false }
    }

    /// The command line cannot be followed.
    pub(crate) fn usage(message: impl std::fmt::Display) -> Self {
        Self { code: 2, message: message.to_string(), one_run: false }
    }

    /// A configuration or data that cannot be used.
    pub(crate) fn bad_input(message: impl std::fmt::Display) -> Self {
        Self { code: 3, message: message.to_string(), one_run: false }
    }

    /// A run failed when it was tried before, and was not tried again.
    pub(crate) fn before(message: String, diverged: bool) -> Self {
        let (code, how) = if diverged { (5, "diverged") } else { (1, "failed") };
        Self { code, message: format!("{how} before: {message}"), one_run: true }
    }

    /// Whether this is about one run alone, so that others can still be trained.
    pub(crate) fn is_of_run(error: &SimError) -> bool {
        matches!(error, SimError::Learn { .. } | SimError::Accounting(_) | SimError::Budget { .. })
    }

    /// As [`is_of_run`](Self::is_of_run), afterwards.
    pub(crate) fn is_of_one_run(&self) -> bool {
        self.one_run
    }

    /// Whether somebody asked to stop.
    pub(crate) fn is_interruption(&self) -> bool {
        self.code == 130
    }

    /// The same with another text.
    pub(crate) fn with_message(&self, message: String) -> Self {
        Self { code: self.code, message, one_run: self.one_run }
    }

    /// The same, saying how to go on after an interruption or for lack of room.
    pub(crate) fn resumable(self, directory: &Path) -> Self {
        let why = match self.code {
            1 | 130 if !self.message.is_empty() => &*self.message,
            141 => "stopped, for nobody reads the output any more",
            _ => return self,
        };
        let message = format!("{why}\ngo on with: --resume {}", directory.display());
        self.with_message(message)
    }

    /// The same, saying how to try again.
    pub(crate) fn retryable(self, directory: &Path) -> Self {
        let how = match self.code {
            4 => "go on with a larger --max-epsilon and",
            _ => "try again with --retry-failed",
        };
        let message = format!("{}\n{how} --resume {}", self.message, directory.display());
        self.with_message(message)
    }

    /// Training ran into values that are not finite.
    pub(crate) fn diverged(message: impl std::fmt::Display) -> Self {
        Self { code: 5, message: message.to_string(), one_run: true }
    }

    /// An audit refutes the guarantee of a run.
    pub(crate) fn refuted(message: impl std::fmt::Display) -> Self {
        Self { code: 6, message: message.to_string(), one_run: false }
    }

    /// Whoever read the output went away: not worth a word, as other tools do.
    pub(crate) fn output(error: std::io::Error) -> Self {
        if error.kind() == ErrorKind::BrokenPipe {
            Self { code: 141, message: String::new(), one_run: false }
        } else {
            Self::failed(format_args!("cannot write to standard output: {error}"))
        }
    }

    /// Another process was started in our place and ended with this code.
    #[cfg(not(unix))]
    pub(crate) fn ended(code: u8) -> Self {
        Self { code, message: String::new(), one_run: false }
    }

    /// Says what happened on standard error; the exit code.
    pub(crate) fn report(self) -> ExitCode {
        if interrupt::is_leaving() {
            // What fails because the program is being left is not worth a word.
            loop {
                std::thread::park();
            }
        }
        if !self.message.is_empty() {
            screen::talk(format_args!("error: {}", self.message));
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
        let error = match error {
            SimError::Data(error) => return error.into(),
            error => error,
        };
        let code = match &error {
            SimError::Config { .. }
            | SimError::Cohort { .. }
            | SimError::Aggregation(_)
            | SimError::Accounting(_)
            | SimError::Altered { .. }
            | SimError::Ledger { .. }
            | SimError::LedgerShort { .. }
            | SimError::CheckpointVersion { .. }
            | SimError::NoCheckpoint { .. }
            | SimError::Unreachable(_) => 3,
            SimError::Budget { .. } => 4,
            SimError::Io { source, .. }
                if matches!(
                    source.kind(),
                    ErrorKind::NotFound
                        | ErrorKind::AlreadyExists
                        | ErrorKind::IsADirectory
                        | ErrorKind::NotADirectory
                ) =>
            {
                3
            }
            SimError::Interrupted { .. } => 130,
            _ => 1,
        };
        let mut message = chain(&error);
        if let SimError::Io { source, .. } = &error {
            message.push_str(advice(source.kind()));
        }
        Self { code, message, one_run: Self::is_of_run(&error) }
    }
}

/// What to do about a disk that refuses.
fn advice(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            ": make room; nothing that was saved is lost"
        }
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            ": make it writable, or name a folder that is"
        }
        _ => "",
    }
}

impl From<PlotError> for Failure {
    fn from(error: PlotError) -> Self {
        match error {
            PlotError::Write(error) => error.into(),
            other => Self::failed(other),
        }
    }
}

impl From<LearnError> for Failure {
    fn from(error: LearnError) -> Self {
        Self { code: 3, message: chain(&error), one_run: false }
    }
}

impl From<DataError> for Failure {
    fn from(error: DataError) -> Self {
        let code = if error.is_retryable() { 1 } else { 3 };
        // What ends a line in it is part of a name in a file.
        Self { code, message: chain(&error).replace('\n', "\\n"), one_run: false }
    }
}
