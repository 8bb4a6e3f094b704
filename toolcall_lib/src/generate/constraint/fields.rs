//! Grammar rules for arguments that a template writes one by one, as Qwen3-Coder does, and not as
//! JSON.

use super::lark::{around, common_prefix, literal, optional, separators, text_without};
use super::pattern::searched;
use super::schema::{Shape, Unsupported, Writer, fields};
use crate::syntax::Fields;
use serde_json::{Value, json};

/// Arguments as a template writes them, and the two strings that may follow the last one.
pub(super) struct Typed<'a> {
    pub fields: &'a Fields,
    pub ends: [Option<&'a str>; 2],
}

impl Typed<'_> {
    /// Returns the rule `name`, and the rules that it needs, for arguments that fit the schema
    /// `plain`.
    ///
    /// # Errors
    /// A schema that the rules cannot express, or that no arguments fit.
    pub fn rules(&self, name: &str, plain: &Value) -> Result<Vec<String>, Unsupported> {
        // 1. Ways in which the arguments can fit.
        let mut writer = Writer::new(plain);
        let shapes = writer.shapes(&vec![plain], "")?;
        let objects: Vec<&Shape<'_>> = shapes
            .iter()
            .filter(|shape| shape.types.contains(&"object"))
            .collect();
        // 2. One chain of rules per way; `name` is their union.
        let (mut ways, mut rules) = (Vec::new(), Vec::new());
        for (i, shape) in objects.into_iter().enumerate() {
            let name = format!("{name}_{i}");
            if let Some(found) = self.object(&mut writer, &name, shape)? {
                ways.push(format!("{name}_first_0"));
                rules.extend(found);
            }
        }
        if ways.is_empty() {
            return Err(writer.nothing_fits());
        }
        rules.insert(0, format!("{name}: {}", ways.join(" | ")));
        // 3. Each JSON schema in a rule gets the definitions that it refers to.
        let definitions = writer.definitions();
        Ok(rules
            .into_iter()
            .map(|rule| with_definitions(rule, &definitions))
            .collect())
    }

    /// Returns a chain of rules for the fields in their order, each of which may be left out unless
    /// it is required. A `first` rule follows no field yet, a `more` rule follows one. `None` if no
    /// object fits the shape.
    fn object<'a>(
        &self,
        writer: &mut Writer<'a>,
        name: &str,
        shape: &Shape<'a>,
    ) -> Result<Option<Vec<String>>, Unsupported> {
        // 1. Keywords that a chain of fields cannot count or check.
        if let Some(keyword) = shape.unsupported().or(["minProperties", "maxProperties"]
            .into_iter()
            .find(|keyword| shape.said(keyword).next().is_some()))
        {
            return Err((String::new(), format!("the keyword `{keyword}` is not supported")));
        }
        let Fields { open, middle, .. } = self.fields;
        let tail = self.tail();
        let (between, close) = (
            &self.fields.between[tail.len()..],
            &self.fields.close[tail.len()..],
        );
        let known = shape.names();
        let mut rules = Vec::new();
        let mut place = 0;
        // 2. Per field: a rule for its value, then `first` and `more` rules that write or skip the
        //    field. A field whose value nothing fits is left out; if it is required, no object
        //    fits.
        for (field, schemas, required) in fields(shape) {
            let unknown = shape.closed && !known.contains(&field);
            let rule = format!("{name}_value_{place}");
            let value = if unknown {
                None
            } else {
                self.value(writer, &rule, schemas, field)?
            };
            let Some(value) = value else {
                if !required {
                    continue;
                }
                if !known.contains(&field) {
                    writer.note_undeclared("", field);
                }
                return Ok(None);
            };
            rules.extend(value);
            let next = place + 1;
            for (kind, before) in [("first", open.as_str()), ("more", between)] {
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
        // 3. The end of the chain: nothing was written, or the rest of the closing text follows.
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

    /// Returns the rule `name` for a value and the [`tail`](Self::tail) after it, with the rules
    /// that it needs; `None` if no value fits.
    fn value<'a>(
        &self,
        writer: &mut Writer<'a>,
        name: &str,
        schemas: Vec<&'a Value>,
        field: &str,
    ) -> Result<Option<Vec<String>>, Unsupported> {
        // 1. `mixed`: the value may be something else than a string, so that a string that looks
        //    like it would be misread.
        let shapes = writer.shapes(&schemas, field)?;
        let mixed = shapes.iter().any(|shape| {
            shape.types.iter().any(|kind| *kind != "string")
                && shape
                    .values
                    .as_ref()
                    .is_none_or(|values| values.iter().any(|value| !value.is_string()))
        });
        let (mut words, mut texts, mut json) = (Vec::new(), Vec::new(), Vec::new());
        let mut rules = Vec::new();
        let (tail, Fields { quoted, python, .. }) = (self.tail(), self.fields);
        let (yes, no, null) = match python {
            true => ("True", "False", "None"),
            false => ("true", "false", "null"),
        };
        // 2. Each type is written as the template does: strings without quotation marks, Python's
        //    words for `true`, `false` and `null`, everything else as JSON.
        for (i, shape) in shapes.iter().enumerate() {
            if let Some(values) = &shape.values {
                words.extend(values.iter().filter_map(|value| self.constant(value, mixed)));
                continue;
            }
            for kind in shape.types.clone() {
                let only = shape.of_type(kind);
                match kind {
                    "string" if !quoted => {
                        for (j, way) in writer.shape(&only, field)?.iter().enumerate() {
                            let rule = format!("{name}_text_{i}_{j}");
                            rules.extend(self.text_rules(&rule, way, mixed, field)?);
                            texts.push(rule);
                        }
                    }
                    "boolean" if *python || !quoted => words.extend([yes.into(), no.into()]),
                    "null" if *python || !quoted => words.push(null.into()),
                    _ => json.extend(writer.shape(&only, field)?),
                }
            }
        }
        // 3. A word and the tail are one terminal: the lexer may still take `null` for the start of
        //    a string and cannot go back.
        let mut ways: Vec<String> = words
            .iter()
            .map(|word| literal(&format!("{word}{tail}")))
            .collect();
        ways.extend(texts);
        // 4. The JSON types are one alternative.
        if !json.is_empty() {
            let mut schema = json!({ "anyOf": json });
            schema["x-guidance"] = separators(", ", ": ");
            ways.push(format!("{name}_json {}", optional(tail)));
            rules.push(format!("{name}_json: %json {schema}"));
        }
        if ways.is_empty() {
            return Ok(None);
        }
        rules.push(format!("{name}: {}", ways.join(" | ")));
        Ok(Some(rules))
    }

    /// Returns the text after every value, the last one or not. It is empty for values with
    /// quotation marks, which show their end themselves.
    fn tail(&self) -> &str {
        let Fields {
            between,
            close,
            quoted,
            ..
        } = self.fields;
        match quoted {
            true => "",
            false => &between[..common_prefix(between, close)],
        }
    }

    /// Returns a listed value as it is written. `None` for a string that would be read back as
    /// another value.
    fn constant(&self, value: &Value, mixed: bool) -> Option<String> {
        match value {
            Value::String(text) if self.fields.quoted => Some(Value::from(text.as_str()).to_string()),
            Value::String(text) => {
                let misread = mixed
                    && (serde_json::from_str::<Value>(text.trim()).is_ok()
                        || ["True", "False", "None"].contains(&text.trim()));
                let cut = self.stops().iter().any(|stop| text.contains(stop));
                (!misread && !cut && !text.is_empty()).then(|| text.clone())
            }
            Value::Bool(flag) if self.fields.python => Some(if *flag { "True" } else { "False" }.into()),
            Value::Null if self.fields.python => Some("None".into()),
            other => Some(spaced(other)),
        }
    }

    /// Returns the rule `rule` for a string without quotation marks that fits `schema` and the tail
    /// after it, and its terminal.
    fn text_rules(
        &self,
        rule: &str,
        schema: &Value,
        mixed: bool,
        field: &str,
    ) -> Result<[String; 2], Unsupported> {
        // A rule with a suffix ends at the first occurrence of the suffix. Without it the terminal
        // takes all it can, and the tail as well.
        let suffix = match self.tail() {
            "" => String::new(),
            tail => format!("[suffix={}]", literal(tail)),
        };
        let terminal = rule.to_uppercase();
        Ok([
            format!("{terminal}: {}", self.text(schema, mixed, field)?),
            format!("{rule}{suffix}: {terminal}"),
        ])
    }

    /// Returns a terminal for strings without quotation marks that fit `schema`.
    fn text(&self, schema: &Value, mixed: bool, field: &str) -> Result<String, Unsupported> {
        // The string must not contain a stop word, nor look like another JSON value if `mixed`.
        let mut but: Vec<String> = self.stops().iter().map(|stop| around(stop)).collect();
        if mixed {
            but.push(r"(?s:\s*([\[{\x22\-0-9].*|true|false|null|True|False|None)\s*)".to_string());
        }
        let mut terminal = text_without(&but);
        let parts = schema["allOf"]
            .as_array()
            .cloned()
            .unwrap_or_else(|| vec![schema.clone()]);
        // Every part of `allOf` narrows the terminal by an intersection (`&`).
        for part in &parts {
            if let Some(format) = part["format"].as_str() {
                return Err((
                    field.to_string(),
                    format!(
                        "the format `{format}` is not supported for strings that are written without quotation marks"
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

    /// Returns the words at which a string without quotation marks is taken to end.
    fn stops(&self) -> Vec<&str> {
        let texts = match self.tail() {
            "" => [
                Some(self.fields.between.as_str()),
                Some(self.fields.close.as_str()),
                self.ends[0],
                self.ends[1],
            ],
            tail => [Some(tail), None, None, None],
        };
        let words = texts
            .into_iter()
            .flatten()
            .filter_map(|text| text.split_whitespace().next());
        let mut words: Vec<&str> = words.collect();
        words.dedup();
        words
    }
}

/// Writes JSON with spaces after commas and colons, like the templates.
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

/// Adds `definitions` to the JSON schema of a rule, which refers to them.
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
