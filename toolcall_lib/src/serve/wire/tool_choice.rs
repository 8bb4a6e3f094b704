//! `tool_choice`: whether the model calls tools, and which ones.

use super::Refusal;
use super::fields::Fields;
use crate::generate::ToolChoice;
use crate::tool::ToolSchema;
use serde_json::Value;

const PLACE: &str = "tool_choice";
const EXPECTED: &str = "expected \"auto\", \"required\", \"none\", \
    {\"type\": \"function\", \"function\": {\"name\": …}} or \
    {\"type\": \"allowed_tools\", \"allowed_tools\": {\"mode\": …, \"tools\": […]}}";

/// A choice, and the tools that the reply may call.
pub(super) struct Chosen {
    pub choice: ToolChoice,
    pub callable: Vec<ToolSchema>,
}

/// Reads the choice among `tools`. The model is shown all of them in any case.
pub(super) fn read(fields: &mut Fields, tools: &[ToolSchema]) -> Result<Chosen, Refusal> {
    let all = |choice| Chosen {
        choice,
        callable: tools.to_vec(),
    };
    let chosen = match fields.take(PLACE) {
        None => all(ToolChoice::Auto),
        Some(Value::Object(object)) => of_object(Fields::of(PLACE, object), tools)?,
        Some(value) => match word(value.as_str().unwrap_or_default(), &["auto", "required", "none"]) {
            Some(choice) => all(choice),
            None => return Err(Refusal::of_field(PLACE, format!("found {value}, {EXPECTED}"))),
        },
    };
    let among = chosen.choice.among(&chosen.callable);
    among.map_err(|error| Refusal::of_library(&error))?;
    Ok(chosen)
}

fn word(found: &str, known: &[&str]) -> Option<ToolChoice> {
    let is_known = known.contains(&found);
    is_known.then(|| found.parse().unwrap_or_default())
}

fn of_object(mut object: Fields, tools: &[ToolSchema]) -> Result<Chosen, Refusal> {
    let kind = object.text("type")?;
    match kind.as_deref() {
        Some("function") => Ok(Chosen {
            choice: ToolChoice::Function(name(object)?),
            callable: tools.to_vec(),
        }),
        Some("allowed_tools") => allowed(object, tools),
        other => {
            let found = other.unwrap_or("nothing");
            let problem = format!("found `{found}`, expected `function` or `allowed_tools`");
            Err(Refusal::of_field(object.name("type"), problem))
        }
    }
}

/// Returns the fields that belong to `field`: nested in it, as in Chat Completions, or in its
/// place, as in Responses.
fn nested_or_flat(mut object: Fields, field: &str) -> Result<Fields, Refusal> {
    let place = object.name(field);
    let Some(nested) = object.object(field)? else {
        return Ok(object);
    };
    object.end(&[])?;
    Ok(Fields::of(&place, nested))
}

/// Takes the name of a function.
fn name(object: Fields) -> Result<String, Refusal> {
    let mut named = nested_or_flat(object, "function")?;
    let name = named.required("name")?;
    named.end(&[])?;
    Ok(name)
}

/// Reads `allowed_tools`: only some of the tools may be called.
fn allowed(object: Fields, tools: &[ToolSchema]) -> Result<Chosen, Refusal> {
    let mut allowed = nested_or_flat(object, "allowed_tools")?;
    let mode = allowed.text("mode")?.unwrap_or_default();
    let Some(choice) = word(&mode, &["auto", "required"]) else {
        let problem = format!("found `{mode}`, expected `auto` or `required`");
        return Err(Refusal::of_field(allowed.name("mode"), problem));
    };
    let place = allowed.name("tools");
    let list = allowed.list("tools")?.unwrap_or_default();
    allowed.end(&[])?;
    if list.is_empty() {
        let problem = "names no tool; name those that may be called, or choose `none`";
        return Err(Refusal::of_field(place, problem));
    }
    let mut callable: Vec<ToolSchema> = Vec::new();
    for (index, value) in list.into_iter().enumerate() {
        let tool = one_allowed(value, &format!("{place}[{index}]"), tools)?;
        if !callable.iter().any(|other| other.name() == tool.name()) {
            callable.push(tool);
        }
    }
    Ok(Chosen { choice, callable })
}

fn one_allowed(value: Value, place: &str, tools: &[ToolSchema]) -> Result<ToolSchema, Refusal> {
    let expected = r#"{"type": "function", "function": {"name": …}}"#;
    let mut object = Fields::of_value(place, value, expected)?;
    if object.text("type")?.as_deref() != Some("function") {
        return Err(Refusal::of_field(object.name("type"), "expected `function`"));
    }
    let name = name(object)?;
    let found = tools.iter().find(|tool| tool.name() == name);
    found.cloned().ok_or_else(|| {
        let names: Vec<&str> = tools.iter().map(ToolSchema::name).collect();
        let problem = format!(
            "there is no tool `{name}`; the offered tools are {}",
            names.join(", ")
        );
        Refusal::of_field(place, problem)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn chosen(choice: Value) -> Result<(ToolChoice, Vec<String>), Refusal> {
        let tool = |name: &str| ToolSchema::new(json!({"name": name, "parameters": {}})).unwrap();
        let Value::Object(body) = json!({ "tool_choice": choice }) else {
            unreachable!()
        };
        let chosen = read(&mut Fields::of("", body), &["f", "g", "h"].map(tool))?;
        let names = chosen.callable.iter().map(|tool| tool.name().to_string());
        Ok((chosen.choice, names.collect()))
    }

    #[test]
    fn every_kind_is_read() {
        let all = ["f", "g", "h"].map(String::from).to_vec();
        for (choice, expected, names) in [
            (Value::Null, ToolChoice::Auto, &all[..]),
            (json!("none"), ToolChoice::None, &all[..]),
            (
                json!({"type": "function", "function": {"name": "g"}}),
                ToolChoice::Function("g".into()),
                &all[..],
            ),
            (
                json!({"type": "function", "name": "g"}),
                ToolChoice::Function("g".into()),
                &all[..],
            ),
            (
                json!({"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [
                    {"type": "function", "function": {"name": "g"}},
                    {"type": "function", "function": {"name": "g"}}]}}),
                ToolChoice::Auto,
                &all[1..2],
            ),
            (
                json!({"type": "allowed_tools", "mode": "required", "tools": [
                    {"type": "function", "name": "g"}, {"type": "function", "name": "h"}]}),
                ToolChoice::Required,
                &all[1..],
            ),
        ] {
            assert_eq!(
                chosen(choice.clone()).unwrap(),
                (expected, names.to_vec()),
                "{choice}"
            );
        }
    }

    #[test]
    fn what_is_not_known_is_named() {
        let of = |inner: Value| json!({"type": "allowed_tools", "allowed_tools": inner});
        let f = json!({"type": "function", "function": {"name": "f"}});
        for (choice, param, told) in [
            (json!("f"), "tool_choice", "\"required\""),
            (json!(3), "tool_choice", "found 3"),
            (
                json!({"function": {"name": "f"}}),
                "tool_choice.type",
                "found `nothing`",
            ),
            (
                json!({"type": "custom", "custom": {"name": "f"}}),
                "tool_choice.type",
                "`custom`",
            ),
            (
                json!({"type": "function", "function": {"name": "f", "strict": true}}),
                "tool_choice.function.strict",
                "not known",
            ),
            (
                json!({"type": "function", "function": {"name": "f"}, "mode": "auto"}),
                "tool_choice.mode",
                "not known",
            ),
            (json!({"type": "function"}), "tool_choice.name", "missing"),
            (
                of(json!({"tools": [f]})),
                "tool_choice.allowed_tools.mode",
                "`auto` or `required`",
            ),
            (
                of(json!({"mode": "none", "tools": [f]})),
                "tool_choice.allowed_tools.mode",
                "found `none`",
            ),
            (
                of(json!({"mode": "auto", "tools": []})),
                "tool_choice.allowed_tools.tools",
                "names no tool",
            ),
            (
                of(json!({"mode": "auto", "tools": [f, {"type": "mcp"}]})),
                "tool_choice.allowed_tools.tools[1].type",
                "function",
            ),
            (
                of(json!({"mode": "auto", "tools": [{"type": "function", "function": {"name": "fly"}}]})),
                "tool_choice.allowed_tools.tools[0]",
                "the offered tools are f, g, h",
            ),
        ] {
            let refusal = chosen(choice.clone()).unwrap_err();
            assert_eq!(
                refusal.param.as_deref(),
                Some(param),
                "{choice}: {}",
                refusal.message
            );
            assert!(refusal.message.contains(told), "{choice}: {}", refusal.message);
        }
    }
}
