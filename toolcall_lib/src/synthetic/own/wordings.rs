//! Wordings around a user's own sentences.

use super::words::order_of;
use crate::synthetic::lists::Lists;
use crate::synthetic::sentence::{lower, spoken, upper};
use crate::synthetic::skill::{Ask, Skill};
use crate::synthetic::text::Template;

/// Other ways to say a request: frames around an order, and other verbs at its start.
pub(super) fn reworded(lists: &Lists, ask: &Ask) -> Vec<Ask> {
    // 1. The request without its ending, and its first word.
    let text = ask.text.to_string();
    let body = text.trim_end_matches(['.', '!']).trim_end_matches(", please");
    let first = body.split([' ', ',']).next().unwrap_or_default().to_lowercase();
    let order = |body: &str| {
        let small = lower(body);
        vec![
            format!("(Please {small}|{}, please)[.]", upper(body)),
            format!("(Can|Could|Would) you [please ]{small}?"),
            format!("(I need you to|I'd like you to|I want you to) {small}."),
        ]
    };
    // 2. Wordings of a question, a wish, or an order.
    let mut wordings = Vec::new();
    if body.ends_with('?') {
        for start in ["can you ", "could you ", "can you please ", "could you please "] {
            let inside = body
                .to_lowercase()
                .starts_with(start)
                .then(|| &body[start.len()..]);
            if let Some(inside) = inside {
                let inside = inside.trim_end_matches('?').trim_end_matches(", please");
                wordings.push(format!("{}.", upper(inside)));
                wordings.extend(order(inside));
            }
        }
    } else if let Some(wish) = wish(body) {
        wordings.push(format!(
            "(I want to|I'd like to|I would like to|I need to) {wish}."
        ));
        wordings.push(format!("Can I {wish}?"));
        wordings.push(format!("{}[, please].", upper(wish)));
    } else if lists.is_order(&first) && body.contains(' ') {
        for verb in lists.synonyms(&first) {
            let rest = &body[first.len()..];
            let verb = if rest.starts_with(" me ") {
                verb.trim_end_matches(" me")
            } else {
                verb
            };
            let order_with = format!("{verb}{rest}");
            wordings.push(format!("{}.", upper(&order_with)));
            wordings.extend(order(&order_with));
        }
        wordings.extend(order(body));
    } else {
        let closer = lists.own.closers.join("|");
        wordings.push(format!("{}. ({closer})", upper(body)));
    }
    // 3. Drop wordings that are not valid templates.
    let asks = wordings.into_iter().filter_map(|text| {
        Some(Ask {
            text: Template::try_from(text).ok()?,
            ..ask.clone()
        })
    });
    asks.collect()
}

fn wish(body: &str) -> Option<&str> {
    let starts = ["I want to ", "I'd like to ", "I would like to ", "I need to "];
    starts.iter().find_map(|start| body.strip_prefix(start))
}

/// Requests without one of their arguments, each with the question for it: the user's own sentences
/// cut, or the description alone.
pub(super) fn vague(lists: &Lists, skill: &Skill, own: &[Ask]) -> Vec<(Template, Template)> {
    let required = skill.required();
    let mut vague: Vec<(String, String)> = Vec::new();
    for ask in own.iter().filter(|ask| ask.implied.is_empty()) {
        let text = ask.text.to_string();
        for slot in &required {
            if let Some((before, behind)) = text.split_once(&format!("{{{slot}}}")) {
                let left = without_last_words(before);
                let cut = format!("{left}{behind}").replace(" ,", ",").replace(" .", ".");
                if left.contains(' ') {
                    vague.push((cut, format!("What is the {}?", spoken(slot))));
                }
            }
        }
    }
    if vague.is_empty() && !required.is_empty() {
        let order = order_of(lists, skill);
        let lacking: Vec<String> = required.iter().map(|slot| spoken(slot)).collect();
        vague.push((
            format!("[(Please|Can you) ]{}.", lower(&order)),
            format!("What is the {}?", lacking.join(", and the ")),
        ));
    }
    let read = |(ask, question): (String, String)| {
        Some((Template::try_from(ask).ok()?, Template::try_from(question).ok()?))
    };
    vague.into_iter().filter_map(read).collect()
}

/// The text without the words at its end that lead to a value: `a table for ` → `a table`.
fn without_last_words(text: &str) -> &str {
    const LEADING: [&str; 22] = [
        "on", "at", "for", "to", "from", "in", "with", "by", "of", "about", "until", "till", "under", "as",
        "named", "called", "is", "a", "an", "the", "number", "and",
    ];
    let mut text = text.trim_end();
    while let Some((rest, last)) = text.rsplit_once(' ') {
        if !LEADING.contains(&last.trim_end_matches([':', ',']).to_lowercase().as_str()) {
            break;
        }
        text = rest;
    }
    text.trim_end_matches([':', ',', '$'])
}
