//! Filler of a part of a mixture: lists of tools, and different rows over each.

use super::days::{calendar_texts, week};
use super::draw::Draw;
use super::fashion::Fashion;
use super::lists::Lists;
use super::maker::Maker;
use super::mixture::{Kind, PartOf};
use super::pick::{add_others, draw_skills, whole};
use super::said::{Drawn, Values};
use super::sentence::{Sentence, chosen};
use super::text::Part;
use super::tools::{Listed, listed};
use crate::conversation::Conversation;
use crate::error::{Error, Result};
use crate::tool::ToolSchema;
use std::collections::HashSet;

/// Kinds of rows, with their numbers.
pub(super) type Kinds = Vec<(&'static str, usize)>;

/// Rows of a part, each once.
pub(super) struct Filler<'a> {
    lists: &'a Lists,
    part: &'a PartOf,
    draw: Draw,
    subjects: Vec<usize>,
    seen: HashSet<String>,
    /// Rows, and whether they are open.
    rows: Vec<(Conversation, bool)>,
    kinds: Kinds,
}

impl<'a> Filler<'a> {
    /// Returns a filler without rows; `place` is the part in messages.
    pub(super) fn new(lists: &'a Lists, part: &'a PartOf, seed: u64, place: &str) -> Result<Self> {
        Ok(Self {
            lists,
            part,
            draw: Draw::new(seed),
            subjects: subjects(lists, part, place)?,
            seen: HashSet::new(),
            rows: Vec::new(),
            kinds: Vec::new(),
        })
    }

    /// Makes this many rows.
    pub(super) fn fill(&mut self, rows: usize, place: &str) -> Result<()> {
        let all = self.lists.subjects.iter().enumerate();
        let others: Vec<usize> = all
            .filter(|(_, subject)| !subject.apart)
            .map(|(index, _)| index)
            .collect();
        for _ in 0..rows.max(1) * 4 {
            let left = rows - self.rows.len();
            if left == 0 {
                return Ok(());
            }
            let (subject, tools) = self.list()?;
            let system = self.system(&tools);
            let schemas: Vec<ToolSchema> = tools.iter().map(|tool| tool.schema.clone()).collect();
            let maker = Maker {
                lists: self.lists,
                subject: &self.lists.subjects[subject],
                tools: &tools,
                others: &others,
                reports: self.part.reports,
                own: 70.0,
            };
            self.add(
                &maker,
                &schemas,
                system.as_deref(),
                left.min(self.part.rows_per_list),
            )?;
        }
        match self.rows.len() == rows {
            true => Ok(()),
            false => Err(Error::invalid(
                place,
                format!(
                    "there are only {} different rows, {rows} were asked for",
                    self.rows.len()
                ),
            )),
        }
    }

    /// Returns the rows, mixed, and the numbers of their kinds.
    pub(super) fn mixed(mut self) -> (Vec<(Conversation, bool)>, Kinds) {
        self.draw.shuffle(&mut self.rows);
        (self.rows, self.kinds)
    }

    /// A list of tools, and the index of its subject.
    fn list(&mut self) -> Result<(usize, Vec<Listed<'a>>)> {
        let part = self.part;
        let (subject, mut skills) = match part.whole {
            true => whole(self.lists, &self.subjects, &mut self.draw),
            false => {
                let size = 1 + self.draw.weighted(&part.sizes);
                draw_skills(self.lists, &self.subjects, size, &mut self.draw)
            }
        };
        if !part.beside.is_empty() {
            let others = self.draw.weighted(&part.beside);
            add_others(self.lists, subject, others, &mut skills, &mut self.draw);
            self.draw.shuffle(&mut skills);
        }
        let fashion = match part.canonical {
            true => Fashion::canonical(),
            false => Fashion::draw(&mut self.draw, &self.lists.subjects[subject].name),
        };
        Ok((subject, listed(&skills, &fashion, &mut self.draw)?))
    }

    /// The system prompt that the rows of a list share: none, who the assistant is, or which day it
    /// is. Lists with days among their arguments have a calendar half of the time.
    fn system(&mut self, tools: &[Listed<'_>]) -> Option<String> {
        self.draw.week.clear();
        let mut arguments = tools.iter().flat_map(|tool| tool.skill.arguments.values());
        let dated = self.part.systems > 0.0 && arguments.any(|argument| argument.kind.is_day());
        let calendar = dated && self.draw.chance(2);
        if !calendar && !self.draw.percent(self.part.systems) {
            return None;
        }
        let talk = &self.lists.talk;
        if !calendar && self.draw.chance(3) {
            return Some(chosen(&mut self.draw, &talk.personas));
        }
        let week = week(&mut self.draw, &self.lists.held_out);
        let (today, days) = calendar_texts(&week);
        let values = Values::from_iter([
            ("today".to_string(), Drawn::text(today)),
            ("days".to_string(), Drawn::text(days)),
        ]);
        let text = self.draw.one(&talk.calendars)?.choose(&mut self.draw);
        let slots: Vec<&str> = text.iter().filter_map(Part::slot).collect();
        // Without the days that come, only today and tomorrow can be looked up.
        let known = if slots.contains(&"days") { week.len() } else { 2 };
        self.draw.week = week[..known].to_vec();
        Some(Sentence::fill(&text, &[values]).text())
    }

    fn add(
        &mut self,
        maker: &Maker<'_>,
        schemas: &[ToolSchema],
        system: Option<&str>,
        count: usize,
    ) -> Result<()> {
        let (kinds, weights): (Vec<Kind>, Vec<f64>) = self.part.kinds.iter().map(|(k, w)| (*k, *w)).unzip();
        let target = self.rows.len() + count;
        for _ in 0..count * 20 {
            if self.rows.len() == target {
                break;
            }
            let kind = kinds[self.draw.weighted(&weights)];
            let Some(row) = maker.row(kind, &mut self.draw)? else {
                continue;
            };
            let mut row = row.under(system);
            if self.draw.chance(2) {
                row = row.without_earlier_steps();
            }
            if row
                .messages()
                .iter()
                .any(|message| self.lists.held_out.counts_minutes(&message.content))
            {
                continue;
            }
            let key = serde_json::to_string(&(row.messages(), schemas))
                .map_err(Error::library("comparing rows"))?;
            if self.seen.insert(key) {
                let open = row.open;
                self.rows.push((row.with(schemas.to_vec()), open));
                add(&mut self.kinds, kind.name(), 1);
            }
        }
        Ok(())
    }
}

fn subjects(lists: &Lists, part: &PartOf, place: &str) -> Result<Vec<usize>> {
    let index = |name: &String| {
        let found = lists.subjects.iter().position(|subject| subject.name == *name);
        found.ok_or_else(|| Error::invalid(place, format!("there is no subject `{name}`")))
    };
    let except: Vec<usize> = part.except.iter().map(index).collect::<Result<_>>()?;
    match part.subjects.is_empty() {
        true => Ok((0..lists.subjects.len())
            .filter(|&subject| !except.contains(&subject) && !lists.subjects[subject].apart)
            .collect()),
        false => part.subjects.iter().map(index).collect(),
    }
}

/// Counts rows of a kind.
pub(super) fn add(kinds: &mut Kinds, kind: &'static str, count: usize) {
    match kinds.iter_mut().find(|(known, _)| *known == kind) {
        Some((_, total)) => *total += count,
        None => kinds.push((kind, count)),
    }
}
