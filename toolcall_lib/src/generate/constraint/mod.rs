//! Holds a reply to the tools: which tokens may come next, and which must.

mod fields;
mod grammar;
mod schema;

use super::{GenerateConfig, ToolChoice};
use crate::error::{Error, Result};
use crate::model::Model;
use crate::syntax::{CallSyntax, tags};
use crate::template::ChatTemplate;
use crate::tokens::Grammars;
use crate::tool::ToolSchema;
use grammar::{Answer, Grammar, Thought, unsupported, unsupported_json};
use llguidance::Matcher;
use llguidance::api::TopLevelGrammar;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, PoisonError};

/// The state of one reply.
#[derive(Clone)]
pub(crate) struct Constraint {
    matcher: Matcher,
    /// How the end of the reply is called among the tokens of `matcher`.
    end: u32,
}

/// Constraints that were made, each once for the same tools. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Constraints {
    recent: Arc<Mutex<Vec<(Form, Constraint)>>>,
}

/// All that the grammar of a reply depends on.
#[derive(Clone, PartialEq)]
struct Form {
    tools: Vec<ToolSchema>,
    thought: Thought,
    answer: Answer,
    /// JSON schema that an answer in words must fit.
    json: Option<Value>,
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
        &self,
        model: &Model,
        template: &ChatTemplate,
        prompt: &str,
        tools: &[ToolSchema],
        config: &GenerateConfig,
    ) -> Result<Option<Constraint>> {
        let tools = config.tool_choice.among(tools)?;
        let (answer, one) = match &config.tool_choice {
            ToolChoice::Auto if !config.constrained || tools.is_empty() => match config.json_schema {
                None => return Ok(None),
                Some(_) => (Answer::Text, false),
            },
            ToolChoice::Auto => (Answer::TextOrCalls, false),
            ToolChoice::None => (Answer::Text, false),
            ToolChoice::Required => (Answer::Calls, false),
            ToolChoice::Function(_) => (Answer::Calls, true),
        };
        let thought = if prompt.trim_end().ends_with(tags::THINK) {
            Thought::Begun
        } else if template.thinks() {
            Thought::First
        } else {
            Thought::Nowhere
        };
        let form = Form {
            tools,
            thought,
            answer,
            json: config.json_schema.clone().filter(|_| answer != Answer::Calls),
            parallel: config.parallel_tool_calls && !one,
        };
        refuse_doubled(&form.tools)?;
        let recent = || self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, constraint)) = recent().iter().find(|(known, _)| *known == form) {
            return Ok(Some(constraint.clone()));
        }
        let only_json = answer == Answer::Text && form.json.is_some();
        let syntax = match template.call_syntax() {
            Some(syntax) => syntax,
            None if only_json => &CallSyntax::hermes(), // no call is written
            None => return Err(unknown_syntax()),
        };
        // It takes time, and who needs another form need not wait for it.
        let grammars = model.tokenizer.grammars(&syntax.texts())?;
        let constraint = Constraint::new(&grammars, &form, syntax)?;
        let mut recent = recent();
        if recent.len() >= Self::MOST {
            recent.remove(0);
        }
        recent.push((form, constraint.clone()));
        Ok(Some(constraint))
    }
}

impl Constraint {
    fn new(grammars: &Grammars, form: &Form, syntax: &CallSyntax) -> Result<Self> {
        let grammar = Grammar {
            thought: form.thought,
            answer: form.answer,
            json: form.json.as_ref(),
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

/// The tool whose schema is the problem, and its argument, where there are such.
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
    let Some((tool, problem)) = grammar.tools.iter().find_map(|tool| Some((tool, fails(tool)?))) else {
        return problem;
    };
    let properties = tool.parameters()["properties"]
        .as_object()
        .cloned()
        .unwrap_or_default();
    let argument = properties.iter().find_map(|(name, _)| {
        let mut alone = tool.clone();
        alone.0["function"]["parameters"]["required"] = json!([]);
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

/// What a library says, without the grammar that it repeats.
fn in_short(problem: &Error, schema: Option<&Value>) -> String {
    const LONGEST: usize = 160;
    const NO_REGULAR_LANGUAGE: [(&str, &str); 5] = [
        ("(?=", "look-ahead"),
        ("(?!", "look-ahead"),
        ("(?<=", "look-behind"),
        ("(?<!", "look-behind"),
        (r"\b", "a word boundary"),
    ];
    let patterns = schema.map(patterns).unwrap_or_default();
    for (sign, name) in NO_REGULAR_LANGUAGE {
        if let Some(pattern) = patterns.iter().find(|pattern| pattern.contains(sign)) {
            let shown: String = pattern.chars().take(LONGEST).collect();
            return format!("the keyword `pattern` is not supported with {name}, as in {shown}");
        }
    }
    let text = problem.to_string();
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let told = lines
        .filter(|line| !line.contains("%json") && !line.starts_with("start:"))
        .take(2)
        .collect::<Vec<_>>()
        .join(" ");
    match told.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &told[..end]),
        None => told,
    }
}

/// All patterns in a schema.
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

/// An error of the grammar without the lines of the grammar that it quotes behind their number and
/// a bar.
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
    let problem = "it is not known how the model's chat template writes calls, so they cannot be held to the tools; set \
        `constrained` to false and `tool_choice` to `auto`";
    Error::invalid("chat template", problem)
}

#[cfg(test)]
mod tests;
