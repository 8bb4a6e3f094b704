//! Checks calls from elsewhere, for `scripts/dev/verify/bfcl.py` to compare with the verdicts of
//! BFCL's own checker.
//!
//! ```text
//! cargo run --example bfcl_check -- FOLDER_OR_WHEEL < CALLS > VERDICTS
//! ```
//!
//! A line of `CALLS` is `{"category": …, "row": 0, "calls": [{"name": …, "arguments": {…}}, …]}`;
//! the same line of `VERDICTS` is `null` if these calls are right, else what is wrong.

use std::collections::BTreeMap;
use std::io::{BufRead, Write, stdin, stdout};
use toolcall_lib::bfcl::{Category, Row, check, load};
use toolcall_lib::{Error, Result, ToolCall};

#[derive(serde::Deserialize)]
struct Calls {
    category: String,
    row: usize,
    calls: Vec<ToolCall>,
}

fn main() -> Result<()> {
    let data = std::env::args().nth(1);
    let data = data.ok_or_else(|| Error::invalid("arguments", "expected FOLDER_OR_WHEEL"))?;
    let mut rows: BTreeMap<Category, Vec<Row>> = BTreeMap::new();
    for category in Category::ALL {
        rows.insert(category, load(&data, category)?);
    }
    let mut out = stdout().lock();
    for (number, line) in (1..).zip(stdin().lock().lines()) {
        let place = || format!("line {number}");
        let line = line.map_err(Error::io("standard input"))?;
        let Calls { category, row, calls } =
            serde_json::from_str(&line).map_err(|e| Error::invalid(place(), e))?;
        let row = rows[&category.parse()?]
            .get(row)
            .ok_or_else(|| Error::invalid(place(), "there is no such row"))?;
        let verdict = serde_json::json!(check(row, &calls));
        writeln!(out, "{verdict}").map_err(Error::io("standard output"))?;
    }
    Ok(())
}
