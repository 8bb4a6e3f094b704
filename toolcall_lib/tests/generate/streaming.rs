//! Text as it is streamed.

use crate::common::tiny_model::tiny_model;
use toolcall_lib::GenerateConfig;
use toolcall_lib::generate::Generator;
use toolcall_lib::tokens::TextStream;

#[test]
fn no_piece_ends_within_a_character() {
    let tokenizer = tiny_model().tokenizer;
    let text = "日本 é – 🕐🕑 <tool_call>\n";
    let ids = tokenizer.encode(text).unwrap();
    assert!(ids.len() > text.chars().count(), "characters of several tokens");
    let mut stream = TextStream::new(&tokenizer);
    let pieces: Vec<String> = ids.iter().map(|&id| stream.push(id).unwrap()).collect();
    assert!(
        pieces.iter().all(|piece| !piece.contains('\u{fffd}')),
        "{pieces:?}"
    );
    assert_eq!(pieces.concat() + &stream.finish().unwrap(), text);
}

/// A model with random weights also writes bytes that are not UTF-8.
#[test]
fn the_pieces_are_the_text_and_can_be_stopped() {
    let model = tiny_model();
    for seed in 0..10 {
        let config = GenerateConfig {
            seed,
            temperature: 1.5,
            max_new_tokens: 60,
            ..GenerateConfig::default()
        };
        let mut said = String::new();
        let mut generator = Generator::new(&model, config);
        let whole = generator.complete("Set a timer", |piece| {
            said.push_str(piece);
            true
        });
        let whole = whole.unwrap();
        assert_eq!(said, whole.text);
        let mut pieces = 0;
        let cut = generator.complete("Set a timer", |_| {
            pieces += 1;
            pieces < 5
        });
        let cut = cut.unwrap();
        assert!(
            pieces < 5 || !cut.finished && cut.ids.len() < whole.ids.len(),
            "{seed}"
        );
        assert!(whole.ids.starts_with(&cut.ids));
    }
}
