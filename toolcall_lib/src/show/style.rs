//! The look that all displays share.

use comfy_table::{ContentArrangement, Table, presets};
use maud::{Markup, Render, html};

/// Columns of a terminal that plain text fits in.
pub(super) const TEXT_WIDTH: u16 = 110;

pub(super) const MUTED: &str = "opacity:.65";
pub(super) const MONO: &str = "font-family:monospace;white-space:pre-wrap;overflow-wrap:anywhere";

/// Backgrounds of good, bad and neutral things, thin enough for any theme.
pub(super) const GOOD: &str = "rgba(46,160,67,.26)";
pub(super) const BAD: &str = "rgba(218,54,51,.18)";
pub(super) const NEUTRAL: &str = "rgba(128,128,128,.14)";

/// Undoes what Jupyter does to tables: centred, fixed widths, right-aligned.
const TABLE: &str = "table-layout:auto;margin:0;border-collapse:collapse";
const CELL: &str = "text-align:left;vertical-align:top;padding:.35em .8em;";

/// A cell: what stands in it, and its style beside that of all cells.
pub(super) type Cell = (Markup, String);

pub(super) fn cell(content: Markup) -> Cell {
    (content, String::new())
}

/// An HTML table; without a header line where `header` is empty.
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

/// A list of figures: names on the left, values on the right.
pub(super) fn figures_table<T: Render>(figures: Vec<(&str, T)>) -> Markup {
    let row = |(name, value): (&str, T)| {
        vec![
            cell(html! { span style=(MUTED) { (name) } }),
            cell(html! { (value) }),
        ]
    };
    table(&[], &figures.into_iter().map(row).collect::<Vec<_>>())
}

/// A list of figures as plain text.
pub(super) fn figures_text(figures: Vec<(&str, String)>) -> String {
    let rows = figures
        .into_iter()
        .map(|(name, value)| vec![name.to_string(), value]);
    text_table(&[], &rows.collect::<Vec<_>>())
}

/// What a model says in a cell: a model that rambles must not push everything else off the page.
pub(super) fn said(text: &str) -> Markup {
    html! { div style={ (MONO) ";min-width:18em;max-height:10em;overflow:auto" } { (text) } }
}

/// A plain-text table; without a header line where `header` is empty.
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

/// `1 row`, `2 rows`.
pub(super) fn counted(n: usize, what: &str) -> String {
    format!("{} {what}{}", grouped(n), if n == 1 { "" } else { "s" })
}

/// `1391` as `1,391`.
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

/// A number with three significant digits, as short as can be.
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

pub(super) fn percent(rate: f64) -> String {
    format!("{:.1} %", 100.0 * rate)
}

/// The start of a text that may be long, on one line.
pub(super) fn clipped(text: &str, chars: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(chars) {
        Some((end, _)) => format!("{}…", line[..end].trim_end()),
        None => line,
    }
}
