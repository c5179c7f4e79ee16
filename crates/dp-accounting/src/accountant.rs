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

/// Two bounds between which the exact `ε` lies.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct EpsilonInterval {
    /// No smaller `ε` is true; zero where nothing is known.
    pub lower: Epsilon,
    /// This `ε` is true.
    pub upper: Epsilon,
}

/// Both bounds, rounded outwards to as many digits as their distance leaves meaningful and one
/// more.
impl fmt::Display for EpsilonInterval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (lower, upper) = (self.lower.get(), self.upper.get());
        if !upper.is_finite() {
            return write!(f, "between {} and infinity", self.lower);
        }
        if upper <= 0.0 {
            return f.write_str("at 0");
        }
        let width = (upper - lower).max(1e-12 * upper).max(1e-15);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
        let digits = (-width.log10()).ceil().clamp(0.0, 15.0) as usize + 1;
        let scale = 10.0_f64.powi(i32::try_from(digits).unwrap_or(0));
        let (low, high) = ((lower * scale).floor() / scale, (upper * scale).ceil() / scale);
        write!(f, "between {low:.digits$} and {high:.digits$}")
    }
}

/// Two bounds between which the exact `δ` lies.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct DeltaInterval {
    /// No smaller `δ` is true; zero where nothing is known.
    pub lower: Delta,
    /// This `δ` is true.
    pub upper: Delta,
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

    /// Two bounds on the smallest `ε` that is true at `delta`; the lower one is zero where only
    /// upper bounds are known.
    ///
    /// # Errors
    /// Only if a numerical method cannot reach its promise; a mechanism without a guarantee
    /// has the upper bound [`Epsilon::INFINITE`].
    fn epsilon_interval(&self, delta: Delta) -> Result<EpsilonInterval, AccountingError>;

    /// Two bounds on the smallest `δ` that is true at `epsilon`; the lower one is zero where only
    /// upper bounds are known.
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
