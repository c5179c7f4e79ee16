//! The command line as a person meets it: what it prints, what it writes, how it refuses.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use assert_cmd::Command;
use tempfile::TempDir;

const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// A command in a folder of its own, with a data folder that holds nothing.
struct Bench {
    folder: TempDir,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir(folder.path().join("data")).expect("a data folder");
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).expect("written");
        path
    }

    /// Runs the program; `--data-dir` keeps it away from data that happen to lie about.
    fn run(&self, arguments: &[&str]) -> Output {
        Command::cargo_bin("xtask")
            .expect("built")
            .current_dir(self.folder.path())
            .args(arguments)
            .args(["--data-dir", "data"])
            .output()
            .expect("started")
    }
}

fn config(name: &str) -> String {
    Path::new(WORKSPACE).join("configs").join(name).display().to_string()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

/// The program must have refused with `code`, naming all `parts`, and written nothing to stdout.
#[track_caller]
fn refused(output: &Output, code: i32, parts: &[&str]) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{error}");
    assert!(error.starts_with("error: "), "{error}");
    for part in parts {
        assert!(error.contains(part), "no {part:?} in {error}");
    }
}

const SMALL: &str = "name = \"small\"\nseeds = [1]\nrounds = 2\ndelta = 1e-3\n\
                     [sweep]\nnoise_multipliers = [0.4]\nclients_per_round = [5]\n\
                     [data]\nsource = \"synthetic\"\nsynthetic = { seed = 0, clients = 20 }\n\
                     [model]\nhidden = [8]\n";

#[test]
fn the_smoke_sweep_writes_a_complete_run_directory() {
    let bench = Bench::new();
    let output = bench.run(&["sweep", &config("smoke.toml"), "--out", "run"]);
    let text = stdout(&output);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("Starting training with noise multiplier: 0.4 (seed 2)"), "{text}");
    assert!(text.contains("Round   0: accuracy 0."), "{text}");
    assert!(text.contains("Round   4: accuracy 0."), "{text}");
    assert!(text.to_lowercase().contains("synthetic"), "the stand-in is named: {text}");
    for file in [
        "config.toml",
        "provenance.json",
        "summary.md",
        "summary.csv",
        "evaluations.csv",
        "figures/curves.svg",
        "figures/curves.png",
        "cells/z0-m8-s1/metrics.jsonl",
        "cells/z0.4-m8-s2/ledger.jsonl",
        "cells/z0.4-m8-s2/privacy.json",
        "cells/z0.4-m8-s2/model.safetensors",
        "cells/z0.4-m8-s2/evaluations.csv",
    ] {
        let size = fs::metadata(bench.path("run").join(file)).map_or(0, |meta| meta.len());
        assert!(size > 0, "{file} is missing or empty");
    }
    let svg = fs::read_to_string(bench.path("run/figures/curves.svg")).expect("a figure");
    assert!(svg.starts_with("<svg"), "{}", &svg[..80.min(svg.len())]);
    let table = fs::read_to_string(bench.path("run/summary.md")).expect("a table");
    assert!(table.contains("infinite") && table.contains("synthetic"), "{table}");
    let rows = fs::read_to_string(bench.path("run/evaluations.csv")).expect("rows");
    assert_eq!(rows.lines().count(), 1 + 4 * 3, "three evaluations of four runs:\n{rows}");

    // The record is enough to repeat the run, bit for bit: everything but the times is equal.
    let resolved = bench.path("run/config.toml").display().to_string();
    let again = bench.run(&["sweep", &resolved, "--out", "again", "--threads", "3"]);
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));
    for file in [
        "evaluations.csv",
        "config.toml",
        "cells/z0.4-m8-s2/metrics.jsonl",
        "cells/z0.4-m8-s2/ledger.jsonl",
        "cells/z0.4-m8-s2/model.safetensors",
    ] {
        let read = |run: &str| fs::read(bench.path(run).join(file)).expect("a record");
        assert!(read("run") == read("again"), "{file} differs");
    }

    // And the report can be written again.
    let report = Command::cargo_bin("xtask")
        .expect("built")
        .current_dir(bench.folder.path())
        .args(["report", "run"])
        .output()
        .expect("started");
    assert!(report.status.success(), "{}", String::from_utf8_lossy(&report.stderr));
    assert!(stdout(&report).contains("noise multiplier"));
}

#[test]
fn calibrate_prints_the_tutorials_answer_and_with_v_the_whole_search() {
    let bench = Bench::new();
    let population = "[data]\nsource = \"synthetic\"\n";
    let text = format!(
        "name = \"c\"\nseeds = [1]\nrounds = 100\ndelta = 1e-5\n[calibrate]\ntarget_epsilon = 2.0\n\
         base_noise_multiplier = 0.5\nbase_clients_per_round = 50\n{population}"
    );
    let file = bench.file("c.toml", &text).display().to_string();
    let brief = stdout(&bench.run(&["calibrate", &file]));
    assert!(brief.contains("use 120 clients per round with noise multiplier 1.2 "), "{brief}");
    assert_eq!(brief.lines().count(), 1, "{brief}");
    let verbose = stdout(&bench.run(&["calibrate", &file, "-v"]));
    let tried: Vec<&str> = verbose
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter(|word| word.parse::<u32>().is_ok())
        .collect();
    // The first number is the line with the rounds.
    assert_eq!(tried[1..], ["50", "100", "200", "150", "125", "112", "118", "121", "119", "120"]);

    // A δ at which a whole client could be released is not passed over in silence.
    let loose = bench.file("loose.toml", &text.replace("delta = 1e-5", "delta = 1e-3"));
    let warned = stdout(&bench.run(&["calibrate", &loose.display().to_string()]));
    assert!(warned.contains("Warning: δ = 0.001 is not below 1/population"), "{warned}");

    let greedy = text.replace("target_epsilon = 2.0", "target_epsilon = 1.0");
    let file = bench.file("greedy.toml", &greedy).display().to_string();
    let output = bench.run(&["calibrate", &file]);
    refused(&output, 3, &["ε = 1 cannot be met", "3383 clients", "1.215"]);
}

#[test]
fn final_states_its_guarantee_in_full() {
    let bench = Bench::new();
    let text = "name = \"f\"\nseeds = [1, 2]\nrounds = 3\ndelta = 1e-3\n\
                [calibrate]\ntarget_epsilon = 4.0\nbase_noise_multiplier = 0.6\n\
                base_clients_per_round = 10\n[data]\nsource = \"synthetic\"\n\
                synthetic = { seed = 0, clients = 200 }\n[model]\nhidden = [8]\n";
    let file = bench.file("f.toml", text).display().to_string();
    let output = bench.run(&["final", &file, "--out", "run"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = stdout(&output);
    for part in [
        "-differential privacy of the final model",
        "one user",
        "adding or removing one user",
        "Poisson",
        "Rényi",
        "not covered",
        "2; releasing all of their runs costs",
    ] {
        assert!(said.contains(part), "no {part:?} in {said}");
    }
    let statement = fs::read_to_string(bench.path("run/privacy.json")).expect("a statement");
    assert!(statement.contains("\"epsilon\""), "{statement}");
}

#[test]
fn a_typo_names_the_nearest_key_and_the_line() {
    let bench = Bench::new();
    let file = bench.file("typo.toml", &SMALL.replace("noise_multipliers", "noise_multiplyers"));
    let output = bench.run(&["sweep", &file.display().to_string()]);
    refused(
        &output,
        3,
        &["typo.toml", "noise_multiplyers", "line 6", "did you mean `noise_multipliers`?"],
    );
    for (wrong, right) in [("hidden", "hiden"), ("seeds", "seads"), ("rounds", "round")] {
        let file = bench.file("typo.toml", &SMALL.replacen(wrong, right, 1));
        let output = bench.run(&["sweep", &file.display().to_string()]);
        refused(&output, 3, &[right, &format!("did you mean `{wrong}`?")]);
    }
}

#[test]
fn values_out_of_range_are_refused_before_anything_is_written() {
    let bench = Bench::new();
    for (from, to, parts) in [
        ("delta = 1e-3", "delta = 2.0", &["delta", "2", "line 4"][..]),
        ("[0.4]", "[-0.4]", &["noise_multipliers must be a number from 0", "-0.4"]),
        ("rounds = 2", "rounds = 0", &["rounds", "line 3"]),
        ("[5]", "[0]", &["clients_per_round", "0"]),
        ("[5]", "[21]", &["21", "20"]),
        ("seeds = [1]", "seeds = []", &["seeds"]),
        ("[0.4]", "[0.4, 0.4]", &["0.4 twice"]),
        ("hidden = [8]", "hidden = [0]", &["hidden"]),
        ("name = \"small\"", "name = \"../up\"", &["../up"]),
        ("[model]", "[client]\nlearning_rate = -1\n[model]", &["learning_rate = -1"]),
        (
            "[model]",
            "[server]\noptimizer = \"sgd\"\nlearning_rate = 1\nmomentum = 2\n[model]",
            &["momentum = 2"],
        ),
        // Half a client of noise on the count leaves nothing for the updates.
        ("[0.4]", "[0.5]", &["0.5"]),
    ] {
        let text = SMALL.replacen(from, to, 1);
        assert_ne!(text, SMALL, "{from} is not in the configuration");
        let file = bench.file("bad.toml", &text).display().to_string();
        let output = bench.run(&["sweep", &file, "--out", "run"]);
        refused(&output, 3, parts);
        assert!(!bench.path("run").exists(), "{to}: something was written");
    }
}

#[test]
fn files_that_are_not_what_they_should_be_are_named() {
    let bench = Bench::new();
    let output = bench.run(&["sweep", "nowhere.toml"]);
    refused(&output, 3, &["nowhere.toml", "cannot read"]);
    let output = bench.run(&["sweep", "data"]);
    refused(&output, 3, &["data is a folder"]);
    let small = bench.file("small.toml", SMALL).display().to_string();
    let output = bench.run(&["sweep", &small, "--data", "nowhere.sqlite"]);
    refused(&output, 3, &["nowhere.sqlite"]);
    let junk = bench.file("junk.sqlite", "not a database at all").display().to_string();
    let output = bench.run(&["sweep", &small, "--data", &junk]);
    refused(&output, 3, &["junk.sqlite"]);
    let output = bench.run(&["final", &small]);
    refused(&output, 3, &["[calibrate]"]);
}

#[test]
fn nothing_is_overwritten() {
    let bench = Bench::new();
    let small = bench.file("small.toml", SMALL).display().to_string();
    let first = bench.run(&["sweep", &small, "--out", "run"]);
    assert!(first.status.success(), "{}", String::from_utf8_lossy(&first.stderr));
    let before = fs::read(bench.path("run/evaluations.csv")).expect("a record");
    let output = bench.run(&["sweep", &small, "--out", "run"]);
    refused(&output, 3, &["run", "exists and is not empty"]);
    assert_eq!(fs::read(bench.path("run/evaluations.csv")).expect("a record"), before);
    let output = bench.run(&["sweep", &small, "--out", "small.toml"]);
    refused(&output, 3, &["small.toml", "not a folder"]);
}

#[test]
fn usage_errors_exit_with_two() {
    let bench = Bench::new();
    let output = bench.run(&["sweep", "a.toml", "--backend", "gpu"]);
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("wgpu"), "{error}");
    assert_eq!(bench.run(&["sweeep"]).status.code(), Some(2));
}

/// Ctrl-C ends a run after the round, with exit code 130 and everything so far on disk.
#[cfg(unix)]
#[test]
fn ctrl_c_keeps_what_was_written_and_exits_with_130() {
    use std::io::{BufRead, BufReader};
    use std::process::Stdio;

    let bench = Bench::new();
    let long = SMALL.replace("rounds = 2", "rounds = 1000000");
    let file = bench.file("long.toml", &long);
    let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin!("xtask"))
        .current_dir(bench.folder.path())
        .args(["sweep", &file.display().to_string(), "--out", "run", "--data-dir", "data"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("started");
    let mut lines =
        BufReader::new(child.stdout.take().expect("piped")).lines().map_while(Result::ok);
    for line in lines.by_ref() {
        if line.starts_with("Round  10") {
            let kill = std::process::Command::new("kill")
                .args(["-INT", &child.id().to_string()])
                .status()
                .expect("kill");
            assert!(kill.success());
            break;
        }
    }
    // A reader that goes away would stop it too.
    lines.for_each(drop);
    let output = child.wait_with_output().expect("ended");
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{error}");
    assert!(error.contains("interrupted after"), "{error}");
    let cell = bench.path("run/cells/z0.4-m5-s1");
    let rounds = fs::read_to_string(cell.join("metrics.jsonl")).expect("records").lines().count();
    let ledger = fs::read_to_string(cell.join("ledger.jsonl")).expect("a ledger");
    assert!(rounds >= 10, "{rounds}");
    assert_eq!(ledger.lines().count(), rounds, "a line a round");
    assert!(!cell.join("privacy.json").exists(), "an unfinished run has no statement");
}
