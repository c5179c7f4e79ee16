//! Archives: xz and LZMA-alone files, and bzip2 tar files, unpacked as a stream.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;

use bzip2::read::MultiBzDecoder;
use liblzma::read::XzDecoder;
use liblzma::stream::Stream;
use tempfile::{NamedTempFile, TempDir};

use super::Ask;
use super::companions::fill;
use crate::error::{DataError, shown};
use crate::open::{Progress, kind};
use crate::scratch;

/// Memory that a decoder may take: the strongest xz preset needs 65 MiB.
const DECODER_MEMORY: u64 = 1 << 30;

/// How a SQLite database begins.
const SQLITE: &[u8] = b"SQLite format 3\0";
/// How an HDF5 file begins.
const HDF5: &[u8] = b"\x89HDF\r\n\x1A\n";
/// Most bytes that are unpacked: several times the real data with letters.
const MOST_UNPACKED: u64 = 16 << 30;
/// Most bytes of other files in an archive that are read over to find the ones that are meant.
const MOST_BESIDE: u64 = 4 << 30;

/// Unpacks an `.lzma` or `.xz` file, either container, into a temporary file.
pub(crate) fn lzma(path: &Path, ask: &mut Ask<'_>) -> Result<NamedTempFile, DataError> {
    let (file, length) = open(path)?;
    let stream = Stream::new_auto_decoder(DECODER_MEMORY, 0)
        .map_err(|error| DataError::corrupt(path, "xz or LZMA archive", error))?;
    let done = Cell::new(0);
    let counted = Counting { inner: BufReader::with_capacity(1 << 16, file), done: &done };
    let mut decoder = XzDecoder::new_stream(counted, stream);
    let mut out = match &ask.scratch {
        Some(folder) => tempfile::Builder::new().prefix(".unpacking-").tempfile_in(folder),
        None => NamedTempFile::new(),
    }
    .map_err(|error| {
        let folder = ask.scratch.clone().unwrap_or_else(std::env::temp_dir);
        DataError::io("unpack into", &folder, error)
    })?;
    scratch::note(out.path());
    let to = out.path().to_owned();
    let mut buffer = vec![0; 1 << 18];
    let mut unpacked = 0;
    let mut most = None;
    loop {
        let read = fill(&mut decoder, &mut buffer)
            .map_err(|error| DataError::corrupt(path, "xz or LZMA archive", words(&error)))?;
        if read == 0 {
            break;
        }
        // The first look decides, before gigabytes are unpacked: whether it is a database at all,
        // and how long that says it is.
        let most = match most {
            Some(most) => most,
            None => {
                let length = database_length(path, &buffer[..read])?;
                if length < MOST_UNPACKED {
                    expect_room(&to, length)?;
                }
                *most.insert(length)
            }
        };
        unpacked += read as u64;
        if unpacked > most {
            return Err(DataError::corrupt(
                path,
                "packed SQLite database",
                format!("the database should have {most} bytes, but it goes on after them"),
            ));
        }
        out.write_all(&buffer[..read]).map_err(|error| DataError::io("unpack into", &to, error))?;
        (ask.progress)(Progress { step: "unpacking", done: done.get(), total: Some(length) });
    }
    // The older container may end without a marker and without a checksum; whether the content is
    // whole is then for the reader of the content to say.
    out.flush().map_err(|error| DataError::io("unpack into", &to, error))?;
    Ok(out)
}

/// Most bytes that a database with this beginning has.
fn database_length(path: &Path, start: &[u8]) -> Result<u64, DataError> {
    if !start.starts_with(SQLITE) || start.len() < 100 {
        return Err(DataError::Unsupported {
            path: path.to_owned(),
            what: format!("what is packed in it is {}, not a SQLite database", kind::words(start)),
            instead: "if it is data in another layout, unpack it and give the files themselves"
                .to_owned(),
        });
    }
    let word = |at: usize| {
        u64::from(u32::from_be_bytes([start[at], start[at + 1], start[at + 2], start[at + 3]]))
    };
    let page = match u64::from(start[16]) << 8 | u64::from(start[17]) {
        1 => 65_536,
        page => page,
    };
    // The number of pages holds if it was written together with the last change.
    let length = if word(24) == word(92) { page * word(28) } else { 0 };
    match length {
        0 => Ok(MOST_UNPACKED),
        length if length > MOST_UNPACKED => Err(DataError::corrupt(
            path,
            "packed SQLite database",
            format!("it says that it has {length} bytes, more than {MOST_UNPACKED}"),
        )),
        length => Ok(length),
    }
}

/// Refuses to fill a disk that has no room for what will be unpacked.
fn expect_room(to: &Path, bytes: u64) -> Result<(), DataError> {
    #[cfg(unix)]
    if let Ok(disk) = rustix::fs::statvfs(to)
        && disk.f_bavail.saturating_mul(disk.f_frsize) < bytes
    {
        return Err(DataError::io("unpack into", to, io::ErrorKind::StorageFull.into()));
    }
    let _ = (to, bytes);
    Ok(())
}

/// Unpacks the files `names` of a `.tar.bz2` into a temporary folder, under those names.
pub(crate) fn tar_bz2(
    path: &Path,
    names: [&str; 2],
    ask: &mut Ask<'_>,
) -> Result<TempDir, DataError> {
    const FORMAT: &str = "tar.bz2 archive";
    let wrong = |error: io::Error| DataError::corrupt(path, FORMAT, words(&error));
    let (file, length) = open(path)?;
    let folder = match &ask.scratch {
        Some(folder) => tempfile::Builder::new().prefix(".unpacking-").tempdir_in(folder),
        None => TempDir::new(),
    }
    .map_err(|error| DataError::io("unpack into", path, error))?;
    scratch::note(folder.path());
    let done = Cell::new(0);
    let counted = Counting { inner: BufReader::with_capacity(1 << 16, file), done: &done };
    let mut archive = tar::Archive::new(MultiBzDecoder::new(counted));
    let (mut seen, mut beside) = (Vec::new(), 0_u64);
    let mut found = [false; 2];
    for entry in archive.entries().map_err(wrong)? {
        let mut entry = entry.map_err(wrong)?;
        let member = entry.path().map_err(wrong)?.into_owned();
        let Some(name) = member.file_name().map(|name| name.to_string_lossy().into_owned()) else {
            continue;
        };
        let Some(which) = names.iter().position(|wanted| *wanted == name) else {
            if seen.len() < 10 {
                seen.push(shown(&name));
            }
            beside = beside.saturating_add(entry.size());
            if beside > MOST_BESIDE {
                break;
            }
            continue;
        };
        let promised = entry.size();
        if promised > MOST_UNPACKED {
            let detail = format!("{name} should have {promised} bytes, more than {MOST_UNPACKED}");
            return Err(DataError::corrupt(path, FORMAT, detail));
        }
        expect_room(folder.path(), promised)?;
        // Only the known names are written, each to a path of our own making.
        let to = folder.path().join(names[which]);
        let out = File::create(&to).map_err(|error| DataError::io("unpack into", &to, error))?;
        let mut out = BufWriter::new(out);
        let mut buffer = vec![0; 1 << 18];
        let mut unpacked = 0_u64;
        loop {
            let read = fill(&mut entry, &mut buffer).map_err(wrong)?;
            if read == 0 {
                break;
            }
            if unpacked == 0 && !buffer[..read].starts_with(HDF5) {
                return Err(DataError::Unsupported {
                    path: path.to_owned(),
                    what: format!(
                        "{name} in it is {}, not an HDF5 file",
                        kind::words(&buffer[..read])
                    ),
                    instead: "fetch the archive that its name stands for".to_owned(),
                });
            }
            unpacked += read as u64;
            out.write_all(&buffer[..read])
                .map_err(|error| DataError::io("unpack into", &to, error))?;
            (ask.progress)(Progress { step: "unpacking", done: done.get(), total: Some(length) });
        }
        if unpacked == 0 {
            return Err(DataError::corrupt(path, FORMAT, format!("{name} in it is empty")));
        }
        out.flush().map_err(|error| DataError::io("unpack into", &to, error))?;
        found[which] = true;
        if found == [true, true] {
            return Ok(folder);
        }
    }
    let missing = if found[0] { names[1] } else { names[0] };
    Err(DataError::NoSplit {
        path: path.to_owned(),
        split: missing.to_owned(),
        found: match (seen.is_empty(), found) {
            (true, [false, false]) => "nothing else".to_owned(),
            (true, _) => "only the other one".to_owned(),
            (false, _) => seen.join(", "),
        },
    })
}

fn open(path: &Path) -> Result<(File, u64), DataError> {
    let file = File::open(path).map_err(|error| DataError::io("open", path, error))?;
    let length = file.metadata().map_err(|error| DataError::io("read", path, error))?.len();
    Ok((file, length))
}

/// What a decoder's error means.
fn words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "it ends too early: it is truncated".to_owned(),
        _ => error.to_string(),
    }
}

/// Counts what was read of the packed file.
struct Counting<'a, R> {
    inner: R,
    done: &'a Cell<u64>,
}

impl<R: Read> Read for Counting<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.done.set(self.done.get() + read as u64);
        Ok(read)
    }
}
