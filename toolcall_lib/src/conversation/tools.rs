//! The tools of a row, in every form that data files use.

use super::arrow::Shapes;
use super::calls::{all, decoded};
use crate::error::{Problem, Result as Checked};
use crate::json::kind;
use crate::tool::{ToolSchema, flat};
use indexmap::IndexSet;
use serde_json::{Map, Value};

/// The tools of a row: a list of schemas or its JSON string; none if it is absent. Older files have
/// `functions`.
pub(super) fn tools(
    row: &Map<String, Value>,
    shapes: &Shapes,
    notes: &mut IndexSet<String>,
) -> Result<Vec<ToolSchema>, Vec<Problem>> {
    let given = |key: &str| row.get(key).filter(|value| !value.is_null() && *value != "");
    let (key, value) = match (given("tools"), given("functions")) {
        (None, None) => return Ok(Vec::new()),
        (Some(_), Some(_)) => {
            return Err(vec![(
                "functions".into(),
                "is given as well as `tools`; a row has its tools once".into(),
            )]);
        }
        (Some(value), None) => ("tools", value),
        (None, Some(value)) => ("functions", value),
    };
    let list = decoded(value, key).map_err(|problem| vec![problem])?;
    let schemas = match list {
        Value::Null => return Ok(Vec::new()),
        Value::Array(schemas) => schemas,
        other => {
            let problem = format!("found {}, expected a list of schemas", kind(&other));
            return Err(vec![(key.into(), problem)]);
        }
    };
    all(schemas.into_iter().enumerate().map(|(index, mut schema)| {
        let field = format!("{key}[{index}]");
        if let Value::String(_) = schema {
            schema = decoded(&schema, &field).map_err(|problem| vec![problem])?;
        } else if value.is_array() && shapes.tools.clean_tool(&mut schema) > 0 {
            notes.insert(NULLS.to_string());
        }
        tool(schema, notes).map_err(|error| vec![(field, error.to_string())])
    }))
}

/// Reads the schema of a tool, also one whose arguments are in a flat map.
pub(super) fn tool(mut schema: Value, notes: &mut IndexSet<String>) -> Checked<ToolSchema> {
    let unknown = flat::unfold(&mut schema);
    let unknown = unknown.iter();
    notes.extend(unknown.map(|kind| format!("arguments of the type `{kind}` may have any value")));
    ToolSchema::new(schema)
}

const NULLS: &str = "null is read as absent in the schemas of tools, for keys that other schemas have, as Arrow writes \
    absent keys; to keep it, write tools as JSON text";
