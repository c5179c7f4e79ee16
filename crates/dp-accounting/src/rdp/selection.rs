//! What choosing the best of many runs on the same records costs.
//!
//! Repeat a private run a *random* number `K` of times and publish only the best result: the
//! price is a small multiple of one run's, not `K` times it, if `K` is drawn from the right
//! distribution and nobody looks at the rest ([PS22]). With `ρ` the Rényi curve of one run:
//!
//! ```text
//! truncated negative binomial, shape η > −1, 0 < γ < 1 (Theorem 2), for any λ̂ > 1:
//!     ρ'(λ) ≤ ρ(λ) + (1 + η) (1 − 1/λ̂) ρ(λ̂) + (1 + η) ln(1/γ)/λ̂ + ln(E K)/(λ − 1)
//!
//! Poisson, mean μ (Theorem 6), with ε̂ = ln(1 + 1/(λ − 1)) and δ̂ such that one run is
//! (ε̂, δ̂) differentially private:
//!     e^((λ−1) ρ'(λ)) ≤ e^−μ + μ e^((λ−1) (ρ(λ) + μ δ̂))
//! ```
//!
//! The `e^−μ` stands for a number of zero, at which nothing is published: an output of its own with
//! the same probability on both sides. The theorem as printed, `ρ + μ δ̂ + ln(μ)/(λ − 1)`, leaves it
//! out, and where fewer than one run is expected that falls below the truth, and below zero. Few
//! runs cost little for another reason: given `K = k` they are a composition of `k` of them, and
//! `e^((λ−1) ρ')` is jointly convex, so that also
//!
//! ```text
//! e^((λ−1) ρ'(λ)) ≤ E e^((λ−1) K ρ(λ)) = e^(μ (e^((λ−1) ρ(λ)) − 1))
//! ```
//!
//! and the smaller of the two is taken. `tests/selection.rs` holds all of this to the exact output
//! distributions of small mechanisms.
//!
//! Both are upper bounds; the best `λ̂` and the `δ̂` of the best order are looked for.
//!
//! [PS22]: https://arxiv.org/abs/2110.03620

use crate::event::Repetitions;
use crate::rdp::conversion::Conversion;
use crate::rdp::minimum;

/// `ρ'(order)` from the curve of one run.
pub(crate) fn rdp(one: impl Fn(f64) -> f64, repetitions: Repetitions, order: f64) -> f64 {
    let own = one(order);
    if own == f64::INFINITY {
        return own;
    }
    match repetitions {
        Repetitions::TruncatedNegativeBinomial { shape, gamma } => {
            let extra = |other: f64| {
                (1.0 + shape) * ((1.0 - other.recip()) * one(other) - gamma.ln() / other)
            };
            let (_, least) = minimum::over_reals(extra, 1.0 + order);
            // At least one run there always is.
            own + least + repetitions.mean().max(1.0).ln() / (order - 1.0)
        }
        Repetitions::Poisson { mean } => {
            let epsilon = (order - 1.0).recip().ln_1p();
            let tail = |other: f64| Conversion::Improved.ln_tail(one(other), other, epsilon);
            let failing = |other: f64| Conversion::Improved.delta(one(other), other, epsilon);
            let least = failing(minimum::over_reals(tail, 1.0 + order).0)
                .min(failing(1.0 + minimum::LOWEST.exp()));
            let some = mean.ln() + (order - 1.0) * (own + mean * least);
            let chosen = some.max(-mean) + (-(some + mean).abs()).exp().ln_1p();
            let composed = mean * ((order - 1.0) * own).exp_m1();
            chosen.min(composed) / (order - 1.0)
        }
    }
}
