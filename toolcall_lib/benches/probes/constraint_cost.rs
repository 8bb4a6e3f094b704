//! Measures the cost of constraining replies to the tools:
//! `cargo run --release --example constraint_cost -- DATA MODEL…`.
//!
//! Uses the models' own tokenizers and templates, but a decoder of one narrow layer, so that most
//! of the time goes into finding out which tokens may come next. The decoder answers the same
//! prompts constrained to the tools and free. The difference is divided by the number of chosen
//! tokens, because forced tokens cost a model nothing. For comparison, the program also measures
//! the time in which the real decoder writes a token.

use std::time::Instant;
use toolcall_lib::config::ModelConfig;
use toolcall_lib::generate::{Generation, Generator, Prompt, ToolChoice};
use toolcall_lib::model::{Decoder, KvSequence, KvStore, Workspace};
use toolcall_lib::weights::{Dtype, Parameters};
use toolcall_lib::{Dataset, Error, GenerateConfig, Model, Result, load_as};

/// Number of prompts, and of tokens of each reply.
const PROMPTS: usize = 32;
const TOKENS: usize = 64;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [data, models @ ..] = &arguments[..] else {
        return Err(Error::invalid("arguments", "expected DATA MODEL…"));
    };
    let rows = Dataset::load(data)?.rows;
    let prompts = rows.iter().take(PROMPTS);
    let prompts: Vec<Prompt<'_>> = prompts.map(|row| (&row.messages[..1], &row.tools[..])).collect();
    for path in models {
        let mut model = load_as(path, Dtype::Bf16)?;
        println!("{}: {} tokens", model.name(), model.tokenizer.vocab_size());
        let batches = [1, prompts.len()];
        let mut decoding = Vec::new();
        for batch in batches {
            decoding.push(token_seconds(&model.decoder, batch)?);
        }
        model.decoder = narrow(&model.decoder.config)?;
        for (what, choice) in [
            ("text or calls", ToolChoice::Auto),
            ("calls", ToolChoice::Required),
        ] {
            for (batch, decoding) in batches.into_iter().zip(&decoding) {
                let seconds = |config| seconds_per_token(&model, &prompts[..batch], &config);
                let cost = seconds(config(choice.clone(), true))? - seconds(config(choice.clone(), false))?;
                let (cost, decoding) = (cost * 1e6, decoding * 1e6);
                let share = 100.0 * cost / decoding;
                println!(
                    "{what}, {batch} at once: {cost:.0} µs a token; the model takes {decoding:.0} µs: {share:.1}%"
                );
            }
        }
    }
    Ok(())
}

fn config(tool_choice: ToolChoice, constrained: bool) -> GenerateConfig {
    GenerateConfig {
        max_new_tokens: TOKENS,
        repetition_penalty: 1.3, // or the narrow model would repeat one word
        tool_choice: if constrained {
            tool_choice
        } else {
            ToolChoice::Auto
        },
        constrained,
        ..GenerateConfig::default()
    }
}

/// Returns a decoder for the same tokens that does almost nothing.
fn narrow(config: &ModelConfig) -> Result<Decoder> {
    let config = ModelConfig {
        hidden_size: 16,
        intermediate_size: 16,
        num_hidden_layers: 1,
        num_attention_heads: 1,
        num_key_value_heads: 1,
        head_dim: 16,
        ..config.clone()
    };
    let weights = Parameters::random(&config, 1);
    Decoder::new(config, weights)
}

/// Returns the seconds per chosen token, the best of three runs. The prompts have been read before.
fn seconds_per_token(model: &Model, prompts: &[Prompt<'_>], config: &GenerateConfig) -> Result<f64> {
    let mut generator = Generator::new(model, config.clone());
    let mut best = f64::INFINITY;
    for _ in 0..4 {
        let start = Instant::now();
        let replies = generator.replies(prompts)?;
        let seconds = start.elapsed().as_secs_f64();
        let chosen = |reply: &Generation| reply.logprobs.iter().filter(|&&p| p != 0.0).count();
        best = best.min(seconds / replies.iter().map(chosen).sum::<usize>() as f64);
    }
    Ok(best)
}

/// Returns the median of the seconds in which a decoder writes a token of each of `batch`
/// sequences, divided by `batch`.
fn token_seconds(decoder: &Decoder, batch: usize) -> Result<f64> {
    let (mut cache, mut workspace) = (KvStore::new(&decoder.config, 1 << 30), Workspace::default());
    let prompt: Vec<u32> = (1..=300).collect();
    let sequences: Vec<KvSequence> = (0..batch).map(|_| cache.begin(&prompt)).collect();
    let mut seconds = Vec::new();
    for step in 0..20 {
        let new: &[u32] = if step == 0 { &[] } else { &[7] };
        let pass: Vec<(&KvSequence, &[u32])> = sequences.iter().map(|sequence| (sequence, new)).collect();
        let start = Instant::now();
        decoder.next_logits(&pass, &mut cache, &mut workspace)?;
        seconds.push(start.elapsed().as_secs_f64() / batch as f64);
    }
    seconds.remove(0); // it read the prompt
    seconds.sort_by(f64::total_cmp);
    Ok(seconds[seconds.len() / 2])
}
