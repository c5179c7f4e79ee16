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

/// A bound on `Σ |S ∩ node|²` over all sets `S` of at most `participations` steps, any two of
/// them at least `separation` steps apart.
///
/// A node of `2^j` steps holds at most `m = min(participations, ⌈2^j/separation⌉)` of `S`, and the
/// nodes of a level, which have no step in common, at most `min(participations, ⌊n/2^j⌋ m)` of it
/// together. The sum of squares is largest if as many nodes as possible are full.
#[expect(clippy::cast_precision_loss, reason = "products are rounded up")]
pub(super) fn sensitivity(steps: u64, participations: u64, separation: u64) -> f64 {
    if steps == 0 {
        return 0.0;
    }
    let participations = participations.min(steps.div_ceil(separation));
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
    fn the_bound_holds_and_is_not_far_from_what_can_be() {
        for steps in 1..=12_u32 {
            for participations in 1..=steps {
                for separation in 1..=steps {
                    let truth = tried(steps, participations, separation);
                    let ours = sensitivity(
                        u64::from(steps),
                        u64::from(participations),
                        u64::from(separation),
                    );
                    let what = format!("{steps} steps, {participations}, {separation} apart");
                    assert!(ours >= truth, "{what}: {ours} below {truth}");
                    assert!(ours <= 1.5 * truth, "{what}: {ours} far above {truth}");
                }
            }
        }
    }

    #[test]
    fn one_participation_is_the_number_of_levels() {
        for steps in [1_u64, 2, 3, 4, 7, 8, 1000, u64::MAX] {
            let levels = levels(&[steps], Neighboring::ZeroOutOne).expect("zero out");
            assert_eq!(sensitivity(steps, 1, 1).to_bits(), levels.to_bits(), "{steps}");
            assert_eq!(sensitivity(steps, 9, u64::MAX).to_bits(), levels.to_bits(), "{steps}");
        }
        assert_eq!(sensitivity(0, 1, 1).to_bits(), 0.0_f64.to_bits());
    }
}
