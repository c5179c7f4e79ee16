//! The digest of a data set's content: one value, whatever file it was read from.
//!
//! Every client is hashed on its own (labels, then feature values, little-endian), so that all
//! cores share the work; the data set's digest is the hash of a header, the client ids, the client
//! sizes and the clients' hashes. All hashes are SHA-256.

use std::fmt;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::examples::{Examples, Features};
use crate::federated::FederatedData;
use crate::split::Split;

/// The SHA-256 hash of a client's examples.
pub(crate) type ClientHash = [u8; 32];

/// The digest of a data set's content, as 64 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ContentDigest(String);

impl ContentDigest {
    /// The digest of two splits.
    #[must_use]
    pub fn of(train: &Split, test: &Split) -> Self {
        Self::combine([(train, hashes(train)), (test, hashes(test))])
    }

    /// The same in this thread alone, so that it may be called beside anything.
    pub(crate) fn of_in_this_thread(train: &Split, test: &Split) -> Self {
        let hashes = |split: &Split| {
            (0..split.num_clients()).map(|index| client_hash(&split.client(index))).collect()
        };
        Self::combine([(train, hashes(train)), (test, hashes(test))])
    }

    /// The digest of splits whose clients were hashed before.
    pub(crate) fn combine(splits: [(&Split, Vec<ClientHash>); 2]) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(b"fed-data content 1\0");
        for (split, hashes) in splits {
            for number in [split.width(), split.classes(), split.num_clients()] {
                hasher.update((number as u64).to_le_bytes());
            }
            hasher.update([u8::from(split.is_eight_bit())]);
            for ((id, size), hash) in split.ids().iter().zip(split.client_sizes()).zip(hashes) {
                hasher.update((id.len() as u64).to_le_bytes());
                hasher.update(id.as_bytes());
                hasher.update((size as u64).to_le_bytes());
                hasher.update(hash);
            }
        }
        Self(hex(&hasher.finalize()))
    }

    /// The digest of what is made in this way, and in no other, from the content that this is the
    /// digest of.
    pub(crate) fn made_into(&self, way: &str) -> Self {
        Self::of_recipe(&format!("{}\0{way}", self.0))
    }

    /// The digest of what a program makes by this recipe, which says all that decides it.
    pub(crate) fn of_recipe(recipe: &str) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(b"fed-data recipe 1\0");
        hasher.update(recipe.as_bytes());
        Self(hex(&hasher.finalize()))
    }

    /// The digest as 64 hexadecimal digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ContentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Digests of parts of a data set's content, sixteen hexadecimal digits each: they tell apart, and
/// prove nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digests {
    /// Of the training split.
    pub train: PartDigests,
    /// Of the test split.
    pub test: PartDigests,
}

/// Digests of parts of a split's content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartDigests {
    /// Of the clients' ids.
    pub clients: String,
    /// Of the clients' numbers of examples.
    pub sizes: String,
    /// Of all labels.
    pub labels: String,
}

impl Digests {
    /// The digests of two splits.
    #[must_use]
    pub fn of(train: &Split, test: &Split) -> Self {
        let [train, test] = [train, test].map(|split| {
            let sizes: Vec<u8> =
                split.client_sizes().flat_map(|n| (n as u64).to_le_bytes()).collect();
            PartDigests {
                clients: short(split.ids().join("\n").as_bytes()),
                sizes: short(&sizes),
                labels: short(split.labels()),
            }
        });
        Self { train, test }
    }

    /// What differs, in a few words each, for two contents that are not the same.
    pub(crate) fn difference(&self, other: &Self) -> Vec<String> {
        let mut found = Vec::new();
        for (name, ours, theirs) in
            [("training", &self.train, &other.train), ("test", &self.test, &other.test)]
        {
            if ours.clients != theirs.clients {
                found.push(format!("other {name} clients"));
            } else if ours.sizes != theirs.sizes {
                found.push(format!("other numbers of {name} examples for some clients"));
            } else if ours.labels != theirs.labels {
                found.push(format!("other {name} labels, or another order of them"));
            }
        }
        if found.is_empty() {
            found.push("the same clients and labels, but other pixels".to_owned());
        }
        found
    }
}

/// The hash of one client's examples.
pub(crate) fn client_hash(examples: &Examples<'_>) -> ClientHash {
    let mut hasher = Sha256::new();
    hasher.update(examples.labels());
    match examples.features() {
        Features::Bytes(bytes) => hasher.update(bytes),
        Features::Floats(floats) if cfg!(target_endian = "little") => {
            hasher.update(bytemuck::cast_slice::<f32, u8>(floats));
        }
        Features::Floats(floats) => {
            for value in floats.iter() {
                hasher.update(value.to_le_bytes());
            }
        }
    }
    hasher.finalize().into()
}

fn hashes(split: &Split) -> Vec<ClientHash> {
    (0..split.num_clients())
        .into_par_iter()
        .map(|index| client_hash(&split.client(index)))
        .collect()
}

/// Sixteen hexadecimal digits of a hash, to tell names apart.
pub(crate) fn short(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes)[..8])
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string cannot fail");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(id: &str, pixel: u8, label: u8) -> Split {
        Split::from_clients([(id, Examples::from_bytes(vec![pixel], vec![label], 1))], 10)
            .expect("a split")
    }

    #[test]
    fn the_digest_sees_every_part() {
        let digest = |id, pixel, label| {
            ContentDigest::of(&split(id, pixel, label), &split("t", 0, 0)).to_string()
        };
        let first = digest("a", 1, 2);
        assert_eq!(first, digest("a", 1, 2));
        assert_eq!(first.len(), 64);
        for other in [digest("b", 1, 2), digest("a", 3, 2), digest("a", 1, 3)] {
            assert_ne!(first, other);
        }
    }

    #[test]
    fn the_parts_say_what_differs() {
        let parts = |id, pixel, label| Digests::of(&split(id, pixel, label), &split("t", 0, 0));
        let first = parts("a", 1, 2);
        assert_eq!(first.difference(&parts("b", 1, 2)), ["other training clients"]);
        assert!(first.difference(&parts("a", 1, 3))[0].contains("training labels"));
        assert!(first.difference(&parts("a", 3, 2))[0].contains("pixels"));
    }
}
