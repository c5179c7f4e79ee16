//! The plain mean: no clipping, no noise, no guarantee; for comparison.

use dp_accounting::DpEvent;

use crate::aggregator::{
    Aggregator, AggregatorState, Measurements, RawCounts, Release, Uncovered, parts_for,
};
use crate::error::AggregateError;
use crate::noise::{Noise, NoiseSpec};
use crate::rule::{UpdateRule, Weighting};
use crate::sum::{SecretSum, Tally};

/// `Σuᵢ / n` over the clients that took part, or `Σkᵢuᵢ / Σkᵢ` weighted by examples.
///
/// An update that is not finite counts as zeros: in the uniform mean it stays a client, in the
/// weighted one it loses its weight. Without clients (or without weight) the mean is `0/0`: NaN,
/// which the server must reject.
#[derive(Clone, Copy, Debug)]
pub struct PlainMean {
    weighting: Weighting,
}

impl PlainMean {
    /// The mean of all updates that take part.
    #[must_use]
    pub fn new(weighting: Weighting) -> Self {
        Self { weighting }
    }
}

/// Divides a sum by what was there: clients, or their weight. NaN where nothing was.
pub(crate) fn mean_over_actual(rule: &UpdateRule, steps: &[f64], tally: &Tally) -> Vec<f32> {
    let divisor = match rule.weighting {
        Weighting::Uniform => tally.clients as f64,
        Weighting::Examples => tally.weight,
    };
    let step = rule.grid().step();
    steps.iter().map(|steps| (steps * step / divisor) as f32).collect()
}

impl Aggregator for PlainMean {
    fn rule(&self) -> UpdateRule {
        UpdateRule { weighting: self.weighting, ..UpdateRule::default() }
    }

    fn noise(&self, dim: usize) -> NoiseSpec {
        NoiseSpec::none(dim, self.rule().grid())
    }

    fn event(&self) -> DpEvent {
        DpEvent::NonPrivate
    }

    fn release(&mut self, sum: SecretSum, noise: Noise) -> Result<Release, AggregateError> {
        let (rule, steps, tally) = parts_for(self, sum, &noise)?;
        Ok(Release {
            mean: mean_over_actual(&rule, &steps, &tally),
            event: self.event(),
            noise_mode: None,
            measurements: Measurements::default(),
            uncovered: vec![Uncovered::NoNoise, Uncovered::NoSensitivityBound],
            raw: RawCounts::from(&tally),
        })
    }

    fn state(&self) -> AggregatorState {
        AggregatorState::default()
    }

    fn restore(&mut self, state: &AggregatorState) -> Result<(), AggregateError> {
        if *state == AggregatorState::default() {
            Ok(())
        } else {
            Err(AggregateError::StateMismatch { what: "a plain mean carries nothing" })
        }
    }
}
