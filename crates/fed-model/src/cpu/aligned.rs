//! Buffers that start on a cache line.

use std::ops::{Deref, DerefMut};

/// Bytes of a cache line, and of the widest vector register.
const LINE: usize = 64;

/// `f32` values from the start of a cache line on.
///
/// A large allocation starts 16 bytes behind a page, where every second load of a 32-byte vector
/// would touch two lines.
#[derive(Default)]
pub(super) struct Aligned {
    store: Vec<f32>,
    start: usize,
    len: usize,
}

impl Aligned {
    /// A buffer of `len` zeros.
    pub(super) fn zeros(len: usize) -> Self {
        let mut buffer = Self::default();
        buffer.grow(len);
        buffer
    }

    /// Makes the buffer at least `len` long. What was in it is lost if it has to move.
    pub(super) fn grow(&mut self, len: usize) {
        if len > self.len {
            let spare = LINE / size_of::<f32>();
            self.store = vec![0.0; len + spare];
            // `align_offset` may give up and say `usize::MAX`; then nothing is aligned.
            self.start = self.store.as_ptr().align_offset(LINE).min(spare);
            self.len = len;
        }
    }
}

impl Deref for Aligned {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        &self.store[self.start..self.start + self.len]
    }
}

impl DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.store[self.start..self.start + self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_on_a_line_and_keeps_its_length() {
        for len in [1, 7, 16, 4096, 199_210] {
            let buffer = Aligned::zeros(len);
            assert_eq!(buffer.len(), len);
            assert_eq!(buffer.as_ptr().addr() % LINE, 0);
        }
    }
}
