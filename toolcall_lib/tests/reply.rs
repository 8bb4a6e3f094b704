//! The parser of replies: what it reads and refuses, and that it never panics.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use toolcall_lib::reply::{Reply, call_spans, parse};
use toolcall_lib::{Role, ToolCall};

fn call(name: &str, arguments: Value) -> ToolCall {
    let Value::Object(arguments) = arguments else {
        panic!("arguments are an object")
    };
    ToolCall {
        id: None,
        name: name.into(),
        arguments,
    }
}

fn content(text: &str) -> Reply {
    Reply {
        content: text.into(),
        ..Reply::default()
    }
}

fn calls(tool_calls: Vec<ToolCall>) -> Reply {
    Reply {
        tool_calls,
        ..Reply::default()
    }
}

fn malformed(text: &str) -> Reply {
    Reply {
        content: text.into(),
        malformed: true,
        ..Reply::default()
    }
}

/// The text of an assistant turn as Qwen3's chat template writes it.
fn render(reply: &Reply) -> String {
    let think = reply
        .reasoning_content
        .as_ref()
        .map(|text| format!("<think>\n{text}\n</think>\n\n"));
    let calls = reply.tool_calls.iter().map(|call| {
        let arguments = Value::Object(call.arguments.clone());
        format!(
            "<tool_call>\n{{\"name\": {}, \"arguments\": {arguments}}}\n</tool_call>",
            json!(call.name)
        )
    });
    let said = Some(reply.content.clone()).filter(|text| !text.is_empty());
    let body: Vec<String> = said.into_iter().chain(calls).collect();
    format!("{}{}<|im_end|>\n", think.unwrap_or_default(), body.join("\n"))
}

#[test]
fn text_is_content() {
    assert_eq!(parse("12<|im_end|>"), content("12"));
    assert_eq!(
        parse("  Timer set.\n<|im_end|>\n<|endoftext|>"),
        content("Timer set.")
    );
    assert_eq!(
        parse("2 < 3 and {\"name\": \"x\"}"),
        content("2 < 3 and {\"name\": \"x\"}")
    );
    assert_eq!(parse(""), content(""));
}

#[test]
fn thoughts_are_kept_apart() {
    let thought = Reply {
        reasoning_content: Some("Hmm.".into()),
        ..content("12")
    };
    assert_eq!(parse("<think>\nHmm.\n</think>\n\n12<|im_end|>"), thought);
    assert_eq!(
        parse("\nHmm.\n</think>\n\n12"),
        thought,
        "the opening tag is in the prompt"
    );
    assert_eq!(
        parse("<think>\n\n</think>\n\n12"),
        content("12"),
        "an empty block is not a thought"
    );
    assert_eq!(
        parse("<think>\nHmm."),
        content("<think>\nHmm."),
        "a thought that was cut off"
    );
    let planned = parse("<think>I could write <tool_call> here.</think>No.");
    assert_eq!(
        planned.reasoning_content.as_deref(),
        Some("I could write <tool_call> here.")
    );
    assert_eq!(
        (planned.content.as_str(), planned.attempts_call()),
        ("No.", false)
    );
}

#[test]
fn calls_are_read_in_order() {
    let multiply = call("multiply", json!({"a": 3, "b": 4}));
    let text = "<tool_call>\n{\"name\": \"multiply\", \"arguments\": {\"a\": 3, \"b\": 4}}\n</tool_call>";
    assert_eq!(parse(text), calls(vec![multiply.clone()]));
    assert_eq!(
        parse(&format!("{text}\n{text}<|im_end|>")),
        calls(vec![multiply.clone(), multiply.clone()])
    );
    let said = Reply {
        content: "Let me see.".into(),
        ..calls(vec![multiply.clone()])
    };
    assert_eq!(parse(&format!("Let me see.\n{text}")), said);
    let around = Reply {
        content: "Let me see.\nDone.".into(),
        ..calls(vec![multiply])
    };
    assert_eq!(
        parse(&format!("Let me see.\n{text}\nDone.")),
        around,
        "nothing that is said is lost"
    );
}

#[test]
fn arguments_may_be_an_object_a_json_string_or_nothing() {
    for arguments in [
        "",
        ", \"arguments\": null",
        ", \"arguments\": {}",
        ", \"arguments\": \"{}\"",
    ] {
        let text = format!("<tool_call>{{\"name\": \"ping\"{arguments}}}</tool_call>");
        assert_eq!(parse(&text), calls(vec![call("ping", json!({}))]), "{text}");
    }
    let text = r#"<tool_call>{"name": "wait", "arguments": "{\"seconds\": 5}"}</tool_call>"#;
    assert_eq!(parse(text), calls(vec![call("wait", json!({"seconds": 5}))]));
}

#[test]
fn a_malformed_call_makes_the_whole_reply_text() {
    let good = r#"<tool_call>{"name": "ping"}</tool_call>"#;
    for bad in [
        "<tool_call>\n{\"name\": \"multiply\", \"arguments\": {\"a\": 3, \"b\": 4}\n</tool_call>",
        "<tool_call>{\"name\": \"ping\"}",
        "<tool_call>",
        "<tool_call></tool_call>",
        "<tool_call>ping()</tool_call>",
        "<tool_call>{\"arguments\": {}}</tool_call>",
        "<tool_call>{\"name\": 7}</tool_call>",
        "<tool_call>[\"ping\", {}]</tool_call>",
        "<tool_call>{\"name\": \"ping\", \"arguments\": [1]}</tool_call>",
        "<tool_call>{\"name\": \"ping\", \"arguments\": \"[1]\"}</tool_call>",
        "<tool_call>{\"name\": \"ping\"} and more</tool_call>",
        "{\"name\": \"ping\"}\n</tool_call>",
    ] {
        assert_eq!(parse(&format!("{bad}<|im_end|>")), malformed(bad));
        assert_eq!(
            parse(&format!("{good}{bad}")),
            malformed(&format!("{good}{bad}")),
            "one good, one bad"
        );
    }
}

#[test]
fn a_key_that_stands_twice_makes_a_call_malformed() {
    for twice in [
        r#"{"name": "water", "arguments": {"minutes": 5}, "arguments": {}}"#,
        r#"{"name": "water", "arguments": {"minutes": 5, "minutes": 6}}"#,
    ] {
        let text = format!("<tool_call>\n{twice}\n</tool_call>");
        assert_eq!(parse(&text), malformed(&text));
        assert!(call_spans(&text).is_empty());
    }
}

#[test]
fn tags_inside_a_string_argument_do_not_end_the_call() {
    for note in ["</tool_call>", "<tool_call>", "</think>", "<|im_end|>", "\\\"}"] {
        let reply = calls(vec![call("note", json!({"text": note}))]);
        assert_eq!(parse(&render(&reply)), reply, "{note}");
    }
}

#[test]
fn every_truncation_of_a_reply_with_two_calls_is_read() {
    let ping = call("ping", json!({}));
    let reply = Reply {
        content: "Na ja – schau’n wir.".into(),
        reasoning_content: Some("Two calls.".into()),
        ..calls(vec![ping, call("multiply", json!({"a": 3, "b": [4, "x\ny"]}))])
    };
    let text = render(&reply);
    for (end, _) in text.char_indices() {
        let cut = parse(&text[..end]);
        assert!(cut.tool_calls.len() <= 2);
        assert!(!cut.malformed || cut.tool_calls.is_empty());
    }
    assert_eq!(parse(&text), reply);
}

/// Each of these would take hours if the parser looked back; a megabyte must not.
#[test]
fn hostile_text_takes_linear_time() {
    let n = 200_000;
    let good = r#"<tool_call>{"name": "a"}</tool_call>"#;
    assert_eq!(parse(&good.repeat(n / 10)).tool_calls.len(), n / 10);
    for text in [
        "<tool_call>".repeat(n),
        "</tool_call>".repeat(n),
        "<think>".repeat(n),
        "</think>".repeat(n),
        "<|im_end|>".repeat(n),
        "<|im_end|>\n \n".repeat(n),
        " ".repeat(n) + "x" + &" ".repeat(n),
        format!("<tool_call>{}", "[".repeat(n)),
        format!("<tool_call>{}", r#"{"a":"#.repeat(n)),
        format!("<tool_call>{{\"name\": \"{}", "\\\"".repeat(n)),
        good.repeat(n / 10) + "<tool_call>",
    ] {
        assert!(parse(&text).tool_calls.is_empty());
    }
}

#[test]
fn a_reply_becomes_a_message_of_the_assistant() {
    let message = parse("<think>Hm.</think>Wait.<tool_call>{\"name\": \"ping\"}</tool_call>").into_message();
    assert_eq!(
        (message.role, message.content.as_str()),
        (Role::Assistant, "Wait.")
    );
    assert_eq!(message.reasoning_content.as_deref(), Some("Hm."));
    assert_eq!(message.tool_calls, [call("ping", json!({}))]);
}

#[test]
fn a_reply_prints_its_content_and_its_calls() {
    let text =
        r#"Now.<tool_call>{"name": "wait", "arguments": {"seconds": 5, "why": "a \"b\""}}</tool_call>"#;
    assert_eq!(
        parse(text).to_string(),
        "Now.\nwait(seconds=5, why=\"a \\\"b\\\"\")"
    );
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<i32>().prop_map(|n| Value::from(f64::from(n) / 4.0)),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            btree_map(any::<String>(), inner, 0..4).prop_map(|map| map.into_iter().collect()),
        ]
    })
}

fn tool_call() -> impl Strategy<Value = ToolCall> {
    (any::<String>(), btree_map(any::<String>(), json_value(), 0..4)).prop_map(|(name, arguments)| ToolCall {
        id: None,
        name,
        arguments: Map::from_iter(arguments),
    })
}

fn reply() -> impl Strategy<Value = Reply> {
    let words = "[a-zA-Zäß’ .,{}\"\n]{0,40}".prop_map(|text: String| text.trim().to_string());
    (words.clone(), proptest::option::of(words), vec(tool_call(), 0..4)).prop_map(
        |(content, thought, tool_calls)| Reply {
            content,
            reasoning_content: thought.filter(|text| !text.is_empty()),
            tool_calls,
            malformed: false,
        },
    )
}

proptest! {
    #[test]
    fn any_text_of_tags_and_json_is_read(
        pieces in vec(
            prop_oneof![
                Just("<think>"), Just("</think>"), Just("<tool_call>"), Just("</tool_call>"), Just("<|im_end|>"),
                Just("{\"name\": \"a\"}"), Just("{\"name\": \"a\", \"arguments\": "), Just("{\"x\": 1}"), Just("}"),
                Just("\""), Just("\\"), Just("ß"), Just("\n"), Just("[")
            ],
            0..24,
        )
    ) {
        let text = pieces.concat();
        let reply = parse(&text);
        prop_assert!(!reply.malformed || reply.tool_calls.is_empty());
        prop_assert!(!reply.malformed || text.contains(&reply.content));
    }

    #[test]
    fn a_rendered_reply_is_read_back(reply in reply()) {
        prop_assert_eq!(parse(&render(&reply)), reply);
    }
}

#[test]
fn the_places_of_the_calls_are_found() {
    let call =
        |name: &str| format!("<tool_call>\n{{\"name\": \"{name}\", \"arguments\": {{}}}}\n</tool_call>");
    let (f, g) = (call("f"), call("</tool_call>"));
    for before in [
        "",
        "  \n",
        "Well.\n",
        "<think>\nHm, <tool_call>?\n</think>\n\n",
        " <think>x</think>Ü ",
    ] {
        let text = format!("{before}{f}\n{g}<|im_end|>\n");
        let spans = call_spans(&text);
        assert_eq!(
            spans.iter().map(|span| &text[span.clone()]).collect::<Vec<_>>(),
            [&f, &g]
        );
        assert_eq!(parse(&text).tool_calls.len(), 2);
    }
    assert!(call_spans("Nothing.").is_empty());
    let malformed = format!("{f}<tool_call>");
    assert!(
        call_spans(&malformed).is_empty(),
        "a malformed reply has no calls"
    );
}
