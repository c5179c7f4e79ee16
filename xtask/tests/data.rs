//! Data that are not what they should be, as a person meets them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

const CONFIG: &str = "name = \"small\"\nseeds = [1]\nrounds = 4\ndelta = 1e-3\n\
                      evaluate_every = 2\n\
                      [sweep]\nnoise_multipliers = [0.4]\nclients_per_round = [5]\n\
                      [model]\nhidden = [8]\n";

/// A folder with a configuration, and a data folder with MNIST's three files: 200 pictures of 20
/// writers, a stroke of ink on each.
struct Bench {
    folder: TempDir,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir(folder.path().join("data")).expect("a data folder");
        fs::write(folder.path().join("c.toml"), CONFIG).expect("written");
        let bench = Self { folder };
        bench.write(0, false);
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The three files; picture 7 has class 7 plus `shift`, and ink is paper if `exchanged`.
    fn write(&self, shift: u32, exchanged: bool) {
        let words = |words: &[u32]| words.iter().flat_map(|word| word.to_be_bytes()).collect();
        let mut images: Vec<u8> = words(&[0x803, 200, 28, 28]);
        let mut labels: Vec<u8> = words(&[0x801, 200]);
        let mut writers: Vec<u8> = words(&[0xC02, 200, 8]);
        for row in 0..200_u32 {
            let class = (row + if row == 7 { shift } else { 0 }) % 10;
            let ink = |pixel: u32| if pixel / 28 == class + 5 { 250 } else { 0_u8 };
            images.extend((0..784).map(|at| if exchanged { 255 - ink(at) } else { ink(at) }));
            labels.push(class as u8);
            writers.extend::<Vec<u8>>(words(&[class, 0, row % 20, 0, 0, row, 0, 0]));
        }
        for (name, bytes) in [
            ("train-images-idx3-ubyte", images),
            ("train-labels-idx1-ubyte", labels),
            ("qmnist-train-labels-idx2-int", writers),
        ] {
            fs::write(self.path("data").join(name), bytes).expect("written");
        }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command.current_dir(self.folder.path()).args(arguments).args(["--data-dir", "data"]);
        command.output().expect("started")
    }

    fn cache(&self) -> PathBuf {
        let mut files = fs::read_dir(self.path("data/cache")).expect("a cache");
        files.next().expect("one file").expect("a file").path()
    }
}

#[track_caller]
fn refused(output: &Output, parts: &[&str]) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{error}");
    for part in parts {
        assert!(error.contains(part), "no {part:?} in {error}");
    }
}

#[track_caller]
fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).expect("text")
}

/// One pixel of the cache is altered, which nobody sees when it is opened: the check beside the
/// first round does, and nothing that came from the altered data is recorded.
#[test]
fn nothing_is_recorded_of_a_cache_that_was_altered() {
    let bench = Bench::new();
    stdout(&bench.run(&["sweep", "c.toml", "--out", "sound"]));
    let cache = bench.cache();
    let mut bytes = fs::read(&cache).expect("a cache");
    let last = bytes.len() - 1;
    bytes[last] ^= 0x10;
    fs::remove_file(&cache).expect("a writable folder");
    fs::write(&cache, &bytes).expect("a writable folder");

    let output = bench.run(&["sweep", "c.toml", "--out", "altered"]);
    let name = cache.file_name().expect("a name").to_str().expect("a plain name");
    refused(&output, &["error: ", name, "does not hold what was put into it", "Remove it"]);
    assert!(!String::from_utf8_lossy(&output.stdout).contains("Round "), "an evaluation");
    let cell = bench.path("altered/cells/z0.4-m5-s1");
    for file in ["metrics.jsonl", "ledger.jsonl", "model.safetensors"] {
        let text = fs::read_to_string(cell.join(file)).unwrap_or_default();
        assert!(text.is_empty(), "{file}: {text}");
    }
    refused(&bench.run(&["data", "info"]), &[name]);
    refused(&bench.run(&["data", "info", "--verify"]), &[name]);

    // Once it is removed the same command does what it should.
    fs::remove_file(&cache).expect("a writable folder");
    stdout(&bench.run(&["sweep", "--resume", "altered"]));
    for file in ["summary.csv", "evaluations.csv"] {
        let read = |folder: &str| fs::read(bench.path(folder).join(file)).expect(file);
        assert_eq!(read("altered"), read("sound"), "{file}");
    }
}

#[test]
fn resuming_on_other_data_says_what_is_different() {
    let bench = Bench::new();
    stdout(&bench.run(&["sweep", "c.toml", "--out", "run"]));
    bench.write(1, false);
    let output = bench.run(&["sweep", "--resume", "run"]);
    refused(&output, &["was begun on other data", "labels", "resume it with the data it had"]);
    bench.write(0, true);
    refused(&bench.run(&["sweep", "--resume", "run"]), &["but other pixels"]);
}

#[test]
fn info_shows_the_pixels_and_what_looks_odd() {
    let bench = Bench::new();
    let text = stdout(&bench.run(&["data", "info"]));
    assert!(text.contains("20 writers from train-images-idx3-ubyte (digits only)"), "{text}");
    assert!(text.contains("train    0.0196   1.0000   0.9650"), "{text}");
    assert!(!text.contains("look right"), "{text}");
    bench.write(0, true);
    let output = bench.run(&["data", "info"]);
    let text = stdout(&output);
    assert!(text.contains("train    0.0000   0.9804   0.0350"), "{text}");
    assert!(text.contains("does this look right?") && text.contains("1 ink"), "{text}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("1 ink"), "and every command warns");
}

#[test]
fn an_address_that_nobody_can_fetch_from() {
    let bench = Bench::new();
    for url in ["ftp://example.org/data", "example.org"] {
        let output = bench.run(&["data", "fetch", "--url", url]);
        refused(&output, &["error: cannot fetch from `", "https://"]);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!text.contains("same command") && !text.contains("attempts"), "{text}");
    }
}

#[test]
fn the_options_that_messages_name_exist() {
    let bench = Bench::new();
    for command in [&["sweep", "c.toml"][..], &["data", "info"], &["bench", "--rounds", "1"]] {
        let output = bench.run(&[command, &["--variant", "all"]].concat());
        refused(&output, &["--variant digits-only"]);
    }
    let output = bench.run(&["sweep", "c.toml", "--allow-empty-clients", "--out", "run"]);
    stdout(&output);
    let config = fs::read_to_string(Path::new(&bench.path("run")).join("config.toml"));
    assert!(config.expect("on record").contains("allow_empty_clients = true"));
}
