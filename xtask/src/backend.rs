//! `--backend`: a name into a learner, and a build without it into one that has it.
//!
//! Everyday commands are built without a GPU stack. Asked for a back end that is not in this
//! binary, the program has cargo build the variant that has it (a folder of its own below
//! `target/`, so nothing is built twice) and runs that in its place.

use std::io::IsTerminal;
use std::num::NonZeroUsize;
use std::process::Command;

use fed_model::{Backend, Learner, MlpSpec};

use crate::failure::Failure;
use crate::jobs::Jobs;
use crate::numbers::{MOST_THREADS, whole};
use crate::screen::talk;

/// A number of threads, or of runs side by side.
pub(crate) fn threads(text: &str) -> Result<NonZeroUsize, String> {
    whole(1, MOST_THREADS)(text).map(|number| NonZeroUsize::new(number).expect("at least 1"))
}

/// Where and how a command trains.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct BackendArgs {
    /// What trains: cpu, flex, ndarray or wgpu
    #[arg(long, default_value = "cpu", value_name = "NAME")]
    pub(crate) backend: Backend,
    /// Worker threads; results do not depend on it [default: one per core]
    #[arg(long, value_name = "N", value_parser = threads, allow_negative_numbers = true)]
    pub(crate) threads: Option<NonZeroUsize>,
}

impl BackendArgs {
    /// The learner that these arguments ask for.
    pub(crate) fn open(&self, spec: &MlpSpec) -> Result<Box<dyn Learner>, Failure> {
        Ok(fed_model::open(self.backend, spec, self.threads())?)
    }

    /// How many of `runs` runs to train at once: `wanted`, or what suits the back end.
    pub(crate) fn jobs(&self, runs: usize, wanted: Option<NonZeroUsize>) -> Jobs {
        let wanted = match self.backend {
            // A graphics card takes its parallelism from the cohort.
            Backend::Wgpu => wanted.or(Some(NonZeroUsize::MIN)),
            _ => wanted,
        };
        Jobs::new(runs, self.threads(), wanted)
    }

    fn threads(&self) -> NonZeroUsize {
        self.threads
            .unwrap_or_else(|| std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN))
    }

    /// Runs this very command in a build that has the back end, if this one does not.
    ///
    /// Returns without doing anything where the back end is there.
    pub(crate) fn hand_over_if_missing(&self) -> Result<(), Failure> {
        if self.backend.is_compiled_in() {
            return Ok(());
        }
        if std::env::var_os(HANDED_OVER).is_some() {
            return Err(Failure::failed(format_args!(
                "the build for --backend {} does not have it",
                self.backend
            )));
        }
        let (feature, minutes) = match self.backend {
            Backend::Wgpu => ("wgpu", "about 15 minutes on two cores"),
            _ => ("burn", "about 4 minutes on two cores"),
        };
        if std::io::stderr().is_terminal() {
            talk(format_args!(
                "building the variant with --backend {}: the first time takes {minutes}",
                self.backend
            ));
        }
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command
            .args(["run", "--profile", "backends", "--package", "xtask", "--features", feature])
            .arg("--manifest-path")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
            .arg("--")
            .args(std::env::args_os().skip(1))
            .env(HANDED_OVER, "1");
        instead(&mut command).map_err(|error| {
            Failure::failed(format_args!(
                "--backend {} is not in this build and cargo could not be started: {error}",
                self.backend
            ))
        })?
    }
}

/// Runs a command in place of this process, so that signals reach it and its exit code is ours.
#[cfg(unix)]
fn instead(command: &mut Command) -> std::io::Result<Result<(), Failure>> {
    use std::os::unix::process::CommandExt;
    Err(command.exec())
}

/// Runs a command and gives its exit code.
#[cfg(not(unix))]
fn instead(command: &mut Command) -> std::io::Result<Result<(), Failure>> {
    Ok(match command.status()?.code() {
        Some(0) => std::process::exit(0),
        Some(code) => Err(Failure::ended(u8::try_from(code).unwrap_or(1))),
        None => Err(Failure::ended(130)),
    })
}

/// Set for the process that was started in our place, so that it never starts another.
const HANDED_OVER: &str = "FED_DP_BACKEND_BUILD";
