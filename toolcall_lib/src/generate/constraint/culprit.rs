//! Compiles a grammar. If llguidance refuses it, finds the schema that it refuses, and explains
//! why.

use super::grammar::{Answer, Grammar, unsupported, unsupported_json};
use crate::error::{Error, Result, shortened};
use crate::tokens::Grammars;
use crate::tool::ToolSchema;
use llguidance::Matcher;
use llguidance::api::TopLevelGrammar;
use serde_json::{Value, json};

/// Compiles a grammar.
///
/// # Errors
/// A schema that llguidance refuses; the error names the tool and the argument.
pub(super) fn compiled(grammars: &Grammars, grammar: &Grammar<'_>) -> Result<Matcher> {
    compile(grammars, grammar).map_err(|problem| culprit(grammars, grammar, problem))
}

/// Compiles a grammar without looking for the tool that an error is about.
fn compile(grammars: &Grammars, grammar: &Grammar<'_>) -> Result<Matcher> {
    let grammar = TopLevelGrammar::from_lark(grammar.lark()?);
    let mut matcher = Matcher::new(grammars.parsers.create_parser(grammar));
    matcher.compute_mask().map_err(failed)?; // reports the errors that `new` hides
    Ok(matcher)
}

/// Finds the tool, and the argument if there is one, whose schema llguidance refused, by compiling
/// each alone; returns the error that names it.
fn culprit(grammars: &Grammars, grammar: &Grammar<'_>, problem: Error) -> Error {
    if !matches!(problem, Error::Library { .. }) {
        return problem;
    }
    let fails = |tool: &ToolSchema| {
        let tools = std::slice::from_ref(tool);
        let json = None;
        compile(
            grammars,
            &Grammar {
                tools,
                json,
                ..*grammar
            },
        )
        .err()
    };
    // 1. The schema of the answer.
    if let Some(json) = grammar.json {
        let alone = Grammar {
            answer: Answer::Text,
            tools: &[],
            ..*grammar
        };
        if let Err(problem) = compile(grammars, &alone) {
            return unsupported_json(in_short(&problem, Some(json)));
        }
    }
    // 2. The first tool that fails alone.
    let Some((tool, problem)) = grammar.tools.iter().find_map(|tool| Some((tool, fails(tool)?))) else {
        return problem;
    };
    // 3. The first argument that fails as its only one.
    let properties = tool.parameters()["properties"]
        .as_object()
        .cloned()
        .unwrap_or_default();
    let argument = properties.iter().find_map(|(name, _)| {
        let mut alone = tool.clone();
        let required = tool.parameters()["required"].as_array().into_iter().flatten();
        let required: Vec<&Value> = required.filter(|other| *other == name).collect();
        alone.0["function"]["parameters"]["required"] = json!(required);
        alone.0["function"]["parameters"]["properties"]
            .as_object_mut()?
            .retain(|other, _| other == name);
        Some((name, fails(&alone)?))
    });
    match argument {
        Some((name, problem)) => {
            let reason = in_short(&problem, properties.get(name));
            unsupported(tool, format!("argument `{name}`: {reason}"))
        }
        None => unsupported(tool, in_short(&problem, None)),
    }
}

/// Explains why llguidance refused a schema, or names the pattern that is not a regular language.
fn in_short(problem: &Error, schema: Option<&Value>) -> String {
    const LONGEST: usize = 160;
    const NO_REGULAR_LANGUAGE: [(&str, &str); 7] = [
        ("(?=", "look-ahead"),
        ("(?!", "look-ahead"),
        ("(?<=", "look-behind"),
        ("(?<!", "look-behind"),
        (r"\1", "a back-reference"),
        (r"\k<", "a back-reference"),
        (r"\b", "a word boundary"),
    ];
    const IN_WORDS: [(&str, &str); 3] = [
        (
            "Unsatisfiable schema",
            "no value fits all keywords, `format` among them",
        ),
        (
            "Unable to determine if regex is empty",
            "the patterns and lengths that apply to one string are too many or too large",
        ),
        (
            "regex parse error",
            "the keyword `pattern` is not supported with this pattern",
        ),
    ];
    // A pattern that is not a regular language is named itself.
    let patterns = schema.map(patterns).unwrap_or_default();
    for (sign, name) in NO_REGULAR_LANGUAGE {
        if let Some(pattern) = patterns.iter().find(|pattern| pattern.contains(sign)) {
            let shown = shortened(pattern, LONGEST);
            return format!("the keyword `pattern` is not supported with {name}, as in {shown}");
        }
    }
    let problem = problem.to_string();
    let known = IN_WORDS.iter().find(|(theirs, _)| problem.contains(theirs));
    let known = known.map(|(_, ours)| ours.to_string());
    known.unwrap_or_else(|| shortened(without_places(&problem), LONGEST))
}

/// Returns a message of llguidance without the places in the grammar that it names.
fn without_places(problem: &str) -> &str {
    let reason = problem.rsplit("failed to compile JSON schema: ").next();
    let reason = reason.and_then(|reason| reason.split(" while processing ").next());
    reason.unwrap_or(problem)
}

/// Returns all values of `pattern` in a schema.
fn patterns(schema: &Value) -> Vec<&str> {
    match schema {
        Value::Object(object) => {
            let own = object.get("pattern").and_then(Value::as_str);
            own.into_iter()
                .chain(object.values().flat_map(patterns))
                .collect()
        }
        Value::Array(items) => items.iter().flat_map(patterns).collect(),
        _ => Vec::new(),
    }
}

/// Makes an error from one of llguidance, without the lines of the grammar that it quotes after
/// their number and a bar.
pub(super) fn failed(problem: impl std::fmt::Display) -> Error {
    const LONGEST: usize = 300;
    let problem = problem.to_string();
    let is_quoted = |line: &str| {
        let number = line.split_once('|').map(|(number, _)| number.trim());
        number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let lines = problem.lines().take_while(|line| !is_quoted(line));
    let said: Vec<&str> = lines.flat_map(str::split_whitespace).collect();
    Error::library("constrained decoding")(shortened(&said.join(" "), LONGEST))
}
