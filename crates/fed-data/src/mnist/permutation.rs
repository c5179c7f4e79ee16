//! NumPy's `default_rng([a, b]).permutation(n)`, value for value.
//!
//! The split of the set that results here are quoted on was drawn with it, and whoever has only
//! MNIST and QMNIST must get the same split. Three parts: the seed sequence that spreads the seed
//! words over the generator's state (O'Neill's `seed_seq` design, as NumPy documents it), the
//! generator PCG-XSL-RR 128/64, and the shuffle with masked rejection.

use rand::Rng;
use rand_pcg::Pcg64;

/// The numbers `0..count` in the order that NumPy's default generator, seeded with `seed`, gives.
pub(super) fn permutation(seed: [u32; 2], count: usize) -> Vec<usize> {
    let mut bits = Bits { generator: generator(seed), half: None };
    let mut order: Vec<usize> = (0..count).collect();
    for last in (1..count).rev() {
        order.swap(last, bits.at_most(last));
    }
    order
}

/// The generator whose state comes from these seed words.
fn generator(seed: [u32; 2]) -> Pcg64 {
    let words = spread(seed);
    // Each number of 128 bits: the high half first, each half from two words, the low one first.
    let half = |at: usize| u128::from(words[at]) | u128::from(words[at + 1]) << 32;
    let number = |at: usize| half(at) << 64 | half(at + 2);
    Pcg64::new(number(0), number(4))
}

/// The seed sequence: a pool of four words mixed from the seed, and eight words drawn from it.
fn spread(seed: [u32; 2]) -> [u32; 8] {
    let mut constant = 0x43b0_d7e5_u32;
    let mut hashed = |value: u32| {
        let value = value ^ constant;
        constant = constant.wrapping_mul(0x931e_8875);
        let value = value.wrapping_mul(constant);
        value ^ value >> 16
    };
    let mut pool = [seed[0], seed[1], 0, 0].map(&mut hashed);
    for from in 0..4 {
        for to in 0..4 {
            if from != to {
                let other = hashed(pool[from]).wrapping_mul(0x4973_f715);
                let mixed = pool[to].wrapping_mul(0xca01_f9dd).wrapping_sub(other);
                pool[to] = mixed ^ mixed >> 16;
            }
        }
    }
    let mut constant = 0x8b51_f9dd_u32;
    std::array::from_fn(|word| {
        let value = pool[word % 4] ^ constant;
        constant = constant.wrapping_mul(0x58f3_8ded);
        let value = value.wrapping_mul(constant);
        value ^ value >> 16
    })
}

/// Random bits in halves of a draw, the low half first.
struct Bits {
    generator: Pcg64,
    half: Option<u32>,
}

impl Bits {
    fn word(&mut self) -> u32 {
        self.half.take().unwrap_or_else(|| {
            let both = self.generator.next_u64();
            self.half = Some((both >> 32) as u32);
            both as u32
        })
    }

    /// Uniform in `0..=most`, drawn again until it fits under the mask of `most`.
    fn at_most(&mut self, most: usize) -> usize {
        let mask = u32::MAX >> (most as u32).leading_zeros();
        loop {
            let value = (self.word() & mask) as usize;
            if value <= most {
                return value;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Printed by NumPy 2.4.6: `np.random.default_rng([20190417, writer]).permutation(n)`.
    #[test]
    fn the_order_is_numpys() {
        assert_eq!(
            permutation([20_190_417, 7], 20),
            [8, 1, 6, 11, 19, 13, 17, 0, 7, 3, 5, 14, 10, 9, 18, 2, 15, 16, 12, 4]
        );
        assert_eq!(
            permutation([20_190_417, 2_599], 131)[..20],
            [38, 129, 41, 124, 113, 34, 93, 6, 115, 20, 44, 107, 5, 51, 45, 30, 47, 65, 16, 88]
        );
        assert_eq!(permutation([20_190_417, 0], 2), [1, 0]);
        assert_eq!(permutation([20_190_417, 0], 1), [0]);
        assert!(permutation([20_190_417, 0], 0).is_empty());
    }
}
