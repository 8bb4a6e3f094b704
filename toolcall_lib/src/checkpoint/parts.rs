//! Steps that whole models and adapters share.

use crate::error::{Error, Result};
use crate::files::Draft;
use crate::model::{Decoder, Model};
use crate::template::ChatTemplate;
use crate::tokens::Tokenizer;
use crate::tool::{ToolSchema, read_tools};
use crate::weights::{Dtype, Parameters, RawModel, gguf, safetensors};
use candle_core::quantized::GgmlDType;

/// Makes a model of what was read from its source.
pub(super) fn model(raw: RawModel) -> Result<Model> {
    let mut tokenizer = Tokenizer::new(raw.tokenizer, raw.eos_token_ids);
    if !raw.tokenizer_config.is_empty() {
        tokenizer = tokenizer.with_config(raw.tokenizer_config);
    }
    let additional = raw.additional_chat_templates;
    let (template, notes) =
        ChatTemplate::for_tools(raw.chat_template.as_deref(), additional, &tokenizer.config)?;
    tokenizer.stop_at_end_of_turn(&template)?;
    let tools = raw.tools.map(|text| tools_in(&raw.origin, &text));
    let mut model = Model {
        decoder: Decoder::new(raw.config, raw.weights)?,
        tokenizer,
        template,
        generation_config: raw.generation_config.unwrap_or_default(),
        tools: Vec::new(),
        training: None,
        license: raw.license,
        origin: raw.origin,
        notes: raw.notes.into_iter().chain(notes).collect(),
    };
    if let Some(tools) = tools {
        remember(&mut model, tools);
    }
    Ok(model)
}

/// Sets the tools that a model was trained to call. A model works without them, so a note says if
/// they cannot be read.
pub(super) fn remember(model: &mut Model, tools: Result<Vec<ToolSchema>>) {
    match tools {
        Ok(tools) => model.tools = tools,
        Err(error) => model
            .notes
            .push(format!("the model's own tools are not known: {error}")),
    }
}

/// Most bytes of tools in a GGUF file: parsed JSON takes many times its length.
const LONGEST_TOOLS: usize = 1 << 20;

fn tools_in(origin: &str, text: &str) -> Result<Vec<ToolSchema>> {
    let tools = match text.len() > LONGEST_TOOLS {
        true => Err(format!(
            "have {} bytes; expected at most {LONGEST_TOOLS}",
            text.len()
        )),
        false => read_tools(text),
    };
    tools.map_err(|problem| Error::invalid(format!("{origin}: {}", gguf::TOOLS), problem))
}

/// Adds a file of weights.
///
/// # Errors
/// A weight that is not finite, or too large for `dtype`.
pub(super) fn draft_weights(name: &str, weights: &Parameters, draft: &mut Draft, dtype: Dtype) -> Result<()> {
    let place = draft.place(name);
    let too_large = || match dtype {
        Dtype::Bf16 => weights.too_large(GgmlDType::BF16),
        _ => None,
    };
    if let Some(problem) = weights.not_finite().or_else(too_large) {
        return Err(Error::invalid(
            place.display(),
            format!("{problem}, so nothing is saved"),
        ));
    }
    draft.write_with(name, |out| safetensors::write(out, &place, weights, dtype))
}
