//! The text and HTML forms of everything that a notebook displays, as snapshots in `snapshots/`.

use crate::common::golden::Golden;
use crate::common::tiny_tokenizer::tiny_tokenizer;
use insta::assert_snapshot;
use serde_json::{Value, json};
use toolcall_lib::dataset::Dataset;
use toolcall_lib::evaluate::{Answerer, EvaluateConfig, Evaluation, Score, evaluate};
use toolcall_lib::generate::Generation;
use toolcall_lib::reply;
use toolcall_lib::show::{Comparison, Token, TokenView, compare, loss_plot};
use toolcall_lib::template::ChatTemplate;
use toolcall_lib::tokens::Sequence;
use toolcall_lib::train::{EvalScores, StepReport, TrainReport};
use toolcall_lib::{Conversation, Message, Model, ToolCall, ToolSchema};

/// Text that would be markup if it were not escaped.
const HOSTILE: &str = "<script>alert(1)</script> & \"so\" 'on'";

fn call(name: &str, arguments: Value) -> ToolCall {
    ToolCall::new(name, arguments).unwrap()
}

fn reminder_tool() -> ToolSchema {
    ToolSchema(json!({"type": "function", "function": {
        "name": "create_reminder",
        "description": "Creates a reminder.\nIt rings once.",
        "parameters": {
            "type": "object",
            "properties": {
                "note": {"type": "string", "description": "What to remind of."},
                "days": {"type": "array", "items": {"type": "string", "enum": ["Sat", "Sun"]},
                    "description": "On which days; every day if left out, which is what most people want."},
                "volume": {"type": ["integer", "string"], "description": "How loud."}
            },
            "required": ["note"]
        }
    }}))
}

fn hang_up_tool() -> ToolSchema {
    ToolSchema(json!({"type": "function", "function": {
        "name": "hang_up", "description": "Ends the call.", "parameters": {"type": "object", "properties": {}}
    }}))
}

fn conversation() -> Conversation {
    let mut asks = Message::assistant("One moment.");
    asks.reasoning_content = Some("They want tea.\nRemind them.".into());
    asks.tool_calls = vec![call(
        "create_reminder",
        json!({"note": "tea & <cake>", "days": ["Sat"]}),
    )];
    Conversation {
        messages: vec![
            Message::system("Be brief."),
            Message::user("Remind me of tea & <cake>\non Saturday."),
            asks,
            Message::tool("create_reminder", "ok"),
            Message::assistant("Done."),
        ],
        tools: vec![reminder_tool(), hang_up_tool()],
        ..Conversation::default()
    }
}

fn ask(user: &str, turn: Message) -> Conversation {
    Conversation {
        messages: vec![Message::user(user), turn],
        tools: conversation().tools,
        ..Conversation::default()
    }
}

fn rows() -> Vec<Conversation> {
    let reminder =
        |note: &str| Message::assistant_calls(vec![call("create_reminder", json!({"note": note}))]);
    vec![
        ask("Remind me of tea.", reminder("tea")),
        ask("Remind me of mum's birthday.", reminder("mum's birthday")),
        ask("How are you?", Message::assistant("I am well.")),
    ]
}

/// Replies of a base model and of a tuned model to `rows`.
const BASE: [&str; 3] = [
    HOSTILE,
    "<tool_call>{\"name\": \"create_reminder\"",
    "Well, <b>thanks</b>.",
];
const TUNED: [&str; 3] = [
    "<tool_call>{\"name\": \"create_reminder\", \"arguments\": {\"note\": \"tea\"}}</tool_call>",
    "<tool_call>{\"name\": \"create_reminder\", \"arguments\": {\"note\": \"Mums birthday\"}}</tool_call>",
    "Fine, thank you.",
];

fn evaluation(answers: [&str; 3]) -> Evaluation {
    let sure = |text: &str| Generation {
        confidences: vec![if text.contains("birthday") { 0.5 } else { 0.9 }],
        ..Generation::of_text(text)
    };
    let answers = answers.map(sure).to_vec();
    let by = Answerer::Anyone(&mut |_| Ok(Some(answers.clone())));
    evaluate(by, &rows(), &EvaluateConfig::default()).unwrap()
}

fn report(losses: &[f64]) -> TrainReport {
    let step = |(i, &loss): (usize, &f64)| StepReport {
        step: i + 1,
        total_steps: losses.len(),
        epoch: (i + 1) as f64 / 4.0,
        loss,
        token_accuracy: 1.0 - loss / 4.0,
        grad_norm: 1.0,
        learning_rate: 2e-4 * (1.0 - i as f64 / losses.len() as f64),
        tokens_per_second: 1234.0,
        samples_per_second: 5.0,
        tree_ratio: 3.25,
        tokens: 600,
        seconds: 0.5,
        eval_loss: (i % 4 == 3).then_some(loss * 1.2),
        eval_token_accuracy: None,
        eval_scores: None,
    };
    let steps = losses.iter().enumerate().map(step).collect();
    TrainReport {
        steps,
        seconds: 75.4,
        ..TrainReport::default()
    }
}

#[test]
fn a_loss_that_falls_a_little_has_a_linear_axis() {
    let plot = loss_plot(&report(&[1.2, 1.0, 0.9, 0.7, 0.6, 0.55, 0.5, 0.45])).unwrap();
    assert_snapshot!("loss_linear_text", plot.to_string());
    assert_snapshot!("loss_linear_svg", plot.svg);
}

#[test]
fn a_loss_that_falls_far_has_a_logarithmic_axis() {
    let losses: Vec<f64> = (0..40).map(|i| 2.0 * f64::exp(-0.2 * f64::from(i))).collect();
    let plot = loss_plot(&report(&losses)).unwrap();
    assert_snapshot!("loss_logarithmic_text", plot.to_string());
    for decade in [">0.1<", ">0.01<", ">0.001<"] {
        assert!(
            plot.svg.replace('\n', "").contains(decade),
            "{decade} is on the axis"
        );
    }
}

#[test]
fn the_exact_calls_have_an_axis_of_their_own() {
    let mut report = report(&[1.2, 1.0, 0.9, 0.7, 0.6, 0.55, 0.5, 0.45]);
    for (step, exact) in [(3, 12), (7, 50)] {
        report.steps[step].eval_scores = Some(scores(exact));
    }
    let plot = loss_plot(&report).unwrap();
    assert_snapshot!("loss_and_exact_text", plot.to_string());
    assert_snapshot!("loss_and_exact_svg", plot.svg);
    assert!(plot.svg.contains("exact calls (%)"));
    let line = report.steps[7].to_string();
    let end = "validation loss 0.5400  right 70/93  exact calls 50/63  right tools 58/63  over-calls 10/30";
    assert!(line.ends_with(end), "{line}");
    report.model_of_step = Some(4);
    assert_snapshot!("training_scored_text", report.to_string());
}

/// Scores of 63 rows with a call and 30 without.
fn scores(exact_calls: usize) -> EvalScores {
    let score = |count, total| Score { count, total };
    EvalScores {
        exact: score(exact_calls + 20, 93),
        arguments_exact: score(exact_calls, 63),
        tool_selection: score(58, 63),
        over_calls: score(10, 30),
        unfinished: score(0, 93),
    }
}

#[test]
fn losses_that_are_zero_not_finite_or_alone_are_plotted_as_far_as_they_can_be() {
    for losses in [
        &[1.0][..],
        &[0.0],
        &[0.0, 0.0],
        &[1.0, 0.0],
        &[f64::NAN, 1.0],
        &[1e30, 1.0, f64::INFINITY],
    ] {
        let plot = loss_plot(&report(losses)).unwrap();
        assert!(
            plot.svg.contains("polyline") && !plot.svg.contains("NaN"),
            "{losses:?}"
        );
    }
    for losses in [&[][..], &[f64::NAN]] {
        let error = loss_plot(&report(losses)).unwrap_err().to_string();
        assert_eq!(
            error,
            "loss plot: the report has no step with a finite loss; train at least one step"
        );
    }
}

#[test]
fn a_loss_plot_is_saved_as_it_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let plot = loss_plot(&report(&[1.0, 0.5])).unwrap();
    plot.save(folder.path().join("loss.svg")).unwrap();
    let saved = std::fs::read_to_string(folder.path().join("loss.svg")).unwrap();
    assert!(saved.starts_with("<svg") && saved == plot.svg);
    let error = plot
        .save(folder.path().join("loss.svg/loss.svg"))
        .unwrap_err()
        .to_string();
    assert!(error.contains("loss.svg: Not a directory"), "{error}");
}

#[test]
fn a_training_report_says_what_happened() {
    let mut report = report(&[1.2, 1.0, 0.9, 0.7, 0.6, 0.55, 0.5, 0.45]);
    assert_snapshot!("training_text", report.to_string());
    assert_snapshot!("training_html", report.to_html());
    report.interrupted = true;
    report.rows_left_out = 3;
    assert!(
        report
            .to_string()
            .ends_with("left out              3 rows too long")
    );
    report.rows_not_trained = 1;
    assert!(
        report
            .to_string()
            .ends_with("3 rows too long, 1 row marked as not trained")
    );
    assert!(report.to_string().contains("8 (2 epochs), stopped by the user"));
    report.steps.clear();
    assert_eq!(report.to_string(), "steps  0, stopped by the user");
}

#[test]
fn tokens_that_are_trained_on_are_marked() {
    let tokens = [
        ("<|im_start|>", false),
        ("user", false),
        ("\n", false),
        ("a  <b>", false),
        ("\n", false),
        ("Tim", true),
        ("er", true),
        (" set\tnow", true),
        ("<|im_end|>", true),
        ("\n", false),
    ];
    let token = |(id, (text, trained)): (usize, (&str, bool))| Token {
        id: id as u32,
        text: text.into(),
        trained,
    };
    let view = TokenView {
        tokens: tokens.into_iter().enumerate().map(token).collect(),
    };
    assert_snapshot!("tokens_text", view.to_string());
    assert_snapshot!("tokens_terminal", format!("{view:#}"));
    assert_snapshot!("tokens_html", view.to_html());
}

#[test]
fn a_conversation_reads_as_a_dialogue() {
    assert_snapshot!("conversation_text", conversation().to_string());
    assert_snapshot!("conversation_html", conversation().to_html());
}

#[test]
fn a_tool_reads_as_a_signature_with_its_arguments() {
    assert_snapshot!("tool_text", format!("{}\n\n{}", reminder_tool(), hang_up_tool()));
    assert_snapshot!("tool_html", reminder_tool().to_html());
}

#[test]
fn what_a_model_wrote_is_shown_as_it_is() {
    let generation = Generation {
        ids: vec![1, 2, 3],
        text: HOSTILE.into(),
        logprobs: vec![-0.5; 3],
        finished: false,
        ..Generation::default()
    };
    assert_eq!(
        generation.to_string(),
        format!("{HOSTILE}\n(3 tokens, cut off at max_new_tokens)")
    );
    assert_snapshot!("generation_html", generation.to_html());
    let sure = Generation {
        confidences: vec![0.9876, 0.5],
        ..Generation::of_text("two calls")
    };
    assert_eq!(sure.to_string(), "two calls\n(0 tokens, confidence 0.988, 0.500)");
    let unsure = Generation {
        withheld: Some("a call".into()),
        confidences: vec![0.25],
        ..Generation::of_text("Pardon?")
    };
    assert_eq!(
        unsure.to_string(),
        "Pardon?\n(0 tokens, confidence 0.250, withheld: a call)"
    );
    assert_snapshot!("reply_html", reply::parse(TUNED[0]).to_html());
    assert!(reply::parse(BASE[1]).to_html().contains("malformed"));
}

#[test]
fn scores_of_two_models_stand_side_by_side() {
    let table = compare(&[("base", &evaluation(BASE)), ("tuned", &evaluation(TUNED))]);
    assert_snapshot!("scores_text", table.to_string());
    assert_snapshot!("scores_html", table.to_html());
}

#[test]
fn an_evaluation_shows_its_scores_and_its_mistakes() {
    assert_snapshot!("evaluation_text", evaluation(BASE).to_string());
    assert_snapshot!("evaluation_html", evaluation(BASE).to_html());
    assert_snapshot!("evaluation_confident_text", evaluation(TUNED).to_string());
    assert!(evaluation(TUNED).to_html().contains("the 60 % most confident"));
}

#[test]
fn only_the_first_twenty_mistakes_are_shown() {
    let rows = vec![rows().remove(0); 25];
    let by = Answerer::Anyone(&mut |prompts| Ok(Some(vec![Generation::of_text("No."); prompts.len()])));
    let evaluation = evaluate(by, &rows, &EvaluateConfig::default()).unwrap();
    let text = evaluation.to_string();
    assert!(text.contains("25 rows with a mistake, the first 20 of them:"));
    assert_eq!(text.matches("no call").count(), 20);
    assert_eq!(evaluation.to_html().matches("no call").count(), 20);
}

#[test]
fn two_models_are_compared_prompt_by_prompt() {
    let mut comparison = Comparison::new(&rows());
    for (name, answers, finished) in [("base", BASE, false), ("tuned", TUNED, true)] {
        let mut answers = answers.map(Generation::of_text).to_vec();
        answers[2].finished = finished;
        comparison.add_answers(name, |_| Ok(answers)).unwrap();
    }
    assert_snapshot!("comparison_text", comparison.to_string());
    assert_snapshot!("comparison_html", comparison.to_html());
}

#[test]
fn prompts_without_a_known_answer_are_not_judged() {
    let prompt = Conversation {
        messages: vec![Message::user("Hello?")],
        ..Conversation::default()
    };
    let mut comparison = Comparison::new(&[prompt]);
    comparison
        .add_answers("base", |prompts| {
            Ok(vec![Generation::of_text(format!(
                "{} message(s)",
                prompts[0].0.len()
            ))])
        })
        .unwrap();
    assert_eq!(comparison.to_string(), "Hello?\n  base       1 message(s)");
    let failing = comparison.add_answers("tuned", |_| Err(toolcall_lib::Error::invalid("model", "is gone")));
    assert_eq!(
        (failing.is_err(), comparison.names.len()),
        (true, 1),
        "a failure leaves the comparison as it was"
    );
}

#[test]
fn the_tokens_of_a_sequence_keep_their_texts_and_marks() {
    let tokenizer = tiny_tokenizer();
    let ids = tokenizer.encode("<|im_start|>Set 🕐<|im_end|>").unwrap();
    let trained: Vec<bool> = (0..ids.len()).map(|i| i > 0).collect();
    let view = TokenView::new(
        &Sequence {
            ids: ids.clone(),
            trained,
        },
        &tokenizer,
    )
    .unwrap();
    let text: String = view.tokens.iter().map(|token| token.text.as_str()).collect();
    assert_eq!(text, "<|im_start|>Set 🕐<|im_end|>");
    assert_eq!(view.tokens.iter().map(|token| token.id).collect::<Vec<_>>(), ids);
    assert!(view.to_string().ends_with("<|im_start|>⟦Set 🕐<|im_end|>⟧"));
}

#[test]
fn a_data_set_is_shown_by_its_description() {
    let data = Dataset::from(rows());
    assert_eq!(data.to_string(), data.describe().to_string());
    assert_snapshot!("data_html", data.describe().to_html());
}

#[test]
fn a_model_is_shown_by_its_figures() {
    let model = Model {
        decoder: Golden::model("qwen3").decoder(),
        tokenizer: tiny_tokenizer(),
        template: ChatTemplate::hermes("<|im_end|>").unwrap(),
        generation_config: serde_json::Map::new(),
        tools: Vec::new(),
        training: None,
        license: None,
        origin: "models/<tiny>".into(),
        notes: vec!["the chat template was replaced".into()],
    };
    assert_snapshot!("model_text", model.to_string());
    assert_snapshot!("model_html", model.to_html());
}
