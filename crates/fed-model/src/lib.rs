//! Local training of many small federated clients over flat parameter vectors.
//!
//! A federated round sends parameters to a cohort of clients, each of which trains on its own few
//! examples and sends back what changed. This crate does the clients' part, for dense networks
//! and for cohorts that train on one machine: hundreds of clients with a hundred examples each,
//! where the overhead of a tensor library weighs as much as the arithmetic.
//!
//! Outside this crate a model is one flat `f32` vector, whose layout [`MlpSpec`] states, and
//! whoever trains is a [`Learner`]. A learner is given a [`CohortJob`]: broadcast parameters, the
//! population, the indices of the drawn clients, the kind of local work, and the rule that every
//! update must pass. It hands back a [`CohortSum`]: one secret sum of clipped updates, never a
//! list of them, and one report a client.
//!
//! [`open`] turns the name of a [`Backend`] into a learner:
//!
//! | back end | feature | what it is |
//! |---|---|---|
//! | `cpu` | `cpu` (default) | our own trainer: whole clients per core, products accumulated straight into the weights |
//! | `flex` | `burn` | Burn on its CPU back end |
//! | `ndarray` | `burn` | Burn on its older, deprecated CPU back end |
//! | `wgpu` | `wgpu` | Burn on a graphics card (or a software renderer), many clients at once |
//!
//! Every back end computes the same up to rounding: the same initial parameters, the same order
//! of examples, the same batches. All are tested against [`ReferenceLearner`], which does
//! everything in double precision and needs no feature, so that code above this crate can be
//! tested without a back end. For one back end the result is the same bit for bit from run to
//! run, whatever the number of workers.
//!
//! # Example
//!
//! Two clients, one of them without examples, one pass of SGD, and the plain mean of what they
//! send:
//!
//! ```
//! use std::borrow::Cow;
//! use std::num::NonZeroUsize;
//!
//! use dp_agg::{Aggregator, Noise, PlainMean, Weighting};
//! use fed_data::{Examples, FederatedData, ShuffleSeed};
//! use fed_model::{CohortJob, Learner, LocalSgd, LocalWork, MlpSpec, ReferenceLearner};
//! use rand::SeedableRng;
//!
//! struct Two(Examples<'static>);
//!
//! impl FederatedData for Two {
//!     fn num_clients(&self) -> usize {
//!         2
//!     }
//!     fn client_id(&self, index: usize) -> Cow<'_, str> {
//!         index.to_string().into()
//!     }
//!     fn num_examples(&self, index: usize) -> usize {
//!         self.client(index).len()
//!     }
//!     fn client(&self, index: usize) -> Examples<'_> {
//!         self.0.slice(if index == 0 { 0..self.0.len() } else { 0..0 })
//!     }
//!     fn width(&self) -> usize {
//!         2
//!     }
//!     fn classes(&self) -> usize {
//!         2
//!     }
//! }
//!
//! // A point's class is its brighter pixel.
//! let examples = Examples::from_bytes(vec![255, 0, 0, 255, 200, 9, 30, 99], vec![0, 1, 0, 1], 2);
//! let population = Two(examples.clone());
//!
//! let learner = ReferenceLearner::new(MlpSpec::new([2, 4, 2]));
//! let mut params = learner.init(&mut rand_chacha::ChaCha8Rng::seed_from_u64(1));
//! let before = learner.evaluate(&params, &examples)?;
//!
//! let mut aggregator = PlainMean::new(Weighting::Examples);
//! let rule = aggregator.rule();
//! let work = LocalWork::Sgd(LocalSgd {
//!     learning_rate: 0.1,
//!     momentum: 0.0,
//!     batch_size: NonZeroUsize::new(2).expect("positive"),
//!     epochs: NonZeroUsize::new(20).expect("positive"),
//!     proximal: 0.0,
//! });
//! let trained = learner.train_cohort(&CohortJob {
//!     params: &params,
//!     population: &population,
//!     cohort: &[0, 1],
//!     rule: &rule,
//!     work: &work,
//!     shuffle: Some(ShuffleSeed::new([7; 32])),
//! })?;
//! assert_eq!(trained.reports[0].batches, 40);
//! assert_eq!(trained.reports[1].metrics.examples, 0);
//!
//! // Updates are initial minus trained weights: the server subtracts.
//! let noise = Noise::none(params.len(), rule.grid());
//! let update = aggregator.release(trained.sum, noise)?.mean;
//! params.iter_mut().zip(&update).for_each(|(weight, update)| *weight -= update);
//! assert!(learner.evaluate(&params, &examples)?.loss() < before.loss());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod backend;
#[cfg(feature = "burn")]
pub mod burn_learner;
mod cohort;
#[cfg(feature = "cpu")]
pub mod cpu;
pub mod error;
pub mod learner;
#[cfg(any(feature = "cpu", feature = "burn"))]
mod loss;
#[cfg(any(feature = "cpu", feature = "burn"))]
mod pixels;
pub mod reference;
pub mod spec;
pub mod work;
mod workers;

pub use backend::{Backend, UnknownBackend, open, open_in_groups};
#[cfg(feature = "burn")]
pub use burn_learner::BurnLearner;
#[cfg(feature = "cpu")]
pub use cpu::{CpuLearner, UnknownVectorUnit, VectorUnit};
pub use error::LearnError;
pub use learner::{ClientReport, CohortJob, CohortSum, Learner, Metrics};
pub use reference::ReferenceLearner;
pub use spec::{LayerSlot, MlpSpec};
pub use work::{LocalSgd, LocalWork};
