//! `cargo xtask report`: the table and the figures of a run, from its records.

use std::path::PathBuf;

use fed_data::Source;
use fed_sim::directory::{RunDirectory, write_csv};
use fed_sim::summary::{self, Curve};

use crate::failure::Failure;
use crate::plot::{Figure, Series};
use crate::say;

/// Write the table and the figures of a finished run again.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The run's directory
    directory: PathBuf,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    write(&RunDirectory::open(&args.directory)?)
}

/// The part of `provenance.json` that figures show.
#[derive(serde::Deserialize)]
struct Provenance {
    data: Source,
}

/// Writes and prints the summary of a run directory.
pub(crate) fn write(directory: &RunDirectory) -> Result<(), Failure> {
    let cells = directory.cells()?;
    if cells.is_empty() {
        return Err(Failure::bad_input(format_args!(
            "{} holds no finished run",
            directory.path().display()
        )));
    }
    let experiment = directory.experiment()?;
    let provenance: Provenance = directory.read_json("provenance.json")?;
    let rows = summary::rows(&cells);
    let table = summary::markdown(&rows);
    let data = &provenance.data;
    let seeds = rows.iter().map(|row| row.seeds).max().unwrap_or(1);
    let caption = format!(
        "After {} rounds on {data}; δ = {:e}; {}.",
        experiment.rounds,
        experiment.delta.get(),
        if seeds > 1 {
            format!("mean ± standard deviation over {seeds} seeds")
        } else {
            "one seed".to_owned()
        }
    );
    directory.write("summary.md", format!("{table}\n{caption}\n"))?;
    write_csv(&directory.path().join("summary.csv"), &rows)?;
    let evaluations: Vec<_> = cells.iter().flat_map(|cell| &cell.evaluations).collect();
    write_csv(&directory.path().join("evaluations.csv"), &evaluations)?;

    let curves = summary::curves(&cells);
    let figure = Figure {
        title: experiment.name.clone(),
        data: data.name.clone(),
        synthetic: data.synthetic,
        series: curves.iter().map(|curve| series(curve, &curves)).collect(),
    };
    let svg = figure.svg().map_err(Failure::failed)?;
    directory.write("figures/curves.png", figure.png().map_err(Failure::failed)?)?;
    directory.write("figures/curves.svg", svg)?;

    say(&table)?;
    say(&caption)?;
    say(format_args!("Records: {}", directory.path().display()))
}

/// A curve as the figure wants it; named by what tells it from the others.
fn series(curve: &Curve, all: &[Curve]) -> Series {
    let clients_differ =
        all.iter().any(|other| other.clients_per_round != curve.clients_per_round);
    let label = if clients_differ || all.len() == 1 {
        format!("z = {}, {} clients", curve.noise_multiplier, curve.clients_per_round)
    } else {
        format!("z = {}", curve.noise_multiplier)
    };
    Series {
        label,
        rounds: curve.points.iter().map(|point| f64::from(point.round)).collect(),
        accuracy: curve.points.iter().map(|point| point.accuracy).collect(),
        loss: curve.points.iter().map(|point| point.loss).collect(),
    }
}
