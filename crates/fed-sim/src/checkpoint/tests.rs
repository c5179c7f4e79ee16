use super::*;

fn mark() -> Mark {
    Mark { bytes: 3, sha256: "0".repeat(64) }
}

fn header(round: u32) -> Header {
    Header {
        run: "run".to_owned(),
        keys: 2,
        run_number: Some(Bits128::new([5; 16])),
        round,
        server_steps: u64::from(round),
        aggregator: AggregatorState { clip_norm: Some(0.1 + 0.2), zeroing_estimate: Some(1e-300) },
        ledger: LedgerMark { lines: u64::from(round), head: "f".repeat(64) },
        metrics: mark(),
        timing: mark(),
        evaluations: mark(),
        audited: None,
        health: Health { rounds: round, broken: 1, broken_last: true },
    }
}

fn server() -> Server {
    let mut server = Server::new(ServerOptimizer::default(), vec![1.0, -0.0, f32::MIN_POSITIVE]);
    server.apply(&[0.1, f32::from_bits(1), 3.0]);
    server
}

fn snapshot(server: &Server, round: u32) -> Snapshot<'_> {
    let aggregator = header(round).aggregator;
    Snapshot {
        round,
        server,
        mime_velocity: &[],
        aggregator,
        audit: None,
        health: header(round).health,
    }
}

fn bytes(round: u32) -> Vec<u8> {
    let server = server();
    encode(&header(round), &snapshot(&server, round)).expect("written down")
}

#[test]
fn a_state_comes_back_bit_for_bit() {
    let checkpoint = decode(&bytes(1)).expect("sound");
    assert_eq!(checkpoint.header, header(1));
    let saved = checkpoint.into_saved(ServerOptimizer::default()).expect("it fits");
    // Equality of floats forgives -0.0; bits do not.
    let bits = |server: &Server| {
        let all = [server.params(), server.first(), server.second()].concat();
        all.iter().map(|value| value.to_bits()).collect::<Vec<_>>()
    };
    assert_eq!(bits(&saved.server), bits(&server()));
    assert_eq!(saved.server, server());
}

#[test]
fn an_audit_comes_back_bit_for_bit() {
    let server = server();
    let trail = Trail {
        rounds: 7,
        included: vec![true, false],
        initial: vec![0.5, -0.0, f32::MIN_POSITIVE],
        largest: vec![-1.0, 0.1 + 0.2],
        evidence: vec![1e-300, -3.0],
    };
    let state = Snapshot { audit: Some(&trail), ..snapshot(&server, 1) };
    let header = Header { audited: Some(7), ..header(1) };
    let checkpoint = decode(&encode(&header, &state).expect("written down")).expect("sound");
    let saved = checkpoint.into_saved(ServerOptimizer::default()).expect("it fits");
    assert_eq!(saved.audit, Some(trail));
    let none = decode(&bytes(1)).expect("sound").into_saved(ServerOptimizer::default());
    assert_eq!(none.expect("it fits").audit, None);
}

#[test]
fn a_state_of_another_optimiser_is_refused() {
    let checkpoint = decode(&bytes(1)).expect("sound");
    let adam = ServerOptimizer::Adam { learning_rate: 0.1, beta1: 0.9, beta2: 0.99, epsilon: 1e-7 };
    let error = checkpoint.into_saved(adam).expect_err("no second moment");
    assert!(error.contains("second"), "{error}");
}

/// Every byte altered, every length cut short: never taken for sound, never a panic.
#[test]
fn nothing_damaged_is_ever_accepted() {
    let sound = bytes(1);
    let mut tried = 1;
    for at in 0..sound.len() {
        for flip in [0x01, 0x80] {
            let mut damaged = sound.clone();
            damaged[at] ^= flip;
            let damage = decode(&damaged).expect_err("damaged");
            assert!(!matches!(damage, Damage::Version { .. }), "byte {at}: {damage}");
            tried += 1;
        }
        assert!(decode(&sound[..at]).is_err(), "cut to {at} bytes");
        tried += 1;
    }
    let longer = [sound.as_slice(), b"!"].concat();
    assert!(matches!(decode(&longer), Err(Damage::Length { .. })));
    println!("{tried} damaged checkpoints, all refused");
}

#[test]
fn another_version_is_told_from_damage() {
    let payload = b"whatever the next version will hold";
    let next = VERSION + 1;
    let digest = digest(next, payload);
    let mut file = format!("{MAGIC}{next} {digest} {}\n", payload.len()).into_bytes();
    file.extend_from_slice(payload);
    assert_eq!(decode(&file), Err(Damage::Version { found: next }));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let checkpoints = Checkpoints::new(folder.path().to_owned());
    let server = server();
    checkpoints.write(&header(3), &snapshot(&server, 3)).expect("written");
    fs::write(folder.path().join("round-0000004.checkpoint"), file).expect("written");
    let error = checkpoints.newest().expect_err("of the future");
    assert!(error.to_string().contains(&format!("in version {next}")), "{error}");
}

/// A file of the version before: the same, without the number.
#[test]
fn an_older_version_is_read() {
    let server = server();
    let header = Header { run_number: None, ..header(3) };
    let now = encode(&header, &snapshot(&server, 3)).expect("written down");
    let end = now.iter().position(|byte| *byte == b'\n').expect("a first line");
    let payload = &now[end + 1..];
    let before = |version| {
        let digest = digest(version, payload);
        let mut file = format!("{MAGIC}{version} {digest} {}\n", payload.len()).into_bytes();
        file.extend_from_slice(payload);
        file
    };
    assert_eq!(decode(&before(2)).expect("readable").header, header);
    assert_eq!(decode(&before(1)), Err(Damage::Version { found: 1 }));
}

#[test]
fn the_last_three_and_the_first_are_kept() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let checkpoints = Checkpoints::new(folder.path().join("checkpoints"));
    assert!(checkpoints.is_empty().expect("readable"));
    let server = server();
    for round in [0, 2, 4, 6, 8, 10] {
        checkpoints.write(&header(round), &snapshot(&server, round)).expect("written");
    }
    let rounds: Vec<u32> =
        checkpoints.rounds().expect("readable").iter().map(|(round, _)| *round).collect();
    assert_eq!(rounds, [0, 6, 8, 10]);
}

#[test]
fn a_damaged_checkpoint_is_passed_over_and_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let checkpoints = Checkpoints::new(folder.path().to_owned());
    assert!(checkpoints.newest().expect("readable").is_none());
    let server = server();
    for round in [0, 5, 9] {
        checkpoints.write(&header(round), &snapshot(&server, round)).expect("written");
    }
    let newest = folder.path().join("round-0000009.checkpoint");
    let bytes = fs::read(&newest).expect("there");
    fs::write(&newest, &bytes[..bytes.len() / 2]).expect("cut");
    let (checkpoint, skipped) = checkpoints.newest().expect("readable").expect("there is one");
    assert_eq!(checkpoint.header.round, 5);
    assert_eq!(skipped.len(), 1);
    assert!(matches!(skipped[0].damage, Damage::Length { .. }));
    for round in [0, 5] {
        fs::write(folder.path().join(format!("round-{round:07}.checkpoint")), "").expect("cut");
    }
    let error = checkpoints.newest().expect_err("none is sound");
    assert!(error.to_string().contains("round-0000005.checkpoint"), "{error}");
}
