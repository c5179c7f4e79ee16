//! Training that has come to nothing, although every round was done.
//!
//! Updates that are not finite add nothing to a sum, so a run whose clients all break goes on, pays
//! for every round, and ends in a model of noise that is as finite as any. So a model that is
//! finite is not enough. A run has diverged if
//!
//! - its model is not finite, or
//! - the last evaluation is not: some example has a loss that is no number, or an infinite one, or
//! - most clients broke in the last round that had any, or in most of the rounds that had any.
//!
//! A single round in which most clients broke, in the middle of others that went well, is worth a
//! warning but is no divergence: what came after it shows that training went on.
//!
//! How many clients broke is raw client data. Whoever is told that a run diverged is told a bit of
//! it, also where the noise is that of a release.

use std::fmt;

use dp_agg::NoiseMode;
use serde::{Deserialize, Serialize};

/// How the clients of a run have fared so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// Rounds that had clients.
    pub rounds: u32,
    /// Those in which most clients sent an update that was not finite.
    pub broken: u32,
    /// Whether the last of them was such a round.
    pub broken_last: bool,
}

impl Health {
    /// Enters a round of so many clients, some of whose updates were not finite; whether it is the
    /// first in which most were.
    pub fn enter(&mut self, clients: usize, non_finite: usize) -> bool {
        if clients == 0 {
            return false;
        }
        self.rounds += 1;
        self.broken_last = 2 * non_finite > clients;
        self.broken += u32::from(self.broken_last);
        self.broken_last && self.broken == 1
    }
}

/// Why a run is called diverged.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Divergence {
    /// The model has parameters that are not finite.
    Model,
    /// The last evaluation gave a loss that is not finite.
    Evaluation {
        /// That loss.
        loss: f64,
    },
    /// Most clients broke, in the last round or in most rounds.
    Clients(Health),
}

impl Divergence {
    /// Whether a run with this model, this last loss on the test set (none: it was not evaluated)
    /// and such clients has diverged.
    #[must_use]
    pub fn of(params: &[f32], loss: Option<f64>, health: Health) -> Option<Self> {
        if !params.iter().all(|value| value.is_finite()) {
            return Some(Self::Model);
        }
        if let Some(loss) = loss.filter(|loss| !loss.is_finite()) {
            return Some(Self::Evaluation { loss });
        }
        let most = u64::from(health.broken) * 2 > u64::from(health.rounds);
        (health.broken_last || most).then_some(Self::Clients(health))
    }
}

impl Divergence {
    /// The message that a run's record may hold. That of a release does not say how many clients
    /// broke.
    #[must_use]
    pub fn for_record(&self, noise: NoiseMode) -> String {
        match self {
            Self::Clients(_) if noise == NoiseMode::Release => {
                "most clients sent updates that are not finite; in how many rounds is not written \
                 down, for it is raw client data"
                    .to_owned()
            }
            _ => self.to_string(),
        }
    }
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Model => f.write_str("the model is not finite"),
            Self::Evaluation { loss } => {
                write!(f, "the last evaluation is not finite (loss {loss})")
            }
            Self::Clients(Health { rounds, broken, broken_last }) => {
                let last = if *broken_last { ", the last among them," } else { "" };
                write!(
                    f,
                    "in {broken} of {rounds} rounds{last} most clients sent updates that are not \
                     finite, and that added nothing"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health(rounds: &[(usize, usize)]) -> (Health, usize) {
        let mut health = Health::default();
        let warned =
            rounds.iter().filter(|(clients, broken)| health.enter(*clients, *broken)).count();
        (health, warned)
    }

    #[test]
    fn most_clients_in_the_last_round_or_in_most_rounds() {
        let fine = [1.0_f32];
        for (rounds, diverged, warned) in [
            (&[(8, 0), (8, 8), (8, 0)][..], false, 1),
            (&[(8, 0), (8, 4)], false, 0),
            (&[(8, 0), (8, 5)], true, 1),
            // Nobody was there: the round before is the last that tells.
            (&[(8, 0), (8, 0), (1, 1), (0, 0)], true, 1),
            (&[(3, 3), (3, 3), (3, 3), (3, 0)], true, 1),
            (&[(3, 3), (3, 0)], false, 1),
            (&[], false, 0),
        ] {
            let (health, first) = health(rounds);
            let found = Divergence::of(&fine, Some(0.5), health);
            assert_eq!((found.is_some(), first), (diverged, warned), "{rounds:?}: {found:?}");
        }
    }

    #[test]
    fn a_model_or_an_evaluation_that_is_not_finite() {
        let well = Health { rounds: 3, ..Health::default() };
        assert_eq!(Divergence::of(&[0.0, f32::NAN], Some(1.0), well), Some(Divergence::Model));
        for loss in [f64::NAN, f64::INFINITY] {
            let found = Divergence::of(&[0.0], Some(loss), well);
            assert!(matches!(found, Some(Divergence::Evaluation { .. })), "{found:?}");
        }
        assert_eq!(Divergence::of(&[0.0], None, well), None);
    }
}
