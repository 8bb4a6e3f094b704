//! The constraint and the check agree: each accepts what the other accepts, for any mix of
//! keywords.

use super::grammar::Answer;
use super::{Constraint, Constraints, Form};
use crate::conversation::{Conversation, Message, Role};
use crate::error::Error;
use crate::generate::GenerateConfig;
use crate::model::Model;
use crate::mutex::locked;
use crate::syntax::CallSyntax;
use crate::template::{ChatTemplate, Thought};
use crate::tiny_model::tiny_model;
use crate::tiny_tokenizer::tiny_tokenizer;
use crate::tokens::Tokenizer;
use crate::tool::{Checker, ToolSchema, validator};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proptest::strategy::Union;
use proptest::test_runner::TestRunner;
use serde_json::{Map, Value, json};
use std::cell::Cell;
use std::path::PathBuf;

fn constraint(tools: Vec<ToolSchema>, syntax: &CallSyntax) -> Result<Constraint, Error> {
    let form = Form {
        syntax: syntax.clone(),
        tools,
        thought: Thought::Nowhere,
        answer: Answer::Calls,
        json: None,
        parallel: true,
    };
    let grammars = tiny_tokenizer().grammars(&syntax.texts())?;
    Constraint::new(&grammars, &form)
}

/// Returns true if the constraint allows exactly this text as a reply.
fn takes(constraint: &Constraint, tokenizer: &Tokenizer, text: &str) -> bool {
    refused_behind(constraint, tokenizer, text).is_none()
}

/// Returns the part of a reply after which the constraint does not allow what comes next.
fn refused_behind(constraint: &Constraint, tokenizer: &Tokenizer, text: &str) -> Option<String> {
    let mut constraint = constraint.clone();
    let ids = tokenizer.encode(text).unwrap();
    let allows = |constraint: &mut Constraint, id: u32| {
        let mut logits = vec![0.0; tokenizer.vocab_size()];
        let mask = constraint.mask(&mut logits, &tokenizer.eos_token_ids);
        mask.is_ok() && logits[id as usize] == 0.0
    };
    for (place, &id) in ids.iter().enumerate() {
        if !allows(&mut constraint, id) || constraint.push(id).is_err() {
            return Some(tokenizer.decode(&ids[..place]).unwrap());
        }
    }
    let ends = constraint.is_over() || allows(&mut constraint, tokenizer.eos_token_ids[0]);
    (!ends).then(|| text.to_string())
}

/// A template that writes arguments one by one, without quotation marks.
fn xml_style() -> ChatTemplate {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/templates");
    let source = std::fs::read_to_string(folder.join("xml_style.jinja")).unwrap();
    ChatTemplate::new(&source, &Map::new()).unwrap()
}

/// A generator may get another model, and keeps its constraints.
#[test]
fn a_constraint_is_compiled_for_its_tokenizer_and_its_syntax() {
    let tools = [tool(json!({"type": "integer"})).unwrap()];
    let constraints = Constraints::default();
    let get = |model: &Model| {
        let config = GenerateConfig::default();
        let made = constraints.get(model, &model.template, "", &tools, &config);
        made.unwrap().unwrap()
    };
    let hermes = "<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>";
    let model = tiny_model();
    assert!(takes(&get(&model), &model.tokenizer, hermes));
    get(&model);
    assert_eq!(locked(&constraints.recent).len(), 1, "it is the same model");

    let mut other = tiny_model();
    other.tokenizer = model.tokenizer.clone();
    other.template = xml_style();
    assert!(!takes(&get(&other), &model.tokenizer, hermes), "another syntax");
    let mut other = tiny_model();
    let inner: tokenizers::Tokenizer = model.tokenizer.to_json().unwrap().parse().unwrap();
    other.tokenizer = Tokenizer::new(inner, model.tokenizer.eos_token_ids.clone());
    get(&other);
    assert_eq!(locked(&constraints.recent).len(), 3, "another tokenizer");
}

#[test]
fn a_pattern_with_slashes_constrains_text_without_quotation_marks() {
    let template = xml_style();
    let call = |x: &str| {
        format!("<tool_call>\n<function=f>\n<parameter=x>\n{x}\n</parameter>\n</function>\n</tool_call>")
    };
    for pattern in [r"^\d{2}\/\d{2}$", r"^\d{2}/\d{2}$"] {
        let tools = vec![tool(json!({"type": "string", "pattern": pattern})).unwrap()];
        let constraint = constraint(tools, template.call_syntax().unwrap()).unwrap();
        assert!(takes(&constraint, &tiny_tokenizer(), &call("12/25")), "{pattern}");
        assert!(
            !takes(&constraint, &tiny_tokenizer(), &call("12-25")),
            "{pattern}"
        );
    }
}

#[test]
fn a_perfect_reply_of_every_style_may_be_written() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/templates");
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let golden: Value = serde_json::from_str(&read("styles.json")).unwrap();
    let mut tried = 0;
    for (name, tokens) in golden["special_tokens"].as_object().unwrap() {
        let template =
            ChatTemplate::new(&read(&format!("{name}.jinja")), tokens.as_object().unwrap()).unwrap();
        let template = template.with_kwargs(&Map::from_iter([("date_string".to_string(), json!("today"))]));
        for row in golden["rows"].as_object().unwrap().values() {
            let messages: Vec<Message> = serde_json::from_value(row["messages"].clone()).unwrap();
            let tools: Vec<ToolSchema> = serde_json::from_value(row["tools"].clone()).unwrap();
            let Conversation { messages, tools, .. } = Conversation {
                messages,
                tools,
                ..Conversation::default()
            };
            let calls =
                |i: &usize| messages[*i].role == Role::Assistant && !messages[*i].tool_calls.is_empty();
            for turn in (0..messages.len()).filter(calls) {
                let Ok(text) = template.render(&messages[..=turn], &tools) else {
                    // The template writes one call per turn at most.
                    continue;
                };
                let prompt = template.render_prompt(&messages[..turn], &tools).unwrap();
                let reply = text
                    .strip_prefix(&prompt)
                    .unwrap()
                    .trim_end()
                    .strip_suffix("<|im_end|>")
                    .unwrap();
                let constraint = constraint(tools.clone(), template.call_syntax().unwrap()).unwrap();
                let refused = refused_behind(&constraint, &tiny_tokenizer(), reply);
                assert_eq!(refused, None, "{name}: {reply}");
                let other = reply.replace("water", "fire");
                assert!(!takes(&constraint, &tiny_tokenizer(), &other), "{name}: {other}");
                tried += 1;
            }
        }
    }
    assert_eq!(tried, 13);
}

/// Generates values that the schemas of [`schema`] describe.
fn value() -> impl Strategy<Value = Value> {
    let leaf = select(vec![
        json!(null),
        json!(true),
        json!(0),
        json!(1),
        json!(2),
        json!(-3),
        json!(12),
        json!(2.5),
        json!("a"),
        json!("ab"),
        json!("B2"),
        json!(""),
        json!([]),
        json!({}),
    ]);
    leaf.prop_recursive(2, 8, 3, |inner| {
        Union::new([
            vec(inner.clone(), 0..3).prop_map(Value::from).boxed(),
            (subsequence(vec!["a", "b", "c"], 0..3), vec(inner, 3))
                .prop_map(|(names, values)| {
                    names
                        .into_iter()
                        .map(String::from)
                        .zip(values)
                        .collect::<Map<_, _>>()
                        .into()
                })
                .boxed(),
        ])
    })
}

/// Generates a keyword with its value.
fn keyword(inner: BoxedStrategy<Value>) -> impl Strategy<Value = (&'static str, Value)> {
    let types = [
        "null", "boolean", "integer", "number", "string", "array", "object",
    ];
    let some = |keyword: &'static str, values: Vec<Value>| {
        select(values).prop_map(move |value| (keyword, value)).boxed()
    };
    let list = |keyword: &'static str, inner: BoxedStrategy<Value>| {
        vec(inner, 1..3)
            .prop_map(move |list| (keyword, list.into()))
            .boxed()
    };
    let one = |keyword: &'static str, inner: BoxedStrategy<Value>| {
        inner.prop_map(move |value| (keyword, value)).boxed()
    };
    Union::new_weighted(vec![
        (
            6,
            select(types.to_vec())
                .prop_map(|name| ("type", json!(name)))
                .boxed(),
        ),
        (
            2,
            subsequence(types.to_vec(), 1..3)
                .prop_map(|names| ("type", json!(names)))
                .boxed(),
        ),
        (
            2,
            vec(value(), 1..4).prop_map(|list| ("enum", list.into())).boxed(),
        ),
        (1, value().prop_map(|value| ("const", value)).boxed()),
        (1, some("minimum", vec![json!(0), json!(1.5)])),
        (1, some("exclusiveMaximum", vec![json!(2), json!(12)])),
        (1, some("multipleOf", vec![json!(2), json!(0.5)])),
        (1, some("minLength", vec![json!(1), json!(2)])),
        (1, some("maxLength", vec![json!(1), json!(2)])),
        (
            1,
            some("pattern", vec![json!("^[a-z]+$"), json!("[A-Z]"), json!("b$")]),
        ),
        (1, some("minItems", vec![json!(1), json!(2)])),
        (1, some("maxItems", vec![json!(1), json!(2)])),
        (1, some("nullable", vec![json!(true)])),
        (1, some("required", vec![json!(["a"]), json!(["b", "a"])])),
        (
            1,
            some(
                "$ref",
                vec![
                    json!("#/$defs/small"),
                    json!("#/$defs/named"),
                    json!("#/properties/y"),
                ],
            ),
        ),
        (1, one("items", inner.clone())),
        (1, list("prefixItems", inner.clone())),
        (
            2,
            one(
                "additionalProperties",
                Union::new([
                    inner.clone(),
                    Just(json!(false)).boxed(),
                    Just(json!(true)).boxed(),
                ])
                .boxed(),
            ),
        ),
        (
            3,
            (subsequence(vec!["a", "b", "c"], 1..3), vec(inner.clone(), 3))
                .prop_map(|(names, schemas)| {
                    let properties: Map<String, Value> =
                        names.into_iter().map(String::from).zip(schemas).collect();
                    ("properties", properties.into())
                })
                .boxed(),
        ),
        (2, list("anyOf", inner.clone())),
        (1, list("allOf", inner.clone())),
        (1, list("oneOf", inner.clone())),
        (1, one("not", inner)),
    ])
}

fn schema() -> BoxedStrategy<Value> {
    let object = |inner: BoxedStrategy<Value>| {
        vec(keyword(inner), 1..4).prop_map(|keywords| {
            let map: Map<String, Value> = keywords
                .into_iter()
                .map(|(key, value)| (key.to_string(), value))
                .collect();
            Value::from(map)
        })
    };
    let leaf = Union::new([
        Just(json!({})).boxed(),
        select(vec![
            json!({"type": "string"}),
            json!({"type": "integer"}),
            json!({"const": 1}),
        ])
        .boxed(),
    ])
    .boxed();
    let small = object(leaf).boxed();
    object(small).boxed()
}

/// Returns a tool whose argument `x` has this schema.
fn tool(schema: Value) -> Option<ToolSchema> {
    let parameters = json!({
        "type": "object",
        "properties": {"x": schema, "y": {"type": "array", "items": {"type": "integer"}}},
        "$defs": {"small": {"type": "integer", "maximum": 5}, "named": {"type": "object", "properties": {"a": {"type": "integer"}}}}
    });
    ToolSchema::new(json!({"name": "f", "parameters": parameters})).ok()
}

/// Returns the texts of a value, with the fields of its objects in every order.
fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) => {
            let lists = items
                .iter()
                .fold(vec![Vec::new()], |lists, item| product(lists, &texts(item)));
            lists
                .into_iter()
                .map(|items| format!("[{}]", items.join(", ")))
                .collect()
        }
        Value::Object(fields) => {
            let mut all = Vec::new();
            for order in orders(fields.len()) {
                let entries: Vec<(&String, &Value)> =
                    order.iter().filter_map(|i| fields.iter().nth(*i)).collect();
                let lists = entries.iter().fold(vec![Vec::new()], |lists, (name, value)| {
                    let texts: Vec<String> = texts(value)
                        .iter()
                        .map(|text| format!("\"{name}\": {text}"))
                        .collect();
                    product(lists, &texts)
                });
                all.extend(
                    lists
                        .into_iter()
                        .map(|fields| format!("{{{}}}", fields.join(", "))),
                );
            }
            all
        }
        other => vec![other.to_string()],
    }
}

fn product(lists: Vec<Vec<String>>, next: &[String]) -> Vec<Vec<String>> {
    let longer = |list: Vec<String>| {
        next.iter()
            .map(move |item| [&list[..], std::slice::from_ref(item)].concat())
            .collect::<Vec<_>>()
    };
    lists.into_iter().flat_map(longer).collect()
}

fn orders(length: usize) -> Vec<Vec<usize>> {
    match length {
        0 => vec![Vec::new()],
        _ => orders(length - 1)
            .into_iter()
            .flat_map(|order| {
                (0..length).map(move |place| {
                    let mut order = order.clone();
                    order.insert(place, length - 1);
                    order
                })
            })
            .collect(),
    }
}

/// Compares the check with the constraint; `PROPTEST_CASES=5000` tries more schemas.
#[test]
fn what_is_checked_is_what_may_be_written() {
    let cases = std::env::var("PROPTEST_CASES").map_or(400, |cases| cases.parse().unwrap());
    let config = ProptestConfig {
        failure_persistence: None,
        max_global_rejects: 1 << 20,
        ..ProptestConfig::with_cases(cases)
    };
    let (held, refused, fitting, unfit) = (Cell::new(0), Cell::new(0), Cell::new(0), Cell::new(0));
    let count = |cell: &Cell<u32>| cell.set(cell.get() + 1);
    let tokenizer = tiny_tokenizer();
    let outcome = TestRunner::new(config).run(&(schema(), vec(value(), 12)), |(schema, values)| {
        let Some(tool) = tool(schema) else {
            return Err(TestCaseError::reject("no schema"));
        };
        let constraint = match constraint(vec![tool.clone()], &CallSyntax::hermes()) {
            Ok(constraint) => constraint,
            Err(error) => {
                count(&refused);
                let text = error.to_string();
                prop_assert!(
                    text.starts_with("schema of tool `f`: ") && text.len() < 400,
                    "{}",
                    text
                );
                return Ok(());
            }
        };
        count(&held);
        for value in values {
            let arguments = Map::from_iter([("x".to_string(), value.clone())]);
            let fits = tool.check(&arguments).is_empty();
            count(if fits { &fitting } else { &unfit });
            let written = texts(&value).into_iter().any(|text| {
                let reply = format!(
                    "<tool_call>\n{{\"name\": \"f\", \"arguments\": {{\"x\": {text}}}}}\n</tool_call>"
                );
                takes(&constraint, &tokenizer, &reply)
            });
            prop_assert_eq!(
                fits,
                written,
                "{}\n{}",
                tool.parameters()["properties"]["x"],
                value
            );
        }
        Ok(())
    });
    outcome.unwrap();
    let (held, refused, fitting, unfit) = (held.get(), refused.get(), fitting.get(), unfit.get());
    println!("{held} schemas constrained to, {refused} refused; {fitting} values fit and {unfit} do not");
    assert!(
        held > cases / 2 && fitting > cases / 2 && unfit > cases,
        "{held} {refused} {fitting} {unfit}"
    );
}

/// Compares the check with JSON schema, for open objects and where numbers do not matter.
#[test]
fn the_check_is_that_of_json_schema_where_it_is_not_stricter() {
    let open = |value: &Value| {
        let text = value.to_string();
        !["properties", "prefixItems", "nullable", "$ref"]
            .iter()
            .any(|keyword| text.contains(&format!("\"{keyword}\"")))
    };
    let config = ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(300)
    };
    let outcome = TestRunner::new(config).run(
        &(schema().prop_filter("open", open), vec(value(), 8)),
        |(schema, values)| {
            let Ok(plain) = validator(&schema) else {
                return Err(TestCaseError::reject("no schema"));
            };
            let parameters = json!({"type": "object", "properties": {"x": schema}});
            let Ok(checker) = Checker::of(&parameters) else {
                return Err(TestCaseError::reject("no schema"));
            };
            for value in values {
                let problems = checker.problems(&Map::from_iter([("x".to_string(), value.clone())]));
                prop_assert_eq!(
                    plain.is_valid(&value),
                    problems.is_empty(),
                    "{} {}",
                    schema,
                    value
                );
            }
            Ok(())
        },
    );
    outcome.unwrap();
}
