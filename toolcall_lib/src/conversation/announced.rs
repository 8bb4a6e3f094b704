//! Tools that the system text lists between `<tools>` and `</tools>`, as the templates of Hermes
//! and Qwen write them, and the sentences that such a template puts around them.

use crate::syntax::tags::{CALL, CALL_END};
use crate::tool::is_tool;
use crate::{json, python};
use serde_json::Value;

/// Starts of what a template writes, up to the tools.
const OPENINGS: [&str; 3] = [
    "You are a function calling AI model",
    "You are a function-calling AI model",
    "# Tools",
];

/// Words that the templates of Hermes and Qwen put around the list of tools, without the
/// punctuation between them. White space and the case of letters may differ.
const KNOWN: [&str; 23] = [
    "# Tools",
    "You are a function calling AI model",
    "You are a function-calling AI model",
    "You are provided with function signatures within <tools> </tools>",
    "You may call one or more functions",
    "to assist with the user query",
    "Don't make assumptions about what values to plug into functions",
    "Here are the available tools",
    "Use the following pydantic model json schema for each tool call you will make",
    "For each function call",
    "return a json object",
    "with function name and arguments",
    "within <tool_call> </tool_call>",
    "XML",
    "tags",
    "with the following schema",
    "as follows",
    "\"name\"",
    "\"arguments\"",
    "<function-name>",
    "<args-dict>",
    "<args-json-object>",
    CALL,
];

const OPEN: &str = "<tools>";
const CLOSE: &str = "</tools>";

/// A system text, taken apart.
#[derive(Debug, PartialEq)]
pub(super) struct Announced {
    /// The tools that it lists.
    pub tools: Vec<Value>,
    /// The rest of the text, without the sentences of a template; `None` if there is something
    /// between these that no template writes.
    pub text: Option<String>,
}

/// Takes a system text apart; `None` if it lists no tools in the way of a known template.
pub(super) fn announced(text: &str) -> Option<Announced> {
    let (tools, start, behind) = block(text)?;
    let before = &text[..start];
    let opening = OPENINGS
        .iter()
        .filter_map(|opening| before.rfind(opening))
        .max()?;
    let (rest, _) = behind_known(&before[opening..]);
    // The example of a call ends what Hermes and Qwen write.
    let (_, behind) = behind_known(behind);
    let is_known = rest.is_empty() && !behind.contains(CALL);
    let kept = [before[..opening].trim(), behind.trim()];
    let kept: Vec<&str> = kept.into_iter().filter(|part| !part.is_empty()).collect();
    Some(Announced {
        tools,
        text: is_known.then(|| kept.join("\n\n")),
    })
}

/// Goes over the words that a template writes. Returns the text after them, and the text after
/// the last example of a call among them.
fn behind_known(text: &str) -> (&str, &str) {
    const MARKS: [char; 7] = ['.', ',', ':', '{', '}', '\'', '"'];
    let (mut rest, mut behind_example) = (text.trim_start(), text);
    loop {
        let schema = schema_of_a_call(rest);
        let known = || KNOWN.iter().find_map(|words| behind(rest, words));
        let next = match rest.strip_prefix(CALL_END) {
            Some(next) => {
                behind_example = next;
                Some(next)
            }
            None => schema.or_else(known).or_else(|| rest.strip_prefix(MARKS)),
        };
        match next {
            Some(next) => rest = next.trim_start(),
            None => return (rest, behind_example),
        }
    }
}

/// Returns the text after these words, if `text` begins with them.
fn behind<'a>(text: &'a str, words: &str) -> Option<&'a str> {
    let mut rest = text;
    for word in words.split(' ') {
        rest = rest.trim_start();
        let mut letters = rest.get(..word.len())?.bytes().zip(word.bytes());
        let same = |(is, b): (u8, u8)| is.eq_ignore_ascii_case(&b) || (is, b) == (b'\'', b'"');
        if !letters.all(same) {
            return None;
        }
        rest = &rest[word.len()..];
    }
    Some(rest)
}

/// Returns the text after the JSON schema of a call, with which Hermes' templates describe the form
/// of a call.
fn schema_of_a_call(text: &str) -> Option<&str> {
    const WORDS: [&str; 12] = [
        "name",
        "Name",
        "arguments",
        "Arguments",
        "properties",
        "required",
        "title",
        "type",
        "string",
        "object",
        "FunctionCall",
        "",
    ];
    fn is_known(value: &Value) -> bool {
        match value {
            Value::String(text) => WORDS.contains(&text.as_str()),
            Value::Array(items) => items.iter().all(is_known),
            Value::Object(fields) => {
                let known =
                    |(name, value): (&String, &Value)| WORDS.contains(&name.as_str()) && is_known(value);
                fields.iter().all(known)
            }
            _ => false,
        }
    }
    let (value, rest) = json::read_first(text).or_else(|| python::read_first(text))?;
    (value["title"] == "FunctionCall" && is_known(&value)).then_some(rest)
}

/// The first list of tools between tags, where it starts, and the text after it. Hermes names the
/// tags in a sentence first.
fn block(text: &str) -> Option<(Vec<Value>, usize, &str)> {
    text.match_indices(OPEN).find_map(|(start, _)| {
        let (inner, behind) = text[start + OPEN.len()..].split_once(CLOSE)?;
        Some((tools(inner.trim())?, start, behind))
    })
}

/// A list of tools as JSON or as Python writes it, or one tool per line.
fn tools(text: &str) -> Option<Vec<Value>> {
    let found = match python::read_with_json(text) {
        Some(Value::Array(tools)) => tools,
        Some(tool) => vec![tool],
        None => {
            let lines = text.lines().filter(|line| !line.trim().is_empty());
            lines.map(python::read_with_json).collect::<Option<_>>()?
        }
    };
    (!found.is_empty() && found.iter().all(is_tool)).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_templates_write_is_taken_out_and_the_rest_stays() {
        let hermes = "You are a function calling AI model. You are provided with function signatures within \
            <tools> </tools> XML tags. Don't make assumptions about what values to plug into functions.\n<tools>\n\
            [{'type': 'function', 'function': {'name': 'dim', 'parameters': {}}}]\n</tools>\n\
            Use the following pydantic model json schema for each tool call you will make: {'title': 'FunctionCall', \
            'type': 'object', 'properties': {'arguments': {'title': 'Arguments', 'type': 'object'}, 'name': \
            {'title': 'Name', 'type': 'string'}}, 'required': ['arguments', 'name']}\n\
            For each function call return a json object with function name and arguments within <tool_call></tool_call> \
            XML tags as follows:\n<tool_call>\n{'arguments': <args-dict>, 'name': <function-name>}\n</tool_call>\n";
        let tool = json!({"type": "function", "function": {"name": "dim", "parameters": {}}});
        let expected = |text: &str| {
            Some(Announced {
                tools: vec![tool.clone()],
                text: Some(text.into()),
            })
        };
        assert_eq!(announced(hermes), expected(""));
        let around = format!("Be short.\n\n{hermes}Today is Monday.");
        assert_eq!(announced(&around), expected("Be short.\n\nToday is Monday."));
        let qwen = format!(
            "Be short.\n\n# Tools\n\nYou may call one or more functions to assist with the user query.\n\nYou are \
            provided with function signatures within <tools></tools> XML tags:\n<tools>\n{tool}\n</tools>\n\nFor each \
            function call, return a json object with function name and arguments within <tool_call></tool_call> XML \
            tags:\n<tool_call>\n{{\"name\": <function-name>, \"arguments\": <args-json-object>}}\n</tool_call>"
        );
        assert_eq!(announced(&qwen), expected("Be short."));
        let tagged = format!("{qwen}\nTags: none.");
        assert_eq!(announced(&tagged), expected("Be short.\n\nTags: none."));
    }

    #[test]
    fn a_sentence_that_no_template_writes_is_not_taken_out() {
        let tool = r#"{"name": "dim"}"#;
        for text in [
            format!(
                "# Tools\nNever book on Sundays.\n<tools>[{tool}]</tools>\nFor each function call:\n<tool_call>\n{{}}\n</tool_call>"
            ),
            format!("# Tools\n<tools>[{tool}]</tools>\nAnswer in German.\n<tool_call>\n{{}}\n</tool_call>"),
            format!("# Tools\n<tools>[{tool}]</tools>\n<tool_call>\n{{\"name\": \"book\"}}\n</tool_call>"),
        ] {
            let found = announced(&text).unwrap();
            assert_eq!((found.tools.len(), found.text), (1, None), "{text}");
        }
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
