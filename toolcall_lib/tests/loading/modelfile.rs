//! The `Modelfile` beside a GGUF file. `scripts/dev/verify_modelfile.sh` renders the golden ones in
//! Go, and compares the prompts.

use super::assert_says;
use crate::common::tiny_model::tiny_model;
use crate::template::template;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use toolcall_lib::checkpoint::modelfile;
use toolcall_lib::template::ChatTemplate;
use toolcall_lib::tool::load_tools;
use toolcall_lib::{Conversation, Dtype, Message, Model, save_as};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/modelfiles")
        .join(name)
}

/// Fails if a golden file differs; `TOOLCALL_WRITE_GOLDEN=1` writes it instead.
#[track_caller]
fn assert_golden(name: &str, text: &str) {
    if std::env::var_os("TOOLCALL_WRITE_GOLDEN").is_some() {
        fs::write(golden(name), text).unwrap();
    }
    let want = fs::read_to_string(golden(name)).unwrap_or_default();
    assert!(text == want, "{name} differs: {text}");
}

fn with(template: ChatTemplate) -> Model {
    Model {
        template,
        ..tiny_model()
    }
}

/// The conversations of the golden folder, by name.
fn conversations() -> Vec<(String, Conversation)> {
    let tools = load_tools(golden("tools.json")).unwrap();
    let rows: Value = serde_json::from_slice(&fs::read(golden("conversations.json")).unwrap()).unwrap();
    let message = |value: &Value| Message {
        tool_calls: serde_json::from_value(value.get("tool_calls").cloned().unwrap_or(json!([]))).unwrap(),
        role: serde_json::from_value(value["role"].clone()).unwrap(),
        name: value["name"].as_str().map(String::from),
        ..Message::user(value["content"].as_str().unwrap())
    };
    let row = |(name, row): (&String, &Value)| {
        let names = row["tools"].as_array().unwrap().iter();
        let tool = |name: &Value| tools.iter().find(|tool| name == tool.name()).unwrap().clone();
        let conversation = Conversation {
            messages: row["messages"].as_array().unwrap().iter().map(message).collect(),
            tools: names.map(tool).collect(),
            ..Conversation::default()
        };
        (name.clone(), conversation)
    };
    rows.as_object().unwrap().iter().map(row).collect()
}

#[test]
fn chatml_with_calls_in_json_is_translated() {
    let hermes = ChatTemplate::hermes("<|im_end|>").unwrap();
    for (name, template) in [
        ("hermes", hermes),
        ("qwen2_5", template("qwen2_5")),
        ("qwen3", template("qwen3")),
    ] {
        let prompts: BTreeMap<String, String> = conversations()
            .into_iter()
            .map(|(name, row)| (name, template.render_prompt(&row.messages, &row.tools).unwrap()))
            .collect();
        let prompts = serde_json::to_string_pretty(&prompts).unwrap();
        assert_golden(&format!("{name}.json"), &format!("{prompts}\n"));
        let written = modelfile(&with(template), "tiny.gguf").unwrap();
        assert_golden(&format!("{name}.Modelfile"), &written);
    }
}

#[test]
fn what_is_no_such_template_is_not_translated() {
    for name in [
        "deepseek_style",
        "function_tag_style",
        "glm_style",
        "llama_style",
        "mistral_style",
        "xml_style",
        "smollm2",
    ] {
        let source =
            Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/templates/{name}.jinja"));
        let source = fs::read_to_string(source).unwrap();
        let template = ChatTemplate::new(&source, &serde_json::Map::new()).unwrap();
        assert_eq!(modelfile(&with(template), "tiny.gguf"), None, "{name}");
    }
    // one more token where the prompt ends with a tool's answer
    let hermes = ChatTemplate::hermes("<|im_end|>").unwrap();
    let other = hermes.source().replace(
        "{%- if add_generation_prompt %}",
        "{%- if messages[-1].role == 'tool' %}{{- 'so' }}{%- endif %}{%- if add_generation_prompt %}",
    );
    assert_ne!(other, hermes.source());
    let eos = serde_json::Map::from_iter([("eos_token".to_string(), json!("<|im_end|>"))]);
    let other = ChatTemplate::new(&other, &eos).unwrap();
    assert_eq!(modelfile(&with(other), "tiny.gguf"), None);
}

#[test]
fn a_modelfile_is_written_beside_a_file_and_one_of_somebody_else_stays() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("Modelfile");
    let read = || fs::read_to_string(&place).unwrap();
    let export = |model: &Model, name: &str| save_as(model, folder.path().join(name), Dtype::F32).unwrap();
    let model = tiny_model();
    export(&model, "a.gguf");
    assert_eq!(read(), modelfile(&model, "a.gguf").unwrap());
    assert_says(
        read(),
        &[
            "\nFROM ./a.gguf\n",
            "\nPARAMETER temperature 0\n",
            "PARAMETER stop \"<|im_end|>\"\n",
        ],
    );
    export(&model, "b.gguf");
    assert_says(read(), &["\nFROM ./b.gguf\n"]);

    for others in [
        read().replace("temperature 0", "temperature 1"),
        "FROM llama3\n".into(),
    ] {
        fs::write(&place, &others).unwrap();
        export(&model, "b.gguf");
        assert_eq!(read(), others);
    }
    fs::remove_file(&place).unwrap();
    let source = fs::read_to_string(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/templates/mistral_style.jinja"),
    );
    let mistral = ChatTemplate::new(&source.unwrap(), &serde_json::Map::new()).unwrap();
    export(&with(mistral), "c.gguf");
    assert!(!place.exists());
}
