//! MNIST's idx files: every form that is read is read alike, and what is wrong is said.
#![cfg(feature = "readers")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use fed_data::{Choice, DataError, Dataset, FederatedData, OpenOptions};
use tempfile::TempDir;

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn open(path: &Path) -> Result<Dataset, DataError> {
    OpenOptions::new().choice(Choice::Path(path.to_owned())).cache(false).open()
}

fn message(path: &Path) -> String {
    let error = open(path).expect_err("wrong input");
    let text = error.to_string();
    assert!(!error.is_retryable(), "{text}");
    text
}

/// MNIST's three files with `n` pictures of two writers.
fn mnist(folder: &Path, n: u32) -> [PathBuf; 3] {
    let head =
        |words: &[u32]| words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<u8>>();
    let mut images = head(&[0x803, n, 28, 28]);
    images.resize(16 + 784 * n as usize, 40);
    let mut labels = head(&[0x801, n]);
    let mut writers = head(&[0xC02, n, 8]);
    for row in 0..n {
        labels.push((row % 10) as u8);
        writers.extend(head(&[row % 10, 0, 7 + row % 2, 0, 0, row, 0, 0]));
    }
    let files = [
        ("train-images-idx3-ubyte", images),
        ("train-labels-idx1-ubyte", labels),
        ("qmnist-train-labels-idx2-int", writers),
    ];
    files.map(|(name, bytes)| {
        let path = folder.join(name);
        fs::write(&path, bytes).expect("a writable folder");
        path
    })
}

#[test]
fn idx_files_that_are_cut_swapped_or_at_odds() {
    let folder = folder();
    let files = mnist(folder.path(), 20);
    let data = open(&files[0]).expect("good files");
    assert_eq!(data.train.num_clients(), 2);
    assert_eq!(data.train.client_id(0), "f0007_00");
    let mut pixel = [0.0; 784];
    data.train.client(0).copy_row(0, &mut pixel);
    assert_eq!(pixel[0].to_bits(), (215.0_f32 / 255.0).to_bits(), "ink 40 is paper 215");

    for file in &files {
        let whole = fs::read(file).expect("it was written");
        for length in [0, 3, 8, whole.len() - 1] {
            fs::write(file, &whole[..length]).expect("a writable folder");
            let text = message(folder.path());
            assert!(text.contains("not a usable idx file"), "{text}");
        }
        fs::write(file, &whole).expect("a writable folder");
    }
    fs::copy(&files[1], &files[0]).expect("a writable folder");
    let text = message(folder.path());
    assert!(text.contains("0x0801 instead of 0x0803") && !text.contains("etch it"), "{text}");

    mnist(folder.path(), 20);
    let mut labels = fs::read(&files[1]).expect("it was written");
    labels[8] = 77;
    fs::write(&files[1], &labels).expect("a writable folder");
    assert!(message(folder.path()).contains("label 77"));
    labels[8] = 5;
    fs::write(&files[1], &labels).expect("a writable folder");
    assert!(message(folder.path()).contains("class 0 of writer 7, but the image is labelled 5"));
    fs::remove_file(&files[2]).expect("a writable folder");
    assert!(message(folder.path()).contains("qmnist-train-labels-idx2-int"));
}

/// `bytes` packed with gzip.
fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("in memory")
}

/// The words of a header and what follows it, all words turned round if `turn`.
fn idx(words: &[u32], rest: &[u8], turn: bool) -> Vec<u8> {
    let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
    bytes.extend_from_slice(rest);
    if turn {
        bytes.chunks_exact_mut(4).for_each(<[u8]>::reverse);
    }
    bytes
}

#[test]
fn idx_files_in_other_forms_are_read_alike() {
    let folder = folder();
    let files = mnist(folder.path(), 20);
    let whole = files.each_ref().map(|file| fs::read(file).expect("it was written"));
    let digest = open(&files[0]).expect("good files").source.digest;
    let same = |what: &str| {
        let data = open(folder.path()).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(data.source.digest, digest, "{what}");
        assert_eq!(data.source.name, "2 writers from train-images-idx3-ubyte (digits only)");
    };
    for (file, bytes) in files.iter().zip(&whole) {
        fs::write(file, gzip(bytes)).expect("a writable folder");
    }
    same("gzip under a raw name");
    for (file, bytes) in files.iter().zip(&whole) {
        fs::write(file, bytes).expect("a writable folder");
    }
    let (pixels, labels) = (&whole[0][16..], &whole[1][8..]);
    let images = |shape: &[u32]| {
        let magic = 0x801 + shape.len() as u32;
        let words: Vec<u32> = [magic, 20].iter().chain(shape).copied().collect();
        fs::write(&files[0], idx(&words, pixels, false)).expect("a writable folder");
    };
    images(&[784]);
    same("[n, 784]");
    images(&[28, 28, 1]);
    same("[n, 28, 28, 1]");
    images(&[28, 28]);
    fs::write(&files[1], idx(&[0x802, 20, 1], labels, false)).expect("a writable folder");
    same("labels [n, 1]");
    let wide: Vec<u8> = labels.iter().flat_map(|&label| u32::from(label).to_be_bytes()).collect();
    fs::write(&files[1], idx(&[0xC01, 20], &wide, false)).expect("a writable folder");
    same("labels of 32 bits");
    fs::write(&files[1], idx(&[0xC01, 20], &wide, true)).expect("a writable folder");
    same("little-endian labels of 32 bits");
    let mut header = whole[0].clone();
    header[..16].chunks_exact_mut(4).for_each(<[u8]>::reverse);
    fs::write(&files[0], header).expect("a writable folder");
    same("a little-endian header");

    // Names with a dot, one of them packed.
    for (file, bytes) in files.iter().zip(&whole) {
        fs::remove_file(file).expect("a writable folder");
        let dotted = file.to_string_lossy().replace("-idx", ".idx");
        fs::write(dotted, bytes).expect("a writable folder");
    }
    let data = open(&folder.path().join("train-images.idx3-ubyte")).expect("dotted names");
    assert_eq!(data.source.digest, digest);
}

#[test]
fn idx_headers_that_promise_too_much_or_another_type() {
    let folder = folder();
    let files = mnist(folder.path(), 20);
    let whole = fs::read(&files[0]).expect("it was written");
    let promise = "its header promises 4294967295 rows";
    for (words, says) in [
        (&[0x803, u32::MAX, 28, 28][..], "4294967295 rows"),
        (&[0x803, 20, 32, 32], "1024 numbers a row instead of 784"),
        (&[0x803, 20, u32::MAX, u32::MAX], "numbers a row instead of 784"),
        (&[0xD03, 20, 28, 28], "single-precision numbers; they should be bytes"),
        (&[0x903, 20, 28, 28], "signed bytes; they should be bytes"),
        (&[0x703, 20, 28, 28], "its type of numbers is 0x07"),
        (&[0x803, 0, 28, 28], "no rows"),
    ] {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
        let mut hit = whole.clone();
        hit[..16].copy_from_slice(&bytes);
        fs::write(&files[0], &hit).expect("a writable folder");
        let text = message(folder.path());
        assert!(text.contains(says), "{words:x?}: {text}");
        // Packed, nobody can compare with the length of the file: memory is not taken on trust.
        fs::write(&files[0], gzip(&hit)).expect("a writable folder");
        let text = message(folder.path());
        let says = if words[1] == u32::MAX { promise } else { says };
        assert!(text.contains(says), "{words:x?}, packed: {text}");
    }
    // A packed file that goes on, and one that was cut.
    let longer = [&whole[..], &[0; 5]].concat();
    fs::write(&files[0], gzip(&longer)).expect("a writable folder");
    assert!(message(folder.path()).contains("goes on after its 20 rows"));
    let packed = gzip(&whole);
    fs::write(&files[0], &packed[..packed.len() - 9]).expect("a writable folder");
    assert!(message(folder.path()).contains("not a usable idx file"));
    // Another file of MNIST is not taken for the training set beside it.
    mnist(folder.path(), 20);
    let other = folder.path().join("t10k-images-idx3-ubyte");
    fs::write(&other, &whole).expect("a writable folder");
    assert!(message(&other).contains("none of the three files"));
}

/// As many images as MNIST has must be MNIST's: its raw files have no checksums.
#[test]
fn sixty_thousand_images_that_are_not_mnists() {
    let folder = folder();
    mnist(folder.path(), 60_000);
    let text = message(folder.path());
    assert!(text.contains("not a usable copy of MNIST") && text.contains("digest"), "{text}");
}
