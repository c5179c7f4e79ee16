//! The network as data: widths, flat layout, initial parameters.

use std::ops::Range;

use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

/// A multi-layer perceptron: dense layers with ReLU between them and logits at the end.
///
/// Its parameters are one flat vector: for each layer in order the kernel `[in, out]`, row-major,
/// then the bias `[out]`; a layer computes `y = x·W + b`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MlpSpec {
    widths: Vec<usize>,
}

impl MlpSpec {
    /// A network with these widths: input, hidden layers (possibly none), classes.
    ///
    /// # Panics
    /// If there are fewer than two widths, one is zero, or there are more than 256 classes.
    #[must_use]
    pub fn new(widths: impl Into<Vec<usize>>) -> Self {
        let widths = widths.into();
        assert!(widths.len() >= 2, "a network has an input and an output");
        assert!(widths.iter().all(|&width| width > 0), "a layer of width zero");
        assert!(widths[widths.len() - 1] <= 256, "labels are bytes");
        Self { widths }
    }

    /// The tutorial's network for EMNIST: 784-200-200-`classes`.
    #[must_use]
    pub fn emnist(classes: usize) -> Self {
        Self::new([784, 200, 200, classes])
    }

    /// Widths from the input to the logits.
    #[must_use]
    pub fn widths(&self) -> &[usize] {
        &self.widths
    }

    /// Features an example.
    #[must_use]
    pub fn inputs(&self) -> usize {
        self.widths[0]
    }

    /// Number of logits.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.widths[self.widths.len() - 1]
    }

    /// `(in, out)` of each layer.
    pub fn layers(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        self.widths.windows(2).map(|pair| (pair[0], pair[1]))
    }

    /// Where each layer lies in the parameter vector.
    pub fn slots(&self) -> impl Iterator<Item = LayerSlot> + '_ {
        self.layers().scan(0, |start, (inputs, outputs)| {
            let kernel = *start..*start + inputs * outputs;
            let bias = kernel.end..kernel.end + outputs;
            *start = bias.end;
            Some(LayerSlot { inputs, outputs, kernel, bias })
        })
    }

    /// Number of parameters.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.layers().map(|(inputs, outputs)| inputs * outputs + outputs).sum()
    }

    /// Floating-point operations of one forward pass over one example, matrix products alone: 2 a
    /// weight.
    #[must_use]
    pub fn evaluation_flops(&self) -> u64 {
        self.layers().map(|(inputs, outputs)| 2 * (inputs * outputs) as u64).sum()
    }

    /// Floating-point operations of one step of gradient descent, an example: forward, gradients
    /// of the weights, and gradients of what went into every layer but the first.
    #[must_use]
    pub fn training_flops(&self) -> u64 {
        let first = (self.widths[0] * self.widths[1]) as u64;
        3 * self.evaluation_flops() - 2 * first
    }

    /// Glorot-uniform kernels, `U(−L, L)` with `L = √(6 / (in + out))`, and zero biases.
    ///
    /// Each value takes 24 bits of `rng`, so the numbers do not depend on the back end.
    #[must_use]
    pub fn glorot_uniform(&self, rng: &mut dyn Rng) -> Vec<f32> {
        let mut params = Vec::with_capacity(self.dim());
        for (inputs, outputs) in self.layers() {
            let limit = (6.0 / (inputs + outputs) as f64).sqrt() as f32;
            params.extend((0..inputs * outputs).map(|_| (rng.random::<f32>() * 2.0 - 1.0) * limit));
            params.resize(params.len() + outputs, 0.0);
        }
        params
    }
}

/// Where one dense layer lies in the flat parameter vector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerSlot {
    /// Width of what goes in.
    pub inputs: usize,
    /// Width of what comes out.
    pub outputs: usize,
    /// The kernel `[inputs, outputs]`, row-major.
    pub kernel: Range<usize>,
    /// The bias `[outputs]`, right behind the kernel.
    pub bias: Range<usize>,
}

impl LayerSlot {
    /// Kernel and bias together.
    #[must_use]
    pub fn all(&self) -> Range<usize> {
        self.kernel.start..self.bias.end
    }
}
