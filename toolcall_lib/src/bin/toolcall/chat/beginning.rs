//! The beginning of a conversation: `--system` and `--messages`.

use crate::output::note;
use std::path::{Path, PathBuf};
use toolcall_lib::conversation::Begun;
use toolcall_lib::serde_json::{Value, from_value, json};
use toolcall_lib::{Error, Message, Result, Role, json};

/// Fields of a request that a file cannot set, each with its counterpart here.
const ELSEWHERE: [(&str, &str); 13] = [
    ("model", "use --model"),
    ("max_tokens", "use --max-new-tokens"),
    ("max_completion_tokens", "use --max-new-tokens"),
    ("max_new_tokens", "use --max-new-tokens"),
    ("temperature", "use --temperature"),
    ("top_k", "use --top-k"),
    ("top_p", "use --top-p"),
    ("min_p", "use --min-p"),
    ("repetition_penalty", "use --repetition-penalty"),
    ("seed", "use --seed"),
    ("tool_choice", "use --tool-choice"),
    ("parallel_tool_calls", "use --single-call for at most one call"),
    ("stop", "chat has no stop sequences; leave it out"),
];

/// The beginning of every conversation.
#[derive(clap::Args)]
pub struct Beginning {
    /// Instructions to the model, before the first message
    #[arg(long)]
    system: Option<String>,
    /// JSON file with the messages that a conversation begins with: a list, or an object with
    /// `messages` and perhaps `tools`. Calls at its end are answered as those of the model are; if
    /// the last message is not the model's, the model answers it
    #[arg(long)]
    messages: Option<PathBuf>,
}

impl Beginning {
    /// Returns true if the messages come from a file.
    pub fn is_given(&self) -> bool {
        self.messages.is_some()
    }

    /// Reads the instructions and the messages of the file, with the tools of the file.
    ///
    /// # Errors
    /// A file that cannot be read, and two system messages.
    pub fn read(&self) -> Result<Begun> {
        let mut begun = match &self.messages {
            Some(file) => read(file)?,
            None => Begun::default(),
        };
        begun.notes.iter().for_each(note);
        let Some(system) = &self.system else {
            return Ok(begun);
        };
        let messages = &mut begun.conversation.messages;
        if messages.iter().any(|message| message.role == Role::System) {
            let problem = "the messages of --messages have a system message too; leave one of the two out";
            return Err(Error::invalid("--system", problem));
        }
        messages.insert(0, Message::system(system));
        Ok(begun)
    }
}

/// Returns the number of rows if the file is a data set: lists of messages, or rows that have some.
fn rows_of(row: &Value) -> Option<usize> {
    let entries = row["messages"].as_array()?;
    let is_row =
        |entry: &Value| entry.is_array() || entry["messages"].is_array() || entry["conversations"].is_array();
    (!entries.is_empty() && entries.iter().all(is_row)).then_some(entries.len())
}

fn read(file: &Path) -> Result<Begun> {
    let text = std::fs::read_to_string(file).map_err(Error::io(file))?;
    let wrong = |problem: String| Error::invalid(file.display(), problem);
    let row = match json::read(&text).map_err(|problem| wrong(problem.to_string()))? {
        list @ Value::Array(_) => json!({ "messages": list }),
        row => row,
    };
    if let Some(rows) = rows_of(&row) {
        let problem =
            format!("is a data set of {rows} rows, expected one conversation; `eval` asks all rows");
        return Err(wrong(problem));
    }
    if let Some((field, advice)) = ELSEWHERE.iter().find(|(field, _)| !row[*field].is_null()) {
        return Err(wrong(format!("{field}: is not read from this file; {advice}")));
    }
    from_value(row).map_err(|problem| wrong(problem.to_string()))
}
