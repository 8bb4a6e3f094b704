//! GGUF files: config, weights, tokenizer and chat template in one file.
//!
//! Format: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>. `header` checks a file
//! before candle parses it, because candle trusts its numbers.

mod config;
mod header;
mod rope;
mod splitting;
mod tensors;
mod tokenizer;
mod vocabulary;
mod write;

pub use write::{Export, is_ours, save};

use super::Dtype;
use super::folder::license_name;
use super::map::map;
use super::source::RawModel;
use crate::error::{Error, Result};
use candle_core::quantized::gguf_file::{Content, Value};
use memmap2::Mmap;
use std::io::Cursor;
use std::path::{Path, PathBuf};

/// Reads a GGUF file of the `llama`, `qwen2` or `qwen3` architecture, with the weights packed as
/// `dtype`.
///
/// # Errors
/// A file that is damaged, or that needs an architecture, a quantization or a tokenizer that this
/// crate does not have, by name.
pub fn read(file: &Path, dtype: Dtype) -> Result<RawModel> {
    let gguf = Gguf::open(file)?;
    let config = config::read(&gguf)?;
    let (tokenizer, note) = tokenizer::read(&gguf)?;
    Ok(RawModel {
        weights: tensors::read(&gguf, &config, dtype)?,
        tokenizer_config: tokenizer::settings(&gguf)?,
        chat_template: gguf.text(TEMPLATE)?.map(str::to_string),
        additional_chat_templates: additional_templates(&gguf),
        notes: note.into_iter().collect(),
        generation_config: None,
        eos_token_ids: tokenizer::eos_token_ids(&gguf)?,
        license: gguf.text("general.license")?.and_then(license_name),
        origin: file.display().to_string(),
        tokenizer,
        config,
    })
}

/// Key of the default template; others have the same key followed by their names.
const TEMPLATE: &str = "tokenizer.chat_template";

fn additional_templates(gguf: &Gguf) -> Vec<(String, String)> {
    let templates = gguf.content.metadata.iter().filter_map(|(key, value)| {
        let name = key.strip_prefix(TEMPLATE)?.strip_prefix('.')?;
        Some((name.to_string(), value.to_string().ok()?.clone()))
    });
    let mut templates: Vec<(String, String)> = templates.collect();
    templates.sort();
    templates
}

/// An open file: its metadata, and its memory-mapped tensors.
struct Gguf {
    file: PathBuf,
    content: Content,
    bytes: Mmap,
}

impl Gguf {
    fn open(file: &Path) -> Result<Self> {
        let bytes = map(file)?;
        header::check(&bytes)
            .map_err(|(field, problem)| Error::invalid(format!("{}: {field}", file.display()), problem))?;
        let content = Content::read(&mut Cursor::new(&bytes)).map_err(|e| {
            Error::invalid(
                file.display(),
                format!("is damaged, or not a supported GGUF file: {e}"),
            )
        })?;
        Ok(Self {
            file: file.to_path_buf(),
            content,
            bytes,
        })
    }

    fn wrong(&self, key: &str, problem: impl std::fmt::Display) -> Error {
        Error::invalid(format!("{}: {key}", self.file.display()), problem)
    }

    fn missing(&self, key: &str) -> Error {
        self.wrong(key, "is missing")
    }

    fn get<'a, T>(
        &'a self,
        key: &str,
        kind: &str,
        read: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(value) = self.content.metadata.get(key) else {
            return Ok(None);
        };
        read(value)
            .map(Some)
            .ok_or_else(|| self.wrong(key, format!("is not {kind}")))
    }

    fn text(&self, key: &str) -> Result<Option<&str>> {
        self.get(key, "a string", |value| {
            value.to_string().ok().map(String::as_str)
        })
    }

    fn size(&self, key: &str) -> Result<Option<u64>> {
        self.get(key, "a count", count)
    }

    fn flag(&self, key: &str) -> Result<Option<bool>> {
        self.get(key, "true or false", |value| value.to_bool().ok())
    }

    /// Reads a float. It is stored as f32, and returned as the shortest decimal number that is the
    /// same f32 (1e-5, not 9.99999974e-6).
    fn float(&self, key: &str) -> Result<Option<f64>> {
        self.get(key, "a number", |value| match value {
            Value::F32(x) => x.to_string().parse().ok(),
            other => other.to_f64().ok(),
        })
    }

    fn texts(&self, key: &str) -> Result<Option<Vec<&str>>> {
        self.get(key, "a list of strings", |value| {
            value
                .to_vec()
                .ok()?
                .iter()
                .map(|x| x.to_string().ok().map(String::as_str))
                .collect()
        })
    }

    fn sizes(&self, key: &str) -> Result<Option<Vec<u64>>> {
        self.get(key, "a list of counts", |value| {
            value.to_vec().ok()?.iter().map(count).collect()
        })
    }
}

fn count(value: &Value) -> Option<u64> {
    match *value {
        Value::I8(n) => n.try_into().ok(),
        Value::I16(n) => n.try_into().ok(),
        Value::I32(n) => n.try_into().ok(),
        Value::I64(n) => n.try_into().ok(),
        ref other => other.to_u64().ok(),
    }
}
