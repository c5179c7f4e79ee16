//! Dashes, for more lines than there are colours.

type Point = (f64, f64);

/// Cuts `path` into dashes of length `on` with gaps of length `off`.
pub(super) fn dashes(path: &[Point], on: f64, off: f64) -> Vec<Vec<Point>> {
    let mut dashes = Vec::new();
    let mut dash: Vec<Point> = path.first().copied().into_iter().collect();
    let (mut drawing, mut left) = (true, on);
    for pair in path.windows(2) {
        let (mut from, to) = (pair[0], pair[1]);
        let mut way = (to.0 - from.0).hypot(to.1 - from.1);
        while way > left {
            let share = left / way;
            from = (from.0 + share * (to.0 - from.0), from.1 + share * (to.1 - from.1));
            way -= left;
            if drawing {
                dash.push(from);
                dashes.push(std::mem::take(&mut dash));
            } else {
                dash.push(from);
            }
            drawing = !drawing;
            left = if drawing { on } else { off };
        }
        left -= way;
        if drawing {
            dash.push(to);
        }
    }
    if dash.len() > 1 {
        dashes.push(dash);
    }
    dashes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dashes_and_gaps_have_their_lengths_around_corners_too() {
        let path = [(0.0, 0.0), (5.0, 0.0), (5.0, 5.0), (5.0, 20.0)];
        let cut = dashes(&path, 4.0, 3.0);
        assert_eq!(cut[0], vec![(0.0, 0.0), (4.0, 0.0)]);
        assert_eq!(cut[1], vec![(5.0, 2.0), (5.0, 5.0), (5.0, 6.0)]);
        assert_eq!(cut.len(), 4);
        assert!(dashes(&[], 1.0, 1.0).is_empty());
    }
}
