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
use crate::error::DataError;
use crate::open::Progress;

/// Memory that a decoder may take: the strongest xz preset needs 65 MiB.
const DECODER_MEMORY: u64 = 1 << 30;

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
    let to = out.path().to_owned();
    let mut buffer = vec![0; 1 << 18];
    loop {
        let read = decoder
            .read(&mut buffer)
            .map_err(|error| DataError::corrupt(path, "xz or LZMA archive", words(&error)))?;
        if read == 0 {
            break;
        }
        out.write_all(&buffer[..read]).map_err(|error| DataError::io("unpack into", &to, error))?;
        (ask.progress)(Progress { step: "unpacking", done: done.get(), total: Some(length) });
    }
    // The older container may end without a marker and without a checksum; whether the content is
    // whole is then for the reader of the content to say.
    out.flush().map_err(|error| DataError::io("unpack into", &to, error))?;
    Ok(out)
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
    let done = Cell::new(0);
    let counted = Counting { inner: BufReader::with_capacity(1 << 16, file), done: &done };
    let mut archive = tar::Archive::new(MultiBzDecoder::new(counted));
    let mut seen = Vec::new();
    let mut found = [false; 2];
    for entry in archive.entries().map_err(wrong)? {
        let mut entry = entry.map_err(wrong)?;
        let member = entry.path().map_err(wrong)?.into_owned();
        let Some(name) = member.file_name().map(|name| name.to_string_lossy().into_owned()) else {
            continue;
        };
        let Some(which) = names.iter().position(|wanted| *wanted == name) else {
            if seen.len() < 10 {
                seen.push(name);
            }
            continue;
        };
        // Only the known names are written, each to a path of our own making.
        let to = folder.path().join(names[which]);
        let out = File::create(&to).map_err(|error| DataError::io("unpack into", &to, error))?;
        let mut out = BufWriter::new(out);
        let mut buffer = vec![0; 1 << 18];
        loop {
            let read = entry.read(&mut buffer).map_err(wrong)?;
            if read == 0 {
                break;
            }
            out.write_all(&buffer[..read])
                .map_err(|error| DataError::io("unpack into", &to, error))?;
            (ask.progress)(Progress { step: "unpacking", done: done.get(), total: Some(length) });
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
        found: if seen.is_empty() { "nothing else".to_owned() } else { seen.join(", ") },
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
