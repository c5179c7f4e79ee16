//! Runs that are over: what they left is what they ended with, or the program says what is not.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use fed_sim::weights;
use serde_json::Value;
use tempfile::TempDir;

const SMALL: &str = "name = \"small\"\nseeds = [1]\nrounds = 4\ndelta = 1e-3\n\
                     evaluate_every = 2\n\
                     [sweep]\nnoise_multipliers = [0.4]\nclients_per_round = [5]\n\
                     [data]\nsource = \"synthetic\"\nsynthetic = { seed = 0, clients = 20 }\n\
                     [model]\nhidden = [8]\n";

const CELL: &str = "run/cells/z0.4-m5-s1";

struct Bench {
    folder: TempDir,
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
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command.current_dir(self.folder.path()).args(arguments);
        if arguments[0] == "sweep" {
            command.args(["--data-dir", "data"]);
        }
        command.output().expect("started")
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.path(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
    }

    fn json(&self, file: &str) -> Value {
        serde_json::from_str(&self.read(file)).expect("JSON")
    }
}

#[track_caller]
fn succeeded(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).expect("text")
}

#[track_caller]
fn refused(output: &Output, code: i32, parts: &[&str]) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{error}");
    for part in parts {
        assert!(error.contains(part), "no {part:?} in {error}");
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let path = entry.expect("readable").path();
        let target = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).expect("copied");
        }
    }
}

/// Every file of a finished run, lost and altered: found by each command that speaks of the run.
#[test]
fn a_finished_run_is_held_to_everything_that_it_ended_with() {
    let bench = Bench::new(&(SMALL.to_owned() + "[audit]\ncanaries = 20\n"));
    succeeded(&bench.run(&["sweep", "c.toml", "--out", "run"]));
    let commands = [&["sweep", "--resume", "run"][..], &["report", "run"], &["account", "run"]];
    let mut files: Vec<String> = fs::read_dir(bench.path(CELL))
        .expect("a folder")
        .map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned())
        .collect();
    files.sort();
    let list = [
        "SHA256SUMS",
        "audit.json",
        "canaries.csv",
        "config.toml",
        "evaluations.csv",
        "ledger.jsonl",
        "metrics.jsonl",
        "model.safetensors",
        "privacy.json",
        "privacy.txt",
        "status.json",
        "timing.jsonl",
    ];
    assert_eq!(files, list, "and no checkpoints, which nobody needs any more");
    // Each harm meets one of the commands, each command many of the harms.
    let mut next = commands.iter().cycle();
    for file in files {
        let path = bench.path(CELL).join(&file);
        let sound = fs::read(&path).expect("there");
        fs::remove_file(&path).expect("removed");
        refused(&bench.run(next.next().expect("a cycle")), 3, &[&file]);
        let harmed =
            if file == "status.json" { b"{}".to_vec() } else { [&sound[..], b"\n"].concat() };
        fs::write(&path, harmed).expect("altered");
        refused(&bench.run(next.next().expect("a cycle")), 3, &[&file]);
        fs::write(&path, sound).expect("put back");
    }
    let said = succeeded(&bench.run(&["sweep", "--resume", "run"]));
    assert!(said.contains("Finished already"), "{said}");
    succeeded(&bench.run(&["report", "run"]));
    // The list is in the form that others can check.
    let sums = bench.read(&format!("{CELL}/SHA256SUMS"));
    assert_eq!(sums.lines().count(), list.len() - 2, "{sums}");
    assert!(sums.lines().all(|line| line.len() > 66 && line[64..].starts_with("  ")), "{sums}");
}

/// A run that an older version finished has no seal. It is read, and held to having its files.
#[test]
fn a_run_without_a_seal_is_read() {
    let bench = Bench::new(SMALL);
    succeeded(&bench.run(&["sweep", "c.toml", "--out", "run"]));
    let status = bench.path(CELL).join("status.json");
    let mut old = bench.json(&format!("{CELL}/status.json"));
    old.as_object_mut().expect("an object").remove("seal").expect("a seal");
    fs::write(&status, old.to_string()).expect("written");
    refused(&bench.run(&["report", "run"]), 3, &["status.json", "SHA256SUMS"]);
    fs::remove_file(bench.path(CELL).join("SHA256SUMS")).expect("removed");
    succeeded(&bench.run(&["report", "run"]));
    succeeded(&bench.run(&["sweep", "--resume", "run"]));
    let evaluations = bench.path(CELL).join("evaluations.csv");
    let sound = bench.read(&format!("{CELL}/evaluations.csv"));
    let rows: Vec<&str> = sound.lines().collect();
    for (kept, part) in [(1, "no evaluation"), (2, "after 0 rounds")] {
        fs::write(&evaluations, rows[..kept].join("\n") + "\n").expect("cut");
        refused(&bench.run(&["report", "run"]), 3, &["evaluations.csv", part]);
    }
    fs::write(&evaluations, sound).expect("put back");
    fs::remove_file(bench.path(CELL).join("model.safetensors")).expect("removed");
    refused(&bench.run(&["report", "run"]), 3, &["model.safetensors", "gone"]);
}

/// A copy of a run beside it is no second seed.
#[test]
fn a_folder_bears_the_name_of_its_run() {
    let bench = Bench::new(SMALL);
    succeeded(&bench.run(&["sweep", "c.toml", "--out", "run"]));
    for (name, parts) in [
        ("z0.4-m5-s2", &["z0.4-m5-s2", "holds the run z0.4-m5-s1"][..]),
        ("copy of z0.4-m5-s1", &["copy of", "move it out"]),
    ] {
        let copied = bench.path("run/cells").join(name);
        copy(&bench.path(CELL), &copied);
        refused(&bench.run(&["report", "run"]), 3, parts);
        refused(&bench.run(&["account", "run"]), 3, parts);
        fs::remove_dir_all(copied).expect("removed");
    }
    // A run of another experiment, under its own name.
    let other = Bench::new(&SMALL.replace("seeds = [1]", "seeds = [7]"));
    succeeded(&other.run(&["sweep", "c.toml", "--out", "run"]));
    copy(&other.path("run/cells/z0.4-m5-s7"), &bench.path("run/cells/z0.4-m5-s7"));
    refused(&bench.run(&["report", "run"]), 3, &["z0.4-m5-s7", "no run of the experiment"]);
    fs::remove_dir_all(bench.path("run/cells/z0.4-m5-s7")).expect("removed");
    succeeded(&bench.run(&["report", "run"]));
}

/// Every setting has a row, whatever became of its runs.
#[test]
fn no_setting_leaves_the_table() {
    let bench = Bench::new(
        &SMALL.replace("seeds = [1]", "seeds = [1, 2]").replace("[0.4]", "[0.2, 0.3, 0.4]"),
    );
    succeeded(&bench.run(&["sweep", "c.toml", "--out", "run"]));
    let table = bench.read("run/summary.md");
    assert!(!table.contains("runs |"), "all of them are finished: {table}");
    fs::remove_dir_all(bench.path("run/cells/z0.3-m5-s1")).expect("removed");
    for seed in [1, 2] {
        let cell = bench.path(&format!("run/cells/z0.4-m5-s{seed}"));
        let status = cell.join("status.json");
        let text = fs::read_to_string(&status).expect("a status");
        let now = if seed == 1 { "diverged" } else { "running" };
        fs::write(&status, text.replace("finished", now)).expect("written");
    }
    succeeded(&bench.run(&["report", "run"]));
    let table = bench.read("run/summary.md");
    // Its numbers, and what became of its runs: two tables.
    let rows = |z: &str| {
        let start = format!("|   {z} ");
        let rows: Vec<&str> = table.lines().filter(|line| line.starts_with(&start)).collect();
        <[&str; 2]>::try_from(rows).unwrap_or_else(|rows| panic!("{z}: {rows:?} in {table}"))
    };
    assert!(rows("0.2")[1].ends_with(" finished |"), "{table}");
    assert!(rows("0.3")[1].ends_with(" 1 finished, 1 missing |"), "{table}");
    assert!(rows("0.4")[0].contains(" - |"), "{table}");
    assert!(rows("0.4")[1].ends_with(" 1 diverged, 1 unfinished |"), "{table}");
    let rows = bench.read("run/summary.csv");
    assert_eq!(rows.lines().count(), 4, "{rows}");
}

/// Updates that are not finite add nothing, so the model stays finite and looks like a result. It is
/// none: said at the first such round, by the exit code, in the status and in the table; and the
/// other runs go on.
#[test]
fn a_run_whose_clients_all_break_has_diverged() {
    let config = SMALL
        .replace("[0.4]", "[0.3, 0.4]")
        .replace("[model]", "[client]\nlearning_rate = 1e30\n[model]");
    let bench = Bench::new(&config);
    let output = bench.run(&["sweep", "c.toml", "--out", "run"]);
    refused(&output, 5, &["2 runs did not finish", "z0.3-m5-s1", "most clients sent updates"]);
    let error = String::from_utf8_lossy(&output.stderr);
    let warnings = error.matches("most clients of the round sent updates that are not").count();
    assert_eq!(warnings, 2, "once a run: {error}");
    assert_eq!(bench.json(&format!("{CELL}/status.json"))["state"], "diverged");
    let table = bench.read("run/summary.md");
    assert_eq!(table.matches("| diverged |").count(), 2, "{table}");
    let again = bench.run(&["sweep", "--resume", "run"]);
    refused(&again, 5, &["z0.4-m5-s1: diverged before"]);
}

/// A release that is put back to where it was releases something else: the same number, another
/// history. Both statements and both models say which they are.
#[test]
fn two_histories_of_one_release_are_told_apart() {
    let bench = Bench::new(&SMALL.replace("[sweep]", "noise = \"release\"\n[sweep]"));
    let output = bench.run(&["sweep", "c.toml", "--out", "run", "--max-epsilon", "0.1"]);
    refused(&output, 4, &["the privacy budget is spent"]);
    let go = ["sweep", "--resume", "run", "--max-epsilon", "inf"];
    copy(&bench.path("run"), &bench.path("before"));
    succeeded(&bench.run(&go));
    copy(&bench.path("run"), &bench.path("first"));
    fs::remove_dir_all(bench.path("run")).expect("removed");
    fs::rename(bench.path("before"), bench.path("run")).expect("put back");
    succeeded(&bench.run(&go));

    let one = bench.json("first/cells/z0.4-m5-s1/privacy.json");
    let two = bench.json(&format!("{CELL}/privacy.json"));
    assert_eq!(one["run_number"], two["run_number"], "it is the same run");
    assert_eq!(one["epsilon"], two["epsilon"], "each states the price of one");
    assert_ne!(one["ledger_head"], two["ledger_head"], "but they are two releases");
    let origin = |cell: &str| {
        let path = bench.path(cell).join("model.safetensors");
        weights::origin(&path).expect("readable").expect("it says")
    };
    for (cell, said) in [("first/cells/z0.4-m5-s1", &one), (CELL, &two)] {
        let origin = origin(cell);
        assert_eq!(origin.run_number.expect("a number").to_string(), said["run_number"]);
        assert_eq!(
            (origin.rounds, &*origin.ledger_head),
            (4, said["ledger_head"].as_str().expect("text"))
        );
        let number = said["run_number"].as_str().expect("text");
        let ledger = bench.read(&format!("{cell}/ledger.jsonl"));
        assert!(ledger.lines().all(|line| line.contains(&format!("\"run\":\"{number}\""))));
        assert!(bench.read(&format!("{cell}/privacy.txt")).contains(number));
    }
    // The ledger of the one is refused beside the statement of the other.
    fs::copy(
        bench.path("first/cells/z0.4-m5-s1/ledger.jsonl"),
        bench.path(CELL).join("ledger.jsonl"),
    )
    .expect("copied");
    refused(&bench.run(&["account", "run"]), 3, &["ledger.jsonl"]);
    refused(&bench.run(&["sweep", "--resume", "run"]), 3, &["ledger.jsonl", "Put the file back"]);
    // Another run of the same configuration has another number.
    succeeded(&bench.run(&["sweep", "c.toml", "--out", "again"]));
    let again = bench.json("again/cells/z0.4-m5-s1/privacy.json");
    assert_ne!(again["run_number"], one["run_number"]);
}
