//! Finds out what a template needs and shows, by rendering messages.

use super::ChatTemplate;
use super::offered::Needs;
use crate::conversation::Message;
use crate::error::Error;
use crate::tool::{ToolCall, ToolSchema};
use serde_json::{Map, json};

/// The parts of a turn with calls that a template shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shows {
    /// Shows offered tools, calls, and the answers of tools; or the reason why it does not.
    pub calls: Result<(), String>,
    /// Shows what the assistant says besides its calls.
    pub content_beside_calls: bool,
    /// Shows the assistant's thoughts.
    pub thoughts: bool,
}

/// Words of the probe; the text of a template that shows everything contains them all.
const TOOL: &str = "offered_tool";
const CALLED: &str = "called_tool";
const KEY: &str = "some_key";
const VALUE: &str = "some_value";
const ANSWER: &str = "some_answer";
const SAID: &str = "some_words";
const THOUGHT: &str = "some_thought";

impl ChatTemplate {
    /// Returns the form of messages that the template can show; derived once.
    pub(super) fn needs(&self) -> Needs {
        let forms = [(false, false), (false, true), (true, false), (true, true)];
        let mut tried = [false, true].into_iter().flat_map(|flat_calls| {
            forms.map(|(arguments_as_text, short_ids)| Needs {
                arguments_as_text,
                short_ids,
                flat_calls,
            })
        });
        *self.needs.get_or_init(|| {
            tried
                .find(|needs| self.shows_calls(*needs).is_ok())
                .unwrap_or_default()
        })
    }

    /// Returns which parts of a turn the template shows.
    pub(crate) fn shows(&self) -> Shows {
        let needs = self.needs();
        let turn = Message {
            content: SAID.to_string(),
            reasoning_content: Some(THOUGHT.to_string()),
            ..Message::assistant_calls(vec![call(None)])
        };
        let mut thinking = self.clone();
        thinking.thinking = true;
        let text = thinking
            .render_as(needs, &[Message::user("hi"), turn], &[tool()], false)
            .unwrap_or_default();
        Shows {
            calls: self.shows_calls(needs),
            content_beside_calls: text.contains(SAID),
            thoughts: text.contains(THOUGHT),
        }
    }

    /// Checks that the template shows tools, calls and answers of messages in the form `needs`.
    fn shows_calls(&self, needs: Needs) -> Result<(), String> {
        let with_id = |id: Option<&str>| {
            let answer = Message {
                tool_call_id: id.map(String::from),
                ..Message::tool(CALLED, ANSWER)
            };
            let messages = [
                Message::user("hi"),
                Message::assistant_calls(vec![call(id)]),
                answer,
            ];
            self.render_as(needs, &messages, &[tool()], false)
                .map_err(|error: Error| error.to_string())
        };
        // 1. Every word of the probe must appear.
        let text = with_id(None)?;
        if let Some(missing) = [TOOL, CALLED, KEY, VALUE, ANSWER]
            .into_iter()
            .find(|word| !text.contains(word))
        {
            let what = match missing {
                TOOL => "the tools that are offered",
                ANSWER => "the answer of a tool",
                _ => "the calls of the assistant",
            };
            return Err(format!("it does not show {what}"));
        }
        // 2. Arguments must not look like a Python dict.
        if !needs.arguments_as_text && text.contains(&format!("{{'{KEY}'")) {
            return Err("it writes arguments as Python does, not as JSON".to_string());
        }
        // 3. Ids of any length must be accepted.
        with_id(Some("call_of_twenty_characters")).map(drop)
    }
}

fn tool() -> ToolSchema {
    let parameters = json!({"type": "object", "properties": {}});
    ToolSchema(
        json!({"type": "function", "function": {"name": TOOL, "description": "", "parameters": parameters}}),
    )
}

fn call(id: Option<&str>) -> ToolCall {
    ToolCall {
        id: id.map(String::from),
        name: CALLED.to_string(),
        arguments: Map::from_iter([(KEY.to_string(), json!(VALUE))]),
    }
}
