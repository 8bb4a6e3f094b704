//! Tests of `toolcall chat` with the user's tools. The model has random weights: it calls the tool
//! that it must call, with any arguments that fit.

use crate::common::tiny_model::tiny_model;
use crate::train::{config, timers};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::Write;
use std::os::fd::FromRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::ptr::null_mut;
use std::time::Instant;
use tempfile::TempDir;
use toolcall_lib::template::ChatTemplate;
use toolcall_lib::tool::load_tools;
use toolcall_lib::train::{TrainConfig, train};
use toolcall_lib::{Conversation, Dataset, Dtype, Model, load, save, save_as};

/// A folder with a model and with tools.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        save(&tiny_model(), folder.path().join("model")).unwrap();
        let place = Self(folder);
        let city = json!({"type": "object", "properties": {"city": {"enum": ["Ulm", "Bonn"]}}, "required": ["city"]});
        let weather =
            json!({"name": "get_weather", "description": "Tells the weather.", "inputSchema": city});
        place.write("tools.json", &json!({ "tools": [weather] }).to_string());
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> String {
        fs::write(self.path(name), text).unwrap();
        self.path(name).display().to_string()
    }

    /// Writes a program of these lines.
    fn program(&self, lines: &str) -> String {
        let path = self.write("program", &format!("#!/bin/sh\n{lines}\n"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// Runs `toolcall chat` with the tools; returns its output, and whether it succeeded.
    fn chat(&self, arguments: &[&str], input: &str) -> (bool, String) {
        let tools = self.path("tools.json").display().to_string();
        chat(
            &self.path("model"),
            &[&["--tools", &tools], arguments].concat(),
            input,
        )
    }
}

fn program(model: &Path, arguments: &[&str]) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_toolcall"));
    program
        .args([
            "chat",
            "--max-new-tokens",
            "120",
            "--temperature",
            "1",
            "--single-call",
            "--device",
            "cpu",
            "--model",
        ])
        .arg(model)
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    program
}

fn chat(model: &Path, arguments: &[&str], input: &str) -> (bool, String) {
    let mut child = program(model, arguments).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).ok();
    ended(child)
}

/// Chats on a terminal, where Ctrl-D ends one line, not the input.
fn chat_on_terminal(model: &Path, arguments: &[&str], typed: &str) -> (bool, String) {
    let (mut ours, mut theirs) = (0, 0);
    // SAFETY: the places take two descriptors; the rest may be null.
    let made = unsafe { libc::openpty(&mut ours, &mut theirs, null_mut(), null_mut(), null_mut()) };
    assert_eq!(made, 0);
    // SAFETY: both descriptors are open, and nothing else owns them.
    let [mut ours, theirs] = [ours, theirs].map(|end| unsafe { File::from_raw_fd(end) });
    let child = program(model, arguments).stdin(theirs).spawn().unwrap();
    ours.write_all(typed.as_bytes()).unwrap();
    ended(child)
}

fn ended(child: Child) -> (bool, String) {
    let output = child.wait_with_output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

/// Returns the line with the answer of a tool.
fn answered(text: &str) -> &str {
    let line = text.lines().find(|line| line.starts_with("tool      > "));
    line.unwrap_or_else(|| panic!("no answer in {text}"))
        .trim_start_matches("tool      > ")
}

const ASKED: [&str; 4] = ["--prompt", "Weather?", "--tool-choice", "get_weather"];

#[test]
fn a_program_answers_with_the_arguments_on_its_standard_input() {
    let place = Place::new();
    let program = place.program("read line; echo \"$TOOLCALL_TOOL $1: $line\"");
    let run = format!("get_weather={program} 'two words; $HOME'");
    let (well, text) = place.chat(&[&ASKED[..], &["--run", &run]].concat(), "");
    assert!(well, "{text}");
    let (before, arguments) = answered(&text).split_once(": ").unwrap();
    assert_eq!(before, "get_weather two words; $HOME", "no shell has read it");
    let arguments: Value = serde_json::from_str(arguments).unwrap();
    assert!(["Ulm", "Bonn"].contains(&arguments["city"].as_str().unwrap()));
}

#[test]
fn a_program_that_fails_is_an_error_of_the_tool() {
    let place = Place::new();
    for (lines, told) in [
        (
            "echo no such city >&2; exit 3",
            "error: exit code 3: no such city",
        ),
        (
            "echo half an answer; exit 1",
            "error: exit code 1: half an answer",
        ),
        ("kill -9 $$", "error: ended by signal 9"),
        (
            "sleep 60 & sleep 60",
            "error: it took longer than 0.3 s and was ended",
        ),
        ("yes", "error: it wrote more than 1048576 bytes"),
        (
            "head -c 5000000 /dev/zero", // ends before anybody looks
            "error: it wrote more than 1048576 bytes",
        ),
    ] {
        let started = Instant::now();
        let run = format!("get_weather={}", place.program(lines));
        let limit = if lines.contains("sleep") { "0.3" } else { "30" };
        let (well, text) = place.chat(&[&ASKED[..], &["--run", &run, "--run-limit", limit]].concat(), "");
        assert!(well, "{text}");
        assert_eq!(answered(&text), told);
        assert!(started.elapsed().as_secs() < 50, "{lines}");
    }
}

#[test]
fn what_is_not_run_is_typed() {
    let place = Place::new();
    let (well, text) = place.chat(&ASKED, &"rain\n".repeat(9));
    assert!(
        well && text.contains("(the answer of get_weather) rain\n"),
        "{text}"
    );
    assert!(text.contains("assistant > "), "{text}");
    let (well, text) = place.chat(&ASKED, "");
    assert!(!well && !text.contains("assistant > "), "no answer: {text}");
    assert!(text.contains("ended before an answer of `get_weather`"), "{text}");
}

#[test]
fn what_cannot_be_run_is_told() {
    let place = Place::new();
    for (arguments, told) in [
        (
            &["--run", "fly=true"][..],
            "error: --run fly: there is no such tool; the tools are: get_weather",
        ),
        (&["--run", "get_weather"], "expected NAME=COMMAND"),
        (&["--run", "get_weather='a"], "not closed"),
        (
            &["--run", "get_weather=./no-such-program"],
            "error: --run get_weather: `./no-such-program` cannot be started",
        ),
        (
            &["--run", "get_weather=a", "--run", "get_weather=b"],
            "error: --run get_weather: is given twice",
        ),
        (&["--run-limit", "0"], "above 0"),
    ] {
        let (well, text) = place.chat(&[&ASKED[..], arguments].concat(), "");
        assert!(!well && text.contains(told), "{arguments:?}: {text}");
    }
    place.write("tools.json", r#"[{"name": "f", "args": {}}]"#);
    let (well, text) = place.chat(&ASKED, "");
    assert!(!well && text.contains("tools.json: tool 0: "), "{text}");
}

#[test]
fn a_conversation_goes_on_from_a_file() {
    let place = Place::new();
    let asked = json!({"role": "user", "content": "Hi"});
    let file = place.write("messages.json", &json!([asked]).to_string());
    let typed = "7 degrees\n".repeat(9);
    let (well, text) = place.chat(&["--messages", &file, "--system", "Be short."], &typed);
    assert!(well && text.starts_with("assistant > "), "{text}");
    let (well, text) = place.chat(&["--messages", &file, "--prompt", "Ho"], "");
    assert!(
        !well && text.contains("error: --messages: the last message has no answer yet"),
        "{text}"
    );
    for rows in [
        json!({"messages": [[asked], [asked]]}),
        json!([{"messages": [asked]}, {"messages": []}]),
    ] {
        let file = place.write("rows.json", &rows.to_string());
        let (well, text) = place.chat(&["--messages", &file], "");
        assert!(!well && text.contains("is a data set of 2 rows"), "{text}");
    }
    let answered = json!({"messages": [{"role": "system", "content": "Be short."}, asked, {"role": "assistant", "content": "Yes?"}]});
    let file = place.write("messages.json", &answered.to_string());
    let (well, text) = place.chat(&["--messages", &file, "--system", "Be long."], "");
    assert!(!well && text.contains("error: --system: "), "{text}");
    let (well, text) = place.chat(&["--messages", &file, "--interactive"], "What now?\nAnd now?\n\n");
    assert!(well && text.matches("assistant > ").count() == 2, "{text}");
    let file = place.write("messages.json", "[{\"role\": \"king\"}]");
    let (well, text) = place.chat(&["--messages", &file], "");
    assert!(
        !well && text.contains("messages.json: ") && text.contains("king"),
        "{text}"
    );
}

/// Calls at the end of a file are answered as those of the model are.
#[test]
fn open_calls_of_a_file_are_answered() {
    let place = Place::new();
    let call = |id: &str| json!({"id": id, "type": "function", "function": {"name": "get_weather", "arguments": {"city": id}}});
    let asked = json!({"role": "user", "content": "Weather?"});
    let turn = json!({"role": "assistant", "content": "", "tool_calls": [call("Ulm"), call("Bonn")]});
    let answer = |id: &str| json!({"role": "tool", "tool_call_id": id, "content": "rain"});
    let file = place.write("messages.json", &json!([asked, turn, answer("Bonn")]).to_string());
    let run = format!("get_weather={}", place.program("cat"));
    for (arguments, input) in [(&["--run", &run][..], ""), (&[], "{\"city\":\"Ulm\"}\n")] {
        let (well, text) = place.chat(&[&["--messages", &file], arguments].concat(), input);
        assert!(
            well && text.starts_with("call      > get_weather {\"city\":\"Ulm\"}\n"),
            "{text}"
        );
        assert!(answered(&text).ends_with("{\"city\":\"Ulm\"}"), "{text}");
        assert!(text.contains("assistant > "), "{text}");
    }
    let (well, text) = place.chat(&["--messages", &file, "--prompt", "Ho"], "");
    assert!(
        !well && text.contains("the last message has no answer yet"),
        "{text}"
    );
    for (messages, told) in [
        (
            json!([asked, turn, asked]),
            "messages[1].tool_calls: no tool message answers `get_weather`, `get_weather`",
        ),
        (
            json!([asked, answer("Ulm")]),
            "messages[1]: a tool message that answers no call",
        ),
    ] {
        let file = place.write("messages.json", &messages.to_string());
        let (well, text) = place.chat(&["--messages", &file], "");
        assert!(!well && text.contains(told), "{text}");
    }
}

#[test]
fn settings_in_a_file_are_refused_by_name() {
    let place = Place::new();
    let asked = json!([{"role": "user", "content": "Hi"}]);
    for (field, value, flag) in [
        ("temperature", json!(1), "--temperature"),
        ("model", json!("gpt-4o"), "--model"),
        ("tool_choice", json!("none"), "--tool-choice"),
    ] {
        let file = place.write(
            "messages.json",
            &json!({"messages": asked, field: value}).to_string(),
        );
        let (well, text) = place.chat(&["--messages", &file], "");
        let told = format!("messages.json: {field}: is not read from this file; use {flag}");
        assert!(!well && text.contains(&told), "{text}");
    }
    let file = place.write("messages.json", &json!({"messages": asked, "id": 7}).to_string());
    let (well, text) = place.chat(&["--messages", &file], "");
    assert!(
        well && text.contains("note: the key `id` of rows is not read"),
        "{text}"
    );
}

#[test]
fn a_reply_that_is_cut_off_says_so() {
    let place = Place::new();
    let output = Command::new(env!("CARGO_BIN_EXE_toolcall"))
        .args([
            "chat",
            "--prompt",
            "Hi",
            "--max-new-tokens",
            "2",
            "--device",
            "cpu",
            "--model",
        ])
        .arg(place.path("model"))
        .output()
        .unwrap();
    let (well, text) = (output.status.success(), String::from_utf8_lossy(&output.stdout));
    assert!(
        well && text.contains("(cut off after 2 tokens; --max-new-tokens allows 2)"),
        "{text}"
    );
}

#[test]
fn a_talk_outlives_a_message_that_is_too_long() {
    let place = Place::new();
    let long = "tick ".repeat(8000);
    let (well, text) = place.chat(&["--interactive"], &format!("Hi\n{long}\nHo\n\n"));
    assert!(
        well && text.contains("shorten the prompt") && text.matches("assistant > ").count() == 2,
        "{text}"
    );
}

/// Saves the model with a template that reports the messages in an error when the last one is
/// `show`.
fn save_showing(place: &Place, mut model: Model) {
    let shows =
        "{%- if messages[-1].content == 'show' -%}{{ raise_exception(messages | tojson) }}{%- endif -%}";
    let source = format!("{shows}{}", model.template.source());
    model.template = ChatTemplate::new(&source, &model.tokenizer.config).unwrap();
    save(&model, place.path("model")).unwrap();
}

/// Returns the history that the model was shown, without the message that asked for it.
fn history(text: &str) -> Vec<Value> {
    let (_, shown) = text
        .split_once("[{\"")
        .unwrap_or_else(|| panic!("no history in {text}"));
    let shown = format!("[{{\"{shown}");
    let mut shown = serde_json::Deserializer::from_str(&shown).into_iter::<Vec<Value>>();
    let mut history = shown.next().unwrap().unwrap();
    assert_eq!(history.pop().unwrap()["content"], "show");
    history
}

fn roles(history: &[Value]) -> Vec<&str> {
    let roles = history.iter().map(|message| message["role"].as_str().unwrap());
    roles.collect()
}

#[test]
fn the_model_sees_every_turn_of_the_talk() {
    let place = Place::new();
    save_showing(&place, tiny_model());
    let (well, text) = place.chat(
        &["--interactive", "--system", "Be short.", "--tool-choice", "none"],
        "One\nTwo\nshow\n\n",
    );
    assert!(well, "{text}");
    let seen = history(&text);
    assert_eq!(roles(&seen), ["system", "user", "assistant", "user", "assistant"]);
    for (message, said) in [(&seen[0], "Be short."), (&seen[1], "One"), (&seen[3], "Two")] {
        assert_eq!(message["content"], said);
    }
    // the terminal gets control characters as escapes
    let shown = |c: char| {
        if c.is_control() {
            c.escape_unicode().to_string()
        } else {
            c.to_string()
        }
    };
    for answer in [&seen[2], &seen[4]] {
        let content = answer["content"].as_str().unwrap();
        let said: String = content.chars().map(shown).collect();
        assert!(text.contains(&format!("assistant > {said}")), "{said} in {text}");
    }
    // a call and its answer are part of it
    let chosen = ["--interactive", "--tool-choice", "get_weather"];
    let (well, text) = place.chat(&chosen, "One\nrain\nshow\n\n");
    assert!(well, "{text}");
    let seen = history(&text);
    assert_eq!(roles(&seen), ["user", "assistant", "tool", "assistant"]);
    let call = &seen[1]["tool_calls"][0]["function"];
    let called = format!("call      > get_weather {}", call["arguments"]);
    assert!(text.contains(&called), "{called} in {text}");
    assert_eq!(
        (&seen[2]["name"], &seen[2]["content"]),
        (&call["name"], &json!("rain"))
    );
}

/// Checks that without the answer, neither the call nor its message is in the history.
#[test]
fn a_turn_whose_call_nobody_answers_is_dropped() {
    let place = Place::new();
    save_showing(&place, tiny_model());
    let tools = place.path("tools.json").display().to_string();
    let chosen = ["--interactive", "--tools", &tools, "--tool-choice", "get_weather"];
    let typed = "One\nrain\nTwo\n\u{4}show\n\n";
    let (well, text) = chat_on_terminal(&place.path("model"), &chosen, typed);
    assert!(well, "{text}");
    let seen = history(&text);
    assert_eq!(roles(&seen), ["user", "assistant", "tool", "assistant"]);
    assert_eq!(seen[0]["content"], "One");
}

/// The template shows the model only the first message, so that it calls again after each answer.
#[test]
fn a_turn_that_is_stopped_is_dropped() {
    let place = Place::new();
    let row = json!({"messages": [
        {"role": "user", "content": "loop"},
        {"role": "assistant", "content": "",
            "tool_calls": [{"name": "get_weather", "arguments": {"city": "Ulm"}}]}
    ]});
    let row = Conversation {
        tools: load_tools(place.path("tools.json")).unwrap(),
        ..serde_json::from_value(row).unwrap()
    };
    let (mut model, data) = (tiny_model(), Dataset::from(vec![row]));
    let settings = TrainConfig {
        learning_rate: 1e-2,
        ..config(150)
    };
    train(&mut model, &data, &settings, |_| {}).unwrap();
    let forgets = "{%- if messages[0].content == 'loop' -%}{%- set messages = messages[:1] -%}{%- endif -%}";
    let source = format!("{forgets}{}", model.template.source());
    model.template = ChatTemplate::new(&source, &model.tokenizer.config).unwrap();
    save_showing(&place, model);
    let run = format!("get_weather={}", place.program("echo rain"));
    let (well, text) = place.chat(&["--interactive", "--run", &run], "loop\nshow\n\n");
    assert!(
        well && text.contains("(stopped after 5 rounds of calls"),
        "{text}"
    );
    assert!(roles(&history(&text)).is_empty(), "{text}");
}

#[test]
fn a_saved_model_remembers_the_tools_that_it_was_trained_with() {
    let folder = tempfile::tempdir().unwrap();
    let mut model = tiny_model();
    train(&mut model, &timers(4), &config(1), |_| ()).unwrap();
    let names: Vec<&str> = model.tools.iter().map(|tool| tool.name()).collect();
    assert_eq!(names, ["start_timer"]);
    let out = folder.path().join("tuned");
    save(&model, &out).unwrap();
    let file = folder.path().join("tuned.gguf");
    save_as(&model, &file, Dtype::F32).unwrap();
    for place in [&out, &file] {
        assert_eq!(load(place.to_str().unwrap()).unwrap().tools, model.tools);
        let (well, text) = chat(place, &["--prompt", "Hi", "--tool-choice", "create_reminder"], "");
        assert!(
            !well && text.contains("there is no tool `create_reminder`; the offered tools are start_timer"),
            "{text}"
        );
        assert!(!text.contains("two samples"), "{text}");
    }
    let (well, text) = chat(&out, &["--prompt", "Hi", "--tool-choice", "start_timer"], "60\n");
    assert!(well && text.contains("call      > start_timer "), "{text}");
    // no built-in function answers a tool of a file, though it looks like a sample
    let own = out.join("tools.json").display().to_string();
    let own = ["--prompt", "Hi", "--tool-choice", "start_timer", "--tools", &own];
    let (well, text) = chat(&out, &own, "");
    let refused = "error: standard input: ended before an answer of `start_timer`";
    assert!(!well && text.contains(refused), "{text}");
    // a model without tools uses the samples, and says why
    model.tools.clear();
    save(&model, &out).unwrap();
    assert!(!out.join("tools.json").exists());
    let (well, text) = chat(&out, &["--prompt", "Hi", "--tool-choice", "start_timer"], "");
    let answer = answered(&text); // from a function: a number of seconds, or the reason why there is none
    assert!(
        well && (answer.parse::<i64>().is_ok() || answer.starts_with("error: ")),
        "{text}"
    );
    let note = "note: the model's own tools are not known (its data had more than 32, or none that";
    assert!(text.contains(note), "{text}");
    save_as(&model, &file, Dtype::F32).unwrap();
    let (well, text) = chat(&file, &["--prompt", "Hi", "--tool-choice", "start_timer"], "");
    assert!(
        well && text.contains("are not known (it names none), so it gets two samples; give yours with"),
        "{text}"
    );
}

#[test]
fn a_file_of_tools_that_cannot_be_read_is_a_note() {
    let folder = tempfile::tempdir().unwrap();
    save(&tiny_model(), folder.path()).unwrap();
    fs::write(folder.path().join("tools.json"), "not ours").unwrap();
    let model = load(folder.path().to_str().unwrap()).unwrap();
    assert!(model.tools.is_empty());
    let note = model.notes.iter().find(|note| note.contains("tools.json"));
    assert!(note.is_some(), "{:?}", model.notes);
}
