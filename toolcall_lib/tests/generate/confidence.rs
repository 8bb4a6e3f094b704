//! The confidence of a model in its calls, and the handling of calls below the threshold.

use super::constrained::{ask, settings};
use crate::cases::templates::style;
use crate::common::tiny_model::tiny_model;
use toolcall_lib::generate::{Generator, ToolChoice};
use toolcall_lib::reply::{call_spans, parse};
use toolcall_lib::{GenerateConfig, Message};

/// The probabilities are those that the model itself gives each token; the sampling settings do not
/// change them.
#[test]
fn the_probabilities_are_those_of_the_model_itself() {
    let model = tiny_model();
    let text = "Set a timer";
    let plain = GenerateConfig {
        max_new_tokens: 20,
        ..GenerateConfig::default()
    };
    let sampled = GenerateConfig {
        temperature: 2.0,
        top_k: Some(5),
        repetition_penalty: 1.3,
        ..plain.clone()
    };
    for config in [plain, sampled] {
        let reply = Generator::new(&model, config.clone())
            .complete(text, |_| true)
            .unwrap();
        let prompt = model.tokenizer.encode(text).unwrap();
        let all = [&prompt[..], &reply.ids].concat();
        let vocabulary = model.decoder.config.vocab_size;
        let logits = model.decoder.logits(&all).unwrap();
        for (i, (&id, own)) in reply.ids.iter().zip(&reply.model_logprobs).enumerate() {
            let row = &logits[(prompt.len() + i - 1) * vocabulary..][..vocabulary];
            let total: f32 = row.iter().map(|x| x.exp()).sum();
            let expected = row[id as usize] - total.ln();
            assert!(
                (own.unwrap() - expected).abs() < 1e-3,
                "{i}: {own:?}, not {expected}"
            );
        }
        if config.temperature == 0.0 {
            let own: Vec<f32> = reply.model_logprobs.iter().flatten().copied().collect();
            assert_eq!(own, reply.logprobs, "greedily both are the same");
        }
        assert_eq!(reply.confidences, [0.0; 0], "no call");
    }
}

#[test]
fn a_call_is_as_sure_as_its_tokens_that_could_have_been_others() {
    let model = tiny_model();
    for seed in 0..10 {
        let config = GenerateConfig {
            seed,
            ..settings(ToolChoice::Required)
        };
        let reply = ask(&model, &config).unwrap();
        assert_eq!(reply.confidences.len(), parse(&reply.text).tool_calls.len());
        assert_eq!(reply.model_logprobs.len(), reply.ids.len());
        for (own, chosen) in reply.model_logprobs.iter().zip(&reply.logprobs) {
            assert!(
                own.is_some() || *chosen == 0.0,
                "only forced tokens are not sampled"
            );
            assert!(own.unwrap_or(-1.0) <= 0.0);
        }
        assert!(reply.model_logprobs.contains(&None));
        let pieces = model.tokenizer.pieces(&reply.ids).unwrap();
        for (span, sure) in call_spans(&reply.text).into_iter().zip(&reply.confidences) {
            let (mut start, mut product) = (0, 0.0);
            for (piece, own) in pieces.iter().zip(&reply.model_logprobs) {
                if start < span.end && start + piece.len() > span.start {
                    product += own.unwrap_or(0.0);
                }
                start += piece.len();
            }
            assert!(
                (product.exp() - sure).abs() <= 1e-4 * sure,
                "{product} {sure}: {}",
                reply.text
            );
        }
    }
}

#[test]
fn a_call_that_the_model_is_not_sure_of_is_withheld() {
    let model = tiny_model();
    let sure = settings(ToolChoice::Function("play_music".to_string()));
    let unsure = GenerateConfig {
        min_confidence: 0.9,
        unsure_reply: "Shall I ask a person?".to_string(),
        ..sure.clone()
    };
    let given = ask(&model, &sure).unwrap();
    assert_eq!(given.withheld, None);
    assert!(given.confidences[0] < 0.9, "a model with random weights");
    let withheld = ask(&model, &unsure).unwrap();
    assert_eq!(withheld.text, "Shall I ask a person?");
    assert_eq!(withheld.withheld.as_ref(), Some(&given.text));
    assert_eq!(
        (&withheld.ids, &withheld.confidences),
        (&given.ids, &given.confidences)
    );
    assert_eq!(parse(&withheld.text).tool_calls, []);

    let less = GenerateConfig {
        min_confidence: given.confidences[0],
        ..unsure.clone()
    };
    assert_eq!(
        ask(&model, &less).unwrap().text,
        given.text,
        "as sure as is asked for"
    );

    let mut pieces = Vec::new();
    let (messages, tools) = ([Message::user("Set a timer.")], super::constrained::tools());
    let mut generator = Generator::new(&model, unsure);
    let outcome = generator.stream(&messages, &tools, |piece| {
        pieces.push(piece.to_string());
        true
    });
    outcome.unwrap();
    assert_eq!(
        pieces,
        ["Shall I ask a person?"],
        "nothing of the call is handed over"
    );
}

/// Their calls have no confidence, so that no reply would be withheld.
#[test]
fn a_least_confidence_is_refused_for_other_call_syntaxes() {
    for name in ["llama_style", "mistral_style", "xml_style"] {
        let mut model = tiny_model();
        model.template = style(name);
        let config = GenerateConfig {
            min_confidence: 0.5,
            max_new_tokens: 1,
            ..GenerateConfig::default()
        };
        let error = ask(&model, &config).unwrap_err().to_string();
        assert!(
            error.starts_with("min_confidence: found 0.5, expected 0"),
            "{name}: {error}"
        );
    }
}
