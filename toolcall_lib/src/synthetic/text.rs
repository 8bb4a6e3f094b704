//! Texts with variants: `(Book|Reserve) a table for {people}[ at {place}].`
//!
//! `{name}` is the value of an argument (`{name#2}` that of a second call), `(a|b)` one of several
//! pieces, `[piece]` a piece that may be left out. A backslash escapes the character after it;
//! parentheses without `|` and braces around anything but a name are plain text.

use super::draw::Draw;
use serde::Deserialize;
use std::fmt;
use std::iter::Peekable;
use std::str::Chars;

/// A text with variants.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Template(Vec<Piece>);

#[derive(Clone, Debug, PartialEq)]
enum Piece {
    Text(String),
    Slot(Slot),
    OneOf(Vec<Vec<Piece>>),
    Maybe(Vec<Piece>),
}

/// A place for a value.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Slot {
    /// The argument, with its field if it is an object: `address.street`.
    pub(super) name: String,
    /// The call that it belongs to, from 1; `None`: every call of the request.
    pub(super) call: Option<usize>,
}

/// A piece of a text whose variants are chosen.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Part {
    Text(String),
    Slot(Slot),
}

impl Part {
    /// The name of the slot, if it is one.
    pub(super) fn slot(&self) -> Option<&str> {
        match self {
            Self::Slot(slot) => Some(&slot.name),
            Self::Text(_) => None,
        }
    }

    /// The call that the slot belongs to, from 1, if it is the slot of one call.
    pub(super) fn call(&self) -> Option<usize> {
        match self {
            Self::Slot(slot) => slot.call,
            Self::Text(_) => None,
        }
    }
}

impl Template {
    /// A text whose only special characters are slots: JSON.
    pub(super) fn with_slots(text: &str) -> Self {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(start) = rest.find('{') {
            let (before, behind) = rest.split_at(start);
            match slot_at(behind) {
                Some((slot, length)) => {
                    push_text(&mut pieces, before);
                    pieces.push(Piece::Slot(slot));
                    rest = &behind[length..];
                }
                None => {
                    push_text(&mut pieces, &rest[..=start]);
                    rest = &behind[1..];
                }
            }
        }
        push_text(&mut pieces, rest);
        Self(pieces)
    }

    /// Adds text, with any characters in it.
    pub(super) fn push_text(&mut self, text: &str) {
        push_text(&mut self.0, text);
    }

    /// Adds the place for an argument.
    pub(super) fn push_slot(&mut self, name: &str) {
        self.0.push(Piece::Slot(Slot {
            name: name.to_string(),
            call: None,
        }));
    }

    /// All slots, those of variants too.
    pub(super) fn slots(&self) -> Vec<&Slot> {
        let mut slots = Vec::new();
        collect(&self.0, true, &mut slots);
        slots
    }

    /// The slots that are in every variant of optional pieces.
    pub(super) fn certain_slots(&self) -> Vec<&Slot> {
        let mut slots = Vec::new();
        collect(&self.0, false, &mut slots);
        slots
    }

    /// The pieces of a text that has no variants.
    pub(super) fn given_parts(&self) -> Vec<Part> {
        let part = |piece: &Piece| match piece {
            Piece::Text(text) => Some(Part::Text(text.clone())),
            Piece::Slot(slot) => Some(Part::Slot(slot.clone())),
            Piece::OneOf(_) | Piece::Maybe(_) => None,
        };
        self.0.iter().filter_map(part).collect()
    }

    /// Every text that choosing can give. Slots stay as they are written.
    pub(super) fn variants(&self) -> Vec<String> {
        variants(&self.0)
    }

    /// Chooses the variants; an optional piece stays seven times in ten where it has a value, else
    /// every other time. A model that seldom sees optional values leaves out required ones as well.
    pub(super) fn choose(&self, draw: &mut Draw) -> Vec<Part> {
        let mut parts = Vec::new();
        let mut stays = |pieces: &[Piece], draw: &mut Draw| {
            let mut slots = Vec::new();
            collect(pieces, true, &mut slots);
            draw.percent(if slots.is_empty() { 50.0 } else { 70.0 })
        };
        choose(&self.0, draw, &mut stays, &mut parts);
        parts
    }

    /// Chooses the variants; an optional piece stays where all its slots have a value.
    pub(super) fn choose_given(&self, draw: &mut Draw, has: &dyn Fn(&Slot) -> bool) -> Vec<Part> {
        let mut parts = Vec::new();
        let mut stays = |pieces: &[Piece], _: &mut Draw| {
            let mut slots = Vec::new();
            collect(pieces, true, &mut slots);
            slots.into_iter().all(has)
        };
        choose(&self.0, draw, &mut stays, &mut parts);
        parts
    }
}

impl fmt::Display for Template {
    /// The text that is read as this template.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(&self.0, f)
    }
}

fn write(pieces: &[Piece], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for piece in pieces {
        match piece {
            Piece::Text(text) => {
                for sign in text.chars() {
                    let escape = if "()[]|\\{".contains(sign) { "\\" } else { "" };
                    write!(f, "{escape}{sign}")?;
                }
            }
            Piece::Slot(Slot { name, call: None }) => write!(f, "{{{name}}}")?,
            Piece::Slot(Slot {
                name,
                call: Some(call),
            }) => write!(f, "{{{name}#{call}}}")?,
            Piece::OneOf(several) => {
                for (index, one) in several.iter().enumerate() {
                    f.write_str(if index == 0 { "(" } else { "|" })?;
                    write(one, f)?;
                }
                f.write_str(")")?;
            }
            Piece::Maybe(pieces) => {
                f.write_str("[")?;
                write(pieces, f)?;
                f.write_str("]")?;
            }
        }
    }
    Ok(())
}

impl TryFrom<String> for Template {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let mut signs = text.chars().peekable();
        let pieces = pieces(&mut signs, "").map_err(|problem| format!("{problem} in `{text}`"))?;
        match signs.next() {
            None => Ok(Self(pieces)),
            Some(sign) => Err(format!("`{sign}` closes nothing in `{text}`")),
        }
    }
}

/// Reads pieces up to one of the characters in `ends`, which stays.
fn pieces(signs: &mut Peekable<Chars<'_>>, ends: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    while let Some(&sign) = signs.peek() {
        if ends.contains(sign) {
            break;
        }
        match sign {
            ')' | ']' => return Err(format!("`{sign}` closes nothing")),
            '|' => return Err("`|` is outside of parentheses".into()),
            _ => drop(signs.next()),
        }
        match sign {
            '\\' => {
                let next = signs.next().ok_or("a backslash ends the text")?;
                push_text(&mut pieces, &next.to_string());
            }
            '[' => pieces.push(Piece::Maybe(group(signs, ']')?.concat())),
            '(' => match group(signs, ')')? {
                mut one if one.len() == 1 => {
                    push_text(&mut pieces, "(");
                    pieces.append(&mut one[0]);
                    push_text(&mut pieces, ")");
                }
                several => pieces.push(Piece::OneOf(several)),
            },
            '{' => {
                let rest: String = std::iter::once('{').chain(signs.clone()).collect();
                match slot_at(&rest) {
                    Some((slot, length)) => {
                        pieces.push(Piece::Slot(slot));
                        signs
                            .by_ref()
                            .take(rest[..length].chars().count() - 1)
                            .for_each(drop);
                    }
                    None => push_text(&mut pieces, "{"),
                }
            }
            plain => push_text(&mut pieces, &plain.to_string()),
        }
    }
    Ok(pieces)
}

/// Reads the alternatives of a group up to `end` and over it.
fn group(signs: &mut Peekable<Chars<'_>>, end: char) -> Result<Vec<Vec<Piece>>, String> {
    let ends = if end == ')' { "|)" } else { "]" };
    let mut alternatives = Vec::new();
    loop {
        alternatives.push(pieces(signs, ends)?);
        match signs.next() {
            Some('|') => {}
            Some(_) => return Ok(alternatives),
            None => return Err(format!("`{end}` is missing")),
        }
    }
}

/// The slot that the text begins with, and its length.
fn slot_at(text: &str) -> Option<(Slot, usize)> {
    let inside = &text.strip_prefix('{')?[..text.find('}')? - 1];
    let (name, call) = match inside.split_once('#') {
        Some((name, call)) => (name, Some(call.parse().ok()?)),
        None => (inside, None),
    };
    let fits = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
    let slot = Slot {
        name: name.to_string(),
        call,
    };
    (!name.is_empty() && name.chars().all(fits)).then_some((slot, inside.len() + 2))
}

fn push_text(pieces: &mut Vec<Piece>, text: &str) {
    match pieces.last_mut() {
        Some(Piece::Text(last)) => last.push_str(text),
        _ if text.is_empty() => {}
        _ => pieces.push(Piece::Text(text.to_string())),
    }
}

fn collect<'a>(pieces: &'a [Piece], optional: bool, slots: &mut Vec<&'a Slot>) {
    for piece in pieces {
        match piece {
            Piece::Text(_) => {}
            Piece::Slot(slot) => slots.push(slot),
            Piece::OneOf(several) => several.iter().for_each(|one| collect(one, optional, slots)),
            Piece::Maybe(pieces) if optional => collect(pieces, optional, slots),
            Piece::Maybe(_) => {}
        }
    }
}

fn variants(pieces: &[Piece]) -> Vec<String> {
    let mut texts = vec![String::new()];
    for piece in pieces {
        let ways: Vec<String> = match piece {
            Piece::Text(text) => vec![text.clone()],
            Piece::Slot(slot) => vec![format!("{{{}}}", slot.name)],
            Piece::OneOf(several) => several.iter().flat_map(|one| variants(one)).collect(),
            Piece::Maybe(pieces) => std::iter::once(String::new()).chain(variants(pieces)).collect(),
        };
        texts = texts
            .iter()
            .flat_map(|text| ways.iter().map(move |way| format!("{text}{way}")))
            .collect();
    }
    texts
}

fn choose(
    pieces: &[Piece],
    draw: &mut Draw,
    stays: &mut dyn FnMut(&[Piece], &mut Draw) -> bool,
    parts: &mut Vec<Part>,
) {
    for piece in pieces {
        match piece {
            Piece::Text(text) => parts.push(Part::Text(text.clone())),
            Piece::Slot(slot) => parts.push(Part::Slot(slot.clone())),
            Piece::OneOf(several) => {
                let index = draw.index(several.len());
                choose(&several[index], draw, stays, parts);
            }
            Piece::Maybe(pieces) => {
                if stays(pieces, draw) {
                    choose(pieces, draw, stays, parts);
                }
            }
        }
    }
}
