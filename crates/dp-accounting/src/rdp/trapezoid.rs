//! Sums of positive terms given by their logarithms, and the term that all of them share.

/// Half the distance of neighbouring floats at one: the unit in which rounding is counted.
pub(crate) const ROUNDING: f64 = f64::EPSILON / 2.0;

/// `ln φ` for `φ(w) = (1 + w)^α − 1 − α·w`, given `w > −1` and `ln(1 + w)`; relative
/// accuracy about 1e-14 in `φ`, without overflow. `w` may be infinite if its logarithm is not.
pub(crate) fn phi_ln(w: f64, ln_1p_w: f64, order: f64) -> f64 {
    if is_series(w, order) {
        return small(w, order).ln();
    }
    let raised = (order - 1.0) * ln_1p_w;
    if raised + ln_1p_w.max(0.0) > 600.0 {
        // φ / (1 + w) = (1 + w)^(α−1) − 1 − (α − 1) w/(1 + w)
        return if raised > 600.0 {
            raised + ln_1p_w
        } else {
            ln_1p_w + (raised.exp_m1() + (order - 1.0) * (-ln_1p_w).exp_m1()).ln()
        };
    }
    ((1.0 + w) * raised.exp_m1() - (order - 1.0) * w).ln()
}

/// Whether `φ(w)` comes from its series. Above, its two large terms cancel to an eighth at most.
pub(crate) fn is_series(w: f64, order: f64) -> bool {
    order * w.abs() < 0.25
}

/// The binomial series of `φ` from its square term on, for `α |w| < 1/4`: each term is less than
/// a quarter of the one before.
fn small(w: f64, order: f64) -> f64 {
    let mut term = order * (order - 1.0) / 2.0 * w * w;
    let mut sum = term;
    let mut k = 2.0;
    while term.abs() > 1e-17 * sum.abs() {
        term *= (order - k) / (k + 1.0) * w;
        sum += term;
        k += 1.0;
    }
    sum
}

/// A sum kept as `e^largest · scaled`, so that it neither overflows nor underflows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogSum {
    largest: f64,
    scaled: f64,
    /// The rounding of the terms, scaled like the sum, in units of [`ROUNDING`].
    rounding: f64,
    terms: f64,
}

impl Default for LogSum {
    fn default() -> Self {
        Self { largest: f64::NEG_INFINITY, scaled: 0.0, rounding: 0.0, terms: 0.0 }
    }
}

impl LogSum {
    /// Adds `e^ln_term`.
    pub(crate) fn add(&mut self, ln_term: f64) {
        self.add_rounded(ln_term, 0.0);
    }

    /// Adds `e^ln_term`, which is off by at most `rounding` times [`ROUNDING`] of itself.
    pub(crate) fn add_rounded(&mut self, ln_term: f64, rounding: f64) {
        if ln_term > self.largest {
            let faded = (self.largest - ln_term).exp();
            self.scaled = self.scaled * faded + 1.0;
            self.rounding = self.rounding * faded + rounding;
            self.largest = ln_term;
        } else if ln_term > f64::NEG_INFINITY {
            let share = (ln_term - self.largest).exp();
            self.scaled += share;
            self.rounding += share * rounding;
        } else if ln_term.is_nan() {
            self.scaled = f64::NAN;
        }
        self.terms += 1.0;
    }

    /// The logarithm of the sum.
    pub(crate) fn ln(self) -> f64 {
        self.largest + self.scaled.ln()
    }

    /// Bound on the rounding of [`Self::ln`]: that of the terms, and of summing them, each of
    /// which is scaled and rounded at most once for each term after it.
    pub(crate) fn rounding(self) -> f64 {
        if self.scaled <= 0.0 {
            return 0.0;
        }
        let summed = 8.0 * self.terms + 5.0 * self.ln().abs() + self.largest.abs() + 16.0;
        1.01 * ROUNDING * (self.rounding / self.scaled + summed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_added_by_nothing_and_a_nan_is_not_hidden() {
        let mut sum = LogSum::default();
        sum.add(f64::NEG_INFINITY);
        sum.add(0.0);
        sum.add(f64::NEG_INFINITY);
        assert!(sum.ln().abs() < 1e-15, "{sum:?}");
        sum.add(f64::NAN);
        assert!(sum.ln().is_nan());
    }

    /// `(1 + w)^3 − 1 − 3w = 3w² + w³`, on both sides of the change of method.
    #[test]
    fn the_excess_of_a_power_keeps_its_digits() {
        for w in [-0.9_f64, -0.1, -0.0166, -1e-9, 1e-12, 0.0167, 0.3, 5.0, 1e80] {
            let truth = 2.0 * w.abs().ln() + (3.0 + w).ln();
            let ours = phi_ln(w, w.ln_1p(), 3.0);
            assert!((ours - truth).abs() < 1e-12 * (1.0 + truth.abs()), "{w}: {ours} {truth}");
        }
    }
}
