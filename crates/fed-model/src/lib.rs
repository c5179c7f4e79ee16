//! Local training of many small federated clients over flat parameter vectors.

pub mod error;
pub mod learner;
pub mod spec;
pub mod work;

pub use error::LearnError;
pub use learner::{ClientReport, CohortJob, CohortSum, Learner, Metrics};
pub use spec::MlpSpec;
pub use work::{LocalSgd, LocalWork};
