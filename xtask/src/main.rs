//! `cargo xtask`: the command line of fed-dp.
//!
//! Data go to standard output, talk goes to standard error. Exit codes: 0 done; 1 failed, a retry
//! may help; 2 usage; 3 bad configuration or data; 4 the privacy budget would be exceeded;
//! 5 training diverged; 6 an audit refutes the guarantee; 130 interrupted.

mod backend;
mod commands;
mod failure;
mod interrupt;
mod jobs;
mod plot;
mod progress;
mod provenance;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use failure::Failure;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// User-level differentially private federated learning: sweeps, calibration, the final private
/// model, and the data they need.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Train every setting of a grid and compare them: table, figures, records
    Sweep(commands::sweep::Args),
    Account(commands::account::Args),
    /// Find the clients per round that meet a privacy target
    Calibrate(commands::calibrate::Args),
    /// Calibrate, train the private model, and state its guarantee in full
    Final(commands::final_run::Args),
    /// Write the table and the figures of a finished run again
    Report(commands::report::Args),
    /// Measure how fast rounds and evaluations are
    Bench(commands::bench::Args),
    /// Fetch, import and look at client data
    #[command(subcommand)]
    Data(commands::data::Command),
}

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::builder()
                .with_default_directive(tracing::level_filters::LevelFilter::WARN.into())
                .from_env_lossy(),
        )
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .without_time()
        .with_target(false)
        .init();
    let outcome = match Cli::parse().command {
        Command::Sweep(args) => commands::sweep::run(&args),
        Command::Account(args) => commands::account::run(&args),
        Command::Calibrate(args) => commands::calibrate::run(&args),
        Command::Final(args) => commands::final_run::run(&args),
        Command::Report(args) => commands::report::run(&args),
        Command::Bench(args) => commands::bench::run(&args),
        Command::Data(command) => commands::data::run(&command),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// Prints a line to standard output; a reader that went away (`| head`) ends the program quietly.
pub(crate) fn say(line: impl std::fmt::Display) -> Result<(), Failure> {
    use std::io::Write;
    writeln!(std::io::stdout().lock(), "{line}").map_err(Failure::output)
}
