//! The JSON schema of a tool, as chat templates take it.

use super::check;
use super::flat::{describes, is_flat};
use crate::error::{Error, Result, nearest_within};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::HashSet;

/// The JSON schema of one tool as chat templates take it: `{"type": "function", "function": {…}}`.
///
/// Deserializing checks the shape, as [`ToolSchema::new`] does. The content of the value is
/// rendered as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Value")]
pub struct ToolSchema(pub Value);

/// Names under which a function may have the schema of its arguments: those of OpenAI, Anthropic
/// and MCP.
pub(crate) const PARAMETERS: [&str; 3] = ["parameters", "input_schema", "inputSchema"];

/// Keys of a tool in the forms of MCP, Anthropic and the Responses API that are about the client or
/// the server. The model is not shown them.
const NOT_FOR_THE_MODEL: [&str; 9] = [
    "_meta",
    "allowed_callers",
    "annotations",
    "defer_loading",
    "eager_input_streaming",
    "execution",
    "icons",
    "outputSchema",
    "title",
];

/// Keys that are in a function by mistake: they look like a part of its arguments, but are not
/// read.
const MISTAKEN: [&str; 11] = [
    "parameter",
    "params",
    "param",
    "args",
    "arguments",
    "input",
    "inputs",
    "properties",
    "schema",
    "required",
    "functionDeclarations",
];

/// Parts of the names of keys that say what a tool returns, or describe it in other ways.
const ABOUT: [&str; 10] = [
    "output",
    "return",
    "respon",
    "result",
    "error",
    "exception",
    "example",
    "annotation",
    "meta",
    "doc",
];

/// Parts of the names of keys that hold the arguments of a tool.
const OF_ARGUMENTS: [&str; 5] = ["parameter", "argument", "args", "schema", "properties"];

impl ToolSchema {
    /// Reads the schema of a tool, in any of the forms that APIs have:
    ///
    /// - `{"type": "function", "function": {"name", "description", "parameters"}}`, which is kept
    ///   as it is;
    /// - the same in one object, with `type` (Responses API) or without, which is wrapped;
    /// - with `input_schema` (Anthropic) or `inputSchema` (MCP) for `parameters`.
    ///
    /// `strict` and `cache_control` are dropped, and so is what the last two forms say to clients
    /// and servers, such as `annotations` and `outputSchema`: the model has no use for it.
    ///
    /// A tool without arguments may leave `parameters` out, and a tool may be without a
    /// description.
    ///
    /// # Errors
    /// A field is missing, unknown or of the wrong type, or the schema of the arguments is invalid.
    /// The error names the field.
    pub fn new(value: Value) -> Result<Self> {
        let schema = Self(wrapped(value)?);
        let place = format!("schema of tool `{}`", schema.name());
        let function = &schema.0["function"];
        let wrong = |field: &str, value: &Value, fits, expected: &str| {
            expect(&place, &format!("function.{field}"), value, fits, expected)
        };
        let description = &function["description"];
        let fits = description.is_string() || description.is_null();
        wrong("description", description, fits, "a string")?;
        let Some(parameters) = function
            .get("parameters")
            .filter(|parameters| !parameters.is_null())
        else {
            return Ok(schema);
        };
        let shape = r#"the schema of an object, such as {"type": "object", "properties": {…}}"#;
        wrong("parameters", parameters, is_of_object(parameters), shape)?;
        let properties = parameters.get("properties").unwrap_or(&Value::Null);
        let fits = properties.is_object() || properties.is_null();
        wrong("parameters.properties", properties, fits, "an object")?;
        check::refuse_bad_schema(parameters).map_err(|problem| Error::invalid(place, problem))?;
        Ok(schema)
    }

    /// Returns the name of the tool.
    pub fn name(&self) -> &str {
        self.0["function"]["name"].as_str().unwrap_or_default()
    }

    /// Returns the description of the tool, for the model.
    pub fn description(&self) -> &str {
        self.0["function"]["description"].as_str().unwrap_or_default()
    }

    /// Returns the JSON schema of the arguments:
    /// `{"type": "object", "properties": {…}, "required": […]}`; null if absent.
    pub fn parameters(&self) -> &Value {
        &self.0["function"]["parameters"]
    }

    /// Returns all problems of `arguments`, as (field, what was expected and what came); empty if
    /// they fit.
    ///
    /// A field is a path such as `stops[1].minutes`. Types are strict, like the Rust function
    /// behind a tool and the scoring of benchmarks: `5.0` and `"5"` are not integers. An argument
    /// that no schema asks for is a problem.
    ///
    /// ```
    /// use serde_json::{Map, Value, json};
    /// use toolcall_lib::ToolSchema;
    ///
    /// let schema: ToolSchema = ToolSchema::new(json!({
    ///     "name": "start_timer",
    ///     "description": "Starts a timer.",
    ///     "parameters": {"type": "object", "properties": {"duration": {"type": "integer"}}}
    /// }))?;
    /// let arguments: Map<String, Value> = serde_json::from_str(r#"{"duration": "5"}"#).unwrap();
    /// let (field, problem) = &schema.check(&arguments)[0];
    /// assert_eq!((&**field, &**problem), ("duration", r#"expected integer, got string "5""#));
    /// # Ok::<(), toolcall_lib::Error>(())
    /// ```
    pub fn check(&self, arguments: &Map<String, Value>) -> Vec<(String, String)> {
        check::arguments(self.parameters(), arguments)
    }

    /// Returns where arguments do not fit; `None` if that cannot be decided.
    pub(crate) fn failures(&self, arguments: &Value) -> Option<check::Failures> {
        check::Checker::of(self.parameters()).ok()?.failures(arguments)
    }
}

/// Brings all forms to `{"type": "function", "function": {…, "parameters": …}}`.
fn wrapped(value: Value) -> Result<Value> {
    const PLACE: &str = "tool schema";
    // 1. Wrap a function that stands alone.
    let mut schema = match value {
        Value::Object(object) if object.get("function").is_some_and(|function| !function.is_null()) => {
            with_type(object)
        }
        Value::Object(mut object) if object.contains_key("name") => {
            object.retain(|key, _| !NOT_FOR_THE_MODEL.contains(&key.as_str()));
            let kind = object.shift_remove("type").unwrap_or_else(|| "function".into());
            Map::from_iter([
                ("type".to_string(), kind),
                ("function".to_string(), object.into()),
            ])
        }
        other => {
            let shape = r#"{"type": "function", "function": {"name": …, "description": …, "parameters": …}}"#;
            let problem = format!("expected {shape}, got {}", check::found(&other));
            return Err(Error::invalid(PLACE, problem));
        }
    };
    // 2. Check the outer object.
    let kind = schema.get("type").unwrap_or(&Value::Null);
    expect(PLACE, "type", kind, kind == "function", r#""function""#)?;
    drop_settings(&mut schema, PLACE, "")?;
    refuse_mistaken(&schema, PLACE, "")?;
    let Some(Value::Object(function)) = schema.get_mut("function") else {
        let function = schema.get("function").unwrap_or(&Value::Null);
        return expect(PLACE, "function", function, false, "an object").map(|()| Value::Null);
    };
    // 3. Check the function.
    let name = function.get("name").unwrap_or(&Value::Null);
    let named = name.as_str().is_some_and(|name| !name.is_empty());
    expect(PLACE, "function.name", name, named, "a name (string)")?;
    let place = format!("schema of tool `{}`", name.as_str().unwrap_or_default());
    drop_settings(function, &place, "function.")?;
    rename_parameters(function, &place)?;
    refuse_mistaken(function, &place, "function.")?;
    Ok(schema.into())
}

/// Adds the type in front where it is absent, as in the data of Gemma.
fn with_type(mut schema: Map<String, Value>) -> Map<String, Value> {
    if schema.get("type").is_none_or(Value::is_null) {
        schema.shift_insert(0, "type".into(), "function".into());
    }
    schema
}

/// Drops `strict` and `cache_control`. Calls are constrained to every schema, strict or not, and
/// every prompt is cached.
fn drop_settings(object: &mut Map<String, Value>, place: &str, within: &str) -> Result<()> {
    object.shift_remove("cache_control");
    let strict = object.shift_remove("strict").unwrap_or_default();
    let fits = strict.is_boolean() || strict.is_null();
    expect(place, &format!("{within}strict"), &strict, fits, "true or false")
}

/// Puts the schema of the arguments under the name that templates look for, in the same place of
/// the object.
fn rename_parameters(function: &mut Map<String, Value>, place: &str) -> Result<()> {
    let given = PARAMETERS
        .into_iter()
        .filter(|key| function.get(*key).is_some_and(|value| !value.is_null()));
    match given.collect::<Vec<_>>()[..] {
        [] | ["parameters"] => Ok(()),
        [key] => {
            function.shift_remove("parameters");
            let renamed = std::mem::take(function).into_iter().map(|(name, value)| {
                let name = if name == key {
                    "parameters".to_string()
                } else {
                    name
                };
                (name, value)
            });
            *function = renamed.collect();
            Ok(())
        }
        [first, second, ..] => {
            let problem = format!(
                "`function.{second}`: is given as well as `{first}`; a tool has one schema of arguments"
            );
            Err(Error::invalid(place, problem))
        }
    }
}

fn refuse_mistaken(object: &Map<String, Value>, place: &str, within: &str) -> Result<()> {
    let misplaced: &[&str] = match within {
        "" => &["parameters", "name"],
        _ => &["function"],
    };
    let mut mistaken = MISTAKEN.iter().chain(misplaced).copied();
    let mistaken = mistaken.find(|key| object.contains_key(*key));
    if mistaken.is_none() {
        refuse_misspelt(object, place, within)?;
    }
    match mistaken.or_else(|| of_arguments(object)) {
        None => Ok(()),
        Some(key) => {
            let advice =
                "the arguments of a tool belong in `function.parameters`, with `properties` and `required`";
            Err(Error::invalid(
                place,
                format!("`{within}{key}`: is not read here; {advice}"),
            ))
        }
    }
}

/// Returns a key of a tool that holds its arguments, by the name, or by the form of its value if
/// the tool has no other schema of them.
fn of_arguments(object: &Map<String, Value>) -> Option<&str> {
    let function = object.get("function").and_then(Value::as_object);
    let schema = |key: &str| function.unwrap_or(object).get(key);
    let has_schema = PARAMETERS.iter().any(|key| schema(key).is_some_and(is_filled));
    let has = |key: &str, parts: &[&str]| parts.iter().any(|part| key.contains(part));
    let mut others = object
        .iter()
        .filter(|(key, _)| !["function", "parameters"].contains(&key.as_str()));
    let found = others.find(|(key, value)| {
        let name = key.to_ascii_lowercase();
        let is_meant = || has(&name, &OF_ARGUMENTS) || !has_schema && describes_arguments(value);
        is_filled(value) && !has(&name, &ABOUT) && is_meant()
    });
    found.map(|(key, _)| key.as_str())
}

/// Returns true for an object or a list that is not empty.
fn is_filled(value: &Value) -> bool {
    value.as_object().is_some_and(|object| !object.is_empty())
        || value.as_array().is_some_and(|list| !list.is_empty())
}

/// Returns true for the schema of an object, for a map of arguments, and for a list of them.
fn describes_arguments(value: &Value) -> bool {
    match value {
        Value::Object(object) => is_of_object(value) || is_flat(object),
        Value::Array(list) => list
            .iter()
            .all(|entry| entry["name"].is_string() && describes(entry)),
        _ => false,
    }
}

/// Refuses a key that is almost one that is read.
fn refuse_misspelt(object: &Map<String, Value>, place: &str, within: &str) -> Result<()> {
    let read = || PARAMETERS.into_iter().chain(["description", "function", "name"]);
    for key in object.keys().filter(|key| !read().any(|known| known == *key)) {
        // Two letters at most: `output_schema`, no mistake, is three letters from `input_schema`.
        if let Some(near) = nearest_within(key, read(), 2) {
            let problem = format!("`{within}{key}`: is not a known key of a tool; did you mean `{near}`?");
            return Err(Error::invalid(place, problem));
        }
    }
    Ok(())
}

/// Iterates over the indices of the tools that have the same name as one before them.
pub(crate) fn doubled(tools: &[ToolSchema]) -> impl Iterator<Item = usize> {
    let mut seen = HashSet::new();
    (0..tools.len()).filter(move |&place| !seen.insert(tools[place].name()))
}

/// Returns true for a value that is meant as the schema of a tool.
pub(crate) fn is_tool(value: &Value) -> bool {
    value.get("function").or(value.get("name")).is_some()
}

/// Returns true for a schema of arguments: it says so, or has what only objects have, or says
/// nothing at all.
fn is_of_object(parameters: &Value) -> bool {
    let Some(schema) = parameters.as_object() else {
        return false;
    };
    let is_object = |kind: &Value| ["object", "dict", "OBJECT"].iter().any(|name| kind == name);
    match schema.get("type").filter(|kind| !kind.is_null()) {
        Some(Value::Array(kinds)) => kinds.iter().any(is_object),
        Some(kind) => is_object(kind),
        None => {
            let says = [
                "properties",
                "required",
                "anyOf",
                "oneOf",
                "allOf",
                "$ref",
                "additionalProperties",
            ];
            schema.is_empty() || says.iter().any(|key| schema.contains_key(*key))
        }
    }
}

impl TryFrom<Value> for ToolSchema {
    type Error = Error;

    fn try_from(value: Value) -> Result<Self> {
        Self::new(value)
    }
}

fn expect(place: &str, field: &str, value: &Value, fits: bool, expected: &str) -> Result<()> {
    if fits {
        return Ok(());
    }
    let found = if value.is_null() {
        "nothing".to_string()
    } else {
        check::found(value)
    };
    Err(Error::invalid(
        place,
        format!("`{field}`: expected {expected}, got {found}"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn error(value: Value) -> String {
        ToolSchema::new(value).unwrap_err().to_string()
    }

    #[test]
    fn a_bare_function_is_wrapped_and_a_wrapped_one_is_kept() {
        let function = json!({"name": "f", "description": "Does it.", "parameters": {"type": "object"}});
        let wrapped = json!({"type": "function", "function": function});
        let schema = ToolSchema::new(function.clone()).unwrap();
        assert_eq!(schema, ToolSchema::new(wrapped.clone()).unwrap());
        assert_eq!(schema.0, wrapped);
        assert_eq!((schema.name(), schema.description()), ("f", "Does it."));
        assert_eq!(schema.parameters(), &json!({"type": "object"}));
    }

    /// The prompt of a request, of `--tools` and of a training row is the same.
    #[test]
    fn the_model_is_not_shown_what_is_for_clients_and_servers() {
        let parameters = json!({"type": "object", "properties": {}});
        let function = json!({"name": "f", "description": "Does it.", "parameters": parameters});
        let plain = ToolSchema::new(function.clone()).unwrap();
        for written in [
            json!({"type": "function", "name": "f", "description": "Does it.", "strict": true, "parameters": parameters}),
            json!({"type": "function", "strict": false, "cache_control": {"type": "ephemeral"}, "function": function}),
            json!({"type": "function", "function": {"name": "f", "strict": null, "description": "Does it.",
                "parameters": parameters, "cache_control": {"type": "ephemeral"}}}),
            json!({"name": "f", "title": "F", "description": "Does it.", "icons": [], "inputSchema": parameters,
                "outputSchema": {"type": "object"}, "annotations": {"readOnlyHint": true}, "execution": {}, "_meta": {}}),
            json!({"name": "f", "description": "Does it.", "input_schema": parameters, "defer_loading": true,
                "cache_control": {"type": "ephemeral"}}),
        ] {
            let read = ToolSchema::new(written.clone()).unwrap();
            assert_eq!(read.0.to_string(), plain.0.to_string(), "{written}");
        }
        assert_eq!(
            error(json!({"name": "f", "strict": "yes"})),
            "schema of tool `f`: `function.strict`: expected true or false, got string \"yes\""
        );
    }

    #[test]
    fn a_wrong_shape_is_refused_with_the_field() {
        assert!(error(json!([1])).contains(r#"expected {"type": "function""#));
        assert!(
            error(json!({"type": "web_search", "function": {"name": "f"}}))
                .contains("`type`: expected \"function\"")
        );
        let untyped = ToolSchema::new(json!({"function": {"name": "f"}})).unwrap();
        assert_eq!(
            untyped.0.to_string(),
            r#"{"type":"function","function":{"name":"f"}}"#
        );
        assert!(
            error(json!({"name": 3})).contains("`function.name`: expected a name (string), got integer 3")
        );
        let number = error(json!({"name": "f", "description": 7}));
        assert!(
            number.starts_with("schema of tool `f`: `function.description`: expected a string"),
            "{number}"
        );
        let list = json!({"name": "f", "description": "", "parameters": []});
        assert!(error(list).contains("`function.parameters`: expected the schema of an object, such as"));
        let or_null =
            json!({"name": "f", "parameters": {"type": ["object", "null"], "properties": {"a": {}}}});
        ToolSchema::new(or_null).unwrap();
        let list =
            json!({"name": "f", "description": "", "parameters": {"type": "object", "properties": []}});
        assert!(error(list).contains("`function.parameters.properties`: expected an object, got array []"));
    }

    #[test]
    fn arguments_under_any_other_name_are_refused() {
        let minutes = json!({"minutes": {"type": "integer"}});
        let schema = json!({"type": "object", "properties": minutes});
        let list = json!([{"name": "minutes", "type": "integer"}]);
        for key in [
            "parametersJsonSchema",
            "args_schema",
            "parameter_definitions",
            "json_schema",
            "argument_schema",
            "parameters_schema",
            "input_parameters",
            "api_parameters",
            "optional_parameters",
            "required_parameters",
            "kwargs",
            "signature",
            "expects",
        ] {
            for value in [&schema, &minutes, &list] {
                let function = json!({"name": "f", key: value});
                let says = format!("schema of tool `f`: `function.{key}`: is not read here; the arguments");
                assert!(error(function.clone()).starts_with(&says), "{}", error(function));
                let outside = json!({"type": "function", "function": {"name": "f"}, key: value});
                assert!(error(outside).starts_with(&format!("tool schema: `{key}`: is not read here")));
            }
        }
        for (key, value) in [
            ("outputSchema", &schema),
            ("returns", &schema),
            ("response", &minutes),
            ("errors", &list),
            ("annotations", &json!({"title": "F", "readOnlyHint": true})),
            ("cache_control", &json!({"type": "ephemeral"})),
            ("tags", &json!(["plants"])),
            ("strict", &json!(true)),
            ("kwargs", &json!({})),
            ("signature", &json!({"algorithm": "ed25519", "value": "c2ln"})),
        ] {
            ToolSchema::new(json!({"name": "f", key: value})).unwrap_or_else(|e| panic!("{e}"));
        }
        let authors = json!([{"name": "Ada", "description": "Wrote it."}]);
        for parameters in ["parameters", "input_schema"] {
            let function = json!({"name": "f", parameters: schema, "authors": authors});
            ToolSchema::new(function).unwrap_or_else(|e| panic!("{e}"));
        }
        let function = json!({"name": "f", "input_schema": schema});
        let outside = json!({"type": "function", "function": function, "authors": authors});
        ToolSchema::new(outside).unwrap_or_else(|e| panic!("{e}"));
        let empty = error(json!({"name": "f", "parameters": {}, "authors": authors}));
        assert!(empty.contains("`function.authors`: is not read here"), "{empty}");
    }

    #[test]
    fn serde_reads_what_it_wrote_and_refuses_a_wrong_shape() {
        let text = r#"{"type":"function","function":{"name":"f","description":"Does it."}}"#;
        let schema: ToolSchema = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&schema).unwrap(), text);
        assert!(serde_json::from_str::<ToolSchema>("{}").is_err());
    }
}
