//! What an attacker could really tell: estimates and bounds of ε beside the proven one.
//!
//! An accountant proves an upper bound on ε. An audit plants *canaries*, artificial clients with
//! random directions as updates, and looks how well the releases give them away:
//!
//! - [`one_shot`] estimates ε from how much closer to the release the planted directions are than
//!   a random direction would be ([Andrew et al. 2023]). An estimate, with a confidence interval
//!   for its sampling error; it is no bound in either direction.
//! - [`one_run`] bounds ε from below, with a stated confidence, from how many fair coin tosses an
//!   attacker guesses right, one toss a canary for whether it took part ([Steinke, Nasr, Jagielski
//!   2023]). A bound above the proven ε shows a mistake.
//!
//! On the plain Gaussian mechanism, whose ε is known, both land where they should: see
//! `tests/audit.rs`.
//!
//! # In a run
//!
//! With an `[audit]` in its configuration ([`AuditConfig`](crate::config::AuditConfig)) a run
//! audits itself while it trains ([`Audit`]). A fair coin decides for each canary whether it is in
//! at all. The directions come from the seed, for an attacker may know them; so do the coins of a
//! simulation, but with release noise they are tossed with the system's entropy, like its cohorts:
//! the confidence of a bound is a probability over coins that the attacker did not know, and the
//! attacker here guesses from the releases alone. Checkpoints hold the coins, since a run that goes
//! on must keep them; they are removed when it is finished. Those that are in are
//! drawn in every round by the sampler of the clients, with their probability, and pass the same
//! rule into the same sum; those that are not show what the statistics are like without. After
//! every round the audit looks at the mean that was released,
//! and after the last one [`AuditReport`] says what it saw.
//!
//! - **The users' guarantee** is what it would be without canaries. They depend on nobody's data,
//!   so two neighbouring populations with the same canaries are still neighbours; every user is
//!   still drawn with probability `m/N`, and the divisor is still `m`.
//! - **The run is another one.** Canaries add up to noise on the model (small beside the noise of
//!   the mechanism: a canary is as long as one client's update, the noise `z·√dim` times), and
//!   they count as clients for a moving clip norm and zeroing threshold. Every other one is longer
//!   than the clip norm, so that together they do not pull at a median.
//! - **Nothing else changes.** Their streams are their own: without the section, every number of a
//!   run is what it was, to the last bit.
//! - **What cannot be seen.** The audit looks at means of rounds, one at a time, and at the model. It
//!   does not look at the noised counts, and it cannot see noise that repeats from round to round.
//!
//! # What an audit could refute
//!
//! From so many guesses, however right, only so large an ε can be refuted: the logarithm of their
//! number, about. So every report says the largest bound that its audit could have given at all,
//! and whether a run without any noise would have been found out; if not, it can refute nothing.
//! Without a number in its configuration, an audit takes as many canaries as it needs to find that
//! out ([`CHOICE`] says the least and the most), if the model bears them.
//! Whether the claim is refuted is asked of the whole privacy curve that was proven ([`curve`]),
//! which is more than its one pair of ε and δ.
//!
//! It costs an inner product a canary and a round, and `dim / 8` bytes a canary.
//!
//! [Andrew et al. 2023]: https://arxiv.org/abs/2302.03098
//! [Steinke, Nasr, Jagielski 2023]: https://arxiv.org/abs/2305.08846

mod canaries;
pub mod curve;
pub mod one_run;
pub mod one_shot;
mod pair;
mod report;
mod running;
mod size;

pub use canaries::Canaries;
pub use curve::Claim;
pub use pair::{Normal, epsilon_between};
pub use report::AuditReport;
pub use running::{Audit, CanaryRow, Trail};
pub use size::CHOICE;
