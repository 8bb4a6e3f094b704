//! Attention of single queries over a key cache.

use super::Qkv;
use crate::cuda::buffer::{Scratch, View};
use crate::cuda::driver::{Driver, Element};
use crate::cuda::numbers::{Numbers, Part};
use crate::error::Result;
use std::ops::Range;
use std::sync::Arc;

/// Keys of a block: enough that joining the sums costs little, few enough that one sequence fills a GPU.
const CHUNK: usize = 256;

/// The rows of a cache that each query sees.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VisibleRanges<T> {
    /// The ranges of query `i` are those from `first[i]` to `first[i + 1]`.
    first: T,
    ranges: T,
    pub queries: usize,
    splits: usize,
}

impl VisibleRanges<Part> {
    /// Every query sees some row.
    pub fn new(numbers: &mut Numbers, queries: &[Vec<Range<usize>>]) -> Self {
        let firsts = queries.iter().scan(0, |first, ranges| {
            *first += ranges.len() as u32;
            Some(*first)
        });
        let first = numbers.push(std::iter::once(0).chain(firsts));
        let all = queries.iter().flatten();
        let ranges = numbers.push(all.flat_map(|range| [range.start as u32, range.end as u32]));
        let seen = |ranges: &Vec<Range<usize>>| ranges.iter().map(Range::len).sum::<usize>();
        Self {
            first,
            ranges,
            queries: queries.len(),
            splits: queries.iter().map(seen).max().unwrap_or(0).div_ceil(CHUNK),
        }
    }

    /// The same on the device, where the numbers are.
    pub fn on_device(&self, numbers: View) -> VisibleRanges<View> {
        VisibleRanges {
            first: numbers.slice(self.first.clone()),
            ranges: numbers.slice(self.ranges.clone()),
            queries: self.queries,
            splits: self.splits,
        }
    }
}

/// What the blocks leave to be joined.
#[derive(Debug)]
pub(crate) struct DecodeScratch(Scratch);

impl DecodeScratch {
    /// Without memory.
    pub fn new() -> Self {
        Self(Scratch::new(Element::F32))
    }

    /// Softmax attention of row `i` of the queries over the rows that query `i` sees: `out` is `[queries, query heads · dim]`.
    pub fn attention(
        &mut self,
        driver: &Arc<dyn Driver>,
        qkv: &Qkv,
        seen: &VisibleRanges<View>,
        out: View,
    ) -> Result<()> {
        let kernel = qkv.kernel([
            "attention_decode_f32_64",
            "attention_decode_f32_128",
            "attention_decode_bf16_64",
            "attention_decode_bf16_128",
        ])?;
        let join = match qkv.q.element {
            Element::Bf16 => "attention_join_bf16",
            _ => "attention_join_f32",
        };
        let (heads, dim) = (qkv.heads.queries, qkv.heads.dim);
        let partial = self
            .0
            .sized(driver, seen.queries * heads * seen.splits * (dim + 2))?;
        let args = [
            qkv.q.into(),
            qkv.q_stride.into(),
            qkv.k.into(),
            qkv.v.into(),
            qkv.kv_stride.into(),
            partial.into(),
            seen.first.into(),
            seen.ranges.into(),
            (CHUNK as u32).into(),
            qkv.group().into(),
            qkv.scale().into(),
        ];
        driver.run(kernel, [heads, seen.queries, seen.splits], 128, 0, args)?;
        let args = [partial.into(), out.into(), (seen.splits as u32).into()];
        driver.run(join, [heads, seen.queries, 1], dim, 0, args)
    }
}
