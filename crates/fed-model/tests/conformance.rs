//! What every learner must keep, checked on every learner of this build.

mod support;

use dp_agg::{Aggregator, GaussianAggregator, GaussianConfig, UpdateRule};
use fed_data::{BYTE_VALUES, Examples, Features, ShuffleSeed};
use fed_model::{
    CohortJob, LearnError, Learner, LocalSgd, LocalWork, Metrics, MlpSpec, ReferenceLearner,
};
use support::{
    Population, distance, learners, mean, nonzero, random_params, sgd, train, update_of,
};

/// The tutorial's network and clients of its sizes, one of them with a partial batch only.
fn emnist() -> (MlpSpec, Population, Vec<f32>) {
    let spec = MlpSpec::emnist(10);
    let population = Population::random(&spec, &[40, 33, 70, 5, 64], 11);
    let params = random_params(&spec, 12);
    (spec, population, params)
}

/// A small network with an odd width everywhere.
fn small() -> (MlpSpec, Population, Vec<f32>) {
    let spec = MlpSpec::new([13, 9, 7, 5]);
    let population = Population::random(&spec, &[11, 0, 23, 4, 1], 21);
    let params = random_params(&spec, 22);
    (spec, population, params)
}

/// Updates within `tolerance` of the reference, and the same metrics.
fn agrees(
    learner: &dyn Learner,
    (spec, population, params): &(MlpSpec, Population, Vec<f32>),
    work: &LocalWork<'_>,
    shuffle: Option<ShuffleSeed>,
    tolerance: f64,
) {
    let reference = ReferenceLearner::new(spec.clone());
    for client in 0..population.clients.len() {
        let (ours, report) = update_of(learner, params, population, client, work, shuffle);
        let (truth, expected) = update_of(&reference, params, population, client, work, shuffle);
        let name = learner.describe();
        if population.clients[client].is_empty() {
            assert!(ours.iter().all(|value| *value == 0.0), "{name}: an update out of nothing");
        } else {
            let apart = distance(&ours, &truth);
            assert!(apart < tolerance, "{name}, client {client}: {apart:.1e} of the norm");
        }
        assert_eq!(report.metrics.examples, expected.metrics.examples, "{name}");
        assert_eq!(report.metrics.correct, expected.metrics.correct, "{name}");
        assert_eq!(report.batches, expected.batches, "{name}");
        let apart = (report.metrics.loss() - expected.metrics.loss()).abs();
        assert!(apart < 1e-5, "{name}: loss {apart:.1e} apart");
    }
}

#[test]
fn updates_of_the_tutorials_network_agree_with_the_reference() {
    let case = emnist();
    let shuffle = Some(ShuffleSeed::new([3; 32]));
    for learner in learners(&case.0, 2) {
        agrees(&*learner, &case, &LocalWork::Sgd(sgd(0.01, 32)), shuffle, 1e-6);
    }
}

#[test]
fn every_kind_of_local_work_agrees_with_the_reference() {
    let case = small();
    let velocity = random_params(&case.0, 23);
    let plain = sgd(0.2, 4);
    let works = [
        LocalWork::Sgd(plain),
        LocalWork::Sgd(LocalSgd { learning_rate: 0.0, ..plain }),
        LocalWork::Sgd(LocalSgd { batch_size: nonzero(1000), ..plain }),
        LocalWork::Sgd(LocalSgd { batch_size: nonzero(1), ..plain }),
        LocalWork::Sgd(LocalSgd { epochs: nonzero(3), ..plain }),
        LocalWork::Sgd(LocalSgd { momentum: 0.9, ..plain }),
        LocalWork::Sgd(LocalSgd { proximal: 0.5, ..plain }),
        LocalWork::Sgd(LocalSgd { proximal: 0.5, momentum: 0.5, epochs: nonzero(2), ..plain }),
        LocalWork::Mime { sgd: plain, momentum: 0.9, velocity: &velocity },
        LocalWork::Mime {
            sgd: LocalSgd { proximal: 0.5, epochs: nonzero(2), ..plain },
            momentum: 0.3,
            velocity: &velocity,
        },
        LocalWork::Gradient { batch_size: nonzero(4) },
        LocalWork::Gradient { batch_size: nonzero(1_000_000) },
    ];
    for learner in learners(&case.0, 1) {
        for shuffle in [None, Some(ShuffleSeed::new([9; 32]))] {
            for work in &works {
                // With a rate of 0 the update is 0 and has no norm to be near to.
                if matches!(work, LocalWork::Sgd(LocalSgd { learning_rate, .. }) if *learning_rate == 0.0)
                {
                    let (update, _) = update_of(&*learner, &case.2, &case.1, 0, work, shuffle);
                    assert!(update.iter().all(|value| *value == 0.0), "{}", learner.describe());
                } else {
                    agrees(&*learner, &case, work, shuffle, 5e-6);
                }
            }
        }
    }
}

#[test]
fn the_number_of_workers_does_not_change_a_bit() {
    let (spec, population, params) = emnist();
    let cohort = [0, 1, 2, 3, 4];
    let work = LocalWork::Sgd(sgd(0.01, 32));
    let shuffle = Some(ShuffleSeed::new([4; 32]));
    let outcome = |learner: &dyn Learner| {
        let cohort = train(learner, &params, &population, &cohort, &work, shuffle);
        let evaluation = learner.evaluate(&params, &population.client_all()).expect("fits");
        let reports = cohort.reports.clone();
        let bits: Vec<u32> = mean(cohort).iter().map(|value| value.to_bits()).collect();
        (bits, reports, evaluation)
    };
    let by_threads: Vec<Vec<_>> = [1, 2, 3]
        .map(|threads| learners(&spec, threads).iter().map(|one| outcome(&**one)).collect())
        .into();
    for other in &by_threads[1..] {
        for (one, other) in by_threads[0].iter().zip(other) {
            assert!(one == other, "the result depends on the number of workers");
        }
    }
    let again: Vec<_> = learners(&spec, 2).iter().map(|one| outcome(&**one)).collect();
    assert!(again == by_threads[1], "the result differs from run to run");
}

impl Population {
    /// The examples of all clients, repeated so that several evaluation blocks are needed.
    fn client_all(&self) -> Examples<'static> {
        let (mut pixels, mut labels) = (Vec::new(), Vec::new());
        for client in std::iter::repeat_n(&self.clients, 13).flatten() {
            let Features::Bytes(bytes) = client.features() else { panic!("bytes") };
            pixels.extend_from_slice(bytes);
            labels.extend_from_slice(client.labels());
        }
        Examples::from_bytes(pixels, labels, self.width)
    }
}

#[test]
fn evaluation_agrees_with_the_reference() {
    let (spec, population, params) = emnist();
    let examples = population.client_all();
    let truth = ReferenceLearner::new(spec.clone()).evaluate(&params, &examples).expect("fits");
    for learner in learners(&spec, 2) {
        let ours = learner.evaluate(&params, &examples).expect("fits");
        assert_eq!((ours.examples, ours.correct), (truth.examples, truth.correct));
        assert!((ours.loss() - truth.loss()).abs() < 1e-6, "{}", learner.describe());
        let nothing = learner.evaluate(&params, &examples.slice(0..0)).expect("fits");
        assert_eq!(nothing, Metrics::default());
    }
}

/// A model that is not a number finds no class, whatever its form and whoever evaluates it: class 0
/// is not the answer to everything.
#[test]
fn a_model_that_is_no_number_is_never_right() {
    type Break = fn(&mut [f32], std::ops::Range<usize>);
    let (spec, population, params) = emnist();
    let examples = population.client_all();
    assert!(examples.labels().contains(&0));
    let bias = spec.slots().last().expect("layers").bias;
    let broken: [Break; 4] = [
        |params, _| params.fill(f32::NAN),
        |params, bias| params[bias].fill(f32::NAN),
        |params, bias| params[bias.end - 1] = f32::NAN,
        |params, bias| params[bias.start] = f32::INFINITY,
    ];
    for (number, breaks) in broken.into_iter().enumerate() {
        let mut params = params.clone();
        breaks(&mut params, bias.clone());
        let reference: Box<dyn Learner> = Box::new(ReferenceLearner::new(spec.clone()));
        for learner in learners(&spec, 2).into_iter().chain([reference]) {
            let found = learner.evaluate(&params, &examples).expect("fits");
            assert_eq!(found.correct, 0, "{}, form {number}", learner.describe());
            assert!(found.loss().is_nan(), "{}, form {number}", learner.describe());
        }
    }
}

#[test]
fn bytes_and_floats_train_alike() {
    let (spec, mut population, params) = small();
    let Features::Bytes(bytes) = population.clients[2].features() else { panic!("bytes") };
    let floats: Vec<f32> = bytes.iter().map(|&byte| BYTE_VALUES[usize::from(byte)]).collect();
    let labels = population.clients[2].labels().to_vec();
    population.clients.push(Examples::from_floats(floats, labels, spec.inputs()));
    let work = LocalWork::Sgd(sgd(0.1, 8));
    for learner in learners(&spec, 1) {
        let (bytes, _) = update_of(&*learner, &params, &population, 2, &work, None);
        let (floats, _) = update_of(&*learner, &params, &population, 5, &work, None);
        assert!(bytes.iter().zip(&floats).all(|(a, b)| a.to_bits() == b.to_bits()));
    }
}

#[test]
fn a_client_that_is_not_finite_counts_but_adds_nothing() {
    let (spec, mut population, params) = small();
    let broken = vec![f32::NAN; 2 * spec.inputs()];
    population.clients.push(Examples::from_floats(broken, vec![0, 1], spec.inputs()));
    let work = LocalWork::Sgd(sgd(0.1, 8));
    for learner in learners(&spec, 2) {
        let both = train(&*learner, &params, &population, &[0, 5], &work, None);
        let report = both.reports[1];
        assert!(!report.verdict.finite, "{}", learner.describe());
        assert_eq!((report.client, report.metrics, report.batches), (5, Metrics::default(), 0));
        let (alone, _) = update_of(&*learner, &params, &population, 0, &work, None);
        // In the plain mean it still counts as a client: half of the other one's update is left.
        let twice: Vec<f32> = mean(both).iter().map(|value| 2.0 * value).collect();
        assert!(distance(&twice, &alone) < 1e-6, "{}", learner.describe());
        let (zero, _) = update_of(&*learner, &params, &population, 5, &work, None);
        assert!(zero.iter().all(|value| !value.is_finite() || *value == 0.0));
    }
}

#[test]
fn an_empty_cohort_and_an_empty_client_give_zeros() {
    let (spec, population, params) = small();
    let work = LocalWork::Sgd(sgd(0.1, 8));
    let mut aggregator = GaussianAggregator::new(GaussianConfig {
        noise_multiplier: 0.0,
        clients_per_round: 2.0,
        zeroing: dp_agg::Zeroing::Adaptive(Default::default()),
        clipping: Default::default(),
    })
    .expect("the tutorial's aggregator");
    for learner in learners(&spec, 2) {
        for cohort in [&[][..], &[1]] {
            let rule = aggregator.rule();
            let job = CohortJob {
                params: &params,
                population: &population,
                cohort,
                rule: &rule,
                work: &work,
                shuffle: None,
            };
            let trained = learner.train_cohort(&job).expect("nothing to do");
            assert_eq!(trained.reports.len(), cohort.len());
            assert!(trained.reports.iter().all(|report| report.metrics == Metrics::default()));
            let noise = support::no_noise(&aggregator, spec.dim());
            let release = aggregator.release(trained.sum, noise).expect("no noise");
            assert!(release.mean.iter().all(|value| *value == 0.0));
            assert_eq!(release.raw.clients, cohort.len() as u64);
        }
    }
}

#[test]
fn what_does_not_fit_is_an_error_that_says_what() {
    let (spec, mut population, params) = small();
    population.clients[2] = Examples::from_bytes(vec![0; 13], vec![5], 13);
    population.clients[3] = Examples::from_bytes(vec![0; 13], vec![200], 13);
    let rule = UpdateRule::default();
    let work = LocalWork::Sgd(sgd(0.1, 8));
    for learner in learners(&spec, 3) {
        let job = CohortJob {
            params: &params,
            population: &population,
            cohort: &[0, 2, 3],
            rule: &rule,
            work: &work,
            shuffle: None,
        };
        let error = learner.train_cohort(&job).err().expect("a label outside the classes");
        assert!(matches!(error, LearnError::Label { client: 2, label: 5, classes: 5 }), "{error}");
        let error = learner.train_cohort(&CohortJob { params: &params[1..], ..job }).err();
        assert!(matches!(error, Some(LearnError::Shape { .. })));
        let error = learner.evaluate(&params[1..], &population.clients[0]).err();
        assert!(matches!(error, Some(LearnError::Shape { .. })));
        let narrow = Examples::from_bytes(vec![0; 4], vec![0], 4);
        let error = learner.evaluate(&params, &narrow).err();
        assert!(matches!(error, Some(LearnError::Shape { .. })));
        let mime = LocalWork::Mime { sgd: sgd(0.1, 8), momentum: 0.9, velocity: &params[2..] };
        let error = learner.train_cohort(&CohortJob { work: &mime, ..job }).err();
        assert!(matches!(error, Some(LearnError::Shape { .. })));
    }
}

/// Shuffle, repeat, batch, in that order: the stream of all epochs is cut into batches, here by
/// hand. 5 examples in batches of 32 are one batch of 20 after four epochs.
#[test]
fn epochs_follow_one_another_in_one_stream_of_batches() {
    let spec = MlpSpec::new([13, 9, 7, 5]);
    let sizes = [5, 11, 1, 23, 0];
    let population = Population::random(&spec, &sizes, 71);
    let params = random_params(&spec, 72);
    let seed = ShuffleSeed::new([73; 32]);
    for (batch, epochs, batches) in [
        (32, 4, [1, 2, 1, 3, 0]),
        (4, 2, [3, 6, 1, 12, 0]),
        (5, 3, [3, 7, 1, 14, 0]),
        (200, 5, [1, 1, 1, 1, 0]),
        (1, 2, [10, 22, 2, 46, 0]),
    ] {
        let sgd = LocalSgd { epochs: nonzero(epochs), ..sgd(0.1, batch) };
        let work = LocalWork::Sgd(sgd);
        for (client, &size) in sizes.iter().enumerate() {
            let mut rng = seed.rng(&format!("client{client}"));
            let mut visits = Vec::new();
            for _ in 0..epochs {
                let mut order = vec![0; size];
                ShuffleSeed::permute(&mut order, &mut rng);
                visits.extend(order);
            }
            let start: Vec<f64> = params.iter().copied().map(f64::from).collect();
            let mut weights = start.clone();
            let mut taken = 0;
            while !visits.is_empty() {
                let rest = visits.split_off(batch.min(visits.len()));
                let examples = &population.clients[client];
                let (gradient, _) =
                    fed_model::reference::gradient(&spec, &weights, examples, &visits);
                weights.iter_mut().zip(gradient).for_each(|(weight, g)| *weight -= 0.1 * g);
                visits = rest;
                taken += 1;
            }
            let truth: Vec<f32> = start.iter().zip(&weights).map(|(a, b)| (a - b) as f32).collect();
            assert_eq!(taken, batches[client], "{batch} examples a batch, {epochs} epochs");
            let reference = Box::new(ReferenceLearner::new(spec.clone())) as Box<dyn Learner>;
            for learner in learners(&spec, 2).into_iter().chain([reference]) {
                let (ours, report) =
                    update_of(&*learner, &params, &population, client, &work, Some(seed));
                assert_eq!(report.batches, taken, "{}", learner.describe());
                assert_eq!(report.metrics.examples, (size * epochs) as u64);
                if size > 0 {
                    assert!(distance(&ours, &truth) < 5e-6, "{}", learner.describe());
                }
            }
        }
    }
}

#[test]
fn more_visits_than_can_be_counted_are_refused() {
    let (spec, population, params) = small();
    let rule = UpdateRule::default();
    let epochs = nonzero(usize::MAX / 2);
    let work = LocalWork::Sgd(LocalSgd { epochs, ..sgd(0.1, 8) });
    for learner in learners(&spec, 1) {
        let job = CohortJob {
            params: &params,
            population: &population,
            cohort: &[1, 2],
            rule: &rule,
            work: &work,
            shuffle: None,
        };
        let error = learner.train_cohort(&job).err().expect("it would never end");
        assert!(matches!(error, LearnError::Visits { client: 2, examples: 23, .. }), "{error}");
        // A client without examples has no visits, however often it goes through them.
        assert!(learner.train_cohort(&CohortJob { cohort: &[1], ..job }).is_ok());
    }
}
