//! Softmax cross entropy of a block of logits, its metrics and its gradient.
//!
//! Blocks are row-major `[rows, classes]`, with a stride of at least `classes`. The loss is log-sum-exp with the maximum subtracted,
//! summed in `f64`; the prediction is the first largest logit. Logits that are not numbers, or
//! infinite, predict nothing: their loss is not finite, and no class counts as found.

use crate::learner::Metrics;

/// Loss and accuracy of a block of logits `[rows, classes]` with a row every `stride`.
pub(crate) fn measure(logits: &[f32], stride: usize, labels: &[u8], classes: usize) -> Metrics {
    let mut metrics = Metrics::default();
    for (row, &label) in logits.chunks_exact(stride).zip(labels) {
        let row = &row[..classes];
        let (best, peak) = first_largest(row);
        let exponentials: f32 = row.iter().map(|&logit| (logit - peak).exp()).sum();
        enter(&mut metrics, row, label, best, peak, exponentials);
    }
    metrics
}

/// As [`measure`], and replaces the logits by `scale` times the gradient of their cross entropy:
/// `scale · (softmax − one-hot label)`.
pub(crate) fn measure_and_differentiate(
    logits: &mut [f32],
    stride: usize,
    labels: &[u8],
    classes: usize,
    scale: f32,
) -> Metrics {
    let mut metrics = Metrics::default();
    let mut exponentials = [0.0_f32; 256];
    for (row, &label) in logits.chunks_exact_mut(stride).zip(labels) {
        let row = &mut row[..classes];
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
    let loss = f64::from(sum).ln() + (f64::from(peak) - f64::from(row[label]));
    metrics.correct += u64::from(best == label && loss.is_finite());
    metrics.loss_sum += loss;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_logits_count_as_the_first() {
        let metrics = measure(&[1.0, 1.0, 1.0, 1.0], 2, &[0, 1], 2);
        assert_eq!((metrics.examples, metrics.correct), (2, 1));
        assert!((metrics.loss() - 2.0_f64.ln()).abs() < 1e-12);
    }

    /// Class 0, the first of equals, would otherwise be found in every one of them.
    #[test]
    fn what_is_no_number_finds_no_class() {
        let (nan, infinite) = (f32::NAN, f32::INFINITY);
        for row in [[nan, nan], [nan, 1.0], [1.0, nan], [infinite, 1.0], [infinite, infinite]] {
            for differentiate in [false, true] {
                let metrics = if differentiate {
                    measure_and_differentiate(&mut row.clone(), 2, &[0], 2, 1.0)
                } else {
                    measure(&row, 2, &[0], 2)
                };
                assert_eq!((metrics.examples, metrics.correct), (1, 0), "{row:?}");
                assert!(metrics.loss().is_nan(), "{row:?}");
            }
        }
        // Certainty is no fault.
        let certain = measure(&[0.0, f32::NEG_INFINITY], 2, &[0], 2);
        assert_eq!((certain.correct, certain.loss()), (1, 0.0));
    }

    #[test]
    fn huge_logits_do_not_overflow() {
        let metrics = measure(&[3e38, -3e38], 2, &[1], 2);
        assert!((metrics.loss() - 6e38).abs() < 1e32, "{}", metrics.loss());
    }
}
