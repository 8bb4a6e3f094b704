//! Sources of a model, and everything that is read from one.

use super::hub::{Hub, HubId};
use super::{Dtype, Weights, folder, gguf};
use crate::config::ModelConfig;
use crate::error::{Error, Result};
use crate::files;
use serde_json::{Map, Value};
use std::fmt;
use std::path::{Path, PathBuf};

/// The source of a model, as a user names it with `--model`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelSource {
    /// A Hugging Face model folder.
    Folder(PathBuf),
    /// A GGUF file.
    Gguf(PathBuf),
    /// A model on the hub, such as `Qwen/Qwen3-0.6B` or `Qwen/Qwen3-0.6B@main`.
    Hub(HubId),
}

/// A stored model: everything that is needed to run it, train it and save it.
#[derive(Clone, Debug)]
pub struct RawModel {
    /// Shape of the model.
    pub config: ModelConfig,
    /// Weights of the model.
    pub weights: Weights,
    /// Converts text to token ids.
    pub tokenizer: tokenizers::Tokenizer,
    /// Content of `tokenizer_config.json`; empty if there is none.
    pub tokenizer_config: Map<String, Value>,
    /// The Jinja chat template, if the model has one.
    pub chat_template: Option<String>,
    /// Other chat templates, by name.
    pub additional_chat_templates: Vec<(String, String)>,
    /// Notes for the user about how the model was read.
    pub notes: Vec<String>,
    /// Content of `generation_config.json`, if there is one.
    pub generation_config: Option<Map<String, Value>>,
    /// Tokens that end a reply, at least one; the first one ends an assistant's turn.
    pub eos_token_ids: Vec<u32>,
    /// Its licence as its own files name it, such as `apache-2.0`.
    pub license: Option<String>,
    /// Source of the model, for people.
    pub origin: String,
}

impl ModelSource {
    /// Finds the source that `spec` means: a folder or a `.gguf` file that exists, or else a hub id
    /// `owner/name` or `owner/name@revision`.
    ///
    /// # Errors
    /// Nothing of this name exists and it is not a hub id, or a folder lacks files.
    pub fn find(spec: &str) -> Result<Self> {
        let path = Path::new(spec);
        let is_gguf = path
            .extension()
            .is_some_and(|extension| extension.eq_ignore_ascii_case("gguf"));
        // A crash may have left a save half done; `recover` completes it.
        if path.is_dir() {
            files::recover(path)?;
            folder::check(path)?;
            Ok(Self::Folder(path.to_path_buf()))
        } else if path.is_file() && is_gguf {
            Ok(Self::Gguf(path.to_path_buf()))
        } else if path.exists() {
            Err(Error::invalid(
                spec,
                "is not a model; expected a folder, a .gguf file, or a hub id owner/name",
            ))
        } else if let Some(id) = HubId::parse(spec).filter(|_| !is_gguf) {
            Ok(Self::Hub(id))
        } else {
            Err(Error::invalid(
                spec,
                "there is no such file or folder, and a hub id has the form owner/name",
            ))
        }
    }
}

impl fmt::Display for ModelSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) | Self::Gguf(path) => write!(f, "{}", path.display()),
            Self::Hub(id) => write!(f, "{id}"),
        }
    }
}

/// Reads a model with its weights as f32. Downloads a hub model first, unless it is in the cache
/// ([`Hub::from_env`]).
///
/// # Errors
/// Files that are missing, damaged or not supported, by name.
pub fn read(source: &ModelSource) -> Result<RawModel> {
    read_as(source, Dtype::F32)
}

/// Reads a model like [`read`], with the weights as `dtype`. Memory never holds more than them and
/// a few megabytes.
///
/// # Errors
/// The same as [`read`].
pub fn read_as(source: &ModelSource, dtype: Dtype) -> Result<RawModel> {
    let model = match source {
        ModelSource::Folder(path) => folder::read(path, dtype)?,
        ModelSource::Gguf(path) => gguf::read(path, dtype)?,
        ModelSource::Hub(id) => {
            let folder = Hub::from_env()?.snapshot(id)?;
            RawModel {
                origin: id.to_string(),
                ..folder::read(&folder, dtype)?
            }
        }
    };
    check(&model)?;
    Ok(model)
}

/// Checks what neither the reader of folders nor that of GGUF files ensures.
fn check(model: &RawModel) -> Result<()> {
    // 1. Every token has an embedding.
    let rows = model.config.vocab_size;
    let outside = model
        .tokenizer
        .get_vocab(true)
        .into_iter()
        .filter(|&(_, id)| id as usize >= rows)
        .max_by_key(|t| t.1);
    if let Some((token, id)) = outside {
        let problem = format!(
            "the tokenizer has the token `{token}` with id {id}, but the model has only {rows} embeddings"
        );
        return Err(Error::invalid(&model.origin, problem));
    }
    // 2. Every weight is a finite number.
    if let Some(problem) = model.weights.not_finite() {
        let advice = "the file is damaged, or the training that made it has failed; load another";
        return Err(Error::invalid(&model.origin, format!("{problem}: {advice}")));
    }
    // 3. Some token ends a reply.
    if model.eos_token_ids.is_empty() {
        let advice = "name it as eos_token_id in generation_config.json";
        return Err(Error::invalid(
            &model.origin,
            format!("does not say which token ends a reply; {advice}"),
        ));
    }
    Ok(())
}
