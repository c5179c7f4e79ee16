//! Runs that are stopped, damaged and taken up again.

mod toy;

use std::fs;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use dp_accounting::{DpEvent, Epsilon, Ledger};
use dp_agg::NoiseMode;
use fed_sim::config::{Algorithm, AuditConfig};
use fed_sim::directory::{Resumed, State, keys_of};
use fed_sim::keys::RunKeys;
use fed_sim::record::Silent;
use fed_sim::{
    CellWriter, EvaluationRecord, Observer, Opened, PhaseTimes, PrivacyStatement, RoundRecord,
    RunConfig, RunDirectory, Schedule, ServerOptimizer, SimError, Simulation, Snapshot, plan,
};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use toy::{learner, population};

const ROUNDS: u32 = 8;

fn config(noise: NoiseMode) -> RunConfig {
    let mut config = toy::config(0.3, 6.0);
    config.rounds = NonZeroU32::new(ROUNDS).expect("not zero");
    config.noise = noise;
    config
}

fn every(rounds: u32) -> Schedule {
    Schedule::Rounds(NonZeroU32::new(rounds).expect("not zero"))
}

/// What makes a run stop.
#[derive(Clone, Copy, PartialEq)]
enum Stop {
    Never,
    /// The button, before this round.
    Asked(u32),
    /// As if the process died: after this round was paid for, before it was released.
    AfterCharge(u32),
    /// As if the process died: after this round was written down.
    AfterRound(u32),
    /// As if the process died: after the evaluation before this round.
    AfterEvaluation(u32),
}

/// A writer that dies on cue.
struct Mortal {
    writer: CellWriter,
    stop: Stop,
    round: u32,
}

fn dead() -> SimError {
    SimError::config("test", "dead")
}

impl Observer for Mortal {
    fn charge(&mut self, round: u32, event: &DpEvent) -> Result<(), SimError> {
        self.writer.charge(round, event)?;
        if self.stop == Stop::AfterCharge(round) { Err(dead()) } else { Ok(()) }
    }

    fn round(&mut self, record: &RoundRecord, times: &PhaseTimes) -> Result<(), SimError> {
        self.writer.round(record, times)?;
        if self.stop == Stop::AfterRound(record.round) { Err(dead()) } else { Ok(()) }
    }

    fn evaluation(&mut self, record: &EvaluationRecord) -> Result<(), SimError> {
        self.writer.evaluation(record)?;
        if self.stop == Stop::AfterEvaluation(record.round) { Err(dead()) } else { Ok(()) }
    }

    fn between(&mut self, state: &Snapshot<'_>, leaving: bool) -> Result<(), SimError> {
        self.round = state.round;
        self.writer.between(state, leaving)
    }

    fn stop(&self) -> bool {
        self.stop == Stop::Asked(self.round)
    }

    fn is_paid(&self) -> bool {
        self.writer.is_paid()
    }
}

/// One process: opens the run, trains until it stops, finishes it if it came to its end. The
/// notes of the resumption.
fn process(
    directory: &Path,
    config: &RunConfig,
    schedule: Schedule,
    stop: Stop,
    budget: Option<Epsilon>,
) -> Result<Vec<String>, SimError> {
    let directory = RunDirectory::resume(directory)?;
    let (population, learner) = (population(), learner(1));
    let keys = RunKeys::new(config, &population, &*learner);
    let (writer, run, notes) = match directory.open_cell(config, &keys, schedule, false)? {
        Opened::New(writer) => {
            (*writer, Simulation::new(config.clone(), &population, &*learner)?, Vec::new())
        }
        Opened::Resumed(resumed) => {
            let Resumed { writer, saved, ledger, notes } = *resumed;
            let run = Simulation::resume(config.clone(), &population, &*learner, saved, ledger)?;
            (writer, run, notes)
        }
        Opened::Finished => return Ok(vec!["finished".to_owned()]),
        Opened::Failed { message, .. } => panic!("{message}"),
    };
    let mut run = run.with_budget(budget);
    let mut observer = Mortal { writer, stop, round: run.round() };
    let trained = run.run(&population.all_examples(), &mut observer);
    let state = match &trained {
        Ok(()) => State::Finished,
        Err(SimError::Budget { .. }) => State::BudgetSpent,
        Err(_) => {
            trained?;
            return Ok(notes);
        }
    };
    let sampler = plan::sampler(config, 30)?;
    let audit = run.audit_report()?;
    let statement = PrivacyStatement::new(config, &sampler, 30, run.ledger(), 1)?
        .of_run(observer.writer.run_number(), &observer.writer.ledger_mark().head)
        .of_a_model_after(run.round())
        .with_audit(audit);
    observer.writer.finish(&run, learner.spec(), &statement, state, None)?;
    trained.map(|()| notes)
}

/// A run's folder.
struct Bench {
    folder: TempDir,
}

impl Bench {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder") }
    }

    fn directory(&self) -> PathBuf {
        self.folder.path().join("run")
    }

    fn cell(&self, config: &RunConfig) -> PathBuf {
        self.directory().join("cells").join(fed_sim::directory::cell_name(config))
    }

    fn go(&self, config: &RunConfig, stop: Stop) -> Result<Vec<String>, SimError> {
        process(&self.directory(), config, every(3), stop, None)
    }

    fn checkpoint(&self, config: &RunConfig, round: u32) -> PathBuf {
        self.cell(config).join("checkpoints").join(format!("round-{round:07}.checkpoint"))
    }
}

/// The files of a run that two equal runs have in common, byte for byte.
fn records(cell: &Path) -> Vec<(&'static str, Vec<u8>)> {
    let names = [
        "config.toml",
        "metrics.jsonl",
        "evaluations.csv",
        "ledger.jsonl",
        "privacy.json",
        "privacy.txt",
        "model.safetensors",
    ];
    let mut files: Vec<_> = names.map(|name| (name, fs::read(cell.join(name)).expect(name))).into();
    // Of audited runs alone.
    for name in ["audit.json", "canaries.csv"] {
        files.extend(fs::read(cell.join(name)).ok().map(|bytes| (name, bytes)));
    }
    files
}

#[track_caller]
fn assert_equal_runs(one: &Path, other: &Path) {
    assert_eq!(records(one).len(), records(other).len());
    for ((name, one), (_, other)) in records(one).into_iter().zip(records(other)) {
        assert!(one == other, "{name} differs");
    }
}

/// However a run with simulation noise is stopped, and however often, it ends in the same bytes
/// as one that never stopped.
#[test]
fn a_stopped_run_ends_like_one_that_never_stopped() {
    let mut adam = config(NoiseMode::Simulation);
    adam.server =
        ServerOptimizer::Adam { learning_rate: 0.1, beta1: 0.9, beta2: 0.99, epsilon: 1e-7 };
    let mut mime = config(NoiseMode::Simulation);
    mime.client.algorithm = Algorithm::MimeLite;
    mime.client.momentum = 0.9;
    mime.noise_multiplier = dp_accounting::NoiseMultiplier::new(0.0).expect("in range");
    mime.aggregation =
        fed_sim::config::AggregationConfig::Mean { weighting: dp_agg::Weighting::Uniform };
    let mut audited = config(NoiseMode::Simulation);
    audited.audit = Some(AuditConfig { canaries: Some(20), confidence: 0.9 });
    for config in [config(NoiseMode::Simulation), audited, adam, mime] {
        let whole = Bench::new();
        whole.go(&config, Stop::Never).expect("finished");
        let mut stops: Vec<Vec<Stop>> = Vec::new();
        // Every kind of stop before, at and after a checkpoint; each costs the disk its flushes.
        let usual = config.aggregation.is_private() && config.server == ServerOptimizer::default();
        for round in if usual { 2..5 } else { 0..0 } {
            stops.push(vec![Stop::Asked(round)]);
            stops.push(vec![Stop::AfterCharge(round)]);
            stops.push(vec![Stop::AfterRound(round), Stop::AfterRound(round)]);
            stops.push(vec![Stop::AfterEvaluation(round), Stop::AfterCharge(round)]);
        }
        stops.push((0..ROUNDS).map(Stop::AfterCharge).collect());
        stops.push(vec![Stop::AfterEvaluation(ROUNDS)]);
        for plan in stops {
            let bench = Bench::new();
            for stop in plan {
                // An evaluation that does not stand at this round stops nothing.
                let _ = bench.go(&config, stop);
            }
            bench.go(&config, Stop::Never).expect("finished");
            assert_equal_runs(&whole.cell(&config), &bench.cell(&config));
            let again = bench.go(&config, Stop::Never).expect("nothing to do");
            assert_eq!(again, ["finished"]);
        }
    }
}

/// With release noise a lost round stays on the ledger: it may have been seen.
#[test]
fn a_lost_round_of_a_release_stays_charged() {
    let config = config(NoiseMode::Release);
    let bench = Bench::new();
    bench.go(&config, Stop::AfterCharge(4)).expect_err("dead");
    let notes = bench.go(&config, Stop::AfterRound(5)).expect_err("dead");
    assert_eq!(notes.to_string(), "test: dead");
    let notes = bench.go(&config, Stop::Never).expect("finished");
    assert!(notes.iter().any(|note| note.contains("stay part of ε")), "{notes:?}");
    let text = fs::read_to_string(bench.cell(&config).join("ledger.jsonl")).expect("a ledger");
    let (ledger, chain) = Ledger::from_json_lines(&text).expect("a sound chain");
    // Checkpoints after rounds 3 and 6: rounds 3 and 4 were lost, then 3, 4 and 5.
    assert_eq!(ledger.len(), u64::from(ROUNDS) + 2 + 3);
    let statement = fs::read_to_string(bench.cell(&config).join("privacy.json")).expect("said");
    let statement: PrivacyStatement = serde_json::from_str(&statement).expect("JSON");
    assert_eq!((statement.rounds, statement.lost_rounds), (13, 5));
    assert_eq!(statement.ledger_head, chain.head());
    let planned = plan::planned_ledger(&config, 30).expect("a plan");
    let relation = plan::sampler(&config, 30).expect("sound").relation();
    assert!(statement.epsilon > plan::epsilon(&config, relation, &planned).expect("a price"));
    let metrics = fs::read_to_string(bench.cell(&config).join("metrics.jsonl")).expect("records");
    assert_eq!(metrics.lines().count(), ROUNDS as usize);
}

/// The price is durable before the release exists: a ledger that cannot be written leaves the
/// model as it was.
#[test]
fn a_round_that_cannot_be_charged_is_not_released() {
    struct Refuses;
    impl Observer for Refuses {
        fn charge(&mut self, _: u32, _: &DpEvent) -> Result<(), SimError> {
            Err(dead())
        }
    }
    let (population, learner) = (population(), learner(1));
    let config = config(NoiseMode::Simulation);
    let mut run = Simulation::new(config, &population, &*learner).expect("sound");
    let before = run.params().to_vec();
    run.run(&population.all_examples(), &mut Refuses).expect_err("refused");
    assert_eq!((run.params(), run.round()), (&*before, 0));
}

#[test]
fn a_damaged_checkpoint_costs_rounds_but_no_run() {
    let config = config(NoiseMode::Simulation);
    let whole = Bench::new();
    whole.go(&config, Stop::Never).expect("finished");
    let truncate: fn(&mut Vec<u8>) = |bytes| bytes.truncate(bytes.len() / 2);
    let flip_a_bit: fn(&mut Vec<u8>) = |bytes| *bytes.last_mut().expect("not empty") ^= 4;
    for harm in [truncate, flip_a_bit, Vec::clear] {
        let bench = Bench::new();
        bench.go(&config, Stop::AfterCharge(7)).expect_err("dead");
        let newest = bench.checkpoint(&config, 6);
        let mut bytes = fs::read(&newest).expect("a checkpoint");
        harm(&mut bytes);
        fs::write(&newest, bytes).expect("damaged");
        let notes = bench.go(&config, Stop::Never).expect("finished");
        assert!(notes[0].contains("round-0000006") && notes[0].contains("round 3"), "{notes:?}");
        assert!(newest.with_extension("damaged").exists());
        assert_equal_runs(&whole.cell(&config), &bench.cell(&config));
    }
}

/// Everything that cannot be repaired is refused with the file, the fault and the way out; and
/// nothing is written.
#[test]
fn what_cannot_be_repaired_is_refused() {
    let config = config(NoiseMode::Release);
    let bench = Bench::new();
    bench.go(&config, Stop::AfterCharge(7)).expect_err("dead");
    let cell = bench.cell(&config);
    let refused = |file: &Path, contents: Option<&[u8]>, parts: &[&str]| {
        let sound = fs::read(file).expect("there");
        match contents {
            Some(bytes) => fs::write(file, bytes).expect("damaged"),
            None => fs::remove_file(file).expect("removed"),
        }
        let error = bench.go(&config, Stop::Never).expect_err("refused").to_string();
        for part in parts {
            assert!(error.contains(part), "no {part:?} in {error}");
        }
        fs::write(file, sound).expect("put back");
    };
    let ledger = cell.join("ledger.jsonl");
    let text = fs::read_to_string(&ledger).expect("a ledger");
    let line = |n: usize| text.lines().nth(n).expect("a line").to_owned() + "\n";
    let without_third = text.replacen(&line(2), "", 1);
    refused(&ledger, Some(without_third.as_bytes()), &["ledger.jsonl", "line 3", "missing"]);
    let edited = text.replacen("\"count\":1", "\"count\":2", 1);
    refused(&ledger, Some(edited.as_bytes()), &["ledger.jsonl", "line 1", "altered"]);
    let short = line(0) + &line(1);
    refused(&ledger, Some(short.as_bytes()), &["ledger.jsonl", "it has 2", "with 6"]);
    refused(&ledger, None, &["ledger.jsonl", "it has 0"]);
    // Seven rounds were written down, so seven lines must be there, checkpoint or not.
    let six: String = (0..6).map(line).collect();
    refused(&ledger, Some(six.as_bytes()), &["ledger.jsonl", "it has 6", "with 7"]);

    let metrics = cell.join("metrics.jsonl");
    refused(&metrics, Some(b"{}\n"), &["metrics.jsonl", "ends after 3 bytes"]);
    refused(&cell.join("evaluations.csv"), None, &["evaluations.csv", "Put the file back"]);
    let status = cell.join("status.json");
    refused(&status, Some(&[0xff, 0xfe]), &["status.json", "it is not text", "put the file back"]);
    refused(&status, Some(b"{"), &["status.json", "not as it was written", "put the file back"]);

    // What the checkpoints know by its digest is written anew.
    for damage in [None, Some("rounds = 3\n")] {
        let file = cell.join("config.toml");
        let sound = fs::read(&file).expect("a configuration");
        match damage {
            None => fs::remove_file(&file).expect("removed"),
            Some(text) => fs::write(&file, text).expect("damaged"),
        }
        let stop = if damage.is_none() { Stop::AfterRound(7) } else { Stop::Never };
        let notes = bench.go(&config, stop);
        assert!(notes.map_or(stop != Stop::Never, |notes| notes[0].contains("written anew")));
        assert_eq!(fs::read(&file).expect("written anew"), sound);
    }
}

/// Lines of lost rounds cannot be taken away unseen, though no record knows of those rounds: the
/// checkpoint that a resumption begins with does.
#[test]
fn lost_rounds_cannot_be_cut_off_the_ledger_of_a_release() {
    let config = config(NoiseMode::Release);
    let bench = Bench::new();
    // Two rounds beyond the checkpoint of round 3 are lost; then one more is released.
    bench.go(&config, Stop::AfterCharge(4)).expect_err("dead");
    bench.go(&config, Stop::AfterRound(3)).expect_err("dead");
    let ledger = bench.cell(&config).join("ledger.jsonl");
    let sound = fs::read_to_string(&ledger).expect("a ledger");
    assert_eq!(sound.lines().count(), 6);
    for kept in 0..6 {
        let lines: String = sound.split_inclusive('\n').take(kept).collect();
        fs::write(&ledger, lines).expect("cut");
        let error = bench.go(&config, Stop::Never).expect_err("cut").to_string();
        assert!(error.contains("lines are missing"), "{kept}: {error}");
    }
    fs::write(&ledger, sound).expect("put back");
    bench.go(&config, Stop::Never).expect("finished");
    let lines = fs::read_to_string(&ledger).expect("a ledger").lines().count();
    assert_eq!(lines, ROUNDS as usize + 3);
}

/// A finished run is not called finished when its ledger is not the one of its guarantee.
#[test]
fn a_finished_run_still_needs_its_ledger() {
    for noise in [NoiseMode::Simulation, NoiseMode::Release] {
        let config = config(noise);
        let bench = Bench::new();
        bench.go(&config, Stop::Never).expect("finished");
        let ledger = bench.cell(&config).join("ledger.jsonl");
        let sound = fs::read_to_string(&ledger).expect("a ledger");
        let cut: String = sound.split_inclusive('\n').take(ROUNDS as usize - 1).collect();
        let twice = format!("{sound}{sound}");
        let edited = sound.replacen("\"count\":1", "\"count\":2", 1);
        for (text, part) in [
            (Some(cut), "it has 7, but the model was paid for with 8"),
            (Some(twice), "line 9"),
            (Some(edited), "line 1"),
            (None, "it has 0"),
        ] {
            match text {
                Some(text) => fs::write(&ledger, text).expect("altered"),
                None => fs::remove_file(&ledger).expect("removed"),
            }
            let error = bench.go(&config, Stop::Never).expect_err("refused").to_string();
            assert!(error.contains("ledger.jsonl") && error.contains(part), "{error}");
            let read = RunDirectory::resume(bench.directory()).expect("free").cells();
            assert!(read.expect_err("refused").to_string().contains(part));
        }
        fs::write(&ledger, sound).expect("put back");
        assert_eq!(bench.go(&config, Stop::Never).expect("nothing to do"), ["finished"]);
    }
}

/// The coins of an audited release cannot be tossed again: a resumed run keeps them.
#[test]
fn an_audited_release_keeps_its_coins() {
    let mut config = config(NoiseMode::Release);
    config.audit = Some(AuditConfig { canaries: Some(100), confidence: 0.9 });
    let coins = |bench: &Bench| {
        let checkpoint = fs::read(bench.checkpoint(&config, 0)).expect("the first checkpoint");
        let saved = fed_sim::checkpoint::decode(&checkpoint).expect("sound");
        saved.into_saved(config.server).expect("it fits").audit.expect("audited").included
    };
    let bench = Bench::new();
    bench.go(&config, Stop::AfterCharge(4)).expect_err("dead");
    let tossed = coins(&bench);
    bench.go(&config, Stop::Never).expect("finished");
    let table = fs::read_to_string(bench.cell(&config).join("canaries.csv")).expect("canaries");
    let told: Vec<bool> =
        table.lines().skip(1).map(|row| row.split(',').nth(1) == Some("true")).collect();
    assert_eq!(told, tossed);
    // And its seed does not tell them.
    let other = Bench::new();
    other.go(&config, Stop::AfterCharge(0)).expect_err("dead");
    assert_ne!(told, coins(&other), "a hundred coins fell alike");
}

/// A checkpoint as the program wrote it whose runs of one seed shared their noise: of version 2,
/// without a word on keys.
fn with_the_first_keys(checkpoint: &[u8]) -> Vec<u8> {
    let line = checkpoint.iter().position(|byte| *byte == b'\n').expect("a first line") + 1;
    let mut payload = checkpoint[line..].to_vec();
    let word = format!(r#"\"keys\":{},"#, fed_sim::keys::VERSION);
    let at = payload.windows(word.len()).position(|window| window == word.as_bytes());
    payload[at.expect("it names its keys")..][..word.len()].fill(b' ');
    let digest = [b"fed-dp checkpoint 2\n", &payload[..]].concat();
    let digest: String = Sha256::digest(digest).iter().map(|byte| format!("{byte:02x}")).collect();
    let first = format!("fed-dp checkpoint 2 {digest} {}\n", payload.len());
    [first.as_bytes(), &payload].concat()
}

/// A simulation that was begun under the old keys is not gone on with under the new ones, and
/// nothing of it is touched; a release, which draws nothing from keys, goes on.
#[test]
fn a_run_does_not_change_its_keys_half_way() {
    let begun = |config: &RunConfig| {
        let bench = Bench::new();
        bench.go(config, Stop::AfterRound(4)).expect_err("dead");
        for entry in fs::read_dir(bench.cell(config).join("checkpoints")).expect("a folder") {
            let path = entry.expect("an entry").path();
            let old = with_the_first_keys(&fs::read(&path).expect("a checkpoint"));
            fs::write(path, old).expect("written");
        }
        bench
    };
    let files = |folder: &Path| {
        let read = |entry: std::io::Result<fs::DirEntry>| {
            let path = entry.expect("an entry").path();
            (path.clone(), fs::read(path).ok())
        };
        let mut files: Vec<_> = fs::read_dir(folder).expect("a folder").map(read).collect();
        files.sort();
        files
    };
    let mut audited = config(NoiseMode::Release);
    audited.audit = Some(AuditConfig { canaries: Some(100), confidence: 0.9 });
    for config in [config(NoiseMode::Simulation), audited] {
        let bench = begun(&config);
        let before = files(&bench.cell(&config));
        let error = bench.go(&config, Stop::Never).expect_err("refused").to_string();
        assert!(error.contains("share their noise") && error.contains("anew"), "{error}");
        assert!(error.contains(&bench.cell(&config).display().to_string()), "{error}");
        assert_eq!(files(&bench.cell(&config)), before);
        assert_eq!(keys_of(&bench.cell(&config)), 1);
    }
    let config = config(NoiseMode::Release);
    let bench = begun(&config);
    bench.go(&config, Stop::Never).expect("finished");
    assert_eq!(keys_of(&bench.cell(&config)), fed_sim::keys::VERSION);
    assert_eq!(keys_of(&bench.directory()), fed_sim::keys::VERSION, "nothing was begun");

    // In memory as well.
    let (population, learner) = (population(), learner(1));
    let config = self::config(NoiseMode::Simulation);
    let run = Simulation::new(config.clone(), &population, &*learner).expect("sound");
    let mut saved = run.snapshot().to_saved();
    saved.keys = 1;
    let ledger = Ledger::new();
    let error = Simulation::resume(config, &population, &*learner, saved, ledger).err();
    assert!(error.expect("refused").to_string().contains("share their noise"));
}

#[test]
fn no_checkpoint_at_all_is_an_error_once_something_was_paid_for() {
    let config = config(NoiseMode::Simulation);
    let bench = Bench::new();
    bench.go(&config, Stop::AfterCharge(1)).expect_err("dead");
    let checkpoints = bench.cell(&config).join("checkpoints");
    let first = bench.checkpoint(&config, 0);
    let sound = fs::read(&first).expect("the first checkpoint");
    fs::write(&first, b"junk").expect("damaged");
    let error = bench.go(&config, Stop::Never).expect_err("no checkpoint").to_string();
    assert!(error.contains("round-0000000") && error.contains("copy one back"), "{error}");
    fs::remove_file(&first).expect("removed");
    let error = bench.go(&config, Stop::Never).expect_err("no checkpoint").to_string();
    assert!(error.contains("there is none"), "{error}");
    fs::write(checkpoints.join("round-0000000.checkpoint"), sound).expect("put back");
    bench.go(&config, Stop::Never).expect("finished");
}

/// A process that died before the first round left nothing to lose.
#[test]
fn a_run_that_hardly_began_begins_again() {
    let config = config(NoiseMode::Release);
    let whole = Bench::new();
    whole.go(&config, Stop::Never).expect("finished");
    let bench = Bench::new();
    bench.go(&config, Stop::AfterEvaluation(0)).expect_err("dead");
    fs::remove_dir_all(bench.cell(&config).join("checkpoints")).expect("removed");
    bench.go(&config, Stop::Never).expect("finished");
    let lines = fs::read_to_string(bench.cell(&config).join("ledger.jsonl")).expect("a ledger");
    assert_eq!(lines.lines().count(), ROUNDS as usize);
}

/// A process that died while it made the directory left nothing but beginnings.
#[test]
fn a_directory_that_was_never_finished_is_begun_again() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, files) in [
        ("empty", &[][..]),
        ("locked", &["lock"]),
        ("half", &["lock", "provenance.json", ".config.toml.partial"]),
        ("halves", &["lock", ".provenance.json.partial"]),
    ] {
        let path = folder.path().join(name);
        fs::create_dir_all(path.join("cells")).expect("a folder");
        files.iter().for_each(|file| fs::write(path.join(file), "{").expect("written"));
        let directory = RunDirectory::resume(&path).expect("nothing but beginnings");
        assert!(!directory.is_begun());
        directory.write_provenance(&1).expect("written");
        assert_eq!(directory.provenance::<u8>().expect("read"), 1);
    }
    fs::write(folder.path().join("mine.txt"), "mine").expect("written");
    RunDirectory::resume(folder.path()).expect_err("somebody else's folder");
}

#[test]
fn a_changed_configuration_is_refused_and_the_key_is_named() {
    let config = config(NoiseMode::Simulation);
    let bench = Bench::new();
    bench.go(&config, Stop::Asked(4)).expect_err("interrupted");
    let mut other = config.clone();
    other.client.learning_rate = 0.2;
    let error = bench.go(&other, Stop::Never).expect_err("changed").to_string();
    assert!(error.contains("client.learning_rate = 0.1, not 0.2"), "{error}");
    bench.go(&config, Stop::Never).expect("finished");
}

#[test]
fn a_second_process_is_kept_out() {
    let bench = Bench::new();
    let _first = RunDirectory::resume(bench.directory()).expect("free");
    let error = bench.go(&config(NoiseMode::Simulation), Stop::Never).expect_err("taken");
    assert!(matches!(error, SimError::Locked { .. }), "{error}");
    assert!(error.to_string().contains("another process"), "{error}");
}

/// A round that would pass the budget is not begun; the model so far has its guarantee, and with
/// a larger budget the run goes on as if there had been none.
#[test]
fn a_budget_stops_a_run_before_the_round_that_would_pass_it() {
    let config = config(NoiseMode::Simulation);
    let whole = Bench::new();
    whole.go(&config, Stop::Never).expect("finished");
    let relation = plan::sampler(&config, 30).expect("sound").relation();
    let planned = plan::planned_ledger(&config, 30).expect("a plan");
    let price = |rounds: u64| {
        let mut ledger = Ledger::new();
        let count = std::num::NonZeroU64::new(rounds).expect("not zero");
        ledger.record_many(planned.entries()[0].event.clone(), count);
        plan::epsilon(&config, relation, &ledger).expect("a price")
    };
    // A budget that comes too late: what was paid for and may have been seen is repeated, and no
    // guarantee claims less than the ledger says.
    let late = Bench::new();
    late.go(&config, Stop::AfterRound(4)).expect_err("dead");
    let error = process(&late.directory(), &config, every(3), Stop::Never, Some(price(1)));
    let error = error.expect_err("spent");
    assert!(matches!(error, SimError::Budget { rounds: 5, .. }), "{error}");
    let cells = RunDirectory::resume(late.directory()).expect("free").cells().expect("readable");
    assert_eq!((cells[0].privacy.rounds, cells[0].privacy.epsilon), (5, price(5)));

    let bench = Bench::new();
    // Exactly enough for five rounds.
    let budget = Some(price(5));
    for _ in 0..2 {
        let error = process(&bench.directory(), &config, every(3), Stop::Never, budget);
        let error = error.expect_err("spent");
        assert!(matches!(error, SimError::Budget { rounds: 5, .. }), "{error}");
        let text = fs::read_to_string(bench.cell(&config).join("privacy.json")).expect("said");
        let statement: PrivacyStatement = serde_json::from_str(&text).expect("JSON");
        assert_eq!((statement.rounds, statement.epsilon), (5, price(5)));
        let rows = fs::read_to_string(bench.cell(&config).join("evaluations.csv")).expect("rows");
        assert!(rows.lines().last().expect("a row").starts_with("5,"), "{rows}");
    }
    bench.go(&config, Stop::Never).expect("finished");
    assert_equal_runs(&whole.cell(&config), &bench.cell(&config));

    let (population, learner) = (population(), learner(1));
    let mut run = Simulation::new(config, &population, &*learner)
        .expect("sound")
        .with_budget(Some(Epsilon::ZERO));
    run.step().expect_err("nothing is free");
    run.run(&population.all_examples(), &mut Silent).expect_err("nothing is free");
    assert!(run.ledger().is_empty());
}
