//! Memory for the matrices of a model.
//!
//! Each token of a reply reads all weights. In pages of 4 KiB that takes a third longer than in
//! pages of 2 MiB, because the processor has to look up so many addresses. Most matrices are
//! smaller than 2 MiB, so those of a model share one mapping.

use crate::error::{Error, Result};
use memmap2::MmapMut;
use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A cache line; matrices are aligned to it.
const LINE: usize = 64;

/// A mapping that is handed out piece by piece. The system provides a page when it is written to.
pub(crate) struct Memory {
    map: Arc<MmapMut>,
    start: Start,
    used: AtomicUsize,
}

/// Bytes of a [`Memory`] that belong to their holder alone.
pub(crate) struct Bytes {
    _map: Arc<MmapMut>,
    start: Start,
    len: usize,
}

struct Start(*mut u8);

// SAFETY: the memory behind it belongs to one holder, who may be in any thread.
unsafe impl Send for Start {}
// SAFETY: as above; a shared holder only reads.
unsafe impl Sync for Start {}

impl Memory {
    /// Reserves this many bytes, which are zeros.
    ///
    /// # Errors
    /// The system has no room for them.
    pub fn new(len: usize) -> Result<Self> {
        let map = MmapMut::map_anon(len.max(1));
        let mut map = map.map_err(Error::io(Path::new("memory for the weights")))?;
        // Without huge pages, reading is slower but right.
        #[cfg(target_os = "linux")]
        let _ = map.advise(memmap2::Advice::HugePage);
        let start = Start(map.as_mut_ptr());
        Ok(Self {
            map: Arc::new(map),
            start,
            used: AtomicUsize::new(0),
        })
    }

    /// Returns the length to reserve for some bytes.
    pub fn room(len: usize) -> usize {
        len.next_multiple_of(LINE)
    }

    /// Takes the next bytes.
    pub fn take(&self, len: usize) -> Bytes {
        let from = self.used.fetch_add(Self::room(len), Ordering::Relaxed);
        assert!(from + len <= self.map.len(), "memory is used up");
        Bytes {
            _map: self.map.clone(),
            start: Start(self.start.0.wrapping_add(from)),
            len,
        }
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the bytes are mapped as long as `_map` lives, and nobody else writes to them.
        unsafe { std::slice::from_raw_parts(self.start.0, self.len) }
    }
}

impl DerefMut for Bytes {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`; the pieces of a mapping do not overlap.
        unsafe { std::slice::from_raw_parts_mut(self.start.0, self.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_aligned_and_do_not_overlap() {
        let memory = Memory::new(3 * LINE).unwrap();
        let mut pieces: Vec<Bytes> = [100, 0, 7].map(|len| memory.take(len)).into();
        drop(memory);
        for (i, piece) in pieces.iter_mut().enumerate() {
            assert!(piece.iter().all(|byte| *byte == 0));
            assert!(piece.as_ptr().addr().is_multiple_of(LINE));
            piece.fill(i as u8 + 1);
        }
        for (i, piece) in pieces.iter().enumerate() {
            assert!(piece.iter().all(|byte| *byte == i as u8 + 1));
        }
    }
}
