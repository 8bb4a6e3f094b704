//! Signals and closed pipes end a run as Ctrl-C does; unwritable output does not.

use super::program::{Place, said, settings};
use serde_json::json;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use toolcall_lib::load;

const STEPS: usize = 4_000; // more than minutes would allow

/// The exit code of a run that was asked to stop.
const STOPPED: Option<i32> = Some(130);

fn long_run(place: &Place) -> Command {
    let mut command = place.train(&settings(json!({"max_steps": STEPS})), &[]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The model is saved, and the run can resume.
fn assert_saved(place: &Place, what: &str) {
    load(place.out().to_str().unwrap()).unwrap_or_else(|error| panic!("{what}: {error}"));
    let names: Vec<String> = super::tree(&place.out()).into_keys().collect();
    let has = |name: &str| names.iter().any(|path| path.ends_with(name));
    assert!(
        has("trainer_state.json") && has("train_report.json"),
        "{what}: {names:?}"
    );
    assert!(
        !names.iter().any(|name| name.starts_with(".saving")),
        "{what}: {names:?}"
    );
}

#[test]
fn signals_end_a_run_after_the_step_and_save() {
    for signal in ["TERM", "HUP", "INT"] {
        let place = Place::new();
        let mut command = place.train(
            &settings(json!({"max_steps": 20, "per_device_train_batch_size": 4})),
            &[],
        );
        // SAFETY: sets the handler of a signal back to the default; a test that was started by
        // nohup inherits one that ignores it.
        unsafe {
            command.pre_exec(|| {
                libc::signal(libc::SIGHUP, libc::SIG_DFL);
                Ok(())
            })
        };
        let mut run = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(run.stdout.take().unwrap()).lines();
        lines.next().unwrap().unwrap();
        let pid = run.id().to_string();
        Command::new("kill").args(["-s", signal, &pid]).status().unwrap();
        let rest: Vec<String> = lines.map(Result::unwrap).collect();
        let status = run.wait().unwrap();
        assert_eq!(status.code(), STOPPED, "{signal}: {rest:?}");
        assert!(
            rest.last().unwrap().contains("go on with --resume"),
            "{signal}: {rest:?}"
        );
        assert_saved(&place, signal);
    }
}

#[test]
fn a_reader_that_leaves_ends_a_run_and_saves() {
    let place = Place::new();
    let mut run = long_run(&place).spawn().unwrap();
    drop(run.stdout.take()); // as `| head -0` does
    let output = run.wait_with_output().unwrap();
    assert_eq!(output.status.code(), STOPPED, "{}", said(&output));
    assert_saved(&place, "a closed pipe");
}

#[test]
#[cfg(target_os = "linux")] // which alone has /dev/full
fn output_that_cannot_be_written_does_not_end_a_run() {
    let full = || std::fs::File::options().write(true).open("/dev/full").unwrap();
    let place = Place::new();
    let mut command = place.train(&settings(json!({})), &[]);
    let status = command.stdout(full()).stderr(full()).status().unwrap();
    assert!(status.success());
    load(place.out().to_str().unwrap()).unwrap();

    // other commands say so, without a panic
    let mut inspect = Command::new(env!("CARGO_BIN_EXE_toolcall"));
    let output = inspect.arg("devices").stdout(full()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        said(&output),
        "error: standard output: No space left on device (os error 28)\n"
    );
    let mut failing = Command::new(env!("CARGO_BIN_EXE_toolcall"));
    let status = failing
        .args(["chat", "--model", "nowhere/nothing/at/all"])
        .stderr(full())
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(1));
}

#[test]
fn a_second_run_into_a_folder_is_refused_and_the_first_goes_on() {
    let place = Place::new();
    let mut command = long_run(&place);
    let mut first = command.spawn().unwrap();
    let mut lines = BufReader::new(first.stdout.take().unwrap()).lines();
    lines.next().unwrap().unwrap();
    let second = place.train(&settings(json!({})), &[]).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    let said = said(&second);
    let holder = format!("process {} on ", first.id());
    assert!(
        said.contains(&holder) && said.contains("is writing there; wait until it has ended"),
        "{said}"
    );
    assert!(!said.contains("step "), "{said}");
    Command::new("kill")
        .args(["-s", "INT", &first.id().to_string()])
        .status()
        .unwrap();
    lines.for_each(drop);
    assert_eq!(first.wait().unwrap().code(), STOPPED);
    assert_saved(&place, "the first run");
}

#[test]
fn the_output_is_checked_before_the_model_is_loaded() {
    let place = Place::new();
    std::fs::create_dir(place.out()).unwrap();
    std::fs::write(place.out().join("tokenizer.json"), "mine").unwrap();
    let output = place
        .train(&settings(json!({})), &["--data", "nowhere.json"])
        .output()
        .unwrap();
    let said = said(&output);
    assert!(
        said.contains("tokenizer.json: was not written by toolcall"),
        "{said}"
    );
    let export = Command::new(env!("CARGO_BIN_EXE_toolcall"))
        .args(["export", "--model", "nowhere", "--out"])
        .arg(place.out())
        .output()
        .unwrap();
    assert!(super::program::said(&export).contains("tokenizer.json: was not written by toolcall"));
}

#[test]
fn the_version_is_that_of_toolcall() {
    let output = Command::new(env!("CARGO_BIN_EXE_toolcall"))
        .arg("--version")
        .output()
        .unwrap();
    assert_eq!(said(&output), format!("toolcall {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn edited_data_files_are_kept() {
    let area = tempfile::tempdir().unwrap();
    let file = area.path().join("data.json");
    let data = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_toolcall"));
        let output = command
            .args(["data", "--rows", "20", "--out"])
            .arg(&file)
            .args(arguments)
            .output()
            .unwrap();
        (output.status.success(), said(&output))
    };
    assert!(data(&[]).0);
    std::fs::write(&file, "mine").unwrap();
    let (good, said) = data(&[]);
    assert!(!good && said.contains("already exists"), "{said}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
    assert!(data(&["--force"]).0);
    assert_ne!(std::fs::read_to_string(&file).unwrap(), "mine");
}

#[test]
fn a_data_file_that_cannot_be_written_is_refused_before_the_work() {
    let area = tempfile::tempdir().unwrap();
    std::fs::write(area.path().join("file"), "mine").unwrap();
    for (out, says) in [
        (".", "is a folder; expected the name of a file"),
        ("file/data.json", "file"),
        ("rows.csv", "rows are not written as `.csv`; name a file"),
    ] {
        for command in [
            &["data", "--mixture", "nowhere"][..],
            &["augment", "--tools", "nowhere.json"],
        ] {
            let output = Command::new(env!("CARGO_BIN_EXE_toolcall"))
                .args(command)
                .args(["--out", out])
                .current_dir(&area)
                .output()
                .unwrap();
            let said = said(&output);
            assert!(said.contains(says) && !said.contains("nowhere"), "{said}");
        }
    }
    let many = Command::new(env!("CARGO_BIN_EXE_toolcall"))
        .args(["data", "--rows", "99999999999", "--out", "rows.json"])
        .current_dir(&area)
        .output()
        .unwrap();
    let expected = "rows: 99999999999 are too many; expected at most 1000000";
    assert!(said(&many).contains(expected), "{}", said(&many));
}
