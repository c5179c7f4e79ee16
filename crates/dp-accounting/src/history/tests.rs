//! Composed numbers are rounded outwards: held against arithmetic of twice the digits.

use super::*;
use crate::units::{NoiseMultiplier, SamplingProbability};

/// A sum of two floats that says about 31 digits.
#[derive(Clone, Copy)]
struct Double(f64, f64);

impl Double {
    fn sum(a: f64, b: f64) -> Self {
        let sum = a + b;
        let part = sum - a;
        Self(sum, (a - (sum - part)) + (b - part))
    }

    fn product(a: f64, b: f64) -> Self {
        let product = a * b;
        Self(product, a.mul_add(b, -product))
    }

    fn plus(self, other: Self) -> Self {
        let Self(high, low) = Self::sum(self.0, other.0);
        Self::sum(high, low + self.1 + other.1)
    }

    fn times(self, other: Self) -> Self {
        let Self(high, low) = Self::product(self.0, other.0);
        Self::sum(high, low + self.0 * other.1 + self.1 * other.0)
    }

    fn inverse(self) -> Self {
        let first = self.0.recip();
        let Self(high, low) = Self(first, 0.0).times(self);
        Self::sum(first, first * ((1.0 - high) - low))
    }
}

fn gaussian(z: f64) -> DpEvent {
    DpEvent::gaussian(NoiseMultiplier::new(z).expect("in range"))
}

fn nothing_refused(_: &Mechanism) -> bool {
    true
}

/// The noise of the one mechanism of an event, rounded down and up.
fn noises(event: &DpEvent) -> (f64, f64) {
    let mut history = History::new("test", Neighboring::AddOrRemoveOne, nothing_refused);
    history.compose(event, 1).expect("supported");
    let sigma = |mechanism: &Mechanism| match mechanism {
        Mechanism::Gaussian { sigma } | Mechanism::SampledGaussian { sigma, .. } => *sigma,
        other => panic!("not a Gaussian: {other:?}"),
    };
    let least = history.least[0].as_ref().expect("of usual size");
    (sigma(&history.steps[0].0), sigma(least))
}

/// Numbers between 0 and 1 that look like nothing in particular.
fn spread(index: u32, by: f64) -> f64 {
    (f64::from(index) * by).fract()
}

/// `σ² Σ count/z² − 1`: negative if `σ` is below the noise that all tell together.
fn beside_the_truth(sigma: f64, parts: &[(f64, u64)]) -> f64 {
    let total = parts.iter().fold(Double(0.0, 0.0), |sum, &(z, count)| {
        let one = Double::product(z, z).inverse();
        #[expect(clippy::cast_precision_loss, reason = "small")]
        sum.plus(one.times(Double(count as f64, 0.0)))
    });
    let Double(high, low) = Double::product(sigma, sigma).times(total);
    (high - 1.0) + low
}

#[test]
fn the_noise_of_several_gaussians_is_rounded_down_for_the_price_and_up_for_the_lower_end() {
    for index in 1..4000_u32 {
        let z = 0.3 + 20.0 * spread(index, 0.618_033_988_749_894_9);
        let s = 0.1 + 900.0 * spread(index, std::f64::consts::SQRT_2);
        let count = u64::from(index % 5) + 1;
        let parts = [(z, 1), (s, count)];
        let event = DpEvent::composed(vec![
            gaussian(z),
            gaussian(s).repeated(count.try_into().expect("positive")),
        ]);
        for q in [0.25, 1.0] {
            let q = SamplingProbability::new(q).expect("in range");
            let (down, up) = noises(&event.clone().poisson_sampled(q));
            let (below, above) = (beside_the_truth(down, &parts), beside_the_truth(up, &parts));
            assert!(below <= 0.0 && above >= 0.0, "z {z}, s {s}, {count}: {below:e} and {above:e}");
            assert!(above - below < 1e-14, "z {z}, s {s}, {count}: {below:e} and {above:e}");
        }
    }
}

#[test]
fn one_gaussian_is_not_rounded() {
    for index in 1..1000_u32 {
        let z = 0.3 + 20.0 * spread(index, 0.618_033_988_749_894_9);
        let (down, up) = noises(&gaussian(z));
        assert_eq!((down.to_bits(), up.to_bits()), (z.to_bits(), z.to_bits()));
        let mut history = History::new("test", Neighboring::AddOrRemoveOne, nothing_refused);
        history.compose(&gaussian(z), 7).expect("supported");
        assert!(history.least_steps().is_none());
    }
}

#[test]
fn rates_and_sums_are_rounded_outwards_too() {
    let q = |value| SamplingProbability::new(value).expect("in range");
    for index in 1..2000_u32 {
        let (outer, inner) = (spread(index, 0.618_033_988_749_894_9), spread(index, 0.237_1));
        let event = gaussian(1.0).poisson_sampled(q(inner)).poisson_sampled(q(outer));
        let mut history = History::new("test", Neighboring::AddOrRemoveOne, nothing_refused);
        history.compose(&event, 1).expect("supported");
        let rate = |mechanism: &Mechanism| match mechanism {
            Mechanism::SampledGaussian { q, .. } => *q,
            other => panic!("not sampled: {other:?}"),
        };
        let up = rate(&history.steps[0].0);
        let down = rate(history.least[0].as_ref().expect("of usual size"));
        // Fused, the sign of the difference from the product is right.
        assert!(outer.mul_add(inner, -up) <= 0.0 && outer.mul_add(inner, -down) >= 0.0);
        assert!(up - down <= 4.0 * f64::EPSILON * up);
    }
    // 0.1 + 0.2 is below three tenths of these floats' exact sum, or above: never below the price.
    let pure = |epsilon| DpEvent::PureDp { epsilon: Epsilon::new(epsilon).expect("in range") };
    let several = DpEvent::composed(vec![pure(0.1), pure(0.2), pure(0.7)]);
    let event = several.poisson_sampled(q(1.0));
    let mut history = History::new("test", Neighboring::AddOrRemoveOne, nothing_refused);
    history.compose(&event, 1).expect("supported");
    let epsilon = |mechanism: &Mechanism| match mechanism {
        Mechanism::Bounded(Bounded::Pure { epsilon }) => *epsilon,
        other => panic!("not pure: {other:?}"),
    };
    let truth = Double::sum(0.1, 0.2).plus(Double(0.7, 0.0));
    let beside = |value: f64| Double(value, 0.0).plus(Double(-truth.0, -truth.1)).0;
    assert!(beside(epsilon(&history.steps[0].0)) >= 0.0);
    assert!(beside(epsilon(history.least[0].as_ref().expect("of usual size"))) <= 0.0);
}

#[test]
fn amplification_never_understates_at_any_size() {
    for (q, epsilon, truth) in AMPLIFIED {
        let high = amplified(*q, *epsilon, Rounding::Dearer);
        let low = amplified(*q, *epsilon, Rounding::Cheaper);
        assert!(low <= *truth && *truth <= high, "{q} {epsilon}: {low} to {high}, not {truth}");
        assert!(high - low <= 1e-13 * truth + 1e-11, "{q} {epsilon}: {low} to {high}");
    }
}

/// `q`, `ε` and `ln(1 + q (e^ε − 1))` from mpmath at 60 digits, for exactly these binary numbers.
const AMPLIFIED: &[(f64, f64, f64)] = &[
    (1e-300, 690.0, 0.3787518931352394),
    (1e-300, 699.0, 8.224740079672847),
    (1e-300, 701.0, 10.224508372851462),
    (1e-300, 1000.0, 309.2244721017863),
    (1e-300, 1000000.0, 999309.2244721018),
    (1e-12, 1e-09, 1.0000000005000001e-21),
    (1e-12, 0.1, 1.051709180756421e-13),
    (1e-12, 1.0, 1.718281828457569e-12),
    (1e-12, 12.5, 2.6833625051869956e-07),
    (1e-12, 29.9, 2.3673912722066692),
    (1e-12, 31.0, 3.4028243795578574),
    (1e-12, 100.0, 72.36897888407145),
    (1e-12, 690.0, 662.3689788840715),
    (1e-12, 699.0, 671.3689788840715),
    (1e-12, 701.0, 673.3689788840715),
    (1e-12, 1000.0, 972.3689788840715),
    (1e-12, 1000000.0, 999972.3689788841),
    (0.001, 1e-09, 1.0000000004995001e-12),
    (0.001, 0.1, 0.00010516538800237505),
    (0.001, 1.0, 0.001716807271133098),
    (0.001, 12.5, 5.5959607345980995),
    (0.001, 29.9, 22.992244721121175),
    (0.001, 31.0, 24.092244721052253),
    (0.001, 100.0, 93.09224472101786),
    (0.001, 690.0, 683.0922447210179),
    (0.001, 699.0, 692.0922447210179),
    (0.001, 701.0, 694.0922447210179),
    (0.001, 1000.0, 993.0922447210179),
    (0.001, 1000000.0, 999993.092244721),
    (0.015, 1e-09, 1.50000000073875e-11),
    (0.015, 0.1, 0.0015763207245604893),
    (0.015, 1.0, 0.025447671292898925),
    (0.015, 12.5, 8.300539609073411),
    (0.015, 29.9, 25.70029492212686),
    (0.015, 31.0, 26.800294922122333),
    (0.015, 100.0, 95.80029492212007),
    (0.015, 690.0, 685.8002949221201),
    (0.015, 699.0, 694.8002949221201),
    (0.015, 701.0, 696.8002949221201),
    (0.015, 1000.0, 995.8002949221201),
    (0.015, 1000000.0, 999995.8002949221),
    (0.5, 1e-09, 5.00000000125e-10),
    (0.5, 0.1, 0.05124947951362559),
    (0.5, 1.0, 0.6201145069582775),
    (0.5, 12.5, 11.806856546086284),
    (0.5, 29.9, 29.206852819440158),
    (0.5, 31.0, 30.30685281944009),
    (0.5, 100.0, 99.30685281944005),
    (0.5, 690.0, 689.3068528194401),
    (0.5, 699.0, 698.3068528194401),
    (0.5, 701.0, 700.3068528194401),
    (0.5, 1000.0, 999.3068528194401),
    (0.5, 1000000.0, 999999.3068528194),
    (0.999, 1e-09, 9.990000000004996e-10),
    (0.999, 0.1, 0.09990483288979018),
    (0.999, 1.0, 0.9993676795687376),
    (0.999, 12.5, 12.4989995033968),
    (0.999, 29.9, 29.898999499666417),
    (0.999, 31.0, 30.998999499666418),
    (0.999, 100.0, 99.99899949966641),
    (0.999, 690.0, 689.9989994996664),
    (0.999, 699.0, 698.9989994996664),
    (0.999, 701.0, 700.9989994996664),
    (0.999, 1000.0, 999.9989994996664),
    (0.999, 1000000.0, 999999.9989994997),
];
