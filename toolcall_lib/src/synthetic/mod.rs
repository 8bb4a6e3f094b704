//! Makes conversations with tools from lists of skills, values and wordings: any number, from a
//! seed.
//!
//! The lists are data (`data/lists`, see the README there), and so are the mixtures, which say how
//! many rows of each kind are made. Values and wordings of the held-out files are never drawn:
//! `held_out.toml`.

// In the order in which to read them: each uses those above it.
mod draw;
mod text;
mod held_out;
mod said;
mod days;
mod duration;
mod value;
mod written;
mod skill;
mod talk;
mod sentence;
mod fashion;
mod bounds;
mod tools;
mod request;
mod spread;
mod row;
mod dialogue;
mod subject;
mod mixture;
mod lists;
mod maker;
mod questions;
mod limits;
mod refusals;
mod rows;
mod pick;
mod filler;
mod own; // uses `make` below

pub use lists::Lists;
pub use own::{AugmentConfig, Augmented, Teacher, ToolReport, augment};

use crate::conversation::Conversation;
use crate::dataset::Dataset;
use crate::error::{Error, Result};
use filler::Filler;

/// The seed of the committed files.
pub const SEED: u64 = 42;

/// Most rows that are made at a time; they are held in memory.
const MOST_ROWS: usize = 1_000_000;

/// Rows that were made.
#[derive(Clone, Debug, Default)]
pub struct Made {
    /// The rows.
    pub data: Dataset,
    /// The kinds of rows, with their numbers.
    pub kinds: Vec<(&'static str, usize)>,
    /// Indices of the rows that ask for what no tool of any list does (a poem, a joke), which a
    /// model may answer by itself: [`answer_without_tools`](crate::generate::answer_without_tools).
    pub open: Vec<usize>,
}

/// Makes the rows of one part of a mixture, mixed: as many as the mixture says, or `rows`.
///
/// # Errors
/// The mixture, part or subject does not exist, a part has too few different rows, or more than a
/// million are asked for.
pub fn make_part(lists: &Lists, mixture: &str, part: &str, rows: Option<usize>, seed: u64) -> Result<Made> {
    refuse_too_many(rows)?;
    let place = format!("mixtures.toml: {mixture}.{part}");
    let found = lists.mixtures.get(mixture).and_then(|mixture| mixture.get(part));
    let found = found.ok_or_else(|| Error::invalid(&place, "is not there"))?;
    let mut filler = Filler::new(lists, found, seed, &place)?;
    filler.fill(rows.unwrap_or(found.rows), &place)?;
    let (rows, kinds) = filler.mixed();
    let (rows, open): (Vec<Conversation>, Vec<bool>) = rows.into_iter().unzip();
    Ok(Made {
        data: Dataset::from(rows),
        kinds,
        open: (0..open.len()).filter(|&row| open[row]).collect(),
    })
}

/// Refuses a number of rows that memory may not hold.
fn refuse_too_many(rows: Option<usize>) -> Result<()> {
    match rows.filter(|rows| *rows > MOST_ROWS) {
        Some(rows) => {
            let problem = format!("{rows} are too many; expected at most {MOST_ROWS}");
            Err(Error::invalid("rows", problem))
        }
        None => Ok(()),
    }
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
    refuse_too_many(rows)?;
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
            filler::add(&mut self.kinds, kind, count);
        }
    }
}
