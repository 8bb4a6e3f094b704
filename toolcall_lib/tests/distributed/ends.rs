//! How a run of many ranks ends when something happens to one of them.

use super::{play, said};
use serde_json::{Value, json};
use std::time::Instant;

/// Plays a scene that has to fail, long before the 300 s that a rank may sleep.
fn failure(ranks: usize, scene: &str, arguments: Value) -> String {
    let started = Instant::now();
    let output = play(ranks, scene, arguments);
    assert!(!output.status.success(), "{}", said(&output));
    assert!(
        started.elapsed().as_secs() < 200,
        "the others waited: {}",
        said(&output)
    );
    said(&output)
}

#[test]
fn a_killed_rank_ends_the_job_and_is_named() {
    let said = failure(4, "killed", Value::Null);
    assert!(said.contains("rank 1 ") && said.contains("signal 9"), "{said}");
}

#[test]
fn a_rank_that_cannot_go_on_ends_the_job() {
    let said = failure(4, "fails", Value::Null);
    assert!(said.contains("error: rank 1: the disk is full"), "{said}");
}

#[test]
fn a_rank_that_panics_ends_the_job() {
    let said = failure(4, "panics", Value::Null);
    assert!(said.contains("no such row"), "{said}");
}

#[test]
fn a_rank_that_hangs_ends_the_job_and_is_named() {
    let said = failure(2, "hangs", json!({"timeout": 8})); // on a busy machine a rank may be seconds late
    assert!(said.contains("s for rank 1: it hangs"), "{said}");
}

#[test]
fn ranks_with_other_data_are_refused_by_name() {
    let output = play(2, "other data", Value::Null);
    let said = said(&output);
    assert!(
        said.contains("error: rank 1: its data are not those of rank 0"),
        "{said}"
    );
}

#[test]
fn a_signal_to_one_rank_ends_the_run_of_all_after_the_step() {
    let output = play(2, "interrupted", Value::Null);
    assert!(output.status.success(), "{}", said(&output));
}
