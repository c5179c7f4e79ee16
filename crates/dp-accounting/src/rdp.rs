//! Rényi accounting: curves add up, and the best order turns the sum into `(ε, δ)`.
//!
//! The Rényi divergence of order `α > 1`, `ρ(α) = 1/(α − 1) · ln E_Q[(P/Q)^α]`, of a composition is
//! at most the sum of the divergences, order by order ([Mironov 2017], Proposition 1), so an
//! accountant only has to keep which mechanisms were used how often. The conversion to `(ε, δ)` is
//! [`Conversion`], the orders are [`Orders`]. Everything here is an upper bound; what it loses
//! against the exact price is the conversion's slack, commonly 10 to 20 %.
//!
//! # What is priced, and by what
//!
//! With `d` the distance of neighbouring sums in contribution bounds, 1 or 2, and `σ = z/d`:
//!
//! | event | `ρ(α)` | |
//! |---|---|---|
//! | Gaussian | `α/(2σ²)` | exact |
//! | Poisson-sampled Gaussian | an integral, see [`subsampled_gaussian`] | exact; under replace-one that of the pair in [`exact`](crate::exact) |
//! | Gaussian on a subset of fixed size | [WBK19], Theorem 27, at whole orders; between them `(α − 1) ρ(α)`, which is convex, on straight lines | upper bound |
//! | discrete Gaussian | `α/(2σ²)` ([CKS20], Proposition 5) | upper bound |
//! | Laplace, scale `b = z/d` | `1/(α−1) · ln(α/(2α−1) e^((α−1)/b) + (α−1)/(2α−1) e^(−α/b))` ([Mironov 2017], Proposition 6) | exact for one coordinate |
//! | randomised response | `1/(α−1) · ln(t^α o^(1−α) + o^α t^(1−α) + (k−2) o)`, the truth with `t`, each other of `k` answers with `o` | exact |
//! | trees | a Gaussian with squared sensitivity the most that one record moves all nodes | exact for one participation, else an upper bound |
//! | pure `ε` | that of randomised response on one bit, and composition `Σ ε` | upper bound |
//! | sampled pure `ε` | that of `ln(1 + q (e^ε − 1))` ([BBG18]) | upper bound |
//! | `ρ`-zCDP | `ρ α` | upper bound |
//! | best of a random number of runs | below | upper bound |
//!
//! # The best of many runs
//!
//! Repeat a private run a random number `K` of times and publish only the best ([PS22]). With `ρ` the
//! curve of one run, for the truncated negative binomial of shape `η` and parameter `γ` and any
//! `λ̂ > 1` (Theorem 2), the least of which is taken,
//!
//! ```text
//! ρ'(λ) ≤ ρ(λ) + (1 + η) (1 − 1/λ̂) ρ(λ̂) + (1 + η) ln(1/γ)/λ̂ + ln(E K)/(λ − 1)
//! ```
//!
//! and for the Poisson distribution of mean `μ`, if one run is `(ln(1 + 1/(λ − 1)), δ̂)` differentially
//! private (Theorem 6, with the chance `e^−μ` of no run at all, which it leaves out),
//!
//! ```text
//! e^((λ−1) ρ'(λ)) ≤ min( e^−μ + μ e^((λ−1) (ρ(λ) + μ δ̂)),  e^(μ (e^((λ−1) ρ(λ)) − 1)) )
//! ```
//!
//! [Mironov 2017]: https://arxiv.org/abs/1702.07476
//! [WBK19]: https://arxiv.org/abs/1808.00087
//! [CKS20]: https://arxiv.org/abs/2004.00010
//! [BBG18]: https://arxiv.org/abs/1807.01647
//! [PS22]: https://arxiv.org/abs/2110.03620

mod conversion;
pub(crate) mod minimum;
mod orders;
mod replaced;
mod selection;
pub mod subsampled_gaussian;
mod subset;
pub(crate) mod trapezoid;

pub use conversion::Conversion;
pub use orders::Orders;

use crate::accountant::{Accountant, DeltaInterval, EpsilonInterval, Neighboring};
use crate::error::AccountingError;
use crate::history::{History, Mechanism, answered_by_history};
use crate::units::{Delta, Epsilon};

/// An `ε` together with the Rényi order that proves it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RdpEpsilon {
    /// The bound.
    pub epsilon: Epsilon,
    /// The order at which it was found; infinite where composing pure guarantees is best,
    /// nothing where no order gives a finite bound.
    pub order: Option<f64>,
}

/// Adds up Rényi divergences.
///
/// ```
/// use dp_accounting::rdp::{Conversion, Orders, RdpAccountant};
/// use dp_accounting::{Accountant, Delta, DpEvent, Neighboring, NoiseMultiplier};
/// use dp_accounting::SamplingProbability;
///
/// let round = DpEvent::gaussian(NoiseMultiplier::new(1.2)?)
///     .poisson_sampled(SamplingProbability::from_counts(120, 3383)?);
/// let mut accountant = RdpAccountant::new(Neighboring::AddOrRemoveOne)
///     .with_orders(Orders::tutorial())
///     .with_conversion(Conversion::Improved);
/// accountant.compose(&round, 100)?;
/// let found = accountant.epsilon_and_order(Delta::new(1e-5)?);
/// assert!((found.epsilon.get() - 1.988_877).abs() < 1e-6);
/// assert_eq!(found.order, Some(8.0));
/// # Ok::<(), dp_accounting::AccountingError>(())
/// ```
#[derive(Clone, Debug)]
pub struct RdpAccountant {
    orders: Orders,
    conversion: Conversion,
    history: History,
}

impl RdpAccountant {
    /// An empty accountant with the best real order and the improved conversion.
    #[must_use]
    pub fn new(relation: Neighboring) -> Self {
        Self {
            orders: Orders::best(),
            conversion: Conversion::Improved,
            history: History::new("RDP", relation, |_| true),
        }
    }

    /// The same with other orders.
    #[must_use]
    pub fn with_orders(self, orders: Orders) -> Self {
        Self { orders, ..self }
    }

    /// The same with another conversion.
    #[must_use]
    pub fn with_conversion(self, conversion: Conversion) -> Self {
        Self { conversion, ..self }
    }

    /// The Rényi divergence of order `order` of everything composed so far, in nats.
    ///
    /// # Panics
    /// If `order` is not above 1.
    #[must_use]
    pub fn rdp(&self, order: f64) -> f64 {
        assert!(order > 1.0, "Rényi orders lie above 1, not {order}");
        composed(self.history.steps(), order)
    }

    /// The `ε` at `delta` and the order that gives it.
    #[must_use]
    pub fn epsilon_and_order(&self, delta: Delta) -> RdpEpsilon {
        let delta = delta.get();
        let convert = |rdp: f64, order: f64| self.conversion.epsilon(rdp, order, delta);
        let curve = |order: f64| self.rdp(order);
        let bound = |order: f64| convert(curve(order), order);
        let guess = || self.first_guess(delta);
        let (mut order, mut epsilon) = match self.orders.as_list() {
            Some(list) if self.is_rising() => {
                minimum::over_list_of_rising(list, curve, convert, guess())
            }
            Some(list) => minimum::over_list(list, bound),
            None => {
                let found = minimum::over_reals(bound, guess());
                // The step down to zero, where the divergence near order 1 is all that counts, is
                // no valley that a search would walk into.
                let lowest = 1.0 + minimum::LOWEST.exp();
                let there = bound(lowest);
                if there < found.1 { (lowest, there) } else { found }
            }
        };
        if let Some(pure) = self.pure_total().filter(|&pure| pure < epsilon) {
            (order, epsilon) = (f64::INFINITY, pure);
        }
        let epsilon = Epsilon::new(epsilon.max(0.0)).expect("bounds are never NaN");
        RdpEpsilon { epsilon, order: epsilon.is_finite().then_some(order) }
    }

    /// The `δ` at `epsilon` and the order that gives it.
    fn delta_and_order(&self, epsilon: f64) -> (f64, f64) {
        let bound = |order: f64| self.conversion.delta(self.rdp(order), order, epsilon);
        let (order, delta) = match self.orders.as_list() {
            Some(list) => minimum::over_list(list, bound),
            None => {
                let tail = |order: f64| self.conversion.ln_tail(self.rdp(order), order, epsilon);
                // Several valleys, since subsampled curves bend upwards at some order: where a
                // straight curve has its least for this ε, and orders between which the bend
                // commonly lies; and the lowest order, where the divergence is all that counts.
                let slope = self.rdp(2.0) / 2.0;
                let starts = [epsilon / (2.0 * slope), (0.5 / slope).sqrt(), 1.0, 8.0, 64.0];
                starts
                    .map(|start| minimum::over_reals(tail, 1.0 + start.clamp(0.05, 1e5)).0)
                    .into_iter()
                    .chain([1.0 + minimum::LOWEST.exp()])
                    .map(|order| (order, bound(order)))
                    .min_by(|a, b| a.1.total_cmp(&b.1))
                    .expect("one search at least")
            }
        };
        match self.pure_total() {
            Some(pure) if pure <= epsilon => (f64::INFINITY, 0.0),
            _ => (order, delta.min(1.0)),
        }
    }

    /// Whether the curve is a sum of Rényi divergences, none of which falls with the order; of
    /// bounds in their place that is not known.
    fn is_rising(&self) -> bool {
        !self.history.steps().iter().any(|(step, _)| {
            matches!(step, Mechanism::SubsetGaussian { .. } | Mechanism::Selected { .. })
        })
    }

    /// Where the minimum over real orders will be, roughly: as if the curve were straight.
    fn first_guess(&self, delta: f64) -> f64 {
        let slope = self.rdp(2.0) / 2.0;
        1.0 + (-delta.ln() / slope).sqrt().clamp(0.05, 1e5)
    }

    /// The sum of pure guarantees, if there is nothing else.
    fn pure_total(&self) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "at most 2^53 repetitions are composed")]
        self.history
            .steps()
            .iter()
            .map(|(step, count)| pure_bound(step).map(|epsilon| epsilon * *count as f64))
            .sum()
    }
}

impl Accountant for RdpAccountant {
    answered_by_history!();

    fn epsilon_interval(&self, delta: Delta) -> Result<EpsilonInterval, AccountingError> {
        Ok(EpsilonInterval { lower: Epsilon::ZERO, upper: self.epsilon_and_order(delta).epsilon })
    }

    fn delta_interval(&self, epsilon: Epsilon) -> Result<DeltaInterval, AccountingError> {
        let upper = Delta::new(self.delta_and_order(epsilon.get()).1)?;
        Ok(DeltaInterval { lower: Delta::ZERO, upper })
    }
}

/// The Rényi divergence of all steps together.
fn composed(steps: &[(Mechanism, u64)], order: f64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "at most 2^53 repetitions are composed")]
    steps.iter().map(|(step, count)| *count as f64 * divergence(step, order)).sum()
}

/// The Rényi divergence of one mechanism.
fn divergence(mechanism: &Mechanism, order: f64) -> f64 {
    match *mechanism {
        Mechanism::NonPrivate => f64::INFINITY,
        Mechanism::Gaussian { sigma } => subsampled_gaussian::gaussian(sigma, order),
        Mechanism::SampledGaussian { q, sigma } => {
            subsampled_gaussian::ln_a(q, sigma, order) / (order - 1.0)
        }
        Mechanism::ReplacedSampledGaussian { q, sigma } => {
            replaced::ln_a(q, sigma, order) / (order - 1.0)
        }
        Mechanism::SubsetGaussian { rate, sigma } => subset::rdp(rate, sigma, order),
        Mechanism::Laplace { scale } => laplace(scale, order),
        Mechanism::Response { truth, other, others } => response(truth, other, others, order),
        Mechanism::Selected { ref steps, repetitions } => {
            selection::rdp(|order| composed(steps, order), repetitions, order)
        }
        Mechanism::Pure { epsilon } => pure(epsilon, order),
        Mechanism::Zcdp { rho } => rho * order,
    }
}

/// The pure `ε` of a mechanism that has one.
fn pure_bound(mechanism: &Mechanism) -> Option<f64> {
    match *mechanism {
        Mechanism::Pure { epsilon } => Some(epsilon),
        Mechanism::Laplace { scale } => Some(scale.recip()),
        Mechanism::Response { truth, other, .. } => Some((truth / other).ln()),
        _ => None,
    }
}

/// Laplace noise of the given scale around 0 against around 1: [Mironov
/// 2017](https://arxiv.org/abs/1702.07476), Proposition 6; bounded by the pure guarantee.
fn laplace(scale: f64, order: f64) -> f64 {
    let weight = order / (2.0 * order - 1.0);
    let up = (order - 1.0) / scale;
    let down = -order / scale;
    let ln_sum = if up > 1.0 {
        weight.ln() + up + ((1.0 - weight) / weight * (down - up).exp()).ln_1p()
    } else {
        // The terms of first order cancel: weight · up + (1 − weight) · down = 0.
        let second = |x: f64| if x.abs() < 1e-2 { series(x) } else { x.exp_m1() - x };
        (weight * second(up) + (1.0 - weight) * second(down)).ln_1p()
    };
    (ln_sum / (order - 1.0)).clamp(f64::MIN_POSITIVE, scale.recip().max(f64::MIN_POSITIVE))
}

/// `e^x − 1 − x` for small `x`.
fn series(x: f64) -> f64 {
    x * x * (0.5 + x * (1.0 / 6.0 + x * (1.0 / 24.0 + x * (1.0 / 120.0 + x / 720.0))))
}

/// Randomised response: one true answer against another.
fn response(truth: f64, other: f64, others: f64, order: f64) -> f64 {
    let epsilon = (truth / other).ln();
    // Relative to `other`: each answer outside of the two counts once on both sides.
    let up = truth.ln() + (order - 1.0) * epsilon;
    let down = other.ln() - (order - 1.0) * epsilon;
    let rest = ((others - 1.0) * other).max(0.0);
    let x = (order - 1.0) * epsilon;
    let ln_sum = if x < 0.5 {
        (truth * x.exp_m1() + other * (-x).exp_m1()).ln_1p()
    } else {
        up + ((down - up).exp() + rest * (-up).exp()).ln_1p()
    };
    (ln_sum / (order - 1.0)).clamp(f64::MIN_POSITIVE, epsilon.max(f64::MIN_POSITIVE))
}

/// The largest Rényi divergence that `epsilon`-differential privacy allows: that of randomised
/// response on one bit ([Mironov 2017](https://arxiv.org/abs/1702.07476), Section II).
fn pure(epsilon: f64, order: f64) -> f64 {
    // (p^α (1−p)^(1−α) + (1−p)^α p^(1−α)) with p = 1/(1 + e^−ε), less one: two positive terms.
    let ln_p = -(-epsilon).exp().ln_1p();
    let ln_not_p = ln_p - epsilon;
    let likely = ln_p + (order - 1.0) * epsilon;
    let unlikely = ln_not_p - (order - 1.0) * epsilon;
    let bound = if (order - 1.0) * epsilon < 0.5 {
        // p (e^x − 1) + (1 − p)(e^−x − 1) with x = (α − 1) ε; p − (1 − p) = tanh(ε/2).
        let x = (order - 1.0) * epsilon;
        let half = (x / 2.0).sinh();
        (2.0 * half * half + (epsilon / 2.0).tanh() * x.sinh()).ln_1p() / (order - 1.0)
    } else {
        (likely + (unlikely - likely).exp().ln_1p()) / (order - 1.0)
    };
    bound.min(epsilon)
}
