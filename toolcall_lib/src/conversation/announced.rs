//! Tools that the system text lists between `<tools>` and `</tools>`, as the templates of Hermes
//! and Qwen write them, and the sentences that such a template puts around them.

use crate::syntax::tags::CALL_END;
use crate::{json, python};
use serde_json::Value;

/// Starts of what a template writes, up to the tools.
const OPENINGS: [&str; 3] = [
    "You are a function calling AI model",
    "You are a function-calling AI model",
    "# Tools",
];

const OPEN: &str = "<tools>";
const CLOSE: &str = "</tools>";

/// A system text, taken apart.
#[derive(Debug, PartialEq)]
pub(super) struct Announced {
    /// The tools that it lists.
    pub tools: Vec<Value>,
    /// The rest of the text, without the sentences of a template.
    pub text: String,
}

/// Takes a system text apart; `None` if it lists no tools in a way that a template is known for.
pub(super) fn announced(text: &str) -> Option<Announced> {
    let (tools, start, behind) = block(text)?;
    let before = &text[..start];
    let opening = OPENINGS
        .iter()
        .filter_map(|opening| before.rfind(opening))
        .max()?;
    // The example of a call ends what Hermes and Qwen write.
    let end = behind.rfind(CALL_END).map_or(0, |at| at + CALL_END.len());
    let kept = [before[..opening].trim(), behind[end..].trim()];
    let kept: Vec<&str> = kept.into_iter().filter(|part| !part.is_empty()).collect();
    Some(Announced {
        tools,
        text: kept.join("\n\n"),
    })
}

/// The first list of tools between tags, where it starts, and the text behind it. Hermes names the
/// tags in a sentence first.
fn block(text: &str) -> Option<(Vec<Value>, usize, &str)> {
    text.match_indices(OPEN).find_map(|(start, _)| {
        let (inner, behind) = text[start + OPEN.len()..].split_once(CLOSE)?;
        Some((tools(inner.trim())?, start, behind))
    })
}

/// A list of tools as JSON or as Python writes it, or a tool a line.
fn tools(text: &str) -> Option<Vec<Value>> {
    let value = |text: &str| json::read(text).ok().or_else(|| python::read(text));
    let found = match value(text) {
        Some(Value::Array(tools)) => tools,
        Some(tool) => vec![tool],
        None => {
            let lines = text.lines().filter(|line| !line.trim().is_empty());
            lines.map(value).collect::<Option<_>>()?
        }
    };
    let is_tool = |tool: &Value| tool.get("function").or(tool.get("name")).is_some();
    (!found.is_empty() && found.iter().all(is_tool)).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_templates_write_is_taken_out_and_the_rest_stays() {
        let hermes = "You are a function calling AI model. Signatures stand within <tools> </tools> tags.\n<tools>\n\
            [{'type': 'function', 'function': {'name': 'dim', 'parameters': {}}}]\n</tools>\nReturn a call as:\n\
            <tool_call>\n{'arguments': <args-dict>, 'name': <function-name>}\n</tool_call>\n";
        let tool = json!({"type": "function", "function": {"name": "dim", "parameters": {}}});
        let expected = |text: &str| {
            Some(Announced {
                tools: vec![tool.clone()],
                text: text.into(),
            })
        };
        assert_eq!(announced(hermes), expected(""));
        let around = format!("Be short.\n\n{hermes}Today is Monday.");
        assert_eq!(announced(&around), expected("Be short.\n\nToday is Monday."));
        let qwen = format!(
            "Be short.\n\n# Tools\n\nYou may call functions.\n<tools>\n{tool}\n</tools>\n\nFor each call:\n<tool_call>\n{{}}\n</tool_call>"
        );
        assert_eq!(announced(&qwen), expected("Be short."));
    }

    #[test]
    fn other_texts_stay_as_they_are() {
        for text in [
            "Be short.",
            "You are a function calling AI model. <tools></tools>",
            "You are a function calling AI model. <tools>[]</tools>",
            "You are a function calling AI model. <tools>dim()</tools>",
            "Mine: <tools>[{\"name\": \"dim\"}]</tools>",
            "# Tools <tools>[{\"name\": \"dim\"}]",
        ] {
            assert_eq!(announced(text), None, "{text}");
        }
    }
}
