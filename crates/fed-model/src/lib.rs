//! Local training of many small federated clients over flat parameter vectors.

pub mod backend;
mod cohort;
#[cfg(feature = "cpu")]
pub mod cpu;
pub mod error;
pub mod learner;
pub mod reference;
pub mod spec;
pub mod work;
mod workers;

pub use backend::{Backend, open};
#[cfg(feature = "cpu")]
pub use cpu::CpuLearner;
pub use error::LearnError;
pub use learner::{ClientReport, CohortJob, CohortSum, Learner, Metrics};
pub use reference::ReferenceLearner;
pub use spec::{LayerSlot, MlpSpec};
pub use work::{LocalSgd, LocalWork};
