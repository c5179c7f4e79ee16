//! A split that is being read: memory for all examples, filled client by client.

use std::path::{Path, PathBuf};

use super::PIXELS;
use crate::buffer::Buffer;
use crate::error::{DataError, shown};
use crate::examples::BYTE_VALUES;
use crate::memory;
use crate::split::{Split, Store, wrong_id};

/// Collects the examples of known numbers of clients, in any order of clients.
///
/// Pixels are kept as bytes until the first one that no byte stands for; then everything becomes
/// `f32`. Memory is that of the finished split (at the change-over, a quarter more).
pub(crate) struct Filling {
    path: PathBuf,
    split: String,
    classes: usize,
    ids: Vec<Box<str>>,
    offsets: Vec<usize>,
    filled: Vec<usize>,
    pixels: Pixels,
    labels: Vec<u8>,
}

enum Pixels {
    Bytes(Vec<u8>),
    Floats(Vec<f32>),
}

impl Filling {
    /// Room for `clients`: sorted ids, each with its number of examples. Whether the file can hold
    /// as many is for its reader to say.
    pub(crate) fn new(
        path: &Path,
        split: &str,
        classes: usize,
        clients: Vec<(Box<str>, usize)>,
        allow_empty_clients: bool,
    ) -> Result<Self, DataError> {
        let wrong = |detail: String| {
            let detail = format!("{detail} in split `{split}`");
            Err(DataError::corrupt(path, "set of clients", detail))
        };
        if let Some((id, what)) = clients.iter().find_map(|(id, _)| Some((id, wrong_id(id)?))) {
            return wrong(format!("client `{}` has an id that {what}", shown(id)));
        }
        if let Some(pair) = clients.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return wrong(format!("client `{}` occurs twice", pair[0].0));
        }
        if let Some((client, _)) = clients.iter().find(|(_, count)| *count == 0)
            && !allow_empty_clients
        {
            return Err(DataError::EmptyClient {
                path: path.to_owned(),
                split: split.to_owned(),
                client: client.to_string(),
            });
        }
        let mut offsets = Vec::with_capacity(clients.len() + 1);
        let mut total = 0_usize;
        offsets.push(0);
        for (_, count) in &clients {
            total = total.saturating_add(*count);
            offsets.push(total);
        }
        if total == 0 {
            return wrong("no client has an example".to_owned());
        }
        let pixels = reserve(total.saturating_mul(PIXELS), split)?;
        let labels = reserve(total, split)?;
        Ok(Self {
            path: path.to_owned(),
            split: split.to_owned(),
            classes,
            filled: offsets[..clients.len()].to_vec(),
            ids: clients.into_iter().map(|(id, _)| id).collect(),
            offsets,
            pixels: Pixels::Bytes(pixels),
            labels,
        })
    }

    /// The clients' ids, sorted.
    pub(crate) fn ids(&self) -> &[Box<str>] {
        &self.ids
    }

    /// Adds the next examples of client `client`: labels, and as many pictures.
    pub(crate) fn push(
        &mut self,
        client: usize,
        labels: &[i64],
        pixels: &[f32],
    ) -> Result<(), DataError> {
        let start = self.filled[client];
        let end = start + labels.len();
        if end > self.offsets[client + 1] || pixels.len() != labels.len() * PIXELS {
            return Err(DataError::corrupt(
                &self.path,
                "set of examples",
                format!(
                    "client `{}` of split `{}` has more examples than were counted",
                    self.ids[client], self.split
                ),
            ));
        }
        for (example, &label) in (start..end).zip(labels) {
            if !(0..self.classes as i64).contains(&label) {
                return Err(DataError::Label {
                    path: self.path.clone(),
                    split: self.split.clone(),
                    client: self.ids[client].to_string(),
                    example: example - self.offsets[client],
                    label,
                    classes: self.classes,
                });
            }
            self.labels[example] = label as u8;
        }
        let range = start * PIXELS..end * PIXELS;
        let mut exact = true;
        if let Pixels::Bytes(bytes) = &mut self.pixels {
            exact = to_bytes(pixels, &mut bytes[range.clone()]);
        }
        // What is not the value of a byte may be anything.
        if (!exact || matches!(self.pixels, Pixels::Floats(_)))
            && let Some(at) = pixels.iter().position(|value| !(0.0..=1.0).contains(value))
        {
            return Err(DataError::Pixel {
                path: self.path.clone(),
                split: self.split.clone(),
                client: self.ids[client].to_string(),
                example: start + at / PIXELS - self.offsets[client],
                pixel: at % PIXELS,
                value: pixels[at],
            });
        }
        if let Pixels::Bytes(bytes) = &mut self.pixels
            && !exact
        {
            let mut floats = reserve::<f32>(bytes.len(), &self.split)?;
            for (float, &byte) in floats.iter_mut().zip(&*bytes) {
                *float = BYTE_VALUES[usize::from(byte)];
            }
            self.pixels = Pixels::Floats(floats);
        }
        if let Pixels::Floats(floats) = &mut self.pixels {
            floats[range].copy_from_slice(pixels);
        }
        self.filled[client] = end;
        Ok(())
    }

    /// The split, if every client got all its examples.
    pub(crate) fn finish(self) -> Result<Split, DataError> {
        let missing = self.filled.iter().zip(&self.offsets[1..]).position(|(has, end)| has != end);
        if let Some(client) = missing {
            return Err(DataError::corrupt(
                &self.path,
                "set of examples",
                format!(
                    "client `{}` of split `{}` has {} examples, but {} were counted",
                    self.ids[client],
                    self.split,
                    self.filled[client] - self.offsets[client],
                    self.offsets[client + 1] - self.offsets[client]
                ),
            ));
        }
        let store = match self.pixels {
            Pixels::Bytes(bytes) => Store::Bytes(Buffer::Owned(bytes)),
            Pixels::Floats(floats) => Store::Floats(Buffer::Owned(floats)),
        };
        let labels = Buffer::Owned(self.labels);
        Split::from_parts(self.ids, self.offsets, store, labels, PIXELS, self.classes)
    }
}

/// Zeroed memory, or an error instead of an abort.
fn reserve<T: bytemuck::Zeroable + Clone>(len: usize, split: &str) -> Result<Vec<T>, DataError> {
    memory::zeroed(len, || format!("split `{split}`"))
}

/// Writes the bytes that stand for `pixels`; `false` if some pixel is not bit for bit a byte / 255.
pub(crate) fn to_bytes(pixels: &[f32], out: &mut [u8]) -> bool {
    let mut exact = true;
    for (out, &pixel) in out.iter_mut().zip(pixels) {
        // A cast saturates and turns NaN into 0, which the comparison of bits then catches.
        let byte = (pixel * 255.0 + 0.5) as u8;
        exact &= BYTE_VALUES[usize::from(byte)].to_bits() == pixel.to_bits();
        *out = byte;
    }
    exact
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filling(counts: &[(&str, usize)]) -> Filling {
        let clients = counts.iter().map(|&(id, count)| (id.into(), count)).collect();
        Filling::new(Path::new("x.sqlite"), "train", 10, clients, true).expect("room")
    }

    #[test]
    fn every_byte_survives_and_nothing_else_passes() {
        let mut out = [0];
        for byte in 0..=255_u8 {
            let value = BYTE_VALUES[usize::from(byte)];
            assert!(to_bytes(&[value], &mut out));
            assert_eq!(out, [byte]);
            assert!(!to_bytes(&[f32::from_bits(value.to_bits() + 1)], &mut out), "{byte}");
        }
        for value in [f32::NAN, f32::INFINITY, -0.0, -1.0, 2.0, 0.5] {
            assert!(!to_bytes(&[value], &mut out), "{value}");
        }
    }

    #[test]
    fn one_odd_pixel_keeps_all_values_exact() {
        let mut filling = filling(&[("a", 1), ("b", 1)]);
        filling.push(1, &[3], &[51.0 / 255.0; PIXELS]).expect("in range");
        let mut odd = [1.0; PIXELS];
        odd[100] = 0.333;
        filling.push(0, &[4], &odd).expect("in range");
        let split = filling.finish().expect("full");
        assert!(!split.is_eight_bit());
        let mut row = [0.0; PIXELS];
        split.all_examples().copy_row(0, &mut row);
        assert!(row.iter().zip(&odd).all(|(a, b)| a.to_bits() == b.to_bits()));
        split.all_examples().copy_row(1, &mut row);
        assert!(row.iter().all(|value| value.to_bits() == (51.0_f32 / 255.0).to_bits()));
    }

    #[test]
    fn what_is_no_pixel_is_refused_with_its_place() {
        for value in [f32::NAN, f32::INFINITY, -0.1, 1.000_1, 255.0] {
            for floats_before in [false, true] {
                let mut filling = filling(&[("a", 1), ("b", 2)]);
                let before = if floats_before { 0.333 } else { 1.0 };
                filling.push(0, &[3], &[before; PIXELS]).expect("in range");
                let mut two = [0.0; 2 * PIXELS];
                two[PIXELS + 27] = value;
                let error = filling.push(1, &[3, 3], &two).expect_err("out of range");
                let DataError::Pixel { client, example, pixel, .. } = &error else {
                    panic!("{error}");
                };
                assert_eq!((&**client, *example, *pixel), ("b", 1, 27), "{error}");
            }
        }
    }

    #[test]
    fn ids_that_are_none() {
        for (ids, says) in [
            (["a", "a"], "occurs twice"),
            (["", "a"], "is empty"),
            (["a\nb", "c"], "control character"),
            (["a", "b\u{1b}[2J"], "control character"),
        ] {
            let clients = ids.map(|id| (id.into(), 1)).to_vec();
            let error = Filling::new(Path::new("x"), "train", 10, clients, false).err();
            let text = error.expect("refused").to_string();
            assert!(text.contains(says) && !text.contains(char::is_control), "{text}");
        }
        let clients = vec![("a".into(), 0)];
        let error = Filling::new(Path::new("x"), "train", 10, clients, true).err();
        assert!(error.expect("refused").to_string().contains("no client has an example"));
    }

    #[test]
    fn labels_and_counts_are_checked() {
        let mut some = filling(&[("a", 1), ("b", 2)]);
        let error = some.push(1, &[10], &[0.0; PIXELS]).expect_err("ten classes").to_string();
        assert!(error.contains("client `b`") && error.contains("label 10"), "{error}");
        assert!(some.push(0, &[-1], &[0.0; PIXELS]).is_err());
        some.push(0, &[1], &[0.0; PIXELS]).expect("in range");
        assert!(some.push(0, &[1], &[0.0; PIXELS]).is_err(), "one too many");
        let error = some.finish().expect_err("b lacks two").to_string();
        assert!(error.contains("client `b`") && error.contains("0 examples"), "{error}");
    }

    #[test]
    fn an_absurd_count_is_an_error_not_an_abort() {
        let clients = vec![("a".into(), usize::MAX / 4)];
        let error = Filling::new(Path::new("x"), "train", 10, clients, false).err();
        assert!(matches!(error, Some(DataError::Memory { .. })));
    }
}
