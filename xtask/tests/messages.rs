//! What a person reads when something is wrong: which key, where, what it may be, what would do.

use std::fs;
use std::path::PathBuf;
use std::process::Output;

use assert_cmd::Command;
use tempfile::TempDir;

const SMALL: &str = "name = \"small\"\nseeds = [1]\nrounds = 2\ndelta = 1e-3\n\
                     [sweep]\nnoise_multipliers = [0.4]\nclients_per_round = [5]\n\
                     [data]\nsource = \"synthetic\"\nsynthetic = { seed = 0, clients = 20 }\n\
                     [model]\nhidden = [8]\n";

/// A folder of our own with a data folder that holds nothing.
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

    fn command(&self) -> Command {
        let mut command = Command::cargo_bin("xtask").expect("built");
        command.current_dir(self.folder.path());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command().args(arguments).args(["--data-dir", "data"]).output().expect("started")
    }

    /// Sweeps a configuration with these contents.
    fn sweep(&self, contents: impl AsRef<[u8]>) -> Output {
        fs::write(self.path("c.toml"), contents).expect("written");
        self.run(&["sweep", "c.toml", "--out", "run"])
    }

    /// Sweeps the small configuration with one place changed.
    fn changed(&self, from: &str, to: &str) -> Output {
        let text = SMALL.replacen(from, to, 1);
        assert_ne!(text, SMALL, "{from} is not in the configuration");
        self.sweep(text)
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("text")
}

#[track_caller]
fn refused(output: &Output, code: i32, parts: &[&str]) {
    let error = stderr(output);
    assert_eq!(output.status.code(), Some(code), "{error}");
    assert!(error.starts_with("error: "), "{error}");
    for part in parts {
        assert!(error.contains(part), "no {part:?} in {error}");
    }
    assert!(!error.contains("panicked") && error.len() < 2000, "{error}");
}

#[test]
fn a_wrong_value_is_shown_where_it_stands_in_a_persons_words() {
    let bench = Bench::new();
    for (from, to, parts) in [
        (
            "rounds = 2",
            "rounds = \"two\"",
            &["c.toml: line 3, column 10: ", "3 | rounds = \"two\"", "  |          ^^^^^"][..],
        ),
        ("rounds = 2", "rounds = 2.0", &["rounds must be a whole number from 1 to 4294967295"]),
        ("rounds = 2", "rounds = -1", &["not -1", "3 | rounds = -1"]),
        ("rounds = 2", "rounds = 99999999999999999999", &["line 3, column 10", "4294967295"]),
        ("delta = 1e-3", "delta = nan", &["delta must be a number from 0 to 1, not nan"]),
        ("[0.4]", "[0.4, inf]", &["noise_multipliers", "column 27", "not inf"]),
        ("[0.4]", "0.4", &["noise_multipliers must be a list [...]", "not 0.4"]),
        ("[8]", "[8, 0]", &["model.hidden", "line 12, column 14", "from 1 to 1048576"]),
        ("\"synthetic\"\n", "7\n", &["data.source", "\"auto\", \"synthetic\" or a path"]),
        ("[model]", "[client]\nalgorithm = \"sdg\"\n[model]", &["did you mean \"sgd\"?"]),
        ("[model]", "[client]\nmomentum = 1\n[model]", &["from 0 to below 1, not 1", "12 | mom"]),
        ("[model]", "[aggregation]\n[model]", &["[aggregation] needs kind", "\"private\""]),
        (
            "[model]",
            "[aggregation]\nkind = \"private\"\nclipping = { kind = \"adaptive\", clip_norm = 1 }\n[model]",
            &[
                "[aggregation.clipping] with kind = \"adaptive\" has no key `clip_norm`",
                "\"fixed\"",
            ],
        ),
        ("rounds = 2", "", &["a configuration needs rounds: a whole number"]),
        ("[model]", "rounds = 3\n[model]", &["[data] has no key `rounds`; ", "before the first"]),
        ("rounds = 2", "rounds = 2\nrounds = 3", &["line 4", "uplicate key"]),
        ("name = \"small\"", "name = \"a/b\"", &["line 1, column 8", "letters, digits"]),
        ("seeds = [1]", "seeds = [1, 2, 1]", &["line 2, column 9", "seeds holds 1 twice"]),
        ("[0.4]", "[0.4, 0.40]", &["line 6", "noise_multipliers holds 0.4 twice"]),
        ("[5]", "[5, 5.0]", &["line 7", "clients_per_round holds 5 twice"]),
    ] {
        let output = bench.changed(from, to);
        refused(&output, 3, parts);
        assert!(!bench.path("run").exists(), "{to}: something was written");
    }
}

#[test]
fn a_count_that_takes_all_the_noise_names_its_key_and_what_would_do() {
    let bench = Bench::new();
    let refusal = bench.changed("[0.4]", "[0.5]");
    refused(&refusal, 3, &["line 7", "clients_per_round", "must be at least 6"]);
    let enough = "[0.5]\nclients_per_round = [6]";
    assert_eq!(bench.changed("[0.4]\nclients_per_round = [5]", enough).status.code(), Some(0));
    let noised = "[aggregation]\nkind = \"private\"\nzeroing = { kind = \"noised\" }\n[model]";
    let both = SMALL.replace("[model]", noised).replace("[0.4]", "[1.0]").replace("[5]", "[14]");
    refused(&bench.sweep(&both), 3, &["must be at least 15", "zeroing"]);
    let given = "[aggregation]\nkind = \"private\"\nclipping = { kind = \"adaptive\", count_stddev = 0.1 }\n[model]";
    let refusal = bench.changed("[model]", given);
    refused(&refusal, 3, &["line 13", "aggregation.clipping.count_stddev must be larger", "0.2"]);
}

#[test]
fn files_of_another_kind_are_named() {
    let bench = Bench::new();
    refused(&bench.sweep(""), 3, &["needs name"]);
    let utf16: Vec<u8> = SMALL.encode_utf16().flat_map(u16::to_le_bytes).collect();
    refused(&bench.sweep([&[0xff, 0xfe], &*utf16].concat()), 3, &["line 1", "not UTF-8"]);
    refused(&bench.sweep(b"name = \"a\"\n# caf\xe9\n"), 3, &["line 2", "not UTF-8"]);
    refused(&bench.sweep(vec![b'#'; (16 << 20) + 1]), 3, &["larger than 16 MB"]);
    // A mark of the encoding and line ends of another system are no faults.
    let other = format!("\u{feff}{}", SMALL.replace('\n', "\r\n"));
    assert_eq!(bench.sweep(other).status.code(), Some(0));
}

#[test]
fn sizes_are_priced_before_they_are_allocated() {
    let bench = Bench::new();
    let huge = bench.changed("[8]", "[100000, 100000]");
    refused(&huge, 3, &["10079600010 parameters", "memory", "narrower"]);
    let huge = bench.changed("[8]", "[1048576, 1048576, 1048576]");
    refused(&huge, 3, &["memory"]);
    let long = bench.changed("[model]", "[client]\nepochs = 4294967295\n[model]");
    refused(&long, 3, &["epochs", "memory"]);
    let name = format!("name = \"{}\"", "a".repeat(10_000_000));
    refused(&bench.changed("name = \"small\"", &name), 3, &["line 1, column 8", "aaa…"]);
    let key = format!("{} = 1\nname = \"small\"", "noise_multipliers".repeat(500_000));
    refused(&bench.changed("name = \"small\"", &key), 3, &["line 1, column 1", "no key"]);
    let seeds: Vec<String> = (0..100_001).map(|seed: u32| seed.to_string()).collect();
    let grid = bench.changed("seeds = [1]", &format!("seeds = [{}]", seeds.join(",")));
    refused(&grid, 3, &["at most 100000 runs"]);
    assert!(!bench.path("run").exists());
    let output = bench.run(&["sweep", "c.toml", "--threads", "5000"]);
    refused(&output, 2, &["--threads", "a whole number from 1 to 4096"]);
}

#[test]
fn numbers_of_the_command_line_are_refused_in_words() {
    let bench = Bench::new();
    for (option, range) in [
        ("--threads", "from 1 to 4096"),
        ("--jobs", "from 1 to 4096"),
        ("--checkpoint-every", "from 1 to 4294967295"),
    ] {
        for wrong in ["0", "-1", "1.5", "many", "99999999999999999999999"] {
            let output = bench.run(&["sweep", "c.toml", option, wrong]);
            refused(&output, 2, &[option, wrong, "must be a whole number", range]);
        }
    }
}

#[test]
fn nothing_that_steers_a_terminal_is_printed() {
    let bench = Bench::new();
    let steering = "a\u{1b}[2J\u{7}\u{202e}";
    let outputs = [
        bench.changed("source = \"synthetic\"", "source = \"no\\u001b[2Jwhere\\u202e\""),
        bench.changed("rounds", &format!("\"{}\"", "\\u001b[31mred")),
        bench.changed("name = \"small\"", "name = \"\\u001b]0;title\\u0007\""),
        bench.run(&["sweep", steering]),
        bench.run(&["report", steering]),
        bench.run(&["data", "show", "synthetic", "--writers", "3", "--client", steering]),
        bench.run(&["data", "info", steering]),
    ];
    for output in outputs {
        assert_ne!(output.status.code(), Some(0));
        let said = [stderr(&output), String::from_utf8_lossy(&output.stdout).into_owned()].concat();
        let steers = |letter: char| letter.is_control() && letter != '\n' || letter == '\u{202e}';
        assert!(!said.contains(steers), "{said:?}");
    }
}

/// Nobody reads any more, or nothing can be written: an error or silence, never a panic.
#[cfg(unix)]
#[test]
fn closed_and_full_outputs_are_no_panics() {
    use std::process::Stdio;

    let bench = Bench::new();
    let run = |arguments: &[&str], out: Stdio, talk: Stdio| {
        let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin!("xtask"))
            .current_dir(bench.folder.path())
            .args(arguments)
            .stdout(out)
            .stderr(talk)
            .spawn()
            .expect("started");
        // Whoever holds the other ends drops them before the program says a word.
        drop((child.stdout.take(), child.stderr.take()));
        child.wait().expect("ended").code()
    };
    fs::write(bench.path("c.toml"), SMALL).expect("written");
    let price = ["account", "c.toml"];
    assert_eq!(run(&price, Stdio::piped(), Stdio::null()), Some(141));
    assert_eq!(run(&["keys"], Stdio::piped(), Stdio::piped()), Some(141));
    assert_eq!(run(&["sweep", "nowhere.toml"], Stdio::null(), Stdio::piped()), Some(3));
    assert_eq!(run(&["sweeep"], Stdio::null(), Stdio::piped()), Some(2));
    if let Ok(full) = fs::OpenOptions::new().write(true).open("/dev/full") {
        let other = full.try_clone().expect("twice");
        assert_eq!(run(&["keys"], full.into(), Stdio::null()), Some(1));
        assert_eq!(run(&["sweep", "nowhere.toml"], Stdio::null(), other.into()), Some(3));
    }
}

/// While the program is set up nothing is begun that would have to be finished: it ends at once.
#[cfg(unix)]
#[test]
fn signals_are_heeded_while_the_program_is_set_up() {
    use std::io::Read;
    use std::process::Stdio;
    use std::time::{Duration, Instant};

    const LONG: Duration = Duration::from_secs(300);

    let bench = Bench::new();
    let made = std::process::Command::new("mkfifo").arg(bench.path("c.toml")).status();
    assert!(made.expect("mkfifo").success());
    for signal in ["INT", "TERM", "HUP"] {
        // A pipe that nobody writes to is as slow as a file can be.
        let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin!("xtask"))
            .current_dir(bench.folder.path())
            .args(["sweep", "c.toml", "--out", "run", "--data-dir", "data"])
            .stderr(Stdio::piped())
            .spawn()
            .expect("started");
        // Until it listens, a signal would end it in the system's way.
        let tasks = format!("/proc/{}/task", child.id());
        let begun = Instant::now();
        while fs::read_dir(&tasks).map_or(0, Iterator::count) < 2 && begun.elapsed() < LONG {
            std::thread::sleep(Duration::from_millis(5));
        }
        let kill = std::process::Command::new("kill")
            .args([&format!("-{signal}"), &child.id().to_string()])
            .status();
        let status = child.wait().expect("ended");
        assert!(kill.expect("kill").success());
        let mut said = String::new();
        child.stderr.take().expect("piped").read_to_string(&mut said).expect("text");
        assert_eq!(status.code(), Some(130), "SIG{signal}: {said}");
        assert_eq!(said, "error: interrupted\n", "SIG{signal}");
        assert!(!bench.path("run").exists());
    }
}

/// What a budget cut short costs less than what was planned, and the table says the former.
#[test]
fn a_table_prices_what_was_released() {
    let bench = Bench::new();
    // Runs with noise of their own each: only they have a joint price.
    let two = SMALL
        .replace("seeds = [1]", "seeds = [1, 2]")
        .replace("rounds = 2", "rounds = 9\nnoise = \"release\"");
    fs::write(bench.path("c.toml"), two).expect("written");
    let price = |rounds: u32| {
        let rounds = rounds.to_string();
        let output = bench
            .command()
            .args(["account", "--clients", "5", "--population", "20", "--noise", "0.4"])
            .args(["--rounds", &rounds, "--delta", "1e-3"])
            .output()
            .expect("started");
        let text = String::from_utf8(output.stdout).expect("text");
        let row = text.lines().find(|line| line.starts_with("this run")).expect("a row");
        // Classic, improved, ...
        row.split_whitespace().nth(3).expect("a price").parse::<f64>().expect("a number")
    };
    let most = (price(4) + price(5)) / 2.0;
    let output =
        bench.run(&["sweep", "c.toml", "--out", "run", "--max-epsilon", &most.to_string()]);
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    let table = fs::read_to_string(bench.path("run/summary.md")).expect("a table");
    let (_, costs) = table.split_once("releasing all 2 runs of this table costs ").expect(&table);
    let costs: f64 = costs.split(' ').find_map(|word| word.parse().ok()).expect(costs);
    // Both released four rounds.
    assert!((costs - price(8)).abs() < 1e-3, "{costs}, not {}: {table}", price(8));
}

/// Paths that are no text are refused or taken as they are; none is a panic.
#[cfg(unix)]
#[test]
fn names_that_are_no_text_are_no_panics() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let bench = Bench::new();
    fs::write(bench.path("c.toml"), SMALL).expect("written");
    let odd = OsStr::from_bytes(b"odd\xff");
    let output = |arguments: &[&OsStr]| {
        let output = bench.command().args(arguments).args(["--data-dir", "data"]).output();
        output.expect("started")
    };
    let word = OsStr::new;
    let trained = output(&[word("sweep"), word("c.toml"), word("--out"), odd]);
    assert_eq!(trained.status.code(), Some(0), "{}", stderr(&trained));
    refused(&output(&[word("sweep"), OsStr::from_bytes(b"no\xff")]), 3, &["cannot read"]);
    let data = output(&[word("sweep"), word("c.toml"), word("--data"), odd]);
    refused(&data, 2, &["--data", "no UTF-8"]);
    let learner = output(&[word("sweep"), word("c.toml"), word("--backend"), odd]);
    assert_eq!(learner.status.code(), Some(2), "{}", stderr(&learner));
}

/// Limits that whoever starts the program sets are met with a sentence.
#[cfg(unix)]
#[test]
fn limits_of_the_system_are_said() {
    let bench = Bench::new();
    fs::write(bench.path("c.toml"), SMALL).expect("written");
    let limited = |limit: &str| {
        let script = format!("{limit}; exec \"$0\" sweep c.toml --out run --data-dir data");
        let program = assert_cmd::cargo::cargo_bin!("xtask");
        let mut command = Command::new("sh");
        command.current_dir(bench.folder.path()).args(["-c", &script]).arg(program);
        command.output().expect("started")
    };
    refused(&limited("ulimit -v 120000"), 1, &["ulimit -v", "raise it"]);
    // A file that may not grow is an error of whoever writes it, and no end by a signal.
    let full = limited("ulimit -f 1");
    assert_eq!(full.status.code(), Some(1), "{}", stderr(&full));
    assert!(stderr(&full).contains("File too large") && stderr(&full).contains("make room"));
}
