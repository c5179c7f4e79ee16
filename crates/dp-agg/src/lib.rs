//! Differentially private aggregation of client updates.

pub mod grid;
pub mod rule;
pub mod sum;

pub use grid::Grid;
pub use rule::{Magnitude, UpdateRule, Verdict, Weighting};
pub use sum::SecretSum;
