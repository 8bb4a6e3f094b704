//! The functions of `scripts/dev/golden/tools.py` in Rust, with the same docstrings.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use toolcall_lib::{Tool, tool};

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Unit {
    Celsius,
    Fahrenheit,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Only {
    Only,
}

#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only their schemas are asked for")]
enum IntegerOrText {
    Integer(i64),
    Text(String),
}

#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only their schemas are asked for")]
enum Place {
    City(String),
    Coordinates(f64, f64),
}

#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only their schemas are asked for")]
enum IntegersOrText {
    Integers(Vec<i64>),
    Text(String),
}

/// A type that no JSON schema can be made of.
#[derive(Serialize)]
struct Opaque;

/// Starts a timer for the specified duration in seconds.
///
/// Args:
///     duration: Duration in seconds to set the timer for.
///
/// Returns:
///     The duration set for the timer.
#[tool]
fn start_timer(duration: i64) -> i64 {
    duration
}

#[tool]
/// Creates a reminder for the specified time and note.
///
/// # Arguments
/// * `time` - The time for the reminder.
/// * `note` - The note for the reminder.
///
/// # Returns
/// A confirmation message indicating that the reminder has been set.
///
/// # Errors
/// A model reads nothing of this.
fn create_reminder(time: &str, note: String) -> Result<String, std::fmt::Error> {
    Ok(format!("I'll remind you to {note} at {time}."))
}

#[tool]
#[doc = "Connects to an agent."]
fn speak_with_an_agent() {}

#[tool]
/// Takes one value of each kind.
///
/// Args:
///     count: A whole number.
///     ratio: A number.
///     text: A text.
///     flag: Yes or no.
///     anything: Any JSON.
fn scalars(count: u32, ratio: f32, text: String, flag: bool, anything: Value) -> bool {
    let _ = (count, ratio, text, anything);
    flag
}

#[tool]
/// Takes values inside values.
///
/// Args:
///     numbers: Whole numbers.
///     matrix: Rows of numbers.
///     ages: Ages by name.
///     tags: Tags by name.
///     pair: A number and its name.
///     rows: Anything by name.
///     values: Anything.
///
/// Returns:
///     The names.
fn collections(
    numbers: Vec<i64>,
    matrix: Vec<Vec<f64>>,
    ages: HashMap<String, u8>,
    tags: BTreeMap<String, Vec<String>>,
    pair: (i64, String),
    rows: Vec<HashMap<String, Value>>,
    values: Vec<Value>,
) -> Vec<String> {
    let _ = (numbers, matrix, ages, pair, rows, values);
    tags.into_keys().collect()
}

#[tool]
/// Takes one value, and more if they are there.
///
/// Args:
///     city: The city.
///     note: A note.
///     count: How many.
///     flag: Yes or no.
///     tags: Tags.
///     point: Where.
///     ages: Ages by name.
///
/// Returns:
///     What was found, if anything.
fn optionals(
    city: String,
    note: Option<String>,
    count: Option<usize>,
    flag: Option<bool>,
    tags: Option<Vec<String>>,
    point: Option<(f64, f64)>,
    ages: Option<HashMap<String, i64>>,
) -> Option<String> {
    let _ = (city, count, flag, tags, point, ages);
    note
}

#[tool]
/// Takes one of several values.
///
/// Args:
///     unit: The unit.
///     units: All units.
///     only: There is no choice.
///     fallback: Another unit.
///
/// Returns:
///     The unit that was taken.
fn enums(unit: Unit, units: Vec<Unit>, only: Only, fallback: Option<Unit>) -> Unit {
    let _ = (units, only);
    fallback.unwrap_or(unit)
}

#[tool]
/// Takes choices from the docstring.
///
/// Args:
///     drink: The drink (choices: ["tea", " coffee "])
///     level: How strong (Choices: [1, 2, 3])
///     size: The size, (any) of these.
///         (CHOICES:["small", "größer"])
///     sugar: With sugar (choices are free)
fn choices(drink: String, level: i64, size: Option<String>, sugar: Option<String>) {
    let _ = (drink, level, size, sugar);
}

#[tool]
/// Takes values of several types.
///
/// Args:
///     id: A number or a name.
///     place: A city or its coordinates.
///     label: A name or a number.
///     mixed: Numbers or a text.
fn unions(id: IntegerOrText, place: Place, label: Option<IntegerOrText>, mixed: Option<IntegersOrText>) {
    let _ = (id, place, label, mixed);
}

#[tool]
/**
    Does it in "two" lines: \d, é, 日本 –
    with Args: that are not in this one.

      An indented paragraph.

    Args:
        first: A description
            on several lines,
              with: colons

            and a blank line.
        second:
            Starts on the next line.

        third: Last: one

    Returns:
        Text that stays
          on two lines.

    Raises:
        ValueError: never.
*/
fn layout(first: String, second: i64, third: bool) -> String {
    let _ = (second, third);
    first
}

#[tool]
/// Does it in two lines,
/// and says so.
///
/// Args:
///     first: The first, described first.
///     second: The second.
/// Returns:
///     A text.
fn plain_layout(second: i64, first: String) -> String {
    format!("{first} {second}")
}

#[tool]
/// Returns nothing.
///
/// Args:
///     text: A text.
#[allow(clippy::unused_unit)]
fn returns_nothing(text: String) -> () {
    drop(text);
}

#[tool]
/// Returns what has no schema.
///
/// Args:
///     text: A text.
///
/// Returns:
///     An object.
fn returns_opaque(text: String) -> Opaque {
    drop(text);
    Opaque
}

pub fn all() -> Vec<Tool> {
    vec![
        start_timer_tool(),
        create_reminder_tool(),
        speak_with_an_agent_tool(),
        scalars_tool(),
        collections_tool(),
        optionals_tool(),
        enums_tool(),
        choices_tool(),
        unions_tool(),
        layout_tool(),
        plain_layout_tool(),
        returns_nothing_tool(),
        returns_opaque_tool(),
    ]
}
