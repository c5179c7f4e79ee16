//! From a target `ε` back to a parameter.
//!
//! [`ClientSearch`] is the search of the tutorial "Differential Privacy in TFF": the number of
//! clients per round, with the noise growing in proportion. [`Run`] varies any one parameter of
//! a run and keeps the others. Both price with any [`Accountant`](crate::Accountant); under them
//! lie [`whole`] and [`real`], which search anything that moves one way.
//!
//! Answers are on the safe side: an answer's own `ε` was computed and meets the target. A target
//! that cannot be met is a verdict with the least `ε` in reach, not an error and not a loop.

mod clients;
mod quote;
mod run;
mod search;

pub use clients::{ClientSearch, ClientVerdict, Evaluation, Price, Proposal};
pub use run::Run;
pub use search::{Direction, Priced, Verdict, real, whole};
