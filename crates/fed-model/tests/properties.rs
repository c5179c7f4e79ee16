//! Random small networks, clients and batch sizes: every learner against the reference.

mod support;

use fed_data::ShuffleSeed;
use fed_model::{LocalSgd, LocalWork, MlpSpec, ReferenceLearner};
use proptest::prelude::*;
use support::{Population, difference, learners, nonzero, random_params, update_of};

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn any_small_network_trains_as_the_reference_does(
        mut widths in prop::collection::vec(1_usize..40, 2..5),
        classes in 2_usize..20,
        size in 1_usize..60,
        batch in 1_usize..70,
        epochs in 1_usize..3,
        seed in any::<u64>(),
    ) {
        widths.push(classes);
        let spec = MlpSpec::new(widths);
        let population = Population::random(&spec, &[size], seed);
        let params = random_params(&spec, seed.wrapping_add(1));
        let sgd = LocalSgd {
            learning_rate: 0.05,
            momentum: 0.0,
            batch_size: nonzero(batch),
            epochs: nonzero(epochs),
            proximal: 0.0,
        };
        let shuffle = Some(ShuffleSeed::new([seed as u8; 32]));
        let work = LocalWork::Sgd(sgd);
        let reference = ReferenceLearner::new(spec.clone());
        let (truth, expected) = update_of(&reference, &params, &population, 0, &work, shuffle);
        for learner in learners(&spec, 1) {
            let (ours, report) = update_of(&*learner, &params, &population, 0, &work, shuffle);
            let apart = difference(&ours, &truth);
            let norm = truth.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
            // Where gradients cancel, what is left is the rounding of the weights at each step.
            let rounding = expected.batches as f64 * f64::from(f32::EPSILON);
            prop_assert!(
                apart < 1e-5 * norm + rounding,
                "{}: {apart:.1e} with an update of {norm:.1e}",
                learner.describe()
            );
            prop_assert_eq!(report.batches, expected.batches);
            prop_assert_eq!(report.metrics.examples, expected.metrics.examples);
        }
    }
}
