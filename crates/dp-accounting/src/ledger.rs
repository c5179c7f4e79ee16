//! The events of a run in order, to be priced by any accountant at any time.
//!
//! With the feature `lines` a ledger is written as JSON lines in a chain of hashes:
//! `Ledger::to_json_lines`, `Ledger::from_json_lines`, and `Chain` to append.

#[cfg(feature = "lines")]
mod lines;

#[cfg(feature = "lines")]
pub use lines::{Bits128, Chain, LineError, VERSION};

use std::num::NonZeroU64;

use crate::accountant::Accountant;
use crate::error::AccountingError;
use crate::event::DpEvent;

/// One event and how often it happened in a row.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct Entry {
    /// What was released.
    pub event: DpEvent,
    /// How many times in a row.
    pub count: NonZeroU64,
}

/// What was released so far, in order; equal events in a row are one entry with a count.
///
/// A ledger only grows. It holds no guarantee itself: replay it into an [`Accountant`].
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct Ledger {
    entries: Vec<Entry>,
}

impl Ledger {
    /// A ledger in which nothing has been released.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes down one release.
    pub fn record(&mut self, event: DpEvent) {
        self.record_many(event, NonZeroU64::MIN);
    }

    /// Writes down `count` equal releases in a row.
    pub fn record_many(&mut self, event: DpEvent, count: NonZeroU64) {
        if let Some(last) = self.entries.last_mut()
            && last.event == event
            && let Some(sum) = last.count.checked_add(count.get())
        {
            last.count = sum;
        } else {
            self.entries.push(Entry { event, count });
        }
    }

    /// The entries in order.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// How many events were recorded, repetitions counted; saturating.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.entries.iter().fold(0, |sum, entry| sum.saturating_add(entry.count.get()))
    }

    /// Whether nothing was recorded.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Everything as one event.
    #[must_use]
    pub fn total(&self) -> DpEvent {
        let part = |entry: &Entry| match entry.count.get() {
            1 => entry.event.clone(),
            _ => entry.event.clone().repeated(entry.count),
        };
        match self.entries.as_slice() {
            [] => DpEvent::NoOp,
            [only] => part(only),
            several => DpEvent::composed(several.iter().map(part).collect()),
        }
    }

    /// Composes everything into `accountant`.
    ///
    /// # Errors
    /// Those of [`Accountant::compose`]; entries before the one at fault are then composed.
    pub fn replay(&self, accountant: &mut dyn Accountant) -> Result<(), AccountingError> {
        self.entries
            .iter()
            .try_for_each(|entry| accountant.compose(&entry.event, entry.count.get()))
    }
}
