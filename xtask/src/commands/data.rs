//! `cargo xtask data`: fetch, import and look at client data.

mod show;

use std::path::PathBuf;

use clap::ValueEnum;
use fed_data::fetch::{ARCHIVES, Archive, BASE_URL, Fetch};
use fed_data::{
    Choice, Dataset, OpenOptions, PixelSummary, SizeSummary, Split, SyntheticWriters, Variant,
    cache,
};

use super::train::workspace;
use crate::failure::Failure;
use crate::memory;
use crate::numbers::whole;
use crate::progress::Progress;
use crate::say;

/// Fetch, import and look at client data.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Download the real federated EMNIST into the data folder, checked, going on where it stopped
    Fetch(FetchArgs),
    /// Read a file that is here already and keep its data in the data folder
    Import(ImportArgs),
    /// Print counts for each split and the clients by size
    Info(InfoArgs),
    /// Write a picture of some clients (PNG)
    Show(show::Args),
}

/// Where data lies.
#[derive(Debug, clap::Args)]
struct Folder {
    /// The data folder [default: datasets/ of the workspace]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

impl Folder {
    fn path(&self) -> PathBuf {
        self.data_dir.clone().unwrap_or_else(|| workspace().join("datasets"))
    }
}

/// Which characters.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Characters {
    /// The ten digits
    DigitsOnly,
    /// Digits and letters, 62 classes
    All,
}

impl From<Characters> for Variant {
    fn from(characters: Characters) -> Self {
        match characters {
            Characters::DigitsOnly => Self::DigitsOnly,
            Characters::All => Self::All,
        }
    }
}

/// Which data to look at.
#[derive(Debug, clap::Args)]
struct Source {
    /// `auto`, `synthetic`, or the path of a file or folder
    #[arg(value_name = "SOURCE", default_value = "auto")]
    choice: Choice,
    /// Which characters
    #[arg(long, value_enum, default_value = "digits-only")]
    variant: Characters,
    /// Seed of the synthetic writers
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = whole::<u64>(0, u64::MAX))]
    seed: u64,
    /// Number of synthetic writers
    #[arg(long, value_name = "N", default_value_t = SyntheticWriters::default().clients, value_parser = whole::<usize>(1, 100_000))]
    writers: usize,
    /// Let clients of a file have no example
    #[arg(long)]
    allow_empty_clients: bool,
    #[command(flatten)]
    folder: Folder,
}

impl Source {
    fn options(&self) -> OpenOptions {
        OpenOptions::new()
            .choice(self.choice.clone())
            .variant(self.variant.into())
            .synthetic(SyntheticWriters { seed: self.seed, clients: self.writers })
            .allow_empty_clients(self.allow_empty_clients)
            .data_dir(self.folder.path())
    }

    fn open(&self) -> Result<Dataset, Failure> {
        memory::start_helpers()?;
        let options = self.options();
        let data = Progress::data(|report| options.open_with(report))?;
        for note in &data.notes {
            tracing::warn!("{note}");
        }
        // What is shown is what the digest stands for.
        data.check()?;
        Ok(data)
    }
}

/// What to fetch.
#[derive(Debug, clap::Args)]
pub(crate) struct FetchArgs {
    /// Which archive, by its file name
    #[arg(default_value = ARCHIVES[0].file, value_parser = ARCHIVES.map(|archive| archive.file))]
    archive: String,
    /// Take it from here: a mirror with the same files
    #[arg(long, value_name = "URL", default_value = BASE_URL)]
    url: String,
    #[command(flatten)]
    folder: Folder,
}

/// What to import.
#[derive(Debug, clap::Args)]
pub(crate) struct ImportArgs {
    /// The file, or a folder that holds it
    path: PathBuf,
    /// Which characters
    #[arg(long, value_enum, default_value = "digits-only")]
    variant: Characters,
    /// Let clients have no example
    #[arg(long)]
    allow_empty_clients: bool,
    #[command(flatten)]
    folder: Folder,
}

/// What to print counts of.
#[derive(Debug, clap::Args)]
pub(crate) struct InfoArgs {
    #[command(flatten)]
    source: Source,
    /// Bars of the histogram of client sizes
    #[arg(long, value_name = "N", default_value_t = 14, value_parser = whole::<u16>(1, 200))]
    bins: u16,
    /// Read everything again and compare it with the digest on record, wherever it came from
    #[arg(long)]
    verify: bool,
}

/// Runs the command.
pub(crate) fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Fetch(args) => fetch(args),
        Command::Import(args) => import(args),
        Command::Info(args) => info(args),
        Command::Show(args) => show::run(args),
    }
}

fn fetch(args: &FetchArgs) -> Result<(), Failure> {
    let archive: &Archive = ARCHIVES
        .iter()
        .find(|archive| archive.file == args.archive)
        .ok_or_else(|| Failure::usage(format_args!("there is no archive `{}`", args.archive)))?;
    let fetch = Fetch::new(args.folder.path()).base_url(&args.url);
    let fetched = Progress::data(|report| fetch.run(archive, report))?;
    say(format_args!("{}: {}", fetched.path.display(), archive.about))?;
    say(format_args!(
        "{} bytes, {}",
        fetched.bytes,
        if fetched.already_there { "it lay there already" } else { "fetched" }
    ))?;
    say(format_args!(
        "sha256 {}, {}",
        fetched.sha256,
        if fetched.compared {
            "as it should be"
        } else {
            "put on record: its origin publishes none, later downloads must agree with this one"
        }
    ))
}

fn import(args: &ImportArgs) -> Result<(), Failure> {
    memory::start_helpers()?;
    let options = OpenOptions::new()
        .choice(Choice::Path(args.path.clone()))
        .variant(args.variant.into())
        .allow_empty_clients(args.allow_empty_clients)
        .data_dir(args.folder.path());
    let (data, file) = Progress::data(|report| options.import(report))?;
    for note in &data.notes {
        tracing::warn!("{note}");
    }
    say(format_args!("{}", data.source))?;
    say(format_args!("kept as {}; source = \"auto\" takes it from now on", file.display()))
}

fn info(args: &InfoArgs) -> Result<(), Failure> {
    let data = args.source.open()?;
    let source = &data.source;
    say(source)?;
    if source.synthetic {
        say("SYNTHETIC: drawn by a program; no result on it says anything about real handwriting")?;
    }
    say(format_args!("taken because {}", source.why))?;
    for file in &source.files {
        say(format_args!("file {}", file.display()))?;
    }
    say(format_args!("content sha256 {}", source.digest))?;
    if args.verify {
        cache::verify(&data)?;
        say("every label and pixel read again: as on record")?;
    }
    say("")?;
    say(format_args!(
        "{:<6} {:>8} {:>9} {:>6} {:>7} {:>8} {:>6} {:>10} {:>7}",
        "split", "clients", "examples", "min", "median", "mean", "max", "pixels", "MB"
    ))?;
    for (name, split) in [("train", &data.train), ("test", &data.test)] {
        let sizes = summary(split, 1);
        say(format_args!(
            "{name:<6} {:>8} {:>9} {:>6} {:>7} {:>8.2} {:>6} {:>10} {:>7.1}",
            sizes.clients,
            sizes.examples,
            sizes.min,
            sizes.median,
            sizes.mean,
            sizes.max,
            if split.is_eight_bit() { "bytes" } else { "f32" },
            split.stored_bytes() as f64 / 1e6,
        ))?;
    }
    say("")?;
    say(format_args!("{:<6} {:>8} {:>8} {:>8}", "pixels", "min", "max", "mean"))?;
    for (name, split) in [("train", &data.train), ("test", &data.test)] {
        let pixels = PixelSummary::of(split);
        let PixelSummary { min, max, mean } = pixels;
        say(format_args!("{name:<6} {min:>8.4} {max:>8.4} {mean:>8.4}"))?;
        if let Some(oddity) = pixels.oddity() {
            say(format_args!("  does this look right? {oddity}"))?;
        }
    }
    say("0 is ink, 1 is paper")?;
    say("")?;
    classes(&data)?;
    say("")?;
    histogram(&summary(&data.train, args.bins.into()))
}

fn summary(split: &Split, bins: usize) -> SizeSummary {
    SizeSummary::new(split.client_sizes(), bins)
}

/// Examples of each class.
fn classes(data: &Dataset) -> Result<(), Failure> {
    let (train, test) = (data.train.class_counts(), data.test.class_counts());
    say(format_args!("{:<6} {:>8} {:>8}", "class", "train", "test"))?;
    for (class, (train, test)) in train.iter().zip(&test).enumerate() {
        let name = match u8::try_from(class).unwrap_or_default() {
            digit @ 0..=9 => char::from(b'0' + digit),
            upper @ 10..=35 => char::from(b'A' + upper - 10),
            lower => char::from(b'a' + lower.saturating_sub(36)),
        };
        say(format_args!("{name:<6} {train:>8} {test:>8}"))?;
    }
    Ok(())
}

/// Clients by the number of their training examples, a bar a line.
fn histogram(sizes: &SizeSummary) -> Result<(), Failure> {
    let most = sizes.bins.iter().map(|bin| bin.clients).max().unwrap_or(1).max(1);
    say(format_args!("{:>9}  {:>7}", "examples", "clients"))?;
    for bin in &sizes.bins {
        let bar = "#".repeat((bin.clients * 50).div_ceil(most));
        let range = format!("{}-{}", bin.from, bin.to);
        say(format_args!("{range:>9}  {:>7}  {bar}", bin.clients))?;
    }
    Ok(())
}
