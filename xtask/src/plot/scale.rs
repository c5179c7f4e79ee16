//! Axes: ranges from data, round numbers as ticks.

/// A range of values and its ticks.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Axis {
    pub(super) low: f64,
    pub(super) high: f64,
    /// Distance of the ticks, a round number.
    pub(super) step: f64,
}

impl Axis {
    /// An axis over `low..=high` with about `ticks` ticks, widened to whole steps if `widen`.
    pub(super) fn new(low: f64, high: f64, ticks: usize, widen: bool) -> Self {
        let spread = if high > low { high - low } else { low.abs().max(1.0) };
        let step = round_step(spread / ticks.max(1) as f64);
        let high = if high > low { high } else { low + spread };
        if widen {
            let low = (low / step + 1e-9).floor() * step;
            let high = (high / step - 1e-9).ceil() * step;
            Self { low, high, step }
        } else {
            Self { low, high, step }
        }
    }

    /// Where `value` lies on the way from low (0) to high (1); outside values at the edge.
    pub(super) fn place(&self, value: f64) -> f64 {
        ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }

    /// Round numbers on the axis.
    pub(super) fn ticks(&self) -> Vec<f64> {
        let first = (self.low / self.step - 1e-9).ceil() as i64;
        let last = (self.high / self.step + 1e-9).floor() as i64;
        (first..=last).map(|tick| tick as f64 * self.step).collect()
    }

    /// Digits after the point that tell its ticks apart.
    pub(super) fn decimals(&self, factor: f64) -> usize {
        let step = self.step * factor;
        let told = |digits: &usize| {
            let shifted = step * 10.0_f64.powi(*digits as i32);
            (shifted - shifted.round()).abs() < 1e-6 * shifted
        };
        (0..6).find(told).unwrap_or(6)
    }
}

/// The least of 1, 2, 2.5, 5 times a power of ten that is at least `step`.
fn round_step(step: f64) -> f64 {
    let power = 10.0_f64.powf(step.log10().floor());
    let digits = step / power;
    let round = [1.0, 2.0, 2.5, 5.0].into_iter().find(|&round| digits <= round * (1.0 + 1e-9));
    round.unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_cover_the_data() {
        for (low, high) in [(0.0, 100.0), (0.08, 0.87), (0.31, 2.52), (-3.0, 1e6), (5.0, 5.0)] {
            let axis = Axis::new(low, high, 5, true);
            assert!(axis.low <= low && axis.high >= high, "{axis:?}");
            let ticks = axis.ticks();
            assert!((3..=9).contains(&ticks.len()), "{ticks:?}");
        }
        assert_eq!(Axis::new(0.0, 100.0, 5, false).ticks().len(), 6);
    }

    #[test]
    fn ticks_are_written_with_the_digits_that_they_need() {
        for (high, digits) in [(100.0, 0), (1.0, 1), (1.25, 2), (12.5, 1), (0.02, 3), (1e6, 0)] {
            let axis = Axis::new(0.0, high, 5, false);
            assert_eq!(axis.decimals(1.0), digits, "{axis:?}");
        }
        assert_eq!(Axis::new(0.0, 1.0, 5, false).decimals(100.0), 0);
    }

    #[test]
    fn what_lies_outside_is_at_the_edge() {
        let axis = Axis::new(0.0, 1.0, 5, true);
        assert!(axis.place(7.0) >= 1.0 && axis.place(-7.0) <= 0.0);
    }
}
