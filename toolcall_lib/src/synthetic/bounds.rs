//! The limits of numbers in a schema.

use super::draw::Draw;
use super::value::{Argument, Kind};
use indexmap::IndexMap;
use serde_json::{Map, Value};

/// The lowest and the highest number that a schema allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) low: Option<i64>,
    pub(super) high: Option<i64>,
}

impl Bounds {
    /// Compares a number with the limits, in the words of a step: `at least 25, too small`.
    pub(super) fn check(self, number: i64) -> String {
        let said = match self {
            Self {
                low: Some(low),
                high: Some(high),
            } => format!("{low} to {high}"),
            Self { low: Some(low), .. } => format!("at least {low}"),
            Self { high: Some(high), .. } => format!("at most {high}"),
            Self { .. } => String::new(),
        };
        let verdict = match number {
            _ if self.low.is_some_and(|low| number < low) => "too small",
            _ if self.high.is_some_and(|high| number > high) => "too large",
            _ => "fits",
        };
        format!("{said}, {verdict}")
    }

    /// Reads the limits of a kind that a description states: `25 or more`.
    fn stated(about: &str, kind: &Kind) -> Self {
        let (Kind::Int(low, high) | Kind::Money(low, high)) = kind else {
            return Self::default();
        };
        let says = |texts: &[String]| texts.iter().any(|text| about.contains(text));
        if says(&[format!("{low} to {high}"), format!("between {low} and {high}")]) {
            return Self {
                low: Some(*low),
                high: Some(*high),
            };
        }
        Self {
            low: says(&[format!("{low} or more"), format!("at least {low}")]).then_some(*low),
            high: says(&[format!("at most {high}"), format!("up to {high}")]).then_some(*high),
        }
    }
}

/// Writes the limits of a kind into its schema. Leaves out a minimum that says no more than
/// `1 or more`.
pub(super) fn limit(kind: &Kind, schema: &mut Value) {
    let (Kind::Int(low, high) | Kind::Money(low, high)) = kind else {
        return;
    };
    if *low > 1 {
        schema["minimum"] = (*low).into();
    }
    schema["maximum"] = (*high).into();
}

/// The limits that a schema gives to its numbers, in its own words or in those of descriptions.
pub(super) fn limits(
    properties: &Value,
    arguments: &IndexMap<String, Argument>,
    names: &IndexMap<String, String>,
) -> IndexMap<String, Bounds> {
    let of = |(slot, argument): (&String, &Argument)| {
        let schema = &properties[names.get(slot)?.as_str()];
        let stated = Bounds::stated(schema["description"].as_str().unwrap_or_default(), &argument.kind);
        let bounds = Bounds {
            low: schema["minimum"].as_i64().or(stated.low),
            high: schema["maximum"].as_i64().or(stated.high),
        };
        (bounds != Bounds::default()).then(|| (slot.clone(), bounds))
    };
    arguments.iter().filter_map(of).collect()
}

/// Says limits in the description, in place of the schema's own words or beside them, as many
/// schemas do.
pub(super) fn say_limits(properties: &mut Value, draw: &mut Draw) {
    for schema in properties.as_object_mut().into_iter().flat_map(Map::values_mut) {
        let said = match (schema["minimum"].as_i64(), schema["maximum"].as_i64()) {
            (Some(low), Some(high)) => {
                draw.text(&[format!("{low} to {high}"), format!("between {low} and {high}")])
            }
            (Some(low), None) => draw.text(&[format!("at least {low}"), format!("{low} or more")]),
            (None, Some(high)) => draw.text(&[format!("at most {high}"), format!("up to {high}")]),
            (None, None) => continue,
        };
        let Some(about) = schema["description"].as_str().filter(|_| !draw.chance(3)) else {
            continue;
        };
        schema["description"] = format!("{}, {said}.", about.trim_end_matches('.')).into();
        if let Some(schema) = schema.as_object_mut().filter(|_| draw.chance(2)) {
            schema.remove("minimum");
            schema.remove("maximum");
        }
    }
}
