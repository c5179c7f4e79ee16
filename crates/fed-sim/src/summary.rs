//! Runs into the rows of a table and the lines of a figure.
//!
//! Every setting that an experiment asks for has a row, whatever became of its runs: numbers are
//! those of the runs that are over, and the row says how many there are and what became of the
//! others.

use std::collections::BTreeMap;
use std::fmt::Write;

use dp_accounting::Epsilon;
use dp_agg::NoiseMode;
use serde::Serialize;

use crate::audit::AuditReport;
use crate::config::RunConfig;
use crate::directory::{Cell, Outcome};
use crate::standing::{Standing, shown};

/// One setting over its seeds, after the last round.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SummaryRow {
    /// Noise multiplier `z`.
    pub noise_multiplier: f64,
    /// Expected clients per round.
    pub clients_per_round: f64,
    /// Rounds of training; none if no run is over, as for the other numbers.
    pub rounds: Option<u32>,
    /// Number of seeds whose runs are over.
    pub seeds: usize,
    /// Number of seeds that the experiment asks for.
    pub wanted_seeds: usize,
    /// What became of the runs of these seeds, such as `finished` or `2 finished, 1 diverged`.
    pub runs: String,
    /// Mean over these seeds of the accuracy.
    pub accuracy: Option<f64>,
    /// Standard deviation over these seeds (0 for one seed).
    pub accuracy_sd: Option<f64>,
    /// Mean over these seeds of the loss.
    pub loss: Option<f64>,
    /// Standard deviation over these seeds (0 for one seed).
    pub loss_sd: Option<f64>,
    /// Mean over seeds of the final clip norm.
    pub clip_norm: Option<f64>,
    /// ε of one run, by its ledger; the largest over seeds.
    pub epsilon: Option<Epsilon>,
    /// δ of the guarantee.
    pub delta: f64,
    /// Where the noise came from.
    pub noise: NoiseMode,
    /// What ε stands for.
    pub epsilon_is: Standing,
    /// What ε looks like from the final model: mean over seeds of an audit's estimate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audited_final_model: Option<f64>,
    /// What ε looks like from all rounds: mean over seeds of an audit's estimate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audited_all_rounds: Option<f64>,
    /// Greatest of the lower bounds on ε that audits found, each with its own confidence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audited_at_least: Option<f64>,
    /// Greatest lower bound that these audits could have found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audited_could_refute: Option<f64>,
    /// How many of these audits would have refuted what was proven, had there been no noise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audits_that_could_refute: Option<usize>,
}

/// One setting's curve over its seeds.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// Noise multiplier `z`.
    pub noise_multiplier: f64,
    /// Expected clients per round.
    pub clients_per_round: f64,
    /// Number of seeds.
    pub seeds: usize,
    /// The points, by round.
    pub points: Vec<CurvePoint>,
}

/// A curve at one round: mean, least and greatest over the seeds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CurvePoint {
    /// Rounds of training.
    pub round: u32,
    /// Accuracy: mean, least, greatest.
    pub accuracy: [f64; 3],
    /// Loss: mean, least, greatest.
    pub loss: [f64; 3],
}

/// Runs of one setting that follow one another in `cells`.
fn settings(cells: &[Cell]) -> impl Iterator<Item = &[Cell]> {
    cells.chunk_by(|a, b| same_setting(&a.config, &b.config))
}

fn same_setting(a: &RunConfig, b: &RunConfig) -> bool {
    a.noise_multiplier == b.noise_multiplier
        && a.clients_per_round.total_cmp(&b.clients_per_round).is_eq()
}

fn larger(a: Epsilon, b: Epsilon) -> Epsilon {
    if b > a { b } else { a }
}

fn mean_and_sd(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    if values.len() < 2 {
        return (mean, 0.0);
    }
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, (squares / (count - 1.0)).sqrt())
}

/// A row a setting, from what became of all runs, sorted by setting.
#[must_use]
pub fn rows(outcomes: &[Outcome]) -> Vec<SummaryRow> {
    outcomes.chunk_by(|a, b| same_setting(&a.config, &b.config)).filter_map(row).collect()
}

/// The row of one setting.
fn row(outcomes: &[Outcome]) -> Option<SummaryRow> {
    let config = &outcomes.first()?.config;
    let cells: Vec<&Cell> = outcomes.iter().filter_map(|outcome| outcome.cell.as_ref()).collect();
    let last: Vec<_> = cells.iter().filter_map(|run| run.evaluations.last()).collect();
    let mean = |values: Vec<f64>| (!values.is_empty()).then(|| mean_and_sd(&values));
    let accuracy = mean(last.iter().map(|row| row.accuracy).collect());
    let loss = mean(last.iter().map(|row| row.loss).collect());
    let audits: Vec<&AuditReport> =
        cells.iter().filter_map(|run| run.privacy.audit.as_ref()).collect();
    let audited = |found: Vec<f64>| (!audits.is_empty()).then(|| mean_and_sd(&found).0);
    let final_models = audits.iter().filter_map(|audit| Some(audit.final_model?.epsilon.get()));
    let all_rounds = audits.iter().filter_map(|audit| Some(audit.all_rounds?.epsilon.get()));
    Some(SummaryRow {
        noise_multiplier: config.noise_multiplier.get(),
        clients_per_round: config.clients_per_round,
        rounds: last.first().map(|row| row.round),
        seeds: cells.len(),
        accuracy: accuracy.map(|(mean, _)| mean),
        accuracy_sd: accuracy.map(|(_, sd)| sd),
        loss: loss.map(|(mean, _)| mean),
        loss_sd: loss.map(|(_, sd)| sd),
        clip_norm: mean(last.iter().filter_map(|row| row.clip_norm).collect())
            .map(|(mean, _)| mean),
        epsilon: cells.iter().map(|run| run.epsilon).reduce(larger),
        delta: config.delta.get(),
        noise: config.noise,
        epsilon_is: Standing::of(config),
        wanted_seeds: outcomes.len(),
        runs: what_became(outcomes),
        audited_final_model: audited(final_models.collect()),
        audited_all_rounds: audited(all_rounds.collect()),
        audited_at_least: audits
            .iter()
            .map(|audit| audit.lower_bound.epsilon)
            .max_by(f64::total_cmp),
        audited_could_refute: audits
            .iter()
            .filter_map(|audit| audit.could_refute)
            .max_by(f64::total_cmp),
        audits_that_could_refute: (!audits.is_empty()).then(|| {
            audits.iter().filter(|audit| audit.could_refute_the_claim == Some(true)).count()
        }),
    })
}

/// What became of runs: a word if the same became of all, else how many of each.
fn what_became(outcomes: &[Outcome]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    outcomes.iter().for_each(|outcome| *counts.entry(outcome.word()).or_default() += 1);
    let mut counts: Vec<(&str, usize)> = counts.into_iter().collect();
    if let [(word, _)] = counts.as_slice() {
        return (*word).to_owned();
    }
    // Finished ones first, then by their names.
    counts.sort_by_key(|(word, _)| *word != "finished");
    counts.iter().map(|(word, count)| format!("{count} {word}")).collect::<Vec<_>>().join(", ")
}

/// A curve a setting, from runs sorted by setting.
#[must_use]
pub fn curves(cells: &[Cell]) -> Vec<Curve> {
    settings(cells)
        .filter_map(|runs| {
            let first = runs.first()?;
            let points = first
                .evaluations
                .iter()
                .map(|row| {
                    let same = runs
                        .iter()
                        .flat_map(|run| &run.evaluations)
                        .filter(|other| other.round == row.round);
                    let (accuracy, loss): (Vec<f64>, Vec<f64>) =
                        same.map(|other| (other.accuracy, other.loss)).unzip();
                    CurvePoint {
                        round: row.round,
                        accuracy: mean_least_greatest(&accuracy),
                        loss: mean_least_greatest(&loss),
                    }
                })
                .collect();
            Some(Curve {
                noise_multiplier: first.config.noise_multiplier.get(),
                clients_per_round: first.config.clients_per_round,
                seeds: runs.len(),
                points,
            })
        })
        .collect()
}

fn mean_least_greatest(values: &[f64]) -> [f64; 3] {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let greatest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    [mean_and_sd(values).0, least, greatest]
}

/// The rows as a Markdown table, columns padded so that it reads as plain text too.
#[must_use]
pub fn markdown(rows: &[SummaryRow]) -> String {
    let name = rows.first().map_or_else(String::new, |row| row.epsilon_is.call("ε"));
    let head = ["noise", "clients", &name, "accuracy", "loss", "clip"];
    let mut table = vec![head.map(str::to_owned).to_vec()];
    for row in rows {
        let spread = |mean: Option<f64>, sd: Option<f64>| match (mean, sd) {
            (Some(mean), Some(sd)) if row.seeds > 1 => format!("{mean:.4} ± {sd:.4}"),
            (Some(mean), _) => format!("{mean:.4}"),
            (None, _) => "-".to_owned(),
        };
        table.push(vec![
            format!("{:?}", row.noise_multiplier),
            row.clients_per_round.to_string(),
            row.epsilon.map_or_else(|| "-".to_owned(), shown),
            spread(row.accuracy, row.accuracy_sd),
            spread(row.loss, row.loss_sd),
            match row.clip_norm {
                Some(clip) => format!("{clip:.4}"),
                None if row.seeds == 0 => "-".to_owned(),
                None => "none".to_owned(),
            },
        ]);
    }
    let mut text = padded(&table);
    // Tables of their own: beside the others these columns would not fit a terminal.
    if rows.iter().any(|row| row.audited_at_least.is_some()) {
        text.push('\n');
        text.push_str(&padded(&beside(rows, "ε audited", audited)));
    }
    if rows.iter().any(|row| row.runs != "finished") {
        text.push('\n');
        text.push_str(&padded(&beside(rows, "runs", |row| row.runs.clone())));
    }
    text
}

/// What audits of a setting found.
fn audited(row: &SummaryRow) -> String {
    let number = |found: Option<f64>| match found {
        Some(found) if found.is_finite() => format!("{found:.2}"),
        Some(found) if found > 0.0 => "infinite".to_owned(),
        _ => "unknown".to_owned(),
    };
    let [looks, rounds, least] =
        [row.audited_final_model, row.audited_all_rounds, row.audited_at_least].map(number);
    let most = row.audited_could_refute.map(|most| format!(" of {most:.2}"));
    // Where an audit can refute nothing, that it refuted nothing means nothing.
    let idle = row.audits_that_could_refute == Some(0);
    let most = most.unwrap_or_default() + if idle { "*" } else { "" };
    format!("{looks}, {rounds}, {least}{most}")
}

/// A row a setting with one thing to say about it.
fn beside(
    rows: &[SummaryRow],
    head: &str,
    say: impl Fn(&SummaryRow) -> String,
) -> Vec<Vec<String>> {
    let mut table = vec![["noise", "clients", head].map(str::to_owned).to_vec()];
    for row in rows {
        let setting = [format!("{:?}", row.noise_multiplier), row.clients_per_round.to_string()];
        let mut line = setting.to_vec();
        line.push(say(row));
        table.push(line);
    }
    table
}

/// A table with its head in the first row, columns padded.
fn padded(table: &[Vec<String>]) -> String {
    let width =
        |column: usize| table.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..table[0].len()).map(width).collect();
    let mut text = String::new();
    for (number, row) in table.iter().enumerate() {
        for (cell, width) in row.iter().zip(&widths) {
            let padding = " ".repeat(width - cell.chars().count());
            let _ = write!(text, "| {padding}{cell} ");
        }
        text.push_str("|\n");
        if number == 0 {
            for width in &widths {
                let _ = write!(text, "|{}:", "-".repeat(width + 1));
            }
            text.push_str("|\n");
        }
    }
    text
}
