//! An assistant turn of a model, and its mistake.

use super::confidence::CallScore;
use super::matching;
use super::mistake::MistakeKind;
use crate::generate::Generation;
use crate::reply::Reply;
use crate::tool::ToolCall;

/// An assistant turn of a model.
#[derive(Clone, Debug)]
pub(crate) struct Turn {
    pub reply: Reply,
    /// True if the turn ended by itself. A turn that did not is right in no score, because its user
    /// would wait for an end that does not come.
    pub finished: bool,
    /// Confidence of each call, where it is known.
    pub confidences: Vec<f32>,
}

impl Turn {
    /// Combines a generation with the reply that was read from it.
    pub fn new(reply: Reply, generation: &Generation) -> Self {
        Self {
            reply,
            finished: generation.finished,
            confidences: generation.confidences.clone(),
        }
    }

    /// Returns the mistake, given the expected calls; without any, words are expected. `None` if
    /// the turn is right.
    pub fn mistake(&self, expected: &[ToolCall]) -> Option<MistakeKind> {
        let got = &self.reply.tool_calls;
        let mistake = match expected {
            _ if !self.finished => MistakeKind::Unfinished,
            [] if self.reply.attempts_call() => MistakeKind::OverCall,
            [] if self.reply.content.is_empty() => MistakeKind::Empty,
            [] => return None,
            _ if self.reply.malformed => MistakeKind::Malformed,
            _ if got.is_empty() => MistakeKind::NoCall,
            _ if !matching::same_names(expected, got) => MistakeKind::WrongTool,
            _ if !matching::same_calls(expected, got) => MistakeKind::WrongArguments,
            _ => return None,
        };
        Some(mistake)
    }

    /// Returns the calls with a known confidence, compared with the expected ones.
    pub fn calls(&self, expected: &[ToolCall]) -> Vec<CallScore> {
        let exact = matching::exact(expected, &self.reply.tool_calls).into_iter();
        let calls = exact.zip(&self.confidences);
        calls
            .map(|(exact, &confidence)| CallScore {
                confidence,
                exact: exact && self.finished,
            })
            .collect()
    }
}
