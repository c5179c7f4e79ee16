//! A round's local work at real sizes: 784-200-200-10 (199,210 parameters), clients of 20 to 200
//! examples around 101, batches of 32, one pass; and the evaluation of 40,832 images.
//!
//! `cargo bench -p fed-model --bench local_training` for the CPU trainer, with `--features burn`
//! for Burn's CPU back ends as well. To compare two commits: `-- --save-baseline before` on the
//! one, `-- --baseline before` on the other.

use std::borrow::Cow;
use std::hint::black_box;
use std::num::NonZeroUsize;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use dp_agg::UpdateRule;
use fed_data::{Examples, FederatedData, ShuffleSeed};
use fed_model::{Backend, CohortJob, Learner, LocalSgd, LocalWork, MlpSpec, open};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Clients of random bytes.
struct Population(Vec<Examples<'static>>);

impl FederatedData for Population {
    fn num_clients(&self) -> usize {
        self.0.len()
    }
    fn client_id(&self, index: usize) -> Cow<'_, str> {
        index.to_string().into()
    }
    fn num_examples(&self, index: usize) -> usize {
        self.0[index].len()
    }
    fn client(&self, index: usize) -> Examples<'_> {
        self.0[index].slice(0..self.0[index].len())
    }
    fn width(&self) -> usize {
        784
    }
    fn classes(&self) -> usize {
        10
    }
}

fn examples(count: usize, rng: &mut ChaCha8Rng) -> Examples<'static> {
    let pixels: Vec<u8> = (0..count * 784).map(|_| rng.random()).collect();
    let labels: Vec<u8> = (0..count).map(|_| rng.random_range(0..10)).collect();
    Examples::from_bytes(pixels, labels, 784)
}

/// Sizes like the tutorial's clients: the sum of twelve draws is near to normal.
fn size(rng: &mut ChaCha8Rng) -> usize {
    let normal: f64 = (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0;
    (101.0 + 25.0 * normal).round().clamp(20.0, 200.0) as usize
}

fn learners(threads: usize) -> impl Iterator<Item = (Backend, Box<dyn Learner>)> {
    let spec = MlpSpec::emnist(10);
    let wanted = std::env::var_os("FED_MODEL_TEST_WGPU").is_some_and(|value| value == "1");
    Backend::ALL
        .into_iter()
        .filter(move |backend| backend.is_compiled_in() && (*backend != Backend::Wgpu || wanted))
        .map(move |backend| {
            let threads = NonZeroUsize::new(threads).expect("positive");
            (backend, open(backend, &spec, threads).expect("a device"))
        })
}

fn rounds(c: &mut Criterion) {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let sizes: Vec<usize> = (0..120).map(|_| size(&mut rng)).collect();
    let population = Population(sizes.into_iter().map(|n| examples(n, &mut rng)).collect());
    let params = MlpSpec::emnist(10).glorot_uniform(&mut rng);
    let work = LocalWork::Sgd(LocalSgd {
        learning_rate: 0.01,
        momentum: 0.0,
        batch_size: NonZeroUsize::new(32).expect("positive"),
        epochs: NonZeroUsize::MIN,
        proximal: 0.0,
    });
    let rule = UpdateRule {
        zeroing_threshold: Some(21.0),
        magnitude_estimate: Some(10.0),
        clip_norm: Some(0.1),
        ..UpdateRule::default()
    };
    let cohort: Vec<usize> = (0..120).collect();
    let mut group = c.benchmark_group("round");
    group.sample_size(20);
    for threads in [1, 2] {
        for (backend, learner) in learners(threads) {
            for clients in [50, 120] {
                let name = format!("{backend}, {threads} threads, clients");
                group.bench_with_input(BenchmarkId::new(name, clients), &clients, |b, &clients| {
                    b.iter(|| {
                        let job = CohortJob {
                            params: black_box(&params),
                            population: &population,
                            cohort: &cohort[..clients],
                            rule: &rule,
                            work: &work,
                            shuffle: Some(ShuffleSeed::new([7; 32])),
                        };
                        learner.train_cohort(&job).map(|round| round.reports.len())
                    });
                });
            }
        }
    }
    group.finish();
}

fn evaluations(c: &mut Criterion) {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let test = examples(40_832, &mut rng);
    let params = MlpSpec::emnist(10).glorot_uniform(&mut rng);
    let mut group = c.benchmark_group("evaluation of 40,832 images");
    group.sample_size(20);
    for threads in [1, 2] {
        for (backend, learner) in learners(threads) {
            group.bench_function(format!("{backend}, {threads} threads"), |b| {
                b.iter(|| learner.evaluate(black_box(&params), &test));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, rounds, evaluations);
criterion_main!(benches);
