use super::*;
use serde_json::json;

fn read_all(list: Value) -> Result<Vec<Message>, Refusal> {
    let Value::Object(body) = json!({ "messages": list }) else {
        unreachable!()
    };
    messages(&mut Fields::of("", body))
}

fn call(id: &str) -> Value {
    json!({"id": id, "type": "function", "function": {"name": "dim", "arguments": "{\"to\": 1}"}})
}

#[test]
fn texts_stay_as_they_are() {
    let hermes = "# Tools\n\n<tools>[{\"name\": \"f\", \"parameters\": {}}]</tools>\n\
        <tool_call>\n{}\n</tool_call>";
    let written = "<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>";
    let read = read_all(json!([
        {"role": "system", "content": hermes},
        {"role": "user", "content": "<tool_response>x</tool_response>"},
        {"role": "assistant", "content": written},
        {"role": "user", "content": " A "},
        {"role": "assistant", "content": "<think>a</think><tool_call>{\"na"},
        {"role": "user", "content": [
            {"type": "text", "text": "B"}, {"type": "text", "text": "\n", "cache_control": {},
                "prompt_cache_breakpoint": {}}]},
    ]));
    let expected = [
        Message::system(hermes),
        Message::user("<tool_response>x</tool_response>"),
        Message::assistant(written),
        Message::user(" A "),
        Message::assistant("<think>a</think><tool_call>{\"na"),
        Message::user("B\n"),
    ];
    assert_eq!(read.unwrap(), expected);
}

/// The openai package sends a message back with every field that it has.
#[test]
fn a_turn_that_is_sent_back_is_read() {
    let parsed = json!({"role": "assistant", "content": "{\"a\": 1}", "refusal": null, "parsed": {"a": 1},
        "audio": null, "annotations": [], "function_call": null, "tool_calls": null});
    let mut called = call("c1");
    called["confidence"] = json!(0.5);
    called["index"] = json!(0);
    called["function"]["parsed_arguments"] = json!({"to": 1});
    called["provider_specific_fields"] = json!({"a": 1});
    called["function"]["provider_specific_fields"] = json!(null);
    let read = read_all(json!([
        {"role": "user", "content": "Hi"},
        parsed,
        {"role": "assistant", "content": null, "refusal": "I cannot."},
        {"role": "assistant", "content": null, "reasoning_content": "Hm.",
            "provider_specific_fields": {"refusal": null}, "tool_calls": [called, call("c2")]},
        {"role": "tool", "tool_call_id": "c2", "content": "two"},
        {"role": "tool", "tool_call_id": "c1", "name": "dim",
            "content": [{"type": "text", "text": "one"}]},
    ]));
    let read = read.unwrap();
    assert_eq!(read[1], Message::assistant("{\"a\": 1}"));
    assert_eq!(read[2], Message::assistant("I cannot."));
    let [one, two] = &read[3].tool_calls[..] else {
        panic!("{read:?}")
    };
    assert_eq!((one.name.as_str(), &one.arguments["to"]), ("dim", &json!(1)));
    assert_eq!(two.id.as_deref(), Some("c2"));
    assert_eq!(read[3].reasoning_content.as_deref(), Some("Hm."));
    for (message, id, said) in [(&read[4], "c2", "two"), (&read[5], "c1", "one")] {
        assert_eq!(
            (message.tool_call_id.as_deref(), message.name.as_deref()),
            (Some(id), Some("dim"))
        );
        assert_eq!(message.content, said);
    }
}

#[test]
fn what_is_not_of_the_api_is_named() {
    let user = json!({"role": "user", "content": "Hi"});
    let turn = json!({"role": "assistant", "content": null, "tool_calls": [call("c1")]});
    let answer = json!({"role": "tool", "tool_call_id": "c1", "content": "1"});
    let with = |message: &Value, field: &str, value: Value| {
        let mut message = message.clone();
        message[field] = value;
        message
    };
    let of_turn = |call: Value| json!([user, with(&turn, "tool_calls", json!([call])), answer]);
    let changed = |pointer: &str, value: Value| {
        let mut call = call("c1");
        *call.pointer_mut(pointer).unwrap() = value;
        of_turn(call)
    };
    for (list, param, told) in [
        (json!([{"role": "user"}]), "messages[0].content", "missing"),
        (
            json!([{"role": "user", "content": null}]),
            "messages[0].content",
            "found null; expected a string",
        ),
        (
            json!([{"role": "user", "content": []}]),
            "messages[0].content",
            "empty",
        ),
        (
            json!([{"role": "user", "content": {"a": 1}}]),
            "messages[0].content",
            "an object",
        ),
        (
            json!([{"role": "user", "content": ["Hi"]}]),
            "messages[0].content[0]",
            "a string",
        ),
        (json!(["Hi"]), "messages[0]", "found a string"),
        (json!([{"content": "Hi"}]), "messages[0].role", "missing"),
        (
            json!([{"role": "human", "content": "Hi"}]),
            "messages[0].role",
            "`human`",
        ),
        (
            json!([{"role": "function", "content": "Hi"}]),
            "messages[0].role",
            "write `tool`",
        ),
        (
            json!([{"from": "user", "value": "Hi"}]),
            "messages[0].role",
            "missing",
        ),
        (
            json!([{"role": "user", "value": "Hi"}]),
            "messages[0].content",
            "missing",
        ),
        (
            json!([with(&user, "weight", json!(1))]),
            "messages[0].weight",
            "not known",
        ),
        (
            json!([user, {"role": "assistant"}, user]),
            "messages[1].content",
            "missing",
        ),
        (json!([user, turn]), "messages[1]", "of the assistant"),
        (
            json!([user, turn, user]),
            "messages[1].tool_calls",
            "no tool has answered c1",
        ),
        (
            json!([
                user,
                with(&turn, "tool_calls", json!([call("c1"), call("c2")])),
                answer
            ]),
            "messages[1].tool_calls",
            "c2",
        ),
        (
            json!([
                user,
                with(&turn, "tool_calls", json!([call("c1"), call("c1")])),
                answer
            ]),
            "messages[1].tool_calls[1].id",
            "differ",
        ),
        (json!([user, answer]), "messages[1].tool_call_id", "no call waits"),
        (
            json!([user, turn, answer, answer]),
            "messages[3].tool_call_id",
            "answers no call",
        ),
        (
            json!([
                user,
                turn,
                with(&with(&answer, "name", json!("dim")), "tool_call_id", json!("c9"))
            ]),
            "messages[2].tool_call_id",
            "expected one of c1",
        ),
        (
            json!([user, turn, {"role": "tool", "content": "1"}]),
            "messages[2].tool_call_id",
            "missing",
        ),
        (
            json!([user, turn, with(&answer, "name", json!("fly"))]),
            "messages[2].name",
            "`dim`",
        ),
        (
            json!([user, turn, with(&answer, "content", json!({"a": 1}))]),
            "messages[2].content",
            "an object",
        ),
        (
            json!([user, with(&turn, "audio", json!({"id": "a"}))]),
            "messages[1].audio",
            "only text",
        ),
        (
            json!([user, {"role": "assistant", "content": null, "function_call": {"name": "f", "arguments": "{}"}}]),
            "messages[1].function_call",
            "`tool_calls`",
        ),
        (
            json!([user, with(&turn, "function_call", json!({"name": "f"}))]),
            "messages[1].function_call",
            "`tool_calls`",
        ),
        (
            json!([user, {"role": "assistant", "content": "a", "refusal": "b"}]),
            "messages[1].refusal",
            "cannot be combined with `content`",
        ),
        (
            json!([user, {"role": "assistant", "content": "a",
                "reasoning": "b", "reasoning_content": "c"}]),
            "messages[1].reasoning",
            "differs from `reasoning_content`",
        ),
        (
            changed("/type", json!("custom")),
            "messages[1].tool_calls[0].type",
            "of functions",
        ),
        (
            changed("/id", json!("")),
            "messages[1].tool_calls[0].id",
            "missing",
        ),
        (
            changed("/function", Value::Null),
            "messages[1].tool_calls[0].function",
            "missing",
        ),
        (
            changed("/function/arguments", json!("{")),
            "messages[1].tool_calls[0].function.arguments",
            "not valid JSON",
        ),
        (
            changed("/function/arguments", json!({"to": 1})),
            "messages[1].tool_calls[0].function.arguments",
            "expected a string",
        ),
    ] {
        let refusal = read_all(list.clone()).unwrap_err();
        assert_eq!(
            refusal.param.as_deref(),
            Some(param),
            "{list}: {}",
            refusal.message
        );
        assert!(refusal.message.contains(told), "{list}: {}", refusal.message);
    }
}
