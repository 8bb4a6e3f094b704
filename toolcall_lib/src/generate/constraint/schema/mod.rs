//! The schema of a tool's arguments as the grammar takes it: what it accepts, [`ToolSchema::check`] accepts too.
//!
//! A schema may say the same thing in many places: beside a reference, in `allOf`, in the branches of `anyOf`. All of it holds
//! together, so it is taken apart into [`Shape`]s, each of which is one way to fit, and every shape is written without any of
//! these. The check is stricter than JSON schema in ways that need care here: `-0` and whole numbers of more digits than an `i64`
//! has are no integers, and a number that does not fit an `f64` cannot be read at all. So numbers are held below 10^18 and
//! written without an exponent, where a schema says nothing else.
//!
//! [`ToolSchema::check`]: crate::tool::ToolSchema::check

mod shape;
mod types;

use crate::tool::validator;
use serde_json::{Map, Value, json};
use shape::merged;
use std::collections::HashMap;
use types::{array, check_number, number, object, string};

pub(super) use shape::Shape;
pub(super) use types::fields;

/// What a schema asks for that cannot be held to: where in the arguments, and the problem.
pub(super) type Unsupported = (String, String);

/// Schemas that all speak of the same value.
type All<'a> = Vec<&'a Value>;

/// Places of a schema that are written; more than any tool has, and fewer than take long.
const MOST_PLACES: usize = 10_000;

/// A schema that is taken apart.
pub(super) struct Writer<'a> {
    root: &'a Value,
    /// What was written of each place, by the addresses of the schemas that speak of it.
    written: HashMap<Vec<*const Value>, Written>,
    definitions: Map<String, Value>,
}

/// What is known of a place.
enum Written {
    /// It is being written; who needs it now refers to it.
    Begun(String),
    /// Nothing fits there.
    Nothing,
    Schema(Value),
}

/// The schema of the arguments of a call, in plain JSON schema, for the grammar.
pub(super) fn arguments(plain: &Value) -> Result<Value, Unsupported> {
    let mut writer = Writer::new(plain);
    let Some(mut schema) = writer.value(vec![plain], "")? else {
        return refuse("", "no arguments fit it");
    };
    if !writer.definitions.is_empty() {
        // What refers to the definitions must not stand beside them.
        schema = json!({"anyOf": [schema], "$defs": writer.definitions});
    }
    Ok(schema)
}

impl<'a> Writer<'a> {
    pub fn new(root: &'a Value) -> Self {
        Self {
            root,
            written: HashMap::new(),
            definitions: Map::new(),
        }
    }

    /// What references refer to.
    pub fn definitions(self) -> Map<String, Value> {
        self.definitions
    }

    /// Writes what fits all of these schemas; `None` if nothing does.
    pub fn value(&mut self, all: All<'a>, path: &str) -> Result<Option<Value>, Unsupported> {
        let key: Vec<*const Value> = all.iter().map(|schema| std::ptr::from_ref(*schema)).collect();
        match self.written.get(&key) {
            Some(Written::Begun(name)) => {
                let reference = json!({ "$ref": format!("#/$defs/{name}") });
                self.definitions.entry(name.clone()).or_insert(Value::Null);
                return Ok(Some(reference));
            }
            Some(Written::Nothing) => return Ok(None),
            Some(Written::Schema(schema)) => return Ok(Some(schema.clone())),
            None => {}
        }
        if self.written.len() >= MOST_PLACES {
            return refuse(path, "the schema is too large");
        }
        let name = self.written.len().to_string();
        self.written.insert(key.clone(), Written::Begun(name.clone()));
        let mut written = self.write(&all, path)?;
        let shared = self.definitions.contains_key(&name);
        let nested = |schema: &Value| {
            ["properties", "items", "anyOf"]
                .iter()
                .any(|keyword| schema.get(*keyword).is_some())
        };
        if shared || written.as_ref().is_some_and(nested) {
            // Nothing that is large is written twice.
            let definition = written.take().unwrap_or(Value::Bool(false));
            self.definitions.insert(name.clone(), definition);
            written = Some(json!({ "$ref": format!("#/$defs/{name}") }));
        }
        let known = written.clone().map_or(Written::Nothing, Written::Schema);
        self.written.insert(key, known);
        Ok(written)
    }

    fn write(&mut self, all: &All<'a>, path: &str) -> Result<Option<Value>, Unsupported> {
        let shapes = self.shapes(all, path)?;
        let mut ways: Vec<Value> = Vec::new();
        for shape in &shapes {
            for way in self.shape(shape, path)? {
                if !ways.contains(&way) {
                    ways.push(way);
                }
            }
        }
        Ok(match ways.len() {
            0 => None,
            1 => ways.pop(),
            _ => Some(json!({ "anyOf": ways })),
        })
    }

    /// The ways in which a value fits all of these schemas, its listed values checked.
    pub fn shapes(&self, all: &All<'a>, path: &str) -> Result<Vec<Shape<'a>>, Unsupported> {
        let mut shapes = vec![Shape::any()];
        for schema in all {
            shapes = merged(&shapes, &self.expand(schema, path, &mut Vec::new())?, path)?;
        }
        if shapes.iter().any(|shape| shape.values.is_some()) {
            let mut whole = json!({ "allOf": all });
            if let Some(definitions) = self.root.get("$defs") {
                whole["$defs"] = definitions.clone();
            }
            let validator = validator(&whole).map_err(|(_, problem)| (path.to_string(), problem))?;
            let values = shapes.iter_mut().filter_map(|shape| shape.values.as_mut());
            values.for_each(|values| values.retain(|value| validator.is_valid(value)));
            shapes.retain(|shape| shape.values.as_ref().is_none_or(|values| !values.is_empty()));
        }
        Ok(shapes)
    }

    /// Writes a shape: a schema for each type that it allows.
    pub fn shape(&mut self, shape: &Shape<'a>, path: &str) -> Result<Vec<Value>, Unsupported> {
        if let Some(values) = &shape.values {
            return Ok(vec![json!({ "enum": values })]);
        }
        if let Some(keyword) = shape.unsupported() {
            return refuse(path, format!("the keyword `{keyword}` is not supported"));
        }
        let mut ways = Vec::new();
        for kind in &shape.types {
            match *kind {
                "integer" | "number" => {
                    check_number(shape, path)?;
                    ways.extend(number(shape, *kind == "integer"));
                }
                "string" => ways.extend(string(shape)),
                "array" => ways.extend(array(self, shape, path)?),
                "object" => ways.extend(object(self, shape, path)?),
                kind => ways.push(json!({ "type": kind })),
            }
        }
        Ok(ways)
    }
}

fn refuse<T>(path: &str, problem: impl Into<String>) -> Result<T, Unsupported> {
    Err((path.to_string(), problem.into()))
}
