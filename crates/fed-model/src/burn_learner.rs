//! Local training in the tensor operations of Burn, on whatever device it offers.
//!
//! Many clients can train at once: parameters carry a leading client axis, `[clients, in, out]`,
//! batches are padded to the longest one and products are batched, so that the number of kernels
//! a round launches does not grow with the cohort. A graphics card is given as many clients as
//! its share of memory holds; on a CPU one client at a time on each worker is faster, and the
//! client axis has length one.
//!
//! The gradient is written out in tensor operations, a handful of products; automatic
//! differentiation ([`BurnLearner::with_autodiff`]) is the reference that it is tested against.
//! The logits come back to the host for loss, accuracy and their gradient, computed by the same
//! code as for every other learner; they are a few kilobytes a batch.
//!
//! Automatic differentiation in Burn keeps its leaves in a table of the whole process, and
//! clients that share leaves between threads can deadlock; here every batch of every worker has
//! leaves of its own.

mod device;
mod network;

use std::num::NonZeroUsize;

use burn::tensor::Device;
use fed_data::Examples;

use self::network::{Differentiation, GroupTrainer};
use crate::cohort;
use crate::error::LearnError;
use crate::learner::{CohortJob, CohortSum, Learner, Metrics};
use crate::spec::MlpSpec;
use crate::workers::Workers;

/// Examples of an evaluation that one worker takes at a time.
const EVALUATION_BLOCK: usize = 2048;

/// Bytes on a graphics device that a group of clients may take.
#[cfg(feature = "wgpu")]
const GROUP_BYTES: usize = 512 << 20;

/// Trains through Burn. See the module's page.
pub struct BurnLearner {
    spec: MlpSpec,
    workers: Workers<GroupTrainer>,
    /// Clients that one worker trains at once.
    group: NonZeroUsize,
    name: String,
}

impl BurnLearner {
    /// A learner on Burn's CPU back end `flex`, one client at a time on each of `threads` workers.
    #[must_use]
    pub fn flex(spec: MlpSpec, threads: NonZeroUsize) -> Self {
        Self::on_cpu("flex", device::flex(), spec, threads)
    }

    /// A learner on Burn's deprecated CPU back end `ndarray`, one client at a time on each of
    /// `threads` workers.
    #[must_use]
    pub fn ndarray(spec: MlpSpec, threads: NonZeroUsize) -> Self {
        Self::on_cpu("ndarray", device::ndarray(), spec, threads)
    }

    /// A learner on the best graphics adapter, many clients at once.
    ///
    /// # Errors
    /// [`LearnError::Device`] if there is no adapter that can be used; the message says which
    /// interfaces were asked and what each of them offered.
    #[cfg(feature = "wgpu")]
    pub fn wgpu(spec: MlpSpec) -> Result<Self, LearnError> {
        let (device, adapter) = device::wgpu()?;
        let group = network::clients_within(&spec, GROUP_BYTES);
        let workers = Workers::scoped(NonZeroUsize::MIN, || {
            GroupTrainer::new(&spec, device.clone(), Differentiation::Written)
        });
        let name = format!("wgpu ({adapter}, groups of {group} clients)");
        Ok(Self { spec, workers, group, name })
    }

    /// The same learner with the gradient taken by Burn's automatic differentiation: slower, and
    /// the same up to rounding.
    #[must_use]
    pub fn with_autodiff(mut self) -> Self {
        self.workers.run(|trainer| trainer.differentiate_by(Differentiation::Tape));
        self.name.push_str(", autodiff");
        self
    }

    /// The same learner with at most `clients` clients at a time on each worker. The result is
    /// the same up to rounding.
    #[must_use]
    pub fn with_group(mut self, clients: NonZeroUsize) -> Self {
        self.group = clients;
        self
    }

    fn on_cpu(backend: &str, device: Device, spec: MlpSpec, threads: NonZeroUsize) -> Self {
        let workers = Workers::scoped(threads, || {
            GroupTrainer::new(&spec, device.clone(), Differentiation::Written)
        });
        let plural = if threads == NonZeroUsize::MIN { "" } else { "s" };
        let name = format!("{backend} (Burn on the CPU, {threads} thread{plural})");
        Self { spec, workers, group: NonZeroUsize::MIN, name }
    }
}

impl Learner for BurnLearner {
    fn spec(&self) -> &MlpSpec {
        &self.spec
    }

    fn describe(&self) -> String {
        self.name.clone()
    }

    fn train_cohort(&self, job: &CohortJob<'_>) -> Result<CohortSum, LearnError> {
        cohort::train_cohort(&self.workers, &self.spec, job, self.group)
    }

    fn evaluate(&self, params: &[f32], examples: &Examples<'_>) -> Result<Metrics, LearnError> {
        cohort::check_params(&self.spec, params)?;
        cohort::check_examples(&self.spec, 0, examples)?;
        cohort::evaluate_blocks(
            &self.workers,
            examples.len(),
            EVALUATION_BLOCK,
            |trainer| trainer.load_params(params),
            |trainer, rows| trainer.evaluate(examples, rows),
        )
    }
}
