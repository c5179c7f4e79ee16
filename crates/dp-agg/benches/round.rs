//! What aggregation costs a round of the network of 199,210 parameters.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use dp_agg::{
    Aggregator, Clipping, GaussianAggregator, GaussianConfig, NoiseSource, SecretSum, Zeroing,
};

const DIM: usize = 199_210;

fn aggregator() -> GaussianAggregator {
    GaussianAggregator::new(GaussianConfig {
        noise_multiplier: 1.2,
        clients_per_round: 120.0,
        zeroing: Zeroing::Adaptive(Default::default()),
        clipping: Clipping::default(),
    })
    .expect("in range")
}

fn weights(phase: f32) -> Vec<f32> {
    (0..DIM).map(|place| 0.1 * (place as f32 * 0.37 + phase).sin()).collect()
}

fn adding(c: &mut Criterion) {
    let rule = aggregator().rule();
    let (initial, trained) = (weights(0.0), weights(0.01));
    let update: Vec<f32> = initial.iter().zip(&trained).map(|(a, b)| a - b).collect();
    let mut group = c.benchmark_group("one client, 199210 parameters");
    group.throughput(Throughput::Elements(DIM as u64));
    let mut sum = SecretSum::open(&rule, DIM);
    group.bench_function("add", |b| b.iter(|| sum.add(black_box(&update), 100)));
    group.bench_function("add_difference", |b| {
        b.iter(|| sum.add_difference(black_box(&initial), black_box(&trained), 100));
    });
    group.finish();
}

fn merging(c: &mut Criterion) {
    let rule = aggregator().rule();
    let update = weights(0.0);
    let mut sum = SecretSum::open(&rule, DIM);
    c.bench_function("merge, 199210 parameters", |b| {
        b.iter_batched(
            || {
                let mut part = SecretSum::open(&rule, DIM);
                part.add(&update, 1);
                part
            },
            |part| sum.merge(part),
            BatchSize::LargeInput,
        );
    });
}

fn noise(c: &mut Criterion) {
    let spec = aggregator().noise(DIM);
    let mut group = c.benchmark_group("noise, 199210 parameters");
    group.throughput(Throughput::Elements(DIM as u64));
    for threads in [1, rayon::current_num_threads()] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let pool = pool.expect("a few threads");
        for (name, source) in [
            ("simulation", NoiseSource::Simulation { key: [1; 32] }),
            ("release", NoiseSource::Release),
        ] {
            group.bench_function(format!("{name}, {threads} threads"), |b| {
                b.iter(|| pool.install(|| spec.draw(black_box(&source))));
            });
        }
    }
    group.finish();
}

fn releasing(c: &mut Criterion) {
    let aggregator = aggregator();
    let update = weights(0.0);
    let source = NoiseSource::Simulation { key: [1; 32] };
    c.bench_function("release, 199210 parameters", |b| {
        b.iter_batched(
            || {
                let mut sum = SecretSum::open(&aggregator.rule(), DIM);
                sum.add(&update, 1);
                let noise = aggregator.noise(DIM).draw(&source).expect("a seeded draw");
                (aggregator.clone(), sum, noise)
            },
            |(mut aggregator, sum, noise)| aggregator.release(sum, noise),
            BatchSize::LargeInput,
        );
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = adding, merging, noise, releasing
}
criterion_main!(benches);
