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

use crate::exact::few::Ramp;
use crate::exact::mixture::{Mixture, exp_m1, ln_1p, ln_1p_rounding, size};
use crate::rdp::trapezoid::{LogSum, ROUNDING, is_series, phi_ln};

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
pub(super) struct Grid {
    pub(super) theta: f64,
    first: f64,
    step: f64,
    /// `ln` of the step over `σ`.
    ln_step: f64,
    pub(super) nodes: usize,
}

/// What the pair is at one point of a line, with bounds on the rounding in units of [`ROUNDING`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    /// `ln` of `n` and the step.
    pub(super) normal: Complex64,
    pub(super) a: Complex64,
    pub(super) loss: Complex64,
    /// `e^L − 1`.
    pub(super) w: Complex64,
    pub(super) normal_rounding: f64,
    pub(super) a_rounding: f64,
    pub(super) loss_rounding: f64,
    /// Over `|e^L|`; without what [`exp_m1`] adds where `w` is computed from `L`.
    pub(super) w_rounding: f64,
}

impl Pair {
    fn variance(self) -> f64 {
        self.sigma * self.sigma
    }

    /// The pair at node `k` of a grid.
    pub(super) fn at(self, grid: &Grid, k: usize) -> Point {
        let (x, theta, variance) = (grid.at(k), grid.theta, self.variance());
        // What the node may lie beside its place.
        let displaced = 2.0 * x.abs() + grid.first.abs();
        let mixture = |x: f64, theta: f64| {
            let v = Complex64::new((x - 0.5) / variance, theta);
            Mixture::new(self.q, v, 3.0 * v.re.abs() + displaced / variance)
        };
        let (square, drift) = (x * x / (2.0 * variance), theta * theta * variance / 2.0);
        let ln_step = grid.ln_step;
        let normal = Complex64::new(drift - square + ln_step - 0.5 * (2.0 * PI).ln(), -x * theta);
        let normal_rounding = 6.0 * (square + drift)
            + 7.0 * ln_step.abs()
            + 8.0
            + (x * theta).abs()
            + displaced * (x.abs() / variance + theta.abs());
        let plus = mixture(x, theta);
        let (a, a_rounding, ratio) = match self.shape {
            Shape::Remove | Shape::Replace => (plus.ln, plus.ln_rounding, plus),
            Shape::Add => (Complex64::ZERO, 0.0, plus),
        };
        let (loss, loss_rounding, w, w_rounding) = match self.shape {
            Shape::Remove => (ratio.ln, ratio.ln_rounding, ratio.w, ratio.w_rounding),
            Shape::Add => {
                let far = plus.ln.re > 40.0;
                let w = if far { Complex64::from(-1.0) } else { -plus.w / (plus.w + 1.0) };
                // Three roundings of w, which e^L = 1/r makes three of the other w.
                let own = if far { 0.0 } else { 3.0 * size(plus.w) };
                (-plus.ln, plus.ln_rounding, w, plus.w_rounding + own)
            }
            Shape::Replace => self.replaced(plus, mixture(-x, -theta)),
        };
        Point { normal, a, loss, w, normal_rounding, a_rounding, loss_rounding, w_rounding }
    }

    /// `L` and `e^L − 1` where `e^L` is the quotient of two mixtures, each with its rounding.
    fn replaced(self, plus: Mixture, minus: Mixture) -> (Complex64, f64, Complex64, f64) {
        let loss = plus.ln - minus.ln;
        let both = plus.ln_rounding + minus.ln_rounding + size(loss);
        if loss.norm() >= 0.5 || plus.ln.re.abs() >= 1.0 {
            return (loss, both, exp_m1(loss), both);
        }
        let w = (plus.w - minus.w) / (minus.w + 1.0);
        let ratio = w.norm() / (w + 1.0).norm();
        let w_rounding = plus.w_rounding + minus.w_rounding + 6.0 * ratio;
        if w.norm() >= 0.25 {
            return (loss, both, w, w_rounding);
        }
        let loss = ln_1p(w);
        (loss, w_rounding + ln_1p_rounding(ratio, loss), w, w_rounding)
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

    /// A grid on the line that lies `theta` towards the liked side.
    fn grid_of(self, theta: f64, first: f64, step: f64, nodes: usize) -> Grid {
        let ln_step = (step / self.sigma).ln();
        Grid { theta: theta * self.liked_side(), first, step, ln_step, nodes }
    }

    /// The shift that allows the widest steps where nothing grows but the Gaussian factor.
    fn best_shift(self, exponent: f64) -> f64 {
        (2.0 * exponent).sqrt() / self.sigma
    }

    /// Points of the real line.
    pub(super) fn plain_grid(self, first: f64, step: f64, nodes: usize) -> Grid {
        self.grid_of(0.0, first, step, nodes)
    }

    /// A grid on the real line on which `M(c + it)` is right to `e^−exponent · M(c)` for all
    /// `t ≤ most`, also where the integrand has a further factor, at most 1 on the real line and larger
    /// by at most `e^growth(θ)` on a line off it.
    pub(super) fn real_grid(
        self,
        c: f64,
        most: f64,
        exponent: f64,
        ln_moment: f64,
        growth: impl Fn(f64) -> f64,
    ) -> Grid {
        let s = c.hypot(most);
        let ln_size = (2.0 + (2.0 + 4.0 * s) * (-ln_moment).exp()).ln();
        let step = |theta: f64| {
            let growth = self.ln_growth(theta, c, most, false) + growth(theta);
            2.0 * PI * self.variance() * theta / (exponent + ln_size + growth + 0.1)
        };
        // Where the growth is a square, the best line lies where it has the size of the exponent.
        let best = (2.0 * exponent / growth(1.0).max(1e-300)).sqrt();
        let step = (1..60)
            .map(|k| 0.05 * f64::from(k))
            .chain((1..12).map(|k| best * f64::from(k) / 12.0).filter(|&theta| theta < 2.95))
            .map(step)
            .fold(0.0, f64::max);
        let (first, last) = self.range(c, s, exponent + 2.0);
        let nodes = count((last - first) / step);
        self.grid_of(0.0, first, step, nodes)
    }

    /// A grid on which `M(c + it) − 1` is right to `e^−exponent · M(c)` for all `t ≤ most`.
    pub(super) fn grid(self, c: f64, most: f64, exponent: f64, ln_moment: f64) -> Grid {
        let s = c.hypot(most);
        // Twice the bound on the integral along a line, over M(c), without the growth.
        let ln_size = (2.0 + (2.0 + 4.0 * s) * (-ln_moment).exp()).ln();
        let step_for = |distance: f64, growth: f64| {
            2.0 * PI * self.variance() * distance / (exponent + ln_size + growth + 0.1)
        };
        let mut real = 0.0_f64;
        let wide = (1..60).map(|k| 0.05 * f64::from(k));
        for theta in wide.chain([self.best_shift(exponent + ln_size).min(2.95)]) {
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
        let nodes = count((last - first) / step);
        self.grid_of(theta, first, step, nodes)
    }

    /// An upper bound on `ln M(c)` for real `c > 0`: above it by at most `2e^−exponent`, and by
    /// what rounding may have done, which is relative in `M(c) − 1`.
    pub(crate) fn ln_moment(self, c: f64, exponent: f64) -> f64 {
        let grid = self.grid(c, 0.0, exponent, 0.0);
        let mut sum = LogSum::default();
        if grid.nodes > MOST_POINTS {
            return f64::INFINITY;
        }
        for k in 0..grid.nodes {
            let (ln_excess, rounding) = self.at(&grid, k).excess(c);
            sum.add_rounded(ln_excess, rounding);
        }
        let ln_excess = sum.ln() + sum.rounding();
        let ln_moment = if ln_excess > 700.0 { ln_excess } else { ln_excess.exp().ln_1p() };
        ln_moment * (1.0 + 16.0 * ROUNDING)
    }

    /// An upper bound on `ln |M(c + it)|` that holds for this `t` and for every larger one.
    ///
    /// On the line `Im x = θσ²` on the liked side `Im L ≥ 0`, so that the integral of the
    /// modulus, `∫ |n e^(A + cL)| e^(−t Im L)`, is a bound and falls with `t`. The modulus is
    /// itself analytic: the square root of the function times its mirror image. Moved by a
    /// further `±δ`, with `θ + δ < π` and either `δ ≤ θ` or `θ + δ ≤ π/2`, the part with `t`
    /// stays at most 1 and the rest grows by at most `e^(δ²σ²/2) cos((θ + δ)/2)^(−c)` over the
    /// unshifted integrand, which bounds the error of the trapezoid rule here too.
    ///
    /// With a ramp, the same of `E_p[w e^(sL)]`: the ramp is at most `e^growth` times what it is on the
    /// real line, which is itself analytic.
    pub(crate) fn ln_tail_bound(
        self,
        c: f64,
        t: f64,
        exponent: f64,
        ln_moment: f64,
        ramp: Option<Ramp>,
    ) -> f64 {
        let mut best = f64::INFINITY;
        // With much noise the best line lies where that of a Gaussian does, at `tq/σ²`.
        let mut theta = if self.sigma <= 10.0 {
            1e-3_f64.max(0.01 / self.sigma)
        } else {
            (0.2 * t * self.q / self.variance()).min(0.01 / self.sigma)
        };
        let mut since_best = 0;
        while theta < 2.4 && since_best < 3 {
            let bound = self.ln_line_bound(c, t, theta, exponent, ln_moment, ramp);
            since_best = if bound < best { 0 } else { since_best + 1 };
            best = best.min(bound);
            theta *= 1.35;
        }
        best
    }

    fn ln_line_bound(
        self,
        c: f64,
        t: f64,
        theta: f64,
        exponent: f64,
        ln_moment: f64,
        ramp: Option<Ramp>,
    ) -> f64 {
        let of_ramp = |theta: f64| ramp.map_or(0.0, |ramp| ramp.ln_growth(theta, self.variance()));
        let most = theta.max(PI / 2.0 - theta).min(3.0 - theta);
        let growth = |delta: f64| {
            self.ln_growth(theta + delta, c, 0.0, true)
                - (2.0 * theta * delta) * self.variance() / 2.0
                + of_ramp(theta)
                + of_ramp(delta)
        };
        let mut step = 0.0_f64;
        let parts = (1..=12).map(|k| most * f64::from(k) / 12.0);
        for delta in parts.chain([self.best_shift(exponent).min(most)]) {
            let exponent = exponent + growth(delta) + 1.0;
            step = step.max(2.0 * PI * self.variance() * delta / exponent);
        }
        let (first, last) = self.range(c, 0.0, exponent + growth(0.0) + 2.0);
        let nodes = count((last - first) / step);
        if nodes > MOST_POINTS {
            return f64::INFINITY;
        }
        let grid = self.grid_of(theta, first, step, nodes);
        let mut sum = LogSum::default();
        for k in 0..nodes {
            let point = self.at(&grid, k);
            let Point { normal, a, loss, .. } = point;
            let summands = size(normal) + size(a) + (c + t) * size(loss);
            let rounding = point.normal_rounding
                + point.a_rounding
                + (c + t) * point.loss_rounding
                + 4.0 * summands;
            let ln_term = normal.re + a.re + c * loss.re - t * loss.im.max(0.0);
            let ln_ramp = ramp.map_or(0.0, |ramp| {
                // Rounded up, and never nothing.
                (ramp.above(grid.at(k)) * (1.0 + 1e-9)).max(f64::MIN_POSITIVE).ln() + of_ramp(theta)
            });
            sum.add_rounded(ln_term + ln_ramp, rounding + 4.0 * ln_ramp.abs());
        }
        // Both errors of the quadrature.
        sum.add(ln_moment - exponent);
        sum.add(ln_moment - exponent);
        sum.ln() + sum.rounding()
    }
}

impl Point {
    /// `ln` of this point's share of `M(c) − 1`, and the relative rounding of the share; on the
    /// real line.
    ///
    /// `M(c) − 1` is the integral of `n e^B φ(w)`, where `φ(w) = (1 + w)^α − 1 − αw ≥ 0` and
    /// `α = 1 + c`, because `w` has no mean under `q`.
    pub(super) fn excess(&self, c: f64) -> (f64, f64) {
        let ln_phi = phi_ln(self.w.re, self.loss.re, 1.0 + c);
        let ln_base = self.normal.re + self.a.re - self.loss.re;
        // B is the difference of two numbers; for remove of one number and itself.
        let is_blank = self.a == self.loss;
        let b_rounding = if is_blank { 0.0 } else { self.a_rounding + self.loss_rounding };
        let summands = size(self.normal) + 2.0 * (size(self.a) + size(self.loss));
        let rounding = self.phi_rounding(c, ln_phi)
            + self.normal_rounding
            + b_rounding
            + summands
            + 5.0 * ln_phi.abs()
            + ln_base.abs()
            + 4.0;
        (ln_phi + ln_base, rounding)
    }

    /// The relative rounding of `φ(w)`.
    ///
    /// An error of `w` moves it by `α (e^(cL) − 1)` as much. In the series nothing else happens
    /// but some 20 roundings. Elsewhere `φ = e^L (e^(cL) − 1) − c w` with both terms rounded,
    /// `w` given `L` or `L` given `w` being off by what [`exp_m1`] or [`ln_1p`] make of it.
    fn phi_rounding(&self, c: f64, ln_phi: f64) -> f64 {
        let (w, loss, order) = (self.w.re, self.loss.re, 1.0 + c);
        if is_series(w, order) {
            // With |αw| < 1/4: e^L α |e^(cL) − 1| ≤ 4 φ/|w|.
            return 20.0 + 4.0 * self.w_rounding / w.abs().max(f64::MIN_POSITIVE);
        }
        let share = (-(-loss).exp_m1()).abs();
        if c * loss > 30.0 {
            // Everything over e^L e^(cL), of which φ is more than half.
            let logarithm = 15.0 * share + 10.0 * loss;
            return 2.0 * (order * self.w_rounding + c * logarithm + 15.0 + 9.0 * c * share);
        }
        let raised = (c * loss).exp_m1();
        if loss > 0.0 {
            // Everything over e^L.
            let logarithm = 15.0 * share + 10.0 * loss;
            let parts = order * raised * self.w_rounding
                + c * (1.0 + raised) * logarithm
                + 15.0 * raised
                + 9.0 * c * share;
            return parts / (ln_phi - loss).exp();
        }
        let power = loss.exp();
        let logarithm = 15.0 * w.abs() - 10.0 * power * loss;
        let parts = order * raised.abs() * power * self.w_rounding
            + c * (1.0 + raised) * logarithm
            + 6.0 * raised.abs() * power
            + 9.0 * w.abs() * (raised.abs() + c);
        parts / ln_phi.exp()
    }
}

impl Grid {
    #[expect(clippy::cast_precision_loss, reason = "grids have at most a million nodes")]
    pub(super) fn at(&self, k: usize) -> f64 {
        self.first + self.step * k as f64
    }
}

/// Grids larger than this are not computed.
pub(crate) const MOST_POINTS: usize = 1_000_000;

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "capped")]
fn count(intervals: f64) -> usize {
    intervals.ceil().clamp(1.0, 1e9) as usize + 1
}
