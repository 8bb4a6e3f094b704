//! JSON, JSONL, CSV and folders; splits named by rows.

use super::made::{csv, expected, file, jsonl, load, messages, refused, rows, tokens, tools};
use serde_json::{Value, json};
use toolcall_lib::Dataset;
use toolcall_lib::data_source::DataSource;

#[test]
fn json_jsonl_and_csv_train_the_same_tokens() {
    let columns = json!({"messages": messages(), "tools": vec![tools(); 3]});
    for (name, text) in [
        ("data.json", columns.to_string()),
        ("data.jsonl", jsonl()),
        ("data.csv", csv()),
        ("data.CSV", format!("\u{feff}{}", csv().replace("\r\n", "\n"))),
    ] {
        assert!(tokens(&load(name, text)) == expected(), "{name}");
    }
}

#[test]
fn a_report_says_what_was_read_as_what() {
    let report = |name: &str, text: String| {
        let (_folder, path) = file(name, text);
        let data = Dataset::load(&path).unwrap();
        let report = data.files()[0].to_string();
        report.replace(&path.display().to_string(), "FILE")
    };
    assert_eq!(
        report("data.csv", csv()),
        "FILE: CSV, messages; 3 rows; read: messages, tools; left aside: id"
    );
    assert_eq!(
        report("data.jsonl", jsonl()),
        "FILE: JSONL, messages; 3 rows; read: messages, tools; left aside: id"
    );
    let xlam = json!([{"query": "Dim the hall.", "answers": "[{\"name\": \"dim\", \"arguments\": {}}]", "tools": "[]"}]);
    assert_eq!(
        report("data.json", xlam.to_string()),
        "FILE: JSON with rows, query and answers of xLAM; 1 row; read: query, answers, tools"
    );
}

#[test]
fn a_file_of_one_line_is_jsonl_by_its_name() {
    let report = |name: &str| load(name, rows()[0].to_string()).files()[0].format.clone();
    assert_eq!(report("data.jsonl"), "JSONL, messages");
    assert_eq!(report("data.json"), "JSON with rows, messages");
}

#[test]
fn what_no_reader_knows_is_named() {
    let row = json!([rows()[0]]);
    for (name, content, expected) in [
        (
            "rows.jsonl.gz",
            &b"\x1f\x8b\x08"[..],
            "rows.jsonl.gz: is compressed with gzip",
        ),
        ("rows.zst", b"\x28\xb5\x2f\xfd", "is compressed with zstd"),
        ("rows.zip", b"PK\x03\x04", "is compressed with zip"),
        ("rows.tsv", b"prompt\tcompletion\n", "has tabs between columns"),
        (
            "data-00000-of-00001.arrow",
            b"\xff\xff\xff\xff",
            "is an Arrow file; write it as Parquet",
        ),
        ("rows.bin", b"ARROW1", "is an Arrow file"),
        (
            "rows.json",
            json!({"train": row, "test": row}).to_string().as_bytes(),
            "rows.json: has its rows under the key `train`; write only that list",
        ),
    ] {
        let error = refused(name, content);
        assert!(error.contains(expected), "{expected}\n{error}");
    }
}

#[test]
fn csv_is_read_as_rfc_4180_has_it() {
    let data = load(
        "data.csv",
        ",prompt,completion,tools\n0,\"Say \"\"hi\"\",\ntwice.\",Hi; hi.,\n1,Again.,\" Hi. \",\n",
    );
    let said: Vec<&str> = data
        .rows
        .iter()
        .flat_map(|row| &row.messages)
        .map(|one| one.content.as_str())
        .collect();
    assert_eq!(said, ["Say \"hi\",\ntwice.", "Hi; hi.", "Again.", " Hi. "]);
    assert_eq!(data.files()[0].left_aside, ["column 1"]);
}

#[test]
fn what_cannot_be_read_in_csv_is_named_by_line_and_column() {
    for (text, expected) in [
        (
            "a;b\n1;2\n",
            "data.csv: line 1: names a single column; expected commas",
        ),
        ("a,a\n1,2\n", "data.csv: line 1: duplicate column `a`"),
        (
            "prompt,completion\nHi.,\"Hi.\nBye.,Bye.\n",
            "data.csv: line 2: a quotation mark is not closed",
        ),
        (
            "prompt,completion\n\"Hi\nyou.\",Hi.\nBye.\n",
            "data.csv: row 1: line 4: has 1 cells, expected 2",
        ),
        (
            "messages\n\"[{\"\"role\"\": 1\"\n",
            "data.csv: row 0: line 2: messages: the string is not valid JSON",
        ),
        (
            "prompt,completion,tools\nHi.,Hi.,[1\n",
            "data.csv: row 0: line 2: tools: the string is not valid JSON",
        ),
        ("prompt,completion\n", "data.csv: no rows"),
        ("", "data.csv: no rows"),
    ] {
        let error = refused("data.csv", text);
        assert!(error.contains(expected), "{expected}\n{error}");
    }
}

/// Mobile Actions: one file, and each row says whether it is for training or for evaluation.
fn marked() -> String {
    let marks = ["train", "eval", "train"];
    let rows = rows().into_iter().zip(marks).map(|(mut row, mark)| {
        row["metadata"] = mark.into();
        format!("{row}\n")
    });
    rows.collect()
}

#[test]
fn rows_that_name_their_split_are_chosen_by_it() {
    let (folder, path) = file("dataset.jsonl", marked());
    let data = |path: &str, split: Option<&str>| {
        let source = DataSource {
            split: split.map(String::from),
            ..DataSource::of_path(path).unwrap()
        };
        source.load().map(|data| {
            (
                data.rows.len(),
                data.notes().concat(),
                data.files()[0].read.clone(),
            )
        })
    };
    let (path, folder) = (path.display().to_string(), folder.path().display().to_string());
    let (rows, notes, read) = data(&path, Some("eval")).unwrap();
    assert_eq!((rows, read.concat()), (1, "metadatamessagestools".to_string()));
    assert!(
        notes.starts_with("2 rows: of other splits than `eval` (eval: 1, train: 2), left out"),
        "{notes}"
    );
    let (rows, notes, _) = data(&path, None).unwrap();
    assert_eq!(rows, 3);
    assert!(!notes.contains("`metadata` of rows"), "{notes}");
    assert!(
        notes.contains("3 rows: rows name a split as `metadata` (eval: 1, train: 2); all are read"),
        "{notes}"
    );
    assert_eq!(
        data(&folder, None).unwrap().0,
        2,
        "a folder is read as the hub is: its split `train`"
    );
    assert_eq!(data(&folder, Some("test")).unwrap().0, 1, "another word for it");
    let split = |path: &str, split: &str| {
        let found = DataSource::of_path(path).unwrap().load_split(split).unwrap();
        found.map(|data| data.rows.len())
    };
    assert_eq!(split(&folder, "test"), Some(1));
    assert_eq!(split(&folder, "validation"), None);
    assert_eq!(split(&path, "test"), None, "of a file, all rows are read");
    let error = data(&path, Some("validation")).unwrap_err().to_string();
    assert!(
        error.ends_with("no row is of the split `validation`; there are eval: 1, train: 2"),
        "{error}"
    );
}

#[test]
fn a_folder_is_read_by_its_card() {
    let (folder, _) = file("b.jsonl", jsonl());
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("a.json", &Value::from(&rows()[..1]).to_string());
    write(
        "README.md",
        "---\nconfigs:\n- config_name: x\n  data_files:\n  - split: train\n    path: a*\n  - split: more\n    path: b*\n---\n",
    );
    let path = folder.path().display().to_string();
    let load = |config: Option<&str>, split: Option<&str>| {
        let source = DataSource {
            config: config.map(String::from),
            split: split.map(String::from),
            ..DataSource::named(&path).unwrap()
        };
        source
            .load()
            .map(|data| data.rows.len())
            .map_err(|error| error.to_string())
    };
    assert_eq!(load(None, None), Ok(1));
    assert_eq!(load(Some("x"), Some("more")), Ok(3));
    assert!(
        load(None, Some("test"))
            .unwrap_err()
            .ends_with("has no split `test`; its splits are train, more")
    );
    assert!(
        load(Some("y"), None)
            .unwrap_err()
            .ends_with("has no config `y`; its configs are x")
    );
    write("README.md", "---\nconfigs: [\n---\n");
    assert!(
        load(None, None)
            .unwrap_err()
            .contains("README.md: the head of the card cannot be read")
    );
    std::fs::remove_file(folder.path().join("README.md")).unwrap();
    assert!(load(None, None).is_ok(), "JSON and JSONL are one format");
    let test = || DataSource::named(&path).unwrap().load_split("test").unwrap();
    assert!(test().is_none());
    write("test.json", &Value::from(&rows()[..1]).to_string());
    assert_eq!(test().unwrap().rows.len(), 1);
    std::fs::remove_file(folder.path().join("test.json")).unwrap();
    write("c.csv", "prompt,completion\n");
    assert!(load(None, None).unwrap_err().contains("several formats"));
}

#[test]
fn names_that_mean_nothing_are_refused() {
    for (spec, says) in [
        ("hub:x", "expected hub:owner/name"),
        ("hub:a/b:c:d:e", "expected hub:owner/name:config:split"),
    ] {
        let error = DataSource::of_path(spec).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
    let error = DataSource::named("no such data").unwrap_err().to_string();
    assert!(error.contains("there is no such file or folder, and a hub id has the form owner/name"));
    let error = DataSource::of_path("no/such.json")
        .unwrap()
        .load()
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("no/such.json: "), "{error}");
    let whole = DataSource::of_path("hub:a/b@v1:main:test").unwrap();
    assert_eq!(
        (whole.config.as_deref(), whole.split.as_deref()),
        (Some("main"), Some("test"))
    );
    assert_eq!(whole.place.to_string(), "a/b@v1");
}
