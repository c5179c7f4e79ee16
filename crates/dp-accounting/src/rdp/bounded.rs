//! Rényi divergences of pairs with a bounded loss, sampled and not.

use crate::history::Bounded;
use crate::rdp::trapezoid::{LogSum, phi_ln};

/// The divergence of order `order` of a pair without sampling.
pub(crate) fn rdp(pair: Bounded, order: f64) -> f64 {
    match pair {
        Bounded::Laplace { scale } => laplace(scale, order),
        Bounded::DiscreteLaplace { rate, shift } => discrete_laplace(rate, shift, order),
        Bounded::Pure { epsilon } => pure(epsilon, order),
    }
}

/// Laplace noise of the given scale around 0 against around 1: [Mironov
/// 2017](https://arxiv.org/abs/1702.07476), Proposition 6; bounded by the pure guarantee.
fn laplace(scale: f64, order: f64) -> f64 {
    let weight = order / (2.0 * order - 1.0);
    let up = (order - 1.0) / scale;
    let down = -order / scale;
    let ln_sum = if up > 1.0 {
        weight.ln() + up + ((1.0 - weight) / weight * (down - up).exp()).ln_1p()
    } else {
        // The terms of first order cancel: weight · up + (1 − weight) · down = 0.
        let second = |x: f64| if x.abs() < 1e-2 { series(x) } else { x.exp_m1() - x };
        (weight * second(up) + (1.0 - weight) * second(down)).ln_1p()
    };
    (ln_sum / (order - 1.0)).clamp(f64::MIN_POSITIVE, scale.recip().max(f64::MIN_POSITIVE))
}

/// `e^x − 1 − x` for small `x`.
fn series(x: f64) -> f64 {
    x * x * (0.5 + x * (1.0 / 6.0 + x * (1.0 / 24.0 + x * (1.0 / 120.0 + x / 720.0))))
}

/// Discrete Laplace noise around 0 against around `shift`: the two ends and the geometric sum of
/// what lies between; bounded by the pure guarantee.
///
/// With `t = e^−rate`, `E_Q[(P/Q)^α] · (1 + t)` over the largest of its terms is
/// `1 + (1 − t) g (1 − g^(shift−1))/(1 − g) + t^shift e^(−2 (α−1) rate shift)`, where
/// `g = e^(−(2α−1) rate)`.
fn discrete_laplace(rate: f64, shift: f64, order: f64) -> f64 {
    let greatest = (rate * shift).next_up();
    let (top, fall) = ((order - 1.0) * rate * shift, (2.0 * order - 1.0) * rate);
    let between =
        -(-rate).exp_m1() * (-fall).exp() * (-fall * (shift - 1.0)).exp_m1() / (-fall).exp_m1();
    let ends = 1.0 + (-rate * shift - 2.0 * top).exp();
    let ln_sum = top + ((ends + between) / (1.0 + (-rate).exp())).ln();
    // Where the sum is near 1 its logarithm keeps few digits: rounded up by what it may lack.
    let lost = 8.0 * f64::EPSILON * (2.0 + top);
    ((ln_sum.max(0.0) + lost) / (order - 1.0)).min(greatest).min(pure(greatest, order))
}

/// Anything that is `epsilon`-differentially private on a Poisson sample with rate `q`: that of
/// randomised response on one bit, of both directions the larger one.
///
/// Its outputs have the quotients `r = 1 + q (e^±ε − 1)` of both distributions, and with `w` one of
/// them less one, of mean zero, the moment less one is the sum of the positive `(1 + w)^α − 1 − αw`.
pub(crate) fn sampled(q: f64, epsilon: f64, order: f64) -> f64 {
    let ln_likely = -(-epsilon).exp().ln_1p();
    let ln_unlikely = ln_likely - epsilon;
    let quotient = |loss: f64| {
        if loss > 30.0 {
            let ln = loss + (q + (1.0 - q) * (-loss).exp()).ln();
            (ln.exp_m1(), ln)
        } else {
            let w = q * loss.exp_m1();
            (w, w.ln_1p())
        }
    };
    let (mut remove, mut add) = (LogSum::default(), LogSum::default());
    // What the record makes likely is unlikely without it.
    for (loss, ln_without) in [(epsilon, ln_unlikely), (-epsilon, ln_likely)] {
        let (w, ln_r) = quotient(loss);
        remove.add(ln_without + phi_ln(w, ln_r, order));
        let inverse = if ln_r > 30.0 { (-ln_r).exp_m1() } else { -w / (1.0 + w) };
        add.add(ln_without + ln_r + phi_ln(inverse, -ln_r, order));
    }
    let ln_excess = remove.ln().max(add.ln());
    let ln_moment = if ln_excess > 700.0 { ln_excess } else { ln_excess.exp().ln_1p() };
    // Some forty roundings.
    (ln_moment / (order - 1.0) * (1.0 + 64.0 * f64::EPSILON)).max(f64::MIN_POSITIVE)
}

/// The largest Rényi divergence that `epsilon`-differential privacy allows: that of randomised
/// response on one bit ([Mironov 2017](https://arxiv.org/abs/1702.07476), Section II).
fn pure(epsilon: f64, order: f64) -> f64 {
    // (p^α (1−p)^(1−α) + (1−p)^α p^(1−α)) with p = 1/(1 + e^−ε), less one: two positive terms.
    let ln_p = -(-epsilon).exp().ln_1p();
    let ln_not_p = ln_p - epsilon;
    let likely = ln_p + (order - 1.0) * epsilon;
    let unlikely = ln_not_p - (order - 1.0) * epsilon;
    let bound = if (order - 1.0) * epsilon < 0.5 {
        // p (e^x − 1) + (1 − p)(e^−x − 1) with x = (α − 1) ε; p − (1 − p) = tanh(ε/2).
        let x = (order - 1.0) * epsilon;
        let half = (x / 2.0).sinh();
        (2.0 * half * half + (epsilon / 2.0).tanh() * x.sinh()).ln_1p() / (order - 1.0)
    } else {
        (likely + (unlikely - likely).exp().ln_1p()) / (order - 1.0)
    };
    bound.min(epsilon)
}
