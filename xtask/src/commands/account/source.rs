//! Where the question comes from: flags, a configuration, records, or another library.

mod records;

use std::io::{IsTerminal, Read};
use std::num::NonZeroU64;
use std::path::Path;

use dp_accounting::calibrate::{ClientSearch, ClientVerdict};
use dp_accounting::import::{self, ImportError, Origin};
use dp_accounting::rdp::{Conversion, Orders};
use dp_accounting::{AccountingError, Delta, DpEvent, ExactAccountant, Ledger, Neighboring};
use fed_data::Choice;
use fed_sim::config::nearest;
use fed_sim::{CohortSampler, Experiment, PrivacyStatement, RunConfig, Standing, plan};

use super::Args;
use super::priced::Priced;
use crate::commands::train::read_experiment;
use crate::failure::Failure;

/// What is to be priced, in numbers and in words.
pub(super) struct Question {
    /// Where it comes from.
    pub(super) source: String,
    /// What the prices stand for.
    pub(super) priced: Priced,
    /// What is priced, a row each.
    pub(super) cases: Vec<Case>,
    /// Which data sets are neighbours.
    pub(super) relation: Neighboring,
    /// The `δ` of all rows.
    pub(super) delta: Delta,
    /// The orders of the first two Rényi columns.
    pub(super) orders: Orders,
    /// The same in words.
    pub(super) orders_name: String,
    /// How a round protects, in words.
    pub(super) mechanism: String,
    /// How cohorts are drawn, in words.
    pub(super) sampling: String,
    /// How wide exact intervals may be.
    pub(super) width: f64,
    /// Further findings, with their headings.
    pub(super) notes: Vec<(&'static str, String)>,
    /// What the prices do not cover, a sentence each.
    pub(super) not_covered: Vec<String>,
    /// What a reader should be warned of, a sentence each.
    pub(super) warnings: Vec<String>,
}

/// One row.
pub(super) struct Case {
    /// Its name in tables.
    pub(super) label: String,
    /// What is released.
    pub(super) ledger: Ledger,
    /// The noise multiplier, if there is one for all rounds.
    pub(super) noise: Option<f64>,
    /// Whether it stands for several runs, or for a search, and not for a run of its own.
    pub(super) together: bool,
}

impl Case {
    fn run(label: impl Into<String>, ledger: Ledger, noise: Option<f64>) -> Self {
        Self { label: label.into(), ledger, noise, together: false }
    }
}

/// The question that the arguments ask.
pub(super) fn question(args: &Args) -> Result<Question, Failure> {
    let mut question = match (&args.from, &args.import, args.clients) {
        (Some(path), _, _) => named(path, args)?,
        (None, Some(path), _) => foreign(path, args)?,
        (None, None, Some(clients)) => flags(clients, args)?,
        (None, None, None) => {
            return Err(Failure::usage(
                "nothing to price: give --clients, --population, --noise, --rounds and --delta, a \
                 configuration, a run's directory, or --import FILE (see --help)",
            ));
        }
    };
    together(&mut question, args);
    Ok(question)
}

/// What is not covered by any price that is made from numbers alone.
fn not_covered() -> Vec<String> {
    [
        "a program that does not do what is priced: cohorts drawn otherwise, noise drawn in \
         floating point, random streams used twice",
        "whatever else is released: training metrics, counts, test metrics on the clients' own \
         examples",
        "the choice of hyper-parameters by looking at other runs on the same clients",
    ]
    .map(str::to_owned)
    .to_vec()
}

fn wanted_delta(args: &Args) -> Result<Delta, Failure> {
    args.delta.ok_or_else(|| {
        Failure::usage("--delta is missing: the failure probability of the guarantee, such as 1e-5")
    })
}

pub(crate) fn warning_of_delta(delta: Delta, population: u64) -> Option<String> {
    #[expect(clippy::cast_precision_loss, reason = "a share for a sentence")]
    let least = 1.0 / population.max(1) as f64;
    (delta.get() >= least).then(|| {
        format!(
            "δ = {delta} is not below 1/population = {least:.2e}: it would allow the release of a \
             whole client's data"
        )
    })
}

fn tutorial_orders() -> (Orders, String) {
    (Orders::tutorial(), "the tutorial's orders".to_owned())
}

/// A run whose numbers are on the command line.
fn flags(clients: f64, args: &Args) -> Result<Question, Failure> {
    let (Some(population), Some(noise), Some(rounds)) = (args.population, args.noise, args.rounds)
    else {
        // clap has seen to it.
        return Err(Failure::usage("--clients needs --population, --noise and --rounds"));
    };
    let delta = wanted_delta(args)?;
    let size = usize::try_from(population.get()).map_err(Failure::usage)?;
    let sampler =
        CohortSampler::new(args.sampling.into(), size, clients).map_err(Failure::usage)?;
    let mut ledger = Ledger::new();
    ledger.record_many(sampler.amplify(DpEvent::gaussian(noise)), rounds);
    let (orders, orders_name) = tutorial_orders();
    Ok(Question {
        source: "the command line".to_owned(),
        priced: Priced::Plan(None),
        cases: vec![Case::run("this run", ledger, Some(noise.get()))],
        relation: args.relation.map_or_else(|| sampler.relation(), Into::into),
        delta,
        orders,
        orders_name,
        mechanism: format!(
            "Gaussian noise of multiplier {noise} on the sum of clipped contributions"
        ),
        sampling: sampler.describe(),
        notes: Vec::new(),
        width: args.width,
        not_covered: not_covered(),
        warnings: warning_of_delta(delta, population.get()).into_iter().collect(),
    })
}

/// A configuration, a directory, or a ledger.
fn named(path: &Path, args: &Args) -> Result<Question, Failure> {
    let place = path.display();
    let extension = path.extension().and_then(|extension| extension.to_str());
    if path.is_dir() || extension == Some("jsonl") {
        return records::question(path, args);
    }
    if extension == Some("json") {
        return Err(Failure::bad_input(format_args!(
            "{place} is JSON: a history of another library is read with --import {place}"
        )));
    }
    if path.is_file() && extension != Some("toml") {
        return Err(Failure::bad_input(format_args!(
            "{place} is neither a configuration (.toml) nor a ledger (.jsonl)"
        )));
    }
    configured(&read_experiment(path)?, &place.to_string(), args)
}

/// What the runs of a configuration will cost.
fn configured(experiment: &Experiment, place: &str, args: &Args) -> Result<Question, Failure> {
    let population = population(experiment, place, args)?;
    let mut experiment = experiment.clone();
    if let Some(delta) = args.delta {
        experiment.delta = delta;
    }
    let Found { runs, found, notes } = runs(&experiment, place, population)?;
    let mut cases: Vec<Case> = Vec::new();
    for run in &runs {
        let ledger = plan::planned_ledger(run, population)?;
        let z = run.noise_multiplier;
        let label = format!("z = {z}, {} clients", run.clients_per_round);
        // Seeds change nothing about the price of one run.
        if !cases.iter().any(|case| case.label == label) {
            cases.push(Case::run(label, ledger, Some(z.get())));
        }
    }
    let Some(first) = runs.first() else {
        return Err(Failure::bad_input(format_args!("{place} has no run to price")));
    };
    let one_row = cases.len() == 1;
    let ledgers = runs
        .iter()
        .map(|run| Ok((plan::planned_ledger(run, population)?, run.noise_multiplier.get())))
        .collect::<Result<Vec<_>, Failure>>()?;
    released(&mut cases, &ledgers);
    let sampler = plan::sampler(first, population)?;
    let statement = PrivacyStatement::new(first, &sampler, population, &cases[0].ledger, 1)?;
    let mut question = described(statement, experiment.delta, &experiment.accounting, args);
    question.source = format!("{place}{found}");
    question.priced = Priced::Plan(Some(Standing::of(first)));
    question.cases = cases;
    question.notes = notes;
    if !one_row {
        question.mechanism = "Gaussian noise, of the multipliers in the table, on the sum of \
                              clipped updates"
            .to_owned();
        question.sampling = sampling_of_several(first, population);
    }
    Ok(question)
}

/// Adds the row for all runs, if there are several, and one without those that have no noise, whose
/// price is infinite.
fn released(cases: &mut Vec<Case>, ledgers: &[(Ledger, f64)]) {
    let mut add = |label: String, chosen: &dyn Fn(f64) -> bool| {
        let mut all = Ledger::new();
        let chosen = ledgers.iter().filter(|(_, noise)| chosen(*noise));
        chosen.for_each(|(ledger, _)| append(&mut all, ledger, NonZeroU64::MIN));
        cases.push(Case { label, ledger: all, noise: None, together: true });
    };
    let noisy = ledgers.iter().filter(|(_, noise)| *noise > 0.0).count();
    if noisy > 1 && noisy < ledgers.len() {
        add(format!("the {noisy} runs with noise"), &|noise| noise > 0.0);
    }
    if ledgers.len() > 1 {
        add(format!("all {} runs, released", ledgers.len()), &|_| true);
    }
}

/// How cohorts of different sizes are drawn.
fn sampling_of_several(run: &RunConfig, population: usize) -> String {
    match run.sampling {
        fed_sim::Sampling::Poisson => format!(
            "each of {population} users takes part in each round on its own, with probability \
             clients/{population} (Poisson sampling)"
        ),
        fed_sim::Sampling::FixedSize => {
            format!("so many of {population} users in each round, drawn without replacement")
        }
    }
}

/// What a statement says in words; the cases are the caller's.
fn described(
    statement: PrivacyStatement,
    delta: Delta,
    accounting: &fed_sim::config::AccountingConfig,
    args: &Args,
) -> Question {
    let (orders, orders_name) = match &accounting.orders {
        fed_sim::config::Orders::List(list) => match Orders::list(list.clone()) {
            Ok(orders) => (orders, format!("the {} orders of the configuration", list.len())),
            Err(_) => tutorial_orders(),
        },
        _ => tutorial_orders(),
    };
    Question {
        source: String::new(),
        priced: Priced::Run(statement.standing()),
        cases: Vec::new(),
        relation: args.relation.map_or(statement.neighbours, Into::into),
        delta,
        orders,
        orders_name,
        mechanism: statement.mechanism,
        sampling: statement.sampling,
        notes: Vec::new(),
        width: args.width,
        not_covered: statement.not_covered,
        warnings: statement.warnings,
    }
}

/// The runs of an experiment, and how they were found.
struct Found {
    runs: Vec<RunConfig>,
    found: String,
    notes: Vec<(&'static str, String)>,
}

fn runs(experiment: &Experiment, place: &str, population: usize) -> Result<Found, Failure> {
    if experiment.sweep.is_some() {
        return Ok(Found { runs: experiment.runs(), found: String::new(), notes: Vec::new() });
    }
    let verdict = plan::calibrate(experiment, place, population)?;
    let answer = crate::commands::calibrate::answer(experiment, &verdict)?;
    let tried = match &verdict {
        ClientVerdict::Met { evaluations, .. } => evaluations.len(),
        _ => 0,
    };
    #[expect(clippy::cast_precision_loss, reason = "client counts lie far below 2^53")]
    let clients = answer.proposal.clients as f64;
    let run = |&seed| experiment.run(answer.proposal.noise_multiplier, clients, seed);
    let found = format!(" ([calibrate] found {clients} clients in {tried} steps)");
    let runs = experiment.seeds.iter().map(run).collect();
    let notes = vec![("calibrate", searches(experiment, population)?)];
    Ok(Found { runs, found, notes })
}

/// How many clients each accountant asks for.
fn searches(experiment: &Experiment, population: usize) -> Result<String, Failure> {
    let Some(wanted) = experiment.calibrate else { return Ok(String::new()) };
    let search = ClientSearch {
        population: population as u64,
        base_clients: u64::from(wanted.base_clients_per_round.get()),
        base_noise_multiplier: wanted.base_noise_multiplier,
        target: wanted.target_epsilon,
    };
    let (rounds, delta) = (u64::from(experiment.rounds.get()), experiment.delta);
    let renyi = |conversion| search.run_rdp(rounds, delta, &Orders::tutorial(), conversion);
    let exact = || ExactAccountant::new(Neighboring::AddOrRemoveOne);
    let told = |verdict: Result<ClientVerdict, AccountingError>| match verdict {
        Ok(ClientVerdict::Met { answer, .. }) => match answer.accountant {
            // Where the exact accountant refuses others stand in.
            Some("PLD") => format!("{} clients (on a grid of losses)", answer.proposal.clients),
            _ => format!("{} clients", answer.proposal.clients),
        },
        Ok(ClientVerdict::OutOfReach { floor, .. }) => {
            format!("out of reach (the least ε is {:.4})", floor.price.epsilon.get())
        }
        _ => "no answer".to_owned(),
    };
    Ok(format!(
        "ε = {} needs, by the classic conversion {}, by the improved one {}, exactly {}",
        wanted.target_epsilon,
        told(renyi(Conversion::Classic)),
        told(renyi(Conversion::Improved)),
        told(search.run_with(rounds, delta, exact)),
    ))
}

/// How many clients a configuration speaks of, without opening its data.
fn population(experiment: &Experiment, place: &str, args: &Args) -> Result<usize, Failure> {
    if let Some(population) = args.population {
        return usize::try_from(population.get()).map_err(Failure::usage);
    }
    match &experiment.data.source {
        Choice::Path(path) => Err(Failure::usage(format_args!(
            "{place} takes its clients from {}, which is not opened here: say how many there are \
             with --population",
            path.display()
        ))),
        choice => {
            let clients = experiment.data.synthetic.clients;
            if matches!(choice, Choice::Auto) {
                tracing::warn!(
                    "population {clients}, that of the synthetic writers: data are not opened \
                     here; --population says otherwise"
                );
            }
            Ok(clients)
        }
    }
}

/// A history of another library.
fn foreign(path: &Path, args: &Args) -> Result<Question, Failure> {
    let piped = path.as_os_str() == "-";
    let place = if piped { "standard input".to_owned() } else { path.display().to_string() };
    let delta = wanted_delta(args)?;
    let relation = args.relation.map_or(Neighboring::AddOrRemoveOne, Into::into);
    if !piped && path.is_dir() {
        return Err(Failure::bad_input(format_args!("{place} is a folder; --import takes a file")));
    }
    let bytes = if piped { piped_history() } else { std::fs::read(path) }
        .map_err(|error| Failure::bad_input(format_args!("cannot read {place}: {error}")))?;
    let text = String::from_utf8(bytes).map_err(|_| {
        Failure::bad_input(format_args!("{place} is not text: expected JSON in UTF-8"))
    })?;
    let (ledger, origin) = import::ledger(&text, relation).map_err(|error| {
        let hint = match &error {
            ImportError::UnknownEvent { name, .. } => {
                nearest(name, import::event_names()).map(|meant| format!("; did you mean {meant}?"))
            }
            _ => None,
        };
        Failure::bad_input(format_args!("{place}: {error}{}", hint.unwrap_or_default()))
    })?;
    let (writer, mechanism) = match origin {
        Origin::DpAccounting => ("an event of dp_accounting", "as in the events below"),
        Origin::Opacus => (
            "a history of Opacus",
            "Gaussian noise on the sum of gradients, each clipped to the same norm",
        ),
        _ => ("an event of dp-accounting", "as in the events below"),
    };
    let sampling = match origin {
        Origin::Opacus => "every record on its own, at the rate of its entry (Poisson)",
        _ => "as in the events below",
    };
    let (orders, orders_name) = tutorial_orders();
    let noise = single_noise(&ledger);
    Ok(Question {
        source: format!("{place}, {writer}"),
        priced: Priced::Unknown,
        cases: vec![Case::run("this history", ledger, noise)],
        relation,
        delta,
        orders,
        orders_name,
        mechanism: mechanism.to_owned(),
        sampling: sampling.to_owned(),
        notes: Vec::new(),
        width: args.width,
        not_covered: not_covered(),
        warnings: Vec::new(),
    })
}

/// All of standard input, which must be somebody else's output and not a keyboard.
fn piped_history() -> std::io::Result<Vec<u8>> {
    let mut input = std::io::stdin();
    if input.is_terminal() {
        return Err(std::io::Error::other("it is a terminal: pipe a history into the command"));
    }
    let mut bytes = Vec::new();
    input.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The noise multiplier of all entries, if they are Gaussians that share it.
fn single_noise(ledger: &Ledger) -> Option<f64> {
    fn of(event: &DpEvent) -> Option<f64> {
        match event {
            DpEvent::Gaussian { noise_multiplier } => Some(noise_multiplier.get()),
            DpEvent::PoissonSampled { event, .. }
            | DpEvent::FixedSizeSampled { event, .. }
            | DpEvent::SelfComposed { event, .. } => of(event),
            _ => None,
        }
    }
    let mut noises = ledger.entries().iter().map(|entry| of(&entry.event));
    let first = noises.next()??;
    noises.all(|noise| noise.is_some_and(|noise| noise.total_cmp(&first).is_eq())).then_some(first)
}

/// Adds the rows for several runs and for a search, if they were asked for.
fn together(question: &mut Question, args: &Args) {
    let runs: Vec<Ledger> = question
        .cases
        .iter()
        .filter(|case| !case.together)
        .map(|case| case.ledger.clone())
        .collect();
    let several = runs.len() > 1;
    let of_each = if several { " of each" } else { "" };
    if let Some(count) = args.runs {
        let mut all = Ledger::new();
        runs.iter().for_each(|ledger| append(&mut all, ledger, count));
        let label = format!("{count} runs{of_each}, released");
        question.cases.push(Case { label, ledger: all, noise: None, together: true });
    }
    if let Some(best_of) = args.best_of {
        let mut all = Ledger::new();
        for ledger in &runs {
            let event = Box::new(ledger.total());
            all.record(DpEvent::RepeatAndSelect { event, repetitions: best_of.0 });
        }
        let mean = (best_of.0.mean() * 1e4).round() / 1e4;
        let label = format!("best of about {mean}{of_each}");
        question.cases.push(Case { label, ledger: all, noise: None, together: true });
    }
}

/// Adds `count` times all of `ledger`.
fn append(all: &mut Ledger, ledger: &Ledger, count: NonZeroU64) {
    for entry in ledger.entries() {
        match entry.count.checked_mul(count) {
            Some(product) => all.record_many(entry.event.clone(), product),
            // Too many for any accountant, which will say so.
            None => all.record_many(entry.event.clone().repeated(entry.count), count),
        }
    }
}
