//! Errors: OpenAI's shape, the field, what was expected, and what to do.

use super::client::{Answer, Served, config, head, post, request, said, tools};
use crate::common::tiny_model::tiny_model;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;
use toolcall_lib::serve::{ServeConfig, Server};

#[test]
fn a_field_that_does_not_fit_is_named() {
    let served = Served::tiny();
    let hi = json!([{"role": "user", "content": "Hi"}]);
    let named = json!({"type": "function", "function": {"name": "fly"}});
    let bad_tool = json!([{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {"x": {"not": {}}}}}}]);
    for (more, param, told) in [
        (json!({"messages": []}), "messages", "empty"),
        (json!({"messages": null}), "messages", "missing"),
        (json!({"messages": "Hi"}), "messages", "expected a list"),
        (
            json!({"messages": [{"role": "king", "content": "Hi"}]}),
            "messages[0].role",
            "king",
        ),
        (
            json!({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}),
            "messages[0].content[0].type",
            "image_url",
        ),
        (
            json!({"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes?"}]}),
            "messages[1]",
            "a message of the assistant",
        ),
        (
            json!({"messages": [{"role": "user", "content": "Hi"},
                {"role": "tool", "tool_call_id": "c1", "content": "1"}]}),
            "messages[1].tool_call_id",
            "answers no call",
        ),
        (
            json!({"temperature": 3}),
            "temperature",
            "found 3, expected a number from 0 to 2",
        ),
        (json!({"temperature": "hot"}), "temperature", "found a string"),
        (
            json!({"messages": [{"role": "user"}]}),
            "messages[0].content",
            "missing",
        ),
        (
            json!({"messages": [{"role": "human", "value": "Hi"}]}),
            "messages[0].role",
            "human",
        ),
        (
            json!({"tools": tools(), "tool_choice": {"type": "custom", "custom": {"name": "start_timer"}}}),
            "tool_choice.type",
            "custom",
        ),
        (json!({"top_p": 1.5}), "top_p", "from 0 to 1"),
        (json!({"n": 2}), "n", "only 1 reply"),
        (json!({"max_tokens": 0}), "max_tokens", "1 or more"),
        (
            json!({"max_tokens": 5, "max_completion_tokens": 6}),
            "max_tokens",
            "contradicts",
        ),
        (
            json!({"max_tokens": null, "max_completion_tokens": 5000}),
            "max_completion_tokens",
            "4096",
        ),
        (json!({"max_tokens": 5.5}), "max_tokens", "found 5.5"),
        (json!({"seed": 1.5}), "seed", "found 1.5, expected an integer"),
        (json!({"seed": 1e30}), "seed", "at most 64 bits"),
        (
            json!({"top_k": -2}),
            "top_k",
            "found -2, expected an integer, -1 or more",
        ),
        (json!({"stop": ["", "a"]}), "stop", "not empty"),
        (json!({"stop": ["a", "b", "c", "d", "e"]}), "stop", "1 to 4"),
        (json!({"top_logprobs": 3}), "top_logprobs", "needs `logprobs`"),
        (
            json!({"logprobs": true, "top_logprobs": 30}),
            "top_logprobs",
            "from 0 to 20",
        ),
        (
            json!({"stream_options": {"include_usage": true}}),
            "stream_options",
            "needs `stream`",
        ),
        (json!({"frequency_penalty": 0.5}), "frequency_penalty", "only 0"),
        (
            json!({"logit_bias": {"50256": -100}}),
            "logit_bias",
            "not supported",
        ),
        (json!({"functions": [{}]}), "functions", "write `tools`"),
        (
            json!({"max_output_tokens": 5}),
            "max_output_tokens",
            "write `max_tokens`",
        ),
        (
            json!({"response_format": {"type": "json_object", "schema": {}}}),
            "response_format.schema",
            "json_schema",
        ),
        (
            json!({"reasoning_effort": "high"}),
            "reasoning_effort",
            "enable_thinking",
        ),
        (
            json!({"reasoning_effort": "none", "chat_template_kwargs": {"enable_thinking": true}}),
            "reasoning_effort",
            "this model thinks",
        ),
        (
            json!({"temprature": 1}),
            "temprature",
            "is not known; did you mean `temperature`?",
        ),
        (json!({"tools": {}}), "tools", "expected a list"),
        (
            json!({"tools": [{"type": "function", "function": {"name": "f", "strict": 1}}]}),
            "tools[0]",
            "`function.strict`: expected true or false",
        ),
        (json!({"tools": [{"type": "function"}]}), "tools[0]", "function"),
        (
            json!({"tools": [tools()[0], tools()[0]]}),
            "tools[1].function.name",
            "a second tool",
        ),
        (json!({"tools": bad_tool}), "tools", "argument `x`"),
        (
            json!({"tools": tools(), "tool_choice": named}),
            "tool_choice",
            "there is no tool `fly`",
        ),
        (
            json!({"tools": tools(), "tool_choice": "some"}),
            "tool_choice",
            "\"required\"",
        ),
        (
            json!({"tool_choice": "required"}),
            "tool_choice",
            "no tool is offered",
        ),
        (
            json!({"response_format": {"type": "yaml"}}),
            "response_format.type",
            "json_schema",
        ),
        (
            json!({"response_format": {"type": "json_schema", "json_schema": {"name": "a"}}}),
            "response_format.json_schema.schema",
            "missing",
        ),
        (
            json!({"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "array"}}}}),
            "response_format.json_schema.schema",
            "object",
        ),
        (
            json!({"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "object", "properties": {"x": {"not": {}}}}}}}),
            "response_format.json_schema.schema",
            "`x`",
        ),
    ] {
        let mut body = said("Hi", json!({"messages": hi}));
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().cloned().unwrap());
        let (status, found, code, message) = served.chat(&body).error();
        assert_eq!((status, &*found), (400, param), "{more}: {message}");
        assert!(message.contains(told), "{more}: {message}");
        assert!(["invalid_value", "unknown_parameter"].contains(&&*code), "{code}");
    }
    let accepted = json!({"user": "me", "metadata": {"a": "b"}, "store": true, "n": 1, "frequency_penalty": 0.0, "presence_penalty": 0,
        "logit_bias": {}, "service_tier": "auto", "tools": null, "stop": null, "modalities": ["text"],
        "max_tokens": 3.0, "seed": 1.0, "reasoning_effort": "none"});
    assert_eq!(served.chat(&said("Hi", accepted)).status, 200);
    for off in [-1, 0] {
        assert_eq!(
            served
                .chat(&said("Hi", json!({"top_k": off, "max_tokens": 3})))
                .status,
            200
        );
    }
}

#[test]
fn what_is_no_request_is_told_so() {
    let served = Served::tiny();
    let path = "/v1/chat/completions";
    for (body, told) in [
        (&b"{\"messages\": ["[..], "cannot be read as a JSON object"),
        (b"[]", "expected an object"),
        (b"\xff\xfe", "UTF-8"),
        (b"", "cannot be read as a JSON object"),
        (
            b"{\"seed\": 123456789012345678901}",
            "123456789012345678901 has more than 64 bits",
        ),
        (b"{\"n\": 1, \"n\": 1}", "duplicate key `n`"),
    ] {
        let (status, _, code, message) = post(served.address, path, &[], body).error();
        assert_eq!((status, &*code), (400, "invalid_json"), "{message}");
        assert!(message.contains(told), "{message}");
    }
    for (asked, meant) in [
        ("/v1/completions", "use POST /v1/chat/completions"),
        ("/chat/completions", "use /v1/chat/completions"),
        ("/v1/chat/completions/", "use /v1/chat/completions"),
    ] {
        let (status, _, code, message) = served.post(asked, &json!({})).error();
        assert_eq!((status, &*code), (404, "not_found"));
        assert!(message.ends_with(meant), "{message}");
    }
    let (status, param, ..) = served.get("/v1/models/%ff").error();
    assert_eq!((status, &*param), (400, "model"));
    let gzip = [("content-encoding", "gzip")];
    let (status, _, code, _) = post(served.address, path, &gzip, b"\x1f\x8b\x08").error();
    assert_eq!((status, &*code), (415, "unsupported_encoding"));
    let (status, _, code, message) = served.get(path).error();
    assert_eq!((status, &*code), (405, "method_not_allowed"), "{message}");
    let mut body = said("Hi", json!({}));
    body["model"] = json!("gpt-4o");
    let (status, param, code, message) = served.chat(&body).error();
    assert_eq!((status, &*param, &*code), (404, "model", "model_not_found"));
    assert!(message.contains("this server has tiny"), "{message}");
    let long = "tick ".repeat(8000);
    let (status, param, code, message) = served.chat(&said(&long, json!({}))).error();
    assert_eq!(
        (status, &*param, &*code),
        (400, "messages", "context_length_exceeded"),
        "{message}"
    );
}

#[test]
fn a_body_that_is_too_large_is_refused_and_the_next_is_read() {
    let served = Served::tiny();
    let body = vec![b' '; 10 << 20];
    let (status, _, code, message) = post(served.address, "/predict", &[], &body).error();
    assert_eq!((status, &*code), (413, "body_too_large"), "{message}");
    // in chunks, without a length
    let mut chunked = b"400000\r\n".to_vec();
    chunked.extend(vec![b' '; 0x400000]);
    chunked.extend(b"\r\n0\r\n\r\n");
    let head = "POST /predict HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n";
    assert_eq!(request(served.address, head, &chunked).status, 413);
    assert_eq!(served.chat(&said("Hi", json!({}))).status, 200);
}

#[test]
fn a_reply_that_takes_too_long_ends() {
    let slow = ServeConfig {
        timeout: Duration::from_millis(1),
        ..config()
    };
    let served = Served::of(vec![tiny_model()], slow);
    let body = said(
        "Hi",
        json!({"max_tokens": 4000, "temperature": 1, "tools": tools(), "tool_choice": "none"}),
    );
    let (status, _, code, _) = served.chat(&body).error();
    assert_eq!((status, &*code), (504, "timeout"));
    assert_eq!(served.metric("toolcall_running"), 0);
}

#[test]
fn a_key_is_asked_for_and_needed_off_this_host() {
    let open = ServeConfig {
        address: "0.0.0.0:0".parse().unwrap(),
        ..config()
    };
    let refused = Server::start(vec![tiny_model()], open.clone())
        .unwrap_err()
        .to_string();
    assert!(refused.contains("--api-key"), "{refused}");
    let locked = ServeConfig {
        api_key: Some("s3cret".to_string()),
        ..open
    };
    assert!(!format!("{locked:?}").contains("s3cret"));
    let mut served = Served::of(vec![tiny_model()], locked);
    served.address.set_ip("127.0.0.1".parse().unwrap());
    let body = said("Hi", json!({"max_tokens": 3})).to_string();
    let ask =
        |headers: &[(&str, &str)]| post(served.address, "/v1/chat/completions", headers, body.as_bytes());
    for wrong in [
        &[][..],
        &[("authorization", "Bearer s3cre")],
        &[("authorization", "s3cret")],
        &[("authorization", "Bearer ")],
    ] {
        let (status, _, code, _) = ask(wrong).error();
        assert_eq!((status, &*code), (401, "invalid_api_key"), "{wrong:?}");
        assert_eq!(ask(wrong).json()["error"]["type"], "invalid_request_error");
    }
    assert_eq!(ask(&[("authorization", "Bearer s3cret")]).status, 200);
    assert_eq!(
        ask(&[("authorization", "bearer s3cret"), ("host", "example.com")]).status,
        200
    );
    assert_eq!(
        (served.get("/health").status, served.get("/metrics").status),
        (200, 401)
    );
    let listed = served.get("/openapi.json");
    assert_eq!(listed.status, 200, "errors refer to it");
}

/// A browser asks first, without the key, whether a page may send its request.
#[test]
fn pages_of_others_may_ask_with_the_key() {
    let locked = ServeConfig {
        api_key: Some("s3cret".to_string()),
        ..config()
    };
    let served = Served::of(vec![tiny_model()], locked);
    let preflight = options(served.address, "https://chat.example");
    assert_eq!((preflight.status, &*preflight.text), (204, ""));
    assert_eq!(preflight.header("access-control-allow-origin"), Some("*"));
    assert_eq!(
        preflight.header("access-control-allow-methods"),
        Some("GET, POST")
    );
    let allowed = preflight.header("access-control-allow-headers").unwrap();
    assert_eq!(allowed, "authorization,content-type,x-stainless-lang");
    let body = said("Hi", json!({"max_tokens": 3})).to_string();
    for (key, status) in [("Bearer s3cret", 200), ("Bearer wrong", 401)] {
        let headers = [("authorization", key), ("origin", "https://chat.example")];
        let answer = post(served.address, "/v1/chat/completions", &headers, body.as_bytes());
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
        assert_eq!(answer.header("access-control-allow-credentials"), None);
        let exposed = answer.header("access-control-expose-headers").unwrap();
        assert!(exposed.contains("x-request-id"), "{exposed}");
    }
    // without a key, pages of other sites are refused
    let open = Served::tiny();
    let preflight = options(open.address, "https://chat.example");
    assert_eq!(preflight.status, 403);
    assert_eq!(preflight.header("access-control-allow-origin"), None);
}

fn options(address: SocketAddr, origin: &str) -> Answer {
    let head = format!(
        "OPTIONS /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
        origin: {origin}\r\naccess-control-request-method: POST\r\n\
        access-control-request-headers: authorization,content-type,x-stainless-lang\r\n\r\n"
    );
    request(address, &head, b"")
}

/// A page of this host on another port can read what it asks for, as Open WebUI does.
#[test]
fn pages_of_this_host_may_ask_without_a_key() {
    let served = Served::tiny();
    let origin = "http://localhost:3000";
    let preflight = options(served.address, origin);
    assert_eq!((preflight.status, &*preflight.text), (204, ""));
    let body = said("Hi", json!({"max_tokens": 3})).to_string();
    let headers = [("origin", origin), ("host", "127.0.0.1:8080")];
    let answer = post(served.address, "/v1/chat/completions", &headers, body.as_bytes());
    assert_eq!(answer.status, 200);
    let refused = post(served.address, "/v1/chat/completions", &headers, b"[]");
    assert_eq!(refused.status, 400);
    for answer in [preflight, answer, refused] {
        assert_eq!(answer.header("access-control-allow-origin"), Some(origin));
        let varies = answer
            .headers
            .iter()
            .any(|(name, value)| name == "vary" && value == "origin");
        assert!(varies, "{answer:?}");
    }
}

#[test]
fn each_answer_has_an_id_of_its_own() {
    let served = Served::tiny();
    let id = |path: &str| served.get(path).header("x-request-id").unwrap().to_string();
    assert!(id("/health").starts_with("req_"));
    assert_ne!(id("/no/such/path"), id("/no/such/path"));
}

/// The browser on the server's machine shows pages of other sites, which can send requests too.
#[test]
fn pages_of_others_are_refused_without_a_key() {
    let served = Served::tiny();
    let body = said("Hi", json!({"max_tokens": 3})).to_string();
    for (header, told) in [
        (
            ("host", "host.docker.internal:8080"),
            "from other hosts or containers",
        ),
        (("origin", "https://evil.example"), "from other pages"),
        (("origin", "null"), "from other pages"),
    ] {
        let answer = post(served.address, "/v1/chat/completions", &[header], body.as_bytes());
        assert_eq!(answer.header("access-control-allow-origin"), None);
        let (status, .., message) = answer.error();
        assert!(status == 403 && message.ends_with(told), "{header:?}: {message}");
    }
    let head = head("/v1/chat/completions", &[("host", "[::1]:8080")], body.len());
    assert_eq!(request(served.address, &head, body.as_bytes()).status, 200);
}

#[test]
fn errors_are_values_that_clients_read() {
    let served = Served::tiny();
    let error = served.chat(&json!({})).json();
    let keys: Vec<&String> = error["error"].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["message", "type", "param", "code"]);
    assert_eq!(error["error"]["type"], "invalid_request_error");
    assert_ne!(error["error"]["message"], Value::Null);
}
