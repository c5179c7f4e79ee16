//! From bounds on `δ(ε)` to intervals for `ε` and for `δ`.
//!
//! `δ(ε)` falls. If its lower bound at `a` is at least `δ`, the true `ε` is at least `a`; if its
//! upper bound at `b` is at most `δ`, the true `ε` is at most `b`.

use crate::exact::contour::{Bounds, Contour, Process, Step, Term};
use crate::exact::few;
use crate::exact::gaussian::Together;
use crate::exact::pair::{Pair, Shape};
use crate::exact::single;
use crate::rdp::minimum;
use crate::rdp::trapezoid::ROUNDING;

/// Two numbers between which the truth lies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Interval {
    pub(crate) lower: f64,
    pub(crate) upper: f64,
}

/// How often a contour is made anew with tighter tolerances before giving up.
const ATTEMPTS: u32 = 5;

/// In so many attempts the outputs of a few steps are divided by how much they tell.
const DIVIDED: u32 = 3;

/// In each attempt, how much larger than necessary the nodes of a contour may be, as a logarithm.
const MOST_LOSS: [f64; ATTEMPTS as usize] = [3.0, 6.0, 0.0, 0.0, 0.0];

/// The `ε` of one process at `0 < delta < 1`, at most `width` wide.
pub(crate) fn epsilon(process: &Process, delta: f64, width: f64) -> Option<Interval> {
    if is_total_variation_below(process, delta) {
        return Some(Interval { lower: 0.0, upper: 0.0 });
    }
    if let Some(closed) = Closed::of(process) {
        // In units of δ itself, which may be too small for digits.
        let curve = |epsilon: f64| closed.delta(epsilon, delta.ln());
        return bracket(&curve, 1.0, width, 1.0, f64::INFINITY);
    }
    let ln_delta = delta.ln();
    let chernoff = |order: f64| process.chernoff_epsilon(order - 1.0, ln_delta);
    let guess = chernoff(2.0).max(1e-9);
    let guess = 1.0 + (2.0 * -ln_delta / guess).clamp(0.05, 1e4);
    let (order, most) = minimum::over_reals(chernoff, guess);
    if !most.is_finite() {
        return None;
    }
    if most <= width {
        return Some(Interval { lower: 0.0, upper: most.max(0.0) });
    }
    let c = order - 1.0;
    // A bound on ε; the truth is commonly 1.4/c below.
    let mut near = (most - 1.4 / c).max(0.0);
    if let Some(rare) = of_rare_losses(process, delta)
        && near > 1.7 * rare
    {
        near = 1.05 * rare;
    }
    for attempt in 0..ATTEMPTS {
        let ln_tolerance = ln_delta + (0.04 * width * c).min(0.1).ln() - 3.0 * f64::from(attempt);
        let most_loss = MOST_LOSS[attempt as usize];
        let contour = Contour::new(process, c, near, ln_tolerance, most_loss, attempt < DIVIDED)?;
        let curve = |epsilon: f64| contour.delta(epsilon);
        if let Some(found) = bracket(&curve, delta, width, near, most) {
            return Some(found);
        }
        near = root(&curve, delta, near, most);
    }
    None
}

/// A guess at `ε` after a few equal steps, of which hardly ever more than one tells anything: then
/// `δ` is that of one step as often as there are steps.
fn of_rare_losses(process: &Process, delta: f64) -> Option<f64> {
    let [Term { step: Step::Sampled(pair), count }] = process.terms.as_slice() else {
        return None;
    };
    let share = delta / count;
    let curve = |epsilon: f64| single::delta(*pair, epsilon, share.ln());
    (*count <= few::MOST_STEPS).then(|| root(&curve, 1.0, 1.0, f64::INFINITY)).filter(|&e| e > 0.0)
}

/// Whether the greatest loss or one moment proves that `ε` of the process is at most `epsilon`.
pub(crate) fn is_surely_below(process: &Process, epsilon: f64, delta: f64) -> bool {
    if process.greatest_loss() <= epsilon {
        return true;
    }
    if Closed::of(process).is_some_and(|closed| closed.delta(epsilon, delta.ln()).upper <= 1.0) {
        return true;
    }
    let guess = 1.0 + (epsilon / process.ln_moment(1.0).max(1e-12)).clamp(0.05, 1e4);
    let ln_delta = delta.ln();
    [1.0, 0.5, 2.0, 0.25, 4.0]
        .iter()
        .any(|part| process.chernoff_ln_delta(part * (guess - 1.0), epsilon) <= ln_delta)
        || minimum::over_reals(|order| process.chernoff_ln_delta(order - 1.0, epsilon), guess).1
            <= ln_delta
}

/// The `δ` of one process at finite `epsilon`, relative to its upper end at most `width` wide.
pub(crate) fn delta(process: &Process, epsilon: f64, width: f64) -> Option<Interval> {
    if process.greatest_loss() <= epsilon {
        return Some(Interval { lower: 0.0, upper: 0.0 });
    }
    let narrow = |bounds: Bounds| {
        (bounds.upper - bounds.lower <= width * bounds.upper || bounds.upper < 1e-300)
            .then_some(Interval { lower: bounds.lower, upper: bounds.upper })
    };
    let closed = Closed::of(process);
    if let Some(closed) = closed {
        let bounds = closed.delta(epsilon, 0.0);
        // Far below, digits are lost.
        if bounds.lower > 1e-280
            && let Some(found) = narrow(bounds)
        {
            return Some(found);
        }
    }
    let guess = 1.0 + (epsilon / process.ln_moment(1.0).max(1e-12)).clamp(0.05, 1e4);
    let chernoff = |order: f64| process.chernoff_ln_delta(order - 1.0, epsilon);
    let (order, ln_most) = minimum::over_reals(chernoff, guess);
    if let Some(closed) = closed {
        // In units of about its size.
        let ln_unit = if ln_most.is_finite() { ln_most.clamp(LEAST.ln(), 0.0) } else { 0.0 };
        let Bounds { value, lower, upper } = closed.delta(epsilon, ln_unit);
        let unit = ln_unit.exp();
        // An exponential errs by its argument.
        let room = ROUNDING * (8.0 + 4.0 * ln_unit.abs());
        let lower = (lower * unit * (1.0 - room)).next_down().max(0.0);
        let upper = upward(upper * unit * (1.0 + room), upper > 0.0);
        if let Some(found) = narrow(Bounds { value, lower, upper }) {
            return Some(found);
        }
    }
    if !ln_most.is_finite() {
        return None;
    }
    if ln_most < -700.0 {
        return Some(Interval { lower: 0.0, upper: upward(ln_most.exp(), true) });
    }
    (0..ATTEMPTS).find_map(|attempt| {
        // The truth is commonly a tenth of the bound, and the tolerance is in its terms.
        let ln_tolerance = ln_most - 3.0 + (0.05 * width).ln() - 3.0 * f64::from(attempt);
        let most_loss = MOST_LOSS[attempt as usize];
        let divide = attempt < DIVIDED;
        let contour = Contour::new(process, order - 1.0, epsilon, ln_tolerance, most_loss, divide)?;
        narrow(contour.delta(epsilon))
    })
}

/// The least positive float: what is not zero does not become zero.
const LEAST: f64 = f64::from_bits(1);

/// The next float above a bound from above, unless there is nothing to bound.
fn upward(bound: f64, is_positive: bool) -> f64 {
    if is_positive { bound.next_up().min(1.0) } else { 0.0 }
}

/// A process whose `δ(ε)` needs no integral.
#[derive(Clone, Copy, Debug)]
enum Closed {
    /// One sampled step.
    Single(Pair),
    /// Gaussian steps without sampling, however many.
    Gaussian(Together),
}

impl Closed {
    fn of(process: &Process) -> Option<Self> {
        match process.terms.as_slice() {
            [one] if one.count <= 1.0 => match one.step {
                Step::Sampled(pair) => Some(Self::Single(pair)),
                Step::Gaussian { .. } => Together::of(process).map(Self::Gaussian),
            },
            _ => Together::of(process).map(Self::Gaussian),
        }
    }

    /// Bounds on `δ e^−ln_unit`.
    fn delta(self, epsilon: f64, ln_unit: f64) -> Bounds {
        match self {
            Self::Single(pair) => single::delta(pair, epsilon, ln_unit),
            Self::Gaussian(together) => together.delta(epsilon, ln_unit),
        }
    }
}

/// Whether the total variation, which is `δ(0)`, is at most `delta` for a reason that needs no
/// integral: because that of the steps adds up to so little, or by the inequalities of Pinsker and of
/// Bretagnolle and Huber, with a Rényi divergence in place of the smaller Kullback-Leibler divergence.
fn is_total_variation_below(process: &Process, delta: f64) -> bool {
    const ORDER: f64 = 0.01;
    let divergence = process.ln_moment(ORDER) / ORDER;
    process.terms.iter().map(total_variation).sum::<f64>() * (1.0 + 1e-12) <= delta
        || (divergence / 2.0).sqrt() <= delta
        || (-(-divergence).exp_m1()).sqrt() <= delta
}

/// A bound on the total variation of a step, repetitions and all. Two Gaussians a distance `d` apart
/// overlap but for `2 Φ(d/2σ) − 1 ≤ d/(σ √2π)`, of which a sample takes a share.
fn total_variation(term: &Term) -> f64 {
    let (share, distance, sigma) = match term.step {
        Step::Gaussian { sigma } => (1.0, 1.0, sigma),
        Step::Sampled(Pair { shape: Shape::Replace, q, sigma }) => (q, 2.0, sigma),
        Step::Sampled(Pair { q, sigma, .. }) => (q, 1.0, sigma),
    };
    let apart = distance / sigma / (2.0 * std::f64::consts::PI).sqrt();
    term.count * share * apart.min(1.0)
}

/// An interval of at most `width` around the root of `curve = delta`, if the bounds allow it.
fn bracket(
    curve: &impl Fn(f64) -> Bounds,
    delta: f64,
    width: f64,
    near: f64,
    most: f64,
) -> Option<Interval> {
    let root = root(curve, delta, near, most);
    let half = 0.49 * width;
    let high = root + half;
    let upper = if curve(high).upper <= delta { high } else { return None };
    if root <= half {
        return Some(Interval { lower: 0.0, upper });
    }
    let low = root - half;
    (curve(low).lower >= delta).then_some(Interval { lower: low, upper })
}

/// Where the curve crosses `delta`, or zero if it starts below.
fn root(curve: &impl Fn(f64) -> Bounds, delta: f64, near: f64, most: f64) -> f64 {
    let value = |epsilon: f64| curve(epsilon).value.max(1e-320).ln() - delta.ln();
    if value(0.0) <= 0.0 {
        return 0.0;
    }
    let (mut low, mut high) = (0.0, near.max(1e-6));
    while value(high) > 0.0 {
        low = high;
        high = if high < most { (2.0 * high).min(most.max(high * 1.1)) } else { 2.0 * high };
        if high > 1e12 {
            return high;
        }
    }
    // Regula falsi in the logarithm (Illinois), which is close to a straight line.
    let (mut at_low, mut at_high) = (value(low), value(high));
    let mut side = 0;
    for _ in 0..200 {
        if high - low <= 1e-15 * high {
            break;
        }
        let mut middle = high - at_high * (high - low) / (at_high - at_low);
        if !(middle > low && middle < high) {
            middle = 0.5 * (low + high);
        }
        let at_middle = value(middle);
        if at_middle.abs() < 1e-15 {
            return middle;
        }
        if at_middle > 0.0 {
            (low, at_low) = (middle, at_middle);
            at_high *= if side > 0 { 0.5 } else { 1.0 };
            side = 1;
        } else {
            (high, at_high) = (middle, at_middle);
            at_low *= if side < 0 { 0.5 } else { 1.0 };
            side = -1;
        }
    }
    0.5 * (low + high)
}
