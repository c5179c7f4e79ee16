//! Runs side by side: how many at once, and whose turn it is to speak.

use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::failure::Failure;

/// How many runs train at once, and with how many threads each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Jobs {
    pub(crate) count: NonZeroUsize,
    pub(crate) threads: NonZeroUsize,
}

impl Jobs {
    /// `wanted` runs at once, or as many as finish `runs` runs of equal length soonest on
    /// `threads` threads. Where several do, the larger number: a thread that has a run to itself
    /// waits for nobody.
    pub(crate) fn new(runs: usize, threads: NonZeroUsize, wanted: Option<NonZeroUsize>) -> Self {
        let share = |jobs: NonZeroUsize| {
            NonZeroUsize::new(threads.get() / jobs.get()).unwrap_or(NonZeroUsize::MIN)
        };
        let most = runs.min(threads.get());
        let count = wanted.unwrap_or_else(|| {
            (1..=most)
                .filter_map(NonZeroUsize::new)
                // Rounds of runs one after another, over the speed of each.
                .min_by_key(|&jobs| {
                    let waves = runs.div_ceil(jobs.get());
                    // In units of a run on one thread, times a number that all shares divide.
                    let time = waves * 1_000_000_000 / share(jobs).get();
                    (time, std::cmp::Reverse(jobs))
                })
                .unwrap_or(NonZeroUsize::MIN)
        });
        Self { count, threads: share(count) }
    }
}

/// The lines of runs side by side, let through as if the runs came one after another: the first
/// unfinished run speaks at once, the others when their turn comes.
pub(crate) struct Turns {
    state: Mutex<State>,
}

struct State {
    /// The run whose turn it is.
    front: usize,
    over: Vec<bool>,
    waiting: Vec<Vec<String>>,
}

impl Turns {
    /// Turns for this many runs.
    pub(crate) fn new(runs: usize) -> Self {
        let state = State { front: 0, over: vec![false; runs], waiting: vec![Vec::new(); runs] };
        Self { state: Mutex::new(state) }
    }

    /// A line of one run.
    pub(crate) fn say(
        &self,
        run: usize,
        line: String,
        print: impl Fn(&str) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut state = self.state();
        if run == state.front {
            return print(&line);
        }
        state.waiting[run].push(line);
        Ok(())
    }

    /// A run is over: whoever comes next may speak.
    pub(crate) fn over(
        &self,
        run: usize,
        print: impl Fn(&str) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut state = self.state();
        state.over[run] = true;
        while state.over.get(state.front).is_some_and(|over| *over) {
            state.front += 1;
            let front = state.front;
            if let Some(lines) = state.waiting.get_mut(front) {
                std::mem::take(lines).iter().try_for_each(|line| print(line))?;
            }
        }
        Ok(())
    }

    /// Nothing in the state can be half done where a panic could leave it.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    fn nonzero(value: usize) -> NonZeroUsize {
        NonZeroUsize::new(value).expect("positive")
    }

    fn jobs(runs: usize, threads: usize) -> (usize, usize) {
        let jobs = Jobs::new(runs, nonzero(threads), None);
        (jobs.count.get(), jobs.threads.get())
    }

    #[test]
    fn a_thread_for_each_run_unless_threads_would_wait() {
        assert_eq!(jobs(12, 2), (2, 1));
        assert_eq!(jobs(1, 8), (1, 8));
        // Three runs on two threads: side by side the third would train alone on one of them.
        assert_eq!(jobs(3, 2), (1, 2));
        assert_eq!(jobs(12, 16), (4, 4));
        assert_eq!(jobs(0, 4), (1, 4));
    }

    #[test]
    fn what_is_asked_for_is_done() {
        let three = Jobs::new(12, nonzero(2), Some(nonzero(3)));
        assert_eq!(three, Jobs { count: nonzero(3), threads: NonZeroUsize::MIN });
    }

    #[test]
    fn lines_come_as_if_runs_did_one_after_another() {
        let said = RefCell::new(Vec::new());
        let print = |line: &str| {
            said.borrow_mut().push(line.to_owned());
            Ok(())
        };
        let turns = Turns::new(3);
        let say = |run, line: &str| turns.say(run, line.to_owned(), print).expect("printed");
        say(1, "b1");
        say(0, "a1");
        say(2, "c1");
        turns.over(2, print).expect("printed");
        say(0, "a2");
        turns.over(0, print).expect("printed");
        say(1, "b2");
        assert_eq!(*said.borrow(), ["a1", "a2", "b1", "b2"]);
        turns.over(1, print).expect("printed");
        assert_eq!(*said.borrow(), ["a1", "a2", "b1", "b2", "c1"]);
    }
}
