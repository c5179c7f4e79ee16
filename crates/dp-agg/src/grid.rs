//! The public grid on which the secret sum lives.
//!
//! Floating-point addition depends on its order, so a sum of clipped updates would depend on how
//! threads happened to be scheduled. Every clipped coordinate is therefore rounded to a multiple
//! of a power of two that is fixed before the round and known to everybody. The multiples are
//! whole numbers below `2^31`; carried in `f64`, up to `2^22` of them add without any rounding,
//! and addition is associative: threads, processes and machines may sum in any order and get
//! the same bits. Discrete noise on the same grid has no floating-point side channel.
//!
//! Rounding moves each of `d` coordinates by at most half a step, so it lengthens a vector by at
//! most `√d / 2` steps. [`Grid::radius`] is the clip norm less that much: an update no longer
//! than the radius is no longer than the clip norm after rounding, provably.

use serde::{Deserialize, Serialize};

use crate::mistake::{Mistake, made};

/// Multiples that a clip norm is worth at least: the step is at most `C · 2^-30`.
const STEPS_PER_CLIP_LOG2: i32 = 30;

/// Resolution where nothing bounds an update: about `1.5e-11`.
///
/// A sum stays exact below `2^17` in absolute value; beyond it the last bits are rounded, and
/// only the independence of order is lost.
const UNBOUNDED_STEP_LOG2: i32 = -36;

/// Adding and subtracting this rounds an `f64` below `2^51` to a whole number, ties to even.
const ROUND: f64 = 6_755_399_441_055_744.0; // 1.5 · 2^52

/// Multiples of a public power of two.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Grid {
    step_log2: i32,
}

impl Grid {
    /// The grid for updates clipped to `clip` (positive and finite, else the grid for unbounded
    /// updates): a step of `2^(⌊log2 C⌋ − 30)`.
    #[must_use]
    pub fn for_clip(clip: f64) -> Self {
        if clip > 0.0 && clip.is_finite() {
            // The exponent bits: a logarithm may differ between machines. A clip norm below
            // 1e-270, where no update lies, would leave no room for the steps.
            let exponent = (clip.max(1e-270).to_bits() >> 52) as i32 - 1023;
            Self { step_log2: exponent - STEPS_PER_CLIP_LOG2 }
        } else {
            Self::unbounded()
        }
    }

    /// The grid for updates that nothing clips.
    #[must_use]
    pub fn unbounded() -> Self {
        Self { step_log2: UNBOUNDED_STEP_LOG2 }
    }

    /// The step: an exact power of two.
    #[must_use]
    pub fn step(self) -> f64 {
        2.0_f64.powi(self.step_log2)
    }

    /// The longest an update over `dim` coordinates may be before rounding, so that it is never
    /// longer than `clip` afterwards.
    ///
    /// Besides the `√d / 2` steps of the rounding itself this leaves room for the rounding of the
    /// norm and of the scaling in `f64`, at most `(d + 8)·2^-53` in relative terms.
    #[must_use]
    pub fn radius(self, clip: f64, dim: usize) -> f64 {
        let dim = dim as f64;
        let rounding = 0.5 * dim.sqrt() * self.step();
        let arithmetic = clip * (dim + 8.0) * f64::EPSILON;
        if made(Mistake::RoundingForgotten) {
            return clip;
        }
        (clip - rounding - arithmetic).max(0.0)
    }

    /// `value` in whole steps, ties to even. Exact for values below `2^51` steps.
    #[inline]
    #[must_use]
    pub fn to_steps(self, value: f64) -> f64 {
        round_to_whole(value * 2.0_f64.powi(-self.step_log2))
    }
}

/// Rounds to the nearest whole number, ties to even, for `|value| < 2^51`; vectorises.
#[inline(always)]
pub(crate) fn round_to_whole(value: f64) -> f64 {
    (value + ROUND) - ROUND
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_step_is_a_power_of_two_between_2_to_the_30_and_31_below_the_clip() {
        for clip in [1e-6, 0.1, 0.5, 1.0, 1.999, 2.0, 3.7e5] {
            let grid = Grid::for_clip(clip);
            let multiples = clip / grid.step();
            assert!((2.0_f64.powi(30)..2.0_f64.powi(31)).contains(&multiples), "{clip}");
            assert!(grid.step().log2().fract().abs() < f64::EPSILON);
        }
    }

    #[test]
    fn rounding_is_to_nearest_with_ties_to_even() {
        for (value, whole) in [(0.5, 0.0), (1.5, 2.0), (-0.5, 0.0), (-1.5, -2.0), (2.4, 2.0)] {
            assert!((round_to_whole(value) - whole).abs() < f64::EPSILON, "{value}");
        }
        let far = 2.0_f64.powi(50) + 1.0;
        assert!((round_to_whole(far) - far).abs() < f64::EPSILON);
    }

    /// The radius leaves room for what rounding can add: half a step a coordinate, and in the norm and
    /// the scaling one unit a coordinate.
    #[test]
    fn the_radius_leaves_room_for_the_grid_and_for_arithmetic() {
        for clip in [1e-3, 0.1, 1.0, 1.9, 3.7e5] {
            let grid = Grid::for_clip(clip);
            for dim in [1, 1000, 199_210, 1 << 25, 1 << 31] {
                let on_grid = 0.5 * (dim as f64).sqrt() * grid.step();
                let arithmetic = clip * (dim as f64 + 8.0) * 0.5 * f64::EPSILON;
                let room = clip - grid.radius(clip, dim);
                // Both differences are exact; the room itself is rounded by one unit of the clip.
                assert!(room >= on_grid + arithmetic, "{clip}, {dim}: {room}");
                assert!(room <= on_grid + 3.0 * arithmetic, "{clip}, {dim}: {room}");
            }
        }
    }

    #[test]
    fn what_is_no_clip_norm_has_the_grid_of_unbounded_updates() {
        for clip in [0.0, -1.0, f64::INFINITY, f64::NAN] {
            assert_eq!(Grid::for_clip(clip), Grid::unbounded(), "{clip}");
        }
        assert_eq!(Grid::unbounded().step().to_bits(), 2.0_f64.powi(-36).to_bits());
        let grid = Grid::for_clip(1.0);
        assert_eq!(grid.step().to_bits(), 2.0_f64.powi(-30).to_bits());
        assert_eq!(grid.to_steps(3.0 * 2.0_f64.powi(-30)).to_bits(), 3.0_f64.to_bits());
        assert_eq!(grid.to_steps(-0.25).to_bits(), (-(2.0_f64.powi(28))).to_bits());
    }

    #[test]
    fn a_clip_of_zero_leaves_no_radius() {
        assert!(Grid::for_clip(0.0).radius(0.0, 1000) <= 0.0);
    }
}
