//! The cache: the same data, mapped; made anew whenever it cannot be trusted.

use std::fs;
use std::path::{Path, PathBuf};

use fed_data::{Choice, DataError, Dataset, FederatedData, OpenOptions, SyntheticWriters, cache};

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
    assert!(matches!(cache::verify(&data), Err(DataError::Corrupt { .. })));
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
    assert!(matches!(error, DataError::Corrupt { .. }), "{error}");
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
