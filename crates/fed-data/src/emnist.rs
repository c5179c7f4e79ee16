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

pub(crate) mod fill;
pub(crate) mod hdf5;
pub(crate) mod proto;
pub(crate) mod sqlite;
pub(crate) mod unpack;

use std::path::PathBuf;

use crate::dataset::{Dataset, Origin, Variant};
use crate::digest::ContentDigest;
use crate::error::DataError;
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

/// Names what was read, and joins its splits.
pub(crate) fn dataset(
    train: Split,
    test: Split,
    variant: Variant,
    files: Vec<PathBuf>,
) -> Result<Dataset, DataError> {
    let real = match variant {
        Variant::DigitsOnly => (3_383, 341_873, 40_832),
        Variant::All => (3_400, 671_585, 77_483),
    };
    let clients = train.num_clients();
    let name = if (clients, train.len(), test.len()) == real {
        format!("federated EMNIST ({})", variant.words())
    } else {
        let file = files.first().and_then(|file| file.file_name()).unwrap_or_default();
        format!("{clients} writers from {} ({})", file.to_string_lossy(), variant.words())
    };
    let digest = ContentDigest::of(&train, &test);
    Ok(Dataset::new(train, test, Origin { name, synthetic: false, files, variant }, digest))
}
