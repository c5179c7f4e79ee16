//! One process at a time writes to a run directory.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::sync::Arc;

use crate::error::SimError;

/// The name of the locked file. It stays when its process ends; the lock does not.
pub(super) const NAME: &str = "lock";

/// Held as long as somebody may write to the directory. The operating system lets go of it when
/// the process ends, however it ends.
#[derive(Clone, Debug)]
pub(super) struct Lock {
    _file: Arc<File>,
}

impl Lock {
    /// Locks `directory`, or says who has it.
    pub(super) fn take(directory: &Path) -> Result<Self, SimError> {
        let path = directory.join(NAME);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(SimError::io(&path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Who it is only helps; on some systems a locked file cannot be read.
                let _ = file.read_to_string(&mut holder);
                let holder = holder.trim();
                let holder =
                    if holder.is_empty() { String::new() } else { format!(" (number {holder})") };
                return Err(SimError::Locked { path: directory.to_owned(), holder });
            }
            Err(TryLockError::Error(error)) => return Err(SimError::io(&path)(error)),
        }
        // Only for people: a disk that is full must not keep a run from being taken up.
        let _ = file.set_len(0).and_then(|()| file.rewind());
        let _ = writeln!(file, "{}", std::process::id());
        Ok(Self { _file: Arc::new(file) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_who_was_first() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let first = Lock::take(folder.path()).expect("free");
        let error = Lock::take(folder.path()).expect_err("taken").to_string();
        assert!(error.contains(&format!("number {}", std::process::id())), "{error}");
        drop(first);
        Lock::take(folder.path()).expect("free again");
    }
}
