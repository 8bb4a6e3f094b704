//! Scores of scripted answers: every kind of mistake, dialogues with tool answers fed back, and the
//! JSON form.

use crate::common::tiny_model::tiny_model;
use serde_json::{Map, Value, json};
use toolcall_lib::evaluate::{self, Answerer, Answers, EvaluateConfig, Evaluation, MistakeKind, Score};
use toolcall_lib::generate::Prompt;
use toolcall_lib::template::ChatTemplate;
use toolcall_lib::{Conversation, Generation, Message, Result, ToolCall, ToolSchema};

fn tools() -> Vec<ToolSchema> {
    let tool = |name: &str, argument: &str, kind: &str| {
        let properties = json!({argument: {"type": kind, "description": "An argument."}});
        let parameters = json!({"type": "object", "properties": properties, "required": [argument]});
        ToolSchema(json!({"type": "function", "function":
            {"name": name, "description": "A tool.", "parameters": parameters}}))
    };
    vec![
        tool("start_timer", "duration", "integer"),
        tool("create_reminder", "note", "string"),
    ]
}

/// A call is written `name {json}`; everything else is words.
fn assistant(text: &str) -> Message {
    let call = text.split_once(' ').and_then(|(name, arguments)| {
        Some(ToolCall {
            id: None,
            name: name.into(),
            arguments: serde_json::from_str(arguments).ok()?,
        })
    });
    let content = if call.is_some() { "" } else { text };
    Message {
        tool_calls: call.into_iter().collect(),
        ..Message::assistant(content)
    }
}

fn row(user: &str, turns: &[&str]) -> Conversation {
    let mut messages = vec![Message::user(user)];
    for turn in turns {
        let turn = match turn.split_once(": ") {
            Some(("user", text)) => Message::user(text),
            Some(("tool", text)) => Message::tool("start_timer", text),
            _ => assistant(turn),
        };
        messages.push(turn);
    }
    Conversation {
        messages,
        tools: tools(),
        ..Conversation::default()
    }
}

fn call(name: &str, arguments: Value) -> String {
    format!("<tool_call>\n{{\"name\": \"{name}\", \"arguments\": {arguments}}}\n</tool_call>")
}

/// A reply; `…` at its end marks it as unfinished.
fn said(text: &str) -> Generation {
    Generation {
        finished: !text.ends_with('…'),
        ..Generation::of_text(text.trim_end_matches('…'))
    }
}

fn timer(duration: u32) -> String {
    call("start_timer", json!({"duration": duration}))
}

/// Evaluates with the default settings.
fn scored<'a>(answers: impl Into<Answers<'a>>, rows: &[Conversation]) -> Result<Evaluation> {
    evaluate::evaluate(answers, rows, &EvaluateConfig::default())
}

/// Evaluates with an answer for each prompt, in order.
fn evaluate(rows: &[Conversation], answers: &[&str]) -> Evaluation {
    let mut answers = answers.iter();
    let mut answer = |prompts: &[Prompt<'_>]| {
        let answer = |_| said(answers.next().expect("one answer a prompt"));
        Ok(Some(prompts.iter().map(answer).collect()))
    };
    let evaluation = scored(Answerer::Anyone(&mut answer), rows).unwrap();
    assert_eq!(answers.next(), None, "every answer is asked for");
    evaluation
}

fn score(count: usize, total: usize) -> Score {
    Score { count, total }
}

const TIMER: &str = r#"start_timer {"duration": 300}"#;

#[test]
fn a_dialogue_that_goes_as_the_row_does_is_right() {
    let row = row(
        "Five minutes, please.",
        &[
            TIMER,
            "tool: 300",
            "Timer set.",
            "user: And a reminder?",
            "Of what?",
        ],
    );
    let mut prompts = Vec::new();
    let mut answers = [timer(300), "Done!".into(), "What shall I remind you of?".into()].into_iter();
    let by = Answerer::Anyone(&mut |asked| {
        prompts.extend(
            asked
                .iter()
                .map(|(messages, tools)| (messages.to_vec(), tools.len())),
        );
        Ok(answers.next().map(|answer| vec![said(&answer)]))
    });
    let evaluation = scored(by, std::slice::from_ref(&row)).unwrap();
    assert_eq!(evaluation.conversation_flow, score(1, 1));
    assert_eq!(
        (evaluation.tool_selection, evaluation.arguments_exact),
        (score(1, 1), score(1, 1))
    );
    assert_eq!(
        (evaluation.format_compliance, evaluation.over_calls),
        (score(1, 1), score(0, 0))
    );
    let expected: Vec<_> = [1, 3, 5].map(|end| (row.messages[..end].to_vec(), 2)).to_vec();
    assert_eq!(
        prompts, expected,
        "the row's own messages, tool answer included, are before each turn"
    );
}

#[test]
fn each_kind_of_mistake_is_named_and_counted() {
    let rows = [
        row("right", &[TIMER]),
        row("wrong argument", &[TIMER]),
        row("wrong type", &[TIMER]),
        row("wrong tool", &[TIMER]),
        row("unknown tool", &[TIMER]),
        row("words", &[TIMER]),
        row("malformed", &[TIMER]),
        row("twice", &[TIMER]),
        row("no tool fits", &["I cannot do that."]),
        row("no tool fits, but", &["I cannot do that."]),
        row("no tool fits, half a call", &["I cannot do that."]),
        row("no tool fits, silence", &["I cannot do that."]),
    ];
    let evaluation = evaluate(
        &rows,
        &[
            &timer(300),
            &timer(5),
            &call("start_timer", json!({"duration": "300"})),
            &call("create_reminder", json!({"note": "x"})),
            &call("set_timer", json!({"duration": 300})),
            "Sure!",
            "<tool_call>{\"name\": \"start_timer\"",
            &format!("{}\n{}", timer(300), timer(300)),
            "Sorry, no.",
            &timer(1),
            "<tool_call>",
            "<think>Hm.</think>",
        ],
    );
    let kinds: Vec<(usize, MistakeKind)> = evaluation.mistakes.iter().map(|m| (m.row, m.kind)).collect();
    use MistakeKind::*;
    let expected = [
        (1, WrongArguments),
        (2, WrongArguments),
        (3, WrongTool),
        (4, WrongTool),
        (5, NoCall),
        (6, Malformed),
        (7, WrongTool),
        (9, OverCall),
        (10, OverCall),
        (11, Empty),
    ];
    assert_eq!(kinds, expected);
    assert_eq!(evaluation.rows, 12);
    assert_eq!(evaluation.tool_selection, score(3, 8));
    assert_eq!(evaluation.arguments_exact, score(1, 8));
    assert_eq!(evaluation.over_calls, score(2, 4));
    assert_eq!(evaluation.exact, score(2, 12));
    assert_eq!(evaluation.conversation_flow, score(2, 12));
    // Attempts are all rows but 5, 8 and 11. Among them, 2 has a wrong type, 4 an unknown tool, and
    // 6 and 10 cannot be read.
    assert_eq!(evaluation.format_compliance, score(5, 9));
}

#[test]
fn a_reply_that_does_not_end_is_right_in_no_score() {
    let spelled = row("Tea.", &[r#"create_reminder {"note": "tea"}"#]);
    let rows = [
        row("right, but goes on", &[TIMER]),
        row("cut in the call", &[TIMER]),
        spelled.clone(),
        row("no tool fits, rambles", &["I cannot do that."]),
        row("no tool fits, calls and rambles", &["I cannot do that."]),
        row("ends", &[TIMER, "tool: 300", "Timer set."]),
        row("rambles at the end", &[TIMER, "tool: 300", "Timer set."]),
    ];
    let evaluation = evaluate(
        &rows,
        &[
            &format!("{}\nThen…", timer(300)),
            "<tool_call>\n{\"name\": \"start_ti…",
            &format!("{}\nThen…", call("create_reminder", json!({"note": "Tea"}))),
            "A: A: A: A: A: …",
            &format!("{}…", timer(1)),
            &timer(300),
            &timer(300),
            "Set.",
            "Set. Set. Set. Set. …",
        ],
    );
    let kinds: Vec<(usize, usize, MistakeKind)> = evaluation
        .mistakes
        .iter()
        .map(|m| (m.row, m.turn, m.kind))
        .collect();
    use MistakeKind::Unfinished;
    let expected =
        [(0, 0), (1, 0), (2, 0), (3, 0), (4, 0), (6, 1)].map(|(row, turn)| (row, turn, Unfinished));
    assert_eq!(kinds, expected);
    assert_eq!(evaluation.unfinished, score(6, 9));
    assert_eq!(evaluation.exact, score(2, 7));
    assert_eq!(evaluation.tool_selection, score(2, 5));
    assert_eq!(evaluation.arguments_exact, score(2, 5));
    assert_eq!(evaluation.arguments_loose, score(2, 5));
    assert_eq!(evaluation.format_compliance, score(2, 6));
    assert_eq!(evaluation.conversation_flow, score(1, 7));
    assert_eq!(
        evaluation.over_calls,
        score(1, 2),
        "rambling is not a call, but a call that rambles is one"
    );
}

#[test]
fn calls_of_one_turn_may_come_in_any_order() {
    let mut both = row("Both.", &[TIMER]);
    both.messages[1]
        .tool_calls
        .extend(assistant(r#"create_reminder {"note": "Tea"}"#).tool_calls);
    let reminder = call("create_reminder", json!({"note": "Tea"}));
    let evaluation = evaluate(
        &[both.clone(), both],
        &[&format!("{reminder}\n{}", timer(300)), &timer(300)],
    );
    assert_eq!(
        (evaluation.tool_selection, evaluation.arguments_exact),
        (score(1, 2), score(1, 2))
    );
}

#[test]
fn strings_count_as_loosely_equal_when_only_their_spelling_differs() {
    let tea = row("Tea.", &[r#"create_reminder {"note": "Make tea"}"#]);
    let evaluation = evaluate(&[tea], &[&call("create_reminder", json!({"note": "make tea."}))]);
    assert_eq!(
        (evaluation.arguments_exact, evaluation.arguments_loose),
        (score(0, 1), score(1, 1))
    );
    assert_eq!(evaluation.mistakes[0].kind, MistakeKind::WrongArguments);
}

#[test]
fn a_dialogue_ends_at_its_first_mistake() {
    let turns = [
        TIMER,
        "tool: 300",
        "Timer set.",
        "user: Remind me of tea.",
        r#"create_reminder {"note": "tea"}"#,
    ];
    let rows = [
        row("Five minutes.", &turns),
        row("Five minutes.", &turns),
        row("Five minutes.", &turns),
    ];
    let evaluation = evaluate(
        &rows,
        &[
            &timer(60), // wrong at once: there are no more requests
            &timer(300),
            &timer(300), // calls again instead of replying
            &timer(300),
            "Set.",
            &call("create_reminder", json!({"note": "coffee"})),
        ],
    );
    assert_eq!(evaluation.conversation_flow, score(0, 3));
    assert_eq!(evaluation.arguments_exact, score(2, 3));
    assert_eq!(evaluation.exact, score(2, 3));
    let mistakes: Vec<(usize, usize, MistakeKind)> = evaluation
        .mistakes
        .iter()
        .map(|m| (m.row, m.turn, m.kind))
        .collect();
    use MistakeKind::*;
    assert_eq!(
        mistakes,
        [(0, 0, WrongArguments), (1, 1, OverCall), (2, 2, WrongArguments)]
    );
    let last = &evaluation.mistakes[2];
    assert_eq!(last.user, "Remind me of tea.");
    assert_eq!(
        (&*last.expected, &*last.got),
        (
            r#"create_reminder(note="tea")"#,
            r#"create_reminder(note="coffee")"#
        )
    );
}

#[test]
fn without_whole_dialogue_only_first_turns_are_asked() {
    let rows = [row("Five minutes.", &[TIMER, "tool: 300", "Timer set."])];
    let config = EvaluateConfig {
        whole_dialogue: false,
        ..EvaluateConfig::default()
    };
    let by = Answerer::Anyone(&mut |_| Ok(Some(vec![said(&timer(300))])));
    let evaluation = evaluate::evaluate(by, &rows, &config).unwrap();
    assert_eq!(
        (evaluation.exact, evaluation.conversation_flow),
        (score(1, 1), score(0, 0))
    );
}

#[test]
fn no_rows_give_rates_that_are_numbers() {
    let evaluation = evaluate(&[], &[]);
    assert!(evaluation.scores().iter().all(|(_, score)| score.rate() == 0.0));
}

#[test]
fn when_answers_end_the_rows_that_are_done_are_scored() {
    let rows = vec![row("Five minutes.", &[TIMER]); 140];
    let (mut asked, mut seen) = (0, 0);
    let mut answer = |prompts: &[Prompt<'_>]| {
        asked += 1;
        Ok((asked < 3).then(|| vec![said(&timer(300)); prompts.len()]))
    };
    let mut on_row = |so_far: &Evaluation| {
        seen += 1;
        assert_eq!(so_far.rows, seen);
    };
    let answers = Answers {
        on_row: Some(&mut on_row),
        ..Answerer::Anyone(&mut answer).into()
    };
    let evaluation = scored(answers, &rows).unwrap();
    assert_eq!(
        (evaluation.rows, evaluation.exact, seen),
        (128, score(128, 128), 128)
    );
}

#[test]
fn a_row_without_a_truth_is_refused_before_anything_is_asked() {
    let rows = [row("Hello", &["Hi."]), row("Anyone?", &[])];
    let mut never = |_: &[Prompt<'_>]| -> Result<Option<Vec<Generation>>> { panic!("asked") };
    let error = scored(Answerer::Anyone(&mut never), &rows)
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("row 1: has no assistant turn"), "{error}");
}

/// The variables of the settings and of the row, which wins, are in the prompts that are measured
/// and in those that are asked.
#[test]
fn all_prompts_have_the_template_variables() {
    let mut model = tiny_model();
    let source = model.template.source().to_string() + "{{ place }} {{ mood }}";
    model.template = ChatTemplate::new(&source, &model.tokenizer.config).unwrap();
    let variables = |list: &[(&str, &str)]| {
        Map::from_iter(list.iter().map(|(name, text)| (name.to_string(), json!(text))))
    };
    let mut rows = [row("Hi.", &["Hello."])];
    rows[0].chat_template_kwargs = variables(&[("mood", "glad")]);
    let mut config = EvaluateConfig::default();
    config.generate.chat_template_kwargs = variables(&[("place", "here"), ("mood", "sad")]);
    let mut seen = Vec::new();
    let mut answer = |prompts: &[String]| {
        seen.extend(prompts.to_vec());
        Ok(None)
    };
    evaluate::evaluate(Answerer::Program(&model, &mut answer), &rows, &config).unwrap();
    assert!(seen[0].ends_with("here glad"), "{seen:?}");

    model.decoder.config.max_position_embeddings = 1200;
    config.generate.chat_template_kwargs = variables(&[("place", &"timer ".repeat(3000))]);
    let said = evaluate::evaluate(&model, &rows, &config)
        .unwrap_err()
        .to_string();
    assert!(
        said.starts_with("row 0: the prompt of messages[1] has "),
        "{said}"
    );
}

#[test]
fn the_most_confident_calls_are_counted_apart() {
    let rows: Vec<Conversation> = (0..10).map(|_| row("Five minutes.", &[TIMER])).collect();
    let answers: Vec<Generation> = (0..10)
        .map(|i| Generation {
            confidences: vec![(0.95 - 0.1 * i as f32).max(0.0)],
            ..said(&timer(if i % 4 == 3 || i > 7 { 5 } else { 300 }))
        })
        .collect();
    let evaluation = scored(Answerer::Anyone(&mut |_| Ok(Some(answers.clone()))), &rows).unwrap();
    let parts = evaluation.most_confident();
    let counts: Vec<(usize, Score)> = parts.iter().map(|part| (part.percent, part.exact)).collect();
    let expected = [
        (100, score(6, 10)),
        (90, score(6, 9)),
        (80, score(6, 8)),
        (60, score(5, 6)),
    ];
    assert_eq!(counts, expected);
    assert!((parts[3].min_confidence - 0.45).abs() < 1e-6);
    assert_eq!(
        evaluate(&rows[..1], &[&timer(300)]).most_confident(),
        [],
        "confidence is not known"
    );
}

#[test]
fn a_call_is_exact_only_if_the_row_has_it_and_the_reply_ends() {
    let rows = [
        row("No tool.", &["No."]),
        row("Two?", &[TIMER]),
        row("One.", &[TIMER]),
    ];
    let answers = [
        timer(300),
        format!("{}\n{}", timer(300), timer(300)),
        format!("{}…", timer(300)),
    ];
    let answers = answers.map(|text| Generation {
        confidences: vec![0.5; 2],
        ..said(&text)
    });
    let evaluation = scored(Answerer::Anyone(&mut |_| Ok(Some(answers.to_vec()))), &rows).unwrap();
    let exact: Vec<bool> = evaluation.calls.iter().map(|call| call.exact).collect();
    assert_eq!(exact, [false, true, false, false]);
}

#[test]
fn the_json_form_has_rates_counts_and_mistakes() {
    let rows = [
        row("Five minutes.", &[TIMER]),
        row("Hello", &["Hi."]),
        row("Hello", &["Hi."]),
    ];
    let evaluation = evaluate(&rows, &[&timer(300), "Hello!", &timer(1)]);
    let expected = json!({
        "rows": 3, "rows_with_call": 1, "rows_without_call": 2,
        "tool_selection": 1.0, "arguments_exact": 1.0, "arguments_loose": 1.0, "format_compliance": 1.0,
        "conversation_flow": 2.0 / 3.0, "over_calls": 0.5, "unfinished": 0.0, "exact": 2.0 / 3.0,
        "mistakes": [{"row": 2, "turn": 0, "kind": "over_call", "user": "Hello", "expected": "Hi.",
            "got": "start_timer(duration=1)"}],
        "counts": {
            "tool_selection": {"count": 1, "total": 1}, "arguments_exact": {"count": 1, "total": 1},
            "arguments_loose": {"count": 1, "total": 1}, "format_compliance": {"count": 2, "total": 2},
            "conversation_flow": {"count": 2, "total": 3}, "over_calls": {"count": 1, "total": 2},
            "unfinished": {"count": 0, "total": 3}, "exact": {"count": 2, "total": 3}
        },
        "most_confident": []
    });
    assert_eq!(serde_json::to_value(&evaluation).unwrap(), expected);
}
