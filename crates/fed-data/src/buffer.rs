//! Values that lie in memory or in a mapped file.

use std::fmt;
use std::ops::{Deref, Range};
use std::sync::Arc;

use bytemuck::Pod;
use memmap2::Mmap;

/// A run of values, owned or mapped; cheap to hand around inside an [`Arc`].
pub(crate) enum Buffer<T> {
    /// In memory.
    Owned(Vec<T>),
    /// In a mapped file: the bytes `range`, which are aligned for `T`.
    Mapped {
        /// The file.
        map: Arc<Mmap>,
        /// Which bytes of it.
        range: Range<usize>,
    },
}

impl<T: Pod> Buffer<T> {
    /// The bytes `range` of `map` as values, if they are in bounds, aligned and whole.
    pub(crate) fn mapped(map: &Arc<Mmap>, range: Range<usize>) -> Option<Self> {
        let bytes = map.get(range.clone())?;
        bytemuck::try_cast_slice::<u8, T>(bytes).ok()?;
        Some(Self::Mapped { map: Arc::clone(map), range })
    }
}

impl<T: Pod> Deref for Buffer<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Self::Owned(values) => values,
            Self::Mapped { map, range } => bytemuck::cast_slice(&map[range.clone()]),
        }
    }
}

impl<T> fmt::Debug for Buffer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Owned(values) => write!(f, "Owned({} values)", values.len()),
            Self::Mapped { range, .. } => write!(f, "Mapped({} bytes)", range.len()),
        }
    }
}
