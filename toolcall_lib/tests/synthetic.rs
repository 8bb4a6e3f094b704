//! The data engine: its lists, the rows it makes, and that they contain nothing that is held out.

mod augment;

use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use toolcall_lib::dataset::Dataset;
use toolcall_lib::synthetic::{Lists, SEED, make, make_part};
use toolcall_lib::{Conversation, Role, ToolCall};

const HELD_OUT: [&str; 3] = [
    "tool_heldout.json",
    "varied_heldout.json",
    "customer_heldout.json",
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../data")
}

fn lists() -> Lists {
    Lists::embedded().unwrap()
}

fn held_out() -> Vec<Conversation> {
    let load = |name: &str| Dataset::load(folder().join(name)).unwrap().rows;
    HELD_OUT.into_iter().flat_map(load).collect()
}

/// Rows by an author who did not know the lists, and those of the example of `augment`.
fn fresh() -> Vec<Conversation> {
    let files = ["fresh/timers", "fresh/varied", "fresh/customers", "own/heldout"];
    let load = |name: &str| Dataset::load(folder().join(format!("{name}.json"))).unwrap().rows;
    files.into_iter().flat_map(load).collect()
}

/// Rows of every mixture, two thousand of each.
fn made() -> Vec<Conversation> {
    let lists = lists();
    let mixtures = ["default", "customers", "general"];
    let rows = mixtures.map(|mixture| make(&lists, mixture, Some(2000), 7).unwrap().data.rows);
    rows.concat()
}

/// Rows of the training files.
fn training() -> Vec<Conversation> {
    let files = [
        "tool_augmented_dataset.json",
        "tool_varied_dataset.json",
        "customer_tool_augmented_dataset.json",
    ];
    let load = |name: &str| Dataset::load(folder().join(name)).unwrap().rows;
    files.into_iter().flat_map(load).collect()
}

fn user_texts(rows: &[Conversation]) -> HashSet<&str> {
    let messages = rows.iter().flat_map(|row| &row.messages);
    let users = messages.filter(|message| message.role == Role::User);
    users.map(|message| message.content.as_str()).collect()
}

/// All values that calls give to an argument.
fn values<'a>(rows: &'a [Conversation], argument: &str) -> HashSet<&'a Value> {
    let messages = rows.iter().flat_map(|row| &row.messages);
    let calls = messages.flat_map(|message| &message.tool_calls);
    calls.filter_map(|call| call.arguments.get(argument)).collect()
}

#[test]
fn the_lists_in_the_repository_are_those_in_the_library() {
    let (read, embedded) = (Lists::load(folder().join("lists")).unwrap(), lists());
    let rows = |lists: &Lists| make(lists, "default", Some(300), SEED).unwrap().data.rows;
    assert_eq!(rows(&read), rows(&embedded));
}

#[test]
fn a_seed_makes_the_same_rows_and_another_one_others() {
    let lists = lists();
    let rows = |seed| make(&lists, "default", Some(203), seed).unwrap().data.rows;
    assert_eq!(rows(1).len(), 203);
    assert_eq!(rows(1), rows(1));
    assert_ne!(rows(1), rows(2));
}

#[test]
fn rows_are_what_a_data_file_may_hold() {
    let rows = made();
    let file = tempfile::tempdir().unwrap();
    let path = file.path().join("made.json");
    Dataset::from(rows.clone()).save(&path).unwrap();
    let read = Dataset::load(&path).unwrap(); // checks roles, calls and arguments
    assert_eq!(read.rows, rows);
}

#[test]
fn made_rows_share_no_sentence_of_the_user_with_held_out_ones() {
    let (made, held_out) = ([made(), training()].concat(), held_out());
    let (made, held_out) = (user_texts(&made), user_texts(&held_out));
    let shared: Vec<_> = made.intersection(&held_out).collect();
    assert!(shared.is_empty(), "{shared:?}");
}

#[test]
fn made_rows_share_no_longer_sentence_with_the_fresh_files() {
    let (made, fresh) = (made(), fresh());
    let (made, fresh) = (user_texts(&made), user_texts(&fresh));
    let shared = made
        .intersection(&fresh)
        .filter(|text| text.split(' ').count() > 3); // not `Good morning`
    let shared: Vec<_> = shared.collect();
    assert!(shared.is_empty(), "{shared:?}");
}

/// The wording of a request: small letters, `_` for what the calls of its row take from it, numbers
/// and units.
fn wording(text: &str, taken: &[String]) -> String {
    let text = text.to_lowercase();
    let text = taken.iter().fold(text, |text, value| text.replace(value, "_"));
    let mut words: Vec<&str> = Vec::new();
    for word in text.split_whitespace() {
        let bare = word.trim_matches(|sign: char| !sign.is_alphanumeric() && sign != '_');
        match bare {
            "" | "please" | "and" | "am" | "pm" | "percent" => {}
            _ if UNITS.contains(&bare.trim_end_matches('s')) => {}
            _ if word.contains(|letter: char| letter.is_ascii_digit() || letter == '_') => {
                if words.last() != Some(&"_") {
                    words.push("_");
                }
            }
            word => words.push(word),
        }
    }
    words.join(" ")
}

const UNITS: [&str; 5] = ["second", "sec", "minute", "min", "hour"];

/// The wordings of three words and more, each with a text that contains it.
fn wordings(rows: &[Conversation]) -> HashMap<String, &str> {
    let of_row = |row: &Conversation| {
        let calls = row.messages.iter().flat_map(|message| &message.tool_calls);
        let values = calls.flat_map(|call| call.arguments.values());
        let mut taken: Vec<String> = values.filter_map(Value::as_str).map(str::to_lowercase).collect();
        taken.retain(|value| !value.is_empty());
        taken.sort_by_key(|value| std::cmp::Reverse(value.len()));
        taken
    };
    let mut wordings = HashMap::new();
    for row in rows {
        let taken = of_row(row);
        for message in row.messages.iter().filter(|message| message.role == Role::User) {
            let wording = wording(&message.content, &taken);
            if wording.split(' ').count() > 2 {
                wordings.insert(wording, message.content.as_str());
            }
        }
    }
    wordings
}

#[test]
fn made_rows_share_no_wording_with_held_out_ones_but_the_plainest() {
    let (made, held_out) = ([made(), training()].concat(), held_out());
    let (made, held_out) = (wordings(&made), wordings(&held_out));
    let shared = made.iter().filter(|(wording, _)| held_out.contains_key(*wording));
    let shared: Vec<_> = shared
        .filter(|(wording, _)| {
            !["set a timer for _", "remind me to _ at _", "start a _ timer"].contains(&wording.as_str())
        })
        .collect();
    assert!(shared.is_empty(), "{shared:?}");
}

#[test]
fn held_out_values_are_never_drawn() {
    let (made, held_out) = (made(), held_out());
    let texts = user_texts(&made);
    for minutes in [2, 3, 11, 12, 27, 29, 33, 43, 44, 49] {
        let said = format!(" {minutes} minute");
        assert!(
            !texts.iter().any(|text| text.contains(&said)),
            "{minutes} minutes"
        );
    }
    for argument in ["note", "paidAmount", "payNowAmount", "paidDate", "promiseDate"] {
        let (made, held_out) = (values(&made, argument), values(&held_out, argument));
        let shared: Vec<_> = made.intersection(&held_out).collect();
        assert!(
            !held_out.is_empty() && shared.is_empty(),
            "{argument}: {shared:?}"
        );
    }
}

#[test]
fn tools_that_are_held_out_are_in_no_row() {
    let lists = lists();
    let rows = ["default", "general"].map(|mixture| make(&lists, mixture, Some(2000), 3).unwrap().data.rows);
    let texts: Vec<String> = rows
        .concat()
        .iter()
        .map(|row| serde_json::to_string(&row.tools).unwrap())
        .collect();
    let customer = [
        "The customer has already made a payment.",
        "Connect the customer with a human agent.",
    ];
    let unseen = [
        "Pay for a parking place.",
        "Close all windows of the house.",
        "Order pizza.",
    ];
    for about in customer.into_iter().chain(unseen) {
        assert!(!texts.iter().any(|text| text.contains(about)), "{about}");
    }
}

#[test]
fn a_row_shows_its_tools_to_several_others() {
    let made = make(&lists(), "default", Some(1000), SEED).unwrap().data.rows;
    let mut lists_of_tools: HashMap<String, usize> = HashMap::new();
    for row in &made {
        *lists_of_tools
            .entry(serde_json::to_string(&row.tools).unwrap())
            .or_default() += 1;
    }
    assert!(lists_of_tools.len() > 50, "{}", lists_of_tools.len());
    assert!(lists_of_tools.len() < 300, "{}", lists_of_tools.len());
}

#[test]
fn values_that_are_copied_stand_in_the_conversation_before_the_call() {
    let timers = make_part(&lists(), "default", "timers", Some(500), 5).unwrap();
    for row in &timers.data.rows {
        for (index, message) in row.messages.iter().enumerate() {
            let before: Vec<String> = row.messages[..index]
                .iter()
                .map(|m| m.content.to_lowercase())
                .collect();
            let before = before.join("\n");
            let arguments = message.tool_calls.iter().flat_map(|call| &call.arguments);
            for (name, value) in arguments.filter(|(name, _)| *name != "duration") {
                let text = value.as_str().unwrap().to_lowercase();
                assert!(before.contains(&text), "{name}: {value} in {before}");
            }
        }
    }
}

#[test]
fn an_unknown_mixture_or_folder_is_named() {
    let error = make(&lists(), "defaults", None, 1).unwrap_err().to_string();
    assert!(
        error.starts_with("mixture `defaults`: is not there; expected one of default"),
        "{error}"
    );
    let empty = tempfile::tempdir().unwrap();
    let error = Lists::load(empty.path()).unwrap_err().to_string();
    assert!(error.contains("skills"), "{error}");
}

/// Copies the lists, with one skill file that replaces the library's.
fn lists_with(skill: &str) -> toolcall_lib::Result<Lists> {
    lists_of(skill, None)
}

/// Copies the lists, with a skill file and a mixture.
fn lists_of(skill: &str, mixture: Option<&str>) -> toolcall_lib::Result<Lists> {
    let copy = tempfile::tempdir().unwrap();
    std::fs::create_dir(copy.path().join("skills")).unwrap();
    for name in ["held_out", "values", "talk", "mixtures", "own"] {
        let name = format!("{name}.toml");
        std::fs::copy(folder().join("lists").join(&name), copy.path().join(&name)).unwrap();
    }
    if let Some(mixture) = mixture {
        std::fs::write(copy.path().join("mixtures.toml"), mixture).unwrap();
    }
    std::fs::write(copy.path().join("skills/own.toml"), skill).unwrap();
    Lists::load(copy.path())
}

#[test]
fn a_skill_that_does_not_fit_is_refused_by_name() {
    let skill = |asks: &str| {
        format!(
            "[[skill]]\nnames = [\"ring\"]\nabout = [\"Ring.\"]\nresult = \"ok\"\nreply = \"Done.\"\n\
             args.times = {{ about = [\"How often.\"], int = [1, 9] }}\nasks = [{asks:?}]\n"
        )
    };
    assert!(lists_with(&skill("Ring {times} times.")).is_ok());
    let cases = [
        (
            "Ring {time} times.",
            "skill `ring`: a text has `{time}`, which is not an argument",
        ),
        (
            "Ring[ {times} times].",
            "skill `ring`: a request does not always name `times`",
        ),
        ("Ring (loud|low {times}.", "`)` is missing"),
        ("Ring {times}).", "`)` closes nothing"),
    ];
    for (ask, problem) in cases {
        let error = lists_with(&skill(ask)).unwrap_err().to_string();
        assert!(
            error.starts_with("own.toml: ") && error.contains(problem),
            "{error}"
        );
    }
    let two = skill("Ring {times}.").replace("int = [1, 9]", "int = [1, 9], date = true");
    let error = lists_with(&two).unwrap_err().to_string();
    assert!(
        error.contains("argument `times`: has 2 kinds of values"),
        "{error}"
    );
    let like = format!("like = [\"chimes\"]\n{}", skill("Ring {times}."));
    let error = lists_with(&like).unwrap_err().to_string();
    assert!(
        error.starts_with("own.toml: like: there is no file chimes.toml"),
        "{error}"
    );
}

/// Rows of the part of the default mixture that has tools of every subject.
fn varied(rows: usize) -> Vec<Conversation> {
    make_part(&lists(), "default", "varied", Some(rows), 5)
        .unwrap()
        .data
        .rows
}

#[test]
fn a_number_beyond_a_limit_is_no_call_until_another_one_is_given() {
    let words = [
        "must be at ",
        "The smallest ",
        "The largest ",
        " cannot be ",
        "That is too ",
        "I cannot go ",
        " is the least that ",
        " is the most that ",
        " the minimum is ",
        " the maximum is ",
        "That does not work, since ",
    ];
    let mut called = 0;
    let mut asked = 0;
    for row in varied(1500) {
        let Some(answer) = row.messages.iter().position(|message| {
            message.role == Role::Assistant && words.iter().any(|word| message.content.contains(word))
        }) else {
            continue;
        };
        asked += 1;
        assert!(
            row.messages[..answer]
                .iter()
                .all(|message| message.tool_calls.is_empty())
        );
        for call in row.messages.iter().flat_map(|message| &message.tool_calls) {
            let tool = row.tools.iter().find(|tool| tool.name() == call.name).unwrap();
            assert!(tool.check(&call.arguments).is_empty(), "{call:?}");
            called += 1;
        }
    }
    assert!(
        asked > 15 && called > 5 && called < asked,
        "{asked} asked, {called} called"
    );
}

#[test]
fn a_weekday_is_looked_up_in_the_days_of_the_system_prompt() {
    let mut found = 0;
    for row in varied(4000) {
        let system = &row.messages[0];
        let days: HashMap<&str, &str> = match system.role {
            Role::System => system.content.split([' ', ',', '.']).collect::<Vec<_>>(),
            _ => continue,
        }
        .windows(2)
        .filter(|pair| pair[0].ends_with("day") && pair[1].starts_with("20"))
        .map(|pair| (pair[0], pair[1]))
        .collect(); // the day in a week has the last word
        let user = &row.messages[1].content;
        let named: Vec<&str> = days.keys().filter(|day| user.contains(**day)).copied().collect();
        let [named] = named[..] else { continue };
        let calls = row.messages[2].tool_calls.iter();
        let dates: Vec<&str> = calls
            .flat_map(|call| call.arguments.values())
            .filter_map(Value::as_str)
            .filter(|text| text.len() == 10 && text.starts_with("20"))
            .collect();
        if let [date] = dates[..]
            && days.len() == 7
            && !user.contains(date)
        {
            assert_eq!(date, days[named], "{user}");
            let step = format!("{named} = {date}");
            assert!(row.messages[2].content.contains(&step), "{user}");
            found += 1;
        }
    }
    assert!(found > 5, "{found}");
}

/// Makes rows of one skill with this argument, which is called `value` and appears in `{value}.`
fn rows_of_argument(argument: &str) -> Vec<Conversation> {
    let skill = format!(
        "[[skill]]\nnames = [\"note\"]\nabout = [\"Note.\"]\nresult = \"ok\"\nreply = \"Done.\"\n\
         args.value = {{ about = [\"The value.\"], {argument} }}\nasks = [\"Note {{value}}.\"]\n"
    );
    let mixture = "[only.one]\nsubjects = [\"own\"]\nrows = 60\nrows_per_list = 2\nsizes = [1.0]\n\
                   reports = 0.0\nsystems = 50.0\nkinds = { one_call = 1.0 }\n";
    let lists = lists_of(&skill, Some(mixture)).unwrap();
    make(&lists, "only", None, 1).unwrap().data.rows
}

/// Returns what the user says, and the value of the call.
fn said_and_called(row: &Conversation) -> (&str, &Value) {
    let user = row.messages.iter().find(|message| message.role == Role::User);
    let call = row.messages.iter().flat_map(|message| &message.tool_calls).next();
    (
        &user.unwrap().content,
        call.unwrap().arguments.values().next().unwrap(),
    )
}

#[test]
fn a_percentage_is_called_as_a_number_of_percent_or_as_a_fraction() {
    for (argument, by) in [("percent = [1, 60]", 1.0), ("fraction = [1, 60]", 100.0)] {
        for row in rows_of_argument(argument) {
            let (said, value) = said_and_called(&row);
            let number = |c: char| c.is_ascii_digit() || c == '.';
            let digits: String = said
                .chars()
                .skip_while(|c| !c.is_ascii_digit())
                .take_while(|c| number(*c))
                .collect();
            let percent: f64 = digits.trim_end_matches('.').parse().unwrap();
            assert!(
                said.contains(&format!("{percent}%")) || said.contains(" percent"),
                "{said}"
            );
            assert!(
                (value.as_f64().unwrap() - percent / by).abs() < 1e-9,
                "{said}: {value}"
            );
            assert!(
                value.to_string().len() <= 6,
                "{value} shows the error of a division"
            );
        }
    }
}

#[test]
fn an_article_is_said_and_not_called() {
    let texts = r#"text = ["the old mill", "a kite", "an axe", "yen => JPY"]"#;
    let rows = rows_of_argument(texts);
    let pairs: HashSet<(&str, &str)> = rows
        .iter()
        .map(said_and_called)
        .filter_map(|(said, value)| {
            let said = said.strip_prefix("Note ")?.split_once('.')?.0; // no words around it
            Some((said, value.as_str().unwrap()))
        })
        .collect();
    let expected = [
        ("the old mill", "old mill"),
        ("a kite", "kite"),
        ("an axe", "axe"),
        ("yen", "JPY"),
    ];
    assert_eq!(pairs, HashSet::from(expected));
    for row in rows_of_argument(r#"text = ["the shop is dark", "a bell rings"], verbatim = true"#) {
        let (said, value) = said_and_called(&row);
        assert!(said.contains(value.as_str().unwrap()), "{said}: {value}");
    }
}

#[test]
fn words_that_mean_a_number_are_called_as_one() {
    let rows = rows_of_argument(r#"text = ["each month => 12", "a loss of four => -4"]"#);
    for row in &rows {
        let (said, value) = said_and_called(row);
        let expected = if said.to_lowercase().contains("each month") {
            12
        } else {
            -4
        };
        assert_eq!(*value, expected, "{said}");
        let schema = &row.tools[0].parameters()["properties"];
        let schema = schema.as_object().unwrap().values().next().unwrap();
        assert_eq!(schema["type"], "integer");
        assert!(schema.get("enum").is_none());
    }
}

#[test]
fn a_round_number_of_thousands_or_millions_is_called_in_full() {
    let mut rounds = 0;
    for kind in ["int", "money"] {
        for row in rows_of_argument(&format!("{kind} = [1000, 90000000]")) {
            let (said, value) = said_and_called(&row);
            let said = said.to_lowercase();
            let number = &said[said.find(|c: char| c.is_ascii_digit()).unwrap()..];
            let behind = number.trim_start_matches(|c: char| c.is_ascii_digit() || ".,".contains(c));
            let digits = number[..number.len() - behind.len()].replace(',', "");
            let units = [(" million", 1e6), ("m", 1e6), (" thousand", 1e3), ("k", 1e3)];
            let unit = units.iter().find(|(word, _)| behind.starts_with(word));
            let unit = unit.map_or(1.0, |(_, unit)| *unit);
            let count: f64 = digits.trim_end_matches('.').parse().unwrap();
            assert_eq!(value.as_f64().unwrap(), (count * unit).round(), "{said}");
            rounds += usize::from(unit > 1.0);
        }
    }
    assert!(rounds > 20, "{rounds}");
}

#[test]
fn several_values_are_a_call_each_paired_or_each_with_each() {
    let skill = r#"
        [[skill]]
        names = ["results"]
        about = ["Results."]
        result = "ok"
        reply = "Done."
        args.team = { about = ["The team."], text = ["Foxes", "Owls", "Hares", "Wolves", "Crows"] }
        args.day = { about = ["The day."], choice = ["Monday", "Tuesday", "Friday", "Sunday"] }
        args.places = { about = ["A number."], int = [11, 99] }
        asks = ["How did the {team} play on {day} before a crowd of {places}?"]
        several = [
          "How did the {team#1} and the {team#2} play on {day} before {places}?",
          "How did the {team} play on {day#1} and {day#2} before {places}?",
          "How did the {team#1} play on {day#1} and the {team#2} on {day#2} before {places}?",
        ]
    "#;
    let mixture = "[only.one]\nsubjects = [\"own\"]\nrows = 150\nrows_per_list = 10\nsizes = [1.0]\n\
                   reports = 0.0\nkinds = { several_values = 1.0 }\n";
    let lists = lists_of(skill, Some(mixture)).unwrap();
    let rows = make(&lists, "only", None, 1).unwrap().data.rows;
    let (mut paired, mut each) = (0, 0);
    for (row, calls) in rows.iter().zip(turns(&rows)) {
        let user = row.messages.iter().find(|message| message.role == Role::User);
        let user = user.unwrap().content.to_lowercase();
        let argument = |call: &'_ ToolCall, i: usize| call.arguments.values().nth(i).unwrap().clone();
        let text = |value: Value| value.as_str().map_or(value.to_string(), str::to_lowercase);
        let place = |call: &ToolCall, i: usize| user.find(&text(argument(call, i))).expect("it is said");
        // The different values of each argument.
        let values: Vec<HashSet<String>> = (0..3)
            .map(|i| calls.iter().map(|call| text(argument(call, i))).collect())
            .collect();
        assert_eq!(
            values[2].len(),
            1,
            "no text for several calls has several crowds: {user}"
        );
        let several: Vec<usize> = (0..3).filter(|&i| values[i].len() > 1).collect();
        match several[..] {
            [one] => assert_eq!(values[one].len(), calls.len(), "{user}"),
            [a, b] if [values[a].len(), values[b].len()] == [calls.len(); 2] => {
                paired += 1;
                for two in calls.windows(2) {
                    for i in [a, b] {
                        assert!(place(&two[0], i) < place(&two[1], i), "{user}");
                    }
                }
            }
            [a, b] => {
                each += 1;
                assert_eq!(
                    [values[a].len(), values[b].len(), calls.len()],
                    [2, 2, 4],
                    "{user}"
                );
            }
            _ => panic!("{user}: {calls:?}"),
        }
    }
    assert!(paired > 10 && each > 5 && paired + each < 100, "{paired} {each}");
}

#[test]
fn a_weekday_is_looked_up_only_in_a_calendar_that_is_there() {
    let lists = Lists::embedded().unwrap();
    let days = [
        "Monday",
        "Tuesday",
        "Wednesday",
        "Thursday",
        "Friday",
        "Saturday",
        "Sunday",
    ];
    let mut looked_up = 0;
    for row in make(&lists, "general", Some(3000), 9).unwrap().data.rows {
        let steps = row
            .messages
            .iter()
            .flat_map(|message| message.content.split("; "));
        for (day, date) in steps.filter_map(|step| step.split_once(" = ")) {
            if days.contains(&day) {
                let said = format!("{day} {date}");
                assert!(
                    row.messages.iter().any(|message| message.content.contains(&said)),
                    "{row:?}"
                );
                looked_up += 1;
            }
        }
    }
    assert!(looked_up > 20, "{looked_up}");
}

#[test]
fn a_default_is_a_value_that_the_schema_allows() {
    let lists = Lists::embedded().unwrap();
    let mut both = 0;
    for row in make(&lists, "general", Some(3000), 9).unwrap().data.rows {
        for tool in &row.tools {
            for (name, schema) in tool.parameters()["properties"].as_object().into_iter().flatten() {
                let number = |key: &str| schema[key].as_f64();
                let Some(default) = number("default") else {
                    continue;
                };
                let low = number("minimum").unwrap_or(f64::NEG_INFINITY);
                let high = number("maximum").unwrap_or(f64::INFINITY);
                assert!(
                    (low..=high).contains(&default),
                    "{}: {name}: {schema}",
                    tool.name()
                );
                both += usize::from(high.is_finite());
            }
        }
    }
    assert!(both > 20, "{both}");
}

#[test]
fn what_begins_and_ends_does_so_in_that_order() {
    let skill = r#"
        [[skill]]
        names = ["leave"]
        about = ["Leave."]
        result = "ok"
        reply = "Done."
        args.first_day = { about = ["The first day."], date = true }
        args.last_day = { about = ["The last day."], date = true }
        asks = ["I am away from {first_day} to {last_day}.", "Until {last_day} I am away, since {first_day}."]
    "#;
    let mixture = "[only.one]\nsubjects = [\"own\"]\nrows = 40\nrows_per_list = 10\nsizes = [1.0]\n\
                   canonical = true\nreports = 0.0\nkinds = { one_call = 1.0 }\n";
    let lists = lists_of(skill, Some(mixture)).unwrap();
    let rows = make(&lists, "only", None, 1).unwrap().data.rows;
    for call in turns(&rows).into_iter().flatten() {
        let day = |name: &str| call.arguments[name].as_str().unwrap().to_string();
        assert!(day("first_day") <= day("last_day"), "{call:?}");
    }
}

#[test]
fn a_rate_of_which_nothing_is_said_is_a_fraction() {
    let descriptions = |argument: &str| -> Vec<String> {
        let rows = rows_of_argument(argument);
        let described = rows.iter().filter_map(|row| {
            let properties = row.tools[0].parameters()["properties"].as_object()?;
            properties.values().next()?["description"].as_str()
        });
        described.map(str::to_string).collect()
    };
    let fractions = descriptions("fraction = [1, 9]");
    let plain = fractions.iter().filter(|about| *about == "The value.").count();
    assert!(
        plain > 5 && plain < fractions.len() * 3 / 4,
        "{plain} of {}",
        fractions.len()
    );
    assert!(
        descriptions("percent = [1, 9]")
            .iter()
            .all(|about| about.contains("percent"))
    );
}

/// Makes rows with several calls of one skill, whose only wording for that is `several`.
fn rows_of_several(several: &str) -> Vec<Conversation> {
    let skill = format!(
        "[[skill]]\nnames = [\"look_up\"]\nabout = [\"Look it up.\"]\nresult = \"ok\"\nreply = \"Done.\"\n\
         args.number = {{ about = [\"The number.\"], int = [1, 900] }}\nasks = [\"Look up {{number}}.\"]\n\
         several = [\"{several}\"]\n"
    );
    let mixture = "[only.one]\nsubjects = [\"own\"]\nrows = 80\nrows_per_list = 2\nsizes = [1.0]\n\
                   reports = 0.0\nkinds = { several = 1.0 }\n";
    let lists = lists_of(&skill, Some(mixture)).unwrap();
    make(&lists, "only", None, 1).unwrap().data.rows
}

/// Returns the calls of every turn that has any.
fn turns(rows: &[Conversation]) -> Vec<&[ToolCall]> {
    let messages = rows.iter().flat_map(|row| &row.messages);
    let calls = messages.map(|message| &message.tool_calls[..]);
    calls.filter(|calls| !calls.is_empty()).collect()
}

/// Returns how many of these turns have 1, 2, 3, or at least 4 calls (or tools).
fn counts(numbers: impl Iterator<Item = usize>) -> [usize; 5] {
    let mut counts = [0; 5];
    numbers.for_each(|number| counts[number.min(4)] += 1);
    counts
}

#[test]
fn a_list_of_values_grows_to_four_unless_a_word_counts_them() {
    let rows = rows_of_several("Numbers {number#1} and {number#2} at once.");
    let lengths = counts(turns(&rows).into_iter().map(<[ToolCall]>::len));
    assert_eq!(lengths[..2], [0, 0]);
    assert!(lengths[2..].iter().all(|&rows| rows > 3), "{lengths:?}");
    let mut listed = 0;
    for (row, calls) in rows.iter().zip(turns(&rows)) {
        let user = row.messages.iter().find(|message| message.role == Role::User);
        let numbers = calls.iter().flat_map(|call| call.arguments.values());
        let mut numbers: Vec<String> = numbers.map(ToString::to_string).collect();
        let last = numbers.pop().unwrap();
        let list = format!("umbers {} and {last} at", numbers.join(", "));
        listed += usize::from(user.unwrap().content.contains(&list));
    }
    assert!(listed > 30, "{listed} of {} rows", rows.len());

    let rows = rows_of_several("Both {number#1} and {number#2} at once.");
    let worded = rows.iter().zip(turns(&rows));
    let worded = worded.filter(|(row, _)| row.messages.iter().any(|m| m.content.contains(" at once")));
    let lengths: HashSet<usize> = worded.map(|(_, calls)| calls.len()).collect();
    assert_eq!(lengths, HashSet::from([2]));
}

#[test]
fn a_turn_asks_up_to_four_tools() {
    let made = made();
    let tools = |calls: &[ToolCall]| {
        let names: HashSet<&str> = calls.iter().map(|call| call.name.as_str()).collect();
        names.len()
    };
    let tools = counts(turns(&made).into_iter().map(tools));
    assert!(
        tools[2] > tools[3] && tools[3] > tools[4] && tools[4] > 0,
        "{tools:?}"
    );
}

#[test]
fn a_day_that_has_gone_by_is_before_the_day_of_the_prompt() {
    let mut yesterdays = 0;
    for row in rows_of_argument("past = true") {
        let (said, value) = said_and_called(&row);
        let value = value.as_str().unwrap();
        let system = row.messages.iter().find(|message| message.role == Role::System);
        let today = system.and_then(|system| {
            system
                .content
                .split([' ', ',', '.'])
                .find(|word| word.starts_with("20"))
        });
        if let Some(today) = today {
            assert!(value <= today, "{said}: {value} after {today}");
        }
        if said.contains("yesterday") {
            let step = format!("yesterday = {value}");
            assert!(
                row.messages.iter().any(|message| message.content == step),
                "{said}"
            );
            yesterdays += 1;
        }
    }
    assert!(yesterdays > 3, "{yesterdays}");
}

#[test]
fn half_of_the_schemas_say_what_the_values_of_an_enum_mean() {
    let rows = rows_of_argument("choice = { in_work = [\"being repaired\"], done = [\"finished\"] }");
    let explained = rows.iter().filter(|row| {
        let schema = serde_json::to_string(&row.tools[0]).unwrap();
        schema.contains("in_work means being repaired, done means finished.")
    });
    let share = explained.count() as f64 / rows.len() as f64;
    assert!((0.2..0.8).contains(&share), "{share}");
}

#[test]
fn a_user_answers_in_the_order_of_the_question() {
    let skill = "[[skill]]\nnames = [\"frame\"]\nabout = [\"Frame.\"]\nresult = \"ok\"\nreply = \"Done.\"\n\
                 args.width = { int = [21, 39] }\nargs.height = { int = [51, 79] }\n\
                 asks = [\"A frame, {width} by {height}.\"]\n\
                 vague = [[\"A frame.\", \"Which height, and which width?\"]]\n";
    let mixture = "[only.one]\nsubjects = [\"own\"]\nrows = 20\nrows_per_list = 2\nsizes = [1.0]\n\
                   reports = 0.0\nkinds = { question = 1.0 }\n";
    let lists = lists_of(skill, Some(mixture)).unwrap();
    let mut answered = 0;
    for row in make(&lists, "only", None, 1).unwrap().data.rows {
        let Some(answer) = row.messages.get(2) else {
            continue;
        };
        let numbers = answer.content.split(|c: char| !c.is_ascii_digit());
        let numbers: Vec<i64> = numbers.filter_map(|number| number.parse().ok()).collect();
        assert!(numbers[0] > 50 && numbers[1] < 40, "{}", answer.content);
        answered += 1;
    }
    assert!(answered > 3, "{answered}");
}
