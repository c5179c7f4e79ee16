//! Tails of pairs with a bounded loss, sampled and not.

use crate::history::Bounded;
use crate::pld::tails::{Parts, Side};

/// Everything above the level, or everything below.
const ALL: Parts = Parts { p: 1.0, q: 1.0 };
const NONE: Parts = Parts { p: 0.0, q: 0.0 };

/// What of both outputs lies where the loss is above `level`, and what where it is not.
pub(super) fn split(pair: Bounded, level: f64) -> (Parts, Parts) {
    match pair {
        Bounded::Laplace { scale } => laplace(scale.recip(), level),
        Bounded::DiscreteLaplace { rate, shift } => discrete_laplace(rate, shift, level),
        Bounded::Pure { epsilon } => {
            let unlikely = 1.0 / (1.0 + epsilon.exp());
            atoms(epsilon, 1.0 - unlikely, unlikely, level)
        }
    }
}

/// Losses `epsilon`, `−epsilon` and 0 with probability `up`, `down` and what is left.
pub(super) fn atoms(epsilon: f64, up: f64, down: f64, level: f64) -> (Parts, Parts) {
    let zero = (1.0 - up - down).max(0.0);
    let (mut above, mut below) = (NONE, NONE);
    for (loss, p, q) in [(epsilon, up, down), (0.0, zero, zero), (-epsilon, down, up)] {
        let side = if loss > level { &mut above } else { &mut below };
        side.p += p;
        side.q += q;
    }
    (above, below)
}

/// Laplace noise around 0 against around `greatest`, both in scales of the noise: the loss is
/// `greatest` left of 0 and falls by 2 for each scale to the right, down to `−greatest`.
fn laplace(greatest: f64, level: f64) -> (Parts, Parts) {
    if level >= greatest {
        return (NONE, ALL);
    }
    if level < -greatest {
        return (ALL, NONE);
    }
    let place = 0.5 * (greatest - level);
    let (p, q) = (0.5 * (-place).exp(), 0.5 * (place - greatest).exp());
    (Parts { p: 1.0 - p, q }, Parts { p, q: 1.0 - q })
}

/// The same for whole numbers: at `x` between 0 and `shift` the loss is `rate (shift − 2x)`.
fn discrete_laplace(rate: f64, shift: f64, level: f64) -> (Parts, Parts) {
    if level >= rate * shift {
        return (NONE, ALL);
    }
    if level < -rate * shift {
        return (ALL, NONE);
    }
    // The last place above the level.
    let last = (0.5 * (shift - level / rate)).ceil() - 1.0;
    let last = last.clamp(0.0, shift - 1.0);
    let tail = |steps: f64| (-rate * steps).exp() / (1.0 + (-rate).exp());
    let (p, q) = (tail(last + 1.0), tail(shift - last));
    (Parts { p: 1.0 - p, q }, Parts { p, q: 1.0 - q })
}

/// The split of a pair `P`, `Q` on a Poisson sample with rate `q`. The new loss rises with the old
/// one, so that a level of one is a level of the other.
pub(super) fn sampled(pair: Bounded, q: f64, side: Side, level: f64) -> (Parts, Parts) {
    match side {
        // (1 − q) Q + q P against Q: the loss is ln(1 + q (e^L − 1)).
        Side::Remove => {
            let inside = level.exp_m1() / q;
            if inside <= -1.0 {
                return (ALL, NONE);
            }
            let before = if level > 500.0 { level - q.ln() } else { inside.ln_1p() };
            let mixed = |part: Parts| Parts { p: (1.0 - q) * part.q + q * part.p, q: part.q };
            let (above, below) = split(pair, before);
            (mixed(above), mixed(below))
        }
        // P against (1 − q) P + q Q: the loss is −ln(1 + q (e^−L − 1)).
        Side::Add => {
            let inside = (-level).exp_m1() / q;
            if inside <= -1.0 {
                return (NONE, ALL);
            }
            let before = if level < -500.0 { level + q.ln() } else { -inside.ln_1p() };
            let mixed = |part: Parts| Parts { p: part.p, q: (1.0 - q) * part.p + q * part.q };
            let (above, below) = split(pair, before);
            (mixed(above), mixed(below))
        }
    }
}
