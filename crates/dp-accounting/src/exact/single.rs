//! `δ(ε)` of one sampled Gaussian step, in closed form.
//!
//! The privacy loss grows with the output `x` (for add it falls), so that the set on which it
//! exceeds `ε` is a half line, and `δ(ε) = p(x > x*) − e^ε q(x > x*)` at the `x*` where the loss
//! is `ε`. Each of the terms below is rounded by a few units in its last place, which gives the
//! error; nothing else is approximated. At `x*` itself the derivative vanishes, so that an
//! error there counts only in second order.

use statrs::function::erf::erfc;

use crate::exact::contour::Bounds;
use crate::exact::pair::{Pair, ROUNDING, Shape};

/// `P(X > x)` for a standard normal variable.
fn upper_tail(x: f64) -> f64 {
    0.5 * erfc(x * std::f64::consts::FRAC_1_SQRT_2)
}

/// Beyond this the tails that are multiplied with `e^ε` leave the range of a float and with it
/// the model of rounding: nothing is claimed there.
const LARGEST: f64 = 500.0;

/// Bounds on `δ` at `epsilon ≥ 0`.
pub(crate) fn delta(pair: Pair, epsilon: f64) -> Bounds {
    if epsilon > LARGEST {
        return Bounds { value: 0.0, lower: 0.0, upper: 1.0 };
    }
    let Pair { shape, q, sigma } = pair;
    let variance = sigma * sigma;
    let tail = |mean: f64, x: f64| upper_tail((x - mean) / sigma);
    let terms = match shape {
        Shape::Remove => {
            let x = 0.5 + variance * (epsilon.exp_m1() / q).ln_1p();
            [q * tail(1.0, x), -(epsilon.exp_m1() + q) * tail(0.0, x), 0.0]
        }
        Shape::Add => {
            // The loss never exceeds −ln(1 − q).
            let inside = (-epsilon).exp_m1() / q;
            if inside <= -1.0 {
                [0.0; 3]
            } else {
                let x = 0.5 + variance * inside.ln_1p();
                let kept = -(epsilon.exp_m1() * (1.0 - q) - q);
                // Lower tails are upper tails mirrored.
                [kept * tail(0.0, -x), -epsilon.exp() * q * tail(0.0, 1.0 - x), 0.0]
            }
        }
        Shape::Replace => {
            // With X = e^(x/σ²): X² − bX − e^ε = 0.
            let ln_b = epsilon.exp_m1().ln() + (-q).ln_1p() - q.ln() + 0.5 / variance;
            let half = 0.5 * (ln_b - 0.5 * epsilon).exp();
            let x = variance * (0.5 * epsilon + half.asinh());
            let blank = -epsilon.exp_m1() * (1.0 - q);
            [q * tail(1.0, x), blank * tail(0.0, x), -epsilon.exp() * q * tail(-1.0, x)]
        }
    };
    let value: f64 = terms.iter().sum();
    // A tail's relative error is that of its argument times the argument's square.
    let size: f64 = terms.iter().map(|term| term.abs()).sum();
    let deepest = 2.0 * (1.0 + epsilon) + size.max(1e-300).ln().abs();
    let error = ROUNDING * size * (40.0 + 8.0 * deepest);
    Bounds { value, lower: (value - error).clamp(0.0, 1.0), upper: (value + error).clamp(0.0, 1.0) }
}
