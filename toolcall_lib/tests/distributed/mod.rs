//! Tests of many processes, under a real `mpirun` or started as `torchrun` starts them. This test
//! binary plays the ranks.

mod ends;
#[cfg(feature = "cli")]
mod program;
mod scenes;
mod same_run;

use crate::common::tiny_model::tiny_model;
use crate::train::timers;
use serde_json::{Value, json};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use toolcall_lib::LoraConfig;
use toolcall_lib::train::{StepReport, TrainConfig, TrainReport, train};

/// Conversations: two steps of 8 and one of 2, for which not every rank has a row.
const ROWS: u64 = 18;
const VALIDATION_ROWS: u64 = 5;
/// Number of conversations per optimizer step, over all ranks.
const BATCH: usize = 8;

/// Returns the settings of a run in f32 whose steps see [`BATCH`] conversations on `ranks` ranks.
fn config(steps: usize, ranks: usize, accumulation: usize) -> TrainConfig {
    TrainConfig {
        max_steps: Some(steps),
        learning_rate: 1e-3,
        per_device_train_batch_size: BATCH / ranks / accumulation,
        gradient_accumulation_steps: accumulation,
        bf16: false,
        ddp_timeout: 60,
        predict_with_generate: false,
        ..TrainConfig::default()
    }
}

fn lora(config: TrainConfig) -> TrainConfig {
    let adapter = LoraConfig {
        r: 4,
        lora_dropout: 0.1,
        ..LoraConfig::default()
    };
    TrainConfig {
        lora: Some(adapter),
        ..config
    }
}

/// Result of a run: its report, and the weights that it trained, concatenated.
struct Run {
    report: TrainReport,
    weights: Vec<f32>,
}

/// Returns the run of a single process.
fn alone(config: &TrainConfig) -> Run {
    let mut model = tiny_model();
    let data = (&timers(ROWS), &timers(VALIDATION_ROWS));
    let report = train(&mut model, data, config, |_| {}).unwrap();
    let weights = model.decoder.trainable().unwrap().buckets.concat();
    Run { report, weights }
}

/// Program that starts the ranks.
#[derive(Clone, Copy, Debug, PartialEq)]
enum By {
    #[cfg(feature = "mpi")]
    Mpirun,
    Torchrun,
}

/// All programs that can start ranks here.
const LAUNCHERS: &[By] = &[
    #[cfg(feature = "mpi")]
    By::Mpirun,
    By::Torchrun,
];

/// Starts `ranks` processes of a program, waits for all, and joins their outputs.
fn start(by: By, ranks: usize, program: &Path, prepare: impl Fn(&mut Command)) -> Output {
    match by {
        #[cfg(feature = "mpi")]
        By::Mpirun => mpirun(ranks, program, prepare),
        By::Torchrun => torchrun(ranks, program, prepare),
    }
}

/// Returns an `mpirun` that also works as root and with more ranks than cores, for Open MPI 4 and 5
/// and MPICH.
#[cfg(feature = "mpi")]
fn mpirun(ranks: usize, program: &Path, prepare: impl Fn(&mut Command)) -> Output {
    let mut command = Command::new("mpirun");
    command.arg("-n").arg(ranks.to_string()).arg(program).envs([
        ("OMPI_ALLOW_RUN_AS_ROOT", "1"),
        ("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"),
        ("OMPI_MCA_rmaps_base_oversubscribe", "1"),
        ("PRTE_MCA_rmaps_default_mapping_policy", ":oversubscribe"),
        ("RAYON_NUM_THREADS", "1"),
    ]);
    prepare(&mut command);
    command
        .output()
        .expect("mpirun cannot be started; Debian has it in openmpi-bin")
}

/// Starts the processes with the variables that `torchrun` sets. When one ends, the others are not
/// ended.
fn torchrun(ranks: usize, program: &Path, prepare: impl Fn(&mut Command)) -> Output {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let processes: Vec<Child> = (0..ranks)
        .map(|rank| {
            let mut command = Command::new(program);
            command.env("RAYON_NUM_THREADS", "1").envs([
                ("RANK", rank.to_string()),
                ("LOCAL_RANK", rank.to_string()),
                ("WORLD_SIZE", ranks.to_string()),
                ("LOCAL_WORLD_SIZE", ranks.to_string()),
                ("MASTER_ADDR", "127.0.0.1".to_string()),
                ("MASTER_PORT", port.to_string()),
            ]);
            prepare(&mut command);
            let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
            command.spawn().unwrap()
        })
        .collect();
    let outputs = processes
        .into_iter()
        .map(|process| process.wait_with_output().unwrap());
    let both = |mut all: Output, next: Output| {
        all.stdout.extend(next.stdout);
        all.stderr.extend(next.stderr);
        if all.status.success() {
            all.status = next.status;
        }
        all
    };
    outputs.reduce(both).unwrap()
}

/// Starts `ranks` processes that play a scene with these arguments.
fn play(by: By, ranks: usize, scene: &str, arguments: &Value) -> Output {
    start(by, ranks, &std::env::current_exe().unwrap(), |command| {
        command
            .args(["--exact", "distributed::scenes::scene", "--nocapture"])
            .env(scenes::SCENE, scene)
            .env(scenes::ARGUMENTS, arguments.to_string());
    })
}

/// Returns the runs of `ranks` processes, one for each of these settings.
fn together(by: By, ranks: usize, configs: &[TrainConfig]) -> Vec<Run> {
    let folder = tempfile::tempdir().unwrap();
    let arguments = json!({"configs": configs, "folder": folder.path()});
    let output = play(by, ranks, "train", &arguments);
    assert!(output.status.success(), "{}", said(&output));
    let read = |i: usize| -> Run {
        let text = std::fs::read(folder.path().join(format!("{i}.json"))).unwrap();
        let [report, weights]: [Value; 2] = serde_json::from_slice(&text).unwrap();
        Run {
            report: serde_json::from_value(report).unwrap(),
            weights: serde_json::from_value(weights).unwrap(),
        }
    };
    (0..configs.len()).map(read).collect()
}

fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

/// Fails unless losses, norms and weights agree to 1e-5.
fn assert_same(what: &str, got: &Run, want: &Run) {
    assert_eq!(got.report.steps.len(), want.report.steps.len(), "{what}: steps");
    for (got, want) in got.report.steps.iter().zip(&want.report.steps) {
        let numbers = |step: &StepReport| {
            let validation = step.eval_loss.unwrap_or(1.0);
            [step.loss, step.grad_norm, 1.0 + step.token_accuracy, validation]
        };
        for (got, want) in numbers(got).into_iter().zip(numbers(want)) {
            assert!((got / want - 1.0).abs() < 1e-5, "{what}: {got} is not {want}");
        }
    }
    let square = |x: f32| f64::from(x) * f64::from(x);
    let pairs = got.weights.iter().zip(&want.weights);
    let apart: f64 = pairs.map(|(a, b)| square(a - b)).sum();
    let length: f64 = want.weights.iter().map(|&w| square(w)).sum();
    let off = (apart / length).sqrt();
    assert!(off < 1e-5, "{what}: the weights are off by {off:e}");
}

fn arguments() -> Value {
    let text = std::env::var(scenes::ARGUMENTS).unwrap();
    serde_json::from_str(&text).unwrap()
}
