//! The JSON schema of a tool, as chat templates take it.

use super::check;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// The JSON schema of one tool as chat templates take it: `{"type": "function", "function": {…}}`.
///
/// Deserializing checks the shape, as [`ToolSchema::new`] does; what the value holds is rendered as it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Value")]
pub struct ToolSchema(pub Value);

impl ToolSchema {
    /// Checks the shape `{"type": "function", "function": {"name", "description", "parameters"}}`.
    ///
    /// A bare function object `{"name", …}` is wrapped. A tool without arguments may leave `parameters` out.
    ///
    /// # Errors
    /// Names the field that is missing or has the wrong type.
    pub fn new(value: Value) -> Result<Self> {
        let schema = match value {
            Value::Object(object) if object.contains_key("function") => object.into(),
            Value::Object(object) if object.contains_key("name") => {
                json!({ "type": "function", "function": object })
            }
            other => {
                let shape =
                    r#"{"type": "function", "function": {"name": …, "description": …, "parameters": …}}"#;
                return Err(Error::invalid(
                    "tool schema",
                    format!("expected {shape}, got {}", check::found(&other)),
                ));
            }
        };
        let function = &schema["function"];
        expect(
            "tool schema",
            "type",
            &schema["type"],
            schema["type"] == "function",
            r#""function""#,
        )?;
        expect(
            "tool schema",
            "function",
            function,
            function.is_object(),
            "an object",
        )?;
        let named = function["name"].as_str().is_some_and(|name| !name.is_empty());
        expect(
            "tool schema",
            "function.name",
            &function["name"],
            named,
            "a name (string)",
        )?;

        let schema = Self(schema);
        let (place, function) = (
            format!("schema of tool `{}`", schema.name()),
            &schema.0["function"],
        );
        let described = function["description"].is_string();
        expect(
            &place,
            "function.description",
            &function["description"],
            described,
            "a text (string)",
        )?;
        if let Some(parameters) = function.get("parameters") {
            let shape = r#"an object {"type": "object", "properties": {…}}"#;
            let fits = parameters["type"] == "object" || parameters.as_object().is_some_and(Map::is_empty);
            expect(&place, "function.parameters", parameters, fits, shape)?;
            let properties = parameters.get("properties");
            let fits = properties.is_none_or(Value::is_object);
            let found = properties.unwrap_or(&Value::Null);
            expect(&place, "function.parameters.properties", found, fits, "an object")?;
        }
        Ok(schema)
    }

    /// Name of the tool.
    pub fn name(&self) -> &str {
        self.0["function"]["name"].as_str().unwrap_or_default()
    }

    /// What the tool does, for the model.
    pub fn description(&self) -> &str {
        self.0["function"]["description"].as_str().unwrap_or_default()
    }

    /// JSON schema of the arguments: `{"type": "object", "properties": {…}, "required": […]}`; null if
    /// absent.
    pub fn parameters(&self) -> &Value {
        &self.0["function"]["parameters"]
    }

    /// All problems of `arguments`, as (field, what was expected and what came); empty if they fit.
    ///
    /// A field is a path such as `stops[1].minutes`. Types are strict, as the Rust function behind a tool and
    /// the scoring of benchmarks are: `5.0` and `"5"` are not integers. What no schema asks for is a problem.
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

    #[test]
    fn a_wrong_shape_is_refused_with_the_field() {
        assert!(error(json!([1])).contains(r#"expected {"type": "function""#));
        assert!(
            error(json!({"function": {"name": "f"}})).contains("`type`: expected \"function\", got nothing")
        );
        assert!(
            error(json!({"name": 3})).contains("`function.name`: expected a name (string), got integer 3")
        );
        assert!(error(json!({"name": "f"})).starts_with("schema of tool `f`: `function.description`"));
        let list = json!({"name": "f", "description": "", "parameters": []});
        assert!(error(list).contains("`function.parameters`: expected an object"));
        let list =
            json!({"name": "f", "description": "", "parameters": {"type": "object", "properties": []}});
        assert!(error(list).contains("`function.parameters.properties`: expected an object, got array []"));
    }

    #[test]
    fn serde_reads_what_it_wrote_and_refuses_a_wrong_shape() {
        let text = r#"{"type":"function","function":{"name":"f","description":"Does it."}}"#;
        let schema: ToolSchema = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&schema).unwrap(), text);
        assert!(serde_json::from_str::<ToolSchema>("{}").is_err());
    }
}
