//! A run directory's summary against the records that it was made from.
//!
//! A summary is made anew by every `report`, so what may stand in an old one is what the records
//! said when it was written: of settings that have gone on since it may say less, but it may not say
//! otherwise what the same rounds of the same runs cost.

use std::collections::BTreeMap;

use dp_accounting::Epsilon;
use fed_sim::directory::{read_csv, read_file};
use fed_sim::standing::shown;
use fed_sim::{Cell, PrivacyStatement, RunDirectory, SimError};

pub(super) const TABLE: &str = "summary.md";
pub(super) const ROWS: &str = "summary.csv";
const STATEMENT: &str = "privacy.json";
const STATEMENT_TEXT: &str = "privacy.txt";

/// A summary as the records say that it should be.
pub(super) struct Due {
    /// `summary.md`.
    pub(super) table: String,
    /// `summary.csv`.
    pub(super) rows: Vec<u8>,
    /// ε of each setting that has one, by its ledgers.
    pub(super) prices: Vec<Price>,
}

/// What one setting costs after its last round.
#[derive(Clone, Copy, Debug)]
pub(super) struct Price {
    pub(super) noise: f64,
    pub(super) clients: f64,
    pub(super) rounds: u32,
    pub(super) epsilon: Epsilon,
}

fn altered(directory: &RunDirectory, name: &str, message: String) -> SimError {
    let how = "or remove it to have it written anew";
    SimError::config(
        directory.path().join(name).display().to_string(),
        format!("{message}: put it back as it was, {how}"),
    )
}

/// Refuses a directory whose summary, or whose copy of a statement, says otherwise than its records.
pub(super) fn expect_same(
    directory: &RunDirectory,
    cells: &[Cell],
    due: &Due,
) -> Result<(), SimError> {
    let current = rows(directory, due)?;
    table(directory, due, current)?;
    statement(directory, cells)
}

/// Which settings stand in `summary.csv` as the records have them now, and whether all do.
struct Current {
    settings: Vec<Price>,
    /// The file is the very one that would be written.
    whole: bool,
}

fn rows(directory: &RunDirectory, due: &Due) -> Result<Current, SimError> {
    let path = directory.path().join(ROWS);
    let mut settings = Vec::new();
    let Some(bytes) = read_file(&path)? else { return Ok(Current { settings, whole: false }) };
    let number = |row: &BTreeMap<String, String>, name: &str| -> Option<f64> {
        row.get(name).and_then(|text| text.parse().ok())
    };
    for row in read_csv(&path)? {
        let (Some(noise), Some(clients), Some(rounds), Some(epsilon)) = (
            number(&row, "noise_multiplier"),
            number(&row, "clients_per_round"),
            number(&row, "rounds"),
            number(&row, "epsilon"),
        ) else {
            continue;
        };
        let Some(price) = due.prices.iter().find(|price| {
            same(price.noise, noise)
                && same(price.clients, clients)
                && same(f64::from(price.rounds), rounds)
        }) else {
            continue;
        };
        if !same(price.epsilon.get(), epsilon) {
            let message = format!(
                "it says that noise multiplier {noise} with {clients} clients costs ε = {epsilon}, \
                 but by the ledgers it is {}",
                price.epsilon
            );
            return Err(altered(directory, ROWS, message));
        }
        settings.push(*price);
    }
    Ok(Current { settings, whole: bytes == due.rows })
}

fn table(directory: &RunDirectory, due: &Due, current: Current) -> Result<(), SimError> {
    let Some(bytes) = read_file(&directory.path().join(TABLE))? else { return Ok(()) };
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<Vec<&str>> = text
        .lines()
        // The first table is that of the prices.
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    let place = |name: &str| {
        lines.first().and_then(|names| names.iter().position(|head| head.contains(name)))
    };
    let (noise, clients, epsilon) = (place("noise"), place("clients"), place("ε"));
    for line in lines.iter().skip(2) {
        let cell = |place: Option<usize>| place.and_then(|place| line.get(place)).copied();
        let number = |place| cell(place).and_then(|text| text.parse::<f64>().ok());
        let (Some(noise), Some(clients), Some(told)) =
            (number(noise), number(clients), cell(epsilon))
        else {
            continue;
        };
        let setting = current
            .settings
            .iter()
            .find(|price| same(price.noise, noise) && same(price.clients, clients));
        if let Some(price) = setting
            && told != shown(price.epsilon)
        {
            let message = format!(
                "it says that noise multiplier {noise} with {clients} clients costs ε = {told}, but \
                 by the ledgers it is {}",
                shown(price.epsilon)
            );
            return Err(altered(directory, TABLE, message));
        }
    }
    if current.whole && bytes != due.table.as_bytes() {
        let message = "it does not say what the records of its runs say".to_owned();
        return Err(altered(directory, TABLE, message));
    }
    Ok(())
}

/// The statement that `final` puts beside the table: that of one of the runs, as it is or, where the
/// run has gone on since, as it was.
fn statement(directory: &RunDirectory, cells: &[Cell]) -> Result<(), SimError> {
    if read_file(&directory.path().join(STATEMENT))?.is_none() {
        return Ok(());
    }
    let told: PrivacyStatement = directory.read_json(STATEMENT)?;
    let same_ledger = cells.iter().find(|cell| cell.privacy.ledger_head == told.ledger_head);
    let outgrown =
        || cells.is_empty() || cells.iter().any(|cell| cell.privacy.rounds > told.rounds);
    match same_ledger {
        Some(cell) if cell.privacy == told => {}
        None if outgrown() => return Ok(()),
        _ => {
            let message = "it is not the statement of any run of the directory".to_owned();
            return Err(altered(directory, STATEMENT, message));
        }
    }
    match read_file(&directory.path().join(STATEMENT_TEXT))? {
        Some(text) if told.epsilon_is.is_some() && text != told.to_string().as_bytes() => {
            let message = "it does not say what privacy.json beside it says".to_owned();
            Err(altered(directory, STATEMENT_TEXT, message))
        }
        _ => Ok(()),
    }
}

/// The same number, but for the last bits.
fn same(one: f64, other: f64) -> bool {
    one.total_cmp(&other).is_eq() || (one - other).abs() <= 1e-9 * other.abs()
}
