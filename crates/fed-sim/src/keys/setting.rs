//! A configuration as text, for keys: everything that decides a run's numbers, in one form.
//!
//! A line a value, `name value`, in an order that never changes; numbers that need not be whole are
//! written as the 16 hexadecimal digits of their bits. The names are those of the configuration file
//! today and stay what they are. Every field is named here, so that one that is added must be
//! placed: among those that decide, where it is written only if it is not what it was before it
//! existed, or among those that do not.

use std::fmt::{Display, Write as _};

use dp_agg::{
    AdaptiveClipping, AdaptiveZeroing, Clipping, Magnitude, NoiseMode, NoisedZeroing,
    QuantileUpdate, RobustClipping, Weighting, Zeroing,
};

use crate::cohort::Sampling;
use crate::config::{AggregationConfig, Algorithm, AuditConfig, ClientConfig, Orders, RunConfig};
use crate::plan;
use crate::server::ServerOptimizer;

/// The text of a configuration.
#[must_use]
pub fn encode(config: &RunConfig) -> String {
    let RunConfig {
        // What a run is called, and what only looks at it: a run is the beginning of a longer one.
        name: _,
        rounds: _,
        delta: _,
        evaluate_every: _,
        accounting: _,
        // What may be used and written down decides no number: what is used stands below.
        uncovered: _,
        // The learner says what network it is, and the population what data it is.
        model: _,
        data: _,
        seed,
        noise_multiplier,
        clients_per_round,
        sampling,
        noise,
        client,
        aggregation,
        server,
        audit,
    } = config;
    let mut text = Text("fed-dp setting 2\n".to_owned());
    text.word("seed", seed.0);
    text.number("noise_multiplier", noise_multiplier.get());
    text.number("clients_per_round", *clients_per_round);
    text.word(
        "sampling",
        match sampling {
            Sampling::Poisson => "poisson",
            Sampling::FixedSize => "fixed_size",
        },
    );
    text.word(
        "noise",
        match noise {
            NoiseMode::Simulation => "simulation",
            NoiseMode::Release => "release",
        },
    );
    text.client(client);
    text.aggregation(aggregation);
    text.server(server);
    match audit {
        None => {}
        Some(AuditConfig { canaries: Some(canaries), confidence: _ }) => {
            text.word("audit.canaries", canaries);
        }
        // What the claim asks for, and what decides that.
        Some(AuditConfig { canaries: None, confidence }) => {
            text.word("audit.canaries", "chosen");
            text.word("rounds", config.rounds);
            text.number("delta", config.delta.get());
            text.number("audit.confidence", *confidence);
            text.word("accounting", plan::describe_accounting(&config.accounting));
            if let Orders::List(orders) = &config.accounting.orders {
                orders.iter().for_each(|order| text.number("accounting.order", *order));
            }
        }
    }
    text.0
}

struct Text(String);

impl Text {
    fn word(&mut self, name: &str, value: impl Display) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "{name} {value}");
    }

    fn number(&mut self, name: &str, value: f64) {
        // One zero, not two.
        self.word(name, format_args!("{:016x}", (value + 0.0).to_bits()));
    }

    fn client(&mut self, client: &ClientConfig) {
        let ClientConfig {
            algorithm,
            learning_rate,
            momentum,
            batch_size,
            epochs,
            proximal,
            shuffle,
        } = *client;
        self.word(
            "client.algorithm",
            match algorithm {
                Algorithm::Sgd => "sgd",
                Algorithm::FedSgd => "fed_sgd",
                Algorithm::MimeLite => "mime_lite",
            },
        );
        self.number("client.learning_rate", learning_rate);
        self.number("client.momentum", momentum);
        self.word("client.batch_size", batch_size);
        self.word("client.epochs", epochs);
        self.number("client.proximal", proximal);
        self.word("client.shuffle", shuffle);
    }

    fn aggregation(&mut self, aggregation: &AggregationConfig) {
        match aggregation {
            AggregationConfig::Private { zeroing, clipping } => {
                self.word("aggregation.kind", "private");
                self.zeroing(zeroing);
                self.clipping(clipping);
            }
            AggregationConfig::Mean { weighting } => {
                self.word("aggregation.kind", "mean");
                self.weighting(*weighting);
            }
            AggregationConfig::Robust { zeroing, clipping, weighting } => {
                self.word("aggregation.kind", "robust");
                self.zeroing(zeroing);
                let RobustClipping { initial, target, learning_rate } = *clipping;
                self.number("clipping.initial", initial);
                self.number("clipping.target", target);
                self.number("clipping.learning_rate", learning_rate);
                self.weighting(*weighting);
            }
        }
    }

    fn zeroing(&mut self, zeroing: &Zeroing) {
        match *zeroing {
            Zeroing::Off => self.word("zeroing.kind", "off"),
            Zeroing::Constant { threshold, magnitude } => {
                self.word("zeroing.kind", "constant");
                self.number("zeroing.threshold", threshold);
                self.magnitude(magnitude);
            }
            Zeroing::Adaptive(AdaptiveZeroing {
                initial,
                target,
                learning_rate,
                multiplier,
                increment,
                magnitude,
            }) => {
                self.word("zeroing.kind", "adaptive");
                self.quantile([initial, target, learning_rate, multiplier, increment]);
                self.magnitude(magnitude);
            }
            Zeroing::Noised(NoisedZeroing {
                initial,
                target,
                learning_rate,
                multiplier,
                increment,
                magnitude,
                count_stddev,
            }) => {
                self.word("zeroing.kind", "noised");
                self.quantile([initial, target, learning_rate, multiplier, increment]);
                self.magnitude(magnitude);
                self.perhaps("zeroing.count_stddev", count_stddev);
            }
        }
    }

    fn quantile(&mut self, values: [f64; 5]) {
        let names = ["initial", "target", "learning_rate", "multiplier", "increment"];
        for (name, value) in names.into_iter().zip(values) {
            self.number(&format!("zeroing.{name}"), value);
        }
    }

    fn clipping(&mut self, clipping: &Clipping) {
        match *clipping {
            Clipping::Fixed { clip_norm } => {
                self.word("clipping.kind", "fixed");
                self.number("clipping.clip_norm", clip_norm);
            }
            Clipping::Adaptive(AdaptiveClipping {
                initial,
                target,
                learning_rate,
                update,
                count_stddev,
            }) => {
                self.word("clipping.kind", "adaptive");
                self.number("clipping.initial", initial);
                self.number("clipping.target", target);
                self.number("clipping.learning_rate", learning_rate);
                self.word(
                    "clipping.update",
                    match update {
                        QuantileUpdate::Geometric => "geometric",
                        QuantileUpdate::Arithmetic => "arithmetic",
                    },
                );
                self.perhaps("clipping.count_stddev", count_stddev);
            }
        }
    }

    fn perhaps(&mut self, name: &str, value: Option<f64>) {
        if let Some(value) = value {
            self.number(name, value);
        }
    }

    fn magnitude(&mut self, magnitude: Magnitude) {
        self.word(
            "zeroing.magnitude",
            match magnitude {
                Magnitude::LargestCoordinate => "largest_coordinate",
                Magnitude::L2 => "l2",
            },
        );
    }

    fn weighting(&mut self, weighting: Weighting) {
        self.word(
            "aggregation.weighting",
            match weighting {
                Weighting::Uniform => "uniform",
                Weighting::Examples => "examples",
            },
        );
    }

    fn server(&mut self, server: &ServerOptimizer) {
        let mut optimizer = |kind: &str, values: &[(&str, f64)]| {
            self.word("server.optimizer", kind);
            values.iter().for_each(|(name, value)| self.number(&format!("server.{name}"), *value));
        };
        match *server {
            ServerOptimizer::Sgd { learning_rate, momentum, nesterov } => {
                optimizer("sgd", &[("learning_rate", learning_rate), ("momentum", momentum)]);
                self.word("server.nesterov", nesterov);
            }
            ServerOptimizer::Adam { learning_rate, beta1, beta2, epsilon } => optimizer(
                "adam",
                &[
                    ("learning_rate", learning_rate),
                    ("beta1", beta1),
                    ("beta2", beta2),
                    ("epsilon", epsilon),
                ],
            ),
            ServerOptimizer::Yogi { learning_rate, beta1, beta2, epsilon } => optimizer(
                "yogi",
                &[
                    ("learning_rate", learning_rate),
                    ("beta1", beta1),
                    ("beta2", beta2),
                    ("epsilon", epsilon),
                ],
            ),
            ServerOptimizer::Adagrad { learning_rate, epsilon } => {
                optimizer("adagrad", &[("learning_rate", learning_rate), ("epsilon", epsilon)]);
            }
            ServerOptimizer::RmsProp { learning_rate, decay, epsilon } => optimizer(
                "rms_prop",
                &[("learning_rate", learning_rate), ("decay", decay), ("epsilon", epsilon)],
            ),
        }
    }
}
