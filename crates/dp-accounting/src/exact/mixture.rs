//! The mixtures `r = 1 − q + q e^v` of which every pair is made, at complex `v`, each with a bound
//! on what rounding did to it.
//!
//! # The model
//!
//! `u` is half the distance of neighbouring floats at one ([`ROUNDING`](crate::rdp::trapezoid)). Sums, products and
//! quotients err by at most `u` of their result, and the library's functions by two units in the
//! last place, `4u`. Bounds are of first order; what lies beyond is smaller by a factor of
//! 1e-12 and disappears in constants that are rounded up. All bounds are in units of `u`.
//!
//! # A mixture
//!
//! Let `v` itself be off by at most `E`, and `g = |q e^v / r|`.
//!
//! - `e^v − 1 = (G − 2(G+1) sin²(θ/2)) + i (G+1) sin θ` with `G = e^(Re v) − 1`, `θ = Im v`.
//!   `|G|` is at most `|e^v − 1|` and `e^(Re v) |sin(θ/2)|` at most 1.4 times that, so that its
//!   own rounding is at most 50 times that; 4 times without an imaginary part. One product
//!   makes `w = q (e^v − 1)` of it.
//! - `ln(1 + w)` errs by `15 |w/r| + 8 |ln r|`: where `|w| < 1/2`, by 7.5 `|w|` in the argument
//!   of a logarithm at a number above 1/4, else by five roundings of `1 + w`, whose `|w/r|` is
//!   then at least 1/3.
//! - `ln r = v + ln q + ln(1 + e^(−v) (1 − q)/q)`, used where the last summand is small, errs by
//!   its three summands, and by `27 g` times the ratio in it.
//! - The error of `v` moves `ln r` by `g E`, whichever of the two is used.

use rustfft::num_complex::Complex64;

/// `ln(1 + w)` for complex `w` off the negative axis, accurate for small `w`.
pub(crate) fn ln_1p(w: Complex64) -> Complex64 {
    let modulus = if w.norm_sqr() < 0.25 {
        0.5 * (2.0 * w.re + w.norm_sqr()).ln_1p()
    } else {
        (w + 1.0).norm().ln()
    };
    Complex64::new(modulus, w.im.atan2(1.0 + w.re))
}

/// `e^z − 1` for complex `z`, accurate for small `z`.
pub(crate) fn exp_m1(z: Complex64) -> Complex64 {
    let half = (z.im / 2.0).sin();
    let growth = z.re.exp_m1();
    Complex64::new(growth - 2.0 * (growth + 1.0) * half * half, (growth + 1.0) * z.im.sin())
}

/// At least the modulus, and at most 1.5 times it: enough for a bound, and cheap.
pub(super) fn size(z: Complex64) -> f64 {
    z.re.abs() + z.im.abs()
}

/// What [`exp_m1`] errs by, over its result.
pub(crate) fn exp_m1_rounding(z: Complex64) -> f64 {
    if z.im.abs() > 0.0 { 50.0 } else { 4.0 }
}

/// What [`ln_1p`] errs by, given `|w / (1 + w)|` and its result.
pub(crate) fn ln_1p_rounding(ratio: f64, ln: Complex64) -> f64 {
    15.0 * ratio + 8.0 * size(ln)
}

/// A mixture `r = 1 + w` in the forms in which it is needed.
#[derive(Clone, Copy)]
pub(super) struct Mixture {
    /// `w`, infinite where it overflows.
    pub(super) w: Complex64,
    /// `ln r`.
    pub(super) ln: Complex64,
    /// Bound on the rounding of `w`, over `|r|`.
    pub(super) w_rounding: f64,
    /// Bound on the rounding of `ln r`.
    pub(super) ln_rounding: f64,
}

impl Mixture {
    /// `1 − q + q e^v`, given what `v` itself may be off.
    pub(super) fn new(q: f64, v: Complex64, v_rounding: f64) -> Self {
        if v.re > 40.0 && v.re + q.ln() > 0.0 {
            let ln_q = q.ln();
            let rest = (-v).exp() * ((1.0 - q) / q);
            let share = (rest + 1.0).norm().recip();
            let ln_rest = ln_1p(rest);
            let ln = v + ln_q + ln_rest;
            let summands = size(v) + 5.0 * ln_q.abs() + 8.0 * size(ln_rest) + size(ln);
            let ln_rounding = share * (v_rounding + 27.0 * size(rest)) + summands;
            // `w` is computed from it, and as large as `r`.
            let w_rounding = ln_rounding + 12.0;
            return Self { w: ln.exp() - 1.0, ln, w_rounding, ln_rounding };
        }
        let growth = exp_m1(v);
        let w = growth * q;
        let inverse = (w + 1.0).norm().recip();
        let (share, ratio) = (size(w + q) * inverse, size(w) * inverse);
        let w_rounding = share * v_rounding + ratio * (exp_m1_rounding(v) + 1.0);
        let ln = ln_1p(w);
        Self { w, ln, w_rounding, ln_rounding: w_rounding + ln_1p_rounding(ratio, ln) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rdp::trapezoid::ROUNDING;

    /// Twice as many digits, by a compensated Horner scheme over nothing but sums and products:
    /// the series of `e^v` around zero after halving `v` often enough, here in pairs of floats.
    #[derive(Clone, Copy)]
    struct Double(f64, f64);

    impl Double {
        fn sum(self, other: Self) -> Self {
            let high = self.0 + other.0;
            let back = high - self.0;
            let low = (self.0 - (high - back)) + (other.0 - back) + self.1 + other.1;
            Self(high + low, low - ((high + low) - high))
        }

        fn product(self, other: Self) -> Self {
            let high = self.0 * other.0;
            let low = self.0.mul_add(other.0, -high) + self.0 * other.1 + self.1 * other.0;
            Self(high + low, low - ((high + low) - high))
        }
    }

    /// `q (e^v − 1)` for complex `v` in pairs of floats.
    fn w_in_pairs(q: f64, v: Complex64) -> (Double, Double) {
        let scale = 2.0_f64.powi(-10);
        let (x, y) = (Double(v.re * scale, 0.0), Double(v.im * scale, 0.0));
        // e^z − 1 by its series, then (1 + e)² − 1 = e (2 + e), ten times.
        let (mut re, mut im) = (Double(0.0, 0.0), Double(0.0, 0.0));
        let times = |a: (Double, Double), b: (Double, Double)| {
            let minus = Double(-1.0, 0.0);
            let real = a.0.product(b.0).sum(a.1.product(b.1).product(minus));
            (real, a.0.product(b.1).sum(a.1.product(b.0)))
        };
        for k in (1..=14).rev() {
            let k = f64::from(k);
            let inverse = Double(1.0 / k, (-(1.0 / k)).mul_add(k, 1.0) / k);
            let one_more = (re.sum(Double(1.0, 0.0)), im);
            (re, im) = times(one_more, (x, y));
            (re, im) = (re.product(inverse), im.product(inverse));
        }
        for _ in 0..10 {
            (re, im) = times((re, im), (re.sum(Double(2.0, 0.0)), im));
        }
        (re.product(Double(q, 0.0)), im.product(Double(q, 0.0)))
    }

    #[test]
    fn a_mixture_is_as_right_as_it_says() {
        let mut worst = 0.0_f64;
        for q in [1e-6, 0.01, 0.3, 0.999] {
            for theta in [0.0, 1e-3, -0.4, 1.3, -2.0] {
                for step in -40..=40 {
                    let v = Complex64::new(0.31 * f64::from(step), theta);
                    let ours = Mixture::new(q, v, 0.0);
                    let (re, im) = w_in_pairs(q, v);
                    let away = Complex64::new((ours.w.re - re.0) - re.1, (ours.w.im - im.0) - im.1);
                    let r = (ours.w + 1.0).norm();
                    let bound = ROUNDING * r * ours.w_rounding + 1e-30;
                    assert!(away.norm() <= bound, "{q} {v}: {away} beyond {bound}");
                    worst = worst.max(away.norm() / bound);
                    // e^(ln r) = r, to what ln r and the exponential may err by.
                    let back = (ours.ln.exp() - 1.0 - ours.w).norm();
                    let most = ROUNDING * r * (2.0 * ours.ln_rounding + 20.0);
                    assert!(back <= most, "{q} {v}: {back} beyond {most}");
                }
            }
        }
        assert!(worst > 0.01, "the bound is far from what happens: {worst}");
    }

    #[test]
    fn both_ways_to_the_logarithm_agree_where_they_meet() {
        for q in [1e-30, 1e-12, 1e-3, 0.5] {
            for v in [39.9, 40.1, 60.0, 300.0, 690.0] {
                let ours = Mixture::new(q, Complex64::from(v), 0.0);
                let w = q * f64::exp_m1(v);
                let away = (ours.ln.re - w.ln_1p()).abs();
                let most = ROUNDING * (ours.ln_rounding + 8.0 * (1.0 + w.ln_1p()));
                assert!(away <= most, "{q} {v}: {away:e} beyond {most:e}");
                if w.ln_1p() < 1e-3 {
                    assert!(ours.ln_rounding < 200.0 * ours.ln.re, "relative where small");
                }
            }
        }
    }
}
