//! One table of an HDF5 file: its shape and type looked at, its numbers read.

use hdf5_reader::error::Error;
use hdf5_reader::{ByteOrder, Dataset, Datatype};

/// Why a table is not read.
pub(super) enum Refusal {
    /// It is damaged.
    Damaged(String),
    /// It is of a form that is not read: what, and what to do.
    Unsupported(String, String),
    /// The reader's own words.
    Reader(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Reader(error)
    }
}

/// Labels of one client, to be read.
pub(super) struct Labels(Dataset);

/// Pixels of one client, to be read.
pub(super) struct Pixels(Dataset);

impl Labels {
    /// Labels in whole numbers of any width, `[n]` or `[n, 1]`, and their number `n`.
    pub(super) fn new(table: Dataset) -> Result<(Self, u64), Refusal> {
        let Datatype::FixedPoint { size: 1 | 2 | 4 | 8, .. } = table.dtype() else {
            return Err(Refusal::Unsupported(
                format!("`label` holds {}", words(table.dtype())),
                "write whole numbers, in h5py `labels.astype(\"int32\")`".to_owned(),
            ));
        };
        match rows(&table, 1) {
            Some(count) => Ok((Self(table), count)),
            None => Err(Refusal::Unsupported(
                format!("`label` has the shape {:?} instead of [n]", table.shape()),
                "write one class a row".to_owned(),
            )),
        }
    }

    /// The labels.
    pub(super) fn read(&self) -> Result<Vec<i64>, Refusal> {
        let &Datatype::FixedPoint { size, signed, byte_order } = self.0.dtype() else {
            return Err(Refusal::Damaged("`label` holds no whole numbers".to_owned()));
        };
        let bytes = raw(&self.0, "label")?;
        let numbers = bytes.chunks_exact(size.into()).map(|number| {
            let mut wide = [0; 8];
            for (at, &byte) in number.iter().enumerate() {
                let big = byte_order == ByteOrder::BigEndian;
                wide[if big { number.len() - 1 - at } else { at }] = byte;
            }
            let spare = 64 - 8 * u32::from(size);
            // Too large for a signed number is too large for a class.
            match signed {
                true => (i64::from_le_bytes(wide) << spare) >> spare,
                false => i64::try_from(u64::from_le_bytes(wide)).unwrap_or(i64::MAX),
            }
        });
        Ok(numbers.collect())
    }
}

impl Pixels {
    /// Pixels in single or double precision, `[n, 28, 28]`, `[n, 784]` or with axes of one, and
    /// their number `n`.
    pub(super) fn new(table: Dataset) -> Result<(Self, u64), Refusal> {
        let instead = match table.dtype() {
            Datatype::FloatingPoint { size: 4 | 8, .. } => None,
            Datatype::FixedPoint { size: 1, signed: false, .. } => Some(
                "divide them by 255 and write single precision, 1 for paper and 0 for ink: in h5py \
                 `(pixels / 255).astype(\"float32\")`, or `(1 - pixels / 255)` if 255 is ink",
            ),
            _ => Some("write single precision, 1 for paper and 0 for ink"),
        };
        if let Some(instead) = instead {
            let what = format!("`pixels` holds {}", words(table.dtype()));
            return Err(Refusal::Unsupported(what, instead.to_owned()));
        }
        match rows(&table, super::PIXELS as u64) {
            Some(count) => Ok((Self(table), count)),
            None => Err(Refusal::Unsupported(
                format!("`pixels` has the shape {:?} instead of [n, 28, 28]", table.shape()),
                "write pictures of 28 by 28, the first axis for the examples".to_owned(),
            )),
        }
    }

    /// Bytes of one number.
    pub(super) fn number_bytes(&self) -> u64 {
        match self.0.dtype() {
            Datatype::FloatingPoint { size, .. } => u64::from(*size),
            _ => 4,
        }
    }

    /// The pixels.
    pub(super) fn read(&self) -> Result<Vec<f32>, Refusal> {
        let &Datatype::FloatingPoint { size, byte_order } = self.0.dtype() else {
            return Err(Refusal::Damaged("`pixels` holds no pixels".to_owned()));
        };
        let mut bytes = raw(&self.0, "pixels")?;
        if self.0.chunks().is_none() && bytes.iter().all(|&byte| byte == 0) {
            return Err(Refusal::Damaged(
                "its `pixels` are all 0, as in a table that was never written".to_owned(),
            ));
        }
        if byte_order == ByteOrder::BigEndian {
            bytes.chunks_exact_mut(size.into()).for_each(<[u8]>::reverse);
        }
        Ok(if size == 4 {
            let number = |bytes: &[u8]| f32::from_le_bytes(std::array::from_fn(|at| bytes[at]));
            bytes.chunks_exact(4).map(number).collect()
        } else {
            let number = |bytes: &[u8]| f64::from_le_bytes(std::array::from_fn(|at| bytes[at]));
            bytes.chunks_exact(8).map(|bytes| number(bytes) as f32).collect()
        })
    }
}

/// The length of the first axis, if the others hold `row` numbers together.
fn rows(table: &Dataset, row: u64) -> Option<u64> {
    let (&rows, rest) = table.shape().split_first()?;
    let inner: Vec<u64> = rest.iter().copied().filter(|&axis| axis != 1).collect();
    match (row, &inner[..]) {
        (1, []) | (_, [28, 28] | [784]) => Some(rows),
        _ => None,
    }
}

/// The bytes of a table, all of which must be in the file.
///
/// What was never written, or what a damaged index does not find any more, HDF5 reads as zeros:
/// as ink, and as the class 0. So chunks are laid side by side here, and counted.
fn raw(table: &Dataset, name: &str) -> Result<Vec<u8>, Refusal> {
    if table.chunks().is_none() {
        return Ok(table.read_raw_bytes()?);
    }
    let size = table.raw_element_size()?;
    let shape: Vec<usize> = table.shape().iter().map(|&axis| axis as usize).collect();
    let length = table.raw_byte_len()?;
    let mut out = Vec::new();
    out.try_reserve_exact(length)
        .map_err(|_| Refusal::Damaged(format!("its `{name}` should take {length} bytes")))?;
    out.resize(length, 0);
    let mut there = 0;
    for chunk in table.iter_chunks()? {
        let chunk = chunk?;
        there += place(&mut out, &shape, chunk.offsets(), chunk.shape(), chunk.bytes(), size);
    }
    if there != out.len() {
        return Err(Refusal::Damaged(format!(
            "of the {} bytes of its `{name}` only {there} are in the file",
            out.len()
        )));
    }
    Ok(out)
}

/// Copies the part of a chunk that lies inside the table; how many bytes that is.
fn place(
    out: &mut [u8],
    shape: &[usize],
    offsets: &[u64],
    chunk_shape: &[u64],
    bytes: &[u8],
    size: usize,
) -> usize {
    let chunk: Vec<usize> = chunk_shape.iter().map(|&axis| axis as usize).collect();
    let offset: Vec<usize> = offsets.iter().map(|&at| at as usize).collect();
    // A damaged chunk may say anything of itself; what holds from here on keeps all products small.
    let full = chunk.iter().try_fold(size, |all, &axis| all.checked_mul(axis));
    if chunk.len() != shape.len() || offset.len() < shape.len() || full != Some(bytes.len()) {
        return 0;
    }
    // How much of each axis lies inside; runs along the last one are copied whole.
    let inside: Vec<usize> = (0..shape.len())
        .map(|axis| chunk[axis].min(shape[axis].saturating_sub(offset[axis])))
        .collect();
    let Some((&run, outer)) = inside.split_last() else { return 0 };
    if inside.contains(&0) {
        return 0;
    }
    let mut copied = 0;
    for step in 0..outer.iter().product() {
        // The place of this run, axis by axis, in the chunk and in the table.
        let (mut rest, mut from, mut to) = (step, 0, 0);
        let (mut chunk_stride, mut stride) = (chunk[outer.len()], shape[outer.len()]);
        for axis in (0..outer.len()).rev() {
            let index = rest % outer[axis];
            rest /= outer[axis];
            from += index * chunk_stride;
            to += (offset[axis] + index) * stride;
            chunk_stride *= chunk[axis];
            stride *= shape[axis];
        }
        to += offset[outer.len()];
        let source = bytes.get(from * size..(from + run) * size);
        let target = out.get_mut(to * size..(to + run) * size);
        if let (Some(source), Some(target)) = (source, target) {
            target.copy_from_slice(source);
            copied += source.len();
        }
    }
    copied
}

/// A type of numbers in a person's words.
fn words(kind: &Datatype) -> String {
    match kind {
        Datatype::FixedPoint { size, signed, .. } => {
            let sign = if *signed { "signed" } else { "unsigned" };
            format!("{sign} whole numbers of {} bits", 8 * u32::from(*size))
        }
        Datatype::FloatingPoint { size, .. } => {
            format!("floating-point numbers of {} bits", 8 * u32::from(*size))
        }
        Datatype::String { .. } => "text".to_owned(),
        Datatype::Enum { .. } => "named values (true and false, say)".to_owned(),
        _ => "values that are not plain numbers".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_laid_side_by_side_and_cut_at_the_edge() {
        // A table of 3 by 5 in chunks of 2 by 3; each number is its own place.
        let (shape, chunk) = ([3, 5], [2_u64, 3]);
        let mut out = vec![0; 15];
        let mut there = 0;
        for offset in [[0, 0], [0, 3], [2, 0], [2, 3_u64]] {
            let bytes: Vec<u8> =
                (0..6).map(|at| ((offset[0] + at / 3) * 5 + offset[1] + at % 3) as u8).collect();
            there += place(&mut out, &shape, &offset, &chunk, &bytes, 1);
        }
        assert_eq!(there, 15);
        assert_eq!(out, (0..15).collect::<Vec<u8>>());
    }
}
