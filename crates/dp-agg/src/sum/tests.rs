//! The sensitivity of the sum, in exact whole numbers, against the worst that a client can send.

use proptest::prelude::*;

use super::*;

/// Updates that a hostile or broken client might send.
pub(crate) fn hostile_update() -> impl Strategy<Value = Vec<f32>> {
    let any_bits = any::<u32>().prop_map(f32::from_bits);
    let subnormal = (1_u32..0x0080_0000).prop_map(f32::from_bits);
    let huge = prop_oneof![Just(f32::MAX), Just(f32::MIN), 1e30_f32..3e38];
    let broken = prop_oneof![Just(f32::NAN), Just(f32::INFINITY), Just(f32::NEG_INFINITY)];
    let usual = -2.0_f32..2.0;
    let length = 1_usize..600;
    prop_oneof![
        prop::collection::vec(any_bits, length.clone()),
        prop::collection::vec(usual.clone(), length.clone()),
        prop::collection::vec(subnormal.clone(), length.clone()),
        prop::collection::vec(huge.clone(), length.clone()),
        // All equal.
        (prop_oneof![usual.clone(), subnormal.clone(), huge.clone()], length.clone())
            .prop_map(|(value, length)| vec![value; length]),
        // One hot.
        (prop_oneof![usual, subnormal, huge, broken.clone()], length.clone(), any::<usize>())
            .prop_map(|(value, length, place)| {
                let mut update = vec![0.0; length];
                update[place % length] = value;
                update
            }),
        // One broken value in a good update.
        (prop::collection::vec(-2.0_f32..2.0, length), broken, any::<usize>()).prop_map(
            |(mut update, value, place)| {
                let place = place % update.len();
                update[place] = value;
                update
            }
        ),
    ]
}

/// Clip norms of every size, most of them no power of two.
fn clip_norm() -> impl Strategy<Value = f64> {
    prop_oneof![
        1e-12_f64..1e-9,
        1e-3_f64..1e3,
        1e6_f64..1e30,
        Just(1.0),
        Just(0.1),
        Just(f64::from(2.0_f32) - f64::EPSILON),
    ]
}

fn rule(clip_norm: f64) -> UpdateRule {
    UpdateRule { clip_norm: Some(clip_norm), ..UpdateRule::default() }
}

/// Whether a vector of whole steps is no longer than `clip`, without any rounding.
///
/// A clip norm is `m · 2^e` with a whole `m < 2^53` and is worth at least `2^30` steps, so in
/// units of `2^-22` steps both sides are whole numbers whose squares fit `u128`.
fn no_longer_than(steps: &[f64], clip: f64, step: f64) -> bool {
    let clip = clip / step * 2.0_f64.powi(22);
    assert!(clip.fract().abs() < f64::EPSILON && clip < 2.0_f64.powi(53));
    let clip = clip as u128;
    let squares: u128 = steps
        .iter()
        .map(|&steps| {
            assert!(steps.fract().abs() < f64::EPSILON, "{steps} is no whole number of steps");
            let steps = steps.abs() as u128;
            steps * steps
        })
        .sum();
    (squares << 44) <= clip * clip
}

/// Steps of `after − before`: both are exact, so the difference is.
fn moved(before: &SecretSum, after: &SecretSum) -> Vec<f64> {
    after.steps.iter().zip(&before.steps).map(|(after, before)| after - before).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// The guarantee rests on this: no client moves the sum by more than the clip norm.
    #[test]
    fn adding_a_client_moves_the_sum_by_at_most_the_clip_norm(
        update in hostile_update(),
        clip in clip_norm(),
        others in 0_usize..4,
    ) {
        let rule = rule(clip);
        let mut without = SecretSum::open(&rule, update.len());
        let mut with = SecretSum::open(&rule, update.len());
        for other in 0..others {
            let update: Vec<f32> =
                (0..update.len()).map(|place| ((place * 7 + other) as f32).sin()).collect();
            without.add(&update, 1);
            with.add(&update, 1);
        }
        let verdict = with.add(&update, 1_000_000);
        prop_assert!(no_longer_than(&moved(&without, &with), clip, rule.grid().step()));
        // The centred count moves by exactly one half.
        let count = |sum: &SecretSum| sum.tally.unclipped as f64 - 0.5 * sum.tally.clients as f64;
        prop_assert!(((count(&with) - count(&without)).abs() - 0.5).abs() < f64::EPSILON);
        prop_assert_eq!(verdict.finite, update.iter().all(|value| value.is_finite()));
    }

    /// The same through the difference of two weight vectors.
    #[test]
    fn a_difference_is_clipped_like_an_update(
        initial in hostile_update(),
        clip in clip_norm(),
        turn in any::<usize>(),
    ) {
        let mut trained = initial.clone();
        trained.rotate_left(turn % initial.len());
        let update: Vec<f32> =
            initial.iter().zip(&trained).map(|(initial, trained)| initial - trained).collect();
        let rule = rule(clip);
        let mut one = SecretSum::open(&rule, update.len());
        let mut other = SecretSum::open(&rule, update.len());
        let verdict = one.add_difference(&initial, &trained, 1);
        prop_assert_eq!(verdict, other.add(&update, 1));
        prop_assert_eq!(&one.steps, &other.steps);
        prop_assert!(no_longer_than(&one.steps, clip, rule.grid().step()));
    }

    /// Any order and any division among workers gives the same bits.
    #[test]
    fn order_and_partition_do_not_matter(
        updates in prop::collection::vec(prop::collection::vec(-3.0_f32..3.0, 37), 1..20),
        order in any::<u64>(),
        workers in 1_usize..5,
    ) {
        let rule = rule(0.7);
        let mut straight = SecretSum::open(&rule, 37);
        for update in &updates {
            straight.add(update, 1);
        }
        let mut shuffled: Vec<usize> = (0..updates.len()).collect();
        shuffled.sort_by_key(|&place| (place as u64 + 1).wrapping_mul(order | 1));
        let mut parts: Vec<SecretSum> =
            (0..workers).map(|_| SecretSum::open(&rule, 37)).collect();
        for (turn, &place) in shuffled.iter().enumerate() {
            parts[turn % workers].add(&updates[place], 1);
        }
        let mut merged = SecretSum::open(&rule, 37);
        for part in parts.into_iter().rev() {
            merged.merge(part);
        }
        prop_assert_eq!(&straight.steps, &merged.steps);
        prop_assert_eq!(counts(&straight), counts(&merged));
    }

    /// Norm and largest coordinate are those of all coordinates, wherever the largest stands and
    /// however many there are: blocks and what is left over are measured apart.
    #[test]
    fn every_coordinate_is_measured(
        update in prop::collection::vec(-1.0_f32..1.0, 1..70),
        place in any::<prop::sample::Index>(),
        peak in prop::sample::select(vec![2.5_f32, -2.5]),
    ) {
        let mut update = update;
        let place = place.index(update.len());
        update[place] = peak;
        let squares: f64 = update.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
        let ones = vec![1.0_f32; update.len()];
        let trained: Vec<f32> = update.iter().map(|x| 1.0 - x).collect();
        let rule = UpdateRule { zeroing_threshold: Some(2.25), ..rule(0.7) };
        let mut sum = SecretSum::open(&rule, update.len());
        for verdict in [sum.add(&update, 1), sum.add_difference(&ones, &trained, 1)] {
            prop_assert!((verdict.magnitude - 2.5).abs() < 1e-6, "{verdict:?} at {place}");
            prop_assert!((verdict.norm - squares.sqrt()).abs() < 1e-5, "{verdict:?}, {squares}");
            prop_assert!(verdict.zeroed && verdict.scale <= 0.0);
        }
    }
}

fn counts(sum: &SecretSum) -> [u64; 6] {
    let Tally { clients, unclipped, zeroed, non_finite, within_estimate, weight } = sum.tally;
    [clients, unclipped, zeroed, non_finite, within_estimate, weight.to_bits()]
}

/// Every count of a part reaches the whole: clients by their kind, and weights.
#[test]
fn merging_adds_every_count() {
    let rule = UpdateRule {
        zeroing_threshold: Some(5.0),
        magnitude_estimate: Some(2.0),
        weighting: Weighting::Examples,
        ..rule(1.0)
    };
    let updates: [&[f32]; 6] = [&[0.5], &[3.0], &[9.0], &[f32::NAN], &[f32::INFINITY], &[1.5]];
    let mut whole = SecretSum::open(&rule, 1);
    let mut merged = SecretSum::open(&rule, 1);
    for (place, update) in updates.iter().enumerate() {
        let examples = 10_u64.pow(place as u32);
        whole.add(update, examples);
        let mut part = SecretSum::open(&rule, 1);
        part.add(update, examples);
        merged.merge(part);
    }
    assert_eq!(counts(&merged), counts(&whole));
    // Unclipped: 0.5, the one that became zeros, and the two that are not finite, which count as
    // zeros; all of them but 3 and 9 are within the estimate; a broken update weighs nothing.
    assert_eq!(counts(&whole), [6, 4, 1, 2, 4, 100_111.0_f64.to_bits()]);
}

/// Rounding lengthens a vector most where every coordinate is rounded up by half a step.
#[test]
fn the_worst_case_of_rounding_stays_within_the_clip_norm() {
    for dim in [1, 10, 1000, 199_210] {
        for clip in [0.1, 1.0, 1.999_999, 33.3] {
            let rule = rule(clip);
            let step = rule.grid().step();
            let most = (rule.grid().radius(clip, dim) / (dim as f64).sqrt() / step).floor();
            let update = vec![((most + 0.5) * step) as f32; dim];
            let mut sum = SecretSum::open(&rule, dim);
            sum.add(&update, 1);
            assert!(no_longer_than(&sum.steps, clip, step), "{dim} coordinates, clip {clip}");
            let length = sum.steps.iter().map(|steps| steps * steps).sum::<f64>().sqrt() * step;
            assert!(length > clip * (1.0 - 1e-6), "nothing is given away: {length} of {clip}");
        }
    }
}

#[test]
fn a_clip_norm_of_zero_lets_nothing_through() {
    let rule = rule(0.0);
    let mut sum = SecretSum::open(&rule, 3);
    let verdict = sum.add(&[1.0, -2.0, 1e-30], 1);
    assert!(!verdict.unclipped);
    assert!(sum.add(&[0.0; 3], 1).unclipped);
    assert!(sum.steps.iter().all(|&steps| steps.abs() <= 0.0));
}

#[test]
fn two_to_the_22_clients_add_without_rounding() {
    let rule = rule(1.999_999);
    let mut sum = SecretSum::open(&rule, 1);
    sum.add(&[5.0], 1);
    let one = sum.steps[0];
    // Doubling stands for merging as many clients again.
    for _ in 0..22 {
        sum.steps[0] += sum.steps[0];
    }
    assert!((sum.steps[0] / MOST_CLIENTS as f64 - one).abs() < f64::EPSILON);
    sum.steps[0] -= 1.0;
    assert!((sum.steps[0].rem_euclid(2.0) - 1.0).abs() < f64::EPSILON, "an odd sum is kept");
}
