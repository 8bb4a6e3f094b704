//! Requests that lack a value, which the assistant asks for.

use super::draw::Draw;
use super::maker::Maker;
use super::request::draw_values;
use super::row::Row;
use super::sentence::{Sentence, spoken};
use super::skill::{Skill, plain};
use super::tools::Listed;

impl Maker<'_> {
    /// Makes a row in which the user leaves out a value that a call needs, and says it when asked.
    pub(super) fn question(&self, draw: &mut Draw) -> Option<Row> {
        let able: Vec<&Listed<'_>> = self
            .tools
            .iter()
            .filter(|tool| !tool.skill.vague.is_empty())
            .collect();
        let tool = *draw.one(&able)?;
        let (ask, question) = draw.one(&tool.skill.vague)?.clone();
        let held_out = &self.lists.held_out;
        let parts = ask.choose(draw);
        let mut values = draw_values(tool.skill, &parts, 1, draw, held_out).remove(0);
        let said = Sentence::fill(&parts, std::slice::from_ref(&values)).capital();
        let known = values.clone();
        let question = question.choose_given(draw, &|slot| known.contains_key(&plain(slot)));
        let question = Sentence::fill(&question, &[known]).text();
        // The user answers in the order of the question.
        let mut lacking = tool.skill.required();
        lacking.retain(|slot| !values.contains_key(slot));
        lacking.sort_by_key(|slot| place_of(slot, tool.skill, &question));
        let mut given = Vec::new();
        for slot in lacking {
            if let Some(argument) = tool.skill.argument(&slot) {
                let drawn = argument.kind.draw(draw, held_out);
                given.push(drawn.said.clone());
                values.insert(slot, drawn);
            }
        }
        if given.is_empty() {
            return None; // the request names all that the call needs
        }
        let row = Row::default()
            .user(said.typed(draw, &self.lists.talk).text())
            .says(question);
        if draw.percent(35.0) {
            return Some(row);
        }
        let answer = match draw.chance(3) {
            true => given.join(" and "),
            false => given.join(", "),
        };
        Some(self.given(row, answer, tool, values, draw))
    }
}

/// The place in a question of the first word that is also in the names of an argument, or the end
/// of the question.
fn place_of(slot: &str, skill: &Skill, question: &str) -> usize {
    let names = skill
        .argument(slot)
        .map_or(&[][..], |argument| &argument.names[..]);
    let names = names.iter().map(String::as_str).chain([slot]);
    let names: Vec<String> = names.map(spoken).collect();
    let names = names.iter().flat_map(|name| name.split(' '));
    let question = question.to_lowercase();
    let mut words = question.split(|c: char| !c.is_alphanumeric());
    let place = words.position(|word| word.len() > 2 && names.clone().any(|name| name == word));
    place.unwrap_or(usize::MAX)
}
