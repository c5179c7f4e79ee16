//! Histories that other libraries wrote down, read as a [`Ledger`].
//!
//! Three forms of JSON are understood:
//!
//! - An event tree of the Python library `dp_accounting`, one object an event with its class and
//!   the names of its attributes. What `json.dumps(event.to_named_tuple())` writes, lists that
//!   begin with module and class and go on with the attributes in order, is the same to us.
//!
//!   ```json
//!   {"class_name": "SelfComposedDpEvent", "count": 100, "event":
//!     {"class_name": "PoissonSampledDpEvent", "sampling_probability": 0.01, "event":
//!       {"class_name": "GaussianDpEvent", "noise_multiplier": 1.0}}}
//!   ```
//!
//! - The history of an Opacus accountant, bare, in its `state_dict()`, or in that as
//!   `privacy_accountant_state_dict` of a checkpoint: a list of
//!   `[noise_multiplier, sample_rate, num_steps]`, each a number of Poisson-sampled Gaussians.
//! - An event of this crate, recognised by its `kind`.
//!
//! A list of events is their composition. A count may be written as `50`, `50.0` or `5e1`, an infinite
//! shape as Python writes it, `Infinity`. Nothing is guessed: a name that stands twice in one object, an unknown event, an attribute that
//! is missing, misspelt or out of range, and everything that has no event here is an error that
//! says where, as in `$.events[2].event.noise_multiplier`.
//!
//! # Two readings of one number
//!
//! `dp_accounting` says noise over the *L2 norm of one record*, as this crate does. Its Rényi
//! accountant nevertheless takes that number as it is under replace-one neighbours, where sums
//! differ by twice the norm; here it is doubled, as in its accountant of privacy loss
//! distributions. Prices under replace-one may therefore be larger here, and rightly so.

mod node;
mod strict;

use std::num::NonZeroU64;

use serde_json::Value;

use crate::accountant::Neighboring;
use crate::event::{DpEvent, Repetitions};
use crate::ledger::Ledger;
use crate::units::{Epsilon, NoiseMultiplier, Rho, SamplingProbability, UnitError};
use node::Node;

/// Who wrote a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// The Python library `dp_accounting`.
    DpAccounting,
    /// The Python library Opacus.
    Opacus,
    /// This crate.
    Own,
}

/// Why a text is not a history. `at` is a path from the root, `$`.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// There is nothing in it.
    #[error("it is empty: expected a dp_accounting event or an Opacus history, as JSON")]
    Empty,
    /// It is not JSON.
    #[error("line {line}, column {column}: {reason}")]
    NotJson {
        /// Which line, from 1.
        line: usize,
        /// Which column, from 1.
        column: usize,
        /// What is wrong there.
        reason: String,
    },
    /// It is JSON, but of no form that is known.
    #[error("{at}: {reason}")]
    Form {
        /// Where.
        at: String,
        /// What was expected, and what stands there.
        reason: String,
    },
    /// No event has this name.
    #[error("{at}: no event is called {name:?}")]
    UnknownEvent {
        /// Where.
        at: String,
        /// The name.
        name: String,
    },
    /// The event is known, but this crate has nothing that says the same.
    #[error("{at}: {name} has no counterpart here: {reason}")]
    NoCounterpart {
        /// Where.
        at: String,
        /// Its class.
        name: String,
        /// What stands in the way.
        reason: &'static str,
    },
}

/// Names of the events that are understood or refused by name, for suggestions.
pub fn event_names() -> impl Iterator<Item = &'static str> {
    node::CLASSES.iter().map(|(name, _)| *name)
}

/// Under which key Opacus keeps the state of its accountant in a checkpoint.
const CHECKPOINT: &str = "privacy_accountant_state_dict";

/// Reads a history. The relation is the one under which it will be priced: an event of another
/// library may say a sensitivity that only becomes a price with it, though none of those that are
/// read today does.
///
/// Compositions at the root become entries of the ledger, in order.
///
/// # Errors
/// [`ImportError`] says what is wrong, and where.
pub fn ledger(text: &str, _relation: Neighboring) -> Result<(Ledger, Origin), ImportError> {
    let text = text.trim_start_matches('\u{feff}');
    if text.trim().is_empty() {
        return Err(ImportError::Empty);
    }
    match strict::value(text) {
        Ok(value) => of_value(value),
        Err(error) => {
            let error = not_json(text, &error);
            // Python writes an infinite shape in a way that JSON does not know. Anywhere else no number
            // can be infinite.
            let again = strict::value(&strict::with_infinity(text)).ok();
            again.and_then(|value| of_value(value).ok()).ok_or(error)
        }
    }
}

/// The history in a value.
fn of_value(value: Value) -> Result<(Ledger, Origin), ImportError> {
    let mut ledger = Ledger::new();
    let origin = match &value {
        Value::Object(map) if map.contains_key("history") => {
            opacus(&map["history"], "$.history", &mut ledger)?;
            Origin::Opacus
        }
        // What Opacus puts into a checkpoint, beside the model.
        Value::Object(map) if map.contains_key(CHECKPOINT) => {
            let at = format!("$.{CHECKPOINT}");
            let state = &map[CHECKPOINT];
            let history = state.get("history").unwrap_or(state);
            let at = if state.is_object() { format!("{at}.history") } else { at };
            opacus(history, &at, &mut ledger)?;
            Origin::Opacus
        }
        Value::Object(map) if map.contains_key("kind") => {
            let event = serde_json::from_value(value)
                .map_err(|error| form("$", format!("as an event of this crate: {error}")))?;
            unfold(event, NonZeroU64::MIN, &mut ledger);
            Origin::Own
        }
        Value::Array(entries) if entries.is_empty() => {
            return Err(form("$", "the list is empty: there is nothing to price"));
        }
        Value::Array(entries) if entries.iter().all(is_triple) => {
            opacus(&value, "$", &mut ledger)?;
            Origin::Opacus
        }
        Value::Array(entries) if !entries[0].is_string() => {
            for (at, entry) in entries.iter().enumerate() {
                let event = event(entry, &format!("$[{at}]"))?;
                unfold(event, NonZeroU64::MIN, &mut ledger);
            }
            Origin::DpAccounting
        }
        _ => {
            unfold(event(&value, "$")?, NonZeroU64::MIN, &mut ledger);
            Origin::DpAccounting
        }
    };
    Ok((ledger, origin))
}

fn form(at: &str, reason: impl Into<String>) -> ImportError {
    ImportError::Form { at: at.to_owned(), reason: reason.into() }
}

/// serde's complaint, with a word about what Python writes and JSON does not know.
fn not_json(text: &str, error: &serde_json::Error) -> ImportError {
    let (line, column) = (error.line(), error.column());
    let rest = text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
    let rest: String = rest.chars().skip(column.saturating_sub(2)).collect();
    let word = rest.trim_start_matches(|c: char| !c.is_alphabetic() && c != '-');
    let special = ["NaN", "-Infinity", "Infinity"].into_iter().find(|name| word.starts_with(name));
    // The position is told beside it.
    let message = error.to_string();
    let message = &message[..message.rfind(" at line ").unwrap_or(message.len())];
    let reason = match special {
        _ if error.is_data() => message.to_owned(),
        Some(name) => format!("{name} is not a number that a privacy parameter can have"),
        None => format!("not JSON: {message}"),
    };
    ImportError::NotJson { line, column, reason }
}

/// Puts compositions at the root into the ledger one by one.
fn unfold(event: DpEvent, count: NonZeroU64, ledger: &mut Ledger) {
    match event {
        DpEvent::Composed { events } if count == NonZeroU64::MIN => {
            events.into_iter().for_each(|event| unfold(event, count, ledger));
        }
        DpEvent::SelfComposed { count: times, event } => match count.checked_mul(times) {
            Some(count) => unfold(*event, count, ledger),
            None => ledger.record_many(DpEvent::SelfComposed { count: times, event }, count),
        },
        other => ledger.record_many(other, count),
    }
}

/// Whether a value looks like an entry of an Opacus history.
fn is_triple(value: &Value) -> bool {
    value.as_array().is_some_and(|parts| !parts.first().is_some_and(Value::is_string))
}

fn opacus(history: &Value, at: &str, ledger: &mut Ledger) -> Result<(), ImportError> {
    let wanted = "[noise_multiplier, sample_rate, num_steps]";
    let entries = history
        .as_array()
        .ok_or_else(|| form(at, format!("an Opacus history is a list of {wanted}")))?;
    if entries.is_empty() {
        return Err(form(at, "the history is empty: there is nothing to price"));
    }
    for (index, entry) in entries.iter().enumerate() {
        let at = format!("{at}[{index}]");
        let Some([noise, rate, steps]) = entry.as_array().map(Vec::as_slice) else {
            return Err(form(&at, format!("expected {wanted}, not {}", short(entry))));
        };
        let noise = number(noise, &format!("{at}[0]"), NoiseMultiplier::new)?;
        let rate = number(rate, &format!("{at}[1]"), SamplingProbability::new)?;
        let steps = positive(steps, &format!("{at}[2]"))?;
        ledger.record_many(DpEvent::gaussian(noise).poisson_sampled(rate), steps);
    }
    Ok(())
}

/// A number that `check` lets pass.
fn number<T>(
    value: &Value,
    at: &str,
    check: impl Fn(f64) -> Result<T, UnitError>,
) -> Result<T, ImportError> {
    let number = value
        .as_f64()
        .ok_or_else(|| form(at, format!("expected a number, not {}", short(value))))?;
    check(number).map_err(|error| form(at, error.to_string()))
}

/// A whole number from 0 on.
fn whole(value: &Value, at: &str) -> Result<u64, ImportError> {
    value.as_u64().ok_or_else(|| {
        form(at, format!("expected a whole number from 0 upwards, not {}", short(value)))
    })
}

/// A whole number from 1 on.
fn positive(value: &Value, at: &str) -> Result<NonZeroU64, ImportError> {
    NonZeroU64::new(whole(value, at)?)
        .ok_or_else(|| form(at, "expected a whole number from 1 upwards, not 0"))
}

/// The beginning of a value, for messages.
fn short(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

/// An event of `dp_accounting`.
fn event(value: &Value, at: &str) -> Result<DpEvent, ImportError> {
    let node = Node::new(value, at)?;
    let noise = || node.number("noise_multiplier", NoiseMultiplier::new);
    let inner = || -> Result<Box<DpEvent>, ImportError> {
        let (value, at) = node.required("event")?;
        event(value, &at).map(Box::new)
    };
    let pure = |epsilon: f64, at: &str| {
        let epsilon = Epsilon::new(epsilon).map_err(|error| form(at, error.to_string()))?;
        Ok(DpEvent::PureDp { epsilon })
    };
    Ok(match node.class() {
        "NoOpDpEvent" => DpEvent::NoOp,
        "NonPrivateDpEvent" => DpEvent::NonPrivate,
        "GaussianDpEvent" => DpEvent::gaussian(noise()?),
        "LaplaceDpEvent" => DpEvent::Laplace { noise_multiplier: noise()? },
        "SelfComposedDpEvent" => {
            let (count, at) = node.required("count")?;
            DpEvent::SelfComposed { count: positive(count, &at)?, event: inner()? }
        }
        "ComposedDpEvent" => {
            let (events, at) = node.required("events")?;
            let parts = events
                .as_array()
                .ok_or_else(|| form(&at, "expected a list of events"))?
                .iter()
                .enumerate();
            let part = |(index, part): (usize, &Value)| event(part, &format!("{at}[{index}]"));
            DpEvent::composed(parts.map(part).collect::<Result<_, _>>()?)
        }
        "PoissonSampledDpEvent" => {
            let probability = node.number("sampling_probability", SamplingProbability::new)?;
            DpEvent::PoissonSampled { probability, event: inner()? }
        }
        "SampledWithoutReplacementDpEvent" => DpEvent::FixedSizeSampled {
            population: node.whole("source_dataset_size")?,
            sample: node.whole("sample_size")?,
            event: inner()?,
        },
        "SingleEpochTreeAggregationDpEvent" => {
            let (steps, at) = node.required("step_counts")?;
            let steps = match steps {
                Value::Array(steps) => steps
                    .iter()
                    .enumerate()
                    .map(|(index, step)| whole(step, &format!("{at}[{index}]")))
                    .collect::<Result<_, _>>()?,
                one => vec![whole(one, &at)?],
            };
            DpEvent::TreeAggregation { noise_multiplier: noise()?, steps }
        }
        "RandomizedResponseDpEvent" => DpEvent::RandomizedResponse {
            probability: node.number("noise_parameter", SamplingProbability::new)?,
            buckets: node.whole("num_buckets")?,
        },
        "DiscreteGaussianDpEvent" => {
            let sigma = node.number("sigma", NoiseMultiplier::new)?.get();
            let sensitivity = node.number_or("sensitivity", 1.0, above_zero("sensitivity"))?;
            // Rounded down, against us, unless nothing is rounded.
            let exact = sensitivity.total_cmp(&1.0).is_eq() || sigma <= 0.0;
            let ratio = if exact { sigma } else { (sigma / sensitivity).next_down() };
            let noise_multiplier =
                NoiseMultiplier::new(ratio).map_err(|error| form(at, error.to_string()))?;
            DpEvent::DiscreteGaussian { noise_multiplier }
        }
        "DiscreteLaplaceDpEvent" => {
            let rate = node.number("noise_parameter", above_zero("noise parameter"))?;
            let sensitivity = node.positive("sensitivity")?;
            // The scale of the noise over the sensitivity, rounded down, against us.
            #[expect(clippy::cast_precision_loss, reason = "rounded down below")]
            let scale = (1.0 / rate / sensitivity.get() as f64).next_down().next_down();
            let noise_multiplier = NoiseMultiplier::new(scale.max(0.0))
                .map_err(|error| form(at, error.to_string()))?;
            DpEvent::DiscreteLaplace { noise_multiplier, sensitivity }
        }
        "ExponentialMechanismDpEvent" | "PermuteAndFlipDpEvent" => {
            let (_, at) = node.required("epsilon")?;
            pure(node.number("epsilon", Epsilon::new)?.get(), &at)?
        }
        "EpsilonDeltaDpEvent" => {
            if node.number("delta", crate::Delta::new)?.get() > 0.0 {
                return Err(node.refuse("only δ = 0 can be composed without loss"));
            }
            pure(node.number("epsilon", Epsilon::new)?.get(), at)?
        }
        "ZCDpEvent" => {
            if node.number_or("xi", 0.0, |xi| Rho::new(xi).map(Rho::get))? > 0.0 {
                return Err(node.refuse("only ξ = 0 is known"));
            }
            DpEvent::Zcdp { rho: node.number("rho", Rho::new)? }
        }
        "RepeatAndSelectDpEvent" => {
            let mean = node.number("mean", above_zero("mean"))?;
            let (shape, shape_at) = node.required("shape")?;
            let infinite = shape.as_str().is_some_and(|text| {
                ["inf", "infinity"].iter().any(|name| text.eq_ignore_ascii_case(name))
            });
            let repetitions = if infinite {
                Repetitions::poisson(mean)
            } else {
                let shape = node.number("shape", Ok)?;
                Repetitions::negative_binomial(shape, mean)
            };
            let repetitions = repetitions.map_err(|error| form(&shape_at, error.to_string()))?;
            DpEvent::RepeatAndSelect { event: inner()?, repetitions }
        }
        "SampledWithReplacementDpEvent" => {
            return Err(node.refuse("a record may be drawn several times into one sample"));
        }
        "MixtureOfGaussiansDpEvent" => {
            return Err(node.refuse("mixtures of sensitivities have no proof here"));
        }
        "TruncatedSubsampledGaussianDpEvent" => {
            return Err(node.refuse("truncated samples have no proof here"));
        }
        _ => return Err(node.refuse("its library says nothing about its privacy")),
    })
}

/// A check for positive, finite numbers.
fn above_zero(unit: &'static str) -> impl Fn(f64) -> Result<f64, UnitError> {
    move |value| {
        if value > 0.0 && value.is_finite() {
            Ok(value)
        } else {
            Err(UnitError::OutOfRange { unit, range: "(0, inf)", value })
        }
    }
}
