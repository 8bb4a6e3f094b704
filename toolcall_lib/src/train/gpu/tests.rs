//! Whole runs on a device, and on emulated devices whose ranks are threads, compared with one rank
//! on the CPU.

use super::*;
use crate::config::ModelConfig;
use crate::conversation::{Conversation, Message};
use crate::cuda::emulate::{emulated, emulated_ranks};
use crate::cuda::ranks::meet;
use crate::cuda::testing::{assert_apart, driver};
use crate::dataset::Dataset;
use crate::error::Error;
use crate::model::{LoraConfig, Model, Recompute};
use crate::optimizer::Schedule;
use crate::tiny_model::tiny_model;
use crate::train::engine::EngineFactory;
use crate::train::prepare::Job;
use crate::train::ranks::agree;
use crate::train::{TrainReport, train};
use crate::weights::Parameters;
use std::convert::Infallible;
use std::thread;
use std::time::Duration;

/// Conversations of an optimizer step, over all ranks.
const BATCH: usize = 8;

/// Makes a model with heads as wide as a GPU takes them.
fn model() -> Model {
    let mut model = tiny_model();
    let config = ModelConfig {
        hidden_size: 40,
        intermediate_size: 24,
        num_attention_heads: 1,
        num_key_value_heads: 1,
        head_dim: 64,
        ..model.decoder.config
    };
    let weights = Parameters::random(&config, 3);
    model.decoder = Decoder::new(config, weights).unwrap();
    model
}

/// Makes `rows` conversations: enough for a step of eight and one of two, in which some ranks have
/// none.
fn data(rows: u32) -> Dataset {
    let row = |i| Conversation {
        messages: vec![
            Message::user(format!("Is {i} odd?")),
            Message::assistant(["no", "yes"][i as usize % 2]),
        ],
        ..Conversation::default()
    };
    (0..rows).map(row).collect::<Vec<_>>().into()
}

/// Makes three conversations with an answer that becomes less likely the more is learned.
fn validation() -> Dataset {
    let mut rows = data(3).rows;
    rows.iter_mut()
        .for_each(|row| row.messages[1] = Message::assistant("perhaps, perhaps it is not"));
    rows.into()
}

/// Settings of a run in f32 whose steps see [`BATCH`] conversations.
fn config(steps: usize, ranks: usize, accumulation: usize, zero_stage: u8) -> TrainConfig {
    TrainConfig {
        max_steps: Some(steps),
        learning_rate: 1e-3,
        weight_decay: 0.1,
        // otherwise gradients that are rounding only would move weights by whole steps
        adam_epsilon: 1e-4,
        max_grad_norm: 0.5,
        per_device_train_batch_size: BATCH / ranks / accumulation,
        gradient_accumulation_steps: accumulation,
        bf16: false,
        zero_stage,
        predict_with_generate: false,
        ..TrainConfig::default()
    }
}

struct Run {
    report: TrainReport,
    weights: Vec<f32>,
}

fn on_cpu(config: &TrainConfig) -> Run {
    let mut model = model();
    let report = train(&mut model, (&data(10), &validation()), config, |_| {}).unwrap();
    Run {
        report,
        weights: model.decoder.trainable().unwrap().buckets.concat(),
    }
}

type Made<'a> = Result<(Box<dyn Engine + 'a>, Option<Error>)>;

/// Makes each rank an engine on its device, unless the rank is broken.
struct OnDevices {
    devices: Vec<Arc<dyn DeviceRanks>>,
    broken: Option<usize>,
}

impl EngineFactory for OnDevices {
    fn make<'a>(
        &self,
        ranks: &'a dyn Collective,
        decoder: &Decoder,
        optimizer: &AdamW,
        config: &'a TrainConfig,
    ) -> Made<'a> {
        let rank = ranks.rank();
        if self.broken == Some(rank) {
            return Err(Error::invalid(format!("GPU {rank}"), "it is broken"));
        }
        let driver = if ranks.size() == 1 { driver() } else { emulated() };
        let devices = self.devices[rank].clone();
        let engine = OnGpu::new(driver, devices, ranks, decoder, optimizer, config)?;
        Ok((Box::new(engine), None))
    }
}

/// Lets the ranks meet as GPUs do. One of them is broken; the others wait for it for ever.
struct Meeting {
    broken: usize,
}

impl EngineFactory for Meeting {
    fn make<'a>(&self, ranks: &'a dyn Collective, _: &Decoder, _: &AdamW, _: &'a TrainConfig) -> Made<'a> {
        let (rank, broken) = (ranks.rank(), self.broken);
        let connected = meet(ranks, Duration::from_secs(60), move || {
            if rank == broken {
                return Err(Error::invalid("GPU", "it is broken"));
            }
            loop {
                thread::park(); // NCCL waits like this
            }
        });
        agree(ranks, connected).map(|never: Infallible| match never {})
    }
}

/// Runs on one device, or on several emulated ones, which wait for each other or forget to.
fn on_devices(ranks: usize, config: &TrainConfig, waits: bool) -> Result<Run> {
    let devices: Vec<Arc<dyn DeviceRanks>> = match ranks {
        1 => vec![Arc::new(crate::cuda::Alone)],
        _ => emulated_ranks(ranks, waits),
    };
    let mut model = model();
    let job = Job {
        data: &data(10),
        validation: &validation(),
        config,
        engine_factory: &OnDevices {
            devices,
            broken: None,
        },
        on_answer: None,
    };
    let report = job.run_on_threads(ranks, &mut model, |_| {})?;
    Ok(Run {
        report,
        weights: model.decoder.trainable().unwrap().buckets.concat(),
    })
}

/// Returns the largest relative difference between losses, norms and weights of two runs; infinite
/// if one is NaN.
fn apart(got: &Run, want: &Run) -> f64 {
    assert_eq!(got.report.steps.len(), want.report.steps.len());
    let numbers = |run: &Run| -> Vec<f64> {
        let steps = run.report.steps.iter();
        steps
            .flat_map(|step| [step.loss, step.grad_norm, step.eval_loss.unwrap_or(1.0)])
            .collect()
    };
    let pairs = numbers(got).into_iter().zip(numbers(want));
    let mut all: Vec<f64> = pairs.map(|(got, want)| (got / want - 1.0).abs()).collect();
    let square = |x: f32| f64::from(x) * f64::from(x);
    let difference: f64 = got
        .weights
        .iter()
        .zip(&want.weights)
        .map(|(a, b)| square(a - b))
        .sum();
    let length: f64 = want.weights.iter().map(|&w| square(w)).sum();
    all.push((difference / length).sqrt());
    let number = |x: f64| if x.is_nan() { f64::INFINITY } else { x };
    all.into_iter().map(number).fold(0.0, f64::max)
}

/// Compares every accumulation and ZeRO stage.
fn assert_same_run(ranks: usize) {
    let cpu = on_cpu(&config(3, 1, 1, 0));
    let whole = 3 * size_of::<f32>() * cpu.weights.len();
    let all = [1, 2].map(|accumulation| [0, 1, 2].map(|zero_stage| (accumulation, zero_stage)));
    for (accumulation, zero_stage) in all.into_iter().flatten() {
        let what = format!("{ranks} ranks, accumulation {accumulation}, ZeRO {zero_stage}");
        let run = on_devices(ranks, &config(3, ranks, accumulation, zero_stage), true).unwrap();
        let apart = apart(&run, &cpu);
        let TrainReport {
            state_bytes,
            buffer_bytes,
            ..
        } = run.report;
        println!("{what}: off by {apart:.1e}; {state_bytes} bytes of state, {buffer_bytes} of buffers");
        assert_apart(apart, 1e-6, &what);
        let share = if zero_stage == 0 { whole } else { whole / ranks };
        let slack = 3 * size_of::<f32>() * 4; // a bucket may not divide evenly among the ranks
        assert!((share..=share + slack).contains(&state_bytes), "{what}");
    }
}

#[test]
fn one_device_does_what_the_cpu_does() {
    assert_same_run(1);
}

#[test]
fn two_devices_do_what_one_cpu_does() {
    assert_same_run(2);
}

#[test]
fn four_devices_do_what_one_cpu_does() {
    assert_same_run(4);
}

/// Adds an adapter with dropout to the settings.
fn adapted(config: TrainConfig) -> TrainConfig {
    TrainConfig {
        lora: Some(LoraConfig {
            lora_dropout: 0.3,
            ..LoraConfig::default()
        }),
        recompute: Recompute::Block,
        learning_rate: 1e-2,
        warmup_steps: 0,
        ..config
    }
}

#[test]
fn one_device_trains_an_adapter_with_the_masks_of_the_cpu() {
    assert_same_adapter([(1, 1)]);
}

#[test]
fn many_devices_train_an_adapter_with_the_masks_of_the_cpu() {
    assert_same_adapter([(2, 2), (4, 1)]);
}

/// Compares runs of an adapter for these world sizes and accumulations.
fn assert_same_adapter(runs: impl IntoIterator<Item = (usize, usize)>) {
    for (ranks, accumulation) in runs {
        let same_trees = adapted(config(3, 1, ranks * accumulation, 0));
        let cpu = on_cpu(&same_trees);
        for zero_stage in 0..3 {
            let what = format!("{ranks} ranks, accumulation {accumulation}, ZeRO {zero_stage}");
            let config = adapted(config(3, ranks, accumulation, zero_stage));
            let off = apart(&on_devices(ranks, &config, true).unwrap(), &cpu);
            println!("{what}: off by {off:.1e}");
            assert_apart(off, 1e-6, &what);
        }
    }
}

#[test]
fn ranks_round_the_weights_that_others_have_changed() {
    let rounded = |ranks, accumulation| TrainConfig {
        bf16: true,
        learning_rate: 1e-2,
        warmup_steps: 0,
        ..config(3, ranks, accumulation, 2)
    };
    for (what, settings) in [
        ("all weights", (|config| config) as fn(_) -> _),
        ("an adapter", adapted),
    ] {
        let same_trees = [(1, 2), (2, 1)];
        let [one, two] = same_trees.map(|(ranks, accumulation)| {
            let config = settings(rounded(ranks, accumulation));
            on_devices(ranks, &config, true).unwrap()
        });
        let off = apart(&two, &one);
        println!("two ranks in bf16, {what}: off by {off:.1e}");
        assert!(off < 1e-3, "{what}: off by {off:e}"); // both are emulated
    }
}

/// Checks that the weights come back for the answers and for the best model, and that the answers
/// are those of one rank. (At this learning rate rounding grows to other weights; tests with a
/// lower one compare them.)
#[test]
fn validation_rows_are_answered_as_on_the_cpu_and_the_best_model_is_kept() {
    let scored = |ranks: usize| TrainConfig {
        learning_rate: 2e-2,
        lr_scheduler_type: Schedule::ConstantWithWarmup,
        eval_steps: Some(4),
        predict_with_generate: true,
        generation_max_new_tokens: 12,
        load_best_model_at_end: true,
        ..config(24, ranks, 1, 2)
    };
    let scores = |run: &Run| -> Vec<_> { run.report.steps.iter().map(|step| step.eval_scores).collect() };
    let cpu = on_cpu(&scored(1));
    let last = scores(&cpu)[23].unwrap();
    assert_eq!((last.exact.total, last.arguments_exact.total), (3, 0));
    assert!(last.exact.count > 0, "it has learned to end: {last:?}");
    assert!(
        cpu.report.model_of_step.is_some(),
        "the last step is not the best"
    );
    for ranks in [1, 2] {
        let run = on_devices(ranks, &scored(ranks), true).unwrap();
        assert_eq!(scores(&run), scores(&cpu), "{ranks} devices");
        assert_eq!(run.report.model_of_step, cpu.report.model_of_step);
    }
}

#[test]
fn a_device_that_does_not_wait_for_the_others_is_seen() {
    let cpu = on_cpu(&config(2, 1, 1, 0));
    for zero_stage in 0..3 {
        let seen = match on_devices(2, &config(2, 2, 1, zero_stage), false) {
            Ok(run) => apart(&run, &cpu) > 1e-3,
            Err(_) => true,
        };
        assert!(seen, "ZeRO {zero_stage}");
    }
}

#[test]
fn a_rank_that_fails_ends_the_run_and_is_named() {
    let config = config(2, 2, 1, 2);
    let data = data(10);
    let job = Job {
        data: &data,
        validation: &data,
        config: &config,
        engine_factory: &OnDevices {
            devices: emulated_ranks(2, true),
            broken: Some(1),
        },
        on_answer: None,
    };
    let error = job.run_on_threads(2, &mut model(), |_| {}).unwrap_err();
    assert_eq!(error.to_string(), "rank 1: GPU 1: it is broken");
}

#[test]
fn a_rank_that_cannot_connect_is_named_while_the_others_wait_for_it() {
    let (config, data) = (config(2, 2, 1, 2), data(10));
    for (broken, problem) in [(0, "GPU: it is broken"), (1, "rank 1: GPU: it is broken")] {
        let job = Job {
            data: &data,
            validation: &data,
            config: &config,
            engine_factory: &Meeting { broken },
            on_answer: None,
        };
        let error = job.run_on_threads(2, &mut model(), |_| {}).unwrap_err();
        assert_eq!(error.to_string(), problem);
    }
}

#[test]
fn a_run_goes_on_with_another_number_of_devices() {
    let folder = tempfile::tempdir().unwrap();
    let cpu = on_cpu(&config(6, 1, 1, 0));
    let saving = |config: TrainConfig| TrainConfig {
        output_dir: Some(folder.path().into()),
        save_steps: Some(2),
        ..config
    };
    let resumed = |step: usize, config: TrainConfig| TrainConfig {
        resume_from_checkpoint: Some(folder.path().join(format!("checkpoint-{step}"))),
        ..saving(config)
    };
    on_devices(4, &saving(config(6, 4, 1, 2)), true).unwrap();
    on_devices(2, &resumed(2, config(6, 2, 1, 1)), true).unwrap();
    let runs = [
        on_devices(1, &resumed(4, config(6, 1, 1, 2)), true).unwrap(),
        on_cpu(&resumed(4, config(6, 1, 1, 0))),
    ];
    for run in runs {
        assert_apart(apart(&run, &cpu), 1e-5, "4 devices, then 2, then one");
    }
}
