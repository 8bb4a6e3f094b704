//! Values that no training row uses, because the held-out files are made of them.

use super::draw::Draw;
use serde::Deserialize;
use std::collections::HashSet;

/// Values that no training row uses: `data/lists/held_out.toml`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HeldOut {
    /// Counts of minutes.
    pub(super) minutes: HashSet<i64>,
    /// Full hours, such as `3 AM`.
    pub(super) hours: HashSet<String>,
    /// Months of dates, such as `2025-01`.
    pub(super) months: HashSet<String>,
    /// Notes of reminders.
    pub(super) notes: HashSet<String>,
    /// Names and other strings.
    pub(super) words: HashSet<String>,
}

impl HeldOut {
    /// Returns true if the text is held out.
    pub(super) fn has(&self, text: &str) -> bool {
        self.words.contains(text) || self.notes.contains(text)
    }

    /// Returns true if the text names a count of minutes that is held out.
    pub(super) fn counts_minutes(&self, text: &str) -> bool {
        let mut last = "";
        for word in text.split([' ', '-']) {
            let number = last.trim_start_matches(|c: char| !c.is_ascii_digit()).parse();
            if word.starts_with("min") && number.is_ok_and(|number: i64| self.minutes.contains(&number)) {
                return true;
            }
            last = word;
        }
        false
    }

    /// Draws a number from `low` to `high`. Numbers that leave 3 when divided by 7 are held out,
    /// unless there is no other.
    pub(super) fn number(&self, draw: &mut Draw, low: i64, high: i64) -> i64 {
        let free = |number: i64| self.minutes.is_empty() || number.rem_euclid(7) != 3;
        let number = draw.number(low, high);
        match free(number) {
            true => number,
            false if number < high => number + 1,
            false if number > low => number - 1,
            false => number,
        }
    }
}
