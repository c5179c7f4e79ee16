//! `cargo xtask report`: the table and the figures of a run, from its records.

mod held;

use std::path::PathBuf;

use dp_accounting::Epsilon;
use fed_sim::directory::{RunDirectory, to_csv, write_csv};
use fed_sim::summary::{self, Curve, CurvePoint, SummaryRow};
use fed_sim::{Cell, Experiment, Standing, plan};

use crate::failure::Failure;
use crate::plot::{Figure, Panel, Point, Series, Unit};
use crate::provenance::DataRecord;
use crate::{interrupt, say, tell};
use held::{Due, Price};

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
    data: DataRecord,
}

/// A run directory's summary, as its records say that it should be.
struct Summary {
    experiment: Experiment,
    data: DataRecord,
    cells: Vec<Cell>,
    seeds: usize,
    table: String,
    caption: String,
    due: Due,
}

/// Writes and prints the summary of a run directory, unless the one that is there says otherwise than
/// the records.
pub(crate) fn write(directory: &RunDirectory) -> Result<(), Failure> {
    let Summary { experiment, data, cells, seeds, table, caption, due } = summary_of(directory)?;
    held::expect_same(directory, &cells, &due)?;
    let evaluations: Vec<_> = cells.iter().flat_map(|cell| &cell.evaluations).collect();
    interrupt::whole(|| {
        directory.write(held::TABLE, &due.table)?;
        directory.write(held::ROWS, &due.rows)?;
        write_csv(&directory.path().join("evaluations.csv"), &evaluations)
    })?;

    let curves = summary::curves(&cells);
    if !curves.is_empty() {
        figure(&experiment, &data, seeds, &curves)
            .write(&directory.folder("figures")?, "curves")?;
    }

    say(&table)?;
    tell(&caption)?;
    say(format_args!("Records: {}", directory.path().display()))
}

/// Refuses a run directory whose files say different things of its runs.
pub(crate) fn expect_agreement(directory: &RunDirectory) -> Result<(), Failure> {
    let Summary { cells, due, .. } = summary_of(directory)?;
    Ok(held::expect_same(directory, &cells, &due)?)
}

fn summary_of(directory: &RunDirectory) -> Result<Summary, Failure> {
    let experiment = directory.experiment()?;
    let provenance: Provenance = directory.provenance()?;
    let outcomes = directory.outcomes(&experiment)?;
    if outcomes.iter().all(|outcome| outcome.status.is_none()) {
        return Err(Failure::bad_input(format_args!(
            "{} holds no run: none was begun",
            directory.path().display()
        )));
    }
    let cells: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.cell.clone()).collect();
    let rows = summary::rows(&outcomes);
    let table = summary::markdown(&rows);
    let data = &provenance.data;
    let seeds = rows.iter().map(|row| row.seeds).max().unwrap_or(1);
    let standing = experiment.standing();
    // What was released, and not what was planned.
    let independent =
        plan::are_independent(cells.iter().map(|cell| (&cell.config, cell.privacy.keys)));
    let together = match cells.first() {
        Some(Cell { config, privacy, .. }) => {
            let ledgers = cells.iter().map(|cell| &cell.ledger);
            plan::epsilon_of_ledgers(config, privacy.neighbours, ledgers)?
        }
        None => Epsilon::ZERO,
    };
    let caption = format!(
        "After {} on {data}; noise multiplier, expected clients a round; δ = {:e}; {}.\nThe {} is the price of one run, by {}; {}.\n{}",
        rounds_of(&rows, experiment.rounds.get()),
        experiment.delta.get(),
        if seeds > 1 {
            format!("mean ± standard deviation over {seeds} seeds")
        } else {
            "one seed".to_owned()
        },
        standing.call("ε"),
        plan::describe_accounting(&experiment.accounting),
        match cells.len() {
            0 | 1 => "there is no other in this table".to_owned(),
            count if !independent => format!(
                "the {count} runs of this table have no price together, for some of one seed were \
                 made with random keys of version 1 and share their noise"
            ),
            count => format!(
                "releasing all {count} runs of this table costs {}",
                standing.show("ε =", together)
            ),
        },
        standing.sentence(),
    );
    let caption = if rows.iter().any(|row| row.audited_at_least.is_some()) {
        caption
            + "\nε audited: what it looks like to canaries in the final model and in all rounds, \
               which is no bound, and the ε that is refuted with the audit's confidence, of the \
               most that could have been; * can refute nothing here: not even a run without any \
               noise would contradict what was proven."
    } else {
        caption
    };
    let place = directory.path().join(held::ROWS);
    let prices = rows.iter().filter_map(|row| {
        let (noise, clients) = (row.noise_multiplier, row.clients_per_round);
        Some(Price { noise, clients, rounds: row.rounds?, epsilon: row.epsilon? })
    });
    let due = Due {
        table: format!("{table}\n{caption}\n"),
        prices: prices.collect(),
        rows: to_csv(&place, &rows)?,
    };
    let data = provenance.data;
    Ok(Summary { experiment, data, cells, seeds, table, caption, due })
}

/// How many rounds the rows of a table were trained for: fewer than `wanted` where a budget ended
/// them.
fn rounds_of(rows: &[SummaryRow], wanted: u32) -> String {
    let rounds = || rows.iter().filter_map(|row| row.rounds);
    match (rounds().min(), rounds().max()) {
        (Some(least), Some(most)) if least < most => format!("{least} to {most} rounds"),
        (Some(all), _) if all < wanted => format!("{all} of {wanted} rounds"),
        _ => format!("{wanted} rounds"),
    }
}

/// Accuracy and loss against rounds, side by side; one line a setting, bands over seeds.
fn figure(experiment: &Experiment, data: &DataRecord, seeds: usize, curves: &[Curve]) -> Figure {
    let first = curves.first().map_or(0.0, |curve| curve.clients_per_round);
    let clients_differ =
        curves.iter().any(|curve| curve.clients_per_round.total_cmp(&first).is_ne());
    let panel = |heading: &str, unit, range, values: fn(&CurvePoint) -> [f64; 3]| Panel {
        heading: heading.to_owned(),
        x_label: "round".to_owned(),
        unit,
        range,
        series: curves
            .iter()
            .map(|curve| Series {
                label: if clients_differ {
                    format!("{:?} ({} clients)", curve.noise_multiplier, curve.clients_per_round)
                } else {
                    format!("{:?}", curve.noise_multiplier)
                },
                points: curve.points.iter().map(|point| band(point, values(point))).collect(),
            })
            .collect(),
    };
    let clients = if clients_differ { String::new() } else { format!(", {first} clients a round") };
    let spread =
        if seeds > 1 { format!(", mean and range of {seeds} seeds") } else { String::new() };
    Figure {
        title: experiment.name.replace(['_', '-'], " "),
        subtitle: format!(
            "{}{clients}{spread}; {}",
            data.name(),
            in_a_figure(experiment.standing())
        ),
        badge: data.synthetic().then(|| "synthetic writers".to_owned()),
        legend: "noise multiplier".to_owned(),
        panels: vec![
            panel("test accuracy", Unit::Percent, Some((0.0, 1.0)), |point| point.accuracy),
            panel("test loss", Unit::Plain, None, |point| point.loss),
        ],
    }
}

/// What a figure says of noise and guarantee, in few words.
fn in_a_figure(standing: Standing) -> String {
    let noise = if standing.is_simulated() {
        "simulation noise: simulated, not a release"
    } else {
        "release noise"
    };
    match standing.gap {
        None => noise.to_owned(),
        Some(gap) => format!("{noise}; {gap}: no guarantee of the model"),
    }
}

fn band(point: &CurvePoint, [mean, low, high]: [f64; 3]) -> Point {
    Point { round: f64::from(point.round), mean, low, high }
}
