//! Reads settings as flags: `--learning-rate 1e-4`, `--learning_rate=1e-4`.

use super::fields::{Field, Kind, field, fields};
use super::given::Given;
use crate::error::{Error, Result};
use serde_json::{Map, Value};
use std::ffi::OsString;

/// Takes the flags that are settings out of the arguments of a command, and leaves the others.
///
/// `known` are the names of the command's own flags, with dashes. These flags are left, written so.
/// All others are settings: a flag without a value is true, one with several is a list, and
/// `--no-NAME` is false.
///
/// # Errors
/// A flag is given twice.
///
/// ```
/// use toolcall_lib::train::settings::take_flags;
///
/// let arguments = ["--out", "tuned", "--learning_rate", "1e-4", "--bf16"].map(Into::into);
/// let (rest, given) = take_flags(arguments, &["out"])?;
/// assert_eq!(rest, ["--out", "tuned"]);
/// assert_eq!(given.values["learning_rate"], "1e-4");
/// assert_eq!(given.values["bf16"], true);
/// # Ok::<(), toolcall_lib::Error>(())
/// ```
pub fn take_flags(
    arguments: impl IntoIterator<Item = OsString>,
    known: &[impl AsRef<str>],
) -> Result<(Vec<OsString>, Given)> {
    let (mut rest, mut values) = (Vec::new(), Map::new());
    let mut arguments = arguments.into_iter().peekable();
    while let Some(argument) = arguments.next() {
        let Some((name, value)) = argument.to_str().and_then(flag) else {
            let ends = argument == "--";
            rest.push(argument);
            if ends {
                rest.extend(arguments.by_ref()); // what follows is not a flag
            }
            continue;
        };
        let dashed = name.replace('_', "-");
        if known.iter().any(|known| known.as_ref() == dashed) {
            let value = value.map_or_else(String::new, |value| format!("={value}"));
            rest.push(format!("--{dashed}{value}").into());
            continue;
        }
        let mut following = Vec::new();
        while value.is_none() && arguments.peek().is_some_and(is_value) {
            following.extend(arguments.next().map(|value| value.to_string_lossy().into_owned()));
        }
        let (name, value) = setting(&name.replace('-', "_"), value, following);
        if values.insert(name.clone(), value).is_some() {
            return Err(Error::invalid(
                format!("--{name}"),
                "is given twice; expected one value",
            ));
        }
    }
    Ok((rest, Given::flags(values)))
}

/// Returns the name of a flag, and its value if it follows a `=`.
fn flag(argument: &str) -> Option<(String, Option<String>)> {
    let name = argument.strip_prefix("--").filter(|name| !name.is_empty())?;
    Some(match name.split_once('=') {
        Some((name, value)) => (name.to_string(), Some(value.to_string())),
        None => (name.to_string(), None),
    })
}

/// Returns true if an argument is not a flag. A number may be negative.
fn is_value(argument: &OsString) -> bool {
    let text = argument.to_string_lossy();
    !text.starts_with('-') || text.parse::<f64>().is_ok()
}

fn setting(name: &str, value: Option<String>, following: Vec<String>) -> (String, Value) {
    let mut following = following.into_iter();
    match (value, following.len()) {
        (Some(value), _) => (name.to_string(), value.into()),
        (None, 0) => match name
            .strip_prefix("no_")
            .filter(|name| is_known(name) && !is_known(&format!("no_{name}")))
        {
            Some(positive) => (positive.to_string(), false.into()),
            None => (name.to_string(), true.into()),
        },
        (None, 1) => (name.to_string(), following.next().into()),
        (None, _) => (name.to_string(), following.collect::<Vec<_>>().into()),
    }
}

fn is_known(name: &str) -> bool {
    field(name).is_some() || super::table::find(name).is_some()
}

/// Returns the settings with their values, defaults and meanings, for the help of a command line.
pub fn help() -> String {
    let mut text = "Settings, which override those of files (names of TRL, transformers, Axolotl, \
                    LLaMA-Factory and mlx-lm work too; docs/settings.md has them all):\n"
        .to_string();
    for field in fields().iter().filter(|field| field.name != "lora") {
        text += &format!(
            "      --{} {}\n          {}{}\n",
            field.name.replace('_', "-"),
            value_name(field),
            field.summary(),
            default(field)
        );
    }
    text
}

fn value_name(field: &Field) -> String {
    match &field.kind {
        Kind::Boolean => "<true|false>".to_string(),
        Kind::Whole | Kind::Number => "<NUMBER>".to_string(),
        Kind::Word(words) => format!("<{}>", words.join("|")),
        Kind::Text => "<TEXT>".to_string(),
        Kind::Names => "<NAMES>".to_string(),
        Kind::Object => "<JSON>".to_string(),
    }
}

fn default(field: &Field) -> String {
    match &field.default {
        Value::Null => String::new(),
        Value::Object(map) if map.is_empty() => String::new(),
        Value::String(text) => format!(" [default: {text}]"),
        Value::Array(_) => " [default: all linear layers]".to_string(),
        other => format!(" [default: {other}]"),
    }
}
