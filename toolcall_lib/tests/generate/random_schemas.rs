//! A constrained call fits its schema, for any schema and any model.

use super::constrained::valid_calls;
use crate::common::tiny_model::tiny_model;
use proptest::prelude::*;
use proptest::strategy::Union;
use proptest::test_runner::TestRunner;
use serde_json::{Map, Value, json};
use std::cell::Cell;
use std::sync::LazyLock;
use toolcall_lib::generate::ToolChoice;
use toolcall_lib::{GenerateConfig, Message, Model, ToolSchema, generate};

fn schema() -> impl Strategy<Value = Value> {
    let text = || "[a-z \"\\\\é🕐<]{0,6}";
    let leaf = Union::new([
        Just(json!({"type": "string"})).boxed(),
        (0..4u8, 4..9u8)
            .prop_map(|(a, b)| json!({"type": "string", "minLength": a, "maxLength": b}))
            .boxed(),
        Just(json!({"type": "string", "format": "date"})).boxed(),
        Just(json!({"type": "string", "pattern": "^[A-Z]{2,4}-[0-9]+$"})).boxed(),
        Just(json!({"type": "integer"})).boxed(),
        (-90..10i64, 10..999i64)
            .prop_map(|(a, b)| json!({"type": "integer", "minimum": a, "maximum": b}))
            .boxed(),
        Just(json!({"type": "number"})).boxed(),
        (-9.0..0.0f64, 0.5..9.0)
            .prop_map(|(a, b)| json!({"type": "number", "minimum": a, "exclusiveMaximum": b}))
            .boxed(),
        Just(json!({"type": "boolean"})).boxed(),
        Just(json!({"type": ["integer", "null"], "description": "or nothing"})).boxed(),
        Just(json!({})).boxed(),
        Just(json!({"const": {"unit": "C", "exact": 1.5}})).boxed(),
        prop::collection::vec(text(), 1..4)
            .prop_map(|words| json!({"type": "string", "enum": words}))
            .boxed(),
        Just(json!({"enum": [1, 2.5, "x", null, true]})).boxed(),
        Just(json!({"type": "integer", "enum": [1, 2.0, "x"]})).boxed(),
    ]);
    leaf.prop_recursive(3, 12, 3, |inner| {
        Union::new([
            (inner.clone(), 0..2u8, 2..4u8)
                .prop_map(
                    |(item, a, b)| json!({"type": "array", "items": item, "minItems": a, "maxItems": b}),
                )
                .boxed(),
            inner
                .clone()
                .prop_map(|item| json!({"type": "array", "items": item}))
                .boxed(),
            prop::collection::vec(inner.clone(), 1..3)
                .prop_map(|items| json!({"type": "array", "prefixItems": items}))
                .boxed(),
            prop::collection::vec(inner.clone(), 1..3)
                .prop_map(|branches| json!({"anyOf": branches}))
                .boxed(),
            inner
                .clone()
                .prop_map(|value| json!({"type": "object", "additionalProperties": value}))
                .boxed(),
            inner.clone().prop_map(nullable).boxed(),
            object(inner).boxed(),
        ])
    })
}

fn nullable(mut schema: Value) -> Value {
    schema["nullable"] = json!(true);
    schema
}

fn object(inner: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    prop::collection::btree_map("[a-z_ é\"]{1,5}", (inner, any::<bool>()), 0..4).prop_map(|fields| {
        let required: Vec<&String> = fields
            .iter()
            .filter(|(_, field)| field.1)
            .map(|(name, _)| name)
            .collect();
        let required = json!(required);
        let properties: Map<String, Value> =
            fields.into_iter().map(|(name, field)| (name, field.0)).collect();
        json!({"type": "object", "properties": properties, "required": required})
    })
}

fn tool() -> impl Strategy<Value = ToolSchema> {
    ("[a-zA-Z_.]{1,8}", object(schema())).prop_map(|(name, parameters)| {
        ToolSchema::new(json!({"name": name, "description": "Does it.", "parameters": parameters})).unwrap()
    })
}

static MODEL: LazyLock<Model> = LazyLock::new(tiny_model);

/// `PROPTEST_CASES=1000` tries more.
#[test]
fn every_finished_call_fits_its_tool() {
    let cases = std::env::var("PROPTEST_CASES").map_or(64, |cases| cases.parse().unwrap());
    let config = ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(cases)
    };
    let finished = Cell::new(0);
    let named = |tool: &ToolSchema| tool.name().to_string();
    let tools = prop::collection::vec(tool(), 1..3);
    let tools = tools.prop_filter("two of one name", move |tools| {
        tools.len() < 2 || named(&tools[0]) != named(&tools[1])
    });
    let replies = (tools, any::<u64>());
    let outcome = TestRunner::new(config).run(&replies, |(tools, seed)| {
        let config = GenerateConfig {
            seed,
            temperature: 1.0,
            max_new_tokens: 600,
            tool_choice: ToolChoice::Required,
            ..GenerateConfig::default()
        };
        let reply = generate(
            &MODEL,
            &[Message::user("Set a timer for 22 minutes.")],
            &tools,
            &config,
        )
        .unwrap();
        if reply.finished {
            prop_assert!(!valid_calls(&reply, &tools).tool_calls.is_empty());
            finished.set(finished.get() + 1);
        }
        Ok(())
    });
    outcome.unwrap();
    println!(
        "{} of {cases} replies finished, all of them valid",
        finished.get()
    );
    assert!(10 * finished.get() > 8 * cases, "{} of {cases}", finished.get());
}
