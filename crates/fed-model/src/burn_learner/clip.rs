//! Clipping, rounding to the grid and summing on a device that has single precision alone.
//!
//! Two statistics of each update come down first, its largest coordinate and its squares; the
//! host judges them by the rule and sends a factor up. The device multiplies, rounds to whole
//! steps of the grid, and sums over clients; what comes down is one sum and how long each client's
//! steps are. The arithmetic, with `u = 2^-23`, which bounds the error of a single-precision
//! operation whichever neighbour it rounds to:
//!
//! **The sum is exact.** A step count `t` is a whole number below `2^31` that single precision
//! holds. It is split into `t = 2^16·h + l` with whole `|h| ≤ 2^15` and `0 ≤ l < 2^16`, both
//! exact; over at most [`MOST_CLIENTS`] clients the sums of `h` and of `l` stay at or below
//! `2^24`, up to which single precision counts, so every partial sum is exact in any order, fused
//! or not. The host adds `2^16·Σh + Σl` in `f64`, exactly. For the same clipped coordinates this is
//! the sum that [`dp_agg::SecretSum::add`] makes.
//!
//! **No client adds more than the clip norm, and nothing before the rounding matters for that.**
//! The steps `t` that are summed are measured themselves, by their squares, one rounding each, in
//! units of `2^38`. A square is split into its whole part and the rest, exactly, and both are
//! added in blocks of 64, two levels of 8. Sums of whole parts below `2^24` are exact in any order
//! (one that reaches `2^24` never falls below it again, and is refused); sums of the rest have
//! passed 14 additions. The host adds the blocks in `f64` and enlarges the rest by `15u` and the
//! whole by `1.1u`. A client for which this bound exceeds the clip norm, or is not a number, is
//! refused by [`dp_agg::SecretSum::add_steps`], and the updates of the group then go through the
//! host. So a device that drops values that are not numbers, flushes small ones to zero or divides
//! badly can cost time, never privacy. What has to be true of it: it adds and multiplies finite
//! numbers with the rounding that is required of it, and both sums read the same `t`.
//!
//! **The factor leaves room for that.** An update `w` is measured the same way, multiplied by
//! about one over its largest coordinate so that nothing overflows. By what exactly comes down
//! too, so how well a device divides does not matter. The first factor shortens to the host's
//! radius, which leaves room for the rounding to steps, or to what leaves room for the `0.55u`
//! and `15u` of the rest that the bound adds to a length, whichever is less: for the tutorial's
//! network the host's. That is enough unless roundings conspire; where they do, the client is
//! rounded again with a factor that is enough for certain: the multiplication and the square are
//! three roundings, so `|w|²` is at most what comes down enlarged by `15u` of the rest and `3.2u`
//! of the whole; the multiplication by the factor is one more, and the measurement of `t` may be
//! above the truth by `u`, `1.1u`, and twice `15u` of the share of the rest. No coordinate has
//! more than one unit of rest, and near the clip norm there are at least `2^21` units, so that
//! share is at most `d / 2^21`. With a radius smaller by [`certain`], `(2.5 + 15·d/2^21)·u` of
//! itself, 5e-7 for the tutorial's network, a device that rounds as it should is not refused.

use burn::tensor::{Device, Tensor, TensorData};
use dp_agg::{SummedClient, UpdateRule, Verdict, Weighting};

use super::network::lost;
use crate::error::LearnError;

/// Clients at most whose steps are summed at once.
pub(super) const MOST_CLIENTS: usize = 256;

// Halves of at most 2^16 each: their sum stays where single precision counts exactly.
const _: () = assert!(MOST_CLIENTS << 16 <= 1 << 24);

/// Coordinates of an update are cut into this many parts, twice, for the sums of squares.
const FOLD: usize = 8;

/// A vector must be padded with zeros to a multiple of this.
pub(super) const BLOCK: usize = FOLD * FOLD;

/// The most that one operation in single precision is off, relative to its result.
const UNIT: f64 = 1.0 / (1 << 23) as f64;

/// Beyond this, single precision no longer counts one by one.
const COUNTED: f32 = (1 << 24) as f32;

/// By how much a sum in single precision over a block may be too small, relatively.
const SUMMED: f64 = 1.0 + 15.0 * UNIT;

/// The range of what an update is divided by: neither its inverse nor [`LARGEST`] times that
/// leaves the normal numbers.
const DIVISORS: (f32, f32) = (1e-36, 1e37);

/// Updates are measured with their largest coordinate brought to about this.
const LARGEST: f32 = 256.0;

/// Squared steps are measured in units of the square of this.
const STEPS: f32 = (1 << 19) as f32;

/// How much shorter than the clip norm an update over `dim` coordinates must be, relatively, so
/// that the measurement of its steps hardly ever exceeds the clip norm. See the module's page.
fn likely(dim: usize) -> f64 {
    // Half a unit of rest a coordinate.
    let rest = (dim as f64 / f64::from(1 << 23)).min(1.0);
    (0.6 + 7.5 * rest) * UNIT
}

/// How much smaller than the host's the radius must be so that it never does.
fn certain(dim: usize) -> f64 {
    let rest = (dim as f64 / f64::from(1 << 21)).min(1.0);
    (2.5 + 15.0 * rest) * UNIT
}

/// Weight of the high half of a step count.
const HALF: f32 = 65536.0;

/// Whether a round under this rule can be clipped on a device: only with a clip norm is there a
/// bound and with it a fixed range of steps; and its square must be a usual number.
pub(super) fn suits(rule: &UpdateRule) -> bool {
    let usual = |clip: f64| (2.0_f64.powi(-64)..=2.0_f64.powi(64)).contains(&clip);
    rule.weighting == Weighting::Uniform && rule.clip_norm.is_some_and(usual)
}

/// Sums over blocks of the squares of `[clients, length]`, both `[clients, length / BLOCK]`.
pub(super) struct Squares {
    /// Of their whole parts.
    pub(super) whole: Tensor<2>,
    /// Of the rest.
    pub(super) rest: Tensor<2>,
}

impl Squares {
    fn of(values: Tensor<2>) -> Self {
        let squares = values.clone() * values;
        let whole = squares.clone().floor();
        let rest = squares - whole.clone();
        Self { whole: blocks(whole), rest: blocks(rest) }
    }
}

/// Sums over blocks of [`BLOCK`] coordinates, on two levels.
fn blocks(values: Tensor<2>) -> Tensor<2> {
    let [clients, length] = values.dims();
    let fold = |values: Tensor<2>, length: usize| {
        values.reshape([clients, FOLD, length]).sum_dim(1).reshape([clients, length])
    };
    fold(fold(values, length / FOLD), length / BLOCK)
}

/// What the device finds out about updates `[clients, length]`.
pub(super) struct Measured {
    /// Largest absolute coordinate, `[clients, 1]`.
    pub(super) largest: Tensor<2>,
    /// What the update was multiplied with before it was squared, `[clients, 1]`.
    pub(super) scales: Tensor<2>,
    /// Squares of the update so multiplied.
    pub(super) squares: Squares,
}

/// Measures updates.
pub(super) fn measure(updates: &Tensor<2>) -> Measured {
    let largest = updates.clone().abs().max_dim(1);
    let scales = largest.clone().clamp(DIVISORS.0, DIVISORS.1).recip() * LARGEST;
    let squares = Squares::of(updates.clone() * scales.clone());
    Measured { largest, scales, squares }
}

/// What is decided about one client.
#[derive(Clone, Copy)]
pub(super) struct Decision {
    /// What the rule said; its scale is what the factor amounts to.
    pub(super) verdict: Verdict,
    /// What the update is multiplied with on the device, to whole steps.
    pub(super) factor: f32,
    /// What the norm of the update is at most.
    longest: f64,
}

impl Decision {
    /// Multiplies the update so that it becomes no longer than `radius` if its norm is `norm`.
    fn shorten(&mut self, rule: &UpdateRule, norm: f64, radius: f64) {
        if self.verdict.scale > 0.0 {
            let scale = if norm <= radius { 1.0 } else { radius / norm };
            let exact = scale.min(self.verdict.scale) / rule.grid().step();
            let near = exact as f32;
            // Never upwards.
            self.factor = if f64::from(near) > exact { near.next_down() } else { near };
        }
        self.verdict.scale = f64::from(self.factor) * rule.grid().step();
    }
}

/// Judges every client from the downloaded [`Measured`].
pub(super) fn judge(
    rule: &UpdateRule,
    dim: usize,
    largest: &[f32],
    scales: &[f32],
    whole: &[f32],
    rest: &[f32],
) -> Vec<Decision> {
    let count = whole.len() / largest.len();
    // The measurement sees what the rounding to steps adds, so no room is needed for that.
    let radius = radius(rule, dim).min(rule.clip_norm.unwrap_or(0.0) * (1.0 - likely(dim)));
    let judge = |client: usize| {
        let blocks = client * count..(client + 1) * count;
        let (whole, rest) = (&whole[blocks.clone()], &rest[blocks]);
        let unit = f64::from(scales[client]).powi(-2);
        // Below what single precision counts to the sum of whole parts is exact.
        let counted = whole.iter().all(|&sum| sum < COUNTED);
        let (whole, rest) = (total(whole), total(rest));
        let most = whole * if counted { 1.0 } else { SUMMED } + rest * SUMMED;
        let longest = (most * unit * (1.0 + 3.2 * UNIT)).sqrt();
        let verdict = rule.judge((whole + rest) * unit, f64::from(largest[client]), dim);
        let mut decision = Decision { verdict, factor: 0.0, longest };
        decision.shorten(rule, verdict.norm, radius);
        decision
    };
    (0..largest.len()).map(judge).collect()
}

fn total(sums: &[f32]) -> f64 {
    sums.iter().map(|&sum| f64::from(sum)).sum()
}

/// Shortens every client whose steps were measured to be longer than the rule allows to what is
/// enough for certain; whether there was one.
pub(super) fn shorten_again(
    rule: &UpdateRule,
    dim: usize,
    decisions: &mut [Decision],
    clients: &[SummedClient],
) -> bool {
    let radius = radius(rule, dim) * (1.0 - certain(dim));
    let mut refused = false;
    for (decision, _) in decisions.iter_mut().zip(clients).filter(|(_, client)| !client.keeps(rule))
    {
        decision.shorten(rule, decision.longest, radius);
        refused = true;
    }
    refused
}

/// The host's radius.
fn radius(rule: &UpdateRule, dim: usize) -> f64 {
    rule.clip_norm.map_or(0.0, |clip| rule.grid().radius(clip, dim))
}

/// Clipped updates in whole steps, summed over clients.
pub(super) struct Rounded {
    /// Sums of the high halves, `[1, length]`.
    pub(super) high: Tensor<2>,
    /// Sums of the low halves, `[1, length]`.
    pub(super) low: Tensor<2>,
    /// Squares of each client's steps in units of [`STEPS`].
    pub(super) squares: Squares,
}

/// Multiplies each update `[clients, length]` by its factor, rounds it to whole steps and sums. An update with the
/// factor 0 becomes zeros, whatever is in it.
pub(super) fn round(updates: &Tensor<2>, decisions: &[Decision], device: &Device) -> Rounded {
    let shape = updates.dims();
    let factors: Vec<f32> = decisions.iter().map(|decision| decision.factor).collect();
    let factors = Tensor::<2>::from_data(TensorData::new(factors, [shape[0], 1]), device);
    let zeroed = factors.clone().lower_equal_scalar(0.0).expand(shape);
    let steps = (updates.clone() * factors).round().mask_fill(zeroed, 0.0);
    let high = (steps.clone() * (1.0 / HALF)).floor();
    let low = steps.clone() - high.clone() * HALF;
    let squares = Squares::of(steps * (1.0 / STEPS));
    Rounded { high: high.sum_dim(0), low: low.sum_dim(0), squares }
}

/// The sums of `dim` coordinates in whole steps, from the downloaded halves. NaN where a half is
/// beyond what single precision counts to.
pub(super) fn whole_steps(high: &[f32], low: &[f32], dim: usize) -> Vec<f64> {
    let whole = |(&high, &low): (&f32, &f32)| {
        let counted = |half: f32| half.abs() <= COUNTED;
        if counted(high) && counted(low) {
            f64::from(high) * f64::from(HALF) + f64::from(low)
        } else {
            f64::NAN
        }
    };
    high.iter().zip(low).take(dim).map(whole).collect()
}

/// What is known of every client, from its verdict and the downloaded squares of its steps.
pub(super) fn summed_clients(
    decisions: &[Decision],
    whole: &[f32],
    rest: &[f32],
) -> Vec<SummedClient> {
    let count = whole.len() / decisions.len();
    let blocks = whole.chunks_exact(count).zip(rest.chunks_exact(count));
    let unit = f64::from(STEPS).powi(2) * (1.0 + 1.1 * UNIT);
    let summed = |(decision, (whole, rest)): (&Decision, (&[f32], &[f32]))| {
        // Written so that NaN is not counted.
        let counted = whole.iter().all(|&sum| sum < COUNTED);
        let squared_length = (total(whole) + total(rest) * SUMMED) * unit;
        SummedClient {
            verdict: decision.verdict,
            squared_length: if counted { squared_length } else { f64::NAN },
        }
    };
    decisions.iter().zip(blocks).map(summed).collect()
}

/// The values of a downloaded tensor, row-major.
pub(super) fn values(data: TensorData) -> Result<Vec<f32>, LearnError> {
    data.try_into_vec::<f32>().map_err(|error| lost(format!("{error:?}")))
}

#[cfg(test)]
mod tests;
