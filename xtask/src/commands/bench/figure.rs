//! Measurements as a picture: what a client costs, and what share of the machine is used.

use std::path::Path;

use super::measure::{Measured, Rounds};
use crate::failure::Failure;
use crate::plot::{Figure, Panel, Point, Series, Unit};

/// Writes `bench.svg` and `bench.png` into `folder`.
pub(super) fn write(measured: &Measured, folder: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(folder).map_err(|error| {
        Failure::failed(format_args!("cannot make the folder {}: {error}", folder.display()))
    })?;
    figure(measured).write(folder, "bench").map_err(Failure::failed)
}

fn figure(measured: &Measured) -> Figure {
    let mut threads: Vec<usize> = measured.rounds.iter().map(|row| row.threads).collect();
    threads.dedup();
    let series = |value: &dyn Fn(&Rounds) -> Option<f64>| -> Vec<Series> {
        let line = |&threads: &usize| {
            let rows = measured.rounds.iter().filter(|row| row.threads == threads);
            let point = |row: &Rounds| {
                let mean = value(row)?;
                Some(Point { round: f64::from(row.clients), mean, low: mean, high: mean })
            };
            Series { label: threads.to_string(), points: rows.filter_map(point).collect() }
        };
        threads.iter().map(line).collect()
    };
    let panel = |heading: &str, unit, range, series| Panel {
        heading: heading.to_owned(),
        x_label: "clients a round".to_owned(),
        unit,
        range,
        series,
    };
    let cost = |row: &Rounds| Some(1e3 * row.median / f64::from(row.clients));
    let mut panels = vec![panel("Milliseconds a client", Unit::Plain, None, series(&cost))];
    if !measured.peaks.is_empty() {
        let share = |row: &Rounds| Some(row.gflops / measured.peak(row.threads)?);
        let share = series(&share);
        panels.push(panel("Share of the machine's peak", Unit::Percent, Some((0.0, 1.0)), share));
    }
    let network: Vec<_> = measured.network.iter().map(ToString::to_string).collect();
    Figure {
        title: "Whole rounds of DP-FedAvg".to_owned(),
        subtitle: format!(
            "{}; network {}; population {}",
            measured.processor,
            network.join("-"),
            measured.population
        ),
        badge: None,
        legend: "threads".to_owned(),
        panels,
    }
}
