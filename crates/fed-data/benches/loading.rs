//! How long it takes until there is data: drawn, and mapped from the cache.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use fed_data::{Choice, FederatedData, OpenOptions, Part, SyntheticWriters};

/// The whole embedded population, on all cores: 382,705 pictures.
fn draw(c: &mut Criterion) {
    let mut group = c.benchmark_group("draw everybody");
    group.sample_size(10);
    for clients in [340, 3_383] {
        group.throughput(Throughput::Elements(clients as u64));
        group.bench_with_input(BenchmarkId::new("clients", clients), &clients, |b, &clients| {
            b.iter(|| SyntheticWriters { seed: 0, clients }.dataset().expect("in range"));
        });
    }
    group.finish();
}

/// One client of a population of ten million.
fn draw_one(c: &mut Criterion) {
    let population = SyntheticWriters { seed: 0, clients: 10_000_000 }
        .population(Part::Train)
        .expect("in range");
    let mut index = 0;
    c.bench_function("draw one client of ten million", |b| {
        b.iter(|| {
            index = (index + 1_234_577) % population.num_clients();
            black_box(population.client(index))
        });
    });
}

/// The second start.
fn map(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let options = OpenOptions::new().choice(Choice::Synthetic).data_dir(folder.path());
    options.open().expect("drawn and kept");
    c.bench_function("map the cache of everybody", |b| {
        b.iter(|| options.open().expect("it lies there"));
    });
}

criterion_group!(benches, draw, draw_one, map);
criterion_main!(benches);
