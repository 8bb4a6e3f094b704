//! Calls that are constrained to the tools. The model has random weights: without the constraint it
//! never writes a call.

use crate::common::tiny_model::tiny_model;
use serde_json::{Value, json};
use std::collections::HashSet;
use toolcall_lib::generate::{Generator, ToolChoice};
use toolcall_lib::reply::{self, Reply};
use toolcall_lib::template::ChatTemplate;
use toolcall_lib::{GenerateConfig, Generation, Message, Model, Result, ToolSchema, generate};

fn tool(name: &str, properties: Value, required: &[&str]) -> ToolSchema {
    let parameters = json!({"type": "object", "properties": properties, "required": required});
    ToolSchema::new(json!({"name": name, "description": "Does it.", "parameters": parameters})).unwrap()
}

pub fn tools() -> Vec<ToolSchema> {
    vec![
        tool(
            "start_timer",
            json!({"duration": {"type": "integer", "minimum": 1, "maximum": 86400}}),
            &["duration"],
        ),
        tool(
            "play_music",
            json!({"mood": {"enum": ["calm", "loud"]}, "loop": {"type": "boolean"}}),
            &["mood"],
        ),
    ]
}

pub fn settings(tool_choice: ToolChoice) -> GenerateConfig {
    GenerateConfig {
        temperature: 1.0,
        max_new_tokens: 400,
        tool_choice,
        ..GenerateConfig::default()
    }
}

pub fn ask(model: &Model, config: &GenerateConfig) -> Result<Generation> {
    generate(model, &[Message::user("Set a timer.")], &tools(), config)
}

/// Returns the calls of a finished reply, each of which must fit its tool.
pub fn valid_calls(generation: &Generation, tools: &[ToolSchema]) -> Reply {
    let reply = reply::parse(&generation.text);
    assert!(!reply.malformed, "{:?}", generation.text);
    for call in &reply.tool_calls {
        let tool = tools
            .iter()
            .find(|tool| tool.name() == call.name)
            .expect("an unknown tool");
        assert_eq!(tool.check(&call.arguments), [], "{:?}", generation.text);
    }
    reply
}

#[test]
fn a_required_call_is_made_and_fits_its_tool() {
    let model = tiny_model();
    for seed in 0..20 {
        let config = GenerateConfig {
            seed,
            ..settings(ToolChoice::Required)
        };
        let generation = ask(&model, &config).unwrap();
        let reply = valid_calls(&generation, &tools());
        assert!(
            !reply.tool_calls.is_empty() && reply.content.is_empty(),
            "{:?}",
            generation.text
        );
    }
}

#[test]
fn a_named_tool_is_called_once() {
    let model = tiny_model();
    for seed in 0..10 {
        let config = GenerateConfig {
            seed,
            ..settings(ToolChoice::Function("play_music".to_string()))
        };
        let generation = ask(&model, &config).unwrap();
        let reply = valid_calls(&generation, &tools());
        assert!(generation.finished);
        assert_eq!(reply.tool_calls.len(), 1);
        assert_eq!(reply.tool_calls[0].name, "play_music");
    }
}

#[test]
fn one_call_is_the_most_unless_parallel_calls_are_allowed() {
    let model = tiny_model();
    let calls = |parallel_tool_calls| -> Vec<usize> {
        let config = |seed| GenerateConfig {
            seed,
            parallel_tool_calls,
            ..settings(ToolChoice::Required)
        };
        (0..20)
            .map(|seed| {
                valid_calls(&ask(&model, &config(seed)).unwrap(), &tools())
                    .tool_calls
                    .len()
            })
            .collect()
    };
    assert_eq!(calls(false), [1; 20]);
    assert!(calls(true).into_iter().any(|n| n > 1));
}

/// With one possible value, the second call always repeats the first.
#[test]
fn a_call_is_made_once() {
    let model = tiny_model();
    let asked = [Message::user("Mark it.")];
    let replies = |values: Value| -> Vec<usize> {
        let tools = [tool("mark", json!({"who": {"enum": values}}), &["who"])];
        let reply = |seed| {
            let config = GenerateConfig {
                seed,
                ..settings(ToolChoice::Required)
            };
            let mut said = String::new();
            let mut generator = Generator::new(&model, config);
            let reply = generator.stream(&asked, &tools, |piece| {
                said.push_str(piece);
                true
            });
            let reply = reply.unwrap();
            assert!(reply.finished);
            assert_eq!(said, reply.text);
            assert_eq!(model.tokenizer.decode(&reply.ids).unwrap(), reply.text);
            let calls = valid_calls(&reply, &tools).tool_calls;
            assert_eq!(calls.len(), reply.confidences.len());
            let distinct: HashSet<String> = calls.iter().map(ToString::to_string).collect();
            assert_eq!(distinct.len(), calls.len(), "{:?}", reply.text);
            calls.len()
        };
        (0..20).map(reply).collect()
    };
    assert_eq!(replies(json!(["me"])), [1; 20]);
    let two = replies(json!(["me", "you"]));
    assert!(two.iter().all(|&calls| calls <= 2) && two.contains(&2), "{two:?}");
}

/// With a bias towards the tag, a model that writes noise begins calls in the middle of it.
#[test]
fn text_that_begins_a_call_is_held_to_it() {
    let mut model = tiny_model();
    prefer(&mut model, "<tool_call>");
    let (mut called, mut broken) = (0, 0);
    for seed in 0..20 {
        let config = GenerateConfig {
            seed,
            max_new_tokens: 300,
            ..settings(ToolChoice::Auto)
        };
        let generation = ask(&model, &config).unwrap();
        if generation.finished {
            called += valid_calls(&generation, &tools()).tool_calls.len();
        }
        let free = GenerateConfig {
            constrained: false,
            ..config
        };
        broken += usize::from(reply::parse(&ask(&model, &free).unwrap().text).malformed);
    }
    assert!(called >= 5 && broken >= 5, "{called} {broken}");
}

#[test]
fn none_is_no_call() {
    let mut model = tiny_model();
    prefer(&mut model, "<tool_call>");
    for seed in 0..10 {
        let config = GenerateConfig {
            seed,
            ..settings(ToolChoice::None)
        };
        assert!(!reply::parse(&ask(&model, &config).unwrap().text).attempts_call());
    }
}

/// The other models write the tag in several tokens.
#[test]
fn the_tag_of_a_call_may_be_several_tokens() {
    let mut model = tiny_model();
    let mut inner: tokenizers::Tokenizer = model.tokenizer.to_json().unwrap().parse().unwrap();
    let json: Value = serde_json::from_str(&inner.to_string(false).unwrap()).unwrap();
    let mut json = json;
    let added = json["added_tokens"].as_array_mut().unwrap();
    added.retain(|token| token["special"] == true);
    inner = json.to_string().parse().unwrap();
    let eos = model.tokenizer.eos_token_ids.clone();
    model.tokenizer = toolcall_lib::tokens::Tokenizer::new(inner, eos);
    assert!(model.tokenizer.encode("<tool_call>").unwrap().len() > 1);
    for seed in 0..10 {
        let generation = ask(
            &model,
            &GenerateConfig {
                seed,
                ..settings(ToolChoice::Required)
            },
        )
        .unwrap();
        assert!(!valid_calls(&generation, &tools()).tool_calls.is_empty());
    }
}

#[test]
fn many_replies_are_as_each_alone() {
    let model = tiny_model();
    let messages = [
        "Set a timer.",
        "Play something.",
        "Remind me to call mom at 4 PM.",
    ]
    .map(|said| [Message::user(said)]);
    let tools = tools();
    let prompts: Vec<_> = messages
        .iter()
        .map(|messages| (&messages[..], &tools[..]))
        .collect();
    let config = settings(ToolChoice::Required);
    let many = Generator::new(&model, config.clone()).replies(&prompts).unwrap();
    for (index, (prompt, together)) in prompts.iter().zip(&many).enumerate() {
        let config = GenerateConfig {
            seed: config.seed + index as u64,
            ..config.clone()
        };
        let alone = generate(&model, prompt.0, prompt.1, &config).unwrap();
        assert_eq!((&alone.ids, alone.finished), (&together.ids, together.finished));
    }
}

/// A thought may come first if the template asks for one. The model or the prompt may begin it.
#[test]
fn calls_follow_a_thought() {
    for begun in [false, true] {
        let mut model = tiny_model();
        model.template.thinking = true;
        if begun {
            let source =
                model.template.source().to_string() + "{% if add_generation_prompt %}<think>\n{% endif %}";
            model.template = ChatTemplate::new(&source, &model.tokenizer.config).unwrap();
        }
        prefer(&mut model, "<think>");
        prefer(&mut model, "</think>");
        let mut thoughts = 0;
        for seed in 0..20 {
            let config = GenerateConfig {
                seed,
                parallel_tool_calls: false,
                ..settings(ToolChoice::Required)
            };
            let generation = ask(&model, &config).unwrap();
            if generation.finished {
                let reply = valid_calls(&generation, &tools());
                assert_eq!((reply.tool_calls.len(), reply.content), (1, String::new()));
                thoughts += usize::from(generation.text.contains("</think>\n\n<tool_call>"));
            }
        }
        assert!(thoughts >= 3, "{thoughts} {begun}");
    }
}

/// A forced token is not sampled. It has no uncertainty, and it is the token into which the
/// tokenizer encodes the text.
#[test]
fn forced_tokens_are_certain_and_canonical() {
    let model = tiny_model();
    let config = settings(ToolChoice::Function("start_timer".to_string()));
    let generation = ask(&model, &config).unwrap();
    let head = "<tool_call>\n{\"name\": \"start_timer\", \"arguments\": {\"duration\": ";
    assert!(generation.text.starts_with(head), "{:?}", generation.text);
    assert_eq!(generation.ids.len(), generation.logprobs.len());
    let ids = model.tokenizer.encode(head).unwrap();
    let shared = ids
        .iter()
        .zip(&generation.ids)
        .take_while(|(a, b)| a == b)
        .count();
    assert!(
        shared + 2 >= ids.len(),
        "the last tokens may depend on the number"
    );
    let certain = generation.logprobs[..shared]
        .iter()
        .filter(|logprob| **logprob == 0.0)
        .count();
    assert!(certain + 2 >= shared, "{:?}", generation.logprobs);
    assert!(generation.logprobs.iter().any(|logprob| *logprob < -0.1));
}

#[test]
fn a_call_that_is_cut_off_is_not_finished() {
    let model = tiny_model();
    let mut said = String::new();
    let config = GenerateConfig {
        max_new_tokens: 8,
        ..settings(ToolChoice::Required)
    };
    let messages = [Message::user("Set a timer.")];
    let generation = Generator::new(&model, config).stream(&messages, &tools(), |text| {
        said.push_str(text);
        true
    });
    let generation = generation.unwrap();
    assert!(!generation.finished && reply::parse(&generation.text).malformed);
    assert_eq!((generation.ids.len(), said), (8, generation.text));
}

/// A schema for answers does not forbid the calls of a model that is not constrained to its tools.
#[test]
fn a_json_schema_leaves_the_choice_between_answer_and_call() {
    let model = tiny_model();
    let (mut calls, mut answers) = (0, 0);
    for seed in 0..40 {
        let config = GenerateConfig {
            seed,
            constrained: false,
            parallel_tool_calls: false,
            json_schema: Some(json!({"type": "object", "properties": {"ok": {"type": "boolean"}}})),
            ..settings(ToolChoice::Auto)
        };
        let generation = ask(&model, &config).unwrap();
        let reply = valid_calls(&generation, &tools());
        match reply.tool_calls.is_empty() {
            true => answers += 1,
            false => calls += 1,
        }
    }
    assert!(calls > 0 && answers > 0, "{calls} {answers}");
}

#[test]
fn what_cannot_be_held_to_is_refused_before_anything_is_written() {
    let model = tiny_model();
    let refused = |parameters: Value, choice: ToolChoice| {
        let schema = json!({"name": "f", "description": "", "parameters": parameters});
        let tools = [ToolSchema::new(schema).unwrap()];
        generate(&model, &[Message::user("hi")], &tools, &settings(choice))
            .unwrap_err()
            .to_string()
    };
    let with = |schema: Value| json!({"type": "object", "properties": {"stops": {"type": "array", "items": schema}}});
    let error = refused(
        with(json!({"type": "string", "not": {"enum": ["x"]}})),
        ToolChoice::Auto,
    );
    let expected = "schema of tool `f`: argument `stops[]`: the keyword `not` is not supported; \
        constrained decoding cannot follow this schema; change it";
    assert_eq!(error, expected);
    let error = refused(
        with(json!({"type": "string", "pattern": "(?=x)y"})),
        ToolChoice::Auto,
    );
    assert!(
        error.starts_with("schema of tool `f`: argument `stops`: ") && error.contains("(?=x)y"),
        "{error}"
    );
    let error = refused(with(json!({})), ToolChoice::Function("g".to_string()));
    assert_eq!(
        error,
        "tool_choice: there is no tool `g`; the offered tools are f"
    );
    let none = generate(
        &model,
        &[Message::user("hi")],
        &[],
        &settings(ToolChoice::Required),
    )
    .unwrap_err();
    assert!(none.to_string().contains("no tool is offered"));
    let twice = [tools(), tools()].concat();
    let twice = generate(&model, &[Message::user("hi")], &twice, &GenerateConfig::default()).unwrap_err();
    assert!(
        twice
            .to_string()
            .starts_with("tools: two tools are called `start_timer`"),
        "{twice}"
    );
}

/// Makes `token` likely, or very unlikely, in many places: its row of the output projection is
/// longer than the others.
fn prefer(model: &mut Model, token: &str) {
    let id = model.tokenizer.token_id(token).unwrap() as usize;
    let hidden = model.decoder.config.hidden_size;
    let weights = model.decoder.trainable_mut().unwrap();
    let table = weights.get_mut("model.embed_tokens.weight").unwrap();
    table[id * hidden..][..hidden]
        .iter_mut()
        .for_each(|weight| *weight *= 8.0);
}
