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

pub(super) const ALARM: Skill = skill(
    "Wake me at {0} o'clock. / Set the alarm to {0} o'clock. / I have to get up at {0} o'clock.",
    "I want to be up at {0} o'clock.",
    &[Number(4, 11)],
    "set",
    "The alarm is set to {0} o'clock.",
)
.or_ask("Wake me tomorrow.", "At what time?");

pub(super) const VOLUME: Skill = skill(
    "Set the volume to {0} percent. / Make it louder, {0} percent. / Sound at {0} percent, please.",
    "I want to hear it at {0} percent.",
    &[Number(5, 95)],
    "ok",
    "The volume is at {0} percent.",
)
.or_ask("Change the volume.", "To how many percent?");

pub(super) const CHANNEL: Skill = skill(
    "Switch to channel {0}. / Show channel {0}. / I want to watch channel {0}.",
    "Put channel {0} on.",
    &[Number(1, 99)],
    "ok",
    "You are watching channel {0}.",
)
.or_ask("Turn on the television.", "Which channel?");

pub(super) const VACUUM: Skill = skill(
    "Vacuum the {0}. / The floor in the {0} is dirty. / Clean the floor of the {0}, please.",
    "There are crumbs all over the {0}.",
    &[Text(&ROOMS)],
    "started",
    "The robot cleans the {0}.",
)
.or_ask("Start the robot.", "Which room should it clean?");

pub(super) const ALARM_SYSTEM: Skill = skill(
    "Turn on the alarm system. / Nobody will be home, guard the house. / Arm the house, please. / \
     We are going on holiday, switch the alarm on.",
    "Keep burglars out while I am away.",
    &[],
    "armed",
    "The alarm system is on.",
);

pub(super) const MENU: Skill = skill(
    "What can I eat here today? / Show me the menu. / What is for lunch? / Which dishes do you have?",
    "I am hungry, what do you serve?",
    &[],
    "soup, pasta, salad",
    "Today there is soup, pasta and salad.",
);

pub(super) const REFUND: Skill = skill(
    "I want my ${1} for order {0} back. / Please refund ${1} for order {0}. / Order {0} was broken, give me ${1} back.",
    "You owe me ${1} for order {0}.",
    &[Number(1000, 9999), Number(5, 300)],
    "refunded",
    "We refund ${1} for order {0}.",
);

pub(super) const ADDRESS: Skill = skill(
    "I moved to {0}. / My new address is in {0}. / Please send everything to {0} from now on.",
    "I live in {0} now.",
    &[Text(&CITIES)],
    "changed",
    "Your new address in {0} is noted.",
)
.or_ask("I have a new address.", "Where do you live now?");

pub(super) const MEETING: Skill = skill(
    "Plan a meeting with {0} on {1}. / I meet {0} on {1}. / Put {0} in my calendar on {1}.",
    "{0} and I get together on {1}.",
    &[Text(&PEOPLE), Date],
    "planned",
    "The meeting with {0} is on {1}.",
);

pub(super) const VACATION: Skill = skill(
    "I want {1} days off from {0}. / I take {1} days of vacation from {0}. / From {0} I am away for {1} days.",
    "My holiday begins on {0} and lasts {1} days.",
    &[Date, Number(2, 25)],
    "approved",
    "Your vacation of {1} days begins on {0}.",
);

pub(super) const TRANSFER: Skill = skill(
    "Send ${1} to {0}. / Transfer ${1} to {0}. / I owe {0} ${1}, pay it back.",
    "{0} should get ${1} from me.",
    &[Text(&PEOPLE), Number(5, 400)],
    "sent",
    "I sent ${1} to {0}.",
);

pub(super) const BALANCE: Skill = skill(
    "How much money do I have? / What is in my account? / Show my balance. / Am I out of money?",
    "Can I still afford something?",
    &[],
    "$840",
    "You have $840 in your account.",
);

pub(super) const TECHNICIAN: Skill = skill(
    "My internet does not work. / The connection is down. / I have no signal at home. / \
     The router blinks red and I am offline.",
    "Nothing loads any more, the line is dead.",
    &[],
    "on the way",
    "A technician is on the way.",
);

pub(super) const PLAN: Skill = skill(
    "I want the {0} plan. / Change my plan to {0}. / Switch me to {0}.",
    "Put me on {0}.",
    &[Choice(&["basic", "family", "premium"])],
    "changed",
    "You have the {0} plan now.",
)
.or_ask("I want another plan.", "Which one: basic, family or premium?");

pub(super) const DOCTOR: Skill = skill(
    "I need to see the {0} on {1}. / Get me an appointment with the {0} on {1}. / Can the {0} see me on {1}?",
    "Is there room at the {0} on {1}?",
    &[Choice(&["dentist", "surgeon", "optician"]), Date],
    "booked",
    "Your appointment with the {0} is on {1}.",
);

pub(super) const PRESCRIPTION: Skill = skill(
    "I have run out of pills. / I need my medicine again. / Renew my prescription. / My tablets are almost gone.",
    "The bottle with my pills is empty.",
    &[],
    "renewed",
    "Your prescription is renewed.",
);

pub(super) const SPLIT: Skill = skill(
    "Split ${0} between {1} people. / {1} of us share ${0}. / Divide the bill of ${0} by {1}.",
    "We are {1} and the bill is ${0}.",
    &[Number(20, 400), Number(2, 12)],
    "done",
    "The bill of ${0} is split between {1} people.",
);

pub(super) const STEPS: Skill = skill(
    "I walked {0} steps today. / Note {0} steps. / My watch says {0} steps.",
    "{0} steps are done.",
    &[Number(1000, 9999)],
    "noted",
    "I noted {0} steps.",
)
.or_ask("Note my steps.", "How many?");

pub(super) const RETURNED: Skill = skill(
    "I brought back {0} on {1}. / I returned {0} on {1}. / {0} has been on your desk since {1}.",
    "You have had {0} again since {1}.",
    &[Text(&TITLES), Date],
    "noted",
    "I noted that you returned {0} on {1}.",
);

pub(super) const WORKED: Skill = skill(
    "I worked {0} hours on {1}. / On {1} I was here for {0} hours. / Note {0} hours of work for {1}.",
    "It took me {0} hours on {1}.",
    &[Number(2, 12), Date],
    "noted",
    "I noted {0} hours for {1}.",
);

pub(super) const SHIFT: Skill = skill(
    "I can work {0} hours on {1}. / I am free to work on {1}, for {0} hours. / Give me a shift of {0} hours on {1}.",
    "You can have me for {0} hours on {1}.",
    &[Number(2, 12), Date],
    "planned",
    "Your shift of {0} hours on {1} is planned.",
);

pub(super) const ARRIVED: Skill = skill(
    "Order {0} came on {1}. / I got order {0} on {1}. / Order {0} has been here since {1}.",
    "The postman brought order {0} on {1}.",
    &[Number(1000, 9999), Date],
    "noted",
    "I noted that order {0} came on {1}.",
);

pub(super) const DELIVER: Skill = skill(
    "Bring me order {0} on {1}. / I am at home on {1}, send order {0} then. / Order {0} should come on {1}.",
    "I can take order {0} in on {1}.",
    &[Number(1000, 9999), Date],
    "planned",
    "Order {0} will come on {1}.",
);

pub(super) const SAVE: Skill = skill(
    "I want to put ${0} aside on {1}. / Save ${0} for me on {1}. / On {1} move ${0} to my savings.",
    "Keep ${0} back for me on {1}.",
    &[Number(5, 400), Date],
    "planned",
    "I will put ${0} aside on {1}.",
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
