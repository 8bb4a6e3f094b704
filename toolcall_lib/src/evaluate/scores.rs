//! The scores that an evaluation counts.

use super::confidence::{self, CallScore, MostConfident};
use super::matching;
use super::mistake::Mistake;
use super::score::Score;
use super::turn::Turn;
use crate::conversation::{Conversation, Role};
use crate::reply::turn_text;
use crate::tool::{ToolCall, ToolSchema};
use serde::ser::{Serialize, SerializeStruct, Serializer};

/// Scores of a model on a data set.
///
/// "First turn" is the first assistant turn of a row; a row "with a call" calls a tool there. A
/// reply that does not end by itself is right in no score.
///
/// The JSON form is one object: `rows`, `rows_with_call`, `rows_without_call`, each score as its
/// rate from 0 to 1, `mistakes`, `counts` with each score as `{"count": …, "total": …}`, and
/// `most_confident` with the exact calls among those that the model is most confident of.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evaluation {
    /// Number of rows that were evaluated.
    pub rows: usize,
    /// Rows with a call whose first turn calls the right tools, in any order, each equally often.
    pub tool_selection: Score,
    /// Rows with a call whose first turn has the right tools with exactly the right arguments.
    /// Types are strict (an integer passes for a float, `null` for an argument that is left out),
    /// and strings must be equal.
    pub arguments_exact: Score,
    /// Same as `arguments_exact`, with strings that may differ in case, spaces and the characters
    /// `,./-_*^`.
    pub arguments_loose: Score,
    /// Replies that attempt a call, in any turn, and whose calls are valid: the reply ends, and
    /// every call can be read, names a tool that was offered, and has arguments that fit its
    /// schema.
    pub format_compliance: Score,
    /// Rows whose assistant turns are all right. After a right call the tool's answer is fed back,
    /// and the model must call what the row calls next, or say something where the row says
    /// something.
    pub conversation_flow: Score,
    /// Rows without a call whose first turn attempts one anyway. Lower is better.
    pub over_calls: Score,
    /// Replies, in any turn, that did not end by themselves within `max_new_tokens`. Lower is
    /// better.
    pub unfinished: Score,
    /// Rows whose first turn is right: exactly the right calls, or words without a call.
    pub exact: Score,
    /// Every readable call of every reply, in any turn, with the model's confidence.
    pub calls: Vec<CallScore>,
    /// Replies to each row, turn by turn, up to the first mistake.
    pub replies: Vec<Vec<String>>,
    /// The first mistake of each row that has one.
    pub mistakes: Vec<Mistake>,
}

impl Evaluation {
    /// Returns every score with its name, in the order of display.
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

    /// Returns the exact calls among all calls and among the most confident 90, 80 and 60 %. Empty
    /// if there are no calls.
    pub fn most_confident(&self) -> Vec<MostConfident> {
        confidence::most_confident(&self.calls)
    }

    /// Returns the number of rows with another reply by another model, or by the same one
    /// elsewhere. Rows that only one of them was asked do not count.
    pub fn replies_that_differ(&self, other: &Self) -> usize {
        let pairs = self.replies.iter().zip(&other.replies);
        pairs.filter(|(own, others)| own != others).count()
    }

    /// Counts a row with the model's turns for its prompts. Only the last turn may be wrong.
    pub(super) fn add(&mut self, row: &Conversation, said: &[Turn], whole_dialogue: bool) {
        let mut mistake = None;
        for (turn, (i, got)) in row.trained_turns().zip(said).enumerate() {
            let expected = &row.messages[i];
            let kind = got.mistake(&expected.tool_calls);
            // 1. Scores of the first turn.
            if turn == 0 {
                self.add_first_turn(&expected.tool_calls, got, kind.is_none());
            }
            let Turn { reply, finished, .. } = got;
            // 2. Scores of any turn.
            self.unfinished.add(!finished);
            self.calls.extend(got.calls(&expected.tool_calls));
            if reply.attempts_call() {
                let valid = !reply.malformed && reply.tool_calls.iter().all(|call| fits(call, &row.tools));
                self.format_compliance.add(valid && *finished);
            }
            // 3. The mistake of the last turn, with the text that a reader needs to judge it.
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

    /// Counts the scores of the first turn.
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

/// Returns true if the call names an offered tool, with arguments that fit its schema.
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
