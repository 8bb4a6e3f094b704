//! Repairs what a way through Arrow leaves in JSON: nulls for the keys of other rows, and fractions
//! in place of whole numbers.
//!
//! A column of Arrow has one type. Arrow writes an object with the keys that it has in any row, and
//! with null for each key that the row itself does not have. Whole numbers beside a fraction or a
//! null become fractions. A null of Arrow means nothing, while one that somebody wrote means what
//! it says (`{"due": null}` clears a date). Their siblings tell the two apart: out of Arrow, all
//! objects at the same place of a file have the same keys, and so have the objects around them and
//! inside of them. Objects in Parquet have always gone this way.

use crate::syntax::tags;
use crate::tool::{Failures, ToolSchema};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, HashSet};

/// Keys of the objects that stand at the same place in all rows of a file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shape {
    /// True if nulls were put here for absent keys, whatever the siblings have.
    padded: bool,
    /// True if some of the objects were written as JSON text. A column of Arrow has one type, so
    /// none of them went through it.
    texts: bool,
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
        self.add_calls(&row["answers"]);
        for messages in ["messages", "conversations", "prompt", "completion"] {
            for message in list(&row[messages]) {
                self.add_calls(&message["tool_calls"]);
                message
                    .get("function_call")
                    .into_iter()
                    .for_each(|call| self.add_call(call));
                let said = ["content", "value"]
                    .iter()
                    .filter_map(|key| message[*key].as_str());
                self.arguments.texts |= said.into_iter().any(|text| text.contains(tags::CALL));
            }
        }
    }

    fn add_calls(&mut self, calls: &Value) {
        match calls {
            Value::Array(calls) => calls.iter().for_each(|call| self.add_call(call)),
            calls => self.arguments.texts |= calls.is_string(),
        }
    }

    fn add_call(&mut self, call: &Value) {
        let function = Some(&call["function"]).filter(|function| function.is_object());
        let arguments = ["arguments", "parameters", "args", "input"]
            .iter()
            .find_map(|key| function.unwrap_or(call).get(*key));
        if let Some(arguments) = arguments {
            self.arguments.texts |= arguments.as_str().is_some_and(|text| !text.trim().is_empty());
            self.arguments.add(arguments);
        }
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
        self.objects > 1 && !self.texts && self.keys.values().all(|key| key.present == self.objects)
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

    /// Takes the nulls that Arrow put there out of the schema of a tool.
    pub fn clean_tool(&self, tool: &mut Value) {
        let nulls = self.nulls(tool).into_iter();
        let certain = nulls.filter(|(_, certain)| *certain).map(|(place, _)| place);
        drop_all(tool, "", &certain.collect());
    }

    /// Takes the nulls that Arrow put there out of the arguments of a call. It takes only nulls
    /// that no schema requires, and that another row has or the tool does not know. Returns how
    /// many of them the schema would have taken.
    pub fn clean_arguments(&self, arguments: &mut Map<String, Value>, tool: Option<&ToolSchema>) -> usize {
        let nulls = self.nulls_of(arguments);
        if nulls.is_empty() {
            return 0;
        }
        let before = Value::Object(std::mem::take(arguments));
        let fails = failures(tool, &before);
        let refused = |place: &String| fails.at.contains_key(place);
        let taken = nulls.iter().filter(|(place, certain)| *certain || refused(place));
        let taken = taken.map(|(place, _)| place.clone()).collect();
        let (after, dropped) = dropped(before, &fails, taken, |value| failures(tool, value));
        if let Value::Object(cleaned) = after {
            *arguments = cleaned;
        }
        dropped
            .iter()
            .filter(|place| tool.is_some() && !refused(place))
            .count()
    }

    fn nulls_of(&self, arguments: &mut Map<String, Value>) -> Vec<(String, bool)> {
        let value = Value::Object(std::mem::take(arguments));
        let nulls = self.nulls(&value);
        if let Value::Object(same) = value {
            *arguments = same;
        }
        nulls
    }
}

/// Most changes that are tried one by one.
const MOST_TRIED: usize = 16;

/// Drops the nulls at these places of `before`, but those that the schema requires; returns what is
/// left, and the places of what went. `failures` tells where a value does not fit.
fn dropped(
    before: Value,
    fails: &Failures,
    mut places: HashSet<String>,
    failures: impl Fn(&Value) -> Failures,
) -> (Value, HashSet<String>) {
    if places.is_empty() {
        return (before, places);
    }
    // 1. All of them at once, then again without those that are missed.
    for _ in 0..2 {
        let mut after = before.clone();
        drop_all(&mut after, "", &places);
        let left = failures(&after);
        let missed = |place: &String| left.missing.contains(place);
        if left.count <= fails.count && !places.iter().any(missed) {
            return (after, places);
        }
        places.retain(|place| !missed(place));
    }
    // 2. One by one: what they break depends on each other.
    let (mut value, mut count, mut gone) = (before, fails.count, HashSet::new());
    let mut tried: Vec<String> = places.into_iter().collect();
    tried.sort_unstable();
    for place in tried.into_iter().take(MOST_TRIED) {
        let mut without = value.clone();
        drop_all(&mut without, "", &HashSet::from([place.clone()]));
        let left = failures(&without).count;
        if left <= count {
            (value, count) = (without, left);
            gone.insert(place);
        }
    }
    (value, gone)
}

/// Makes fractions such as `5.0` whole where the schema takes nothing else; returns how many.
pub(super) fn make_whole(arguments: &mut Map<String, Value>, tool: &ToolSchema) -> usize {
    let mut value = Value::Object(std::mem::take(arguments));
    let made = whole(&mut value, |value| failures(Some(tool), value));
    if let Value::Object(whole) = value {
        *arguments = whole;
    }
    made
}

fn whole(value: &mut Value, failures: impl Fn(&Value) -> Failures) -> usize {
    let before = failures(value);
    if before.count == 0 {
        return 0;
    }
    let mut places = Vec::new();
    fractions(value, "", &mut places);
    // 1. Those that do not fit, all at once. A fraction that fits no better as a whole number is
    //    put back.
    let (failing, others): (Vec<_>, Vec<_>) = places
        .into_iter()
        .partition(|(place, _)| before.at.contains_key(place));
    for (place, number) in &failing {
        put(value, place, (*number as i64).into());
    }
    let left = failures(value);
    let at = |failures: &Failures, place: &str| failures.at.get(place).copied().unwrap_or(0);
    let (mut made, mut count) = (0, left.count);
    for (place, number) in &failing {
        match at(&left, place) < at(&before, place) {
            true => made += 1,
            false => put(value, place, (*number).into()),
        }
    }
    // 2. Others one by one: what does not fit may be a list or an object around them.
    if count > 0 {
        for (place, number) in others.into_iter().take(MOST_TRIED) {
            put(value, &place, (number as i64).into());
            let left = failures(value).count;
            match left < count {
                true => (made, count) = (made + 1, left),
                false => put(value, &place, number.into()),
            }
        }
    }
    made
}

fn put(value: &mut Value, place: &str, number: Value) {
    if let Some(found) = value.pointer_mut(place) {
        *found = number;
    }
}

/// Drops nulls for arguments that may be left out and take no null; returns how many.
pub(super) fn drop_refused_nulls(arguments: &mut Map<String, Value>, tool: &ToolSchema) -> usize {
    if !arguments.values().any(Value::is_null) {
        return 0;
    }
    let before = Value::Object(std::mem::take(arguments));
    let fails = failures(Some(tool), &before);
    let fields = before.as_object().into_iter().flatten();
    let nulls = fields.filter(|(_, value)| value.is_null());
    let refused = nulls
        .map(|(name, _)| format!("/{}", escaped(name)))
        .filter(|place| fails.at.contains_key(place))
        .collect();
    let (after, gone) = dropped(before, &fails, refused, |value| failures(Some(tool), value));
    if let Value::Object(cleaned) = after {
        *arguments = cleaned;
    }
    gone.len()
}

/// Returns where arguments do not fit; nowhere if there is no tool, or if it cannot be told.
fn failures(tool: Option<&ToolSchema>, arguments: &Value) -> Failures {
    tool.and_then(|tool| tool.failures(arguments)).unwrap_or_default()
}

/// Escapes a name for a JSON pointer.
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// Finds the places of whole numbers that are written as fractions.
fn fractions(value: &Value, place: &str, found: &mut Vec<(String, f64)>) {
    const EXACT: f64 = 9_007_199_254_740_992.0; // whole numbers up to here are different fractions
    match value {
        Value::Number(number) => {
            let whole = number
                .as_f64()
                .filter(|n| number.is_f64() && n.fract() == 0.0 && n.abs() <= EXACT);
            found.extend(whole.map(|n| (place.to_string(), n)));
        }
        Value::Object(object) => object.iter().for_each(|(name, value)| {
            fractions(value, &format!("{place}/{}", escaped(name)), found);
        }),
        Value::Array(items) => {
            let items = items.iter().enumerate();
            items.for_each(|(i, item)| fractions(item, &format!("{place}/{i}"), found));
        }
        _ => {}
    }
}

/// Removes the fields at these places; `place` is that of `value`.
fn drop_all(value: &mut Value, place: &str, places: &HashSet<String>) {
    match value {
        Value::Object(object) if !places.is_empty() => object.retain(|name, value| {
            let place = format!("{place}/{}", escaped(name));
            drop_all(value, &place, places);
            !places.contains(&place)
        }),
        Value::Array(items) if !places.is_empty() => {
            let items = items.iter_mut().enumerate();
            items.for_each(|(i, item)| drop_all(item, &format!("{place}/{i}"), places));
        }
        _ => {}
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
