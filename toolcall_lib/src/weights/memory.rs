//! Memory for the matrices of a model.
//!
//! Each token of a reply reads all weights. In pages of 4 KiB that takes a third longer than in
//! pages of 2 MiB, because of TLB misses. Most matrices are smaller than 2 MiB and would get no
//! huge page alone, so all of a model share one mapping.

use crate::error::{Error, Result};
use memmap2::{MmapMut, MmapRaw};
use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of a cache line; matrices are aligned to it.
const LINE: usize = 64;

/// A mapping that is handed out piece by piece. The system provides a page when it is written to.
pub(crate) struct Memory {
    map: Arc<MmapRaw>,
    used: AtomicUsize,
}

/// Bytes of a [`Memory`] that belong to their holder alone.
pub(crate) struct Bytes {
    map: Arc<MmapRaw>,
    from: usize,
    len: usize,
}

impl Memory {
    /// Reserves this many bytes, which are zeros.
    ///
    /// # Errors
    /// The system has no room for them.
    pub fn new(len: usize) -> Result<Self> {
        Ok(Self::from(map(len)?))
    }

    /// Reserves bytes as [`Memory::new`] does, in huge pages where the system has them.
    ///
    /// # Errors
    /// The system has no room for them.
    pub fn in_huge_pages(len: usize) -> Result<Self> {
        let map = map(len)?;
        // Without huge pages, reading is slower, but the result is the same.
        #[cfg(target_os = "linux")]
        let _ = map.advise(memmap2::Advice::HugePage);
        Ok(Self::from(map))
    }

    /// Rounds up to whole cache lines. Reserve the sum of these for all pieces.
    pub fn aligned_len(len: usize) -> usize {
        len.next_multiple_of(LINE)
    }

    /// Takes the next bytes.
    ///
    /// # Panics
    /// Fewer are left.
    pub fn take(&self, len: usize) -> Bytes {
        let from = self.used.fetch_add(Self::aligned_len(len), Ordering::Relaxed);
        assert!(from + len <= self.map.len(), "memory is used up");
        Bytes {
            map: self.map.clone(),
            from,
            len,
        }
    }
}

impl From<MmapMut> for Memory {
    fn from(map: MmapMut) -> Self {
        Self {
            map: Arc::new(map.into()),
            used: AtomicUsize::new(0),
        }
    }
}

fn map(len: usize) -> Result<MmapMut> {
    let map = MmapMut::map_anon(len.max(1)); // no mapping is empty
    map.map_err(Error::io(Path::new("memory for the weights")))
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the bytes are within the mapping, which lives as long as `map`. Pieces do not
        // overlap, so nobody else writes to them.
        unsafe { std::slice::from_raw_parts(self.map.as_ptr().add(self.from), self.len) }
    }
}

impl DerefMut for Bytes {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`; nobody else reads them either.
        unsafe { std::slice::from_raw_parts_mut(self.map.as_mut_ptr().add(self.from), self.len) }
    }
}

#[cfg(test)]
impl Memory {
    /// Reserves this many bytes. They end where a page begins that nobody may read or write, so
    /// that a test dies of a vector that is loaded or stored past the end.
    pub fn before_guard(len: usize) -> Self {
        const GUARD: usize = 1 << 16; // a multiple of every system's page size
        let accessible = len.next_multiple_of(GUARD);
        let mut map = map(accessible + GUARD).unwrap();
        // SAFETY: these whole pages are within the mapping, and nobody refers to them.
        let status = unsafe {
            let guard = map.as_mut_ptr().add(accessible);
            libc::mprotect(guard.cast(), GUARD, libc::PROT_NONE)
        };
        assert_eq!(status, 0, "{}", std::io::Error::last_os_error());
        let used = AtomicUsize::new(accessible - len);
        Self {
            used,
            ..Self::from(map)
        }
    }
}

/// Copies elements to memory that ends before a guard page; see [`Memory::before_guard`].
#[cfg(test)]
pub(crate) fn guarded(elements: &[f32]) -> Bytes {
    let bytes: &[u8] = bytemuck::cast_slice(elements);
    let mut copy = Memory::before_guard(bytes.len()).take(bytes.len());
    copy.copy_from_slice(bytes);
    copy
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
