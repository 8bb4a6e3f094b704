//! The tools of a row, in every form that data files use.

use super::arrow::Shapes;
use super::calls::{all, decoded};
use crate::error::{Problem, Result as Checked};
use crate::json::kind;
use crate::tool::{ToolSchema, flat};
use serde_json::{Map, Value};

/// The tools of a row: a list of schemas or its JSON string; none if it is absent. Older files have
/// `functions`.
pub(super) fn tools(
    row: &Map<String, Value>,
    shapes: &Shapes,
    notes: &mut Vec<String>,
) -> Result<Vec<ToolSchema>, Vec<Problem>> {
    let given = |key: &str| row.get(key).filter(|value| !value.is_null() && *value != "");
    let (key, value) = match (given("tools"), given("functions")) {
        (None, None) => return Ok(Vec::new()),
        (Some(_), Some(_)) => {
            return Err(vec![(
                "functions".into(),
                "is there besides `tools`; a row has its tools once".into(),
            )]);
        }
        (Some(value), None) => ("tools", value),
        (None, Some(value)) => ("functions", value),
    };
    let list = decoded(value, key).map_err(|problem| vec![problem])?;
    let Value::Array(schemas) = list else {
        return Err(vec![(
            key.into(),
            format!("found {}, expected a list of schemas", kind(&list)),
        )]);
    };
    all(schemas.into_iter().enumerate().map(|(index, mut schema)| {
        let field = format!("{key}[{index}]");
        if let Value::String(_) = schema {
            schema = decoded(&schema, &field).map_err(|problem| vec![problem])?;
        } else if value.is_array() {
            shapes.tools.clean_tool(&mut schema);
        }
        tool(schema, notes).map_err(|error| vec![(field, error.to_string())])
    }))
}

/// Reads the schema of a tool, also one whose arguments are in a flat map.
pub(super) fn tool(mut schema: Value, notes: &mut Vec<String>) -> Checked<ToolSchema> {
    for unknown in flat::unfold(&mut schema) {
        let note = format!("arguments of the type `{unknown}` may have any value");
        if !notes.contains(&note) {
            notes.push(note);
        }
    }
    ToolSchema::new(schema)
}
