//! `δ(ε)` of one sampled Gaussian step, in closed form.
//!
//! The privacy loss grows with the output `x` (for add it falls), so that the set on which it
//! exceeds `ε` is a half line, and `δ(ε) = p(x > x*) − e^ε q(x > x*)` at the `x*` where the loss
//! is `ε`: up to three normal tails, each with a factor.
//!
//! # Rounding
//!
//! A factor errs by a few units in the last place of its summands, which may cancel. A tail errs
//! relative to itself by twice the error of its argument times the argument's square, which is
//! twice its negative logarithm. And `x*` itself is off by some `Δ`. No half line gives more than
//! the best one, so that this can only make the value too small: by the integral of `p − e^ε q`
//! between the two, which is at most `p Δ²` times the slope of the loss, `1/σ²` or for replace
//! `2/σ²`.

use crate::exact::contour::Bounds;
use crate::exact::pair::{Pair, Shape};
use crate::normal::upper_tail;
use crate::rdp::trapezoid::ROUNDING;

/// Beyond this the tails that are multiplied with `e^ε` leave the range of a float and with it
/// the model of rounding: nothing is claimed there.
const LARGEST: f64 = 500.0;

/// A factor, the size of what it is the sum of, and the tail that it belongs to.
type Tail = (f64, f64, f64);

/// What the loss of add must stay below its largest value, over `q`, for `x*` to be known well.
const NEAREST: f64 = 1e-8;

/// Bounds on `δ` at `epsilon ≥ 0`.
pub(crate) fn delta(pair: Pair, epsilon: f64) -> Bounds {
    if epsilon > LARGEST {
        return Bounds { value: 0.0, lower: 0.0, upper: 1.0 };
    }
    let Pair { shape, q, sigma } = pair;
    let variance = sigma * sigma;
    let growth = epsilon.exp_m1();
    let tail = |factor: f64, size: f64, mean: f64, x: f64| -> Tail {
        (factor, size, upper_tail((x - mean) / sigma))
    };
    let same = |factor: f64, mean: f64, x: f64| tail(factor, factor.abs(), mean, x);
    // The tails, x*, and what its logarithm may be off in units of rounding.
    let (tails, x, off) = match shape {
        Shape::Remove => {
            let ln = (growth / q).ln_1p();
            let x = 0.5 + variance * ln;
            (vec![same(q, 1.0, x), same(-(growth + q), 0.0, x)], x, 8.0 + 4.0 * ln)
        }
        Shape::Add => {
            // The loss never exceeds −ln(1 − q).
            let inside = (-epsilon).exp_m1() / q;
            let kept = q - growth * (1.0 - q);
            let size = q + growth * (1.0 - q);
            if inside <= -1.0 + NEAREST {
                // p − e^ε q ≤ p (1 − e^ε (1 − q)) for every output.
                let most = (kept + 8.0 * ROUNDING * size).max(0.0);
                return Bounds { value: 0.5 * most, lower: 0.0, upper: most };
            }
            let ln = inside.ln_1p();
            let x = 0.5 + variance * ln;
            // Lower tails are upper tails mirrored.
            let tails = vec![tail(kept, size, 0.0, -x), same(-epsilon.exp() * q, 0.0, 1.0 - x)];
            (tails, x, 8.0 / (1.0 + inside) - 4.0 * ln)
        }
        Shape::Replace => {
            // With X = e^(x/σ²): X² − bX − e^ε = 0.
            let ln_b = growth.ln() + (-q).ln_1p() - q.ln() + 0.5 / variance;
            let half = 0.5 * (ln_b - 0.5 * epsilon).exp();
            let ln = 0.5 * epsilon + half.asinh();
            let x = variance * ln;
            let blank = same(-growth * (1.0 - q), 0.0, x);
            let tails = vec![same(q, 1.0, x), blank, same(-epsilon.exp() * q, -1.0, x)];
            let summands = growth.ln().abs() - q.ln() + 0.5 / variance + epsilon;
            (tails, x, 16.0 + 8.0 * summands + 4.0 * ln)
        }
    };
    let (mut value, mut error) = (0.0, 0.0);
    for (factor, size, tail) in tails {
        value += factor * tail;
        // Below the smallest normal number there are fewer digits, but nothing to speak of.
        error += ROUNDING * size * tail * (40.0 + 8.0 * tail.max(1e-300).ln().abs());
    }
    let displaced = ROUNDING * (8.0 * (x.abs() + 0.5) + variance * off);
    let slope = if shape == Shape::Replace { 2.0 } else { 1.0 } / variance;
    let missed = 1.1 * displaced * displaced * slope * density(pair, x);
    Bounds {
        value,
        lower: (value - error).clamp(0.0, 1.0),
        upper: (value + error + missed).clamp(0.0, 1.0),
    }
}

/// The density of `p` at `x`.
fn density(pair: Pair, x: f64) -> f64 {
    let normal = |mean: f64| {
        let y = (x - mean) / pair.sigma;
        (-0.5 * y * y).exp() / (pair.sigma * (2.0 * std::f64::consts::PI).sqrt())
    };
    match pair.shape {
        Shape::Add => normal(0.0),
        Shape::Remove | Shape::Replace => (1.0 - pair.q) * normal(0.0) + pair.q * normal(1.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the loss can hardly be reached any more, the factor of the first tail is the
    /// difference of nearly equal numbers: `q = 1/4`, `σ = 1/2`, `ε = −ln(3/4) − 2^−k` for `k` from
    /// 4 to 24 rounded to a float, and `δ` computed with 40 digits.
    #[test]
    fn a_factor_that_nearly_vanishes_widens_the_interval() {
        let pair = Pair { shape: Shape::Add, q: 0.25, sigma: 0.5 };
        let truths = [
            (0.225_182_072_451_780_9, 0.023_855_333_998_641_8),
            (0.286_705_509_951_780_9, 1.203_014_944_757_201_3e-5),
            (0.287_666_813_662_718_4, 1.544_385_516_041_770_6e-10),
            (0.287_681_118_777_464_5, 9.136_958_015_458_395e-15),
            (0.287_682_012_847_136_1, 8.603_061_733_938_604e-20),
        ];
        for (epsilon, truth) in truths {
            let Bounds { lower, upper, .. } = delta(pair, epsilon);
            assert!(lower <= truth && truth <= upper, "{epsilon}: {lower:e} {truth:e} {upper:e}");
            assert!(upper - lower <= 1e-5 * upper, "{epsilon}: {lower:e} {upper:e}");
        }
    }

    #[test]
    fn out_of_reach_nothing_is_claimed_but_an_upper_end() {
        let pair = Pair { shape: Shape::Add, q: 0.25, sigma: 0.5 };
        let edge = -(0.75_f64.ln());
        let Bounds { lower, upper, .. } = delta(pair, edge - 1e-10);
        assert!(lower <= 0.0 && (0.0..1e-9).contains(&upper), "{upper:e}");
        assert!(delta(pair, edge + 1e-10).upper <= 1e-15);
    }
}
