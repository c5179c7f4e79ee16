//! The seam between events and guarantees: every accountant is an [`Accountant`].

use std::fmt;

use crate::error::AccountingError;
use crate::event::DpEvent;
use crate::units::{Delta, Epsilon};

/// Which two data sets count as neighbours.
///
/// In all three the unit is one *record*; in federated learning one client with everything
/// that it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Neighboring {
    /// One has a record that the other lacks. Sums differ by at most the contribution bound.
    AddOrRemoveOne,
    /// One record differs between the two, the number of records being the same. Sums differ
    /// by at most *twice* the contribution bound: from `+C` to `−C`.
    ReplaceOne,
    /// A record of one is a blank, contributing zero, in the other. Sums differ by at most
    /// the contribution bound, and the number of records is the same.
    ZeroOutOne,
}

impl Neighboring {
    /// The largest distance of neighbouring sums, in contribution bounds: 1 or 2.
    #[must_use]
    pub fn distance(self) -> f64 {
        match self {
            Self::AddOrRemoveOne | Self::ZeroOutOne => 1.0,
            Self::ReplaceOne => 2.0,
        }
    }
}

impl fmt::Display for Neighboring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AddOrRemoveOne => "add-or-remove-one",
            Self::ReplaceOne => "replace-one",
            Self::ZeroOutOne => "zero-out-one",
        })
    }
}

/// What is known of the least `ε` that is true: a bound from above, and one from below where the
/// price is that of the mechanism itself and not only a bound on it.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct EpsilonInterval {
    /// No smaller `ε` is true; nothing where only the upper end is known.
    pub lower: Option<Epsilon>,
    /// This `ε` is true.
    pub upper: Epsilon,
}

impl EpsilonInterval {
    /// An upper end and no more.
    #[must_use]
    pub fn at_most(upper: Epsilon) -> Self {
        Self { lower: None, upper }
    }

    /// Both ends.
    #[must_use]
    pub fn between(lower: Epsilon, upper: Epsilon) -> Self {
        Self { lower: Some(lower), upper }
    }

    /// The lower end, or zero, below which nothing lies.
    #[must_use]
    pub fn lower_or_zero(self) -> Epsilon {
        self.lower.unwrap_or(Epsilon::ZERO)
    }
}

/// The bounds, rounded outwards: both to as many digits as their distance leaves meaningful and one
/// more, an upper one alone to seven.
impl fmt::Display for EpsilonInterval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let upper = self.upper.get();
        if upper <= 0.0 {
            return f.write_str("at 0");
        }
        let Some(lower) = self.lower.map(Epsilon::get) else {
            return if upper.is_finite() {
                write!(f, "at most {}", outwards(upper, digits(1e-6 * upper), true))
            } else {
                f.write_str("without a bound")
            };
        };
        if !lower.is_finite() {
            return f.write_str("at infinity");
        }
        if !upper.is_finite() {
            return write!(f, "between {lower} and infinity");
        }
        let digits = digits((upper - lower).max(1e-12 * upper).max(1e-15));
        let (low, high) = (outwards(lower, digits, false), outwards(upper, digits, true));
        write!(f, "between {low} and {high}")
    }
}

/// How many decimals show a difference of this size, and one more.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
fn digits(size: f64) -> usize {
    (-size.log10()).ceil().clamp(0.0, 15.0) as usize + 1
}

/// A number to so many decimals, not below it or not above it.
fn outwards(value: f64, digits: usize, up: bool) -> String {
    let scale = 10.0_f64.powi(i32::try_from(digits).unwrap_or(0));
    let scaled = value * scale;
    let rounded = if up { scaled.ceil() } else { scaled.floor() };
    format!("{:.digits$}", rounded / scale)
}

/// What is known of the least `δ` that is true, as of `ε` in [`EpsilonInterval`].
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct DeltaInterval {
    /// No smaller `δ` is true; nothing where only the upper end is known.
    pub lower: Option<Delta>,
    /// This `δ` is true.
    pub upper: Delta,
}

impl DeltaInterval {
    /// An upper end and no more.
    #[must_use]
    pub fn at_most(upper: Delta) -> Self {
        Self { lower: None, upper }
    }

    /// Both ends.
    #[must_use]
    pub fn between(lower: Delta, upper: Delta) -> Self {
        Self { lower: Some(lower), upper }
    }

    /// The lower end, or zero, below which nothing lies.
    #[must_use]
    pub fn lower_or_zero(self) -> Delta {
        self.lower.unwrap_or(Delta::ZERO)
    }
}

/// Adds up events and says what they cost.
///
/// What every accountant keeps:
///
/// - `epsilon` and `delta` never understate: the releases composed so far are `(ε, δ)`
///   differentially private under [`relation`](Self::relation), for each pair it returns.
/// - An event for which it has no proof is refused, naming the innermost part at fault, and a
///   refused event leaves it exactly as it was.
/// - The order in which events are composed does not change an answer by more than rounding.
pub trait Accountant {
    /// A name for messages and reports.
    fn name(&self) -> &'static str;

    /// The neighbouring relation of its guarantees.
    fn relation(&self) -> Neighboring;

    /// Adds `count` times `event` to what was released; zero times is nothing.
    ///
    /// # Errors
    /// [`AccountingError::Unsupported`] if there is no proof for the event,
    /// [`AccountingError::Malformed`] if it contradicts itself,
    /// [`AccountingError::TooManyRepetitions`] above 2^53 repetitions.
    fn compose(&mut self, event: &DpEvent, count: u64) -> Result<(), AccountingError>;

    /// Whether [`compose`](Self::compose) would take the event.
    ///
    /// # Errors
    /// Those of [`compose`](Self::compose).
    fn supports(&self, event: &DpEvent) -> Result<(), AccountingError>;

    /// Bounds on the smallest `ε` that is true at `delta`; without a lower one where only upper
    /// bounds are known.
    ///
    /// # Errors
    /// Only if a numerical method cannot reach its promise; a mechanism without a guarantee
    /// has the upper bound [`Epsilon::INFINITE`].
    fn epsilon_interval(&self, delta: Delta) -> Result<EpsilonInterval, AccountingError>;

    /// Bounds on the smallest `δ` that is true at `epsilon`; without a lower one where only upper
    /// bounds are known.
    ///
    /// # Errors
    /// As for [`epsilon_interval`](Self::epsilon_interval).
    fn delta_interval(&self, epsilon: Epsilon) -> Result<DeltaInterval, AccountingError>;

    /// An `ε` such that everything composed so far is `(ε, delta)` differentially private.
    ///
    /// # Errors
    /// As for [`epsilon_interval`](Self::epsilon_interval).
    fn epsilon(&self, delta: Delta) -> Result<Epsilon, AccountingError> {
        Ok(self.epsilon_interval(delta)?.upper)
    }

    /// A `δ` such that everything composed so far is `(epsilon, δ)` differentially private.
    ///
    /// # Errors
    /// As for [`epsilon_interval`](Self::epsilon_interval).
    fn delta(&self, epsilon: Epsilon) -> Result<Delta, AccountingError> {
        Ok(self.delta_interval(epsilon)?.upper)
    }
}
