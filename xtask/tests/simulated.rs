//! A simulation says so wherever it shows an ε, and a release says that it is one.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

const SMALL: &str = "name = \"small\"\nseeds = [1, 2]\nrounds = 4\ndelta = 1e-3\n\
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
        // `account` and `report` open no data.
        if !["account", "report"].contains(&arguments[0]) {
            command.args(["--data-dir", "data"]);
        }
        command.output().expect("started")
    }

    #[track_caller]
    fn told(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    #[track_caller]
    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.path(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
    }
}

/// Every line with the price of a run says `word`.
#[track_caller]
fn every_epsilon_says(word: &str, text: &str) {
    let lines: Vec<&str> = text.lines().filter(|line| line.contains('ε')).collect();
    assert!(!lines.is_empty(), "no ε in {text}");
    for line in lines {
        assert!(line.to_lowercase().contains(word), "no {word:?} in {line:?} of\n{text}");
    }
}

const RELEASE: &str = "noise = \"release\"\n";

fn modes() -> [(String, &'static str, &'static str, &'static str); 2] {
    [
        (SMALL.to_owned(), "simulated", "simulation", "Simulated guarantee: ("),
        (
            SMALL.replacen("[sweep]", &format!("{RELEASE}[sweep]"), 1),
            "release",
            "release",
            "Guarantee: (",
        ),
    ]
}

#[test]
fn a_sweep_says_it_on_the_screen_and_in_every_record() {
    for (config, word, noise, head) in modes() {
        let bench = Bench::new(&config);
        let said = bench.told(&["sweep", "c.toml", "--out", "run", "--max-epsilon", "1000"]);
        every_epsilon_says(word, &said);
        assert!(said.contains("Budget: ") && said.contains("Round   4: "), "{said}");
        let again = bench.told(&["report", "run"]);
        every_epsilon_says(word, &again);
        every_epsilon_says(word, &bench.read("run/summary.md"));
        let svg = bench.read("run/figures/curves.svg");
        let description = svg.split("<desc>").nth(1).expect("a description");
        assert!(description.split("</desc>").next().expect("its end").contains(noise), "{noise}");

        for (table, last) in [
            ("run/summary.csv".to_owned(), "delta,noise,epsilon_is"),
            ("run/evaluations.csv".to_owned(), "epsilon,noise,epsilon_is"),
            (format!("run/{CELL}/evaluations.csv"), "epsilon,noise,epsilon_is"),
        ] {
            let text = bench.read(&table);
            let mut lines = text.lines();
            assert!(lines.next().expect("names").ends_with(last), "{text}");
            assert!(lines.clone().count() > 0, "{text}");
            let end = format!(",{noise},{word}");
            assert!(lines.all(|line| line.ends_with(&end)), "{table}: {text}");
        }

        for line in bench.read(&format!("run/{CELL}/metrics.jsonl")).lines() {
            let line: Value = serde_json::from_str(line).expect("JSON");
            assert_eq!(line["noise"], noise);
            assert_eq!(line["released"].is_object(), noise == "release", "{line}");
            assert_eq!(line["simulated"].is_object(), noise == "simulation", "{line}");
        }
        let statement = bench.read(&format!("run/{CELL}/privacy.txt"));
        assert!(statement.starts_with(head), "{statement}");
        let statement: Value =
            serde_json::from_str(&bench.read(&format!("run/{CELL}/privacy.json"))).expect("JSON");
        assert_eq!(statement["epsilon_is"], word);

        // `account` of the run, of one of its runs, and of the configuration.
        for (from, epsilon_is) in [
            ("run", word.to_owned()),
            (&format!("run/{CELL}"), word.to_owned()),
            ("c.toml", format!("planned; {word}")),
        ] {
            let answer: Value =
                serde_json::from_str(&bench.told(&["account", from, "--json"])).expect("JSON");
            assert_eq!(
                (&answer["epsilon_is"], &answer["noise"]),
                (&epsilon_is.into(), &noise.into())
            );
            let text = bench.told(&["account", from]);
            let first = text.lines().next().expect("a line").to_lowercase();
            assert!(first.contains(word) && first.contains('ε'), "{text}");
            assert_eq!(first.contains("planned"), from == "c.toml", "{text}");
            assert!(text.contains("stands for"), "{text}");
        }
        // A ledger alone does not say it, and nobody guesses.
        fs::copy(bench.path(&format!("run/{CELL}/ledger.jsonl")), bench.path("ledger.jsonl"))
            .expect("copied");
        let alone = bench.told(&["account", "ledger.jsonl", "--delta", "1e-3"]);
        let words = alone.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains("whether its noise was a release's or simulated is not in it"));

        let spent = bench.run(&["sweep", "c.toml", "--out", "spent", "--max-epsilon", "8"]);
        assert_eq!(spent.status.code(), Some(4));
        let error = String::from_utf8_lossy(&spent.stderr).into_owned();
        assert!(error.contains("the privacy budget is spent"), "{error}");
        for line in error.lines().filter(|line| line.contains('ε')) {
            assert!(line.contains(word), "{line}");
        }
    }
}

#[test]
fn a_final_run_says_it_from_the_search_to_the_headline() {
    for (config, word, _, head) in modes() {
        let calibrate = "[calibrate]\ntarget_epsilon = 30\nbase_noise_multiplier = 0.4\n\
                         base_clients_per_round = 5\n";
        let sweep = "[sweep]\nnoise_multipliers = [0.4]\nclients_per_round = [5]\n";
        let bench = Bench::new(&config.replace(sweep, calibrate));
        let found = bench.told(&["calibrate", "c.toml"]);
        assert!(found.contains("(planned price: "), "{found}");
        every_epsilon_says(word, &found);
        let verbose = bench.told(&["calibrate", "c.toml", "-v"]);
        assert!(verbose.contains(&format!("planned prices ({word})")), "{verbose}");
        let said = bench.told(&["final", "c.toml", "--out", "run"]);
        assert!(said.contains(&format!("\n{head}")), "{said}");
        assert!(bench.read("run/privacy.txt").starts_with(head));
        let (before, _) = said.split_once(head).expect("a headline");
        every_epsilon_says(word, before);
    }
}

/// A gap is shown wherever the ε is that it takes the model out of.
#[test]
fn adaptive_zeroing_is_said_wherever_its_epsilon_is() {
    let zeroing = "[aggregation]\nkind = \"private\"\nzeroing = { kind = \"adaptive\" }\n";
    for (config, word, noise, _) in modes() {
        let bench = Bench::new(&(config.clone() + zeroing));
        if noise == "release" {
            let refused = bench.run(&["sweep", "c.toml", "--out", "run"]);
            let error = String::from_utf8_lossy(&refused.stderr).into_owned();
            assert_eq!(refused.status.code(), Some(3), "{error}");
            assert!(error.contains("uncovered = [\"adaptive_zeroing\"]"), "{error}");
            assert!(!bench.path("run").exists());
            let named = "uncovered = [\"adaptive_zeroing\"]\n[sweep]";
            let text = (config + zeroing).replacen("[sweep]", named, 1);
            fs::write(bench.path("c.toml"), text).expect("written");
        }
        let said = bench.told(&["sweep", "c.toml", "--out", "run"]);
        every_epsilon_says(word, &said);
        every_epsilon_says("of the model", &said);
        every_epsilon_says("of the model", &bench.read("run/summary.md"));
        for table in ["run/summary.csv", "run/evaluations.csv"] {
            let end = format!(",{word}; not of the model: adaptive zeroing");
            let text = bench.read(table);
            assert!(text.lines().skip(1).all(|line| line.ends_with(&end)), "{text}");
        }
        let svg = bench.read("run/figures/curves.svg");
        assert!(svg.contains("adaptive zeroing: no guarantee of the model</desc>"));
        let statement = bench.read(&format!("run/{CELL}/privacy.txt"));
        assert!(!statement.contains("-differential privacy"), "{statement}");
        for from in ["run", "c.toml"] {
            let text = bench.told(&["account", from]);
            let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(text.lines().next().expect("one").contains("not of the model"), "{text}");
            assert!(words.contains("No guarantee of the model"), "{text}");
        }
    }
}
