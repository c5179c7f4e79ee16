//! Random numbers that come out the same on every machine.
//!
//! Only integer arithmetic and exact floating-point operations: no logarithm, no sine, whose last
//! bit may differ between C libraries. What is called *normal* here is the sum of four uniforms,
//! mean 0, variance 1, never beyond ±3.47: bell-shaped, and without the outliers that would push
//! a digit off its picture.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// One stream of draws.
pub(super) struct Draws(ChaCha8Rng);

impl Draws {
    /// Stream number `stream` under `seed`.
    pub(super) fn new(seed: u64, stream: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        Self(rng)
    }

    /// Uniform in `[0, 1)`.
    #[inline]
    pub(super) fn uniform(&mut self) -> f32 {
        (self.0.next_u32() >> 8) as f32 * (1.0 / 16_777_216.0)
    }

    /// Mean 0, variance 1.
    #[inline]
    pub(super) fn normal(&mut self) -> f32 {
        let bits = self.0.next_u64();
        let sum = (bits & 0xFFFF) + (bits >> 16 & 0xFFFF) + (bits >> 32 & 0xFFFF) + (bits >> 48);
        // The sum of four uniforms on 0..=65535 has mean 131070 and variance 4·(2^32 − 1)/12.
        (sum as f32 - 131_070.0) * (1.732_050_8 / 65_536.0)
    }

    /// A whole number below `bound`, which is small.
    #[inline]
    pub(super) fn below(&mut self, bound: u32) -> u32 {
        ((u64::from(self.0.next_u32()) * u64::from(bound)) >> 32) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normals_have_mean_zero_and_variance_one() {
        let mut draws = Draws::new(3, 4);
        let values: Vec<f64> = (0..100_000).map(|_| f64::from(draws.normal())).collect();
        let mean = values.iter().sum::<f64>() / 1e5;
        let variance = values.iter().map(|value| value * value).sum::<f64>() / 1e5;
        assert!(mean.abs() < 0.015, "five standard errors: {mean}");
        assert!((variance - 1.0).abs() < 0.02, "{variance}");
    }

    #[test]
    fn streams_differ_and_repeat() {
        let first = |seed, stream| Draws::new(seed, stream).uniform().to_bits();
        assert_eq!(first(1, 2), first(1, 2));
        assert_ne!(first(1, 2), first(1, 3));
        assert_ne!(first(1, 2), first(2, 2));
    }
}
