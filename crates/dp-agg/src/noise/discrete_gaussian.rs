//! The exact discrete Gaussian on the integers, over machine integers.
//!
//! `P(x) ∝ exp(−x² / (2σ²))` for a whole `σ`: no rounding happens anywhere, so what is drawn has
//! this law to the last bit if the generator's bits are uniform. The method is that of Canonne,
//! Kamath and Steinke ([CKS20], Algorithms 1 to 3): a discrete Laplace draw of scale `t` is kept
//! with probability `exp(−(|y| − σ²/t)² / (2σ²))`. Any whole `t` is right; `t = σ` makes the
//! exponent `(|y| − σ)² / (2σ²)`, a ratio of whole numbers below `2^128`.
//!
//! All randomness is in *Bernoulli* trials of rational probability `n/d`. A trial compares a
//! uniform number with `n/d`, 64 bits at a time: the ratio in `f64` decides unless the first 64
//! bits agree with it to about `2^-48`; then the comparison goes on in exact long division.
//!
//! [CKS20]: https://arxiv.org/abs/2004.00010

use rand::rngs::SysRng;
use rand::{Rng, TryRng};
use rayon::prelude::*;

use super::simulation::stream;
use super::{CHUNK, FIRST_CHUNK};
use crate::error::AggregateError;
use crate::mistake::{Mistake, made};

/// A fresh key of the operating system.
pub(super) fn system_key() -> Result<[u8; 32], AggregateError> {
    let mut key = [0; 32];
    if made(Mistake::ReleaseKeyFixed) {
        return Ok(key);
    }
    SysRng
        .try_fill_bytes(&mut key)
        .map_err(|error| AggregateError::Entropy { message: error.to_string() })?;
    Ok(key)
}

/// How much larger the square of the scale is than that of the deviation that is priced, as a root:
/// `s` in the theorem of the module above.
const SMOOTHING: f64 = 8.0;

/// Fills `steps` with draws that cost what a deviation of `stddev` steps costs.
pub(super) fn fill(steps: &mut [f64], stddev: f64, key: &[u8; 32]) {
    let scale = whole_scale(stddev);
    steps.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, steps)| {
        let mut rng = stream(key, FIRST_CHUNK + chunk as u64);
        for step in steps {
            *step = draw(scale, &mut rng) as f64;
        }
    });
}

/// One draw for a count, from the count's own stream.
pub(super) fn count(stddev: f64, key: &[u8; 32], number: u64) -> f64 {
    if stddev > 0.0 { draw(whole_scale(stddev), &mut stream(key, number)) as f64 } else { 0.0 }
}

/// The least whole scale whose square is `stddev²` and [`SMOOTHING`]² or more; at most `2^47 + 1`,
/// as the spec checked.
fn whole_scale(stddev: f64) -> u64 {
    if made(Mistake::ScaleRoundedDown) {
        return stddev.floor() as u64;
    }
    let scale = stddev.mul_add(stddev, SMOOTHING * SMOOTHING).sqrt();
    // Two roundings of half a unit and this one's own: raised by two units.
    (scale * (1.0 + 2.0 * f64::EPSILON)).ceil() as u64
}

/// One draw from the discrete Gaussian of scale `scale`, in `1..=2^47 + 1`.
fn draw(scale: u64, rng: &mut impl Rng) -> i64 {
    let twice_square = 2 * u128::from(scale) * u128::from(scale);
    let twice_square_estimate = 2.0 * scale as f64 * scale as f64;
    loop {
        let (magnitude, negative) = discrete_laplace(scale, rng);
        let distance = magnitude.abs_diff(scale);
        let exponent = Ratio {
            n: u128::from(distance) * u128::from(distance),
            d: twice_square,
            estimate: distance as f64 * distance as f64 / twice_square_estimate,
        };
        if bernoulli_exp(exponent, rng) {
            let magnitude = magnitude as i64;
            return if negative { -magnitude } else { magnitude };
        }
    }
}

/// `P(x) ∝ exp(−|x| / scale)`, as magnitude and sign.
fn discrete_laplace(scale: u64, rng: &mut impl Rng) -> (u64, bool) {
    loop {
        let low = below(scale, rng);
        let estimate = low as f64 / scale as f64;
        let exponent = Ratio { n: u128::from(low), d: u128::from(scale), estimate };
        if !bernoulli_exp_fraction(exponent, rng) {
            continue;
        }
        let mut high = 0;
        while bernoulli_exp_fraction(Ratio::ONE, rng) {
            high += 1;
        }
        let magnitude = low + scale * high;
        let negative = rng.next_u64() >> 63 == 1;
        if !(negative && magnitude == 0) {
            return (magnitude, negative);
        }
    }
}

/// A ratio `n/d` with `0 < d < 2^96`, and what it is to within a few parts in `2^53`.
#[derive(Clone, Copy)]
struct Ratio {
    n: u128,
    d: u128,
    estimate: f64,
}

impl Ratio {
    const ONE: Self = Self { n: 1, d: 1, estimate: 1.0 };
}

/// True with probability `exp(−n/d)`, exactly.
fn bernoulli_exp(exponent: Ratio, rng: &mut impl Rng) -> bool {
    let Ratio { n, d, .. } = exponent;
    if n <= d {
        return bernoulli_exp_fraction(exponent, rng);
    }
    for _ in 0..n / d {
        if !bernoulli_exp_fraction(Ratio::ONE, rng) {
            return false;
        }
    }
    let n = n % d;
    bernoulli_exp_fraction(Ratio { n, d, estimate: n as f64 / d as f64 }, rng)
}

/// True with probability `exp(−n/d)`, exactly, for `n ≤ d`: in a row of trials of probability
/// `n/d, n/2d, n/3d, …` the first failure comes at an odd place.
fn bernoulli_exp_fraction(exponent: Ratio, rng: &mut impl Rng) -> bool {
    // The first trial of probability 1 needs no randomness.
    let mut place = 1 + u32::from(exponent.n == exponent.d);
    while bernoulli(exponent, place, rng) {
        place += 1;
    }
    place % 2 == 1
}

/// Nearer to its bound than this, a trial is decided exactly: `2^-48`.
const MARGIN: f64 = 3.552_713_678_800_501e-15;

/// True with probability `n / (place · d)`, exactly; `n ≤ d`, and less where `place` is 1.
#[inline]
fn bernoulli(ratio: Ratio, place: u32, rng: &mut impl Rng) -> bool {
    let bits = rng.next_u64();
    // The estimate, its division and the dropped bits are off by a few times 2^-53 together: the
    // margin is generous.
    let estimate = ratio.estimate / f64::from(place);
    let uniform = (bits >> 11) as f64 * 2.0_f64.powi(-53);
    if (uniform - estimate).abs() > MARGIN {
        uniform < estimate
    } else {
        compare(bits, ratio.n, ratio.d * u128::from(place), rng)
    }
}

/// The slow and exact end of [`bernoulli`]: whether the uniform number that starts with `bits`
/// lies below `n/d`; `n < d < 2^127`.
#[cold]
fn compare(mut bits: u64, n: u128, d: u128, rng: &mut impl Rng) -> bool {
    let mut remainder = n;
    loop {
        let mut digits = 0_u64;
        for _ in 0..64 {
            remainder *= 2;
            digits = digits * 2 + u64::from(remainder >= d);
            if remainder >= d {
                remainder -= d;
            }
        }
        if bits != digits {
            return bits < digits;
        }
        if remainder == 0 {
            // The number is n/d or more, whatever follows.
            return false;
        }
        bits = rng.next_u64();
    }
}

/// Uniform in `0..bound`, exactly; `0 < bound ≤ 2^63`.
fn below(bound: u64, rng: &mut impl Rng) -> u64 {
    let mask = u64::MAX >> (bound - 1).max(1).leading_zeros();
    loop {
        let candidate = rng.next_u64() & mask;
        if candidate < bound {
            return candidate;
        }
    }
}

#[cfg(test)]
mod tests;
