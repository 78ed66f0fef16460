//! Memory for blocked tensors and packed weights: aligned to a cache line, zeroed.

use bytemuck::{Pod, Zeroable};
use rayon::prelude::*;

use crate::arrays::reserve;
use crate::error::Result;

/// One cache line, one AVX-512 register, one channel block of a pixel.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
struct Line([f32; 16]);

/// The fewest lines for a thread: 256 KiB, which take longer than waking a thread.
const FEWEST: usize = 1 << 12;

/// A slice of `f32` on the heap whose start is aligned to 64 bytes.
#[derive(Clone, Default)]
pub struct Buffer {
    lines: Vec<Line>,
    len: usize,
}

impl Buffer {
    /// Allocates `len` zeros, large memory in the caller's thread pool: most of the time is what the
    /// system takes for each page when it is first written.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory).
    pub fn zeroed(len: usize) -> Result<Self> {
        let mut lines = Vec::new();
        let count = len.div_ceil(16);
        reserve(&mut lines, "buffer", "a tensor or packed weights", count)?;
        rayon::iter::repeat_n(Line([0.0; 16]), count)
            .with_min_len(FEWEST)
            .collect_into_vec(&mut lines);
        Ok(Self { lines, len })
    }
}

impl std::ops::Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &bytemuck::cast_slice(&self.lines)[..self.len]
    }
}

impl std::ops::DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut bytemuck::cast_slice_mut(&mut self.lines)[..self.len]
    }
}

impl PartialEq for Buffer {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl std::fmt::Debug for Buffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Buffer").field("len", &self.len).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_on_a_cache_line_and_holds_what_was_asked_for() {
        for len in [0, 1, 15, 16, 17, 1000] {
            let buffer = Buffer::zeroed(len).unwrap();
            assert_eq!(buffer.len(), len);
            assert_eq!(buffer.as_ptr() as usize % 64, 0);
            assert!(buffer.iter().all(|&x| x == 0.0));
        }
    }

    #[test]
    fn memory_that_is_not_there_is_an_error() {
        let error = Buffer::zeroed(usize::MAX / 8).unwrap_err();
        assert!(matches!(error, crate::Error::OutOfMemory { .. }));
    }
}
