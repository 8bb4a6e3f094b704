//! Display of a tool: its signature, and the descriptions of its arguments.

use super::Html;
use super::style::{MONO, MUTED, cell, table, text_table};
use crate::tool::{Tool, ToolSchema};
use maud::{Markup, html};
use serde_json::Value;
use std::fmt;

/// An argument of a tool.
struct Argument {
    name: String,
    /// Type in a word or two.
    kind: String,
    optional: bool,
    description: String,
}

impl Argument {
    /// Returns `name: type`, or `name?: type` if the argument may be left out.
    fn signature(&self) -> String {
        format!(
            "{}{}: {}",
            self.name,
            if self.optional { "?" } else { "" },
            self.kind
        )
    }
}

/// Reads the arguments from the schema of a tool.
fn arguments(schema: &ToolSchema) -> Vec<Argument> {
    let parameters = schema.parameters();
    let required = |name: &str| {
        parameters["required"]
            .as_array()
            .is_some_and(|names| names.iter().any(|other| other == name))
    };
    let properties = parameters["properties"].as_object();
    properties
        .into_iter()
        .flatten()
        .map(|(name, property)| Argument {
            name: name.clone(),
            kind: kind(property),
            optional: !required(name),
            description: property["description"].as_str().unwrap_or_default().to_string(),
        })
        .collect()
}

/// Returns the type of a property in a word or two: `integer`, `array of string`, `"low" | "high"`.
fn kind(property: &Value) -> String {
    if let Some(choices) = property["enum"].as_array() {
        return choices
            .iter()
            .map(Value::to_string)
            .collect::<Vec<_>>()
            .join(" | ");
    }
    match &property["type"] {
        Value::String(name) if name == "array" && property["items"].is_object() => {
            format!("array of {}", kind(&property["items"]))
        }
        Value::String(name) => name.clone(),
        Value::Array(names) => names
            .iter()
            .filter_map(Value::as_str)
            .collect::<Vec<_>>()
            .join(" | "),
        _ => "any".into(),
    }
}

/// Returns `tool(name: type, …)`.
fn signature(schema: &ToolSchema, arguments: &[Argument]) -> String {
    let list: Vec<String> = arguments.iter().map(Argument::signature).collect();
    format!("{}({})", schema.name(), list.join(", "))
}

impl Html for ToolSchema {
    fn html(&self) -> Markup {
        let arguments = arguments(self);
        let row = |argument: &Argument| {
            vec![
                cell(html! { span style=(MONO) { (argument.signature()) } }),
                cell(html! { (argument.description) }),
            ]
        };
        html! {
            div { b style=(MONO) { (signature(self, &arguments)) } }
            div style={ "margin:.2em 0;white-space:pre-wrap;" (MUTED) } { (self.description()) }
            (table(&[], &arguments.iter().map(row).collect::<Vec<_>>()))
        }
    }
}

impl fmt::Display for ToolSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let arguments = arguments(self);
        write!(
            f,
            "{}\n  {}",
            signature(self, &arguments),
            self.description().replace('\n', "\n  ")
        )?;
        let row = |argument: &Argument| {
            vec![
                format!("  {}", argument.signature()),
                argument.description.clone(),
            ]
        };
        match arguments[..] {
            [] => Ok(()),
            _ => write!(
                f,
                "\n{}",
                text_table(&[], &arguments.iter().map(row).collect::<Vec<_>>())
            ),
        }
    }
}

impl Html for Tool {
    fn html(&self) -> Markup {
        self.schema.html()
    }
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.schema.fmt(f)
    }
}
