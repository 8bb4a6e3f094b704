//! `toolcall inspect` and `toolcall train` on every form of the data set, and on the hub.

use super::made::{csv, expected, file, jsonl};
use crate::common::tiny_model::tiny_model;
use crate::hub::server::{REPO, Server};
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Output};
use tempfile::TempDir;
use toolcall_lib::save;

fn toolcall(folder: &Path, endpoint: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_toolcall"));
    command
        .args(arguments)
        .env("HF_ENDPOINT", endpoint)
        .env("HF_HUB_CACHE", folder.join("cache"))
        .env("RAYON_NUM_THREADS", "1")
        .env_remove("HF_TOKEN");
    command.output().unwrap()
}

fn model() -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("model");
    save(&tiny_model(), &place).unwrap();
    (folder, place.display().to_string())
}

/// Returns the token ids that `inspect --json` prints, row by row.
fn ids(output: &Output) -> Vec<Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    let rows = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let sequences = rows.flat_map(|row| row["sequences"].as_array().cloned().unwrap());
    sequences.map(|sequence| sequence["ids"].clone()).collect()
}

#[test]
fn the_hub_and_files_train_the_same_tokens_and_inspect_says_what_was_read() {
    let server = Server::start([
        ("README.md", b"---\nlicense: mit\n---\n".to_vec()),
        ("data.jsonl", jsonl().into()),
    ]);
    let (folder, model) = model();
    let (_files, csv) = file("data.csv", csv());
    let csv = csv.display().to_string();
    let expected: Vec<Value> = expected().iter().map(|sequence| json!(sequence.ids)).collect();
    let hub = format!("hub:{REPO}");
    for (data, says) in [
        (
            ["--dataset_name", REPO],
            "data.jsonl: JSONL, messages; 3 rows; read: messages, tools; left aside: id",
        ),
        (["--data", &hub], "data.jsonl: JSONL, messages; 3 rows"),
        (["--data", &csv], "data.csv: CSV, messages; 3 rows"),
    ] {
        let output = toolcall(
            folder.path(),
            &server.endpoint,
            &["inspect", "--model", &model, "--json", data[0], data[1]],
        );
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && told.contains(says), "{told}");
        assert_eq!(ids(&output), expected, "{data:?}");
    }
}

#[test]
fn a_data_set_of_the_hub_is_trained_on() {
    let server = Server::start([("train.jsonl", jsonl().into()), ("test.jsonl", "nonsense".into())]);
    let (folder, model) = model();
    let out = folder.path().join("out").display().to_string();
    let (_config, config) = file("config.json", json!({"max_steps": 1, "bf16": false}).to_string());
    let config = config.display().to_string();
    let arguments = [
        "train",
        "--model",
        &model,
        "--config",
        &config,
        "--out",
        &out,
        "--dataset_name",
        REPO,
    ];
    let output = toolcall(folder.path(), &server.endpoint, &arguments);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        server
            .requests()
            .iter()
            .all(|request| !request.path.contains("test.jsonl"))
    );

    let splits = json!({"max_steps": 1, "bf16": false, "dataset_name": REPO, "dataset_test_split": "test"});
    let (_settings, settings) = file("settings.json", splits.to_string());
    let settings = settings.display().to_string();
    let output = toolcall(
        folder.path(),
        &server.endpoint,
        &["train", "--model", &model, "--config", &settings, "--out", &out],
    );
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("test.jsonl") && told.contains("line 1"), "{told}");

    let nothing = toolcall(
        folder.path(),
        &server.endpoint,
        &[
            "train",
            "--model",
            &model,
            "--out",
            &out,
            "--dataset-split",
            "test",
        ],
    );
    assert!(
        String::from_utf8_lossy(&nothing.stderr).contains("data set: is missing: `test` names a part of it"),
        "{nothing:?}"
    );

    let both = toolcall(
        folder.path(),
        &server.endpoint,
        &[&arguments[..], &["--data", "x.json"]].concat(),
    );
    assert!(
        String::from_utf8_lossy(&both.stderr).contains("cannot be used with"),
        "{both:?}"
    );
}

#[test]
fn rows_without_tools_get_those_of_a_file() {
    let (folder, model) = model();
    let tool = json!({"type": "function", "function": {"name": "ring", "description": "Ring.", "parameters":
        {"type": "object", "properties": {"times": {"type": "integer"}}, "required": ["times"]}}});
    let row = json!({"query": "Ring twice.", "answers": [{"name": "ring", "arguments": {"times": 2}}]});
    let mut whole = row.clone();
    whole["tools"] = json!([tool]);
    let write = |name: &str, text: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let tools = write("tools.json", json!([tool]).to_string());
    let (row, whole) = (
        write("row.jsonl", row.to_string()),
        write("whole.jsonl", whole.to_string()),
    );
    let nowhere = "http://127.0.0.1:9";
    let inspect = |more: &[&str]| {
        let arguments = [&["inspect", "--json", "--model", &model][..], more].concat();
        ids(&toolcall(folder.path(), nowhere, &arguments))
    };
    let with_file = inspect(&["--data", &row, "--tools", &tools]);
    assert_eq!(with_file, inspect(&["--data", &whole]));
    assert_ne!(with_file, inspect(&["--data", &row]));

    let scored = [
        "eval",
        "--model",
        &model,
        "--data",
        &row,
        "--tools",
        &tools,
        "--json",
        "--max-new-tokens",
        "2",
    ];
    let output = toolcall(folder.path(), nowhere, &scored);
    let scores: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(scores["counts"]["tool_selection"]["total"], 1);

    let several = [&scored[..4], &[&row, &whole], &scored[5..]].concat();
    let output = toolcall(folder.path(), nowhere, &several);
    let each: Value = serde_json::from_slice(&output.stdout).unwrap();
    let [of_row, of_whole] = [&each[0], &each[1]];
    assert_eq!([&of_row["data"], &of_whole["data"]], [&row, &whole]);
    assert_eq!([&of_row["counts"], &of_whole["counts"]], [&scores["counts"]; 2]);
    assert_eq!(each[2], Value::Null);

    let other = ["eval", "--bfcl", "multiple", "--tools", &tools];
    let output = toolcall(folder.path(), nowhere, &other);
    assert_eq!(
        output.status.code(),
        Some(2),
        "the tools are not silently ignored"
    );

    let alone = ["train", "--model", &model, "--tools", &tools, "--out", "out"];
    let output = toolcall(folder.path(), nowhere, &alone);
    let error = String::from_utf8_lossy(&output.stderr);
    let problem = "tools.json: are tools for rows of --data or --dataset_name, which is missing";
    assert!(error.contains(problem), "{error}");
}

#[test]
fn inspect_shows_what_trl_trains_by_default() {
    let (folder, model) = model();
    let (user, assistant) = (
        json!({"role": "user", "content": "Hello."}),
        json!({"role": "assistant", "content": "Hi."}),
    );
    let (_prompt, prompt) = file(
        "prompt.jsonl",
        json!({"prompt": [user], "completion": [assistant]}).to_string(),
    );
    let (_messages, messages) = file(
        "messages.jsonl",
        json!({"messages": [user, assistant]}).to_string(),
    );
    let rows = |data: &Path, loss: &str| {
        let data = data.display().to_string();
        let arguments = [
            "inspect", "--model", &model, "--json", "--data", &data, "--loss", loss,
        ];
        let output = toolcall(folder.path(), "http://127.0.0.1:9", &arguments);
        assert!(output.status.success(), "{output:?}");
        output.stdout
    };
    assert_eq!(rows(&prompt, "auto"), rows(&prompt, "completion"));
    assert_eq!(rows(&messages, "auto"), rows(&messages, "all"));
    assert_ne!(rows(&prompt, "auto"), rows(&prompt, "all"));
}

#[test]
fn without_data_the_rows_of_the_recipe_are_trained_with_settings_for_many() {
    let (folder, model) = model();
    let out = folder.path().join("out").display().to_string();
    let arguments = [
        "train",
        "--model",
        &model,
        "--out",
        &out,
        "--max-steps",
        "1",
        "--no-bf16",
    ];
    for (more, told) in [
        (
            &[][..],
            "num_train_epochs is 1, per_device_train_batch_size 16, group_by_prefix 8, learning_rate 3e-4",
        ),
        (
            &["--per-device-train-batch-size", "2", "--learning-rate", "1e-3"][..],
            "num_train_epochs is 1, per_device_train_batch_size 2, group_by_prefix 8, learning_rate 1e-3",
        ),
    ] {
        let output = toolcall(
            folder.path(),
            "http://127.0.0.1:9",
            &[&arguments[..], more].concat(),
        );
        let notes = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && notes.contains(told), "{notes}");
    }
    let state = std::fs::read_to_string(Path::new(&out).join("toolcall_training.json")).unwrap();
    let state: Value = serde_json::from_str(&state).unwrap();
    assert_eq!(state["settings"]["per_device_train_batch_size"], 2);
}

#[test]
fn settings_of_a_model_that_are_not_read_are_told_by_eval_too() {
    let (folder, model) = model();
    let settings = json!({"do_sample": false, "no_repeat_ngram_size": 1}).to_string();
    std::fs::write(format!("{model}/generation_config.json"), settings).unwrap();
    let (_files, data) = file("data.jsonl", jsonl());
    let data = data.display().to_string();
    let arguments = [
        "eval",
        "--model",
        &model,
        "--data",
        &data,
        "--max-new-tokens",
        "1",
    ];
    let output = toolcall(folder.path(), "http://127.0.0.1:9", &arguments);
    let told = String::from_utf8_lossy(&output.stderr);
    let note = "generation_config.json: no_repeat_ngram_size = 1 is not supported, and left out";
    assert!(output.status.success() && told.contains(note), "{told}");
}
