//! Opening a data set: which one, from where, and by way of the cache.
//!
//! `auto` takes real data if some lies in the data folder, else the embedded synthetic writers,
//! and [`Source::why`](crate::Source::why) says which and why. Nothing here ever downloads.

mod find;
pub(crate) mod kind;

use std::convert::Infallible;
use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::cache::{self, Maker};
use crate::dataset::{Dataset, Variant};
use crate::error::DataError;
use crate::look;
use crate::synthetic::{DRAWING, SyntheticWriters};
use find::Found;

/// The extension of cache files, and of imported data sets.
pub const CACHE_EXTENSION: &str = "fedcache";

/// Which data, as a config says it: `auto`, `synthetic`, or a path.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Choice {
    /// Real data if it lies in the data folder, else the embedded writers.
    #[default]
    Auto,
    /// The embedded writers.
    Synthetic,
    /// A file, or a folder that holds one.
    Path(PathBuf),
}

impl From<String> for Choice {
    fn from(text: String) -> Self {
        match text.as_str() {
            "auto" => Self::Auto,
            "synthetic" => Self::Synthetic,
            _ => Self::Path(PathBuf::from(text)),
        }
    }
}

impl FromStr for Choice {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self::from(text.to_owned()))
    }
}

impl From<Choice> for String {
    fn from(choice: Choice) -> Self {
        choice.to_string()
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Synthetic => f.write_str("synthetic"),
            Self::Path(path) => path.display().fmt(f),
        }
    }
}

/// How far a step has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is being done, such as `unpacking`.
    pub step: &'static str,
    /// How much of it is done, in units of the step's own.
    pub done: u64,
    /// How much there is, if known.
    pub total: Option<u64>,
}

/// What to open, and how.
///
/// # Examples
/// ```
/// use fed_data::{Choice, FederatedData, OpenOptions, SyntheticWriters};
///
/// let data = OpenOptions::new()
///     .choice(Choice::Synthetic)
///     .synthetic(SyntheticWriters { seed: 0, clients: 10 })
///     .cache(false)
///     .open()?;
/// assert!(data.source.synthetic);
/// assert_eq!(data.train.num_clients(), 10);
/// # Ok::<(), fed_data::DataError>(())
/// ```
#[derive(Clone, Debug)]
pub struct OpenOptions {
    choice: Choice,
    variant: Variant,
    data_dir: PathBuf,
    synthetic: SyntheticWriters,
    cache: bool,
    allow_empty_clients: bool,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            choice: Choice::Auto,
            variant: Variant::DigitsOnly,
            data_dir: PathBuf::from("datasets"),
            synthetic: SyntheticWriters::default(),
            cache: true,
            allow_empty_clients: false,
        }
    }
}

impl OpenOptions {
    /// `auto`, the ten digits, the folder `datasets`, with a cache.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Which data; [`Choice::Auto`] unless said.
    #[must_use]
    pub fn choice(mut self, choice: Choice) -> Self {
        self.choice = choice;
        self
    }

    /// Which characters; the ten digits unless said.
    #[must_use]
    pub fn variant(mut self, variant: Variant) -> Self {
        self.variant = variant;
        self
    }

    /// Where real data is looked for, and where caches are kept; `datasets` unless said.
    #[must_use]
    pub fn data_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.data_dir = folder.into();
        self
    }

    /// Which synthetic writers, where they are taken.
    #[must_use]
    pub fn synthetic(mut self, writers: SyntheticWriters) -> Self {
        self.synthetic = writers;
        self
    }

    /// Whether to keep a cache in the data folder (if that exists), and to use it; yes unless said.
    #[must_use]
    pub fn cache(mut self, cache: bool) -> Self {
        self.cache = cache;
        self
    }

    /// Whether a client of a file may have no example; not unless said.
    ///
    /// The formats promise at least one of each split, so a client without is taken for damage.
    #[must_use]
    pub fn allow_empty_clients(mut self, allow: bool) -> Self {
        self.allow_empty_clients = allow;
        self
    }

    /// Opens the data.
    ///
    /// # Errors
    /// Any [`DataError`]: what is missing, damaged or out of range, and what to do about it.
    pub fn open(&self) -> Result<Dataset, DataError> {
        self.open_with(&mut |_| {})
    }

    /// Opens the data, telling `progress` how far it has come.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_with(&self, progress: &mut dyn FnMut(Progress)) -> Result<Dataset, DataError> {
        let mut data = self.open_any(progress)?;
        data.notes.extend(look::notes(&data));
        Ok(data)
    }

    fn open_any(&self, progress: &mut dyn FnMut(Progress)) -> Result<Dataset, DataError> {
        let folder = self.data_dir.display();
        match &self.choice {
            Choice::Synthetic => self.open_synthetic("the embedded writers were asked for".into()),
            Choice::Path(path) => {
                let found = find::at(path, self.variant)?;
                self.open_found(&found, "it was asked for".to_owned(), progress)
            }
            Choice::Auto => {
                let found = match find::file(self.imported())? {
                    Some(imported) => Some(Found::Cache(imported)),
                    None => find::in_folder(&self.data_dir, self.variant)?,
                };
                if let Some(found) = found {
                    let file = found.files()[0].display().to_string();
                    self.open_found(&found, format!("real data lies at `{file}`"), progress)
                } else if self.variant == Variant::All {
                    Err(DataError::DigitsOnly { data_dir: self.data_dir.clone() })
                } else {
                    self.open_synthetic(format!("no real data lies in `{folder}`"))
                }
            }
        }
    }

    /// Reads the data and keeps it in the data folder, where `auto` finds it ever after, even if
    /// the file that it came from goes away. Gives the file that was written.
    ///
    /// # Errors
    /// As [`Self::open`], and [`DataError::Io`] if the data folder cannot be written.
    pub fn import(
        &self,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(Dataset, PathBuf), DataError> {
        let data = self.clone().cache(false).open_with(progress)?;
        let to = self.imported();
        cache::write(&to, &data, &Maker::Import)?;
        Ok((data, to))
    }

    /// Where an imported data set of this variant lies.
    #[must_use]
    pub fn imported(&self) -> PathBuf {
        self.data_dir.join(format!("imported_{}.{CACHE_EXTENSION}", self.variant.name()))
    }

    fn open_synthetic(&self, why: String) -> Result<Dataset, DataError> {
        if self.variant == Variant::All {
            return Err(DataError::DigitsOnly { data_dir: self.data_dir.clone() });
        }
        let SyntheticWriters { seed, clients } = self.synthetic;
        let maker = Maker::Drawing { seed, clients, drawing: DRAWING };
        let name = format!("synthetic-{seed}-{clients}");
        self.cached(&name, &maker, why, || self.synthetic.dataset())
    }

    fn open_found(
        &self,
        found: &Found,
        why: String,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Dataset, DataError> {
        if let Found::Cache(path) = found {
            let mut data = cache::read(path, None)?;
            if data.source.variant != self.variant {
                return Err(DataError::NoSplit {
                    path: path.clone(),
                    split: self.variant.name().to_owned(),
                    found: data.source.variant.name().to_owned(),
                });
            }
            data.source.why = why;
            return Ok(data);
        }
        let files = found.files();
        let maker = if self.keeps_a_cache() { Maker::settled } else { Maker::reading };
        let maker = maker(&files, self.variant, self.allow_empty_clients)?;
        let first = files[0].file_name().unwrap_or_default().to_string_lossy();
        let place = fs::canonicalize(&files[0]).unwrap_or_default();
        let key = format!("{}|{:?}|{}", place.display(), self.variant, self.allow_empty_clients);
        let key = crate::digest::short(key.as_bytes());
        let name = format!("{first}-{}-{key}", self.variant.name());
        self.cached(&name, &maker, why, || {
            let data = self.read(found, progress)?;
            // What was read while somebody wrote is neither the old content nor the new one.
            let now = Maker::reading(&files, self.variant, self.allow_empty_clients)?;
            match now.changed_since(&maker) {
                Some(path) => Err(DataError::Changed { path }),
                None => Ok(data),
            }
        })
    }

    #[cfg(feature = "readers")]
    fn read(
        &self,
        found: &Found,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Dataset, DataError> {
        use crate::emnist::{self, Ask, hdf5, sqlite, unpack};
        let mut ask = Ask {
            variant: self.variant,
            allow_empty_clients: self.allow_empty_clients,
            scratch: self.data_dir.is_dir().then(|| self.data_dir.clone()),
            progress,
        };
        let ask = &mut ask;
        let files = found.files();
        // Messages about an unpacked copy should name the file that the user knows.
        let (train, test) = match found {
            Found::Sqlite(path) => sqlite::read(path, ask)?,
            Found::SqliteLzma(path) => {
                let unpacked = unpack::lzma(path, ask)?;
                sqlite::read(unpacked.path(), ask).map_err(|error| error.at(path))?
            }
            Found::Hdf5 { train, test } => {
                (hdf5::read(train, "train", ask)?, hdf5::read(test, "test", ask)?)
            }
            Found::Hdf5Tar { archive, names } => {
                let folder = unpack::tar_bz2(archive, *names, ask)?;
                let [train, test] = names.map(|name| folder.path().join(name));
                let read = |file: &std::path::Path, split, ask: &mut _| {
                    hdf5::read(file, split, ask).map_err(|error| error.at(archive))
                };
                (read(&train, "train", ask)?, read(&test, "test", ask)?)
            }
            Found::Mnist { images, labels, writers } => {
                return crate::mnist::read(images, labels, writers);
            }
            Found::Cache(path) => return cache::read(path, None),
        };
        emnist::dataset(train, test, ask, files)
    }

    #[cfg(not(feature = "readers"))]
    fn read(&self, found: &Found, _: &mut dyn FnMut(Progress)) -> Result<Dataset, DataError> {
        match found {
            Found::Mnist { images, labels, writers } => crate::mnist::read(images, labels, writers),
            Found::Cache(path) => cache::read(path, None),
            _ => Err(DataError::Feature { what: "read SQLite and HDF5", feature: "readers" }),
        }
    }

    fn keeps_a_cache(&self) -> bool {
        self.cache && self.data_dir.is_dir()
    }

    /// From the cache if it holds what `maker` makes, else made and put into the cache.
    fn cached(
        &self,
        name: &str,
        maker: &Maker,
        why: String,
        make: impl FnOnce() -> Result<Dataset, DataError>,
    ) -> Result<Dataset, DataError> {
        let path = self.data_dir.join("cache").join(format!("{name}.{CACHE_EXTENSION}"));
        let cache = self.keeps_a_cache();
        let mut notes = Vec::new();
        if cache && path.exists() {
            match cache::read(&path, Some(maker)) {
                Ok(mut data) => {
                    data.source.why = why;
                    return Ok(data);
                }
                Err(DataError::CacheDamaged { detail, .. }) => {
                    notes.push(format!("the cache was made anew: {detail}"));
                }
                Err(error) => notes.push(format!("the cache was made anew: {error}")),
            }
        }
        let mut data = make()?;
        if cache && let Err(error) = cache::write(&path, &data, maker) {
            notes.push(format!("no cache was kept, so the next start takes as long: {error}"));
        }
        data.source.why = why;
        data.notes.append(&mut notes);
        Ok(data)
    }
}
