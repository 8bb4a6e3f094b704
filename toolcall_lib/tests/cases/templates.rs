//! Templates that write calls in other ways (`scripts/dev/golden/templates.py`): they print the
//! same as in transformers, and the calls of a perfect model are read back.

use super::data::conversation;
use crate::common::tiny_tokenizer::tiny_tokenizer;
use serde_json::{Map, Value, json};
use std::path::PathBuf;
use toolcall_lib::reply::{self, Reply};
use toolcall_lib::template::ChatTemplate;
use toolcall_lib::tokens::{LossMode, Sequence, not_shown, sequences};
use toolcall_lib::{Conversation, Message, Role, ToolCall, ToolSchema};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/templates")
}

fn golden() -> Value {
    serde_json::from_str(&std::fs::read_to_string(folder().join("styles.json")).unwrap()).unwrap()
}

/// A template of the golden folder with a fixed date.
pub fn style(name: &str) -> ChatTemplate {
    let source = std::fs::read_to_string(folder().join(format!("{name}.jinja"))).unwrap();
    let tokens = golden()["special_tokens"][name].as_object().unwrap().clone();
    let template = ChatTemplate::new(&source, &tokens).unwrap();
    template.with_kwargs(&Map::from_iter([(
        "date_string".to_string(),
        json!("31 Jan 2026"),
    )]))
}

pub const STYLES: [&str; 7] = [
    "deepseek_style",
    "function_tag_style",
    "glm_style",
    "llama_style",
    "mistral_style",
    "string_arguments",
    "xml_style",
];

/// A row of the golden file, unchanged.
pub fn row(name: &str) -> Conversation {
    let row = golden()["rows"][name].clone();
    let messages = row["messages"].as_array().unwrap().iter();
    Conversation {
        messages: messages
            .map(|message| serde_json::from_value(message.clone()).unwrap())
            .collect(),
        tools: row["tools"]
            .as_array()
            .unwrap()
            .iter()
            .cloned()
            .map(ToolSchema)
            .collect(),
        ..Conversation::default()
    }
}

#[test]
fn every_style_is_rendered_as_transformers_does() {
    for expected in golden()["renderings"].as_array().unwrap() {
        let name = expected["template"].as_str().unwrap();
        let Conversation { messages, tools, .. } = row(expected["row"].as_str().unwrap());
        let template = style(name);
        let text = match expected["prompt"] == true {
            true => template.render_prompt(&messages[..1], &tools),
            false => template.render(&messages, &tools),
        };
        assert_eq!(
            text.unwrap(),
            expected["text"].as_str().unwrap(),
            "{name}: {}",
            expected["row"]
        );
    }
}

/// The text of an assistant turn as the template writes it.
fn turn(template: &ChatTemplate, row: &Conversation, index: usize) -> String {
    let prompt = template
        .render_prompt(&row.messages[..index], &row.tools)
        .unwrap();
    let text = template.render(&row.messages[..=index], &row.tools).unwrap();
    text.strip_prefix(&prompt).unwrap().to_string()
}

#[test]
fn a_perfect_model_is_read_as_the_row_has_it() {
    let mut turns = 0;
    for name in STYLES {
        let template = style(name);
        assert!(template.call_syntax().is_some(), "{name}");
        for case in ["one call", "two calls", "no call"] {
            if (name, case) == ("llama_style", "two calls") {
                continue;
            }
            let row = row(case);
            for index in (0..row.messages.len()).filter(|&i| row.messages[i].role == Role::Assistant) {
                let text = turn(&template, &row, index);
                let reply = reply::parse_with(&text, &template, &row.tools);
                let expected = &row.messages[index];
                assert!(!reply.malformed, "{name}: {text:?}");
                assert_eq!(reply.content, expected.content, "{name}: {text:?}");
                assert_eq!(
                    without_ids(reply.tool_calls),
                    without_ids(expected.tool_calls.clone()),
                    "{name}"
                );
                turns += 1;
            }
        }
    }
    assert_eq!(turns, 5 * STYLES.len() - 2);
}

fn without_ids(calls: Vec<ToolCall>) -> Vec<ToolCall> {
    calls
        .into_iter()
        .map(|call| ToolCall { id: None, ..call })
        .collect()
}

#[test]
fn a_reply_that_is_cut_or_broken_is_never_a_call_without_its_arguments() {
    for name in STYLES {
        let template = style(name);
        let row = row("one call");
        let text = turn(&template, &row, 1);
        for (end, _) in text.char_indices() {
            let reply = reply::parse_with(&text[..end], &template, &row.tools);
            for call in &reply.tool_calls {
                assert_eq!(
                    call.arguments,
                    row.messages[1].tool_calls[0].arguments,
                    "{name}: {:?}",
                    &text[..end]
                );
            }
        }
    }
}

/// A model that has learned another form writes other keys.
#[test]
fn other_names_of_the_arguments_are_read() {
    for text in [
        "<tool_call>\n{\"name\": \"water\", \"parameters\": {\"minutes\": 5}}\n</tool_call>",
        "<tool_call>{\"name\": \"water\", \"args\": {\"minutes\": 5}}</tool_call>",
        "<tool_call>{\"type\": \"function\", \"function\": {\"name\": \"water\", \"arguments\": {\"minutes\": 5}}}</tool_call>",
    ] {
        assert_eq!(reply::parse(text).tool_calls[0].arguments["minutes"], 5, "{text}");
    }
    for text in [
        "<tool_call>{\"name\": \"water\", \"kwargs\": {\"minutes\": 5}}</tool_call>",
        "<tool_call>{\"name\": \"water\", \"arguments\": {\"minutes\": 5}, \"parameters\": {\"minutes\": 6}}</tool_call>",
    ] {
        assert!(reply::parse(text).malformed, "{text}");
    }
}

#[test]
fn an_answer_in_json_is_no_call_where_calls_are_json() {
    let template = style("llama_style");
    let read = |text: &str| reply::parse_with(text, &template, &row("one call").tools);
    let content = |text: &str| Reply {
        content: text.to_string(),
        ..Reply::default()
    };
    for text in ["{\"city\": \"Ulm\"}", "Hello.", "{", "[1, 2]", "{\"names\": [1]}"] {
        assert_eq!(read(text), content(text));
    }
    assert!(read("{\"name\": \"water\", \"param").malformed);
    let called =
        read("{\"type\": \"function\", \"name\": \"water\", \"parameters\": {\"minutes\": 5}}<|im_end|>");
    assert_eq!(called.tool_calls[0].arguments["minutes"], 5);
}

/// Without types in the text, the schema decides which one is meant.
#[test]
fn the_type_of_a_value_is_that_of_the_schema() {
    let template = style("xml_style");
    let properties = json!({"n": {"type": "integer"}, "s": {"type": "string"}, "z": {"anyOf": [{"type": "string"}, {"type": "null"}]}, "r": {"$ref": "#/$defs/R"}});
    let parameters = json!({"type": "object", "properties": properties, "$defs": {"R": {"type": "string"}}});
    let tool = ToolSchema::new(json!({"name": "f", "parameters": parameters})).unwrap();
    let field = |name: &str, value: &str| format!("<parameter={name}>\n{value}\n</parameter>\n");
    let text = format!(
        "<tool_call>\n<function=f>\n{}</function>\n</tool_call>",
        [
            field("n", "5"),
            field("s", "5"),
            field("z", "None"),
            field("r", "true")
        ]
        .concat()
    );
    let reply = reply::parse_with(&text, &template, &[tool]);
    let expected = json!({"n": 5, "s": "5", "z": null, "r": "true"});
    assert_eq!(Value::Object(reply.tool_calls[0].arguments.clone()), expected);
    let unknown = reply::parse_with(&text, &template, &[]);
    assert_eq!(
        Value::Object(unknown.tool_calls[0].arguments.clone()),
        json!({"n": 5, "s": 5, "z": null, "r": true})
    );
}

#[test]
fn ids_are_kept_and_made_where_a_template_needs_them() {
    let with_ids = row("two calls");
    let mistral = style("mistral_style");
    let text = mistral.render(&with_ids.messages, &with_ids.tools).unwrap();
    assert!(
        text.contains("\"id\": \"abcdefgh1\"") && text.contains("\"call_id\": \"abcdefgh2\""),
        "{text}"
    );

    let mut without = with_ids.clone();
    for message in &mut without.messages {
        message.tool_call_id = None;
        message.tool_calls.iter_mut().for_each(|call| call.id = None);
    }
    let text = mistral.render(&without.messages, &without.tools).unwrap();
    let between = |start: &str| -> Vec<String> {
        text.split(start)
            .skip(1)
            .map(|rest| rest.chars().take(9).collect())
            .collect()
    };
    let (ids, answers) = (between(", \"id\": \""), between("\"call_id\": \""));
    assert_eq!((ids.len(), &ids), (2, &answers));
    assert!(ids[0] != ids[1] && ids.concat().chars().all(|c| c.is_ascii_alphanumeric()));
    // The prompt of a turn has the same ids as in the whole conversation.
    let prompt = mistral
        .render_prompt(&without.messages[..3], &without.tools)
        .unwrap();
    assert!(text.starts_with(&prompt));

    let mut long = with_ids;
    long.messages[1].tool_calls[0].id = Some("call_0123456789".into());
    long.messages[2].tool_call_id = Some("call_0123456789".into());
    let text = mistral.render(&long.messages, &long.tools).unwrap();
    assert!(!text.contains("call_0123456789"));
    let kept = style("deepseek_style");
    assert!(kept.render(&long.messages, &long.tools).is_ok());
}

#[test]
fn a_template_stays_where_it_can_show_calls_and_else_the_reason_is_told() {
    let special = |name: &str| golden()["special_tokens"][name].as_object().unwrap().clone();
    for name in STYLES {
        let template = style(name);
        let (kept, notes) =
            ChatTemplate::for_tools(Some(template.source()), Vec::new(), &special(name)).unwrap();
        assert_eq!((kept.source(), notes), (template.source(), vec![]), "{name}");
    }
    let notice = |source: &str| {
        ChatTemplate::for_tools(Some(source), Vec::new(), &Map::new())
            .unwrap()
            .1
            .concat()
    };
    let told = notice(
        "{% for m in messages %}{% if m.tool_calls %}{{ raise_exception('no calls here') }}{% endif %}{{ m.content }}{% endfor %}",
    );
    assert!(
        told.contains("cannot show tools and tool calls (chat template, line 1: no calls here): ChatML"),
        "{told}"
    );
    let told = notice("{% for m in messages %}{{ m.content }}{% endfor %}");
    assert!(
        told.contains("(it does not show the tools that are offered)"),
        "{told}"
    );
}

#[test]
fn arguments_are_offered_as_the_template_needs_them() {
    let call = |source: &str| {
        let whole = "{% for t in tools or [] %}{{ t.function.name }}{% endfor %}{% for m in messages %}{{ m.content }}{% for c in m.tool_calls or [] %}{{ c.function.name }}".to_string() + source + "{% endfor %}{% endfor %}";
        let messages = [Message::assistant_calls(vec![
            ToolCall::new("f", json!({"a": "x y", "b": true})).unwrap(),
        ])];
        ChatTemplate::new(&whole, &Map::new())
            .unwrap()
            .render(&messages, &[])
            .unwrap()
    };
    let json = r#"f{"a": "x y", "b": true}"#;
    assert_eq!(call("{{ c.function.arguments | tojson }}"), json);
    assert_eq!(call("{{ '' + c.function.arguments }}"), json);
    assert_eq!(
        call("{{ c.function.arguments }}"),
        json,
        "as Python writes an object it is not JSON"
    );
    assert_eq!(
        call(
            "{% if c.function.arguments is string %}{{ c.function.arguments }}{% else %}{{ c.function.arguments | tojson }}{% endif %}"
        ),
        json
    );
}

#[test]
fn sequences_are_what_they_are_in_jinja() {
    let is = |test: &str| {
        let source = format!("{{{{ {test} }}}}");
        ChatTemplate::new(&source, &Map::new())
            .unwrap()
            .render(&[Message::user("hi")], &[])
            .unwrap()
    };
    for (test, expected) in [
        ("'a' is sequence", "True"),
        ("{'a': 1} is sequence", "True"),
        ("[1] is sequence", "True"),
        ("1 is sequence", "False"),
        ("none is sequence", "False"),
        ("messages is sequence", "True"),
        ("messages[0] is mapping", "True"),
        ("'a' is mapping", "False"),
    ] {
        assert_eq!(is(test), expected, "{test}");
    }
}

/// Returns the hour in a time zone far from UTC. It runs in its own process, because the
/// environment sets the zone.
#[test]
fn the_time_is_the_local_one() {
    let hour = |zone: &str| -> i32 {
        let test = std::env::current_exe().unwrap();
        let mut child = std::process::Command::new(test);
        let child = child.args([
            "--exact",
            "cases::templates::tells_the_hour",
            "--nocapture",
            "--include-ignored",
        ]);
        let output = child.env("TZ", zone).env("TELL_THE_HOUR", "1").output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (_, rest) = text.split_once("hour: ").unwrap_or_else(|| panic!("{text}"));
        rest[..2].parse().unwrap()
    };
    let difference = (hour("XXX-9") - hour("XXX+3")).rem_euclid(24);
    assert!([11, 12].contains(&difference), "{difference}"); // an hour may end in between
}

#[test]
fn tells_the_hour() {
    if std::env::var_os("TELL_THE_HOUR").is_some() {
        let template = ChatTemplate::new("hour: {{ strftime_now('%H') }}", &Map::new()).unwrap();
        println!("{}", template.render(&[Message::user("hi")], &[]).unwrap());
    }
}

fn qwen3() -> ChatTemplate {
    crate::template::template("qwen3")
}

fn trained(row: &Conversation, template: &ChatTemplate, mode: LossMode) -> Vec<String> {
    let tokenizer = tiny_tokenizer();
    let made = sequences(row, template, &tokenizer, mode).unwrap();
    let text = |sequence: &Sequence| {
        let ids: Vec<u32> = sequence
            .ids
            .iter()
            .zip(&sequence.trained)
            .filter(|(_, trained)| **trained)
            .map(|(id, _)| *id)
            .collect();
        tokenizer.decode(&ids).unwrap()
    };
    made.iter().map(text).collect()
}

#[test]
fn a_thought_is_trained_where_the_template_is_asked_for_it() {
    let call = "<tool_call>\n{\"name\": \"water\", \"arguments\": {\"minutes\": 5}}\n</tool_call><|im_end|>";
    for name in ["reasoning_content", "reasoning", "thinking"] {
        let mut row = conversation(name);
        let refused = sequences(&row, &qwen3(), &tiny_tokenizer(), LossMode::Assistant)
            .unwrap_err()
            .to_string();
        assert!(
            refused.contains("needs `chat_template_kwargs` {\"enable_thinking\": true}"),
            "{refused}"
        );
        row.chat_template_kwargs
            .insert("enable_thinking".into(), json!(true));
        let expected = format!("<think>\nThe ferns are dry.\n</think>\n\n{call}");
        assert_eq!(
            trained(&row, &qwen3(), LossMode::Assistant),
            std::slice::from_ref(&expected)
        );
        row.chat_template_kwargs.clear();
        let asked = qwen3().with_kwargs(&Map::from_iter([("enable_thinking".to_string(), json!(true))]));
        assert_eq!(trained(&row, &asked, LossMode::Assistant), [expected]);
    }
    let mut row = conversation("thought_in_the_content");
    row.chat_template_kwargs
        .insert("enable_thinking".into(), json!(true));
    let expected = format!("<think>\nDry ferns.\n</think>\n\n{call}");
    assert_eq!(trained(&row, &qwen3(), LossMode::Assistant), [expected]);
}

#[test]
fn turns_that_are_not_to_be_learnt_are_shown_and_not_trained() {
    let hermes = ChatTemplate::hermes("<|im_end|>").unwrap();
    for name in ["weight_zero", "train_false"] {
        let row = conversation(name);
        let expected =
            ["<tool_call>\n{\"name\": \"water\", \"arguments\": {\"minutes\": 5}}\n</tool_call><|im_end|>"];
        assert_eq!(trained(&row, &hermes, LossMode::Assistant), expected);
        assert_eq!(trained(&row, &hermes, LossMode::Last), expected);
        let [all] = &trained(&row, &hermes, LossMode::All)[..] else {
            panic!()
        };
        assert!(
            !all.contains("I cannot.") && all.contains("You can.") && all.contains("</tool_call>"),
            "{all}"
        );
        let shown = sequences(&row, &hermes, &tiny_tokenizer(), LossMode::Assistant).unwrap();
        assert!(
            tiny_tokenizer()
                .decode(&shown[0].ids)
                .unwrap()
                .contains("I cannot.")
        );
    }
    let row = conversation("prompt_and_completion");
    assert_eq!(trained(&row, &hermes, LossMode::Assistant).len(), 1);
    let [completion] = &trained(&row, &hermes, LossMode::Completion)[..] else {
        panic!()
    };
    assert!(completion.starts_with("<tool_call>"), "{completion}");
    let mut nothing = row;
    nothing
        .messages
        .iter_mut()
        .for_each(|message| message.train = false);
    for mode in [
        LossMode::Assistant,
        LossMode::Last,
        LossMode::All,
        LossMode::Completion,
    ] {
        assert_eq!(sequences(&nothing, &hermes, &tiny_tokenizer(), mode).unwrap(), []);
    }
}

#[test]
fn what_a_template_does_not_show_is_told() {
    let row = conversation("legacy_function_call");
    assert_eq!(not_shown(std::slice::from_ref(&row), &qwen3()), [] as [String; 0]);
    let notes = not_shown(&[row, conversation("reasoning")], &style("llama_style"));
    assert_eq!(
        notes,
        [
            "1 turn: the chat template does not show the text besides calls",
            "1 turn: the chat template does not show `reasoning_content`"
        ]
    );
}

#[test]
fn variables_that_no_template_uses_are_told() {
    let kwargs = json!({"enable_thinking": true, "enable_thinkin": true});
    let mut row = row("one call");
    row.chat_template_kwargs = kwargs.as_object().unwrap().clone();
    let note = "the chat template does not use `enable_thinkin` of `chat_template_kwargs`";
    assert_eq!(qwen3().unused(&row.chat_template_kwargs), [note]);
    assert_eq!(
        not_shown(&[row.clone(), row], &qwen3()),
        [format!("2 rows: {note}")]
    );
}

#[test]
fn calls_are_flat_where_a_template_wants_them_so() {
    let source = "{{ tools|tojson }}{% for m in messages %}{{ m.role }}: {{ m.content }}\
        {% for c in m.tool_calls or [] %}{{ c.name }} {{ c.arguments|tojson }}{% endfor %}\n{% endfor %}";
    let (template, notes) = ChatTemplate::for_tools(Some(source), Vec::new(), &Map::new()).unwrap();
    assert_eq!(notes, [] as [String; 0]);
    let row = row("one call");
    let text = template.render(&row.messages, &row.tools).unwrap();
    assert!(text.contains("assistant: water {\"minutes\": 5, "), "{text}");
}

#[test]
fn another_template_is_used_where_tools_are_offered() {
    let plain = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}";
    let hermes = ChatTemplate::hermes("<|im_end|>").unwrap();
    let additional = vec![("tool_use".to_string(), hermes.source().to_string())];
    let tokens = Map::from_iter([("eos_token".to_string(), json!("<|im_end|>"))]);
    let (template, notes) = ChatTemplate::for_tools(Some(plain), additional, &tokens).unwrap();
    assert_eq!(notes, [] as [String; 0]);
    let row = row("one call");
    assert_eq!(
        template.render(&row.messages[..1], &[]).unwrap(),
        "user: Water for 5.\n"
    );
    let expected = hermes.render(&row.messages, &row.tools).unwrap();
    assert_eq!(template.render(&row.messages, &row.tools).unwrap(), expected);
}
