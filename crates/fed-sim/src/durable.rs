//! Files that are there whole or not at all, whatever stops the program or the machine.
//!
//! [`replace`] writes a neighbour of the file, has the disk confirm it, renames it over the old
//! one and has the disk confirm the folder: a reader, and whoever starts after a crash, sees the
//! old contents or the new ones, never a mixture.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::error::SimError;

/// What the name of a half-written neighbour ends in. Left behind by a crash it means nothing,
/// and the next write of the same file replaces it.
const PARTIAL: &str = ".partial";

/// Writes `contents` to `path`, whole or not at all, and durably.
///
/// # Errors
/// [`SimError::Io`] if the disk is full, or refuses; the old file is then as it was.
pub fn replace(path: &Path, contents: &[u8]) -> Result<(), SimError> {
    let partial = neighbour(path);
    // A new file: what is left of an earlier one goes, and a link in its place is not followed.
    let _ = fs::remove_file(&partial);
    let written = File::create_new(&partial)
        .and_then(|mut file| file.write_all(contents).and_then(|()| file.sync_all()));
    if let Err(error) = written {
        // A full disk is no place for half a file; that it cannot be removed is the lesser news.
        let _ = fs::remove_file(&partial);
        return Err(SimError::io(path)(error));
    }
    fs::rename(&partial, path).map_err(SimError::io(path))?;
    sync_folder_of(path)
}

/// Makes a folder and those that it lies in, durably; nothing happens to one that is there.
///
/// # Errors
/// [`SimError::Io`] if one cannot be made, or if the disk refuses to confirm its name.
pub fn make_folder(path: &Path) -> Result<(), SimError> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        make_folder(parent)?;
    }
    match fs::create_dir(path) {
        Ok(()) => sync_folder_of(path),
        // Another process was as quick.
        Err(_) if path.is_dir() => Ok(()),
        Err(error) => Err(SimError::io(path)(error)),
    }
}

/// A file of lines that is only appended to, and that can be asked to keep what it has: what a
/// ledger needs of a disk.
pub trait LineFile {
    /// Writes bytes at the end, in one go; some of them may be there after an error.
    ///
    /// # Errors
    /// What the system says, such as that the disk is full.
    fn append(&mut self, bytes: &[u8]) -> std::io::Result<()>;

    /// Cuts off what follows the first `length` bytes; what is appended next stands there.
    ///
    /// # Errors
    /// What the system says.
    fn cut(&mut self, length: u64) -> std::io::Result<()>;

    /// Returns when everything that was appended outlives a power failure.
    ///
    /// # Errors
    /// What the system says; then nothing may be taken for kept.
    fn confirm(&self) -> std::io::Result<()>;
}

impl LineFile for File {
    fn append(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.write_all(bytes)
    }

    fn cut(&mut self, length: u64) -> std::io::Result<()> {
        self.set_len(length)?;
        self.seek(SeekFrom::Start(length)).map(|_| ())
    }

    fn confirm(&self) -> std::io::Result<()> {
        self.sync_data()
    }
}

/// Has the disk confirm the names in the folder that holds `path`.
///
/// # Errors
/// [`SimError::Io`] if the disk refuses.
pub fn sync_folder_of(path: &Path) -> Result<(), SimError> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    // Elsewhere a folder cannot be opened as a file, and renames are durable on their own terms.
    if cfg!(unix) {
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(SimError::io(folder))?;
    }
    Ok(())
}

/// Whether a file of this name is a half-written neighbour, or was meant to become one.
pub(crate) fn is_partial(name: &str) -> bool {
    name.starts_with('.') && name.ends_with(PARTIAL)
}

fn neighbour(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(PARTIAL);
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_that_fails_leaves_the_old_file() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("file");
        replace(&path, b"old").expect("written");
        // A folder where the neighbour should be: nobody, not even root, writes through it.
        fs::create_dir(neighbour(&path)).expect("a folder");
        let error = replace(&path, b"new").expect_err("refused");
        assert!(error.to_string().contains("file"), "{error}");
        assert_eq!(fs::read(&path).expect("still there"), b"old");
        fs::remove_dir(neighbour(&path)).expect("removed");
        replace(&path, b"new").expect("written");
        assert_eq!(fs::read(&path).expect("replaced"), b"new");
        assert!(!neighbour(&path).exists());
    }

    #[cfg(unix)]
    #[test]
    fn a_link_in_the_place_of_the_neighbour_is_not_followed() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (mine, path) = (folder.path().join("mine"), folder.path().join("file"));
        fs::write(&mine, "dear to me").expect("written");
        std::os::unix::fs::symlink(&mine, neighbour(&path)).expect("a link");
        replace(&path, b"new").expect("written");
        assert_eq!(fs::read(&path).expect("there"), b"new");
        assert_eq!(fs::read_to_string(&mine).expect("still there"), "dear to me");
    }

    #[test]
    fn folders_are_made_on_the_way_and_what_stands_in_it_is_named() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let deep = folder.path().join("a/b/c");
        make_folder(&deep).expect("made");
        make_folder(&deep).expect("there already");
        assert!(deep.is_dir());
        fs::write(folder.path().join("a/file"), "mine").expect("written");
        let error = make_folder(&folder.path().join("a/file/b")).expect_err("a file");
        assert!(error.to_string().contains("a/file"), "{error}");
    }
}
