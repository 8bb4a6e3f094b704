//! Decode attention: one query per sequence over the KV cache (`kernels/decode.cu`).

use super::Qkv;
use crate::cuda::buffer::{Scratch, View};
use crate::cuda::driver::{Driver, Element};
use crate::cuda::numbers::{Numbers, Part};
use crate::error::Result;
use std::ops::Range;
use std::sync::Arc;

/// Keys of a block: enough that joining the sums costs little, few enough that one sequence fills a
/// GPU.
const CHUNK: usize = 256;

/// Cache slots that each query sees, as ranges.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VisibleRanges<T> {
    /// Query `i` sees the ranges from `first[i]` to `first[i + 1]`.
    first: T,
    ranges: T,
    pub queries: usize,
    splits: usize,
}

impl VisibleRanges<Part> {
    /// Gathers the ranges of each query; every query must see a slot.
    pub fn new(numbers: &mut Numbers, queries: &[Vec<Range<usize>>]) -> Self {
        let first = numbers.push_starts(queries.iter().map(Vec::len));
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

    /// Returns the ranges on the device, given the uploaded numbers.
    pub fn on_device(&self, numbers: View) -> VisibleRanges<View> {
        VisibleRanges {
            first: numbers.slice(self.first.clone()),
            ranges: numbers.slice(self.ranges.clone()),
            queries: self.queries,
            splits: self.splits,
        }
    }
}

/// Partial sums of the blocks, which a second kernel joins.
#[derive(Debug)]
pub(crate) struct DecodeScratch(Scratch);

impl DecodeScratch {
    /// Makes a scratch without memory.
    pub fn new() -> Self {
        Self(Scratch::new(Element::F32))
    }

    /// Computes softmax attention of query row `i` over the cache slots that query `i` sees; `out`
    /// is `[queries, query heads · dim]`.
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
        ]);
        let join = match qkv.q.element {
            Element::Bf16 => "attention_join_bf16",
            _ => "attention_join_f32",
        };
        let (heads, dim) = (qkv.heads.queries, qkv.heads.dim);
        // 1. One block per head, query and split: partial [queries, heads, splits, dim + 2].
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
        // 2. Join the splits.
        let args = [partial.into(), out.into(), (seen.splits as u32).into()];
        driver.run(join, [heads, seen.queries, 1], dim, 0, args)
    }
}
