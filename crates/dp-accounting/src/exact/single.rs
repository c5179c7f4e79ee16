//! `δ(ε)` of one sampled Gaussian step, in closed form.
//!
//! The privacy loss grows with the output `x` (for add it falls), so that the set on which it
//! exceeds `ε` is a half line, and `δ(ε) = p(x > x*) − e^ε q(x > x*)` at the `x*` where the loss
//! is `ε`: two or three normal tails, each with a factor. With `G(ε)` the `δ` of the Gaussian itself,
//!
//! ```text
//! remove     δ(ε) = q G(ε')                   ε' = ln(1 + (e^ε − 1)/q)
//! add        δ(ε) = (1 − e^ε (1 − q)) G(ε')   ε' = −ln(1 + (e^−ε − 1)/q)
//! ```
//!
//! # Rounding
//!
//! Of remove and add, `G` falls with `ε'`, which is moved to both ends of its error, and a factor errs
//! by a few units in the last place of its summands, which may cancel.
//!
//! Of replace, a tail errs relative to itself by twice the error of its argument times the argument's
//! square, which is twice its negative logarithm. And `x*` itself is off by some `Δ`. No half line
//! gives more than the best one, so that this can only make the value too small: by the integral of
//! `p − e^ε q` between the two, which is at most `p Δ²` times the slope of the loss, `2/σ²`.

use crate::exact::contour::Bounds;
use crate::exact::gaussian::Together;
use crate::exact::pair::{Pair, Shape};
use crate::normal;
use crate::rdp::trapezoid::ROUNDING;

/// Beyond this the tails of replace that are multiplied with `e^ε` leave the range of a float and
/// with it the model of rounding: nothing is claimed there.
const LARGEST: f64 = 500.0;

/// Beyond this no sampled step of add has any loss, for no float lies between a rate and 1.
const LARGEST_OF_ADD: f64 = 40.0;

/// What the loss of add must stay below its largest value, over `q`, for `ε'` to be known well.
const NEAREST: f64 = 1e-8;

/// Bounds on `δ e^−ln_unit` at `epsilon ≥ 0`, in a unit as of
/// [`Together::delta`](crate::exact::gaussian::Together::delta).
pub(crate) fn delta(pair: Pair, epsilon: f64, ln_unit: f64) -> Bounds {
    match pair.shape {
        Shape::Remove => remove(pair, epsilon, ln_unit),
        Shape::Add => add(pair, epsilon, ln_unit),
        Shape::Replace => {
            let Bounds { value, lower, upper } = replace(pair, epsilon);
            // What underflows has lost its digits.
            let unit = (1.0 - 1e-12, 1.0 + 1e-12);
            let scale = (-ln_unit).min(600.0).exp();
            let lower = if lower > 1e-290 { lower * scale * unit.0 } else { 0.0 };
            let upper = (upper.max(1e-290) * scale * unit.1).min((-ln_unit).exp());
            Bounds { value: value * scale, lower, upper }
        }
    }
}

/// A factor between two bounds times the `δ` of a Gaussian at a level known up to `error`.
fn of_gaussian(
    sigma: f64,
    [low, factor, high]: [f64; 3],
    (level, error): (f64, f64),
    ln_unit: f64,
) -> Bounds {
    let gaussian = Together::one(sigma);
    let at = |level: f64| gaussian.delta(level.max(0.0), ln_unit);
    let most = (-ln_unit).exp();
    let room = 2.0 * ROUNDING;
    Bounds {
        value: factor * at(level).value,
        lower: (low * at(level + error).lower * (1.0 - room)).clamp(0.0, most),
        upper: (high * at(level - error).upper * (1.0 + room)).clamp(0.0, most),
    }
}

fn remove(Pair { q, sigma, .. }: Pair, epsilon: f64, ln_unit: f64) -> Bounds {
    let level = if epsilon > 30.0 {
        epsilon - q.ln() + (-(1.0 - q) * (-epsilon).exp()).ln_1p()
    } else {
        (epsilon.exp_m1() / q).ln_1p()
    };
    let error = ROUNDING * (12.0 + 8.0 * level + 4.0 * q.ln().abs());
    of_gaussian(sigma, [q; 3], (level, error), ln_unit)
}

fn add(Pair { q, sigma, .. }: Pair, epsilon: f64, ln_unit: f64) -> Bounds {
    // The loss never exceeds −ln(1 − q).
    if epsilon > LARGEST_OF_ADD {
        return Bounds { value: 0.0, lower: 0.0, upper: 0.0 };
    }
    let growth = epsilon.exp_m1();
    let inside = (-epsilon).exp_m1() / q;
    let kept = q - growth * (1.0 - q);
    let off = 8.0 * ROUNDING * (q + growth * (1.0 - q));
    let high = (kept + off).max(0.0);
    if inside <= -1.0 + NEAREST {
        // p − e^ε q ≤ p (1 − e^ε (1 − q)) for every output.
        let most = high * (-ln_unit).exp();
        return Bounds { value: 0.5 * most, lower: 0.0, upper: most };
    }
    let level = -inside.ln_1p();
    let error = ROUNDING * (12.0 / (1.0 + inside) + 8.0 * level);
    of_gaussian(sigma, [(kept - off).max(0.0), kept, high], (level, error), ln_unit)
}

/// A factor, and the tail that it belongs to.
type Tail = (f64, f64);

fn replace(pair: Pair, epsilon: f64) -> Bounds {
    if epsilon > LARGEST {
        return Bounds { value: 0.0, lower: 0.0, upper: 1.0 };
    }
    let Pair { q, sigma, .. } = pair;
    let variance = sigma * sigma;
    let growth = epsilon.exp_m1();
    let x = normal::output_of_replaced(epsilon, q, sigma);
    let tail =
        |factor: f64, mean: f64| -> Tail { (factor, normal::upper_tail((x - mean) / sigma)) };
    let tails = [tail(q, 1.0), tail(-growth * (1.0 - q), 0.0), tail(-epsilon.exp() * q, -1.0)];
    let summands = growth.ln().abs() - q.ln() + 0.5 / variance + epsilon;
    // What the logarithm of x* may be off in units of rounding.
    let off = 16.0 + 8.0 * summands + 4.0 * x / variance;
    let (mut value, mut error) = (0.0, 0.0);
    for (factor, tail) in tails {
        value += factor * tail;
        // Below the smallest normal number there are fewer digits, but nothing to speak of.
        error += ROUNDING * factor.abs() * tail * (40.0 + 8.0 * tail.max(1e-300).ln().abs());
    }
    let displaced = ROUNDING * (8.0 * (x.abs() + 0.5) + variance * off);
    let slope = 2.0 / variance;
    let missed = 1.1 * displaced * displaced * slope * density(pair, x);
    Bounds {
        value,
        lower: (value - error).clamp(0.0, 1.0),
        upper: (value + error + missed).clamp(0.0, 1.0),
    }
}

/// The density of `p` of replace at `x`.
fn density(pair: Pair, x: f64) -> f64 {
    let at = |mean: f64| normal::density((x - mean) / pair.sigma) / pair.sigma;
    (1.0 - pair.q) * at(0.0) + pair.q * at(1.0)
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
            let Bounds { lower, upper, .. } = delta(pair, epsilon, 0.0);
            assert!(lower <= truth && truth <= upper, "{epsilon}: {lower:e} {truth:e} {upper:e}");
            assert!(upper - lower <= 1e-5 * upper, "{epsilon}: {lower:e} {upper:e}");
        }
    }

    #[test]
    fn out_of_reach_nothing_is_claimed_but_an_upper_end() {
        let pair = Pair { shape: Shape::Add, q: 0.25, sigma: 0.5 };
        let edge = -(0.75_f64.ln());
        let Bounds { lower, upper, .. } = delta(pair, edge - 1e-10, 0.0);
        assert!(lower <= 0.0 && (0.0..1e-9).contains(&upper), "{upper:e}");
        assert!(delta(pair, edge + 1e-10, 0.0).upper <= 1e-15);
    }

    /// Shape, `q`, `σ`, `ε` and `δ`, the last from mpmath at 60 digits.
    const TABLE: &[(Shape, f64, f64, f64, f64)] = &[
        (Shape::Remove, 0.0366, 20.0, 0.00299, 4.7141103803257116e-05),
        (Shape::Remove, 0.00713, 0.984, 0.192, 3.4982711058581423e-06),
        (Shape::Remove, 0.0185, 0.336, 0.00813, 0.015478339145746213),
        (Shape::Remove, 0.0275, 0.567, 0.00102, 0.016918712657010573),
        (Shape::Remove, 0.277, 0.83, 0.00804, 0.12333289835586322),
        (Shape::Remove, 0.76, 17.6, 0.0164, 0.010378709593723731),
        (Shape::Remove, 0.628, 3.79, 0.703, 8.280361592389667e-06),
        (Shape::Remove, 0.658, 19.4, 0.018, 0.006504770480811526),
        (Shape::Remove, 0.00267, 0.679, 0.00409, 0.0008666255265480767),
        (Shape::Remove, 0.000181, 1.27, 0.341, 3.507190388913209e-26),
        (Shape::Remove, 0.0916, 15.5, 0.00119, 0.0018245415416124691),
        (Shape::Remove, 0.129, 1.71, 0.269, 0.0008955837283842227),
        (Shape::Remove, 0.000109, 0.392, 0.00575, 2.8853285918097408e-05),
        (Shape::Remove, 0.593, 0.782, 1.49, 0.05017594129942077),
        (Shape::Add, 0.47, 24.2, 0.028, 0.0006144227974988598),
        (Shape::Add, 0.0528, 31.1, 0.00477, 7.744070427729685e-07),
        (Shape::Add, 0.184, 2.58, 0.0591, 0.005527632900032023),
        (Shape::Add, 0.0089, 15.0, 0.00354, 9.515222722033935e-19),
        (Shape::Add, 0.13, 0.517, 0.0669, 0.03800688460987021),
        (Shape::Add, 0.717, 2.55, 0.112, 0.0655219884448225),
        (Shape::Add, 0.0761, 2.87, 0.0167, 0.003353455446358506),
        (Shape::Add, 0.00938, 1.5, 0.00237, 0.0011508485395021301),
        (Shape::Add, 0.6, 3.44, 0.167, 0.014190618942884963),
        (Shape::Add, 0.0701, 0.359, 0.0047, 0.05458467664725207),
        (Shape::Add, 0.0512, 5.78, 0.0015, 0.002783580292021869),
        (Shape::Add, 0.00729, 0.896, 0.00169, 0.001954350585355736),
        (Shape::Add, 0.61, 13.7, 0.0576, 0.001966145031662567),
        (Shape::Add, 0.163, 6.09, 0.0356, 0.0007677884657576443),
        (Shape::Replace, 0.604, 27.3, 0.36, 1.179097142085928e-18),
        (Shape::Replace, 0.00244, 19.4, 0.00101, 1.900690105293046e-09),
        (Shape::Replace, 0.00305, 2.31, 0.00893, 2.764705856225981e-06),
        (Shape::Replace, 0.626, 21.3, 0.329, 1.2174288788805814e-10),
        (Shape::Replace, 0.00876, 1.18, 0.101, 1.1321602476614774e-05),
        (Shape::Replace, 0.495, 11.6, 0.0108, 0.02903463271039369),
        (Shape::Replace, 0.0128, 1.49, 0.0176, 0.0014062691971106693),
        (Shape::Replace, 0.0124, 2.68, 0.0328, 4.483716556728767e-06),
        (Shape::Replace, 0.0877, 4.8, 0.00142, 0.013784236013192322),
        (Shape::Replace, 0.322, 3.9, 0.00115, 0.06462560627545662),
        (Shape::Replace, 0.119, 2.27, 0.262, 0.0004672099430681795),
        (Shape::Replace, 0.0627, 5.81, 0.106, 1.3418281022046373e-08),
        (Shape::Replace, 0.399, 1.87, 0.0442, 0.1445063209836785),
        (Shape::Replace, 0.232, 0.782, 0.0176, 0.17832130321493012),
    ];

    /// With tails right to ten digits only, 32 of these 42 were outside.
    #[test]
    fn the_closed_form_holds_the_truth() {
        for &(shape, q, sigma, epsilon, truth) in TABLE {
            let found = delta(Pair { shape, q, sigma }, epsilon, 0.0);
            let what = format!("{shape:?} {q} {sigma} {epsilon}: {found:?} for {truth}");
            assert!(found.lower <= truth && truth <= found.upper, "{what}");
            assert!(found.upper - found.lower <= 1e-9 * truth, "{what}");
        }
    }
}
