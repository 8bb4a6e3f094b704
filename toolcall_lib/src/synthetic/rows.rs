//! Makes rows of every kind over a list of tools.

use super::draw::Draw;
use super::maker::Maker;
use super::mixture::Kind;
use super::request::{Answered, Request, joined, request, several};
use super::row::Row;
use super::sentence::{Sentence, chosen};
use super::spread::spread;
use super::text::Template;
use super::tools::Listed;
use crate::error::Result;
use serde_json::{Map, Value};

impl Maker<'_> {
    /// Makes a row of this kind, unless the list has no tool for it.
    pub(super) fn row(&self, kind: Kind, draw: &mut Draw) -> Result<Option<Row>> {
        Ok(match kind {
            Kind::OneCall => self.any_request(draw).map(|request| self.asked(request, draw)),
            Kind::Several => self.several(draw).map(|request| self.asked(request, draw)),
            Kind::SeveralValues => self.several_values(draw).map(|request| self.asked(request, draw)),
            Kind::SeveralTools => self.several_tools(draw).map(|request| self.asked(request, draw)),
            Kind::Question => self.question(draw),
            Kind::Limit => self.limit(draw),
            Kind::Error => self.error(draw),
            Kind::FollowUp => self.follow_up(draw),
            Kind::Dialogue => self.dialogue(draw),
            Kind::NoTool => Some(self.no_tool(draw)?),
            Kind::Near => self.near(draw)?,
            Kind::SmallTalk => self.small_talk(draw),
        })
    }

    fn several(&self, draw: &mut Draw) -> Option<Request> {
        let able: Vec<&Listed<'_>> = self
            .tools
            .iter()
            .filter(|tool| !tool.skill.arguments.is_empty())
            .collect();
        let tool = *draw.one(&able)?;
        let worded = several(tool, draw, &self.lists.held_out);
        if worded.is_some() && !draw.chance(4) {
            return worded;
        }
        let mut requests: Vec<Request> = Vec::new();
        for _ in 0..how_many(draw) {
            let one = request(tool, draw, &self.lists.held_out);
            let restated = |other: &Request| is_restated(&other.calls[0], &one.calls[0]);
            if !requests.iter().any(restated) {
                requests.push(one);
            }
        }
        (requests.len() > 1).then(|| joined(requests, draw))
    }

    fn several_values(&self, draw: &mut Draw) -> Option<Request> {
        let tool = self.any_tool(draw)?;
        spread(tool, draw, &self.lists.held_out)
    }

    fn several_tools(&self, draw: &mut Draw) -> Option<Request> {
        let mut tools: Vec<&Listed<'_>> = self.tools.iter().collect();
        draw.shuffle(&mut tools);
        tools.truncate(how_many(draw));
        let held_out = &self.lists.held_out;
        let make = |tool: &Listed<'_>, draw: &mut Draw| {
            let worded = match draw.chance(6) {
                true => several(tool, draw, held_out),
                false => None,
            };
            worded.unwrap_or_else(|| request(tool, draw, held_out))
        };
        (tools.len() > 1).then(|| {
            let requests = tools.into_iter().map(|tool| make(tool, draw)).collect();
            joined(requests, draw)
        })
    }

    fn error(&self, draw: &mut Draw) -> Option<Row> {
        let mut request = self.any_request(draw)?;
        let reason = chosen(draw, &self.lists.talk.errors);
        for one in &mut request.calls {
            one.result = match draw.index(3) {
                0 => format!("Error: {reason}"),
                1 => format!("Error: {reason}."),
                _ => format!("{{\"error\": \"{reason}\"}}"),
            };
        }
        let row = Row::default().user(request.ask.typed(draw, &self.lists.talk).text());
        Some(
            row.calls(request.calls)
                .says(format!("That did not work: {reason}.")),
        )
    }

    /// Makes a row with a second request, for the same tool or another, after the first was served.
    fn follow_up(&self, draw: &mut Draw) -> Option<Row> {
        let (first, second) = (self.any_request(draw)?, self.any_request(draw)?);
        let same = |a: &Answered, b: &Answered| a.call == b.call;
        let repeats = second
            .calls
            .iter()
            .any(|b| first.calls.iter().any(|a| same(a, b)));
        if first.reply.is_empty() || repeats {
            return None;
        }
        let row = Row::default().user(first.ask.typed(draw, &self.lists.talk).text());
        let row = row.calls(first.calls).says(first.reply);
        let said = match draw.chance(2) {
            true => Sentence::plain(chosen(draw, &self.lists.talk.again)).join(" ", second.ask.small()),
            false => second.ask,
        };
        Some(self.reported(row.user(said.text()), second.calls, second.reply, draw))
    }

    fn dialogue(&self, draw: &mut Draw) -> Option<Row> {
        let fitting: Vec<_> = self
            .subject
            .dialogues
            .iter()
            .filter(|dialogue| dialogue.fits(self.tools))
            .collect();
        let weights: Vec<f64> = fitting.iter().map(|dialogue| dialogue.weight).collect();
        let dialogue = fitting.get(draw.weighted(&weights))?;
        Some(dialogue.row(self.tools, draw, &self.lists.held_out))
    }

    fn small_talk(&self, draw: &mut Draw) -> Option<Row> {
        let (said, answer) = draw.one(&self.lists.talk.small)?;
        let text = |template: &Template, draw: &mut Draw| Sentence::fill(&template.choose(draw), &[]).text();
        let (said, answer) = (text(said, draw), text(answer, draw));
        Some(Row::default().user(said).says(answer))
    }
}

/// Returns true if two calls of a skill could be one wish: one has all arguments of the other, or
/// they differ in nothing but flags (`louder`, and then `not louder`).
fn is_restated(a: &Answered, b: &Answered) -> bool {
    let (a, b) = (&a.call.arguments, &b.call.arguments);
    let within = |a: &Map<String, Value>, b: &Map<String, Value>| {
        a.iter().all(|(name, value)| b.get(name) == Some(value))
    };
    let differ = a
        .iter()
        .any(|(name, value)| !value.is_boolean() && b.get(name).is_some_and(|other| other != value));
    within(a, b) || within(b, a) || !differ
}

/// Draws the number of requests in one turn. A model that has only seen two stops after two calls.
fn how_many(draw: &mut Draw) -> usize {
    2 + draw.weighted(&[60.0, 25.0, 15.0])
}
