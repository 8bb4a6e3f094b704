//! `toolcall inspect`.

use super::dataset::DatasetArguments;
use super::model::{ModelArgument, show_notes};
use super::output::{print, print_json, tell};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::ExitCode;
use toolcall_lib::show::TokenView;
use toolcall_lib::tokens::{LossMode, sequences};
use toolcall_lib::{Conversation, Error, Model, Result, Role};

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    model: ModelArgument,
    /// Conversations: files (JSON, JSONL, Parquet, CSV), or hub:owner/name, hub:owner/name:split or
    /// hub:owner/name:config:split
    #[arg(long, num_args = 1.., required_unless_present = "dataset_name")]
    data: Vec<PathBuf>,
    #[command(flatten)]
    dataset: DatasetArguments,
    /// Row to show, counted from 0. Default: every row
    #[arg(long)]
    row: Option<usize>,
    /// Tokens that are trained on
    #[arg(long, value_enum, default_value = "assistant")]
    loss: Loss,
    /// Print one JSON object per row
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Loss {
    /// Every assistant turn, each on the prompt that inference builds
    Assistant,
    /// The last assistant turn
    Last,
    /// Every token of one rendering (TRL's default for messages)
    All,
    /// Everything after the first prompt (TRL's default for prompt and completion)
    Completion,
    /// Completion for rows with prompt and completion, all for others (TRL's default)
    Auto,
}

impl From<Loss> for LossMode {
    fn from(loss: Loss) -> Self {
        match loss {
            Loss::Assistant => Self::Assistant,
            Loss::Last => Self::Last,
            Loss::All => Self::All,
            Loss::Completion => Self::Completion,
            Loss::Auto => Self::Auto,
        }
    }
}

pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let data = arguments.dataset.load(&arguments.data)?;
    for file in data.files() {
        match arguments.json {
            true => tell(file), // standard output has an object per row
            false => print(file)?,
        }
    }
    let rows = match arguments.row {
        Some(row) if row >= data.rows.len() => {
            let problem = format!(
                "{row} is not there; the file has rows 0 to {}",
                data.rows.len() - 1
            );
            return Err(Error::invalid("--row", problem));
        }
        Some(row) => row..row + 1,
        None => 0..data.rows.len(),
    };
    let model = arguments.model.load()?;
    show_notes(&data, &model);
    for row in rows {
        let loss = LossMode::from(arguments.loss).of_row(&data, row);
        match arguments.json {
            true => print_json(&describe(&model, &data.rows[row], row, loss))?,
            false => show(&model, &data.rows[row], row, loss)?,
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Describes a row in full. Problems are in `errors`.
fn describe(model: &Model, row: &Conversation, number: usize, loss: LossMode) -> Value {
    let mut errors: Vec<String> = Vec::new();
    let mut keep = |error: Error| errors.push(error.to_string());
    let template = model.template.with_kwargs(&row.chat_template_kwargs);
    let text = template.render(&row.messages, &row.tools).map_err(&mut keep).ok();
    let prompts: Vec<String> = turns(row)
        .filter_map(|turn| {
            template
                .render_prompt(&row.messages[..turn], &row.tools)
                .map_err(&mut keep)
                .ok()
        })
        .collect();
    let made = sequences(row, &model.template, &model.tokenizer, loss)
        .map_err(&mut keep)
        .unwrap_or_default();
    let made: Vec<Value> = made
        .iter()
        .map(|s| json!({"ids": s.ids, "trained": s.trained.iter().map(|&t| u8::from(t)).collect::<Vec<_>>()}))
        .collect();
    json!({"row": number, "text": text, "prompts": prompts, "sequences": made, "errors": errors})
}

fn show(model: &Model, row: &Conversation, number: usize, loss: LossMode) -> Result<()> {
    let template = model.template.with_kwargs(&row.chat_template_kwargs);
    let text = template.render(&row.messages, &row.tools)?;
    print(format!("row {number}\n\n{text}"))?;
    for sequence in sequences(row, &model.template, &model.tokenizer, loss)? {
        print(TokenView::new(&sequence, &model.tokenizer)?)?;
    }
    Ok(())
}

/// Returns the indices of the assistant's turns.
fn turns(row: &Conversation) -> impl Iterator<Item = usize> {
    (0..row.messages.len()).filter(|&i| row.messages[i].role == Role::Assistant)
}
