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
//!     ρ'(λ) ≤ ρ(λ) + μ δ̂ + ln(μ)/(λ − 1)
//! ```
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
    let mean = repetitions.mean();
    match repetitions {
        Repetitions::TruncatedNegativeBinomial { shape, gamma } => {
            let extra = |other: f64| {
                (1.0 + shape) * ((1.0 - other.recip()) * one(other) - gamma.ln() / other)
            };
            let (_, least) = minimum::over_reals(extra, 1.0 + order);
            own + least + mean.ln() / (order - 1.0)
        }
        Repetitions::Poisson { mean } => {
            let epsilon = (order - 1.0).recip().ln_1p();
            let failing = |other: f64| Conversion::Improved.delta(one(other), other, epsilon);
            let (_, least) = minimum::over_reals(failing, 1.0 + order);
            (own + mean * least.min(1.0) + mean.ln() / (order - 1.0)).max(0.0)
        }
    }
}
