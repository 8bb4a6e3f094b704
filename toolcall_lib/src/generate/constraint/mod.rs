//! Constrained decoding: decides which tokens may come next in a reply, and which must.
//!
//! `Grammar` writes the tools and the template's call syntax as a grammar of llguidance, whose
//! matcher follows the reply token by token. [`Constraints`] keeps the compiled grammars, because
//! compiling takes time. A constraint never changes the logits of a token that it allows.

mod fields;
mod grammar;
mod lark;
mod schema;

use super::{GenerateConfig, ToolChoice};
use crate::error::{Error, Result, shortened};
use crate::model::Model;
use crate::mutex::locked;
use crate::syntax::CallSyntax;
use crate::template::{ChatTemplate, Thought};
use crate::tokens::Grammars;
use crate::tool::{ToolSchema, doubled};
use grammar::{Answer, Grammar, unsupported, unsupported_json};
use llguidance::Matcher;
use llguidance::api::TopLevelGrammar;
use serde_json::{Value, json};
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
        let matcher = compile(grammars, &grammar).map_err(|problem| culprit(grammars, &grammar, problem))?;
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

/// Compiles a grammar.
///
/// # Errors
/// A schema that llguidance refuses.
fn compile(grammars: &Grammars, grammar: &Grammar<'_>) -> Result<Matcher> {
    let grammar = TopLevelGrammar::from_lark(grammar.lark()?);
    let mut matcher = Matcher::new(grammars.parsers.create_parser(grammar));
    matcher.compute_mask().map_err(failed)?; // reports the errors that `new` hides
    Ok(matcher)
}

/// Finds the tool, and the argument if there is one, whose schema llguidance refused, by compiling
/// each alone; returns the error that names it.
fn culprit(grammars: &Grammars, grammar: &Grammar<'_>, problem: Error) -> Error {
    if !matches!(problem, Error::Library { .. }) {
        return problem;
    }
    let fails = |tool: &ToolSchema| {
        let tools = std::slice::from_ref(tool);
        let json = None;
        compile(
            grammars,
            &Grammar {
                tools,
                json,
                ..*grammar
            },
        )
        .err()
    };
    // 1. The schema of the answer.
    if let Some(json) = grammar.json {
        let alone = Grammar {
            answer: Answer::Text,
            tools: &[],
            ..*grammar
        };
        if let Err(problem) = compile(grammars, &alone) {
            return unsupported_json(in_short(&problem, Some(json)));
        }
    }
    // 2. The first tool that fails alone.
    let Some((tool, problem)) = grammar.tools.iter().find_map(|tool| Some((tool, fails(tool)?))) else {
        return problem;
    };
    // 3. The first argument that fails as its only one.
    let properties = tool.parameters()["properties"]
        .as_object()
        .cloned()
        .unwrap_or_default();
    let argument = properties.iter().find_map(|(name, _)| {
        let mut alone = tool.clone();
        let required = tool.parameters()["required"].as_array().into_iter().flatten();
        let required: Vec<&Value> = required.filter(|other| *other == name).collect();
        alone.0["function"]["parameters"]["required"] = json!(required);
        alone.0["function"]["parameters"]["properties"]
            .as_object_mut()?
            .retain(|other, _| other == name);
        Some((name, fails(&alone)?))
    });
    match argument {
        Some((name, problem)) => {
            let reason = in_short(&problem, properties.get(name));
            unsupported(tool, format!("argument `{name}`: {reason}"))
        }
        None => unsupported(tool, in_short(&problem, None)),
    }
}

/// Explains why llguidance refused a schema, or names the pattern that is not a regular language.
fn in_short(problem: &Error, schema: Option<&Value>) -> String {
    const LONGEST: usize = 160;
    const NO_REGULAR_LANGUAGE: [(&str, &str); 7] = [
        ("(?=", "look-ahead"),
        ("(?!", "look-ahead"),
        ("(?<=", "look-behind"),
        ("(?<!", "look-behind"),
        (r"\1", "a back-reference"),
        (r"\k<", "a back-reference"),
        (r"\b", "a word boundary"),
    ];
    const IN_WORDS: [(&str, &str); 3] = [
        (
            "Unsatisfiable schema",
            "no value fits all keywords, `format` among them",
        ),
        (
            "Unable to determine if regex is empty",
            "the patterns and lengths that apply to one string are too many or too large",
        ),
        (
            "regex parse error",
            "the keyword `pattern` is not supported with this pattern",
        ),
    ];
    // A pattern that is not a regular language is named itself.
    let patterns = schema.map(patterns).unwrap_or_default();
    for (sign, name) in NO_REGULAR_LANGUAGE {
        if let Some(pattern) = patterns.iter().find(|pattern| pattern.contains(sign)) {
            let shown = shortened(pattern, LONGEST);
            return format!("the keyword `pattern` is not supported with {name}, as in {shown}");
        }
    }
    let problem = problem.to_string();
    let known = IN_WORDS.iter().find(|(theirs, _)| problem.contains(theirs));
    let known = known.map(|(_, ours)| ours.to_string());
    known.unwrap_or_else(|| shortened(without_places(&problem), LONGEST))
}

/// Returns a message of llguidance without the places in the grammar that it names.
fn without_places(problem: &str) -> &str {
    let reason = problem.rsplit("failed to compile JSON schema: ").next();
    let reason = reason.and_then(|reason| reason.split(" while processing ").next());
    reason.unwrap_or(problem)
}

/// Returns all values of `pattern` in a schema.
fn patterns(schema: &Value) -> Vec<&str> {
    match schema {
        Value::Object(object) => {
            let own = object.get("pattern").and_then(Value::as_str);
            own.into_iter()
                .chain(object.values().flat_map(patterns))
                .collect()
        }
        Value::Array(items) => items.iter().flat_map(patterns).collect(),
        _ => Vec::new(),
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

/// Makes an error from one of llguidance, without the lines of the grammar that it quotes after
/// their number and a bar.
fn failed(problem: impl std::fmt::Display) -> Error {
    const LONGEST: usize = 300;
    let problem = problem.to_string();
    let is_quoted = |line: &str| {
        let number = line.split_once('|').map(|(number, _)| number.trim());
        number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let lines = problem.lines().take_while(|line| !is_quoted(line));
    let said: Vec<&str> = lines.flat_map(str::split_whitespace).collect();
    Error::library("constrained decoding")(shortened(&said.join(" "), LONGEST))
}

fn unknown_syntax() -> Error {
    let problem = "the form in which it writes calls is not known, so constrained decoding cannot be used; ask this \
        model without tools, or unconstrained with the tool choice `auto` and no JSON schema";
    Error::invalid("chat template", problem)
}

#[cfg(test)]
mod tests;
