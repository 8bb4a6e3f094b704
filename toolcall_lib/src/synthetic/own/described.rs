//! Requests from a tool's name, description and arguments alone.

use super::words::{order_of, words};
use crate::synthetic::lists::Lists;
use crate::synthetic::sentence::{lower, spoken, upper};
use crate::synthetic::skill::{Ask, Skill};
use crate::synthetic::text::Template;
use crate::synthetic::value::Kind;
use crate::tool::ToolSchema;
use std::collections::BTreeSet;

/// Plain requests from the description and the arguments, for a tool that no row calls.
pub(super) fn from_description(lists: &Lists, skill: &Skill) -> Vec<Ask> {
    // 1. The order in the description, and the required arguments.
    let order = order_of(lists, skill);
    let required = skill.required();
    // 2. Requests with the arguments in them.
    let said = |name: &String| format!("{} {{{name}}}", spoken(name));
    let is = |name: &String| format!("{} is {{{name}}}", spoken(name));
    let list: Vec<String> = required.iter().map(said).collect();
    let facts: Vec<String> = required.iter().map(is).collect();
    let texts = match required.is_empty() {
        true => vec![
            format!("{}.", upper(&order)),
            format!("(Please {0}|{1}, please).", lower(&order), upper(&order)),
            format!("(Can|Could) you {}?", lower(&order)),
            format!("I (want|need) you to {}.", lower(&order)),
        ],
        false => vec![
            format!("{}: {}.", upper(&order), list.join(", ")),
            format!("{}, {}.", upper(&order), list.join(", ")),
            format!(
                "(Please |Can you ){} with {}[, please].",
                lower(&order),
                list.join(" and ")
            ),
            format!("{}. {}.", upper(&order), upper(&facts.join(", "))),
            format!("I (want|need) you to {}; {}.", lower(&order), facts.join(" and ")),
        ],
    };
    let asks = texts.into_iter().filter_map(|text| Template::try_from(text).ok());
    asks.map(Ask::from).collect()
}

/// Requests as people in a hurry write them: a few words on the object of the tool, and the values.
/// `repair: Anna Weber, flat tire, 2025-03-14`
pub(super) fn terse(lists: &Lists, skill: &Skill) -> Vec<Ask> {
    // 1. The object of the tool, and its arguments: a number needs its name, other values do not.
    let object = object_of(lists, skill.id());
    let all = format!("{} {object}", verb_of(lists, skill.id()).unwrap_or_default());
    let said = |name: &String| match skill.argument(name).map(|argument| &argument.kind) {
        Some(Kind::Int(..) | Kind::Number(..)) => format!("{} {{{name}}}", spoken(name)),
        _ => format!("{{{name}}}"),
    };
    let required: Vec<String> = skill.required().iter().map(said).collect();
    let is_said = |kind: &Kind| !kind.is_unspoken() && !matches!(kind, Kind::Flag(..) | Kind::Fields(_));
    let optional = skill
        .arguments
        .iter()
        .filter(|(_, argument)| argument.optional && is_said(&argument.kind));
    let extra: String = optional
        .map(|(name, _)| format!("[, {} {{{name}}}]", spoken(name)))
        .collect();
    // 2. The values in both orders, after or before the object.
    let mut turned = required.clone();
    turned.reverse();
    let texts = match required.len() {
        0 => listing(lists, skill),
        1 => vec![
            format!("{}: {}{extra}", upper(&object), required[0]),
            format!("{} {}{extra}[, please].", upper(all.trim()), required[0]),
        ],
        _ => vec![
            format!("({}: |){}{extra}[.]", upper(&object), required.join(", ")),
            format!("{}, {}{extra}[.]", upper(all.trim()), turned.join(", ")),
            format!("{}{extra}, {object}[, please].", turned.join(", ")),
        ],
    };
    texts
        .into_iter()
        .filter_map(|text| Template::try_from(text).ok())
        .map(Ask::from)
        .collect()
}

/// Requests to see what a tool without arguments shows.
fn listing(lists: &Lists, skill: &Skill) -> Vec<String> {
    let order = order_of(lists, skill);
    let shows = [
        "list", "show", "get", "return", "find", "retrieve", "display", "fetch", "read",
    ];
    let Some((verb, shown)) = order.split_once(' ') else {
        return Vec::new();
    };
    if !shows.contains(&verb.to_lowercase().as_str()) {
        return Vec::new();
    }
    let object = object_of(lists, skill.id());
    vec![
        format!("{}[, please].", upper(&object)),
        format!("(Show me|Give me|Let me see|Pull up|I need|I want to see) {shown}[, please]."),
        format!("(Can|Could|May) I (see|have|get) {shown}?"),
        format!("What are {shown}?"),
        format!("I (would like to|have to|want to) (know|look at|go through) {shown}."),
    ]
}

/// Requests about the object of a tool that none of the tools serves: `Cancel the repair for
/// {customer}.` A verb or a question is left out if a tool has one of its words.
pub(super) fn beyond(lists: &Lists, skill: &Skill, tools: &[ToolSchema]) -> Vec<Template> {
    // 1. All words of the tools.
    let known: BTreeSet<String> = tools
        .iter()
        .flat_map(|tool| words(&format!("{} {}", tool.name(), tool.description())))
        .collect();
    let stem = |word: &str| word.trim_end_matches('s').trim_end_matches('e').to_string();
    let stems: BTreeSet<String> = known.iter().map(|word| stem(word)).collect();
    let foreign = |word: &str| {
        let mut ways = lists.synonyms(word);
        ways.push(word);
        ways.iter()
            .flat_map(|way| words(way))
            .all(|word| !stems.contains(&stem(&word)))
    };
    // 2. What the tool is about, with a value that names it.
    let object = object_of(lists, skill.id());
    if object.is_empty() {
        return Vec::new();
    }
    let named = skill
        .required()
        .into_iter()
        .find_map(|name| match &skill.argument(&name)?.kind {
            Kind::Pattern(_) => Some(format!(" {{{name}}}")),
            Kind::Int(low, _) if *low >= 100 => Some(format!(" {{{name}}}")),
            Kind::Text(_) => Some(format!(" for {{{name}}}")),
            _ => None,
        });
    let named = named.unwrap_or_default();
    // 3. Orders with other verbs, and questions.
    let verbs = lists.own.beyond.verbs.iter().filter(|verb| foreign(verb));
    let orders = verbs.map(|verb| {
        format!("([Please ]{verb}|(Can|Could) you {verb}|I (want|need) you to {verb}) the {object}[{named}].")
    });
    let questions = lists
        .own
        .beyond
        .questions
        .iter()
        .filter(|_| !skill.arguments.is_empty());
    let questions = questions
        .filter(|question| question.words.iter().all(|word| foreign(word)))
        .map(|question| question.text.replace("OBJECT", &object));
    orders
        .chain(questions)
        .filter_map(|text| Template::try_from(text).ok())
        .collect()
}

fn verb_of(lists: &Lists, name: &str) -> Option<String> {
    let spoken = spoken(name);
    let first = spoken.split(' ').next().unwrap_or_default();
    lists.is_order(first).then(|| first.to_string())
}

/// The words of a tool's name after its verb: `repair` for `bookRepair`.
fn object_of(lists: &Lists, name: &str) -> String {
    let spoken = spoken(name);
    match verb_of(lists, name) {
        Some(verb) => spoken[verb.len()..].trim().to_string(),
        None => spoken,
    }
}
