//! Goodness of fit against the exact mass function, and the exactness of the trials.
//!
//! Chi-square bars are at a false-alarm rate of one in a million each; keys are fixed.

use statrs::distribution::{ChiSquared, ContinuousCDF, Normal};

use super::*;

/// A generator that plays back words.
struct Words<'a>(std::slice::Iter<'a, u64>);

impl<'a> Words<'a> {
    fn new(words: &'a [u64]) -> Self {
        Self(words.iter())
    }
}

impl TryRng for Words<'_> {
    type Error = std::convert::Infallible;
    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        unreachable!("the sampler draws whole words")
    }
    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        Ok(*self.0.next().expect("no more words than foreseen are drawn"))
    }
    fn try_fill_bytes(&mut self, _: &mut [u8]) -> Result<(), Self::Error> {
        unreachable!("the sampler draws whole words")
    }
}

fn ratio(n: u128, d: u128) -> Ratio {
    Ratio { n, d, estimate: n as f64 / d as f64 }
}

/// Asserts that `observed` fits `expected` (counts; small cells are pooled with the next).
#[track_caller]
fn assert_fits(what: &str, observed: &[f64], expected: &[f64]) {
    let (mut chi_square, mut cells) = (0.0, 0.0);
    let (mut seen, mut awaited) = (0.0, 0.0);
    let last = observed.len() - 1;
    for (cell, (o, e)) in observed.iter().zip(expected).enumerate() {
        seen += o;
        awaited += e;
        if awaited >= 20.0 || cell == last {
            chi_square += (seen - awaited).powi(2) / awaited.max(1e-9);
            cells += 1.0;
            (seen, awaited) = (0.0, 0.0);
        }
    }
    let bar = ChiSquared::new(cells - 1.0).expect("cells").inverse_cdf(1.0 - 1e-6);
    assert!(chi_square < bar, "{what}: chi-square {chi_square} over {cells} cells, bar {bar}");
}

#[test]
fn scales_up_to_a_thousand_fit_the_exact_mass_function() {
    for scale in [1_u64, 2, 3, 7, 20, 100, 1000] {
        let mut rng = stream(&[scale as u8; 32], 1);
        let count = 1_000_000;
        let most = 8 * scale as i64;
        let weight = |x: i64| (-((x * x) as f64) / (2 * scale * scale) as f64).exp();
        let total: f64 = (-most..=most).map(weight).sum();
        let mut observed = vec![0.0; (2 * most + 1) as usize];
        for _ in 0..count {
            // Beyond eight deviations lies less than 1e-14 of the mass.
            observed[(draw(scale, &mut rng) + most) as usize] += 1.0;
        }
        let expected: Vec<f64> =
            (-most..=most).map(|x| f64::from(count) * weight(x) / total).collect();
        assert_fits(&format!("scale {scale}"), &observed, &expected);
    }
}

/// At the scales of the grid single integers are too many to count: bins of a twentieth of a
/// deviation, against the continuous Gaussian, which the discrete one's bins match to 1e-8 there.
#[test]
fn large_scales_fit_the_gaussian() {
    let normal = Normal::standard();
    for scale in [(1_u64 << 30) + 12_345, 3 << 31, 1 << 47] {
        let mut rng = stream(&[scale as u8 ^ 0x5a; 32], 2);
        let count = 1_000_000;
        let bin = |x: f64| ((x + 6.0) * 20.0).floor().clamp(0.0, 239.0) as usize;
        let mut observed = vec![0.0; 240];
        for _ in 0..count {
            observed[bin(draw(scale, &mut rng) as f64 / scale as f64)] += 1.0;
        }
        let edge = |cell: usize| match cell {
            0 => 0.0,
            240 => 1.0,
            _ => normal.cdf(cell as f64 / 20.0 - 6.0),
        };
        let expected: Vec<f64> =
            (0..240).map(|cell| f64::from(count) * (edge(cell + 1) - edge(cell))).collect();
        assert_fits(&format!("scale {scale}"), &observed, &expected);
    }
}

/// The last bits are as good as the first: the draw modulo a small number is uniform.
#[test]
fn low_bits_are_uniform() {
    let mut rng = stream(&[77; 32], 3);
    let mut observed = vec![0.0; 256];
    for _ in 0..1_000_000 {
        observed[draw((1 << 31) + 1, &mut rng).rem_euclid(256) as usize] += 1.0;
    }
    assert_fits("modulo 256", &observed, &[1_000_000.0 / 256.0; 256]);
}

#[test]
fn exponential_trials_have_their_probability() {
    for (n, d) in [(0_u128, 1_u128), (1, 3), (1, 1), (5, 2), (7, 1), (1 << 90, 3 << 89)] {
        let mut rng = stream(&[(n % 251) as u8; 32], 4);
        let count = 2_000_000;
        let hits = (0..count).filter(|_| bernoulli_exp(ratio(n, d), &mut rng)).count() as f64;
        let p = (-(n as f64) / d as f64).exp();
        let error = (hits - f64::from(count) * p).abs();
        // Five standard errors: a false alarm in two million.
        assert!(error <= 5.0 * (f64::from(count) * p * (1.0 - p)).sqrt(), "exp(-{n}/{d}): {hits}");
    }
}

/// A trial of probability `n/d` is `uniform < n/d` exactly: the first word decides unless it is
/// the first 64 bits of `n/d`, then the next word decides in the same way.
#[test]
fn trials_compare_exactly() {
    // 2/3 in binary is 0.101010…
    let digits = 0xaaaa_aaaa_aaaa_aaaa_u64;
    let trial = |words: &[u64]| bernoulli(ratio(2, 3), 1, &mut Words::new(words));
    assert!(trial(&[digits - 1]));
    assert!(!trial(&[digits + 1]));
    assert!(trial(&[digits, digits - 1]));
    assert!(!trial(&[digits, digits + 1]));
    assert!(trial(&[digits, digits, digits, 0]));
    // Dyadic probabilities: equality means "not below", settled by the remainder 0.
    let half = |words: &[u64]| bernoulli(ratio(1, 1), 2, &mut Words::new(words));
    assert!(half(&[(1 << 63) - 1]));
    assert!(!half(&[1 << 63]));
    assert!(!half(&[(1 << 63) + 1]));
    assert!(!bernoulli(ratio(0, 3), 1, &mut Words::new(&[1])));
    assert!(!bernoulli(ratio(0, 3), 1, &mut Words::new(&[0])));
    // exp(-1): the first trial is certain and draws nothing; 1/2 fails, so the place is even.
    assert!(!bernoulli_exp_fraction(Ratio::ONE, &mut Words::new(&[u64::MAX])));
    // 1/2 holds, 1/3 fails: an odd place.
    assert!(bernoulli_exp_fraction(Ratio::ONE, &mut Words::new(&[0, u64::MAX])));
}

/// The quick decision never contradicts the exact one, right up to where it hands over.
#[test]
fn quick_and_exact_comparisons_agree() {
    let mut rng = stream(&[9; 32], 5);
    for _ in 0..200_000 {
        let d = u128::from(rng.next_u64() >> 1) * u128::from(rng.next_u64() >> 1) + 1;
        let n = (u128::from(rng.next_u64()) * (d >> 64)).min(d - 1);
        let digits = {
            let (mut remainder, mut digits) = (n, 0_u64);
            for _ in 0..64 {
                remainder *= 2;
                digits = digits * 2 + u64::from(remainder >= d);
                if remainder >= d {
                    remainder -= d;
                }
            }
            digits
        };
        for off in [1, 1 << 14, 1 << 15, 1 << 16, 1 << 17, 1 << 20] {
            if let Some(below) = digits.checked_sub(off) {
                assert!(bernoulli(ratio(n, d), 1, &mut Words::new(&[below])));
            }
            if let Some(above) = digits.checked_add(off) {
                assert!(!bernoulli(ratio(n, d), 1, &mut Words::new(&[above])));
            }
        }
    }
}

#[test]
fn uniform_whole_numbers_are_uniform() {
    for bound in [1_u64, 2, 3, 5, 100] {
        let mut rng = stream(&[bound as u8; 32], 6);
        let mut observed = vec![0.0; bound as usize + 1];
        for _ in 0..200_000 {
            observed[below(bound, &mut rng) as usize] += 1.0;
        }
        assert!(observed[bound as usize] <= 0.0);
        if bound > 1 {
            observed.pop();
            assert_fits("uniform", &observed, &vec![200_000.0 / bound as f64; bound as usize]);
        }
    }
}

/// The square of the scale is never below `stddev² + 64`, and that of the next smaller one always,
/// up to what rounding may add: in whole numbers, for deviations of 52-bit fractions of a step too.
#[test]
fn the_scale_is_the_least_that_is_priced() {
    assert_eq!(whole_scale(0.001), 9);
    assert_eq!(whole_scale(1.0), 9);
    // 15² + 8² = 17², and 17 is not rounded up; a little more is.
    assert_eq!(whole_scale(15.0_f64.next_down() - 1e-12), 17);
    assert_eq!(whole_scale(15.000_001), 18);
    // 31.5² + 8² = 32.5²: the deviation is itself no whole number.
    assert_eq!(whole_scale(31.5), 33);
    let mut rng = stream(&[3; 32], 7);
    for bits in 10..=47 {
        for _ in 0..200 {
            // In units of 2^-4 steps, so that squares are whole numbers of 2^-8.
            let sixteenths = (1_u64 << (bits + 4)) - rng.next_u64() % (1 << (bits - 1));
            let scale = u128::from(whole_scale(sixteenths as f64 / 16.0));
            let wanted = u128::from(sixteenths).pow(2) + 64 * 256;
            assert!((16 * scale).pow(2) >= wanted, "{sixteenths}/16: {scale}");
            // One step less is too small, unless the root is whole to within its rounding.
            let slack = wanted >> 49;
            assert!((16 * (scale - 1)).pow(2) <= wanted + slack, "{sixteenths}/16: {scale}");
        }
    }
}

/// Keys of the system differ in every byte: 512 of them leave no value of a byte out but with a
/// chance of 13 per cent, so that fewer than 100 of 256 are seen never happens.
#[test]
fn every_byte_of_a_key_is_random() {
    let keys: Vec<[u8; 32]> =
        (0..512).map(|_| system_key().expect("there is randomness")).collect();
    for place in 0..32 {
        let values: std::collections::HashSet<u8> = keys.iter().map(|key| key[place]).collect();
        assert!(values.len() > 100, "byte {place} takes {} values", values.len());
    }
}

/// Streams that differ in any bit of their number, and coordinates of all chunks, start apart.
#[test]
fn every_stream_is_another() {
    let key = [11; 32];
    let mut firsts = std::collections::HashSet::new();
    let mut numbers: Vec<u64> = (0..5000).collect();
    numbers.extend((13..64).map(|bit| 1_u64 << bit));
    numbers.extend((13..63).map(|bit| u64::MAX - (1 << bit)));
    numbers.push(u64::MAX);
    for number in &numbers {
        assert!(firsts.insert(stream(&key, *number).next_u64()), "stream {number}");
    }
    // Chunk by chunk, `fill` uses the streams from 1 upwards, and none twice.
    let mut steps = vec![0.0; 600 * CHUNK];
    fill(&mut steps, 5e9, &key);
    for (chunk, drawn) in steps.chunks(CHUNK).enumerate() {
        let mut rng = stream(&key, chunk as u64 + 1);
        for step in &drawn[..3] {
            let again = draw(whole_scale(5e9), &mut rng) as f64;
            assert_eq!(step.to_bits(), again.to_bits(), "chunk {chunk}");
        }
    }
}
