//! Lists our own settings with the types of their values, from the types and comments of
//! [`TrainConfig`].

use super::read::{Read, boolean, number, object, said_none, structured, text, whole, wrong};
use crate::train::TrainConfig;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};
use std::fmt;
use std::sync::OnceLock;

/// A setting of [`TrainConfig`], or one of its `lora` as `lora.r`.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// Name of the setting.
    pub name: String,
    /// Documentation of the setting.
    pub about: String,
    /// Kind of its values.
    pub kind: Kind,
    /// True if its value can be none.
    pub optional: bool,
    /// Value in the recipe `default`; for `lora.…` the value in the recipe `lora`.
    pub default: Value,
}

/// Kind of values that a setting takes.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// True or false.
    Boolean,
    /// An integer, not negative.
    Whole,
    /// A number.
    Number,
    /// One of these words.
    Word(Vec<String>),
    /// Any string, such as a path.
    Text,
    /// A list of names, or a string.
    Names,
    /// Names with values.
    Object,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean => f.write_str("true or false"),
            Self::Whole => f.write_str("an integer"),
            Self::Number => f.write_str("a number"),
            Self::Word(words) => f.write_str(&words.join(", ")),
            Self::Text => f.write_str("a string"),
            Self::Names => f.write_str("a list of names, or a string"),
            Self::Object => f.write_str("names with values"),
        }
    }
}

impl Field {
    /// Reads a value as this setting has it. A string may be a number or a boolean, as on a command
    /// line.
    pub(super) fn read(&self, value: &Value) -> Read<Value> {
        let is_none = match self.kind {
            Kind::Names => value.is_null(), // "none" is a name: that of no tracker
            _ => said_none(value),
        };
        if self.optional && is_none {
            return Ok(Value::Null);
        }
        let read = match &self.kind {
            Kind::Boolean => boolean(value).map(Value::from),
            Kind::Whole => whole(value).map(Value::from),
            Kind::Number => number(value).map(Value::from),
            Kind::Text => text(value).map(Value::from),
            Kind::Object => object(value).map(Value::from),
            Kind::Names => structured(value),
            Kind::Word(words) => word(value, words),
        };
        read.map_err(|_| wrong(value, self.expected()))
    }

    /// Describes the values that it takes.
    pub fn expected(&self) -> String {
        let one_of = match &self.kind {
            Kind::Word(_) => "one of ",
            _ => "",
        };
        let none = if self.optional { ", or null" } else { "" };
        format!("{one_of}{}{none}", self.kind)
    }

    /// Returns the first sentence of its documentation.
    pub fn summary(&self) -> &str {
        let end = self.about.find(". ").unwrap_or(self.about.len());
        self.about[..end].trim_end_matches('.')
    }
}

fn word(value: &Value, words: &[String]) -> Read<Value> {
    let said = text(value)?.to_lowercase();
    match words.contains(&said) {
        true => Ok(said.into()),
        false => Err(String::new()),
    }
}

/// Returns all settings, those of `lora` at the end.
pub fn fields() -> &'static [Field] {
    static FIELDS: OnceLock<Vec<Field>> = OnceLock::new();
    FIELDS.get_or_init(|| {
        let schema = SchemaSettings::draft2020_12()
            .with(|settings| settings.inline_subschemas = true)
            .into_generator()
            .into_root_schema_for::<TrainConfig>();
        let defaults = serde_json::to_value(TrainConfig::default()).unwrap_or_default();
        let of_lora = serde_json::to_value(TrainConfig::lora().lora).unwrap_or_default();
        let mut found = Vec::new();
        for field in group("", schema.as_value(), &defaults) {
            let name = field.name.clone();
            found.push(field);
            if name == "lora" {
                found.extend(group("lora.", &schema.as_value()["properties"]["lora"], &of_lora));
            }
        }
        found
    })
}

/// Returns the setting with this name.
pub(super) fn field(name: &str) -> Option<&'static Field> {
    fields().iter().find(|field| field.name == name)
}

/// Returns the settings that the schema of a struct has.
fn group(prefix: &str, schema: &Value, defaults: &Value) -> Vec<Field> {
    let (schema, _) = without_null(schema);
    let none = Map::new();
    let properties = schema["properties"].as_object().unwrap_or(&none);
    let fields = properties.iter().map(|(name, property)| {
        let (of_value, optional) = without_null(property);
        Field {
            name: format!("{prefix}{name}"),
            about: property["description"]
                .as_str()
                .unwrap_or_default()
                .replace('\n', " "),
            kind: kind(of_value),
            optional,
            default: defaults[name].clone(),
        }
    });
    fields.collect()
}

/// Returns the schema of the values that are not null, and true if null is a value too.
fn without_null(schema: &Value) -> (&Value, bool) {
    let is_null = |schema: &Value| schema["type"] == "null";
    if let Some(choices) = schema["anyOf"].as_array() {
        let value = choices.iter().find(|choice| !is_null(choice));
        return (value.unwrap_or(schema), choices.iter().any(is_null));
    }
    let types = schema["type"].as_array();
    (
        schema,
        types.is_some_and(|types| types.iter().any(|name| name == "null")),
    )
}

fn kind(schema: &Value) -> Kind {
    let types: Vec<&str> = match &schema["type"] {
        Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
        one => one.as_str().into_iter().collect(),
    };
    let words = words(schema);
    match types.first() {
        _ if !words.is_empty() => Kind::Word(words),
        _ if types.contains(&"array") => Kind::Names,
        Some(&"boolean") => Kind::Boolean,
        Some(&"integer") => Kind::Whole,
        Some(&"number") => Kind::Number,
        Some(&"object") => Kind::Object,
        _ => Kind::Text,
    }
}

/// Returns the words of an enumeration, which are in one list, or one by one with their meanings.
fn words(schema: &Value) -> Vec<String> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let choices = list(&schema["oneOf"]);
    let one_by_one = choices
        .iter()
        .flat_map(|choice| [list(&choice["enum"]), vec![choice["const"].clone()]].concat());
    let all = list(&schema["enum"]).into_iter().chain(one_by_one);
    all.filter_map(|word| word.as_str().map(str::to_string)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(name: &str) -> &'static Field {
        field(name).unwrap_or_else(|| panic!("{name}"))
    }

    #[test]
    fn every_setting_has_a_type_a_default_and_a_comment() {
        let all = serde_json::to_value(TrainConfig::default()).unwrap();
        for name in all.as_object().unwrap().keys() {
            assert_eq!(of(name).default, all[name], "{name}");
            assert!(of(name).about.len() > 10, "{name}");
        }
        assert_eq!(of("learning_rate").kind, Kind::Number);
        assert_eq!(
            (&of("max_steps").kind, of("max_steps").optional),
            (&Kind::Whole, true)
        );
        assert_eq!((&of("seed").kind, of("seed").optional), (&Kind::Whole, false));
        assert_eq!(of("bf16").kind, Kind::Boolean);
        assert_eq!(of("output_dir").kind, Kind::Text);
        assert_eq!(of("chat_template_kwargs").kind, Kind::Object);
        assert_eq!(of("lora").kind, Kind::Object);
        assert_eq!(of("lora.target_modules").kind, Kind::Names);
        assert_eq!(of("lora.r").default, 16);
        let words = ["linear", "cosine", "constant", "constant_with_warmup"];
        let words = words.map(str::to_string).to_vec();
        assert_eq!(of("lr_scheduler_type").kind, Kind::Word(words));
        let Kind::Word(metrics) = &of("metric_for_best_model").kind else {
            panic!()
        };
        assert_eq!(metrics.len(), 6);
    }

    #[test]
    fn a_text_says_what_the_setting_has() {
        for (name, given, read) in [
            ("learning_rate", json!("1e-4"), json!(1e-4)),
            ("learning_rate", json!(1), json!(1.0)),
            ("max_steps", json!("50"), json!(50)),
            ("max_steps", json!("1e2"), json!(100)),
            ("max_steps", json!("none"), Value::Null),
            ("bf16", json!("no"), json!(false)),
            ("bf16", json!("True"), json!(true)),
            ("output_dir", json!(7), json!("7")),
            ("lr_scheduler_type", json!("Cosine"), json!("cosine")),
            (
                "lora.target_modules",
                json!("q_proj,v_proj"),
                json!(["q_proj", "v_proj"]),
            ),
            ("lora.target_modules", json!("[\"q_proj\"]"), json!(["q_proj"])),
            ("lora.target_modules", json!("all-linear"), json!("all-linear")),
            ("chat_template_kwargs", json!("{\"a\": 1}"), json!({"a": 1})),
        ] {
            assert_eq!(of(name).read(&given), Ok(read), "{name}: {given}");
        }
        for (name, given, says) in [
            (
                "learning_rate",
                json!("fast"),
                "found \"fast\", expected a number",
            ),
            ("max_steps", json!(-5), "found -5, expected an integer, or null"),
            ("bf16", json!("maybe"), "found \"maybe\", expected true or false"),
            (
                "lr_scheduler_type",
                json!("steps"),
                "expected one of linear, cosine, constant",
            ),
            ("chat_template_kwargs", json!("{"), "expected names with values"),
            ("learning_rate", json!("nan"), "expected a number"),
        ] {
            let refused = of(name).read(&given).unwrap_err();
            assert!(refused.contains(says), "{refused}");
        }
    }
}
