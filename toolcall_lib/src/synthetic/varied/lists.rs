//! Lists of tools for the varied rows: skills under several names, in several styles, mixed anew for every list.

use super::skills::*;
use super::values::Values;
use crate::error::Result;
use crate::synthetic::draw::{Draw, Part};
use crate::synthetic::rows::{schema, upper};
use crate::tool::ToolSchema;
use rand::seq::{IndexedRandom, SliceRandom};

/// A skill under a name.
pub(super) struct Named {
    /// In words that are joined by `_`.
    name: &'static str,
    description: &'static str,
    /// `name: description` of each argument, separated by ` / `.
    arguments: &'static str,
    skill: Skill,
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

/// How the names of a list are written.
#[derive(Clone, Copy)]
pub(super) enum Style {
    /// `set_light(room_name)`
    Snake,
    /// `setLight(roomName)`
    Camel,
    /// `Set_Light(roomName)`
    Title,
}

pub(super) const STYLES: [Style; 3] = [Style::Snake, Style::Camel, Style::Title];

impl Style {
    fn tool(self, name: &str) -> String {
        match self {
            Self::Title => name.split('_').map(upper).collect::<Vec<_>>().join("_"),
            Self::Snake | Self::Camel => self.argument(name),
        }
    }

    fn argument(self, name: &str) -> String {
        match self {
            Self::Snake => name.into(),
            Self::Camel | Self::Title => {
                let (first, rest) = name.split_once('_').unwrap_or((name, ""));
                std::iter::once(first.into())
                    .chain(rest.split('_').map(upper))
                    .collect()
            }
        }
    }
}

/// What the names of a list share beside their style.
#[derive(Clone, Copy, Default)]
pub(super) struct Affixes {
    /// Before the name of a tool.
    tool: &'static str,
    /// Before and after the name of an argument.
    argument: [&'static str; 2],
}

impl Affixes {
    fn draw(draw: &mut Draw) -> Self {
        Self {
            tool: draw.one(&[
                "", "", "", "app_", "my_", "do_", "user_", "service_", "auto_", "run_",
            ]),
            argument: draw.one(&[
                ["", ""],
                ["", ""],
                ["", ""],
                ["the_", ""],
                ["new_", ""],
                ["given_", ""],
                ["input_", ""],
                ["user_", ""],
                ["", "_value"],
                ["", "_info"],
                ["", "_field"],
                ["", "_input"],
            ]),
        }
    }
}

/// A tool as it stands in a list.
pub(super) struct Listed {
    pub(super) name: String,
    /// Names of the arguments, in the order of the skill's values.
    pub(super) arguments: Vec<String>,
    pub(super) schema: ToolSchema,
    pub(super) skill: &'static Skill,
}

impl Listed {
    fn new(named: &'static Named, style: Style, affixes: Affixes) -> Result<Self> {
        let name = style.tool(&format!("{}{}", affixes.tool, named.name));
        let [before, after] = affixes.argument;
        let (arguments, texts): (Vec<String>, Vec<&str>) = named
            .arguments
            .split(" / ")
            .filter_map(|argument| argument.split_once(": "))
            .map(|(name, text)| (style.argument(&format!("{before}{name}{after}")), text))
            .unzip();
        let kinds: Vec<String> = named.skill.values.iter().map(Values::kind).collect();
        let described: Vec<(&str, &str, &str)> = arguments
            .iter()
            .zip(&kinds)
            .zip(texts)
            .map(|((name, kind), text)| (name.as_str(), kind.as_str(), text))
            .collect();
        Ok(Self {
            schema: schema(&name, named.description, &described)?,
            name,
            arguments,
            skill: &named.skill,
        })
    }
}

/// These tools in this style.
pub(super) fn list(tools: &'static [Named], style: Style) -> Result<Vec<Listed>> {
    let listed = |named| Listed::new(named, style, Affixes::default());
    tools.iter().map(listed).collect()
}

/// A list of tools of different skills: 2 to 5 in a training row, 3 or 4 in a held-out one. Most lists are about one thing, so
/// that one must read what their tools do and not only what they are about.
pub(super) fn draw_list(draw: &mut Draw) -> Result<Vec<Listed>> {
    let (size, mixed) = match draw.part {
        Part::Train => (2 + draw.index(4), draw.chance(3)),
        Part::HeldOut => (3 + draw.index(2), draw.chance(2)),
    };
    let domains = match mixed {
        true => &DOMAINS[..],
        false => DOMAINS
            .choose(&mut draw.rng)
            .map_or(&[][..], std::slice::from_ref),
    };
    let style = *STYLES.choose(&mut draw.rng).unwrap_or(&Style::Snake);
    let affixes = match draw.part {
        Part::Train => Affixes::draw(draw),
        Part::HeldOut => Affixes::default(),
    };
    let mut order: Vec<&'static Named> = domains.iter().copied().flatten().collect();
    order.shuffle(&mut draw.rng);
    let mut chosen: Vec<Listed> = Vec::new();
    for named in order {
        if chosen.len() < size && !offers(&chosen, &named.skill) {
            chosen.push(Listed::new(named, style, affixes)?);
        }
    }
    Ok(chosen)
}

/// One of the tools does this.
pub(super) fn offers(list: &[Listed], skill: &Skill) -> bool {
    list.iter().any(|listed| listed.skill.reply == skill.reply)
}

/// A skill of any list.
pub(super) fn any_skill(draw: &mut Draw) -> &'static Skill {
    let domain = DOMAINS[draw.index(DOMAINS.len())];
    &domain[draw.index(domain.len())].skill
}

/// The tools of the training rows, by what they are about. Held-out rows use them in lists of their own, with values and
/// wordings of their own.
const DOMAINS: [&[Named]; 8] = [HOME, MEDIA, ORDERS, OFFICE, LIBRARY, MONEY, HEALTH, TRAVEL];

const HOME: &[Named] = &[
    named(
        "set_light",
        "Set the light in a room.",
        "room: The room. / level: Brightness in percent.",
        LIGHT,
    ),
    named(
        "brightness",
        "Make a room bright or dark.",
        "place: Which room. / percent: From 0 to 100.",
        LIGHT,
    ),
    named("lock_doors", "Lock all doors of the house.", "", LOCK),
    named("leave_house", "Close the house when everybody leaves.", "", LOCK),
    named(
        "set_heating",
        "Heat the house.",
        "degrees: Temperature in degrees.",
        HEATING,
    ),
    named(
        "warm_up",
        "Make the rooms warmer or colder.",
        "target_temperature: Degrees.",
        HEATING,
    ),
    named(
        "vacuum",
        "Send the robot to clean a floor.",
        "where: The room.",
        VACUUM,
    ),
    named(
        "clean_floor",
        "Clean a dirty floor.",
        "room_name: The room.",
        VACUUM,
    ),
    named("arm_house", "Guard the empty house.", "", ALARM_SYSTEM),
    named(
        "add_item",
        "Put something on the list.",
        "item_name: What to buy. / item_count: How many.",
        SHOPPING,
    ),
    named(
        "buy_later",
        "Note what to buy.",
        "thing: What to buy. / amount: How many.",
        SHOPPING,
    ),
];

const MEDIA: &[Named] = &[
    named("play_music", "Play a song.", "title: Title of the song.", MUSIC),
    named(
        "listen",
        "Start a song on the phone.",
        "song_name: Name of the song.",
        MUSIC,
    ),
    named(
        "set_volume",
        "Set how loud it is.",
        "loudness: In percent.",
        VOLUME,
    ),
    named(
        "show_channel",
        "Choose what is on television.",
        "channel_number: Number of the channel.",
        CHANNEL,
    ),
    named("wake_up", "Set the alarm clock.", "hour: The hour.", ALARM),
    named(
        "morning_alarm",
        "Ring in the morning.",
        "alarm_hour: Hour at which it rings.",
        ALARM,
    ),
    named(
        "send_message",
        "Send a message.",
        "recipient: Who gets it. / message: What it says.",
        MESSAGE,
    ),
    named(
        "text_person",
        "Write to somebody.",
        "to: Who gets it. / body: The text.",
        MESSAGE,
    ),
    named(
        "call_person",
        "Call a person by phone.",
        "person_name: Whom to call.",
        CALL,
    ),
    named("dial", "Ring somebody.", "contact: Whom to ring.", CALL),
    named(
        "send_technician",
        "The line of the customer is broken.",
        "",
        TECHNICIAN,
    ),
    named("repair_line", "The internet at home is down.", "", TECHNICIAN),
    named(
        "change_plan",
        "Give the customer another plan.",
        "plan_name: The new plan.",
        PLAN,
    ),
];

const ORDERS: &[Named] = &[
    named(
        "cancel_order",
        "The customer no longer wants the order.",
        "",
        CANCEL,
    ),
    named("abort_order", "Stop an order that was made.", "", CANCEL),
    named(
        "track_order",
        "Tell where an order is.",
        "order_number: Number of the order.",
        TRACK,
    ),
    named(
        "find_parcel",
        "Look up an order that has not arrived.",
        "order: The order's number.",
        TRACK,
    ),
    named(
        "refund",
        "Give the customer money back.",
        "order_id: Number of the order. / refund_amount: Whole dollars.",
        REFUND,
    ),
    named(
        "change_address",
        "The customer lives in another place.",
        "new_city: The city.",
        ADDRESS,
    ),
    named(
        "customer_moved",
        "Note that a customer moved.",
        "moved_to: Name of the city.",
        ADDRESS,
    ),
    named(
        "order_arrived",
        "The customer already has the order.",
        "order_id: Number of the order. / arrival_date: The day, YYYY-MM-DD.",
        ARRIVED,
    ),
    named(
        "deliver_on",
        "The customer chooses the day on which an order comes.",
        "order_number: Number of the order. / delivery_date: The day, YYYY-MM-DD.",
        DELIVER,
    ),
    named(
        "delivery_day",
        "Bring an order later.",
        "which_order: Its number. / new_date: The day, YYYY-MM-DD.",
        DELIVER,
    ),
];

const OFFICE: &[Named] = &[
    named("report_sick", "The employee is ill and cannot work.", "", SICK),
    named(
        "stay_home",
        "Somebody is not well enough to come to work.",
        "",
        SICK,
    ),
    named(
        "request_vacation",
        "The employee wants to be off.",
        "first_day: YYYY-MM-DD. / day_count: How many days.",
        VACATION,
    ),
    named(
        "take_leave",
        "Enter days without work.",
        "leave_start: First day, YYYY-MM-DD. / leave_days: Number of days.",
        VACATION,
    ),
    named(
        "log_hours",
        "The employee has worked.",
        "hours_worked: How many hours. / work_date: The day, YYYY-MM-DD.",
        WORKED,
    ),
    named(
        "work_done",
        "Keep the hours of a day that is over.",
        "hours: How many. / date: YYYY-MM-DD.",
        WORKED,
    ),
    named(
        "offer_shift",
        "The employee can work on a day that comes.",
        "shift_hours: How many hours. / shift_date: The day, YYYY-MM-DD.",
        SHIFT,
    ),
    named(
        "plan_work",
        "Plan the hours of a coming day.",
        "hour_count: How many. / work_day: YYYY-MM-DD.",
        SHIFT,
    ),
    named(
        "plan_meeting",
        "Plan a meeting.",
        "with_person: Whom to meet. / meeting_date: The day, YYYY-MM-DD.",
        MEETING,
    ),
];

const LIBRARY: &[Named] = &[
    named(
        "return_book",
        "The reader says when a book comes back.",
        "book_title: Title of the book. / return_date: The day, YYYY-MM-DD.",
        RETURN,
    ),
    named(
        "book_is_back",
        "The reader has already returned a book.",
        "book_name: Title of the book. / returned_on: The day, YYYY-MM-DD.",
        RETURNED,
    ),
    named(
        "note_return",
        "Note a book that was brought back.",
        "title: The book. / day: The day, YYYY-MM-DD.",
        RETURNED,
    ),
    named(
        "extend_loan",
        "Lend a book longer.",
        "loan_title: Title of the book. / extra_days: Days to add.",
        LOAN,
    ),
    named("block_card", "The card is lost or stolen.", "", LOST_CARD),
    named("card_missing", "Make a lost card useless.", "", LOST_CARD),
    named(
        "reserve_seats",
        "Reserve seats for a show.",
        "seat_count: How many. / seat_row: Where they are.",
        SEATS,
    ),
    named(
        "reading_room",
        "Reserve places to sit.",
        "places: How many. / area: Part of the room.",
        SEATS,
    ),
];

const MONEY: &[Named] = &[
    named(
        "log_expense",
        "The employee spent money.",
        "expense_amount: Amount in whole dollars. / expense_date: Day of the expense, YYYY-MM-DD.",
        EXPENSE,
    ),
    named(
        "write_expense",
        "Keep what was spent.",
        "dollars: Whole dollars. / spent_on: The day, YYYY-MM-DD.",
        EXPENSE,
    ),
    named(
        "money_spent",
        "The user has already paid for something.",
        "spent_amount: Whole dollars. / spent_date: The day, YYYY-MM-DD.",
        EXPENSE,
    ),
    named(
        "transfer_money",
        "Send money to a person.",
        "receiver: Who gets it. / dollars: Whole dollars.",
        TRANSFER,
    ),
    named(
        "give_money",
        "Pay somebody back.",
        "to_person: The person. / sum: Whole dollars.",
        TRANSFER,
    ),
    named("account_balance", "Tell how much money is left.", "", BALANCE),
    named(
        "split_bill",
        "Share a bill.",
        "bill_amount: Whole dollars. / person_count: How many share it.",
        SPLIT,
    ),
    named(
        "save_money",
        "Put money aside on a later day.",
        "save_amount: Whole dollars. / save_date: The day, YYYY-MM-DD.",
        SAVE,
    ),
];

const HEALTH: &[Named] = &[
    named(
        "record_weight",
        "Keep a weight.",
        "kilograms: The weight. / day: Day of weighing, YYYY-MM-DD.",
        WEIGHT,
    ),
    named(
        "scale",
        "Note what somebody weighs.",
        "weight_in_kg: Kilograms. / weighing_date: The day, YYYY-MM-DD.",
        WEIGHT,
    ),
    named(
        "count_steps",
        "Note how far somebody walked.",
        "step_count: Number of steps.",
        STEPS,
    ),
    named("log_walk", "Keep the steps of a day.", "steps: How many.", STEPS),
    named(
        "doctor_visit",
        "Make an appointment.",
        "doctor: Which doctor. / visit_date: The day, YYYY-MM-DD.",
        DOCTOR,
    ),
    named(
        "see_doctor",
        "Find a free day at a doctor.",
        "kind_of_doctor: Which one. / on_date: YYYY-MM-DD.",
        DOCTOR,
    ),
    named(
        "renew_prescription",
        "The patient needs the medicine again.",
        "",
        PRESCRIPTION,
    ),
];

const TRAVEL: &[Named] = &[
    named(
        "get_weather",
        "Current weather of a city.",
        "city: Name of the city.",
        WEATHER,
    ),
    named(
        "forecast",
        "Tell the weather of a place.",
        "location: The place.",
        WEATHER,
    ),
    named(
        "book_ride",
        "Book a ride to a city.",
        "destination: The city. / vehicle: How to go there.",
        RIDE,
    ),
    named(
        "go_to",
        "Order a vehicle.",
        "city: Where to. / by: Which vehicle.",
        RIDE,
    ),
    named(
        "translate_text",
        "Translate a text.",
        "text: The text. / language: Language to translate to.",
        TRANSLATE,
    ),
    named(
        "dictionary",
        "Say words in another language.",
        "words: What to say. / in_language: The other language.",
        TRANSLATE,
    ),
    named(
        "book_table",
        "Book a table.",
        "guest_count: Number of guests. / table_date: The day, YYYY-MM-DD.",
        TABLE,
    ),
    named(
        "dinner",
        "Reserve a table to eat.",
        "people: How many come. / day: The day, YYYY-MM-DD.",
        TABLE,
    ),
    named("show_menu", "Tell what there is to eat.", "", MENU),
    named(
        "dishes_today",
        "The dishes that the kitchen makes today.",
        "",
        MENU,
    ),
];

/// Tools that stand in no training row.
pub(super) const UNSEEN: &[Named] = &[
    named(
        "park_car",
        "Pay for a parking place.",
        "parking_hours: Hours to park. / parking_zone: The zone.",
        PARKING,
    ),
    named("close_windows", "Close all windows of the house.", "", WINDOWS),
    named(
        "order_pizza",
        "Order pizza.",
        "pizza_count: How many. / pizza_size: The size.",
        PIZZA,
    ),
    named(
        "log_run",
        "Keep how far the user ran.",
        "distance: Kilometers. / run_date: The day, YYYY-MM-DD.",
        RUN,
    ),
];
