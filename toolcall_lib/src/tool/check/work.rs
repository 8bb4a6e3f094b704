//! Bounds the work of a check.
//!
//! A schema of a few lines can ask for endless work: thirty definitions, each of which refers to
//! the next one twice, make 2^30 schemas of one value; a definition that refers to itself twice
//! makes as many of a value that is nested thirty deep. A schema is measured when it is prepared,
//! and each call before it is checked.

use super::words::referred;
use crate::error::Problem;
use serde_json::{Map, Value};
use std::collections::{HashMap, HashSet};

/// Most schemas that may apply to one value: more than any tool has, and few enough to be quick.
const MOST_WAYS: u64 = 10_000;

/// Deepest nesting of schemas of one value.
const DEEPEST: usize = 100;

/// Most pairs of a value and a schema that one check looks at, and so most of its errors.
const MOST_PAIRS: u64 = 1_000_000;

/// Most steps of a check. Fields that no schema has looked at take another look at the branches.
const MOST_STEPS: u64 = 20_000_000;

/// Deepest nesting of values and schemas in a check.
const DEEPEST_CHECK: usize = 2_000;

/// Product of the sizes of schema and arguments up to which a check needs no measuring.
const SMALL: usize = 100_000;

/// Effort that the calls of a schema may take.
#[derive(Debug)]
pub(super) struct Work {
    /// Number of JSON values in the schema, if no value is looked at more often than that.
    plain_size: Option<usize>,
}

impl Work {
    /// Measures a plain schema.
    ///
    /// # Errors
    /// The argument where the schema leads to itself or to too many schemas for one value.
    pub fn of(root: &Value) -> Result<Self, Problem> {
        let mut ways = Ways {
            root,
            known: HashMap::new(),
            seen: HashSet::new(),
        };
        for (name, schema) in map(root, "properties") {
            ways.all_from(schema)
                .map_err(|problem| (format!("properties.{name}"), problem))?;
        }
        ways.all_from(root).map_err(|problem| (String::new(), problem))?;
        let again = ["$ref", "unevaluatedProperties", "unevaluatedItems"];
        let is_plain = !has_key(root, &again);
        Ok(Self {
            plain_size: is_plain.then(|| size(root, usize::MAX)),
        })
    }

    /// Refuses a check of `arguments` that would take too long; names the argument.
    pub fn bound(&self, root: &Value, arguments: &Value) -> Result<(), Problem> {
        if let Some(plain) = self.plain_size
            && plain.saturating_mul(size(arguments, SMALL)) <= SMALL
        {
            return Ok(());
        }
        let mut check = Check {
            root,
            spent: 0,
            known: HashMap::new(),
        };
        for (name, value) in arguments.as_object().into_iter().flatten() {
            if let Some(schema) = root.get("properties").and_then(|all| all.get(name)) {
                check
                    .pair(schema, value, 0)
                    .map_err(|problem| (name.clone(), problem))?;
            }
        }
        check
            .pair(root, arguments, 0)
            .map(drop)
            .map_err(|problem| (String::new(), problem))
    }
}

/// Counts the schemas that apply to one value.
struct Ways<'a> {
    root: &'a Value,
    /// Number of schemas from each one on, and how deep they go; `None` while it is being counted.
    known: HashMap<*const Value, Option<(u64, usize)>>,
    seen: HashSet<*const Value>,
}

impl<'a> Ways<'a> {
    /// Measures a schema and all schemas that it leads to.
    fn all_from(&mut self, schema: &'a Value) -> Result<(), String> {
        let mut left = vec![schema];
        while let Some(schema) = left.pop() {
            if self.seen.insert(schema) {
                self.of(schema, 0)?;
                left.extend(in_place(self.root, schema).map(|(part, _)| part));
                left.extend(inside(schema));
            }
        }
        Ok(())
    }

    fn of(&mut self, schema: &'a Value, above: usize) -> Result<(u64, usize), String> {
        const CIRCLE: &str = "a `$ref` leads back to itself without a step into the value";
        match self.known.get(&std::ptr::from_ref(schema)) {
            Some(Some(known)) => return Ok(*known),
            Some(None) => return Err(CIRCLE.into()),
            None if above > DEEPEST => return Err(too_deep()),
            None => {}
        }
        self.known.insert(schema, None);
        let (mut ways, mut depth) = (1_u64, 1);
        for (part, _) in in_place(self.root, schema) {
            let (more, deep) = self.of(part, above + 1)?;
            (ways, depth) = (ways.saturating_add(more), depth.max(deep + 1));
        }
        if ways > MOST_WAYS {
            return Err(format!(
                "its references and unions lead to more than {MOST_WAYS} schemas for one value; use fewer"
            ));
        }
        if depth > DEEPEST {
            return Err(too_deep());
        }
        self.known.insert(schema, Some((ways, depth)));
        Ok((ways, depth))
    }
}

fn too_deep() -> String {
    format!("more than {DEEPEST} schemas for one value are nested, or refer to each other; use fewer")
}

/// Counts for a schema and a value, with all that is looked at from there.
#[derive(Clone, Copy)]
struct Count {
    pairs: u64,
    steps: u64,
    /// Steps of another look, for which the results of objects and lists behind a reference are
    /// known.
    again: u64,
}

/// Counts what a check looks at.
struct Check<'a> {
    root: &'a Value,
    /// Steps of the counting itself.
    spent: u64,
    known: HashMap<(*const Value, *const Value), Count>,
}

impl<'a> Check<'a> {
    fn pair(&mut self, schema: &'a Value, value: &'a Value, depth: usize) -> Result<Count, String> {
        static A_NAME: Value = Value::Null; // a name is as flat as null
        let key = (std::ptr::from_ref(schema), std::ptr::from_ref(value));
        if let Some(known) = self.known.get(&key) {
            return Ok(*known);
        }
        self.spent += 1;
        if depth > DEEPEST_CHECK {
            return Err(format!(
                "cannot be checked: more than {DEEPEST_CHECK} values and schemas are nested"
            ));
        }
        let mut count = Count {
            pairs: 1,
            steps: 1,
            again: 1,
        };
        // 1. Schemas for the same value.
        let unevaluated = ["unevaluatedProperties", "unevaluatedItems"]
            .iter()
            .any(|keyword| schema.get(*keyword).is_some());
        let is_kept = value.is_object() || value.is_array();
        for (part, referred) in in_place(self.root, schema) {
            let more = self.pair(part, value, depth + 1)?;
            let again = if referred && is_kept { 1 } else { more.again };
            count.add(more, again);
            if unevaluated {
                count.steps = count.steps.saturating_add(again);
                count.again = count.again.saturating_add(again);
            }
        }
        // 2. Schemas for the values inside of it.
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    for schema in of_field(schema, name) {
                        count.add_all(self.pair(schema, value, depth + 1)?);
                    }
                    if let Some(names) = schema.get("propertyNames") {
                        count.add_all(self.pair(names, &A_NAME, depth + 1)?);
                    }
                }
            }
            Value::Array(items) => {
                for (place, value) in items.iter().enumerate() {
                    for schema in of_item(schema, place) {
                        count.add_all(self.pair(schema, value, depth + 1)?);
                    }
                }
            }
            _ => {}
        }
        if count.pairs.max(self.spent) > MOST_PAIRS || count.steps > MOST_STEPS {
            return Err(format!(
                "cannot be checked: its schemas would look at it more than {MOST_PAIRS} times; use fewer references \
                    and unions, or a smaller value"
            ));
        }
        if count.pairs > 1 {
            self.known.insert(key, count);
        }
        Ok(count)
    }
}

impl Count {
    fn add_all(&mut self, other: Self) {
        self.add(other, other.again);
    }

    fn add(&mut self, other: Self, again: u64) {
        self.pairs = self.pairs.saturating_add(other.pairs);
        self.steps = self.steps.saturating_add(other.steps);
        self.again = self.again.saturating_add(again);
    }
}

/// Returns the schemas that apply to the same value as `schema`, and whether it refers to them.
fn in_place<'a>(root: &'a Value, schema: &'a Value) -> impl Iterator<Item = (&'a Value, bool)> {
    let lists = ["allOf", "anyOf", "oneOf"]
        .into_iter()
        .filter_map(|keyword| schema.get(keyword)?.as_array())
        .flatten();
    let ones = ["if", "then", "else", "not"]
        .into_iter()
        .filter_map(|keyword| schema.get(keyword));
    let dependent = map(schema, "dependentSchemas").map(|(_, part)| part);
    let parts = lists.chain(ones).chain(dependent).map(|part| (part, false));
    parts.chain(referred(root, schema).map(|target| (target, true)))
}

/// Returns the schemas that `schema` has for values inside of its value.
fn inside(schema: &Value) -> impl Iterator<Item = &Value> {
    let ones = [
        "items",
        "contains",
        "additionalProperties",
        "unevaluatedProperties",
        "unevaluatedItems",
        "propertyNames",
    ];
    let ones = ones.into_iter().filter_map(|keyword| schema.get(keyword));
    let listed = schema.get("prefixItems").and_then(Value::as_array);
    let maps = ["properties", "patternProperties"].into_iter();
    let maps = maps.flat_map(|keyword| map(schema, keyword).map(|(_, schema)| schema));
    ones.chain(listed.into_iter().flatten()).chain(maps)
}

/// Returns the schemas that may apply to a field.
fn of_field<'a>(schema: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    let own = schema.get("properties").and_then(|all| all.get(name));
    let other = own.map_or_else(|| schema.get("additionalProperties"), |_| None);
    let patterns = map(schema, "patternProperties").map(|(_, schema)| schema);
    let rest = schema.get("unevaluatedProperties");
    own.into_iter().chain(other).chain(rest).chain(patterns)
}

/// Returns the schemas that may apply to an item of a list.
fn of_item(schema: &Value, place: usize) -> impl Iterator<Item = &Value> {
    let listed = schema.get("prefixItems").and_then(|items| items.get(place));
    let rest = listed.map_or_else(|| schema.get("items"), |_| None);
    let any = ["contains", "unevaluatedItems"].into_iter();
    listed
        .into_iter()
        .chain(rest)
        .chain(any.filter_map(|keyword| schema.get(keyword)))
}

fn map<'a>(schema: &'a Value, keyword: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    let found: Option<&Map<String, Value>> = schema.get(keyword).and_then(Value::as_object);
    found.into_iter().flatten()
}

fn has_key(value: &Value, keys: &[&str]) -> bool {
    match value {
        Value::Object(object) => {
            let has = |(key, value): (&String, &Value)| keys.contains(&key.as_str()) || has_key(value, keys);
            object.iter().any(has)
        }
        Value::Array(items) => items.iter().any(|item| has_key(item, keys)),
        _ => false,
    }
}

/// Returns the number of values in a JSON value, or any number beyond `most`.
fn size(value: &Value, most: usize) -> usize {
    let mut count = 1;
    let mut add = |value: &Value| {
        count += if count <= most { size(value, most) } else { 0 };
    };
    match value {
        Value::Object(object) => object.values().for_each(&mut add),
        Value::Array(items) => items.iter().for_each(&mut add),
        _ => {}
    }
    count
}
