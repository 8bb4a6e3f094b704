//! Display of scores on the categories of the Berkeley Function Calling Leaderboard.

use super::style::{rate, text_table};
use crate::bfcl::BfclScores;
use std::fmt;

/// A table with a line for each category.
#[derive(Clone, Debug)]
pub struct BfclTable<'a>(pub &'a [BfclScores]);

impl fmt::Display for BfclTable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = ["category", "right", "", "right and ended", "did not end"].map(String::from);
        let row = |scores: &BfclScores| {
            let (right, ended) = (scores.right(), scores.right_and_finished());
            vec![
                scores.category.to_string(),
                rate(&right),
                format!("{}/{}", right.count, right.total),
                format!("{} {}/{}", rate(&ended), ended.count, ended.total),
                scores.unfinished().count.to_string(),
            ]
        };
        f.write_str(&text_table(&header, &self.0.iter().map(row).collect::<Vec<_>>()))
    }
}
