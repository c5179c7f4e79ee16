//! A cohort through a learner that trains one client, or one group of clients, at a time.
//!
//! Clients are handed to the workers longest first. Every worker puts each update through the
//! rule while it is still warm, into a secret sum of its own; the sums are exact, so neither the
//! number of workers nor the way the clients fell to them changes a bit of the result.

use std::borrow::Cow;
use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

#[cfg(feature = "burn")]
use dp_agg::{AggregateError, SummedClient, UpdateRule};
use dp_agg::{SecretSum, Verdict};
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

/// One client's part of a cohort: everything that its update may depend on, and nothing that
/// another client could change.
pub(crate) struct ClientJob<'a> {
    /// Broadcast parameters.
    pub(crate) params: &'a [f32],
    /// The client's examples, possibly none.
    pub(crate) examples: &'a Examples<'a>,
    /// What to do.
    pub(crate) work: &'a LocalWork<'a>,
    /// The client's id.
    id: Cow<'a, str>,
    /// Key of the shuffle streams; `None`: examples are visited as they lie.
    shuffle: Option<ShuffleSeed>,
}

impl ClientJob<'_> {
    /// Fills `rows` with the examples in the order in which the client visits them.
    pub(crate) fn order(&self, rows: &mut Vec<u32>) {
        let rng = self.shuffle.map(|seed| seed.rng(&self.id));
        self.work.batch_plan().order(rows, self.examples.len(), rng);
    }
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

/// What one worker brings back.
#[derive(Default)]
struct Part {
    sum: Option<SecretSum>,
    /// Reports with their place in the cohort.
    reports: Vec<(usize, ClientReport)>,
    failure: Option<(usize, LearnError)>,
}

/// Where the results of one group of clients go: through the rule, into a worker's secret sum.
pub(crate) struct Sink<'a> {
    #[cfg(any(feature = "cpu", feature = "burn"))]
    params: &'a [f32],
    group: &'a [ClientJob<'a>],
    /// Places of the group's clients in the cohort.
    places: &'a [usize],
    cohort: &'a [usize],
    sum: &'a mut SecretSum,
    reports: &'a mut Vec<(usize, ClientReport)>,
}

impl Sink<'_> {
    /// The rule that every update must pass.
    #[cfg(feature = "burn")]
    pub(crate) fn rule(&self) -> &UpdateRule {
        self.sum.rule()
    }

    /// Puts what client `index` of the group sends through the rule and adds it.
    pub(crate) fn send(&mut self, index: usize, trained: Trained<'_>) {
        let weight = self.group[index].examples.len() as u64;
        let verdict = match trained.outcome {
            #[cfg(any(feature = "cpu", feature = "burn"))]
            Outcome::Weights(weights) => self.sum.add_difference(self.params, weights, weight),
            Outcome::Update(update) => self.sum.add(update, weight),
        };
        self.report(index, verdict, trained.metrics, trained.batches);
    }

    /// Adds the whole steps of the group's clients, which a device has rounded and summed; of
    /// each client what is known of its update, its metrics and its number of batches.
    ///
    /// Where the sum refuses them nothing has been added or reported.
    #[cfg(feature = "burn")]
    pub(crate) fn send_steps(
        &mut self,
        steps: &[f64],
        clients: &[SummedClient],
        trained: &[(Metrics, u64)],
    ) -> Result<(), AggregateError> {
        self.sum.add_steps(steps, clients)?;
        for (index, (client, (metrics, batches))) in clients.iter().zip(trained).enumerate() {
            self.report(index, client.verdict, *metrics, *batches);
        }
        Ok(())
    }

    fn report(&mut self, index: usize, verdict: Verdict, metrics: Metrics, batches: u64) {
        // A broken client's metrics are as broken as its update.
        let (metrics, batches) =
            if verdict.finite { (metrics, batches) } else { Default::default() };
        let place = self.places[index];
        let client = self.cohort[place];
        self.reports.push((place, ClientReport { client, verdict, metrics, batches }));
    }
}

/// Trains the cohort of `job`, at most `group` clients at a time on each worker.
pub(crate) fn train_cohort<T: ClientTrainer>(
    workers: &Workers<T>,
    spec: &MlpSpec,
    job: &CohortJob<'_>,
    group: NonZeroUsize,
) -> Result<CohortSum, LearnError> {
    let train = |trainer: &mut T, group: &[ClientJob<'_>], sink: &mut Sink<'_>| {
        trainer.train(group, &mut |index, trained| sink.send(index, trained))
    };
    let grouping = Grouping { clients: group, bytes: None };
    train_groups(workers, spec, job, &grouping, |_| (), train)
}

/// How a cohort is cut into groups of clients that train together.
#[derive(Clone, Copy)]
pub(crate) struct Grouping {
    /// Clients of a group at most.
    pub(crate) clients: NonZeroUsize,
    /// What bounds their memory; `None`: nothing.
    pub(crate) bytes: Option<GroupBytes>,
}

/// The memory of a group, in bytes. A group has at least one client, whatever it takes.
#[derive(Clone, Copy)]
pub(crate) struct GroupBytes {
    /// What a group may take.
    pub(crate) most: usize,
    /// What a client takes.
    pub(crate) client: usize,
    /// What each of its examples takes.
    pub(crate) example: usize,
}

impl Grouping {
    /// Cuts the places of a cohort.
    fn cut<'a>(&self, places: &'a [usize], job: &CohortJob<'_>) -> Vec<&'a [usize]> {
        let Some(bytes) = self.bytes else { return places.chunks(self.clients.get()).collect() };
        let takes = |place: usize| {
            let examples = job.population.num_examples(job.cohort[place]);
            bytes.client.saturating_add(bytes.example.saturating_mul(examples))
        };
        let (mut groups, mut rest) = (Vec::new(), places);
        while !rest.is_empty() {
            let mut taken = 0_usize;
            let fits = |place: &&usize| {
                taken = taken.saturating_add(takes(**place));
                taken <= bytes.most
            };
            let count = rest.iter().take(self.clients.get()).take_while(fits).count().max(1);
            let (group, behind) = rest.split_at(count);
            groups.push(group);
            rest = behind;
        }
        groups
    }
}

/// Trains the cohort of `job`: each worker first runs `open`, then `train` on one group of
/// clients after another.
pub(crate) fn train_groups<T: Send>(
    workers: &Workers<T>,
    spec: &MlpSpec,
    job: &CohortJob<'_>,
    grouping: &Grouping,
    open: impl Fn(&mut T) + Sync,
    train: impl Fn(&mut T, &[ClientJob<'_>], &mut Sink<'_>) -> Result<(), LearnError> + Sync,
) -> Result<CohortSum, LearnError> {
    check(spec, job)?;
    let places = longest_first(job);
    let groups = grouping.cut(&places, job);
    let next = AtomicUsize::new(0);
    let parts = workers.run(|trainer| {
        let mut part = Part::default();
        open(trainer);
        while let Some(group) = groups.get(next.fetch_add(1, Ordering::Relaxed)) {
            // After an error the rest is still tried, so that which error is reported does not
            // depend on timing.
            let result =
                train_group(spec, job, group, &mut part, |group, sink| train(trainer, group, sink));
            if let Err((place, error)) = result
                && part.failure.as_ref().is_none_or(|(earlier, _)| place < *earlier)
            {
                part.failure = Some((place, error));
            }
        }
        part
    });
    merge(parts, spec.dim(), job)
}

/// Has the clients at `places` of the cohort trained into `part`; an error comes with its place.
fn train_group(
    spec: &MlpSpec,
    job: &CohortJob<'_>,
    places: &[usize],
    part: &mut Part,
    train: impl FnOnce(&[ClientJob<'_>], &mut Sink<'_>) -> Result<(), LearnError>,
) -> Result<(), (usize, LearnError)> {
    let examples: Vec<_> =
        places.iter().map(|&place| job.population.client(job.cohort[place])).collect();
    let failure = places.iter().zip(&examples).filter_map(|(&place, examples)| {
        let client = job.cohort[place];
        let check = check_examples(spec, client, examples);
        Some((place, check.and_then(|()| check_visits(job.work, client, examples.len())).err()?))
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
            id: job.population.client_id(job.cohort[place]),
            shuffle: job.shuffle,
        })
        .collect();
    let sum = part.sum.get_or_insert_with(|| SecretSum::open(job.rule, spec.dim()));
    let mut sink = Sink {
        #[cfg(any(feature = "cpu", feature = "burn"))]
        params: job.params,
        group: &group,
        places,
        cohort: job.cohort,
        sum,
        reports: &mut part.reports,
    };
    train(&group, &mut sink).map_err(|error| (places[0], error))
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

/// Whether parameters, population and velocity fit the network, and the cohort is one.
pub(crate) fn check(spec: &MlpSpec, job: &CohortJob<'_>) -> Result<(), LearnError> {
    check_params(spec, job.params)?;
    if let LocalWork::Mime { velocity, .. } = job.work {
        expect("the length of the server's velocity", spec.dim(), velocity.len())?;
    }
    if job.cohort.is_empty() {
        return Ok(());
    }
    expect("the number of features of an example", spec.inputs(), job.population.width())?;
    check_cohort(job)
}

/// Whether every client of the cohort is somebody, and nobody is in it twice: neither by index
/// nor by id, of which each has one part and one stream of random numbers.
fn check_cohort(job: &CohortJob<'_>) -> Result<(), LearnError> {
    let refuse = |reason| Err(LearnError::Cohort { reason });
    let clients = job.population.num_clients();
    if let Some(pair) = job.cohort.windows(2).find(|pair| pair[0] >= pair[1]) {
        return refuse(format!(
            "names client {} after client {}; each client is drawn once, in ascending order",
            pair[1], pair[0]
        ));
    }
    if let Some(client) = job.cohort.iter().find(|&&client| client >= clients) {
        return refuse(format!("names client {client} of a population of {clients}"));
    }
    let mut ids = HashSet::with_capacity(job.cohort.len());
    match job.cohort.iter().find(|&&client| !ids.insert(job.population.client_id(client))) {
        Some(&client) => refuse(format!(
            "has two clients with the id {:?}; give every client an id of its own",
            job.population.client_id(client)
        )),
        None => Ok(()),
    }
}

/// Whether the visits of a client with so many examples can be counted in 32 bits, by all devices.
fn check_visits(work: &LocalWork<'_>, client: usize, examples: usize) -> Result<(), LearnError> {
    match work.batch_plan().visits(examples) {
        Some(visits) if i32::try_from(visits).is_ok() => Ok(()),
        _ => {
            let epochs = match work {
                LocalWork::Sgd(sgd) | LocalWork::Mime { sgd, .. } => sgd.epochs.get(),
                LocalWork::Gradient { .. } => 1,
            };
            Err(LearnError::Visits { client, examples, epochs })
        }
    }
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
