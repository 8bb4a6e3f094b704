//! Limits on a chat template: it is a program that the author of the model wrote.
//!
//! minijinja counts instructions and bytes ("fuel"), which bounds time and memory, and it limits
//! its recursion. It does not count the work of Python's methods, nor lists that hold the same list
//! many times, or themselves: a few lines make one whose text has 2^60 bytes. So every list and map
//! is charged by size, nested copies included, when it is made and when it is compared.

use super::NAME;
use minijinja::machinery::parse;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State};
use serde_json::Value as Json;

/// Most bytes of a template; published ones have up to 30,000.
pub(super) const LONGEST_SOURCE: usize = 128 << 10;
/// Fuel of one rendering. An instruction costs one unit, and so do 64 bytes. A prompt of 200,000
/// bytes in 500 messages takes some 50,000; one whose template looks at every character, like
/// Llama's, a million.
const FUEL: u64 = 4_000_000;
/// Bytes that one unit of fuel pays for.
const BYTES_PER_FUEL: usize = 64;
/// Bytes that a value in a list or map weighs, besides its string.
const NODE: usize = 64;
/// Bytes of memory for a part of a split string, besides its own.
const PART: usize = 48;
/// Deepest nesting of lists and maps.
const DEEPEST: usize = 100;

/// Sets all limits.
pub(super) fn limit(environment: &mut Environment<'_>) {
    environment.set_fuel(Some(FUEL));
    environment.set_unknown_method_callback(method);
    environment.add_filter("weighed", |state: &State<'_, '_>, value| weighed(state, value, 0));
    environment.add_filter("stored", |state: &State<'_, '_>, value| weighed(state, value, 1));
    // Jinja has neither, and each makes one large list of two.
    environment.remove_filter("chain");
    environment.remove_filter("zip");
}

/// Makes the error for a value larger than a template may make.
pub(super) fn too_large(what: &str) -> Error {
    Error::new(ErrorKind::OutOfFuel, format!("{what} is too long"))
}

/// Pays fuel for `bytes`.
pub(super) fn pay(state: &State<'_, '_>, bytes: usize) -> Result<(), Error> {
    state.consume_fuel((bytes / BYTES_PER_FUEL) as u64)
}

/// Calls a method of Python, after paying for its result.
fn method(state: &mut State<'_, '_>, value: &Value, name: &str, arguments: &[Value]) -> Result<Value, Error> {
    if let Some(text) = value.as_str() {
        if let ("join", [list]) = (name, arguments) {
            // the filter pays itself
            return state.apply_filter("join", &[list.clone(), value.clone()]);
        }
        let argument = |i: usize| arguments.get(i).and_then(Value::as_str).unwrap_or_default();
        let parts = || text.matches(argument(0)).count();
        let made = match name {
            "replace" => parts().saturating_mul(argument(1).len()),
            "split" | "rsplit" => parts().saturating_mul(PART),
            "format" => {
                let numbers = text
                    .split(|c: char| !c.is_ascii_digit())
                    .filter(|digits| !digits.is_empty());
                let widest = numbers.map(|digits| digits.parse().unwrap_or(usize::MAX)).max();
                let given: usize = arguments.iter().map(|value| value.to_string().len()).sum();
                let field = widest.unwrap_or(0).saturating_add(given);
                text.matches('{').count().saturating_mul(field)
            }
            "splitlines" => text.matches('\n').count().saturating_mul(PART),
            _ => 0,
        };
        pay(state, text.len().saturating_add(made))?;
    }
    minijinja_contrib::pycompat::unknown_method_callback(state, value, name, arguments)
}

/// Pays for everything that a list or map holds, nested copies included.
///
/// # Errors
/// The value is too large or too deep, or holds a namespace, which may grow later. A value that is
/// put into a namespace is at depth 1.
fn weighed(state: &State<'_, '_>, value: Value, depth: usize) -> Result<Value, Error> {
    if value.as_object().is_some() {
        weigh(state, &value, depth, &mut 0)?;
    }
    Ok(value)
}

/// Adds the weight of a value to `bytes`, and pays for whole units of fuel.
fn weigh(state: &State<'_, '_>, value: &Value, depth: usize, bytes: &mut usize) -> Result<(), Error> {
    *bytes += NODE + value.as_str().map_or(0, str::len);
    if *bytes >= BYTES_PER_FUEL {
        pay(state, *bytes)?;
        *bytes %= BYTES_PER_FUEL;
    }
    // Only lists and maps hold more values.
    let is_map = value.kind() == ValueKind::Map;
    if !is_map && !matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable) {
        return Ok(());
    }
    let refused = |problem| Err(Error::new(ErrorKind::InvalidOperation, problem));
    let name = value.as_object().map_or("", |object| object.type_name());
    if depth > 0 && name.ends_with("::Namespace") {
        return refused("a namespace cannot be put into a list, a map or a namespace");
    }
    if depth > DEEPEST {
        return refused("lists or maps are nested too deeply");
    }
    for item in value.try_iter()? {
        weigh(state, &item, depth + 1, bytes)?;
        if is_map {
            weigh(state, &value.get_item(&item)?, depth + 1, bytes)?;
        }
    }
    Ok(())
}

/// Puts the filter `weighed` around every expression of a source that makes lists or maps of other
/// values, and the filter `string` after the variables, items, calls and filters that `~` joins. A
/// float that is computed on the spot, as in `(x + 0.5) ~ "s"`, stays as minijinja writes it.
///
/// # Errors
/// The source is not Jinja.
pub(super) fn with_weights(source: &str, syntax: &SyntaxConfig) -> Result<String, Error> {
    let tree = parse(source, NAME, syntax.clone())?;
    let tree = serde_json::to_value(&tree)
        .map_err(|error| Error::new(ErrorKind::BadSerialization, "template").with_source(error))?;
    let mut marks = Vec::new();
    mark(&tree, false, source, &mut marks);
    marks.sort_by_key(|(at, _)| *at);
    let (mut text, mut done) = (String::new(), 0);
    for (at, what) in marks {
        text += &source[done..at];
        text += what;
        done = at;
    }
    Ok(text + &source[done..])
}

/// Filters that make lists of lists, or compare lists.
const WEIGHED: [&str; 9] = [
    "batch", "dictsort", "groupby", "map", "max", "min", "slice", "sort", "unique",
];

/// Collects the places for the filter. `within` says that it is around `node` already.
fn mark(node: &Json, within: bool, source: &str, marks: &mut Vec<(usize, &'static str)>) {
    let Json::Object(fields) = node else {
        let nodes = node.as_array().into_iter().flatten();
        return nodes.for_each(|node| mark(node, within, source, marks));
    };
    // 1. Kind and source range of the node, from minijinja's serialized syntax tree.
    let kind = ["expr", "stmt"]
        .iter()
        .find_map(|name| fields.get(*name)?.as_str());
    let (what, span) = (&node["inner"][0], &node["inner"][1]);
    let at = |span: &Json, end: &str| span[end].as_u64().unwrap_or_default() as usize;
    let (start, end) = (at(span, "start_offset"), at(span, "end_offset"));
    let is_one_of = |field: &Json, names: &[&str]| names.iter().any(|name| field == name);
    let target = &what["target"];
    // 2. Expressions that make lists or maps: literals that are not constant, `+`, `*`, `dict()`,
    //    `namespace()`, and assignments to attributes of a namespace.
    let marked = match kind.unwrap_or_default() {
        "List" | "Tuple" | "Map" => {
            let held = ["items", "values"]
                .iter()
                .filter_map(|name| what[*name].as_array());
            let varies = held.flatten().any(|item| item["expr"] != "Const");
            Some(start).filter(|start| varies && *start < end)
        }
        "BinOp" => Some(start).filter(|_| is_one_of(&what["op"], &["Add", "Mul"])),
        "Call" => {
            let name = &what["expr"]["inner"][0]["id"];
            Some(start).filter(|_| is_one_of(name, &["dict", "namespace"]))
        }
        "Set" if is_one_of(&target["expr"], &["GetAttr"]) => {
            let behind = at(&target["inner"][1], "end_offset");
            source[behind..].find('=').map(|equals| behind + equals + 1)
        }
        _ => None,
    };
    let within_this = marked.is_some();
    if let Some(start) = marked.filter(|_| !within) {
        marks.push((start, "(("));
    }
    // 3. Children.
    for (name, field) in fields {
        match name.as_str() {
            "target" => {}
            "assignments" => field
                .as_array()
                .into_iter()
                .flatten()
                .for_each(|pair| mark(&pair[1], false, source, marks)),
            "inner" => mark(what, within_this, source, marks),
            _ => mark(field, within, source, marks),
        }
    }
    // 4. Comparisons: weigh the left side.
    let varies = what["right"]["expr"] != "Const";
    let compared = match kind.unwrap_or_default() {
        "BinOp" if varies && is_one_of(&what["op"], &["Eq", "Ne", "Lt", "Lte", "Gt", "Gte"]) => &what["left"],
        "BinOp" if is_one_of(&what["op"], &["In"]) => &what["left"],
        "Compare" => &what["expr"],
        "Test" if is_one_of(&what["name"], &["eq", "equalto", "==", "in", "ne", "!="]) => &what["expr"],
        _ => &Json::Null,
    };
    if !compared.is_null() {
        // A comparison takes as many steps as there are values on one side.
        marks.push((at(&compared["inner"][1], "end_offset"), "|weighed"));
    }
    // 5. Joined values: `~` writes a float as Rust does, not as Python does.
    if kind == Some("BinOp") && is_one_of(&what["op"], &["Concat"]) {
        const VALUES: [&str; 5] = ["Var", "GetAttr", "GetItem", "Call", "Filter"];
        for side in [&what["left"], &what["right"]] {
            if is_one_of(&side["expr"], &VALUES) {
                marks.push((at(&side["inner"][1], "end_offset"), "|string"));
            }
        }
    }
    // 6. Close the filter, or add it after a filter that makes lists.
    match kind {
        Some("Set") if within_this => marks.push((end, ")|stored)")),
        _ if within_this && !within => marks.push((end, ")|weighed)")),
        Some("Filter") if is_one_of(&what["name"], &WEIGHED) => {
            marks.push((end, "|weighed"));
        }
        _ => {}
    }
}
