//! Statistics for debugging, from raw client data: only a simulation may show them.
//!
//! Nothing here is noised, so nothing here is covered by a guarantee.

use serde::{Deserialize, Serialize};

/// How the joint L2 norms of the clients' updates spread.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClientNormStats {
    /// Weighted mean; 0 where there is no weight.
    pub mean: f64,
    /// Unbiased weighted standard deviation; 0 where it is not defined.
    pub stddev: f64,
}

/// Mean and unbiased standard deviation of `norms` under `weights` (all 1 in the uniform form).
///
/// With `a = Σw` and `b = Σw²` the variance is the weighted mean of squared deviations times
/// `a² / (a² − b)`.
///
/// # Panics
/// If the two slices differ in length.
#[must_use]
pub fn client_norm_stats(norms: &[f64], weights: &[f64]) -> ClientNormStats {
    assert_eq!(norms.len(), weights.len(), "one weight a norm");
    let total: f64 = weights.iter().sum();
    let squares: f64 = weights.iter().map(|weight| weight * weight).sum();
    if total <= 0.0 {
        return ClientNormStats { mean: 0.0, stddev: 0.0 };
    }
    let weighted = norms.iter().zip(weights);
    let mean = weighted.clone().map(|(norm, weight)| norm * weight).sum::<f64>() / total;
    let biased =
        weighted.map(|(norm, weight)| weight * (norm - mean) * (norm - mean)).sum::<f64>() / total;
    let room = total * total - squares;
    let stddev = if room > 0.0 { (biased * total * total / room).sqrt() } else { 0.0 };
    ClientNormStats { mean, stddev }
}

/// The size of what the server steps by.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServerUpdateStats {
    /// Largest coordinate.
    pub max: f64,
    /// Smallest coordinate.
    pub min: f64,
    /// Joint L2 norm.
    pub norm: f64,
}

/// Largest and smallest coordinate and joint norm of `update`; all 0 where it is empty, and NaN
/// where a coordinate is.
#[must_use]
pub fn server_update_stats(update: &[f32]) -> ServerUpdateStats {
    if update.iter().any(|value| value.is_nan()) {
        return ServerUpdateStats { max: f64::NAN, min: f64::NAN, norm: f64::NAN };
    }
    let Some(&first) = update.first() else {
        return ServerUpdateStats { max: 0.0, min: 0.0, norm: 0.0 };
    };
    let (min, max) =
        update.iter().fold((first, first), |(min, max), &value| (min.min(value), max.max(value)));
    let squares: f64 = update.iter().map(|&value| f64::from(value) * f64::from(value)).sum();
    ServerUpdateStats { max: f64::from(max), min: f64::from(min), norm: squares.sqrt() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_has_no_norm() {
        let stats = client_norm_stats(&[], &[]);
        assert!(stats.mean <= 0.0 && stats.stddev <= 0.0);
    }

    #[test]
    fn a_broken_update_shows() {
        assert!(server_update_stats(&[0.0, f32::NAN]).norm.is_nan());
        assert!(server_update_stats(&[]).norm <= 0.0);
    }
}
