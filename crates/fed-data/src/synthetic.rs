//! The embedded default: a seeded population of writers, drawn by a program.
//!
//! Every writer has a hand of its own (which way of writing each digit, the shape of its strokes,
//! slant, size, place, pen), and writes each digit a little differently every time. Pictures are
//! 28 by 28 bytes with TFF's polarity, 255 for white paper and 0 for ink. Sizes follow the real
//! distribution of digits over writers: 3,383 clients have exactly the 341,873 training and
//! 40,832 test examples of the real set.
//!
//! The same seed gives the same pictures on every machine and with any number of threads: each
//! client draws from streams of its own, with arithmetic that rounds the same everywhere.
//!
//! [`SyntheticWriters::dataset`] draws everybody at once; [`SyntheticWriters::population`] draws a
//! client when it is asked for, so that ten million of them fit (two bytes each). Both give a
//! client the same examples.

mod draws;
mod glyphs;
mod hand;
mod raster;
mod sizes;

use std::borrow::Cow;
use std::sync::Arc;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::buffer::Buffer;
use crate::dataset::{Dataset, Origin, Variant};
use crate::digest::{ClientHash, ContentDigest, client_hash};
use crate::error::DataError;
use crate::examples::Examples;
use crate::federated::FederatedData;
use crate::split::{Split, Store};
use draws::Draws;
use hand::Hand;
use raster::Canvas;
use sizes::Sizes;

/// Pixels of a picture.
const PIXELS: usize = raster::SIDE * raster::SIDE;
/// Most clients of a population that is drawn at once: about ten times the real one.
const MOST_AT_ONCE: usize = 100_000;
/// Most clients of a population.
const MOST: usize = 1 << 32;

/// Which version of the drawing this is; pictures of one seed may differ between versions.
pub(crate) const DRAWING: u32 = 1;

/// A population of synthetic writers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SyntheticWriters {
    /// Whoever has the same seed has the same writers.
    pub seed: u64,
    /// Number of clients, 1 to 2^32; the first clients of a larger population are not those of a
    /// smaller one, because sizes are drawn for all together.
    pub clients: usize,
}

impl Default for SyntheticWriters {
    /// Seed 0 and 3,383 clients, as many as the real set has.
    fn default() -> Self {
        Self { seed: 0, clients: 3_383 }
    }
}

/// One of the two splits of a population.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// What clients train on.
    Train,
    /// What clients set aside.
    Test,
}

impl SyntheticWriters {
    /// Draws everybody, on all cores.
    ///
    /// # Errors
    /// [`DataError::Parameter`] if the number of clients is not 1 to 100,000 (a larger one is for
    /// [`Self::population`]).
    ///
    /// # Examples
    /// ```
    /// use fed_data::{FederatedData, SyntheticWriters};
    ///
    /// let data = SyntheticWriters { seed: 1, clients: 5 }.dataset()?;
    /// assert_eq!(data.train.num_clients(), 5);
    /// assert!(data.source.synthetic);
    /// # Ok::<(), fed_data::DataError>(())
    /// ```
    pub fn dataset(&self) -> Result<Dataset, DataError> {
        if self.clients > MOST_AT_ONCE {
            return Err(DataError::Parameter {
                parameter: "clients",
                value: self.clients.to_string(),
                range: "1 to 100000 to be drawn at once (a population draws clients when asked)",
            });
        }
        let population = Population::new(*self)?;
        let ids: Vec<Box<str>> = (0..self.clients).map(|index| population.id(index)).collect();
        let mut train = Blank::new(&population.sizes.train);
        let mut test = Blank::new(&population.sizes.test);
        let hashes: Vec<(ClientHash, ClientHash)> = train
            .clients(&population.sizes.train)
            .into_par_iter()
            .zip(test.clients(&population.sizes.test))
            .enumerate()
            .map_init(Canvas::new, |canvas, (index, (train, test))| {
                let hand = population.hand(index);
                let mut fill = |part, (pixels, labels): (&mut [u8], &mut [u8])| {
                    population.fill(index, part, &hand, canvas, pixels, labels);
                    client_hash(&Examples::from_bytes(&*pixels, &*labels, PIXELS))
                };
                (fill(Part::Train, train), fill(Part::Test, test))
            })
            .collect();
        let (train_hashes, test_hashes) = hashes.into_iter().unzip();
        let train = train.into_split(ids.clone())?;
        let test = test.into_split(ids)?;
        let digest = ContentDigest::combine([(&train, train_hashes), (&test, test_hashes)]);
        Ok(Dataset::new(train, test, self.origin(), digest))
    }

    /// One split, whose clients are drawn when they are asked for.
    ///
    /// # Errors
    /// [`DataError::Parameter`] if the number of clients is 0 or more than 2^32.
    pub fn population(&self, part: Part) -> Result<SyntheticPopulation, DataError> {
        Ok(SyntheticPopulation { population: Arc::new(Population::new(*self)?), part })
    }

    pub(crate) fn origin(&self) -> Origin {
        Origin {
            name: format!("synthetic writers (seed {})", self.seed),
            synthetic: true,
            files: Vec::new(),
            variant: Variant::DigitsOnly,
        }
    }
}

/// Writers by number.
#[derive(Debug)]
struct Population {
    config: SyntheticWriters,
    sizes: Sizes,
    id_digits: usize,
}

impl Population {
    fn new(config: SyntheticWriters) -> Result<Self, DataError> {
        if !(1..=MOST).contains(&config.clients) {
            return Err(DataError::Parameter {
                parameter: "clients",
                value: config.clients.to_string(),
                range: "1 to 4294967296",
            });
        }
        let sizes = Sizes::draw(config.clients, sizes::size_rng(config.seed));
        let id_digits = (config.clients - 1).to_string().len().max(4);
        Ok(Self { config, sizes, id_digits })
    }

    fn id(&self, index: usize) -> Box<str> {
        format!("writer_{index:0width$}", width = self.id_digits).into_boxed_str()
    }

    fn hand(&self, index: usize) -> Hand {
        Hand::new(&mut Draws::new(self.config.seed, 3 * index as u64))
    }

    /// Writes the examples of one client's split.
    fn fill(
        &self,
        index: usize,
        part: Part,
        hand: &Hand,
        canvas: &mut Canvas,
        pixels: &mut [u8],
        labels: &mut [u8],
    ) {
        let stream = 3 * index as u64 + if part == Part::Train { 1 } else { 2 };
        let mut draws = Draws::new(self.config.seed, stream);
        for (picture, label) in pixels.chunks_exact_mut(PIXELS).zip(labels) {
            *label = draws.below(10) as u8;
            hand.write(*label, &mut draws, canvas, picture);
        }
    }
}

/// One split of a population of synthetic writers, drawn client by client when asked.
#[derive(Clone, Debug)]
pub struct SyntheticPopulation {
    population: Arc<Population>,
    part: Part,
}

impl SyntheticPopulation {
    /// Where it came from, in the words of a record.
    #[must_use]
    pub fn name(&self) -> String {
        self.population.config.origin().name
    }

    fn sizes(&self) -> &[u8] {
        match self.part {
            Part::Train => &self.population.sizes.train,
            Part::Test => &self.population.sizes.test,
        }
    }
}

impl FederatedData for SyntheticPopulation {
    fn num_clients(&self) -> usize {
        self.population.config.clients
    }

    fn client_id(&self, index: usize) -> Cow<'_, str> {
        Cow::Owned(self.population.id(index).into_string())
    }

    fn num_examples(&self, index: usize) -> usize {
        usize::from(self.sizes()[index])
    }

    fn client(&self, index: usize) -> Examples<'_> {
        let size = self.num_examples(index);
        let (mut pixels, mut labels) = (vec![0; size * PIXELS], vec![0; size]);
        let hand = self.population.hand(index);
        let canvas = &mut Canvas::new();
        self.population.fill(index, self.part, &hand, canvas, &mut pixels, &mut labels);
        Examples::from_bytes(pixels, labels, PIXELS)
    }

    fn width(&self) -> usize {
        PIXELS
    }

    fn classes(&self) -> usize {
        Variant::DigitsOnly.classes()
    }

    fn content(&self) -> Option<ContentDigest> {
        let SyntheticWriters { seed, clients } = self.population.config;
        let part = match self.part {
            Part::Train => "train",
            Part::Test => "test",
        };
        let recipe = format!("synthetic writers {DRAWING} {seed} {clients} {part}");
        Some(ContentDigest::of_recipe(&recipe))
    }
}

/// A split that is still to be drawn.
struct Blank {
    offsets: Vec<usize>,
    pixels: Vec<u8>,
    labels: Vec<u8>,
}

impl Blank {
    fn new(sizes: &[u8]) -> Self {
        let mut offsets = Vec::with_capacity(sizes.len() + 1);
        let mut total = 0;
        offsets.push(0);
        for &size in sizes {
            total += usize::from(size);
            offsets.push(total);
        }
        Self { offsets, pixels: vec![0; total * PIXELS], labels: vec![0; total] }
    }

    /// Each client's share of pixels and labels.
    fn clients(&mut self, sizes: &[u8]) -> Vec<(&mut [u8], &mut [u8])> {
        let (mut pixels, mut labels) = (&mut self.pixels[..], &mut self.labels[..]);
        sizes
            .iter()
            .map(|&size| {
                let size = usize::from(size);
                let (ours, rest) = std::mem::take(&mut pixels).split_at_mut(size * PIXELS);
                pixels = rest;
                let (our_labels, rest) = std::mem::take(&mut labels).split_at_mut(size);
                labels = rest;
                (ours, our_labels)
            })
            .collect()
    }

    fn into_split(self, ids: Vec<Box<str>>) -> Result<Split, DataError> {
        Split::from_parts(
            ids,
            self.offsets,
            Store::Bytes(Buffer::Owned(self.pixels)),
            Buffer::Owned(self.labels),
            PIXELS,
            Variant::DigitsOnly.classes(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawn_at_once_or_when_asked_it_is_the_same() {
        let writers = SyntheticWriters { seed: 5, clients: 9 };
        let data = writers.dataset().expect("nine writers");
        for (part, split) in [(Part::Train, &data.train), (Part::Test, &data.test)] {
            let population = writers.population(part).expect("nine writers");
            for index in 0..9 {
                assert_eq!(population.client_id(index), split.client_id(index));
                assert_eq!(population.num_examples(index), split.num_examples(index));
                assert_eq!(population.client(index), split.client(index));
            }
        }
    }

    #[test]
    fn seeds_differ() {
        let digest = |seed| {
            SyntheticWriters { seed, clients: 2 }.dataset().expect("two writers").source.digest
        };
        assert_eq!(digest(1), digest(1));
        assert_ne!(digest(1), digest(2));
    }

    #[test]
    fn the_number_of_clients_is_checked() {
        let of = |clients| SyntheticWriters { seed: 0, clients };
        assert!(matches!(of(0).dataset(), Err(DataError::Parameter { .. })));
        assert!(matches!(of(100_001).dataset(), Err(DataError::Parameter { .. })));
        assert!(of(0).population(Part::Test).is_err());
    }

    #[test]
    fn paper_is_white_and_ink_is_dark() {
        let data = SyntheticWriters { seed: 0, clients: 20 }.dataset().expect("twenty writers");
        let Store::Bytes(pixels) = data.train.store() else { panic!("bytes") };
        let white = pixels.iter().filter(|&&pixel| pixel == 255).count() as f64;
        let dark = pixels.iter().filter(|&&pixel| pixel < 64).count() as f64;
        let all = pixels.len() as f64;
        assert!(white / all > 0.6, "{}", white / all);
        assert!((0.02..0.3).contains(&(dark / all)), "{}", dark / all);
    }
}
