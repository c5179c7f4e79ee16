//! What a record says of the data, and how a resumed run is held to it.
//!
//! A simulation writes down the whole source. A release leaves out what is a function of the
//! clients' data and needs no place in it: the numbers of examples, and the digest, which it keeps
//! under a key that lies in the data folder.

use std::fmt;
use std::path::{Path, PathBuf};

use fed_data::{Source, Variant};
use fed_sim::Standing;
use fed_sim::keyed_digest::{differ, keyed_digest};
use serde::{Deserialize, Serialize};

/// The file in the data folder that holds the key of digests.
const KEY: &str = "digest.key";

/// Data as a record describes them.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum DataRecord {
    /// All that is known: in a simulation, and in a release of an older version.
    Whole(Source),
    /// What a release says.
    Released(ReleasedData),
}

/// What a release says of its data.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ReleasedData {
    name: String,
    synthetic: bool,
    /// Digest of the content under the key of the data folder; none where that could keep no key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    keyed_digest: Option<String>,
    files: Vec<PathBuf>,
    variant: Variant,
    /// Clients of the training split: public.
    clients: usize,
    why: String,
}

impl DataRecord {
    /// What a run with such a standing writes down of its data; the key of a release's digest lies in
    /// `folder`. Where it cannot be kept there is no digest, and a warning says what that means.
    pub(crate) fn new(source: Source, standing: Standing, folder: &Path) -> Self {
        if standing.is_simulated() {
            return Self::Whole(source);
        }
        let keyed_digest = match keyed_digest(&folder.join(KEY), source.digest.as_str()) {
            Ok(digest) => Some(digest),
            Err(error) => {
                tracing::warn!(
                    "no digest of the data can be kept ({error}): whoever resumes this run must \
                     see to it that they are the same"
                );
                None
            }
        };
        let Source { name, synthetic, files, variant, clients, why, .. } = source;
        Self::Released(ReleasedData { name, synthetic, keyed_digest, files, variant, clients, why })
    }

    /// What they are.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Whole(source) => &source.name,
            Self::Released(data) => &data.name,
        }
    }

    /// Whether a program drew them.
    pub(crate) fn synthetic(&self) -> bool {
        match self {
            Self::Whole(source) => source.synthetic,
            Self::Released(data) => data.synthetic,
        }
    }

    /// In what these data, `source`, differ from those on record, if they do. `Err` where nobody can
    /// tell.
    pub(crate) fn difference(
        &self,
        source: &Source,
        recorded: &Self,
    ) -> Result<Option<String>, Untold> {
        match (self, recorded) {
            (_, Self::Whole(recorded)) => Ok(source.difference(recorded)),
            (Self::Released(ours), Self::Released(theirs)) => {
                let (Some(here), Some(there)) = (&ours.keyed_digest, &theirs.keyed_digest) else {
                    return Err(Untold);
                };
                let differs = differ(here, there).ok_or(Untold)?;
                Ok(differs.then(|| match (ours.clients, theirs.clients) {
                    (ours, theirs) if ours != theirs => {
                        format!("{ours} clients instead of {theirs}")
                    }
                    _ => "another content".to_owned(),
                }))
            }
            (Self::Whole(_), Self::Released(_)) => Err(Untold),
        }
    }
}

/// Nobody can tell whether data are those of a release: its digest is under another key, or it has
/// none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Untold;

impl fmt::Display for DataRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(source) => write!(f, "{source}"),
            Self::Released(data) => write!(f, "{}: {} clients", data.name, data.clients),
        }
    }
}
