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
//! # Runs and histories
//!
//! A line of version 2 also carries `"run"`, the number of the run that it belongs to, and may
//! carry a `"salt"`, bits that were drawn for it alone; both are under the hash. The number tells
//! two runs apart that released the same events. The salt tells two *histories* of one run apart:
//! whoever puts a run back to an earlier state and lets it release again gets other salts, hence
//! another head, though number, events and length are the same. So two results with one run
//! number, neither of whose heads stands in the other's ledger, are two releases, and both are to
//! be paid for.
//!
//! # What a chain cannot see
//!
//! It detects accidents and later changes of mind. It does not stop somebody who writes the whole
//! file anew, and a ledger that was put back together with everything beside it is sound in
//! itself: that something was released in between shows only beside a head, a statement or a model
//! that was kept elsewhere.

use std::fmt::{self, Write as _};
use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::event::DpEvent;
use crate::ledger::{Entry, Ledger};

/// The newest version of the line format: that of a run with a number. A chain without one is
/// written in version 1, and both are read.
pub const VERSION: u32 = 2;

/// The version without a run's number.
const NUMBERLESS: u32 = 1;

/// 128 bits, written as 32 hexadecimal digits: the number of a run, or the salt of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Bits128([u8; 16]);

impl Bits128 {
    /// These bits.
    #[must_use]
    pub fn new(bits: [u8; 16]) -> Self {
        Self(bits)
    }
}

impl fmt::Display for Bits128 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl From<Bits128> for String {
    fn from(bits: Bits128) -> Self {
        bits.to_string()
    }
}

impl TryFrom<String> for Bits128 {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != 32 || !text.as_bytes().iter().all(digit) {
            return Err(format!("{text:?} is not 32 hexadecimal digits (0-9, a-f)"));
        }
        let bits = u128::from_str_radix(&text, 16).map_err(|error| error.to_string())?;
        Ok(Self(bits.to_be_bytes()))
    }
}

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
    #[error(
        "line {line} of the ledger has format version {found}, and this program reads 1 to {VERSION}"
    )]
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
    /// The line was written for another run than the one before it.
    #[error("line {line} of the ledger belongs to another run than the line before")]
    OtherRun {
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
    run: Option<Bits128>,
    next: u64,
    head: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    run: Option<Bits128>,
    index: u64,
    previous: String,
    count: NonZeroU64,
    event: DpEvent,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    salt: Option<Bits128>,
}

/// Between the body of a line and its hash.
const HASH_FIELD: &str = ",\"hash\":\"";

impl Default for Chain {
    fn default() -> Self {
        Self { run: None, next: 0, head: "0".repeat(64) }
    }
}

impl Chain {
    /// A chain without lines, and without the number of a run.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A chain without lines, of the run with this number.
    #[must_use]
    pub fn of_run(run: Bits128) -> Self {
        Self { run: Some(run), ..Self::default() }
    }

    /// The number of the run that the chain belongs to; none in one that has no number.
    #[must_use]
    pub fn run(&self) -> Option<Bits128> {
        self.run
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
        self.attach(entry, None)
    }

    /// The next line of a run with a number, with bits that were drawn for this line alone: they
    /// tell this history of the run from any other. A chain without a number has no place for
    /// them, and leaves them out.
    ///
    /// # Panics
    /// Never: an entry is always serialisable.
    #[must_use = "the chain goes on from this line"]
    pub fn salted_line(&mut self, entry: &Entry, salt: Bits128) -> String {
        self.attach(entry, self.run.map(|_| salt))
    }

    fn attach(&mut self, entry: &Entry, salt: Option<Bits128>) -> String {
        let body = Body {
            version: if self.run.is_some() { VERSION } else { NUMBERLESS },
            run: self.run,
            index: self.next,
            previous: self.head.clone(),
            count: entry.count,
            event: entry.event.clone(),
            salt,
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
            && !(NUMBERLESS..=VERSION).contains(&version)
        {
            return Err(LineError::Version { line, found: version });
        }
        let body: Body =
            serde_json::from_str(&body).map_err(|error| unreadable(error.to_string()))?;
        match (body.version, body.run) {
            (NUMBERLESS, None) if body.salt.is_none() => {}
            (NUMBERLESS, _) => {
                return Err(unreadable("version 1 has neither run nor salt".to_owned()));
            }
            (_, Some(_)) => {}
            (_, None) => return Err(unreadable("it has no run number".to_owned())),
        }
        if self.next == 0 {
            self.run = body.run;
        } else if body.run != self.run {
            return Err(LineError::OtherRun { line });
        }
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
