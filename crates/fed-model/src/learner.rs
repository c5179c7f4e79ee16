//! The seam between a round and whoever trains its cohort.
//!
//! Outside this crate a model is one flat `f32` vector (see [`crate::spec::MlpSpec`] for its
//! layout) and a learner is this trait. A learner is given the broadcast parameters, the cohort
//! and the rule that every update must pass, and hands back one secret sum: never a list of
//! updates. Updates are *initial minus trained* weights, a pseudo-gradient that the server
//! subtracts.

use dp_agg::{SecretSum, UpdateRule, Verdict};
use fed_data::{Examples, FederatedData, ShuffleSeed};
use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::error::LearnError;
use crate::spec::MlpSpec;
use crate::work::LocalWork;

/// Everything that a learner needs to train the cohort of one round.
#[derive(Clone, Copy)]
pub struct CohortJob<'a> {
    /// Broadcast parameters, `dim` long.
    pub params: &'a [f32],
    /// The population.
    pub population: &'a dyn FederatedData,
    /// Indices of the drawn clients, ascending and distinct. May be empty.
    pub cohort: &'a [usize],
    /// The rule that every update must pass.
    pub rule: &'a UpdateRule,
    /// What a client does with the parameters.
    pub work: &'a LocalWork<'a>,
    /// Streams of the clients' shuffles, one for each id; `None`: examples are visited as they
    /// lie.
    pub shuffle: Option<ShuffleSeed>,
}

/// What the training of one cohort gives.
pub struct CohortSum {
    /// The clipped updates, summed; consumed by the aggregator.
    pub sum: SecretSum,
    /// One report a client, in cohort order. Raw client data: only a simulation may look at it.
    pub reports: Vec<ClientReport>,
}

/// What a simulation knows about one client's part in a round.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClientReport {
    /// Index of the client in the population.
    pub client: usize,
    /// What the rule said of its update.
    pub verdict: Verdict,
    /// Training metrics, measured before each step; empty where the update was not finite.
    pub metrics: Metrics,
    /// Number of batches trained on (zero where the update was not finite).
    pub batches: u64,
}

/// Sums over examples, from which the means are taken at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Number of examples.
    pub examples: u64,
    /// Examples whose first-largest logit is the label.
    pub correct: u64,
    /// Sum over examples of the cross entropy, in nats.
    pub loss_sum: f64,
}

impl Metrics {
    /// Share of correct examples; 0 where there is no example.
    #[must_use]
    pub fn accuracy(&self) -> f64 {
        if self.examples == 0 { 0.0 } else { self.correct as f64 / self.examples as f64 }
    }

    /// Mean cross entropy in nats; 0 where there is no example.
    #[must_use]
    pub fn loss(&self) -> f64 {
        if self.examples == 0 { 0.0 } else { self.loss_sum / self.examples as f64 }
    }
}

impl std::ops::AddAssign for Metrics {
    fn add_assign(&mut self, other: Self) {
        self.examples += other.examples;
        self.correct += other.correct;
        self.loss_sum += other.loss_sum;
    }
}

/// Trains cohorts and evaluates parameters.
///
/// Every learner keeps, whatever its back end and its number of workers: the result is the same
/// bit for bit for the same job; the updates differ between learners by rounding alone; reports
/// come in cohort order; a client without examples gives zeros.
///
/// **One client moves nobody else's update.** What a client adds to the sum, and what is reported
/// of it, depends on that client's examples, on what is broadcast (parameters, rule, work), and on
/// randomness that is its own (its [shuffle stream](ShuffleSeed), found by its id) or secret; on
/// nothing else, to the last bit. Not on its index, nor on who else is in the population or the
/// cohort, who shares its worker or its group on a device, nor on what was trained before. The
/// sum is exact, so with a client and without it two sums differ by that client's clipped update:
/// the guarantee rests on it. An error is all that a client can do to others: then nobody's
/// update is released.
///
/// A learner for which this is not shown to the last bit says so ([`keeps_apart`](Self::keeps_apart))
/// and is for simulations alone: Burn's learners that train clients side by side (`wgpu`, and the
/// others with groups). Their products have the height of the longest client of a group, and a
/// device may round another shape in another way, so there a client may move its mates by
/// roundings of single precision, which no price covers.
pub trait Learner: Send + Sync {
    /// The network.
    fn spec(&self) -> &MlpSpec;

    /// A name for records and screens: back end, device, threads.
    fn describe(&self) -> String;

    /// What decides how its results are rounded, for keys of random draws: the back end, and with
    /// what it computes, but not the number of threads. Learners whose results differ in a bit
    /// have different names.
    fn arithmetic(&self) -> String;

    /// Whether one client moves nobody else's update, to the last bit. Where it is not shown, no
    /// release is made with the learner.
    fn keeps_apart(&self) -> bool {
        true
    }

    /// Length of the parameter vector.
    fn dim(&self) -> usize {
        self.spec().dim()
    }

    /// Initial parameters drawn from `rng`: the same on every back end.
    fn init(&self, rng: &mut dyn Rng) -> Vec<f32> {
        self.spec().glorot_uniform(rng)
    }

    /// Trains every client of the cohort from the same parameters and sums the updates.
    ///
    /// # Errors
    /// [`LearnError`] if parameters or data do not fit the network or the device fails.
    fn train_cohort(&self, job: &CohortJob<'_>) -> Result<CohortSum, LearnError>;

    /// Loss and accuracy of `params` on `examples`: exact means over examples.
    ///
    /// # Errors
    /// [`LearnError`] if parameters or data do not fit the network or the device fails.
    fn evaluate(&self, params: &[f32], examples: &Examples<'_>) -> Result<Metrics, LearnError>;
}
