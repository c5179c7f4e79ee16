//! What an ε stands for: no ε is shown, written or drawn without it.
//!
//! Two things decide it. *Where the noise came from*: with simulation noise whoever knows the seed
//! can take it out again, so ε is that of the mechanism which was simulated, and nobody is protected
//! by it. *Whether the noise covers the model*: what moves the model on raw data ([`Gap`]) leaves ε
//! as the price of the noise alone, and no guarantee of the model follows from it.
//!
//! In tables and records a standing is one text, [`Standing`]'s [`Display`](fmt::Display): it
//! always begins with `simulated` or with `release`.

use std::fmt;
use std::str::FromStr;

use dp_accounting::Epsilon;
use dp_agg::{NoiseMode, Zeroing};
use serde::{Deserialize, Serialize};

use crate::config::{AggregationConfig, Algorithm, RunConfig, Uncovered};

/// What an ε stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Standing {
    /// Where noise and cohorts came from.
    pub noise: NoiseMode,
    /// What moves the model although no noise hides it; `None`: nothing does.
    pub gap: Option<Gap>,
}

/// Something that moves the model and that no noise hides. With it there is no guarantee of the
/// model, however small ε is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Gap {
    /// The zeroing threshold follows raw updates.
    AdaptiveZeroing,
    /// Clients send a second gradient, which gets no noise.
    MimeLite,
}

impl Gap {
    const ALL: [Self; 2] = [Self::AdaptiveZeroing, Self::MimeLite];

    /// Why no guarantee covers it, as a clause.
    #[must_use]
    pub fn why(self) -> &'static str {
        match self {
            Self::AdaptiveZeroing => {
                "its threshold follows raw update magnitudes and the raw cohort size, so one client \
                 can decide whether the updates of others count"
            }
            Self::MimeLite => {
                "its clients send a second, raw gradient, which moves all further updates"
            }
        }
    }

    /// What ε would be the price of, as a clause.
    #[must_use]
    pub fn would_cover(self) -> &'static str {
        match self {
            Self::AdaptiveZeroing => {
                "what the same rounds would cost if the zeroing threshold did not follow raw data, \
                 as a constant one or one on a noised count does not"
            }
            Self::MimeLite => {
                "what the same rounds would cost if the clients' second gradient did not follow \
                 their data"
            }
        }
    }

    /// What a configuration can ask for in its place.
    pub(crate) fn instead(self) -> &'static str {
        match self {
            Self::AdaptiveZeroing => {
                "Take [aggregation] zeroing = { kind = \"off\" }, \"constant\" or \"noised\""
            }
            Self::MimeLite => "Take [client] algorithm = \"sgd\"",
        }
    }

    /// The key under `uncovered` that asks for it by name; none where it is refused altogether.
    pub(crate) fn name(self) -> Option<(Uncovered, &'static str)> {
        match self {
            Self::AdaptiveZeroing => Some((Uncovered::AdaptiveZeroing, "adaptive_zeroing")),
            Self::MimeLite => None,
        }
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AdaptiveZeroing => "adaptive zeroing",
            Self::MimeLite => "Mime Lite",
        })
    }
}

impl Standing {
    /// What the ε of such a run stands for.
    #[must_use]
    pub fn of(config: &RunConfig) -> Self {
        let gap = match config.aggregation {
            AggregationConfig::Private { zeroing: Zeroing::Adaptive(_), .. } => {
                Some(Gap::AdaptiveZeroing)
            }
            AggregationConfig::Private { .. } if config.client.algorithm == Algorithm::MimeLite => {
                Some(Gap::MimeLite)
            }
            // Without noise ε is infinite, whatever else there is.
            _ => None,
        };
        Self { noise: config.noise, gap }
    }

    /// Whether the noise was seeded, so that nobody is protected by it.
    #[must_use]
    pub fn is_simulated(self) -> bool {
        self.noise == NoiseMode::Simulation
    }

    /// `name` as it must be called: `simulated ε`, `ε (release noise)`, and so on.
    #[must_use]
    pub fn call(self, name: &str) -> String {
        let (before, after) = self.around();
        format!("{before}{name}{after}")
    }

    /// An ε to four decimals, rounded up, after the name that it must have.
    #[must_use]
    pub fn show(self, name: &str, epsilon: Epsilon) -> String {
        let (before, after) = self.around();
        format!("{before}{name} {}{after}", shown(epsilon))
    }

    /// What stands before and after an ε.
    fn around(self) -> (&'static str, &'static str) {
        match (self.noise, self.gap) {
            (NoiseMode::Simulation, None) => ("simulated ", ""),
            (NoiseMode::Simulation, Some(_)) => ("simulated ", " (not of the model)"),
            (NoiseMode::Release, None) => ("", " (release noise)"),
            (NoiseMode::Release, Some(_)) => ("", " (release noise; not of the model)"),
        }
    }

    /// What must be said once wherever ε stands, in a sentence or two.
    #[must_use]
    pub fn sentence(self) -> String {
        let noise = match self.noise {
            NoiseMode::Simulation => {
                "Simulated: simulation noise, drawn from a seed, hides nothing from whoever knows it; \
                 nothing here is a release."
            }
            NoiseMode::Release => "Release noise: drawn from the system's entropy.",
        };
        match self.gap {
            None => noise.to_owned(),
            Some(gap) => format!(
                "{noise} No guarantee of the model: with {gap} {}; ε is {}.",
                gap.why(),
                gap.would_cover()
            ),
        }
    }
}

/// An ε to four decimals, rounded up; `infinite` where there is none.
#[must_use]
pub fn shown(epsilon: Epsilon) -> String {
    if epsilon.is_finite() { epsilon.rounded_up(4) } else { "infinite".to_owned() }
}

fn word(noise: NoiseMode) -> &'static str {
    match noise {
        NoiseMode::Simulation => "simulated",
        NoiseMode::Release => "release",
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(word(self.noise))?;
        match self.gap {
            None => Ok(()),
            Some(gap) => write!(f, "; not of the model: {gap}"),
        }
    }
}

impl From<Standing> for String {
    fn from(standing: Standing) -> Self {
        standing.to_string()
    }
}

impl FromStr for Standing {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let gaps = || std::iter::once(None).chain(Gap::ALL.map(Some));
        [NoiseMode::Simulation, NoiseMode::Release]
            .into_iter()
            .flat_map(|noise| gaps().map(move |gap| Self { noise, gap }))
            .find(|standing| standing.to_string() == text)
            .ok_or_else(|| format!("{text:?} is nothing that an ε can stand for"))
    }
}

impl TryFrom<String> for Standing {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every form names its noise, and survives its text.
    #[test]
    fn every_standing_says_where_its_noise_came_from() {
        let mut seen = Vec::new();
        for noise in [NoiseMode::Simulation, NoiseMode::Release] {
            for gap in [None, Some(Gap::AdaptiveZeroing), Some(Gap::MimeLite)] {
                let standing = Standing { noise, gap };
                assert_eq!(standing.to_string().parse(), Ok(standing));
                let number = standing.show("ε =", Epsilon::ZERO);
                for text in [standing.to_string(), standing.call("ε"), number, standing.sentence()]
                {
                    let text = text.to_lowercase();
                    assert_eq!(text.contains("simulated"), standing.is_simulated(), "{text}");
                    assert_eq!(
                        text.contains("release noise") || text.starts_with("release"),
                        !standing.is_simulated(),
                        "{text}"
                    );
                    assert_eq!(text.contains("of the model"), gap.is_some(), "{text}");
                }
                seen.push(standing.to_string());
            }
        }
        assert_eq!(
            seen,
            [
                "simulated",
                "simulated; not of the model: adaptive zeroing",
                "simulated; not of the model: Mime Lite",
                "release",
                "release; not of the model: adaptive zeroing",
                "release; not of the model: Mime Lite",
            ]
        );
        assert!("proven".parse::<Standing>().is_err());
    }
}
