//! Two measurements side by side.

use super::measure::Measured;
use crate::failure::Failure;
use crate::say;

/// Prints how `now` relates to `earlier`: ratios below 1 are faster.
pub(super) fn print(earlier: &Measured, now: &Measured) -> Result<(), Failure> {
    let commit = earlier.commit.as_deref().unwrap_or("an unknown commit");
    say(format_args!("\nAgainst {} on {}", &commit[..commit.len().min(12)], earlier.processor))?;
    if (&earlier.data, earlier.population, &earlier.network)
        != (&now.data, now.population, &now.network)
    {
        say("The two did different work (data, population or network): ratios say little.")?;
    }
    say(format_args!(
        "{:>12} {:>7} {:>12} {:>12} {:>7} {:>16}",
        "clients", "threads", "before, ms", "now, ms", "ratio", "processor ratio"
    ))?;
    let line = |what: &str, threads: usize, before: (f64, f64), now: (f64, f64)| {
        say(format_args!(
            "{what:>12} {threads:>7} {:>12.2} {:>12.2} {:>7.3} {:>16.3}",
            1e3 * before.0,
            1e3 * now.0,
            now.0 / before.0,
            now.1 / before.1
        ))
    };
    let mut shared = 0;
    for row in &now.rounds {
        let same = |other: &&super::measure::Rounds| {
            (other.clients, other.threads) == (row.clients, row.threads)
        };
        if let Some(before) = earlier.rounds.iter().find(same) {
            let times = ((before.median, before.processor), (row.median, row.processor));
            line(&row.clients.to_string(), row.threads, times.0, times.1)?;
            shared += 1;
        }
    }
    for row in &now.evaluations {
        let same = |other: &&super::measure::Evaluations| other.threads == row.threads;
        if let Some(before) = earlier.evaluations.iter().find(same) {
            let times = ((before.median, before.processor), (row.median, row.processor));
            line("evaluation", row.threads, times.0, times.1)?;
            shared += 1;
        }
    }
    if shared == 0 {
        say("The two have no setting in common.")?;
    }
    Ok(())
}
