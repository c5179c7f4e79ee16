//! A population of clients, whatever it lies in.

use std::borrow::Cow;

use crate::digest::ContentDigest;
use crate::examples::Examples;

/// Clients by index, in the order of their sorted ids.
///
/// A population may be far larger than memory: nothing is asked of a client before it is drawn.
/// Every implementor keeps: `client(i)` gives the same examples in the same order whenever it is
/// called; `num_examples(i) == client(i).len()`; rows are `width()` wide; labels are below
/// `classes()`; no two clients have the same id. A client is its id: neither that nor its examples
/// depend on who else is in the population, which only moves its index.
pub trait FederatedData: Send + Sync {
    /// Number of clients.
    fn num_clients(&self) -> usize;

    /// The id of client `index`.
    fn client_id(&self, index: usize) -> Cow<'_, str>;

    /// Number of examples of client `index`, without touching them.
    fn num_examples(&self, index: usize) -> usize;

    /// The examples of client `index`.
    fn client(&self, index: usize) -> Examples<'_>;

    /// Features an example.
    fn width(&self) -> usize;

    /// Number of classes; labels are below it.
    fn classes(&self) -> usize;

    /// A digest of everything that the clients hold, where it is known without reading it: two
    /// populations with one digest give the same examples for every client.
    fn content(&self) -> Option<ContentDigest> {
        None
    }
}
