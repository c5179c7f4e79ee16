//! Where the parameters lie while they are trained: every row on cache lines of its own.
//!
//! A row of a kernel, and a bias, takes a whole and odd number of cache lines. Whole, so that no
//! vector straddles two lines or two rows; odd, so that rows do not pile up in the same few sets
//! of a cache where a width is a power of two. What lies between the rows is never read into a
//! number of the result.

use crate::spec::{LayerSlot, MlpSpec};

/// `f32` values of a cache line, and of the widest vector register.
pub(super) const LINE: usize = 16;

/// Length of a row of `width` numbers with its padding: a whole, odd number of lines.
pub(super) fn stride(width: usize) -> usize {
    LINE * (width.div_ceil(LINE) | 1)
}

/// Where one dense layer lies, padded.
#[derive(Clone, Debug)]
pub(super) struct PaddedSlot {
    /// The layer in the flat vector.
    pub(super) flat: LayerSlot,
    /// Where its kernel starts: `inputs` rows, one every [`stride`](Self::stride).
    pub(super) start: usize,
    /// From row to row.
    pub(super) stride: usize,
}

impl PaddedSlot {
    /// Kernel, then bias: one row more than inputs.
    pub(super) fn all(&self) -> std::ops::Range<usize> {
        self.start..self.start + (self.flat.inputs + 1) * self.stride
    }

    /// Length of the kernel with its padding; the bias is the row behind it.
    pub(super) fn kernel_len(&self) -> usize {
        self.flat.inputs * self.stride
    }
}

/// Where all layers lie.
pub(super) struct Layout {
    slots: Vec<PaddedSlot>,
}

impl Layout {
    pub(super) fn new(spec: &MlpSpec) -> Self {
        let mut start = 0;
        let slots = spec
            .slots()
            .map(|flat| {
                let slot = PaddedSlot { start, stride: stride(flat.outputs), flat };
                start = slot.all().end;
                slot
            })
            .collect();
        Self { slots }
    }

    /// The layers, in order.
    pub(super) fn slots(&self) -> &[PaddedSlot] {
        &self.slots
    }

    /// Length of the padded parameters.
    pub(super) fn len(&self) -> usize {
        self.slots.last().map_or(0, |slot| slot.all().end)
    }

    /// Writes flat parameters where they lie padded.
    pub(super) fn spread(&self, flat: &[f32], padded: &mut [f32]) {
        for slot in &self.slots {
            let rows = padded[slot.all()].chunks_exact_mut(slot.stride);
            let width = slot.flat.outputs;
            for (row, values) in rows.zip(flat[slot.flat.all()].chunks_exact(width)) {
                row[..width].copy_from_slice(values);
            }
        }
    }

    /// Writes padded parameters one after another.
    pub(super) fn flatten(&self, padded: &[f32], flat: &mut [f32]) {
        for slot in &self.slots {
            let rows = padded[slot.all()].chunks_exact(slot.stride);
            let width = slot.flat.outputs;
            for (row, values) in rows.zip(flat[slot.flat.all()].chunks_exact_mut(width)) {
                values.copy_from_slice(&row[..width]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_take_whole_odd_lines() {
        for (width, lines) in [(1, 1), (10, 1), (16, 1), (17, 3), (200, 13), (512, 33)] {
            assert_eq!(stride(width), lines * LINE, "{width}");
        }
    }

    #[test]
    fn spread_then_flatten_is_the_identity() {
        for widths in [vec![3, 2], vec![784, 200, 200, 10], vec![5, 16, 17, 4]] {
            let spec = MlpSpec::new(widths);
            let layout = Layout::new(&spec);
            let flat: Vec<f32> = (0..spec.dim()).map(|i| i as f32).collect();
            let mut padded = vec![f32::NAN; layout.len()];
            layout.spread(&flat, &mut padded);
            let mut back = vec![0.0; spec.dim()];
            layout.flatten(&padded, &mut back);
            assert_eq!(flat, back);
        }
    }
}
