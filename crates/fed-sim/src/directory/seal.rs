//! What vouches for the files of a run that is over: a digest of each.
//!
//! When all of them are written, their SHA-256 digests go to `SHA256SUMS`, in the form that
//! `sha256sum --check SHA256SUMS` reads, and the digest of that list into `status.json`, which is
//! written last: it is whole or it is not there, and so is everything that it says.
//!
//! The seal finds files that were lost, damaged or edited since. It does not stop somebody who
//! edits a file and then makes list and status anew.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::{
    AUDIT, CANARIES, CONFIG, EVALUATIONS, LEDGER, METRICS, MODEL, PRIVACY, PRIVACY_TEXT, STATUS,
    SUMS, TIMING, read_text,
};
use crate::durable;
use crate::error::SimError;
use crate::journal::{digest_of, hex};

/// The files of a run; those of an audit are there only where it was audited. The ledger comes
/// last, for there is more to say about what is wrong with it.
const FILES: [&str; 10] =
    [AUDIT, CANARIES, CONFIG, EVALUATIONS, METRICS, MODEL, PRIVACY, PRIVACY_TEXT, TIMING, LEDGER];

/// Files that every run that is over has, whatever version wrote it, besides its ledger.
const ALWAYS: [&str; 5] = [EVALUATIONS, METRICS, MODEL, PRIVACY, PRIVACY_TEXT];

/// Lists the files in `folder` with their digests; the digest of the list.
pub(super) fn make(folder: &Path) -> Result<String, SimError> {
    let mut list = String::new();
    for name in FILES {
        let path = folder.join(name);
        if path.exists() {
            let digest = digest_of(&path).map_err(SimError::io(&path))?;
            // Writing to a string cannot fail.
            let _ = writeln!(list, "{digest}  {name}");
        }
    }
    durable::replace(&folder.join(SUMS), list.as_bytes())?;
    Ok(hex(Sha256::new_with_prefix(list)))
}

/// Takes the list away, for a run that goes on.
pub(super) fn lift(folder: &Path) -> Result<(), SimError> {
    let path = folder.join(SUMS);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(SimError::io(path)(error))
        }
        _ => Ok(()),
    }
}

/// Refuses a folder whose files are not those that were sealed. A run that an older version
/// finished has no seal: its files must at least be there.
pub(super) fn check(folder: &Path, seal: Option<&str>) -> Result<(), SimError> {
    let altered = |name: &str, what: &str| SimError::Altered {
        path: folder.join(name),
        message: what.into(),
    };
    let gone = "it is gone, but the run is over and ended with it";
    let path = folder.join(SUMS);
    let Some(seal) = seal else {
        if path.exists() {
            return Err(altered(STATUS, "it does not count on the SHA256SUMS beside it"));
        }
        return match ALWAYS.iter().find(|name| !folder.join(name).exists()) {
            Some(name) => Err(altered(name, gone)),
            None => Ok(()),
        };
    };
    if !path.exists() {
        return Err(altered(SUMS, "it is gone, but the run is over, and status.json counts on it"));
    }
    let list = read_text(&path)?;
    if hex(Sha256::new_with_prefix(&list)) != seal {
        return Err(altered(SUMS, "it is not the list that status.json counts on"));
    }
    for line in list.lines() {
        let Some((digest, name)) = line.split_once("  ") else {
            return Err(altered(SUMS, "it holds a line that is no digest and name"));
        };
        let path = folder.join(name);
        match digest_of(&path) {
            Ok(found) if found == digest => {}
            Ok(_) => return Err(altered(name, "it has changed since the run was over")),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(altered(name, gone));
            }
            Err(error) => return Err(SimError::io(path)(error)),
        }
    }
    Ok(())
}
