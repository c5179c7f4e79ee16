//! The canaries themselves: clients whose updates are random directions.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;
use rayon::prelude::*;

/// Coordinates whose signs share a word.
const WORD: usize = 64;

/// Words that are summed in single precision before the sum goes on in double.
const BLOCK: usize = 64;

/// Values of a word that are added side by side: a vector of the widest unit.
const LANES: usize = 16;

/// Directions of canaries: independent, uniform over the `2^dim` unit vectors whose coordinates
/// are all `±1/√dim`.
///
/// Only the signs are kept, one bit a coordinate: 25 kB a canary in 199,210 dimensions, where
/// numbers would take 800 kB. With any vector that does not depend on it, a direction has a cosine
/// of mean 0 and variance `1/dim` exactly, as one that is uniform on the sphere has; and its law is
/// near normal, unless a few coordinates hold most of the vector.
pub struct Canaries {
    dim: usize,
    /// Words a canary.
    words: usize,
    /// A set bit is a negative coordinate; canary by canary.
    signs: Vec<u64>,
}

impl Canaries {
    /// `count` directions in `dim` dimensions, drawn from `key`.
    ///
    /// # Panics
    /// If `dim` is 0.
    #[must_use]
    pub fn new(key: &[u8; 32], count: usize, dim: usize) -> Self {
        assert!(dim > 0, "a direction needs a dimension");
        let words = dim.div_ceil(WORD);
        let mut signs = vec![0; words * count];
        signs.par_chunks_mut(words).enumerate().for_each(|(canary, signs)| {
            let mut rng = ChaCha20Rng::from_seed(*key);
            rng.set_stream(canary as u64);
            signs.iter_mut().for_each(|word| *word = rng.next_u64());
        });
        Self { dim, words, signs }
    }

    /// Number of canaries.
    #[must_use]
    pub fn count(&self) -> usize {
        self.signs.len() / self.words
    }

    /// Number of dimensions.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Writes the update of a canary: its direction, `length` long.
    ///
    /// # Panics
    /// If there is no such canary, or if `update` does not have one number a dimension.
    pub fn write(&self, canary: usize, length: f64, update: &mut [f32]) {
        assert_eq!(update.len(), self.dim, "an update has one number a dimension");
        let size = (length / (self.dim as f64).sqrt()) as f32;
        let signs = &self.signs[canary * self.words..][..self.words];
        for (word, values) in signs.iter().zip(update.chunks_mut(WORD)) {
            for (bit, value) in values.iter_mut().enumerate() {
                *value = if word >> bit & 1 == 1 { -size } else { size };
            }
        }
    }

    /// The inner products of all directions with `vector`, in order, in parallel. They do not
    /// depend on the number of threads.
    ///
    /// # Panics
    /// If `vector` does not have one number a dimension.
    #[must_use]
    pub fn products(&self, vector: &[f32]) -> Vec<f64> {
        assert_eq!(vector.len(), self.dim, "a vector has one number a dimension");
        let size = (self.dim as f64).sqrt().recip();
        let product = |signs: &[u64]| {
            size * vectorized(
                #[inline(always)]
                || signed_sum(signs, vector),
            )
        };
        self.signs.par_chunks(self.words).map(product).collect()
    }

    /// The cosines of all directions with `vector`, in order; 0 if it is all zeros.
    ///
    /// # Panics
    /// As [`products`](Self::products).
    #[must_use]
    pub fn cosines(&self, vector: &[f32]) -> Vec<f64> {
        let norm = norm(vector);
        if norm > 0.0 {
            self.products(vector).iter().map(|product| (product / norm).clamp(-1.0, 1.0)).collect()
        } else {
            vec![0.0; self.count()]
        }
    }
}

/// The L2 norm of a vector.
pub(super) fn norm(vector: &[f32]) -> f64 {
    vector.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt()
}

/// Adds values to sums of their own, those with a set bit negated.
#[inline(always)]
fn add_signed(sums: &mut [f32; LANES], bits: u32, values: &[f32; LANES]) {
    for lane in 0..LANES {
        let sign = bits << (31 - lane) & 0x8000_0000;
        sums[lane] += f32::from_bits(values[lane].to_bits() ^ sign);
    }
}

/// The sum of the values, those with a set bit negated.
#[inline(always)]
fn signed_sum(signs: &[u64], vector: &[f32]) -> f64 {
    let mut total = 0.0;
    for (signs, values) in signs.chunks(BLOCK).zip(vector.chunks(BLOCK * WORD)) {
        // Four sums, so that no addition waits for the one before.
        let [mut a, mut b, mut c, mut d] = [[0.0_f32; LANES]; 4];
        let (words, tail) = values.as_chunks::<WORD>();
        for (word, values) in signs.iter().zip(words) {
            let (parts, _) = values.as_chunks::<LANES>();
            add_signed(&mut a, *word as u32, &parts[0]);
            add_signed(&mut b, (word >> LANES) as u32, &parts[1]);
            add_signed(&mut c, (word >> (2 * LANES)) as u32, &parts[2]);
            add_signed(&mut d, (word >> (3 * LANES)) as u32, &parts[3]);
        }
        for lane in 0..LANES {
            total +=
                f64::from(a[lane]) + f64::from(b[lane]) + f64::from(c[lane]) + f64::from(d[lane]);
        }
        if let Some(word) = signs.get(words.len()) {
            for (bit, value) in tail.iter().enumerate() {
                let value = f64::from(*value);
                total += if word >> bit & 1 == 1 { -value } else { value };
            }
        }
    }
    total
}

/// Runs `task`, compiled for the best vector unit of this machine.
#[inline(always)]
fn vectorized<R>(task: impl FnOnce() -> R) -> R {
    struct Task<F>(F);
    impl<R, F: FnOnce() -> R> pulp::WithSimd for Task<F> {
        type Output = R;
        #[inline(always)]
        fn with_simd<S: pulp::Simd>(self, simd: S) -> R {
            simd.vectorize(
                #[inline(always)]
                || (self.0)(),
            )
        }
    }
    pulp::Arch::new().dispatch(Task(task))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn updates(canaries: &Canaries) -> Vec<Vec<f32>> {
        (0..canaries.count())
            .map(|canary| {
                let mut update = vec![0.0; canaries.dim()];
                canaries.write(canary, 1.0, &mut update);
                update
            })
            .collect()
    }

    #[test]
    fn directions_are_unit_vectors_that_hardly_meet() {
        let dim = 10_007;
        let canaries = Canaries::new(&[1; 32], 3, dim);
        let again = Canaries::new(&[1; 32], 2, dim);
        let other = Canaries::new(&[2; 32], 1, dim);
        let directions = updates(&canaries);
        assert_eq!(directions[..2], updates(&again));
        for direction in &directions {
            assert!((norm(direction) - 1.0).abs() < 1e-6);
        }
        // Five standard errors of a cosine between independent directions.
        let most = 5.0 / (dim as f64).sqrt();
        assert!(canaries.cosines(&directions[0])[1..].iter().all(|cosine| cosine.abs() < most));
        assert!(other.cosines(&directions[0])[0].abs() < most);
        assert!((canaries.cosines(&directions[2])[2] - 1.0).abs() < 1e-6);
        assert!(canaries.cosines(&vec![0.0; dim]).iter().all(|cosine| *cosine == 0.0));
    }

    /// Against the plain sum in double precision, for lengths around those of words and blocks.
    #[test]
    fn products_are_those_of_a_plain_sum() {
        for dim in [1, 5, 63, 64, 65, 4095, 4096, 4097, 8200, 20_000] {
            let canaries = Canaries::new(&[3; 32], 4, dim);
            let vector: Vec<f32> = (1..=dim).map(|i| (i as f32 * 0.7).sin() * i as f32).collect();
            let plain = |update: &Vec<f32>| -> f64 {
                update.iter().zip(&vector).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
            };
            for (product, update) in canaries.products(&vector).iter().zip(&updates(&canaries)) {
                let error = (product - plain(update)).abs();
                assert!(error < 1e-6 * norm(&vector), "{dim}: {product}, off by {error}");
            }
        }
    }

    /// Changing these numbers changes every audited run: allowed, and announced.
    #[test]
    fn the_first_signs_are_stable() {
        let canaries = Canaries::new(&[7; 32], 2, 100);
        let expected = [
            4753173749397848308_u64,
            8104706558872646932,
            17250399114163879021,
            11957492525526826207,
        ];
        assert_eq!(canaries.signs, expected);
    }
}
