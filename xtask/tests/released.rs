//! Everything that the directory of a release holds, file by file and field by field, and why it
//! may be there. Whatever is a function of the clients' data without noise must be named by the
//! statement; a file or a field that is not in the list below fails the test.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

const SMALL: &str = "name = \"small\"\nseeds = [1]\nrounds = 4\ndelta = 1e-3\n\
                     evaluate_every = 2\nnoise = \"release\"\n\
                     [sweep]\nnoise_multipliers = [0.4]\nclients_per_round = [5]\n\
                     [data]\nsource = \"synthetic\"\nsynthetic = { seed = 0, clients = 20 }\n\
                     [model]\nhidden = [8]\n";

/// What whoever wrote the configuration wrote, or a function of it.
const ASKED: &str = "asked for";
/// About the program and the machine.
const PROGRAM: &str = "program";
/// N, m, q, and what follows from them: public by assumption.
const PUBLIC: &str = "are public";
/// Covered by ε: released with noise, or computed from what was.
const RELEASED: &str = "released";
const TEST: &str = "test metrics";
const KEYED: &str = "whether the data are those of another run";
const FAILED: &str = "that a round failed or training diverged";
const TIMES: &str = "how long rounds take";

/// Files with their fields, separated by spaces, and why they may be there.
const LIST: &[(&str, &str, &str)] = &[
    ("lock", "text", PROGRAM),
    ("config.toml", "text", ASKED),
    ("budget.json", "max_epsilon", ASKED),
    (
        "provenance.json",
        "version commit uncommitted_changes rustc build features.[] command.[] processor cores \
         memory_bytes learner jobs",
        PROGRAM,
    ),
    ("provenance.json", "started_unix_seconds", TIMES),
    ("provenance.json", "data.name data.synthetic data.variant data.why", ASKED),
    ("provenance.json", "data.clients", PUBLIC),
    ("provenance.json", "data.keyed_digest", KEYED),
    ("summary.md", "text", TEST),
    (
        "summary.csv",
        "noise_multiplier clients_per_round delta noise epsilon_is wanted_seeds",
        ASKED,
    ),
    ("summary.csv", "seeds runs", FAILED),
    ("summary.csv", "rounds clip_norm epsilon", RELEASED),
    ("summary.csv", "accuracy accuracy_sd loss loss_sd", TEST),
    ("figures/curves.svg", "text", TEST),
    ("figures/curves.png", "text", TEST),
    ("evaluations.csv", "Round NoiseMultiplier clients_per_round seed noise epsilon_is", ASKED),
    ("evaluations.csv", "clip_norm epsilon", RELEASED),
    ("evaluations.csv", "accuracy loss", TEST),
    ("cells/CELL/config.toml", "text", ASKED),
    ("cells/CELL/status.json", "run", ASKED),
    ("cells/CELL/status.json", "rounds", RELEASED),
    ("cells/CELL/status.json", "state", FAILED),
    ("cells/CELL/status.json", "seal", TEST),
    ("cells/CELL/SHA256SUMS", "text", TEST),
    ("cells/CELL/metrics.jsonl", "round noise", ASKED),
    (
        "cells/CELL/metrics.jsonl",
        "released.clip_norm released.next_clip_norm released.noise_stddev \
         released.aggregate_norm released.step",
        RELEASED,
    ),
    ("cells/CELL/timing.jsonl", "", TIMES),
    (
        "cells/CELL/evaluations.csv",
        "Round NoiseMultiplier clients_per_round seed noise epsilon_is",
        ASKED,
    ),
    ("cells/CELL/evaluations.csv", "clip_norm epsilon", RELEASED),
    ("cells/CELL/evaluations.csv", "accuracy loss", TEST),
    (
        "cells/CELL/ledger.jsonl",
        "version run index previous count salt hash event.kind event.event.kind",
        RELEASED,
    ),
    (
        "cells/CELL/ledger.jsonl",
        "event.event.events.[].kind event.event.events.[].noise_multiplier",
        ASKED,
    ),
    ("cells/CELL/ledger.jsonl", "event.probability", PUBLIC),
    ("cells/CELL/privacy.txt", "text", PUBLIC),
    ("cells/CELL/privacy.json", "population sampling", PUBLIC),
    (
        "cells/CELL/privacy.json",
        "epsilon epsilon_is delta setting covered unit neighbours mechanism rounds lost_rounds \
         accountant exact.lower exact.upper assumptions noise_source runs epsilon_of_all_runs \
         tried.runs tried.epsilon program keys run_number ledger_head not_covered.[]",
        RELEASED,
    ),
    ("cells/CELL/model.safetensors", "layout run_number rounds ledger_head tensors", RELEASED),
    (
        "cells/CELL/checkpoints/ROUND",
        "run keys run_number round server_steps aggregator.clip_norm ledger.lines ledger.head metrics.bytes \
         metrics.sha256 timing.bytes timing.sha256 params first",
        RELEASED,
    ),
    ("cells/CELL/checkpoints/ROUND", "health.rounds health.broken health.broken_last", FAILED),
    ("cells/CELL/checkpoints/ROUND", "evaluations.bytes evaluations.sha256", TEST),
];

struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new(config: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir(folder.path().join("data")).expect("a data folder");
        fs::write(folder.path().join("c.toml"), config).expect("written");
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_xtask"))
            .current_dir(self.folder.path())
            .args(arguments)
            .args(["--data-dir", "data"])
            .output()
            .expect("started")
    }
}

#[track_caller]
fn ended(output: &Output, code: i32) -> String {
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{error}");
    error
}

/// All files below a folder, by their paths from it.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("readable") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

/// The names of all values in a tree.
fn leaves(value: &Value, name: &str, found: &mut BTreeSet<String>) {
    let inner = |key: &str| if name.is_empty() { key.to_owned() } else { format!("{name}.{key}") };
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| leaves(value, &inner(key), found)),
        Value::Array(list) => list.iter().for_each(|value| leaves(value, &inner("[]"), found)),
        Value::Null => {}
        _ => {
            found.insert(name.to_owned());
        }
    }
}

/// The header of a safetensors file: its metadata, and the names of its tensors.
fn tensors(bytes: &[u8]) -> (serde_json::Map<String, Value>, Vec<String>) {
    let length = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes"));
    let end = 8 + usize::try_from(length).expect("a length");
    let header: Value = serde_json::from_slice(&bytes[8..end]).expect("a header");
    let mut header = header.as_object().expect("an object").clone();
    let metadata = header.remove("__metadata__").unwrap_or_default();
    (metadata.as_object().cloned().unwrap_or_default(), header.keys().cloned().collect())
}

/// What a file holds.
fn fields(path: &Path) -> BTreeSet<String> {
    let bytes = fs::read(path).expect("readable");
    let text = String::from_utf8_lossy(&bytes);
    let mut found = BTreeSet::new();
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("json") => leaves(&serde_json::from_str(&text).expect("JSON"), "", &mut found),
        Some("jsonl") => {
            for line in text.lines() {
                leaves(&serde_json::from_str(line).expect("JSON"), "", &mut found);
            }
        }
        Some("csv") => {
            let names = text.lines().next().expect("names");
            found.extend(names.split(',').map(str::to_owned));
        }
        Some("safetensors") => {
            let (metadata, _) = tensors(&bytes);
            found.extend(metadata.keys().cloned());
            found.insert("tensors".to_owned());
        }
        Some("checkpoint") => {
            let start = bytes.iter().position(|byte| *byte == b'\n').expect("a line") + 1;
            let (metadata, names) = tensors(&bytes[start..]);
            let state = metadata["state"].as_str().expect("text");
            leaves(&serde_json::from_str(state).expect("JSON"), "", &mut found);
            found.extend(names);
        }
        _ => {
            found.insert("text".to_owned());
        }
    }
    found
}

fn expected() -> BTreeMap<&'static str, BTreeSet<String>> {
    let mut list: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (file, names, _) in LIST {
        list.entry(file).or_default().extend(names.split_whitespace().map(str::to_owned));
    }
    list
}

/// A release that was stopped by its budget, so that its checkpoints are there.
#[test]
fn everything_in_the_directory_of_a_release_is_covered_or_named() {
    let bench = Bench::new(SMALL);
    ended(&bench.run(&["sweep", "c.toml", "--out", "run", "--max-epsilon", "15"]), 4);
    let run = bench.path("run");
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for path in files(&run) {
        let name = path.strip_prefix(&run).expect("inside").display().to_string();
        let mut name = name.replace("z0.4-m5-s1", "CELL");
        if let Some(at) = name.find("checkpoints/") {
            name = format!("{}ROUND", &name[..at + "checkpoints/".len()]);
        }
        // Of several checkpoints all fields count.
        found.entry(name).or_default().extend(fields(&path));
    }
    let expected = expected();
    let names = |list: Vec<&str>| list.join(" ");
    assert_eq!(
        names(found.keys().map(String::as_str).collect()),
        names(expected.keys().copied().collect()),
        "the files"
    );
    // What is known of the program depends on how it was built.
    let program: BTreeSet<&str> = LIST
        .iter()
        .filter(|(.., why)| *why == PROGRAM)
        .flat_map(|(_, names, _)| names.split_whitespace())
        .collect();
    for (file, fields) in &found {
        let known = |name: &&String| !program.contains(&***name);
        let (found, expected): (Vec<_>, Vec<_>) =
            (fields.iter().collect(), expected[&**file].iter().filter(known).collect());
        let strangers = found.iter().filter(|name| !self::expected()[&**file].contains(**name));
        assert_eq!(strangers.collect::<Vec<_>>(), Vec::<&&String>::new(), "{file}");
        let missing = expected.iter().filter(|name| !found.contains(name));
        assert_eq!(missing.collect::<Vec<_>>(), Vec::<&&String>::new(), "{file}");
    }

    // Whatever is not covered is named.
    let text = fs::read_to_string(run.join("cells/z0.4-m5-s1/privacy.json")).expect("said");
    let statement: Value = serde_json::from_str(&text).expect("JSON");
    let said = format!("{} {}", statement["not_covered"], statement["assumptions"]);
    for (file, fields, why) in LIST {
        let needs_no_name = [ASKED, PROGRAM, RELEASED].contains(why);
        assert!(needs_no_name || said.contains(why), "{file}: {fields}: no {why:?} in {said}");
    }
}

/// What a simulation writes down of its clients, a release does not.
#[test]
fn a_release_leaves_out_what_need_not_be_there() {
    let bench = Bench::new(SMALL);
    ended(&bench.run(&["sweep", "c.toml", "--out", "run"]), 0);
    fs::write(bench.path("s.toml"), SMALL.replace("\"release\"", "\"simulation\""))
        .expect("written");
    ended(&bench.run(&["sweep", "s.toml", "--out", "simulated"]), 0);
    let source = fs::read_to_string(bench.path("simulated/provenance.json")).expect("a record");
    let source: Value = serde_json::from_str(&source).expect("JSON");
    let digest = source["data"]["digest"].as_str().expect("a digest").to_owned();
    let examples = source["data"]["train_examples"].as_u64().expect("a number");
    let counts = format!("{examples} + ");
    let simulated = fs::read_to_string(bench.path("simulated/summary.md")).expect("a table");
    assert!(simulated.contains(&counts), "{simulated}");
    for path in files(&bench.path("run")) {
        let text = String::from_utf8_lossy(&fs::read(&path).expect("readable")).into_owned();
        for word in [&*digest, &counts, "diagnostics", "train_examples", "max_update_norm"] {
            assert!(!text.contains(word), "{word} in {}", path.display());
        }
    }
    let cell = bench.path("run/cells/z0.4-m5-s1");
    assert_eq!(fs::read(cell.join("timing.jsonl")).expect("a file"), b"");
    assert!(!bench.path("run/digest.key").exists() && bench.path("data/digest.key").is_file());

    // Asked for by name they are there, and the statement says so.
    let asked = SMALL.replacen("[sweep]", "uncovered = [\"diagnostics\"]\n[sweep]", 1);
    fs::write(bench.path("d.toml"), asked).expect("written");
    ended(&bench.run(&["sweep", "d.toml", "--out", "asked"]), 0);
    let cell = bench.path("asked/cells/z0.4-m5-s1");
    let read = |name: &str| fs::read_to_string(cell.join(name)).expect(name);
    assert_eq!(read("metrics.jsonl").matches("\"diagnostics\":{\"clients\":").count(), 4);
    assert_eq!(read("timing.jsonl").lines().count(), 4);
    assert!(read("privacy.json").contains("raw measurements"));
}

/// The digest under a key does what the digest did.
#[test]
fn a_release_is_resumed_on_its_data_and_on_no_other() {
    let bench = Bench::new(SMALL);
    let stop = ["sweep", "c.toml", "--resume", "run", "--max-epsilon", "15"];
    ended(&bench.run(&stop), 4);
    let more = ["sweep", "--resume", "run", "--max-epsilon", "inf"];
    let file = bench.path("run/provenance.json");
    let sound = fs::read_to_string(&file).expect("a record");
    // Other data under the same name: another digest.
    let recorded: Value = serde_json::from_str(&sound).expect("JSON");
    let digest = recorded["data"]["keyed_digest"].as_str().expect("a digest");
    let last = if digest.ends_with('0') { "1" } else { "0" };
    let other = format!("{}{last}", &digest[..digest.len() - 1]);
    fs::write(&file, sound.replace(digest, &other)).expect("written");
    let error = ended(&bench.run(&more), 3);
    assert!(error.contains("run was begun on other data"), "{error}");
    fs::write(&file, &sound).expect("put back");
    // Another key: nobody can tell, and it is said.
    let key = bench.path("data/digest.key");
    let kept = fs::read(&key).expect("a key");
    fs::write(&key, [7; 32]).expect("written");
    let error = ended(&bench.run(&stop), 4);
    assert!(error.contains("cannot be told"), "{error}");
    fs::write(&key, kept).expect("put back");
    let error = ended(&bench.run(&more), 0);
    assert!(!error.contains("cannot be told"), "{error}");
}
