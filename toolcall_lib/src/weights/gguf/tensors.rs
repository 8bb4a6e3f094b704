//! The tensors of a GGUF file, dequantized.

use super::Gguf;
use super::rope::FACTORS as ROPE_FACTORS;
use crate::config::ModelConfig;
use crate::error::{Error, Result};
use crate::weights::fit::Fit;
use crate::weights::{Layout, Parameters};
use candle_core::quantized::GgmlDType;
use candle_core::quantized::ggml_file::qtensor_from_ggml;
use candle_core::{CpuStorage, Device, Storage};
use rayon::prelude::*;
use std::sync::Arc;

/// Parts of names: Hugging Face, GGUF.
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

fn gguf_name(name: &str) -> String {
    NAMES.iter().fold(name.to_string(), |name, (ours, theirs)| {
        name.replace(ours, theirs)
    })
}

/// All weights as f32. The pieces are dequantized in parallel, straight into their place.
pub(super) fn read(gguf: &Gguf, config: &ModelConfig) -> Result<Parameters> {
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
    for slot in layout.slots() {
        gguf.bytes_of(&gguf_name(&slot.name), 0, slot.len())?; // it is all there, so its size is safe to allocate
    }
    let mut parameters = Parameters::zeros(layout.clone());
    parameters
        .pieces_mut()
        .into_par_iter()
        .try_for_each(|piece| gguf.dequantize(&gguf_name(&piece.slot.name), piece.start, piece.values))?;
    if config.model_type == "llama" {
        restore_rows(&mut parameters, config);
    }
    Ok(parameters)
}

impl Gguf {
    /// Dequantizes whole rows of a tensor, from element `start` on.
    pub(super) fn dequantize(&self, name: &str, start: usize, values: &mut [f32]) -> Result<()> {
        let (dtype, bytes) = self.bytes_of(name, start, values.len())?;
        let dense = qtensor_from_ggml(dtype, bytes, vec![values.len()], &Device::Cpu)
            .and_then(|quantized| quantized.dequantize(&Device::Cpu))
            .map_err(|e| self.wrong(name, e))?;
        match &*dense.storage_and_layout().0 {
            Storage::Cpu(CpuStorage::F32(dense)) => values.copy_from_slice(dense),
            _ => return Err(self.wrong(name, "was not dequantized to f32")),
        }
        Ok(())
    }

    /// The stored blocks of `count` elements of a tensor, from element `start` on.
    fn bytes_of(&self, name: &str, start: usize, count: usize) -> Result<(GgmlDType, &[u8])> {
        let info = self
            .content
            .tensor_infos
            .get(name)
            .ok_or_else(|| self.missing(name))?;
        let (block, size) = (info.ggml_dtype.block_size(), info.ggml_dtype.type_size());
        if !start.is_multiple_of(block) || !count.is_multiple_of(block) {
            return Err(self.wrong(name, format!("its rows are not whole blocks of {block} elements")));
        }
        let offset = self.content.tensor_data_offset.saturating_add(info.offset);
        let offset = usize::try_from(offset)
            .unwrap_or(usize::MAX)
            .saturating_add(start / block * size);
        // candle reads the blocks where they are, as structs of f16, f32 and bytes.
        let aligned = offset.is_multiple_of(if size.is_multiple_of(4) { 4 } else { 2 });
        let rest = self.bytes.get(offset..).filter(|_| aligned);
        let bytes = rest.and_then(|rest| rest.get(..count / block * size));
        let bytes = bytes.ok_or_else(|| self.wrong(name, "the file ends too early, or is damaged"))?;
        Ok((info.ggml_dtype, bytes))
    }
}

/// Undoes what llama.cpp does to the query and key projections of the Llama architecture.
///
/// Hugging Face rotates element `i` of a head with element `i + head_dim / 2`; llama.cpp rotates neighbours, and stores the
/// rows of each head in that order.
fn restore_rows(parameters: &mut Parameters, config: &ModelConfig) {
    let layout = parameters.layout.clone();
    let half = config.head_dim / 2;
    parameters
        .buckets
        .par_iter_mut()
        .enumerate()
        .for_each(|(bucket, values)| {
            let rotated = |name: &str| name.ends_with("q_proj.weight") || name.ends_with("k_proj.weight");
            for slot in layout
                .slots()
                .iter()
                .filter(|slot| slot.bucket == bucket && rotated(&slot.name))
            {
                let stored = values[slot.range()].to_vec();
                let stored: Vec<&[f32]> = stored.chunks(config.hidden_size).collect();
                for (row, values) in values[slot.range()].chunks_mut(config.hidden_size).enumerate() {
                    let (head, element) = (row / config.head_dim, row % config.head_dim);
                    values.copy_from_slice(
                        stored[head * config.head_dim + element % half * 2 + element / half],
                    );
                }
            }
        });
}
