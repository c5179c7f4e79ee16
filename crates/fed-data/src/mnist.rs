//! MNIST by writer: the idx files as first published, joined with QMNIST's table of writers.
//!
//! Row `i` of QMNIST's table for the training set says who wrote training image `i`. Each of the
//! 539 writers becomes a client, named `f`, the writer's number in NIST's records as four digits,
//! and `_00`. Polarity becomes that of TFF's EMNIST: 255 is paper, so a byte is turned round.
//!
//! **The split** is inside each client: of a writer's `n` images `round(n · 40832 / 382705)`, but
//! at least one and never all of two or more, are set aside, the same share as in TFF's set. They
//! are the first of `numpy.random.default_rng([20190417, writer]).permutation(n)`; within each
//! split the images keep MNIST's order. So whoever has MNIST's and QMNIST's files has exactly the
//! data, to the digest, that results on "MNIST by writer" are quoted on.

mod idx;
mod permutation;

use std::path::{Path, PathBuf};

use crate::buffer::Buffer;
use crate::dataset::{Dataset, Origin, Variant};
use crate::digest::ContentDigest;
use crate::error::DataError;
use crate::federated::FederatedData;
use crate::split::{Split, Store};
use idx::{Expected, Idx};
use permutation::permutation;

/// The seed of the split inside each client; the writer's number is its second word.
pub const SPLIT_SEED: u32 = 20_190_417;

/// The digest of MNIST by writer: 539 clients, 53,598 training and 6,402 test examples.
pub const CONTENT: &str = "34d621b2b543eb71720b9533ceea2cdc0ed6fe573599b3a7f94c21c5f3a0bca2";

/// Images in MNIST's training set. As many, and it must be MNIST: its files have no checksums.
const MNIST_IMAGES: usize = 60_000;

/// Pixels of a picture.
const PIXELS: usize = 28 * 28;

/// The files that are read, each also with `.idx` for `-idx`, and with `.gz`.
pub(crate) const IMAGES: &str = "train-images-idx3-ubyte";
pub(crate) const LABELS: &str = "train-labels-idx1-ubyte";
pub(crate) const WRITERS: &str = "qmnist-train-labels-idx2-int";

/// Reads the three files `images`, `labels` and `writers`, plain or gzipped.
///
/// # Errors
/// [`DataError::Missing`], [`DataError::Corrupt`], [`DataError::Unsupported`] or
/// [`DataError::Io`] for a file that cannot be read or does not fit the others;
/// [`DataError::Label`] for a label that is no digit.
pub fn read(images: &Path, labels: &Path, writers: &Path) -> Result<Dataset, DataError> {
    let expected = |what, row, magic| Expected { what, row, magic, bytes_only: magic == 0x803 };
    let pictures = Idx::read(images, expected("images of 28 by 28", PIXELS as u64, 0x803))?;
    let classes = Idx::read(labels, expected("labels", 1, 0x801))?;
    let table = Idx::read(writers, expected("QMNIST's rows of 8", 8, 0xC02))?;
    for (path, other) in [(labels, &classes), (writers, &table)] {
        if other.rows != pictures.rows {
            let detail = format!(
                "it has {} rows, but `{}` has {} images",
                other.rows,
                images.display(),
                pictures.rows
            );
            return Err(DataError::corrupt(path, "table for these images", detail));
        }
    }

    // Images by writer, each writer's in MNIST's order.
    let mut by_writer: Vec<(u32, usize)> = Vec::with_capacity(table.rows);
    for row in 0..table.rows {
        let (label, class, writer) =
            (classes.number(row, 0), table.number(row, 0), table.number(row, 2));
        let known = u32::try_from(writer).ok().filter(|&writer| writer <= 9_999);
        if !(0..=9).contains(&label) {
            return Err(DataError::Label {
                path: labels.to_owned(),
                split: "train".to_owned(),
                client: known.map_or_else(|| writer.to_string(), client_id),
                example: row,
                label,
                classes: 10,
            });
        }
        let Some(writer) = known.filter(|_| class == label) else {
            let detail = format!(
                "row {row} says class {class} of writer {writer}, but the image is labelled {label}"
            );
            return Err(DataError::corrupt(writers, "table for these images", detail));
        };
        by_writer.push((writer, row));
    }
    by_writer.sort_unstable();

    let mut parts = [Part::default(), Part::default()];
    for group in by_writer.chunk_by(|a, b| a.0 == b.0) {
        let writer = group[0].0;
        let set_aside = set_aside(writer, group.len());
        for (part, wanted) in parts.iter_mut().zip([false, true]) {
            part.ids.push(client_id(writer).into_boxed_str());
            for (&(_, row), &aside) in group.iter().zip(&set_aside) {
                if aside == wanted {
                    part.pixels.extend(pictures.bytes(row).iter().map(|&ink| 255 - ink));
                    part.labels.push(classes.number(row, 0) as u8);
                }
            }
            part.offsets.push(part.labels.len());
        }
    }
    let known = pictures.rows == MNIST_IMAGES;
    drop(pictures);
    let [train, test] = parts.map(Part::into_split);
    let (train, test) = (train?, test?);
    let digest = ContentDigest::of(&train, &test);
    if known && digest.as_str() != CONTENT {
        let detail = format!(
            "with `{}` and `{}` it has MNIST's {MNIST_IMAGES} images, but the content has digest \
             {digest} instead of {CONTENT}, so some byte of the three is not the published one",
            labels.display(),
            writers.display()
        );
        return Err(DataError::corrupt(images, "copy of MNIST", detail));
    }
    let name = if known {
        "MNIST by writer (QMNIST)".to_owned()
    } else {
        let file = images.file_name().unwrap_or_default().to_string_lossy();
        format!("{} writers from {file} (digits only)", train.num_clients())
    };
    let files = [images, labels, writers].map(PathBuf::from).to_vec();
    let origin = Origin { name, synthetic: false, files, variant: Variant::DigitsOnly };
    Ok(Dataset::new(train, test, origin, digest))
}

fn client_id(writer: u32) -> String {
    format!("f{writer:04}_00")
}

/// Which of a writer's `count` images go to the test split.
fn set_aside(writer: u32, count: usize) -> Vec<bool> {
    let share = (count * 40_832 * 2 + 382_705) / (382_705 * 2);
    let share = share.max(1).min(count.saturating_sub(1));
    let mut aside = vec![false; count];
    for &image in &permutation([SPLIT_SEED, writer], count)[..share] {
        aside[image] = true;
    }
    aside
}

struct Part {
    ids: Vec<Box<str>>,
    offsets: Vec<usize>,
    pixels: Vec<u8>,
    labels: Vec<u8>,
}

impl Default for Part {
    fn default() -> Self {
        Self { ids: Vec::new(), offsets: vec![0], pixels: Vec::new(), labels: Vec::new() }
    }
}

impl Part {
    fn into_split(self) -> Result<Split, DataError> {
        let store = Store::Bytes(Buffer::Owned(self.pixels));
        Split::from_parts(self.ids, self.offsets, store, Buffer::Owned(self.labels), PIXELS, 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_set_aside_is_the_real_one() {
        for (count, expected) in [(1, 0), (2, 1), (19, 2), (104, 11), (131, 14)] {
            let aside = set_aside(7, count).iter().filter(|&&aside| aside).count();
            assert_eq!(aside, expected, "{count} images");
        }
        assert_eq!(set_aside(7, 50), set_aside(7, 50));
        assert_ne!(set_aside(7, 50), set_aside(8, 50));
    }
}
