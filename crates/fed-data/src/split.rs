//! One split of a data set: clients side by side, in memory or in a mapped file.

use std::borrow::Cow;

use bytemuck::Zeroable;

use crate::buffer::Buffer;
use crate::digest::ContentDigest;
use crate::error::{DataError, shown};
use crate::examples::{Examples, Features};
use crate::federated::FederatedData;

/// The feature values of a split, as they are stored.
#[derive(Debug)]
pub(crate) enum Store {
    /// Bytes that stand for [`crate::BYTE_VALUES`].
    Bytes(Buffer<u8>),
    /// Single precision.
    Floats(Buffer<f32>),
}

impl Store {
    fn len(&self) -> usize {
        match self {
            Self::Bytes(values) => values.len(),
            Self::Floats(values) => values.len(),
        }
    }
}

/// Most bytes of a client's id.
const LONGEST_ID: usize = 255;

/// What is wrong with a client's id, if anything: ids stand in tables, records and on terminals.
pub(crate) fn wrong_id(id: &str) -> Option<&'static str> {
    if id.is_empty() {
        Some("is empty")
    } else if id.len() > LONGEST_ID {
        Some("is longer than 255 bytes")
    } else if id.contains(char::is_control) {
        Some("holds a control character")
    } else {
        None
    }
}

/// All clients of one split, in the order of their sorted ids.
///
/// The examples of a client lie together, in the order of the source; so the whole split is one
/// run of examples, which [`Split::all_examples`] gives without copying. A client may have no
/// example: it is then a client all the same, and its update is zero.
#[derive(Debug)]
pub struct Split {
    ids: Vec<Box<str>>,
    /// Client `i` owns examples `offsets[i]..offsets[i + 1]`.
    offsets: Vec<usize>,
    store: Store,
    labels: Buffer<u8>,
    width: usize,
    classes: usize,
    /// Digest of the data set that this is a split of, where it is known.
    content: Option<ContentDigest>,
}

impl Split {
    /// A split from clients in any order; they are sorted by id.
    ///
    /// Features are kept as bytes if every client's are, else as `f32`.
    ///
    /// # Errors
    /// [`DataError::Inconsistent`] if an id occurs twice, if clients differ in width, if a label
    /// is not below `classes`, or if there is no client.
    pub fn from_clients<'a, I, S>(clients: I, classes: usize) -> Result<Self, DataError>
    where
        I: IntoIterator<Item = (S, Examples<'a>)>,
        S: Into<String>,
    {
        let mut clients: Vec<(String, Examples<'a>)> =
            clients.into_iter().map(|(id, examples)| (id.into(), examples)).collect();
        clients.sort_by(|(a, _), (b, _)| a.cmp(b));
        let width = clients.first().map_or(0, |(_, examples)| examples.width());
        for (id, examples) in &clients {
            if examples.width() != width {
                let other = examples.width();
                return Err(DataError::Inconsistent(format!(
                    "client `{id}` has {other} features an example, others have {width}"
                )));
            }
        }
        let all_bytes =
            clients.iter().all(|(_, examples)| matches!(examples.features(), Features::Bytes(_)));
        let mut labels = Vec::new();
        let mut offsets = vec![0];
        for (_, examples) in &clients {
            labels.extend_from_slice(examples.labels());
            offsets.push(labels.len());
        }
        let store = if all_bytes {
            let mut bytes = Vec::with_capacity(labels.len() * width);
            for (_, examples) in &clients {
                if let Features::Bytes(values) = examples.features() {
                    bytes.extend_from_slice(values);
                }
            }
            Store::Bytes(Buffer::Owned(bytes))
        } else {
            let mut floats = vec![f32::zeroed(); labels.len() * width];
            let mut rows = floats.chunks_exact_mut(width.max(1));
            for (_, examples) in &clients {
                for (row, out) in (0..examples.len()).zip(&mut rows) {
                    examples.copy_row(row, out);
                }
            }
            Store::Floats(Buffer::Owned(floats))
        };
        let ids = clients.into_iter().map(|(id, _)| id.into_boxed_str()).collect();
        Self::from_parts(ids, offsets, store, Buffer::Owned(labels), width, classes)
    }

    /// A split from its parts, checked.
    pub(crate) fn from_parts(
        ids: Vec<Box<str>>,
        offsets: Vec<usize>,
        store: Store,
        labels: Buffer<u8>,
        width: usize,
        classes: usize,
    ) -> Result<Self, DataError> {
        let wrong = |what: String| Err(DataError::Inconsistent(what));
        if ids.is_empty() {
            return wrong("there is no client".to_owned());
        }
        if let Some((id, what)) = ids.iter().find_map(|id| Some((id, wrong_id(id)?))) {
            return wrong(format!("client `{}` has an id that {what}", shown(id)));
        }
        if let Some(pair) = ids.windows(2).find(|pair| pair[0] >= pair[1]) {
            return wrong(format!("client `{}` occurs twice or out of order", pair[1]));
        }
        if offsets.len() != ids.len() + 1
            || offsets.first() != Some(&0)
            || offsets.last() != Some(&labels.len())
            || offsets.windows(2).any(|pair| pair[0] > pair[1])
        {
            return wrong(format!(
                "the offsets of {} clients do not cover {} examples",
                ids.len(),
                labels.len()
            ));
        }
        if labels.len().checked_mul(width) != Some(store.len()) {
            return wrong(format!(
                "{} examples of {width} features are not {} values",
                labels.len(),
                store.len()
            ));
        }
        if !(1..=256).contains(&classes) {
            return wrong(format!("{classes} classes; labels are bytes, so 1 to 256 are possible"));
        }
        if let Some(example) = labels.iter().position(|&label| usize::from(label) >= classes) {
            let client = offsets.partition_point(|&offset| offset <= example) - 1;
            return wrong(format!(
                "example {} of client `{}` has label {}, but the classes are 0 to {}",
                example - offsets[client],
                ids[client],
                labels[example],
                classes - 1
            ));
        }
        Ok(Self { ids, offsets, store, labels, width, classes, content: None })
    }

    /// The same, known to be the split `part` of the data set of this digest.
    pub(crate) fn of(mut self, part: &str, dataset: &ContentDigest) -> Self {
        self.content = Some(dataset.made_into(part));
        self
    }

    /// Number of examples of all clients together.
    #[must_use]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether no client has an example.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The examples of all clients, one client after the other: as a test set, the union of what
    /// every client set aside.
    #[must_use]
    pub fn all_examples(&self) -> Examples<'_> {
        self.rows(0, self.len())
    }

    /// Number of examples of each client, in client order.
    pub fn client_sizes(&self) -> impl ExactSizeIterator<Item = usize> + '_ {
        self.offsets.windows(2).map(|pair| pair[1] - pair[0])
    }

    /// The index of the client with this id.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<usize> {
        self.ids.binary_search_by(|other| other.as_ref().cmp(id)).ok()
    }

    /// Number of examples of each class.
    #[must_use]
    pub fn class_counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.classes];
        for &label in self.labels.iter() {
            counts[usize::from(label)] += 1;
        }
        counts
    }

    /// Whether features are stored as bytes (a source that is exact in eight bits) or as `f32`.
    #[must_use]
    pub fn is_eight_bit(&self) -> bool {
        matches!(self.store, Store::Bytes(_))
    }

    /// Bytes that the examples take, in memory or mapped.
    #[must_use]
    pub fn stored_bytes(&self) -> usize {
        self.labels.len() + self.store.len() * if self.is_eight_bit() { 1 } else { 4 }
    }

    pub(crate) fn ids(&self) -> &[Box<str>] {
        &self.ids
    }

    pub(crate) fn offsets(&self) -> &[usize] {
        &self.offsets
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    pub(crate) fn labels(&self) -> &[u8] {
        &self.labels
    }

    fn rows(&self, start: usize, end: usize) -> Examples<'_> {
        let (values, labels) = (start * self.width..end * self.width, &self.labels[start..end]);
        match &self.store {
            Store::Bytes(bytes) => {
                Examples::from_bytes(Cow::Borrowed(&bytes[values]), labels, self.width)
            }
            Store::Floats(floats) => {
                Examples::from_floats(Cow::Borrowed(&floats[values]), labels, self.width)
            }
        }
    }
}

impl FederatedData for Split {
    fn num_clients(&self) -> usize {
        self.ids.len()
    }

    fn client_id(&self, index: usize) -> Cow<'_, str> {
        Cow::Borrowed(&self.ids[index])
    }

    fn num_examples(&self, index: usize) -> usize {
        self.offsets[index + 1] - self.offsets[index]
    }

    fn client(&self, index: usize) -> Examples<'_> {
        self.rows(self.offsets[index], self.offsets[index + 1])
    }

    fn width(&self) -> usize {
        self.width
    }

    fn classes(&self) -> usize {
        self.classes
    }

    fn content(&self) -> Option<ContentDigest> {
        self.content.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_sorted_and_may_be_empty() {
        let split = Split::from_clients(
            [
                ("b", Examples::from_bytes(vec![1, 2, 3, 4], vec![0, 1], 2)),
                ("c", Examples::from_bytes(vec![], vec![], 2)),
                ("a", Examples::from_bytes(vec![9, 9], vec![2], 2)),
            ],
            3,
        )
        .expect("a split");
        assert_eq!(split.num_clients(), 3);
        assert_eq!(split.client_id(0), "a");
        assert_eq!(split.client(1).labels(), [0, 1]);
        assert!(split.client(2).is_empty());
        assert_eq!(split.client_sizes().collect::<Vec<_>>(), [1, 2, 0]);
        assert_eq!(split.all_examples().labels(), [2, 0, 1]);
        assert_eq!(split.class_counts(), [1, 1, 1]);
        assert_eq!(split.find("b"), Some(1));
        assert_eq!(split.find("x"), None);
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        let one = |labels: Vec<u8>| Examples::from_bytes(vec![0; labels.len()], labels, 1);
        let error = |clients: Vec<(&str, Examples<'static>)>| {
            Split::from_clients(clients, 2).expect_err("inconsistent").to_string()
        };
        assert!(error(vec![("a", one(vec![0])), ("a", one(vec![1]))]).contains("`a` occurs twice"));
        assert!(error(vec![]).contains("no client"));
        let label = error(vec![("a", one(vec![0])), ("b", one(vec![0, 2]))]);
        assert!(label.contains("example 1 of client `b` has label 2"), "{label}");
        let wide = Examples::from_bytes(vec![0, 0], vec![0], 2);
        assert!(error(vec![("a", one(vec![0])), ("b", wide)]).contains("2 features"));
    }

    #[test]
    fn one_client_in_single_precision_makes_the_split_single_precision() {
        let split = Split::from_clients(
            [
                ("a", Examples::from_bytes(vec![255], vec![0], 1)),
                ("b", Examples::from_floats(vec![0.3], vec![1], 1)),
            ],
            2,
        )
        .expect("a split");
        assert!(!split.is_eight_bit());
        let mut value = [0.0];
        split.client(0).copy_row(0, &mut value);
        assert_eq!(value.map(f32::to_bits), [1.0_f32.to_bits()]);
    }
}
