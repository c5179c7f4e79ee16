//! What may lie beside a SQLite database and decides, with it, what it holds.

use std::fs::{self, File, Metadata};
use std::io::{BufReader, Read};
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

impl Companion {
    /// How to bring what lies in it into the database.
    pub(crate) fn way_out(self) -> &'static str {
        match self {
            Self::WriteAheadLog => {
                "bring them in with a program that may write to it: `sqlite3 FILE 'PRAGMA \
                 wal_checkpoint(TRUNCATE)'`"
            }
            Self::RollbackJournal => {
                "wait until its writer is done; if there is none, it was interrupted, and any \
                 program that may write to it takes back what was left undone: `sqlite3 FILE \
                 'SELECT COUNT(*) FROM examples'`"
            }
        }
    }
}

/// What is wrong with the write-ahead log of the database at `path`, if there is one.
///
/// SQLite leaves out what follows a damaged frame without a word, as it must after a crash. What
/// was deleted would then be there again; so a log is taken only if it is whole, as far as its own
/// salts go: frames of other salts are left over from earlier use.
pub(crate) fn log_fault(path: &Path) -> std::io::Result<Option<String>> {
    if companion(path, Companion::WriteAheadLog).is_none() {
        return Ok(None);
    }
    let mut log = BufReader::new(File::open(Companion::WriteAheadLog.beside(path))?);
    let mut header = [0; 32];
    let wrong = |what: String| Ok(Some(format!("its write-ahead log {what}")));
    if fill(&mut log, &mut header)? < header.len() {
        return wrong("ends in its header".to_owned());
    }
    let word = |bytes: &[u8], at: usize| u32::from_be_bytes(std::array::from_fn(|n| bytes[at + n]));
    let big_endian = match word(&header, 0) {
        0x377F_0682 => false,
        0x377F_0683 => true,
        _ => return wrong("does not begin as one".to_owned()),
    };
    let mut sum = (0, 0);
    add(&mut sum, &header[..24], big_endian);
    let page = word(&header, 8) as usize;
    if sum != (word(&header, 24), word(&header, 28)) || !(512..=65_536).contains(&page) {
        return wrong("has a damaged header".to_owned());
    }
    let salt = word(&header, 16);
    let mut frame = vec![0; 24 + page];
    // Whether what was read so far ends with a whole change: a frame that says how many pages the
    // database has after it.
    let mut whole = false;
    for number in 1_u64.. {
        let length = fill(&mut log, &mut frame)?;
        if length == 0 {
            break;
        }
        if length < frame.len() {
            return wrong(format!("ends within frame {number}"));
        }
        if frame[8..16] != header[16..24] {
            // Each use of a log counts its first salt up: what is left over has a smaller one.
            let age = salt.wrapping_sub(word(&frame, 8));
            if number == 1 || age == 0 || age > 1 << 20 {
                return wrong(format!("is damaged at frame {number}"));
            }
            break;
        }
        add(&mut sum, &frame[..8], big_endian);
        add(&mut sum, &frame[24..], big_endian);
        if sum != (word(&frame, 16), word(&frame, 20)) {
            return wrong(format!("is damaged at frame {number}"));
        }
        whole = word(&frame, 4) != 0;
    }
    if whole { Ok(None) } else { wrong("ends in the middle of a change".to_owned()) }
}

/// The checksum of write-ahead logs, continued over `bytes`, whole pairs of words.
fn add(sum: &mut (u32, u32), bytes: &[u8], big_endian: bool) {
    for pair in bytes.chunks_exact(8) {
        let word = |at: usize| {
            let bytes = std::array::from_fn(|n| pair[at + n]);
            if big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
        };
        sum.0 = sum.0.wrapping_add(word(0)).wrapping_add(sum.1);
        sum.1 = sum.1.wrapping_add(word(4)).wrapping_add(sum.0);
    }
}

/// Reads until the buffer is full or the input ends.
pub(crate) fn fill(input: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match input.read(&mut buffer[filled..])? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(filled)
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
