//! How many clients per round a target needs, with noise in proportion to the clients.
//!
//! A base run with few clients and little noise fixes the ratio of noise to clients, and with
//! it the utility: the noise on the *mean* stays what it was while both grow. Only `ε` falls.

use crate::accountant::{Accountant, Neighboring};
use crate::calibrate::quote::{Patience, Rounds};
use crate::error::AccountingError;
use crate::event::DpEvent;
use crate::rdp::{Conversion, Orders, RdpAccountant};
use crate::units::{Delta, Epsilon, NoiseMultiplier, SamplingProbability, UnitError};

/// The question: which multiple of the base run meets the target?
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClientSearch {
    /// All clients there are; no round can expect more.
    pub population: u64,
    /// Clients per round of the base run; the search never answers fewer.
    pub base_clients: u64,
    /// Noise multiplier of the base run.
    pub base_noise_multiplier: NoiseMultiplier,
    /// What `ε` must get below.
    pub target: Epsilon,
}

/// One candidate of a search.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Proposal {
    /// Expected clients per round.
    pub clients: u64,
    /// `clients` over the population.
    pub probability: SamplingProbability,
    /// The base multiplier times `clients` over the base clients.
    pub noise_multiplier: NoiseMultiplier,
}

impl Proposal {
    /// One round of this proposal: a Poisson-sampled Gaussian.
    #[must_use]
    pub fn round(&self) -> DpEvent {
        DpEvent::gaussian(self.noise_multiplier).poisson_sampled(self.probability)
    }
}

/// What a proposal costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Price {
    /// The `ε` of all rounds together.
    pub epsilon: Epsilon,
    /// The Rényi order behind it, where there is one.
    pub order: Option<f64>,
}

/// A proposal with its price.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evaluation {
    /// What was tried.
    pub proposal: Proposal,
    /// What it costs.
    pub price: Price,
    /// The accountant that proved it, where the search knows.
    pub accountant: Option<&'static str>,
}

/// The answer to a [`ClientSearch`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ClientVerdict {
    /// The target is met.
    Met {
        /// The smallest number of clients that meets it, unless the base run already does.
        answer: Evaluation,
        /// The next smaller number, which does not; nothing if the base run is the answer.
        one_fewer: Option<Evaluation>,
        /// Everything that was tried, in order.
        evaluations: Vec<Evaluation>,
    },
    /// The target cannot be met at this ratio of noise to clients, even with everybody.
    OutOfReach {
        /// The least price that was seen: a target must lie above its `ε`.
        floor: Evaluation,
        /// Everything that was tried, in order.
        evaluations: Vec<Evaluation>,
    },
}

impl ClientSearch {
    /// Searches with any price: doubles from the base run until `ε` is *below* the target,
    /// then halves the interval; a middle is taken over if its `ε` is *not above* the target.
    /// The last doubling stops at the population.
    ///
    /// # Errors
    /// Those of `price`; [`AccountingError::Unit`] if the base run expects no clients or more
    /// than there are, or if the noise grows beyond what a float holds.
    pub fn run(
        &self,
        mut price: impl FnMut(&Proposal) -> Result<Price, AccountingError>,
    ) -> Result<ClientVerdict, AccountingError> {
        self.search(|proposal| Ok((price(proposal)?, None)))
    }

    fn search(
        &self,
        mut price: impl FnMut(&Proposal) -> Result<(Price, Option<&'static str>), AccountingError>,
    ) -> Result<ClientVerdict, AccountingError> {
        if self.base_clients == 0 {
            let (unit, range) = ("base clients", "1 to the population");
            return Err(UnitError::OutOfRange { unit, range, value: 0.0 }.into());
        }
        let mut evaluations = Vec::new();
        let mut evaluate = |clients: u64| -> Result<Evaluation, AccountingError> {
            let proposal = self.proposal(clients)?;
            let (price, accountant) = price(&proposal)?;
            let evaluation = Evaluation { proposal, price, accountant };
            evaluations.push(evaluation);
            Ok(evaluation)
        };
        let mut high = evaluate(self.base_clients)?;
        if high.price.epsilon < self.target {
            return Ok(ClientVerdict::Met { answer: high, one_fewer: None, evaluations });
        }
        let mut low = high;
        while high.price.epsilon >= self.target {
            if high.proposal.clients == self.population {
                let least = |a: Evaluation, b: &Evaluation| {
                    if b.price.epsilon < a.price.epsilon { *b } else { a }
                };
                let floor = evaluations.iter().fold(high, least);
                return Ok(ClientVerdict::OutOfReach { floor, evaluations });
            }
            low = high;
            high = evaluate(low.proposal.clients.saturating_mul(2).min(self.population))?;
        }
        while high.proposal.clients - low.proposal.clients > 1 {
            let middle = evaluate(low.proposal.clients.midpoint(high.proposal.clients))?;
            if middle.price.epsilon > self.target {
                low = middle;
            } else {
                high = middle;
            }
        }
        Ok(ClientVerdict::Met { answer: high, one_fewer: Some(low), evaluations })
    }

    /// Searches with the price of `rounds` rounds by Rényi accounting under add-or-remove-one
    /// neighbours; with [`Orders::tutorial`] and [`Conversion::Improved`] this is the tutorial.
    ///
    /// # Errors
    /// As for [`run`](Self::run).
    pub fn run_rdp(
        &self,
        rounds: u64,
        delta: Delta,
        orders: &Orders,
        conversion: Conversion,
    ) -> Result<ClientVerdict, AccountingError> {
        self.search(|proposal| {
            let mut accountant = RdpAccountant::new(Neighboring::AddOrRemoveOne)
                .with_orders(orders.clone())
                .with_conversion(conversion);
            accountant.compose(&proposal.round(), rounds)?;
            let found = accountant.epsilon_and_order(delta);
            let price = Price { epsilon: found.epsilon, order: found.order };
            Ok((price, Some(accountant.name())))
        })
    }

    /// Searches with the price of `rounds` rounds by the accountant that `make` makes, for
    /// example an [`ExactAccountant`](crate::ExactAccountant), with which the tutorial needs 104
    /// clients. Where it cannot give an interval of its width, a grid of losses or Rényi accounting
    /// answers in its place, from above.
    ///
    /// # Errors
    /// As for [`run`](Self::run).
    pub fn run_with<A: Accountant>(
        &self,
        rounds: u64,
        delta: Delta,
        make: impl Fn() -> A,
    ) -> Result<ClientVerdict, AccountingError> {
        let patience = Patience::default();
        self.search(|proposal| {
            let rounds = Rounds { round: proposal.round(), count: rounds };
            let quote = rounds.quote(make(), delta, &patience)?;
            Ok((Price { epsilon: quote.epsilon, order: None }, quote.accountant))
        })
    }

    /// The proposal with so many clients.
    ///
    /// # Errors
    /// [`AccountingError::Unit`] if there are not that many.
    pub fn proposal(&self, clients: u64) -> Result<Proposal, AccountingError> {
        #[expect(clippy::cast_precision_loss, reason = "client counts lie far below 2^53")]
        let scaled = self.base_noise_multiplier.get() * clients as f64 / self.base_clients as f64;
        Ok(Proposal {
            clients,
            probability: SamplingProbability::from_counts(clients, self.population)?,
            noise_multiplier: NoiseMultiplier::new(scaled)?,
        })
    }
}
