//! What can go wrong between a file and a federated data set.

use std::io;
use std::path::{Path, PathBuf};

/// Why data could not be opened, read, stored or fetched.
///
/// Every message says what is wrong, where, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// Nothing lies at the path.
    #[error("there is no {what} at `{}`: {hint}", path.display())]
    Missing {
        /// What was looked for.
        what: String,
        /// Where.
        path: PathBuf,
        /// What to do.
        hint: String,
    },
    /// A folder lies where a file should be, or holds none of the files that it should.
    #[error("`{}` is a folder, not {expected}", path.display())]
    IsDirectory {
        /// The folder.
        path: PathBuf,
        /// What should lie there.
        expected: String,
    },
    /// The operating system refused.
    #[error("cannot {action} `{}`: {source}{}", path.display(), io_hint(source))]
    Io {
        /// What was tried, such as "read".
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the system answered.
        source: io::Error,
    },
    /// The file is of no kind that a reader knows.
    #[error("`{}` is none of the files that can be read here: {hint}", path.display())]
    NotRecognised {
        /// The file.
        path: PathBuf,
        /// What can be read.
        hint: String,
    },
    /// The file is of the kind it should be, but truncated, damaged or inconsistent.
    #[error("`{}` is not a usable {format}: {detail}. Is it complete? Fetch or copy it again", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What it should be, such as "xz archive".
        format: &'static str,
        /// What is wrong, and where in the file.
        detail: String,
    },
    /// The file is sound, but of a form that is not read here.
    #[error("`{}` cannot be read here: {what}; {instead}", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What it has that is not read.
        what: String,
        /// What to do: how to convert it, say.
        instead: String,
    },
    /// A pixel is not a number between paper and ink.
    #[error(
        "example {example} of client `{client}` in split `{split}` of `{}` has the value {value} \
         at pixel {pixel}, but pixels are 0 (ink) to 1 (paper){}",
        path.display(),
        pixel_hint(*value)
    )]
    Pixel {
        /// Where the data came from.
        path: PathBuf,
        /// The split.
        split: String,
        /// The client.
        client: String,
        /// Which of the client's examples, from 0.
        example: usize,
        /// Which pixel, row by row, from 0.
        pixel: usize,
        /// Its value.
        value: f32,
    },
    /// Not the same clients in both splits.
    #[error(
        "{missing} of {clients} clients of split `{has}` are not in split `{lacks}` of `{}`, the \
         first is `{first}`: every client of this format is in both, so a file is damaged or not \
         its partner: fetch or copy it again. If it is meant so (such clients have no examples \
         there): --allow-empty-clients, or allow_empty_clients = true in [data]",
        path.display()
    )]
    ClientsDiffer {
        /// The file that lacks them.
        path: PathBuf,
        /// The split that has more.
        has: String,
        /// Its number of clients.
        clients: usize,
        /// The split that lacks some.
        lacks: String,
        /// How many it lacks.
        missing: usize,
        /// The first of them.
        first: String,
    },
    /// A file was written to while it was read.
    #[error("`{}` changed while it was read: try again when nobody writes to it", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// A cache does not hold what it did when it was written.
    #[error(
        "the cache `{}` does not hold what was put into it: {detail}. {}",
        path.display(),
        if *imported {
            "Import the data again"
        } else {
            "Remove it and begin again: it is then made anew"
        }
    )]
    CacheDamaged {
        /// The cache file.
        path: PathBuf,
        /// What is wrong, and where.
        detail: String,
        /// Whether it holds an imported data set, which nothing here can make anew.
        imported: bool,
    },
    /// The file is sound but does not hold the split that was asked for.
    #[error("`{}` has no split `{split}`; it holds {found}{}", path.display(), variant_hint(split, found))]
    NoSplit {
        /// The file.
        path: PathBuf,
        /// The split that was asked for.
        split: String,
        /// The splits that are there.
        found: String,
    },
    /// A client of a file has no example at all.
    #[error(
        "client `{client}` of split `{split}` in `{}` has no examples: \
         every client of this format has at least one, so the file is incomplete; to keep such \
         clients (they then send a zero update): --allow-empty-clients, or \
         allow_empty_clients = true in [data]",
        path.display()
    )]
    EmptyClient {
        /// The file.
        path: PathBuf,
        /// The split.
        split: String,
        /// The client.
        client: String,
    },
    /// A label is not a class.
    #[error(
        "example {example} of client `{client}` in split `{split}` of `{}` has label {label}, \
         but the classes are 0 to {}{}",
        path.display(),
        classes - 1,
        if (10..62).contains(label) {
            ": data with letters are read with --variant all, or variant = \"all\" in [data]"
        } else {
            ": correct it, or fetch or copy the file again"
        }
    )]
    Label {
        /// Where the data came from.
        path: PathBuf,
        /// The split.
        split: String,
        /// The client.
        client: String,
        /// Which of the client's examples, from 0.
        example: usize,
        /// The label.
        label: i64,
        /// Number of classes.
        classes: usize,
    },
    /// Parts of a split do not fit together.
    #[error("the clients do not make up a split: {0}")]
    Inconsistent(String),
    /// A setting is out of range.
    #[error("{parameter} = {value} is out of range: it must be {range}")]
    Parameter {
        /// Which setting.
        parameter: &'static str,
        /// What was given.
        value: String,
        /// What is allowed.
        range: &'static str,
    },
    /// Only digits can be drawn.
    #[error(
        "the embedded writers write digits only, and no real data with all 62 classes was found \
         in `{}`: put emnist_all.sqlite (or .sqlite.lzma) there, or take the digits: --variant \
         digits-only, or variant = \"digits_only\" in [data]",
        data_dir.display()
    )]
    DigitsOnly {
        /// Where real data was looked for.
        data_dir: PathBuf,
    },
    /// There is not enough memory.
    #[error("{bytes} bytes of memory for {what} are not to be had")]
    Memory {
        /// What the memory was for.
        what: String,
        /// How much.
        bytes: u64,
    },
    /// The digest of a file is not the one on record.
    #[error(
        "`{}` has sha256 {actual}, but {authority} says {expected}: \
         the file is damaged or not the one that was meant; remove it and fetch it again",
        path.display()
    )]
    Checksum {
        /// The file.
        path: PathBuf,
        /// The digest on record, in hexadecimal.
        expected: String,
        /// The digest of the file, in hexadecimal.
        actual: String,
        /// Where the record lies.
        authority: String,
    },
    /// The server answered, but not with the file.
    #[error("{url} answered with status {status}: {hint}")]
    Status {
        /// What was asked for.
        url: String,
        /// The HTTP status.
        status: u16,
        /// What it usually means.
        hint: &'static str,
    },
    /// The server could not be reached, or fell silent.
    #[error(
        "fetching {url} failed after {attempts} attempts: {detail}; what arrived so far is kept, \
         and the same command goes on from there"
    )]
    Network {
        /// What was asked for.
        url: String,
        /// How often it was tried.
        attempts: u32,
        /// What went wrong the last time.
        detail: String,
    },
    /// The address is none that can be fetched from.
    #[error("cannot fetch from `{url}`: {detail}")]
    Address {
        /// What was given.
        url: String,
        /// What is wrong with it, and what can be given.
        detail: String,
    },
    /// This build lacks a part.
    #[error("this build of fed-data cannot {what}: build it with the feature `{feature}`")]
    Feature {
        /// What was asked for.
        what: &'static str,
        /// The feature that brings it.
        feature: &'static str,
    },
}

impl DataError {
    /// Whether trying again may help, without changing what was asked for: a network that went
    /// away, a full disk, a damaged download.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Network { .. }
            | Self::Checksum { .. }
            | Self::Memory { .. }
            | Self::Changed { .. } => true,
            Self::Status { status, .. } => *status >= 500,
            Self::Io { source, .. } => {
                !matches!(source.kind(), io::ErrorKind::NotADirectory | io::ErrorKind::InvalidInput)
            }
            _ => false,
        }
    }

    /// An operating-system error at `path`; a folder in place of a file is told apart.
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::IsADirectory => {
                Self::IsDirectory { path: path.to_owned(), expected: "a file".to_owned() }
            }
            io::ErrorKind::NotFound => Self::Missing {
                what: "file or folder".to_owned(),
                path: path.to_owned(),
                hint: format!("cannot {action} it; check the path"),
            },
            _ => Self::Io { action, path: path.to_owned(), source },
        }
    }

    /// The same fault, told of `path`: for what was found in an unpacked copy of it.
    #[cfg(feature = "readers")]
    pub(crate) fn at(mut self, known: &Path) -> Self {
        match &mut self {
            Self::Corrupt { path, .. }
            | Self::NoSplit { path, .. }
            | Self::EmptyClient { path, .. }
            | Self::Unsupported { path, .. }
            | Self::Pixel { path, .. }
            | Self::ClientsDiffer { path, .. }
            | Self::Changed { path }
            | Self::Label { path, .. } => *path = known.to_owned(),
            _ => {}
        }
        self
    }

    /// A damaged file.
    pub(crate) fn corrupt(path: &Path, format: &'static str, detail: impl ToString) -> Self {
        Self::Corrupt { path: path.to_owned(), format, detail: detail.to_string() }
    }
}

/// Text from a file as it may be shown on a terminal: control characters escaped, and short.
pub(crate) fn shown(text: &str) -> String {
    let mut characters = text.chars();
    let mut out = String::new();
    for character in characters.by_ref().take(200) {
        if character.is_control() {
            out.extend(character.escape_default());
        } else {
            out.push(character);
        }
    }
    if characters.next().is_some() {
        out.push('…');
    }
    out
}

/// Where a pixel outside the range may come from.
fn pixel_hint(value: f32) -> &'static str {
    if !value.is_finite() {
        ": it is not a number that a model can learn from; correct it, or leave the example out"
    } else if value > 1.0 && value <= 255.0 && value.fract() == 0.0 {
        ": these look like bytes; divide them by 255, and turn them round (1 - value) if 255 is ink"
    } else {
        ": these look normalised or scaled; bring them back to 0 to 1"
    }
}

/// Which option opens what is there instead.
fn variant_hint(wanted: &str, found: &str) -> &'static str {
    if wanted.starts_with("digits_only") && (found.starts_with("all") || found.contains(" all_")) {
        " (read those with --variant all, or variant = \"all\" in [data])"
    } else if wanted.starts_with("all") && found.contains("digits_only") {
        " (read those with --variant digits-only, or variant = \"digits_only\" in [data])"
    } else {
        ""
    }
}

/// What to do about an operating-system error, where that is known.
fn io_hint(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            " (make room there, or choose another folder)"
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            " (make it writable, or choose another folder)"
        }
        _ => "",
    }
}
