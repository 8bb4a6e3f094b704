//! Chat templates against transformers (`scripts/dev/golden/templates.py`), and the conversations
//! that a template refuses.

use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use toolcall_lib::template::{ChatTemplate, legacy_prompt};
use toolcall_lib::{Conversation, Message, ToolSchema};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/templates")
}

fn golden(name: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(folder().join(name)).unwrap()).unwrap()
}

/// The conversations that `scripts/dev/golden/templates.py` renders, by name. They are read
/// unchanged: the loader of data files would remove nulls.
pub fn conversations() -> BTreeMap<String, Conversation> {
    let list = |value: &Value| value.as_array().unwrap().clone();
    let conversation = |row: &Value| Conversation {
        messages: list(&row["messages"]).iter().map(message).collect(),
        tools: list(&row["tools"]).into_iter().map(ToolSchema).collect(),
        ..Conversation::default()
    };
    let rows = golden("conversations.json");
    rows.as_object()
        .unwrap()
        .iter()
        .map(|(name, row)| (name.clone(), conversation(row)))
        .collect()
}

fn message(value: &Value) -> Message {
    let text = |field: &str| value[field].as_str().map(str::to_string);
    let call = |call: &Value| serde_json::from_value(call["function"].clone()).unwrap();
    Message {
        role: serde_json::from_value(value["role"].clone()).unwrap(),
        content: text("content").unwrap(),
        reasoning_content: text("reasoning_content"),
        tool_calls: value["tool_calls"]
            .as_array()
            .into_iter()
            .flatten()
            .map(call)
            .collect(),
        name: text("name"),
        ..Message::user("")
    }
}

fn special_tokens(name: &str) -> Map<String, Value> {
    golden(&format!("{name}.json"))["special_tokens"]
        .as_object()
        .unwrap()
        .clone()
}

/// A template of the golden folder, by the name of its file.
pub fn template(name: &str) -> ChatTemplate {
    let source = std::fs::read_to_string(folder().join(format!("{name}.jinja"))).unwrap();
    ChatTemplate::new(&source, &special_tokens(name)).unwrap()
}

fn matches_transformers(name: &str, mut template: ChatTemplate) {
    let (conversations, golden) = (conversations(), golden(&format!("{name}.json")));
    let renderings = golden["renderings"].as_array().unwrap();
    assert_eq!(renderings.len(), 3 * conversations.len());
    for expected in renderings {
        let case = expected["conversation"].as_str().unwrap();
        let Conversation { messages, tools, .. } = &conversations[case];
        template.thinking = expected["thinking"] == true;
        let text = match expected["prompt"] == true {
            true => template.render_prompt(messages, tools),
            false => template.render(messages, tools),
        };
        assert_eq!(
            text.unwrap(),
            expected["text"].as_str().unwrap(),
            "{name}: {case}"
        );
    }
}

#[test]
fn qwen3_matches_transformers() {
    matches_transformers("qwen3", template("qwen3"));
    matches_transformers("qwen3_2504", template("qwen3_2504"));
}

#[test]
fn a_template_with_generation_tags_matches_transformers() {
    matches_transformers("qwen3_training", template("qwen3_training"));
}

#[test]
fn qwen2_5_matches_transformers() {
    matches_transformers("qwen2_5", template("qwen2_5"));
}

#[test]
fn smollm2_matches_transformers() {
    matches_transformers("smollm2", template("smollm2"));
}

#[test]
fn our_template_is_the_same_in_transformers() {
    matches_transformers("hermes", ChatTemplate::hermes("<|im_end|>").unwrap());
    let hermes = ChatTemplate::hermes("").unwrap();
    let llama = ChatTemplate::new(hermes.source(), &special_tokens("hermes_llama")).unwrap();
    matches_transformers("hermes_llama", llama);
}

fn inline(source: &str) -> ChatTemplate {
    ChatTemplate::new(source, &Map::new()).unwrap()
}

#[test]
fn nothing_that_a_message_lacks_is_rendered() {
    let Conversation { messages, tools, .. } = &conversations()["timer"];
    for name in ["qwen2_5", "qwen3", "qwen3_2504", "qwen3_training", "smollm2"] {
        let text = template(name).render(messages, tools).unwrap();
        assert!(
            !text.contains("null") && !text.contains("None") && !text.contains("none"),
            "{name}: {text}"
        );
    }
    let everything = inline("{{ messages | tojson }} {{ tools | tojson }} {{ documents is none }}");
    let call = r#"{"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": "#
        .to_string()
        + r#"{"name": "start_timer", "arguments": {"duration": 1320}}}]}"#;
    assert_eq!(
        everything.render(&messages[1..2], &[]).unwrap(),
        format!("[{call}] null True")
    );
}

#[test]
fn floats_are_printed_as_python_does() {
    let row = |number: Value| {
        let call = json!({"name": "f", "arguments": {"x": number}});
        serde_json::from_value::<Message>(json!({"role": "assistant", "tool_calls": [call]})).unwrap()
    };
    let template = inline(
        "{% set x = messages[0].tool_calls[0].function.arguments.x %}\
         {{ x }} {{ x|string }} {{ 'a' ~ x ~ (x) ~ messages[0].tool_calls[0].function.arguments['x']|string }}",
    );
    for (number, text) in [
        (json!(1e16), "1e+16"),
        (json!(1e-5), "1e-05"),
        (json!(1e15), "1000000000000000.0"),
        (json!(5.0), "5.0"),
        (json!(7), "7"),
        (json!("1e16"), "1e16"),
        (json!(true), "True"),
    ] {
        let expected = format!("{text} {text} a{text}{text}{text}");
        assert_eq!(template.render(&[row(number)], &[]).unwrap(), expected);
    }
    assert_eq!(
        inline("{{ 1e16 }} {{ 0.5 }}").render(&[], &[]).unwrap(),
        "1e+16 0.5"
    );
    assert_eq!(
        inline("{{ nothing ~ 'a' ~ nothing }}").render(&[], &[]).unwrap(),
        "a"
    );
}

#[test]
fn a_template_that_can_show_tools_is_kept() {
    for name in ["qwen2_5", "qwen3", "qwen3_2504", "qwen3_training"] {
        let source = template(name).source().to_string();
        let (kept, notes) =
            ChatTemplate::for_tools(Some(&source), Vec::new(), &special_tokens(name)).unwrap();
        assert_eq!((kept.source(), notes), (source.as_str(), vec![]));
    }
    assert!(ChatTemplate::hermes("<|im_end|>").unwrap().supports_tools());
    assert!(!template("smollm2").supports_tools());
}

#[test]
fn a_template_that_cannot_show_tools_is_replaced_and_the_user_is_told() {
    let Conversation { messages, tools, .. } = &conversations()["several calls"];
    let expected = ChatTemplate::hermes("<|im_end|>")
        .unwrap()
        .render(messages, tools)
        .unwrap();
    let replaced = |source: Option<&str>| {
        let (template, notes) =
            ChatTemplate::for_tools(source, Vec::new(), &special_tokens("smollm2")).unwrap();
        assert_eq!(template.render(messages, tools).unwrap(), expected);
        notes.concat()
    };
    assert!(replaced(Some(template("smollm2").source())).contains("own chat template cannot show tools"));
    assert!(replaced(Some("{% if %}")).contains("cannot be read (chat template, line 1: "));
    assert!(replaced(None).starts_with("The model has no chat template: ChatML"));
}

#[test]
fn the_end_of_a_turn_is_found_in_any_template() {
    for name in ["qwen2_5", "qwen3", "qwen3_2504", "qwen3_training", "smollm2"] {
        assert_eq!(template(name).end_of_turn().unwrap(), "<|im_end|>");
    }
    assert_eq!(
        inline("{{ messages[1].content }} </s> ").end_of_turn().unwrap(),
        "</s>"
    );
    let error = inline("{{ messages[0].content }}").end_of_turn().unwrap_err();
    assert_eq!(
        error.to_string(),
        "chat template: it does not show what the assistant says"
    );
}

#[test]
fn a_template_that_refuses_messages_says_why() {
    let strict = inline(
        "{% for message in messages %}\n{% if (message.role == 'user') != (loop.index0 % 2 == 0) %}\n\
         {{ raise_exception('Roles must alternate user/assistant') }}\n{% endif %}\n{% endfor %}",
    );
    let error = strict.render(&[Message::system("Be short.")], &[]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "chat template, line 3: Roles must alternate user/assistant"
    );
    assert!(!strict.supports_tools());
    let error = inline("{{ messages[0].role.name.x }}")
        .render(&[], &[])
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "chat template, line 1: `messages[0]` is undefined"
    );
}

#[test]
fn a_source_that_is_not_jinja_is_refused_with_its_line() {
    let error = ChatTemplate::new("one\n{% if %}", &Map::new()).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("chat template, line 2: unexpected end of block"),
        "{error}"
    );
}

#[test]
fn tojson_takes_the_arguments_of_transformers() {
    let messages = [Message::user("é")];
    let print = |arguments: &str| {
        inline(&format!("{{{{ messages | tojson{arguments} }}}}"))
            .render(&messages, &[])
            .unwrap()
    };
    assert_eq!(
        print("(indent=2)"),
        "[\n  {\n    \"role\": \"user\",\n    \"content\": \"é\"\n  }\n]"
    );
    assert_eq!(
        print("(indent=none, ensure_ascii=true)"),
        r#"[{"role": "user", "content": "\u00e9"}]"#
    );
    assert_eq!(
        print("(separators=(',', ':'))"),
        r#"[{"role":"user","content":"é"}]"#
    );
    assert_eq!(print("(sort_keys=true)"), r#"[{"content": "é", "role": "user"}]"#);
    assert!(inline("{{ 1 | tojson(colour=1) }}").render(&[], &[]).is_err());
    assert!(inline("{{ nothing | tojson }}").render(&[], &[]).is_err());
    assert_eq!(
        inline("{{ [[], {}] | tojson(indent=1) }}")
            .render(&[], &[])
            .unwrap(),
        "[\n [],\n {}\n]"
    );
}

#[test]
fn the_legacy_prompt_shows_neither_tools_nor_a_turn_that_the_model_knows() {
    assert_eq!(legacy_prompt("Hi!"), "<|user|>\nHi!\n<|assistant|>\n");
}
