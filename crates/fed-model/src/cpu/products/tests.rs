//! Every product, on every vector unit of this machine, against a library and against itself.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::cpu::VectorUnit;
use crate::cpu::layout::stride;

/// Shapes of the tutorial's layers and batches, of odd layers, of single rows and columns, of
/// sums that are longer than what is gone through at once.
const SHAPES: [(usize, usize, usize); 12] = [
    (32, 784, 200),
    (5, 784, 200),
    (200, 200, 32),
    (32, 200, 10),
    (1, 1, 1),
    (9, 7, 5),
    (13, 0, 17),
    (0, 3, 4),
    (8, 48, 48),
    (3, 2500, 33),
    (17, 1025, 49),
    (65, 33, 129),
];

fn random(len: usize, seed: u64) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..len).map(|_| rng.random::<f32>() - 0.5).collect()
}

/// The units of this machine.
fn units() -> impl Iterator<Item = (VectorUnit, Arch)> {
    VectorUnit::ALL.into_iter().filter_map(|unit| Some((unit, unit.arch()?)))
}

/// The rows of a padded result without their padding.
fn dense(values: &[f32], stride: usize, columns: usize) -> Vec<f32> {
    values.chunks_exact(stride).flat_map(|row| row[..columns].to_vec()).collect()
}

/// The largest difference, allowed as much as sums of `depth` products of numbers below one half
/// can be apart by the order of their terms.
fn close(found: &[f32], expected: &[f32], depth: usize, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (found, expected) in found.iter().zip(expected) {
        let error = (found - expected).abs();
        assert!(error <= 1e-7 * (4.0 + depth as f32), "{what}: {found} for {expected}");
    }
}

/// What `multiply` gives on every unit.
fn products(rows: usize, depth: usize, columns: usize, relu: bool) -> Vec<(VectorUnit, Vec<f32>)> {
    let row = stride(columns);
    let (left, right) = (random(rows * depth, 1), random(depth * row, 2));
    let bias = random(row, 3);
    units()
        .map(|(unit, arch)| {
            let mut into = random(rows * row, 4);
            multiply(
                arch,
                Into { values: &mut into, stride: row },
                Matrix { values: &left, stride: depth },
                Matrix { values: &right, stride: row },
                Shape { rows, depth, columns },
                Around { bias: Some(&bias), relu },
            );
            (unit, dense(&into, row, columns))
        })
        .collect()
}

#[test]
fn a_product_agrees_with_the_library() {
    for (rows, depth, columns) in SHAPES {
        let row = stride(columns);
        let (left, right) = (random(rows * depth, 1), random(depth * row, 2));
        let bias = random(row, 3);
        // The library is column-major: it sees the transposes.
        let mut expected: Vec<f32> = (0..rows).flat_map(|_| bias[..columns].to_vec()).collect();
        let right = dense(&right, row, columns);
        matmul(
            MatMut::from_column_major_slice_mut(&mut expected, columns, rows),
            Accum::Add,
            MatRef::from_column_major_slice(&right, columns, depth),
            MatRef::from_column_major_slice(&left, depth, rows),
            1.0,
            Par::Seq,
        );
        let floored: Vec<f32> = expected.iter().map(|value| value.max(0.0)).collect();
        for (unit, found) in products(rows, depth, columns, false) {
            close(&found, &expected, depth, &format!("{unit} {rows}x{depth}x{columns}"));
        }
        for (unit, found) in products(rows, depth, columns, true) {
            close(&found, &floored, depth, &format!("{unit} {rows}x{depth}x{columns}, ReLU"));
        }
    }
}

#[test]
fn adding_a_transposed_product_agrees_with_the_library() {
    for (rows, depth, columns) in SHAPES {
        let row = stride(columns);
        let (left, right) = (random(depth * rows, 1), random(depth * row, 2));
        let before = random(rows * row, 4);
        let mut expected = dense(&before, row, columns);
        let dense_right = dense(&right, row, columns);
        matmul(
            MatMut::from_column_major_slice_mut(&mut expected, columns, rows),
            Accum::Add,
            MatRef::from_column_major_slice(&dense_right, columns, depth),
            MatRef::from_row_major_slice(&left, depth, rows),
            1.0,
            Par::Seq,
        );
        for (unit, arch) in units() {
            let mut into = before.clone();
            add_transposed(
                arch,
                Into { values: &mut into, stride: row },
                Matrix { values: &left, stride: rows },
                Matrix { values: &right, stride: row },
                Shape { rows, depth, columns },
            );
            let what = format!("{unit} {rows}x{depth}x{columns}");
            close(&dense(&into, row, columns), &expected, depth, &what);
        }
    }
}

/// The claim of the module's page: one sum in one order, whatever the width of the vectors.
#[test]
fn units_with_fused_multiply_add_give_the_same_bits() {
    for (rows, depth, columns) in SHAPES {
        let fused: Vec<_> = products(rows, depth, columns, false)
            .into_iter()
            .filter(|(unit, _)| *unit != VectorUnit::Portable)
            .collect();
        for pair in fused.windows(2) {
            let bits = |values: &[f32]| values.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&pair[0].1), bits(&pair[1].1), "{} and {}", pair[0].0, pair[1].0);
        }
    }
}

#[test]
fn relu_keeps_what_is_not_a_number_and_padding_stays_out() {
    for (unit, arch) in units() {
        let row = stride(3);
        // A NaN in the padding of the right operand must not reach a result.
        let mut right = vec![f32::NAN; 2 * row];
        right[..3].copy_from_slice(&[1.0, f32::NAN, -1.0]);
        right[row..row + 3].copy_from_slice(&[1.0, 1.0, -1.0]);
        let mut into = vec![0.0; row];
        multiply(
            arch,
            Into { values: &mut into, stride: row },
            Matrix { values: &[1.0, 1.0], stride: 2 },
            Matrix { values: &right, stride: row },
            Shape { rows: 1, depth: 2, columns: 3 },
            Around { bias: None, relu: true },
        );
        assert_eq!(into[0].to_bits(), 2.0_f32.to_bits(), "{unit}");
        assert!(into[1].is_nan(), "{unit}: {}", into[1]);
        assert_eq!(into[2].to_bits(), 0.0_f32.to_bits(), "{unit}");
    }
}
