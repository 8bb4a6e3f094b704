//! Keys that a row and a message may have. An unknown key may carry meaning, so it is refused by
//! name. A key that only says where a row comes from is noted.

use super::form::Form;
use crate::error::{Problem, nearest, nearest_within};
use crate::json;
use crate::tool::PARAMETERS;
use serde_json::{Map, Value};

/// Keys with the content of a row.
pub(super) const ROW: [&str; 8] = [
    "messages",
    "conversations",
    "prompt",
    "completion",
    "tools",
    "functions",
    "system",
    "chat_template_kwargs",
];

/// Keys with the content of a message, in the words of chat templates and of ShareGPT.
const MESSAGE: [&str; 14] = [
    "role",
    "from",
    "content",
    "value",
    "name",
    "tool_calls",
    "function_call",
    "tool_call_id",
    "tool_name",
    "reasoning_content",
    "reasoning",
    "thinking",
    "weight",
    "train",
];

/// Keys of messages that say where and when they were made.
const ABOUT_MESSAGES: [&str; 14] = [
    "id",
    "index",
    "metadata",
    "meta",
    "source",
    "created",
    "created_at",
    "timestamp",
    "model",
    "finish_reason",
    "usage",
    "language",
    "cache_control",
    "annotations",
];

/// Keys of rows that would change what is learnt, each with what to do instead.
const REFUSED: [(&str, &str); 22] = [
    ("chosen", "preferences are not trained; write `messages`"),
    ("rejected", "preferences are not trained; write `messages`"),
    ("image", "only text can be read"),
    ("images", "only text can be read"),
    ("audio", "only text can be read"),
    ("audios", "only text can be read"),
    ("video", "only text can be read"),
    ("videos", "only text can be read"),
    (
        "weight",
        "rows have no weights; set `weight` to 0 in the messages that are not trained",
    ),
    ("train", "leave the row out, or set `train` in its messages"),
    (
        "sample_weight",
        "rows have no weights; leave the row out, or repeat it",
    ),
    (
        "loss_weight",
        "rows have no weights; leave the row out, or repeat it",
    ),
    (
        "loss_mask",
        "set `weight` to 0 in the messages that are not trained",
    ),
    ("enable_thinking", "write it in `chat_template_kwargs`"),
    ("reasoning_effort", "write it in `chat_template_kwargs`"),
    (
        "tool_choice",
        "`tools` lists the tools that may be called; leave out those that may not",
    ),
    ("system_prompt", "write it as `system`"),
    ("system_message", "write it as `system`"),
    ("instruction", "write it as the message of the user"),
    ("chat_template", "the template is that of the model"),
    ("tool_calls", "calls belong in the messages of the assistant"),
    ("function_call", "calls belong in the messages of the assistant"),
];

/// Key of requests that says whether a turn may have several calls.
const PARALLEL: &str = "parallel_tool_calls";

/// Returns false for null, and for an empty string, list or object: they say nothing.
pub(crate) fn says_something(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        _ => true,
    }
}

/// Returns true for a key that rows of some form have.
#[cfg(feature = "parquet")]
pub(crate) fn is_column(key: &str) -> bool {
    let others = [Form::Query, Form::Alpaca];
    ROW.contains(&key) || others.iter().any(|form| form.columns().contains(&key))
}

/// Returns true if a row of this form says something under `key`, and that is read. `None` stands
/// for a row of no form.
pub(crate) fn is_read(form: Option<Form>, key: &str, value: &Value) -> bool {
    is_known(form, key) && says_something(value)
}

/// Returns true for a key with content of a row of this form. A `prompt` next to messages only
/// repeats one of them.
fn is_known(form: Option<Form>, key: &str) -> bool {
    match (form, key) {
        (Some(Form::Messages | Form::ShareGpt), "prompt") => false,
        _ => ROW.contains(&key) || form.is_some_and(|form| form.columns().contains(&key)),
    }
}

/// Returns the problems of the keys of a row of this form, and the keys that are only noted.
pub(super) fn of_row(row: &Map<String, Value>, form: Option<Form>) -> (Vec<Problem>, Vec<String>) {
    let (mut problems, mut noted) = (Vec::new(), Vec::new());
    // A row of no form has a problem already, so that keys of Alpaca are not named again.
    let form = form.or(Some(Form::Alpaca));
    for (key, value) in row
        .iter()
        .filter(|(key, value)| !is_known(form, key) && says_something(value))
    {
        if key == PARALLEL {
            problems.extend(contradiction(row, value));
            continue;
        }
        match refusal(key, value).filter(|_| !ROW.contains(&key.as_str())) {
            Some(problem) => problems.push((key.clone(), problem)),
            None => noted.push(key.clone()),
        }
    }
    (problems, noted)
}

/// Returns the problem of a row that allows no parallel calls beside a turn that has some.
fn contradiction(row: &Map<String, Value>, allowed: &Value) -> Option<Problem> {
    let lists = ["messages", "conversations", "prompt", "completion"];
    let messages = lists.iter().filter_map(|list| row.get(*list)?.as_array());
    let mut calls = messages
        .flatten()
        .filter_map(|message| message["tool_calls"].as_array());
    let is_broken = *allowed == false && calls.any(|calls| calls.len() > 1);
    let problem = "is false, and a turn has several calls; leave it out, or split the turn";
    is_broken.then(|| (PARALLEL.to_string(), problem.to_string()))
}

fn refusal(key: &str, value: &Value) -> Option<String> {
    if key == "tool_choice" && value == "auto" {
        return None; // only repeats the rows
    }
    if let Some((_, why)) = REFUSED.iter().find(|(refused, _)| *refused == key) {
        return Some(format!("is not read: {why}"));
    }
    if key == "label" && value.is_boolean() {
        return Some("is not read: preferences are not trained; write `messages`".into());
    }
    let list = value.as_str().filter(|text| text.trim_start().starts_with('['));
    let list = list.and_then(|text| json::read(text).ok());
    let items = list.as_ref().unwrap_or(value).as_array();
    let items = items.map_or(&[][..], Vec::as_slice);
    let looks_like = |keys: &[&str]| {
        items
            .iter()
            .any(|item| keys.iter().any(|key| !item[key].is_null()))
    };
    // Under such a name, a list of things with names is one of tools.
    let of_tools = ["tool", "function", "api"];
    let is_named = words(key)
        .iter()
        .any(|word| of_tools.contains(&word.trim_end_matches('s')));
    let meant = nearest_within(key, ROW, 2).or_else(|| {
        let is_tool =
            |item: &Value| item["function"]["name"].is_string() || item["name"].is_string() && is_named;
        let tools = (looks_like(&PARAMETERS) || items.iter().any(is_tool)).then_some("tools");
        tools.or_else(|| looks_like(&["role", "from"]).then_some("messages"))
    });
    meant.map(|meant| format!("is not a known key of a row; did you mean `{meant}`?"))
}

/// Returns the words of a key, such as `api` and `list` for `apiList` and for `API_list`.
fn words(key: &str) -> Vec<String> {
    let mut spaced = String::new();
    for letter in key.chars() {
        if letter.is_uppercase() && spaced.ends_with(char::is_lowercase) {
            spaced.push(' ');
        }
        spaced.push(letter);
    }
    let words = spaced.split(|sign: char| !sign.is_alphanumeric());
    words.map(str::to_lowercase).collect()
}

/// Returns the problems of the keys of the message at `field`, and the keys that are only noted.
pub(super) fn of_message(message: &Map<String, Value>, field: &str) -> (Vec<Problem>, Vec<String>) {
    let (mut problems, mut noted) = (Vec::new(), Vec::new());
    for (key, _) in message
        .iter()
        .filter(|(key, value)| !MESSAGE.contains(&key.as_str()) && says_something(value))
    {
        if ABOUT_MESSAGES.contains(&key.as_str()) {
            noted.push(key.clone());
        } else {
            let hint =
                nearest(key, MESSAGE).map_or(String::new(), |near| format!("; did you mean `{near}`?"));
            let problem = format!("is not a known key of a message{hint}");
            problems.push((format!("{field}.{key}"), problem));
        }
    }
    (problems, noted)
}
