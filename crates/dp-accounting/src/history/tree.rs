//! How far one record moves the nodes of a binary tree.
//!
//! A tree over `n` steps releases every complete node: at level `j` there are `⌊n/2^j⌋` of them,
//! each the sum of `2^j` steps in a row, each with its own noise. A record that takes part in the
//! steps of a set `S`, with at most the contribution bound in each, moves a node by at most
//! `|S ∩ node|` bounds, so that the nodes together are a Gaussian with squared sensitivity
//! `Σ |S ∩ node|²`, which is adaptive composition where later contributions depend on earlier
//! outputs ([KMSTTX21], Appendix D; [DMRST22], Theorem 2.1).
//!
//! [KMSTTX21]: https://arxiv.org/abs/2103.00039
//! [DMRST22]: https://arxiv.org/abs/2202.08312

use crate::accountant::Neighboring;

/// In how many nodes of a tree a record takes part at most that takes part in one step:
/// `⌈log₂(steps + 1)⌉` of the largest tree. Nothing where leaving a record out would move all
/// later ones to other leaves.
pub(super) fn levels(steps: &[u64], relation: Neighboring) -> Option<f64> {
    if relation == Neighboring::AddOrRemoveOne {
        return None;
    }
    let most = steps.iter().copied().max().unwrap_or(0);
    Some(f64::from(u64::BITS - most.leading_zeros()))
}

/// The most that `Σ |S ∩ node|²` can be over all sets `S` of at most `participations` steps, any two
/// of them at least `separation` steps apart: exactly, or a bound where a search would take too long.
pub(super) fn sensitivity(steps: u64, participations: u64, separation: u64) -> f64 {
    if steps == 0 {
        return 0.0;
    }
    let participations = participations.min(steps.div_ceil(separation));
    let bound = bound(steps, participations, separation);
    // Where one step is all the bound is exact.
    if participations == 1 {
        return bound;
    }
    exact(steps, participations, separation).unwrap_or(bound)
}

/// A bound that needs no search.
///
/// A node of `2^j` steps holds at most `m = min(participations, ⌈2^j/separation⌉)` of `S`, and the
/// nodes of a level, which have no step in common, at most `min(participations, ⌊n/2^j⌋ m)` of it
/// together. The sum of squares is largest if as many nodes as possible are full.
#[expect(clippy::cast_precision_loss, reason = "products are rounded up")]
fn bound(steps: u64, participations: u64, separation: u64) -> f64 {
    let sum: f64 = (0..=steps.ilog2())
        .map(|level| {
            let node = 1_u64 << level;
            let held = participations.min(node.div_ceil(separation));
            let together = participations.min((steps / node).saturating_mul(held));
            let (full, rest) = ((together / held) as f64, (together % held) as f64);
            full * held as f64 * held as f64 + rest * rest
        })
        .sum();
    // Whole numbers are exact up to here.
    if sum < 9e15 { sum } else { sum * (1.0 + 1e-13) }
}

/// Additions that an exact search may take: some hundredths of a second.
const MOST_WORK: u64 = 20_000_000;

/// The exact sum, by joining blocks, if that does not take too long.
fn exact(steps: u64, participations: u64, separation: u64) -> Option<f64> {
    // For each level pairs of counts, times pairs of distances, times places of the seam.
    let distances = separation.checked_pow(3)?;
    let pairs = participations.checked_add(1)?.checked_pow(2)?;
    let levels = u64::from(2 * (steps.ilog2() + 1));
    distances.checked_mul(pairs)?.checked_mul(levels).filter(|&work| work <= MOST_WORK)?;
    let most = usize::try_from(participations).ok()?;
    // Steps that must lie between two of the set.
    let apart = usize::try_from(separation).ok()?.checked_sub(1)?;
    // The trees of a run of steps: one for each one in the binary form of its length, large first.
    let mut leaf = Block::leaf(most, apart);
    let mut trees = Vec::new();
    let mut left = steps;
    while left > 0 {
        let next = leaf.doubled();
        if left & 1 == 1 {
            trees.push(leaf);
        }
        leaf = next;
        left >>= 1;
    }
    let all = trees.into_iter().rev().reduce(|so_far, tree| so_far.joined(&tree))?;
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53, as the work is limited")]
    let largest = (0..=most).filter_map(|count| all.at(count, 0, 0)).max().map(|sum| sum as f64);
    largest
}

/// What the steps of a block can hold: for every count of participations, and every distance that the
/// first must keep from the left end and the last from the right end, the largest sum of squares over
/// the nodes within.
struct Block {
    /// Steps; beyond any separation it does not matter how many more.
    size: usize,
    most: usize,
    apart: usize,
    best: Vec<Option<u64>>,
}

impl Block {
    /// One step.
    fn leaf(most: usize, apart: usize) -> Self {
        let mut new = Self { size: 1, most, apart, best: Vec::new() };
        new.fill(|count, left, right| match count {
            0 => Some(0),
            1 if left + right == 0 => Some(1),
            _ => None,
        });
        new
    }

    fn fill(&mut self, value: impl Fn(usize, usize, usize) -> Option<u64>) {
        let counts = (0..=self.most).flat_map(|count| {
            let apart = self.apart;
            (0..=apart).flat_map(move |left| (0..=apart).map(move |right| (count, left, right)))
        });
        self.best = counts.map(|(count, left, right)| value(count, left, right)).collect();
    }

    /// The largest sum of so many participations with at least `left` steps before the first and at
    /// least `right` behind the last.
    fn at(&self, count: usize, left: usize, right: usize) -> Option<u64> {
        self.best[(count * (self.apart + 1) + left) * (self.apart + 1) + right]
    }

    /// Two blocks side by side, without a node above them.
    fn joined(&self, other: &Self) -> Self {
        let size = self.size.saturating_add(other.size);
        let mut new = Self { size, most: self.most, apart: self.apart, best: Vec::new() };
        new.fill(|count, left, right| {
            let only_left = self.at(count, left, right.saturating_sub(other.size));
            let only_right = other.at(count, left.saturating_sub(self.size), right);
            let both = (1..count).flat_map(|here| {
                (0..=self.apart).filter_map(move |seam| {
                    let here_best = self.at(here, left, seam)?;
                    Some(here_best + other.at(count - here, self.apart - seam, right)?)
                })
            });
            both.chain(only_left).chain(only_right).max()
        });
        new
    }

    /// Two of these with a node above them.
    fn doubled(&self) -> Self {
        let mut new = self.joined(self);
        let places = (self.apart + 1) * (self.apart + 1);
        for (at, sum) in new.best.iter_mut().enumerate() {
            let count = (at / places) as u64;
            *sum = sum.map(|sum| sum + count * count);
        }
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The largest `Σ |S ∩ node|²` over all sets, by trying them.
    fn tried(steps: u32, participations: u32, separation: u32) -> f64 {
        let allowed = |set: u32| {
            let places: Vec<u32> = (0..steps).filter(|step| set >> step & 1 == 1).collect();
            places.len() <= participations as usize
                && places.windows(2).all(|pair| pair[1] - pair[0] >= separation)
        };
        let squares = |set: u32| {
            let mut sum = 0;
            for level in 0..=steps.ilog2() {
                let node = 1_u32 << level;
                for at in 0..steps / node {
                    let within = (set >> (at * node)) & (u32::MAX >> (32 - node));
                    sum += within.count_ones().pow(2);
                }
            }
            f64::from(sum)
        };
        (0..1_u32 << steps).filter(|&set| allowed(set)).map(squares).fold(0.0, f64::max)
    }

    #[test]
    fn sensitivities_are_exact_and_the_bound_is_not_far_above() {
        for steps in 1..=12_u32 {
            for participations in 1..=steps {
                for separation in 1..=steps {
                    let truth = tried(steps, participations, separation);
                    let [n, k, b] = [steps, participations, separation].map(u64::from);
                    let ours = sensitivity(n, k, b);
                    let what = format!("{steps} steps, {participations}, {separation} apart");
                    assert!((ours - truth).abs() <= 0.0, "{what}: {ours} for {truth}");
                    let above = bound(n, k.min(n.div_ceil(b)), b);
                    assert!(above >= truth && above <= 1.5 * truth, "{what}: {above}");
                }
            }
        }
    }

    #[test]
    fn one_participation_is_the_number_of_levels() {
        for steps in [1_u64, 2, 3, 4, 7, 8, 1000, u64::MAX] {
            let levels = levels(&[steps], Neighboring::ZeroOutOne).expect("zero out");
            for (participations, separation) in [(1, 1), (9, u64::MAX)] {
                let found = sensitivity(steps, participations, separation);
                assert_eq!(found.to_bits(), levels.to_bits(), "{steps}");
            }
        }
        assert_eq!(sensitivity(0, 1, 1).to_bits(), 0.0_f64.to_bits());
    }

    /// Steps, separation, participations and the sum, from an independent search, by brute force up
    /// to 13 steps; the bound gives 351 for the last but one and 42 for the last.
    #[test]
    fn sensitivities_of_larger_trees() {
        for (steps, separation, participations, truth) in [
            (8, 1, 1, 4.0),
            (8, 2, 3, 20.0),
            (16, 4, 4, 36.0),
            (64, 16, 4, 44.0),
            (20, 3, 5, 57.0),
            (20, 4, 4, 36.0),
            (100, 6, 17, 326.0),
            (20, 3, 4, 40.0),
        ] {
            let found = sensitivity(steps, participations, separation);
            assert!((found - truth).abs() <= 0.0, "{steps} {participations}: {found} for {truth}");
        }
        // Too large for a search: the bound.
        assert!(exact(512, 8, 64).is_none() && (sensitivity(512, 8, 64) - 168.0).abs() <= 0.0);
    }
}
