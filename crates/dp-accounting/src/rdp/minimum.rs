//! The least value of a bound over orders, on a list or on the real line.

/// The least value over the list and the first order that has it; the smallest order and
/// infinity if every value is infinite.
pub(crate) fn over_list(orders: &[f64], bound: impl Fn(f64) -> f64) -> (f64, f64) {
    let mut best = (orders[0], f64::INFINITY);
    for &order in orders {
        let value = bound(order);
        if value < best.1 {
            best = (order, value);
        }
    }
    best
}

/// The same as [`over_list`] for a `curve` that does not fall with the order, as a Rényi divergence
/// does not, and a bound that rises with it: orders whose bound at the divergence of a smaller one
/// is already too large are left out, which spares most of them.
pub(super) fn over_list_of_rising(
    orders: &[f64],
    curve: impl Fn(f64) -> f64,
    bound: impl Fn(f64, f64) -> f64,
    guess: f64,
) -> (f64, f64) {
    let nearest = |at: &usize| (orders[*at] - guess).abs();
    let first = (0..orders.len()).min_by(|a, b| nearest(a).total_cmp(&nearest(b))).unwrap_or(0);
    let mut known = vec![(orders[first], curve(orders[first]))];
    let mut best = (first, bound(known[0].1, orders[first]));
    for (at, &order) in orders.iter().enumerate().filter(|(at, _)| *at != first) {
        let below = known.iter().filter(|(known, _)| *known <= order).map(|(_, value)| *value);
        // Less what rounding may have added to it.
        let floor = below.fold(0.0, f64::max) * (1.0 - 1e-9);
        if best.1 > 0.0 && bound(floor, order) > best.1 {
            continue;
        }
        let value = curve(order);
        known.push((order, value));
        let value = bound(value, order);
        if value < best.1 || (value <= best.1 && at < best.0) {
            best = (at, value);
        }
    }
    if best.1.is_infinite() { (orders[0], f64::INFINITY) } else { (orders[best.0], best.1) }
}

/// The least value over all orders above 1, looked for from `guess` on: the place, to about
/// seven digits, and the value there, which is a valid bound wherever the search stops.
pub(crate) fn over_reals(bound: impl Fn(f64) -> f64, guess: f64) -> (f64, f64) {
    // In u = ln(α − 1) the whole range is a short interval.
    let value = |u: f64| {
        let value = bound(1.0 + u.exp());
        if value.is_nan() { f64::INFINITY } else { value }
    };
    let guess = if guess > 1.0 { guess } else { 2.0 };
    let mut low = (LOWEST, f64::INFINITY);
    let mut high = (HIGHEST, f64::INFINITY);
    let start = (guess - 1.0).ln().clamp(LOWEST, HIGHEST);
    let mut middle = (start, value(start));
    // Widen until the middle is the least of three.
    let mut width = 0.25;
    loop {
        let right = (middle.0 + width).min(HIGHEST);
        let at_right = if right > middle.0 { value(right) } else { f64::INFINITY };
        if middle.1.is_finite() && at_right >= middle.1 {
            high = (right, at_right);
            break;
        }
        if !middle.1.is_finite() && !at_right.is_finite() {
            break;
        }
        low = middle;
        middle = (right, at_right);
        width *= 2.0;
    }
    width = 0.25;
    while !low.1.is_finite() {
        let left = (middle.0 - width).max(LOWEST);
        let at_left = if left < middle.0 { value(left) } else { f64::INFINITY };
        if middle.1.is_finite() && at_left >= middle.1 {
            low = (left, at_left);
            break;
        }
        if left <= LOWEST {
            if at_left < middle.1 {
                middle = (left, at_left);
            }
            low = (LOWEST, f64::INFINITY);
            break;
        }
        high = middle;
        middle = (left, at_left);
        width *= 2.0;
    }
    if middle.1.is_finite() {
        polish(value, low, middle, high)
    } else {
        (guess.min(1.0 + HIGHEST.exp()), f64::INFINITY)
    }
}

/// `ln(α − 1)` at the ends of the search.
pub(super) const LOWEST: f64 = -7.0;
const HIGHEST: f64 = 16.0;

/// Brent's method without derivatives, from three points of which the middle is the least.
fn polish(
    value: impl Fn(f64) -> f64,
    low: (f64, f64),
    middle: (f64, f64),
    high: (f64, f64),
) -> (f64, f64) {
    const GOLDEN: f64 = 0.381_966_011_250_105_1;
    const TOLERANCE: f64 = 1e-7;
    let (mut a, mut b) = (low.0, high.0);
    let mut best = middle;
    let (mut second, mut third) = if low.1 < high.1 { (low, high) } else { (high, low) };
    let mut moved: f64 = b - a;
    let mut moved_before = moved;
    for _ in 0..60 {
        let centre = 0.5 * (a + b);
        if (best.0 - centre).abs() + 0.5 * (b - a) <= 2.0 * TOLERANCE {
            break;
        }
        // The vertex of the parabola through the three best points, if it is of use.
        let r = (best.0 - second.0) * (best.1 - third.1);
        let s = (best.0 - third.0) * (best.1 - second.1);
        let (p, q) = ((best.0 - third.0) * s - (best.0 - second.0) * r, 2.0 * (s - r));
        let shift = -p / q;
        let vertex = best.0 + shift;
        let usable = shift.is_finite()
            && shift.abs() < 0.5 * moved_before.abs()
            && vertex > a + TOLERANCE
            && vertex < b - TOLERANCE;
        moved_before = moved;
        moved = if usable {
            if shift.abs() < TOLERANCE { TOLERANCE.copysign(shift) } else { shift }
        } else {
            GOLDEN * (if best.0 >= centre { a } else { b } - best.0)
        };
        let u = best.0 + moved;
        let new = (u, value(u));
        if new.1 <= best.1 {
            if u >= best.0 {
                a = best.0
            } else {
                b = best.0
            }
            (third, second, best) = (second, best, new);
        } else {
            if u < best.0 {
                a = u
            } else {
                b = u
            }
            if new.1 <= second.1 {
                (third, second) = (second, new);
            } else if new.1 <= third.1 {
                third = new;
            }
        }
    }
    (1.0 + best.0.exp(), best.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is left out changes nothing: neither the value nor which of equal orders is named.
    #[test]
    fn leaving_orders_out_changes_nothing() {
        let lists: [&[f64]; 4] = [
            &[1.25, 2.0, 3.0, 8.0, 8.0, 9.0, 64.0, 512.0],
            &[512.0, 64.0, 9.0, 3.0, 2.0, 1.25],
            &[2.0],
            &[1.5, 1e6],
        ];
        for orders in lists {
            for slope in [0.0, 1e-9, 1e-3, 0.1, 3.0, 1e4, f64::INFINITY] {
                for log_delta in [1e-3, 1.0, 11.0, 700.0] {
                    for guess in [1.0, 5.0, 1e9] {
                        let curve = |order: f64| slope * order;
                        let bound = |rdp: f64, order: f64| rdp + log_delta / (order - 1.0) - 0.5;
                        let plain = over_list(orders, |order| bound(curve(order), order));
                        let spared = over_list_of_rising(orders, curve, bound, guess);
                        assert_eq!(plain.0.to_bits(), spared.0.to_bits(), "{orders:?} {slope}");
                        assert_eq!(plain.1.to_bits(), spared.1.to_bits(), "{orders:?} {slope}");
                    }
                }
            }
        }
    }
}
