//! Rows in the form of the Berkeley Function Calling Leaderboard, and verdicts on calls. All rows
//! are invented; `scripts/dev/verify_bfcl.sh` compares with the leaderboard's own rows and checker.

use crate::cases::templates::style;
use crate::common::tiny_model::tiny_model;
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::slice::from_ref;
use tempfile::TempDir;
use toolcall_lib::bfcl::{BfclScores, Category, Row, Verdict, check, load, run};
use toolcall_lib::show::BfclTable;
use toolcall_lib::template::ChatTemplate;
use toolcall_lib::{GenerateConfig, Generation, ToolCall};

/// A tool `kite.fly` whose arguments have these types.
fn function(properties: Value, required: &[&str]) -> Value {
    json!({"name": "kite.fly", "description": "Flies a kite.",
        "parameters": {"type": "dict", "properties": properties, "required": required}})
}

fn question(id: &str, functions: Value) -> Value {
    json!({"id": id, "question": [[{"role": "user", "content": "Fly it."}]], "function": functions})
}

fn answer(id: &str, calls: Value) -> Value {
    json!({"id": id, "ground_truth": calls})
}

fn lines(rows: &[Value]) -> String {
    rows.iter().map(|row| format!("{row}\n")).collect()
}

/// A folder with the files of a category.
fn folder(category: Category, questions: &[Value], answers: &[Value]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let name = format!("BFCL_v4_{category}.json");
    fs::create_dir(folder.path().join("possible_answer")).unwrap();
    fs::write(folder.path().join(&name), lines(questions)).unwrap();
    if !answers.is_empty() {
        fs::write(folder.path().join("possible_answer").join(name), lines(answers)).unwrap();
    }
    folder
}

/// Returns the only row of a category.
fn row(category: Category, functions: Value, calls: Value) -> Row {
    let folder = folder(
        category,
        &[question("kite_0", functions)],
        &[answer("kite_0", calls)],
    );
    load(folder.path(), category).unwrap().remove(0)
}

fn calls(list: Value) -> Vec<ToolCall> {
    serde_json::from_value(list).unwrap()
}

fn fly(arguments: Value) -> Value {
    json!({"name": "kite.fly", "arguments": arguments})
}

/// Returns true if `kite.fly(x=value)` is right, where the schema of `x` is `schema` and its right
/// values are `right`.
fn is_right(schema: Value, right: Value, value: Value) -> bool {
    let functions = json!([function(json!({"x": schema}), &["x"])]);
    let row = row(
        Category::SimplePython,
        functions,
        json!([{"kite.fly": {"x": right}}]),
    );
    check(&row, &calls(json!([fly(json!({"x": value}))]))).is_none()
}

fn typed(name: &str) -> Value {
    json!({"type": name})
}

#[test]
fn strings_match_loosely_and_other_values_by_type() {
    let right = |name: &str, right: Value, value: Value| is_right(typed(name), right, value);
    assert!(right("string", json!(["St. John's"]), json!("st john\"s")));
    assert!(!right("string", json!(["red"]), json!("blue")) && !right("string", json!(["5"]), json!(5)));
    assert!(right("integer", json!([5, 7]), json!(7)) && !right("integer", json!([5]), json!(5.0)));
    assert!(right("float", json!([5.0]), json!(5)) && !right("integer", json!([1]), json!(true)));
    assert!(right("boolean", json!([true]), json!(true)) && !right("boolean", json!([true]), json!(1)));
    assert!(right("any", json!(["up"]), json!("UP")) && right("any", json!([3]), json!(3)));
    assert!(
        right("integer", json!([null]), json!(null)),
        "null where the answers have it"
    );
    assert!(
        right("integer", json!(["all"]), json!("all")),
        "a right value of another type, unchanged"
    );
    assert!(!right("integer", json!(["all"]), json!("ALL")) && !right("integer", json!([""]), json!("")));
}

#[test]
fn lists_have_their_order_and_objects_their_right_fields() {
    let strings = json!({"type": "array", "items": {"type": "string"}});
    let right = json!([["Red", "blue"], ["green"]]);
    assert!(is_right(strings.clone(), right.clone(), json!(["red", "Blue."])));
    assert!(!is_right(strings.clone(), right.clone(), json!(["blue", "red"])));
    assert!(!is_right(strings.clone(), right, json!("green")));
    assert!(
        is_right(strings, json!([["a"], ""]), json!([])),
        "a quirk: an empty list, where none is needed"
    );
    let floats = json!({"type": "tuple", "items": {"type": "float"}});
    assert!(
        !is_right(floats.clone(), json!([[1.0, 2.0]]), json!([1, 2])),
        "inside of lists types are strict"
    );
    assert!(is_right(floats, json!([[1.0, 2.0]]), json!([1.0, 2.0])));

    let fields = json!([{"color": ["red", "blue"], "size": [3, ""]}]);
    let dict = typed("dict");
    assert!(is_right(dict.clone(), fields.clone(), json!({"color": "RED"})));
    assert!(is_right(
        dict.clone(),
        fields.clone(),
        json!({"size": 3.0, "color": "blue"})
    ));
    assert!(
        !is_right(dict.clone(), fields.clone(), json!({"size": 3})),
        "color may not be left out"
    );
    assert!(!is_right(
        dict,
        fields.clone(),
        json!({"color": "red", "tail": 1})
    ));
    let dicts = json!({"type": "array", "items": {"type": "dict"}});
    let two = json!([[fields[0], fields[0]]]);
    assert!(is_right(
        dicts.clone(),
        two.clone(),
        json!([{"color": "red"}, {"color": "blue", "size": 3}])
    ));
    assert!(!is_right(dicts, two, json!([{"color": "red"}])));
}

#[test]
fn arguments_are_needed_unless_the_answer_lets_them_out() {
    let properties = json!({"x": {"type": "integer"}, "y": {"type": "integer"}, "z": {"type": "integer"}});
    let functions = json!([function(properties, &["x"])]);
    let right = json!([{"kite.fly": {"x": [1, ""], "y": [2, ""]}}]);
    let row = row(Category::SimplePython, functions, right);
    let problem = |list: Value| check(&row, &calls(list)).unwrap_or_default();
    assert_eq!(problem(json!([fly(json!({"x": 1}))])), "");
    assert_eq!(problem(json!([fly(json!({"y": 2, "x": 1}))])), "");
    assert_eq!(
        problem(json!([fly(json!({"y": 2}))])),
        "`x` is missing",
        "the tool requires it"
    );
    assert!(problem(json!([fly(json!({"x": 1, "z": 3}))])).contains("`z` is not an argument"));
    assert!(problem(json!([{"name": "kite_fly", "arguments": {"x": 1}}])).contains("`kite_fly` is called"));
    assert!(problem(json!([])).starts_with("0 calls where 1"));
    assert!(problem(json!([fly(json!({"x": 1})), fly(json!({"x": 1}))])).starts_with("2 calls where 1"));
}

#[test]
fn parallel_calls_come_in_any_order_each_once() {
    let functions = json!([function(json!({"x": {"type": "integer"}}), &["x"])]);
    let right = json!([{"kite.fly": {"x": [1, 2]}}, {"kite.fly": {"x": [1]}}]);
    let row = row(Category::Parallel, functions, right);
    let right =
        |xs: [i64; 2]| check(&row, &calls(xs.map(|x| fly(json!({"x": x}))).to_vec().into())).is_none();
    assert!(right([2, 1]) && right([1, 1]));
    assert!(
        !right([1, 2]),
        "the first answer takes the first call that is right for it, as the leaderboard does"
    );
    assert!(!right([2, 2]) && !right([3, 1]));
}

fn hermes() -> ChatTemplate {
    tiny_model().template
}

/// A reply is read in the syntax of the model's template.
#[test]
fn a_call_is_read_as_the_model_writes_it() {
    let functions = json!([function(json!({"x": {"type": "integer"}}), &["x"])]);
    let row = row(
        Category::SimplePython,
        functions,
        json!([{"kite.fly": {"x": [1]}}]),
    );
    let said = Generation::of_text(r#"{"name": "kite.fly", "parameters": {"x": 1}}"#);
    let verdict = Verdict::of(&row, &said, &style("llama_style"));
    assert!(verdict.right, "{verdict:?}");
    assert!(!Verdict::of(&row, &said, &hermes()).right);
}

#[test]
fn where_no_tool_fits_no_call_is_right_and_where_one_does_any_is() {
    let functions = json!([function(json!({}), &[])]);
    for (category, call, none) in [
        (Category::Irrelevance, false, true),
        (Category::LiveIrrelevance, false, true),
        (Category::LiveRelevance, true, false),
    ] {
        let folder = folder(category, &[question("kite_0", functions.clone())], &[]);
        let row = load(folder.path(), category).unwrap().remove(0);
        assert_eq!(
            check(&row, &calls(json!([fly(json!({"any": "thing"}))]))).is_none(),
            call
        );
        assert_eq!(check(&row, &[]).is_none(), none);
        let broken = Verdict::of(
            &row,
            &Generation::of_text("<tool_call>{\"name\": \"kite.fly\""),
            &hermes(),
        );
        assert_eq!(
            (broken.right, broken.finished),
            (none, true),
            "a call that cannot be read is none"
        );
        let endless = Generation {
            finished: false,
            ..Generation::of_text("Well, well, well,")
        };
        let endless = Verdict::of(&row, &endless, &hermes());
        assert_eq!((endless.right, endless.finished), (none, false));
    }
}

/// Rows in the oddest forms of the leaderboard.
#[test]
fn odd_rows_are_read() {
    let properties = json!({
        "when": {"type": "string", "description": "A day.", "default": ["Monday"]},
        "points": {"type": "array", "items": {"type": "tuple", "items": {"type": "float"}}},
        "how": {"type": "any", "description": "Any way.", "optional": true}
    });
    let mut tools = json!([function(properties, &["when"])]);
    tools[0]["parameters"]["optional"] = json!(["how"]);
    let talk = json!([[
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Hello"},
        {"role": "user", "content": "Are you there?"},
        {"role": "assistant", "content": "Yes."},
        {"role": "user", "content": "Fly."}
    ]]);
    let rows = [
        json!({"id": "kite_0", "question": talk, "function": tools}),
        question("kite_1", json!([])),
    ];
    let folder = folder(Category::LiveIrrelevance, &rows, &[]);
    let rows = load(folder.path(), Category::LiveIrrelevance).unwrap();
    assert_eq!((rows[0].messages.len(), rows[1].tools.len()), (5, 0));
    let schema = &rows[0].tools[0];
    assert_eq!(schema.name(), "kite.fly");
    let points = &schema.parameters()["properties"]["points"];
    assert_eq!(
        points,
        &json!({"type": "array", "items": {"type": "array", "items": {"type": "number"}}})
    );
    assert_eq!(schema.parameters()["properties"]["how"]["type"], Value::Null);

    let contradictory = row(
        Category::SimplePython,
        json!([function(json!({"day": {"type": "string"}}), &["day"])]),
        json!([{"kite.fly": {"day": [["Monday", "Tuesday"]], "unheard_of": ["", 1]}}]),
    );
    let right = calls(json!([fly(json!({"day": ["Monday", "Tuesday"]}))]));
    assert_eq!(
        check(&contradictory, &right),
        None,
        "a list, though the tool says string"
    );
}

fn wheel(folder: &Path, files: &[(&str, String)]) -> std::path::PathBuf {
    let path = folder.join("bfcl_eval-0-py3-none-any.whl");
    let mut archive = zip::ZipWriter::new(fs::File::create(&path).unwrap());
    let options =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
    for (name, text) in files {
        archive
            .start_file(format!("bfcl_eval/data/{name}"), options)
            .unwrap();
        archive.write_all(text.as_bytes()).unwrap();
    }
    archive.finish().unwrap();
    path
}

#[test]
fn a_wheel_and_the_folder_that_it_unpacks_to_have_the_same_rows() {
    let functions = json!([function(json!({"x": {"type": "integer"}}), &[])]);
    let questions = [
        question("kite_0", functions.clone()),
        question("kite_1", functions),
    ];
    let answers = [0, 1].map(|i| answer(&format!("kite_{i}"), json!([{"kite.fly": {"x": [i]}}])));
    let flat = folder(Category::Multiple, &questions, &answers);
    let expected = load(flat.path(), Category::Multiple).unwrap();
    assert_eq!(expected.len(), 2);
    let unpacked = tempfile::tempdir().unwrap();
    fs::create_dir(unpacked.path().join("bfcl_eval")).unwrap();
    fs::rename(flat.path(), unpacked.path().join("bfcl_eval/data")).unwrap();
    assert_eq!(load(unpacked.path(), Category::Multiple).unwrap(), expected);
    let files = [
        ("BFCL_v4_multiple.json", lines(&questions)),
        ("possible_answer/BFCL_v4_multiple.json", lines(&answers)),
    ];
    let wheel = wheel(unpacked.path(), &files);
    assert_eq!(load(&wheel, Category::Multiple).unwrap(), expected);
    let missing = load(&wheel, Category::Parallel).unwrap_err().to_string();
    assert!(missing.contains("BFCL_v4_parallel.json from it"), "{missing}");
}

#[test]
fn what_is_no_data_of_the_leaderboard_is_refused_with_its_place() {
    let refused = |questions: &[Value], answers: &[Value]| {
        let folder = folder(Category::SimplePython, questions, answers);
        load(folder.path(), Category::SimplePython)
            .unwrap_err()
            .to_string()
    };
    let fine = question("kite_0", json!([function(json!({}), &[])]));
    let right = answer("kite_0", json!([{"kite.fly": {"x": [1]}}]));
    let other = answer("kite_7", json!([{"kite.fly": {"x": [1]}}]));
    let bare = answer("kite_0", json!([{"kite.fly": {"x": 1}}]));
    let nameless = question("kite_0", json!([{"description": "A tool."}]));
    let mixed_up = refused(from_ref(&fine), from_ref(&other));
    assert!(
        mixed_up.contains("row 0: id: found `kite_7`, expected `kite_0`"),
        "{mixed_up}"
    );
    assert!(
        refused(from_ref(&fine), &[bare]).contains("ground_truth[0].kite.fly.x: expected a list of values")
    );
    assert!(refused(from_ref(&nameless), from_ref(&right)).contains("row 0: function[0]: tool schema"));
    let seventh = question("kite_7", json!([function(json!({}), &[])]));
    let only_the_first = refused(&[nameless, seventh], &[right.clone(), other]);
    assert!(only_the_first.starts_with("1 problem(s)"), "{only_the_first}");
    let missing = refused(&[fine.clone(), fine.clone()], from_ref(&right));
    assert!(missing.contains("1 answers for 2 rows"), "{missing}");
    let nothing = load("no/such/folder", Category::SimplePython)
        .unwrap_err()
        .to_string();
    assert!(nothing.contains("scripts/setup.sh bfcl fetches it"), "{nothing}");
    let broken = folder(Category::SimplePython, &[fine], &[right]);
    fs::write(
        broken.path().join("BFCL_v4_simple_python.json"),
        "{}\n{\"id\": \n",
    )
    .unwrap();
    let broken = load(broken.path(), Category::SimplePython)
        .unwrap_err()
        .to_string();
    assert!(
        broken.contains("BFCL_v4_simple_python.json: line 2: EOF"),
        "{broken}"
    );
}

#[test]
fn categories_are_known_by_name_and_group() {
    for category in Category::ALL {
        assert_eq!(Category::named(category.name()).unwrap(), [category]);
        assert_eq!(json!(category), category.name());
    }
    assert_eq!(Category::named("non_live").unwrap().len(), 5);
    assert_eq!(Category::named("live").unwrap().len(), 6);
    assert_eq!(Category::named("all").unwrap(), Category::ALL);
    let error = Category::named("simple").unwrap_err().to_string();
    assert!(
        error.starts_with("category of BFCL: `simple` is not known; expected simple_python,"),
        "{error}"
    );
}

/// Rows with different tools, some of them long, are answered together as they are one by one.
#[test]
fn a_model_answers_the_rows_of_a_category() {
    let many = |i: usize| -> Value {
        let tool = |t: usize| {
            let mut tool = function(
                json!({"x": {"type": "integer", "description": "How high.".repeat(i)}}),
                &["x"],
            );
            tool["name"] = json!(format!("kite_{i}.fly_{t}"));
            tool
        };
        (0..=i % 7).map(tool).collect()
    };
    let questions: Vec<Value> = (0..70).map(|i| question(&format!("kite_{i}"), many(i))).collect();
    let folder = folder(Category::LiveIrrelevance, &questions, &[]);
    let rows = load(folder.path(), Category::LiveIrrelevance).unwrap();
    let (model, mut seen, mut replies) = (tiny_model(), Vec::new(), 0);
    let config = GenerateConfig {
        max_new_tokens: 8,
        constrained: false,
        ..GenerateConfig::default()
    };
    let on_row = |verdict: &Verdict| seen.push(verdict.id.clone());
    let category = Category::LiveIrrelevance;
    let scores = run(&model, category, &rows, &config, on_row, || replies += 1).unwrap();
    assert_eq!(replies, rows.len());
    assert_eq!(seen, rows.iter().map(|row| row.id.clone()).collect::<Vec<_>>());
    for (row, verdict) in rows.iter().zip(&scores.verdicts).step_by(9) {
        let alone = toolcall_lib::generate(&model, &row.messages, &row.tools, &config).unwrap();
        assert_eq!(verdict, &Verdict::of(row, &alone, &model.template));
    }
    assert_eq!(
        (scores.right().count, scores.right().total),
        (70, 70),
        "a random model calls nothing"
    );
    assert!(scores.right_and_finished().count < 70);
}

#[test]
fn the_scores_are_shown_as_a_table_and_as_json() {
    let functions = json!([function(json!({"x": {"type": "integer"}}), &["x"])]);
    let row = row(
        Category::SimplePython,
        functions,
        json!([{"kite.fly": {"x": [1]}}]),
    );
    let reply = |x: i64| {
        let call = fly(json!({"x": x}));
        Verdict::of(
            &row,
            &Generation::of_text(format!("<tool_call>\n{call}\n</tool_call>")),
            &hermes(),
        )
    };
    let mut endless = reply(1);
    endless.finished = false;
    let scores = BfclScores {
        category: Category::SimplePython,
        verdicts: vec![reply(1), reply(2), endless],
    };
    insta::assert_snapshot!("bfcl_text", BfclTable(std::slice::from_ref(&scores)).to_string());
    let json = serde_json::to_value(&scores).unwrap();
    let counts = [
        &json["rows"],
        &json["right"],
        &json["right_and_finished"],
        &json["unfinished"],
    ];
    assert_eq!(counts, [&json!(3), &json!(2), &json!(1), &json!(1)]);
    let second = json!({"id": "kite_0", "right": false, "problem": "`x`: 2 is not one of [1]", "finished": true,
        "calls": [fly(json!({"x": 2}))], "confidences": [],
        "reply": "<tool_call>\n{\"name\":\"kite.fly\",\"arguments\":{\"x\":2}}\n</tool_call>"});
    assert_eq!(json["verdicts"][1], second);
}
