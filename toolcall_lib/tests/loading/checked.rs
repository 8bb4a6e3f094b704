//! An exported model calls as the model in memory does, and `toolcall export --check` says so.

use crate::common::tiny_model::tiny_model;
use crate::train::{config, timers};
use std::fs;
use std::sync::OnceLock;
use toolcall_lib::evaluate::{EvaluateConfig, Evaluation, Score, evaluate};
use toolcall_lib::train::{TrainConfig, train};
use toolcall_lib::{Conversation, Dataset, Dtype, Message, Model, load, save, save_as};

/// A model that has learned two timers.
fn tuned() -> &'static Model {
    static TUNED: OnceLock<Model> = OnceLock::new();
    TUNED.get_or_init(|| {
        let mut model = tiny_model();
        let settings = TrainConfig {
            learning_rate: 1e-2,
            ..config(250)
        };
        train(&mut model, &timers(2), &settings, |_| {}).unwrap();
        model
    })
}

/// Rows that the model has learned, others, and one without a call.
fn rows() -> Dataset {
    let mut data = timers(5);
    data.rows.push(Conversation {
        messages: vec![Message::user("Hello."), Message::assistant("Hi.")],
        tools: data.rows[0].tools.clone(),
        ..Conversation::default()
    });
    data
}

fn scores(model: &Model) -> Evaluation {
    evaluate(model, &rows().rows, &EvaluateConfig::default()).unwrap()
}

#[test]
fn a_folder_and_a_file_answer_as_the_model_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let before = scores(tuned());
    let exact = before.arguments_exact;
    assert!(exact.count >= 2 && exact.total == 5, "{exact:?}");
    assert_eq!(before.over_calls.total, 1);
    for (name, dtype) in [
        ("folder", Dtype::F32),
        ("f32.gguf", Dtype::F32),
        ("f16.gguf", Dtype::F16),
    ] {
        let place = folder.path().join(name);
        save_as(tuned(), &place, dtype).unwrap();
        let after = scores(&load(place.to_str().unwrap()).unwrap());
        let counts = |evaluation: &Evaluation| evaluation.scores();
        assert_eq!(counts(&after), counts(&before), "{name}");
        assert_eq!(after.replies, before.replies, "{name}");
        assert_eq!(after.replies_that_differ(&before), 0);
    }
}

#[test]
fn replies_that_differ_are_counted() {
    let (tuned, other) = (scores(tuned()), scores(&tiny_model()));
    assert_eq!(other.arguments_exact, Score { count: 0, total: 5 });
    assert_eq!(tuned.replies_that_differ(&other), 6, "{:?}", other.replies);
}

#[cfg(feature = "cli")]
mod command {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;
    use std::process::Command;

    fn export(folder: &Path, out: &str, arguments: &[&str]) -> (bool, String) {
        rows().save(folder.join("rows.json")).unwrap();
        save(tuned(), folder.join("tuned")).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_toolcall"))
            .args(["export", "--model", "tuned", "--check", "rows.json", "--out", out])
            .args(arguments)
            .current_dir(folder)
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(said).unwrap())
    }

    #[test]
    fn both_scores_are_told() {
        let folder = tempfile::tempdir().unwrap();
        for (out, dtype) in [("folder", "f32"), ("tiny.gguf", "f16")] {
            let (well, said) = export(folder.path(), out, &["--dtype", dtype]);
            assert!(well, "{said}");
            for part in [
                "in memory",
                "exported",
                "arguments exact",
                "conversation flow",
                "over-calls",
            ] {
                assert!(said.contains(part), "{part}: {said}");
            }
            assert!(
                said.contains("exported: 0 of 6 rows have another reply"),
                "{said}"
            );
            assert!(folder.path().join(out).exists());
        }
    }

    /// A program that gives the same answer to every prompt, and keeps the first prompt.
    const ALWAYS_WORDS: &str = r#"#!/bin/sh
read -r first; printf '%s' "$first" > asked.json
while true; do echo '{"text": "No <call> here.", "finished": true}'; read -r line || exit; done
"#;

    #[test]
    fn calls_that_llama_cpp_loses_are_refused_by_their_rows() {
        let folder = tempfile::tempdir().unwrap();
        let python = program(folder.path());
        let (well, said) = export(folder.path(), "tiny.gguf", &["--llama", python]);
        let lost = scores(tuned()).tool_selection.count;
        let part = format!("in llama.cpp: calls are lost in {lost} of 5 rows with a call, but only 1 may be");
        assert!(!well && said.contains(&part), "{said}");
        assert!(said.contains("lost: row 0 (no call), row 1 (no call)"), "{said}");
        assert!(!said.contains("exported: calls are lost"), "{said}");
    }

    fn program(folder: &Path) -> &'static str {
        let python = folder.join("python");
        fs::write(&python, ALWAYS_WORDS).unwrap();
        fs::set_permissions(&python, fs::Permissions::from_mode(0o755)).unwrap();
        "./python"
    }

    #[test]
    fn llama_cpp_is_asked_the_same_prompts() {
        let folder = tempfile::tempdir().unwrap();
        let python = program(folder.path());
        let every = ["--llama", python, "--tolerance", "5"];
        let (well, said) = export(folder.path(), "tiny.gguf", &every);
        assert!(well, "{said}");
        assert!(
            said.contains("in llama.cpp: 6 of 6 rows have another reply"),
            "{said}"
        );
        let asked: serde_json::Value =
            serde_json::from_slice(&fs::read(folder.path().join("asked.json")).unwrap()).unwrap();
        let row = &rows().rows[0];
        let prompt = tuned()
            .template
            .render_prompt(&row.messages[..1], &row.tools)
            .unwrap();
        assert_eq!(asked["prompt"], prompt);

        let (well, said) = export(folder.path(), "tiny.gguf", &["--llama", "nowhere"]);
        assert!(
            !well && said.contains("--llama: there is no nowhere; `scripts/setup.sh llama_cpp`"),
            "{said}"
        );
        let (well, said) = export(folder.path(), "folder", &["--llama", "./python"]);
        assert!(!well && said.contains("but folder becomes a folder"), "{said}");
        let (well, said) = export(folder.path(), "tiny.gguf", &[]);
        assert!(well && said.contains("the check leaves out llama.cpp"), "{said}");
        let (well, said) = export(folder.path(), "tiny.gguf", &["--llama", "/bin/true"]);
        assert!(!well && said.contains("/bin/true: gave no answer"), "{said}");
    }
}
