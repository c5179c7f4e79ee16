//! Features as numbers, wherever they lie.

use fed_data::{BYTE_VALUES, Examples, Features};

/// What a byte is divided by to get its value: faster than a table, and the same bits.
const DIVISOR: f32 = 255.0;

// Should the values ever change, this crate must not build on.
const _: () = assert!(BYTE_VALUES[255].to_bits() == 1.0_f32.to_bits());

/// Bytes of features that a near cache can hold beside the weights.
#[cfg(feature = "cpu")]
const NEAR: usize = 256 << 10;

/// Reads a client's features once in the order in which they lie, if they are few enough to stay
/// near: the shuffled order in which they are wanted is one that no processor looks ahead in.
#[cfg(feature = "cpu")]
pub(crate) fn look_ahead(examples: &Examples<'_>) {
    /// Bytes of a cache line.
    const LINE: usize = 64;
    let seen = match examples.features() {
        Features::Bytes(bytes) if bytes.len() <= NEAR => {
            bytes.iter().step_by(LINE).fold(0, |seen, byte| seen ^ byte)
        }
        Features::Floats(floats) if size_of_val(floats) <= NEAR => {
            let lines = floats.iter().step_by(LINE / size_of::<f32>());
            lines.fold(0, |seen, value| seen ^ value.to_bits() as u8)
        }
        _ => 0,
    };
    std::hint::black_box(seen);
}

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
