// A byte-level BPE tokenizer with ChatML specials, made on the spot: every text can be encoded,
// and the vocabulary stays small.

use std::sync::LazyLock;
use tokenizers::AddedToken;
use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use toolcall_lib::tokens::Tokenizer;

/// End of a turn; the first of the tiny tokenizer's `eos_token_ids`.
pub const END_OF_TURN: &str = "<|im_end|>";

/// Tokens that decoding may skip, then the ones that it keeps, as in Qwen3's tokenizer.
const SPECIAL: [&str; 3] = ["<|endoftext|>", "<|im_start|>", END_OF_TURN];
const ADDED: [&str; 6] = [
    "<tool_call>",
    "</tool_call>",
    "<tool_response>",
    "</tool_response>",
    "<think>",
    "</think>",
];

const TEXT: [&str; 3] = [
    "Set a timer for 22 minutes. Timer set for 22 minutes. Remind me to call mom at 4 PM.",
    r#"{"name": "start_timer", "arguments": {"duration": 1320}} {"type": "function", "function": {"name": "#,
    "system user assistant tools",
];

/// 256 bytes, 64 merges, and the specials after them: always the same 329 ids.
pub fn tiny_tokenizer() -> Tokenizer {
    static TINY: LazyLock<Tokenizer> = LazyLock::new(make);
    TINY.clone()
}

fn make() -> Tokenizer {
    let bytes = ByteLevel::new(false, true, true);
    let mut inner = tokenizers::Tokenizer::new(BPE::default());
    inner.with_pre_tokenizer(Some(bytes)).with_decoder(Some(bytes));
    let mut trainer = TrainerWrapper::from(
        BpeTrainer::builder()
            .show_progress(false)
            .vocab_size(256 + 64)
            .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
            .build(),
    );
    inner.train(&mut trainer, TEXT.iter()).unwrap();
    inner
        .add_special_tokens(SPECIAL.map(|token| AddedToken::from(token, true)))
        .unwrap();
    inner
        .add_tokens(ADDED.map(|token| AddedToken::from(token, false)))
        .unwrap();
    let eos = [END_OF_TURN, "<|endoftext|>"].map(|token| inner.token_to_id(token).unwrap());
    Tokenizer::new(inner, eos.to_vec())
}

#[test]
fn the_tiny_tokenizer_is_the_same_each_time_and_takes_any_text() {
    let (tokenizer, again) = (make(), make());
    assert_eq!(tokenizer.to_json().unwrap(), again.to_json().unwrap());
    assert_eq!(tokenizer.vocab_size(), 329);
    let text = "<|im_start|>user\nSet a timer, 日本 – “é” 🕐<tool_call>\n{}</tool_call><|im_end|>\n\u{7f}";
    assert_eq!(tokenizer.decode(&tokenizer.encode(text).unwrap()).unwrap(), text);
}
