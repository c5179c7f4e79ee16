//! What happens to a block of numbers between two matrix products.
//!
//! Blocks are row-major, one row an example. Each function does the same operations in the same
//! order whatever vector unit it finds, so its result does not depend on it.

use fed_data::{BYTE_VALUES, Examples, Features};
use pulp::{Arch, Simd, WithSimd};

use crate::learner::Metrics;

/// Writes the features of the examples `rows`, one after another.
pub(super) fn gather(arch: Arch, examples: &Examples<'_>, rows: &[u32], out: &mut [f32]) {
    let width = examples.width();
    let start = |row: u32| row as usize * width;
    match examples.features() {
        Features::Bytes(bytes) => {
            for (&row, out) in rows.iter().zip(out.chunks_exact_mut(width)) {
                arch.dispatch(Expand { bytes: &bytes[start(row)..][..width], out });
            }
        }
        Features::Floats(floats) => {
            for (&row, out) in rows.iter().zip(out.chunks_exact_mut(width)) {
                out.copy_from_slice(&floats[start(row)..][..width]);
            }
        }
    }
}

/// Expands bytes to their [`BYTE_VALUES`]: a division is faster than a table, and the same bits.
struct Expand<'a> {
    bytes: &'a [u8],
    out: &'a mut [f32],
}

impl WithSimd for Expand<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        simd.vectorize(
            #[inline(always)]
            || {
                for (value, &byte) in self.out.iter_mut().zip(self.bytes) {
                    *value = f32::from(byte) / BYTE_VALUES_DIVISOR;
                }
            },
        );
    }
}

/// What a byte is divided by to get its value.
const BYTE_VALUES_DIVISOR: f32 = 255.0;

// Should the values ever change, this crate must not build on.
const _: () = assert!(BYTE_VALUES[255].to_bits() == 1.0_f32.to_bits());

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

/// Loss and accuracy of a block of logits `[rows, classes]`.
pub(super) fn measure(logits: &[f32], labels: &[u8], classes: usize) -> Metrics {
    let mut metrics = Metrics::default();
    for (row, &label) in logits.chunks_exact(classes).zip(labels) {
        let (best, peak) = first_largest(row);
        let exponentials: f32 = row.iter().map(|&logit| (logit - peak).exp()).sum();
        enter(&mut metrics, row, label, best, peak, exponentials);
    }
    metrics
}

/// As [`measure`], and replaces the logits by `scale` times the gradient of their cross entropy:
/// `scale · (softmax − one-hot label)`.
pub(super) fn measure_and_differentiate(
    logits: &mut [f32],
    labels: &[u8],
    classes: usize,
    scale: f32,
) -> Metrics {
    let mut metrics = Metrics::default();
    let mut exponentials = [0.0_f32; 256];
    for (row, &label) in logits.chunks_exact_mut(classes).zip(labels) {
        let (best, peak) = first_largest(row);
        let exponentials = &mut exponentials[..classes];
        for (exponential, &logit) in exponentials.iter_mut().zip(&*row) {
            *exponential = (logit - peak).exp();
        }
        let sum = exponentials.iter().sum();
        enter(&mut metrics, row, label, best, peak, sum);
        for (logit, &exponential) in row.iter_mut().zip(&*exponentials) {
            *logit = scale * (exponential / sum);
        }
        row[usize::from(label)] = scale * (exponentials[usize::from(label)] / sum - 1.0);
    }
    metrics
}

/// Index and value of the first largest logit.
fn first_largest(row: &[f32]) -> (usize, f32) {
    let mut best = (0, row[0]);
    for (index, &logit) in row.iter().enumerate() {
        if logit > best.1 {
            best = (index, logit);
        }
    }
    best
}

/// Enters one example: its cross entropy by log-sum-exp with the maximum subtracted.
fn enter(metrics: &mut Metrics, row: &[f32], label: u8, best: usize, peak: f32, sum: f32) {
    let label = usize::from(label);
    metrics.examples += 1;
    metrics.correct += u64::from(best == label);
    metrics.loss_sum += f64::from(sum).ln() + (f64::from(peak) - f64::from(row[label]));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_expand_to_the_values_that_the_data_crate_states() {
        let bytes: Vec<u8> = (0..=255).collect();
        let examples = Examples::from_bytes(bytes, vec![0; 2], 128);
        let mut out = vec![0.0; 256];
        gather(Arch::new(), &examples, &[0, 1], &mut out);
        for (value, expected) in out.iter().zip(BYTE_VALUES) {
            assert_eq!(value.to_bits(), expected.to_bits());
        }
    }

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

    #[test]
    fn equal_logits_count_as_the_first() {
        let metrics = measure(&[1.0, 1.0, 1.0, 1.0], &[0, 1], 2);
        assert_eq!((metrics.examples, metrics.correct), (2, 1));
        assert!((metrics.loss() - 2.0_f64.ln()).abs() < 1e-12);
    }

    #[test]
    fn huge_logits_do_not_overflow() {
        let metrics = measure(&[3e38, -3e38], &[1], 2);
        assert!((metrics.loss() - 6e38).abs() < 1e32, "{}", metrics.loss());
    }
}
