//! One client moves nobody else's update: the law of the learner's contract, on every learner of
//! this build.
//!
//! Sums are exact, so the law can be held to the bit: with a client and without it, everybody
//! else's report is the same, and the sums differ by what that client alone adds.

mod support;

use std::borrow::Cow;

use dp_agg::{
    Aggregator, Clipping, GaussianAggregator, GaussianConfig, Magnitude, SecretSum, Zeroing,
};
use fed_data::{Examples, FederatedData, ShuffleSeed};
use fed_model::{
    ClientReport, CohortJob, CohortSum, LearnError, Learner, LocalSgd, LocalWork, MlpSpec,
    ReferenceLearner,
};
use support::{Population, learners, no_noise, nonzero, random_params, sgd};

/// Clients with ids of their own.
#[derive(Clone)]
struct Named {
    clients: Vec<(String, Examples<'static>)>,
    width: usize,
    classes: usize,
}

impl Named {
    /// The same people without `id`.
    fn without(&self, id: &str) -> Self {
        let mut rest = self.clone();
        rest.clients.retain(|(other, _)| other != id);
        assert_eq!(rest.clients.len() + 1, self.clients.len());
        rest
    }

    fn ids(&self) -> Vec<&str> {
        self.clients.iter().map(|(id, _)| id.as_str()).collect()
    }

    /// The indices of those of `ids` that are here.
    fn cohort(&self, ids: &[&str]) -> Vec<usize> {
        (0..self.clients.len()).filter(|&index| ids.contains(&&*self.clients[index].0)).collect()
    }
}

impl FederatedData for Named {
    fn num_clients(&self) -> usize {
        self.clients.len()
    }
    fn client_id(&self, index: usize) -> Cow<'_, str> {
        self.clients[index].0.as_str().into()
    }
    fn num_examples(&self, index: usize) -> usize {
        self.clients[index].1.len()
    }
    fn client(&self, index: usize) -> Examples<'_> {
        self.clients[index].1.slice(0..self.num_examples(index))
    }
    fn width(&self) -> usize {
        self.width
    }
    fn classes(&self) -> usize {
        self.classes
    }
}

/// People with few, many and no examples, and with numbers of every kind, under odd ids.
fn people(spec: &MlpSpec) -> Named {
    let (width, classes) = (spec.inputs(), spec.classes());
    let mut drawn = Population::random(spec, &[11, 0, 23, 4, 1, 37, 8], 51).clients.into_iter();
    let mut usual = || drawn.next().expect("seven are drawn");
    let filled = |value: f32, rows: usize| {
        let labels = (0..rows).map(|row| (row % classes) as u8).collect::<Vec<_>>();
        Examples::from_floats(vec![value; rows * width], labels, width)
    };
    let clients = [
        ("", usual()),
        (" ", usual()),
        ("0", filled(f32::NAN, 6)),
        ("00", usual()),
        ("a", filled(1e30, 5)),
        ("a_0", usual()),
        ("a_00", filled(f32::from_bits(77), 9)),
        ("f0000_14", filled(3.0e4, 13)),
        ("f0001_41", usual()),
        ("zwölf\n\0", usual()),
        ("zz", filled(f32::INFINITY, 2)),
        ("zzz", usual()),
    ];
    let clients = clients.into_iter().map(|(id, examples)| (id.to_owned(), examples)).collect();
    Named { clients, width, classes }
}

fn works(velocity: &[f32]) -> Vec<LocalWork<'_>> {
    let plain = sgd(0.1, 4);
    vec![
        LocalWork::Sgd(plain),
        LocalWork::Sgd(LocalSgd { batch_size: nonzero(1000), ..plain }),
        LocalWork::Sgd(LocalSgd { epochs: nonzero(3), batch_size: nonzero(7), ..plain }),
        LocalWork::Sgd(LocalSgd { momentum: 0.9, epochs: nonzero(2), ..plain }),
        LocalWork::Sgd(LocalSgd { proximal: 0.5, epochs: nonzero(2), ..plain }),
        LocalWork::Mime { sgd: LocalSgd { epochs: nonzero(2), ..plain }, momentum: 0.9, velocity },
        LocalWork::Gradient { batch_size: nonzero(4) },
    ]
}

/// Zeroes some, clips some and leaves some; without noise.
fn aggregator() -> GaussianAggregator {
    GaussianAggregator::new(GaussianConfig {
        noise_multiplier: 0.0,
        clients_per_round: 1.0,
        zeroing: Zeroing::Constant { threshold: 40.0, magnitude: Magnitude::L2 },
        clipping: Clipping::Fixed { clip_norm: 0.7 },
    })
    .expect("a usual aggregator")
}

/// One round's job, but for who takes part.
struct Round<'a> {
    learner: &'a dyn Learner,
    params: &'a [f32],
    work: &'a LocalWork<'a>,
    shuffle: Option<ShuffleSeed>,
}

impl Round<'_> {
    fn try_train(
        &self,
        people: &dyn FederatedData,
        cohort: &[usize],
    ) -> Result<CohortSum, LearnError> {
        let rule = aggregator().rule();
        self.learner.train_cohort(&CohortJob {
            params: self.params,
            population: people,
            cohort,
            rule: &rule,
            work: self.work,
            shuffle: self.shuffle,
        })
    }

    /// The sum of those of `ids` who are among `people`, and what is reported of each.
    fn train(&self, people: &Named, ids: &[&str]) -> (SecretSum, Vec<(String, Exact)>) {
        let cohort = people.cohort(ids);
        let trained = self
            .try_train(people, &cohort)
            .unwrap_or_else(|error| panic!("{}: {error}", self.learner.describe()));
        let reports = trained.reports.iter().zip(&cohort).map(|(report, &client)| {
            assert_eq!(report.client, client, "reports come in cohort order");
            (people.clients[client].0.clone(), exact(report))
        });
        let reports = reports.collect();
        (trained.sum, reports)
    }
}

/// A report without the index, to the bit.
type Exact = ([u64; 4], [bool; 3], [u64; 3]);

fn exact(report: &ClientReport) -> Exact {
    let ClientReport { verdict, metrics, batches, .. } = report;
    (
        [verdict.norm, verdict.scale, verdict.magnitude, metrics.loss_sum].map(f64::to_bits),
        [verdict.finite, verdict.zeroed, verdict.unclipped],
        [metrics.examples, metrics.correct, *batches],
    )
}

/// A sum in the open: its bits, and its counts.
fn opened(sum: SecretSum) -> (Vec<u32>, String) {
    let mut aggregator = aggregator();
    let noise = no_noise(&aggregator, sum.dim());
    let release = aggregator.release(sum, noise).expect("no noise");
    let bits = release.mean.iter().map(|value| (value + 0.0).to_bits()).collect();
    (bits, format!("{:?}", release.raw))
}

/// Whether everybody but `removed` does the same with it and without it, where `drawn` are drawn.
fn check(round: &Round<'_>, people: &Named, removed: &str, drawn: &[&str]) {
    let name = format!("{} without {removed:?}: {:?}", round.learner.describe(), round.work);
    let (with, mut reports) = round.train(people, drawn);
    let (mut without, others) = round.train(&people.without(removed), drawn);
    reports.retain(|(id, _)| id != removed);
    assert_eq!(reports, others, "{name}: somebody else's update moved");
    if drawn.contains(&removed) {
        // Alone, in a population of its own.
        let mut alone = people.clone();
        alone.clients.retain(|(id, _)| id == removed);
        without.merge(round.train(&alone, drawn).0);
    }
    assert!(opened(with) == opened(without), "{name}: the sums differ by more than its update");
}

#[test]
fn a_client_less_moves_nobody_elses_update() {
    let spec = MlpSpec::new([13, 9, 7, 5]);
    let people = people(&spec);
    let (params, velocity) = (random_params(&spec, 52), random_params(&spec, 53));
    for threads in [1, 3] {
        let all = learners(&spec, threads)
            .into_iter()
            .chain([Box::new(ReferenceLearner::new(spec.clone())) as Box<dyn Learner>]);
        for learner in all {
            for work in &works(&velocity) {
                let shuffle = Some(ShuffleSeed::new([54; 32]));
                let round = Round { learner: &*learner, params: &params, work, shuffle };
                for removed in people.ids() {
                    let drawn = people.ids();
                    check(&round, &people, removed, &drawn);
                    // It is in neither cohort, but everybody behind it has another index.
                    let others: Vec<_> = drawn.into_iter().filter(|id| *id != removed).collect();
                    check(&round, &people, removed, &others);
                }
            }
        }
    }
}

/// The network and the sizes of the tutorial, whose products are cut into blocks.
#[test]
fn a_client_less_moves_nobody_elses_update_of_the_tutorials_network() {
    let spec = MlpSpec::emnist(10);
    let clients = Population::random(&spec, &[40, 133, 70, 5, 64, 32, 1], 55).clients;
    let named = |(index, examples)| (format!("writer_{index:04}"), examples);
    let clients = clients.into_iter().enumerate().map(named).collect();
    let people = Named { clients, width: 784, classes: 10 };
    let params = random_params(&spec, 56);
    let work = LocalWork::Sgd(LocalSgd { epochs: nonzero(2), ..sgd(0.01, 32) });
    let drawn = ["writer_0001", "writer_0002", "writer_0003", "writer_0005", "writer_0006"];
    for learner in learners(&spec, 2) {
        let shuffle = Some(ShuffleSeed::new([57; 32]));
        let round = Round { learner: &*learner, params: &params, work: &work, shuffle };
        for removed in ["writer_0000", "writer_0001", "writer_0003", "writer_0006"] {
            check(&round, &people, removed, &drawn);
        }
    }
}

/// Whoever else is there, in whatever place and however many.
#[test]
fn a_clients_report_is_the_same_in_any_company() {
    let spec = MlpSpec::new([13, 9, 7, 5]);
    let people = people(&spec);
    let (params, velocity) = (random_params(&spec, 58), random_params(&spec, 59));
    let strangers = Population::random(&spec, &[3, 90, 0, 17, 61, 2, 2, 5, 29, 1], 60).clients;
    for learner in learners(&spec, 2) {
        for work in &works(&velocity) {
            let shuffle = Some(ShuffleSeed::new([61; 32]));
            let round = Round { learner: &*learner, params: &params, work, shuffle };
            for (index, (id, examples)) in people.clients.iter().enumerate() {
                let mut company = Named { clients: Vec::new(), ..people.clone() };
                company.clients.push((id.clone(), examples.clone()));
                let (_, alone) = round.train(&company, &[id]);
                for (stranger, examples) in strangers.iter().enumerate() {
                    let place = (stranger * 7 + index) % (company.clients.len() + 1);
                    let examples = examples.clone();
                    company.clients.insert(place, (format!("stranger {stranger}"), examples));
                    let (_, mut reports) = round.train(&company, &company.ids());
                    reports.retain(|(other, _)| other == id);
                    assert_eq!(reports, alone, "{}: {id:?} {work:?}", learner.describe());
                }
            }
        }
    }
}

/// Workspaces stay warm from round to round, after rounds that failed too.
#[test]
fn what_was_trained_before_moves_nothing() {
    let spec = MlpSpec::new([13, 9, 7, 5]);
    let people = people(&spec);
    let (params, velocity) = (random_params(&spec, 62), random_params(&spec, 63));
    let broken = vec![f32::NAN; spec.dim()];
    let mut wrong = people.clone();
    wrong.clients[3].1 = Examples::from_bytes(vec![0; 13], vec![200], 13);
    let works = works(&velocity);
    let fresh = learners(&spec, 2);
    for (warm, fresh) in learners(&spec, 2).iter().zip(&fresh) {
        for work in works.iter().chain(works.iter().rev()) {
            let shuffle = Some(ShuffleSeed::new([64; 32]));
            let before = Round { learner: &**warm, params: &broken, work, shuffle };
            let _ = before.train(&people, &people.ids());
            let failed = Round { params: &params, ..before };
            let cohort: Vec<_> = (0..people.clients.len()).collect();
            failed.try_train(&wrong, &cohort).err().expect("a label outside the classes");
            let (ours, reports) = failed.train(&people, &people.ids());
            let (expected, others) =
                Round { learner: &**fresh, ..failed }.train(&people, &people.ids());
            assert_eq!(reports, others, "{}", warm.describe());
            assert!(opened(ours) == opened(expected), "{}", warm.describe());
        }
    }
}

/// The order of the visits is the id's: another id, another order; another index, the same.
#[test]
fn a_shuffle_belongs_to_the_id() {
    let spec = MlpSpec::new([13, 9, 7, 5]);
    let examples = Population::random(&spec, &[40], 65).clients.remove(0);
    let params = random_params(&spec, 66);
    let work = LocalWork::Sgd(sgd(0.1, 4));
    for learner in learners(&spec, 1) {
        let shuffle = Some(ShuffleSeed::new([67; 32]));
        let round = Round { learner: &*learner, params: &params, work: &work, shuffle };
        let sent = |ids: &[&str], id: &str| {
            let clients = ids.iter().map(|id| ((*id).to_owned(), examples.clone())).collect();
            opened(round.train(&Named { clients, width: 13, classes: 5 }, &[id]).0)
        };
        let of_b = sent(&["b"], "b");
        assert!(of_b == sent(&["a", "b"], "b") && of_b == sent(&["a", "aa", "b", "c"], "b"));
        assert!(of_b != sent(&["a"], "a"), "{}", learner.describe());
        let other = Round { shuffle: Some(ShuffleSeed::new([68; 32])), ..round };
        let clients = vec![("b".to_owned(), examples.clone())];
        let b = Named { clients, width: 13, classes: 5 };
        assert!(of_b != opened(other.train(&b, &["b"]).0), "{}", learner.describe());
    }
}

#[test]
fn nobody_is_in_a_cohort_twice() {
    let spec = MlpSpec::new([13, 9, 7, 5]);
    let mut people = people(&spec);
    people.clients[5].0 = "zzz".to_owned();
    let params = random_params(&spec, 69);
    let work = LocalWork::Sgd(sgd(0.1, 4));
    for learner in learners(&spec, 2) {
        let round = Round { learner: &*learner, params: &params, work: &work, shuffle: None };
        for (cohort, complaint) in [
            (&[3, 3][..], "names client 3 after client 3"),
            (&[3, 1], "names client 1 after client 3"),
            (&[0, 12], "names client 12 of a population of 12"),
            (&[0, 5, 8, 11], "two clients with the id \"zzz\""),
        ] {
            let error = round.try_train(&people, cohort).err().expect("no cohort");
            assert!(matches!(error, LearnError::Cohort { .. }), "{error:?}");
            assert!(error.to_string().contains(complaint), "{error}");
        }
        assert!(round.try_train(&people, &[0, 5, 8]).is_ok(), "one of them alone");
    }
}
