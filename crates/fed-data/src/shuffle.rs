//! The order in which a client visits its examples.

use std::fmt;

use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};

/// One shuffle stream for every client of a round, from one key of the round.
///
/// The stream of a client is that of the SHA-256 of the key and the client's id, so the order of
/// its examples depends on these two alone: not on its place in the population, nor on who else
/// is in the population or was drawn, nor on who trains it. Under another key a client visits its
/// examples in another order.
///
/// Where the noise is that of a release the key is as secret as the noise, so it is never printed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ShuffleSeed {
    key: [u8; 32],
}

impl ShuffleSeed {
    /// The streams under `key`, which should be a round's own.
    #[must_use]
    pub fn new(key: [u8; 32]) -> Self {
        Self { key }
    }

    /// The generator of the client with this id.
    ///
    /// # Examples
    /// ```
    /// use fed_data::ShuffleSeed;
    /// use rand::Rng;
    ///
    /// let round = ShuffleSeed::new([7; 32]);
    /// assert_eq!(round.rng("f0000_14").next_u64(), round.rng("f0000_14").next_u64());
    /// assert_ne!(round.rng("f0000_14").next_u64(), round.rng("f0001_41").next_u64());
    /// ```
    #[must_use]
    pub fn rng(&self, id: &str) -> impl Rng + use<> {
        let mut hasher = Sha256::new();
        // Purpose and key have fixed lengths, so no two ids are hashed alike.
        hasher.update(b"fed-data: shuffle of one client/");
        hasher.update(self.key);
        hasher.update(id.as_bytes());
        ChaCha8Rng::from_seed(hasher.finalize().into())
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

impl fmt::Debug for ShuffleSeed {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShuffleSeed").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(key: u8, client: &str) -> [u32; 40] {
        let mut order = [0; 40];
        ShuffleSeed::permute(&mut order, &mut ShuffleSeed::new([key; 32]).rng(client));
        order
    }

    #[test]
    fn clients_and_keys_have_orders_of_their_own() {
        assert_eq!(order(1, "five"), order(1, "five"));
        assert_ne!(order(1, "five"), order(2, "five"));
        let mut sorted = order(1, "five");
        sorted.sort_unstable();
        assert!(sorted.iter().enumerate().all(|(i, &x)| i as u32 == x));
    }

    /// Empty, long, with blanks, zeros and letters that look alike or contain one another.
    #[test]
    fn ids_that_are_nearly_alike_have_orders_of_their_own() {
        let long = "x".repeat(1000);
        let ids = [
            "",
            " ",
            "\0",
            "\0\0",
            "a",
            "A",
            "a ",
            " a",
            "a\n",
            "aa",
            "a_0",
            "a_00",
            "0",
            "00",
            "é",
            "e\u{301}",
            &long,
            &long[1..],
        ];
        let orders: std::collections::HashSet<_> = ids.iter().map(|id| order(1, id)).collect();
        assert_eq!(orders.len(), ids.len());
    }

    /// Changing these numbers changes every run that shuffles: allowed, and announced.
    #[test]
    fn the_first_draws_are_stable() {
        let draw = |id| ShuffleSeed::new([7; 32]).rng(id).next_u64();
        assert_eq!([draw("f0000_14"), draw("")], [1685703132024761456, 17184322303802613461]);
    }

    #[test]
    fn the_key_is_not_printed() {
        assert_eq!(format!("{:?}", ShuffleSeed::new([201; 32])), "ShuffleSeed { .. }");
    }
}
