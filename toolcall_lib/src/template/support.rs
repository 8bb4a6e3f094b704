//! What a template can show, and ours for a model whose own cannot show tools.

use super::ChatTemplate;
use crate::conversation::Message;
use crate::error::{Error, Result};
use crate::tool::{ToolCall, ToolSchema};
use serde_json::{Map, Value, json};

const HERMES: &str = include_str!("hermes.jinja");

impl ChatTemplate {
    /// ChatML with Hermes tool calls: `<tools>`, `<tool_call>` and `<tool_response>` as Qwen's templates and
    /// many others write them. A turn ends with `eos_token`, because that is where generation stops.
    pub fn hermes(eos_token: &str) -> Result<Self> {
        Self::new(
            HERMES,
            &Map::from_iter([("eos_token".to_string(), json!(eos_token))]),
        )
    }

    /// The template for a model whose own is `source`: that one if it can show tools, and else the one of
    /// [`hermes`](Self::hermes), with a notice for the user that says why.
    pub fn for_tools(
        source: Option<&str>,
        tokenizer_config: &Map<String, Value>,
    ) -> Result<(Self, Option<String>)> {
        let why = match source.map(|source| Self::new(source, tokenizer_config)) {
            Some(Ok(template)) if template.supports_tools() => return Ok((template, None)),
            Some(Ok(_)) => "The model's own chat template cannot show tools and tool calls".to_string(),
            Some(Err(error)) => format!("The model's own chat template cannot be read ({error})"),
            None => "The model has no chat template".to_string(),
        };
        let notice =
            format!("{why}: ChatML with Hermes tool calls takes its place and is saved with the model.");
        Ok((Self::new(HERMES, tokenizer_config)?, Some(notice)))
    }

    /// True if tools, calls and their answers all appear in the text: some templates drop them without a
    /// word.
    pub fn supports_tools(&self) -> bool {
        let [tool, name, key] = ["offered_tool", "called_tool", "some_key"];
        let [value, answer] = ["some_value", "some_answer"];
        let arguments = Map::from_iter([(key.to_string(), json!(value))]);
        let call = ToolCall {
            name: name.to_string(),
            arguments,
        };
        let messages = [
            Message::user("hi"),
            Message::assistant_calls(vec![call]),
            Message::tool(name, answer),
        ];
        let schema = json!({"type": "function", "function": {
            "name": tool, "description": "", "parameters": {"type": "object", "properties": {}}}});
        self.render(&messages, &[ToolSchema(schema)]).is_ok_and(|text| {
            [tool, name, key, value, answer]
                .iter()
                .all(|part| text.contains(part))
        })
    }

    /// What the template writes at the end of an assistant turn, such as `<|im_end|>`.
    ///
    /// # Errors
    /// The template refuses a question and an answer.
    pub fn end_of_turn(&self) -> Result<String> {
        let reply = "some_reply";
        let text = self.render(&[Message::user("hi"), Message::assistant(reply)], &[])?;
        let (_, end) = text
            .rsplit_once(reply)
            .ok_or_else(|| Error::invalid("chat template", "it does not show what the assistant says"))?;
        Ok(end.trim().to_string())
    }
}
