//! The whole workflow with a tiny model: train, save, load, generate.

use crate::common::tiny_model::tiny_model;
use serde_json::json;
use signal_hook::consts::SIGINT;
use toolcall_lib::dataset::Dataset;
use toolcall_lib::generate::{Generator, Prompt};
use toolcall_lib::tokens::LossMode;
use toolcall_lib::train::{TrainConfig, TrainReport, train};
use toolcall_lib::{
    Conversation, GenerateConfig, Generation, Message, Model, ToolCall, ToolSchema, generate, load, reply,
    save,
};

fn timer() -> ToolSchema {
    let duration = json!({"type": "integer", "description": "Seconds."});
    let parameters =
        json!({"type": "object", "properties": {"duration": duration}, "required": ["duration"]});
    let function = json!({"name": "start_timer", "description": "Starts a timer.", "parameters": parameters});
    ToolSchema::new(json!({"type": "function", "function": function})).unwrap()
}

fn call(seconds: u64) -> ToolCall {
    let arguments = json!({"duration": seconds}).as_object().unwrap().clone();
    ToolCall {
        id: None,
        name: "start_timer".to_string(),
        arguments,
    }
}

/// Timers of 1 to `rows` minutes.
pub(crate) fn timers(rows: u64) -> Dataset {
    let conversation = |minutes: u64| Conversation {
        messages: vec![
            Message::user(format!("Set a timer for {minutes} minutes.")),
            Message::assistant_calls(vec![call(60 * minutes)]),
            Message::tool("start_timer", "ok"),
            Message::assistant(format!("Timer set for {minutes} minutes.")),
        ],
        tools: vec![timer()],
        ..Conversation::default()
    };
    (1..=rows).map(conversation).collect::<Vec<_>>().into()
}

pub(crate) fn config(steps: usize) -> TrainConfig {
    TrainConfig {
        max_steps: Some(steps),
        learning_rate: 3e-3,
        per_device_train_batch_size: 4,
        ..TrainConfig::default()
    }
}

pub(crate) fn losses(report: &TrainReport) -> Vec<f64> {
    report.steps.iter().map(|step| step.loss).collect()
}

fn weights(model: &Model) -> &[Vec<f32>] {
    &model.decoder.trainable().unwrap().buckets
}

#[test]
fn a_model_that_has_learned_two_rows_calls_the_tool_after_saving_and_loading() {
    let (mut model, data) = (tiny_model(), timers(2));
    let settings = TrainConfig {
        learning_rate: 1e-2,
        ..config(250)
    };
    let report = train(&mut model, &data, &settings, |_| {}).unwrap();
    let last = report.steps.last().unwrap();
    assert!(last.loss < 0.02 && last.token_accuracy == 1.0, "{last:?}");
    assert!(
        report.steps[0].tree_ratio > 3.0,
        "two turns of two rows share most tokens"
    );

    let folder = tempfile::tempdir().unwrap().path().join("tuned");
    save(&model, &folder).unwrap();
    let loaded = load(folder.to_str().unwrap()).unwrap();
    assert_eq!(weights(&loaded), weights(&model));
    assert_eq!(loaded.decoder.config, model.decoder.config);
    let settings = GenerateConfig::default();
    let (mut prompts, mut alone): (Vec<Prompt<'_>>, Vec<Generation>) = Default::default();
    for (row, seconds) in data.rows.iter().zip([60, 120]) {
        for turn in [1, 3] {
            prompts.push((&row.messages[..turn], &row.tools));
            alone.push(generate(&loaded, &row.messages[..turn], &row.tools, &settings).unwrap());
        }
        let [.., called, told] = &alone[..] else {
            unreachable!()
        };
        assert!(called.finished);
        let calls = reply::parse(&called.text).tool_calls;
        assert_eq!(calls, [call(seconds)], "{}", called.text);
        assert_eq!(told.text, row.messages[3].content);
    }
    let mut generator = Generator::new(&loaded, settings);
    assert_eq!(generator.replies(&prompts).unwrap(), alone);
    generator.config.max_new_tokens = 3;
    let cut = generator.replies(&prompts).unwrap();
    assert!(
        cut.iter()
            .zip(&alone)
            .all(|(cut, whole)| !cut.finished && cut.ids == whole.ids[..3])
    );
}

#[test]
fn a_resumed_run_is_bit_identical() {
    let data = timers(6);
    let folder = tempfile::tempdir().unwrap();
    let whole = TrainConfig {
        save_steps: Some(3),
        output_dir: Some(folder.path().into()),
        ..config(7)
    };
    let mut straight = tiny_model();
    let report = train(&mut straight, &data, &whole, |_| {}).unwrap();
    let mut resumed = tiny_model();
    let rest = TrainConfig {
        resume_from_checkpoint: Some(folder.path().join("checkpoint-3")),
        ..config(7)
    };
    let mut seen = Vec::new();
    let again = train(&mut resumed, &data, &rest, |step| seen.push(step.step)).unwrap();
    assert_eq!(seen, [4, 5, 6, 7]);
    assert_eq!(losses(&report), losses(&again));
    assert!(weights(&straight) == weights(&resumed));
}

#[test]
fn accumulated_batches_and_small_trees_equal_one_large_batch() {
    let run = |batch, accumulation, max_tokens_per_tree| {
        let mut model = tiny_model();
        let config = TrainConfig {
            per_device_train_batch_size: batch,
            gradient_accumulation_steps: accumulation,
            max_tokens_per_tree,
            bf16: false,
            ..config(5)
        };
        let report = train(&mut model, &timers(10), &config, |_| {}).unwrap();
        report
            .steps
            .iter()
            .flat_map(|step| [step.loss, step.grad_norm])
            .collect::<Vec<f64>>()
    };
    let one = run(8, 1, usize::MAX);
    for many in [run(2, 4, usize::MAX), run(8, 1, 60)] {
        for (one, many) in one.iter().zip(many) {
            assert!((one / many - 1.0).abs() < 1e-4, "{one} and {many}");
        }
    }
}

/// Starts from weights that bf16 holds exactly, as in most models, and makes updates smaller than
/// its steps. Without bf16 in the processor the three runs are the same.
#[test]
fn in_bf16_the_loss_falls_as_in_f32() {
    let run = |bf16, bf16_stochastic_round| {
        let mut model = tiny_model();
        for weight in model
            .decoder
            .trainable_mut()
            .unwrap()
            .buckets
            .iter_mut()
            .flatten()
        {
            *weight = half::bf16::from_f32(*weight).to_f32();
        }
        let config = TrainConfig {
            learning_rate: 1e-6,
            bf16,
            bf16_stochastic_round,
            ..config(20)
        };
        losses(&train(&mut model, &timers(4), &config, |_| {}).unwrap())
    };
    let exact = run(false, false);
    let above = |losses: Vec<f64>| {
        let above = losses.iter().zip(&exact).map(|(loss, exact)| loss - exact);
        above.sum::<f64>().abs() / exact.len() as f64
    };
    let (nearest, stochastic) = (above(run(true, false)), above(run(true, true)));
    assert!(
        stochastic <= nearest / 20.0,
        "{stochastic}, to the nearest {nearest}"
    );
}

#[test]
fn every_loss_mode_learns() {
    for loss in [
        LossMode::Assistant,
        LossMode::Last,
        LossMode::All,
        LossMode::Completion,
    ] {
        let report = train(
            &mut tiny_model(),
            &timers(4),
            &TrainConfig { loss, ..config(12) },
            |_| {},
        )
        .unwrap();
        assert!(
            report.steps[11].loss < 0.8 * report.steps[0].loss,
            "{loss:?}: {:?}",
            losses(&report)
        );
    }
}

#[test]
fn validation_is_measured_and_stops_a_run_that_gets_no_better() {
    let settings = TrainConfig {
        eval_steps: Some(2),
        early_stopping_patience: Some(2),
        learning_rate: 0.0,
        ..config(20)
    };
    let report = train(&mut tiny_model(), (&timers(4), &timers(6)), &settings, |_| {}).unwrap();
    assert!(report.stopped_early);
    assert_eq!(
        report.steps.len(),
        6,
        "the first evaluation and two that were no better"
    );
    let evaluated: Vec<usize> = report
        .steps
        .iter()
        .filter(|s| s.eval_loss.is_some())
        .map(|s| s.step)
        .collect();
    assert_eq!(evaluated, [2, 4, 6]);
}

#[test]
fn an_interrupt_ends_the_run_after_the_step_and_leaves_a_checkpoint() {
    // in its own process: a signal would end the training of other tests too
    const ALONE: &str = "TOOLCALL_TEST_ALONE";
    if std::env::var_os(ALONE).is_none() {
        let name = "train::an_interrupt_ends_the_run_after_the_step_and_leaves_a_checkpoint";
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name])
            .env(ALONE, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let settings = TrainConfig {
        output_dir: Some(folder.path().into()),
        ..config(50)
    };
    let press = |step: &toolcall_lib::train::StepReport| {
        if step.step == 2 {
            signal_hook::low_level::raise(SIGINT).unwrap();
        }
    };
    let report = train(&mut tiny_model(), &timers(4), &settings, press).unwrap();
    assert!(report.interrupted);
    assert_eq!(report.steps.len(), 2);
    assert!(
        report
            .checkpoint(folder.path())
            .join("trainer_state.json")
            .is_file()
    );
}

#[test]
fn a_run_that_is_refused_leaves_the_model_as_it_was() {
    let mut model = tiny_model();
    model.tools = vec![timer()];
    let refused = [
        TrainConfig {
            learning_rate: 2.0,
            ..config(1)
        },
        // found out after the rows were read and the adapter was made
        TrainConfig {
            resume_from_checkpoint: Some("no/such/folder".into()),
            ..TrainConfig::lora()
        },
    ];
    let other_tools = Dataset::from(vec![Conversation {
        messages: vec![Message::user("Hi."), Message::assistant("Hello.")],
        ..Conversation::default()
    }]);
    for config in refused {
        train(&mut model, &other_tools, &config, |_| {}).unwrap_err();
        assert_eq!(model.tools, [timer()]);
        assert!(model.training.is_none() && model.decoder.adapter.is_none());
    }
}

#[test]
fn settings_that_make_no_sense_are_refused_by_name() {
    let refusal = |config: TrainConfig| {
        train(&mut tiny_model(), &timers(1), &config, |_| {})
            .unwrap_err()
            .to_string()
    };
    let zero = TrainConfig {
        per_device_train_batch_size: 0,
        ..config(1)
    };
    assert_eq!(
        refusal(zero),
        "per_device_train_batch_size: is too small; expected 1 or more"
    );
    assert!(
        refusal(TrainConfig {
            adam_beta2: 1.5,
            ..config(1)
        })
        .starts_with("adam_beta2: 1.5 is out of range")
    );
    let short = TrainConfig {
        max_length: Some(10),
        ..config(1)
    };
    assert!(
        refusal(short).contains("max_length"),
        "{}",
        refusal(TrainConfig {
            max_length: Some(10),
            ..config(1)
        })
    );
    let unknown = json!({"learning_rat": 1.0}).as_object().unwrap().clone();
    assert!(
        config(1)
            .with(unknown)
            .unwrap_err()
            .to_string()
            .contains("unknown field `learning_rat`")
    );
    assert!(train(&mut tiny_model(), &Dataset::default(), &config(1), |_| {}).is_err());
}
