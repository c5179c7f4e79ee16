//! Measurements as a table of at most 80 columns.

use super::measure::Measured;
use crate::failure::Failure;
use crate::say;

/// Prints everything that was measured.
pub(super) fn print(measured: &Measured) -> Result<(), Failure> {
    let ms = |seconds: f64| 1e3 * seconds;
    say(format_args!("{}, {} cores", measured.processor, measured.cores))?;
    if let Some(learner) = &measured.learner {
        say(format_args!("Learner: {learner}"))?;
    }
    say(format_args!("Data: {} ({:.2} s to open)", measured.data, measured.data_seconds))?;
    let network: Vec<_> = measured.network.iter().map(ToString::to_string).collect();
    say(format_args!("Network {}, population {}", network.join("-"), measured.population))?;
    for peak in &measured.peaks {
        say(format_args!(
            "Limit of the arithmetic units, {} thread{}: {:.0} GFLOP/s",
            peak.threads,
            if peak.threads == 1 { "" } else { "s" },
            peak.gflops
        ))?;
    }
    let share = |threads, gflops: f64| {
        measured
            .peak(threads)
            .map_or_else(String::new, |peak| format!("{:.0} %", 1e2 * gflops / peak))
    };

    say("\nRounds, milliseconds")?;
    say(format_args!(
        "{:>7} {:>7} {:>9} {:>9} {:>10} {:>9} {:>9} {:>7}",
        "clients", "threads", "median", "fastest", "processor", "rounds/s", "GFLOP/s", "of peak"
    ))?;
    for row in &measured.rounds {
        say(format_args!(
            "{:>7} {:>7} {:>9.2} {:>9.2} {:>10.2} {:>9.2} {:>9.1} {:>7}",
            row.clients,
            row.threads,
            ms(row.median),
            ms(row.fastest),
            ms(row.processor),
            1.0 / row.median,
            row.gflops,
            share(row.threads, row.gflops)
        ))?;
    }

    say("\nWhere a round goes, milliseconds")?;
    say(format_args!(
        "{:>7} {:>7} {:>9} {:>9} {:>10} {:>9} {:>12}",
        "clients", "threads", "sample", "train", "release", "server", "examples/s"
    ))?;
    for row in &measured.rounds {
        say(format_args!(
            "{:>7} {:>7} {:>9.3} {:>9.2} {:>10.3} {:>9.3} {:>12.0}",
            row.clients,
            row.threads,
            ms(row.phases.sample),
            ms(row.phases.train),
            ms(row.phases.release),
            ms(row.phases.server),
            row.examples_per_second
        ))?;
    }

    if let Some(row) = measured.evaluations.first() {
        say(format_args!("\nEvaluation of {} images, milliseconds", row.examples))?;
        say(format_args!(
            "{:>7} {:>9} {:>9} {:>10} {:>9} {:>7}",
            "threads", "median", "fastest", "processor", "GFLOP/s", "of peak"
        ))?;
    }
    for row in &measured.evaluations {
        say(format_args!(
            "{:>7} {:>9.1} {:>9.1} {:>10.1} {:>9.1} {:>7}",
            row.threads,
            ms(row.median),
            ms(row.fastest),
            ms(row.processor),
            row.gflops,
            share(row.threads, row.gflops)
        ))?;
    }
    if let Some(bytes) = measured.peak_memory_bytes {
        say(format_args!("\nPeak memory: {:.0} MB", bytes as f64 / 1e6))?;
    }
    Ok(())
}
