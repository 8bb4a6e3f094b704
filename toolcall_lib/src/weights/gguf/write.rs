//! Writes a GGUF file, with the names and the order of llama.cpp's converter.

use super::TOOLS;
use super::rope::{FACTORS, factors};
use super::tensors::{gguf_name, is_rotated, neighbours_row};
use super::vocabulary;
use crate::config::ModelConfig;
use crate::error::{Error, Result};
use crate::files;
use crate::tokens::Tokenizer;
use crate::tool::ToolSchema;
use crate::weights::blocks::{bytes_of, pack};
use crate::weights::finite::pack_and_check;
use crate::weights::{Dtype, Parameters, Slot};
use candle_core::Device;
use candle_core::quantized::gguf_file::{self, Value};
use candle_core::quantized::{GgmlDType, QStorage, QTensor};
use rayon::prelude::*;
use std::borrow::Cow;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Key that marks our own files.
const OURS: &str = "toolcall.version";

/// Content of a file.
#[derive(Debug)]
pub struct Export<'a> {
    /// Name of the model for people.
    pub name: &'a str,
    /// Shape of the model.
    pub config: &'a ModelConfig,
    /// Weights of the model.
    pub parameters: &'a Parameters,
    /// Tokenizer of the model.
    pub tokenizer: &'a Tokenizer,
    /// Jinja source of its template.
    pub chat_template: &'a str,
    /// Its other templates, by name.
    pub additional_chat_templates: &'a [(String, String)],
    /// The tools that it was trained to call.
    pub tools: &'a [ToolSchema],
}

/// Writes `file`, which appears when it is complete. Norms and biases are f32, matrices `dtype`.
///
/// # Errors
/// A tokenizer that GGUF has no name for, a weight that is too large for `dtype`, or a file that
/// cannot be written.
pub fn save(export: &Export<'_>, file: &Path, dtype: Dtype) -> Result<()> {
    if dtype == Dtype::Auto {
        let problem = "`auto` takes the type of an existing file; name a type for the new file, \
            such as bf16";
        return Err(Error::invalid("dtype", problem));
    }
    let mut metadata = shape(export);
    if !export.tools.is_empty() {
        let tools = serde_json::to_string(export.tools).map_err(Error::library("writing the tools"))?;
        metadata.push((TOOLS.to_string(), Value::String(tools)));
    }
    metadata.extend(vocabulary::metadata(export.tokenizer, export.config.vocab_size)?);
    let library = |e| Error::library(format!("writing {}", file.display()))(e);
    let tensors = tensors(export, file, dtype)?;
    let metadata: Vec<(&str, &Value)> = metadata
        .iter()
        .map(|(key, value)| (key.as_str(), value))
        .collect();
    let tensors: Vec<(&str, &QTensor)> = tensors
        .iter()
        .map(|(name, tensor)| (name.as_str(), tensor))
        .collect();
    files::replace(file, |out| {
        gguf_file::write(out, &metadata, &tensors).map_err(library)
    })
}

/// Returns true if [`save`] wrote a file.
///
/// # Errors
/// It cannot be read.
pub fn is_ours(file: &Path) -> Result<bool> {
    const KEY_AT: usize = 4 + 4 + 8 + 8; // after the magic, the version and two counts
    let mut begin = Vec::new();
    let open = File::open(file).map_err(Error::io(file))?;
    let longest = (KEY_AT + 8 + OURS.len()) as u64;
    open.take(longest)
        .read_to_end(&mut begin)
        .map_err(Error::io(file))?;
    let key = [&(OURS.len() as u64).to_le_bytes(), OURS.as_bytes()].concat();
    Ok(begin.starts_with(b"GGUF") && begin.ends_with(&key) && begin.len() == KEY_AT + key.len())
}

/// Returns `llama`, `qwen2` or `qwen3`; Mistral is a Llama.
fn architecture(config: &ModelConfig) -> &str {
    match config.model_type.as_str() {
        "mistral" => "llama",
        other => other,
    }
}

fn shape(export: &Export<'_>) -> Vec<(String, Value)> {
    let config = export.config;
    let architecture = architecture(config);
    let size = |n: usize| Value::U32(n as u32);
    let keys = [
        ("block_count", size(config.num_hidden_layers)),
        ("context_length", size(config.max_position_embeddings)),
        ("embedding_length", size(config.hidden_size)),
        ("feed_forward_length", size(config.intermediate_size)),
        ("attention.head_count", size(config.num_attention_heads)),
        ("attention.head_count_kv", size(config.num_key_value_heads)),
        ("attention.key_length", size(config.head_dim)),
        ("attention.value_length", size(config.head_dim)),
        (
            "attention.layer_norm_rms_epsilon",
            Value::F32(config.rms_norm_eps as f32),
        ),
        ("rope.dimension_count", size(config.head_dim)),
        ("rope.freq_base", Value::F32(config.rope_theta as f32)),
        ("vocab_size", size(config.vocab_size)),
    ];
    let text = |text: &str| Value::String(text.to_string());
    let general = [
        (OURS.to_string(), text(env!("CARGO_PKG_VERSION"))), // `is_ours` looks for it at the beginning
        ("general.architecture".to_string(), text(architecture)),
        ("general.name".to_string(), text(export.name)),
        ("general.quantization_version".to_string(), Value::U32(2)),
        ("tokenizer.chat_template".to_string(), text(export.chat_template)),
    ];
    let keys = keys.map(|(key, value)| (format!("{architecture}.{key}"), value));
    let templates = export.additional_chat_templates.iter();
    let templates = templates.map(|(name, source)| (format!("tokenizer.chat_template.{name}"), text(source)));
    general.into_iter().chain(templates).chain(keys).collect()
}

fn tensors(export: &Export<'_>, file: &Path, dtype: Dtype) -> Result<Vec<(String, QTensor)>> {
    let (config, parameters) = (export.config, export.parameters);
    let layers = config.num_hidden_layers;
    let rotated = |slot: &Slot| architecture(config) == "llama" && is_rotated(&slot.name);
    let library = |e| Error::library(format!("writing {}", file.display()))(e);
    let slots = parameters.layout.slots().iter();
    let mut tensors = slots
        .map(|slot| {
            let values = &parameters.buckets[slot.bucket][slot.range()];
            let dtype = dtype.packed(slot, GgmlDType::F32, layers);
            let ordered = match rotated(slot) {
                true => Cow::Owned(neighbours(values, slot.columns(), config.head_dim)),
                false => Cow::Borrowed(values),
            };
            let bytes = packed(&ordered, slot, dtype).ok_or_else(|| too_large(slot, values, dtype, file))?;
            let tensor = tensor(bytes, &slot.shape, dtype).map_err(library)?;
            Ok((gguf_name(&slot.name), tensor))
        })
        .collect::<Result<Vec<_>>>()?;
    if config.rope_scaling.is_some() {
        let mut bytes = vec![0; config.head_dim / 2 * 4];
        pack(&factors(config), GgmlDType::F32, &mut bytes);
        let tensor = tensor(bytes, &[config.head_dim / 2], GgmlDType::F32).map_err(library)?;
        tensors.push((FACTORS.to_string(), tensor));
    }
    Ok(tensors)
}

/// Packs a tensor; `None` if one of its elements is too large for the type.
fn packed(values: &[f32], slot: &Slot, dtype: GgmlDType) -> Option<Vec<u8>> {
    let mut bytes = vec![0; bytes_of(slot.len(), dtype)];
    let pieces = bytes.par_chunks_mut(bytes_of(slot.piece_len(), dtype));
    let fits = pieces
        .zip(values.par_chunks(slot.piece_len()))
        .all(|(bytes, values)| pack_and_check(values, dtype, bytes).is_none());
    fits.then_some(bytes)
}

fn too_large(slot: &Slot, values: &[f32], dtype: GgmlDType, file: &Path) -> Error {
    let problem = slot.too_large(values, dtype).unwrap_or_default();
    Error::invalid(
        file.display(),
        format!("{problem}, so nothing is saved; f32 holds every weight"),
    )
}

fn tensor(bytes: Vec<u8>, shape: &[usize], dtype: GgmlDType) -> candle_core::Result<QTensor> {
    QTensor::new(QStorage::from_data(bytes.into(), &Device::Cpu, dtype)?, shape)
}

/// Returns the rows in llama.cpp's order.
fn neighbours(values: &[f32], columns: usize, head_dim: usize) -> Vec<f32> {
    let mut reordered = vec![0.0; values.len()];
    for (row, values) in values.chunks_exact(columns).enumerate() {
        reordered[neighbours_row(row, head_dim) * columns..][..columns].copy_from_slice(values);
    }
    reordered
}
