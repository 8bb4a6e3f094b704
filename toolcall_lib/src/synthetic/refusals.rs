//! Requests that no tool of the list serves.

use super::draw::Draw;
use super::fashion::Fashion;
use super::maker::Maker;
use super::request::{draw_values, request};
use super::row::Row;
use super::sentence::{Sentence, chosen};
use super::skill::Skill;
use super::subject::Subject;
use super::text::Template;
use super::tools::Listed;
use crate::error::Result;

impl Maker<'_> {
    /// Makes a row with a request that a tool of another list would serve, or that no tool of any
    /// list does.
    pub(super) fn no_tool(&self, draw: &mut Draw) -> Result<Row> {
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

    /// Returns the sentence that no tool serves the request: the subject's own, which names what
    /// its tools do, if the list has all of these and no others.
    fn refusal(&self) -> &str {
        let skills = &self.subject.skills;
        let of_subject = |tool: &Listed<'_>| skills.iter().any(|skill| skill.id() == tool.skill.id());
        let whole = self.tools.len() == skills.len() && self.tools.iter().all(of_subject);
        let own = self.subject.no_tool.as_deref().filter(|_| whole);
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
    pub(super) fn near(&self, draw: &mut Draw) -> Result<Option<Row>> {
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
        // 2. Or a sentence that asks for nothing, and a question that no tool answers.
        let text = draw.one(&near);
        Ok(filled(text, draw).map(|said| {
            let answer = match said.is_question() {
                true => self.refusal(),
                false => "All right. Tell me if I can do something for you.",
            };
            let row = Row::default().user(said.typed(draw, &self.lists.talk).text());
            row.says(answer)
        }))
    }
}
