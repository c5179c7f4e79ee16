//! What happens to a block of numbers between two matrix products.
//!
//! Blocks are row-major, one row an example. Each function does the same operations in the same
//! order whatever vector unit it finds, so its result does not depend on it.

use fed_data::Examples;
use pulp::{Arch, Simd, WithSimd};

use crate::pixels;

/// Writes the features of the examples `rows`, one after another.
pub(super) fn gather(arch: Arch, examples: &Examples<'_>, rows: &[u32], out: &mut [f32]) {
    arch.dispatch(Gather { examples, rows, out });
}

struct Gather<'a> {
    examples: &'a Examples<'a>,
    rows: &'a [u32],
    out: &'a mut [f32],
}

impl WithSimd for Gather<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        simd.vectorize(
            #[inline(always)]
            || pixels::gather(self.examples, self.rows, self.out),
        );
    }
}

/// Adds the bias to every row, then applies ReLU unless these are the logits.
///
/// A value that is not a number stays one.
pub(super) fn add_bias(arch: Arch, block: &mut [f32], bias: &[f32], relu: bool) {
    arch.dispatch(AddBias { block, bias, relu });
}

struct AddBias<'a> {
    block: &'a mut [f32],
    bias: &'a [f32],
    relu: bool,
}

impl WithSimd for AddBias<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        simd.vectorize(
            #[inline(always)]
            || {
                for row in self.block.chunks_exact_mut(self.bias.len()) {
                    if self.relu {
                        for (value, bias) in row.iter_mut().zip(self.bias) {
                            let sum = *value + bias;
                            *value = if sum < 0.0 { 0.0 } else { sum };
                        }
                    } else {
                        for (value, bias) in row.iter_mut().zip(self.bias) {
                            *value += bias;
                        }
                    }
                }
            },
        );
    }
}

/// Replaces the outputs of a ReLU by the gradient with respect to its inputs: `delta` where the
/// output was positive, else 0.
pub(super) fn relu_gradient(arch: Arch, outputs: &mut [f32], delta: &[f32]) {
    arch.dispatch(ReluGradient { outputs, delta });
}

struct ReluGradient<'a> {
    outputs: &'a mut [f32],
    delta: &'a [f32],
}

impl WithSimd for ReluGradient<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        simd.vectorize(
            #[inline(always)]
            || {
                for (output, &delta) in self.outputs.iter_mut().zip(self.delta) {
                    *output = if *output > 0.0 { delta } else { 0.0 };
                }
            },
        );
    }
}

/// Adds the sum over rows of `block` to `total`.
pub(super) fn add_rows(arch: Arch, total: &mut [f32], block: &[f32]) {
    arch.dispatch(AddRows { total, block });
}

struct AddRows<'a> {
    total: &'a mut [f32],
    block: &'a [f32],
}

impl WithSimd for AddRows<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        simd.vectorize(
            #[inline(always)]
            || {
                for row in self.block.chunks_exact(self.total.len()) {
                    for (total, value) in self.total.iter_mut().zip(row) {
                        *total += value;
                    }
                }
            },
        );
    }
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
