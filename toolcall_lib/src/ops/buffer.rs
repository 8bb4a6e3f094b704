//! Memory that ops compute in.

use super::element::Element;
use bytemuck::{Pod, Zeroable, cast_slice, cast_slice_mut};

/// A buffer that keeps its memory, which begins with a cache line: stores that straddle two of them cost a third of a product's
/// speed.
#[derive(Clone, Debug, Default)]
pub struct Buffer(Vec<CacheLine>);

#[derive(Clone, Copy, Debug, Default, Zeroable, Pod)]
#[repr(C, align(64))]
struct CacheLine([f32; 16]);

impl Buffer {
    /// Without memory.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// The first `len` elements, with whatever they held.
    pub fn sized<E: Element>(&mut self, len: usize) -> &mut [E] {
        let lines = (len * size_of::<E>()).div_ceil(size_of::<CacheLine>());
        if self.0.len() < lines {
            self.0 = Vec::new(); // before there is more: both at once would be the peak of a run
            self.0 = vec![CacheLine::default(); lines];
        }
        &mut cast_slice_mut(&mut self.0)[..len]
    }

    /// The first `len` elements, which must have been sized before, for the same type.
    pub fn get<E: Element>(&self, len: usize) -> &[E] {
        &cast_slice(&self.0)[..len]
    }
}
