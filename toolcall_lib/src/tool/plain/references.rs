//! References in a schema: pointers such as `#/$defs/Stop`, and anchors.

use crate::error::Problem;
use crate::json::kind;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};
use std::collections::HashMap;

/// Most places that the references of a schema lead to: more than any tool has.
const MOST_TARGETS: usize = 1_000;

/// The places that the references of a schema lead to, numbered as they are met.
pub(super) struct Targets<'a> {
    root: &'a Value,
    /// Each target with its first reference.
    found: Vec<(&'a Value, String)>,
    /// Number of the target of each reference, and of each place.
    by_text: HashMap<String, usize>,
    by_place: HashMap<*const Value, usize>,
}

impl<'a> Targets<'a> {
    pub(super) fn new(root: &'a Value) -> Self {
        Self {
            root,
            found: Vec::new(),
            by_text: HashMap::new(),
            by_place: HashMap::new(),
        }
    }

    /// Returns a target by its number, with the reference that led to it first.
    pub(super) fn get(&self, number: usize) -> Option<(&'a Value, String)> {
        self.found.get(number).cloned()
    }

    /// Translates a reference to the same place among our definitions. Adds that place to them.
    pub(super) fn reference(&mut self, target: &Value, path: &str) -> Result<Value, Problem> {
        let Some(target) = target.as_str() else {
            let found = kind(target);
            let problem = format!("found {found}, expected a reference such as \"#/$defs/Stop\"");
            return Err((path.to_string(), problem));
        };
        let number = match self.by_text.get(target) {
            Some(number) => *number,
            None => {
                let number = self.target(target, path)?;
                self.by_text.insert(target.to_string(), number);
                number
            }
        };
        Ok(format!("#/$defs/{number}").into())
    }

    /// Returns the index of the place that a reference leads to.
    fn target(&mut self, target: &str, path: &str) -> Result<usize, Problem> {
        let Some(found) = place_of(self.root, target) else {
            let problem = format!("\"{target}\" is not a place in this schema; others are not fetched");
            return Err((path.to_string(), problem));
        };
        if let Some(number) = self.by_place.get(&std::ptr::from_ref(found)) {
            return Ok(*number);
        }
        let number = self.found.len();
        if number >= MOST_TARGETS {
            let problem = format!("the references lead to more than {MOST_TARGETS} places; use fewer");
            return Err((path.to_string(), problem));
        }
        self.found.push((found, target.to_string()));
        self.by_place.insert(found, number);
        Ok(number)
    }
}

/// Returns the schemas for the same value that may name its properties.
pub(super) fn parts<'a>(root: &'a Value, schema: &'a Map<String, Value>) -> impl Iterator<Item = &'a Value> {
    let lists = ["allOf", "anyOf", "oneOf"]
        .into_iter()
        .filter_map(|keyword| schema.get(keyword)?.as_array());
    let ones = ["then", "else"]
        .into_iter()
        .filter_map(|keyword| schema.get(keyword));
    let maps = ["dependentSchemas", "dependencies"]
        .into_iter()
        .filter_map(|keyword| schema.get(keyword)?.as_object());
    let target = schema.get("$ref").and_then(Value::as_str);
    let target = target.and_then(|target| place_of(root, target));
    lists
        .flatten()
        .chain(ones)
        .chain(maps.flat_map(Map::values))
        .chain(target)
}

/// Returns the place in `root` that a reference leads to: a pointer or an anchor.
pub(crate) fn place_of<'a>(root: &'a Value, target: &str) -> Option<&'a Value> {
    let fragment = target.strip_prefix('#')?;
    match fragment.is_empty() || fragment.starts_with('/') {
        true => root.pointer(&percent_decode_str(fragment).decode_utf8_lossy()),
        false => anchored(root, fragment),
    }
}

/// Returns the schema with `$anchor`, anywhere in `schema`.
fn anchored<'a>(schema: &'a Value, anchor: &str) -> Option<&'a Value> {
    match schema {
        Value::Object(object) if object.get("$anchor").is_some_and(|name| name == anchor) => Some(schema),
        Value::Object(object) => object.values().find_map(|value| anchored(value, anchor)),
        Value::Array(items) => items.iter().find_map(|item| anchored(item, anchor)),
        _ => None,
    }
}
