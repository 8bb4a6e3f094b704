//! Ends the program, or fills the disk, at every system call with which it changes something; then
//! it runs again.

use super::power::{Call, calls};
use super::program::{Place, lasting, said, settings};
use super::{Tree, tree, without};
use crate::common::tiny_model::tiny_model;
use crate::train::{config, timers};
use rayon::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use tempfile::TempDir;
use toolcall_lib::train::{TrainConfig, train};
use toolcall_lib::{Model, load, save};

/// The library that makes calls fail, compiled here.
pub fn shim() -> PathBuf {
    static SHIM: OnceLock<TempDir> = OnceLock::new();
    let folder = SHIM.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/saving/faults.c");
        let mut compiler = Command::new(std::env::var_os("CC").unwrap_or("cc".into()));
        compiler
            .args(["-O1", "-shared", "-fPIC", "-o"])
            .arg(folder.path().join("faults.so"))
            .arg(source);
        let output = compiler
            .arg("-ldl")
            .output()
            .expect("a C compiler is needed, as for building");
        assert!(output.status.success(), "{}", said(&output));
        folder
    });
    folder.path().join("faults.so")
}

/// A run: its settings, and the folder that it finds.
pub struct Scene {
    settings: Value,
    /// The output folder before the run.
    found: TempDir,
}

/// A model that was trained before, and files of the user.
fn a_model_and_other_files(out: &Path) {
    let mut old = tiny_model();
    // another tokenizer too, so that more than one file differs
    old.tokenizer
        .config
        .insert("model_max_length".to_string(), json!(1234));
    save(&old, out).unwrap();
    users_files(out);
}

/// Checkpoints of an earlier run, one of which will be written again and one that is too many.
fn earlier_checkpoints(out: &Path) {
    let settings = TrainConfig {
        output_dir: Some(out.into()),
        save_steps: Some(1),
        ..config(2)
    };
    train(&mut tiny_model(), &timers(2), &settings, |_| {}).unwrap();
    users_files(out);
}

fn users_files(out: &Path) {
    fs::create_dir_all(out.join("notes/deep")).unwrap();
    for name in [".DS_Store", "log.txt", "notes/deep/a.txt"] {
        fs::write(out.join(name), name).unwrap();
    }
    symlink(".", out.join("loop")).unwrap();
}

impl Scene {
    fn new(changes: Value, prepare: impl Fn(&Path)) -> Self {
        let found = tempfile::tempdir().unwrap();
        prepare(&found.path().join("out"));
        Self {
            settings: settings(changes),
            found,
        }
    }

    pub fn new_folder() -> Self {
        Self::new(json!({"save_steps": 1, "save_total_limit": 1}), |_| {})
    }

    pub fn over_a_model() -> Self {
        Self::new(json!({"max_steps": 1}), a_model_and_other_files)
    }

    pub fn with_checkpoints() -> Self {
        Self::new(
            json!({"save_steps": 1, "save_total_limit": 1}),
            earlier_checkpoints,
        )
    }

    /// Copies the files before a run.
    pub fn place(&self) -> Place {
        let place = Place::new();
        let found = self.found.path().join("out");
        if found.exists() {
            let copied = Command::new("cp")
                .arg("-a")
                .arg(found)
                .arg(place.area())
                .status()
                .unwrap();
            assert!(copied.success());
        }
        place
    }

    /// Makes the links that were in the folder.
    pub fn add_links(&self, out: &Path, before: &Tree) {
        if before.contains_key("loop") {
            symlink(".", out.join("loop")).unwrap();
        }
    }

    fn run(&self, place: &Place, arguments: &[&str], fault: Option<(&str, usize)>) -> Output {
        let mut command = place.train(&self.settings, arguments);
        if let Some((fault, at)) = fault {
            command
                .env("LD_PRELOAD", shim())
                .env("FAULT_UNDER", place.area().canonicalize().unwrap())
                .env("FAULT", fault)
                .env("FAULT_AT", at.to_string());
        }
        command.output().unwrap()
    }

    /// Starts the run again after it was cut short, or resumes it from its checkpoints.
    pub fn run_again(&self, place: &Place) -> Output {
        let is_checkpoint = |name: &str| name.starts_with("checkpoint-");
        let holds_some = |folder: &Path| tree(folder).keys().any(|path| is_checkpoint(path));
        let out = place.out();
        match holds_some(&out) && !holds_some(&self.found.path().join("out")) {
            true => self.run(place, &["--resume", out.to_str().unwrap()], None),
            false => self.run(place, &[], None),
        }
    }

    /// A whole run and its calls.
    pub fn logged(&self) -> (Place, Vec<Call>) {
        let (place, log) = (self.place(), tempfile::NamedTempFile::new().unwrap());
        let mut command = place.train(&self.settings, &[]);
        command
            .env("LD_PRELOAD", shim())
            .env("FAULT_UNDER", place.area().canonicalize().unwrap())
            .env("FAULT_LOG", log.path());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        let calls = calls(&fs::read(log.path()).unwrap());
        (place, calls)
    }

    /// Tries every fault at every call.
    fn play(&self) {
        let before = tree(&self.place().out());
        let (undisturbed, calls) = self.logged();
        let want = lasting(&undisturbed.area());
        let calls: Vec<String> = calls.into_iter().map(|call| call.name).collect();
        assert!(calls.len() > 40, "{calls:?}");
        let cases: Vec<(&str, usize)> = (1..=calls.len())
            .flat_map(|at| {
                let torn = (calls[at - 1] == "write").then_some("torn");
                ["kill", "fail", "full"]
                    .into_iter()
                    .chain(torn)
                    .map(move |fault| (fault, at))
            })
            .collect();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(4).build().unwrap(); // it waits for programs
        pool.install(|| {
            cases.par_iter().for_each(|&(fault, at)| {
                let what = format!("{fault} at call {at} of {} ({})", calls.len(), calls[at - 1]);
                self.try_one(&what, fault, at, &before, &want);
            });
        });
        println!("{} faults", cases.len());
    }

    fn try_one(&self, what: &str, fault: &str, at: usize, before: &Tree, want: &Tree) {
        let place = self.place();
        let output = self.run(&place, &[], Some((fault, at)));
        let said_first = said(&output);
        assert!(!said_first.contains("panicked"), "{what}: {said_first}");
        let ended = output.status.signal() == Some(9);
        assert_eq!(ended, ["kill", "torn"].contains(&fault), "{what}: {said_first}");

        assert_users_files_are_there(what, &place.out(), before);
        assert_no_mixture(what, &place.out(), before, want);
        let rescued = assert_nothing_is_lost(what, &place, &output, want);

        let again = self.run_again(&place);
        let said_again = said(&again);
        assert!(again.status.success(), "{what}: again: {said_again}");
        let mut end = lasting(&place.area());
        end.retain(|path, _| !rescued.iter().any(|name| path.starts_with(name)));
        let differing = |a: &Tree, b: &Tree| -> Vec<String> {
            a.iter()
                .filter(|(path, what)| b.get(*path) != Some(what))
                .map(|(path, _)| path.clone())
                .collect()
        };
        let (more, less) = (differing(&end, want), differing(want, &end));
        assert!(
            more.is_empty() && less.is_empty(),
            "{what}: {more:?}, not {less:?}\n{said_first}{said_again}"
        );
    }
}

/// Files that the program did not write are unchanged.
pub fn assert_users_files_are_there(what: &str, out: &Path, before: &Tree) {
    let now = tree(out);
    for (path, found) in before {
        let is_users = [".DS_Store", "log.txt", "notes", "loop"]
            .iter()
            .any(|name| path.starts_with(name));
        assert!(!is_users || now.get(path) == Some(found), "{what}: {path}");
    }
}

/// A program that reads the folder finds the old model, the new one, or none.
pub fn assert_no_mixture(what: &str, out: &Path, before: &Tree, want: &Tree) {
    const READ: [&str; 7] = [
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "tools.json",
    ];
    let model = |tree: &Tree, prefix: &str| -> BTreeMap<String, Vec<u8>> {
        let file = |name: &str| Some((name.to_string(), tree.get(&format!("{prefix}{name}"))?.0.clone()));
        READ.into_iter().filter_map(file).collect()
    };
    let now = model(&tree(out), "");
    let is_whole = now == model(before, "") || now == model(want, "out/");
    assert!(is_whole || !now.contains_key("config.json"), "{what}: a mixture");
    for (path, _) in without(&tree(out), &["notes", "loop", ".saving"]) {
        if let Some(folder) = path.strip_suffix("/config.json") {
            load_weights(&out.join(folder)); // a checkpoint that is there is whole
        }
    }
}

fn load_weights(folder: &Path) -> Vec<Vec<f32>> {
    let model: Model = load(folder.to_str().unwrap()).unwrap();
    model.decoder.trainable().unwrap().buckets.clone()
}

/// A run that was not ended has a model in its folder, or where it says. Returns the names of the
/// models that it saved elsewhere in the area.
fn assert_nothing_is_lost(what: &str, place: &Place, output: &Output, want: &Tree) -> Vec<String> {
    let said = said(output);
    let trained = &want["out/model.safetensors"].0;
    let holds =
        |folder: &Path| fs::read(folder.join("model.safetensors")).is_ok_and(|bytes| bytes == *trained);
    if output.status.success() {
        assert!(holds(&place.out()), "{what}: {said}");
    } else if output.status.signal().is_none() {
        let elsewhere = said
            .split_once("it is saved in ")
            .and_then(|(_, rest)| rest.split_once(" instead"));
        let made_no_step = !said.contains("step ");
        match elsewhere {
            Some((folder, _)) => assert!(holds(Path::new(folder)), "{what}: {said}"),
            None => assert!(made_no_step, "{what}: {said}"),
        }
        assert!(said.contains("No space left on device"), "{what}: {said}");
    }
    let beside = fs::read_dir(place.area()).unwrap();
    let names = beside.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("out-rescued")).collect()
}

#[test]
fn into_a_new_folder() {
    Scene::new_folder().play();
}

#[test]
fn over_a_model() {
    Scene::over_a_model().play();
}

#[test]
fn with_checkpoints() {
    Scene::with_checkpoints().play();
}
