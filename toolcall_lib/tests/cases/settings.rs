//! Errors name unknown settings, and values of the wrong type.

use crate::common::tiny_model::tiny_model;
use serde_json::{Value, json};
use toolcall_lib::{GenerateConfig, TrainConfig};

fn refused(file: Value) -> String {
    let read = TrainConfig::default().with_file(file.as_object().unwrap().clone(), 1);
    read.unwrap_err().to_string()
}

#[test]
fn an_unknown_key_of_a_deepspeed_file_is_named_whatever_its_value() {
    for (file, says) in [
        (
            json!({"train_batch_size": "auto", "lerning_rate": "auto"}),
            "lerning_rate: is not a known key",
        ),
        (
            json!({"optimizer": {"type": "AdamW", "params": {"learning_rate": "auto"}}}),
            "optimizer.params.learning_rate: is not",
        ),
        (
            json!({"zero_optimization": {"stage": 2, "offload_optimizer": {"devise": "cpu"}}}),
            "zero_optimization.offload_optimizer.devise: is not",
        ),
        (
            json!({"bf16": {"enabled": true}, "optimzer": {}}),
            "optimzer: is not a known key",
        ),
        (
            json!({"bf16": {"enable": "auto"}}),
            "bf16.enable: is not a known key",
        ),
        (
            json!({"lerning_rate": "auto"}),
            "lerning_rate: is not a setting; did you mean `learning_rate`?",
        ),
    ] {
        let error = refused(file);
        assert!(error.contains(says), "{error}");
    }
    let known = json!({"optimizer": {}, "scheduler": {"type": "WarmupLR", "params": {"warmup_max_lr": "auto"}}, "zero_optimization": {"offload_param": {"device": "none"}}});
    assert!(
        TrainConfig::default()
            .with_file(known.as_object().unwrap().clone(), 1)
            .is_ok()
    );
}

#[test]
fn a_setting_of_generation_has_its_type() {
    let read = |file: Value| {
        let mut model = tiny_model();
        model.generation_config = file.as_object().unwrap().clone();
        (GenerateConfig::of(&model), GenerateConfig::not_read(&model))
    };
    for (file, says) in [
        (
            json!({"temperature": "hot"}),
            "generation_config.json: temperature: found \"hot\", expected a number",
        ),
        (
            json!({"do_sample": "yes"}),
            "generation_config.json: do_sample: found \"yes\", expected true or false",
        ),
        (
            json!({"do_sample": true, "top_k": 2.5}),
            "generation_config.json: top_k: found 2.5, expected an integer",
        ),
        (
            json!({"max_new_tokens": -1}),
            "generation_config.json: max_new_tokens: found -1",
        ),
        (
            json!({"top_p": [1]}),
            "generation_config.json: top_p: found [1], expected a number",
        ),
    ] {
        let error = read(file).0.unwrap_err().to_string();
        assert!(error.starts_with(says), "{error}");
    }
    let (config, not_read) = read(
        json!({"temperature": null, "num_beams": 4, "typical_p": 1.0, "temprature": 0.7, "_from_model_config": true}),
    );
    assert_eq!(config.unwrap().temperature, 0.0);
    assert_eq!(
        not_read,
        ["num_beams = 4", "temprature = 0.7 (did you mean `temperature`?)"]
    );
}

#[test]
fn what_the_template_is_given_is_a_setting() {
    let file = json!({"chat_template_kwargs": {"enable_thinking": true}});
    let read = TrainConfig::default().with_file(file.as_object().unwrap().clone(), 1);
    let config = read.unwrap().config;
    assert_eq!(config.chat_template_kwargs["enable_thinking"], true);
    let config: GenerateConfig = serde_json::from_value(file).unwrap();
    let mut model = tiny_model();
    let source = model.template.source().to_string() + "{% if enable_thinking %}<think>\n{% endif %}";
    model.template = toolcall_lib::template::ChatTemplate::new(&source, &model.tokenizer.config).unwrap();
    let asked = model.template.with_kwargs(&config.chat_template_kwargs);
    let prompt = |template: &toolcall_lib::template::ChatTemplate| {
        template
            .render_prompt(&[toolcall_lib::Message::user("Hi.")], &[])
            .unwrap()
    };
    assert!(prompt(&asked).ends_with("<think>\n") && !prompt(&model.template).ends_with("<think>\n"));
}
