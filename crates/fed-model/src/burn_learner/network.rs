//! The networks of a group of clients in tensors with a leading client axis.
//!
//! A layer is one matrix, kernel above bias, and what goes into it ends in a constant one, so
//! that one product gives `x·W + b` and one product the gradient of both. In the flat vector
//! kernel and bias lie in just that order. A hidden layer makes the next one's constant itself:
//! its matrix has one more column, of zeros, so that its last unit is always shut, and one is
//! added to what that unit gives. Shut units pass no gradient, so the column stays what it is.
//!
//! Shapes: matrices `[clients, in + 1, out]` (hidden: `out + 1`), inputs `[clients, rows, in + 1]`.

use burn::tensor::{Bool, Device, Tensor, TensorData, activation};

use super::batches::Batch;
use crate::error::LearnError;
use crate::spec::{LayerSlot, MlpSpec};

/// How the gradient is found.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Differentiation {
    /// Written out in tensor operations.
    Written,
    /// By Burn's automatic differentiation: the reference.
    Tape,
}

/// The matrix of every layer in turn.
pub(super) type Matrices = Vec<Tensor<3>>;

/// What went into a layer, and which units in front of it were shut.
type LayerInput = (Tensor<3>, Option<Tensor<3, Bool>>);

/// The layers on a device.
pub(super) struct Network {
    slots: Vec<LayerSlot>,
    /// What is added to the units of each hidden layer: nothing, but one to the last,
    /// `[1, 1, out + 1]`.
    constants: Vec<Tensor<3>>,
    device: Device,
    differentiation: Differentiation,
    /// Whether masks are laid over a copy: `flex` takes a branch an element to mask a tensor in
    /// place, and selects in vectors where another handle keeps the old values.
    masks_copies: bool,
}

impl Network {
    pub(super) fn new(spec: &MlpSpec, device: Device) -> Self {
        let slots: Vec<LayerSlot> = spec.slots().collect();
        let constants = slots[..slots.len() - 1]
            .iter()
            .map(|slot| {
                let mut values = vec![0.0_f32; slot.outputs + 1];
                values[slot.outputs] = 1.0;
                Tensor::from_data(TensorData::new(values, [1, 1, slot.outputs + 1]), &device)
            })
            .collect();
        let masks_copies = device == super::device::flex();
        Self { slots, constants, device, differentiation: Differentiation::Written, masks_copies }
    }

    /// Changes how gradients are found.
    pub(super) fn differentiate_by(&mut self, differentiation: Differentiation) {
        self.differentiation = differentiation;
    }

    /// Flat parameters onto the device, for one client.
    pub(super) fn upload(&self, flat: &[f32]) -> Matrices {
        let flat =
            Tensor::<1>::from_data(TensorData::new(flat.to_vec(), [flat.len()]), &self.device);
        let last = self.slots.len() - 1;
        let matrix = |(layer, slot): (usize, &LayerSlot)| {
            let shape = [1, slot.inputs + 1, slot.outputs];
            let matrix = flat.clone().slice(slot.all()).reshape(shape);
            if layer == last {
                return matrix;
            }
            let column = Tensor::zeros([1, slot.inputs + 1, 1], &self.device);
            Tensor::cat(vec![matrix, column], 2)
        };
        self.slots.iter().enumerate().map(matrix).collect()
    }

    /// Matrices of one client once for each of `clients`.
    pub(super) fn spread(matrices: &Matrices, clients: usize) -> Matrices {
        let spread = |matrix: &Tensor<3>| match clients {
            1 => matrix.clone(),
            _ => matrix.clone().repeat_dim(0, clients),
        };
        matrices.iter().map(spread).collect()
    }

    /// The flat vectors of every client, each with zeros behind it up to a length of `length`:
    /// `[clients, length]`.
    pub(super) fn flatten(&self, matrices: Matrices, length: usize) -> Tensor<2> {
        let clients = matrices[0].dims()[0];
        let mut parts: Vec<Tensor<2>> = matrices
            .into_iter()
            .zip(&self.slots)
            .map(|(matrix, slot)| {
                let width = matrix.dims()[2];
                let true_units = match width == slot.outputs {
                    true => matrix,
                    false => matrix.narrow(2, 0, slot.outputs),
                };
                true_units.reshape([clients, slot.all().len()])
            })
            .collect();
        let dim = self.slots[self.slots.len() - 1].bias.end;
        if length > dim {
            parts.push(Tensor::zeros([clients, length - dim], &self.device));
        }
        Tensor::cat(parts, 1)
    }

    /// The logits `[clients, rows, classes]`.
    pub(super) fn logits(&self, matrices: &Matrices, inputs: Tensor<3>) -> Tensor<3> {
        self.forward(matrices, &self.constants, inputs).1
    }

    /// Gradient of the scaled loss of a batch with respect to every matrix; and the logits.
    pub(super) fn gradient(
        &self,
        matrices: &Matrices,
        batch: Batch,
    ) -> Result<(Matrices, Tensor<3>), LearnError> {
        match self.differentiation {
            Differentiation::Written => Ok(self.written_gradient(matrices, batch)),
            Differentiation::Tape => self.taped_gradient(matrices, batch),
        }
    }

    fn written_gradient(&self, matrices: &Matrices, batch: Batch) -> (Matrices, Tensor<3>) {
        let (mut layers, logits) = self.forward(matrices, &self.constants, batch.inputs);
        let peak = logits.clone().max_dim(2);
        let exponentials = (logits.clone() - peak).exp();
        let share = batch.scales / exponentials.clone().sum_dim(2);
        let mut delta = exponentials * share - batch.targets;
        let mut gradient = Vec::with_capacity(matrices.len());
        while let Some((input, shut)) = layers.pop() {
            gradient.push(input.transpose().matmul(delta.clone()));
            if let Some(shut) = shut {
                let matrix = matrices[layers.len()].clone();
                delta = self.opened(delta.matmul(matrix.transpose()), shut);
            }
        }
        gradient.reverse();
        (gradient, logits)
    }

    fn taped_gradient(
        &self,
        matrices: &Matrices,
        batch: Batch,
    ) -> Result<(Matrices, Tensor<3>), LearnError> {
        let lift = |tensor: &Tensor<3>| Tensor::from_inner(tensor.clone());
        let leaves: Matrices = matrices.iter().map(|matrix| lift(matrix).require_grad()).collect();
        let constants: Vec<_> = self.constants.iter().map(lift).collect();
        let (_, logits) = self.forward(&leaves, &constants, Tensor::from_inner(batch.inputs));
        let targets = Tensor::from_inner(batch.targets);
        let entropy = activation::log_softmax(logits.clone(), 2) * targets;
        let gradients = (-entropy.sum()).backward();
        let gradient = |leaf: &Tensor<3>| leaf.grad(&gradients).ok_or_else(|| lost("a gradient"));
        let gradient = leaves.iter().map(gradient).collect::<Result<_, _>>()?;
        Ok((gradient, logits.inner()))
    }

    /// What went into each layer; and the logits.
    fn forward(
        &self,
        matrices: &[Tensor<3>],
        constants: &[Tensor<3>],
        inputs: Tensor<3>,
    ) -> (Vec<LayerInput>, Tensor<3>) {
        let mut layers = Vec::with_capacity(matrices.len());
        let (mut value, mut shut_before) = (inputs, None);
        for (layer, matrix) in matrices.iter().enumerate() {
            let output = value.clone().matmul(matrix.clone());
            layers.push((value, shut_before.take()));
            value = match constants.get(layer) {
                // Not `relu`, which may drop a value that is not a number.
                Some(constant) => {
                    let shut = output.clone().lower_equal_scalar(0.0);
                    shut_before = Some(shut.clone());
                    self.opened(output, shut) + constant.clone()
                }
                None => output,
            };
        }
        (layers, value)
    }

    /// The values of units that are not shut, zeros elsewhere.
    fn opened(&self, values: Tensor<3>, shut: Tensor<3, Bool>) -> Tensor<3> {
        let _kept = self.masks_copies.then(|| values.clone());
        values.mask_fill(shut, 0.0)
    }
}

/// The device failed.
pub(super) fn lost(cause: impl std::fmt::Display) -> LearnError {
    LearnError::Device { backend: "burn", message: format!("the device failed: {cause}") }
}
