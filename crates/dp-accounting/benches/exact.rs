//! What exact accounting costs: one interval, one search, one calibration.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use dp_accounting::calibrate::{ClientSearch, Run};
use dp_accounting::{
    Accountant, Delta, DpEvent, Epsilon, ExactAccountant, Neighboring, NoiseMultiplier,
    SamplingProbability,
};

fn exact() -> ExactAccountant {
    ExactAccountant::new(Neighboring::AddOrRemoveOne)
}

fn intervals(c: &mut Criterion) {
    let mut group = c.benchmark_group("interval of width 1e-9");
    let delta = Delta::new(1e-5).expect("in range");
    for (q, z, rounds) in [(120.0 / 3383.0, 1.2, 100), (0.01, 1.0, 10_000), (0.01, 1.0, 1_000_000)]
    {
        let round = DpEvent::gaussian(NoiseMultiplier::new(z).expect("in range"))
            .poisson_sampled(SamplingProbability::new(q).expect("in range"));
        group.bench_function(BenchmarkId::new("rounds", rounds), |b| {
            b.iter(|| {
                let mut accountant = exact();
                accountant.compose(black_box(&round), rounds).expect("supported");
                accountant.epsilon_interval(delta).expect("reached")
            });
        });
    }
    group.finish();
}

/// What a column of live prices meets in its first rounds.
fn first_rounds(c: &mut Criterion) {
    let mut group = c.benchmark_group("interval of width 1e-9, first rounds");
    let delta = Delta::new(1e-5).expect("in range");
    for (q, z) in [(50.0 / 3383.0, 0.5), (120.0 / 3383.0, 1.2), (0.1, 1.0)] {
        let round = DpEvent::gaussian(NoiseMultiplier::new(z).expect("in range"))
            .poisson_sampled(SamplingProbability::new(q).expect("in range"));
        for rounds in [1, 2, 3, 5] {
            let name = BenchmarkId::new(format!("q {q:.4}, z {z}, rounds"), rounds);
            group.bench_function(name, |b| {
                b.iter(|| {
                    let mut accountant = exact();
                    accountant.compose(black_box(&round), rounds).expect("supported");
                    accountant.epsilon_interval(delta).expect("reached")
                });
            });
        }
    }
    group.finish();
}

fn searches(c: &mut Criterion) {
    let delta = Delta::new(1e-5).expect("in range");
    let target = Epsilon::new(2.0).expect("in range");
    let search = ClientSearch {
        population: 3383,
        base_clients: 50,
        base_noise_multiplier: NoiseMultiplier::new(0.5).expect("in range"),
        target,
    };
    c.bench_function("the tutorial's search, exact, 104 clients", |b| {
        b.iter(|| search.run_with(black_box(100), delta, exact).expect("reached"));
    });
    let run = Run {
        clients: 100,
        population: 10_000,
        noise_multiplier: NoiseMultiplier::new(1.0).expect("in range"),
        rounds: 10_000,
        delta,
    };
    c.bench_function("noise for epsilon 2, q = 0.01, 10,000 rounds", |b| {
        b.iter(|| run.smallest_noise(black_box(target), 1e-9, exact).expect("reached"));
    });
}

criterion_group!(benches, intervals, first_rounds, searches);
criterion_main!(benches);
