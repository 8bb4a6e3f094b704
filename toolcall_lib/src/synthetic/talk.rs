//! What needs no tool: requests that no tool fits, and small talk. Without such rows a model learns to call always.

use super::draw::{Draw, Pool};
use super::rows::Dialogue;
use super::varied;

/// A request beyond timers and reminders: to a tool of other rows, or to none at all.
pub(super) fn beyond_timers(draw: &mut Draw) -> Dialogue {
    let asked = match draw.chance(2) {
        true => varied::any_request(draw),
        false => draw.of(&BEYOND).into(),
    };
    Dialogue::user(asked).says("Sorry, I have no tool for that. I can set timers and reminders.")
}

/// A request beyond the tools of a row that has other tools than the two above.
pub(super) fn beyond(draw: &mut Draw) -> Dialogue {
    Dialogue::user(draw.of(&BEYOND)).says(NO_TOOL)
}

/// The answer where the tools of a row do not fit.
pub(super) const NO_TOOL: &str = "Sorry, I have no tool for that.";

/// Small talk, and sentences that name a timer or a reminder but ask for none.
pub(super) fn small_talk(draw: &mut Draw) -> Dialogue {
    let pairs: [&[(&str, &str)]; 2] = [&TALK, &HELD_OUT_TALK];
    let (said, answer) = draw.one(draw.part.pick(pairs));
    Dialogue::user(said).says(answer)
}

const BEYOND: Pool = Pool {
    train: "Write a poem about the sea. / Who won the match yesterday? / Order a coffee for me. / \
            What is the capital of France? / Turn the page. / Show me my photos from May. / \
            Draw a picture of a horse. / How tall is Mount Everest? / Book a room in a hotel. / \
            Read me the news. / Take a screenshot. / Find a recipe for pancakes. / Delete my account. / \
            What is on TV tonight? / Sing a song. / Solve this equation: x + 4 = 9. / Print this document. / \
            Recommend a good book. / How do I get to the airport? / Make the text bold. / \
            Tell me a story about a dragon. / Check the price of gold. / Mute the microphone.",
    held_out: "Tell me a joke. / What does an apple cost? / Fix my printer. / Paint the wall blue. / \
               Who wrote Hamlet? / Open the garage. / What is 17 times 23? / Feed my dog for me. / \
               Upload the video. / Buy two tickets for the concert. / Is the shop open on Sunday? / \
               Summarize this article. / Change my password. / Which year is it?",
};

const TALK: [(&str, &str); 20] = [
    ("Hello!", "Hello! What can I do for you?"),
    ("Hi there.", "Hello! What can I do for you?"),
    ("Good morning.", "Good morning! What can I do for you?"),
    ("Thank you!", "You are welcome!"),
    ("Thanks a lot.", "You are welcome!"),
    ("How are you?", "I am fine, thank you. What can I do for you?"),
    ("Who are you?", "I am an assistant that can use tools for you."),
    (
        "Are you a robot?",
        "I am an assistant that can use tools for you.",
    ),
    ("That was very helpful.", "I am glad to hear that!"),
    ("Goodbye.", "Goodbye!"),
    ("See you tomorrow.", "Goodbye!"),
    (
        "I am bored.",
        "I am sorry to hear that. Tell me if I can do something for you.",
    ),
    (
        "I had a long day.",
        "I am sorry to hear that. Tell me if I can do something for you.",
    ),
    ("Never mind.", "All right."),
    ("Wait a moment.", "All right."),
    (
        "What is a timer?",
        "A timer counts down and tells you when the time has passed.",
    ),
    ("I don't like reminders.", "All right."),
    (
        "My train left 10 minutes ago.",
        "I am sorry to hear that. Tell me if I can do something for you.",
    ),
    ("How many seconds are in a minute?", "A minute has 60 seconds."),
    (
        "The meeting took 2 hours.",
        "All right. Tell me if I can do something for you.",
    ),
];

const HELD_OUT_TALK: [(&str, &str); 10] = [
    ("Hey!", "Hello! What can I do for you?"),
    ("Good evening.", "Good evening! What can I do for you?"),
    ("Thanks, that is all.", "You are welcome!"),
    (
        "Nice to meet you.",
        "Nice to meet you, too! What can I do for you?",
    ),
    ("You did that well.", "I am glad to hear that!"),
    (
        "I am tired.",
        "I am sorry to hear that. Tell me if I can do something for you.",
    ),
    ("Forget it.", "All right."),
    (
        "Why do people use reminders?",
        "A reminder tells people in time what they want to do.",
    ),
    (
        "I waited 20 minutes for the bus.",
        "I am sorry to hear that. Tell me if I can do something for you.",
    ),
    (
        "My old timer broke.",
        "I am sorry to hear that. Tell me if I can do something for you.",
    ),
];
