//! A price that is always there: where the accountant that was asked refuses, of others.
//!
//! An interval of a given width can be out of reach, as after a handful of rounds with little noise.
//! That says nothing about the mechanism, and no search may end there: a grid of losses and Rényi
//! accounting then bound the same price from above, by a little more.

use std::cell::Cell;

use crate::accountant::{Accountant, DeltaInterval, EpsilonInterval, Neighboring};
use crate::error::AccountingError;
use crate::event::DpEvent;
use crate::pld::PldAccountant;
use crate::rdp::RdpAccountant;
use crate::units::{Delta, Epsilon};

/// An `ε` that is true, and who proved it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quote {
    pub(super) epsilon: Epsilon,
    pub(super) accountant: Option<&'static str>,
}

impl From<Epsilon> for Quote {
    fn from(epsilon: Epsilon) -> Self {
        Self { epsilon, accountant: None }
    }
}

/// How often an accountant has refused in one search. One that refuses takes long to say so, and does
/// it all around: after a few times it is not asked again.
#[derive(Debug, Default)]
pub(super) struct Patience(Cell<u32>);

impl Patience {
    const MOST: u32 = 3;

    fn is_over(&self) -> bool {
        self.0.get() >= Self::MOST
    }

    fn refused(&self) {
        self.0.set(self.0.get() + 1);
    }
}

/// So many equal rounds, which have a price by whichever accountant has one.
pub(super) struct Rounds {
    pub(super) round: DpEvent,
    pub(super) count: u64,
}

impl Rounds {
    /// Bounds on `ε` by `empty`, or else by others.
    pub(super) fn epsilon<A: Accountant>(
        &self,
        mut empty: A,
        delta: Delta,
    ) -> Result<EpsilonInterval, AccountingError> {
        empty.compose(&self.round, self.count)?;
        match empty.epsilon_interval(delta) {
            Err(refused @ AccountingError::WidthNotReached { .. }) => {
                let found = self.of_others(empty.relation(), |one| one.epsilon_interval(delta));
                let lower = found.iter().filter_map(|(found, _)| found.lower).reduce(larger);
                let upper = found.iter().map(|(found, _)| found.upper).reduce(smaller);
                upper.map(|upper| EpsilonInterval { lower, upper }).ok_or(refused)
            }
            found => found,
        }
    }

    /// The upper end of [`epsilon`](Self::epsilon), and whose it is.
    pub(super) fn quote<A: Accountant>(
        &self,
        mut empty: A,
        delta: Delta,
        patience: &Patience,
    ) -> Result<Quote, AccountingError> {
        let relation = empty.relation();
        let others = || {
            let found = self.of_others(relation, |one| one.epsilon(delta)).into_iter();
            found.min_by(|a, b| a.0.get().total_cmp(&b.0.get()))
        };
        let stand_in = if patience.is_over() { others() } else { None };
        let (epsilon, accountant) = match stand_in {
            Some(found) => found,
            None => {
                empty.compose(&self.round, self.count)?;
                match empty.epsilon(delta) {
                    Err(refused @ AccountingError::WidthNotReached { .. }) => {
                        patience.refused();
                        others().ok_or(refused)?
                    }
                    found => (found?, empty.name()),
                }
            }
        };
        Ok(Quote { epsilon, accountant: Some(accountant) })
    }

    /// Bounds on `δ`, likewise.
    pub(super) fn delta<A: Accountant>(
        &self,
        mut empty: A,
        epsilon: Epsilon,
    ) -> Result<DeltaInterval, AccountingError> {
        empty.compose(&self.round, self.count)?;
        match empty.delta_interval(epsilon) {
            Err(refused @ AccountingError::WidthNotReached { .. }) => {
                let found = self.of_others(empty.relation(), |one| one.delta_interval(epsilon));
                let lower = found.iter().filter_map(|(found, _)| found.lower).reduce(larger);
                let upper = found.iter().map(|(found, _)| found.upper).reduce(smaller);
                upper.map(|upper| DeltaInterval { lower, upper }).ok_or(refused)
            }
            found => found,
        }
    }

    /// What the others say who say anything.
    fn of_others<T>(
        &self,
        relation: Neighboring,
        ask: impl Fn(&dyn Accountant) -> Result<T, AccountingError>,
    ) -> Vec<(T, &'static str)> {
        let others: [Box<dyn Accountant>; 2] = [
            Box::new(PldAccountant::new(relation).with_points(POINTS)),
            Box::new(RdpAccountant::new(relation)),
        ];
        let said = |mut one: Box<dyn Accountant>| {
            one.compose(&self.round, self.count).ok()?;
            Some((ask(one.as_ref()).ok()?, one.name()))
        };
        others.into_iter().filter_map(said).collect()
    }
}

/// Points of a grid that stands in: more are hardly narrower, and slow in a search.
const POINTS: usize = 1 << 17;

fn larger<T: PartialOrd>(a: T, b: T) -> T {
    if b > a { b } else { a }
}

fn smaller<T: PartialOrd>(a: T, b: T) -> T {
    if b < a { b } else { a }
}
