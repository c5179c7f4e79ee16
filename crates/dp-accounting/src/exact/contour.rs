//! `δ(ε)` as one integral along a line in the complex plane, with bounds on every error.
//!
//! For a pair of output distributions with privacy loss `L = ln p/q` and moment generating
//! function `M(s) = E_p[e^(sL)]`,
//!
//! ```text
//! δ(ε) = E_p[(1 − e^(ε−L))₊] = 1/(2πi) ∫ M(s) e^(−sε) / (s (s+1)) ds    on Re s = c > 0,
//! ```
//!
//! because the residues at 0 and −1 are 1 and `−e^(ε−L)` where `L > ε` and the line closes to
//! the other side where not. Losses of independent steps add up, so that `M` of a composition
//! is the product of the `M` of its steps: `T` equal steps are a `T`-th power and cost no more
//! than one.
//!
//! # Discretisation: known, positive, bounded
//!
//! The trapezoid rule with step `h` in `t = Im s` is, by Poisson's summation formula and with
//! `D = 2π/h`, exactly
//!
//! ```text
//! δ_h(ε) = δ(ε) + Σ_{m ≠ 0} e^(c m D) δ(ε + m D)
//! ```
//!
//! All terms are positive: `δ_h` is an upper bound. For every `s ≥ 0` the Chernoff bound
//! `δ(x) ≤ κ(s) M(s) e^(−s x)` with `κ(s) = s^s/(1+s)^(1+s)` holds, which bounds the terms with
//! `m > 0` by a geometric series for any `s > c`, and those with `m < 0` for any `0 ≤ s < c`
//! (`s = 0` says `δ ≤ 1`). The best of several `s` is taken on each side.
//!
//! # Truncation
//!
//! Nodes beyond `t_K` add up to at most `e^(−cε) B(t_K)/(π t_K)`, where `B(t)` bounds `|M(c + iu)|`
//! for all `u ≥ t`: see [`Pair::ln_tail_bound`].
//!
//! # The moment itself
//!
//! Each `M(c + it)` is a trapezoid sum with a bounded error of its own, `η`; a power turns it into
//! `(|M| + η)^T − |M|^T`. Rounding is bounded along the way, by the usual first-order model: each
//! elementary operation and function errs by a few units in the last place.

use std::f64::consts::PI;

use rustfft::num_complex::Complex64;

use crate::exact::few::{self, Few, Ramp, Walk};
use crate::exact::mixture::ln_1p;
use crate::exact::pair::{Pair, Shape};
use crate::exact::quadrature::Quadrature;
use crate::exact::shell::{self, Shell};
use crate::rdp::minimum;
use crate::rdp::trapezoid::ROUNDING;

/// One kind of step and how often it is taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Term {
    pub(crate) step: Step,
    pub(crate) count: f64,
}

/// A step whose moments are known.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// `N(1, σ²)` against `N(0, σ²)`.
    Gaussian { sigma: f64 },
    /// A sampled Gaussian.
    Sampled(Pair),
}

/// A composition in one direction: who plays `p` is the same in every step.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub(crate) terms: Vec<Term>,
}

/// `ln κ(s)` with `κ(s) = s^s/(1+s)^(1+s) = max_y (1 − e^−y) e^(−sy)`.
pub(crate) fn ln_kappa(s: f64) -> f64 {
    if s <= 0.0 { 0.0 } else { -s * s.recip().ln_1p() - s.ln_1p() }
}

impl Process {
    /// `ln M(c)` at a real `c ≥ 0`, enlarged by what its quadrature may have lost.
    pub(crate) fn ln_moment(&self, c: f64) -> f64 {
        if c <= 0.0 {
            return 0.0;
        }
        let exponent = self.exponent();
        let one = |term: &Term| match term.step {
            Step::Gaussian { sigma } => term.count * c * (c + 1.0) / (2.0 * sigma * sigma),
            Step::Sampled(pair) => term.count * pair.ln_moment(c, exponent),
        };
        let sum: f64 = self.terms.iter().map(one).sum();
        // Two e^−exponent for each step are below 5e-16; some roundings of the sum.
        sum * (1.0 + 1e-14) + 1e-15
    }

    /// What a moment may be off, as a negative logarithm, to be of no weight in any power.
    fn exponent(&self) -> f64 {
        let steps: f64 = self.terms.iter().map(|term| term.count).sum();
        36.0 + steps.ln_1p()
    }

    /// The most that all losses together can be, rounded up: without a record a sampled step has a loss
    /// of at most `−ln(1 − q)`.
    pub(crate) fn greatest_loss(&self) -> f64 {
        let one = |term: &Term| match term.step {
            Step::Sampled(Pair { shape: Shape::Add, q, .. }) => -(-q).ln_1p() * term.count,
            Step::Sampled(_) | Step::Gaussian { .. } => f64::INFINITY,
        };
        self.terms.iter().map(one).sum::<f64>() * (1.0 + 1e-14)
    }

    /// The Chernoff bound on `ε` at `δ = e^ln_delta`, from one moment.
    pub(crate) fn chernoff_epsilon(&self, c: f64, ln_delta: f64) -> f64 {
        (self.ln_moment(c) + ln_kappa(c) - ln_delta) / c
    }

    /// The Chernoff bound on `ln δ` at `ε`, from one moment.
    pub(crate) fn chernoff_ln_delta(&self, c: f64, epsilon: f64) -> f64 {
        self.ln_moment(c) + ln_kappa(c) - c * epsilon
    }

    /// An upper bound on `ln |M(c + iu)|` for all `u ≥ t`.
    fn ln_tail(&self, c: f64, t: f64, ln_moments: &[f64]) -> f64 {
        let exponent = self.exponent();
        self.terms
            .iter()
            .zip(ln_moments)
            .map(|(term, &ln_moment)| {
                term.count
                    * match term.step {
                        Step::Gaussian { sigma } => (c * c + c - t * t) / (2.0 * sigma * sigma),
                        Step::Sampled(pair) => pair.ln_tail_bound(c, t, exponent, ln_moment, None),
                    }
            })
            .sum()
    }
}

/// `M` at the nodes of one contour, good for `δ` at every `ε` near the one it was made for.
#[derive(Clone, Debug)]
pub(crate) struct Contour {
    c: f64,
    step: f64,
    nodes: Vec<Node>,
    /// `ln` of the truncated nodes' bound, without `e^(−cε)`.
    ln_truncated: f64,
    /// Pairs `(s, ln κ(s) M(s))` for the bounds on aliasing, `s < c` and `s > c`.
    below: Vec<(f64, f64)>,
    above: Vec<(f64, f64)>,
    /// Where it was made for a few steps, how these were divided, and the contours of the shells
    /// below this one.
    few: Option<Few>,
    shells: Vec<Contour>,
}

/// Where a contour may run, and what that costs.
struct Line {
    c: f64,
    below: Vec<(f64, f64)>,
    above: Vec<(f64, f64)>,
    /// The period `D` at which the first alias on each side falls below the tolerance.
    period: f64,
}

impl Line {
    fn new(ln_moment: impl Fn(f64) -> f64, c: f64, epsilon: f64, ln_tolerance: f64) -> Self {
        let at = |s: f64| (s, ln_kappa(s) + ln_moment(s));
        let period = |&(s, ln): &(f64, f64)| {
            (ln - s * epsilon - ln_tolerance + 2.0).max(1.0) / (s - c).abs()
        };
        // Each side has one best s, which lies nearer to c the heavier the tail.
        let best = |parts: &[f64]| {
            let mut bounds = vec![at(parts[0] * c)];
            for &part in &parts[1..] {
                let next = at(part * c);
                let worse = period(&next) > period(&bounds[bounds.len() - 1]);
                bounds.push(next);
                if worse {
                    break;
                }
            }
            bounds
        };
        let below = best(&[0.0, 0.4, 0.7, 0.85, 0.93, 0.97]);
        let above = best(&[2.5, 1.6, 1.3, 1.15, 1.07, 1.03, 1.015]);
        let least = |bounds: &[(f64, f64)]| bounds.iter().map(period).fold(f64::INFINITY, f64::min);
        let period = least(&below).max(least(&above));
        Self { c, below, above, period }
    }
}

#[derive(Clone, Copy, Debug)]
struct Node {
    t: f64,
    /// `ln M(c + it)`, of any branch.
    ln_moment: Complex64,
    /// Sum of the sizes of what `ln_moment` is the sum of: they may cancel, their rounding not.
    size: f64,
    /// Bound on the relative error of `M(c + it)`.
    error: f64,
}

/// Contours with more nodes than this are given up.
const MOST_NODES: usize = 100_000;

/// And so are those that need more evaluations than this, a second or two.
const MOST_WORK: usize = 12_000_000;

impl Contour {
    /// A contour through about `c` on which `δ` near `epsilon` comes out within about
    /// `e^ln_tolerance`, if a limited number of nodes gives that.
    ///
    /// The best `c` for the Chernoff bound can lie where `M` is about to explode, and there the
    /// aliases from above fade slowly; a smaller `c` then needs fewer nodes for the same answer.
    /// Its nodes are larger, though, and so is their rounding: by at most `e^most_loss`.
    ///
    /// Outputs of a few steps may be divided by how much they tell.
    pub(crate) fn new(
        process: &Process,
        c: f64,
        epsilon: f64,
        ln_tolerance: f64,
        most_loss: f64,
        divide: bool,
    ) -> Option<Self> {
        let loss = |line: &Line, c: f64| {
            process.chernoff_ln_delta(line.c, epsilon) - process.chernoff_ln_delta(c, epsilon)
        };
        let at = |c: f64| Line::new(|s| process.ln_moment(s), c, epsilon, ln_tolerance);
        let mut line = at(c);
        for part in [0.8, 0.6, 0.45, 0.3] {
            if line.period * line.c < 70.0 {
                break;
            }
            let next = at(part * c);
            if next.period > line.period || loss(&next, c) > most_loss {
                break;
            }
            line = next;
        }
        let Line { c, below, above, period } = line;
        let ln_moments: Vec<f64> = process
            .terms
            .iter()
            .map(|term| match term.step {
                Step::Gaussian { .. } => 0.0,
                Step::Sampled(pair) => pair.ln_moment(c, process.exponent()),
            })
            .collect();
        let mut new = Self::empty(Line { c, below, above, period });
        if divide
            && let [Term { step: Step::Sampled(pair), count }] = process.terms.as_slice()
            && let Some(few) = Few::new(*pair, *count, epsilon, ln_tolerance)
            && new.fill_few(few, epsilon, ln_tolerance, ln_moments[0])
        {
            return Some(new);
        }
        new.nodes.clear();
        new.shells.clear();
        new.few = None;
        new.fill(process, epsilon, ln_tolerance, &ln_moments).then_some(new)
    }

    /// A contour without nodes.
    fn empty(line: Line) -> Self {
        let Line { c, below, above, period } = line;
        Self {
            c,
            step: 2.0 * PI / period,
            nodes: Vec::new(),
            ln_truncated: f64::INFINITY,
            below,
            above,
            few: None,
            shells: Vec::new(),
        }
    }

    /// [`fill`](Self::fill) for a few equal steps: the largest losses here, a contour for each shell
    /// below.
    fn fill_few(&mut self, few: Few, epsilon: f64, ln_tolerance: f64, ln_moment: f64) -> bool {
        self.few = Some(few);
        let ramps = shell::ramps(&few, epsilon);
        self.fill_shells(few, &ramps, epsilon, ln_tolerance, ln_moment)
            || self.fill_shells(few, &ramps[..1], epsilon, ln_tolerance, ln_moment)
    }

    fn fill_shells(
        &mut self,
        few: Few,
        ramps: &[Ramp],
        epsilon: f64,
        ln_tolerance: f64,
        ln_moment: f64,
    ) -> bool {
        self.shells.clear();
        #[expect(clippy::cast_precision_loss, reason = "a small number")]
        let ln_tolerance = ln_tolerance - (ramps.len() as f64).ln();
        for first in 0..ramps.len() - 1 {
            match Self::of_shell(&few, &ramps[first..], epsilon, ln_tolerance) {
                Some(shell) => self.shells.push(shell),
                None => return false,
            }
        }
        let top = Few { ramp: ramps[ramps.len() - 1], ..few };
        let (c, step) = (self.c, self.step);
        self.walk(
            epsilon,
            ln_tolerance,
            few::reach(top.pair, top.ramp),
            |most| Walk::new(top, c, step, most, ln_moment),
            |t| top.ln_tail(c, t, ln_moment),
        )
    }

    /// The contour of the shell between the first two ramps.
    fn of_shell(few: &Few, ramps: &[Ramp], epsilon: f64, ln_tolerance: f64) -> Option<Self> {
        let steps = f64::from(few.steps);
        // Farther than the ramp alone would need: the next one is in the way of the bounds.
        let reach = 2.5 * few::reach(few.pair, ramps[0]);
        let shell = Shell::new(few.pair, few.steps, ramps, 16.0 / epsilon, reach)?;
        let most = shell.most_order / 2.6;
        let chernoff = |order: f64| {
            let c = order - 1.0;
            let within = c <= most;
            if within { steps * shell.ln_sum(c) + ln_kappa(c) - c * epsilon } else { f64::INFINITY }
        };
        let (order, _) = minimum::over_reals(chernoff, 1.0 + 0.5 * most);
        let c = order - 1.0;
        let line = Line::new(|s| steps * shell.ln_moment(s), c, epsilon, ln_tolerance);
        let mut new = Self::empty(line);
        let ln_moment = shell.ln_moment(c);
        let step = new.step;
        new.walk(
            epsilon,
            ln_tolerance,
            reach,
            |most| {
                (most <= 1.001 * reach).then(|| Walk::of_shell(&shell, c, step, reach, ln_moment))
            },
            |t| shell.ln_tail(c, t),
        )
        .then_some(new)
    }

    /// Computes nodes, up to about `reach` at first, until the rest is provably small.
    fn walk(
        &mut self,
        epsilon: f64,
        ln_tolerance: f64,
        reach: f64,
        make: impl Fn(f64) -> Option<Walk>,
        ln_tail: impl Fn(f64) -> f64,
    ) -> bool {
        let (c, step) = (self.c, self.step);
        let bound = |ln_size: f64, t: f64| ln_size - c * epsilon - (PI * t.max(1e-300)).ln();
        let mut most = reach.max(16.0 * step);
        loop {
            let Some(mut walk) = make(most) else { return false };
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "capped")]
            let nodes = (most / step).min(1e9) as usize;
            if nodes > MOST_NODES || walk.points() * nodes > MOST_WORK {
                return false;
            }
            self.nodes.clear();
            let mut next_proof = 1;
            for k in 0..nodes {
                #[expect(clippy::cast_precision_loss, reason = "at most a hundred thousand nodes")]
                let t = step * k as f64;
                let node = Node::of_few(t, &walk.next());
                if node.ln_moment.re.is_nan() || !node.error.is_finite() {
                    return false;
                }
                self.nodes.push(node);
                if k >= next_proof && bound(node.ln_moment.re, t) < ln_tolerance - 0.5 {
                    let ln_rest = walk.ln_bound(ln_tail(t + step));
                    if bound(ln_rest, t) <= ln_tolerance {
                        self.ln_truncated = ln_rest - (PI * t).ln();
                        return true;
                    }
                    next_proof = k + 2 + k / 6;
                }
            }
            most *= 2.0;
        }
    }

    /// Computes nodes until the rest is provably small; false if that does not come about.
    fn fill(
        &mut self,
        process: &Process,
        epsilon: f64,
        ln_tolerance: f64,
        ln_moments: &[f64],
    ) -> bool {
        let mut quadratures: Vec<Option<Quadrature>> = Vec::new();
        let mut prepared = 0;
        let mut next_proof = 1;
        let mut work = 0;
        for k in 0..MOST_NODES {
            #[expect(clippy::cast_precision_loss, reason = "at most a hundred thousand nodes")]
            let t = self.step * k as f64;
            if k >= prepared {
                prepared = (2 * k).max(16);
                #[expect(clippy::cast_precision_loss, reason = "at most a hundred thousand nodes")]
                let most = self.step * prepared as f64;
                quadratures.clear();
                for (term, &ln_moment) in process.terms.iter().zip(ln_moments) {
                    quadratures.push(match term.step {
                        Step::Gaussian { .. } => None,
                        Step::Sampled(pair) => {
                            let exponent = process.exponent();
                            match Quadrature::new(pair, self.c, most, exponent, ln_moment) {
                                None => return false,
                                some => some,
                            }
                        }
                    });
                }
            }
            work += quadratures.iter().flatten().map(Quadrature::points).sum::<usize>();
            if work > MOST_WORK {
                return false;
            }
            let node = node(process, &quadratures, self.c, t);
            // A moment of zero is fine, one that is not known is not.
            if node.ln_moment.re.is_nan()
                || node.ln_moment.re == f64::INFINITY
                || !node.error.is_finite()
            {
                return false;
            }
            self.nodes.push(node);
            let bound = |ln_size: f64| ln_size - self.c * epsilon - (PI * t.max(1e-300)).ln();
            if k >= next_proof && bound(node.ln_moment.re) < ln_tolerance - 0.5 {
                let ln_tail = process.ln_tail(self.c, t + self.step, ln_moments);
                if bound(ln_tail) <= ln_tolerance {
                    self.ln_truncated = ln_tail - (PI * t).ln();
                    return true;
                }
                next_proof = k + 2 + k / 6;
            }
        }
        false
    }

    /// Bounds on `δ` at `epsilon`, and the value of the sum between them.
    pub(crate) fn delta(&self, epsilon: f64) -> Bounds {
        let (mut sum, mut error) = (0.0, (self.ln_truncated - self.c * epsilon).exp());
        for (k, node) in self.nodes.iter().enumerate() {
            let s = Complex64::new(self.c, node.t);
            let exponent = node.ln_moment - s * epsilon;
            let value = exponent.exp() / (s * (s + 1.0));
            let share = if k == 0 { 0.5 } else { 1.0 } * self.step / PI;
            let parts = node.size + s.norm() * epsilon;
            sum += share * value.re;
            error += share * value.norm() * (node.error + ROUNDING * (20.0 + 4.0 * parts));
            // Each partial sum is rounded, and may be larger than what remains of it.
            error += ROUNDING * sum.abs();
        }
        let aliased = self.aliased(epsilon);
        let missing = self.few.map_or(0.0, |few| few.missing(epsilon));
        let (mut lower, mut upper) = (sum - aliased - error, sum + error + missing);
        // Far below the ε that it was made for, that is most of it.
        sum += missing;
        for shell in &self.shells {
            let found = shell.delta(epsilon);
            sum += found.value;
            lower = lower.max(0.0) + found.lower;
            upper += found.upper;
        }
        let room = 1.0 + 4.0 * f64::EPSILON * (1.0 + self.shells.len() as f64);
        Bounds {
            value: sum,
            lower: (lower / room).clamp(0.0, 1.0),
            upper: (upper * room).clamp(0.0, 1.0),
        }
    }

    /// A bound on the aliases, all of which are positive.
    fn aliased(&self, epsilon: f64) -> f64 {
        let period = 2.0 * PI / self.step;
        let side = |bounds: &[(f64, f64)]| {
            bounds
                .iter()
                .map(|&(s, ln)| {
                    let ln_ratio = -(s - self.c).abs() * period;
                    (ln - s * epsilon + ln_ratio).exp() / -ln_ratio.exp_m1()
                })
                .fold(f64::INFINITY, f64::min)
        };
        side(&self.below) + side(&self.above)
    }
}

/// A number that lies between two others for sure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Best guess; not clamped.
    pub(crate) value: f64,
    pub(crate) lower: f64,
    pub(crate) upper: f64,
}

impl Node {
    /// A value with its own bound; where it is lost in that, the truth has at most twice its size, and
    /// whatever is written in its place is off by at most three times as much.
    fn of_few(t: f64, value: &few::Value) -> Self {
        let size = value.value.norm();
        let (own, error) = if size > 2.0 * value.error {
            (value.value.ln(), value.error / size)
        } else {
            (Complex64::from(value.error.ln()), 4.0)
        };
        let ln_moment = own + value.ln_scale;
        Self { t, ln_moment, size: own.norm() + value.ln_scale.abs(), error }
    }
}

/// `ln M(c + it)` of the whole process.
fn node(process: &Process, quadratures: &[Option<Quadrature>], c: f64, t: f64) -> Node {
    let mut ln_moment = Complex64::ZERO;
    let (mut size, mut ln_error) = (0.0, 0.0);
    let mut add = |part: Complex64| {
        ln_moment += part;
        size += part.norm();
    };
    for (term, quadrature) in process.terms.iter().zip(quadratures) {
        match (term.step, quadrature) {
            (Step::Gaussian { sigma }, _) => {
                let s = Complex64::new(c, t);
                add(s * (s + 1.0) * (term.count / (2.0 * sigma * sigma)));
            }
            (Step::Sampled(_), Some(quadrature)) => {
                let (excess, error) = quadrature.moment_m1(t);
                let modulus = (excess + 1.0).norm();
                if modulus > error {
                    add(ln_1p(excess) * term.count);
                    ln_error += term.count * (error / modulus).ln_1p();
                } else if modulus <= error {
                    // Lost in its error `e`: the truth has at most twice that size, in any
                    // direction, so that e^T is off by at most (2^T + 1) e^T, below (4^T - 1) e^T.
                    add(Complex64::from(error.ln() * term.count));
                    ln_error += term.count * 4.0_f64.ln();
                } else {
                    // Not a number: nothing is known.
                    ln_error = f64::INFINITY;
                }
            }
            (Step::Sampled(_), None) => ln_error = f64::INFINITY,
        }
    }
    Node { t, ln_moment, size, error: ln_error.exp_m1() }
}
