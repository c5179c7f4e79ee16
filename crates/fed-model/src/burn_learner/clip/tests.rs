//! The two claims of the module's page, in exact whole numbers, against the worst that a client
//! can send.

use dp_agg::SecretSum;
use proptest::prelude::*;

use super::*;
use crate::burn_learner::device;

fn rule(clip_norm: f64) -> UpdateRule {
    UpdateRule { clip_norm: Some(clip_norm), ..UpdateRule::default() }
}

/// The devices of this build; a graphics device only where it is asked for.
fn devices() -> Vec<Device> {
    #[allow(unused_mut, reason = "grows with the feature `wgpu`")]
    let mut devices = vec![device::flex(), device::ndarray()];
    #[cfg(feature = "wgpu")]
    if std::env::var_os("FED_MODEL_TEST_WGPU").is_some_and(|value| value == "1") {
        devices.push(device::wgpu().expect("an adapter").0);
    }
    devices
}

/// Clips, rounds and sums `updates` on `device` as a round does.
fn on_device(
    updates: &[Vec<f32>],
    rule: &UpdateRule,
    device: &Device,
) -> (Vec<f64>, Vec<SummedClient>, Vec<f32>) {
    let (clients, dim) = (updates.len(), updates[0].len());
    let length = dim.next_multiple_of(BLOCK);
    let mut flat = vec![0.0_f32; clients * length];
    for (update, flat) in updates.iter().zip(flat.chunks_exact_mut(length)) {
        flat[..dim].copy_from_slice(update);
    }
    let updates = Tensor::<2>::from_data(TensorData::new(flat, [clients, length]), device);
    let down = |tensor: Tensor<2>| values(tensor.into_data()).expect("single precision");
    let measured = measure(&updates);
    let mut decisions = judge(
        rule,
        dim,
        &down(measured.largest),
        &down(measured.scales),
        &down(measured.squares.whole),
        &down(measured.squares.rest),
    );
    let mut refusals = 0;
    loop {
        let rounded = round(&updates, &decisions, device);
        let steps = whole_steps(&down(rounded.high), &down(rounded.low), dim);
        let (whole, rest) = (down(rounded.squares.whole), down(rounded.squares.rest));
        let clients = summed_clients(&decisions, &whole, &rest);
        let factors: Vec<f32> = decisions.iter().map(|decision| decision.factor).collect();
        if !shorten_again(rule, dim, &mut decisions, &clients) {
            return (steps, clients, factors);
        }
        refusals += 1;
        assert!(refusals < 2, "what is enough for certain was refused");
    }
}

/// Updates that a hostile or broken client might send, `dim` long.
fn hostile_update(dim: usize) -> impl Strategy<Value = Vec<f32>> {
    let any_bits = any::<u32>().prop_map(f32::from_bits);
    let subnormal = (1_u32..0x0080_0000).prop_map(f32::from_bits);
    let huge = prop_oneof![Just(f32::MAX), Just(f32::MIN), 1e30_f32..3e38];
    let broken = prop_oneof![Just(f32::NAN), Just(f32::INFINITY), Just(f32::NEG_INFINITY)];
    let usual = -2.0_f32..2.0;
    let all = prop_oneof![usual.clone(), subnormal.clone(), huge.clone()];
    let one = prop_oneof![usual.clone(), subnormal.clone(), huge.clone(), broken.clone()];
    prop_oneof![
        prop::collection::vec(any_bits, dim),
        prop::collection::vec(usual.clone(), dim),
        prop::collection::vec(subnormal, dim),
        prop::collection::vec(huge, dim),
        all.prop_map(move |value| vec![value; dim]),
        (one, 0..dim).prop_map(move |(value, place)| {
            let mut update = vec![0.0; dim];
            update[place] = value;
            update
        }),
        (prop::collection::vec(usual, dim), broken, 0..dim).prop_map(
            |(mut update, value, place)| {
                update[place] = value;
                update
            }
        ),
    ]
}

fn clip_norm() -> impl Strategy<Value = f64> {
    prop_oneof![1e-12_f64..1e-9, 1e-3_f64..1e3, 1e6_f64..1e18, Just(1.0), Just(0.1)]
}

/// Whether whole steps are no longer than `clip`, without any rounding: in units of `2^-22` steps
/// both sides are whole numbers whose squares fit `u128`.
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

/// Squared length of whole steps, exactly.
fn squared_length(steps: &[f64]) -> u128 {
    steps.iter().map(|steps| (steps.abs() as u128).pow(2)).sum()
}

/// A group of one to five hostile updates of one length.
fn group() -> impl Strategy<Value = Vec<Vec<f32>>> {
    (1_usize..300, 1_usize..6)
        .prop_flat_map(|(dim, clients)| prop::collection::vec(hostile_update(dim), clients))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// The guarantee rests on this: no client adds more than the clip norm, what comes down
    /// bounds what it adds, and the sum over clients is exact.
    #[test]
    fn no_client_adds_more_than_the_clip_norm(updates in group(), clip in clip_norm()) {
        let rule = rule(clip);
        let (step, dim) = (rule.grid().step(), updates[0].len());
        for device in devices() {
            let (together, clients, factors) = on_device(&updates, &rule, &device);
            let mut alone = vec![0.0; dim];
            for (index, update) in updates.iter().enumerate() {
                let (steps, one, _) = on_device(std::slice::from_ref(update), &rule, &device);
                prop_assert_eq!(one[0], clients[index]);
                prop_assert!(no_longer_than(&steps, clip, step));
                prop_assert!(squared_length(&steps) as f64 <= one[0].squared_length);
                alone.iter_mut().zip(&steps).for_each(|(sum, steps)| *sum += steps);

                let finite = update.iter().all(|value| value.is_finite());
                prop_assert_eq!(one[0].verdict.finite, finite);
                // The steps are those of the host's grid for the same clipped coordinates.
                for (value, steps) in update.iter().zip(&steps).filter(|_| finite) {
                    let clipped = f64::from(value * factors[index]) * step;
                    prop_assert!((rule.grid().to_steps(clipped) - steps).abs() <= 0.0);
                }
            }
            prop_assert_eq!(&together, &alone);
            let mut sum = SecretSum::open(&rule, dim);
            prop_assert!(sum.add_steps(&together, &clients).is_ok());
        }
    }

    /// The host's own path judges alike, up to the margin.
    #[test]
    fn the_device_judges_as_the_host_does(updates in group(), clip in clip_norm()) {
        let rule = rule(clip);
        let (_, clients, _) = on_device(&updates, &rule, &device::flex());
        for (update, client) in updates.iter().zip(&clients) {
            let host = SecretSum::open(&rule, update.len()).add(update, 1);
            let ours = client.verdict;
            prop_assert_eq!((ours.finite, ours.zeroed), (host.finite, host.zeroed));
            prop_assert!((ours.norm - host.norm).abs() <= 1e-6 * host.norm);
            prop_assert!((ours.magnitude - host.magnitude).abs() <= 0.0);
            prop_assert!(ours.scale <= host.scale);
            prop_assert!(ours.scale >= host.scale * (1.0 - 2e-6));
            if (host.norm / clip - 1.0).abs() > 2e-6 {
                prop_assert_eq!(ours.unclipped, host.unclipped);
            }
        }
    }
}

/// The tutorial's size, all coordinates alike, far above the clip norm: the most roundings, and a
/// sum in which every client pulls the same way.
#[test]
fn the_full_size_gives_away_no_more_than_the_margin() {
    let dim = 199_210;
    let rule = rule(0.1);
    let step = rule.grid().step();
    let updates = vec![vec![0.01_f32; dim], vec![3e38; dim], vec![1e-3; dim]];
    let (steps, clients, _) = on_device(&updates, &rule, &device::flex());
    for (update, client) in updates.iter().zip(&clients) {
        let (steps, _, _) = on_device(std::slice::from_ref(update), &rule, &device::flex());
        assert!(no_longer_than(&steps, 0.1, step));
        let length = (squared_length(&steps) as f64).sqrt() * step;
        assert!(length > 0.1 * (1.0 - 2.5e-6), "{length} of 0.1");
        assert!(!client.verdict.unclipped);
    }
    assert!(SecretSum::open(&rule, dim).add_steps(&steps, &clients).is_ok());
}

/// As many clients as are summed at once, each with all it may add in one coordinate.
#[test]
fn the_largest_group_that_pulls_one_way_sums_exactly() {
    let rule = rule(1.999_999);
    for value in [5.0_f32, -5.0] {
        let updates = vec![vec![value, 0.0]; MOST_CLIENTS];
        let (one, _, _) = on_device(&updates[..1], &rule, &device::flex());
        let (all, clients, _) = on_device(&updates, &rule, &device::flex());
        assert!(one[0].abs() > 2.0_f64.powi(30));
        assert!((all[0] - one[0] * MOST_CLIENTS as f64).abs() < f64::EPSILON);
        assert!(SecretSum::open(&rule, 2).add_steps(&all, &clients).is_ok());
    }
}

/// A device that lets a value through which is not a number is caught where the sum is taken.
#[test]
fn steps_that_are_no_numbers_are_refused() {
    let rule = rule(1.0);
    let verdict = rule.judge(0.25, 0.5, 2);
    let broken =
        [(f32::NAN, 0.0), (0.0, f32::NAN), (1e9, 0.0), (0.0, f32::INFINITY), (0.0, COUNTED)];
    for (high, squares) in broken {
        let steps = whole_steps(&[0.0, high], &[0.0, 1.0], 2);
        let decision = Decision { verdict, factor: 1.0, longest: 0.5 };
        let clients = summed_clients(&[decision], &[squares], &[0.0]);
        assert!(SecretSum::open(&rule, 2).add_steps(&steps, &clients).is_err());
    }
}

#[test]
fn only_a_rule_that_clips_at_a_usual_norm_suits_a_device() {
    assert!(suits(&rule(0.1)));
    assert!(!suits(&UpdateRule::default()));
    assert!(!suits(&UpdateRule { weighting: Weighting::Examples, ..rule(0.1) }));
    for clip in [0.0, 1e-30, 1e30, f64::INFINITY, f64::NAN] {
        assert!(!suits(&rule(clip)), "{clip}");
    }
}
