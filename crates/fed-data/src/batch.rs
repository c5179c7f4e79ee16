//! A client's examples in batches: the one rule by which every trainer cuts them.

use std::slice::Chunks;

use rand::Rng;

use crate::examples::Examples;
use crate::shuffle::ShuffleSeed;

/// How a client goes through its examples: shuffled, so many epochs one after another, and this
/// one stream cut into batches, in that order.
///
/// Every epoch visits every example once, in an order of its own. A batch may hold the end of one
/// epoch and the beginning of the next, so a client of `n` examples has `⌈epochs · n / size⌉`
/// batches, all full but the last, which holds what is left. A client without examples has none.
///
/// ```text
/// 5 examples, 2 epochs, batches of 4:  e1 e1 e1 e1 | e1 e2 e2 e2 | e2 e2
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchPlan {
    size: usize,
    epochs: usize,
}

/// Some examples, copied out: features `[labels.len(), width]`, row-major.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// Feature values.
    pub features: Vec<f32>,
    /// Class labels, one a row.
    pub labels: Vec<u8>,
}

impl BatchPlan {
    /// Batches of `size` examples, over `epochs` epochs.
    ///
    /// # Panics
    /// If `size` is 0.
    #[must_use]
    pub fn new(size: usize, epochs: usize) -> Self {
        assert!(size > 0, "a batch has at least one example");
        Self { size, epochs }
    }

    /// Number of visits of a client with `examples` examples; `None` if beyond counting.
    #[must_use]
    pub fn visits(&self, examples: usize) -> Option<usize> {
        examples.checked_mul(self.epochs)
    }

    /// Number of batches of a client with `examples` examples.
    ///
    /// # Panics
    /// If the [visits](Self::visits) are beyond counting.
    #[must_use]
    pub fn count(&self, examples: usize) -> usize {
        self.visits(examples).expect("visits that can be counted").div_ceil(self.size)
    }

    /// Fills `rows` with the examples that a client with `examples` examples visits, in order, all
    /// epochs one after another. `rng` is the client's generator, see [`ShuffleSeed::rng`];
    /// without one every epoch visits the examples as they lie.
    ///
    /// # Panics
    /// If the [visits](Self::visits) are beyond counting.
    pub fn order(&self, rows: &mut Vec<u32>, examples: usize, rng: Option<impl Rng>) {
        rows.clear();
        rows.resize(self.visits(examples).expect("visits that can be counted"), 0);
        let mut rng = rng;
        for epoch in rows.chunks_exact_mut(examples.max(1)) {
            match &mut rng {
                Some(rng) => ShuffleSeed::permute(epoch, rng),
                None => epoch.iter_mut().zip(0..).for_each(|(row, index)| *row = index),
            }
        }
    }

    /// Cuts visits in their [order](Self::order) into batches.
    pub fn cut<'a>(&self, rows: &'a [u32]) -> Chunks<'a, u32> {
        rows.chunks(self.size)
    }

    /// The batches of one client, copied out; `rng` is the client's generator, see
    /// [`ShuffleSeed::rng`].
    ///
    /// # Examples
    /// ```
    /// use fed_data::{BatchPlan, Examples, ShuffleSeed};
    ///
    /// let client = Examples::from_bytes(vec![0, 51, 102, 153, 204], vec![0, 1, 2, 3, 4], 1);
    /// let rng = ShuffleSeed::new([7; 32]).rng("somebody");
    /// let sizes: Vec<usize> =
    ///     BatchPlan::new(4, 2).batches(&client, rng).map(|batch| batch.labels.len()).collect();
    /// assert_eq!(sizes, [4, 4, 2]);
    /// ```
    pub fn batches<'a>(&self, client: &'a Examples<'a>, rng: impl Rng) -> Batches<'a> {
        let mut rows = Vec::new();
        self.order(&mut rows, client.len(), Some(rng));
        Batches { plan: *self, client, rows, next: 0 }
    }
}

/// The batches of one client, in turn.
#[derive(Debug)]
pub struct Batches<'a> {
    plan: BatchPlan,
    client: &'a Examples<'a>,
    rows: Vec<u32>,
    /// The first visit of the next batch.
    next: usize,
}

impl Batches<'_> {
    /// Fills `batch` with the next batch, using its memory again; `false` if there is none.
    pub fn next_into(&mut self, batch: &mut Batch) -> bool {
        let Some(rows) = self.plan.cut(&self.rows[self.next..]).next() else { return false };
        self.next += rows.len();
        let width = self.client.width();
        batch.features.resize(rows.len() * width, 0.0);
        batch.labels.clear();
        for (index, &row) in rows.iter().enumerate() {
            let row = row as usize;
            self.client.copy_row(row, &mut batch.features[index * width..(index + 1) * width]);
            batch.labels.push(self.client.labels()[row]);
        }
        true
    }
}

impl Iterator for Batches<'_> {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        let mut batch = Batch::default();
        self.next_into(&mut batch).then_some(batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_client_without_examples_has_no_batch() {
        let client = Examples::from_bytes(vec![], vec![], 784);
        let rng = ShuffleSeed::new([0; 32]).rng("nobody");
        let plan = BatchPlan::new(32, 5);
        assert_eq!(plan.batches(&client, rng).count(), 0);
        assert_eq!(plan.count(0), 0);
    }

    /// Shuffle, repeat, batch, in that order: (examples, size, epochs, sizes of the batches).
    #[test]
    fn batches_reach_from_one_epoch_into_the_next() {
        let cases: [(usize, usize, usize, &[usize]); 6] = [
            (5, 32, 4, &[20]),
            (5, 4, 2, &[4, 4, 2]),
            (5, 3, 2, &[3, 3, 3, 1]),
            (4, 4, 3, &[4, 4, 4]),
            (3, 1, 2, &[1; 6]),
            (5, 32, 0, &[]),
        ];
        for (examples, size, epochs, expected) in cases {
            let labels: Vec<u8> = (0..examples as u8).collect();
            let client = Examples::from_bytes(labels.clone(), labels, 1);
            let plan = BatchPlan::new(size, epochs);
            let rng = ShuffleSeed::new([3; 32]).rng("nine");
            let sizes: Vec<_> = plan.batches(&client, rng).map(|b| b.labels.len()).collect();
            assert_eq!(sizes, expected, "{examples} examples, {epochs} epochs, batches of {size}");
            assert_eq!(plan.count(examples), expected.len());
        }
    }

    #[test]
    fn visits_beyond_counting_are_known_beforehand() {
        assert_eq!(BatchPlan::new(1, usize::MAX).visits(2), None);
        assert_eq!(BatchPlan::new(1, usize::MAX).visits(0), Some(0));
    }

    #[test]
    fn without_a_generator_examples_are_visited_as_they_lie() {
        let mut rows = vec![9; 9];
        BatchPlan::new(2, 2).order(&mut rows, 3, None::<rand_chacha::ChaCha8Rng>);
        assert_eq!(rows, [0, 1, 2, 0, 1, 2]);
    }

    proptest! {
        /// Each epoch is a permutation of the client; the stream of all is cut into full batches
        /// and one remainder.
        #[test]
        fn every_epoch_visits_everything_once(n in 0_usize..120, size in 1_usize..50, epochs in 0_usize..4) {
            let labels: Vec<u8> = (0..n as u8).collect();
            let client = Examples::from_bytes(labels.clone(), labels.clone(), 1);
            let plan = BatchPlan::new(size, epochs);
            let batches: Vec<Batch> =
                plan.batches(&client, ShuffleSeed::new([3; 32]).rng("nine")).collect();
            prop_assert_eq!(batches.len(), plan.count(n));
            for (index, batch) in batches.iter().enumerate() {
                let full = index + 1 < batches.len();
                prop_assert!(batch.labels.len() == size || (!full && batch.labels.len() < size));
                for (&label, &value) in batch.labels.iter().zip(&batch.features) {
                    prop_assert_eq!((f32::from(label) / 255.0).to_bits(), value.to_bits());
                }
            }
            let seen: Vec<u8> = batches.into_iter().flat_map(|batch| batch.labels).collect();
            prop_assert_eq!(seen.len(), n * epochs);
            for epoch in seen.chunks(n.max(1)) {
                let mut epoch = epoch.to_vec();
                epoch.sort_unstable();
                prop_assert_eq!(&epoch, &labels);
            }
        }
    }
}
