//! The order in which a client visits its examples.

use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// One shuffle stream for every client of every round, from one key.
///
/// A client drawn in two rounds visits its examples in two different orders; the order does not
/// depend on which other clients were drawn nor on who trains it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShuffleSeed {
    key: [u8; 32],
}

impl ShuffleSeed {
    /// The streams under `key`, which should be derived from the root seed and the round.
    #[must_use]
    pub fn new(key: [u8; 32]) -> Self {
        Self { key }
    }

    /// The generator of client `index`.
    #[must_use]
    pub fn rng(&self, index: usize) -> impl Rng + use<> {
        let mut rng = ChaCha8Rng::from_seed(self.key);
        rng.set_stream(index as u64);
        rng
    }

    /// Fills `order` with a uniform permutation of `0..order.len()` for one epoch of a client;
    /// `rng` is the client's generator and moves on from epoch to epoch.
    pub fn permute(order: &mut [u32], rng: &mut impl Rng) {
        for (position, index) in order.iter_mut().enumerate() {
            *index = position as u32;
        }
        order.shuffle(rng);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_and_keys_have_orders_of_their_own() {
        let order = |key: u8, client| {
            let mut order = [0; 40];
            ShuffleSeed::permute(&mut order, &mut ShuffleSeed::new([key; 32]).rng(client));
            order
        };
        assert_eq!(order(1, 5), order(1, 5));
        assert_ne!(order(1, 5), order(1, 6));
        assert_ne!(order(1, 5), order(2, 5));
        let mut sorted = order(1, 5);
        sorted.sort_unstable();
        assert!(sorted.iter().enumerate().all(|(i, &x)| i as u32 == x));
    }
}
