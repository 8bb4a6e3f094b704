//! Functions and types that the code of `#[tool]` uses. Not for direct use.
//!
//! A macro sees the name of a return type, but not its traits, and an alias hides a `Result`. So
//! method resolution makes the choice. It takes the first of: an inherent method, a trait method on
//! the value, a trait method on a reference to it.

use super::{Tool, shape};
use crate::error::Result;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::convert::Infallible;
use std::fmt::Display;
use std::marker::PhantomData;

/// Makes the tool of a function whose arguments are the fields of `P`; `returns` is the schema of
/// its output.
pub fn tool<P, R, E>(
    name: &str,
    function: impl Fn(P) -> std::result::Result<R, E> + Send + Sync + 'static,
    returns: Option<Value>,
) -> Result<Tool>
where
    P: DeserializeOwned + JsonSchema + 'static,
    R: Serialize,
    E: Display,
{
    let mut tool = Tool::from_struct(name, function)?;
    if let Some(returns) = returns {
        tool.schema.0["function"]["return"] = returns;
    }
    Ok(tool)
}

/// Output of a function; `into_result` takes a `Result` as it is and makes anything else an `Ok`.
#[derive(Debug)]
pub struct Returned<T>(pub T);

impl<T, E> Returned<std::result::Result<T, E>> {
    /// Returns the result itself.
    pub fn into_result(self) -> std::result::Result<T, E> {
        self.0
    }
}

/// [`Returned::into_result`] of a function that cannot fail.
pub trait Plain<T> {
    /// Returns the value as `Ok`.
    fn into_result(self) -> std::result::Result<T, Infallible>;
}

impl<T> Plain<T> for Returned<T> {
    fn into_result(self) -> std::result::Result<T, Infallible> {
        Ok(self.0)
    }
}

/// A return type; `(&ReturnType::<T>::new()).schema(…)` is its schema, with the description of the
/// return value.
#[derive(Debug)]
pub struct ReturnType<T>(PhantomData<T>);

impl<T> ReturnType<T> {
    /// Makes the value that stands for the type.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Self(PhantomData)
    }
}

impl<T: JsonSchema, E> ReturnType<std::result::Result<T, E>> {
    /// Returns the schema of the function's output if it does not fail.
    pub fn schema(&self, description: Option<&str>) -> Option<Value> {
        ReturnType::<T>::new().schema_of_known(description)
    }
}

impl<T: JsonSchema> ReturnType<T> {
    /// Returns `None` for a type that contains itself. The model never writes a return value, so
    /// the tool is of use without its schema.
    fn schema_of_known(&self, description: Option<&str>) -> Option<Value> {
        let mut schema = shape::of_return::<T>().ok()?;
        if let Some(description) = description {
            schema["description"] = description.into();
        }
        Some(schema)
    }
}

/// A return type that has a schema.
pub trait Known {
    /// Returns the schema.
    fn schema(&self, description: Option<&str>) -> Option<Value>;
}

impl<T: JsonSchema> Known for ReturnType<T> {
    fn schema(&self, description: Option<&str>) -> Option<Value> {
        self.schema_of_known(description)
    }
}

/// A return type without a schema: the tool leaves `return` out, as `get_json_schema` does.
pub trait Unknown {
    /// Returns `None`.
    fn schema(&self, _description: Option<&str>) -> Option<Value> {
        None
    }
}

impl<T> Unknown for &ReturnType<T> {}
