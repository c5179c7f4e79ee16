//! Federated client data.

pub mod batch;
mod buffer;
pub mod cache;
pub mod client_sizes;
#[cfg(feature = "contact-sheet")]
pub mod contact_sheet;
pub mod dataset;
pub mod digest;
#[cfg(feature = "readers")]
pub mod emnist;
pub mod error;
pub mod examples;
pub mod federated;
#[cfg(feature = "fetch")]
pub mod fetch;
pub mod mnist;
pub mod open;
pub mod shuffle;
pub mod split;
pub mod synthetic;

pub use batch::{Batch, BatchPlan, Batches};
pub use client_sizes::SizeSummary;
pub use dataset::{Dataset, Source, Variant};
pub use digest::ContentDigest;
pub use error::DataError;
pub use examples::{BYTE_VALUES, Examples, Features};
pub use federated::FederatedData;
pub use open::{Choice, OpenOptions, Progress};
pub use shuffle::ShuffleSeed;
pub use split::Split;
pub use synthetic::{Part, SyntheticPopulation, SyntheticWriters};
