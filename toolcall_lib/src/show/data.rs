//! Display of a data set: its counts.

use super::Html;
use super::style::{Cell, NEUTRAL, cell, figures_table, grouped, table};
use crate::dataset::{Dataset, Description};
use maud::{Markup, html};
use std::fmt;

/// Draws counts as bars; the largest has full length.
fn counts<K: fmt::Display>(counts: &[(K, usize)]) -> Markup {
    let most = counts.iter().map(|(_, count)| *count).max().unwrap_or(0).max(1);
    let row = |(key, count): &(K, usize)| -> Vec<Cell> {
        let length = 100.0 * *count as f64 / most as f64;
        let bar =
            format!("min-width:12em;background:linear-gradient(90deg,{NEUTRAL} {length:.1}%,transparent 0)");
        vec![cell(html! { (key) }), (html! { (grouped(*count)) }, bar)]
    };
    table(&[], &counts.iter().map(row).collect::<Vec<_>>())
}

impl Html for Description {
    fn html(&self) -> Markup {
        let turns: Vec<(usize, usize)> = self.turns.iter().map(|(turns, rows)| (*turns, *rows)).collect();
        figures_table(vec![
            (
                "rows",
                html! { (grouped(self.rows)) " (" (grouped(self.different_rows)) " different)" },
            ),
            ("lists of tools", html! { (self.tool_lists) }),
            ("rows without a call", html! { (grouped(self.rows_without_call)) }),
            ("calls", counts(&self.most_called())),
            ("rows by assistant turns", counts(&turns)),
        ])
    }
}

impl Html for Dataset {
    fn html(&self) -> Markup {
        self.describe().html()
    }
}

impl fmt::Display for Dataset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.describe().fmt(f)
    }
}
