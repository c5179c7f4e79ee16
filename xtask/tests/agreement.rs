//! Statement, summary, ledger and records are held against one another: whatever is altered so that
//! they differ is named, with exit code 3.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

const SMALL: &str = "name = \"small\"\nseeds = [1, 2]\nrounds = 6\ndelta = 1e-3\n\
                     evaluate_every = 2\n\
                     [sweep]\nnoise_multipliers = [0.4]\nclients_per_round = [5]\n\
                     [data]\nsource = \"synthetic\"\nsynthetic = { seed = 0, clients = 20 }\n\
                     [model]\nhidden = [8]\n";

const CELL: &str = "cells/z0.4-m5-s1";

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
        if !["account", "report"].contains(&arguments[0]) {
            command.args(["--data-dir", "data"]);
        }
        command.output().expect("started")
    }

    #[track_caller]
    fn succeeds(&self, arguments: &[&str]) {
        let output = self.run(arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Each way to look at the run refuses it, naming `parts`.
    #[track_caller]
    fn refused(&self, ways: &[&[&str]], parts: &[&str]) {
        for arguments in ways {
            let output = self.run(arguments);
            let error = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(3), "{arguments:?}: {error}");
            for part in parts {
                assert!(error.contains(part), "{arguments:?}: no {part:?} in {error}");
            }
        }
    }

    /// Alters a file, has a look, and puts it back.
    #[track_caller]
    fn altered(
        &self,
        file: &str,
        change: impl Fn(&str) -> Option<String>,
        ways: &[&[&str]],
        parts: &[&str],
    ) {
        let path = self.path(file);
        let sound = fs::read_to_string(&path).expect(file);
        match change(&sound) {
            Some(text) => {
                assert_ne!(text, sound, "{file}: nothing was altered");
                fs::write(&path, text).expect("written");
            }
            None => fs::remove_file(&path).expect("removed"),
        }
        self.refused(ways, parts);
        fs::write(&path, sound).expect("put back");
    }
}

const REPORT: &[&str] = &["report", "run"];
const RESUME: &[&str] = &["sweep", "--resume", "run"];
const ACCOUNT: &[&str] = &["account", "run"];
const EVERY: &[&[&str]] = &[REPORT, RESUME, ACCOUNT];

/// A statement with another value.
fn with(key: &str, value: Value) -> impl Fn(&str) -> Option<String> {
    let key = key.to_owned();
    move |text| {
        let mut tree: Value = serde_json::from_str(text).expect("JSON");
        tree[&*key] = value.clone();
        Some(serde_json::to_string_pretty(&tree).expect("JSON") + "\n")
    }
}

/// Takes the seal away, as if an older program had finished the run: then the files are all there is.
fn unsealed(bench: &Bench) {
    for cell in ["cells/z0.4-m5-s1", "cells/z0.4-m5-s2"] {
        let sums = bench.path("run").join(cell).join("SHA256SUMS");
        if sums.exists() {
            fs::remove_file(sums).expect("removed");
        }
        let status = bench.path("run").join(cell).join("status.json");
        let text = fs::read_to_string(&status).expect("a status");
        let mut tree: Value = serde_json::from_str(&text).expect("JSON");
        tree.as_object_mut().expect("an object").remove("seal");
        fs::write(&status, serde_json::to_string_pretty(&tree).expect("JSON")).expect("written");
    }
}

#[test]
fn a_statement_that_its_ledger_does_not_bear_out_is_refused() {
    let bench = Bench::new(SMALL);
    bench.succeeds(&["sweep", "c.toml", "--out", "run"]);
    let statement = &format!("run/{CELL}/privacy.json");
    // Sealed or not.
    bench.altered(statement, with("epsilon", 0.7.into()), EVERY, &["privacy.json"]);
    unsealed(&bench);
    EVERY.iter().for_each(|way| bench.succeeds(way));
    for (key, value, part) in [
        ("epsilon", Value::from(0.7), "it says epsilon = 0.7, but by ledger, configuration"),
        ("epsilon", "inf".into(), "it says epsilon = \"inf\""),
        ("delta", 1e-9.into(), "it says delta = 1e-9"),
        ("population", 4000.into(), "on its 4000 clients cost"),
        ("population", 2.into(), "it cannot be so"),
        ("rounds", 3.into(), "it says rounds = 3"),
        ("lost_rounds", 1.into(), "it says lost_rounds = 1"),
        ("neighbours", "zero_out_one".into(), "it says neighbours = \"zero_out_one\""),
        ("epsilon_of_all_runs", 1.into(), "it says epsilon_of_all_runs = 1"),
        ("epsilon_is", "release".into(), "it says epsilon_is = \"release\""),
        ("noise_source", "release noise: a lie".into(), "it says noise_source ="),
        ("not_covered", Value::Array(Vec::new()), "it says not_covered = []"),
        ("assumptions", "nothing".into(), "it says assumptions ="),
        ("exact", serde_json::json!({ "lower": 0.1, "upper": 0.2 }), "the true ε lies between 0.1"),
    ] {
        bench.altered(statement, with(key, value), &[REPORT], &["privacy.json", part]);
    }
    for (key, value, part) in [
        ("runs", Value::from(1), "it says epsilon_of_all_runs ="),
        ("tried", serde_json::json!({ "runs": 2, "epsilon": 1.0 }), "privacy.txt"),
    ] {
        bench.altered(statement, with(key, value), &[REPORT], &["privacy.json", part]);
    }
    // Where the words are those of another version, the numbers are held all the same.
    for (runs, part) in
        [(2, "the 2 runs of the experiment cost ε = 1.0000 together"), (1, "the 1 runs")]
    {
        let tried = serde_json::json!({ "runs": runs, "epsilon": 1.0 });
        let old = |text: &str| {
            with("program", "fed-dp 0.0".into())(text)
                .and_then(|text| with("tried", tried.clone())(&text))
        };
        bench.altered(statement, old, &[REPORT], &["privacy.json", part]);
    }
    // The price of one seed is that of the run.
    let one_seed = |text: &str| {
        let mut tree: Value = serde_json::from_str(text).expect("JSON");
        tree["epsilon_of_all_runs"] = tree["epsilon"].clone();
        tree["program"] = "fed-dp 0.0".into();
        with("runs", 1.into())(&tree.to_string())
    };
    let part = "it counts 1 seeds, but the experiment has 2";
    bench.altered(statement, one_seed, EVERY, &["privacy.json", part]);
    let text = &format!("run/{CELL}/privacy.txt");
    let lower = |text: &str| Some(text.replacen("guarantee: (", "guarantee: (0.", 1));
    bench.altered(text, lower, EVERY, &["privacy.txt", "it does not say what privacy.json"]);
    bench.altered(statement, |_| None, EVERY, &["privacy.json"]);
    bench.altered(statement, |_| Some("{".to_owned()), EVERY, &["privacy.json"]);
    // The folder of the run alone.
    let cell: &[&[&str]] = &[&["account", "run/cells/z0.4-m5-s1"]];
    bench.altered(statement, with("epsilon", 0.7.into()), cell, &["it says epsilon = 0.7"]);
    EVERY.iter().for_each(|way| bench.succeeds(way));
}

#[test]
fn records_that_differ_from_the_ledger_are_refused() {
    let bench = Bench::new(SMALL);
    bench.succeeds(&["sweep", "c.toml", "--out", "run"]);
    unsealed(&bench);
    let evaluations = &format!("run/{CELL}/evaluations.csv");
    let last = |text: &str, change: &dyn Fn(Vec<&str>) -> Vec<String>| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let row = lines.pop().expect("a row");
        lines.push(change(row.split(',').collect()).join(","));
        Some(lines.join("\n") + "\n")
    };
    let cheap = |text: &str| {
        last(text, &|mut row: Vec<&str>| {
            row[7] = "0.5";
            row.into_iter().map(str::to_owned).collect()
        })
    };
    bench.altered(evaluations, cheap, EVERY, &["evaluations.csv", "ε = 0.5 after 6 rounds"]);
    let shorter =
        |text: &str| Some(text[..text.trim_end().rfind('\n').expect("rows") + 1].to_owned());
    bench.altered(evaluations, shorter, EVERY, &["evaluations.csv"]);
    let metrics = &format!("run/{CELL}/metrics.jsonl");
    bench.altered(metrics, shorter, &[REPORT], &["metrics.jsonl", "it has 5 rounds"]);
    let other = |text: &str| Some(text.replace("\"simulation\"", "\"release\""));
    bench.altered(metrics, other, &[REPORT], &["metrics.jsonl"]);
    bench.altered(metrics, |_| None, EVERY, &["metrics.jsonl"]);
    let status = &format!("run/{CELL}/status.json");
    bench.altered(status, with("rounds", 5.into()), &[REPORT], &["the run is over after 5"]);
    bench.altered(status, with("run", "0".into()), &[REPORT, ACCOUNT], &["status.json"]);
    bench.altered(status, |_| None, EVERY, &["status.json"]);
    let part = "not as it was written";
    bench.altered(status, |_| Some("{".to_owned()), &[REPORT], &["status.json", part]);
    EVERY.iter().for_each(|way| bench.succeeds(way));
}

#[test]
fn a_summary_that_its_ledgers_do_not_bear_out_is_refused() {
    let bench = Bench::new(SMALL);
    bench.succeeds(&["sweep", "c.toml", "--out", "run"]);
    let sound = fs::read_to_string(bench.path("run/summary.csv")).expect("rows");
    let names: Vec<&str> = sound.lines().next().expect("names").split(',').collect();
    let place = names.iter().position(|name| *name == "epsilon").expect("a column");
    let epsilon = sound.lines().nth(1).expect("a row").split(',').nth(place).expect("ε").to_owned();
    let cheap = |text: &str| Some(text.replacen(&epsilon, "0.7", 1));
    bench.altered(
        "run/summary.csv",
        cheap,
        EVERY,
        &["summary.csv", "costs ε = 0.7, but by the ledgers"],
    );
    let shown = format!("{:.4}", (epsilon.parse::<f64>().expect("a number") * 1e4).ceil() / 1e4);
    let cheap = |text: &str| Some(text.replacen(&shown, "0.7000", 1));
    bench.altered(
        "run/summary.md",
        cheap,
        EVERY,
        &["summary.md", "costs ε = 0.7000, but by the ledgers"],
    );
    // The joint price under the table, and every other word of it.
    let words = |text: &str| Some(text.replacen("releasing all 2 runs", "releasing all 3 runs", 1));
    bench.altered("run/summary.md", words, EVERY, &["summary.md", "the records of its runs"]);
    fs::remove_file(bench.path("run/summary.md")).expect("removed");
    EVERY.iter().for_each(|way| bench.succeeds(way));
    assert!(bench.path("run/summary.md").exists());
}

/// The copy that `final` puts beside the table.
#[test]
fn a_final_statement_is_that_of_its_run() {
    let sweep = "[sweep]\nnoise_multipliers = [0.4]\nclients_per_round = [5]\n";
    let calibrate = "[calibrate]\ntarget_epsilon = 30\nbase_noise_multiplier = 0.4\n\
                     base_clients_per_round = 5\n";
    let bench = Bench::new(&SMALL.replace(sweep, calibrate));
    bench.succeeds(&["final", "c.toml", "--out", "run"]);
    let ways: &[&[&str]] = &[REPORT, ACCOUNT, &["final", "--resume", "run"]];
    bench.altered("run/privacy.json", with("epsilon", 0.7.into()), ways, &["run/privacy.json"]);
    let lower = |text: &str| Some(text.replacen("guarantee: (", "guarantee: (0.", 1));
    bench.altered("run/privacy.txt", lower, ways, &["run/privacy.txt"]);
    ways.iter().for_each(|way| bench.succeeds(way));
}

/// A run that has outgrown its summary and statement is no contradiction.
#[test]
fn a_run_that_goes_on_may_leave_its_summary_behind() {
    let bench = Bench::new(SMALL);
    let stopped = bench.run(&["sweep", "c.toml", "--out", "run", "--max-epsilon", "15"]);
    assert_eq!(stopped.status.code(), Some(4));
    bench.succeeds(REPORT);
    bench.succeeds(ACCOUNT);
    let old = fs::read(bench.path("run/summary.md")).expect("a table");
    let rows = fs::read(bench.path("run/summary.csv")).expect("rows");
    bench.succeeds(&["sweep", "--resume", "run", "--max-epsilon", "inf"]);
    fs::write(bench.path("run/summary.md"), old).expect("as before");
    fs::write(bench.path("run/summary.csv"), rows).expect("as before");
    bench.succeeds(ACCOUNT);
    bench.succeeds(REPORT);
}
