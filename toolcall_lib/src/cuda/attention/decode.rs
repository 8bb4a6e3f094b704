//! Attention of one query per sequence over a key cache.

use super::Qkv;
use crate::cuda::buffer::{Scratch, View};
use crate::cuda::driver::{Driver, Element};
use crate::error::Result;
use std::ops::Range;
use std::sync::Arc;

/// Keys of a block: enough that joining the sums costs little, few enough that one sequence fills a GPU.
const CHUNK: usize = 256;

/// The rows of a cache that each sequence sees.
#[derive(Debug)]
pub(crate) struct VisibleRanges {
    memory: Scratch,
    first: View,
    ranges: View,
    sequences: usize,
    splits: usize,
}

impl VisibleRanges {
    /// Of no sequences.
    pub fn new() -> Self {
        Self {
            memory: Scratch::new(Element::U32),
            first: View::EMPTY,
            ranges: View::EMPTY,
            sequences: 0,
            splits: 0,
        }
    }

    /// Every sequence sees some row.
    pub fn set(&mut self, driver: &Arc<dyn Driver>, sequences: &[Vec<Range<usize>>]) -> Result<()> {
        let mut first = 0;
        let mut numbers = vec![first];
        for ranges in sequences {
            first += ranges.len() as u32;
            numbers.push(first);
        }
        let all = sequences.iter().flatten();
        numbers.extend(all.flat_map(|range| [range.start as u32, range.end as u32]));
        let memory = self.memory.sized(driver, numbers.len())?;
        memory.upload(&**driver, &numbers)?;
        self.first = memory.slice(0..sequences.len() + 1);
        self.ranges = memory.slice(sequences.len() + 1..numbers.len());
        let seen = |ranges: &Vec<Range<usize>>| ranges.iter().map(Range::len).sum::<usize>();
        self.sequences = sequences.len();
        self.splits = sequences.iter().map(seen).max().unwrap_or(0).div_ceil(CHUNK);
        Ok(())
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

    /// Softmax attention of row `i` of the queries over the rows that sequence `i` sees: `out` is `[sequences, query heads · dim]`.
    pub fn attention(
        &mut self,
        driver: &Arc<dyn Driver>,
        qkv: &Qkv,
        seen: &VisibleRanges,
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
            .sized(driver, seen.sequences * heads * seen.splits * (dim + 2))?;
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
        driver.run(kernel, [heads, seen.sequences, seen.splits], 128, 0, args)?;
        let args = [partial.into(), out.into(), (seen.splits as u32).into()];
        driver.run(join, [heads, seen.sequences, 1], dim, 0, args)
    }
}
