//! A data set: its two splits, and what a record should say about where they came from.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::digest::ContentDigest;
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
}

impl Dataset {
    /// Joins two splits; `name`, `synthetic`, `files` and `why` go into the source, which is
    /// otherwise computed.
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
        };
        Self::of(train, test, source)
    }

    /// The data set of this source, whose digest both splits are told.
    pub(crate) fn of(train: Split, test: Split, source: Source) -> Self {
        let [train, test] =
            [(train, "train"), (test, "test")].map(|(split, part)| split.of(part, &source.digest));
        Self { train, test, source, notes: Vec::new() }
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
