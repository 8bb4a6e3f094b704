//! A tool that can be called, and the call.

use super::{ToolSchema, check, shape};
use crate::error::{Error, Result, joined};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use std::fmt;
use std::sync::Arc;

/// A call that a model asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ToolCall {
    /// Id of the call, if it has one. The answer of the tool refers to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Name of the tool.
    pub name: String,
    /// Its arguments by name, in the order they were written.
    pub arguments: Map<String, Value>,
}

impl ToolCall {
    /// Makes a call of the tool `name`; `arguments` is a JSON object.
    ///
    /// # Errors
    /// `arguments` is not an object.
    pub fn new(name: impl Into<String>, arguments: Value) -> Result<Self> {
        let name = name.into();
        match arguments {
            Value::Object(arguments) => Ok(Self {
                id: None,
                name,
                arguments,
            }),
            other => Err(Error::invalid(
                format!("call of `{name}`"),
                format!(
                    "expected the arguments as an object {{\"name\": value}}, got {}",
                    check::found(&other)
                ),
            )),
        }
    }

    /// Checks that this is a call of the tool with this schema, and that its arguments fit.
    ///
    /// # Errors
    /// The name of another tool, or all arguments that do not fit.
    pub fn check(&self, schema: &ToolSchema) -> Result<()> {
        let place = format!("call of `{}`", self.name);
        if self.name != schema.name() {
            return Err(Error::invalid(place, format!("this is tool `{}`", schema.name())));
        }
        let mut problems = schema.check(&self.arguments);
        for (field, _) in &mut problems {
            *field = format!("argument `{field}`");
        }
        match problems.is_empty() {
            true => Ok(()),
            false => Err(Error::invalid(place, joined(&problems))),
        }
    }
}

/// A tool that can be called: its schema and the Rust function behind it.
#[derive(Clone)]
pub struct Tool {
    /// Schema that is shown to the model.
    pub schema: ToolSchema,
    function: Arc<dyn Fn(Map<String, Value>) -> Result<Value> + Send + Sync>,
}

impl Tool {
    /// Makes a tool whose arguments are the fields of the struct `P`.
    ///
    /// The doc comment of the struct describes the tool, those of its fields describe the
    /// arguments. `function` is a function or a closure that owns what it uses; the model gets its
    /// error as the answer.
    ///
    /// A program that depends on `serde` and `schemars` itself needs no `crate = …` lines; a
    /// notebook cell, where `toolcall_lib` is the only dependency, does:
    ///
    /// ```
    /// use toolcall_lib::schemars::JsonSchema;
    /// use toolcall_lib::serde::Deserialize;
    /// use toolcall_lib::serde_json::json;
    /// use toolcall_lib::{Tool, ToolCall};
    ///
    /// #[derive(Deserialize, JsonSchema)]
    /// #[serde(crate = "toolcall_lib::serde")]
    /// #[schemars(crate = "toolcall_lib::schemars")]
    /// /// Creates a reminder.
    /// struct CreateReminder {
    ///     /// When to remind.
    ///     time: String,
    ///     /// What of.
    ///     note: Option<String>,
    /// }
    ///
    /// fn create_reminder(reminder: CreateReminder) -> Result<String, String> {
    ///     let note: String = reminder.note.ok_or("What shall I remind you of?")?;
    ///     Ok(format!("I'll remind you to {note} at {}.", reminder.time))
    /// }
    ///
    /// let tool: Tool = Tool::from_struct("create_reminder", create_reminder)?;
    /// let arguments = json!({"time": "9 PM", "note": "call mom"});
    /// let call: ToolCall = ToolCall::new("create_reminder", arguments)?;
    /// assert_eq!(tool.call(&call)?, "I'll remind you to call mom at 9 PM.");
    /// # Ok::<(), toolcall_lib::Error>(())
    /// ```
    ///
    /// # Errors
    /// If `P` is not a struct with named fields, if it or a field has no doc comment, or if a type
    /// contains itself.
    pub fn from_struct<P, R, E>(
        name: impl Into<String>,
        function: impl Fn(P) -> std::result::Result<R, E> + Send + Sync + 'static,
    ) -> Result<Self>
    where
        P: DeserializeOwned + JsonSchema + 'static,
        R: Serialize,
        E: fmt::Display,
    {
        let name = name.into();
        let schema = schema_of::<P>(&name)?;
        let function = move |arguments| {
            let parameters: P = from_arguments(&name, arguments)?;
            let failed = Error::library(format!("tool `{name}`"));
            let output = function(parameters).map_err(|error| failed(error.to_string()))?;
            serde_json::to_value(output).map_err(Error::library(format!("output of tool `{name}` as JSON")))
        };
        Ok(Self {
            schema,
            function: Arc::new(function),
        })
    }

    /// Name of the tool.
    pub fn name(&self) -> &str {
        self.schema.name()
    }

    /// Runs the function with the arguments of `call`.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the call names another tool, or with all arguments that do not fit;
    /// [`Error::Library`] with the error of the function if it failed.
    pub fn call(&self, call: &ToolCall) -> Result<Value> {
        call.check(&self.schema)?;
        (self.function)(call.arguments.clone())
    }
}

/// Runs `call` and returns its answer for the model. A string stays as it is, any other output is
/// JSON. If there is no output, the answer is `error: …` with the reason.
///
/// # Examples
/// ```
/// use serde_json::json;
/// use toolcall_lib::{ToolCall, answer, tool};
///
/// /// Doubles a number.
/// ///
/// /// Args:
/// ///     number: Number to double.
/// #[tool]
/// fn double(number: i64) -> i64 {
///     2 * number
/// }
///
/// let call = ToolCall::new("double", json!({"number": 21}))?;
/// assert_eq!(answer(&[double_tool()], &call), "42");
/// let call = ToolCall::new("double", json!({"number": "many"}))?;
/// assert!(answer(&[double_tool()], &call).starts_with("error: "));
/// # Ok::<(), toolcall_lib::Error>(())
/// ```
pub fn answer(tools: &[Tool], call: &ToolCall) -> String {
    let Some(tool) = tools.iter().find(|tool| tool.name() == call.name) else {
        return format!("error: there is no tool `{}`", call.name);
    };
    match tool.call(call) {
        Ok(Value::String(text)) => text,
        Ok(value) => value.to_string(),
        Err(error) => format!("error: {error}"),
    }
}

impl fmt::Debug for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tool").field(&self.name()).finish()
    }
}

/// Deserializes arguments that fit the schema. An error here is finer than a schema, such as the
/// range of `u8`.
fn from_arguments<P: DeserializeOwned>(name: &str, arguments: Map<String, Value>) -> Result<P> {
    serde_path_to_error::deserialize(Value::Object(arguments)).map_err(|error| {
        let problem = format!("argument `{}`: {}", error.path(), error.inner());
        Error::invalid(format!("call of `{name}`"), problem)
    })
}

fn schema_of<P: JsonSchema>(name: &str) -> Result<ToolSchema> {
    let refuse = |problem: String| Err(Error::invalid(format!("tool `{name}`"), problem));
    let type_name = P::schema_name();
    let mut parameters = match shape::of_argument::<P>() {
        Ok(Value::Object(parameters)) if parameters.get("type").is_some_and(|kind| kind == "object") => {
            parameters
        }
        Ok(_) => {
            return refuse(format!(
                "`{type_name}` must be a struct with named fields, one per argument"
            ));
        }
        Err(recursive) => {
            return refuse(format!(
                "the type `{recursive}` contains itself, so the schema of a tool would not end; \
                use a type without recursion, or serde_json::Value"
            ));
        }
    };
    let Some(Value::String(description)) = parameters.shift_remove("description") else {
        return refuse(format!(
            "`{type_name}` has no description: write a doc comment (///) over the struct"
        ));
    };
    let properties = parameters.shift_remove("properties").unwrap_or_else(|| json!({}));
    for (field, schema) in properties.as_object().into_iter().flatten() {
        if schema["description"].as_str().is_none_or(str::is_empty) {
            return refuse(format!(
                "argument `{field}` has no description: \
                write a doc comment (///) over the field of `{type_name}`"
            ));
        }
    }
    parameters.shift_insert(1, "properties".to_string(), properties);
    ToolSchema::new(json!({ "name": name, "description": description, "parameters": parameters }))
}
