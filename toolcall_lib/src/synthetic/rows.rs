//! Makes rows of every kind over a list of tools.

use super::draw::Draw;
use super::lists::{Lists, Subject};
use super::mixture::Kind;
use super::request::{Answered, Request, answered, both, draw_values, request, several};
use super::row::Row;
use super::said::Drawn;
use super::sentence::{Sentence, chosen};
use super::skill::{Skill, plain};
use super::text::Template;
use super::tools::{Fashion, Listed, Values};
use crate::error::Result;

/// Sources of the rows of one list.
pub(super) struct Maker<'a> {
    pub(super) lists: &'a Lists,
    /// The subject of the list.
    pub(super) subject: &'a Subject,
    pub(super) tools: &'a [Listed<'a>],
    /// Subjects whose requests no tool of the list serves, unless tools of theirs are in it.
    pub(super) others: &'a [usize],
    /// Percentage of the rows with calls that go on behind the calls.
    pub(super) reports: f64,
    /// Percentage of the requests that must be for a tool of the subject.
    pub(super) own: f64,
}

impl Maker<'_> {
    /// Makes a row of this kind, unless the list has no tool for it.
    pub(super) fn row(&self, kind: Kind, draw: &mut Draw) -> Result<Option<Row>> {
        Ok(match kind {
            Kind::OneCall => self.any_request(draw).map(|request| self.asked(request, draw)),
            Kind::Several => self.several(draw).map(|request| self.asked(request, draw)),
            Kind::TwoTools => self.two_tools(draw).map(|request| self.asked(request, draw)),
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

    /// Returns a tool of the list. Where others stand beside those of the subject, it is mostly one
    /// of the subject.
    fn any_tool(&self, draw: &mut Draw) -> Option<&Listed<'_>> {
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

    fn any_request(&self, draw: &mut Draw) -> Option<Request> {
        let tool = self.any_tool(draw)?;
        Some(request(tool, draw, &self.lists.held_out))
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
        let (first, second) = (
            request(tool, draw, &self.lists.held_out),
            request(tool, draw, &self.lists.held_out),
        );
        (first.calls[0].call != second.calls[0].call).then(|| both(first, second, draw))
    }

    fn two_tools(&self, draw: &mut Draw) -> Option<Request> {
        let first = draw.index(self.tools.len());
        let second = (first + 1 + draw.index(self.tools.len() - 1)) % self.tools.len();
        let make = |index: usize, draw: &mut Draw| {
            let tool = &self.tools[index];
            match draw.chance(6) {
                true => several(tool, draw, &self.lists.held_out),
                false => None,
            }
            .unwrap_or_else(|| request(tool, draw, &self.lists.held_out))
        };
        (first != second).then(|| {
            let (first, second) = (make(first, draw), make(second, draw));
            both(first, second, draw)
        })
    }

    /// Makes a row of the request and its calls, and now and then the turns behind them.
    fn asked(&self, request: Request, draw: &mut Draw) -> Row {
        let said = request.ask.typed(draw, &self.lists.talk).text();
        self.reported(Row::default().user(said), request.calls, request.reply, draw)
    }

    fn reported(&self, row: Row, calls: Vec<Answered>, reply: String, draw: &mut Draw) -> Row {
        let row = row.calls(calls);
        match draw.percent(self.reports) && !reply.is_empty() {
            true => row.says(reply),
            false => row.until_calls(),
        }
    }

    /// Makes a row in which the user leaves out a value that a call needs, and says it when asked.
    fn question(&self, draw: &mut Draw) -> Option<Row> {
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
        if first.reply.is_empty() {
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

    /// Makes a row with a request that a tool of another list would serve, or that no tool of any
    /// list does.
    fn no_tool(&self, draw: &mut Draw) -> Result<Row> {
        let foreign = match draw.percent(55.0) {
            true => self.foreign_request(draw)?,
            false => None,
        };
        let open = foreign.is_none();
        let said = foreign.unwrap_or_else(|| Sentence::plain(chosen(draw, &self.lists.talk.beyond)));
        let row = Row::default().user(said.typed(draw, &self.lists.talk).text());
        let row = row.says(self.refusal());
        Ok(if open { row.open() } else { row })
    }

    fn refusal(&self) -> &str {
        let own = self.subject.no_tool.as_deref();
        own.unwrap_or(&self.lists.talk.no_tool)
    }

    fn foreign_request(&self, draw: &mut Draw) -> Result<Option<Sentence>> {
        let Some(&other) = draw.one(self.others) else {
            return Ok(None);
        };
        let subject = &self.lists.subjects[other];
        if subject.name == self.subject.name || self.related(subject) || self.tools_of(subject) {
            return Ok(None);
        }
        self.unserved(subject, draw)
    }

    fn related(&self, other: &Subject) -> bool {
        self.subject.is_like(other)
    }

    fn tools_of(&self, subject: &Subject) -> bool {
        let of = |id: &str| subject.skills.iter().any(|skill| skill.id() == id);
        self.tools.iter().any(|tool| of(tool.skill.id()))
    }

    /// Returns a request for a skill of the subject that the list lacks.
    fn unserved(&self, subject: &Subject, draw: &mut Draw) -> Result<Option<Sentence>> {
        let listed = |id: &str| self.tools.iter().any(|tool| tool.skill.id() == id);
        let lacking: Vec<_> = subject
            .skills
            .iter()
            .filter(|skill| !listed(skill.id()))
            .collect();
        let Some(&skill) = draw.one(&lacking) else {
            return Ok(None);
        };
        let tool = Listed::new(skill, &Fashion::canonical(), draw)?;
        Ok(Some(request(&tool, draw, &self.lists.held_out).ask))
    }

    /// Makes a row on the subject with a sentence that no tool of the list serves.
    fn near(&self, draw: &mut Draw) -> Result<Option<Row>> {
        let texts = |of: fn(&Skill) -> &[Template]| -> Vec<(&Skill, &Template)> {
            let tools = self.tools.iter().map(|tool| tool.skill);
            tools
                .flat_map(|skill| of(skill).iter().map(move |text| (skill, text)))
                .collect()
        };
        let (near, beyond) = (texts(|skill| &skill.near), texts(|skill| &skill.beyond));
        let filled = |text: Option<&(&Skill, &Template)>, draw: &mut Draw| {
            let (skill, text) = text?;
            let parts = text.choose(draw);
            let values = draw_values(skill, &parts, 1, draw, &self.lists.held_out);
            Some(Sentence::fill(&parts, &values).capital())
        };
        // 1. A request for a tool that the list lacks, or for what no tool of the subject does.
        let mut said = match near.is_empty() || draw.percent(55.0) {
            true => self.unserved(self.subject, draw)?,
            false => None,
        };
        if said.is_none() && (near.is_empty() || draw.chance(2)) {
            let text = draw.one(&beyond);
            said = filled(text, draw);
        }
        if let Some(said) = said {
            let row = Row::default().user(said.typed(draw, &self.lists.talk).text());
            return Ok(Some(row.says(self.refusal())));
        }
        // 2. Or a sentence that asks for nothing.
        let text = draw.one(&near);
        Ok(filled(text, draw).map(|said| {
            let row = Row::default().user(said.typed(draw, &self.lists.talk).text());
            row.says("All right. Tell me if I can do something for you.")
        }))
    }

    fn small_talk(&self, draw: &mut Draw) -> Option<Row> {
        let (said, answer) = draw.one(&self.lists.talk.small)?;
        let text = |template: &Template, draw: &mut Draw| Sentence::fill(&template.choose(draw), &[]).text();
        let (said, answer) = (text(said, draw), text(answer, draw));
        Some(Row::default().user(said).says(answer))
    }
}

/// The place of the first word of an argument's names in a question, or behind it.
fn place_of(slot: &str, skill: &Skill, question: &str) -> usize {
    let low = question.to_lowercase();
    let names = skill
        .argument(slot)
        .map(|argument| argument.names.join("_"))
        .unwrap_or_default();
    let words = format!("{slot}_{names}").to_lowercase();
    let words = words.split(['_', '.']).filter(|word| word.len() > 2);
    words.filter_map(|word| low.find(word)).min().unwrap_or(low.len())
}
