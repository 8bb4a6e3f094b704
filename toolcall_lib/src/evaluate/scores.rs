//! What an evaluation counts.

use super::{CallScore, MostConfident, Turn, assistant_turns, confidence, matching};
use crate::conversation::{Conversation, Role};
use crate::reply::turn_text;
use crate::tool::{ToolCall, ToolSchema};
use serde::ser::{Serialize, SerializeStruct, Serializer};
use std::fmt;

/// How often something held, out of the times that it could.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Score {
    /// Times that it held.
    pub count: usize,
    /// Times that were looked at.
    pub total: usize,
}

impl Score {
    /// `count / total`, from 0 to 1; 0 where nothing was looked at.
    pub fn rate(&self) -> f64 {
        self.count as f64 / self.total.max(1) as f64
    }

    pub(super) fn add(&mut self, holds: bool) {
        self.count += usize::from(holds);
        self.total += 1;
    }
}

/// Scores of a model on a data set. "First turn" is the first assistant turn of a row; a row "with a call"
/// calls a tool there. A reply that does not end by itself is right in no score.
///
/// As JSON it is one object: `rows`, `rows_with_call`, `rows_without_call`, each score as its rate
/// from 0 to 1, `mistakes`, under `counts` each score as `{"count": …, "total": …}`, and under
/// `most_confident` how many calls are exact among those that the model is most sure of.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evaluation {
    /// Rows that were evaluated.
    pub rows: usize,
    /// Of the rows with a call: the first turn calls the right tools, in any order, each as often.
    pub tool_selection: Score,
    /// Of the rows with a call: the right tools with exactly the right arguments. Types are strict (a whole
    /// number passes for a fraction, `null` for an argument that is left out), strings must be equal.
    pub arguments_exact: Score,
    /// The same, with strings that may differ in case, spaces and the signs `,./-_*^`.
    pub arguments_loose: Score,
    /// Of all replies, in any turn, that attempt a call: it ends, and every call can be read, names
    /// a tool that was offered, and has arguments that fit its schema.
    pub format_compliance: Score,
    /// Of all rows: every assistant turn is right. After a right call the tool's answer is fed back, and the
    /// model must call what the row calls next, or say something where the row says something.
    pub conversation_flow: Score,
    /// Of the rows without a call: the first turn attempts one anyway. Less is better.
    pub over_calls: Score,
    /// Of all replies, in any turn: it did not end by itself within `max_new_tokens`. Less is
    /// better.
    pub unfinished: Score,
    /// Of all rows: the first turn is right, be it exactly the right calls or words without a call.
    pub exact: Score,
    /// Every call of every reply that can be read, in any turn, with how sure the model was of it.
    pub calls: Vec<CallScore>,
    /// What the model said to each row, turn by turn; up to its first mistake.
    pub replies: Vec<Vec<String>>,
    /// The first mistake of each row that has one.
    pub mistakes: Vec<Mistake>,
}

impl Evaluation {
    /// Every score with its name, in the order in which they are shown.
    pub fn scores(&self) -> [(&'static str, Score); 8] {
        [
            ("tool_selection", self.tool_selection),
            ("arguments_exact", self.arguments_exact),
            ("arguments_loose", self.arguments_loose),
            ("format_compliance", self.format_compliance),
            ("conversation_flow", self.conversation_flow),
            ("over_calls", self.over_calls),
            ("unfinished", self.unfinished),
            ("exact", self.exact),
        ]
    }

    /// How many calls are exact, of all and of the 90, 80 and 60 % that the model is most sure of;
    /// nothing where it calls nothing.
    pub fn most_confident(&self) -> Vec<MostConfident> {
        confidence::most_confident(&self.calls)
    }

    /// Rows to which another model, or the same one elsewhere, said something else. Rows that only
    /// one of them was asked do not count.
    pub fn replies_that_differ(&self, other: &Self) -> usize {
        let pairs = self.replies.iter().zip(&other.replies);
        pairs.filter(|(own, others)| own != others).count()
    }

    /// Counts a row with the model's turns to its prompts, of which only the last may be wrong.
    pub(super) fn add(&mut self, row: &Conversation, said: &[Turn], whole_dialogue: bool) {
        let mut mistake = None;
        for (turn, (i, got)) in assistant_turns(row).zip(said).enumerate() {
            let expected = &row.messages[i];
            let kind = got.mistake(&expected.tool_calls);
            if turn == 0 {
                self.add_first_turn(&expected.tool_calls, got, kind.is_none());
            }
            let Turn { reply, finished, .. } = got;
            self.unfinished.add(!finished);
            self.calls.extend(got.calls(&expected.tool_calls));
            if reply.attempts_call() {
                let valid = !reply.malformed && reply.tool_calls.iter().all(|call| fits(call, &row.tools));
                self.format_compliance.add(valid && *finished);
            }
            mistake = kind.map(|kind| Mistake {
                row: self.rows,
                turn,
                kind,
                user: row.messages[..i]
                    .iter()
                    .rfind(|m| m.role == Role::User)
                    .map_or("", |m| &m.content)
                    .into(),
                expected: turn_text(&expected.content, &expected.tool_calls),
                got: reply.to_string(),
            });
        }
        if whole_dialogue {
            self.conversation_flow.add(mistake.is_none());
        }
        self.mistakes.extend(mistake);
        self.replies
            .push(said.iter().map(|turn| turn.reply.to_string()).collect());
        self.rows += 1;
    }

    fn add_first_turn(&mut self, expected: &[ToolCall], got: &Turn, right: bool) {
        self.exact.add(right);
        let Turn { reply, finished, .. } = got;
        if expected.is_empty() {
            self.over_calls.add(reply.attempts_call());
        } else {
            let holds =
                |same: fn(&[ToolCall], &[ToolCall]) -> bool| *finished && same(expected, &reply.tool_calls);
            self.tool_selection.add(holds(matching::same_names));
            self.arguments_exact.add(right);
            self.arguments_loose.add(holds(matching::same_calls_loosely));
        }
    }
}

/// The call names a tool that was offered, with arguments that fit its schema.
fn fits(call: &ToolCall, tools: &[ToolSchema]) -> bool {
    let tool = tools.iter().find(|tool| tool.name() == call.name);
    tool.is_some_and(|tool| tool.check(&call.arguments).is_empty())
}

impl Serialize for Evaluation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let scores = self.scores();
        let mut object = serializer.serialize_struct("Evaluation", scores.len() + 6)?;
        object.serialize_field("rows", &self.rows)?;
        object.serialize_field("rows_with_call", &self.tool_selection.total)?;
        object.serialize_field("rows_without_call", &self.over_calls.total)?;
        for (name, score) in scores {
            object.serialize_field(name, &score.rate())?;
        }
        object.serialize_field("mistakes", &self.mistakes)?;
        object.serialize_field("counts", &std::collections::BTreeMap::from(scores))?;
        object.serialize_field("most_confident", &confidence::to_json(&self.calls))?;
        object.end()
    }
}

/// Where a dialogue went wrong.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Mistake {
    /// The row, counted from 0 as in `data[row]`.
    pub row: usize,
    /// The assistant turn in the row, counted from 0.
    pub turn: usize,
    /// What is wrong.
    pub kind: MistakeKind,
    /// What the user said last.
    pub user: String,
    /// The row's turn: its text and calls.
    pub expected: String,
    /// The model's turn, in the same form.
    pub got: String,
}

/// What is wrong with a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MistakeKind {
    /// A reply that did not end by itself, whatever it says.
    Unfinished,
    /// A call that cannot be read.
    Malformed,
    /// Words where a call is expected.
    NoCall,
    /// Other tools than expected, or not each as often.
    WrongTool,
    /// The right tools with other arguments.
    WrongArguments,
    /// A call where words are expected.
    OverCall,
    /// Neither words nor a call.
    Empty,
}

impl fmt::Display for MistakeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unfinished => "did not end",
            Self::Malformed => "malformed call",
            Self::NoCall => "no call",
            Self::WrongTool => "wrong tool",
            Self::WrongArguments => "wrong arguments",
            Self::OverCall => "call without need",
            Self::Empty => "empty reply",
        })
    }
}
