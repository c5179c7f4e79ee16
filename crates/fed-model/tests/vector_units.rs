//! The trainer on every vector unit of this machine.

#![cfg(feature = "cpu")]

mod support;

use fed_data::ShuffleSeed;
use fed_model::{CpuLearner, Learner, LocalWork, MlpSpec, VectorUnit};
use support::{Population, distance, nonzero, random_params, sgd, update_of};

/// What the page of `cpu` promises: vector units with fused multiply-add give the same bits, and
/// plain code differs by rounding.
#[test]
fn every_vector_unit_trains_the_same() {
    let spec = MlpSpec::emnist(10);
    let population = Population::random(&spec, &[70], 11);
    let params = random_params(&spec, 12);
    let work = LocalWork::Sgd(sgd(0.05, 32));
    let updates: Vec<_> = VectorUnit::ALL
        .into_iter()
        .filter(|unit| unit.arch().is_some())
        .map(|unit| {
            let learner = CpuLearner::on(unit, spec.clone(), nonzero(2)).expect("it is there");
            assert!(learner.describe().contains(&unit.to_string()), "{}", learner.describe());
            let shuffle = Some(ShuffleSeed::new([3; 32]));
            (unit, update_of(&learner, &params, &population, 0, &work, shuffle))
        })
        .collect();
    let (best, (update, report)) = &updates[0];
    for (unit, (other, same)) in &updates[1..] {
        if *unit == VectorUnit::Portable {
            assert!(distance(other, update) < 1e-6, "{unit}: {}", distance(other, update));
            assert_eq!(same.batches, report.batches);
        } else {
            let bits = |update: &[f32]| update.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            assert!(bits(other) == bits(update), "{unit} and {best} differ");
            assert_eq!(same.metrics, report.metrics);
        }
    }
    let missing = VectorUnit::ALL.into_iter().find(|unit| unit.arch().is_none());
    let missing = missing.expect("no processor has the units of two");
    let error = CpuLearner::on(missing, spec, nonzero(1)).err().expect("not there").to_string();
    assert!(error.contains(&missing.to_string()), "{error}");
}
