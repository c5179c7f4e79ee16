//! `cargo xtask`: the command line of fed-dp.
//!
//! Data go to standard output, talk goes to standard error. Exit codes: 0 done; 1 failed, a retry
//! may help; 2 usage; 3 bad configuration or data; 4 the privacy budget would be exceeded;
//! 5 training diverged; 6 an audit refutes the guarantee; 130 interrupted; 141 nobody reads the
//! output any more.

mod backend;
mod checked;
mod commands;
mod count;
mod failure;
mod interrupt;
mod jobs;
mod memory;
mod numbers;
mod plot;
mod progress;
mod provenance;
mod screen;

use std::process::ExitCode;

use clap::Parser;
pub(crate) use screen::{hand_over, say, tell, wrapped};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// User-level differentially private federated learning: sweeps, calibration, the final private
/// model, and the data they need.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, max_term_width = 100)]
#[command(after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed (a retry may help), 2 usage, 3 bad \
    configuration or data, 4 privacy budget spent, 5 training diverged, 6 an audit refutes the \
    guarantee, 130 interrupted, 141 nobody reads the output any more";

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
    /// Print every key that a configuration file may have: type, range, default, meaning
    Keys,
}

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::builder()
                .with_default_directive(tracing::level_filters::LevelFilter::WARN.into())
                .from_env_lossy(),
        )
        .with_writer(|| screen::Log)
        .with_ansi(screen::talk_has_colours())
        .without_time()
        .with_target(false)
        .init();
    if let Err(failure) = interrupt::listen() {
        return failure.report();
    }
    let arguments = match Cli::try_parse() {
        Ok(arguments) => arguments,
        Err(error) if error.use_stderr() => return usage(&error),
        // Help and version go to standard output.
        Err(asked_for) => asked_for.exit(),
    };
    let outcome = match arguments.command {
        Command::Sweep(args) => commands::sweep::run(&args),
        Command::Account(args) => commands::account::run(&args),
        Command::Calibrate(args) => commands::calibrate::run(&args),
        Command::Final(args) => commands::final_run::run(&args),
        Command::Report(args) => commands::report::run(&args),
        Command::Bench(args) => commands::bench::run(&args),
        Command::Data(command) => commands::data::run(&command),
        Command::Keys => hand_over(fed_sim::config::page().trim_end()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// A command line that cannot be followed, in clap's words.
fn usage(error: &clap::Error) -> ExitCode {
    let text = error.render();
    if screen::talk_has_colours() {
        screen::talk_in_colour(text.ansi().to_string().trim_end());
    } else {
        screen::talk(text.to_string().trim_end());
    }
    ExitCode::from(2)
}
