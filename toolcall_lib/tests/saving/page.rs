//! The page of a saved model, and its description of the training.

use super::tree;
use crate::common::tiny_model::tiny_model;
use crate::train::{config, timers};
use insta::assert_snapshot;
use std::fs;
use std::path::Path;
#[cfg(feature = "cli")]
use std::process::Command;
use toolcall_lib::files::Manifest;
use toolcall_lib::model::Training;
use toolcall_lib::train::{TrainConfig, train};
use toolcall_lib::{Dataset, Dtype, LoraConfig, Model, load, save, save_as};

fn page(folder: &Path) -> String {
    fs::read_to_string(folder.join("README.md")).unwrap()
}

fn opened(folder: &Path) -> Model {
    load(folder.to_str().unwrap()).unwrap()
}

/// A model that was trained for two steps on two files, and scored.
fn trained(settings: TrainConfig) -> Model {
    let folder = tempfile::tempdir().unwrap();
    let mut data = Dataset::default();
    for (name, rows) in [("timers.json", 3), ("more|timers.json", 1)] {
        timers(rows).save(folder.path().join(name)).unwrap();
        data.extend(Dataset::load(folder.path().join(name)).unwrap());
    }
    let base = folder.path().join("base");
    save(&tiny_model(), &base).unwrap();
    fs::write(
        base.join("README.md"),
        "---\nlanguage: en\nlicense: apache-2.0\n---\n",
    )
    .unwrap();
    let mut model = opened(&base);
    train(&mut model, (&data, &timers(2)), &settings, |_| {}).unwrap();
    model
}

#[test]
fn a_trained_model_tells_how_it_was_trained() {
    let folder = tempfile::tempdir().unwrap();
    let model = trained(config(2));
    let out = folder.path().join("tuned");
    save(&model, &out).unwrap();
    assert_snapshot!("page_trained", page(&out));
    assert!(
        Manifest::read(&out)
            .unwrap()
            .unwrap()
            .files
            .contains_key("README.md")
    );

    // the page of an exported model says the same
    let exported = folder.path().join("exported");
    save_as(&opened(&out), &exported, Dtype::Bf16).unwrap();
    assert_eq!(page(&exported), page(&out));
    assert_eq!(opened(&exported).training, model.training);
    assert_eq!(opened(&exported).license.as_deref(), Some("apache-2.0"));
}

#[test]
fn nothing_tells_where_it_was_trained_and_by_whom() {
    let folder = tempfile::tempdir().unwrap();
    let (out, own) = (folder.path().join("out"), folder.path().join("own-place"));
    let said = serde_json::json!({
        "report_to": "none",
        "logging_dir": own,
        "output_dir": own,
        "run_name": "own-name",
        "wandb_project": "own-project",
        "wandb_entity": "own-team",
    });
    let settings = config(1).with(said.as_object().unwrap().clone()).unwrap();
    save(&trained(settings), &out).unwrap();
    for file in ["README.md", "toolcall_training.json"] {
        let text = fs::read_to_string(out.join(file)).unwrap();
        assert!(text.contains("learning_rate") && !text.contains("own-"), "{text}");
    }
}

#[test]
fn an_adapter_has_a_page_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let settings = TrainConfig {
        lora: Some(LoraConfig::default()),
        predict_with_generate: false,
        ..config(2)
    };
    let model = trained(settings);
    save(&model, folder.path()).unwrap();
    assert_snapshot!("page_adapter", page(folder.path()));
}

#[test]
fn a_model_that_was_not_trained_tells_only_how_it_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    save(&tiny_model(), folder.path()).unwrap();
    assert_snapshot!("page_untrained", page(folder.path()));
    assert!(!folder.path().join("toolcall_training.json").exists());
}

/// The hub links a model to its base by an id, and knows no folders and files.
#[test]
fn only_an_id_on_the_hub_is_named_as_the_base() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("m.gguf");
    save_as(&tiny_model(), &file, Dtype::F16).unwrap();
    let mut model = opened(&file);
    save(&model, folder.path().join("of_file")).unwrap();
    assert!(!page(&folder.path().join("of_file")).contains("base_model"));
    model.origin = "Qwen/Qwen3-0.6B@main".to_string();
    save(&model, folder.path().join("of_hub")).unwrap();
    let text = page(&folder.path().join("of_hub"));
    assert!(
        text.starts_with("---\nbase_model: \"Qwen/Qwen3-0.6B\"\n"),
        "{text}"
    );
}

/// The commands of the page are run as they stand there, in a folder with nothing else.
#[cfg(feature = "cli")]
#[test]
fn the_command_for_a_file_works_as_it_stands() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model");
    save(&tiny_model(), &model).unwrap();
    let text = page(&model);
    let command = text
        .lines()
        .find_map(|line| line.strip_prefix("$ toolcall export "));
    let words = command.unwrap().replace("FOLDER", model.to_str().unwrap());
    let output = Command::new(env!("CARGO_BIN_EXE_toolcall"))
        .arg("export")
        .args(words.split(' '))
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    for file in ["gguf/model.gguf", "gguf/Modelfile"] {
        assert!(
            text.contains(file) && folder.path().join(file).is_file(),
            "{file}"
        );
    }
}

#[test]
fn a_page_that_was_changed_stays_and_is_nobody_elses_concern() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    save(&tiny_model(), &out).unwrap();
    let ours = page(&out);
    let mut model = tiny_model();
    train(&mut model, &timers(2), &config(1), |_| {}).unwrap();
    save(&model, &out).unwrap();
    assert_ne!(page(&out), ours, "ours is replaced");

    let changed = page(&out) + "\nMy own words.\n";
    fs::write(out.join("README.md"), &changed).unwrap();
    for model in [&tiny_model(), &model, &tiny_model()] {
        save(model, &out).unwrap();
        assert_eq!(page(&out), changed);
        let list = Manifest::read(&out).unwrap().unwrap();
        assert!(!list.files.contains_key("README.md"));
        list.verify(&out).unwrap();
    }
    fs::remove_file(out.join("README.md")).unwrap();
    save(&tiny_model(), &out).unwrap();
    assert_eq!(page(&out), ours);
    assert!(!tree(&out).contains_key(".saving"));
}

#[test]
fn training_that_cannot_be_read_is_a_note() {
    let folder = tempfile::tempdir().unwrap();
    save(&trained(config(1)), folder.path()).unwrap();
    fs::write(folder.path().join("toolcall_training.json"), "{}").unwrap();
    let model = opened(folder.path());
    assert_eq!(model.training, None::<Training>);
    let note = model
        .notes
        .iter()
        .find(|note| note.contains("toolcall_training.json"));
    assert!(note.is_some(), "{:?}", model.notes);
}

#[test]
fn only_a_name_is_a_licence() {
    for (front, license) in [
        ("---\nlicense: mit\n---\n", Some("mit")),
        ("---\nlicense: \"llama3.2\"\n---\n", Some("llama3.2")),
        ("---\nlicense:\n- mit\n---\n", None),
        ("---\nlicense: a\ttag: b\n---\n", None),
        ("license: mit\n", None),
    ] {
        let folder = tempfile::tempdir().unwrap();
        save(&tiny_model(), folder.path()).unwrap();
        fs::write(folder.path().join("README.md"), front).unwrap();
        assert_eq!(opened(folder.path()).license.as_deref(), license, "{front}");
    }
}
