//! The tools that a model is trained to call.

use super::Dataset;
use crate::conversation::Conversation;
use crate::tool::ToolSchema;
use indexmap::IndexMap;
use std::collections::BTreeSet;

/// Most tools that are saved with a model; a longer list is of no use in a prompt.
const MOST: usize = 32;

/// Most rows per call of a tool that counts as trained. Less frequent tools are in the lists so
/// that the model learns to choose.
const ROWS_TO_A_CALL: usize = 50;

impl Dataset {
    /// The tools that the rows train, in their order: those that at least 1 in 50 rows calls, each
    /// with the schema that most rows have. Empty if there are more than 32.
    pub fn tools_called(&self) -> Vec<ToolSchema> {
        let mut found: IndexMap<&str, Offered<'_>> = IndexMap::new();
        for row in &self.rows {
            let called = called(row);
            for tool in &row.tools {
                let offered = found.entry(tool.name()).or_default();
                offered.rows_with_call += usize::from(called.contains(tool.name()));
                match offered.schemas.iter_mut().find(|(schema, _)| *schema == tool) {
                    Some((_, rows)) => *rows += 1,
                    None => offered.schemas.push((tool, 1)),
                }
            }
        }
        let about = |offered: &Offered<'_>| offered.rows_with_call * ROWS_TO_A_CALL >= self.rows.len().max(1);
        let tools: Vec<ToolSchema> = found
            .into_values()
            .filter(|offered| offered.rows_with_call > 0 && about(offered))
            .filter_map(Offered::usual)
            .collect();
        if tools.len() > MOST { Vec::new() } else { tools }
    }
}

/// The tools of one name, over all rows.
#[derive(Default)]
struct Offered<'a> {
    rows_with_call: usize,
    /// Schemas of the name, each with the number of rows that have it.
    schemas: Vec<(&'a ToolSchema, usize)>,
}

impl Offered<'_> {
    /// The schema that most rows have, the first of them.
    fn usual(self) -> Option<ToolSchema> {
        let most = self.schemas.iter().map(|(_, rows)| *rows).max()?;
        let usual = self.schemas.iter().find(|(_, rows)| *rows == most);
        usual.map(|(schema, _)| (*schema).clone())
    }
}

/// The names of the tools that a row calls.
fn called(row: &Conversation) -> BTreeSet<&str> {
    let calls = row.messages.iter().flat_map(|message| &message.tool_calls);
    calls.map(|call| call.name.as_str()).collect()
}
