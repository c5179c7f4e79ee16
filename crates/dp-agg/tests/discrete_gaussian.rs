//! What the page of `noise` says of the price of release noise, tried at scales so small that it
//! shows: at the scales that are drawn all of it lies beyond any float.
//!
//! The table was made with 50 digits by another program, see `reference/README.md`.

use dp_accounting::rdp::subsampled_gaussian;
use dp_accounting::{
    Accountant, DpEvent, Epsilon, ExactAccountant, Neighboring, NoiseMultiplier,
    SamplingProbability,
};

/// `exp(−x²/(2σ²))`.
fn weight(x: f64, sigma: f64) -> f64 {
    (-0.5 * (x / sigma) * (x / sigma)).exp()
}

/// Whole numbers as far as anything of a scale of at most 4 and a shift of 40 weighs.
fn whole() -> impl Iterator<Item = f64> {
    (-120..=120).map(f64::from)
}

/// The mass of the discrete Gaussian of scale `sigma` at `x`.
fn mass(x: f64, sigma: f64) -> f64 {
    weight(x, sigma) / whole().map(|x| weight(x, sigma)).sum::<f64>()
}

/// `e(s) = 2 Σ exp(−2π²s²k²)`.
fn excess(s: f64) -> f64 {
    let term = |k: i32| (-2.0 * (std::f64::consts::PI * s * f64::from(k)).powi(2)).exp();
    2.0 * (1..20).map(term).sum::<f64>()
}

fn rate(q: f64) -> SamplingProbability {
    SamplingProbability::new(q).expect("in range")
}

fn multiplier(z: f64) -> NoiseMultiplier {
    NoiseMultiplier::new(z).expect("in range")
}

/// `ln E[((1 − q) + q r)^α]`, `r` the likelihood ratio of discrete Gaussians a whole vector apart.
fn ln_discrete(shift: [f64; 2], sigma: f64, q: f64, order: f64) -> f64 {
    let squared = shift[0] * shift[0] + shift[1] * shift[1];
    let moved = |x: f64, y: f64| {
        let ratio = (2.0 * (x * shift[0] + y * shift[1]) - squared) / (2.0 * sigma * sigma);
        // The weight goes into the power, where it keeps large ratios from overflowing.
        let ln_weight = -0.5 * (x * x + y * y) / (sigma * sigma);
        (((1.0 - q) + q * ratio.exp()).ln() * order + ln_weight).exp()
    };
    let total = whole().map(|x| weight(x, sigma)).sum::<f64>();
    if shift[1] <= 0.0 {
        return (whole().map(|x| moved(x, 0.0)).sum::<f64>() / total).ln();
    }
    let sum = whole().map(|x| whole().map(|y| moved(x, y)).sum::<f64>()).sum::<f64>();
    (sum / total / total).ln()
}

/// The same of continuous Gaussians, by the accountant that prices runs.
fn ln_continuous(z: f64, q: f64, order: f64) -> f64 {
    subsampled_gaussian::rdp(rate(q), multiplier(z), order) * (order - 1.0)
}

struct Row {
    shift: [f64; 2],
    scale: f64,
    q: f64,
    order: f64,
    ln_discrete: f64,
    ln_continuous: f64,
}

impl Row {
    fn distance(&self) -> f64 {
        self.shift[0].hypot(self.shift[1])
    }

    /// Coordinates that the shift moves: the others have a ratio of 1.
    fn coordinates(&self) -> f64 {
        if self.shift[1] > 0.0 { 2.0 } else { 1.0 }
    }
}

fn table() -> Vec<Row> {
    let rows: Vec<Row> = include_str!("reference/discrete_gaussian.csv")
        .lines()
        .skip(1)
        .map(|line| {
            let row: Vec<f64> =
                line.split(',').map(|field| field.parse().expect("a number")).collect();
            Row {
                shift: [row[0], row[1]],
                scale: row[2],
                q: row[3],
                order: row[4],
                ln_discrete: row[5],
                ln_continuous: row[6],
            }
        })
        .collect();
    assert_eq!(rows.len(), 108, "an empty table proves nothing");
    rows
}

/// Sums here, sums with 50 digits, and the accountant's integral all say the same.
#[test]
fn the_table_is_what_is_summed_here_and_what_the_accountant_prices() {
    for row in table() {
        let Row { shift, scale, q, order, .. } = row;
        let ours = ln_discrete(shift, scale, q, order);
        let what = format!("{shift:?}, scale {scale}, q {q}, order {order}");
        assert!((ours - row.ln_discrete).abs() < 1e-12 * (1.0 + ours.abs()), "{what}: {ours}");
        let priced = ln_continuous(scale / row.distance(), q, order);
        let truth = row.ln_continuous;
        assert!((priced - truth).abs() < 1e-12 * (1.0 + truth.abs()), "{what}: {priced}");
    }
}

/// At whole orders the moments of the discrete Gaussian are those of the continuous one of the same
/// scale, to the last of 25 digits, however coarse the grid is. Between them they are not, and lie
/// above or below.
#[test]
fn at_whole_orders_the_moments_are_exactly_the_continuous_ones() {
    let (mut whole, mut above, mut below) = (0, 0, 0);
    for row in table() {
        let difference = row.ln_discrete - row.ln_continuous;
        if row.order.fract() <= 0.0 {
            assert!(difference.abs() <= 0.0, "{}: {difference:e}", row.order);
            let ours = ln_discrete(row.shift, row.scale, row.q, row.order);
            assert!((ours - row.ln_continuous).abs() < 1e-12 * (1.0 + ours.abs()));
            whole += 1;
        } else if difference > 1e-9 {
            above += 1;
        } else if difference < -1e-9 {
            below += 1;
        }
    }
    assert!(whole >= 40 && above >= 5 && below >= 5, "{whole}, {above}, {below}");
}

/// The theorem at every order: `A(α)` of the discrete Gaussian of scale `σ_d` exceeds that of the
/// continuous one of deviation `√(σ_d² − s²)` by a factor of at most `exp((3α − 2) n e(s))`.
#[test]
fn at_every_order_the_stated_bound_holds() {
    let (mut rows, mut needed) = (0, 0);
    for row in table() {
        for s in [0.45, 0.5, 0.6, 0.7, 0.8, 0.9] {
            let n_times_e = row.coordinates() * excess(s);
            assert!(n_times_e < 0.25);
            let z = (row.scale * row.scale - s * s).sqrt() / row.distance();
            let most = ln_continuous(z, row.q, row.order) + (3.0 * row.order - 2.0) * n_times_e;
            assert!(row.ln_discrete <= most, "{:?} {} {}", row.shift, row.order, s);
            rows += 1;
            needed += usize::from(row.ln_discrete > row.ln_continuous + 1e-9);
        }
    }
    assert!(rows == 648 && needed >= 30, "{rows}, {needed}");
}

/// The theorem itself: the twin's chance of every output, by integration, beside the mass of the
/// discrete Gaussian, around any whole centre.
#[test]
fn the_twin_of_the_theorem_gives_every_output_its_probability_within_the_factor() {
    for (scale, s) in [(1.0, 0.4), (2.0, 0.4), (2.0, 0.6), (3.0, 0.35)] {
        let sigma = f64::sqrt(scale * scale - s * s);
        let e = excess(s);
        let mut largest = 0.0_f64;
        for centre in [0.0, 5.0] {
            for output in -3..=3 {
                let output = centre + f64::from(output);
                // The integrand is smooth and falls like a Gaussian: the trapezoid rule is as good
                // as exact.
                let step = 1.0 / 512.0;
                let chance: f64 = (-12 * 512..=12 * 512)
                    .map(|at| {
                        let x = centre + f64::from(at) * step;
                        let move_to = |y: f64| weight(y - x, s);
                        let all: f64 = (-16..=16).map(|y| move_to(x.round() + f64::from(y))).sum();
                        let density = weight(x - centre, sigma)
                            / (sigma * (2.0 * std::f64::consts::PI).sqrt());
                        density * move_to(output) / all * step
                    })
                    .sum();
                let ratio = mass(output - centre, scale) / chance;
                let what = format!("scale {scale}, s {s}, {output} around {centre}: {ratio}");
                assert!(ratio <= 1.0 + e + 1e-10, "{what}");
                assert!(ratio >= (1.0 - e) / (1.0 + e) - 1e-10, "{what}");
                largest = largest.max((ratio - 1.0).abs());
            }
        }
        assert!(largest > 0.001 * e, "scale {scale}, s {s}: {largest:e} of {e:e} is no trial");
    }
}

/// `δ(ε)` of a sampled discrete Gaussian, in both directions, below what the theorem and the exact
/// accountant say of it.
#[test]
fn delta_is_below_the_stated_bound_at_every_epsilon() {
    for (scale, shift, s) in [(1.0, 1.0, 0.55), (2.0, 1.0, 0.7), (2.0, 3.0, 0.7), (3.0, 1.0, 0.8)] {
        for q in [0.05, 0.5, 1.0] {
            let with = |x: f64| (1.0 - q) * mass(x, scale) + q * mass(x - shift, scale);
            let without = |x: f64| mass(x, scale);
            let e = excess(s);
            let z = f64::sqrt(scale * scale - s * s) / shift;
            let mut accountant = ExactAccountant::new(Neighboring::AddOrRemoveOne);
            let event = DpEvent::gaussian(multiplier(z)).poisson_sampled(rate(q));
            accountant.compose(&event, 1).expect("supported");
            for epsilon in [0.1_f64, 0.3, 1.0, 2.0] {
                let over = |p: f64, q: f64| (p - epsilon.exp() * q).max(0.0);
                let removed: f64 = whole().map(|x| over(with(x), without(x))).sum();
                let added: f64 = whole().map(|x| over(without(x), with(x))).sum();
                let reduced = Epsilon::new((epsilon - 3.0 * e).max(0.0)).expect("in range");
                let most = accountant.delta(reduced).expect("reached").get() * (1.0 + 2.0 * e);
                let what = format!("scale {scale}, shift {shift}, q {q}, epsilon {epsilon}");
                assert!(removed.max(added) <= most + 1e-15, "{what}: {removed}, {added}, {most}");
            }
        }
    }
}

/// The numbers that the page states.
#[test]
fn the_allowance_is_as_small_as_stated() {
    // ln e(8) = ln 2 − 2π²·64 and a rest that no float shows.
    let log10 =
        (2.0_f64.ln() - 2.0 * (8.0 * std::f64::consts::PI).powi(2)) / std::f64::consts::LN_10;
    assert!(log10 < -548.0, "{log10}");
    let coordinates = 84.0 * 2.0_f64.log10();
    assert!(coordinates < 26.0 && log10 + coordinates + 3.0_f64.log10() < -520.0);
}
