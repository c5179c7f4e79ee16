//! Five rounds of federated averaging over eight small clients, on a back end by name.
//!
//! ```text
//! cargo run -p fed-model --example train_clients -- cpu
//! ```
//!
//! The clients see points of three noisy clusters, each client mostly one of them.

use std::borrow::Cow;
use std::num::NonZeroUsize;

use dp_agg::{Aggregator, Noise, PlainMean, Weighting};
use fed_data::{Examples, FederatedData, ShuffleSeed};
use fed_model::{Backend, CohortJob, LocalSgd, LocalWork, MlpSpec, open};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Points in the plane, labelled by their cluster.
struct Clusters(Vec<Examples<'static>>);

impl Clusters {
    fn new(clients: usize, rng: &mut ChaCha8Rng) -> Self {
        Self((0..clients).map(|client| points(40, client % 3, rng)).collect())
    }
}

/// `count` points, two thirds of them from the cluster `favourite`.
fn points(count: usize, favourite: usize, rng: &mut ChaCha8Rng) -> Examples<'static> {
    let centres: [[f32; 2]; 3] = [[0.0, 1.0], [1.0, -0.5], [-1.0, -0.5]];
    let (mut features, mut labels) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let cluster = if rng.random_bool(0.5) { favourite } else { rng.random_range(0..3) };
        features.extend(centres[cluster].map(|at| at + rng.random_range(-0.6_f32..0.6)));
        labels.push(cluster as u8);
    }
    Examples::from_floats(features, labels, 2)
}

impl FederatedData for Clusters {
    fn num_clients(&self) -> usize {
        self.0.len()
    }
    fn client_id(&self, index: usize) -> Cow<'_, str> {
        format!("client {index}").into()
    }
    fn num_examples(&self, index: usize) -> usize {
        self.0[index].len()
    }
    fn client(&self, index: usize) -> Examples<'_> {
        self.0[index].slice(0..self.0[index].len())
    }
    fn width(&self) -> usize {
        2
    }
    fn classes(&self) -> usize {
        3
    }
}

#[expect(clippy::print_stdout, reason = "an example shows its result")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let backend: Backend = std::env::args().nth(1).as_deref().unwrap_or("cpu").parse()?;
    let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let learner = open(backend, &MlpSpec::new([2, 16, 3]), threads)?;
    println!("{}", learner.describe());

    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let population = Clusters::new(8, &mut rng);
    let test = points(600, 0, &mut rng);
    let mut params = learner.init(&mut rng);
    let cohort: Vec<usize> = (0..population.num_clients()).collect();
    let work = LocalWork::Sgd(LocalSgd {
        learning_rate: 0.1,
        momentum: 0.0,
        batch_size: NonZeroUsize::new(8).expect("positive"),
        epochs: NonZeroUsize::MIN,
        proximal: 0.0,
    });
    let mut aggregator = PlainMean::new(Weighting::Examples);
    for round in 0..=5_u8 {
        let metrics = learner.evaluate(&params, &test)?;
        println!("round {round}: accuracy {:.3}, loss {:.3}", metrics.accuracy(), metrics.loss());
        let rule = aggregator.rule();
        let trained = learner.train_cohort(&CohortJob {
            params: &params,
            population: &population,
            cohort: &cohort,
            rule: &rule,
            work: &work,
            shuffle: Some(ShuffleSeed::new([round; 32])),
        })?;
        let noise = Noise::none(params.len(), rule.grid());
        let update = aggregator.release(trained.sum, noise)?.mean;
        // Updates are initial minus trained weights: the server subtracts.
        params.iter_mut().zip(&update).for_each(|(weight, update)| *weight -= update);
    }
    Ok(())
}
