//! A fixed crew of workers, each with a workspace of its own.

use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

#[cfg(feature = "cpu")]
use crate::error::LearnError;

/// Workers that all run the same closure, each on its own workspace `T`.
pub(crate) struct Workers<T> {
    threads: Threads,
    slots: Vec<Mutex<T>>,
}

/// Where the workers run.
enum Threads {
    /// Threads that live as long as the crew, one a worker.
    #[cfg(feature = "cpu")]
    Standing(rayon::ThreadPool),
    /// Threads that live for one run; a lone worker runs on the caller's thread.
    ///
    /// For code that calls rayon itself: on a standing pool it would steal from its own crew.
    Scoped,
}

impl<T: Send> Workers<T> {
    /// A crew on threads of its own that wait between runs.
    #[cfg(feature = "cpu")]
    pub(crate) fn standing(
        threads: NonZeroUsize,
        workspace: impl Fn() -> T,
    ) -> Result<Self, LearnError> {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads.get())
            .thread_name(|index| format!("trainer-{index}"))
            .build()
            .map_err(|error| LearnError::Device {
                backend: "cpu",
                message: format!("could not start {threads} worker threads: {error}"),
            })?;
        let slots = (0..threads.get()).map(|_| Mutex::new(workspace())).collect();
        Ok(Self { threads: Threads::Standing(pool), slots })
    }

    /// A crew whose threads are started for each run.
    pub(crate) fn scoped(threads: NonZeroUsize, workspace: impl Fn() -> T) -> Self {
        let slots = (0..threads.get()).map(|_| Mutex::new(workspace())).collect();
        Self { threads: Threads::Scoped, slots }
    }

    /// Number of workers.
    #[cfg(feature = "cpu")]
    pub(crate) fn count(&self) -> usize {
        self.slots.len()
    }

    /// Runs `task` once on every worker, at the same time, and waits for all.
    ///
    /// # Panics
    /// If `task` panics on any of them.
    pub(crate) fn run<R: Send>(&self, task: impl Fn(&mut T) -> R + Sync) -> Vec<R> {
        match &self.threads {
            #[cfg(feature = "cpu")]
            Threads::Standing(pool) => {
                pool.broadcast(|worker| task(&mut self.slot(worker.index())))
            }
            Threads::Scoped if self.slots.len() == 1 => vec![task(&mut self.slot(0))],
            Threads::Scoped => std::thread::scope(|scope| {
                let task = &task;
                let threads: Vec<_> = (0..self.slots.len())
                    .map(|index| scope.spawn(move || task(&mut self.slot(index))))
                    .collect();
                threads
                    .into_iter()
                    .map(|thread| {
                        thread.join().unwrap_or_else(|cause| std::panic::resume_unwind(cause))
                    })
                    .collect()
            }),
        }
    }

    /// The workspace of one worker. A panic in an earlier run leaves nothing behind that matters:
    /// workspaces are overwritten by every run.
    fn slot(&self, index: usize) -> MutexGuard<'_, T> {
        self.slots[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}
