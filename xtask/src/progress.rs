//! What a person sees of a run: the tutorial's lines on standard output, a bar on standard error.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fed_sim::{EvaluationRecord, Observer, PhaseTimes, RoundRecord, RunConfig, SimError, Standing};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::failure::Failure;
use crate::interrupt;
use crate::jobs::Turns;

/// The bar over all rounds of all runs of a command. Hidden where standard error is no terminal.
pub(crate) struct Progress {
    bar: ProgressBar,
    turns: Turns,
    /// Set when no run may go on.
    stopped: AtomicBool,
}

impl Progress {
    /// A bar over `rounds` rounds of `runs` runs in all.
    pub(crate) fn rounds(rounds: u64, runs: usize) -> Self {
        let progress = Self::new(rounds, runs, "{msg} {wide_bar} round {pos}/{len}, {eta} left");
        progress.bar.enable_steady_tick(Duration::from_millis(200));
        progress
    }

    /// A bar over `steps` equal pieces of work.
    pub(crate) fn steps(steps: u64) -> Self {
        Self::new(steps, 0, "{msg} {wide_bar} {percent}%, {eta} left")
    }

    fn new(length: u64, runs: usize, template: &str) -> Self {
        let bar = ProgressBar::with_draw_target(Some(length), target());
        bar.set_style(style(template));
        Self { bar, turns: Turns::new(runs), stopped: AtomicBool::new(false) }
    }

    /// Says what is being done, in front of the bar.
    pub(crate) fn message(&self, text: impl std::fmt::Display) {
        self.bar.set_message(text.to_string());
    }

    /// One piece of work is done.
    pub(crate) fn advance(&self) {
        self.bar.inc(1);
    }

    /// Opens data, with a bar for each step that takes long enough to be seen.
    pub(crate) fn data<T, E>(
        open: impl FnOnce(&mut dyn FnMut(fed_data::Progress)) -> Result<T, E>,
    ) -> Result<T, E> {
        let bar = ProgressBar::with_draw_target(None, target());
        bar.set_style(style("{msg} {wide_bar} {percent}%, {eta} left"));
        let opened = open(&mut |progress| {
            bar.set_message(progress.step);
            match progress.total {
                Some(total) => bar.set_length(total),
                None => bar.unset_length(),
            }
            bar.set_position(progress.done);
        });
        bar.finish_and_clear();
        opened
    }

    /// A line of data, printed above the bar.
    fn print(&self, line: &str) -> Result<(), Failure> {
        self.bar.suspend(|| crate::say(line))
    }

    /// No run goes on: each stops after the round that it is in.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Whether no run may go on.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Takes the bar away.
    pub(crate) fn clear(&self) {
        self.bar.finish_and_clear();
    }

    /// What a person sees of the run with this number.
    pub(crate) fn run(&self, index: usize, config: &RunConfig) -> RunProgress<'_> {
        self.bar.set_message(format!("z = {}, seed {}", config.noise_multiplier, config.seed.0));
        let (rounds, standing) = (config.rounds.get(), Standing::of(config));
        RunProgress { progress: self, index, rounds, standing, output: None }
    }
}

fn target() -> ProgressDrawTarget {
    if std::io::stderr().is_terminal() {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the template is sound").progress_chars("━╸ ")
}

/// Prints one run's evaluations and moves the bar.
pub(crate) struct RunProgress<'a> {
    progress: &'a Progress,
    index: usize,
    rounds: u32,
    /// What its ε stands for.
    standing: Standing,
    /// Why a line could not be printed.
    output: Option<Failure>,
}

impl RunProgress<'_> {
    /// A line of data, when it is this run's turn.
    pub(crate) fn say(&self, line: impl std::fmt::Display) -> Result<(), Failure> {
        let Self { progress, index, .. } = self;
        progress.turns.say(*index, line.to_string(), |line| progress.print(line))
    }

    /// A warning, at once, above the bar.
    pub(crate) fn warn(&self, text: impl std::fmt::Display) {
        self.progress.bar.suspend(|| tracing::warn!("{text}"));
    }

    /// Something that must not be overlooked, at once, above the bar.
    pub(crate) fn alarm(&self, text: impl std::fmt::Display) {
        self.progress.bar.suspend(|| tracing::error!("{text}"));
    }

    /// Moves the bar over rounds that were done before.
    pub(crate) fn skip(&self, rounds: u64) {
        self.progress.bar.inc(rounds);
        // They took no time now: they say nothing about how long the rest will take.
        self.progress.bar.reset_eta();
    }

    /// Whether all lines could be printed.
    pub(crate) fn output(&mut self) -> Result<(), Failure> {
        self.output.take().map_or(Ok(()), Err)
    }

    /// The run is over: the next may speak.
    pub(crate) fn over(&self) -> Result<(), Failure> {
        self.progress.turns.over(self.index, |line| self.progress.print(line))
    }
}

impl Observer for RunProgress<'_> {
    fn round(&mut self, _: &RoundRecord, _: &PhaseTimes) -> Result<(), SimError> {
        self.progress.bar.inc(1);
        Ok(())
    }

    fn evaluation(&mut self, record: &EvaluationRecord) -> Result<(), SimError> {
        let round = record.round;
        // The tutorial's choice of rounds to print; all of them are recorded.
        if round >= 25 && !round.is_multiple_of(25) && round != self.rounds {
            return Ok(());
        }
        let clip = record.clip_norm.map_or_else(String::new, |clip| format!(", clip {clip:.4}"));
        let line = format!(
            "Round {round:3}: accuracy {:.4}, loss {:.4}{clip}, {}",
            record.metrics.accuracy(),
            record.metrics.loss(),
            self.standing.show("ε so far", record.epsilon),
        );
        if let Err(failure) = self.say(line) {
            self.output = Some(failure);
        }
        Ok(())
    }

    fn stop(&self) -> bool {
        // A reader that went away ends the run like Ctrl-C does: cleanly.
        self.output.is_some() || self.progress.is_stopped() || interrupt::asked()
    }
}
