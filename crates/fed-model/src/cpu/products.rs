//! The three matrix products of a dense layer, for the shapes of federated clients.
//!
//! ```text
//! forward          Z  = X·W + b      [rows, out]      then ReLU, unless these are logits
//! step             W += Xᵀ·δ         [in, out]        the step size is folded into δ
//! input gradient   Eᵀ = W·δᵀ         [in, rows]       transposed, so that W never is
//! ```
//!
//! With batches of a few dozen rows a general matrix product spends a good part of its time on
//! packing what it reads once. These read everything where it lies. The result is cut into tiles
//! of at most eight rows and three vectors (four rows where there are sixteen registers), which
//! stay in registers while one column of the left operand after the other is broadcast against
//! one row of the right one. Every number is the same sums in the same order, a fused multiply-add
//! a term, so its bits depend neither on the shape of the tiles nor on the width of the vectors:
//! all processors with fused multiply-add give the same.
//!
//! Right operand and result are row-major with strides of whole cache lines
//! ([`layout`](super::layout)), so there are no partial vectors; what is computed in the padding
//! is never read.

use pulp::{Arch, Simd, WithSimd};

/// Products that are summed in one go, before what came of them is added to what there is: enough
/// to make loading and storing a tile cheap; few enough for a long sum not to lose its last
/// digits one by one, and for the rows that were read to be in a near cache the next time.
const DEPTH: usize = 256;

/// Vectors of a row of a tile, at most.
const MOST_VECTORS: usize = 3;

/// A row-major matrix with a stride of its own.
#[derive(Clone, Copy)]
pub(super) struct Matrix<'a> {
    pub(super) values: &'a [f32],
    /// From row to row.
    pub(super) stride: usize,
}

/// A result and its stride, in whole cache lines.
pub(super) struct Into<'a> {
    pub(super) values: &'a mut [f32],
    /// From row to row.
    pub(super) stride: usize,
}

/// Rows and columns of a result, and the length of the sums that it is made of.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    pub(super) rows: usize,
    pub(super) depth: usize,
    pub(super) columns: usize,
}

/// What is done besides multiplying.
#[derive(Clone, Copy)]
pub(super) struct Around<'a> {
    /// What every row starts from, as long as a row with its padding; none: zeros.
    pub(super) bias: Option<&'a [f32]>,
    /// Whether negative results become zero. A value that is not a number stays one.
    pub(super) relu: bool,
}

/// `into = left · right` with what stands around it, for `left` of `rows × depth` and `right` of
/// `depth × columns`, which has a stride of whole cache lines.
pub(super) fn multiply(
    arch: Arch,
    into: Into<'_>,
    left: Matrix<'_>,
    right: Matrix<'_>,
    shape: Shape,
    around: Around<'_>,
) {
    if shape.rows * shape.columns > 0 {
        arch.dispatch(Multiply { into, left, right, shape, around });
    }
}

/// `into += leftᵀ · right` for `left` of `depth × rows` and `right` of `depth × columns`.
///
/// The stride of `right` is whole cache lines.
pub(super) fn add_transposed(
    arch: Arch,
    into: Into<'_>,
    left: Matrix<'_>,
    right: Matrix<'_>,
    shape: Shape,
) {
    if shape.rows * shape.columns * shape.depth > 0 {
        arch.dispatch(AddTransposed { into, left, right, shape });
    }
}

struct Multiply<'a> {
    into: Into<'a>,
    left: Matrix<'a>,
    right: Matrix<'a>,
    shape: Shape,
    around: Around<'a>,
}

impl WithSimd for Multiply<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { into, left, right, shape, around } = self;
        let lanes = S::F32_LANES;
        let mut start = 0;
        // A product of no depth writes the bias.
        loop {
            let end = (start + DEPTH).min(shape.depth);
            let mut tiles = MultiplyTiles {
                simd,
                into: S::as_mut_simd_f32s(&mut *into.values).0,
                stride: into.stride / lanes,
                left: Matrix { values: &left.values[start..], ..left },
                right: S::as_simd_f32s(&right.values[start * right.stride..]).0,
                right_stride: right.stride / lanes,
                bias: around.bias.map(|bias| S::as_simd_f32s(bias).0),
                first: start == 0,
                relu: around.relu && end == shape.depth,
                depth: end - start,
            };
            // Down the rows first: a panel of the right operand serves them all.
            for columns in cuts(shape.columns.div_ceil(lanes), MOST_VECTORS) {
                for rows in cuts(shape.rows, most_rows::<S>()) {
                    each_shape(&mut tiles, rows, columns.clone());
                }
            }
            if end == shape.depth {
                return;
            }
            start = end;
        }
    }
}

struct MultiplyTiles<'a, S: Simd> {
    simd: S,
    into: &'a mut [S::f32s],
    stride: usize,
    left: Matrix<'a>,
    right: &'a [S::f32s],
    right_stride: usize,
    bias: Option<&'a [S::f32s]>,
    /// Whether the tiles start from the bias, else from what is there.
    first: bool,
    relu: bool,
    depth: usize,
}

impl<S: Simd> Tiles for MultiplyTiles<'_, S> {
    #[inline(always)]
    fn tile<const R: usize, const V: usize>(&mut self, row: usize, column: usize) {
        let simd = self.simd;
        let into = &mut self.into[row * self.stride + column..];
        let before: [[S::f32s; V]; R] = match self.bias {
            _ if !self.first => load(into, self.stride),
            Some(bias) => [vectors(&bias[column..]); R],
            None => [[simd.splat_f32s(0.0); V]; R],
        };
        let depth = self.depth;
        let left: [&[f32]; R] =
            std::array::from_fn(|r| &self.left.values[(row + r) * self.left.stride..][..depth]);
        let mut sums = sums_of_products(
            simd,
            before,
            depth,
            #[inline(always)]
            |k| std::array::from_fn(|r| left[r][k]),
            (self.right, self.right_stride, column),
        );
        if self.relu {
            let zero = simd.splat_f32s(0.0);
            for sums in &mut sums {
                for sum in sums {
                    *sum = simd.select_f32s(simd.less_than_f32s(*sum, zero), zero, *sum);
                }
            }
        }
        store(into, self.stride, &sums);
    }
}

struct AddTransposed<'a> {
    into: Into<'a>,
    left: Matrix<'a>,
    right: Matrix<'a>,
    shape: Shape,
}

impl WithSimd for AddTransposed<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { into, left, right, shape } = self;
        let lanes = S::F32_LANES;
        let mut tiles = AddTransposedTiles {
            simd,
            into: S::as_mut_simd_f32s(into.values).0,
            stride: into.stride / lanes,
            left,
            right: S::as_simd_f32s(right.values).0,
            right_stride: right.stride / lanes,
            depth: shape.depth,
        };
        // Along a row first: the weights stream through once, the right operand stays near.
        for rows in cuts(shape.rows, most_rows::<S>()) {
            for columns in cuts(shape.columns.div_ceil(lanes), MOST_VECTORS) {
                each_shape(&mut tiles, rows.clone(), columns);
            }
        }
    }
}

struct AddTransposedTiles<'a, S: Simd> {
    simd: S,
    into: &'a mut [S::f32s],
    stride: usize,
    left: Matrix<'a>,
    right: &'a [S::f32s],
    right_stride: usize,
    depth: usize,
}

impl<S: Simd> Tiles for AddTransposedTiles<'_, S> {
    #[inline(always)]
    fn tile<const R: usize, const V: usize>(&mut self, row: usize, column: usize) {
        let into = &mut self.into[row * self.stride + column..];
        let left = &self.left.values[row..];
        let stride = self.left.stride;
        let sums: [[S::f32s; V]; R] = sums_of_products(
            self.simd,
            load(into, self.stride),
            self.depth,
            #[inline(always)]
            |k| *left[k * stride..].first_chunk().expect("a column of the tile"),
            (self.right, self.right_stride, column),
        );
        store(into, self.stride, &sums);
    }
}

/// What is done to one tile of a result, for every shape that a tile can have.
trait Tiles {
    /// The tile of `R` rows from `row` on and `V` vectors from `column` on.
    fn tile<const R: usize, const V: usize>(&mut self, row: usize, column: usize);
}

/// Picks the shape. A shape is a type, so that a tile's sums are registers.
#[inline(always)]
fn each_shape(
    tiles: &mut impl Tiles,
    rows: std::ops::Range<usize>,
    columns: std::ops::Range<usize>,
) {
    macro_rules! of_height {
        ($rows:literal) => {
            match columns.len() {
                1 => tiles.tile::<$rows, 1>(rows.start, columns.start),
                2 => tiles.tile::<$rows, 2>(rows.start, columns.start),
                _ => tiles.tile::<$rows, 3>(rows.start, columns.start),
            }
        };
    }
    match rows.len() {
        1 => of_height!(1),
        2 => of_height!(2),
        3 => of_height!(3),
        4 => of_height!(4),
        5 => of_height!(5),
        6 => of_height!(6),
        7 => of_height!(7),
        _ => of_height!(8),
    }
}

/// Rows of a tile, at most: as many as leave registers for a row of the right operand.
const fn most_rows<S: Simd>() -> usize {
    if S::REGISTER_COUNT >= 32 { 8 } else { 4 }
}

/// Cuts `0..whole` into as few pieces of at most `most` as there can be, all nearly as long.
#[inline(always)]
fn cuts(whole: usize, most: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    let pieces = whole.div_ceil(most);
    (0..pieces).map(
        #[inline(always)]
        move |piece| whole * piece / pieces..whole * (piece + 1) / pieces,
    )
}

/// `before[r][v] + Σ left(k)[r] · right[k][column + v]` over `depth` rows of `right`.
///
/// The products are summed by themselves first: beside a weight they are small, and rounded to
/// its last place once instead of once a term.
#[inline(always)]
fn sums_of_products<S: Simd, const R: usize, const V: usize>(
    simd: S,
    before: [[S::f32s; V]; R],
    depth: usize,
    left: impl Fn(usize) -> [f32; R],
    (right, stride, column): (&[S::f32s], usize, usize),
) -> [[S::f32s; V]; R] {
    let mut sums = [[simd.splat_f32s(0.0); V]; R];
    for k in 0..depth {
        let right: [S::f32s; V] = vectors(&right[k * stride + column..]);
        let left = left(k);
        for (sums, factor) in sums.iter_mut().zip(left) {
            let factor = simd.splat_f32s(factor);
            for (sum, right) in sums.iter_mut().zip(right) {
                *sum = simd.mul_add_e_f32s(factor, right, *sum);
            }
        }
    }
    for (sums, before) in sums.iter_mut().zip(before) {
        for (sum, before) in sums.iter_mut().zip(before) {
            *sum = simd.add_f32s(*sum, before);
        }
    }
    sums
}

/// The first `V` vectors.
#[inline(always)]
fn vectors<T: Copy, const V: usize>(values: &[T]) -> [T; V] {
    *values.first_chunk().expect("as many vectors as the tile is wide")
}

#[inline(always)]
fn load<T: Copy, const R: usize, const V: usize>(from: &[T], stride: usize) -> [[T; V]; R] {
    std::array::from_fn(
        #[inline(always)]
        |r| vectors(&from[r * stride..]),
    )
}

#[inline(always)]
fn store<T: Copy, const R: usize, const V: usize>(
    into: &mut [T],
    stride: usize,
    sums: &[[T; V]; R],
) {
    for (r, sums) in sums.iter().enumerate() {
        into[r * stride..][..V].copy_from_slice(sums);
    }
}

#[cfg(test)]
mod tests;
