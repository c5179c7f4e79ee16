//! Pairs of outputs whose privacy loss is bounded: what pure differential privacy is made of.
//!
//! Each is its own mirror image, so that without sampling both directions cost the same. Sampling
//! tells them apart: with a record that takes part with probability `q`, and `P` against `Q` the
//! pair without sampling, the two are ([ZDW22], Theorem 11)
//!
//! ```text
//! remove     (1 − q) Q + q P     against    Q
//! add        P                   against    (1 − q) P + q Q
//! ```
//!
//! of which remove has the larger loss, `ln(1 + q (e^ε − 1))` where that of the pair is `ε`.
//!
//! [ZDW22]: https://arxiv.org/abs/2106.08567

use crate::history::Rounding;

/// A pair that is its own mirror image, with a loss of at most [`greatest`](Self::greatest).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Bounded {
    /// Laplace noise of this scale around 0 against around 1.
    Laplace { scale: f64 },
    /// Discrete Laplace noise, `P(x) ∝ e^(−rate |x|)`, around 0 against around `shift`, both whole
    /// numbers.
    DiscreteLaplace { rate: f64, shift: f64 },
    /// Anything that is `epsilon`-differentially private. The worst of them is randomised response
    /// on one bit; the mechanism itself may be better.
    Pure { epsilon: f64 },
}

impl Bounded {
    /// The greatest loss, rounded up.
    pub(crate) fn greatest(self) -> f64 {
        match self {
            Self::Laplace { scale } => scale.recip().next_up(),
            Self::DiscreteLaplace { rate, shift } => (rate * shift).next_up(),
            Self::Pure { epsilon } => epsilon,
        }
    }

    /// Whether the pair is that of the mechanism, and not a bound on whatever it may be.
    pub(crate) fn is_its_own(self) -> bool {
        !matches!(self, Self::Pure { .. })
    }
}

/// What a greatest loss `epsilon` becomes under sampling with rate `q`: `ln(1 + q (e^epsilon − 1))`,
/// [Balle, Barthe and Gaboardi 2018](https://arxiv.org/abs/1807.01647), Theorems 8 and 9.
pub(super) fn amplified(q: f64, epsilon: f64, rounding: Rounding) -> f64 {
    if epsilon <= 700.0 {
        return rounding.loss((q * epsilon.exp_m1()).ln_1p(), 16.0);
    }
    // The same without the overflow: with x = epsilon + ln q, ln(1 − q + e^x).
    let x = epsilon + q.ln();
    let value = if x > 0.0 { x + ((1.0 - q) * (-x).exp()).ln_1p() } else { (x.exp() - q).ln_1p() };
    let slack = 8.0 * f64::EPSILON * (epsilon - q.ln());
    match rounding {
        Rounding::Dearer => value + slack,
        Rounding::Cheaper => (value - slack).max(0.0),
    }
}
