//! A lower bound on ε from one run with many coin tosses.
//!
//! Each of `m` canaries is included or not by a fair coin, all independent. The attacker sees the
//! release, guesses the coins of `r` canaries (the ones it is surest of) and abstains on the rest;
//! `v` guesses are right. If the mechanism is `(ε, δ)`-differentially private for each canary, `v`
//! is hardly more than a binomial number with success probability `e^ε / (1 + e^ε)`
//! ([Steinke, Nasr, Jagielski 2023], Theorem 5.2):
//!
//! ```text
//! P[V ≥ v] ≤ β + 2·m·δ·α,   β = P[B ≥ v],  α = max over i ≥ 1 of P[v > B ≥ v − i] / i
//! ```
//!
//! Whatever ε makes what was seen less likely than `1 − confidence` is refuted.
//!
//! [Steinke, Nasr, Jagielski 2023]: https://arxiv.org/abs/2305.08846

use serde::{Deserialize, Serialize};
use statrs::distribution::{Binomial, Discrete, DiscreteCDF};

/// What an attacker achieved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guesses {
    /// Canaries, each included by a fair coin.
    pub canaries: u64,
    /// Coins that were guessed, at most `canaries`.
    pub made: u64,
    /// Guesses that were right, at most `made`.
    pub right: u64,
}

impl Guesses {
    /// The guesses of the attacker who scores every canary, takes the `positive` highest for
    /// included and the `negative` lowest for left out. `scores` come with the truth.
    ///
    /// How many are guessed must not depend on the truth.
    #[must_use]
    pub fn by_score(scores: &[(f64, bool)], positive: usize, negative: usize) -> Self {
        let mut sorted = scores.to_vec();
        sorted.sort_by(|a, b| b.0.total_cmp(&a.0));
        let positive = positive.min(sorted.len());
        let negative = negative.min(sorted.len() - positive);
        let hits = sorted[..positive].iter().filter(|(_, included)| *included).count();
        let misses =
            sorted[sorted.len() - negative..].iter().filter(|(_, included)| !included).count();
        Self {
            canaries: sorted.len() as u64,
            made: (positive + negative) as u64,
            right: (hits + misses) as u64,
        }
    }

    /// The largest ε that is refuted with this `confidence` in `(0, 1)`: with that probability
    /// over the coins and the mechanism, a mechanism that is `(ε, δ)`-differentially private
    /// gives a smaller number than its ε. 0 if nothing can be refuted, or if the numbers make no
    /// sense.
    #[must_use]
    pub fn lower_bound(&self, delta: f64, confidence: f64) -> f64 {
        let counts = self.right <= self.made && self.made <= self.canaries && self.made > 0;
        let chances = (0.0..=1.0).contains(&delta) && confidence > 0.0 && confidence < 1.0;
        if !(counts && chances) {
            return 0.0;
        }
        let refuted = |epsilon: f64| self.likelihood(epsilon, delta) < 1.0 - confidence;
        if !refuted(0.0) {
            return 0.0;
        }
        let (mut low, mut high) = (0.0, 1.0);
        // With every guess right the bound grows with the logarithm of their number: it ends.
        while refuted(high) && high < 64.0 {
            (low, high) = (high, high + 1.0);
        }
        for _ in 0..50 {
            let middle = 0.5 * (low + high);
            if refuted(middle) { low = middle } else { high = middle }
        }
        low
    }

    /// An upper bound on the probability of guessing so well if ε were this.
    fn likelihood(&self, epsilon: f64, delta: f64) -> f64 {
        let success = 1.0 / (1.0 + (-epsilon).exp());
        let Ok(binomial) = Binomial::new(success, self.made) else { return 1.0 };
        let beta = if self.right == 0 { 1.0 } else { binomial.sf(self.right - 1) };
        let (mut alpha, mut sum) = (0.0_f64, 0.0);
        if delta > 0.0 {
            for i in 1..=self.right {
                sum += binomial.pmf(self.right - i);
                alpha = alpha.max(sum / i as f64);
            }
        }
        (beta + 2.0 * self.canaries as f64 * delta * alpha).min(1.0)
    }
}

/// Shares of the canaries that are guessed, half of them taken for included and half for left
/// out, or all of them for included.
const SHARES: [f64; 4] = [1.0, 0.5, 0.2, 0.1];

/// A lower bound on ε from the best of a few ways to guess.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LowerBound {
    /// The largest ε that is refuted; 0: none is.
    pub epsilon: f64,
    /// The guesses that refute it.
    pub guesses: Guesses,
}

impl LowerBound {
    /// The bound from `scores` (the higher, the likelier included) and the truth, at `delta` and
    /// with this `confidence`.
    ///
    /// How many canaries are best guessed is not known beforehand: eight ways are tried, each at
    /// an eighth of the risk, so the best bound keeps the confidence.
    #[must_use]
    pub fn new(scores: &[(f64, bool)], delta: f64, confidence: f64) -> Self {
        let each = 1.0 - (1.0 - confidence) / (2 * SHARES.len()) as f64;
        let count = scores.len() as f64;
        let ways = SHARES.iter().flat_map(|share| {
            let made = (share * count).round() as usize;
            // All of them for included would be the coins alone.
            let positive = (made / 2).max(1);
            [(positive, made - made / 2), (positive, 0)]
        });
        let nothing = Self { epsilon: 0.0, guesses: Guesses::by_score(scores, 0, 0) };
        ways.map(|(positive, negative)| {
            let guesses = Guesses::by_score(scores, positive, negative);
            Self { epsilon: guesses.lower_bound(delta, each), guesses }
        })
        .fold(nothing, |best, found| {
            let better = found.epsilon > best.epsilon || best.guesses.made == 0;
            if better { found } else { best }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The paper's own numbers: its Appendix D (0.673), and Section 7 (2.675, cut off there).
    #[test]
    fn the_bound_is_that_of_the_paper() {
        let bound = |canaries, made, right, delta| {
            Guesses { canaries, made, right }.lower_bound(delta, 0.95)
        };
        assert!((bound(1000, 100, 75, 1e-4) - 0.673).abs() < 5e-4);
        assert!((bound(100_000, 1510, 1439, 1e-5) - 2.6755).abs() < 5e-4);
    }

    #[test]
    fn the_best_way_to_guess_is_found_and_pays_for_the_others() {
        // Only a few canaries are in plain sight.
        let scores: Vec<(f64, bool)> = (0..1000_u32)
            .map(|i| (f64::from(1000 - i), if i < 60 { true } else { i % 2 == 0 }))
            .collect();
        let found = LowerBound::new(&scores, 1e-5, 0.95);
        assert_eq!(found.guesses, Guesses { canaries: 1000, made: 50, right: 50 });
        assert!(found.epsilon > 1.5, "{found:?}");
        assert!(found.epsilon < found.guesses.lower_bound(1e-5, 0.95), "{found:?}");
        let chance: Vec<(f64, bool)> = (0..1000).map(|i| (f64::from(i), i % 2 == 0)).collect();
        assert!(LowerBound::new(&chance, 1e-5, 0.95).epsilon <= 0.0);
        assert!(LowerBound::new(&[], 1e-5, 0.95).epsilon <= 0.0);
    }

    /// With δ = 0 and all guesses right the bound is in closed form: `q^r = 1 − confidence`.
    #[test]
    fn all_right_without_delta_is_a_closed_form() {
        for made in [5_u64, 50, 1000] {
            let guesses = Guesses { canaries: 1000, made, right: made };
            let q = 0.05_f64.powf(1.0 / made as f64);
            let expected = (q / (1.0 - q)).ln();
            let found = guesses.lower_bound(0.0, 0.95);
            assert!((found - expected).abs() < 1e-6 * (1.0 + expected), "{found} for {expected}");
        }
    }

    #[test]
    fn chance_proves_nothing() {
        let guesses = Guesses { canaries: 1000, made: 1000, right: 510 };
        assert!(guesses.lower_bound(0.0, 0.95) <= 0.0);
        let nothing = Guesses { canaries: 10, made: 0, right: 0 };
        assert!(nothing.lower_bound(0.0, 0.95) <= 0.0);
    }

    #[test]
    fn delta_confidence_and_errors_lower_the_bound() {
        let bound = |right, delta, confidence| {
            Guesses { canaries: 2000, made: 400, right }.lower_bound(delta, confidence)
        };
        let best = bound(390, 0.0, 0.95);
        assert!(best > 2.5, "{best}");
        assert!(bound(390, 1e-5, 0.95) < best);
        assert!(bound(390, 1e-4, 0.95) < bound(390, 1e-5, 0.95));
        assert!(bound(390, 0.0, 0.99) < best);
        assert!(bound(380, 0.0, 0.95) < best);
    }

    #[test]
    fn the_surest_guesses_are_made() {
        let scores = [(0.9, true), (0.8, true), (0.5, false), (0.1, true), (-0.3, false)];
        let guesses = Guesses::by_score(&scores, 2, 1);
        assert_eq!(guesses, Guesses { canaries: 5, made: 3, right: 3 });
        let all = Guesses::by_score(&scores, 3, 9);
        assert_eq!(all, Guesses { canaries: 5, made: 5, right: 3 });
    }
}
