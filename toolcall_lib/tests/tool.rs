//! Tools of documented functions and structs: their schemas against transformers
//! (`scripts/dev/golden/tools.py`), and calls of these tools.

mod same_functions;

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use toolcall_lib::schemars::JsonSchema;
use toolcall_lib::serde::{Deserialize, Serialize};
use toolcall_lib::{Error, Tool, ToolCall, tool};

#[test]
fn schemas_equal_those_of_transformers() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/tools");
    let mut golden: BTreeMap<String, Value> = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        golden.insert(
            name,
            serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap(),
        );
    }
    for tool in same_functions::all() {
        let golden = golden.remove(tool.name()).unwrap();
        assert_eq!(
            to_string(&tool.schema.0),
            to_string(&golden["schema"]),
            "{tool:?}"
        );
    }
    assert!(golden.is_empty(), "no function for {:?}", golden.keys());
}

/// Returns the text of a JSON value. Unlike two JSON values, two texts differ if the order of their
/// keys does.
fn to_string(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap()
}

// Attributes as in a notebook cell, where toolcall_lib is the only dependency.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(crate = "toolcall_lib::serde")]
#[schemars(crate = "toolcall_lib::schemars")]
/// A stop on the way.
struct Stop {
    /// The city.
    city: String,
    /// How long,
    /// in minutes.
    minutes: Option<u8>,
}

#[tool]
/// Plans a trip.
///
/// Args:
///     stops: Where to stop.
///     type: What kind of trip.
fn plan_trip(stops: Vec<Stop>, r#type: &str) -> Result<Vec<Stop>, String> {
    match r#type {
        "train" => Ok(stops),
        other => Err(format!("no trips by {other}")),
    }
}

fn call(tool: &Tool, arguments: Value) -> Result<Value, String> {
    tool.call(&ToolCall::new(tool.name(), arguments).unwrap())
        .map_err(|error| error.to_string())
}

#[test]
fn a_call_runs_the_function() {
    let stops = json!([{"city": "Ulm", "minutes": 5}, {"city": "Bern"}, {"city": "Genf", "minutes": null}]);
    let output = call(&plan_trip_tool(), json!({"stops": stops, "type": "train"})).unwrap();
    let null_filled = json!([
        {"city": "Ulm", "minutes": 5}, {"city": "Bern", "minutes": null}, {"city": "Genf", "minutes": null}
    ]);
    assert_eq!(output, null_filled);
}

#[test]
fn a_call_may_leave_out_what_is_optional() {
    let optionals = &same_functions::all()[5];
    assert_eq!(call(optionals, json!({"city": "Ulm"})).unwrap(), Value::Null);
    assert_eq!(
        call(optionals, json!({"city": "Ulm", "note": "north"})).unwrap(),
        "north"
    );
    assert_eq!(
        call(optionals, json!({"city": "Ulm", "note": null})).unwrap(),
        Value::Null
    );
}

#[test]
fn a_wrong_call_names_the_tool_the_argument_and_the_value() {
    let trip = plan_trip_tool();
    let error = call(&trip, json!({"stops": [{"minutes": "5"}], "kind": 1})).unwrap_err();
    let expected = "call of `plan_trip`: argument `type`: is missing; expected string; \
        argument `stops[0].minutes`: expected integer or null, got string \"5\"; \
        argument `stops[0].city`: is missing; expected string; \
        argument `kind`: is unknown; the schema has stops, type";
    assert_eq!(error, expected);
}

#[test]
fn what_only_the_rust_type_refuses_is_named_too() {
    let stops = json!([{"city": "Ulm"}, {"city": "Bern", "minutes": 300}]);
    let error = call(&plan_trip_tool(), json!({"stops": stops, "type": "train"})).unwrap_err();
    let expected = "call of `plan_trip`: argument `stops[1].minutes`: \
        invalid value: integer `300`, expected u8";
    assert_eq!(error, expected);
}

#[test]
fn the_error_of_a_function_is_told_apart_from_a_wrong_call() {
    let trip = plan_trip_tool();
    let failing = ToolCall::new("plan_trip", json!({"stops": [], "type": "boat"})).unwrap();
    let error = trip.call(&failing).unwrap_err();
    assert!(matches!(error, Error::Library { .. }));
    assert_eq!(error.to_string(), "tool `plan_trip`: no trips by boat");

    let other = ToolCall::new("start_timer", json!({})).unwrap();
    let error = trip.call(&other).unwrap_err();
    assert!(matches!(error, Error::Invalid { .. }));
    assert_eq!(
        error.to_string(),
        "call of `start_timer`: this is tool `plan_trip`"
    );
}

type Answer = Result<u32, std::num::ParseIntError>;

#[tool]
/// Reads a number.
///
/// Args:
///     text: Its digits.
fn read_number(text: &str) -> Answer {
    text.parse()
}

#[test]
fn a_result_behind_an_alias_is_still_a_result() {
    let tool = read_number_tool();
    assert_eq!(tool.schema.0["function"]["return"], json!({"type": "integer"}));
    assert_eq!(call(&tool, json!({"text": "12"})).unwrap(), 12);
    assert!(
        call(&tool, json!({"text": "x"}))
            .unwrap_err()
            .contains("invalid digit")
    );
}

#[test]
fn a_nested_struct_is_described_inline() {
    let schema = &plan_trip_tool().schema;
    let expected = json!({
        "type": "array",
        "items": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "description": "The city."},
                "minutes": {"type": "integer", "nullable": true, "description": "How long, in minutes."}
            },
            "required": ["city"],
            "description": "A stop on the way."
        },
        "description": "Where to stop."
    });
    assert_eq!(
        to_string(&schema.parameters()["properties"]["stops"]),
        to_string(&expected)
    );
}

#[test]
fn a_struct_and_a_function_make_the_same_tool() {
    /// Creates a reminder for the specified time and note.
    #[derive(Deserialize, JsonSchema)]
    #[serde(crate = "toolcall_lib::serde")]
    #[schemars(crate = "toolcall_lib::schemars")]
    struct CreateReminder {
        /// The time for the reminder.
        time: String,
        /// The note for the reminder.
        note: String,
    }
    let greeting = "OK".to_string();
    let tool = Tool::from_struct(
        "create_reminder",
        move |reminder: CreateReminder| -> Result<String, Error> {
            Ok(format!("{greeting}: {} at {}.", reminder.note, reminder.time))
        },
    );
    let tool: Tool = tool.unwrap();
    let of_function = &same_functions::all()[1];
    assert_eq!(tool.name(), of_function.name());
    assert_eq!(tool.schema.description(), of_function.schema.description());
    assert_eq!(
        to_string(tool.schema.parameters()),
        to_string(of_function.schema.parameters())
    );
    assert_eq!(
        call(&tool, json!({"time": "9 PM", "note": "call mom"})).unwrap(),
        "OK: call mom at 9 PM."
    );
}

#[derive(Deserialize, JsonSchema)]
#[serde(crate = "toolcall_lib::serde")]
#[schemars(crate = "toolcall_lib::schemars")]
/// A tree.
struct Tree {
    /// More trees.
    #[expect(dead_code)]
    children: Vec<Tree>,
}

#[tool]
/// Plants a tree.
///
/// Args:
///     tree: The tree.
fn plant(tree: Tree) {
    drop(tree);
}

#[test]
#[should_panic(expected = "tool `plant`: the type `Tree` contains itself")]
fn a_function_with_a_type_that_contains_itself_is_refused() {
    plant_tool();
}

#[test]
fn a_struct_that_cannot_be_a_tool_is_refused_with_the_reason() {
    fn error<P: toolcall_lib::serde::de::DeserializeOwned + JsonSchema + 'static>() -> String {
        let tool = Tool::from_struct("f", |_: P| Ok::<(), String>(()));
        tool.unwrap_err().to_string()
    }
    #[derive(Deserialize, JsonSchema)]
    #[serde(crate = "toolcall_lib::serde")]
    #[schemars(crate = "toolcall_lib::schemars")]
    struct Undocumented {
        #[expect(dead_code)]
        city: String,
    }
    /// Does it.
    #[derive(Deserialize, JsonSchema)]
    #[serde(crate = "toolcall_lib::serde")]
    #[schemars(crate = "toolcall_lib::schemars")]
    struct HalfDocumented {
        #[expect(dead_code)]
        city: String,
    }
    assert!(
        error::<Undocumented>()
            .starts_with("tool `f`: `Undocumented` has no description: write a doc comment")
    );
    assert!(error::<HalfDocumented>().starts_with("tool `f`: argument `city` has no description"));
    assert!(error::<Tree>().starts_with("tool `f`: the type `Tree` contains itself"));
    assert!(error::<Vec<i64>>().contains("must be a struct with named fields"));
}

#[test]
fn arguments_of_a_call_are_an_object() {
    let error = ToolCall::new("f", json!("{}")).unwrap_err().to_string();
    assert!(
        error.starts_with("call of `f`: expected the arguments as an object"),
        "{error}"
    );
    let text = r#"{"name":"f","arguments":{"z":1,"a":[2]}}"#;
    let call: ToolCall = serde_json::from_str(text).unwrap();
    assert_eq!(serde_json::to_string(&call).unwrap(), text);
}

#[test]
fn a_tool_prints_its_name() {
    assert_eq!(format!("{:?}", plan_trip_tool()), r#"Tool("plan_trip")"#);
}
