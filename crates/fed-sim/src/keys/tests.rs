use std::collections::{HashMap, HashSet};
use std::num::{NonZeroU32, NonZeroUsize};

use dp_accounting::{Delta, NoiseMultiplier};
use dp_agg::{
    AdaptiveClipping, AdaptiveZeroing, Clipping, Magnitude, NoisedZeroing, QuantileUpdate,
    RobustClipping, Weighting, Zeroing,
};
use fed_data::{Examples, Split};
use fed_model::{Backend, MlpSpec, ReferenceLearner};
use rand::Rng;

use super::setting::encode;
use super::*;
use crate::cohort::Sampling;
use crate::config::{AggregationConfig, Algorithm, AuditConfig, Experiment, Orders};
use crate::seed::Seed;
use crate::server::ServerOptimizer;

/// Every field that decides is written out, whatever its default is.
const TEXT: &str = "name = \"keys\"\nseeds = [7]\nrounds = 4\ndelta = 1e-3\n\
    [sweep]\nnoise_multipliers = [0.3]\nclients_per_round = [2]\n\
    [aggregation]\nkind = \"private\"\nzeroing = { kind = \"off\" }\n\
    clipping = { kind = \"fixed\", clip_norm = 0.5 }\n\
    [client]\nbatch_size = 4\nlearning_rate = 0.1\n";

fn config() -> RunConfig {
    Experiment::parse(TEXT, "keys").expect("sound").runs().remove(0)
}

fn population(clients: &[(&str, usize)]) -> Split {
    let clients: Vec<_> = clients
        .iter()
        .map(|&(id, examples)| {
            let features: Vec<f32> = (0..2 * examples).map(|i| i as f32).collect();
            (id.to_owned(), Examples::from_floats(features, vec![0; examples], 2))
        })
        .collect();
    Split::from_clients(clients, 3).expect("sound clients")
}

fn three() -> Split {
    population(&[("a", 1), ("b", 2), ("c", 3)])
}

fn reference() -> ReferenceLearner {
    ReferenceLearner::new(MlpSpec::new([2, 3]))
}

fn keys(config: &RunConfig) -> RunKeys {
    RunKeys::new(config, &three(), &reference())
}

/// The base and settings that differ from it in one thing, each in a thing of its own.
fn settings() -> Vec<RunConfig> {
    let mut list = vec![config()];
    let mut add = |change: &dyn Fn(&mut RunConfig)| {
        let mut changed = config();
        change(&mut changed);
        list.push(changed);
    };
    let noise = |z: f64| NoiseMultiplier::new(z).expect("in range");
    let zeroing = |zeroing: Zeroing| {
        let clipping = Clipping::Fixed { clip_norm: 0.5 };
        move |config: &mut RunConfig| {
            config.aggregation = AggregationConfig::Private { zeroing, clipping };
        }
    };
    let clipping = |clipping: Clipping| {
        move |config: &mut RunConfig| {
            config.aggregation = AggregationConfig::Private { zeroing: Zeroing::Off, clipping };
        }
    };
    let server = |server: ServerOptimizer| move |config: &mut RunConfig| config.server = server;
    for seed in [0, 8, u64::MAX] {
        add(&|config| config.seed = Seed(seed));
    }
    for z in [0.0, 0.6, 0.3 + 1e-16] {
        add(&|config| config.noise_multiplier = noise(z));
    }
    for clients in [1.0, 2.5, 3.0] {
        add(&|config| config.clients_per_round = clients);
    }
    add(&|config| config.sampling = Sampling::FixedSize);
    add(&|config| config.noise = NoiseMode::Release);
    add(&|config| config.client.algorithm = Algorithm::FedSgd);
    add(&|config| config.client.algorithm = Algorithm::MimeLite);
    add(&|config| config.client.learning_rate = 0.2);
    add(&|config| config.client.momentum = 0.1);
    add(&|config| config.client.batch_size = NonZeroUsize::new(5).expect("not zero"));
    add(&|config| config.client.epochs = NonZeroUsize::new(2).expect("not zero"));
    add(&|config| config.client.proximal = 0.1);
    add(&|config| config.client.shuffle = false);
    for aggregation in [
        AggregationConfig::Mean { weighting: Weighting::Uniform },
        AggregationConfig::Mean { weighting: Weighting::Examples },
        AggregationConfig::Robust {
            zeroing: Zeroing::Off,
            clipping: RobustClipping::default(),
            weighting: Weighting::Uniform,
        },
        AggregationConfig::Robust {
            zeroing: Zeroing::Off,
            clipping: RobustClipping { initial: 0.7, ..RobustClipping::default() },
            weighting: Weighting::Uniform,
        },
        AggregationConfig::Robust {
            zeroing: Zeroing::Off,
            clipping: RobustClipping { target: 0.7, ..RobustClipping::default() },
            weighting: Weighting::Uniform,
        },
        AggregationConfig::Robust {
            zeroing: Zeroing::Off,
            clipping: RobustClipping { learning_rate: 0.7, ..RobustClipping::default() },
            weighting: Weighting::Uniform,
        },
        AggregationConfig::Robust {
            zeroing: Zeroing::Off,
            clipping: RobustClipping::default(),
            weighting: Weighting::Examples,
        },
    ] {
        add(&|config| config.aggregation = aggregation);
    }
    add(&zeroing(Zeroing::Constant { threshold: 1.0, magnitude: Magnitude::L2 }));
    add(&zeroing(Zeroing::Constant { threshold: 2.0, magnitude: Magnitude::L2 }));
    add(&zeroing(Zeroing::Constant { threshold: 1.0, magnitude: Magnitude::LargestCoordinate }));
    let base = AdaptiveZeroing::default();
    for adaptive in [
        base,
        AdaptiveZeroing { initial: 9.0, ..base },
        AdaptiveZeroing { target: 0.9, ..base },
        AdaptiveZeroing { learning_rate: 0.9, ..base },
        AdaptiveZeroing { multiplier: 3.0, ..base },
        AdaptiveZeroing { increment: 3.0, ..base },
        AdaptiveZeroing { magnitude: Magnitude::L2, ..base },
    ] {
        add(&zeroing(Zeroing::Adaptive(adaptive)));
    }
    let base = NoisedZeroing::default();
    for noised in [
        base,
        NoisedZeroing { initial: 9.0, ..base },
        NoisedZeroing { target: 0.9, ..base },
        NoisedZeroing { learning_rate: 0.9, ..base },
        NoisedZeroing { multiplier: 3.0, ..base },
        NoisedZeroing { increment: 3.0, ..base },
        NoisedZeroing { magnitude: Magnitude::L2, ..base },
        NoisedZeroing { count_stddev: Some(3.0), ..base },
        NoisedZeroing { count_stddev: Some(4.0), ..base },
    ] {
        add(&zeroing(Zeroing::Noised(noised)));
    }
    let base = AdaptiveClipping::default();
    for adaptive in [
        base,
        AdaptiveClipping { initial: 0.2, ..base },
        AdaptiveClipping { target: 0.6, ..base },
        AdaptiveClipping { learning_rate: 0.3, ..base },
        AdaptiveClipping { update: QuantileUpdate::Arithmetic, ..base },
        AdaptiveClipping { count_stddev: Some(3.0), ..base },
    ] {
        add(&clipping(Clipping::Adaptive(adaptive)));
    }
    add(&clipping(Clipping::Fixed { clip_norm: 0.25 }));
    let (learning_rate, epsilon) = (0.5, 1e-7);
    for optimizer in [
        ServerOptimizer::Sgd { learning_rate, momentum: 0.9, nesterov: false },
        ServerOptimizer::Sgd { learning_rate, momentum: 0.9, nesterov: true },
        ServerOptimizer::Sgd { learning_rate, momentum: 0.0, nesterov: false },
        ServerOptimizer::Adam { learning_rate, beta1: 0.9, beta2: 0.99, epsilon },
        ServerOptimizer::Adam { learning_rate: 0.6, beta1: 0.9, beta2: 0.99, epsilon },
        ServerOptimizer::Adam { learning_rate, beta1: 0.8, beta2: 0.99, epsilon },
        ServerOptimizer::Adam { learning_rate, beta1: 0.9, beta2: 0.98, epsilon },
        ServerOptimizer::Adam { learning_rate, beta1: 0.9, beta2: 0.99, epsilon: 1e-8 },
        ServerOptimizer::Yogi { learning_rate, beta1: 0.9, beta2: 0.99, epsilon },
        ServerOptimizer::Adagrad { learning_rate, epsilon },
        ServerOptimizer::Adagrad { learning_rate, epsilon: 1e-8 },
        ServerOptimizer::RmsProp { learning_rate, decay: 0.9, epsilon },
        ServerOptimizer::RmsProp { learning_rate, decay: 0.8, epsilon },
    ] {
        add(&server(optimizer));
    }
    for canaries in [Some(20), Some(21), None] {
        add(&|config| config.audit = Some(AuditConfig { canaries, confidence: 0.9 }));
    }
    // Where the claim decides how many canaries there are, what decides the claim does too.
    let chosen: [fn(&mut RunConfig); 6] = [
        |config| config.rounds = NonZeroU32::new(9).expect("not zero"),
        |config| config.delta = Delta::new(1e-6).expect("in range"),
        |config| config.audit = Some(AuditConfig { canaries: None, confidence: 0.8 }),
        |config| config.accounting.orders = Orders::Best,
        |config| config.accounting.orders = Orders::List(vec![2.0, 3.0]),
        |config| config.accounting.orders = Orders::List(vec![2.0, 4.0]),
    ];
    for change in chosen {
        add(&|config| {
            config.audit = Some(AuditConfig { canaries: None, confidence: 0.9 });
            change(config);
        });
    }
    list
}

/// Of all pairs of settings of a grid none share a key, for any purpose of any round: neither
/// those that differ in one thing nor those of noise, clients and seeds.
#[test]
fn no_two_settings_share_a_key() {
    let mut grid = settings();
    for z in [0.0, 0.5, 1.0, 2.0] {
        for clients in [1.0, 1.5, 2.0] {
            for seed in 1..4 {
                let mut config = config();
                config.noise_multiplier = NoiseMultiplier::new(z).expect("in range");
                config.clients_per_round = clients;
                config.seed = Seed(seed);
                grid.push(config);
            }
        }
    }
    let mut seen: HashMap<[u8; 32], String> = HashMap::new();
    for config in &grid {
        let run = keys(config);
        let mut all = vec![run.canary_directions()];
        for round in 0..3 {
            for purpose in ALL {
                all.push(run.round(round, &[0.5; 9]).key(purpose));
            }
        }
        for key in all {
            let other = seen.insert(key, encode(config));
            assert!(other.is_none(), "{}\nshares a key with\n{}", encode(config), other.expect(""));
        }
    }
    assert_eq!(seen.len(), grid.len() * (1 + 3 * ALL.len()));
}

const ALL: [Purpose; 4] =
    [Purpose::Cohort, Purpose::Noise, Purpose::CanaryCoins, Purpose::CanaryCohort];

/// What does not decide a run's numbers is in no key: such runs are one run.
#[test]
fn what_decides_nothing_is_in_no_key() {
    let mut other = config();
    other.name = "another".to_owned();
    other.rounds = NonZeroU32::new(100).expect("not zero");
    other.delta = Delta::new(1e-6).expect("in range");
    other.evaluate_every = NonZeroU32::MIN;
    other.accounting.orders = Orders::Best;
    // The learner and the population say what these are.
    other.model.hidden = vec![9];
    other.data.source = fed_data::Choice::Synthetic;
    assert!(keys(&other) == keys(&config()));
    let audited = |confidence| {
        let audit = Some(AuditConfig { canaries: Some(20), confidence });
        keys(&RunConfig { audit, ..config() })
    };
    assert!(audited(0.9) == audited(0.99));
}

/// Two runs on data with and without one client share nothing, nor do runs on other examples.
#[test]
fn no_two_data_sets_share_a_key() {
    let lists: [&[(&str, usize)]; 6] = [
        &[("a", 1), ("b", 2), ("c", 3)],
        &[("a", 1), ("b", 2)],
        &[("b", 2), ("c", 3)],
        &[("a", 1), ("b", 2), ("d", 3)],
        &[("a", 1), ("b", 3), ("c", 3)],
        &[("a", 1), ("b2", 2), ("c", 3)],
    ];
    let writers = |seed, clients| fed_data::SyntheticWriters { seed, clients };
    let known = [writers(0, 4), writers(0, 5), writers(1, 4)].map(|writers| {
        let data = writers.dataset().expect("drawn");
        assert!(data.train.content().is_some() && data.train.content() != data.test.content());
        data.train
    });
    let drawn = |seed, clients| writers(seed, clients).population(fed_data::Part::Train);
    let [one, more, other] = [(0, 4), (0, 5), (1, 4)].map(|(seed, n)| drawn(seed, n).expect("ok"));
    let expanded = fed_data::Expanded::new(one.clone(), 2).expect("pictures");
    let mut all: Vec<[u8; 32]> = lists.iter().map(|list| data(&population(list))).collect();
    all.extend(known.iter().map(|split| data(split)));
    all.extend([data(&one), data(&more), data(&other), data(&expanded)]);
    let distinct: HashSet<_> = all.iter().collect();
    assert_eq!(distinct.len(), all.len());
    assert_eq!(data(&one), data(&drawn(0, 4).expect("ok")));
    let runs: HashSet<_> = lists
        .iter()
        .map(|list| RunKeys::new(&config(), &population(list), &reference()).run)
        .collect();
    assert_eq!(runs.len(), lists.len());
}

#[test]
fn no_two_learners_share_a_key_and_threads_do_not_count() {
    let (population, config) = (three(), config());
    let run = |backend: Option<Backend>, widths: [usize; 3], threads: usize| {
        let spec = MlpSpec::new(widths);
        let threads = NonZeroUsize::new(threads).expect("not zero");
        match backend {
            Some(backend) => {
                let learner = fed_model::open(backend, &spec, threads).expect("in this build");
                RunKeys::new(&config, &population, &*learner)
            }
            None => RunKeys::new(&config, &population, &ReferenceLearner::new(spec)),
        }
    };
    let backends = Backend::ALL.into_iter().filter(|backend| backend.is_compiled_in());
    let learners: Vec<_> = backends
        .filter(|backend| *backend != Backend::Wgpu)
        .map(Some)
        .chain([None])
        .flat_map(|backend| [[2, 4, 3], [2, 5, 3]].map(|widths| run(backend, widths, 1).run))
        .collect();
    assert!(learners.len() >= 4);
    assert_eq!(learners.iter().collect::<HashSet<_>>().len(), learners.len());
    assert!(run(Some(Backend::Cpu), [2, 4, 3], 2) == run(Some(Backend::Cpu), [2, 4, 3], 1));
}

/// Rounds and parameters: also where the two are far apart, and where one bit differs.
#[test]
fn no_two_rounds_share_a_key() {
    let run = keys(&config());
    let params = vec![0.25; CHUNK + 3];
    let mut seen = HashSet::new();
    for round in (0..400).chain([1 << 16, 1 << 31, u32::MAX]) {
        for purpose in ALL {
            assert!(seen.insert(run.round(round, &params).key(purpose)));
        }
    }
    for at in [0, CHUNK - 1, CHUNK, CHUNK + 2] {
        let mut other = params.clone();
        other[at] = f32::from_bits(other[at].to_bits() ^ 1);
        assert!(seen.insert(run.round(0, &other).key(Purpose::Noise)));
    }
    assert!(seen.insert(run.round(0, &params[1..]).key(Purpose::Noise)));
}

/// With release noise a key decides nothing: what is drawn has the system's entropy, and all of it.
/// Of 5,000 draws of 64 bits two would be alike once in 10^12 tries; of 16 bits they would be so
/// always.
#[test]
fn a_release_draws_from_the_system() {
    let key = [3; 32];
    let first = |noise| secret_rng(noise, key).expect("entropy").next_u64();
    let drawn: HashSet<u64> = (0..5000).map(|_| first(NoiseMode::Release)).collect();
    assert_eq!(drawn.len(), 5000);
    assert!(!drawn.contains(&first(NoiseMode::Simulation)));
    assert_eq!(first(NoiseMode::Simulation), first(NoiseMode::Simulation));
}

#[test]
fn a_run_keeps_the_keys_that_it_was_begun_with() {
    let mut config = config();
    assert_eq!(expect_version(VERSION, &config), Ok(()));
    let error = expect_version(1, &config).expect_err("refused");
    assert!(error.contains("version 1") && error.contains("share their noise"), "{error}");
    let error = expect_version(VERSION + 1, &config).expect_err("refused");
    assert!(!error.contains("share"), "{error}");
    config.noise = NoiseMode::Release;
    assert_eq!(expect_version(1, &config), Ok(()));
    config.audit = Some(AuditConfig::default());
    expect_version(1, &config).expect_err("its canaries have directions");
}

/// Changing this text or these keys changes every simulated run: allowed, and announced.
#[test]
fn the_text_and_the_keys_are_stable() {
    assert_eq!(
        encode(&config()),
        "fed-dp setting 2\n\
         seed 7\n\
         noise_multiplier 3fd3333333333333\n\
         clients_per_round 4000000000000000\n\
         sampling poisson\n\
         noise simulation\n\
         client.algorithm sgd\n\
         client.learning_rate 3fb999999999999a\n\
         client.momentum 0000000000000000\n\
         client.batch_size 4\n\
         client.epochs 1\n\
         client.proximal 0000000000000000\n\
         client.shuffle true\n\
         aggregation.kind private\n\
         zeroing.kind off\n\
         clipping.kind fixed\n\
         clipping.clip_norm 3fe0000000000000\n\
         server.optimizer sgd\n\
         server.learning_rate 3ff0000000000000\n\
         server.momentum 3feccccccccccccd\n\
         server.nesterov false\n"
    );
    let round = keys(&config()).round(5, &[1.0, -2.0]);
    let firsts = ALL.map(|purpose| round.key(purpose)[0]);
    assert_eq!(firsts, [42, 121, 37, 84]);
    assert_eq!(keys(&config()).canary_directions()[0], 87);
}
