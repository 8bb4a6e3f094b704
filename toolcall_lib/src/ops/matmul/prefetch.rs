//! Prefetching of weights that are read once.

use std::arch::x86_64::*;

/// Prefetches the bytes that lie `ahead` bytes after these into the L2 cache, because they are
/// needed sooner than the processor's own prefetcher fetches them. The L1 cache has too few places
/// for lines under way to reach the bandwidth of the memory.
#[inline]
pub fn prefetch(bytes: &[u8], ahead: usize) {
    for line in bytes.chunks(64) {
        let at = line.as_ptr().wrapping_add(ahead);
        // SAFETY: prefetching an address without memory does nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(at.cast()) };
    }
}
