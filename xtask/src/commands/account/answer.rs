//! The prices as a table of 80 columns with its words, or as JSON.

use dp_accounting::rdp::RdpEpsilon;
use dp_accounting::{EpsilonInterval, Ledger, Neighboring};
use serde::Serialize;

use super::price::Prices;
use super::source::{Case, Question};
use crate::failure::Failure;
use crate::{hand_over, say};

/// Columns of a terminal.
const WIDTH: usize = 80;
/// The first column, and each of the others.
const LABEL: usize = 32;
const NUMBER: usize = 12;

/// Characters of a number: a star and a space find room beside it.
const CHARACTERS: usize = NUMBER - 2;

/// Where the words begin that stand beside a heading.
const INDENT: usize = 13;

/// Events that are listed before the rest is counted.
const MOST_EVENTS: usize = 6;

/// Prints the prices as text.
pub(super) fn text(question: &Question, rows: &[Prices]) -> Result<(), Failure> {
    let (name, delta) = (question.priced.name(), small(question.delta));
    let head = capitalised(&format!("{name} at δ = {delta}, from {}", question.source));
    wrapped("", 0, &head)?;
    say("")?;
    table(question, rows)?;
    say("")?;
    footnotes(question, rows)?;
    item("stands for", &question.priced.sentence())?;
    for (heading, words) in &question.notes {
        item(heading, words)?;
    }
    item("mechanism", &question.mechanism)?;
    item("sampling", &question.sampling)?;
    item("neighbours", relation(question.relation))?;
    events(question)?;
    for (place, sentence) in question.not_covered.iter().enumerate() {
        item(if place == 0 { "not covered" } else { "" }, &format!("- {sentence}"))?;
    }
    for warning in &question.warnings {
        item("warning", warning)?;
    }
    Ok(())
}

/// A sentence that begins as sentences do, unless with a symbol.
fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    match letters.next() {
        Some(first) if first.is_ascii() => {
            first.to_ascii_uppercase().to_string() + letters.as_str()
        }
        _ => text.to_owned(),
    }
}

fn table(question: &Question, rows: &[Prices]) -> Result<(), Failure> {
    let line = |first: &str, cells: [&str; 4]| {
        let cells = cells.map(|cell| format!("{cell:>NUMBER$}")).concat();
        say(format_args!("{first:<LABEL$}{cells}").to_string().trim_end())
    };
    line("", ["Rényi,", "Rényi,", "improved,", ""])?;
    line("", ["classic", "improved", "best order", "exact"])?;
    for (case, prices) in question.cases.iter().zip(rows) {
        let tight = match (&prices.exact, prices.grid) {
            (Ok(found), _) => number(found.upper.get()),
            (Err(_), Some(found)) => format!("{}*", number(found.upper.get())),
            (Err(_), None) => "-".to_owned(),
        };
        let [classic, improved, best] =
            [prices.classic, prices.improved, prices.best].map(|rdp| number(rdp.epsilon.get()));
        // A long label has a line of its own.
        if case.label.chars().count() >= LABEL {
            say(&case.label)?;
            line("", [&classic, &improved, &best, &tight])?;
        } else {
            line(&case.label, [&classic, &improved, &best, &tight])?;
        }
        if rows.len() == 1 {
            let [classic, improved, best] =
                [prices.classic, prices.improved, prices.best].map(order);
            line("  at order", [&classic, &improved, &best, ""])?;
        }
    }
    Ok(())
}

/// What the columns mean, and why one is empty.
fn footnotes(question: &Question, rows: &[Prices]) -> Result<(), Failure> {
    item(
        "Rényi",
        &format!(
            "upper bounds over {}: classic conversion (Mironov 2017), improved conversion \
             (Canonne, Kamath, Steinke 2020), and the latter at the best real order",
            question.orders_name
        ),
    )?;
    if let [prices] = rows
        && let Ok(found) = prices.exact
    {
        item("exact", &format!("the true ε lies {}", between(found, prices.unprotected)))?;
    } else if rows.iter().any(|prices| prices.exact.is_ok()) {
        item("exact", "the upper end of an interval around the true ε, both ends proven")?;
    }
    for (case, prices) in question.cases.iter().zip(rows) {
        if prices.is_wider_than(question.width) {
            item(
                "",
                &format!(
                    "{}: an interval of width {:e} is out of reach here",
                    case.label, question.width
                ),
            )?;
        }
    }
    let mut told: Vec<String> = Vec::new();
    for (case, prices) in question.cases.iter().zip(rows) {
        let Err(error) = &prices.exact else { continue };
        if let Some(found) = prices.grid {
            item(
                "*",
                &format!(
                    "{}: on a grid of losses, {}",
                    case.label,
                    between(found, prices.unprotected)
                ),
            )?;
        }
        let reason = error.to_string();
        if !told.contains(&reason) {
            item("not exact", &format!("{}: {reason}", case.label))?;
            told.push(reason);
        }
    }
    Ok(())
}

/// What was released, a line for each event that differs.
fn events(question: &Question) -> Result<(), Failure> {
    let mut lines: Vec<(String, u64)> = Vec::new();
    for case in question.cases.iter().filter(|case| !case.together) {
        for entry in case.ledger.entries() {
            let event = entry.event.to_string();
            match lines.iter_mut().find(|(known, _)| *known == event) {
                Some((_, count)) => *count = count.saturating_add(entry.count.get()),
                None => lines.push((event, entry.count.get())),
            }
        }
    }
    for (place, (event, count)) in lines.iter().take(MOST_EVENTS).enumerate() {
        item(if place == 0 { "events" } else { "" }, &format!("{count} × {event}"))?;
    }
    match lines.len().checked_sub(MOST_EVENTS) {
        Some(more) if more > 0 => item("", &format!("and {more} more, in --json")),
        _ => Ok(()),
    }
}

/// A `δ`, such as 1e-5, 0 or 0.25.
pub(super) fn small(delta: dp_accounting::Delta) -> String {
    let delta = delta.get();
    if delta > 0.0 && delta < 0.01 { format!("{delta:e}") } else { format!("{delta}") }
}

/// An `ε` for a table: six decimals and no more than [`CHARACTERS`] characters. Where that leaves fewer decimals it is
/// rounded up.
fn number(epsilon: f64) -> String {
    if epsilon.is_infinite() {
        return "infinite".to_owned();
    }
    if epsilon >= 1e-4 || epsilon <= 0.0 {
        let shown = format!("{epsilon:.6}");
        if shown.len() <= CHARACTERS {
            return shown;
        }
        let found = dp_accounting::Epsilon::new(epsilon).ok();
        let fewer = [5, 4, 3].into_iter().filter_map(|decimals| Some(found?.rounded_up(decimals)));
        if let Some(shown) = fewer.into_iter().find(|shown| shown.len() <= CHARACTERS) {
            return shown;
        }
    }
    let shown = format!("{epsilon:.3e}");
    let below = shown.parse::<f64>().is_ok_and(|shown| shown < epsilon);
    // Half a unit of the last digit, or more.
    if below { format!("{:.3e}", epsilon * 1.0005) } else { shown }
}

fn order(found: RdpEpsilon) -> String {
    match found.order {
        None => "-".to_owned(),
        Some(order) if order.is_infinite() => "infinite".to_owned(),
        Some(order) if order >= 1e5 => format!("{order:.3e}"),
        Some(order) => format!("{}", (order * 1e4).round() / 1e4),
    }
}

/// Bounds, and what stands in their place where there are none.
fn between(found: EpsilonInterval, unprotected: bool) -> String {
    let lost = found.lower.is_some_and(|lower| !lower.is_finite());
    if found.upper.is_finite() {
        if found.upper.get() <= 0.0 {
            return "at 0: the outputs differ by no more than δ".to_owned();
        }
        return found.to_string();
    }
    if unprotected {
        "at infinity: without noise there is no guarantee".to_owned()
    } else if lost {
        "at infinity: some losses have no bound, so that δ = 0 has no ε".to_owned()
    } else {
        "beyond what a grid of losses can tell: it does not resolve so small a δ".to_owned()
    }
}

/// The neighbouring relation in words.
pub(super) fn relation(relation: Neighboring) -> &'static str {
    match relation {
        Neighboring::AddOrRemoveOne => "data sets that differ by adding or removing one client",
        Neighboring::ReplaceOne => "data sets that differ by replacing one client by another",
        Neighboring::ZeroOutOne => "data sets that differ by blanking one client",
        _ => "see --relation",
    }
}

/// A heading with words beside it, wrapped.
fn item(heading: &str, words: &str) -> Result<(), Failure> {
    // Lines that go on a list are set in under its dash.
    let indent = if words.starts_with("- ") { INDENT + 2 } else { INDENT };
    wrapped(&format!("{heading:<INDENT$}"), indent, words)
}

/// Words after a beginning, wrapped, with further lines set in.
fn wrapped(beginning: &str, indent: usize, words: &str) -> Result<(), Failure> {
    let mut line = beginning.to_owned();
    let mut empty = true;
    for word in words.split_whitespace() {
        if !empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            say(&line)?;
            line = " ".repeat(indent);
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(word);
        empty = false;
    }
    say(line.trim_end())
}

/// The prices as JSON: numbers, and `"inf"` where there is no guarantee.
pub(super) fn json(question: &Question, rows: &[Prices]) -> Result<(), Failure> {
    let rows = question.cases.iter().zip(rows).map(|(case, prices)| Row::new(case, prices));
    let answer = Answer {
        source: &question.source,
        epsilon_is: question.priced.short(),
        noise: question.priced.standing().map(|standing| match standing.is_simulated() {
            true => "simulation",
            false => "release",
        }),
        stands_for: question.priced.sentence(),
        delta: question.delta,
        relation: question.relation,
        mechanism: &question.mechanism,
        sampling: &question.sampling,
        orders: &question.orders_name,
        rows: rows.collect(),
        not_covered: &question.not_covered,
        warnings: &question.warnings,
    };
    let text = serde_json::to_string_pretty(&answer)
        .map_err(|error| Failure::failed(format_args!("the answer has no JSON form: {error}")))?;
    hand_over(text)
}

#[derive(Serialize)]
struct Answer<'a> {
    source: &'a str,
    /// `planned`, `simulated`, `release` or `unknown`, and what else must be said with every ε.
    epsilon_is: String,
    /// Where the noise came from; none where nobody said.
    noise: Option<&'static str>,
    /// The same in sentences.
    stands_for: String,
    delta: dp_accounting::Delta,
    relation: Neighboring,
    mechanism: &'a str,
    sampling: &'a str,
    orders: &'a str,
    rows: Vec<Row<'a>>,
    not_covered: &'a [String],
    warnings: &'a [String],
}

#[derive(Serialize)]
struct Row<'a> {
    label: &'a str,
    /// Whether it stands for several runs or a search.
    together: bool,
    releases: u64,
    rdp_classic: Bound,
    rdp_improved: Bound,
    rdp_best_order: Bound,
    exact: Option<EpsilonInterval>,
    /// Why there is no exact interval.
    exact_refused: Option<String>,
    /// In its place, the interval on a grid of privacy losses.
    grid: Option<EpsilonInterval>,
    ledger: &'a Ledger,
}

/// A Rényi bound; the order is `"inf"` where composing pure guarantees is best.
#[derive(Serialize)]
struct Bound {
    epsilon: dp_accounting::Epsilon,
    order: Option<dp_accounting::Epsilon>,
}

impl From<RdpEpsilon> for Bound {
    fn from(found: RdpEpsilon) -> Self {
        // An order is a number that may be infinite, which the type for ε knows how to write.
        let order = found.order.and_then(|order| dp_accounting::Epsilon::new(order).ok());
        Self { epsilon: found.epsilon, order }
    }
}

impl<'a> Row<'a> {
    fn new(case: &'a Case, prices: &Prices) -> Self {
        Self {
            label: &case.label,
            together: case.together,
            releases: case.ledger.len(),
            rdp_classic: prices.classic.into(),
            rdp_improved: prices.improved.into(),
            rdp_best_order: prices.best.into(),
            exact: prices.exact.as_ref().ok().copied(),
            exact_refused: prices.exact.as_ref().err().map(ToString::to_string),
            grid: prices.grid,
            ledger: &case.ledger,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_size_leave_a_space_between_columns() {
        for exponent in -320..=306 {
            for digits in ["9.999999999", "1.000000001", "5.55555555555"] {
                let epsilon: f64 = format!("{digits}e{exponent}").parse().expect("a number");
                let shown = number(epsilon);
                // With a star, and a space before it.
                assert!(shown.chars().count() + 2 <= NUMBER, "{epsilon:e}: {shown}");
                let back: f64 = shown.parse().expect("a number");
                let slack = if epsilon < 1e3 { 5e-7 } else { 0.0 };
                assert!(back >= epsilon - slack && back <= epsilon * 1.002 + 5e-7, "{shown}");
            }
        }
    }
}
