//! The choice of a tool: whether the model may, must or must not call one.

use crate::error::{Error, Result};
use crate::tool::ToolSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::fmt;
use std::str::FromStr;

/// The `tool_choice` of OpenAI's API: whether the model may, must or must not call tools. In JSON
/// it is written as below; the command line takes the three words or the name of a tool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "Value")]
pub enum ToolChoice {
    /// `"auto"`: the model writes text, calls one or more tools, or both.
    #[default]
    Auto,
    /// `"required"`: the model calls one or more tools and writes no text.
    Required,
    /// `"none"`: the model calls no tool, although it sees them.
    None,
    /// `{"type": "function", "function": {"name": …}}`: the model calls this tool once and writes
    /// no text.
    Function(String),
}

impl ToolChoice {
    /// Returns the tools that may be called.
    ///
    /// # Errors
    /// A call is required, but no tool is offered or none has the name.
    pub(crate) fn among(&self, tools: &[ToolSchema]) -> Result<Vec<ToolSchema>> {
        let names = || tools.iter().map(ToolSchema::name).collect::<Vec<_>>().join(", ");
        let refuse = |problem: String| Err(Error::invalid("tool_choice", problem));
        match self {
            Self::None => Ok(Vec::new()),
            Self::Required if tools.is_empty() => {
                refuse("`required`, but no tool is offered; offer one or choose `auto`".to_string())
            }
            Self::Auto | Self::Required => Ok(tools.to_vec()),
            Self::Function(name) => match tools.iter().find(|tool| tool.name() == name) {
                Some(tool) => Ok(vec![tool.clone()]),
                None if tools.is_empty() => refuse(format!(
                    "`{name}` is required, but no tool is offered; offer \
                    it or choose `auto`"
                )),
                None => refuse(format!(
                    "there is no tool `{name}`; the offered tools are {}",
                    names()
                )),
            },
        }
    }
}

impl FromStr for ToolChoice {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        Ok(match text {
            "auto" => Self::Auto,
            "required" => Self::Required,
            "none" => Self::None,
            name => Self::Function(name.to_string()),
        })
    }
}

impl fmt::Display for ToolChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Required => "required",
            Self::None => "none",
            Self::Function(name) => name,
        })
    }
}

impl From<ToolChoice> for Value {
    fn from(choice: ToolChoice) -> Self {
        match choice {
            ToolChoice::Function(name) => json!({"type": "function", "function": {"name": name}}),
            word => word.to_string().into(),
        }
    }
}

impl TryFrom<Value> for ToolChoice {
    type Error = Error;

    fn try_from(value: Value) -> Result<Self> {
        let name = &value["function"]["name"];
        match (value.as_str(), name.as_str()) {
            (Some(word @ ("auto" | "required" | "none")), _) => Ok(word.parse().unwrap_or_default()),
            (None, Some(name)) => Ok(Self::Function(name.to_string())),
            _ => {
                let expected =
                    r#""auto", "required", "none" or {"type": "function", "function": {"name": …}}"#;
                Err(Error::invalid(
                    "tool_choice",
                    format!("expected {expected}, got {value}"),
                ))
            }
        }
    }
}
