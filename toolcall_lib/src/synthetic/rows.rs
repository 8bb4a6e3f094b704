//! Building blocks of rows: dialogues, schemas, and a list that takes no row twice.

use super::draw::{Draw, Part};
use crate::conversation::{Conversation, Message, Role};
use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::tool::{ToolCall, ToolSchema};
use rand::seq::SliceRandom;
use serde_json::{Map, Value, json};

/// A conversation in the making.
pub(super) struct Dialogue(Vec<Message>);

/// A call and what the tool answers.
pub(super) struct Answered {
    pub(super) call: ToolCall,
    pub(super) result: String,
}

impl Dialogue {
    pub(super) fn user(text: impl Into<String>) -> Self {
        Self(vec![Message::user(text)])
    }

    pub(super) fn system(text: impl Into<String>, user: impl Into<String>) -> Self {
        Self(vec![Message::system(text), Message::user(user)])
    }

    pub(super) fn says(mut self, text: impl Into<String>) -> Self {
        self.0.push(Message::assistant(text));
        self
    }

    pub(super) fn then_user(mut self, text: impl Into<String>) -> Self {
        self.0.push(Message::user(text));
        self
    }

    /// An assistant turn with these calls, and the tool messages that answer it.
    pub(super) fn calls(mut self, answered: Vec<Answered>) -> Self {
        self.0.push(Message::assistant_calls(
            answered.iter().map(|one| one.call.clone()).collect(),
        ));
        self.0.extend(
            answered
                .into_iter()
                .map(|one| Message::tool(one.call.name, one.result)),
        );
        self
    }

    /// The dialogue up to its last calls.
    pub(super) fn until_call(mut self) -> Self {
        while self.0.last().is_some_and(|message| message.role == Role::Tool) {
            self.0.pop();
        }
        self
    }

    pub(super) fn with(self, tools: &[ToolSchema]) -> Conversation {
        Conversation {
            messages: self.0,
            tools: tools.to_vec(),
            ..Conversation::default()
        }
    }
}

/// A call with its arguments, and the answer of the tool.
pub(super) fn answered(name: &str, arguments: &[(&str, Value)], result: impl Into<String>) -> Answered {
    let arguments = arguments
        .iter()
        .map(|(name, value)| (name.to_string(), value.clone()));
    let call = ToolCall {
        id: None,
        name: name.into(),
        arguments: Map::from_iter(arguments),
    };
    Answered {
        call,
        result: result.into(),
    }
}

/// The schema of a tool; `arguments` are (name, type, description), all required. A type such as `a|b` is an enum.
pub(super) fn schema(name: &str, description: &str, arguments: &[(&str, &str, &str)]) -> Result<ToolSchema> {
    let property = |kind: &str, description: &str| match kind.contains('|') {
        true => json!({
            "type": "string",
            "enum": kind.split('|').collect::<Vec<_>>(),
            "description": description
        }),
        false => json!({"type": kind, "description": description}),
    };
    let properties = arguments
        .iter()
        .map(|(name, kind, text)| (name.to_string(), property(kind, text)));
    let mut parameters = json!({"type": "object", "properties": Map::from_iter(properties)});
    if !arguments.is_empty() {
        parameters["required"] = arguments.iter().map(|(name, ..)| *name).collect();
    }
    let function = json!({"name": name, "description": description, "parameters": parameters});
    ToolSchema::new(json!({"type": "function", "function": function}))
}

/// A kind of rows: its name, how many the training and the held-out file hold, and how one is drawn.
pub(super) type Kind = (&'static str, [usize; 2], fn(&mut Draw) -> Dialogue);

/// Rows of one file, and how many of each kind.
pub(super) struct Rows {
    draw: Draw,
    rows: Vec<Conversation>,
    kinds: Vec<(&'static str, usize)>,
}

impl Rows {
    pub(super) fn new(draw: Draw) -> Self {
        Self {
            draw,
            rows: Vec::new(),
            kinds: Vec::new(),
        }
    }

    pub(super) fn part(&self) -> Part {
        self.draw.part
    }

    pub(super) fn draw(&mut self) -> &mut Draw {
        &mut self.draw
    }

    /// Adds rows of a kind that `make` draws: as many as `[training, held out]` says for this part. Messages that
    /// are there already are drawn again.
    pub(super) fn add(
        &mut self,
        kind: &'static str,
        counts: [usize; 2],
        mut make: impl FnMut(&mut Draw) -> Conversation,
    ) -> Result<()> {
        let count = self.draw.part.pick(counts);
        let target = self.rows.len() + count;
        for _ in 0..count * 100 {
            if self.rows.len() < target {
                let row = make(&mut self.draw);
                if !self.rows.contains(&row) {
                    self.rows.push(row);
                }
            }
        }
        self.count(kind, count);
        let problem = format!("fewer than {count} different rows of kind `{kind}`");
        if self.rows.len() == target {
            Ok(())
        } else {
            Err(Error::invalid("synthetic data", problem))
        }
    }

    /// Adds given rows of a kind.
    pub(super) fn add_all(&mut self, kind: &'static str, rows: Vec<Conversation>) {
        self.count(kind, rows.len());
        self.rows.extend(rows);
    }

    fn count(&mut self, kind: &'static str, count: usize) {
        match self.kinds.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, total)) => *total += count,
            None if count > 0 => self.kinds.push((kind, count)),
            None => {}
        }
    }

    /// The rows, mixed for training; held-out rows stay sorted by kind.
    pub(super) fn finish(mut self) -> (Dataset, Vec<(&'static str, usize)>) {
        if self.draw.part == Part::Train {
            self.rows.shuffle(&mut self.draw.rng);
        }
        (Dataset::from(self.rows), self.kinds)
    }
}

/// The text with a capital at its start.
pub(super) fn upper(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map(|first| first.to_uppercase().chain(letters).collect())
        .unwrap_or_default()
}
