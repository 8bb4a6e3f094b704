//! Places that cannot be saved to are refused before the work begins, and other files are left
//! alone.

use super::tree;
use crate::common::tiny_model::tiny_model;
use crate::train::{config, timers};
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use toolcall_lib::checkpoint::{reserve, reserve_folder, save_somewhere};
use toolcall_lib::files::{self, Manifest, Output};
use toolcall_lib::train::{TrainConfig, train};
use toolcall_lib::{Dtype, LoraConfig, Model, load, save, save_as};

/// A model that differs from the tiny one.
fn other_model() -> Model {
    let mut model = tiny_model();
    let weights = model.decoder.trainable_mut().unwrap();
    weights
        .buckets
        .iter_mut()
        .flatten()
        .for_each(|weight| *weight *= 0.5);
    model
}

fn assert_holds(folder: &Path, model: &Model) {
    let loaded = load(folder.to_str().unwrap()).unwrap();
    let weights = |model: &Model| model.decoder.weights.to_f32().buckets.clone();
    assert!(
        weights(&loaded) == weights(model),
        "{} holds another model",
        folder.display()
    );
}

fn refusal(folder: &Path) -> String {
    let refused = save(&tiny_model(), folder).unwrap_err().to_string();
    let training = TrainConfig {
        output_dir: Some(folder.into()),
        ..config(1)
    };
    let before_step_1 = |_: &_| panic!("a step was made");
    let train = train(&mut tiny_model(), &timers(1), &training, before_step_1).unwrap_err();
    assert_eq!(
        train.to_string(),
        refused,
        "training is refused in the same words"
    );
    refused
}

#[test]
fn other_files_are_left_alone_and_a_saved_model_is_replaced() {
    let area = tempfile::tempdir().unwrap();
    let out = area.path().join("out");
    fs::create_dir_all(out.join(".saving-x")).unwrap();
    fs::create_dir_all(out.join("notes/deep")).unwrap();
    for file in [
        ".DS_Store",
        "log.txt",
        "README.md",
        "#model.rs#",
        "notes/deep/a.txt",
        "checkpoint-best",
    ] {
        fs::write(out.join(file), file).unwrap();
    }
    symlink(".", out.join("loop")).unwrap();
    symlink("nowhere", out.join("broken")).unwrap();
    let before = tree(&out);
    let untouched = || {
        let now = tree(&out);
        before.iter().all(|(path, what)| now.get(path) == Some(what))
    };
    save(&tiny_model(), &out).unwrap();
    assert!(untouched());
    assert_holds(&out, &tiny_model());
    save(&other_model(), &out).unwrap();
    assert!(untouched());
    assert_holds(&out, &other_model());
    assert_eq!(tree(&out).len(), before.len() + 7, "seven files are ours");
    assert_eq!(
        tree(area.path()).len(),
        tree(&out).len() + 1,
        "nothing is next to the folder"
    );
}

#[test]
fn an_open_log_goes_on() {
    use std::io::Write;
    let area = tempfile::tempdir().unwrap();
    let mut log = File::create(area.path().join("log.txt")).unwrap();
    save(&tiny_model(), area.path()).unwrap();
    save(&other_model(), area.path()).unwrap();
    log.write_all(b"after").unwrap();
    assert_eq!(fs::read_to_string(area.path().join("log.txt")).unwrap(), "after");
}

#[test]
fn model_files_of_somebody_else_are_refused_by_name() {
    for name in [
        "config.json",
        "tokenizer.json",
        "adapter_config.json",
        "model.safetensors",
        "toolcall.json",
    ] {
        let area = tempfile::tempdir().unwrap();
        fs::write(area.path().join(name), "mine").unwrap();
        let before = tree(area.path());
        let said = refusal(area.path());
        assert!(
            said.contains(name) && said.contains("toolcall wrote") | said.contains("by toolcall"),
            "{said}"
        );
        assert_eq!(tree(area.path()), before);
    }
    let area = tempfile::tempdir().unwrap();
    fs::write(area.path().join("elsewhere"), "mine").unwrap();
    symlink("elsewhere", area.path().join("model.safetensors")).unwrap();
    let said = refusal(area.path());
    assert!(
        said.contains("model.safetensors: was not written by toolcall"),
        "{said}"
    );
}

#[test]
fn a_folder_with_the_name_of_a_model_file_is_refused() {
    let names = [
        "config.json",
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "chat_template.jinja",
        "model.safetensors",
        "tools.json",
        "toolcall.json",
        "toolcall_training.json",
        "train_report.json",
        "trainer_state.json",
    ];
    for (name, over_a_model) in names.into_iter().flat_map(|name| [(name, false), (name, true)]) {
        let area = tempfile::tempdir().unwrap();
        if over_a_model {
            save(&tiny_model(), area.path()).unwrap();
            fs::remove_file(area.path().join(name)).ok();
        }
        fs::create_dir(area.path().join(name)).unwrap();
        let before = tree(area.path());
        let said = refusal(area.path());
        assert!(said.contains(name), "{said}");
        assert_eq!(tree(area.path()), before, "{name}");
    }
    let area = tempfile::tempdir().unwrap();
    fs::create_dir_all(area.path().join("additional_chat_templates/tool_use.jinja")).unwrap();
    let said = refusal(area.path());
    assert!(
        said.contains("additional_chat_templates: was not written by toolcall"),
        "{said}"
    );
    fs::remove_dir(area.path().join("additional_chat_templates/tool_use.jinja")).unwrap();
    save(&tiny_model(), area.path()).unwrap(); // an empty folder does not matter
}

#[test]
fn a_run_can_write_to_the_folder_that_it_works_in() {
    let area = tempfile::tempdir().unwrap();
    fs::write(area.path().join("rows.json"), "mine").unwrap();
    save(&tiny_model(), area.path().join(".")).unwrap();
    save(&other_model(), area.path().join("./")).unwrap();
    assert_holds(area.path(), &other_model());
    assert_eq!(fs::read_to_string(area.path().join("rows.json")).unwrap(), "mine");
}

#[test]
fn a_file_of_ours_that_was_edited_is_no_longer_ours() {
    let area = tempfile::tempdir().unwrap();
    save(&tiny_model(), area.path()).unwrap();
    let file = area.path().join("generation_config.json");
    fs::write(&file, "{\"temperature\": 0.3}").unwrap();
    let said = refusal(area.path());
    assert!(
        said.contains("generation_config.json: has been changed since toolcall wrote it"),
        "{said}"
    );
    fs::remove_file(&file).unwrap();
    save(&other_model(), area.path()).unwrap();
    assert_holds(area.path(), &other_model());

    let weights = area.path().join("model.safetensors");
    fs::set_permissions(&weights, fs::Permissions::from_mode(0o444)).unwrap();
    assert!(refusal(area.path()).contains("model.safetensors: is write-protected"));
}

#[test]
fn what_is_not_a_folder_is_refused() {
    let area = tempfile::tempdir().unwrap();
    let path = |name: &str| area.path().join(name);
    fs::write(path("file"), "mine").unwrap();
    symlink("nowhere", path("dangling")).unwrap();
    assert!(refusal(&path("file")).contains("file: is a file; expected a folder"));
    let said = refusal(&path("dangling"));
    assert!(
        said.contains("dangling: is a link to nowhere, which does not exist"),
        "{said}"
    );
    assert!(refusal(&path("file/in/it")).contains("file/in"));
    assert!(refusal(Path::new("")).contains("the folder to save to: its name is empty"));
    fs::create_dir_all(path("taken/.saving")).unwrap();
    fs::write(path("taken/.saving/mine.txt"), "mine").unwrap();
    let said = refusal(&path("taken"));
    assert!(
        said.contains(".saving/mine.txt: was not written by toolcall"),
        "{said}"
    );
    assert_eq!(fs::read_to_string(path("file")).unwrap(), "mine");

    let gguf = TrainConfig {
        output_dir: Some(path("tuned.gguf")),
        ..config(1)
    };
    let said = train(&mut tiny_model(), &timers(1), &gguf, |_| {})
        .unwrap_err()
        .to_string();
    assert!(
        said.contains("tuned.gguf: names a GGUF file; choose a folder here"),
        "{said}"
    );
    fs::create_dir(path("folder.gguf")).unwrap();
    let said = reserve(&path("folder.gguf")).unwrap_err().to_string();
    assert!(
        said.contains("folder.gguf: is a folder; expected the name of a file"),
        "{said}"
    );
    assert!(!path("tuned.gguf").exists());
}

#[test]
fn a_folder_that_a_failed_run_made_is_removed() {
    let area = tempfile::tempdir().unwrap();
    let settings = TrainConfig {
        output_dir: Some(area.path().join("a/b/out")),
        max_length: Some(10), // no row is that short
        ..config(1)
    };
    train(&mut tiny_model(), &timers(1), &settings, |_| {}).unwrap_err();
    assert!(tree(area.path()).is_empty());
}

#[test]
fn a_link_to_a_folder_is_written_through_and_modes_stay() {
    let area = tempfile::tempdir().unwrap();
    let (real, link) = (area.path().join("real"), area.path().join("link"));
    fs::create_dir(&real).unwrap();
    fs::set_permissions(&real, fs::Permissions::from_mode(0o700)).unwrap();
    symlink("real", &link).unwrap();
    save(&tiny_model(), &link).unwrap();
    fs::set_permissions(real.join("model.safetensors"), fs::Permissions::from_mode(0o640)).unwrap();
    save(&other_model(), &link).unwrap();
    assert!(link.is_symlink());
    assert_holds(&real, &other_model());
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(
        (mode(&real), mode(&real.join("model.safetensors"))),
        (0o700, 0o640)
    );
}

#[test]
fn a_folder_in_use_is_refused_and_its_user_is_named() {
    let area = tempfile::tempdir().unwrap();
    let work = area.path().join(".saving");
    fs::create_dir(&work).unwrap();
    fs::write(work.join("lock"), "process 4711 on elsewhere, since yesterday,\n").unwrap();
    let other = File::open(work.join("lock")).unwrap();
    other.lock().unwrap();
    let said = refusal(area.path());
    let expected = "process 4711 on elsewhere, since yesterday, is writing there; wait until it has ended";
    assert!(said.contains(expected), "{said}");
    drop(other);
    save(&tiny_model(), area.path()).unwrap(); // what a killed process left does not block others
    assert!(!work.exists());
}

#[test]
fn a_folder_that_was_replaced_meanwhile_is_not_written_to() {
    let area = tempfile::tempdir().unwrap();
    let out = area.path().join("out");
    let held = Output::open(&out).unwrap();
    fs::rename(&out, area.path().join("moved")).unwrap();
    fs::create_dir(&out).unwrap();
    let said = held
        .save(&[], |draft| draft.write("a", "b"))
        .unwrap_err()
        .to_string();
    assert!(
        said.contains("has been moved or removed since this run took it"),
        "{said}"
    );
}

#[test]
fn a_model_that_cannot_be_saved_where_it_should_be_is_saved_elsewhere() {
    let area = tempfile::tempdir().unwrap();
    let out = area.path().join("out");
    fs::create_dir(&out).unwrap();
    fs::write(out.join("config.json"), "mine").unwrap();
    let error = save_somewhere(&out, |folder| save(&tiny_model(), folder))
        .unwrap_err()
        .to_string();
    let (_, place) = error.split_once("it is saved in ").unwrap();
    let place = Path::new(place.strip_suffix(" instead").unwrap());
    assert!(
        error.contains("config.json: was not written by toolcall"),
        "{error}"
    );
    assert!(place.starts_with(area.path()));
    assert_holds(place, &tiny_model());
    assert_eq!(fs::read_to_string(out.join("config.json")).unwrap(), "mine");
}

#[test]
fn an_adapter_does_not_take_the_place_of_its_model() {
    let area = tempfile::tempdir().unwrap();
    save(&tiny_model(), area.path()).unwrap();
    let mut model = load(area.path().to_str().unwrap()).unwrap();
    model.add_adapter(LoraConfig::default(), 1).unwrap();
    let said = save(&model, area.path()).unwrap_err().to_string();
    assert!(said.contains("holds the model that the adapter is for"), "{said}");
    assert_holds(area.path(), &tiny_model());
}

#[test]
fn a_gguf_file_of_somebody_else_is_not_replaced() {
    let area = tempfile::tempdir().unwrap();
    let file = area.path().join("tiny.gguf");
    fs::write(&file, "GGUF of somebody else").unwrap();
    let said = save_as(&tiny_model(), &file, Dtype::F16).unwrap_err().to_string();
    assert!(said.contains("tiny.gguf: was not written by toolcall"), "{said}");
    fs::remove_file(&file).unwrap();
    save_as(&tiny_model(), &file, Dtype::F16).unwrap();
    save_as(&tiny_model(), &file, Dtype::Q8_0).unwrap(); // ours
    load(file.to_str().unwrap()).unwrap();
    assert_eq!(tree(area.path()).len(), 2); // and its Modelfile
    fs::remove_file(area.path().join("Modelfile")).unwrap();
    fs::create_dir(area.path().join("Modelfile")).unwrap();
    save_as(&tiny_model(), &file, Dtype::Q8_0).unwrap(); // a folder stays as it is, with a note
}

/// A folder is made for a file as for a model, and removed if nothing is written.
#[test]
fn the_folders_of_a_file_are_created_when_it_is_written() {
    let area = tempfile::tempdir().unwrap();
    let file = area.path().join("new/gguf/tiny.gguf");
    assert!(reserve(&file).unwrap().is_none());
    save_as(&tiny_model(), &file, Dtype::Auto).unwrap_err();
    let fails = |_: &mut _| Err(toolcall_lib::Error::invalid("row 3", "no"));
    files::replace(&file, fails).unwrap_err();
    assert!(tree(area.path()).is_empty());
    save_as(&tiny_model(), &file, Dtype::F16).unwrap();
    load(file.to_str().unwrap()).unwrap();
    assert!(file.with_file_name("Modelfile").is_file());
}

#[test]
fn a_list_of_files_that_names_others_is_refused() {
    let area = tempfile::tempdir().unwrap();
    for name in ["../other", "/etc/passwd", ""] {
        let entry = r#"{"bytes": 1, "sha256": "00"}"#;
        fs::write(
            area.path().join(Manifest::NAME),
            format!(r#"{{"files": {{"{name}": {entry}}}}}"#),
        )
        .unwrap();
        let said = refusal(area.path());
        assert!(said.contains("is not a name in this folder"), "{said}");
    }
}

#[test]
fn a_single_file_is_replaced_whole() {
    let area = tempfile::tempdir().unwrap();
    let path = |name: &str| area.path().join(name);
    fs::write(path("real"), "old").unwrap();
    fs::set_permissions(path("real"), fs::Permissions::from_mode(0o600)).unwrap();
    symlink("real", path("link")).unwrap();
    fs::write(
        path(".real.saving"),
        "left by a crash, and longer than what follows",
    )
    .unwrap();
    files::write(&path("link"), "new").unwrap();
    assert_eq!(fs::read_to_string(path("real")).unwrap(), "new");
    assert!(path("link").is_symlink());
    assert_eq!(
        path("real").metadata().unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert_eq!(tree(area.path()).len(), 2);

    let fails = |_: &mut _| Err(toolcall_lib::Error::invalid("row 3", "no"));
    files::replace(&path("real"), fails).unwrap_err();
    assert_eq!(fs::read_to_string(path("real")).unwrap(), "new");
    files::write(Path::new("/dev/null"), "gone").unwrap();
    let device = Path::new("/dev/null").metadata().unwrap();
    assert!(!device.is_file() && tree(area.path()).len() == 2);
    symlink("nowhere", path("dangling")).unwrap();
    let said = files::write(&path("dangling"), "").unwrap_err().to_string();
    assert!(
        said.contains("is a link to nowhere, which does not exist"),
        "{said}"
    );
}

#[test]
fn a_reserved_folder_can_be_saved_to_by_the_same_process() {
    let area = tempfile::tempdir().unwrap();
    let out = area.path().join("out");
    let held = reserve_folder(&out).unwrap();
    save(&tiny_model(), &out).unwrap();
    assert_holds(&out, &tiny_model());
    drop(held);
    assert!(!out.join(".saving").exists());
}
