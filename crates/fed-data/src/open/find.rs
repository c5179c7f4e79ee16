//! Which file is meant, and which reader takes it.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use super::CACHE_EXTENSION;
use crate::dataset::Variant;
use crate::error::DataError;
use crate::mnist;

/// A data set that lies on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// TFF's SQLite database.
    Sqlite(PathBuf),
    /// The same, packed.
    SqliteLzma(PathBuf),
    /// TFF's two HDF5 files.
    Hdf5 { train: PathBuf, test: PathBuf },
    /// The same, packed: the archive, and the names of the two files in it.
    Hdf5Tar { archive: PathBuf, names: [&'static str; 2] },
    /// MNIST with QMNIST's writers.
    Mnist { images: PathBuf, labels: PathBuf, writers: PathBuf },
    /// A data set that was imported.
    Cache(PathBuf),
}

impl Found {
    pub(super) fn files(&self) -> Vec<PathBuf> {
        match self {
            Self::Sqlite(path) | Self::SqliteLzma(path) | Self::Cache(path) => vec![path.clone()],
            Self::Hdf5 { train, test } => vec![train.clone(), test.clone()],
            Self::Hdf5Tar { archive, .. } => vec![archive.clone()],
            Self::Mnist { images, labels, writers } => {
                vec![images.clone(), labels.clone(), writers.clone()]
            }
        }
    }
}

/// What can be read, for messages.
const KNOWN: &str = "TFF's emnist_all.sqlite (or .sqlite.lzma), fed_emnist_digitsonly.tar.bz2 or \
                     fed_emnist_digitsonly_{train,test}.h5, or MNIST's train-images-idx3-ubyte and \
                     train-labels-idx1-ubyte with qmnist-train-labels-idx2-int (each also .gz)";

fn hdf5_names(variant: Variant) -> [&'static str; 2] {
    match variant {
        Variant::DigitsOnly => ["fed_emnist_digitsonly_train.h5", "fed_emnist_digitsonly_test.h5"],
        Variant::All => ["fed_emnist_train.h5", "fed_emnist_test.h5"],
    }
}

fn tar_name(variant: Variant) -> &'static str {
    match variant {
        Variant::DigitsOnly => "fed_emnist_digitsonly.tar.bz2",
        Variant::All => "fed_emnist.tar.bz2",
    }
}

/// The data set in a folder, by the names that its files are known by.
pub(super) fn in_folder(folder: &Path, variant: Variant) -> Result<Option<Found>, DataError> {
    let file = |name: &str| {
        let path = folder.join(name);
        path.is_file().then_some(path)
    };
    if let Some(path) = file("emnist_all.sqlite") {
        return Ok(Some(Found::Sqlite(path)));
    }
    if let Some(path) = file("emnist_all.sqlite.lzma") {
        return Ok(Some(Found::SqliteLzma(path)));
    }
    let names = hdf5_names(variant);
    match names.map(file) {
        [Some(train), Some(test)] => return Ok(Some(Found::Hdf5 { train, test })),
        [None, None] => {}
        [Some(_), None] => return Err(partner(&folder.join(names[1]))),
        [None, Some(_)] => return Err(partner(&folder.join(names[0]))),
    }
    if let Some(archive) = file(tar_name(variant)) {
        return Ok(Some(Found::Hdf5Tar { archive, names }));
    }
    if variant == Variant::DigitsOnly {
        let names = [mnist::IMAGES, mnist::LABELS, mnist::WRITERS];
        let either = |name: &str| file(name).or_else(|| file(&format!("{name}.gz")));
        match names.map(either) {
            [Some(images), Some(labels), Some(writers)] => {
                return Ok(Some(Found::Mnist { images, labels, writers }));
            }
            [Some(_), labels, writers] => {
                let missing = if labels.is_none() { names[1] } else { names[2] };
                debug_assert!(labels.is_none() || writers.is_none());
                return Err(partner(&folder.join(missing)));
            }
            _ => {}
        }
    }
    Ok(None)
}

/// The data set at a path that a user gave: a file of any name, or a folder.
pub(super) fn at(path: &Path, variant: Variant) -> Result<Found, DataError> {
    let metadata = fs::metadata(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => DataError::Missing {
            what: "data".to_owned(),
            path: path.to_owned(),
            hint: format!("give a file or a folder that exists; what can be read is {KNOWN}"),
        },
        _ => DataError::io("open", path, error),
    })?;
    if metadata.is_dir() {
        return in_folder(path, variant)?.ok_or_else(|| DataError::IsDirectory {
            path: path.to_owned(),
            expected: format!("a data file, and none of the known ones lies in it: {KNOWN}"),
        });
    }
    let mut start = [0; 8];
    let mut file = File::open(path).map_err(|error| DataError::io("open", path, error))?;
    let read = read_up_to(&mut file, &mut start);
    let start = &start[..read.map_err(|error| DataError::io("read", path, error))?];
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let owned = path.to_owned();

    if name.ends_with(CACHE_EXTENSION) || start == b"FEDDATA\n" {
        Ok(Found::Cache(owned))
    } else if name.ends_with(".lzma") || name.ends_with(".xz") || start.starts_with(b"\xFD7zXZ\0") {
        Ok(Found::SqliteLzma(owned))
    } else if name.ends_with(".bz2") || start.starts_with(b"BZh") {
        Ok(Found::Hdf5Tar { archive: owned, names: hdf5_names(variant) })
    } else if name.ends_with(".h5") || name.ends_with(".hdf5") || start == b"\x89HDF\r\n\x1A\n" {
        let (train, test) = if name.contains("train") {
            (owned, path.with_file_name(name.replace("train", "test")))
        } else if name.contains("test") {
            (path.with_file_name(name.replace("test", "train")), owned)
        } else {
            let hint =
                "the name of an HDF5 file must say `train` or `test`, and the other lie beside it";
            return Err(DataError::NotRecognised { path: owned, hint: hint.to_owned() });
        };
        for file in [&train, &test] {
            if !file.is_file() {
                return Err(partner(file));
            }
        }
        Ok(Found::Hdf5 { train, test })
    } else if name.contains("-idx") {
        let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        let hint = || format!("MNIST needs three files side by side; known are {KNOWN}");
        match in_folder(folder, variant)? {
            Some(found @ Found::Mnist { .. }) => Ok(found),
            _ => Err(DataError::NotRecognised { path: owned, hint: hint() }),
        }
    } else if name.ends_with(".sqlite") || name.ends_with(".db") || start == b"SQLite f" {
        Ok(Found::Sqlite(owned))
    } else {
        Err(DataError::NotRecognised { path: owned, hint: format!("known are {KNOWN}") })
    }
}

fn partner(missing: &Path) -> DataError {
    DataError::Missing {
        what: "file".to_owned(),
        path: missing.to_owned(),
        hint: "its partners are there; this one must lie beside them".to_owned(),
    }
}

fn read_up_to(file: &mut File, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..])? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(filled)
}
