//! HDF5 files in other forms than TFF's own: read to the same values, or refused saying what is
//! wrong and what to do. Damage in an index is noticed.
#![cfg(feature = "readers")]

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use fed_data::{Choice, DataError, Dataset, FederatedData, OpenOptions};
use tempfile::TempDir;

/// An unpacked fixture.
fn fixture(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixture").join(name);
    let file = fs::File::open(path).expect("a fixture");
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(file).read_to_end(&mut bytes).expect("gzip");
    bytes
}

/// A pair of files for training and testing, in a folder of its own.
fn pair(train: &[u8], test: &[u8]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("some_train.h5");
    fs::write(&path, train).expect("a writable folder");
    fs::write(folder.path().join("some_test.h5"), test).expect("a writable folder");
    (folder, path)
}

fn open(train: &[u8], test: &[u8]) -> Result<Dataset, DataError> {
    let (_folder, path) = pair(train, test);
    OpenOptions::new().choice(Choice::Path(path)).cache(false).open()
}

fn odd() -> [Vec<u8>; 2] {
    [fixture("odd_forms_train.h5.gz"), fixture("odd_forms_test.h5.gz")]
}

#[test]
fn every_form_of_the_same_examples_is_read_to_the_same_values() {
    let [train, test] = odd();
    let data = open(&train, &test).expect("all forms are read");
    assert_eq!(data.train.num_clients(), 13);
    assert!(data.train.is_eight_bit(), "double precision too is a byte over 255");
    let first = data.train.client(0);
    assert_eq!(first.labels(), [7, 5]);
    for split in [&data.train, &data.test] {
        for index in 0..split.num_clients() {
            assert_eq!(split.client(index), first, "{}", split.client_id(index));
        }
    }
}

#[test]
fn forms_that_are_not_read_are_named_with_the_way_to_convert_them() {
    let [_, test] = odd();
    for (name, says, instead) in [
        ("bytes", "unsigned whole numbers of 8 bits", "divide them by 255"),
        ("float_labels", "`label` holds floating-point numbers of 32 bits", "astype(\"int32\")"),
        ("other_layout", "no group `examples`, but images, labels", "examples/CLIENT/pixels"),
    ] {
        let error = open(&fixture(&format!("{name}_train.h5.gz")), &test).expect_err(name);
        let text = error.to_string();
        assert!(matches!(error, DataError::Unsupported { .. }), "{text}");
        assert!(text.contains(says) && text.contains(instead), "{text}");
        assert!(!text.contains("etch") && !error.is_retryable(), "{text}");
    }
    // A packing that nobody here knows: LZF's number is changed to the next one.
    let [mut train, test] = odd();
    let name = train.windows(4).position(|run| run == b"lzf\0").expect("a filter");
    train[name - 8] = 1;
    let text = open(&train, &test).expect_err("no such filter").to_string();
    assert!(text.contains("filter id 32001") && text.contains("h5repack"), "{text}");
}

#[test]
fn values_that_are_no_pixels_are_refused_with_their_place() {
    let [train, test] = odd();
    let error = open(&fixture("times255_train.h5.gz"), &test).expect_err("0 to 255");
    let text = error.to_string();
    assert!(
        matches!(error, DataError::Pixel { .. }) && text.contains("divide them by 255"),
        "{text}"
    );
    assert!(text.contains("example 0 of client `f0000_00` in split `train`"), "{text}");

    // The contiguous client's pixels lie in the file as they are: its last run of 6,272 bytes.
    let data = open(&train, &test).expect("sound");
    let mut picture = [0.0; 784];
    data.train.client(0).copy_row(0, &mut picture);
    let bytes: Vec<u8> = picture.iter().flat_map(|value| value.to_le_bytes()).collect();
    let at = train.windows(bytes.len()).position(|run| run == bytes).expect("contiguous pixels");
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.001, 1.001] {
        let mut hit = train.clone();
        hit[at + 4 * 100..at + 4 * 101].copy_from_slice(&value.to_le_bytes());
        let error = open(&hit, &test).expect_err("no pixel");
        let DataError::Pixel { client, example: 0, pixel: 100, .. } = &error else {
            panic!("{error}");
        };
        assert_eq!(client, "m_contiguous");
    }
}

/// Damage that leaves everything well formed: fewer names in a node of the index of the clients.
/// The file itself still holds the names, whatever the other file holds and whatever is allowed.
#[test]
fn a_shortened_index_of_clients_is_noticed() {
    let [train, test] = odd();
    let nodes: Vec<usize> =
        (0..train.len() - 8).filter(|&at| train[at..].starts_with(b"SNOD\x01")).collect();
    let (mut tried, mut lost) = (0, 0);
    for &node in &nodes {
        let names = u16::from_le_bytes([train[node + 6], train[node + 7]]);
        for fewer in 0..names {
            let mut hit = train.clone();
            hit[node + 6..node + 8].copy_from_slice(&fewer.to_le_bytes());
            let (_folder, path) = pair(&hit, &test);
            for allow in [false, true] {
                let options = OpenOptions::new().choice(Choice::Path(path.clone())).cache(false);
                let error = options.allow_empty_clients(allow).open().expect_err("fewer names");
                lost += usize::from(error.to_string().contains("its index does not find it"));
                assert!(!error.is_retryable(), "{error}");
            }
            tried += 1;
        }
    }
    assert!(tried > 30 && lost >= 10, "{tried} tried, {lost} of them lost clients");
}

/// Two sound files that do not belong together.
#[test]
fn clients_of_one_file_only_are_named() {
    let [train, _] = odd();
    let other = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixture");
    let other = fs::read(other.join("fed_emnist_digitsonly_test.h5")).expect("a fixture");
    let error = open(&train, &other).expect_err("another test file");
    let DataError::ClientsDiffer { has, clients: 13, missing: 13, .. } = &error else {
        panic!("{error}");
    };
    assert!(has.ends_with("_train") && error.to_string().contains("--allow-empty-clients"));
}

/// An index of chunks that lost its entries would be read as zeros: as ink, and as the digit 0.
#[test]
fn pixels_that_an_index_does_not_find_are_no_zeros() {
    let [train, test] = odd();
    let nodes: Vec<usize> =
        (0..train.len() - 8).filter(|&at| train[at..].starts_with(b"TREE\x01")).collect();
    assert!(nodes.len() >= 24, "an index a table");
    for node in nodes {
        for entries in [[0, 0], [1, 0]] {
            let mut hit = train.clone();
            if hit[node + 6..node + 8] == entries {
                continue;
            }
            hit[node + 6..node + 8].copy_from_slice(&entries);
            let error = open(&hit, &test).expect_err("chunks are missing");
            assert!(error.to_string().contains("client `"), "{error}");
        }
    }
}

/// Damage anywhere is noticed, or changes nothing, wherever the file has checksums: the packed
/// tables. Values of every client that is read are what they were.
#[test]
fn damage_is_noticed_or_without_effect() {
    let [train, test] = odd();
    let sound = open(&train, &test).expect("sound");
    let first = sound.train.client(0);
    let mut state = 3_u64;
    let mut noticed = 0;
    for _ in 0..150 {
        let mut hit = train.clone();
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let at = (state >> 33) as usize % (hit.len() - 8);
        hit[at..at + 8].copy_from_slice(&(state ^ 0x55).to_le_bytes());
        match open(&hit, &test) {
            Err(_) => noticed += 1,
            Ok(data) => {
                assert_eq!(data.train.num_clients(), 13, "byte {at}");
                for index in 0..12 {
                    // LZF has no checksum, and neither has what is not packed.
                    if !sound.train.client_id(index).contains("lzf") {
                        assert_eq!(data.train.client(index), first, "byte {at}, client {index}");
                    }
                }
            }
        }
    }
    assert!(noticed > 10, "{noticed} of 150");
}
