//! A checkpoint: one file from which a run goes on as if it had never stopped.
//!
//! The file begins with a line of text,
//!
//! ```text
//! fed-dp checkpoint 3 <SHA-256 in hexadecimal> <bytes that follow>
//! ```
//!
//! and goes on as a [safetensors](https://github.com/huggingface/safetensors) file: the tensors
//! `params`, `first`, `second` (the server optimiser's moments, where it keeps any) and
//! `mime_velocity`, all `F32`, those of an audit, and in the metadata, under `state`, a [`Header`] as JSON. The
//! digest covers the version and everything after the first line, so that a truncated file, a
//! flipped bit and a file of another version can be told apart. The first line keeps its form in
//! every version. (Version 2 added the coins of an audit, `audit_included`; version 3 the version of
//! the random keys, the number of the run and how its clients fared. Both are read.)
//!
//! A checkpoint is written whole or not at all ([`crate::durable`]), after the records that it
//! vouches for are on the disk. The last few are kept, and the first.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use dp_accounting::ledger::Bits128;
use dp_agg::AggregatorState;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::audit::Trail;
use crate::divergence::Health;
use crate::durable;
use crate::error::SimError;
use crate::journal::{Mark, hex};
use crate::ledger_file::LedgerMark;
use crate::server::{Server, ServerOptimizer};
use crate::state::{Saved, Snapshot};

/// The version of the format that is written.
pub const VERSION: u32 = 3;

/// The oldest version that is read.
const OLDEST: u32 = 2;

/// Checkpoints that are kept besides the first.
const KEEP: usize = 3;

const MAGIC: &str = "fed-dp checkpoint ";
const EXTENSION: &str = "checkpoint";

/// Everything about a checkpoint that is not a tensor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// Digest of the run's configuration ([`RunConfig::id`](crate::RunConfig::id)).
    pub run: String,
    /// The version of the random keys that the run was begun with ([`crate::keys::VERSION`]).
    #[serde(default = "first_keys")]
    pub keys: u32,
    /// The number of the run ([`crate::run_number`]); none in one of an older version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_number: Option<Bits128>,
    /// Rounds finished.
    pub round: u32,
    /// Steps that the server's optimiser has applied.
    pub server_steps: u64,
    /// Clip norm and zeroing estimate, where they move.
    pub aggregator: AggregatorState,
    /// The ledger so far.
    pub ledger: LedgerMark,
    /// `metrics.jsonl` so far.
    pub metrics: Mark,
    /// `timing.jsonl` so far.
    pub timing: Mark,
    /// `evaluations.csv` so far.
    pub evaluations: Mark,
    /// Rounds that an audit has looked at; none where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audited: Option<u32>,
    /// How the clients have fared so far; unknown in versions before the third.
    #[serde(default)]
    pub health: Health,
}

/// What a checkpoint of an older version does not name.
fn first_keys() -> u32 {
    1
}

/// A checkpoint as read.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// What is not a tensor.
    pub header: Header,
    params: Vec<f32>,
    first: Vec<f32>,
    second: Vec<f32>,
    mime_velocity: Vec<f32>,
    audit: Option<Trail>,
}

/// Why bytes are not a checkpoint that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// It does not begin as a checkpoint does.
    #[error("it does not begin as a checkpoint does")]
    NoCheckpoint,
    /// The file is shorter or longer than it says.
    #[error("it holds {found} bytes after its first line, not {expected}")]
    Length {
        /// What the first line says.
        expected: u64,
        /// What is there.
        found: u64,
    },
    /// The contents do not have the digest that the first line carries.
    #[error("its contents do not match its digest")]
    Digest,
    /// Undamaged, but of another version.
    #[error("it is of version {found}; {OLDEST} to {VERSION} are read")]
    Version {
        /// Its version.
        found: u32,
    },
    /// The digest is right, but the contents are not those of a checkpoint.
    #[error("its contents cannot be read: {reason}")]
    Contents {
        /// Why.
        reason: String,
    },
}

/// A checkpoint's file.
///
/// # Errors
/// A sentence, if the state cannot be written down; this does not happen for states of a run.
pub fn encode(header: &Header, state: &Snapshot<'_>) -> Result<Vec<u8>, String> {
    let trail = state.audit;
    let single = |name, values: &[f32]| {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        (name, Dtype::F32, values.len(), bytes)
    };
    let double = |name, values: &[f64]| {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        (name, Dtype::F64, values.len(), bytes)
    };
    let coins: Vec<u8> =
        trail.map_or(&[][..], |trail| &trail.included).iter().map(|&c| c.into()).collect();
    let tensors = [
        ("audit_included", Dtype::U8, coins.len(), coins),
        single("params", state.server.params()),
        single("first", state.server.first()),
        single("second", state.server.second()),
        single("mime_velocity", state.mime_velocity),
        single("audit_initial", trail.map_or(&[], |trail| &trail.initial)),
        double("audit_largest", trail.map_or(&[], |trail| &trail.largest)),
        double("audit_evidence", trail.map_or(&[], |trail| &trail.evidence)),
    ];
    let views: Vec<_> = tensors
        .iter()
        .filter(|(_, _, length, _)| *length > 0)
        .map(|(name, kind, length, bytes)| {
            TensorView::new(*kind, vec![*length], bytes).map(|view| (*name, view))
        })
        .collect::<Result<_, _>>()
        .map_err(|error| error.to_string())?;
    let text = serde_json::to_string(header).map_err(|error| error.to_string())?;
    let metadata = HashMap::from([("state".to_owned(), text)]);
    let payload =
        safetensors::serialize(views, Some(metadata)).map_err(|error| error.to_string())?;
    let digest = digest(VERSION, &payload);
    let mut file = format!("{MAGIC}{VERSION} {digest} {}\n", payload.len()).into_bytes();
    file.extend_from_slice(&payload);
    Ok(file)
}

/// The checkpoint in `bytes`.
///
/// # Errors
/// [`Damage`]; nothing that was altered by a single bit is ever taken for sound.
pub fn decode(bytes: &[u8]) -> Result<Checkpoint, Damage> {
    let end = bytes.iter().take(200).position(|byte| *byte == b'\n').ok_or(Damage::NoCheckpoint)?;
    let line = std::str::from_utf8(&bytes[..end]).map_err(|_| Damage::NoCheckpoint)?;
    let mut words = line.strip_prefix(MAGIC).ok_or(Damage::NoCheckpoint)?.split(' ');
    let (Some(version), Some(claimed), Some(length), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(Damage::NoCheckpoint);
    };
    let found: u32 = version.parse().map_err(|_| Damage::NoCheckpoint)?;
    let expected: u64 = length.parse().map_err(|_| Damage::NoCheckpoint)?;
    let payload = &bytes[end + 1..];
    if payload.len() as u64 != expected {
        return Err(Damage::Length { expected, found: payload.len() as u64 });
    }
    if digest(found, payload) != claimed {
        return Err(Damage::Digest);
    }
    if !(OLDEST..=VERSION).contains(&found) {
        return Err(Damage::Version { found });
    }
    contents(payload).map_err(|reason| Damage::Contents { reason })
}

fn contents(payload: &[u8]) -> Result<Checkpoint, String> {
    let (_, metadata) = SafeTensors::read_metadata(payload).map_err(|error| error.to_string())?;
    let text = metadata.metadata().as_ref().and_then(|map| map.get("state")).ok_or("no state")?;
    let header: Header = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let file = SafeTensors::deserialize(payload).map_err(|error| error.to_string())?;
    let bytes = |name: &str, kind: Dtype| match file.tensor(name) {
        Ok(tensor) if tensor.dtype() == kind => Ok(tensor.data().to_vec()),
        Ok(tensor) => Err(format!("{name} is {:?}, not {kind:?}", tensor.dtype())),
        Err(safetensors::SafeTensorError::TensorNotFound(_)) => Ok(Vec::new()),
        Err(error) => Err(error.to_string()),
    };
    let single = |name: &str| -> Result<Vec<f32>, String> {
        let bytes = bytes(name, Dtype::F32)?;
        Ok(bytes.as_chunks::<4>().0.iter().map(|value| f32::from_le_bytes(*value)).collect())
    };
    let double = |name: &str| -> Result<Vec<f64>, String> {
        let bytes = bytes(name, Dtype::F64)?;
        Ok(bytes.as_chunks::<8>().0.iter().map(|value| f64::from_le_bytes(*value)).collect())
    };
    let audit = match header.audited {
        None => None,
        Some(rounds) => Some(Trail {
            rounds,
            included: bytes("audit_included", Dtype::U8)?.iter().map(|&coin| coin != 0).collect(),
            initial: single("audit_initial")?,
            largest: double("audit_largest")?,
            evidence: double("audit_evidence")?,
        }),
    };
    Ok(Checkpoint {
        header,
        params: single("params")?,
        first: single("first")?,
        second: single("second")?,
        mime_velocity: single("mime_velocity")?,
        audit,
    })
}

fn digest(version: u32, payload: &[u8]) -> String {
    let mut digest = Sha256::new();
    digest.update(format!("{MAGIC}{version}\n"));
    digest.update(payload);
    hex(digest)
}

impl Checkpoint {
    /// The run's state, for a server with this optimiser.
    ///
    /// # Errors
    /// A sentence, if the state is not one of such a server.
    pub fn into_saved(self, optimizer: ServerOptimizer) -> Result<Saved, String> {
        let steps = self.header.server_steps;
        let server = Server::restore(optimizer, self.params, self.first, self.second, steps)?;
        Ok(Saved {
            round: self.header.round,
            server,
            mime_velocity: self.mime_velocity,
            aggregator: self.header.aggregator,
            audit: self.audit,
            keys: self.header.keys,
            health: self.header.health,
        })
    }
}

/// A checkpoint that could not be used, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub damage: Damage,
}

/// The checkpoints of a run.
#[derive(Clone, Debug)]
pub struct Checkpoints {
    folder: PathBuf,
}

impl Checkpoints {
    /// The checkpoints in `folder`, which need not be there yet.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Writes a checkpoint, durably, and removes those that are no longer needed: the last three
    /// and the first are kept.
    ///
    /// # Errors
    /// [`SimError::Io`] if it cannot be written; the earlier ones are then as they were.
    pub fn write(&self, header: &Header, state: &Snapshot<'_>) -> Result<(), SimError> {
        durable::make_folder(&self.folder)?;
        let path = self.folder.join(format!("round-{:07}.{EXTENSION}", header.round));
        let bytes = encode(header, state)
            .map_err(|error| SimError::io(&path)(std::io::Error::other(error)))?;
        durable::replace(&path, &bytes)?;
        let rounds = self.rounds()?;
        if let [_, middle @ ..] = rounds.as_slice() {
            for (_, old) in &middle[..middle.len().saturating_sub(KEEP)] {
                fs::remove_file(old).map_err(SimError::io(old))?;
            }
        }
        Ok(())
    }

    /// Removes all of them, and their folder if nothing else lies in it: for a run that is
    /// finished, since nothing goes on from them.
    ///
    /// # Errors
    /// [`SimError::Io`] if one cannot be removed.
    pub fn remove(&self) -> Result<(), SimError> {
        for (_, path) in self.rounds()? {
            fs::remove_file(&path).map_err(SimError::io(&path))?;
        }
        // Something else that lies in it is not ours to take away.
        let _ = fs::remove_dir(&self.folder);
        Ok(())
    }

    /// Whether there is none.
    ///
    /// # Errors
    /// [`SimError::Io`] if the folder cannot be read.
    pub fn is_empty(&self) -> Result<bool, SimError> {
        Ok(self.rounds()?.is_empty())
    }

    /// The newest checkpoint that is sound, and the damaged ones that are newer. `None`: there
    /// are no checkpoints.
    ///
    /// # Errors
    /// [`SimError::CheckpointVersion`] if the newest sound one is of another version,
    /// [`SimError::NoCheckpoint`] if there are some but none is sound, [`SimError::Io`] if one
    /// cannot be read.
    pub fn newest(&self) -> Result<Option<(Checkpoint, Vec<Skipped>)>, SimError> {
        let mut skipped = Vec::new();
        for (_, path) in self.rounds()?.into_iter().rev() {
            let bytes = fs::read(&path).map_err(SimError::io(&path))?;
            match decode(&bytes) {
                Ok(checkpoint) => return Ok(Some((checkpoint, skipped))),
                Err(Damage::Version { found }) => {
                    return Err(SimError::CheckpointVersion { path, found, readable: VERSION });
                }
                Err(damage) => skipped.push(Skipped { path, damage }),
            }
        }
        if skipped.is_empty() {
            return Ok(None);
        }
        let reasons: Vec<String> = skipped
            .iter()
            .map(|Skipped { path, damage }| {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                format!("{name}: {damage}")
            })
            .collect();
        let reasons = reasons.join("; ");
        Err(SimError::NoCheckpoint { path: self.folder.clone(), reasons })
    }

    /// The checkpoints by round, ascending.
    fn rounds(&self) -> Result<Vec<(u32, PathBuf)>, SimError> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(SimError::io(&self.folder)(error)),
        };
        let mut rounds = Vec::new();
        for entry in entries {
            let path = entry.map_err(SimError::io(&self.folder))?.path();
            if let Some(round) = round_of(&path) {
                rounds.push((round, path));
            }
        }
        rounds.sort();
        Ok(rounds)
    }
}

/// The round in a checkpoint's name; `None` for other files.
fn round_of(path: &Path) -> Option<u32> {
    let name = path.file_name()?.to_str()?;
    name.strip_prefix("round-")?.strip_suffix(EXTENSION)?.strip_suffix('.')?.parse().ok()
}

#[cfg(test)]
mod tests;
