//! A committed file of two clients, read end to end, whole and in every state of damage.
#![cfg(feature = "readers")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use fed_data::{Choice, DataError, Dataset, FederatedData, OpenOptions, Source};

const NAMES: [&str; 2] = ["fed_emnist_digitsonly_train.h5", "fed_emnist_digitsonly_test.h5"];

fn fixture(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixture")).join(name)
}

fn open(path: &Path) -> Result<Dataset, DataError> {
    OpenOptions::new().choice(Choice::Path(path.to_owned())).cache(false).open()
}

#[test]
fn two_clients_end_to_end() {
    let data = open(&fixture("")).expect("the folder holds a data set");
    assert_eq!(data.train.num_clients(), 2);
    assert_eq!(data.train.client_id(1), "writer_1");
    assert_eq!(data.train.client(0).labels(), [7, 5, 7]);
    assert_eq!(data.train.client(1).labels(), [6, 1, 6]);
    assert_eq!(data.test.all_examples().labels(), [0, 9]);
    assert!(data.train.is_eight_bit());
    let mut picture = [0.0; 784];
    data.train.client(0).copy_row(0, &mut picture);
    assert_eq!(picture[0].to_bits(), 1.0_f32.to_bits(), "a corner is white paper");
    assert!(picture.iter().any(|&value| value < 0.3), "and there is ink");
    assert!(!data.source.synthetic, "what a file holds is taken at its word");
}

#[test]
fn the_archive_holds_the_same() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
    let mut archive = tar::Builder::new(encoder);
    for name in NAMES {
        archive.append_path_with_name(fixture(name), name).expect("in memory");
    }
    let packed = archive.into_inner().and_then(|encoder| encoder.finish()).expect("in memory");
    let path = folder.path().join("fed_emnist_digitsonly.tar.bz2");
    fs::File::create(&path)
        .and_then(|mut file| file.write_all(&packed))
        .expect("a writable folder");
    let (from_archive, from_files) = (open(&path), open(&fixture(NAMES[0])));
    let digest = from_archive.expect("a good archive").source.digest;
    assert_eq!(digest, from_files.expect("good files").source.digest);
    // Auto finds it by its name, and the cache gives the same.
    let options = OpenOptions::new().data_dir(folder.path());
    for _ in 0..2 {
        let auto = options.open().expect("it lies there");
        assert_eq!(auto.source.digest, digest);
        assert!(auto.source.why.contains("real data lies at"), "{}", auto.source.why);
    }
}

#[test]
fn truncated_and_damaged_hdf5() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let [train, test] = NAMES.map(|name| folder.path().join(name));
    fs::copy(fixture(NAMES[1]), &test).expect("a writable folder");
    let whole = fs::read(fixture(NAMES[0])).expect("the fixture");
    for length in (0..whole.len()).step_by(311).chain([whole.len() - 1]) {
        fs::write(&train, &whole[..length]).expect("a writable folder");
        let error = open(&train).expect_err("truncated");
        assert!(matches!(error, DataError::Corrupt { .. } | DataError::NoSplit { .. }), "{error}");
        assert!(error.to_string().contains(NAMES[0]), "{error}");
    }
    // Damage is an error or, where nothing looks at it, no harm; never a panic.
    let mut state = 7_u64;
    let (mut errors, mut silent) = (0, 0);
    for round in 0..400 {
        let mut bytes = whole.clone();
        for _ in 0..1 + round % 30 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let at = (state >> 33) as usize % bytes.len();
            bytes[at] = (state >> 20) as u8;
        }
        fs::write(&train, &bytes).expect("a writable folder");
        match open(&train) {
            Ok(_) => silent += 1,
            Err(_) => errors += 1,
        }
    }
    assert!(errors > silent, "{errors} errors, {silent} without effect");
}

#[test]
fn a_source_survives_a_record() {
    let source = open(&fixture("")).expect("a data set").source;
    let text = serde_json::to_string(&source).expect("strings and numbers");
    assert!(
        text.contains("\"synthetic\":false") && text.contains("\"variant\":\"digits_only\""),
        "{text}"
    );
    assert_eq!(serde_json::from_str::<Source>(&text).expect("as written"), source);
    for (text, choice) in [
        ("\"auto\"", Choice::Auto),
        ("\"synthetic\"", Choice::Synthetic),
        ("\"data/x.sqlite\"", Choice::Path("data/x.sqlite".into())),
    ] {
        assert_eq!(serde_json::from_str::<Choice>(text).expect("a string"), choice);
        assert_eq!(serde_json::to_string(&choice).expect("a string"), text);
    }
}
