//! Sharing does not change a reply: replies share prefixes, passes over the weights, and memory.

use crate::common::tiny_model::tiny_model;
use serde_json::json;
use std::collections::BTreeSet;
use toolcall_lib::generate::{Generator, PrefixCache, Prompt};
use toolcall_lib::{GenerateConfig, Message, Model, ToolSchema, generate};

/// Returns a hundred conversations about two lists of tools. Some are the same, some continue
/// others.
fn conversations() -> Vec<(Vec<Message>, Vec<ToolSchema>)> {
    let tool = |name: &str| {
        let parameters = json!({"type": "object", "properties": {"x": {"type": "integer"}}});
        ToolSchema::new(json!({"name": name, "description": "Does it.", "parameters": parameters})).unwrap()
    };
    (0..100)
        .map(|i| {
            let mut messages = vec![Message::user(format!("Set a timer for {} minutes.", i % 23))];
            if i % 5 == 0 {
                messages.push(Message::assistant("Timer set."));
                messages.push(Message::user(format!("And one for {i}?")));
            }
            (
                messages,
                vec![tool(["start_timer", "call_mom"][i % 2]), tool("play")],
            )
        })
        .collect()
}

fn prompts(conversations: &[(Vec<Message>, Vec<ToolSchema>)]) -> Vec<Prompt<'_>> {
    conversations
        .iter()
        .map(|(messages, tools)| (&messages[..], &tools[..]))
        .collect()
}

fn short() -> GenerateConfig {
    GenerateConfig {
        max_new_tokens: 24,
        ..GenerateConfig::default()
    }
}

/// Returns a model with weights so large that its words depend on what it has read.
fn lively_model() -> Model {
    let mut model = tiny_model();
    let weights = &mut model.decoder.trainable_mut().unwrap().buckets;
    let not_of_norms = weights.iter_mut().flatten().filter(|weight| **weight != 1.0);
    not_of_norms.for_each(|weight| *weight *= 8.0);
    model
}

#[test]
fn replies_are_the_same_with_any_cache_and_in_any_company() {
    let model = lively_model();
    let conversations = conversations();
    let prompts = prompts(&conversations);
    let alone: Vec<Vec<u32>> = prompts
        .iter()
        .map(|(messages, tools)| generate(&model, messages, tools, &short()).unwrap().ids)
        .collect();
    let different: BTreeSet<&Vec<u32>> = alone.iter().collect();
    assert!(different.len() > 20, "{} different replies", different.len());
    // The smallest cache does not even have room for one conversation.
    for bytes in [PrefixCache::BYTES, 1 << 20, 1 << 10] {
        let new = || Generator {
            cache: PrefixCache::with_bytes(bytes),
            ..Generator::new(&model, short())
        };
        let mut generator = new();
        for ((messages, tools), alone) in prompts.iter().zip(&alone) {
            let reply = generator.reply(messages, tools).unwrap();
            assert_eq!(reply.ids, *alone);
        }
        let mut generator = new();
        for together in [&prompts[..], &prompts[40..60]] {
            let replies = generator.replies(together).unwrap();
            let first = prompts.len() - together.len() - if together.len() == 20 { 40 } else { 0 };
            for (reply, alone) in replies.iter().zip(&alone[first..]) {
                assert_eq!(reply.ids, *alone);
            }
        }
    }
}

#[test]
fn samples_do_not_depend_on_their_company() {
    let model = tiny_model();
    let conversations = conversations();
    let prompts = &prompts(&conversations)[..50];
    let config = GenerateConfig {
        temperature: 1.0,
        ..short()
    };
    let together = Generator::new(&model, config.clone()).replies(prompts).unwrap();
    assert_ne!(together[0].ids, together[46].ids, "the same prompt, another seed");
    for (index, ((messages, tools), together)) in prompts.iter().zip(&together).enumerate() {
        let config = GenerateConfig {
            seed: config.seed + index as u64,
            ..config.clone()
        };
        assert_eq!(
            generate(&model, messages, tools, &config).unwrap().ids,
            together.ids
        );
    }
}
