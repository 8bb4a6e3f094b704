//! Decides if the calls of a reply are right: the leaderboard's AST checker, step by step.

use super::category::Rule;
use super::fault::{Fault, Outcome, crash, wrong};
use super::row::{Answer, Row};
use super::values::{check_argument, is_optional};
use crate::tool::ToolCall;
use serde_json::{Map, Value};

/// Returns what is wrong with these calls as a reply to a row; `None` if they are right.
///
/// `calls` holds the calls that could be read; none if the reply has a malformed one.
pub fn check(row: &Row, calls: &[ToolCall]) -> Option<String> {
    let outcome = match row.category.rule() {
        Rule::Irrelevance if calls.is_empty() => Ok(()),
        Rule::Irrelevance => wrong("a call where no tool fits"),
        Rule::Relevance if !calls.is_empty() => Ok(()),
        Rule::Relevance => wrong("no call where a tool fits"),
        _ if calls.len() != row.answers.len() => wrong(format!(
            "{} calls where {} are right",
            calls.len(),
            row.answers.len()
        )),
        Rule::Simple => check_call(row.functions.first(), &row.answers[0], &calls[0]),
        Rule::Multiple => check_call(function(row, &row.answers[0]), &row.answers[0], &calls[0]),
        Rule::Parallel => check_parallel(row, calls),
    };
    match outcome {
        Ok(()) => None,
        Err(Fault::Wrong(problem)) => Some(problem),
        Err(Fault::Crash(problem)) => Some(format!("the leaderboard's checker fails: {problem}")),
    }
}

/// Returns the tool that an answer calls.
fn function<'a>(row: &'a Row, answer: &Answer) -> Option<&'a Map<String, Value>> {
    row.functions
        .iter()
        .find(|function| function["name"] == *answer.name)
}

/// Checks calls in any order: each answer takes the first remaining call that is right for it.
fn check_parallel(row: &Row, calls: &[ToolCall]) -> Outcome {
    let mut left: Vec<&ToolCall> = calls.iter().collect();
    for answer in &row.answers {
        let mut found = None;
        for (index, call) in left.iter().enumerate() {
            match check_call(function(row, answer), answer, call) {
                Ok(()) => {
                    found = Some(index);
                    break;
                }
                Err(Fault::Wrong(_)) => {}
                Err(crash) => return Err(crash),
            }
        }
        match found {
            Some(index) => drop(left.remove(index)),
            None => return wrong(format!("no call is right for `{}`", answer.name)),
        }
    }
    Ok(())
}

fn check_call(function: Option<&Map<String, Value>>, answer: &Answer, call: &ToolCall) -> Outcome {
    let Some(function) = function else {
        return crash(format!("the row has no tool `{}`", answer.name));
    };
    if function["name"] != *call.name {
        return wrong(format!("`{}` is called, not {}", call.name, function["name"]));
    }
    let parameters = function.get("parameters").unwrap_or(&Value::Null);
    let required = parameters["required"].as_array().into_iter().flatten();
    for name in required.filter_map(Value::as_str) {
        if !call.arguments.contains_key(name) {
            return wrong(format!("`{name}` is missing"));
        }
    }
    for (name, value) in &call.arguments {
        let schema = parameters["properties"].get(name);
        let (Some(schema), Some(right)) = (schema, answer.arguments.get(name).and_then(Value::as_array))
        else {
            return wrong(format!("`{name}` is not an argument of the answer"));
        };
        check_argument(name, value, schema, right)?;
    }
    let left_out = answer.arguments.iter().find(|(name, right)| {
        let optional = right.as_array().is_some_and(|right| is_optional(right));
        !optional && !call.arguments.contains_key(*name)
    });
    match left_out {
        Some((name, _)) => wrong(format!("`{name}` is missing, and may not be left out")),
        None => Ok(()),
    }
}
