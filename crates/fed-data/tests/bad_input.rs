//! Every wrong file is an error that says what, where and what to do; none is a panic.
#![cfg(feature = "readers")]

mod support;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use fed_data::{Choice, DataError, Dataset, FederatedData, OpenOptions, Variant};
use rusqlite::{Connection, params};
use support::example;
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

/// A database with one client `f1` of three training and one test examples; `change` spoils it.
fn database(folder: &Path, change: &str) -> PathBuf {
    let path = folder.join("emnist_all.sqlite");
    let connection = Connection::open(&path).expect("a writable folder");
    connection
        .execute_batch(
            "PRAGMA synchronous = OFF;
             CREATE TABLE examples (split_name TEXT NOT NULL, client_id TEXT NOT NULL,
                                    serialized_example_proto BLOB NOT NULL);
             CREATE TABLE client_metadata (client_id TEXT NOT NULL, split_name TEXT NOT NULL,
                                           num_examples INTEGER NOT NULL);
             CREATE INDEX idx_client_id_split ON examples (split_name, client_id);
             INSERT INTO client_metadata VALUES ('f1', 'digits_only_train', 3),
                                                ('f1', 'digits_only_test', 1);",
        )
        .expect("tables");
    for (split, label) in [("train", 3), ("test", 9), ("train", 1), ("train", 2)] {
        connection
            .execute(
                "INSERT INTO examples VALUES (?1, 'f1', ?2)",
                params![format!("digits_only_{split}"), example(label, 1.0)],
            )
            .expect("a row");
    }
    connection.execute_batch(change).expect("a change");
    path
}

#[test]
fn a_small_database_is_read_in_the_order_of_its_rows() {
    let folder = folder();
    let data = open(&database(folder.path(), "")).expect("a good file");
    assert_eq!(data.train.client(0).labels(), [3, 1, 2]);
    assert_eq!(data.test.client(0).labels(), [9]);
    assert_eq!(data.source.name, "1 writers from emnist_all.sqlite (digits only)");
}

#[test]
fn what_is_not_there() {
    let text = message(Path::new("/no/such/place/emnist_all.sqlite"));
    assert!(text.contains("/no/such/place") && text.contains("what can be read is"), "{text}");
}

#[test]
fn a_folder_in_place_of_a_file() {
    let folder = folder();
    let text = message(folder.path());
    assert!(text.contains("is a folder") && text.contains("emnist_all.sqlite"), "{text}");
    let inner = folder.path().join("fed_emnist_digitsonly_train.h5");
    fs::create_dir(&inner).expect("a writable folder");
    assert!(message(&inner).contains("is a folder"));
}

#[test]
fn a_file_of_another_kind() {
    let folder = folder();
    let path = folder.path().join("notes.txt");
    fs::write(&path, "not data").expect("a writable folder");
    assert!(message(&path).contains("none of the files that can be read"));
    for name in
        ["a.sqlite", "a_train.h5", "a.sqlite.lzma", "a.tar.bz2", "a.fedcache", "x-idx3-ubyte"]
    {
        let path = folder.path().join(name);
        fs::write(folder.path().join("a_test.h5"), "not data").expect("a writable folder");
        for content in [
            "",
            "not data",
            "not data but rather long; long enough for any header that there may be",
        ] {
            fs::write(&path, content).expect("a writable folder");
            let text = message(&path);
            assert!(text.contains(name) || text.contains("a_test.h5"), "{text}");
        }
    }
}

#[test]
fn the_other_half_is_missing() {
    let folder = folder();
    let path = folder.path().join("fed_emnist_digitsonly_train.h5");
    fs::write(&path, "x").expect("a writable folder");
    let text = message(&path);
    assert!(text.contains("fed_emnist_digitsonly_test.h5"), "{text}");
}

#[test]
fn a_client_without_examples() {
    let folder = folder();
    let path = database(
        folder.path(),
        "INSERT INTO client_metadata VALUES ('f2', 'digits_only_train', 0);",
    );
    let text = message(&path);
    assert!(text.contains("client `f2`") && text.contains("no examples"), "{text}");
    let data = OpenOptions::new()
        .choice(Choice::Path(path))
        .cache(false)
        .allow_empty_clients(true)
        .open()
        .expect("allowed");
    assert_eq!(data.train.client_sizes().collect::<Vec<_>>(), [3, 0]);
    assert!(data.train.client(1).is_empty(), "an empty client is a client all the same");
}

#[test]
fn labels_outside_the_classes() {
    let folder = folder();
    let path = database(folder.path(), "");
    Connection::open(&path)
        .and_then(|connection| {
            connection.execute(
                "UPDATE examples SET serialized_example_proto = ?1 WHERE rowid = 3",
                params![example(36, 1.0)],
            )
        })
        .expect("a change");
    let text = message(&path);
    assert!(text.contains("example 1 of client `f1`") && text.contains("label 36"), "{text}");
}

#[test]
fn a_database_at_odds_with_itself() {
    for (change, says) in [
        (
            "UPDATE client_metadata SET num_examples = 4 WHERE split_name = 'digits_only_train'",
            "should have 4 examples, but it has 3",
        ),
        (
            "UPDATE client_metadata SET num_examples = 2 WHERE split_name = 'digits_only_train'",
            "more examples than were counted",
        ),
        ("UPDATE client_metadata SET num_examples = -1", "has -1 examples"),
        (
            "DELETE FROM client_metadata WHERE split_name = 'digits_only_test'",
            "no split `digits_only_test`; it holds digits_only_train",
        ),
        ("DROP TABLE examples", "no such table"),
        ("UPDATE examples SET serialized_example_proto = x'0011' WHERE rowid = 2", "row 2"),
        ("UPDATE examples SET serialized_example_proto = 'text' WHERE rowid = 2", "row 2"),
    ] {
        let folder = folder();
        let text = message(&database(folder.path(), change));
        assert!(text.contains(says), "{change}: {text}");
    }
}

#[test]
fn the_other_variant_is_not_there() {
    let folder = folder();
    let path = database(folder.path(), "");
    let error = OpenOptions::new()
        .choice(Choice::Path(path))
        .variant(Variant::All)
        .cache(false)
        .open()
        .expect_err("digits only");
    assert!(error.to_string().contains("no split `all_train`"), "{error}");
    let error = OpenOptions::new()
        .variant(Variant::All)
        .data_dir(folder.path().join("empty"))
        .open()
        .expect_err("nothing there, and the embedded writers write digits");
    assert!(matches!(error, DataError::DigitsOnly { .. }), "{error}");
}

/// Opens `bytes` as a file called `name`: never a panic, and never taken for complete.
fn damaged(folder: &Path, name: &str, bytes: &[u8]) -> Option<DataError> {
    let path = folder.join(name);
    fs::write(&path, bytes).expect("a writable folder");
    open(&path).err()
}

#[test]
fn truncated_and_damaged_databases() {
    let folder = folder();
    let path = database(folder.path(), "");
    let whole = fs::read(&path).expect("it was written");
    for length in [0, 15, 16, 99, 100, 4_096, 5_000, whole.len() / 2, whole.len() - 1] {
        let error = damaged(folder.path(), "cut.sqlite", &whole[..length]);
        assert!(matches!(error, Some(DataError::Corrupt { .. })), "{length} bytes: {error:?}");
    }
    let mut state = 1_u64;
    for _ in 0..200 {
        let mut bytes = whole.clone();
        for _ in 0..20 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let at = (state >> 33) as usize % bytes.len();
            bytes[at] = (state >> 20) as u8;
        }
        damaged(folder.path(), "hit.sqlite", &bytes);
    }
}

#[test]
fn both_lzma_containers_and_what_is_left_of_truncated_ones() {
    use liblzma::stream::{LzmaOptions, Stream};
    let folder = folder();
    let whole = fs::read(database(folder.path(), "")).expect("it was written");
    let options = LzmaOptions::new_preset(6).expect("a preset");
    for (name, stream) in [
        ("xz.sqlite.lzma", Stream::new_easy_encoder(6, liblzma::stream::Check::Crc64)),
        ("alone.sqlite.lzma", Stream::new_lzma_encoder(&options)),
    ] {
        let mut encoder =
            liblzma::write::XzEncoder::new_stream(Vec::new(), stream.expect("a stream"));
        encoder.write_all(&whole).expect("in memory");
        let packed = encoder.finish().expect("in memory");
        fs::write(folder.path().join(name), &packed).expect("a writable folder");
        let data = open(&folder.path().join(name)).expect("a good file");
        assert_eq!(data.train.client(0).labels(), [3, 1, 2]);
        for length in [0, 5, 12, 13, packed.len() / 2, packed.len() - 5] {
            let error = damaged(folder.path(), name, &packed[..length]);
            assert!(
                matches!(error, Some(DataError::Corrupt { .. })),
                "{name}, {length}: {error:?}"
            );
        }
        let mut hit = packed.clone();
        hit[packed.len() / 2] ^= 0x55;
        assert!(damaged(folder.path(), name, &hit).is_some(), "{name}");
    }
}

#[test]
fn archives_that_lack_a_file_or_an_end() {
    let folder = folder();
    let pack = |files: &[(&str, &[u8])]| {
        let encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        let mut tar = tar::Builder::new(encoder);
        for (name, content) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, name, *content).expect("in memory");
        }
        tar.into_inner().and_then(|encoder| encoder.finish()).expect("in memory")
    };
    let name = "fed_emnist_digitsonly.tar.bz2";
    let lacking = pack(&[("fed_emnist_digitsonly_train.h5", b"x"), ("readme", b"y")]);
    let error = damaged(folder.path(), name, &lacking).expect("no test file").to_string();
    assert!(error.contains("no split `fed_emnist_digitsonly_test.h5`; it holds readme"), "{error}");
    let both = pack(&[
        ("fed_emnist_digitsonly_train.h5", b"not HDF5"),
        ("fed_emnist_digitsonly_test.h5", b"not HDF5"),
    ]);
    let error = damaged(folder.path(), name, &both).expect("no HDF5").to_string();
    assert!(error.contains(name), "the file that the user knows: {error}");
    for length in [0, 3, both.len() / 2] {
        let error = damaged(folder.path(), name, &both[..length]);
        assert!(
            matches!(error, Some(DataError::Corrupt { .. } | DataError::NoSplit { .. })),
            "{length}: {error:?}"
        );
    }
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
    assert!(message(folder.path()).contains("0x00000801 instead of 0x00000803"));

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
