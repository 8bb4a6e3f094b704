//! Brings the schema that `schemars` makes of a Rust type to the shape that
//! `transformers.utils.get_json_schema` (5.23) gives for the same Python type: everything inline,
//! `Option` as `"nullable": true`, `type` first, `description` last.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

/// The key under which `#[tool]` hands over `(choices: […])`: they become `enum`, but after
/// `nullable`.
const CHOICES: &str = "choices";

/// Returns the schema of a type that a call gives; `Err` names the type that contains itself.
pub(super) fn of_argument<T: JsonSchema>() -> Result<Value, String> {
    shaped::<T>(SchemaSettings::draft2020_12())
}

/// Returns the schema of a type that a tool returns; `Err` names the type that contains itself.
pub(super) fn of_return<T: JsonSchema>() -> Result<Value, String> {
    shaped::<T>(SchemaSettings::draft2020_12().for_serialize())
}

fn shaped<T: JsonSchema>(settings: SchemaSettings) -> Result<Value, String> {
    let settings = settings.with(|settings| settings.inline_subschemas = true);
    let mut schema = SchemaGenerator::new(settings).into_root_schema_for::<T>();
    let description = schema.remove("description");
    let mut shape = Shape { recursive: None };
    shape.transform(&mut schema);
    if let Some(description) = description {
        schema.insert("description".to_string(), description); // only those of fields become one line
    }
    match shape.recursive {
        Some(reference) if reference == "#" => Err(T::schema_name().into_owned()),
        Some(reference) => Err(reference.replace("#/$defs/", "")),
        None => Ok(schema.into()),
    }
}

struct Shape {
    /// A reference that was met. With inlined subschemas, only a type that contains itself leaves
    /// one.
    recursive: Option<String>,
}

impl Transform for Shape {
    fn transform(&mut self, schema: &mut Schema) {
        if schema.as_bool() == Some(false) {
            return; // `additionalProperties: false`
        }
        transform_subschemas(self, schema);
        let object = schema.ensure_object();
        if let Some(reference) = object.get("$ref").and_then(Value::as_str) {
            self.recursive = Some(reference.to_string());
        }
        drop_what_python_has_not(object);
        let nullable = join_variants(object) | split_null(object);
        if nullable {
            object.insert("nullable".to_string(), json!(true));
        }
        if let Some(choices) = object.shift_remove(CHOICES) {
            object.insert("enum".to_string(), choices);
        }
        if let Some(kind) = object.shift_remove("type") {
            object.shift_insert(0, "type".to_string(), kind);
        }
        if let Some(description) = object.shift_remove("description") {
            object.insert("description".to_string(), one_line(description));
        }
    }
}

/// Removes what Python's type hints do not have: titles, defaults, the width of a number, the
/// length of a tuple.
fn drop_what_python_has_not(object: &mut Map<String, Value>) {
    for key in ["$schema", "$defs", "title", "default"] {
        object.shift_remove(key);
    }
    if let Some(format) = object.shift_remove("format") {
        let (smallest, largest) = match format.as_str().unwrap_or_default() {
            "int8" => (json!(i8::MIN), json!(i8::MAX)),
            "int16" => (json!(i16::MIN), json!(i16::MAX)),
            "uint8" => (json!(0), json!(u8::MAX)),
            "uint16" => (json!(0), json!(u16::MAX)),
            "uint" | "uint32" | "uint64" | "uint128" => (json!(0), Value::Null),
            _ => (Value::Null, Value::Null),
        };
        for (key, limit) in [("minimum", smallest), ("maximum", largest)] {
            if object.get(key) == Some(&limit) {
                object.shift_remove(key);
            }
        }
    }
    if object.contains_key("prefixItems") {
        object.shift_remove("minItems");
        object.shift_remove("maxItems");
    }
    if let Some(constant) = object.shift_remove("const") {
        object.insert("enum".to_string(), json!([constant]));
    }
}

/// Writes a union of types like Python's: one type, a list of type names, one `enum`, or else
/// `anyOf`. Returns true if null is among the variants.
fn join_variants(object: &mut Map<String, Value>) -> bool {
    let Some(Value::Array(mut variants)) = object.shift_remove("oneOf").or(object.shift_remove("anyOf"))
    else {
        return false;
    };
    // 1. Take null out.
    let before = variants.len();
    variants.retain(|variant| variant["type"] != "null");
    let nullable = variants.len() < before;

    // 2. Write the other variants in the shortest form that fits.
    let is_name =
        |variant: &Value| variant["type"].is_string() && variant.as_object().is_some_and(|v| v.len() == 1);
    let first_type = variants
        .first()
        .map(|variant| variant["type"].clone())
        .unwrap_or_default();
    if let [Value::Object(only)] = &variants[..] {
        for (key, value) in only {
            object.entry(key).or_insert(value.clone());
        }
    } else if variants.iter().all(is_name) {
        let mut names: Vec<&str> = variants
            .iter()
            .filter_map(|variant| variant["type"].as_str())
            .collect();
        names.sort_unstable();
        names.dedup();
        object.insert("type".to_string(), json!(names));
    } else if variants
        .iter()
        .all(|variant| variant["enum"].is_array() && variant["type"] == first_type)
    {
        let choices = variants
            .iter()
            .filter_map(|variant| variant["enum"].as_array())
            .flatten();
        object.insert("enum".to_string(), choices.cloned().collect());
        object.insert("type".to_string(), first_type);
    } else {
        object.insert("anyOf".to_string(), Value::Array(variants));
    }
    nullable
}

/// Takes null out of a list of type names and out of the `enum` beside it. Returns true if it was
/// there.
fn split_null(object: &mut Map<String, Value>) -> bool {
    let Some(Value::Array(names)) = object.get_mut("type") else {
        return false;
    };
    let before = names.len();
    names.retain(|name| name != "null");
    let nullable = names.len() < before;
    if let [only] = &names[..] {
        let only = only.clone();
        object.insert("type".to_string(), only);
    }
    if let Some(Value::Array(choices)) = object.get_mut("enum").filter(|_| nullable) {
        choices.retain(|choice| !choice.is_null());
    }
    nullable
}

/// Joins the lines of a doc comment by single spaces.
fn one_line(description: Value) -> Value {
    let text = description.as_str().unwrap_or_default();
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    Value::from(lines.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape<T: JsonSchema>() -> String {
        of_argument::<T>().unwrap().to_string()
    }

    #[test]
    fn numbers_have_no_width() {
        for shape in [
            shape::<i64>(),
            shape::<i8>(),
            shape::<u8>(),
            shape::<u16>(),
            shape::<u32>(),
            shape::<usize>(),
        ] {
            assert_eq!(shape, r#"{"type":"integer"}"#);
        }
        assert_eq!(shape::<f32>(), r#"{"type":"number"}"#);
    }

    #[test]
    fn a_limit_that_the_user_wrote_stays() {
        #[derive(JsonSchema)]
        struct Limited {
            #[schemars(range(min = 0, max = 9))]
            _signed: i64,
            #[schemars(range(min = 1))]
            _unsigned: u32,
        }
        let schema = of_argument::<Limited>().unwrap();
        assert_eq!(
            schema["properties"]["_signed"],
            json!({"type": "integer", "minimum": 0, "maximum": 9})
        );
        assert_eq!(
            schema["properties"]["_unsigned"],
            json!({"type": "integer", "minimum": 1})
        );
    }

    #[test]
    fn documented_variants_are_one_enum() {
        #[derive(JsonSchema)]
        #[expect(dead_code)]
        enum Unit {
            /// Degrees Celsius.
            Celsius,
            /// Degrees Fahrenheit.
            Fahrenheit,
        }
        assert_eq!(
            shape::<Unit>(),
            r#"{"type":"string","enum":["Celsius","Fahrenheit"]}"#
        );
        let nullable = r#"{"type":"string","enum":["Celsius","Fahrenheit"],"nullable":true}"#;
        assert_eq!(shape::<Option<Unit>>(), nullable);
    }

    #[test]
    fn variants_with_data_are_any_of() {
        #[derive(JsonSchema)]
        #[schemars(untagged)]
        #[expect(dead_code)]
        enum Place {
            City(String),
            Coordinates(f64, f64),
        }
        let number = r#"{"type":"number"}"#;
        let tuple = format!(r#"{{"type":"array","prefixItems":[{number},{number}]}}"#);
        let any_of = format!(r#""anyOf":[{{"type":"string"}},{tuple}]"#);
        assert_eq!(shape::<Place>(), format!("{{{any_of}}}"));
        assert_eq!(
            shape::<Option<Place>>(),
            format!(r#"{{{any_of},"nullable":true}}"#)
        );
    }

    #[test]
    fn nested_structs_are_inline_with_their_descriptions_last() {
        /// A stop
        /// on the way.
        #[derive(JsonSchema)]
        #[schemars(title = "Stop", deny_unknown_fields)]
        struct Stop {
            /// Where.
            _city: String,
            _note: Option<String>,
        }
        let expected = json!({
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "_city": {"type": "string", "description": "Where."},
                    "_note": {"type": "string", "nullable": true}
                },
                "additionalProperties": false,
                "required": ["_city"],
                "description": "A stop on the way."
            }
        });
        assert_eq!(of_argument::<Vec<Stop>>().unwrap(), expected);
        assert!(shape::<Vec<Stop>>().ends_with(r#""description":"A stop on the way."}}"#));
    }

    #[test]
    fn a_type_that_contains_itself_is_named() {
        #[derive(JsonSchema)]
        struct Tree {
            _children: Vec<Tree>,
        }
        #[derive(JsonSchema)]
        struct Garden {
            _tree: Tree,
        }
        assert_eq!(of_argument::<Tree>(), Err("Tree".to_string()));
        assert_eq!(of_argument::<Garden>(), Err("Tree".to_string()));
        assert_eq!(of_return::<Garden>(), Err("Tree".to_string()));
    }
}
