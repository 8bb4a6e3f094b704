//! Verdicts on arguments for schemas that come from elsewhere, for `scripts/dev/verify/schemas.py`
//! to compare with those of the JSON Schema Test Suite.
//!
//! ```text
//! cargo run --example schema_check < CASES > VERDICTS
//! ```
//!
//! A line of `CASES` is `{"parameters": {…}, "arguments": {…}}`; the same line of `VERDICTS` is
//! `{"refused": …}` if the schema is refused, else `{"problems": […]}`.

use serde_json::{Map, Value, json};
use std::io::{BufRead, Write, stdin, stdout};
use toolcall_lib::{Error, Result, ToolSchema};

#[derive(serde::Deserialize)]
struct Case {
    parameters: Value,
    arguments: Map<String, Value>,
}

fn main() -> Result<()> {
    let mut out = stdout().lock();
    for (number, line) in (1..).zip(stdin().lock().lines()) {
        let line = line.map_err(Error::io("standard input"))?;
        let Case {
            parameters,
            arguments,
        } = serde_json::from_str(&line).map_err(|e| Error::invalid(format!("line {number}"), e))?;
        let verdict = match ToolSchema::new(json!({"name": "f", "parameters": parameters})) {
            Err(refusal) => json!({ "refused": refusal.to_string() }),
            Ok(tool) => {
                let problems = tool.check(&arguments).into_iter();
                let lines = problems.map(|(field, problem)| format!("{field}: {problem}"));
                json!({ "problems": lines.collect::<Vec<_>>() })
            }
        };
        writeln!(out, "{verdict}").map_err(Error::io("standard output"))?;
    }
    Ok(())
}
