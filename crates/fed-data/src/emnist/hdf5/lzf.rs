//! LZF, the packing that h5py calls `compression="lzf"`: HDF5's registered filter 32000.

use hdf5_reader::error::Error;

/// The filter's number.
pub(super) const ID: u16 = 32_000;

/// Unpacks one chunk of at most `most` bytes.
///
/// A control byte below 32 announces that many literal bytes plus one; any other a copy of bytes
/// that were written before, its length in the upper three bits (7: and the next byte), how far
/// back in the lower five and the byte that follows.
pub(super) fn unpack(packed: &[u8], most: usize) -> Result<Vec<u8>, Error> {
    let wrong = |what: &str| Error::DecompressionError(format!("LZF: {what}"));
    let ends = || wrong("it ends too early");
    let mut out: Vec<u8> = Vec::new();
    let mut input = packed.iter();
    while let Some(&control) = input.next() {
        let control = usize::from(control);
        if control < 32 {
            let (literal, rest) =
                input.as_slice().split_at_checked(control + 1).ok_or_else(ends)?;
            out.extend_from_slice(literal);
            input = rest.iter();
        } else {
            let mut length = control >> 5;
            if length == 7 {
                length += usize::from(*input.next().ok_or_else(ends)?);
            }
            let back = (control & 31) << 8 | usize::from(*input.next().ok_or_else(ends)?);
            let from = out.len().checked_sub(back + 1).ok_or_else(|| wrong("a copy of nothing"))?;
            // Byte by byte: a copy may reach into what it writes.
            for at in from..from + length + 2 {
                out.push(out[at]);
            }
        }
        if out.len() > most {
            return Err(wrong("more than a chunk"));
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_and_copies() {
        assert_eq!(unpack(&[2, 7, 8, 9], 100).expect("literals"), [7, 8, 9]);
        // One literal, then five copies of the byte before.
        assert_eq!(unpack(&[0, 4, 3 << 5, 0], 100).expect("a run"), [4; 6]);
        // A long copy: 7 + 20 + 2.
        assert_eq!(unpack(&[0, 4, 7 << 5, 20, 0], 100).expect("a long run"), [4; 30]);
    }

    #[test]
    fn damage_is_an_error() {
        for packed in [&[3, 1][..], &[0, 4, 3 << 5], &[0, 4, 3 << 5, 1], &[0, 4, 7 << 5]] {
            assert!(unpack(packed, 100).is_err(), "{packed:?}");
        }
        assert!(unpack(&[0, 4, 7 << 5, 255, 0], 100).is_err(), "more than it may give");
    }
}
