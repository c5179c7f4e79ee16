//! Why a learner could not answer.

/// Why a learner could not train or evaluate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LearnError {
    /// A slice or a data set does not fit the network.
    #[error("{what} is {found}, but the network needs {expected}")]
    Shape {
        /// What was looked at.
        what: &'static str,
        /// What the network needs.
        expected: usize,
        /// What was given.
        found: usize,
    },
    /// A label outside the network's classes.
    #[error("client {client} has the label {label}, but the network has {classes} classes")]
    Label {
        /// Index of the client in the population.
        client: usize,
        /// The label.
        label: u8,
        /// Number of classes of the network.
        classes: usize,
    },
    /// A cohort that no sampler draws.
    #[error("the cohort {reason}")]
    Cohort {
        /// What is wrong with it.
        reason: String,
    },
    /// More visits than can be counted.
    #[error(
        "client {client} has {examples} examples: {epochs} epochs over them are too many; at most \
         2147483647 visits of examples are possible"
    )]
    Visits {
        /// Index of the client in the population.
        client: usize,
        /// Its number of examples.
        examples: usize,
        /// Number of epochs.
        epochs: usize,
    },
    /// The device of a back end is not there or failed.
    #[error("{backend}: {message}")]
    Device {
        /// The back end that was asked for.
        backend: &'static str,
        /// What was looked for, what was found, what to do.
        message: String,
    },
}
