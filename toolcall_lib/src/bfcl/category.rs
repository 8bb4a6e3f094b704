//! The categories of rows.

use crate::error::{Error, Result};
use std::fmt;
use std::str::FromStr;

/// A category of rows. In the "live" ones, users of the leaderboard wrote the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Category {
    /// One tool, which must be called once.
    SimplePython,
    /// Two to four tools, of which one must be called once.
    Multiple,
    /// One tool, which must be called several times.
    Parallel,
    /// Several tools and several calls.
    ParallelMultiple,
    /// A tool that does not fit.
    Irrelevance,
    /// Like `simple_python`.
    LiveSimple,
    /// Like `multiple`, with up to 37 tools.
    LiveMultiple,
    /// Like `parallel`.
    LiveParallel,
    /// Like `parallel_multiple`.
    LiveParallelMultiple,
    /// Tools that do not fit.
    LiveIrrelevance,
    /// Tools of which some fit: any call is right.
    LiveRelevance,
}

/// The calls that are right in a category.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// One call, of the row's only tool.
    Simple,
    /// One call, of one of the row's tools.
    Multiple,
    /// Several calls in any order.
    Parallel,
    /// No call.
    Irrelevance,
    /// Any call.
    Relevance,
}

impl Category {
    /// All categories, in the order in which they are shown.
    pub const ALL: [Self; 11] = [
        Self::SimplePython,
        Self::Multiple,
        Self::Parallel,
        Self::ParallelMultiple,
        Self::Irrelevance,
        Self::LiveSimple,
        Self::LiveMultiple,
        Self::LiveParallel,
        Self::LiveParallelMultiple,
        Self::LiveIrrelevance,
        Self::LiveRelevance,
    ];

    /// Returns its name on the leaderboard.
    pub fn name(self) -> &'static str {
        match self {
            Self::SimplePython => "simple_python",
            Self::Multiple => "multiple",
            Self::Parallel => "parallel",
            Self::ParallelMultiple => "parallel_multiple",
            Self::Irrelevance => "irrelevance",
            Self::LiveSimple => "live_simple",
            Self::LiveMultiple => "live_multiple",
            Self::LiveParallel => "live_parallel",
            Self::LiveParallelMultiple => "live_parallel_multiple",
            Self::LiveIrrelevance => "live_irrelevance",
            Self::LiveRelevance => "live_relevance",
        }
    }

    /// Returns the categories that a word names: one by its name, `non_live`, `live`, or `all`.
    ///
    /// # Errors
    /// Another word.
    pub fn named(word: &str) -> Result<Vec<Self>> {
        let live = |category: &Self| category.name().starts_with("live_");
        match word {
            "all" => Ok(Self::ALL.to_vec()),
            "live" => Ok(Self::ALL.into_iter().filter(live).collect()),
            "non_live" => Ok(Self::ALL.into_iter().filter(|category| !live(category)).collect()),
            name => Ok(vec![name.parse()?]),
        }
    }

    pub(super) fn rule(self) -> Rule {
        match self {
            Self::SimplePython | Self::LiveSimple => Rule::Simple,
            Self::Multiple | Self::LiveMultiple => Rule::Multiple,
            Self::Parallel | Self::ParallelMultiple | Self::LiveParallel | Self::LiveParallelMultiple => {
                Rule::Parallel
            }
            Self::Irrelevance | Self::LiveIrrelevance => Rule::Irrelevance,
            Self::LiveRelevance => Rule::Relevance,
        }
    }

    /// Returns true if its rows say which calls are right.
    pub(super) fn has_answers(self) -> bool {
        !matches!(self.rule(), Rule::Irrelevance | Rule::Relevance)
    }
}

impl fmt::Display for Category {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Category {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|category| category.name() == name);
        found.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            let problem = format!("`{name}` is not known; expected {names}, non_live, live or all");
            Error::invalid("category of BFCL", problem)
        })
    }
}
