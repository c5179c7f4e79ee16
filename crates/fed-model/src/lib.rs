//! Local training of many small federated clients over flat parameter vectors.

pub mod backend;
#[cfg(feature = "burn")]
pub mod burn_learner;
mod cohort;
#[cfg(feature = "cpu")]
pub mod cpu;
pub mod error;
pub mod learner;
#[cfg(any(feature = "cpu", feature = "burn"))]
mod loss;
#[cfg(any(feature = "cpu", feature = "burn"))]
mod pixels;
pub mod reference;
pub mod spec;
pub mod work;
mod workers;

pub use backend::{Backend, open};
#[cfg(feature = "burn")]
pub use burn_learner::BurnLearner;
#[cfg(feature = "cpu")]
pub use cpu::CpuLearner;
pub use error::LearnError;
pub use learner::{ClientReport, CohortJob, CohortSum, Learner, Metrics};
pub use reference::ReferenceLearner;
pub use spec::{LayerSlot, MlpSpec};
pub use work::{LocalSgd, LocalWork};
