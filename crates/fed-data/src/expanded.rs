//! A larger population from a smaller one: every client once more under a few affine maps.
//!
//! The idea is TFF's "infinite EMNIST": each client becomes `copies` clients. Copy 0 is the client
//! itself; every other copy applies one map, the same to all of its pictures, drawn from the
//! client's id and the copy's number. It shows what a larger population buys in privacy, where
//! no more people are to be had. Copies of a person are not independent people: a guarantee for one
//! copy is no guarantee for the person behind `copies` of them.
//!
//! A map turns by up to ±20 degrees, then shears (`y += s·x`, `s` up to ±0.2), scales each axis by
//! a factor log-uniform in `0.8..=1.25`, all about the picture's middle, and shifts each axis by up
//! to ±5 pixels. Ink is sampled bilinearly, beyond the picture there is paper, and the result is
//! rounded to a byte.

use std::borrow::Cow;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};

use crate::digest::ContentDigest;
use crate::error::DataError;
use crate::examples::Examples;
use crate::federated::FederatedData;

const SIDE: usize = 28;
const PIXELS: usize = SIDE * SIDE;
const MIDDLE: f32 = 13.5;
/// The logarithm of 1.25.
const LN_SCALE: f64 = 0.223_143_551_314_209_76;
/// Twenty degrees.
const TURN: f64 = std::f64::consts::PI / 9.0;

/// `copies` clients for every client of another population, made when they are asked for.
///
/// The id of a copy is the client's, `_`, and the copy's number, padded with zeros.
#[derive(Clone, Debug)]
pub struct Expanded<D> {
    data: D,
    copies: usize,
    digits: usize,
}

impl<D: FederatedData> Expanded<D> {
    /// Expands `data`.
    ///
    /// # Errors
    /// [`DataError::Parameter`] if `copies` is 0, or if the pictures are not 28 by 28.
    ///
    /// # Examples
    /// ```
    /// use fed_data::{Expanded, FederatedData, SyntheticWriters};
    ///
    /// let few = SyntheticWriters { seed: 0, clients: 4 }.dataset()?;
    /// let many = Expanded::new(few.train, 10)?;
    /// assert_eq!(many.num_clients(), 40);
    /// assert_eq!(many.client_id(39), "writer_0003_9");
    /// # Ok::<(), fed_data::DataError>(())
    /// ```
    pub fn new(data: D, copies: usize) -> Result<Self, DataError> {
        let parameter = |parameter, value: usize, range| {
            Err(DataError::Parameter { parameter, value: value.to_string(), range })
        };
        if copies == 0 || data.num_clients().checked_mul(copies).is_none() {
            return parameter("copies", copies, "at least 1, and not beyond counting");
        }
        if data.width() != PIXELS {
            return parameter("width", data.width(), "784, to be turned as pictures of 28 by 28");
        }
        let digits = (copies - 1).to_string().len();
        Ok(Self { data, copies, digits })
    }

    /// The population that was expanded.
    pub fn original(&self) -> &D {
        &self.data
    }
}

impl<D: FederatedData> FederatedData for Expanded<D> {
    fn num_clients(&self) -> usize {
        self.data.num_clients() * self.copies
    }

    fn client_id(&self, index: usize) -> Cow<'_, str> {
        let (client, copy) = (index / self.copies, index % self.copies);
        Cow::Owned(format!("{}_{copy:0width$}", self.data.client_id(client), width = self.digits))
    }

    fn num_examples(&self, index: usize) -> usize {
        self.data.num_examples(index / self.copies)
    }

    fn client(&self, index: usize) -> Examples<'_> {
        let (client, copy) = (index / self.copies, index % self.copies);
        let examples = self.data.client(client);
        if copy == 0 {
            return examples;
        }
        let map = Map::draw(&self.data.client_id(client), copy as u64);
        let mut pixels = vec![0; examples.len() * PIXELS];
        let mut ink = [0.0; PIXELS];
        for (row, out) in pixels.chunks_exact_mut(PIXELS).enumerate() {
            examples.copy_row(row, &mut ink);
            ink.iter_mut().for_each(|value| *value = 1.0 - *value);
            map.apply(&ink, out);
        }
        Examples::from_bytes(pixels, examples.labels().to_vec(), PIXELS)
    }

    fn width(&self) -> usize {
        PIXELS
    }

    fn classes(&self) -> usize {
        self.data.classes()
    }

    fn content(&self) -> Option<ContentDigest> {
        Some(self.data.content()?.made_into(&format!("expanded {}", self.copies)))
    }
}

/// Where a pixel of the copy comes from: `from = inverse · (to − middle − shift) + middle`.
struct Map {
    inverse: [[f32; 2]; 2],
    shift: [f32; 2],
}

impl Map {
    /// The map of copy `copy` of the client `id`.
    fn draw(id: &str, copy: u64) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(id.as_bytes());
        let mut rng = ChaCha8Rng::from_seed(hasher.finalize().into());
        rng.set_stream(copy);
        // Uniform in ±1.
        let mut draw = || f64::from(rng.next_u32()) / f64::from(u32::MAX / 2) - 1.0;
        let turn = TURN * draw();
        let shear = 0.2 * draw();
        let (wide, high) = (exponential(LN_SCALE * draw()), exponential(LN_SCALE * draw()));
        let shift = [draw(), draw()].map(|share| (5.0 * share) as f32);
        Self::new(turn, shear, [wide, high], shift)
    }

    fn new(turn: f64, shear: f64, scale: [f64; 2], shift: [f32; 2]) -> Self {
        // The map forwards is scale · shear · turn, all about the middle.
        let (sine, cosine) = (sine(turn), cosine(turn));
        let forwards = [
            [scale[0] * cosine, -scale[0] * sine],
            [scale[1] * (sine + shear * cosine), scale[1] * (cosine - shear * sine)],
        ];
        let [[a, b], [c, d]] = forwards;
        let one = 1.0 / (a * d - b * c);
        let inverse = [[d * one, -b * one], [-c * one, a * one]];
        Self { inverse: inverse.map(|row| row.map(|value| value as f32)), shift }
    }

    /// Maps a picture of ink (0 for none); writes paper (255) and ink (0).
    fn apply(&self, ink: &[f32; PIXELS], out: &mut [u8]) {
        let at = |x: i32, y: i32| {
            let inside = (0..SIDE as i32).contains(&x) && (0..SIDE as i32).contains(&y);
            if inside { ink[y as usize * SIDE + x as usize] } else { 0.0 }
        };
        for (pixel, out) in out.iter_mut().enumerate() {
            let x = (pixel % SIDE) as f32 - MIDDLE - self.shift[0];
            let y = (pixel / SIDE) as f32 - MIDDLE - self.shift[1];
            let [from_x, from_y] = self.inverse.map(|row| row[0] * x + row[1] * y + MIDDLE);
            let (left, top) = (from_x.floor(), from_y.floor());
            let (right_share, low_share) = (from_x - left, from_y - top);
            let (left, top) = (left as i32, top as i32);
            let upper = at(left, top) * (1.0 - right_share) + at(left + 1, top) * right_share;
            let lower =
                at(left, top + 1) * (1.0 - right_share) + at(left + 1, top + 1) * right_share;
            let ink = upper * (1.0 - low_share) + lower * low_share;
            *out = 255 - (ink * 255.0).round() as u8;
        }
    }
}

// Series instead of the C library's functions, whose last bits differ between machines. Arguments
// are below 0.36, where the first term left out is below 1e-13.

fn sine(x: f64) -> f64 {
    let square = x * x;
    x * (1.0
        - square / 6.0
            * (1.0
                - square / 20.0
                    * (1.0 - square / 42.0 * (1.0 - square / 72.0 * (1.0 - square / 110.0)))))
}

fn cosine(x: f64) -> f64 {
    let square = x * x;
    1.0 - square / 2.0
        * (1.0
            - square / 12.0 * (1.0 - square / 30.0 * (1.0 - square / 56.0 * (1.0 - square / 90.0))))
}

fn exponential(x: f64) -> f64 {
    (1..=12).rev().fold(1.0, |sum, term| 1.0 + x / f64::from(term) * sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SyntheticWriters;

    #[test]
    fn the_series_are_the_functions() {
        for step in -100..=100 {
            let x = f64::from(step) / 100.0 * TURN;
            assert!((sine(x) - x.sin()).abs() < 1e-13);
            assert!((cosine(x) - x.cos()).abs() < 1e-13);
            assert!((exponential(x) - x.exp()).abs() < 1e-13);
        }
    }

    #[test]
    fn a_shift_moves_and_the_identity_keeps() {
        let mut ink = [0.0; PIXELS];
        ink[10 * SIDE + 12] = 1.0;
        let mut out = [0; PIXELS];
        Map::new(0.0, 0.0, [1.0, 1.0], [0.0, 0.0]).apply(&ink, &mut out);
        assert!(
            out.iter().enumerate().all(|(pixel, &value)| (value == 0) == (pixel == 10 * SIDE + 12))
        );
        Map::new(0.0, 0.0, [1.0, 1.0], [2.0, -3.0]).apply(&ink, &mut out);
        assert_eq!(out.iter().position(|&value| value == 0), Some(7 * SIDE + 14));
    }

    #[test]
    fn a_turn_turns_about_the_middle() {
        // A point right of the middle goes down (y points down) and stays as far away.
        let map = Map::new(TURN, 0.0, [1.0, 1.0], [0.0, 0.0]);
        let [[a, b], [c, d]] = map.inverse;
        let (x, y) = (10.0 * TURN.cos() as f32, 10.0 * TURN.sin() as f32);
        assert!((a * x + b * y - 10.0).abs() < 1e-4 && (c * x + d * y).abs() < 1e-4);
    }

    #[test]
    fn copies_are_the_same_people_written_differently() {
        let writers = SyntheticWriters { seed: 0, clients: 3 }.dataset().expect("three writers");
        let expanded = Expanded::new(writers.train, 12).expect("copies");
        assert_eq!(expanded.num_clients(), 36);
        assert_eq!(expanded.client_id(13), "writer_0001_01");
        assert_eq!(expanded.client(12), expanded.original().client(1), "copy 0 is the client");
        for index in 12..24 {
            let copy = expanded.client(index);
            assert_eq!(copy.labels(), expanded.original().client(1).labels());
            assert_eq!(copy.len(), expanded.num_examples(index));
            assert_eq!(copy, expanded.client(index), "whenever it is asked");
            if index > 12 {
                assert_ne!(copy.features(), expanded.client(index - 1).features());
            }
        }
    }

    #[test]
    fn what_cannot_be_expanded_is_refused() {
        let writers = || SyntheticWriters { seed: 0, clients: 1 }.dataset().expect("one writer");
        assert!(Expanded::new(writers().train, 0).is_err());
        assert!(Expanded::new(writers().train, usize::MAX).is_ok(), "one client, counted once");
        let narrow = Examples::from_bytes(vec![0; 4], vec![0], 4);
        let split = crate::Split::from_clients([("a", narrow)], 1).expect("a split");
        assert!(Expanded::new(split, 2).is_err());
    }
}
