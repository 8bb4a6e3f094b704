//! Settings of generation: their meaning, where they are read from and where they are written.

use crate::common::tiny_model::tiny_model;
use serde_json::{Map, Value, json};
use toolcall_lib::generate::{Generator, ToolChoice};
use toolcall_lib::{GenerateConfig, load, save};

#[test]
fn settings_come_with_a_model_and_are_saved_with_it() {
    let mut model = tiny_model();
    assert_eq!(GenerateConfig::of(&model).unwrap(), GenerateConfig::default());
    let qwen = json!({"do_sample": true, "temperature": 0.6, "top_k": 20, "top_p": 0.95, "pad_token_id": 0});
    model.generation_config = qwen.as_object().unwrap().clone();
    let config = GenerateConfig::of(&model).unwrap();
    let sampled = GenerateConfig {
        temperature: 0.6,
        top_k: Some(20),
        top_p: Some(0.95),
        ..GenerateConfig::default()
    };
    assert_eq!(config, sampled);

    let folder = tempfile::tempdir().unwrap();
    let other = GenerateConfig {
        min_p: Some(0.05),
        repetition_penalty: 1.1,
        max_new_tokens: 99,
        top_k: None,
        ..config
    };
    other.store_in(&mut model);
    save(&model, folder.path().join("model")).unwrap();
    let loaded = load(folder.path().join("model").to_str().unwrap()).unwrap();
    assert_eq!(GenerateConfig::of(&loaded).unwrap(), other);
    assert_eq!(loaded.generation_config["pad_token_id"], 0);

    GenerateConfig::default().store_in(&mut model);
    assert_eq!(GenerateConfig::of(&model).unwrap(), GenerateConfig::default());
    assert!(model.generation_config.get("temperature").is_none());
}

#[test]
fn sampling_without_numbers_has_those_of_transformers() {
    let mut model = tiny_model();
    model.generation_config = Map::from_iter([("do_sample".to_string(), json!(true))]);
    let config = GenerateConfig::of(&model).unwrap();
    assert_eq!(
        (config.temperature, config.top_k, config.top_p),
        (1.0, Some(50), None)
    );
}

/// 0 is neutral for `min_p` in transformers; for `top_p` it leaves the likeliest token.
#[test]
fn a_share_of_0_means_what_it_does_in_transformers() {
    let mut model = tiny_model();
    for (name, temperature) in [("min_p", 0.7), ("top_p", 0.0)] {
        let file = json!({"do_sample": true, "temperature": 0.7, name: 0.0});
        model.generation_config = file.as_object().unwrap().clone();
        let config = GenerateConfig::of(&model).unwrap();
        let read = (config.temperature, config.top_p, config.min_p);
        assert_eq!(read, (temperature, None, None), "{name}");
    }
}

#[test]
fn settings_of_a_model_are_read_told_or_refused() {
    let mut model = tiny_model();
    let mut with = |settings: Value| {
        model.generation_config = settings.as_object().unwrap().clone();
        let read = GenerateConfig::of(&model).map_err(|error| error.to_string());
        (read, GenerateConfig::not_read(&model))
    };
    for (settings, problem) in [
        (
            json!({"max_length": "a"}),
            "max_length: found \"a\", expected an integer, 0 or more",
        ),
        (
            json!({"top_p": 2}),
            "top_p: found 2, expected a number from 0 to 1",
        ),
        (
            json!({"min_p": -1}),
            "min_p: found -1, expected a number from 0 to 1",
        ),
    ] {
        let error = with(settings).0.unwrap_err();
        assert_eq!(error, format!("generation_config.json: {problem}"));
    }
    let settings = json!({
        "no_repeat_ngram_size": 1, "min_new_tokens": 1, "min_length": 0, "num_beams": 1, "num_beam_groups": 2,
        "length_penalty": 1.0, "temprature": 1.0, "top_h": null, "suppress_tokens": [], "use_cache": true,
        "suppress": "x".repeat(1000),
    });
    let (read, told) = with(settings);
    read.unwrap();
    assert_eq!(
        told[..4],
        [
            "no_repeat_ngram_size = 1",
            "min_new_tokens = 1",
            "num_beam_groups = 2",
            "temprature = 1.0 (did you mean `temperature`?)",
        ]
    );
    assert!(told.len() == 5 && told[4].len() < 150, "{told:?}");
}

#[test]
fn settings_without_a_meaning_are_refused() {
    let model = tiny_model();
    let refused = |config: GenerateConfig| {
        let outcome = Generator::new(&model, config).complete("hi", |_| true);
        outcome.unwrap_err().to_string()
    };
    let default = GenerateConfig::default;
    assert!(
        refused(GenerateConfig {
            temperature: -1.0,
            ..default()
        })
        .starts_with("temperature: -1 is negative")
    );
    assert!(
        refused(GenerateConfig {
            top_k: Some(0),
            ..default()
        })
        .starts_with("top_k: 0 would keep no token")
    );
    assert!(
        refused(GenerateConfig {
            top_p: Some(1.5),
            ..default()
        })
        .starts_with("top_p: 1.5 is not in (0, 1]")
    );
    assert!(
        refused(GenerateConfig {
            min_confidence: 90.0,
            ..default()
        })
        .starts_with("min_confidence: 90 is not in [0, 1]")
    );
    assert!(
        refused(GenerateConfig {
            min_p: Some(0.0),
            ..default()
        })
        .starts_with("min_p: 0 is not in (0, 1]")
    );
    for repetition_penalty in [0.0, 1e-40, 1e40, f64::NAN] {
        let config = GenerateConfig {
            repetition_penalty,
            ..default()
        };
        let error = refused(config);
        assert!(
            error.starts_with("repetition_penalty: ") && error.contains("[0.01, 100]"),
            "{error}"
        );
    }
}

#[test]
fn a_repetition_penalty_makes_new_tokens_come() {
    let model = tiny_model();
    let different = |repetition_penalty: f64| {
        let config = GenerateConfig {
            repetition_penalty,
            max_new_tokens: 40,
            ..GenerateConfig::default()
        };
        let mut generator = Generator::new(&model, config);
        let mut ids = generator.complete("Set a timer", |_| true).unwrap().ids;
        ids.sort();
        ids.dedup();
        ids.len()
    };
    assert!(different(1.5) > different(1.0));
}

#[test]
fn a_tool_choice_is_written_as_openai_has_it() {
    let named = json!({"type": "function", "function": {"name": "f"}});
    for (choice, json) in [
        (ToolChoice::Auto, json!("auto")),
        (ToolChoice::Required, json!("required")),
        (ToolChoice::None, json!("none")),
        (ToolChoice::Function("f".to_string()), named),
    ] {
        assert_eq!(serde_json::to_value(&choice).unwrap(), json);
        assert_eq!(serde_json::from_value::<ToolChoice>(json).unwrap(), choice);
        assert_eq!(choice.to_string().parse::<ToolChoice>(), Ok(choice));
    }
    for wrong in [json!("any"), json!("f"), json!(null), json!({"function": {}})] {
        let error = serde_json::from_value::<ToolChoice>(wrong as Value)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(r#"expected "auto", "required", "none" or"#),
            "{error}"
        );
    }
}
