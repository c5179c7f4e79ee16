//! Federated client data.

pub mod examples;
pub mod federated;
pub mod shuffle;

pub use examples::{BYTE_VALUES, Examples, Features};
pub use federated::FederatedData;
pub use shuffle::ShuffleSeed;
