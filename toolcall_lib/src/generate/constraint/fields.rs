//! Arguments that are written one by one, as rules of a grammar.

use super::grammar::{around, literal, optional, separators};
use super::schema::{Shape, Unsupported, Writer, fields};
use crate::syntax::Fields;
use serde_json::{Value, json};

/// Arguments as a template writes them, and the texts that may follow the last of them.
pub(super) struct Typed<'a> {
    pub fields: &'a Fields,
    pub ends: [Option<&'a str>; 2],
}

impl Typed<'_> {
    /// The rule `name` and those that it needs, for arguments that fit the schema.
    pub fn rules(&self, name: &str, plain: &Value) -> Result<Vec<String>, Unsupported> {
        let mut writer = Writer::new(plain);
        let shapes = writer.shapes(&vec![plain], "")?;
        let objects: Vec<&Shape<'_>> = shapes
            .iter()
            .filter(|shape| shape.types.contains(&"object"))
            .collect();
        let (mut ways, mut rules) = (Vec::new(), Vec::new());
        for (i, shape) in objects.into_iter().enumerate() {
            let name = format!("{name}_{i}");
            if let Some(found) = self.object(&mut writer, &name, shape)? {
                ways.push(format!("{name}_first_0"));
                rules.extend(found);
            }
        }
        if ways.is_empty() {
            return Err((String::new(), "no arguments fit it".to_string()));
        }
        rules.insert(0, format!("{name}: {}", ways.join(" | ")));
        let definitions = writer.definitions();
        Ok(rules
            .into_iter()
            .map(|rule| with_definitions(rule, &definitions))
            .collect())
    }

    /// The fields in their order, each of which may be left out unless it is required: `first` rules follow no field, `more` rules
    /// follow one. Nothing if no object fits the shape.
    fn object<'a>(
        &self,
        writer: &mut Writer<'a>,
        name: &str,
        shape: &Shape<'a>,
    ) -> Result<Option<Vec<String>>, Unsupported> {
        if let Some(keyword) = shape.unsupported().or(["minProperties", "maxProperties"]
            .into_iter()
            .find(|keyword| shape.said(keyword).next().is_some()))
        {
            return Err((String::new(), format!("the keyword `{keyword}` is not supported")));
        }
        let Fields {
            open,
            middle,
            between,
            close,
            ..
        } = self.fields;
        let known = shape.names();
        let mut rules = Vec::new();
        let mut place = 0;
        for (field, schemas, required) in fields(shape) {
            let unknown = shape.closed && !known.contains(&field);
            let rule = format!("{name}_value_{place}");
            let value = if unknown {
                None
            } else {
                self.value(writer, &rule, schemas, field)?
            };
            let Some(value) = value else {
                if required {
                    return Ok(None);
                }
                continue;
            };
            rules.extend(value);
            let next = place + 1;
            for (kind, before) in [("first", open), ("more", between)] {
                let written = format!(
                    "{} {rule} {name}_more_{next}",
                    literal(&format!("{before}{field}{middle}"))
                );
                let skipped = if required {
                    String::new()
                } else {
                    format!(" | {name}_{kind}_{next}")
                };
                rules.push(format!("{name}_{kind}_{place}: {written}{skipped}"));
            }
            place = next;
        }
        rules.push(format!("{name}_first_{place}: \"\""));
        rules.push(format!(
            "{name}_more_{place}: {}",
            if close.is_empty() {
                "\"\"".to_string()
            } else {
                optional(close)
            }
        ));
        Ok(Some(rules))
    }

    /// The rule `name` for a value; nothing if none fits.
    fn value<'a>(
        &self,
        writer: &mut Writer<'a>,
        name: &str,
        schemas: Vec<&'a Value>,
        field: &str,
    ) -> Result<Option<Vec<String>>, Unsupported> {
        let shapes = writer.shapes(&schemas, field)?;
        let mixed = shapes.iter().any(|shape| {
            shape.types.iter().any(|kind| *kind != "string")
                && shape
                    .values
                    .as_ref()
                    .is_none_or(|values| values.iter().any(|value| !value.is_string()))
        });
        let (mut ways, mut rules, mut json) = (Vec::new(), Vec::new(), Vec::new());
        for (i, shape) in shapes.iter().enumerate() {
            if let Some(values) = &shape.values {
                ways.extend(values.iter().filter_map(|value| self.constant(value, mixed)));
                continue;
            }
            for kind in shape.types.clone() {
                let only = shape.of_type(kind);
                match kind {
                    "string" if !self.fields.quoted => {
                        let terminal = format!("{}_TEXT_{i}", name.to_uppercase());
                        for way in writer.shape(&only, field)? {
                            rules.push(format!("{terminal}: {}", self.text(&way, mixed, field)?));
                            ways.push(terminal.clone());
                        }
                    }
                    "boolean" if self.fields.python => ways.extend([literal("True"), literal("False")]),
                    "null" if self.fields.python => ways.push(literal("None")),
                    _ => json.extend(writer.shape(&only, field)?),
                }
            }
        }
        if !json.is_empty() {
            let mut schema = json!({ "anyOf": json });
            schema["x-guidance"] = separators(", ", ": ");
            ways.push(format!("{name}_json"));
            rules.push(format!("{name}_json: %json {schema}"));
        }
        if ways.is_empty() {
            return Ok(None);
        }
        rules.push(format!("{name}: {}", ways.join(" | ")));
        Ok(Some(rules))
    }

    /// A listed value; a text that would be read as something else cannot be written.
    fn constant(&self, value: &Value, mixed: bool) -> Option<String> {
        match value {
            Value::String(text) if self.fields.quoted => {
                Some(literal(&Value::from(text.as_str()).to_string()))
            }
            Value::String(text) => {
                let misread = mixed
                    && (serde_json::from_str::<Value>(text.trim()).is_ok()
                        || ["True", "False", "None"].contains(&text.trim()));
                let cut = self.stops().iter().any(|stop| text.contains(stop));
                (!misread && !cut && !text.is_empty()).then(|| literal(text))
            }
            Value::Bool(flag) if self.fields.python => Some(literal(if *flag { "True" } else { "False" })),
            Value::Null if self.fields.python => Some(literal("None")),
            other => Some(literal(&spaced(other))),
        }
    }

    /// A terminal for texts without quotation marks that fit the schema of a string.
    fn text(&self, schema: &Value, mixed: bool, field: &str) -> Result<String, Unsupported> {
        let mut but: Vec<String> = self.stops().iter().map(|stop| around(stop)).collect();
        if mixed {
            but.push(r"(?s:\s*([\[{\x22\-0-9].*|true|false|null|True|False|None)\s*)".to_string());
        }
        let mut terminal = super::grammar::text_without(&but);
        let parts = schema["allOf"]
            .as_array()
            .cloned()
            .unwrap_or_else(|| vec![schema.clone()]);
        for part in &parts {
            if let Some(format) = part["format"].as_str() {
                return Err((
                    field.to_string(),
                    format!(
                        "the format `{format}` is not supported where texts stand without quotation marks"
                    ),
                ));
            }
            if let Some(pattern) = part["pattern"].as_str() {
                terminal += &format!(" & {}", searched(pattern));
            }
            let (least, most) = (part["minLength"].as_u64(), part["maxLength"].as_u64());
            if least.or(most).is_some() {
                let most = most.map_or(String::new(), |most| most.to_string());
                terminal += &format!(" & /(?s:.{{{},{most}}})/", least.unwrap_or(0));
            }
        }
        Ok(terminal)
    }

    /// The words at which a text without quotation marks is taken to end.
    fn stops(&self) -> Vec<&str> {
        let texts = [
            Some(self.fields.between.as_str()),
            Some(self.fields.close.as_str()),
            self.ends[0],
            self.ends[1],
        ];
        let words = texts
            .into_iter()
            .flatten()
            .filter_map(|text| text.split_whitespace().next());
        let mut words: Vec<&str> = words.collect();
        words.dedup();
        words
    }
}

/// A pattern that stands anywhere in a text, unless it says where.
fn searched(pattern: &str) -> String {
    let start = if pattern.starts_with('^') { "" } else { "(?s:.*)" };
    let end = if pattern.ends_with('$') && !pattern.ends_with(r"\$") {
        ""
    } else {
        "(?s:.*)"
    };
    let inner = pattern.strip_prefix('^').unwrap_or(pattern);
    let inner = if end.is_empty() {
        &inner[..inner.len() - 1]
    } else {
        inner
    };
    format!("/{start}({}){end}/", inner.replace('/', r"\/"))
}

/// JSON with spaces behind commas and colons, as templates write it.
fn spaced(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(spaced).collect::<Vec<_>>().join(", ")),
        Value::Object(fields) => {
            let fields = fields
                .iter()
                .map(|(name, value)| format!("{}: {}", Value::from(name.as_str()), spaced(value)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

/// A rule whose JSON schema has what it refers to.
fn with_definitions(rule: String, definitions: &serde_json::Map<String, Value>) -> String {
    let Some((name, schema)) = rule.split_once(": %json ") else {
        return rule;
    };
    match serde_json::from_str::<Value>(schema) {
        Ok(mut schema) if !definitions.is_empty() => {
            schema["$defs"] = definitions.clone().into();
            format!("{name}: %json {schema}")
        }
        _ => rule,
    }
}
