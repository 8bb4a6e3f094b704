//! The form and the style that all displays share: HTML, colours, tables, numbers.

use crate::evaluate::Score;
use comfy_table::{ContentArrangement, Table, presets};
use maud::{Markup, Render, html};
use std::fmt::Display;

/// A value with an HTML form. `maud` escapes all text in it.
pub(super) trait Html: Display {
    fn html(&self) -> Markup;
}

/// Width in columns that plain text is fitted to.
pub(super) const TEXT_WIDTH: u16 = 110;

pub(super) const MUTED: &str = "opacity:.65";
pub(super) const MONO: &str = "font-family:monospace;white-space:pre-wrap;overflow-wrap:anywhere";

/// Backgrounds of good, bad and neutral things, transparent enough for any theme.
pub(super) const GOOD: &str = "rgba(46,160,67,.26)";
pub(super) const BAD: &str = "rgba(218,54,51,.18)";
pub(super) const NEUTRAL: &str = "rgba(128,128,128,.14)";

/// Undoes Jupyter's style of tables: centred, fixed widths, right-aligned.
const TABLE: &str = "table-layout:auto;margin:0;border-collapse:collapse";
const CELL: &str = "text-align:left;vertical-align:top;padding:.35em .8em;";

/// A cell: its content, and the style that it has besides that of all cells.
pub(super) type Cell = (Markup, String);

/// Creates a cell without its own style.
pub(super) fn cell(content: Markup) -> Cell {
    (content, String::new())
}

/// Returns an HTML table; without a header line if `header` is empty.
pub(super) fn table(header: &[Markup], rows: &[Vec<Cell>]) -> Markup {
    html! {
        table style=(TABLE) {
            @if !header.is_empty() {
                thead { tr { @for title in header { th style=(CELL) { (title) } } } }
            }
            tbody {
                @for row in rows {
                    tr { @for (content, style) in row { td style={ (CELL) (style) } { (content) } } }
                }
            }
        }
    }
}

/// Returns a list of figures: names on the left, values on the right.
pub(super) fn figures_table<T: Render>(figures: Vec<(&str, T)>) -> Markup {
    let row = |(name, value): (&str, T)| {
        vec![
            cell(html! { span style=(MUTED) { (name) } }),
            cell(html! { (value) }),
        ]
    };
    table(&[], &figures.into_iter().map(row).collect::<Vec<_>>())
}

/// Returns a list of figures as plain text.
pub(super) fn figures_text(figures: Vec<(&str, String)>) -> String {
    let rows = figures
        .into_iter()
        .map(|(name, value)| vec![name.to_string(), value]);
    text_table(&[], &rows.collect::<Vec<_>>())
}

/// Returns a model's text for a cell, with a limited height: a model that rambles must not push
/// everything else off the page.
pub(super) fn said(text: &str) -> Markup {
    html! { div style={ (MONO) ";min-width:18em;max-height:10em;overflow:auto" } { (text) } }
}

/// Returns a plain-text table; without a header line if `header` is empty.
pub(super) fn text_table(header: &[String], rows: &[Vec<String>]) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(TEXT_WIDTH).add_rows(rows.iter().cloned());
    if !header.is_empty() {
        table.set_header(header.iter().cloned());
    }
    table.column_iter_mut().for_each(|column| {
        column.set_padding((0, 2));
    });
    table.trim_fmt()
}

/// Returns a count with its noun: `1 row`, `2 rows`.
pub(super) fn counted(n: usize, what: &str) -> String {
    format!("{} {what}{}", grouped(n), if n == 1 { "" } else { "s" })
}

/// Returns a number with separators: `1391` as `1,391`.
pub(super) fn grouped(n: usize) -> String {
    let digits = n.to_string();
    let groups: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .filter_map(|group| std::str::from_utf8(group).ok())
        .collect();
    groups.join(",")
}

/// Returns a number with three significant digits, as short as possible.
pub(super) fn short(x: f64) -> String {
    format!("{x:.2e}").parse::<f64>().map_or_else(
        |_| x.to_string(),
        |rounded| {
            if rounded != 0.0 && (rounded.abs() < 1e-3 || rounded.abs() >= 1e6) {
                format!("{rounded:e}")
            } else {
                rounded.to_string()
            }
        },
    )
}

/// Returns a rate from 0 to 1 in percent.
pub(super) fn percent(rate: f64) -> String {
    format!("{:.1} %", 100.0 * rate)
}

/// Returns the start of a text on one line, at most `chars` characters and an ellipsis.
pub(super) fn clipped(text: &str, chars: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(chars) {
        Some((end, _)) => format!("{}…", line[..end].trim_end()),
        None => line,
    }
}

/// Returns a cell with the rate over a bar of its length.
pub(super) fn score_cell(score: &Score, color: &str) -> Cell {
    let length = 100.0 * score.rate();
    let bar = format!("min-width:9em;background:linear-gradient(90deg,{color} {length:.1}%,transparent 0)");
    let content = html! { (rate(score)) " " span style=(MUTED) { (score.count) "/" (score.total) } };
    (content, bar)
}

/// Returns the rate in percent, or a dash if no case was examined.
pub(super) fn rate(score: &Score) -> String {
    if score.total == 0 {
        "–".into()
    } else {
        percent(score.rate())
    }
}
