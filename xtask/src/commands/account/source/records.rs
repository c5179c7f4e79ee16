//! What runs have cost: the ledgers that they left.

use std::fs;
use std::path::{Path, PathBuf};

use dp_accounting::{Ledger, Neighboring};
use fed_sim::directory::{Status, expect_name, expect_whole, keys_of};
use fed_sim::{PrivacyStatement, RunConfig, RunDirectory, plan};

use super::{Case, Question, described, not_covered, released, tutorial_orders, wanted_delta};
use crate::commands::account::Args;
use crate::commands::account::priced::Priced;
use crate::commands::report;
use crate::failure::Failure;

/// One run's ledger, with what lies beside it.
struct Record {
    ledger: Ledger,
    config: Option<RunConfig>,
    statement: Option<PrivacyStatement>,
}

/// A run's directory, the folder of one run, or a ledger.
pub(super) fn question(path: &Path, args: &Args) -> Result<Question, Failure> {
    let place = path.display().to_string();
    let ledgers = ledgers(path)?;
    let records = ledgers.iter().map(|ledger| read(ledger)).collect::<Result<Vec<_>, _>>()?;
    let several = ledgers.len() > 1;
    if path.join("config.toml").is_file() && path.join("cells").is_dir() {
        let directory = RunDirectory::open(path)?;
        // What was summarised is held against the records too, if something was.
        if ["summary.md", "privacy.json"].iter().any(|name| path.join(name).exists()) {
            report::expect_agreement(&directory)?;
        } else {
            directory.cells()?;
        }
    }
    let mut cases: Vec<Case> = Vec::new();
    for (path, record) in ledgers.iter().zip(&records) {
        // A copy among the runs of a directory would be paid for twice, and counted as two.
        if let (true, Some(folder), Some(config)) = (several, path.parent(), &record.config) {
            expect_name(folder, config)?;
        }
        let noise = record.config.as_ref().map(|config| config.noise_multiplier.get());
        let label = match &record.config {
            Some(config) => format!(
                "z = {}, {} clients, seed {}",
                config.noise_multiplier, config.clients_per_round, config.seed.0
            ),
            None => path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        };
        cases.push(Case::run(label, record.ledger.clone(), noise));
    }
    let noise = |record: &Record| {
        record.config.as_ref().map_or(f64::INFINITY, |config| config.noise_multiplier.get())
    };
    let all: Vec<_> = records.iter().map(|record| (record.ledger.clone(), noise(record))).collect();
    let independent = plan::are_independent(
        ledgers
            .iter()
            .zip(&records)
            .filter_map(|(path, record)| Some((record.config.as_ref()?, keys_of(path.parent()?)))),
    );
    if independent {
        released(&mut cases, &all);
    }
    let mut question = words(records, args)?;
    if !independent {
        let warning = "these runs have no price together: some of one seed were made with random \
                       keys of version 1, under which simulated runs of one seed share their noise";
        question.warnings.push(warning.to_owned());
    }
    question.source = place;
    question.cases = cases;
    Ok(question)
}

/// The words that go with the records.
fn words(records: Vec<Record>, args: &Args) -> Result<Question, Failure> {
    let several = records.len() > 1;
    let Some(first) = records.into_iter().next() else {
        return Err(Failure::bad_input("no ledger"));
    };
    let Some(config) = first.config else {
        let (orders, orders_name) = tutorial_orders();
        return Ok(Question {
            source: String::new(),
            priced: Priced::Unknown,
            cases: Vec::new(),
            relation: args.relation.map_or(Neighboring::AddOrRemoveOne, Into::into),
            delta: wanted_delta(args)?,
            orders,
            orders_name,
            mechanism: "as in the events below".to_owned(),
            sampling: "as in the events below".to_owned(),
            notes: Vec::new(),
            width: args.width,
            not_covered: not_covered(),
            warnings: Vec::new(),
        });
    };
    let delta = args.delta.unwrap_or(config.delta);
    let mut question = match first.statement {
        Some(statement) => described(statement, delta, &config.accounting, args),
        None => {
            // An unfinished run: what it would state, but for a population that nobody wrote down.
            let population = config.clients_per_round.ceil().max(1.0);
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked")]
            let population = population as usize;
            let sampler = plan::sampler(&config, population)?;
            let statement = PrivacyStatement::new(&config, &sampler, population, &first.ledger, 1)?;
            let mut question = described(statement, delta, &config.accounting, args);
            question.sampling = "as in the events below".to_owned();
            question.warnings = vec!["the run has not finished: this is its price so far".into()];
            question
        }
    };
    if several {
        question.mechanism =
            "Gaussian noise, of the multipliers in the table, on the sum of clipped updates"
                .to_owned();
        question.sampling = "as in the events below".to_owned();
    }
    Ok(question)
}

/// The ledgers at a place, in the order of their names.
fn ledgers(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    let place = path.display();
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let own = path.join("ledger.jsonl");
    if own.is_file() {
        return Ok(vec![own]);
    }
    let cells = path.join("cells");
    if !cells.is_dir() {
        return Err(Failure::bad_input(format_args!(
            "{place} holds no ledger: a run's directory has a folder cells/, the folder of one run \
             a ledger.jsonl"
        )));
    }
    let unreadable = |error| Failure::bad_input(format_args!("cannot read {place}: {error}"));
    let mut found = Vec::new();
    for entry in fs::read_dir(&cells).map_err(unreadable)? {
        let folder = entry.map_err(unreadable)?.path();
        let ledger = folder.join("ledger.jsonl");
        if ledger.is_file() {
            found.push(ledger);
        } else if folder.join("privacy.json").is_file() {
            return Err(Failure::bad_input(format_args!(
                "{} is missing, though its run has finished: its price cannot be checked",
                ledger.display()
            )));
        }
    }
    if found.is_empty() {
        return Err(Failure::bad_input(format_args!(
            "{place} holds no ledger.jsonl: none of its runs has written one yet"
        )));
    }
    found.sort();
    Ok(found)
}

/// Reads a ledger, checks its chain, and compares its end with the statement beside it.
fn read(path: &Path) -> Result<Record, Failure> {
    let place = path.display();
    let text = fs::read_to_string(path)
        .map_err(|error| Failure::bad_input(format_args!("cannot read {place}: {error}")))?;
    if text.trim().is_empty() {
        return Err(Failure::bad_input(format_args!("{place} is empty: nothing was released")));
    }
    let (ledger, chain) = Ledger::from_json_lines(&text)
        .map_err(|error| Failure::bad_input(format_args!("{place}: {error}")))?;
    let config: Option<RunConfig> = beside(path, "config.toml", |text| {
        toml::from_str(text).map_err(|error| error.to_string())
    })?;
    let mut statement: Option<PrivacyStatement> = beside(path, "privacy.json", |text| {
        serde_json::from_str(text).map_err(|error| error.to_string())
    })?;
    if statement.as_ref().is_some_and(|statement| statement.ledger_head != chain.head()) {
        let status: Option<Status> = beside(path, "status.json", |text| {
            serde_json::from_str(text).map_err(|error| error.to_string())
        })?;
        // A run that goes on after its budget was raised has outgrown what it stated.
        statement = statement.filter(|_| status.is_none_or(|status| status.state.is_over()));
    }
    if let Some(statement) = &statement
        && statement.ledger_head != chain.head()
    {
        return Err(Failure::bad_input(format_args!(
            "{place} does not end where the run's privacy.json says it does: it was shortened, \
             extended or written anew since"
        )));
    }
    if let Some(folder) = path.parent().filter(|_| path.ends_with("ledger.jsonl")) {
        // What stands beside it is what the run ended with.
        expect_whole(folder)?;
    }
    Ok(Record { ledger, config, statement })
}

/// A file beside the ledger, if it is there.
fn beside<T>(
    ledger: &Path,
    name: &str,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<Option<T>, Failure> {
    let path = ledger.with_file_name(name);
    if !path.is_file() {
        return Ok(None);
    }
    let place = path.display();
    let text = fs::read_to_string(&path)
        .map_err(|error| Failure::bad_input(format_args!("cannot read {place}: {error}")))?;
    parse(&text).map(Some).map_err(|error| Failure::bad_input(format_args!("{place}: {error}")))
}
