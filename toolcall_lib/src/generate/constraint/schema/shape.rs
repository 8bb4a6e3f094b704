//! A shape: one way in which a value can fit a schema, without references and unions.

use super::{Unsupported, Writer, refuse};
use serde_json::{Map, Value};

/// The types of JSON; `integer` is part of `number`.
const TYPES: [&str; 6] = ["null", "boolean", "number", "string", "array", "object"];

/// Most ways to fit one value: more than any tool has, and few enough to be quick.
const MOST: usize = 256;

/// Keywords that restrict a value and that the grammar does not know, with the type that they are
/// about. Listed values are checked against them all the same.
const UNSUPPORTED: [(&str, &str); 10] = [
    ("not", "any"),
    ("if", "any"),
    ("patternProperties", "object"),
    ("propertyNames", "object"),
    ("dependentRequired", "object"),
    ("dependentSchemas", "object"),
    ("unevaluatedProperties", "object"),
    ("unevaluatedItems", "array"),
    ("contains", "array"),
    ("uniqueItems", "array"),
];

/// One way to fit: schemas without references and unions that all hold.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::generate::constraint) struct Shape<'a> {
    pub types: Vec<&'static str>,
    /// The allowed values, if the schema lists them.
    pub values: Option<Vec<Value>>,
    /// Objects whose keywords describe numbers, strings, lists and objects.
    pub parts: Vec<&'a Map<String, Value>>,
    /// True if an object has no fields except those that the parts name.
    pub closed: bool,
    /// Keywords that the grammar does not know.
    unsupported: Vec<&'static str>,
}

impl<'a> Shape<'a> {
    /// Returns the shape that any value fits.
    pub fn any() -> Self {
        Self {
            types: TYPES.to_vec(),
            values: None,
            parts: Vec::new(),
            closed: false,
            unsupported: Vec::new(),
        }
    }

    /// Returns a keyword that the grammar does not know and that is about one of the allowed types.
    pub fn unsupported(&self) -> Option<&'static str> {
        let concerns = |keyword: &str| {
            let kind = UNSUPPORTED
                .iter()
                .find(|(known, _)| *known == keyword)
                .map_or("any", |(_, kind)| *kind);
            kind == "any" || self.types.contains(&kind)
        };
        self.unsupported.iter().copied().find(|keyword| concerns(keyword))
    }

    /// Returns this shape, narrowed to one type.
    pub fn of_type(&self, kind: &'static str) -> Self {
        Self {
            types: vec![kind],
            ..self.clone()
        }
    }

    /// Returns this shape as if all its keywords were known.
    pub fn as_far_as_known(&self) -> Self {
        Self {
            unsupported: Vec::new(),
            ..self.clone()
        }
    }

    /// Returns the value of `keyword` in each part that has it.
    pub fn said(&self, keyword: &str) -> impl Iterator<Item = &'a Value> {
        self.parts.iter().filter_map(move |part| part.get(keyword))
    }

    /// Returns the intersection of two shapes; `None` if it is empty.
    fn and(&self, other: &Self) -> Option<Self> {
        // 1. Types in common; `integer` and `number` have `integer` in common.
        let both = |a: &&'static str| -> Vec<&'static str> {
            let common = |b: &&'static str| match (*a, *b) {
                (a, b) if a == b => Some(a),
                ("integer", "number") | ("number", "integer") => Some("integer"),
                _ => None,
            };
            other.types.iter().filter_map(common).collect()
        };
        let types: Vec<&'static str> = self.types.iter().flat_map(both).collect();
        // 2. Listed values in common.
        let values = match (&self.values, &other.values) {
            (Some(a), Some(b)) => Some(a.iter().filter(|value| b.contains(value)).cloned().collect()),
            (a, b) => a.clone().or(b.clone()),
        };
        let nothing = types.is_empty() || values.as_ref().is_some_and(Vec::is_empty);
        // 3. Keywords of both, each object once.
        let mut parts = self.parts.clone();
        for part in &other.parts {
            if !parts.iter().any(|known| std::ptr::eq(*known, *part)) {
                parts.push(part);
            }
        }
        (!nothing).then(|| Self {
            types,
            values,
            parts,
            closed: self.closed || other.closed,
            unsupported: [&self.unsupported[..], &other.unsupported[..]].concat(),
        })
    }

    /// Returns the names of the fields that the parts know, in their order.
    pub fn names(&self) -> Vec<&'a str> {
        let mut names: Vec<&str> = Vec::new();
        for name in self
            .said("properties")
            .filter_map(Value::as_object)
            .flat_map(Map::keys)
        {
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
        names
    }
}

/// Returns the values that fit one shape of `a` and one of `b`: the product of two unions.
pub(super) fn merged<'a>(
    a: &[Shape<'a>],
    b: &[Shape<'a>],
    path: &str,
) -> Result<Vec<Shape<'a>>, Unsupported> {
    let mut shapes: Vec<Shape<'a>> = Vec::new();
    for shape in a.iter().flat_map(|a| b.iter().filter_map(|b| a.and(b))) {
        if !shapes.contains(&shape) {
            shapes.push(shape);
        }
        if shapes.len() > MOST {
            return refuse(path, "there are too many ways to fit the schema");
        }
    }
    Ok(shapes)
}

impl<'a> Writer<'a> {
    /// Expands a schema into the ways to fit it. `within` holds the references that led here
    /// without a step into the value; one that comes again leads to itself.
    pub(super) fn expand(
        &self,
        schema: &'a Value,
        path: &str,
        within: &mut Vec<&'a str>,
    ) -> Result<Vec<Shape<'a>>, Unsupported> {
        let object = match schema {
            Value::Object(object) => object,
            Value::Bool(false) => return Ok(Vec::new()),
            _ => return Ok(vec![Shape::any()]),
        };
        self.spend(path)?;
        // 1. Its own keywords, then everything beside them narrows the shapes: the target of a
        //    reference, ...
        let mut shapes = vec![own(object)];
        if let Some(target) = object.get("$ref").and_then(Value::as_str) {
            if within.contains(&target) {
                return refuse(path, "a `$ref` points to itself");
            }
            within.push(target);
            let found = target
                .strip_prefix('#')
                .and_then(|pointer| self.root.pointer(pointer));
            let found = found.ok_or_else(|| {
                (
                    path.to_string(),
                    format!("the schema has no {target}, to which a `$ref` points"),
                )
            })?;
            shapes = merged(&shapes, &self.expand(found, path, within)?, path)?;
            within.pop();
        }
        // 2. ... every part of `allOf`, ...
        for part in list(object, "allOf") {
            shapes = merged(&shapes, &self.expand(part, path, within)?, path)?;
        }
        // 3. ... and the union of the branches.
        for keyword in ["anyOf", "oneOf"]
            .into_iter()
            .filter(|keyword| object.contains_key(*keyword))
        {
            let branches = list(object, keyword)
                .iter()
                .map(|branch| self.expand(branch, path, within));
            let branches: Vec<Vec<Shape<'a>>> = branches.collect::<Result<_, _>>()?;
            shapes = match keyword {
                "anyOf" => merged(&shapes, &any_of(&branches, path)?, path)?,
                _ => self.one_of(&shapes, &branches, path)?,
            };
        }
        if object.get("unevaluatedProperties") == Some(&Value::Bool(false)) {
            shapes.iter_mut().for_each(|shape| shape.closed = true);
        }
        Ok(shapes)
    }

    /// Joins branches of which a value may fit only one, within `shapes`. Refuses branches with
    /// common values, because the grammar could not exclude those; listed values are checked one by
    /// one and need no care.
    fn one_of(
        &self,
        shapes: &[Shape<'a>],
        branches: &[Vec<Shape<'a>>],
        path: &str,
    ) -> Result<Vec<Shape<'a>>, Unsupported> {
        let branches = branches.iter().map(|branch| merged(shapes, branch, path));
        let branches: Vec<Vec<Shape<'a>>> = branches.collect::<Result<_, _>>()?;
        let listed = |branch: &[Shape<'a>]| branch.iter().all(|shape| shape.values.is_some());
        for (i, branch) in branches.iter().enumerate() {
            for other in branches[i + 1..]
                .iter()
                .filter(|other| !(listed(branch) && listed(other)))
            {
                for shape in merged(branch, other, path)? {
                    let written = self.anew().shape(&shape.as_far_as_known(), path)?;
                    if !written.is_empty() {
                        let problem = "some values fit more than one schema of `oneOf`, which it forbids; use \
                            `anyOf`, which allows it";
                        return refuse(path, problem);
                    }
                }
            }
        }
        Ok(branches.concat())
    }
}

/// Joins branches of which a value may fit several. Closed objects need more shapes: fields of
/// different branches go together only where both branches hold.
fn any_of<'a>(branches: &[Vec<Shape<'a>>], path: &str) -> Result<Vec<Shape<'a>>, Unsupported> {
    const MOST_TOGETHER: usize = 4;
    let mut shapes = branches.concat();
    if branches.len() > MOST_TOGETHER {
        return Ok(shapes);
    }
    for (i, branch) in branches.iter().enumerate() {
        // Branches that hold together: each pair, and each branch with all those after it.
        let mut together = branch.clone();
        for other in &branches[i + 1..] {
            for both in [merged(branch, other, path)?, merged(&together, other, path)?] {
                // Only objects whose fields come from several branches are new ways.
                let richer = |shape: &Shape<'a>| {
                    shape.types.contains(&"object")
                        && shape
                            .parts
                            .iter()
                            .filter(|part| part.contains_key("properties"))
                            .count()
                            > 1
                };
                let new: Vec<Shape<'a>> = both
                    .into_iter()
                    .filter(|shape| richer(shape) && !shapes.contains(shape))
                    .collect();
                shapes.extend(new);
            }
            together = merged(&together, other, path)?;
        }
    }
    Ok(shapes)
}

/// Returns the shape of a schema's own keywords.
fn own(object: &Map<String, Value>) -> Shape<'_> {
    let named = |name: &Value| {
        [
            "null", "boolean", "integer", "number", "string", "array", "object",
        ]
        .into_iter()
        .find(|known| name == known)
    };
    // 1. Allowed types; `number` includes `integer`.
    let types = match object.get("type") {
        Some(Value::Array(names)) => {
            let mut names: Vec<&'static str> = names.iter().filter_map(named).collect();
            if names.contains(&"number") {
                names.retain(|name| *name != "integer");
            }
            names
        }
        Some(name) => named(name).into_iter().collect(),
        None => TYPES.to_vec(),
    };
    // 2. Unsupported keywords that do restrict something: some values, such as `not: false`, do
    // not.
    let restricts = |keyword: &str| match (keyword, object.get(keyword)) {
        (_, None) | ("not" | "uniqueItems" | "unevaluatedProperties", Some(Value::Bool(false))) => false,
        ("propertyNames" | "unevaluatedItems" | "unevaluatedProperties", Some(Value::Bool(true))) => false,
        ("patternProperties" | "dependentRequired" | "dependentSchemas", Some(Value::Object(map))) => {
            !map.is_empty()
        }
        // Every name is a string.
        ("propertyNames", Some(Value::Object(names))) => names
            .iter()
            .any(|(key, value)| key != "type" || value != "string"),
        _ => true,
    };
    // 3. Listed values, from `enum` or `const`.
    Shape {
        types,
        values: object
            .get("enum")
            .and_then(Value::as_array)
            .cloned()
            .or_else(|| object.get("const").map(|value| vec![value.clone()])),
        parts: vec![object],
        closed: false,
        unsupported: UNSUPPORTED
            .into_iter()
            .map(|(keyword, _)| keyword)
            .filter(|keyword| restricts(keyword))
            .collect(),
    }
}

/// Returns the schemas that `keyword` lists.
fn list<'a>(object: &'a Map<String, Value>, keyword: &str) -> &'a [Value] {
    object
        .get(keyword)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}
