//! TensorBoard's event files.

use super::event_file::{Event, events};
use crate::common::tiny_model::tiny_model;
use crate::train::{config, timers};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use toolcall_lib::track::{ReportTo, Table, TrackerName};
use toolcall_lib::train::{TrainConfig, TrainReport, train};

pub fn settings(out: &Path, steps: usize) -> TrainConfig {
    TrainConfig {
        output_dir: Some(out.into()),
        report_to: Some(ReportTo(vec![TrackerName::Tensorboard])),
        run_name: Some("a/b".to_string()),
        logging_steps: 2,
        eval_steps: Some(3),
        predict_with_generate: false,
        ..config(steps)
    }
}

fn run(settings: &TrainConfig) -> TrainReport {
    train(&mut tiny_model(), (&timers(6), &timers(2)), settings, |_| {}).unwrap()
}

/// Returns a series by step. As in TensorBoard, a restart replaces the earlier values from its step
/// on.
fn series(events: &[Event], tag: &str) -> BTreeMap<u64, f32> {
    let mut points = BTreeMap::new();
    for event in events {
        if event.is_start {
            points.split_off(&event.step);
        }
        if let Some(value) = event.scalars.get(tag) {
            assert!(
                points.insert(event.step, *value).is_none(),
                "duplicate {tag} at {}",
                event.step
            );
        }
    }
    points
}

fn steps(points: &BTreeMap<u64, f32>) -> Vec<u64> {
    points.keys().copied().collect()
}

#[test]
fn the_event_file_holds_the_log_and_the_settings() {
    let out = tempfile::tempdir().unwrap();
    let report = run(&settings(out.path(), 6));
    let folder = out.path().join("runs/a-b");
    let name = fs::read_dir(&folder)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .file_name();
    let name = name.into_string().unwrap();
    assert!(
        name.starts_with("events.out.tfevents.") && name.ends_with(".0"),
        "{name}"
    );
    assert_eq!(
        report.notes,
        [format!(
            "tensorboard --logdir {} shows this run",
            folder.display()
        )]
    );

    let all = events(&folder);
    assert_eq!(all[0].version.as_deref(), Some("brain.Event:2"));
    let loss = series(&all, "train/loss");
    assert_eq!(steps(&loss), [1, 2, 4, 6]); // the first is logged, too
    let mean = (report.steps[2].loss + report.steps[3].loss) / 2.0;
    assert_eq!(loss[&4], mean as f32);
    assert_eq!(
        series(&all, "train/grad_norm")[&6],
        report.steps[5].grad_norm as f32
    );
    assert_eq!(
        series(&all, "train/learning_rate")[&1],
        report.steps[0].learning_rate as f32
    );
    assert_eq!(series(&all, "train/epoch")[&3], report.steps[2].epoch as f32);
    let eval = series(&all, "eval/loss");
    assert_eq!(steps(&eval), [3, 6]);
    assert_eq!(eval[&3], report.steps[2].eval_loss.unwrap() as f32);
    assert_eq!(steps(&series(&all, "train/train_loss")), [6]);

    let text = |tag: &str| all.iter().find_map(|event| event.texts.get(tag)).unwrap();
    let args: Value = serde_json::from_str(text("args/text_summary")).unwrap();
    assert_eq!(
        (&args["logging_steps"], &args["report_to"]),
        (&json!(2), &json!(["tensorboard"]))
    );
    assert!(text("model_config/text_summary").contains("hidden_size"));
    assert!(text("evaluations/text_summary").starts_with("| step | epoch | eval_loss |"));

    let table = Table {
        columns: vec!["user".to_string()],
        rows: vec![vec![json!("tea")]],
    };
    assert!(report.log_table("comparison", &table).is_empty());
    let later = events(&folder).pop().unwrap();
    assert_eq!(
        later.texts["comparison/text_summary"],
        "| user |\n| --- |\n| tea |\n"
    );
}

#[test]
fn a_run_that_goes_on_makes_no_point_twice() {
    let out = tempfile::tempdir().unwrap();
    let whole = TrainConfig {
        save_steps: Some(4),
        ..settings(out.path(), 8)
    };
    run(&whole);
    let before = events(&out.path().join("runs/a-b"));
    let report = run(&TrainConfig {
        resume_from_checkpoint: Some(out.path().join("checkpoint-4")),
        ..whole
    });
    let all = events(&out.path().join("runs/a-b"));
    assert!(all.len() > before.len(), "the second file is read");
    assert_eq!(report.steps.len(), 8);
    for tag in ["train/loss", "eval/loss"] {
        assert_eq!(series(&all, tag), series(&before, tag));
    }
}

#[test]
fn a_folder_that_cannot_be_written_is_a_note_and_the_model_is_the_same() {
    let out = tempfile::tempdir().unwrap();
    fs::write(out.path().join("file"), "").unwrap();
    let weights = |settings: &TrainConfig| {
        let mut model = tiny_model();
        let report = train(&mut model, (&timers(6), &timers(2)), settings, |_| {}).unwrap();
        (report.notes, model.decoder.trainable().unwrap().buckets.clone())
    };
    let (notes, tracked) = weights(&TrainConfig {
        logging_dir: Some(out.path().join("file/logs")),
        ..settings(out.path(), 3)
    });
    assert_eq!(notes.len(), 1);
    assert!(
        notes[0].starts_with("tensorboard is off for this run: "),
        "{notes:?}"
    );
    let (notes, alone) = weights(&TrainConfig {
        report_to: Some(ReportTo::default()),
        ..settings(out.path(), 3)
    });
    assert!(notes.is_empty() && alone == tracked);
    assert!(!out.path().join("runs").exists());
}
