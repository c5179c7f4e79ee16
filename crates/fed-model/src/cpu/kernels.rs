//! What happens to a block of numbers between two matrix products.
//!
//! Blocks are row-major, one row an example, with a stride of whole cache lines. Each function
//! does the same operations in the same order whatever vector unit it finds, so its result does
//! not depend on it.

use fed_data::Examples;
use pulp::{Arch, Simd, WithSimd};

use super::layout::LINE;
use crate::pixels;

/// Runs `task`, compiled for the best vector unit of this machine. A closure with
/// `#[inline(always)]` becomes part of what is compiled; another would be called as it is.
#[inline(always)]
fn vectorized(arch: Arch, task: impl FnOnce()) {
    struct Task<F>(F);
    impl<F: FnOnce()> WithSimd for Task<F> {
        type Output = ();
        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            simd.vectorize(self.0);
        }
    }
    arch.dispatch(Task(task));
}

/// Writes the features of the examples `rows`, one after another.
pub(super) fn gather(arch: Arch, examples: &Examples<'_>, rows: &[u32], out: &mut [f32]) {
    vectorized(
        arch,
        #[inline(always)]
        || pixels::gather(examples, rows, out),
    );
}

/// Adds the sum over rows of `block` to `total`, both with their padding.
pub(super) fn add_rows(arch: Arch, total: &mut [f32], block: &[f32]) {
    vectorized(
        arch,
        #[inline(always)]
        || {
            let stride = total.len();
            // A line of the total stays in a register for all rows.
            for (column, total) in total.as_chunks_mut::<LINE>().0.iter_mut().enumerate() {
                let mut sums = *total;
                for row in block.chunks_exact(stride) {
                    for (sum, value) in sums.iter_mut().zip(&row[column * LINE..][..LINE]) {
                        *sum += value;
                    }
                }
                *total = sums;
            }
        },
    );
}

/// A square of numbers that is turned in one go.
type Square = [[f32; LINE]; LINE];

/// The square at `row` and `column` of a block; what lies beyond its `rows` is zero.
#[inline(always)]
fn square((block, stride): (&[f32], usize), rows: usize, (row, column): (usize, usize)) -> Square {
    std::array::from_fn(
        #[inline(always)]
        |r| match row + r < rows {
            true => *block[(row + r) * stride + column..].first_chunk().expect("whole lines"),
            false => [0.0; LINE],
        },
    )
}

#[inline(always)]
fn turned(square: &Square) -> Square {
    std::array::from_fn(
        #[inline(always)]
        |r| std::array::from_fn(|c| square[c][r]),
    )
}

/// Writes the transpose of the first `columns` columns of a block of `rows` rows. Both strides
/// are whole lines; the padding of the result becomes zero up to the next line.
pub(super) fn transpose(
    arch: Arch,
    block: (&[f32], usize),
    (rows, columns): (usize, usize),
    (into, stride): (&mut [f32], usize),
) {
    vectorized(
        arch,
        #[inline(always)]
        || {
            for column in (0..columns).step_by(LINE) {
                for row in (0..rows).step_by(LINE) {
                    let turned = turned(&square(block, rows, (row, column)));
                    for (c, line) in turned.iter().enumerate().take(columns - column) {
                        into[(column + c) * stride + row..][..LINE].copy_from_slice(line);
                    }
                }
            }
        },
    );
}

/// Replaces the outputs of a ReLU, of which there are `rows` rows of `columns`, by the gradient
/// with respect to its inputs: where the output was positive that with respect to the outputs,
/// which comes transposed, else 0. Both strides are whole lines.
pub(super) fn relu_gradient(
    arch: Arch,
    (outputs, stride): (&mut [f32], usize),
    (rows, columns): (usize, usize),
    delta: (&[f32], usize),
) {
    vectorized(
        arch,
        #[inline(always)]
        || {
            for column in (0..columns).step_by(LINE) {
                for row in (0..rows).step_by(LINE) {
                    let turned = turned(&square(delta, columns, (column, row)));
                    for (r, line) in turned.iter().enumerate().take(rows - row) {
                        let outputs = &mut outputs[(row + r) * stride + column..][..LINE];
                        for (output, &delta) in outputs.iter_mut().zip(line) {
                            *output = if *output > 0.0 { delta } else { 0.0 };
                        }
                    }
                }
            }
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transposing_reaches_every_number_and_no_other_row() {
        for (rows, columns) in [(1, 1), (5, 10), (16, 16), (33, 40), (17, 3)] {
            let stride = 48;
            let block: Vec<f32> = (0..rows * stride).map(|i| i as f32).collect();
            let mut into = vec![-1.0; (columns + 1) * stride];
            transpose(Arch::new(), (&block, stride), (rows, columns), (&mut into, stride));
            for (column, line) in into.chunks_exact(stride).enumerate() {
                for (row, &value) in line.iter().enumerate().take(rows) {
                    let expected =
                        if column < columns { block[row * stride + column] } else { -1.0 };
                    assert!((value - expected).abs() < f32::EPSILON, "{row} {column}");
                }
            }
        }
    }

    #[test]
    fn the_gradient_passes_where_the_output_was_positive() {
        let (rows, columns, stride) = (19, 21, 48);
        let mut outputs: Vec<f32> =
            (0..rows * stride).map(|i| [1.5, 0.0, f32::NAN, 2.0][i % 4]).collect();
        let before = outputs.clone();
        let delta: Vec<f32> = (0..columns * stride).map(|i| i as f32 + 1.0).collect();
        relu_gradient(Arch::new(), (&mut outputs, stride), (rows, columns), (&delta, stride));
        for row in 0..rows {
            for column in 0..columns {
                let open = before[row * stride + column] > 0.0;
                let expected = if open { delta[column * stride + row] } else { 0.0 };
                let found = outputs[row * stride + column];
                assert!((found - expected).abs() < f32::EPSILON, "{row} {column}");
            }
        }
    }
}
