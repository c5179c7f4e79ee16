//! Reading takes memory near to the size of the data, not a multiple of it.
//!
//! An allocator counts; what SQLite and liblzma allocate for themselves (a few megabytes of cache
//! and dictionary, whatever the size of the data) it does not see. One test in this file: others
//! beside it would be counted too.
#![cfg(feature = "readers")]

mod support;

use std::path::{Path, PathBuf};

use fed_data::{Choice, FederatedData, OpenOptions, SyntheticWriters};
use peak_alloc::PeakAlloc;
use rusqlite::{Connection, params};
use support::example;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

const CLIENTS: usize = 40;
const EXAMPLES: usize = 16_000;

/// A database in TFF's layout of 16,000 examples: 50 MB of floats, 12.5 MB of pictures.
fn database(path: &Path) {
    let mut connection = Connection::open(path).expect("a writable folder");
    let change = connection.transaction().expect("a new database");
    change
        .execute_batch(
            "CREATE TABLE examples (split_name TEXT NOT NULL, client_id TEXT NOT NULL,
                                    serialized_example_proto BLOB NOT NULL);
             CREATE TABLE client_metadata (client_id TEXT NOT NULL, split_name TEXT NOT NULL,
                                           num_examples INTEGER NOT NULL);
             CREATE INDEX idx_client_id_split ON examples (split_name, client_id);",
        )
        .expect("tables");
    let each = EXAMPLES / CLIENTS;
    for client in 0..CLIENTS {
        for (split, count) in [("train", each - 40), ("test", 40)] {
            let (id, split) = (format!("f{client:04}"), format!("digits_only_{split}"));
            change
                .execute(
                    "INSERT INTO client_metadata VALUES (?1, ?2, ?3)",
                    params![id, split, count as i64],
                )
                .expect("a row");
            for index in 0..count {
                let row = example((index % 10) as i64, (index % 256) as f32 / 255.0);
                change
                    .execute("INSERT INTO examples VALUES (?1, ?2, ?3)", params![split, id, row])
                    .expect("a row");
            }
        }
    }
    change.commit().expect("written");
}

/// Bytes at the peak of `task`, above what was there before it, and what it gave.
fn peak<T>(task: impl FnOnce() -> T) -> (usize, T) {
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    let value = task();
    (ALLOCATOR.peak_usage() - before, value)
}

fn as_lzma(path: &Path) -> PathBuf {
    let packed = path.with_extension("sqlite.lzma");
    let mut encoder =
        liblzma::write::XzEncoder::new(std::fs::File::create(&packed).expect("a new file"), 0);
    std::io::copy(&mut std::fs::File::open(path).expect("written"), &mut encoder).expect("packed");
    encoder.finish().expect("packed");
    packed
}

#[test]
fn peak_memory_is_near_the_size_of_the_data() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("emnist_all.sqlite");
    database(&path);
    let data_dir = folder.path().join("data");
    std::fs::create_dir(&data_dir).expect("a writable folder");
    let packed = as_lzma(&path);
    let data = EXAMPLES * 785;
    for path in [path, packed] {
        for cache in [false, true] {
            let options = OpenOptions::new()
                .choice(Choice::Path(path.clone()))
                .data_dir(&data_dir)
                .cache(cache);
            let (peak, dataset) = peak(|| options.open().expect("a good file"));
            assert_eq!(dataset.train.len() + dataset.test.len(), EXAMPLES);
            assert_eq!(dataset.train.num_clients(), CLIENTS);
            let ratio = peak as f64 / data as f64;
            println!("{}, cache {cache}: {ratio:.2} times the data", path.display());
            assert!(ratio < 1.2, "{}: {ratio:.2} times the data", path.display());
        }
    }
    let (peak, dataset) =
        peak(|| SyntheticWriters { seed: 0, clients: 150 }.dataset().expect("in range"));
    let data = (dataset.train.len() + dataset.test.len()) * 785;
    let ratio = peak as f64 / data as f64;
    println!("synthetic writers: {ratio:.2} times the data");
    assert!(ratio < 1.2, "synthetic writers: {ratio:.2} times the data");
}
