//! A round as `metrics.jsonl` holds it, a line each.

use dp_agg::NoiseMode;
use serde::{Deserialize, Serialize};

use super::{Diagnostics, Released, RoundRecord};

/// One round's line. What a server could release stands under `released` if this run was a release,
/// and under `simulated` if it was not: the two cannot be taken for each other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoundLine {
    /// Number of the round, from 0.
    pub round: u32,
    /// Where noise and cohort came from; none in lines that were written before this was said, where
    /// `released` may also be what was simulated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noise: Option<NoiseMode>,
    /// What was released.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released: Option<Released>,
    /// What a release would have been.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub simulated: Option<Released>,
    /// Raw client data that the guarantee does not cover; none in a release that did not ask for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diagnostics: Option<Diagnostics>,
}

impl RoundLine {
    /// The line of a round, with what only a simulation knows if `raw` says so.
    #[must_use]
    pub fn new(record: &RoundRecord, noise: NoiseMode, raw: bool) -> Self {
        let seen = || Some(record.released.clone());
        let (released, simulated) = match noise {
            NoiseMode::Release => (seen(), None),
            NoiseMode::Simulation => (None, seen()),
        };
        let diagnostics = raw.then(|| record.diagnostics.clone());
        Self { round: record.round, noise: Some(noise), released, simulated, diagnostics }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::Step;

    fn record() -> RoundRecord {
        let released = Released {
            clip_norm: Some(0.5),
            next_clip_norm: Some(0.25),
            zeroing_threshold: None,
            noise_stddev: 0.125,
            aggregate_norm: 2.0,
            step: Step::Applied,
        };
        let diagnostics = Diagnostics {
            clients: 7,
            examples: 70,
            batches: 10,
            unclipped: 3,
            zeroed: 0,
            zeroing_threshold: None,
            non_finite: 0,
            mean_update_norm: 1.0,
            max_update_norm: 2.0,
            train_accuracy: 0.5,
            train_loss: 1.5,
        };
        RoundRecord { round: 4, released, diagnostics }
    }

    #[test]
    fn a_simulated_round_does_not_look_like_a_released_one() {
        let text = |noise, raw| {
            let line = RoundLine::new(&record(), noise, raw);
            let text = serde_json::to_string(&line).expect("JSON");
            assert_eq!(serde_json::from_str::<RoundLine>(&text).expect("its own text"), line);
            text
        };
        assert_eq!(
            text(NoiseMode::Release, false),
            "{\"round\":4,\"noise\":\"release\",\"released\":{\"clip_norm\":0.5,\
             \"next_clip_norm\":0.25,\"noise_stddev\":0.125,\"aggregate_norm\":2.0,\
             \"step\":\"applied\"}}"
        );
        let simulated = text(NoiseMode::Simulation, true);
        assert!(simulated.contains("\"simulated\":{") && !simulated.contains("\"released\""));
        assert!(simulated.contains("\"diagnostics\":{\"clients\":7,"), "{simulated}");
        // As it was written before.
        let old = serde_json::to_string(&record()).expect("JSON");
        let line: RoundLine = serde_json::from_str(&old).expect("an old line");
        assert_eq!((line.noise, line.simulated), (None, None));
        assert_eq!(line.released, Some(record().released));
    }
}
