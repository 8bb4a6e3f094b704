//! Splits that the rows name themselves: `"metadata": "eval"`, as Mobile Actions has it.

use super::table::{Row, Table};
use serde_json::Value;
use std::collections::BTreeMap;

/// The column that names the split of a row.
pub(super) const COLUMN: &str = "metadata";

/// Words for a split; the first of each line is the name that the hub gives it.
const NAMES: [&[&str]; 3] = [
    &["train", "training"],
    &["validation", "valid", "val", "dev"],
    &["test", "testing", "eval", "evaluation"],
];

/// The hub's name for a split, as [`NAMES`] has it; `None` for a word that names none.
pub(crate) fn split_name(word: &str) -> Option<&'static str> {
    let names = NAMES.iter().find(|names| names.contains(&word))?;
    names.first().copied()
}

/// The rows of each split, if all rows name one.
pub(super) fn splits(tables: &[Table]) -> Option<BTreeMap<String, usize>> {
    let mut splits = BTreeMap::new();
    for row in tables.iter().flat_map(|table| &table.rows) {
        *splits.entry(split_of(row)?.to_string()).or_default() += 1;
    }
    (!splits.is_empty()).then_some(splits)
}

/// Keeps the rows of a split, without its name; returns how many are left out.
pub(super) fn keep(tables: &mut [Table], split: &str) -> usize {
    let mut left_out = 0;
    for table in tables.iter_mut() {
        let before = table.rows.len();
        table
            .rows
            .retain(|row| split_of(row).is_some_and(|found| is_same(found, split)));
        left_out += before - table.rows.len();
    }
    take_out(tables);
    left_out
}

/// Removes the name of its split from every row.
pub(super) fn take_out(tables: &mut [Table]) {
    let rows = tables.iter_mut().flat_map(|table| &mut table.rows);
    for object in rows.filter_map(Row::object_mut) {
        object.shift_remove(COLUMN);
    }
}

/// Returns true for two names of the same split.
pub(crate) fn is_same(one: &str, other: &str) -> bool {
    one == other || split_name(one).is_some_and(|name| split_name(other) == Some(name))
}

fn split_of(row: &Row) -> Option<&str> {
    let named = row.value.as_ref().ok()?.get(COLUMN).and_then(Value::as_str)?;
    split_name(named).map(|_| named)
}
