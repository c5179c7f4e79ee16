//! Files that are only needed for a while, so that a program that is told to stop can take them
//! with it: the destructors that remove them do not run when a process exits.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

static NOTED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Notes a temporary file or folder, of a name that nobody else has.
pub(crate) fn note(path: &Path) {
    NOTED.lock().unwrap_or_else(PoisonError::into_inner).push(path.to_owned());
}

/// Removes what unpacking and writing caches have left so far: for a program that exits in their
/// midst, and that does nothing else any more.
pub fn remove() {
    for path in NOTED.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
        // What was finished is gone or has its own name by now.
        let _ = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
    }
}
