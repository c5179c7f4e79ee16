//! The two layouts of TFF's federated EMNIST, against a table of what every client holds.
//!
//! The files are not part of the project; where they are absent the tests say so and pass.
#![cfg(feature = "readers")]
#![expect(clippy::print_stderr, reason = "a skipped test says that it was skipped")]

use std::path::{Path, PathBuf};

use fed_data::{Choice, Dataset, FederatedData, OpenOptions, Split};

/// The folder of shared material, if it is there.
fn shared(path: &str) -> Option<PathBuf> {
    let shared = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data")).join(path);
    if !shared.exists() {
        eprintln!("skipped: `shared/data/{path}` is not here");
        return None;
    }
    Some(shared)
}

fn open(path: &Path) -> Dataset {
    OpenOptions::new()
        .choice(Choice::Path(path.to_owned()))
        .cache(false)
        .open()
        .unwrap_or_else(|error| panic!("{error}"))
}

/// Compares every client's count and checksums with the table beside the data.
fn check(data: &Dataset, folder: &Path) {
    let table = std::fs::read_to_string(folder.join("expected.tsv")).expect("the table is there");
    let mut rows = [0, 0];
    for line in table.lines().skip(1) {
        let [split, client, examples, labels, pixels, _] =
            line.split('\t').collect::<Vec<_>>()[..].try_into().expect("six columns");
        let split: &Split = match split {
            "train" => {
                rows[0] += 1;
                &data.train
            }
            _ => {
                rows[1] += 1;
                &data.test
            }
        };
        let index = split.find(client).unwrap_or_else(|| panic!("{client} is missing"));
        let ours = split.client(index);
        assert_eq!(ours.len().to_string(), examples, "{client}");
        let mut hasher = crc32fast::Hasher::new();
        for &label in ours.labels() {
            hasher.update(&i32::from(label).to_le_bytes());
        }
        assert_eq!(format!("{:08x}", hasher.finalize()), labels, "labels of {client}");
        let mut hasher = crc32fast::Hasher::new();
        let mut row = vec![0.0; ours.width()];
        for example in 0..ours.len() {
            ours.copy_row(example, &mut row);
            let bytes: Vec<u8> = row.iter().flat_map(|value| value.to_le_bytes()).collect();
            hasher.update(&bytes);
        }
        assert_eq!(format!("{:08x}", hasher.finalize()), pixels, "pixels of {client}");
    }
    assert_eq!(rows, [data.train.num_clients(), data.test.num_clients()]);
    assert!(rows[0] > 0, "an empty table proves nothing");
    assert!(data.train.is_eight_bit(), "the pictures are bytes over 255");
    assert!(!data.source.synthetic);
}

#[test]
fn tiny_in_every_container() {
    let Some(folder) = shared("tff-layout/tiny") else { return };
    let mut digests = Vec::new();
    for file in [
        "emnist_all.sqlite",
        "emnist_all.sqlite.lzma",
        "emnist_all.alone.sqlite.lzma",
        "fed_emnist_digitsonly_train.h5",
        "fed_emnist_digitsonly_test.h5",
    ] {
        let data = open(&folder.join(file));
        check(&data, &folder);
        digests.push(data.source.digest);
    }
    assert!(digests.windows(2).all(|pair| pair[0] == pair[1]), "one content, one digest");
}

#[test]
fn full_sqlite() {
    let Some(folder) = shared("tff-layout/full") else { return };
    let data = open(&folder.join("emnist_all.sqlite.lzma"));
    check(&data, &folder);
    assert_eq!(data.source.name, "539 writers from emnist_all.sqlite.lzma (digits only)");
}

#[test]
fn full_hdf5() {
    let Some(folder) = shared("tff-layout/full") else { return };
    check(&open(&folder.join("fed_emnist_digitsonly_train.h5")), &folder);
}

/// Whoever has MNIST's and QMNIST's files has the set that results are quoted on: the same clients,
/// the same split, the same digest as the files in TFF's layouts, which were made by others.
#[test]
fn mnist_by_writer_is_the_same_set() {
    let Some(folder) = shared("writers-mnist") else { return };
    let data = open(&folder);
    assert_eq!(data.source.name, "MNIST by writer (QMNIST)");
    assert_eq!((data.train.num_clients(), data.train.len(), data.test.len()), (539, 53_598, 6_402));
    assert_eq!(data.source.digest.as_str(), fed_data::mnist::CONTENT);
    assert!(data.notes.is_empty(), "{:?}", data.notes);
    let Some(layout) = shared("tff-layout/full") else { return };
    check(&data, &layout);
    let other = open(&layout.join("fed_emnist_digitsonly_train.h5"));
    assert_eq!(data.source.digest, other.source.digest);
}
