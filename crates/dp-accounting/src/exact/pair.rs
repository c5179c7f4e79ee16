//! The worst pairs of output distributions, as analytic functions of the output.
//!
//! Every pair here is a pair of reweighted Gaussians, relative to the contribution bound,
//!
//! ```text
//! p(x) = n(x) e^A(x),    q(x) = n(x) e^B(x),    n = N(0, σ²),    L = A − B = ln p/q
//! r±(x) = 1 − q + q e^((±x − 1/2)/σ²)
//!
//! remove     A = ln r₊   B = 0         (with the record against without)
//! add        A = 0       B = ln r₊     (without against with)
//! replace    A = ln r₊   B = ln r₋
//! ```
//!
//! and what the contour needs of it is the moment generating function of the privacy loss,
//! `M(s) = E_p[e^(sL)]`, at real and complex `s`, with a bound on the error.
//!
//! # Size on shifted lines
//!
//! For `z = x + iy` with `θ = y/σ²`, `|θ| < π`, each mixture `r` obeys
//! `r(x) cos(θ/2) ≤ |r(z)| ≤ r(x)`, its argument lies between 0 and the `θ` of its own sign,
//! and `|n(z)| = n(x) e^(θ²σ²/2)`. With `s = c + it`, `t ≥ 0`, it follows that
//!
//! ```text
//! |n e^(A + sL)|(z) ≤ e^(θ²σ²/2) · cos(θ/2)^(−c) · e^(t |θ| k) · (n e^(A + cL))(x)
//! ```
//!
//! where `k` is 0 on the side on which `Im L ≥ 0` (above for remove and replace, below for
//! add), and on the other side 1, or 2 for replace. The cosine is not needed for remove. These
//! are the numbers that enter the error of the trapezoid rule ([TW14], Theorem 5.1: with
//! integrals of `|f|` at most `M₁` and `M₂` along the lines `d` above and below, the error with
//! step `h` is at most `(M₁ + M₂)/(e^(2πd/h) − 1)`).
//!
//! [TW14]: https://doi.org/10.1137/130932132

use std::f64::consts::PI;

use rustfft::num_complex::Complex64;

use crate::rdp::trapezoid::{LogSum, phi_ln};

/// Which of the two outputs is the one whose tail counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Remove,
    Add,
    Replace,
}

/// A sampled Gaussian as a pair; `0 < q < 1`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair {
    pub(crate) shape: Shape,
    pub(crate) q: f64,
    pub(crate) sigma: f64,
}

/// A quadrature grid on the line `Im x = θ σ²`.
#[derive(Clone, Copy, Debug)]
struct Grid {
    theta: f64,
    first: f64,
    step: f64,
    nodes: usize,
}

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
fn exp_m1(z: Complex64) -> Complex64 {
    let half = (z.im / 2.0).sin();
    let growth = z.re.exp_m1();
    Complex64::new(growth - 2.0 * (growth + 1.0) * half * half, (growth + 1.0) * z.im.sin())
}

/// A mixture `1 + w` in the forms in which it is needed.
#[derive(Clone, Copy)]
struct Mixture {
    /// `w`, infinite where it overflows.
    w: Complex64,
    /// `ln(1 + w)`.
    ln: Complex64,
}

impl Pair {
    fn variance(self) -> f64 {
        self.sigma * self.sigma
    }

    /// `r` at exponent `(±x − 1/2)/σ² ± iθ`.
    fn mixture(self, exponent: Complex64) -> Mixture {
        if exponent.re > 40.0 {
            let rest = (-exponent).exp() * ((1.0 - self.q) / self.q);
            let ln = exponent + self.q.ln() + ln_1p(rest);
            return Mixture { w: ln.exp() - 1.0, ln };
        }
        let w = exp_m1(exponent) * self.q;
        Mixture { w, ln: ln_1p(w) }
    }

    /// `A`, `L` and `e^L − 1` at `x + iθσ²`.
    fn losses(self, x: f64, theta: f64) -> (Complex64, Complex64, Complex64) {
        let variance = self.variance();
        let plus = self.mixture(Complex64::new((x - 0.5) / variance, theta));
        match self.shape {
            Shape::Remove => (plus.ln, plus.ln, plus.w),
            Shape::Add => {
                let w = if plus.ln.re > 40.0 {
                    Complex64::from(-1.0)
                } else {
                    -plus.w / (plus.w + 1.0)
                };
                (Complex64::ZERO, -plus.ln, w)
            }
            Shape::Replace => {
                let minus = self.mixture(Complex64::new((-x - 0.5) / variance, -theta));
                let loss = plus.ln - minus.ln;
                let w = if loss.norm() < 0.5 && plus.ln.re.abs() < 1.0 {
                    (plus.w - minus.w) / (minus.w + 1.0)
                } else {
                    exp_m1(loss)
                };
                let loss = if w.norm() < 0.25 { ln_1p(w) } else { loss };
                (plus.ln, loss, w)
            }
        }
    }

    /// `ln n(x + iθσ²)` including the step.
    fn ln_normal(self, grid: &Grid, x: f64) -> Complex64 {
        let variance = self.variance();
        let real = -x * x / (2.0 * variance)
            + grid.theta * grid.theta * variance / 2.0
            + (grid.step / self.sigma).ln()
            - 0.5 * (2.0 * PI).ln();
        Complex64::new(real, -x * grid.theta)
    }

    /// Ends of the line beyond which everything together is below `e^−exponent` of `M(c)`:
    /// the tails of `n(x) (e^(A + cL) + e^A + |s| (e^A + e^B))`.
    fn range(self, c: f64, s: f64, exponent: f64) -> (f64, f64) {
        let variance = self.variance();
        let (ln_q, ln_rest) = (self.q.ln(), (-self.q).ln_1p());
        let exponent = exponent + (4.0 + 4.0 * s).ln();
        // A Gaussian with the factor e^height falls below e^−exponent at this distance.
        let reach = |height: f64| self.sigma * (2.0 * (exponent + height.max(0.0))).sqrt();
        let a = 1.0 + c;
        let square = |m: f64| (m * m - m) / (2.0 * variance);
        match self.shape {
            Shape::Remove => {
                // r ≤ 1 below 1/2; above, r^a ≤ (1 − q) + q e^(au) by convexity, or, where
                // (1 − q)/q e^(−u) ≤ 1/a, r^a ≤ e q^a e^(au), of which M(c) has a share.
                let by_convexity = a + reach(square(a) + ln_q);
                let turn = 0.5 + variance * (ln_rest - ln_q + a.ln());
                let by_power = turn.max(a) + reach(1.0);
                (-reach(0.0), by_convexity.min(by_power.max(1.0 + reach(0.0))))
            }
            Shape::Add => {
                // r ≥ 1 above 1/2; below, r ≥ 1 − q and r ≥ q e^u.
                let by_floor = reach(-c * ln_rest);
                let by_power = c + reach(square(-c) - c * ln_q);
                (-by_floor.min(by_power), 1.0 + reach(0.0))
            }
            Shape::Replace => {
                let by_floor = a + reach((square(a) + ln_q).max(ln_rest) - c * ln_rest);
                let top = 1.0 + 2.0 * c;
                let by_power = top + reach((top * top - 1.0) / (2.0 * variance) - c * ln_q);
                (-1.0 - reach(0.0), by_floor.min(by_power))
            }
        }
    }

    /// What a shifted line costs in the bound above: `ln` of the factor at `θ ≥ 0`, on the side
    /// that `t` likes or on the other.
    fn ln_growth(self, theta: f64, c: f64, t: f64, liked: bool) -> f64 {
        let gaussian = theta * theta * self.variance() / 2.0;
        let cosine = match self.shape {
            Shape::Remove => 0.0,
            Shape::Add | Shape::Replace => -c * (theta / 2.0).cos().ln(),
        };
        let turning = match self.shape {
            _ if liked => 0.0,
            Shape::Remove | Shape::Add => t * theta,
            Shape::Replace => 2.0 * t * theta,
        };
        gaussian + cosine + turning
    }

    /// The sign of `θ` on which `Im L ≥ 0`.
    fn liked_side(self) -> f64 {
        match self.shape {
            Shape::Remove | Shape::Replace => 1.0,
            Shape::Add => -1.0,
        }
    }

    /// A grid on which `M(c + it) − 1` is right to `e^−exponent · M(c)` for all `t ≤ most`.
    fn grid(self, c: f64, most: f64, exponent: f64, ln_moment: f64) -> Grid {
        let s = c.hypot(most);
        // Twice the bound on the integral along a line, over M(c), without the growth.
        let ln_size = (2.0 + (2.0 + 4.0 * s) * (-ln_moment).exp()).ln();
        let step_for = |distance: f64, growth: f64| {
            2.0 * PI * self.variance() * distance / (exponent + ln_size + growth + 0.1)
        };
        let mut real = 0.0_f64;
        for k in 1..60 {
            let theta = 0.05 * f64::from(k);
            real = real.max(step_for(theta, self.ln_growth(theta, c, most, false)));
        }
        // Or shifted towards the liked side, as far as the Gaussian factor stays below e.
        let centre = (2.0_f64.sqrt() / self.sigma).min(1.4);
        let mut shifted = 0.0_f64;
        for k in 0..10 {
            let distance = centre * (1.0 + 0.05 * f64::from(k));
            let below = self.ln_growth(distance - centre, c, most, false);
            let above = self.ln_growth(centre + distance, c, most, true);
            if centre + distance < 3.0 {
                shifted = shifted.max(step_for(distance, below.max(above)));
            }
        }
        let (theta, step) = if shifted > 2.0 * real { (centre, shifted) } else { (0.0, real) };
        let growth = self.ln_growth(theta, c, most, true);
        let (first, last) = self.range(c, s, exponent + growth + 2.0);
        Grid { theta: theta * self.liked_side(), first, step, nodes: count((last - first) / step) }
    }

    /// `ln M(c)` for real `c > 0`, right to about `e^−exponent`, relative in `M(c) − 1`.
    pub(crate) fn ln_moment(self, c: f64, exponent: f64) -> f64 {
        let grid = self.grid(c, 0.0, exponent, 0.0);
        let mut sum = LogSum::default();
        if grid.nodes > MOST_POINTS {
            return f64::INFINITY;
        }
        for k in 0..grid.nodes {
            let (a, loss, w) = self.losses(grid.at(k), 0.0);
            // ψ = e^−L φ(e^L − 1), weighted with p: φ weighted with q.
            let ln_weight = self.ln_normal(&grid, grid.at(k)).re + a.re - loss.re;
            sum.add(phi_ln(w.re, loss.re, 1.0 + c) + ln_weight);
        }
        let ln_excess = sum.ln();
        if ln_excess > 700.0 { ln_excess } else { ln_excess.exp().ln_1p() }
    }

    /// An upper bound on `ln |M(c + it)|` that holds for this `t` and for every larger one.
    ///
    /// On the line `Im x = θσ²` on the liked side `Im L ≥ 0`, so that the integral of the
    /// modulus, `∫ |n e^(A + cL)| e^(−t Im L)`, is a bound and falls with `t`. The modulus is
    /// itself analytic: the square root of the function times its mirror image. Moved by a
    /// further `±δ`, with `θ + δ < π` and either `δ ≤ θ` or `θ + δ ≤ π/2`, the part with `t`
    /// stays at most 1 and the rest grows by at most `e^(δ²σ²/2) cos((θ + δ)/2)^(−c)` over the
    /// unshifted integrand, which bounds the error of the trapezoid rule here too.
    pub(crate) fn ln_tail_bound(self, c: f64, t: f64, exponent: f64, ln_moment: f64) -> f64 {
        let mut best = f64::INFINITY;
        let mut theta = 1e-3_f64.max(0.01 / self.sigma);
        let mut since_best = 0;
        while theta < 2.4 && since_best < 3 {
            let bound = self.ln_line_bound(c, t, theta, exponent, ln_moment);
            since_best = if bound < best { 0 } else { since_best + 1 };
            best = best.min(bound);
            theta *= 1.35;
        }
        best
    }

    fn ln_line_bound(self, c: f64, t: f64, theta: f64, exponent: f64, ln_moment: f64) -> f64 {
        let most = theta.max(PI / 2.0 - theta).min(3.0 - theta);
        let growth = |delta: f64| {
            self.ln_growth(theta + delta, c, 0.0, true)
                - (2.0 * theta * delta) * self.variance() / 2.0
        };
        let mut step = 0.0_f64;
        for k in 1..=12 {
            let delta = most * f64::from(k) / 12.0;
            let exponent = exponent + growth(delta) + 1.0;
            step = step.max(2.0 * PI * self.variance() * delta / exponent);
        }
        let (first, last) = self.range(c, 0.0, exponent + growth(0.0) + 2.0);
        let nodes = count((last - first) / step);
        if nodes > MOST_POINTS {
            return f64::INFINITY;
        }
        let grid = Grid { theta: theta * self.liked_side(), first, step, nodes };
        let mut sum = LogSum::default();
        for k in 0..nodes {
            let x = grid.at(k);
            let (a, loss, _) = self.losses(x, grid.theta);
            sum.add(self.ln_normal(&grid, x).re + a.re + c * loss.re - t * loss.im.max(0.0));
        }
        // Both errors of the quadrature, and then rounding.
        sum.add(ln_moment - exponent);
        sum.add(ln_moment - exponent);
        sum.ln() + 1e-13
    }
}

impl Grid {
    #[expect(clippy::cast_precision_loss, reason = "grids have at most a million nodes")]
    fn at(&self, k: usize) -> f64 {
        self.first + self.step * k as f64
    }
}

/// Grids larger than this are not computed.
pub(crate) const MOST_POINTS: usize = 1_000_000;

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "capped")]
fn count(intervals: f64) -> usize {
    intervals.ceil().clamp(1.0, 1e9) as usize + 1
}

/// Values of the pair on a grid, ready to be summed at many `t`.
#[derive(Clone, Debug)]
pub(crate) struct Quadrature {
    c: f64,
    shifted: bool,
    /// `p` times the step, and its integral with `e^(cL)`.
    weight: Vec<Complex64>,
    tilted: Vec<Complex64>,
    loss: Vec<Complex64>,
    /// `M(c) − 1`, on the real line only.
    excess: f64,
    /// Sums of `|tilted|`, `|tilted L|`, `|tilted L²|`, and of `|weight|` likewise.
    sizes: [f64; 3],
    weight_sizes: [f64; 2],
    /// Bound on what discretisation and cut tails do to `M(c + it)`.
    error: f64,
}

impl Quadrature {
    /// Prepares `M(c + it)` for `0 ≤ t ≤ most`; nothing if that needs too many points.
    pub(crate) fn new(
        pair: Pair,
        c: f64,
        most: f64,
        exponent: f64,
        ln_moment: f64,
    ) -> Option<Self> {
        let grid = pair.grid(c, most, exponent, ln_moment);
        if grid.nodes > MOST_POINTS || ln_moment > 600.0 {
            return None;
        }
        let mut new = Self {
            c,
            shifted: grid.theta.abs() > 0.0,
            weight: Vec::with_capacity(grid.nodes),
            tilted: Vec::with_capacity(grid.nodes),
            loss: Vec::with_capacity(grid.nodes),
            excess: 0.0,
            sizes: [0.0; 3],
            weight_sizes: [0.0; 2],
            error: 2.0 * (ln_moment - exponent).exp(),
        };
        for k in 0..grid.nodes {
            let x = grid.at(k);
            let (a, loss, w) = pair.losses(x, grid.theta);
            let ln_weight = pair.ln_normal(&grid, x) + a;
            let (weight, tilted) = (ln_weight.exp(), (ln_weight + loss * c).exp());
            if !new.shifted {
                new.excess += (phi_ln(w.re, loss.re, 1.0 + c) + ln_weight.re - loss.re).exp();
            }
            let size = loss.norm();
            new.sizes[0] += tilted.norm();
            new.sizes[1] += tilted.norm() * size;
            new.sizes[2] += tilted.norm() * size * size;
            new.weight_sizes[0] += weight.norm();
            new.weight_sizes[1] += weight.norm() * size;
            new.weight.push(weight);
            new.tilted.push(tilted);
            new.loss.push(loss);
        }
        Some(new)
    }

    /// How many points there are.
    pub(crate) fn points(&self) -> usize {
        self.loss.len()
    }

    /// `M(c + it) − 1` and a bound on its absolute error, rounding included.
    pub(crate) fn moment_m1(&self, t: f64) -> (Complex64, f64) {
        let [all, first, second] = self.sizes;
        let (value, size) = if self.shifted {
            let s = Complex64::new(self.c, t);
            let mut sum = Complex64::ZERO;
            let terms = self.weight.chunks(CHUNK).zip(self.tilted.chunks(CHUNK));
            for ((weights, tilted), losses) in terms.zip(self.loss.chunks(CHUNK)) {
                let term = |((&p, &tilted), &loss): ((&Complex64, &Complex64), &Complex64)| {
                    // p (e^(sL) − 1). Far out p underflows where e^(cL) overflows, though their
                    // product is a usual number; and where they differ the two do not cancel.
                    if (self.c * loss.re).abs() > 1.0 {
                        tilted * (Complex64::I * t * loss).exp() - p
                    } else {
                        p * exp_m1(s * loss)
                    }
                };
                sum += weights.iter().zip(tilted).zip(losses).map(term).sum::<Complex64>();
            }
            let [weights, weighted] = self.weight_sizes;
            (sum, (all + weights).min(s.norm() * (first + weighted)))
        } else {
            let (mut real, mut imaginary) = (0.0, 0.0);
            for (tilted, losses) in self.tilted.chunks(CHUNK).zip(self.loss.chunks(CHUNK)) {
                let (mut squares, mut products) = (0.0, 0.0);
                for (tilted, loss) in tilted.iter().zip(losses) {
                    let (sine, cosine) = (0.5 * t * loss.re).sin_cos();
                    squares += tilted.re * sine * sine;
                    products += tilted.re * sine * cosine;
                }
                real += squares;
                imaginary += products;
            }
            let cosines = (2.0 * all).min(0.5 * t * t * second);
            let size = self.excess + cosines + all.min(t * first);
            (Complex64::new(self.excess - 2.0 * real, 2.0 * imaginary), size)
        };
        (value, self.error + ROUNDING * (self.per_sum() * size + 6.0 * t * first))
    }

    /// Roundings that a term goes through: some 40 until it is computed, and then those of a
    /// sum of sums of `CHUNK`.
    fn per_sum(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "at most a million points")]
        let chunks = self.loss.len().div_ceil(CHUNK) as f64;
        #[expect(clippy::cast_precision_loss, reason = "a small constant")]
        let within = CHUNK as f64;
        40.0 + within + chunks
    }
}

/// Terms that are summed before they join the total, which keeps the rounding of long sums low.
const CHUNK: usize = 32;

/// Half the distance of neighbouring floats at one.
pub(crate) const ROUNDING: f64 = f64::EPSILON / 2.0;
