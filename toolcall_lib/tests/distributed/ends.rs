//! The end of a run of many ranks when one of them fails.

use super::{By, LAUNCHERS, play, said};
use serde_json::{Value, json};
use std::time::Instant;

/// Plays a scene that must fail, long before the 300 s that a rank may sleep.
fn failure(by: By, ranks: usize, scene: &str, arguments: &Value) -> String {
    let started = Instant::now();
    let output = play(by, ranks, scene, arguments);
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
    for &by in LAUNCHERS {
        let said = failure(by, 4, "killed", &Value::Null);
        let named = match by {
            By::Torchrun => said.contains("rank 1 has died"),
            #[cfg(feature = "mpi")]
            By::Mpirun => said.contains("rank 1 ") && said.contains("signal 9"),
        };
        assert!(named, "{by:?}: {said}");
    }
}

#[test]
fn a_killed_rank_is_seen_while_the_others_compute() {
    let said = failure(By::Torchrun, 3, "killed while others compute", &Value::Null);
    assert!(
        said.contains("rank 1 has died") && !said.contains("went on"),
        "{said}"
    );
}

#[test]
fn a_rank_that_cannot_go_on_ends_the_job() {
    for &by in LAUNCHERS {
        let said = failure(by, 4, "fails", &Value::Null);
        assert!(said.contains("error: rank 1: the disk is full"), "{by:?}: {said}");
    }
}

#[test]
fn a_rank_that_panics_ends_the_job() {
    for &by in LAUNCHERS {
        let said = failure(by, 4, "panics", &Value::Null);
        assert!(said.contains("no such row"), "{by:?}: {said}");
    }
}

#[test]
fn a_rank_that_hangs_ends_the_job_and_is_named() {
    for &by in LAUNCHERS {
        let said = failure(by, 2, "hangs", &json!({"timeout": 8})); // on a busy machine a rank may be seconds late
        assert!(said.contains("s for rank 1: a rank hangs"), "{by:?}: {said}");
    }
}

#[test]
fn a_rank_that_leaves_early_ends_the_job_and_is_named() {
    let said = failure(By::Torchrun, 3, "leaves early", &Value::Null);
    assert!(said.contains("rank 1 has ended before the others"), "{said}");
}

#[test]
fn ranks_with_other_data_are_refused_by_name() {
    for &by in LAUNCHERS {
        let said = said(&play(by, 2, "other data", &Value::Null));
        let problem = "error: rank 1: its data differ from those of rank 0";
        assert!(said.contains(problem), "{by:?}: {said}");
    }
}

#[test]
fn an_output_folder_that_is_refused_is_refused_by_all_ranks_in_the_same_words() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.json"), "mine").unwrap();
    let output = play(
        By::Torchrun,
        3,
        "foreign output",
        &json!({"folder": folder.path()}),
    );
    let (said, file) = (said(&output), folder.path().join("config.json"));
    for rank in 0..3 {
        let refusal = format!(
            "rank {rank}: {}: was not written by toolcall, and saving",
            file.display()
        );
        assert!(said.contains(&refusal), "{said}");
    }
}

#[test]
fn a_checkpoint_that_cannot_be_written_does_not_end_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = json!({"folder": folder.path()});
    let output = play(By::Torchrun, 2, "a checkpoint that cannot be written", &arguments);
    let said = said(&output);
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("checkpoint-2 could not be saved, and training continues: "),
        "{said}"
    );
    assert!(folder.path().join("checkpoint-1/trainer_state.json").is_file());
}

#[test]
fn a_signal_to_one_rank_ends_the_run_of_all_after_the_step() {
    for &by in LAUNCHERS {
        let output = play(by, 2, "interrupted", &Value::Null);
        assert!(output.status.success(), "{by:?}: {}", said(&output));
    }
}
