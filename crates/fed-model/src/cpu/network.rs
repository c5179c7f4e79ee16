//! The network in one worker's workspace: forward, loss, backward, step.
//!
//! Blocks are row-major with one row an example and a stride of whole cache lines, and so are the
//! parameters while they are trained ([`layout`](super::layout)). The step of a layer is the one
//! product `W += Xᵀ·δ`, accumulated where the weights lie, the step size folded into `δ`. The
//! gradient of what went into a layer is computed transposed, so that the weights never are:
//! gradients are a tenth of their size.

use fed_data::Examples;
use pulp::Arch;

use super::aligned::Aligned;
use super::kernels;
use super::layout::{Layout, PaddedSlot, stride};
use super::products::{self, Around, Into, Matrix, Shape};
use crate::learner::Metrics;
use crate::loss;
use crate::spec::MlpSpec;

/// Weights and intermediate values of one network, in buffers that live as long as the worker.
pub(super) struct Network {
    arch: Arch,
    layout: Layout,
    /// The parameters, padded.
    weights: Aligned,
    /// What goes into the first layer, `[rows, inputs]`.
    input: Aligned,
    /// What comes out of each layer, `[rows, out]`; on the way back the gradient (times the
    /// step's scale) with respect to what came out before bias and ReLU took effect.
    outputs: Vec<Aligned>,
    /// The transpose `[out, rows]` of such a gradient.
    gradient: Aligned,
    /// The transpose `[in, rows]` of the gradient with respect to what went into that layer.
    delta: Aligned,
    /// Gradient or velocity, padded; empty until some work needs it.
    accumulator: Aligned,
    /// What is handed out, `dim` long.
    flat: Vec<f32>,
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
    pub(super) fn new(spec: &MlpSpec, arch: Arch) -> Self {
        let layout = Layout::new(spec);
        Self {
            arch,
            weights: Aligned::zeros(layout.len()),
            input: Aligned::default(),
            outputs: layout.slots().iter().map(|_| Aligned::default()).collect(),
            gradient: Aligned::default(),
            delta: Aligned::default(),
            accumulator: Aligned::default(),
            flat: vec![0.0; spec.dim()],
            labels: Vec::new(),
            layout,
        }
    }

    /// Takes over `params`.
    pub(super) fn set_weights(&mut self, params: &[f32]) {
        self.layout.spread(params, &mut self.weights);
    }

    /// The weights as they are.
    pub(super) fn weights(&mut self) -> &[f32] {
        self.layout.flatten(&self.weights, &mut self.flat);
        &self.flat
    }

    /// Gradient or velocity.
    pub(super) fn accumulator(&mut self) -> &[f32] {
        self.layout.flatten(&self.accumulator, &mut self.flat);
        &self.flat
    }

    /// Sets gradient or velocity to zero.
    pub(super) fn clear_accumulator(&mut self) {
        self.accumulator.grow(self.weights.len());
        self.accumulator.fill(0.0);
    }

    /// Makes room for blocks of `rows` examples.
    pub(super) fn reserve(&mut self, rows: usize) {
        let slots = self.layout.slots();
        self.input.grow(rows * slots[0].flat.inputs);
        for (output, slot) in self.outputs.iter_mut().zip(slots) {
            output.grow(rows * slot.stride);
        }
        if slots.len() > 1 {
            let widest = slots.iter().map(|slot| slot.flat.outputs).max().unwrap_or(0);
            self.gradient.grow(widest * stride(rows));
            self.delta.grow(widest * stride(rows));
        }
    }

    /// Reads the examples `rows`, for which there is room.
    pub(super) fn load(&mut self, examples: &Examples<'_>, rows: &[u32]) {
        let len = rows.len() * examples.width();
        kernels::gather(self.arch, examples, rows, &mut self.input[..len]);
        self.labels.clear();
        self.labels.extend(rows.iter().map(|&row| examples.labels()[row as usize]));
    }

    /// Loss and accuracy on the loaded examples.
    pub(super) fn evaluate(&mut self) -> Metrics {
        self.forward();
        let (slot, logits) = self.logits();
        let (stride, classes) = (slot.stride, slot.flat.outputs);
        loss::measure(&logits[..self.labels.len() * stride], stride, &self.labels, classes)
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
        let slot = self.layout.slots().last().expect("a network has a layer");
        let logits = self.outputs.last_mut().expect("a network has a layer");
        let metrics = loss::measure_and_differentiate(
            &mut logits[..self.labels.len() * slot.stride],
            slot.stride,
            &self.labels,
            slot.flat.outputs,
            scale,
        );
        self.backward(step);
        metrics
    }

    fn logits(&self) -> (&PaddedSlot, &[f32]) {
        let slot = self.layout.slots().last().expect("a network has a layer");
        (slot, self.outputs.last().expect("a network has a layer"))
    }

    /// Outputs of every layer for the loaded examples.
    fn forward(&mut self) {
        let rows = self.labels.len();
        let slots = self.layout.slots();
        for (layer, slot) in slots.iter().enumerate() {
            let (before, after) = self.outputs.split_at_mut(layer);
            let (kernel, bias) = self.weights[slot.all()].split_at(slot.kernel_len());
            products::multiply(
                self.arch,
                Into { values: &mut after[0], stride: slot.stride },
                input_of(slots, layer, &self.input, before),
                Matrix { values: kernel, stride: slot.stride },
                Shape { rows, depth: slot.flat.inputs, columns: slot.flat.outputs },
                Around { bias: Some(bias), relu: layer + 1 < slots.len() },
            );
        }
    }

    /// From the gradient of the logits back to the first layer, stepping each layer on the way.
    fn backward(&mut self, step: &Step<'_>) {
        let (arch, rows, row_stride) = (self.arch, self.labels.len(), stride(self.labels.len()));
        let slots = self.layout.slots();
        for (layer, slot) in slots.iter().enumerate().rev() {
            let (before, after) = self.outputs.split_at_mut(layer);
            let (inputs, outputs) = (slot.flat.inputs, slot.flat.outputs);
            let gradient = &after[0][..rows * slot.stride];
            // The gradient below needs the weights from before the step.
            if layer > 0 {
                let into = (&mut self.gradient[..], row_stride);
                kernels::transpose(arch, (gradient, slot.stride), (rows, outputs), into);
                products::multiply(
                    arch,
                    Into { values: &mut self.delta, stride: row_stride },
                    Matrix { values: &self.weights[slot.all()], stride: slot.stride },
                    Matrix { values: &self.gradient, stride: row_stride },
                    Shape { rows: inputs, depth: outputs, columns: rows },
                    Around { bias: None, relu: false },
                );
            }
            let into_weights = prepare(step, slot, &mut self.weights, &mut self.accumulator);
            let target = if into_weights { &mut self.weights } else { &mut self.accumulator };
            let (kernel, bias) = target[slot.all()].split_at_mut(slot.kernel_len());
            products::add_transposed(
                arch,
                Into { values: kernel, stride: slot.stride },
                input_of(slots, layer, &self.input, before),
                Matrix { values: gradient, stride: slot.stride },
                Shape { rows: inputs, depth: rows, columns: outputs },
            );
            kernels::add_rows(arch, bias, gradient);
            finish(step, slot, &mut self.weights, &self.accumulator);
            if let Some(outputs) = before.last_mut() {
                let below = slots[layer - 1].stride;
                let (outputs, delta) = ((&mut outputs[..], below), (&self.delta[..], row_stride));
                kernels::relu_gradient(arch, outputs, (rows, inputs), delta);
            }
        }
    }
}

/// What goes into a layer: the examples, or what comes out of the layer before it.
fn input_of<'a>(
    slots: &[PaddedSlot],
    layer: usize,
    input: &'a [f32],
    before: &'a [Aligned],
) -> Matrix<'a> {
    match before.last() {
        None => Matrix { values: input, stride: slots[0].flat.inputs },
        Some(outputs) => Matrix { values: outputs, stride: slots[layer - 1].stride },
    }
}

/// What a step does to a layer before the gradient is added; whether that goes into the weights.
fn prepare(
    step: &Step<'_>,
    slot: &PaddedSlot,
    weights: &mut [f32],
    accumulator: &mut [f32],
) -> bool {
    let Step::Descend(descent) = step else { return false };
    let (width, flat) = (slot.flat.outputs, slot.flat.all());
    let initial = descent.initial[flat.clone()].chunks_exact(width);
    let weights = weights[slot.all()].chunks_exact_mut(slot.stride);
    if descent.momentum > 0.0 {
        let velocities = accumulator[slot.all()].chunks_exact_mut(slot.stride);
        for ((velocities, weights), initial) in velocities.zip(weights).zip(initial) {
            for ((velocity, weight), initial) in velocities.iter_mut().zip(weights).zip(initial) {
                *velocity = descent.momentum * *velocity + descent.proximal * (*weight - initial);
            }
        }
        return false;
    }
    let pull = descent.rate * descent.proximal;
    let (factor, direction) = descent.drift.unwrap_or((0.0, descent.initial));
    let factor = descent.rate * factor;
    if pull.abs() > 0.0 || descent.drift.is_some() {
        let direction = direction[flat].chunks_exact(width);
        for ((weights, initial), direction) in weights.zip(initial).zip(direction) {
            for ((weight, initial), direction) in weights.iter_mut().zip(initial).zip(direction) {
                *weight -= pull * (*weight - initial);
                if descent.drift.is_some() {
                    *weight -= factor * direction;
                }
            }
        }
    }
    true
}

/// What a step does to a layer once the gradient was added.
fn finish(step: &Step<'_>, slot: &PaddedSlot, weights: &mut [f32], accumulator: &[f32]) {
    if let Step::Descend(Descent { rate, momentum, .. }) = *step
        && momentum > 0.0
    {
        for (weight, velocity) in weights[slot.all()].iter_mut().zip(&accumulator[slot.all()]) {
            *weight -= rate * velocity;
        }
    }
}
