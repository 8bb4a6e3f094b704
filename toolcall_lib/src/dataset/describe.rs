//! Describes a dataset in numbers.

use super::Dataset;
use super::split::identity;
use crate::conversation::{Conversation, Role};
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};
use std::fmt;

/// Numbers that describe a dataset. `Display` prints them for reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Number of rows.
    pub rows: usize,
    /// Number of rows that differ in messages or tools.
    pub different_rows: usize,
    /// Number of different lists of tools.
    pub tool_lists: usize,
    /// Number of rows in which the assistant calls no tool.
    pub rows_without_call: usize,
    /// Calls per tool, by name.
    pub calls: BTreeMap<String, usize>,
    /// Rows by their number of assistant turns.
    pub turns: BTreeMap<usize, usize>,
    /// Remarks about the files for the user, as [`Dataset::notes`] has them.
    pub notes: Vec<String>,
}

impl Dataset {
    /// Counts rows, tools, calls and turns.
    pub fn describe(&self) -> Description {
        let calls_of = |row: &Conversation| {
            let calls = row.messages.iter().flat_map(|message| &message.tool_calls);
            calls.map(|call| call.name.clone()).collect::<Vec<_>>()
        };
        let turns_of = |row: &Conversation| {
            row.messages
                .iter()
                .filter(|message| message.role == Role::Assistant)
                .count()
        };
        Description {
            rows: self.rows.len(),
            different_rows: self.different(),
            tool_lists: self
                .rows
                .iter()
                .map(|row| identity(&row.tools))
                .collect::<HashSet<_>>()
                .len(),
            rows_without_call: self.rows.iter().filter(|row| calls_of(row).is_empty()).count(),
            calls: counts(self.rows.iter().flat_map(calls_of)),
            turns: counts(self.rows.iter().map(turns_of)),
            notes: self.notes(),
        }
    }
}

/// Tools that are shown by name, those with the most calls.
const SHOWN_TOOLS: usize = 8;

impl Description {
    /// Returns the calls per tool, most first. If there are many tools, those with the fewest calls
    /// are put together at the end.
    pub(crate) fn most_called(&self) -> Vec<(String, usize)> {
        let mut calls: Vec<(String, usize)> = self.calls.clone().into_iter().collect();
        calls.sort_by_key(|(_, count)| Reverse(*count));
        if calls.len() > SHOWN_TOOLS + 1 {
            let others = calls.split_off(SHOWN_TOOLS);
            let count = others.iter().map(|(_, count)| count).sum();
            calls.push((format!("{} others", others.len()), count));
        }
        calls
    }
}

fn counts<K: Ord>(keys: impl Iterator<Item = K>) -> BTreeMap<K, usize> {
    let mut counts = BTreeMap::new();
    keys.for_each(|key| *counts.entry(key).or_default() += 1);
    counts
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "rows: {} ({} different)", self.rows, self.different_rows)?;
        writeln!(f, "lists of tools: {}", self.tool_lists)?;
        writeln!(f, "rows without a call: {}", self.rows_without_call)?;
        writeln!(f, "calls: {}", listed(self.most_called()))?;
        write!(f, "rows by assistant turns: {}", listed(self.turns.iter()))?;
        self.notes.iter().try_for_each(|note| write!(f, "\nnote: {note}"))
    }
}

fn listed<K: fmt::Display>(counts: impl IntoIterator<Item = (K, impl fmt::Display)>) -> String {
    let entries: Vec<String> = counts
        .into_iter()
        .map(|(key, count)| format!("{key}: {count}"))
        .collect();
    match entries.is_empty() {
        true => "none".to_string(),
        false => entries.join(", "),
    }
}
