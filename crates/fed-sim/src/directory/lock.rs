//! One process at a time writes to a run directory.

use std::fs::{self, File, OpenOptions, TryLockError};
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
        let mut file = open(&path)?;
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

/// Opens the file of a lock, and none that lies elsewhere under its name: its content is replaced.
fn open(path: &Path) -> Result<File, SimError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(
        &mut options,
        // Whoever put a pipe there must not be waited for.
        (rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits().cast_signed(),
    );
    let stranger = || {
        let message = "this is no lock but a link to another file, or no file at all: remove it";
        SimError::config(path.display().to_string(), message)
    };
    let file = options.open(path).map_err(|error| match fs::symlink_metadata(path) {
        Ok(there) if !there.is_file() => stranger(),
        _ => SimError::io(path)(error),
    })?;
    let there = file.metadata().map_err(SimError::io(path))?;
    #[cfg(unix)]
    let is_shared = std::os::unix::fs::MetadataExt::nlink(&there) > 1;
    #[cfg(not(unix))]
    let is_shared = false;
    if there.is_file() && !is_shared { Ok(file) } else { Err(stranger()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn what_lies_elsewhere_is_not_written_to() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (mine, lock) = (folder.path().join("mine"), folder.path().join(NAME));
        fs::write(&mine, "dear to me").expect("written");
        let refused = || {
            let error = Lock::take(folder.path()).expect_err("refused").to_string();
            assert!(error.contains("a link to another file"), "{error}");
            assert_eq!(fs::read_to_string(&mine).expect("still there"), "dear to me");
            fs::remove_file(&lock).expect("removed");
        };
        std::os::unix::fs::symlink(&mine, &lock).expect("a symbolic link");
        refused();
        std::os::unix::fs::symlink(folder.path().join("nothing"), &lock).expect("a dangling link");
        refused();
        assert!(!folder.path().join("nothing").exists(), "made through the link");
        fs::hard_link(&mine, &lock).expect("a hard link");
        refused();
        Lock::take(folder.path()).expect("free");
    }

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
