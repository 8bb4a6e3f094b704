//! What a reply may be, as a grammar of llguidance: Lark with JSON schemas in it.

use super::limits::{self, MOST_NODES};
use super::schema::{self, Unsupported};
use crate::error::{Error, Result};
use crate::template::{CallSyntax, tags};
use crate::tool::ToolSchema;
use serde_json::{Value, json};

/// What an answer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Text without a call.
    Text,
    /// Text, calls, or calls after text.
    TextOrCalls,
    /// Calls alone.
    Calls,
}

/// Where a reply may hold a thought before the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Thought {
    Nowhere,
    /// The reply may begin with one.
    First,
    /// The prompt ends inside of one.
    Begun,
}

/// The form of a reply.
pub(super) struct Grammar<'a> {
    pub thought: Thought,
    pub answer: Answer,
    /// More than one call is allowed.
    pub parallel: bool,
    /// What may be called.
    pub tools: &'a [ToolSchema],
    pub syntax: &'a CallSyntax,
}

impl Grammar<'_> {
    /// In llguidance's dialect of Lark.
    ///
    /// # Errors
    /// A schema that cannot be held to, with the argument.
    pub fn lark(&self) -> Result<String> {
        let think_end = literal(tags::THINK_END);
        let gap = if self.answer == Answer::Calls {
            r#""\n\n""#
        } else {
            ""
        };
        let mut rules = match self.thought {
            Thought::Nowhere => vec!["start: answer".to_string()],
            Thought::Begun => vec![format!("start: thought {gap} answer")],
            Thought::First => {
                let think = literal(tags::THINK);
                let mut rules = vec![format!("start: unthought | {think} thought {gap} answer")];
                rules.extend(self.answer("unthought", &[format!("(?s:{}.*)", tags::THINK)]));
                rules
            }
        };
        // A reply that only ends a thought is read from its first tag on, so a call may not even be mentioned.
        rules.push(format!("thought[lazy]: THOUGHT {think_end}"));
        rules.push(format!("THOUGHT: {}", text_without(&[around(tags::CALL)])));
        rules.extend(self.answer("answer", &[]));
        if self.answer != Answer::Text {
            rules.extend(self.calls()?);
        }
        Ok(rules.join("\n"))
    }

    /// The rule `name`: text without a tag, or text up to the tag that begins a call and the rest of the calls.
    fn answer(&self, name: &str, but: &[String]) -> Vec<String> {
        let [call, call_end] = [tags::CALL, tags::CALL_END].map(around);
        let terminal = name.to_uppercase();
        let tag = literal(tags::CALL);
        let plain = format!(
            "{terminal}: {}",
            text_without(&[&[call, call_end.clone()], but].concat())
        );
        match self.answer {
            Answer::Text => vec![format!("{name}: {terminal}"), plain],
            Answer::Calls => vec![format!("{name}: {tag} calls")],
            Answer::TextOrCalls => vec![
                format!("{name}: {terminal} | {name}_call calls"),
                plain,
                format!("{name}_call[lazy]: BEFORE_{terminal}_CALL {tag}"),
                format!(
                    "BEFORE_{terminal}_CALL: {}",
                    text_without(&[&[call_end], but].concat())
                ),
            ],
        }
    }

    /// The rule `calls`: what follows the tag that begins the first of them.
    fn calls(&self) -> Result<Vec<String>> {
        let CallSyntax {
            open,
            middle,
            close,
            between,
            ..
        } = self.syntax;
        let open = open.strip_prefix(tags::CALL).unwrap_or(open);
        let next = literal(&format!("{between}{}", tags::CALL));
        let more = if self.parallel {
            format!("({next} call)*")
        } else {
            String::new()
        };
        let mut room = MOST_NODES;
        for tool in self.tools {
            limits::check(tool.parameters(), &mut room).map_err(|problem| refused(tool, problem))?;
        }
        let names: Vec<String> = (0..self.tools.len()).map(|i| format!("call_{i}")).collect();
        let mut rules = vec![
            format!("calls: call {more}"),
            format!("call: {}", names.join(" | ")),
        ];
        for (name, tool) in names.iter().zip(self.tools) {
            let escaped = Value::from(tool.name()).to_string();
            let before = format!("{open}{}{middle}", escaped.trim_matches('"'));
            rules.push(format!(
                "{name}: {} {name}_arguments {}",
                literal(&before),
                literal(close)
            ));
            rules.push(format!("{name}_arguments: %json {}", self.arguments(tool)?));
        }
        Ok(rules)
    }

    fn arguments(&self, tool: &ToolSchema) -> Result<Value> {
        let schema = schema::arguments(tool.parameters());
        let mut schema = schema.map_err(|problem| refused(tool, problem))?;
        schema["x-guidance"] = json!({
            "item_separator": self.syntax.item_separator,
            "key_separator": self.syntax.key_separator,
            "whitespace_flexible": false,
        });
        Ok(schema)
    }
}

/// An argument whose schema calls cannot be held to.
fn refused(tool: &ToolSchema, (path, problem): Unsupported) -> Error {
    let place = match &*path {
        "" => String::new(),
        path => format!("argument `{path}`: "),
    };
    unsupported(tool, format!("{place}{problem}"))
}

/// A schema that calls cannot be held to.
pub(super) fn unsupported(tool: &ToolSchema, problem: impl std::fmt::Display) -> Error {
    let advice = "calls cannot be held to that; change the schema or set `constrained` to false";
    Error::invalid(
        format!("schema of tool `{}`", tool.name()),
        format!("{problem}; {advice}"),
    )
}

fn literal(text: &str) -> String {
    Value::from(text).to_string()
}

/// A pattern of all texts that `tag` stands in.
fn around(tag: &str) -> String {
    format!("(?s:.*{}.*)", tag.replace('/', r"\/"))
}

/// A terminal for any text that matches none of these patterns as a whole.
fn text_without(patterns: &[String]) -> String {
    let but = patterns.iter().map(|pattern| format!(" & ~/{pattern}/"));
    format!("/(?s:.*)/{}", but.collect::<String>())
}
