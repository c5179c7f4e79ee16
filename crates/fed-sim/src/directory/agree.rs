//! What the files of a run say of one another.
//!
//! The ledger says what a run released, and so what it cost. Whatever else states a price or a
//! count is held against it here: the statement in both of its forms, the evaluations, the rounds
//! that were recorded, the status. A file that says otherwise is named with what it says and what it
//! should. Statements of older versions are held to their numbers alone: their words were others.

use std::collections::BTreeMap;
use std::path::Path;

use dp_accounting::{Epsilon, Ledger};
use serde_json::Value;

use super::cell::{EvaluationRow, State, Status};
use super::{EVALUATIONS, METRICS, PRIVACY, PRIVACY_TEXT, STATUS, read_text};
use crate::config::{Experiment, RunConfig};
use crate::error::SimError;
use crate::plan;
use crate::record::{RoundLine, read_json_lines};
use crate::standing::{Standing, shown};
use crate::statement::PrivacyStatement;

/// Relative difference of two prices that are the same: an accountant may round otherwise in
/// another version.
const SAME: f64 = 1e-9;

/// What is known of a run that is over, as its files say it.
pub(super) struct Files<'a> {
    pub(super) folder: &'a Path,
    pub(super) config: &'a RunConfig,
    pub(super) status: &'a Status,
    pub(super) privacy: &'a PrivacyStatement,
    pub(super) ledger: &'a Ledger,
    /// As they were read.
    pub(super) evaluations: &'a [EvaluationRow],
}

impl Files<'_> {
    /// The ε of the ledger, if everything else agrees with it.
    ///
    /// # Errors
    /// [`SimError::Altered`] naming the file that does not, and how.
    pub(super) fn agree(&self) -> Result<Epsilon, SimError> {
        let epsilon = self.statement()?;
        self.status()?;
        self.rounds()?;
        self.evaluations(epsilon)?;
        Ok(epsilon)
    }

    fn altered(&self, name: &str, message: String) -> SimError {
        SimError::Altered { path: self.folder.join(name), message }
    }

    /// `privacy.json` and `privacy.txt`; the ε of the ledger.
    fn statement(&self) -> Result<Epsilon, SimError> {
        let Self { config, privacy, ledger, .. } = *self;
        let sampler = plan::sampler(config, privacy.population)
            .map_err(|error| self.altered(PRIVACY, format!("it cannot be so: {error}")))?;
        let epsilon = plan::epsilon(config, sampler.relation(), ledger)?;
        // N stands nowhere else, but q = m/N is in every price.
        let planned = plan::planned_epsilon(config, privacy.population, ledger.len())?;
        if !near(planned.get(), epsilon.get(), 1e-6) {
            let message = format!(
                "{} rounds of config.toml on its {} clients cost ε = {}, but those on the ledger {}",
                ledger.len(),
                privacy.population,
                shown(planned),
                shown(epsilon)
            );
            return Err(self.altered(PRIVACY, message));
        }
        let mut fresh =
            PrivacyStatement::new(config, &sampler, privacy.population, ledger, privacy.runs)?;
        fresh.lost_rounds = fresh.rounds.saturating_sub(u64::from(self.status.rounds));
        let mut fresh = fresh.told_of(privacy.tried);
        if privacy.tried.is_none() && privacy.not_covered.len() > fresh.not_covered.len() {
            fresh = fresh.without_tried();
        }
        let fresh = fresh.with_audit(privacy.audit.clone());
        let current = privacy.epsilon_is.is_some() && privacy.program == fresh.program;
        let (stated, due) = (tree(privacy), tree(&fresh));
        let keys = NUMBERS.iter().chain(if current { WORDS } else { &[] });
        for &key in keys {
            let (stated, due) = (stated.get(key), due.get(key));
            if !equal(stated, due) {
                let message = format!(
                    "it says {key} = {}, but by ledger, configuration and records it is {}",
                    text(stated),
                    text(due)
                );
                return Err(self.altered(PRIVACY, message));
            }
        }
        if let (Some(stated), Some(found)) = (privacy.exact, fresh.exact)
            && (stated.lower.is_some_and(|lower| lower > found.upper)
                || found.lower.is_some_and(|lower| lower > stated.upper))
        {
            let message = format!("it says that the true ε lies {stated}, but it lies {found}");
            return Err(self.altered(PRIVACY, message));
        }
        let file = self.folder.join(PRIVACY_TEXT);
        if file.exists() {
            let told = read_text(&file)?;
            let same = if current {
                told == privacy.to_string()
            } else {
                !epsilon.is_finite() || told.contains(&epsilon.rounded_up(4))
            };
            if !same {
                let message = "it does not say what privacy.json beside it says".to_owned();
                return Err(self.altered(PRIVACY_TEXT, message));
            }
        }
        Ok(epsilon)
    }

    /// `status.json`.
    fn status(&self) -> Result<(), SimError> {
        let Self { config, status, .. } = *self;
        if status.run != config.id()? {
            let message = "it is that of a run with another configuration".to_owned();
            return Err(self.altered(STATUS, message));
        }
        let all = config.rounds.get();
        if status.rounds > all || (status.state == State::Finished && status.rounds < all) {
            let message = format!(
                "it says that the run ended after {} rounds, but its configuration has {all}",
                status.rounds
            );
            return Err(self.altered(STATUS, message));
        }
        Ok(())
    }

    /// `metrics.jsonl`.
    fn rounds(&self) -> Result<(), SimError> {
        let file = self.folder.join(METRICS);
        if !file.exists() {
            return Err(self.altered(METRICS, "it is gone, but the run is over".to_owned()));
        }
        let lines: Vec<RoundLine> = read_json_lines(&file)
            .map_err(|error| self.altered(METRICS, format!("not as it was written ({error})")))?;
        let wanted = self.status.rounds as usize;
        if lines.len() != wanted {
            let message =
                format!("it has {} rounds, but the run ended after {wanted}", lines.len());
            return Err(self.altered(METRICS, message));
        }
        for (line, round) in lines.iter().zip(0..) {
            if line.round != round || line.noise.is_some_and(|noise| noise != self.config.noise) {
                let message = format!("line {} is not that of round {round}", round + 1);
                return Err(self.altered(METRICS, message));
            }
        }
        Ok(())
    }

    /// `evaluations.csv`: the prices in it are those of the rounds before, unless some were lost.
    fn evaluations(&self, all: Epsilon) -> Result<(), SimError> {
        let Self { config, status, privacy, ledger, evaluations, .. } = *self;
        let relation = plan::sampler(config, privacy.population)?.relation();
        let lost = ledger.len() != u64::from(status.rounds);
        let last = evaluations.last().map(|row| row.round);
        if last != Some(status.rounds) {
            let message = format!(
                "its last row is {}, but the run ended after {} rounds",
                last.map_or_else(|| "missing".to_owned(), |round| format!("of round {round}")),
                status.rounds
            );
            return Err(self.altered(EVALUATIONS, message));
        }
        for row in evaluations {
            if row.epsilon_is.is_some_and(|standing| standing != Standing::of(config)) {
                let message = format!("the row of round {} says otherwise what ε is", row.round);
                return Err(self.altered(EVALUATIONS, message));
            }
            let due = if row.round == status.rounds {
                all
            } else if lost {
                continue;
            } else {
                plan::epsilon(config, relation, &plan::first(ledger, u64::from(row.round)))?
            };
            if !near(row.epsilon, due.get(), SAME) {
                let message = format!(
                    "it says ε = {} after {} rounds, but by the ledger it is {}",
                    row.epsilon, row.round, due
                );
                return Err(self.altered(EVALUATIONS, message));
            }
        }
        Ok(())
    }
}

/// Holds the statement of a run against the experiment that it is part of.
///
/// # Errors
/// [`SimError::Altered`] if it counts other runs than there are, or prices them otherwise.
pub(super) fn with_experiment(
    experiment: &Experiment,
    file: &Path,
    config: &RunConfig,
    privacy: &PrivacyStatement,
) -> Result<(), SimError> {
    let altered = |message: String| SimError::Altered { path: file.to_owned(), message };
    let seeds = experiment.seeds.len() as u64;
    if privacy.runs != seeds {
        let said = privacy.runs;
        return Err(altered(format!("it counts {said} seeds, but the experiment has {seeds}")));
    }
    let Some(tried) = privacy.tried else { return Ok(()) };
    let mut runs = experiment.runs();
    if experiment.sweep.is_none() {
        let again = |&seed| RunConfig { seed, ..config.clone() };
        runs = experiment.seeds.iter().map(again).collect();
    }
    let epsilon = plan::epsilon_of_all(&runs, privacy.population)?;
    if tried.runs != runs.len() as u64 || !near(tried.epsilon.get(), epsilon.get(), SAME) {
        return Err(altered(format!(
            "it says that the {} runs of the experiment cost ε = {} together, but {} cost {}",
            tried.runs,
            shown(tried.epsilon),
            runs.len(),
            shown(epsilon)
        )));
    }
    Ok(())
}

/// Keys of a statement whose values follow from ledger, configuration and records in every version.
const NUMBERS: &[&str] =
    &["epsilon", "delta", "neighbours", "rounds", "lost_rounds", "epsilon_of_all_runs"];

/// Those whose words may change with the version.
const WORDS: &[&str] = &[
    "epsilon_is",
    "setting",
    "covered",
    "unit",
    "mechanism",
    "sampling",
    "accountant",
    "assumptions",
    "noise_source",
    "not_covered",
    "warnings",
];

fn tree(statement: &PrivacyStatement) -> BTreeMap<String, Value> {
    match serde_json::to_value(statement) {
        Ok(Value::Object(map)) => map.into_iter().collect(),
        _ => BTreeMap::new(),
    }
}

/// Equal, or prices that are.
fn equal(one: Option<&Value>, other: Option<&Value>) -> bool {
    let number = |value: Option<&Value>| match value {
        Some(Value::Number(number)) => number.as_f64(),
        Some(Value::String(text)) if text == "inf" => Some(f64::INFINITY),
        _ => None,
    };
    match (number(one), number(other)) {
        (Some(one), Some(other)) => near(one, other, SAME),
        _ => one == other,
    }
}

fn near(one: f64, other: f64, tolerance: f64) -> bool {
    one.total_cmp(&other).is_eq() || (one - other).abs() <= tolerance * other.abs()
}

fn text(value: Option<&Value>) -> String {
    value.map_or_else(|| "missing".to_owned(), Value::to_string)
}
