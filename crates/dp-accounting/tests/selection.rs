//! The price of choosing the best of many runs, against the exact output distribution of small
//! mechanisms.
//!
//! With `F` the distribution function of one run's output, `f` the probability generating function
//! of the number of runs, and outputs ordered by how good they are, the best of them is at most `y`
//! with probability `f(F(y))`. That gives the Rényi divergence of the whole search without any
//! theorem, for every mechanism whose `F` is known.

use dp_accounting::{
    Accountant, Delta, DpEvent, Epsilon, Neighboring, NoiseMultiplier, RdpAccountant, Repetitions,
};
use libm::erfc;

/// `f(x) = E[x^K]`; `f(0)` is the probability that nothing is published.
fn generating(repetitions: Repetitions, x: f64) -> f64 {
    match repetitions {
        Repetitions::TruncatedNegativeBinomial { shape, gamma } => {
            let left = ((gamma - 1.0) * x).ln_1p();
            if shape.abs() < 1e-12 {
                left / gamma.ln()
            } else {
                (-shape * left).exp_m1() / (-shape * gamma.ln()).exp_m1()
            }
        }
        Repetitions::Poisson { mean } => (mean * (x - 1.0)).exp(),
    }
}

/// `f'(x)`.
fn slope(repetitions: Repetitions, x: f64) -> f64 {
    match repetitions {
        Repetitions::TruncatedNegativeBinomial { shape, gamma } => {
            let left = 1.0 - (1.0 - gamma) * x;
            if shape.abs() < 1e-12 {
                (1.0 - gamma) / (left * -gamma.ln())
            } else {
                shape * (1.0 - gamma) * left.powf(-shape - 1.0) / (-shape * gamma.ln()).exp_m1()
            }
        }
        Repetitions::Poisson { mean } => mean * (mean * (x - 1.0)).exp(),
    }
}

/// The Rényi divergence of the best of many outputs of two discrete mechanisms; the last output is
/// the best one.
fn of_discrete(repetitions: Repetitions, p: &[f64], q: &[f64], order: f64) -> f64 {
    let best = |one: &[f64]| -> Vec<f64> {
        let mut below = 0.0;
        let mut masses = vec![generating(repetitions, 0.0)];
        for mass in one {
            let before = generating(repetitions, below);
            below = (below + mass).min(1.0);
            masses.push(generating(repetitions, below) - before);
        }
        masses
    };
    divergence(best(p).into_iter().zip(best(q)), order)
}

/// The Rényi divergence of masses against masses.
fn divergence(masses: impl Iterator<Item = (f64, f64)>, order: f64) -> f64 {
    let logarithms: Vec<f64> = masses
        .filter(|(p, q)| *p > 1e-290 && *q > 1e-290)
        .map(|(p, q)| order * p.ln() + (1.0 - order) * q.ln())
        .collect();
    let largest = logarithms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = logarithms.iter().map(|one| (one - largest).exp()).sum();
    (largest + sum.ln()) / (order - 1.0)
}

/// The same for `N(mean, sigma²)` against `N(other, sigma²)`, of which the largest is the best.
fn of_gaussians(repetitions: Repetitions, mean: f64, other: f64, sigma: f64, order: f64) -> f64 {
    let density = |x: f64, centre: f64| {
        let at = (x - centre) / sigma;
        let below = 0.5 * erfc(-at * std::f64::consts::FRAC_1_SQRT_2);
        let one = (-0.5 * at * at).exp() / (sigma * (2.0 * std::f64::consts::PI).sqrt());
        slope(repetitions, below) * one
    };
    let reach = 10.0 * sigma + order;
    let nodes = 4_000;
    let step = 2.0 * reach / f64::from(nodes);
    let masses = (0..=nodes)
        .map(|k| -reach + step * f64::from(k))
        .map(|x| (step * density(x, mean), step * density(x, other)));
    let nothing = generating(repetitions, 0.0);
    divergence(masses.chain([(nothing, nothing)]), order)
}

/// What the accountant says.
fn bound(event: DpEvent, repetitions: Repetitions, order: f64) -> f64 {
    let mut accountant = RdpAccountant::new(Neighboring::AddOrRemoveOne);
    let event = DpEvent::RepeatAndSelect { event: Box::new(event), repetitions };
    accountant.compose(&event, 1).expect("supported");
    accountant.rdp(order)
}

fn pure(epsilon: f64) -> DpEvent {
    DpEvent::PureDp { epsilon: Epsilon::new(epsilon).expect("in range") }
}

fn gaussian(sigma: f64) -> DpEvent {
    DpEvent::gaussian(NoiseMultiplier::new(sigma).expect("in range"))
}

fn negative_binomial(shape: f64, gamma: f64) -> Repetitions {
    Repetitions::TruncatedNegativeBinomial { shape, gamma }
}

/// Many and few runs, certain and uncertain numbers.
fn distributions() -> Vec<Repetitions> {
    let mut all = Vec::new();
    for shape in [-0.9, -0.5, 0.0, 1e-11, 0.5, 1.0, 4.0] {
        for gamma in [1e-6, 1e-3, 0.1, 0.5, 0.9, 0.999] {
            all.push(negative_binomial(shape, gamma));
        }
    }
    for mean in [1e-6, 0.01, 0.3, 0.9, 1.0, 1.1, 3.0, 20.0, 300.0] {
        all.push(Repetitions::Poisson { mean });
    }
    all
}

const ORDERS: [f64; 8] = [1.001, 1.1, 1.5, 2.0, 3.7, 8.0, 30.0, 200.0];

/// Randomised response on one bit is the worst that a pure guarantee allows for one run. For the
/// best of many it need not be, and yet the bound is a small multiple of the truth.
#[test]
fn the_bound_holds_for_randomised_response_and_is_not_far() {
    let mut checked = 0;
    let mut worst = 0.0_f64;
    for repetitions in distributions() {
        for epsilon in [1e-4_f64, 0.01, 0.3, 1.0, 3.0] {
            let likely = 1.0 / (1.0 + (-epsilon).exp());
            for order in ORDERS {
                let ours = bound(pure(epsilon), repetitions, order);
                let truth =
                    |p: f64, q: f64| of_discrete(repetitions, &[p, 1.0 - p], &[q, 1.0 - q], order);
                let truth = truth(likely, 1.0 - likely).max(truth(1.0 - likely, likely));
                // Below this the truth itself is rounding.
                let slack = 1e-9 * truth.abs() + 1e-13 / (order - 1.0);
                let what = format!("{repetitions:?} of ε = {epsilon} at order {order}");
                assert!(ours >= truth - slack, "{what}: {ours} below {truth}");
                let usual = matches!(
                    repetitions,
                    Repetitions::Poisson { .. }
                        | Repetitions::TruncatedNegativeBinomial { shape: 0.0..=1.0, .. }
                );
                if usual
                    && (1.5..50.0).contains(&repetitions.mean())
                    && order > 7.0
                    && epsilon > 0.1
                {
                    worst = worst.max(ours / truth);
                }
                checked += 1;
            }
        }
    }
    assert_eq!(checked, 51 * 5 * 8, "an empty table proves nothing");
    assert!(worst > 1.0 && worst < 5.0, "{worst} times the truth");
}

#[test]
fn the_bound_holds_for_gaussians() {
    for repetitions in distributions() {
        for sigma in [0.7, 2.0, 10.0] {
            for order in &ORDERS[..6] {
                let ours = bound(gaussian(sigma), repetitions, *order);
                for (mean, other) in [(0.0, 1.0), (1.0, 0.0)] {
                    let truth = of_gaussians(repetitions, mean, other, sigma, *order);
                    let slack = 1e-7 * truth.abs() + 1e-10 / (order - 1.0);
                    let what = format!("{repetitions:?} of σ = {sigma} at order {order}");
                    assert!(ours >= truth - slack, "{what}: {ours} below {truth}");
                }
            }
        }
    }
}

/// What `ρ + μ δ̂ + ln(μ)/(λ − 1)` alone makes of less than one run: a price below nothing.
#[test]
fn less_than_one_run_in_the_mean_is_not_free() {
    for mean in [0.9, 0.5, 0.1, 1e-3] {
        let repetitions = Repetitions::Poisson { mean };
        let event = DpEvent::RepeatAndSelect { event: Box::new(gaussian(1.0)), repetitions };
        let mut accountant = RdpAccountant::new(Neighboring::AddOrRemoveOne);
        accountant.compose(&event, 1).expect("supported");
        let at = Delta::new(1e-6).expect("in range");
        let epsilon = accountant.epsilon(at).expect("no limits").get();
        // The best of exactly one run is the run itself: with at least this probability something
        // was released, and δ of that much of it is still above the one allowed.
        let share = mean * (-mean).exp();
        let mut one = RdpAccountant::new(Neighboring::AddOrRemoveOne);
        one.compose(&gaussian(1.0), 1).expect("supported");
        let single = one.epsilon(Delta::new(1e-6 / share).expect("in range")).expect("no limits");
        assert!(epsilon > 0.5 * single.get(), "{mean}: {epsilon} against {single}");
        let all = one.epsilon(at).expect("no limits").get();
        assert!(epsilon < 2.0 * all, "{mean}: {epsilon} against {all}");
    }
    // And none at all is free in the limit.
    let tiny = bound(gaussian(1.0), Repetitions::Poisson { mean: 1e-300 }, 2.0);
    assert!((0.0..1e-299).contains(&tiny), "{tiny}");
}
