//! A lower bound on ε from one run with many coin tosses.
//!
//! Each of `m` canaries is included or not by a fair coin, all independent. The attacker sees the
//! release, guesses the coins of `r` canaries (the ones it is surest of) and abstains on the rest;
//! `v` guesses are right. Whatever ε makes what was seen less likely than `1 − confidence` is
//! refuted. How likely it is at most is bounded in two ways, both of which hold, so that the
//! smaller one counts: by [`Curve`], which is the better one where `δ` matters, and by
//! [Steinke, Nasr, Jagielski 2023], Theorem 5.2,
//!
//! ```text
//! P[V ≥ v] ≤ β + 2·m·δ·α,   β = P[B ≥ v],  α = max over i ≥ 1 of P[v > B ≥ v − i] / i
//! ```
//!
//! with `B` a binomial number with success probability `e^ε / (1 + e^ε)`.
//!
//! [Steinke, Nasr, Jagielski 2023]: https://arxiv.org/abs/2305.08846

use serde::{Deserialize, Serialize};
use statrs::distribution::{Binomial, Discrete, DiscreteCDF};
use statrs::function::erf::erfc;

use super::curve::{Claim, Curve};

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
        let risk = 1.0 - confidence;
        let refuted = |epsilon: f64| {
            Curve::new([(epsilon, delta)]).is_refuted(self, risk)
                || self.likelihood(epsilon, delta) < risk
        };
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

    /// The bound of the theorem above on the probability of guessing so well if ε were this.
    fn likelihood(&self, epsilon: f64, delta: f64) -> f64 {
        let success = 1.0 / (1.0 + (-epsilon).exp());
        let Ok(binomial) = Binomial::new(success, self.made) else { return 1.0 };
        let beta = if self.right == 0 { 1.0 } else { binomial.sf(self.right - 1) };
        let (mut alpha, mut sum) = (0.0_f64, 0.0);
        if delta > 0.0 {
            for i in 1..=self.right {
                sum += binomial.pmf(self.right - i);
                alpha = alpha.max(sum / i as f64);
                // No later one is larger.
                if alpha * i as f64 >= 1.0 {
                    break;
                }
            }
        }
        (beta + 2.0 * self.canaries as f64 * delta * alpha).min(1.0)
    }
}

/// Shares of the canaries that are guessed, half of them taken for included and half for left
/// out, or half of them taken for included and no more.
const SHARES: [f64; 4] = [1.0, 0.5, 0.2, 0.1];

/// A few ways to guess, among which an attacker takes the best, and what that costs.
///
/// How many canaries are best guessed is not known beforehand: eight ways are tried, each at an
/// eighth of the risk, so that the best bound keeps the confidence. They depend on public numbers
/// alone: how many canaries there are, and how likely it is that one of those that are in takes
/// part in the run at all. Whoever takes part in no round cannot be told from who is out, so where
/// only included ones are guessed, there are no more guesses than canaries to be seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Ways {
    canaries: usize,
    /// Probability that a canary that is in takes part in a round at least.
    seen: f64,
    /// Standard deviation of what the other canaries of a round do to the sight of one of them.
    blur: f64,
    risk: f64,
}

impl Ways {
    /// Ways to guess so many canaries, of which an included one is `seen` with this probability, at
    /// this confidence of the best, both in `(0, 1]`.
    #[must_use]
    pub fn new(canaries: usize, seen: f64, confidence: f64) -> Self {
        Self { canaries, seen, blur: 0.0, risk: (1.0 - confidence) / (2 * SHARES.len()) as f64 }
    }

    /// The same where each canary that is in is drawn in a round with this probability, in so many
    /// dimensions: directions hide one another, the more the more of them there are.
    #[must_use]
    pub fn in_dimensions(self, dim: usize, probability: f64) -> Self {
        let others = 0.5 * self.canaries as f64 * probability;
        Self { blur: (others / dim.max(1) as f64).sqrt(), ..self }
    }

    /// How many are guessed to be in, and how many to be out, in each way.
    fn list(&self) -> impl Iterator<Item = (usize, usize)> {
        let count = self.canaries as f64;
        // Some three deviations short of what will be seen, and at most every other one is in.
        let visible = 0.5 * count * self.seen;
        let visible = if self.seen < 1.0 { visible - 3.0 * visible.sqrt() } else { visible };
        SHARES.into_iter().flat_map(move |share| {
            let made = (share * count).round() as usize;
            let positive = (made / 2).max(1);
            let seen = positive.min(visible.max(1.0) as usize);
            [(positive, made - made / 2), (seen, 0)]
        })
    }

    /// The largest bound that these ways can give at all: with every guess right.
    #[must_use]
    pub fn most(&self, delta: f64) -> f64 {
        let bound = |(positive, negative): (usize, usize)| {
            let made = (positive + negative).min(self.canaries) as u64;
            let all_right = Guesses { canaries: self.canaries as u64, made, right: made };
            all_right.lower_bound(delta, 1.0 - self.risk)
        };
        self.list().map(bound).fold(0.0, f64::max)
    }

    /// Whether a run without any noise would refute `claim`: one in which whoever took part is in
    /// plain sight, as many as are to be expected.
    #[must_use]
    pub fn could_refute(&self, claim: &Claim) -> bool {
        let count = self.canaries as f64;
        let visible = (0.5 * count * self.seen).floor();
        // Of those that were not seen, so many are out.
        let out = 0.5 / (1.0 - 0.5 * self.seen);
        // So many would be taken for the other kind, were all of them guessed, half way between.
        let mistaken = count * 0.5 * erfc(0.5 / self.blur / std::f64::consts::SQRT_2);
        self.list().any(|(positive, negative)| {
            let (positive, negative) = (positive as f64, negative as f64);
            let hits = positive.min(visible) + (positive - visible).max(0.0) * (1.0 - out);
            // Who abstains, abstains on the doubtful ones.
            let mistaken = (mistaken - (count - positive - negative)).max(0.0);
            let right = (hits + negative * out - mistaken).max(0.0).floor();
            let guesses = Guesses {
                canaries: self.canaries as u64,
                made: (positive + negative) as u64,
                right: right as u64,
            };
            claim.curve.is_refuted(&guesses, self.risk)
        })
    }
}

/// A lower bound on ε from the best of a few ways to guess.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LowerBound {
    /// The largest ε that is refuted; 0: none is.
    pub epsilon: f64,
    /// The guesses that refute it.
    pub guesses: Guesses,
}

impl LowerBound {
    /// The bound from `scores` (the higher, the likelier included) and the truth, at `delta`, by the
    /// best of these ways.
    #[must_use]
    pub fn new(scores: &[(f64, bool)], ways: &Ways, delta: f64) -> Self {
        let nothing = Self { epsilon: 0.0, guesses: Guesses::by_score(scores, 0, 0) };
        ways.list()
            .map(|(positive, negative)| {
                let guesses = Guesses::by_score(scores, positive, negative);
                Self { epsilon: guesses.lower_bound(delta, 1.0 - ways.risk), guesses }
            })
            .fold(nothing, |best, found| {
                let better = found.epsilon > best.epsilon || best.guesses.made == 0;
                if better { found } else { best }
            })
    }
}

impl Claim {
    /// Whether guesses in one of these ways refute it. With the confidence of the ways, a claim
    /// that holds is not refuted.
    #[must_use]
    pub fn is_refuted(&self, scores: &[(f64, bool)], ways: &Ways) -> bool {
        ways.list().any(|(positive, negative)| {
            let guesses = Guesses::by_score(scores, positive, negative);
            self.curve.is_refuted(&guesses, ways.risk)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the theorem alone refutes.
    fn of_the_paper(guesses: Guesses, delta: f64, confidence: f64) -> f64 {
        let (mut low, mut high) = (0.0, 40.0);
        for _ in 0..60 {
            let middle = 0.5 * (low + high);
            let refuted = guesses.likelihood(middle, delta) < 1.0 - confidence;
            if refuted { low = middle } else { high = middle }
        }
        low
    }

    /// Never below the paper's bound, whose own numbers are those of its Appendix D (0.673) and of
    /// Section 7 (2.675, cut off there); above it where δ counts.
    #[test]
    fn the_bound_is_at_least_that_of_the_paper() {
        for (canaries, made, right, delta, theirs, ours) in
            [(1000, 100, 75, 1e-4, 0.673, 0.6802), (100_000, 1510, 1439, 1e-5, 2.6755, 2.7938)]
        {
            let guesses = Guesses { canaries, made, right };
            assert!((of_the_paper(guesses, delta, 0.95) - theirs).abs() < 5e-4);
            assert!((guesses.lower_bound(delta, 0.95) - ours).abs() < 5e-4);
        }
        for made in [20, 100, 400, 1000] {
            for wrong in [0, 1, made / 20, made / 5] {
                for delta in [0.0, 1e-6, 1e-4, 1e-3] {
                    let guesses = Guesses { canaries: 1000, made, right: made - wrong };
                    let theirs = of_the_paper(guesses, delta, 0.95);
                    let ours = guesses.lower_bound(delta, 0.95);
                    assert!(ours > theirs - 1e-6, "{guesses:?}, δ = {delta}: {ours}, {theirs}");
                    // Without δ both are the binomial tail.
                    assert!(delta > 0.0 || ours < theirs + 1e-6, "{guesses:?}: {ours}, {theirs}");
                }
            }
        }
    }

    /// What no guesses can exceed: with every one of them right.
    #[test]
    fn what_could_be_refuted_grows_with_the_canaries_and_is_reached_by_the_best() {
        let most = |canaries| Ways::new(canaries, 1.0, 0.95).most(1e-5);
        assert!((most(1000) - 5.281).abs() < 2e-3, "{}", most(1000));
        assert!((most(10_000) - 7.585).abs() < 2e-3, "{}", most(10_000));
        let ways = Ways::new(400, 1.0, 0.95);
        let scores: Vec<(f64, bool)> = (0..400).map(|i| (f64::from(i), i >= 200)).collect();
        let found = LowerBound::new(&scores, &ways, 1e-5).epsilon;
        assert!((found - ways.most(1e-5)).abs() < 1e-9, "{found}");
    }

    #[test]
    fn the_best_way_to_guess_is_found_and_pays_for_the_others() {
        // Only a few canaries are in plain sight.
        let scores: Vec<(f64, bool)> = (0..1000_u32)
            .map(|i| (f64::from(1000 - i), if i < 60 { true } else { i % 2 == 0 }))
            .collect();
        let ways = Ways::new(1000, 1.0, 0.95);
        let found = LowerBound::new(&scores, &ways, 1e-5);
        assert_eq!(found.guesses, Guesses { canaries: 1000, made: 50, right: 50 });
        assert!(found.epsilon > 1.5, "{found:?}");
        assert!(found.epsilon < found.guesses.lower_bound(1e-5, 0.95), "{found:?}");
        let chance: Vec<(f64, bool)> = (0..1000).map(|i| (f64::from(i), i % 2 == 0)).collect();
        assert!(LowerBound::new(&chance, &ways, 1e-5).epsilon <= 0.0);
        assert!(LowerBound::new(&[], &Ways::new(0, 1.0, 0.95), 1e-5).epsilon <= 0.0);
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
