//! A configuration's price before it runs, and the mechanism that earns it.

use std::collections::BTreeSet;
use std::num::NonZeroU64;

use dp_accounting::calibrate::{ClientSearch, ClientVerdict};
use dp_accounting::rdp::{self, Conversion};
use dp_accounting::{Accountant, AccountingError, Epsilon, Ledger, Neighboring, RdpAccountant};
use dp_agg::{
    AggregateError, Aggregator, Clipping, GaussianAggregator, GaussianConfig, NoiseMode,
    NoiseSplit, PlainMean, RobustConfig, RobustMean, Zeroing,
};
use fed_model::Learner;

use crate::cohort::{CohortSampler, Sampling};
use crate::config::{AccountingConfig, AggregationConfig, Experiment, Orders, RunConfig};
use crate::error::SimError;
use crate::keys;

/// The sampler of a run on a population of this many clients.
///
/// # Errors
/// [`SimError::Cohort`] if such cohorts cannot be drawn.
pub fn sampler(config: &RunConfig, population: usize) -> Result<CohortSampler, SimError> {
    CohortSampler::new(config.sampling, population, config.clients_per_round)
}

/// Whether such a run can be made with this learner.
///
/// # Errors
/// [`SimError::Config`] for a release with a learner that does not [keep clients
/// apart](Learner::keeps_apart).
pub(crate) fn check_learner(config: &RunConfig, learner: &dyn Learner) -> Result<(), SimError> {
    if config.noise == NoiseMode::Simulation || learner.keeps_apart() {
        return Ok(());
    }
    let message = format!(
        "release noise covers one client's own update, and with {} a client may also move those \
         that train beside it, by roundings: take --backend cpu, flex or ndarray, or noise = \
         \"simulation\"",
        learner.describe()
    );
    Err(SimError::config("noise", message))
}

/// The aggregator of a run, before its first round.
///
/// # Errors
/// [`AggregateError`] if a setting is out of range.
pub fn aggregator(config: &RunConfig) -> Result<Box<dyn Aggregator>, AggregateError> {
    Ok(match config.aggregation {
        AggregationConfig::Private { zeroing, clipping } => {
            Box::new(GaussianAggregator::new(gaussian(config, zeroing, clipping))?)
        }
        AggregationConfig::Mean { weighting } => Box::new(PlainMean::new(weighting)),
        AggregationConfig::Robust { zeroing, clipping, weighting } => {
            let clipping = Some(clipping);
            Box::new(RobustMean::new(RobustConfig { zeroing, clipping, weighting })?)
        }
    })
}

fn gaussian(config: &RunConfig, zeroing: Zeroing, clipping: Clipping) -> GaussianConfig {
    GaussianConfig {
        noise_multiplier: config.noise_multiplier.get(),
        clients_per_round: config.clients_per_round,
        zeroing,
        clipping,
    }
}

/// How the run's noise is split between the updates and the counts behind an adaptive clip norm
/// and a noised zeroing threshold.
///
/// # Errors
/// [`AggregateError`] if the noise cannot be split.
pub fn noise_split(config: &RunConfig) -> Result<NoiseSplit, AggregateError> {
    match config.aggregation {
        AggregationConfig::Private { zeroing, clipping } => {
            Ok(*GaussianAggregator::new(gaussian(config, zeroing, clipping))?.split())
        }
        _ => NoiseSplit::all_on_values(config.noise_multiplier.get()),
    }
}

/// The releases that all rounds of the run will make: what its ledger will hold.
///
/// # Errors
/// [`SimError`] if the run cannot be.
pub fn planned_ledger(config: &RunConfig, population: usize) -> Result<Ledger, SimError> {
    let event = sampler(config, population)?.amplify(aggregator(config)?.event());
    let mut ledger = Ledger::new();
    ledger.record_many(event, NonZeroU64::from(config.rounds));
    Ok(ledger)
}

/// Whether these runs, each with the version of its [random keys](keys), have nothing in common but
/// their clients: what every price of several runs takes for granted.
///
/// Under the first keys simulated runs of one seed shared noise and cohorts. A combination of two
/// of their models has no noise, so no sum of their prices says what they tell together.
#[must_use]
pub fn are_independent<'r>(runs: impl IntoIterator<Item = (&'r RunConfig, u32)>) -> bool {
    let mut seeds = BTreeSet::new();
    runs.into_iter()
        .filter(|(run, version)| *version < keys::INDEPENDENT && run.noise == NoiseMode::Simulation)
        .all(|(run, _)| seeds.insert(run.seed))
}

/// ε of all these runs on the same clients together, if every one of them is released. Runs that
/// differ in nothing but what [no key](keys) depends on are one run, which is counted twice.
///
/// All must have one sampling, one accounting and one δ, as the runs of one experiment have.
///
/// # Errors
/// [`SimError`] if a run cannot be, or has no price.
pub fn epsilon_of_all(runs: &[RunConfig], population: usize) -> Result<Epsilon, SimError> {
    let Some(first) = runs.first() else { return Ok(Epsilon::ZERO) };
    let ledgers: Vec<Ledger> =
        runs.iter().map(|run| planned_ledger(run, population)).collect::<Result<_, _>>()?;
    epsilon_of_ledgers(first, sampler(first, population)?.relation(), &ledgers)
}

/// ε that so many rounds of the run will cost.
///
/// # Errors
/// [`SimError`] if the run cannot be, or has no price.
pub fn planned_epsilon(
    config: &RunConfig,
    population: usize,
    rounds: u64,
) -> Result<Epsilon, SimError> {
    let sampler = sampler(config, population)?;
    let mut ledger = Ledger::new();
    if let Some(rounds) = NonZeroU64::new(rounds) {
        ledger.record_many(sampler.amplify(aggregator(config)?.event()), rounds);
    }
    epsilon(config, sampler.relation(), &ledger)
}

/// The first `wanted` releases of a ledger.
#[must_use]
pub fn first(ledger: &Ledger, wanted: u64) -> Ledger {
    let mut part = Ledger::new();
    let mut left = wanted;
    for entry in ledger.entries() {
        if let Some(count) = NonZeroU64::new(entry.count.get().min(left)) {
            part.record_many(entry.event.clone(), count);
            left -= count.get();
        }
    }
    part
}

/// ε of so many runs with this ledger, by composition.
///
/// # Errors
/// As [`epsilon_of_ledgers`].
pub fn epsilon_of_copies(
    config: &RunConfig,
    relation: Neighboring,
    ledger: &Ledger,
    runs: u64,
) -> Result<Epsilon, SimError> {
    let mut all = Ledger::new();
    for entry in ledger.entries() {
        match NonZeroU64::new(entry.count.get().saturating_mul(runs)) {
            Some(count) => all.record_many(entry.event.clone(), count),
            None => return Ok(Epsilon::ZERO),
        }
    }
    epsilon(config, relation, &all)
}

/// ε of everything on these ledgers together, at the δ of `config`, by its accountant.
///
/// # Errors
/// [`SimError::Accounting`] if the accountant has no proof for what is on them.
pub fn epsilon_of_ledgers<'a>(
    config: &RunConfig,
    relation: Neighboring,
    ledgers: impl IntoIterator<Item = &'a Ledger>,
) -> Result<Epsilon, SimError> {
    let mut all = Ledger::new();
    for entry in ledgers.into_iter().flat_map(Ledger::entries) {
        all.record_many(entry.event.clone(), entry.count);
    }
    epsilon(config, relation, &all)
}

/// The accountant that a configuration asks for.
fn accountant(
    config: &AccountingConfig,
    relation: Neighboring,
) -> Result<RdpAccountant, AccountingError> {
    Ok(RdpAccountant::new(relation)
        .with_orders(orders(&config.orders)?)
        .with_conversion(config.conversion))
}

fn orders(orders: &Orders) -> Result<rdp::Orders, AccountingError> {
    match orders {
        Orders::Tutorial => Ok(rdp::Orders::tutorial()),
        Orders::Best => Ok(rdp::Orders::best()),
        Orders::List(list) => rdp::Orders::list(list.clone()),
    }
}

/// The accountant in words, for a privacy statement.
#[must_use]
pub fn describe_accounting(config: &AccountingConfig) -> String {
    let orders = match &config.orders {
        Orders::Tutorial => "the tutorial's list of orders".to_owned(),
        Orders::Best => "the best real order".to_owned(),
        Orders::List(list) => format!("{} given orders", list.len()),
    };
    let conversion = match config.conversion {
        Conversion::Classic => "classic conversion (Mironov 2017)",
        Conversion::Improved => "improved conversion (Canonne, Kamath, Steinke 2020)",
    };
    format!("Rényi differential privacy, {orders}, {conversion}")
}

/// ε of everything on `ledger`, at the run's δ.
///
/// # Errors
/// [`SimError::Accounting`] if the accountant has no proof for what is on the ledger.
pub fn epsilon(
    config: &RunConfig,
    relation: Neighboring,
    ledger: &Ledger,
) -> Result<Epsilon, SimError> {
    if ledger.is_empty() {
        return Ok(Epsilon::ZERO);
    }
    let mut accountant = accountant(&config.accounting, relation)?;
    ledger.replay(&mut accountant)?;
    Ok(accountant.epsilon(config.delta)?)
}

/// Clients per round and noise multiplier that meet the experiment's target, found by the
/// tutorial's search with the experiment's accountant.
///
/// # Errors
/// [`SimError::Config`] without a `[calibrate]` or if the search does not speak of the
/// experiment's sampling or aggregation; [`SimError::Accounting`] if the search fails.
pub fn calibrate(
    experiment: &Experiment,
    place: &str,
    population: usize,
) -> Result<ClientVerdict, SimError> {
    let Some(wanted) = experiment.calibrate else {
        return Err(SimError::config(
            place,
            "has no [calibrate] (target_epsilon, base_noise_multiplier, base_clients_per_round)",
        ));
    };
    if experiment.sampling != Sampling::Poisson || !experiment.aggregation.is_private() {
        return Err(SimError::config(
            place,
            "[calibrate] needs sampling = \"poisson\" and [aggregation] kind = \"private\"",
        ));
    }
    let base = u64::from(wanted.base_clients_per_round.get());
    if base > population as u64 {
        return Err(SimError::Cohort {
            clients_per_round: base as f64,
            population,
            reason: "[calibrate] base_clients_per_round is larger than the population",
        });
    }
    let search = ClientSearch {
        population: population as u64,
        base_clients: base,
        base_noise_multiplier: wanted.base_noise_multiplier,
        target: wanted.target_epsilon,
    };
    let rounds = u64::from(experiment.rounds.get());
    let orders = orders(&experiment.accounting.orders)?;
    let conversion = experiment.accounting.conversion;
    Ok(search.run_rdp(rounds, experiment.delta, &orders, conversion)?)
}
