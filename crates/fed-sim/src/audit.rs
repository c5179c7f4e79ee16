//! What an attacker could really tell: estimates and bounds of ε beside the proven one.
//!
//! An accountant proves an upper bound on ε. An audit plants *canaries*, artificial clients with
//! random unit directions as updates, and looks how well the release gives them away:
//!
//! - [`one_shot`] estimates ε from how much closer to the release the planted directions are than
//!   a random direction would be ([Andrew et al. 2023]). An estimate, with a confidence interval
//!   for its sampling error; it is no bound in either direction.
//! - [`one_run`] bounds ε from below, with a stated confidence, from how many fair coin tosses an
//!   attacker guesses right, one toss a canary for whether it took part ([Steinke, Nasr, Jagielski
//!   2023]). A bound above the proven ε shows a mistake.
//!
//! On the plain Gaussian mechanism, whose ε is known, both land where they should: see
//! `tests/audit.rs`.
//!
//! [Andrew et al. 2023]: https://arxiv.org/abs/2302.03098
//! [Steinke, Nasr, Jagielski 2023]: https://arxiv.org/abs/2305.08846

pub mod one_run;
pub mod one_shot;
mod pair;

use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use rand_distr::{Distribution, StandardNormal};

pub use pair::{Normal, epsilon_between};

/// The direction of canary number `canary`: uniform on the unit sphere in `dim` dimensions.
///
/// Directions of different canaries or keys are independent; none has to be stored.
#[must_use]
pub fn direction(key: &[u8; 32], canary: u64, dim: usize) -> Vec<f32> {
    let mut rng = ChaCha20Rng::from_seed(*key);
    rng.set_stream(canary);
    let mut values: Vec<f32> = StandardNormal.sample_iter(&mut rng).take(dim).collect();
    let norm = dot(&values, &values).sqrt();
    if norm > 0.0 {
        values.iter_mut().for_each(|value| *value = (f64::from(*value) / norm) as f32);
    }
    values
}

/// The cosine between two vectors, in `[-1, 1]`; 0 if one of them is all zeros.
///
/// # Panics
/// If their lengths differ.
#[must_use]
pub fn cosine(one: &[f32], other: &[f32]) -> f64 {
    assert_eq!(one.len(), other.len(), "vectors of one space");
    let norms = (dot(one, one) * dot(other, other)).sqrt();
    if norms > 0.0 { (dot(one, other) / norms).clamp(-1.0, 1.0) } else { 0.0 }
}

fn dot(one: &[f32], other: &[f32]) -> f64 {
    one.iter().zip(other).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directions_are_unit_vectors_that_hardly_meet() {
        let dim = 10_000;
        let one = direction(&[1; 32], 0, dim);
        assert!((dot(&one, &one) - 1.0).abs() < 1e-5);
        assert_eq!(one, direction(&[1; 32], 0, dim));
        for other in [direction(&[1; 32], 1, dim), direction(&[2; 32], 0, dim)] {
            // Five standard errors of a cosine between random directions.
            assert!(cosine(&one, &other).abs() < 5.0 / (dim as f64).sqrt());
        }
        assert!(cosine(&one, &vec![0.0; dim]).abs() <= 0.0);
    }
}
