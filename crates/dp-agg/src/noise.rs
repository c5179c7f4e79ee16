//! Noise on the grid: drawn ahead of time, used once.
//!
//! What a round needs is fixed before it starts (the clip norm in force and the noise split), so
//! it can be drawn while the clients train: [`NoiseSpec`] says what is needed, a [`NoiseSource`]
//! where the randomness comes from, [`NoiseSpec::draw`] gives the [`Noise`], and an aggregator's
//! `release` consumes it. All noise is in whole steps of a public [grid](crate::grid), so adding
//! it to the sum is exact.
//!
//! | mode | randomness | draws | may be released |
//! |---|---|---|---|
//! | [`NoiseMode::Simulation`] | ChaCha20 under a key of the caller | `N(0, σ²)` in `f64`, rounded to the grid | no |
//! | [`NoiseMode::Release`] | ChaCha20 under a key of the operating system, used once | exact discrete Gaussian | yes |
//!
//! Coordinates are drawn in chunks of 8192, each from a stream of its own under the round's key,
//! so the number of threads does not change a bit and no stream serves two coordinates; the noise
//! on the count has a stream for itself. **A key serves one round**: whoever hands one out must
//! derive another for every round and every run.
//!
//! The discrete Gaussian on the integers with scale `σ` costs no more than the continuous one:
//! for whole-number sums of sensitivity `Δ` it satisfies `Δ²/(2σ²)`-concentrated differential
//! privacy, in one dimension and in many ([CKS20], Theorem 14). Steps are at least `2^30` finer
//! than the clip norm, so with subsampling its divergences agree with the continuous Gaussian's
//! far beyond the digits of any accountant; in release mode `σ` is rounded up to a whole number
//! of steps.
//!
//! [CKS20]: https://arxiv.org/abs/2004.00010

mod discrete_gaussian;
mod simulation;

use serde::{Deserialize, Serialize};

use crate::error::AggregateError;
use crate::grid::Grid;
use crate::mistake::{Mistake, made};

/// Coordinates that share one stream.
const CHUNK: usize = 8192;

/// The stream of the count; coordinates use the streams from 1 upwards.
const COUNT_STREAM: u64 = 0;

/// The stream of the count behind a noised zeroing threshold: no model has so many chunks.
const ZEROING_STREAM: u64 = u64::MAX;

/// Steps per client on the grid of the count: half a client is a whole number of steps.
const COUNT_STEPS: f64 = 1_048_576.0; // 2^20

/// What kind of noise a result rests on. Part of the guarantee: print it with every ε.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoiseMode {
    /// Seeded, reproducible, fast. Whoever knows the seed can subtract it: not a release.
    Simulation,
    /// Entropy of the operating system, exact discrete Gaussian; can be neither seeded nor
    /// replayed.
    Release,
}

impl std::fmt::Display for NoiseMode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Simulation => "simulation noise: not a release",
            Self::Release => "release noise: exact discrete Gaussian, system entropy",
        })
    }
}

/// The stream of the count behind the clip norm, which serves nothing else.
fn count_stream() -> u64 {
    COUNT_STREAM + u64::from(made(Mistake::CountSharesStream))
}

/// Where the randomness of one round comes from.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum NoiseSource {
    /// A key that serves this round alone.
    Simulation {
        /// Key of the round's streams.
        key: [u8; 32],
    },
    /// The operating system.
    Release,
}

impl NoiseSource {
    /// The mode of the noise that this source gives.
    #[must_use]
    pub fn mode(&self) -> NoiseMode {
        match self {
            Self::Simulation { .. } => NoiseMode::Simulation,
            Self::Release => NoiseMode::Release,
        }
    }
}

/// What noise a round needs: fixed before the round, public.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct NoiseSpec {
    dim: usize,
    grid: Grid,
    stddev: f64,
    count_stddev: f64,
    zeroing_stddev: f64,
}

impl NoiseSpec {
    /// Noise of standard deviation `stddev` on each of `dim` coordinates of a sum on `grid`, and
    /// of `count_stddev` clients on its centred count. A deviation of zero means no noise.
    ///
    /// # Errors
    /// [`AggregateError::OutOfRange`] if a deviation is negative or NaN, or so large (`2^47`
    /// steps) that noise on the grid would no longer be exact.
    pub fn new(
        dim: usize,
        grid: Grid,
        stddev: f64,
        count_stddev: f64,
    ) -> Result<Self, AggregateError> {
        let most = 2.0_f64.powi(47);
        for (value, steps, what) in [
            (stddev, stddev / grid.step(), "deviation of the noise on a sum"),
            (count_stddev, count_stddev * COUNT_STEPS, "deviation of the noise on a count"),
        ] {
            if !(0.0..=most).contains(&steps) {
                let range = "[0, 2^47 steps]";
                return Err(AggregateError::OutOfRange { what, range, value });
            }
        }
        Ok(Self { dim, grid, stddev, count_stddev, zeroing_stddev: 0.0 })
    }

    /// The same with noise of `zeroing_stddev` clients on a second centred count, the one behind a
    /// zeroing threshold.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_zeroing_count(self, zeroing_stddev: f64) -> Result<Self, AggregateError> {
        // The same range as for the other count.
        Self::new(self.dim, self.grid, self.stddev, zeroing_stddev)?;
        Ok(Self { zeroing_stddev, ..self })
    }

    /// No noise at all.
    #[must_use]
    pub fn none(dim: usize, grid: Grid) -> Self {
        Self { dim, grid, stddev: 0.0, count_stddev: 0.0, zeroing_stddev: 0.0 }
    }

    /// Whether there is nothing to draw.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.stddev <= 0.0 && self.count_stddev <= 0.0 && self.zeroing_stddev <= 0.0
    }

    /// Number of coordinates.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Standard deviation on each coordinate of the *sum*, in the units of the updates.
    #[must_use]
    pub fn stddev(&self) -> f64 {
        self.stddev
    }

    /// Standard deviation on the centred count, in clients.
    #[must_use]
    pub fn count_stddev(&self) -> f64 {
        self.count_stddev
    }

    /// Draws the noise, in parallel. It may be used for one release.
    ///
    /// # Errors
    /// [`AggregateError::Entropy`] if the operating system gives no randomness.
    pub fn draw(&self, source: &NoiseSource) -> Result<Noise, AggregateError> {
        let stddev_steps = self.stddev / self.grid.step();
        let dim = if self.stddev > 0.0 { self.dim } else { 0 };
        let mut steps = vec![0.0; dim];
        let counts = [
            (self.count_stddev * COUNT_STEPS, count_stream()),
            (self.zeroing_stddev * COUNT_STEPS, ZEROING_STREAM),
        ];
        let [count_steps, zeroing_steps] = match source {
            NoiseSource::Simulation { key } => {
                simulation::fill(&mut steps, stddev_steps, key);
                counts.map(|(stddev, stream)| simulation::count(stddev, key, stream))
            }
            NoiseSource::Release => {
                let key = discrete_gaussian::system_key()?;
                discrete_gaussian::fill(&mut steps, stddev_steps, &key);
                counts.map(|(stddev, stream)| discrete_gaussian::count(stddev, &key, stream))
            }
        };
        Ok(Noise { spec: *self, mode: source.mode(), steps, count_steps, zeroing_steps })
    }

    fn describe(&self) -> String {
        format!(
            "{} coordinates of deviation {} on steps of {} and counts of deviation {} and {}",
            self.dim,
            self.stddev,
            self.grid.step(),
            self.count_stddev,
            self.zeroing_stddev
        )
    }
}

/// The noise of one release. It cannot be cloned, printed or read: noise that is known or used
/// twice protects nobody.
#[must_use = "noise is drawn to be used once"]
pub struct Noise {
    spec: NoiseSpec,
    mode: NoiseMode,
    /// Whole steps of the grid; empty where the deviation is zero.
    steps: Vec<f64>,
    /// Whole steps of the grid of the counts.
    count_steps: f64,
    zeroing_steps: f64,
}

impl Noise {
    /// No noise: for aggregators that need none, and for `z = 0`.
    pub fn none(dim: usize, grid: Grid) -> Self {
        let spec = NoiseSpec::none(dim, grid);
        let mode = NoiseMode::Simulation;
        Self { spec, mode, steps: Vec::new(), count_steps: 0.0, zeroing_steps: 0.0 }
    }

    /// What it was drawn for.
    #[must_use]
    pub fn spec(&self) -> &NoiseSpec {
        &self.spec
    }

    /// What kind of noise it is.
    #[must_use]
    pub fn mode(&self) -> NoiseMode {
        self.mode
    }

    /// Refuses a noise that was drawn for something else than `needed`.
    pub(crate) fn check(&self, needed: &NoiseSpec) -> Result<(), AggregateError> {
        if self.spec == *needed {
            Ok(())
        } else {
            let (drawn, needed) = (self.spec.describe(), needed.describe());
            Err(AggregateError::NoiseMismatch { drawn, needed })
        }
    }

    /// The noise on the centred count, in clients: exact.
    pub(crate) fn on_count(&self) -> f64 {
        if made(Mistake::NoNoiseOnCount) { 0.0 } else { self.count_steps / COUNT_STEPS }
    }

    /// The noise on the centred count behind a zeroing threshold, in clients: exact.
    pub(crate) fn on_zeroing_count(&self) -> f64 {
        self.zeroing_steps / COUNT_STEPS
    }

    /// Adds the noise to a sum in whole steps: exact with the factor 1, the only right one.
    pub(crate) fn add_to(&self, sum: &mut [f64], factor: f64) {
        for (sum, noise) in sum.iter_mut().zip(&self.steps) {
            *sum += noise * factor;
        }
    }
}
