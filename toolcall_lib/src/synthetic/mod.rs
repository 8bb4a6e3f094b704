//! Makes conversations with tools from lists of skills, values and wordings: any number, from a
//! seed.
//!
//! The lists are data (`data/lists`, see the README there), and so are the mixtures, which say how
//! many rows of what are made. What the held-out files are made of is never drawn: `held_out.toml`.

mod bounds;
mod dialogue;
mod draw;
mod duration;
mod held_out;
mod limits;
mod lists;
mod mixture;
mod own;
mod request;
mod row;
mod rows;
mod said;
mod sentence;
mod skill;
mod text;
mod tools;
mod value;

pub use lists::Lists;
pub use own::{AugmentConfig, Augmented, Teacher, ToolReport, augment};

use crate::conversation::Conversation;
use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::tool::ToolSchema;
use draw::Draw;
use mixture::{Kind, PartOf};
use rows::Maker;
use said::{Drawn, calendar_texts, week};
use sentence::{Sentence, chosen};
use std::collections::HashSet;
use text::Part;
use tools::{Fashion, Listed, Values, add_others, draw_skills, listed, whole};

/// The seed of the committed files.
pub const SEED: u64 = 42;

/// Rows that were made.
#[derive(Clone, Debug, Default)]
pub struct Made {
    /// The rows.
    pub data: Dataset,
    /// The kinds of rows, with their numbers.
    pub kinds: Vec<(&'static str, usize)>,
    /// Indices of the rows that ask for what no tool of any list does (a poem, a joke), which a
    /// model may answer by itself: [`answer_freely`](crate::generate::answer_freely).
    pub open: Vec<usize>,
}

/// Makes the rows of one part of a mixture, mixed: as many as the mixture says, or `rows`.
///
/// # Errors
/// Names the mixture, part or subject that does not exist, or a part that has too few different
/// rows.
pub fn make_part(lists: &Lists, mixture: &str, part: &str, rows: Option<usize>, seed: u64) -> Result<Made> {
    let place = format!("mixtures.toml: {mixture}.{part}");
    let found = lists.mixtures.get(mixture).and_then(|mixture| mixture.get(part));
    let found = found.ok_or_else(|| Error::invalid(&place, "is not there"))?;
    let mut filler = Filler {
        lists,
        part: found,
        draw: Draw::new(seed),
        subjects: subjects(lists, found, &place)?,
        seen: HashSet::new(),
        rows: Vec::new(),
        kinds: Vec::new(),
    };
    filler.fill(rows.unwrap_or(found.rows), &place)?;
    filler.draw.shuffle(&mut filler.rows);
    let (rows, open): (Vec<Conversation>, Vec<bool>) = filler.rows.into_iter().unzip();
    Ok(Made {
        data: Dataset::from(rows),
        kinds: filler.kinds,
        open: (0..open.len()).filter(|&row| open[row]).collect(),
    })
}

/// Makes the rows of a mixture; `rows` scales all of its parts.
///
/// # Errors
/// The errors of [`make_part`].
pub fn make(lists: &Lists, mixture: &str, rows: Option<usize>, seed: u64) -> Result<Made> {
    let parts = lists.mixtures.get(mixture).ok_or_else(|| {
        let known: Vec<&str> = lists.mixtures.keys().map(String::as_str).collect();
        Error::invalid(
            format!("mixture `{mixture}`"),
            format!("is not there; expected one of {}", known.join(", ")),
        )
    })?;
    let all: usize = parts.values().map(|part| part.rows).sum();
    let mut made = Made::default();
    let mut before = 0; // rows of the parts before, as the mixture has them
    for (index, (name, part)) in parts.iter().enumerate() {
        let share = |upto: usize| rows.map(|rows| rows * upto / all.max(1));
        let upto = before + part.rows;
        let count = share(upto).zip(share(before)).map(|(upto, before)| upto - before);
        before = upto;
        let seed = seed.wrapping_add(1000 * index as u64);
        made.extend(make_part(lists, mixture, name, count, seed)?);
    }
    Ok(made)
}

impl Made {
    fn extend(&mut self, other: Self) {
        let before = self.data.rows.len();
        self.open.extend(other.open.iter().map(|row| before + row));
        self.data.extend(other.data);
        for (kind, count) in other.kinds {
            add(&mut self.kinds, kind, count);
        }
    }
}

fn add(kinds: &mut Vec<(&'static str, usize)>, kind: &'static str, count: usize) {
    match kinds.iter_mut().find(|(known, _)| *known == kind) {
        Some((_, total)) => *total += count,
        None => kinds.push((kind, count)),
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

/// Rows of a part, each once.
struct Filler<'a> {
    lists: &'a Lists,
    part: &'a PartOf,
    draw: Draw,
    subjects: Vec<usize>,
    seen: HashSet<String>,
    /// Rows, and whether they are open.
    rows: Vec<(Conversation, bool)>,
    kinds: Vec<(&'static str, usize)>,
}

impl<'a> Filler<'a> {
    fn fill(&mut self, rows: usize, place: &str) -> Result<()> {
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
            false => Fashion::draw(&mut self.draw, &self.lists.subjects[subject]),
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
