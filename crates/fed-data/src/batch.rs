//! A client's examples in batches.

use rand::Rng;

use crate::examples::Examples;
use crate::shuffle::ShuffleSeed;

/// How a client goes through its examples: so many epochs, each in a new order, in batches whose
/// last one may be smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchPlan {
    size: usize,
    epochs: u32,
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
    /// Batches of `size` examples, `epochs` times over.
    ///
    /// # Panics
    /// If `size` is 0.
    #[must_use]
    pub fn new(size: usize, epochs: u32) -> Self {
        assert!(size > 0, "a batch has at least one example");
        Self { size, epochs }
    }

    /// Number of batches of a client with `examples` examples.
    #[must_use]
    pub fn count(&self, examples: usize) -> usize {
        examples.div_ceil(self.size) * self.epochs as usize
    }

    /// The batches of one client; `rng` is the client's generator, see [`ShuffleSeed::rng`].
    ///
    /// Every epoch visits every example once, in an order of its own; batches do not reach from
    /// one epoch into the next, so the last batch of an epoch holds what is left. A client without
    /// examples has no batch.
    ///
    /// # Examples
    /// ```
    /// use fed_data::{BatchPlan, Examples, ShuffleSeed};
    ///
    /// let client = Examples::from_bytes(vec![0, 51, 102, 153, 204], vec![0, 1, 2, 3, 4], 1);
    /// let rng = ShuffleSeed::new([7; 32]).rng(0);
    /// let sizes: Vec<usize> =
    ///     BatchPlan::new(2, 1).batches(&client, rng).map(|batch| batch.labels.len()).collect();
    /// assert_eq!(sizes, [2, 2, 1]);
    /// ```
    pub fn batches<'a, R: Rng>(&self, client: &'a Examples<'a>, rng: R) -> Batches<'a, R> {
        let order = vec![0; client.len()];
        Batches { plan: *self, client, rng, next: order.len(), order, epochs: 0 }
    }
}

/// The batches of one client, in turn.
#[derive(Debug)]
pub struct Batches<'a, R> {
    plan: BatchPlan,
    client: &'a Examples<'a>,
    rng: R,
    order: Vec<u32>,
    next: usize,
    epochs: u32,
}

impl<R: Rng> Batches<'_, R> {
    /// Fills `batch` with the next batch, using its memory again; `false` if there is none.
    pub fn next_into(&mut self, batch: &mut Batch) -> bool {
        if self.next == self.order.len() {
            if self.epochs == self.plan.epochs || self.order.is_empty() {
                return false;
            }
            self.epochs += 1;
            self.next = 0;
            ShuffleSeed::permute(&mut self.order, &mut self.rng);
        }
        let end = self.order.len().min(self.next + self.plan.size);
        let rows = &self.order[self.next..end];
        self.next = end;
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

impl<R: Rng> Iterator for Batches<'_, R> {
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
        let rng = ShuffleSeed::new([0; 32]).rng(0);
        assert_eq!(BatchPlan::new(32, 5).batches(&client, rng).count(), 0);
    }

    proptest! {
        /// Each epoch is a permutation of the client, cut into full batches and one remainder.
        #[test]
        fn every_epoch_visits_everything_once(n in 0_usize..120, size in 1_usize..50, epochs in 0_u32..4) {
            let labels: Vec<u8> = (0..n as u8).collect();
            let client = Examples::from_bytes(labels.clone(), labels.clone(), 1);
            let plan = BatchPlan::new(size, epochs);
            let batches: Vec<Batch> =
                plan.batches(&client, ShuffleSeed::new([3; 32]).rng(9)).collect();
            prop_assert_eq!(batches.len(), plan.count(n));
            for batch in &batches {
                for (&label, &value) in batch.labels.iter().zip(&batch.features) {
                    prop_assert_eq!((f32::from(label) / 255.0).to_bits(), value.to_bits());
                }
            }
            let seen: Vec<u8> = batches.into_iter().flat_map(|batch| batch.labels).collect();
            prop_assert_eq!(seen.len(), n * epochs as usize);
            for epoch in seen.chunks(n.max(1)) {
                let mut epoch = epoch.to_vec();
                epoch.sort_unstable();
                prop_assert_eq!(&epoch, &labels);
            }
        }
    }
}
