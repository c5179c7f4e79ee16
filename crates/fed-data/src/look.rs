//! A look at a data set: the range and mean of its pixels, and what makes it look like another
//! source than the one it is taken for.

use crate::dataset::Dataset;
use crate::examples::{BYTE_VALUES, Examples, Features};
use crate::split::Split;

/// Examples that are looked at when a data set is opened.
const FIRST_LOOK: usize = 1_000;

/// Range and mean of pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PixelSummary {
    /// The least value.
    pub min: f32,
    /// The largest value.
    pub max: f32,
    /// The mean of all values.
    pub mean: f64,
}

impl PixelSummary {
    /// Over all pixels of a split; all zeros if it has none.
    #[must_use]
    pub fn of(split: &Split) -> Self {
        Self::of_examples(&split.all_examples())
    }

    fn of_examples(examples: &Examples<'_>) -> Self {
        let (min, max, sum, count) = match examples.features() {
            Features::Bytes(bytes) => {
                let mut counts = [0_u64; 256];
                bytes.iter().for_each(|&byte| counts[usize::from(byte)] += 1);
                let there = |&byte: &usize| counts[byte] > 0;
                let min = (0..256).find(there).map_or(0.0, |byte| BYTE_VALUES[byte]);
                let max = (0..256).rfind(there).map_or(0.0, |byte| BYTE_VALUES[byte]);
                let values = counts.iter().zip(&BYTE_VALUES);
                let sum: f64 = values.map(|(&count, &value)| count as f64 * f64::from(value)).sum();
                (min, max, sum, bytes.len())
            }
            Features::Floats(floats) => {
                let min = floats.iter().copied().reduce(f32::min).unwrap_or_default();
                let max = floats.iter().copied().reduce(f32::max).unwrap_or_default();
                let sum = floats.iter().map(|&value| f64::from(value)).sum::<f64>();
                (min, max, sum, floats.len())
            }
        };
        Self { min, max, mean: if count == 0 { 0.0 } else { sum / count as f64 } }
    }

    /// What these pixels look like, where that is not white paper with some ink; for pictures of
    /// the kind that is read here, where 1 is paper and 0 is ink.
    #[must_use]
    pub fn oddity(&self) -> Option<String> {
        let Self { min, max, mean } = self;
        if max <= &0.5 {
            Some(format!(
                "no pixel is above {max}: is the scale another one (divided by 255 twice, say)?"
            ))
        } else if mean < &0.5 {
            Some(format!(
                "the mean pixel is {mean:.3}, more ink than paper: is 1 ink here, as in MNIST? In \
                 this layout 1 is paper: write 1 - value"
            ))
        } else if min >= &0.5 {
            Some(format!("no pixel is below {min}: there is no ink on any picture"))
        } else {
            None
        }
    }
}

/// What a user should know about a data set that was just opened.
pub(crate) fn notes(data: &Dataset) -> Vec<String> {
    let source = &data.source;
    let mut notes = Vec::new();
    if source.synthetic {
        return notes;
    }
    let file = source.files.first().and_then(|file| file.file_name()).unwrap_or_default();
    let file = file.to_string_lossy();
    let found = (source.clients, source.train_examples, source.test_examples);
    let real = source.variant.real_counts();
    if (file.starts_with("fed_emnist") || file.starts_with("emnist_all")) && found != real {
        notes.push(format!(
            "{file} has the name of federated EMNIST, but not its numbers: {} clients with {} + {} \
             examples, where the real one has {} with {} + {}",
            found.0, found.1, found.2, real.0, real.1, real.2
        ));
    }
    let all = data.train.all_examples();
    let first = all.slice(0..all.len().min(FIRST_LOOK));
    notes.extend(PixelSummary::of_examples(&first).oddity());
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(values: &[f32]) -> PixelSummary {
        let all = Examples::from_floats(values.to_vec(), vec![0], values.len());
        PixelSummary::of_examples(&all)
    }

    #[test]
    fn bytes_and_floats_have_one_summary() {
        let floats = summary(&[0.0, 1.0, 1.0, 51.0 / 255.0]);
        let bytes = Examples::from_bytes(vec![0, 255, 255, 51], vec![0], 4);
        let bytes = PixelSummary::of_examples(&bytes);
        assert_eq!((floats.min, floats.max), (0.0, 1.0));
        assert_eq!((bytes.min, bytes.max), (0.0, 1.0));
        assert!((floats.mean - 0.55).abs() < 1e-7 && (bytes.mean - 0.55).abs() < 1e-7);
    }

    #[test]
    fn other_sources_are_told_by_their_looks() {
        assert_eq!(summary(&[1.0, 1.0, 0.9, 0.0]).oddity(), None);
        let says = |values: &[f32]| summary(values).oddity().expect("odd");
        assert!(says(&[0.0, 0.0, 0.1, 1.0]).contains("1 ink"));
        assert!(says(&[0.0, 1.0 / 255.0]).contains("scale"));
        assert!(says(&[1.0, 1.0]).contains("no ink"));
    }
}
