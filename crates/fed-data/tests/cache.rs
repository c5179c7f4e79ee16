//! The cache: the same data, mapped; made anew whenever it cannot be trusted.

#[cfg(feature = "readers")]
mod support;

use std::fs;
use std::path::{Path, PathBuf};

use fed_data::{
    Choice, DataError, Dataset, FederatedData, OpenOptions, SyntheticWriters, Variant, cache,
};
use sha2::{Digest, Sha256};

fn options(folder: &Path) -> OpenOptions {
    OpenOptions::new()
        .choice(Choice::Synthetic)
        .synthetic(SyntheticWriters { seed: 3, clients: 7 })
        .data_dir(folder)
}

fn cache_file(folder: &Path) -> PathBuf {
    let mut files = fs::read_dir(folder.join("cache"))
        .expect("a cache")
        .map(|file| file.expect("a file").path());
    let file = files.next().expect("one file");
    assert!(files.next().is_none(), "and no other");
    file
}

fn same(a: &Dataset, b: &Dataset) {
    for (a, b) in [(&a.train, &b.train), (&a.test, &b.test)] {
        assert_eq!(a.num_clients(), b.num_clients());
        for index in 0..a.num_clients() {
            assert_eq!(a.client_id(index), b.client_id(index));
            assert_eq!(a.client(index), b.client(index));
        }
    }
    assert_eq!(a.source, b.source);
}

#[test]
fn the_second_start_maps_what_the_first_one_made() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let first = options(folder.path()).open().expect("drawn");
    let file = cache_file(folder.path());
    let written = fs::metadata(&file).and_then(|file| file.modified()).expect("a file");
    let second = options(folder.path()).open().expect("mapped");
    same(&first, &second);
    assert!(second.notes.is_empty(), "{:?}", second.notes);
    assert_eq!(written, fs::metadata(&file).and_then(|file| file.modified()).expect("a file"));
    cache::verify(&second).expect("the content is what it was");
}

#[test]
fn a_cache_that_is_damaged_is_made_anew() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let first = options(folder.path()).open().expect("drawn");
    let file = cache_file(folder.path());
    let whole = fs::read(&file).expect("it was written");
    let mut spoilt: Vec<Vec<u8>> = [0, 7, 47, 60, 4_000, whole.len() / 2, whole.len() - 1]
        .iter()
        .map(|&length| whole[..length].to_vec())
        .collect();
    for at in [0, 9, 13, 20, 100] {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x41;
        spoilt.push(bytes);
    }
    let mut longer = whole.clone();
    longer.push(0);
    spoilt.push(longer);
    for bytes in spoilt {
        // Another file under the same name: what is mapped stays as it was.
        fs::remove_file(&file).expect("a writable folder");
        fs::write(&file, &bytes).expect("a writable folder");
        let again = options(folder.path()).open().expect("drawn again");
        same(&first, &again);
        assert_eq!(again.notes.len(), 1, "{:?}", again.notes);
        assert!(again.notes[0].contains("made anew"), "{:?}", again.notes);
        assert!(fs::read(&file).expect("it was written") == whole, "and written again");
    }
}

#[test]
fn a_flipped_pixel_is_found_when_all_is_verified() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    options(folder.path()).open().expect("drawn");
    let file = cache_file(folder.path());
    let mut bytes = fs::read(&file).expect("it was written");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::remove_file(&file).expect("a writable folder");
    fs::write(&file, &bytes).expect("a writable folder");
    let data = options(folder.path()).open().expect("pixels are not read at the start");
    for error in [cache::verify(&data), data.check()] {
        let error = error.expect_err("a pixel differs");
        assert!(matches!(error, DataError::CacheDamaged { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains(file.to_str().expect("a plain name")), "the right file: {text}");
        assert!(text.contains("Remove it"), "{text}");
    }
}

/// Whatever is changed in a cache, nobody trains on it under the digest of the original.
#[test]
fn no_damage_passes_under_the_digest_of_the_original() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let first = options(folder.path()).open().expect("drawn");
    let file = cache_file(folder.path());
    let whole = fs::read(&file).expect("it was written");
    let mut state = 5_u64;
    let (mut at_opening, mut at_the_check) = (0, 0);
    for _ in 0..200 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let mut bytes = whole.clone();
        let at = (state >> 33) as usize % bytes.len();
        bytes[at] ^= 1 << (state >> 29 & 7);
        fs::remove_file(&file).expect("a writable folder");
        fs::write(&file, &bytes).expect("a writable folder");
        let data = options(folder.path()).open().expect("mapped or drawn again");
        if data.check().is_err() {
            at_the_check += 1;
        } else {
            // Drawn again, or a byte of padding.
            at_opening += usize::from(!data.notes.is_empty());
            assert!(data.notes.is_empty() <= (cache::verify(&data).is_ok()), "byte {at}");
            same(&first, &data);
        }
    }
    assert!(at_the_check > 150 && at_opening > 0, "{at_opening} and {at_the_check} of 200");
}

/// Labels are hashed whenever a cache is opened: another class is another content.
#[test]
fn an_altered_label_is_noticed_at_opening() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let first = options(folder.path()).open().expect("drawn");
    let file = cache_file(folder.path());
    let whole = fs::read(&file).expect("it was written");
    for split in [&first.train, &first.test] {
        let labels = split.all_examples().labels().to_vec();
        let at = whole.windows(labels.len()).position(|run| run == labels).expect("labels");
        let mut bytes = whole.clone();
        bytes[at] = (bytes[at] + 1) % 10;
        fs::remove_file(&file).expect("a writable folder");
        fs::write(&file, &bytes).expect("a writable folder");
        let data = options(folder.path()).open().expect("drawn again");
        assert!(data.notes[0].contains("the hash of its tables is wrong"), "{:?}", data.notes);
        same(&first, &data);
    }
}

/// A check holds until the file is written to: then everything is read again.
#[test]
fn what_is_changed_under_the_mapping_is_noticed_by_the_next_check() {
    use std::io::{Seek, SeekFrom, Write};
    let folder = tempfile::tempdir().expect("a temporary folder");
    options(folder.path()).open().expect("drawn");
    let file = cache_file(folder.path());
    let data = options(folder.path()).open().expect("mapped");
    std::thread::scope(|scope| {
        // Beside one another, as a run and its check are.
        let checks: Vec<_> = (0..3).map(|_| scope.spawn(|| data.check())).collect();
        for check in checks {
            check.join().expect("no panic").expect("sound");
        }
    });
    std::thread::sleep(std::time::Duration::from_millis(20));
    let mut open = fs::OpenOptions::new().write(true).open(&file).expect("a writable file");
    open.seek(SeekFrom::End(-1)).expect("a long file");
    open.write_all(&[7]).expect("a writable file");
    drop(open);
    assert!(matches!(data.check(), Err(DataError::CacheDamaged { .. })));
}

/// A cache is as readable as whatever else is written here.
#[cfg(unix)]
#[test]
fn a_cache_follows_the_umask() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a temporary folder");
    options(folder.path()).open().expect("drawn");
    let (_, imported) = options(folder.path()).import(&mut |_| {}).expect("drawn");
    let plain = folder.path().join("plain");
    fs::write(&plain, "").expect("a writable folder");
    let mode = |path: &Path| fs::metadata(path).expect("a file").permissions().mode() & 0o777;
    assert_eq!(mode(&cache_file(folder.path())), mode(&plain));
    assert_eq!(mode(&imported), mode(&plain));
}

/// A data set that was imported by an earlier version is still read, but checked in full at once.
#[test]
fn an_import_of_version_1_is_read_and_checked() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (data, file) = options(folder.path()).import(&mut |_| {}).expect("drawn and kept");
    let mut bytes = fs::read(&file).expect("it was written");
    let room = u32::from_le_bytes(bytes[12..16].try_into().expect("four bytes")) as usize;
    let mut header: serde_json::Value =
        serde_json::from_slice(&bytes[48..48 + room]).expect("JSON");
    header["maker"] = serde_json::json!({"files": []});
    header["source"].as_object_mut().expect("an object").remove("parts");
    let mut tables = Sha256::new();
    for split in 0..2 {
        for part in ["ids", "offsets"] {
            let at = |end: &str| header["splits"][split][part][end].as_u64().expect("a place");
            tables.update(&bytes[at("start") as usize..at("end") as usize]);
        }
    }
    let hex: String = tables.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    header["tables"] = hex.into();
    let mut text = serde_json::to_vec(&header).expect("JSON");
    text.resize(room, b' ');
    bytes[8] = 1;
    bytes[16..48].copy_from_slice(&Sha256::digest(&text));
    bytes[48..48 + room].copy_from_slice(&text);
    fs::write(&file, &bytes).expect("a writable folder");
    let old = options(folder.path()).choice(Choice::Auto).open().expect("an old import");
    assert_eq!(old.source.digest, data.source.digest);
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&file, &bytes).expect("a writable folder");
    let error = options(folder.path()).choice(Choice::Auto).open().expect_err("altered");
    assert!(error.to_string().contains("Import the data again"), "{error}");
}

#[test]
fn a_cache_that_cannot_be_written_is_a_note_not_an_error() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("cache"), "in the way").expect("a writable folder");
    let data = options(folder.path()).open().expect("drawn");
    assert!(data.notes[0].contains("no cache was kept"), "{:?}", data.notes);
    let elsewhere = folder.path().join("nowhere");
    let data = options(&elsewhere).open().expect("drawn");
    assert!(data.notes.is_empty() && !elsewhere.exists(), "no folder, no cache, no word");
}

#[test]
fn what_was_imported_is_found_ever_after() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (data, file) = options(folder.path()).import(&mut |_| {}).expect("drawn and kept");
    assert!(file.ends_with("imported_digits_only.fedcache"));
    let auto = options(folder.path()).choice(Choice::Auto).open().expect("it lies there");
    assert_eq!(auto.source.digest, data.source.digest);
    assert!(auto.source.why.contains("imported_digits_only.fedcache"), "{}", auto.source.why);
    assert!(auto.source.synthetic, "imported or not, it was drawn");
    let by_path =
        options(folder.path()).choice(Choice::Path(file.clone())).open().expect("the same");
    assert_eq!(by_path.source.digest, data.source.digest);
    // Nothing can make it anew, so damage is an error.
    let bytes = fs::read(&file).expect("it was written");
    fs::write(&file, &bytes[..bytes.len() - 1]).expect("a writable folder");
    let error = options(folder.path()).choice(Choice::Auto).open().expect_err("truncated");
    assert!(matches!(error, DataError::CacheDamaged { imported: true, .. }), "{error}");
}

#[test]
fn auto_without_real_data_says_so() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = options(folder.path()).choice(Choice::Auto).open().expect("drawn");
    assert!(data.source.synthetic);
    assert!(data.source.why.starts_with("no real data lies in"), "{}", data.source.why);
    assert_eq!(data.source.name, "synthetic writers (seed 3)");
}

#[cfg(feature = "readers")]
#[test]
fn a_source_that_changed_makes_the_cache_anew() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let words =
        |words: &[u32]| words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<u8>>();
    let write = |ink: u8| {
        let mut images = words(&[0x803, 4, 28, 28]);
        images.resize(16 + 784 * 4, ink);
        let mut labels = words(&[0x801, 4]);
        labels.extend([1; 4]);
        let mut writers = words(&[0xC02, 4, 8]);
        (0..4).for_each(|_| writers.extend(words(&[1, 0, 9, 0, 0, 0, 0, 0])));
        for (name, bytes) in [
            ("train-images-idx3-ubyte", images),
            ("train-labels-idx1-ubyte", labels),
            ("qmnist-train-labels-idx2-int", writers),
        ] {
            fs::write(folder.path().join(name), bytes).expect("a writable folder");
        }
    };
    let open = || OpenOptions::new().data_dir(folder.path()).open().expect("real data");
    write(10);
    let first = open();
    assert!(!first.source.synthetic);
    same(&first, &open());
    std::thread::sleep(std::time::Duration::from_millis(20));
    write(20);
    let second = open();
    assert_ne!(first.source.digest, second.source.digest);
    assert!(second.notes[0].contains("has changed"), "{:?}", second.notes);
    same(&second, &open());
}

/// A database with `clients` clients of one training and one test example each.
#[cfg(feature = "readers")]
fn database(path: &Path, clients: usize) -> rusqlite::Connection {
    let connection = rusqlite::Connection::open(path).expect("a writable folder");
    connection
        .execute_batch(
            "CREATE TABLE examples (split_name TEXT, client_id TEXT, serialized_example_proto BLOB);
             CREATE TABLE client_metadata (client_id TEXT, split_name TEXT, num_examples INTEGER);",
        )
        .expect("tables");
    for client in 0..clients {
        for split in ["digits_only_train", "digits_only_test"] {
            let id = format!("f{client}");
            let row = support::example(client as i64 % 10, 1.0);
            connection
                .execute("INSERT INTO examples VALUES (?1, ?2, ?3)", (split, &id, row))
                .and_then(|_| {
                    connection
                        .execute("INSERT INTO client_metadata VALUES (?1, ?2, 1)", (&id, split))
                })
                .expect("a row");
        }
    }
    connection
}

#[cfg(feature = "readers")]
#[test]
fn a_write_ahead_log_is_read_and_makes_the_cache_anew() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("emnist_all.sqlite");
    let connection = database(&path, 5);
    let names = || {
        let mut names: Vec<_> = fs::read_dir(folder.path())
            .expect("a folder")
            .map(|entry| entry.expect("an entry").file_name())
            .collect();
        names.sort();
        names
    };
    let open = || OpenOptions::new().data_dir(folder.path()).open().expect("a good file");
    connection.execute_batch("PRAGMA journal_mode = WAL;").expect("another journal");
    assert_eq!(open().train.num_clients(), 5);
    let delete = "DELETE FROM client_metadata WHERE client_id = 'f3';
                  DELETE FROM examples WHERE client_id = 'f3';";
    connection.execute_batch(delete).expect("a deleted client");
    // The change is in the log alone; whoever opens the data must know of it.
    assert!(fs::metadata(folder.path().join("emnist_all.sqlite-wal")).expect("a log").len() > 0);
    let data = open();
    assert_eq!(data.train.num_clients(), 4);
    assert!(data.train.find("f3").is_none());
    assert!(data.notes.iter().any(|note| note.contains("has changed")), "{:?}", data.notes);
    assert_eq!(open().train.num_clients(), 4, "and from the cache");
    // A log that is damaged or cut would be left out, and f3 be there again.
    let copy = tempfile::tempdir().expect("a temporary folder");
    let log = fs::read(folder.path().join("emnist_all.sqlite-wal")).expect("a log");
    fs::copy(&path, copy.path().join("emnist_all.sqlite")).expect("a writable folder");
    for (at, cut) in
        [(9, 0), (25, 0), (41, 0), (60, 0), (100, 0), (log.len() - 1, 0), (0, 1), (0, 4_120)]
    {
        let mut hit = log[..log.len() - cut].to_vec();
        hit[at] ^= if cut > 0 { 0 } else { 4 };
        fs::write(copy.path().join("emnist_all.sqlite-wal"), hit).expect("a writable folder");
        let error = OpenOptions::new().data_dir(copy.path()).open().expect_err("damaged");
        assert!(error.to_string().contains("its write-ahead log"), "{at}, {cut}: {error}");
    }
    fs::write(copy.path().join("emnist_all.sqlite-wal"), &log).expect("a writable folder");
    let data = OpenOptions::new().data_dir(copy.path()).open().expect("a copy with its log");
    assert_eq!(data.train.num_clients(), 4);
    drop(connection);
    assert_eq!(open().train.num_clients(), 4, "and when the log is gone");
    // Reading a database in this mode leaves nothing beside it.
    let before = names();
    let other = tempfile::tempdir().expect("a temporary folder");
    let options = OpenOptions::new().choice(Choice::Path(path)).data_dir(other.path());
    assert_eq!(options.open().expect("a good file").train.num_clients(), 4);
    assert_eq!(names(), before);
}

/// Time of modification and size are what they were: the time of change is not.
#[cfg(all(feature = "readers", unix))]
#[test]
fn a_copy_that_keeps_size_and_time_makes_the_cache_anew() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("emnist_all.sqlite");
    drop(database(&path, 3));
    let open = || OpenOptions::new().data_dir(folder.path()).open().expect("a good file");
    let first = open();
    let modified = fs::metadata(&path).and_then(|file| file.modified()).expect("a file");
    let mut bytes = fs::read(&path).expect("a file");
    let label = [0x0A, 0x05, b'l', b'a', b'b', b'e', b'l', 0x12, 0x05, 0x1A, 0x03, 0x0A, 0x01, 2];
    let at = bytes.windows(label.len()).position(|run| run == label).expect("a label");
    bytes[at + label.len() - 1] = 9;
    fs::write(&path, &bytes).expect("a writable folder");
    let file = fs::OpenOptions::new().write(true).open(&path).expect("a writable file");
    file.set_modified(modified).expect("a file of ours");
    let second = open();
    assert_ne!(first.source.digest, second.source.digest);
    assert_eq!(
        second.source.difference(&first.source).expect("another content"),
        "other training labels, or another order of them"
    );
}

/// What decides how a file is read is part of what a cache was made from.
#[test]
fn a_cache_of_other_options_is_not_taken() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    options(folder.path()).open().expect("drawn");
    let file = cache_file(folder.path());
    // The cache of seed 3 under the name of seed 4.
    let other = file.with_file_name("synthetic-4-7.fedcache");
    fs::copy(&file, &other).expect("a writable folder");
    let options = options(folder.path()).synthetic(SyntheticWriters { seed: 4, clients: 7 });
    let data = options.open().expect("drawn");
    assert!(data.notes[0].contains("has changed"), "{:?}", data.notes);
    assert_eq!(data.source.name, "synthetic writers (seed 4)");
    let error = options.choice(Choice::Path(file)).variant(Variant::All).open();
    assert!(error.expect_err("digits").to_string().contains("--variant digits-only"));
}

/// Two that make the same cache at the same time, and a third that reads: each gets the data.
#[test]
fn many_writers_at_once() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let reference = SyntheticWriters { seed: 3, clients: 7 }.dataset().expect("drawn");
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                for _ in 0..5 {
                    let data = options(folder.path()).open().expect("drawn or mapped");
                    assert_eq!(data.source.digest, reference.source.digest);
                    data.check().expect("sound");
                }
            });
        }
    });
    assert!(cache_file(folder.path()).is_file(), "one file, and nothing left over");
}

/// What a process that was ended by force left half written goes with the next cache, a day later.
#[test]
fn leftovers_of_yesterday_are_removed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let cache = folder.path().join("cache");
    fs::create_dir(&cache).expect("a writable folder");
    let [old, new] = ["old", "new"].map(|name| cache.join(format!(".writing-{name}")));
    for (path, hours) in [(&old, 30), (&new, 1)] {
        let file = fs::File::create(path).expect("a writable folder");
        let ago = std::time::Duration::from_secs(hours * 3_600);
        file.set_modified(std::time::SystemTime::now() - ago).expect("a file of ours");
    }
    options(folder.path()).open().expect("drawn");
    assert!(!old.exists() && new.exists());
}
