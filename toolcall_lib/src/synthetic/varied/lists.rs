//! Lists of tools for the varied rows: the same skills under different names, in different styles.

use super::skills::*;
use super::values::Values;
use crate::error::Result;
use crate::synthetic::rows::schema;
use crate::tool::ToolSchema;

/// A skill under the name that it has in a list of tools.
pub(super) struct Named {
    pub(super) name: &'static str,
    description: &'static str,
    /// `name: description` of each argument, separated by ` / `.
    arguments: &'static str,
    pub(super) skill: Skill,
}

impl Named {
    /// Names and descriptions of the arguments, in the order of the skill's values.
    pub(super) fn arguments(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.arguments
            .split(" / ")
            .filter_map(|argument| argument.split_once(": "))
    }

    pub(super) fn schema(&self) -> Result<ToolSchema> {
        let kinds: Vec<String> = self.skill.values.iter().map(Values::kind).collect();
        let arguments = self
            .arguments()
            .zip(&kinds)
            .map(|((name, text), kind)| (name, kind.as_str(), text));
        schema(self.name, self.description, &arguments.collect::<Vec<_>>())
    }
}

const fn named(
    name: &'static str,
    description: &'static str,
    arguments: &'static str,
    skill: Skill,
) -> Named {
    Named {
        name,
        description,
        arguments,
        skill,
    }
}

const HOME: &[Named] = &[
    named(
        "set_light",
        "Set the light in a room.",
        "room: The room. / level: Brightness in percent.",
        LIGHT,
    ),
    named("play_music", "Play a song.", "title: Title of the song.", MUSIC),
    named("lock_doors", "Lock all doors of the house.", "", LOCK),
    named(
        "set_heating",
        "Heat the house.",
        "degrees: Temperature in degrees.",
        HEATING,
    ),
];

const SHOP: &[Named] = &[
    named(
        "Cancel_Order",
        "The customer no longer wants the order.",
        "",
        CANCEL,
    ),
    named(
        "Track_Order",
        "Tell where an order is.",
        "orderNumber: Number of the order.",
        TRACK,
    ),
    named(
        "Add_Item",
        "Put something on the list.",
        "itemName: What to buy. / itemCount: How many.",
        SHOPPING,
    ),
    named(
        "Reserve_Seats",
        "Reserve seats for a show.",
        "seatCount: How many. / seatRow: Where they are.",
        SEATS,
    ),
];

const TRAVEL: &[Named] = &[
    named(
        "getWeather",
        "Current weather of a city.",
        "city: Name of the city.",
        WEATHER,
    ),
    named(
        "bookRide",
        "Book a ride to a city.",
        "destination: The city. / vehicle: How to go there.",
        RIDE,
    ),
    named(
        "translateText",
        "Translate a text.",
        "text: The text. / language: Language to translate to.",
        TRANSLATE,
    ),
    named(
        "sendMessage",
        "Send a message.",
        "recipient: Who gets it. / message: What it says.",
        MESSAGE,
    ),
];

const OFFICE: &[Named] = &[
    named("Report_Sick", "The employee is ill and cannot work.", "", SICK),
    named(
        "Log_Expense",
        "The employee spent money.",
        "expenseAmount: Amount in whole dollars. / expenseDate: Day of the expense, YYYY-MM-DD.",
        EXPENSE,
    ),
    named(
        "Call_Person",
        "Call a person by phone.",
        "personName: Whom to call.",
        CALL,
    ),
    named(
        "Book_Table",
        "Book a table.",
        "guestCount: Number of guests. / tableDate: The day, YYYY-MM-DD.",
        TABLE,
    ),
];

const LIBRARY: &[Named] = &[
    named(
        "Return_Book",
        "The reader says when a book comes back.",
        "bookTitle: Title of the book. / returnDate: The day, YYYY-MM-DD.",
        RETURN,
    ),
    named(
        "Extend_Loan",
        "Lend a book longer.",
        "loanTitle: Title of the book. / extraDays: Days to add.",
        LOAN,
    ),
    named(
        "Block_Card",
        "The reader's card is lost or stolen.",
        "",
        LOST_CARD,
    ),
    named(
        "Reading_Room",
        "Reserve seats to read.",
        "seats: How many. / area: Part of the room.",
        SEATS,
    ),
];

const PHONE: &[Named] = &[
    named(
        "brightness",
        "Make a room bright or dark.",
        "place: Which room. / percent: From 0 to 100.",
        LIGHT,
    ),
    named(
        "recordWeight",
        "Keep a weight.",
        "kilograms: The weight. / day: Day of weighing, YYYY-MM-DD.",
        WEIGHT,
    ),
    named(
        "listen",
        "Start a song on the phone.",
        "song: Name of the song.",
        MUSIC,
    ),
    named("dial", "Ring somebody.", "contact: Whom to ring.", CALL),
];

const DESK: &[Named] = &[
    named(
        "forecast",
        "Tell the weather of a place.",
        "location: The place.",
        WEATHER,
    ),
    named("abort_order", "Stop an order that was made.", "", CANCEL),
    named(
        "write_expense",
        "Keep what was spent.",
        "dollars: Whole dollars. / spent_on: The day, YYYY-MM-DD.",
        EXPENSE,
    ),
    named(
        "go_to",
        "Order a vehicle.",
        "city: Where to. / by: Which vehicle.",
        RIDE,
    ),
];

/// The lists of the training rows. Held-out rows use them with values and wordings of their own.
pub(super) const LISTS: [&[Named]; 7] = [HOME, SHOP, TRAVEL, OFFICE, LIBRARY, PHONE, DESK];

/// Tools beside the timer and the reminder in one more list.
pub(super) const BESIDE_TIMERS: &[Named] = &[
    named(
        "text_person",
        "Send a text message.",
        "to: Who gets it. / body: The message.",
        MESSAGE,
    ),
    named(
        "buy_later",
        "Note what to buy.",
        "thing: What to buy. / amount: How many.",
        SHOPPING,
    ),
];

/// Tools that stand in no training row.
pub(super) const UNSEEN: &[Named] = &[
    named(
        "Park_Car",
        "Pay for a parking place.",
        "parkingHours: Hours to park. / parkingZone: The zone.",
        PARKING,
    ),
    named("closeWindows", "Close all windows of the house.", "", WINDOWS),
    named(
        "Order_Pizza",
        "Order pizza.",
        "pizzaCount: How many. / pizzaSize: The size.",
        PIZZA,
    ),
    named(
        "log_run",
        "Keep how far the user ran.",
        "distance: Kilometers. / run_date: The day, YYYY-MM-DD.",
        RUN,
    ),
];
