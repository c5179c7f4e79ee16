//! Simulation of user-level differentially private federated learning: rounds, sweeps, records.
//!
//! A [`Simulation`] is a training run between two rounds. Each [`step`](Simulation::step) draws a
//! cohort (every client on its own, Poisson sampling), has a
//! [`Learner`](fed_model::Learner) train it into one secret sum of clipped updates, pays for the
//! release on the [`Ledger`](dp_accounting::Ledger), releases the noisy mean through an
//! [`Aggregator`](dp_agg::Aggregator) and lets the [`Server`] step. Every ε is computed from the
//! ledger, and the ledger is filled from nothing but what the sampler and the aggregator say they
//! do.
//!
//! What decides a run's numbers is one value, a [`RunConfig`], usually unfolded from an
//! [`Experiment`] in TOML. All randomness of a simulation comes from its [`Seed`] through named
//! streams, so equal configurations give equal runs, bit for bit, on any number of threads; runs
//! that differ in anything that decides their numbers share neither noise nor cohorts ([`keys`]).
//!
//! ```
//! use fed_data::{Examples, Split};
//! use fed_model::{MlpSpec, ReferenceLearner};
//! use fed_sim::{Experiment, Simulation};
//!
//! // Twenty clients with a handful of examples each: two features, two classes.
//! let clients = (0..20_u32).map(|client| {
//!     let labels: Vec<u8> = (0..8).map(|i| ((client + i) % 2) as u8).collect();
//!     let features: Vec<f32> = labels.iter().flat_map(|&y| [f32::from(y), 1.0]).collect();
//!     (format!("client{client:02}"), Examples::from_floats(features, labels, 2))
//! });
//! let population = Split::from_clients(clients, 2)?;
//!
//! let experiment = Experiment::parse(
//!     r#"
//!     name = "tiny"
//!     seeds = [1]
//!     rounds = 5
//!     delta = 1e-3
//!     [sweep]
//!     noise_multipliers = [0.4]
//!     clients_per_round = [5]
//!     "#,
//!     "tiny.toml",
//! )?;
//! let learner = ReferenceLearner::new(MlpSpec::new([2, 4, 2]));
//! for config in experiment.runs() {
//!     let mut run = Simulation::new(config, &population, &learner)?;
//!     while run.round() < 5 {
//!         run.step()?;
//!     }
//!     let after = run.evaluate(&population.all_examples())?;
//!     assert!(after.epsilon.is_finite());
//!     assert_eq!(run.ledger().len(), 5);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The algorithm is DP-FedAvg ([McMahan et al. 2018]) with adaptive clipping ([Andrew et al.
//! 2021]); FedProx, FedSGD and Mime Lite share the loop. [`PrivacyStatement`] says what a run
//! guarantees and what it does not.
//!
//! [McMahan et al. 2018]: https://arxiv.org/abs/1710.06963
//! [Andrew et al. 2021]: https://arxiv.org/abs/1905.03871

pub mod audit;
pub mod checkpoint;
pub mod cohort;
pub mod config;
pub mod directory;
pub mod divergence;
pub mod durable;
pub mod error;
pub mod journal;
pub mod keyed_digest;
pub mod keys;
pub mod ledger_file;
pub mod plan;
pub mod record;
pub mod run_number;
pub mod seed;
pub mod server;
pub mod simulation;
pub mod standing;
pub mod state;
pub mod statement;
pub mod summary;
pub mod text;
pub mod weights;

pub use cohort::{CohortSampler, Sampling};
pub use config::{Experiment, RunConfig};
pub use directory::{Cell, CellWriter, Opened, RunDirectory, Schedule};
pub use error::SimError;
pub use record::{EvaluationRecord, Observer, PhaseTimes, RoundRecord};
pub use seed::{Seed, Stream};
pub use server::{Server, ServerOptimizer};
pub use simulation::Simulation;
pub use standing::Standing;
pub use state::{Saved, Snapshot};
pub use statement::PrivacyStatement;
