//! Other files in a model folder.

use crate::common::tiny_model::tiny_model;
use serde_json::{Value, json};
use std::path::Path;
use toolcall_lib::{Dtype, Message, Model, ToolSchema, load, save, save_as};

fn write(folder: &Path, name: &str, text: &str) {
    let file = folder.join(name);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, text).unwrap();
}

/// Makes the folder of a tiny model, applies `change` to it and loads it.
fn loaded(change: impl FnOnce(&Path)) -> (tempfile::TempDir, Model) {
    let folder = tempfile::tempdir().unwrap();
    save(&tiny_model(), folder.path()).unwrap();
    change(folder.path());
    let model = load(folder.path().to_str().unwrap()).unwrap();
    (folder, model)
}

const PLAIN: &str = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endfor %}\
    {% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

fn ping() -> ToolSchema {
    ToolSchema::new(json!({"name": "ping", "description": "Pings."})).unwrap()
}

#[test]
fn additional_templates_are_used_and_saved() {
    let hermes = tiny_model().template.source().to_string();
    let (folder, model) = loaded(|folder| {
        write(folder, "chat_template.jinja", PLAIN);
        write(folder, "additional_chat_templates/tool_use.jinja", &hermes);
    });
    assert_eq!(model.notes, [] as [String; 0]);
    let text =
        |model: &Model, tools: &[ToolSchema]| model.template.render(&[Message::user("Hi.")], tools).unwrap();
    assert_eq!(text(&model, &[]), "<|im_start|>user\nHi.<|im_end|>\n");
    assert!(
        text(&model, &[ping()]).contains("Functions of this model")
            || text(&model, &[ping()]).contains("<tools>")
    );

    // They are saved, and another model in the same folder does not inherit them.
    let again = folder.path().join("again");
    save(&model, &again).unwrap();
    let loaded = load(again.to_str().unwrap()).unwrap();
    assert_eq!(text(&loaded, &[ping()]), text(&model, &[ping()]));
    save(&tiny_model(), &again).unwrap();
    assert!(!again.join("additional_chat_templates").exists());

    let file = folder.path().join("model.gguf");
    save_as(&model, &file, Dtype::F32).unwrap();
    let of_gguf = load(file.to_str().unwrap()).unwrap();
    assert_eq!(text(&of_gguf, &[ping()]), text(&model, &[ping()]));
    assert_eq!(text(&of_gguf, &[]), text(&model, &[]));
}

#[test]
fn a_template_for_another_purpose_that_cannot_be_read_is_left_out() {
    let (folder, model) = loaded(|folder| write(folder, "additional_chat_templates/rag.jinja", "\n{% if %}"));
    assert_eq!(model.template.source(), tiny_model().template.source());
    let says = "The model's chat template `rag` cannot be read (chat template, line 2: ";
    assert!(
        model.notes.len() == 1 && model.notes[0].starts_with(says),
        "{:?}",
        model.notes
    );
    save(&model, folder.path().join("again")).unwrap();
    assert!(!folder.path().join("again/additional_chat_templates").exists());
}

#[test]
fn the_template_of_a_processor_is_read() {
    let hermes = tiny_model().template.source().to_string();
    let of = |content: Value| {
        let (_folder, model) = loaded(|folder| {
            std::fs::remove_file(folder.join("chat_template.jinja")).unwrap();
            write(folder, "chat_template.json", &content.to_string());
        });
        assert_eq!(model.notes, [] as [String; 0]);
        model.template.render(&[Message::user("Hi.")], &[]).unwrap()
    };
    assert!(of(json!({"chat_template": hermes})).contains("Hi."));
    let named = json!({"default": PLAIN, "tool_use": hermes});
    assert_eq!(
        of(json!({"chat_template": named})),
        "<|im_start|>user\nHi.<|im_end|>\n"
    );
}

#[test]
fn templates_of_the_config_are_named_the_same_way() {
    let hermes = tiny_model().template.source().to_string();
    let (_folder, model) = loaded(|folder| {
        std::fs::remove_file(folder.join("chat_template.jinja")).unwrap();
        let file = folder.join("tokenizer_config.json");
        let mut config: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        config["chat_template"] =
            json!([{"name": "tool_use", "template": hermes}, {"name": "default", "template": PLAIN}]);
        std::fs::write(&file, config.to_string()).unwrap();
    });
    let text = |tools: &[ToolSchema]| model.template.render(&[Message::user("Hi.")], tools).unwrap();
    assert_eq!(text(&[]), "<|im_start|>user\nHi.<|im_end|>\n");
    assert!(text(&[ping()]).contains("ping"));
}

#[test]
fn special_tokens_of_older_folders_are_read() {
    let map = json!({"bos_token": {"content": "<|endoftext|>", "lstrip": false}, "eos_token": "<|im_end|>"})
        .to_string();
    let with = |config: Value| {
        let (_folder, model) = loaded(|folder| {
            write(folder, "special_tokens_map.json", &map);
            write(folder, "tokenizer_config.json", &config.to_string());
            write(
                folder,
                "chat_template.jinja",
                &("{{ bos_token }}".to_string() + tiny_model().template.source()),
            );
        });
        model.template.render(&[Message::user("Hi.")], &[]).unwrap()
    };
    assert!(with(json!({"tokenizer_class": "PreTrainedTokenizerFast"})).starts_with("<|endoftext|>"));
    // A config that has the tokens is newer, and complete.
    assert!(
        !with(json!({"added_tokens_decoder": {}, "eos_token": "<|im_end|>"})).starts_with("<|endoftext|>")
    );
}

#[test]
fn tokens_that_no_model_has_end_no_reply() {
    let (_folder, model) = loaded(|folder| {
        for (file, key, value) in [
            ("generation_config.json", "eos_token_id", json!([1, 999_999])),
            ("tokenizer_config.json", "eos_token", json!("<nope>")),
        ] {
            let path = folder.join(file);
            let mut content: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            content[key] = value;
            std::fs::write(&path, content.to_string()).unwrap();
        }
    });
    assert!(
        !model.tokenizer.eos_token_ids.contains(&999_999),
        "{:?}",
        model.tokenizer.eos_token_ids
    );
    let [token, id] = &model.notes[..] else {
        panic!("{:?}", model.notes)
    };
    assert!(token.ends_with(
        "tokenizer_config.json: eos_token `<nope>` is not in the vocabulary, so it ends no reply"
    ));
    assert!(
        id.contains("eos_token_id 999999 ends no reply, because the model has only "),
        "{id}"
    );
}

#[test]
fn a_key_that_stands_twice_in_a_side_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    save(&tiny_model(), folder.path()).unwrap();
    write(
        folder.path(),
        "tokenizer_config.json",
        "{\"eos_token\": \"a\", \"eos_token\": \"b\"}",
    );
    let error = load(folder.path().to_str().unwrap()).unwrap_err().to_string();
    assert!(
        error.contains("tokenizer_config.json: duplicate key `eos_token`"),
        "{error}"
    );
}

#[test]
fn a_value_of_a_side_file_that_is_of_another_type_is_named() {
    let template = "chat_template: found a number, expected a string, a list of {\"name\": …, \"template\": …}, \
                    or an object with a template for each name";
    let ids = "expected the number of a token, or a list of them";
    for (file, key, value, says) in [
        (
            "generation_config.json",
            "eos_token_id",
            json!("two"),
            format!("eos_token_id: found \"two\", {ids}"),
        ),
        (
            "generation_config.json",
            "eos_token_id",
            json!([1, -1]),
            format!("eos_token_id: found -1, {ids}"),
        ),
        (
            "generation_config.json",
            "eos_token_id",
            json!(1.5),
            format!("eos_token_id: found 1.5, {ids}"),
        ),
        (
            "config.json",
            "eos_token_id",
            json!({}),
            format!("eos_token_id: found {{}}, {ids}"),
        ),
        (
            "tokenizer_config.json",
            "chat_template",
            json!(5),
            template.into(),
        ),
        (
            "tokenizer_config.json",
            "chat_template",
            json!([{"name": "default"}]),
            "chat_template[0].template: found null, expected a string".into(),
        ),
        (
            "tokenizer_config.json",
            "eos_token",
            json!(7),
            "eos_token: found a number, expected a string, or an object with the string as `content`".into(),
        ),
        (
            "special_tokens_map.json",
            "bos_token",
            json!({"content": 1}),
            "bos_token: found an object".into(),
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        save(&tiny_model(), folder.path()).unwrap();
        std::fs::remove_file(folder.path().join("chat_template.jinja")).unwrap();
        let path = folder.path().join(file);
        let text = std::fs::read_to_string(&path).unwrap_or("{}".into());
        let mut content: Value = serde_json::from_str(&text).unwrap();
        content[key] = value;
        write(folder.path(), file, &content.to_string());
        if file == "special_tokens_map.json" {
            write(folder.path(), "tokenizer_config.json", "{}");
        }
        let error = load(folder.path().to_str().unwrap()).unwrap_err().to_string();
        assert!(error.contains(&format!("{file}: {says}")), "{error}");
    }
}
