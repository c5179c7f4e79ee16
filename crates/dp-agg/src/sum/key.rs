//! Keys for simulated noise that no two sums share.
//!
//! Seeded noise is only as good as its key. Two releases under one key differ by nothing but their
//! sums: whoever has both has the difference of two secrets without any noise. So the key of a
//! simulated round is a hash of the sum itself: two releases either have unrelated noise, or
//! everything in common.

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::{SecretSum, Tally};
use crate::rule::{Magnitude, UpdateRule, Weighting};

/// Coordinates that are hashed together, so that all cores share the work.
const CHUNK: usize = 8192;

/// Coordinates whose bytes are handed on at a time.
const BLOCK: usize = 64;

impl SecretSum {
    /// A key for the noise of this sum: a SHA-256 hash of `key`, the rule, the sum and its counts.
    ///
    /// It tells of the sum only what `key` does not hide: whoever knows `key` can recognise a sum
    /// that he guesses. It serves [`NoiseSource::Simulation`](crate::NoiseSource::Simulation), and
    /// nothing else. The result does not depend on the number of threads.
    #[must_use]
    pub fn noise_key(&self, key: &[u8; 32]) -> [u8; 32] {
        let chunks: Vec<[u8; 32]> = self.steps.par_chunks(CHUNK).map(hash_steps).collect();
        let mut hash = Sha256::new();
        hash.update(b"dp-agg noise key 1\0");
        hash.update(key);
        hash_rule(&mut hash, &self.rule);
        let Tally { clients, unclipped, zeroed, non_finite, within_estimate, weight } = self.tally;
        for count in [clients, unclipped, zeroed, non_finite, within_estimate, weight.to_bits()] {
            hash.update(count.to_le_bytes());
        }
        hash.update((self.steps.len() as u64).to_le_bytes());
        chunks.iter().for_each(|chunk| hash.update(chunk));
        hash.finalize().into()
    }
}

fn hash_steps(steps: &[f64]) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut bytes = [0; 8 * BLOCK];
    for steps in steps.chunks(BLOCK) {
        for (bytes, step) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(steps) {
            // One zero, not two.
            *bytes = (step + 0.0).to_bits().to_le_bytes();
        }
        hash.update(&bytes[..8 * steps.len()]);
    }
    hash.finalize().into()
}

fn hash_rule(hash: &mut Sha256, rule: &UpdateRule) {
    let UpdateRule { zeroing_threshold, magnitude, magnitude_estimate, clip_norm, weighting } =
        *rule;
    for value in [zeroing_threshold, magnitude_estimate, clip_norm] {
        hash.update([u8::from(value.is_some())]);
        hash.update(value.unwrap_or(0.0).to_bits().to_le_bytes());
    }
    hash.update([
        match magnitude {
            Magnitude::LargestCoordinate => 0,
            Magnitude::L2 => 1,
        },
        match weighting {
            Weighting::Uniform => 0,
            Weighting::Examples => 1,
        },
    ]);
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIM: usize = 20_000;

    fn rule() -> UpdateRule {
        UpdateRule { clip_norm: Some(1.0), ..UpdateRule::default() }
    }

    fn sum(rule: &UpdateRule, updates: &[&[f32]]) -> SecretSum {
        let mut sum = SecretSum::open(rule, updates[0].len());
        for update in updates {
            sum.add(update, 3);
        }
        sum
    }

    #[test]
    fn equal_sums_have_one_key_whoever_summed_them() {
        let (a, b) = (vec![0.001; DIM], vec![-0.002; DIM]);
        let both = sum(&rule(), &[&a, &b]);
        let mut merged = sum(&rule(), &[&b]);
        merged.merge(sum(&rule(), &[&a]));
        assert_eq!(both.noise_key(&[1; 32]), merged.noise_key(&[1; 32]));
        // A zero that was subtracted from a zero is the same zero.
        let zeros = sum(&rule(), &[&[0.0; 3]]);
        let negative = sum(&rule(), &[&[-0.0; 3]]);
        assert_eq!(zeros.noise_key(&[1; 32]), negative.noise_key(&[1; 32]));
    }

    /// Whatever a release shows depends on: the key differs with each.
    #[test]
    fn another_sum_has_another_key() {
        let base = vec![0.001; DIM];
        let key = |sum: SecretSum| sum.noise_key(&[1; 32]);
        let mut keys = vec![key(sum(&rule(), &[&base]))];
        for coordinate in [0, 63, 64, 8191, 8192, DIM - 1] {
            let mut other = base.clone();
            other[coordinate] += 1e-7;
            keys.push(key(sum(&rule(), &[&other])));
        }
        // The same sum of more clients.
        keys.push(key(sum(&rule(), &[&base, &vec![0.0; DIM]])));
        keys.push(key(sum(&rule(), &[&base, &vec![f32::NAN; DIM]])));
        let rules = [
            UpdateRule { clip_norm: Some(1.5), ..rule() },
            UpdateRule { clip_norm: None, ..rule() },
            UpdateRule { zeroing_threshold: Some(9.0), ..rule() },
            UpdateRule { magnitude_estimate: Some(9.0), ..rule() },
            UpdateRule { magnitude: Magnitude::L2, ..rule() },
            UpdateRule { weighting: Weighting::Examples, ..rule() },
        ];
        keys.extend(rules.iter().map(|rule| key(sum(rule, &[&base]))));
        keys.push(sum(&rule(), &[&base]).noise_key(&[2; 32]));
        keys.push(key(sum(&rule(), &[&base[1..]])));
        let count = keys.len();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), count);
    }

    /// Changing this key changes every simulated run: allowed, and announced.
    #[test]
    fn the_key_is_stable() {
        let key = sum(&rule(), &[&[0.25, -0.5, 0.125]]).noise_key(&[7; 32]);
        assert_eq!(key[..8], [201, 211, 138, 92, 35, 51, 194, 90]);
    }
}
