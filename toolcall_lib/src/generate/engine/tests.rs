//! Replies of the GPU engine, compared with the CPU's.

use super::*;
use crate::conversation::Message;
use crate::cuda::testing::{assert_near, driver};
use crate::generate::{GenerateConfig, Generation, PrefixCache, RowPrompt, ToolChoice, generate_rows};
use crate::reply;
use crate::tiny_model::tiny_model;
use crate::tool::ToolSchema;
use crate::weights::Parameters;
use serde_json::{Map, json};

const BYTES: usize = 16 << 20;

/// Makes a model with heads as wide as a GPU takes them, and weights so large that the output
/// depends on the prompt.
fn model() -> Model {
    let mut model = tiny_model();
    let mut config = model.decoder.config.clone();
    config.head_dim = 64;
    let mut parameters = Parameters::random(&config, 7);
    let weights = parameters.buckets.iter_mut().flatten();
    weights
        .filter(|weight| **weight != 1.0)
        .for_each(|weight| *weight *= 8.0);
    model.decoder = Decoder::new(config, parameters).unwrap();
    model
}

fn tools() -> Vec<ToolSchema> {
    let parameters =
        json!({"type": "object", "properties": {"x": {"enum": ["one", "two"]}}, "required": ["x"]});
    let tool = |name: &str| json!({"name": name, "description": "Does it.", "parameters": parameters});
    ["start", "stop"]
        .map(|name| ToolSchema::new(tool(name)).unwrap())
        .to_vec()
}

fn on_device(model: &Model) -> PrefixCache {
    let mut cache = PrefixCache::with_bytes(BYTES);
    cache.engine = Some(Engine::on_driver(driver(), model, BYTES).unwrap());
    cache
}

fn replies(model: &Model, config: &GenerateConfig, cache: &mut PrefixCache) -> Vec<Generation> {
    let said = ["Start it.", "Stop it.", "Start it, please."].map(|said| [Message::user(said)]);
    let tools = tools();
    let nothing = Map::new();
    let prompts: Vec<RowPrompt<'_>> = said
        .iter()
        .map(|messages| ((&messages[..], &tools[..]), &nothing))
        .collect();
    generate_rows(model, &prompts, config, cache, || {}).unwrap()
}

fn is_on_gpu(cache: &PrefixCache) -> bool {
    let engine = cache.engine.as_ref().unwrap();
    matches!(engine.runs_on, RunsOn::Gpu(_))
}

#[test]
fn free_and_constrained_replies_are_those_of_the_cpu() {
    let model = model();
    let mut on_gpu = on_device(&model);
    let mut on_cpu = PrefixCache::with_bytes(BYTES);
    for (constrained, tool_choice) in [
        (false, ToolChoice::Auto),
        (true, ToolChoice::Auto),
        (true, ToolChoice::Required),
    ] {
        let config = GenerateConfig {
            max_new_tokens: 40,
            parallel_tool_calls: false,
            constrained,
            tool_choice: tool_choice.clone(),
            ..GenerateConfig::default()
        };
        let got = replies(&model, &config, &mut on_gpu);
        let cpu = GenerateConfig {
            device: Device::Cpu,
            ..config
        };
        let want = replies(&model, &cpu, &mut on_cpu);
        for (got, want) in got.iter().zip(&want) {
            assert_eq!((&got.text, &got.ids), (&want.text, &want.ids));
            assert_near(&got.logprobs, &want.logprobs, 1e-3, "log probabilities");
        }
        if tool_choice == ToolChoice::Required {
            let calls = |reply: &Generation| reply::parse(&reply.text).tool_calls.len();
            assert!(got.iter().all(|reply| calls(reply) > 0), "{got:?}");
        }
        assert!(is_on_gpu(&on_gpu) && !is_on_gpu(&on_cpu));
    }
}

#[test]
fn a_cache_begins_anew_when_the_weights_or_the_device_change() {
    let (mut model, config) = (model(), GenerateConfig::default());
    let mut cache = on_device(&model);
    let serves = |cache: &PrefixCache, model: &Model| {
        let engine = cache.engine.as_ref().unwrap();
        [Device::Auto, Device::Cpu, Device::Cuda].map(|device| engine.is_valid_for(model, device))
    };
    assert_eq!(serves(&cache, &model), [true, false, true]);
    let weights = model.decoder.trainable_mut().unwrap();
    let trained = weights.buckets.iter_mut().flatten();
    trained.for_each(|weight| *weight *= 1.5);
    assert_eq!(serves(&cache, &model), [false; 3]);

    let cpu = GenerateConfig {
        max_new_tokens: 10,
        device: Device::Cpu,
        ..config
    };
    let got = replies(&model, &cpu, &mut cache);
    assert_eq!(got, replies(&model, &cpu, &mut PrefixCache::with_bytes(BYTES)));
    assert_eq!(serves(&cache, &model), [true, true, false]);
    model.add_adapter(crate::LoraConfig::default(), 1).unwrap();
    assert_eq!(serves(&cache, &model), [false; 3]);
}
