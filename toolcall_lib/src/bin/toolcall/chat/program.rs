//! A program of the user's that answers the calls of a tool: `--run NAME=COMMAND`.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus};
use std::str::FromStr;
use std::thread::sleep;
use std::time::{Duration, Instant};
use toolcall_lib::{Error, Result, ToolCall, interrupt};

/// Bytes that a program may write.
const MOST_OUTPUT: u64 = 1 << 20;
/// Characters of a failed program's output that the model gets.
const MOST_SAID: usize = 500;
/// Pause between two checks whether a program has ended.
const LOOK: Duration = Duration::from_millis(10);

/// A program and the tool whose calls it answers.
#[derive(Clone, Debug)]
pub struct Program {
    /// Name of the tool.
    pub tool: String,
    words: Vec<String>,
}

impl FromStr for Program {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let expected = "expected NAME=COMMAND, such as get_weather='python3 weather.py'";
        let (tool, command) = text.split_once('=').ok_or(expected)?;
        let words = shlex::split(command).ok_or("a quotation mark of the command is not closed")?;
        match (tool.trim(), words.is_empty()) {
            ("", _) | (_, true) => Err(expected.to_string()),
            (tool, false) => Ok(Self {
                tool: tool.to_string(),
                words,
            }),
        }
    }
}

impl Program {
    /// Runs the program with the arguments of a call on its standard input, as JSON, and returns
    /// what it writes; `error: …` with the reason if it fails or takes longer than `limit`. It is
    /// started directly, never through a shell.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn answer(&self, call: &ToolCall, limit: Duration) -> Result<String> {
        let failed = |error: std::io::Error| {
            let problem = format!("`{}` cannot be started: {error}", self.words[0]);
            Error::invalid(format!("--run {}", self.tool), problem)
        };
        // 1. Files, not pipes: a program that does not read, or writes much, blocks nothing.
        let file = || tempfile::tempfile().map_err(Error::io(std::env::temp_dir()));
        let (mut arguments, mut output, mut complaints) = (file()?, file()?, file()?);
        let written = arguments_of(call).and_then(|text| arguments.write_all(text.as_bytes()));
        written.and_then(|()| arguments.rewind()).map_err(failed)?;
        // 2. Give it its own process group, which is ended as a whole.
        let mut child = Command::new(&self.words[0])
            .args(&self.words[1..])
            .env("TOOLCALL_TOOL", &call.name)
            .stdin(arguments)
            .stdout(output.try_clone().map_err(failed)?)
            .stderr(complaints.try_clone().map_err(failed)?)
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        let outcome = wait(&mut child, limit, [&output, &complaints]);
        end_group(&child);
        child.wait().ok();
        // 3. Return its output, or an error if it is too long or the exit code is not 0. A fast
        // program may have written too much and ended before anybody looked.
        let status = match outcome {
            Err(problem) => return Ok(format!("error: {problem}")),
            Ok(_) if too_much([&output, &complaints]) => {
                return Ok(format!("error: it wrote more than {MOST_OUTPUT} bytes"));
            }
            Ok(status) => status,
        };
        let said = text_of(&mut output);
        if status.success() {
            return Ok(said);
        }
        let complained = text_of(&mut complaints);
        let why = if complained.is_empty() { said } else { complained };
        Ok(format!("error: {}{}", ending(status), shortened(&why)))
    }
}

fn arguments_of(call: &ToolCall) -> std::io::Result<String> {
    let arguments = toolcall_lib::serde_json::to_string(&call.arguments)?;
    Ok(arguments + "\n")
}

/// Waits until the program has ended, or has to be ended.
fn wait(child: &mut Child, limit: Duration, outputs: [&File; 2]) -> std::result::Result<ExitStatus, String> {
    let started = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status),
            Ok(None) => {}
            Err(error) => return Err(error.to_string()),
        }
        if started.elapsed() >= limit {
            return Err(format!(
                "it took longer than {} s and was ended",
                limit.as_secs_f64()
            ));
        }
        if too_much(outputs) {
            return Err(format!("it wrote more than {MOST_OUTPUT} bytes"));
        }
        if interrupt::requested() {
            return Err("the user has ended it".to_string());
        }
        sleep(LOOK);
    }
}

/// Returns true if one of the files is longer than a program may write.
fn too_much(outputs: [&File; 2]) -> bool {
    let size = |file: &File| file.metadata().map_or(0, |found| found.len());
    outputs.into_iter().map(size).any(|size| size > MOST_OUTPUT)
}

/// Ends the processes that the program has left behind.
fn end_group(child: &Child) {
    if let Ok(group) = i32::try_from(child.id()) {
        // SAFETY: a signal to the group that was made for the program touches no memory.
        unsafe { libc::kill(-group, libc::SIGKILL) };
    }
}

/// The content of a file, without white space at its end; bytes that are not UTF-8 become `�`.
fn text_of(file: &mut File) -> String {
    let mut bytes = Vec::new();
    let read = file
        .rewind()
        .and_then(|()| file.take(MOST_OUTPUT).read_to_end(&mut bytes));
    let text = match read {
        Ok(_) => String::from_utf8_lossy(&bytes),
        Err(error) => return format!("its output cannot be read: {error}"),
    };
    text.trim_end().to_string()
}

fn ending(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("ended by signal {signal}"),
        (None, None) => "ended".to_string(),
    }
}

/// Returns `: ` and the end of a text, where programs put their error.
fn shortened(text: &str) -> String {
    let length = text.chars().count();
    let end: String = text.chars().skip(length.saturating_sub(MOST_SAID)).collect();
    match (end.is_empty(), length > MOST_SAID) {
        (true, _) => String::new(),
        (false, true) => format!(": …{end}"),
        (false, false) => format!(": {end}"),
    }
}
