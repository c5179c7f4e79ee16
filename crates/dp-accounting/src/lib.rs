//! Privacy accounting for differentially private training.
//!
//! Training that clips what each record contributes and adds noise leaks a little with every
//! release. This crate says how much: releases are [`DpEvent`]s, a [`Ledger`] keeps them in
//! order, an [`Accountant`] turns them into `(ε, δ)`, and [`calibrate`] goes the other way, from
//! a target `ε` to the noise or the number of clients.
//!
//! It is pure mathematics: no randomness, no input or output, no dependence on any framework.
//!
//! # One example
//!
//! A hundred rounds, each on a Poisson sample of 120 of 3,383 clients in expectation, with
//! noise of 1.2 clip norms:
//!
//! ```
//! use dp_accounting::{
//!     Accountant, Delta, DpEvent, Ledger, Neighboring, NoiseMultiplier, RdpAccountant,
//!     SamplingProbability,
//! };
//!
//! let round = DpEvent::gaussian(NoiseMultiplier::new(1.2)?)
//!     .poisson_sampled(SamplingProbability::from_counts(120, 3383)?);
//! let mut ledger = Ledger::new();
//! for _ in 0..100 {
//!     ledger.record(round.clone());
//! }
//!
//! let mut accountant = RdpAccountant::new(Neighboring::AddOrRemoveOne);
//! ledger.replay(&mut accountant)?;
//! let epsilon = accountant.epsilon(Delta::new(1e-5)?)?;
//! assert!((epsilon.get() - 1.986_06).abs() < 1e-5);
//! # Ok::<(), dp_accounting::AccountingError>(())
//! ```
//!
//! # Which accountant
//!
//! | accountant | gives | prices | errs |
//! |---|---|---|---|
//! | [`ExactAccountant`] | an interval 1e-9 wide, in about a millisecond at any number of rounds | Gaussian, Poisson-sampled Gaussian, mixtures | the interval is proven; where it cannot be made narrow enough an error says so |
//! | [`RdpAccountant`] | an upper bound, with classic or improved conversion | the same, and subsets of fixed size, trees, Laplace and discrete Laplace, discrete Gaussian, randomised response, pure and zCDP events, the choice of the best of many runs | upwards, commonly by 10 to 20 % |
//! | [`PldAccountant`] | an interval that narrows with the grid | the same as the exact one, and Laplace and discrete Laplace, sampled or not, randomised response, pure events | the interval is proven up to rounding; with a pure event, of which only a bound is known, it has no lower end |
//!
//! [`verify::verify`] asks all that apply and fails if their intervals do not meet.
//!
//! # What is promised
//!
//! - An answer never understates: what is returned holds for the events composed.
//! - A lower end is that of the mechanism. Where a price is only a bound, an interval has none.
//! - A search for a parameter always has an answer, or says that there is none: where one accountant
//!   refuses, others answer, from above.
//! - An event for which an accountant has no proof is refused, naming the innermost part, and
//!   never dropped. Fixed-size samples under add-or-remove neighbours are an error, not a
//!   number.
//! - Noise is relative to the *contribution bound* of one record, the relation between data
//!   sets is said once, to the accountant, and the two together give the sensitivity.
//! - NaN, negative and out-of-range numbers do not get in: see [`units`].
//!
//! # What is not
//!
//! The guarantee is that of the mathematical mechanism. Floating-point noise, reused random
//! streams, raw metrics released beside the model and hyper-parameters chosen on the same
//! data are outside of it.
//!
//! Rounding is bounded under the usual model of floating point and not by interval arithmetic.
//!
//! # Papers
//!
//! - Mironov, *Rényi Differential Privacy*, 2017, <https://arxiv.org/abs/1702.07476>
//! - Mironov, Talwar and Zhang, *Rényi Differential Privacy of the Sampled Gaussian
//!   Mechanism*, 2019, <https://arxiv.org/abs/1908.10530>
//! - Balle and Wang, *Improving the Gaussian Mechanism for Differential Privacy*, 2018,
//!   <https://arxiv.org/abs/1805.06530>
//! - Zhu, Dong and Wang, *Optimal Accounting of Differential Privacy via Characteristic
//!   Function*, 2022, <https://arxiv.org/abs/2106.08567>
//! - Doroshenko et al., *Connect the Dots*, 2022, <https://arxiv.org/abs/2207.04380>
//! - Papernot and Steinke, *Hyperparameter Tuning with Renyi Differential Privacy*, 2022,
//!   <https://arxiv.org/abs/2110.03620>
//! - Canonne, Kamath and Steinke, *The Discrete Gaussian for Differential Privacy*, 2020,
//!   <https://arxiv.org/abs/2004.00010>

pub mod accountant;
pub mod calibrate;
pub mod error;
pub mod event;
pub mod exact;
mod history;
#[cfg(feature = "import")]
pub mod import;
pub mod ledger;
mod normal;
pub mod pld;
pub mod rdp;
pub mod units;
pub mod verify;

pub use accountant::{Accountant, DeltaInterval, EpsilonInterval, Neighboring};
pub use error::AccountingError;
pub use event::{DpEvent, Repetitions};
pub use exact::ExactAccountant;
pub use ledger::Ledger;
pub use pld::PldAccountant;
pub use rdp::RdpAccountant;
pub use units::{Delta, Epsilon, NoiseMultiplier, Rho, SamplingProbability, UnitError};
