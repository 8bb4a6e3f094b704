//! What tools can do beside timers and reminders: requests, values and answers, without the names of a tool.
//!
//! The same skill stands in several lists of tools under other names, so that a model must read the list.

use super::values::Values::{self, Choice, Date, Number, Text};
use super::values::*;
use crate::synthetic::draw::Pool;

/// Something that a tool does. `{0}` and `{1}` stand for the values of its arguments in all texts.
pub(super) struct Skill {
    /// Requests.
    pub(super) asks: Pool,
    /// The values of the arguments.
    pub(super) values: &'static [Values],
    /// What the tool answers; `{r}` is a finding.
    pub(super) result: &'static str,
    /// What the assistant says then.
    pub(super) reply: &'static str,
    /// For a skill with one argument: a request without it, and the question for it.
    pub(super) vague: Option<(&'static str, &'static str)>,
}

const fn skill(
    train: &'static str,
    held_out: &'static str,
    values: &'static [Values],
    result: &'static str,
    reply: &'static str,
) -> Skill {
    Skill {
        asks: Pool { train, held_out },
        values,
        result,
        reply,
        vague: None,
    }
}

impl Skill {
    const fn or_ask(self, vague: &'static str, question: &'static str) -> Self {
        Self {
            vague: Some((vague, question)),
            ..self
        }
    }
}

pub(super) const LIGHT: Skill = skill(
    "Dim the {0} to {1} percent. / Set the light in the {0} to {1} percent. / \
     {0} light to {1} percent, please.",
    "I want the {0} at {1} percent brightness.",
    &[Text(&ROOMS), Number(5, 95)],
    "ok",
    "The light in the {0} is at {1} percent.",
);

pub(super) const MUSIC: Skill = skill(
    "Play {0}. / Put on {0}, please. / I want to hear {0}.",
    "Could we listen to {0}?",
    &[Text(&SONGS)],
    "playing",
    "Now playing {0}.",
)
.or_ask("Play a song.", "Which song?");

pub(super) const WEATHER: Skill = skill(
    "What is the weather in {0}? / How is the weather in {0} today? / Is it raining in {0}?",
    "Tell me the forecast for {0}.",
    &[Text(&CITIES)],
    "{r}",
    "The weather in {0}: {r}.",
)
.or_ask("How is the weather?", "For which city?");

pub(super) const MESSAGE: Skill = skill(
    "Tell {0} that {1}. / Send {0} a message: {1}. / Text {0} that {1}.",
    "Let {0} know that {1}.",
    &[Text(&PEOPLE), Text(&NEWS)],
    "sent",
    "I sent the message to {0}.",
);

pub(super) const SHOPPING: Skill = skill(
    "Put {1} {0} on the shopping list. / We need {1} {0}. / Add {1} {0} to my list.",
    "Please note {1} {0} for shopping.",
    &[Text(&THINGS), Number(2, 30)],
    "added",
    "I added {1} {0} to the list.",
);

pub(super) const EXPENSE: Skill = skill(
    "I spent ${0} on {1}. / Log an expense of ${0} on {1}. / On {1} I spent ${0}. / \
     My lunch on {1} was ${0}.",
    "Taxi on {1}, ${0}.",
    &[Number(5, 300), Date],
    "logged",
    "I logged ${0} for {1}.",
);

pub(super) const TABLE: Skill = skill(
    "Book a table for {0} on {1}. / We are {0} people and come on {1}. / \
     I need a table for {0} people on {1}.",
    "Could you seat {0} of us on {1}?",
    &[Number(2, 16), Date],
    "booked",
    "A table for {0} is booked on {1}.",
);

pub(super) const CANCEL: Skill = skill(
    "Cancel my order. / I don't want my order any more. / Please stop my order. / \
     I changed my mind about the order.",
    "Call off what I ordered.",
    &[],
    "cancelled",
    "Your order is cancelled.",
);

pub(super) const LOCK: Skill = skill(
    "Lock all doors. / Lock the house, please. / I am leaving, lock up. / \
     Make sure that the doors are locked.",
    "Shut the house for the night.",
    &[],
    "locked",
    "All doors are locked.",
);

pub(super) const RIDE: Skill = skill(
    "Get me a {1} to {0}. / I want to go to {0} by {1}. / Book a {1} to {0}. / I need a {1} to {0}.",
    "Take me to {0}, by {1} please.",
    &[Text(&CITIES), Choice(&["taxi", "bus", "train"])],
    "booked",
    "Your {1} to {0} is booked.",
);

pub(super) const HEATING: Skill = skill(
    "Set the heating to {0} degrees. / Make it {0} degrees in here. / \
     Heat the house to {0} degrees.",
    "I would like {0} degrees inside.",
    &[Number(12, 28)],
    "ok",
    "The heating is set to {0} degrees.",
)
.or_ask("Turn on the heating.", "To how many degrees?");

pub(super) const TRANSLATE: Skill = skill(
    "Translate \"{0}\" to {1}. / How do you say \"{0}\" in {1}? / What is \"{0}\" in {1}?",
    "Give me \"{0}\" in {1}.",
    &[Text(&PHRASES), Choice(&["French", "Spanish", "German"])],
    "done, see the screen",
    "You see \"{0}\" in {1} on the screen.",
);

pub(super) const TRACK: Skill = skill(
    "Where is order {0}? / Track order {0}. / When does order {0} arrive? / What about order {0}?",
    "Any news of order {0}?",
    &[Number(1000, 9999)],
    "on its way",
    "Order {0} is on its way.",
)
.or_ask("Where is my order?", "What is the number of the order?");

pub(super) const WEIGHT: Skill = skill(
    "I weighed {0} kg on {1}. / Note my weight of {0} kg on {1}. / On {1} my weight was {0} kg.",
    "The scale said {0} kg on {1}.",
    &[Number(45, 120), Date],
    "noted",
    "I noted {0} kg for {1}.",
);

pub(super) const SICK: Skill = skill(
    "I can't come to work today. I have a fever. / I am ill and stay at home. / \
     I can't work this week. My back hurts. / I caught a cold and can't come in.",
    "I won't be in the office today, I feel sick.",
    &[],
    "reported",
    "I reported you sick. Get well soon!",
);

pub(super) const CALL: Skill = skill(
    "Call {0}. / I want to talk to {0}. / Ring {0} for me. / Phone {0}, please.",
    "Get {0} on the line.",
    &[Text(&PEOPLE)],
    "calling",
    "Calling {0}.",
)
.or_ask("Make a call.", "Whom shall I call?");

pub(super) const RETURN: Skill = skill(
    "I will bring back {0} on {1}. / I can return {0} on {1}. / You get {0} back on {1}, I promise.",
    "Expect {0} back on {1}.",
    &[Text(&TITLES), Date],
    "noted",
    "I noted that you return {0} on {1}.",
);

pub(super) const LOAN: Skill = skill(
    "May I keep {0} for {1} more days? / Extend {0} by {1} days. / I need {0} for another {1} days.",
    "Add {1} days to my loan of {0}.",
    &[Text(&TITLES), Number(2, 30)],
    "extended",
    "You can keep {0} for {1} more days.",
);

pub(super) const LOST_CARD: Skill = skill(
    "I lost my card. / My card is gone. / I can't find my card anywhere. / Somebody stole my card.",
    "My card has disappeared.",
    &[],
    "blocked",
    "Your card is blocked.",
);

pub(super) const SEATS: Skill = skill(
    "Reserve {0} {1} seats. / I would like {0} {1} seats. / {0} seats, {1}, please.",
    "Can I have {0} seats in the {1}?",
    &[Number(2, 12), Choice(&["front", "middle", "back"])],
    "reserved",
    "I reserved {0} {1} seats.",
);

// Skills that stand in no training row.

pub(super) const PARKING: Skill = skill(
    "",
    "Park the car for {0} hours in zone {1}. / I park {0} hours in zone {1}.",
    &[Number(2, 12), Choice(&["A", "B", "C"])],
    "paid",
    "You can park for {0} hours in zone {1}.",
);

pub(super) const WINDOWS: Skill = skill(
    "",
    "Close the windows. / It is getting cold, shut all windows. / Windows shut, please.",
    &[],
    "closed",
    "All windows are closed.",
);

pub(super) const PIZZA: Skill = skill(
    "",
    "I want {0} {1} pizzas. / Order {0} {1} pizzas for us.",
    &[Number(2, 40), Choice(&["small", "medium", "large"])],
    "ordered",
    "I ordered {0} {1} pizzas.",
);

pub(super) const RUN: Skill = skill(
    "",
    "I ran {0} km on {1}. / Note my run of {0} km on {1}.",
    &[Number(3, 30), Date],
    "noted",
    "I noted {0} km for {1}.",
);
