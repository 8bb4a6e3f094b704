//! The settings that the tokenizer keeps from its files, and text that is decoded token by token.

use crate::common::tiny_tokenizer::tiny_tokenizer;
use proptest::prelude::*;
use serde_json::{Value, json};
use toolcall_lib::template::ChatTemplate;
use toolcall_lib::tokens::{TextStream, Tokenizer};

const TEXT: &str = "Set a timer – 日本 “é” 🕐👩‍👩‍👧<tool_call>\n{}<|im_end|>";

#[test]
fn a_stream_never_breaks_a_character_and_loses_nothing() {
    let tokenizer = tiny_tokenizer();
    let ids = tokenizer.encode(TEXT).unwrap();
    let mut stream = TextStream::new(&tokenizer);
    let pieces: Vec<String> = ids.iter().map(|&id| stream.push(id).unwrap()).collect();
    assert_eq!(stream.finish().unwrap(), "");
    assert!(pieces.iter().all(|piece| !piece.contains('\u{fffd}')));
    assert!(
        pieces.iter().any(String::is_empty),
        "some tokens are parts of a character"
    );
    assert_eq!(pieces.concat(), TEXT);
    assert_eq!(pieces, tokenizer.pieces(&ids).unwrap());
}

proptest! {
    #[test]
    fn a_stream_of_any_tokens_is_their_text(ids in prop::collection::vec(0u32..329, 0..16)) {
        let tokenizer = tiny_tokenizer();
        prop_assert_eq!(tokenizer.pieces(&ids).unwrap().concat(), tokenizer.decode(&ids).unwrap());
    }
}

#[test]
fn an_incomplete_character_at_the_end_is_shown_as_such() {
    let tokenizer = tiny_tokenizer();
    let ids = tokenizer.encode("a🕐").unwrap();
    let cut = &ids[..ids.len() - 1];
    let pieces = tokenizer.pieces(cut).unwrap();
    assert_eq!(pieces.concat(), "a\u{fffd}");
    assert_eq!(pieces.concat(), tokenizer.decode(cut).unwrap());
    assert_eq!(tokenizer.pieces(&[]).unwrap(), Vec::<String>::new());
}

#[test]
fn the_config_is_kept_without_its_chat_template() {
    let named = tiny_tokenizer().config;
    assert_eq!(
        json!(named),
        json!({"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|im_end|>"})
    );
    let with = |config: Value| {
        json!(
            tiny_tokenizer()
                .with_config(config.as_object().unwrap().clone())
                .config
        )
    };
    let class = "Qwen2Tokenizer";
    let eos = json!({"content": "<|endoftext|>"});
    assert_eq!(
        with(json!({"chat_template": "x", "eos_token": eos, "tokenizer_class": class, "unk_token": null})),
        json!({"eos_token": eos, "tokenizer_class": class, "unk_token": null})
    );
    assert_eq!(
        with(json!({"eos_token": null, "tokenizer_class": class})),
        json!({"eos_token": "<|im_end|>", "tokenizer_class": class})
    );
}

#[test]
fn a_cut_or_padding_that_the_file_asks_for_does_not_touch_a_prompt() {
    let mut file: Value = serde_json::from_str(&tiny_tokenizer().to_json().unwrap()).unwrap();
    file["truncation"] =
        json!({"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0});
    file["padding"] = json!({"strategy": {"Fixed": 64}, "direction": "Right", "pad_to_multiple_of": null,
        "pad_id": 0, "pad_type_id": 0, "pad_token": "!"});
    let inner: tokenizers::Tokenizer = file.to_string().parse().unwrap();
    let tokenizer = Tokenizer::new(inner, tiny_tokenizer().eos_token_ids);
    for text in [TEXT, "a"] {
        assert_eq!(
            tokenizer.encode(text).unwrap(),
            tiny_tokenizer().encode(text).unwrap()
        );
    }
}

#[test]
fn replies_stop_where_the_template_ends_a_turn() {
    let hermes = |eos| ChatTemplate::hermes(eos).unwrap();
    let [end_of_turn, end_of_text] = tiny_tokenizer().eos_token_ids[..] else {
        panic!()
    };
    let mut tokenizer = tiny_tokenizer();
    tokenizer.stop_at_end_of_turn(&hermes("<|endoftext|>")).unwrap();
    assert_eq!(tokenizer.eos_token_ids, [end_of_text, end_of_turn]);
    tokenizer.eos_token_ids = vec![end_of_text];
    tokenizer.stop_at_end_of_turn(&hermes("<|im_end|>")).unwrap();
    assert_eq!(tokenizer.eos_token_ids, [end_of_turn, end_of_text]);
    tokenizer.stop_at_end_of_turn(&hermes("no token")).unwrap();
    assert_eq!(tokenizer.eos_token_ids, [end_of_turn, end_of_text]);
}
