//! Seeded Gaussian noise, rounded to the grid.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;

use super::{CHUNK, FIRST_CHUNK};
use crate::grid::round_to_whole;

/// Fills `steps` with draws of standard deviation `stddev` steps, chunk by chunk.
pub(super) fn fill(steps: &mut [f64], stddev: f64, key: &[u8; 32]) {
    steps.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, steps)| {
        let mut rng = stream(key, FIRST_CHUNK + chunk as u64);
        for step in steps {
            *step = draw(stddev, &mut rng);
        }
    });
}

/// One draw for a count, from the count's own stream.
pub(super) fn count(stddev: f64, key: &[u8; 32], number: u64) -> f64 {
    draw(stddev, &mut stream(key, number))
}

/// One of the `2^64` streams under a key.
pub(super) fn stream(key: &[u8; 32], stream: u64) -> ChaCha20Rng {
    let mut rng = ChaCha20Rng::from_seed(*key);
    rng.set_stream(stream);
    rng
}

/// `N(0, stddev²)`, to the nearest whole number. `stddev` is at most `2^47` and a draw at most
/// 16 deviations, so the rounding is exact.
fn draw(stddev: f64, rng: &mut impl Rng) -> f64 {
    let normal: f64 = StandardNormal.sample(rng);
    round_to_whole(normal * stddev)
}
