//! Requests that a larger model writes, each checked before it is kept.
//!
//! 1. The teacher is shown one tool and writes requests with their arguments, as JSON lines.
//! 2. A request is kept if its arguments fit the schema and are in its words, and the same words
//!    were not written before.
//! 3. The teacher reads it again, with all tools, and must come to the same call.

use super::found::find;
use super::words::words;
use crate::conversation::{Conversation, Message};
use crate::error::{Error, Result, shortened};
use crate::tool::{ToolCall, ToolSchema};
use serde_json::{Map, Value, json};
use std::collections::HashSet;
use std::fmt;
use std::time::Duration;

/// Number of requests that are asked for at once.
const AT_ONCE: usize = 20;

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(300);

/// Longest answer that is read, in bytes.
const LONGEST_ANSWER: u64 = 4 << 20;

/// Longest part of an answer that a message quotes, in characters.
const LONGEST_QUOTE: usize = 200;

/// A model behind an API like OpenAI's that writes requests.
#[derive(Clone)]
pub struct Teacher {
    /// Address at which its API begins, such as `http://localhost:8080/v1`.
    pub url: String,
    /// Name of the model in the API.
    pub model: String,
    /// The key that the API wants, if it wants one.
    pub api_key: Option<String>,
    /// Number of requests to keep for each tool.
    pub requests: usize,
}

impl fmt::Debug for Teacher {
    /// Leaves the key out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url, model, .. } = self;
        write!(f, "Teacher {{ url: {url:?}, model: {model:?} }}")
    }
}

/// Requests that a teacher wrote for one tool.
#[derive(Debug, Default)]
pub(super) struct Lesson {
    pub(super) rows: Vec<Conversation>,
    /// Requests that were thrown away, with the reason.
    pub(super) refused: Vec<(String, String)>,
}

impl Teacher {
    /// Returns requests for the tool, each a row with one call.
    pub(super) fn write(&self, tool: &ToolSchema, tools: &[ToolSchema]) -> Result<Lesson> {
        let mut lesson = Lesson::default();
        let mut seen: HashSet<Vec<String>> = HashSet::new();
        let rounds = 2 * self.requests.div_ceil(AT_ONCE);
        for round in 0..rounds {
            if lesson.rows.len() >= self.requests {
                break;
            }
            let answer = self.ask(&wanted(tool, round))?;
            let written = objects(&answer);
            if written.is_empty() {
                let reason = "the teacher's reply has no JSON object on a line of its own";
                lesson
                    .refused
                    .push((shortened(&answer, LONGEST_QUOTE), reason.to_string()));
            }
            for line in written {
                let said = line["request"].as_str().unwrap_or_default().to_string();
                match self.checked(&said, &line["arguments"], tool, tools, &mut seen)? {
                    Ok(call) => lesson.rows.push(Conversation {
                        messages: vec![Message::user(said), Message::assistant_calls(vec![call])],
                        tools: tools.to_vec(),
                        ..Conversation::default()
                    }),
                    Err(reason) => lesson.refused.push((said, reason)),
                }
            }
        }
        lesson.rows.truncate(self.requests);
        Ok(lesson)
    }

    /// Returns the call of a request, or the reason why the request is thrown away.
    fn checked(
        &self,
        said: &str,
        arguments: &Value,
        tool: &ToolSchema,
        tools: &[ToolSchema],
        seen: &mut HashSet<Vec<String>>,
    ) -> Result<std::result::Result<ToolCall, String>> {
        let Value::Object(arguments) = arguments else {
            return Ok(Err("it has no `arguments`".into()));
        };
        if let Err(reason) = sound(said, arguments, tool) {
            return Ok(Err(reason));
        }
        if !seen.insert(words(said).into_iter().collect()) {
            return Ok(Err("it repeats the words of an earlier request".into()));
        }
        let call = ToolCall {
            id: None,
            name: tool.name().to_string(),
            arguments: arguments.clone(),
        };
        let again = self.ask(&second_reading(said, tools))?;
        let same = objects(&again).into_iter().next().is_some_and(|read| {
            read["name"] == call.name && read["arguments"] == Value::Object(call.arguments.clone())
        });
        Ok(match same {
            true => Ok(call),
            false => Err("the teacher read it differently the second time".into()),
        })
    }

    /// Returns the teacher's answer to a message.
    fn ask(&self, message: &str) -> Result<String> {
        let url = format!("{}/chat/completions", self.url.trim_end_matches('/'));
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            .http_status_as_error(false) // the body says why
            .build()
            .into();
        let mut request = agent.post(&url);
        if let Some(key) = &self.api_key {
            request = request.header("Authorization", format!("Bearer {key}"));
        }
        let body = json!({
            "model": self.model,
            "messages": [{"role": "user", "content": message}],
            "temperature": 1.0,
        });
        let doing = format!("asking the teacher at {url}");
        let mut response = request.send_json(&body).map_err(Error::library(&doing))?;
        let status = response.status();
        let body = response.body_mut().with_config().limit(LONGEST_ANSWER);
        let text = body.read_to_string().map_err(Error::library(&doing))?;
        let answer: Value = serde_json::from_str(&text).unwrap_or_default();
        if !status.is_success() {
            let message = answer["error"]["message"].as_str().unwrap_or(&text);
            return Err(Error::invalid(
                &doing,
                format!("status {status}: {}", shortened(message, LONGEST_QUOTE)),
            ));
        }
        let content = answer["choices"][0]["message"]["content"].as_str();
        content.map(str::to_string).ok_or_else(|| {
            let got = shortened(&text, LONGEST_QUOTE);
            Error::invalid(&doing, format!("expected choices[0].message.content, got {got}"))
        })
    }
}

fn wanted(tool: &ToolSchema, round: usize) -> String {
    let people = [
        "short orders",
        "questions",
        "statements of a situation that imply the wish",
        "casual messages with context",
    ];
    format!(
        "Here is a tool that an assistant can call:\n{}\n\nWrite {AT_ONCE} different messages of users for which the \
         assistant calls this tool once. Most of them should be {}. Vary names, numbers, dates and length. Every \
         argument must be said in the message, exactly as the call has it. Answer with one JSON object per line and \
         nothing else: {{\"request\": \"…\", \"arguments\": {{…}}}}",
        tool.0["function"],
        people[round % people.len()]
    )
}

fn second_reading(said: &str, tools: &[ToolSchema]) -> String {
    let tools: Vec<String> = tools.iter().map(|tool| tool.0["function"].to_string()).collect();
    format!(
        "An assistant has these tools:\n{}\n\nA user says: {said:?}\n\nWhich call does the assistant make? Answer with \
         one JSON object and nothing else: {{\"name\": \"…\", \"arguments\": {{…}}}}; the name is null if no tool fits.",
        tools.join("\n")
    )
}

/// Returns the JSON objects of an answer: one per line, or in a list, with any text around them.
fn objects(answer: &str) -> Vec<Value> {
    let whole = answer
        .trim()
        .trim_start_matches("```json")
        .trim_matches('`')
        .trim();
    match serde_json::from_str(whole) {
        Ok(Value::Array(objects)) => return objects,
        Ok(object @ Value::Object(_)) => return vec![object],
        _ => {}
    }
    let lines = answer.lines().map(|line| line.trim().trim_end_matches(','));
    lines
        .filter(|line| line.starts_with('{'))
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

/// Checks that the arguments fit the schema, and that every value is in the words, unless it is
/// chosen from a few.
fn sound(said: &str, arguments: &Map<String, Value>, tool: &ToolSchema) -> std::result::Result<(), String> {
    if said.trim().is_empty() {
        return Err("it has no `request`".into());
    }
    if let Some((place, problem)) = tool.check(arguments).into_iter().next() {
        return Err(format!("{place}: {problem}"));
    }
    let properties = &tool.parameters()["properties"];
    for (name, value) in arguments {
        let chosen = properties[name]["enum"].is_array() || value.is_boolean();
        if !chosen && !stands(said, value) {
            return Err(format!("`{name}` is {value}, which the request does not say"));
        }
    }
    Ok(())
}

/// Returns true if the value, or every part of it, is in the words.
fn stands(said: &str, value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields.values().all(|value| stands(said, value)),
        Value::Array(items) => items.iter().all(|item| stands(said, item)),
        Value::Bool(_) | Value::Null => true,
        value => find(said, value).is_some(),
    }
}
