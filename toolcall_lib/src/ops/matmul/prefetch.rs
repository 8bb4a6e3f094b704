//! Prefetching of weights that are read once.

use std::arch::x86_64::*;

/// Prefetches into the L2 cache what lies `ahead` bytes after `bytes`, because it is needed sooner
/// than the processor's own prefetcher fetches it. The L1 cache can wait for too few lines at a
/// time to use the full bandwidth.
#[inline]
pub fn prefetch(bytes: &[u8], ahead: usize) {
    for line in bytes.chunks(64) {
        let at = line.as_ptr().wrapping_add(ahead);
        // SAFETY: prefetching an address without memory does nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(at.cast()) };
    }
}
