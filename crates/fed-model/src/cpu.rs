//! Our own trainer for many small clients on a CPU.
//!
//! One worker a core, each with a fixed workspace and whole clients to itself; nothing is
//! allocated for a batch. A batch is one fused sequence: pixels are expanded from bytes as they
//! are read, each layer is one matrix product that starts from the bias and ends with ReLU, the
//! softmax leaves its gradient where the logits were with the step size folded in, and the step
//! of a layer is one product accumulated straight into its weights. The products are ours, for
//! these shapes, written once for every width of vector; AVX-512, AVX2, NEON or portable code is
//! picked at run time.
//!
//! Results are the same bit for bit for any number of workers, and for every vector unit with
//! fused multiply-add; portable code differs by rounding.

mod aligned;
mod kernels;
mod layout;
mod network;
mod products;
mod vector_unit;

use std::num::NonZeroUsize;

use fed_data::{BatchPlan, Examples};
use pulp::Arch;

use self::network::{Descent, Network, Step};
use crate::cohort::{self, ClientJob, ClientTrainer, Outcome, Trained};
use crate::error::LearnError;
use crate::learner::{CohortJob, CohortSum, Learner, Metrics};
use crate::pixels;
use crate::spec::MlpSpec;
use crate::work::{LocalSgd, LocalWork};
use crate::workers::Workers;

pub use vector_unit::{UnknownVectorUnit, VectorUnit};

/// Examples of an evaluation that one worker takes at a time. Fixed, so that sums of the loss do
/// not depend on the number of workers.
const EVALUATION_BLOCK: usize = 256;

/// Examples at most whose gradient is taken at once where the weights stand still.
const GRADIENT_BLOCK: usize = 128;

/// Trains on the CPU with one worker a core. See the module's page.
pub struct CpuLearner {
    spec: MlpSpec,
    unit: VectorUnit,
    workers: Workers<CpuTrainer>,
}

impl CpuLearner {
    /// A learner for `spec` with `threads` workers, which wait for work as long as it lives.
    ///
    /// # Errors
    /// [`LearnError::Device`] if the operating system gives no more threads.
    pub fn new(spec: MlpSpec, threads: NonZeroUsize) -> Result<Self, LearnError> {
        Self::on(VectorUnit::best(), spec, threads)
    }

    /// The same on a vector unit of one's choice: for tests and measurements.
    ///
    /// # Errors
    /// [`LearnError::Device`] if this machine does not have it, or if the operating system gives
    /// no more threads.
    pub fn on(unit: VectorUnit, spec: MlpSpec, threads: NonZeroUsize) -> Result<Self, LearnError> {
        let arch = unit.arch().ok_or_else(|| LearnError::Device {
            backend: "cpu",
            message: format!("this processor has no {unit}"),
        })?;
        let workers = Workers::standing(threads, || CpuTrainer::new(&spec, arch))?;
        Ok(Self { spec, unit, workers })
    }
}

impl Learner for CpuLearner {
    fn spec(&self) -> &MlpSpec {
        &self.spec
    }

    fn describe(&self) -> String {
        let threads = self.workers.count();
        let plural = if threads == 1 { "" } else { "s" };
        format!("cpu ({}, {threads} thread{plural})", self.unit)
    }

    fn arithmetic(&self) -> String {
        match self.unit {
            VectorUnit::Portable => "cpu, portable".to_owned(),
            // Every unit with fused multiply-add gives the same bits.
            _ => "cpu, fused".to_owned(),
        }
    }

    fn train_cohort(&self, job: &CohortJob<'_>) -> Result<CohortSum, LearnError> {
        cohort::train_cohort(&self.workers, &self.spec, job, NonZeroUsize::MIN)
    }

    fn evaluate(&self, params: &[f32], examples: &Examples<'_>) -> Result<Metrics, LearnError> {
        cohort::check_params(&self.spec, params)?;
        cohort::check_examples(&self.spec, 0, examples)?;
        cohort::evaluate_blocks(
            &self.workers,
            examples.len(),
            EVALUATION_BLOCK,
            |trainer| {
                trainer.network.reserve(EVALUATION_BLOCK.min(examples.len()));
                trainer.network.set_weights(params);
            },
            |trainer, rows| {
                trainer.visits.clear();
                trainer.visits.extend(rows.map(|row| row as u32));
                trainer.network.load(examples, &trainer.visits);
                Ok(trainer.network.evaluate())
            },
        )
    }
}

/// One worker's workspace.
struct CpuTrainer {
    network: Network,
    /// Visits of all epochs of the client at hand.
    visits: Vec<u32>,
}

impl CpuTrainer {
    fn new(spec: &MlpSpec, arch: Arch) -> Self {
        Self { network: Network::new(spec, arch), visits: Vec::new() }
    }

    /// Local steps from `client.params`; the trained weights stay in the workspace.
    fn descend(
        &mut self,
        client: &ClientJob<'_>,
        sgd: &LocalSgd,
        drift: Option<(f32, &[f32])>,
    ) -> (Metrics, u64) {
        let descent = Descent {
            rate: sgd.learning_rate as f32,
            momentum: sgd.momentum as f32,
            proximal: sgd.proximal as f32,
            initial: client.params,
            drift,
        };
        client.order(&mut self.visits);
        pixels::look_ahead(client.examples);
        self.network.reserve(sgd.batch_size.get().min(self.visits.len()));
        self.network.set_weights(client.params);
        if descent.momentum > 0.0 {
            self.network.clear_accumulator();
        }
        let (mut metrics, mut batches) = (Metrics::default(), 0);
        for rows in client.work.batch_plan().cut(&self.visits) {
            self.network.load(client.examples, rows);
            metrics += self.network.step(&Step::Descend(descent));
            batches += 1;
        }
        (metrics, batches)
    }

    /// The mean gradient at `client.params`; it stays in the workspace.
    fn differentiate(
        &mut self,
        client: &ClientJob<'_>,
        batch_size: NonZeroUsize,
    ) -> (Metrics, u64) {
        let examples = client.examples.len();
        let block = batch_size.get().min(GRADIENT_BLOCK);
        client.order(&mut self.visits);
        pixels::look_ahead(client.examples);
        self.network.reserve(block.min(examples));
        self.network.set_weights(client.params);
        self.network.clear_accumulator();
        let step = Step::Accumulate { scale: 1.0 / examples as f32 };
        let mut metrics = Metrics::default();
        for rows in BatchPlan::new(block, 1).cut(&self.visits) {
            self.network.load(client.examples, rows);
            metrics += self.network.step(&step);
        }
        (metrics, client.work.batch_plan().count(examples) as u64)
    }
}

impl ClientTrainer for CpuTrainer {
    fn train(
        &mut self,
        group: &[ClientJob<'_>],
        send: &mut dyn FnMut(usize, Trained<'_>),
    ) -> Result<(), LearnError> {
        for (index, client) in group.iter().enumerate() {
            let (metrics, batches) = match client.work {
                LocalWork::Sgd(sgd) => self.descend(client, sgd, None),
                LocalWork::Mime { sgd, momentum, velocity } => {
                    self.descend(client, sgd, Some((*momentum as f32, velocity)))
                }
                LocalWork::Gradient { batch_size } => self.differentiate(client, *batch_size),
            };
            let outcome = match client.work {
                LocalWork::Gradient { .. } => Outcome::Update(self.network.accumulator()),
                _ => Outcome::Weights(self.network.weights()),
            };
            send(index, Trained { outcome, metrics, batches });
        }
        Ok(())
    }
}
