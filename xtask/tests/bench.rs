//! `cargo xtask bench` as it is typed.

use assert_cmd::Command;

fn bench(arguments: &[&str]) -> Command {
    let mut command = Command::cargo_bin("xtask").expect("the binary is built");
    command.args(["bench", "--rounds", "2", "--evaluations", "1", "--threads", "1"]);
    command.args(["--population", "40"]).args(arguments);
    if !arguments.contains(&"--clients") {
        command.args(["--clients", "8"]);
    }
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn measures_writes_and_compares() {
    let folder = tempfile::tempdir().expect("a folder");
    let data_dir = folder.path().join("data").display().to_string();
    let file = folder.path().join("before.json").display().to_string();

    let first = bench(&["--data-dir", &data_dir, "--json", &file]).assert().success();
    let table = text(&first.get_output().stdout);
    for expected in ["of peak", "population 40", "Where a round goes", "Evaluation of"] {
        assert!(table.contains(expected), "no {expected:?} in\n{table}");
    }
    assert!(table.lines().skip(1).all(|line| line.chars().count() <= 80 || line.contains("Data")));
    let written: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(&file).expect("written")).expect("JSON");
    assert_eq!(written["rounds"][0]["clients"], 8);
    assert_eq!(written["rounds"][0]["rounds"], 2);
    assert!(written["rounds"][0]["median"].as_f64().is_some_and(|seconds| seconds > 0.0));
    assert!(written["peaks"][0]["gflops"].as_f64().is_some_and(|rate| rate > 0.1));

    let second = bench(&["--data-dir", &data_dir, "--compare", &file]).assert().success();
    let table = text(&second.get_output().stdout);
    assert!(table.contains("Against") && table.contains("ratio"), "{table}");

    let figures = folder.path().join("figures");
    let drawn = ["--data-dir", &data_dir, "--clients", "8,12", "--figure"];
    let mut drawing = bench(&drawn);
    drawing.arg(&figures).assert().success();
    assert!(figures.join("bench.svg").is_file() && figures.join("bench.png").is_file());

    // What is there is not overwritten.
    let refused = bench(&["--data-dir", &data_dir, "--json", &file]).assert().code(3);
    assert!(text(&refused.get_output().stderr).contains("exists already"));
}

#[test]
fn refuses_before_it_measures() {
    let folder = tempfile::tempdir().expect("a folder");
    let broken = folder.path().join("broken.json");
    std::fs::write(&broken, "{\"rounds\": []}").expect("written");
    let broken = broken.display().to_string();
    let refused = bench(&["--compare", &broken]).assert().code(3);
    assert!(text(&refused.get_output().stderr).contains("was not written by"));

    let refused = bench(&["--compare", "no such file"]).assert().code(3);
    assert!(text(&refused.get_output().stderr).contains("no such file"));

    for arguments in [["--backend", "tpu"], ["--data", "somewhere"], ["--figure", "somewhere"]] {
        bench(&arguments).assert().code(2);
    }
}
