//! Idx files: rows of numbers behind a header that says their type and shape.
//!
//! The header is big-endian (two zero bytes, the type, the number of axes, the length of each
//! axis); files whose writer forgot that are little-endian throughout and read as well. A file may
//! be packed with gzip, whatever its name says. What a header promises is compared with the length
//! of the file before memory is taken for it.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use crate::error::DataError;

/// More than this is no file of this kind, but damage.
const MOST_BYTES: u64 = 1 << 30;
/// Deflate makes nothing smaller than a 1,032nd.
const STRONGEST_PACKING: u64 = 1_032;

/// What the rows of a file should be.
#[derive(Clone, Copy)]
pub(super) struct Expected {
    /// In a message: `these are not …`.
    pub(super) what: &'static str,
    /// Numbers a row.
    pub(super) row: u64,
    /// How the file of this kind begins.
    pub(super) magic: u32,
    /// Bytes only: a picture in other numbers has a scale that nobody said.
    pub(super) bytes_only: bool,
}

/// The rows of an idx file.
pub(super) struct Idx {
    pub(super) rows: usize,
    row: usize,
    kind: Kind,
    little_endian: bool,
    values: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    U8,
    I8,
    I16,
    I32,
}

impl Kind {
    fn bytes(self) -> u64 {
        match self {
            Self::U8 | Self::I8 => 1,
            Self::I16 => 2,
            Self::I32 => 4,
        }
    }
}

impl Idx {
    /// Reads a file.
    pub(super) fn read(path: &Path, expected: Expected) -> Result<Self, DataError> {
        let failed = |error| DataError::io("read", path, error);
        let wrong = |detail: String| DataError::corrupt(path, "idx file", detail);
        let file = File::open(path).map_err(|error| DataError::io("open", path, error))?;
        let metadata = file.metadata().map_err(failed)?;
        if metadata.is_dir() {
            return Err(DataError::io("read", path, io::ErrorKind::IsADirectory.into()));
        }
        let length = metadata.len();
        let mut file = BufReader::with_capacity(1 << 16, file);
        let packed = is_gzip(&mut file).map_err(failed)?;
        let mut input: Box<dyn Read> = if packed { unzip(file)? } else { Box::new(file) };
        let mut at = 0;
        let mut next = |bytes: &mut [u8]| {
            input.read_exact(bytes).map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => wrong(format!("it ends in its header, byte {at}")),
                _ => wrong(error.to_string()),
            })?;
            at += bytes.len();
            Ok::<_, DataError>(())
        };

        let mut start = [0; 4];
        next(&mut start)?;
        let (kind, axes, little_endian) = match start {
            [0, 0, kind, axes] if axes > 0 => (kind, axes, false),
            [axes, kind, 0, 0] if axes > 0 => (kind, axes, true),
            _ => {
                let (found, magic) = (u32::from_be_bytes(start), expected.magic);
                return Err(wrong(format!(
                    "it begins with {found:#010x} instead of {magic:#010x}"
                )));
            }
        };
        let mut shape = Vec::new();
        for _ in 0..axes {
            let mut word = [0; 4];
            next(&mut word)?;
            shape.push(u64::from(word32(word, little_endian)));
        }
        let rows = shape[0];
        let row = shape[1..].iter().fold(1, |all: u64, &axis| all.saturating_mul(axis));
        let unsupported = |what: String, instead: &str| DataError::Unsupported {
            path: path.to_owned(),
            what,
            instead: instead.to_owned(),
        };
        if row != expected.row {
            return Err(unsupported(
                format!(
                    "these are not {}: it begins with {:#06x} instead of {:#06x} and has the shape \
                     {shape:?}, so {row} numbers a row instead of {}",
                    expected.what,
                    u32::from(kind) << 8 | u32::from(axes),
                    expected.magic,
                    expected.row
                ),
                "put the file of that name there, or reshape it with NumPy",
            ));
        }
        let kind = match kind {
            0x08 => Kind::U8,
            0x09 if !expected.bytes_only => Kind::I8,
            0x0B if !expected.bytes_only => Kind::I16,
            0x0C if !expected.bytes_only => Kind::I32,
            kind => {
                let is = match kind {
                    0x09 => "signed bytes",
                    0x0B => "whole numbers of 16 bits",
                    0x0C => "whole numbers of 32 bits",
                    0x0D => "single-precision numbers",
                    0x0E => "double-precision numbers",
                    _ => {
                        return Err(wrong(format!(
                            "its type of numbers is {kind:#04x}, none at all"
                        )));
                    }
                };
                let (should, cast) = match expected.bytes_only {
                    true => ("bytes, 0 for paper and 255 for ink", "uint8"),
                    false => ("whole numbers", "int32"),
                };
                return Err(unsupported(
                    format!("its {} are {is}; they should be {should}", expected.what),
                    &format!("scale them if need be and write them as {cast}"),
                ));
            }
        };
        if rows == 0 {
            return Err(wrong("it has no rows".to_owned()));
        }
        let promised = rows.saturating_mul(row).saturating_mul(kind.bytes());
        let header = 4 + 4 * u64::from(axes);
        if !packed && length != promised.saturating_add(header) {
            let full = promised.saturating_add(header);
            return Err(wrong(format!("it has {length} bytes, but {rows} rows take {full}")));
        }
        if promised > MOST_BYTES || promised / STRONGEST_PACKING > length {
            return Err(wrong(format!(
                "its header promises {rows} rows, {promised} bytes: more than {length} bytes of \
                 file hold, or more than the {MOST_BYTES} that are read"
            )));
        }
        let mut values = Vec::new();
        values.try_reserve_exact(promised as usize).map_err(|_| DataError::Memory {
            what: format!("`{}`", path.display()),
            bytes: promised,
        })?;
        // One byte more than promised: there must be none, and a packed file's end is checked.
        let read = (&mut input).take(promised).read_to_end(&mut values);
        read.map_err(|error| wrong(format!("{error} after {} bytes", values.len())))?;
        if (values.len() as u64) < promised {
            let has = values.len() as u64 + header;
            let full = promised + header;
            return Err(wrong(format!("it has {has} bytes, but {rows} rows take {full}")));
        }
        match input.read(&mut [0]) {
            Ok(0) => {}
            Ok(_) => return Err(wrong(format!("it goes on after its {rows} rows"))),
            Err(error) => return Err(wrong(format!("{error} at its end"))),
        }
        let (rows, row) = (rows as usize, row as usize);
        Ok(Self { rows, row, kind, little_endian, values })
    }

    /// The numbers of a row, as bytes; only for files that hold bytes.
    pub(super) fn bytes(&self, row: usize) -> &[u8] {
        &self.values[row * self.row..(row + 1) * self.row]
    }

    /// Number `column` of row `row`.
    pub(super) fn number(&self, row: usize, column: usize) -> i64 {
        let width = self.kind.bytes() as usize;
        let at = (row * self.row + column) * width;
        let bytes = &self.values[at..at + width];
        match self.kind {
            Kind::U8 => i64::from(bytes[0]),
            Kind::I8 => i64::from(bytes[0] as i8),
            Kind::I16 if self.little_endian => i64::from(i16::from_le_bytes([bytes[0], bytes[1]])),
            Kind::I16 => i64::from(i16::from_be_bytes([bytes[0], bytes[1]])),
            Kind::I32 => {
                let word = [bytes[0], bytes[1], bytes[2], bytes[3]];
                i64::from(word32(word, self.little_endian) as i32)
            }
        }
    }
}

fn word32(bytes: [u8; 4], little_endian: bool) -> u32 {
    if little_endian { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) }
}

/// Whether the file begins as gzip does, whatever its name says.
fn is_gzip(file: &mut BufReader<File>) -> io::Result<bool> {
    use std::io::BufRead;
    Ok(file.fill_buf()?.starts_with(&[0x1F, 0x8B]))
}

#[cfg(feature = "readers")]
fn unzip(file: BufReader<File>) -> Result<Box<dyn Read>, DataError> {
    Ok(Box::new(flate2::bufread::MultiGzDecoder::new(file)))
}

#[cfg(not(feature = "readers"))]
fn unzip(_: BufReader<File>) -> Result<Box<dyn Read>, DataError> {
    Err(DataError::Feature { what: "unpack gzip files", feature: "readers" })
}
