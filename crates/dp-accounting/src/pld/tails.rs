//! Tails of the privacy loss in closed form.
//!
//! For a pair of output distributions `P`, `Q` with loss `L = ln P/Q`: how much of each lies
//! where the loss exceeds a number. That is all that a grid needs to know of a mechanism.

use crate::history::{Bounded, Mechanism};
use crate::normal::{output_of_replaced, upper_tail};
use crate::pld::bounded;

/// Which side of a pair is the true one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// With the record against without.
    Remove,
    /// Without the record against with.
    Add,
}

/// A mechanism whose loss has closed tails.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Loss {
    /// `(1 − q) N(0, σ²) + q N(1, σ²)` against `N(0, σ²)`, or the other way round; `q` may be 1.
    Sampled { q: f64, sigma: f64, side: Side },
    /// `(1 − q) N(0, σ²) + q N(±1, σ²)`, plus against minus.
    Replaced { q: f64, sigma: f64 },
    /// A pair with a bounded loss.
    Bounded(Bounded),
    /// The same on a Poisson sample with rate `q`, one way or the other.
    SampledBounded { q: f64, pair: Bounded, side: Side },
    /// Losses `epsilon`, `−epsilon` and 0 with these probabilities.
    Atoms { epsilon: f64, up: f64, down: f64 },
}

/// Parts of `P` and of `Q`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Parts {
    pub(crate) p: f64,
    pub(crate) q: f64,
}

impl Loss {
    /// The loss of a mechanism, if it has closed tails.
    pub(crate) fn of(mechanism: &Mechanism, side: Side) -> Option<Self> {
        Some(match *mechanism {
            Mechanism::Gaussian { sigma } => Self::Sampled { q: 1.0, sigma, side: Side::Remove },
            Mechanism::SampledGaussian { q, sigma } => Self::Sampled { q, sigma, side },
            Mechanism::ReplacedSampledGaussian { q, sigma } => Self::Replaced { q, sigma },
            Mechanism::Bounded(pair) => Self::Bounded(pair),
            Mechanism::SampledBounded { q, pair } => Self::SampledBounded { q, pair, side },
            Mechanism::Response { truth, other, .. } => {
                Self::Atoms { epsilon: (truth / other).ln(), up: truth, down: other }
            }
            _ => return None,
        })
    }

    /// What of `P` and `Q` lies where the loss is above `level`, and what where it is not.
    pub(crate) fn split(self, level: f64) -> (Parts, Parts) {
        match self {
            Self::Sampled { q, sigma, side } => {
                let exponent = if side == Side::Remove { level } else { -level };
                let inside = exponent.exp_m1() / q;
                if inside <= -1.0 && q < 1.0 {
                    // Below the least loss of one side, above the greatest of the other.
                    let all = Parts { p: 1.0, q: 1.0 };
                    return match side {
                        Side::Remove => (all, Parts::default()),
                        Side::Add => (Parts::default(), all),
                    };
                }
                let x = if q >= 1.0 {
                    0.5 + sigma * sigma * exponent
                } else if exponent > 500.0 {
                    0.5 + sigma * sigma * (exponent - q.ln())
                } else {
                    0.5 + sigma * sigma * inside.ln_1p()
                };
                let mixed = |sign: f64| {
                    let at = |mean: f64| upper_tail(sign * (x - mean) / sigma);
                    Parts { p: (1.0 - q) * at(0.0) + q * at(1.0), q: at(0.0) }
                };
                match side {
                    Side::Remove => (mixed(1.0), mixed(-1.0)),
                    Side::Add => {
                        let swap = |parts: Parts| Parts { p: parts.q, q: parts.p };
                        (swap(mixed(-1.0)), swap(mixed(1.0)))
                    }
                }
            }
            Self::Replaced { q, sigma } => {
                let x = output_of_replaced(level, q, sigma);
                let mixed = |sign: f64| {
                    let at = |mean: f64| upper_tail(sign * (x - mean) / sigma);
                    let blank = (1.0 - q) * at(0.0);
                    Parts { p: blank + q * at(1.0), q: blank + q * at(-1.0) }
                };
                (mixed(1.0), mixed(-1.0))
            }
            Self::Bounded(pair) => bounded::split(pair, level),
            Self::SampledBounded { q, pair, side } => bounded::sampled(pair, q, side, level),
            Self::Atoms { epsilon, up, down } => bounded::atoms(epsilon, up, down, level),
        }
    }

    /// What lies where the loss is above `low` and at most `high`, and what rounding may have done
    /// to it.
    ///
    /// A tail `t` errs by some 16 units of rounding of itself and by four times its argument's
    /// square, which is at most twice `|ln t|`; in a mixture of tails no more than that of all of
    /// it, for `y |ln(t/y)| ≤ t/e`.
    pub(crate) fn between(self, low: (Parts, Parts), high: (Parts, Parts)) -> (Parts, Parts) {
        let rounding = |tail: f64| {
            let units = 24.0 + 8.0 * tail.max(f64::MIN_POSITIVE).ln().abs();
            f64::EPSILON / 2.0 * tail * units
        };
        // The difference of the smaller tails keeps more digits.
        let part = |above: [f64; 2], below: [f64; 2]| {
            let [from, to] = if above[0] < below[0] { above } else { [below[1], below[0]] };
            // What is not a number must not pass for nothing.
            ((from - to).clamp(0.0, 1.0), rounding(from) + rounding(to))
        };
        let (p, p_rounding) = part([low.0.p, high.0.p], [low.1.p, high.1.p]);
        let (q, q_rounding) = part([low.0.q, high.0.q], [low.1.q, high.1.q]);
        (Parts { p, q }, Parts { p: p_rounding, q: q_rounding })
    }

    /// Losses between which all of `P` lies but for about `share` on each side.
    pub(crate) fn range(self, share: f64) -> (f64, f64) {
        let crossing = |down: bool| {
            let reached = |level: f64| {
                let (above, below) = self.split(if down { -level } else { level });
                if down { below.p <= share } else { above.p <= share }
            };
            let mut far = 1.0;
            while !reached(far) && far < 1e6 {
                far *= 2.0;
            }
            let mut near = 0.0;
            for _ in 0..40 {
                let middle = 0.5 * (near + far);
                if reached(middle) { far = middle } else { near = middle }
            }
            far
        };
        (-crossing(true), crossing(false))
    }
}
