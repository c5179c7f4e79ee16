//! Where a run's numbers come from: version, build, machine, data.

mod data;

use fed_data::Source;
use fed_sim::RunDirectory;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

pub(crate) use data::DataRecord;
use data::Untold;

/// Written to `provenance.json`.
#[derive(Serialize)]
pub(crate) struct Provenance {
    version: &'static str,
    commit: Option<String>,
    uncommitted_changes: Option<bool>,
    rustc: &'static str,
    build: &'static str,
    features: Vec<&'static str>,
    command: Vec<String>,
    started_unix_seconds: u64,
    processor: String,
    cores: usize,
    memory_bytes: u64,
    learner: String,
    /// Runs that train side by side, each with such a learner.
    jobs: usize,
    data: DataRecord,
}

/// The part of a recorded provenance that a resumed run is held to.
#[derive(Deserialize)]
struct Recorded {
    version: String,
    commit: Option<String>,
    learner: String,
    data: DataRecord,
}

impl Provenance {
    /// Notes in a directory that it is taken up again. Refuses other data; another program or
    /// learner is worth a warning, because results may then differ in the last bits.
    pub(crate) fn resume(&self, directory: &RunDirectory, source: &Source) -> Result<(), Failure> {
        let recorded: Recorded = directory.provenance()?;
        let difference = self.data.difference(source, &recorded.data).unwrap_or_else(|Untold| {
            tracing::warn!(
                "whether {} was begun on these data cannot be told: it is a release, and the key of \
                 its digest is not digest.key of this data folder",
                directory.path().display()
            );
            None
        });
        if let Some(difference) = difference {
            return Err(Failure::bad_input(format_args!(
                "{} was begun on other data ({}; now {}). What is there now has {difference}: \
                 resume it with the data it had",
                directory.path().display(),
                recorded.data,
                self.data
            )));
        }
        // Any number of threads computes the same.
        let learner = |text: &str| match text.rsplit_once(", ") {
            Some((kind, threads)) if threads.contains("thread") => format!("{kind})"),
            _ => text.to_owned(),
        };
        let here = (self.version, self.commit.as_deref(), learner(&self.learner));
        let there = (&*recorded.version, recorded.commit.as_deref(), learner(&recorded.learner));
        if here != there {
            tracing::warn!(
                "{} was begun by version {} (commit {}, {}), and goes on with version {} (commit \
                 {}, {}): if the two compute differently, the result is that of neither alone",
                directory.path().display(),
                there.0,
                there.1.unwrap_or("unknown"),
                there.2,
                here.0,
                here.1.unwrap_or("unknown"),
                here.2
            );
        }
        Ok(directory.append_json("resumes.jsonl", self)?)
    }

    /// What is known when a run starts.
    pub(crate) fn new(learner: String, jobs: usize, data: DataRecord) -> Self {
        let Machine { processor, cores, memory_bytes } = Machine::here();
        let mut features = Vec::new();
        for (name, on) in [("burn", cfg!(feature = "burn")), ("wgpu", cfg!(feature = "wgpu"))] {
            if on {
                features.push(name);
            }
        }
        Self {
            version: env!("CARGO_PKG_VERSION"),
            commit: commit(),
            uncommitted_changes: git(&["status", "--porcelain"]).map(|text| !text.is_empty()),
            rustc: env!("FED_DP_RUSTC"),
            build: if cfg!(debug_assertions) { "debug" } else { "release" },
            features,
            command: std::env::args_os()
                .skip(1)
                .map(|argument| argument.to_string_lossy().into_owned())
                .collect(),
            started_unix_seconds: std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .map_or(0, |elapsed| elapsed.as_secs()),
            processor,
            cores,
            memory_bytes,
            learner,
            jobs,
            data,
        }
    }
}

/// The machine that this runs on.
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) memory_bytes: u64,
}

impl Machine {
    /// Looks it up.
    pub(crate) fn here() -> Self {
        let system = sysinfo::System::new_with_specifics(
            sysinfo::RefreshKind::nothing()
                .with_cpu(sysinfo::CpuRefreshKind::nothing())
                .with_memory(sysinfo::MemoryRefreshKind::nothing().with_ram()),
        );
        let processor = system.cpus().first().map_or_else(
            || std::env::consts::ARCH.to_owned(),
            |cpu| format!("{} ({})", cpu.brand().trim(), std::env::consts::ARCH),
        );
        Self {
            processor,
            cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            memory_bytes: system.total_memory(),
        }
    }
}

/// The commit that is checked out, if this is a checkout.
pub(crate) fn commit() -> Option<String> {
    git(&["rev-parse", "HEAD"])
}

/// What git says, if it is there and this is a checkout.
fn git(arguments: &[&str]) -> Option<String> {
    let output = std::process::Command::new("git")
        .arg("-C")
        .arg(env!("CARGO_MANIFEST_DIR"))
        .args(arguments)
        .stderr(std::process::Stdio::null())
        .output()
        .ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
