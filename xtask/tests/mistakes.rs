//! The tests of the tests: known mistakes in the privacy code are made on purpose, one at a time,
//! and every one must make an everyday test fail.
//!
//! ```sh
//! cargo test --package xtask --test mistakes -- --ignored --nocapture
//! ```
//!
//! builds `dp-agg` and `fed-sim` with their feature `mistakes` (see `dp_agg::mistake`), runs their
//! tests once as they are, then with each mistake until a test program fails, the quickest program
//! first, and prints which tests caught which mistake. `xtask/mistakes.md` holds that table.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use dp_agg::mistake::Mistake;

/// A test program and where it runs.
struct Program {
    name: String,
    path: PathBuf,
    folder: PathBuf,
}

/// Long comparisons of learning curves say nothing about privacy.
const LEFT_OUT: [&str; 2] = ["curves", "golden"];

/// Builds the test programs of the crates that know how to make mistakes.
fn build() -> Vec<Program> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let output = Command::new(env!("CARGO"))
        .current_dir(&workspace)
        .args(["test", "--no-run", "--message-format=json", "--package", "dp-agg"])
        .args(["--package", "fed-sim", "--features", "dp-agg/mistakes,fed-sim/mistakes"])
        .args(["--lib", "--tests"])
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo started");
    assert!(output.status.success(), "the build failed");
    let text = String::from_utf8(output.stdout).expect("cargo writes UTF-8");
    let mut programs = Vec::new();
    for line in text.lines() {
        let message: serde_json::Value = serde_json::from_str(line).expect("a line of JSON");
        let (Some(path), Some(manifest), Some(name)) = (
            message["executable"].as_str(),
            message["manifest_path"].as_str(),
            message["target"]["name"].as_str(),
        ) else {
            continue;
        };
        if message["profile"]["test"] == true && !LEFT_OUT.contains(&name) {
            let folder = Path::new(manifest).parent().expect("a folder").to_owned();
            programs.push(Program { name: name.to_owned(), path: path.into(), folder });
        }
    }
    assert!(programs.len() >= 10, "{} test programs", programs.len());
    programs
}

/// The tests of `program` that fail with this mistake (none made: with the code as it is).
fn failing(program: &Program, mistake: Option<Mistake>) -> Vec<String> {
    let mut command = Command::new(&program.path);
    command.current_dir(&program.folder).env_remove("FED_DP_MISTAKE");
    // The same random cases every time, and no note of those that fail.
    command.env("PROPTEST_RNG_SEED", "20261123").env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "1");
    command.env("RUST_BACKTRACE", "0");
    if let Some(mistake) = mistake {
        command.env("FED_DP_MISTAKE", mistake.name());
    }
    let output = command.output().expect("a test program");
    let text = String::from_utf8_lossy(&output.stdout);
    let failed: Vec<String> = text
        .lines()
        .filter_map(|line| line.strip_prefix("test ")?.strip_suffix(" ... FAILED"))
        .map(|name| format!("{}::{name}", program.name))
        .collect();
    assert_eq!(output.status.success(), failed.is_empty(), "{text}");
    failed
}

#[test]
#[ignore = "builds two crates anew and runs their tests two dozen times: minutes"]
fn every_known_mistake_is_caught() {
    let mut programs = build();
    programs.sort_by_cached_key(|program| {
        let begin = Instant::now();
        let failed = failing(program, None);
        assert!(failed.is_empty(), "without a mistake: {failed:?}");
        begin.elapsed()
    });
    let mut table = String::from("| mistake | caught by |\n|---|---|\n");
    let mut missed = Vec::new();
    for &mistake in Mistake::ALL {
        let caught = programs
            .iter()
            .map(|program| failing(program, Some(mistake)))
            .find(|failed| !failed.is_empty())
            .unwrap_or_default();
        if caught.is_empty() {
            missed.push(mistake.name());
        }
        let shown: Vec<String> = caught.iter().map(|test| format!("`{test}`")).collect();
        writeln!(table, "| `{}` | {} |", mistake.name(), shown.join(", ")).expect("text");
    }
    println!("{table}");
    assert!(missed.is_empty(), "nothing caught {missed:?}");
}

/// The table in the documentation names every mistake, so that none can be added unseen.
#[test]
fn the_documentation_knows_every_mistake() {
    let table = include_str!("../mistakes.md");
    for mistake in Mistake::ALL {
        assert!(table.contains(&format!("| `{}` |", mistake.name())), "{}", mistake.name());
    }
    assert!(Mistake::ALL.len() >= 15);
    // And this build makes none.
    assert!(Mistake::ALL.iter().all(|&mistake| !dp_agg::mistake::made(mistake)));
}
