//! Data files: every format that is read, every problem that is reported, and the guarantees of the
//! splits.

use proptest::prelude::*;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use toolcall_lib::dataset::Dataset;
use toolcall_lib::{Conversation, Error, Message, Role, ToolSchema};

fn timer() -> Value {
    json!({"type": "function", "function": {
        "name": "start_timer",
        "description": "Start a timer.",
        "parameters": {
            "type": "object",
            "properties": {
                "duration": {"type": "integer", "description": "Seconds."},
                "label": {"type": "string", "description": "Its name."}
            },
            "required": ["duration"]
        }
    }})
}

fn reminder() -> Value {
    json!({"type": "function", "function": {
        "name": "create_reminder",
        "description": "Create a reminder.",
        "parameters": {
            "type": "object",
            "properties": {"note": {"type": "string", "description": "What to remind of."}},
            "required": ["note"]
        }
    }})
}

fn call(name: &str, arguments: Value) -> Value {
    json!({"type": "function", "function": {"name": name, "arguments": arguments}})
}

/// Four messages: request, call, answer of the tool, report.
fn messages(seconds: u32) -> Value {
    json!([
        {"role": "user", "content": format!("Set a timer for {seconds} seconds.")},
        {"role": "assistant", "tool_calls": [call("start_timer", json!({"duration": seconds}))]},
        {"role": "tool", "name": "start_timer", "content": seconds.to_string()},
        {"role": "assistant", "content": "Done."}
    ])
}

/// Writes `text` to a file of that name in a new folder, and loads it.
fn load_text(name: &str, text: &str) -> (tempfile::TempDir, PathBuf, Result<Dataset, Error>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    let data = Dataset::load(&path);
    (folder, path, data)
}

fn load(value: &Value) -> Dataset {
    load_text("data.json", &value.to_string()).2.unwrap()
}

/// The problems of a file, as `row N: field: problem`.
fn problems(name: &str, text: &str) -> Vec<String> {
    let (_folder, path, data) = load_text(name, text);
    let Err(Error::Rows(problems)) = data else {
        panic!("expected problems of rows, got {data:?}")
    };
    assert!(problems.iter().all(|problem| problem.file == path));
    problems
        .iter()
        .map(|one| format!("row {}: {}: {}", one.row, one.field, one.problem))
        .collect()
}

/// The problems of one row with these messages and both tools.
fn row_problems(messages: Value) -> Vec<String> {
    problems(
        "row.json",
        &json!({"messages": messages, "tools": [timer(), reminder()]}).to_string(),
    )
}

fn expected_rows() -> Vec<Conversation> {
    let tools = vec![ToolSchema::new(timer()).unwrap()];
    let row = |seconds: u32| {
        let call = serde_json::from_value(json!({"name": "start_timer", "arguments": {"duration": seconds}}));
        Conversation {
            messages: vec![
                Message::user(format!("Set a timer for {seconds} seconds.")),
                Message::assistant_calls(vec![call.unwrap()]),
                Message::tool("start_timer", seconds.to_string()),
                Message::assistant("Done."),
            ],
            tools: tools.clone(),
            ..Conversation::default()
        }
    };
    vec![row(30), row(40)]
}

#[test]
fn columns_rows_and_lines_hold_the_same_conversations() {
    let columns = json!({"messages": [messages(30), messages(40)], "tools": [[timer()], [timer()]]});
    let one_list = json!({"messages": [messages(30), messages(40)], "tools": [timer()]});
    let texts =
        json!({"messages": [messages(30), messages(40)], "tools": [json!([timer()]).to_string(), [timer()]]});
    let one_text = json!({"messages": [messages(30), messages(40)], "tools": json!([timer()]).to_string()});
    let row = |seconds| json!({"messages": messages(seconds), "tools": [timer()], "id": seconds});
    let rows = json!([row(30), row(40)]);
    for value in [columns, one_list, texts, one_text, rows] {
        assert_eq!(load(&value).rows, expected_rows(), "{value}");
    }
    let lines = format!("{}\n\n{}\n", row(30), row(40));
    for name in ["data.jsonl", "data.json"] {
        assert_eq!(load_text(name, &lines).2.unwrap().rows, expected_rows());
    }
    assert_eq!(load(&row(30)).rows, expected_rows()[..1]);
    assert_eq!(
        load_text("bom.json", &format!("\u{feff}{}", row(30)))
            .2
            .unwrap()
            .rows,
        expected_rows()[..1]
    );
}

#[test]
fn rows_without_tools_are_loaded_and_can_be_given_tools() {
    let (_folder, path, data) = load_text(
        "data.json",
        &json!({"messages": [messages(30), messages(40)]}).to_string(),
    );
    assert!(data.unwrap().rows.iter().all(|row| row.tools.is_empty()));
    let tools = [ToolSchema::new(timer()).unwrap()];
    assert_eq!(
        Dataset::load_with_tools(&path, &tools).unwrap().rows,
        expected_rows()
    );
}

#[test]
fn calls_are_read_flat_and_with_arguments_as_json_text() {
    for call in [
        json!({"name": "start_timer", "arguments": {"duration": 30}}),
        json!({"name": "start_timer", "arguments": "{\"duration\": 30}"}),
        json!({"id": "a", "type": "function", "function": {"name": "start_timer", "arguments": "{\"duration\":30}"}}),
    ] {
        let mut messages = messages(30);
        messages[1] = json!({"role": "assistant", "content": null, "tool_calls": [call.clone()]});
        let mut expected = expected_rows()[0].clone();
        if let Some(id) = call.get("id") {
            let id = id.as_str().map(str::to_string);
            expected.messages[1].tool_calls[0].id = id.clone();
            expected.messages[2].tool_call_id = id;
        }
        assert_eq!(
            load(&json!([{"messages": messages, "tools": [timer()]}])).rows,
            [expected]
        );
    }
}

#[test]
fn sharegpt_files_are_read() {
    let conversations = json!([
        {"from": "human", "value": "Set a timer for 30 seconds."},
        {"from": "function_call", "value": "{\"name\": \"start_timer\", \"arguments\": {\"duration\": 30}}"},
        {"from": "observation", "value": "30"},
        {"from": "gpt", "value": "Done."}
    ]);
    let flat = timer()["function"].clone();
    let row =
        json!({"conversations": conversations, "tools": json!([flat]).to_string(), "system": "Be short."});
    let mut expected = expected_rows().remove(0);
    assert_eq!(load(&json!([row])).rows[0].messages[1..], expected.messages[..]);
    expected.messages.insert(0, Message::system("Be short."));
    assert_eq!(load(&json!([row])).rows, [expected.clone()]);
    assert_eq!(
        load(
            &json!({"conversations": [row["conversations"]], "tools": [row["tools"]], "system": "Be short."})
        )
        .rows,
        [expected]
    );
}

#[test]
fn a_sharegpt_message_can_hold_several_calls() {
    let calls = json!([
        {"name": "start_timer", "arguments": {"duration": 30}},
        {"name": "create_reminder", "arguments": "{\"note\": \"tea\"}"}
    ]);
    let data = load(&json!([{"tools": [timer(), reminder()], "conversations": [
        {"from": "human", "value": "Set a timer for 30 seconds and remind me of the tea."},
        {"from": "function_call", "value": calls.to_string()},
        {"from": "observation", "value": "30"},
        {"from": "observation", "value": "noted"},
        {"from": "gpt", "value": "Done."}
    ]}]));
    let messages = &data.rows[0].messages;
    assert_eq!(messages[1].tool_calls[1].arguments["note"], "tea");
    let names: Vec<_> = messages[2..4]
        .iter()
        .map(|message| message.name.as_deref())
        .collect();
    assert_eq!(names, [Some("start_timer"), Some("create_reminder")]);
}

#[test]
fn tool_messages_without_a_name_are_matched_by_the_id_of_the_call() {
    let call = |id: &str, name: &str, arguments: Value| json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}});
    let data = load(&json!([{"messages": [
        {"role": "user", "content": "Both, please."},
        {"role": "assistant", "tool_calls": [
            call("a", "start_timer", json!({"duration": 30})), call("b", "create_reminder", json!({"note": "tea"}))
        ]},
        {"role": "tool", "tool_call_id": "b", "content": "noted"},
        {"role": "tool", "tool_call_id": "a", "content": {"seconds": 30}},
        {"role": "assistant", "content": [{"type": "text", "text": "Done."}]}
    ]}]));
    let messages = &data.rows[0].messages;
    let answer = |id: &str, name: &str, content: &str| Message {
        tool_call_id: Some(id.into()),
        ..Message::tool(name, content)
    };
    assert_eq!(messages[2], answer("b", "create_reminder", "noted"));
    assert_eq!(messages[3], answer("a", "start_timer", r#"{"seconds":30}"#));
    assert_eq!(messages[4], Message::assistant("Done."));
}

#[test]
fn nulls_that_arrow_left_are_dropped() {
    let mut messages = messages(30);
    messages[1]["tool_calls"][0]["function"]["arguments"] =
        json!({"duration": 30, "label": null, "note": null});
    let mut other = messages.clone();
    other[1]["tool_calls"][0]["function"]["arguments"] =
        json!({"duration": 40, "label": "tea", "note": null});
    for message in messages.as_array_mut().unwrap() {
        for key in ["content", "name", "tool_calls", "reasoning_content"] {
            let object = message.as_object_mut().unwrap();
            object.entry(key).or_insert(Value::Null);
        }
    }
    let mut tool = timer();
    tool["function"]["parameters"]["properties"]["note"] = Value::Null;
    let mut note = reminder();
    note["function"]["parameters"]["properties"]["duration"] = Value::Null;
    note["function"]["parameters"]["properties"]["label"] = Value::Null;
    let data = load(&json!({"messages": [messages, other], "tools": [[tool, note], [tool, note]]}));
    assert_eq!(data.rows[0].messages, expected_rows()[0].messages);
    assert_eq!(
        data.rows[0].tools,
        [timer(), reminder()].map(|tool| ToolSchema::new(tool).unwrap())
    );
    let text = serde_json::to_string(&data.rows).unwrap();
    assert!(!text.contains("null"), "{text}");
}

#[test]
fn all_problems_of_all_rows_are_reported_with_file_row_and_field() {
    let mut wrong_type = messages(30);
    wrong_type[1]["tool_calls"][0]["function"]["arguments"]["duration"] = json!("30");
    let mut unknown = messages(30);
    unknown[1]["tool_calls"][0]["function"]["name"] = json!("stop_timer");
    unknown[2]["name"] = json!("stop_timer");
    let value = json!({"messages": [messages(30), wrong_type, unknown], "tools": [timer()]});
    let (_folder, path, data) = load_text("data.json", &value.to_string());
    let file = path.display();
    assert_eq!(
        data.unwrap_err().to_string(),
        format!(
            "2 problem(s) in the data:\n\
             {file}: row 1: messages[1].tool_calls[0].arguments.duration: expected integer, got string \"30\"\n\
             {file}: row 2: messages[1].tool_calls[0].name: no tool `stop_timer` in the row's tools (start_timer)"
        )
    );
}

#[test]
fn roles_must_be_in_order() {
    let user = json!({"role": "user", "content": "Hi."});
    let reply = json!({"role": "assistant", "content": "Hello."});
    let system = json!({"role": "system", "content": "Be short."});
    for (messages, expected) in [
        (
            json!([reply]),
            "row 0: messages[0]: starts with the assistant; a user message comes first",
        ),
        (
            json!([user, system, reply]),
            "row 0: messages[1]: a system message must be the first",
        ),
        (
            json!([user, user, reply]),
            "row 0: messages[1]: a second user message in a row; join the two",
        ),
        (
            json!([user, reply, reply]),
            "row 0: messages[2]: a second assistant message in a row; join the two",
        ),
        (
            json!([user, reply, user]),
            "row 0: messages[2]: the last message has no reply; end with the assistant's",
        ),
    ] {
        assert!(
            row_problems(messages.clone()).contains(&expected.to_string()),
            "{:?}",
            row_problems(messages)
        );
    }
}

#[test]
fn every_call_needs_its_answer_and_every_answer_its_call() {
    let user = json!({"role": "user", "content": "Both, please."});
    let calls = json!({"role": "assistant", "tool_calls": [
        call("start_timer", json!({"duration": 30})), call("create_reminder", json!({"note": "tea"}))
    ]});
    let timed = json!({"role": "tool", "name": "start_timer", "content": "30"});
    let noted = json!({"role": "tool", "name": "create_reminder", "content": "noted"});
    let done = json!({"role": "assistant", "content": "Done."});
    let good = |messages: Value| load(&json!([{"messages": messages, "tools": [timer(), reminder()]}]));
    good(json!([user, calls, timed, noted, done]));
    good(json!([user, calls, noted, timed, done]));
    good(json!([user, calls, timed, noted]));
    good(json!([user, calls]));
    assert_eq!(
        row_problems(json!([user, calls, timed, done])),
        ["row 0: messages[1].tool_calls: no tool message answers `create_reminder`"]
    );
    assert_eq!(
        row_problems(json!([user, calls, timed])),
        ["row 0: messages[1].tool_calls: no tool message answers `create_reminder`"]
    );
    assert_eq!(
        row_problems(json!([user, calls, timed, timed, noted, done])),
        ["row 0: messages[3]: answers `start_timer`, which the assistant turn before it did not call"]
    );
    assert_eq!(
        row_problems(json!([user, {"role": "tool", "content": "30"}, done])),
        ["row 0: messages[1]: a tool message that answers no call of the assistant turn before it"]
    );
}

#[test]
fn what_a_row_holds_must_fit() {
    let user = json!({"role": "user", "content": "Go."});
    let calls = |call: Value| json!([user, {"role": "assistant", "tool_calls": [call]}]);
    let assistant = |content: Value| json!([user, {"role": "assistant", "content": content}]);
    let doubly = Value::String(json!("{\"duration\": 30}").to_string());
    for (messages, expected) in [
        (
            json!("Hi."),
            "messages: found a string, expected a list of messages",
        ),
        (
            json!([user, 7]),
            "messages[1]: found a number, expected an object with role and content",
        ),
        (
            json!([{"content": "Hi."}]),
            "messages[0].role: found null, expected system, user, assistant or tool",
        ),
        (
            json!([{"role": "boss"}]),
            "messages[0].role: found `boss`, expected system, user",
        ),
        (
            assistant(json!(7)),
            "messages[1].content: found a number, expected a string",
        ),
        (
            assistant(json!([7])),
            "messages[1].content[0]: found a number, expected a part such as",
        ),
        (
            assistant(json!(" ")),
            "messages[1]: an empty assistant turn; nothing to learn from",
        ),
        (
            assistant(json!(null)),
            "messages[1]: an empty assistant turn; nothing to learn from",
        ),
        (
            json!([{"role": "user"}, {"role": "assistant", "content": "Yes."}]),
            "messages[0].content: an empty user message",
        ),
        (
            json!([user, {"role": "assistant", "tool_calls": {}}]),
            "messages[1].tool_calls: found an object, expected a list of calls",
        ),
        (
            calls(json!({"arguments": {}})),
            "messages[1].tool_calls[0].name: missing; a call is",
        ),
        (
            calls(call("start_timer", doubly)),
            "messages[1].tool_calls[0].arguments: the JSON is encoded twice",
        ),
        (
            calls(call("start_timer", json!("{duration"))),
            "messages[1].tool_calls[0].arguments: the string is not valid JSON",
        ),
        (
            calls(call("start_timer", json!([30]))),
            "messages[1].tool_calls[0].arguments: found an array, expected an object",
        ),
        (
            calls(call("start_timer", json!({}))),
            "messages[1].tool_calls[0].arguments.duration: ",
        ),
        (
            json!([{"role": "user", "content": "Go.", "tool_calls": [call("start_timer", json!({"duration": 1}))]}, {"role": "assistant", "content": "Yes."}]),
            "messages[0].tool_calls: only an assistant message can call tools",
        ),
    ] {
        let found = row_problems(messages);
        assert!(found[0].starts_with(&format!("row 0: {expected}")), "{found:?}");
    }
}

#[test]
fn tools_of_a_row_must_be_schemas_with_different_names() {
    let row = |tools: Value| json!([{"messages": messages(30), "tools": tools}]).to_string();
    let twice = json!(json!([timer()]).to_string()).to_string();
    for (tools, expected) in [
        (json!(7), "tools: found a number, expected a list of schemas"),
        (json!([{"type": "function"}]), "tools[0]: tool schema: "),
        (json!("[{"), "tools: the string is not valid JSON"),
        (json!(twice), "tools: the JSON is encoded twice"),
        (
            json!([timer(), timer()]),
            "tools[1]: a second tool `start_timer`; names must differ",
        ),
    ] {
        let found = problems("rows.json", &row(tools));
        assert!(found[0].starts_with(&format!("row 0: {expected}")), "{found:?}");
    }
}

#[test]
fn bad_json_is_reported_with_line_and_column() {
    let (_folder, path, data) = load_text("data.json", "{\n  \"messages\": [,]\n}");
    assert_eq!(
        data.unwrap_err().to_string(),
        format!(
            "{}: line 2, column 16: not valid JSON: expected value",
            path.display()
        )
    );
    let row = json!({"messages": messages(30)});
    assert_eq!(
        problems("data.jsonl", &format!("{row}\n{{\"messages\": [}}\n7\n")),
        [
            "row 1: line 2, column 15: not valid JSON: expected value",
            "row 2: row: found a number, expected an object such as {\"messages\": […], \"tools\": […]}"
        ]
    );
}

#[test]
fn files_without_rows_or_with_uneven_columns_are_refused() {
    let error = |text: &str| load_text("data.json", text).2.unwrap_err().to_string();
    assert!(error("[]").contains("no rows; expected"));
    assert!(error("").contains("line 1, column 0: not valid JSON: EOF"));
    assert!(error("{}").contains("row 0: messages: missing; a row is"));
    assert!(error("[{\"messages\": []}]").contains("row 0: messages: empty; a conversation has"));
    let uneven = json!({"messages": [messages(30), messages(40)], "tools": [[timer()]]});
    assert!(
        error(&uneven.to_string())
            .ends_with("`tools`: 1 entries for 2 rows; expected one per row, or one for all")
    );
    assert!(
        matches!(Dataset::load("no/such/file.json"), Err(Error::Io { path, .. }) if path == Path::new("no/such/file.json"))
    );
}

#[test]
fn saving_and_loading_gives_the_same_rows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("saved.json");
    let mut rows = expected_rows();
    rows[0]
        .messages
        .insert(0, Message::system("Say “hi”, then\nstop."));
    Dataset::from(rows.clone()).save(&path).unwrap();
    assert_eq!(Dataset::load(&path).unwrap().rows, rows);
    let columns: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!(
        (
            columns["messages"].as_array().unwrap().len(),
            columns["tools"].as_array().unwrap().len()
        ),
        (2, 2)
    );
    // one row per line
    let lines = folder.path().join("saved.jsonl");
    Dataset::from(rows.clone()).save(&lines).unwrap();
    assert_eq!(std::fs::read_to_string(&lines).unwrap().lines().count(), 2);
    assert_eq!(Dataset::load(&lines).unwrap().rows, rows);
    // no other ending
    let other = folder.path().join("saved.csv");
    let refused = Dataset::from(rows.clone()).save(&other).unwrap_err().to_string();
    assert!(refused.contains("name a file `.json` or `.jsonl`"), "{refused}");
    assert!(!other.exists());
    rows.iter_mut().for_each(|row| row.tools.clear());
    Dataset::from(rows.clone()).save(&path).unwrap();
    assert!(!std::fs::read_to_string(&path).unwrap().contains("\"tools\""));
    assert_eq!(Dataset::load(&path).unwrap().rows, rows);
}

#[test]
fn dedup_keeps_the_first_of_equal_rows_whatever_the_order_of_arguments() {
    let with = |arguments: &str| {
        let mut messages = messages(30);
        messages[1]["tool_calls"][0]["function"]["arguments"] = json!(arguments);
        messages
    };
    let (one, other) = (
        with(r#"{"duration": 30, "label": "tea"}"#),
        with(r#"{"label": "tea", "duration": 30}"#),
    );
    let data = load(&json!({"messages": [messages(40), one, other, messages(40)], "tools": [timer()]}));
    assert_eq!(data.dedup().rows, data.rows[..2]);
    let problem = data.dedup().problem(1, "messages", "too long");
    assert_eq!((problem.row, problem.file.ends_with("data.json")), (1, true));
}

#[test]
fn no_conversation_crosses_a_split_and_the_seed_decides() {
    let rows: Vec<Value> = (0..60).map(|row| messages(row % 20)).collect();
    let data = load(&json!({"messages": rows, "tools": [timer()]}));
    let (train, held_out) = data.split(0.25, 7).unwrap();
    assert_eq!((train.rows.len(), held_out.rows.len()), (45, 15));
    assert!(held_out.rows.iter().all(|row| !train.rows.contains(row)));
    let again = data.split(0.25, 7).unwrap();
    assert_eq!((&again.0.rows, &again.1.rows), (&train.rows, &held_out.rows));
    assert_ne!(data.split(0.25, 8).unwrap().1.rows, held_out.rows);
    let original = held_out.problem(0, "messages", "too long").row;
    assert_eq!(data.rows[original], held_out.rows[0]);
}

#[test]
fn a_split_holds_out_at_least_one_conversation_and_leaves_one() {
    let data = load(&json!({"messages": [messages(30), messages(40)], "tools": [timer()]}));
    for fraction in [0.01, 0.5, 0.99] {
        let (train, held_out) = data.split(fraction, 0).unwrap();
        assert_eq!((train.rows.len(), held_out.rows.len()), (1, 1));
    }
    for fraction in [0.0, 1.0, -1.0, f64::NAN] {
        assert!(
            data.split(fraction, 0)
                .unwrap_err()
                .to_string()
                .contains("between 0 and 1")
        );
    }
    let same = load(&json!({"messages": [messages(30), messages(30)], "tools": [timer()]}));
    assert!(
        same.split(0.5, 0)
            .unwrap_err()
            .to_string()
            .contains("1 different conversations")
    );
}

#[test]
fn joined_datasets_remember_where_each_row_comes_from() {
    let (_a, first, data) = load_text("first.json", &json!([{"messages": messages(30)}]).to_string());
    let mut joined = data.unwrap();
    let (_b, second, data) = load_text("second.json", &json!([{"messages": messages(40)}]).to_string());
    joined.extend(data.unwrap());
    joined.extend(Dataset::from(expected_rows()));
    let at = |row: usize| joined.problem(row, "", "");
    assert_eq!((at(0).file, at(1).file, at(1).row), (first, second, 0));
    assert_eq!((at(3).file, at(3).row), (PathBuf::from("memory"), 1));
}

#[test]
fn a_description_counts_rows_calls_and_turns() {
    let talk = json!([{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Hello."}]);
    let data =
        load(&json!({"messages": [messages(30), messages(30), messages(40), talk], "tools": [timer()]}));
    assert_eq!(
        data.describe().to_string(),
        "rows: 4 (3 different)\n\
         lists of tools: 1\n\
         rows without a call: 1\n\
         calls: start_timer: 3\n\
         rows by assistant turns: 1: 1, 2: 3"
    );
}

/// Arbitrary JSON with the keys and words that the reader looks for.
fn any_json() -> impl Strategy<Value = Value> {
    let word = prop::sample::select(vec![
        "messages",
        "conversations",
        "tools",
        "system",
        "role",
        "from",
        "content",
        "value",
        "tool_calls",
        "function",
        "name",
        "arguments",
        "user",
        "assistant",
        "tool",
        "human",
        "gpt",
        "function_call",
        "observation",
        "start_timer",
        "parameters",
        "properties",
        "required",
        "type",
        "{\"name\": 1}",
        "[{}]",
        "\"\\\"a\\\"\"",
        "",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        word.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((word.clone(), inner), 0..6).prop_map(|pairs| pairs
                .into_iter()
                .map(|(key, value)| (key.to_string(), value))
                .collect()),
        ]
    })
}

proptest! {
    #[test]
    fn no_json_makes_the_loader_panic(value in any_json()) {
        let wrapped = json!({"messages": [value, messages(30)], "tools": value});
        for text in [value.to_string(), wrapped.to_string(), json!([{"messages": messages(30), "tools": value}]).to_string()] {
            if let Ok(data) = load_text("data.json", &text).2 {
                prop_assert!(data.rows.iter().all(|row| row.messages.last().unwrap().role != Role::User));
                let _ = (data.dedup(), data.describe(), data.split(0.5, 1).is_ok());
            }
        }
        let _ = serde_json::from_value::<Conversation>(value);
    }
}
