//! A data set: its two splits, and what a record should say about where they came from.

use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde::{Deserialize, Serialize};

use crate::cache::{self, FileVersion};
use crate::digest::{ContentDigest, Digests};
use crate::error::DataError;
use crate::federated::FederatedData;
use crate::split::Split;

/// Which characters: the ten digits, or digits and letters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Variant {
    /// Ten digits.
    #[default]
    DigitsOnly,
    /// 62 classes: 0 to 9 digits, 10 to 35 upper case, 36 to 61 lower case.
    All,
}

impl Variant {
    /// Number of classes.
    #[must_use]
    pub fn classes(self) -> usize {
        match self {
            Self::DigitsOnly => 10,
            Self::All => 62,
        }
    }

    /// As a config names it: `digits_only` or `all`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::DigitsOnly => "digits_only",
            Self::All => "all",
        }
    }

    /// The numbers of the real data: clients, training and test examples.
    pub(crate) fn real_counts(self) -> (usize, usize, usize) {
        match self {
            Self::DigitsOnly => (3_383, 341_873, 40_832),
            Self::All => (3_400, 671_585, 77_483),
        }
    }

    #[cfg(feature = "readers")]
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::DigitsOnly => "digits only",
            Self::All => "digits and letters",
        }
    }
}

/// Where a data set came from: what every record and figure of a run says about its data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// What it is, such as `federated EMNIST (digits only)` or `synthetic writers (seed 0)`.
    pub name: String,
    /// Whether the pictures were drawn by a program: then no result says anything about real
    /// handwriting, and whoever shows one must say so.
    pub synthetic: bool,
    /// The digest of the content, the same whatever file or cache it was read from.
    pub digest: ContentDigest,
    /// The files that were read; none for what is embedded.
    pub files: Vec<PathBuf>,
    /// Which characters.
    pub variant: Variant,
    /// Clients of the training split.
    pub clients: usize,
    /// Examples of the training split.
    pub train_examples: usize,
    /// Examples of the test split.
    pub test_examples: usize,
    /// Why this source was taken, in one sentence for the screen.
    pub why: String,
    /// Digests of parts of the content, to say what differs between two; none in old records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parts: Option<Digests>,
}

impl Source {
    /// What the content of `self` has otherwise than that of `other`, in a few words; nothing if
    /// the two have one content.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Option<String> {
        if self.digest == other.digest {
            return None;
        }
        let mut found = Vec::new();
        for (what, ours, theirs) in [
            ("clients", self.clients, other.clients),
            ("training examples", self.train_examples, other.train_examples),
            ("test examples", self.test_examples, other.test_examples),
        ] {
            if ours != theirs {
                found.push(format!("{ours} {what} instead of {theirs}"));
            }
        }
        if self.variant != other.variant {
            found.push(format!(
                "variant {} instead of {}",
                self.variant.name(),
                other.variant.name()
            ));
        }
        if found.is_empty() {
            found.extend(match (&self.parts, &other.parts) {
                (Some(ours), Some(theirs)) => ours.difference(theirs),
                _ => vec!["the same numbers, but another content".to_owned()],
            });
        }
        Some(found.join(", "))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, clients, train_examples, test_examples, .. } = self;
        write!(f, "{name}: {clients} clients, {train_examples} + {test_examples} examples")
    }
}

/// Clients with what each trains on and what each set aside.
#[derive(Debug)]
pub struct Dataset {
    /// What the clients train on.
    pub train: Split,
    /// What the clients set aside; [`Split::all_examples`] is the usual test set.
    pub test: Split,
    /// Where it came from.
    pub source: Source,
    /// What a user should be told, one sentence each: a cache that could not be written, say.
    pub notes: Vec<String>,
    /// The cache that it is mapped from; data in memory are what was read or drawn.
    cache: Option<CacheFile>,
}

/// A cache that a data set is mapped from, and whether its content was checked.
#[derive(Debug)]
pub(crate) struct CacheFile {
    path: PathBuf,
    /// Open for as long as the data are mapped, whatever happens to its name.
    file: File,
    imported: bool,
    /// As which version it was found to be sound.
    sound: Mutex<Option<FileVersion>>,
}

impl CacheFile {
    pub(crate) fn new(path: &Path, file: File, imported: bool) -> Self {
        Self { path: path.to_owned(), file, imported, sound: Mutex::new(None) }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn is_imported(&self) -> bool {
        self.imported
    }
}

impl Dataset {
    /// Joins two splits that lie in memory; what is not said by `origin` is computed.
    pub(crate) fn new(train: Split, test: Split, origin: Origin, digest: ContentDigest) -> Self {
        let source = Source {
            name: origin.name,
            synthetic: origin.synthetic,
            digest,
            files: origin.files,
            variant: origin.variant,
            clients: train.num_clients(),
            train_examples: train.len(),
            test_examples: test.len(),
            why: String::new(),
            parts: Some(Digests::of(&train, &test)),
        };
        Self::of(train, test, source, None)
    }

    /// Two splits that are mapped from a cache.
    pub(crate) fn mapped(train: Split, test: Split, source: Source, cache: CacheFile) -> Self {
        Self::of(train, test, source, Some(cache))
    }

    /// The data set of this source, whose digest both splits are told.
    fn of(train: Split, test: Split, source: Source, cache: Option<CacheFile>) -> Self {
        let [train, test] =
            [(train, "train"), (test, "test")].map(|(split, part)| split.of(part, &source.digest));
        Self { train, test, source, notes: Vec::new(), cache }
    }

    pub(crate) fn cache_file(&self) -> Option<&CacheFile> {
        self.cache.as_ref()
    }

    /// Makes sure that the content is what [`Source::digest`] says.
    ///
    /// Data that are mapped from a cache are read and hashed the first time, which takes a second
    /// for 300 MB; others who ask meanwhile wait. Later calls only look whether the file was
    /// written to since, and read it again if it was. So it may be asked for beside the first
    /// round, and before anything that came from the data is recorded.
    ///
    /// # Errors
    /// [`DataError::CacheDamaged`] if some label or pixel is not what it was when the cache was
    /// made, [`DataError::Io`] if the system does not say whether the file changed.
    pub fn check(&self) -> Result<(), DataError> {
        let Some(CacheFile { path, file, sound, .. }) = &self.cache else { return Ok(()) };
        // Whoever panicked while it was locked left what was known before.
        let mut sound = sound.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let metadata = file.metadata().map_err(|error| DataError::io("look at", path, error))?;
        let version = FileVersion::of(&metadata);
        if *sound != Some(version) {
            cache::verify(self)?;
            *sound = Some(version);
        }
        Ok(())
    }
}

/// What a reader knows about where its data came from.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) name: String,
    pub(crate) synthetic: bool,
    pub(crate) files: Vec<PathBuf>,
    pub(crate) variant: Variant,
}
