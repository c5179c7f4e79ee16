//! Rényi divergence of the Poisson-subsampled Gaussian mechanism under replace-one.
//!
//! Replacing a record moves its contribution from `+C` to `−C` at worst, if it is in the
//! sample. The worst pair of output distributions is ([LRKS25], Section 5, and the tables of
//! `tests/reference`), relative to the contribution bound,
//!
//! ```text
//! P = (1 − q) N(0, z²) + q N(1, z²)    against    Q = (1 − q) N(0, z²) + q N(−1, z²)
//! ```
//!
//! which mirrored is itself the other way round, so both directions cost the same. With
//! `w = P/Q − 1`, of mean zero under `Q`, the moment is again a sum of positive terms,
//! `A(α) − 1 = E_Q[(1 + w)^α − 1 − α w]`, summed by the trapezoid rule as in
//! [`subsampled_gaussian`](super::subsampled_gaussian). On the line `Im x = y` both mixtures
//! keep at least `cos(θ/2)` of their size on the real line, `θ = y/z²`, which bounds the
//! growth of the integrand there and gives the step.
//!
//! [LRKS25]: https://arxiv.org/abs/2405.20769

use crate::rdp::subsampled_gaussian::gaussian;
use crate::rdp::trapezoid::{LogSum, phi_ln};

/// `ln A(α)` for `0 < q < 1`, `sigma > 0`, `1 < order < ∞`; never above the price without
/// sampling, which takes its place where the sum would need more than a million nodes.
pub(crate) fn ln_a(q: f64, sigma: f64, order: f64) -> f64 {
    let unsampled = (order - 1.0) * gaussian(sigma / 2.0, order);
    let variance = sigma * sigma;
    let step = step(variance, order);
    let reach = 9.5 * sigma;
    // Humps lie at −1 and 0 (those of Q), and as far up as (P/Q)^α can push them.
    let first = -1.0 - reach;
    let last = 2.0 * order - 1.0 + reach;
    let nodes = ((last - first) / step).ceil();
    if nodes.is_nan() || nodes > 1e6 {
        return unsampled;
    }
    let mut sum = LogSum::default();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below 1e6")]
    for k in 0..=nodes as u32 {
        sum.add(ln_term(q, variance, order, first + step * f64::from(k)));
    }
    let ln_excess = sum.ln() + (step / sigma).ln() - 0.5 * (2.0 * std::f64::consts::PI).ln();
    let ln_a = if ln_excess > 700.0 { ln_excess } else { ln_excess.exp().ln_1p() };
    ln_a.clamp(f64::MIN_POSITIVE, unsampled.max(f64::MIN_POSITIVE))
}

/// `ln(φ(P/Q − 1) · Q)` at `x`, without the constant of the Gaussian density.
fn ln_term(q: f64, variance: f64, order: f64, x: f64) -> f64 {
    let ln_q = ln_mixture(q, (-x - 0.5) / variance);
    let ln_p = ln_mixture(q, (x - 0.5) / variance);
    let ln_ratio = ln_p - ln_q;
    // P − Q ∝ q (e^a − e^b): by the hyperbolic sine where the two are near.
    let w = if x.abs() < variance {
        2.0 * q * (-0.5 / variance).exp() * (x / variance).sinh() * (-ln_q).exp()
    } else {
        ln_ratio.exp_m1()
    };
    let ln_1p_w = if w.abs() < 0.5 { w.ln_1p() } else { ln_ratio };
    phi_ln(w, ln_1p_w, order) + ln_q - x * x / (2.0 * variance)
}

/// `ln(1 − q + q e^exponent)`.
fn ln_mixture(q: f64, exponent: f64) -> f64 {
    if exponent > 30.0 {
        q.ln() + exponent + ((1.0 - q) / q * (-exponent).exp()).ln_1p()
    } else {
        (q * exponent.exp_m1()).ln_1p()
    }
}

/// The largest step at which the discretisation error stays below about 1e-18.
fn step(variance: f64, order: f64) -> f64 {
    let exponent = 41.0 + (1.0 + 4.0 * variance).ln() + order.ln();
    (1..=40)
        .map(|k| {
            let theta = 0.07 * f64::from(k);
            let growth = theta * theta * variance / 2.0 - 2.0 * order * (theta / 2.0).cos().ln();
            2.0 * std::f64::consts::PI * variance * theta / (exponent + growth)
        })
        .fold(0.0, f64::max)
}
