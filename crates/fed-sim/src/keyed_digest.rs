//! Digests that say nothing to whoever lacks a key.
//!
//! A release must not hold a digest of its data: whoever has two candidates could tell which of them
//! was trained on. A run that is taken up again must still be held to the data it had. So the
//! directory of a release holds the digest under a secret key, `HMAC`-like but for messages of one
//! length, and the key lies where the data are kept, never beside the release.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::Path;

use rand::TryRng;
use rand::rngs::SysRng;
use sha2::{Digest, Sha256};

use crate::error::SimError;
use crate::journal::hex;

/// Bytes of a key.
const KEY: usize = 32;

/// The digest of `text`, after a name of the key, under the key in `key_file`, which is drawn from the system's entropy and
/// written, for its owner's eyes alone, if it is not there.
///
/// # Errors
/// [`SimError::Io`] if the key can neither be read nor written, [`SimError::Config`] if the file is
/// no key.
pub fn keyed_digest(key_file: &Path, text: &str) -> Result<String, SimError> {
    let key = match read(key_file)? {
        Some(key) => key,
        None => write(key_file)?,
    };
    // All parts have a fixed length, so that there is nothing to extend.
    let under = |purpose: u8, text: &str| {
        hex(Sha256::new_with_prefix(key)
            .chain_update([purpose])
            .chain_update(Sha256::digest(text.as_bytes())))
    };
    Ok(format!("{}:{}", &under(1, "")[..16], under(2, text)))
}

/// Whether two digests are of different texts; none if their keys differ, so that nobody can tell.
#[must_use]
pub fn differ(one: &str, other: &str) -> Option<bool> {
    let ((key, one), (other_key, other)) = (one.split_once(':')?, other.split_once(':')?);
    (key == other_key).then_some(one != other)
}

fn read(path: &Path) -> Result<Option<[u8; KEY]>, SimError> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(SimError::io(path)(error)),
    };
    let found = bytes.len();
    bytes.try_into().map(Some).map_err(|_| {
        SimError::config(
            path.display().to_string(),
            format!(
                "is no key ({found} bytes, not {KEY}): put it back, or remove it for a new one"
            ),
        )
    })
}

fn write(path: &Path) -> Result<[u8; KEY], SimError> {
    let mut key = [0; KEY];
    SysRng
        .try_fill_bytes(&mut key)
        .map_err(|error| SimError::io(path)(std::io::Error::other(error.to_string())))?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path).and_then(|mut file| file.write_all(&key).and(file.sync_all())) {
        Ok(()) => Ok(key),
        // Another process was as quick.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            read(path)?.ok_or_else(|| SimError::io(path)(error))
        }
        Err(error) => Err(SimError::io(path)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_tells_texts_apart_and_says_nothing_without_it() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (one, other) = (folder.path().join("one"), folder.path().join("other"));
        let digest = |key: &Path, text: &str| keyed_digest(key, text).expect("a digest");
        let first = digest(&one, "a");
        assert_eq!((first.len(), &first), (16 + 1 + 64, &digest(&one, "a")));
        assert_eq!(differ(&first, &digest(&one, "a")), Some(false));
        assert_eq!(differ(&first, &digest(&one, "b")), Some(true));
        assert_eq!(differ(&first, &digest(&other, "a")), None);
        assert_ne!(first[17..], digest(&other, "a")[17..]);
        assert!(!first.contains(&hex(Sha256::new_with_prefix("a"))));
        std::fs::write(&one, "short").expect("written");
        let error = keyed_digest(&one, "a").expect_err("no key").to_string();
        assert!(error.contains("is no key (5 bytes, not 32)"), "{error}");
        let nowhere = folder.path().join("nowhere/key");
        keyed_digest(&nowhere, "a").expect_err("no folder");
    }

    #[cfg(unix)]
    #[test]
    fn a_key_is_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let key = folder.path().join("key");
        keyed_digest(&key, "a").expect("a digest");
        let mode = std::fs::metadata(&key).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
