//! Maker of the rows of one list: a tool for a request, and the turns from the request on.

use super::draw::Draw;
use super::lists::Lists;
use super::request::{Answered, Request, answered, request};
use super::row::Row;
use super::said::{Drawn, Values};
use super::sentence::Sentence;
use super::subject::Subject;
use super::tools::Listed;

/// Sources of the rows of one list.
pub(super) struct Maker<'a> {
    pub(super) lists: &'a Lists,
    /// The subject of the list.
    pub(super) subject: &'a Subject,
    pub(super) tools: &'a [Listed<'a>],
    /// Subjects whose requests no tool of the list serves, except subjects that have a tool in the
    /// list.
    pub(super) others: &'a [usize],
    /// Percentage of the rows with calls that go on after the calls.
    pub(super) reports: f64,
    /// Percentage of the requests that must be for a tool of the subject.
    pub(super) own: f64,
}

impl Maker<'_> {
    /// Returns a tool of the list, mostly one of the subject where the list has other tools too.
    pub(super) fn any_tool(&self, draw: &mut Draw) -> Option<&Listed<'_>> {
        let own = |tool: &&Listed<'_>| {
            self.subject
                .skills
                .iter()
                .any(|skill| skill.id() == tool.skill.id())
        };
        let own: Vec<&Listed<'_>> = self.tools.iter().filter(own).collect();
        let among = match own.len() < self.tools.len() && draw.percent(self.own) {
            true => own,
            false => self.tools.iter().collect(),
        };
        // Tools without arguments weigh twice: one in six has none, and a model seldom chooses them
        // otherwise.
        let bare = |tool: &&Listed<'_>| tool.skill.arguments.is_empty();
        let weights: Vec<f64> = among
            .iter()
            .map(|tool| if bare(tool) { 2.0 } else { 1.0 })
            .collect();
        among.get(draw.weighted(&weights)).copied()
    }

    pub(super) fn any_request(&self, draw: &mut Draw) -> Option<Request> {
        let tool = self.any_tool(draw)?;
        Some(request(tool, draw, &self.lists.held_out))
    }

    /// Makes a row of the request and its calls, and now and then the turns after them.
    pub(super) fn asked(&self, request: Request, draw: &mut Draw) -> Row {
        let said = request.ask.typed(draw, &self.lists.talk).text();
        self.reported(Row::default().user(said), request.calls, request.reply, draw)
    }

    pub(super) fn reported(&self, row: Row, calls: Vec<Answered>, reply: String, draw: &mut Draw) -> Row {
        let row = row.calls(calls);
        match draw.percent(self.reports) && !reply.is_empty() {
            true => row.says(reply),
            false => row.until_calls(),
        }
    }

    /// Makes the row with the user's answer to the question, and the call that it makes possible.
    pub(super) fn given(
        &self,
        row: Row,
        answer: String,
        tool: &Listed<'_>,
        values: Values,
        draw: &mut Draw,
    ) -> Row {
        let frame = draw.one(&self.lists.talk.answers).map(|frame| frame.choose(draw));
        let framed = Values::from_iter([("answer".to_string(), Drawn::text(answer))]);
        let answer = Sentence::fill(&frame.unwrap_or_default(), &[framed])
            .capital()
            .text();
        let (calls, reply) = answered(tool, None, &[values], draw);
        self.reported(row.user(answer), calls, reply, draw)
    }
}
