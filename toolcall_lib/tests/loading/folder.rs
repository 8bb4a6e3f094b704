//! The names of a model, and the other files of its folder.

use super::{assert_says, tiny, write_json, write_model};
use serde_json::{Value, json};
use toolcall_lib::weights::hub::HubId;
use toolcall_lib::weights::{ModelSource, RawModel, read};

/// Reads a folder of a tiny model, with more files in it.
fn read_with(files: &[(&str, Value)]) -> toolcall_lib::Result<RawModel> {
    let folder = tempfile::tempdir().unwrap();
    write_model(folder.path(), &tiny("qwen3"));
    files
        .iter()
        .for_each(|(name, json)| write_json(folder.path(), name, json.clone()));
    read(&ModelSource::find(folder.path().to_str().unwrap())?)
}

#[test]
fn a_model_is_a_folder_a_gguf_file_or_a_hub_id() {
    let folder = tempfile::tempdir().unwrap();
    write_model(folder.path(), &tiny("qwen3"));
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_string();
    std::fs::write(path("model.gguf"), "").unwrap();
    std::fs::write(path("notes.txt"), "").unwrap();
    let find = |spec: &str| ModelSource::find(spec);
    assert_eq!(find(&path("")).unwrap(), ModelSource::Folder(path("").into()));
    assert_eq!(
        find(&path("model.gguf")).unwrap(),
        ModelSource::Gguf(path("model.gguf").into())
    );
    let hub = |repo: &str, revision: &str| {
        ModelSource::Hub(HubId {
            repo: repo.into(),
            revision: revision.into(),
        })
    };
    assert_eq!(find("Qwen/Qwen3-0.6B").unwrap(), hub("Qwen/Qwen3-0.6B", "main"));
    assert_eq!(
        find("Qwen/Qwen3-0.6B@refs/pr/1").unwrap().to_string(),
        "Qwen/Qwen3-0.6B@refs/pr/1"
    );
    assert_says(
        find(&path("notes.txt")).unwrap_err(),
        &["notes.txt", "expected a folder, a .gguf file"],
    );
    for spec in [
        "gpt2",
        "./out/run1",
        "/no/such/folder",
        "out/model.gguf",
        "a/b/c",
        "a/b@../c",
        "../b",
        "a/",
        "",
    ] {
        assert_says(
            find(spec).unwrap_err(),
            &[spec, "there is no such file or folder"],
        );
    }
}

#[test]
fn a_folder_that_is_not_complete_says_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let find = || ModelSource::find(folder.path().to_str().unwrap());
    assert_says(
        find().unwrap_err(),
        &["config.json, tokenizer.json, model.safetensors"],
    );
    std::fs::write(folder.path().join("tiny.gguf"), "").unwrap();
    assert_says(find().unwrap_err(), &["to load its GGUF file, give", "tiny.gguf"]);
    write_model(folder.path(), &tiny("qwen3"));
    assert!(find().is_ok());
}

#[test]
fn weights_config_and_tokenizer_come_together() {
    let folder = tempfile::tempdir().unwrap();
    let parameters = write_model(folder.path(), &tiny("qwen3"));
    let model = read(&ModelSource::find(folder.path().to_str().unwrap()).unwrap()).unwrap();
    assert_eq!(
        (&model.config, &model.weights.to_f32().buckets),
        (&tiny("qwen3"), &parameters.buckets)
    );
    assert_eq!(model.tokenizer.encode("hello", false).unwrap().get_ids(), [0]);
    assert_eq!((model.chat_template, model.generation_config), (None, None));
    assert_eq!(model.eos_token_ids, [2]);
    assert_eq!(model.origin, folder.path().to_str().unwrap());
}

#[test]
fn the_end_of_a_turn_stands_first_among_the_end_tokens() {
    let generation = (
        "generation_config.json",
        json!({"eos_token_id": [2, 1], "temperature": 0.6}),
    );
    for eos in [
        json!("<|im_end|>"),
        json!({"content": "<|im_end|>", "special": true}),
    ] {
        let model = read_with(&[
            ("tokenizer_config.json", json!({"eos_token": eos})),
            generation.clone(),
        ])
        .unwrap();
        assert_eq!(model.eos_token_ids, [1, 2]);
        assert_eq!(model.generation_config.unwrap()["temperature"], 0.6);
    }
    assert_eq!(read_with(&[generation]).unwrap().eos_token_ids, [2, 1]);
    let mut nowhere = tiny("qwen3").to_json(&[]);
    nowhere.remove("eos_token_id");
    assert_says(
        read_with(&[("config.json", nowhere.into())]).unwrap_err(),
        &["which token ends a reply"],
    );
}

#[test]
fn the_chat_template_is_found_in_each_place_where_it_may_stand() {
    let template = |config: Value| {
        read_with(&[("tokenizer_config.json", json!({"chat_template": config}))])
            .unwrap()
            .chat_template
    };
    assert_eq!(template(json!("one")), Some("one".into()));
    let default = json!({"name": "default", "template": "plain"});
    let tools = json!({"name": "tool_use", "template": "with tools"});
    assert_eq!(
        template(json!([default, tools])),
        Some("plain".into()),
        "the other is kept too"
    );
    assert_eq!(template(json!([default])), Some("plain".into()));
    let folder = tempfile::tempdir().unwrap();
    write_model(folder.path(), &tiny("qwen3"));
    write_json(
        folder.path(),
        "tokenizer_config.json",
        json!({"chat_template": "old"}),
    );
    std::fs::write(folder.path().join("chat_template.jinja"), "new\n").unwrap();
    let model = read(&ModelSource::find(folder.path().to_str().unwrap()).unwrap()).unwrap();
    assert_eq!(model.chat_template.as_deref(), Some("new\n"));
}

#[test]
fn a_tokenizer_with_more_tokens_than_embeddings_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = tiny("qwen3");
    config.vocab_size = 2;
    write_model(folder.path(), &config);
    let error = read(&ModelSource::find(folder.path().to_str().unwrap()).unwrap()).unwrap_err();
    assert_says(error, &["`<|endoftext|>` with id 2", "only 2 embeddings"]);
}
