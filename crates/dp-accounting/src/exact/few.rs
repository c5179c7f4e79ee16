//! Contours of a handful of equal steps.
//!
//! After many steps the moments fall quickly along the line of the contour. After a few they do not:
//! most outputs tell next to nothing, so that the privacy loss has nearly an atom, whose share of the
//! moment turns round without fading. That share hardly counts for `δ(ε)`, though: for a sum of `T`
//! losses above `ε` one of them must be above `ε/T`. So with a ramp `w(x) = Φ((x − x₀)/τ)` each step
//! is divided into the part `p w`, in which losses are large, and the part `p (1 − w)` in which they
//! are small,
//!
//! ```text
//! M = A + B,    A(s) = E_p[w e^(sL)],    B(s) = E_p[(1 − w) e^(sL)]
//! ```
//!
//! and the integral is taken of `(A + B)^T − B^T = Σ_{k ≥ 1} C(T, k) A^k B^(T−k)`, which falls as `A`
//! does: quickly, since the ramp hides the atom. All parts are positive measures, so that the bounds on
//! aliasing hold as they are; what is left out, `B^T`, gives at most
//!
//! ```text
//! T · Φ(−(x₁ − x₀)/τ) · P_p(x > x₁)    where L(x₁) = ε/T
//! ```
//!
//! # Quadrature
//!
//! Both parts are trapezoid sums on the real line. Off it, at `Im x = θσ²`, the ramp grows by at most
//! `e^(θ²σ⁴/(2τ²))` over its real values: `|erfc(a + ib)| ≤ e^(b²) erfc(a)`, because
//! `erfc(z) = 2/√π e^(−z²) ∫ e^(−y² − 2zy) dy` over `y > 0`. The rest is as in
//! [`pair`](super::pair).
//!
//! # Rounding
//!
//! As in [`quadrature`](super::quadrature). The factors `e^(itL)` are multiplied up from node to node
//! and taken afresh every so often; a product of complex numbers errs by at most four units.

use rustfft::num_complex::Complex64;

use crate::exact::mixture::size;
use crate::exact::pair::{MOST_POINTS, Pair, Point, Shape};
use crate::exact::shell::Shell;
use crate::normal::{output_of_replaced, upper_tail};
use crate::rdp::trapezoid::ROUNDING;

/// Up to so many steps count as few.
pub(crate) const MOST_STEPS: f64 = 16.0;

/// Nodes that go by until a factor is taken afresh.
const AFRESH: usize = 32;

/// What quadratures may be off, as a negative logarithm, over the moment.
const EXPONENT: f64 = 45.0;

/// A ramp in the output, from 0 far below `from` to 1 far above.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ramp {
    from: f64,
    width: f64,
}

impl Ramp {
    pub(super) fn new(from: f64, width: f64) -> Self {
        Self { from, width }
    }

    /// Where it is one half.
    pub(super) fn centre(self) -> f64 {
        self.from
    }

    /// Its standard deviation.
    pub(super) fn width(self) -> f64 {
        self.width
    }

    /// The share of the large losses.
    pub(super) fn above(self, x: f64) -> f64 {
        upper_tail((self.from - x) / self.width)
    }

    /// That of the small ones.
    pub(super) fn below(self, x: f64) -> f64 {
        upper_tail((x - self.from) / self.width)
    }

    /// `ln` of the most that it grows by at `Im x = θσ²`.
    pub(super) fn ln_growth(self, theta: f64, variance: f64) -> f64 {
        0.5 * (theta * variance / self.width).powi(2)
    }

    /// Bounds on the relative rounding of the shares above and below, in units of [`ROUNDING`]: of the
    /// smaller one that of a tail, where it is not beyond counting, of the larger one next to nothing.
    pub(super) fn rounding(self, x: f64) -> [f64; 2] {
        let place = ((x - self.from) / self.width).abs();
        let moved = 4.0 * (x.abs() + self.from.abs()) / self.width;
        let tail = place.min(NEGLIGIBLE);
        let small = 16.0 + 12.0 * tail * tail + (tail + 1.0) * moved;
        let large = 16.0 + (-0.5 * place * place).exp() * moved;
        if x > self.from { [large, small] } else { [small, large] }
    }
}

/// Widths beyond which a share is below `1e-43`, and not taken for anything.
const NEGLIGIBLE: f64 = 14.0;

/// A few equal steps, divided by a ramp.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Few {
    pub(super) pair: Pair,
    pub(super) steps: u32,
    pub(super) ramp: Ramp,
}

impl Few {
    /// The ramp at which the moments fall soonest, among those that leave out less than
    /// `e^ln_tolerance` at `epsilon`; nothing if there is none.
    pub(super) fn new(pair: Pair, steps: f64, epsilon: f64, ln_tolerance: f64) -> Option<Self> {
        // For add the losses are bounded, and large for most outputs.
        if pair.shape == Shape::Add || !(2.0..=MOST_STEPS).contains(&steps) || epsilon <= 0.0 {
            return None;
        }
        let top = output(pair, epsilon / steps);
        let tail = (steps * tail(pair, top)).ln();
        let reach = (8..160)
            .map(|k| 0.25 * f64::from(k))
            .find(|&reach| upper_tail(reach).max(1e-300).ln() + tail < ln_tolerance - 1.0)?;
        // The lower the ramp begins the wider it may be, but the less losses differ there.
        let speed = |from: f64| (top - from) * slope(pair, from);
        let from = (1..60)
            .map(|k| output(pair, epsilon / steps * f64::from(k) / 60.0))
            .max_by(|&a, &b| speed(a).total_cmp(&speed(b)))?;
        let ramp = Ramp { from, width: (top - from) / reach };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked")]
        let steps = steps as u32;
        (ramp.width > 0.0).then_some(Self { pair, steps, ramp })
    }

    /// A bound on `ln |A(c + iu)|` for all `u ≥ t`.
    pub(super) fn ln_tail(&self, c: f64, t: f64, ln_moment: f64) -> f64 {
        self.pair.ln_tail_bound(c, t, EXPONENT, ln_moment, Some(self.ramp))
    }

    /// What is left out of `δ(epsilon)`, at most.
    pub(super) fn missing(&self, epsilon: f64) -> f64 {
        let steps = f64::from(self.steps);
        // Rounded to the side on which more is left out.
        let top = output(self.pair, epsilon.max(0.0) / steps);
        let top = top - 1e-12 * (1.0 + top.abs());
        steps * self.ramp.below(top) * tail(self.pair, top) * (1.0 + 1e-9)
    }
}

/// The output at which the loss is `level ≥ 0`.
pub(super) fn output(pair: Pair, level: f64) -> f64 {
    let Pair { shape, q, sigma } = pair;
    if shape == Shape::Replace {
        return if level > 0.0 { output_of_replaced(level, q, sigma) } else { 0.0 };
    }
    let ln = if level > 30.0 { level - q.ln() } else { (level.exp_m1() / q).ln_1p() };
    0.5 + sigma * sigma * ln
}

/// `P_p(x > from)`.
fn tail(pair: Pair, from: f64) -> f64 {
    let at = |mean: f64| upper_tail((from - mean) / pair.sigma);
    (1.0 - pair.q) * at(0.0) + pair.q * at(1.0)
}

/// How quickly the loss rises with the output, times the variance.
pub(super) fn slope(pair: Pair, x: f64) -> f64 {
    let share = |x: f64| {
        let odds = pair.q / (1.0 - pair.q) * ((x - 0.5) / (pair.sigma * pair.sigma)).exp();
        if odds.is_finite() { odds / (1.0 + odds) } else { 1.0 }
    };
    match pair.shape {
        Shape::Replace => share(x) + share(-x),
        Shape::Remove | Shape::Add => share(x),
    }
}

/// `(A + B)^T − B^T` at the nodes of a line, one after the other.
pub(super) struct Walk {
    steps: u32,
    step: f64,
    /// `ln` of the moment that everything is over.
    ln_moment: f64,
    points: Vec<Item>,
    turned: Vec<Complex64>,
    /// Bounds on the errors of `A` and `B` that do not depend on `t`, and those that grow with it.
    fixed: [f64; 2],
    growing: [f64; 2],
    at: usize,
}

/// Sums over points, of `A` and of `B`.
#[derive(Default)]
struct Sums {
    shares: [f64; 2],
    rounding: [f64; 2],
}

/// A point of the quadrature: its shares of `A(c)` and `B(c)` over `M(c)`.
#[derive(Clone, Copy)]
struct Item {
    above: f64,
    below: f64,
    loss: f64,
    turn: Complex64,
}

/// The integrand at one node, without `e^(−sε)/(s(s+1))`: its size, and the bound on its error, both
/// over `e^ln_scale`.
pub(super) struct Value {
    pub(super) value: Complex64,
    pub(super) error: f64,
    pub(super) ln_scale: f64,
}

impl Walk {
    /// Prepares nodes `c + i step k` up to `most`; nothing if that needs too many points.
    pub(super) fn new(few: Few, c: f64, step: f64, most: f64, ln_moment: f64) -> Option<Self> {
        let growth = |theta: f64| few.ramp.ln_growth(theta, few.pair.sigma * few.pair.sigma);
        let grid = few.pair.real_grid(c, most, EXPONENT, ln_moment, growth);
        if grid.nodes > MOST_POINTS / 20 || ln_moment.is_nan() || ln_moment > 600.0 {
            return None;
        }
        let discretised = 2.0 * (-EXPONENT).exp();
        let mut new = Self {
            steps: few.steps,
            step,
            ln_moment,
            points: Vec::with_capacity(grid.nodes),
            turned: Vec::new(),
            fixed: [discretised; 2],
            growing: [0.0; 2],
            at: 0,
        };
        let mut sums = Sums::default();
        for k in 0..grid.nodes {
            let (x, point) = (grid.at(k), few.pair.at(&grid, k));
            let exponent = point.normal.re + point.a.re + c * point.loss.re - ln_moment;
            let tilted = exponent.exp();
            let shares = [tilted * few.ramp.above(x), tilted * few.ramp.below(x)];
            let own = point.normal_rounding
                + point.a_rounding
                + c * (point.loss_rounding + 3.0 * point.loss.re.abs())
                + size(point.normal)
                + 2.0 * size(point.a)
                + 3.0 * exponent.abs()
                + 2.0 * ln_moment.abs()
                + 20.0;
            let own = few.ramp.rounding(x).map(|ramp| own + ramp);
            new.push(shares, &point, own, &mut sums);
        }
        Some(new.finished(&sums))
    }

    /// The same for a shell whose moment is `ln_moment` at `c`.
    pub(super) fn of_shell(shell: &Shell, c: f64, step: f64, most: f64, ln_moment: f64) -> Self {
        let error = (shell.ln_error(c, most) - ln_moment).exp();
        let mut new = Self {
            steps: shell.steps,
            step,
            ln_moment,
            points: Vec::with_capacity(shell.points.len()),
            turned: Vec::new(),
            fixed: [error; 2],
            growing: [0.0; 2],
            at: 0,
        };
        let mut sums = Sums::default();
        for sample in &shell.points {
            let tilted = (shell.ln_term(sample, c) - ln_moment).exp();
            let shares = shell.parts(sample.x).map(|part| tilted * part);
            let own = shell.rounding(sample, c).map(|own| own + 2.0 * ln_moment.abs());
            new.push(shares, &sample.point, own, &mut sums);
        }
        new.finished(&sums)
    }

    /// Adds a point with its shares of `A` and `B`, whose weights are rounded by `own` units.
    fn push(&mut self, shares: [f64; 2], point: &Point, own: [f64; 2], sums: &mut Sums) {
        if shares.iter().all(|&share| share < 1e-40) {
            return;
        }
        let loss = point.loss.re;
        let loss_rounding = point.loss_rounding + 3.0 * loss.abs();
        // Of a factor: taken afresh, and multiplied since.
        #[expect(clippy::cast_precision_loss, reason = "a small constant")]
        let turning = 8.0 + AFRESH as f64 * (8.0 + 4.0 * (self.step * loss).abs());
        for (part, share) in shares.into_iter().enumerate() {
            sums.shares[part] += share;
            sums.rounding[part] += share * (own[part] + turning);
            self.growing[part] += 1.01 * ROUNDING * share * (loss_rounding + 4.0 * loss.abs());
        }
        let turn = Complex64::from_polar(1.0, self.step * loss);
        self.points.push(Item { above: shares[0], below: shares[1], loss, turn });
    }

    fn finished(mut self, sums: &Sums) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "at most a million points")]
        let summed = 4.0 + self.points.len() as f64;
        for part in 0..2 {
            // What was skipped, and the rounding of what was not.
            let rounding = sums.rounding[part] + summed * sums.shares[part];
            self.fixed[part] += 1e-34 + 1.01 * ROUNDING * rounding;
        }
        self.turned = vec![Complex64::ONE; self.points.len()];
        self
    }

    /// How many points there are.
    pub(super) fn points(&self) -> usize {
        self.points.len()
    }

    /// The next node.
    pub(super) fn next(&mut self) -> Value {
        #[expect(clippy::cast_precision_loss, reason = "at most a hundred thousand nodes")]
        let t = self.step * self.at as f64;
        let afresh = self.at.is_multiple_of(AFRESH);
        let (mut above, mut below) = (Complex64::ZERO, Complex64::ZERO);
        for (item, turned) in self.points.iter().zip(&mut self.turned) {
            if afresh {
                *turned = Complex64::from_polar(1.0, t * item.loss);
            }
            above += *turned * item.above;
            below += *turned * item.below;
            *turned *= item.turn;
        }
        self.at += 1;
        let [error_above, error_below] =
            [0, 1].map(|part| self.fixed[part] + t * self.growing[part]);
        self.combined(above, below, error_above, error_below)
    }

    /// `(A + B)^T − B^T = A Σ_j (A + B)^j B^(T−1−j)`, and how far it may be off: the polynomial has
    /// positive coefficients, so that its increments grow with the sizes of `A` and `B`.
    fn combined(&self, a: Complex64, b: Complex64, error_a: f64, error_b: f64) -> Value {
        let (both, mut power, mut sum) = (a + b, Complex64::ONE, Complex64::ZERO);
        for _ in 0..self.steps {
            // Σ_j (A + B)^j B^(T−1−j), by Horner's rule in B.
            sum = sum * b + power;
            power *= both;
        }
        let value = a * sum;
        let steps = f64::from(self.steps);
        let (size_a, size_b) = (a.norm() + error_a, b.norm() + error_b);
        let total = size_a + size_b;
        let raised = |less: i32| total.powi((self.steps.cast_signed() - less).max(0));
        let error = steps * raised(1) * error_a
            + steps * (steps - 1.0) * size_a * raised(2) * error_b
            + ROUNDING * (12.0 * steps + 8.0) * steps * size_a * raised(1);
        Value { value, error: error * (1.0 + 1e-9), ln_scale: steps * self.ln_moment }
    }

    /// A bound on the logarithm of the integrand where that of `|A|` has one:
    /// `|(A + B)^T − B^T| ≤ T |A| (|A| + |B|)^(T−1)`, and `|A| + |B|` is at most the moment.
    pub(super) fn ln_bound(&self, ln_above: f64) -> f64 {
        let steps = f64::from(self.steps);
        steps.ln() + ln_above + (steps - 1.0) * self.ln_moment
    }
}

/// A guess at the `t` from which on the integrand above a ramp is small.
pub(super) fn reach(pair: Pair, ramp: Ramp) -> f64 {
    10.0 * pair.sigma * pair.sigma / (ramp.width * slope(pair, ramp.from).max(1e-12))
}
