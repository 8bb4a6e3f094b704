#[path = "../../../tests/common/wandb_server.rs"]
mod server;

use super::*;
use crate::track::Trackers;
use server::{Server, honest};
use std::path::Path;
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

const KEY: &str = "a0b1c2d3e4f5a6b7c8d9";

fn settings(server: &Server, folder: &Path) -> Settings {
    Settings {
        key: Some(KEY.to_string()),
        base_url: server.url.clone(),
        project: "calls".to_string(),
        run_id: Some("abc".to_string()),
        folder: folder.to_path_buf(),
        timeout: Duration::from_secs(1),
        patience: Duration::from_secs(3),
        ..Settings::default()
    }
}

fn point(step: usize) -> Point {
    let values = json!({"loss": 1.0 / step as f64, "eval_loss": 2.0});
    Point {
        step,
        values: values.as_object().unwrap().clone(),
    }
}

fn ending() -> Ending {
    Ending {
        outcome: Outcome::Complete,
        summary: json!({"train_loss": 0.25}).as_object().unwrap().clone(),
        tables: vec![(
            "evaluations".to_string(),
            Table {
                columns: vec!["step".to_string()],
                rows: vec![vec![json!(1)]],
            },
        )],
    }
}

/// Three steps and the end; returns the notes.
fn run(server: &Server) -> (Vec<String>, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let about = Run {
        name: Some("tea & timers".to_string()),
        settings: json!({"learning_rate": 0.5}).as_object().unwrap().clone(),
        ..Run::default()
    };
    let (tracker, mut notes) = start(&settings(server, folder.path()), &about).unwrap();
    let mut trackers = Trackers {
        running: tracker.into_iter().collect(),
        has_ended: false,
    };
    notes.extend((1..=3).flat_map(|step| trackers.log(&point(step))));
    notes.extend(trackers.finish(&ending()));
    (notes, folder)
}

fn run_file(folder: &TempDir) -> Vec<u8> {
    let runs = fs::read_dir(folder.path().join("wandb")).unwrap();
    let run = runs.map(|entry| entry.unwrap().path()).next().unwrap();
    fs::read(run.join("run-abc.wandb")).unwrap()
}

#[test]
fn a_run_is_created_sent_and_closed() {
    let server = Server::honest();
    let (notes, folder) = run(&server);
    assert_eq!(
        notes,
        [format!("wandb: this run is at {}/me/calls/runs/abc", server.url)]
    );
    let created: Value = serde_json::from_str(&server.requests("/graphql")[0].2).unwrap();
    let variables = &created["variables"];
    assert_eq!(variables["displayName"], "tea & timers");
    let config: Value = serde_json::from_str(variables["config"].as_str().unwrap()).unwrap();
    assert_eq!(config["learning_rate"]["value"], 0.5);
    let expected = format!("Basic {}", {
        use base64::Engine;
        base64::engine::general_purpose::STANDARD.encode(format!("api:{KEY}"))
    });
    let all = server.requests.lock().unwrap().clone();
    assert!(all.iter().all(|(_, authorization, _)| *authorization == expected));

    let history = server.lines("wandb-history.jsonl");
    let steps: Vec<_> = history.iter().map(|row| row["_step"].as_u64().unwrap()).collect();
    assert_eq!(steps, [1, 2, 3]);
    assert_eq!(
        (&history[1]["train/loss"], &history[1]["eval/loss"]),
        (&json!(0.5), &json!(2.0))
    );
    let summary = server.lines("wandb-summary.json").pop().unwrap();
    assert_eq!(
        (&summary["train_loss"], &summary["train/global_step"]),
        (&json!(0.25), &json!(3))
    );
    assert_eq!(summary["evaluations"]["_type"], "table-file");
    let stored = server.requests("/storage/x");
    assert_eq!(stored[0].2, r#"{"columns":["step"],"data":[[1]]}"#);
    let last = server.requests("/files/me/calls/abc/file_stream").pop().unwrap();
    let last: Value = serde_json::from_str(&last.2).unwrap();
    assert_eq!((&last["complete"], &last["exitcode"]), (&json!(true), &json!(0)));
    assert!(run_file(&folder).starts_with(b":W&B"));
}

#[test]
fn a_connection_that_breaks_loses_and_doubles_nothing() {
    let server = Server::start(|number, request| match number {
        1 | 4 => None,
        3 => Some((503, String::new())),
        _ => Some((200, honest(request))),
    });
    let (notes, _) = run(&server);
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert_eq!(server.lines("wandb-history.jsonl").len(), 3);
}

#[test]
fn a_key_that_is_refused_is_told_once_and_never_shown() {
    let server = Server::start(|_, _| Some((401, format!("no such key: {KEY}"))));
    let (notes, folder) = run(&server);
    let [refused, left] = &notes[..] else {
        panic!("{notes:?}")
    };
    assert!(
        refused.contains("401: the key in WANDB_API_KEY is not accepted there"),
        "{refused}"
    );
    assert!(
        left.starts_with("wandb: not all was sent; `wandb sync "),
        "{left}"
    );
    assert_eq!(server.requests("/graphql").len(), 1, "it asks again");
    assert!(!notes.join("\n").contains(KEY));
    let file = run_file(&folder);
    assert!(!file.windows(KEY.len()).any(|part| part == KEY.as_bytes()));
    assert!(
        file.windows(10).any(|part| part == b"train_loss"),
        "the file is complete"
    );
}

#[test]
fn an_answer_with_an_error_is_told_without_the_key() {
    let said = json!({"errors": [{"message": format!("project not found for {KEY}")}]}).to_string();
    let server = Server::start(move |_, _| Some((200, said.clone())));
    let (notes, _) = run(&server);
    assert!(
        notes[0].contains("it answers: project not found for …"),
        "{notes:?}"
    );
}

#[test]
fn a_server_that_does_not_answer_is_not_waited_for() {
    let server = Server::start(|_, _| {
        thread::sleep(Duration::from_secs(60));
        None
    });
    let started = Instant::now();
    let (notes, _) = run(&server);
    assert!(
        started.elapsed() < Duration::from_secs(6),
        "{:?}",
        started.elapsed()
    );
    let [note] = &notes[..] else { panic!("{notes:?}") };
    assert!(
        note.starts_with("wandb: not all was sent within 3 s after the last step"),
        "{note}"
    );
    assert!(note.contains("; `wandb sync "), "{note}");
}

#[test]
fn points_that_cannot_wait_any_more_are_counted() {
    let server = Server::start(|_, _| {
        thread::sleep(Duration::from_secs(60));
        None
    });
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings {
        patience: Duration::from_millis(100),
        ..settings(&server, folder.path())
    };
    let mut sender = connect(&settings, &describe(&settings, &Run::default()))
        .unwrap()
        .unwrap();
    let started = Instant::now();
    (0..sender::WAITING + 7).for_each(|step| sender.row(&point(step + 1).values));
    let notes = sender.finish(Map::new(), 0);
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
    assert!(
        notes[0].ends_with("; 7 points came faster than the server took them"),
        "{notes:?}"
    );
}

#[test]
fn without_a_key_or_offline_nothing_is_sent() {
    let server = Server::honest();
    let folder = tempfile::tempdir().unwrap();
    let offline = Settings {
        mode: WandbMode::Offline,
        ..settings(&server, folder.path())
    };
    let keyless = Settings {
        key: None,
        folder: folder.path().join("other"),
        ..settings(&server, folder.path())
    };
    for (settings, notes_before) in [(offline, 0), (keyless, 1)] {
        let (tracker, notes) = start(&settings, &Run::default()).unwrap();
        assert!(tracker.is_some());
        assert_eq!(notes.len(), notes_before + 1, "{notes:?}");
        assert!(notes[notes_before].starts_with("`wandb sync "), "{notes:?}");
        let runs = fs::read_dir(settings.folder.join("wandb")).unwrap();
        let names: Vec<_> = runs
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        assert!(
            names[0].starts_with("offline-run-") && names[0].ends_with("-abc"),
            "{names:?}"
        );
    }
    let disabled = Settings {
        mode: WandbMode::Disabled,
        ..Settings::default()
    };
    assert!(start(&disabled, &Run::default()).unwrap().0.is_none());
    assert!(server.requests.lock().unwrap().is_empty());
}

#[test]
fn an_address_or_a_key_that_cannot_be_used_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let refusal = |base_url: &str, key: &str| {
        let settings = Settings {
            base_url: base_url.to_string(),
            key: Some(key.to_string()),
            folder: folder.path().to_path_buf(),
            ..Settings::default()
        };
        start(&settings, &Run::default()).unwrap_err().to_string()
    };
    for url in ["ftp://host", "host", "https://me:secret@host", "https://host?x"] {
        let said = refusal(url, KEY);
        assert!(
            said.starts_with("WANDB_BASE_URL: ") && !said.contains("secret"),
            "{said}"
        );
    }
    assert!(refusal("https://host", "a\u{e9} b").starts_with("WANDB_API_KEY: "));
    assert!(!folder.path().join("wandb").exists());
}
