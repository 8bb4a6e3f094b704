//! The data set that is stored in every form.

use serde_json::{Value, json};
use std::path::PathBuf;
use tempfile::TempDir;
use toolcall_lib::Dataset;

use crate::common::tiny_tokenizer::{END_OF_TURN, tiny_tokenizer};
use toolcall_lib::template::ChatTemplate;
use toolcall_lib::tokens::{LossMode, Sequence, sequences};

pub fn tools() -> Value {
    json!([
        {"type": "function", "function": {"name": "water", "description": "Waters plants.", "parameters": {
            "type": "object",
            "properties": {"minutes": {"type": "integer", "description": "How long."}, "room": {"type": "string", "description": "Where."}},
            "required": ["minutes"]}}},
        {"type": "function", "function": {"name": "dim", "description": "Dims a lamp.", "parameters": {
            "type": "object",
            "properties": {"room": {"type": "string", "description": "Where."}},
            "required": ["room"]}}}
    ])
}

fn call(name: &str, arguments: &Value) -> Value {
    json!({"type": "function", "function": {"name": name, "arguments": arguments}})
}

/// Three conversations: a call with its answer, two calls in a turn, and no call. Strings contain
/// characters that CSV has to quote.
pub fn messages() -> Vec<Value> {
    vec![
        json!([
            {"role": "user", "content": "Water the \"ferns\",\nplease: 5 minutes."},
            {"role": "assistant", "content": "", "tool_calls": [call("water", &json!({"minutes": 5, "room": "den"}))]},
            {"role": "tool", "content": "ok", "name": "water"},
            {"role": "assistant", "content": "Done – 5 minutes."}
        ]),
        json!([
            {"role": "user", "content": "Water for 3, dim the hall."},
            {"role": "assistant", "content": "",
             "tool_calls": [call("water", &json!({"minutes": 3})), call("dim", &json!({"room": "hall"}))]}
        ]),
        json!([
            {"role": "system", "content": "Be short."},
            {"role": "user", "content": "Hello."},
            {"role": "assistant", "content": "Hi, 日本."}
        ]),
    ]
}

/// The rows as objects, with a column that is not read.
pub fn rows() -> Vec<Value> {
    let messages = messages().into_iter().enumerate();
    messages
        .map(|(id, messages)| json!({"messages": messages, "tools": tools(), "id": id}))
        .collect()
}

/// The rows as CSV: lists as JSON.
pub fn csv() -> String {
    let quoted = |text: String| format!("\"{}\"", text.replace('"', "\"\""));
    let lines = rows().into_iter().map(|row| {
        let cells = [
            row["messages"].to_string(),
            row["tools"].to_string(),
            row["id"].to_string(),
        ];
        cells.map(quoted).join(",") + "\r\n"
    });
    "messages,tools,id\r\n".to_string() + &lines.collect::<String>()
}

pub fn jsonl() -> String {
    rows().iter().map(|row| format!("{row}\n")).collect()
}

/// Writes a file in its own folder.
pub fn file(name: &str, content: impl AsRef<[u8]>) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    (folder, path)
}

pub fn load(name: &str, content: impl AsRef<[u8]>) -> Dataset {
    let (_folder, path) = file(name, content);
    Dataset::load(&path).unwrap()
}

#[track_caller]
pub fn refused(name: &str, content: impl AsRef<[u8]>) -> String {
    let (folder, path) = file(name, content);
    let error = Dataset::load(&path).unwrap_err().to_string();
    error.replace(&format!("{}/", folder.path().display()), "")
}

/// Returns the token ids of a row, each with a flag that is set for targets.
pub fn tokens(data: &Dataset) -> Vec<Sequence> {
    let (template, tokenizer) = (ChatTemplate::hermes(END_OF_TURN).unwrap(), tiny_tokenizer());
    let made = data
        .rows
        .iter()
        .map(|row| sequences(row, &template, &tokenizer, LossMode::Assistant).unwrap());
    made.flatten().collect()
}

/// Returns the tokens that the data set trains, in any stored form.
pub fn expected() -> Vec<Sequence> {
    let expected = tokens(&load("data.json", Value::from(rows()).to_string()));
    assert_eq!(expected.len(), 4, "one for each turn of the assistant");
    expected
}
