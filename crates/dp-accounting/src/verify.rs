//! Several routes, one truth: every accountant that can price a ledger must agree on it.
//!
//! Each accountant gives an interval in which the true `ε` lies, or an upper bound on it. Different mathematics and
//! different code cannot both be right if their intervals have no point in common, so a run
//! that [`verify`] lets pass has been priced independently by all that apply.

use crate::accountant::{Accountant, EpsilonInterval, Neighboring};
use crate::error::AccountingError;
use crate::exact::ExactAccountant;
use crate::ledger::Ledger;
use crate::pld::PldAccountant;
use crate::rdp::RdpAccountant;
use crate::units::{Delta, Epsilon};

/// What one accountant said.
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    /// Its name.
    pub accountant: &'static str,
    /// Its interval, or why it has none.
    pub interval: Result<EpsilonInterval, AccountingError>,
}

/// Why a ledger could not be verified.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// Two intervals have no point in common: one of the accountants is wrong.
    #[error("the accountants contradict each other: {}", listed(statements))]
    Contradiction {
        /// What each of them said.
        statements: Vec<Statement>,
    },
    /// None of the accountants could price the ledger.
    #[error("no accountant can price the ledger: {}", listed(statements))]
    NoneApplies {
        /// What stood in the way of each.
        statements: Vec<Statement>,
    },
}

/// What each accountant said, in words.
fn listed(statements: &[Statement]) -> String {
    let words = |one: &Statement| match &one.interval {
        Ok(EpsilonInterval { lower: Some(lower), upper }) => {
            format!("{}: {lower} to {upper}", one.accountant)
        }
        Ok(EpsilonInterval { lower: None, upper }) => {
            format!("{}: at most {upper}", one.accountant)
        }
        Err(error) => format!("{}: {error}", one.accountant),
    };
    statements.iter().map(words).collect::<Vec<_>>().join("; ")
}

/// What all accountants agree on.
#[derive(Clone, Debug, PartialEq)]
pub struct Agreement {
    /// The points common to all intervals.
    pub epsilon: EpsilonInterval,
    /// What each of them said, those that do not apply included.
    pub statements: Vec<Statement>,
}

/// Prices the ledger with every accountant of this crate.
///
/// # Errors
/// [`VerifyError::Contradiction`] if two intervals do not meet, [`VerifyError::NoneApplies`] if
/// nobody has one.
pub fn verify(
    ledger: &Ledger,
    relation: Neighboring,
    delta: Delta,
) -> Result<Agreement, VerifyError> {
    verify_with(
        vec![
            Box::new(RdpAccountant::new(relation)),
            Box::new(ExactAccountant::new(relation)),
            Box::new(PldAccountant::new(relation).with_points(1 << 17)),
        ],
        ledger,
        delta,
    )
}

/// The same with accountants of the caller's choice, empty and of one relation: one of another make
/// among them is checked against these.
///
/// # Errors
/// As for [`verify`].
pub fn verify_with(
    accountants: Vec<Box<dyn Accountant>>,
    ledger: &Ledger,
    delta: Delta,
) -> Result<Agreement, VerifyError> {
    let ask = |mut accountant: Box<dyn Accountant>| Statement {
        accountant: accountant.name(),
        interval: ledger
            .replay(accountant.as_mut())
            .and_then(|()| accountant.epsilon_interval(delta)),
    };
    agree(accountants.into_iter().map(ask).collect())
}

/// The common part of the intervals.
///
/// # Errors
/// As for [`verify`].
pub fn agree(statements: Vec<Statement>) -> Result<Agreement, VerifyError> {
    let intervals = || statements.iter().filter_map(|one| one.interval.as_ref().ok());
    if intervals().next().is_none() {
        return Err(VerifyError::NoneApplies { statements });
    }
    let later = |a: Epsilon, b: Epsilon| if b > a { b } else { a };
    let sooner = |a: Epsilon, b: Epsilon| if b < a { b } else { a };
    let lower = intervals().filter_map(|one| one.lower).reduce(later);
    let upper = intervals().map(|one| one.upper).fold(Epsilon::INFINITE, sooner);
    if lower.is_some_and(|lower| lower > upper) {
        return Err(VerifyError::Contradiction { statements });
    }
    Ok(Agreement { epsilon: EpsilonInterval { lower, upper }, statements })
}
