//! From a target `ε` back to a parameter.
//!
//! [`ClientSearch`] is the search of the tutorial "Differential Privacy in TFF": the number of
//! clients per round, with the noise growing in proportion.

mod clients;

pub use clients::{ClientSearch, ClientVerdict, Evaluation, Price, Proposal};
