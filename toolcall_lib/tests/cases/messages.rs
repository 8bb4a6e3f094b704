//! Errors are short, and name the file of a row.

use crate::common::tiny_model::tiny_model;
use serde_json::json;
use toolcall_lib::dataset::Dataset;
use toolcall_lib::tokens::Overlong;
use toolcall_lib::{TrainConfig, train};

fn file(rows: usize, words: usize) -> (tempfile::TempDir, Dataset) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(format!("rows_of_{words}.json"));
    let row = json!({"messages": [
        {"role": "user", "content": "word ".repeat(words)}, {"role": "assistant", "content": "Yes."}
    ]});
    std::fs::write(&path, json!(vec![row; rows]).to_string()).unwrap();
    (folder, Dataset::load(&path).unwrap())
}

fn error(data: &Dataset, config: &TrainConfig) -> String {
    train(&mut tiny_model(), data, config, |_| {})
        .unwrap_err()
        .to_string()
}

#[test]
fn a_row_that_is_too_long_is_named_with_its_file() {
    let (_a, mut data) = file(3, 2);
    let (_b, second) = file(2, 300);
    data.extend(second);
    let config = TrainConfig {
        max_length: Some(200),
        ..TrainConfig::default()
    };
    let text = error(&data, &config);
    assert!(text.starts_with("2 problem(s) in the data:\n"), "{text}");
    assert!(text.contains("rows_of_300.json: row 0: max_length: "), "{text}");
    assert!(text.contains("rows_of_300.json: row 1: max_length: "), "{text}");
    assert!(!text.contains("rows_of_2.json"), "{text}");
}

#[test]
fn it_is_said_why_nothing_is_left_to_train_on() {
    let (_folder, data) = file(3, 300);
    for overlong in [Overlong::Drop, Overlong::Truncate] {
        let config = TrainConfig {
            max_length: Some(20),
            overlong,
            ..TrainConfig::default()
        };
        let text = error(&data, &config);
        let expected =
            "data: there is no conversation to train on: of 3, all are longer than `max_length` 20";
        assert!(text.starts_with(expected), "{text}");
    }
    // A validation set is named as one.
    let config = TrainConfig {
        max_length: Some(200),
        overlong: Overlong::Drop,
        ..TrainConfig::default()
    };
    let (_short, short) = file(3, 2);
    let (_long, long) = file(3, 300);
    let said = train(&mut tiny_model(), (&short, &long), &config, |_| {}).unwrap_err();
    let expected = "validation set: there is no conversation to measure the loss on: of 3, all are longer";
    assert!(said.to_string().starts_with(expected), "{said}");
    let mut masked = data.clone();
    masked
        .rows
        .iter_mut()
        .for_each(|row| row.messages[1].train = false);
    let text = error(&masked, &TrainConfig::default());
    assert!(
        text.ends_with("of 3, every assistant turn is marked as not trained"),
        "{text}"
    );
}

#[test]
fn notes_on_many_keys_are_short() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("noted.json");
    let row = |key: String| {
        json!({"messages": [
            {"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Yes."}
        ], key: 1})
    };
    let rows: Vec<_> = (0..1000).map(|i| row(format!("column {i:04}"))).collect();
    std::fs::write(&path, json!(rows).to_string()).unwrap();
    let notes = Dataset::load(&path).unwrap().notes();
    assert_eq!(notes.len(), 21);
    assert_eq!(notes[0], "1 row: the key `column 0000` of rows is not read");
    assert_eq!(notes[20], "… and 980 more such notes");

    std::fs::write(&path, json!([row("k".repeat(100_000))]).to_string()).unwrap();
    let data = Dataset::load(&path).unwrap();
    assert!(data.notes()[0].len() < 1_100 && data.notes()[0].ends_with("` of rows is not read"));
    assert!(data.files()[0].to_string().len() < 10_000, "{}", data.files()[0]);
}

#[test]
fn ten_thousand_bad_rows_make_a_short_message() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bad.json");
    std::fs::write(
        &path,
        json!(vec![json!({"messages": "none"}); 10_000]).to_string(),
    )
    .unwrap();
    let text = Dataset::load(&path).unwrap_err().to_string();
    assert!(
        text.starts_with("10000 problem(s) in the data:\n") && text.ends_with("… and 9980 more"),
        "{text}"
    );
    assert!(text.len() < 10_000);
}
