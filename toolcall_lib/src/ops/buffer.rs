//! Memory that operations compute in, reused from batch to batch.

use super::element::Element;
use bytemuck::{cast_slice, cast_slice_mut};
use memmap2::MmapMut;
use std::alloc::{Layout, handle_alloc_error};

/// A buffer that keeps its memory.
///
/// The memory begins at a page, and so at a cache line: stores that straddle two cache lines cost a
/// third of a product's speed. It comes from the system and returns to it, because an allocator
/// would hold on to the old memory of a buffer that grows, and no larger buffer fits there.
#[derive(Debug, Default)]
pub struct Buffer(Option<MmapMut>);

impl Buffer {
    /// Creates a buffer without memory.
    pub const fn new() -> Self {
        Self(None)
    }

    /// Returns the first `len` elements, with arbitrary content. Replaces the memory if it is too
    /// small.
    pub fn sized<E: Element>(&mut self, len: usize) -> &mut [E] {
        let bytes = len * size_of::<E>();
        if self.0.as_ref().is_none_or(|memory| memory.len() < bytes) {
            self.0 = None; // free the old memory first: both at once would be the run's peak
        }
        let memory = self.0.get_or_insert_with(|| memory_of(bytes));
        cast_slice_mut(&mut memory[..bytes])
    }

    /// Returns the first `len` elements, which must have been sized before for the same type.
    pub fn get<E: Element>(&self, len: usize) -> &[E] {
        let memory = self.0.as_deref().unwrap_or_default();
        cast_slice(&memory[..len * size_of::<E>()])
    }
}

/// Maps `bytes` of fresh memory. Aborts the process if there is none, as an allocator does.
fn memory_of(bytes: usize) -> MmapMut {
    MmapMut::map_anon(bytes.max(1)).unwrap_or_else(|_| {
        let layout = Layout::from_size_align(bytes, 64).unwrap_or(Layout::new::<u8>());
        handle_alloc_error(layout)
    })
}
