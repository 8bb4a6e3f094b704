//! Resuming from a checkpoint: from which one, and with which settings.

use super::tree;
use crate::common::tiny_model::tiny_model;
use crate::train::{config, timers};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use toolcall_lib::files::{Entry, Manifest};
use toolcall_lib::train::{TrainConfig, TrainReport, train};
use toolcall_lib::{Dataset, LoraConfig, Result, save};

/// Trains into `out` for some steps, with a checkpoint after each.
fn run(out: &Path, steps: usize, change: impl FnOnce(&mut TrainConfig)) -> Result<TrainReport> {
    run_on(&timers(6), out, steps, change)
}

fn run_on(
    data: &Dataset,
    out: &Path,
    steps: usize,
    change: impl FnOnce(&mut TrainConfig),
) -> Result<TrainReport> {
    let mut settings = TrainConfig {
        output_dir: Some(out.into()),
        save_steps: Some(1),
        ..config(steps)
    };
    change(&mut settings);
    train(&mut tiny_model(), data, &settings, |_| {})
}

fn checkpoints(out: &Path) -> Vec<String> {
    let entries = fs::read_dir(out).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn resumes_from(folder: &Path) -> impl FnOnce(&mut TrainConfig) {
    let folder = folder.to_path_buf();
    move |settings| settings.resume_from_checkpoint = Some(folder)
}

#[test]
fn a_checkpoint_whose_page_was_edited_is_gone_on_from() {
    let area = tempfile::tempdir().unwrap();
    let out = area.path().join("out");
    run(&out, 1, |_| {}).unwrap();
    fs::write(out.join("checkpoint-1/README.md"), "mine").unwrap();
    let report = run(&out, 2, resumes_from(&out)).unwrap();
    assert_eq!(report.steps.len(), 2);
    fs::write(out.join("checkpoint-2/config.json"), "{}").unwrap();
    let refused = run(&out, 3, resumes_from(&out)).unwrap_err().to_string();
    assert!(
        refused.contains("config.json") && refused.contains("is damaged"),
        "{refused}"
    );
}

#[test]
fn a_checkpoint_with_a_file_that_is_not_listed_is_refused() {
    let area = tempfile::tempdir().unwrap();
    let out = area.path().join("out");
    run(&out, 1, |_| {}).unwrap();
    let checkpoint = out.join("checkpoint-1");
    let list = Manifest::read(&checkpoint).unwrap().unwrap();
    let refused = |without: &[&str]| {
        let mut list = list.clone();
        without.iter().for_each(|name| drop(list.files.remove(*name)));
        let text = serde_json::to_string(&list).unwrap();
        fs::write(checkpoint.join(Manifest::NAME), text).unwrap();
        run(&out, 2, resumes_from(&checkpoint)).unwrap_err().to_string()
    };
    let all: Vec<&str> = list.files.keys().map(String::as_str).collect();
    for without in [
        &all[..],
        &["model.safetensors"],
        &["optimizer/exp_avg/model.safetensors"],
    ] {
        let said = refused(without);
        assert!(said.starts_with("damaged checkpoint: "), "{said}");
        let expected = "is not in toolcall.json, which lists the checksums; resume from another checkpoint";
        assert!(said.ends_with(expected), "{said}");
    }
}

#[test]
fn the_settings_of_an_adapter_have_to_be_listed_too() {
    let area = tempfile::tempdir().unwrap();
    let out = area.path().join("out");
    let train = |steps: usize, from: Option<&Path>| {
        run(&out, steps, |settings| {
            settings.lora = Some(LoraConfig::default());
            settings.resume_from_checkpoint = from.map(Path::to_path_buf);
        })
    };
    train(1, None).unwrap();
    let checkpoint = out.join("checkpoint-1");
    let mut list = Manifest::read(&checkpoint).unwrap().unwrap();
    list.files.remove("adapter_config.json").unwrap();
    fs::write(
        checkpoint.join(Manifest::NAME),
        serde_json::to_string(&list).unwrap(),
    )
    .unwrap();
    let said = train(2, Some(&checkpoint)).unwrap_err().to_string();
    assert!(
        said.contains("adapter_config.json: is not in toolcall.json"),
        "{said}"
    );
}

#[test]
fn of_a_folder_the_latest_checkpoint_is_taken() {
    let area = tempfile::tempdir().unwrap();
    let out = area.path().join("out");
    run(&out, 3, |_| {}).unwrap();
    fs::create_dir(out.join("checkpoint-9")).unwrap(); // not ours
    let report = run(&out, 4, resumes_from(&out)).unwrap();
    let from = format!(
        "resuming from {}, after 3 steps",
        out.join("checkpoint-3").display()
    );
    assert_eq!(report.notes[0], from);
    assert_eq!(report.steps.len(), 4);

    // the latest is the last one that was saved, not the one of an earlier run with the most steps
    run(&out, 2, |_| {}).unwrap();
    let report = run(&out, 3, resumes_from(&out)).unwrap();
    assert!(
        report.notes[0].ends_with("checkpoint-2, after 2 steps"),
        "{:?}",
        report.notes
    );

    let empty = area.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let refusal = |folder: &Path| run(&out, 3, resumes_from(folder)).unwrap_err().to_string();
    assert!(refusal(&empty).contains("empty: holds no checkpoint"));
    assert!(refusal(&area.path().join("no")).contains("no: there is no such folder; expected a checkpoint"));
}

#[test]
fn no_more_checkpoints_are_kept_than_wanted() {
    let area = tempfile::tempdir().unwrap();
    let limit = |limit| move |settings: &mut TrainConfig| settings.save_total_limit = Some(limit);
    run(area.path(), 5, limit(2)).unwrap();
    assert_eq!(checkpoints(area.path()), ["checkpoint-4", "checkpoint-5"]);

    // checkpoints of an earlier run are older; one with other files in it stays
    fs::write(area.path().join("checkpoint-4/notes.txt"), "mine").unwrap();
    run(area.path(), 2, limit(1)).unwrap();
    assert_eq!(checkpoints(area.path()), ["checkpoint-2", "checkpoint-4"]);
    assert_eq!(
        fs::read_to_string(area.path().join("checkpoint-4/notes.txt")).unwrap(),
        "mine"
    );
    let none = run(area.path(), 1, limit(0)).unwrap_err().to_string();
    assert!(none.contains("save_total_limit: is too small"), "{none}");
}

#[test]
fn a_checkpoint_of_somebody_else_is_refused_before_step_1() {
    let area = tempfile::tempdir().unwrap();
    fs::create_dir(area.path().join("checkpoint-7")).unwrap();
    fs::write(area.path().join("checkpoint-7/model.bin"), "mine").unwrap();
    let said = run(area.path(), 1, |_| {}).unwrap_err().to_string();
    assert!(
        said.contains("checkpoint-7: was not written by toolcall"),
        "{said}"
    );
}

#[test]
fn a_checkpoint_that_cannot_be_written_does_not_end_the_run() {
    let area = tempfile::tempdir().unwrap();
    let settings = TrainConfig {
        output_dir: Some(area.path().into()),
        save_steps: Some(1),
        ..config(3)
    };
    let mut model = tiny_model();
    let report = train(&mut model, &timers(4), &settings, |step| {
        if step.step == 2 {
            fs::write(area.path().join("checkpoint-2"), "in the way").unwrap();
        }
    });
    let report = report.unwrap();
    assert_eq!(report.steps.len(), 3);
    let [note] = &report.notes[..] else {
        panic!("{:?}", report.notes)
    };
    assert!(
        note.starts_with("checkpoint-2 could not be saved, and training continues: "),
        "{note}"
    );
    assert_eq!(
        checkpoints(area.path()),
        ["checkpoint-1", "checkpoint-2", "checkpoint-3"]
    );
    assert_eq!(
        fs::read_to_string(area.path().join("checkpoint-2")).unwrap(),
        "in the way"
    );
}

#[test]
fn a_checkpoint_that_exists_is_replaced_by_the_same() {
    let area = tempfile::tempdir().unwrap();
    let (out, copy) = (area.path().join("out"), area.path().join("copy"));
    run(&out, 3, |_| {}).unwrap();
    run(&copy, 1, |_| {}).unwrap();
    let before = tree(&out);
    run(&out, 3, resumes_from(&copy)).unwrap();
    let after = tree(&out);
    let differing = before
        .iter()
        .filter(|(path, what)| after.get(*path) != Some(what));
    let names: Vec<&str> = differing
        .filter_map(|(path, _)| path.rsplit('/').next())
        .collect();
    assert!(
        names
            .iter()
            .all(|name| ["trainer_state.json", "toolcall.json"].contains(name)),
        "{names:?}"
    );
    assert_eq!(before.len(), after.len());
}

#[test]
fn what_differs_is_told_and_this_run_wins() {
    let area = tempfile::tempdir().unwrap();
    let out = area.path().join("out");
    run(&out, 2, |_| {}).unwrap();
    let checkpoint = out.join("checkpoint-2");
    let notes = |data: u64, change: &dyn Fn(&mut TrainConfig)| {
        let report = run_on(&timers(data), &area.path().join("other"), 3, |settings| {
            settings.resume_from_checkpoint = Some(checkpoint.clone());
            change(settings);
        });
        report.unwrap().notes[1..].join("\n")
    };
    let told = notes(6, &|_| {});
    assert_eq!(told, "max_steps: 3 from here on, 2 before");
    let told = notes(6, &|settings| settings.max_steps = Some(2));
    assert_eq!(told, "");
    let told = notes(5, &|settings| {
        settings.learning_rate = 1e-4;
        settings.seed = 7;
        settings.adam_beta1 = 0.5;
        settings.per_device_train_batch_size = 2;
    });
    for line in [
        "learning_rate: 0.0001 from here on, 0.003 before",
        "seed: 7 from here on, 42 before",
        "adam_beta1: 0.5 from here on, 0.9 before",
        "conversations of a step: 2 from here on, 4 before",
        "conversations to train on: 5 others from here on, 6 before",
    ] {
        assert!(told.contains(line), "{line}: {told}");
    }
    let told = notes(6, &|settings| {
        settings.per_device_train_batch_size = 2; // split differently, but the same number
        settings.gradient_accumulation_steps = 2;
        settings.max_steps = Some(2);
    });
    assert_eq!(told, "");

    let losses = |change: &dyn Fn(&mut TrainConfig)| -> Vec<f64> {
        let report = run(&area.path().join("another"), 4, |settings| {
            settings.resume_from_checkpoint = Some(checkpoint.clone());
            change(settings);
        });
        report.unwrap().steps.iter().map(|step| step.loss).collect()
    };
    assert_ne!(
        losses(&|_| {}),
        losses(&|settings| settings.adam_beta1 = 0.1),
        "it is used"
    );
}

#[test]
fn a_damaged_checkpoint_is_refused_by_file() {
    let area = tempfile::tempdir().unwrap();
    run(area.path(), 1, |_| {}).unwrap();
    let checkpoint = area.path().join("checkpoint-1");
    let good = tree(&checkpoint);
    let checked = |path: &str, content: &[u8]| content != b"a folder" && !path.ends_with("README.md");
    for (path, (content, _)) in good.iter().filter(|(path, (content, _))| checked(path, content)) {
        let file = checkpoint.join(path);
        let mut damaged = content.clone();
        let middle = damaged.len() / 2;
        damaged[middle] ^= 1;
        for bad in [&damaged, &content[..content.len() / 2]] {
            fs::write(&file, bad).unwrap();
            let said = run(area.path(), 2, resumes_from(&checkpoint))
                .unwrap_err()
                .to_string();
            assert!(said.contains(path) || path == "toolcall.json", "{path}: {said}");
        }
        fs::remove_file(&file).unwrap();
        run(area.path(), 2, resumes_from(&checkpoint)).unwrap_err();
        fs::write(&file, content).unwrap();
    }
    run(area.path(), 2, resumes_from(&checkpoint)).unwrap();
}

/// Changes a file of a checkpoint, and the list of its files so that it fits.
fn forge(checkpoint: &Path, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let mut content = fs::read(checkpoint.join(name)).unwrap();
    change(&mut content);
    fs::write(checkpoint.join(name), &content).unwrap();
    let output = toolcall_lib::files::Output::open(checkpoint.join("forged")).unwrap();
    output.save(&[], |draft| draft.write("file", &content)).unwrap();
    let entry: Entry = Manifest::read(&checkpoint.join("forged")).unwrap().unwrap().files["file"].clone();
    drop(output);
    fs::remove_dir_all(checkpoint.join("forged")).unwrap();
    let mut list = Manifest::read(checkpoint).unwrap().unwrap();
    list.files.insert(name.to_string(), entry);
    fs::write(
        checkpoint.join(Manifest::NAME),
        serde_json::to_vec(&list).unwrap(),
    )
    .unwrap();
}

#[test]
fn a_checkpoint_without_sense_is_refused_though_its_checksums_fit() {
    let area = tempfile::tempdir().unwrap();
    let refusal = |name: &str, change: &dyn Fn(&mut Vec<u8>)| {
        run(area.path(), 2, |_| {}).unwrap();
        let checkpoint = area.path().join("checkpoint-2");
        forge(&checkpoint, name, change);
        let said = run(area.path(), 3, resumes_from(&checkpoint))
            .unwrap_err()
            .to_string();
        fs::remove_dir_all(&checkpoint).unwrap();
        said
    };
    let last_weight = |value: f32| {
        move |bytes: &mut Vec<u8>| {
            let at = bytes.len() - 4;
            bytes[at..].copy_from_slice(&value.to_le_bytes());
        }
    };
    for file in ["model.safetensors", "optimizer/exp_avg/model.safetensors"] {
        let said = refusal(file, &last_weight(f32::NAN));
        assert!(
            said.contains(file) && said.contains("model.norm.weight[63] is NaN"),
            "{said}"
        );
    }
    let said = refusal("optimizer/exp_avg_sq/model.safetensors", &last_weight(-1.0));
    assert!(said.contains("model.norm.weight has negative elements"), "{said}");
    let said = refusal("trainer_state.json", &|text| {
        let mut state: Value = serde_json::from_slice(text).unwrap();
        state["stateful_callbacks"]["toolcall"]["steps"][1]["step"] = json!(7);
        *text = state.to_string().into_bytes();
    });
    assert!(
        said.contains("trainer_state.json: found step 7, expected step 2"),
        "{said}"
    );
}

#[test]
fn a_run_that_has_made_all_its_steps_makes_no_more() {
    let area = tempfile::tempdir().unwrap();
    run(area.path(), 3, |_| {}).unwrap();
    let report = run(area.path(), 2, resumes_from(area.path())).unwrap();
    assert_eq!(report.steps.len(), 3);
    save(&tiny_model(), area.path()).unwrap();
}
