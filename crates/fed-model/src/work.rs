//! What a client does with the parameters it is sent.

use std::num::NonZeroUsize;

use fed_data::BatchPlan;
use serde::{Deserialize, Serialize};

/// Local training by stochastic gradient descent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LocalSgd {
    /// Step size, `≥ 0`.
    pub learning_rate: f64,
    /// Momentum of the local optimiser in `[0, 1)`, from rest in every round; 0: none.
    pub momentum: f64,
    /// Examples a batch; the one partial batch at the end is kept and averaged over its own size.
    pub batch_size: NonZeroUsize,
    /// Epochs, each in an order of its own. [`BatchPlan`] says how they are cut into batches.
    pub epochs: NonZeroUsize,
    /// Strength `µ ≥ 0` of the proximal term `µ·(w − w₀)` that FedProx adds to each gradient; 0: none.
    pub proximal: f64,
}

/// The local work of a round.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LocalWork<'a> {
    /// Train and send initial minus trained weights.
    Sgd(LocalSgd),
    /// Mime Lite: as [`Sgd`](Self::Sgd), with the server's velocity added to every gradient and
    /// left as it is: each step is `w −= lr · (g + momentum · velocity)`.
    Mime {
        /// The local steps (its own `momentum` must be 0).
        sgd: LocalSgd,
        /// Momentum of the server's optimiser.
        momentum: f64,
        /// The server's velocity, `dim` long.
        velocity: &'a [f32],
    },
    /// FedSGD: send the mean gradient over the client's examples at the broadcast parameters.
    Gradient {
        /// Examples a batch; the result does not depend on it beyond rounding.
        batch_size: NonZeroUsize,
    },
}

impl LocalWork<'_> {
    /// How a client's examples are cut into batches.
    #[must_use]
    pub fn batch_plan(&self) -> BatchPlan {
        match self {
            Self::Sgd(sgd) | Self::Mime { sgd, .. } => {
                BatchPlan::new(sgd.batch_size.get(), sgd.epochs.get())
            }
            Self::Gradient { batch_size } => BatchPlan::new(batch_size.get(), 1),
        }
    }
}
