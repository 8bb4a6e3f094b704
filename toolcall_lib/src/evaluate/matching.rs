//! Equality of calls, by the rules of the Berkeley Function Calling Leaderboard's AST check for one
//! true answer.

use crate::tool::ToolCall;
use serde_json::{Map, Value};

/// Compares the tools of two lists of calls: the same names, in any order, each equally often.
pub(super) fn same_names(expected: &[ToolCall], got: &[ToolCall]) -> bool {
    let sorted = |calls: &[ToolCall]| {
        let mut names: Vec<String> = calls.iter().map(|call| call.name.clone()).collect();
        names.sort();
        names
    };
    sorted(expected) == sorted(got)
}

/// Compares tools and arguments of two lists of calls, in any order. Types are strict, except that
/// an integer passes where a float is expected. A `null` argument counts as left out.
pub(super) fn same_calls(expected: &[ToolCall], got: &[ToolCall]) -> bool {
    are_equal(expected, got, |a, b| a == b)
}

/// Compares as [`same_calls`] does, but strings match when they differ only in case, spaces and the
/// characters `,./-_*^`, and `'` equals `"`.
pub(super) fn same_calls_loosely(expected: &[ToolCall], got: &[ToolCall]) -> bool {
    are_equal(expected, got, |a, b| standardized(a) == standardized(b))
}

/// Returns for each call whether it is an expected one. Each expected call counts for one call
/// only.
pub(super) fn exact(expected: &[ToolCall], got: &[ToolCall]) -> Vec<bool> {
    let taken_by = pair_up(expected, got, |a, b| a == b);
    taken_by.iter().map(Option::is_some).collect()
}

fn are_equal(expected: &[ToolCall], got: &[ToolCall], same_text: fn(&str, &str) -> bool) -> bool {
    expected.len() == got.len() && pair_up(expected, got, same_text).iter().all(Option::is_some)
}

/// Pairs as many calls as possible with equal expected ones, by augmenting paths (Kuhn's
/// algorithm). Returns for each call of `got` the index of its expected call. The first fit would
/// not do: an expected 5.0 may take the 5 that an expected 5 needs.
fn pair_up(expected: &[ToolCall], got: &[ToolCall], same_text: fn(&str, &str) -> bool) -> Vec<Option<usize>> {
    /// Finds a call for the expected call `index`, and moves others to another call where that
    /// makes room.
    fn place(
        index: usize,
        fits: &dyn Fn(usize, usize) -> bool,
        taken_by: &mut [Option<usize>],
        tried: &mut [bool],
    ) -> bool {
        for call in 0..taken_by.len() {
            if tried[call] || !fits(index, call) {
                continue;
            }
            tried[call] = true;
            if taken_by[call].is_none_or(|other| place(other, fits, taken_by, tried)) {
                taken_by[call] = Some(index);
                return true;
            }
        }
        false
    }
    let fits = |index: usize, call: usize| same_call(&expected[index], &got[call], same_text);
    let mut taken_by = vec![None; got.len()];
    for index in 0..expected.len() {
        place(index, &fits, &mut taken_by, &mut vec![false; got.len()]);
    }
    taken_by
}

/// Compares name and arguments of two calls.
fn same_call(expected: &ToolCall, got: &ToolCall, same_text: fn(&str, &str) -> bool) -> bool {
    expected.name == got.name && same_fields(&expected.arguments, &got.arguments, same_text)
}

/// Returns a string as the leaderboard's checker compares it: without spaces and the characters
/// `,./-_*^`, in lower case, with `"` for `'`.
pub(crate) fn standardized(text: &str) -> String {
    let kept: String = text.chars().filter(|c| !" ,./-_*^".contains(*c)).collect();
    kept.to_lowercase().replace('\'', "\"")
}

/// Compares fields by name, without those that are `null`.
fn same_fields(
    expected: &Map<String, Value>,
    got: &Map<String, Value>,
    same_text: fn(&str, &str) -> bool,
) -> bool {
    let given = |fields: &Map<String, Value>| fields.values().filter(|value| !value.is_null()).count();
    given(expected) == given(got)
        && expected
            .iter()
            .filter(|(_, value)| !value.is_null())
            .all(|(name, value)| {
                got.get(name)
                    .is_some_and(|other| same_value(value, other, same_text))
            })
}

/// Compares two values; `same_text` compares strings.
fn same_value(expected: &Value, got: &Value, same_text: fn(&str, &str) -> bool) -> bool {
    match (expected, got) {
        (Value::String(a), Value::String(b)) => same_text(a, b),
        (Value::Number(a), Value::Number(b)) => a == b || (a.is_f64() && a.as_f64() == b.as_f64()),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_value(a, b, same_text))
        }
        (Value::Object(a), Value::Object(b)) => same_fields(a, b, same_text),
        _ => expected == got,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn strings_are_standardized_as_by_the_checker() {
        assert_eq!(standardized(" St. John's_(*^A-B/C, É) "), "stjohn\"s(abcé)");
        assert_eq!(
            standardized("ΟΔΟΣ"),
            "οδος",
            "a sigma at the end, as Python has it"
        );
    }

    fn calls(list: Value) -> Vec<ToolCall> {
        serde_json::from_value(list).unwrap()
    }

    fn one(arguments: Value) -> Vec<ToolCall> {
        calls(json!([{"name": "f", "arguments": arguments}]))
    }

    #[test]
    fn types_are_strict_but_a_whole_number_passes_for_a_fraction() {
        let same = |a: Value, b: Value| same_calls(&one(json!({"x": a})), &one(json!({"x": b})));
        assert!(same(json!(5), json!(5)) && same(json!(5.0), json!(5)) && same(json!(true), json!(true)));
        assert!(!same(json!(5), json!(5.0)) && !same(json!(5), json!("5")) && !same(json!(1), json!(true)));
        assert!(!same(json!(5.5), json!(5)) && !same(json!("Mom"), json!("mom")));
        assert!(same(json!([1, {"a": 2.0}]), json!([1, {"a": 2}])) && !same(json!([1, 2]), json!([2, 1])));
    }

    #[test]
    fn every_argument_counts_and_null_is_no_argument() {
        let same = |a: Value, b: Value| same_calls(&one(a), &one(b));
        assert!(same(json!({"a": 1, "b": 2}), json!({"b": 2, "a": 1})));
        assert!(
            !same(json!({"a": 1}), json!({"a": 1, "b": 2}))
                && !same(json!({"a": 1, "b": 2}), json!({"a": 1}))
        );
        assert!(same(json!({"a": 1}), json!({"a": 1, "b": null})) && same(json!({"a": null}), json!({})));
        assert!(!same(json!({"a": 1, "b": null}), json!({"b": 1, "a": null})));
    }

    #[test]
    fn calls_match_in_any_order_each_once() {
        let (f, g) = (
            json!({"name": "f", "arguments": {"x": 1}}),
            json!({"name": "g", "arguments": {}}),
        );
        assert!(same_calls(&calls(json!([f, g, f])), &calls(json!([g, f, f]))));
        assert!(!same_calls(&calls(json!([f, g, f])), &calls(json!([f, g, g]))));
        assert!(!same_calls(&calls(json!([f])), &calls(json!([f, f]))));
        let of_each = exact(&calls(json!([f, g])), &calls(json!([g, f, f])));
        assert_eq!(of_each, [true, true, false]);
        let x = |x: Value| json!({"name": "f", "arguments": {"x": x}});
        let (expected, got) = (
            calls(json!([x(json!(5.0)), x(json!(5))])),
            calls(json!([x(json!(5)), x(json!(5.0))])),
        );
        assert!(same_calls(&expected, &got), "5.0 must leave the 5 to the 5");
        assert_eq!(exact(&expected, &got), [true, true]);
        assert!(same_names(
            &calls(json!([f, g])),
            &calls(json!([g, {"name": "f", "arguments": {}}]))
        ));
        assert!(!same_names(&calls(json!([f, f])), &calls(json!([f, g]))));
    }

    #[test]
    fn loose_matching_forgives_the_spelling_of_strings_only() {
        let same = |a: Value, b: Value| same_calls_loosely(&one(json!({"x": a})), &one(json!({"x": b})));
        assert!(
            same(json!("Call Mom, 7.30 PM"), json!("call mom 730pm")) && same(json!("it's"), json!("it\"s"))
        );
        assert!(!same(json!("mom"), json!("dad")) && !same(json!(5), json!(6)));
    }
}
