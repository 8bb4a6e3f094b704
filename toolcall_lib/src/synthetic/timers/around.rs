//! What surrounds a plain request: several calls, chains, questions back, errors, and durations that are none.

use super::wordings::*;
use super::{plain_timer, remind, reminder, time, timer};
use crate::synthetic::draw::Draw;
use crate::synthetic::rows::{Answered, Dialogue, upper};
use crate::synthetic::span::{Span, When, minutes, span};

pub(super) fn several(draw: &mut Draw) -> Dialogue {
    let (a, b, c) = (span(draw), span(draw), span(draw));
    let (note, when) = (draw.of(&NOTES), When::hour(draw));
    let (other_note, other_when) = (draw.of(&NOTES), When::hour(draw));
    let asked = draw.of(&SEVERAL);
    let said = asked
        .replace("{a}", &a.said)
        .replace("{b}", &b.said)
        .replace("{c}", &c.said);
    let said = said.replace("{note}", &format!("{note} {}", when.said));
    let said = said.replace("{other}", &format!("{other_note} {}", other_when.said));
    let candidates = [("{a}", timer(&a)), ("{b}", timer(&b)), ("{c}", timer(&c))];
    let reminders = [
        ("{note}", reminder(note, &when)),
        ("{other}", reminder(other_note, &other_when)),
    ];
    let calls = candidates
        .into_iter()
        .chain(reminders)
        .filter(|(slot, _)| asked.contains(slot));
    let calls: Vec<Answered> = calls.map(|(_, call)| call).collect();
    let done = match (asked.contains("{a}"), asked.contains("{note}")) {
        (true, true) => "The timer and the reminder are set.",
        (true, false) => "The timers are set.",
        _ => "The reminders are set.",
    };
    Dialogue::user(said).calls(calls).says(done)
}

/// The reminder takes the time at which the timer ends from the tool's answer.
pub(super) fn chain(draw: &mut Draw) -> Dialogue {
    let (span, note, end) = (minutes(draw), draw.of(&NOTES), When::any(draw));
    let end = When::new(format!(
        "at {}",
        end.value.rsplit(" at ").next().unwrap_or_default()
    ));
    let asked = draw
        .of(&CHAINS)
        .replace("{span}", &span.said)
        .replace("{note}", note);
    let started = Answered {
        result: format!("{}, ends {}", span.seconds, end.said),
        ..timer(&span)
    };
    let done = format!("Timer set for {}. Reminder set: {note} {}.", span.said, end.said);
    Dialogue::user(asked)
        .calls(vec![started])
        .calls(vec![reminder(note, &end)])
        .says(done)
}

pub(super) fn question(draw: &mut Draw) -> Dialogue {
    let (note, when) = (draw.of(&NOTES), When::any(draw));
    match draw.one(&[0, 1, 1, 2]) {
        0 => {
            let dialogue = Dialogue::user(draw.of(&BARE_TIMERS)).says("For how long should the timer run?");
            let span = span(draw);
            time(
                dialogue.then_user(draw.of(&SPAN_ANSWERS).replace("{span}", &span.said)),
                &span,
            )
        }
        1 => {
            let asked = draw.of(&BARE_REMINDERS).replace("{note}", note);
            let dialogue = Dialogue::user(asked).says("When should I remind you?");
            remind(dialogue.then_user(upper(&format!("{}.", when.said))), note, &when)
        }
        _ => {
            let asked = draw.of(&REMINDERS_WITHOUT_NOTE).replace("{when}", &when.said);
            let dialogue = Dialogue::user(asked).says("What should I remind you to do?");
            remind(dialogue.then_user(upper(&format!("{note}."))), note, &when)
        }
    }
}

pub(super) fn follow_up(draw: &mut Draw) -> Dialogue {
    let (first, second) = (span(draw), span(draw));
    let more = draw.of(&FOLLOW_UPS).replace("{span}", &second.said);
    time(plain_timer(&first).then_user(more), &second)
}

pub(super) fn confirmation(draw: &mut Draw) -> Dialogue {
    let (note, when) = (draw.of(&NOTES), When::any(draw));
    let said = draw
        .of(&PLANS)
        .replace("{note}", note)
        .replace("{when}", &when.said);
    let asked = Dialogue::user(said).says(format!("Shall I remind you to {note} {}?", when.said));
    match draw.chance(3) {
        true => asked.then_user(draw.of(&NO)).says("All right, no reminder."),
        false => remind(asked.then_user(draw.of(&YES)), note, &when),
    }
}

pub(super) fn error(draw: &mut Draw) -> Dialogue {
    let (span, note) = (span(draw), draw.of(&NOTES));
    if draw.chance(2) {
        let reason = draw.of(&TIMER_ERRORS);
        let failed = Answered {
            result: format!("Error: {reason}."),
            ..timer(&span)
        };
        let asked = Dialogue::user(format!("Set a timer for {}.", span.said));
        return asked
            .calls(vec![failed])
            .says(format!("I could not set the timer: {reason}."));
    }
    let when = When::hour(draw);
    let bare = When::new(when.said.replace(" AM", "").replace(" PM", ""));
    let failed = Answered {
        result: "Error: AM or PM is missing.".into(),
        ..reminder(note, &bare)
    };
    let asked = Dialogue::user(format!("Remind me to {note} {}.", bare.said)).calls(vec![failed]);
    let asked = asked
        .says(format!("Is that {0} AM or {0} PM?", bare.value))
        .then_user(format!("{}.", when.value));
    remind(asked, note, &when)
}

pub(super) fn no_duration(draw: &mut Draw) -> Dialogue {
    let number = draw.number(1, 60);
    let asked = draw.of(&NO_DURATIONS).replace("{n}", &number.to_string());
    let refused = Dialogue::user(asked).says(TOO_SHORT);
    if draw.chance(2) {
        return refused;
    }
    let span = span(draw);
    time(
        refused.then_user(draw.of(&SPAN_ANSWERS).replace("{span}", &span.said)),
        &span,
    )
}

const TOO_SHORT: &str = "Sorry, a timer must run for more than 0 seconds. How long should it run?";

/// Four requests that everybody tries, as they stand.
pub(super) fn edge_cases() -> Vec<Dialogue> {
    let [five, ten, quarter] = [5, 10, 15].map(Span::minutes);
    let three = Dialogue::user("Set 3 timers.").says("How long should each of the 3 timers run?");
    let tomorrow = Dialogue::user("Remind me tomorrow.").says("What should I remind you to do?");
    vec![
        Dialogue::user("Set a timer for 0 minutes.").says(TOO_SHORT),
        Dialogue::user("Can you help me?").says("Yes. I can set timers and reminders. What do you need?"),
        remind(
            tomorrow.then_user("Water the plants."),
            "water the plants",
            &When::new("tomorrow"),
        ),
        three
            .then_user("5, 10 and 15 minutes.")
            .calls(vec![timer(&five), timer(&ten), timer(&quarter)])
            .says("The timers are set."),
    ]
}
