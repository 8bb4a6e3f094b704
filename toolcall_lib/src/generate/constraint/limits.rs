//! How large a schema may be before a grammar is made of it. The grammar has limits of its own, but it takes minutes to reach some
//! of them: a multiple of 123,456,789 takes an automaton of as many states.

use super::schema::Unsupported;
use serde_json::Value;

/// Schemas and values of all tools together.
pub(super) const MOST_NODES: u64 = 50_000;
/// Largest `multipleOf`, and largest product of several that hold together, without the zeros at the end: 0.05 counts as 5.
const LARGEST_MULTIPLE: u64 = 10_000;

/// Refuses schemas that would take too long; takes their size from `left`.
pub(super) fn check(parameters: &Value, left: &mut u64) -> Result<(), Unsupported> {
    let nodes = nodes(parameters);
    *left = left.checked_sub(nodes).ok_or_else(|| {
        let problem =
            format!("it is too large: with those before it, more than {MOST_NODES} schemas and values");
        (String::new(), problem)
    })?;
    multiples(parameters, "").map(drop)
}

/// Schemas and values in a schema. What stands under a list of types stands there once for each of them.
fn nodes(value: &Value) -> u64 {
    let sum = |counts: &mut dyn Iterator<Item = u64>| counts.fold(1_u64, u64::saturating_add);
    match value {
        Value::Array(items) => sum(&mut items.iter().map(nodes)),
        Value::Object(fields) => {
            let types = fields
                .get("type")
                .and_then(Value::as_array)
                .map_or(1, Vec::len)
                .max(1);
            sum(&mut fields.values().map(nodes)).saturating_mul(types as u64)
        }
        _ => 1,
    }
}

/// The least common multiple of what holds together at a place: beside one another, and in `allOf`, `anyOf` and `oneOf`.
fn multiples(schema: &Value, path: &str) -> Result<u64, Unsupported> {
    let wrong = |problem: String| Err((path.to_string(), problem));
    let mut all = match schema.get("multipleOf") {
        None => 1,
        Some(number) => match digits(number) {
            Some(digits @ 1..=LARGEST_MULTIPLE) => digits,
            _ => {
                return wrong(format!(
                    "`multipleOf` {number} is not supported: more than {LARGEST_MULTIPLE} in its digits"
                ));
            }
        },
    };
    let join = |name: &str| {
        if path.is_empty() {
            name.to_string()
        } else {
            format!("{path}.{name}")
        }
    };
    for (name, value) in schema.as_object().into_iter().flatten() {
        match name.as_str() {
            "properties" | "$defs" | "definitions" => {
                for (name, schema) in value.as_object().into_iter().flatten() {
                    multiples(schema, &join(name))?;
                }
            }
            "allOf" | "anyOf" | "oneOf" => {
                for schema in value.as_array().into_iter().flatten() {
                    all = lcm(all, multiples(schema, path)?);
                }
            }
            "items" | "additionalProperties" => drop(multiples(value, &format!("{path}[]"))?),
            "prefixItems" => {
                for (i, schema) in value.as_array().into_iter().flatten().enumerate() {
                    multiples(schema, &format!("{path}[{i}]"))?;
                }
            }
            _ => {}
        }
    }
    match all {
        0..=LARGEST_MULTIPLE => Ok(all),
        _ => wrong(format!(
            "several `multipleOf` that hold together are not supported: {all} is more than {LARGEST_MULTIPLE}"
        )),
    }
}

/// The digits of a decimal number without its point and the zeros at the end.
fn digits(number: &Value) -> Option<u64> {
    let text = format!("{:e}", number.as_f64().filter(|number| *number > 0.0)?);
    let (digits, _) = text.split_once('e')?;
    digits.replace('.', "").parse().ok()
}

fn lcm(a: u64, b: u64) -> u64 {
    let (mut x, mut y) = (a, b);
    while y > 0 {
        (x, y) = (y, x % y);
    }
    (a / x.max(1)).saturating_mul(b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn problem(schema: Value) -> String {
        match check(&schema, &mut MOST_NODES.clone()) {
            Ok(()) => String::new(),
            Err((path, problem)) => format!("{path}: {problem}"),
        }
    }

    #[test]
    fn multiples_are_bounded_by_their_digits() {
        let of =
            |number: Value| problem(json!({"properties": {"x": {"type": "number", "multipleOf": number}}}));
        for fine in [
            json!(1),
            json!(0.01),
            json!(0.25),
            json!(9999),
            json!(1e15),
            json!(1000000),
            json!(7e-7),
        ] {
            assert_eq!(of(fine.clone()), "", "{fine}");
        }
        for wrong in [
            json!(123456789),
            json!(0.123456789),
            json!(99991),
            json!(0),
            json!(-5),
            json!("5"),
            json!(null),
        ] {
            let problem = of(wrong.clone());
            assert!(
                problem.starts_with(&format!("x: `multipleOf` {wrong} is not supported")),
                "{problem}"
            );
        }
    }

    #[test]
    fn multiples_that_hold_together_are_multiplied() {
        let all = json!({"allOf": [{"multipleOf": 9973}, {"anyOf": [{"multipleOf": 9967}]}]});
        assert!(problem(json!({"properties": {"x": all}})).starts_with("x: several `multipleOf`"));
        let apart = json!({"properties": {"x": {"multipleOf": 9973}, "y": {"multipleOf": 9967}}});
        assert_eq!(problem(apart), "");
    }

    #[test]
    fn schemas_are_bounded_also_where_types_multiply_them() {
        let values: Vec<usize> = (0..100_000).collect();
        assert!(problem(json!({"properties": {"x": {"enum": values}}})).contains("it is too large"));
        let mut nested = json!({"type": "string"});
        for _ in 0..40 {
            nested = json!({"type": ["array", "object", "null"], "items": nested});
        }
        assert!(problem(nested).contains("it is too large"));
        assert_eq!(
            problem(json!({"properties": {"x": {"type": ["string", "null"]}}})),
            ""
        );
    }
}
