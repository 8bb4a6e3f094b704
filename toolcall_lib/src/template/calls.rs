//! The call syntax of a template, derived by rendering sample calls.

use super::{ChatTemplate, REPLY};
use crate::conversation::Message;
use crate::json;
use crate::syntax::{CallObject, CallSyntax, Fields, Part, split_thought};
use crate::tool::{ToolCall, ToolSchema};
use serde_json::{Map, Value, json};
use std::ops::Range;

/// Names, ids and arguments of the calls that the template renders.
const NAMES: [&str; 2] = ["called_tool", "other_tool"];
const IDS: [&str; 2] = ["firstid01", "secondid2"];
const KEYS: [&str; 2] = ["some_key", "other_key"];
const VALUES: [[&str; 2]; 2] = [["some_value", "more_value"], ["last_value", "next_value"]];

impl ChatTemplate {
    /// Returns the syntax in which the template writes calls; `None` if calls could not be read
    /// back from its text.
    pub fn call_syntax(&self) -> Option<&CallSyntax> {
        let found = self.call_syntax.get_or_init(|| {
            let probe = Probe::of(self)?;
            let syntax = probe.syntax()?;
            is_read_back(&probe, &syntax).then_some(syntax)
        });
        found.as_ref()
    }
}

/// Rendering of known calls by a template.
struct Probe {
    /// The template without its settings.
    template: ChatTemplate,
    /// Texts before and after a reply.
    start_of_turn: String,
    end_of_turn: String,
}

/// A call in a text: the ranges of its name, id and arguments, without the texts between them.
struct Found {
    spans: Vec<(Range<usize>, Kind)>,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Name,
    Id,
    Json,
    Fields,
}

impl Probe {
    /// Renders a reply without calls, to learn the text before and after a reply.
    fn of(template: &ChatTemplate) -> Option<Self> {
        let mut template = template.clone();
        (template.thinking, template.kwargs) = (false, Map::new());
        let text = template
            .render(&[Message::user("hi"), Message::assistant(REPLY)], &tools())
            .ok()?;
        let (start, end) = text.rsplit_once(REPLY)?;
        Some(Self {
            template,
            start_of_turn: start.to_string(),
            end_of_turn: end.trim().to_string(),
        })
    }

    /// Returns the reply that the template writes for these calls.
    fn reply(&self, calls: Vec<ToolCall>) -> Option<String> {
        let (user, tools) = (Message::user("hi"), tools());
        let prompt = self
            .template
            .render_prompt(std::slice::from_ref(&user), &tools)
            .ok()?;
        let text = self
            .template
            .render(&[user, Message::assistant_calls(calls)], &tools)
            .ok()?;
        // A prompt may end in a thought that only a model continues, so the turn may also begin
        // without it.
        let starts = [&*prompt, &*self.start_of_turn, self.start_of_turn.trim_end()];
        let whole = starts.into_iter().find_map(|start| text.strip_prefix(start))?;
        let (_, answer) = split_thought(whole);
        let reply = if answer.len() < whole.len() {
            answer.trim_start()
        } else {
            answer
        };
        Some(
            reply
                .trim_end()
                .strip_suffix(&self.end_of_turn)?
                .trim_end()
                .to_string(),
        )
    }

    /// Derives the syntax from three replies: one call, the same without arguments, and two calls.
    fn syntax(&self) -> Option<CallSyntax> {
        // 1. One call with two arguments: text before the name, parts, text after the arguments.
        let one = self.reply(vec![call(0, 2)])?;
        let found = Found::new(&one, 0, 0)?;
        let first = found.spans.first()?.0.start;
        let last = found.spans.last()?.0.end;
        let mut end = one[last..].to_string();
        let mut close = String::new();
        if found.spans.last()?.1 == Kind::Fields {
            // 2. A call without arguments ends like one with arguments; the rest of the end closes
            //    the last argument.
            let without = self.reply(vec![call(0, 0)])?;
            let tail = without[without.find(NAMES[0])? + NAMES[0].len()..].to_string();
            close = end.strip_suffix(&tail)?.to_string();
            end = tail;
        }
        // 3. Two calls show the text between them; `None` if the template allows one call only.
        let between = self.reply(vec![call(0, 2), call(1, 2)]).and_then(|two| {
            let first = Found::new(&two, 0, 0)?.spans.last()?.0.end;
            let second = Found::new(&two, 1, first)?.spans.first()?.0.start;
            let gap = two.get(first..second)?;
            gap.strip_prefix(&close).map(String::from)
        });
        Some(CallSyntax {
            begin: one[..first].to_string(),
            call: self.parts(&one, &found, &close)?,
            object: object(&one, between.as_deref()),
            between,
            end,
        })
    }

    /// Lists the parts of a call: name, id, arguments, and the texts between them.
    fn parts(&self, text: &str, found: &Found, close: &str) -> Option<Vec<Part>> {
        let mut parts = Vec::new();
        let mut end = found.spans.first()?.0.start;
        for (span, kind) in &found.spans {
            let before = &text[end..span.start];
            if *kind != Kind::Fields && !before.is_empty() {
                parts.push(Part::Text(before.to_string()));
            }
            parts.push(match kind {
                Kind::Name => Part::Name,
                Kind::Id => Part::Id,
                Kind::Json => json_part(&text[span.clone()])?,
                Kind::Fields => Part::Fields(self.fields(text, before, span, close)?),
            });
            end = span.end;
        }
        Some(parts)
    }

    /// Derives the texts around arguments that are written one by one. `span` reaches from the
    /// first name to the last value.
    fn fields(&self, text: &str, open: &str, span: &Range<usize>, close: &str) -> Option<Fields> {
        // 1. name1 middle value1 between name2 middle value2
        let inner = text[span.clone()].strip_prefix(KEYS[0])?;
        let (middle, inner) = inner.split_once(VALUES[0][0])?;
        let (between, inner) = inner.split_once(KEYS[1])?;
        if inner.strip_suffix(VALUES[0][1])? != middle {
            return None;
        }
        // 2. Quotation marks on all sides belong to the values.
        let sides = (
            middle.strip_suffix('"'),
            between.strip_prefix('"'),
            close.strip_prefix('"'),
        );
        let quoted = matches!(sides, (Some(_), Some(_), Some(_)));
        let (middle, between, close) = match sides {
            (Some(middle), Some(between), Some(close)) => (middle, between, close),
            _ => (middle, between, close),
        };
        // 3. A boolean shows if values are written as in Python.
        let flag = ToolCall {
            arguments: Map::from_iter([(KEYS[0].to_string(), json!(true))]),
            ..call(0, 0)
        };
        let flag = self.reply(vec![flag])?;
        let (_, written) = flag.split_once(&format!("{}{middle}", KEYS[0]))?;
        Some(Fields {
            open: open.to_string(),
            middle: middle.to_string(),
            between: between.to_string(),
            close: close.to_string(),
            quoted,
            python: written.starts_with("True"),
        })
    }
}

impl Found {
    /// Finds call number `which` after byte `from`: its name, its id if it is written, and its
    /// arguments.
    fn new(text: &str, which: usize, from: usize) -> Option<Self> {
        let find = |word: &str| {
            text[from..]
                .find(word)
                .map(|start| from + start..from + start + word.len())
        };
        let name = find(NAMES[which])?;
        if text[name.end..].contains(NAMES[which]) {
            return None; // the name is written twice
        }
        let mut spans = vec![(name, Kind::Name)];
        spans.extend(find(IDS[which]).map(|id| (id, Kind::Id)));
        // Arguments are one JSON object, or they reach from the first name to the last value.
        let arguments: Value = call(which, 2).arguments.into();
        let objects = text[from..].match_indices('{').map(|(start, _)| from + start);
        let object = objects.into_iter().find_map(|start| {
            let (value, rest) = json::read_first(&text[start..])?;
            (value == arguments).then(|| start..text.len() - rest.len())
        });
        spans.push(match object {
            Some(object) => (object, Kind::Json),
            None => {
                let (first, last) = (find(KEYS[0])?, find(VALUES[which][1])?);
                (first.start..last.end, Kind::Fields)
            }
        });
        spans.sort_by_key(|(span, _)| span.start);
        let apart = spans.windows(2).all(|pair| pair[0].0.end <= pair[1].0.start);
        let closed = spans.iter().all(|(span, kind)| {
            *kind != Kind::Fields || span.end >= spans.last().map_or(0, |last| last.0.end)
        });
        (apart && closed).then_some(Self { spans })
    }
}

/// Returns the two tools of the calls.
fn tools() -> [ToolSchema; 2] {
    NAMES.map(|name| {
        let parameters = json!({"type": "object", "properties": {}, "additionalProperties": true});
        ToolSchema(json!({"type": "function", "function": {"name": name, "description": "d", "parameters": parameters}}))
    })
}

/// Returns call number `which` with the first `arguments` of its arguments.
fn call(which: usize, arguments: usize) -> ToolCall {
    let arguments = KEYS.iter().zip(VALUES[which]).take(arguments);
    ToolCall {
        id: Some(IDS[which].to_string()),
        name: NAMES[which].to_string(),
        arguments: arguments
            .map(|(key, value)| (key.to_string(), json!(value)))
            .collect(),
    }
}

/// Returns the texts between the arguments of a JSON object.
fn json_part(object: &str) -> Option<Part> {
    let (_, rest) = object.split_once(&format!("\"{}\"", KEYS[0]))?;
    let (key_separator, rest) = rest.split_once(&format!("\"{}\"", VALUES[0][0]))?;
    let (item_separator, _) = rest.split_once(&format!("\"{}\"", KEYS[1]))?;
    Some(Part::Json {
        item_separator: item_separator.to_string(),
        key_separator: key_separator.to_string(),
    })
}

/// Returns the JSON object that a call is as a whole, with its name and arguments in it, if it is
/// one.
fn object(one: &str, between: Option<&str>) -> Option<CallObject> {
    let arguments: Value = call(0, 2).arguments.into();
    one.match_indices('{').find_map(|(start, _)| {
        let (Value::Object(object), rest) = json::read_first(&one[start..])? else {
            return None;
        };
        // The keys of name and arguments are those with the probe's values.
        let key_of = |wanted: &Value| {
            object
                .iter()
                .find(|(_, value)| *value == wanted)
                .map(|(key, _)| key.clone())
        };
        let name = key_of(&json!(NAMES[0]))?;
        key_of(&arguments)?;
        let (open, close) = (one[..start].trim(), rest.trim());
        // A list of calls: brackets around the object that do not belong to the text before it.
        let listed = open.strip_suffix('[').zip(close.strip_prefix(']'));
        let list =
            listed.is_some() && between.is_none_or(|between| open.len() > 1 || !between.contains(open));
        let (open, close) = listed.filter(|_| list).unwrap_or((open, close));
        Some(CallObject {
            open: open.trim().to_string(),
            close: close.trim().to_string(),
            list,
            name,
            strict: false,
        })
    })
}

/// Returns true if calls with values of all types are read back from the template's text.
fn is_read_back(probe: &Probe, syntax: &CallSyntax) -> bool {
    // 1. A call with an argument of every type, and texts that look like other types.
    let properties = json!({
        "text": {"type": "string"}, "lines": {"type": "string"}, "digits": {"type": "string"}, "whole": {"type": "integer"},
        "part": {"type": "number"}, "flag": {"type": "boolean"}, "none": {"type": "null"}, "list": {"type": "array"},
        "object": {"type": "object"}
    });
    let parameters = json!({"type": "object", "properties": properties});
    let tools = NAMES.map(|name| {
        ToolSchema(json!({"type": "function", "function": {"name": name, "parameters": parameters}}))
    });
    let full = json!({
        "text": "a \"b\" <c> & d", "lines": "x\ny", "digits": "7", "whole": -3, "part": 0.5, "flag": false, "none": null,
        "list": ["a", {"b": [1]}], "object": {"x": {"y": true}}
    });
    let called = |which: usize, arguments: Value| ToolCall {
        arguments: arguments.as_object().cloned().unwrap_or_default(),
        ..call(which, 0)
    };
    // 2. Render calls, read them back, and compare.
    let same = |calls: Vec<ToolCall>| {
        let read = probe
            .reply(calls.clone())
            .and_then(|text| syntax.read(&text, &tools));
        read.is_some_and(|(said, read)| {
            let equal = |(a, b): (&ToolCall, &ToolCall)| a.name == b.name && a.arguments == b.arguments;
            said.is_empty() && read.len() == calls.len() && read.iter().zip(&calls).all(equal)
        })
    };
    // 3. One call, a call without arguments, and several calls if a turn can hold them.
    let alone = same(vec![called(0, full.clone())]) && same(vec![called(1, json!({}))]);
    let several = || {
        syntax.between.is_none()
            || same(vec![
                called(0, json!({})),
                called(1, full.clone()),
                called(0, json!({"whole": 1})),
            ])
    };
    alone && several()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_template_writes_calls_as_hermes_does() {
        let template = ChatTemplate::hermes("<|im_end|>").unwrap();
        assert_eq!(template.call_syntax(), Some(&CallSyntax::hermes()));
    }

    #[test]
    fn a_way_that_cannot_be_read_back_is_not_known() {
        let with = |call: &str| {
            let source = "{% for m in messages %}{{ m.content }}{% for call in m.tool_calls or [] %}"
                .to_string()
                + call
                + "{% endfor %}<end>{% endfor %}";
            let template = ChatTemplate::new(&source, &Map::new()).unwrap();
            template.call_syntax().cloned()
        };
        assert_eq!(
            with("{{ call.function.name }} is called"),
            None,
            "without its arguments"
        );
        assert_eq!(
            with("<call>{{ call.function.name }}</call>{{ call.function.arguments.values() | list }}"),
            None
        );
        let hermes = r#"<tool_call>{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}</tool_call>"#;
        assert!(with(hermes).is_some());
    }
}
