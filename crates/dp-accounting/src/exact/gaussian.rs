//! `δ(ε)` of Gaussian steps without sampling, in closed form.
//!
//! Whatever their noises, Gaussian steps together are one Gaussian, `N(μ, 1)` against `N(0, 1)`
//! with `μ² = Σ 1/σ²`, and for that ([BW18], Theorem 8)
//!
//! ```text
//! δ(ε) = Q(a) − e^ε Q(b),    a = ε/μ − μ/2,    b = ε/μ + μ/2,    Q(x) = P(N(0, 1) > x)
//! ```
//!
//! Both terms together can be far smaller than each, and `e^ε` overflows where their difference is
//! a usual number. Since `e^ε φ(b) = φ(a)`, far out it is taken as `φ(a) (R(a) − R(b))`, with the
//! ratio of Mills `R = Q/φ`; and where `μ` is small as `φ(a)` times the integral of `−R'` from `a` to
//! `b`. As `R(x) = ∫ e^(−xt − t²/2) dt` over `t > 0`, all derivatives of `−R'` have one sign each, so
//! that the rule of Gauss with two points lies below that integral and Simpson's rule above.
//!
//! # The error
//!
//! Else nothing is approximated but by rounding, whose unit is `u`. The distance `a` is off by a few
//! `u (ε/μ + μ/2)`, which moves each term by at most that times `1 + |a|`, as `φ/Q ≤ 1 + |a|`; tails
//! and exponentials are right to a few `u`, and to a few `u x²` where they square their argument; `μ`
//! itself is moved to both ends of its own error, as `δ` rises with it.
//!
//! [BW18]: https://arxiv.org/abs/1805.06530

use std::f64::consts::PI;

use crate::exact::contour::{Bounds, Process, Step};
use crate::normal::{self, FAR, mills, mills_rest, upper_tail};
use crate::rdp::trapezoid::ROUNDING;

/// One Gaussian that tells as much as all of them together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Together {
    mu: f64,
    /// The relative error of `mu`.
    error: f64,
}

impl Together {
    /// One step with noise `sigma`.
    pub(crate) fn one(sigma: f64) -> Self {
        Self { mu: sigma.recip(), error: 2.0 * ROUNDING }
    }

    /// The steps of a process as one, if all of them are Gaussian.
    pub(crate) fn of(process: &Process) -> Option<Self> {
        let mut squared = 0.0;
        for term in &process.terms {
            let Step::Gaussian { sigma } = term.step else { return None };
            squared += term.count / sigma / sigma;
        }
        #[expect(clippy::cast_precision_loss, reason = "a number of different steps")]
        let error = ROUNDING * (4.0 + process.terms.len() as f64);
        let mu = f64::sqrt(squared);
        (mu > 1e-150 && mu < 1e150).then_some(Self { mu, error })
    }

    /// Bounds on `δ e^−ln_unit` at `epsilon ≥ 0`: a unit of the size of `δ` keeps digits where `δ`
    /// itself would underflow.
    pub(crate) fn delta(self, epsilon: f64, ln_unit: f64) -> Bounds {
        let (value, _) = delta(self.mu, epsilon, ln_unit);
        let (low, low_error) = delta(self.mu * (1.0 - self.error), epsilon, ln_unit);
        let (high, high_error) = delta(self.mu * (1.0 + self.error), epsilon, ln_unit);
        // All of it, in that unit.
        let most = (-ln_unit).exp();
        Bounds {
            value,
            lower: (low - low_error).clamp(0.0, most),
            upper: (high + high_error).clamp(0.0, most),
        }
    }
}

/// `δ e^−ln_unit` of one Gaussian and a bound on its error; what underflows is within the bound.
fn delta(mu: f64, epsilon: f64, ln_unit: f64) -> (f64, f64) {
    let (near, half) = (epsilon / mu, 0.5 * mu);
    let (a, b) = (near - half, near + half);
    if a > 1e4 {
        return (0.0, LEAST);
    }
    let is_near = mu > SMALL && a < FAR;
    // There δ is far above any unit that is smaller than this.
    let ln_unit = if is_near { ln_unit.max(-575.0) } else { ln_unit };
    // The density of a standard normal at `a`, in the unit. What is far above one stays there.
    let density = |a: f64| (-0.5 * a * a - ln_unit).min(600.0).exp() / (2.0 * PI).sqrt();
    // How far `a` and `b` may be off.
    let moved = 4.0 * ROUNDING * (near + half);
    // Relative errors of φ(a), of a tail or a ratio at `x`.
    let shared = ROUNDING * (10.0 + 4.0 * a * a + 2.0 * ln_unit.abs()) + moved * a.abs();
    let tail = |x: f64| ROUNDING * (20.0 + 4.0 * x * x);
    let (value, error) = if mu <= SMALL {
        let (low, high) = falling(a, mu);
        let value = density(a) * mu * 0.5 * (low + high);
        (value, value * ((high - low) / low + shared + 2.0 * moved))
    } else if a >= FAR {
        let ([near_low, near_high], [far_low, far_high]) = (mills(a), mills(b));
        let (near, far) = (0.5 * (near_low + near_high), 0.5 * (far_low + far_high));
        let value = near - far;
        let doubt = near_high - near_low + far_high - far_low;
        let error = doubt + (near + far) * (20.0 * ROUNDING + moved) + value * shared;
        (density(a) * value, density(a) * error)
    } else {
        let unit = ln_unit.exp();
        let above = upper_tail(a) / unit;
        let (below, error) = if b < FAR {
            (epsilon.exp() * upper_tail(b) / unit, tail(a) + tail(b))
        } else {
            let [low, high] = mills(b);
            (density(a) * 0.5 * (low + high), tail(a) + (high - low) / low)
        };
        let error = error + ROUNDING * (4.0 + 2.0 * ln_unit.abs()) + moved * (1.0 + a.abs());
        (above - below, (above + below) * error)
    };
    (value, error + LEAST)
}

/// What may underflow without a trace, in whatever unit.
const LEAST: f64 = 1e-300;

/// Up to here the integral of `−R'` has one panel, right to 1e-10.
const SMALL: f64 = 0.01;

/// Bounds on the mean of `−R'` between `a` and `a + mu`.
fn falling(a: f64, mu: f64) -> (f64, f64) {
    let middle = a + 0.5 * mu;
    let beside = 0.5 * mu / 3.0_f64.sqrt();
    let gauss = 0.5 * (descent(middle - beside) + descent(middle + beside));
    let simpson = (descent(a) + 4.0 * descent(middle) + descent(a + mu)) / 6.0;
    // Each value is right to some 3,000 units: it is the difference of 1 and at most 0.95, of which
    // the latter has the error of a tail at 4.
    let rounding = 3000.0 * ROUNDING;
    (gauss.min(simpson) * (1.0 - rounding), gauss.max(simpson) * (1.0 + rounding))
}

/// `−R'(x) = 1 − x R(x)` for `x ≥ −SMALL`.
fn descent(x: f64) -> f64 {
    if x < FAR {
        return 1.0 - x * upper_tail(x) / normal::density(x);
    }
    // With R = 1/(x + K), and both convergents as good as equal.
    let [low, high] = mills_rest(x);
    let rest = 0.5 * (low + high);
    rest / (x + rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exact::contour::Term;

    /// `μ`, `ε` and `δ`, the last from mpmath at 60 digits for exactly these binary numbers.
    const TABLE: &[(f64, f64, f64)] = &[
        (1e-06, 0.0, 3.98942280401416e-07),
        (1e-06, 1.0000004999999999e-06, 8.331543291780985e-08),
        (1e-06, 4.0000004999999995e-06, 7.145256887301946e-12),
        (1e-06, 8.0000005e-06, 7.5502615081934e-23),
        (1e-06, 3.00000005e-05, 1.6319566798727727e-205),
        (1e-06, 4e-13, 3.9894208040152774e-07),
        (0.0001, 0.0, 3.989422802352067e-05),
        (0.0001, 0.000100005, 8.331170375066544e-06),
        (0.0001, 0.00040000500000000004, 7.145103925216561e-10),
        (0.0001, 0.000800005, 7.550172037691603e-21),
        (0.0001, 0.003000005, 1.631951312247012e-203),
        (0.0001, 4e-09, 3.9892228135220516e-05),
        (0.01, 0.0, 0.003989406181481645),
        (0.01, 0.01005, 0.0008294028759573164),
        (0.01, 0.04005, 7.129839488759446e-08),
        (0.01, 0.08005, 7.541235541832012e-19),
        (0.01, 0.30005, 1.6314147277216184e-201),
        (0.01, 4e-05, 0.00396951748677497),
        (0.1, 0.0, 0.039877611676744924),
        (0.1, 0.10500000000000001, 0.007969520573146045),
        (0.1, 0.405, 6.993900741986523e-07),
        (0.1, 0.805, 7.460942239518584e-18),
        (0.1, 3.005, 1.6265528055461192e-200),
        (0.1, 0.004000000000000001, 0.03798545636546511),
        (0.5, 0.0, 0.19741265136584746),
        (0.5, 0.625, 0.03384297023355213),
        (0.5, 2.125, 3.222873061590084e-06),
        (0.5, 4.125, 3.561800526488346e-17),
        (0.5, 15.125, 8.026449604279603e-200),
        (0.5, 0.1, 0.15926050741399167),
        (1.0, 0.0, 0.3829249225480262),
        (1.0, 1.5, 0.056696236230553476),
        (1.0, 4.5, 5.867689649769556e-06),
        (1.0, 8.5, 6.74209443166978e-17),
        (1.0, 30.5, 1.5794797074175364e-199),
        (1.0, 0.4, 0.26524239643378517),
        (2.0, 0.0, 0.6826894921370859),
        (2.0, 4.0, 0.08495331867107106),
        (2.0, 10.0, 9.940202816118153e-06),
        (2.0, 18.0, 1.2177674302980372e-16),
        (2.0, 62.0, 3.060538552317109e-199),
        (2.0, 1.6, 0.40129567385391796),
        (5.0, 0.0, 0.9875806693484477),
        (5.0, 17.5, 0.11936461367851826),
        (5.0, 32.5, 1.6978385019551657e-05),
        (5.0, 52.5, 2.3571978145330814e-16),
        (5.0, 162.5, 6.997250912907206e-199),
        (5.0, 10.0, 0.6166237304102123),
        (20.0, 0.0, 1.0),
        (20.0, 220.0, 0.14715879064722154),
        (20.0, 280.0, 2.610461344271116e-05),
        (20.0, 360.0, 4.418870801643939e-16),
        (20.0, 800.0, 1.960599162420212e-198),
        (20.0, 160.0, 0.9742595431979875),
        (100.0, 0.0, 1.0),
        (100.0, 5100.0, 0.15625973896910986),
        (100.0, 5400.0, 3.0384531680825816e-05),
        (100.0, 5800.0, 5.753197792412228e-16),
        (100.0, 8000.0, 3.773207040719912e-198),
        (100.0, 4000.0, 1.0),
        (1000.0, 0.0, 1.0),
        (1000.0, 501000.0, 0.15841352517717897),
        (1000.0, 504000.0, 3.1537944927742125e-05),
        (1000.0, 508000.0, 6.170838886661099e-16),
        (1000.0, 530000.0, 4.763641621727832e-198),
        (1000.0, 400000.0, 1.0),
        (30000.0, 0.0, 1.0),
        (30000.0, 450030000.0, 0.1586471885094961),
        (30000.0, 450120000.0, 3.166678142032109e-05),
        (30000.0, 450240000.0, 6.219276932883513e-16),
        (30000.0, 450900000.0, 4.901806680617236e-198),
        (30000.0, 360000000.0, 1.0),
    ];

    #[test]
    fn the_closed_form_holds_the_truth_from_tiny_to_huge() {
        for &(mu, epsilon, truth) in TABLE {
            let found = Together { mu, error: 0.0 }.delta(epsilon, 0.0);
            let what = format!("mu = {mu}, epsilon = {epsilon}: {found:?} for {truth}");
            assert!(found.lower <= truth && truth <= found.upper, "{what}");
            let narrow = found.upper - found.lower <= 1e-9 * truth || truth < 1e-280;
            assert!(narrow || mu > 1e3, "{what}");
        }
    }

    #[test]
    fn different_gaussians_are_one() {
        let term = |sigma, count| Term { step: Step::Gaussian { sigma }, count };
        let several = Process { terms: vec![term(3.0, 9.0), term(2.0, 4.0), term(1.0, 1.0)] };
        let found = Together::of(&several).expect("all Gaussian");
        assert!((found.mu - 3.0_f64.sqrt()).abs() < 1e-15, "{found:?}");
        let nothing_known = Process { terms: vec![term(1e-200, 1.0)] };
        assert!(Together::of(&nothing_known).is_none());
    }
}
