//! Ctrl-C, SIGTERM and SIGHUP end the program at once, with exit code 130 and no half-written file.
//!
//! While runs train, the first of them asks for a clean stop after the round, and says so; the next
//! ends the program. A signal that whoever started the program has it ignore (`nohup`) stays
//! ignored.

use std::io::IsTerminal;
#[cfg(unix)]
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::failure::Failure;
use crate::screen::talk;

static ASKED: AtomicBool = AtomicBool::new(false);
static TRAINING: AtomicBool = AtomicBool::new(false);
static LEAVING: AtomicBool = AtomicBool::new(false);
/// Held while files are written that belong together.
static WRITING: Mutex<()> = Mutex::new(());

/// How long files that are being written are waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whether somebody asked to stop.
pub(crate) fn asked() -> bool {
    ASKED.load(Ordering::Relaxed)
}

/// Runs train as long as this lives: the first signal only asks them to stop.
pub(crate) struct Training(());

impl Training {
    pub(crate) fn begin() -> Self {
        TRAINING.store(true, Ordering::Relaxed);
        Self(())
    }
}

impl Drop for Training {
    fn drop(&mut self) {
        TRAINING.store(false, Ordering::Relaxed);
    }
}

/// Writes files that belong together: a signal waits until they are there. Not to be nested.
pub(crate) fn whole<T>(write: impl FnOnce() -> T) -> T {
    let _writing = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    write()
}

/// Whether the program is being left: whatever fails from now on is not worth a word.
pub(crate) fn is_leaving() -> bool {
    LEAVING.load(Ordering::Relaxed)
}

/// What a signal does.
fn heed() {
    let first = !ASKED.swap(true, Ordering::Relaxed);
    let clear = if std::io::stderr().is_terminal() { "\r\u{1b}[2K" } else { "" };
    let say = |text: &str| {
        if !clear.is_empty() {
            eprint_quietly(clear);
        }
        talk(text);
    };
    if first && TRAINING.load(Ordering::Relaxed) {
        say("stopping after this round; once more stops at once");
        return;
    }
    LEAVING.store(true, Ordering::Relaxed);
    let asked = Instant::now();
    let writing = loop {
        match WRITING.try_lock() {
            Ok(guard) => break Some(guard),
            Err(std::sync::TryLockError::Poisoned(poisoned)) => break Some(poisoned.into_inner()),
            Err(std::sync::TryLockError::WouldBlock) if asked.elapsed() > PATIENCE => break None,
            Err(std::sync::TryLockError::WouldBlock) => {
                std::thread::sleep(Duration::from_millis(2))
            }
        }
    };
    fed_data::scratch::remove();
    say("error: interrupted");
    drop(writing);
    std::process::exit(130);
}

fn eprint_quietly(text: &str) {
    use std::io::Write;
    let _ = write!(std::io::stderr().lock(), "{text}");
}

/// Listens from now on.
#[cfg(unix)]
pub(crate) fn listen() -> Result<(), Failure> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};

    let ignored = ignored();
    let heeded =
        [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|signal| ignored >> (signal - 1) & 1 == 0);
    let refuse =
        |error: std::io::Error| Failure::failed(format_args!("cannot listen for Ctrl-C: {error}"));
    // A file that its limit (ulimit -f) lets grow no more is an error of whoever writes it.
    signal_hook::flag::register(SIGXFSZ, Arc::default()).map_err(refuse)?;
    let mut signals = signal_hook::iterator::Signals::new(heeded).map_err(refuse)?;
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || signals.forever().for_each(|_| heed()))
        .map_err(refuse)?;
    Ok(())
}

/// The signals that this process was started to ignore, a bit each, where the system says so.
#[cfg(unix)]
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

/// Listens from now on.
#[cfg(not(unix))]
pub(crate) fn listen() -> Result<(), Failure> {
    ctrlc::set_handler(heed)
        .map_err(|error| Failure::failed(format_args!("cannot listen for Ctrl-C: {error}")))
}
