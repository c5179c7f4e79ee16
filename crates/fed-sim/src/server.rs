//! The server's step: parameters and the optimiser that moves them.
//!
//! An aggregate is a pseudo-gradient, *initial minus trained*; the server subtracts it. All
//! arithmetic is in `f32`, coordinate by coordinate.

use serde::{Deserialize, Serialize};

/// How the server turns aggregates into steps. Defaults are those of the field.
///
/// Under DP noise the second moments of the adaptive optimisers blow up early; momentum is the
/// usual choice.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "optimizer", rename_all = "snake_case", deny_unknown_fields)]
pub enum ServerOptimizer {
    /// `v := µ·v + d`, `w −= lr·v`; with Nesterov `w −= lr·(d + µ·v)`.
    Sgd {
        /// Step size, `≥ 0`.
        learning_rate: f64,
        /// Momentum `µ` in `[0, 1]`; 0 keeps no velocity.
        #[serde(default)]
        momentum: f64,
        /// Look ahead by one step.
        #[serde(default)]
        nesterov: bool,
    },
    /// Kingma and Ba 2015, with bias correction.
    Adam {
        /// Step size, `≥ 0`.
        learning_rate: f64,
        /// Decay of the first moment.
        #[serde(default = "defaults::beta1")]
        beta1: f64,
        /// Decay of the second moment.
        #[serde(default = "defaults::beta2")]
        beta2: f64,
        /// Added to the root of the second moment.
        #[serde(default = "defaults::small")]
        epsilon: f64,
    },
    /// Zaheer et al. 2018.
    Yogi {
        /// Step size, `≥ 0`.
        learning_rate: f64,
        /// Decay of the first moment.
        #[serde(default = "defaults::beta1")]
        beta1: f64,
        /// Decay of the second moment.
        #[serde(default = "defaults::beta2")]
        beta2: f64,
        /// Added to the root of the second moment.
        #[serde(default = "defaults::yogi_epsilon")]
        epsilon: f64,
    },
    /// Duchi et al. 2011.
    Adagrad {
        /// Step size, `≥ 0`.
        learning_rate: f64,
        /// Added under the root.
        #[serde(default = "defaults::small")]
        epsilon: f64,
    },
    /// Hinton 2012: decaying second moment.
    RmsProp {
        /// Step size, `≥ 0`.
        learning_rate: f64,
        /// Decay of the second moment.
        #[serde(default = "defaults::decay")]
        decay: f64,
        /// Added under the root.
        #[serde(default = "defaults::small")]
        epsilon: f64,
    },
}

mod defaults {
    pub(super) fn beta1() -> f64 {
        0.9
    }
    pub(super) fn beta2() -> f64 {
        0.999
    }
    pub(super) fn decay() -> f64 {
        0.9
    }
    pub(super) fn small() -> f64 {
        1e-7
    }
    pub(super) fn yogi_epsilon() -> f64 {
        1e-3
    }
}

impl Default for ServerOptimizer {
    /// The tutorial's: SGD with learning rate 1 and momentum 0.9.
    fn default() -> Self {
        Self::Sgd { learning_rate: 1.0, momentum: 0.9, nesterov: false }
    }
}

impl ServerOptimizer {
    /// Says what is out of range, if anything is.
    ///
    /// # Errors
    /// A sentence naming the value and its range.
    pub fn check(&self) -> Result<(), String> {
        let in_range = |name: &str, value: f64, ok: bool, range: &str| {
            if ok { Ok(()) } else { Err(format!("{name} = {value} must lie in {range}")) }
        };
        let rate = |value: f64| {
            in_range("learning_rate", value, value >= 0.0 && value.is_finite(), "[0, ∞)")
        };
        let decay = |name, value: f64| in_range(name, value, (0.0..1.0).contains(&value), "[0, 1)");
        let small =
            |value: f64| in_range("epsilon", value, value > 0.0 && value.is_finite(), "(0, ∞)");
        match *self {
            Self::Sgd { learning_rate, momentum, nesterov } => {
                rate(learning_rate)?;
                in_range("momentum", momentum, (0.0..=1.0).contains(&momentum), "[0, 1]")?;
                if nesterov && momentum <= 0.0 {
                    return Err("nesterov = true needs a momentum above 0".to_owned());
                }
                Ok(())
            }
            Self::Adam { learning_rate, beta1, beta2, epsilon }
            | Self::Yogi { learning_rate, beta1, beta2, epsilon } => {
                rate(learning_rate)?;
                decay("beta1", beta1)?;
                decay("beta2", beta2)?;
                small(epsilon)
            }
            Self::Adagrad { learning_rate, epsilon } => {
                rate(learning_rate)?;
                small(epsilon)
            }
            Self::RmsProp { learning_rate, decay: d, epsilon } => {
                rate(learning_rate)?;
                decay("decay", d)?;
                small(epsilon)
            }
        }
    }
}

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// The parameters moved.
    Applied,
    /// The aggregate was not finite: parameters and optimiser stay as they were.
    RejectedNonFinite,
}

/// Parameters and optimiser state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Server {
    optimizer: ServerOptimizer,
    params: Vec<f32>,
    /// Velocity or first moment; empty where the optimiser keeps none.
    first: Vec<f32>,
    /// Second moment; empty where the optimiser keeps none.
    second: Vec<f32>,
    /// Steps applied.
    steps: u64,
}

impl Server {
    /// A server at rest with these parameters.
    #[must_use]
    pub fn new(optimizer: ServerOptimizer, params: Vec<f32>) -> Self {
        let zeros = |value: f32| vec![value; params.len()];
        let (first, second) = match optimizer {
            ServerOptimizer::Sgd { momentum, .. } if momentum > 0.0 => (zeros(0.0), Vec::new()),
            ServerOptimizer::Sgd { .. } => (Vec::new(), Vec::new()),
            ServerOptimizer::Adam { .. } => (zeros(0.0), zeros(0.0)),
            ServerOptimizer::Yogi { .. } => (zeros(0.0), zeros(1e-6)),
            ServerOptimizer::Adagrad { .. } => (Vec::new(), zeros(0.1)),
            ServerOptimizer::RmsProp { .. } => (Vec::new(), zeros(0.0)),
        };
        Self { optimizer, params, first, second, steps: 0 }
    }

    /// The parameters.
    #[must_use]
    pub fn params(&self) -> &[f32] {
        &self.params
    }

    /// The velocity of SGD with momentum; empty for optimisers that keep none.
    #[must_use]
    pub fn velocity(&self) -> &[f32] {
        &self.first
    }

    /// The optimiser's velocity or first moment; empty where it keeps none.
    #[must_use]
    pub fn first(&self) -> &[f32] {
        &self.first
    }

    /// The optimiser's second moment; empty where it keeps none.
    #[must_use]
    pub fn second(&self) -> &[f32] {
        &self.second
    }

    /// Steps applied so far.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// A server as it was saved.
    ///
    /// # Errors
    /// A sentence, if an optimiser of this kind does not keep such moments.
    pub fn restore(
        optimizer: ServerOptimizer,
        params: Vec<f32>,
        first: Vec<f32>,
        second: Vec<f32>,
        steps: u64,
    ) -> Result<Self, String> {
        let fresh = Self::new(optimizer, params);
        for (name, saved, needed) in
            [("first", &first, &fresh.first), ("second", &second, &fresh.second)]
        {
            if saved.len() != needed.len() {
                return Err(format!(
                    "the {name} moment has {} numbers, but this optimiser keeps {}",
                    saved.len(),
                    needed.len()
                ));
            }
        }
        Ok(Self { first, second, steps, ..fresh })
    }

    /// Moves the parameters against `aggregate`, unless it is not finite.
    ///
    /// # Panics
    /// If `aggregate` does not have one number a parameter.
    pub fn apply(&mut self, aggregate: &[f32]) -> Step {
        assert_eq!(aggregate.len(), self.params.len(), "one number a parameter");
        if !aggregate.iter().all(|value| value.is_finite()) {
            return Step::RejectedNonFinite;
        }
        self.steps += 1;
        let params = self.params.iter_mut().zip(aggregate);
        match self.optimizer {
            ServerOptimizer::Sgd { learning_rate, momentum, nesterov } => {
                let (rate, momentum) = (learning_rate as f32, momentum as f32);
                if self.first.is_empty() {
                    params.for_each(|(w, d)| *w -= rate * d);
                } else {
                    for ((w, d), v) in params.zip(&mut self.first) {
                        *v = momentum * *v + d;
                        *w -= rate * if nesterov { d + momentum * *v } else { *v };
                    }
                }
            }
            ServerOptimizer::Adam { learning_rate, beta1, beta2, epsilon } => {
                let t = self.steps as f64;
                let correction = (1.0 - beta2.powf(t)).sqrt() / (1.0 - beta1.powf(t));
                let rate = (learning_rate * correction) as f32;
                let (b1, b2) = ((1.0 - beta1) as f32, (1.0 - beta2) as f32);
                for ((w, g), (a, p)) in params.zip(self.first.iter_mut().zip(&mut self.second)) {
                    *a += b1 * (g - *a);
                    *p += b2 * (g * g - *p);
                    *w -= rate * *a / (p.sqrt() + epsilon as f32);
                }
            }
            ServerOptimizer::Yogi { learning_rate, beta1, beta2, epsilon } => {
                let t = self.steps as f64;
                let correction = (1.0 - beta2.powf(t)).sqrt() / (1.0 - beta1.powf(t));
                let rate = (learning_rate * correction) as f32;
                let (b1, b2) = ((1.0 - beta1) as f32, (1.0 - beta2) as f32);
                for ((w, g), (a, p)) in params.zip(self.first.iter_mut().zip(&mut self.second)) {
                    let square = g * g;
                    // `f32::signum` of 0 is 1, which would move a moment that is right already.
                    let sign = f32::from(square > *p) - f32::from(square < *p);
                    *a += b1 * (g - *a);
                    *p += b2 * sign * square;
                    *w -= rate * *a / (p.sqrt() + epsilon as f32);
                }
            }
            ServerOptimizer::Adagrad { learning_rate, epsilon } => {
                for ((w, g), p) in params.zip(&mut self.second) {
                    *p += g * g;
                    *w -= learning_rate as f32 * g / (*p + epsilon as f32).sqrt();
                }
            }
            ServerOptimizer::RmsProp { learning_rate, decay, epsilon } => {
                let (keep, take) = (decay as f32, (1.0 - decay) as f32);
                for ((w, g), p) in params.zip(&mut self.second) {
                    *p = keep * *p + take * g * g;
                    *w -= learning_rate as f32 * g / (*p + epsilon as f32).sqrt();
                }
            }
        }
        Step::Applied
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_aggregate_that_is_not_finite_changes_nothing() {
        let mut server = Server::new(ServerOptimizer::default(), vec![1.0, 2.0]);
        assert_eq!(server.apply(&[0.5, -0.5]), Step::Applied);
        let before = server.clone();
        assert_eq!(server.apply(&[f32::NAN, 0.0]), Step::RejectedNonFinite);
        assert_eq!(server.apply(&[0.0, f32::NEG_INFINITY]), Step::RejectedNonFinite);
        assert_eq!(server, before);
    }

    #[test]
    fn nesterov_looks_one_step_ahead() {
        let optimizer = ServerOptimizer::Sgd { learning_rate: 0.1, momentum: 0.5, nesterov: true };
        let mut server = Server::new(optimizer, vec![0.0]);
        server.apply(&[1.0]); // v = 1, w = -0.1·(1 + 0.5)
        server.apply(&[2.0]); // v = 2.5, w -= 0.1·(2 + 1.25)
        assert!((server.params()[0] + 0.475).abs() < 1e-6, "{:?}", server.params());
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let refused = |learning_rate, momentum, nesterov| {
            ServerOptimizer::Sgd { learning_rate, momentum, nesterov }.check().expect_err("refused")
        };
        assert!(refused(-1.0, 0.0, false).contains("learning_rate = -1"));
        assert!(refused(1.0, 1.5, false).contains("momentum = 1.5"));
        assert!(refused(1.0, 0.0, true).contains("nesterov"));
        assert!(refused(f64::NAN, 0.0, false).contains("learning_rate"));
        assert!(ServerOptimizer::default().check().is_ok());
    }
}
