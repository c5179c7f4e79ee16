//! Simulation of user-level differentially private federated learning.

pub mod cohort;
pub mod config;
pub mod directory;
pub mod error;
pub mod plan;
pub mod record;
pub mod seed;
pub mod server;
pub mod simulation;
pub mod statement;
pub mod summary;
pub mod weights;

pub use cohort::{CohortSampler, Sampling};
pub use config::{Experiment, RunConfig};
pub use directory::{Cell, RunDirectory};
pub use error::SimError;
pub use record::{EvaluationRecord, Observer, PhaseTimes, RoundRecord};
pub use seed::{Seed, Stream};
pub use server::{Server, ServerOptimizer};
pub use simulation::Simulation;
pub use statement::PrivacyStatement;
