//! What Rényi accounting costs: one cell, one epsilon, one search.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use dp_accounting::calibrate::ClientSearch;
use dp_accounting::rdp::subsampled_gaussian::rdp;
use dp_accounting::rdp::{Conversion, Orders, RdpAccountant};
use dp_accounting::{
    Accountant, Delta, DpEvent, Epsilon, Neighboring, NoiseMultiplier, SamplingProbability,
};

fn cells(c: &mut Criterion) {
    let mut group = c.benchmark_group("one cell, q = 0.0355");
    let q = SamplingProbability::new(0.035_471_475_022_169_67).expect("in range");
    for z in [0.3, 1.2, 20.0] {
        let z = NoiseMultiplier::new(z).expect("in range");
        for order in [1.25, 8.0, 63.9, 512.0] {
            group.bench_function(BenchmarkId::new(format!("z={z}"), order), |b| {
                b.iter(|| rdp(black_box(q), black_box(z), black_box(order)));
            });
        }
    }
    group.finish();
}

fn tutorial_epsilon(c: &mut Criterion) {
    let mut group = c.benchmark_group("epsilon of the tutorial's final run");
    let round = DpEvent::gaussian(NoiseMultiplier::new(1.2).expect("in range"))
        .poisson_sampled(SamplingProbability::from_counts(120, 3383).expect("in range"));
    let delta = Delta::new(1e-5).expect("in range");
    for (name, orders) in [("tutorial orders", Orders::tutorial()), ("best order", Orders::best())]
    {
        group.bench_function(name, |b| {
            b.iter(|| {
                let mut accountant =
                    RdpAccountant::new(Neighboring::AddOrRemoveOne).with_orders(orders.clone());
                accountant.compose(black_box(&round), 100).expect("supported");
                accountant.epsilon_and_order(delta)
            });
        });
    }
    group.finish();
}

fn tutorial_search(c: &mut Criterion) {
    let search = ClientSearch {
        population: 3383,
        base_clients: 50,
        base_noise_multiplier: NoiseMultiplier::new(0.5).expect("in range"),
        target: Epsilon::new(2.0).expect("in range"),
    };
    let delta = Delta::new(1e-5).expect("in range");
    c.bench_function("the tutorial's search, 10 evaluations", |b| {
        b.iter(|| {
            search
                .run_rdp(black_box(100), delta, &Orders::tutorial(), Conversion::Improved)
                .expect("supported")
        });
    });
}

criterion_group!(benches, cells, tutorial_epsilon, tutorial_search);
criterion_main!(benches);
