//! What people say to the timer and reminder tools: wordings to train on, and others that are held out.

use crate::synthetic::draw::Pool;

pub(super) const NOTES: Pool = Pool {
    train: "water the plants / feed the cat / buy milk / call the dentist / walk the dog / pay the rent / \
            send the report / pick up the kids / take out the trash / charge the phone / book a flight / \
            clean the kitchen / return the library book / check the mail / do the laundry / call Anna / \
            visit grandpa / renew the passport / start the dishwasher / read the contract / bake a cake / \
            lock the back door / order new shoes / back up the laptop / write to Tom / meet Julia for lunch",
    held_out: "feed the fish / call the bank / buy bread / iron the shirts / sign the form / wash the car / \
               email Peter / turn off the heater / fetch the parcel / practice the piano",
};

pub(super) const TIMER_WORDINGS: Pool = Pool {
    train: "Start a timer for {span}. / Please set a timer for {span}. / Set a {adjective} timer. / \
            Can you start a {adjective} timer? / I need a timer for {span}. / Timer for {span}, please. / \
            Time {span} for me. / Let me know when {span} have passed. / Count down {span}. / \
            Could you set a timer to {span}? / A {adjective} timer, please. / Run a timer of {span}.",
    held_out: "Put {span} on the clock, please. / Could you time {span} for my tea? / Tell me when {span} are over. / \
               I would like a {adjective} countdown. / Give me {span}, starting now.",
};

pub(super) const REMINDER_WORDINGS: Pool = Pool {
    train: "please remind me to {note} {when}. / {when}, remind me to {note}. / set a reminder to {note} {when}. / \
            I need a reminder to {note} {when}. / create a reminder {when}: {note}. / \
            can you remind me to {note} {when}? / remind me {when} to {note}. / \
            could you set a reminder {when} to {note}? / help me remember to {note} {when}. / \
            tell me {when} to {note}. / let me know {when} that I have to {note}.",
    held_out: "don't let me forget to {note} {when}. / make sure that I {note} {when}. / \
               ping me {when} so that I {note}. / I want to be reminded {when} to {note}.",
};

/// `{a}`, `{b}` and `{c}` are durations; `{note}` and `{other}` are what to remind of, with its time.
pub(super) const SEVERAL: Pool = Pool {
    train: "Set a timer for {a} and another one for {b}. / Set 2 timers, {a} and {b}. / \
            Set 3 timers: {a}, {b} and {c}. / Set a timer for {a} and remind me to {note}. / \
            Start a timer for {a}. Also remind me to {note}. / Remind me to {note} and to {other}.",
    held_out: "I need two timers, one for {a} and one for {b}. / Please start timers for {a}, {b} and {c}. / \
               Two things: a timer for {a}, and a reminder to {note}. / \
               Set reminders to {note} and to {other}.",
};

pub(super) const CHAINS: Pool = Pool {
    train: "Set a timer for {span} and remind me to {note} when it ends. / \
            Start a timer for {span}. When it is over, remind me to {note}.",
    held_out: "I need a timer for {span}, and at its end a reminder to {note}.",
};

pub(super) const BARE_TIMERS: Pool = Pool {
    train: "Set a timer. / Start a timer, please. / I need a timer. / Can you set a timer for me?",
    held_out: "A timer, please. / Could you start the timer?",
};

pub(super) const SPAN_ANSWERS: Pool = Pool {
    train: "{span}. / For {span}. / {span}, please. / Make it {span}.",
    held_out: "Let it run for {span}.",
};

pub(super) const BARE_REMINDERS: Pool = Pool {
    train: "Remind me to {note}. / Please remind me to {note}. / Set a reminder to {note}. / \
            I need a reminder to {note}. / Can you remind me to {note}? / Help me remember to {note}.",
    held_out: "I need to be reminded to {note}.",
};

pub(super) const REMINDERS_WITHOUT_NOTE: Pool = Pool {
    train: "Remind me {when}. / Set a reminder {when}. / I need a reminder {when}. / \
            Can you remind me {when}? / Please create a reminder {when}.",
    held_out: "Could I get a reminder {when}?",
};

pub(super) const FOLLOW_UPS: Pool = Pool {
    train: "And another one for {span}. / Now one for {span}, please. / Also set one for {span}.",
    held_out: "One more, for {span}.",
};

pub(super) const PLANS: Pool = Pool {
    train: "I have to {note} {when}. / I must not forget to {note} {when}. / I should {note} {when}. / \
            I want to {note} {when}. / My plan is to {note} {when}.",
    held_out: "I am supposed to {note} {when}.",
};

pub(super) const YES: Pool = Pool {
    train: "Yes, please. / Yes. / Sure.",
    held_out: "Please do.",
};
pub(super) const NO: Pool = Pool {
    train: "No, thanks. / No.",
    held_out: "Not needed.",
};

pub(super) const TIMER_ERRORS: Pool = Pool {
    train: "too many timers are running / the timer service does not answer / the sound is off",
    held_out: "the battery is too low",
};

pub(super) const NO_DURATIONS: Pool = Pool {
    train: "Set a timer for 0 seconds. / Start a timer for 0 minutes. / Set a timer for -{n} minutes. / \
            Start a timer for minus {n} seconds. / Set a -{n} second timer. / Timer for zero minutes, please.",
    held_out: "Set a timer for 0 hours. / Start a -{n} minute timer. / I need a timer for minus {n} minutes.",
};
