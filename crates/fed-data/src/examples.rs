//! The examples of one client, borrowed from where they lie or owned by whoever made them.
//!
//! Features are row-major, one row an example. A source whose pixels are exact eighths of a byte
//! scale (`k / 255` in single precision, `k` whole) keeps them as bytes, a quarter of the size;
//! anything else stays `f32`. Either way a reader sees the same `f32` values.

use std::borrow::Cow;

/// The value of byte `k`: `k / 255` in single precision, so that 255 is exactly 1.
///
/// In the federated EMNIST that TFF distributes, 1 is white paper and 0 is ink.
pub static BYTE_VALUES: [f32; 256] = {
    let mut values = [0.0; 256];
    let mut byte = 0;
    while byte < 256 {
        values[byte] = byte as f32 / 255.0;
        byte += 1;
    }
    values
};

/// Feature values of some examples, row-major.
#[derive(Clone, Debug, PartialEq)]
pub enum Features<'a> {
    /// Bytes that stand for [`BYTE_VALUES`].
    Bytes(Cow<'a, [u8]>),
    /// Single-precision values as they are.
    Floats(Cow<'a, [f32]>),
}

/// Labelled examples: `len` rows of `width` features, and one class label a row.
#[derive(Clone, Debug, PartialEq)]
pub struct Examples<'a> {
    features: Features<'a>,
    labels: Cow<'a, [u8]>,
    width: usize,
}

impl<'a> Examples<'a> {
    /// Examples with byte features.
    ///
    /// # Panics
    /// If `pixels` does not hold `width` values a label.
    #[must_use]
    pub fn from_bytes(
        pixels: impl Into<Cow<'a, [u8]>>,
        labels: impl Into<Cow<'a, [u8]>>,
        width: usize,
    ) -> Self {
        let (pixels, labels) = (pixels.into(), labels.into());
        assert_eq!(pixels.len(), labels.len() * width, "{width} features an example");
        Self { features: Features::Bytes(pixels), labels, width }
    }

    /// Examples with single-precision features.
    ///
    /// # Panics
    /// If `features` does not hold `width` values a label.
    #[must_use]
    pub fn from_floats(
        features: impl Into<Cow<'a, [f32]>>,
        labels: impl Into<Cow<'a, [u8]>>,
        width: usize,
    ) -> Self {
        let (features, labels) = (features.into(), labels.into());
        assert_eq!(features.len(), labels.len() * width, "{width} features an example");
        Self { features: Features::Floats(features), labels, width }
    }

    /// Number of examples.
    #[must_use]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no example.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Features an example.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// Class labels, one an example.
    #[must_use]
    pub fn labels(&self) -> &[u8] {
        &self.labels
    }

    /// Feature values, row-major `[len, width]`.
    #[must_use]
    pub fn features(&self) -> &Features<'a> {
        &self.features
    }

    /// Writes the features of example `row` as `f32`.
    ///
    /// # Panics
    /// If `row` is not an example or `out` is not `width` long.
    #[inline]
    pub fn copy_row(&self, row: usize, out: &mut [f32]) {
        let range = row * self.width..(row + 1) * self.width;
        match &self.features {
            Features::Bytes(bytes) => {
                for (value, &byte) in out.iter_mut().zip(&bytes[range]) {
                    *value = BYTE_VALUES[usize::from(byte)];
                }
            }
            Features::Floats(floats) => out.copy_from_slice(&floats[range]),
        }
    }

    /// The examples `rows` as a view of their own.
    ///
    /// # Panics
    /// If `rows` reaches past the end.
    #[must_use]
    pub fn slice(&self, rows: std::ops::Range<usize>) -> Examples<'_> {
        let values = rows.start * self.width..rows.end * self.width;
        let features = match &self.features {
            Features::Bytes(bytes) => Features::Bytes(Cow::Borrowed(&bytes[values])),
            Features::Floats(floats) => Features::Floats(Cow::Borrowed(&floats[values])),
        };
        Examples { features, labels: Cow::Borrowed(&self.labels[rows]), width: self.width }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_floats_read_alike() {
        let bytes = Examples::from_bytes(vec![0, 51, 255, 102], vec![3, 4], 2);
        let floats =
            Examples::from_floats(vec![0.0, 51.0 / 255.0, 1.0, 102.0 / 255.0], vec![3, 4], 2);
        for row in 0..2 {
            let (mut a, mut b) = ([0.0; 2], [0.0; 2]);
            bytes.copy_row(row, &mut a);
            floats.copy_row(row, &mut b);
            assert_eq!(a.map(f32::to_bits), b.map(f32::to_bits));
        }
        assert_eq!(bytes.slice(1..2).labels(), [4]);
    }
}
