//! Rows of customers who talk to a company about a payment. Every argument can be derived from what is said.

mod steps;
mod wordings;

use super::draw::{Draw, Part, Pool};
use super::rows::{Answered, Dialogue, Kind, Rows, schema, upper};
use super::talk;
use crate::error::Result;
use crate::tool::ToolSchema;
use steps::{METHODS, Step};
use wordings::*;

fn tools() -> Result<Vec<ToolSchema>> {
    let method = "How the customer pays; voice_call means over the phone.";
    Ok(vec![
        schema(
            "Already_Paid",
            "The customer has already made a payment.",
            &[
                ("paidAmount", "integer", "Amount paid, in whole dollars."),
                ("paidDate", "string", "Day of the payment, YYYY-MM-DD."),
            ],
        )?,
        schema(
            "Pay_Now",
            "The customer wants to pay now.",
            &[
                ("payNowAmount", "integer", "Amount to pay, in whole dollars."),
                ("paymentMethod", "card|bank_transfer|voice_call", method),
            ],
        )?,
        schema(
            "Hardship",
            "The customer cannot pay because of a hardship, such as a lost job or an illness.",
            &[],
        )?,
        schema(
            "Speak_With_An_Agent",
            "Connect the customer with a human agent.",
            &[],
        )?,
        schema(
            "Promise_Payment",
            "The customer promises to pay on a later day. The smallest amount is 25 dollars.",
            &[
                (
                    "promiseAmount",
                    "integer",
                    "Amount promised, in whole dollars, 25 or more.",
                ),
                ("promiseDate", "string", "The day, YYYY-MM-DD."),
            ],
        )?,
    ])
}

/// Kinds of rows, with their number in the training and in the held-out file.
const KINDS: [Kind; 13] = [
    ("already paid", [30, 10], already_paid),
    ("pays now", [32, 10], pays_now),
    ("hardship", [24, 8], hardship),
    ("wants an agent", [14, 5], wants_agent),
    ("promise for a date", [22, 8], promise),
    ("promise for a day of the calendar", [18, 5], promise_by_weekday),
    ("promise below the minimum", [16, 6], below_minimum),
    ("question back", [12, 4], question),
    ("several calls in one turn", [6, 2], several),
    ("error of a tool", [4, 2], error),
    ("no tool fits", [8, 6], talk::beyond),
    ("about payments, but no request", [8, 4], remark),
    ("small talk", [6, 4], talk::small_talk),
];

/// All rows of a part. One row in three has the tools in another order.
pub(super) fn fill(rows: &mut Rows) -> Result<()> {
    let tools = tools()?;
    let reversed: Vec<ToolSchema> = tools.iter().rev().cloned().collect();
    for (kind, counts, make) in KINDS {
        rows.add(kind, counts, |draw| {
            make(draw).with(if draw.chance(3) { &reversed } else { &tools })
        })?;
    }
    Ok(())
}

/// An amount that can be promised.
fn amount(draw: &mut Draw) -> u32 {
    draw.number(25, 400)
}

/// A day; training and held-out days lie in different months.
fn date(draw: &mut Draw) -> String {
    format!("{}-{:02}", draw.of(&MONTHS), draw.index(28) + 1)
}

fn said(draw: &mut Draw, pool: &Pool, amount: u32, date: &str) -> String {
    draw.of(pool)
        .replace("{amount}", &format!("${amount}"))
        .replace("{date}", date)
}

fn already_paid(draw: &mut Draw) -> Dialogue {
    let (amount, date) = (draw.number(5, 400), date(draw));
    Step::paid(amount, &date).after(Dialogue::user(said(draw, &PAID, amount, &date)))
}

fn pays_now(draw: &mut Draw) -> Dialogue {
    let (amount, method) = (draw.number(5, 400), draw.one(&METHODS));
    let said = said(draw, &PAY_NOW, amount, "").replace("{method}", method.said);
    Step::pay_now(amount, method).after(Dialogue::user(said))
}

fn hardship(draw: &mut Draw) -> Dialogue {
    let said = draw.of(&HARDSHIP).replace("{reason}", draw.of(&REASONS));
    Step::hardship().after(Dialogue::user(said))
}

fn wants_agent(draw: &mut Draw) -> Dialogue {
    Step::agent().after(Dialogue::user(draw.of(&AGENT)))
}

fn promise(draw: &mut Draw) -> Dialogue {
    let (amount, date) = (amount(draw), date(draw));
    Step::promise(amount, &date).after(Dialogue::user(said(draw, &PROMISE, amount, &date)))
}

/// A weekday; the system message has the calendar to look it up in.
fn promise_by_weekday(draw: &mut Draw) -> Dialogue {
    let amount = amount(draw);
    let days: &[(&str, usize)] = if draw.part == Part::Train {
        &TODAY
    } else {
        &HELD_OUT_TODAY
    };
    let (month, today) = draw.one(days);
    let day = |day: usize| format!("{} {month}-{day:02}", WEEKDAYS[(day - 1) % 7]);
    let coming: Vec<String> = (today + 1..=today + 7).map(day).collect();
    let calendar = format!(
        "Today is {}. The next days are {}.",
        day(today),
        coming.join(", ")
    );
    let ahead = draw.index(7);
    let (weekday, date) = coming[ahead].split_once(' ').unwrap_or_default();
    let when = if ahead == 0 && draw.chance(2) {
        "tomorrow".into()
    } else {
        format!("on {weekday}")
    };
    let said = said(draw, &PROMISE_WHEN, amount, "").replace("{when}", &when);
    Step::promise(amount, date).after(Dialogue::system(calendar, said))
}

fn below_minimum(draw: &mut Draw) -> Dialogue {
    let (offered, date) = (draw.number(5, 24), date(draw));
    let agreed = if draw.chance(3) { draw.number(26, 60) } else { 25 };
    let asked = Dialogue::user(said(draw, &PROMISE, offered, &date)).says(format!(
        "The smallest amount for a promise is $25. Would you like to promise $25 for {date}?"
    ));
    if draw.chance(4) {
        return asked
            .then_user(draw.of(&REFUSED))
            .says("All right. Come back when you can pay $25 or more.");
    }
    let answer = if agreed == 25 {
        draw.of(&AGREED).into()
    } else {
        said(draw, &AGREED_AMOUNT, agreed, "")
    };
    Step::promise(agreed, &date).after(asked.then_user(answer))
}

/// The method, the amount or the day is missing.
fn question(draw: &mut Draw) -> Dialogue {
    let (amount, date, method) = (amount(draw), date(draw), draw.one(&METHODS));
    match draw.index(3) {
        0 => {
            let asked = Dialogue::user(said(draw, &PAY_NO_METHOD, amount, ""))
                .says("How would you like to pay: by card, by bank transfer, or over the phone?");
            let answer = draw.of(&METHOD_ANSWERS).replace("{method}", method.said);
            Step::pay_now(amount, method).after(asked.then_user(upper(&answer)))
        }
        1 => {
            let asked =
                Dialogue::user(said(draw, &PAID_NO_AMOUNT, amount, &date)).says("How much did you pay?");
            Step::paid(amount, &date).after(asked.then_user(format!("${amount}.")))
        }
        _ => {
            let asked =
                Dialogue::user(said(draw, &PROMISE_NO_DATE, amount, "")).says("On which day will you pay?");
            Step::promise(amount, &date).after(asked.then_user(format!("On {date}.")))
        }
    }
}

/// A payment that was made, and a promise for the rest.
fn several(draw: &mut Draw) -> Dialogue {
    let (paid, paid_date, rest, date) = (draw.number(5, 400), date(draw), amount(draw), date(draw));
    let said = draw
        .of(&PAID_AND_PROMISE)
        .replace("{paid}", &format!("${paid}"))
        .replace("{day}", &paid_date);
    let said = said
        .replace("{rest}", &format!("${rest}"))
        .replace("{date}", &date);
    let calls = vec![
        Step::paid(paid, &paid_date).answered,
        Step::promise(rest, &date).answered,
    ];
    Dialogue::user(said).calls(calls).says(format!(
        "Thank you. I noted your payment of ${paid} on {paid_date} and your promise to pay ${rest} by {date}."
    ))
}

fn error(draw: &mut Draw) -> Dialogue {
    let (amount, method) = (draw.number(5, 400), draw.one(&METHODS));
    let reason = draw.of(&ERRORS);
    let failed = Answered {
        result: format!("Error: {reason}"),
        ..Step::pay_now(amount, method).answered
    };
    let said = said(draw, &PAY_NOW, amount, "").replace("{method}", method.said);
    Dialogue::user(said)
        .calls(vec![failed])
        .says(format!("The payment did not work: {reason}."))
}

fn remark(draw: &mut Draw) -> Dialogue {
    Dialogue::user(draw.of(&REMARKS))
        .says("I see. You can pay now, promise a payment, or speak with an agent.")
}
