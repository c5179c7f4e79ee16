//! Federated client data: who has which examples.
//!
//! A [`Dataset`] has two [`Split`]s, what clients train on and what they set aside; a split is a
//! [`FederatedData`], clients by index in the order of their sorted ids. It comes from
//!
//! * TFF's federated EMNIST, in its SQLite or HDF5 layout, packed or not;
//! * MNIST's idx files joined with QMNIST's table of writers ([`mnist`]);
//! * the embedded default, [`synthetic`] writers, drawn in about a second: 3,383 clients with
//!   exactly the real numbers of examples, each with a hand of its own.
//!
//! ```
//! use fed_data::{Choice, FederatedData, OpenOptions, SyntheticWriters};
//!
//! // `Choice::Auto` takes real data if some lies in `datasets/`, and says why it took what it took.
//! let data = OpenOptions::new()
//!     .choice(Choice::Synthetic)
//!     .synthetic(SyntheticWriters { seed: 0, clients: 20 })
//!     .open()?;
//! assert_eq!(data.source.name, "synthetic writers (seed 0)");
//! assert!(data.source.synthetic, "and no result on it may hide that");
//!
//! let client = data.train.client(7); // [len, 784] features and len labels, borrowed
//! let mut picture = [0.0; 784];
//! client.copy_row(0, &mut picture); // 1 is white paper, 0 is ink
//! assert!(picture.iter().all(|value| (0.0..=1.0).contains(value)));
//!
//! let test = data.test.all_examples(); // the union of what everybody set aside, not copied
//! assert_eq!(test.len(), data.test.len());
//! # Ok::<(), fed_data::DataError>(())
//! ```
//!
//! **Pixels.** Row-major, 28 by 28, in `0.0..=1.0`, 1 for paper and 0 for ink: TFF's polarity, the
//! inverse of MNIST's. They are kept as bytes if every one is bit for bit a byte over 255, which
//! is checked, else as `f32`; readers of [`Examples`] see the same values either way.
//!
//! **Start-up.** What takes time is done once: [`OpenOptions`] keeps a [`cache`] in the data
//! folder and maps it the next time. Memory is that of the data, plus the reader's buffers.
//!
//! **Downloads** happen only in [`fetch`], never by opening.
//!
//! Features: `readers` (SQLite, HDF5, archives), `fetch` (downloads) and `contact-sheet` (PNG of
//! some clients), all on by default; without them the crate builds in seconds and has the
//! synthetic writers, plain idx files and the cache.

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
pub mod expanded;
pub mod federated;
#[cfg(feature = "fetch")]
pub mod fetch;
pub mod look;
#[cfg(feature = "readers")]
mod memory;
pub mod mnist;
pub mod open;
pub mod scratch;
pub mod shuffle;
pub mod split;
pub mod synthetic;

pub use batch::{Batch, BatchPlan, Batches};
pub use client_sizes::SizeSummary;
pub use dataset::{Dataset, Source, Variant};
pub use digest::{ContentDigest, Digests, PartDigests};
pub use error::DataError;
pub use examples::{BYTE_VALUES, Examples, Features};
pub use expanded::Expanded;
pub use federated::FederatedData;
pub use look::PixelSummary;
pub use open::{Choice, OpenOptions, Progress};
pub use shuffle::ShuffleSeed;
pub use split::Split;
pub use synthetic::{Part, SyntheticPopulation, SyntheticWriters};

/// The README's program, compiled with the documentation's tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
