//! The answers that an evaluation scores: those of a model, or of anyone else.

use super::scores::Evaluation;
use crate::error::Result;
use crate::generate::{
    GenerateConfig, Generation, PrefixCache, Prompt, RowPrompt, generate_rows, prompt_template,
};
use crate::interrupt;
use crate::model::Model;
use crate::reply::{self, Reply};
use crate::tool::ToolSchema;
use std::fmt;

/// The next assistant turn for each prompt, or `None` to stop; rows that are being asked at that
/// moment are not scored. [`Generation::of_text`] makes a turn of another program's reply.
pub type Replies = Result<Option<Vec<Generation>>>;

/// The source of the answers, and a callback for the scores.
///
/// A model becomes one, and so does an [`Answerer`]: `evaluate(&model, …)`,
/// `evaluate(Answerer::Anyone(&mut answer), …)`.
pub struct Answers<'a> {
    /// Answers the prompts of the rows.
    pub by: Answerer<'a>,
    /// Called with the scores so far after every row.
    pub on_row: Option<&'a mut dyn FnMut(&Evaluation)>,
    /// Called after every reply of a model. Rows are asked in groups, so that many replies come
    /// before the first row is scored.
    pub on_reply: Option<&'a mut dyn FnMut()>,
    /// Prompts that the model has read in earlier evaluations. Without it the model begins with an
    /// empty cache.
    pub cache: Option<&'a mut PrefixCache>,
}

/// A source of answers: a model, or a function.
pub enum Answerer<'a> {
    /// A model, with the settings of the evaluation.
    Model(&'a Model),
    /// Another program that runs this model: the function gets prompts as the model's template
    /// writes them, and replies are read in the model's syntax.
    Program(&'a Model, &'a mut dyn FnMut(&[String]) -> Replies),
    /// Any model or service, or replies that were given before.
    Anyone(&'a mut dyn FnMut(&[Prompt<'_>]) -> Replies),
}

impl<'a> From<&'a Model> for Answers<'a> {
    fn from(model: &'a Model) -> Self {
        Answerer::Model(model).into()
    }
}

impl<'a> From<Answerer<'a>> for Answers<'a> {
    fn from(by: Answerer<'a>) -> Self {
        Self {
            by,
            on_row: None,
            on_reply: None,
            cache: None,
        }
    }
}

impl Answerer<'_> {
    /// Answers prompts; `None` if the source stops. A model stops when the user interrupts it.
    pub(super) fn answer(
        &mut self,
        prompts: &[RowPrompt<'_>],
        config: &GenerateConfig,
        cache: &mut PrefixCache,
        on_reply: &mut dyn FnMut(),
    ) -> Replies {
        match self {
            Self::Model(model) => {
                let replies = generate_rows(model, prompts, config, cache, on_reply)?;
                Ok((!interrupt::requested()).then_some(replies))
            }
            Self::Program(model, answer) => {
                let write = |((messages, tools), kwargs): &RowPrompt<'_>| {
                    prompt_template(model, config, kwargs).render_prompt(messages, tools)
                };
                answer(&prompts.iter().map(write).collect::<Result<Vec<_>>>()?)
            }
            Self::Anyone(answer) => {
                let prompts: Vec<Prompt<'_>> = prompts.iter().map(|(prompt, _)| *prompt).collect();
                answer(&prompts)
            }
        }
    }

    /// Reads a reply to a prompt with these tools.
    pub(super) fn read(&self, text: &str, tools: &[ToolSchema]) -> Reply {
        match self {
            Self::Model(model) | Self::Program(model, _) => reply::parse_with(text, &model.template, tools),
            Self::Anyone(_) => reply::parse(text),
        }
    }
}

impl fmt::Debug for Answers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answers")
            .field("by", &self.by)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Answerer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Model(model) => f.debug_tuple("Model").field(&model.name()).finish(),
            Self::Program(model, _) => f.debug_tuple("Program").field(&model.name()).finish(),
            Self::Anyone(_) => f.write_str("Anyone"),
        }
    }
}
