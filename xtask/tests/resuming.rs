//! Stopping, running out of room, running out of budget, and going on: as a person meets it.

#![cfg(unix)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_xtask");

const SMALL: &str = "name = \"small\"\nseeds = [1]\nrounds = 6\ndelta = 1e-3\n\
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
        let bench = Self { folder };
        bench.config(config);
        bench
    }

    fn config(&self, text: &str) {
        fs::write(self.path("c.toml"), text).expect("written");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.current_dir(self.folder.path()).args(arguments).args(["--data-dir", "data"]);
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("started")
    }

    /// Starts a process and waits until it prints a line that begins with `cue`.
    fn start(&self, arguments: &[&str], cue: &str) -> Child {
        let mut command = self.command(arguments);
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        loop {
            match lines.next() {
                Some(line) if line.as_ref().expect("text").starts_with(cue) => break,
                Some(_) => {}
                None => panic!("no line begins with {cue:?}"),
            }
        }
        // Whoever stops listening stops the run: go on listening until it ends.
        std::thread::spawn(move || lines.for_each(drop));
        child
    }

    fn lines(&self, file: &str) -> usize {
        fs::read_to_string(self.path(file)).expect(file).lines().count()
    }

    /// The records of two runs are the same, byte for byte.
    fn equal(&self, one: &str, other: &str) {
        for file in [
            "summary.csv",
            "evaluations.csv",
            "cells/z0.4-m5-s1/metrics.jsonl",
            "cells/z0.4-m5-s1/ledger.jsonl",
            "cells/z0.4-m5-s1/privacy.json",
            "cells/z0.4-m5-s1/model.safetensors",
        ] {
            let read = |run: &str| fs::read(self.path(run).join(file)).expect(file);
            assert!(read(one) == read(other), "{file} differs");
        }
    }
}

fn error_of(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[track_caller]
fn succeeded(output: &Output) {
    assert!(output.status.success(), "{}", error_of(output));
}

#[track_caller]
fn refused(output: &Output, code: i32, parts: &[&str]) {
    let error = error_of(output);
    assert_eq!(output.status.code(), Some(code), "{error}");
    for part in parts {
        assert!(error.contains(part), "no {part:?} in {error}");
    }
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([name, &child.id().to_string()]).status().expect("kill");
    assert!(sent.success());
}

#[test]
fn a_run_that_was_asked_to_stop_goes_on_where_it_was() {
    let long = SMALL.replace("rounds = 6", "rounds = 400");
    let bench = Bench::new(&long);
    succeeded(&bench.run(&["sweep", "c.toml", "--out", "whole"]));
    for name in ["-INT", "-TERM"] {
        let run = &format!("run{name}");
        let child = bench.start(&["sweep", "c.toml", "--out", run], "Round  20");
        signal(&child, name);
        let output = child.wait_with_output().expect("ended");
        refused(&output, 130, &["interrupted after", "go on with: --resume run-"]);
        let rounds = bench.lines(&format!("{run}/{CELL}/metrics.jsonl"));
        assert!((20..400).contains(&rounds), "{rounds}");
        // The configuration is in the directory.
        let output = bench.run(&["sweep", "--resume", run]);
        succeeded(&output);
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains(&format!("Resuming after round {rounds}")), "{said}");
        bench.equal("whole", run);
    }
}

/// `| head`: a reader that goes away stops the run as cleanly as Ctrl-C does.
#[test]
fn a_run_that_nobody_reads_stops_and_says_how_to_go_on() {
    let bench = Bench::new(&SMALL.replace("rounds = 6", "rounds = 40"));
    let mut command = bench.command(&["sweep", "c.toml", "--out", "run"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("ended");
    refused(&output, 141, &[]);
    assert!(!error_of(&output).contains("panicked"), "{}", error_of(&output));
    let mut command = bench.command(&["sweep", "c.toml", "--resume", "run"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started");
    let mut line = String::new();
    let mut reader = BufReader::new(child.stdout.take().expect("piped"));
    while !line.starts_with("Starting training") && !line.starts_with("Resuming") {
        line.clear();
        assert!(reader.read_line(&mut line).expect("text") > 0, "no run was begun");
    }
    drop(reader);
    let output = child.wait_with_output().expect("ended");
    refused(&output, 141, &["nobody reads", "go on with: --resume run"]);
    succeeded(&bench.run(&["sweep", "c.toml", "--resume", "whole"]));
    succeeded(&bench.run(&["sweep", "--resume", "run"]));
    bench.equal("whole", "run");
}

#[test]
fn a_second_ctrl_c_stops_at_once() {
    // A round of this takes many seconds.
    let heavy = SMALL
        .replace("hidden = [8]", "hidden = [3000, 3000]")
        .replace("[model]", "[client]\nepochs = 50\n[model]");
    let bench = Bench::new(&heavy);
    let child = bench.start(&["sweep", "c.toml", "--out", "run"], "Round   0");
    let begin = Instant::now();
    signal(&child, "-INT");
    std::thread::sleep(Duration::from_millis(300));
    signal(&child, "-INT");
    let output = child.wait_with_output().expect("ended");
    refused(&output, 130, &[]);
    let said = error_of(&output);
    let lines: Vec<&str> = said.lines().collect();
    // The first is answered at once too, by what it will lead to.
    assert_eq!(lines, ["stopping after this round; once more stops at once", "error: interrupted"]);
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
}

#[test]
fn a_budget_ends_a_run_with_code_4_and_a_guarantee() {
    let bench = Bench::new(SMALL);
    succeeded(&bench.run(&["sweep", "c.toml", "--out", "whole"]));
    let output = bench.run(&["sweep", "c.toml", "--out", "run", "--max-epsilon", "15"]);
    refused(&output, 4, &["the privacy budget is spent", "more than 15", "--max-epsilon"]);
    let rounds = bench.lines(&format!("run/{CELL}/ledger.jsonl"));
    assert!((1..6).contains(&rounds), "{rounds}");
    let statement = fs::read_to_string(bench.path(&format!("run/{CELL}/privacy.json")));
    assert!(statement.expect("said").contains(&format!("\"rounds\": {rounds}")));
    let summary = fs::read_to_string(bench.path("run/summary.md")).expect("a summary");
    assert!(summary.contains(&format!("After {rounds} of 6 rounds")), "{summary}");
    // The directory remembers it.
    let again = bench.run(&["sweep", "--resume", "run"]);
    refused(&again, 4, &["the privacy budget is spent", "more than 15"]);
    assert!(String::from_utf8_lossy(&again.stdout).contains("Budget: simulated ε of at most 15"));
    assert_eq!(bench.lines(&format!("run/{CELL}/ledger.jsonl")), rounds);
    // On its way to a larger budget a run has outgrown what it stated: that is no damage.
    let stated = fs::read(bench.path(&format!("run/{CELL}/privacy.json"))).expect("said");
    refused(&bench.run(&["sweep", "--resume", "run", "--max-epsilon", "18"]), 4, &["than 18"]);
    assert!(bench.lines(&format!("run/{CELL}/ledger.jsonl")) > rounds);
    fs::write(bench.path(&format!("run/{CELL}/privacy.json")), stated).expect("as before");
    let account =
        || Command::new(PROGRAM).args(["account", "run"]).current_dir(bench.folder.path()).output();
    refused(&account().expect("started"), 3, &["does not end where"]);
    let status = bench.path(&format!("run/{CELL}/status.json"));
    let text = fs::read_to_string(&status).expect("a status");
    fs::write(&status, text.replace("budget_spent", "interrupted")).expect("written");
    let output = account().expect("started");
    succeeded(&output);
    assert!(String::from_utf8_lossy(&output.stdout).contains("has not finished"));
    // A larger budget goes on as if there had been none.
    succeeded(&bench.run(&["sweep", "--resume", "run", "--max-epsilon", "1000"]));
    bench.equal("whole", "run");
    let output = bench.run(&["sweep", "c.toml", "--max-epsilon", "much"]);
    refused(&output, 2, &["not a number"]);
    let output = bench.run(&["sweep", "c.toml", "--max-epsilon", "-1"]);
    refused(&output, 2, &["epsilon must lie in"]);

    let last = SMALL.replace("[sweep]\nnoise_multipliers = [0.4]\nclients_per_round = [5]\n",
        "[calibrate]\ntarget_epsilon = 21\nbase_noise_multiplier = 0.4\nbase_clients_per_round = 5\n");
    bench.config(&last);
    let output = bench.run(&["final", "c.toml", "--out", "final", "--max-epsilon", "15"]);
    refused(&output, 4, &["the privacy budget is spent"]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("-differential privacy of the final model"), "{said}");
    refused(&bench.run(&["final", "--resume", "final"]), 4, &["the privacy budget is spent"]);
    succeeded(&bench.run(&["final", "--resume", "final", "--max-epsilon", "inf"]));
    assert_eq!(bench.lines("final/cells/z0.4-m5-s1/ledger.jsonl"), 6);
}

#[test]
fn what_does_not_fit_the_directory_is_refused() {
    let bench = Bench::new(SMALL);
    succeeded(&bench.run(&["sweep", "c.toml", "--resume", "run"]));
    bench.config(&SMALL.replace("rounds = 6", "rounds = 7"));
    let output = bench.run(&["sweep", "c.toml", "--resume", "run"]);
    refused(&output, 3, &["run/config.toml", "rounds = 6, not 7"]);
    bench.config(&SMALL.replace("seed = 0", "seed = 5"));
    let output = bench.run(&["sweep", "c.toml", "--resume", "run"]);
    refused(&output, 3, &["data.synthetic.seed = 0, not 5"]);
    for command in ["sweep", "final"] {
        let output = bench.run(&[command, "--resume", "nowhere"]);
        refused(&output, 3, &["nowhere does not exist", "nothing to resume"]);
        assert!(!bench.path("nowhere").exists());
        refused(&bench.run(&[command, "--resume", "data"]), 3, &["data holds no run"]);
    }
    refused(&bench.run(&["sweep", "c.toml", "--resume", "data", "--out", "run"]), 2, &["--out"]);
    fs::write(bench.path("data/notes.txt"), "mine").expect("written");
    bench.config(SMALL);
    refused(&bench.run(&["sweep", "c.toml", "--resume", "data"]), 3, &["not a run directory"]);
    // The same configuration finds nothing to do, and changes nothing.
    let before = fs::read(bench.path("run").join(CELL).join("ledger.jsonl")).expect("a ledger");
    let output = bench.run(&["sweep", "c.toml", "--resume", "run"]);
    succeeded(&output);
    assert!(String::from_utf8_lossy(&output.stdout).contains("Finished already"));
    let after = fs::read(bench.path("run").join(CELL).join("ledger.jsonl")).expect("a ledger");
    assert_eq!(before, after);
}

#[test]
fn two_processes_do_not_write_to_one_directory() {
    let bench = Bench::new(&SMALL.replace("rounds = 6", "rounds = 1000000"));
    let mut child = bench.start(&["sweep", "c.toml", "--out", "run"], "Round   4");
    let output = bench.run(&["sweep", "--resume", "run"]);
    let holder = format!("number {}", child.id());
    child.kill().expect("killed");
    child.wait().expect("ended");
    refused(&output, 1, &["run is in use by another process", &holder, "wait"]);
}

/// Runs that fail do not keep the others from being trained, and are tried again when asked.
#[test]
fn failed_runs_are_told_apart_and_tried_again_on_request() {
    let diverges = SMALL
        .replace("[0.4]", "[0.0, 0.4]")
        .replace("[model]", "[server]\noptimizer = \"sgd\"\nlearning_rate = 1e39\n[model]");
    let bench = Bench::new(&diverges);
    let output = bench.run(&["sweep", "c.toml", "--out", "run"]);
    refused(&output, 5, &["2 runs did not finish", "z0-m5-s1", "z0.4-m5-s1", "not finite"]);
    refused(&output, 5, &["--retry-failed --resume run"]);
    let again = bench.run(&["sweep", "--resume", "run"]);
    refused(&again, 5, &["z0.4-m5-s1: diverged before", "not finite"]);
    assert!(!String::from_utf8_lossy(&again.stdout).contains("Resuming"));
    let again = bench.run(&["sweep", "--resume", "run", "--retry-failed"]);
    refused(&again, 5, &["2 runs did not finish"]);
    assert!(String::from_utf8_lossy(&again.stdout).contains("Resuming"));
}

/// A disk without room, at every size: whatever could not be written is named, and once there is
/// room the run goes on and ends as if there had always been. The shell's limit on the size of a
/// file stands in for the disk: it needs no privilege.
#[test]
fn a_full_disk_loses_nothing() {
    let bench = Bench::new(&SMALL.replace("rounds = 6", "rounds = 40"));
    succeeded(&bench.run(&["sweep", "c.toml", "--resume", "whole"]));
    let mut failed = 0;
    // Blocks of 512 bytes (1024 in some shells): from less than a configuration to more than a
    // checkpoint.
    for blocks in [1, 4, 8, 16, 24, 32, 48, 64, 90, 110] {
        let limited = Command::new("sh")
            .current_dir(bench.folder.path())
            .arg("-c")
            .arg("trap '' XFSZ; ulimit -f \"$1\"; shift; exec \"$@\"")
            .args(["sh", &blocks.to_string(), PROGRAM])
            .args(["sweep", "c.toml", "--resume", "run", "--data-dir", "data"])
            .args(["--checkpoint-every", "5"])
            .output()
            .expect("started");
        if !limited.status.success() {
            refused(&limited, 1, &["error: run", "make room; nothing that was saved is lost"]);
            failed += 1;
        }
    }
    assert!(failed >= 5, "{failed} of the limits were felt");
    succeeded(&bench.run(&["sweep", "c.toml", "--resume", "run"]));
    bench.equal("whole", "run");
}

/// A disk that is truly full, where a small one can be mounted.
#[test]
fn a_small_disk_that_fills_up_loses_nothing() {
    let bench = Bench::new(&SMALL.replace("rounds = 6", "rounds = 300"));
    let disk = bench.path("disk");
    fs::create_dir(&disk).expect("a folder");
    let mount = |arguments: &[&str]| {
        let mut command = Command::new("mount");
        command.args(arguments).arg(&disk).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    if !mount(&["-t", "tmpfs", "-o", "size=300k", "none"]) {
        println!("skipped: no small disk can be mounted here");
        return;
    }
    let disk = Unmount(&disk);
    let full = bench.run(&["sweep", "c.toml", "--resume", "disk/run", "--checkpoint-every", "5"]);
    assert!(mount(&["-o", "remount,size=20m"]), "more room");
    refused(&full, 1, &["error: disk/run", "make room; nothing that was saved is lost"]);
    let done = bench.lines(&format!("disk/run/{CELL}/ledger.jsonl"));
    assert!((1..300).contains(&done), "{done} rounds fitted");
    succeeded(&bench.run(&["sweep", "--resume", "disk/run"]));
    assert!(mount(&["-o", "remount,ro"]), "read-only");
    let refusal = bench.run(&["sweep", "--resume", "disk/run"]);
    refused(&refusal, 1, &["error: disk/run", "Read-only", "make it writable"]);
    assert!(mount(&["-o", "remount,rw"]), "writable");
    succeeded(&bench.run(&["sweep", "c.toml", "--resume", "whole"]));
    bench.equal("whole", "disk/run");
    drop(disk);
}

/// Takes a disk away again, whatever becomes of the test.
struct Unmount<'a>(&'a Path);

impl Drop for Unmount<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0).status();
    }
}

/// A folder that cannot be made, whoever asks: there is a file where it should be.
#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let bench = Bench::new(SMALL);
    fs::write(bench.path("file"), "mine").expect("written");
    for option in ["--out", "--resume"] {
        let output = bench.run(&["sweep", "c.toml", option, "file/run"]);
        refused(&output, 3, &["file/run"]);
    }
    assert_eq!(fs::read(bench.path("file")).expect("still there"), b"mine");
}

#[test]
fn damage_is_said_and_passed_over_or_refused() {
    let bench = Bench::new(&SMALL.replace("rounds = 6", "rounds = 40"));
    succeeded(&bench.run(&["sweep", "c.toml", "--out", "whole"]));
    let mut child =
        bench.start(&["sweep", "c.toml", "--out", "run", "--checkpoint-every", "1"], "Round  10");
    child.kill().expect("killed");
    child.wait().expect("ended");
    let folder = bench.path("run").join(CELL).join("checkpoints");
    let newest = fs::read_dir(&folder)
        .expect("checkpoints")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "checkpoint"))
        .max()
        .expect("one at least");
    let bytes = fs::read(&newest).expect("readable");
    fs::write(&newest, &bytes[..bytes.len() - 9]).expect("cut short");
    let output = bench.run(&["sweep", "--resume", "run"]);
    succeeded(&output);
    let error = error_of(&output);
    assert!(error.contains("cannot be used") && error.contains("goes back to round"), "{error}");
    bench.equal("whole", "run");

    let mut child = bench.start(&["sweep", "c.toml", "--out", "other"], "Round   4");
    child.kill().expect("killed");
    child.wait().expect("ended");
    let ledger = bench.path("other").join(CELL).join("ledger.jsonl");
    let text = fs::read_to_string(&ledger).expect("a ledger");
    fs::write(&ledger, text.replacen("\"count\":1", "\"count\":0", 1)).expect("edited");
    let output = bench.run(&["sweep", "--resume", "other"]);
    refused(&output, 3, &["ledger.jsonl", "line 1", "altered", "put the file back"]);
}
