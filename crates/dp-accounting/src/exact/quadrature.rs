//! `M(c + it) − 1` of one pair at many `t`, from values on one grid.
//!
//! On the real line, with `M(c) − 1` summed from positive terms,
//!
//! ```text
//! M(c + it) − 1 = (M(c) − 1) − 2 Σ τ sin²(tL/2) + 2i Σ τ sin(tL/2) cos(tL/2),    τ = h n e^(A + cL)
//! ```
//!
//! which keeps its digits where `M` is near 1. On a shifted line the terms are `p (e^(sL) − 1)`.
//!
//! # Rounding
//!
//! In units of [`ROUNDING`], first order, from the bounds on `ln n`, `A` and `L` of every
//! [`Point`](super::pair): `p` and `τ` err by the error of their exponents, whose size counts,
//! and by 12; `tL` by `t` times the error of `L`, and by three roundings. Whatever multiplies a
//! sine or `e^(sL) − 1` is bounded both by itself and by its factor `|tL|` or `|sL|`, for the
//! moduli of `e^(sL)` are at most those of `e^(cL)`. A sum of sums errs by the number of summands
//! that a term goes through.

use rustfft::num_complex::Complex64;

use crate::exact::mixture::{exp_m1, size};
use crate::exact::pair::{MOST_POINTS, Pair};
use crate::rdp::trapezoid::ROUNDING;

/// Values of a pair on a grid, ready to be summed at many `t`.
#[derive(Clone, Debug)]
pub(crate) struct Quadrature {
    c: f64,
    shifted: bool,
    /// `p` times the step, and its integral with `e^(cL)`.
    weight: Vec<Complex64>,
    tilted: Vec<Complex64>,
    loss: Vec<Complex64>,
    /// `M(c) − 1`, on the real line only.
    excess: f64,
    sizes: Sums,
    rounding: Rounding,
    /// Bound on what discretisation and cut tails do to `M(c + it)`.
    error: f64,
}

/// Sums of moduli.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    /// `|τ|`, `|τ L|`, `|τ L²|`.
    tilted: [f64; 3],
    /// `|p|`, `|p L|`.
    weight: [f64; 2],
}

/// What rounding does, each term with its own bound.
#[derive(Clone, Copy, Debug, Default)]
struct Rounding {
    /// Of `p` and `τ`.
    sums: Sums,
    /// Of `L`, times `|τ|`.
    loss: f64,
    /// Of the terms of `M(c) − 1`.
    excess: f64,
}

impl Sums {
    fn add(&mut self, weight: f64, tilted: f64, loss: f64) {
        self.tilted[0] += tilted;
        self.tilted[1] += tilted * loss;
        self.tilted[2] += tilted * loss * loss;
        self.weight[0] += weight;
        self.weight[1] += weight * loss;
    }

    /// `Σ 2τ |sin²(tL/2)|` at most.
    fn squares(&self, t: f64) -> f64 {
        (2.0 * self.tilted[0]).min(0.5 * t * t * self.tilted[2])
    }

    /// `Σ 2τ |sin(tL/2) cos(tL/2)|` at most.
    fn products(&self, t: f64) -> f64 {
        self.tilted[0].min(t * self.tilted[1])
    }

    /// `Σ |p (e^(sL) − 1)|` at most.
    fn differences(&self, s: f64) -> f64 {
        (self.tilted[0] + self.weight[0]).min(s * (self.tilted[1] + self.weight[1]))
    }
}

impl Quadrature {
    /// Prepares `M(c + it)` for `0 ≤ t ≤ most`; nothing if that needs too many points.
    pub(crate) fn new(
        pair: Pair,
        c: f64,
        most: f64,
        exponent: f64,
        ln_moment: f64,
    ) -> Option<Self> {
        let grid = pair.grid(c, most, exponent, ln_moment);
        if grid.nodes > MOST_POINTS || ln_moment > 600.0 {
            return None;
        }
        let mut new = Self {
            c,
            shifted: grid.theta.abs() > 0.0,
            weight: Vec::with_capacity(grid.nodes),
            tilted: Vec::with_capacity(grid.nodes),
            loss: Vec::with_capacity(grid.nodes),
            excess: 0.0,
            sizes: Sums::default(),
            rounding: Rounding::default(),
            error: 2.0 * (ln_moment - exponent).exp(),
        };
        let mut excess_of_chunk = 0.0;
        for k in 0..grid.nodes {
            let point = pair.at(&grid, k);
            if !new.shifted {
                let (ln_excess, rounding) = point.excess(c);
                let excess = ln_excess.exp();
                excess_of_chunk += excess;
                if excess > 0.0 {
                    new.rounding.excess += excess * rounding;
                }
                if (k + 1) % CHUNK == 0 || k + 1 == grid.nodes {
                    new.excess += excess_of_chunk;
                    excess_of_chunk = 0.0;
                }
            }
            let ln_weight = point.normal + point.a;
            let ln_tilted = ln_weight + point.loss * c;
            let (weight, tilted) = (ln_weight.exp(), ln_tilted.exp());
            let (weight_size, tilted_size) = (weight.norm(), tilted.norm());
            let loss = point.loss.norm();
            new.sizes.add(weight_size, tilted_size, loss);
            let loss_rounding = point.loss_rounding + 3.0 * loss;
            let weight_rounding = point.normal_rounding
                + point.a_rounding
                + size(point.normal)
                + 2.0 * size(ln_weight)
                + 12.0;
            let tilted_rounding = weight_rounding + c * loss_rounding + size(ln_tilted);
            let rounding = &mut new.rounding;
            rounding.sums.add(weight_size * weight_rounding, tilted_size * tilted_rounding, loss);
            rounding.loss += tilted_size * loss_rounding;
            new.weight.push(weight);
            new.tilted.push(tilted);
            new.loss.push(point.loss);
        }
        Some(new)
    }

    /// How many points there are.
    pub(crate) fn points(&self) -> usize {
        self.loss.len()
    }

    /// `M(c + it) − 1` and a bound on its absolute error, rounding included.
    pub(crate) fn moment_m1(&self, t: f64) -> (Complex64, f64) {
        let (value, rounding) =
            if self.shifted { self.on_a_shifted_line(t) } else { self.on_the_real_line(t) };
        // The bounds are of first order and were themselves rounded.
        (value, self.error + 1.01 * ROUNDING * rounding)
    }

    fn on_the_real_line(&self, t: f64) -> (Complex64, f64) {
        let (mut real, mut imaginary) = (0.0, 0.0);
        for (tilted, losses) in self.tilted.chunks(CHUNK).zip(self.loss.chunks(CHUNK)) {
            let (mut squares, mut products) = (0.0, 0.0);
            for (tilted, loss) in tilted.iter().zip(losses) {
                let (sine, cosine) = (0.5 * t * loss.re).sin_cos();
                squares += tilted.re * sine * sine;
                products += tilted.re * sine * cosine;
            }
            real += squares;
            imaginary += products;
        }
        let value = Complex64::new(self.excess - 2.0 * real, 2.0 * imaginary);
        let Rounding { sums, loss, excess } = &self.rounding;
        let waves = self.sizes.squares(t) + self.sizes.products(t);
        let of_terms = excess + sums.squares(t) + sums.products(t) + 2.0 * t * loss + 12.0 * waves;
        (value, of_terms + self.per_sum() * (self.excess + waves))
    }

    fn on_a_shifted_line(&self, t: f64) -> (Complex64, f64) {
        let s = Complex64::new(self.c, t);
        let mut sum = Complex64::ZERO;
        let terms = self.weight.chunks(CHUNK).zip(self.tilted.chunks(CHUNK));
        for ((weights, tilted), losses) in terms.zip(self.loss.chunks(CHUNK)) {
            let term = |((&p, &tilted), &loss): ((&Complex64, &Complex64), &Complex64)| {
                // p (e^(sL) − 1). Far out p underflows where e^(cL) overflows, though their
                // product is a usual number; and where they differ the two do not cancel.
                if (self.c * loss.re).abs() > 1.0 {
                    tilted * (Complex64::I * t * loss).exp() - p
                } else {
                    p * exp_m1(s * loss)
                }
            };
            sum += weights.iter().zip(tilted).zip(losses).map(term).sum::<Complex64>();
        }
        let Rounding { sums, loss, .. } = &self.rounding;
        let size = self.sizes.differences(s.norm());
        // `exp_m1` of a complex number errs by 50, two products by three each.
        let of_terms = sums.differences(s.norm()) + s.norm() * loss + 56.0 * size;
        (sum, of_terms + self.per_sum() * size)
    }

    /// Sums that a term goes through.
    fn per_sum(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "at most a million points")]
        let chunks = self.loss.len().div_ceil(CHUNK) as f64;
        #[expect(clippy::cast_precision_loss, reason = "a small constant")]
        let within = CHUNK as f64;
        4.0 + within + chunks
    }
}

/// Terms that are summed before they join the total, which keeps the rounding of long sums low.
const CHUNK: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exact::pair::Shape;

    /// The moments of remove at real orders are those of the table; `M(c)` may be larger than
    /// any number, and then only its logarithm is looked at.
    #[test]
    fn moments_err_by_less_than_they_say_and_not_by_much_less() {
        let mut lines = include_str!("../../tests/reference/rdp_sampled_gaussian.csv").lines();
        let number = |field: &str| field.parse::<f64>().expect("a number");
        let orders: Vec<f64> =
            lines.next().expect("a head").split(',').skip(2).map(number).collect();
        let (mut cells, mut closest, mut widest) = (0, 0.0_f64, 0.0_f64);
        for line in lines {
            let row: Vec<f64> = line.split(',').map(number).collect();
            let (q, sigma) = (row[0], row[1]);
            if q >= 1.0 {
                continue;
            }
            let pair = Pair { shape: Shape::Remove, q, sigma };
            for (&order, &rdp) in orders.iter().zip(&row[2..]) {
                let (c, at) = (order - 1.0, format!("q = {q}, sigma = {sigma}, order {order}"));
                let truth = c * rdp;
                // Three roundings of the table's number.
                let blurred = 3.0 * ROUNDING;
                let above = pair.ln_moment(c, 40.0);
                assert!(above >= truth * (1.0 - blurred), "{at}: {above} below {truth}");
                assert!(above <= truth * (1.0 + 1e-10), "{at}: {above} far above {truth}");
                let Some(quadrature) = Quadrature::new(pair, c, 0.0, 40.0, above) else {
                    continue;
                };
                let (excess, bound) = quadrature.moment_m1(0.0);
                let truth = truth.exp_m1();
                let blurred = (blurred * (1.0 + c * rdp) + 4.0 * ROUNDING) * truth;
                let error = (excess.re - truth).abs();
                assert!(error <= bound + blurred, "{at}: {error:e} beyond {bound:e}");
                // Left out: what discretisation might do, which is larger where M is nearly 1.
                let rounding = bound - quadrature.error;
                closest = closest.max((error - blurred) / rounding);
                widest = widest.max(rounding / truth);
                cells += 1;
            }
        }
        assert!(cells > 5000, "{cells} moments");
        assert!(closest > 0.001 && widest < 1e-10, "closest {closest:e}, widest {widest:e}");
    }

    /// Two grids, and often two lines, for the same moment.
    #[test]
    fn moments_at_complex_orders_do_not_depend_on_the_grid() {
        let (mut compared, mut moved, mut closest) = (0, 0, 0.0_f64);
        for shape in [Shape::Remove, Shape::Add, Shape::Replace] {
            for (q, sigma) in [(1e-4, 0.5), (0.01, 1.0), (0.2, 0.7), (0.03, 4.0), (0.9, 20.0)] {
                let pair = Pair { shape, q, sigma };
                for c in [0.02, 0.7, 3.3, 19.0] {
                    let ln_moment = pair.ln_moment(c, 45.0);
                    let made = |most: f64, exponent: f64| {
                        Quadrature::new(pair, c, most, exponent, ln_moment)
                    };
                    let (Some(near), Some(far)) = (made(3.0, 45.0), made(400.0, 48.0)) else {
                        continue;
                    };
                    moved += usize::from(near.shifted != far.shifted);
                    for t in [0.0, 0.3, 1.1, 2.9] {
                        let (one, one_bound) = near.moment_m1(t);
                        let (other, other_bound) = far.moment_m1(t);
                        let (apart, most) = ((one - other).norm(), one_bound + other_bound);
                        assert!(
                            apart <= most,
                            "{shape:?} {q} {sigma} {c} {t}: {apart:e} apart, {most:e} allowed"
                        );
                        closest = closest.max(apart / most);
                        compared += 1;
                    }
                }
            }
        }
        assert!(compared > 150 && moved > 10, "{compared} moments, {moved} on two lines");
        assert!(closest > 1e-3, "the bounds are far from what happens: {closest:e}");
    }
}
