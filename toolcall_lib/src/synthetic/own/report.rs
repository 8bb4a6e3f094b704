//! Report on the rows that were made for a user's tools, and on sentences that were left out.

use crate::dataset::Dataset;
use std::fmt;

/// Rows for a user's tools.
#[derive(Clone, Debug)]
pub struct Augmented {
    /// The rows: the user's own, then those that were made.
    pub data: Dataset,
    /// Number of rows that are the user's own.
    pub own_rows: usize,
    /// Number of rows that were made and left out, because a call did not fit the schema of its
    /// tool.
    pub wrong: usize,
    /// Sources of the rows for each tool.
    pub tools: Vec<ToolReport>,
}

/// Sources of the rows for one tool.
#[derive(Clone, Debug, Default)]
pub struct ToolReport {
    /// Its name.
    pub tool: String,
    /// Number of different sentences of the user, without their values.
    pub sentences: usize,
    /// Number of requests that a teacher wrote for it, if there is one.
    pub taught: Option<usize>,
    /// Number of wordings in all.
    pub wordings: usize,
    /// Sentences that could not be used, with the reason.
    pub left_out: Vec<(String, String)>,
}

impl ToolReport {
    pub(super) fn new(tool: &str) -> Self {
        Self {
            tool: tool.to_string(),
            ..Self::default()
        }
    }
}

impl fmt::Display for Augmented {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let made = self.data.rows.len() - self.own_rows;
        writeln!(f, "{made} rows made, {} of your own", self.own_rows)?;
        if self.wrong > 0 {
            writeln!(f, "{} rows left out: a call did not fit its schema", self.wrong)?;
        }
        for tool in &self.tools {
            let from = match tool.sentences {
                0 => "its description alone: your own rows would make it better".to_string(),
                1 => "1 of your sentences".to_string(),
                many => format!("{many} of your sentences"),
            };
            let taught = match tool.taught {
                None => String::new(),
                Some(many) => format!(" and {many} of the teacher"),
            };
            writeln!(
                f,
                "{}: {} wordings, from {from}{taught}",
                tool.tool, tool.wordings
            )?;
            for (sentence, reason) in &tool.left_out {
                writeln!(f, "  left out: {sentence:?}: {reason}")?;
            }
        }
        Ok(())
    }
}
