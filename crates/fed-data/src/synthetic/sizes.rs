//! How many examples each synthetic writer has.
//!
//! The shape is that of the real thing: how many digits each of the 3,579 writers of NIST
//! Special Database 19 left (402,953 in all), as the public label table of that database lists
//! them. The totals are those of the federated EMNIST that TFF distributes, 341,873 and 40,832
//! examples for 3,383 clients, met exactly, and in proportion for any other number of clients.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Clients, training examples and test examples of the real digits-only set.
const REAL: (u64, u64, u64) = (3_383, 341_873, 40_832);

/// Digits of a writer, and how many writers of NIST Special Database 19 have that many.
#[rustfmt::skip]
const WRITERS_OF_SIZE: [(u8, u16); SIZES] = [
    (11, 1), (14, 1), (15, 1), (19, 1), (24, 1), (30, 1), (31, 2), (33, 1), (35, 1), (36, 1),
    (41, 1), (45, 3), (46, 2), (49, 1), (51, 2), (52, 3), (53, 1), (54, 2), (55, 3), (56, 2),
    (57, 6), (58, 2), (59, 4), (60, 5), (61, 1), (62, 5), (63, 2), (64, 5), (65, 3), (66, 6),
    (67, 8), (68, 8), (69, 10), (70, 5), (71, 10), (72, 10), (73, 5), (74, 7), (75, 7), (76, 9),
    (77, 13), (78, 6), (79, 15), (80, 8), (81, 14), (82, 9), (83, 15), (84, 16), (85, 14), (86,
    14), (87, 15), (88, 12), (89, 11), (90, 30), (91, 25), (92, 22), (93, 23), (94, 33), (95,
    35), (96, 40), (97, 40), (98, 38), (99, 39), (100, 38), (101, 51), (102, 44), (103, 52),
    (104, 48), (105, 50), (106, 46), (107, 72), (108, 51), (109, 65), (110, 63), (111, 60),
    (112, 81), (113, 60), (114, 78), (115, 111), (116, 100), (117, 92), (118, 124), (119, 118),
    (120, 132), (121, 105), (122, 149), (123, 118), (124, 145), (125, 118), (126, 186), (127,
    124), (128, 176), (129, 71), (130, 196), (131, 14), (132, 1), (133, 1), (134, 1), (147, 1),
    (213, 1),
];

const SIZES: usize = 100;
const WRITERS: usize = 3_579;

/// Sizes by rank: a uniform rank gives a size of the real distribution.
static SIZE_OF_RANK: [u8; WRITERS] = {
    let mut table = [0; WRITERS];
    let (mut rank, mut entry) = (0, 0);
    while entry < SIZES {
        let (size, writers) = WRITERS_OF_SIZE[entry];
        let mut left = writers;
        while left > 0 {
            table[rank] = size;
            rank += 1;
            left -= 1;
        }
        entry += 1;
    }
    assert!(rank == WRITERS, "the table counts every writer once");
    table
};

/// Training and test examples of every client: two bytes a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sizes {
    pub(super) train: Vec<u8>,
    pub(super) test: Vec<u8>,
}

impl Sizes {
    /// Draws the sizes of `clients` clients; every client gets at least one example of each split.
    pub(super) fn draw(clients: usize, mut rng: ChaCha8Rng) -> Self {
        let share = |of: u64| ((clients as u64 * of * 2 + REAL.0) / (REAL.0 * 2)) as i64;
        let (train_total, test_total) = (share(REAL.1), share(REAL.2));

        let mut all: Vec<u8> = (0..clients)
            .map(|_| SIZE_OF_RANK[((u64::from(rng.next_u32()) * WRITERS as u64) >> 32) as usize])
            .collect();
        settle(&mut all, train_total + test_total, |_, size| (2..=u8::MAX).contains(&size));

        let tenth = |size: u8| {
            let examples = u64::from(size);
            ((examples * REAL.2 * 2 + REAL.1 + REAL.2) / ((REAL.1 + REAL.2) * 2)).max(1) as u8
        };
        let mut test: Vec<u8> = all.iter().map(|&size| tenth(size)).collect();
        settle(&mut test, test_total, |client, size| (1..all[client]).contains(&size));

        for (size, test) in all.iter_mut().zip(&test) {
            *size -= test;
        }
        Self { train: all, test }
    }
}

/// Moves evenly spaced entries by one until they sum to `total`; `fits` says what an entry may be.
fn settle(sizes: &mut [u8], total: i64, fits: impl Fn(usize, u8) -> bool) {
    let mut missing = total - sizes.iter().map(|&size| i64::from(size)).sum::<i64>();
    while missing != 0 {
        let stride = (sizes.len() / missing.unsigned_abs().max(1) as usize).max(1);
        let before = missing;
        for client in (0..sizes.len()).step_by(stride) {
            let moved = if missing > 0 {
                sizes[client].checked_add(1)
            } else {
                sizes[client].checked_sub(1)
            };
            if let Some(moved) = moved.filter(|&size| fits(client, size)) {
                sizes[client] = moved;
                missing -= missing.signum();
                if missing == 0 {
                    return;
                }
            }
        }
        assert!(missing != before, "the totals lie between the least and the most possible");
    }
}

/// The generator of the sizes under `seed`.
pub(super) fn size_rng(seed: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(u64::MAX);
    rng
}

#[cfg(test)]
mod tests {
    use super::*;

    fn total(sizes: &[u8]) -> u64 {
        sizes.iter().map(|&size| u64::from(size)).sum()
    }

    #[test]
    fn the_default_population_has_the_real_totals() {
        let sizes = Sizes::draw(3_383, size_rng(0));
        assert_eq!(total(&sizes.train), 341_873);
        assert_eq!(total(&sizes.test), 40_832);
        assert!(sizes.train.iter().chain(&sizes.test).all(|&size| size >= 1));
    }

    #[test]
    fn the_sizes_follow_the_real_distribution() {
        let sizes = Sizes::draw(3_383, size_rng(7));
        let mut both: Vec<u32> = sizes
            .train
            .iter()
            .zip(&sizes.test)
            .map(|(&train, &test)| u32::from(train) + u32::from(test))
            .collect();
        both.sort_unstable();
        // The real writers: 5 % have at most 79 digits, half at most 117, 95 % at most 130.
        for (share, real) in [(0.05, 79), (0.5, 117), (0.95, 130)] {
            let ours = both[(share * both.len() as f64) as usize];
            assert!(ours.abs_diff(real) <= 3, "{share}: {ours} against {real}");
        }
    }

    #[test]
    fn small_and_other_populations_keep_the_proportion() {
        for clients in [1, 2, 3, 12, 500, 20_000] {
            let sizes = Sizes::draw(clients, size_rng(1));
            let train = total(&sizes.train) as f64 / clients as f64;
            assert!((train - 101.06).abs() < 0.6, "{clients} clients: {train} a client");
            assert!(sizes.train.iter().chain(&sizes.test).all(|&size| size >= 1));
        }
    }
}
