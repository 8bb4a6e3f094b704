//! Mixtures of rows: the numbers of rows of each sort.

use indexmap::IndexMap;
use serde::Deserialize;

/// A mixture of `data/lists/mixtures.toml`: its parts by name.
pub(super) type Mixture = IndexMap<String, PartOf>;

/// Part of a mixture: rows of one sort of lists.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PartOf {
    /// Number of its rows in the mixture. Another number of rows scales all parts.
    pub(super) rows: usize,
    /// Subjects whose skills it uses; empty: all but `except`.
    #[serde(default)]
    pub(super) subjects: Vec<String>,
    /// Subjects that are left out.
    #[serde(default)]
    pub(super) except: Vec<String>,
    /// True if names, descriptions and schemas are the first of each skill.
    #[serde(default)]
    pub(super) canonical: bool,
    /// True if a list holds all skills of its subject.
    #[serde(default)]
    pub(super) whole: bool,
    /// Weights of lists with 1, 2, 3 … skills of the subject, where `whole` is false.
    #[serde(default)]
    pub(super) sizes: Vec<f64>,
    /// Weights of lists with 0, 1, 2 … tools of other subjects besides the skills.
    #[serde(default)]
    pub(super) beside: Vec<f64>,
    /// Number of rows that share a list of tools.
    pub(super) rows_per_list: usize,
    /// Weight of each kind of rows.
    pub(super) kinds: IndexMap<Kind, f64>,
    /// Percentage of the rows with calls that go on with the answer of the tool and the report.
    pub(super) reports: f64,
    /// Percentage of the lists whose rows have their own system prompt.
    #[serde(default)]
    pub(super) systems: f64,
}

/// A kind of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// One call.
    OneCall,
    /// Several calls of one tool in one turn.
    Several,
    /// A request that lists several values where a call takes one.
    SeveralValues,
    /// Calls of two, three or four tools in one turn.
    SeveralTools,
    /// A request that lacks an argument, the question for it, the answer, the call.
    Question,
    /// A number beyond what the tool takes, the answer that says so, another number, the call.
    Limit,
    /// A tool that fails.
    Error,
    /// A second request after the first.
    FollowUp,
    /// A dialogue of the subject.
    Dialogue,
    /// A request that another tool would serve, or that no tool would.
    NoTool,
    /// A sentence on the subject that asks for nothing, or that asks for a tool of the subject that
    /// is not in the list.
    Near,
    /// Small talk.
    SmallTalk,
}

impl Kind {
    /// Returns its name in a table.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::OneCall => "one call",
            Self::Several => "several calls of one tool",
            Self::SeveralValues => "several values, a call for each",
            Self::SeveralTools => "calls of several tools in one turn",
            Self::Question => "question back",
            Self::Limit => "number beyond a limit",
            Self::Error => "error of a tool",
            Self::FollowUp => "another request after the first",
            Self::Dialogue => "dialogue of the subject",
            Self::NoTool => "no tool fits",
            Self::Near => "near miss",
            Self::SmallTalk => "small talk",
        }
    }
}
