//! GGUF files: config, weights, tokenizer and chat template in one file.
//!
//! Format: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>. `header` checks a file
//! before candle parses it, because candle trusts its numbers.

mod config;
mod file;
mod header;
mod rope;
mod splitting;
mod tensors;
mod tokenizer;
mod vocabulary;
mod write;

pub use write::{Export, is_ours, save};

use super::Dtype;
use super::raw::{RawModel, license_name};
use crate::error::Result;
use file::Gguf;
use std::path::Path;

/// Returns true if a path is that of a GGUF file by its name: it ends in `.gguf`, in any case.
pub fn is_named(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("gguf"))
}

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
        tools: gguf.text(TOOLS)?.map(str::to_string),
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

/// Key of the tools that the model was trained to call, as JSON; llama.cpp ignores it.
pub(crate) const TOOLS: &str = "toolcall.tools";

fn additional_templates(gguf: &Gguf) -> Vec<(String, String)> {
    let templates = gguf.content.metadata.iter().filter_map(|(key, value)| {
        let name = key.strip_prefix(TEMPLATE)?.strip_prefix('.')?;
        Some((name.to_string(), value.to_string().ok()?.clone()))
    });
    let mut templates: Vec<(String, String)> = templates.collect();
    templates.sort();
    templates
}
