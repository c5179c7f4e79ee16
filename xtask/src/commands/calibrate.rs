//! `cargo xtask calibrate`: clients per round for a privacy target.

use std::path::PathBuf;

use dp_accounting::calibrate::{ClientVerdict, Evaluation};
use fed_data::FederatedData;
use fed_sim::{Experiment, plan};

use super::account::warning_of_delta;
use super::train::{DataArgs, read_experiment};
use crate::failure::Failure;
use crate::{say, tell};

/// The experiment that `calibrate` and `final` run where no file is named.
const FINAL: &str = include_str!("../../../configs/final.toml");

/// Find the clients per round that meet a privacy target.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What to meet: a TOML file with a `[calibrate]` [default: configs/final.toml]
    config: Option<PathBuf>,
    #[command(flatten)]
    data: DataArgs,
    /// Print every step of the search
    #[arg(short, long)]
    verbose: bool,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let (mut experiment, place) = open(args.config.as_ref())?;
    let dataset = args.data.open(&mut experiment)?;
    let verdict = plan::calibrate(&experiment, &place, dataset.train.num_clients())?;
    if args.verbose {
        tell(format_args!("Data: {}", dataset.source))?;
        say(format_args!(
            "{} rounds, population {}, δ = {:e}, {}; planned prices ({})",
            experiment.rounds,
            dataset.train.num_clients(),
            experiment.delta.get(),
            plan::describe_accounting(&experiment.accounting),
            experiment.standing()
        ))?;
        let (ClientVerdict::Met { evaluations, .. }
        | ClientVerdict::OutOfReach { evaluations, .. }) = &verdict
        else {
            return Ok(());
        };
        say(format_args!(
            "{:>9} {:>17} {:>11} {:>7}",
            "clients", "noise multiplier", "ε", "order"
        ))?;
        for step in evaluations {
            let order = step.price.order.map_or_else(|| "-".to_owned(), |order| order.to_string());
            say(format_args!(
                "{:>9} {:>17} {:>11.6} {order:>7}",
                step.proposal.clients,
                rounded(step.proposal.noise_multiplier.get()),
                step.price.epsilon.get(),
            ))?;
        }
    }
    tell(sentence(&experiment, &answer(&experiment, &verdict)?))?;
    match warning_of_delta(experiment.delta, dataset.train.num_clients() as u64) {
        Some(warning) => tell(format_args!("Warning: {warning}")),
        None => Ok(()),
    }
}

/// The experiment in `path`, or the tutorial's, and how to call it in messages.
pub(crate) fn open(path: Option<&PathBuf>) -> Result<(Experiment, String), Failure> {
    match path {
        Some(path) => Ok((read_experiment(path)?, path.display().to_string())),
        None => {
            let place = "configs/final.toml (built in)";
            Ok((Experiment::parse(FINAL, place)?, place.to_owned()))
        }
    }
}

/// The answer of a search, or why there is none.
pub(crate) fn answer(
    experiment: &Experiment,
    verdict: &ClientVerdict,
) -> Result<Evaluation, Failure> {
    match verdict {
        ClientVerdict::Met { answer, .. } => Ok(*answer),
        ClientVerdict::OutOfReach { floor, .. } => {
            let target = experiment.calibrate.map_or(0.0, |wanted| wanted.target_epsilon.get());
            Err(Failure::bad_input(format_args!(
                "ε = {target} cannot be met at this ratio of noise to clients: with all {} clients \
                 in every round and noise multiplier {} it is still {}. Raise target_epsilon \
                 above {}, raise base_noise_multiplier, or train fewer rounds",
                floor.proposal.clients,
                rounded(floor.proposal.noise_multiplier.get()),
                floor.price.epsilon.rounded_up(4),
                floor.price.epsilon.rounded_up(4),
            )))
        }
        _ => Err(Failure::failed("the search gave an answer that this program does not know")),
    }
}

/// The tutorial's sentence.
pub(crate) fn sentence(experiment: &Experiment, answer: &Evaluation) -> String {
    let target = experiment.calibrate.map_or(0.0, |wanted| wanted.target_epsilon.get());
    format!(
        "For ({target}, {:e})-differential privacy after {} rounds, use {} clients per round with \
         noise multiplier {} (planned price: {}).",
        experiment.delta.get(),
        experiment.rounds,
        answer.proposal.clients,
        rounded(answer.proposal.noise_multiplier.get()),
        experiment.standing().show("ε =", answer.price.epsilon),
    )
}

/// A noise multiplier without the last bits of a product: 1.2, not 1.2000000000000002.
fn rounded(value: f64) -> f64 {
    (value * 1e12).round() / 1e12
}
