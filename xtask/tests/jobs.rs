//! Runs side by side give what runs one after another give.

use std::fs;
use std::path::Path;

use assert_cmd::Command;

/// What a sweep of four small runs prints, without the lines that name the folder and who trains.
fn sweep(folder: &Path, jobs: &str) -> Vec<String> {
    let config = concat!(env!("CARGO_MANIFEST_DIR"), "/../configs/smoke.toml");
    let output = Command::cargo_bin("xtask")
        .expect("built")
        .current_dir(folder)
        .args(["sweep", config, "--threads", "2", "--data-dir", ".", "--jobs", jobs, "--out", jobs])
        .output()
        .expect("started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    let named = |line: &&str| !line.starts_with("Sweep:") && !line.starts_with("Records:");
    text.lines().filter(named).map(ToOwned::to_owned).collect()
}

#[test]
fn the_number_of_jobs_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let one = sweep(folder.path(), "1");
    let three = sweep(folder.path(), "3");
    assert_eq!(one, three);
    assert!(one.iter().filter(|line| line.starts_with("Starting training")).count() == 4);

    let (one, three) = (folder.path().join("1"), folder.path().join("3"));
    for file in ["summary.csv", "summary.md", "evaluations.csv", "figures/curves.svg"] {
        assert!(fs::read(one.join(file)).expect(file) == fs::read(three.join(file)).expect(file));
    }
    let cells = fs::read_dir(one.join("cells")).expect("cells").map(|cell| cell.expect("a cell"));
    let mut compared = 0;
    for cell in cells {
        for file in ["metrics.jsonl", "ledger.jsonl", "model.safetensors"] {
            let path = Path::new("cells").join(cell.file_name()).join(file);
            assert!(
                fs::read(one.join(&path)).expect(file) == fs::read(three.join(&path)).expect(file)
            );
            compared += 1;
        }
    }
    assert_eq!(compared, 12);
}
