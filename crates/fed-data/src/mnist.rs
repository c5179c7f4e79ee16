//! MNIST by writer: the idx files as first published, joined with QMNIST's table of writers.
//!
//! Row `i` of QMNIST's table for the training set says who wrote training image `i`. Each of the
//! 539 writers becomes a client, named `f`, the writer's number in NIST's records as four digits,
//! and `_00`. Polarity becomes that of TFF's EMNIST: 255 is paper, so a byte is turned round.
//!
//! **The split** is ours, inside each client and seeded: of `n` images, `round(n · 40832 / 382705)`
//! but at least one and never all of two or more are set aside, the same share as in TFF's set.
//! Which ones: the first of a permutation drawn from ChaCha8, keyed by [`SPLIT_SEED`], its stream
//! number the writer's. Within each split the images keep MNIST's order.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::buffer::Buffer;
use crate::dataset::{Dataset, Origin, Variant};
use crate::digest::ContentDigest;
use crate::error::DataError;
use crate::split::{Split, Store};

/// The seed of the split inside each client.
pub const SPLIT_SEED: u64 = 1_998;

/// Pixels of a picture.
const PIXELS: usize = 28 * 28;
/// More than this is no MNIST file but damage.
const MOST_BYTES: u64 = 1 << 30;

/// The files that are read, each with or without `.gz`.
pub(crate) const IMAGES: &str = "train-images-idx3-ubyte";
pub(crate) const LABELS: &str = "train-labels-idx1-ubyte";
pub(crate) const WRITERS: &str = "qmnist-train-labels-idx2-int";

/// Reads the three files `images`, `labels` and `writers`, plain or gzipped.
///
/// # Errors
/// [`DataError::Missing`], [`DataError::Corrupt`] or [`DataError::Io`] for a file that cannot be
/// read or does not fit the others; [`DataError::Label`] for a label that is no digit.
pub fn read(images: &Path, labels: &Path, writers: &Path) -> Result<Dataset, DataError> {
    let pictures = Idx::read(images, 0x08, &[28, 28])?;
    let classes = Idx::read(labels, 0x08, &[])?;
    let table = Idx::read(writers, 0x0C, &[8])?;
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
    let mut by_writer: Vec<(u32, u32)> = Vec::with_capacity(table.rows);
    for (row, (entry, &label)) in table.values.chunks_exact(32).zip(&classes.values).enumerate() {
        let column =
            |index: usize| u32::from_be_bytes(std::array::from_fn(|byte| entry[4 * index + byte]));
        let (class, writer) = (column(0), column(2));
        if label > 9 {
            return Err(DataError::Label {
                path: labels.to_owned(),
                split: "train".to_owned(),
                client: client_id(writer),
                example: row,
                label: i64::from(label),
                classes: 10,
            });
        }
        if class != u32::from(label) || writer > 9_999 {
            let detail = format!(
                "row {row} says class {class} of writer {writer}, but the image is labelled {label}"
            );
            return Err(DataError::corrupt(writers, "table for these images", detail));
        }
        by_writer.push((writer, row as u32));
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
                    let row = row as usize;
                    let picture = &pictures.values[row * PIXELS..(row + 1) * PIXELS];
                    part.pixels.extend(picture.iter().map(|&ink| 255 - ink));
                    part.labels.push(classes.values[row]);
                }
            }
            part.offsets.push(part.labels.len());
        }
    }
    drop(pictures);
    let [train, test] = parts.map(Part::into_split);
    let (train, test) = (train?, test?);
    let digest = ContentDigest::of(&train, &test);
    let origin = Origin {
        name: "MNIST by writer (QMNIST)".to_owned(),
        synthetic: false,
        files: [images, labels, writers].map(PathBuf::from).to_vec(),
        variant: Variant::DigitsOnly,
    };
    Ok(Dataset::new(train, test, origin, digest))
}

fn client_id(writer: u32) -> String {
    format!("f{writer:04}_00")
}

/// Which of a writer's `count` images go to the test split.
fn set_aside(writer: u32, count: usize) -> Vec<bool> {
    let share = (count * 40_832 * 2 + 382_705) / (382_705 * 2);
    let share = share.max(1).min(count.saturating_sub(1));
    let mut rng = ChaCha8Rng::seed_from_u64(SPLIT_SEED);
    rng.set_stream(u64::from(writer));
    let mut order: Vec<usize> = (0..count).collect();
    order.shuffle(&mut rng);
    let mut aside = vec![false; count];
    for &image in &order[..share] {
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

/// An idx file: `rows` rows of values as they lie in the file.
struct Idx {
    rows: usize,
    values: Vec<u8>,
}

impl Idx {
    /// Reads a file of element type `kind` (8: bytes, 12: 32-bit integers) whose rows have the
    /// shape `row`.
    fn read(path: &Path, kind: u8, row: &[u32]) -> Result<Self, DataError> {
        let wrong = |detail: String| DataError::corrupt(path, "idx file", detail);
        let file = File::open(path).map_err(|error| DataError::io("open", path, error))?;
        let mut bytes = Vec::new();
        let packed = path.extension().is_some_and(|extension| extension == "gz");
        let read = if packed {
            unzip(file, &mut bytes)?
        } else {
            BufReader::new(file).take(MOST_BYTES).read_to_end(&mut bytes)
        };
        read.map_err(|error| match error.kind() {
            std::io::ErrorKind::IsADirectory => DataError::io("read", path, error),
            _ => wrong(format!("{error} after {} bytes", bytes.len())),
        })?;

        let word = |index: usize| {
            bytes
                .get(4 * index..4 * index + 4)
                .map(|word| u32::from_be_bytes([word[0], word[1], word[2], word[3]]))
                .ok_or_else(|| wrong(format!("it ends after {} bytes", bytes.len())))
        };
        let magic = u32::from(kind) << 8 | (row.len() as u32 + 1);
        if word(0)? != magic {
            return Err(wrong(format!(
                "it begins with {:#010x} instead of {magic:#010x}",
                word(0)?
            )));
        }
        let rows = word(1)? as usize;
        for (axis, &expected) in row.iter().enumerate() {
            if word(2 + axis)? != expected {
                return Err(wrong(format!(
                    "axis {} is {} long, not {expected}",
                    axis + 1,
                    word(2 + axis)?
                )));
            }
        }
        let element = if kind == 0x0C { 4 } else { 1 };
        let row_bytes = row.iter().product::<u32>() as usize * element;
        let header = 4 * (2 + row.len());
        let expected = rows.saturating_mul(row_bytes).saturating_add(header);
        if bytes.len() != expected {
            let detail = format!("it has {} bytes, but {rows} rows take {expected}", bytes.len());
            return Err(wrong(detail));
        }
        bytes.drain(..header);
        Ok(Self { rows, values: bytes })
    }
}

#[cfg(feature = "readers")]
fn unzip(file: File, bytes: &mut Vec<u8>) -> Result<std::io::Result<usize>, DataError> {
    Ok(flate2::read::MultiGzDecoder::new(BufReader::new(file)).take(MOST_BYTES).read_to_end(bytes))
}

#[cfg(not(feature = "readers"))]
fn unzip(_: File, _: &mut Vec<u8>) -> Result<std::io::Result<usize>, DataError> {
    Err(DataError::Feature { what: "unpack .gz files", feature: "readers" })
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
