//! Holds a reply to the tools: which tokens may come next, and which must.

mod schema;
mod limits;
mod grammar;

use super::{GenerateConfig, ToolChoice};
use crate::error::{Error, Result};
use crate::model::Model;
use crate::template::{CallSyntax, tags};
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

/// What replies are held to, made once for the same tools.
#[derive(Clone, Default)]
pub(super) struct Constraints {
    recent: Vec<(Form, Constraint)>,
}

/// All that the grammar of a reply depends on.
#[derive(Clone, PartialEq)]
struct Form {
    tools: Vec<ToolSchema>,
    thought: Thought,
    answer: Answer,
    parallel: bool,
}

impl Constraints {
    /// Forms that are kept.
    const MOST: usize = 64;

    /// What `config` holds the reply to `prompt` to; nothing if it may say what it likes.
    ///
    /// # Errors
    /// A tool choice that the tools do not allow, and a schema that calls cannot be held to.
    pub fn get(
        &mut self,
        model: &Model,
        prompt: &str,
        tools: &[ToolSchema],
        config: &GenerateConfig,
    ) -> Result<Option<Constraint>> {
        let tools = config.tool_choice.among(tools)?;
        let (answer, one) = match &config.tool_choice {
            ToolChoice::Auto if !config.constrained || tools.is_empty() => return Ok(None),
            ToolChoice::Auto => (Answer::TextOrCalls, false),
            ToolChoice::None => (Answer::Text, false),
            ToolChoice::Required => (Answer::Calls, false),
            ToolChoice::Function(_) => (Answer::Calls, true),
        };
        let thought = if prompt.trim_end().ends_with(tags::THINK) {
            Thought::Begun
        } else if model.template.thinking {
            Thought::First
        } else {
            Thought::Nowhere
        };
        let form = Form {
            tools,
            thought,
            answer,
            parallel: config.parallel_tool_calls && !one,
        };
        refuse_doubled(&form.tools)?;
        if let Some((_, constraint)) = self.recent.iter().find(|(known, _)| *known == form) {
            return Ok(Some(constraint.clone()));
        }
        let Some(syntax) = model.template.call_syntax() else {
            return match answer {
                Answer::TextOrCalls => Ok(None),
                _ => Err(unknown_syntax()),
            };
        };
        let constraint = Constraint::new(model.tokenizer.grammars()?, &form, &syntax)?;
        if self.recent.len() == Self::MOST {
            self.recent.remove(0);
        }
        self.recent.push((form, constraint.clone()));
        Ok(Some(constraint))
    }
}

impl Constraint {
    fn new(grammars: &Grammars, form: &Form, syntax: &CallSyntax) -> Result<Self> {
        let grammar = Grammar {
            thought: form.thought,
            answer: form.answer,
            parallel: form.parallel,
            tools: &form.tools,
            syntax,
        };
        let matcher = compile(grammars, &grammar).map_err(|problem| culprit(grammars, &grammar, problem))?;
        Ok(Self {
            matcher,
            end: grammars.end,
        })
    }

    /// Makes tokens impossible that may not come next; the tokens of `end` end the reply.
    pub fn mask(&mut self, logits: &mut [f32], end: &[u32]) -> Result<()> {
        let allowed = self.matcher.compute_mask().map_err(failed)?;
        let known = logits.len().min(self.end as usize);
        let ends: Vec<(usize, f32)> = match allowed.is_allowed(self.end) {
            true => end
                .iter()
                .filter_map(|&id| Some((id as usize, *logits.get(id as usize)?)))
                .collect(),
            false => Vec::new(),
        };
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

fn compile(grammars: &Grammars, grammar: &Grammar<'_>) -> Result<Matcher> {
    let grammar = TopLevelGrammar::from_lark(grammar.lark()?);
    let mut matcher = Matcher::new(grammars.parsers.create_parser(grammar));
    matcher.compute_mask().map_err(failed)?; // says what `new` keeps to itself
    Ok(matcher)
}

/// The tool whose schema is the problem, where there is one.
fn culprit(grammars: &Grammars, grammar: &Grammar<'_>, problem: Error) -> Error {
    if !matches!(problem, Error::Library { .. }) {
        return problem;
    }
    let alone = |tool: &ToolSchema| {
        let tools = std::slice::from_ref(tool);
        let problem = compile(grammars, &Grammar { tools, ..*grammar }).err()?;
        Some(unsupported(tool, problem))
    };
    grammar.tools.iter().find_map(alone).unwrap_or(problem)
}

fn refuse_doubled(tools: &[ToolSchema]) -> Result<()> {
    let mut names: Vec<&str> = tools.iter().map(ToolSchema::name).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        None => Ok(()),
        Some(pair) => {
            let problem = format!(
                "two are called `{}`, and a call could mean either; rename one",
                pair[0]
            );
            Err(Error::invalid("tools", problem))
        }
    }
}

/// An error of the grammar without the lines of the grammar that it quotes behind their number and a bar.
fn failed(problem: impl std::fmt::Display) -> Error {
    const LONGEST: usize = 300;
    let problem = problem.to_string();
    let is_quoted = |line: &str| {
        let number = line.split_once('|').map(|(number, _)| number.trim());
        number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let lines = problem.lines().take_while(|line| !is_quoted(line));
    let said: Vec<&str> = lines.flat_map(str::split_whitespace).collect();
    let said: String = said.join(" ").chars().take(LONGEST).collect();
    Error::library("constrained decoding")(said)
}

fn unknown_syntax() -> Error {
    let problem = format!(
        "the model's chat template does not write calls as {}…{}, and no other way is known; use `auto`",
        tags::CALL,
        tags::CALL_END
    );
    Error::invalid("tool_choice", problem)
}
