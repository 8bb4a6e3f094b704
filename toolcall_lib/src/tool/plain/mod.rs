//! Writes the schema of a tool's arguments as plain JSON schema (draft 2020-12), with rules for
//! calls that go beyond the schema.
//!
//! Schemas come in many dialects: `nullable` of OpenAPI, `items` as a list and `exclusiveMinimum:
//! true` of older drafts, `dict` and `float` of Python, `OBJECT` of Gemma. 2020-12 can express all
//! of them. A call must also fit more than JSON schema asks for: an object with `properties` is
//! closed unless something opens it, a tuple has its exact length, and `5.0` is not an integer.

mod keywords;
mod references;

pub(crate) use keywords::json_type;
pub(crate) use references::place_of;

use crate::error::{Problem, place_in};
use crate::json::kind;
use keywords::{IN_PLACE, INSIDE, refuse_misspelt, types};
use references::{Targets, parts};
use serde_json::{Map, Value, json};
use std::collections::{HashMap, HashSet};

/// Keyword for integers without a fraction: `5`, not `5.0`.
pub(crate) const WHOLE: &str = "$whole";

/// Most schemas that are translated, with those that references lead to.
const MOST_SCHEMAS: usize = 100_000;

/// Place of a schema, which decides the rules that are added to it.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    /// The only schema of its value.
    Whole,
    /// One of several schemas of the same value.
    Part,
    /// A schema under `not` or `if`: a stricter rule there would be more lenient around it.
    Condition,
}

/// Translates the schema of arguments.
///
/// # Errors
/// A type, a reference or a keyword is invalid; the error has its place.
pub(super) fn arguments(parameters: &Value) -> Result<Value, Problem> {
    let mut root = match parameters {
        Value::Object(root) => root.clone(),
        _ => Map::new(),
    };
    root.entry("type").or_insert_with(|| json!("object"));
    let says_more = IN_PLACE.iter().any(|keyword| root.contains_key(*keyword));
    if !says_more {
        root.entry("properties").or_insert_with(|| json!({}));
    }
    let root = Value::Object(root);
    let mut translator = Translator::new(&root);
    let mut schema = translator.schema(&root, Place::Whole, "")?;
    translator.translate_targets()?;
    if says_more {
        schema["unevaluatedProperties"] = schema
            .get("unevaluatedProperties")
            .cloned()
            .unwrap_or(json!(false));
    }
    if !translator.definitions.is_empty() {
        schema["$defs"] = translator.definitions.into();
    }
    Ok(schema)
}

struct Translator<'a> {
    root: &'a Value,
    /// Targets of the references that were met; number `i` becomes the definition `i`.
    targets: Targets<'a>,
    definitions: Map<String, Value>,
    /// Number of schemas that were translated.
    schemas: usize,
    /// Answers of [`Self::names_properties`], by the addresses of the schemas.
    named: HashMap<*const Map<String, Value>, bool>,
}

impl<'a> Translator<'a> {
    fn new(root: &'a Value) -> Self {
        Self {
            root,
            targets: Targets::new(root),
            definitions: Map::new(),
            schemas: 0,
            named: HashMap::new(),
        }
    }

    /// Translates what references lead to, one after the other: a chain of them may be long.
    fn translate_targets(&mut self) -> Result<(), Problem> {
        let mut next = 0;
        while let Some((target, path)) = self.targets.get(next) {
            let schema = self.schema(target, Place::Part, &path)?;
            self.definitions.insert(next.to_string(), schema);
            next += 1;
        }
        Ok(())
    }

    fn schema(&mut self, schema: &Value, place: Place, path: &str) -> Result<Value, Problem> {
        self.schemas += 1;
        if self.schemas > MOST_SCHEMAS {
            return wrong(
                path,
                format!("there are more than {MOST_SCHEMAS} schemas; the schema is too large"),
            );
        }
        let object = match schema {
            Value::Bool(_) => return Ok(schema.clone()),
            Value::Object(object) => object,
            other => return wrong(path, format!("found {}, expected a schema", kind(other))),
        };
        let mut plain = Map::new();
        for (keyword, value) in object {
            self.keyword(keyword, value, object, place, path, &mut plain)?;
        }
        if place != Place::Condition {
            self.tighten(object, place, &mut plain);
        }
        Ok(if object.get("nullable") == Some(&json!(true)) {
            or_null(plain)
        } else {
            plain.into()
        })
    }

    fn keyword(
        &mut self,
        keyword: &str,
        value: &Value,
        schema: &Map<String, Value>,
        place: Place,
        path: &str,
        plain: &mut Map<String, Value>,
    ) -> Result<(), Problem> {
        let at = place_in(path, keyword);
        let inner = if place == Place::Condition {
            place
        } else {
            Place::Whole
        };
        let beside = if place == Place::Condition {
            place
        } else {
            Place::Part
        };
        let (name, value) = match (keyword, value) {
            ("$schema" | "$id" | "id" | "nullable" | "$defs" | "definitions" | "$anchor", _) => return Ok(()),
            // Arrow's way to leave a key out
            (_, Value::Null) if !["const", "default"].contains(&keyword) => return Ok(()),
            ("type", value) => match types(value, &at)? {
                Some(types) => (keyword, types),
                None => return Ok(()),
            },
            ("$ref", value) => (keyword, self.targets.reference(value, &at)?),
            ("$dynamicRef" | "$recursiveRef" | "$dynamicAnchor", _) => {
                return wrong(
                    &at,
                    "is not supported; refer to a place in the schema with `$ref`".into(),
                );
            }
            ("exclusiveMinimum" | "exclusiveMaximum", Value::Bool(exclusive)) => {
                let limit = if keyword == "exclusiveMinimum" {
                    "minimum"
                } else {
                    "maximum"
                };
                match schema.get(limit).filter(|_| *exclusive) {
                    Some(limit) => (keyword, limit.clone()),
                    None => return Ok(()),
                }
            }
            ("items", Value::Array(items)) => ("prefixItems", self.list(items, inner, &at)?),
            ("prefixItems", Value::Array(items)) => (keyword, self.list(items, inner, &at)?),
            ("additionalItems", value) if schema.get("items").is_some_and(Value::is_array) => {
                ("items", self.schema(value, inner, &at)?)
            }
            ("additionalItems", _) => return Ok(()), // without a list of items it says nothing
            ("properties" | "patternProperties", Value::Object(map)) => (keyword, self.map(map, inner, &at)?),
            ("dependentSchemas", Value::Object(map)) => (keyword, self.map(map, beside, &at)?),
            ("dependencies", Value::Object(map)) => return self.dependencies(map, beside, &at, plain),
            ("allOf" | "anyOf" | "oneOf", Value::Array(list)) => (keyword, self.list(list, beside, &at)?),
            ("not" | "if", value) => (keyword, self.schema(value, Place::Condition, &at)?),
            ("then" | "else", value) => (keyword, self.schema(value, beside, &at)?),
            ("propertyNames", value) => (keyword, self.schema(value, inner, &at)?),
            (_, value) if INSIDE.contains(&keyword) => (keyword, self.schema(value, inner, &at)?),
            (_, value) => {
                refuse_misspelt(keyword, value, schema, &at)?;
                (keyword, value.clone())
            }
        };
        plain.insert(name.to_string(), value);
        Ok(())
    }

    fn list(&mut self, schemas: &[Value], place: Place, path: &str) -> Result<Value, Problem> {
        let schemas = schemas.iter().enumerate();
        schemas
            .map(|(i, schema)| self.schema(schema, place, &format!("{path}[{i}]")))
            .collect()
    }

    fn map(&mut self, schemas: &Map<String, Value>, place: Place, path: &str) -> Result<Value, Problem> {
        let translated = schemas.iter().map(|(name, schema)| {
            let schema = self.schema(schema, place, &place_in(path, name))?;
            Ok((name.clone(), schema))
        });
        translated.collect::<Result<Map<_, _>, _>>().map(Value::Object)
    }

    /// Translates `dependencies` of older drafts: names that another name requires, or a schema.
    fn dependencies(
        &mut self,
        map: &Map<String, Value>,
        place: Place,
        path: &str,
        plain: &mut Map<String, Value>,
    ) -> Result<(), Problem> {
        for (name, value) in map {
            let (keyword, value) = match value {
                Value::Array(_) => ("dependentRequired", value.clone()),
                schema => (
                    "dependentSchemas",
                    self.schema(schema, place, &place_in(path, name))?,
                ),
            };
            plain.entry(keyword).or_insert_with(|| json!({}))[name] = value;
        }
        Ok(())
    }

    /// Adds the rules for calls that go beyond JSON schema.
    fn tighten(&mut self, schema: &Map<String, Value>, place: Place, plain: &mut Map<String, Value>) {
        let types: Vec<&str> = match plain.get("type") {
            Some(Value::Array(types)) => types.iter().filter_map(Value::as_str).collect(),
            Some(name) => name.as_str().into_iter().collect(),
            None => Vec::new(),
        };
        if types.contains(&"integer") && !types.contains(&"number") {
            plain.insert(WHOLE.into(), true.into());
        }
        if let Some(length) = plain.get("prefixItems").and_then(Value::as_array).map(Vec::len) {
            if !plain.contains_key("items") && !plain.contains_key("unevaluatedItems") {
                plain.insert("items".into(), false.into());
            }
            let least = plain.get("minItems").and_then(Value::as_u64).unwrap_or(0);
            plain.insert("minItems".into(), least.max(length as u64).into());
        }
        if plain.get("additionalProperties") == Some(&json!(false)) {
            plain.entry("properties").or_insert_with(|| json!({})); // so that what is too much is named
        }
        let opened = ["additionalProperties", "unevaluatedProperties"]
            .iter()
            .any(|key| schema.contains_key(*key));
        if place != Place::Whole || opened {
            return;
        }
        let alone = !IN_PLACE.iter().any(|keyword| schema.contains_key(*keyword));
        if alone && schema.contains_key("properties") {
            plain.insert("additionalProperties".into(), false.into());
        } else if !alone && self.names_properties(schema) {
            plain.insert("unevaluatedProperties".into(), false.into());
        }
    }

    /// Returns true if a schema, or another one for the same value, has `properties`.
    fn names_properties(&mut self, schema: &Map<String, Value>) -> bool {
        // 1. Schemas for the same value, each with the one that led to it, until one is known.
        let mut met: Vec<(&Map<String, Value>, usize)> = vec![(schema, 0)];
        let mut seen = HashSet::from([std::ptr::from_ref(schema)]);
        let (mut next, mut found) = (0, None);
        while let Some((schema, _)) = met.get(next).copied() {
            match self.named.get(&std::ptr::from_ref(schema)) {
                Some(false) => {}
                Some(true) => found = Some(next),
                None if schema.contains_key("properties") => found = Some(next),
                None => {
                    let parts = parts(self.root, schema).filter_map(Value::as_object);
                    met.extend(parts.filter(|part| seen.insert(*part)).map(|part| (part, next)));
                }
            }
            if found.is_some() {
                break;
            }
            next += 1;
        }
        // 2. Remember it for those on the way, or for all if there is none.
        match found {
            None => {
                let none = met.iter().map(|(schema, _)| (std::ptr::from_ref(*schema), false));
                self.named.extend(none);
            }
            Some(mut on_the_way) => {
                while on_the_way > 0 {
                    self.named.insert(met[on_the_way].0, true);
                    on_the_way = met[on_the_way].1;
                }
                self.named.insert(schema, true);
            }
        }
        found.is_some()
    }
}

/// Returns a schema that takes null too.
fn or_null(mut schema: Map<String, Value>) -> Value {
    let listed = ["enum", "const", "anyOf", "oneOf", "allOf", "$ref", "not", "if"];
    let plain = !listed.iter().any(|keyword| schema.contains_key(*keyword));
    match schema.get_mut("type") {
        Some(Value::String(name)) if plain => {
            let types = json!([name, "null"]);
            schema.insert("type".into(), types);
            schema.into()
        }
        Some(Value::Array(names)) if plain => {
            if !names.contains(&"null".into()) {
                names.push("null".into());
            }
            schema.into()
        }
        None if plain => schema.into(),
        _ => json!({"anyOf": [schema, {"type": "null"}]}),
    }
}

fn wrong<T>(path: &str, problem: String) -> Result<T, Problem> {
    Err((path.to_string(), problem))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(property: Value) -> Value {
        let parameters = json!({"type": "object", "properties": {"x": property}});
        arguments(&parameters).unwrap()["properties"]["x"].clone()
    }

    #[test]
    fn other_words_for_the_same_are_translated() {
        let nothing = json!({"type": "null"});
        for (written, plain) in [
            (json!({"type": "float"}), json!({"type": "number"})),
            (
                json!({"type": "any", "description": "d"}),
                json!({"description": "d"}),
            ),
            (
                json!({"type": "string", "nullable": true}),
                json!({"type": ["string", "null"]}),
            ),
            (
                json!({"type": ["string", "null"], "enum": null, "nullable": true}),
                json!({"type": ["string", "null"]}),
            ),
            (
                json!({"enum": ["C"], "nullable": true}),
                json!({"anyOf": [{"enum": ["C"]}, nothing]}),
            ),
            (
                json!({"minimum": 1, "exclusiveMinimum": true}),
                json!({"minimum": 1, "exclusiveMinimum": 1}),
            ),
            (
                json!({"exclusiveMaximum": false, "maximum": 5}),
                json!({"maximum": 5}),
            ),
            (
                json!({"type": "integer"}),
                json!({"type": "integer", "$whole": true}),
            ),
            (
                json!({"items": [{"type": "string"}]}),
                json!({"prefixItems": [{"type": "string"}], "items": false, "minItems": 1}),
            ),
            (
                json!({"items": [{"type": "string"}], "additionalItems": {"type": "null"}}),
                json!({"prefixItems": [{"type": "string"}], "items": {"type": "null"}, "minItems": 1}),
            ),
            (
                json!({"dependencies": {"a": ["b"], "c": {"required": ["d"]}}}),
                json!({"dependentRequired": {"a": ["b"]}, "dependentSchemas": {"c": {"required": ["d"]}}}),
            ),
        ] {
            assert_eq!(of(written.clone()), plain, "{written}");
        }
    }

    #[test]
    fn objects_with_properties_are_closed_where_nothing_opens_them() {
        let a = json!({"properties": {"a": {}}});
        assert_eq!(
            of(a.clone()),
            json!({"properties": {"a": {}}, "additionalProperties": false})
        );
        assert_eq!(of(json!({"type": "object"})), json!({"type": "object"}));
        let union = of(json!({"anyOf": [a, {"required": ["b"]}]}));
        assert_eq!(
            union,
            json!({"anyOf": [a, {"required": ["b"]}], "unevaluatedProperties": false})
        );
        let negated = json!({"type": "object", "not": a});
        assert_eq!(
            of(negated.clone()),
            negated,
            "schemas closed under `not` would allow more"
        );
        assert_eq!(arguments(&json!(null)).unwrap()["additionalProperties"], false);
    }

    #[test]
    fn any_place_in_the_schema_can_be_referred_to() {
        let stop = json!({"type": "object", "properties": {"city": {"type": "string"}}});
        let parameters = json!({
            "type": "object",
            "properties": {"from": stop, "to": {"$ref": "#/properties/from"}, "via": {"$ref": "#/$defs/a~1b%25"}},
            "$defs": {"a/b%": {"$anchor": "here", "type": "array", "items": {"$ref": "#here"}}}
        });
        let plain = arguments(&parameters).unwrap();
        assert_eq!(plain["$defs"]["0"], stop, "without its closing");
        assert_eq!(plain["properties"]["to"]["unevaluatedProperties"], false);
        assert!(jsonschema::options().offline().build(&plain).is_ok(), "{plain}");
    }

    #[test]
    fn what_means_nothing_is_named() {
        let refused = |property: Value| {
            let parameters = json!({"type": "object", "properties": {"x": property}});
            let (path, problem) = arguments(&parameters).unwrap_err();
            format!("{path}: {problem}")
        };
        assert!(
            refused(json!({"type": "money"}))
                .starts_with("properties.x.type: \"money\" is unknown to JSON schema")
        );
        assert!(
            refused(json!({"$ref": "#/$defs/None"}))
                .contains("\"#/$defs/None\" is not a place in this schema")
        );
        assert!(refused(json!({"$ref": "https://example.com/s"})).contains("others are not fetched"));
        assert_eq!(
            refused(json!({"minimun": 3})),
            "properties.x.minimun: is not a keyword of JSON schema; did you mean `minimum`?"
        );
        for (written, meant) in [
            (json!({"min_length": 3}), "`minLength`"),
            (json!({"exclusive_minimum": 3}), "`exclusiveMinimum`"),
            (json!({"any_of": [{}]}), "`anyOf`"),
            (json!({"one-of": [{}]}), "`oneOf`"),
            (json!({"AdditionalProperties": false}), "`additionalProperties`"),
            (json!({"min": 3}), "`minimum` or `minLength` or `minItems`"),
            (json!({"max": 3}), "`maximum` or `maxLength` or `maxItems`"),
            (json!({"choices": ["a"]}), "`enum`"),
            (json!({"allowed_values": ["a"]}), "`enum`"),
            (json!({"allowedValues": ["a"]}), "`enum`"),
            (json!({"options": ["a"]}), "`enum`"),
            (json!({"values": ["a"]}), "`enum`"),
        ] {
            let problem = refused(written);
            assert!(problem.ends_with(&format!("did you mean {meant}?")), "{problem}");
        }
        for (written, named) in [
            (json!({"options": ["a", "b"], "enum": ["a"]}), "enum"),
            (json!({"min": 3, "minLength": 2}), "minLength"),
            (json!({"min_length": 3, "minLength": 2}), "minLength"),
        ] {
            let problem = refused(written);
            let says = format!("differs from `{named}`; write only `{named}`");
            assert!(problem.ends_with(&says), "{problem}");
        }
        for free in [
            json!({"options": ["b", "a"], "enum": ["a", "b"], "values": ["a", "b"]}),
            json!({"type": "integer", "min": 0, "minimum": 0.0, "max": 9, "maximum": 9}),
            json!({"type": "array", "items": {"type": "string"}, "max": 2, "maxItems": 2}),
            json!({"x-order": 1, "example": "a", "examples": ["a"], "options": {"as": "menu"}, "readOnly": true}),
            json!({"type": "object", "properties": {"min": {}, "any_of": {}, "options": {}}}),
        ] {
            of(free);
        }
        assert_eq!(
            refused(json!({"anyOf": [7]})),
            "properties.x.anyOf[0]: found a number, expected a schema"
        );
        assert!(refused(json!({"$dynamicRef": "#x"})).contains("is not supported"));
    }
}
