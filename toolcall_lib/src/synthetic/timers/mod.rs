//! Rows with a timer and a reminder tool: the plain requests, and all that people say around them.

mod around;
mod wordings;

use super::draw::{Draw, Part};
use super::rows::{Answered, Dialogue, Kind, Rows, answered, schema, upper};
use super::span::{Span, When, minutes, minutes_of, other_span, span};
use super::talk;
use crate::error::Result;
use crate::tool::ToolSchema;
use around::{chain, confirmation, edge_cases, error, follow_up, no_duration, question, several};
use serde_json::json;
use wordings::*;

/// The two tools of the rows.
pub(super) fn tools() -> Result<Vec<ToolSchema>> {
    let duration = ("duration", "integer", "Length of the timer in seconds.");
    let time = ("time", "string", "When to remind, as the user said it.");
    let note = ("note", "string", "What to remind the user of.");
    Ok(vec![
        schema(
            "start_timer",
            "Start a timer for the given number of seconds.",
            &[duration],
        )?,
        schema(
            "create_reminder",
            "Create a reminder for the given time.",
            &[time, note],
        )?,
    ])
}

/// Kinds of rows beside the plain timers, with their number in the training and in the held-out file.
const KINDS: [Kind; 13] = [
    ("plain reminder", [22, 10], plain_reminder),
    ("timer in other words", [14, 10], worded_minutes),
    ("timer in hours, seconds or both", [16, 8], |draw| {
        worded_timer(draw, other_span)
    }),
    ("reminder in other words", [18, 10], worded_reminder),
    ("several calls in one turn", [11, 6], several),
    ("chain of calls", [6, 3], chain),
    ("question back", [22, 5], question),
    ("another request after the first", [5, 3], follow_up),
    ("confirmation", [7, 3], confirmation),
    ("error of a tool", [5, 3], error),
    ("zero or negative duration", [14, 4], no_duration),
    ("no tool fits", [20, 10], talk::beyond_timers),
    ("small talk", [12, 8], talk::small_talk),
];

/// All rows of a part. One row in three lists the reminder first.
pub(super) fn fill(rows: &mut Rows) -> Result<()> {
    let tools = tools()?;
    let reversed: Vec<ToolSchema> = tools.iter().rev().cloned().collect();
    let part = rows.part();
    let plain = minutes_of(part)
        .into_iter()
        .map(|minutes| plain_timer(&Span::minutes(minutes)).with(&tools));
    rows.add_all("plain timer", plain.collect());
    if part == Part::Train {
        rows.add_all(
            "edge case",
            edge_cases().into_iter().map(|row| row.with(&tools)).collect(),
        );
    }
    for (kind, counts, make) in KINDS {
        rows.add(kind, counts, |draw| {
            make(draw).with(if draw.chance(3) { &reversed } else { &tools })
        })?;
    }
    Ok(())
}

fn timer(span: &Span) -> Answered {
    answered(
        "start_timer",
        &[("duration", json!(span.seconds))],
        span.seconds.to_string(),
    )
}

fn reminder(note: &str, when: &When) -> Answered {
    let result = format!("I'll remind you to {note} {}.", when.said);
    answered(
        "create_reminder",
        &[("time", json!(when.value)), ("note", json!(note))],
        result,
    )
}

/// The call, the answer of the tool, and the sentence that reports it.
fn time(dialogue: Dialogue, span: &Span) -> Dialogue {
    dialogue
        .calls(vec![timer(span)])
        .says(format!("Timer set for {}.", span.said))
}

fn remind(dialogue: Dialogue, note: &str, when: &When) -> Dialogue {
    dialogue
        .calls(vec![reminder(note, when)])
        .says(format!("Reminder set: {note} {}.", when.said))
}

fn plain_timer(span: &Span) -> Dialogue {
    time(Dialogue::user(format!("Set a timer for {}.", span.said)), span)
}

fn plain_reminder(draw: &mut Draw) -> Dialogue {
    let (note, when) = (draw.of(&NOTES), When::hour(draw));
    remind(
        Dialogue::user(format!("Remind me to {note} {}.", when.said)),
        note,
        &when,
    )
}

pub(super) fn worded_minutes(draw: &mut Draw) -> Dialogue {
    worded_timer(draw, minutes)
}

fn worded_timer(draw: &mut Draw, span: fn(&mut Draw) -> Span) -> Dialogue {
    let span = span(draw);
    time(Dialogue::user(timer_request(draw, &span)), &span)
}

fn timer_request(draw: &mut Draw, span: &Span) -> String {
    draw.of(&TIMER_WORDINGS)
        .replace("{span}", &span.said)
        .replace("{adjective}", &span.adjective())
}

fn reminder_request(draw: &mut Draw, note: &str, when: &When) -> String {
    upper(
        &draw
            .of(&REMINDER_WORDINGS)
            .replace("{note}", note)
            .replace("{when}", &when.said),
    )
}

/// A request for a timer or a reminder, for rows that have no tool for it.
pub(super) fn request(draw: &mut Draw) -> String {
    let (span, note, when) = (span(draw), draw.of(&NOTES), When::any(draw));
    if draw.chance(2) {
        timer_request(draw, &span)
    } else {
        reminder_request(draw, note, &when)
    }
}

pub(super) fn worded_reminder(draw: &mut Draw) -> Dialogue {
    let (note, when) = (draw.of(&NOTES), When::any(draw));
    remind(Dialogue::user(reminder_request(draw, note, &when)), note, &when)
}
