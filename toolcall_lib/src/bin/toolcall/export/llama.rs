//! Tests a GGUF file in llama.cpp: a Python program with its binding answers the same prompts.

use super::super::output::note;
use super::super::progress::Counter;
use serde::{Deserialize, Serialize};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use toolcall_lib::evaluate::{Answerer, Answers, EvaluateConfig, Evaluation, evaluate};
use toolcall_lib::{Conversation, Error, Generation, Model, Result, interrupt};

const PROGRAM: &str = include_str!("llama.py");
/// Path of the Python that `scripts/setup.sh llama_cpp` installs.
const USUAL: &str = ".toolcall/llama_cpp/bin/python";
/// Most tokens of prompt and reply together: few machines have memory for more.
const LONGEST: usize = 8192;

/// Returns the Python to use: the one that the user names, or the usual one if it exists.
///
/// # Errors
/// The one that the user names does not exist.
pub fn find(named: Option<&Path>) -> Result<Option<PathBuf>> {
    let advice = "`scripts/setup.sh llama_cpp` makes one";
    match named {
        Some(python) if python.is_file() => Ok(Some(python.to_path_buf())),
        Some(python) => {
            let problem = format!("there is no {}; {advice}", python.display());
            Err(Error::invalid("--llama", problem))
        }
        None if Path::new(USUAL).is_file() => Ok(Some(USUAL.into())),
        None => {
            note(format!(
                "the check leaves out llama.cpp: there is no {USUAL}; {advice}"
            ));
            Ok(None)
        }
    }
}

/// Returns the error for a folder as output: llama.cpp reads no folder.
pub fn wants_gguf(out: &Path) -> Error {
    let problem = format!(
        "llama.cpp reads only .gguf files, but {} becomes a folder; give --out a name that ends in .gguf",
        out.display()
    );
    Error::invalid("--llama", problem)
}

/// Scores llama.cpp on the prompts of `model`, the model of the file.
pub fn score(
    python: &Path,
    gguf: &Path,
    model: &Model,
    rows: &[Conversation],
    config: &EvaluateConfig,
) -> Result<Evaluation> {
    let context = model.decoder.config.max_position_embeddings.min(LONGEST);
    let mut llama = Llama::start(python, gguf, context, config.generate.max_new_tokens)?;
    let mut counter = Counter::new(rows.len());
    let mut answer = |prompts: &[String]| llama.answer(prompts);
    let mut on_row = |scores: &Evaluation| {
        counter.row(scores.rows, format!("{} right in llama.cpp", scores.exact.count));
    };
    let answers = Answers {
        on_row: Some(&mut on_row),
        ..Answerer::Program(model, &mut answer).into()
    };
    let scores = evaluate(answers, rows, config);
    counter.finish();
    scores
}

/// The running program. It is ended when this value is dropped.
struct Llama {
    python: PathBuf,
    child: Child,
    asked: BufWriter<ChildStdin>,
    said: BufReader<ChildStdout>,
}

#[derive(Serialize)]
struct Asked<'a> {
    prompt: &'a str,
}

#[derive(Deserialize)]
struct Said {
    text: String,
    finished: bool,
}

impl Llama {
    fn start(python: &Path, gguf: &Path, context: usize, longest: usize) -> Result<Self> {
        let mut child = Command::new(python)
            .args(["-c", PROGRAM])
            .arg(gguf)
            .args([context.to_string(), longest.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(Error::io(python))?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (asked, said) = pipes.ok_or_else(|| Error::invalid(python.display(), "has no standard input"))?;
        Ok(Self {
            python: python.to_path_buf(),
            child,
            asked: BufWriter::new(asked),
            said: BufReader::new(said),
        })
    }

    fn answer(&mut self, prompts: &[String]) -> Result<Option<Vec<Generation>>> {
        let mut replies = Vec::with_capacity(prompts.len());
        for prompt in prompts {
            if interrupt::requested() {
                return Ok(None);
            }
            replies.push(self.reply(prompt)?);
        }
        Ok(Some(replies))
    }

    fn reply(&mut self, prompt: &str) -> Result<Generation> {
        let place = self.python.display().to_string();
        let ended = |problem: String| {
            let advice = "see its messages above; it needs the package llama-cpp-python";
            Error::invalid(&place, format!("gave no answer ({problem}); {advice}"))
        };
        let mut line = serde_json::to_string(&Asked { prompt }).map_err(|e| ended(e.to_string()))?;
        line.push('\n');
        let asked = self
            .asked
            .write_all(line.as_bytes())
            .and_then(|()| self.asked.flush());
        asked.map_err(|e| ended(e.to_string()))?;
        line.clear();
        self.said.read_line(&mut line).map_err(|e| ended(e.to_string()))?;
        let Said { text, finished } = serde_json::from_str(&line).map_err(|e| ended(e.to_string()))?;
        Ok(Generation {
            finished,
            ..Generation::of_text(text)
        })
    }
}

impl Drop for Llama {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
