//! The network in one worker's workspace: forward, loss, backward, step.
//!
//! Matrices are row-major with one row an example, so the transpose of a block is what a
//! column-major library sees: a layer's output `[rows, out]` is `Wᵀ·Xᵀ` with both operands read
//! along their storage, and the step of a layer is the one product `W += Xᵀ·δ`, accumulated where
//! the weights lie, the step size folded into `δ`.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use fed_data::Examples;
use pulp::Arch;

use super::aligned::Aligned;
use super::kernels;
use crate::learner::Metrics;
use crate::loss;
use crate::spec::{LayerSlot, MlpSpec};

/// Weights and intermediate values of one network, in buffers that live as long as the worker.
pub(super) struct Network {
    arch: Arch,
    slots: Vec<LayerSlot>,
    /// The parameters, `dim` long.
    weights: Aligned,
    /// What goes into the first layer, `[rows, inputs]`.
    input: Aligned,
    /// What comes out of each layer, `[rows, out]`; on the way back the gradient (times the
    /// step's scale) with respect to what came out before bias and ReLU took effect.
    outputs: Vec<Aligned>,
    /// Gradient with respect to what went into a layer.
    delta: Aligned,
    /// Gradient or velocity, `dim` long; empty until some work needs it.
    accumulator: Aligned,
    labels: Vec<u8>,
}

/// What a step does with the gradient `g` of the batch mean at the weights `w`.
#[derive(Clone, Copy)]
pub(super) enum Step<'a> {
    /// Adds the gradient times `scale` to the accumulator and leaves the weights.
    Accumulate {
        /// Factor of the gradient of the sum over the batch's examples.
        scale: f32,
    },
    /// `w −= rate · (g + proximal · (w − initial) + drift)`, with momentum (over everything but
    /// the drift) where that is not 0.
    Descend(Descent<'a>),
}

/// A step of gradient descent. See [`Step::Descend`].
#[derive(Clone, Copy)]
pub(super) struct Descent<'a> {
    pub(super) rate: f32,
    pub(super) momentum: f32,
    pub(super) proximal: f32,
    pub(super) initial: &'a [f32],
    /// Factor and direction of a constant term.
    pub(super) drift: Option<(f32, &'a [f32])>,
}

impl Network {
    pub(super) fn new(spec: &MlpSpec) -> Self {
        let slots: Vec<_> = spec.slots().collect();
        Self {
            arch: Arch::new(),
            weights: Aligned::zeros(spec.dim()),
            input: Aligned::default(),
            outputs: slots.iter().map(|_| Aligned::default()).collect(),
            delta: Aligned::default(),
            accumulator: Aligned::default(),
            labels: Vec::new(),
            slots,
        }
    }

    /// Takes over `params`.
    pub(super) fn set_weights(&mut self, params: &[f32]) {
        self.weights.copy_from_slice(params);
    }

    /// The weights as they are.
    pub(super) fn weights(&self) -> &[f32] {
        &self.weights
    }

    /// Gradient or velocity.
    pub(super) fn accumulator(&self) -> &[f32] {
        &self.accumulator
    }

    /// Sets gradient or velocity to zero.
    pub(super) fn clear_accumulator(&mut self) {
        self.accumulator.grow(self.weights.len());
        self.accumulator.fill(0.0);
    }

    /// Makes room for blocks of `rows` examples.
    pub(super) fn reserve(&mut self, rows: usize) {
        self.input.grow(rows * self.slots[0].inputs);
        for (output, slot) in self.outputs.iter_mut().zip(&self.slots) {
            output.grow(rows * slot.outputs);
        }
        let widest = self.slots.iter().skip(1).map(|slot| slot.inputs).max();
        self.delta.grow(rows * widest.unwrap_or(0));
    }

    /// Reads the examples `rows`, for which there is room.
    pub(super) fn load(&mut self, examples: &Examples<'_>, rows: &[u32]) {
        let len = rows.len() * self.slots[0].inputs;
        kernels::gather(self.arch, examples, rows, &mut self.input[..len]);
        self.labels.clear();
        self.labels.extend(rows.iter().map(|&row| examples.labels()[row as usize]));
    }

    /// Loss and accuracy on the loaded examples.
    pub(super) fn evaluate(&mut self) -> Metrics {
        self.forward();
        let (logits, classes) = self.logits();
        loss::measure(logits, &self.labels, classes)
    }

    /// One step on the loaded examples; the metrics before it.
    pub(super) fn step(&mut self, step: &Step<'_>) -> Metrics {
        self.forward();
        let scale = match *step {
            Step::Accumulate { scale } => scale,
            Step::Descend(Descent { rate, momentum, .. }) => {
                let mean = 1.0 / self.labels.len() as f32;
                // With momentum the accumulator holds the velocity; without, the product goes
                // straight into the weights, and the step size with it.
                if momentum > 0.0 { mean } else { -rate * mean }
            }
        };
        let classes = self.slots[self.slots.len() - 1].outputs;
        let rows = self.labels.len();
        let logits = self.outputs.last_mut().expect("a network has a layer");
        let metrics = loss::measure_and_differentiate(
            &mut logits[..rows * classes],
            &self.labels,
            classes,
            scale,
        );
        self.backward(step);
        metrics
    }

    fn logits(&self) -> (&[f32], usize) {
        let classes = self.slots[self.slots.len() - 1].outputs;
        let logits = self.outputs.last().expect("a network has a layer");
        (&logits[..self.labels.len() * classes], classes)
    }

    /// Outputs of every layer for the loaded examples.
    fn forward(&mut self) {
        let rows = self.labels.len();
        let last = self.slots.len() - 1;
        for (layer, slot) in self.slots.iter().enumerate() {
            let (before, after) = self.outputs.split_at_mut(layer);
            let input = before.last().unwrap_or(&self.input);
            let output = &mut after[0][..rows * slot.outputs];
            multiply(
                MatMut::from_column_major_slice_mut(output, slot.outputs, rows),
                Accum::Replace,
                MatRef::from_column_major_slice(
                    &self.weights[slot.kernel.clone()],
                    slot.outputs,
                    slot.inputs,
                ),
                MatRef::from_column_major_slice(&input[..rows * slot.inputs], slot.inputs, rows),
            );
            kernels::add_bias(self.arch, output, &self.weights[slot.bias.clone()], layer < last);
        }
    }

    /// From the gradient of the logits back to the first layer, stepping each layer on the way.
    fn backward(&mut self, step: &Step<'_>) {
        let rows = self.labels.len();
        for (layer, slot) in self.slots.iter().enumerate().rev() {
            let (before, after) = self.outputs.split_at_mut(layer);
            let gradient = &after[0][..rows * slot.outputs];
            let gradient_columns = MatRef::from_column_major_slice(gradient, slot.outputs, rows);
            // The gradient below needs the weights from before the step.
            if layer > 0 {
                let delta = &mut self.delta[..rows * slot.inputs];
                multiply(
                    MatMut::from_column_major_slice_mut(delta, slot.inputs, rows),
                    Accum::Replace,
                    MatRef::from_row_major_slice(
                        &self.weights[slot.kernel.clone()],
                        slot.inputs,
                        slot.outputs,
                    ),
                    gradient_columns,
                );
            }
            let input = before.last().unwrap_or(&self.input);
            let into_weights = prepare(step, slot, &mut self.weights, &mut self.accumulator);
            let target = if into_weights { &mut self.weights } else { &mut self.accumulator };
            let (kernel, bias) = target[slot.all()].split_at_mut(slot.kernel.len());
            multiply(
                MatMut::from_column_major_slice_mut(kernel, slot.outputs, slot.inputs),
                Accum::Add,
                gradient_columns,
                MatRef::from_row_major_slice(&input[..rows * slot.inputs], rows, slot.inputs),
            );
            kernels::add_rows(self.arch, bias, gradient);
            finish(step, slot, &mut self.weights, &self.accumulator);
            if let Some(outputs) = before.last_mut() {
                let outputs = &mut outputs[..rows * slot.inputs];
                kernels::relu_gradient(self.arch, outputs, &self.delta[..rows * slot.inputs]);
            }
        }
    }
}

/// What a step does to a layer before the gradient is added; whether that goes into the weights.
fn prepare(
    step: &Step<'_>,
    slot: &LayerSlot,
    weights: &mut [f32],
    accumulator: &mut [f32],
) -> bool {
    let Step::Descend(descent) = step else { return false };
    let range = slot.all();
    let initial = &descent.initial[range.clone()];
    let weights = &mut weights[range.clone()];
    if descent.momentum > 0.0 {
        for ((velocity, weight), initial) in accumulator[range].iter_mut().zip(weights).zip(initial)
        {
            *velocity = descent.momentum * *velocity + descent.proximal * (*weight - initial);
        }
        return false;
    }
    if descent.proximal.abs() > 0.0 {
        let pull = descent.rate * descent.proximal;
        for (weight, initial) in weights.iter_mut().zip(initial) {
            *weight -= pull * (*weight - initial);
        }
    }
    if let Some((factor, direction)) = descent.drift {
        let factor = descent.rate * factor;
        for (weight, direction) in weights.iter_mut().zip(&direction[range]) {
            *weight -= factor * direction;
        }
    }
    true
}

/// What a step does to a layer once the gradient was added.
fn finish(step: &Step<'_>, slot: &LayerSlot, weights: &mut [f32], accumulator: &[f32]) {
    if let Step::Descend(Descent { rate, momentum, .. }) = *step
        && momentum > 0.0
    {
        for (weight, velocity) in weights[slot.all()].iter_mut().zip(&accumulator[slot.all()]) {
            *weight -= rate * velocity;
        }
    }
}

/// `into (+)= left · right`, on the calling thread.
#[inline]
fn multiply(into: MatMut<'_, f32>, accum: Accum, left: MatRef<'_, f32>, right: MatRef<'_, f32>) {
    matmul(into, accum, left, right, 1.0_f32, Par::Seq);
}
