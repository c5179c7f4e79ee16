//! A population of thirty tiny clients and a learner for them.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::num::NonZeroUsize;

use fed_data::{Examples, Split};
use fed_model::{Backend, Learner, MlpSpec};
use fed_sim::{Experiment, RunConfig};

/// Thirty clients of 5 to 14 examples with 6 features and 3 classes.
pub(crate) fn population() -> Split {
    let clients: Vec<_> = (0..30_usize)
        .map(|client| {
            let count = 5 + client % 10;
            let features: Vec<f32> =
                (0..count * 6).map(|i| ((client * 31 + i * 17) as f32 * 0.37).sin()).collect();
            let labels: Vec<u8> = (0..count).map(|i| ((client + i) % 3) as u8).collect();
            (format!("client{client:02}"), Examples::from_floats(features, labels, 6))
        })
        .collect();
    Split::from_clients(clients, 3).expect("sound clients")
}

/// The CPU learner on the toy network.
pub(crate) fn learner(threads: usize) -> Box<dyn Learner> {
    let threads = NonZeroUsize::new(threads).expect("at least one");
    fed_model::open(Backend::Cpu, &MlpSpec::new([6, 8, 3]), threads).expect("the CPU back end")
}

/// Four rounds with this noise and these clients per round.
pub(crate) fn config(noise: f64, clients: f64) -> RunConfig {
    let text = format!(
        "name = \"toy\"\nseeds = [7]\nrounds = 4\ndelta = 1e-3\nevaluate_every = 2\n\
         [sweep]\nnoise_multipliers = [{noise:?}]\nclients_per_round = [{clients:?}]\n\
         [client]\nbatch_size = 4\nlearning_rate = 0.1\n"
    );
    Experiment::parse(&text, "toy").expect("a sound experiment").runs().remove(0)
}
