//! Downloads from a server on this machine that misbehaves in every way that matters.
#![cfg(feature = "fetch")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use fed_data::DataError;
use fed_data::fetch::{Archive, Fetch, Fetched};
use sha2::{Digest, Sha256};

/// What the server does with one request.
#[derive(Clone, Copy)]
enum Manner {
    /// Answers as it should.
    Good,
    /// Sends so many bytes of the answer, then hangs up.
    HangUpAfter(usize),
    /// Sends all of the file whatever was asked for.
    NoRanges,
    /// Answers with this status.
    Status(u16),
    /// Says nothing and hangs up.
    Silent,
}

/// A server that goes through `manners`, one a request, the last one for good.
struct Server {
    url: String,
    /// The first byte that each request asked for.
    asked: Arc<Mutex<Vec<u64>>>,
}

impl Server {
    fn start(content: Vec<u8>, manners: Vec<Manner>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        thread::spawn(move || {
            for (index, stream) in listener.incoming().enumerate() {
                let manner = manners[index.min(manners.len() - 1)];
                if let Ok(stream) = stream {
                    let _ = answer(stream, &content, manner, &log);
                }
            }
        });
        Self { url, asked }
    }

    fn asked(&self) -> Vec<u64> {
        self.asked.lock().expect("not poisoned").clone()
    }
}

fn answer(
    mut stream: TcpStream,
    content: &[u8],
    manner: Manner,
    log: &Mutex<Vec<u64>>,
) -> std::io::Result<()> {
    let mut start = 0;
    for line in BufReader::new(stream.try_clone()?).lines() {
        let line = line?.to_lowercase();
        if let Some(range) = line.strip_prefix("range: bytes=") {
            start = range.trim_end_matches('-').parse().expect("a range from a byte on");
        }
        if line.is_empty() {
            break;
        }
    }
    log.lock().expect("not poisoned").push(start as u64);
    let total = content.len();
    let (start, limit) = match manner {
        Manner::Silent => return Ok(()),
        Manner::Status(status) => {
            return write!(
                stream,
                "HTTP/1.1 {status} No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
        }
        Manner::Good => (start, usize::MAX),
        Manner::HangUpAfter(bytes) => (start, bytes),
        Manner::NoRanges => (0, usize::MAX),
    };
    if start > total || (start == total && start > 0) {
        return write!(
            stream,
            "HTTP/1.1 416 No\r\nContent-Range: bytes */{total}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
    }
    let body = &content[start..];
    if start > 0 {
        let last = total - 1;
        write!(stream, "HTTP/1.1 206 Part\r\nContent-Range: bytes {start}-{last}/{total}\r\n")?;
    } else {
        write!(stream, "HTTP/1.1 200 OK\r\n")?;
    }
    write!(stream, "ETag: \"one\"\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len())?;
    stream.write_all(&body[..body.len().min(limit)])
}

fn content() -> Vec<u8> {
    (0..300_000_u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

fn archive(sha256: Option<&'static str>) -> Archive {
    Archive { file: "some.bin", about: "a test", sha256 }
}

fn fetch(
    server: &Server,
    folder: &Path,
    sha256: Option<&'static str>,
) -> Result<Fetched, DataError> {
    Fetch::new(folder)
        .base_url(&server.url)
        .patience(3, Duration::from_millis(1))
        .run(&archive(sha256), &mut |_| {})
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

#[test]
fn a_download_arrives_whole_and_is_put_on_record() {
    let (server, folder) = (Server::start(content(), vec![Manner::Good]), folder());
    let mut seen = Vec::new();
    let fetched = Fetch::new(folder.path())
        .base_url(&server.url)
        .run(&archive(None), &mut |progress| seen.push(progress))
        .expect("a good server");
    assert_eq!(fs::read(&fetched.path).expect("it is there"), content());
    assert!(!fetched.already_there && !fetched.compared);
    let downloading = seen.iter().rfind(|progress| progress.step == "downloading").expect("told");
    assert_eq!((downloading.done, downloading.total), (300_000, Some(300_000)));
    let record = fs::read_to_string(folder.path().join("some.bin.sha256")).expect("on record");
    assert_eq!(record, format!("{}  some.bin\n", fetched.sha256));
    // Nothing else is left lying around.
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 2);

    let again = fetch(&server, folder.path(), None).expect("it lies there");
    assert!(again.already_there && again.compared);
    assert_eq!(server.asked(), [0], "the second time nobody was asked");
}

#[test]
fn a_dropped_connection_is_taken_up_where_it_broke() {
    let manners = vec![
        Manner::HangUpAfter(100_000),
        Manner::Silent,
        Manner::HangUpAfter(50_000),
        Manner::Good,
    ];
    let (server, folder) = (Server::start(content(), manners), folder());
    let fetched = fetch(&server, folder.path(), None).expect("in the end");
    assert_eq!(fs::read(fetched.path).expect("it is there"), content());
    assert_eq!(server.asked(), [0, 100_000, 100_000, 150_000]);
}

#[test]
fn a_download_given_up_goes_on_the_next_time() {
    let manners = vec![Manner::HangUpAfter(1_000), Manner::Silent, Manner::Silent, Manner::Good];
    let (server, folder) = (Server::start(content(), manners), folder());
    let error = fetch(&server, folder.path(), None).expect_err("three times nothing");
    assert!(matches!(error, DataError::Network { attempts: 3, .. }), "{error}");
    assert!(error.to_string().contains("goes on from there") && error.is_retryable());
    fetch(&server, folder.path(), None).expect("the rest");
    assert_eq!(server.asked(), [0, 1_000, 1_000, 1_000]);
}

#[test]
fn a_server_without_ranges_starts_again() {
    let manners = vec![Manner::HangUpAfter(1_000), Manner::NoRanges];
    let (server, folder) = (Server::start(content(), manners), folder());
    let fetched = fetch(&server, folder.path(), None).expect("in the end");
    assert_eq!(fs::read(fetched.path).expect("it is there"), content());
}

#[test]
fn a_part_that_is_complete_or_too_long_is_no_trap() {
    for extra in [0, 10] {
        let (server, folder) = (Server::start(content(), vec![Manner::Good]), folder());
        let mut part = content();
        part.resize(part.len() + extra, 0);
        fs::write(folder.path().join("some.bin.part"), part).expect("a writable folder");
        let fetched = fetch(&server, folder.path(), None).expect("in the end");
        assert_eq!(fs::read(fetched.path).expect("it is there"), content(), "{extra}");
    }
}

#[test]
fn a_wrong_checksum_is_refused_and_leaves_nothing() {
    let (server, folder) = (Server::start(content(), vec![Manner::Good]), folder());
    let wrong = "00000000000000000000000000000000000000000000000000000000000000ff";
    let error = fetch(&server, folder.path(), Some(wrong)).expect_err("another file");
    assert!(matches!(error, DataError::Checksum { .. }));
    assert!(
        error.to_string().contains(wrong) && error.to_string().contains("its origin"),
        "{error}"
    );
    assert!(!folder.path().join("some.bin").exists());
    assert!(!folder.path().join("some.bin.part").exists());
}

#[test]
fn a_file_that_changed_since_the_first_use_is_refused() {
    let folder = folder();
    let first = Server::start(content(), vec![Manner::Good]);
    let fetched = fetch(&first, folder.path(), None).expect("a good server");
    // Damaged on disk: told when it is looked at again.
    fs::write(&fetched.path, &content()[..299_999]).expect("a writable folder");
    let error = fetch(&first, folder.path(), None).expect_err("truncated");
    assert!(error.to_string().contains("some.bin.sha256"), "{error}");
    // Another file at the origin: told too.
    fs::remove_file(&fetched.path).expect("a writable folder");
    let mut other = content();
    other[7] ^= 1;
    let second = Server::start(other, vec![Manner::Good]);
    assert!(matches!(fetch(&second, folder.path(), None), Err(DataError::Checksum { .. })));
}

#[test]
fn a_published_checksum_is_compared() {
    let digest: String =
        Sha256::digest(content()).iter().map(|byte| format!("{byte:02x}")).collect();
    let (server, folder) = (Server::start(content(), vec![Manner::Good]), folder());
    let fetched = fetch(&server, folder.path(), Some(digest.leak())).expect("the right file");
    assert!(fetched.compared);
    assert!(!folder.path().join("some.bin.sha256").exists(), "there is nothing to put on record");
}

#[test]
fn a_missing_file_is_not_asked_for_again() {
    let (server, folder) = (Server::start(content(), vec![Manner::Status(404)]), folder());
    let error = fetch(&server, folder.path(), None).expect_err("not there");
    assert!(matches!(error, DataError::Status { status: 404, .. }), "{error}");
    assert_eq!(server.asked(), [0]);
    assert!(!error.is_retryable());
}

#[test]
fn a_server_in_trouble_is_asked_again() {
    let (server, folder) =
        (Server::start(content(), vec![Manner::Status(503), Manner::Good]), folder());
    fetch(&server, folder.path(), None).expect("the second time");
}

#[test]
fn nobody_at_the_address() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    drop(listener);
    let folder = folder();
    let error = Fetch::new(folder.path())
        .base_url(&url)
        .patience(2, Duration::from_millis(1))
        .run(&archive(None), &mut |_| {})
        .expect_err("nobody");
    assert!(matches!(error, DataError::Network { attempts: 2, .. }), "{error}");
}

#[test]
fn a_folder_that_cannot_be_written_is_said() {
    let (server, folder) = (Server::start(content(), vec![Manner::Good]), folder());
    let file = folder.path().join("a-file");
    fs::write(&file, "in the way").expect("a writable folder");
    let error = fetch(&server, &file.join("data"), None).expect_err("a file is no folder");
    assert!(error.to_string().contains("a-file"), "{error}");
    fs::create_dir(folder.path().join("some.bin")).expect("a writable folder");
    assert!(matches!(fetch(&server, folder.path(), None), Err(DataError::IsDirectory { .. })));
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_said_and_what_arrived_is_kept() {
    let (server, folder) = (Server::start(content(), vec![Manner::Good]), folder());
    std::os::unix::fs::symlink("/dev/full", folder.path().join("some.bin.part")).expect("a link");
    let error = fetch(&server, folder.path(), None).expect_err("the disk is full");
    let DataError::Io { source, .. } = &error else { panic!("{error}") };
    assert_eq!(source.kind(), std::io::ErrorKind::StorageFull);
    assert!(error.to_string().contains("make room"), "{error}");
}

#[test]
fn an_address_that_nobody_can_fetch_from_is_refused_at_once() {
    let folder = folder();
    for (url, says) in [
        ("ftp://example.org/data", "`ftp` is not spoken here"),
        ("file:///tmp/data", "`file` is not spoken here"),
        ("example.org/data", "must begin with https://"),
        ("", "must begin with https://"),
        ("https://", "cannot fetch from"),
        ("http://exa mple.org", "cannot fetch from"),
    ] {
        let error = Fetch::new(folder.path())
            .base_url(url)
            .run(&archive(None), &mut |_| {})
            .expect_err("no address");
        let text = error.to_string();
        assert!(matches!(error, DataError::Address { .. }) && text.contains(says), "{url}: {text}");
        assert!(!error.is_retryable() && !text.contains("the same command"), "{url}: {text}");
    }
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0);
}
