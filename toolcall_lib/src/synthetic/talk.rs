//! Sentences that go with every skill: `data/lists/talk.toml`.

use super::text::Template;
use serde::Deserialize;

/// Sentences around calls, and those for conversations without a call.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Talk {
    /// Requests that no skill of any subject serves.
    pub(super) beyond: Vec<Template>,
    /// Small talk with its answer.
    pub(super) small: Vec<(Template, Template)>,
    /// Sentences before and after a request.
    pub(super) before: Vec<Template>,
    pub(super) behind: Vec<Template>,
    /// Reasons why a tool failed.
    pub(super) errors: Vec<Template>,
    /// Sentences before a second request.
    pub(super) again: Vec<Template>,
    /// Answers of users who were asked for a value.
    pub(super) answers: Vec<Template>,
    /// The answer where no tool fits.
    pub(super) no_tool: String,
    /// System prompts that say who the assistant is.
    pub(super) personas: Vec<Template>,
    /// System prompts that say which day it is: slots `today` and `days`.
    pub(super) calendars: Vec<Template>,
    /// Answers to a number beyond a limit: slots `argument` and `limit`.
    pub(super) too_small: Vec<Template>,
    pub(super) too_large: Vec<Template>,
}
