//! Requests with a number that the tool does not take.

use super::draw::Draw;
use super::maker::Maker;
use super::request::draw_values;
use super::row::Row;
use super::said::{self, Drawn, Values};
use super::sentence::{Sentence, spoken, upper};
use super::tools::Listed;
use super::value::Kind;

/// A slot of a tool with a limit of its numbers; `lowest` is true for a lower limit.
struct Limit<'a> {
    tool: &'a Listed<'a>,
    slot: &'a str,
    limit: i64,
    lowest: bool,
}

impl Maker<'_> {
    /// Makes a row in which the user names a number beyond a limit, is told the limit, and mostly
    /// names another number.
    pub(super) fn limit(&self, draw: &mut Draw) -> Option<Row> {
        let all: Vec<Limit<'_>> = self.tools.iter().flat_map(limits).collect();
        let Limit {
            tool,
            slot,
            limit,
            lowest,
        } = draw.one(&all)?;
        // 1. A request with a number beyond the limit.
        let held_out = &self.lists.held_out;
        let number = match lowest {
            true => held_out.number(draw, limit / 5, limit - 1),
            false => held_out.number(draw, limit + 1, limit.saturating_mul(3).max(limit + 9)),
        };
        let argument = tool.skill.argument(slot)?;
        let kind = &argument.kind;
        let money = matches!(kind, Kind::Money(..));
        let beyond = match money {
            true => said::money(draw, number),
            false => Drawn::new(number.to_string(), number),
        };
        let ask = draw.one(&tool.skill.asks)?;
        let parts = ask.text.choose(draw);
        let mut values = draw_values(tool.skill, &parts, 1, draw, held_out).remove(0);
        if !ask.implied.is_empty() || values.insert(slot.to_string(), beyond).is_none() {
            return None; // the request does not name the number
        }
        let asked = Sentence::fill(&parts, std::slice::from_ref(&values)).capital();
        // 2. The answer that says so.
        let talk = &self.lists.talk;
        let texts = if *lowest { &talk.too_small } else { &talk.too_large };
        let named = Values::from_iter([
            ("argument".to_string(), Drawn::text(spoken(&argument.names[0]))),
            (
                "limit".to_string(),
                Drawn::text(if money {
                    format!("${limit}")
                } else {
                    limit.to_string()
                }),
            ),
        ]);
        let answer = Sentence::fill(&draw.one(texts)?.choose(draw), &[named]).text();
        let row = Row::default()
            .user(asked.typed(draw, talk).text())
            .says(upper(&answer));
        if draw.percent(40.0) {
            return Some(row);
        }
        // 3. Another number, and the call.
        let given = kind.draw(draw, held_out);
        let said = given.said.clone();
        values.insert(slot.to_string(), given);
        Some(self.given(row, said, tool, values, draw))
    }
}

fn limits<'a>(tool: &'a Listed<'a>) -> impl Iterator<Item = Limit<'a>> {
    tool.limits.iter().flat_map(move |(slot, (low, high))| {
        let of = |limit: &Option<i64>, lowest| {
            let limit = (*limit)?;
            Some(Limit {
                tool,
                slot,
                limit,
                lowest,
            })
        };
        [of(low, true), of(high, false)].into_iter().flatten()
    })
}
