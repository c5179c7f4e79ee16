//! `cargo xtask sweep`: every setting of a grid, side by side.

use std::path::PathBuf;

use fed_data::FederatedData;

use super::report;
use super::train::{Session, TrainArgs, heed_audits, read_experiment};
use crate::failure::Failure;
use crate::tell;

/// Train every setting of a grid and compare them: table, figures, records.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What to run: a TOML file with a `[sweep]`
    #[arg(required_unless_present = "resume")]
    config: Option<PathBuf>,
    #[command(flatten)]
    train: TrainArgs,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    args.train.backend.hand_over_if_missing()?;
    let recorded = args.train.recorded(args.config.as_ref())?;
    let (mut experiment, place) = match (&args.config, recorded) {
        (Some(path), _) => (read_experiment(path)?, path.display().to_string()),
        (None, Some(recorded)) => recorded,
        (None, None) => {
            return Err(Failure::usage("name a configuration, or --resume a directory"));
        }
    };
    if experiment.sweep.is_none() {
        return Err(Failure::bad_input(format_args!(
            "{place} has no [sweep]; `cargo xtask final` runs a [calibrate]"
        )));
    }
    args.train.put_into(&mut experiment);
    let dataset = args.train.data.open(&mut experiment)?;
    let runs = experiment.runs();
    for run in &runs {
        run.check(&place)?;
    }
    let session = Session::open(&args.train, experiment, dataset, &runs)?;
    session.say_data()?;
    tell(format_args!(
        "Sweep: {} of {} rounds on {} clients, trained by {}\n",
        if runs.len() == 1 { "1 run".to_owned() } else { format!("{} runs", runs.len()) },
        session.experiment.rounds,
        session.dataset.train.num_clients(),
        session.describe_learners()
    ))?;
    let failures = session.train(&runs)?;
    report::write(&session.directory)?;
    heed_audits(&session.directory)?;
    failures.into_result()
}
