//! What one client and one evaluation cost, on every vector unit of this machine.
//!
//! The tutorial's network and sizes: clients of 101 examples (three full batches of 32 and one of
//! five), a client of 32 and one of 5; evaluations of 4,096 images. One thread, so that times are
//! times of a core. Training includes the rule and the sum.

use std::borrow::Cow;
use std::num::NonZeroUsize;

use dp_agg::UpdateRule;
use fed_data::{Examples, FederatedData, ShuffleSeed};
use fed_model::{CohortJob, CpuLearner, Learner, LocalSgd, LocalWork, MlpSpec, VectorUnit};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn main() {
    divan::main();
}

/// The names of the units that this machine has.
fn units() -> Vec<&'static str> {
    let there = VectorUnit::ALL.into_iter().filter(|unit| unit.arch().is_some());
    there.map(VectorUnit::name).collect()
}

fn learner(unit: &str) -> CpuLearner {
    let unit = unit.parse().expect("a name that a unit gave");
    CpuLearner::on(unit, MlpSpec::emnist(10), NonZeroUsize::MIN).expect("it is there")
}

/// A population of one client.
struct One(Examples<'static>);

impl One {
    fn new(examples: usize) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let pixels = (0..examples * 784).map(|_| rng.random()).collect::<Vec<u8>>();
        let labels = (0..examples).map(|_| rng.random_range(0..10)).collect::<Vec<u8>>();
        Self(Examples::from_bytes(pixels, labels, 784))
    }
}

impl FederatedData for One {
    fn num_clients(&self) -> usize {
        1
    }
    fn client_id(&self, _: usize) -> Cow<'_, str> {
        "one".into()
    }
    fn num_examples(&self, _: usize) -> usize {
        self.0.len()
    }
    fn client(&self, _: usize) -> Examples<'_> {
        self.0.slice(0..self.0.len())
    }
    fn width(&self) -> usize {
        784
    }
    fn classes(&self) -> usize {
        10
    }
}

#[divan::bench(args = units(), consts = [5, 32, 101])]
fn train<const EXAMPLES: usize>(bencher: divan::Bencher<'_, '_>, unit: &str) {
    let (learner, population) = (learner(unit), One::new(EXAMPLES));
    let params = learner.init(&mut ChaCha8Rng::seed_from_u64(2));
    let rule = UpdateRule { clip_norm: Some(0.1), ..UpdateRule::default() };
    let work = LocalWork::Sgd(LocalSgd {
        learning_rate: 0.01,
        momentum: 0.0,
        batch_size: NonZeroUsize::new(32).expect("not zero"),
        epochs: NonZeroUsize::MIN,
        proximal: 0.0,
    });
    let job = CohortJob {
        params: &params,
        population: &population,
        cohort: &[0],
        rule: &rule,
        work: &work,
        shuffle: Some(ShuffleSeed::new([3; 32])),
    };
    bencher
        .counter(divan::counter::ItemsCount::new(EXAMPLES))
        .bench_local(|| learner.train_cohort(&job).expect("trained").reports);
}

#[divan::bench(args = units())]
fn evaluate(bencher: divan::Bencher<'_, '_>, unit: &str) {
    let (learner, images) = (learner(unit), One::new(4096).0);
    let params = learner.init(&mut ChaCha8Rng::seed_from_u64(2));
    bencher
        .counter(divan::counter::ItemsCount::new(images.len()))
        .bench_local(|| learner.evaluate(&params, &images).expect("evaluated"));
}
