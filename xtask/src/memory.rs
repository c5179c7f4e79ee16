//! What training will take of the memory, before any of it is taken.

use std::num::NonZeroUsize;

use fed_data::{FederatedData, Split};
use fed_sim::RunConfig;

use crate::failure::Failure;
use crate::jobs::Jobs;

/// Refuses runs of these configurations that the memory does not hold, `jobs` at a time.
pub(crate) fn expect_room(runs: &[RunConfig], data: &Split, jobs: Jobs) -> Result<(), Failure> {
    let Some((run, need)) =
        runs.iter().map(|run| (run, needed(run, data, jobs))).max_by_key(|(_, need)| need.total())
    else {
        return Ok(());
    };
    let Some(room) = room().filter(|room| need.total() > u128::from(*room)) else {
        return Ok(());
    };
    let client = &run.client;
    let remedy = if need.visits > need.parameters && need.visits > need.activations {
        format!("[client] epochs = {} is the larger part: take fewer", client.epochs)
    } else if need.activations > need.parameters {
        format!(
            "[client] batch_size = {} on these layers is the larger part: take a smaller batch, \
             narrower [model] hidden layers, or fewer --threads",
            client.batch_size
        )
    } else {
        "take narrower or fewer [model] hidden layers, fewer --jobs, or fewer --threads".to_owned()
    };
    Err(Failure::bad_input(format_args!(
        "training a network of {} parameters takes about {} of memory ({} at once, {} threads \
         each), but {} are free: {remedy}",
        need.dim,
        amount(need.total()),
        if jobs.count.get() == 1 { "1 run".to_owned() } else { format!("{} runs", jobs.count) },
        jobs.threads,
        amount(u128::from(room)),
    )))
}

/// What a run takes, in bytes, all jobs together.
struct Need {
    dim: u128,
    parameters: u128,
    activations: u128,
    visits: u128,
}

impl Need {
    fn total(&self) -> u128 {
        self.parameters.saturating_add(self.activations).saturating_add(self.visits)
    }
}

/// Bytes a parameter that a run keeps: weights, two moments, the merged sum, noise, the released
/// mean, a checkpoint on its way to the disk.
const RUN_BYTES: u128 = 40;
/// Bytes a parameter that a worker keeps: weights, velocity, the update, its part of the sum.
const WORKER_BYTES: u128 = 20;

fn needed(run: &RunConfig, data: &Split, jobs: Jobs) -> Need {
    let wide = |number: usize| number as u128;
    let hidden = run.model.hidden.iter().copied();
    let widths: Vec<u128> =
        std::iter::once(data.width()).chain(hidden).chain([data.classes()]).map(wide).collect();
    let layers = widths.windows(2).map(|pair| (pair[0] + 1).saturating_mul(pair[1]));
    let dim = layers.fold(0_u128, u128::saturating_add);
    let (count, threads) = (wide(jobs.count.get()), wide(jobs.threads.get()));
    let most = wide(data.client_sizes().max().unwrap_or(0));
    let visits = most.saturating_mul(wide(run.client.epochs.get()));
    let rows = visits.min(wide(run.client.batch_size.get())).max(wide(EVALUATION_ROWS));
    let units = widths.iter().fold(0_u128, |sum, width| sum.saturating_add(*width));
    let workers = count.saturating_mul(threads);
    Need {
        dim,
        parameters: dim
            .saturating_mul(RUN_BYTES.saturating_add(WORKER_BYTES.saturating_mul(threads)))
            .saturating_mul(count),
        // What goes in and comes out, a gradient and its transpose.
        activations: rows.saturating_mul(units).saturating_mul(8).saturating_mul(workers),
        visits: visits.saturating_mul(4).saturating_mul(workers),
    }
}

/// Addresses that data, figures and threads take, however small the network.
const LEAST_ADDRESSES: u64 = 128 << 20;

/// Examples that an evaluation takes at a time.
const EVALUATION_ROWS: usize = 256;

/// Bytes that this process can still have, as far as the system says: free memory, what is left
/// to its control group, and what its limit on addresses (`ulimit -v`) leaves.
fn room() -> Option<u64> {
    let system = sysinfo::System::new_with_specifics(
        sysinfo::RefreshKind::nothing()
            .with_memory(sysinfo::MemoryRefreshKind::nothing().with_ram()),
    );
    let free = Some(system.available_memory()).filter(|bytes| *bytes > 0);
    let group = system.cgroup_limits().map(|limits| limits.free_memory);
    [free, group, addresses()].into_iter().flatten().min()
}

#[cfg(unix)]
fn addresses() -> Option<u64> {
    let most = rustix::process::getrlimit(rustix::process::Resource::As).current?;
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = pages.split(' ').next().and_then(|pages| pages.parse().ok()).unwrap_or(0);
    Some(most.saturating_sub(pages * rustix::param::page_size() as u64))
}

#[cfg(not(unix))]
fn addresses() -> Option<u64> {
    None
}

/// `1.5 GB`.
fn amount(bytes: u128) -> String {
    let units = ["kB", "MB", "GB", "TB", "PB"];
    let mut value = bytes as f64 / 1e3;
    let mut unit = 0;
    while value >= 1e3 && unit + 1 < units.len() {
        (value, unit) = (value / 1e3, unit + 1);
    }
    format!("{value:.1} {}", units[unit])
}

/// Starts the worker threads that everything shares which is not a run of its own (reading and
/// drawing data), as many as the system gives: whoever needs them first could only panic.
pub(crate) fn start_helpers() -> Result<(), Failure> {
    if let Some(room) = addresses().filter(|room| *room < LEAST_ADDRESSES) {
        return Err(Failure::failed(format_args!(
            "the limit on addresses (ulimit -v) leaves {}, but {} are the least to work with: raise it",
            amount(u128::from(room)),
            amount(u128::from(LEAST_ADDRESSES)),
        )));
    }
    let wanted = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let (let_go, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Arc::new(std::sync::Mutex::new(wait));
    let mut tried = Vec::new();
    let mut refused = None;
    for _ in 0..wanted {
        let wait = std::sync::Arc::clone(&wait);
        let stay = move || drop(wait.lock().map(|wait| wait.recv()));
        match std::thread::Builder::new().spawn(stay) {
            Ok(thread) => tried.push(thread),
            Err(error) => {
                refused = Some(error);
                break;
            }
        }
    }
    drop(let_go);
    let count = tried.len();
    tried.into_iter().for_each(|thread| drop(thread.join()));
    let failed = |error: &dyn std::fmt::Display| {
        Failure::failed(format_args!(
            "the system gives no threads ({error}): raise its limits (ulimit -u, ulimit -v), or \
             end other programs"
        ))
    };
    match refused {
        Some(error) if count == 0 => Err(failed(&error)),
        _ => rayon::ThreadPoolBuilder::new()
            .num_threads(count)
            .build_global()
            .map_err(|error| failed(&error)),
    }
}
