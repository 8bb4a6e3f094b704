//! A model as a Hugging Face folder: atomic save, load.

use crate::error::{Error, Result};
use crate::model::{Decoder, Model};
use crate::template::ChatTemplate;
use crate::tokens::Tokenizer;
use crate::weights::{self, ModelSource, safetensors};
use serde::Serialize;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

/// Loads a model: a Hugging Face folder, a GGUF file, or a hub id such as `Qwen/Qwen3-0.6B`.
///
/// A chat template that cannot show tools is replaced by ours; `notes` of the model says so, and [`save`] writes the new one.
pub fn load(spec: &str) -> Result<Model> {
    let raw = weights::read(&ModelSource::find(spec)?)?;
    let mut tokenizer = Tokenizer::new(raw.tokenizer, raw.eos_token_ids);
    if !raw.tokenizer_config.is_empty() {
        tokenizer = tokenizer.with_config(raw.tokenizer_config);
    }
    let (template, note) = ChatTemplate::for_tools(raw.chat_template.as_deref(), &tokenizer.config)?;
    tokenizer.stop_at_end_of_turn(&template)?;
    Ok(Model {
        decoder: Decoder::new(raw.config, raw.parameters)?,
        tokenizer,
        template,
        generation_config: raw.generation_config.unwrap_or_default(),
        origin: raw.origin,
        notes: note.into_iter().collect(),
    })
}

/// Writes a complete Hugging Face model folder that transformers, vLLM and llama.cpp's converter read.
///
/// The folder appears when it is complete. If it exists, its model files are replaced and its other files stay.
///
/// # Errors
/// `folder` is a file, or a folder that is not empty and holds no model.
pub fn save(model: &Model, folder: impl AsRef<Path>) -> Result<()> {
    save_with(model, folder.as_ref(), |_| Ok(()))
}

/// [`save`], and `more` writes other files into the same folder before it appears.
pub(crate) fn save_with(model: &Model, folder: &Path, more: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    replace_folder(folder, |new| {
        write_model(model, new)?;
        more(new)
    })
}

fn write_model(model: &Model, folder: &Path) -> Result<()> {
    let eos = &model.tokenizer.eos_token_ids;
    let mut generation = model.generation_config.clone();
    generation.insert("eos_token_id".to_string(), Value::from(eos.clone()));
    write_json(&folder.join("config.json"), &model.decoder.config.to_json(eos))?;
    write_json(&folder.join("generation_config.json"), &generation)?;
    write_json(&folder.join("tokenizer_config.json"), &model.tokenizer.config)?;
    write(&folder.join("tokenizer.json"), model.tokenizer.to_json()?)?;
    write(&folder.join("chat_template.jinja"), model.template.source())?;
    safetensors::save(&model.decoder.parameters, &folder.join("model.safetensors"))
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

/// Has `fill` write a new folder, then puts it in the place of `folder`, whose other files move over.
fn replace_folder(folder: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    refuse_foreign(folder)?;
    let parent = match folder.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(parent).map_err(Error::io(parent))?;
    let scratch = tempfile::Builder::new()
        .prefix(".saving-")
        .tempdir_in(parent)
        .map_err(Error::io(parent))?;
    let (new, old) = (scratch.path().join("new"), scratch.path().join("old"));
    fs::create_dir(&new).map_err(Error::io(&new))?;
    fill(&new)?;
    if folder.exists() {
        keep_other_files(folder, &new)?;
        fs::rename(folder, &old).map_err(Error::io(folder))?;
    }
    if let Err(error) = fs::rename(&new, folder) {
        if old.exists() {
            fs::rename(&old, folder).map_err(Error::io(folder))?;
        }
        return Err(Error::io(folder)(error));
    }
    Ok(())
}

/// A folder of something else must not become a model folder by a typing error.
fn refuse_foreign(folder: &Path) -> Result<()> {
    if !folder.exists() || folder.join("config.json").is_file() {
        return Ok(());
    }
    let mut entries = fs::read_dir(folder).map_err(Error::io(folder))?;
    match entries.next() {
        None => Ok(()),
        Some(_) => Err(Error::invalid(
            folder.display(),
            "is not empty and holds no model; choose another folder to save to",
        )),
    }
}

/// Gives `new` hard links to, or copies of, the files of `folder` that it does not have.
fn keep_other_files(folder: &Path, new: &Path) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(Error::io(folder))? {
        let entry = entry.map_err(Error::io(folder))?;
        let (from, to): (PathBuf, PathBuf) = (entry.path(), new.join(entry.file_name()));
        if from.is_dir() {
            fs::create_dir_all(&to).map_err(Error::io(&to))?;
            keep_other_files(&from, &to)?;
        } else if !to.exists() {
            fs::hard_link(&from, &to)
                .or_else(|_| fs::copy(&from, &to).map(drop))
                .map_err(Error::io(&to))?;
        }
    }
    Ok(())
}
