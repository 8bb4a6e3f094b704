//! `toolcall train` on a tiny model, in its own folder.

use crate::common::tiny_model::tiny_model;
use crate::train::timers;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use tempfile::TempDir;
use toolcall_lib::save;

/// Folders of a run: `area` has the output folder, everything else is elsewhere.
pub struct Place {
    folder: TempDir,
}

impl Place {
    pub fn new() -> Self {
        // in memory if possible: thousands of runs need not wait for a disk
        let memory = Some("/dev/shm").filter(|memory| Path::new(memory).is_dir());
        let folder = memory
            .map_or_else(tempfile::tempdir, tempfile::tempdir_in)
            .unwrap();
        for name in ["area", "elsewhere"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        Self { folder }
    }

    pub fn area(&self) -> PathBuf {
        self.folder.path().join("area")
    }

    pub fn out(&self) -> PathBuf {
        self.area().join("out")
    }

    /// The working directory, the home and the folder for temporary files.
    pub fn elsewhere(&self) -> PathBuf {
        self.folder.path().join("elsewhere")
    }

    /// `toolcall train` with these settings and arguments.
    pub fn train(&self, settings: &Value, arguments: &[&str]) -> Command {
        let settings_file = self.folder.path().join("config.json");
        fs::write(&settings_file, settings.to_string()).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_toolcall"));
        command
            .arg("train")
            .args(["--model".as_ref(), inputs().join("model").as_os_str()])
            .args(["--data".as_ref(), inputs().join("data.json").as_os_str()])
            .args(["--config".as_ref(), settings_file.as_os_str()])
            .args(["--out".as_ref(), self.out().as_os_str()])
            .args(arguments)
            .env("RAYON_NUM_THREADS", "1")
            .env("HOME", self.elsewhere())
            .env("TMPDIR", self.elsewhere())
            .current_dir(self.elsewhere());
        command
    }
}

/// A model and data that all runs share.
fn inputs() -> &'static Path {
    static INPUTS: OnceLock<TempDir> = OnceLock::new();
    let inputs = INPUTS.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        save(&tiny_model(), folder.path().join("model")).unwrap();
        timers(4).save(folder.path().join("data.json")).unwrap();
        folder
    });
    inputs.path()
}

/// Settings of a short run.
pub fn settings(changes: Value) -> Value {
    let mut settings =
        json!({"max_steps": 2, "per_device_train_batch_size": 1, "learning_rate": 3e-3, "warmup_steps": 0});
    let all = settings.as_object_mut().unwrap();
    all.extend(changes.as_object().unwrap().clone());
    settings
}

pub fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

/// Reads the files after a run, without the content of files that contain times.
#[cfg(target_os = "linux")] // as its callers
pub fn lasting(folder: &Path) -> super::Tree {
    let mut found = super::tree(folder);
    let timed = ["train_report.json", "trainer_state.json", "toolcall.json"];
    for (path, (content, _)) in &mut found {
        if timed.contains(&path.rsplit('/').next().unwrap()) {
            *content = b"with times".to_vec();
        }
    }
    found
}
