//! Sentences of users: texts with values filled in, and the habits of people who type.

use super::draw::Draw;
use super::duration::as_adjective;
use super::said::{Drawn, Values};
use super::skill::plain;
use super::talk::Talk;
use super::text::{Part, Slot, Template};
use super::value::text_of;

/// A sentence that keeps its values separate, since no habit may change them.
#[derive(Clone, Debug, Default)]
pub(super) struct Sentence(Vec<Piece>);

#[derive(Clone, Debug)]
struct Piece {
    text: String,
    is_value: bool,
}

impl Sentence {
    pub(super) fn plain(text: impl Into<String>) -> Self {
        let mut sentence = Self::default();
        sentence.push(text, false);
        sentence
    }

    /// Fills in the values of each call. Calls count from 1; slots without a number take the values
    /// of the first call.
    pub(super) fn fill(parts: &[Part], calls: &[Values]) -> Self {
        let mut sentence = Self::default();
        for part in parts {
            match part {
                Part::Text(text) => sentence.push(text, false),
                Part::Slot(slot) => {
                    let said = said(slot, calls);
                    sentence.fit_article(&said);
                    sentence.push(said, true);
                }
            }
        }
        sentence
    }

    /// Turns an `a` at the end into `an`, or back, as the value after it needs. Drops `on` before
    /// `tomorrow`.
    fn fit_article(&mut self, value: &str) {
        let Some(last) = self.0.last_mut().filter(|last| !last.is_value) else {
            return;
        };
        if ["today", "tomorrow", "yesterday"].contains(&value) {
            let bare = last.text.trim_end_matches("on ").trim_end_matches("On ");
            last.text.truncate(bare.len());
            return;
        }
        let word = last
            .text
            .trim_end_matches(' ')
            .rsplit(' ')
            .next()
            .unwrap_or_default();
        let wanted = match (word, an_before(value)) {
            ("a", true) => "an ",
            ("A", true) => "An ",
            ("an", false) => "a ",
            ("An", false) => "A ",
            _ => return,
        };
        let kept = last.text.trim_end_matches(' ').len() - word.len();
        if last.text.ends_with(' ') {
            last.text.truncate(kept);
            last.text.push_str(wanted);
        }
    }

    fn push(&mut self, text: impl Into<String>, is_value: bool) {
        let text = text.into();
        match self.0.last_mut() {
            Some(last) if !is_value && !last.is_value => last.text.push_str(&text),
            _ => self.0.push(Piece { text, is_value }),
        }
    }

    /// Adds another sentence after `between`.
    pub(super) fn join(mut self, between: &str, other: Self) -> Self {
        self.push(between, false);
        for piece in other.0 {
            self.push(piece.text, piece.is_value);
        }
        self
    }

    pub(super) fn text(&self) -> String {
        self.0.iter().map(|piece| piece.text.as_str()).collect()
    }

    pub(super) fn is_question(&self) -> bool {
        self.0.last().is_some_and(|piece| piece.text.ends_with('?'))
    }

    /// Writes a capital at its start, unless a value is there.
    pub(super) fn capital(mut self) -> Self {
        if let Some(first) = self.0.first_mut().filter(|first| !first.is_value) {
            first.text = upper(&first.text);
        }
        self
    }

    /// Writes a small letter at its start, unless that may be a name, an acronym or `I`.
    pub(super) fn small(mut self) -> Self {
        let first = self.0.first_mut().filter(|first| !first.is_value);
        if let Some(first) = first {
            let word = first.text.split([' ', ',', '\'']).next().unwrap_or_default();
            let is_acronym = word.chars().nth(1).is_none_or(char::is_uppercase); // `TV`, and `I`
            if !is_acronym {
                first.text = lower(&first.text);
            }
        }
        self
    }

    /// Removes the punctuation mark that ends it.
    pub(super) fn without_sign(mut self) -> Self {
        if let Some(last) = self.0.last_mut().filter(|last| !last.is_value) {
            last.text = last.text.trim_end_matches(['.', '?', '!']).to_string();
        }
        self
    }

    /// Changes it to the way some people type: in lower case, without punctuation, with slips, with
    /// words around.
    pub(super) fn typed(self, draw: &mut Draw, talk: &Talk) -> Self {
        match draw.weighted(&[64.0, 8.0, 6.0, 6.0, 5.0, 6.0, 5.0]) {
            0 => self,
            1 => self.without_sign().map_text(str::to_lowercase),
            2 => self.without_sign(),
            3 => self.slip(draw),
            4 => {
                let greeting = draw.text(&["Hi, ", "Hey, ", "Hello, ", "OK, ", "So, ", "Hi! ", "Ok so "]);
                Self::plain(greeting).join("", self.small())
            }
            5 => {
                let before = chosen(draw, &talk.before);
                let said = if before.ends_with(',') { self.small() } else { self };
                Self::plain(before).join(" ", said)
            }
            _ => {
                let behind = chosen(draw, &talk.behind);
                self.join(" ", Self::plain(behind))
            }
        }
    }

    fn map_text(mut self, change: impl Fn(&str) -> String) -> Self {
        for piece in self.0.iter_mut().filter(|piece| !piece.is_value) {
            piece.text = change(&piece.text);
        }
        self
    }

    /// Drops or swaps a letter inside of a long word.
    fn slip(mut self, draw: &mut Draw) -> Self {
        let long = |piece: &Piece| !piece.is_value && piece.text.len() > 8;
        let places: Vec<usize> = (0..self.0.len()).filter(|&i| long(&self.0[i])).collect();
        let Some(&place) = draw.one(&places) else {
            return self;
        };
        let letters: Vec<char> = self.0[place].text.chars().collect();
        let inside = |i: usize| letters[i - 1..i + 3].iter().all(|c| c.is_ascii_lowercase());
        let spots: Vec<usize> = (1..letters.len().saturating_sub(3))
            .filter(|&i| inside(i))
            .collect();
        let Some(&spot) = draw.one(&spots) else {
            return self;
        };
        let mut letters = letters;
        match draw.chance(2) {
            true => letters.swap(spot, spot + 1),
            false => drop(letters.remove(spot)),
        }
        self.0[place].text = letters.into_iter().collect();
        self
    }
}

/// Returns true if `an` and not `a` comes before this word: before a vowel that is spoken, and
/// before 8, 11, 18 and 80.
fn an_before(value: &str) -> bool {
    let low = value.to_lowercase();
    let number = low
        .split(|c: char| !c.is_ascii_digit())
        .next()
        .unwrap_or_default();
    let long_u = ["uni", "use", "usa", "eu", "one", "ur"]
        .iter()
        .any(|start| low.starts_with(start));
    match number {
        "" => low.starts_with(['a', 'e', 'i', 'o', 'u']) && !long_u,
        number => number.starts_with('8') || ["11", "18"].contains(&number),
    }
}

/// Returns the value of a slot in the form that the slot asks for.
fn said(slot: &Slot, calls: &[Values]) -> String {
    let values = calls.get(slot.call.unwrap_or(1) - 1);
    let drawn = values.and_then(|values| values.get(&plain(slot)));
    let Some(Drawn {
        said, value, context, ..
    }) = drawn
    else {
        return String::new();
    };
    match slot.name.rsplit_once('_').map(|(_, way)| way) {
        Some("adjective") => as_adjective(said),
        Some("value") => text_of(value),
        Some("context") => context.clone(),
        _ => said.clone(),
    }
}

/// Chooses one of the texts, and its variants.
pub(super) fn chosen(draw: &mut Draw, texts: &[Template]) -> String {
    match texts.is_empty() {
        true => String::new(),
        false => {
            let index = draw.index(texts.len());
            Sentence::fill(&texts[index].choose(draw), &[]).text()
        }
    }
}

/// Returns the text with a capital at its start.
pub(super) fn upper(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(char::to_uppercase).into_iter().flatten();
    first.chain(letters).collect()
}

/// Returns the text with a small letter at its start.
pub(super) fn lower(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(char::to_lowercase).into_iter().flatten();
    first.chain(letters).collect()
}

/// Returns a name in words: `party size` for `partySize` and `party_size`.
pub(super) fn spoken(name: &str) -> String {
    let mut text = String::new();
    let mut last_small = false;
    for c in name.chars() {
        if last_small && c.is_uppercase() {
            text.push(' ');
        }
        last_small = c.is_lowercase();
        match c.is_alphanumeric() {
            true => text.extend(c.to_lowercase()),
            false => text.push(' '),
        }
    }
    text.trim().to_string()
}
