//! Prefetching of weights that are read once.

use std::arch::x86_64::*;

/// Distance in bytes between the data being unpacked and the data being prefetched.
const AHEAD: usize = 4096;

/// Prefetches bytes some rows ahead, because the next block is needed sooner than the processor's
/// own prefetcher fetches it.
#[inline]
pub fn prefetch(row: &[u8]) {
    for line in row.chunks(64) {
        let at = line.as_ptr().wrapping_add(AHEAD);
        // SAFETY: prefetching an address without memory does nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) };
    }
}
