//! Holds a reply to the tools: which tokens may come next, and which must.

mod grammar;
mod schema;

use super::{GenerateConfig, ToolChoice};
use crate::error::{Error, Result};
use crate::model::Model;
use crate::template::tags;
use crate::tokens::Grammars;
use crate::tool::ToolSchema;
use grammar::{Answer, Grammar, Thought, unsupported};
use llguidance::Matcher;
use llguidance::api::TopLevelGrammar;

/// The state of one reply.
#[derive(Clone)]
pub(super) struct Constraint {
    matcher: Matcher,
    /// How the end of the reply is called among the tokens of `matcher`.
    end: u32,
}

impl Constraint {
    /// What `config` holds the reply to `prompt` to; nothing if it may say what it likes.
    ///
    /// # Errors
    /// A tool choice that the tools do not allow, and a schema that calls cannot be held to.
    pub fn new(
        model: &Model,
        prompt: &str,
        tools: &[ToolSchema],
        config: &GenerateConfig,
    ) -> Result<Option<Self>> {
        let tools = config.tool_choice.among(tools)?;
        let answer = match &config.tool_choice {
            ToolChoice::Auto if !config.constrained || tools.is_empty() => return Ok(None),
            ToolChoice::Auto => Answer::TextOrCalls,
            ToolChoice::None => Answer::Text,
            ToolChoice::Required | ToolChoice::Function(_) => Answer::Calls,
        };
        let Some(syntax) = model.template.call_syntax() else {
            return match answer {
                Answer::TextOrCalls => Ok(None),
                _ => Err(unknown_syntax()),
            };
        };
        let thought = if prompt.trim_end().ends_with(tags::THINK) {
            Thought::Begun
        } else if model.template.thinking {
            Thought::First
        } else {
            Thought::Nowhere
        };
        let form = Grammar {
            thought,
            answer,
            parallel: config.parallel_tool_calls && !matches!(config.tool_choice, ToolChoice::Function(_)),
            tools: &tools,
            syntax: &syntax,
        };
        let grammars = model.tokenizer.grammars()?;
        let matcher = compile(grammars, &form).map_err(|problem| culprit(grammars, &form, problem))?;
        Ok(Some(Self {
            matcher,
            end: grammars.end,
        }))
    }

    /// Makes tokens impossible that may not come next; the tokens of `end` end the reply.
    pub fn mask(&mut self, logits: &mut [f32], end: &[u32]) -> Result<()> {
        let allowed = self.matcher.compute_mask().map_err(failed)?;
        let ends = allowed.is_allowed(self.end);
        for (id, logit) in (0..).zip(logits) {
            let fits = if end.contains(&id) {
                ends
            } else {
                id < self.end && allowed.is_allowed(id)
            };
            if !fits {
                *logit = f32::NEG_INFINITY;
            }
        }
        Ok(())
    }

    /// The reply goes on with `id`.
    pub fn push(&mut self, id: u32) -> Result<()> {
        self.matcher.consume_token(id).map_err(failed)
    }

    /// The tokens that must come next, as far as that is known.
    pub fn forced(&mut self) -> Vec<u32> {
        self.matcher.compute_ff_tokens()
    }

    /// Nothing may follow.
    pub fn is_over(&self) -> bool {
        self.matcher.is_stopped()
    }
}

fn compile(grammars: &Grammars, form: &Grammar<'_>) -> Result<Matcher> {
    let grammar = TopLevelGrammar::from_lark(form.lark()?);
    let mut matcher = Matcher::new(grammars.parsers.create_parser(grammar));
    matcher.compute_mask().map_err(failed)?; // says what `new` keeps to itself
    Ok(matcher)
}

/// The tool whose schema is the problem, where there is one.
fn culprit(grammars: &Grammars, form: &Grammar<'_>, problem: Error) -> Error {
    if !matches!(problem, Error::Library { .. }) {
        return problem;
    }
    let alone = |tool: &&ToolSchema| {
        let form = Grammar {
            tools: &[*tool],
            ..*form
        };
        Some(unsupported(tool, compile(grammars, &form).err()?))
    };
    form.tools.iter().find_map(alone).unwrap_or(problem)
}

fn failed(problem: impl std::fmt::Display) -> Error {
    Error::library("constrained decoding")(problem.to_string())
}

fn unknown_syntax() -> Error {
    let problem = format!(
        "the model's chat template does not write calls as {}…{}, and no other way is known; use `auto`",
        tags::CALL,
        tags::CALL_END
    );
    Error::invalid("tool_choice", problem)
}
