//! Ink on paper: strokes of a round pen on a picture of 28 by 28 pixels.
//!
//! The picture keeps, for every pixel centre, the squared distance to the nearest stroke; ink
//! falls off over a soft edge around the pen's radius, as it does in a scan that was made smaller.
//! Only additions, multiplications, divisions and square roots: the same bits on every machine.

/// Pixels along a side.
pub(super) const SIDE: usize = 28;
/// Room for blocks of pixels to reach past the right side.
const STRIDE: usize = 40;
/// Pixels of a row that are worked on together.
const BLOCK: usize = 12;
/// Longest straight piece of a stroke, in pixels, so that a piece and its edge fit in a block.
const PIECE: f32 = 2.5;
/// Farther from any stroke than this (squared), there is no ink.
const FAR: f32 = 1e6;

/// Squared distances to what was drawn.
pub(super) struct Canvas {
    squared: [f32; STRIDE * SIDE],
}

impl Canvas {
    /// An empty sheet.
    pub(super) fn new() -> Self {
        Self { squared: [FAR; STRIDE * SIDE] }
    }

    /// Wipes the sheet.
    pub(super) fn clear(&mut self) {
        self.squared = [FAR; STRIDE * SIDE];
    }

    /// Draws a smooth curve through `points` (pixel coordinates, centres at whole numbers).
    ///
    /// `roundness` is the tension of the curve: 0 joins the points with straight lines, 0.5 is the
    /// usual Catmull-Rom curve. `reach` is how far from the curve ink may come, at most 4 pixels.
    pub(super) fn stroke(&mut self, points: &[[f32; 2]], roundness: f32, reach: f32) {
        for span in 0..points.len().saturating_sub(1) {
            let [from, to] = [points[span], points[span + 1]];
            let before = if span > 0 { points[span - 1] } else { from };
            let after = if span + 2 < points.len() { points[span + 2] } else { to };
            let slope =
                |a: [f32; 2], b: [f32; 2]| [(b[0] - a[0]) * roundness, (b[1] - a[1]) * roundness];
            let (leave, arrive) = (slope(before, to), slope(from, after));
            let length = ((to[0] - from[0]) * (to[0] - from[0])
                + (to[1] - from[1]) * (to[1] - from[1]))
                .sqrt();
            // A curve is a little longer than its chord, hence the quarter more.
            let pieces =
                ((length * 1.25 / PIECE) as u32 + 1).max(if points.len() > 2 { 2 } else { 1 });
            let mut last = from;
            for piece in 1..=pieces {
                let t = piece as f32 / pieces as f32;
                let next =
                    [0, 1].map(|axis| hermite(from[axis], to[axis], leave[axis], arrive[axis], t));
                self.segment(last, next, reach);
                last = next;
            }
        }
    }

    /// Lowers the distances around one straight piece.
    fn segment(&mut self, a: [f32; 2], b: [f32; 2], reach: f32) {
        let last = SIDE as f32 - 1.0;
        let (low_x, high_x) = if a[0] < b[0] { (a[0], b[0]) } else { (b[0], a[0]) };
        let (low_y, high_y) = if a[1] < b[1] { (a[1], b[1]) } else { (b[1], a[1]) };
        if high_y + reach < 0.0
            || low_y - reach > last
            || high_x + reach < 0.0
            || low_x - reach > last
        {
            return;
        }
        // Casts round towards zero and stop there: one pixel more than needed does no harm.
        let (top, bottom) = ((low_y - reach) as usize, ((high_y + reach) as usize).min(SIDE - 1));
        let (left, right) = ((low_x - reach) as usize, ((high_x + reach) as usize).min(SIDE - 1));
        let along = [b[0] - a[0], b[1] - a[1]];
        let squared_length = along[0] * along[0] + along[1] * along[1];
        let inverse = if squared_length > 1e-6 { 1.0 / squared_length } else { 0.0 };
        let step = along[0] * inverse;
        for y in top..=bottom {
            let dy = y as f32 - a[1];
            let lift = dy * along[1] * inverse;
            let mut x = left;
            while x <= right {
                let start = y * STRIDE + x;
                let row: &mut [f32; BLOCK] = (&mut self.squared[start..start + BLOCK])
                    .try_into()
                    .expect("a block is BLOCK long");
                let first = x as f32 - a[0];
                for (lane, value) in row.iter_mut().enumerate() {
                    let dx = first + lane as f32;
                    let t = lift + dx * step;
                    let t = if t > 0.0 { t } else { 0.0 };
                    let t = if t < 1.0 { t } else { 1.0 };
                    let (ex, ey) = (dx - t * along[0], dy - t * along[1]);
                    let squared = ex * ex + ey * ey;
                    *value = if squared < *value { squared } else { *value };
                }
                x += BLOCK;
            }
        }
    }

    /// Develops the picture: 255 is white paper, 0 full ink.
    ///
    /// `radius` is the pen's, `edge` the width of the soft rim (both in pixels), `ink` the darkness
    /// of a stroke's middle in `0.0..=1.0`.
    pub(super) fn develop(&self, radius: f32, edge: f32, ink: f32, out: &mut [u8]) {
        let sharpness = 1.0 / edge;
        let outer = radius * sharpness + 0.5;
        for (row, out) in self.squared.chunks_exact(STRIDE).zip(out.chunks_exact_mut(SIDE)) {
            for (&squared, out) in row.iter().zip(out) {
                let cover = outer - squared.sqrt() * sharpness;
                let cover = if cover > 0.0 { cover } else { 0.0 };
                let cover = if cover < 1.0 { cover } else { 1.0 };
                // Adding 1.5 · 2^23 rounds to a whole number, which is then in the lowest bits.
                *out = 255 - (cover * ink * 255.0 + 12_582_912.0).to_bits() as u8;
            }
        }
    }
}

/// The cubic from `from` to `to` that leaves and arrives with the given slopes.
fn hermite(from: f32, to: f32, leave: f32, arrive: f32, t: f32) -> f32 {
    let rest = 1.0 - t;
    let (square, cube) = (t * t, t * t * t);
    from * (1.0 + 2.0 * t) * rest * rest
        + leave * t * rest * rest
        + to * (3.0 * square - 2.0 * cube)
        + arrive * (cube - square)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_dark_inside_and_white_outside() {
        let mut canvas = Canvas::new();
        canvas.stroke(&[[13.0, 4.0], [13.0, 23.0]], 0.5, 3.0);
        let mut picture = [0; SIDE * SIDE];
        canvas.develop(1.2, 1.0, 1.0, &mut picture);
        let at = |x: usize, y: usize| picture[y * SIDE + x];
        assert_eq!(at(13, 13), 0);
        assert_eq!(at(0, 0), 255);
        assert_eq!(at(16, 13), 255);
        assert!(at(12, 10).abs_diff(at(14, 10)) <= 1, "both sides alike, but for rounding");
    }

    #[test]
    fn strokes_may_leave_the_sheet() {
        let mut canvas = Canvas::new();
        canvas.stroke(&[[-20.0, -9.0], [40.0, 50.0], [27.5, 27.5]], 0.5, 3.0);
        canvas.stroke(&[[100.0, 100.0], [100.0, 101.0]], 0.5, 3.0);
    }
}
