//! Steps that whole models and adapters share.

use crate::error::{Error, Result};
use crate::files::Draft;
use crate::model::{Decoder, Model};
use crate::template::ChatTemplate;
use crate::tokens::Tokenizer;
use crate::weights::{Dtype, Parameters, RawModel, safetensors};

/// Makes a model of what was read from its source.
pub(super) fn model(raw: RawModel) -> Result<Model> {
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
        tools: Vec::new(),
        training: None,
        license: raw.license,
        origin: raw.origin,
        notes: raw.notes.into_iter().chain(note).collect(),
    })
}

/// Adds a file of weights.
///
/// # Errors
/// A weight that is not finite.
pub(super) fn draft_weights(name: &str, weights: &Parameters, draft: &mut Draft, dtype: Dtype) -> Result<()> {
    let place = draft.place(name);
    if let Some(problem) = weights.not_finite() {
        return Err(Error::invalid(
            place.display(),
            format!("{problem}, so nothing is saved"),
        ));
    }
    draft.write_with(name, |out| safetensors::write(out, &place, weights, dtype))
}
