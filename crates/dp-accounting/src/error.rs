//! Why an accountant could not give an answer.

use crate::accountant::Neighboring;
use crate::event::DpEvent;
use crate::units::UnitError;

/// Why an accountant could not give an answer.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AccountingError {
    /// No proof is known to this accountant for the event; nothing was composed.
    #[error("{accountant} has no bound for {event} under {relation} neighbours")]
    Unsupported {
        /// Which accountant was asked.
        accountant: &'static str,
        /// The innermost event that it could not handle.
        event: Box<DpEvent>,
        /// The neighbouring relation it was built for.
        relation: Neighboring,
    },
    /// The event contradicts itself, for example a sample larger than its population.
    #[error("{event} makes no sense: {reason}")]
    Malformed {
        /// The innermost event at fault.
        event: Box<DpEvent>,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// More than 2^53 repetitions of one event: a count that no longer fits a number.
    #[error("the number of repetitions exceeds 2^53")]
    TooManyRepetitions,
    /// The list of Rényi orders is empty or holds an order that is not a number above 1.
    #[error("Rényi orders must be finite numbers above 1, at least one of them; not {0:?}")]
    BadOrders(Vec<f64>),
    /// The interval around the truth could not be made as narrow as was asked.
    #[error("{accountant} cannot give an interval of width {asked:e}: {reason}")]
    WidthNotReached {
        /// Which accountant was asked.
        accountant: &'static str,
        /// The width, absolute in `ε` or relative in `δ`.
        asked: f64,
        /// What stands in the way.
        reason: String,
    },
    /// A number was out of range.
    #[error(transparent)]
    Unit(#[from] UnitError),
}
