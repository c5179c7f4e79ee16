//! Local training of a group of clients side by side, and where its result goes.

use burn::tensor::{Device, Tensor, TensorData, Transaction};
use dp_agg::SummedClient;
use fed_data::{BatchPlan, Examples};

use super::batches::{self, Batches, Transport, Visits};
use super::clip;
use super::network::{Differentiation, Matrices, Network, lost};
use crate::cohort::{ClientJob, Outcome, Sink, Trained};
use crate::error::LearnError;
use crate::learner::Metrics;
use crate::loss;
use crate::spec::MlpSpec;
use crate::work::{LocalSgd, LocalWork};

/// Examples at most whose gradient is taken at once where the weights stand still.
const GRADIENT_BLOCK: usize = 128;

/// What one worker needs to train groups of clients.
pub(super) struct GroupTrainer {
    network: Network,
    device: Device,
    dim: usize,
    classes: usize,
    /// Where the device is this processor, examples and updates are at hand; elsewhere they are
    /// packed, and clipped where they are.
    remote: bool,
    /// The parameters at hand: broadcast or under evaluation.
    params: Matrices,
    /// The server's velocity, where the local work uses it.
    drift: Option<(f64, Matrices)>,
}

/// What a step does with a gradient.
#[derive(Clone, Copy)]
enum Step {
    /// Adds it to the sum that is sent; weights stay.
    Accumulate,
    /// Plain descent: the gradient comes with `−rate` and is added to the weights.
    Add { rate: f32 },
    /// Descent with momentum, proximal term or drift.
    Descend(LocalSgd),
}

/// How local work is cut into steps.
struct Plan {
    step: Step,
    /// The batches, as reported.
    batches: BatchPlan,
    /// Rows a step.
    block: usize,
}

impl Plan {
    fn new(work: &LocalWork<'_>) -> Self {
        let batches = work.batch_plan();
        let (sgd, drift) = match work {
            LocalWork::Gradient { batch_size } => {
                let block = batch_size.get().min(GRADIENT_BLOCK);
                return Self { step: Step::Accumulate, batches, block };
            }
            LocalWork::Mime { sgd, .. } => (sgd, true),
            LocalWork::Sgd(sgd) => (sgd, false),
        };
        let plain = !drift && sgd.momentum.abs() + sgd.proximal.abs() <= 0.0;
        let rate = sgd.learning_rate as f32;
        let step = if plain { Step::Add { rate } } else { Step::Descend(*sgd) };
        Self { step, batches, block: sgd.batch_size.get() }
    }

    /// The factor of the gradient of a row, from the client's visits and its rows in the step.
    fn scale(&self, visits: usize, rows: usize) -> f32 {
        match self.step {
            Step::Accumulate => 1.0 / visits as f32,
            Step::Add { rate } => -rate / rows as f32,
            Step::Descend(_) => 1.0 / rows as f32,
        }
    }
}

impl GroupTrainer {
    /// A trainer on `device`. A `remote` device is given packed examples and clips where they
    /// are.
    pub(super) fn new(spec: &MlpSpec, device: Device, remote: bool) -> Self {
        Self {
            network: Network::new(spec, device.clone()),
            device,
            dim: spec.dim(),
            classes: spec.classes(),
            remote,
            params: Vec::new(),
            drift: None,
        }
    }

    /// Changes how gradients are found.
    pub(super) fn differentiate_by(&mut self, differentiation: Differentiation) {
        self.network.differentiate_by(differentiation);
    }

    /// Whether examples and updates are treated as on a device far away.
    pub(super) fn set_remote(&mut self, remote: bool) {
        self.remote = remote;
    }

    /// Takes the parameters that are to be evaluated or trained from.
    pub(super) fn load_params(&mut self, params: &[f32]) {
        self.params = self.network.upload(params);
    }

    /// Takes what all clients of a round share.
    pub(super) fn open(&mut self, params: &[f32], work: &LocalWork<'_>) {
        self.load_params(params);
        self.drift = match work {
            LocalWork::Mime { momentum, velocity, .. } => {
                Some((*momentum, self.network.upload(velocity)))
            }
            _ => None,
        };
    }

    /// Loss and accuracy on some rows, at the loaded parameters.
    pub(super) fn evaluate(
        &mut self,
        examples: &Examples<'_>,
        rows: std::ops::Range<usize>,
    ) -> Result<Metrics, LearnError> {
        let labels = &examples.labels()[rows.clone()];
        let inputs = if self.remote {
            batches::packed_rows(&[&examples.slice(rows)], 0, &self.device)
        } else {
            batches::expanded_rows(examples, rows, &self.device)
        };
        let logits = self.network.logits(&self.params, inputs.unsqueeze_dim(0));
        let logits = clip::values(logits.try_into_data().map_err(lost)?)?;
        Ok(loss::measure(&logits, self.classes, labels, self.classes))
    }

    /// Trains every client of `group` from the loaded parameters and hands the results to `sink`.
    pub(super) fn train(
        &mut self,
        group: &[ClientJob<'_>],
        sink: &mut Sink<'_>,
    ) -> Result<(), LearnError> {
        let plan = Plan::new(group[0].work);
        let order = |client: &ClientJob<'_>| {
            let mut rows = Vec::new();
            client.order(&mut rows);
            rows
        };
        let orders: Vec<Vec<u32>> = group.iter().map(order).collect();
        let visits: Vec<_> = group
            .iter()
            .zip(&orders)
            .map(|(client, rows)| Visits { examples: client.examples, rows })
            .collect();
        let transport = if self.remote { Transport::Packed } else { Transport::Expanded };
        let scale = |visits, rows| plan.scale(visits, rows);
        let batches =
            Batches::upload(&visits, plan.block, self.classes, scale, transport, &self.device);

        let (update, logits) = self.steps(&plan, group.len(), &batches)?;
        let trained = |logits: Vec<TensorData>| self.metrics(&plan, &visits, logits);
        if self.remote && clip::suits(sink.rule()) {
            self.send_steps(&update, logits, trained, sink)
        } else {
            let logits = download(Transaction::default(), logits)?;
            self.send_updates(update, &trained(logits)?, sink)
        }
    }

    /// All steps: updates `[clients, length]` and the logits of each step.
    fn steps(
        &self,
        plan: &Plan,
        clients: usize,
        batches: &Batches,
    ) -> Result<(Tensor<2>, Vec<Tensor<3>>), LearnError> {
        let mut weights = Network::spread(&self.params, clients);
        let mut velocity: Option<Matrices> = None;
        let mut kept = Vec::with_capacity(batches.len());
        for step in 0..batches.len() {
            let (gradient, logits) = self.network.gradient(&weights, batches.get(step))?;
            kept.push(logits);
            match &plan.step {
                Step::Add { .. } => weights = added(weights, gradient),
                Step::Accumulate => {
                    velocity = Some(match velocity {
                        None => gradient,
                        Some(sum) => added(sum, gradient),
                    });
                }
                Step::Descend(sgd) => {
                    let active = batches.active(step);
                    velocity = self.descend(sgd, &mut weights, velocity, gradient, &active);
                }
            }
        }
        // Only where the updates are folded must they have room for it.
        let length = if self.remote { self.dim.next_multiple_of(clip::BLOCK) } else { self.dim };
        let update = match (plan.step, velocity) {
            (Step::Accumulate, Some(sum)) => self.network.flatten(sum, length),
            (Step::Accumulate, None) => Tensor::zeros([clients, length], &self.device),
            _ => {
                let change = |(start, end): (&Tensor<3>, Tensor<3>)| start.clone() - end;
                let changes = self.params.iter().zip(weights).map(change).collect();
                self.network.flatten(changes, length)
            }
        };
        Ok((update, kept))
    }

    /// One step of descent with everything; the new velocity.
    fn descend(
        &self,
        sgd: &LocalSgd,
        weights: &mut Matrices,
        velocity: Option<Matrices>,
        gradient: Matrices,
        active: &Option<Tensor<3>>,
    ) -> Option<Matrices> {
        let mut speeds = Vec::with_capacity(weights.len());
        for (index, (weight, gradient)) in weights.iter_mut().zip(gradient).enumerate() {
            let mut speed = gradient;
            if let Some(velocity) = &velocity {
                speed = speed + velocity[index].clone() * sgd.momentum;
            }
            if sgd.proximal.abs() > 0.0 {
                let away = weight.clone() - self.params[index].clone();
                speed = speed + away * sgd.proximal;
            }
            let mut change = speed.clone();
            if let Some((momentum, server)) = &self.drift {
                change = change + server[index].clone() * *momentum;
            }
            if let Some(active) = active {
                change = change * active.clone();
            }
            *weight = weight.clone() - change * sgd.learning_rate;
            speeds.push(speed);
        }
        (sgd.momentum > 0.0).then_some(speeds)
    }

    /// Training metrics and number of batches of each client, from the logits of every step.
    fn metrics(
        &self,
        plan: &Plan,
        visits: &[Visits<'_>],
        logits: Vec<TensorData>,
    ) -> Result<Vec<(Metrics, u64)>, LearnError> {
        let batches = |client: &Visits<'_>| plan.batches.count(client.examples.len()) as u64;
        let mut trained: Vec<_> =
            visits.iter().map(|client| (Metrics::default(), batches(client))).collect();
        for (step, logits) in logits.into_iter().enumerate() {
            let logits = clip::values(logits)?;
            let blocks = logits.chunks_exact(logits.len() / visits.len());
            for ((client, block), (metrics, _)) in visits.iter().zip(blocks).zip(&mut trained) {
                let labels = client.labels(step, plan.block);
                let block = &block[..labels.len() * self.classes];
                *metrics += loss::measure(block, self.classes, &labels, self.classes);
            }
        }
        Ok(trained)
    }

    /// Clips and sums on the device. What cannot be shown there to keep the rule is looked at
    /// here.
    fn send_steps(
        &self,
        update: &Tensor<2>,
        logits: Vec<Tensor<3>>,
        trained: impl Fn(Vec<TensorData>) -> Result<Vec<(Metrics, u64)>, LearnError>,
        sink: &mut Sink<'_>,
    ) -> Result<(), LearnError> {
        let measured = clip::measure(update);
        let statistics = Transaction::default()
            .register(measured.largest)
            .register(measured.scales)
            .register(measured.squares.whole)
            .register(measured.squares.rest);
        let mut down = download(statistics, logits)?.into_iter();
        let mut next = || clip::values(down.next().ok_or_else(|| lost("a statistic"))?);
        let (largest, scales, whole, rest) = (next()?, next()?, next()?, next()?);
        let rule = *sink.rule();
        let mut decisions = clip::judge(&rule, self.dim, &largest, &scales, &whole, &rest);
        let mut rounded = clip::round(update, &decisions, &self.device);
        // The device has work to do: time to look at the logits.
        let trained = trained(down.collect())?;
        for _ in 0..2 {
            let (steps, clients) = self.download_steps(rounded, &decisions)?;
            if !clip::shorten_again(&rule, self.dim, &mut decisions, &clients) {
                match sink.send_steps(&steps, &clients, &trained) {
                    Ok(()) => return Ok(()),
                    Err(_) => break,
                }
            }
            rounded = clip::round(update, &decisions, &self.device);
        }
        self.send_updates(update.clone(), &trained, sink)
    }

    /// Brings the sum of the group's steps down, and what is known of each client.
    fn download_steps(
        &self,
        rounded: clip::Rounded,
        decisions: &[clip::Decision],
    ) -> Result<(Vec<f64>, Vec<SummedClient>), LearnError> {
        let down = Transaction::default()
            .register(rounded.high)
            .register(rounded.low)
            .register(rounded.squares.whole)
            .register(rounded.squares.rest);
        let down = download(down, Vec::new())?;
        let down: Vec<_> = down.into_iter().map(clip::values).collect::<Result<_, _>>()?;
        let [high, low, whole, rest] = &down[..] else { return Err(lost("half a sum")) };
        let steps = clip::whole_steps(high, low, self.dim);
        Ok((steps, clip::summed_clients(decisions, whole, rest)))
    }

    /// Brings the updates down in one piece and puts each through the rule here.
    fn send_updates(
        &self,
        update: Tensor<2>,
        trained: &[(Metrics, u64)],
        sink: &mut Sink<'_>,
    ) -> Result<(), LearnError> {
        let length = update.dims()[1];
        let updates = clip::values(update.try_into_data().map_err(lost)?)?;
        let clients = updates.chunks_exact(length).zip(trained);
        for (index, (update, &(metrics, batches))) in clients.enumerate() {
            let outcome = Outcome::Update(&update[..self.dim]);
            sink.send(index, Trained { outcome, metrics, batches });
        }
        Ok(())
    }
}

/// Sums of matrices.
fn added(ones: Matrices, others: Matrices) -> Matrices {
    ones.into_iter().zip(others).map(|(one, other)| one + other).collect()
}

/// What `first` asks for and then `logits`, in one go.
fn download(first: Transaction, logits: Vec<Tensor<3>>) -> Result<Vec<TensorData>, LearnError> {
    logits.into_iter().fold(first, Transaction::register).try_execute().map_err(lost)
}
