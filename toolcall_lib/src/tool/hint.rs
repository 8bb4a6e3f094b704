//! Type hints of Python in a string, such as `List[Dict[str, int]]` or `str, optional`, as schemas.

use serde_json::{Map, Value, json};

/// The meaning of a type hint.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Hint {
    /// The schema of the values; `None` for a type that JSON does not have.
    pub schema: Option<Map<String, Value>>,
    /// True if the argument may be left out.
    pub optional: bool,
}

/// Deepest nesting of types.
const DEEPEST: usize = 16;

/// Reads a type hint. After a comma, `optional` and a default may follow.
pub(super) fn read(text: &str) -> Hint {
    let parts = split(text, ',');
    let (kind, remarks) = parts
        .split_first()
        .map_or(("", &[][..]), |(kind, rest)| (*kind, rest));
    let said = |remark: &&str| {
        let remark = remark.to_ascii_lowercase();
        remark.starts_with("optional") || remark.starts_with("default")
    };
    let optional = remarks.iter().any(said) || kind.to_ascii_lowercase().starts_with("optional[");
    Hint {
        schema: schema(kind, DEEPEST),
        optional,
    }
}

/// The schema of a type; `None` if JSON has no such values.
fn schema(kind: &str, depth: usize) -> Option<Map<String, Value>> {
    let alternatives = split(kind, '|');
    if alternatives.len() > 1 {
        return union(&alternatives, depth.checked_sub(1)?);
    }
    let (name, inner) = match kind.split_once('[') {
        Some((name, inner)) => (name.trim(), inner.trim_end().strip_suffix(']')?),
        None => (kind, ""),
    };
    let depth = depth.checked_sub(1)?;
    let inner = split(inner, ',');
    let name = name
        .trim()
        .rsplit('.')
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase();
    let plain = |kind: &str| Some(Map::from_iter([("type".to_string(), json!(kind))]));
    match name.as_str() {
        "str" | "string" => plain("string"),
        "int" | "integer" => plain("integer"),
        "float" | "number" | "double" => plain("number"),
        "bool" | "boolean" => plain("boolean"),
        "none" | "nonetype" | "null" => plain("null"),
        "any" => Some(Map::new()),
        "dict" | "object" | "mapping" => with(plain("object")?, "additionalProperties", inner.get(1), depth),
        "list" | "array" | "sequence" | "iterable" | "set" => {
            with(plain("array")?, "items", inner.first(), depth)
        }
        "tuple" => {
            let same = inner.iter().all(|item| *item == inner[0] || *item == "...");
            with(plain("array")?, "items", inner.first().filter(|_| same), depth)
        }
        "optional" => schema(inner.first()?, depth),
        "union" => union(&inner, depth),
        _ => None,
    }
}

/// Adds the schema of what a list or an object holds, if that is said.
fn with(
    mut outer: Map<String, Value>,
    key: &str,
    inner: Option<&&str>,
    depth: usize,
) -> Option<Map<String, Value>> {
    if let Some(inner) = inner {
        let inner = schema(inner, depth)?;
        if !inner.is_empty() {
            outer.insert(key.to_string(), inner.into());
        }
    }
    Some(outer)
}

/// One of several types; `None` among them only says that the argument may be left out.
fn union(kinds: &[&str], depth: usize) -> Option<Map<String, Value>> {
    let values = kinds.iter().filter(|kind| !kind.eq_ignore_ascii_case("none"));
    let mut schemas = values
        .map(|kind| schema(kind, depth))
        .collect::<Option<Vec<_>>>()?;
    match schemas.len() {
        0 => None,
        1 => schemas.pop(),
        _ => Some(Map::from_iter([("anyOf".to_string(), json!(schemas))])),
    }
}

/// The parts between the separators outside of all brackets.
fn split(text: &str, sign: char) -> Vec<&str> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0_usize);
    for (at, found) in text.char_indices() {
        match found {
            '[' | '(' => depth += 1,
            ']' | ')' => depth = depth.saturating_sub(1),
            _ if found == sign && depth == 0 => {
                parts.push(text[start..at].trim());
                start = at + found.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(text[start..].trim());
    parts.retain(|part| !part.is_empty());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn type_hints_become_schemas() {
        for (text, schema, optional) in [
            ("str", json!({"type": "string"}), false),
            ("int, optional", json!({"type": "integer"}), true),
            ("bool, default is True", json!({"type": "boolean"}), true),
            ("Optional[float]", json!({"type": "number"}), true),
            (
                "List[int]",
                json!({"type": "array", "items": {"type": "integer"}}),
                false,
            ),
            ("list", json!({"type": "array"}), false),
            ("List[Any]", json!({"type": "array"}), false),
            (
                "Tuple[float, float]",
                json!({"type": "array", "items": {"type": "number"}}),
                false,
            ),
            ("Tuple[str, int]", json!({"type": "array"}), false),
            (
                "List[Dict[str, List[int]]], optional",
                json!({"type": "array", "items": {"type": "object",
                    "additionalProperties": {"type": "array", "items": {"type": "integer"}}}}),
                true,
            ),
            (
                "typing.Union[int, str, None]",
                json!({"anyOf": [{"type": "integer"}, {"type": "string"}]}),
                false,
            ),
            ("int | None", json!({"type": "integer"}), false),
        ] {
            let hint = read(text);
            assert_eq!(hint.schema.map(Value::Object), Some(schema), "{text}");
            assert_eq!(hint.optional, optional, "{text}");
        }
    }

    #[test]
    fn types_that_json_does_not_have_are_told() {
        for text in [
            "Callable[[float], float]",
            "np.ndarray",
            "List[datetime]",
            "",
            "List[",
            "Union[]",
        ] {
            assert_eq!(read(text).schema, None, "{text}");
        }
        assert_eq!(read(&"List[".repeat(10_000)).schema, None);
    }
}
