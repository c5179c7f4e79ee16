//! The cache file: a data set as it lies in memory, mapped in no time.
//!
//! ```text
//! 0      8  magic "FEDDATA\n"
//! 8      4  version, little-endian
//! 12     4  length of the header, little-endian
//! 16    32  SHA-256 of the header
//! 48     …  the header, JSON: what the data set is, what it was made from, where its parts lie
//! …         the parts, each from a multiple of 64: ids, offsets, labels and features of each split
//! ```
//!
//! Numbers are little-endian. A file is written beside its place, flushed to the disk and then
//! renamed, so that there is never half a cache under the final name. When it is opened, the
//! header's hash, the hash of ids, offsets and labels, and the lengths of all parts are checked.
//! Pixels are not read until they are needed: [`Dataset::check`] reads and hashes them all, beside
//! the first round of a run and before anything that came from them is recorded.
//!
//! Version 1 did not hash the labels and knew less of what it was made from. Only what was imported
//! is still read from it, and then checked in full at once.

mod stamp;

use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use memmap2::Mmap;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::buffer::Buffer;
use crate::dataset::{CacheFile, Dataset, Source};
use crate::digest::{ContentDigest, hex};
use crate::error::DataError;
use crate::federated::FederatedData;
use crate::split::{Split, Store};
pub(crate) use stamp::{FileVersion, Maker};

const MAGIC: &[u8; 8] = b"FEDDATA\n";
const VERSION: u32 = 2;
/// How the names of files begin that are not complete yet.
const WRITING: &str = ".writing-";
/// A header is a few kilobytes.
const LONGEST_HEADER: u32 = 1 << 20;
const ALIGNMENT: u64 = 64;

#[derive(Serialize, Deserialize)]
struct Header {
    source: Source,
    /// A [`Maker`], of this version or an older one.
    maker: serde_json::Value,
    /// Length of the whole file.
    bytes: u64,
    /// SHA-256 of the ids, offsets and labels of both splits; in version 1 without the labels.
    tables: String,
    splits: [Part; 2],
}

#[derive(Serialize, Deserialize)]
struct Part {
    width: usize,
    classes: usize,
    clients: usize,
    examples: usize,
    eight_bit: bool,
    ids: Range<u64>,
    offsets: Range<u64>,
    labels: Range<u64>,
    features: Range<u64>,
}

/// Writes `data` to `path`, atomically.
pub(crate) fn write(path: &Path, data: &Dataset, maker: &Maker) -> Result<(), DataError> {
    if cfg!(target_endian = "big") {
        return Ok(()); // the mapped form is little-endian
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(|error| DataError::io("create", folder, error))?;
    remove_leftovers(folder);
    let mut builder = tempfile::Builder::new();
    builder.prefix(WRITING);
    // Whoever may read what others make here may read this too: the umask says who.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let file =
        builder.tempfile_in(folder).map_err(|error| DataError::io("write into", folder, error))?;
    crate::scratch::note(file.path());
    let failed = |error| DataError::io("write", path, error);
    let mut out = Aligned { inner: BufWriter::with_capacity(1 << 20, file), at: 0 };

    // The header's length depends on the numbers in it, so it gets room of a fixed size, padded
    // with spaces, which JSON does not mind.
    let mut header = Header {
        source: data.source.clone(),
        maker: value(maker),
        bytes: 0,
        tables: String::new(),
        splits: [&data.train, &data.test].map(|split| Part {
            width: split.width(),
            classes: split.classes(),
            clients: split.num_clients(),
            examples: split.len(),
            eight_bit: split.is_eight_bit(),
            ids: 0..0,
            offsets: 0..0,
            labels: 0..0,
            features: 0..0,
        }),
    };
    header.source.why.clear();
    let room = encode(&header).len() + 512;
    out.put(&vec![b' '; 48 + room]).map_err(failed)?;
    let mut tables = Sha256::new();
    for (part, split) in header.splits.iter_mut().zip([&data.train, &data.test]) {
        let ids = split.ids().join("\n");
        let offsets: Vec<u64> = split.offsets().iter().map(|&offset| offset as u64).collect();
        let offsets = bytemuck::cast_slice::<u64, u8>(&offsets);
        tables.update(ids.as_bytes());
        tables.update(offsets);
        tables.update(split.labels());
        part.ids = out.put(ids.as_bytes()).map_err(failed)?;
        part.offsets = out.put(offsets).map_err(failed)?;
        part.labels = out.put(split.labels()).map_err(failed)?;
        part.features = match split.store() {
            Store::Bytes(bytes) => out.put(bytes),
            Store::Floats(floats) => out.put(bytemuck::cast_slice(floats)),
        }
        .map_err(failed)?;
    }
    header.bytes = out.at;
    header.tables = hex(&tables.finalize());

    let mut text = encode(&header);
    assert!(text.len() <= room, "512 bytes are room for sixteen offsets and two hashes");
    text.resize(room, b' ');
    let mut start = Vec::with_capacity(48 + room);
    start.extend_from_slice(MAGIC);
    start.extend_from_slice(&VERSION.to_le_bytes());
    start.extend_from_slice(&(room as u32).to_le_bytes());
    start.extend_from_slice(&Sha256::digest(&text));
    start.extend_from_slice(&text);
    let file = out.inner.into_inner().map_err(|error| failed(error.into_error()))?;
    write_at_start(file.as_file(), &start).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    // The new name is on the disk once its folder is; where a folder cannot be opened, so be it.
    if let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all();
    }
    Ok(())
}

/// Opens a cache. `maker`, if given, is what it must have been made from.
///
/// # Errors
/// [`DataError::CacheDamaged`] if the file is damaged, of another version or stale: whoever can
/// should then make it anew.
pub(crate) fn read(path: &Path, maker: Option<&Maker>) -> Result<Dataset, DataError> {
    // What was asked for by its path may be all that is left of the data.
    let imported = maker.is_none();
    let wrong =
        |detail: String| DataError::CacheDamaged { path: path.to_owned(), detail, imported };
    let failed = |error| DataError::io("read", path, error);
    let mut file = File::open(path).map_err(|error| DataError::io("open", path, error))?;
    let length = file.metadata().map_err(failed)?.len();
    let mut start = [0; 48];
    file.read_exact(&mut start).map_err(|_| wrong(format!("it ends after {length} bytes")))?;
    if start[..8] != *MAGIC {
        return Err(wrong("it does not begin as a cache does".to_owned()));
    }
    let word = |at: usize| u32::from_le_bytes(std::array::from_fn(|byte| start[at + byte]));
    let version = word(8);
    if version != VERSION && !(version == 1 && imported) {
        return Err(wrong(format!("it is of version {version}, this build reads {VERSION}")));
    }
    let room = word(12);
    if room > LONGEST_HEADER || u64::from(room) + 48 > length {
        return Err(wrong(format!("a header of {room} bytes in a file of {length}")));
    }
    let mut text = vec![0; room as usize];
    file.read_exact(&mut text).map_err(failed)?;
    if Sha256::digest(&text)[..] != start[16..48] {
        return Err(wrong("the hash of its header is wrong".to_owned()));
    }
    let header: Header = serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))?;
    if header.bytes != length {
        return Err(wrong(format!("it has {length} bytes of {}", header.bytes)));
    }
    if maker.is_some_and(|maker| value(maker) != header.maker) {
        return Err(wrong("what it was made from has changed".to_owned()));
    }
    if header.source.name.contains(char::is_control) {
        return Err(wrong("its name holds a control character".to_owned()));
    }

    #[expect(unsafe_code, reason = "mapping a file has no safe form")]
    // SAFETY: a mapped file must not change under the mapping. A cache is never written in place:
    // it is made under another name and renamed, and a replaced file lives on until it is unmapped.
    let map = unsafe { Mmap::map(&file) }.map_err(failed)?;
    let map = Arc::new(map);
    let mut tables = Sha256::new();
    let [train, test] = header.splits;
    let train = split(&map, &train, &mut tables, version).map_err(wrong)?;
    let test = split(&map, &test, &mut tables, version).map_err(wrong)?;
    if hex(&tables.finalize()) != header.tables {
        return Err(wrong("the hash of its tables is wrong".to_owned()));
    }
    let file = CacheFile::new(path, file, imported);
    let data = Dataset::mapped(train, test, header.source, file);
    if version == 1 {
        data.check()?;
    }
    for (name, split) in [("train", &data.train), ("test", &data.test)] {
        // Bytes are pixels whatever they are; other numbers may be anything.
        if let Store::Floats(values) = split.store()
            && let Some(at) = values.iter().position(|value| !(0.0..=1.0).contains(value))
        {
            let (example, pixel) = (at / split.width(), at % split.width());
            let client = split.offsets().partition_point(|&offset| offset <= example) - 1;
            return Err(DataError::Pixel {
                path: path.to_owned(),
                split: name.to_owned(),
                client: split.ids()[client].to_string(),
                example: example - split.offsets()[client],
                pixel,
                value: values[at],
            });
        }
    }
    Ok(data)
}

/// Reads all of a data set and compares its digest with the one on record.
///
/// # Errors
/// [`DataError::CacheDamaged`] if some label or pixel is not what it was when `data` was made.
pub fn verify(data: &Dataset) -> Result<(), DataError> {
    let now = ContentDigest::of_in_this_thread(&data.train, &data.test);
    if now == data.source.digest {
        return Ok(());
    }
    let (path, imported) = match data.cache_file() {
        Some(file) => (file.path().to_owned(), file.is_imported()),
        None => (data.source.files.first().cloned().unwrap_or_default(), false),
    };
    let detail = format!("its content has digest {now}, not {}", data.source.digest);
    Err(DataError::CacheDamaged { path, detail, imported })
}

fn split(map: &Arc<Mmap>, part: &Part, tables: &mut Sha256, version: u32) -> Result<Split, String> {
    let range = |range: &Range<u64>| -> Range<usize> {
        usize::try_from(range.start).unwrap_or(usize::MAX)
            ..usize::try_from(range.end).unwrap_or(usize::MAX)
    };
    let outside = |what: &str| format!("its {what} lie outside the file");
    let ids = map.get(range(&part.ids)).ok_or_else(|| outside("ids"))?;
    let offsets = map.get(range(&part.offsets)).ok_or_else(|| outside("offsets"))?;
    tables.update(ids);
    tables.update(offsets);
    if version > 1 {
        tables.update(map.get(range(&part.labels)).ok_or_else(|| outside("labels"))?);
    }
    let ids = std::str::from_utf8(ids).map_err(|error| error.to_string())?;
    let ids: Vec<Box<str>> = ids.split('\n').map(Box::from).collect();
    let offsets = offsets
        .chunks_exact(8)
        .map(|word| u64::from_le_bytes(std::array::from_fn(|byte| word[byte])) as usize)
        .collect();
    let labels = Buffer::mapped(map, range(&part.labels)).ok_or_else(|| outside("labels"))?;
    let features = range(&part.features);
    let store = if part.eight_bit {
        Buffer::mapped(map, features).map(Store::Bytes)
    } else {
        Buffer::mapped(map, features).map(Store::Floats)
    }
    .ok_or_else(|| outside("features"))?;
    let split = Split::from_parts(ids, offsets, store, labels, part.width, part.classes)
        .map_err(|error| error.to_string())?;
    if (split.num_clients(), split.len()) != (part.clients, part.examples) {
        return Err("its counts do not match".to_owned());
    }
    Ok(split)
}

/// Removes what processes that were ended by force left half written. None takes a day.
fn remove_leftovers(folder: &Path) {
    const DAY: Duration = Duration::from_secs(24 * 3_600);
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let old = entry
            .metadata()
            .and_then(|file| file.modified())
            .is_ok_and(|time| time.elapsed().is_ok_and(|age| age > DAY));
        if old && entry.file_name().to_string_lossy().starts_with(WRITING) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn value(maker: &Maker) -> serde_json::Value {
    serde_json::to_value(maker).expect("a maker has string keys only")
}

fn encode(header: &Header) -> Vec<u8> {
    serde_json::to_vec(header).expect("a header has string keys only")
}

/// Overwrites the beginning of a file that was written to its end.
fn write_at_start(mut file: &File, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::{Seek, SeekFrom};
    file.seek(SeekFrom::Start(0))?;
    file.write_all(bytes)
}

/// Writes runs of bytes, each from a multiple of [`ALIGNMENT`].
struct Aligned<W> {
    inner: W,
    at: u64,
}

impl<W: Write> Aligned<W> {
    fn put(&mut self, bytes: &[u8]) -> std::io::Result<Range<u64>> {
        let padding = self.at.next_multiple_of(ALIGNMENT) - self.at;
        self.inner.write_all(&[0; ALIGNMENT as usize][..padding as usize])?;
        let start = self.at + padding;
        self.inner.write_all(bytes)?;
        self.at = start + bytes.len() as u64;
        Ok(start..self.at)
    }
}
