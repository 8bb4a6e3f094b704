//! The grammar of a reply, in llguidance's dialect of Lark with JSON schemas in it.
//!
//! `start` is an optional thought followed by `answer`; `answer` is text without a call, calls, or
//! text and then calls; `calls` holds one rule per tool, made from the parts of the template's call
//! syntax.

use super::fields::Typed;
use super::lark::{around, common_prefix, escaped, literal, optional, separators, text_without};
use super::schema;
use crate::error::{Error, Result};
use crate::syntax::{CallSyntax, Part, tags};
use crate::template::Thought;
use crate::tool::{Checker, ToolSchema};
use serde_json::Value;

/// Content of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Text without a call.
    Text,
    /// Text, calls, or calls after text.
    TextOrCalls,
    /// Calls alone.
    Calls,
}

/// Everything that shapes the grammar of a reply.
pub(super) struct Grammar<'a> {
    pub thought: Thought,
    pub answer: Answer,
    /// JSON schema that an answer without calls must fit; without it, any text.
    pub json: Option<&'a Value>,
    /// Allows more than one call.
    pub parallel: bool,
    /// Tools that may be called.
    pub tools: &'a [ToolSchema],
    pub syntax: &'a CallSyntax,
}

impl Grammar<'_> {
    /// Writes the grammar.
    ///
    /// # Errors
    /// A schema that calls cannot be constrained to; the error names the tool and the argument.
    pub fn lark(&self) -> Result<String> {
        // A thought before calls or JSON ends with an empty line; before text, the text contains
        // it.
        let think_end = literal(tags::THINK_END);
        let gap = if self.answer == Answer::Calls || self.json.is_some() {
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
        // llguidance reads a reply that only ends a thought as an answer from its first tag on, so
        // the thought may not even mention a call.
        rules.push(format!("thought[lazy]: THOUGHT {think_end}"));
        rules.push(format!("THOUGHT: {}", text_without(&[around(tags::CALL)])));
        rules.extend(self.answer("answer", &[]));
        if let Some(schema) = self.json {
            rules.push(json_rule(schema)?);
        }
        if self.answer != Answer::Text {
            rules.extend(self.calls()?);
        }
        Ok(rules.join("\n"))
    }

    /// Returns the rule `name`: text without a call, or text up to the mark of the first call and
    /// the rest of the calls. `but` are patterns that the text must not match.
    fn answer(&self, name: &str, but: &[String]) -> Vec<String> {
        let terminal = name.to_uppercase();
        let (mark, end) = (self.syntax.marker(), self.syntax.end_marker());
        let end: Vec<String> = end.map(around).into_iter().collect();
        // Without a mark, any reply that begins with a call's first letter is a call.
        let call = mark.map_or_else(|| format!(r"(?s:\s*{}.*)", self.first_letter()), around);
        let plain = format!("{terminal}: {}", text_without(&[&[call], &end[..], but].concat()));
        let begin = mark.map_or(String::new(), literal);
        let (lead, _) = self.begin();
        match (self.answer, mark) {
            (Answer::Text, _) if self.json.is_some() => vec![format!("{name}: json")],
            (Answer::TextOrCalls, _) if self.json.is_some() => {
                vec![format!("{name}: json | {} {begin} calls", optional(lead))]
            }
            (Answer::Text, _) => vec![format!("{name}: {terminal}"), plain],
            (Answer::Calls, _) => vec![format!("{name}: {} {begin} calls", optional(lead))],
            (Answer::TextOrCalls, None) => vec![format!("{name}: {terminal} | calls"), plain],
            (Answer::TextOrCalls, Some(_)) => vec![
                format!("{name}: {terminal} | {name}_call calls"),
                plain,
                format!("{name}_call[lazy]: BEFORE_{terminal}_CALL {begin}"),
                format!("BEFORE_{terminal}_CALL: {}", text_without(&[&end, but].concat())),
            ],
        }
    }

    /// Splits the begin of the syntax at the mark of the first call: the texts before and after
    /// it.
    fn begin(&self) -> (&str, &str) {
        let mark = self.syntax.marker();
        mark.and_then(|mark| self.syntax.begin.split_once(mark))
            .unwrap_or(("", &self.syntax.begin))
    }

    /// Returns the first visible character of a call, as a pattern.
    fn first_letter(&self) -> String {
        let first: String = self.syntax.begin.trim_start().chars().take(1).collect();
        escaped(&first)
    }

    /// Returns the rule `calls`: everything after the mark that begins the first call.
    fn calls(&self) -> Result<Vec<String>> {
        let syntax = self.syntax;
        let (_, begin) = self.begin();
        // The text after a call is common to "another call follows" and "this was the last", so it
        // is written once and the grammar decides after it.
        let between = syntax.between.as_deref().filter(|_| self.parallel);
        let common = between.map_or(0, |between| common_prefix(between, &syntax.end));
        let (behind, end) = syntax.end.split_at(if between.is_some() { common } else { 0 });
        let more = between.map_or(String::new(), |between| {
            format!("({} call {})*", optional(&between[common..]), optional(behind))
        });
        // calls: begin call behind (between call behind)* end
        let mut rules = vec![
            format!(
                "calls: {} call {} {more} {}",
                optional(begin),
                optional(behind),
                optional(end)
            ),
            format!(
                "call: {}",
                (0..self.tools.len())
                    .map(|i| format!("call_{i}"))
                    .collect::<Vec<_>>()
                    .join(" | ")
            ),
        ];
        for (i, tool) in self.tools.iter().enumerate() {
            rules.extend(self.call(&format!("call_{i}"), tool)?);
        }
        Ok(rules)
    }

    /// Returns the rule `name` for a call of `tool`: the parts of the syntax in their order.
    fn call(&self, name: &str, tool: &ToolSchema) -> Result<Vec<String>> {
        let (mut parts, mut rules) = (Vec::new(), Vec::new());
        for part in &self.syntax.call {
            match part {
                Part::Text(text) => parts.push(literal(text)),
                Part::Name => parts.push(self.name(tool)),
                // Mistral's ids: nine letters or digits.
                Part::Id => parts.push("/[a-zA-Z0-9]{9}/".to_string()),
                // One object that fits the schema.
                Part::Json {
                    item_separator,
                    key_separator,
                } => {
                    parts.push(format!("{name}_arguments"));
                    let mut schema = prepared(tool, schema::arguments)?;
                    schema["x-guidance"] = separators(item_separator, key_separator);
                    rules.push(format!("{name}_arguments: %json {schema}"));
                }
                // Rules for each argument.
                Part::Fields(fields) => {
                    parts.push(format!("{name}_arguments"));
                    let typed = Typed {
                        fields,
                        ends: [self.syntax.between.as_deref(), Some(self.syntax.end.as_str())],
                    };
                    rules.extend(prepared(tool, |plain| {
                        typed.rules(&format!("{name}_arguments"), plain)
                    })?);
                }
            }
        }
        rules.insert(0, format!("{name}: {}", parts.join(" ")));
        Ok(rules)
    }

    /// Returns the literal of a tool's name, with JSON's escapes where the syntax quotes it.
    fn name(&self, tool: &ToolSchema) -> String {
        let written = Value::from(tool.name()).to_string();
        match self.syntax.quotes_name() {
            true => literal(written.trim_matches('"')),
            false => literal(tool.name()),
        }
    }
}

/// Returns the rule `json` for an answer that fits `schema`.
fn json_rule(schema: &Value) -> Result<String> {
    let in_words = |problem: String| unsupported_json(problem.replace("function.parameters", "schema"));
    let checker = Checker::of(schema).map_err(in_words)?;
    let mut plain = schema::arguments(&checker.plain).map_err(|(path, problem)| match &*path {
        "" => unsupported_json(problem),
        path => unsupported_json(format!("`{path}`: {problem}")),
    })?;
    plain["x-guidance"] = separators(", ", ": ");
    Ok(format!("json: %json {plain}"))
}

/// Applies `make` to a tool's schema in plain form.
///
/// # Errors
/// A schema that is too large or that `make` refuses; the error names the tool and the argument.
fn prepared<T>(
    tool: &ToolSchema,
    make: impl FnOnce(&Value) -> std::result::Result<T, schema::Unsupported>,
) -> Result<T> {
    refuse_large(tool)?;
    let checker = Checker::of(tool.parameters()).map_err(|problem| unsupported(tool, problem))?;
    make(&checker.plain).map_err(|(path, problem)| {
        let place = match &*path {
            "" => String::new(),
            path => format!("argument `{path}`: "),
        };
        unsupported(tool, format!("{place}{problem}"))
    })
}

/// Refuses a schema that would take minutes to compile, and names its largest argument.
fn refuse_large(tool: &ToolSchema) -> Result<()> {
    const MOST: usize = 10_000;
    let parameters = tool.parameters();
    if size(parameters) <= MOST {
        return Ok(());
    }
    let arguments = parameters["properties"].as_object().into_iter().flatten();
    let largest = arguments.map(|(name, schema)| (size(schema), name)).max();
    Err(unsupported(
        tool,
        match largest {
            Some((size, name)) => format!(
                "argument `{name}`: the schema is too large: {size} values; all arguments together may have {MOST}"
            ),
            None => format!("the schema is too large: more than {MOST} values"),
        },
    ))
}

/// Counts the values in a JSON value, itself included.
fn size(value: &Value) -> usize {
    let inner: usize = match value {
        Value::Array(items) => items.iter().map(size).sum(),
        Value::Object(fields) => fields.values().map(size).sum(),
        _ => 0,
    };
    1 + inner
}

/// Advice for callers of the library, of the program and of the server alike: not all of them can
/// turn the constraint off.
const ADVICE: &str = "constrained decoding cannot follow this schema; change it";

/// Makes the error for a schema that calls cannot be constrained to.
pub(super) fn unsupported(tool: &ToolSchema, problem: impl std::fmt::Display) -> Error {
    Error::invalid(
        format!("schema of tool `{}`", tool.name()),
        format!("{problem}; {ADVICE}"),
    )
}

/// Makes the error for a schema that an answer cannot be constrained to.
pub(super) fn unsupported_json(problem: impl std::fmt::Display) -> Error {
    Error::invalid("json_schema", format!("{problem}; {ADVICE}"))
}
