//! Reading the tensors of a GGUF file.

use super::Gguf;
use super::rope::FACTORS as ROPE_FACTORS;
use crate::config::ModelConfig;
use crate::error::{Error, Result};
use crate::weights::blocks::{pack, unpack};
use crate::weights::fit::Fit;
use crate::weights::stored::Stored;
use crate::weights::{Dtype, Layout, Slot, Weights};
use candle_core::quantized::GgmlDType;
use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

/// Parts of tensor names: Hugging Face, GGUF.
const NAMES: [(&str, &str); 15] = [
    ("model.embed_tokens", "token_embd"),
    ("model.layers", "blk"),
    ("model.norm", "output_norm"),
    ("lm_head", "output"),
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.v_proj", "attn_v"),
    ("self_attn.o_proj", "attn_output"),
    ("self_attn.q_norm", "attn_q_norm"),
    ("self_attn.k_norm", "attn_k_norm"),
    ("mlp.gate_proj", "ffn_gate"),
    ("mlp.up_proj", "ffn_up"),
    ("mlp.down_proj", "ffn_down"),
    ("input_layernorm", "attn_norm"),
    ("post_attention_layernorm", "ffn_norm"),
];

/// Returns the GGUF name of a tensor.
pub(super) fn gguf_name(name: &str) -> String {
    NAMES.iter().fold(name.to_string(), |name, (ours, theirs)| {
        name.replace(ours, theirs)
    })
}

/// Returns true if the rows of a projection are rotated by their position.
pub(super) fn is_rotated(name: &str) -> bool {
    ["q_proj.weight", "k_proj.weight"]
        .iter()
        .any(|end| name.ends_with(end))
}

/// Returns the matrix row at which llama.cpp stores row `row` of the query and key projections of
/// the Llama architecture. Hugging Face rotates element `i` of a head with element
/// `i + head_dim / 2`; llama.cpp rotates neighbours, and stores the rows of each head in that
/// order.
pub(super) fn neighbours_row(row: usize, head_dim: usize) -> usize {
    let (element, half) = (row % head_dim, head_dim / 2);
    row - element + element % half * 2 + element / half
}

/// Reads all weights, packed as `dtype`.
pub(super) fn read(gguf: &Gguf, config: &ModelConfig, dtype: Dtype) -> Result<Weights> {
    let layout = Arc::new(Layout::new(config));
    let mut fit = Fit::new(&layout, gguf_name);
    for (name, info) in gguf
        .content
        .tensor_infos
        .iter()
        .filter(|(name, _)| *name != ROPE_FACTORS)
    {
        fit.found(name, info.shape.dims());
    }
    fit.finish()
        .map_err(|problem| Error::invalid(gguf.file.display(), problem))?;
    check_places(gguf, &layout)?;
    let tensors = Tensors {
        gguf,
        rotated_head: (config.model_type == "llama").then_some(config.head_dim),
    };
    Weights::read(layout, &tensors, dtype, &gguf.file)
}

/// Checks that every tensor is in the file and that no two share bytes, so that a small file cannot
/// make this crate allocate much.
fn check_places(gguf: &Gguf, layout: &Layout) -> Result<()> {
    let mut places = Vec::with_capacity(layout.slots().len());
    for slot in layout.slots() {
        let name = gguf_name(&slot.name);
        let (_, range) = gguf.range_of(&name, 0, slot.len())?;
        places.push((range, name));
    }
    places.sort_by_key(|(range, _)| range.start);
    for pair in places.windows(2) {
        let [(before, first), (after, second)] = pair else {
            continue;
        };
        if before.end > after.start {
            return Err(gguf.wrong(second, format!("shares bytes with {first}; the file is damaged")));
        }
    }
    Ok(())
}

/// The tensors by our names, with their matrix rows in our order.
struct Tensors<'a> {
    gguf: &'a Gguf,
    /// Width of a head, if the file has the rows of query and key projections in another order.
    rotated_head: Option<usize>,
}

impl Tensors<'_> {
    /// Returns the stored blocks of some matrix rows, in our order.
    fn blocks(&self, slot: &Slot, elements: Range<usize>) -> Result<(GgmlDType, Cow<'_, [u8]>)> {
        let name = gguf_name(&slot.name);
        let Some(head_dim) = self.rotated_head.filter(|_| is_rotated(&slot.name)) else {
            let (dtype, bytes) = self.gguf.bytes_of(&name, elements.start, elements.len())?;
            return Ok((dtype, Cow::Borrowed(bytes)));
        };
        let (dtype, all) = self.gguf.bytes_of(&name, 0, slot.len())?;
        let width = slot.columns();
        let row_bytes = all.len() / (slot.len() / width);
        let rows = elements.start / width..elements.end / width;
        let bytes = rows.flat_map(|row| {
            let stored = neighbours_row(row, head_dim);
            &all[stored * row_bytes..][..row_bytes]
        });
        Ok((dtype, Cow::Owned(bytes.copied().collect())))
    }
}

impl Stored for Tensors<'_> {
    fn dtype(&self, slot: &Slot) -> Result<GgmlDType> {
        Ok(self.gguf.bytes_of(&gguf_name(&slot.name), 0, 0)?.0)
    }

    fn read(&self, slot: &Slot, start: usize, values: &mut [f32]) -> Result<()> {
        let (dtype, bytes) = self.blocks(slot, start..start + values.len())?;
        unpack(dtype, &bytes, values);
        Ok(())
    }

    /// Copies blocks that have the wanted type already: packing them again would lose precision.
    fn pack(&self, slot: &Slot, elements: Range<usize>, dtype: GgmlDType, packed: &mut [u8]) -> Result<()> {
        let (stored, bytes) = self.blocks(slot, elements.clone())?;
        if stored == dtype {
            packed.copy_from_slice(&bytes);
            return Ok(());
        }
        let mut values = vec![0.0; elements.len()];
        self.read(slot, elements.start, &mut values)?;
        pack(&values, dtype, packed);
        Ok(())
    }
}

impl Gguf {
    /// Dequantizes whole matrix rows of a tensor, from element `start` on.
    pub(super) fn dequantize(&self, name: &str, start: usize, values: &mut [f32]) -> Result<()> {
        let (dtype, bytes) = self.bytes_of(name, start, values.len())?;
        unpack(dtype, bytes, values);
        Ok(())
    }

    /// Returns the stored blocks of `count` elements of a tensor, from element `start` on.
    fn bytes_of(&self, name: &str, start: usize, count: usize) -> Result<(GgmlDType, &[u8])> {
        let (dtype, range) = self.range_of(name, start, count)?;
        Ok((dtype, &self.bytes[range]))
    }

    /// Returns the bytes in the file of these blocks, after checking that they are all there.
    fn range_of(&self, name: &str, start: usize, count: usize) -> Result<(GgmlDType, Range<usize>)> {
        let info = self
            .content
            .tensor_infos
            .get(name)
            .ok_or_else(|| self.missing(name))?;
        if matches!(info.ggml_dtype, GgmlDType::Q8_1 | GgmlDType::Q8K) {
            let problem = format!("{:?} is a type of activations, not of weights", info.ggml_dtype);
            return Err(self.wrong(name, problem));
        }
        let (block, size) = (info.ggml_dtype.block_size(), info.ggml_dtype.type_size());
        if !start.is_multiple_of(block) || !count.is_multiple_of(block) {
            return Err(self.wrong(name, format!("its rows are not whole blocks of {block} elements")));
        }
        let offset = self.content.tensor_data_offset.saturating_add(info.offset);
        let offset = usize::try_from(offset)
            .unwrap_or(usize::MAX)
            .saturating_add(start / block * size);
        // Blocks are read in place, as structs of f16, f32 and bytes.
        let aligned = offset.is_multiple_of(if size.is_multiple_of(4) { 4 } else { 2 });
        let range = offset..offset.saturating_add((count / block).saturating_mul(size));
        let there = aligned && range.end <= self.bytes.len();
        let range = there.then_some(range);
        let range = range.ok_or_else(|| self.wrong(name, "the file ends too early, or is damaged"))?;
        Ok((info.ggml_dtype, range))
    }
}
