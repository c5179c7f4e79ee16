//! The law of cohorts, with fixed seeds: each statistic has a stated chance of a false alarm, had
//! the seed been another.

use std::convert::Infallible;

use rand::{SeedableRng, TryRng};
use rand_chacha::ChaCha20Rng;

use super::*;

/// Clients of the statistical tests: more than two words of coins, and not a whole number of them.
const POPULATION: usize = 131;

const ROUNDS: usize = 20_000;

/// Probabilities small and large, on both sides of a half.
const PROBABILITIES: [f64; 7] = [0.01, 50.0 / 3383.0, 0.05, 0.0999, 0.3, 0.5, 0.93];

fn cohorts(q: f64) -> Vec<Vec<usize>> {
    let mut rng = ChaCha20Rng::seed_from_u64(3);
    (0..ROUNDS).map(|_| poisson(POPULATION, q, &mut rng)).collect()
}

/// Words from a list, then ones for ever.
struct Script(Vec<u64>, usize);

impl TryRng for Script {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.try_next_u64().map(|word| word as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.1 += 1;
        Ok(self.0.get(self.1 - 1).copied().unwrap_or(u64::MAX))
    }

    fn try_fill_bytes(&mut self, _: &mut [u8]) -> Result<(), Infallible> {
        unreachable!("cohorts are drawn in words")
    }
}

#[test]
fn the_digits_are_those_of_the_probability_and_never_of_more() {
    for q in [0.3, 50.0 / 3383.0, 0.1, 1.0 - f64::EPSILON / 2.0, 2.0_f64.powi(-76), 1e-20] {
        let back = digits(q) as f64 / 2.0_f64.powi(128);
        assert!(back.to_bits() == q.to_bits(), "{q}: {back}");
    }
    assert_eq!(digits(0.5), 1 << 127);
    assert_eq!(digits(0.75), 3 << 126);
    // Too fine for 128 digits: rounded down.
    let fine = 1.75 * 2.0_f64.powi(-128);
    assert_eq!(digits(fine), 1);
    assert_eq!((digits(f64::MIN_POSITIVE), digits(0.0)), (0, 0));
    assert!(poisson(100, f64::MIN_POSITIVE, &mut ChaCha20Rng::seed_from_u64(0)).is_empty());
}

/// A coin falls for a client exactly if its 128-bit number is below the probability's digits:
/// the number next below is in, the number itself is out.
#[test]
fn a_coin_compares_all_digits() {
    for q in [0.3, 50.0 / 3383.0, 0.9, 0.5, 1e-3, 2.0_f64.powi(-40)] {
        // Lane 0 gets these digits; the others get ones, and q < 1 leaves them out.
        let drawn = |number: u128| {
            let word = |digit: u32| u64::MAX - 1 + (number >> (127 - digit) & 1) as u64;
            let words = (0..128).map(word).collect();
            poisson(64, q, &mut Script(words, 0))
        };
        let threshold = digits(q);
        assert_eq!(drawn(threshold - 1), [0], "{q}");
        assert!(drawn(threshold).is_empty(), "{q}");
        assert!(drawn(threshold + 1).is_empty(), "{q}");
        assert_eq!(drawn(0), [0]);
    }
}

/// Every client's own rate, six standard errors each: a false alarm in about 500,000 seeds, over
/// all clients and probabilities.
#[test]
fn every_client_is_drawn_at_its_rate() {
    for q in PROBABILITIES {
        let mut drawn = [0_u32; POPULATION];
        for cohort in cohorts(q) {
            assert!(cohort.windows(2).all(|pair| pair[0] < pair[1]));
            cohort.iter().for_each(|&client| drawn[client] += 1);
        }
        let rounds = ROUNDS as f64;
        for (client, &drawn) in drawn.iter().enumerate() {
            let error = (f64::from(drawn) - rounds * q) / (rounds * q * (1.0 - q)).sqrt();
            assert!(error.abs() < 6.0, "q = {q}, client {client}: {error} standard errors");
        }
        // All clients together, five standard errors.
        let coins = rounds * POPULATION as f64;
        let total: u32 = drawn.iter().sum();
        let error = (f64::from(total) - coins * q) / (coins * q * (1.0 - q)).sqrt();
        assert!(error.abs() < 5.0, "q = {q}: {error} standard errors");
    }
}

/// No two clients' coins have to do with one another: the correlation of every pair, and of all
/// pairs at one distance together, lies within seven standard errors. Under independence the
/// products of centred coins have mean 0 and are uncorrelated, so both are sums of 20,000 and more
/// terms; a false alarm in about ten million seeds over 60,000 statistics, the longer tails of
/// sums of rare products included.
#[test]
fn coins_are_independent_in_pairs() {
    for q in PROBABILITIES {
        let mut both = vec![[0_u32; POPULATION]; POPULATION];
        let mut drawn = [0_u32; POPULATION];
        for cohort in cohorts(q) {
            for (place, &first) in cohort.iter().enumerate() {
                drawn[first] += 1;
                cohort[place + 1..].iter().for_each(|&second| both[first][second] += 1);
            }
        }
        let rounds = ROUNDS as f64;
        let scale = rounds.sqrt() * q * (1.0 - q);
        let mut at_distance = [(0.0, 0_u32); POPULATION];
        for first in 0..POPULATION {
            for second in first + 1..POPULATION {
                // The sum over rounds of (x − q)(y − q).
                let single = f64::from(drawn[first] + drawn[second]);
                let sum = f64::from(both[first][second]) - q * single + rounds * q * q;
                let error = sum / scale;
                // Rare pairs are not normal: few rounds hold both.
                let most = if q < 0.03 { 14.0 } else { 7.0 };
                assert!(error.abs() < most, "q = {q}, clients {first} and {second}: {error}");
                let (total, pairs) = &mut at_distance[second - first];
                (*total, *pairs) = (*total + error, *pairs + 1);
            }
        }
        for (distance, (total, pairs)) in at_distance.into_iter().enumerate().skip(1) {
            let error = total / f64::from(pairs).sqrt();
            let most = if q < 0.03 && pairs < 60 { 14.0 } else { 7.0 };
            assert!(error.abs() < most, "q = {q}, {distance} apart: {error} standard errors");
        }
    }
}

/// The number of clients is binomial: its variance within five standard errors.
#[test]
fn sizes_spread_as_sums_of_coins() {
    for q in PROBABILITIES {
        let clients = POPULATION as f64;
        let variance = clients * q * (1.0 - q);
        let squares: f64 =
            cohorts(q).iter().map(|cohort| (cohort.len() as f64 - clients * q).powi(2)).sum();
        let ratio = squares / ROUNDS as f64 / variance;
        let kurtosis = 3.0 + (1.0 - 6.0 * q * (1.0 - q)) / variance;
        let error = (ratio - 1.0) / ((kurtosis - 1.0) / ROUNDS as f64).sqrt();
        assert!(error.abs() < 5.0, "q = {q}: {error} standard errors");
    }
}

/// All 35 sets of 3 out of 7, six standard errors each: a false alarm in ten million seeds.
#[test]
fn every_set_of_a_fixed_size_is_as_likely() {
    let mut rng = ChaCha20Rng::seed_from_u64(5);
    let mut seen = std::collections::BTreeMap::new();
    let draws = 70_000;
    for _ in 0..draws {
        *seen.entry(fixed_size(7, 3, &mut rng)).or_insert(0_u32) += 1;
    }
    assert_eq!(seen.len(), 35);
    let expected = f64::from(draws) / 35.0;
    for (set, count) in seen {
        assert!(set.windows(2).all(|pair| pair[0] < pair[1]), "{set:?}");
        let error = (f64::from(count) - expected) / (expected * (1.0 - 1.0 / 35.0)).sqrt();
        assert!(error.abs() < 6.0, "{set:?}: {error} standard errors");
    }
    assert_eq!(fixed_size(4, 4, &mut rng), [0, 1, 2, 3]);
    assert!(fixed_size(4, 0, &mut rng).is_empty());
}

/// A number beyond the bound is drawn again, not folded back: that would favour the small ones.
#[test]
fn whole_numbers_are_drawn_by_rejection() {
    assert_eq!(below(5, &mut Script(vec![7, 6, 5, 4], 0)), 4);
    assert_eq!(below(5, &mut Script(vec![8 + 3], 0)), 3);
    assert_eq!(below(1, &mut Script(vec![1, 0], 0)), 0);
    assert_eq!(below(1 << 63, &mut Script(vec![u64::MAX], 0)), (1 << 63) - 1);
}

/// Changing these cohorts changes every recorded run: allowed, and announced.
#[test]
fn the_first_cohorts_are_stable() {
    let mut rng = ChaCha20Rng::seed_from_u64(42);
    assert_eq!(poisson(200, 0.04, &mut rng), [1, 12, 33, 41, 53, 58, 108, 113, 169, 182]);
    assert_eq!(fixed_size(200, 6, &mut rng), [35, 143, 149, 162, 170, 185]);
}
