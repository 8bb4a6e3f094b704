//! Finds the nulls that Arrow writes into JSON for keys that only other rows have.
//!
//! A column of Arrow has one type. Arrow writes an object with the keys that it has in any row, and
//! with null for each key that the row itself does not have. A null of Arrow means nothing, while a
//! null that an author wrote has a meaning (`{"due": null}` clears a date). The other rows tell the
//! two apart: after Arrow, all objects at the same place of a file have the same keys, and so do
//! the objects around and inside them; and all values at one place have one type. Objects in
//! Parquet always went through Arrow's types.

use super::form::LISTS;
use super::repair;
use super::role::is_call_turn;
use crate::json::{escaped, kind};
use crate::syntax::tags;
use crate::tool::ToolSchema;
use crate::tool::read::{ARGUMENTS, function_of};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, HashSet};

/// Keys of the objects that are at the same place in all rows of a file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shape {
    /// True if nulls were put here for absent keys, whatever the siblings have.
    padded: bool,
    /// True if some of the objects were written as JSON strings, or a place in them has values of
    /// two types. A column of Arrow has one type, so none of them went through it.
    mixed: bool,
    /// Type of the values other than null.
    kind: Option<&'static str>,
    objects: usize,
    keys: BTreeMap<String, Key>,
    items: Option<Box<Shape>>,
}

#[derive(Clone, Debug, Default)]
struct Key {
    /// Number of objects that have the key.
    present: usize,
    /// Number of objects that have the key with a value other than null.
    filled: usize,
    shape: Shape,
}

/// Shapes of the content of a file: the arguments of its calls, and its tools.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shapes {
    pub arguments: Shape,
    pub tools: Shape,
}

impl Shapes {
    /// Returns the shapes of rows that came from Parquet, where a null and an absent key are the
    /// same.
    pub fn of_parquet() -> Self {
        let padded = || Shape {
            padded: true,
            ..Shape::default()
        };
        Self {
            arguments: padded(),
            tools: padded(),
        }
    }

    /// Counts the calls and the tools of a row, but not JSON strings: they did not go through
    /// Arrow.
    pub fn add_row(&mut self, row: &Value) {
        for tools in ["tools", "functions"] {
            list(&row[tools]).iter().for_each(|tool| self.tools.add(tool));
        }
        self.add_calls(&row["answers"]);
        for messages in LISTS {
            list(&row[messages])
                .iter()
                .for_each(|message| self.add_message(message));
        }
    }

    /// Counts the calls of a message, wherever its form has them.
    fn add_message(&mut self, message: &Value) {
        self.add_calls(&message["tool_calls"]);
        self.add_calls(&message["function_call"]);
        for content in ["content", "value"].map(|key| &message[key]) {
            if is_call_turn(message) {
                self.add_calls(content);
            }
            let uses = list(content).iter().filter(|part| part["type"] == "tool_use");
            uses.for_each(|call| self.add_call(call));
            self.arguments.mixed |= content.as_str().is_some_and(|text| text.contains(tags::CALL));
        }
    }

    fn add_calls(&mut self, calls: &Value) {
        match calls {
            Value::Array(calls) => calls.iter().for_each(|call| self.add_call(call)),
            Value::Object(_) => self.add_call(calls),
            calls => self.arguments.mixed |= is_written(calls),
        }
    }

    fn add_call(&mut self, call: &Value) {
        let function = function_of(call);
        match ARGUMENTS.iter().find_map(|key| function.get(*key)) {
            Some(text @ Value::String(_)) => self.arguments.mixed |= is_written(text),
            Some(arguments) => self.arguments.add(arguments),
            None => {}
        }
    }
}

impl Shape {
    /// Counts a value.
    pub fn add(&mut self, value: &Value) {
        self.mixed |= self.count(value);
    }

    /// Counts a value; returns true if it, or a value in it, has another type than those before it
    /// at its place.
    fn count(&mut self, value: &Value) -> bool {
        let kind = (!value.is_null()).then(|| kind(value));
        let mut differs = kind.is_some() && self.kind.is_some_and(|before| Some(before) != kind);
        self.kind = self.kind.or(kind);
        match value {
            Value::Object(object) => {
                self.objects += 1;
                for (name, value) in object {
                    let key = self.keys.entry(name.clone()).or_default();
                    key.present += 1;
                    key.filled += usize::from(!value.is_null());
                    differs |= key.shape.count(value);
                }
            }
            Value::Array(items) => {
                let shape = self.items.get_or_insert_default();
                items.iter().for_each(|item| differs |= shape.count(item));
            }
            _ => {}
        }
        differs
    }

    /// Returns true if there are several objects here and all have the same keys.
    fn is_uniform(&self) -> bool {
        self.objects > 1 && !self.mixed && self.keys.values().all(|key| key.present == self.objects)
    }

    /// Returns the places of nulls in `value` that Arrow may have put there, each with a flag that
    /// is true if Arrow certainly did.
    fn nulls(&self, value: &Value) -> Vec<(String, bool)> {
        let mut found = Vec::new();
        self.add_nulls(value, "", self.padded && self.objects > 0, &mut found);
        found
    }

    fn add_nulls(&self, value: &Value, place: &str, padded: bool, found: &mut Vec<(String, bool)>) {
        match value {
            Value::Object(object) if padded || self.is_uniform() => {
                for (name, value) in object {
                    let place = format!("{place}/{}", escaped(name));
                    match (value, self.keys.get(name)) {
                        (Value::Null, Some(key)) => found.push((place, padded || key.filled > 0)),
                        (value, Some(key)) => key.shape.add_nulls(value, &place, padded, found),
                        _ => {}
                    }
                }
            }
            Value::Array(items) => {
                if let Some(shape) = &self.items {
                    let items = items.iter().enumerate();
                    items.for_each(|(i, item)| shape.add_nulls(item, &format!("{place}/{i}"), padded, found));
                }
            }
            _ => {}
        }
    }

    /// Removes the nulls that Arrow put into the schema of a tool, but keeps those that are values,
    /// such as `"default": null`. Returns the number of removed nulls that an author may have
    /// written; in Parquet, null and absent are the same.
    pub fn clean_tool(&self, tool: &mut Value) -> usize {
        let nulls = self.nulls(tool).into_iter();
        let certain = nulls.filter(|(place, certain)| *certain && (self.padded || !is_of_value(place)));
        let places: HashSet<String> = certain.map(|(place, _)| place).collect();
        repair::remove(tool, "", &places);
        if self.padded { 0 } else { places.len() }
    }

    /// Removes the nulls that Arrow put into the arguments of a call: only those that no schema
    /// requires, and whose key another row has or the tool does not know. Returns how many of them
    /// the schema would have accepted.
    pub fn clean_arguments(&self, arguments: &mut Map<String, Value>, tool: Option<&ToolSchema>) -> usize {
        repair::as_value(arguments, |arguments| {
            let nulls = self.nulls(arguments);
            if nulls.is_empty() {
                return 0;
            }
            let fails = repair::failures(tool, arguments);
            let refused = |place: &String| fails.at.contains_key(place);
            let taken = nulls
                .into_iter()
                .filter(|(place, certain)| *certain || refused(place));
            let taken = taken.map(|(place, _)| place).collect();
            let dropped = repair::drop_nulls(arguments, &fails, taken, tool);
            dropped
                .iter()
                .filter(|place| tool.is_some() && !refused(place))
                .count()
        })
    }
}

/// Returns true for the place of a `default` or a `const` in a tool, and for one in a value that
/// the schema lists.
fn is_of_value(place: &str) -> bool {
    const SCHEMAS: [&str; 5] = [
        "properties",
        "patternProperties",
        "dependentSchemas",
        "$defs",
        "definitions",
    ];
    let mut is_name = false; // of an argument, which may be called `default`
    let mut parts = place.split('/').peekable();
    while let Some(part) = parts.next() {
        let is_value = ["default", "const"].contains(&part);
        let lists_values = ["enum", "examples"].contains(&part) && parts.peek().is_some();
        if !is_name && (is_value || lists_values) {
            return true;
        }
        is_name = !is_name && SCHEMAS.contains(&part);
    }
    false
}

/// Returns true for a string that holds JSON; a blank one stands for nothing.
fn is_written(value: &Value) -> bool {
    value.as_str().is_some_and(|text| !text.trim().is_empty())
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn tool(parameters: Value) -> ToolSchema {
        ToolSchema::new(json!({"name": "f", "parameters": parameters})).unwrap()
    }

    fn cleaned(rows: &[Value], tool: &ToolSchema) -> Vec<Value> {
        let mut shape = Shape::default();
        rows.iter().for_each(|row| shape.add(row));
        let clean = |row: &Value| {
            let mut arguments = row.as_object().cloned().unwrap();
            shape.clean_arguments(&mut arguments, Some(tool));
            Value::Object(arguments)
        };
        rows.iter().map(clean).collect()
    }

    #[test]
    fn a_null_goes_where_the_other_rows_have_the_key_and_no_schema_requires_it() {
        let tool = tool(
            json!({"properties": {"a": {"type": "integer"}, "b": {"type": ["string", "null"]}, "c": {"nullable": true}}, "required": ["c"]}),
        );
        let rows = [
            json!({"a": 1, "b": null, "c": null}),
            json!({"a": null, "b": "x", "c": 1}),
        ];
        assert_eq!(
            cleaned(&rows, &tool),
            [json!({"a": 1, "c": null}), json!({"b": "x", "c": 1})]
        );
        let alone = [json!({"a": 1, "b": null, "c": null})];
        assert_eq!(cleaned(&alone, &tool), alone, "there is no other row");
        let uneven = [json!({"b": null, "c": 1}), json!({"a": 1, "b": "x", "c": 1})];
        assert_eq!(
            cleaned(&uneven, &tool),
            uneven,
            "Arrow would have given both the same keys"
        );
        let never = [json!({"b": null, "c": 1}), json!({"b": null, "c": 2})];
        assert_eq!(cleaned(&never, &tool), never, "no row has a value for it");
    }

    #[test]
    fn values_of_two_types_did_not_go_through_arrow() {
        let tool = tool(json!({"properties": {"a": {}, "b": {"type": ["string", "null"]}}}));
        let rows = [json!({"a": 1, "b": null}), json!({"a": "x", "b": "y"})];
        assert_eq!(cleaned(&rows, &tool), rows);
        let rows = [json!({"a": [1], "b": null}), json!({"a": [2.5], "b": "y"})];
        assert_eq!(cleaned(&rows, &tool)[0], json!({"a": [1]}));
        let rows = [json!({"a": [1], "b": null}), json!({"a": ["x"], "b": "y"})];
        assert_eq!(cleaned(&rows, &tool), rows);
    }

    #[test]
    fn nulls_that_are_values_of_a_schema_stay() {
        let of = |x: Value| json!({"name": "f", "parameters": {"properties": {"default": {}, "x": x}}});
        let written = [
            of(json!({"default": null, "enum": null, "examples": [{"b": null}], "title": null})),
            of(json!({"default": "x", "enum": ["x"], "examples": [{"b": "y"}], "title": "X"})),
        ];
        let mut shape = Shape::default();
        written.iter().for_each(|tool| shape.add(tool));
        let mut tool = written[0].clone();
        assert_eq!(shape.clean_tool(&mut tool), 2);
        assert_eq!(tool, of(json!({"default": null, "examples": [{"b": null}]})));

        let named = |value: Value| json!({"parameters": {"properties": {"default": value}}});
        let (mut tool, mut shape) = (named(Value::Null), Shape::default());
        shape.add(&tool);
        shape.add(&named(json!({"type": "string"})));
        assert_eq!(shape.clean_tool(&mut tool), 1);
        assert_eq!(
            tool,
            json!({"parameters": {"properties": {}}}),
            "an argument may be called so"
        );
    }

    #[test]
    fn a_null_goes_where_the_tool_does_not_know_the_key() {
        let tool = tool(json!({"properties": {"a": {"type": "integer"}}}));
        let rows = [json!({"a": 1, "b": null}), json!({"a": 2, "b": null})];
        assert_eq!(cleaned(&rows, &tool), [json!({"a": 1}), json!({"a": 2})]);
    }

    #[test]
    fn out_of_parquet_every_null_goes_that_no_schema_requires() {
        let tool = tool(
            json!({"properties": {"city": {"type": ["string", "null"]}, "days": {"type": "integer"},
            "until": {"type": ["string", "null"]}}, "required": ["until"]}),
        );
        let row = json!({"city": null, "days": 3, "until": null});
        let mut shape = Shapes::of_parquet().arguments;
        shape.add(&row);
        let mut arguments = row.as_object().cloned().unwrap();
        shape.clean_arguments(&mut arguments, Some(&tool));
        assert_eq!(Value::Object(arguments), json!({"days": 3, "until": null}));
        let mut of_text = row.as_object().cloned().unwrap();
        Shapes::of_parquet()
            .arguments
            .clean_arguments(&mut of_text, Some(&tool));
        assert_eq!(
            Value::Object(of_text),
            row,
            "a column of JSON strings is read as it is"
        );
    }

    #[test]
    fn nulls_inside_of_objects_and_lists_are_told_apart_too() {
        let tool = tool(json!({"properties": {"stops": {"type": "array", "items": {"type": "object"}}}}));
        let rows = [
            json!({"stops": [{"city": "Ulm", "platform": null}, {"city": null, "platform": 1}]}),
            json!({"stops": []}),
        ];
        assert_eq!(
            cleaned(&rows, &tool)[0],
            json!({"stops": [{"city": "Ulm"}, {"platform": 1}]})
        );
        let rows = [
            json!({"stops": [{"city": "Ulm", "platform": null}, {"platform": 1}]}),
            json!({"stops": []}),
        ];
        assert_eq!(cleaned(&rows, &tool), rows);
    }
}
