//! What is particular to the learners that train through Burn.

#![cfg(feature = "burn")]

mod support;

use std::num::NonZeroUsize;
use std::sync::mpsc;
use std::time::Duration;

use dp_agg::{Aggregator, Clipping, GaussianAggregator, GaussianConfig, Magnitude, Zeroing};
use fed_data::{Examples, ShuffleSeed};
use fed_model::{BurnLearner, CohortJob, Learner, LocalSgd, LocalWork, MlpSpec};
use support::{Population, distance, nonzero, random_params, sgd, train, update_of};

fn works(velocity: &[f32]) -> [LocalWork<'_>; 5] {
    let plain = sgd(0.1, 6);
    [
        LocalWork::Sgd(plain),
        LocalWork::Sgd(LocalSgd { momentum: 0.9, epochs: nonzero(2), ..plain }),
        LocalWork::Sgd(LocalSgd { proximal: 0.5, ..plain }),
        LocalWork::Mime { sgd: plain, momentum: 0.9, velocity },
        LocalWork::Gradient { batch_size: nonzero(6) },
    ]
}

fn case() -> (MlpSpec, Population, Vec<f32>) {
    let spec = MlpSpec::new([11, 8, 9, 4]);
    let population = Population::random(&spec, &[13, 0, 7, 25, 6], 31);
    let params = random_params(&spec, 32);
    (spec, population, params)
}

#[test]
fn the_written_gradient_is_the_one_of_automatic_differentiation() {
    let (spec, population, params) = case();
    let velocity = random_params(&spec, 33);
    let one = nonzero(1);
    let pairs = [
        (BurnLearner::flex(spec.clone(), one), BurnLearner::flex(spec.clone(), one)),
        (BurnLearner::ndarray(spec.clone(), one), BurnLearner::ndarray(spec.clone(), one)),
    ];
    for (written, taped) in pairs {
        let taped = taped.with_autodiff();
        for work in &works(&velocity) {
            for client in [0, 2, 3, 4] {
                let (a, ours) = update_of(&written, &params, &population, client, work, None);
                let (b, theirs) = update_of(&taped, &params, &population, client, work, None);
                assert!(distance(&a, &b) < 1e-6, "{} {work:?}", taped.describe());
                assert_eq!(ours.metrics.correct, theirs.metrics.correct);
                assert_eq!(ours.batches, theirs.batches);
            }
        }
    }
}

#[test]
fn a_group_of_clients_trains_as_each_alone() {
    let (spec, population, params) = case();
    let velocity = random_params(&spec, 34);
    let shuffle = Some(ShuffleSeed::new([5; 32]));
    let cohort = [0, 1, 2, 3, 4];
    for work in &works(&velocity) {
        let alone = BurnLearner::flex(spec.clone(), nonzero(1));
        let singles = train(&alone, &params, &population, &cohort, work, shuffle);
        for clients in [2, 5, 64] {
            let grouped = BurnLearner::flex(spec.clone(), nonzero(1)).with_group(nonzero(clients));
            let taped = BurnLearner::flex(spec.clone(), nonzero(1))
                .with_group(nonzero(clients))
                .with_autodiff();
            for learner in [grouped, taped] {
                let together = train(&learner, &params, &population, &cohort, work, shuffle);
                for (a, b) in together.reports.iter().zip(&singles.reports) {
                    assert_eq!((a.client, a.batches), (b.client, b.batches), "{work:?}");
                    assert_eq!(a.metrics.correct, b.metrics.correct, "{work:?}");
                    let apart = (a.verdict.norm - b.verdict.norm).abs();
                    assert!(apart <= 1e-6 * b.verdict.norm, "{work:?}: norm {apart:.1e} apart");
                }
                let apart = distance(
                    &support::mean(together),
                    &support::mean(train(&alone, &params, &population, &cohort, work, shuffle)),
                );
                assert!(apart < 1e-6, "{work:?} in groups of {clients}: {apart:.1e}");
            }
        }
    }
}

/// Under a rule that clips, a group is clipped, rounded and summed on the device.
#[test]
fn a_group_that_is_clipped_on_the_device_gives_what_each_alone_does() {
    let (spec, mut population, params) = case();
    let broken = vec![f32::NAN; 3 * spec.inputs()];
    population.clients.push(Examples::from_floats(broken, vec![0, 1, 2], spec.inputs()));
    let velocity = random_params(&spec, 35);
    let shuffle = Some(ShuffleSeed::new([6; 32]));
    let cohort = [0, 1, 2, 3, 4, 5];
    for work in &works(&velocity) {
        // Between the norms, so that some clients are clipped, some are not and one is zeroed.
        let alone = BurnLearner::flex(spec.clone(), nonzero(1));
        let plain = train(&alone, &params, &population, &cohort, work, shuffle);
        let mut norms: Vec<f64> = plain.reports.iter().map(|report| report.verdict.norm).collect();
        norms.sort_by(f64::total_cmp);
        let clip_norm = 0.5 * (norms[2] + norms[3]);
        let threshold = 0.5 * (norms[4] + norms[5]);
        let config = GaussianConfig {
            noise_multiplier: 0.0,
            clients_per_round: 6.0,
            zeroing: Zeroing::Constant { threshold, magnitude: Magnitude::L2 },
            clipping: Clipping::Fixed { clip_norm },
        };
        let round = |learner: &dyn Learner| {
            let mut aggregator = GaussianAggregator::new(config).expect("a usual configuration");
            let rule = aggregator.rule();
            let job = CohortJob {
                params: &params,
                population: &population,
                cohort: &cohort,
                rule: &rule,
                work,
                shuffle,
            };
            let trained = learner.train_cohort(&job).expect("it trains");
            let noise = support::no_noise(&aggregator, spec.dim());
            let release = aggregator.release(trained.sum, noise).expect("no noise");
            (release, trained.reports, rule.grid().step())
        };
        let (expected, singles, _) = round(&alone);
        assert_eq!((expected.raw.zeroed, expected.raw.non_finite), (1, 1), "{work:?}");
        assert!(expected.raw.clipped >= 2, "{work:?}: {:?}", expected.raw);
        #[allow(unused_mut, reason = "grows with the feature `wgpu`")]
        let mut makers: Vec<fn(MlpSpec, NonZeroUsize) -> BurnLearner> =
            vec![BurnLearner::flex, BurnLearner::ndarray];
        #[cfg(feature = "wgpu")]
        if support::wgpu_wanted() {
            makers.push(|spec, _| BurnLearner::wgpu(spec).expect("an adapter"));
        }
        for make in makers {
            for clients in [1, 2, 64] {
                let learner = make(spec.clone(), nonzero(1)).with_group(nonzero(clients));
                let name = format!("{work:?} on {}", learner.describe());
                let (release, reports, step) = round(&learner);
                assert_eq!(release.raw, expected.raw, "{name}");
                let apart = distance(&release.mean, &expected.mean);
                assert!(apart < 1e-5, "{name}: {apart:.1e}");
                for (a, b) in reports.iter().zip(&singles) {
                    assert_eq!((a.client, a.batches), (b.client, b.batches), "{name}");
                    assert_eq!(a.metrics.correct, b.metrics.correct, "{name}");
                    let (a, b) = (a.verdict, b.verdict);
                    assert_eq!(
                        (a.finite, a.zeroed, a.unclipped),
                        (b.finite, b.zeroed, b.unclipped)
                    );
                    assert!((a.norm - b.norm).abs() <= 2e-6 * b.norm, "{name}");
                    // A factor in single precision: it was clipped on the device.
                    let factor = a.scale / step;
                    assert!(f64::from(factor as f32) - factor == 0.0, "{name}: {factor}");
                }
            }
            let bits = |threads| {
                let learner = make(spec.clone(), nonzero(threads)).with_group(nonzero(2));
                let mean = round(&learner).0.mean;
                mean.iter().map(|value| value.to_bits()).collect::<Vec<_>>()
            };
            assert_eq!(bits(1), bits(3), "{work:?}: the number of workers changes the sum");
        }
    }
}

/// Clients that share the leaves of one model between threads deadlock in Burn 0.22, mostly
/// within forty rounds. A hang is reported after a minute; the test takes seconds.
#[test]
fn two_hundred_rounds_of_automatic_differentiation_on_two_threads_do_not_hang() {
    let (done, finished) = mpsc::channel();
    std::thread::spawn(move || {
        let (spec, population, params) = case();
        let work = LocalWork::Sgd(sgd(0.1, 4));
        let learner = BurnLearner::flex(spec, nonzero(2)).with_autodiff();
        for _ in 0..200 {
            let cohort = train(&learner, &params, &population, &[0, 2, 3, 4], &work, None);
            assert_eq!(cohort.reports.len(), 4);
        }
        done.send(()).expect("the test waits");
    });
    finished.recv_timeout(Duration::from_secs(60)).expect("the rounds ended in time");
}
