//! Numbers with a meaning: each is checked once, at the door.
//!
//! Every type refuses NaN, and a value that one of them holds is inside the range that its
//! documentation names. With the feature `serde` they read and write as plain numbers and
//! are checked while reading; an infinite [`Epsilon`] is written as the string `"inf"`,
//! because JSON has no infinity and would turn it into `null` without a word.

use std::fmt;

/// Why a number cannot be what it was meant to be.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum UnitError {
    /// The value is NaN or outside the range of its unit.
    #[error("{unit} must lie in {range}, not {value}")]
    OutOfRange {
        /// Which unit was asked for.
        unit: &'static str,
        /// The range it allows.
        range: &'static str,
        /// What came instead.
        value: f64,
    },
}

macro_rules! unit {
    ($(#[$doc:meta])* $name:ident, $unit:literal, $range:literal, $holds:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
        pub struct $name(f64);

        impl $name {
            /// Checks the range once, so that no later formula has to.
            ///
            /// # Errors
            #[doc = concat!("[`UnitError::OutOfRange`] if `value` is NaN or outside `", $range, "`.")]
            pub fn new(value: f64) -> Result<Self, UnitError> {
                let holds: fn(f64) -> bool = $holds;
                if holds(value) {
                    // Adding zero turns -0.0 into 0.0, so that equal values print equally.
                    Ok(Self(value + 0.0))
                } else {
                    Err(UnitError::OutOfRange { unit: $unit, range: $range, value })
                }
            }

            /// The number itself.
            #[must_use]
            pub fn get(self) -> f64 {
                self.0
            }
        }

        impl TryFrom<f64> for $name {
            type Error = UnitError;

            fn try_from(value: f64) -> Result<Self, UnitError> {
                Self::new(value)
            }
        }

        impl From<$name> for f64 {
            fn from(value: $name) -> f64 {
                value.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

unit!(
    /// Privacy loss bound `ε` of an `(ε, δ)` guarantee, in nats: `0 ≤ ε ≤ +∞`.
    ///
    /// Infinity is a value and means "no guarantee at all".
    Epsilon, "epsilon", "[0, inf]", |value| value >= 0.0
);

unit!(
    /// Failure probability `δ` of an `(ε, δ)` guarantee: dimensionless, `0 ≤ δ ≤ 1`.
    #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
    #[cfg_attr(feature = "serde", serde(try_from = "f64", into = "f64"))]
    Delta, "delta", "[0, 1]", |value| (0.0..=1.0).contains(&value)
);

unit!(
    /// Standard deviation of a noise divided by the *contribution bound* of one record (the
    /// clip norm), dimensionless: `0 ≤ z < +∞`. Zero means no noise at all.
    ///
    /// The contribution bound is the most that one record can add to the sum. How far two
    /// neighbouring sums lie apart follows from it and from the
    /// [relation](crate::Neighboring): once the bound when a record is added, removed or
    /// blanked, twice the bound when it is replaced by another.
    #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
    #[cfg_attr(feature = "serde", serde(try_from = "f64", into = "f64"))]
    NoiseMultiplier, "noise multiplier", "[0, inf)", |value| (0.0..f64::INFINITY).contains(&value)
);

unit!(
    /// Probability with which each record takes part in a round, on its own: `0 ≤ q ≤ 1`.
    #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
    #[cfg_attr(feature = "serde", serde(try_from = "f64", into = "f64"))]
    SamplingProbability, "sampling probability", "[0, 1]", |value| (0.0..=1.0).contains(&value)
);

unit!(
    /// Parameter `ρ` of zero-concentrated differential privacy, in nats: `0 ≤ ρ < +∞`.
    #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
    #[cfg_attr(feature = "serde", serde(try_from = "f64", into = "f64"))]
    Rho, "rho", "[0, inf)", |value| (0.0..f64::INFINITY).contains(&value)
);

impl Epsilon {
    /// No guarantee at all.
    pub const INFINITE: Self = Self(f64::INFINITY);

    /// Perfect privacy: the output tells nothing about one record.
    pub const ZERO: Self = Self(0.0);

    /// Whether there is a guarantee.
    #[must_use]
    pub fn is_finite(self) -> bool {
        self.0.is_finite()
    }

    /// To this many decimals and never below it, as a claim must be written; "infinity".
    #[must_use]
    pub fn rounded_up(self, decimals: usize) -> String {
        if !self.is_finite() {
            return "infinity".to_owned();
        }
        let nearest = format!("{:.decimals$}", self.0);
        match nearest.parse::<f64>() {
            Ok(shown) if shown < self.0 => {
                let step = 0.1_f64.powi(i32::try_from(decimals).unwrap_or(i32::MAX));
                format!("{:.decimals$}", shown + step)
            }
            _ => nearest,
        }
    }
}

impl Delta {
    /// The guarantee never fails.
    pub const ZERO: Self = Self(0.0);

    /// The guarantee may always fail: none at all.
    pub const ONE: Self = Self(1.0);
}

impl SamplingProbability {
    /// The rate at which `expected` of `population` records take part on average.
    ///
    /// # Errors
    /// [`UnitError::OutOfRange`] if the population is zero or smaller than `expected`.
    pub fn from_counts(expected: u64, population: u64) -> Result<Self, UnitError> {
        #[expect(clippy::cast_precision_loss, reason = "populations lie far below 2^53")]
        let value = expected as f64 / population as f64;
        Self::new(value)
    }
}

#[cfg(feature = "serde")]
mod epsilon_serde {
    //! `Epsilon` as a number, or as the string `"inf"`.

    use super::Epsilon;
    use serde::de::{Error, Unexpected, Visitor};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    impl Serialize for Epsilon {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            if self.0.is_finite() {
                serializer.serialize_f64(self.0)
            } else {
                serializer.serialize_str("inf")
            }
        }
    }

    impl<'de> Deserialize<'de> for Epsilon {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_any(NumberOrInf)
        }
    }

    struct NumberOrInf;

    impl Visitor<'_> for NumberOrInf {
        type Value = Epsilon;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a number from 0 upwards, or the string \"inf\"")
        }

        fn visit_f64<E: Error>(self, value: f64) -> Result<Epsilon, E> {
            Epsilon::new(value).map_err(E::custom)
        }

        #[expect(clippy::cast_precision_loss, reason = "an epsilon of 2^53 has no digits to lose")]
        fn visit_u64<E: Error>(self, value: u64) -> Result<Epsilon, E> {
            self.visit_f64(value as f64)
        }

        #[expect(clippy::cast_precision_loss, reason = "an epsilon of 2^53 has no digits to lose")]
        fn visit_i64<E: Error>(self, value: i64) -> Result<Epsilon, E> {
            self.visit_f64(value as f64)
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Epsilon, E> {
            if text == "inf" {
                Ok(Epsilon::INFINITE)
            } else {
                Err(E::invalid_value(Unexpected::Str(text), &self))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_claimed_is_rounded_up() {
        for (epsilon, text) in [
            (1.988_84, "1.9889"),
            (9.900_011, "9.9001"),
            (2.0, "2.0000"),
            (1.1, "1.1000"),
            (0.0, "0.0000"),
            (1e-9, "0.0001"),
            (0.999_99, "1.0000"),
            (f64::INFINITY, "infinity"),
        ] {
            assert_eq!(Epsilon(epsilon).rounded_up(4), text);
        }
        assert_eq!(Epsilon(7.2).rounded_up(0), "8");
    }

    #[test]
    fn nan_and_infinity_are_refused_where_they_mean_nothing() {
        assert!(Epsilon::new(f64::NAN).is_err());
        assert!(Epsilon::new(-1e-300).is_err());
        assert!(Epsilon::new(f64::INFINITY).is_ok());
        assert!(Delta::new(f64::NAN).is_err());
        assert!(Delta::new(1.0 + f64::EPSILON).is_err());
        assert!(NoiseMultiplier::new(f64::NAN).is_err());
        assert!(NoiseMultiplier::new(f64::INFINITY).is_err());
        assert!(NoiseMultiplier::new(-0.5).is_err());
        assert!(SamplingProbability::new(f64::NAN).is_err());
        assert!(SamplingProbability::from_counts(5, 4).is_err());
        assert!(SamplingProbability::from_counts(0, 0).is_err());
        assert!(Rho::new(f64::INFINITY).is_err());
    }

    #[test]
    fn minus_zero_becomes_zero() {
        let zero = NoiseMultiplier::new(-0.0).expect("zero is allowed");
        assert!(zero.get().is_sign_positive());
    }

    #[cfg(feature = "serde")]
    #[test]
    fn infinite_epsilon_survives_json() {
        let text = serde_json::to_string(&Epsilon::INFINITE).expect("a string is valid JSON");
        assert_eq!(text, "\"inf\"");
        let back: Epsilon = serde_json::from_str(&text).expect("what was written can be read");
        assert_eq!(back, Epsilon::INFINITE);
        let two: Epsilon = serde_json::from_str("2").expect("whole numbers are numbers");
        assert_eq!(two, Epsilon::new(2.0).expect("in range"));
        for bad in ["null", "-1", "\"nan\"", "\"infinity\""] {
            assert!(serde_json::from_str::<Epsilon>(bad).is_err(), "{bad}");
        }
        assert!(serde_json::from_str::<Delta>("1.5").is_err());
    }
}
