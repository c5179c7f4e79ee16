//! Searching one parameter for a target, with any price.
//!
//! The price must move one way with the parameter; which way is said. The answer lies on the
//! safe side: its `ε` was computed and is at most the target. With it comes the nearest value
//! that was found to miss the target, and if nothing in the range meets it, the verdict names
//! the least `ε` in reach.

use std::ops::RangeInclusive;

use crate::calibrate::quote::Quote;
use crate::error::AccountingError;
use crate::units::{Epsilon, UnitError};

/// Which way `ε` moves as the parameter grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// More of it costs less, like noise: the smallest value that meets the target is sought.
    Falling,
    /// More of it costs more, like rounds: the largest value that meets the target is sought.
    Rising,
}

/// A value of the parameter with what it costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Priced<T> {
    /// The value.
    pub value: T,
    /// Its price.
    pub epsilon: Epsilon,
    /// The accountant that proved it, where the search knows.
    pub accountant: Option<&'static str>,
}

impl<T> Priced<T> {
    fn new(value: T, quote: Quote) -> Self {
        Self { value, epsilon: quote.epsilon, accountant: quote.accountant }
    }
}

/// What a search found.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Verdict<T> {
    /// The target is met.
    Met {
        /// The last value, seen from the safe side, that is known to meet it.
        answer: Priced<T>,
        /// The next one, which misses it; nothing if the whole range meets it.
        missed: Option<Priced<T>>,
    },
    /// No value of the range meets the target.
    OutOfReach {
        /// The end of the range with the least price.
        floor: Priced<T>,
    },
}

impl<T: Copy> Verdict<T> {
    /// The answer, if there is one.
    #[must_use]
    pub fn answer(&self) -> Option<Priced<T>> {
        match self {
            Self::Met { answer, .. } => Some(*answer),
            Self::OutOfReach { .. } => None,
        }
    }
}

/// The last whole number of `range` that meets `target`, exactly.
///
/// # Errors
/// Those of `price`; [`AccountingError::Unit`] for an empty range.
pub fn whole(
    range: RangeInclusive<u64>,
    direction: Direction,
    target: Epsilon,
    mut price: impl FnMut(u64) -> Result<Epsilon, AccountingError>,
) -> Result<Verdict<u64>, AccountingError> {
    whole_quoted(range, direction, target, |value| price(value).map(Quote::from))
}

/// [`whole`] with prices that name who proved them.
pub(super) fn whole_quoted(
    range: RangeInclusive<u64>,
    direction: Direction,
    target: Epsilon,
    mut price: impl FnMut(u64) -> Result<Quote, AccountingError>,
) -> Result<Verdict<u64>, AccountingError> {
    if range.is_empty() {
        return Err(empty("whole numbers"));
    }
    let mut priced = |value: u64| price(value).map(|quote| Priced::new(value, quote));
    let (cheap, dear) = match direction {
        Direction::Falling => (*range.end(), *range.start()),
        Direction::Rising => (*range.start(), *range.end()),
    };
    let mut safe = priced(cheap)?;
    if safe.epsilon > target {
        return Ok(Verdict::OutOfReach { floor: safe });
    }
    if cheap == dear {
        return Ok(Verdict::Met { answer: safe, missed: None });
    }
    // Strides that double away from the safe end, and never more than half of a value at once:
    // the dear end may be out of all proportion.
    let mut stride = 1_u64;
    let mut missed = loop {
        let room = safe.value.abs_diff(dear);
        let value = if dear > cheap {
            safe.value + stride.min(room)
        } else {
            safe.value - stride.min(room).min((safe.value / 2).max(1))
        };
        let next = priced(value)?;
        if next.epsilon > target {
            break next;
        }
        safe = next;
        if value == dear {
            return Ok(Verdict::Met { answer: safe, missed: None });
        }
        stride = stride.saturating_mul(2);
    };
    while safe.value.abs_diff(missed.value) > 1 {
        let middle = priced(safe.value.midpoint(missed.value))?;
        if middle.epsilon > target {
            missed = middle;
        } else {
            safe = middle;
        }
    }
    Ok(Verdict::Met { answer: safe, missed: Some(missed) })
}

/// The last real number of `range` that meets `target`, to a relative `tolerance`, looked for
/// from `start` on in growing factors; all values positive.
///
/// # Errors
/// Those of `price`; [`AccountingError::Unit`] if the range is empty or not positive, if
/// `start` is outside of it, or if the tolerance is not between 1e-14 and 1.
pub fn real(
    range: RangeInclusive<f64>,
    start: f64,
    tolerance: f64,
    direction: Direction,
    target: Epsilon,
    mut price: impl FnMut(f64) -> Result<Epsilon, AccountingError>,
) -> Result<Verdict<f64>, AccountingError> {
    real_quoted(range, start, tolerance, direction, target, |value| price(value).map(Quote::from))
}

/// [`real`] with prices that name who proved them.
pub(super) fn real_quoted(
    range: RangeInclusive<f64>,
    start: f64,
    tolerance: f64,
    direction: Direction,
    target: Epsilon,
    mut price: impl FnMut(f64) -> Result<Quote, AccountingError>,
) -> Result<Verdict<f64>, AccountingError> {
    let sound = *range.start() > 0.0 && range.end().is_finite() && range.contains(&start);
    if !sound || !(1e-14..=1.0).contains(&tolerance) {
        return Err(empty("positive numbers around the start"));
    }
    let mut priced = |value: f64| price(value).map(|quote| Priced::new(value, quote));
    let meets = |priced: &Priced<f64>| priced.epsilon <= target;
    let first = priced(start)?;
    // Away from the dear side until the target is met, or towards it until it is missed.
    let up = (direction == Direction::Falling) != meets(&first);
    let mut factor = 1.1_f64;
    let mut before = first;
    let (mut safe, mut missed) = loop {
        let value = if up { before.value * factor } else { before.value / factor };
        let value = value.clamp(*range.start(), *range.end());
        let stuck = if up { before.value >= *range.end() } else { before.value <= *range.start() };
        if stuck {
            return Ok(if meets(&first) {
                Verdict::Met { answer: before, missed: None }
            } else {
                Verdict::OutOfReach { floor: before }
            });
        }
        let next = priced(value)?;
        match (meets(&before), meets(&next)) {
            (true, false) => break (before, next),
            (false, true) => break (next, before),
            _ => before = next,
        }
        factor = (factor * factor).min(1e3);
    };
    // The secant in logarithms, kept from stalling by halving every third step.
    let mut step = 0_u32;
    while (safe.value / missed.value - 1.0).abs() > tolerance {
        step += 1;
        let (a, b) = (safe.value.ln(), missed.value.ln());
        let height = |priced: &Priced<f64>| (priced.epsilon.get() / target.get()).ln();
        // Aim a little to the safe side, so that the answer closes in from there as well.
        let aim = -0.05 * tolerance;
        let mut at = a + (aim - height(&safe)) * (b - a) / (height(&missed) - height(&safe));
        let nudge = 0.4 * tolerance * (b - a).signum();
        if step.is_multiple_of(2) {
            at += nudge;
        }
        let between = (at - a) * (at - b) < 0.0;
        if step.is_multiple_of(3) || !between {
            at = 0.5 * (a + b);
        }
        // Rounding may put a place next to an end on it or beyond: then halve.
        let inside = |value: f64| {
            value > safe.value.min(missed.value) && value < safe.value.max(missed.value)
        };
        let value = [at.exp(), (0.5 * (a + b)).exp(), 0.5 * (safe.value + missed.value)]
            .into_iter()
            .find(|&value| inside(value));
        let Some(value) = value else { break };
        let middle = priced(value)?;
        if meets(&middle) {
            safe = middle;
        } else {
            missed = middle;
        }
    }
    Ok(Verdict::Met { answer: safe, missed: Some(missed) })
}

fn empty(unit: &'static str) -> AccountingError {
    UnitError::OutOfRange { unit, range: "a range that is not empty", value: f64::NAN }.into()
}
