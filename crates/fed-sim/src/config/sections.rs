//! The sections of a configuration file.

use std::num::NonZeroUsize;

use dp_agg::{Clipping, RobustClipping, Weighting, Zeroing};
use fed_data::{Choice, SyntheticWriters, Variant};
use fed_model::{LocalSgd, MlpSpec};
use serde::{Deserialize, Serialize};

/// What a release may use or write down although no noise hides it: only if it is named under
/// `uncovered`. With simulation noise, which is no release, none of it needs to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Uncovered {
    /// Adaptive zeroing on raw counts: no guarantee covers the model then.
    AdaptiveZeroing,
    /// Raw measurements of every round in metrics.jsonl, and its times in timing.jsonl.
    Diagnostics,
}

/// `[data]`: where the clients come from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DataConfig {
    /// `"auto"` (real data if they lie in the data folder, else the synthetic writers),
    /// `"synthetic"`, or a path to real data.
    pub source: Choice,
    /// Which of EMNIST's characters.
    pub variant: Variant,
    /// Whether clients of a file may have no examples; if not, such a file is taken for damaged.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub allow_empty_clients: bool,
    /// Which synthetic writers, should it be those. Their seed decides the data, not the run.
    pub synthetic: SyntheticWriters,
}

impl DataConfig {
    pub(super) fn check(&self) -> Result<(), String> {
        if self.source.to_string().is_empty() {
            return Err("source = \"\" names nothing: \"auto\", \"synthetic\" or a path".to_owned());
        }
        let clients = self.synthetic.clients;
        if !(1..=100_000).contains(&clients) {
            return Err(format!("synthetic.clients = {clients} must lie in [1, 100000]"));
        }
        Ok(())
    }
}

/// `[model]`: the network between the pixels and the classes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelConfig {
    /// Widths of the hidden layers.
    pub hidden: Vec<usize>,
}

impl Default for ModelConfig {
    fn default() -> Self {
        Self { hidden: vec![200, 200] }
    }
}

impl ModelConfig {
    /// The network for data of this shape.
    #[must_use]
    pub fn spec(&self, inputs: usize, classes: usize) -> MlpSpec {
        let widths: Vec<usize> =
            std::iter::once(inputs).chain(self.hidden.iter().copied()).chain([classes]).collect();
        MlpSpec::new(widths)
    }

    pub(super) fn check(&self) -> Result<(), String> {
        match self.hidden.iter().find(|&&width| width == 0 || width > 1 << 20) {
            Some(width) => Err(format!("hidden = {width}: a layer has 1 to 1048576 units")),
            None => Ok(()),
        }
    }
}

/// `[client]`: what a client does with the parameters it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClientConfig {
    /// Which local work.
    pub algorithm: Algorithm,
    /// Step size of the local steps.
    pub learning_rate: f64,
    /// Momentum of the local steps, from rest in every round (`mime_lite`: the server's).
    pub momentum: f64,
    /// Examples a batch; the last partial batch is kept.
    pub batch_size: NonZeroUsize,
    /// Epochs, at least 1: passes over the client's examples, each in a new order with `shuffle`.
    /// They follow one another in one stream that is cut into batches, as in TensorFlow's
    /// `shuffle`, `repeat`, `batch`: a batch may hold the end of one epoch and the beginning of
    /// the next, and only the last of a round may be smaller. 5 examples in batches of 32 with 4
    /// epochs are one batch of 20 ([`fed_data::BatchPlan`]).
    pub epochs: NonZeroUsize,
    /// Strength of FedProx's proximal term; 0: none.
    pub proximal: f64,
    /// Whether a client visits its examples in a new order each time.
    pub shuffle: bool,
}

/// Which local work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Algorithm {
    /// Local SGD (FedAvg; FedProx with `proximal`).
    #[default]
    Sgd,
    /// One gradient over the client's examples (FedSGD); `learning_rate`, `momentum`, `epochs`
    /// and `proximal` have no meaning.
    FedSgd,
    /// Local SGD with the server's velocity held fixed (Mime Lite).
    MimeLite,
}

impl Default for ClientConfig {
    /// The tutorial's client.
    fn default() -> Self {
        Self {
            algorithm: Algorithm::Sgd,
            learning_rate: 0.01,
            momentum: 0.0,
            batch_size: NonZeroUsize::new(32).expect("not zero"),
            epochs: NonZeroUsize::MIN,
            proximal: 0.0,
            shuffle: true,
        }
    }
}

impl ClientConfig {
    /// The local steps, with `momentum` as their own.
    #[must_use]
    pub fn local_sgd(&self) -> LocalSgd {
        LocalSgd {
            learning_rate: self.learning_rate,
            momentum: self.momentum,
            batch_size: self.batch_size,
            epochs: self.epochs,
            proximal: self.proximal,
        }
    }

    pub(super) fn check(&self) -> Result<(), String> {
        let bad = |name: &str, value: f64, range: &str| {
            Err(format!("{name} = {value} must lie in {range}"))
        };
        let most = u32::MAX as usize;
        for (name, value) in [("batch_size", self.batch_size), ("epochs", self.epochs)] {
            if value.get() > most {
                return Err(format!("{name} = {value} must lie in [1, {most}]"));
            }
        }
        if !(self.learning_rate >= 0.0 && self.learning_rate.is_finite()) {
            return bad("learning_rate", self.learning_rate, "[0, ∞)");
        }
        if !(0.0..1.0).contains(&self.momentum) {
            return bad("momentum", self.momentum, "[0, 1)");
        }
        if !(self.proximal >= 0.0 && self.proximal.is_finite()) {
            return bad("proximal", self.proximal, "[0, ∞)");
        }
        Ok(())
    }
}

/// `[aggregation]`: what happens to the clients' updates.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum AggregationConfig {
    /// Zeroing, clipping, Gaussian noise, division by the expected number of clients.
    Private {
        /// What becomes of updates with an outlandish coordinate.
        #[serde(default)]
        zeroing: Zeroing,
        /// How the clip norm is found.
        #[serde(default)]
        clipping: Clipping,
    },
    /// The mean over the clients that took part; no clipping, no noise, no guarantee.
    Mean {
        /// Whether clients count once or by their number of examples.
        #[serde(default)]
        weighting: Weighting,
    },
    /// Zeroing and clipping at quantiles of the raw norms, then the mean; no guarantee.
    Robust {
        /// What becomes of updates with an outlandish coordinate.
        #[serde(default = "adaptive_zeroing")]
        zeroing: Zeroing,
        /// How the clip norm is found.
        #[serde(default)]
        clipping: RobustClipping,
        /// Whether clients count once or by their number of examples.
        #[serde(default)]
        weighting: Weighting,
    },
}

/// The field's form, where there is no guarantee that it could take away.
fn adaptive_zeroing() -> Zeroing {
    Zeroing::Adaptive(dp_agg::AdaptiveZeroing::default())
}

impl Default for AggregationConfig {
    fn default() -> Self {
        Self::Private { zeroing: Zeroing::default(), clipping: Clipping::default() }
    }
}

impl AggregationConfig {
    /// Whether noise protects the clients.
    #[must_use]
    pub fn is_private(&self) -> bool {
        matches!(self, Self::Private { .. })
    }
}

/// `[accounting]`: how ε is computed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AccountingConfig {
    /// How a Rényi curve becomes `(ε, δ)`.
    pub conversion: dp_accounting::rdp::Conversion,
    /// At which Rényi orders.
    pub orders: Orders,
}

/// Which Rényi orders are tried; each alone gives a valid bound.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Orders {
    /// The tutorial's list.
    #[default]
    Tutorial,
    /// The best real order.
    Best,
    /// These orders, each above 1.
    #[serde(untagged)]
    List(Vec<f64>),
}

/// `[audit]`: canaries that take part in the run, to see how well the releases give them away. A
/// configuration without this section is not audited; see [`crate::audit`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuditConfig {
    /// Canaries, of which a fair coin each decides whether it is in at all: 20 to 100,000. Without
    /// a number there are so many that the audit could refute what is claimed, 1,000 at least and
    /// 20,000 at most: see [`crate::audit`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canaries: Option<u32>,
    /// Confidence of the intervals and of the lower bound, in `(0, 1)`.
    pub confidence: f64,
}

impl Default for AuditConfig {
    /// As many canaries as the claim needs, and 95 per cent.
    fn default() -> Self {
        Self { canaries: None, confidence: 0.95 }
    }
}

impl AuditConfig {
    pub(super) fn check(&self) -> Result<(), String> {
        if let Some(canaries) = self.canaries.filter(|count| !(20..=100_000).contains(count)) {
            return Err(format!("canaries = {canaries} must lie in [20, 100000]"));
        }
        if !(self.confidence > 0.0 && self.confidence < 1.0) {
            return Err(format!("confidence = {} must lie in (0, 1)", self.confidence));
        }
        Ok(())
    }
}

impl AccountingConfig {
    pub(super) fn check(&self) -> Result<(), String> {
        match &self.orders {
            Orders::List(orders)
                if orders.is_empty() || !orders.iter().all(|a| *a > 1.0 && a.is_finite()) =>
            {
                Err(format!("orders = {orders:?} must be finite numbers above 1, at least one"))
            }
            _ => Ok(()),
        }
    }
}
