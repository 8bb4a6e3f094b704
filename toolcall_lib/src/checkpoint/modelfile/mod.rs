//! The `Modelfile` beside a GGUF file: with it `ollama create` makes a model that is asked as it
//! was trained.
//!
//! Ollama does not read a model's Jinja template. Without a template in its own language it shows a
//! model neither its tools nor its past calls in the form that it knows.

mod go;
mod layout;

use crate::error::{Error, Result};
use crate::files;
use crate::model::Model;
use layout::Layout;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

/// The name under which Ollama looks for it.
const NAME: &str = "Modelfile";
/// Begins a file that we write; the checksum of all that follows the line comes next.
const OURS: &str = "# Written by toolcall. SHA-256 of the lines below: ";

/// The content of a `Modelfile` for the GGUF file of this name; `None` if the chat template of the
/// model writes conversations in another form than ChatML with calls in JSON.
///
/// ```text
/// FROM ./tuned.gguf
/// TEMPLATE """…"""
/// PARAMETER temperature 0
/// PARAMETER repeat_penalty 1
/// PARAMETER stop "<|im_end|>"
/// ```
pub fn modelfile(model: &Model, gguf: &str) -> Option<String> {
    let template = go::template(&Layout::of(&model.template)?)?;
    let stops = model.tokenizer.eos_tokens().into_iter();
    let stops: String = stops
        .map(|token| format!("PARAMETER stop \"{token}\"\n"))
        .collect();
    let settings = "PARAMETER temperature 0\nPARAMETER repeat_penalty 1\n";
    let lines = format!("FROM ./{gguf}\nTEMPLATE \"\"\"{template}\"\"\"\n{settings}{stops}");
    Some(format!("{OURS}{}\n{lines}", files::sha256_of(&lines)))
}

/// Writes the `Modelfile` for a GGUF file beside it. Replaces an existing one only if we wrote it
/// and nobody has changed it since. Returns a note for the user if none is written or a foreign one
/// stays.
///
/// # Errors
/// It cannot be written.
pub(super) fn write(model: &Model, gguf: &Path) -> Result<Option<String>> {
    let name = gguf.file_name().unwrap_or_default().to_string_lossy();
    let place = gguf.with_file_name(NAME);
    let Some(content) = modelfile(model, &name) else {
        let problem = "no Modelfile for Ollama is written: the model's chat template is not ChatML with calls in JSON, \
                       the only one that is translated";
        return Ok(Some(problem.to_string()));
    };
    let old = match fs::read(&place) {
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) if error.kind() == ErrorKind::IsADirectory => Some(Vec::new()),
        old => Some(old.map_err(Error::io(&place))?),
    };
    if old.as_deref() == Some(content.as_bytes()) {
        return Ok(None);
    }
    if old.is_some_and(|old| !is_ours(&old)) {
        let advice = "to have ours, move it away and export again";
        let problem = format!(
            "{} was not written by toolcall or has been changed since, and stays; {advice}",
            place.display()
        );
        return Ok(Some(problem));
    }
    files::write(&place, content)?;
    Ok(None)
}

/// Returns true if a file is as we wrote it.
fn is_ours(content: &[u8]) -> bool {
    let content = std::str::from_utf8(content).ok();
    let lines = content.and_then(|content| content.strip_prefix(OURS)?.split_once('\n'));
    lines.is_some_and(|(sum, lines)| files::sha256_of(lines) == sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_ours_until_somebody_changes_it() {
        let lines = "FROM ./a.gguf\n";
        let ours = format!("{OURS}{}\n{lines}", files::sha256_of(lines));
        assert!(is_ours(ours.as_bytes()));
        assert!(!is_ours(ours.replace("a.gguf", "b.gguf").as_bytes()));
        assert!(!is_ours(lines.as_bytes()));
        assert!(!is_ours(b"\xff"));
    }
}
