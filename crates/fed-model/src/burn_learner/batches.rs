//! Everything that a group of clients learns from, on the device before the first step.
//!
//! A client with fewer rows in a step than another, or with none left, is padded with rows whose
//! gradient is zero. The rows of a step lie together, client after client.

use burn::tensor::{Device, Int, Tensor, TensorData};
use fed_data::{BYTE_VALUES, Examples, Features};

use crate::pixels;

/// How examples reach the device.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Transport {
    /// As `f32` in the order in which they are visited: where the device is this processor.
    Expanded,
    /// Every example once, bytes as bytes, beside the order of the visits; expanded and picked
    /// on the device.
    Packed,
}

/// What one client visits.
pub(super) struct Visits<'a> {
    pub(super) examples: &'a Examples<'a>,
    /// Rows in the order of the visits, all passes one after another.
    pub(super) rows: &'a [u32],
}

impl Visits<'_> {
    /// The visits of step `step` with `block` rows a step.
    fn step(&self, step: usize, block: usize) -> &[u32] {
        let len = self.rows.len();
        &self.rows[(step * block).min(len)..((step + 1) * block).min(len)]
    }

    /// The labels of step `step`.
    pub(super) fn labels(&self, step: usize, block: usize) -> Vec<u8> {
        self.step(step, block).iter().map(|&row| self.label(row)).collect()
    }

    fn label(&self, row: u32) -> u8 {
        self.examples.labels()[row as usize]
    }
}

/// One step of every client.
pub(super) struct Batch {
    /// `[clients, rows, in + 1]`: features, and a constant one. Padded rows are all zeros.
    pub(super) inputs: Tensor<3>,
    /// `[clients, rows, 1]`: the factor of a row's gradient, zero where it is padding.
    pub(super) scales: Tensor<3>,
    /// `[clients, rows, classes]`: the factor at the row's label, zeros elsewhere.
    pub(super) targets: Tensor<3>,
}

/// All steps of a group of clients.
pub(super) struct Batches {
    clients: usize,
    /// First row and rows a client of each step.
    spans: Vec<(usize, usize)>,
    inputs: Inputs,
    /// `[rows of all steps, 1]`.
    scales: Tensor<2>,
    /// `[rows of all steps, classes]`.
    targets: Tensor<2>,
    /// `[steps, clients]`: one where the client still has rows, else zero.
    active: Tensor<2>,
    /// Steps that every client has rows in.
    full: usize,
}

/// The inputs of all steps.
struct Inputs {
    /// One row a visit, `[rows of all steps, in + 1]`; with an `order` one row an example and a
    /// last one of zeros, `[examples + 1, in + 1]`.
    rows: Tensor<2>,
    /// Which row each visit takes.
    order: Option<Tensor<1, Int>>,
}

impl Batches {
    /// Uploads what `clients` visit, `block` rows a step; `scale` is the factor of the gradient
    /// of a row, from the client's number of visits and its rows in the step.
    pub(super) fn upload(
        clients: &[Visits<'_>],
        block: usize,
        classes: usize,
        scale: impl Fn(usize, usize) -> f32,
        transport: Transport,
        device: &Device,
    ) -> Self {
        let longest = clients.iter().map(|client| client.rows.len()).max().unwrap_or(0);
        let steps = longest.div_ceil(block);
        let mut spans = Vec::with_capacity(steps);
        let mut rows = 0;
        for step in 0..steps {
            let each = block.min(longest - step * block);
            spans.push((rows, each));
            rows += clients.len() * each;
        }
        let mut scales = vec![0.0_f32; rows];
        let mut targets = vec![0.0_f32; rows * classes];
        for (step, &(start, each)) in spans.iter().enumerate() {
            for (client, visits) in clients.iter().enumerate() {
                let first = start + client * each;
                let taken = visits.step(step, block);
                let scale = scale(visits.rows.len(), taken.len());
                for (place, &row) in (first..).zip(taken) {
                    scales[place] = scale;
                    targets[place * classes + usize::from(visits.label(row))] = scale;
                }
            }
        }
        let inputs = match transport {
            Transport::Expanded => Inputs::expanded(clients, block, &spans, rows, device),
            Transport::Packed => Inputs::picked(clients, block, &spans, rows, device),
        };
        let tensor = |values: Vec<f32>, width: usize| {
            Tensor::from_data(TensorData::new(values, [rows, width]), device)
        };
        let steps_of = |visits: &Visits<'_>| visits.rows.len().div_ceil(block);
        let active = (0..steps).flat_map(|step| {
            clients.iter().map(move |client| if steps_of(client) > step { 1.0_f32 } else { 0.0 })
        });
        let active = TensorData::new(active.collect::<Vec<f32>>(), [steps, clients.len()]);
        Self {
            clients: clients.len(),
            full: clients.iter().map(steps_of).min().unwrap_or(0),
            active: Tensor::from_data(active, device),
            spans,
            inputs,
            scales: tensor(scales, 1),
            targets: tensor(targets, classes),
        }
    }

    /// Number of steps.
    pub(super) fn len(&self) -> usize {
        self.spans.len()
    }

    /// `[clients, 1, 1]`: one where a client still has rows in this step, else zero. `None`: all
    /// have.
    pub(super) fn active(&self, step: usize) -> Option<Tensor<3>> {
        let active = || self.active.clone().slice(step..step + 1).reshape([self.clients, 1, 1]);
        (step >= self.full).then(active)
    }

    /// One step.
    pub(super) fn get(&self, step: usize) -> Batch {
        let (start, each) = self.spans[step];
        let range = start..start + self.clients * each;
        let cut = |tensor: Tensor<2>| {
            let width = tensor.dims()[1];
            tensor.reshape([self.clients, each, width])
        };
        let rows = self.inputs.rows.clone();
        let inputs = match &self.inputs.order {
            None => rows.slice(range.clone()),
            Some(order) => rows.select(0, order.clone().slice(range.clone())),
        };
        Batch {
            inputs: cut(inputs),
            scales: cut(self.scales.clone().slice(range.clone())),
            targets: cut(self.targets.clone().slice(range)),
        }
    }
}

impl Inputs {
    fn expanded(
        clients: &[Visits<'_>],
        block: usize,
        spans: &[(usize, usize)],
        rows: usize,
        device: &Device,
    ) -> Self {
        let width = clients[0].examples.width();
        let mut values = vec![0.0_f32; rows * (width + 1)];
        for (step, &(start, each)) in spans.iter().enumerate() {
            for (client, visits) in clients.iter().enumerate() {
                let first = start + client * each;
                let taken = visits.step(step, block);
                let values = &mut values[first * (width + 1)..];
                with_ones(visits.examples, taken.iter().copied(), values);
            }
        }
        let values = TensorData::new(values, [rows, width + 1]);
        Self { rows: Tensor::from_data(values, device), order: None }
    }

    fn picked(
        clients: &[Visits<'_>],
        block: usize,
        spans: &[(usize, usize)],
        rows: usize,
        device: &Device,
    ) -> Self {
        let all: Vec<&Examples<'_>> = clients.iter().map(|client| client.examples).collect();
        let examples: usize = all.iter().map(|examples| examples.len()).sum();
        // Whatever is not a visit takes the row of zeros.
        let mut order = vec![examples as i32; rows];
        for (step, &(start, each)) in spans.iter().enumerate() {
            let mut before = 0;
            for (client, visits) in clients.iter().enumerate() {
                let places = &mut order[start + client * each..];
                for (place, &row) in places.iter_mut().zip(visits.step(step, block)) {
                    *place = (before + row as usize) as i32;
                }
                before += visits.examples.len();
            }
        }
        let order = Tensor::from_data(TensorData::new(order, [rows]), device);
        Self { rows: packed_rows(&all, 1, device), order: Some(order) }
    }
}

/// The features of `examples`, each row with a constant one behind it, and `zeros` rows of zeros
/// at the end: `[examples + zeros, in + 1]`. Bytes travel as bytes.
pub(super) fn packed_rows(examples: &[&Examples<'_>], zeros: usize, device: &Device) -> Tensor<2> {
    let width = examples[0].width();
    let real: usize = examples.iter().map(|examples| examples.len()).sum();
    let rows = real + zeros;
    let bytes: Option<Vec<&[u8]>> = examples
        .iter()
        .map(|examples| match examples.features() {
            Features::Bytes(bytes) => Some(&**bytes),
            Features::Floats(_) => None,
        })
        .collect();
    let Some(bytes) = bytes else {
        let mut values = vec![0.0_f32; rows * (width + 1)];
        let mut rest = &mut values[..];
        for examples in examples {
            let (here, behind) = rest.split_at_mut(examples.len() * (width + 1));
            with_ones(examples, 0..examples.len() as u32, here);
            rest = behind;
        }
        return Tensor::from_data(TensorData::new(values, [rows, width + 1]), device);
    };
    // Four bytes a word, the first in the lowest bits; a device knows no bytes.
    let mut packed = Vec::with_capacity((rows * width).next_multiple_of(4));
    bytes.into_iter().for_each(|bytes| packed.extend_from_slice(bytes));
    packed.resize((rows * width).next_multiple_of(4), 0);
    let words: Vec<i32> =
        packed.as_chunks().0.iter().map(|word| i32::from_le_bytes(*word)).collect();
    let count = words.len();
    let words = Tensor::<1, Int>::from_data(TensorData::new(words, [count]), device);
    let byte = |place: i32| {
        let shifted = match place {
            0 => words.clone(),
            _ => words.clone().bitwise_right_shift_scalar(8 * place),
        };
        shifted.bitwise_and_scalar(255)
    };
    let bytes = Tensor::stack::<2>((0..4).map(byte).collect(), 1).reshape([4 * count]);
    // A table and not a division, which a device may round in its own way.
    let table = Tensor::<1>::from_data(TensorData::from(BYTE_VALUES), device);
    let values = table.select(0, bytes).slice(0..rows * width).reshape([rows, width]);
    let mut ones = vec![1.0_f32; rows];
    ones[real..].fill(0.0);
    let ones = Tensor::from_data(TensorData::new(ones, [rows, 1]), device);
    Tensor::cat(vec![values, ones], 1)
}

/// As [`packed_rows`] for some rows of one client, expanded here.
pub(super) fn expanded_rows(
    examples: &Examples<'_>,
    rows: std::ops::Range<usize>,
    device: &Device,
) -> Tensor<2> {
    let width = examples.width() + 1;
    let mut values = vec![0.0_f32; rows.len() * width];
    with_ones(examples, rows.start as u32..rows.end as u32, &mut values);
    Tensor::from_data(TensorData::new(values, [rows.len(), width]), device)
}

/// Writes the features of `rows`, each with a constant one behind it.
fn with_ones(examples: &Examples<'_>, rows: impl Iterator<Item = u32>, out: &mut [f32]) {
    let width = examples.width();
    for (row, out) in rows.zip(out.chunks_exact_mut(width + 1)) {
        let (one, out) = out.split_last_mut().expect("the width is positive");
        pixels::gather(examples, &[row], out);
        *one = 1.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::burn_learner::device;

    fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
        tensor.into_data().try_into_vec().expect("single precision")
    }

    #[test]
    fn packed_and_expanded_examples_give_the_same_batches() {
        let bytes = |len: usize, from: usize| {
            let pixels: Vec<u8> = (0..len * 5).map(|place| (from + place * 37) as u8).collect();
            let labels: Vec<u8> = (0..len).map(|row| (row % 3) as u8).collect();
            Examples::from_bytes(pixels, labels, 5)
        };
        let floats = Examples::from_floats(vec![0.25; 10], vec![2, 0], 5);
        let (first, second) = (bytes(7, 3), bytes(3, 200));
        for last in [&floats, &bytes(0, 0)] {
            let orders: [&[u32]; 3] = [&[6, 0, 3, 3, 5, 1, 2], &[2, 0], &[]];
            let clients: Vec<_> = [&first, &second, last]
                .into_iter()
                .zip(orders)
                .map(|(examples, rows)| Visits { examples, rows })
                .collect();
            let upload = |transport| {
                let scale = |_: usize, rows: usize| 1.0 / rows as f32;
                Batches::upload(&clients, 3, 3, scale, transport, &device::flex())
            };
            let (packed, expanded) = (upload(Transport::Packed), upload(Transport::Expanded));
            assert_eq!((packed.len(), expanded.len()), (3, 3));
            for step in 0..3 {
                let (a, b) = (packed.get(step), expanded.get(step));
                assert_eq!(a.inputs.dims(), [3, if step == 2 { 1 } else { 3 }, 6]);
                assert_eq!(values(a.inputs), values(b.inputs), "step {step}");
                assert_eq!(values(a.scales), values(b.scales));
                assert_eq!(values(a.targets), values(b.targets));
            }
        }
    }

    #[test]
    fn every_byte_keeps_its_value() {
        let bytes: Vec<u8> = (0..=255).rev().collect();
        let examples = Examples::from_bytes(bytes, vec![0; 4], 64);
        let rows = values(packed_rows(&[&examples], 0, &device::flex()));
        for (place, row) in rows.chunks_exact(65).enumerate() {
            for (column, value) in row[..64].iter().enumerate() {
                assert_eq!(value.to_bits(), BYTE_VALUES[255 - (place * 64 + column)].to_bits());
            }
            assert_eq!(row[64].to_bits(), 1.0_f32.to_bits());
        }
    }
}
