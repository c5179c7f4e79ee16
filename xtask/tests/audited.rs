//! `--audit` as a person meets it.

#![cfg(unix)]

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use tempfile::TempDir;

const SMALL: &str = "name = \"small\"\nseeds = [1, 2]\nrounds = 12\ndelta = 1e-3\n\
                     evaluate_every = 6\n\
                     [sweep]\nnoise_multipliers = [0.0, 0.4]\nclients_per_round = [5]\n\
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
        Command::new(env!("CARGO_BIN_EXE_xtask"))
            .current_dir(self.folder.path())
            .args(arguments)
            .args(["--data-dir", "data"])
            .output()
            .expect("started")
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.path(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
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

/// On the screen, in the statement, in the summary and in the records; and the run says of itself
/// that it was audited.
#[test]
fn an_audit_stands_beside_epsilon_everywhere() {
    let bench = Bench::new(SMALL);
    let said = succeeded(&bench.run(&["sweep", "c.toml", "--audit", "--out", "run"]));
    assert_eq!(said.matches("\nAudit: ε looks like ").count(), 4, "{said}");
    assert!(said.contains("ε audited |"), "{said}");
    for row in said.lines().filter(|line| line.starts_with('|')) {
        assert!(row.chars().count() <= 80, "wider than a terminal: {row}");
    }
    assert_eq!(said.matches("could have refuted at most").count(), 4, "{said}");
    assert!(bench.read("run/summary.csv").contains("audited_could_refute"));
    assert!(bench.read("run/config.toml").contains("[audit]\nconfidence = 0.95"));
    assert!(bench.read(&format!("run/{CELL}/config.toml")).contains("[audit]"));
    assert!(bench.read("run/summary.csv").contains("audited_final_model"));
    let statement = bench.read(&format!("run/{CELL}/privacy.json"));
    assert!(statement.contains("\"audit\": {") && statement.contains("\"tried\""), "{statement}");
    assert!(bench.read(&format!("run/{CELL}/audit.json")).contains("\"final_model\""));
    let canaries = bench.read(&format!("run/{CELL}/canaries.csv"));
    assert!(canaries.starts_with("canary,included,final_cosine,largest_cosine,evidence\n"));
    assert_eq!(canaries.lines().count(), 1001);

    // The record is enough to repeat it, and the flag says the same as the section.
    succeeded(&bench.run(&["sweep", "run/config.toml", "--out", "again", "--threads", "1"]));
    for file in ["audit.json", "canaries.csv", "metrics.jsonl", "privacy.json"] {
        let file = format!("{CELL}/{file}");
        assert!(
            bench.read(&format!("run/{file}")) == bench.read(&format!("again/{file}")),
            "{file}"
        );
    }

    // Without the flag there is nothing of it; it is another run, with cohorts of its own.
    succeeded(&bench.run(&["sweep", "c.toml", "--out", "plain"]));
    for file in ["config.toml", "summary.csv", "summary.md", &format!("{CELL}/privacy.json")] {
        assert!(!bench.read(&format!("plain/{file}")).contains("audit"), "{file}");
    }
    assert!(!bench.path("plain").join(CELL).join("audit.json").exists());
    let first = |run: &str| {
        let text = bench.read(&format!("{run}/{CELL}/metrics.jsonl"));
        let line: serde_json::Value =
            serde_json::from_str(text.lines().next().expect("a round")).expect("JSON");
        line["diagnostics"].to_string()
    };
    assert_ne!(first("run"), first("plain"));
}

#[test]
fn an_audited_run_is_resumed_as_what_it_is() {
    let bench = Bench::new(&SMALL.replace("seeds = [1, 2]", "seeds = [1]"));
    succeeded(&bench.run(&["sweep", "c.toml", "--audit", "--out", "whole"]));
    let budget = ["--audit", "--max-epsilon", "12", "--resume", "run"];
    let stopped = bench.run(&[&["sweep", "c.toml"], &budget[..]].concat());
    refused(&stopped, 4, &["the privacy budget is spent"]);
    // The run of before was audited: as another one it is not taken up.
    refused(&bench.run(&["sweep", "c.toml", "--resume", "run"]), 3, &["audit = ", "not absent"]);
    succeeded(&bench.run(&["sweep", "--resume", "run", "--max-epsilon", "inf"]));
    for file in ["audit.json", "canaries.csv", "metrics.jsonl", "model.safetensors"] {
        let read = |run: &str| fs::read(bench.path(run).join(CELL).join(file)).expect(file);
        assert!(read("run") == read("whole"), "{file} differs");
    }
    // And one that was not audited does not become so on the way.
    succeeded(&bench.run(&["sweep", "c.toml", "--out", "plain"]));
    let late = bench.run(&["sweep", "c.toml", "--audit", "--resume", "plain"]);
    refused(&late, 3, &["audit = absent"]);
}

#[test]
fn what_cannot_be_audited_is_refused_before_anything_is_written() {
    let fixed = SMALL.replace("[sweep]", "sampling = \"fixed_size\"\n[sweep]");
    let bench = Bench::new(&fixed.replace("[0.0, 0.4]", "[0.0]"));
    let output = bench.run(&["sweep", "c.toml", "--audit", "--out", "run"]);
    refused(&output, 3, &["c.toml", "[audit] needs sampling = \"poisson\""]);
    assert!(!bench.path("run").exists());
    for (section, part) in [
        ("[audit]\ncanaries = 3\n", "canaries must be a whole number from 20 to 100000, not 3"),
        (
            "[audit]\nconfidence = 95\n",
            "confidence must be a number between 0 and 1, without these, not 95",
        ),
        ("[audit]\ncanarys = 30\n", "did you mean `canaries`?"),
    ] {
        let bench = Bench::new(&(SMALL.to_owned() + section));
        refused(&bench.run(&["sweep", "c.toml", "--out", "run"]), 3, &[part]);
    }
}
