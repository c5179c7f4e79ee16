//! Rényi divergence of the Gaussian on a random subset of fixed size, under replace-one.
//!
//! With `m` of `n` records drawn without replacement, `γ = m/n`, [WBK19] (Theorem 27 for the
//! Gaussian, with the bound on central moments) gives at whole orders `α ≥ 2`
//!
//! ```text
//! e^((α−1) ρ(α)) ≤ 1 + Σ_{j=2..α} C(α, j) γ^j T_j
//! T_2 = min(4 (e^(1/σ²) − 1), 2 e^(1/σ²))
//! T_j = min(4 √(B_{2⌊j/2⌋} B_{2⌈j/2⌉}), 2 e^(j(j−1)/(2σ²)))
//! B_l = E_{x ~ N(0, σ²)} [ (e^((2x−1)/(2σ²)) − 1)^l ]
//! ```
//!
//! where `σ` is relative to the distance of neighbouring sums. Between whole orders
//! `(α − 1) ρ(α)`, which is convex, is interpolated linearly, with 0 at `α = 1`. It is an upper
//! bound, not the exact divergence, which nobody has in closed form.
//!
//! The moments `B_l` of even `l` are integrals of positive functions, so that the trapezoid rule
//! gives them without the cancellation of the alternating sum.
//!
//! [WBK19]: https://arxiv.org/abs/1808.00087

use std::f64::consts::PI;

use crate::rdp::trapezoid::LogSum;

/// Orders above this are not computed: no bound is then claimed.
const MOST_ORDER: f64 = 1024.0;

/// An upper bound on `ρ(α)` for a share `rate` of the records, `0 < rate < 1`.
pub(crate) fn rdp(rate: f64, sigma: f64, order: f64) -> f64 {
    if order > MOST_ORDER {
        return f64::INFINITY;
    }
    let (below, above) = (order.floor(), order.ceil());
    let unsampled = order / (2.0 * sigma * sigma);
    let sampled = if above <= below {
        ln_moment(rate, sigma, order)
    } else {
        let low = if below < 2.0 { 0.0 } else { ln_moment(rate, sigma, below) };
        let share = order - below;
        low * (1.0 - share) + ln_moment(rate, sigma, above) * share
    };
    (sampled / (order - 1.0)).clamp(f64::MIN_POSITIVE, unsampled.max(f64::MIN_POSITIVE))
}

/// The bound on `(α − 1) ρ(α)` at a whole order from 2 on.
fn ln_moment(rate: f64, sigma: f64, order: f64) -> f64 {
    let precision = 1.0 / (sigma * sigma);
    let mut sum = LogSum::default();
    let mut ln_binomial = order.ln();
    let mut central = Central { sigma, last: (0.0, 0.0) };
    let mut j = 2.0;
    while j <= order {
        ln_binomial += ((order - j + 1.0) / j).ln();
        let crude = 2.0_f64.ln() + j * (j - 1.0) / 2.0 * precision;
        let fine = if j < 2.5 {
            (4.0 * precision.exp_m1()).ln()
        } else if j * (-(j - 1.0) / 2.0 * precision).exp() < 0.6 {
            // By Minkowski's inequality B_j is then more than half of what the other has.
            crude
        } else {
            let (low, high) = (2.0 * (j / 2.0).floor(), 2.0 * (j / 2.0).ceil());
            4.0_f64.ln() + 0.5 * (central.ln_moment(low) + central.ln_moment(high))
        };
        sum.add(ln_binomial + j * rate.ln() + crude.min(fine));
        j += 1.0;
    }
    let ln_excess = sum.ln();
    if ln_excess > 700.0 { ln_excess } else { ln_excess.exp().ln_1p() }
}

/// `ln B_l` of even `l`, the last one remembered.
struct Central {
    sigma: f64,
    last: (f64, f64),
}

impl Central {
    fn ln_moment(&mut self, power: f64) -> f64 {
        if self.last.0 < power {
            self.last = (power, self.compute(power));
        }
        if self.last.0 > power { self.compute(power) } else { self.last.1 }
    }

    fn compute(&self, power: f64) -> f64 {
        let sigma = self.sigma;
        // The transform of x^l e^(−x²/2) at ω is a Hermite polynomial times e^(−ω²/2): this ω
        // brings it 41 below the moment, as a logarithm.
        let step = 2.0 * PI * sigma / (82.0_f64.sqrt() + power.sqrt());
        let reach = sigma * ((2.0 * power).sqrt() + 9.5);
        let first = 0.5 - reach + 0.5 * step;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "capped")]
        let nodes = ((power + 2.0 * reach) / step).ceil().min(1e7) as u32;
        let mut sum = LogSum::default();
        for k in 0..=nodes {
            let x = first + step * f64::from(k);
            let exponent = (x - 0.5) / (sigma * sigma);
            let ln_w = if exponent > 30.0 {
                exponent + (-(-exponent).exp()).ln_1p()
            } else {
                exponent.exp_m1().abs().ln()
            };
            sum.add(power * ln_w - x * x / (2.0 * sigma * sigma));
        }
        sum.ln() + (step / sigma).ln() - 0.5 * (2.0 * PI).ln()
    }
}
