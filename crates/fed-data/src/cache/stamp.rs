//! What a cache was made from: everything that decides its content.

use std::fs::{self, Metadata};
#[cfg(feature = "readers")]
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
#[cfg(feature = "readers")]
use sha2::{Digest, Sha256};

use crate::dataset::Variant;
#[cfg(feature = "readers")]
use crate::digest::hex;
use crate::error::DataError;

/// Counts the changes of what readers make of a file: a cache of an older reader is made anew.
const READERS: u32 = 2;

/// Longer than the clocks of file systems take to move on.
const TICK: Duration = Duration::from_millis(20);

/// What a cache was made from; it is used only while this is still the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Maker {
    /// Files, read in a certain way.
    Files {
        /// The files, and whatever lies beside them and decides what they hold.
        stamps: Vec<Stamp>,
        variant: Variant,
        allow_empty_clients: bool,
        readers: u32,
    },
    /// A program: seed, clients and version of the drawing.
    Drawing { seed: u64, clients: usize, drawing: u32 },
    /// Whatever was imported: nothing can make it anew.
    Import,
}

impl Maker {
    /// The maker that reads `files` in this way, for a cache.
    ///
    /// Times tick: what is written within the tick of the last change has the same time. So files
    /// that were written just now are looked at when the next write must show.
    pub(crate) fn settled(
        files: &[PathBuf],
        variant: Variant,
        allow_empty_clients: bool,
    ) -> Result<Self, DataError> {
        let maker = Self::reading(files, variant, allow_empty_clients)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let fresh = |stamp: &Stamp| {
            let age = now.checked_sub(u128::from(stamp.version.modified_ns));
            age.is_some_and(|age| age < TICK.as_nanos())
        };
        match &maker {
            Self::Files { stamps, .. } if stamps.iter().any(fresh) => {
                std::thread::sleep(TICK);
                Self::reading(files, variant, allow_empty_clients)
            }
            _ => Ok(maker),
        }
    }

    /// The maker that reads `files` in this way, as they are now.
    pub(crate) fn reading(
        files: &[PathBuf],
        variant: Variant,
        allow_empty_clients: bool,
    ) -> Result<Self, DataError> {
        let mut stamps = Vec::new();
        for file in files {
            stamps.push(Stamp::of(file)?);
            #[cfg(feature = "readers")]
            for kind in crate::emnist::companions::Companion::ALL {
                if crate::emnist::companions::companion(file, kind).is_some() {
                    stamps.push(Stamp::by_content(&kind.beside(file))?);
                }
            }
        }
        Ok(Self::Files { stamps, variant, allow_empty_clients, readers: READERS })
    }

    /// The first file that is not what it was for `before`.
    pub(crate) fn changed_since(&self, before: &Self) -> Option<PathBuf> {
        let (Self::Files { stamps: now, .. }, Self::Files { stamps: then, .. }) = (self, before)
        else {
            return None;
        };
        let new = now.iter().find(|stamp| !then.contains(stamp));
        let gone = then.iter().find(|stamp| !now.contains(stamp));
        new.or(gone).map(|stamp| stamp.path.clone())
    }
}

/// A file at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stamp {
    path: PathBuf,
    version: FileVersion,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
}

impl Stamp {
    /// A file beside a database, by what it holds: readers touch its times.
    #[cfg(feature = "readers")]
    fn by_content(path: &Path) -> Result<Self, DataError> {
        let read = |error| DataError::io("read", path, error);
        let mut file = fs::File::open(path).map_err(read)?;
        let (mut hasher, mut buffer, mut bytes) = (Sha256::new(), vec![0; 1 << 16], 0);
        loop {
            let length = file.read(&mut buffer).map_err(read)?;
            if length == 0 {
                break;
            }
            hasher.update(&buffer[..length]);
            bytes += length as u64;
        }
        let version = FileVersion { bytes, modified_ns: 0, changed_ns: 0 };
        Ok(Self { path: path.to_owned(), version, sha256: Some(hex(&hasher.finalize())) })
    }

    fn of(path: &Path) -> Result<Self, DataError> {
        let read = |error| DataError::io("read", path, error);
        let absolute = fs::canonicalize(path).map_err(read)?;
        let metadata = fs::metadata(path).map_err(read)?;
        Ok(Self { path: absolute, version: FileVersion::of(&metadata), sha256: None })
    }
}

/// What changes whenever a file is written to, as far as the system tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileVersion {
    bytes: u64,
    modified_ns: u64,
    /// Where the system has it: the time of the last change of any kind, which nobody can set, as
    /// a copy that keeps times sets the time of modification.
    changed_ns: i128,
}

impl FileVersion {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        let modified = metadata.modified().ok();
        let modified = modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        #[cfg(unix)]
        let changed_ns = {
            use std::os::unix::fs::MetadataExt;
            i128::from(metadata.ctime()) * 1_000_000_000 + i128::from(metadata.ctime_nsec())
        };
        #[cfg(not(unix))]
        let changed_ns = 0;
        Self {
            bytes: metadata.len(),
            modified_ns: modified.map_or(0, |since| since.as_nanos() as u64),
            changed_ns,
        }
    }
}
