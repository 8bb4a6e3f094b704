//! One conversation to the token sequences that it trains.
//!
//! Every trained assistant turn becomes a separate sequence: the prompt exactly as inference builds
//! it, then the reply. `docs/design.md` says why. The other modes of [`LossMode`] train on one
//! rendering of the whole row, as TRL does.
//!
//! Prompt and reply are tokenized separately, as they are when the model writes the reply.

use super::Tokenizer;
use crate::conversation::{Conversation, Role};
use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::template::ChatTemplate;

/// The tokens of a conversation that are trained on.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum LossMode {
    /// Trains every assistant turn, each on exactly the prompt that inference builds for it.
    #[default]
    Assistant,
    /// Trains the last assistant turn only.
    Last,
    /// Trains every token of one rendering of the row, as TRL does by default.
    All,
    /// Trains everything after the first prompt in one rendering, as TRL does for prompt-completion
    /// data.
    Completion,
    /// TRL's default: `Completion` for rows with `prompt` and `completion`, `All` for the others. A
    /// conversation that was not read from such a row is one of the others.
    Auto,
}

impl LossMode {
    /// Returns the mode of a row of `data`, which is never `Auto`.
    pub fn of_row(self, data: &Dataset, row: usize) -> Self {
        match self {
            Self::Auto if data.has_completion(row) => Self::Completion,
            Self::Auto => Self::All,
            mode => mode,
        }
    }
}

/// One token sequence to train on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequence {
    /// The token ids.
    pub ids: Vec<u32>,
    /// Marks the targets: token `i` is predicted from the tokens before it if `trained[i]`. Never
    /// true for `i == 0`.
    pub trained: Vec<bool>,
}

impl Sequence {
    /// Creates a sequence that is trained from token `start` on.
    fn trained_from(start: usize, ids: Vec<u32>) -> Self {
        let trained = (0..ids.len()).map(|i| i >= start.max(1)).collect();
        Self { ids, trained }
    }

    /// Returns the number of tokens that are trained.
    pub fn targets(&self) -> usize {
        self.trained.iter().filter(|&&trained| trained).count()
    }
}

/// Returns the sequences that a conversation trains: one per trained assistant turn, or one for the
/// whole conversation. Empty if all assistant turns are marked as not trained.
///
/// # Examples
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/in_docs.rs"));
/// # fn main() -> toolcall_lib::Result<()> {
/// # let _folder = example_folder();
/// use toolcall_lib::{Dataset, LossMode, TokenView, load, sequences};
///
/// let (model, data) = (load("out/tuned")?, Dataset::load("rows.json")?);
/// let of_row = sequences(&data.rows[0], &model.template, &model.tokenizer, LossMode::Assistant)?;
/// println!("{}", TokenView::new(&of_row[0], &model.tokenizer)?);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// No assistant turn (in every mode but [`LossMode::All`] and [`LossMode::Auto`]); messages that
/// the template refuses; or a template that begins an assistant turn differently than its prompt
/// for that turn.
pub fn sequences(
    conversation: &Conversation,
    template: &ChatTemplate,
    tokenizer: &Tokenizer,
    mode: LossMode,
) -> Result<Vec<Sequence>> {
    template.refuse_unseen_tools(conversation)?;
    let template = &template.with_kwargs(&conversation.chat_template_kwargs);
    let messages = &conversation.messages;
    let turns: Vec<usize> = (0..messages.len())
        .filter(|&i| messages[i].role == Role::Assistant)
        .collect();
    let learnt: Vec<usize> = conversation.trained_turns().collect();
    if !turns.is_empty() && learnt.is_empty() {
        return Ok(Vec::new());
    }
    // One sequence per mode, or per trained turn. Turns marked as not trained give no sequence.
    let made = match (mode, &turns[..]) {
        (LossMode::All | LossMode::Auto, _) => vec![whole(conversation, template, tokenizer)?],
        (_, []) => {
            return Err(Error::invalid(
                "messages",
                "no assistant turn: there is nothing to train on",
            ));
        }
        (LossMode::Last, [.., last]) => match messages[*last].train {
            true => vec![branch(conversation, *last, template, tokenizer)?],
            false => Vec::new(),
        },
        (LossMode::Completion, _) => vec![completion(conversation, learnt[0], template, tokenizer)?],
        (LossMode::Assistant, _) => learnt
            .iter()
            .map(|&turn| branch(conversation, turn, template, tokenizer))
            .collect::<Result<_>>()?,
    };
    Ok(made
        .into_iter()
        // a rendering may have no trained token left
        .filter(|sequence| sequence.targets() > 0)
        .collect())
}

/// Renders the conversation once and trains on all of it, except turns that are not trained.
fn whole(conversation: &Conversation, template: &ChatTemplate, tokenizer: &Tokenizer) -> Result<Sequence> {
    let Conversation { messages, tools, .. } = conversation;
    let text = template.render(messages, tools)?;
    let mut sequence = Sequence::trained_from(1, tokenizer.encode(&text)?);
    mask(&mut sequence, 0, 0, &text, conversation, template, tokenizer)?;
    Ok(sequence)
}

/// Removes the turns that are not trained from the targets of a sequence. The tokens from `start`
/// on are those of `text` from byte `from` on, in one rendering.
fn mask(
    sequence: &mut Sequence,
    start: usize,
    from: usize,
    text: &str,
    conversation: &Conversation,
    template: &ChatTemplate,
    tokenizer: &Tokenizer,
) -> Result<()> {
    let Conversation { messages, tools, .. } = conversation;
    let masked = |turn: &usize| messages[*turn].role == Role::Assistant && !messages[*turn].train;
    let turns: Vec<usize> = (0..messages.len()).filter(masked).collect();
    if turns.is_empty() {
        return Ok(());
    }
    // byte range of each token within text[from..]
    let offsets = tokenizer.offsets(&text[from..])?;
    for turn in turns {
        let prompt = template.render_prompt(&messages[..turn], tools)?;
        let through = template.render(&messages[..=turn], tools)?;
        // The turn lies between the end of its prompt and the end of the rendering through it.
        if !(text.starts_with(&through) && through.starts_with(&prompt)) {
            let problem = "is marked as not trained, but the chat template writes it differently when other \
                messages follow; train with the loss on the assistant's turns";
            return Err(Error::invalid(format!("messages[{turn}]"), problem));
        }
        for (trained, offset) in sequence.trained[start..].iter_mut().zip(&offsets) {
            let place = from + offset.start..from + offset.end;
            *trained &= place.end <= prompt.len() || place.start >= through.len();
        }
    }
    Ok(())
}

/// Builds the sequence of assistant turn `turn`: the prompt that inference builds for it, then the
/// reply. Both are tokenized separately, as they are when the model writes the reply.
fn branch(
    conversation: &Conversation,
    turn: usize,
    template: &ChatTemplate,
    tokenizer: &Tokenizer,
) -> Result<Sequence> {
    let Conversation { messages, tools, .. } = conversation;
    let prompt = template.render_prompt(&messages[..turn], tools)?;
    let text = template.render(&messages[..=turn], tools)?;
    let rest = text
        .strip_prefix(&prompt)
        .ok_or_else(|| parting(turn, &prompt, &text))?;
    prompt_and_reply(&prompt, through_end_of_turn(rest, tokenizer)?, tokenizer)
}

/// Renders the conversation once and trains on everything after the prompt for the turn `first`.
///
/// TRL's prompt leaves the empty think block out, as a template like Qwen3's does for a turn that
/// is not the last. So the prompt with thinking enabled is tried too.
fn completion(
    conversation: &Conversation,
    first: usize,
    template: &ChatTemplate,
    tokenizer: &Tokenizer,
) -> Result<Sequence> {
    let Conversation { messages, tools, .. } = conversation;
    let text = template.render(messages, tools)?;
    let prompt = template.render_prompt(&messages[..first], tools)?;
    let mut thinking = template.clone();
    thinking.thinking = true;
    thinking.kwargs.shift_remove("enable_thinking");
    let thinking = thinking.render_prompt(&messages[..first], tools)?;
    // The first prompt that the rendering begins with separates the prompt from the rest.
    for prompt in [&prompt, &thinking] {
        if let Some(rest) = text.strip_prefix(prompt) {
            let mut sequence = prompt_and_reply(prompt, rest, tokenizer)?;
            let start = tokenizer.encode(prompt)?.len();
            mask(
                &mut sequence,
                start,
                prompt.len(),
                &text,
                conversation,
                template,
                tokenizer,
            )?;
            return Ok(sequence);
        }
    }
    Err(parting(first, &prompt, &text))
}

/// Tokenizes prompt and reply separately; the reply is trained.
fn prompt_and_reply(prompt: &str, reply: &str, tokenizer: &Tokenizer) -> Result<Sequence> {
    let mut ids = tokenizer.encode(prompt)?;
    let start = ids.len();
    ids.extend(tokenizer.encode(reply)?);
    Ok(Sequence::trained_from(start, ids))
}

/// Returns the reply through the token that ends it, without the newline that templates write after
/// it.
fn through_end_of_turn<'a>(reply: &'a str, tokenizer: &Tokenizer) -> Result<&'a str> {
    let ends = tokenizer.eos_tokens();
    let end = ends
        .iter()
        .filter_map(|token| Some(reply.rfind(token)? + token.len()))
        .max();
    match end.map(|end| reply.split_at(end)) {
        Some((reply, rest)) if rest.trim().is_empty() => Ok(reply),
        _ => Err(Error::invalid(
            "chat template",
            format!(
                "a reply ends with {:?}, but generation stops at {ends:?} only, so the model would never \
                 learn to stop; see `Tokenizer::stop_at_end_of_turn`",
                tail(reply.trim_end())
            ),
        )),
    }
}

/// Returns the error for a turn that the template begins differently than its prompt for it, with
/// the texts around the first difference.
fn parting(turn: usize, prompt: &str, text: &str) -> Error {
    let same = prompt.chars().zip(text.chars()).take_while(|(a, b)| a == b);
    let (shared, prompt_goes_on) = prompt.split_at(same.map(|(c, _)| c.len_utf8()).sum());
    Error::invalid(
        "chat template",
        format!(
            "the conversation does not begin with the prompt of messages[{turn}]: after {:?}, the prompt has \
                {:?} and the conversation {:?}; a turn with reasoning needs `chat_template_kwargs` {{\"enable_thinking\": true}}",
            tail(shared),
            head(prompt_goes_on),
            head(&text[shared.len()..])
        ),
    )
}

/// Returns the first characters of a text.
fn head(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}

/// Returns the last characters of a text.
fn tail(text: &str) -> String {
    text.chars()
        .skip(text.chars().count().saturating_sub(SHOWN))
        .collect()
}

/// Number of characters of a text that an error message shows.
const SHOWN: usize = 40;
