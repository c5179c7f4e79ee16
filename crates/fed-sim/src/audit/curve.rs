//! How likely so many right guesses are, if a privacy curve holds.
//!
//! Each of `m` canaries is in or out by a fair coin. An attacker sees what is released, guesses `c`
//! of the coins and is right `N` times. If every pair `(ε, δ)` of a curve holds for each canary,
//! then for any set of outputs, with `p` its probability with the canary's coin one way and `x` with
//! it the other way, `p ≤ g(x)` where
//!
//! ```text
//! g(x) = min over (ε, δ) of  min( e^ε·x + δ,  1 − e^(−ε)·(1 − δ − x) )
//! ```
//!
//! increasing and concave ([Dong, Roth, Su 2022], with `f = 1 − g`). Take for the set "canary `J` is
//! guessed, and rightly, and `N ≥ i`" with `J` uniform, flip the coin of `J`, and average over all
//! coins: then `J` is guessed wrongly and `N ≥ i − 1`, so with `p_j = P[N = j]`
//!
//! ```text
//! r_i ≤ g(h_(i−1)),   r_i = Σ_(j≥i) (j/m)·p_j,   h_i = Σ_(j≥i) ((c−j)/m)·p_j
//! ```
//!
//! ([Mahloujifar, Melis, Chaudhuri 2024]). Say that `P[N ≥ v] = τ`. Then `r_v − a·h_v ≥
//! (τ/m)·(v − a·(c − v))` for `a = (v−1)/(c−v+1)`, with equality if `N` never exceeds `v`; and going
//! down from there, `h_i ≥ g⁻¹(r_(i+1))` and `r_i = r_(i+1) + i/(c−i)·(h_i − h_(i+1))`. Summed by
//! parts, `r_i` is a sum of the `h_j` with weights that are not negative and of `r_v − a·h_v`, so
//! the least that each can be gives the least that the next can be. At the end `r_0 + h_0 = c/m`
//! exactly. If the least is more than that, then `P[N ≥ v] < τ`.
//!
//! With one pair, `δ = 0` and no wrong guess that is the binomial tail. Where `δ` matters it is
//! better than the bound of [Steinke, Nasr, Jagielski 2023], whose price for `δ` grows with `m`; and
//! with the whole curve of what was proven it refutes claims that no single pair of it would.
//!
//! [Dong, Roth, Su 2022]: https://arxiv.org/abs/1905.02383
//! [Mahloujifar, Melis, Chaudhuri 2024]: https://arxiv.org/abs/2410.22235
//! [Steinke, Nasr, Jagielski 2023]: https://arxiv.org/abs/2305.08846

use dp_accounting::{Accountant, Delta, Epsilon, Ledger, Neighboring, PldAccountant};

use super::one_run::Guesses;
use crate::config::RunConfig;
use crate::error::SimError;
use crate::plan;

/// Pairs `(ε, δ)`, all of which hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    points: Vec<Point>,
}

/// One pair.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Point {
    /// `e^ε`.
    growth: f64,
    delta: f64,
}

impl Curve {
    /// These pairs; one that is infinite or not a number says nothing and is left out.
    pub fn new(pairs: impl IntoIterator<Item = (f64, f64)>) -> Self {
        let points = pairs
            .into_iter()
            .filter(|(epsilon, delta)| {
                (0.0..700.0).contains(epsilon) && (0.0..=1.0).contains(delta)
            })
            .map(|(epsilon, delta)| Point { growth: epsilon.exp(), delta })
            .collect();
        Self { points }
    }

    /// `g⁻¹(y)`: the least that the probability of a set can be with a coin one way, where it is
    /// `y` with the coin the other way.
    fn least(&self, y: f64) -> f64 {
        self.points.iter().fold(0.0, |least: f64, Point { growth, delta }| {
            least.max((y - delta) / growth).max(1.0 - delta - growth * (1.0 - y))
        })
    }

    /// Whether guesses that are so good have less than this probability, `risk` in `(0, 1)`, if the
    /// curve holds.
    #[must_use]
    pub fn is_refuted(&self, guesses: &Guesses, risk: f64) -> bool {
        let Guesses { canaries, made, right } = *guesses;
        let counts = right <= made && made <= canaries && right > 0;
        if !counts || self.points.is_empty() {
            return false;
        }
        let (all, made) = (canaries as f64, made as f64);
        // Rounding may not be what refutes.
        let most = made / all * (1.0 + 1e-9);
        let top = right as f64;
        let (mut r, mut h) = (risk * top / all, risk * (made - top) / all);
        // The largest of the lower bounds so far, for the true `r` only grows on the way down.
        let mut known = r;
        for i in (1..right).rev() {
            let least = self.least(known);
            // Below the top, what holds for fewer right guesses is at least what holds for more.
            let next = if i + 1 < right { least.max(h) } else { least };
            let i = i as f64;
            r += i / (made - i) * (next - h);
            known = known.max(r);
            h = next;
            if known > most {
                return true;
            }
        }
        known + self.least(known) > most
    }
}

/// What was proven of the releases of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Claim {
    /// ε at the run's δ, by the run's accountant.
    pub epsilon: Epsilon,
    /// Further pairs that hold for the same releases, that one among them.
    pub curve: Curve,
}

/// ε of the pairs, as shares of the one that was proven.
const SHARES: [f64; 20] = [
    0.0, 0.02, 0.04, 0.07, 0.1, 0.14, 0.18, 0.23, 0.28, 0.34, 0.4, 0.46, 0.53, 0.6, 0.68, 0.76,
    0.84, 0.92, 1.1, 1.25,
];

impl Claim {
    /// What is proven of everything on `ledger`: the ε of the run, and the whole curve by a grid
    /// of privacy losses, on the safe side, where there is one for these releases.
    ///
    /// # Errors
    /// [`SimError::Accounting`] if the accountant has no proof for what is on the ledger.
    pub fn of(
        config: &RunConfig,
        relation: Neighboring,
        ledger: &Ledger,
    ) -> Result<Self, SimError> {
        let epsilon = plan::epsilon(config, relation, ledger)?;
        let proven = (epsilon.get(), config.delta.get());
        let mut pairs = vec![proven];
        if epsilon.is_finite() {
            pairs.extend(losses(relation, ledger, epsilon.get()));
        }
        Ok(Self { epsilon, curve: Curve::new(pairs) })
    }

    /// A claim of one pair alone.
    #[must_use]
    pub fn pair(epsilon: Epsilon, delta: Delta) -> Self {
        Self { epsilon, curve: Curve::new([(epsilon.get(), delta.get())]) }
    }
}

/// Pairs of a grid of privacy losses; none where there is no such grid.
fn losses(relation: Neighboring, ledger: &Ledger, epsilon: f64) -> Vec<(f64, f64)> {
    // Coarse: a bound on δ to a few per cent is as good here as one to ten digits.
    let accountant = PldAccountant::new(relation)
        .with_points(1 << 15)
        .with_step(2e-3)
        .and_then(|accountant| accountant.with_truncation(1e-12));
    let Ok(mut accountant) = accountant else { return Vec::new() };
    if ledger.replay(&mut accountant).is_err() {
        return Vec::new();
    }
    let pair = |share: &f64| {
        let epsilon = share * epsilon;
        let delta = accountant.delta_interval(Epsilon::new(epsilon).ok()?).ok()?.upper;
        Some((epsilon, delta.get()))
    };
    SHARES.iter().filter_map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::one_run::Guesses;

    /// A Gaussian mechanism's curve: `δ(ε) = Φ(µ/2 − ε/µ) − e^ε·Φ(−µ/2 − ε/µ)`.
    fn gaussian(mu: f64) -> Curve {
        let phi = |x: f64| 0.5 * statrs::function::erf::erfc(-x / std::f64::consts::SQRT_2);
        Curve::new((0..200).map(|i| {
            let epsilon = f64::from(i) * 0.1;
            let delta =
                phi(0.5 * mu - epsilon / mu) - epsilon.exp() * phi(-0.5 * mu - epsilon / mu);
            (epsilon, delta.max(0.0))
        }))
    }

    /// Coins told independently by a mechanism that keeps its claim: the number of right guesses is
    /// binomial, and a claim that holds is refuted no more often than the risk allows.
    #[test]
    fn a_claim_that_holds_is_refuted_no_more_often_than_said() {
        use statrs::distribution::{Binomial, DiscreteCDF};
        for (mu, made) in [(0.5_f64, 200_u64), (1.5, 100), (2.5, 300)] {
            let curve = gaussian(mu);
            let right = 0.5 * statrs::function::erf::erfc(-0.5 * mu / std::f64::consts::SQRT_2);
            let binomial = Binomial::new(right, made).expect("a probability");
            for risk in [0.05, 0.3] {
                let first = (1..=made).find(|&right| {
                    curve.is_refuted(&Guesses { canaries: made, made, right }, risk)
                });
                if let Some(first) = first {
                    let often = binomial.sf(first - 1);
                    assert!(often <= risk, "µ = {mu}, {made}: {often} of the time from {first}");
                }
            }
        }
    }

    /// The whole curve refutes what none of its pairs would: two thousand right guesses are too
    /// many for a Gaussian mechanism of ε = 9.9 at δ = 1e-5 (its µ is 1.98).
    #[test]
    fn the_whole_curve_refutes_more_than_its_pairs() {
        let all = |canaries| Guesses { canaries, made: canaries, right: canaries };
        assert!(gaussian(1.98).is_refuted(&all(2000), 0.05 / 8.0));
        assert!(!gaussian(1.98).is_refuted(&all(1000), 0.05 / 8.0));
        let alone = Curve::new([(9.9, 1e-5)]);
        assert!(!alone.is_refuted(&all(2000), 0.05 / 8.0));
        assert!(!alone.is_refuted(&all(20_000), 0.05 / 8.0));
    }

    #[test]
    fn nothing_is_refuted_by_nothing() {
        let curve = gaussian(1.0);
        for guesses in [
            Guesses { canaries: 0, made: 0, right: 0 },
            Guesses { canaries: 10, made: 10, right: 0 },
            Guesses { canaries: 10, made: 11, right: 11 },
            Guesses { canaries: 1, made: 1, right: 1 },
        ] {
            assert!(!curve.is_refuted(&guesses, 0.05), "{guesses:?}");
        }
        let empty = Curve::new([(f64::INFINITY, 1e-5), (1.0, f64::NAN)]);
        assert!(!empty.is_refuted(&Guesses { canaries: 99, made: 99, right: 99 }, 0.05));
    }
}
