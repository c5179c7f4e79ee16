//! A ledger as JSON lines, each chained to the one before by its hash.
//!
//! A line is a JSON object on one line of text:
//!
//! ```text
//! {"version":1,"index":0,"previous":"00…00","count":1,"event":{…},"hash":"…"}
//! ```
//!
//! `hash` is the SHA-256, in hexadecimal, of the text of the same object without its last field,
//! and `previous` is the hash of the line before (zeros for the first). Whoever alters, removes or
//! swaps lines in the middle breaks the chain, and reading says at which line. Lines removed from
//! the *end* leave a shorter chain that is sound in itself: keep [`Chain::head`] elsewhere, with
//! the result that was published, and compare.
//!
//! The chain detects accidents and later changes of mind. It does not stop somebody who writes
//! the whole file anew.

use std::fmt::Write as _;
use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::event::DpEvent;
use crate::ledger::{Entry, Ledger};

/// The version of the line format that is written, and the only one that is read.
pub const VERSION: u32 = 1;

/// Why a text is not a ledger. Lines are counted from 1.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LineError {
    /// The line is not an object of the right form; perhaps writing was interrupted.
    #[error("line {line} of the ledger cannot be read: {reason}")]
    Unreadable {
        /// Which line.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// The line was written by another version of the format.
    #[error("line {line} of the ledger has format version {found}, not {VERSION}")]
    Version {
        /// Which line.
        line: usize,
        /// Its version.
        found: u32,
    },
    /// The text of the line does not have the hash that it carries.
    #[error("line {line} of the ledger was altered: its hash does not match its text")]
    Altered {
        /// Which line.
        line: usize,
    },
    /// The line does not follow the one before it.
    #[error("line {line} of the ledger does not follow the one before: lines are missing or moved")]
    Broken {
        /// Which line.
        line: usize,
    },
}

/// The end of a chain, to which the next line is attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    next: u64,
    head: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    version: u32,
    index: u64,
    previous: String,
    count: NonZeroU64,
    event: DpEvent,
}

/// Between the body of a line and its hash.
const HASH_FIELD: &str = ",\"hash\":\"";

impl Default for Chain {
    fn default() -> Self {
        Self { next: 0, head: "0".repeat(64) }
    }
}

impl Chain {
    /// A chain without lines.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The hash of the last line, in hexadecimal.
    #[must_use]
    pub fn head(&self) -> &str {
        &self.head
    }

    /// How many lines there are.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.next
    }

    /// Whether there are no lines.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.next == 0
    }

    /// The next line, without its line break.
    ///
    /// # Panics
    /// Never: an entry is always serialisable.
    #[must_use = "the chain goes on from this line"]
    pub fn line(&mut self, entry: &Entry) -> String {
        let body = Body {
            version: VERSION,
            index: self.next,
            previous: self.head.clone(),
            count: entry.count,
            event: entry.event.clone(),
        };
        let mut line = serde_json::to_string(&body).expect("events have nothing JSON cannot say");
        self.head = hash(&line);
        self.next += 1;
        line.pop();
        line + HASH_FIELD + &self.head + "\"}"
    }

    /// Checks that `text` is the next line, and attaches it.
    fn follow(&mut self, text: &str, line: usize) -> Result<Entry, LineError> {
        let unreadable = |reason: String| LineError::Unreadable { line, reason };
        let (body, rest) = text
            .rsplit_once(HASH_FIELD)
            .ok_or_else(|| unreadable("it has no hash at its end".to_owned()))?;
        let claimed = rest
            .strip_suffix("\"}")
            .filter(|claimed| claimed.len() == 64)
            .ok_or_else(|| unreadable("it ends early".to_owned()))?;
        let body = format!("{body}}}");
        if hash(&body) != claimed {
            return Err(LineError::Altered { line });
        }
        if let Ok(Versioned { version }) = serde_json::from_str(&body)
            && version != VERSION
        {
            return Err(LineError::Version { line, found: version });
        }
        let body: Body =
            serde_json::from_str(&body).map_err(|error| unreadable(error.to_string()))?;
        if body.index != self.next || body.previous != self.head {
            return Err(LineError::Broken { line });
        }
        self.next += 1;
        self.head = claimed.to_owned();
        Ok(Entry { event: body.event, count: body.count })
    }
}

#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

impl Ledger {
    /// The whole ledger as lines, each with its line break.
    #[must_use]
    pub fn to_json_lines(&self) -> String {
        let mut chain = Chain::new();
        self.entries().iter().fold(String::new(), |text, entry| text + &chain.line(entry) + "\n")
    }

    /// Reads lines and checks the chain. The chain that is returned goes on where they end.
    ///
    /// # Errors
    /// [`LineError`] at the first line that is unreadable, altered, missing or out of place.
    pub fn from_json_lines(text: &str) -> Result<(Self, Chain), LineError> {
        let (mut ledger, mut chain) = (Self::new(), Chain::new());
        for (index, line) in text.lines().enumerate() {
            let Entry { event, count } = chain.follow(line, index + 1)?;
            ledger.record_many(event, count);
        }
        Ok((ledger, chain))
    }
}

fn hash(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("writing to a string cannot fail");
        hex
    })
}
