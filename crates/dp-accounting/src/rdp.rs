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
//! | discrete Laplace | a geometric sum | exact for one coordinate |
//! | Poisson-sampled pure `ε`, Laplace and discrete Laplace | that of sampled randomised response on one bit, the larger direction ([ZDW22]) | upper bound |
//! | pure `ε` on a subset of fixed size | that of `ln(1 + q (e^ε − 1))` ([BBG18]) | upper bound |
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
//! [ZDW22]: https://arxiv.org/abs/2106.08567
//! [PS22]: https://arxiv.org/abs/2110.03620

mod bounded;
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

    /// Whether data were released without noise, so that there is no guarantee whatever `δ` is.
    #[must_use]
    pub fn is_unprotected(&self) -> bool {
        self.history.is_open()
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
                least([found, (lowest, bound(lowest))].into_iter().chain(self.in_pieces(bound)))
            }
        };
        if let Some(pure) = self.history.greatest_loss().filter(|&pure| pure < epsilon) {
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
                let found = starts
                    .map(|start| minimum::over_reals(tail, 1.0 + start.clamp(0.05, 1e5)).0)
                    .into_iter()
                    .chain([1.0 + minimum::LOWEST.exp()])
                    .map(|order| (order, bound(order)));
                least(found.chain(self.in_pieces(bound)))
            }
        };
        match self.history.greatest_loss() {
            Some(pure) if pure <= epsilon => (f64::INFINITY, 0.0),
            _ => (order, delta.min(1.0)),
        }
    }

    /// Further candidates where the curve is made of pieces, whose bound has many valleys: the orders
    /// of the common lists, which are therefore never better (of the best of many runs a few orders), and
    /// the valley of the best of them.
    fn in_pieces(&self, bound: impl Fn(f64) -> f64) -> Vec<(f64, f64)> {
        if self.is_rising() {
            return Vec::new();
        }
        let selected = |(step, _): &(Mechanism, u64)| matches!(step, Mechanism::Selected { .. });
        let orders: Vec<f64> = if self.history.steps().iter().any(selected) {
            // Each order is itself a search over others.
            FEW_ORDERS.to_vec()
        } else {
            let lists = [Orders::tutorial(), Orders::tenths()];
            let listed = lists.iter().filter_map(Orders::as_list).flatten();
            listed.chain(&BETWEEN_ORDERS).copied().collect()
        };
        let mut found: Vec<(f64, f64)> =
            orders.into_iter().map(|order| (order, bound(order))).collect();
        let best = least(found.iter().copied());
        let valley = minimum::over_reals(&bound, best.0);
        // The pieces meet at whole orders.
        let seams = [valley.0.floor(), valley.0.ceil()].into_iter().filter(|&order| order > 1.0);
        found.extend(seams.map(|order| (order, bound(order))));
        found.extend([best, valley]);
        found
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
}

/// Orders between those of the lists, where these are far apart.
const BETWEEN_ORDERS: [f64; 10] =
    [72.0, 80.0, 96.0, 112.0, 160.0, 192.0, 320.0, 384.0, 640.0, 768.0];

/// Orders that are tried where each of them is dear.
const FEW_ORDERS: [f64; 10] = [1.25, 1.5, 2.0, 3.0, 4.0, 6.0, 10.0, 16.0, 32.0, 64.0];

/// The order with the least bound; infinite if there is none.
fn least(candidates: impl Iterator<Item = (f64, f64)>) -> (f64, f64) {
    candidates
        .filter(|(_, bound)| !bound.is_nan())
        .min_by(|a, b| a.1.total_cmp(&b.1))
        .unwrap_or((2.0, f64::INFINITY))
}

impl Accountant for RdpAccountant {
    answered_by_history!();

    fn epsilon_interval(&self, delta: Delta) -> Result<EpsilonInterval, AccountingError> {
        Ok(EpsilonInterval::at_most(self.epsilon_and_order(delta).epsilon))
    }

    fn delta_interval(&self, epsilon: Epsilon) -> Result<DeltaInterval, AccountingError> {
        Ok(DeltaInterval::at_most(Delta::new(self.delta_and_order(epsilon.get()).1)?))
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
        Mechanism::Bounded(pair) => bounded::rdp(pair, order),
        Mechanism::SampledBounded { q, pair } => bounded::sampled(q, pair.greatest(), order),
        Mechanism::Response { truth, other, others } => response(truth, other, others, order),
        Mechanism::Selected { ref steps, repetitions } => {
            selection::rdp(|order| composed(steps, order), repetitions, order)
        }
        Mechanism::Zcdp { rho } => rho * order,
    }
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
