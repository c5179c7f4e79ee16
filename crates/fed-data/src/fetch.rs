//! Downloading the public archives: with progress, going on where it stopped, and checked.
//!
//! What arrives is kept in `NAME.part` until it is complete and its SHA-256 is right; only then it
//! gets its name. Where the origin publishes no digest, the first download's is written to
//! `NAME.sha256` beside it (the form that `sha256sum -c` reads), and every later one must agree.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};
use ureq::http::{Response, StatusCode, header};

use crate::digest::hex;
use crate::error::{DataError, shown};
use crate::open::Progress;

/// Where TFF keeps its public data.
pub const BASE_URL: &str = "https://storage.googleapis.com/tff-datasets-public";

/// A file that can be fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Archive {
    /// Its name, at the origin and in the data folder.
    pub file: &'static str,
    /// What it holds, in a few words.
    pub about: &'static str,
    /// Its SHA-256 in hexadecimal, where the origin publishes one.
    pub sha256: Option<&'static str>,
}

/// What can be fetched; the first is the one that TFF itself uses today.
pub const ARCHIVES: [Archive; 3] = [
    Archive {
        file: "emnist_all.sqlite.lzma",
        about: "federated EMNIST, digits only and digits with letters, SQLite",
        sha256: None,
    },
    Archive {
        file: "fed_emnist_digitsonly.tar.bz2",
        about: "federated EMNIST, digits only, HDF5",
        sha256: Some("55333deb8546765427c385710ca5e7301e16f4ed8b60c1dc5ae224b42bd5b14b"),
    },
    Archive {
        file: "fed_emnist.tar.bz2",
        about: "federated EMNIST, digits with letters, HDF5",
        sha256: Some("fe1ed5a502cea3a952eb105920bff8cffb32836b5173cb18a57a32c3606f3ea0"),
    },
];

/// How a fetch went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Where the file lies.
    pub path: PathBuf,
    /// Its length in bytes.
    pub bytes: u64,
    /// Its SHA-256 in hexadecimal.
    pub sha256: String,
    /// Whether it lay there before.
    pub already_there: bool,
    /// Whether there was a digest to compare with; if not, this one was put on record.
    pub compared: bool,
}

/// A download into a folder.
#[derive(Clone, Debug)]
pub struct Fetch {
    base_url: String,
    folder: PathBuf,
    attempts: u32,
    pause: Duration,
}

impl Fetch {
    /// Downloads from [`BASE_URL`] into `folder`, which is made if need be.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            base_url: BASE_URL.to_owned(),
            folder: folder.into(),
            attempts: 5,
            pause: Duration::from_secs(2),
        }
    }

    /// Another place that has the same files, such as a mirror.
    #[must_use]
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        self.base_url = url.into();
        self
    }

    /// How often to try without getting any further (5 unless said), and how long to wait in
    /// between (2 seconds).
    #[must_use]
    pub fn patience(mut self, attempts: u32, pause: Duration) -> Self {
        self.attempts = attempts.max(1);
        self.pause = pause;
        self
    }

    /// Fetches `archive`, unless it lies there already; either way its digest is checked.
    ///
    /// # Errors
    /// [`DataError::Address`] if the address is none that can be fetched from,
    /// [`DataError::Network`] if the server cannot be reached or falls silent too often (what
    /// arrived is kept, and the next call goes on from there), [`DataError::Status`] if it does not
    /// have the file, [`DataError::Checksum`] if the content is wrong (what arrived is then
    /// removed), [`DataError::Io`] if the folder cannot be written or is full.
    pub fn run(
        &self,
        archive: &Archive,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Fetched, DataError> {
        let url = format!("{}/{}", self.base_url.trim_end_matches('/'), archive.file);
        check_address(&url)?;
        let path = self.folder.join(archive.file);
        let known = Known::of(archive, &path)?;
        if path.is_dir() {
            return Err(DataError::IsDirectory { path, expected: "the file to fetch".to_owned() });
        }
        if path.exists() {
            let (sha256, bytes) = file_digest(&path, progress)?;
            let compared = known.settle(&path, &path, &sha256)?;
            return Ok(Fetched { path, bytes, sha256, already_there: true, compared });
        }
        fs::create_dir_all(&self.folder)
            .map_err(|error| DataError::io("create", &self.folder, error))?;
        let part = with_suffix(&path, ".part");
        self.download(url, &part, progress)?;
        let (sha256, bytes) = file_digest(&part, progress)?;
        let compared = match known.settle(&path, &part, &sha256) {
            Ok(compared) => compared,
            Err(error) => {
                // To go on from wrong bytes would never end well.
                let _ = fs::remove_file(&part);
                return Err(error);
            }
        };
        let _ = fs::remove_file(with_suffix(&part, ".etag"));
        fs::rename(&part, &path).map_err(|error| DataError::io("rename", &part, error))?;
        Ok(Fetched { path, bytes, sha256, already_there: false, compared })
    }

    /// Fills `part` to its end.
    fn download(
        &self,
        url: String,
        part: &Path,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(), DataError> {
        let agent = agent(&url);
        let mut failures = 0;
        loop {
            let detail = match self.attempt(&agent, &url, part, progress)? {
                Attempt::Done => return Ok(()),
                Attempt::Broken { detail, gained } => {
                    failures = if gained { 1 } else { failures + 1 };
                    detail
                }
            };
            if failures >= self.attempts {
                return Err(DataError::Network { url, attempts: failures, detail });
            }
            std::thread::sleep(self.pause * failures);
        }
    }

    fn attempt(
        &self,
        agent: &ureq::Agent,
        url: &str,
        part: &Path,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Attempt, DataError> {
        let etag_file = with_suffix(part, ".etag");
        let mut out = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(part)
            .map_err(|error| DataError::io("write", part, error))?;
        let have = out.metadata().map_err(|error| DataError::io("read", part, error))?.len();
        let mut request = agent.get(url);
        if have > 0 {
            request = request.header(header::RANGE, format!("bytes={have}-"));
            // If the file has changed since, the server then sends all of the new one.
            if let Ok(etag) = fs::read_to_string(&etag_file) {
                request = request.header(header::IF_RANGE, etag);
            }
        }
        let mut response = match request.call() {
            Ok(response) => response,
            // What a repetition cannot mend.
            Err(error @ (ureq::Error::BadUri(_) | ureq::Error::Http(_))) => {
                return Err(DataError::Address { url: url.to_owned(), detail: error.to_string() });
            }
            Err(error) => return Ok(Attempt::broken(error)),
        };
        let status = response.status();
        let (mut at, total) = match status {
            StatusCode::OK => {
                // The whole file, asked for or not.
                if have > 0 {
                    out.set_len(0).map_err(|error| DataError::io("write", part, error))?;
                }
                (0, length(&response))
            }
            StatusCode::PARTIAL_CONTENT => match content_range(&response) {
                Some((start, total)) if start == have => (have, total),
                _ => {
                    let _ = fs::remove_file(part);
                    return Ok(Attempt::broken("the server sent another part than was asked for"));
                }
            },
            StatusCode::RANGE_NOT_SATISFIABLE => {
                // All of it is there already, or more than all.
                if content_range(&response).and_then(|(_, total)| total) == Some(have) {
                    return Ok(Attempt::Done);
                }
                let _ = fs::remove_file(part);
                return Ok(Attempt::broken("what lay here was longer than the file"));
            }
            _ if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                return Ok(Attempt::broken(format!("the server answered with status {status}")));
            }
            _ => {
                let hint = match status.as_u16() {
                    404 => "the file is not there; check the address",
                    401 | 403 => "access was refused; check the address, or a proxy in between",
                    _ => "that is not an answer with the file",
                };
                return Err(DataError::Status {
                    url: url.to_owned(),
                    status: status.as_u16(),
                    hint,
                });
            }
        };
        let etag = response.headers().get(header::ETAG).and_then(|etag| etag.to_str().ok());
        match etag.filter(|etag| !etag.starts_with("W/")) {
            Some(etag) => fs::write(&etag_file, etag)
                .map_err(|error| DataError::io("write", &etag_file, error))?,
            None => drop(fs::remove_file(&etag_file)),
        }

        let start = at;
        let mut buffer = vec![0; 1 << 17];
        let mut body = response.body_mut().as_reader();
        loop {
            let read = match body.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) => {
                    let detail = format!("{error} after {at} bytes");
                    return Ok(Attempt::Broken { detail, gained: at > start });
                }
            };
            out.write_all(&buffer[..read]).map_err(|error| DataError::io("write", part, error))?;
            at += read as u64;
            progress(Progress { step: "downloading", done: at, total });
        }
        if let Some(total) = total.filter(|&total| at < total) {
            let detail = format!("the connection ended after {at} of {total} bytes");
            return Ok(Attempt::Broken { detail, gained: at > start });
        }
        out.sync_all().map_err(|error| DataError::io("write", part, error))?;
        Ok(Attempt::Done)
    }
}

/// Refuses an address that no attempt could fetch from.
fn check_address(url: &str) -> Result<(), DataError> {
    let wrong = |detail: String| Err(DataError::Address { url: shown(url), detail });
    let Some((scheme, _)) = url.split_once("://") else {
        return wrong(format!("it must begin with https:// or http://, as {BASE_URL} does"));
    };
    if !["http", "https"].contains(&&*scheme.to_lowercase()) {
        return wrong(format!(
            "`{}` is not spoken here: give an address that begins with https:// or http://, or \
             fetch the file with another program and copy it into the data folder",
            shown(scheme)
        ));
    }
    match url.parse::<ureq::http::Uri>() {
        Ok(uri) if uri.host().is_some_and(|host| !host.is_empty()) => Ok(()),
        Ok(_) => wrong("it names no server".to_owned()),
        Err(error) => wrong(format!("{error}; give an address such as {BASE_URL}")),
    }
}

enum Attempt {
    Done,
    Broken { detail: String, gained: bool },
}

impl Attempt {
    fn broken(detail: impl ToString) -> Self {
        Self::Broken { detail: detail.to_string(), gained: false }
    }
}

fn agent(url: &str) -> ureq::Agent {
    let mut config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .user_agent(concat!("fed-data/", env!("CARGO_PKG_VERSION")))
        .timeout_resolve(Some(Duration::from_secs(20)))
        .timeout_connect(Some(Duration::from_secs(20)))
        .timeout_recv_response(Some(Duration::from_secs(60)))
        // A connection that went silent is given up, and the next one goes on where it stopped.
        .timeout_recv_body(Some(Duration::from_secs(600)));
    // A server on this machine is not asked by way of a proxy.
    if ["http://127.0.0.1", "http://localhost", "http://[::1]"].iter().any(|on| url.starts_with(on))
    {
        config = config.proxy(None);
    }
    config.build().into()
}

/// The digest that a file must have.
enum Known {
    /// Published by the origin.
    Published(&'static str),
    /// Put on record by an earlier download.
    Recorded(String, PathBuf),
    /// None yet; to be put on record here.
    FirstUse(PathBuf),
}

impl Known {
    fn of(archive: &Archive, path: &Path) -> Result<Self, DataError> {
        if let Some(sha256) = archive.sha256 {
            return Ok(Self::Published(sha256));
        }
        let record = with_suffix(path, ".sha256");
        match fs::read_to_string(&record) {
            Ok(text) => {
                let digest = text.split_whitespace().next().unwrap_or_default().to_lowercase();
                if digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                    Ok(Self::Recorded(digest, record))
                } else {
                    Err(DataError::corrupt(&record, "record of a SHA-256", "it holds no digest"))
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::FirstUse(record)),
            Err(error) => Err(DataError::io("read", &record, error)),
        }
    }

    /// Compares with what is known, or makes it known; whether there was something to compare.
    fn settle(&self, path: &Path, checked: &Path, sha256: &str) -> Result<bool, DataError> {
        let (expected, authority) = match self {
            Self::Published(expected) => (*expected, "its origin".to_owned()),
            Self::Recorded(expected, record) => (&**expected, format!("`{}`", record.display())),
            Self::FirstUse(record) => {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                fs::write(record, format!("{sha256}  {name}\n"))
                    .map_err(|error| DataError::io("write", record, error))?;
                return Ok(false);
            }
        };
        if expected == sha256 {
            return Ok(true);
        }
        Err(DataError::Checksum {
            path: checked.to_owned(),
            expected: expected.to_owned(),
            actual: sha256.to_owned(),
            authority,
        })
    }
}

/// SHA-256 and length of a file.
fn file_digest(
    path: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<(String, u64), DataError> {
    let failed = |error| DataError::io("read", path, error);
    let mut file = File::open(path).map_err(failed)?;
    let total = file.seek(SeekFrom::End(0)).map_err(failed)?;
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    let (mut hasher, mut buffer, mut done) = (Sha256::new(), vec![0; 1 << 18], 0);
    loop {
        let read = file.read(&mut buffer).map_err(failed)?;
        if read == 0 {
            return Ok((hex(&hasher.finalize()), done));
        }
        hasher.update(&buffer[..read]);
        done += read as u64;
        progress(Progress { step: "checking", done, total: Some(total) });
    }
}

fn length<T>(response: &Response<T>) -> Option<u64> {
    response.headers().get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Start and total of `Content-Range: bytes START-END/TOTAL`; a start of 0 for `bytes */TOTAL`.
fn content_range<T>(response: &Response<T>) -> Option<(u64, Option<u64>)> {
    let range = response.headers().get(header::CONTENT_RANGE)?.to_str().ok()?;
    let (range, total) = range.strip_prefix("bytes ")?.split_once('/')?;
    let start = match range.split_once('-') {
        Some((start, _)) => start.trim().parse().ok()?,
        None => 0,
    };
    Some((start, total.trim().parse().ok()))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_of_checksums_says_the_same() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../datasets/checksums.toml");
        let Ok(text) = fs::read_to_string(path) else { return }; // not part of the package
        let page: toml::Table = text.parse().expect("well-formed TOML");
        assert_eq!(page["base_url"].as_str(), Some(BASE_URL));
        let archives = page["archives"].as_table().expect("a table");
        assert_eq!(archives.len(), ARCHIVES.len());
        for archive in ARCHIVES {
            let entry = archives.get(archive.file).and_then(|entry| entry.as_table());
            let sha256 = entry.expect(archive.file).get("sha256").and_then(|value| value.as_str());
            assert_eq!(sha256, archive.sha256, "{}", archive.file);
        }
    }
}
