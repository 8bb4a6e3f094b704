//! A table to look at in a tracker.

use serde::Serialize;
use serde_json::Value;
use std::fmt;

/// Columns and rows.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Table {
    /// Heading of each column.
    pub columns: Vec<String>,
    /// Rows, each as long as `columns`.
    #[serde(rename = "data")]
    pub rows: Vec<Vec<Value>>,
}

/// Prints the table as Markdown. Markup in a cell is escaped.
impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = |cells: Vec<String>| format!("| {} |", cells.join(" | "));
        writeln!(
            f,
            "{}",
            line(self.columns.iter().map(|name| plain(name)).collect())
        )?;
        writeln!(f, "{}", line(vec!["---".to_string(); self.columns.len()]))?;
        self.rows.iter().try_for_each(|row| {
            let cells = row.iter().map(|value| match value {
                Value::Null => String::new(),
                Value::String(text) => plain(text),
                other => plain(&other.to_string()),
            });
            writeln!(f, "{}", line(cells.collect()))
        })
    }
}

/// Escapes the Markdown in a string.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\r' => plain.push(' '),
            '|' | '<' | '>' | '&' => plain.push_str(&format!("&#{};", u32::from(c))),
            '\\' | '*' | '`' | '[' | ']' | '#' => plain.extend(['\\', c]),
            c => plain.push(c),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn cells_stay_cells() {
        let table = Table {
            columns: vec!["a".to_string(), "b|c".to_string()],
            rows: vec![vec![json!("x\n*y*<tool_call>"), json!(null)]],
        };
        assert_eq!(
            table.to_string(),
            "| a | b&#124;c |\n| --- | --- |\n| x \\*y\\*&#60;tool_call&#62; |  |\n"
        );
    }
}
