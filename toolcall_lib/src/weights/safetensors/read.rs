//! Reading.

use super::files::weight_files;
use crate::config::ModelConfig;
use crate::error::{Error, Result};
use crate::weights::fit::Fit;
use crate::weights::map::map;
use crate::weights::{Layout, Parameters};
use half::{bf16, f16};
use rayon::prelude::*;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

type Tensors<'a> = BTreeMap<String, TensorView<'a>>;

/// Reads the weights of a folder as f32. Tensors may be stored as f32, f16 or bf16; memory holds the model once.
///
/// # Errors
/// Tensors that are missing, that the config does not know, or that have another shape or type: all of them, by name.
pub fn read(folder: &Path, config: &ModelConfig) -> Result<Parameters> {
    let files = weight_files(folder)?;
    let maps = files.iter().map(|file| map(file)).collect::<Result<Vec<_>>>()?;
    let mut tensors = Tensors::new();
    for (file, bytes) in files.iter().zip(&maps) {
        let parsed = SafeTensors::deserialize(bytes).map_err(|e| damaged(file, e))?;
        tensors.extend(parsed.tensors());
    }
    drop_harmless(&mut tensors, config);
    let layout = Arc::new(Layout::new(config));
    let mut fit = Fit::new(&layout, str::to_string);
    for (name, tensor) in &tensors {
        fit.found(name, tensor.shape());
        if !matches!(tensor.dtype(), Dtype::F32 | Dtype::F16 | Dtype::BF16) {
            fit.problem(format!(
                "{name} is stored as {:?}; F32, F16 and BF16 are read",
                tensor.dtype()
            ));
        }
    }
    fit.finish()
        .map_err(|problem| Error::invalid(folder.display(), problem))?;
    let mut parameters = Parameters::zeros(layout.clone());
    parameters.pieces_mut().into_par_iter().for_each(|piece| {
        if let Some(tensor) = tensors.get(&piece.slot.name) {
            convert(tensor, piece.start, piece.values);
        }
    });
    Ok(parameters)
}

fn damaged(file: &Path, problem: safetensors::SafeTensorError) -> Error {
    let advice = "the file is damaged or not complete; copy or download it again";
    Error::invalid(file.display(), format!("{problem}: {advice}"))
}

/// Tensors that some checkpoints carry and that hold nothing new: rotary tables, and the head of a tied model.
fn drop_harmless(tensors: &mut Tensors, config: &ModelConfig) {
    tensors.retain(|name, _| !name.ends_with("rotary_emb.inv_freq"));
    let tied = match (
        tensors.get("lm_head.weight"),
        tensors.get("model.embed_tokens.weight"),
    ) {
        (Some(head), Some(embedding)) if config.tie_word_embeddings => head == embedding,
        _ => false,
    };
    if tied {
        tensors.remove("lm_head.weight");
    }
}

/// Elements `start..start + values.len()` of a tensor as f32.
fn convert(tensor: &TensorView, start: usize, values: &mut [f32]) {
    fn each<const N: usize>(bytes: &[u8], start: usize, values: &mut [f32], f32_of: fn([u8; N]) -> f32) {
        let (elements, _) = bytes.as_chunks::<N>();
        values
            .iter_mut()
            .zip(&elements[start..])
            .for_each(|(value, bytes)| *value = f32_of(*bytes));
    }
    match tensor.dtype() {
        Dtype::F16 => each(tensor.data(), start, values, |bytes| {
            f16::from_le_bytes(bytes).to_f32()
        }),
        Dtype::BF16 => each(tensor.data(), start, values, |bytes| {
            bf16::from_le_bytes(bytes).to_f32()
        }),
        _ => each(tensor.data(), start, values, f32::from_le_bytes),
    }
}
