//! Reading safetensors.

use super::files::weight_files;
use crate::config::ModelConfig;
use crate::error::{Error, Result};
use crate::weights::fit::Fit;
use crate::weights::stored::{Stored, map};
use crate::weights::{Dtype, Layout, Parameters, Slot, Weights};
use candle_core::quantized::GgmlDType;
use half::{bf16, f16};
use safetensors::tensor::TensorView;
use safetensors::{Dtype as StoredDtype, SafeTensors};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

type Tensors<'a> = BTreeMap<String, TensorView<'a>>;

/// Reads the weights of a folder, packed as `dtype`. Tensors may be stored as f32, f16 or bf16.
///
/// # Errors
/// Tensors that are missing, that the config does not know, or that have another shape or type: all
/// of them, by name.
pub fn read(folder: &Path, config: &ModelConfig, dtype: Dtype) -> Result<Weights> {
    let files = weight_files(folder)?;
    let maps = files.iter().map(|file| map(file)).collect::<Result<Vec<_>>>()?;
    let mut tensors = Tensors::new();
    for (file, bytes) in files.iter().zip(&maps) {
        tensors.extend(parse(file, bytes)?);
    }
    drop_harmless(&mut tensors, config);
    let layout = Arc::new(Layout::new(config));
    check(&tensors, &layout).map_err(|problem| Error::invalid(folder.display(), problem))?;
    Weights::read(layout, &tensors, dtype, folder)
}

/// Reads one file whose tensors are those of `layout`, as f32.
///
/// # Errors
/// The same as [`read`].
pub fn read_file(file: &Path, layout: Arc<Layout>) -> Result<Parameters> {
    let bytes = map(file)?;
    let tensors: Tensors = parse(file, &bytes)?.collect();
    check(&tensors, &layout).map_err(|problem| Error::invalid(file.display(), problem))?;
    Parameters::read(layout, &tensors)
}

fn parse<'a>(file: &Path, bytes: &'a [u8]) -> Result<impl Iterator<Item = (String, TensorView<'a>)>> {
    let parsed = SafeTensors::deserialize(bytes).map_err(|e| damaged(file, e))?;
    Ok(parsed.tensors().into_iter())
}

/// Checks that the tensors are those of `layout`, and of a type that can be read.
fn check(tensors: &Tensors, layout: &Layout) -> std::result::Result<(), String> {
    let mut fit = Fit::new(layout, str::to_string);
    for (name, tensor) in tensors {
        fit.found(name, tensor.shape());
        if !matches!(
            tensor.dtype(),
            StoredDtype::F32 | StoredDtype::F16 | StoredDtype::BF16
        ) {
            fit.problem(format!(
                "{name} is stored as {:?}; supported are F32, F16 and BF16",
                tensor.dtype()
            ));
        }
    }
    fit.finish()
}

impl Stored for Tensors<'_> {
    fn dtype(&self, slot: &Slot) -> Result<GgmlDType> {
        Ok(match self.get(&slot.name).map(TensorView::dtype) {
            Some(StoredDtype::F16) => GgmlDType::F16,
            Some(StoredDtype::BF16) => GgmlDType::BF16,
            _ => GgmlDType::F32,
        })
    }

    fn read(&self, slot: &Slot, start: usize, values: &mut [f32]) -> Result<()> {
        if let Some(tensor) = self.get(&slot.name) {
            convert(tensor, start, values);
        }
        Ok(())
    }
}

fn damaged(file: &Path, problem: safetensors::SafeTensorError) -> Error {
    let advice = "the file is damaged or not complete; copy or download it again";
    Error::invalid(file.display(), format!("{problem}: {advice}"))
}

/// Removes tensors that some checkpoints carry and that hold nothing new: rotary tables, and the
/// head of a tied model.
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

/// Converts elements `start..start + values.len()` of a tensor to f32.
fn convert(tensor: &TensorView, start: usize, values: &mut [f32]) {
    fn each<const N: usize>(bytes: &[u8], start: usize, values: &mut [f32], f32_of: fn([u8; N]) -> f32) {
        let (elements, _) = bytes.as_chunks::<N>();
        values
            .iter_mut()
            .zip(&elements[start..])
            .for_each(|(value, bytes)| *value = f32_of(*bytes));
    }
    match tensor.dtype() {
        StoredDtype::F16 => each(tensor.data(), start, values, |bytes| {
            f16::from_le_bytes(bytes).to_f32()
        }),
        StoredDtype::BF16 => each(tensor.data(), start, values, |bytes| {
            bf16::from_le_bytes(bytes).to_f32()
        }),
        _ => each(tensor.data(), start, values, f32::from_le_bytes),
    }
}
