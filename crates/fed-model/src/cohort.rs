//! A cohort through a learner that trains one client at a time.
//!
//! Clients are handed to the workers longest first. Every worker puts each update through the
//! rule while it is still warm, into a secret sum of its own; the sums are exact, so neither the
//! number of workers nor the way the clients fell to them changes a bit of the result.

use std::sync::atomic::{AtomicUsize, Ordering};

use dp_agg::SecretSum;
use fed_data::{Examples, ShuffleSeed};

use crate::error::LearnError;
use crate::learner::{ClientReport, CohortJob, CohortSum, Metrics};
use crate::spec::MlpSpec;
use crate::work::LocalWork;
use crate::workers::Workers;

/// Trains one client at a time in a workspace of its own.
pub(crate) trait ClientTrainer: Send {
    /// Trains one client from the broadcast parameters.
    ///
    /// The examples fit the network: the driver has looked.
    fn train(&mut self, client: &ClientJob<'_>) -> Result<Trained<'_>, LearnError>;
}

/// One client's part of a cohort.
pub(crate) struct ClientJob<'a> {
    /// Broadcast parameters.
    pub(crate) params: &'a [f32],
    /// The client's examples, possibly none.
    pub(crate) examples: &'a Examples<'a>,
    /// What to do.
    pub(crate) work: &'a LocalWork<'a>,
    /// In which order the examples are visited.
    pub(crate) order: VisitOrder,
}

/// What local work gives.
pub(crate) struct Trained<'a> {
    /// What is sent.
    pub(crate) outcome: Outcome<'a>,
    /// Training metrics, measured before each step.
    pub(crate) metrics: Metrics,
    /// Number of batches.
    pub(crate) batches: u64,
}

/// What a client sends, before the rule.
pub(crate) enum Outcome<'a> {
    /// Trained weights; the update is initial minus trained.
    Weights(&'a [f32]),
    /// The update itself.
    Update(&'a [f32]),
}

/// In which order a client visits its examples.
#[derive(Clone, Copy)]
pub(crate) struct VisitOrder {
    /// Index of the client in the population, the number of its shuffle stream.
    pub(crate) client: usize,
    /// Key of the shuffle streams; `None`: as they lie.
    pub(crate) shuffle: Option<ShuffleSeed>,
}

impl VisitOrder {
    /// Fills `rows` with the visits of all epochs, one after another: `epochs · examples` rows.
    ///
    /// Each epoch is a fresh permutation. Batches are cut from this one stream, so with several
    /// epochs a batch may hold the end of one and the beginning of the next, and only the very
    /// last batch may be smaller.
    pub(crate) fn fill(self, rows: &mut Vec<u32>, examples: usize, epochs: usize) {
        rows.clear();
        rows.resize(examples * epochs, 0);
        if examples == 0 {
            return;
        }
        let mut rng = self.shuffle.map(|seed| seed.rng(self.client));
        for epoch in rows.chunks_exact_mut(examples) {
            match &mut rng {
                Some(rng) => ShuffleSeed::permute(epoch, rng),
                None => epoch.iter_mut().zip(0..).for_each(|(row, index)| *row = index),
            }
        }
    }
}

/// What one worker brings back.
#[derive(Default)]
struct Part {
    sum: Option<SecretSum>,
    /// Reports with their place in the cohort.
    reports: Vec<(usize, ClientReport)>,
    failure: Option<(usize, LearnError)>,
}

/// Trains the cohort of `job`, one client at a time on each worker.
pub(crate) fn train_cohort<T: ClientTrainer>(
    workers: &Workers<T>,
    spec: &MlpSpec,
    job: &CohortJob<'_>,
) -> Result<CohortSum, LearnError> {
    check(spec, job)?;
    let places = longest_first(job);
    let next = AtomicUsize::new(0);
    let parts = workers.run(|trainer| {
        let mut part = Part::default();
        while let Some(&place) = places.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(error) = train_one(trainer, spec, job, place, &mut part) {
                // The whole cohort is tried, so that the error does not depend on timing.
                if part.failure.as_ref().is_none_or(|(earlier, _)| place < *earlier) {
                    part.failure = Some((place, error));
                }
            }
        }
        part
    });
    merge(parts, spec.dim(), job)
}

/// Trains the client at `place` of the cohort into `part`.
fn train_one<T: ClientTrainer>(
    trainer: &mut T,
    spec: &MlpSpec,
    job: &CohortJob<'_>,
    place: usize,
    part: &mut Part,
) -> Result<(), LearnError> {
    let client = job.cohort[place];
    let examples = job.population.client(client);
    check_examples(spec, client, &examples)?;
    let order = VisitOrder { client, shuffle: job.shuffle };
    let client_job = ClientJob { params: job.params, examples: &examples, work: job.work, order };
    let trained = trainer.train(&client_job)?;
    let sum = part.sum.get_or_insert_with(|| SecretSum::open(job.rule, spec.dim()));
    let weight = examples.len() as u64;
    let verdict = match trained.outcome {
        Outcome::Weights(weights) => sum.add_difference(job.params, weights, weight),
        Outcome::Update(update) => sum.add(update, weight),
    };
    // A broken client's metrics are as broken as its update.
    let (metrics, batches) =
        if verdict.finite { (trained.metrics, trained.batches) } else { Default::default() };
    part.reports.push((place, ClientReport { client, verdict, metrics, batches }));
    Ok(())
}

/// Sums of the workers into one, reports back into cohort order.
fn merge(parts: Vec<Part>, dim: usize, job: &CohortJob<'_>) -> Result<CohortSum, LearnError> {
    let mut whole = Part::default();
    for part in parts {
        if let Some((place, error)) = part.failure
            && whole.failure.as_ref().is_none_or(|(earlier, _)| place < *earlier)
        {
            whole.failure = Some((place, error));
        }
        whole.reports.extend(part.reports);
        match (&mut whole.sum, part.sum) {
            (Some(sum), Some(other)) => sum.merge(other),
            (sum @ None, other) => *sum = other,
            (Some(_), None) => {}
        }
    }
    if let Some((_, error)) = whole.failure {
        return Err(error);
    }
    whole.reports.sort_unstable_by_key(|(place, _)| *place);
    Ok(CohortSum {
        sum: whole.sum.unwrap_or_else(|| SecretSum::open(job.rule, dim)),
        reports: whole.reports.into_iter().map(|(_, report)| report).collect(),
    })
}

/// Places in the cohort by falling number of examples; equal ones as they lie.
fn longest_first(job: &CohortJob<'_>) -> Vec<usize> {
    let mut places: Vec<usize> = (0..job.cohort.len()).collect();
    places.sort_by_key(|&place| std::cmp::Reverse(job.population.num_examples(job.cohort[place])));
    places
}

/// Whether parameters, population and velocity fit the network.
pub(crate) fn check(spec: &MlpSpec, job: &CohortJob<'_>) -> Result<(), LearnError> {
    check_params(spec, job.params)?;
    if let LocalWork::Mime { velocity, .. } = job.work {
        expect("the length of the server's velocity", spec.dim(), velocity.len())?;
    }
    if job.cohort.is_empty() {
        return Ok(());
    }
    expect("the number of features of an example", spec.inputs(), job.population.width())
}

/// Whether the parameters fit the network.
pub(crate) fn check_params(spec: &MlpSpec, params: &[f32]) -> Result<(), LearnError> {
    expect("the length of the parameter vector", spec.dim(), params.len())
}

/// Whether the examples of `client` fit the network.
pub(crate) fn check_examples(
    spec: &MlpSpec,
    client: usize,
    examples: &Examples<'_>,
) -> Result<(), LearnError> {
    expect("the number of features of an example", spec.inputs(), examples.width())?;
    let classes = spec.classes();
    match examples.labels().iter().find(|&&label| usize::from(label) >= classes) {
        Some(&label) => Err(LearnError::Label { client, label, classes }),
        None => Ok(()),
    }
}

/// A shape error unless `found` is what is expected.
fn expect(what: &'static str, expected: usize, found: usize) -> Result<(), LearnError> {
    if found == expected { Ok(()) } else { Err(LearnError::Shape { what, expected, found }) }
}
