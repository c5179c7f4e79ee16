//! What prices stand for: a plan, a run, or a history that does not say.

use fed_sim::Standing;

/// What prices stand for.
#[derive(Clone, Copy)]
pub(super) enum Priced {
    /// A plan, and what it will be priced as if its configuration says so.
    Plan(Option<Standing>),
    /// What a run has released, or simulated.
    Run(Standing),
    /// A history that does not say whether it was simulated.
    Unknown,
}

impl Priced {
    /// The noise, if it is known.
    pub(super) fn standing(self) -> Option<Standing> {
        match self {
            Self::Plan(standing) => standing,
            Self::Run(standing) => Some(standing),
            Self::Unknown => None,
        }
    }

    /// What ε is called.
    pub(super) fn name(self) -> String {
        let name = self.standing().map_or_else(|| "ε".to_owned(), |standing| standing.call("ε"));
        match self {
            Self::Plan(Some(_)) => format!("planned {name}"),
            _ => name,
        }
    }

    /// What it stands for, in a record's few words.
    pub(super) fn short(self) -> String {
        match self {
            Self::Plan(None) => "planned".to_owned(),
            Self::Plan(Some(standing)) => format!("planned; {standing}"),
            Self::Run(standing) => standing.to_string(),
            Self::Unknown => "unknown".to_owned(),
        }
    }

    /// What it stands for, in sentences.
    pub(super) fn sentence(self) -> String {
        match self {
            Self::Plan(None) => "A plan: nothing was released, and whether the noise will be a \
                                 release's or simulated is not said."
                .to_owned(),
            Self::Plan(Some(standing)) => {
                format!("A plan: nothing was released. {}", standing.sentence())
            }
            Self::Run(standing) => standing.sentence(),
            Self::Unknown => "What the history says: whether its noise was a release's or \
                              simulated is not in it."
                .to_owned(),
        }
    }
}
