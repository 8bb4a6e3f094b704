//! Finds the strings of a ChatML template by rendering samples with it.

use crate::conversation::{Message, Role};
use crate::syntax::{CallSyntax, Part};
use crate::template::ChatTemplate;
use crate::tool::{ToolCall, ToolSchema};
use serde_json::{Map, Value, json};

/// Text that every ChatML template writes before a user's turn.
const USER: &str = "<|im_start|>user\n";
const ASSISTANT: &str = "<|im_start|>assistant\n";

/// Sample values for the template.
const SYSTEM: &str = "some_system";
const ASKED: &str = "some_question";
const SAID: &str = "some_words";
const ANSWERS: [&str; 2] = ["first_answer", "second_answer"];
const TOOLS: [&str; 2] = ["offered_tool", "other_tool"];

/// The strings between system, tools, turns, calls and answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// Before the first turn, where there are neither a system text nor tools.
    pub alone: String,
    /// Before a system text.
    pub system: String,
    /// From a system text to the first tool.
    pub system_to_tools: String,
    /// Before the first tool, where there is no system text.
    pub tools: String,
    /// From a tool to the next.
    pub between_tools: String,
    /// After the last tool, with the end of the turn.
    pub tools_end: String,
    /// After a turn.
    pub end: String,
    /// Before an assistant's turn that is over.
    pub assistant: String,
    /// Before the reply that is asked for.
    pub prompt: String,
    /// From words to the first call of the same turn.
    pub content_to_calls: String,
    /// Before the name of a call, from there to its arguments, and after them.
    pub call: [String; 3],
    /// From a call to the next.
    pub between_calls: String,
    /// Before the first answer of a tool, and before another that follows it.
    pub answers: [String; 2],
    /// After an answer.
    pub answer_end: String,
}

impl Layout {
    /// Applies `change` to every string.
    pub fn map(&self, change: impl Fn(&str) -> String) -> Self {
        Self {
            alone: change(&self.alone),
            system: change(&self.system),
            system_to_tools: change(&self.system_to_tools),
            tools: change(&self.tools),
            between_tools: change(&self.between_tools),
            tools_end: change(&self.tools_end),
            end: change(&self.end),
            assistant: change(&self.assistant),
            prompt: change(&self.prompt),
            content_to_calls: change(&self.content_to_calls),
            call: self.call.each_ref().map(|part| change(part)),
            between_calls: change(&self.between_calls),
            answers: self.answers.each_ref().map(|part| change(part)),
            answer_end: change(&self.answer_end),
        }
    }

    /// The layout of a template; `None` if a sample is rendered in another way than it says.
    pub fn of(template: &ChatTemplate) -> Option<Self> {
        let found = Self::find(template)?;
        let is_same = |(messages, tools): &(Vec<Message>, usize)| {
            let written = template.render_prompt(messages, &offered(*tools));
            written.is_ok_and(|text| text == found.prompt(messages, *tools))
        };
        conversations().iter().all(is_same).then_some(found)
    }

    fn find(template: &ChatTemplate) -> Option<Self> {
        let write = |messages: &[Message], tools| template.render_prompt(messages, &offered(tools)).ok();
        let (user, system) = (Message::user(ASKED), Message::system(SYSTEM));

        let text = write(std::slice::from_ref(&user), 0)?;
        let (alone, behind) = text.split_once(ASKED)?;
        let (end, _) = behind.split_once(ASSISTANT)?;
        let prompt = behind.strip_prefix(end)?;

        let text = write(&[system.clone(), user.clone()], 0)?;
        let (before_system, _) = text.split_once(SYSTEM)?;

        let text = write(&[system, user.clone()], 1)?;
        let (_, behind) = text.split_once(SYSTEM)?;
        let (system_to_tools, _) = behind.split_once(&shown(0))?;

        let text = write(std::slice::from_ref(&user), 2)?;
        let (tools, behind) = text.split_once(&shown(0))?;
        let (between_tools, behind) = behind.split_once(&shown(1))?;
        let (tools_end, _) = behind.split_once(ASKED)?;

        let text = write(&[user.clone(), Message::assistant(SAID), user.clone()], 0)?;
        let assistant = behind_first(&text, ASKED)?.split_once(SAID)?.0;

        let (call, between_calls) = call_texts(template.call_syntax()?)?;
        let text = write(&answered(SAID, 2), 1)?;
        let (content_to_calls, behind) = behind_first(&text, SAID)?.split_once(&call[0])?;
        let calls_end = format!("{}{}{end}", arguments(1), call[2]);
        let (first, behind) = behind_first(behind, &calls_end)?.split_once(ANSWERS[0])?;
        let (next, behind) = behind.split_once(ANSWERS[1])?;
        let answer_end = behind.strip_suffix(prompt)?.strip_suffix(end)?;
        Some(Self {
            alone: alone.strip_suffix(USER)?.to_string(),
            system: before_system.to_string(),
            system_to_tools: system_to_tools.to_string(),
            tools: tools.to_string(),
            between_tools: between_tools.to_string(),
            tools_end: tools_end.strip_suffix(USER)?.to_string(),
            end: end.to_string(),
            assistant: assistant.strip_prefix(end)?.to_string(),
            prompt: prompt.to_string(),
            content_to_calls: content_to_calls.to_string(),
            call,
            between_calls,
            answers: [first, next.strip_prefix(answer_end)?].map(String::from),
            answer_end: answer_end.to_string(),
        })
    }

    /// The prompt for the next turn of the assistant, as the translation of the template writes it.
    fn prompt(&self, messages: &[Message], tools: usize) -> String {
        let (own, turns) = match messages {
            [first, turns @ ..] if first.role == Role::System => (Some(&*first.content), turns),
            turns => (None, turns),
        };
        let mut text = match (own, tools) {
            (None, 0) => self.alone.clone(),
            (Some(own), 0) => format!("{}{own}{}", self.system, self.end),
            (None, _) => self.tools.clone(),
            (Some(own), _) => format!("{}{own}{}", self.system, self.system_to_tools),
        };
        if tools > 0 {
            let tools: Vec<String> = (0..tools).map(shown).collect();
            text += &tools.join(&self.between_tools);
            text += &self.tools_end;
        }
        let mut before = Role::User;
        for turn in turns {
            let follows_answer = before == Role::Tool;
            if follows_answer && turn.role != Role::Tool {
                text += &self.end;
            }
            text += &match turn.role {
                Role::Tool => {
                    let open = &self.answers[usize::from(follows_answer)];
                    format!("{open}{}{}", turn.content, self.answer_end)
                }
                Role::Assistant => self.assistant(turn),
                Role::System => format!("<|im_start|>system\n{}{}", turn.content, self.end),
                Role::User => format!("{USER}{}{}", turn.content, self.end),
            };
            before = turn.role;
        }
        if before == Role::Tool {
            text += &self.end;
        }
        text + &self.prompt
    }

    fn assistant(&self, turn: &Message) -> String {
        let [open, middle, close] = &self.call;
        let call = |call: &ToolCall| {
            let given = arguments(call.arguments.len());
            format!("{open}{}{middle}{given}{close}", call.name)
        };
        let calls: Vec<String> = turn.tool_calls.iter().map(call).collect();
        let joint = match turn.content.is_empty() || calls.is_empty() {
            true => "",
            false => &self.content_to_calls,
        };
        let calls = calls.join(&self.between_calls);
        format!("{}{}{joint}{calls}{}", self.assistant, turn.content, self.end)
    }
}

fn behind_first<'a>(text: &'a str, mark: &str) -> Option<&'a str> {
    text.split_once(mark).map(|(_, behind)| behind)
}

/// The strings around the name and the arguments of a call, and between calls, where the arguments
/// are JSON as Python writes it.
fn call_texts(syntax: &CallSyntax) -> Option<([String; 3], String)> {
    let [
        Part::Name,
        Part::Text(middle),
        Part::Json {
            item_separator,
            key_separator,
        },
    ] = &syntax.call[..]
    else {
        return None;
    };
    if (item_separator.as_str(), key_separator.as_str()) != (", ", ": ") {
        return None;
    }
    let between = syntax.between.as_deref()?.strip_prefix(&syntax.end)?;
    let between = between.strip_suffix(&syntax.begin)?;
    let call = [&syntax.begin, middle, &syntax.end].map(String::clone);
    Some((call, between.to_string()))
}

/// Returns the first `count` of [`TOOLS`].
fn offered(count: usize) -> Vec<ToolSchema> {
    let names = TOOLS.iter().take(count);
    names
        .map(|name| {
            let parameters = json!({"type": "object", "properties": {}});
            ToolSchema(json!({"type": "function", "function":
                {"name": name, "description": "", "parameters": parameters}}))
        })
        .collect()
}

/// A tool of [`offered`] as Python's JSON.
fn shown(tool: usize) -> String {
    let parameters = r#"{"type": "object", "properties": {}}"#;
    format!(
        r#"{{"type": "function", "function": {{"name": "{}", "description": "", "parameters": {parameters}}}}}"#,
        TOOLS[tool]
    )
}

/// Writes `count` arguments as Python's JSON; [`called`] has the same.
fn arguments(count: usize) -> String {
    let pairs: Vec<String> = (0..count).map(|i| format!(r#""key{i}": "value{i}""#)).collect();
    format!("{{{}}}", pairs.join(", "))
}

/// Makes `count` calls: the first has two arguments or, as the last of several, one.
fn called(count: usize) -> Vec<ToolCall> {
    let call = |i: usize| ToolCall {
        id: None,
        name: TOOLS[i].to_string(),
        arguments: (0..2 - i)
            .map(|i| (format!("key{i}"), json!(format!("value{i}"))))
            .collect::<Map<String, Value>>(),
    };
    (0..count).map(call).collect()
}

/// Returns a question, a turn with `calls` calls after `words`, and the answers of the tools.
fn answered(words: &str, calls: usize) -> Vec<Message> {
    let turn = Message {
        content: words.to_string(),
        ..Message::assistant_calls(called(calls))
    };
    let answers = (0..calls).map(|i| Message::tool(TOOLS[i], ANSWERS[i]));
    [Message::user(ASKED), turn].into_iter().chain(answers).collect()
}

/// Conversations of every kind, each with the number of its tools.
fn conversations() -> Vec<(Vec<Message>, usize)> {
    let (user, system) = (Message::user(ASKED), Message::system(SYSTEM));
    let with = |first: &[Message], more: &[Message]| [first, more].concat();
    let go_on = [Message::assistant(SAID), Message::user("again")];
    let talk = with(std::slice::from_ref(&user), &go_on);
    let starts = [
        talk,
        answered("", 1),
        answered("", 2),
        answered(SAID, 1),
        answered(SAID, 2),
        vec![user],
    ];
    let starts = starts
        .iter()
        .flat_map(|start| [start.clone(), with(start, &go_on)]);
    let starts: Vec<Vec<Message>> = starts.collect();
    let begins = [vec![], vec![system]];
    let all = begins
        .iter()
        .flat_map(|begin| starts.iter().map(move |start| with(begin, start)));
    all.flat_map(|messages| (0..=TOOLS.len()).map(move |tools| (messages.clone(), tools)))
        .collect()
}
