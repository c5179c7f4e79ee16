//! The one secret of a round: the sum of what the clients sent.
//!
//! A [`SecretSum`] is opened for a rule, every update is put through the rule and added, parts
//! that other threads or machines summed are merged, and an aggregator's `release` consumes it.
//! It cannot be cloned, printed, serialised or read: a sum without noise exists nowhere else.
//!
//! The sum lives on the rule's public [grid](crate::grid), so neither the order of the updates
//! nor the way they were divided among workers changes a bit of it.

mod key;
mod steps;

pub use self::steps::SummedClient;

use crate::grid::round_to_whole;
use crate::mistake::{Mistake, made};
use crate::rule::{UpdateRule, Verdict, Weighting};

/// Clients that a clipped sum holds without any rounding: each adds less than `2^31` steps to a
/// coordinate, and `f64` counts to `2^53`.
pub(crate) const MOST_CLIENTS: u64 = 1 << 22;

/// The sum of the clipped updates of a round and what the rule counted. See the module's page.
#[must_use = "a sum that is not released was trained for nothing"]
pub struct SecretSum {
    rule: UpdateRule,
    /// Whole multiples of the grid's step, exact.
    steps: Vec<f64>,
    tally: Tally,
}

/// What the rule counted in one round; as secret as the sum until noise is added.
#[derive(Clone, Copy, Default)]
pub(crate) struct Tally {
    pub(crate) clients: u64,
    pub(crate) unclipped: u64,
    pub(crate) zeroed: u64,
    pub(crate) non_finite: u64,
    pub(crate) within_estimate: u64,
    /// Sum of weights: whole numbers, exact below 2^53.
    pub(crate) weight: f64,
}

impl SecretSum {
    /// An empty sum over `dim` parameters, for updates that pass `rule`.
    pub fn open(rule: &UpdateRule, dim: usize) -> Self {
        Self { rule: *rule, steps: vec![0.0; dim], tally: Tally::default() }
    }

    /// The rule of the round.
    #[must_use]
    pub fn rule(&self) -> &UpdateRule {
        &self.rule
    }

    /// Number of parameters.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.steps.len()
    }

    /// A mistake: each half of the update is clipped by itself.
    fn add_by_parts(&mut self, update: &[f32], examples: u64) -> Verdict {
        let (squares, largest) = measure_update(update);
        let whole = self.rule.judge(squares, largest, update.len());
        self.count(&whole, examples);
        let half = update.len() / 2;
        for (start, part) in [(0, &update[..half]), (half, &update[half..])] {
            let (squares, largest) = measure_update(part);
            let verdict = self.rule.judge(squares, largest, part.len());
            let factor = verdict.scale / self.rule.grid().step();
            if factor > 0.0 && whole.finite {
                let steps = &mut self.steps[start..start + part.len()];
                accumulate(steps, factor, part.iter().copied());
            }
        }
        whole
    }

    /// Puts one client's update (initial minus trained weights) through the rule and adds it.
    /// `examples` is the number of the client's examples, its weight under
    /// [`Weighting::Examples`].
    ///
    /// # Panics
    /// If `update` does not have the length that the sum was opened with.
    pub fn add(&mut self, update: &[f32], examples: u64) -> Verdict {
        assert_eq!(update.len(), self.steps.len(), "an update has one number a parameter");
        if made(Mistake::ClippedByParts) {
            return self.add_by_parts(update, examples);
        }
        let (squares, largest) = measure_update(update);
        let verdict = self.rule.judge(squares, largest, update.len());
        let factor = self.count(&verdict, examples);
        if factor > 0.0 {
            let factor = factor / self.rule.grid().step();
            accumulate(&mut self.steps, factor, update.iter().copied());
        }
        verdict
    }

    /// [`add`](Self::add) for the update `initial − trained`, computed in `f32` on the way
    /// without being stored.
    ///
    /// # Panics
    /// If a slice does not have the length that the sum was opened with.
    pub fn add_difference(&mut self, initial: &[f32], trained: &[f32], examples: u64) -> Verdict {
        assert_eq!(initial.len(), self.steps.len(), "initial weights: one number a parameter");
        assert_eq!(trained.len(), self.steps.len(), "trained weights: one number a parameter");
        let (squares, largest) = measure_difference(initial, trained);
        let verdict = self.rule.judge(squares, largest, initial.len());
        let factor = self.count(&verdict, examples);
        if factor > 0.0 {
            let factor = factor / self.rule.grid().step();
            let update = initial.iter().zip(trained).map(
                #[inline(always)]
                |(initial, trained)| initial - trained,
            );
            accumulate(&mut self.steps, factor, update);
        }
        verdict
    }

    /// Adds a sum that other updates of the same round were put into. Exact, so the order of
    /// merging does not matter.
    ///
    /// # Panics
    /// If the two were opened for different rules or dimensions.
    pub fn merge(&mut self, other: Self) {
        assert_eq!(self.rule, other.rule, "one round has one rule");
        assert_eq!(self.steps.len(), other.steps.len(), "one round has one model");
        for (mine, theirs) in self.steps.iter_mut().zip(&other.steps) {
            *mine += theirs;
        }
        self.tally.clients += other.tally.clients;
        self.tally.unclipped += other.tally.unclipped;
        self.tally.zeroed += other.tally.zeroed;
        self.tally.non_finite += other.tally.non_finite;
        self.tally.within_estimate += other.tally.within_estimate;
        self.tally.weight += other.tally.weight;
    }

    /// The sum in whole steps and the counts, for the aggregators of this crate alone.
    pub(crate) fn into_parts(self) -> (UpdateRule, Vec<f64>, Tally) {
        (self.rule, self.steps, self.tally)
    }

    /// Enters a verdict into the counts; the factor that the update is to be multiplied with.
    fn count(&mut self, verdict: &Verdict, examples: u64) -> f64 {
        let weight = match self.rule.weighting {
            _ if !verdict.finite => 0.0,
            Weighting::Uniform if made(Mistake::WeightedByExamples) => examples as f64,
            Weighting::Uniform => 1.0,
            Weighting::Examples => examples as f64,
        };
        self.tally.clients += 1;
        self.tally.unclipped += u64::from(verdict.unclipped);
        self.tally.zeroed += u64::from(verdict.zeroed);
        self.tally.non_finite += u64::from(!verdict.finite);
        self.tally.within_estimate += u64::from(self.rule.within_estimate(verdict));
        self.tally.weight += weight;
        verdict.scale * weight
    }
}

/// Independent partial sums of a reduction: enough for any vector unit.
const LANES: usize = 16;

/// Sum of squares and largest absolute value, in `f64`.
///
/// A value that is not finite makes the sum of squares infinite or NaN, whatever the largest is.
#[inline(always)]
fn measure(
    values: impl Iterator<Item = [f32; LANES]>,
    tail: impl Iterator<Item = f32>,
) -> (f64, f64) {
    let mut squares = [0.0_f64; LANES];
    let mut largest = [0.0_f32; LANES];
    for block in values {
        for lane in 0..LANES {
            let value = block[lane];
            squares[lane] += f64::from(value) * f64::from(value);
            let value = value.abs();
            largest[lane] = if value > largest[lane] { value } else { largest[lane] };
        }
    }
    for value in tail {
        squares[0] += f64::from(value) * f64::from(value);
        largest[0] = largest[0].max(value.abs());
    }
    let largest = largest.into_iter().fold(0.0_f32, f32::max);
    (squares.into_iter().sum(), f64::from(largest))
}

/// [`measure`] of an update.
fn measure_update(update: &[f32]) -> (f64, f64) {
    vectorized(
        #[inline(always)]
        || {
            let (blocks, tail) = update.as_chunks::<LANES>();
            measure(blocks.iter().copied(), tail.iter().copied())
        },
    )
}

/// [`measure`] of the update `initial − trained`, which is stored nowhere.
fn measure_difference(initial: &[f32], trained: &[f32]) -> (f64, f64) {
    vectorized(
        #[inline(always)]
        || {
            let (initial, initial_tail) = initial.as_chunks::<LANES>();
            let (trained, trained_tail) = trained.as_chunks::<LANES>();
            let blocks = initial.iter().zip(trained).map(
                #[inline(always)]
                |(a, b)| std::array::from_fn(|lane| a[lane] - b[lane]),
            );
            let tail = initial_tail.iter().zip(trained_tail).map(|(a, b)| a - b);
            measure(blocks, tail)
        },
    )
}

/// Adds `factor` times the update, rounded to whole steps.
fn accumulate(steps: &mut [f64], factor: f64, update: impl Iterator<Item = f32>) {
    vectorized(
        #[inline(always)]
        || {
            for (sum, value) in steps.iter_mut().zip(update) {
                *sum += round_to_whole(f64::from(value) * factor);
            }
        },
    );
}

/// Runs `task`, compiled for the best vector unit of this machine.
#[inline(always)]
fn vectorized<R>(task: impl FnOnce() -> R) -> R {
    struct Task<F>(F);
    impl<R, F: FnOnce() -> R> pulp::WithSimd for Task<F> {
        type Output = R;
        #[inline(always)]
        fn with_simd<S: pulp::Simd>(self, simd: S) -> R {
            simd.vectorize(self.0)
        }
    }
    pulp::Arch::new().dispatch(Task(task))
}

#[cfg(test)]
mod tests;
