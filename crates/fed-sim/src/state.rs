//! What a run carries from round to round: what a checkpoint must keep, and nothing else.
//!
//! The positions of the random streams are in it as the number of the round: every purpose has a
//! stream of its own for every round (see [`crate::keys`]), so a generator never has to be saved,
//! and a run that is taken up cannot use a stream twice for two different rounds. With release
//! noise there is nothing to save: the entropy of a round is used once and forgotten.

use dp_agg::AggregatorState;

use crate::audit::Trail;
use crate::divergence::Health;
use crate::keys;
use crate::server::Server;

/// A run between two rounds, seen from outside.
#[derive(Clone, Copy, Debug)]
pub struct Snapshot<'a> {
    /// Rounds finished.
    pub round: u32,
    /// Parameters and optimiser.
    pub server: &'a Server,
    /// Velocity that Mime Lite's clients use; empty for the other algorithms.
    pub mime_velocity: &'a [f32],
    /// Clip norm and zeroing estimate, where they move.
    pub aggregator: AggregatorState,
    /// What an audit has seen so far; none where there is none.
    pub audit: Option<&'a Trail>,
    /// How the clients have fared so far.
    pub health: Health,
}

impl Snapshot<'_> {
    /// A copy to keep, from which another run can go on: a fork in memory.
    #[must_use]
    pub fn to_saved(&self) -> Saved {
        Saved {
            round: self.round,
            server: self.server.clone(),
            mime_velocity: self.mime_velocity.to_vec(),
            aggregator: self.aggregator,
            audit: self.audit.cloned(),
            keys: keys::VERSION,
            health: self.health,
        }
    }
}

/// A run between two rounds, as it was saved.
#[derive(Clone, Debug, PartialEq)]
pub struct Saved {
    /// Rounds finished.
    pub round: u32,
    /// Parameters and optimiser.
    pub server: Server,
    /// Velocity that Mime Lite's clients use; empty for the other algorithms.
    pub mime_velocity: Vec<f32>,
    /// Clip norm and zeroing estimate, where they move.
    pub aggregator: AggregatorState,
    /// What an audit has seen so far; none where there is none.
    pub audit: Option<Trail>,
    /// The version of the random keys that the run was begun with ([`keys::VERSION`]).
    pub keys: u32,
    /// How the clients have fared so far.
    pub health: Health,
}
