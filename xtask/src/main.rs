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

/// Prints prose to standard output, wrapped to the terminal.
pub(crate) fn tell(text: impl std::fmt::Display) -> Result<(), Failure> {
    say(wrapped(text))
}

/// Prose with its lines wrapped between words to the width of the terminal. A file or another
/// program gets it as it is: what searches for a sentence finds it whole.
pub(crate) fn wrapped(text: impl std::fmt::Display) -> String {
    let text = text.to_string();
    match console::Term::stdout().size_checked() {
        Some((_, width)) if std::io::stdout().is_terminal() => wrap(&text, width.into()),
        _ => text,
    }
}

/// Prose with no line longer than `width`, words that are longer excepted.
fn wrap(text: &str, width: usize) -> String {
    let mut lines = Vec::new();
    for paragraph in text.split('\n') {
        let (mut line, mut length) = (String::new(), 0);
        for word in paragraph.split(' ') {
            let word_length = word.chars().count();
            if length > 0 && length + 1 + word_length > width {
                lines.push(std::mem::take(&mut line));
                length = 0;
            } else if length > 0 {
                line.push(' ');
                length += 1;
            }
            line.push_str(word);
            length += word_length;
        }
        lines.push(line);
    }
    lines.join("\n")
}

/// Prints a line to standard output; a reader that went away (`| head`) ends the program quietly.
pub(crate) fn say(line: impl std::fmt::Display) -> Result<(), Failure> {
    use std::io::Write;
    writeln!(std::io::stdout().lock(), "{line}").map_err(Failure::output)
}

#[cfg(test)]
mod tests {
    use super::wrap;

    #[test]
    fn prose_is_wrapped_between_words() {
        assert_eq!(wrap("ε is the price\n\nof one run", 10), "ε is the\nprice\n\nof one run");
        assert_eq!(wrap("a word-that-is-too-long b", 6), "a\nword-that-is-too-long\nb");
        assert_eq!(wrap("", 6), "");
    }
}
