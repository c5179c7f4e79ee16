//! `cargo xtask account`: what a run costs, by every accountant, without training it.
//!
//! A question comes from flags, a configuration, a run's records or another library's history
//! ([`source`]), is priced by all accountants ([`price`]) and answered as text or JSON
//! ([`answer`]), and drawn if asked ([`curve`]). No data set is opened and nothing is trained.

mod answer;
mod curve;
mod price;
mod priced;
mod repeats;
mod source;

use std::num::NonZeroU64;
use std::path::PathBuf;

use clap::ValueEnum;
use dp_accounting::{Delta, Neighboring, NoiseMultiplier};
use fed_sim::Sampling;

use crate::count::{mean, whole};
use crate::failure::Failure;
use price::Accountants;
use repeats::BestOf;
pub(crate) use source::warning_of_delta;

/// Say what a run costs, by classic and improved Rényi accounting and exactly, without training
///
/// Name a run in one of four ways: flags (--clients --population --noise --rounds --delta), a TOML
/// configuration, a finished run's directory or ledger, or another library's history (--import).
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Args {
    /// A configuration (TOML), a run's directory, the folder of one of its runs, or a ledger.jsonl
    #[arg(conflicts_with_all = ["clients", "noise", "rounds", "import"])]
    from: Option<PathBuf>,
    /// Clients per round: the expected number, or the exact one with --sampling fixed-size
    #[arg(long, value_name = "M", value_parser = mean, allow_hyphen_values = true)]
    #[arg(requires_all = ["population", "noise", "rounds"])]
    clients: Option<f64>,
    /// All clients there are
    #[arg(long, value_name = "N", value_parser = whole, allow_hyphen_values = true)]
    population: Option<NonZeroU64>,
    /// Noise multiplier: standard deviation of the noise over the clip norm; 0 is no noise
    #[arg(long, value_name = "Z", value_parser = noise, allow_hyphen_values = true)]
    #[arg(requires_all = ["clients", "population", "rounds"])]
    noise: Option<NoiseMultiplier>,
    /// Rounds of training
    #[arg(long, value_name = "T", value_parser = whole, allow_hyphen_values = true)]
    #[arg(requires_all = ["clients", "population", "noise"])]
    rounds: Option<NonZeroU64>,
    /// Failure probability of the guarantee [default: that of the configuration or the run]
    #[arg(long, value_name = "D", value_parser = delta, allow_hyphen_values = true)]
    delta: Option<Delta>,
    /// How cohorts are drawn
    #[arg(long, value_enum, default_value = "poisson", conflicts_with_all = ["from", "import"])]
    sampling: Draw,
    /// Which data sets are neighbours [default: replace for cohorts of fixed size, else
    /// add-or-remove]
    #[arg(long, value_enum)]
    relation: Option<Relation>,
    /// A history of dp_accounting (a DpEvent as JSON) or Opacus ([[noise, rate, steps], ...]); - is
    /// standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["clients", "noise", "rounds"])]
    import: Option<PathBuf>,
    /// Also price this many runs like the one named, on the same clients, all of them released
    #[arg(long, value_name = "K", value_parser = whole, allow_hyphen_values = true)]
    runs: Option<NonZeroU64>,
    /// Also price a search that repeats the run a random number of times and publishes only the
    /// best: a mean, or geometric:MEAN, logarithmic:MEAN, poisson:MEAN
    #[arg(long, value_name = "MEAN", allow_hyphen_values = true)]
    best_of: Option<BestOf>,
    /// Width of the exact interval, in units of epsilon
    #[arg(long, value_name = "W", default_value = "1e-9", allow_hyphen_values = true)]
    width: f64,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Draw epsilon against rounds and against noise: epsilon.svg and epsilon.png in this folder
    #[arg(long, value_name = "DIR")]
    curve: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  cargo xtask account --clients 50 --population 3383 --noise 0.5 --rounds 100 --delta 1e-5
  cargo xtask account configs/noise_sweep.toml --json
  cargo xtask account runs/final-1 --curve figures
  cargo xtask account --import history.json --delta 1e-6
";

/// How cohorts are drawn.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Draw {
    /// Every client on its own with probability M/N
    Poisson,
    /// Exactly M clients, all subsets alike
    FixedSize,
}

impl From<Draw> for Sampling {
    fn from(draw: Draw) -> Self {
        match draw {
            Draw::Poisson => Self::Poisson,
            Draw::FixedSize => Self::FixedSize,
        }
    }
}

/// Which data sets are neighbours.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Relation {
    /// One has a client that the other lacks
    AddOrRemove,
    /// A client is another one: sums move by up to twice the clip norm
    Replace,
    /// A client's contribution is blanked
    ZeroOut,
}

impl From<Relation> for Neighboring {
    fn from(relation: Relation) -> Self {
        match relation {
            Relation::AddOrRemove => Self::AddOrRemoveOne,
            Relation::Replace => Self::ReplaceOne,
            Relation::ZeroOut => Self::ZeroOutOne,
        }
    }
}

fn noise(text: &str) -> Result<NoiseMultiplier, String> {
    let value: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    NoiseMultiplier::new(value).map_err(|error| error.to_string())
}

fn delta(text: &str) -> Result<Delta, String> {
    let value: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    Delta::new(value).map_err(|error| error.to_string())
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let question = source::question(args)?;
    let accountants = Accountants::new(&question, question.width)?;
    let rows =
        question.cases.iter().map(|case| accountants.price(case)).collect::<Result<Vec<_>, _>>()?;
    if let Some(folder) = &args.curve {
        curve::draw(&question, folder)?;
    }
    if args.json { answer::json(&question, &rows) } else { answer::text(&question, &rows) }
}
