//! Append-only records that a checkpoint can vouch for.
//!
//! A [`Journal`] keeps a running SHA-256 of everything that was appended. A checkpoint stores the
//! [`Mark`] of each journal, its length and digest; resuming checks that the file still begins
//! with exactly those bytes and cuts off what was written after the checkpoint, so the records go
//! on as if nothing had happened.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::SimError;

/// A place in a journal: everything before it is vouched for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mark {
    /// Length in bytes.
    pub bytes: u64,
    /// SHA-256 of those bytes, in hexadecimal.
    pub sha256: String,
}

/// A file that only grows.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    bytes: u64,
    digest: Sha256,
}

impl Journal {
    /// An empty journal, in place of whatever lay there.
    ///
    /// # Errors
    /// [`SimError::Io`] if the file cannot be made.
    pub fn create(path: &Path) -> Result<Self, SimError> {
        let file = File::create(path).map_err(SimError::io(path))?;
        Ok(Self { path: path.to_owned(), file, bytes: 0, digest: Sha256::new() })
    }

    /// The journal up to `mark`; what follows it is cut off.
    ///
    /// # Errors
    /// [`SimError::Altered`] if the file does not begin with what the mark vouches for,
    /// [`SimError::Io`] if it cannot be read or cut.
    pub fn resume(path: &Path, mark: &Mark) -> Result<Self, SimError> {
        // One that is gone is not made anew: somebody may want to put it back.
        if mark.bytes > 0 && !path.exists() {
            return Err(altered(path, "it is gone".to_owned(), mark));
        }
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(SimError::io(path))?;
        let mut digest = Sha256::new();
        let mut left = mark.bytes;
        let mut buffer = vec![0; 1 << 16];
        while left > 0 {
            let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let read = file.read(&mut buffer[..most]).map_err(SimError::io(path))?;
            if read == 0 {
                let found = mark.bytes - left;
                return Err(altered(path, format!("it ends after {found} bytes"), mark));
            }
            digest.update(&buffer[..read]);
            left -= read as u64;
        }
        if hex(digest.clone()) != mark.sha256 {
            return Err(altered(path, "its contents have changed".to_owned(), mark));
        }
        file.set_len(mark.bytes).map_err(SimError::io(path))?;
        file.seek(SeekFrom::Start(mark.bytes)).map_err(SimError::io(path))?;
        Ok(Self { path: path.to_owned(), file, bytes: mark.bytes, digest })
    }

    /// Appends one value as a line of JSON to a file that no checkpoint vouches for.
    ///
    /// # Errors
    /// [`SimError::Io`] if the line cannot be written.
    pub fn append_to(path: &Path, value: &impl Serialize) -> Result<(), SimError> {
        let file =
            OpenOptions::new().append(true).create(true).open(path).map_err(SimError::io(path))?;
        let mut journal = Self { path: path.to_owned(), file, bytes: 0, digest: Sha256::new() };
        journal.append_json(value)
    }

    /// Where the journal stands.
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark { bytes: self.bytes, sha256: hex(self.digest.clone()) }
    }

    /// Appends a value as a line of JSON.
    ///
    /// # Errors
    /// [`SimError::Io`] if the line cannot be written.
    pub fn append_json(&mut self, value: &impl Serialize) -> Result<(), SimError> {
        let mut line = serde_json::to_vec(value)
            .map_err(|error| SimError::io(&self.path)(std::io::Error::other(error)))?;
        line.push(b'\n');
        self.append(&line)
    }

    /// Appends a value as a row of CSV, after the row of names if it is the first.
    ///
    /// # Errors
    /// [`SimError::Io`] if the row cannot be written.
    pub fn append_csv(&mut self, row: &impl Serialize) -> Result<(), SimError> {
        let mut writer =
            csv::WriterBuilder::new().has_headers(self.bytes == 0).from_writer(Vec::new());
        let bytes = writer
            .serialize(row)
            .map_err(std::io::Error::other)
            .and_then(|()| {
                writer.into_inner().map_err(|error| std::io::Error::other(error.to_string()))
            })
            .map_err(SimError::io(&self.path))?;
        self.append(&bytes)
    }

    /// Appends bytes, in one write: a reader never sees half a line unless the disk fills up.
    fn append(&mut self, bytes: &[u8]) -> Result<(), SimError> {
        self.file.write_all(bytes).map_err(SimError::io(&self.path))?;
        self.bytes += bytes.len() as u64;
        self.digest.update(bytes);
        Ok(())
    }

    /// Has the disk confirm everything up to here.
    ///
    /// # Errors
    /// [`SimError::Io`] if the disk refuses.
    pub fn sync(&self) -> Result<(), SimError> {
        self.file.sync_data().map_err(SimError::io(&self.path))
    }
}

fn altered(path: &Path, how: String, mark: &Mark) -> SimError {
    SimError::Altered {
        path: path.to_owned(),
        message: format!("{how}, but the checkpoint was taken with {} bytes in it", mark.bytes),
    }
}

/// SHA-256 of a file's contents, in hexadecimal.
pub(crate) fn digest_of(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex(digest)),
            read => digest.update(&buffer[..read]),
        }
    }
}

/// A digest as text.
pub(crate) fn hex(digest: Sha256) -> String {
    digest.finalize().iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_a_mark_is_cut_off_and_what_precedes_it_is_checked() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("lines");
        let mut journal = Journal::create(&path).expect("made");
        journal.append_json(&1).expect("written");
        let mark = journal.mark();
        journal.append_json(&2).expect("written");
        drop(journal);
        let mut journal = Journal::resume(&path, &mark).expect("as it was");
        assert_eq!(journal.mark(), mark);
        journal.append_json(&3).expect("written");
        assert_eq!(std::fs::read_to_string(&path).expect("read"), "1\n3\n");

        std::fs::write(&path, "9\n3\n").expect("altered");
        let error = Journal::resume(&path, &mark).expect_err("altered");
        assert!(error.to_string().contains("lines"), "{error}");
        std::fs::write(&path, "1").expect("shortened");
        let error = Journal::resume(&path, &mark).expect_err("shortened");
        assert!(error.to_string().contains("ends after 1 bytes"), "{error}");
        std::fs::remove_file(&path).expect("removed");
        let error = Journal::resume(&path, &mark).expect_err("gone");
        assert!(error.to_string().contains("it is gone"), "{error}");
        assert!(!path.exists(), "it can be put back");
    }

    #[test]
    fn a_table_has_its_names_once() {
        #[derive(Serialize)]
        struct Row {
            a: u8,
            b: f64,
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("table.csv");
        let mut journal = Journal::create(&path).expect("made");
        journal.append_csv(&Row { a: 1, b: 0.5 }).expect("written");
        let mark = journal.mark();
        let mut journal = Journal::resume(&path, &mark).expect("as it was");
        journal.append_csv(&Row { a: 2, b: f64::INFINITY }).expect("written");
        assert_eq!(std::fs::read_to_string(&path).expect("read"), "a,b\n1,0.5\n2,inf\n");
    }
}
