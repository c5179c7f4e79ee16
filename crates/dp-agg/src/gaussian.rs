//! The Gaussian mechanism on clipped updates, with a fixed or a moving clip norm.
//!
//! One round with expected cohort size `m`, total noise multiplier `z` and clip norm `C`:
//!
//! ```text
//! S̃ = Σ clip(uᵢ, C) + N(0, (z_v·C)² I)      the released mean is S̃ / m
//! B̃ = Σ ±1/2 + N(0, s_b²)                   +1/2 for every update no longer than C
//! b  = clamp(B̃/m + 1/2, 0, 1)
//! C ← C · exp(−r·(b − p))
//! ```
//!
//! ([ATMR21], Algorithm 1.) The clip norm that clips is the one that scales the noise; the one
//! that comes out of a round serves the next. Both divisions are by the *expected* number of
//! clients, which is public: dividing by the number that was drawn would give away who was there.
//! A round that nobody was drawn for still releases noise and is paid for.
//!
//! A zeroing threshold on a noised count ([`Zeroing::Noised`]) is a third release, of multiplier
//! `2·s_z` for a deviation of `s_z` clients; its share too comes out of the total `z`.
//!
//! With a fixed clip norm there is no count, and all noise goes on the updates. With `z = 0`
//! clipping, zeroing and the division by `m` stay as they are; only the noise is gone, and with
//! it the guarantee.
//!
//! [ATMR21]: https://arxiv.org/abs/1905.03871

use dp_accounting::{DpEvent, NoiseMultiplier};
use serde::{Deserialize, Serialize};

use crate::aggregator::{
    Aggregator, AggregatorState, Measurements, RawCounts, Release, Uncovered, parts_for,
};
use crate::error::{AggregateError, in_range};
use crate::mistake::{Mistake, made};
use crate::noise::{Noise, NoiseMode, NoiseSpec};
use crate::quantile::{QuantileConfig, QuantileEstimator, QuantileUpdate};
use crate::rule::UpdateRule;
use crate::split::{NoiseSplit, check_clients_per_round};
use crate::sum::{MOST_CLIENTS, SecretSum, Tally};
use crate::zeroing::{Zeroer, Zeroing};

/// How the clip norm moves.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Clipping {
    /// Not at all.
    Fixed {
        /// The clip norm `C > 0`, finite: a joint L2 norm in the units of the updates.
        clip_norm: f64,
    },
    /// Towards a quantile of the updates' norms, on a noised count.
    Adaptive(AdaptiveClipping),
}

impl Default for Clipping {
    fn default() -> Self {
        Self::Adaptive(AdaptiveClipping::default())
    }
}

/// A clip norm that follows a quantile of the updates' norms. The defaults are those of the field.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdaptiveClipping {
    /// First clip norm: 0.1; `> 0`, or `≥ 0` with an arithmetic update.
    pub initial: f64,
    /// Target share of unclipped clients, in `[0, 1]`: 0.5.
    pub target: f64,
    /// Rate of the update, `≥ 0`: 0.2.
    pub learning_rate: f64,
    /// How the clip norm moves: geometrically.
    pub update: QuantileUpdate,
    /// Standard deviation of the noise on the count, in clients; by default a twentieth of the
    /// clients per round.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count_stddev: Option<f64>,
}

impl Default for AdaptiveClipping {
    fn default() -> Self {
        Self {
            initial: 0.1,
            target: 0.5,
            learning_rate: 0.2,
            update: QuantileUpdate::Geometric,
            count_stddev: None,
        }
    }
}

/// The settings of a [`GaussianAggregator`]: all public.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GaussianConfig {
    /// Total noise multiplier `z` in `[0, 65536]`, the count behind the clip norm included.
    pub noise_multiplier: f64,
    /// Expected clients a round, `m > 0`; need not be a whole number.
    pub clients_per_round: f64,
    /// When an update becomes zeros.
    pub zeroing: Zeroing,
    /// How the clip norm moves.
    pub clipping: Clipping,
}

/// Clipped sum, Gaussian noise, division by the expected number of clients. See the module's
/// page.
#[derive(Clone, Debug)]
pub struct GaussianAggregator {
    config: GaussianConfig,
    split: NoiseSplit,
    zeroer: Zeroer,
    clip: Clip,
}

/// The clip norm with its state.
#[derive(Clone, Copy, Debug)]
enum Clip {
    Fixed(f64),
    Adaptive(QuantileEstimator),
}

impl Clip {
    fn norm(&self) -> f64 {
        match self {
            Self::Fixed(norm) => *norm,
            Self::Adaptive(estimator) => estimator.estimate(),
        }
    }
}

impl GaussianAggregator {
    /// An aggregator before its first round.
    ///
    /// # Errors
    /// [`AggregateError::OutOfRange`] if a setting is outside the range that its field names;
    /// [`AggregateError::NothingLeftForValues`] if `z` is at least twice the deviation of the
    /// noise on the count.
    pub fn new(config: GaussianConfig) -> Result<Self, AggregateError> {
        check_clients_per_round(config.clients_per_round)?;
        let (split, clip) = match config.clipping {
            Clipping::Fixed { clip_norm } => {
                let holds = clip_norm > 0.0 && clip_norm <= f64::from(f32::MAX);
                let norm = in_range(clip_norm, holds, "clip norm", "(0, 3.4e38]")?;
                (NoiseSplit::all_on_values(config.noise_multiplier)?, Clip::Fixed(norm))
            }
            Clipping::Adaptive(adaptive) => {
                let split = NoiseSplit::new(
                    config.noise_multiplier,
                    config.clients_per_round,
                    adaptive.count_stddev,
                )?;
                let estimator = QuantileEstimator::new(QuantileConfig::new(
                    adaptive.initial,
                    adaptive.target,
                    adaptive.learning_rate,
                    adaptive.update,
                ))?;
                (split, Clip::Adaptive(estimator))
            }
        };
        let split = match config.zeroing {
            Zeroing::Noised(noised) => {
                split.with_zeroing_count(config.clients_per_round, noised.count_stddev)?
            }
            _ => split,
        };
        Ok(Self { config, split, zeroer: Zeroer::new(&config.zeroing)?, clip })
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &GaussianConfig {
        &self.config
    }

    /// How the noise is split between updates and count.
    #[must_use]
    pub fn split(&self) -> &NoiseSplit {
        &self.split
    }

    /// The clip norm of the coming round.
    #[must_use]
    pub fn clip_norm(&self) -> f64 {
        self.clip.norm()
    }

    /// The zeroing threshold of the coming round.
    #[must_use]
    pub fn zeroing_threshold(&self) -> Option<f64> {
        self.zeroer.threshold()
    }

    /// What the noise on the sum is multiplied with: 1, unless a mistake is made.
    fn mistaken_noise_factor(&self, tally: &Tally, noise: &Noise) -> f64 {
        let expected = self.config.clients_per_round;
        match self.clip {
            _ if made(Mistake::NoiseOnMean) => expected,
            _ if made(Mistake::NoiseDividedTwice) => 1.0 / expected,
            Clip::Adaptive(mut next) if made(Mistake::NoiseScaledByNextClip) => {
                let centred = tally.unclipped as f64 - 0.5 * tally.clients as f64;
                next.observe_expected(centred + noise.on_count(), expected);
                next.estimate() / self.clip.norm()
            }
            _ => 1.0,
        }
    }

    fn uncovered(&self, mode: NoiseMode) -> Vec<Uncovered> {
        let mut uncovered = Vec::new();
        if self.split.total() <= 0.0 {
            uncovered.push(Uncovered::NoNoise);
        } else if mode == NoiseMode::Simulation {
            uncovered.push(Uncovered::SimulationNoise);
        }
        if matches!(self.zeroer, Zeroer::Adaptive { .. }) {
            uncovered.push(Uncovered::AdaptiveZeroing);
        }
        uncovered
    }
}

/// What is counted in place of unclipped clients where a mistake is made.
fn mistaken_unclipped(tally: &Tally) -> Option<u64> {
    made(Mistake::CountOfClipped).then(|| tally.clients - tally.unclipped)
}

/// The least float that is not below `a · b`, of positive numbers whose product is no smaller
/// than 1e-290: noise is never below what its multiplier says.
fn product_rounded_up(a: f64, b: f64) -> f64 {
    let product = a * b;
    // Fused, the error of the product is exact.
    if a.mul_add(b, -product) > 0.0 { product.next_up() } else { product }
}

impl Aggregator for GaussianAggregator {
    fn rule(&self) -> UpdateRule {
        let clip = UpdateRule { clip_norm: Some(self.clip.norm()), ..UpdateRule::default() };
        self.zeroer.apply(clip)
    }

    fn noise(&self, dim: usize) -> NoiseSpec {
        let clip = self.clip.norm();
        let grid = self.rule().grid();
        let multiplier = if made(Mistake::TotalNoiseOnValues) {
            self.split.total()
        } else {
            self.split.values()
        };
        let stddev = product_rounded_up(multiplier, clip);
        NoiseSpec::new(dim, grid, stddev, self.split.count_stddev())
            .and_then(|spec| spec.with_zeroing_count(self.split.zeroing_stddev()))
            .expect("the split bounds the multiplier, and a step is at least 2^-31 of the clip")
    }

    fn event(&self) -> DpEvent {
        if self.split.total() <= 0.0 {
            return DpEvent::NonPrivate;
        }
        let gaussian = |multiplier| {
            DpEvent::gaussian(
                NoiseMultiplier::new(multiplier).expect("the split is finite and not negative"),
            )
        };
        let mut released = vec![gaussian(self.split.values())];
        // One client moves a centred count by at most one half.
        if matches!(self.clip, Clip::Adaptive(_)) && !made(Mistake::CountNotPriced) {
            released.push(gaussian(2.0 * self.split.count_stddev()));
        }
        if matches!(self.zeroer, Zeroer::Noised { .. }) && !made(Mistake::ZeroingNotPriced) {
            released.push(gaussian(2.0 * self.split.zeroing_stddev()));
        }
        match released.len() {
            1 => released.remove(0),
            _ => DpEvent::composed(released),
        }
    }

    fn release(&mut self, sum: SecretSum, noise: Noise) -> Result<Release, AggregateError> {
        let (rule, mut steps, tally) = parts_for(self, sum, &noise)?;
        if tally.clients > MOST_CLIENTS {
            let (clients, most) = (tally.clients, MOST_CLIENTS);
            return Err(AggregateError::TooManyClients { clients, most });
        }

        let expected = self.config.clients_per_round;
        let noise_factor = self.mistaken_noise_factor(&tally, &noise);
        noise.add_to(&mut steps, noise_factor);
        let step = rule.grid().step();
        let divisor = if made(Mistake::RealisedDivisor) { tally.clients as f64 } else { expected };
        let mean = steps.iter().map(|steps| (steps * step / divisor) as f32).collect();

        let event = self.event();
        let clip_norm = Some(self.clip.norm());
        let zeroing_threshold = self.zeroer.threshold();
        let unclipped_share = match &mut self.clip {
            Clip::Fixed(_) => None,
            Clip::Adaptive(estimator) => {
                let unclipped = mistaken_unclipped(&tally).unwrap_or(tally.unclipped);
                let centred = unclipped as f64 - 0.5 * tally.clients as f64;
                let expected = if made(Mistake::RealisedCountDivisor) {
                    (tally.clients as f64).max(1.0)
                } else {
                    expected
                };
                Some(estimator.observe_expected(centred + noise.on_count(), expected))
            }
        };
        self.zeroer.observe(&tally, noise.on_zeroing_count(), expected);

        Ok(Release {
            mean,
            event,
            noise_mode: (self.split.total() > 0.0).then_some(noise.mode()),
            measurements: Measurements {
                clip_norm,
                next_clip_norm: Some(self.clip.norm()),
                unclipped_share,
                zeroing_threshold,
                next_zeroing_threshold: self.zeroer.threshold(),
            },
            uncovered: self.uncovered(noise.mode()),
            raw: RawCounts::from(&tally),
        })
    }

    fn state(&self) -> AggregatorState {
        AggregatorState {
            clip_norm: match &self.clip {
                Clip::Fixed(_) => None,
                Clip::Adaptive(estimator) => Some(estimator.estimate()),
            },
            zeroing_estimate: self.zeroer.estimate(),
        }
    }

    fn restore(&mut self, state: &AggregatorState) -> Result<(), AggregateError> {
        let zeroer = self.zeroer.restored(state.zeroing_estimate)?;
        let mut clip = self.clip;
        match (&mut clip, state.clip_norm) {
            (Clip::Adaptive(estimator), Some(norm)) => estimator.restore(norm)?,
            (Clip::Fixed(_), None) => {}
            _ => return Err(AggregateError::StateMismatch { what: "clip norm" }),
        }
        (self.zeroer, self.clip) = (zeroer, clip);
        Ok(())
    }
}
