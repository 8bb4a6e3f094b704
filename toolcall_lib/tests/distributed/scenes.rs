//! Scenes that the ranks play.

use super::{ROWS, VALIDATION_ROWS, arguments};
use crate::common::tiny_model::tiny_model;
use crate::train::timers;
use serde_json::{Value, from_value, json};
use signal_hook::consts::{SIGKILL, SIGUSR1};
use signal_hook::low_level::raise;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;
use toolcall_lib::collective::{Collective, connect};
use toolcall_lib::train::{TrainConfig, TrainData, TrainReport, train};
use toolcall_lib::weights::Parameters;

/// Environment variables with the scene and its arguments.
pub const SCENE: &str = "TOOLCALL_TEST_SCENE";
pub const ARGUMENTS: &str = "TOOLCALL_TEST_ARGUMENTS";

/// Plays a scene in the processes that `play` starts. It is not a test of its own.
#[test]
fn scene() {
    let Ok(scene) = std::env::var(SCENE) else { return };
    let timeout = arguments()["timeout"].as_u64().unwrap_or(60);
    let ranks = connect(Duration::from_secs(timeout)).unwrap();
    match scene.as_str() {
        "operations" => operations(&*ranks),
        "train" => trainings(&*ranks),
        "killed" => drop(until(&*ranks, 3, || raise(SIGKILL).unwrap())),
        "killed while others compute" => {
            ranks.exchange(&[]).unwrap();
            if ranks.rank() == 1 {
                raise(SIGKILL).unwrap();
            }
            sleep(Duration::from_secs(300));
            eprintln!("rank {} went on", ranks.rank());
        }
        "leaves early" => {
            ranks.exchange(&[]).unwrap();
            if ranks.rank() != 1 {
                ranks.exchange(&[]).unwrap();
            }
        }
        "fails" => drop(until(&*ranks, 3, || {
            eprintln!("error: rank 1: the disk is full");
            ranks.abort()
        })),
        "panics" => drop(until(&*ranks, 3, || panic!("no such row"))),
        "interrupted" => {
            let report = until(&*ranks, 3, || raise(SIGUSR1).unwrap());
            assert!(report.interrupted);
            assert_eq!(report.steps.len(), 3);
        }
        "other data" => {
            let data = timers(ROWS - ranks.rank() as u64);
            let config = super::config(3, ranks.size(), 1);
            let shared = TrainData {
                ranks: &*ranks,
                ..TrainData::from(&data)
            };
            let problem = train(&mut tiny_model(), shared, &config, |_| {});
            eprintln!("error: {}", problem.unwrap_err());
        }
        "foreign output" => {
            let said = into(&*ranks, &arguments(), |_| {}).unwrap_err();
            eprintln!("rank {}: {said}", ranks.rank());
        }
        "a checkpoint that cannot be written" => {
            let arguments = arguments();
            let work = PathBuf::from(arguments["folder"].as_str().unwrap()).join(".saving");
            let report = into(&*ranks, &arguments, |step| {
                if (ranks.rank(), step) == (0, 2) {
                    std::fs::remove_dir_all(&work).unwrap(); // the lock is in it
                }
            });
            let report = report.unwrap();
            assert_eq!(report.steps.len(), 3);
            assert_eq!(
                report.notes.len(),
                if ranks.rank() == 0 { 2 } else { 0 },
                "{:?}",
                report.notes
            );
        }
        "hangs" => drop(until(&*ranks, 2, || sleep(Duration::from_secs(300)))),
        other => unreachable!("{other}"),
    }
}

/// Reduce-scatter, all-gather and exchange of buffers of all lengths, one of them longer than a
/// piece.
fn operations(ranks: &dyn Collective) {
    let (rank, size) = (ranks.rank(), ranks.size());
    for len in [0, 1, size - 1, size, 1000, 5 << 20] {
        let value = |rank: usize, i: usize| (rank + 1) as f32 * (i % 1000) as f32;
        let buffer: Vec<f32> = (0..len).map(|i| value(rank, i)).collect();
        let pending = ranks.start_reduce_scatter(buffer).unwrap();
        let numbers = ranks.exchange(&[rank as f64, 0.5]).unwrap();
        assert_eq!(
            numbers,
            (0..size).map(|rank| [rank as f64, 0.5]).collect::<Vec<_>>()
        );
        let buffer = pending.wait().unwrap();
        let whole = ranks.start_all_gather(buffer).unwrap().wait().unwrap();
        let sums: Vec<f32> = (0..len)
            .map(|i| (0..size).map(|rank| value(rank, i)).sum())
            .collect();
        assert!(whole == sums, "{len} elements");
    }
    assert_eq!(
        ranks.sum([1.0, rank as f64]).unwrap(),
        [size as f64, (size * (size - 1) / 2) as f64]
    );
}

/// Trains with each of the settings. The first rank writes the results.
fn trainings(ranks: &dyn Collective) {
    let arguments = arguments();
    let configs: Vec<TrainConfig> = from_value(arguments["configs"].clone()).unwrap();
    let folder: PathBuf = from_value(arguments["folder"].clone()).unwrap();
    for (i, config) in configs.iter().enumerate() {
        let (report, trained) = run(ranks, config, |_| {});
        let weights = trained.buckets.concat();
        let sum: f64 = weights.iter().map(|&w| f64::from(w)).sum();
        let sums = ranks.exchange(&[sum]).unwrap();
        assert!(
            sums.iter().all(|other| other[0] == sum),
            "the ranks end with other weights"
        );
        if ranks.rank() == 0 {
            let content: Value = json!([report, weights]);
            std::fs::write(folder.join(format!("{i}.json")), content.to_string()).unwrap();
        }
    }
}

fn run(
    ranks: &dyn Collective,
    config: &TrainConfig,
    on_step: impl FnMut(usize),
) -> (TrainReport, Parameters) {
    let (mut model, data, mut on_step) = (tiny_model(), timers(ROWS), on_step);
    let validation = timers(VALIDATION_ROWS);
    let shared = TrainData {
        ranks,
        ..TrainData::from((&data, &validation))
    };
    let report = train(&mut model, shared, config, |step| on_step(step.step)).unwrap();
    (report, model.decoder.trainable().unwrap().clone())
}

/// Returns a run that saves a checkpoint after each step into a folder.
fn into(
    ranks: &dyn Collective,
    arguments: &Value,
    mut on_step: impl FnMut(usize),
) -> toolcall_lib::Result<TrainReport> {
    let config = TrainConfig {
        output_dir: Some(arguments["folder"].as_str().unwrap().into()),
        save_steps: Some(1),
        ..super::config(3, ranks.size(), 1)
    };
    let (mut model, data) = (tiny_model(), timers(ROWS));
    let shared = TrainData {
        ranks,
        ..TrainData::from(&data)
    };
    train(&mut model, shared, &config, |step| on_step(step.step))
}

/// Makes a run in which rank 1 fails in some way after a step.
fn until(ranks: &dyn Collective, step: usize, mut happens: impl FnMut()) -> TrainReport {
    let rank = ranks.rank();
    let on_step = |now| {
        if (rank, now) == (1, step) {
            happens();
        }
    };
    run(ranks, &super::config(10, ranks.size(), 1), on_step).0
}
