//! Differentially private aggregation of client updates.

pub mod aggregator;
pub mod error;
pub mod gaussian;
pub mod grid;
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
pub use sum::SecretSum;
pub use zeroing::{AdaptiveZeroing, Zeroing};
