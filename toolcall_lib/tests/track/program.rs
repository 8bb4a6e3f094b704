//! `toolcall train` with Weights & Biases, and its output without a terminal.

use crate::common::tiny_model::tiny_model;
use crate::common::wandb_server::Server;
use crate::train::timers;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use tempfile::TempDir;
use toolcall_lib::save;

const KEY: &str = "a0b1c2d3e4f5a6b7c8d9a0b1c2d3e4f5a6b7c8d9";

/// `toolcall train` for 12 steps with these settings, in its own folder.
fn train(folder: &TempDir, settings: Value) -> Command {
    let path = |name: &str| folder.path().join(name);
    save(&tiny_model(), path("model")).unwrap();
    timers(4).save(path("data.json")).unwrap();
    let mut all = json!({"max_steps": 12, "per_device_train_batch_size": 1, "eval_steps": 6,
        "generation_max_new_tokens": 4});
    all.as_object_mut()
        .unwrap()
        .extend(settings.as_object().unwrap().clone());
    fs::write(path("config.json"), all.to_string()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_toolcall"));
    command
        .args([
            "train",
            "--model",
            "model",
            "--data",
            "data.json",
            "--validation",
            "data.json",
        ])
        .args(["--config", "config.json", "--out", "out"])
        .env("RAYON_NUM_THREADS", "1")
        .current_dir(folder.path());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("WANDB_")) {
        command.env_remove(name);
    }
    command
}

fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] })
        .collect()
}

#[test]
fn with_a_key_in_the_environment_a_run_is_sent_and_the_key_is_nowhere() {
    let (server, folder) = (Server::honest(), tempfile::tempdir().unwrap());
    let mut command = train(&folder, json!({"run_name": "tea", "logging_steps": 4}));
    command
        .env("WANDB_API_KEY", KEY)
        .env("WANDB_BASE_URL", &server.url)
        .env("WANDB_RUN_ID", "abc");
    let output = command.output().unwrap();
    let text = said(&output);
    assert!(output.status.success(), "{text}");
    assert!(
        text.contains(&format!(
            "note: wandb: this run is at {}/me/calls/runs/abc",
            server.url
        )),
        "{text}"
    );

    let history = server.lines("wandb-history.jsonl");
    let steps: Vec<_> = history
        .iter()
        .map(|row| row["train/global_step"].as_u64().unwrap())
        .collect();
    assert_eq!(steps, [1, 4, 6, 8, 12]);
    assert!(history[2].get("eval/exact").is_some() && history[2].get("train/loss").is_none());
    let summary = server.lines("wandb-summary.json").pop().unwrap();
    assert!(summary["train_loss"].is_f64() && summary["train_runtime"].is_f64());
    let created: Value = serde_json::from_str(&server.requests("/graphql")[0].2).unwrap();
    assert_eq!(created["variables"]["project"], "huggingface");
    assert_eq!(created["variables"]["displayName"], "tea");
    let config: Value = serde_json::from_str(created["variables"]["config"].as_str().unwrap()).unwrap();
    assert_eq!(config["max_steps"]["value"], 12);
    assert!(config["hidden_size"]["value"].is_u64());
    let table: Value = serde_json::from_str(&server.requests("/storage/x")[0].2).unwrap();
    assert_eq!(
        table["columns"].as_array().unwrap()[..3],
        ["step", "epoch", "eval_loss"]
    );
    assert_eq!(table["data"].as_array().unwrap().len(), 2);

    assert!(!text.contains(KEY));
    for file in files(folder.path()) {
        let bytes = fs::read(&file).unwrap();
        let shows = bytes.windows(KEY.len()).any(|part| part == KEY.as_bytes());
        assert!(!shows, "{} has the key", file.display());
    }
}

#[test]
fn with_none_or_without_a_key_nobody_is_told() {
    let server = Server::honest();
    for (settings, key) in [(json!({"report_to": "none"}), Some(KEY)), (json!({}), None)] {
        let folder = tempfile::tempdir().unwrap();
        let mut command = train(&folder, settings);
        command.env("WANDB_BASE_URL", &server.url);
        command.envs(key.map(|key| ("WANDB_API_KEY", key)));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        assert!(!folder.path().join("wandb").exists());
    }
    assert!(server.requests.lock().unwrap().is_empty());
}

#[test]
fn a_server_that_is_not_there_does_not_end_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = train(&folder, json!({"report_to": ["wandb", "tensorboard"]}));
    let output = command
        .env("WANDB_API_KEY", KEY)
        .env("WANDB_BASE_URL", "http://127.0.0.1:9") // no server listens
        .output()
        .unwrap();
    let text = said(&output);
    assert!(output.status.success(), "{text}");
    assert!(
        text.contains("note: wandb: not all was sent within 15 s after the last step"),
        "{text}"
    );
    assert!(folder.path().join("out/model.safetensors").is_file());
    assert!(folder.path().join("out/runs").is_dir());
}

#[test]
fn settings_that_do_not_exist_are_refused_by_name() {
    for (settings, named) in [
        (
            json!({"report_to": "mlflow"}),
            "\"mlflow\" is not supported; expected \"tensorboard\"",
        ),
        (json!({"logging_steps": 0}), "logging_steps: is too small"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let output = train(&folder, settings).output().unwrap();
        assert!(!output.status.success());
        assert!(said(&output).contains(named), "{}", said(&output));
    }
}

#[test]
fn where_there_is_no_terminal_each_entry_of_the_log_is_a_line() {
    let folder = tempfile::tempdir().unwrap();
    let output = train(&folder, json!({"logging_steps": 5})).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let steps: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("step ")?.trim_start().split('/').next())
        .collect();
    assert_eq!(steps, ["1", "5", "6", "10", "12"], "{text}");
}
