//! Memory that ops compute in.

use super::element::Element;
use bytemuck::{cast_slice, cast_slice_mut};
use memmap2::MmapMut;
use std::alloc::{Layout, handle_alloc_error};

/// A buffer that keeps its memory, which begins with a page, and so with a cache line: stores that straddle two of them cost a
/// third of a product's speed. The memory comes from the system and goes back to it: an allocator keeps what a buffer leaves when it
/// grows, and no larger one fits there.
#[derive(Debug, Default)]
pub struct Buffer(Option<MmapMut>);

impl Buffer {
    /// Without memory.
    pub const fn new() -> Self {
        Self(None)
    }

    /// The first `len` elements, with whatever they held.
    pub fn sized<E: Element>(&mut self, len: usize) -> &mut [E] {
        let bytes = len * size_of::<E>();
        if self.0.as_ref().is_none_or(|memory| memory.len() < bytes) {
            self.0 = None; // before there is more: both at once would be the peak of a run
        }
        let memory = self.0.get_or_insert_with(|| memory_of(bytes));
        cast_slice_mut(&mut memory[..bytes])
    }

    /// The first `len` elements, which must have been sized before, for the same type.
    pub fn get<E: Element>(&self, len: usize) -> &[E] {
        let memory = self.0.as_deref().unwrap_or_default();
        cast_slice(&memory[..len * size_of::<E>()])
    }
}

fn memory_of(bytes: usize) -> MmapMut {
    MmapMut::map_anon(bytes.max(1)).unwrap_or_else(|_| {
        let layout = Layout::from_size_align(bytes, 64).unwrap_or(Layout::new::<u8>());
        handle_alloc_error(layout)
    })
}
