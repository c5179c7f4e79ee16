//! A group of clients' networks in tensors with a leading client axis.
//!
//! Kernels are `[clients, in, out]`, biases `[clients, 1, out]`, batches `[clients, rows, in]`.
//! A client with fewer rows in a batch than another, or with no batch left, is padded with rows
//! whose gradient is zero.

use std::ops::Range;

use burn::tensor::{Bool, Device, Tensor, TensorData, activation};
use fed_data::Examples;

use crate::cohort::{ClientJob, ClientTrainer, Outcome, Trained};
use crate::error::LearnError;
use crate::learner::Metrics;
use crate::loss;
use crate::pixels;
use crate::spec::{LayerSlot, MlpSpec};
use crate::work::{LocalSgd, LocalWork};

/// Examples at most whose gradient is taken at once where the weights stand still.
const GRADIENT_BLOCK: usize = 128;

/// How the gradient is found.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Differentiation {
    /// Written out in tensor operations.
    Written,
    /// By Burn's automatic differentiation.
    Tape,
}

/// Kernel and bias of every layer in turn.
type Params = Vec<Tensor<3>>;

/// What one worker needs to train groups of clients.
pub(super) struct GroupTrainer {
    slots: Vec<LayerSlot>,
    dim: usize,
    device: Device,
    differentiation: Differentiation,
    /// Parameters under evaluation.
    params: Params,
}

/// How many clients fit into `bytes` of a device: weights, gradients, batches of the usual size.
#[cfg(feature = "wgpu")]
pub(super) fn clients_within(spec: &MlpSpec, bytes: usize) -> std::num::NonZeroUsize {
    let widths: usize = spec.widths().iter().sum();
    let client = size_of::<f32>() * (4 * spec.dim() + 3 * 64 * widths);
    std::num::NonZeroUsize::new((bytes / client).min(256)).unwrap_or(std::num::NonZeroUsize::MIN)
}

/// One batch of every client of the group, padded to `rows`.
struct Batch {
    images: Tensor<3>,
    rows: usize,
    /// Labels of each client, and the factor of the gradient of its sum over examples.
    clients: Vec<(Vec<u8>, f32)>,
}

/// What a step does with a gradient.
enum Step<'a> {
    /// Adds it to the velocity, weights stay.
    Accumulate,
    /// Plain descent: the gradient comes with `−rate` and is added to the weights.
    Add,
    /// Descent with momentum, proximal term or drift.
    Descend { sgd: &'a LocalSgd, drift: Option<(f64, Params)> },
}

impl GroupTrainer {
    pub(super) fn new(spec: &MlpSpec, device: Device, differentiation: Differentiation) -> Self {
        let slots = spec.slots().collect();
        Self { slots, dim: spec.dim(), device, differentiation, params: Vec::new() }
    }

    /// Changes how gradients are found.
    pub(super) fn differentiate_by(&mut self, differentiation: Differentiation) {
        self.differentiation = differentiation;
    }

    /// Takes `params` for evaluation.
    pub(super) fn load_params(&mut self, params: &[f32]) {
        self.params = self.upload(params);
    }

    /// Loss and accuracy on some rows, at the loaded parameters.
    pub(super) fn evaluate(
        &mut self,
        examples: &Examples<'_>,
        rows: Range<usize>,
    ) -> Result<Metrics, LearnError> {
        let visits: Vec<u32> = rows.map(|row| row as u32).collect();
        let batch = self.batch(&[(examples, &visits, 1.0)]);
        let (_, logits) = forward(&self.params, batch.images);
        let logits = download(logits)?;
        Ok(loss::measure(&logits, self.classes(), &batch.clients[0].0, self.classes()))
    }

    fn classes(&self) -> usize {
        self.slots[self.slots.len() - 1].outputs
    }

    fn upload(&self, params: &[f32]) -> Params {
        let tensor = |values: &[f32], shape| {
            Tensor::<3>::from_data(TensorData::new(values.to_vec(), shape), &self.device)
        };
        let layer = |slot: &LayerSlot| {
            let kernel = tensor(&params[slot.kernel.clone()], [1, slot.inputs, slot.outputs]);
            [kernel, tensor(&params[slot.bias.clone()], [1, 1, slot.outputs])]
        };
        self.slots.iter().flat_map(layer).collect()
    }

    /// Flat parameters of every client, one after another.
    fn flatten(&self, params: Params, clients: usize) -> Result<Vec<f32>, LearnError> {
        let mut flat = vec![0.0; clients * self.dim];
        let ranges = self.slots.iter().flat_map(|slot| [slot.kernel.clone(), slot.bias.clone()]);
        for (tensor, range) in params.into_iter().zip(ranges) {
            let values = download(tensor)?;
            for (client, values) in values.chunks_exact(range.len()).enumerate() {
                flat[client * self.dim..][range.clone()].copy_from_slice(values);
            }
        }
        Ok(flat)
    }

    /// Reads a batch: of every client the rows and the factor of its gradient.
    fn batch(&self, clients: &[(&Examples<'_>, &[u32], f32)]) -> Batch {
        let width = self.slots[0].inputs;
        let rows = clients.iter().map(|(_, visits, _)| visits.len()).max().unwrap_or(0);
        let mut images = vec![0.0; clients.len() * rows * width];
        for ((examples, visits, _), images) in
            clients.iter().zip(images.chunks_exact_mut((rows * width).max(1)))
        {
            pixels::gather(examples, visits, images);
        }
        let shape = [clients.len(), rows, width];
        let images = Tensor::from_data(TensorData::new(images, shape), &self.device);
        let labels = |(examples, visits, scale): &(&Examples<'_>, &[u32], f32)| {
            let label = |&row: &u32| examples.labels()[row as usize];
            (visits.iter().map(label).collect(), *scale)
        };
        Batch { images, rows, clients: clients.iter().map(labels).collect() }
    }

    /// Gradient of a batch with respect to kernel and bias of every layer, each client's times
    /// its factor; adds the metrics of each client.
    fn gradient(
        &self,
        params: &Params,
        batch: Batch,
        metrics: &mut [Metrics],
    ) -> Result<Params, LearnError> {
        match self.differentiation {
            Differentiation::Written => self.written_gradient(params, batch, metrics),
            Differentiation::Tape => self.taped_gradient(params, batch, metrics),
        }
    }

    fn written_gradient(
        &self,
        params: &Params,
        batch: Batch,
        metrics: &mut [Metrics],
    ) -> Result<Params, LearnError> {
        let Batch { images, rows, clients } = batch;
        let shape = [clients.len(), rows, self.classes()];
        let (mut layers, logits) = forward(params, images);
        let mut logits = download(logits)?;
        self.differentiate_logits(&mut logits, rows, &clients, metrics);
        let mut delta = Tensor::<3>::from_data(TensorData::new(logits, shape), &self.device);
        let mut gradient = Vec::with_capacity(params.len());
        while let Some((input, dead)) = layers.pop() {
            let bias = delta.clone().sum_dim(1);
            let kernel = input.transpose().matmul(delta.clone());
            gradient.extend([bias, kernel]);
            if let Some(dead) = dead {
                let kernel = params[2 * layers.len()].clone();
                delta = delta.matmul(kernel.transpose()).mask_fill(dead, 0.0);
            }
        }
        gradient.reverse();
        Ok(gradient)
    }

    fn taped_gradient(
        &self,
        params: &Params,
        batch: Batch,
        metrics: &mut [Metrics],
    ) -> Result<Params, LearnError> {
        let Batch { images, rows, clients } = batch;
        let classes = self.classes();
        let leaf = |tensor: &Tensor<3>| Tensor::from_inner(tensor.clone()).require_grad();
        let leaves: Params = params.iter().map(leaf).collect();
        let (_, logits) = forward(&leaves, Tensor::from_inner(images));
        let mut values = download(logits.clone().inner())?;
        self.differentiate_logits(&mut values, rows, &clients, metrics);
        // The loss is the sum over rows of −factor · ln softmax(logits)[label].
        let mut weights = vec![0.0_f32; clients.len() * rows * classes];
        for (client, (labels, scale)) in clients.iter().enumerate() {
            for (row, &label) in labels.iter().enumerate() {
                weights[(client * rows + row) * classes + usize::from(label)] = -scale;
            }
        }
        let shape = [clients.len(), rows, classes];
        let weights = Tensor::<3>::from_data(TensorData::new(weights, shape), &self.device);
        let entropy = activation::log_softmax(logits, 2) * Tensor::from_inner(weights);
        let gradients = entropy.sum().backward();
        let gradient = |leaf: &Tensor<3>| leaf.grad(&gradients).ok_or_else(|| lost("a gradient"));
        leaves.iter().map(gradient).collect()
    }

    /// Replaces the logits of every client by the gradient of its loss, padded rows by zeros.
    fn differentiate_logits(
        &self,
        logits: &mut [f32],
        rows: usize,
        clients: &[(Vec<u8>, f32)],
        metrics: &mut [Metrics],
    ) {
        let classes = self.classes();
        let blocks = logits.chunks_exact_mut((rows * classes).max(1));
        for ((block, (labels, scale)), metrics) in blocks.zip(clients).zip(metrics) {
            let (real, padding) = block.split_at_mut(labels.len() * classes);
            *metrics += loss::measure_and_differentiate(real, classes, labels, classes, *scale);
            padding.fill(0.0);
        }
    }

    /// The parameters once for each client.
    fn spread(params: &Params, clients: usize) -> Params {
        let spread = |tensor: &Tensor<3>| match clients {
            1 => tensor.clone(),
            _ => tensor.clone().repeat_dim(0, clients),
        };
        params.iter().map(spread).collect()
    }
}

impl ClientTrainer for GroupTrainer {
    fn train(
        &mut self,
        group: &[ClientJob<'_>],
        send: &mut dyn FnMut(usize, Trained<'_>),
    ) -> Result<(), LearnError> {
        let (clients, job) = (group.len(), &group[0]);
        let initial = self.upload(job.params);
        let (sgd, step) = match job.work {
            LocalWork::Gradient { .. } => (None, Step::Accumulate),
            LocalWork::Mime { sgd, momentum, velocity } => {
                let drift = Some((*momentum, self.upload(velocity)));
                (Some(sgd), Step::Descend { sgd, drift })
            }
            LocalWork::Sgd(sgd) if sgd.momentum.abs() + sgd.proximal.abs() > 0.0 => {
                (Some(sgd), Step::Descend { sgd, drift: None })
            }
            LocalWork::Sgd(sgd) => (Some(sgd), Step::Add),
        };
        let (epochs, batch_size) = match (sgd, job.work) {
            (None, LocalWork::Gradient { batch_size }) => (1, batch_size.get()),
            (sgd, _) => sgd.map_or((1, 1), |sgd| (sgd.epochs.get(), sgd.batch_size.get())),
        };
        let block = if sgd.is_some() { batch_size } else { batch_size.min(GRADIENT_BLOCK) };
        let visits: Vec<Vec<u32>> = group
            .iter()
            .map(|client| {
                let mut visits = Vec::new();
                client.order.fill(&mut visits, client.examples.len(), epochs);
                visits
            })
            .collect();
        let longest = visits.iter().map(Vec::len).max().unwrap_or(0);

        let mut weights = Self::spread(&initial, clients);
        let mut velocity: Option<Params> = None;
        let mut metrics = vec![Metrics::default(); clients];
        for start in (0..longest).step_by(block) {
            let rows: Vec<_> = group
                .iter()
                .zip(&visits)
                .map(|(client, visits)| {
                    let rows = &visits[start.min(visits.len())..(start + block).min(visits.len())];
                    let scale = match &step {
                        Step::Accumulate => 1.0 / visits.len() as f32,
                        Step::Add => {
                            -(sgd.map_or(0.0, |sgd| sgd.learning_rate) as f32) / rows.len() as f32
                        }
                        Step::Descend { .. } => 1.0 / rows.len() as f32,
                    };
                    (client.examples, rows, scale)
                })
                .collect();
            let gradient = self.gradient(&weights, self.batch(&rows), &mut metrics)?;
            match &step {
                Step::Add => {
                    let steps = weights.into_iter().zip(gradient);
                    weights = steps.map(|(weight, gradient)| weight + gradient).collect();
                }
                Step::Accumulate => {
                    velocity = Some(match velocity {
                        None => gradient,
                        Some(sum) => {
                            sum.into_iter().zip(gradient).map(|(sum, one)| sum + one).collect()
                        }
                    });
                }
                Step::Descend { sgd, drift } => {
                    let active: Vec<f32> =
                        rows.iter().map(|row| if row.1.is_empty() { 0.0 } else { 1.0 }).collect();
                    let active = TensorData::new(active, [clients, 1, 1]);
                    let active = Tensor::<3>::from_data(active, &self.device);
                    let mut speeds = Vec::with_capacity(weights.len());
                    for (index, (weight, gradient)) in weights.iter_mut().zip(gradient).enumerate()
                    {
                        let mut speed = gradient;
                        if let Some(velocity) = &velocity {
                            speed = speed + velocity[index].clone() * sgd.momentum;
                        }
                        if sgd.proximal.abs() > 0.0 {
                            let away = weight.clone() - initial[index].clone();
                            speed = speed + away * sgd.proximal;
                        }
                        let mut change = speed.clone();
                        if let Some((momentum, server)) = drift {
                            change = change + server[index].clone() * *momentum;
                        }
                        let change = change * active.clone() * sgd.learning_rate;
                        *weight = weight.clone() - change;
                        speeds.push(speed);
                    }
                    velocity = (sgd.momentum > 0.0).then_some(speeds);
                }
            }
        }

        let gradient = matches!(step, Step::Accumulate);
        let sent = match (gradient, velocity) {
            (true, Some(sum)) => self.flatten(sum, clients)?,
            (true, None) => vec![0.0; clients * self.dim],
            (false, _) => self.flatten(weights, clients)?,
        };
        for (index, (values, metrics)) in sent.chunks_exact(self.dim).zip(metrics).enumerate() {
            let outcome = if gradient { Outcome::Update(values) } else { Outcome::Weights(values) };
            let batches = visits[index].len().div_ceil(batch_size) as u64;
            send(index, Trained { outcome, metrics, batches });
        }
        Ok(())
    }
}

/// What went into a layer, and where the ReLU in front of it was shut.
type LayerInput = (Tensor<3>, Option<Tensor<3, Bool>>);

/// What went into each layer; and the logits.
fn forward(params: &[Tensor<3>], images: Tensor<3>) -> (Vec<LayerInput>, Tensor<3>) {
    let mut layers = Vec::with_capacity(params.len() / 2);
    let (mut value, mut dead) = (images, None);
    for (layer, pair) in params.chunks_exact(2).enumerate() {
        let output = value.clone().matmul(pair[0].clone()) + pair[1].clone();
        layers.push((value, dead.take()));
        value = if 2 * (layer + 1) < params.len() {
            // Not `relu`, which may drop a value that is not a number.
            let shut = output.clone().lower_equal_scalar(0.0);
            dead = Some(shut.clone());
            output.mask_fill(shut, 0.0)
        } else {
            output
        };
    }
    (layers, value)
}

/// The values of a tensor, row-major.
fn download(tensor: Tensor<3>) -> Result<Vec<f32>, LearnError> {
    let data = tensor.try_into_data().map_err(lost)?;
    data.try_into_vec::<f32>().map_err(|error| lost(format!("{error:?}")))
}

/// The device failed.
fn lost(cause: impl std::fmt::Display) -> LearnError {
    LearnError::Device { backend: "burn", message: format!("the device failed: {cause}") }
}
