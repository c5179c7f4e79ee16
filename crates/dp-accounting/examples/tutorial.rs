//! The price of the final run of the tutorial "Differential Privacy in TFF", and the search
//! that led to it.

#![expect(clippy::print_stdout, reason = "an example talks")]

use dp_accounting::calibrate::{ClientSearch, ClientVerdict};
use dp_accounting::rdp::{Conversion, Orders};
use dp_accounting::{AccountingError, Delta, Epsilon, NoiseMultiplier};

fn main() -> Result<(), AccountingError> {
    let search = ClientSearch {
        population: 3383,
        base_clients: 50,
        base_noise_multiplier: NoiseMultiplier::new(0.5)?,
        target: Epsilon::new(2.0)?,
    };
    let delta = Delta::new(1e-5)?;
    for conversion in [Conversion::Classic, Conversion::Improved] {
        let verdict = search.run_rdp(100, delta, &Orders::tutorial(), conversion)?;
        let ClientVerdict::Met { answer, evaluations, .. } = verdict else {
            println!("{conversion:?}: out of reach");
            continue;
        };
        println!("{conversion:?}: {} clients per round", answer.proposal.clients);
        for tried in evaluations {
            println!("  {:4} clients: ε = {:.4}", tried.proposal.clients, tried.price.epsilon);
        }
    }
    Ok(())
}
