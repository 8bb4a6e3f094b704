//! The command line on many processes.

use super::{By, LAUNCHERS, said, start};
use crate::common::tiny_model::tiny_model;
use crate::train::timers;
use serde_json::json;
use std::path::Path;
use std::process::Output;
use toolcall_lib::{load, save};

/// `toolcall train` on two ranks, with a configuration file of DeepSpeed.
fn train(by: By, folder: &Path, train_batch_size: usize) -> Output {
    let [model, data, config] = ["model", "data.json", "ds_config.json"].map(|name| folder.join(name));
    save(&tiny_model(), &model).unwrap();
    timers(16).save(&data).unwrap();
    let settings = json!({
        "train_batch_size": train_batch_size,
        "train_micro_batch_size_per_gpu": 2,
        "gradient_accumulation_steps": 1,
        "scheduler": {"type": "WarmupDecayLR", "params": {"total_num_steps": 3, "warmup_num_steps": 1}},
        "zero_optimization": {"stage": 1, "overlap_comm": true}
    });
    std::fs::write(&config, settings.to_string()).unwrap();
    start(by, 2, Path::new(env!("CARGO_BIN_EXE_toolcall")), |command| {
        command
            .arg("train")
            .args(["--model".as_ref(), model.as_os_str()])
            .args(["--data".as_ref(), data.as_os_str()])
            .args(["--config".as_ref(), config.as_os_str()])
            .args(["--out".as_ref(), folder.join("tuned").as_os_str()]);
    })
}

#[test]
fn the_first_rank_speaks_and_saves_for_all() {
    for &by in LAUNCHERS {
        let folder = tempfile::tempdir().unwrap();
        let output = train(by, folder.path(), 4);
        let said = said(&output);
        assert!(output.status.success(), "{said}");
        for once in [
            "2 ranks, 1 thread each, ZeRO stage 1",
            "have no effect here: zero_optimization.overlap_comm",
            "step    3/3",
            "ranks            2, each with ",
            "saved ",
        ] {
            assert_eq!(said.matches(once).count(), 1, "{once}\n{said}");
        }
        load(folder.path().join("tuned").to_str().unwrap()).unwrap();
    }
}

#[test]
fn batch_sizes_have_to_fit_the_ranks() {
    let folder = tempfile::tempdir().unwrap();
    let output = train(By::Torchrun, folder.path(), 2);
    assert!(!output.status.success());
    let said = said(&output);
    let problem = "train_batch_size: 2 is not 2 (train_micro_batch_size_per_gpu) · 1 (gradient_accumulation_steps) · 2 (ranks) = 4";
    assert!(said.contains(problem), "{said}");
}
