//! A cohort through a learner that trains one client, or one group of clients, at a time.
//!
//! Clients are handed to the workers longest first. Every worker puts each update through the
//! rule while it is still warm, into a secret sum of its own; the sums are exact, so neither the
//! number of workers nor the way the clients fell to them changes a bit of the result.

use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use dp_agg::SecretSum;
use fed_data::{Examples, ShuffleSeed};

use crate::error::LearnError;
use crate::learner::{ClientReport, CohortJob, CohortSum, Metrics};
use crate::spec::MlpSpec;
use crate::work::LocalWork;
use crate::workers::Workers;

/// Trains a group of clients at a time in a workspace of its own.
pub(crate) trait ClientTrainer: Send {
    /// Trains every client of `group` from the broadcast parameters and hands each result to
    /// `send` with its place in the group.
    ///
    /// The group is not empty and not larger than the driver was told; the examples fit the
    /// network: the driver has looked.
    fn train(
        &mut self,
        group: &[ClientJob<'_>],
        send: &mut dyn FnMut(usize, Trained<'_>),
    ) -> Result<(), LearnError>;
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
    #[cfg(any(feature = "cpu", feature = "burn"))]
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

/// Trains the cohort of `job`, at most `group` clients at a time on each worker.
pub(crate) fn train_cohort<T: ClientTrainer>(
    workers: &Workers<T>,
    spec: &MlpSpec,
    job: &CohortJob<'_>,
    group: NonZeroUsize,
) -> Result<CohortSum, LearnError> {
    check(spec, job)?;
    let places = longest_first(job);
    let groups: Vec<&[usize]> = places.chunks(group.get()).collect();
    let next = AtomicUsize::new(0);
    let parts = workers.run(|trainer| {
        let mut part = Part::default();
        while let Some(group) = groups.get(next.fetch_add(1, Ordering::Relaxed)) {
            // After an error the rest is still tried, so that which error is reported does not
            // depend on timing.
            if let Err((place, error)) = train_group(trainer, spec, job, group, &mut part)
                && part.failure.as_ref().is_none_or(|(earlier, _)| place < *earlier)
            {
                part.failure = Some((place, error));
            }
        }
        part
    });
    merge(parts, spec.dim(), job)
}

/// Trains the clients at `places` of the cohort into `part`; an error comes with its place.
fn train_group<T: ClientTrainer>(
    trainer: &mut T,
    spec: &MlpSpec,
    job: &CohortJob<'_>,
    places: &[usize],
    part: &mut Part,
) -> Result<(), (usize, LearnError)> {
    let examples: Vec<_> =
        places.iter().map(|&place| job.population.client(job.cohort[place])).collect();
    let failure = places.iter().zip(&examples).filter_map(|(&place, examples)| {
        Some((place, check_examples(spec, job.cohort[place], examples).err()?))
    });
    if let Some(first) = failure.min_by_key(|(place, _)| *place) {
        return Err(first);
    }
    let group: Vec<_> = places
        .iter()
        .zip(&examples)
        .map(|(&place, examples)| ClientJob {
            params: job.params,
            examples,
            work: job.work,
            order: VisitOrder { client: job.cohort[place], shuffle: job.shuffle },
        })
        .collect();
    let sum = part.sum.get_or_insert_with(|| SecretSum::open(job.rule, spec.dim()));
    let reports = &mut part.reports;
    let mut send = |index: usize, trained: Trained<'_>| {
        let weight = group[index].examples.len() as u64;
        let verdict = match trained.outcome {
            #[cfg(any(feature = "cpu", feature = "burn"))]
            Outcome::Weights(weights) => sum.add_difference(job.params, weights, weight),
            Outcome::Update(update) => sum.add(update, weight),
        };
        // A broken client's metrics are as broken as its update.
        let (metrics, batches) =
            if verdict.finite { (trained.metrics, trained.batches) } else { Default::default() };
        let client = group[index].order.client;
        reports.push((places[index], ClientReport { client, verdict, metrics, batches }));
    };
    trainer.train(&group, &mut send).map_err(|error| (places[0], error))
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

/// Metrics of `examples` examples, cut into blocks of `block` that the workers share.
///
/// Each worker first runs `open`. The blocks do not depend on the number of workers and are added
/// in order, so the sum of the loss does not either.
pub(crate) fn evaluate_blocks<T: Send>(
    workers: &Workers<T>,
    examples: usize,
    block: usize,
    open: impl Fn(&mut T) + Sync,
    measure: impl Fn(&mut T, Range<usize>) -> Result<Metrics, LearnError> + Sync,
) -> Result<Metrics, LearnError> {
    let blocks = examples.div_ceil(block);
    let next = AtomicUsize::new(0);
    let parts = workers.run(|trainer| {
        let mut measured = Vec::new();
        open(trainer);
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= blocks {
                return measured;
            }
            let start = index * block;
            measured.push((index, measure(trainer, start..(start + block).min(examples))));
        }
    });
    let mut measured: Vec<_> = parts.into_iter().flatten().collect();
    measured.sort_unstable_by_key(|(index, _)| *index);
    let mut total = Metrics::default();
    for (_, block) in measured {
        total += block?;
    }
    Ok(total)
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
