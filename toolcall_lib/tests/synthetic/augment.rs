//! Rows for a user's tools.

use super::{folder, lists};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::TcpListener;
use toolcall_lib::dataset::Dataset;
use toolcall_lib::synthetic::{AugmentConfig, Augmented, Teacher, augment};
use toolcall_lib::tool::load_tools;
use toolcall_lib::{Conversation, Message, Role, ToolCall, ToolSchema};

fn tools() -> Vec<ToolSchema> {
    let rent = json!({"name": "rent_boat", "description": "Rents a boat.", "parameters": {
        "type": "object",
        "properties": {
            "kind": {"type": "string", "enum": ["row_boat", "SB2"], "description": "SB2 is the sailing boat."},
            "hours": {"type": "integer", "description": "For how long.", "minimum": 1, "maximum": 8}
        },
        "required": ["kind", "hours"]
    }});
    let close = json!({"name": "close_harbor", "description": "Closes the harbor.", "parameters": {
        "type": "object", "properties": {}
    }});
    [rent, close].map(|tool| ToolSchema::new(tool).unwrap()).to_vec()
}

fn row(said: &str, name: &str, arguments: Value) -> Conversation {
    Conversation {
        messages: vec![
            Message::user(said),
            Message::assistant_calls(vec![ToolCall::new(name, arguments).unwrap()]),
        ],
        tools: tools(),
        ..Conversation::default()
    }
}

fn made(rows: Vec<Conversation>, teacher: Option<Teacher>) -> Augmented {
    let config = AugmentConfig {
        rows: 800,
        seed: 1,
        teacher,
    };
    augment(&lists(), &tools(), &Dataset::from(rows), &config).unwrap()
}

/// Returns the messages of users before a single call of the tool with these arguments.
fn said_for<'a>(made: &'a Augmented, name: &str, arguments: &Value) -> Vec<&'a str> {
    let rows = made.data.rows.iter();
    let rows = rows.filter(|row| {
        row.messages[1].tool_calls.len() == 1
            && row.messages[1].tool_calls[0].name == name
            && Value::Object(row.messages[1].tool_calls[0].arguments.clone()) == *arguments
    });
    rows.map(|row| row.messages[0].content.as_str()).collect()
}

#[test]
fn sentences_of_the_user_come_back_with_other_values_and_words() {
    let own = row(
        "Lend me the sailing boat for 3 hours.",
        "rent_boat",
        json!({"kind": "SB2", "hours": 3}),
    );
    let made = made(vec![own.clone()], None);
    assert_eq!(made.data.rows[0], own);
    assert_eq!((made.own_rows, made.wrong), (1, 0));
    let other: Vec<&str> = (1..=8)
        .flat_map(|hours| {
            let arguments = json!({"kind": "row_boat", "hours": hours});
            said_for(&made, "rent_boat", &arguments)
        })
        .collect();
    assert!(
        other
            .iter()
            .any(|said| said.to_lowercase().contains("row boat for ")),
        "{other:?}"
    );
    assert!(
        other.len() > 2 && other.windows(2).any(|pair| pair[0] != pair[1]),
        "{other:?}"
    );
    let all: Vec<&ToolCall> = made
        .data
        .rows
        .iter()
        .flat_map(|row| &row.messages)
        .flat_map(|m| &m.tool_calls)
        .collect();
    let hours = all
        .iter()
        .filter_map(|call| call.arguments.get("hours"))
        .filter_map(Value::as_i64);
    let (mut low, mut high) = (i64::MAX, 0);
    hours.for_each(|hours| (low, high) = (low.min(hours), high.max(hours)));
    assert!(low >= 1 && high <= 8, "{low} to {high}: outside of the schema");
}

#[test]
fn a_tool_without_rows_gets_requests_from_its_description_and_negatives_are_there() {
    let made = made(Vec::new(), None);
    let said = said_for(&made, "close_harbor", &json!({}));
    assert!(
        said.iter()
            .any(|said| said.to_lowercase().contains("close the harbor")),
        "{said:?}"
    );
    let refused = made
        .data
        .rows
        .iter()
        .filter(|row| row.messages.iter().all(|m| m.tool_calls.is_empty()));
    let share = refused.count() as f64 / made.data.rows.len() as f64;
    assert!((0.08..0.4).contains(&share), "{share} of the rows call nothing");
    let beside = made.data.rows.iter().any(|row| row.tools.len() > tools().len());
    assert!(beside, "no list has tools of others");
    assert!(made.to_string().contains("from its description alone"), "{made}");
}

#[test]
fn requests_about_the_same_things_that_no_tool_serves_are_refused() {
    let made = made(Vec::new(), None);
    let boat = |row: &&Conversation| row.messages[0].content.to_lowercase().contains(" the boat");
    let refused = |row: &&Conversation| row.messages[1].content.starts_with("Sorry, I have no tool");
    let beyond: Vec<_> = made.data.rows.iter().filter(boat).filter(refused).collect();
    assert!(beyond.len() > 1, "{}", beyond.len());
    let rents = |row: &&&Conversation| row.messages[0].content.to_lowercase().contains("rent the boat");
    assert_eq!(beyond.iter().filter(rents).count(), 0, "a tool rents boats");
}

#[test]
fn requests_in_a_hurry_have_the_values_and_little_else() {
    let made = made(Vec::new(), None);
    let said = said_for(&made, "rent_boat", &json!({"kind": "row_boat", "hours": 4}));
    assert!(
        said.iter()
            .any(|said| said.to_lowercase().contains("row boat, hours 4")),
        "{said:?}"
    );
}

#[test]
fn every_call_fits_the_schema_of_its_tool() {
    let own = row(
        "Lend me the sailing boat for 3 hours.",
        "rent_boat",
        json!({"kind": "SB2", "hours": 3}),
    );
    for row in &made(vec![own], None).data.rows {
        for call in row.messages.iter().flat_map(|message| &message.tool_calls) {
            let tool = row.tools.iter().find(|tool| tool.name() == call.name).unwrap();
            assert_eq!(tool.check(&call.arguments), [], "{call:?}");
        }
    }
}

#[test]
fn the_files_of_the_example_load_and_share_nothing() {
    let own = folder().join("own");
    let tools = load_tools(own.join("tools.json")).unwrap();
    let load = |name: &str| Dataset::load(own.join(name)).unwrap().rows;
    let (rows, held_out) = (load("rows.json"), load("heldout.json"));
    assert_eq!((tools.len(), rows.len(), held_out.len()), (5, 20, 60));
    let said = |rows: &[Conversation]| -> Vec<String> {
        rows.iter()
            .map(|row| row.messages[0].content.to_lowercase())
            .collect()
    };
    let (rows, held_out) = (said(&rows), said(&held_out));
    assert!(held_out.iter().all(|said| !rows.contains(said)));
}

#[test]
fn tools_are_read_from_lists_lines_and_objects_and_refused_by_number() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tools.json");
    let (flat, wrapped) = (json!({"name": "a", "description": "A."}), &tools()[1].0);
    let forms = [
        json!([flat, wrapped]).to_string(),
        json!({"tools": [flat, wrapped]}).to_string(),
        format!("{flat}\n{wrapped}\n"),
    ];
    for text in forms {
        std::fs::write(&path, &text).unwrap();
        let names: Vec<String> = load_tools(&path)
            .unwrap()
            .iter()
            .map(|tool| tool.name().to_string())
            .collect();
        assert_eq!(names, ["a", "close_harbor"], "{text}");
    }
    std::fs::write(&path, json!([flat, {"description": "B."}]).to_string()).unwrap();
    let error = load_tools(&path).unwrap_err().to_string();
    assert!(error.contains("tools.json: tool 1: "), "{error}");
}

/// Returns a local teacher; `answer` gives its reply to a message, or `404 ` and the message of an
/// error.
fn teacher(answer: fn(&str) -> String) -> Teacher {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = Vec::new();
            let mut buffer = [0; 4096];
            let body = loop {
                let read = stream.read(&mut buffer).unwrap();
                request.extend_from_slice(&buffer[..read]);
                let text = String::from_utf8_lossy(&request).into_owned();
                let Some((head, body)) = text.split_once("\r\n\r\n") else {
                    continue;
                };
                let length = head.to_lowercase();
                let length = length
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
                if body.len() >= length.unwrap_or(0) {
                    break body.to_string();
                }
            };
            let asked: Value = serde_json::from_str(&body).unwrap();
            let said = answer(asked["messages"][0]["content"].as_str().unwrap());
            let (status, reply) = match said.strip_prefix("404 ") {
                Some(why) => ("404 Not Found", json!({"error": {"message": why}})),
                None => ("200 OK", json!({"choices": [{"message": {"content": said}}]})),
            };
            let reply = reply.to_string();
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                reply.len()
            );
            stream.write_all(format!("{head}{reply}").as_bytes()).unwrap();
        }
    });
    Teacher {
        url,
        model: "large".into(),
        api_key: Some("secret".into()),
        requests: 2,
    }
}

/// Makes rows for one tool with these parameters.
fn made_for(parameters: Value, rows: Vec<Conversation>) -> toolcall_lib::Result<Augmented> {
    let tool = json!({"name": "find_order", "description": "Finds an order.", "parameters": parameters});
    let tools = [ToolSchema::new(tool).unwrap()];
    let config = AugmentConfig {
        rows: 60,
        seed: 1,
        teacher: None,
    };
    augment(&lists(), &tools, &Dataset::from(rows), &config)
}

fn own_row(said: &str, arguments: Value) -> Conversation {
    Conversation {
        tools: Vec::new(),
        ..row(said, "find_order", arguments)
    }
}

#[test]
fn any_names_and_schemas_of_arguments_give_calls_that_fit() {
    let order = own_row(
        "Where is order 512 of Ann Lee?",
        json!({"order_value": 512, "buyer": {"full-name": "Ann Lee"}}),
    );
    for (parameters, rows) in [
        (
            json!({"order_value": {"type": "integer"}, "user-id": {"type": "string"}, "a.b": {"type": "number"}}),
            vec![],
        ),
        (
            json!({
                "level": {"type": "integer", "enum": [1, 2, 3], "description": "From 1 to 3."},
                "on": {"enum": [true, null]}
            }),
            vec![],
        ),
        (
            json!({"count": {"anyOf": [{"type": "integer", "minimum": 500}, {"type": "null"}]}}),
            vec![],
        ),
        (
            json!({"size": {"type": ["null", "integer"], "exclusiveMaximum": -5}}),
            vec![],
        ),
        (
            json!({"id": {"type": "integer", "minimum": i64::MIN, "maximum": i64::MAX}}),
            vec![],
        ),
        (json!({"color": {"$ref": "#/$defs/color"}}), vec![]),
        (
            json!({
                "order_value": {"type": "integer"},
                "buyer": {"type": "object", "properties": {"full-name": {"type": "string"}}, "required": ["full-name"]}
            }),
            vec![order],
        ),
        (
            json!({"length": {"type": "float"}, "name": {"type": "str"}}),
            vec![],
        ),
        (
            json!({"filter": {"type": "object", "additionalProperties": true}}),
            vec![own_row("Find red orders.", json!({"filter": {"color": "red"}}))],
        ),
    ] {
        let required: Vec<&String> = parameters.as_object().unwrap().keys().collect();
        let schema = json!({
            "type": "object", "properties": parameters, "required": required,
            "$defs": {"color": {"type": "string", "enum": ["red", "dark_blue"]}}
        });
        let made = made_for(schema, rows).unwrap();
        assert_eq!(made.data.rows.len(), 60, "{parameters}");
        let calls = made
            .data
            .rows
            .iter()
            .flat_map(|row| row.messages.iter().map(move |message| (row, message)));
        let mut seen = 0;
        for (row, call) in
            calls.flat_map(|(row, message)| message.tool_calls.iter().map(move |call| (row, call)))
        {
            let tool = row.tools.iter().find(|tool| tool.name() == call.name).unwrap();
            assert_eq!(tool.check(&call.arguments), [], "{parameters}");
            seen += usize::from(call.name == "find_order");
        }
        assert!(seen > 5, "{parameters}: {seen} calls");
        let said = user_texts_of(&made);
        assert!(
            !said
                .iter()
                .any(|text| text.contains(['{', '}']) || text.to_lowercase().contains("level to 3")),
            "{parameters}: {said:?}"
        );
    }
}

fn user_texts_of(made: &Augmented) -> Vec<String> {
    let made_rows = made.data.rows.iter().skip(made.own_rows);
    let texts = made_rows
        .flat_map(|row| &row.messages)
        .filter(|message| message.role == Role::User);
    texts.map(|message| message.content.clone()).collect()
}

#[test]
fn fields_of_an_object_get_other_values() {
    let buyer = json!({"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]});
    let schema = json!({"type": "object", "properties": {"buyer": buyer}, "required": ["buyer"]});
    let own = own_row(
        "Find the order of Ann Lee.",
        json!({"buyer": {"name": "Ann Lee"}}),
    );
    let made = made_for(schema, vec![own]).unwrap();
    let names: HashSet<String> = made
        .data
        .rows
        .iter()
        .flat_map(|row| &row.messages)
        .flat_map(|message| &message.tool_calls)
        .filter(|call| call.name == "find_order")
        .map(|call| call.arguments["buyer"]["name"].to_string())
        .collect();
    assert!(names.len() > 5, "{names:?}");
}

#[test]
fn rows_that_cannot_be_used_are_refused_by_number_and_reason() {
    let schema = |properties: Value| json!({"type": "object", "properties": properties, "required": ["a"]});
    for (properties, rows, says) in [
        (
            json!({"a": {"type": "integer"}}),
            vec![own_row("Go.", json!({"a": "x"}))],
            "rows: row 0: the call of `find_order`",
        ),
        (
            json!({"a": {"type": "integer"}}),
            vec![row("Go.", "fly", json!({}))],
            "rows: row 0: calls `fly`, which is not",
        ),
        (
            json!({"a": {"type": "object"}}),
            vec![],
            "tool `find_order`: no values of `a` can be made up",
        ),
        (
            json!({"a": {"type": "object", "properties": {"b": {"$ref": "#"}, "c": {"$ref": "#/properties/a"}}}}),
            vec![],
            "tool `find_order`: no values of `a` can be made up",
        ),
        (
            json!({"a": {"type": "array", "items": {"$ref": "#/properties/a"}}}),
            vec![],
            "tool `find_order`: no values of `a` can be made up",
        ),
        (
            json!({"a": {"type": "integer"}}),
            vec![own_row("Find 5.", json!({"a": 5})); 61],
            "rows: 60, with 61 of your own; expected at least 61",
        ),
    ] {
        let error = made_for(schema(properties), rows).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn a_teacher_that_is_of_no_use_is_told() {
    let answer = |_: &str| "no JSON at all".to_string();
    let told = made(Vec::new(), Some(teacher(answer))).to_string();
    assert!(
        told.contains("and 0 of the teacher") && told.contains("no JSON object"),
        "{told}"
    );
}

#[test]
fn an_error_of_the_teacher_has_its_message() {
    let config = AugmentConfig {
        teacher: Some(teacher(|_| "404 there is no model `large`".into())),
        ..AugmentConfig::default()
    };
    let error = augment(&lists(), &tools(), &Dataset::default(), &config).unwrap_err();
    let told = error.to_string();
    assert!(
        told.contains("status 404") && told.ends_with("there is no model `large`"),
        "{told}"
    );
}

#[test]
fn requests_of_a_teacher_stay_only_if_they_pass_every_check() {
    let teacher = teacher(|message| {
        match message.contains("A user says") {
        true if message.contains("misread") => r#"{"name": null, "arguments": {}}"#.into(),
        true => r#"{"name": "rent_boat", "arguments": {"kind": "row_boat", "hours": 4}}"#.into(),
        false => [
            r#"{"request": "We need a row boat, 4 hours will do.", "arguments": {"kind": "row_boat", "hours": 4}}"#,
            r#"{"request": "a row boat: 4 hours will do, we need", "arguments": {"kind": "row_boat", "hours": 4}}"#,
            r#"{"request": "A boat for long.", "arguments": {"kind": "row_boat", "hours": 4}}"#,
            r#"{"request": "Five boats!", "arguments": {"kind": "ship", "hours": 5}}"#,
            r#"{"request": "misread this row boat, 4 hours", "arguments": {"kind": "row_boat", "hours": 4}}"#,
            "no JSON at all",
        ]
        .join("\n"),
    }
    });
    let shown = format!("{teacher:?}");
    assert!(!shown.contains("secret"), "{shown}");
    let made = made(Vec::new(), Some(teacher));
    assert_eq!(made.tools[0].taught, Some(1));
    assert_eq!(
        made.data.rows[0].messages[0].content,
        "We need a row boat, 4 hours will do."
    );
    let reasons: Vec<&str> = made.tools[0]
        .left_out
        .iter()
        .map(|(_, reason)| reason.as_str())
        .collect();
    for expected in ["repeats the words", "does not say", "one of", "differently"] {
        assert!(
            reasons.iter().any(|reason| reason.contains(expected)),
            "{expected}: {reasons:?}"
        );
    }
}
