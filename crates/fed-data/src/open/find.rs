//! Which file is meant, and which reader takes it.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use super::{CACHE_EXTENSION, kind};
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
                     train-labels-idx1-ubyte with qmnist-train-labels-idx2-int (each also .gz, or with .idx for \
                     -idx)";

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

/// The file at `path`, if something lies there: what is no file is an error, not an absence.
pub(super) fn file(path: PathBuf) -> Result<Option<PathBuf>, DataError> {
    match fs::symlink_metadata(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(DataError::io("look at", &path, error)),
        Ok(_) => match fs::metadata(&path) {
            Ok(metadata) if metadata.is_dir() => {
                Err(DataError::IsDirectory { path, expected: "a data file".to_owned() })
            }
            Ok(metadata) if metadata.is_file() => Ok(Some(path)),
            Ok(_) => Err(DataError::NotRecognised {
                path,
                hint: format!("it is no regular file; known are {KNOWN}"),
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(DataError::Missing {
                what: "file behind the link".to_owned(),
                path,
                hint: "let it point to the file, or remove it".to_owned(),
            }),
            Err(error) => Err(DataError::io("look at", &path, error)),
        },
    }
}

/// The data set in a folder, by the names that its files are known by.
pub(super) fn in_folder(folder: &Path, variant: Variant) -> Result<Option<Found>, DataError> {
    let named = |name: &str| file(folder.join(name));
    for name in ["emnist_all.sqlite", "emnist_all.sqlite.lzma"] {
        if let Some(path) = named(name)? {
            return single(&path, variant).map(Some);
        }
    }
    let names = hdf5_names(variant);
    match [named(names[0])?, named(names[1])?] {
        [Some(train), Some(test)] => return Ok(Some(Found::Hdf5 { train, test })),
        [None, None] => {}
        [Some(_), None] => return Err(partner(&folder.join(names[1]))),
        [None, Some(_)] => return Err(partner(&folder.join(names[0]))),
    }
    if let Some(path) = named(tar_name(variant))? {
        return single(&path, variant).map(Some);
    }
    if variant == Variant::DigitsOnly { mnist_in_folder(folder) } else { Ok(None) }
}

/// MNIST's three files, each under any of its names.
fn mnist_in_folder(folder: &Path) -> Result<Option<Found>, DataError> {
    let names = [mnist::IMAGES, mnist::LABELS, mnist::WRITERS];
    let mut found = [None, None, None];
    for (found, name) in found.iter_mut().zip(names) {
        for name in [name.to_owned(), name.replace("-idx", ".idx")] {
            for name in [format!("{name}.gz"), name] {
                *found = file(folder.join(name))?.or(found.take());
            }
        }
    }
    match found {
        [Some(images), Some(labels), Some(writers)] => {
            Ok(Some(Found::Mnist { images, labels, writers }))
        }
        [None, None, None] => Ok(None),
        found => {
            let missing = found.iter().position(Option::is_none).unwrap_or_default();
            Err(partner(&folder.join(names[missing])))
        }
    }
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
    if !metadata.is_file() {
        return Err(DataError::NotRecognised {
            path: path.to_owned(),
            hint: format!("it is no regular file; known are {KNOWN}"),
        });
    }
    single(path, variant)
}

/// The data set in one file, or in the files that it and its partners make up: by its content,
/// and where that says nothing, by its name.
fn single(path: &Path, variant: Variant) -> Result<Found, DataError> {
    let mut start = [0; 64];
    let mut file = File::open(path).map_err(|error| DataError::io("open", path, error))?;
    let read = read_up_to(&mut file, &mut start);
    let start = &start[..read.map_err(|error| DataError::io("read", path, error))?];
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let owned = path.to_owned();
    let tar = |archive| Found::Hdf5Tar { archive, names: hdf5_names(variant) };

    match kind::known(start) {
        Some("a SQLite database") => return Ok(Found::Sqlite(owned)),
        Some("an HDF5 file") => return hdf5(path, &name),
        Some("a cache of client data") => return Ok(Found::Cache(owned)),
        Some("an xz archive") => return Ok(Found::SqliteLzma(owned)),
        Some("a bzip2 archive") => return Ok(tar(owned)),
        Some("a gzip archive") if name.contains("idx") => return idx(path, variant),
        Some(words) => {
            return Err(DataError::NotRecognised {
                path: owned,
                hint: format!(
                    "it is {words}; {}known are {KNOWN}",
                    if words.ends_with("archive") { "unpack it first; " } else { "" }
                ),
            });
        }
        None => {}
    }
    // Damaged or empty, or of a kind without a sure sign: the name says which reader complains.
    if name.ends_with(CACHE_EXTENSION) {
        Ok(Found::Cache(owned))
    } else if name.ends_with(".lzma") || name.ends_with(".xz") {
        Ok(Found::SqliteLzma(owned))
    } else if name.ends_with(".bz2") {
        Ok(tar(owned))
    } else if name.ends_with(".h5") || name.ends_with(".hdf5") {
        hdf5(path, &name)
    } else if name.contains("-idx") || name.contains(".idx") {
        idx(path, variant)
    } else if name.ends_with(".sqlite") || name.ends_with(".db") {
        Ok(Found::Sqlite(owned))
    } else {
        let hint = format!("it is {}; known are {KNOWN}", kind::words(start));
        Err(DataError::NotRecognised { path: owned, hint })
    }
}

/// An HDF5 file and its partner beside it.
fn hdf5(path: &Path, name: &str) -> Result<Found, DataError> {
    for (own, other) in [("train", "test"), ("test", "train")] {
        // The last mention: `training_data_train.h5` has the partner `training_data_test.h5`.
        let Some(at) = name.rfind(own) else { continue };
        let partner_name = format!("{}{other}{}", &name[..at], &name[at + own.len()..]);
        let beside = path.with_file_name(partner_name);
        if !beside.is_file() {
            return Err(partner(&beside));
        }
        let path = path.to_owned();
        return Ok(match own {
            "train" => Found::Hdf5 { train: path, test: beside },
            _ => Found::Hdf5 { train: beside, test: path },
        });
    }
    let hint = "the name of an HDF5 file must say `train` or `test`, and the other lie beside it";
    Err(DataError::NotRecognised { path: path.to_owned(), hint: hint.to_owned() })
}

/// MNIST, given by one of its three files.
fn idx(path: &Path, variant: Variant) -> Result<Found, DataError> {
    let hint = format!("MNIST needs three files side by side; known are {KNOWN}");
    let refused = DataError::NotRecognised { path: path.to_owned(), hint };
    if variant != Variant::DigitsOnly {
        return Err(refused);
    }
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let found = mnist_in_folder(folder.unwrap_or(Path::new(".")))?.ok_or(refused)?;
    if found.files().iter().any(|file| file.file_name() == path.file_name()) {
        return Ok(found);
    }
    Err(DataError::NotRecognised {
        path: path.to_owned(),
        hint: format!("it is none of the three files of MNIST's training set: {KNOWN}"),
    })
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
