//! `trainer_state.json`: the log under the names of transformers.

use super::tensorboard::settings;
use crate::common::tiny_model::tiny_model;
use crate::train::timers;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use toolcall_lib::track::ReportTo;
use toolcall_lib::train::{Metric, TrainConfig, TrainReport, train};

/// Trains into `out` with a checkpoint after every second step, and saves the model there.
fn run(out: &Path, steps: usize, resume: Option<&Path>) -> TrainReport {
    let config = TrainConfig {
        report_to: Some(ReportTo::default()),
        save_steps: Some(2),
        predict_with_generate: true,
        generation_max_new_tokens: 4,
        metric_for_best_model: Metric::EvalLoss,
        resume_from_checkpoint: resume.map(Path::to_path_buf),
        ..settings(out, steps)
    };
    let mut model = tiny_model();
    let report = train(&mut model, (&timers(6), &timers(2)), &config, |_| {}).unwrap();
    report.save(&model, out).unwrap();
    report
}

fn state(folder: &Path) -> Value {
    serde_json::from_slice(&fs::read(folder.join("trainer_state.json")).unwrap()).unwrap()
}

/// The fields of transformers' `TrainerState`; transformers refuses a file with another field.
const FIELDS: [&str; 20] = [
    "best_global_step",
    "best_metric",
    "best_model_checkpoint",
    "epoch",
    "eval_steps",
    "global_step",
    "is_hyper_param_search",
    "is_local_process_zero",
    "is_world_process_zero",
    "log_history",
    "logging_steps",
    "max_steps",
    "num_input_tokens_seen",
    "num_train_epochs",
    "save_steps",
    "stateful_callbacks",
    "total_flos",
    "train_batch_size",
    "trial_name",
    "trial_params",
];

#[test]
fn the_log_has_the_names_that_plots_read() {
    let area = tempfile::tempdir().unwrap();
    let out = area.path().join("out");
    let report = run(&out, 6, None);
    let saved = state(&out);
    assert_eq!(saved, Value::Object(report.trainer_state.clone()));
    let names: Vec<&str> = saved.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, FIELDS);
    assert_eq!(
        state(&out.join("checkpoint-4")).as_object().unwrap().len(),
        FIELDS.len()
    );

    let log = saved["log_history"].as_array().unwrap();
    let with = |name: &str| -> Vec<(u64, f64)> {
        let entries = log.iter().filter(|entry| entry.get(name).is_some());
        entries
            .map(|entry| (entry["step"].as_u64().unwrap(), entry[name].as_f64().unwrap()))
            .collect()
    };
    let steps = |name: &str| -> Vec<u64> { with(name).into_iter().map(|(step, _)| step).collect() };
    for name in [
        "loss",
        "grad_norm",
        "learning_rate",
        "mean_token_accuracy",
        "num_tokens",
    ] {
        assert_eq!(steps(name), [1, 2, 4, 6], "{name}");
    }
    for name in [
        "eval_loss",
        "eval_mean_token_accuracy",
        "eval_exact",
        "eval_arguments_exact",
        "eval_tool_selection",
        "eval_unfinished",
    ] {
        assert_eq!(steps(name), [3, 6], "{name}");
    }
    assert!(steps("eval_over_calls").is_empty(), "no row is without a call");
    let tokens = with("num_tokens");
    assert!(
        tokens.is_sorted_by(|a, b| a.1 < b.1) && tokens[0].1 > 100.0,
        "{tokens:?}"
    );
    assert!(log.iter().all(|entry| entry["epoch"].is_f64()));
    let last = log.last().unwrap();
    assert!(last["train_runtime"].as_f64().unwrap() > 0.0);
    let mean = report.steps.iter().map(|step| step.loss).sum::<f64>() / 6.0;
    assert_eq!(last["train_loss"], mean);

    let best = report.best_step().unwrap();
    assert_eq!(saved["best_global_step"], best.step);
    assert_eq!(saved["best_metric"], best.eval_loss.unwrap());
    assert_eq!(
        saved["best_model_checkpoint"],
        out.join("checkpoint-6").display().to_string()
    );
    let expected = json!({"global_step": 6, "max_steps": 6, "num_train_epochs": 3, "epoch": 3.0,
        "logging_steps": 2, "eval_steps": 3, "save_steps": 2, "train_batch_size": 4});
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&saved[name], value, "{name}");
    }
}

#[test]
fn settings_that_count_by_epochs_stand_in_the_log_as_steps() {
    let area = tempfile::tempdir().unwrap();
    let out = area.path().join("out");
    let config = TrainConfig {
        report_to: Some(ReportTo::default()),
        eval_steps: None,
        evals_per_epoch: 2,
        saves_per_epoch: Some(1),
        metric_for_best_model: Metric::EvalLoss,
        ..settings(&out, 4)
    };
    let mut model = tiny_model();
    let report = train(&mut model, (&timers(6), &timers(2)), &config, |_| {}).unwrap();
    report.save(&model, &out).unwrap();
    let saved = state(&out);
    assert_eq!(
        (&saved["eval_steps"], &saved["save_steps"]),
        (&json!(1), &json!(2))
    );
    let best = report.best_step().unwrap().step;
    let checkpoint = out.join(format!("checkpoint-{best}"));
    let expected = checkpoint.is_dir().then(|| checkpoint.display().to_string());
    assert_eq!(saved["best_model_checkpoint"], json!(expected));
    assert!(out.join("checkpoint-4").is_dir());
}

#[test]
fn the_log_of_a_run_that_goes_on_has_no_gap_and_nothing_twice() {
    let area = tempfile::tempdir().unwrap();
    let (whole, parts) = (area.path().join("whole"), area.path().join("parts"));
    let straight = run(&whole, 7, None);
    run(&parts, 7, None);
    let resumed = run(&parts, 7, Some(&parts.join("checkpoint-2")));
    assert_eq!(resumed.notes.len(), 1, "{:?}", resumed.notes);
    let log = |report: &TrainReport| -> Vec<Value> {
        let log = report.trainer_state["log_history"].as_array().unwrap().clone();
        log[..log.len() - 1].to_vec() // the last entry has the duration
    };
    assert_eq!(log(&straight), log(&resumed));
    let model = |folder: &Path| fs::read(folder.join("model.safetensors")).unwrap();
    assert!(model(&whole) == model(&parts));
}

/// A saved model has a `trainer_state.json` too, and is not a checkpoint.
#[test]
fn of_an_output_folder_the_latest_checkpoint_is_taken_although_it_has_a_log() {
    let area = tempfile::tempdir().unwrap();
    let out = area.path().join("out");
    run(&out, 4, None);
    let resumed = run(&out, 6, Some(&out));
    assert!(
        resumed.notes[0].ends_with("checkpoint-4, after 4 steps"),
        "{:?}",
        resumed.notes
    );
}
