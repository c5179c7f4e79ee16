//! One shell of the losses of a sampled Gaussian, for a few steps.
//!
//! Where `ε` is small beside the largest losses that count, one contour would need steps as fine as the
//! small losses want and as many as the large ones do. So ramps `w₀, w₁, …` in the output, each at
//! larger losses than the one before, divide the measure `p` into shells. With
//!
//! ```text
//! v_j = Π_{i ≥ j} (1 − w_i),    B_j(s) = E_p[v_j e^(sL)],    A_j = B_{j+1} − B_j = E_p[v_{j+1} w_j e^(sL)]
//! ```
//!
//! and `B_J = M`, the sum of `B_{j+1}^T − B_j^T` over all `j` and of `B_0^T` is `M^T`. Every one of them
//! belongs to a positive measure, whose losses are at most about `T` times those of its ramp, and has a
//! contour of its own, with a step and a length of that scale.
//!
//! # Quadrature
//!
//! Trapezoid sums over outputs on the real line. At `Im x = θσ²`, `0 < θ ≤ π/2`, with the odds
//! `o(x) = q e^u/(1 − q)` the mixture has an argument of at most `θ min(1, o)`, so that the
//! integrand is at most
//!
//! ```text
//! e^(θ²σ²/2) · Π e^(θ²σ⁴/(2τ_i²)) · n r^(1+c) v_{j+1} e^(tθ min(1, o))
//! ```
//!
//! whose integral is in turn at most the sum over cells of its value at the left end times `e^(kh)`,
//! where `k` bounds the derivative of its logarithm in the cell. That is all that [TW14], Theorem 5.1,
//! asks for. In the same way the moment beyond a node is bounded on the line on which it falls.
//!
//! [TW14]: https://doi.org/10.1137/130932132

use std::f64::consts::{FRAC_PI_2, PI};

use crate::exact::few::{self, Few, Ramp};
use crate::exact::pair::{Pair, Point, Shape};
use crate::normal::upper_tail;
use crate::rdp::trapezoid::LogSum;

/// A shell, prepared for orders up to `most_order` and `t` up to `most`.
pub(crate) struct Shell {
    pub(super) pair: Pair,
    pub(super) steps: u32,
    /// The ramp that bounds it from below, and those above.
    lower: Ramp,
    upper: Vec<Ramp>,
    step: f64,
    /// The line off the real one on which the quadrature is bounded.
    theta: f64,
    pub(super) most_order: f64,
    pub(super) points: Vec<Sample>,
}

/// A point of the quadrature.
pub(super) struct Sample {
    pub(super) x: f64,
    pub(super) point: Point,
    odds: f64,
    /// `ln v_{j+1}`.
    pub(super) ln_outer: f64,
    /// Its rounding, in units of such.
    outer_rounding: f64,
}

/// Lines on which integrals are bounded.
const LINES: [f64; 12] = [0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.55, 0.7, 0.9, 1.1, 1.4];

/// What the quadrature may be off, as a negative logarithm, over the moment.
const EXPONENT: f64 = 42.0;

/// Points beyond which a shell is given up.
const MOST_POINTS: f64 = 20_000.0;

impl Shell {
    /// The shell between `ramps[0]` and `ramps[1]`; nothing if it needs too many points.
    pub(super) fn new(
        pair: Pair,
        steps: u32,
        ramps: &[Ramp],
        most_order: f64,
        most: f64,
    ) -> Option<Self> {
        let (&lower, upper) = ramps.split_first()?;
        let next = upper.first()?;
        let new = Self {
            pair,
            steps,
            lower,
            upper: upper.to_vec(),
            step: 0.0,
            theta: 0.0,
            most_order,
            points: Vec::new(),
        };
        let variance = pair.sigma * pair.sigma;
        // Up to where the next ramp has pressed the integrand down for good.
        let height = |x: f64| {
            -x * x / (2.0 * variance) + (1.0 + most_order) * loss(pair, x) + new.ln_outer(x)
        };
        let (mut last, mut highest) = (next.centre(), f64::NEG_INFINITY);
        while new.falling(last, most_order) <= 0.0 || height(last) > highest - 60.0 {
            highest = highest.max(height(last));
            last += 0.5 * next.width();
            if last > next.centre() + 60.0 * next.width() {
                return None;
            }
        }
        let first = -10.5 * pair.sigma;
        let widest = |theta: f64| {
            let turning = (0..=64)
                .map(|k| next.centre() + (last - next.centre()) * (f64::from(k) - 32.0) / 32.0)
                .map(|x| most * theta * odds(pair, x).min(1.0) + new.ln_outer(x))
                .fold(0.0, f64::max);
            2.0 * PI * variance * theta / (EXPONENT + 12.0 + new.ln_growth(theta) + turning)
        };
        let lines = LINES.map(|theta| (widest(theta), theta));
        let (mut step, theta) =
            lines.into_iter().fold((0.0, 0.0), |a, b| if b > a { b } else { a });
        for _ in 0..4 {
            let nodes = ((last - first) / step).ceil();
            if nodes.is_nan() || nodes > MOST_POINTS {
                return None;
            }
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked")]
            let made = Self { step, theta, ..new.clone_frame() }.filled(first, nodes as usize + 1);
            let worst = made.ln_error(most_order, most) - made.ln_sum(most_order);
            if worst <= -EXPONENT + 4.0 {
                return Some(made);
            }
            step *= 0.8;
        }
        None
    }

    fn clone_frame(&self) -> Self {
        Self { upper: self.upper.clone(), points: Vec::new(), ..*self }
    }

    fn filled(mut self, first: f64, nodes: usize) -> Self {
        let grid = self.pair.plain_grid(first, self.step, nodes);
        for k in 0..grid.nodes {
            let x = grid.at(k);
            let outer = self.upper.iter().map(|ramp| ramp.rounding(x)[1]).sum();
            let sample = Sample {
                x,
                point: self.pair.at(&grid, k),
                odds: odds(self.pair, x),
                ln_outer: self.ln_outer(x),
                outer_rounding: outer,
            };
            self.points.push(sample);
        }
        self
    }

    /// `ln v_{j+1}` at `x`.
    fn ln_outer(&self, x: f64) -> f64 {
        self.upper.iter().map(|ramp| ramp.below(x).ln()).sum()
    }

    /// What `A` and `B` have of `v_{j+1}` at `x`.
    pub(super) fn parts(&self, x: f64) -> [f64; 2] {
        [self.lower.above(x), self.lower.below(x)]
    }

    /// `ln` of the factor by which the line `θ` is larger, but for the turning of the mixture.
    fn ln_growth(&self, theta: f64) -> f64 {
        let variance = self.pair.sigma * self.pair.sigma;
        let ramps = std::iter::once(&self.lower).chain(&self.upper);
        theta * theta * variance / 2.0
            + ramps.map(|ramp| ramp.ln_growth(theta, variance)).sum::<f64>()
    }

    /// By how much the logarithm of the integrand falls at least from `x` on, beyond the next ramp's
    /// centre: that of the normal tail falls by its argument and more.
    fn falling(&self, x: f64, order: f64) -> f64 {
        let variance = self.pair.sigma * self.pair.sigma;
        let of_ramps: f64 = self
            .upper
            .iter()
            .map(|ramp| ((x - ramp.centre()) / ramp.width()).max(0.0) / ramp.width())
            .sum();
        x / variance + of_ramps - (1.0 + order) / variance
    }

    /// `ln` of the integrand of `B_{j+1}(c)` at a point, with the step.
    pub(super) fn ln_term(&self, sample: &Sample, c: f64) -> f64 {
        sample.point.normal.re + sample.point.a.re + c * sample.point.loss.re + sample.ln_outer
    }

    /// The sum for `ln B_{j+1}(c)` itself, rounded up.
    pub(super) fn ln_sum(&self, c: f64) -> f64 {
        let mut sum = LogSum::default();
        for sample in &self.points {
            let ln_term = self.ln_term(sample, c);
            let point = &sample.point;
            let rounding = point.normal_rounding
                + point.a_rounding
                + c * point.loss_rounding
                + sample.outer_rounding
                + 8.0 * ln_term.abs().min(1e4);
            sum.add_rounded(ln_term, rounding);
        }
        sum.ln() + sum.rounding()
    }

    /// An upper bound on `ln B_{j+1}(c)` for a real `c ≤ most_order`.
    pub(super) fn ln_moment(&self, c: f64) -> f64 {
        let ln_sum = self.ln_sum(c);
        ln_sum + (self.ln_error(c, 0.0) - ln_sum).exp().ln_1p()
    }

    /// `ln` of what the sums for `A` and for `B` may be off at `c + it`, all `t` up to `most`.
    pub(super) fn ln_error(&self, c: f64, most: f64) -> f64 {
        let theta = self.theta;
        let distance = theta * self.pair.sigma * self.pair.sigma;
        let turned = |sample: &Sample| most * theta * sample.odds.min(1.0);
        let rise = |sample: &Sample, odds: f64| {
            if sample.odds < 1.0 { most * theta * odds.min(1.0) } else { 0.0 }
        };
        let ln_integral = self.ln_integral(c, turned, rise, |_| 0.0);
        let ratio = 2.0 * PI * distance / self.step;
        let discretised =
            2.0_f64.ln() + self.ln_growth(theta) + ln_integral - ratio - (-(-ratio).exp()).ln_1p();
        let mut sum = LogSum::default();
        sum.add(discretised);
        sum.add(self.ln_cut(c));
        sum.ln() + 1e-9
    }

    /// `ln` of what lies beyond the points, of the integral and of the sum.
    fn ln_cut(&self, c: f64) -> f64 {
        let (Some(first), Some(last)) = (self.points.first(), self.points.last()) else {
            return f64::INFINITY;
        };
        let mut sum = LogSum::default();
        // To the left the mixture only falls.
        let left = upper_tail(-first.x / self.pair.sigma);
        sum.add(left.ln() + (1.0 + c) * first.point.loss.re + 2.0_f64.ln());
        // A term is the integrand times the step.
        let falling = self.falling(last.x, c).max(1e-300);
        sum.add(self.ln_term(last, c) + ((falling * self.step).recip() + 2.0).ln());
        sum.ln()
    }

    /// An upper bound on `ln` of the integral of the integrand of `B_{j+1}(c)` times `e^extra(x) share(x)`,
    /// over the points: cell by cell, by the left end and the steepest rise.
    fn ln_integral(
        &self,
        c: f64,
        extra: impl Fn(&Sample) -> f64,
        extra_slope: impl Fn(&Sample, f64) -> f64,
        ln_share: impl Fn(&Sample) -> f64,
    ) -> f64 {
        let variance = self.pair.sigma * self.pair.sigma;
        let mut sum = LogSum::default();
        for (k, sample) in self.points.iter().enumerate() {
            let odds = self.points.get(k + 1).map_or(sample.odds, |next| next.odds);
            let share = if odds.is_finite() { odds / (1.0 + odds) } else { 1.0 };
            // Outer ramps only fall.
            let rise = -sample.x + (1.0 + c) * share + extra_slope(sample, odds);
            let ln_term = self.ln_term(sample, c) + extra(sample) + ln_share(sample);
            sum.add(ln_term + (rise * self.step / variance).max(0.0));
        }
        // Rounding is nothing beside what is lost here.
        sum.ln() + 1e-6
    }

    /// An upper bound on `ln |A(c + iu)|` for all `u ≥ t`.
    pub(super) fn ln_tail(&self, c: f64, t: f64) -> f64 {
        let variance = self.pair.sigma * self.pair.sigma;
        let on_line = |theta: f64| {
            let (sine, cosine) = theta.sin_cos();
            let turned = |sample: &Sample| {
                let odds = sample.odds.min(1e300);
                -t * (odds * sine).atan2(1.0 + odds * cosine)
            };
            let ln_share = |sample: &Sample| self.lower.above(sample.x).max(1e-300).ln();
            // A ramp rises by its place over its width at most, and one more.
            let rise = |sample: &Sample, _: f64| {
                let place = (self.lower.centre() - sample.x) / self.lower.width();
                (place.max(0.0) + 1.0) / self.lower.width() * variance
            };
            self.ln_growth(theta) + self.ln_integral(c, turned, rise, ln_share)
        };
        // What is cut off is bounded without the ramp.
        let cut = |theta: f64| self.ln_growth(theta) + self.ln_cut(c);
        let mut best = f64::INFINITY;
        let mut theta = 0.5 * self.lower.width() / variance;
        while theta < FRAC_PI_2 {
            let mut sum = LogSum::default();
            sum.add(on_line(theta));
            sum.add(cut(theta));
            let bound = sum.ln();
            if bound > best + 2.0 {
                break;
            }
            best = best.min(bound);
            theta *= 1.3;
        }
        best + 1e-9
    }

    /// Relative rounding of the weights of a summand of `A` and of `B` at `c`, in units of such.
    pub(super) fn rounding(&self, sample: &Sample, c: f64) -> [f64; 2] {
        let point = &sample.point;
        let loss = point.loss.re;
        let outer = point.normal_rounding
            + point.a_rounding
            + c * (point.loss_rounding + 3.0 * loss.abs())
            + 3.0 * self.ln_term(sample, c).abs().min(1e4)
            + sample.outer_rounding
            + 24.0;
        self.lower.rounding(sample.x).map(|ramp| outer + ramp)
    }
}

/// `L` at `x`.
fn loss(pair: Pair, x: f64) -> f64 {
    let exponent = (x - 0.5) / (pair.sigma * pair.sigma);
    if exponent > 30.0 { exponent + pair.q.ln() } else { (pair.q * exponent.exp_m1()).ln_1p() }
}

/// How many times as likely the output is with the record in the sample.
fn odds(pair: Pair, x: f64) -> f64 {
    pair.q / (1.0 - pair.q) * ((x - 0.5) / (pair.sigma * pair.sigma)).exp()
}

/// Ramps at growing losses above the lowest, until one contour can do the rest.
pub(super) fn ramps(few: &Few, epsilon: f64) -> Vec<Ramp> {
    const FACTOR: f64 = 2.0;
    let pair = few.pair;
    let mut all = vec![few.ramp];
    if pair.shape != Shape::Remove {
        return all;
    }
    let mut level = epsilon / f64::from(few.steps) * FACTOR;
    while level < 2.0 && all.len() < 24 {
        let centre = few::output(pair, level);
        let width = level / (10.0 * few::slope(pair, centre)) * pair.sigma * pair.sigma;
        all.push(Ramp::new(centre, width));
        level *= FACTOR;
    }
    all
}
