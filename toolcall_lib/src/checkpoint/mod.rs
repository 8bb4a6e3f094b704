//! A model as a Hugging Face folder, or an adapter as a PEFT folder: atomic save, load.

mod adapter;
mod folder;

pub(crate) use adapter::read_settings as read_adapter_settings;

use crate::error::{Error, Result};
use crate::model::{Decoder, Model};
use crate::template::ChatTemplate;
use crate::tokens::Tokenizer;
use crate::weights::{self, Dtype, ModelSource, RawModel, gguf, safetensors};
use folder::replace_folder;
use serde::Serialize;
use serde_json::Value;
use std::fs;
use std::path::Path;

/// Loads a model with its weights as f32: a Hugging Face folder, a GGUF file, or a hub id such as `Qwen/Qwen3-0.6B`. A PEFT folder
/// of a LoRA adapter is loaded with the model that it names as its base.
///
/// A chat template that cannot show tools is replaced by ours; `notes` of the model says so, and [`save`] writes the new one.
pub fn load(spec: &str) -> Result<Model> {
    load_as(spec, Dtype::F32)
}

/// [`load`] with the weights as `dtype`. With all but f32 they are frozen: training needs
/// [`lora`](crate::TrainConfig::lora), and unpacks one matrix at a time, so memory holds the packed weights, the adapter, and
/// the activations. Generation reads them packed, which is faster the smaller they are.
pub fn load_as(spec: &str, dtype: Dtype) -> Result<Model> {
    let folder = Path::new(spec);
    if folder.join(adapter::CONFIG).is_file() {
        return adapter::load(folder, dtype);
    }
    model(weights::read_as(&ModelSource::find(spec)?, dtype)?)
}

fn model(raw: RawModel) -> Result<Model> {
    let mut tokenizer = Tokenizer::new(raw.tokenizer, raw.eos_token_ids);
    if !raw.tokenizer_config.is_empty() {
        tokenizer = tokenizer.with_config(raw.tokenizer_config);
    }
    let additional = raw.additional_chat_templates;
    let (template, note) =
        ChatTemplate::for_tools(raw.chat_template.as_deref(), additional, &tokenizer.config)?;
    tokenizer.stop_at_end_of_turn(&template)?;
    Ok(Model {
        decoder: Decoder::new(raw.config, raw.weights)?,
        tokenizer,
        template,
        generation_config: raw.generation_config.unwrap_or_default(),
        origin: raw.origin,
        notes: raw.notes.into_iter().chain(note).collect(),
    })
}

/// Writes a complete Hugging Face model folder that transformers, vLLM and llama.cpp's converter read; of a model with an
/// adapter, the folder that PEFT reads, with the adapter, the tokenizer and the template ([`Model::merge`] before makes it a whole
/// model).
///
/// The folder appears when it is complete. If it exists, its model files are replaced and its other files stay.
///
/// # Errors
/// `folder` is a file, or a folder that is not empty and holds no model.
pub fn save(model: &Model, folder: impl AsRef<Path>) -> Result<()> {
    save_as(model, folder, Dtype::F32)
}

/// [`save`] with matrices as `dtype`: f32, or bf16 in half the space. An adapter is f32 in any case.
///
/// A path that ends in `.gguf` becomes a GGUF file for llama.cpp, with tokenizer and template, in any [`Dtype`] but `Auto`.
///
/// # Errors
/// Those of [`save`]; a GGUF file of a model with an adapter, or of a tokenizer that llama.cpp does not know.
pub fn save_as(model: &Model, path: impl AsRef<Path>, dtype: Dtype) -> Result<()> {
    let path = path.as_ref();
    match path.extension() {
        Some(extension) if extension == "gguf" => save_gguf(model, path, dtype),
        _ => save_with(model, path, dtype, |_| Ok(())),
    }
}

fn save_gguf(model: &Model, file: &Path, dtype: Dtype) -> Result<()> {
    if model.decoder.adapter.is_some() {
        let problem = "the model has an adapter, which a GGUF file of a model cannot hold; merge it first";
        return Err(Error::invalid(file.display(), problem));
    }
    let export = gguf::Export {
        name: model.name(),
        config: &model.decoder.config,
        parameters: &model.decoder.weights.to_f32(),
        tokenizer: &model.tokenizer,
        chat_template: model.template.source(),
        additional_chat_templates: model.template.additional(),
    };
    gguf::save(&export, file, dtype)
}

/// [`save_as`], and `more` writes other files into the same folder before it appears.
pub(crate) fn save_with(
    model: &Model,
    folder: &Path,
    dtype: Dtype,
    more: impl FnOnce(&Path) -> Result<()>,
) -> Result<()> {
    replace_folder(folder, |new| {
        write_json(&new.join("tokenizer_config.json"), &model.tokenizer.config)?;
        write(&new.join("tokenizer.json"), model.tokenizer.to_json()?)?;
        write(&new.join("chat_template.jinja"), model.template.source())?;
        write_additional_templates(&model.template, new)?;
        match &model.decoder.adapter {
            Some(adapter) => adapter::write(adapter, new)?,
            None => write_model(model, new, dtype)?,
        }
        more(new)
    })
}

/// The other templates of the model, where transformers looks for them.
fn write_additional_templates(template: &ChatTemplate, folder: &Path) -> Result<()> {
    let templates = folder.join("additional_chat_templates");
    if template.additional().is_empty() {
        return Ok(());
    }
    fs::create_dir_all(&templates).map_err(Error::io(&templates))?;
    for (name, source) in template.additional() {
        write(&templates.join(format!("{name}.jinja")), source)?;
    }
    Ok(())
}

fn write_model(model: &Model, folder: &Path, dtype: Dtype) -> Result<()> {
    let eos = &model.tokenizer.eos_token_ids;
    let mut generation = model.generation_config.clone();
    generation.insert("eos_token_id".to_string(), Value::from(eos.clone()));
    let mut config = model.decoder.config.to_json(eos);
    if dtype == Dtype::Bf16 {
        config.insert("dtype".to_string(), Value::from("bfloat16"));
    }
    write_json(&folder.join(MODEL_CONFIG), &config)?;
    write_json(&folder.join("generation_config.json"), &generation)?;
    safetensors::save(&model.decoder.weights.to_f32(), &folder.join(MODEL), dtype)
}

const MODEL_CONFIG: &str = "config.json";
const MODEL: &str = "model.safetensors";

/// The file of a saved folder that holds what is trained.
pub(crate) fn trained_file(decoder: &Decoder) -> &'static str {
    match decoder.adapter {
        Some(_) => adapter::WEIGHTS,
        None => MODEL,
    }
}

fn write(path: &Path, content: impl AsRef<[u8]>) -> Result<()> {
    fs::write(path, content).map_err(Error::io(path))
}

/// Writes pretty JSON.
pub(crate) fn write_json(path: &Path, content: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(content)
        .map_err(Error::library(format!("writing {}", path.display())))?;
    write(path, text + "\n")
}
