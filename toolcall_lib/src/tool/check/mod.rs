//! Checks the arguments of a call against the schema: JSON schema (draft 2020-12) by the crate
//! `jsonschema`, with our own messages.

mod work;
mod words;

pub(super) use words::found;

use super::plain;
use crate::error::Problem;
use crate::json::escaped;
use crate::mutex::locked;
use jsonschema::error::ValidationErrorKind as Kind;
use jsonschema::{Keyword, ValidationError, Validator};
use serde_json::{Map, Value};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, LazyLock, Mutex};
use words::{describe, path_of};
use work::Work;

/// A schema of arguments that is ready to check calls.
#[derive(Debug)]
pub(crate) struct Checker {
    /// The schema in plain JSON schema.
    pub plain: Value,
    validator: Validator,
    work: Work,
}

/// Most problems of a call that are reported.
const MOST_TOLD: usize = 1000;

impl Checker {
    /// The checker of a schema of arguments; the last ones are cached.
    ///
    /// # Errors
    /// The schema is wrong; the string says where and why.
    pub fn of(parameters: &Value) -> Result<Arc<Self>, String> {
        const MOST: usize = 1024;
        type Kept = HashMap<String, Result<Arc<Checker>, String>>;
        static CHECKERS: LazyLock<Mutex<Kept>> = LazyLock::new(Mutex::default);
        let key = parameters.to_string();
        if let Some(kept) = locked(&CHECKERS).get(&key) {
            return kept.clone();
        }
        let made = Self::new(parameters).map(Arc::new);
        let mut checkers = locked(&CHECKERS);
        if checkers.len() >= MOST {
            checkers.clear();
        }
        checkers.insert(key, made.clone());
        made
    }

    fn new(parameters: &Value) -> Result<Self, String> {
        let wrong = |(path, problem): Problem| match path.is_empty() {
            true => format!("`function.parameters`: {problem}"),
            false => format!("`function.parameters.{path}`: {problem}"),
        };
        let plain = plain::arguments(parameters).map_err(wrong)?;
        let work = Work::of(&plain).map_err(wrong)?; // before the validator, whose size it bounds
        let validator = validator(&plain).map_err(wrong)?;
        Ok(Self {
            plain,
            validator,
            work,
        })
    }

    /// The types that an argument may have; none if it may have any.
    pub fn types_of(&self, argument: &str) -> Vec<&str> {
        words::types_of(&self.plain, argument)
    }

    /// All problems of the arguments of a call.
    pub fn problems(&self, arguments: &Map<String, Value>) -> Vec<Problem> {
        let arguments = Value::Object(arguments.clone());
        let mut errors = match self.errors(&arguments) {
            Ok(errors) => errors,
            Err(problem) => return vec![problem],
        };
        let mut more = errors.len().saturating_sub(MOST_TOLD);
        errors.truncate(MOST_TOLD);
        let mut problems = describe(&self.plain, &arguments, &errors);
        more += problems.len().saturating_sub(MOST_TOLD); // an error may be about many fields
        problems.truncate(MOST_TOLD);
        if more > 0 {
            problems.push((String::new(), format!("there are {more} more problems")));
        }
        problems
    }

    /// Returns where arguments do not fit; `None` if that cannot be decided in bounded time.
    pub fn failures(&self, arguments: &Value) -> Option<Failures> {
        let mut failures = Failures::default();
        for error in self.errors(arguments).ok()? {
            failures.count += failures.add(&error);
        }
        Some(failures)
    }

    /// All errors of arguments; or the reason why they cannot be checked.
    fn errors<'v>(&'v self, arguments: &'v Value) -> Result<Vec<ValidationError<'v>>, Problem> {
        self.work.bound(&self.plain, arguments)?;
        if self.validator.is_valid(arguments) {
            return Ok(Vec::new());
        }
        Ok(self.validator.iter_errors(arguments).collect())
    }
}

/// Places where arguments do not fit, as JSON pointers, including those of all branches of a union.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    /// Number of problems, without those of branches.
    pub count: usize,
    /// Number of problems of each value.
    pub at: HashMap<String, usize>,
    /// Fields that are required and absent.
    pub missing: HashSet<String>,
}

impl Failures {
    /// Adds an error; returns the number of fields that it is about.
    fn add(&mut self, error: &ValidationError<'_>) -> usize {
        let place = error.instance_path().as_str();
        let field = |name: &str| format!("{place}/{}", escaped(name));
        match error.kind() {
            Kind::Required { property } => {
                self.missing.insert(field(property.as_str().unwrap_or_default()));
                1
            }
            Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
                for name in unexpected {
                    *self.at.entry(field(name)).or_default() += 1;
                }
                unexpected.len()
            }
            kind => {
                *self.at.entry(place.to_string()).or_default() += 1;
                if let Kind::AnyOf { context } | Kind::OneOfNotValid { context } = kind {
                    for error in context.iter().flatten() {
                        self.add(error);
                    }
                }
                1
            }
        }
    }
}

/// All problems of the arguments of a call.
pub(super) fn arguments(parameters: &Value, arguments: &Map<String, Value>) -> Vec<Problem> {
    match Checker::of(parameters) {
        Ok(checker) => checker.problems(arguments),
        Err(problem) => vec![(String::new(), format!("cannot be checked: {problem}"))],
    }
}

/// Refuses an invalid schema of arguments.
pub(super) fn refuse_bad_schema(parameters: &Value) -> Result<(), String> {
    Checker::of(parameters).map(drop)
}

/// A validator of plain JSON schema with our keyword.
///
/// # Errors
/// The value is not a schema. The strings are the place and the reason.
pub(crate) fn validator(plain: &Value) -> Result<Validator, Problem> {
    let options = jsonschema::options()
        .with_draft(jsonschema::Draft::Draft202012)
        .should_validate_formats(false) // `format` describes, as the draft has it
        .with_keyword(plain::WHOLE, |_, _, _| Ok(Box::new(Whole)))
        .offline();
    options
        .build(plain)
        .map_err(|error| (path_of(&error), words::of_schema(&error)))
}

/// Keyword for integers that are written without a fraction: `5`, not `5.0`.
struct Whole;

impl<'i> Keyword<'i> for Whole {
    fn validate(&self, instance: &'i Value) -> Result<(), ValidationError<'i>> {
        match self.is_valid(instance) {
            true => Ok(()),
            false => Err(ValidationError::custom("expected integer")),
        }
    }

    fn is_valid(&self, instance: &'i Value) -> bool {
        !instance.is_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The problems of `value` as the argument `x` of schema `x`, one per line.
    fn problems(x: Value, value: Value) -> String {
        let parameters = json!({"type": "object", "properties": {"x": x}, "required": ["x"]});
        let Value::Object(given) = json!({"x": value}) else {
            panic!("an object")
        };
        let lines = arguments(&parameters, &given)
            .into_iter()
            .map(|(field, problem)| format!("{field}: {problem}"));
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_pattern_that_cannot_be_compiled_is_told_from_one_that_is_too_large() {
        let refused = |pattern: &str| {
            refuse_bad_schema(&json!({"properties": {"x": {"pattern": pattern}}})).unwrap_err()
        };
        let place = "`function.parameters.properties.x.pattern`: ";
        let large = "(a{1000}){1000}{1000}";
        assert_eq!(
            refused(large),
            format!("{place}the regular expression {large} is too large")
        );
        let open = refused("(a");
        let says = format!("{place}(a is not a regular expression: ");
        assert!(open.starts_with(&says), "{open}");
    }

    #[test]
    fn types_are_strict() {
        let samples = [
            json!(5),
            json!(5.0),
            json!("5"),
            json!(true),
            json!([5]),
            json!({"a": 5}),
            json!(null),
        ];
        let fitting = [
            ("integer", vec![0]),
            ("number", vec![0, 1]),
            ("string", vec![2]),
            ("boolean", vec![3]),
            ("array", vec![4]),
            ("object", vec![5]),
            ("null", vec![6]),
        ];
        for (name, fitting) in fitting {
            for (index, sample) in samples.iter().enumerate() {
                let fits = problems(json!({"type": name}), sample.clone()).is_empty();
                assert_eq!(fits, fitting.contains(&index), "{sample} as {name}");
            }
        }
        assert_eq!(
            problems(json!({"type": "integer"}), json!("5")),
            r#"x: expected integer, got string "5""#
        );
    }

    #[test]
    fn all_problems_are_found_with_their_paths() {
        let stop = json!({
            "type": "object",
            "properties": {"city": {"type": "string"}, "minutes": {"type": "integer"}},
            "required": ["city", "minutes"]
        });
        let found = problems(
            json!({"type": "array", "items": stop}),
            json!([{"city": 1, "minutes": 2}, {"minutes": "2", "extra": null}]),
        );
        let expected = "x[0].city: expected string, got integer 1\n\
            x[1].city: is missing; expected string\n\
            x[1].minutes: expected integer, got string \"2\"\n\
            x[1].extra: is unknown; the schema has city, minutes";
        assert_eq!(found, expected);
    }

    #[test]
    fn missing_and_unknown_arguments_are_problems() {
        let n = json!({"type": ["integer", "string"]});
        let parameters = json!({"type": "object", "properties": {"n": n}, "required": ["n"]});
        let given = json!({"m": 1}).as_object().cloned().unwrap();
        let missing = (
            "n".to_string(),
            "is missing; expected integer or string".to_string(),
        );
        let unknown = ("m".to_string(), "is unknown; the schema has n".to_string());
        assert_eq!(arguments(&parameters, &given), [missing, unknown]);
        for without in [
            json!(null),
            json!({}),
            json!({"type": "object", "properties": {}}),
        ] {
            assert_eq!(arguments(&without, &given).len(), 1, "{without}");
            assert_eq!(arguments(&without, &Map::new()), []);
        }
    }

    #[test]
    fn null_fits_only_what_is_nullable() {
        assert_eq!(
            problems(json!({"type": "string", "nullable": true}), json!(null)),
            ""
        );
        assert_eq!(problems(json!({"type": ["string", "null"]}), json!(null)), "");
        assert_eq!(problems(json!({}), json!(null)), "");
        assert_eq!(
            problems(json!({"type": "string"}), json!(null)),
            "x: expected string, got null"
        );
        let branch = json!({"anyOf": [{"type": "string", "nullable": true}, {"type": "integer"}]});
        assert_eq!(problems(branch, json!(null)), "", "nullable in one of several");
        let nullable = json!({"type": "string", "nullable": true});
        assert_eq!(
            problems(nullable, json!(1)),
            "x: expected string or null, got integer 1"
        );
    }

    #[test]
    fn choices_are_named() {
        let unit = json!({"type": "string", "enum": ["C", "F"]});
        assert_eq!(problems(unit.clone(), json!("C")), "");
        assert_eq!(
            problems(unit, json!("K")),
            r#"x: expected one of "C", "F", got string "K""#
        );
        assert_eq!(
            problems(json!({"const": 1}), json!(2)),
            "x: expected 1, got integer 2"
        );
    }

    #[test]
    fn one_branch_of_a_union_must_fit() {
        let union = json!({"anyOf": [{"type": "array", "items": {"type": "integer"}}, {"type": "string"}]});
        assert_eq!(problems(union.clone(), json!([1])), "");
        assert_eq!(problems(union.clone(), json!("a")), "");
        assert_eq!(
            problems(union.clone(), json!(["a"])),
            r#"x[0]: expected integer, got string "a""#
        );
        assert_eq!(
            problems(union, json!(5)),
            "x: expected array or string, got integer 5"
        );
    }

    #[test]
    fn a_tuple_has_its_length_and_types() {
        let tuple = json!({"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}]});
        assert_eq!(problems(tuple.clone(), json!([1, "a"])), "");
        assert_eq!(problems(tuple.clone(), json!([1])), "x: expected 2 items, got 1");
        assert_eq!(
            problems(tuple.clone(), json!([1, "a", 2])),
            "x: expected 2 items, got 3"
        );
        assert_eq!(
            problems(tuple, json!([1, 2])),
            "x[1]: expected string, got integer 2"
        );
    }

    #[test]
    fn additional_properties_open_an_object() {
        let map = json!({"type": "object", "additionalProperties": {"type": "integer"}});
        assert_eq!(problems(map.clone(), json!({"a": 1})), "");
        assert_eq!(
            problems(map, json!({"a": "b"})),
            r#"x.a: expected integer, got string "b""#
        );
        let closed = json!({"type": "object", "additionalProperties": false});
        assert_eq!(
            problems(closed, json!({"a": 1})),
            "x.a: is unknown; the schema has no fields here"
        );
        assert_eq!(problems(json!({"type": "object"}), json!({"a": 1})), "");
        let open = json!({"type": "object", "properties": {}, "additionalProperties": true});
        assert_eq!(problems(open, json!({"a": 1})), "");
    }

    #[test]
    fn problems_beyond_a_thousand_are_counted() {
        let list = json!({"type": "array", "items": {"type": "integer"}});
        let unknown: Map<String, Value> = (0..1500).map(|i| (format!("k{i}"), json!(1))).collect();
        for (x, value) in [
            (list, json!(vec!["a"; 1500])),
            (json!({"properties": {}}), unknown.into()),
        ] {
            let text = problems(x, value);
            assert_eq!(text.lines().count(), 1001);
            assert!(text.ends_with("there are 500 more problems"), "{text}");
        }
    }

    #[test]
    fn long_values_are_shortened_in_messages() {
        let text = problems(json!({"type": "integer"}), json!("ä".repeat(100)));
        assert!(text.ends_with('…') && text.chars().count() < 100, "{text}");
    }
}
