//! Reads YAML as JSON, with the lines of its keys.
//!
//! Plain words are read by YAML 1.2: `1e-4` is a number, and `no`, `off`, `yes` and `on` are
//! strings. Readers of YAML 1.1, such as Python's, read them the other way round: `1e-4` as a
//! string, and the words as booleans. The caller, who knows the key, decides.

use crate::json::{Keep, Problem, kind};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use serde_saphyr::budget::BudgetBreach;
use serde_saphyr::options::{DuplicateKeyPolicy, MergeKeyPolicy};
use serde_saphyr::{DefaultMessageFormatter, Error, MessageFormatter, Options, Spanned};
use std::collections::HashMap;
use std::fmt;

/// Most events that all aliases together may expand to: more is a bomb.
const MOST_REPLAYED: usize = 10_000;

/// Longest text that is read, in bytes.
const LONGEST: usize = 16 << 20;

/// A mapping, and the line of each of its own keys.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mapping {
    /// Its content.
    pub values: Map<String, Value>,
    /// Lines of the keys, from 1.
    pub lines: HashMap<String, u64>,
}

/// Reads a document that is one mapping.
///
/// # Errors
/// The text is not YAML, has several documents, is not a mapping, has a duplicate key, is nested
/// deeper than 64 levels, or has aliases that expand to too much.
///
/// ```
/// let read = toolcall_lib::yaml::read_object("learning_rate: 1e-4\npacking: no\n").unwrap();
/// assert_eq!(read.values["learning_rate"], 1e-4);
/// assert_eq!(read.values["packing"], "no");
/// assert_eq!(read.lines["packing"], 2);
/// ```
pub fn read_object(text: &str) -> Result<Mapping, Problem> {
    if text.len() > LONGEST {
        let reason = format!("{} bytes are too many; expected {LONGEST} at most", text.len());
        return Err(Problem {
            line: 1,
            column: 1,
            reason,
        });
    }
    let Root(root) = serde_saphyr::from_str_with_options(text, options()).map_err(problem)?;
    root.map_err(|found| Problem {
        line: 1,
        column: 1,
        reason: format!("found {found}, expected names with values, `name: value`"),
    })
}

fn options() -> Options {
    serde_saphyr::options! {
        duplicate_keys: DuplicateKeyPolicy::Error,
        merge_keys: MergeKeyPolicy::Merge,
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: MOST_REPLAYED },
        strict_booleans: true,
        reject_unsupported_tags: true,
        with_snippet: false,
    }
}

fn problem(error: Error) -> Problem {
    let place = error.location();
    Problem {
        line: place.map_or(1, |place| place.line() as usize),
        column: place.map_or(1, |place| place.column() as usize),
        reason: reason(&error),
    }
}

/// Returns what is wrong without its place; our words where the parser speaks of its own settings.
fn reason(error: &Error) -> String {
    let ours = match error {
        Error::AliasError { error, .. } => return reason(error),
        Error::DuplicateMappingKey { key: Some(key), .. } => return format!("duplicate key `{key}`"),
        Error::MultipleDocuments { .. } => "there are several documents; expected one",
        Error::RecursiveReferencesRequireWeakTypes { .. } => "an alias is in the value that it stands for",
        Error::Budget {
            breach: BudgetBreach::Depth { .. },
            ..
        } => "lists and mappings are nested too deeply",
        Error::NonFiniteFloat { .. } => "a number is infinite, or not a number",
        Error::BinaryNotUtf8 { .. } => "the value of `!!binary` is not a string",
        other => return DefaultMessageFormatter.format_message(other).into_owned(),
    };
    ours.to_string()
}

/// The mapping, or the kind of another value.
struct Root(Result<Mapping, &'static str>);

impl<'de> Deserialize<'de> for Root {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ReadRoot).map(Self)
    }
}

struct ReadRoot;

impl<'de> Visitor<'de> for ReadRoot {
    type Value = Result<Mapping, &'static str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("names with values")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut read = Mapping::default();
        while let Some(key) = entries.next_key::<Spanned<String>>()? {
            let value = entries.next_value_seed(Keep)?;
            let (line, key) = (key.defined.line(), key.value);
            if read.values.insert(key.clone(), value).is_some() {
                return Err(A::Error::custom(format!("duplicate key `{key}`")));
            }
            read.lines.insert(key, line);
        }
        Ok(Ok(read))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Err("nothing"))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Err(kind(&Value::Bool(true))))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Err(kind(&value.into())))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Err(kind(&value.into())))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Err(kind(&value.into())))
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(Err("a string"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        while items.next_element_seed(Keep)?.is_some() {}
        Ok(Err("a list"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn values(text: &str) -> Value {
        Value::Object(read_object(text).unwrap().values)
    }

    #[test]
    fn plain_words_are_those_of_yaml_1_2() {
        let text =
            "a: 1e-4\nb: 2e5\nc: 1.5\nd: no\ne: on\nf: true\ng: False\nh: ~\ni:\nj: '1'\nk: -1\nl: 0x10\n";
        let expected = json!({
            "a": 1e-4, "b": 2e5, "c": 1.5, "d": "no", "e": "on", "f": true, "g": false, "h": null, "i": null, "j": "1",
            "k": -1, "l": 16
        });
        assert_eq!(values(text), expected);
    }

    #[test]
    fn lists_groups_and_merged_keys_are_read() {
        let text =
            "---\nbase: &base {r: 8, keys: [q, v]}\nlora:\n  <<: *base\n  r: 16\nlist:\n- path: a\n  n: 1\n";
        let read = read_object(text).unwrap();
        let lora = &read.values["lora"];
        assert_eq!(
            (lora["r"].clone(), lora["keys"].clone()),
            (json!(16), json!(["q", "v"]))
        );
        assert_eq!(read.values["list"], json!([{"path": "a", "n": 1}]));
        assert_eq!((read.lines["lora"], read.lines["list"]), (3, 6));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (text, line, says) in [
            ("a: 1\nb: [1, 2\nc: 3\n", 3, ""),
            ("a: 1\nb: 2\na: 3\n", 3, "duplicate key `a`"),
            ("a:\n  b: 1\n  b: 2\n", 3, "duplicate key `b`"),
            (
                "b at line 9: 1\nb at line 9: 2\n",
                2,
                "duplicate key `b at line 9`",
            ),
            ("a: !!binary /w==\n", 1, "the value of `!!binary` is not a string"),
            (
                "a: 1\n---\nb: 2\n",
                0,
                "there are several documents; expected one",
            ),
            ("a: .inf\n", 1, "a number is infinite, or not a number"),
            ("a: &a [*a]\n", 1, "an alias is in the value that it stands for"),
            ("a: !!python/object:os.system 1\n", 1, "unsupported tag `"),
            ("a: !mine 1\n", 1, "unsupported tag `"),
            ("- a\n- b\n", 1, "found a list, expected names with values"),
            ("", 1, "found nothing, expected names"),
            ("just words\n", 1, "found a string"),
        ] {
            let problem = read_object(text).unwrap_err();
            assert!(problem.reason.contains(says), "{text:?}: {problem}");
            assert!(line == 0 || problem.line == line, "{text:?}: {problem}");
        }
    }

    #[test]
    fn bombs_are_refused() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_string();
        for level in 1..10 {
            let before = vec![format!("*a{}", level - 1); 10].join(", ");
            bomb += &format!("a{level}: &a{level} [{before}]\n");
        }
        assert!(read_object(&bomb).is_err());
        let deep = format!("a: {}{}\n", "[".repeat(5_000), "]".repeat(5_000));
        assert!(read_object(&deep).is_err());
        assert!(read_object("a: &a [*a]\n").is_err());
    }
}
