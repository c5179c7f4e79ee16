//! The federated EMNIST that TFF distributes, in its two layouts.
//!
//! | layout | files | holds |
//! |---|---|---|
//! | SQLite | `emnist_all.sqlite`, `emnist_all.sqlite.lzma` | digits, and digits with letters |
//! | HDF5 | `fed_emnist_digitsonly_{train,test}.h5`, `fed_emnist_digitsonly.tar.bz2` | digits |
//! | HDF5 | `fed_emnist_{train,test}.h5`, `fed_emnist.tar.bz2` | digits and letters |
//!
//! Both give 28 by 28 pixels in `0.0..=1.0`, 1 for white paper and 0 for ink (the inverse of
//! MNIST), kept as bytes where every pixel is bit for bit a byte over 255. The split is inside
//! each client: everybody has training and test examples.
//!
//! Any file of these layouts is read; it is *called* federated EMNIST only if its numbers of
//! clients and examples are those of the real one.

pub(crate) mod companions;
pub(crate) mod fill;
pub(crate) mod hdf5;
pub(crate) mod proto;
pub(crate) mod sqlite;
pub(crate) mod unpack;

use std::path::{Path, PathBuf};

use crate::dataset::{Dataset, Origin, Variant};
use crate::digest::ContentDigest;
use crate::error::{DataError, shown};
use crate::federated::FederatedData;
use crate::split::Split;

/// Pixels of a picture.
pub(crate) const PIXELS: usize = 28 * 28;

/// What a reader is asked for, besides the file.
pub(crate) struct Ask<'a> {
    pub(crate) variant: Variant,
    pub(crate) allow_empty_clients: bool,
    /// Where large temporary files may lie; the system's place for them if `None`.
    pub(crate) scratch: Option<PathBuf>,
    pub(crate) progress: &'a mut dyn FnMut(crate::open::Progress),
}

/// The files of the digits in HDF5, with their lengths: a copy that was damaged in place still
/// has its length, and then must have its numbers too.
const REAL_FILES: [(&str, u64); 2] = [
    ("fed_emnist_digitsonly_train.h5", 108_270_697),
    ("fed_emnist_digitsonly_test.h5", 34_813_048),
];

/// Names what was read from `files`, and joins its splits.
pub(crate) fn dataset(
    train: Split,
    test: Split,
    ask: &Ask<'_>,
    files: Vec<PathBuf>,
) -> Result<Dataset, DataError> {
    let variant = ask.variant;
    let file = files.first().cloned().unwrap_or_default();
    if !ask.allow_empty_clients {
        let (last, test_name) = (files.last().unwrap_or(&file), format!("{}_test", variant.name()));
        let train_name = format!("{}_train", variant.name());
        same_clients(last, (&train, &train_name), (&test, &test_name))?;
        same_clients(&file, (&test, &test_name), (&train, &train_name))?;
    }
    let found = (train.num_clients(), train.len(), test.len());
    let real = variant.real_counts();
    let known = files.iter().find(|file| {
        let length = std::fs::metadata(file).map_or(0, |file| file.len());
        let name = file.file_name().unwrap_or_default();
        REAL_FILES.iter().any(|&(real, bytes)| name == real && length == bytes)
    });
    if let Some(file) = known.filter(|_| found != real) {
        return Err(DataError::corrupt(
            file,
            "copy of federated EMNIST",
            format!(
                "it has the length of the real file, which has {} clients with {} + {} examples, \
                 but {} with {} + {} were found",
                real.0, real.1, real.2, found.0, found.1, found.2
            ),
        ));
    }
    let file = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let name = if found == real {
        format!("federated EMNIST ({})", variant.words())
    } else {
        format!("{} writers from {} ({})", found.0, shown(&file), variant.words())
    };
    let digest = ContentDigest::of(&train, &test);
    let origin = Origin { name, synthetic: false, files, variant };
    Ok(Dataset::new(train, test, origin, digest))
}

/// Whether every client of `has` is in `lacks` too, which was read from `path`.
fn same_clients(
    path: &Path,
    (has, has_name): (&Split, &str),
    (lacks, lacks_name): (&Split, &str),
) -> Result<(), DataError> {
    let mut missing = has.ids().iter().filter(|id| lacks.find(id).is_none());
    let Some(first) = missing.next() else { return Ok(()) };
    Err(DataError::ClientsDiffer {
        path: path.to_owned(),
        has: has_name.to_owned(),
        clients: has.num_clients(),
        lacks: lacks_name.to_owned(),
        missing: 1 + missing.count(),
        first: first.to_string(),
    })
}
