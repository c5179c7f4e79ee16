use super::*;
use dp_accounting::NoiseMultiplier;
use std::cell::Cell;
use std::rc::Rc;

fn run(number: u8) -> Bits128 {
    Bits128::new([number; 16])
}

fn event(noise: f64) -> DpEvent {
    DpEvent::gaussian(NoiseMultiplier::new(noise).expect("in range"))
}

/// A ledger of five rounds and the mark after three.
fn five(path: &Path, mode: NoiseMode) -> LedgerMark {
    let mut ledger = LedgerFile::create(path, mode, run(1)).expect("made");
    let mut mark = ledger.mark().clone();
    for round in 0..5 {
        if round == 3 {
            mark = ledger.mark().clone();
        }
        ledger.charge(&event(1.0)).expect("charged");
    }
    mark
}

fn lines(path: &Path) -> usize {
    std::fs::read_to_string(path).expect("read").lines().count()
}

#[test]
fn repeated_rounds_cost_nothing_in_a_simulation_and_everything_in_a_release() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (mode, known, at_the_end) in [(NoiseMode::Simulation, 3, 6), (NoiseMode::Release, 5, 8)] {
        let path = folder.path().join(format!("{mode:?}"));
        let mark = five(&path, mode);
        let (mut file, ledger, beyond) =
            LedgerFile::resume(&path, mode, Some(run(1)), &mark).expect("sound");
        assert_eq!(ledger.len(), known);
        assert_eq!(beyond, Beyond { rounds: 2, torn: false });
        for _ in 3..6 {
            file.charge(&event(1.0)).expect("charged");
        }
        assert_eq!(lines(&path), at_the_end);
        let text = std::fs::read_to_string(&path).expect("read");
        let (_, chain) = Ledger::from_json_lines(&text).expect("a sound chain");
        assert_eq!((chain.len(), chain.head()), (file.mark().lines, &*file.mark().head));
    }
}

#[test]
fn a_repeated_round_must_cost_what_it_cost() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("ledger");
    let mark = five(&path, NoiseMode::Simulation);
    let (mut file, ..) =
        LedgerFile::resume(&path, NoiseMode::Simulation, Some(run(1)), &mark).expect("sound");
    let error = file.charge(&event(2.0)).expect_err("another price");
    assert!(error.to_string().contains("line 4"), "{error}");
}

/// Cut anywhere, the ledger keeps its whole lines; with fewer than the checkpoint has seen it
/// is refused.
#[test]
fn a_ledger_cut_anywhere_is_taken_up_or_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("ledger");
    let mark = five(&path, NoiseMode::Release);
    let whole = std::fs::read(&path).expect("read");
    let ends: Vec<usize> =
        (0..whole.len()).filter(|&at| whole[at] == b'\n').map(|at| at + 1).collect();
    for length in 0..=whole.len() {
        std::fs::write(&path, &whole[..length]).expect("written");
        // A line without its line break is a line.
        let complete = ends.iter().filter(|&&end| end <= length + 1).count();
        match LedgerFile::resume(&path, NoiseMode::Release, Some(run(1)), &mark) {
            Ok((_, ledger, beyond)) => {
                assert!(complete >= 3);
                assert_eq!(ledger.len(), complete as u64);
                assert_eq!(beyond.rounds, complete as u64 - 3);
                assert_eq!(lines(&path), complete);
                assert_eq!(beyond.torn, !ends.contains(&length) && !ends.contains(&(length + 1)));
            }
            Err(error) => {
                assert!(complete < 3, "{error}");
                assert!(error.to_string().contains("lines are missing"), "{error}");
            }
        }
    }
}

#[test]
fn an_altered_line_is_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("ledger");
    let mark = five(&path, NoiseMode::Release);
    let text = std::fs::read_to_string(&path).expect("read");
    let second = text.lines().nth(1).expect("five lines");
    let altered = text.replacen(second, &second.replace("1.0", "9.0"), 1);
    assert_ne!(altered, text);
    std::fs::write(&path, altered).expect("written");
    let error =
        LedgerFile::resume(&path, NoiseMode::Release, Some(run(1)), &mark).expect_err("altered");
    assert!(error.to_string().contains("line 2"), "{error}");
    let missing: String =
        text.lines().enumerate().filter(|(n, _)| *n != 1).map(|(_, l)| format!("{l}\n")).collect();
    std::fs::write(&path, missing).expect("written");
    let error =
        LedgerFile::resume(&path, NoiseMode::Release, Some(run(1)), &mark).expect_err("missing");
    assert!(error.to_string().contains("line 2"), "{error}");
    std::fs::write(&path, [text.as_bytes(), &[0xff, b'\n']].concat()).expect("written");
    let error =
        LedgerFile::resume(&path, NoiseMode::Release, Some(run(1)), &mark).expect_err("not text");
    assert!(error.to_string().contains("line 6"), "{error}");
}

/// A chain of the right length, sound in itself and of the same run, but not the one that the
/// checkpoint was taken with: a cheaper past, written anew.
#[test]
fn a_ledger_that_was_written_anew_is_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for mode in [NoiseMode::Simulation, NoiseMode::Release] {
        let path = folder.path().join(format!("{mode:?}"));
        let mark = five(&path, mode);
        let mut cheaper = LedgerFile::create(&path, mode, run(1)).expect("made");
        (0..5).for_each(|_| cheaper.charge(&event(9.0)).expect("charged"));
        let error = LedgerFile::resume(&path, mode, Some(run(1)), &mark).expect_err("another");
        assert!(matches!(error, SimError::Altered { .. }), "{error}");
        assert!(error.to_string().contains("first 3 lines"), "{error}");
        // Events that cost the same are no excuse where every line has bits of its own.
        let same = five(&path, mode);
        let again = LedgerFile::resume(&path, mode, Some(run(1)), &mark);
        assert_eq!(again.is_err(), mode == NoiseMode::Release, "{again:?}");
        LedgerFile::resume(&path, mode, Some(run(1)), &same).expect("its own mark");
    }
}

/// Nothing was paid for when the checkpoint was taken, so that no head tells the runs apart.
#[test]
fn the_ledger_of_another_run_is_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("ledger");
    let mode = NoiseMode::Release;
    let start = LedgerFile::create(&path, mode, run(1)).expect("made").mark().clone();
    five(&path, mode);
    LedgerFile::resume(&path, mode, Some(run(1)), &start).expect("its own, and rounds were lost");
    for number in [Some(run(2)), None] {
        let error = LedgerFile::resume(&path, mode, number, &start).expect_err("another run");
        assert!(error.to_string().contains("the ledger of another run"), "{error}");
    }
}

/// A ledger that was begun without a number goes on without one, and is read.
#[test]
fn a_ledger_of_an_older_version_goes_on() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("ledger");
    let mut old = Ledger::new();
    old.record(event(1.0));
    std::fs::write(&path, old.to_json_lines()).expect("written");
    let head = Ledger::from_json_lines(&old.to_json_lines()).expect("sound").1.head().to_owned();
    let mark = LedgerMark { lines: 1, head };
    for mode in [NoiseMode::Simulation, NoiseMode::Release] {
        let (mut file, ..) = LedgerFile::resume(&path, mode, None, &mark).expect("readable");
        assert_eq!(file.run(), None);
        file.charge(&event(1.0)).expect("charged");
    }
    assert_eq!(lines(&path), 3);
}

/// A disk that keeps count of what it was asked to keep.
#[derive(Clone, Default)]
struct Disk(Rc<State>);

#[derive(Default)]
struct State {
    written: Cell<u64>,
    confirmed: Cell<u64>,
    refuses: Cell<bool>,
}

impl LineFile for Disk {
    fn append(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.written.set(self.0.written.get() + bytes.len() as u64);
        Ok(())
    }

    fn cut(&mut self, length: u64) -> std::io::Result<()> {
        self.0.written.set(length);
        Ok(())
    }

    fn confirm(&self) -> std::io::Result<()> {
        if self.0.refuses.get() {
            return Err(std::io::Error::other("no power"));
        }
        self.0.confirmed.set(self.0.written.get());
        Ok(())
    }
}

/// The round goes on when `charge` returns, so by then the disk must have the line of a release.
#[test]
fn the_disk_has_a_release_before_its_round_goes_on() {
    for mode in [NoiseMode::Simulation, NoiseMode::Release] {
        let disk = Disk::default();
        let mut ledger = LedgerFile::empty(Path::new("ledger"), disk.clone(), mode, run(1));
        for _ in 0..3 {
            ledger.charge(&event(1.0)).expect("charged");
            let Disk(state) = &disk;
            let kept = state.confirmed.get() == state.written.get();
            assert_eq!(kept, mode == NoiseMode::Release, "simulations wait for a checkpoint");
        }
        ledger.sync().expect("confirmed");
        assert_eq!(disk.0.confirmed.get(), disk.0.written.get());
        let lines = ledger.mark().lines;
        disk.0.refuses.set(true);
        let charged = ledger.charge(&event(1.0));
        assert_eq!(charged.is_err(), mode == NoiseMode::Release, "{charged:?}");
        assert_eq!(ledger.mark().lines - lines, u64::from(charged.is_ok()));
        ledger.sync().expect_err("no power");
    }
}
