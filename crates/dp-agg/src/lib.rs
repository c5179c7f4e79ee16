//! Differentially private aggregation of client updates: flat slices in, a priced release out.
//!
//! In a round of federated learning every client of a cohort sends an update of the model. This
//! crate says what happens to the updates between training and the server's step, so that what
//! leaves the round tells little about any one client:
//!
//! 1. an [`Aggregator`] states the [`UpdateRule`] of the round: when an update becomes zeros, and
//!    to which norm it is clipped;
//! 2. every update goes through the rule into a [`SecretSum`], which lives on a public [`Grid`]
//!    and is exact: threads and machines may add in any order and get the same bits;
//! 3. the [`Noise`] is drawn, meanwhile if you like;
//! 4. [`Aggregator::release`] consumes sum and noise and gives a [`Release`]: the noisy mean, the
//!    [`DpEvent`](dp_accounting::DpEvent) that it cost, and what the guarantee does not cover.
//!
//! ```
//! use dp_agg::{
//!     Aggregator, Clipping, GaussianAggregator, GaussianConfig, NoiseSource, SecretSum, Zeroing,
//! };
//!
//! let mut aggregator = GaussianAggregator::new(GaussianConfig {
//!     noise_multiplier: 0.5,
//!     clients_per_round: 20.0, // expected, and public
//!     zeroing: Zeroing::Off,
//!     clipping: Clipping::Fixed { clip_norm: 1.0 },
//! })?;
//!
//! // A model of three parameters and two clients, who send initial minus trained weights.
//! let mut sum = SecretSum::open(&aggregator.rule(), 3);
//! sum.add(&[3.0, 0.0, 4.0], 1); // norm 5: clipped to (0.6, 0, 0.8)
//! sum.add(&[0.0, 0.5, 0.0], 1);
//!
//! // Seeded noise is for simulations; `NoiseSource::Release` draws what may be released.
//! let noise = aggregator.noise(3).draw(&NoiseSource::Simulation { key: [7; 32] })?;
//! let release = aggregator.release(sum, noise)?;
//!
//! assert_eq!(release.mean.len(), 3); // (0.6, 0.5, 0.8) plus noise of deviation 0.5, over 20
//! println!("{:?}", release.event); // what an accountant is told, before sampling
//! for gap in &release.uncovered {
//!     println!("not covered: {gap}");
//! }
//! # Ok::<(), dp_agg::AggregateError>(())
//! ```
//!
//! | aggregator | clips | noise | divides by | costs |
//! |---|---|---|---|---|
//! | [`GaussianAggregator`] | fixed norm, or a moving quantile on a noised count | Gaussian | the *expected* number of clients | one or two Gaussian events |
//! | [`RobustMean`] | a moving quantile on exact counts, or not | none | clients or weight present | no guarantee |
//! | [`PlainMean`] | never | none | clients or weight present | no guarantee |
//!
//! A sum without noise exists only as [`SecretSum`], which cannot be read, cloned or printed.
//! What a server may see and what only a simulation knows are different fields of a release:
//! [`Measurements`] and [`RawCounts`].
//!
//! # What is promised
//!
//! - Adding or removing one client moves a clipped sum by at most the clip norm, rounding
//!   included, whatever the client sends (NaN, infinities, subnormal numbers); shown by test in
//!   whole-number arithmetic.
//! - The event of a release prices the noise that was added: no more was promised than drawn.
//! - In the mode [`NoiseMode::Release`] the noise is an exact discrete Gaussian from the
//!   operating system's entropy. The time that a draw takes is not hidden.
//!
//! # Papers
//!
//! - Andrew, Thakkar, McMahan, Ramaswamy, 2021: [Differentially Private Learning with Adaptive
//!   Clipping](https://arxiv.org/abs/1905.03871).
//! - McMahan, Ramage, Talwar, Zhang, 2018: [Learning Differentially Private Recurrent Language
//!   Models](https://arxiv.org/abs/1710.06963).
//! - Canonne, Kamath, Steinke, 2020: [The Discrete Gaussian for Differential
//!   Privacy](https://arxiv.org/abs/2004.00010).
//! - Mironov, 2012: [On Significance of the Least Significant Bits for Differential
//!   Privacy](https://doi.org/10.1145/2382196.2382264).

pub mod aggregator;
pub mod error;
pub mod gaussian;
pub mod grid;
#[doc(hidden)]
pub mod mistake;
pub mod noise;
pub mod plain;
pub mod quantile;
pub mod robust;
pub mod rule;
pub mod split;
pub mod stats;
pub mod sum;
pub mod zeroing;

pub use aggregator::{Aggregator, AggregatorState, Measurements, RawCounts, Release, Uncovered};
pub use error::AggregateError;
pub use gaussian::{AdaptiveClipping, Clipping, GaussianAggregator, GaussianConfig};
pub use grid::Grid;
pub use noise::{Noise, NoiseMode, NoiseSource, NoiseSpec};
pub use plain::PlainMean;
pub use quantile::{QuantileConfig, QuantileEstimator, QuantileUpdate};
pub use robust::{RobustClipping, RobustConfig, RobustMean};
pub use rule::{Magnitude, UpdateRule, Verdict, Weighting};
pub use split::NoiseSplit;
pub use sum::{SecretSum, SummedClient};
pub use zeroing::{AdaptiveZeroing, NoisedZeroing, Zeroing};
