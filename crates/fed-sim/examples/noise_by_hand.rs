//! Two runs by hand, without files: the same setting with and without noise.
//!
//! `cargo run --release --package fed-sim --example noise_by_hand`

use std::num::NonZeroUsize;

use fed_data::SyntheticWriters;
use fed_model::{Backend, MlpSpec};
use fed_sim::{Experiment, Simulation};

#[expect(clippy::print_stdout, reason = "an example prints")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let experiment = Experiment::parse(
        r#"
        name = "noise_by_hand"
        seeds = [1]
        rounds = 20
        delta = 1e-4
        [sweep]
        noise_multipliers = [0.0, 0.6]
        clients_per_round = [30]
        [model]
        hidden = [64]
        "#,
        "noise_by_hand",
    )?;
    let data = SyntheticWriters { seed: 0, clients: 600 }.dataset()?;
    let learner = fed_model::open(
        Backend::Cpu,
        &MlpSpec::new([784, 64, 10]),
        std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
    )?;
    for config in experiment.runs() {
        println!("noise multiplier {}", config.noise_multiplier);
        let mut run = Simulation::new(config, &data.train, &*learner)?;
        loop {
            if run.round().is_multiple_of(5) {
                let now = run.evaluate(&data.test.all_examples())?;
                println!(
                    "  round {:2}: accuracy {:.3}, loss {:.3}, ε so far {:.3}",
                    now.round,
                    now.metrics.accuracy(),
                    now.metrics.loss(),
                    now.epsilon
                );
            }
            if run.round() == run.config().rounds.get() {
                break;
            }
            run.step()?;
        }
    }
    Ok(())
}
