//! `cargo xtask account` as a person meets it: numbers, sources, refusals.

use std::fs;
use std::path::PathBuf;
use std::process::Output;

use assert_cmd::Command;
use serde_json::Value;
use tempfile::TempDir;

/// The program in a folder of its own.
struct Desk {
    folder: TempDir,
}

impl Desk {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn file(&self, name: &str, text: &str) -> &Self {
        fs::write(self.path(name), text).expect("written");
        self
    }

    /// `account` with these arguments, split at spaces.
    fn ask(&self, arguments: &str) -> Output {
        self.run(&["account"], arguments)
    }

    fn run(&self, first: &[&str], arguments: &str) -> Output {
        Command::cargo_bin("xtask")
            .expect("built")
            .current_dir(self.folder.path())
            .args(first)
            .args(arguments.split_whitespace())
            .output()
            .expect("started")
    }

    /// What it prints, which must be all it has to say.
    #[track_caller]
    fn told(&self, arguments: &str) -> String {
        let output = self.ask(arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    #[track_caller]
    fn json(&self, arguments: &str) -> Value {
        let text = self.told(&format!("{arguments} --json"));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// It refuses with `code`, naming all `parts`, and prints nothing.
    #[track_caller]
    fn refuses(&self, arguments: &str, code: i32, parts: &[&str]) {
        let output = self.ask(arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments}: {error}");
        assert!(error.starts_with("error: "), "{error}");
        assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
        for part in parts {
            assert!(error.contains(part), "{arguments}: no {part:?} in {error}");
        }
    }
}

const TUTORIAL: &str = "--clients 50 --population 3383 --noise 0.5 --rounds 100 --delta 1e-5";

#[track_caller]
fn near(value: &Value, truth: f64) {
    let value = value.as_f64().unwrap_or_else(|| panic!("{value} is no number"));
    assert!((value - truth).abs() < 1e-6, "{value} for {truth}");
}

#[test]
fn the_tutorials_numbers_stand_side_by_side() {
    let desk = Desk::new();
    let text = desk.told(TUTORIAL);
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        "11.136542",
        "9.900011",
        "9.782508",
        "8.064620",
        "between 8.06462004",
        "Gaussian noise of multiplier 0.5",
        "Poisson sampling",
        "adding or removing one client",
        "100 × Gaussian(z = 0.5) on a Poisson sample (q = 0.0147",
        "not covered",
        "δ = 1e-5",
    ] {
        assert!(words.contains(part), "no {part:?} in\n{text}");
    }
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "{} columns: {line}", line.chars().count());
    }

    let answer = desk.json(TUTORIAL);
    assert_eq!(answer["relation"], "add_or_remove_one");
    assert_eq!(answer["delta"], 1e-5);
    let row = &answer["rows"][0];
    near(&row["rdp_classic"]["epsilon"], 11.136_542);
    near(&row["rdp_improved"]["epsilon"], 9.900_011);
    near(&row["rdp_best_order"]["epsilon"], 9.782_508);
    near(&row["exact"]["lower"], 8.064_620_041);
    let width = row["exact"]["upper"].as_f64().expect("a number")
        - row["exact"]["lower"].as_f64().expect("a number");
    assert!((0.0..=1e-9).contains(&width), "{width}");
    assert_eq!(row["releases"], 100);
    assert_eq!(row["ledger"]["entries"][0]["event"]["kind"], "poisson_sampled");
}

#[test]
fn no_noise_is_infinite_and_said_so() {
    let desk = Desk::new();
    let noiseless = TUTORIAL.replace("--noise 0.5", "--noise 0");
    let text = desk.told(&noiseless);
    assert_eq!(text.matches("infinite").count(), 4, "{text}");
    let answer = desk.json(&noiseless);
    assert_eq!(answer["rows"][0]["rdp_improved"]["epsilon"], "inf");
    assert_eq!(answer["rows"][0]["exact"]["upper"], "inf");
    desk.refuses(&format!("{noiseless} --curve figures"), 3, &["no curve", "infinite"]);
}

/// At the ends of the range of δ, and the reason is the right one.
#[test]
fn no_failure_and_any_failure() {
    let desk = Desk::new();
    let none = desk.told(&TUTORIAL.replace("--delta 1e-5", "--delta 0"));
    let words = none.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(none.starts_with("ε at δ = 0,") && words.contains("δ = 0 has no ε"), "{none}");
    assert!(!none.contains("without noise"), "{none}");
    let any = desk.told(&TUTORIAL.replace("--delta 1e-5", "--delta 1"));
    assert!(any.starts_with("ε at δ = 1,") && any.contains("lies at 0"), "{any}");
}

/// Fewer than one run in the mean was once free.
#[test]
fn the_best_of_half_a_run_is_not_free() {
    let desk = Desk::new();
    let answer = desk.json(&format!("{TUTORIAL} --best-of poisson:0.5"));
    let improved =
        |row: usize| answer["rows"][row]["rdp_best_order"]["epsilon"].as_f64().expect("a number");
    assert!(improved(1) > 0.9 * improved(0) && improved(1) < 1.1 * improved(0), "{answer}");
}

#[test]
fn cohorts_of_fixed_size_are_priced_as_such_or_refused() {
    let desk = Desk::new();
    let fixed = format!("{TUTORIAL} --sampling fixed-size");
    let answer = desk.json(&fixed);
    assert_eq!(answer["relation"], "replace_one");
    assert!(answer["rows"][0]["exact"].is_null());
    assert!(answer["rows"][0]["exact_refused"].as_str().expect("why").contains("no bound"));
    let text = desk.told(&fixed);
    assert!(text.contains("not exact"), "{text}");
    desk.refuses(
        &format!("{fixed} --relation add-or-remove"),
        3,
        &["no bound", "50 of 3383 drawn without replacement", "--relation replace"],
    );
    // Replacing a client moves a sum twice as far.
    let replaced = desk.json(&format!("{TUTORIAL} --relation replace"));
    let epsilon = replaced["rows"][0]["exact"]["lower"].as_f64().expect("a number");
    assert!(epsilon > 8.2, "{epsilon}");
}

#[test]
fn several_runs_and_a_search_are_priced_beside_one() {
    let desk = Desk::new();
    let answer = desk.json(&format!("{TUTORIAL} --runs 3 --best-of 20"));
    let rows = answer["rows"].as_array().expect("rows");
    assert_eq!(rows.len(), 3);
    let improved = |row: &Value| row["rdp_best_order"]["epsilon"].as_f64().expect("a number");
    assert_eq!(rows[1]["releases"], 300);
    near(&rows[0]["rdp_improved"]["epsilon"], 9.900_011);
    assert!(improved(&rows[1]) > improved(&rows[0]));
    assert!(improved(&rows[2]) > improved(&rows[0]));
    let text = desk.told(&format!("{TUTORIAL} --runs 3 --best-of poisson:20"));
    assert!(text.contains("3 runs, released") && text.contains("best of about 20"), "{text}");
    desk.refuses(&format!("{TUTORIAL} --best-of 1"), 2, &["--best-of", "(1, 1e12]"]);
    desk.refuses(&format!("{TUTORIAL} --best-of normal:3"), 2, &["normal", "geometric"]);
    desk.refuses(&format!("{TUTORIAL} --best-of many"), 2, &["many", "not a number"]);
    desk.refuses(&format!("{TUTORIAL} --runs 0"), 2, &["--runs"]);
}

#[test]
fn values_out_of_range_and_missing_ones_are_usage_errors() {
    let desk = Desk::new();
    for (from, to, parts) in [
        ("--delta 1e-5", "--delta 2", &["--delta", "[0, 1]", "2"][..]),
        ("--delta 1e-5", "--delta NaN", &["--delta", "[0, 1]"]),
        ("--delta 1e-5", "--delta -1e-5", &["--delta", "[0, 1]"]),
        ("--delta 1e-5", "", &["--delta is missing"]),
        ("--noise 0.5", "--noise -1", &["--noise", "[0, inf)", "-1"]),
        ("--noise 0.5", "--noise half", &["--noise", "not a number"]),
        ("--noise 0.5", "--noise inf", &["--noise", "[0, inf)"]),
        ("--noise 0.5", "", &["--noise"]),
        ("--clients 50", "--clients 4000", &["4000", "3383"]),
        ("--clients 50", "--clients 0", &["above 0"]),
        ("--clients 50", "--clients -5", &["above 0", "-5"]),
        ("--clients 50", "--clients NaN", &["above 0"]),
        ("--rounds 100", "--rounds 0", &["--rounds"]),
        ("--rounds 100", "--rounds 1.5", &["--rounds", "not a whole number from 1"]),
        ("--rounds 100", "--rounds 1e-3", &["--rounds", "not a whole number from 1"]),
        ("--rounds 100", "--rounds -3", &["--rounds", "-3", "not a whole number from 1"]),
        ("--noise 0.5", "--noise 1e400", &["--noise", "[0, inf)"]),
        ("--population 3383", "--population -5", &["--population", "not a whole number from 1"]),
        ("--population 3383", "--population 18446744073709551616", &["--population", "below 2^64"]),
        ("--delta 1e-5", "--delta 1e-5 --runs -3", &["--runs", "not a whole number from 1"]),
        ("--delta 1e-5", "--delta 1e-5 --best-of -2", &["--best-of", "(1, 1e12]"]),
        ("--rounds 100", "--rounds 99999999999999999", &["2^53"]),
        ("--population 3383", "--population 0", &["population"]),
        ("--delta 1e-5", "--delta 1e-5 --width 0", &["interval width", "(0, 1]"]),
        ("--clients 50", "--client 50", &["--clients"]),
        ("--clients 50", "--clients 50 config.toml", &["cannot be used with"]),
    ] {
        let arguments = TUTORIAL.replace(from, to);
        assert_ne!(arguments, TUTORIAL);
        let code = if to.contains("999999") { 3 } else { 2 };
        desk.refuses(&arguments, code, parts);
    }
    desk.refuses("", 2, &["nothing to price", "--import"]);
}

const SWEEP: &str = "name = \"small\"\nseeds = [1, 2]\nrounds = 100\ndelta = 1e-5\n\
                     [sweep]\nnoise_multipliers = [0.0, 0.5]\nclients_per_round = [50]\n\
                     [data]\nsource = \"synthetic\"\n";

#[test]
fn a_configuration_is_priced_without_its_data() {
    let desk = Desk::new();
    desk.file("sweep.toml", SWEEP);
    let answer = desk.json("sweep.toml");
    let rows = answer["rows"].as_array().expect("rows");
    assert_eq!(rows.len(), 4, "two settings, the runs with noise, all runs: {answer}");
    assert_eq!(rows[0]["exact"]["upper"], "inf");
    near(&rows[1]["rdp_improved"]["epsilon"], 9.900_011);
    assert_eq!((&rows[2]["releases"], &rows[3]["releases"]), (&200.into(), &400.into()));
    assert!(rows[2]["rdp_improved"]["epsilon"].is_number(), "{answer}");
    for line in desk.told("sweep.toml").lines() {
        assert!(line.chars().count() <= 80, "{} columns: {line}", line.chars().count());
    }
    let text = desk.told("sweep.toml --delta 1e-6");
    assert!(text.contains("all 4 runs, released") && text.contains("δ = 1e-6"), "{text}");

    // The number of clients comes from a flag where the data would have to be opened.
    desk.file("real.toml", &SWEEP.replace("\"synthetic\"", "\"emnist.sqlite\""));
    desk.refuses("real.toml", 2, &["emnist.sqlite", "--population"]);
    let other = desk.json("real.toml --population 539");
    let epsilon = other["rows"][1]["rdp_improved"]["epsilon"].as_f64().expect("a number");
    assert!((epsilon - 34.0).abs() < 0.1, "{epsilon}");

    // What a [calibrate] finds.
    let calibrate = SWEEP.replace(
        "[sweep]\nnoise_multipliers = [0.0, 0.5]\nclients_per_round = [50]\n",
        "[calibrate]\ntarget_epsilon = 2.0\nbase_noise_multiplier = 0.5\n\
         base_clients_per_round = 50\n",
    );
    desk.file("final.toml", &calibrate);
    let answer = desk.json("final.toml");
    assert!(answer["source"].as_str().expect("text").contains("120 clients"), "{answer}");
    near(&answer["rows"][0]["rdp_improved"]["epsilon"], 1.988_877);
    near(&answer["rows"][0]["exact"]["lower"], 1.707_470_645);
    for line in desk.told("final.toml").lines() {
        assert!(line.chars().count() <= 80, "{} columns: {line}", line.chars().count());
    }
    let text = desk.told("final.toml").split_whitespace().collect::<Vec<_>>().join(" ");
    for part in ["classic conversion 152 clients", "improved one 120 clients", "exactly 104"] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }

    desk.file("typo.toml", &SWEEP.replace("noise_multipliers", "noise_multiplyers"));
    desk.refuses("typo.toml", 3, &["typo.toml", "did you mean `noise_multipliers`?"]);
    desk.refuses("nowhere.toml", 3, &["nowhere.toml", "cannot read"]);
    desk.file("notes.txt", "hello");
    desk.refuses("notes.txt", 3, &["notes.txt", ".toml", ".jsonl"]);
}

#[test]
fn a_ledger_is_read_checked_and_priced() {
    let desk = Desk::new();
    let small = "name = \"small\"\nseeds = [1]\nrounds = 2\ndelta = 1e-3\n\
                 [sweep]\nnoise_multipliers = [0.4, 0.3]\nclients_per_round = [5]\n\
                 [data]\nsource = \"synthetic\"\nsynthetic = { seed = 0, clients = 20 }\n\
                 [model]\nhidden = [8]\n";
    desk.file("small.toml", small);
    fs::create_dir(desk.path("data")).expect("a folder");
    let trained = desk.run(&["sweep"], "small.toml --out run --data-dir data");
    assert!(trained.status.success(), "{}", String::from_utf8_lossy(&trained.stderr));

    let answer = desk.json("run");
    let rows = answer["rows"].as_array().expect("rows");
    assert_eq!(rows.len(), 3, "two runs and both: {answer}");
    assert_eq!(answer["delta"], 1e-3);
    assert_eq!(rows[2]["releases"], 4);
    let cell = "run/cells/z0.4-m5-s1";
    let one = desk.json(cell);
    assert_eq!(one["rows"].as_array().expect("rows").len(), 1);
    let statement = fs::read_to_string(desk.path(cell).join("privacy.json")).expect("a statement");
    let statement: Value = serde_json::from_str(&statement).expect("JSON");
    assert_eq!(statement["epsilon"], one["rows"][0]["rdp_improved"]["epsilon"]);
    assert!(!one["not_covered"].as_array().expect("a list").is_empty());

    // The planned price of the configuration is that of the ledger.
    let planned = desk.json("small.toml");
    let price = |answer: &Value, label: &str| {
        let rows = answer["rows"].as_array().expect("rows");
        let row = rows.iter().find(|row| row["label"].as_str().expect("text").starts_with(label));
        row.expect("a row")["exact"]["upper"].as_f64().expect("a number")
    };
    assert!((price(&planned, "z = 0.4") - price(&answer, "z = 0.4")).abs() < 2e-9);

    // An altered line, a shortened ledger, none at all.
    let ledger = desk.path(cell).join("ledger.jsonl");
    let whole = fs::read_to_string(&ledger).expect("a ledger");
    assert!(whole.contains("\"count\":1"), "{whole}");
    fs::write(&ledger, whole.replacen("\"count\":1", "\"count\":9", 1)).expect("written");
    desk.refuses("run", 3, &["ledger.jsonl", "line 1", "altered"]);
    fs::write(&ledger, whole.trim_end().to_owned() + "\ntail\n").expect("written");
    desk.refuses("run", 3, &["ledger.jsonl", "line 3", "cannot be read"]);
    let mut other = dp_accounting::Ledger::new();
    other.record(dp_accounting::DpEvent::NoOp);
    fs::write(&ledger, other.to_json_lines()).expect("written");
    desk.refuses("run", 3, &["ledger.jsonl", "privacy.json"]);
    fs::write(&ledger, "").expect("written");
    desk.refuses("run", 3, &["ledger.jsonl", "empty"]);
    fs::remove_file(&ledger).expect("removed");
    desk.refuses("run", 3, &["ledger.jsonl", "missing"]);
    desk.refuses(cell, 3, &["holds no ledger"]);
    desk.refuses("data", 3, &["data holds no ledger"]);
    desk.refuses("gone.jsonl --delta 1e-5", 3, &["cannot read gone.jsonl"]);

    // A ledger alone has no δ of its own.
    desk.file("alone.jsonl", &whole);
    desk.refuses("alone.jsonl", 2, &["--delta is missing"]);
    let alone = desk.json("alone.jsonl --delta 1e-3");
    assert_eq!(alone["rows"][0]["rdp_improved"], one["rows"][0]["rdp_improved"]);
}

#[test]
fn histories_of_other_libraries_are_priced() {
    let desk = Desk::new();
    desk.file(
        "event.json",
        r#"{"class_name": "SelfComposedDpEvent", "count": 100, "event":
            {"class_name": "PoissonSampledDpEvent", "sampling_probability": 0.03547147502216967,
             "event": {"class_name": "GaussianDpEvent", "noise_multiplier": 1.2}}}"#,
    );
    desk.file("opacus.json", r#"{"history": [[1.0, 0.01, 1000]], "mechanism": "prv"}"#);
    let event = desk.json("--import event.json --delta 1e-5");
    near(&event["rows"][0]["rdp_improved"]["epsilon"], 1.988_877);
    near(&event["rows"][0]["exact"]["lower"], 1.707_470_645);
    let opacus = desk.told("--import opacus.json --delta 1e-15");
    assert!(opacus.contains("Opacus") && opacus.contains("between 4.85453775"), "{opacus}");

    desk.file("laplace.json", r#"{"class_name": "LaplaceDpEvent", "noise_multiplier": 2}"#);
    let laplace = desk.told("--import laplace.json --delta 1e-6");
    assert!(laplace.contains('*') && laplace.contains("on a grid"), "{laplace}");

    for (text, parts) in [
        ("", &["empty"][..]),
        ("{\"class_name\": \"GausianDpEvent\"}", &["did you mean GaussianDpEvent?"]),
        ("{\"class_name\": \"GaussianDpEvent\", \"noise_multiplier\": NaN}", &["NaN", "line 1"]),
        ("[[1.0, -0.5, 3]]", &["$[0][1]", "sampling probability", "-0.5"]),
        ("[[1.0, 0.5, 3]] x", &["trailing"]),
        ("{\"class_name\": \"UnsupportedDpEvent\"}", &["no counterpart"]),
    ] {
        desk.file("bad.json", text);
        let parts: Vec<&str> = parts.iter().copied().chain(["bad.json"]).collect();
        desk.refuses("--import bad.json --delta 1e-5", 3, &parts);
    }
    fs::write(desk.path("bad.json"), [0xff, 0xfe, 0x00]).expect("written");
    desk.refuses("--import bad.json --delta 1e-5", 3, &["not text"]);
    desk.refuses("--import nowhere.json --delta 1e-5", 3, &["cannot read nowhere.json"]);
    desk.refuses("--import . --delta 1e-5", 3, &["is a folder"]);
    desk.refuses("event.json --delta 1e-5", 3, &["--import event.json"]);
    desk.refuses("--import event.json", 2, &["--delta is missing"]);
}

#[test]
fn curves_are_drawn_and_not_over_others() {
    let desk = Desk::new();
    desk.told(&format!("{TUTORIAL} --curve figures"));
    for name in ["epsilon.svg", "epsilon.png"] {
        let size = fs::metadata(desk.path("figures").join(name)).map_or(0, |meta| meta.len());
        assert!(size > 5_000, "{name}: {size} bytes");
    }
    desk.refuses(&format!("{TUTORIAL} --curve figures"), 3, &["epsilon.svg exists"]);
    desk.file("taken", "a file");
    desk.refuses(&format!("{TUTORIAL} --curve taken"), 3, &["taken"]);
    desk.file("sweep.toml", SWEEP);
    desk.told("sweep.toml --curve several");
    assert!(desk.path("several/epsilon.png").is_file());
}

#[test]
fn help_names_the_four_sources() {
    let desk = Desk::new();
    let help = desk.told("--help");
    for part in ["--clients", "--import", "--curve", "--json", "--best-of", "Examples:", "ledger"] {
        assert!(help.contains(part), "no {part:?} in {help}");
    }
}

/// What is sampled costs what its own pair costs, and what is only a bound shows no lower end.
#[test]
fn bounded_losses_are_priced_as_what_they_are() {
    let desk = Desk::new();
    let sampled = |event: &str| {
        format!(
            r#"{{"class_name": "SelfComposedDpEvent", "count": 10.0, "event":
                {{"class_name": "PoissonSampledDpEvent", "sampling_probability": 0.1,
                 "event": {event}}}}}"#
        )
    };
    let laplace = r#"{"class_name": "LaplaceDpEvent", "noise_multiplier": 1.0}"#;
    desk.file("event.json", &sampled(laplace));
    let answer = desk.json("--import event.json --delta 1e-5");
    let grid = &answer["rows"][0]["grid"];
    let end = |name: &str| grid[name].as_f64().unwrap_or_else(|| panic!("{answer}"));
    assert!(end("lower") <= 1.174_21 && end("upper") >= 1.173_63, "{answer}");
    assert!(end("lower") > 1.17 && end("upper") < 1.174_3, "{answer}");

    let exponential = r#"{"class_name": "ExponentialMechanismDpEvent", "epsilon": 1.0}"#;
    desk.file("event.json", &sampled(exponential));
    let answer = desk.json("--import event.json --delta 1e-5");
    assert!(answer["rows"][0]["grid"]["lower"].is_null(), "{answer}");
    let text = desk.told("--import event.json --delta 1e-5");
    assert!(text.contains("at most") && !text.contains("between"), "{text}");
}

/// A pure guarantee has no need of a δ, and the reason for its price is not a lack of noise.
#[test]
fn a_pure_guarantee_holds_at_every_delta() {
    let desk = Desk::new();
    desk.file("pure.json", r#"{"kind": "pure_dp", "epsilon": 0.3}"#);
    for delta in ["0", "5e-324", "1e-200", "1e-16"] {
        let text = desk.told(&format!("--import pure.json --delta {delta}"));
        assert!(!text.contains("without noise"), "{delta}: {text}");
        assert!(text.contains("at most 0.3"), "{delta}: {text}");
    }
    // At a δ that no grid resolves there is noise all the same.
    desk.file(
        "mixed.json",
        r#"{"kind": "composed", "events": [{"kind": "gaussian", "noise_multiplier": 2.0},
            {"kind": "laplace", "noise_multiplier": 5.0}]}"#,
    );
    let text = desk.told("--import mixed.json --delta 1e-300");
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("does not resolve so small a δ"), "{text}");
    assert!(!words.contains("without noise"), "{text}");
}

#[test]
fn numbers_of_a_table_never_run_together() {
    let desk = Desk::new();
    for noise in ["0.02", "0.004", "0.0011", "0.0004"] {
        let text = desk.told(&TUTORIAL.replace("--noise 0.5", &format!("--noise {noise}")));
        let row = text.lines().find(|line| line.starts_with("this run")).expect("a row");
        let cells: Vec<&str> = row["this run".len()..].split_whitespace().collect();
        assert_eq!(cells.len(), 4, "{noise}: {row}");
        for cell in cells {
            let number = cell.trim_end_matches('*');
            assert!(number == "-" || number.parse::<f64>().is_ok(), "{noise}: {row}");
        }
    }
}

#[test]
fn counts_are_written_as_people_write_them() {
    let desk = Desk::new();
    let plain = desk.json(TUTORIAL);
    for (from, to) in [
        ("--rounds 100", "--rounds 1e2"),
        ("--rounds 100", "--rounds 100.0"),
        ("--rounds 100", "--rounds 1_00"),
        ("--population 3383", "--population 3_383"),
        ("--clients 50", "--clients 5e1"),
    ] {
        let other = desk.json(&TUTORIAL.replace(from, to));
        assert_eq!(other["rows"], plain["rows"], "{to}");
    }
}

#[test]
fn a_history_may_come_through_a_pipe_and_says_nothing_twice() {
    let desk = Desk::new();
    let pipe = |text: &str| {
        Command::cargo_bin("xtask")
            .expect("built")
            .current_dir(desk.folder.path())
            .args(["account", "--import", "-", "--delta", "1e-5", "--json"])
            .write_stdin(text)
            .output()
            .expect("started")
    };
    let state =
        r#"{"privacy_accountant_state_dict": {"history": [[1.2, 0.03547147502216967, 100]]}}"#;
    let output = pipe(state);
    let text = String::from_utf8(output.stdout).expect("text");
    let answer: Value =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    near(&answer["rows"][0]["rdp_improved"]["epsilon"], 1.988_877);
    assert!(answer["source"].as_str().is_some_and(|source| source.contains("standard input")));

    let twice =
        r#"{"class_name": "GaussianDpEvent", "noise_multiplier": 0.5, "noise_multiplier": 8}"#;
    let output = pipe(twice);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{error}");
    assert!(error.contains("noise_multiplier") && error.contains("stands twice"), "{error}");
    assert!(output.stdout.is_empty());
    let output = pipe("");
    assert_eq!(output.status.code(), Some(3));
}
