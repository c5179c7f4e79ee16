//! A release and a simulation, as a person runs them: what is of the seed, and what is not.

use std::fs;
use std::path::Path;
use std::process::Command;

/// Trains one run of one seed in `folder`, and gives its folder's files.
fn trained(folder: &Path, out: &str, noise: &str) -> impl Fn(&str) -> String + use<> {
    let config = format!(
        "name = \"small\"\nseeds = [1]\nrounds = 3\ndelta = 1e-3\nevaluate_every = 1\n\
         noise = \"{noise}\"\n\
         [sweep]\nnoise_multipliers = [0.4]\nclients_per_round = [5]\n\
         [data]\nsource = \"synthetic\"\nsynthetic = {{ seed = 0, clients = 20 }}\n\
         [model]\nhidden = [8]\n\
         [aggregation]\nkind = \"private\"\nzeroing = {{ kind = \"off\" }}\n"
    );
    fs::create_dir_all(folder.join("data")).expect("a data folder");
    fs::write(folder.join("c.toml"), config).expect("written");
    let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .current_dir(folder)
        .args(["sweep", "c.toml", "--out", out, "--data-dir", "data"])
        .output()
        .expect("started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let cell = folder.join(out).join("cells/z0.4-m5-s1");
    move |file| {
        let path = cell.join(file);
        // The model is not text; its bytes are compared, not read.
        String::from_utf8_lossy(&fs::read(&path).expect("written")).into_owned()
    }
}

/// The rows of `evaluations.csv` after its names.
fn rows(table: &str) -> Vec<&str> {
    table.lines().skip(1).collect()
}

#[test]
fn one_seed_gives_one_simulation_and_any_number_of_releases() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (noise, said) in [
        ("simulation", "simulation noise: not a release"),
        ("release", "release noise: exact discrete Gaussian, system entropy"),
    ] {
        let [one, other] =
            ["1", "2"].map(|number| trained(folder.path(), &format!("{noise}-{number}"), noise));
        for run in [&one, &other] {
            assert!(run("config.toml").contains(&format!("noise = \"{noise}\"")));
            assert!(run("privacy.json").contains(said), "{}", run("privacy.json"));
            assert_eq!(rows(&run("evaluations.csv")).len(), 4);
        }
        let (first, second) = (one("evaluations.csv"), other("evaluations.csv"));
        let (first, second) = (rows(&first), rows(&second));
        // The weights that a run begins with are of its seed, and the price is that of the plan.
        assert_eq!(first[0], second[0]);
        let price = |row: &str| row.rsplit(',').next().map(str::to_owned);
        let same = noise == "simulation";
        for (one, other) in first.iter().zip(&second).skip(1) {
            assert_eq!(one == other, same, "{noise}: {one} and {other}");
            assert_eq!(price(one), price(other));
        }
        assert_eq!(one("model.safetensors") == other("model.safetensors"), same, "{noise}");
        assert_eq!(one("metrics.jsonl") == other("metrics.jsonl"), same, "{noise}");
    }
}
