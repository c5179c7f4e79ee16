//! `cargo xtask final`: calibrate, train the private model, state its guarantee.

use std::path::PathBuf;

use fed_data::FederatedData;
use fed_sim::plan;

use super::calibrate::{answer, open, sentence};
use super::report;
use super::train::{Session, TrainArgs, heed_audits};
use crate::failure::Failure;
use crate::{interrupt, say, tell};

/// Calibrate, train the private model, and state its guarantee in full.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What to meet and to train: a TOML file with a `[calibrate]` [default: configs/final.toml]
    config: Option<PathBuf>,
    #[command(flatten)]
    train: TrainArgs,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    args.train.backend.hand_over_if_missing()?;
    let recorded = args.train.recorded(args.config.as_ref())?;
    let (mut experiment, place) = match (&args.config, recorded) {
        (None, Some(recorded)) => recorded,
        (config, _) => open(config.as_ref())?,
    };
    args.train.put_into(&mut experiment);
    let dataset = args.train.data.open(&mut experiment)?;
    let verdict = plan::calibrate(&experiment, &place, dataset.train.num_clients())?;
    let answer = answer(&experiment, &verdict)?;
    let clients = answer.proposal.clients as f64;
    let noise = answer.proposal.noise_multiplier;
    let runs: Vec<_> =
        experiment.seeds.iter().map(|&seed| experiment.run(noise, clients, seed)).collect();
    for run in &runs {
        run.check(&place)?;
    }
    let session = Session::open(&args.train, experiment, dataset, &runs)?;
    session.say_data()?;
    tell(sentence(&session.experiment, &answer))?;
    tell(format_args!("Trained by {}\n", session.describe_learners()))?;
    let failures = session.train(&runs)?;
    report::write(&session.directory)?;
    if let Some(cell) = session.directory.cells()?.first() {
        interrupt::whole(|| {
            session.directory.write("privacy.txt", cell.privacy.to_string())?;
            session.directory.write_json("privacy.json", &cell.privacy)
        })?;
        say(format_args!("\n{}", cell.privacy))?;
    }
    heed_audits(&session.directory)?;
    failures.into_result()
}
