//! The double-precision reference against finite differences: what everything else leans on.

mod support;

use fed_model::{MlpSpec, reference};
use support::{Population, random_params};

#[test]
fn the_gradient_is_the_slope_of_the_loss() {
    for widths in [vec![3, 4], vec![5, 4, 3], vec![4, 6, 5, 3], vec![2, 3, 3, 3, 2]] {
        let spec = MlpSpec::new(widths);
        let examples = &Population::random(&spec, &[7], 3).clients[0];
        let rows: Vec<u32> = (0..7).collect();
        let params: Vec<f64> = random_params(&spec, 5).into_iter().map(f64::from).collect();
        let (gradient, metrics) = reference::gradient(&spec, &params, examples, &rows);
        assert_eq!(metrics, reference::evaluate(&spec, &params, examples));
        let step = 1e-6;
        for parameter in 0..spec.dim() {
            let loss = |offset: f64| {
                let mut moved = params.clone();
                moved[parameter] += offset;
                reference::evaluate(&spec, &moved, examples).loss()
            };
            let slope = (loss(step) - loss(-step)) / (2.0 * step);
            let error = (slope - gradient[parameter]).abs();
            assert!(error < 1e-8, "parameter {parameter}: {slope} and {}", gradient[parameter]);
        }
    }
}
