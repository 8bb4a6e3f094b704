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

/// The token ids that `inspect --json` prints, row by row.
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
