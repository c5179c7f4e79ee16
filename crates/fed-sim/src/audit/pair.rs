//! ε between two normal distributions at a given δ.

use statrs::function::erf::erfc;

/// A normal distribution of positive, finite standard deviation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Normal {
    /// Its mean.
    pub mean: f64,
    /// Its standard deviation.
    pub sd: f64,
}

impl Normal {
    /// `P[X ≤ x]`.
    fn below(self, x: f64) -> f64 {
        0.5 * erfc((self.mean - x) / (self.sd * std::f64::consts::SQRT_2))
    }

    /// `P[X > x]`, without cancellation.
    fn above(self, x: f64) -> f64 {
        0.5 * erfc((x - self.mean) / (self.sd * std::f64::consts::SQRT_2))
    }
}

/// The least `ε ≥ 0` such that `P[A] ≤ e^ε Q[A] + δ` and `Q[A] ≤ e^ε P[A] + δ` for all events `A`.
///
/// Infinite if one of the deviations is not positive and finite, or above `ε = 700`.
#[must_use]
pub fn epsilon_between(p: Normal, q: Normal, delta: f64) -> f64 {
    let sound =
        |normal: Normal| normal.sd > 0.0 && normal.sd.is_finite() && normal.mean.is_finite();
    if !sound(p) || !sound(q) {
        return f64::INFINITY;
    }
    one_way(p, q, delta).max(one_way(q, p, delta))
}

fn one_way(p: Normal, q: Normal, delta: f64) -> f64 {
    if divergence(p, q, 0.0) <= delta {
        return 0.0;
    }
    let (mut low, mut high) = (0.0, 1.0);
    while divergence(p, q, high) > delta {
        if high > 700.0 {
            return f64::INFINITY;
        }
        (low, high) = (high, 2.0 * high);
    }
    for _ in 0..80 {
        let middle = 0.5 * (low + high);
        if divergence(p, q, middle) > delta { low = middle } else { high = middle }
    }
    // Beyond, `e^ε` overflows and the divergence means nothing.
    if high > 700.0 { f64::INFINITY } else { high }
}

/// The hockey-stick divergence `P[A] − e^ε Q[A]` for the best event `A`: where the density of `p`
/// is more than `e^ε` times that of `q`.
fn divergence(p: Normal, q: Normal, epsilon: f64) -> f64 {
    // ln p(x) − ln q(x) − ε = a·x² + b·x + c.
    let (wp, wq) = (p.sd.powi(-2), q.sd.powi(-2));
    let a = 0.5 * (wq - wp);
    let b = p.mean * wp - q.mean * wq;
    let c = 0.5 * (q.mean.powi(2) * wq - p.mean.powi(2) * wp) + (q.sd / p.sd).ln() - epsilon;
    let gain = |mass_p: f64, mass_q: f64| (mass_p - epsilon.exp() * mass_q).max(0.0);
    if a.abs() <= 1e-12 * (wp + wq) {
        if b == 0.0 {
            return gain(f64::from(c > 0.0), f64::from(c > 0.0));
        }
        let x = -c / b;
        return if b > 0.0 { gain(p.above(x), q.above(x)) } else { gain(p.below(x), q.below(x)) };
    }
    let root = (b * b - 4.0 * a * c).max(0.0).sqrt();
    // The root that does not cancel first, then the other from their product.
    let far = -0.5 * (b + root.copysign(b));
    let (x, y) = (far / a, if far == 0.0 { 0.0 } else { c / far });
    let (low, high) = (x.min(y), x.max(y));
    if a > 0.0 {
        gain(p.below(low) + p.above(high), q.below(low) + q.above(high))
    } else if b * b <= 4.0 * a * c {
        0.0
    } else {
        let between = |normal: Normal| {
            if low > normal.mean {
                normal.above(low) - normal.above(high)
            } else {
                normal.below(high) - normal.below(low)
            }
        };
        gain(between(p), between(q))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(mean: f64, sd: f64) -> Normal {
        Normal { mean, sd }
    }

    /// Balle and Wang 2018, Theorem 8: δ of the Gaussian mechanism in closed form.
    #[test]
    fn equal_deviations_are_the_gaussian_mechanism() {
        let phi = |x: f64| 0.5 * erfc(-x / std::f64::consts::SQRT_2);
        for (mu, epsilon) in [(0.5_f64, 0.3_f64), (1.0, 1.0), (1.0, 4.0), (3.0, 10.0)] {
            let delta =
                phi(0.5 * mu - epsilon / mu) - epsilon.exp() * phi(-0.5 * mu - epsilon / mu);
            let found = epsilon_between(normal(0.0, 1.0), normal(mu, 1.0), delta);
            assert!((found / epsilon - 1.0).abs() < 1e-6, "µ = {mu}: {found} for {epsilon}");
            // Neither order nor scale matters.
            let scaled = epsilon_between(normal(7.0 + 2.0 * mu, 2.0), normal(7.0, 2.0), delta);
            assert!((scaled / epsilon - 1.0).abs() < 1e-6, "{scaled}");
        }
    }

    /// Against a plain sum over a fine grid, for unequal deviations both ways.
    #[test]
    fn unequal_deviations_agree_with_a_plain_sum() {
        for (p, q) in [
            (normal(0.0, 1.0), normal(0.8, 1.3)),
            (normal(0.0, 1.3), normal(0.8, 1.0)),
            (normal(0.0, 1.0), normal(0.0, 1.2)),
        ] {
            for epsilon in [0.0_f64, 0.2, 1.0] {
                let density = |normal: Normal, x: f64| {
                    let z = (x - normal.mean) / normal.sd;
                    (-0.5 * z * z).exp() / (normal.sd * (2.0 * std::f64::consts::PI).sqrt())
                };
                let step = 1e-4;
                let sum: f64 = (-150_000..150_000)
                    .map(|i| (f64::from(i) + 0.5) * step)
                    .map(|x| (density(p, x) - epsilon.exp() * density(q, x)).max(0.0) * step)
                    .sum();
                let ours = divergence(p, q, epsilon);
                assert!((ours - sum).abs() < 1e-6, "{p:?} {q:?} {epsilon}: {ours} against {sum}");
            }
        }
    }

    #[test]
    fn the_same_distribution_tells_nothing_and_a_point_everything() {
        assert!(epsilon_between(normal(1.0, 2.0), normal(1.0, 2.0), 1e-5) <= 0.0);
        assert!(epsilon_between(normal(0.0, 1.0), normal(0.0, 0.0), 1e-5).is_infinite());
        assert!(epsilon_between(normal(0.0, 1.0), normal(f64::NAN, 1.0), 1e-5).is_infinite());
        // Where `e^ε` would overflow on the way, too.
        for apart in [39.0, 50.0, 1e3] {
            assert!(epsilon_between(normal(0.0, 1.0), normal(apart, 1.0), 1e-5).is_infinite());
        }
        assert!(epsilon_between(normal(0.0, 1.0), normal(30.0, 1.0), 1e-5) < 700.0);
    }
}
