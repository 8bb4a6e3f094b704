//! The schema of a tool's arguments in the form that the grammar takes: [`ToolSchema::check`]
//! accepts everything that it accepts.
//!
//! A schema may describe one value in many places: next to a reference, in `allOf`, in the branches
//! of `anyOf`. All of it applies at once, so [`Writer`] takes it apart into [`Shape`]s, each of
//! which is one way to fit, and writes every shape without any of these keywords.
//!
//! The check is stricter than JSON schema in ways that need care here: `-0`, and numbers with more
//! digits than an `i64` holds, are not integers, and a number beyond an `f64` cannot be read at
//! all. So numbers are kept below 10^18 and without an exponent, unless a schema says otherwise.
//!
//! [`ToolSchema::check`]: crate::tool::ToolSchema::check

mod shape;
mod types;

use crate::tool::validator;
use serde_json::{Map, Value, json};
use shape::merged;
use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;
use types::{array, check_number, number, object, string};

pub(super) use shape::Shape;
pub(super) use types::fields;

/// A demand of a schema that calls cannot be constrained to: the path in the arguments, and the
/// problem.
pub(super) type Unsupported = (String, String);

/// Schemas that all describe the same value.
type All<'a> = Vec<&'a Value>;

/// Most places of a schema that are written: more than any tool has, and few enough to be quick.
const MOST_PLACES: usize = 10_000;

/// Most schemas that are taken apart, each time that a place speaks of them.
const MOST_EXPANDED: usize = 200_000;

/// Deepest place of a schema.
const DEEPEST: usize = 100;

/// Takes a schema apart and writes it for the grammar.
pub(super) struct Writer<'a> {
    root: &'a Value,
    /// Result for each place, by the addresses of the schemas that describe it.
    written: HashMap<Vec<*const Value>, Written>,
    definitions: Map<String, Value>,
    /// Number of schemas that were taken apart, by this writer and its parents.
    expanded: Rc<Cell<usize>>,
    /// Number of places around the one that is being written.
    depth: usize,
    /// A field that is required and not allowed, with the path of its object.
    undeclared: Option<(String, String)>,
}

/// Result for a place.
enum Written {
    /// The place is being written; a schema that meets it again refers to this definition.
    Begun(String),
    /// No value fits there.
    Nothing,
    Schema(Value),
}

/// Returns the schema of a call's arguments in plain JSON schema, for the grammar.
///
/// # Errors
/// Keywords that the grammar cannot express, and a schema that no arguments fit.
pub(super) fn arguments(plain: &Value) -> Result<Value, Unsupported> {
    let mut writer = Writer::new(plain);
    let Some(mut schema) = writer.value(vec![plain], "")? else {
        return Err(writer.nothing_fits());
    };
    if !writer.definitions.is_empty() {
        // A schema that refers to the definitions must not be next to them.
        schema = json!({"anyOf": [schema], "$defs": writer.definitions});
    }
    Ok(schema)
}

impl<'a> Writer<'a> {
    /// Makes a writer for the schema `root`, in which references are looked up.
    pub fn new(root: &'a Value) -> Self {
        Self {
            root,
            written: HashMap::new(),
            definitions: Map::new(),
            expanded: Rc::default(),
            depth: 0,
            undeclared: None,
        }
    }

    /// Returns a writer that knows no place yet and shares the budget of this one.
    fn anew(&self) -> Self {
        Self {
            expanded: self.expanded.clone(),
            depth: self.depth + 1,
            ..Self::new(self.root)
        }
    }

    /// Counts a schema that is taken apart.
    fn spend(&self, path: &str) -> Result<(), Unsupported> {
        self.expanded.set(self.expanded.get() + 1);
        match self.expanded.get() > MOST_EXPANDED {
            true => refuse(
                path,
                "the schema is too large: its references and unions multiply",
            ),
            false => Ok(()),
        }
    }

    /// Remembers that an object requires a field that it does not allow.
    pub fn note_undeclared(&mut self, path: &str, field: &str) {
        self.undeclared = Some((path.to_string(), field.to_string()));
    }

    /// Returns the reason why no arguments fit.
    pub fn nothing_fits(&self) -> Unsupported {
        let problem = "no arguments fit the schema";
        match &self.undeclared {
            None => (String::new(), problem.to_string()),
            Some((path, field)) => (
                path.clone(),
                format!("`required` names `{field}`, which `properties` does not declare, so {problem}"),
            ),
        }
    }

    /// Returns the definitions that the written schemas refer to.
    pub fn definitions(self) -> Map<String, Value> {
        self.definitions
    }

    /// Writes a schema for the values that fit all of these schemas; `None` if none does.
    pub fn value(&mut self, all: All<'a>, path: &str) -> Result<Option<Value>, Unsupported> {
        // 1. The place was met before: refer to it while it is being written, or return the result.
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
        // 2. Write it. Recursion inside of it adds its name to the definitions.
        if self.depth > DEEPEST {
            return refuse(path, format!("the schema is more than {DEEPEST} values deep"));
        }
        let name = self.written.len().to_string();
        self.written.insert(key.clone(), Written::Begun(name.clone()));
        self.depth += 1;
        let mut written = self.write(&all, path)?;
        self.depth -= 1;
        let shared = self.definitions.contains_key(&name);
        let nested = |schema: &Value| {
            ["properties", "items", "anyOf"]
                .iter()
                .any(|keyword| schema.get(*keyword).is_some())
        };
        if shared || written.as_ref().is_some_and(nested) {
            // 3. A large or recursive schema becomes a definition, so that it is written once.
            let definition = written.take().unwrap_or(Value::Bool(false));
            self.definitions.insert(name.clone(), definition);
            written = Some(json!({ "$ref": format!("#/$defs/{name}") }));
        }
        let known = written.clone().map_or(Written::Nothing, Written::Schema);
        self.written.insert(key, known);
        Ok(written)
    }

    /// Writes the union of all shapes.
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

    /// Returns the ways in which a value fits all of these schemas. Listed values (`enum`, `const`)
    /// are checked here against all keywords, even those that the grammar does not know.
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

    /// Writes a shape: one schema for each type that it allows.
    pub fn shape(&mut self, shape: &Shape<'a>, path: &str) -> Result<Vec<Value>, Unsupported> {
        if let Some(values) = &shape.values {
            return Ok(vec![json!({ "enum": values })]);
        }
        if let Some(keyword) = shape.unsupported() {
            return refuse(path, format!("the keyword `{keyword}` is not supported"));
        }
        // Each type gets its own schema, with the keywords that are about it.
        let mut ways = Vec::new();
        for kind in &shape.types {
            match *kind {
                "integer" | "number" => {
                    check_number(shape, path)?;
                    ways.extend(number(shape, *kind == "integer"));
                }
                "string" => ways.extend(string(shape, path)?),
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
