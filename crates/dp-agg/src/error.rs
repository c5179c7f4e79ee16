//! Why an aggregator refused.

/// Why a setting, a sum, a noise or a saved state was refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AggregateError {
    /// A number is NaN or outside its range.
    #[error("{what} must lie in {range}, not {value}")]
    OutOfRange {
        /// What was set.
        what: &'static str,
        /// The range that is allowed.
        range: &'static str,
        /// What came instead.
        value: f64,
    },
    /// The noise on the clip count uses up the whole budget: nothing is left for the updates.
    #[error(
        "noise multiplier {noise_multiplier} must be below twice the deviation of the clip \
         count, 2 · {count_stddev}; raise the clients per round or the deviation of the count"
    )]
    NothingLeftForValues {
        /// The total noise multiplier `z` that was asked for.
        noise_multiplier: f64,
        /// Standard deviation of the noise on the count, in clients.
        count_stddev: f64,
    },
    /// The noise on both counts uses up the whole budget: nothing is left for the updates.
    #[error(
        "noise multiplier {noise_multiplier} leaves nothing for the updates beside a clip count of \
         deviation {count_stddev} and a zeroing count of deviation {zeroing_stddev}; raise the \
         clients per round or the deviations"
    )]
    NothingLeftAfterCounts {
        /// The total noise multiplier `z` that was asked for.
        noise_multiplier: f64,
        /// Standard deviation of the noise on the count behind the clip norm, in clients; 0
        /// where there is none.
        count_stddev: f64,
        /// Standard deviation of the noise on the count behind the zeroing threshold.
        zeroing_stddev: f64,
    },
    /// A noised zeroing threshold where no noise is drawn.
    #[error(
        "a noised zeroing threshold needs an aggregation that draws noise; without one use \
         zeroing = {{ kind = \"adaptive\" }}"
    )]
    NoNoiseHere,
    /// A sum was opened for another rule than the one in force.
    #[error("the sum was opened for another rule than the one of this round")]
    RuleMismatch,
    /// A noise was drawn for another round, clip norm or length.
    #[error("the noise was drawn for {drawn}, but this round needs {needed}")]
    NoiseMismatch {
        /// What the noise was drawn for.
        drawn: String,
        /// What the round needs.
        needed: String,
    },
    /// More clients than the sum can hold without rounding, which would void its guarantee.
    #[error("{clients} clients in one round; the exact sum holds at most {most}")]
    TooManyClients {
        /// How many were added.
        clients: u64,
        /// How many can be.
        most: u64,
    },
    /// A part of a sum that was taken elsewhere cannot be shown to keep the rule.
    #[error("a part of the sum that was taken elsewhere was refused: {what}")]
    PartRefused {
        /// What does not hold.
        what: String,
    },
    /// A saved state belongs to an aggregator with other settings.
    #[error("the saved state does not fit this aggregator: {what}")]
    StateMismatch {
        /// What does not fit.
        what: &'static str,
    },
    /// Release noise so small that it would be close to none.
    #[error(
        "release noise on {what} would have a deviation of {steps} steps of its grid, and at least \
         1024 are needed: {advice}"
    )]
    TooLittleNoise {
        /// On what.
        what: &'static str,
        /// The deviation, in steps.
        steps: f64,
        /// What to do.
        advice: &'static str,
    },
    /// The operating system gave no randomness.
    #[error("the operating system gave no randomness: {message}")]
    Entropy {
        /// What the operating system said.
        message: String,
    },
}

/// `value` if `holds`, written by the caller so that NaN falls on the error side.
pub(crate) fn in_range(
    value: f64,
    holds: bool,
    what: &'static str,
    range: &'static str,
) -> Result<f64, AggregateError> {
    // Adding zero turns -0.0 into 0.0.
    if holds { Ok(value + 0.0) } else { Err(AggregateError::OutOfRange { what, range, value }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_in_range_is_kept_and_minus_zero_becomes_zero() {
        for (value, kept) in [(-0.0_f64, 0.0_f64), (0.0, 0.0), (2.5, 2.5), (-3.0, -3.0)] {
            let found = in_range(value, true, "it", "anywhere").expect("it holds");
            assert_eq!(found.to_bits(), kept.to_bits(), "{value}");
        }
        let error = in_range(2.5, false, "it", "[0, 1]").expect_err("it does not");
        assert_eq!(error.to_string(), "it must lie in [0, 1], not 2.5");
    }
}
