//! Tails of the normal distribution, to the last digit or two.
//!
//! Bounds that are proven up to rounding stand on this: a tail that is right to ten digits only, as
//! rational approximations with short constants give, moves an `ε` of a million rounds and takes the
//! truth out of an interval. The complementary error function here is that of `libm`, right to one
//! unit in the last place.

use std::f64::consts::{FRAC_1_SQRT_2, LN_2, PI};

/// `Q(x) = P(N(0, 1) > x)`, right to about `2 + 2 x²` units of rounding where it does not underflow:
/// the square is that of the argument's own rounding.
pub(crate) fn upper_tail(x: f64) -> f64 {
    0.5 * libm::erfc(x * FRAC_1_SQRT_2)
}

/// The density `φ(x)`.
pub(crate) fn density(x: f64) -> f64 {
    (-0.5 * x * x).exp() / (2.0 * PI).sqrt()
}

/// From here on [`mills`] is right to the last digits.
pub(crate) const FAR: f64 = 4.0;

/// Steps of the continued fraction.
const DEPTH: u32 = 40;

/// Bounds on the ratio of Mills `R(x) = Q(x)/φ(x)` for `x ≥` [`FAR`], but for rounding.
pub(crate) fn mills(x: f64) -> [f64; 2] {
    let [low, high] = mills_rest(x);
    [(x + high).recip(), (x + low).recip()]
}

/// Bounds on `1/R(x) − x` for `x ≥` [`FAR`], but for rounding.
///
/// By Laplace's continued fraction, `R(x) = 1/(x + 1/(x + 2/(x + 3/(x + …))))`, whose convergents
/// lie below and above it by turns.
pub(crate) fn mills_rest(x: f64) -> [f64; 2] {
    let convergent = |depth: u32| (2..=depth).rev().fold(x, |rest, k| x + f64::from(k) / rest);
    let (one, next) = (convergent(DEPTH).recip(), convergent(DEPTH + 1).recip());
    [one.min(next), one.max(next)]
}

/// The output `x` at which `(1 − q) N(0, σ²) + q N(1, σ²)` against `(1 − q) N(0, σ²) + q N(−1, σ²)`
/// has the loss `level`.
///
/// With `X = e^(x/σ²)` it is where `X² − bX − e^level = 0`, or
/// `sinh(x/σ² − level/2) = (1 − q)/q · e^(1/2σ²) · sinh(level/2)`, of which each factor may overflow.
pub(crate) fn output_of_replaced(level: f64, q: f64, sigma: f64) -> f64 {
    let variance = sigma * sigma;
    let half = 0.5 * level.abs();
    let ln_sinh = half - LN_2 + (-(-2.0 * half).exp_m1()).ln();
    let ln = (-q).ln_1p() - q.ln() + 0.5 / variance + ln_sinh;
    let inverse = if ln > 30.0 { ln + LN_2 } else { ln.exp().asinh() };
    variance * (0.5 * level + inverse.copysign(level))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `x` and `Q(x)`, from mpmath at 60 digits.
    const TABLE: &[(f64, f64)] = &[
        (-37.0, 1.0),
        (-8.3, 1.0),
        (-2.5, 0.9937903346742238),
        (-1.0, 0.8413447460685429),
        (-0.718, 0.7636213565920423),
        (-0.3, 0.6179114221889527),
        (-1e-09, 0.5000000003989423),
        (0.0, 0.5),
        (0.001, 0.49960105778608893),
        (0.25, 0.4012936743170763),
        (0.5, 0.3085375387259869),
        (0.72, 0.23576249777925118),
        (1.06, 0.14457229966390958),
        (1.2, 0.11506967022170828),
        (1.5, 0.06680720126885807),
        (1.77, 0.03836357036287123),
        (2.0, 0.02275013194817921),
        (2.9, 0.0018658133003840384),
        (3.2, 0.0006871379379158481),
        (3.999, 3.180534005420203e-05),
        (4.0, 3.1671241833119924e-05),
        (4.04, 2.6725600719492083e-05),
        (5.5, 1.8989562465887718e-08),
        (6.4, 7.768847581709812e-11),
        (7.45, 4.667011588719033e-14),
        (8.5, 9.479534822203318e-18),
        (10.1, 2.762109471764517e-24),
        (12.0, 1.776482112077679e-33),
        (14.9, 1.6478974977000012e-50),
        (16.4, 9.561902574231983e-61),
        (20.0, 2.7536241186062337e-89),
        (25.0, 3.056696706382561e-138),
        (30.0, 4.906713927148187e-198),
        (33.9, 3.33083028853621e-252),
        (37.0, 5.725571222524577e-300),
    ];

    #[test]
    fn tails_are_right_to_the_last_digits() {
        for &(x, truth) in TABLE {
            let slack = 0.5 * f64::EPSILON * (4.0 + 3.0 * x * x);
            let ours = upper_tail(x);
            assert!((ours / truth - 1.0).abs() <= slack, "Q({x}): {ours} for {truth}");
            if x >= FAR {
                let [low, high] = mills(x);
                assert!(low <= high && high - low <= 1e-15 * high, "R({x}): {low} to {high}");
                let ours = low * density(x);
                assert!((ours / truth - 1.0).abs() <= slack + 1e-15, "R φ({x}): {ours}");
            }
        }
    }
}
