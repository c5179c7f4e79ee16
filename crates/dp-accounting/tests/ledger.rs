//! Ledgers: what is written can be read, what was tampered with is found, and accountants agree.

use std::num::NonZeroU64;

use dp_accounting::ledger::{Bits128, Chain, Entry, LineError};
use dp_accounting::verify::{Statement, VerifyError, agree, verify, verify_with};
use dp_accounting::{
    Accountant, AccountingError, Delta, DeltaInterval, DpEvent, Epsilon, EpsilonInterval,
    ExactAccountant, Ledger, Neighboring, NoiseMultiplier, PldAccountant, RdpAccountant,
    SamplingProbability,
};

fn round(z: f64) -> DpEvent {
    DpEvent::gaussian(NoiseMultiplier::new(z).expect("in range"))
        .poisson_sampled(SamplingProbability::from_counts(120, 3383).expect("in range"))
}

fn ledger() -> Ledger {
    let mut ledger = Ledger::new();
    for z in [1.2, 1.2, 1.3, 1.2, 0.1 + 0.2] {
        ledger.record(round(z));
    }
    ledger
}

#[test]
fn equal_events_in_a_row_are_one_entry() {
    let ledger = ledger();
    assert_eq!(ledger.entries().len(), 4);
    assert_eq!(ledger.len(), 5);
    let epsilon = |event: &DpEvent| {
        let mut accountant = RdpAccountant::new(Neighboring::AddOrRemoveOne);
        accountant.compose(event, 1).expect("supported");
        accountant.epsilon(Delta::new(1e-5).expect("in range")).expect("no limits")
    };
    let mut replayed = RdpAccountant::new(Neighboring::AddOrRemoveOne);
    ledger.replay(&mut replayed).expect("supported");
    let replayed = replayed.epsilon(Delta::new(1e-5).expect("in range")).expect("no limits");
    assert!((epsilon(&ledger.total()).get() - replayed.get()).abs() < 1e-12);
    assert_eq!(Ledger::new().total(), DpEvent::NoOp);
}

#[test]
fn lines_come_back_to_the_last_bit() {
    let text = ledger().to_json_lines();
    assert_eq!(text.lines().count(), 4);
    let (back, chain) = Ledger::from_json_lines(&text).expect("what was written can be read");
    assert_eq!(back, ledger());
    assert_eq!(chain.len(), 4);

    // Appending one by one is the same as writing at once.
    let mut one_by_one = Chain::new();
    let mut appended = String::new();
    for entry in ledger().entries() {
        appended += &one_by_one.line(entry);
        appended.push('\n');
    }
    assert_eq!(appended, text);
    assert_eq!(one_by_one, chain);

    let (_, mut chain) = Ledger::from_json_lines(&text).expect("readable");
    let more = chain.line(&Entry { event: round(2.0), count: NonZeroU64::MIN });
    let (longer, _) = Ledger::from_json_lines(&(text + &more)).expect("readable");
    assert_eq!(longer.len(), 6);
}

/// A run's number is under every hash, and so is what was drawn for a line alone: runs that released
/// the same differ in their heads, and so do two histories of one run.
#[test]
fn runs_and_histories_are_told_apart() {
    let entry = Entry { event: round(1.2), count: NonZeroU64::MIN };
    let bits = |byte| Bits128::new([byte; 16]);
    let written = |run: u8, salt: Option<u8>| {
        let mut chain = Chain::of_run(bits(run));
        let line = |chain: &mut Chain| match salt {
            Some(salt) => chain.salted_line(&entry, bits(salt)),
            None => chain.line(&entry),
        };
        (format!("{}\n{}\n", line(&mut chain), line(&mut chain)), chain)
    };
    let mut heads = std::collections::HashSet::new();
    for (run, salt) in [(1, None), (2, None), (1, Some(3)), (1, Some(4)), (2, Some(3))] {
        let (text, chain) = written(run, salt);
        let (ledger, read) = Ledger::from_json_lines(&text).expect("readable");
        assert_eq!((ledger.len(), read.run(), &read), (2, Some(bits(run)), &chain));
        assert!(heads.insert(read.head().to_owned()), "run {run}, salt {salt:?}");
        // Every byte counts in these lines too.
        for at in 0..text.find('\n').expect("two lines") {
            let mut bytes = text.as_bytes().to_vec();
            bytes[at] ^= 1;
            let altered = String::from_utf8(bytes).map(|text| Ledger::from_json_lines(&text));
            assert!(altered.map_or(true, |read| read.is_err()), "byte {at}");
        }
    }
    // Old lines have no number, and none is put among those that have one.
    let (_, old) = Ledger::from_json_lines(&ledger().to_json_lines()).expect("readable");
    assert_eq!(old.run(), None);
    let mut numberless = Chain::new();
    assert_eq!(numberless.salted_line(&entry, bits(1)), Chain::new().line(&entry));
    let mixed = format!("{}\n{}", numberless.line(&entry), written(1, None).0);
    assert!(Ledger::from_json_lines(&mixed).is_err());
    let (one, other) = (written(1, None).0, written(2, None).0);
    let swapped: String =
        one.lines().take(1).chain(other.lines().skip(1)).collect::<Vec<_>>().join("\n");
    let error = Ledger::from_json_lines(&swapped).expect_err("of two runs");
    assert!(matches!(error, LineError::OtherRun { line: 2 }), "{error}");
    for bad in ["", "0", "g0000000000000000000000000000000", "00000000-0000-0000-0000-00000000"] {
        assert!(Bits128::try_from(bad.to_owned()).is_err(), "{bad}");
    }
    assert_eq!(Bits128::try_from("0f".repeat(16)), Ok(bits(15)));
    assert_eq!(bits(15).to_string(), "0f".repeat(16));
}

#[test]
fn a_removed_moved_or_altered_line_is_found() {
    let text = ledger().to_json_lines();
    let lines: Vec<&str> = text.lines().collect();
    let read = |lines: &[&str]| Ledger::from_json_lines(&lines.join("\n")).map(|_| ());

    let removed = read(&[lines[0], lines[2], lines[3]]).expect_err("a hole");
    assert!(matches!(removed, LineError::Broken { line: 2 }), "{removed}");
    let moved = read(&[lines[1], lines[0], lines[2], lines[3]]).expect_err("swapped");
    assert!(matches!(moved, LineError::Broken { line: 1 }), "{moved}");
    let altered = lines[1].replace("1.3", "9.3");
    let altered = read(&[lines[0], &altered, lines[2]]).expect_err("a better number");
    assert!(matches!(altered, LineError::Altered { line: 2 }), "{altered}");
    let cut = &lines[1][..lines[1].len() - 20];
    let cut = read(&[lines[0], cut]).expect_err("interrupted");
    assert!(matches!(cut, LineError::Unreadable { line: 2, .. }), "{cut}");
    let empty = read(&[lines[0], "", lines[1]]).expect_err("an empty line");
    assert!(matches!(empty, LineError::Unreadable { line: 2, .. }), "{empty}");

    // Every single byte counts.
    for at in 0..lines[0].len() {
        let mut bytes = lines[0].as_bytes().to_vec();
        bytes[at] ^= 1;
        if let Ok(text) = String::from_utf8(bytes) {
            assert!(Ledger::from_json_lines(&text).is_err(), "byte {at}: {text}");
        }
    }

    // The end can only be cut off unnoticed by who does not keep the head.
    let whole = Ledger::from_json_lines(&text).expect("readable").1;
    let shorter = Ledger::from_json_lines(&lines[..3].join("\n")).expect("readable").1;
    assert_ne!(whole.head(), shorter.head());
}

#[test]
fn events_refuse_bad_numbers_and_unknown_fields() {
    let read = serde_json::from_str::<DpEvent>;
    assert!(read(r#"{"kind":"gaussian","noise_multiplier":1}"#).is_ok());
    for bad in [
        r#"{"kind":"gaussian","noise_multiplier":-1.0}"#,
        r#"{"kind":"gaussian","noise_multiplier":null}"#,
        r#"{"kind":"gaussian","noise_multiplier":1.0,"sigma":2.0}"#,
        r#"{"kind":"gaussian"}"#,
        r#"{"kind":"unheard_of"}"#,
        r#"{"kind":"poisson_sampled","probability":1.5,"event":{"kind":"no_op"}}"#,
        r#"{"kind":"self_composed","count":0,"event":{"kind":"no_op"}}"#,
        r#"{"kind":"pure_dp","epsilon":-0.5}"#,
    ] {
        assert!(read(bad).is_err(), "{bad}");
    }
}

#[test]
fn accountants_agree_or_are_found_out() {
    let delta = Delta::new(1e-5).expect("in range");
    let agreement = verify(&ledger(), Neighboring::AddOrRemoveOne, delta).expect("they agree");
    let width = agreement.epsilon.upper.get() - agreement.epsilon.lower_or_zero().get();
    assert!(width <= 1e-9, "{agreement:?}");

    // What only one of them knows is still priced; what nobody knows is not.
    let mut odd = ledger();
    odd.record(DpEvent::PureDp { epsilon: Epsilon::new(0.1).expect("in range") });
    let agreement = verify(&odd, Neighboring::AddOrRemoveOne, delta).expect("one applies");
    assert!(agreement.statements.iter().any(|one| one.interval.is_err()), "{agreement:?}");
    odd.record(round(1.0).fixed_size_sampled(10, 5));
    let error = verify(&odd, Neighboring::AddOrRemoveOne, delta).expect_err("nobody knows");
    assert!(matches!(error, VerifyError::NoneApplies { .. }), "{error}");

    let said = |accountant, lower: f64, upper: f64| Statement {
        accountant,
        interval: Ok(EpsilonInterval::between(
            Epsilon::new(lower).expect("in range"),
            Epsilon::new(upper).expect("in range"),
        )),
    };
    assert!(agree(vec![said("a", 0.0, 2.0), said("b", 1.0, 3.0)]).is_ok());
    let error = agree(vec![said("a", 0.0, 0.9), said("b", 1.0, 3.0)]).expect_err("apart");
    assert!(matches!(error, VerifyError::Contradiction { .. }), "{error}");
}

/// An accountant that has a fault: it forgets every how-many-th release.
struct Forgetful {
    inner: RdpAccountant,
    every: u64,
}

impl Accountant for Forgetful {
    fn name(&self) -> &'static str {
        "forgetful"
    }

    fn relation(&self) -> Neighboring {
        self.inner.relation()
    }

    fn compose(&mut self, event: &DpEvent, count: u64) -> Result<(), AccountingError> {
        self.inner.compose(event, count - count / self.every)
    }

    fn supports(&self, event: &DpEvent) -> Result<(), AccountingError> {
        self.inner.supports(event)
    }

    fn epsilon_interval(&self, delta: Delta) -> Result<EpsilonInterval, AccountingError> {
        self.inner.epsilon_interval(delta)
    }

    fn delta_interval(&self, epsilon: Epsilon) -> Result<DeltaInterval, AccountingError> {
        self.inner.delta_interval(epsilon)
    }
}

/// A planted fault is found, whichever way it errs, and the message says who said what.
#[test]
fn a_planted_disagreement_is_found() {
    let delta = Delta::new(1e-5).expect("in range");
    let mut ledger = Ledger::new();
    ledger.record_many(round(1.2), NonZeroU64::new(100).expect("not zero"));
    let relation = Neighboring::AddOrRemoveOne;
    let with = |every: u64| {
        verify_with(
            vec![
                Box::new(Forgetful { inner: RdpAccountant::new(relation), every }),
                Box::new(ExactAccountant::new(relation)),
                Box::new(PldAccountant::new(relation).with_step(1e-3).expect("in range")),
            ],
            &ledger,
            delta,
        )
    };
    // One in ninety is within what Rényi accounting gives away; one in two is not.
    assert!(with(90).is_ok());
    let error = with(2).expect_err("half of it is missing");
    assert!(matches!(error, VerifyError::Contradiction { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("forgetful: at most 1.") && text.contains("exact: 1.70747064"), "{text}");
    // A lower bound above the truth is no better: an accountant of another relation.
    let wrong = verify_with(
        vec![
            Box::new(ExactAccountant::new(Neighboring::ReplaceOne)),
            Box::new(RdpAccountant::new(relation)),
        ],
        &ledger,
        delta,
    );
    assert!(matches!(wrong, Err(VerifyError::Contradiction { .. })), "{wrong:?}");
}

/// A ledger is replayed into any accountant, and the same again after it was written and read.
#[test]
fn a_ledger_is_replayed_into_any_accountant() {
    let (ledger, _) = Ledger::from_json_lines(&ledger().to_json_lines()).expect("readable");
    let relation = Neighboring::AddOrRemoveOne;
    let accountants: [Box<dyn Accountant>; 3] = [
        Box::new(RdpAccountant::new(relation)),
        Box::new(ExactAccountant::new(relation).with_widest(1e-3).expect("in range")),
        Box::new(PldAccountant::new(relation)),
    ];
    for mut accountant in accountants {
        ledger.replay(accountant.as_mut()).expect("supported");
        let found = accountant.epsilon(Delta::new(1e-5).expect("in range")).expect("a price");
        assert!(found.get() > 0.5 && found.get() < 20.0, "{}: {found}", accountant.name());
    }
}

/// Another version, an index that skips, a line of another ledger, and one twice.
#[test]
fn a_line_that_does_not_belong_is_found() {
    use sha2::{Digest, Sha256};
    let text = ledger().to_json_lines();
    let lines: Vec<&str> = text.lines().collect();
    let read = |lines: &[&str]| Ledger::from_json_lines(&lines.join("\n")).map(|_| ());
    // With a hash of its own that fits.
    let (body, _) = lines[0].rsplit_once(",\"hash\"").expect("a hash");
    let newer = format!("{body}}}").replacen("\"version\":1", "\"version\":3", 1);
    let newer = {
        let hash: String =
            Sha256::digest(newer.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{},\"hash\":\"{hash}\"}}", &newer[..newer.len() - 1])
    };
    let error = read(&[&newer]).expect_err("another version");
    assert!(matches!(error, LineError::Version { line: 1, found: 3 }), "{error}");

    let twice = read(&[lines[0], lines[0]]).expect_err("twice");
    assert!(matches!(twice, LineError::Broken { line: 2 }), "{twice}");
    let mut other = Ledger::new();
    [round(7.0), round(8.0)].into_iter().for_each(|event| other.record(event));
    let other = other.to_json_lines();
    let strange = other.lines().nth(1).expect("two lines");
    let foreign = read(&[lines[0], strange]).expect_err("of another chain");
    assert!(matches!(foreign, LineError::Broken { line: 2 }), "{foreign}");
    let headless = read(&lines[1..]).expect_err("without its beginning");
    assert!(matches!(headless, LineError::Broken { line: 1 }), "{headless}");
    let last = lines.len();
    let mut swapped = lines.clone();
    swapped.swap(last - 1, last - 2);
    assert!(matches!(read(&swapped), Err(LineError::Broken { .. })));
}
