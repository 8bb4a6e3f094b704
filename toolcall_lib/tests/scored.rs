//! Validation rows that the model answers while it trains: the counts, the model that is kept, and
//! when the run stops.

use crate::common::tiny_model::tiny_model;
use crate::train::{config, timers};
use std::sync::Mutex;
use toolcall_lib::dataset::Dataset;
use toolcall_lib::evaluate::{EvaluateConfig, Score, evaluate};
use toolcall_lib::optimizer::Schedule;
use toolcall_lib::train::{Metric, OnAnswer, StepReport, TrainConfig, TrainData, TrainReport, train};
use toolcall_lib::{Conversation, Message, Model};

/// Learns two rows in some 200 steps, at a rate that does not depend on the length of the run.
fn learning(steps: usize) -> TrainConfig {
    TrainConfig {
        learning_rate: 1e-2,
        lr_scheduler_type: Schedule::ConstantWithWarmup,
        ..config(steps)
    }
}

fn run(validation: &Dataset, config: &TrainConfig) -> (Model, TrainReport) {
    let mut model = tiny_model();
    let report = train(&mut model, (&timers(2), validation), config, |_| {}).unwrap();
    (model, report)
}

fn refusal(validation: &Dataset, config: &TrainConfig) -> String {
    let outcome = train(&mut tiny_model(), (&timers(2), validation), config, |_| {});
    outcome.unwrap_err().to_string()
}

fn weights(model: &Model) -> &[Vec<f32>] {
    &model.decoder.trainable().unwrap().buckets
}

/// Steps without their times and the length of the run.
fn timeless(report: &TrainReport) -> Vec<StepReport> {
    let steps = report.steps.iter().cloned();
    steps
        .map(|step| StepReport {
            total_steps: 0,
            seconds: 0.0,
            tokens_per_second: 0.0,
            samples_per_second: 0.0,
            ..step
        })
        .collect()
}

fn score(count: usize, total: usize) -> Score {
    Score { count, total }
}

/// The rows that are trained on, one that the model cannot know, and one that no tool fits.
fn mixed() -> Dataset {
    let mut data = timers(3);
    let tools = data.rows[0].tools.clone();
    let messages = vec![Message::user("Hello."), Message::assistant("Hi.")];
    data.rows.push(Conversation {
        messages,
        tools,
        ..Conversation::default()
    });
    data
}

#[test]
fn what_the_model_answers_is_counted_as_evaluate_counts_it() {
    let config = TrainConfig {
        eval_steps: Some(125),
        ..learning(250)
    };
    let (model, report) = run(&mixed(), &config);
    let evaluated: Vec<&StepReport> = report.steps.iter().filter(|s| s.eval_scores.is_some()).collect();
    assert_eq!(evaluated.iter().map(|s| s.step).collect::<Vec<_>>(), [125, 250]);
    let last = evaluated[1].eval_scores.unwrap();
    assert_eq!(
        (last.arguments_exact, last.tool_selection),
        (score(2, 3), score(3, 3))
    );
    let first_turns = EvaluateConfig {
        whole_dialogue: false,
        ..EvaluateConfig::default()
    };
    let after = evaluate(&model, &mixed().rows, &first_turns).unwrap();
    assert_eq!(last.exact, after.exact);
    assert_eq!(
        (last.over_calls, last.unfinished),
        (after.over_calls, after.unfinished)
    );
}

#[test]
fn answering_changes_nothing_in_the_training() {
    let with = TrainConfig {
        eval_steps: Some(3),
        ..learning(10)
    };
    let without = TrainConfig {
        predict_with_generate: false,
        ..with.clone()
    };
    let ((a, scored), (b, plain)) = (run(&mixed(), &with), run(&mixed(), &without));
    assert_eq!(weights(&a), weights(&b));
    let mut scored = timeless(&scored);
    let scores: Vec<_> = scored
        .iter_mut()
        .filter_map(|step| step.eval_scores.take())
        .collect();
    assert_eq!(scores.len(), 4);
    assert_eq!(scored, timeless(&plain));
}

#[test]
fn no_more_rows_are_answered_than_wanted_and_they_come_from_all_over() {
    let mut validation = timers(4);
    validation.rows.extend(mixed().rows.pop());
    validation.rows.extend(mixed().rows.pop());
    let config = TrainConfig {
        max_predict_samples: Some(3),
        generation_max_new_tokens: 5,
        ..learning(1)
    };
    let (_, report) = run(&validation, &config);
    let scores = report.steps[0].eval_scores.unwrap();
    assert_eq!((scores.exact.total, scores.arguments_exact.total), (3, 2));
    assert_eq!(scores.unfinished, score(3, 3), "five tokens are not an answer");
}

/// The validation loss of rows that are not trained on falls and rises again.
fn best(steps: usize) -> TrainConfig {
    TrainConfig {
        eval_steps: Some(10),
        predict_with_generate: false,
        load_best_model_at_end: true,
        ..learning(steps)
    }
}

#[test]
fn the_best_model_is_loaded_at_the_end_also_after_a_resume() {
    let unseen: Dataset = timers(12).rows.split_off(4).into();
    let (model, report) = run(&unseen, &best(80));
    let step = report.best_step().unwrap().step;
    assert!(step < 80, "the last step is not the best: {step}");
    assert_eq!(report.model_of_step, Some(step));
    let (short, _) = run(&unseen, &best(step));
    assert_eq!(weights(&model), weights(&short), "the weights of step {step}");
    let (last, plain) = run(
        &unseen,
        &TrainConfig {
            load_best_model_at_end: false,
            ..best(80)
        },
    );
    assert_ne!(weights(&model), weights(&last));
    assert_eq!((timeless(&plain), plain.model_of_step), (timeless(&report), None));

    let folder = tempfile::tempdir().unwrap();
    let saving = TrainConfig {
        output_dir: Some(folder.path().into()),
        save_steps: Some(10),
        ..best(step + 10)
    };
    run(&unseen, &saving);
    let resumed = |from: usize| TrainConfig {
        resume_from_checkpoint: Some(folder.path().join(format!("checkpoint-{from}"))),
        ..best(80)
    };
    for from in [step, step + 10] {
        let (model, again) = run(&unseen, &resumed(from));
        assert_eq!(timeless(&again)[from..], timeless(&report)[from..]);
        assert_eq!(again.model_of_step, Some(step), "from {from}");
        assert_eq!(weights(&model), weights(&short), "from {from}");
    }
}

/// Weights of steps before the setting was on are gone, except those of the checkpoint itself.
#[test]
fn a_resumed_run_that_newly_wants_the_best_model_says_which_it_can_have() {
    let folder = tempfile::tempdir().unwrap();
    let unseen: Dataset = timers(12).rows.split_off(4).into();
    let saving = TrainConfig {
        output_dir: Some(folder.path().into()),
        save_steps: Some(10),
        load_best_model_at_end: false,
        ..best(80)
    };
    let (_, plain) = run(&unseen, &saving);
    let step = plain.best_step().unwrap().step;
    let resumed = |from: usize| {
        let config = TrainConfig {
            resume_from_checkpoint: Some(folder.path().join(format!("checkpoint-{from}"))),
            ..best(80)
        };
        run(&unseen, &config).1
    };
    let told = |report: &TrainReport| {
        let told = format!("load_best_model_at_end: step {step} has the best eval_loss so far");
        report.notes.iter().any(|note| note.starts_with(&told))
    };
    let from_it = resumed(step);
    assert_eq!((from_it.model_of_step, told(&from_it)), (Some(step), false));
    let later = resumed(step + 10);
    assert!(told(&later), "{:?}", later.notes);
    assert_ne!(later.model_of_step, Some(step));
}

#[test]
fn a_run_stops_when_the_score_gets_no_better() {
    let config = TrainConfig {
        eval_steps: Some(25),
        metric_for_best_model: Metric::EvalArgumentsExact,
        early_stopping_patience: Some(2),
        load_best_model_at_end: true,
        ..learning(1000)
    };
    let (_, report) = run(&timers(2), &config);
    let best = report.best_step().unwrap();
    assert!(best.eval_scores.unwrap().arguments_exact.count > 0, "{best:?}");
    assert!(report.stopped_early);
    assert_eq!(report.steps.len(), best.step + 50, "two more evaluations");
    assert_eq!(report.model_of_step, Some(best.step));
}

#[test]
fn token_accuracy_is_measured_without_answers_and_answers_are_told() {
    let config = TrainConfig {
        predict_with_generate: false,
        metric_for_best_model: Metric::EvalMeanTokenAccuracy,
        load_best_model_at_end: true,
        eval_steps: Some(50),
        ..learning(100)
    };
    let (_, report) = run(&timers(2), &config);
    let accuracy = |step: usize| report.steps[step - 1].eval_token_accuracy.unwrap();
    assert!(accuracy(50) < accuracy(100) && accuracy(100) <= 1.0);
    assert_eq!(report.best_step().unwrap().step, 100);
    assert_eq!(report.steps[0].eval_token_accuracy, None);

    let told = Mutex::new(Vec::new());
    let on_answer = |answered, rows| told.lock().unwrap().push((answered, rows));
    let (rows, validation) = (timers(2), mixed());
    let data = TrainData {
        on_answer: Some(OnAnswer(&on_answer)),
        ..TrainData::from((&rows, &validation))
    };
    let config = TrainConfig {
        generation_max_new_tokens: 4,
        ..learning(1)
    };
    train(&mut tiny_model(), data, &config, |_| {}).unwrap();
    let rows = validation.rows.len();
    assert_eq!(
        *told.lock().unwrap(),
        (1..=rows).map(|row| (row, rows)).collect::<Vec<_>>()
    );
}

#[test]
fn over_calls_are_better_when_they_are_fewer() {
    assert!(!Metric::EvalLoss.greater_is_better() && !Metric::EvalOverCalls.greater_is_better());
    assert!(Metric::EvalExact.greater_is_better() && Metric::EvalToolSelection.greater_is_better());
    assert!(Metric::EvalMeanTokenAccuracy.greater_is_better());
    let named = serde_json::json!({"metric_for_best_model": "eval_over_calls"});
    let config = config(1).with(named.as_object().unwrap().clone()).unwrap();
    assert_eq!(config.metric_for_best_model, Metric::EvalOverCalls);
    assert_eq!(config.metric_for_best_model.to_string(), "eval_over_calls");
}

#[test]
fn what_cannot_be_measured_is_refused() {
    let (none, timers) = (Dataset::default(), timers(1));
    let config = |metric: Metric| TrainConfig {
        metric_for_best_model: metric,
        ..learning(1)
    };
    let needs = TrainConfig {
        load_best_model_at_end: true,
        ..learning(1)
    };
    assert!(refusal(&none, &needs).starts_with("load_best_model_at_end: needs a validation set"));
    let needs = TrainConfig {
        early_stopping_patience: Some(1),
        ..learning(1)
    };
    assert!(refusal(&none, &needs).starts_with("early_stopping_patience: needs a validation set"));
    let silent = TrainConfig {
        predict_with_generate: false,
        ..config(Metric::EvalExact)
    };
    let said = refusal(&timers, &silent);
    assert!(
        said.starts_with("metric_for_best_model: eval_exact needs the model's answers"),
        "{said}"
    );
    let said = refusal(&timers, &config(Metric::EvalOverCalls));
    assert!(
        said.contains("eval_over_calls counts only rows without a call, but no"),
        "{said}"
    );
    let mut talk = mixed();
    talk.rows.drain(..3);
    let said = refusal(&talk, &config(Metric::EvalToolSelection));
    assert!(
        said.contains("eval_tool_selection counts only rows with a call, but no"),
        "{said}"
    );
}
