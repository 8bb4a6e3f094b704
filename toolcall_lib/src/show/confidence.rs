//! Display of the exact calls among those that a model is most confident of.

use super::style::{Cell, GOOD, cell, counted, rate, score_cell, table, text_table};
use crate::evaluate::{Evaluation, MostConfident};
use maud::{Markup, html};

/// Names the share of calls that a line is about.
fn title(part: &MostConfident) -> String {
    match part.percent {
        100 => "all calls".to_string(),
        percent => format!("the {percent} % most confident"),
    }
}

/// Returns the lowest confidence of the share as a string.
fn least(part: &MostConfident) -> String {
    format!("{:.3}", part.min_confidence)
}

/// Returns the titles of the columns.
fn header(parts: &[MostConfident]) -> [String; 3] {
    let calls = parts.first().map_or(0, |all| all.exact.total);
    [counted(calls, "call"), "exact".into(), "confidence from".into()]
}

/// Returns the table; empty if no call was read or no confidence is known.
pub(super) fn markup(evaluation: &Evaluation) -> Markup {
    let parts = evaluation.most_confident();
    let row = |part: &MostConfident| -> Vec<Cell> {
        vec![
            cell(html! { (title(part)) }),
            score_cell(&part.exact, GOOD),
            cell(html! { (least(part)) }),
        ]
    };
    let titles = header(&parts).map(|title| html! { (title) });
    html! {
        @if !parts.is_empty() {
            div style="margin-top:1em" { (table(&titles, &parts.iter().map(row).collect::<Vec<_>>())) }
        }
    }
}

/// Returns the table as text, after an empty line; empty if no call was read or no confidence is
/// known.
pub(super) fn text(evaluation: &Evaluation) -> String {
    let parts = evaluation.most_confident();
    if parts.is_empty() {
        return String::new();
    }
    let row = |part: &MostConfident| {
        let exact = format!(
            "{:>7}  {}/{}",
            rate(&part.exact),
            part.exact.count,
            part.exact.total
        );
        vec![title(part), exact, least(part)]
    };
    let rows: Vec<Vec<String>> = parts.iter().map(row).collect();
    format!("\n\n{}", text_table(&header(&parts), &rows))
}
