//! The privacy loss on a grid, composed by Fourier transform, with both roundings bounded.
//!
//! # Up: connecting the dots
//!
//! A loss `X` between neighbouring grid points `a < b = a + h` is moved to one of them, to `b`
//! with the probability `β` that keeps `E[e^−Y] = e^−X`:
//! `β = (1 − e^−(X−a))/(1 − e^−h)`. Masses of `P` *and* of `Q` stay what they are, and
//! the curve `δ(ε)` of `Y`, which is straight in `e^ε` between grid points, touches the true,
//! convex one at each of them and lies above it between them: the grid dominates the mechanism
//! ([DGKKM22]), in every composition.
//!
//! # Down: the same grid, moved
//!
//! Step by step `Y − X` lies, given `X`, in an interval of length `h`, with a mean of at most
//! `h²/8`. By the inequality of Azuma and Hoeffding the sum over `T` steps stays below
//! `s = T h²/8 + h √(T ln(1/η)/2)` but for a probability `η`, and so
//!
//! ```text
//! δ_Y(ε + s) − η ≤ δ(ε) ≤ δ_Y(ε)
//! ```
//!
//! which narrows with `h √T`, not with `h T`.
//!
//! # What else is added
//!
//! The masses of a step are differences of tails, rounded like these; what that may have done to a
//! mass, and to the quotient of which `β` is made, is bounded cell by cell and moved up as well, so
//! that no tail on the grid lies below the true one. The lower bound allows for twice that.
//!
//! Losses beyond the range of a step count as infinite above, and as the end of the range below;
//! their share is a parameter. Sums beyond the period of the transform, bounded by Chernoff's
//! inequality, and the rounding of the transform, bounded in the mean square, are added to the
//! upper and taken from the lower end.
//!
//! [DGKKM22]: https://arxiv.org/abs/2207.04380

use rustfft::FftPlanner;
use rustfft::num_complex::Complex64;

use crate::pld::tails::{Loss, Parts};

/// A step and how often it is taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Repeated {
    pub(crate) loss: Loss,
    pub(crate) count: f64,
}

/// How finely, and how much may be cut.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// Distance of grid points; made larger where the grid would have too many.
    pub(crate) step: f64,
    /// What may be lost by each of the cuts, and by the probability `η`.
    pub(crate) truncation: f64,
    /// Most points of the composed grid.
    pub(crate) points: usize,
}

/// The composed loss: masses at `first + k step`, and the bounds on what is not in them.
#[derive(Clone, Debug)]
pub(crate) struct Composed {
    first: f64,
    step: f64,
    /// Mass from a point on, and the same with weights `e^−(distance)`.
    tail: Vec<f64>,
    weighted: Vec<f64>,
    /// Mass whose loss counts as infinite.
    infinite: f64,
    /// Mass that is anywhere, by cuts and rounding.
    astray: f64,
    /// `s` and `η` of the lower bound.
    shift: f64,
    eta: f64,
}

/// Masses of one step on the grid.
struct Masses {
    first: i64,
    p: Vec<f64>,
    infinite: f64,
    cut: f64,
    /// Whether some masses could not be divided between neighbours and went up whole.
    whole: bool,
    /// What went up for rounding alone.
    bumped: f64,
}

/// Puts one step on the grid, moving masses up.
fn masses(loss: Loss, step: f64, share: f64) -> Masses {
    let (low, high) = loss.range(share);
    #[expect(clippy::cast_possible_truncation, reason = "the caller bounds range over step")]
    let (first, last) = ((low / step).floor() as i64, (high / step).ceil() as i64);
    #[expect(clippy::cast_precision_loss, reason = "grid indices lie far below 2^53")]
    let at = |k: i64| loss.split(k as f64 * step);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "last ≥ first")]
    let mut p = vec![0.0; (last - first) as usize + 1];
    let mut low = at(first);
    let cut = low.1.p;
    let (mut whole, mut bumped) = (false, 0.0);
    p[0] = cut;
    let shrink = -(-step).exp_m1();
    for k in first..last {
        let high = at(k + 1);
        let (Parts { p: here, q: there }, rounding) = loss.between(low, high);
        #[expect(clippy::cast_precision_loss, reason = "grid indices lie far below 2^53")]
        let level = k as f64 * step;
        let divided = there > 1e-280;
        whole |= here > 0.0 && !divided;
        // p e^−a − q, of which β is made, loses about 1/step of its digits; what that may be is
        // moved up as well. It is more than what the masses themselves may be off.
        let multiplied = (8.0 + 2.0 * level.abs()) * f64::EPSILON;
        let bump = (rounding.p / here + rounding.q / there + multiplied) / shrink;
        let up = if divided { (1.0 - there / here * level.exp()) / shrink + bump } else { 1.0 };
        let up = if up.is_nan() { 1.0 } else { up.clamp(0.0, 1.0) };
        if divided {
            bumped += here * bump.min(1.0);
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "k ≥ first")]
        let place = (k - first) as usize;
        p[place] += here * (1.0 - up);
        p[place + 1] += here * up;
        low = high;
    }
    Masses { first, p, infinite: low.0.p, cut, whole, bumped }
}

impl Composed {
    /// Composes all steps; nothing if even a coarse grid would have too many points.
    pub(crate) fn new(steps: &[Repeated], settings: Settings) -> Option<Self> {
        let mut step = settings.step;
        for _ in 0..40 {
            match Self::on_grid(steps, settings, step) {
                Ok(composed) => return Some(composed),
                Err(factor) => step *= factor.max(1.5),
            }
            if step > 1.0 {
                return None;
            }
        }
        None
    }

    /// The composition with this step, or by how much it is too fine.
    fn on_grid(steps: &[Repeated], settings: Settings, step: f64) -> Result<Self, f64> {
        let total: f64 = steps.iter().map(|one| one.count).sum();
        let share = settings.truncation / total;
        #[expect(clippy::cast_precision_loss, reason = "points lie far below 2^53")]
        let most = settings.points as f64;
        let mut placed = Vec::new();
        for one in steps {
            let (low, high) = one.loss.range(share);
            let needed = (high - low) / step;
            if needed > most {
                return Err(needed / most);
            }
            let masses = masses(one.loss, step, share);
            // What is not a number must not pass for nothing: then there is no grid.
            let sums = [needed, masses.infinite, masses.cut, masses.p.iter().sum()];
            if sums.iter().any(|sum: &f64| !sum.is_finite()) {
                return Err(f64::INFINITY);
            }
            placed.push(masses);
        }
        let (low, high) = sum_range(steps, &placed, step, settings.truncation);
        let needed = (high - low) / step + 2.0;
        if needed > most {
            return Err(needed / most);
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked")]
        let length = (needed.ceil() as usize).next_power_of_two();
        let (buffer, rounding) = convolve(steps, &placed, length);
        if !(rounding + buffer.iter().sum::<f64>()).is_finite() {
            return Err(f64::INFINITY);
        }

        #[expect(clippy::cast_possible_truncation, reason = "a grid index")]
        let first = (low / step).floor() as i64;
        let mut tail = vec![0.0; length + 1];
        let mut weighted = vec![0.0; length + 1];
        let fade = (-step).exp();
        for k in (0..length).rev() {
            #[expect(clippy::cast_possible_wrap, reason = "lengths lie far below 2^63")]
            let place = (first + k as i64).rem_euclid(length as i64);
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place")]
            let mass = buffer[place as usize].max(0.0);
            tail[k] = tail[k + 1] + mass;
            weighted[k] = weighted[k + 1] * fade + mass;
        }
        let parts = || steps.iter().zip(&placed);
        let infinite = parts().map(|(one, masses)| one.count * masses.infinite).sum::<f64>();
        let cut = parts().map(|(one, masses)| one.count * masses.cut).sum::<f64>();
        let eta = settings.truncation;
        let shift = if placed.iter().any(|masses| masses.whole) {
            total * step
        } else {
            // Rounding moves masses up, and may have moved as much up before.
            let bumped: f64 = parts().map(|(one, masses)| one.count * masses.bumped).sum();
            total * step * step / 7.0
                + 2.0 * step * bumped
                + step * (total * eta.recip().ln() / 2.0).sqrt().min(total)
        };
        #[expect(clippy::cast_precision_loss, reason = "a grid index")]
        let first = first as f64 * step;
        let astray = 2.0 * settings.truncation + rounding;
        Ok(Self { first, step, tail, weighted, infinite, astray, shift, eta: eta + cut })
    }

    /// `δ_Y(epsilon)`, of the masses alone.
    fn delta(&self, epsilon: f64) -> f64 {
        let place = ((epsilon - self.first) / self.step).floor() + 1.0;
        #[expect(clippy::cast_precision_loss, reason = "grids have far fewer points than 2^53")]
        let beyond = place >= self.tail.len() as f64;
        if beyond {
            return 0.0;
        }
        let place = place.max(0.0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "inside")]
        let k = place as usize;
        let distance = self.first + place * self.step - epsilon;
        (self.tail[k] - self.weighted[k] * (-distance).exp()).max(0.0)
    }

    /// No smaller `δ` is proven at `epsilon`.
    pub(crate) fn upper(&self, epsilon: f64) -> f64 {
        (self.delta(epsilon) + self.infinite + self.astray).min(1.0)
    }

    /// No larger `δ` is proven to be needed at `epsilon`.
    pub(crate) fn lower(&self, epsilon: f64) -> f64 {
        (self.delta(epsilon + self.shift) - self.eta - self.astray).max(0.0)
    }

    /// The largest `ε` at which it could make sense to look.
    pub(crate) fn last(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "grids have far fewer points than 2^53")]
        let points = self.tail.len() as f64;
        self.first + points * self.step
    }
}

/// Sums between which all but `share` lies on each side, by Chernoff's inequality.
fn sum_range(steps: &[Repeated], placed: &[Masses], step: f64, share: f64) -> (f64, f64) {
    // Weights e^(rate x) relative to the end where they are largest, by a geometric series.
    let ln_one = |masses: &Masses, rate: f64| -> f64 {
        let ratio = (-rate.abs() * step).exp();
        let (mut weight, mut sum) = (1.0, 0.0);
        // False as soon as the rest, which is at most one, no longer counts.
        let mut add = |&p: &f64| {
            sum += weight * p;
            weight *= ratio;
            weight > 1e-250
        };
        #[expect(clippy::cast_precision_loss, reason = "a grid index")]
        let (first, points) = (masses.first as f64, masses.p.len() as f64);
        let end = if rate > 0.0 {
            let _all = masses.p.iter().rev().all(&mut add);
            first + points - 1.0
        } else {
            let _all = masses.p.iter().all(&mut add);
            first
        };
        let sum = sum + 1e-250;
        sum.ln() + rate * end * step + 2.0 * points * f64::EPSILON
    };
    let ln_moment = |rate: f64| -> f64 {
        steps.iter().zip(placed).map(|(one, masses)| one.count * ln_one(masses, rate)).sum()
    };
    let bound = |sign: f64| {
        let at = |rate: f64| (ln_moment(sign * rate) - share.ln()) / rate;
        // The bound has one valley in the rate; doubling finds it to well within a factor two.
        let mut rate = 1.0 / 64.0;
        let mut best = at(rate);
        for factor in [2.0, 0.5] {
            let mut next = rate * factor;
            let mut value = at(next);
            while value < best && next < 1e6 && next > 1e-9 {
                (best, rate) = (value, next);
                next *= factor;
                value = at(next);
            }
        }
        best.max(0.0) + 2.0 * step
    };
    (-bound(-1.0), bound(1.0))
}

/// The circular convolution of all steps, and a bound on the rounding of its sums.
fn convolve(steps: &[Repeated], placed: &[Masses], length: usize) -> (Vec<f64>, f64) {
    let mut planner = FftPlanner::<f64>::new();
    let forward = planner.plan_fft_forward(length);
    let mut product = vec![Complex64::ONE; length];
    // The logarithm of the product's size, which may underflow, and its relative error.
    let mut errors = vec![(0.0_f64, 0.0_f64); length];
    #[expect(clippy::cast_precision_loss, reason = "lengths lie far below 2^53")]
    let size = length as f64;
    let unit = f64::EPSILON * 4.0 * size.log2();
    for (one, masses) in steps.iter().zip(placed) {
        let mut buffer = vec![Complex64::ZERO; length];
        for (k, &p) in masses.p.iter().enumerate() {
            #[expect(clippy::cast_possible_wrap, reason = "lengths lie far below 2^63")]
            let place = (masses.first + k as i64).rem_euclid(length as i64);
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place")]
            let place = place as usize;
            buffer[place] += p;
        }
        // A transform errs, in the mean square, by this share of what it transforms.
        let error = unit * buffer.iter().map(Complex64::norm_sqr).sum::<f64>().sqrt();
        forward.process(&mut buffer);
        for ((product, (ln, relative)), value) in product.iter_mut().zip(&mut errors).zip(&buffer) {
            let size = value.norm().max(1e-300);
            let angle = value.arg() * one.count;
            let raised = Complex64::from_polar((size.ln() * one.count).exp(), angle);
            *product *= raised;
            *ln += size.ln() * one.count;
            *relative += one.count * (error / size).ln_1p()
                + f64::EPSILON * (8.0 + 4.0 * one.count * (size.ln().abs() + value.arg().abs()));
        }
    }
    let squared: f64 = product
        .iter()
        .zip(&errors)
        .map(|(value, &(ln, relative))| {
            // A value lost in its error is at most their sum, to the power of the count: a product
            // of nothing with a huge number where it is written otherwise.
            let error = if relative < 1.0 {
                value.norm() * relative.exp_m1()
            } else {
                (ln + relative).exp()
            };
            error.min(2.0).powi(2)
        })
        .sum();
    let power = product.iter().map(Complex64::norm_sqr).sum::<f64>().sqrt();
    planner.plan_fft_inverse(length).process(&mut product);
    // In the mean square over all points, and from there to their sum, by Cauchy and Schwarz.
    let rounding = squared.sqrt() + unit * power;
    (product.iter().map(|value| value.re / size).collect(), rounding)
}
