//! `cargo xtask bench`: how fast rounds and evaluations are, end to end.
//!
//! Whole rounds of the tutorial's algorithm are timed (cohort, training, noise, server step),
//! and whole evaluations, for every number of threads and clients that is asked for. The
//! machine's own peak is measured first, so that a rate can be read as a share of it. Medians
//! are reported with the fastest, and processor time beside wall time: on a machine that does
//! other work as well, the processor time is the steadier of the two.

mod compare;
mod figure;
mod measure;
mod peak;
mod table;

use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};

use fed_data::{FederatedData, Part};
use fed_model::{Backend, VectorUnit};
use fed_sim::Experiment;

use self::measure::{Bench, Measured};
use super::train::DataArgs;
use crate::backend::BackendArgs;
use crate::failure::Failure;
use crate::numbers::whole;

/// The tutorial's run, in as many rounds as are measured.
const EXPERIMENT: &str = r#"
name = "bench"
seeds = [1]
rounds = 1
delta = 1e-5
[sweep]
noise_multipliers = [0.5]
clients_per_round = [50]
"#;

/// Measure how fast rounds and evaluations are.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What trains: cpu, flex, ndarray or wgpu
    #[arg(long, default_value = "cpu", value_name = "NAME")]
    backend: Backend,
    /// Restrict the products of the back end cpu to these vectors: avx512, avx2, neon or portable
    /// [default: the widest of this machine]
    #[arg(long, value_name = "NAME")]
    vector_unit: Option<VectorUnit>,
    /// Worker threads, one measurement for each [default: 1 and one per core]
    #[arg(long, value_name = "N,..", value_delimiter = ',', value_parser = crate::backend::threads)]
    threads: Vec<NonZeroUsize>,
    /// Train up to this many clients side by side on each worker, as on a graphics card: flex,
    /// ndarray and wgpu, to compare
    #[arg(long, value_name = "N", value_parser = crate::backend::threads)]
    group: Option<NonZeroUsize>,
    /// Expected clients per round, one measurement for each
    #[arg(long, value_name = "M,..", value_delimiter = ',', default_values = ["50", "120"], value_parser = count)]
    clients: Vec<NonZeroU32>,
    /// Rounds to measure; a tenth as many (at least 2) go before them unmeasured
    #[arg(long, default_value = "40", value_name = "N", value_parser = count)]
    rounds: NonZeroU32,
    /// Evaluations of the whole test split to measure; 0: none
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = whole::<u32>(0, 1_000_000))]
    evaluations: u32,
    /// Train on this many synthetic writers, each drawn when its turn comes
    #[arg(long, value_name = "CLIENTS", conflicts_with = "data", value_parser = whole::<usize>(1, 1 << 32))]
    population: Option<usize>,
    #[command(flatten)]
    data: DataArgs,
    /// Write the measurements to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draw cost and rate against clients (two or more --clients) into this folder
    #[arg(long, value_name = "DIR")]
    figure: Option<PathBuf>,
    /// Show the measurements of an earlier --json beside these
    #[arg(long, value_name = "FILE")]
    compare: Option<PathBuf>,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    if args.vector_unit.is_some() && args.backend != Backend::Cpu {
        return Err(Failure::usage("--vector-unit is for the back end cpu"));
    }
    BackendArgs { backend: args.backend, threads: None }.hand_over_if_missing()?;
    // Whatever can be refused is refused before the minutes of measuring.
    let earlier = args.compare.as_deref().map(read).transpose()?;
    if let Some(path) = args.json.as_deref().filter(|path| path.exists()) {
        return Err(Failure::bad_input(format_args!(
            "{} exists already; name a new file for --json",
            path.display()
        )));
    }
    if args.figure.is_some() && args.clients.len() < 2 {
        return Err(Failure::usage("--figure draws lines: name two or more --clients"));
    }
    let mut experiment = Experiment::parse(EXPERIMENT, "the built-in experiment of bench")?;

    let opening = std::time::Instant::now();
    let dataset = args.data.open(&mut experiment)?;
    let opened = opening.elapsed();
    let drawn = match args.population {
        Some(clients) => {
            let writers = fed_data::SyntheticWriters { clients, ..experiment.data.synthetic };
            Some(writers.population(Part::Train)?)
        }
        None => None,
    };
    let population: &dyn FederatedData =
        drawn.as_ref().map_or(&dataset.train as &dyn FederatedData, |drawn| drawn);
    let bench = Bench {
        backend: args.backend,
        unit: args.vector_unit.unwrap_or_else(VectorUnit::best),
        group: args.group,
        threads: threads(args),
        clients: args.clients.clone(),
        rounds: args.rounds,
        evaluations: args.evaluations,
        experiment: &experiment,
        population,
        test: dataset.test.all_examples(),
        data: dataset.source.to_string(),
        opened,
    };
    let measured = bench.run()?;
    if let Some(path) = &args.json {
        write(path, &measured)?;
    }
    if let Some(folder) = &args.figure {
        figure::write(&measured, folder)?;
    }
    match &earlier {
        None => table::print(&measured),
        Some(earlier) => {
            table::print(&measured)?;
            compare::print(earlier, &measured)
        }
    }
}

/// A number of clients or rounds.
fn count(text: &str) -> Result<NonZeroU32, String> {
    whole::<u32>(1, 1_000_000_000)(text).map(|number| NonZeroU32::new(number).expect("at least 1"))
}

/// The numbers of threads to measure with. A graphics card has one.
fn threads(args: &Args) -> Vec<NonZeroUsize> {
    if args.backend == Backend::Wgpu {
        return vec![NonZeroUsize::MIN];
    }
    let mut threads = args.threads.clone();
    if threads.is_empty() {
        threads.push(NonZeroUsize::MIN);
        threads.extend(std::thread::available_parallelism());
    }
    threads.sort_unstable();
    threads.dedup();
    threads
}

/// An earlier measurement.
fn read(path: &Path) -> Result<Measured, Failure> {
    let place = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::bad_input(format_args!("cannot read {place}: {error}")))?;
    serde_json::from_str(&text).map_err(|error| {
        Failure::bad_input(format_args!(
            "{place} was not written by `cargo xtask bench --json` of this version: {error}"
        ))
    })
}

fn write(path: &Path, measured: &Measured) -> Result<(), Failure> {
    let mut text = serde_json::to_string_pretty(measured).map_err(Failure::failed)?;
    text.push('\n');
    Ok(fed_sim::durable::replace(path, text.as_bytes())?)
}
