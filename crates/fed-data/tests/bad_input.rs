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
             CREATE TABLE client_metadata (client_id TEXT, split_name TEXT NOT NULL,
                                           num_examples INTEGER);
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
    assert!(text.contains("--allow-empty-clients"), "{text}");
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
    assert!(text.contains("--variant all"), "{text}");
}

#[test]
fn a_database_at_odds_with_itself() {
    for (change, says) in [
        (
            "UPDATE client_metadata SET num_examples = 4 WHERE split_name = 'digits_only_train'",
            "has 4 examples in `client_metadata`, but 3 in `examples`",
        ),
        (
            "UPDATE client_metadata SET num_examples = 2 WHERE split_name = 'digits_only_train'",
            "has 2 examples in `client_metadata`, but 3 in `examples`",
        ),
        ("UPDATE client_metadata SET num_examples = -1", "has -1 examples"),
        (
            "INSERT INTO client_metadata VALUES ('f1', 'digits_only_train', 5)",
            "has 5 examples in `client_metadata`, but 3 in `examples`",
        ),
        (
            "UPDATE client_metadata SET client_id = 'g1'",
            "has 3 examples in `client_metadata`, but 0",
        ),
        (
            "INSERT INTO client_metadata VALUES ('f2', 'digits_only_train', 0); \
             UPDATE examples SET client_id = 'lost' WHERE rowid = 3; \
             UPDATE client_metadata SET num_examples = NULL",
            "1 examples of 1 clients of `digits_only_train` that `client_metadata` does not list",
        ),
        ("UPDATE client_metadata SET client_id = NULL", "id is missing (NULL)"),
        ("UPDATE client_metadata SET num_examples = 'three'", "no whole number of examples"),
        (
            "DELETE FROM client_metadata WHERE split_name = 'digits_only_test'",
            "no split `digits_only_test`; it holds digits_only_train",
        ),
        ("DROP TABLE examples", "no such table as `examples`, but client_metadata"),
        ("DROP TABLE client_metadata", "CREATE TABLE client_metadata AS SELECT"),
        ("ALTER TABLE examples RENAME COLUMN client_id TO writer", "has no column `client_id`"),
        ("UPDATE examples SET serialized_example_proto = x'0011' WHERE rowid = 2", "row 2"),
        ("UPDATE examples SET serialized_example_proto = 'text' WHERE rowid = 2", "row 2"),
        ("UPDATE examples SET serialized_example_proto = x'' WHERE rowid = 2", "784 floats"),
    ] {
        let folder = folder();
        let text = message(&database(folder.path(), change));
        assert!(text.contains(says), "{change}: {text}");
    }
}

/// Other forms of the same content: read to the same values.
#[test]
fn views_and_tables_of_other_kinds_are_read_alike() {
    let reference = folder();
    let reference = open(&database(reference.path(), "")).expect("a good file");
    for change in [
        "ALTER TABLE examples RENAME TO e; CREATE VIEW examples AS SELECT * FROM e;
         ALTER TABLE client_metadata RENAME TO m; CREATE VIEW client_metadata AS SELECT * FROM m;",
        "ALTER TABLE examples RENAME TO e;
         CREATE TABLE examples (nr INTEGER PRIMARY KEY, split_name TEXT, client_id TEXT,
                                serialized_example_proto BLOB) WITHOUT ROWID;
         INSERT INTO examples SELECT rowid, * FROM e; DROP TABLE e;",
        "ALTER TABLE client_metadata DROP COLUMN num_examples",
        "UPDATE client_metadata SET num_examples = NULL",
        // A column that takes the usual name of the row numbers.
        "ALTER TABLE examples RENAME TO e;
         CREATE TABLE examples (rowid INTEGER, split_name TEXT, client_id TEXT,
                                serialized_example_proto BLOB);
         INSERT INTO examples SELECT -rowid, * FROM e ORDER BY rowid;",
        "ALTER TABLE client_metadata RENAME COLUMN client_id TO CLIENT_ID",
    ] {
        let folder = folder();
        let data = open(&database(folder.path(), change)).expect(change);
        assert_eq!(data.source.digest, reference.source.digest, "{change}");
    }
    // Ids that are numbers are their digits.
    let folder = folder();
    let change = "ALTER TABLE examples RENAME TO e;
         CREATE TABLE examples (split_name TEXT, client_id INTEGER, serialized_example_proto BLOB);
         INSERT INTO examples SELECT split_name, 17, serialized_example_proto FROM e;
         DROP TABLE client_metadata;
         CREATE TABLE client_metadata (client_id INTEGER, split_name TEXT, num_examples INTEGER);
         INSERT INTO client_metadata VALUES (17, 'digits_only_train', 3), (17, 'digits_only_test', 1);";
    let data = open(&database(folder.path(), change)).expect("numbers");
    assert_eq!(data.train.client_id(0), "17");
    assert_eq!(data.train.client(0), reference.train.client(0));
}

#[test]
fn values_that_are_no_pixels_in_a_database() {
    for value in [f32::NAN, f32::NEG_INFINITY, 255.0, -0.5] {
        let folder = folder();
        let path = database(folder.path(), "");
        Connection::open(&path)
            .and_then(|connection| {
                connection.execute(
                    "UPDATE examples SET serialized_example_proto = ?1 WHERE rowid = 2",
                    params![example(9, value)],
                )
            })
            .expect("a change");
        let text = message(&path);
        assert!(
            text.contains("example 0 of client `f1` in split `digits_only_test`")
                && text.contains("pixel 0")
                && text.contains(&value.to_string()),
            "{text}"
        );
    }
}

/// A client of one split only: a lost one, unless it is said to be meant.
#[test]
fn clients_that_are_in_one_split_only() {
    let folder = folder();
    let path = database(folder.path(), "DELETE FROM client_metadata WHERE split_name = 'none';");
    let connection = Connection::open(&path).expect("a database");
    connection
        .execute_batch(
            "INSERT INTO client_metadata VALUES ('f2', 'digits_only_train', 1);
             INSERT INTO examples SELECT split_name, 'f2', serialized_example_proto FROM examples
             WHERE rowid = 1;",
        )
        .expect("another client");
    let error = open(&path).expect_err("f2 has no test examples");
    let DataError::ClientsDiffer { missing: 1, clients: 2, first, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(first, "f2");
    assert!(error.to_string().contains("--allow-empty-clients"), "{error}");
    let options = OpenOptions::new().choice(Choice::Path(path)).cache(false);
    let data = options.allow_empty_clients(true).open().expect("it is meant");
    assert_eq!((data.train.num_clients(), data.test.num_clients()), (2, 1));
}

/// Archives are looked at before they are unpacked, and not beyond what they should hold.
#[test]
fn archives_that_unpack_to_much_more_than_they_should() {
    let folder = folder();
    let pack = |name: &str, parts: &[&[u8]]| {
        let path = folder.path().join(name);
        let file = fs::File::create(&path).expect("a writable folder");
        let mut encoder = liblzma::write::XzEncoder::new(file, 0);
        parts.iter().for_each(|part| encoder.write_all(part).expect("a writable folder"));
        encoder.finish().expect("a writable folder");
        path
    };
    let zeros = vec![0; 1 << 24];
    let unpacked = |path: &Path| {
        let mut steps = 0;
        let options = OpenOptions::new().choice(Choice::Path(path.to_owned())).cache(false);
        let opened = options.open_with(&mut |progress| {
            steps += usize::from(progress.step == "unpacking");
        });
        (opened.expect_err("a bomb").to_string(), steps)
    };
    let (text, steps) = unpacked(&pack("zeros.sqlite.xz", &[&zeros, &zeros]));
    assert!(text.contains("not a SQLite database") && !text.contains("etch"), "{text}");
    assert_eq!(steps, 0, "nothing was unpacked");
    let hdf5 = fs::read(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixture/fed_emnist_digitsonly_test.h5"
    ));
    let (text, _) = unpacked(&pack("h5.xz", &[&hdf5.expect("the fixture")]));
    assert!(text.contains("is an HDF5 file, not a SQLite database"), "{text}");

    let database = fs::read(database(folder.path(), "")).expect("written");
    let (text, steps) = unpacked(&pack("longer.sqlite.xz", &[&database, &zeros, &zeros]));
    assert!(text.contains("goes on after them") && steps <= 1, "{text}");
    let mut absurd = database.clone();
    absurd[16..18].copy_from_slice(&[0, 1]);
    absurd[28..32].copy_from_slice(&[0xFF; 4]); // pages of 64 KiB
    absurd[24..28].copy_from_slice(&[1; 4]);
    absurd[92..96].copy_from_slice(&[1; 4]);
    let (text, steps) = unpacked(&pack("absurd.sqlite.xz", &[&absurd]));
    assert!(text.contains("281474976645120 bytes") && steps == 0, "{text}");
    let left: Vec<_> = fs::read_dir(folder.path())
        .expect("a folder")
        .filter(|entry| {
            entry
                .as_ref()
                .is_ok_and(|entry| entry.file_name().to_string_lossy().starts_with(".unpacking"))
        })
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

/// A file is what it holds, whatever it is called.
#[test]
fn names_that_say_something_else() {
    let folder = folder();
    let whole = fs::read(database(folder.path(), "")).expect("written");
    for name in ["a.lzma", "a.h5", "a.tar.bz2", "a", "emnist_all.sqlite.lzma"] {
        let path = folder.path().join(name);
        fs::write(&path, &whole).expect("a writable folder");
        let data = open(&path).expect(name);
        assert_eq!(data.train.client(0).labels(), [3, 1, 2]);
        fs::remove_file(path).expect("a writable folder");
    }
    for (name, content, says) in [
        ("a.sqlite", &b"PK\x03\x04............"[..], "it is a ZIP archive; unpack it first"),
        ("a.sqlite.gz", b"\x1F\x8B\x08\0\0\0\0\0\0", "it is a gzip archive; unpack it first"),
        ("a.npy", b"\x93NUMPY\x01\0", "it is a NumPy array"),
        ("a.sqlite", b"version https://git-lfs.github.com/spec/v1", "a pointer of Git LFS"),
        ("emnist_all.sqlite", b"<!DOCTYPE html><html>", "it is a web page"),
    ] {
        let path = folder.path().join(name);
        fs::write(&path, content).expect("a writable folder");
        let text = message(&path);
        assert!(text.contains(says), "{name}: {text}");
    }
}

/// What lies under a known name and is no file is an error, not an absence.
#[cfg(unix)]
#[test]
fn a_link_to_nothing_is_not_nothing() {
    let folder = folder();
    let link = folder.path().join("emnist_all.sqlite");
    std::os::unix::fs::symlink("nowhere", &link).expect("a writable folder");
    let error = OpenOptions::new().data_dir(folder.path()).open().expect_err("a dangling link");
    assert!(error.to_string().contains("file behind the link"), "{error}");
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
    let text = error.to_string();
    assert!(
        text.contains("no split `all_train`") && text.contains("--variant digits-only"),
        "{text}"
    );
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
    let magic = b"\x89HDF\r\n\x1A\n and nothing more";
    let lacking = pack(&[("fed_emnist_digitsonly_train.h5", magic), ("readme", b"y")]);
    let error = damaged(folder.path(), name, &lacking).expect("no test file").to_string();
    assert!(error.contains("no split `fed_emnist_digitsonly_test.h5`; it holds readme"), "{error}");
    let other = pack(&[("fed_emnist_digitsonly_train.h5", b"not HDF5")]);
    let error = damaged(folder.path(), name, &other).expect("no HDF5").to_string();
    assert!(error.contains("is text, not an HDF5 file"), "{error}");
    let both = pack(&[
        ("fed_emnist_digitsonly_train.h5", magic),
        ("fed_emnist_digitsonly_test.h5", magic),
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
