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
//! derive another for every round and every run. [`SecretSum::noise_key`](crate::SecretSum::noise_key)
//! makes one that no other sum has, which is the safe way.
//!
//! # What release noise costs
//!
//! A release is priced as a continuous Gaussian of deviation `σ`. What is drawn is a discrete
//! Gaussian of scale `σ_d`, on steps of at most `2^-30` clip norms for a sum and of `2^-20` clients
//! for a count. With both in steps, the scale is the whole number
//!
//! ```text
//! σ_d = ⌈ √(σ² + 8²) ⌉,    P(x) ∝ exp(−x² / (2σ_d²)) for whole x
//! ```
//!
//! and the price holds for whatever is done with it: under every sampling and neighbouring
//! relation, for `(ε, δ)` and for every Rényi order, whole or not, composed in any way. What is
//! released is, but for a factor that is stated here, computed from what the continuous mechanism
//! releases. Let `e(s) = 2 Σ_{k≥1} exp(−2π²s²k²)`; `e(8) < 1e-548`.
//!
//! **Theorem.** A mechanism releases whole vectors with discrete Gaussian noise, `n` coordinates in
//! all, however many rounds and however later ones depend on earlier; its twin adds continuous noise
//! of `σ² = σ_d² − s²` instead and then moves every coordinate `x`, on its own, to a whole `y` with
//! probability proportional to `exp(−(y − x)²/(2s²))`. The probabilities of every outcome under the
//! two have a ratio between `(1 − e(s))ⁿ/(1 + e(s))ⁿ` and `(1 + e(s))ⁿ`.
//!
//! *Proof.* By Poisson's summation formula `Σ_y exp(−(y − x)²/(2s²)) = s√(2π) (1 + 2 Σ_k
//! exp(−2π²s²k²) cos(2πkx))`, within a factor `1 ± e(s)` of `s√(2π)` for all `x`. The twin's chance
//! of `y` around a whole centre `c` is the mean, over `x ~ N(c, σ²)`, of `exp(−(y − x)²/(2s²))` over
//! that sum. The mean of the numerator is `s√(2π)` times the density of `N(c, σ² + s²)` at `y`, so
//! that the chance is that density within factors `1/(1 ± e(s))`. That of the discrete Gaussian is
//! the same density over `1 + e(σ_d)`, and `0 ≤ e(σ_d) ≤ e(s)`. Neither factor depends on the centre, so
//! mixtures over samples keep them, and factors of coordinates and of rounds, given the past, multiply.
//!
//! The move in the twin is post-processing, which costs nothing. So if the continuous mechanism is
//! `(ε, δ)` differentially private, the one that is released is `(ε + 3n·e(8), (1 + 2n·e(8))·δ)`
//! differentially private, as long as `n·e(8)` is below 1/4, and its Rényi divergence of order `α` is
//! larger by at most `(3α − 2)/(α − 1) · n·e(8)`. A run of `2^31` coordinates over `2^53` rounds has
//! `n < 1e26`: **the allowance is below 1e-520**, in `ε` and relative to `δ`. It is stated here, and not
//! added to any price: no float can show it.
//!
//! **At whole orders nothing is lost at all.** For a whole shift `Δ` and every real `j` the moment of
//! the likelihood ratio `r` of two discrete Gaussians a distance `Δ` apart is
//!
//! ```text
//! E[r^j] = exp(j(j − 1) |Δ|²/(2σ_d²)) · Π_i θ(jΔ_i)/θ(0),    θ(c) = Σ_x exp(−(x − c)²/(2σ_d²))
//! ```
//!
//! and `θ` has period 1 and its maximum at whole numbers. At whole `j` that is exactly the continuous
//! Gaussian's moment of the same scale, and below it at others ([CKS20], Proposition 5): without
//! sampling no order costs more than with continuous noise. The Poisson-sampled moment `E[((1 − q) +
//! q·r)^α]` of whole order, with a client against without, is a sum of such moments, so that it too is
//! exactly the continuous one; between whole orders, and for `δ`, the theorem says how far it may lie
//! above.
//!
//! Where the deviation is below `2^10` steps (a multiplier below `2^-20`, a count's deviation below
//! `2^-10` clients) release noise is refused: nothing would be wrong with it, but so little noise
//! is a mistake.
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

/// The stream of the count behind the clip norm, which serves nothing else.
const COUNT_STREAM: u64 = 0;

/// The stream of the first chunk of coordinates; those of the others follow.
const FIRST_CHUNK: u64 = 1;

/// The stream of the count behind a noised zeroing threshold: no model has so many chunks.
const ZEROING_STREAM: u64 = u64::MAX;

/// Deviation, in steps, below which release noise is refused.
const LEAST_RELEASED: f64 = 1024.0; // 2^10

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

    /// Whether release noise of this spec would be drawn: wherever there is a deviation, it is at
    /// least `2^10` steps of its grid.
    ///
    /// # Errors
    /// [`AggregateError::TooLittleNoise`] if not.
    pub fn check_release(&self) -> Result<(), AggregateError> {
        let sum = "raise the noise multiplier, which must be at least 1e-6, or set it to 0";
        let count = "raise the deviation of that count, which must be at least 0.001 clients";
        for (what, steps, advice) in [
            ("the sum", self.stddev / self.grid.step(), sum),
            ("the count behind the clip norm", self.count_stddev * COUNT_STEPS, count),
            ("the count behind the zeroing threshold", self.zeroing_stddev * COUNT_STEPS, count),
        ] {
            if steps > 0.0 && steps < LEAST_RELEASED {
                return Err(AggregateError::TooLittleNoise { what, steps, advice });
            }
        }
        Ok(())
    }

    /// Draws the noise, in parallel. It may be used for one release.
    ///
    /// # Errors
    /// [`AggregateError::Entropy`] if the operating system gives no randomness; from it also
    /// those of [`check_release`](Self::check_release).
    pub fn draw(&self, source: &NoiseSource) -> Result<Noise, AggregateError> {
        let stddev_steps = self.stddev / self.grid.step();
        let dim = if self.stddev > 0.0 { self.dim } else { 0 };
        let mut steps = vec![0.0; dim];
        let mistaken = made(Mistake::CountSharesStream);
        let count_stream = if mistaken { FIRST_CHUNK } else { COUNT_STREAM };
        let counts = [
            (self.count_stddev * COUNT_STEPS, count_stream),
            (self.zeroing_stddev * COUNT_STEPS, ZEROING_STREAM),
        ];
        let [count_steps, zeroing_steps] = match source {
            NoiseSource::Simulation { key } => {
                simulation::fill(&mut steps, stddev_steps, key);
                counts.map(|(stddev, stream)| simulation::count(stddev, key, stream))
            }
            NoiseSource::Release => {
                self.check_release()?;
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
