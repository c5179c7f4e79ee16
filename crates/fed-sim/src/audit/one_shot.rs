//! The one-shot estimate of ε: how much closer the canaries are to the release than chance.
//!
//! Every canary is a random unit direction, scaled to the clip norm. With the canary in the sum,
//! its cosine with the release is near normal with some mean and deviation, which are fitted to
//! the canaries that took part; without it, it is near normal with mean 0 and variance `1/d`,
//! because in `d` dimensions an independent direction hardly meets anything. The estimate is the ε
//! between the two ([Andrew et al. 2023], Section 3). For the Gaussian mechanism it tends to the
//! true ε as `d` grows, if there are many canaries but few compared with `d`.
//!
//! For a model after many rounds the release is the model's move since its first weights (the
//! *final model* estimate). An attacker who saw every round would use the *largest* cosine over
//! all rounds; what that is without the canary has no simple law, so it is fitted too, to canaries
//! that were left out ([`estimate_from_both`]).
//!
//! [Andrew et al. 2023]: https://arxiv.org/abs/2302.03098

use dp_accounting::Epsilon;
use serde::{Deserialize, Serialize};
use statrs::distribution::{ChiSquared, ContinuousCDF, StudentsT};

use super::pair::{Normal, epsilon_between};

/// An estimate of ε from one run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct OneShot {
    /// The estimate.
    pub epsilon: Epsilon,
    /// δ that it is for.
    pub delta: f64,
    /// Where the estimate would lie with other canaries: an interval for the sampling error of
    /// mean and deviation, at the confidence that was asked for. It says nothing about attacks
    /// that are better than this one.
    pub interval: [Epsilon; 2],
    /// Canaries that took part.
    pub canaries: usize,
    /// Mean of their cosines.
    pub mean: f64,
    /// Standard deviation of their cosines.
    pub sd: f64,
}

/// The estimate from the cosines of canaries that took part, in `dim` dimensions.
///
/// `confidence` is that of the interval, in `(0, 1)`. `None` with fewer than three canaries.
#[must_use]
pub fn estimate(cosines: &[f64], dim: usize, delta: f64, confidence: f64) -> Option<OneShot> {
    let null = Normal { mean: 0.0, sd: (dim as f64).sqrt().recip() };
    from_fits(Fit::new(cosines)?, Fit::known(null), delta, confidence)
}

/// The estimate from the statistics of canaries that took part and of canaries that were left
/// out, both taken to be normal: for statistics whose law without the canary is not known.
///
/// `confidence` is that of the interval, in `(0, 1)`. `None` with fewer than three canaries on
/// either side.
#[must_use]
pub fn estimate_from_both(
    with: &[f64],
    without: &[f64],
    delta: f64,
    confidence: f64,
) -> Option<OneShot> {
    from_fits(Fit::new(with)?, Fit::new(without)?, delta, confidence)
}

/// A normal distribution fitted to `count` numbers; none: known exactly.
#[derive(Clone, Copy)]
struct Fit {
    normal: Normal,
    count: Option<f64>,
}

impl Fit {
    fn known(normal: Normal) -> Self {
        Self { normal, count: None }
    }

    fn new(values: &[f64]) -> Option<Self> {
        if values.len() < 3 {
            return None;
        }
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
        let sd = (squares / (count - 1.0)).sqrt();
        Some(Self { normal: Normal { mean, sd }, count: Some(count) })
    }

    /// Fits that are as plausible at this confidence for mean and deviation together: the corners
    /// and edges of their box, each side at half the risk.
    fn plausible(self, confidence: f64) -> Vec<Normal> {
        let Normal { mean, sd } = self.normal;
        let Some(count) = self.count else { return vec![self.normal] };
        let tail = 0.25 * (1.0 - confidence);
        let freedom = count - 1.0;
        let (Ok(student), Ok(chi)) = (StudentsT::new(0.0, 1.0, freedom), ChiSquared::new(freedom))
        else {
            return vec![self.normal];
        };
        let reach = student.inverse_cdf(1.0 - tail) * sd / count.sqrt();
        let least = sd * (freedom / chi.inverse_cdf(1.0 - tail)).sqrt();
        let most = sd * (freedom / chi.inverse_cdf(tail)).sqrt();
        let mut fits = Vec::new();
        for step in -2..=2 {
            for part in 0..=4 {
                fits.push(Normal {
                    mean: mean + reach * f64::from(step) / 2.0,
                    sd: least + (most - least) * f64::from(part) / 4.0,
                });
            }
        }
        fits
    }
}

fn from_fits(with: Fit, without: Fit, delta: f64, confidence: f64) -> Option<OneShot> {
    if !(confidence > 0.0 && confidence < 1.0) {
        return None;
    }
    // `epsilon_between` is never negative and never NaN.
    let between = |with, without| {
        Epsilon::new(epsilon_between(with, without, delta)).unwrap_or(Epsilon::INFINITE)
    };
    let epsilon = between(with.normal, without.normal);
    // Two fits share the risk.
    let each = if without.count.is_some() { 0.5 * (1.0 + confidence) } else { confidence };
    let mut interval = [epsilon, epsilon];
    for one in with.plausible(each) {
        for other in without.plausible(each) {
            let epsilon = between(one, other);
            if epsilon < interval[0] {
                interval[0] = epsilon;
            }
            if epsilon > interval[1] {
                interval[1] = epsilon;
            }
        }
    }
    let canaries = with.count.map_or(0, |count| count as usize);
    let Normal { mean, sd } = with.normal;
    Some(OneShot { epsilon, delta, interval, canaries, mean, sd })
}
