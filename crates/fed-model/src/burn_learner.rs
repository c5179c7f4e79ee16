//! Local training in the tensor operations of Burn, on whatever device it offers.
//!
//! There is one form of training in two settings. Parameters carry a leading client axis,
//! `[clients, in, out]`, batches are padded to the longest one and products are batched, so that
//! the number of kernels a round launches does not grow with the cohort. A graphics card is given
//! as many clients at once as its share of memory holds: their examples go up before the first
//! step, as bytes where they are bytes; loss gradients, updates, norms, clipping, rounding to the
//! grid and the sum over clients stay there, and one sum comes down (the module `clip` says why
//! it is exact and why no client exceeds the clip norm). On a CPU one client at a time on each
//! worker is faster, its client axis has length one, and its update goes through the rule where
//! every other learner's does.
//!
//! The gradient is written out in tensor operations, a handful of products; automatic
//! differentiation ([`BurnLearner::with_autodiff`]) is the reference that it is tested against.
//! Training metrics are measured on the host, by the code of every other learner, from the logits
//! of all steps; these come down once, in one go.
//!
//! Automatic differentiation in Burn keeps its leaves in a table of the whole process, and
//! clients that share leaves between threads can deadlock; here every batch of every worker has
//! leaves of its own.

mod batches;
mod clip;
mod device;
mod group;
mod network;

use std::num::NonZeroUsize;

use burn::tensor::Device;
use fed_data::Examples;

use self::group::GroupTrainer;
use self::network::Differentiation;
use crate::cohort::{self, GroupBytes, Grouping};
use crate::error::LearnError;
use crate::learner::{CohortJob, CohortSum, Learner, Metrics};
use crate::spec::MlpSpec;
use crate::work::LocalWork;
use crate::workers::Workers;

/// Examples of an evaluation that one worker takes at a time.
const EVALUATION_BLOCK: usize = 2048;

/// Clients at most that train side by side. Their parameters stay within the 128 MiB that every
/// graphics device binds at once, for a network of the tutorial's size.
const GROUP_CLIENTS: NonZeroUsize = NonZeroUsize::new(128).expect("positive");

// Their sum must stay exact.
const _: () = assert!(GROUP_CLIENTS.get() <= clip::MOST_CLIENTS);

/// Bytes that a group of clients may take on a device.
const GROUP_BYTES: usize = 1 << 30;

/// Trains through Burn. See the module's page.
pub struct BurnLearner {
    spec: MlpSpec,
    workers: Workers<GroupTrainer>,
    /// Clients that one worker trains side by side at most; `None`: one at a time.
    group: Option<NonZeroUsize>,
    name: String,
    arithmetic: String,
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
        let trainer = || GroupTrainer::new(&spec, device.clone(), true);
        let workers = Workers::scoped(NonZeroUsize::MIN, trainer);
        let name = format!("wgpu ({adapter}, up to {GROUP_CLIENTS} clients at once)");
        let arithmetic = name.clone();
        Ok(Self { spec, workers, group: Some(GROUP_CLIENTS), name, arithmetic })
    }

    /// The same learner with the gradient taken by Burn's automatic differentiation: slower, and
    /// the same up to rounding.
    #[must_use]
    pub fn with_autodiff(mut self) -> Self {
        self.workers.run(|trainer| trainer.differentiate_by(Differentiation::Tape));
        self.describe_also(", autodiff");
        self
    }

    /// The same learner as on a graphics card: up to `clients` clients at a time on each worker
    /// (at most 256), clipped and summed on the device. The result is the same up to rounding.
    #[must_use]
    pub fn with_group(mut self, clients: NonZeroUsize) -> Self {
        let clients = clients.min(NonZeroUsize::new(clip::MOST_CLIENTS).expect("positive"));
        self.workers.run(|trainer| trainer.set_remote(true));
        self.group = Some(clients);
        self.describe_also(&format!(", groups of up to {clients}"));
        self
    }

    fn describe_also(&mut self, what: &str) {
        self.name.push_str(what);
        self.arithmetic.push_str(what);
    }

    fn on_cpu(backend: &str, device: Device, spec: MlpSpec, threads: NonZeroUsize) -> Self {
        let trainer = || GroupTrainer::new(&spec, device.clone(), false);
        let workers = Workers::scoped(threads, trainer);
        let plural = if threads == NonZeroUsize::MIN { "" } else { "s" };
        let name = format!("{backend} (Burn on the CPU, {threads} thread{plural})");
        Self { spec, workers, group: None, name, arithmetic: backend.to_owned() }
    }

    /// How many clients train together under this work.
    fn grouping(&self, work: &LocalWork<'_>) -> Grouping {
        let Some(clients) = self.group else {
            return Grouping { clients: NonZeroUsize::MIN, bytes: None };
        };
        let (epochs, batch) = match work {
            LocalWork::Sgd(sgd) | LocalWork::Mime { sgd, .. } => (sgd.epochs, sgd.batch_size),
            LocalWork::Gradient { batch_size } => (NonZeroUsize::MIN, *batch_size),
        };
        let (inputs, classes) = (self.spec.inputs(), self.spec.classes());
        let widths: usize = self.spec.widths().iter().sum();
        // Numbers: weights, gradients, updates and what is made of them; activations of a batch
        // forward and backward; features; targets, logits and order of every visit.
        let client = 8 * self.spec.dim() + 3 * batch.get().min(256) * widths;
        let example = 2 * (inputs + 1) + epochs.get() * (2 * classes + 2);
        let number = size_of::<f32>();
        let bytes =
            GroupBytes { most: GROUP_BYTES, client: number * client, example: number * example };
        Grouping { clients, bytes: Some(bytes) }
    }
}

impl Learner for BurnLearner {
    fn spec(&self) -> &MlpSpec {
        &self.spec
    }

    fn describe(&self) -> String {
        self.name.clone()
    }

    fn arithmetic(&self) -> String {
        self.arithmetic.clone()
    }

    /// Not side by side: the shape of a product, and so its rounding, follows the longest client.
    fn keeps_apart(&self) -> bool {
        self.group.is_none()
    }

    fn train_cohort(&self, job: &CohortJob<'_>) -> Result<CohortSum, LearnError> {
        cohort::train_groups(
            &self.workers,
            &self.spec,
            job,
            &self.grouping(job.work),
            |trainer| trainer.open(job.params, job.work),
            |trainer, group, sink| trainer.train(group, sink),
        )
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
