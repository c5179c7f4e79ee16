//! `cargo xtask data show`: a picture of some clients.

use std::path::PathBuf;

use clap::ValueEnum;
use fed_data::contact_sheet::contact_sheet;
use fed_data::{FederatedData, Split};
use fed_sim::durable;

use super::Source;
use crate::failure::Failure;
use crate::numbers::whole;
use crate::say;

/// Which of a client's examples.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Part {
    /// What it trains on
    Train,
    /// What it set aside
    Test,
}

/// What to show.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    source: Source,
    /// Where to write the picture
    #[arg(long, short, value_name = "FILE", default_value = "clients.png")]
    out: PathBuf,
    /// Clients to show, by id; evenly spaced ones if none is named
    #[arg(long = "client", value_name = "ID")]
    clients: Vec<String>,
    /// How many clients to show if none is named
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = whole::<u16>(1, 1000))]
    rows: u16,
    /// Examples of each client
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = whole::<u16>(1, 1000))]
    columns: u16,
    /// Size of a pixel
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = whole::<u16>(1, 32))]
    scale: u16,
    /// Which of the clients' examples
    #[arg(long, value_enum, default_value = "train")]
    split: Part,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let data = args.source.open()?;
    let split = match args.split {
        Part::Train => &data.train,
        Part::Test => &data.test,
    };
    let clients = clients(args, split)?;
    let png = contact_sheet(split, &clients, args.columns.into(), args.scale.into())?;
    durable::replace(&args.out, &png)?;
    say(&data.source)?;
    let ids: Vec<_> = clients.iter().map(|&client| split.client_id(client)).collect();
    say(format_args!("{}: from top to bottom {}", args.out.display(), ids.join(", ")))
}

/// The clients that were named, or some evenly spaced ones.
fn clients(args: &Args, split: &Split) -> Result<Vec<usize>, Failure> {
    if args.clients.is_empty() {
        let rows = usize::from(args.rows).min(split.num_clients());
        return Ok((0..rows).map(|row| row * split.num_clients() / rows).collect());
    }
    args.clients
        .iter()
        .map(|id| {
            split.find(id).ok_or_else(|| {
                Failure::bad_input(format_args!(
                    "there is no client `{id}`; the first is `{}`, the last `{}`",
                    split.client_id(0),
                    split.client_id(split.num_clients() - 1)
                ))
            })
        })
        .collect()
}
