//! Data files. Each case in the folder `data` is one file, with the conversations that are read
//! from it or the reason why it is refused. `docs/data_formats.md` lists all of them.

use serde_json::{Value, json};
use std::path::PathBuf;
use toolcall_lib::dataset::Dataset;
use toolcall_lib::{Conversation, Error};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/cases/data")
}

/// Returns the cases by name, without `.json`.
fn cases() -> Vec<(String, Value)> {
    let files = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut cases: Vec<(String, Value)> = files
        .map(|file| {
            let name = file.file_stem().unwrap().to_string_lossy().into_owned();
            let case = serde_json::from_str(&std::fs::read_to_string(&file).unwrap());
            (name.clone(), case.unwrap_or_else(|e| panic!("{name}: {e}")))
        })
        .collect();
    cases.sort_by(|a, b| a.0.cmp(&b.0));
    cases
}

/// Loads the rows of a case from a file.
fn load(rows: &Value) -> Result<Dataset, Error> {
    let file = tempfile::NamedTempFile::with_suffix(".json").unwrap();
    std::fs::write(file.path(), rows.to_string()).unwrap();
    Dataset::load(file.path())
}

/// Returns the first conversation of a case.
pub fn conversation(name: &str) -> Conversation {
    let (_, case) = cases().into_iter().find(|(case, _)| case == name).unwrap();
    load(&case["rows"]).unwrap().rows.swap_remove(0)
}

#[test]
fn every_case_is_read_as_it_should_be() {
    for (name, case) in cases() {
        match (load(&case["rows"]), case.get("problems")) {
            (Ok(data), None) => {
                let row = |index: usize| json!(data.rows[index]);
                for (key, value) in [("messages", &row(0)["messages"]), ("tools", &row(0)["tools"])] {
                    if let Some(expected) = case.get(key) {
                        assert_eq!(value, expected, "{name}: {key}");
                    }
                }
                if let Some(expected) = case.get("more_messages") {
                    assert_eq!(&row(1)["messages"], expected, "{name}");
                }
                let kwargs = case.get("kwargs").cloned().unwrap_or(json!({}));
                assert_eq!(json!(data.rows[0].chat_template_kwargs), kwargs, "{name}");
                let notes = case.get("notes").cloned().unwrap_or(json!([]));
                assert_eq!(json!(data.notes()), notes, "{name}");
                // A saved dataset is read back equal.
                let again = tempfile::NamedTempFile::with_suffix(".json").unwrap();
                data.save(again.path()).unwrap();
                let again = Dataset::load(again.path()).unwrap_or_else(|e| panic!("{name}: {e}"));
                assert_eq!(again.rows, data.rows, "{name}");
            }
            (Err(Error::Rows(found)), Some(expected)) => {
                let found: Vec<String> = found
                    .iter()
                    .map(|one| format!("{}: {}", one.field, one.problem))
                    .collect();
                let expected: Vec<&str> = expected
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|one| one.as_str().unwrap())
                    .collect();
                assert_eq!(found.len(), expected.len(), "{name}: {found:#?}");
                for (found, expected) in found.iter().zip(expected) {
                    assert!(found.starts_with(expected), "{name}:\n{found}\n{expected}");
                }
            }
            (Ok(_), Some(problems)) => panic!("{name} is read, and expected are {problems}"),
            (Err(error), _) => panic!("{name}: {error}"),
        }
    }
}

#[test]
fn the_documentation_lists_every_case() {
    let text =
        std::fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/data_formats.md"))
            .unwrap();
    let listed: Vec<&str> = text
        .split("](../tests/cases/data/")
        .skip(1)
        .filter_map(|rest| rest.split_once(".json)"))
        .map(|(name, _)| name)
        .collect();
    let names: Vec<String> = cases().into_iter().map(|(name, _)| name).collect();
    for name in &names {
        assert!(listed.contains(&name.as_str()), "{name} is not listed");
    }
    for name in listed {
        assert!(names.iter().any(|known| known == name), "there is no case {name}");
    }
}

#[test]
fn columns_hold_the_same_as_rows() {
    for name in [
        "prompt_and_completion",
        "functions",
        "chat_template_kwargs",
        "legacy_function_call",
        "alpaca",
    ] {
        let (_, case) = cases().into_iter().find(|(case, _)| case == name).unwrap();
        let row = case["rows"][0].as_object().unwrap();
        let columns: Value = row
            .iter()
            .map(|(key, value)| (key.clone(), json!([value, value])))
            .collect();
        let data = load(&columns).unwrap();
        assert_eq!(data.rows, [conversation(name), conversation(name)], "{name}");
    }
}

#[test]
fn another_encoding_is_named() {
    let load = |bytes: &[u8]| {
        let file = tempfile::NamedTempFile::with_suffix(".json").unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        Dataset::load(file.path()).unwrap_err().to_string()
    };
    let text = r#"[{"messages": [{"role": "user", "content": "Hi."}]}]"#;
    let wide = |big: bool| {
        text.encode_utf16().flat_map(move |unit| {
            if big {
                unit.to_be_bytes()
            } else {
                unit.to_le_bytes()
            }
        })
    };
    for (mark, big, name) in [
        (&[0xff, 0xfe][..], false, "UTF-16 (little-endian)"),
        (&[], false, "UTF-16 (little-endian)"),
        (&[0xfe, 0xff], true, "UTF-16 (big-endian)"),
        (&[], true, "UTF-16 (big-endian)"),
    ] {
        let bytes: Vec<u8> = mark.iter().copied().chain(wide(big)).collect();
        assert!(
            load(&bytes).contains(&format!("is encoded in {name}, expected UTF-8")),
            "{}",
            load(&bytes)
        );
    }
    let wider = |big: bool| {
        text.chars().flat_map(move |c| match big {
            true => u32::from(c).to_be_bytes(),
            false => u32::from(c).to_le_bytes(),
        })
    };
    for (mark, big, name) in [
        (&[0xff, 0xfe, 0, 0][..], false, "UTF-32 (little-endian)"),
        (&[], false, "UTF-32 (little-endian)"),
        (&[0, 0, 0xfe, 0xff], true, "UTF-32 (big-endian)"),
        (&[], true, "UTF-32 (big-endian)"),
    ] {
        let bytes: Vec<u8> = mark.iter().copied().chain(wider(big)).collect();
        let error = load(&bytes);
        assert!(
            error.contains(&format!("is encoded in {name}, expected UTF-8")),
            "{error}"
        );
    }
    let error = load(b"[{\"messages\":\n\"K\xf6ln\"}]");
    assert!(
        error.contains("line 2: holds bytes that are not UTF-8, perhaps Latin-1"),
        "{error}"
    );
}

#[test]
fn ids_of_calls_make_no_other_conversation() {
    let row = |id: &str| {
        json!({"messages": [
            {"role": "user", "content": "Water."},
            {"role": "assistant", "tool_calls": [{"id": id, "type": "function", "function": {"name": "water"}}]},
            {"role": "tool", "tool_call_id": id, "content": "ok"},
            {"role": "assistant", "content": "Done."}
        ], "tools": [{"name": "water"}]})
    };
    let data = load(&json!([row("call_a"), row("call_b")])).unwrap();
    assert_eq!((data.dedup().rows.len(), data.describe().different_rows), (1, 1));
    assert!(data.split(0.5, 1).is_err(), "there is one conversation");
}

#[test]
fn a_description_tells_the_notes() {
    let data = load(&json!([{"messages": conversation("calls_without_tools").messages, "id": 1}])).unwrap();
    let text = data.describe().to_string();
    assert!(text.ends_with(
        "\nnote: 1 row: the key `id` of rows is not read\nnote: 1 row: tools are called, but none is offered"
    ));
    let mut twice = data.clone();
    twice.extend(data);
    assert_eq!(twice.notes()[1], "2 rows: tools are called, but none is offered");
}
