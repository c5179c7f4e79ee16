//! Features as numbers, wherever they lie.

use fed_data::{BYTE_VALUES, Examples, Features};

/// What a byte is divided by to get its value: faster than a table, and the same bits.
const DIVISOR: f32 = 255.0;

// Should the values ever change, this crate must not build on.
const _: () = assert!(BYTE_VALUES[255].to_bits() == 1.0_f32.to_bits());

/// Writes the features of the examples `rows`, one after another.
#[inline(always)]
pub(crate) fn gather(examples: &Examples<'_>, rows: &[u32], out: &mut [f32]) {
    let width = examples.width();
    let start = |row: u32| row as usize * width;
    match examples.features() {
        Features::Bytes(bytes) => {
            for (&row, out) in rows.iter().zip(out.chunks_exact_mut(width)) {
                for (value, &byte) in out.iter_mut().zip(&bytes[start(row)..][..width]) {
                    *value = f32::from(byte) / DIVISOR;
                }
            }
        }
        Features::Floats(floats) => {
            for (&row, out) in rows.iter().zip(out.chunks_exact_mut(width)) {
                out.copy_from_slice(&floats[start(row)..][..width]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_expand_to_the_values_that_the_data_crate_states() {
        let bytes: Vec<u8> = (0..=255).collect();
        let examples = Examples::from_bytes(bytes, vec![0; 2], 128);
        let mut out = vec![0.0; 256];
        gather(&examples, &[0, 1], &mut out);
        for (value, expected) in out.iter().zip(BYTE_VALUES) {
            assert_eq!(value.to_bits(), expected.to_bits());
        }
    }
}
