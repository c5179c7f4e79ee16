//! A clip norm that finds its place: 300 rounds over clients whose updates are of very different
//! length, under noise, beside what a simulation knows.
//!
//! Run it: `cargo run --release -p dp-agg --example quantile_clipping`

use dp_agg::{
    AdaptiveClipping, Aggregator, Clipping, GaussianAggregator, GaussianConfig, NoiseSource,
    SecretSum, Zeroing,
};

const DIM: usize = 100;
const CLIENTS: usize = 200;

fn main() -> Result<(), dp_agg::AggregateError> {
    let mut aggregator = GaussianAggregator::new(GaussianConfig {
        noise_multiplier: 1.0,
        clients_per_round: CLIENTS as f64,
        zeroing: Zeroing::Off,
        clipping: Clipping::Adaptive(AdaptiveClipping { initial: 0.01, ..Default::default() }),
    })?;
    let split = aggregator.split();
    print_line(&format!(
        "z = {} is split into {:.4} on the updates and {} clients on the count",
        split.total(),
        split.values(),
        split.count_stddev()
    ));

    // Norms from e^-2 to e^2: the median is 1.
    let norm = |client: usize| (4.0 * client as f64 / (CLIENTS - 1) as f64 - 2.0).exp();
    for round in 0..300_u32 {
        let mut sum = SecretSum::open(&aggregator.rule(), DIM);
        for client in 0..CLIENTS {
            let value = norm(client) / (DIM as f64).sqrt();
            sum.add(&[value as f32; DIM], 1);
        }
        // A key serves one round.
        let mut key = [0; 32];
        key[..4].copy_from_slice(&round.to_le_bytes());
        let noise = aggregator.noise(DIM).draw(&NoiseSource::Simulation { key })?;
        let release = aggregator.release(sum, noise)?;
        if round % 25 == 0 {
            print_line(&format!(
                "round {round:3}: clip norm {:.4}, unclipped {:3} of {}, released share {:.3}",
                release.measurements.clip_norm.unwrap_or(f64::NAN),
                release.raw.unclipped,
                release.raw.clients,
                release.measurements.unclipped_share.unwrap_or(f64::NAN),
            ));
        }
    }
    print_line(&format!("the clip norm settled at {:.3}; the median is 1", aggregator.clip_norm()));
    Ok(())
}

#[expect(clippy::print_stdout, reason = "an example shows what it does")]
fn print_line(line: &str) {
    println!("{line}");
}
