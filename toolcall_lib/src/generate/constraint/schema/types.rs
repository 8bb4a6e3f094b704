//! Plain schemas for each JSON type of a shape.

use super::shape::Shape;
use super::{All, Unsupported, Writer, refuse};
use crate::error::short;
use serde_json::{Map, Value, json};

/// Bound of all numbers: below it, integers fit an `i64`, and no digits exceed an `f64`.
const LIMIT: f64 = 1e18;

/// Largest divisor, by its significant digits: the automaton for its multiples has as many states,
/// and masks get slower with it.
const LARGEST_DIVISOR: f64 = 1000.0;

/// Most patterns and formats that apply to one string: the grammar looks for a string that
/// fits all of them, which takes minutes for many.
const MOST_PATTERNS: usize = 8;

/// Formats of strings that the grammar knows; other formats only describe.
const FORMATS: [&str; 10] = [
    "date-time",
    "time",
    "date",
    "duration",
    "email",
    "hostname",
    "ipv4",
    "ipv6",
    "uuid",
    "uri",
];

/// Returns the strictest of all lower limits that the parts give.
fn largest(shape: &Shape<'_>, keyword: &str) -> Option<u64> {
    shape.said(keyword).filter_map(whole).max()
}

/// Returns the strictest of all upper limits that the parts give.
fn smallest(shape: &Shape<'_>, keyword: &str) -> Option<u64> {
    shape.said(keyword).filter_map(whole).min()
}

/// Reads a count; some schemas write it as `2.0`.
fn whole(value: &Value) -> Option<u64> {
    let fraction = || {
        value
            .as_f64()
            .filter(|n| n.fract() == 0.0 && *n >= 0.0)
            .map(|n| n as u64)
    };
    value.as_u64().or_else(fraction)
}

/// Returns a schema for values that fit all `schemas`.
fn all_of(mut schemas: Vec<Value>) -> Value {
    match schemas.len() {
        1 => schemas.swap_remove(0),
        _ => json!({ "allOf": schemas }),
    }
}

/// Writes the strings of a shape; `None` if no length is possible.
pub(super) fn string(shape: &Shape<'_>, path: &str) -> Result<Option<Value>, Unsupported> {
    // The strictest lengths.
    let (least, most) = (largest(shape, "minLength"), smallest(shape, "maxLength"));
    if least.zip(most).is_some_and(|(least, most)| least > most) {
        return Ok(None);
    }
    let mut string = Map::from_iter([("type".to_string(), json!("string"))]);
    string.extend(least.map(|least| ("minLength".to_string(), least.into())));
    string.extend(most.map(|most| ("maxLength".to_string(), most.into())));
    let mut schemas: Vec<Value> = vec![string.into()];
    let known = |format: &&Value| FORMATS.iter().any(|known| *format == known);
    let more = shape.said("pattern").map(|pattern| ("pattern", pattern));
    let more = more.chain(
        shape
            .said("format")
            .filter(known)
            .map(|format| ("format", format)),
    );
    // One schema holds one pattern and one format; each further one becomes a part of `allOf`.
    for (keyword, value) in more {
        let last = schemas.len() - 1;
        match schemas[last].get(keyword) {
            None => schemas[last][keyword] = value.clone(),
            Some(same) if same == value => {}
            Some(_) => schemas.push(json!({"type": "string", keyword: value})),
        }
    }
    if schemas.len() > MOST_PATTERNS {
        let problem = format!("more than {MOST_PATTERNS} patterns apply to one string");
        return refuse(path, problem);
    }
    Ok(Some(all_of(schemas)))
}

/// Writes the numbers of a shape; nothing if there are none. Integers below zero and from zero on
/// are separate, because `-0` is not an integer.
pub(super) fn number(shape: &Shape<'_>, integer: bool) -> Vec<Value> {
    // 1. The strictest limits, within ±LIMIT.
    let numbers = |keyword: &str| shape.said(keyword).filter_map(Value::as_f64).collect::<Vec<_>>();
    let highest = |keyword: &str| numbers(keyword).into_iter().reduce(f64::max);
    let lowest = |keyword: &str| numbers(keyword).into_iter().reduce(f64::min);
    let (above, below) = (highest("exclusiveMinimum"), lowest("exclusiveMaximum"));
    let from = [highest("minimum"), above, Some(-LIMIT)]
        .into_iter()
        .flatten()
        .fold(f64::NEG_INFINITY, f64::max);
    let to = [lowest("maximum"), below, Some(LIMIT)]
        .into_iter()
        .flatten()
        .fold(f64::INFINITY, f64::min);
    // 2. An empty range fits nothing.
    if from > to
        || [above, below]
            .into_iter()
            .flatten()
            .any(|limit| from == to && limit == from)
    {
        return Vec::new();
    }
    // 3. Divisors: the first is next to the limits, others are parts of `allOf`.
    let kind = if integer { "integer" } else { "number" };
    let mut divisors: Vec<Value> = Vec::new();
    for divisor in shape.said("multipleOf") {
        if !divisors.contains(divisor) {
            divisors.push(divisor.clone());
        }
    }
    let within = |from: f64, to: f64| {
        let mut number = json!({"type": kind, "minimum": from, "maximum": to});
        for (keyword, limit) in [("exclusiveMinimum", above), ("exclusiveMaximum", below)] {
            if let Some(limit) = limit {
                number[keyword] = limit.into();
            }
        }
        let mut schemas = vec![number];
        for (i, divisor) in divisors.iter().enumerate() {
            match i {
                0 => schemas[0]["multipleOf"] = divisor.clone(),
                _ => schemas.push(json!({"type": kind, "multipleOf": divisor})),
            }
        }
        all_of(schemas)
    };
    // 4. Integers on both sides of zero: [from, -1] and [0, to].
    if integer && from < 0.0 && to >= 0.0 {
        let mut parts = vec![within(0.0, to)];
        if from <= -1.0 {
            parts.push(within(from, -1.0));
        }
        parts
    } else {
        vec![within(from, to)]
    }
}

/// Refuses divisors that no grammar of a reasonable size can express.
pub(super) fn check_number(shape: &Shape<'_>, path: &str) -> Result<(), Unsupported> {
    let digits = |number: f64| {
        let text = format!("{number:e}");
        let (mantissa, _) = text.split_once('e').unwrap_or((&text, ""));
        mantissa
            .replace(['.', '-'], "")
            .parse::<f64>()
            .unwrap_or(f64::INFINITY)
    };
    let mut divisors: Vec<f64> = shape.said("multipleOf").filter_map(Value::as_f64).collect();
    divisors.sort_by(f64::total_cmp);
    divisors.dedup();
    // Divisors that apply together take as many states as their common multiple.
    if divisors.iter().map(|divisor| digits(*divisor)).product::<f64>() > LARGEST_DIVISOR {
        let all: Vec<String> = divisors.into_iter().map(short).collect();
        return refuse(
            path,
            format!("`multipleOf` {} has too many digits", all.join(" and ")),
        );
    }
    Ok(())
}

/// Writes the lists of a shape; `None` if no list fits.
pub(super) fn array<'a>(
    writer: &mut Writer<'a>,
    shape: &Shape<'a>,
    path: &str,
) -> Result<Option<Value>, Unsupported> {
    let least = largest(shape, "minItems").unwrap_or(0);
    let mut most = smallest(shape, "maxItems");
    let prefix = |part: &&'a Map<String, Value>| {
        part.get("prefixItems")
            .and_then(Value::as_array)
            .map_or(&[][..], Vec::as_slice)
    };
    // 1. Schemas of the item at `place`: that of `prefixItems`, or else `items`, of every part.
    let item = |place: usize| -> All<'a> {
        let of_part = |part: &&'a Map<String, Value>| prefix(part).get(place).or(part.get("items"));
        shape.parts.iter().filter_map(of_part).collect()
    };
    let listed = shape
        .parts
        .iter()
        .map(|part| prefix(part).len())
        .max()
        .unwrap_or(0);
    // 2. Places that are listed. Where nothing fits, the list ends.
    let mut first = Vec::new();
    for place in 0..listed {
        match writer.value(item(place), &format!("{path}[{place}]"))? {
            Some(item) => first.push(item),
            None => {
                most = Some(most.unwrap_or(u64::MAX).min(place as u64));
                break;
            }
        }
    }
    // 3. Places after them.
    let rest = match most {
        Some(most) if most <= first.len() as u64 => None,
        _ => writer.value(item(usize::MAX), &format!("{path}[]"))?,
    };
    if rest.is_none() {
        most = Some(most.unwrap_or(u64::MAX).min(first.len() as u64));
    }
    // 4. Impossible lengths.
    if most.is_some_and(|most| least > most) {
        return Ok(None);
    }
    let mut array = json!({"type": "array", "items": rest.unwrap_or(Value::Bool(false))});
    if !first.is_empty() {
        array["prefixItems"] = first.into();
    }
    if least > 0 {
        array["minItems"] = least.into();
    }
    if let Some(most) = most {
        array["maxItems"] = most.into();
    }
    Ok(Some(array))
}

/// A field of an object: its name, the schemas that describe it, and true if it is required.
pub(in crate::generate::constraint) type Field<'a> = (&'a str, All<'a>, bool);

/// Returns the fields that a shape knows or requires, in their order.
pub(in crate::generate::constraint) fn fields<'a>(shape: &Shape<'a>) -> Vec<Field<'a>> {
    let mut required: Vec<&'a str> = Vec::new();
    for name in shape
        .said("required")
        .filter_map(Value::as_array)
        .flatten()
        .filter_map(Value::as_str)
    {
        if !required.contains(&name) {
            required.push(name);
        }
    }
    // Fields with a schema come first, in their order; then those that are only required.
    let mut names = shape.names();
    names.extend(
        required
            .iter()
            .filter(|name| !shape.names().contains(name))
            .collect::<Vec<_>>(),
    );
    // A part without a schema for the field may have one for unknown fields,
    // `additionalProperties`.
    let schemas = |name: &str| -> All<'a> {
        let of_part = |part: &&'a Map<String, Value>| {
            part.get("properties")
                .and_then(|properties| properties.get(name))
                .or(part.get("additionalProperties"))
        };
        shape.parts.iter().filter_map(of_part).collect()
    };
    names
        .into_iter()
        .map(|name| (name, schemas(name), required.contains(&name)))
        .collect()
}

/// Writes the objects of a shape; `None` if no object fits.
pub(super) fn object<'a>(
    writer: &mut Writer<'a>,
    shape: &Shape<'a>,
    path: &str,
) -> Result<Option<Value>, Unsupported> {
    let known = shape.names();
    // 1. A field that a part's `additionalProperties` speaks of is known, so the object is not
    //    closed.
    let closed = shape.closed && shape.said("additionalProperties").next().is_none();
    let mut properties = Map::new();
    let mut required = Vec::new();
    // 2. Known fields. A field that nothing fits is forbidden.
    for (name, schemas, needed) in fields(shape) {
        let inside = if path.is_empty() {
            name.to_string()
        } else {
            format!("{path}.{name}")
        };
        let written = match closed && !known.contains(&name) {
            true => None,
            false => writer.value(schemas, &inside)?,
        };
        match written {
            Some(schema) => properties.insert(name.to_string(), schema),
            None if needed => {
                if !known.contains(&name) {
                    writer.note_undeclared(path, name);
                }
                return Ok(None);
            }
            None => properties.insert(name.to_string(), Value::Bool(false)),
        };
        if needed {
            required.push(name);
        }
    }
    // 3. Other fields, and the number of fields.
    let rest = match closed {
        true => None,
        false => writer.value(shape.said("additionalProperties").collect(), &format!("{path}.*"))?,
    };
    let mut object = json!({
        "type": "object", "properties": properties, "required": required,
        "additionalProperties": rest.clone().unwrap_or(Value::Bool(false)),
    });
    let (needed, known) = (required.len() as u64, allowed(&properties));
    let (least, most) = (largest(shape, "minProperties"), smallest(shape, "maxProperties"));
    if most.is_some_and(|most| most < needed || least.is_some_and(|least| least > most)) {
        return Ok(None);
    }
    let least = least.filter(|least| *least > needed);
    let most = most.filter(|most| rest.is_some() || *most < known);
    for (keyword, limit) in [("minProperties", least), ("maxProperties", most)] {
        let Some(limit) = limit else { continue };
        if known > needed {
            let problem =
                format!("the keyword `{keyword}` is not supported beside fields that may be left out");
            return refuse(path, problem);
        }
        object[keyword] = limit.into();
    }
    Ok(Some(object))
}

/// Returns the number of fields that some value fits.
fn allowed(properties: &Map<String, Value>) -> u64 {
    let fits = properties.values().filter(|schema| **schema != false);
    fits.count() as u64
}
