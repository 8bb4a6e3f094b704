//! The trained tokens: prompts are equal to those of inference, and masks cover exactly the
//! replies.

use crate::common::tiny_tokenizer::{END_OF_TURN, tiny_tokenizer};
use crate::template::{conversations, template};
use proptest::prelude::*;
use serde_json::json;
use toolcall_lib::template::ChatTemplate;
use toolcall_lib::tokens::{LossMode, Overlong, Sequence, TokenReport, TokenizeConfig, Tokenizer};
use toolcall_lib::tokens::{sequences, tokenize, tokenize_dataset};
use toolcall_lib::{Conversation, Dataset, Message, Role};

fn hermes() -> ChatTemplate {
    ChatTemplate::hermes(END_OF_TURN).unwrap()
}

fn thinking(name: &str) -> ChatTemplate {
    let mut template = template(name);
    template.thinking = true;
    template
}

fn timer() -> Conversation {
    conversations().remove("timer").unwrap()
}

fn assistant_turns(conversation: &Conversation) -> Vec<usize> {
    let messages = &conversation.messages;
    (0..messages.len())
        .filter(|&i| messages[i].role == Role::Assistant)
        .collect()
}

/// Returns the text of the untrained tokens and of the trained tokens.
fn prompt_and_reply(sequence: &Sequence, tokenizer: &Tokenizer) -> (String, String) {
    let start = sequence.trained.iter().position(|&trained| trained).unwrap();
    assert!(
        sequence.trained[start..].iter().all(|&trained| trained),
        "one stretch of trained tokens"
    );
    let decode = |ids: &[u32]| tokenizer.decode(ids).unwrap();
    (decode(&sequence.ids[..start]), decode(&sequence.ids[start..]))
}

fn each_branch_is_an_inference_prompt_and_its_reply(template: &ChatTemplate, conversation: &Conversation) {
    let tokenizer = tiny_tokenizer();
    let branches = sequences(conversation, template, &tokenizer, LossMode::Assistant).unwrap();
    let turns = assistant_turns(conversation);
    assert_eq!(branches.len(), turns.len());
    for (branch, turn) in branches.iter().zip(turns) {
        let (before, through) = (&conversation.messages[..turn], &conversation.messages[..=turn]);
        let prompt = template.render_prompt(before, &conversation.tools).unwrap();
        let prompt_ids = tokenizer.encode(&prompt).unwrap();
        assert_eq!(branch.ids[..prompt_ids.len()], prompt_ids);
        let trained: Vec<bool> = (0..branch.ids.len()).map(|i| i >= prompt_ids.len()).collect();
        assert_eq!(branch.trained, trained);
        assert_eq!(
            branch.ids.last(),
            Some(&tokenizer.eos_token_ids[0]),
            "the end of the turn is trained"
        );
        let text = template.render(through, &conversation.tools).unwrap();
        assert_eq!(
            tokenizer.decode(&branch.ids).unwrap(),
            text.trim_end_matches('\n')
        );
    }
}

#[test]
fn training_prompts_are_the_inference_prompts_token_for_token() {
    for (name, conversation) in conversations() {
        let turns = assistant_turns(&conversation);
        if turns.is_empty() {
            continue;
        }
        println!("{name}"); // shown if it fails
        each_branch_is_an_inference_prompt_and_its_reply(&hermes(), &conversation);
        each_branch_is_an_inference_prompt_and_its_reply(&template("qwen2_5"), &conversation);
        each_branch_is_an_inference_prompt_and_its_reply(&thinking("qwen3"), &conversation);
        each_branch_is_an_inference_prompt_and_its_reply(&thinking("qwen3_2504"), &conversation);
        let reasons = |&turn: &usize| {
            let Message {
                reasoning_content,
                content,
                ..
            } = &conversation.messages[turn];
            reasoning_content.is_some() || content.contains("</think>")
        };
        if !turns.iter().any(reasons) {
            each_branch_is_an_inference_prompt_and_its_reply(&template("qwen3"), &conversation);
            each_branch_is_an_inference_prompt_and_its_reply(&template("qwen3_2504"), &conversation);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_text_is_trained_on_its_inference_prompt(
        turns in prop::collection::vec(("\\PC{0,12}", "\\PC{0,12}|[\n<>{}é🕐 ]{0,6}"), 1..3)
    ) {
        let turns = turns.into_iter();
        let messages = turns.flat_map(|(ask, say)| [Message::user(ask), Message::assistant(say)]).collect();
        each_branch_is_an_inference_prompt_and_its_reply(&hermes(), &Conversation { messages, ..timer() });
    }
}

#[test]
fn a_reply_starts_behind_the_empty_think_block_and_ends_with_the_end_of_turn() {
    let tokenizer = tiny_tokenizer();
    let branches = sequences(&timer(), &template("qwen3"), &tokenizer, LossMode::Assistant).unwrap();
    let texts: Vec<(String, String)> = branches.iter().map(|b| prompt_and_reply(b, &tokenizer)).collect();
    let call = r#"{"name": "start_timer", "arguments": {"duration": 1320}}"#;
    assert_eq!(texts[0].1, format!("<tool_call>\n{call}\n</tool_call><|im_end|>"));
    assert_eq!(texts[1].1, "Timer set for 22 minutes.<|im_end|>");
    for (prompt, _) in texts {
        assert!(prompt.ends_with("<|im_start|>assistant\n<think>\n\n</think>\n\n"));
    }
}

#[test]
fn qwen3_is_not_prefix_stable_which_is_why_each_turn_has_its_own_rendering() {
    let Conversation { messages, tools, .. } = timer();
    let prompt = template("qwen3").render_prompt(&messages[..1], &tools).unwrap();
    let through = template("qwen3").render(&messages[..2], &tools).unwrap();
    let full = template("qwen3").render(&messages, &tools).unwrap();
    assert!(through.starts_with(&prompt));
    assert!(!full.starts_with(&prompt) && !full.starts_with(&through));
}

#[test]
fn our_template_is_prefix_stable() {
    for Conversation { messages, tools, .. } in conversations().values() {
        let full = hermes().render(messages, tools).unwrap();
        let turns = (0..messages.len()).filter(|&i| messages[i].role == Role::Assistant);
        for turn in turns {
            assert!(full.starts_with(&hermes().render_prompt(&messages[..turn], tools).unwrap()));
        }
    }
}

#[test]
fn last_trains_the_last_assistant_turn_only() {
    let tokenizer = tiny_tokenizer();
    let of = |mode| sequences(&timer(), &template("qwen3"), &tokenizer, mode).unwrap();
    assert_eq!(of(LossMode::Last), of(LossMode::Assistant)[1..]);
}

#[test]
fn all_trains_every_token_but_the_first_of_one_rendering() {
    let (tokenizer, Conversation { messages, tools, .. }) = (tiny_tokenizer(), timer());
    let [row] = &sequences(&timer(), &template("qwen3"), &tokenizer, LossMode::All).unwrap()[..] else {
        panic!()
    };
    let text = template("qwen3").render(&messages, &tools).unwrap();
    assert_eq!(row.ids, tokenizer.encode(&text).unwrap());
    assert!(!row.trained[0] && row.targets() == row.ids.len() - 1);
}

#[test]
fn completion_trains_everything_behind_the_first_prompt() {
    let (tokenizer, Conversation { messages, tools, .. }) = (tiny_tokenizer(), timer());
    for template in [hermes(), template("qwen3")] {
        let rows = sequences(&timer(), &template, &tokenizer, LossMode::Completion).unwrap();
        let (prompt, completion) = prompt_and_reply(&rows[0], &tokenizer);
        assert!(
            prompt.ends_with("<|im_start|>assistant\n"),
            "Qwen3 writes no think block before a call in the middle"
        );
        assert!(completion.starts_with("<tool_call>\n") && completion.ends_with("22 minutes.<|im_end|>\n"));
        assert_eq!(prompt + &completion, template.render(&messages, &tools).unwrap());
    }
    let question = Conversation {
        messages: messages[..2].to_vec(),
        tools,
        ..Conversation::default()
    };
    let rows = sequences(&question, &template("qwen3"), &tokenizer, LossMode::Completion).unwrap();
    assert!(
        prompt_and_reply(&rows[0], &tokenizer).0.ends_with("</think>\n\n"),
        "it does before the last turn"
    );
}

#[test]
fn a_row_without_an_assistant_turn_has_nothing_to_train_on() {
    let (tokenizer, conversation) = (tiny_tokenizer(), conversations().remove("user").unwrap());
    for mode in [LossMode::Assistant, LossMode::Last, LossMode::Completion] {
        let error = sequences(&conversation, &hermes(), &tokenizer, mode).unwrap_err();
        assert_eq!(
            error.to_string(),
            "messages: no assistant turn: there is nothing to train on"
        );
    }
    assert_eq!(
        sequences(&conversation, &hermes(), &tokenizer, LossMode::All)
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn a_turn_that_does_not_start_as_its_prompt_is_an_error_that_shows_where_they_part() {
    let conversation = conversations().remove("reasoning").unwrap();
    let error = sequences(
        &conversation,
        &template("qwen3"),
        &tiny_tokenizer(),
        LossMode::Assistant,
    )
    .unwrap_err();
    insta::assert_snapshot!(error, @r#"chat template: the conversation does not begin with the prompt of messages[1]: after "|im_end|>\n<|im_start|>assistant\n<think>\n", the prompt has "\n</think>\n\n" and the conversation "Hmm.\n\n6 + 6.\n</think>\n\n12<|im_end|>\n"; a turn with reasoning needs `chat_template_kwargs` {"enable_thinking": true}"#);
}

#[test]
fn tools_in_a_variable_that_the_template_does_not_use_are_refused() {
    let tokenizer = tiny_tokenizer();
    let mut row = timer();
    row.chat_template_kwargs.insert("xml_tools".into(), json!(["{}"]));
    let made = |row: &Conversation, template: &ChatTemplate| {
        sequences(row, template, &tokenizer, LossMode::Assistant).map(|made| made.len())
    };
    made(&row, &hermes()).unwrap(); // its `tools` are shown
    row.tools.clear();
    let error = made(&row, &hermes()).unwrap_err().to_string();
    assert!(
        error.starts_with("chat_template_kwargs.xml_tools: offers tools"),
        "{error}"
    );
    let source = format!("{}{{# xml_tools #}}", hermes().source());
    made(&row, &ChatTemplate::new(&source, &tokenizer.config).unwrap()).unwrap();
    row.chat_template_kwargs["xml_tools"] = json!([]);
    made(&row, &hermes()).unwrap();
}

#[test]
fn a_template_whose_turns_end_with_another_token_is_an_error() {
    let template = ChatTemplate::hermes("<|stop|>").unwrap();
    let error = sequences(&timer(), &template, &tiny_tokenizer(), LossMode::Assistant).unwrap_err();
    insta::assert_snapshot!(error, @r#"chat template: a reply ends with "{\"duration\": 1320}}\n</tool_call><|stop|>", but generation stops at ["<|im_end|>", "<|endoftext|>"] only, so the model would never learn to stop; see `Tokenizer::stop_at_end_of_turn`"#);
}

fn lengths(conversations: &[Conversation], mode: LossMode) -> Vec<usize> {
    let config = TokenizeConfig {
        mode,
        ..TokenizeConfig::default()
    };
    let rows = tokenize(conversations, &hermes(), &tiny_tokenizer(), &config)
        .unwrap()
        .rows;
    rows.iter().flatten().map(|sequence| sequence.ids.len()).collect()
}

#[test]
fn tokenizing_keeps_the_order_of_the_rows_and_counts() {
    let conversations: Vec<Conversation> = conversations().into_values().collect();
    let config = TokenizeConfig {
        mode: LossMode::All,
        ..TokenizeConfig::default()
    };
    let tokenized = tokenize(&conversations, &hermes(), &tiny_tokenizer(), &config).unwrap();
    for (row, conversation) in tokenized.rows.iter().zip(&conversations) {
        assert_eq!(
            row,
            &sequences(conversation, &hermes(), &tiny_tokenizer(), LossMode::All).unwrap()
        );
    }
    let lengths = lengths(&conversations, LossMode::All);
    let tokens = lengths.iter().sum();
    let expected = TokenReport {
        sequences: conversations.len(),
        tokens,
        trained: tokens - conversations.len(),
        longest: *lengths.iter().max().unwrap(),
        ..TokenReport::default()
    };
    assert_eq!(tokenized.report, expected);
}

#[test]
fn rows_of_prompt_and_completion_are_trained_as_trl_trains_them_by_default() {
    let file = tempfile::NamedTempFile::with_suffix(".json").unwrap();
    let [asked, said] = [
        json!({"role": "user", "content": "Hi."}),
        json!({"role": "assistant", "content": "Hello."}),
    ];
    let rows = json!([{"prompt": [asked], "completion": [said]}, {"messages": [asked, said]}]);
    std::fs::write(file.path(), rows.to_string()).unwrap();
    let data = Dataset::load(file.path()).unwrap();
    let of = |data: &Dataset, mode| {
        let config = TokenizeConfig {
            mode,
            ..TokenizeConfig::default()
        };
        tokenize_dataset(data, &hermes(), &tiny_tokenizer(), &config)
            .unwrap()
            .rows
    };
    let auto = of(&data, LossMode::Auto);
    assert_eq!(auto[0], of(&data, LossMode::Completion)[0]);
    assert_eq!(auto[1], of(&data, LossMode::All)[1]);
    assert_ne!(auto[0], auto[1]);
    let mut twice = Dataset::default();
    twice.extend(data.clone());
    assert_eq!(of(&twice.dedup(), LossMode::Auto)[0], auto[0], "rows keep it");
}

#[test]
fn too_long_rows_are_an_error_unless_asked_otherwise() {
    let rows = [timer(), timer()];
    let [call, answer, ..] = lengths(&rows, LossMode::Assistant)[..] else {
        panic!()
    };
    let of = |max_length, overlong| {
        let config = TokenizeConfig {
            max_length: Some(max_length),
            overlong,
            ..TokenizeConfig::default()
        };
        tokenize(&rows, &hermes(), &tiny_tokenizer(), &config)
    };
    let error = of(call, Overlong::Error).unwrap_err().to_string();
    let expected = format!("row 0: max_length: {answer} tokens, expected at most {call}: ");
    assert!(error.starts_with(&expected), "{error}");

    let fits = of(answer, Overlong::Error).unwrap();
    assert_eq!((fits.report.dropped, fits.report.truncated), (0, 0));

    let dropped = of(call, Overlong::Drop).unwrap();
    assert_eq!(dropped.rows.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1]);
    assert_eq!((dropped.report.dropped, dropped.report.longest), (2, answer));

    let cut = of(answer - 1, Overlong::Truncate).unwrap();
    let (before, after) = (&fits.rows[1][1], &cut.rows[1][1]);
    assert_eq!(after.ids, before.ids[..answer - 1]);
    assert_eq!(after.targets(), before.targets() - 1);
    assert_eq!((cut.report.truncated, cut.report.without_target), (2, 0));

    let nothing = of(call - 200, Overlong::Truncate).unwrap();
    assert_eq!(
        (
            nothing.report.truncated,
            nothing.report.without_target,
            nothing.report.sequences
        ),
        (4, 4, 0)
    );
    assert_eq!(nothing.rows, [vec![], vec![]]);
}

#[test]
fn an_error_names_the_row() {
    let rows = [timer(), conversations().remove("user").unwrap()];
    let error = tokenize(&rows, &hermes(), &tiny_tokenizer(), &TokenizeConfig::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "row 1: messages: no assistant turn: there is nothing to train on"
    );
}
