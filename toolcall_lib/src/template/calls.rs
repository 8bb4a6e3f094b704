//! How a template writes calls, found out by letting it write some.

use super::ChatTemplate;
use crate::conversation::Message;
use crate::tool::ToolCall;
use serde_json::{Map, json};

/// The tags that Qwen's and Hermes' templates put around calls and thoughts.
pub(crate) mod tags {
    pub const THINK: &str = "<think>";
    pub const THINK_END: &str = "</think>";
    pub const CALL: &str = "<tool_call>";
    pub const CALL_END: &str = "</tool_call>";
}

/// The text around the name and the arguments of a call: `open`, the name as in a JSON string, `middle`, the arguments as JSON
/// with these separators, `close`; and `between` two calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CallSyntax {
    /// Begins with [`tags::CALL`].
    pub open: String,
    pub middle: String,
    /// Ends with [`tags::CALL_END`].
    pub close: String,
    pub between: String,
    pub item_separator: String,
    pub key_separator: String,
}

impl ChatTemplate {
    /// How the template writes calls; nothing if it is not the way that [`reply::parse`](crate::reply::parse) reads.
    pub(crate) fn call_syntax(&self) -> Option<CallSyntax> {
        const NAME: &str = "called_tool";
        let [first, one, second, two] = ["some_key", "some_value", "other_key", "other_value"];
        let call = ToolCall {
            name: NAME.to_string(),
            arguments: Map::from_iter([(first.to_string(), json!(one)), (second.to_string(), json!(two))]),
        };
        let calls = Message::assistant_calls(vec![call.clone(), call]);
        let text = self.render(&[Message::user("hi"), calls], &[]).ok()?;
        let (before, rest) = text.split_once(NAME)?;
        let (inner, _) = rest.split_once(NAME)?;
        let open = &before[before.rfind(tags::CALL)?..];
        let (middle, inner) = inner.split_once(&format!("{{\"{first}\""))?;
        let (key_separator, inner) = inner.split_once(&format!("\"{one}\""))?;
        let (item_separator, inner) = inner.split_once(&format!("\"{second}\""))?;
        let (_, inner) = inner.split_once(&format!("\"{two}\"}}"))?;
        let end = inner.find(tags::CALL_END)? + tags::CALL_END.len();
        let (close, between) = inner.strip_suffix(open)?.split_at_checked(end)?;
        open.ends_with('"').then(|| CallSyntax {
            open: open.to_string(),
            middle: middle.to_string(),
            close: close.to_string(),
            between: between.to_string(),
            item_separator: item_separator.to_string(),
            key_separator: key_separator.to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_template_writes_calls_as_hermes_does() {
        let syntax = ChatTemplate::hermes("<|im_end|>").unwrap().call_syntax().unwrap();
        let expected = CallSyntax {
            open: "<tool_call>\n{\"name\": \"".to_string(),
            middle: "\", \"arguments\": ".to_string(),
            close: "}\n</tool_call>".to_string(),
            between: "\n".to_string(),
            item_separator: ", ".to_string(),
            key_separator: ": ".to_string(),
        };
        assert_eq!(syntax, expected);
    }

    #[test]
    fn other_ways_to_write_calls_are_not_known() {
        let with = |call: &str| {
            let source = "{% for m in messages %}{% for call in m.tool_calls or [] %}".to_string()
                + call
                + "{% endfor %}{% endfor %}";
            ChatTemplate::new(&source, &Map::new()).unwrap().call_syntax()
        };
        let llama =
            "{'name': {{ call.function.name }}, 'parameters': {{ call.function.arguments | tojson }}}";
        assert_eq!(with(llama), None);
        let reversed = r#"<tool_call>{"arguments": {{ call.function.arguments | tojson }}, "name": "{{ call.function.name }}"}</tool_call>"#;
        assert_eq!(with(reversed), None);
    }
}
