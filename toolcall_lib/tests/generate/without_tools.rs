//! Replies of the untuned model as training targets.

use crate::common::tiny_model::tiny_model;
use serde_json::{Map, json};
use toolcall_lib::generate::{Generator, Prompt, answer_without_tools};
use toolcall_lib::{Conversation, Dataset, GenerateConfig, Message, ToolCall, ToolSchema};

fn row(asked: &str, answer: Message) -> Conversation {
    let tool =
        json!({"name": "play", "description": "Plays.", "parameters": {"type": "object", "properties": {}}});
    Conversation {
        messages: vec![Message::user(asked), answer],
        tools: vec![ToolSchema::new(tool).unwrap()],
        ..Conversation::default()
    }
}

#[test]
fn replies_that_end_become_the_targets() {
    let model = tiny_model();
    let config = GenerateConfig {
        max_new_tokens: 60,
        temperature: 1.5,
        seed: 5,
        ..GenerateConfig::default()
    };
    let rows = |i: i32| row(&format!("Tell me {i} jokes."), Message::assistant("Sorry."));
    let before: Dataset = (0..30).map(rows).collect::<Vec<_>>().into();
    let chosen: Vec<usize> = (0..30).filter(|row| row % 3 > 0).collect();

    let mut data = before.clone();
    let replaced = answer_without_tools(&model, &mut data, &chosen, &config).unwrap();

    let prompts: Vec<Prompt<'_>> = chosen
        .iter()
        .map(|&row| (&before.rows[row].messages[..1], &[][..]))
        .collect();
    let mut want = before.clone();
    for (&row, reply) in chosen
        .iter()
        .zip(Generator::new(&model, config).replies(&prompts).unwrap())
    {
        if reply.finished && !reply.text.trim().is_empty() {
            want.rows[row].messages[1] = Message::assistant(reply.text.trim());
        }
    }
    assert_eq!(data.rows, want.rows);
    assert!(
        replaced > 0 && replaced < chosen.len(),
        "{replaced} of {}",
        chosen.len()
    );
}

#[test]
fn a_row_that_ends_with_a_call_or_is_not_there_is_refused() {
    let call = ToolCall {
        id: None,
        name: "play".to_string(),
        arguments: Map::new(),
    };
    let mut data = Dataset::from(vec![row("Play.", Message::assistant_calls(vec![call]))]);
    for wrong in [0, 1] {
        let error = answer_without_tools(&tiny_model(), &mut data, &[wrong], &GenerateConfig::default());
        let text = error.unwrap_err().to_string();
        assert_eq!(
            text,
            format!("row {wrong}: expected a row whose last message is text of the assistant")
        );
    }
}
