//! Opens whatever data there is, says what it is, and goes through one client's batches.
//!
//! ```text
//! cargo run -p fed-data --example clients            # real data in datasets/, else synthetic
//! cargo run -p fed-data --example clients -- PATH    # a file or folder
//! ```
#![expect(clippy::print_stdout, reason = "an example talks to whoever runs it")]

use fed_data::{BatchPlan, Choice, FederatedData, OpenOptions, ShuffleSeed, SizeSummary};

fn main() -> Result<(), fed_data::DataError> {
    let choice = std::env::args().nth(1).map_or(Choice::Auto, Choice::from);
    let data = OpenOptions::new().choice(choice).open()?;
    println!("{}", data.source);
    println!("because {}", data.source.why);

    let sizes = SizeSummary::new(data.train.client_sizes(), 8);
    println!(
        "{} to {} training examples a client, {} at the median",
        sizes.min, sizes.max, sizes.median
    );
    for bin in &sizes.bins {
        println!("{:>4} to {:>4}: {} clients", bin.from, bin.to, bin.clients);
    }

    let client = data.train.client(0);
    let rng = ShuffleSeed::new([0; 32]).rng(&data.train.client_id(0));
    for batch in BatchPlan::new(32, 1).batches(&client, rng) {
        println!("{}: a batch of labels {:?}", data.train.client_id(0), batch.labels);
    }
    Ok(())
}
