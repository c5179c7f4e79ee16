//! What happens to a block of numbers between two matrix products.
//!
//! Blocks are row-major, one row an example. Each function does the same operations in the same
//! order whatever vector unit it finds, so its result does not depend on it.

use fed_data::Examples;
use pulp::{Arch, Simd, WithSimd};

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

/// Adds the bias to every row, then applies ReLU unless these are the logits.
///
/// A value that is not a number stays one.
pub(super) fn add_bias(arch: Arch, block: &mut [f32], bias: &[f32], relu: bool) {
    vectorized(
        arch,
        #[inline(always)]
        || {
            for row in block.chunks_exact_mut(bias.len()) {
                if relu {
                    for (value, bias) in row.iter_mut().zip(bias) {
                        let sum = *value + bias;
                        *value = if sum < 0.0 { 0.0 } else { sum };
                    }
                } else {
                    for (value, bias) in row.iter_mut().zip(bias) {
                        *value += bias;
                    }
                }
            }
        },
    );
}

/// Replaces the outputs of a ReLU by the gradient with respect to its inputs: `delta` where the
/// output was positive, else 0.
pub(super) fn relu_gradient(arch: Arch, outputs: &mut [f32], delta: &[f32]) {
    vectorized(
        arch,
        #[inline(always)]
        || {
            for (output, &delta) in outputs.iter_mut().zip(delta) {
                *output = if *output > 0.0 { delta } else { 0.0 };
            }
        },
    );
}

/// Adds the sum over rows of `block` to `total`.
pub(super) fn add_rows(arch: Arch, total: &mut [f32], block: &[f32]) {
    vectorized(
        arch,
        #[inline(always)]
        || {
            for row in block.chunks_exact(total.len()) {
                for (total, value) in total.iter_mut().zip(row) {
                    *total += value;
                }
            }
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relu_keeps_what_is_not_a_number() {
        let mut block = [f32::NAN, -1.0, 2.0];
        add_bias(Arch::new(), &mut block, &[0.0; 3], true);
        assert!(block[0].is_nan());
        assert_eq!(
            block[1..].iter().map(|x| x.to_bits()).collect::<Vec<_>>(),
            [0, 2.0_f32.to_bits()]
        );
    }
}
