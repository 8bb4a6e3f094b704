//! Repairs what a way through Arrow leaves in JSON: nulls for the keys of other rows, and fractions
//! in place of whole numbers.
//!
//! A column of Arrow has one type. Arrow writes an object with the keys that it has in any row, and
//! with null for each key that the row itself does not have. Whole numbers beside a fraction or a
//! null become fractions. A null of Arrow means nothing, while one that somebody wrote means what
//! it says (`{"due": null}` clears a date). Their siblings tell the two apart: out of Arrow, all
//! objects at the same place of a file have the same keys, and so have the objects around them and
//! inside of them. Objects in Parquet have always gone this way.

use crate::tool::ToolSchema;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Keys of the objects that stand at the same place in all rows of a file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shape {
    /// True if nulls were put here for absent keys, whatever the siblings have.
    padded: bool,
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
    /// Returns the shapes of rows that came out of Parquet. There, a null and an absent key are the
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

    /// Counts the calls and the tools of a row, but no JSON text: it did not go through Arrow.
    pub fn add_row(&mut self, row: &Value) {
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        for tools in ["tools", "functions"] {
            list(&row[tools]).iter().for_each(|tool| self.tools.add(tool));
        }
        list(&row["answers"]).iter().for_each(|call| self.add_call(call));
        for messages in ["messages", "conversations", "prompt", "completion"] {
            for message in list(&row[messages]) {
                let calls = list(&message["tool_calls"]);
                let calls = calls.iter().chain(message.get("function_call"));
                calls.for_each(|call| self.add_call(call));
            }
        }
    }

    fn add_call(&mut self, call: &Value) {
        let function = Some(&call["function"]).filter(|function| function.is_object());
        let arguments = ["arguments", "parameters", "args", "input"]
            .iter()
            .find_map(|key| function.unwrap_or(call).get(*key));
        arguments
            .into_iter()
            .for_each(|arguments| self.arguments.add(arguments));
    }
}

impl Shape {
    /// Counts a value.
    pub fn add(&mut self, value: &Value) {
        match value {
            Value::Object(object) => {
                self.objects += 1;
                for (name, value) in object {
                    let key = self.keys.entry(name.clone()).or_default();
                    key.present += 1;
                    key.filled += usize::from(!value.is_null());
                    key.shape.add(value);
                }
            }
            Value::Array(items) => {
                let shape = self.items.get_or_insert_default();
                items.iter().for_each(|item| shape.add(item));
            }
            _ => {}
        }
    }

    /// Returns true if there are several objects here and all have the same keys.
    fn is_uniform(&self) -> bool {
        self.objects > 1 && self.keys.values().all(|key| key.present == self.objects)
    }

    /// Returns the places of nulls in `value` that Arrow may have put there, each with a flag that
    /// is true if Arrow has for certain.
    fn nulls(&self, value: &Value) -> Vec<(String, bool)> {
        let mut found = Vec::new();
        self.add_nulls(value, "", self.padded && self.objects > 0, &mut found);
        found
    }

    fn add_nulls(&self, value: &Value, place: &str, padded: bool, found: &mut Vec<(String, bool)>) {
        match value {
            Value::Object(object) if padded || self.is_uniform() => {
                for (name, value) in object {
                    let place = format!("{place}/{}", name.replace('~', "~0").replace('/', "~1"));
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

    /// Takes the nulls that Arrow put there out of the schema of a tool.
    pub fn clean_tool(&self, tool: &mut Value) {
        for (place, _) in self.nulls(tool).iter().filter(|(_, certain)| *certain) {
            remove(tool, place);
        }
    }

    /// Takes the nulls that Arrow put there out of the arguments of a call. It takes only nulls
    /// that no schema requires, and that another row has or the tool does not know.
    pub fn clean_arguments(&self, arguments: &mut Map<String, Value>, tool: Option<&ToolSchema>) {
        let mut value = Value::Object(std::mem::take(arguments));
        let mut problems = count(tool, &value);
        for (place, certain) in self.nulls(&value) {
            let mut without = value.clone();
            remove(&mut without, &place);
            let left = count(tool, &without);
            if left < problems || (left == problems && certain) {
                (value, problems) = (without, left);
            }
        }
        if let Value::Object(cleaned) = value {
            *arguments = cleaned;
        }
    }
}

/// Makes fractions such as `5.0` whole where the schema takes nothing else; returns how many.
pub(super) fn make_whole(arguments: &mut Map<String, Value>, tool: &ToolSchema) -> usize {
    let mut value = Value::Object(std::mem::take(arguments));
    let (mut problems, mut made) = (count(Some(tool), &value), 0);
    if problems > 0 {
        let mut places = Vec::new();
        fractions(&value, "", &mut places);
        for (place, number) in places {
            let mut whole = value.clone();
            if let Some(found) = whole.pointer_mut(&place) {
                *found = number.into();
            }
            let left = count(Some(tool), &whole);
            if left < problems {
                (value, problems, made) = (whole, left, made + 1);
            }
        }
    }
    if let Value::Object(whole) = value {
        *arguments = whole;
    }
    made
}

/// Drops nulls for arguments that may be left out and take no null; returns how many.
pub(super) fn drop_refused_nulls(arguments: &mut Map<String, Value>, tool: &ToolSchema) -> usize {
    let nulls: Vec<String> = arguments
        .iter()
        .filter(|(_, value)| value.is_null())
        .map(|(name, _)| name.clone())
        .collect();
    let mut dropped = 0;
    for name in nulls {
        let mut without = arguments.clone();
        without.shift_remove(&name);
        if tool.check(&without).len() < tool.check(arguments).len() {
            (*arguments, dropped) = (without, dropped + 1);
        }
    }
    dropped
}

fn count(tool: Option<&ToolSchema>, arguments: &Value) -> usize {
    let problems = tool
        .zip(arguments.as_object())
        .map(|(tool, arguments)| tool.check(arguments));
    problems.map_or(0, |problems| problems.len())
}

/// Finds the places of whole numbers that are written as fractions.
fn fractions(value: &Value, place: &str, found: &mut Vec<(String, i64)>) {
    const EXACT: f64 = 9_007_199_254_740_992.0; // whole numbers up to here are different fractions
    match value {
        Value::Number(number) => {
            let whole = number
                .as_f64()
                .filter(|n| number.is_f64() && n.fract() == 0.0 && n.abs() <= EXACT);
            found.extend(whole.map(|n| (place.to_string(), n as i64)));
        }
        Value::Object(object) => object.iter().for_each(|(name, value)| {
            let name = name.replace('~', "~0").replace('/', "~1");
            fractions(value, &format!("{place}/{name}"), found);
        }),
        Value::Array(items) => {
            let items = items.iter().enumerate();
            items.for_each(|(i, item)| fractions(item, &format!("{place}/{i}"), found));
        }
        _ => {}
    }
}

fn remove(value: &mut Value, place: &str) {
    let Some((parent, name)) = place.rsplit_once('/') else {
        return;
    };
    if let Some(Value::Object(object)) = value.pointer_mut(parent) {
        object.shift_remove(&name.replace("~1", "/").replace("~0", "~"));
    }
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
            "a column of JSON text says what it says"
        );
    }

    #[test]
    fn a_null_goes_that_the_schema_refuses_and_does_not_require() {
        let tool = tool(
            json!({"properties": {"a": {"type": "integer"}, "b": {"type": ["string", "null"]},
            "c": {"type": "integer"}}, "required": ["c"]}),
        );
        let mut arguments = json!({"a": null, "b": null, "c": null})
            .as_object()
            .cloned()
            .unwrap();
        assert_eq!(drop_refused_nulls(&mut arguments, &tool), 1);
        assert_eq!(Value::Object(arguments), json!({"b": null, "c": null}));
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

    #[test]
    fn fractions_become_whole_where_nothing_else_fits() {
        let tool = tool(
            json!({"properties": {"n": {"type": "integer"}, "x": {"type": "number"}, "l": {"type": "array", "items": {"type": "integer"}}}}),
        );
        let mut arguments = json!({"n": 5.0, "x": 2.0, "l": [1.0, 2.5]})
            .as_object()
            .cloned()
            .unwrap();
        assert_eq!(make_whole(&mut arguments, &tool), 2);
        assert_eq!(
            Value::Object(arguments).to_string(),
            r#"{"n":5,"x":2.0,"l":[1,2.5]}"#
        );
    }
}
