//! A Hugging Face model folder.

use super::{Dtype, RawModel, safetensors};
use crate::config::ModelConfig;
use crate::error::{Error, Result};
use crate::tokens::read_tokenizer;
use serde_json::{Map, Value};
use std::path::Path;
use tokenizers::Tokenizer;

/// The files that every model needs, beside its weights.
pub(super) const REQUIRED: [&str; 2] = ["config.json", "tokenizer.json"];
/// The files that we read where they exist.
pub(super) const OPTIONAL: [&str; 3] = [
    "generation_config.json",
    "tokenizer_config.json",
    "chat_template.jinja",
];

/// Does the folder have what a model needs? The error lists all that is missing.
pub(super) fn check(folder: &Path) -> Result<()> {
    let missing = missing(folder)?;
    if missing.is_empty() {
        Ok(())
    } else {
        Err(Error::invalid(folder.display(), describe(folder, &missing)))
    }
}

/// What a folder lacks of what a model needs.
pub(super) fn missing(folder: &Path) -> Result<Vec<String>> {
    let required = REQUIRED
        .into_iter()
        .filter(|file| !folder.join(file).is_file())
        .map(str::to_string);
    Ok(required.chain(safetensors::missing_weights(folder)?).collect())
}

fn describe(folder: &Path, missing: &[String]) -> String {
    let files = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    let gguf = files
        .into_iter()
        .find(|file| file.extension().is_some_and(|extension| extension == "gguf"));
    let advice = match gguf {
        Some(file) => format!("; to load its GGUF file, give {}", file.display()),
        None => String::new(),
    };
    format!(
        "is not a complete model folder; missing: {}{advice}",
        missing.join(", ")
    )
}

/// What turns conversations into tokens, as a folder has it.
#[derive(Clone, Debug)]
pub struct TextFiles {
    /// Text to token ids.
    pub tokenizer: Tokenizer,
    /// `tokenizer_config.json`; empty where there is none.
    pub tokenizer_config: Map<String, Value>,
    /// The Jinja chat template, where there is one.
    pub chat_template: Option<String>,
}

impl TextFiles {
    /// Reads them.
    pub fn read(folder: &Path) -> Result<Self> {
        let file = folder.join("tokenizer.json");
        let tokenizer = read_tokenizer(&file)?;
        let tokenizer_config = optional_json(folder, "tokenizer_config.json")?.unwrap_or_default();
        Ok(Self {
            tokenizer,
            chat_template: chat_template(folder, &tokenizer_config)?,
            tokenizer_config,
        })
    }
}

/// Reads a folder.
pub(super) fn read(folder: &Path, dtype: Dtype) -> Result<RawModel> {
    check(folder)?;
    let config_file = folder.join("config.json");
    let config_json = json(&config_file)?;
    let config = ModelConfig::from_json(&config_json, &config_file)?;
    let text = TextFiles::read(folder)?;
    let generation_config = optional_json(folder, "generation_config.json")?;
    let eos_token_ids = eos_token_ids(
        &text.tokenizer,
        &text.tokenizer_config,
        [generation_config.as_ref(), Some(&config_json)],
    );
    Ok(RawModel {
        weights: safetensors::read(folder, &config, dtype)?,
        origin: folder.display().to_string(),
        config,
        tokenizer: text.tokenizer,
        tokenizer_config: text.tokenizer_config,
        chat_template: text.chat_template,
        generation_config,
        eos_token_ids,
    })
}

/// Bytes of a text file beside the tokenizer.
const LONGEST: u64 = 64 << 20;

/// A text file of a length that such files have.
fn text(file: &Path) -> Result<String> {
    let len = std::fs::metadata(file).map_err(Error::io(file))?.len();
    if len > LONGEST {
        let problem = format!("{len} bytes are too many; expected at most {LONGEST}");
        return Err(Error::invalid(file.display(), problem));
    }
    std::fs::read_to_string(file).map_err(Error::io(file))
}

fn json(file: &Path) -> Result<Map<String, Value>> {
    let text = text(file)?;
    serde_json::from_str(&text).map_err(|e| Error::invalid(file.display(), e))
}

fn optional_json(folder: &Path, name: &str) -> Result<Option<Map<String, Value>>> {
    let file = folder.join(name);
    if file.is_file() {
        json(&file).map(Some)
    } else {
        Ok(None)
    }
}

/// `chat_template.jinja`, or what stands in `tokenizer_config.json`: one template, or several with names. Of several, the one for
/// tools is ours.
fn chat_template(folder: &Path, tokenizer_config: &Map<String, Value>) -> Result<Option<String>> {
    let file = folder.join("chat_template.jinja");
    if file.is_file() {
        return text(&file).map(Some);
    }
    let named = |templates: &[Value], name: &str| {
        templates
            .iter()
            .find(|t| t["name"] == name)
            .and_then(|t| t["template"].as_str())
            .map(str::to_string)
    };
    Ok(match tokenizer_config.get("chat_template") {
        Some(Value::String(template)) => Some(template.clone()),
        Some(Value::Array(templates)) => named(templates, "tool_use").or_else(|| named(templates, "default")),
        _ => None,
    })
}

/// The tokenizer's own end token first, because the template ends a turn with it; then what the configs name.
fn eos_token_ids(
    tokenizer: &Tokenizer,
    tokenizer_config: &Map<String, Value>,
    configs: [Option<&Map<String, Value>>; 2],
) -> Vec<u32> {
    let token = tokenizer_config
        .get("eos_token")
        .and_then(|token| token["content"].as_str().or(token.as_str()));
    let mut ids: Vec<u32> = token
        .and_then(|token| tokenizer.token_to_id(token))
        .into_iter()
        .collect();
    for value in configs
        .into_iter()
        .flatten()
        .filter_map(|config| config.get("eos_token_id"))
    {
        let several = value
            .as_array()
            .map_or(std::slice::from_ref(value), Vec::as_slice);
        ids.extend(
            several
                .iter()
                .filter_map(Value::as_u64)
                .filter_map(|id| u32::try_from(id).ok()),
        );
    }
    let mut seen = std::collections::BTreeSet::new();
    ids.retain(|&id| seen.insert(id));
    ids
}
