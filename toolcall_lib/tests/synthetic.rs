//! The committed data files: what the generator makes, valid, without repeats and without leaks.

use serde_json::Value;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use toolcall_lib::dataset::Dataset;
use toolcall_lib::synthetic::{SEED, make, write_all};
use toolcall_lib::{Conversation, Role};

const TRAINING: [&str; 3] = [
    "tool_augmented_dataset.json",
    "tool_varied_dataset.json",
    "customer_tool_augmented_dataset.json",
];
const HELD_OUT: [&str; 3] = [
    "tool_heldout.json",
    "varied_heldout.json",
    "customer_heldout.json",
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../data")
}

fn rows(names: [&str; 3]) -> Vec<Conversation> {
    let load = |name: &str| Dataset::load(folder().join(name)).unwrap().rows;
    names.into_iter().flat_map(load).collect()
}

fn user_texts(rows: &[Conversation]) -> HashSet<&str> {
    let messages = rows.iter().flat_map(|row| &row.messages);
    let users = messages.filter(|message| message.role == Role::User);
    users.map(|message| message.content.as_str()).collect()
}

/// All values that calls give to an argument.
fn values<'a>(rows: &'a [Conversation], argument: &str) -> HashSet<&'a Value> {
    let calls = rows
        .iter()
        .flat_map(|row| &row.messages)
        .flat_map(|message| &message.tool_calls);
    calls.filter_map(|call| call.arguments.get(argument)).collect()
}

#[test]
fn the_generator_makes_exactly_the_committed_files() {
    let made = tempfile::tempdir().unwrap();
    for path in write_all(made.path(), SEED, false).unwrap() {
        let committed = folder().join(path.file_name().unwrap());
        let same = std::fs::read(&path).unwrap() == std::fs::read(&committed).unwrap();
        assert!(same, "{} differs; run `toolcall data`", committed.display());
    }
    assert_eq!(
        std::fs::read_dir(made.path()).unwrap().count(),
        TRAINING.len() + HELD_OUT.len()
    );
}

#[test]
fn another_seed_makes_other_rows() {
    let (one, other) = (make(SEED).unwrap(), make(SEED + 1).unwrap());
    assert!(
        one.iter()
            .zip(&other)
            .all(|(one, other)| one.data.rows != other.data.rows)
    );
}

#[test]
fn every_row_is_there_once_and_has_tools() {
    for name in TRAINING.into_iter().chain(HELD_OUT) {
        let data = Dataset::load(folder().join(name)).unwrap();
        assert_eq!(data.dedup().rows.len(), data.rows.len(), "{name}");
        assert!(data.rows.iter().all(|row| !row.tools.is_empty()), "{name}");
    }
}

#[test]
fn training_and_held_out_rows_share_no_sentence_of_the_user() {
    let (training, held_out) = (rows(TRAINING), rows(HELD_OUT));
    let (training, held_out) = (user_texts(&training), user_texts(&held_out));
    let shared: Vec<_> = training.intersection(&held_out).collect();
    assert!(shared.is_empty(), "{shared:?}");
}

#[test]
fn held_out_values_are_never_trained_on() {
    let (training, held_out) = (rows(TRAINING), rows(HELD_OUT));
    let texts = user_texts(&training);
    for minutes in [2, 3, 11, 12, 27, 29, 33, 43, 44, 49] {
        assert!(
            !texts
                .iter()
                .any(|text| text.contains(&format!(" {minutes} minute"))),
            "{minutes} minutes"
        );
    }
    for argument in ["note", "paidAmount", "payNowAmount", "paidDate", "promiseDate"] {
        let (training, held_out) = (values(&training, argument), values(&held_out, argument));
        assert!(
            !held_out.is_empty() && training.is_disjoint(&held_out),
            "{argument}"
        );
    }
}

#[test]
fn the_readme_counts_the_lists_that_are_held_out() {
    let lists = |name: &str| -> HashSet<String> {
        let rows = Dataset::load(folder().join(name)).unwrap().rows;
        rows.iter()
            .map(|row| serde_json::to_string(&row.tools).unwrap())
            .collect()
    };
    let (training, held_out) = (lists(TRAINING[1]), lists(HELD_OUT[1]));
    let readme = std::fs::read_to_string(folder().join("README.md")).unwrap();
    let own = held_out.difference(&training).count();
    let line = format!(
        "of the {} in `varied_heldout.json`, {own} stand in no",
        held_out.len()
    );
    assert!(readme.contains(&line), "{line}");
}

#[test]
fn the_customer_tools_stand_only_in_the_customer_files() {
    let customer = [
        "Already_Paid",
        "Pay_Now",
        "Hardship",
        "Speak_With_An_Agent",
        "Promise_Payment",
    ];
    for name in [TRAINING[0], TRAINING[1], HELD_OUT[0], HELD_OUT[1]] {
        let text = std::fs::read_to_string(folder().join(name)).unwrap();
        assert!(!customer.iter().any(|tool| text.contains(tool)), "{name}");
    }
    let text = std::fs::read_to_string(folder().join(TRAINING[2])).unwrap();
    assert!(
        customer
            .iter()
            .all(|tool| text.contains(&format!("\"function\":{{\"name\":\"{tool}\",\"arguments\"")))
    );
}

#[test]
fn the_requests_that_everybody_tries_are_trained_on() {
    let training = rows(TRAINING);
    for request in [
        "Set a timer for 0 minutes.",
        "Remind me tomorrow.",
        "Can you help me?",
        "Set 3 timers.",
    ] {
        let row = training
            .iter()
            .find(|row| row.messages[0].content == request)
            .unwrap();
        assert!(row.messages[1].tool_calls.is_empty(), "{request}");
    }
}

#[test]
fn every_argument_that_is_copied_stands_in_the_conversation_before_the_call() {
    for row in rows(TRAINING).into_iter().chain(rows(HELD_OUT)) {
        for (index, message) in row.messages.iter().enumerate() {
            let before: Vec<String> = row.messages[..index]
                .iter()
                .map(|message| message.content.to_lowercase())
                .collect();
            let before = before.join("\n");
            let arguments = message.tool_calls.iter().flat_map(|call| &call.arguments);
            for (name, value) in
                arguments.filter(|(name, _)| !["duration", "paymentMethod"].contains(&name.as_str()))
            {
                let text = value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_lowercase);
                assert!(before.contains(&text), "{name}: {value} in {before}");
            }
        }
    }
}

#[test]
fn the_readme_counts_the_rows_of_each_kind() {
    let readme = std::fs::read_to_string(folder().join("README.md")).unwrap();
    let made = make(SEED).unwrap();
    for pair in made.chunks(2) {
        let [training, held_out] = pair else {
            panic!("files come in pairs")
        };
        let count = |kinds: &[(&str, usize)], kind: &str| {
            kinds
                .iter()
                .find(|(name, _)| *name == kind)
                .map_or(0, |(_, count)| *count)
        };
        let kinds = training
            .kinds
            .iter()
            .chain(&held_out.kinds)
            .map(|(kind, _)| *kind);
        for kind in kinds {
            let line = format!(
                "| {kind} | {} | {} |",
                count(&training.kinds, kind),
                count(&held_out.kinds, kind)
            );
            assert!(readme.contains(&line), "{line}");
        }
        let total = format!(
            "| **all** | {} | {} |",
            training.data.rows.len(),
            held_out.data.rows.len()
        );
        assert!(readme.contains(&total), "{total}");
    }
}
