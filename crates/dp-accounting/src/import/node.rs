//! One event of another library: its class and its attributes, by name.

use std::num::NonZeroU64;

use serde_json::Value;

use super::{ImportError, form, number, positive, short, whole};
use crate::units::UnitError;

/// The classes with the attributes of each in order. A trailing `?` marks those with a default.
pub(super) const CLASSES: &[(&str, &[&str])] = &[
    ("NoOpDpEvent", &[]),
    ("NonPrivateDpEvent", &[]),
    ("UnsupportedDpEvent", &[]),
    ("RandomizedResponseDpEvent", &["noise_parameter", "num_buckets"]),
    ("EpsilonDeltaDpEvent", &["epsilon", "delta"]),
    ("GaussianDpEvent", &["noise_multiplier"]),
    ("LaplaceDpEvent", &["noise_multiplier"]),
    ("DiscreteLaplaceDpEvent", &["noise_parameter", "sensitivity"]),
    ("DiscreteGaussianDpEvent", &["sigma", "sensitivity?", "dimension?"]),
    ("SelfComposedDpEvent", &["event", "count"]),
    ("ComposedDpEvent", &["events"]),
    ("PoissonSampledDpEvent", &["sampling_probability", "event"]),
    ("SampledWithReplacementDpEvent", &["source_dataset_size", "sample_size", "event"]),
    ("SampledWithoutReplacementDpEvent", &["source_dataset_size", "sample_size", "event"]),
    ("SingleEpochTreeAggregationDpEvent", &["noise_multiplier", "step_counts"]),
    ("RepeatAndSelectDpEvent", &["event", "mean", "shape"]),
    ("MixtureOfGaussiansDpEvent", &["standard_deviation", "sensitivities", "sampling_probs"]),
    ("ZCDpEvent", &["rho", "xi?"]),
    ("ExponentialMechanismDpEvent", &["epsilon"]),
    ("PermuteAndFlipDpEvent", &["epsilon"]),
    (
        "TruncatedSubsampledGaussianDpEvent",
        &["dataset_size", "sampling_probability", "truncated_batch_size", "noise_multiplier"],
    ),
];

/// An event, checked for its class and the names of its attributes.
pub(super) struct Node<'a> {
    at: String,
    class: &'static str,
    attributes: Vec<(&'static str, &'a Value)>,
}

impl<'a> Node<'a> {
    /// Reads an object with a `class_name`, or a list that begins with module and class.
    pub(super) fn new(value: &'a Value, at: &str) -> Result<Self, ImportError> {
        match value {
            Value::Object(map) => {
                let class = map.get("class_name").ok_or_else(|| {
                    form(at, "expected an event, an object with a \"class_name\"; there is none")
                })?;
                let (class, names) = find(class, at)?;
                let mut attributes = Vec::new();
                for (key, value) in map {
                    if key == "class_name" || key == "module_name" {
                        continue;
                    }
                    let name = names.iter().map(|name| name.trim_end_matches('?'));
                    let Some(name) = name.into_iter().find(|name| name == key) else {
                        let known = known(names);
                        return Err(form(at, format!("{class} has no {key:?}; it has {known}")));
                    };
                    attributes.push((name, value));
                }
                Ok(Self { at: at.to_owned(), class, attributes })
            }
            Value::Array(parts) => {
                let [module, class, values @ ..] = parts.as_slice() else {
                    return Err(form(at, format!("expected an event, not {}", short(value))));
                };
                if !module.is_string() {
                    return Err(form(at, format!("expected an event, not {}", short(value))));
                }
                let (class, names) = find(class, at)?;
                if values.len() > names.len() {
                    let message =
                        format!("{class} has {}, and not {} values", known(names), values.len());
                    return Err(form(at, message));
                }
                let names = names.iter().map(|name| name.trim_end_matches('?'));
                Ok(Self { at: at.to_owned(), class, attributes: names.zip(values).collect() })
            }
            _ => Err(form(at, format!("expected an event, not {}", short(value)))),
        }
    }

    /// The name of its class.
    pub(super) fn class(&self) -> &'static str {
        self.class
    }

    /// An attribute and its place; nothing if it is not there or null.
    fn optional(&self, name: &str) -> Option<(&'a Value, String)> {
        self.attributes
            .iter()
            .find(|(key, value)| *key == name && !value.is_null())
            .map(|(_, value)| (*value, format!("{}.{name}", self.at)))
    }

    /// An attribute that must be there, and its place.
    pub(super) fn required(&self, name: &str) -> Result<(&'a Value, String), ImportError> {
        self.optional(name)
            .ok_or_else(|| form(&self.at, format!("{} lacks its {name:?}", self.class)))
    }

    /// A number that `check` lets pass.
    pub(super) fn number<T>(
        &self,
        name: &str,
        check: impl Fn(f64) -> Result<T, UnitError>,
    ) -> Result<T, ImportError> {
        let (value, at) = self.required(name)?;
        number(value, &at, check)
    }

    /// The same with a default.
    pub(super) fn number_or<T>(
        &self,
        name: &str,
        default: T,
        check: impl Fn(f64) -> Result<T, UnitError>,
    ) -> Result<T, ImportError> {
        self.optional(name).map_or(Ok(default), |(value, at)| number(value, &at, check))
    }

    /// A whole number from 0 on.
    pub(super) fn whole(&self, name: &str) -> Result<u64, ImportError> {
        let (value, at) = self.required(name)?;
        whole(value, &at)
    }

    /// A whole number from 1 on.
    pub(super) fn positive(&self, name: &str) -> Result<NonZeroU64, ImportError> {
        let (value, at) = self.required(name)?;
        positive(value, &at)
    }

    /// That it has no counterpart.
    pub(super) fn refuse(&self, reason: &'static str) -> ImportError {
        ImportError::NoCounterpart { at: self.at.clone(), name: self.class.to_owned(), reason }
    }
}

/// The class of this name.
fn find(class: &Value, at: &str) -> Result<(&'static str, &'static [&'static str]), ImportError> {
    let name = class
        .as_str()
        .ok_or_else(|| form(at, format!("expected the name of a class, not {}", short(class))))?;
    CLASSES
        .iter()
        .find(|(known, _)| *known == name)
        .map(|&(known, attributes)| (known, attributes))
        .ok_or_else(|| ImportError::UnknownEvent { at: at.to_owned(), name: name.to_owned() })
}

/// The attributes of a class, for messages.
fn known(names: &[&str]) -> String {
    if names.is_empty() {
        return "no attributes".to_owned();
    }
    names.iter().map(|name| name.trim_end_matches('?')).collect::<Vec<_>>().join(", ")
}
