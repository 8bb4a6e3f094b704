//! Replies: words, calls, streams, and answers that fit a schema.

use super::client::{Answer, Served, config, said, tools};
use crate::cases::templates::{STYLES, style};
use crate::common::tiny_model::tiny_model;
use serde_json::{Value, json};
use toolcall_lib::serve::ServeConfig;
use toolcall_lib::template::ChatTemplate;
use toolcall_lib::tool::ToolSchema;
use toolcall_lib::{GenerateConfig, Message, generate};

fn arguments(call: &Value) -> Value {
    assert_eq!(call["type"], "function");
    assert!(call["id"].as_str().unwrap().len() > 8, "{call}");
    serde_json::from_str(call["function"]["arguments"].as_str().unwrap()).unwrap()
}

/// Checks calls against `tools()`.
fn assert_fit(calls: &Value) {
    for call in calls.as_array().unwrap() {
        let tools = tools();
        let mut tools = tools.as_array().unwrap().iter();
        let tool = tools.find(|tool| tool["function"]["name"] == call["function"]["name"]);
        let schema = ToolSchema::new(tool.unwrap().clone()).unwrap();
        assert_eq!(schema.check(arguments(call).as_object().unwrap()), [], "{call}");
    }
}

#[test]
fn words_are_those_of_generate() {
    let served = Served::tiny();
    let seeded = || said("Set a timer.", json!({"temperature": 1, "seed": 5}));
    let answer = served.chat(&seeded());
    let whole = answer.json();
    assert_eq!(whole["object"], "chat.completion");
    assert_eq!(whole["model"], "tiny");
    let config = GenerateConfig {
        max_new_tokens: 60,
        temperature: 1.0,
        seed: 5,
        ..GenerateConfig::default()
    };
    let model = tiny_model();
    let alone = generate(&model, &[Message::user("Set a timer.")], &[], &config).unwrap();
    assert_eq!(answer.message()["content"].as_str().unwrap(), alone.text.trim());
    assert_eq!(answer.message()["role"], "assistant");
    assert_eq!(answer.message().get("tool_calls"), None);
    assert_eq!(whole["usage"]["completion_tokens"], alone.ids.len());
    assert_eq!(
        whole["choices"][0]["finish_reason"],
        if alone.finished { "stop" } else { "length" }
    );
    assert!(!alone.text.trim().is_empty());
    let again = served.chat(&seeded());
    assert_eq!(again.message(), answer.message());
    assert!(again.json()["usage"]["prompt_tokens_details"]["cached_tokens"].as_u64() > Some(10));
}

#[test]
fn each_tool_choice_is_held_to() {
    let served = Served::tiny();
    for seed in 0..5 {
        let ask = |choice: Value| {
            let more = json!({"tools": tools(), "tool_choice": choice, "temperature": 1, "seed": seed, "max_tokens": 400});
            served.chat(&said("Set a timer.", more))
        };
        let required = ask(json!("required"));
        assert_fit(&required.message()["tool_calls"]);
        assert_eq!(required.message()["content"], Value::Null);
        assert_eq!(required.json()["choices"][0]["finish_reason"], "tool_calls");
        let named = ask(json!({"type": "function", "function": {"name": "play_music"}}));
        let calls = named.message()["tool_calls"].clone();
        assert_fit(&calls);
        assert_eq!(calls.as_array().unwrap().len(), 1);
        assert_eq!(calls[0]["function"]["name"], "play_music");
        assert!(
            calls[0]["confidence"]
                .as_f64()
                .is_some_and(|sure| (0.0..=1.0).contains(&sure))
        );
        assert_eq!(ask(json!("none")).message().get("tool_calls"), None);
        assert!(ask(json!("auto")).message()["content"].is_string(), "noise");
    }
}

#[test]
fn only_allowed_tools_are_called() {
    let served = Served::tiny();
    let allowed = |mode: &str| {
        json!({"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": [
            {"type": "function", "function": {"name": "play_music"}}]}})
    };
    let ask = |choice: Value, seed: usize| {
        let more = json!({"tools": tools(), "tool_choice": choice, "temperature": 1, "seed": seed,
            "max_tokens": 400});
        served.chat(&said("Set a timer.", more))
    };
    for seed in 0..6 {
        let answer = ask(allowed("required"), seed);
        let calls = answer.message()["tool_calls"].clone();
        assert_fit(&calls);
        for call in calls.as_array().unwrap() {
            assert_eq!(call["function"]["name"], "play_music");
        }
        let all = ask(json!("required"), seed).json()["usage"]["prompt_tokens"].clone();
        assert_eq!(
            answer.json()["usage"]["prompt_tokens"],
            all,
            "the model is shown all"
        );
    }
    assert!(ask(allowed("auto"), 0).message()["content"].is_string(), "noise");
}

/// Stop sequences apply to text, not to calls.
#[test]
fn a_stop_sequence_cuts_no_call() {
    let served = Served::tiny();
    for seed in 0..3 {
        let more = json!({"tools": tools(), "tool_choice": "required", "stop": ["\n", "name", "{", "_"],
            "temperature": 1, "seed": seed, "max_tokens": 400});
        let answer = served.chat(&said("Set a timer.", more));
        assert_fit(&answer.message()["tool_calls"]);
        assert_eq!(answer.json()["choices"][0]["finish_reason"], "tool_calls");
    }
}

/// Messages may contain the tags of templates; the model reads them as the user sent them.
#[test]
fn the_model_reads_texts_as_they_were_sent() {
    let served = Served::tiny();
    let model = tiny_model();
    let listed = "# Tools\n\n<tools>[{\"name\": \"f\", \"parameters\": {}}]</tools>";
    let messages = [
        Message::system(listed),
        Message::user("<tool_response>x</tool_response>"),
        Message::assistant("<tool_call>{\"name\": \"f\""),
        Message::user("Go on."),
    ];
    let prompt = model.template.render_prompt(&messages, &[]).unwrap();
    let tokens = model.tokenizer.encode(&prompt).unwrap().len();
    let body = json!({"messages": messages, "max_tokens": 3});
    let answer = served.chat(&body);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json()["usage"]["prompt_tokens"], tokens);
}

#[test]
fn several_calls_come_unless_one_is_asked_for() {
    let served = Served::tiny();
    let most = |parallel: bool| {
        let of_seed = |seed: u64| {
            let more = json!({"tools": tools(), "tool_choice": "required", "parallel_tool_calls": parallel,
                "temperature": 1, "seed": seed, "max_tokens": 600});
            let calls = served.chat(&said("Go.", more)).message()["tool_calls"].clone();
            assert_fit(&calls);
            let calls = calls.as_array().unwrap().clone();
            let mut ids: Vec<&str> = calls.iter().map(|call| call["id"].as_str().unwrap()).collect();
            ids.sort_unstable();
            ids.dedup();
            assert_eq!(ids.len(), calls.len(), "each call has its own id");
            calls.len()
        };
        (0..12).map(of_seed).max().unwrap()
    };
    assert_eq!(most(false), 1);
    assert!(most(true) > 1);
}

/// Joins the pieces of a stream as OpenAI's client does.
fn joined(pieces: &[Value]) -> Value {
    let mut message = json!({"role": "assistant", "content": null, "refusal": null});
    for piece in pieces {
        assert_eq!(piece["object"], "chat.completion.chunk");
        assert_eq!(piece["id"], pieces[0]["id"]);
        let delta = &piece["choices"][0]["delta"];
        for field in ["content", "reasoning_content"] {
            if let Some(text) = delta[field].as_str().filter(|text| !text.is_empty()) {
                let before = message[field].as_str().unwrap_or_default().to_string();
                message[field] = json!(before + text);
            }
        }
        for call in delta["tool_calls"].as_array().into_iter().flatten() {
            let mut call = call.clone();
            let index = call.as_object_mut().unwrap().remove("index").unwrap();
            if message.get("tool_calls").is_none() {
                message["tool_calls"] = json!([]);
            }
            assert_eq!(index, message["tool_calls"].as_array().unwrap().len());
            message["tool_calls"].as_array_mut().unwrap().push(call);
        }
    }
    if message["content"].is_null() && message.get("tool_calls").is_none() {
        message["content"] = json!("");
    }
    message
}

/// Removes the ids of calls, which are random, and their confidences, whose last digits depend on
/// other requests.
fn without_ids(mut message: Value) -> Value {
    for call in message
        .get_mut("tool_calls")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        let call = call.as_object_mut().unwrap();
        call.remove("id").unwrap();
        call.remove("confidence").unwrap();
    }
    message
}

/// Models write calls in many ways; clients get them in one form.
#[test]
fn calls_of_every_syntax_are_told() {
    let mut finished = 0;
    for name in STYLES {
        let mut model = tiny_model();
        model.template = style(name);
        let served = Served::of(vec![model], config());
        for seed in 0..6 {
            let choice = ["required", "auto"][seed % 2];
            let mut more = json!({"tools": tools(), "tool_choice": choice, "temperature": 1, "seed": seed, "max_tokens": 300});
            let whole = served.chat(&said("Go.", more.clone())).json()["choices"][0].clone();
            more["stream"] = json!(true);
            let pieces = served.chat(&said("Go.", more)).pieces();
            let message = whole["message"].clone();
            assert_eq!(
                without_ids(joined(&pieces)),
                without_ids(message.clone()),
                "{name}"
            );
            if whole["finish_reason"] == "tool_calls" {
                assert_fit(&message["tool_calls"]);
                assert!(
                    choice == "auto" || message["content"].is_null(),
                    "{name}: {message}"
                );
                finished += 1;
            }
        }
    }
    assert!(finished >= STYLES.len(), "{finished}");
}

/// The prompt was computed earlier in another batch: the last digits differ.
fn assert_same_tokens(told: &[Value], whole: &[Value]) {
    assert_eq!(told.len(), whole.len());
    for (a, b) in told.iter().zip(whole) {
        assert_eq!((&a["token"], &a["bytes"]), (&b["token"], &b["bytes"]));
        let (a, b) = (a["logprob"].as_f64().unwrap(), b["logprob"].as_f64().unwrap());
        assert!((a - b).abs() < 1e-4, "{a} {b}");
    }
}

#[test]
fn a_stream_says_what_a_whole_reply_says() {
    let served = Served::tiny();
    let (mut calls, mut words, mut cut) = (0, 0, 0);
    for seed in 0..24 {
        let choice = ["auto", "required", "none"][seed % 3];
        let mut more = json!({"tools": tools(), "tool_choice": choice, "temperature": 1.2, "seed": seed, "max_tokens": 30 + 20 * seed});
        if seed % 4 == 0 {
            more["stop"] = json!(["e", "the end"]);
        }
        if seed % 2 == 0 {
            more["logprobs"] = json!(true);
            more["top_logprobs"] = json!(2);
        }
        let whole = served.chat(&said("Go.", more.clone())).json();
        more["stream"] = json!(true);
        more["stream_options"] = json!({"include_usage": true});
        let pieces = served.chat(&said("Go.", more)).pieces();
        let (usage, pieces) = pieces.split_last().unwrap();
        assert!(
            pieces
                .iter()
                .all(|piece| piece.get("usage") == Some(&Value::Null))
        );
        assert_eq!(usage["choices"], json!([]));
        assert_eq!(
            usage["usage"]["completion_tokens"],
            whole["usage"]["completion_tokens"]
        );
        let choice = &whole["choices"][0];
        assert_eq!(
            without_ids(joined(pieces)),
            without_ids(choice["message"].clone())
        );
        let last = &pieces.last().unwrap()["choices"][0];
        assert_eq!(last["finish_reason"], choice["finish_reason"]);
        if seed % 2 == 0 {
            let told = pieces.iter().flat_map(|piece| {
                piece["choices"][0]["logprobs"]["content"]
                    .as_array()
                    .cloned()
                    .unwrap_or_default()
            });
            let told: Vec<Value> = told.collect();
            assert_same_tokens(&told, choice["logprobs"]["content"].as_array().unwrap());
        }
        calls += choice["message"]["tool_calls"].as_array().map_or(0, Vec::len);
        words += usize::from(
            choice["message"]["content"]
                .as_str()
                .is_some_and(|text| !text.is_empty()),
        );
        cut += usize::from(choice["finish_reason"] == "length");
    }
    assert!(calls > 5 && words > 5 && cut > 1, "{calls} {words} {cut}");
}

#[test]
fn an_answer_fits_the_schema_that_is_asked_for() {
    let served = Served::tiny();
    let schema = json!({
        "type": "object",
        "properties": {"city": {"enum": ["Ulm", "Bonn"]}, "days": {"type": "integer", "minimum": 1, "maximum": 9}},
        "required": ["city", "days"],
        "additionalProperties": false,
    });
    let format =
        json!({"type": "json_schema", "json_schema": {"name": "trip", "strict": true, "schema": schema}});
    for seed in 0..6 {
        let mut more = json!({"response_format": format, "temperature": 1, "seed": seed, "max_tokens": 200});
        if seed % 2 == 1 {
            more["tools"] = tools(); // the model may call, or answer
        }
        let answer = served.chat(&said("Where to?", more));
        let message = answer.message();
        assert_eq!(
            answer.json()["choices"][0]["finish_reason"],
            if message["content"].is_null() {
                "tool_calls"
            } else {
                "stop"
            }
        );
        let Some(text) = message["content"].as_str() else {
            assert_fit(&message["tool_calls"]);
            continue;
        };
        let trip: Value = serde_json::from_str(text).unwrap();
        assert!(
            ["Ulm", "Bonn"].contains(&trip["city"].as_str().unwrap()),
            "{trip}"
        );
        assert!((1..=9).contains(&trip["days"].as_i64().unwrap()), "{trip}");
    }
    let more = json!({"response_format": {"type": "json_object"}, "max_tokens": 1000, "temperature": 1, "seed": 1,
               "verbosity": "medium", "functions": [], "function_call": "none"});
    let answer = served.chat(&said("Go.", more));
    if answer.json()["choices"][0]["finish_reason"] == "stop" {
        let text = answer.message()["content"].as_str().unwrap().to_string();
        assert!(serde_json::from_str::<Value>(&text).unwrap().is_object());
    }
}

#[test]
fn a_stop_sequence_ends_the_reply_before_it() {
    let served = Served::tiny();
    let ask = |more: Value| {
        let mut seeded = json!({"temperature": 1, "seed": 5});
        seeded
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().cloned().unwrap());
        served.chat(&said("Set a timer.", seeded))
    };
    let whole = ask(json!({}));
    let all = whole.message()["content"].as_str().unwrap().to_string();
    let stop: String = all.chars().skip(10).take(3).collect();
    let cut = ask(json!({"stop": [stop, "never written"]}));
    let expected = all.split(&stop).next().unwrap().trim_end().to_string();
    assert_eq!(cut.message()["content"], expected);
    assert_eq!(cut.json()["choices"][0]["finish_reason"], "stop");
    // it is as complete as one that the model has ended
    served.wait_for("toolcall_replies_total", 2);
    assert_eq!(served.metric("toolcall_cancelled_total"), 0);
    let written = |answer: &Answer| answer.json()["usage"]["completion_tokens"].as_u64().unwrap();
    let counted = served.metric("toolcall_completion_tokens_total");
    assert!(counted >= written(&whole) + written(&cut), "{counted}");
}

/// The bytes of tokens in `logprobs`.
fn bytes_of<'a>(tokens: impl IntoIterator<Item = &'a Value>) -> Vec<u8> {
    let tokens = tokens.into_iter();
    let bytes = tokens.flat_map(|token| token["bytes"].as_array().unwrap());
    bytes.map(|byte| byte.as_u64().unwrap() as u8).collect()
}

#[test]
fn tokens_behind_a_stop_sequence_are_not_told() {
    let served = Served::tiny();
    let ask = |stop: Value| {
        let more = json!({"temperature": 1, "seed": 5, "logprobs": true, "stop": stop, "max_tokens": 300});
        served.chat(&said("Set a timer.", more)).json()["choices"][0].clone()
    };
    let all = ask(Value::Null);
    let all = all["logprobs"]["content"].as_array().unwrap();
    // the text of two tokens after a third; each is a character of its own
    let plain = |token: &&[Value]| bytes_of(*token).iter().all(u8::is_ascii_alphanumeric);
    let stop = all.windows(3).find(plain).unwrap();
    let stop = String::from_utf8(bytes_of(&stop[1..])).unwrap();
    let cut = ask(json!([stop]));
    let cut = cut["logprobs"]["content"].as_array().unwrap();
    let place = String::from_utf8_lossy(&bytes_of(all)).find(&stop).unwrap();
    let (last, before) = cut.split_last().unwrap();
    let ends = String::from_utf8_lossy(&bytes_of(before)).len();
    assert!(ends < place, "{ends} {place}: {last} begins after {stop:?}");
    assert!(String::from_utf8_lossy(&bytes_of(cut)).len() >= place);
}

#[test]
fn the_smallest_set_of_tokens_is_the_likeliest_one() {
    let served = Served::tiny();
    let ask = |more: Value| served.chat(&said("Go.", more)).message();
    let greedy = ask(json!({"temperature": 0}));
    assert_eq!(ask(json!({"temperature": 2, "top_p": 0, "seed": 3})), greedy);
}

#[test]
fn seeds_repeat_a_reply_and_logprobs_are_told() {
    let served = Served::tiny();
    let ask = |seed: Value| {
        let more = json!({"temperature": 1.5, "seed": seed, "logprobs": true, "top_logprobs": 3});
        served.chat(&said("Go.", more)).json()["choices"][0].clone()
    };
    assert_eq!(ask(json!(7)), ask(json!(7)));
    assert_ne!(ask(json!(7))["message"], ask(json!(-8))["message"]);
    assert_ne!(
        ask(Value::Null)["message"],
        ask(Value::Null)["message"],
        "without a seed, each is another"
    );
    let choice = ask(json!(7));
    let tokens = choice["logprobs"]["content"].as_array().unwrap().clone();
    let content = choice["message"]["content"].as_str().unwrap();
    let text = String::from_utf8_lossy(&bytes_of(&tokens)).into_owned();
    assert_eq!(
        text.trim(),
        content,
        "also where a character takes several tokens"
    );
    let whole = |token: &Value| token["token"] == *String::from_utf8_lossy(&bytes_of([token]));
    let parts: Vec<&Value> = tokens.iter().filter(|token| !whole(token)).collect();
    assert!(
        !parts.is_empty()
            && parts
                .iter()
                .all(|part| part["token"].as_str().unwrap().starts_with("\\x"))
    );
    let alternatives = tokens
        .iter()
        .flat_map(|token| token["top_logprobs"].as_array().unwrap());
    let alternatives = bytes_of(alternatives);
    assert!(String::from_utf8_lossy(&alternatives).contains('\u{fffd}'));
    assert!(
        !alternatives
            .windows(3)
            .any(|bytes| bytes == "\u{fffd}".as_bytes())
    );
    for token in &tokens {
        let top: Vec<f64> = token["top_logprobs"]
            .as_array()
            .unwrap()
            .iter()
            .map(|top| top["logprob"].as_f64().unwrap())
            .collect();
        assert_eq!(top.len(), 3);
        assert!(
            top.is_sorted_by(|a, b| a >= b) && top[0] >= token["logprob"].as_f64().unwrap() - 1e-6,
            "{token}"
        );
    }
}

/// The official client sends back the assistant's message with all its fields, and the answer of a
/// tool with its id.
#[test]
fn a_conversation_goes_on_behind_a_call() {
    let served = Served::tiny();
    let more = json!({"tools": tools(), "tool_choice": {"type": "function", "function": {"name": "start_timer"}}, "max_tokens": 200});
    let mut message = served.chat(&said("Set a timer.", more)).message();
    for field in ["audio", "function_call", "annotations"] {
        message[field] = Value::Null;
    }
    let id = message["tool_calls"][0]["id"].clone();
    let body = json!({"model": "tiny", "tools": tools(), "max_tokens": 20, "messages": [
        {"role": "developer", "content": "Be short."},
        {"role": "user", "content": [{"type": "text", "text": "Set a timer."}]},
        message,
        {"role": "tool", "tool_call_id": id, "content": "done"},
    ]});
    assert_eq!(served.chat(&body).status, 200, "{:?}", served.chat(&body));
}

#[test]
fn a_prediction_has_calls_content_and_confidence() {
    let mut model = tiny_model();
    let tool = |tool: &Value| ToolSchema::new(tool["function"].clone()).unwrap();
    model.tools = tools().as_array().unwrap().iter().map(tool).collect();
    let served = Served::of(vec![model], config());
    let predicted = served.post("/predict", &json!({"text": "Set a timer."})).json();
    assert!(
        predicted["calls"].is_array() && predicted["content"].is_string(),
        "{predicted}"
    );
    let (status, param, ..) = served.post("/predict", &json!({"text": " "})).error();
    assert_eq!((status, &*param), (400, "text"));
    let offered = served.get("/tools").json();
    assert_eq!(offered["tiny"].as_array().unwrap().len(), 2);
}

#[test]
fn a_list_without_tools_offers_none() {
    let mut model = tiny_model();
    model.tools = vec![ToolSchema::new(tools()[0].clone()).unwrap()];
    let none = ServeConfig {
        tools: Some(Vec::new()),
        ..config()
    };
    let served = Served::of(vec![model], none);
    assert_eq!(served.get("/tools").json(), json!({"tiny": []}));
}

/// Templates that read the names of speakers get them.
#[test]
fn the_template_is_given_the_names_of_speakers() {
    let mut model = tiny_model();
    let source = format!(
        "{{{{ raise_exception(messages[0].name) }}}}{}",
        model.template.source()
    );
    model.template = ChatTemplate::new(&source, &model.tokenizer.config).unwrap();
    let served = Served::of(vec![model], config());
    let body = json!({"messages": [{"role": "user", "name": "Ann", "content": "Hi"}]});
    let (status, .., message) = served.chat(&body).error();
    assert!(status == 400 && message.contains("Ann"), "{message}");
}

#[test]
fn models_are_listed_and_asked_by_name() {
    let mut other = tiny_model();
    other.origin = "out/other".to_string();
    let weights = other.decoder.trainable_mut().unwrap();
    weights
        .buckets
        .iter_mut()
        .flatten()
        .for_each(|weight| *weight *= 0.5);
    let served = Served::of(vec![tiny_model(), other], config());
    let listed = served.get("/v1/models").json();
    let ids: Vec<&str> = listed["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| model["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, ["tiny", "other"]);
    assert_eq!(served.get("/v1/models/other").json()["id"], "other");
    assert!(
        listed["data"][0]["created"].as_u64() > Some(1_700_000_000),
        "{listed}"
    );
    assert_eq!(served.get("/v1/models/third").status, 404);
    let mut body = said("Set a timer.", json!({"temperature": 1, "seed": 5}));
    let tiny = served.chat(&body).message();
    body["model"] = json!("other");
    assert_ne!(served.chat(&body).message(), tiny);
    body.as_object_mut().unwrap().remove("model");
    assert_eq!(served.chat(&body).message(), tiny, "the first, if none is named");
    let same = ServeConfig { ..config() };
    let refused = toolcall_lib::serve::Server::start(vec![tiny_model(), tiny_model()], same).unwrap_err();
    assert!(
        refused.to_string().contains("two models are called `tiny`"),
        "{refused}"
    );
}

#[test]
fn pages_and_figures_are_there() {
    let served = Served::tiny();
    assert_eq!(served.get("/health").json()["status"], "ok");
    let page = served.get("/");
    assert!(page.header("content-type").unwrap().starts_with("text/html") && page.text.contains("<html"));
    for word in ["http://", "https://", "src=", "@import"] {
        assert!(
            !page.text.contains(word),
            "the page fetches nothing, but has {word}"
        );
    }
    let paths = served.get("/openapi.json").json()["paths"].clone();
    for path in [
        "/v1/chat/completions",
        "/v1/models",
        "/predict",
        "/health",
        "/metrics",
    ] {
        assert!(paths[path].is_object(), "{path}");
    }
    for (path, method, statuses) in [
        (
            "/v1/chat/completions",
            "post",
            &["400", "401", "403", "408", "413", "415", "500"][..],
        ),
        ("/v1/models", "get", &["401", "403"]),
    ] {
        for status in statuses {
            assert!(
                paths[path][method]["responses"][status].is_object(),
                "{path} {status}"
            );
        }
    }
    served.chat(&said("Go.", json!({})));
    assert_eq!(served.metric("toolcall_replies_total"), 1);
    assert!(served.metric("toolcall_completion_tokens_total") > 0);
    let text = served.get("/metrics").text;
    assert!(
        text.contains("toolcall_requests_total{path=\"/v1/chat/completions\",status=\"200\"} 1"),
        "{text}"
    );
    assert!(text.contains("toolcall_first_token_seconds_count 1"));
}
