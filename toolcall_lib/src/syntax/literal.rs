//! Calls that are not one JSON object: a name, then arguments as JSON or one by one, with fixed
//! strings around them.

use super::{CallSyntax, Part, after, said};
use crate::json;
use crate::tool::{ToolCall, ToolSchema};
use serde_json::Value;

impl CallSyntax {
    /// Reads the calls in `text`. Returns the text around them and the calls, or `None` if a call
    /// cannot be read.
    pub(super) fn read_literally(&self, text: &str, tools: &[ToolSchema]) -> Option<(String, Vec<ToolCall>)> {
        let Some(marker) = self.marker() else {
            return self.read_at_start(text, tools);
        };
        let (mut pieces, mut calls, mut rest) = (Vec::new(), Vec::new(), text);
        while let Some(start) = rest.find(marker) {
            pieces.push(&rest[..start]);
            rest = self.take(&rest[start..], tools, &mut calls)?;
        }
        pieces.push(rest);
        let lost_end = self
            .end_marker()
            .is_some_and(|close| pieces.iter().any(|piece| piece.contains(close)));
        (!lost_end).then(|| (said(&pieces), calls))
    }

    /// Reads calls that begin like other text, such as `[f(x=1)]`: a reply that is not a call as a
    /// whole is text.
    fn read_at_start(&self, text: &str, tools: &[ToolSchema]) -> Option<(String, Vec<ToolCall>)> {
        let mut calls = Vec::new();
        match self.take(text.trim(), tools, &mut calls) {
            Some(rest) => Some((rest.trim().to_string(), calls)),
            None => Some((text.trim().to_string(), Vec::new())),
        }
    }

    /// Reads the calls at the start of `text`, up to their end; returns the rest.
    fn take<'a>(&self, text: &'a str, tools: &[ToolSchema], calls: &mut Vec<ToolCall>) -> Option<&'a str> {
        let mut rest = after(text, &self.begin)?;
        loop {
            let (call, behind) = self.call(rest, tools)?;
            calls.push(call);
            match self.between.as_ref().and_then(|between| after(behind, between)) {
                Some(next) => rest = next,
                None => return after(behind, &self.end),
            }
        }
    }

    /// Reads one call, part by part; returns it with the rest of the text.
    fn call<'a>(&self, text: &'a str, tools: &[ToolSchema]) -> Option<(ToolCall, &'a str)> {
        let mut call = ToolCall::default();
        let mut rest = text;
        for (place, part) in self.call.iter().enumerate() {
            // Each part takes its text off the front of `rest`.
            rest = match part {
                Part::Text(text) => after(rest, text)?,
                Part::Name | Part::Id => {
                    // A name or an id reaches to the text that ends it, or to the end of the reply.
                    let end = self
                        .ends_of(place)
                        .iter()
                        .filter_map(|end| rest.find(end))
                        .min()
                        .unwrap_or(rest.len());
                    let (word, behind) = rest.split_at_checked(end)?;
                    match part {
                        Part::Name => call.name = word.trim().to_string(),
                        _ => call.id = Some(word.trim().to_string()),
                    }
                    behind
                }
                Part::Json { .. } => match json::read_first(rest)? {
                    (Value::Object(arguments), behind) => {
                        call.arguments = arguments;
                        behind
                    }
                    _ => return None,
                },
                Part::Fields(fields) => {
                    let tool = tools.iter().find(|tool| tool.name() == call.name);
                    let (arguments, behind) = fields.read(rest, tool)?;
                    call.arguments = arguments;
                    behind
                }
            };
        }
        (!call.name.is_empty()).then_some((call, rest))
    }

    /// Returns the strings that may end a name or an id at this place of a call.
    fn ends_of(&self, place: usize) -> Vec<&str> {
        let tails = || {
            [self.between.as_deref(), Some(self.end.as_str())]
                .into_iter()
                .flatten()
        };
        let ends: Vec<&str> = match self.call.get(place + 1) {
            Some(Part::Text(text)) => vec![text],
            Some(Part::Fields(fields)) => std::iter::once(fields.open.as_str()).chain(tails()).collect(),
            Some(_) => vec!["{"],
            None => tails().collect(),
        };
        let word = |text: &'_ str| -> Option<usize> { text.find(|c: char| !c.is_whitespace()) };
        // White space varies, so the first visible word of each string is enough.
        let shortened = ends
            .into_iter()
            .filter(|end| !end.is_empty())
            .map(|end| match word(end) {
                Some(start) => end[start..].split_whitespace().next().unwrap_or(end),
                None => end,
            });
        shortened.collect()
    }
}
