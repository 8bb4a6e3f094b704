//! The run of many ranks is that of one.

use super::{By, LAUNCHERS, Run, alone, assert_same, config, lora, play, said, together};
use serde_json::Value;
use toolcall_lib::train::{EvalScores, TrainConfig};

const STEPS: usize = 20;

/// Settings for every accumulation and ZeRO stage.
fn configs(ranks: usize) -> Vec<(String, TrainConfig)> {
    let all = [1, 2]
        .into_iter()
        .flat_map(|accumulation| (0..3).map(move |stage| (accumulation, stage)));
    all.map(|(accumulation, zero_stage)| {
        let what = format!("{ranks} ranks, accumulation {accumulation}, ZeRO {zero_stage}");
        let config = config(STEPS, ranks, accumulation);
        (what, TrainConfig { zero_stage, ..config })
    })
    .collect()
}

fn assert_same_run(by: By, ranks: usize) {
    let one = alone(&config(STEPS, 1, 1));
    let whole = one.report.state_bytes;
    assert_eq!(
        whole,
        3 * 4 * one.weights.len(),
        "gradients and two moments, 4 bytes each"
    );
    let (names, settings): (Vec<String>, Vec<TrainConfig>) = configs(ranks).into_iter().unzip();
    let runs = together(by, ranks, &settings);
    for ((name, config), run) in names.iter().zip(&settings).zip(&runs) {
        assert_same(name, run, &one);
        let (share, slack) = match config.zero_stage {
            0 => (whole, 0),
            _ => (whole / ranks, 3 * 4 * 4), // a bucket may not divide by the ranks
        };
        let held = run.report.state_bytes;
        assert!(
            (share..=share + slack).contains(&held),
            "{name}: {held} bytes, not {share}"
        );
    }
}

#[test]
fn one_rank_is_the_same_whatever_the_accumulation_and_stage() {
    let one = alone(&config(STEPS, 1, 1));
    for (name, config) in configs(1) {
        assert_same(&name, &alone(&config), &one);
    }
}

#[test]
fn two_ranks_are_the_same_as_one() {
    LAUNCHERS.iter().for_each(|&by| assert_same_run(by, 2));
}

#[test]
fn four_ranks_are_the_same_as_one() {
    LAUNCHERS.iter().for_each(|&by| assert_same_run(by, 4));
}

#[test]
fn an_adapter_with_dropout_sees_the_masks_of_one_rank() {
    let one = alone(&lora(config(4, 1, 4)));
    let [four] = &together(By::Torchrun, 4, &[lora(config(4, 4, 1))])[..] else {
        unreachable!()
    };
    assert_same("LoRA", four, &one);
}

#[test]
fn a_run_goes_on_with_another_number_of_ranks() {
    let folder = tempfile::tempdir().unwrap();
    let whole = alone(&config(STEPS, 1, 1));
    let resumed = |ranks: usize, step: usize| TrainConfig {
        output_dir: Some(folder.path().into()),
        save_steps: Some(7),
        resume_from_checkpoint: Some(folder.path().join(format!("checkpoint-{step}"))),
        ..config(STEPS, ranks, 1)
    };
    let start = TrainConfig {
        resume_from_checkpoint: None,
        ..resumed(2, 0)
    };
    together(By::Torchrun, 2, &[start]);
    let four = &together(LAUNCHERS[0], 4, &[resumed(4, 7)])[0];
    assert_same("2 ranks, then 4", four, &whole);
    assert_same("2 ranks, then 4, then one", &alone(&resumed(1, 14)), &whole);
}

/// Each rank answers some of the rows. Only well-learned rows are compared: the last bits of the
/// weights differ, and decide the output of a model that has learned nothing.
#[test]
fn validation_rows_are_shared_out() {
    let scored = |ranks: usize| TrainConfig {
        learning_rate: 1e-2,
        eval_steps: Some(150),
        predict_with_generate: true,
        generation_max_new_tokens: 40,
        ..config(150, ranks, 1)
    };
    let scores = |run: &Run| -> EvalScores { run.report.steps[149].eval_scores.unwrap() };
    let one = scores(&alone(&scored(1)));
    let two = scores(&together(By::Torchrun, 2, &[scored(2)])[0]);
    assert_eq!((one.exact.total, one.tool_selection.total), (5, 5), "all rows");
    assert_eq!(one.tool_selection.count, 5, "{one:?}");
    assert_eq!(
        (two.exact.total, two.tool_selection),
        (one.exact.total, one.tool_selection)
    );
}

#[test]
fn operations_do_what_they_say() {
    for (&by, ranks) in LAUNCHERS.iter().flat_map(|by| [(by, 2), (by, 3), (by, 4)]) {
        let output = play(by, ranks, "operations", &Value::Null);
        assert!(output.status.success(), "{by:?}: {}", said(&output));
    }
}
