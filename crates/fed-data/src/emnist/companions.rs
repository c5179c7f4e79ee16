//! What may lie beside a SQLite database and decides, with it, what it holds.

use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};

/// A file beside a database. Its index of the write-ahead log (`-shm`) is none of them: SQLite
/// makes that anew from the log whenever nobody else has the database open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Companion {
    /// `-wal`: changes that are not in the database yet.
    WriteAheadLog,
    /// `-journal`: what the database held before changes that were interrupted.
    RollbackJournal,
}

impl Companion {
    pub(crate) const ALL: [Self; 2] = [Self::WriteAheadLog, Self::RollbackJournal];

    /// Where it lies for the database at `path`.
    pub(crate) fn beside(self, path: &Path) -> PathBuf {
        // Beside the file itself, not beside a link to it: that is where SQLite looks.
        let mut name = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()).into_os_string();
        name.push(match self {
            Self::WriteAheadLog => "-wal",
            Self::RollbackJournal => "-journal",
        });
        PathBuf::from(name)
    }
}

/// The companion of the database at `path`, if there is one that holds something.
pub(crate) fn companion(path: &Path, kind: Companion) -> Option<Metadata> {
    fs::metadata(kind.beside(path)).ok().filter(|file| file.is_file() && file.len() > 0)
}

/// The address by which SQLite opens a database as one that nobody writes to.
pub(crate) fn immutable_uri(path: &Path) -> PathBuf {
    use std::fmt::Write;
    let absolute = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    if cfg!(windows) {
        return absolute; // an address has another form there; locks do no harm
    }
    let mut uri = String::from("file:");
    for &byte in absolute.as_os_str().as_encoded_bytes() {
        match byte {
            b'/' | b'\\' | b':' | b'-' | b'_' | b'.' => uri.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => uri.push(char::from(byte)),
            byte => write!(uri, "%{byte:02X}").expect("writing to a string cannot fail"),
        }
    }
    uri.push_str("?immutable=1");
    PathBuf::from(uri)
}
