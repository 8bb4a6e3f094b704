//! Schemas with several keywords: the check refuses values that break one of them, and a model
//! cannot write them.

use super::templates::{STYLES, style};
use crate::common::tiny_model::tiny_model;
use serde_json::{Map, Value, json};
use toolcall_lib::generate::ToolChoice;
use toolcall_lib::reply;
use toolcall_lib::{GenerateConfig, Message, Model, ToolSchema, generate};

fn tool(parameters: Value) -> ToolSchema {
    ToolSchema::new(json!({"name": "call_it", "description": "Calls it.", "parameters": parameters})).unwrap()
}

fn problems(tool: &ToolSchema, arguments: Value) -> Vec<(String, String)> {
    tool.check(&arguments.as_object().cloned().unwrap())
}

/// Calls that a model with random weights makes when it is constrained to the tool.
fn written(model: &Model, tool: &ToolSchema, seeds: u64) -> Vec<Map<String, Value>> {
    let mut calls = Vec::new();
    for seed in 0..seeds {
        let config = GenerateConfig {
            seed,
            temperature: 1.0,
            max_new_tokens: 400,
            tool_choice: ToolChoice::Function("call_it".into()),
            ..GenerateConfig::default()
        };
        let tools = std::slice::from_ref(tool);
        let reply = generate(model, &[Message::user("Go.")], tools, &config).unwrap();
        if reply.finished {
            let read = reply::parse_with(&reply.text, &model.template, tools);
            assert_eq!(
                (read.malformed, read.tool_calls.len()),
                (false, 1),
                "{:?}",
                reply.text
            );
            assert_eq!(tool.check(&read.tool_calls[0].arguments), [], "{:?}", reply.text);
            calls.push(read.tool_calls[0].arguments.clone());
        }
    }
    assert!(calls.len() as u64 * 2 > seeds, "{} of {seeds}", calls.len());
    calls
}

fn refused(parameters: Value) -> String {
    let config = GenerateConfig {
        tool_choice: ToolChoice::Required,
        ..GenerateConfig::default()
    };
    generate(
        &tiny_model(),
        &[Message::user("Go.")],
        &[tool(parameters)],
        &config,
    )
    .unwrap_err()
    .to_string()
}

#[test]
fn a_union_beside_properties_holds_with_them() {
    let notify = tool(json!({
        "type": "object",
        "properties": {"phone": {"type": "integer", "maximum": 999}, "room": {"enum": ["den", "hall"]}},
        "anyOf": [{"required": ["phone"]}, {"required": ["room"]}]
    }));
    assert_eq!(problems(&notify, json!({"room": "den"})), []);
    assert_eq!(problems(&notify, json!({})).len(), 1);
    assert!(
        problems(&notify, json!({"room": "loft"}))[0]
            .1
            .starts_with("expected one of \"den\", \"hall\"")
    );
    assert_eq!(
        problems(&notify, json!({"room": "den", "floor": 1})),
        [(
            "floor".to_string(),
            "is unknown; the schema has phone, room".to_string()
        )]
    );
    for arguments in written(&tiny_model(), &notify, 12) {
        assert!(arguments.contains_key("phone") || arguments.contains_key("room"));
    }
}

#[test]
fn a_keyword_beside_a_reference_holds() {
    let dim = tool(json!({
        "type": "object",
        "properties": {"level": {"$ref": "#/$defs/Level", "maximum": 100}},
        "required": ["level"],
        "$defs": {"Level": {"type": "integer", "minimum": 0}}
    }));
    assert_eq!(
        problems(&dim, json!({"level": 300}))[0].1,
        "expected `maximum` 100, got integer 300"
    );
    assert_eq!(
        problems(&dim, json!({"level": -1}))[0].1,
        "expected `minimum` 0, got integer -1"
    );
    for arguments in written(&tiny_model(), &dim, 12) {
        assert!((0..=100).contains(&arguments["level"].as_i64().unwrap()));
    }
}

#[test]
fn listed_values_beside_a_union_hold() {
    let pick = tool(json!({
        "type": "object",
        "properties": {"unit": {"enum": ["c", "f", 7], "anyOf": [{"type": "string"}, {"type": "null"}]}},
        "required": ["unit"]
    }));
    assert_eq!(problems(&pick, json!({"unit": "C"})).len(), 1);
    assert_eq!(problems(&pick, json!({"unit": 7})).len(), 1);
    for arguments in written(&tiny_model(), &pick, 8) {
        assert!(["c", "f"].contains(&arguments["unit"].as_str().unwrap()));
    }
}

#[test]
fn any_place_in_the_schema_can_be_referred_to() {
    let route = tool(json!({
        "type": "object",
        "properties": {
            "from": {"type": "object", "properties": {"city": {"type": "string", "maxLength": 8}}, "required": ["city"]},
            "to": {"$ref": "#/properties/from"}
        },
        "required": ["from", "to"]
    }));
    assert_eq!(
        problems(&route, json!({"from": {"city": "Ulm"}, "to": {"city": "Bonn"}})),
        []
    );
    assert_eq!(
        problems(&route, json!({"from": {"city": "Ulm"}, "to": {}}))[0].0,
        "to.city"
    );
    assert_eq!(
        problems(
            &route,
            json!({"from": {"city": "Ulm"}, "to": {"city": "Bonn", "zip": 1}})
        )[0]
        .0,
        "to.zip"
    );
    written(&tiny_model(), &route, 6);
}

#[test]
fn what_cannot_be_held_to_is_named_by_tool_argument_and_keyword() {
    let with = |schema: Value| json!({"type": "object", "properties": {"ok": {"type": "integer"}, "pw": schema}, "required": ["pw"]});
    let advice = "; constrained decoding cannot follow this schema; change it";
    for (schema, says) in [
        (
            json!({"type": "string", "pattern": "^(?=.*[0-9])[a-z0-9]{3}$"}),
            "argument `pw`: the keyword `pattern` is not supported with look-ahead, as in ^(?=.*[0-9])[a-z0-9]{3}$",
        ),
        (
            json!({"type": "string", "not": {"pattern": "x"}}),
            "argument `pw`: the keyword `not` is not supported",
        ),
        (
            json!({"type": "array", "uniqueItems": true}),
            "argument `pw`: the keyword `uniqueItems` is not supported",
        ),
        (
            json!({"type": "integer", "multipleOf": 123456789}),
            "argument `pw`: `multipleOf` 123456789 has too many digits",
        ),
        (
            json!({"oneOf": [{"type": "integer"}, {"type": "number"}]}),
            "argument `pw`: some values fit more than one schema of `oneOf`, which it forbids; use `anyOf`, which allows it",
        ),
        (
            json!({"type": "string", "pattern": r"^(a)\1$"}),
            r"argument `pw`: the keyword `pattern` is not supported with a back-reference, as in ^(a)\1$",
        ),
        (
            json!({"type": "string", "allOf": (2..6).map(|i| json!({"pattern": format!("[a-z]{{{i},}}x.*")})).collect::<Vec<_>>()}),
            "argument `pw`: the patterns and lengths that apply to one string are too many or too large",
        ),
        (
            json!({"type": "string", "allOf": (0..30).map(|i| json!({"pattern": format!("a{i}")})).collect::<Vec<_>>()}),
            "argument `pw`: more than 8 patterns apply to one string",
        ),
        (
            json!({"type": "object", "properties": {"a": {}, "b": {}, "c": {}}, "minProperties": 2}),
            "argument `pw`: the keyword `minProperties` is not supported beside fields that may be left out",
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "string", "not": {}}}}),
            "argument `pw.a`: the keyword `not` is not supported",
        ),
    ] {
        let error = refused(with(schema));
        assert_eq!(
            error,
            format!(
                "schema of tool `call_it`: {says}{}",
                &error[error.find("; constrained").unwrap()..]
            )
        );
        assert!(error.ends_with(advice) && error.len() < 400, "{error}");
    }
    let impossible = with(json!({"type": "integer", "minimum": 5, "maximum": 3}));
    assert!(refused(impossible).contains("no arguments fit the schema"));
    let impossible = refused(with(json!({"type": "string", "format": "date", "maxLength": 5})));
    let says = "argument `pw`: no value fits all keywords, `format` among them";
    assert!(
        impossible.contains(says) && !impossible.contains("$defs"),
        "{impossible}"
    );
}

#[test]
fn branches_that_a_constant_tells_apart_are_one_of_several() {
    let branch = |kind: &str, field: &str| json!({"properties": {"kind": {"const": kind}, field: {"type": "integer", "maximum": 9}}, "required": ["kind", field]});
    let pick = tool(json!({
        "type": "object",
        "properties": {"pick": {"type": "object", "oneOf": [branch("a", "x"), branch("b", "y")]}},
        "required": ["pick"]
    }));
    for arguments in written(&tiny_model(), &pick, 8) {
        let pick = &arguments["pick"];
        assert_eq!(pick.get("x").is_some(), pick["kind"] == "a", "{pick}");
    }
}

#[test]
fn limits_on_the_number_of_fields_that_say_nothing_are_left_out() {
    let two = tool(json!({
        "type": "object",
        "properties": {"pair": {"type": "object", "minProperties": 1, "maxProperties": 3, "required": ["a"],
            "properties": {"a": {"type": "boolean"}, "b": {"type": "boolean"}}}},
        "required": ["pair"]
    }));
    written(&tiny_model(), &two, 4);
}

#[test]
fn a_required_property_that_is_not_declared_is_named() {
    let stop = json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["town"]});
    let inner = json!({"type": "object", "properties": {"stop": stop}, "required": ["stop"]});
    for (parameters, says) in [
        (
            stop,
            "schema of tool `call_it`: `required` names `town`, which `properties` does not declare",
        ),
        (
            inner,
            "schema of tool `call_it`: argument `stop`: `required` names `town`, which",
        ),
    ] {
        let error = refused(parameters);
        assert!(error.starts_with(says), "{error}");
    }
}

/// zod writes it for every record.
#[test]
fn names_that_are_any_string_are_no_demand() {
    let counts = json!({"type": "object", "propertyNames": {"type": "string"},
        "additionalProperties": {"type": "integer", "minimum": 0, "maximum": 9}, "maxProperties": 2});
    let tool = tool(json!({"type": "object", "properties": {"counts": counts}, "required": ["counts"]}));
    written(&tiny_model(), &tool, 4);
    let demanding = json!({"type": "object", "propertyNames": {"type": "string", "maxLength": 3}});
    let refusal = refused(json!({"type": "object", "properties": {"counts": demanding}}));
    assert!(
        refusal.contains("the keyword `propertyNames` is not supported"),
        "{refusal}"
    );
}

#[test]
fn an_error_of_the_grammar_is_short() {
    let many: Map<String, Value> = (0..3000)
        .map(|i| {
            (
                format!("argument_{i}"),
                json!({"type": "string", "description": "d".repeat(60)}),
            )
        })
        .collect();
    let mut parameters = json!({"type": "object", "properties": many});
    parameters["properties"]["pw"] = json!({"type": "string", "pattern": "^(?!x)y$"});
    let error = refused(parameters);
    assert!(error.len() < 400, "{} bytes", error.len());
    assert!(error.contains("argument `pw`"), "{error}");
}

#[test]
fn values_that_are_listed_may_have_any_keyword_beside_them() {
    let listed = tool(json!({
        "type": "object",
        "properties": {"x": {"enum": ["ab", "b", "abc", 4], "type": "string", "not": {"const": "b"}, "pattern": "^(?=a).b", "maxLength": 2}},
        "required": ["x"]
    }));
    for arguments in written(&tiny_model(), &listed, 4) {
        assert_eq!(arguments["x"], "ab");
    }
}

/// Every way to write calls is constrained to the tools, and is read back.
#[test]
fn calls_of_every_style_are_held_to_the_tools() {
    let tool = tool(json!({
        "type": "object",
        "properties": {
            "minutes": {"type": "integer", "minimum": 1, "maximum": 99},
            "note": {"type": "string", "minLength": 2, "maxLength": 12},
            "code": {"type": "string", "pattern": "^[A-Z]{2}$"},
            "mood": {"enum": ["calm", "loud"]},
            "slow": {"type": "boolean"},
            "zone": {"type": ["string", "null"], "maxLength": 4},
            "beds": {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 9}, "maxItems": 2}
        },
        "required": ["minutes", "code", "zone"]
    }));
    for name in STYLES {
        let mut model = tiny_model();
        let template = style(name);
        model.template = template;
        let calls = written(&model, &tool, 12);
        assert!(calls.iter().all(|call| call.contains_key("code")), "{name}");
        assert!(
            calls.iter().any(|call| call.contains_key("note")),
            "{name}: {calls:?}"
        );
    }
}

#[test]
fn a_template_whose_calls_are_not_understood_is_an_error_and_not_a_free_reply() {
    let mut model = tiny_model();
    let source = "{% for t in tools or [] %}{{ t.function.name }}{% endfor %}{% for m in messages %}{{ m.content }}\
        {% for c in m.tool_calls or [] %}{{ c.function.arguments | tojson }} for {{ c.function.name }} or {{ c.function.name }}{% endfor %}<|im_end|>{% endfor %}";
    model.template = toolcall_lib::template::ChatTemplate::new(source, &model.tokenizer.config).unwrap();
    let tools = [tool(json!({"type": "object", "properties": {}}))];
    for tool_choice in [ToolChoice::Auto, ToolChoice::Required] {
        let config = GenerateConfig {
            tool_choice,
            ..GenerateConfig::default()
        };
        let error = generate(&model, &[Message::user("Go.")], &tools, &config)
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("chat template: the form in which it writes calls is not known"),
            "{error}"
        );
    }
    let free = GenerateConfig {
        constrained: false,
        max_new_tokens: 4,
        ..GenerateConfig::default()
    };
    assert!(generate(&model, &[Message::user("Go.")], &tools, &free).is_ok());
}
