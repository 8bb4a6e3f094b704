//! Constrained decoding: decides which tokens may come next in a reply, and which must.
//!
//! `Grammar` writes the tools and the template's call syntax as a grammar of llguidance, whose
//! matcher follows the reply token by token. [`Constraints`] keeps the compiled grammars, because
//! compiling takes time. A constraint never changes the logits of a token that it allows.

mod culprit;
mod pattern;
mod fields;
mod grammar;
mod lark;
mod schema;

use super::{GenerateConfig, ToolChoice};
use crate::error::{Error, Result};
use crate::model::Model;
use crate::mutex::locked;
use crate::syntax::CallSyntax;
use crate::template::{ChatTemplate, Thought};
use crate::tokens::Grammars;
use crate::tool::{ToolSchema, doubled};
use culprit::{compiled, failed};
use grammar::{Answer, Grammar};
use llguidance::Matcher;
use serde_json::Value;
use std::sync::{Arc, Mutex};

/// The grammar of one reply, and how far the reply has come in it.
#[derive(Clone)]
pub(crate) struct Constraint {
    matcher: Matcher,
    /// Token id that means the end of the reply to `matcher`.
    end: u32,
    /// Tags around each call, if the syntax has some.
    tags: Option<(Arc<str>, Arc<str>)>,
}

/// Compiled constraints, each made once for the same tools. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Constraints {
    recent: Arc<Mutex<Vec<Made>>>,
}

/// A form of replies, the grammars of the tokenizer that it was compiled with, and the result.
type Made = (Form, Arc<Grammars>, Constraint);

/// Everything that the grammar of a reply depends on, besides the tokenizer.
#[derive(PartialEq)]
struct Form {
    syntax: CallSyntax,
    tools: Vec<ToolSchema>,
    thought: Thought,
    answer: Answer,
    /// JSON schema that an answer without calls must fit.
    json: Option<Value>,
    parallel: bool,
}

impl Constraints {
    /// Most forms that are kept; the oldest goes first.
    const MOST: usize = 64;

    /// Returns the constraint that `config` puts on the reply to `prompt`; `None` if any text is
    /// allowed.
    ///
    /// # Errors
    /// A tool choice that the tools do not allow, a schema that calls cannot be constrained to, and
    /// a template whose call syntax is unknown.
    pub fn get(
        &self,
        model: &Model,
        template: &ChatTemplate,
        prompt: &str,
        tools: &[ToolSchema],
        config: &GenerateConfig,
    ) -> Result<Option<Constraint>> {
        // 1. Form of the reply: text, calls or both, with a thought before it or not.
        let tools = config.tool_choice.among(tools)?;
        let is_free = config.json_schema.is_none() && (tools.is_empty() || !config.constrained);
        let (answer, one) = match &config.tool_choice {
            ToolChoice::Auto if is_free => return Ok(None),
            ToolChoice::Auto if tools.is_empty() => (Answer::Text, false),
            ToolChoice::Auto => (Answer::TextOrCalls, false),
            ToolChoice::None => (Answer::Text, false),
            ToolChoice::Required => (Answer::Calls, false),
            ToolChoice::Function(_) => (Answer::Calls, true),
        };
        refuse_doubled(&tools)?;
        let json = config.json_schema.clone().filter(|_| answer != Answer::Calls);
        // An answer in JSON needs no call syntax; Hermes' is used.
        let syntax = match template.call_syntax() {
            Some(syntax) => syntax.clone(),
            None if answer == Answer::Text && json.is_some() => CallSyntax::hermes(),
            None => return Err(unknown_syntax()),
        };
        let form = Form {
            syntax,
            tools,
            thought: template.thought(prompt),
            answer,
            json,
            parallel: config.parallel_tool_calls && !one,
        };
        // 2. An equal form was compiled before. A tokenizer keeps its grammars, so the same ones
        //    mean the same tokenizer.
        let grammars = model.tokenizer.grammars(&form.syntax.texts())?;
        let recent = || locked(&self.recent);
        let is_same = |made: &&Made| made.0 == form && Arc::ptr_eq(&made.1, &grammars);
        if let Some((.., constraint)) = recent().iter().find(is_same) {
            return Ok(Some(constraint.clone()));
        }
        // 3. Compile it without holding the lock, so that other forms do not wait.
        let constraint = Constraint::new(&grammars, &form)?;
        let mut recent = recent();
        if recent.len() >= Self::MOST {
            recent.remove(0);
        }
        recent.push((form, grammars, constraint.clone()));
        Ok(Some(constraint))
    }
}

impl Constraint {
    fn new(grammars: &Grammars, form: &Form) -> Result<Self> {
        let grammar = Grammar {
            thought: form.thought,
            answer: form.answer,
            json: form.json.as_ref(),
            parallel: form.parallel,
            tools: &form.tools,
            syntax: &form.syntax,
        };
        let matcher = compiled(grammars, &grammar)?;
        let tags = form.syntax.marker().zip(form.syntax.end_marker());
        Ok(Self {
            matcher,
            end: grammars.end,
            tags: tags.map(|(open, close)| (open.into(), close.into())),
        })
    }

    /// Sets the logits, `[vocabulary]`, of all tokens that may not come next to minus infinity. The
    /// tokens of `end` end the reply, and are allowed where the grammar may end.
    ///
    /// # Errors
    /// The grammar fails, or no token of the tokenizer can come next.
    pub fn mask(&mut self, logits: &mut [f32], end: &[u32]) -> Result<()> {
        let allowed = self.matcher.compute_mask().map_err(failed)?;
        // 1. Remember the logits of the end tokens: the matcher knows the end as one separate
        //    token.
        let known = logits.len().min(self.end as usize);
        let ends: Vec<(usize, f32)> = match allowed.is_allowed(self.end) {
            true => end
                .iter()
                .filter_map(|&id| Some((id as usize, *logits.get(id as usize)?)))
                .collect(),
            false => Vec::new(),
        };
        // 2. One bit per token, 32 tokens per word. Ids from `end` on (padding of the vocabulary)
        //    are masked.
        logits[known..].fill(f32::NEG_INFINITY);
        for (logits, &bits) in logits[..known].chunks_mut(32).zip(allowed.as_slice()) {
            match bits {
                0 => logits.fill(f32::NEG_INFINITY),
                u32::MAX => {}
                _ => (0..).zip(&mut *logits).for_each(|(i, logit)| {
                    if bits >> i & 1 == 0 {
                        *logit = f32::NEG_INFINITY;
                    }
                }),
            }
        }
        // 3. End tokens are allowed only as the end.
        for id in end {
            if let Some(logit) = logits.get_mut(*id as usize) {
                *logit = f32::NEG_INFINITY;
            }
        }
        ends.into_iter().for_each(|(id, logit)| logits[id] = logit);
        match logits.iter().any(|logit| *logit > f32::NEG_INFINITY) {
            true => Ok(()),
            false => Err(failed("the tokenizer has no token that could come next")),
        }
    }

    /// Moves on by the token `id` of the reply.
    pub fn push(&mut self, id: u32) -> Result<()> {
        self.matcher.consume_token(id).map_err(failed)
    }

    /// Returns the tokens that must come next, as far as the grammar determines them.
    pub fn forced(&mut self) -> Vec<u32> {
        self.matcher.compute_ff_tokens()
    }

    /// Returns true if nothing may follow.
    pub fn is_over(&self) -> bool {
        self.matcher.is_stopped()
    }

    /// Returns the byte after the last complete call of a reply, or 0.
    pub fn end_of_calls(&self, text: &str) -> usize {
        let close = self
            .tags
            .as_ref()
            .and_then(|(_, close)| Some(text.rfind(&**close)? + close.len()));
        close.unwrap_or(0)
    }

    /// Returns the byte after the call before the last one, if the reply ends with a call that it
    /// has made before. Calls in a syntax without tags are not compared.
    pub fn repeats(&self, text: &str) -> Option<usize> {
        let (open, close) = self.tags.as_ref()?;
        let calls = text.trim_end().strip_suffix(&**close)?;
        let (before, last) = calls.rsplit_once(&**open)?;
        let mut earlier = before
            .split(&**close)
            .filter_map(|call| Some(call.rsplit_once(&**open)?.1));
        earlier
            .any(|call| call == last)
            .then(|| self.end_of_calls(before))
    }
}

/// Refuses two tools with the same name.
fn refuse_doubled(tools: &[ToolSchema]) -> Result<()> {
    match doubled(tools).next() {
        None => Ok(()),
        Some(index) => {
            let problem = format!(
                "two tools are called `{}`, so a call could mean either; rename one",
                tools[index].name()
            );
            Err(Error::invalid("tools", problem))
        }
    }
}

fn unknown_syntax() -> Error {
    let problem = "the form in which it writes calls is not known, so constrained decoding cannot be used; ask this \
        model without tools, or unconstrained with the tool choice `auto` and no JSON schema";
    Error::invalid("chat template", problem)
}

#[cfg(test)]
mod tests;
