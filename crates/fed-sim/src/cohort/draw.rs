//! Cohorts from random words, without a rounding anywhere.
//!
//! A cohort is priced at a probability; drawn with one that is larger by `2^-53` it would cost more
//! than is said. So nothing here is computed in floating point: coins compare 128 random bits with
//! the probability's own digits, and whole numbers are drawn by rejection.

use std::collections::HashSet;

use rand::Rng;

/// Clients whose coins share a word of randomness.
const LANES: usize = 64;

/// Every index below `population` on its own with probability `q`, ascending.
///
/// Precisely with `q` rounded down to a multiple of `2^-128`: that is `q` itself from `2^-76` on,
/// and never more. Each client compares a uniform number with `q`, binary digit by digit, until
/// they differ. A random word is a digit for each of 64 clients, all of which have differed after
/// about eight words, whatever `q` is.
pub(super) fn poisson(population: usize, q: f64, rng: &mut impl Rng) -> Vec<usize> {
    if q >= 1.0 {
        return (0..population).collect();
    }
    let digits = digits(q);
    let mut cohort = Vec::with_capacity((1.2 * q * population as f64) as usize + 8);
    for start in (0..population).step_by(LANES) {
        let lanes = LANES.min(population - start);
        let mut open = u64::MAX >> (LANES - lanes);
        let (mut taken, mut rest) = (0_u64, digits);
        // Numbers that agree with all digits to the last that is not zero are not below `q`.
        while open != 0 && rest != 0 {
            let word = rng.next_u64();
            if rest >> 127 == 1 {
                taken |= open & !word;
                open &= word;
            } else {
                open &= !word;
            }
            rest <<= 1;
        }
        while taken != 0 {
            cohort.push(start + taken.trailing_zeros() as usize);
            taken &= taken - 1;
        }
    }
    cohort
}

/// The first 128 binary digits of `0 ≤ q < 1`, the largest on top: `q · 2^128`, rounded down.
fn digits(q: f64) -> u128 {
    // A power of two changes no digit, and the cast rounds towards zero.
    (q * 2.0_f64.powi(128)) as u128
}

/// `size` of the indices below `population`, every such set with the same probability, ascending:
/// Floyd's algorithm (Bentley and Floyd 1987).
///
/// # Panics
/// If `size` is larger than `population`.
pub(super) fn fixed_size(population: usize, size: usize, rng: &mut impl Rng) -> Vec<usize> {
    assert!(size <= population, "a cohort comes from its population");
    let mut taken = HashSet::with_capacity(size);
    for last in population - size..population {
        let drawn = below(last as u64 + 1, rng) as usize;
        if !taken.insert(drawn) {
            taken.insert(last);
        }
    }
    let mut cohort: Vec<usize> = taken.into_iter().collect();
    cohort.sort_unstable();
    cohort
}

/// Uniform in `0..bound`, exactly, by rejection; `bound ≥ 1`.
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
