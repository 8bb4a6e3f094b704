//! Support for models whose own template cannot show tools, and questions about templates that can.

use super::{ChatTemplate, REPLY, TOOL_USE};
use crate::conversation::Message;
use crate::error::{Error, Result};
use serde_json::{Map, Value, json};

/// Source of ChatML with Hermes calls.
const HERMES: &str = include_str!("hermes.jinja");

impl ChatTemplate {
    /// Makes ChatML with Hermes tool calls: `<tools>`, `<tool_call>` and `<tool_response>`, which
    /// Qwen's templates and many others write. A turn ends with `eos_token`, because generation
    /// stops there.
    ///
    /// # Errors
    /// None in practice: the source is that of this crate.
    pub fn hermes(eos_token: &str) -> Result<Self> {
        Self::new(
            HERMES,
            &Map::from_iter([("eos_token".to_string(), json!(eos_token))]),
        )
    }

    /// Makes the template for a model whose own is `source`, with `additional` ones by name. Takes
    /// the model's own if it can show tools, and otherwise that of [`hermes`](Self::hermes).
    /// Returns notes for the user, too: why it is replaced, and which of `additional` are left out.
    ///
    /// # Errors
    /// None in practice: a template that cannot be read is replaced or left out.
    pub fn for_tools(
        source: Option<&str>,
        additional: Vec<(String, String)>,
        tokenizer_config: &Map<String, Value>,
    ) -> Result<(Self, Vec<String>)> {
        let made = |additional: &[(String, String)]| {
            let tool_use = additional.iter().find(|(name, _)| name == TOOL_USE);
            let source = source.or(tool_use.map(|(_, source)| source.as_str()))?;
            Some(Self::named(source, additional.to_vec(), tokenizer_config))
        };
        let (template, mut notes) = match made(&additional) {
            Some(Err(_)) => {
                let (additional, notes) = readable(additional);
                (made(&additional), notes)
            }
            template => (template, Vec::new()),
        };
        let why = match template {
            Some(Ok(template)) => match template.shows().calls {
                Ok(()) => return Ok((template, notes)),
                Err(reason) => {
                    format!("The model's own chat template cannot show tools and tool calls ({reason})")
                }
            },
            Some(Err(error)) => format!("The model's own chat template cannot be read ({error})"),
            None => "The model has no chat template".to_string(),
        };
        notes.push(format!(
            "{why}: ChatML with Hermes tool calls takes its place and is saved with the model."
        ));
        Ok((Self::new(HERMES, tokenizer_config)?, notes))
    }

    /// Returns true if tools, calls and their answers all appear in the text; some templates drop
    /// them silently.
    pub fn supports_tools(&self) -> bool {
        self.shows().calls.is_ok()
    }

    /// Returns the text that the template writes at the end of an assistant turn, such as
    /// `<|im_end|>`.
    ///
    /// # Errors
    /// The template refuses a question and an answer.
    pub fn end_of_turn(&self) -> Result<String> {
        let text = self.render(&[Message::user("hi"), Message::assistant(REPLY)], &[])?;
        let (_, end) = text
            .rsplit_once(REPLY)
            .ok_or_else(|| Error::invalid("chat template", "it does not show what the assistant says"))?;
        Ok(end.trim().to_string())
    }
}

/// Returns the templates that can be read, and a note on each of the others.
fn readable(templates: Vec<(String, String)>) -> (Vec<(String, String)>, Vec<String>) {
    let mut notes = Vec::new();
    let read = templates.into_iter().filter(|(name, source)| {
        let error = ChatTemplate::new(source, &Map::new()).err();
        notes.extend(error.as_ref().map(|error| {
            format!(
                "The model's chat template `{name}` cannot be read ({error}): it is left out, and not saved \
                 with the model."
            )
        }));
        error.is_none()
    });
    (read.collect(), notes)
}
