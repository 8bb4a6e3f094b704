//! Prefetching of weights that are read once.

use std::arch::x86_64::*;

/// Hint to prefetch into the L1 cache.
pub const L1: i32 = _MM_HINT_T0;
/// Hint to prefetch into the L2 cache. It can wait for more lines at a time than the L1 cache. A
/// kernel that computes faster than the memory delivers needs that.
pub const L2: i32 = _MM_HINT_T1;

/// Prefetches what lies `ahead` bytes after `bytes`, because it is needed sooner than the
/// processor's own prefetcher fetches it.
#[inline]
pub fn prefetch<const HINT: i32>(bytes: &[u8], ahead: usize) {
    for line in bytes.chunks(64) {
        let at = line.as_ptr().wrapping_add(ahead);
        // SAFETY: prefetching an address without memory does nothing.
        unsafe { _mm_prefetch::<HINT>(at.cast()) };
    }
}
