//! The program is killed at random instants, again and again, and taken up each time.
//!
//! The everyday form survives a few dozen kills; the long one survives hundreds:
//!
//! ```sh
//! cargo test --package xtask --test torture -- --ignored --nocapture
//! ```
//!
//! `FED_DP_KILLS` sets their number and `FED_DP_KILL_SEED` the instants.

#![cfg(unix)]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use dp_accounting::Ledger;
use fed_sim::checkpoint::{Checkpoints, decode};
use fed_sim::{PrivacyStatement, RunDirectory, ServerOptimizer};
use tempfile::TempDir;

/// Two runs of thirty rounds on a few synthetic writers.
fn config(noise: &str, audited: bool) -> String {
    let audit = if audited { "[audit]\ncanaries = 20\n" } else { "" };
    format!(
        "name = \"torture\"\nseeds = [1, 2]\nrounds = {ROUNDS}\ndelta = 1e-3\n\
         evaluate_every = 7\nnoise = \"{noise}\"\n\
         [sweep]\nnoise_multipliers = [0.4]\nclients_per_round = [8]\n\
         [data]\nsource = \"synthetic\"\nsynthetic = {{ seed = 0, clients = 20 }}\n\
         [model]\nhidden = [8]\n{audit}"
    )
}

const ROUNDS: u64 = 30;

const CELLS: [&str; 2] = ["z0.4-m8-s1", "z0.4-m8-s2"];

/// Files that an interrupted run has in common with one that was never stopped, byte for byte.
const EQUAL: [&str; 7] = [
    "config.toml",
    "metrics.jsonl",
    "evaluations.csv",
    "ledger.jsonl",
    "privacy.json",
    "privacy.txt",
    "model.safetensors",
];

/// And those of an audited run.
const EQUAL_AUDITED: [&str; 2] = ["audit.json", "canaries.csv"];

/// Random instants, the same for the same seed (Steele, Lea, Flood 2014: SplitMix64).
struct Instants(u64);

impl Instants {
    /// Uniform in `0..longest`.
    fn below(&mut self, longest: Duration) -> Duration {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        longest.mul_f64((bits ^ (bits >> 31)) as f64 / u64::MAX as f64)
    }
}

struct Torture {
    folder: TempDir,
    /// The coins of the audits in the current run, by cell, as its first checkpoints told them.
    coins: RefCell<BTreeMap<&'static str, Vec<bool>>>,
}

/// What the kills hit.
#[derive(Debug, Default)]
struct Tally {
    kills: u32,
    /// Kills that left a half-written file.
    in_a_write: u32,
    /// Of these, half-written checkpoints.
    in_a_checkpoint: u32,
    /// Kills that left a round on the ledger that no checkpoint had seen.
    charged_and_lost: u32,
    /// Runs that were brought to their end.
    runs: u32,
}

impl Torture {
    fn new(noise: &str, audited: bool) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir(folder.path().join("data")).expect("a data folder");
        fs::write(folder.path().join("torture.toml"), config(noise, audited))
            .expect("a configuration");
        Self { folder, coins: RefCell::default() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// One process on the directory `run`, whatever is in it.
    fn start(&self, run: &str) -> Child {
        Command::new(assert_cmd::cargo::cargo_bin!("xtask"))
            .current_dir(self.folder.path())
            .args(["sweep", "torture.toml", "--resume", run, "--data-dir", "data"])
            .args(["--checkpoint-every", "1", "--threads", "1"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("started")
    }

    /// Lets a process come to its end; how long that took.
    fn finish(&self, run: &str) -> Duration {
        let begin = Instant::now();
        let output = self.start(run).wait_with_output().expect("ended");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        begin.elapsed()
    }

    /// What must hold at every instant, whatever has just been killed.
    fn check(&self, run: &str, tally: &mut Tally) {
        for name in CELLS {
            let cell = self.path(run).join("cells").join(name);
            // Coins fall once: whatever is killed, the first checkpoint holds the same.
            if let Ok(first) = fs::read(cell.join("checkpoints/round-0000000.checkpoint")) {
                let first = decode(&first).expect("sound");
                let audit = first.into_saved(ServerOptimizer::default()).expect("it fits").audit;
                if let Some(coins) = audit.map(|trail| trail.included) {
                    let known = &mut *self.coins.borrow_mut();
                    assert_eq!(known.entry(name).or_insert_with(|| coins.clone()), &coins);
                }
            }
            // The last line may be half written: it is then no line.
            let lines = |name: &str| {
                let text = fs::read(cell.join(name)).unwrap_or_default();
                text.iter().filter(|byte| **byte == b'\n').count() as u64
            };
            let ledger = lines("ledger.jsonl");
            let text = fs::read_to_string(cell.join("ledger.jsonl")).unwrap_or_default();
            let whole: String = text.split_inclusive('\n').take(ledger as usize).collect();
            Ledger::from_json_lines(&whole).expect("a sound chain");
            assert!(lines("metrics.jsonl") <= ledger, "a record that the ledger does not know");
            let checkpoints = Checkpoints::new(cell.join("checkpoints"));
            // A kill never damages a checkpoint: it is there whole or not at all.
            if let Some((newest, skipped)) = checkpoints.newest().expect("readable") {
                assert!(skipped.is_empty(), "{skipped:?}");
                assert!(u64::from(newest.header.round) <= ledger, "a model that was not paid for");
                tally.charged_and_lost += u32::from(newest.header.ledger.lines < ledger);
            } else {
                let status = fs::read_to_string(cell.join("status.json")).unwrap_or_default();
                let finished = status.contains("\"finished\"");
                assert!(finished || ledger == 0, "a round before the first checkpoint");
            }
            let half = |folder: &Path| {
                fs::read_dir(folder).is_ok_and(|mut entries| {
                    entries.any(|entry| {
                        let name = entry.expect("readable").file_name();
                        name.to_string_lossy().ends_with(".partial")
                    })
                })
            };
            let checkpoint = half(&cell.join("checkpoints"));
            tally.in_a_checkpoint += u32::from(checkpoint);
            tally.in_a_write += u32::from(checkpoint || half(&cell));
        }
    }

    /// Kills processes until `kills` have been killed, bringing run after run to its end; `ended`
    /// looks at each.
    fn go(&self, kills: u32, seed: u64, ended: impl Fn(&str)) -> Tally {
        let mut instants = Instants(seed);
        let mut tally = Tally::default();
        // So long does a run take here and now; most processes are killed on the way.
        let longest = self.finish("measured").mul_f64(0.6);
        while tally.kills < kills {
            let run = format!("run{}", tally.runs);
            loop {
                let mut child = self.start(&run);
                std::thread::sleep(instants.below(longest));
                if child.try_wait().expect("asked").is_some() {
                    let output = child.wait_with_output().expect("ended");
                    let error = String::from_utf8_lossy(&output.stderr);
                    assert!(output.status.success(), "{error}");
                    break;
                }
                child.kill().expect("killed");
                let output = child.wait_with_output().expect("ended");
                if output.status.success() {
                    break; // It ended between the question and the kill.
                }
                let error = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.code().is_none(), "it ended by itself: {error}");
                tally.kills += 1;
                self.check(&run, &mut tally);
                if tally.kills == kills {
                    self.finish(&run);
                    break;
                }
            }
            ended(&run);
            self.coins.borrow_mut().clear();
            tally.runs += 1;
            fs::remove_dir_all(self.path(&run)).expect("removed");
        }
        tally
    }
}

/// Simulation noise: every run that was killed ends in the same bytes as one that was not.
fn simulation(kills: u32, seed: u64, audited: bool) -> Tally {
    let torture = Torture::new("simulation", audited);
    torture.finish("whole");
    torture.go(kills, seed, |run| {
        let same = |file: &str| {
            let read = |run: &str| fs::read(torture.path(run).join(file)).expect(file);
            assert!(read(run) == read("whole"), "{file} differs after kills with seed {seed}");
        };
        let audit = if audited { &EQUAL_AUDITED[..] } else { &[] };
        for cell in CELLS {
            EQUAL.iter().chain(audit).for_each(|file| same(&format!("cells/{cell}/{file}")));
        }
        ["summary.csv", "summary.md", "evaluations.csv", "figures/curves.svg"]
            .into_iter()
            .for_each(same);
    })
}

/// Release noise: every round that was ever paid for is on the ledger and in ε, and the coins of an
/// audit fell once.
fn release(kills: u32, seed: u64, audited: bool) -> Tally {
    let torture = Torture::new("release", audited);
    torture.go(kills, seed, |run| {
        let directory = RunDirectory::open(torture.path(run)).expect("a run directory");
        let cells = directory.cells().expect("readable");
        assert_eq!(cells.len(), CELLS.len());
        for cell in cells {
            let name = fed_sim::directory::cell_name(&cell.config);
            let path = torture.path(run).join("cells").join(name);
            let text = fs::read_to_string(path.join("ledger.jsonl")).expect("a ledger");
            let (ledger, chain) = Ledger::from_json_lines(&text).expect("a sound chain");
            let PrivacyStatement { rounds, lost_rounds, ledger_head, .. } = cell.privacy;
            assert_eq!((rounds, rounds - lost_rounds), (ledger.len(), ROUNDS));
            assert_eq!(ledger_head, chain.head());
            // No kill may have fallen while there were checkpoints to read.
            let name = CELLS.into_iter().find(|cell| path.ends_with(cell)).expect("a cell");
            if let Some(coins) = torture.coins.borrow().get(name) {
                let told = fs::read_to_string(path.join("canaries.csv")).expect("canaries");
                let told: Vec<bool> =
                    told.lines().skip(1).map(|row| row.contains(",true,")).collect();
                assert_eq!(*coins, told);
            }
            assert!(!path.join("checkpoints").exists(), "nobody needs them any more");
        }
    })
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().expect("a whole number"))
}

#[test]
fn a_run_that_is_killed_loses_nothing() {
    for (kills, seed, audited) in [(20, 1, false), (5, 3, true)] {
        let tally = simulation(kills, seed, audited);
        assert!(tally.kills >= kills, "{tally:?}");
    }
    let tally = release(5, 2, true);
    assert!(tally.kills >= 5, "{tally:?}");
}

/// Minutes; see the head of this file.
#[test]
#[ignore = "takes minutes: hundreds of kills"]
fn a_run_that_is_killed_hundreds_of_times_loses_nothing() {
    let kills = u32::try_from(number("FED_DP_KILLS", 500)).expect("a sensible number");
    let seed = number("FED_DP_KILL_SEED", u64::from(std::process::id()));
    println!("seed {seed}");
    let tally = simulation(kills, seed, false);
    println!("simulation noise: {tally:?}");
    assert!(tally.charged_and_lost > 0, "no kill fell between a payment and its checkpoint");
    assert!(tally.in_a_checkpoint > 0, "no kill fell into the write of a checkpoint");
    println!("simulation noise, audited: {:?}", simulation(kills / 5, seed, true));
    for audited in [false, true] {
        println!("release noise, audited {audited}: {:?}", release(kills / 10, seed, audited));
    }
}
