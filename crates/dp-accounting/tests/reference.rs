//! Against tables of high precision; `reference/README.md` says how they were made.

use dp_accounting::rdp::subsampled_gaussian::rdp;
use dp_accounting::{NoiseMultiplier, SamplingProbability};

/// Relative to the truth; the double nearest to an input is what the table was made for.
#[test]
fn every_cell_of_the_sampled_gaussian_is_right_to_thirteen_digits() {
    let table = include_str!("reference/rdp_sampled_gaussian.csv");
    let mut lines = table.lines();
    let number = |field: &str| field.parse::<f64>().expect("the table holds numbers");
    let orders: Vec<f64> = lines.next().expect("a head").split(',').skip(2).map(number).collect();
    let (mut cells, mut worst, mut where_worst) = (0, 0.0_f64, String::new());
    for line in lines {
        let row: Vec<f64> = line.split(',').map(number).collect();
        let q = SamplingProbability::new(row[0]).expect("in range");
        let z = NoiseMultiplier::new(row[1]).expect("in range");
        for (&order, &truth) in orders.iter().zip(&row[2..]) {
            let error = (rdp(q, z, order) / truth - 1.0).abs();
            if error.is_nan() || error > worst {
                worst = error;
                where_worst =
                    format!("q={q} z={z} order={order}: {} for {truth}", rdp(q, z, order));
            }
            cells += 1;
        }
    }
    assert_eq!(cells, 8532, "an empty table proves nothing");
    assert!(worst < 1e-13, "{worst:e} at {where_worst}");
}
