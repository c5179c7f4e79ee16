//! What is particular to the learners that train through Burn.

#![cfg(feature = "burn")]

mod support;

use std::sync::mpsc;
use std::time::Duration;

use fed_data::ShuffleSeed;
use fed_model::{BurnLearner, Learner, LocalSgd, LocalWork, MlpSpec};
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
