//! Replies that the untuned model writes itself, used as training targets so that tuning does not
//! spoil them.

use super::{GenerateConfig, Generator, Prompt};
use crate::conversation::{Conversation, Message, Role};
use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::model::Model;

/// Replaces the last message of these `rows` of `data` by the reply that `model` writes when it is
/// offered no tools. A model trained on its own replies goes on answering what it could answer
/// before, instead of refusing everything that no tool does. A row keeps its message if the reply
/// does not end within `config.max_new_tokens`. Returns the number of replaced messages.
///
/// Call this before training, with the rows in [`Made::open`](crate::synthetic::Made::open).
///
/// # Errors
/// A row is missing or does not end with text of the assistant; and the errors of
/// [`Generator::replies`].
pub fn answer_without_tools(
    model: &Model,
    data: &mut Dataset,
    rows: &[usize],
    config: &GenerateConfig,
) -> Result<usize> {
    // 1. The conversation before each row's last message.
    let mut asked: Vec<&[Message]> = Vec::with_capacity(rows.len());
    for &row in rows {
        asked.push(data.rows.get(row).and_then(before_words).ok_or_else(|| {
            let problem = "expected a row whose last message is text of the assistant";
            Error::invalid(format!("row {row}"), problem)
        })?);
    }
    // 2. Replies without tools.
    let prompts: Vec<Prompt<'_>> = asked.iter().map(|messages| (*messages, &[][..])).collect();
    let replies = Generator::new(model, config.clone()).replies(&prompts)?;
    // 3. Replace the messages whose reply is complete.
    let mut replaced = 0;
    for (&row, reply) in rows.iter().zip(replies) {
        let text = reply.text.trim();
        if let (true, false, Some(last)) = (
            reply.finished,
            text.is_empty(),
            data.rows[row].messages.last_mut(),
        ) {
            last.content = text.to_string();
            replaced += 1;
        }
    }
    Ok(replaced)
}

/// Returns the messages before the last, if the last is text of the assistant without a call.
fn before_words(row: &Conversation) -> Option<&[Message]> {
    let (last, before) = row.messages.split_last()?;
    (last.role == Role::Assistant && last.tool_calls.is_empty()).then_some(before)
}
