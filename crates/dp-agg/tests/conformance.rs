//! What every aggregator keeps. A new one joins the list in [`tenants`].

use dp_agg::{
    AdaptiveClipping, AggregateError, Aggregator, AggregatorState, Clipping, GaussianAggregator,
    GaussianConfig, Noise, NoiseSource, PlainMean, Release, RobustClipping, RobustConfig,
    RobustMean, SecretSum, UpdateRule, Weighting, Zeroing,
};

const DIM: usize = 300;

type Tenant = (&'static str, Box<dyn Aggregator>);

fn gaussian(noise_multiplier: f64, zeroing: Zeroing, clipping: Clipping) -> Box<dyn Aggregator> {
    let config = GaussianConfig { noise_multiplier, clients_per_round: 6.0, zeroing, clipping };
    Box::new(GaussianAggregator::new(config).expect("in range"))
}

fn robust(zeroing: Zeroing, clip: bool, weighting: Weighting) -> Box<dyn Aggregator> {
    let clipping = clip.then(RobustClipping::default);
    Box::new(RobustMean::new(RobustConfig { zeroing, clipping, weighting }).expect("in range"))
}

/// One of each kind and setting.
fn tenants() -> Vec<Tenant> {
    let fixed = Clipping::Fixed { clip_norm: 0.8 };
    let arithmetic = Clipping::Adaptive(AdaptiveClipping {
        update: dp_agg::QuantileUpdate::Arithmetic,
        initial: 0.0,
        ..Default::default()
    });
    let constant = Zeroing::Constant { threshold: 3.0, magnitude: Default::default() };
    let adaptive = Zeroing::Adaptive(Default::default());
    vec![
        ("gaussian, adaptive", gaussian(0.5, adaptive, Clipping::default())),
        (
            "gaussian, noised zeroing",
            gaussian(0.3, Zeroing::Noised(Default::default()), Clipping::default()),
        ),
        (
            "gaussian, noised zeroing, fixed",
            gaussian(0.5, Zeroing::Noised(Default::default()), fixed),
        ),
        ("gaussian, fixed", gaussian(0.5, Zeroing::Off, fixed)),
        ("gaussian, arithmetic from zero", gaussian(0.5, constant, arithmetic)),
        ("gaussian, no noise", gaussian(0.0, adaptive, Clipping::default())),
        ("plain", Box::new(PlainMean::new(Weighting::Uniform))),
        ("plain, weighted", Box::new(PlainMean::new(Weighting::Examples))),
        ("robust", robust(adaptive, true, Weighting::Uniform)),
        ("robust, weighted", robust(adaptive, true, Weighting::Examples)),
        ("robust, zeroing alone", robust(constant, false, Weighting::Uniform)),
    ]
}

/// Updates of different lengths, one of them far too large.
fn updates(round: usize) -> Vec<Vec<f32>> {
    (0..7)
        .map(|client| {
            let scale = if client == 6 { 100.0 } else { 0.01 * (client + 1) as f32 };
            let wave = |place: usize| ((place * 31 + client * 7 + round) as f32).sin();
            (0..DIM).map(|place| scale * wave(place)).collect()
        })
        .collect()
}

fn sum_of(rule: &UpdateRule, updates: &[Vec<f32>]) -> SecretSum {
    let mut sum = SecretSum::open(rule, DIM);
    for (client, update) in updates.iter().enumerate() {
        sum.add(update, client as u64 + 1);
    }
    sum
}

fn noise_of(aggregator: &dyn Aggregator, round: usize) -> Noise {
    let source = NoiseSource::Simulation { key: [round as u8; 32] };
    aggregator.noise(DIM).draw(&source).expect("a seeded draw cannot fail")
}

fn step(aggregator: &mut dyn Aggregator, round: usize) -> Release {
    let sum = sum_of(&aggregator.rule(), &updates(round));
    let noise = noise_of(aggregator, round);
    aggregator.release(sum, noise).expect("all was made for this round")
}

#[test]
fn rule_noise_and_event_stand_still_between_releases() {
    for (name, mut aggregator) in tenants() {
        for round in 0..5 {
            let before = (aggregator.rule(), aggregator.noise(DIM), aggregator.event());
            let sum = sum_of(&before.0, &updates(round));
            let noise = noise_of(aggregator.as_ref(), round);
            let after = (aggregator.rule(), aggregator.noise(DIM), aggregator.event());
            assert_eq!(before, after, "{name}");
            let release = aggregator.release(sum, noise).expect("all was made for this round");
            assert_eq!(release.event, before.2, "{name}: the price is known beforehand");
            assert_eq!(release.mean.len(), DIM, "{name}");
            assert!(release.mean.iter().all(|mean| mean.is_finite()), "{name}");
            assert_eq!(release.raw.clients, 7, "{name}");
        }
    }
}

#[test]
fn order_and_partition_do_not_matter() {
    for (name, mut aggregator) in tenants() {
        let state = aggregator.state();
        let rule = aggregator.rule();
        let updates = updates(0);
        let straight = step(aggregator.as_mut(), 0);
        aggregator.restore(&state).expect("its own state");

        let mut merged = SecretSum::open(&rule, DIM);
        for part in [&[6, 0, 3][..], &[5][..], &[][..], &[1, 4, 2][..]] {
            let mut sum = SecretSum::open(&rule, DIM);
            for &client in part {
                sum.add(&updates[client], client as u64 + 1);
            }
            merged.merge(sum);
        }
        let noise = noise_of(aggregator.as_ref(), 0);
        let parted = aggregator.release(merged, noise).expect("all was made for this round");
        assert_eq!(straight, parted, "{name}");
    }
}

#[test]
fn what_was_made_for_another_round_is_refused_and_changes_nothing() {
    for (name, mut aggregator) in tenants() {
        let (state, rule) = (aggregator.state(), aggregator.rule());
        let other = UpdateRule { clip_norm: Some(123.0), ..rule };
        let sum = sum_of(&other, &updates(0));
        let noise = noise_of(aggregator.as_ref(), 0);
        let error = aggregator.release(sum, noise).expect_err("another rule");
        assert_eq!(error, AggregateError::RuleMismatch, "{name}");

        let sum = sum_of(&rule, &updates(0));
        let noise = Noise::none(DIM + 1, rule.grid());
        let error = aggregator.release(sum, noise).expect_err("another length");
        assert!(matches!(error, AggregateError::NoiseMismatch { .. }), "{name}: {error}");

        assert_eq!(aggregator.state(), state, "{name}");
        assert_eq!(aggregator.rule(), rule, "{name}");
    }
}

#[test]
fn no_noise_where_noise_is_due_is_refused() {
    let mut aggregator = gaussian(0.5, Zeroing::Off, Clipping::Fixed { clip_norm: 1.0 });
    let rule = aggregator.rule();
    let sum = sum_of(&rule, &updates(0));
    let error = aggregator.release(sum, Noise::none(DIM, rule.grid())).expect_err("no noise");
    assert!(matches!(error, AggregateError::NoiseMismatch { .. }), "{error}");
}

#[test]
fn a_saved_state_goes_on_bit_for_bit() {
    for (index, (name, mut aggregator)) in tenants().into_iter().enumerate() {
        for round in 0..4 {
            let _ = step(aggregator.as_mut(), round);
        }
        let text = serde_json::to_string(&aggregator.state()).expect("a state is plain numbers");
        let saved: AggregatorState = serde_json::from_str(&text).expect("what was written");
        let (_, mut fresh) = tenants().swap_remove(index);
        fresh.restore(&saved).expect("its own state");
        for round in 4..8 {
            let (one, other) = (step(aggregator.as_mut(), round), step(fresh.as_mut(), round));
            assert_eq!(one, other, "{name}");
        }
    }
}

#[test]
fn a_state_of_other_settings_or_a_damaged_one_is_refused() {
    for (name, mut aggregator) in tenants() {
        let state = aggregator.state();
        let flip = |value: Option<f64>| if value.is_some() { None } else { Some(1.0) };
        let mut bad = vec![
            AggregatorState { clip_norm: flip(state.clip_norm), ..state },
            AggregatorState { zeroing_estimate: flip(state.zeroing_estimate), ..state },
        ];
        for wrong in [f64::NAN, -1.0, f64::INFINITY] {
            bad.push(AggregatorState { clip_norm: Some(wrong), ..state });
            bad.push(AggregatorState { zeroing_estimate: Some(wrong), ..state });
        }
        for bad in bad {
            assert!(aggregator.restore(&bad).is_err(), "{name}: {bad:?}");
            assert_eq!(aggregator.state(), state, "{name}");
        }
    }
}

#[test]
fn an_update_that_is_not_finite_adds_nothing() {
    for (name, mut aggregator) in tenants() {
        let state = aggregator.state();
        let rule = aggregator.rule();
        let mut with_zeros = updates(0);
        with_zeros.push(vec![0.0; DIM]);
        let mut with_broken = updates(0);
        with_broken.push(vec![f32::NAN; DIM]);
        with_broken[7][0] = f32::INFINITY;
        let mut release = |updates: &[Vec<f32>]| {
            aggregator.restore(&state).expect("its own state");
            let noise = noise_of(aggregator.as_ref(), 0);
            let sum = sum_of(&rule, updates);
            aggregator.release(sum, noise).expect("all was made for this round")
        };
        let (zeros, broken) = (release(&with_zeros), release(&with_broken));
        assert_eq!(broken.raw.non_finite, 1, "{name}");
        assert_eq!(broken.raw.clients, 8, "{name}");
        if rule.weighting == Weighting::Uniform {
            assert_eq!(zeros.mean, broken.mean, "{name}: it counts as a client with zeros");
        } else {
            assert_eq!(broken.mean, release(&updates(0)).mean, "{name}: it has no weight");
        }
    }
}

/// Without clients a plain mean is 0/0 and says so; a mechanism releases its noise.
#[test]
fn an_empty_round_is_honest() {
    for (name, mut aggregator) in tenants() {
        let (state, rule) = (aggregator.state(), aggregator.rule());
        let noise = noise_of(aggregator.as_ref(), 0);
        let release = aggregator
            .release(SecretSum::open(&rule, DIM), noise)
            .expect("an empty round is a round");
        if name.starts_with("gaussian") {
            assert!(release.mean.iter().all(|mean| mean.is_finite()), "{name}");
        } else {
            assert!(release.mean.iter().all(|mean| mean.is_nan()), "{name}");
            assert_eq!(aggregator.state(), state, "{name}");
        }
        // A noised count moves by its noise, whoever is there.
        if !name.contains("noised") {
            assert_eq!(aggregator.state().zeroing_estimate, state.zeroing_estimate, "{name}");
        }
    }
}
