//! The ledger on disk: a line a round, written before the round's release exists.
//!
//! The order is what counts. A round's line is appended first; only then is its noisy mean
//! computed, so no model, record or checkpoint ever knows a round that the ledger does not. A
//! crash in between leaves a round that was paid for and lost, which errs on the safe side.
//!
//! # What is synchronised with the disk, and when
//!
//! - With *release* noise every line is confirmed by the disk before the round goes on: even a
//!   power failure cannot separate a release from its price.
//! - With *simulation* noise a line is handed to the operating system before the round goes on,
//!   and confirmed by the disk before every checkpoint. The end of the process, however sudden,
//!   loses nothing that was handed over. A power failure may lose the lines since the last
//!   checkpoint; but then the rounds since that checkpoint are computed again from it, with the
//!   same noise, and their lines are written again: what anybody could have seen of them is
//!   what they will see again.
//!
//! # What a crash leaves, and how it is taken up
//!
//! Lines beyond the last checkpoint belong to rounds that are lost. With simulation noise those
//! rounds are repeated bit for bit: the same release, seen again, costs nothing more, so each
//! repeated round is checked against its line and none is added. With release noise the repeated
//! rounds draw fresh noise: the old lines stay and are part of ε, and new ones are added.
//!
//! A last line that was only half written (the disk was full, say) is cut off: its round never
//! got any further. Anything else that is wrong with the chain is an error.
//!
//! # What it can see, and what not
//!
//! Every line bears the number of its run ([`crate::run_number`]), and with release noise bits of
//! its own, drawn from the system. A ledger that was altered, shortened, written anew or taken from
//! another run is found, because the checkpoints know where it stood. A run that was put back to an
//! earlier state *together with its checkpoints* is sound in itself: what it releases then comes on
//! top of what it had released before, and nothing inside its directory knows. Its new lines differ
//! from the lost ones, though: beside a statement, a model or a head that was kept elsewhere, with
//! the same run number and a head that is not in the ledger, the other history shows.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use dp_accounting::ledger::{Bits128, Chain, Entry, LineError};
use dp_accounting::{DpEvent, Ledger};
use dp_agg::NoiseMode;
use dp_agg::mistake::{Mistake, made};
use serde::{Deserialize, Serialize};

use crate::durable::LineFile;
use crate::error::SimError;
use crate::run_number;

/// How much of a ledger a checkpoint has seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LedgerMark {
    /// Number of lines.
    pub lines: u64,
    /// Hash of the last of them, which binds all before it.
    pub head: String,
}

/// What was found in a ledger beyond what the checkpoint had seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Beyond {
    /// Rounds that were paid for and lost.
    pub rounds: u64,
    /// Whether the last line was half written and has been cut off.
    pub torn: bool,
}

impl Beyond {
    /// What it means for a run that goes on from the checkpoint after `round`, for a person.
    #[must_use]
    pub fn notes(self, mode: NoiseMode, round: u32) -> Vec<String> {
        let mut notes = Vec::new();
        let Self { rounds, torn } = self;
        if rounds > 0 {
            let s = if rounds == 1 { "" } else { "s" };
            let more = format!(
                "the ledger has {rounds} round{s} more than the checkpoint of round {round}"
            );
            let what = match (mode, rounds) {
                (NoiseMode::Simulation, 1) => {
                    "it is repeated bit for bit, with the same noise, and is not charged again"
                }
                (NoiseMode::Simulation, _) => {
                    "they are repeated bit for bit, with the same noise, and are not charged again"
                }
                (NoiseMode::Release, 1) => {
                    "its result is lost, but it may have been seen, so it stays part of ε"
                }
                (NoiseMode::Release, _) => {
                    "their results are lost, but they may have been seen, so they stay part of ε"
                }
            };
            notes.push(format!("{more}: {what}"));
        }
        if torn {
            notes.push(
                "the last line of the ledger was half written and has been cut off: its round was \
                 never released"
                    .to_owned(),
            );
        }
        notes
    }
}

/// The ledger file of a run, on a disk or whatever else confirms what was written to it.
#[derive(Debug)]
pub struct LedgerFile<F = File> {
    path: PathBuf,
    file: F,
    mode: NoiseMode,
    chain: Chain,
    bytes: u64,
    /// Rounds that will be repeated bit for bit and have their lines already.
    repeated: VecDeque<Line>,
    /// Where the chain stands without the lines of the rounds that are still to be repeated.
    mark: LedgerMark,
}

/// The part of a line that says what was released, and its place in the chain.
#[derive(Debug, Deserialize)]
struct Line {
    event: DpEvent,
    hash: String,
}

impl LedgerFile {
    /// An empty ledger of the run with this number, in place of whatever lay there.
    ///
    /// # Errors
    /// [`SimError::Io`] if the file cannot be made.
    pub fn create(path: &Path, mode: NoiseMode, run: Bits128) -> Result<Self, SimError> {
        let file = File::create(path).map_err(SimError::io(path))?;
        Ok(Self::empty(path, file, mode, run))
    }

    /// Takes up a ledger after a checkpoint that had seen `mark`: the file, the ledger that the
    /// run goes on with, and what lies beyond the mark. Runs of older versions have no number.
    ///
    /// # Errors
    /// [`SimError::Ledger`] if the chain is broken, [`SimError::LedgerShort`] if it does not reach
    /// the mark, [`SimError::Altered`] if it is another chain than the one that the mark was made
    /// in or that of another run, [`SimError::Io`] if the file cannot be read.
    pub fn resume(
        path: &Path,
        mode: NoiseMode,
        run: Option<Bits128>,
        mark: &LedgerMark,
    ) -> Result<(Self, Ledger, Beyond), SimError> {
        let damaged = |source| SimError::Ledger { path: path.to_owned(), source };
        let missing =
            |found: u64| SimError::LedgerShort { path: path.to_owned(), found, needed: mark.lines };
        // One that is gone is not made anew: somebody may want to put it back.
        if mark.lines > 0 && !path.exists() {
            return Err(missing(0));
        }
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(SimError::io(path))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(SimError::io(path))?;
        let torn = cut_torn_line(&mut bytes);
        let text = String::from_utf8(bytes).map_err(|error| {
            let line = 1 + error.as_bytes()[..error.utf8_error().valid_up_to()]
                .iter()
                .filter(|byte| **byte == b'\n')
                .count();
            damaged(LineError::Unreadable { line, reason: "it is not text".to_owned() })
        })?;
        let (all, mut chain) = Ledger::from_json_lines(&text).map_err(damaged)?;
        if chain.is_empty() {
            chain = run.map_or_else(Chain::new, Chain::of_run);
        } else if chain.run() != run {
            return Err(SimError::Altered {
                path: path.to_owned(),
                message: "it is the ledger of another run".to_owned(),
            });
        }

        if chain.len() < mark.lines {
            return Err(missing(chain.len()));
        }
        // Where the first `mark.lines` lines end.
        let lines = usize::try_from(mark.lines).map_err(|_| missing(chain.len()))?;
        let seen: usize = text.split_inclusive('\n').take(lines).map(str::len).sum();
        let (ledger, seen_chain) = Ledger::from_json_lines(&text[..seen]).map_err(damaged)?;
        if seen_chain.head() != mark.head {
            return Err(SimError::Altered {
                path: path.to_owned(),
                message: format!(
                    "its first {} lines are not those that the checkpoint was paid with",
                    mark.lines
                ),
            });
        }

        let beyond = Beyond { rounds: chain.len() - mark.lines, torn };
        let mut repeated = VecDeque::new();
        if mode == NoiseMode::Simulation {
            for line in text[seen..].lines() {
                let line: Line = serde_json::from_str(line)
                    .map_err(|error| SimError::io(path)(std::io::Error::other(error)))?;
                repeated.push_back(line);
            }
        }
        let forget = made(Mistake::LostRoundsForgotten);
        let ledger = if mode == NoiseMode::Simulation || forget { ledger } else { all };
        let mark = match mode {
            NoiseMode::Simulation => mark.clone(),
            NoiseMode::Release => LedgerMark { lines: chain.len(), head: chain.head().to_owned() },
        };
        let bytes = text.len() as u64;
        file.cut(bytes).map_err(SimError::io(path))?;
        // A last line that was whole but for its line break got it back.
        let mut resumed = Self { path: path.to_owned(), file, mode, chain, bytes, repeated, mark };
        if !text.is_empty() && !text.ends_with('\n') {
            resumed.write(b"\n")?;
        }
        resumed.sync()?;
        Ok((resumed, ledger, beyond))
    }
}

impl<F: LineFile> LedgerFile<F> {
    /// An empty ledger in a file that is empty.
    fn empty(path: &Path, file: F, mode: NoiseMode, run: Bits128) -> Self {
        let chain = Chain::of_run(run);
        let mark = LedgerMark { lines: 0, head: chain.head().to_owned() };
        let repeated = VecDeque::new();
        Self { path: path.to_owned(), file, mode, chain, bytes: 0, repeated, mark }
    }

    /// The number of the run; none in a run of an older version.
    #[must_use]
    pub fn run(&self) -> Option<Bits128> {
        self.chain.run()
    }

    /// Where the ledger stands, for a checkpoint.
    #[must_use]
    pub fn mark(&self) -> &LedgerMark {
        &self.mark
    }

    /// Whether the next round has its line already, and is only repeated.
    #[must_use]
    pub fn is_paid(&self) -> bool {
        !self.repeated.is_empty()
    }

    /// Writes down one round's release, before it is made.
    ///
    /// # Errors
    /// [`SimError::Io`] if the line cannot be made durable: the round must not go on.
    /// [`SimError::Altered`] if a repeated round does not cost what it cost the first time.
    pub fn charge(&mut self, event: &DpEvent) -> Result<(), SimError> {
        if let Some(Line { event: paid, hash }) = self.repeated.front() {
            if paid != event {
                return Err(SimError::Altered {
                    path: self.path.clone(),
                    message: format!(
                        "line {} was written for another release than the one that its round \
                         makes when it is repeated",
                        self.mark.lines + 1
                    ),
                });
            }
            self.mark = LedgerMark { lines: self.mark.lines + 1, head: hash.clone() };
            self.repeated.pop_front();
            return Ok(());
        }
        let mut chain = self.chain.clone();
        let entry = Entry { event: event.clone(), count: NonZeroU64::MIN };
        let line = match self.mode {
            NoiseMode::Simulation => chain.line(&entry),
            // Should the run be put back to where it stands now, its next line will be another.
            NoiseMode::Release => chain.salted_line(&entry, run_number::fresh()?),
        };
        self.write((line + "\n").as_bytes())?;
        if self.mode == NoiseMode::Release {
            self.sync()?;
        }
        self.mark = LedgerMark { lines: chain.len(), head: chain.head().to_owned() };
        self.chain = chain;
        Ok(())
    }

    /// Has the disk confirm every line.
    ///
    /// # Errors
    /// [`SimError::Io`] if the disk refuses.
    pub fn sync(&self) -> Result<(), SimError> {
        self.file.confirm().map_err(SimError::io(&self.path))
    }

    /// Appends bytes, all or none as far as the disk lets us.
    fn write(&mut self, bytes: &[u8]) -> Result<(), SimError> {
        if let Err(error) = self.file.append(bytes) {
            // Whatever part of the line is there is cut off now or, failing that, on resuming.
            let _ = self.file.cut(self.bytes);
            return Err(SimError::io(&self.path)(error));
        }
        self.bytes += bytes.len() as u64;
        Ok(())
    }
}

/// Cuts off a last line that was only half written; whether there was one.
///
/// A last line that lacks nothing but its line break is kept: its round may have gone on.
fn cut_torn_line(bytes: &mut Vec<u8>) -> bool {
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let torn = whole < bytes.len() && serde_json::from_slice::<Line>(&bytes[whole..]).is_err();
    if torn {
        bytes.truncate(whole);
    }
    torn
}

#[cfg(test)]
mod tests;
