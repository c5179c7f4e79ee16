//! From a Rényi divergence to `(ε, δ)`.
//!
//! Each order alone gives a valid bound, so taking the least over any set of orders errs only
//! on the safe side.

/// Which theorem turns Rényi divergence into `(ε, δ)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Conversion {
    /// `ε = ρ − ln(δ)/(α − 1)`: [Mironov 2017](https://arxiv.org/abs/1702.07476),
    /// Proposition 3. What libraries used until 2020; looser than the other.
    Classic,
    /// `ε = ρ + ln(1 − 1/α) − ln(α δ)/(α − 1)`, and zero where the Kullback-Leibler divergence
    /// alone brings the total variation below `δ`:
    /// [Canonne, Kamath and Steinke 2020](https://arxiv.org/abs/2004.00010), Proposition 12;
    /// [Balle et al. 2020](https://arxiv.org/abs/1905.09982), Theorem 21.
    #[default]
    Improved,
}

impl Conversion {
    /// The `ε`, possibly negative, that order `order` with divergence `rdp` proves at `delta`.
    pub(crate) fn epsilon(self, rdp: f64, order: f64, delta: f64) -> f64 {
        if delta >= 1.0 || rdp <= 0.0 {
            return 0.0;
        }
        if rdp == f64::INFINITY || delta <= 0.0 {
            return f64::INFINITY;
        }
        match self {
            Self::Classic => rdp - delta.ln() / (order - 1.0),
            // Bretagnolle and Huber: total variation at most sqrt(1 − e^−KL), and KL ≤ ρ.
            Self::Improved if delta * delta + (-rdp).exp_m1() >= 0.0 => 0.0,
            Self::Improved => {
                rdp + (-order.recip()).ln_1p() - (delta.ln() + order.ln()) / (order - 1.0)
            }
        }
    }

    /// The `δ`, at most 1, that order `order` with divergence `rdp` proves at `epsilon`.
    pub(crate) fn delta(self, rdp: f64, order: f64, epsilon: f64) -> f64 {
        if epsilon == f64::INFINITY || rdp <= 0.0 {
            return 0.0;
        }
        if rdp == f64::INFINITY {
            return 1.0;
        }
        // What is not zero does not become zero.
        let tail = self.ln_tail(rdp, order, epsilon).exp().clamp(f64::from_bits(1), 1.0);
        match self {
            Self::Classic => tail,
            Self::Improved => tail.min((-(-rdp).exp_m1()).sqrt()),
        }
    }

    /// The logarithm of the part of [`delta`](Self::delta) that falls with `epsilon`, also where that
    /// is above 1 and proves nothing: a search for orders sees the way down from there.
    pub(crate) fn ln_tail(self, rdp: f64, order: f64, epsilon: f64) -> f64 {
        match self {
            Self::Classic => (order - 1.0) * (rdp - epsilon),
            Self::Improved => {
                (order - 1.0) * (rdp - epsilon + (-order.recip()).ln_1p()) - order.ln()
            }
        }
    }
}
