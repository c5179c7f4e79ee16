//! What the tests share: small populations, every learner of this build, one update in the open.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::borrow::Cow;
use std::num::NonZeroUsize;

use dp_agg::{Aggregator, Noise, NoiseSpec, PlainMean, UpdateRule, Weighting};
use fed_data::{Examples, FederatedData, ShuffleSeed};
use fed_model::{
    Backend, ClientReport, CohortJob, CohortSum, Learner, LocalSgd, LocalWork, MlpSpec, open,
    open_in_groups,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Clients in memory.
pub(crate) struct Population {
    pub(crate) clients: Vec<Examples<'static>>,
    pub(crate) width: usize,
    pub(crate) classes: usize,
}

impl FederatedData for Population {
    fn num_clients(&self) -> usize {
        self.clients.len()
    }
    fn client_id(&self, index: usize) -> Cow<'_, str> {
        format!("client{index}").into()
    }
    fn num_examples(&self, index: usize) -> usize {
        self.clients[index].len()
    }
    fn client(&self, index: usize) -> Examples<'_> {
        self.clients[index].slice(0..self.clients[index].len())
    }
    fn width(&self) -> usize {
        self.width
    }
    fn classes(&self) -> usize {
        self.classes
    }
}

impl Population {
    /// Clients with these numbers of examples, random bytes and labels.
    pub(crate) fn random(spec: &MlpSpec, sizes: &[usize], seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (width, classes) = (spec.inputs(), spec.classes());
        let clients = sizes
            .iter()
            .map(|&size| {
                let pixels: Vec<u8> = (0..size * width).map(|_| rng.random()).collect();
                let labels: Vec<u8> =
                    (0..size).map(|_| rng.random_range(0..classes) as u8).collect();
                Examples::from_bytes(pixels, labels, width)
            })
            .collect();
        Self { clients, width, classes }
    }
}

/// Random parameters, biases included.
pub(crate) fn random_params(spec: &MlpSpec, seed: u64) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut params = spec.glorot_uniform(&mut rng);
    for slot in spec.slots() {
        params[slot.bias].iter_mut().for_each(|bias| *bias = rng.random::<f32>() * 0.2 - 0.1);
    }
    params
}

/// A positive number.
pub(crate) fn nonzero(value: usize) -> NonZeroUsize {
    NonZeroUsize::new(value).expect("positive")
}

/// Every learner of this build for `spec`; those of Burn's CPU back ends in both forms, one client
/// at a time and side by side as on a graphics card. A graphics device only where the environment variable
/// `FED_MODEL_TEST_WGPU` asks for it: that some adapter exists does not mean that it works.
pub(crate) fn learners(spec: &MlpSpec, threads: usize) -> Vec<Box<dyn Learner>> {
    let wanted = |&backend: &Backend| backend != Backend::Wgpu || wgpu_wanted();
    let compiled_in = Backend::ALL.into_iter().filter(|backend| backend.is_compiled_in());
    compiled_in
        .filter(wanted)
        .flat_map(|backend| {
            let alone = open(backend, spec, nonzero(threads));
            let grouped = [Backend::Flex, Backend::Ndarray]
                .contains(&backend)
                .then(|| open_in_groups(backend, spec, nonzero(threads), nonzero(3)));
            std::iter::once(alone).chain(grouped)
        })
        .map(|learner| learner.unwrap_or_else(|error| panic!("{error}")))
        .collect()
}

#[expect(clippy::print_stdout, reason = "a test that skips says so")]
pub(crate) fn wgpu_wanted() -> bool {
    let wanted = std::env::var_os("FED_MODEL_TEST_WGPU").is_some_and(|value| value == "1");
    if !wanted {
        println!("wgpu skipped: FED_MODEL_TEST_WGPU=1 runs it");
    }
    wanted
}

/// One pass of plain SGD.
pub(crate) fn sgd(learning_rate: f64, batch_size: usize) -> LocalSgd {
    LocalSgd {
        learning_rate,
        momentum: 0.0,
        batch_size: nonzero(batch_size),
        epochs: nonzero(1),
        proximal: 0.0,
    }
}

/// The cohort of a job, every update passing the default rule.
pub(crate) fn train(
    learner: &dyn Learner,
    params: &[f32],
    population: &dyn FederatedData,
    cohort: &[usize],
    work: &LocalWork<'_>,
    shuffle: Option<ShuffleSeed>,
) -> CohortSum {
    let rule = UpdateRule::default();
    let job = CohortJob { params, population, cohort, rule: &rule, work, shuffle };
    learner.train_cohort(&job).unwrap_or_else(|error| panic!("{}: {error}", learner.describe()))
}

/// The update of one client and what is reported of it.
pub(crate) fn update_of(
    learner: &dyn Learner,
    params: &[f32],
    population: &dyn FederatedData,
    client: usize,
    work: &LocalWork<'_>,
    shuffle: Option<ShuffleSeed>,
) -> (Vec<f32>, ClientReport) {
    let trained = train(learner, params, population, &[client], work, shuffle);
    let report = trained.reports[0];
    (mean(trained), report)
}

/// The plain mean of a cohort.
pub(crate) fn mean(cohort: CohortSum) -> Vec<f32> {
    let mut aggregator = PlainMean::new(Weighting::Uniform);
    let noise = no_noise(&aggregator, cohort.sum.dim());
    aggregator.release(cohort.sum, noise).expect("a plain mean").mean
}

/// The noise of an aggregator without noise.
pub(crate) fn no_noise(aggregator: &dyn Aggregator, dim: usize) -> Noise {
    let spec: NoiseSpec = aggregator.noise(dim);
    assert!(spec.is_none(), "this test knows no noise");
    Noise::none(dim, aggregator.rule().grid())
}

/// The largest difference of a coordinate, in units of the joint norm of `b`.
///
/// Weights are single precision, so each step rounds each of them by up to half a unit in the
/// last place, `4e-9` at the tutorial's weights: over 199,210 of them that is about `1e-5` of a
/// small update in the joint norm, whoever computes it, and far below `1e-6` in any coordinate.
pub(crate) fn distance(a: &[f32], b: &[f32]) -> f64 {
    difference(a, b) / b.iter().map(|&b| f64::from(b).powi(2)).sum::<f64>().sqrt()
}

/// The largest difference of a coordinate.
pub(crate) fn difference(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    let apart = |(a, b): (&f32, &f32)| (f64::from(*a) - f64::from(*b)).abs();
    a.iter().zip(b).map(apart).fold(0.0, f64::max)
}
