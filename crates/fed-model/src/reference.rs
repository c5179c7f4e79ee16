//! The same work in plain double precision, slowly.
//!
//! Every learner of this crate is tested against this one, and this one against finite
//! differences. It is one loop over examples with nothing to go wrong in it, and needs no back
//! end, so that code above this crate can be tested without one.

use std::num::NonZeroUsize;

use fed_data::Examples;

use crate::cohort::{self, ClientJob, ClientTrainer, Outcome, Trained};
use crate::error::LearnError;
use crate::learner::{CohortJob, CohortSum, Learner, Metrics};
use crate::spec::MlpSpec;
use crate::work::LocalWork;
use crate::workers::Workers;

/// Examples of an evaluation that are taken at a time.
const EVALUATION_BLOCK: usize = 256;

/// Mean gradient over some examples, and their metrics, at `params`, in `f64` throughout.
///
/// # Panics
/// If parameters, rows or labels do not fit.
#[must_use]
pub fn gradient(
    spec: &MlpSpec,
    params: &[f64],
    examples: &Examples<'_>,
    rows: &[u32],
) -> (Vec<f64>, Metrics) {
    assert_eq!(params.len(), spec.dim(), "parameters of this network");
    let mut gradient = vec![0.0; params.len()];
    let mut metrics = Metrics::default();
    for &row in rows {
        let outputs = forward(spec, params, examples, row as usize);
        let label = usize::from(examples.labels()[row as usize]);
        let mut delta = softmax(&outputs[outputs.len() - 1]);
        metrics += measure(&outputs[outputs.len() - 1], label);
        delta[label] -= 1.0;
        let slots: Vec<_> = spec.slots().collect();
        for (slot, input) in slots.iter().zip(&outputs).rev() {
            let mut below = vec![0.0; slot.inputs];
            for i in 0..slot.inputs {
                let row = slot.kernel.start + i * slot.outputs;
                for (j, delta) in delta.iter().enumerate() {
                    gradient[row + j] += input[i] * delta;
                    below[i] += params[row + j] * delta;
                }
                // What went in came out of a ReLU, except in the first layer, where it is unused.
                if input[i] <= 0.0 {
                    below[i] = 0.0;
                }
            }
            for (sum, delta) in gradient[slot.bias.clone()].iter_mut().zip(&delta) {
                *sum += delta;
            }
            delta = below;
        }
    }
    let count = rows.len().max(1) as f64;
    gradient.iter_mut().for_each(|value| *value /= count);
    (gradient, metrics)
}

/// Loss and accuracy at `params`, in `f64` throughout.
///
/// # Panics
/// If parameters or labels do not fit.
#[must_use]
pub fn evaluate(spec: &MlpSpec, params: &[f64], examples: &Examples<'_>) -> Metrics {
    assert_eq!(params.len(), spec.dim(), "parameters of this network");
    let mut metrics = Metrics::default();
    for row in 0..examples.len() {
        let outputs = forward(spec, params, examples, row);
        let label = usize::from(examples.labels()[row]);
        metrics += measure(&outputs[outputs.len() - 1], label);
    }
    metrics
}

/// What local work sends (initial minus trained weights, or the mean gradient), in `f64`.
///
/// `visits` are the rows in the order of the visits of all epochs.
///
/// # Panics
/// If parameters, rows or labels do not fit.
#[must_use]
pub fn local_update(
    spec: &MlpSpec,
    params: &[f64],
    examples: &Examples<'_>,
    visits: &[u32],
    work: &LocalWork<'_>,
) -> (Vec<f64>, Metrics) {
    let (sgd, drift) = match work {
        LocalWork::Sgd(sgd) => (sgd, None),
        LocalWork::Mime { sgd, momentum, velocity } => (sgd, Some((*momentum, *velocity))),
        LocalWork::Gradient { .. } => return gradient(spec, params, examples, visits),
    };
    let mut weights = params.to_vec();
    let mut velocity = vec![0.0; params.len()];
    let mut metrics = Metrics::default();
    for rows in work.batch_plan().cut(visits) {
        let (gradient, batch) = gradient(spec, &weights, examples, rows);
        metrics += batch;
        for i in 0..weights.len() {
            let pull = sgd.proximal * (weights[i] - params[i]);
            velocity[i] = sgd.momentum * velocity[i] + gradient[i] + pull;
            let drift = drift.map_or(0.0, |(factor, server)| factor * f64::from(server[i]));
            weights[i] -= sgd.learning_rate * (velocity[i] + drift);
        }
    }
    (params.iter().zip(&weights).map(|(before, after)| before - after).collect(), metrics)
}

/// The input of every layer, then the logits, for one example.
fn forward(spec: &MlpSpec, params: &[f64], examples: &Examples<'_>, row: usize) -> Vec<Vec<f64>> {
    let mut pixels = vec![0.0_f32; spec.inputs()];
    examples.copy_row(row, &mut pixels);
    let mut outputs: Vec<Vec<f64>> = vec![pixels.into_iter().map(f64::from).collect()];
    let last = spec.layers().count() - 1;
    for (layer, slot) in spec.slots().enumerate() {
        let input = &outputs[layer];
        let mut output = params[slot.bias.clone()].to_vec();
        for (i, &value) in input.iter().enumerate() {
            let weights = &params[slot.kernel.clone()][i * slot.outputs..][..slot.outputs];
            output.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += value * weight);
        }
        if layer < last {
            // Not `max`, which would drop a value that is not a number.
            output.iter_mut().filter(|value| **value < 0.0).for_each(|value| *value = 0.0);
        }
        outputs.push(output);
    }
    outputs
}

fn softmax(logits: &[f64]) -> Vec<f64> {
    let peak = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let exponentials: Vec<f64> = logits.iter().map(|logit| (logit - peak).exp()).collect();
    let sum: f64 = exponentials.iter().sum();
    exponentials.into_iter().map(|exponential| exponential / sum).collect()
}

fn measure(logits: &[f64], label: usize) -> Metrics {
    let mut best = 0;
    for (class, logit) in logits.iter().enumerate() {
        if *logit > logits[best] {
            best = class;
        }
    }
    let peak = logits[best];
    let sum: f64 = logits.iter().map(|logit| (logit - peak).exp()).sum();
    let loss = sum.ln() + (peak - logits[label]);
    // Logits that are no numbers find no class.
    let correct = u64::from(best == label && loss.is_finite());
    Metrics { examples: 1, correct, loss_sum: loss }
}

/// A learner that does everything as above and rounds only what it sends.
pub struct ReferenceLearner {
    spec: MlpSpec,
    workers: Workers<ReferenceTrainer>,
}

impl ReferenceLearner {
    /// A learner for `spec`, on the calling thread.
    #[must_use]
    pub fn new(spec: MlpSpec) -> Self {
        let trainer = || ReferenceTrainer { spec: spec.clone(), update: Vec::new() };
        let workers = Workers::scoped(NonZeroUsize::MIN, trainer);
        Self { spec, workers }
    }
}

impl Learner for ReferenceLearner {
    fn spec(&self) -> &MlpSpec {
        &self.spec
    }

    fn describe(&self) -> String {
        "reference (double precision, 1 thread)".to_owned()
    }

    fn arithmetic(&self) -> String {
        "reference".to_owned()
    }

    fn train_cohort(&self, job: &CohortJob<'_>) -> Result<CohortSum, LearnError> {
        cohort::train_cohort(&self.workers, &self.spec, job, NonZeroUsize::MIN)
    }

    fn evaluate(&self, params: &[f32], examples: &Examples<'_>) -> Result<Metrics, LearnError> {
        cohort::check_params(&self.spec, params)?;
        cohort::check_examples(&self.spec, 0, examples)?;
        let params = widen(params);
        cohort::evaluate_blocks(
            &self.workers,
            examples.len(),
            EVALUATION_BLOCK,
            |_| (),
            |_, rows| Ok(evaluate(&self.spec, &params, &examples.slice(rows))),
        )
    }
}

struct ReferenceTrainer {
    spec: MlpSpec,
    update: Vec<f32>,
}

impl ClientTrainer for ReferenceTrainer {
    fn train(
        &mut self,
        group: &[ClientJob<'_>],
        send: &mut dyn FnMut(usize, Trained<'_>),
    ) -> Result<(), LearnError> {
        for (index, client) in group.iter().enumerate() {
            let mut visits = Vec::new();
            client.order(&mut visits);
            let params = widen(client.params);
            let (update, metrics) =
                local_update(&self.spec, &params, client.examples, &visits, client.work);
            self.update.clear();
            self.update.extend(update.iter().map(|&value| value as f32));
            let batches = client.work.batch_plan().count(client.examples.len()) as u64;
            send(index, Trained { outcome: Outcome::Update(&self.update), metrics, batches });
        }
        Ok(())
    }
}

fn widen(params: &[f32]) -> Vec<f64> {
    params.iter().copied().map(f64::from).collect()
}
